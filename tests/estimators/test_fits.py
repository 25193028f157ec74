"""What a fit says and leaves: curves, reasons to stop, callbacks, Ctrl-C, threads."""

import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from joblib import effective_n_jobs
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from suited import ONLY, loss_for

from sklearn_losses import OPTIMIZERS, SCHEDULES, FunctionLoss, LossSchedule, get_loss, get_schedule
from sklearn_losses._kernels._threads import openmp_info
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
N, D = 60, 5
X = RNG.randn(N, D)
Y = X @ [1.0, -1.0, 0.5, 0.0, 2.0] + 0.3 * RNG.randn(N)
THREE = np.digitize(Y, [-0.8, 0.8])
LAYOUTS = {"dense": np.asarray, "csr": sparse.csr_matrix}
FULL_BATCH = [name for name, cls in OPTIMIZERS.items() if cls.full_batch]
MEMORY = [name for name, cls in OPTIMIZERS.items() if cls.memory]
STEPS = [name for name in OPTIMIZERS if name not in FULL_BATCH + MEMORY]


def run_python(code, *arguments, timeout=120, **environment):
    """Standard output of `code` in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code), *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def regressor(**params):
    loss = loss_for(params.get("optimizer"), "huber")
    defaults = {"loss": loss, "epsilon": 1.0, "tol": None, "random_state": 3, "alpha": 0.01}
    return SGDRegressorX(**{**defaults, **params})


def classifier(**params):
    defaults = {"loss": "log_loss", "tol": None, "random_state": 3, "alpha": 0.01}
    return SGDClassifierX(**{**defaults, **params})


# --------------------------------------------------------------------------------------- curves


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_curves_have_a_number_for_each_epoch(optimizer):
    model = regressor(optimizer=optimizer, batch_size=9, max_iter=4).fit(X, Y)
    assert model.n_iter_ == 4 and model.validation_curve_ == []
    for curve in (model.loss_curve_, model.grad_norm_curve_, model.learning_rate_curve_):
        assert len(curve) == 4 and all(type(value) is float for value in curve)
    model.fit(X, Y, X_val=X[:10], y_val=Y[:10])
    assert len(model.validation_curve_) == len(model.loss_curve_) == 4


@pytest.mark.parametrize("name", [*SCHEDULES, "constant", "invscaling"])
def test_the_learning_rate_curve_is_the_rate_of_each_epochs_last_step(name):
    rate = get_schedule(name) if name in SCHEDULES else name
    model = regressor(learning_rate=rate, batch_size=9, eta0=0.02, max_iter=6).fit(X, Y)
    last = np.arange(6) + 6 / 7  # in epochs: the seventh of seven steps
    expected = {
        "constant": lambda: np.full(6, 0.02),
        "invscaling": lambda: 0.02 / (7 * np.arange(1, 7)) ** model.power_t,
    }.get(name, lambda: 0.02 * rate.factors(last))()
    np.testing.assert_allclose(model.learning_rate_curve_, expected, rtol=1e-12)


def test_an_adaptive_rate_falls_by_five_and_then_ends_the_fit():
    model = regressor(learning_rate="adaptive", batch_size=9, tol=1e-3, max_iter=1000).fit(X, Y)
    ratios = np.divide(model.learning_rate_curve_[1:], model.learning_rate_curve_[:-1])
    assert set(np.round(ratios, 12)) == {0.2, 1.0}
    assert model.learning_rate_curve_[-1] <= 1e-6 and model.stop_reason_ == "converged"


def objective_parts(model, coef, intercept, y):
    """Mean loss, norm of its gradient, and penalty, written out in NumPy."""
    loss = model.loss_
    raw = X @ np.atleast_2d(coef).T + intercept
    raw = raw if loss.is_multiclass else raw[:, 0]
    g = loss.gradient(y.astype(float), np.ascontiguousarray(raw)).reshape(N, -1) / N
    norm = np.sqrt(np.sum((g.T @ X) ** 2) + np.sum(g.sum(axis=0) ** 2))
    penalty = {
        "l2": lambda: 0.5 * np.sum(np.square(coef)),
        "l1": lambda: np.sum(np.abs(coef)),
        "elasticnet": lambda: 0.85 * 0.5 * np.sum(np.square(coef)) + 0.15 * np.sum(np.abs(coef)),
    }[model.penalty]()
    return loss(y.astype(float), np.ascontiguousarray(raw)), norm, model.alpha * penalty


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", FULL_BATCH)
def test_the_curves_of_full_batch_solvers_are_those_of_the_objective(optimizer, layout, penalty):
    cases = [(regressor(optimizer=optimizer), Y)]
    cases += [] if optimizer in ONLY else [(classifier(loss="multinomial"), THREE)]
    for model, y in cases:
        model.set_params(optimizer=optimizer, max_iter=3, alpha=0.1, penalty=penalty)
        model.fit(LAYOUTS[layout](X), y)
        loss, norm, penalised = objective_parts(model, model.coef_, model.intercept_, y)
        shown = model.loss_curve_[-1]
        if penalty == "l2" and np.ndim(model.coef_) == 2:
            # What all classes share is no part of the loss, and is taken out of the weights at the
            # end: the penalty falls, and nothing else.
            assert loss + penalised <= shown
            np.testing.assert_allclose(shown, loss + penalised, rtol=1e-3)
        else:
            np.testing.assert_allclose(shown, loss + penalised, rtol=1e-10)
        np.testing.assert_allclose(model.grad_norm_curve_[-1], norm, rtol=1e-8)
        assert np.all(np.diff(model.loss_curve_) <= 0)


@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", [*STEPS, *MEMORY])
def test_the_curves_of_whole_batches_are_loss_and_gradient_before_the_step(
    optimizer, layout, penalty
):
    for model, y in ((regressor(), Y), (classifier(loss="multinomial"), THREE)):
        model.set_params(optimizer=optimizer, batch_size="full", penalty=penalty, eta0=0.01)
        # Of the weights, without the averages that some optimizers have of their own.
        model.set_params(learning_rate="constant", alpha=0.1, average=10**9)
        before = clone(model).set_params(max_iter=2).fit(LAYOUTS[layout](X), y)
        after = model.set_params(max_iter=3).fit(LAYOUTS[layout](X), y)
        loss, norm, _ = objective_parts(model, before.coef_, before.intercept_, y)
        *_, penalised = objective_parts(model, after.coef_, after.intercept_, y)
        np.testing.assert_allclose(after.loss_curve_[-1], loss + penalised, rtol=1e-9)
        if optimizer != "svrg":  # its mean gradient is that of the last snapshot
            np.testing.assert_allclose(after.grad_norm_curve_[-1], norm, rtol=1e-7)
        assert after.t_ == 4


# ----------------------------------------------------------------------------- reasons to stop


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_fit_says_that_it_converged_or_ran_out_of_epochs(optimizer):
    # Where the rate falls, an optimizer that steps comes to rest as well.
    model = regressor(optimizer=optimizer, tol=1e-3, learning_rate="invscaling", batch_size=9)
    model.fit(X, Y)
    assert model.stop_reason_ == "converged" and model.n_iter_ < 1000
    assert model.set_params(max_iter=2, tol=None).fit(X, Y).stop_reason_ == "max_iter"


@pytest.mark.parametrize("params", [{"batch_size": 9}, {}, {"optimizer": "lbfgs"}])
def test_a_validation_set_ends_the_fit_and_its_best_epoch_is_kept(params):
    rng = np.random.RandomState(1)
    x, x_val = rng.randn(30, 20), rng.randn(200, 20)  # few samples: it overfits
    y, y_val = x[:, 0] + rng.randn(30), x_val[:, 0] + rng.randn(200)
    weight = rng.uniform(0.5, 2, 200)
    model = SGDRegressorX(learning_rate="constant", random_state=0, tol=1e-5, alpha=1e-6, **params)
    model.fit(x, y, X_val=x_val, y_val=y_val, sample_weight_val=weight)
    assert model.stop_reason_ == "validation"
    curve = model.validation_curve_
    assert 0 < np.argmin(curve) < len(curve) - 1
    kept = get_loss("squared_error")(y_val, model.predict(x_val), weight)
    np.testing.assert_allclose(kept, min(curve), rtol=1e-10)
    whole = clone(model).set_params(max_iter=int(np.argmin(curve)) + 1).fit(x, y)
    np.testing.assert_array_equal(model.coef_, whole.coef_)


@pytest.mark.parametrize("loss", ["log_loss", "multinomial"])
def test_a_validation_set_of_labels_and_offsets(loss):
    offset = np.random.RandomState(0).randn(N, 3)
    names = np.array(["a", "b", "c"])[THREE]
    model = classifier(loss=loss, batch_size=9, max_iter=5, learning_rate="constant")
    given = {"X_val": X[:20], "y_val": names[:20], "offset_val": offset[:20]}
    model.fit(X, names, offset=offset, **given)
    raw = model.decision_function(X[:20], offset=offset[:20])
    if loss == "multinomial":
        value = model.loss_(THREE[:20].astype(float), raw)
    else:
        value = sum(
            model.loss_((THREE[:20] == k) * 1.0, np.ascontiguousarray(raw[:, k])) for k in range(3)
        )
    np.testing.assert_allclose(value, min(model.validation_curve_), rtol=1e-10)
    with pytest.raises(ValueError, match="labels that are not in classes"):
        model.fit(X, names, X_val=X[:2], y_val=["a", "z"])


@pytest.mark.parametrize("batch_size", [1, 9])
def test_early_stopping_says_that_it_was_the_validation(batch_size):
    for model, y in ((regressor(), Y), (classifier(), THREE), (classifier(), THREE > 0)):
        model.set_params(early_stopping=True, tol=1e-2, batch_size=batch_size, eta0=0.1).fit(X, y)
        assert model.stop_reason_ == "validation"
        assert len(model.validation_curve_) == model.n_iter_ < 1000


def test_a_loss_that_no_step_lowers_ends_the_line_search():
    jump = FunctionLoss(lambda y, raw: np.where(raw == 0, 0.0, 1.0), lambda y, raw: y)
    model = regressor(loss=jump, optimizer="gd", fit_intercept=False, tol=1e-3)
    with pytest.warns(ConvergenceWarning, match="line search found no lower objective"):
        model.fit(X, Y)
    assert model.stop_reason_ == "line_search" and model.n_iter_ == 1
    assert not model.coef_.any()


# -------------------------------------------------------------------------------------- verbose


def lines(text):
    """Printed lines without their times."""
    return [re.sub(r"[\d.]+ seconds", "# seconds", line) for line in text.strip().splitlines()]


def test_verbose_prints_scikit_learns_lines(capfd):
    for ours, theirs, y in (
        (SGDRegressorX, SGDRegressor, Y),
        (SGDClassifierX, SGDClassifier, THREE > 0),
    ):
        # With a penalty scikit-learn scores another model than the one that it has.
        for params in ({}, {"early_stopping": True, "penalty": None}):
            params = {"verbose": 1, "random_state": 0, "tol": 1e-2, **params}
            theirs(**params).fit(X, y)
            expected = lines(capfd.readouterr().out)
            ours(**params).fit(X, y)
            printed = lines(capfd.readouterr().out)
            assert printed == expected
            assert len(expected) > 6


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_verbose_prints_three_lines_an_epoch(optimizer, capsys):
    regressor(optimizer=optimizer, batch_size=9, max_iter=3, verbose=1).fit(X, Y)
    printed = lines(capsys.readouterr().out)
    assert len(printed) == 9 and printed[::3] == [f"-- Epoch {i}" for i in (1, 2, 3)]
    assert all(line.startswith("Norm: ") and "Objective: " in line for line in printed[1::3])


# ------------------------------------------------------------------------------------ callbacks


class Watcher:
    """Counts tasks, and stops the fit after so many epochs."""

    def __init__(self, stop_after=np.inf):
        self.stop_after = stop_after
        self.begun, self.ended, self.scores = [], [], []
        self.set_up = self.torn_down = 0

    def setup(self, estimator, context):
        self.set_up += 1

    def teardown(self, estimator, context):
        self.torn_down += 1

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.ended.append(context.task_name)
        self.scores.append(fitted_estimator.score(X, y))
        return self.ended.count("epoch") >= self.stop_after


@pytest.fixture
def callback():
    return pytest.importorskip(
        "sklearn.callback", reason="scikit-learn before 1.9 has no callbacks"
    )


WATCHED = {
    **{name: (regressor(optimizer=name, batch_size=9), Y) for name in OPTIMIZERS},
    "one_sample": (regressor(), Y),
    "early": (regressor(early_stopping=True), Y),
    "ovr": (classifier(), THREE),
    "ovr-tol": (classifier(tol=3e-2, n_iter_no_change=2), THREE),
    "ovr-threads": (classifier(n_jobs=2), THREE),
    "ovr-batches": (classifier(batch_size=9), THREE),
    "multinomial": (classifier(loss="multinomial"), THREE),
    "stages": (regressor(loss=LossSchedule("huber", "delta", [8.0, 2.0])), Y),
}


@pytest.mark.parametrize("name", WATCHED)
def test_callbacks_see_a_task_for_each_epoch_and_change_nothing(callback, name):
    model, y = WATCHED[name]
    plain = clone(model).set_params(max_iter=6).fit(X, y)
    watcher = Watcher()
    watched = clone(model).set_params(max_iter=6).set_callbacks(watcher).fit(X, y)
    np.testing.assert_array_equal(watched.coef_, plain.coef_)
    assert watched.loss_curve_ == plain.loss_curve_ and watched.t_ == plain.t_
    expected = ["fit"] + ["epoch"] * plain.n_iter_
    assert watcher.begun == expected and watcher.ended == expected[1:] + expected[:1]
    assert watcher.set_up == watcher.torn_down == 1
    assert watcher.scores[-1] == watcher.scores[-2] == plain.score(X, y)
    assert watched.stop_reason_ == plain.stop_reason_


@pytest.mark.parametrize("name", [name for name in WATCHED if name not in ("ovr-tol", "stages")])
def test_a_callback_may_stop_the_fit(callback, name):
    model, y = WATCHED[name]
    stopped = clone(model).set_callbacks(Watcher(stop_after=3)).fit(X, y)
    assert stopped.n_iter_ == 3 and stopped.stop_reason_ == "callback"
    whole = clone(model).set_params(max_iter=3).fit(X, y)
    np.testing.assert_array_equal(stopped.coef_, whole.coef_)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_callbacks_are_torn_down_when_a_fit_fails(callback):
    watcher = Watcher()
    model = regressor(learning_rate="constant", eta0=1e200, batch_size=9).set_callbacks(watcher)
    with pytest.raises(ValueError, match="overflow"):
        model.set_params(loss="squared_error").fit(X * 1e10, Y)
    assert watcher.set_up == watcher.torn_down == 1
    assert not hasattr(model, "coef_") and not hasattr(model, "_callback_fit_ctx")


def test_callbacks_of_a_step_work_in_pipelines_and_searches(callback):
    watcher = Watcher(stop_after=2)
    model = make_pipeline(StandardScaler(), regressor().set_callbacks(watcher)).fit(X, Y)
    assert model[-1].n_iter_ == 2 and watcher.ended == ["epoch", "epoch", "fit"]
    watcher = Watcher()
    grid = {"alpha": [0.1, 0.01]}
    search = GridSearchCV(regressor(max_iter=2).set_callbacks(watcher), grid, cv=2).fit(X, Y)
    fits = 2 * 2 + 1
    assert watcher.ended.count("epoch") == 2 * fits and watcher.torn_down == fits
    assert search.best_estimator_.n_iter_ == 2


@pytest.mark.parametrize("model, y", [(regressor(max_iter=3), Y), (classifier(max_iter=3), THREE)])
def test_scikit_learns_own_callbacks_work_alone_and_nested(callback, model, y, capsys):
    scoring = "accuracy" if y is THREE else "r2"
    monitor = callback.ScoringMonitor(scoring=scoring)
    fitted = clone(model).set_callbacks(monitor).fit(X, y)
    scores = [row[scoring] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(scores) == 3 and scores[-1] == fitted.score(X, y)
    monitor = callback.ScoringMonitor(scoring=scoring)
    search = GridSearchCV(clone(model).set_callbacks(monitor), {"alpha": [0.1, 0.2]}, cv=2)
    search.fit(X, y)
    rows = [row for log in monitor.get_logs("all") for row in log.data]
    assert sum(row["task_name"] == "epoch" for row in rows) == 3 * 5
    pytest.importorskip("rich", reason="scikit-learn's ProgressBar needs rich")
    clone(model).set_callbacks(callback.ProgressBar()).fit(X, y)
    pipeline = make_pipeline(StandardScaler(), clone(model))
    search = GridSearchCV(pipeline, {f"{pipeline.steps[-1][0]}__alpha": [0.1, 0.2]}, cv=2)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, y)
    assert "fit" in capsys.readouterr().out


# --------------------------------------------------------------------------------------- Ctrl-C


@pytest.mark.skipif(os.name == "nt", reason="signals to this process")
def test_ctrl_c_ends_any_fit_at_a_whole_epoch_and_it_goes_on():
    code = """
    import os, signal, threading, time, warnings
    import numpy as np
    from scipy import sparse
    from sklearn_losses._solvers.fit import Fit
    from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

    warnings.simplefilter("ignore")
    entered = threading.Event()
    after = Fit.after

    def after_and_tell(fit, epoch):
        ends = after(fit, epoch)
        entered.set()
        return ends

    Fit.after = after_and_tell
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = np.random.RandomState(0)
    X = rng.randn(10000, 10)
    Y = X[:, 0] + rng.randn(10000)
    THREE = np.digitize(Y, [-1, 1])
    forever = {"max_iter": 10**8, "tol": None, "random_state": 0}
    dense, csr = X, sparse.csr_matrix(X)
    cases = {
        "dense": (SGDRegressorX(**forever), dense, Y),
        "csr": (SGDRegressorX(**forever), csr, Y),
        "batch": (SGDRegressorX(batch_size=64, optimizer="adam", **forever), dense, Y),
        "batch-csr": (SGDRegressorX(batch_size=64, n_jobs=2, **forever), csr, Y),
        "saga": (SGDRegressorX(optimizer="saga", **forever), dense, Y),
        "gd": (SGDRegressorX("log_cosh", optimizer="gd", **forever), dense, Y),
        "lbfgs": (SGDClassifierX("log_loss", optimizer="lbfgs", penalty="l1", **forever), csr, Y),
        "ovr": (SGDClassifierX(n_jobs=2, **forever), dense, THREE),
        "ovr-csr": (SGDClassifierX(n_jobs=2, **forever), csr, THREE),
        "multinomial": (SGDClassifierX("multinomial", n_jobs=2, **forever), dense, THREE),
    }
    for name, (model, x, y) in cases.items():
        if name == "lbfgs":  # many samples and targets, which a fit takes long over
            x, y = sparse.vstack([x] * 10), np.tile(np.digitize(Y, np.linspace(-2, 2, 20)), 10)
        sent = []

        def interrupt():
            entered.wait()  # however long an epoch takes on a busy machine
            time.sleep(0.05)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        entered.clear()
        sender = threading.Thread(target=interrupt, daemon=True)
        sender.start()
        try:
            model.fit(x, y)
        except KeyboardInterrupt:
            took = time.perf_counter() - sent[0]
        else:
            raise SystemExit(f"{name}: ended by itself, {model.stop_reason_}")
        sender.join()
        assert took < 20, (name, took)  # a second, and a busy machine; the fit would take days
        assert model.stop_reason_ == "interrupted", (name, model.stop_reason_)
        epochs, steps = model.n_iter_, model.t_
        assert epochs == len(model.loss_curve_) >= 1, (name, epochs)
        assert np.isfinite(model.predict(x[:50])).all()
        model.set_params(max_iter=1, warm_start="resume").fit(x, y)
        assert model.n_iter_ == epochs + 1 and model.t_ > steps, (name, model.n_iter_)
        model.set_params(warm_start=True).fit(x, y)
        if name not in ("saga", "gd", "lbfgs"):
            model.partial_fit(x, y)
        print(name, round(took, 3), epochs)
    """
    assert len(run_python(code, timeout=300).splitlines()) == 10


class Interrupting:
    """Sample weights during whose conversion Ctrl-C comes."""

    def __array__(self, dtype=None, copy=None):
        raise KeyboardInterrupt


def test_ctrl_c_before_the_first_epoch_leaves_the_estimator_as_it_was():
    model = classifier(max_iter=2).fit(X, THREE)
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :3], THREE > 0, sample_weight=Interrupting())
    assert vars(model) == before
    with pytest.raises(KeyboardInterrupt):
        (new := classifier()).fit(X, THREE, sample_weight=Interrupting())
    assert not hasattr(new, "classes_") and not hasattr(new, "n_features_in_")


# -------------------------------------------------------------------------------------- threads


@pytest.mark.skipif(not openmp_info()["enabled"], reason="this build has no OpenMP")
def test_the_number_of_threads_changes_no_bit():
    code = """
    import warnings
    import numpy as np
    from scipy import sparse
    from sklearn_losses._kernels.fit import engines
    from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

    warnings.simplefilter("ignore")
    made = []

    def remembered(cls):
        class Remembered(cls):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                if args[0].shape == X.shape:  # not those of the best constant
                    made.append(self)

        return Remembered

    engines.Problem, engines.Engine = map(remembered, (engines.Problem, engines.Engine))
    rng = np.random.RandomState(0)
    # Work that is worth three threads, in every pass of dense rows.
    X = rng.randn(6000, 300) * (rng.uniform(size=(6000, 300)) < 0.1)
    Y = X[:, 0] + rng.randn(6000)
    THREE, several = np.digitize(Y, [-1, 1]), np.c_[Y, -Y, 2 * Y]
    common = {"max_iter": 2, "tol": None, "random_state": 0}
    cases = {
        "batches": (SGDRegressorX("huber", batch_size=500, **common), Y),
        "full": (SGDRegressorX("huber", batch_size="full", optimizer="adam", **common), Y),
        "outputs": (SGDRegressorX(batch_size=300, optimizer="momentum", **common), several),
        "saga": (SGDRegressorX(batch_size=300, optimizer="saga", **common), Y),
        "gd": (SGDRegressorX("huber", optimizer="gd", **common), Y),
        "lbfgs": (SGDClassifierX("multinomial", optimizer="lbfgs", **common), THREE),
        "classes": (SGDClassifierX(**common), THREE),
        "ovr-batches": (SGDClassifierX("log_loss", batch_size=300, **common), THREE),
        "multinomial": (SGDClassifierX("multinomial", batch_size=300, **common), THREE),
    }
    for name, (model, y) in cases.items():
        for layout in (np.asarray, sparse.csr_matrix):
            for dtype in (np.float64, np.float32):
                x = layout(X.astype(dtype))
                bits = set()
                for n_jobs in (1, 2, 3):
                    made.clear()
                    model.set_params(n_jobs=n_jobs).fit(x, y)
                    helped = sum(engine.jobs_shared() for engine in made) > 0
                    # Sparse batches have one thread. Classes one by one have one each.
                    expected = n_jobs > 1 and layout is np.asarray
                    assert helped == expected or name == "classes", (name, layout, dtype, n_jobs)
                    weights = model.coef_.tobytes() + model.intercept_.tobytes()
                    bits.add((weights, *model.loss_curve_))
                assert len(bits) == 1, (name, layout, dtype)
        print(name)
    """
    # More threads than there may be CPUs: who sets the variable has decided.
    assert len(run_python(code, OMP_NUM_THREADS="3", OMP_WAIT_POLICY="passive").splitlines()) == 9


def test_threads_within_the_processes_of_a_search_do_not_oversubscribe():
    def threads_of(model, X, y):
        """A scorer: the threads that a fit uses where it is called."""
        # Imported here: the processes cannot import this file, and get the function by value.

        from sklearn_losses import effective_n_threads

        return effective_n_threads(effective_n_jobs(model.n_jobs))

    model = classifier(loss="multinomial", batch_size=20, n_jobs=2, max_iter=2)
    grid = {"alpha": [0.1, 0.01]}
    search = GridSearchCV(model, grid, cv=2, n_jobs=2, scoring={"n": threads_of}, refit=False)
    assert (search.fit(X, THREE).cv_results_["mean_test_n"] == 1).all()
    one, two = (GridSearchCV(model, grid, cv=2, n_jobs=n).fit(X, THREE) for n in (1, 2))
    np.testing.assert_array_equal(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )
