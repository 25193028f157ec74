"""The engine of scikit-learn's SGD: what an epoch returns and when it ends; resuming a fit."""

import itertools
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from sklearn_losses import FunctionLoss, HalfBinomialLoss, HalfMultinomialLoss, HalfSquaredError
from sklearn_losses._kernels.fit.one_sample import SCHEDULES, Engine

PENALTIES = ["l2", "l1", "elasticnet", None]
LAYOUTS = ["dense", "csr", "csr64", "repeats"]
N = 60


def data(layout, dtype, d=21):
    rng = np.random.RandomState(0)
    x = (rng.standard_normal((N, d)) * (rng.uniform(size=(N, d)) < 0.5)).astype(dtype)
    y = (x[:, 0] + 0.3 * rng.standard_normal(N) > 0).astype(np.float64)
    if layout == "dense":
        return x, y
    x = sparse.csr_array(x)
    if layout == "csr64":
        x.indices, x.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    if layout == "repeats":  # every entry in two parts
        parts = np.repeat(x.data / 2, 2)
        x = sparse.csr_array((parts, np.repeat(x.indices, 2), 2 * x.indptr), x.shape)
        assert not x.has_canonical_format
    return x, y


def engine(x, y, loss=None, average=0, held_out=None, sample_weight=None, start=None, **settings):
    settings = {
        "penalty": "l2",
        "alpha": 0.01,
        "l1_ratio": 0.3,
        "learning_rate": "constant",
        "eta0": 0.1,
        "power_t": 0.4,
        "fit_intercept": True,
        **settings,
    }
    coef = np.zeros((1, x.shape[1]), x.dtype) if start is None else start
    averages = (np.zeros_like(coef), np.zeros(1)) if average else (None, None)
    return Engine(
        x,
        y,
        sample_weight,
        held_out,
        coef,
        np.zeros(1),
        *averages,
        HalfBinomialLoss() if loss is None else loss,
        SimpleNamespace(average=average, **settings),
        weight_positive=2.0,
        weight_negative=0.5,
        optimal_init=100.0,
    )


def epochs(fit, n, seed=3):
    for _ in range(n):
        done = fit.epoch(seed)
        assert fit.save()
    return done


def results(fit):
    arrays = [fit.coef(), fit.intercepts(), *fit.averages(), fit.penalty_norms(), fit.eta]
    return [array for array in arrays if array is not None]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fit_resumed_from_its_state_has_the_same_bits(layout, dtype):
    x, y = data(layout, dtype)
    held_out = np.arange(N) % 7 == 0
    for penalty, rate, average in itertools.product(PENALTIES, SCHEDULES, [0, 1, 150]):

        def make(settings=(penalty, rate, average)):
            penalty, rate, average = settings
            # A large alpha, so that the scale is folded on the way.
            return engine(
                x, y, None, average, held_out, penalty=penalty, learning_rate=rate, alpha=1.0
            )

        whole, first, second = make(), make(), make()
        last = epochs(whole, 10)
        epochs(first, 5)
        second.set_state(pickle.loads(pickle.dumps(first.get_state())))
        second.shuffle(3, 5)
        assert epochs(second, 5) == last
        for a, b in zip(results(second), results(whole), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_state_is_that_of_the_last_save():
    x, y = data("dense", "float64")
    fit = engine(x, y, average=1)
    epochs(fit, 1)
    before = fit.get_state()
    fit.epoch(3)
    for key, value in fit.get_state().items():
        np.testing.assert_array_equal(value, before[key])
    before["coef"][:] = np.nan  # the caller's own
    assert np.isfinite(fit.get_state()["coef"]).all()


def test_a_state_of_another_fit_is_refused():
    x, y = data("dense", "float64")
    state = engine(x, y, penalty="l1").get_state()
    with pytest.raises(ValueError, match="must have the keys"):
        engine(x, y).set_state(state)
    with pytest.raises(ValueError, match="dtype float32"):
        engine(x.astype(np.float32), y, penalty="l1").set_state(state)
    with pytest.raises(ValueError, match=r"shape \(20,\)"):
        engine(x[:, :20].copy(), y, penalty="l1").set_state(state)


def test_a_rowwise_loss_is_refused():
    x, y = data("dense", "float64")
    with pytest.raises(ValueError, match="loss must be pointwise"):
        engine(x, y, HalfMultinomialLoss())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [1, 2, 3, 7, 8, 9, 16, 17, 31, 32, 33, 70, 130, 300])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_an_epoch_is_what_its_formulas_say(layout, d, dtype, penalty):
    # Any number of features, of registers and of what they leave; the slow way, one row at a time.
    x, y = data(layout, dtype, d)
    held_out = np.arange(N) % 5 == 0
    weight = np.linspace(0.1, 2.0, N)
    start = np.linspace(-0.2, 0.2, d, dtype=dtype)[None]
    alpha, eta, decay = 0.05, 0.02, 1.0 if layout == "dense" else 0.01
    share_l1 = {"l1": 1.0, "elasticnet": 0.3}.get(penalty, 0.0)
    share_l2 = {"l2": 1.0, "elasticnet": 0.7}.get(penalty, 0.0)
    fit = engine(x, y, None, 0, held_out, weight, start, penalty=penalty, alpha=alpha, eta0=eta)
    done = fit.epoch()
    assert fit.save() and done.finite

    dense = (x if layout == "dense" else x.toarray()).astype(np.float64)
    values = x if layout == "dense" else x.copy()  # repeated entries count one by one
    w, b, q, u = start[0].astype(np.float64), 0.0, np.zeros(d), 0.0
    losses, objectives, squares, norms = [], [], [], (w @ w, np.abs(w).sum())
    for i in np.flatnonzero(~held_out):
        raw = dense[i] @ w + b
        losses.append(np.logaddexp(0, raw) - y[i] * raw)
        penalised = share_l2 * 0.5 * norms[0] + share_l1 * norms[1]
        objectives.append(losses[-1] + alpha * penalised)
        gradient = (1 / (1 + np.exp(-raw)) - y[i]) * weight[i] * (2.0 if y[i] > 0 else 0.5)
        row = dense[i] if layout == "dense" else values.data[slice(*values.indptr[i : i + 2])]
        squares.append(gradient**2 * (row.astype(np.float64) @ row.astype(np.float64) + 1))
        shrinkage = 1 - share_l2 * eta * alpha
        w = w * shrinkage - eta * gradient * dense[i]
        b -= eta * gradient * decay
        norms = w @ w, np.abs(w).sum()
        if share_l1:
            u += share_l1 * eta * alpha
            touched = np.ones(d, bool) if layout == "dense" else dense[i] != 0
            cut = np.where(
                w > 0, np.maximum(0, w - (u + q)), np.where(w < 0, np.minimum(0, w + (u - q)), 0)
            )
            q[touched] += (cut - w)[touched]
            w = np.where(touched, cut, w)
    rtol = 1e-10 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(fit.coef()[0], w, rtol=rtol, atol=rtol * np.abs(w).max())
    np.testing.assert_allclose(fit.intercepts(), b, rtol=rtol)
    np.testing.assert_allclose(done.loss, np.mean(losses), rtol=rtol)
    np.testing.assert_allclose(done.objective, np.mean(objectives), rtol=rtol)
    np.testing.assert_allclose(done.gradient_norm, np.sqrt(np.mean(squares)), rtol=rtol)


