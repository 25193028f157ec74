"""Fits on arrays of a device: they are those of the host, and stay there."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from device_data import (
    BINARY,
    KINDS,
    LAYOUTS,
    OFFSET,
    OPTIMIZERS,
    SIGNAL,
    THREE,
    WEIGHT,
    D,
    N,
    X,
    assert_same_fit,
    model_of,
    there,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from suited import HOST, loss_for

from sklearn_losses import (
    SGDClassifierX,
)
from sklearn_losses._array import on_device, to_host

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# -------------------------------------------------------------------------------------------- fits


@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_loss_is_fitted_as_on_the_host(device, kind, layout, dtype):
    x, y = LAYOUTS[layout](X.astype(dtype)), KINDS[kind][2]
    model = model_of(kind)
    found = clone(model).fit(there(device, x), there(device, y))
    assert_same_fit(found, model.fit(x, y), 1e-4 if dtype == np.float32 else 1e-9)


@pytest.mark.pairwise
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["regression", "row-wise"])
def test_every_optimizer_fits_as_on_the_host(device, kind, optimizer, layout):
    if optimizer in HOST:
        model = model_of("regression", optimizer=optimizer)
        model.set_params(loss=loss_for(optimizer, model.loss))
        with pytest.raises(ValueError, match="is for arrays on the host; on a device"):
            model.fit(there(device, LAYOUTS[layout](X)), there(device, SIGNAL))
        return
    x, y = LAYOUTS[layout](X), KINDS[kind][2]
    model = model_of(kind, optimizer=optimizer, penalty="elasticnet")
    found = clone(model).fit(there(device, x), there(device, y))
    if optimizer == "auto":  # which takes others on the host
        assert found.optimizer_.name == "lbfgs"
        model.set_params(optimizer="lbfgs")
    assert_same_fit(found, model.fit(x, y), 1e-8)


@pytest.mark.slow
# Of every parameter that changes how batches are made, weighed or stepped on.
@pytest.mark.parametrize(
    "params",
    [
        {"shuffle": False},
        {"random_state": 7},
        {"batch_size": "full"},
        {"average": True},
        {"average": 20},
        {"penalty": "l1"},
        {"penalty": None},
        {"fit_intercept": False},
        {"clip_norm": 0.1},
        {"positive": True},
        {"bounds": (-0.1, np.full(D, 0.2))},
        {"learning_rate": "cosine"},
        {"learning_rate": "adaptive", "tol": 1e-3, "max_iter": 60, "eta0": 0.2},
        {"tol": 1e-3, "max_iter": 200},
        {"early_stopping": True, "tol": 1e-3, "max_iter": 100},
        {"early_stopping": True, "optimizer": "lbfgs", "tol": 1e-4, "max_iter": 100},
        {"n_jobs": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["binary", "row-wise", "outputs"])
def test_parameters_mean_what_they_mean_on_the_host(device, kind, params):
    y = KINDS[kind][2]
    model = model_of(kind, **params)
    found = clone(model).fit(there(device, X), there(device, y))
    assert_same_fit(found, model.fit(X, y), 1e-7)


def test_one_sample_a_step_is_a_batch_of_one(device):
    # On the host an offset has the engine of batches make them too.
    zeros = np.zeros(N)
    model = model_of("binary", batch_size=1)
    found = clone(model).fit(there(device, X), there(device, BINARY))
    assert_same_fit(found, model.fit(X, BINARY, offset=zeros), 1e-7)


GIVEN = {
    "weights": {"sample_weight": WEIGHT},
    "a weight": {"sample_weight": 2.0},
    "offset": {"offset": OFFSET},
    "validation": {"X_val": X[:30], "y_val": slice(0, 30)},
    "weighted validation": {
        "X_val": X[:30],
        "y_val": slice(0, 30),
        "sample_weight_val": WEIGHT[:30],
        "offset_val": OFFSET[:30],
    },
    "start": {"coef_init": 0.1, "intercept_init": -0.2},
}


@pytest.mark.pairwise
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("kind", ["quantiles", "outputs", "one-vs-rest", "text", "soft"])
def test_weights_offsets_validation_and_starts_count_as_on_the_host(device, kind, given, layout):
    x, y = LAYOUTS[layout](X), KINDS[kind][2]
    given = dict(GIVEN[given])
    if "y_val" in given:
        given["y_val"] = y[given["y_val"]]
    if "coef_init" in given:
        n_outputs = 3 if kind != "outputs" else 2
        given = {"coef_init": np.full((n_outputs, D), 0.1), "intercept_init": np.ones(n_outputs)}
    model = model_of(kind)
    moved = {name: there(device, value) for name, value in given.items()}
    found = clone(model).fit(there(device, x), there(device, y), **moved)
    assert_same_fit(found, model.fit(x, y, **given))
    # What a fit starts from is small, and may be on either side.
    if "coef_init" in given:
        again = clone(model).fit(there(device, x), there(device, y), **given)
        np.testing.assert_array_equal(to_host(again.coef_), to_host(found.coef_))


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2.0, 1: 0.5, 2: 1.5}], ids=str)
@pytest.mark.parametrize("kind", ["binary", "one-vs-rest", "row-wise"])
def test_class_weights_count_as_on_the_host(device, kind, class_weight):
    y = KINDS[kind][2]
    if class_weight != "balanced" and kind == "binary":
        class_weight = {0: 2.0, 1: 0.5}
    model = model_of(kind, class_weight=class_weight)
    found = clone(model).fit(there(device, X), there(device, y), None, None, there(device, WEIGHT))
    assert_same_fit(found, model.fit(X, y, sample_weight=WEIGHT))


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.bool_])
def test_other_dtypes_are_converted_as_scikit_learn_does(device, dtype):
    x = (4 * X).astype(dtype)
    model = model_of("binary")
    found = clone(model).fit(there(device, x), there(device, BINARY.astype(dtype)))
    assert_same_fit(found, model.fit(x, BINARY.astype(dtype)))
    assert found.predict(there(device, x)).dtype == dtype


def test_fortran_order_views_and_other_sparse_formats_are_converted(device):
    xp = device.xp
    x, y = xp.asarray(X), xp.asarray(SIGNAL)
    expected = model_of("regression").fit(x, y).coef_.get()
    twice = xp.repeat(xp.repeat(x, 2, axis=0), 2, axis=1)
    csr = device.sparse.csr_matrix(x)
    for given in (xp.ascontiguousarray(x.T).T, twice[::2, ::2]):
        np.testing.assert_array_equal(model_of("regression").fit(given, y).coef_.get(), expected)
    expected = model_of("regression").fit(csr, y).coef_.get()
    other = [csr.tocsc(), csr.tocoo()] if device.real else [csr.tocsc()]  # the stand-in has no COO
    for given in other:
        found = model_of("regression").fit(given, y)
        np.testing.assert_array_equal(found.coef_.get(), expected)
        np.testing.assert_allclose(found.predict(given).get(), found.predict(x).get())


def test_many_small_steps_deserve_one_warning(device, monkeypatch):
    monkeypatch.setattr("sklearn_losses.linear_model._base.MANY_STEPS", 40)
    x, y = there(device, X), there(device, SIGNAL)
    with pytest.warns(UserWarning, match="batch_size=2 makes 45 steps an epoch.*=1024") as caught:
        model_of("regression", batch_size=2).fit(x, y)
    assert len(caught) == 1 and caught[0].filename == __file__
    model_of("regression", batch_size=3).fit(x, y)
    model_of("regression", batch_size=1).fit(X, SIGNAL)


def test_passive_aggressive_steps_are_for_the_host(device):
    model = SGDClassifierX("hinge", learning_rate="pa1")
    with pytest.raises(ValueError, match="and arrays on the host"):
        model.fit(there(device, X), there(device, BINARY))


def test_an_epoch_waits_for_the_device_once(device):
    if device.real:
        pytest.skip("counts are the stand-in's")
    x, y = there(device, X), there(device, BINARY)
    waits = []
    for max_iter in (3, 13):
        before = device.counts["sync"]
        model_of("binary", max_iter=max_iter, optimizer="adam").fit(x, y)
        waits.append(device.counts["sync"] - before)
    assert waits[1] - waits[0] == 10


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("params", [{}, {"optimizer": "lbfgs"}], ids=str)
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(device, params, layout):
    x, y = LAYOUTS[layout](X), there(device, KINDS["outputs"][2])
    model = model_of("outputs", **params)
    for _ in range(2):
        before = dict(vars(model))
        with pytest.raises(ValueError, match="under-/overflow occurred at epoch #1"):
            model.fit(there(device, x * 1e200), y)
        assert vars(model) == before
        model.fit(there(device, x), y)


class Scores:
    """A callback that scores every epoch."""

    def __init__(self):
        self.found = []

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        assert on_device(X) and on_device(y) and on_device(fitted_estimator.coef_)
        self.found.append(fitted_estimator.score(X, y))


def test_callbacks_see_a_model_on_the_device(device):
    pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")
    x, y = there(device, X), there(device, THREE)
    scores = Scores()
    model = model_of("row-wise").set_callbacks(scores).fit(x, y)
    assert len(scores.found) == 5 and scores.found[-1] == model.score(x, y)


def test_verbose_prints_scikit_learns_lines(device, capsys):
    printed = []
    for move in (lambda x: x, lambda x: there(device, x)):
        model_of("binary", verbose=1, max_iter=2).fit(move(X), move(BINARY))
        lines = capsys.readouterr().out.splitlines()
        printed.append([line for line in lines if not line.startswith("Total training time")])
    assert len(printed[0]) == 4 and printed[1] == printed[0]


# ------------------------------------------------------------------------------------ going on


STREAMS = ["sgd", "momentum", "adam"]


@pytest.mark.parametrize("optimizer", STREAMS)
@pytest.mark.parametrize("kind", ["regression", "binary", "row-wise", "text"])
def test_streams_may_come_from_either_side(device, kind, optimizer):
    y = KINDS[kind][2]
    classes = {} if kind == "regression" else {"classes": there(device, np.unique(y))}
    here = model_of(kind, optimizer=optimizer)
    moving = clone(here)
    for k, part in enumerate(np.array_split(np.arange(N), 6)):
        here.partial_fit(X[part], y[part], **classes)
        if k % 3 == 1:
            moving.partial_fit(X[part], y[part], **classes)
            assert type(moving.coef_) is type(moving.intercept_) is np.ndarray
        else:
            moving.partial_fit(there(device, X[part]), there(device, y[part]), **classes)
            assert on_device(moving.coef_) and on_device(moving.intercept_)
        classes = {}
    assert_same_fit(moving, here, 1e-8)


def test_averages_of_scikit_learns_algorithm_go_on_on_a_device(device):
    model = model_of("regression", average=True, batch_size=1).partial_fit(X, SIGNAL)
    model.partial_fit(there(device, X), there(device, SIGNAL))
    model.partial_fit(X, SIGNAL)
    assert np.isfinite(model.coef_).all()


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "optimizer, params",
    [
        *((optimizer, {}) for optimizer in OPTIMIZERS if optimizer not in HOST),
        *((optimizer, {"average": True}) for optimizer in ("sgd", "adam", "saga")),
        *((optimizer, {"early_stopping": True}) for optimizer in ("sgd", "adam", "svrg", "lbfgs")),
    ],
    ids=str,
)
def test_ten_epochs_are_five_and_five_across_a_pickle_bit_for_bit(
    device, optimizer, params, layout
):
    x, y = there(device, LAYOUTS[layout](X)), there(device, THREE)
    model = model_of("row-wise", optimizer=optimizer, warm_start="resume", **params)
    whole = clone(model).set_params(max_iter=10).fit(x, y)
    model.set_params(max_iter=5).fit(x, y)
    model = pickle.loads(pickle.dumps(model)).fit(x, y)
    np.testing.assert_array_equal(to_host(model.coef_), to_host(whole.coef_))
    np.testing.assert_array_equal(to_host(model.intercept_), to_host(whole.intercept_))
    assert model.loss_curve_ == whole.loss_curve_
    assert model.validation_curve_ == whole.validation_curve_


def test_pickles_hold_numpy_arrays_and_load_without_cupy(device, tmp_path):
    model = model_of("binary", optimizer="adam").fit(there(device, X), there(device, BINARY))
    (tmp_path / "model").write_bytes(pickle.dumps(model))
    loaded = pickle.loads(pickle.dumps(model))
    assert type(loaded.coef_) is type(loaded.intercept_) is np.ndarray
    np.testing.assert_array_equal(loaded.coef_, model.coef_.get())
    assert on_device(model.coef_)
    program = f"""
