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


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_that_ended_short_of_the_minimum_say_so(optimizer):
    """One row far out hides what the others could still gain."""
    x, y = np.vstack([X, [[1e4] * 3]]), np.r_[Y, 3.0]
    message = said(SGDRegressorX(optimizer=optimizer, batch_size=64, random_state=0), x, y)
    assert "ended short of the minimum" in message and "optimizer='auto'" in message
    assert not said(SGDRegressorX(optimizer=optimizer, batch_size=64, random_state=0), X, Y)


def test_a_stream_that_begins_with_one_class_starts_at_the_minimax_proportion():
    model = SGDClassifierX("log_loss", optimizer="adam", batch_size=100, learning_rate="constant")
    model.set_params(eta0=1e-12).partial_fit(X[:100], np.zeros(100), classes=[0, 1])
    # (0 + sqrt(n) / 2) / (n + sqrt(n))
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], 5 / 110, rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "saga"])
@pytest.mark.parametrize("loss, k, words", [
    ("poisson", 0.0, "All targets are 0: the loss has no minimum"),
    ("squared_error", 1e-200, "losses are too small to be numbers. Scale y"),
])  # fmt: skip
def test_targets_that_hide_what_there_is_to_fit_are_told_of(loss, k, words, optimizer):
    model = SGDRegressorX(loss, optimizer=optimizer, batch_size=32, max_iter=3000, random_state=0)
    with pytest.warns(ConvergenceWarning, match=words):
        model.fit(X, k * X[:, 0])
    assert np.isfinite(model.coef_).all() and np.abs(model.coef_).max() < 1e-3


@pytest.mark.parametrize("k", [1e-100, 1e-40, 1e15, 1e30, 1e100])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_lbfgs_takes_any_unit_of_y(penalty, k):
    rng = np.random.RandomState(0)
    y = X @ [1.0, 2.0, 3.0] + rng.randn(len(X))
    alpha = 1e-3 if penalty == "l2" else 1e-3 * k  # the slope of |w| has the unit of y
    arguments = {"optimizer": "lbfgs", "penalty": penalty, "tol": 1e-6}
    unit = SGDRegressorX(alpha=1e-3, **arguments).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SGDRegressorX(alpha=alpha, **arguments).fit(X, k * y)
    np.testing.assert_allclose(model.coef_ / k, unit.coef_, rtol=1e-5)
    np.testing.assert_allclose(model.intercept_ / k, unit.intercept_, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["saga", "svrg"])
def test_a_target_that_does_not_vary_is_met_at_once(optimizer):
    model = SGDRegressorX(optimizer=optimizer, batch_size=16, random_state=0)
    assert said(model, X, np.full(len(X), 3.7)) == ""
    assert model.stop_reason_ == "converged" and model.n_iter_ <= 3
    np.testing.assert_allclose(model.predict(X), 3.7)


def test_rows_without_weight_do_not_shorten_steps():
    y = X @ [1.0, 2.0, 3.0]
    weight = np.ones(len(y))
    weight[:3] = 0
    far = X.copy()
    far[:3] *= 1e5
    fits = [
        SGDRegressorX(optimizer="sgd", batch_size=16, random_state=0, max_iter=3, tol=None).fit(
            x, y, sample_weight=weight
        )
        for x in (X, far)
    ]
    np.testing.assert_allclose(fits[1].coef_, fits[0].coef_, rtol=1e-6)


def test_steps_next_to_a_kink_that_ended_short_say_so():
    y = X @ [1.0, 2.0, 3.0]
    words = said(SGDRegressorX("absolute_error", optimizer="sgd", batch_size=16, random_state=0,
                               alpha=1e-6), X, y)  # fmt: skip
    assert "ended short of the minimum" in words


def test_events_too_rare_for_the_rows_looked_at_are_not_none():
    rng = np.random.RandomState(0)
    x, y = rng.randn(60_000, 3), np.zeros(60_000)
    y[1:6] = 1  # the rows looked at are every 14th, from row 0
    model = SGDRegressorX("poisson", optimizer="adam", batch_size=256, random_state=0)
    assert "All targets" not in said(model, x, y)


def test_targets_that_a_kinks_loss_can_tell_apart_are_not_called_too_small():
    model = SGDRegressorX("absolute_error", optimizer="lbfgs", alpha=0)
    assert "too small" not in said(model, X, 1e-200 * Y)
