"""Data and estimators of every kind, for the tests of what runs on a device."""

import numpy as np
from scipy import sparse

import sklearn_losses as sl
from sklearn_losses import LogitAdjusted, PinballLoss, SGDClassifierX, SGDRegressorX
from sklearn_losses._array import on_device, to_host

RNG = np.random.RandomState(0)
N, D = 90, 5
X = RNG.randn(N, D) * (RNG.uniform(size=(N, D)) < 0.6)
SIGNAL = X @ RNG.randn(D) + 0.1 * RNG.randn(N)
BINARY = (SIGNAL > 0).astype(int)
THREE = np.digitize(SIGNAL, [-0.5, 0.5])
SOFT = np.exp(SIGNAL[:, None] * [-1.0, 0.0, 1.0])
SOFT /= SOFT.sum(axis=1, keepdims=True)
LABELS = (np.stack([SIGNAL, -SIGNAL, X[:, 0]], axis=1) > 0.2).astype(int)
WEIGHT = RNG.uniform(0.5, 2, N)
OFFSET = 0.3 * RNG.randn(N)
WORDS = np.array(["low", "middle", "high"])[THREE]

QUANTILES = PinballLoss(quantile=[0.1, 0.5, 0.9])
# name: (estimator, loss, y)
KINDS = {
    "regression": (SGDRegressorX, "huber", SIGNAL),
    "log link": (SGDRegressorX, "poisson", np.exp(SIGNAL)),
    "outputs": (SGDRegressorX, "squared_error", np.stack([SIGNAL, X[:, 1]], axis=1)),
    "quantiles": (SGDRegressorX, QUANTILES, SIGNAL),
    "binary": (SGDClassifierX, "log_loss", BINARY),
    "one-vs-rest": (SGDClassifierX, "hinge", THREE),
    "regression loss": (SGDClassifierX, "squared_error", THREE),
    "several labels": (SGDClassifierX, "log_loss", LABELS),
    "row-wise": (SGDClassifierX, "multinomial", THREE),
    "row-wise of two": (SGDClassifierX, "multinomial", BINARY),
    "soft": (SGDClassifierX, "multinomial", SOFT),
    "soft of two": (SGDClassifierX, "log_loss", np.stack([1 - SOFT[:, 2], SOFT[:, 2]], axis=1)),
    "counted": (SGDClassifierX, LogitAdjusted(), THREE),
    "text": (SGDClassifierX, "multinomial", WORDS),
}
OPTIMIZERS = list(sl.OPTIMIZERS)
LAYOUTS = {"dense": np.array, "csr": sparse.csr_matrix}


def model_of(kind, **params):
    estimator, loss, _ = KINDS[kind]
    given = {"learning_rate": "constant", "eta0": 0.02, "alpha": 0.01, "batch_size": 8}
    given |= {"random_state": 0, "max_iter": 4, "tol": None}
    return estimator(loss, **{**given, **params})


def there(device, x):
    """`x` on the device, but for text, which no device holds."""
    if sparse.issparse(x):
        return device.sparse.csr_matrix(x)
    return device.xp.asarray(x) if isinstance(x, np.ndarray) and x.dtype.kind != "U" else x


def assert_same_fit(found, expected, rtol=1e-9):
    assert on_device(found.coef_) and on_device(found.intercept_)
    assert found.coef_.dtype == expected.coef_.dtype and found.coef_.shape == expected.coef_.shape
    scale = np.abs(expected.coef_).max()
    np.testing.assert_allclose(to_host(found.coef_), expected.coef_, rtol=rtol, atol=rtol * scale)
    np.testing.assert_allclose(
        to_host(found.intercept_), expected.intercept_, rtol=rtol, atol=rtol * scale
    )
    assert found.n_iter_ == expected.n_iter_ and found.t_ == expected.t_
    assert found.stop_reason_ == expected.stop_reason_
    for curve in ("loss", "validation", "grad_norm", "learning_rate"):
        mine, theirs = (getattr(model, f"{curve}_curve_") for model in (found, expected))
        assert all(type(value) is float for value in mine)
        np.testing.assert_allclose(mine, theirs, rtol=100 * rtol, atol=rtol)
    if hasattr(expected, "classes_"):
        assert type(found.classes_) is np.ndarray
        np.testing.assert_array_equal(found.classes_, expected.classes_)