import pickle, sys
sys.modules["cupy"] = None
model = pickle.loads(open({str(tmp_path / "model")!r}, "rb").read())
model.partial_fit([[0.0] * {D}] * 2, [0, 1]).predict([[1.0] * {D}])
"""
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=100)


@pytest.mark.parametrize("kind", ["regression", "row-wise"])
def test_to_numpy_moves_all_that_is_kept(device, kind):
    y = KINDS[kind][2]
    model = model_of(kind, optimizer="adam", average=True)
    model.fit(there(device, X), there(device, y))
    before = model.coef_.get(), model.predict(X)
    assert model.to_numpy() is model
    assert type(model.coef_) is type(model.intercept_) is np.ndarray
    assert not any(map(on_device, arrays_in(vars(model))))
    np.testing.assert_array_equal(model.coef_, before[0])
    np.testing.assert_array_equal(model.predict(X), before[1])
    assert model.to_numpy() is model  # again does no harm
    with pytest.raises(NotFittedError):
        clone(model).to_numpy()


def arrays_in(x):
    """Every array within dicts, lists, tuples and objects of ours."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        return [array for part in x for array in arrays_in(part)]
    if type(x).__module__.startswith("sklearn_losses"):
        return arrays_in(vars(x))
    return [x] if hasattr(x, "dtype") else []


def test_copies_stay_on_the_device_and_share_nothing(device):
    model = model_of("binary", optimizer="adam").fit(there(device, X), there(device, BINARY))
    deep, shallow = copy.deepcopy(model), copy.copy(model)
    assert on_device(deep.coef_) and deep.coef_ is not model.coef_
    assert shallow.coef_ is model.coef_
    before = model.coef_.get()
    deep.partial_fit(there(device, X), there(device, BINARY))
    shallow.to_numpy()
    np.testing.assert_array_equal(model.coef_.get(), before)
    assert on_device(model.coef_) and not hasattr(clone(model), "coef_")


def test_sparsify_is_for_the_host(device):
    x, y = there(device, X), there(device, SIGNAL)
    model = model_of("regression").fit(x, y)
    expected = model.predict(x).get()
    with pytest.raises(ValueError, match="Call to_numpy\\(\\) first"):
        model.sparsify()
    assert on_device(model.densify().coef_)
    model.to_numpy().sparsify()
    np.testing.assert_allclose(model.predict(x).get(), expected)
    assert on_device(model.partial_fit(x, y).coef_)
