"""Fits of several targets end at the minimum: beside scikit-learn's, SciPy's, and the conditions of
a minimum in plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import brentq, minimize
from scipy.special import expit
from sklearn.linear_model import (
    LogisticRegression,
    MultiTaskElasticNet,
    MultiTaskLasso,
    Ridge,
)

from sklearn_losses import Expectile, HuberLoss, MultiTaskModel, SGDRegressorX
from sklearn_losses.multitask import _descent
from sklearn_losses.multitask._descent import row_minimum

pytestmark = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
N, D, T = 80, 12, 3
Z = RNG.standard_normal((N, D)) + RNG.standard_normal((N, 1))
X = Z * 10.0 ** RNG.uniform(-4, 4, D) + 10.0 ** RNG.uniform(-2, 2, D)
W = np.zeros((T, D))
W[:, :4] = RNG.standard_normal((T, 4))
Y = Z @ W.T + RNG.standard_normal((N, T))
STANDARD_X, STANDARD_Y = (a / a.std(axis=0) for a in (X - X.mean(axis=0), Y - Y.mean(axis=0)))
# A target of each kind, with losses whose derivatives are written down again here.
MIXED = np.column_stack([Y[:, 0], Y[:, 1] > RNG.logistic(size=N), np.exp(Y[:, 2] / 4).round()])
LOSSES = [HuberLoss(0.8), "log_loss", "poisson"]
FORMULAS = [
    (
        lambda y, raw: np.where(abs(y - raw) < 0.8, (y - raw) ** 2 / 2, 0.8 * (abs(y - raw) - 0.4)),
        lambda y, raw: np.clip(raw - y, -0.8, 0.8),
    ),
    (lambda y, raw: np.logaddexp(0, raw) - y * raw, lambda y, raw: expit(raw) - y),
    (lambda y, raw: np.exp(raw) - y * raw, lambda y, raw: np.exp(raw) - y),
]


def least_poisson(y):
    return np.where(y > 0, y - y * np.log(np.where(y > 0, y, 1.0)), 0.0)


def norms(model):
    """Of the rows in the units of the penalty."""
    return np.linalg.norm(model.coef_ * model.feature_scale_ / model.task_scale_[:, None], axis=0)


# ---------------------------------------------------------------------------------- scikit-learn's


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.01])
@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.4])
def test_squared_errors_give_scikit_learns_model_of_standardised_data(alpha, l1_ratio):
    model = MultiTaskModel(alpha=alpha, l1_ratio=l1_ratio).fit(X, Y)
    other = MultiTaskElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-13, max_iter=100000)
    other.fit(STANDARD_X, STANDARD_Y)
    coef = model.coef_ * X.std(axis=0) / Y.std(axis=0)[:, None]
    np.testing.assert_allclose(coef, other.coef_, atol=1e-6 * abs(other.coef_).max())


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_in_their_own_units_they_give_scikit_learns_model_of_the_data(fit_intercept):
    y = Y * [1.0, 10.0, 0.3]
    model = MultiTaskModel(alpha=0.5, standardize=False, fit_intercept=fit_intercept).fit(Z, y)
    other = MultiTaskLasso(alpha=0.5, tol=1e-13, max_iter=100000, fit_intercept=fit_intercept)
    other.fit(Z, y)
    assert 0 < (other.coef_[0] == 0).sum() < D
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-6 * abs(other.coef_).max())
    np.testing.assert_allclose(model.intercept_, other.intercept_, atol=1e-6)


@pytest.mark.parametrize("thin", [False, True])
def test_many_features_give_scikit_learns_model(thin):
    x = RNG.standard_normal((50, 400))
    x = x * (RNG.uniform(size=x.shape) < 0.2) + 3.0 * thin * (RNG.uniform(size=x.shape) < 0.1)
    y = x[:, :6] @ RNG.standard_normal((6, T)) + RNG.standard_normal((50, T))
    x[:, -1] = 0.0
    model = MultiTaskModel(alpha=0.2, standardize=False)
    model.fit(sparse.csr_matrix(x) if thin else x, y)
    other = MultiTaskLasso(alpha=0.2, tol=1e-13, max_iter=100000).fit(x, y)
    assert 3 < (other.coef_[0] != 0).sum() < 100
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-6 * abs(other.coef_).max())


def test_l2_and_no_penalty_give_scikit_learns_models_of_each_target():
    y = np.column_stack([Y[:, 0], MIXED[:, 1]])
    model = MultiTaskModel(["squared_error", "log_loss"], penalty="l2", alpha=0.1, tol=1e-9)
    model.set_params(standardize=False).fit(Z, y)
    ridge = Ridge(alpha=0.1 * N).fit(Z, Y[:, 0])
    np.testing.assert_allclose(model.coef_[0], ridge.coef_, rtol=1e-6)
    logistic = LogisticRegression(C=1 / (0.1 * N), tol=1e-12, solver="newton-cholesky")
    logistic.fit(Z, MIXED[:, 1])
    np.testing.assert_allclose(model.coef_[1], logistic.coef_[0], rtol=1e-6, atol=1e-9)
    plain = MultiTaskModel(["poisson"], penalty=None, tol=1e-9).fit(X, MIXED[:, 2:])
    other = SGDRegressorX("poisson", optimizer="newton", penalty=None, tol=1e-7)
    other.fit(X, MIXED[:, 2])
    np.testing.assert_allclose(plain.predict_raw(X)[:, 0], np.log(other.predict(X)), atol=1e-6)


# ------------------------------------------------------------------------ conditions of a minimum


@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
@pytest.mark.parametrize("task_weight", [None, [0.5, 3.0, 1.0], "uncertainty"])
def test_mixed_losses_end_where_the_conditions_of_a_minimum_hold(task_weight, l1_ratio):
    alpha = 0.15
    model = MultiTaskModel(
        LOSSES, alpha=alpha, l1_ratio=l1_ratio, task_weight=task_weight, tol=1e-9
    ).fit(X, MIXED)
    raw = X @ model.coef_.T + model.intercept_
    scale, null = model.task_scale_, []
    slopes, losses = np.empty((T, D)), np.empty(T)
    for k, (value, derivative) in enumerate(FORMULAS):
        y = MIXED[:, k]
        floor = least_poisson(y).mean() if k == 2 else 0.0
        constant = brentq(lambda c, y=y, f=derivative: f(y, c).mean(), -20, 20, xtol=1e-13)
        null.append(value(y, constant).mean() - floor)
        rms = np.sqrt(np.mean(derivative(y, constant) ** 2))
        assert scale[k] == pytest.approx(2 * null[k] / rms, rel=1e-7)
        u = derivative(y, raw[:, k]) / (2 * null[k])
        assert abs(u.mean()) < 1e-7
        slopes[k] = model.task_weight_[k] * scale[k] * (STANDARD_X * u[:, None]).mean(axis=0)
        losses[k] = value(y, raw[:, k]).mean() - floor
    np.testing.assert_allclose(model.null_loss_, null, rtol=1e-9)
    rows = model.coef_ * X.std(axis=0) / scale[:, None]
    size = np.linalg.norm(rows, axis=0)
    on = size > 0
    assert 1 < on.sum() < D or l1_ratio < 1
    l1, l2 = alpha * l1_ratio, alpha * (1 - l1_ratio)
    pull = slopes[:, on] + l2 * rows[:, on] + l1 * rows[:, on] / size[on]
    assert abs(pull).max() < 1e-7
    assert (np.linalg.norm(slopes[:, ~on], axis=0) <= l1).all()
    if task_weight == "uncertainty":
        np.testing.assert_allclose(model.log_variance_, np.log(losses), atol=1e-6)
        np.testing.assert_allclose(model.task_weight_, null / losses, rtol=1e-6)
    elif task_weight is not None:
        assert model.task_weight_.tolist() == task_weight
    objective = np.sum(model.task_weight_ * losses / null) / 2 + l1 * size.sum()
    objective += l2 * np.sum(size**2) / 2
    if task_weight == "uncertainty":
        objective -= np.sum(np.log(model.task_weight_)) / 2
    assert model.objective_ == pytest.approx(objective, rel=1e-8)


@pytest.mark.parametrize("standardize", [True, False])
def test_uncertainty_is_a_minimum_over_coefficients_and_log_variances_together(standardize):
    """Kendall, Gal and Cipolla (2018): ``exp(-s) * loss + s`` of each task, all by SciPy."""
    x, y = STANDARD_X[:, :3], STANDARD_Y[:, :2]
    half = 0.5 if standardize else 1.0
    model = MultiTaskModel(
        penalty="l2", alpha=0.2, task_weight="uncertainty", standardize=standardize, tol=1e-9
    ).fit(x, y)

    def objective(z):
        w, s = z[:6].reshape(2, 3), z[6:]
        # The loss beside the constant's is the mean square of a standardised target.
        loss = np.mean((y - x @ w.T) ** 2, axis=0) * (1.0 if standardize else 0.5)
        return half * np.sum(np.exp(-s) * loss + s) + 0.1 * np.sum(w**2)

    found = minimize(objective, np.zeros(8), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(model.coef_.ravel(), found.x[:6], atol=1e-6)
    assert model.objective_ == pytest.approx(found.fun, rel=1e-9)
    shift = np.log(2.0) if standardize else 0.0  # the loss is half of the mean square
    np.testing.assert_allclose(model.log_variance_, found.x[6:] - shift, atol=1e-6)


def test_uncertainty_without_a_penalty_is_least_squares_and_its_residual_variance():
    model = MultiTaskModel(alpha=0, task_weight="uncertainty").fit(X, Y)
    design = np.column_stack([STANDARD_X, np.ones(N)])
    residuals = Y - design @ np.linalg.lstsq(design, Y, rcond=None)[0]
    np.testing.assert_allclose(model.log_variance_, np.log(np.mean(residuals**2, axis=0) / 2))


@pytest.mark.parametrize("penalty", ["l1", "l2", None])
@pytest.mark.parametrize("standardize", [True, False])
def test_without_groups_tasks_are_as_if_fitted_alone(penalty, standardize):
    weights, alpha = [0.5, 2.0, 1.0], 0.06
    kwargs = {"penalty": penalty, "standardize": standardize, "l1_ratio": 0.6, "tol": 1e-9}
    model = MultiTaskModel(LOSSES, alpha=alpha, task_weight=weights, **kwargs).fit(Z, MIXED)
    total = 0.0
    for k, weight in enumerate(weights):
        alone = MultiTaskModel(LOSSES[k], alpha=alpha / weight, **kwargs).fit(Z, MIXED[:, k])
        np.testing.assert_allclose(alone.coef_, model.coef_[k], rtol=1e-6, atol=1e-8)
        total += weight * alone.objective_
    assert model.objective_ == pytest.approx(total, rel=1e-8)


def test_groups_of_one_task_are_l1():
    group, single = (MultiTaskModel(penalty=p, alpha=0.1).fit(X, Y[:, 0]) for p in ("l21", "l1"))
    np.testing.assert_array_equal(group.coef_, single.coef_)


@pytest.mark.parametrize("task_weight", [[1.0, 1.0, 1.0], [0.3, 2.0, 1.0]])
def test_from_the_largest_slope_on_all_rows_are_0_and_just_below_one_is_not(task_weight):
    slopes = []
    for k, (_, derivative) in enumerate(FORMULAS):
        y = MIXED[:, k]
        constant = brentq(lambda c, y=y, f=derivative: f(y, c).mean(), -20, 20, xtol=1e-14)
        u = derivative(y, constant)
        u /= np.sqrt(np.mean(u**2))
        slopes.append(task_weight[k] * (STANDARD_X * u[:, None]).mean(axis=0))
    critical = np.linalg.norm(slopes, axis=0).max()
    above, below = (
        MultiTaskModel(LOSSES, alpha=share * critical, task_weight=task_weight).fit(X, MIXED)
        for share in (1.0001, 0.9999)
    )
    assert not above.coef_.any() and above.n_iter_ <= 3
    rows = norms(below)
    assert np.count_nonzero(rows) == 1
    assert np.argmax(rows) == np.argmax(np.linalg.norm(slopes, axis=0))


# ------------------------------------------------------------------------------------------- gaps


@pytest.mark.parametrize("losses", ["squared_error", LOSSES], ids=["squared", "mixed"])
def test_the_gap_is_a_bound_of_what_is_left(losses):
    y = Y if losses == "squared_error" else MIXED
    best = MultiTaskModel(losses, alpha=0.03, tol=1e-9).fit(X, y).objective_
    for tol in (1.0, 1e-1, 1e-2, 1e-4):
        model = MultiTaskModel(losses, alpha=0.03, tol=tol).fit(X, y)
        assert -1e-9 <= model.objective_ - best <= model.gap_
        assert model.gap_ <= tol * model.objective_
    default = MultiTaskModel(losses, alpha=0.03).fit(X, y)
    assert default.objective_ - best <= 1e-6 * best


# --------------------------------------------------------------------------------- hard problems


@pytest.mark.parametrize("delta", [1e-3, 0.05, 100.0])
def test_hubers_loss_with_a_threshold_far_from_the_residuals_reaches_the_minimum(delta):
    """Most samples are where it has no second derivative; with 100 none are."""
    model = MultiTaskModel(HuberLoss(delta), alpha=0.05, tol=1e-6).fit(X, Y)
    assert model.gap_ <= 1e-6 * model.objective_


def test_hubers_loss_reaches_the_minimum_where_nearly_all_samples_can_be_met():
    x = RNG.standard_normal((11, 10))
    y = x @ RNG.standard_normal((10, T)) * 100.0
    model = MultiTaskModel("huber", penalty="l2", fit_intercept=False).fit(x, y)
    assert model.gap_ <= 1e-6 * max(model.objective_, 1e-3)


@pytest.mark.parametrize("loss", ["log_cosh", "smooth_l1", "smooth_quantile", Expectile(0.9)])
def test_other_smooth_losses_reach_the_minimum(loss):
    model = MultiTaskModel(loss, alpha=0.05).fit(X, Y * [1.0, 1e3, 1e-2])
    assert model.gap_ <= 1e-6 * model.objective_


def test_columns_that_are_nearly_the_same_reach_the_minimum():
    x = np.column_stack([Z, Z + 1e-5 * RNG.standard_normal(Z.shape), Z[:, :2]])
    for loss, y in (("squared_error", Y), (LOSSES, MIXED)):
        model = MultiTaskModel(loss, alpha=0.02).fit(x, y)
        assert model.gap_ <= 1e-6 * model.objective_


@pytest.mark.parametrize("penalty", ["l1", "l2", "l21"])
def test_sparse_columns_far_from_0_are_centred(penalty):
    x = np.where(RNG.uniform(size=Z.shape) < 0.5, 0.0, Z + 1e3)
    dense, thin = (
        MultiTaskModel(LOSSES, penalty=penalty, alpha=0.05, tol=1e-8).fit(each, MIXED)
        for each in (x, sparse.csr_matrix(x))
    )
    np.testing.assert_allclose(thin.predict_raw(x), dense.predict_raw(x), atol=1e-6)


def test_more_features_than_a_matrix_is_formed_for_give_the_same_model(monkeypatch):
    kwargs = {"penalty": "l2", "alpha": 0.05, "tol": 1e-8}
    by_matrix = MultiTaskModel(LOSSES, **kwargs).fit(X, MIXED)
    monkeypatch.setattr(_descent, "MOST_WIDTH", 0)
    by_products = MultiTaskModel(LOSSES, **kwargs).fit(X, MIXED)
    np.testing.assert_allclose(by_products.coef_, by_matrix.coef_, rtol=1e-5, atol=1e-10)


def test_without_direct_steps_coordinate_descent_comes_to_the_same_model(monkeypatch):
    direct = MultiTaskModel(LOSSES, alpha=0.05, tol=1e-7).fit(X, MIXED)
    monkeypatch.setattr(_descent, "MOST_DIRECT", 0)
    by_rows = MultiTaskModel(LOSSES, alpha=0.05, tol=1e-7).fit(X, MIXED)
    np.testing.assert_allclose(by_rows.predict_raw(X), direct.predict_raw(X), atol=1e-5)


@given(
    st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(-100, 100)), min_size=1, max_size=5),
    st.floats(0.0, 100.0),
)
@settings(max_examples=100, deadline=None)
def test_a_row_goes_to_its_minimum(pairs, l1):
    bend, slope = np.array(pairs).T
    x = row_minimum(bend, slope, l1)
    size = np.linalg.norm(x)
    if size == 0.0:
        assert np.linalg.norm(slope) <= l1 * (1 + 1e-12) + 1e-300
    else:
        left = slope + bend * x + l1 * x / size
        assert abs(left).max() <= 1e-9 * (abs(slope).max() + l1)