def python_loss(raises_at=None):
    """Half the squared error as a loss in Python, and the list of its calls; it raises at a given
    call."""
    calls = []

    def value(y, raw):
        calls.append(raw)
        if len(calls) == raises_at:
            raise LookupError("on purpose")
        return (raw - y) ** 2 / 2

    return FunctionLoss(value, lambda y, raw: raw - y), calls


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_python_loss_takes_the_same_steps(layout):
    x, y = data(layout, "float64")
    for penalty, average in itertools.product(PENALTIES, [0, 5]):
        losses = HalfSquaredError(), python_loss()[0]
        fits = [engine(x, y, loss, average, penalty=penalty) for loss in losses]
        np.testing.assert_allclose(epochs(fits[0], 3), epochs(fits[1], 3), rtol=1e-12)
        for a, b in zip(results(fits[0]), results(fits[1]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)


def test_an_error_in_a_python_loss_is_raised_and_nothing_is_called_after_it():
    x, y = data("csr", "float64")
    loss, calls = python_loss(raises_at=5)
    fit = engine(x, y, loss, fit_intercept=False)
    with pytest.raises(LookupError, match="on purpose"):
        fit.epoch()
    assert len(calls) == 5
    np.testing.assert_array_equal(fit.coef(), 0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.filterwarnings("ignore:overflow")
def test_an_epoch_that_diverges_ends_at_once(layout, dtype):
    x, y = data(layout, dtype)
    loss, calls = python_loss()
    fit = engine(x, y, loss, eta0=1e300, penalty=None)
    done = fit.epoch()
    assert not done.finite
    assert not fit.save()
    assert len(calls) < N
    np.testing.assert_array_equal(fit.coef(), 0)


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_shuffling_many_times_is_the_order_of_that_epoch(layout):
    x, y = data(layout, "float64")
    fits = engine(x, y), engine(x, y)
    states = [fit.get_state() for fit in fits]
    for fit, state, times in zip(fits, states, (7, 6), strict=True):
        fit.shuffle(11, times)
        fit.set_state(state)
    assert fits[0].epoch() == fits[1].epoch(11)


@pytest.mark.parametrize("held", [[], [0], [N - 1], list(range(N - 1)), list(range(N))])
@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_rows_held_out_are_as_if_absent(layout, held):
    x, y = data(layout, "float64")
    held_out = np.isin(np.arange(N), held)
    masked, smaller = engine(x, y, held_out=held_out), engine(x[~held_out], y[~held_out])
    assert masked.epoch() == smaller.epoch()
    assert masked.save() and smaller.save()
    np.testing.assert_array_equal(masked.coef(), smaller.coef())
