"""What a fit says of itself, by cause; and lines of scikit-learn's algorithm that others do not
reach."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDRegressor

from sklearn_losses import Cauchy, HuberLoss, SGDClassifierX, SGDRegressorX
from sklearn_losses._solvers.fit import Patience

RNG = np.random.RandomState(0)
X = RNG.randn(200, 3)
Y = X @ [1.0, -2.0, 0.5] + 0.1 * RNG.randn(200)
CLASSES = (X[:, 0] > 0).astype(int)


def said(model, x, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y)
    messages = [str(w.message) for w in caught if w.category is ConvergenceWarning]
    assert len(messages) <= 1  # one warning, of all that there is to say
    return messages[0] if messages else ""


@pytest.mark.parametrize("model, x, y, words", [
    (SGDRegressorX(random_state=0), X * [1, 1e3, 1], Y,
     ["worse than the best constant", "unlike size", "make_pipeline(StandardScaler(), SGDRegr"]),
    (SGDRegressorX(random_state=0, eta0=10.0, max_iter=5), X, 1e3 * Y,
     ["worse than the best constant", "y varies by", "TransformedTargetRegressor(regressor=SGDR"]),
    (SGDRegressorX(random_state=0, eta0=0.9, learning_rate="constant"), X, Y,
     ["worse than the best constant", "steps may be too long", "eta0=0.09"]),
    (SGDRegressorX(optimizer="saga", max_iter=2), X, Y,
     ["Maximum number of iteration reached", "max_iter=20"]),
    (SGDRegressorX(HuberLoss(delta=1e5), optimizer="lbfgs"), X, Y, []),
    (SGDRegressorX("absolute_error", optimizer="lbfgs"), X, 1e6 * Y,
     ["In the units of y, alpha=0.0001 holds the weights near 0", "delta='auto'"]),
    (SGDClassifierX("log_loss", optimizer="lbfgs", alpha=0), X, CLASSES,
     ["The classes are separated", "alpha=1e-4"]),
    (SGDClassifierX("log_loss", optimizer="lbfgs"), X, CLASSES, []),
    (SGDRegressorX(optimizer="lbfgs"), X, Y, []),
    (SGDRegressorX(random_state=0), X, Y, []),
    (SGDRegressorX(optimizer="adam", batch_size=16, random_state=0), X * [1, 1e5, 1e-5], 1e6 * Y,
     []),
])  # fmt: skip
def test_a_fit_names_the_cause_and_the_remedy(model, x, y, words):
    message = said(model, x, y)
    assert bool(message) == bool(words), message
    for part in words:
        assert part in message, message


def test_a_loss_that_is_not_convex_is_measured_by_its_best_constant():
    # Two clusters: the median is in the smaller gap's side, the best constant in the larger one.
    y = np.r_[np.zeros(40), np.full(60, 100.0)] + 0.01 * RNG.randn(100)
    x = np.zeros((100, 1))
    model = SGDRegressorX(Cauchy(c=0.1), optimizer="lbfgs")
    model.fit(x, y, intercept_init=[0.0], coef_init=[0.0])
    assert abs(model.intercept_[0]) < 1
    with pytest.warns(ConvergenceWarning, match="worse than the best constant"):
        model.fit(x, y, intercept_init=[0.0], coef_init=[0.0])
    assert abs(model.fit(x, y).intercept_[0] - 100) < 1


def test_patience_counts_what_falls_by_less_than_tol():
    """scikit-learn's comparison: just as much as `tol` is progress."""
    patience = Patience(0.25)
    assert [patience.see(v) for v in (1.0, 0.75, 0.625, 0.5, 0.25)] == [0, 0, 1, 2, 0]
    scaled = Patience(0.25)
    assert [scaled.see(v, size=2.0) for v in (4.0, 3.5, 3.25)] == [0, 0, 1]


def test_rows_without_entries_take_no_passive_aggressive_step():
    x = X.copy()
    x[::3] = 0.0
    params = {"learning_rate": "pa1", "loss": "epsilon_insensitive", "penalty": None}
    params |= {"eta0": 0.5, "max_iter": 2, "tol": None, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = SGDRegressorX(**params).fit(x, Y), SGDRegressor(**params).fit(x, Y)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_objective_is_right_where_the_scale_of_the_weights_is_folded(dtype):
    """A strong penalty makes the weights' common factor so small that it is multiplied out."""
    alpha, eta = 0.6, 0.8
    params = {"learning_rate": "constant", "eta0": eta, "alpha": alpha, "shuffle": False}
    x = X.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SGDRegressorX(max_iter=1, tol=None, **params).fit(x, Y)
    w, b, total = np.zeros(3), 0.0, 0.0
    for row, target in zip(x.astype(float), Y, strict=True):
        r = row @ w + b - target
        total += r**2 / 2 + alpha / 2 * (w @ w)
        w = w * (1 - eta * alpha) - eta * r * row
        b -= eta * r
    np.testing.assert_allclose(model.coef_, w, rtol=1e-4 if dtype == np.float32 else 1e-9)
    rtol = 1e-4 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(model.loss_curve_[0], total / len(Y), rtol=rtol)
