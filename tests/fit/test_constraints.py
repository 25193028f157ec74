"""Weights under linear constraints: feasible, and at the minimum that other solvers find."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import LinearConstraint, minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from sklearn_losses import (
    ConstrainedClassifier,
    ConstrainedRegressor,
    HuberLoss,
    PinballLoss,
    SGDRegressorX,
    get_loss,
)

RNG = np.random.RandomState(0)
X = RNG.standard_normal((120, 4)) * [1.0, 10.0, 0.1, 1.0] + 3.0
Y = X @ [1.0, 0.2, 5.0, -1.0] + RNG.standard_normal(120)
TWO = (Y + RNG.standard_normal(120) > np.median(Y)).astype(float)
COUNTS = RNG.poisson(np.exp((Y - Y.mean()) / 4)).astype(float)
A = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, -1.0]])
LOW, HIGH = np.array([-np.inf, 1.0, 0.1]), np.array([0.5, 1.0, 2.0])
CONSTRAINTS = LinearConstraint(A, LOW, HIGH)
OF_CLASSES = ("log_loss", "squared_hinge", "hinge", "exponential")


def target(loss):
    return {True: TWO, False: COUNTS if loss == "poisson" else Y}[loss in OF_CLASSES]


def model_of(loss, **params):
    task = get_loss(loss).task
    return (ConstrainedRegressor if task == "regression" else ConstrainedClassifier)(loss, **params)


def excess(coef, low=LOW, high=HIGH):
    at = A @ np.ravel(coef)
    return np.maximum(low - at, at - high).max()


# By CLARABEL 0.11.1 in cvxpy 1.9.3, with all of its tolerances at 1e-13, the losses written as
# cp.sum_squares(raw - Y) / 240, cp.sum(cp.huber(raw - Y, 1.0)) / 240, cp.maximum(0.7 * (Y - raw),
# 0.3 * (raw - Y)), cp.logistic(raw) - TWO * raw and cp.pos(1 - (2 * TWO - 1) * raw), under
# l1 * cp.norm1(w) + l2 / 2 * cp.sum_squares(w) and the constraints above.
CVXPY = [
    ("squared_error", 0.0, 1e-3, 0.9482170101967254, 0.312194668, 0.187805332, 1.8811326),
    ("squared_error", 0.02, 0.0, 1.0105159938451238, 0.312172858, 0.187827142, 1.842331836),
    (HuberLoss(1.0), 0.0, 1e-3, 0.707151465883343, 0.309985993, 0.190014007, 1.936459529),
    (HuberLoss(1.0), 0.02, 0.0, 0.7709496498738208, 0.310750421, 0.189249579, 1.868653453),
    (PinballLoss(0.7), 0.0, 1e-3, 0.4957853132149537, 0.323501856, 0.176498144, 1.84358224),
    (PinballLoss(0.7), 0.02, 0.0, 0.5568850226911607, 0.321261078, 0.178738922, 1.762484041),
    ("log_loss", 0.0, 1e-3, 0.3940395224089795, 0.304965487, 0.195034513, 1.933092299),
    ("log_loss", 0.02, 0.0, 0.45297176228818653, 0.316991696, 0.183008304, 1.619890571),
    ("hinge", 0.0, 1e-3, 0.4175733720192704, 0.352413431, 0.147586569, 1.668937001),
    ("hinge", 0.02, 0.0, 0.4693004287960347, 0.348944434, 0.151055566, 1.54471254),
]


@pytest.mark.parametrize("given", CVXPY, ids=str)
def test_the_minimum_is_that_of_cvxpy(given):
    loss, l1, l2, value, *coef = given
    alpha = l1 + l2
    model = model_of(loss, constraints=CONSTRAINTS, alpha=alpha, l1_ratio=l1 / alpha)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, TWO if loss in OF_CLASSES else Y)
    assert model.objective_ == pytest.approx(value, rel=1e-11)
    np.testing.assert_allclose(np.ravel(model.coef_)[:3], coef, atol=2e-8)
    assert excess(model.coef_) < 1e-12


@pytest.mark.parametrize("loss", ["poisson", "expectile", "log_cosh", "squared_hinge"])
def test_the_minimum_is_that_of_slsqp(loss):
    made, y, offset = get_loss(loss), target(loss), 0.1 * X[:, 3]
    weight = RNG.uniform(0.2, 2.0, len(y))

    def objective(v):
        raw = X @ v[:-1] + v[-1] + offset
        return np.average(made.loss(y, raw), weights=weight) + 0.01 / 2 * v[:-1] @ v[:-1]

    def gradient(v):
        slope = made.gradient(y, X @ v[:-1] + v[-1] + offset) * weight / weight.sum()
        return np.append(X.T @ slope + 0.01 * v[:-1], slope.sum())

    rows = [
        {"type": "ineq", "fun": lambda v: 0.5 - A[0] @ v[:-1]},
        {"type": "eq", "fun": lambda v: A[1] @ v[:-1] - 1.0},
        {"type": "ineq", "fun": lambda v: A[2] @ v[:-1] - 0.1},
        {"type": "ineq", "fun": lambda v: 2.0 - A[2] @ v[:-1]},
    ]
    start = np.append(np.zeros(4), 0.1)
    options = {"ftol": 1e-15, "maxiter": 1000}
    found = minimize(
        objective, start, jac=gradient, method="SLSQP", constraints=rows, options=options
    )
    model = model_of(loss, constraints=CONSTRAINTS, alpha=0.01)
    model.fit(X, y, sample_weight=weight, offset=offset)
    assert excess(model.coef_) < 1e-12
    at = np.append(model.coef_, model.intercept_)
    assert model.objective_ == pytest.approx(objective(at), rel=1e-12)
    assert model.objective_ <= found.fun * (1 + 1e-12)
    np.testing.assert_allclose(at, found.x, atol=2e-6)


@pytest.mark.parametrize("loss", ["squared_error", "huber", "poisson", "log_loss", "exponential"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_multipliers_balance_the_gradient(loss, fit_intercept):
    made, y = get_loss(loss), target(loss)
    model = model_of(loss, constraints=CONSTRAINTS, alpha=1e-3, fit_intercept=fit_intercept)
    coef = np.ravel(model.fit(X, y).coef_)
    slope = made.gradient(y, X @ coef + float(np.ravel(model.intercept_)[0])) / len(y)
    pull = X.T @ slope + 1e-3 * coef
    np.testing.assert_allclose(pull, -model.multipliers_ @ A, atol=1e-8 * np.abs(pull).max())
    if fit_intercept:
        assert abs(slope.sum()) < 1e-9
    else:
        assert float(np.ravel(model.intercept_)[0]) == 0.0
    at = A @ coef
    upper, lower = model.multipliers_ > 1e-9, model.multipliers_ < -1e-9
    np.testing.assert_allclose(at[upper], HIGH[upper], atol=1e-9)
    np.testing.assert_allclose(at[lower], LOW[lower], atol=1e-9)


def test_a_multiplier_is_what_a_unit_of_the_limit_is_worth():
    made = []
    for step in (-1e-4, 0.0, 1e-4):
        constraints = LinearConstraint(A, LOW, HIGH + [step, 0.0, 0.0])
        made.append(ConstrainedRegressor(constraints=constraints).fit(X, Y))
    fall = made[0].objective_ - made[2].objective_
    assert made[1].multipliers_[0] == pytest.approx(fall / 2e-4, rel=1e-4)
    assert made[1].multipliers_[0] > 0.1


def test_constraints_that_hold_nothing_change_nothing():
    wide = LinearConstraint(A, -1e3, 1e3)
    plain = SGDRegressorX("huber", optimizer="newton", alpha=1e-3, tol=1e-10).fit(X, Y)
    for constraints in (None, [], wide):
        model = ConstrainedRegressor("huber", constraints=constraints, alpha=1e-3).fit(X, Y)
        np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-6)
    np.testing.assert_array_equal(np.abs(model.multipliers_) < 1e-9, True)


@pytest.mark.parametrize("loss", ["huber", "quantile"])
def test_bounds_written_as_constraints_are_those_of_the_other_estimators(loss):
    low, high = np.array([0.5, -np.inf, -1.0, -0.5]), np.array([0.8, 0.1, 2.0, np.inf])
    bounded = SGDRegressorX(loss, optimizer="auto", alpha=1e-3, bounds=(low, high), tol=1e-9)
    model = ConstrainedRegressor(
        loss, constraints=LinearConstraint(np.eye(4), low, high), alpha=1e-3
    )
    np.testing.assert_allclose(model.fit(X, Y).coef_, bounded.fit(X, Y).coef_, atol=2e-6)


def test_units_of_X_and_y_change_units_alone():
    a = ConstrainedRegressor("squared_error", constraints=CONSTRAINTS, alpha=0.0).fit(X, Y)
    unit = np.array([1e6, 1e-5, 1.0, 30.0])
    scaled = LinearConstraint(A * unit, 1e4 * LOW, 1e4 * HIGH)
    b = ConstrainedRegressor("squared_error", constraints=scaled, alpha=0.0).fit(X * unit, 1e4 * Y)
    np.testing.assert_allclose(b.coef_ * unit / 1e4, a.coef_, rtol=1e-8)
    np.testing.assert_allclose(b.multipliers_ / 1e4, a.multipliers_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("loss", ["log_loss", "hinge", "squared_error", "quantile"])
def test_a_weight_of_two_is_two_copies_and_of_zero_none(loss):
    y = target(loss)
    weight = np.arange(len(y)) % 3
    a = model_of(loss, constraints=CONSTRAINTS).fit(X, y, sample_weight=weight)
    at = np.repeat(np.arange(len(y)), weight)
    b = model_of(loss, constraints=CONSTRAINTS).fit(X[at], y[at])
    np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-7)
    assert a.objective_ == pytest.approx(b.objective_, rel=1e-10)


@pytest.mark.parametrize("loss", ["log_loss", "quantile"])
def test_sparse_and_dense_samples_and_constraints_are_the_same(loss):
    y, thin = target(loss), X * (np.abs(X - 3) > 0.5)
    a = model_of(loss, constraints=CONSTRAINTS).fit(thin, y)
    split = [LinearConstraint(sparse.csr_array(A[[k]]), LOW[k], HIGH[k]) for k in range(3)]
    b = model_of(loss, constraints=split).fit(sparse.csr_array(thin), y)
    np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-8)
    np.testing.assert_allclose(a.predict(thin), b.predict(sparse.csr_array(thin)), atol=1e-8)


def test_float32_is_kept_and_offsets_count_in_predictions():
    offset = X[:, 0]
    model = ConstrainedRegressor("poisson", constraints=CONSTRAINTS)
    model.fit(X.astype(np.float32), COUNTS, offset=offset)
    assert model.coef_.dtype == np.float32
    assert excess(model.coef_) < 1e-6
    np.testing.assert_allclose(
        model.predict(X, offset=offset), model.predict(X) * np.exp(offset), rtol=1e-5
    )
    two = ConstrainedClassifier(constraints=CONSTRAINTS).fit(X, TWO, offset=offset)
    raw = two.decision_function(X, offset=offset)
    np.testing.assert_allclose(raw, two.decision_function(X) + offset)


def test_equations_that_follow_from_others_are_no_harm():
    rows = [LinearConstraint(A[1], 1, 1), LinearConstraint(2 * A[1], 2, 2)]
    model = ConstrainedRegressor(constraints=rows).fit(X, Y)
    single = ConstrainedRegressor(constraints=rows[0]).fit(X, Y)
    np.testing.assert_allclose(model.coef_, single.coef_, atol=1e-10)
    assert np.count_nonzero(model.multipliers_) == 1


def test_l1_sets_weights_to_zero_exactly():
    model = ConstrainedRegressor(constraints=LinearConstraint(A[1], 0, 0), alpha=1.0, l1_ratio=1.0)
    assert (model.fit(X, Y).coef_ == 0).any()
    assert abs(A[1] @ model.coef_) < 1e-12


def test_weights_of_columns_without_effect_meet_constraints_too():
    constant = np.column_stack([X, np.full(len(X), 7.0)])
    constraints = LinearConstraint([[0, 0, 0, 1, 1.0]], 3.0, 3.0)
    model = ConstrainedRegressor(constraints=constraints).fit(constant, Y)
    assert model.coef_[3:].sum() == pytest.approx(3.0, abs=1e-10)
    free = ConstrainedRegressor().fit(X, Y)
    np.testing.assert_allclose(model.predict(constant), free.predict(X), atol=0.05)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.booleans())
def test_any_feasible_constraints_are_met_at_the_minimum(seed, n_rows, equal):
    rng = np.random.RandomState(seed)
    matrix = rng.standard_normal((n_rows, 4)) * 10.0 ** rng.uniform(-2, 2, (n_rows, 1))
    at = matrix @ rng.standard_normal(4)  # which some weights meet
    size = np.abs(matrix).max(axis=1)
    low, high = at - size * rng.uniform(0, 1, n_rows), at + size * rng.uniform(0, 1, n_rows)
    if equal:
        low[0] = high[0] = at[0]
    model = ConstrainedClassifier(constraints=LinearConstraint(matrix, low, high), alpha=1e-2)
    coef = model.fit(X, TWO).coef_[0]
    assert (np.maximum(low - matrix @ coef, matrix @ coef - high) <= 1e-9 * size).all()
    slope = get_loss("log_loss").gradient(TWO, X @ coef + model.intercept_[0]) / len(X)
    pull = X.T @ slope + 1e-2 * coef
    left = pull + model.multipliers_ @ matrix
    assert np.abs(left).max() < 1e-6 * (1 + np.abs(X.T).dot(np.abs(slope)).max())


@pytest.mark.parametrize(
    "constraints",
    [
        [LinearConstraint(A[0], lb=1), LinearConstraint(2 * A[0], ub=1.9)],
        [LinearConstraint(A[1], 1, 1), LinearConstraint(A[1], 2, 2)],
        LinearConstraint(np.zeros((1, 4)), lb=1.0),
        LinearConstraint(np.vstack([1e-6 * np.eye(4), -1e-6 * np.ones(4)]), lb=1e-7),
    ],
)
def test_constraints_that_no_weights_meet_are_refused(constraints):
    with pytest.raises(ValueError, match="constraints cannot be met"):
        ConstrainedRegressor(constraints=constraints).fit(X, Y)


@pytest.mark.parametrize(
    "constraints, message",
    [
        (A, "must be a scipy.optimize.LinearConstraint"),
        ([CONSTRAINTS, 3], r"constraints\[1\] must be"),
        (LinearConstraint(A[:, :3]), "a column for each of the 4 features"),
        (LinearConstraint(A * np.nan), "finite"),
        (LinearConstraint(A, np.nan), "lb must not be NaN"),
        (LinearConstraint(A, 1, 0), "no number is between lb and ub in row 0"),
        (LinearConstraint(A, np.inf, np.inf), "no number is between"),
    ],
)
def test_constraints_that_are_none_are_named(constraints, message):
    model = ConstrainedRegressor(constraints=CONSTRAINTS).fit(X, Y)
    before = model.coef_
    with pytest.raises((TypeError, ValueError), match=message):
        model.set_params(constraints=constraints).fit(X, Y)
    assert model.coef_ is before


@pytest.mark.parametrize(
    "model, message",
    [
        (ConstrainedRegressor("tukey"), "not convex"),
        (ConstrainedRegressor("log_loss"), "another task"),
        (ConstrainedRegressor(HuberLoss("auto")), "numbers for its parameters"),
        (ConstrainedRegressor(PinballLoss([0.1, 0.9])), "one value"),
        (ConstrainedRegressor("cox"), "one raw prediction"),
        (ConstrainedClassifier("multinomial"), "one raw prediction"),
        (ConstrainedRegressor(alpha=-1), "alpha"),
        (ConstrainedRegressor(l1_ratio=2), "l1_ratio"),
        (ConstrainedRegressor(tol=0), "tol"),
        (ConstrainedRegressor(max_iter=0), "max_iter"),
        (ConstrainedRegressor(fit_intercept="no"), "fit_intercept"),
    ],
)
def test_parameters_that_have_no_meaning_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, TWO)


def test_three_classes_and_a_single_one_are_refused():
    for y in (np.arange(len(X)) % 3, np.zeros(len(X))):
        with pytest.raises(ValueError, match="class"):
            ConstrainedClassifier().fit(X, y)
    with pytest.raises(ValueError, match="not 0; got one class"):
        ConstrainedClassifier().fit(X, TWO, sample_weight=TWO)


def test_classes_that_a_line_parts_have_no_minimum_and_a_warning():
    parted = X[:, 0] > 3
    with pytest.warns(ConvergenceWarning, match="take alpha > 0"):
        ConstrainedClassifier(alpha=0.0).fit(X, parted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ConstrainedClassifier(alpha=0.0, constraints=LinearConstraint(np.eye(4), -5, 5)).fit(
            X, parted
        )


def test_they_work_in_pipelines_and_searches_and_pickles():
    pipeline = make_pipeline(StandardScaler(), ConstrainedClassifier("hinge"))
    grid = {
        "constrainedclassifier__constraints": [None, LinearConstraint(np.eye(4), 0)],
        "constrainedclassifier__alpha": [1e-3, 1e-1],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, TWO)
    assert search.best_score_ > 0.7
    model = ConstrainedClassifier(constraints=CONSTRAINTS).fit(X, TWO)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(model.predict_proba(X)[:, 1] > 0.5, model.predict(X))
    assert clone(model).constraints is not None
    assert not hasattr(ConstrainedClassifier("hinge"), "predict_proba")


@pytest.mark.parametrize(
    "model",
    [
        ConstrainedRegressor(),
        ConstrainedClassifier(),
        pytest.param(ConstrainedRegressor("quantile"), marks=pytest.mark.slow),
        pytest.param(ConstrainedClassifier("hinge"), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_scikit_learns_checks_pass(model):
    check_estimator(model, on_skip=None)
