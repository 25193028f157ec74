"""Fits of worst means: their minima, by linear programs and a peer; groups, classes, searches."""

import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import sklearn_losses as sl
from sklearn_losses import (
    ChiSquareRobustLoss,
    CVaRLoss,
    GroupRobustLoss,
    HuberLoss,
    KLRobustLoss,
    SGDClassifierX,
    SGDRegressorX,
    TiltedLoss,
    group_target,
)
from sklearn_losses.losses import ROBUST_MEANS

X, Y = load_diabetes(return_X_y=True)
X, Y = (X / X.std(axis=0))[:150], Y[:150] / 100
B, C = load_breast_cancer(return_X_y=True)
B, C = ((B - B.mean(axis=0)) / B.std(axis=0))[:150, :6], C[:150]
GROUP = (X[:, 1] > 0).astype(int) + 2 * (X[:, 2] > 1)

# Minima with alpha=0.01, of cvxpy 1.9.3 with Clarabel at tolerances of 1e-10: the losses of the
# samples go into ``t + sum(pos(losses - t)) / (n * (1 - 0.8))``, ``t + sqrt((1 + 2 * 0.5) / n) *
# norm(pos(losses - t), 2)``, ``t + 0.5 * s`` with ``ExpCone(losses - t, s, u), sum(u) <= n * s``,
# and ``max(hstack([mean(losses[group == g]) for g in range(4)]))``.
CVXPY = {
    ("squared_error", "cvar"): 0.4057718039,
    ("squared_error", "chi_square_robust"): 0.3229310735,
    ("squared_error", "kl_robust"): 0.3903512072,
    ("squared_error", "group_robust"): 0.1443655594,
    ("absolute_error", "cvar"): 0.8582286367,
    ("absolute_error", "kl_robust"): 0.7757053491,
    ("absolute_error", "group_robust"): 0.4173574437,
    ("huber", "cvar"): 0.2133006636,
    ("huber", "chi_square_robust"): 0.1718162229,
    ("huber", "kl_robust"): 0.1901693369,
    ("huber", "group_robust"): 0.0888234410,
    ("log_loss", "chi_square_robust"): 0.5191282265,
    ("log_loss", "kl_robust"): 0.5818647145,
    ("hinge", "cvar"): 0.8097393571,
    ("hinge", "chi_square_robust"): 0.6154437140,
    ("hinge", "kl_robust"): 0.7317166432,
}
KINKED, SLOW = (CVaRLoss, GroupRobustLoss), pytest.mark.slow
QUICK = [case for case in CVXPY if case[1] not in ("cvar", "group_robust")][::2]
QUICK += [("huber", "cvar"), ("huber", "group_robust")]
PARAMS = {"cvar": {"level": 0.8}, "huber": {"delta": 0.3}}


def made(base, name):
    base = sl.get_loss(base, **PARAMS.get(base, {}))
    return sl.get_loss(name, loss=base, **PARAMS.get(name, {}))


def objective(model, X, y, alpha=0.01):
    raw = X @ np.ravel(model.coef_) + model.intercept_
    return model.loss_(y, raw) + alpha / 2 * np.sum(np.square(model.coef_))


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        yield


@pytest.mark.parametrize(
    "base, name", [pytest.param(*c, marks=() if c in QUICK else SLOW) for c in CVXPY]
)
def test_the_default_fit_is_at_cvxpys_minimum(base, name, quiet):
    loss = made(base, name)
    classes = loss.task == "binary"
    y = C if classes else Y
    design = B if classes else X
    if name == "group_robust":
        y = group_target(y, GROUP)
    estimator = SGDClassifierX if classes else SGDRegressorX
    model = estimator(loss, alpha=0.01, optimizer="auto", max_iter=5000).fit(design, y)
    assert objective(model, design, y) == pytest.approx(CVXPY[base, name], rel=1e-7)


def lines(X, y):
    """Rows of ``|X @ w + b - y| <= u`` in (w, b, u)."""
    n = len(y)
    A = np.hstack([X, np.ones((n, 1))])
    return np.block([[A, -np.eye(n)], [-A, -np.eye(n)]]), np.concatenate([y, -y])


def cvar_program(X, y, level, low=None):
    """The least CVaR of absolute errors: Rockafellar and Uryasev's program, in (w, b, u, t, v)."""
    (n, d), (A, right) = X.shape, lines(X, y)
    A = np.block(
        [
            [A, np.zeros((2 * n, n + 1))],
            [np.zeros((n, d + 1)), np.eye(n), -np.ones((n, 1)), -np.eye(n)],
        ]
    )
    cost = np.concatenate([np.zeros(d + 1 + n), [1.0], np.full(n, 1 / (n * (1 - level)))])
    bounds = [(low, None)] * d + [(None, None)] * (n + 2) + [(0, None)] * n
    return linprog(cost, A, np.concatenate([right, np.zeros(n)]), bounds=bounds).fun


