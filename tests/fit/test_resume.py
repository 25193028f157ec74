"""What a fit leaves to the next: exact resume, and streams."""

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from suited import loss_for

from sklearn_losses import OPTIMIZERS, SCHEDULES, Adam, BatchGrowth, PinballLoss, get_schedule
from sklearn_losses._kernels.losses import _pointwise
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
N, D = 60, 5
X = RNG.randn(N, D) * (RNG.uniform(size=(N, D)) < 0.7)
Y = X @ [1.0, -1.0, 0.5, 0.0, 2.0] + 0.3 * RNG.randn(N)
THREE = np.digitize(Y, [-0.8, 0.8])
LAYOUTS = {"dense": np.asarray, "csr": sparse.csr_matrix}
VALIDATION = {"X_val": X[:20] + 0.1, "y_val": Y[:20]}

STEPS = [name for name, cls in OPTIMIZERS.items() if not (cls.full_batch or cls.memory)]
WHOLE = [name for name in OPTIMIZERS if name not in STEPS]
# Short enough that ten epochs see what is special about each.
SHORT = {
    "step": {"every": 3},
    "cosine": {"period": 3, "growth": 2},
    "warmup": {"epochs": 3, "then": "exponential"},
    "one_cycle": {"epochs": 8},
}
RATES = {name: get_schedule(name, **SHORT.get(name, {})) for name in SCHEDULES}
RATES |= {name: name for name in ("constant", "optimal", "invscaling", "adaptive")}
CURVES = ("loss_curve_", "validation_curve_", "grad_norm_curve_", "learning_rate_curve_")


def regressor(**params):
    loss = loss_for(params.get("optimizer"), "huber")
    defaults = {"loss": loss, "epsilon": 1.0, "tol": None, "random_state": 3, "alpha": 0.01}
    return SGDRegressorX(**{**defaults, **params})


def classifier(**params):
    defaults = {"loss": "log_loss", "tol": None, "random_state": 3, "alpha": 0.01}
    return SGDClassifierX(**{**defaults, **params})


def resume_cases():
    """Name -> (estimator without max_iter, layout, y, keywords of `fit`)."""
    cases = {}
    for optimizer in OPTIMIZERS:
        for rate, schedule in RATES.items():
            for layout in LAYOUTS:
                # "adaptive" changes its rate after an epoch without improvement.
                extra = {"tol": 10.0, "n_iter_no_change": 1} if rate == "adaptive" else {}
                if optimizer in WHOLE:
                    extra = {}
                model = regressor(
                    optimizer=optimizer, learning_rate=schedule, batch_size=7, **extra
                )
                cases[f"{optimizer}-{rate}-{layout}"] = (model, layout, Y, {})
    more = {
        "one_sample": regressor(),
        "one_sample-average": regressor(average=40),
        "one_sample-l1": regressor(penalty="l1", average=True),
        "one_sample-pa1": regressor(loss="epsilon_insensitive", learning_rate="pa1"),
        "one_sample-early": regressor(early_stopping=True, tol=1e-3),
        "average": regressor(batch_size=7, average=20, optimizer="adam"),
        "average-saga": regressor(average=True, optimizer="saga"),
        "l1": regressor(batch_size=7, penalty="l1"),
        "elasticnet": regressor(batch_size=7, penalty="elasticnet", optimizer="nesterov"),
        "bounds": regressor(optimizer="adagrad", positive=True, clip_norm=0.5),
        "lbfgs-l1": regressor(optimizer="lbfgs", penalty="l1", tol=1e-10),
        "lbfgs-quantile": regressor(optimizer="lbfgs", loss="quantile"),
        "gd-quantile": regressor(optimizer="gd", loss="quantile"),
        "quantiles": regressor(
            optimizer="interior-point", loss=PinballLoss([0.2, 0.9, 0.5]), penalty="l1"
        ),
        "growth": regressor(batch_size=BatchGrowth(start=4, factor=2, every=3)),
        "no-seed": regressor(random_state=None, batch_size=7),
        "early": regressor(batch_size=7, early_stopping=True, tol=1e-3),
        "early-whole": regressor(optimizer="gd", early_stopping=True),
    }
    cases |= {f"{name}-{lay}": (m, lay, Y, {}) for name, m in more.items() for lay in LAYOUTS}
    more = {
        "ovr": classifier(),
        "ovr-average": classifier(average=True),
        "ovr-tol": classifier(tol=3e-2, n_iter_no_change=2),  # a class ends in the first half
        "ovr-early": classifier(early_stopping=True, tol=1e-3, n_iter_no_change=3),
        "ovr-batches": classifier(batch_size=7, optimizer="nadam"),
        "multinomial": classifier(loss="multinomial", batch_size=7, optimizer=Adam(amsgrad=True)),
        "multinomial-saga": classifier(loss="multinomial", optimizer="saga"),
    }
    cases |= {f"{name}-{lay}": (m, lay, THREE, {}) for name, m in more.items() for lay in LAYOUTS}
    for name in ("sgd", "svrg", "lbfgs", "interior-point"):
        model = regressor(optimizer=name, batch_size=7, tol=1e-3)
        cases[f"validation-{name}"] = (model, "dense", Y, VALIDATION)
    return cases