def group_program(X, y, group):
    """The least of the largest mean absolute error of groups, in (w, b, u, t)."""
    (n, d), (A, right) = X.shape, lines(X, y)
    of = np.array([(group == g) / (group == g).sum() for g in np.unique(group)])
    A = np.block(
        [
            [A, np.zeros((2 * n, 1))],
            [np.zeros((len(of), d + 1)), of, -np.ones((len(of), 1))],
        ]
    )
    cost = np.append(np.zeros(d + 1 + n), 1.0)
    return linprog(cost, A, np.concatenate([right, np.zeros(len(of))]), bounds=(None, None)).fun


LP = [(0.0, 1.0), (0.9, 1.0), (0.99, 1.0), (0.5, 1e-5), (0.99, 1e5)]


@pytest.mark.parametrize(
    "level, unit", [(0.5, 1.0), *(pytest.param(*case, marks=pytest.mark.slow) for case in LP)]
)
def test_cvar_of_absolute_errors_is_at_the_linear_programs_minimum(level, unit, quiet):
    loss = CVaRLoss("absolute_error", level)
    model = SGDRegressorX(loss, alpha=0, optimizer="auto", max_iter=5000).fit(X, Y * unit)
    want = cvar_program(X, Y, level) * unit
    assert objective(model, X, Y * unit, 0) == pytest.approx(want, rel=1e-7)


@pytest.mark.slow
def test_bounds_hold_at_the_linear_programs_minimum(quiet):
    model = SGDRegressorX(
        CVaRLoss("absolute_error", 0.8), alpha=0, optimizer="auto", positive=True, max_iter=5000
    ).fit(X, Y)
    assert (model.coef_ >= 0).all() and (model.coef_ == 0).any()
    assert objective(model, X, Y, 0) == pytest.approx(cvar_program(X, Y, 0.8, 0), rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("design", [np.asarray, sparse.csr_matrix])
def test_the_largest_mean_of_groups_is_at_the_linear_programs_minimum(design, quiet):
    y = group_target(Y, GROUP)
    model = SGDRegressorX(
        GroupRobustLoss("absolute_error"), alpha=0, optimizer="auto", max_iter=5000
    ).fit(design(X), y)
    assert objective(model, X, y, 0) == pytest.approx(group_program(X, Y, GROUP), rel=1e-7)


@pytest.mark.parametrize("cls", ROBUST_MEANS)
@pytest.mark.parametrize("penalty", ["l1", pytest.param("mcp", marks=pytest.mark.slow)])
def test_other_penalties_hold_at_points_that_no_step_improves(cls, penalty):
    y = group_target(Y, GROUP) if cls is GroupRobustLoss else Y
    model = SGDRegressorX(cls(), penalty=penalty, alpha=0.05, optimizer="auto", max_iter=3000)
    model.fit(X, y)
    assert (model.coef_ == 0).any() and (model.coef_ != 0).any()
    held = sl.get_penalty(penalty)

    def at(z):
        total = 0.05 * np.abs(z[:-1]).sum() if penalty == "l1" else held.value(z[None, :-1], 0.05)
        return float(model.loss_(y, X @ z[:-1] + z[-1]) + np.sum(total))

    z = np.append(model.coef_, model.intercept_)
    rng = np.random.default_rng(0)
    moves = np.vstack([np.eye(11), rng.normal(size=(20, 11))])
    for step in (1e-3, -1e-3, 1e-2, -1e-2):
        assert min(at(z + step * move) for move in moves) > at(z) - 2e-6


@pytest.mark.parametrize(
    "cls", [pytest.param(cls, marks=SLOW if cls in KINKED else ()) for cls in ROBUST_MEANS]
)
def test_a_weight_of_two_fits_as_two_copies_and_an_offset_as_other_targets(cls):
    weight = np.random.default_rng(0).integers(0, 3, size=150)
    at = np.repeat(np.arange(150), weight)
    y, moved = Y, Y + X[:, 0]
    if cls is GroupRobustLoss:
        y, moved = group_target(Y, GROUP), group_target(moved, GROUP)
    model = SGDRegressorX(cls(), alpha=0.01, optimizer="auto", tol=1e-6, max_iter=5000)
    weighted = clone(model).fit(X, y, sample_weight=weight)
    copies = clone(model).fit(X[at], y[at])
    np.testing.assert_allclose(weighted.coef_, copies.coef_, atol=1e-4)
    model.fit(X, moved, offset=X[:, 0])
    np.testing.assert_allclose(model.coef_, clone(model).fit(X, y).coef_, atol=1e-4)


@pytest.mark.parametrize("cls", [CVaRLoss, ChiSquareRobustLoss, KLRobustLoss, TiltedLoss])
@pytest.mark.parametrize(
    "base", ["log_loss", *(pytest.param(x, marks=SLOW) for x in ("hinge", "squared_error"))]
)
def test_classes_of_any_labels_are_told_apart(cls, base):
    names = np.where(C, "benign", "malign")
    model = SGDClassifierX(cls(base), alpha=0.01, optimizer="auto", max_iter=5000)
    model.fit(B, names)
    assert model.classes_.tolist() == ["benign", "malign"]
    assert model.score(B, names) > 0.85
    other = clone(model).fit(B, 1 - C)
    np.testing.assert_array_equal(model.decision_function(B), other.decision_function(B))
    assert hasattr(model, "predict_proba") == (base == "log_loss")
    if base == "log_loss":
        proba = 1 / (1 + np.exp(-model.decision_function(B)))
        np.testing.assert_allclose(model.predict_proba(B)[:, 1], proba, rtol=1e-12)


def test_class_weight_is_sample_weight():
    of_class = np.where(C == 1, 3.0, 1.0)
    model = SGDClassifierX(CVaRLoss("log_loss", 0.5), alpha=0.01, optimizer="auto", tol=1e-6)
    plain = clone(model).fit(B, C, sample_weight=of_class)
    other = clone(model).fit(B, C)
    model.set_params(class_weight={1: 3.0}).fit(B, C)
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-3)
    assert abs(model.coef_ - other.coef_).max() > 0.01


def test_groups_go_with_labels_through_pipelines_searches_and_scorers():
    group = np.where(B[:, 0] > np.quantile(B[:, 0], 0.85), "large", "small")
    y = group_target(np.where(C, "benign", "malign"), group)
    loss = GroupRobustLoss("log_loss")
    model = make_pipeline(
        StandardScaler(), SGDClassifierX(loss, alpha=0.01, optimizer="auto", max_iter=5000)
    )
    model.fit(B, y)
    last = model[-1]
    value = loss._encoded(y, lambda labels: (labels == "malign").astype(float))
    raw = model.decision_function(B)
    assert loss.as_scorer()(model, B, y) == pytest.approx(-loss(value, raw))
    assert model.score(B, y) == np.mean(model.predict(B) == y["y"])
    assert last.score(model[:-1].transform(B), y["y"]) == model.score(B, y)
    # Of the two groups the worst is as good as it can be: any other model is worse there.
    plain = clone(model).set_params(sgdclassifierx__loss="log_loss").fit(B, y["y"])
    assert loss(value, raw) < loss(value, plain.decision_function(B))
    search = GridSearchCV(
        model,
        {"sgdclassifierx__alpha": [0.1, 10.0], "sgdclassifierx__loss__loss": ["log_loss"]},
        scoring=loss.as_scorer(),
        cv=2,
        error_score="raise",
    )
    assert search.fit(B, y).best_params_["sgdclassifierx__alpha"] == 0.1
    early = SGDClassifierX(loss, optimizer="auto", early_stopping=True, random_state=0).fit(B, y)
    assert early.score(B, y) > 0.8
    early.set_params(early_stopping=False).fit(B, y, X_val=B[:50], y_val=y[:50])
    assert early.validation_curve_[-1] == pytest.approx(
        loss(value[:50], early.decision_function(B[:50])), rel=1e-9
    )


def test_groups_of_a_regression_go_through_cross_validation():
    y = group_target(Y, GROUP)
    model = SGDRegressorX(GroupRobustLoss("huber"), alpha=1.0, optimizer="auto", max_iter=5000)
    found = cross_validate(
        model, X, y, scoring=GroupRobustLoss().as_scorer(), cv=3, error_score="raise"
    )
    assert (found["test_score"] < 0).all()
    score = model.fit(X[:100], y[:100]).score(X[100:], y[100:])
    rest, huber = y[100:], GroupRobustLoss("huber")
    constant = np.full(50, huber.fit_intercept_only(rest))
    want = 1 - huber(rest, model.predict(X[100:])) / huber(rest, constant)
    assert score == pytest.approx(want, rel=1e-12)