CASES = resume_cases()


def fitted(model, layout, y, given, epochs):
    return model.set_params(max_iter=epochs).fit(LAYOUTS[layout](X), y, **given)


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """The models of 5 epochs, gone on with for 5 more in another process."""
    folder = tmp_path_factory.mktemp("resume")
    halves = {}
    for name, (model, layout, y, given) in CASES.items():
        half = clone(model)
        halves[name] = (fitted(half, layout, y, given, 5), LAYOUTS[layout](X), y, given)
    (folder / "halves.pkl").write_bytes(pickle.dumps(halves))
    code = """
    import pickle, sys, warnings
    from sklearn_losses._kernels.losses import _pointwise
    warnings.simplefilter("ignore")
    folder, level = sys.argv[1:]
    _pointwise.set_simd_level(level)
    with open(folder + "/halves.pkl", "rb") as file:
        halves = pickle.load(file)
    whole = {
        name: model.set_params(warm_start="resume").fit(X, y, **given)
        for name, (model, X, y, given) in halves.items()
    }
    with open(folder + "/whole.pkl", "wb") as file:
        pickle.dump(whole, file)
    """
    command = [
        sys.executable,
        "-P",
        "-c",
        textwrap.dedent(code),
        str(folder),
        _pointwise.simd_level(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return pickle.loads((folder / "whole.pkl").read_bytes())


@pytest.mark.parametrize("name", CASES)
def test_ten_epochs_are_five_and_five_in_another_process_bit_for_bit(resumed, name):
    model, layout, y, given = CASES[name]
    ours = resumed[name]
    if name.startswith("no-seed"):  # drawn from the process: only its own half can be told
        assert ours.n_iter_ == 10 and ours.t_ > 1
        return
    whole = fitted(model, layout, y, given, 10)
    for attribute in ("coef_", "intercept_", "t_", "n_iter_", "stop_reason_", *CURVES):
        np.testing.assert_array_equal(
            getattr(ours, attribute), getattr(whole, attribute), err_msg=attribute
        )
    assert 1 <= whole.n_iter_ == len(whole.loss_curve_)


def test_a_resumed_fit_of_no_seed_keeps_the_order_of_its_samples():
    for params in ({"batch_size": 7}, {}):
        half = regressor(random_state=None, max_iter=5, **params).fit(X, Y)
        copy = pickle.loads(pickle.dumps(half))
        for model in (half, copy):
            model.set_params(warm_start="resume").fit(X, Y)
        np.testing.assert_array_equal(half.coef_, copy.coef_)


def test_a_fit_that_ended_by_itself_is_not_gone_on_with():
    model = regressor(tol=1e-3, batch_size=7, max_iter=1000).fit(X, Y)
    assert model.stop_reason_ == "converged"
    coef, epochs = model.coef_, model.n_iter_
    model.set_params(warm_start="resume").fit(X, Y)
    np.testing.assert_array_equal(model.coef_, coef)
    assert model.n_iter_ == epochs == len(model.loss_curve_) and model.stop_reason_ == "converged"


@pytest.mark.parametrize("params, name", [
    ({"optimizer": "adam"}, "optimizer"),
    ({"loss": "squared_error"}, "loss"),
    ({"learning_rate": "constant"}, "learning_rate"),
    ({"penalty": "l1"}, "penalty"),
    ({"average": True}, "average"),
    ({"batch_size": 3}, "batch_size"),
    ({"batch_size": 1}, "batch_size"),
    ({"alpha": 0.5}, "alpha"),
    ({"bounds": (0, np.ones(D))}, "bounds"),
])  # fmt: skip
def test_resume_names_the_parameter_that_differs(params, name):
    model = regressor(batch_size=7, max_iter=2).fit(X, Y)
    coef = model.coef_
    model.set_params(warm_start="resume", **params)
    with pytest.raises(ValueError, match=f"warm_start='resume' .* had {name}="):
        model.fit(X, Y)
    assert model.coef_ is coef


def test_resume_sees_a_loss_that_was_changed_in_place():
    model = regressor(loss=PinballLoss(quantile=0.3), batch_size=7, max_iter=2).fit(X, Y)
    model.set_params(warm_start="resume", loss__quantile=0.4)
    with pytest.raises(ValueError, match=r"had loss=PinballLoss\(quantile=0.3\)"):
        model.fit(X, Y)


@pytest.mark.parametrize("optimizer", ["sgd", "saga", "lbfgs"])
def test_resume_refuses_other_data(optimizer):
    for x, y, name in (
        (X[:, :3], Y, "features"),
        (X[:30], Y[:30], "samples"),
        (sparse.csr_matrix(X), Y, "sparse"),
        (X, np.c_[Y, Y], "outputs"),
    ):
        model = regressor(optimizer=optimizer, batch_size=7, max_iter=2).fit(X, Y)
        with pytest.raises(ValueError, match=f"warm_start='resume' .* had {name}="):
            model.set_params(warm_start="resume").fit(x, y)


def test_resume_needs_a_state():
    model = regressor(max_iter=2, warm_start="resume").fit(X, Y)  # the first fit just begins
    with pytest.raises(ValueError, match=r"sparsify"):
        model.sparsify().fit(X, Y)


def test_warm_start_true_starts_from_the_coefficients_alone():
    for optimizer in ("sgd", "adam", "lbfgs"):
        params = {"optimizer": optimizer, "batch_size": 7, "max_iter": 3}
        model = regressor(warm_start=True, **params).fit(X, Y)
        start = {"coef_init": model.coef_, "intercept_init": model.intercept_}
        fresh = regressor(**params).fit(X, Y, **start)
        model.fit(X, Y)
        np.testing.assert_array_equal(model.coef_, fresh.coef_)
        assert model.t_ == fresh.t_ and model.n_iter_ == 3


# ------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", STEPS)
def test_partial_fit_of_one_block_is_fit_with_the_moments_kept(optimizer, layout):
    # Without shuffling the order is the same; weights are absent, so that they do not matter.
    params = {"optimizer": optimizer, "batch_size": 7, "shuffle": False, "max_iter": 4}
    x = LAYOUTS[layout](X)
    for extra in ({}, {"average": 5}, {"penalty": "l1"}):
        whole = regressor(**params, **extra).fit(x, Y)
        stream = regressor(**params, **extra)
        for _ in range(4):
            stream.partial_fit(x, Y)
        np.testing.assert_array_equal(stream.coef_, whole.coef_)
        np.testing.assert_array_equal(stream.intercept_, whole.intercept_)
        assert stream.t_ == whole.t_ == 1 + 4 * 9 and stream.n_iter_ == 1
        assert stream.loss_curve_ == whole.loss_curve_
        half = pickle.loads(pickle.dumps(regressor(**params, **extra).partial_fit(x, Y)))
        for _ in range(3):
            half.partial_fit(x, Y)
        np.testing.assert_array_equal(half.coef_, whole.coef_)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", STEPS)
def test_streams_may_come_in_pieces_of_any_size(optimizer, layout):
    params = {"optimizer": optimizer, "batch_size": 5, "shuffle": False, "penalty": None}
    # The first piece gives the scales.
    whole, stream = (regressor(learning_rate="constant", **params) for _ in range(2))
    for start, stop in ((0, 10), (10, 60)):
        whole.partial_fit(LAYOUTS[layout](X[start:stop]), Y[start:stop])
    for start, stop in ((0, 10), (10, 15), (15, 45), (45, 60)):
        stream.partial_fit(LAYOUTS[layout](X[start:stop]), Y[start:stop])
    np.testing.assert_allclose(stream.coef_, whole.coef_, rtol=1e-12)
    np.testing.assert_allclose(stream.intercept_, whole.intercept_, rtol=1e-12)
    assert stream.t_ == whole.t_ == 13


@pytest.mark.parametrize("optimizer", STEPS)
def test_streams_may_change_layout_dtype_and_parameters(optimizer):
    params = {"optimizer": optimizer, "batch_size": 5, "shuffle": False, "penalty": None}
    one = regressor(learning_rate="constant", average=True, **params)
    other = regressor(learning_rate="constant", average=True, **params)
    centred = X - X.mean(axis=0)  # as dense columns are seen, and sparse ones are not
    for layout in ("dense", "csr", "dense"):
        one.partial_fit(centred, Y)
        other.partial_fit(LAYOUTS[layout](centred), Y)
    if optimizer in ("sgd", "adagrad"):  # others move features that a sparse batch does not have
        np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-9)
    else:
        np.testing.assert_allclose(one.coef_, other.coef_, rtol=0.5, atol=0.1)
    other.partial_fit(X.astype(np.float32), Y)
    assert other.coef_.dtype == np.float32
    for change in ({"average": False}, {"penalty": "l1"}, {"optimizer": "adam"}, {"batch_size": 1}):
        before = other.coef_
        other.set_params(**change).partial_fit(X, Y)
        assert np.isfinite(other.coef_).all() and not np.array_equal(before, other.coef_)


@pytest.mark.parametrize("optimizer", WHOLE)
def test_partial_fit_refuses_optimizers_of_finite_sums(optimizer):
    for model in (regressor(optimizer=optimizer), classifier(optimizer=OPTIMIZERS[optimizer]())):
        assert not hasattr(model, "partial_fit")
        with pytest.raises(AttributeError) as caught:
            model.partial_fit(X, THREE)
        assert "partial_fit cannot use it" in str(caught.value.__cause__)
        assert repr(model.optimizer) in str(caught.value.__cause__)
    with pytest.raises(ValueError, match="did you mean 'saga'"):
        regressor(optimizer="sagga").partial_fit(X, Y)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_partial_fit_refuses_other_features_and_stays_as_it_was(batch_size):
    model = regressor(batch_size=batch_size).partial_fit(X, Y)
    coef = model.coef_.copy()
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :3], Y)
    with pytest.raises(ValueError, match=r"y|outputs|coef_init"):
        model.partial_fit(X, np.c_[Y, Y])
    np.testing.assert_array_equal(model.coef_, coef)
    model.partial_fit(X, Y)


@pytest.mark.parametrize("loss, batch_size", [("log_loss", 1), ("log_loss", 7), ("multinomial", 7)])
def test_balanced_streams_count_the_classes_so_far(loss, batch_size):
    params = {"loss": loss, "batch_size": batch_size, "shuffle": False}
    ours = classifier(class_weight="balanced", **params)
    explicit = classifier(**params)
    for start, stop in ((0, 7), (7, 30), (30, 60)):
        rows = slice(start, stop)
        counts = np.maximum(np.bincount(THREE[:stop], minlength=3), 1)
        explicit.set_params(class_weight=dict(enumerate(stop / (3 * counts))))
        for model in (ours, explicit):
            model.partial_fit(X[rows], THREE[rows], classes=[0, 1, 2])
        np.testing.assert_allclose(ours.coef_, explicit.coef_, rtol=1e-12)