def test_parameters_of_the_loss_within_are_searched_and_cloned():
    model = SGDRegressorX(CVaRLoss(HuberLoss(1.0), level=0.5), optimizer="auto", alpha=1.0)
    grid = {"loss__loss__delta": [0.5, 2.0], "loss__level": [0.25]}
    search = GridSearchCV(model, grid, error_score="raise", cv=2).fit(X, Y)
    assert search.best_estimator_.loss.level == search.best_params_["loss__level"]
    assert model.loss == CVaRLoss(HuberLoss(1.0), level=0.5)
    assert clone(model.loss).set_params(loss__delta=2.0) == CVaRLoss(HuberLoss(2.0), level=0.5)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(X), search.predict(X))


def test_a_link_is_that_of_the_loss_within():
    counts = np.random.default_rng(0).poisson(np.exp(0.3 * X[:, 2]))
    loss = ChiSquareRobustLoss("poisson")
    model = SGDRegressorX(loss, alpha=0.01, optimizer="auto", max_iter=5000).fit(X, counts)
    raw = X @ model.coef_ + model.intercept_
    np.testing.assert_allclose(model.predict(X), np.exp(raw), rtol=1e-12)
    np.testing.assert_allclose(model.predict_raw(X), raw, rtol=1e-9, atol=1e-12)
    assert loss.as_scorer()(model, X, counts) == pytest.approx(-loss(counts, raw))
    gradient = loss.gradient(counts, raw) / 150
    np.testing.assert_allclose(X.T @ gradient + 0.01 * model.coef_, 0, atol=1e-4)


def test_float32_is_kept():
    model = SGDRegressorX(KLRobustLoss(), alpha=0.01, optimizer="auto", max_iter=5000)
    single = clone(model).fit(X.astype(np.float32), Y)
    assert single.coef_.dtype == np.float32
    np.testing.assert_allclose(single.coef_, model.fit(X, Y).coef_, atol=2e-3)


@pytest.mark.parametrize("base", ["tukey", "cauchy", "smooth_l2"])
def test_a_loss_that_is_not_convex_is_measured_but_not_fitted(base):
    loss = CVaRLoss(base)
    assert loss(Y, np.zeros(150)) > 0
    with pytest.raises(ValueError, match="CVaRLoss: loss must be convex for a fit"):
        SGDRegressorX(loss, optimizer="auto").fit(X, Y)


def test_what_cannot_be_fitted_is_refused_and_leaves_the_model_as_it_was():
    model = SGDClassifierX(CVaRLoss("log_loss"), alpha=0.01, optimizer="auto").fit(B, C)
    before = model.coef_.copy()
    refused = [
        (dict(loss=CVaRLoss("log_loss")), np.arange(150) % 3, "Only binary classification"),
        (dict(loss=CVaRLoss("poisson")), C, "is a loss for y in"),
        (dict(loss=CVaRLoss("perceptron")), C, "which has neither"),
        (dict(loss=CVaRLoss("log_loss", level=1.0)), C, "level must be a number in"),
        (dict(loss=GroupRobustLoss("log_loss")), C, "group_target"),
        (dict(optimizer="adam"), C, "one of all samples together"),
        (dict(optimizer="newton"), C, "one of all samples together|has a kink"),
    ]
    for params, y, message in refused:
        with pytest.raises(ValueError, match=message):
            clone(model).set_params(**params).fit(B, y)
        broken = pickle.loads(pickle.dumps(model)).set_params(**params)
        with pytest.raises(ValueError, match=message):
            broken.fit(B, y)
        np.testing.assert_array_equal(broken.coef_, before)
    with pytest.raises(ValueError, match="gives margins"):
        SGDRegressorX(CVaRLoss("hinge"), optimizer="auto").fit(B, C)


# They compare the last digits of fits that end at a tolerance; the test of copies is above.
AT_A_TOLERANCE = {
    f"check_sample_weight_equivalence_on_{kind}_data": "the minimum, to a tolerance"
    for kind in ("dense", "sparse")
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        SGDRegressorX(CVaRLoss(), optimizer="auto"),
        SGDRegressorX(ChiSquareRobustLoss("huber"), optimizer="auto"),
        SGDRegressorX(TiltedLoss(tilt=0.1), optimizer="auto"),
        SGDClassifierX(CVaRLoss("log_loss", 0.5), optimizer="auto"),
        SGDClassifierX(KLRobustLoss("log_loss"), optimizer="auto"),
    ],
    expected_failed_checks=lambda model: AT_A_TOLERANCE,
)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)
