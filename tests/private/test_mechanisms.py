"""Each mechanism is the paper's, and a sample changes what it releases by no more than is said."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repeatable import no_noise
from scipy import sparse
from scipy.optimize import minimize

from sklearn_losses import LOSSES, get_loss
from sklearn_losses.losses import (
    LDAM,
    FunctionLoss,
    HalfMultinomialLoss,
    HuberLoss,
    LogitAdjusted,
    Loss,
    PolyLoss,
    SmoothHinge,
    SmoothPinball,
)
from sklearn_losses.private import PrivateLinearClassifier, PrivateLinearRegressor, _mechanisms
from sklearn_losses.private._bounds import PROVEN, proven_bounds
from sklearn_losses.private._mechanisms import Budget, Steps, descend, minimum
from sklearn_losses.private._problem import Problem

RNG = np.random.default_rng(0)
LAYOUTS = {"dense": np.asarray, "csr": sparse.csr_matrix}


def unit_rows(n, d, rng=RNG):
    X = rng.normal(size=(n, d))
    return X / np.linalg.norm(X, axis=1)[:, None] * rng.uniform(0.2, 1, (n, 1))


def steps(**given):
    defaults = {"q": 1.0, "n_steps": 1, "noise": 1.0, "clip_norm": 0.3, "rate": 1.0, "decay": 0.0}
    return Steps(**{**defaults, "average": False, **given})


def problem_of(loss, X, y, **given):
    """A problem of a loss, with the outputs that an estimator would give it."""
    n_outputs = {"multiclass": 3}.get(loss.task, 1)
    if y.ndim == 2:
        n_outputs = y.shape[1]
    return Problem(X, y, loss, n_outputs, **given)


def targets(loss, n, rng=RNG):
    if loss.task == "multiclass":
        return rng.integers(0, 3, n).astype(float)
    if loss.task == "binary":
        return rng.integers(0, 2, n).astype(float)
    return rng.uniform(0.5, 3.0, n)


# ------------------------------------------------------------------------------------------- sgd

CASES = {
    "log_loss": get_loss("log_loss"),
    "one-vs-rest": get_loss("hinge"),
    "multinomial": HalfMultinomialLoss(n_classes=3),
    "squared_error": get_loss("squared_error"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_steps_are_those_of_abadi_et_al_sample_by_sample(case, layout, fit_intercept, monkeypatch):
    loss, n, d, public = CASES[case], 12, 4, 15
    X = 3 * RNG.normal(size=(n, d))
    y = targets(loss, n)
    if case == "one-vs-rest":
        y = (RNG.integers(0, 3, n)[:, None] == np.arange(3)).astype(float)
    batches = [np.sort(RNG.choice(n, size, replace=False)) for size in (5, 0, 12, 7)]
    given = iter(batches)
    monkeypatch.setattr(_mechanisms, "poisson_sample", lambda n, q: next(given))
    problem = problem_of(
        loss, LAYOUTS[layout](X), y, fit_intercept=fit_intercept, start=0.3, width=1.5
    )
    with no_noise() as seen:
        w = descend(problem, steps(q=0.4, n_steps=4, rate=0.7, decay=0.2), public)
    expected = np.zeros_like(w)
    Xc = np.column_stack([X, np.full(n, float(fit_intercept))])
    for batch in batches:
        total = np.zeros_like(w)
        for i in batch:
            raw = 0.3 + 1.5 * (expected @ Xc[i])
            raw = raw[None] if loss.is_multiclass else raw
            slope = loss.gradient(np.atleast_1d(y[i]), raw)
            g = np.outer(slope.ravel(), Xc[i])
            total += g / max(1.0, np.linalg.norm(g) / 0.3)
        expected -= 0.7 * total / (0.4 * public) / 0.3
        expected[:, :d] /= 1 + 0.7 * 0.2
    np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-14)
    # The noise is on the sum, beside the clipping norm.
    assert [part[1:] for part in seen] == [(0.3, 1.0)] * 4


def test_averages_are_over_the_second_half_of_the_steps():
    X, y = unit_rows(10, 3), RNG.normal(size=10)
    problem, path = Problem(X, y, get_loss("squared_error")), []
    with no_noise():
        for t in range(1, 7):
            path.append(descend(problem, steps(n_steps=t), 10))
        mean = descend(problem, steps(n_steps=6, average=True), 10)
    np.testing.assert_allclose(mean, np.mean(path[3:], axis=0), rtol=1e-12)


# What the estimators take; the others they refuse.
TAKEN = [
    name
    for name, cls in LOSSES.items()
    if not (cls.is_joint or cls.reads_target or cls._heads is not Loss._heads)
    and name != "root_mean_squared_error"
]


@pytest.mark.parametrize("name", [*TAKEN, "odd"])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-160, 160))
def test_a_sample_changes_the_sum_by_the_clipping_norm_at_most(name, seed, exponent):
    rng = np.random.default_rng(seed)
    if name == "odd":  # a user's loss that is not a number, or infinite
        loss = FunctionLoss(
            lambda y, raw: raw - y,
            lambda y, raw: np.where(y > 1.5, np.nan, np.where(y > 1, np.inf, raw - y)),
        )
    else:
        loss = get_loss(name)
    X = rng.normal(size=(6, 3))
    X[0] *= 10.0**exponent
    y = targets(loss, 6, rng)
    start = float(rng.normal() * 10.0 ** rng.integers(-2, 4))
    with no_noise() as seen:
        for rows in (slice(0, 6), slice(1, 6)):
            problem = problem_of(loss, X[rows], y[rows], start=start)
            descend(problem, steps(), 6)
    (all_of_them, _, _), (without, _, _) = seen
    change = np.linalg.norm(all_of_them - without)
    assert change <= 0.3 * (1 + 1e-9)


def test_small_gradients_are_not_clipped():
    X, y = np.array([[0.6, 0.0]]), np.array([0.1])
    with no_noise() as seen:
        descend(Problem(X, y, get_loss("squared_error")), steps(), 1)
    np.testing.assert_allclose(seen[0][0], [[-0.06, 0.0, -0.1]], rtol=1e-15)


# ------------------------------------------------------------------------------------ the minima

SMOOTH = [
    get_loss("log_loss"),
    SmoothHinge(0.5),
    get_loss("modified_huber"),
    PolyLoss(0.5),
    PolyLoss(-0.7),
    HuberLoss(0.3),
    get_loss("fair"),
    get_loss("log_cosh"),
    get_loss("pseudo_huber"),
    get_loss("smooth_l1"),
    SmoothPinball(0.9, 0.2),
    get_loss("kl_divergence"),
    HalfMultinomialLoss(n_classes=3),
    get_loss("multiclass_kl_divergence", n_classes=3),
    LogitAdjusted(n_classes=3, priors=[0.7, 0.2, 0.1]),
    LDAM(n_classes=3, class_counts=[70, 20, 10], scale=2.0),
]


def test_every_proven_loss_is_tried():
    assert {type(loss) for loss in SMOOTH} == set(PROVEN)


@pytest.mark.parametrize("loss", SMOOTH, ids=str)
def test_derivatives_keep_to_their_bounds_and_come_near_them(loss):
    bounds = proven_bounds(loss, "output")
    if loss.is_multiclass:
        raw = (
            np.random.default_rng(0).normal(size=(4000, 3)) * np.geomspace(0.1, 300, 4000)[:, None]
        )
        y = np.arange(4000) % 3.0
        gradient = loss.gradient(y, raw)
        slope = np.linalg.norm(gradient, axis=1).max()
        step = 1e-5 * np.random.default_rng(1).normal(size=raw.shape)
        change = np.linalg.norm(loss.gradient(y, raw + step) - gradient, axis=1)
        curvature = (change / np.linalg.norm(step, axis=1)).max()
    else:
        ends = [0.0, 0.3, 1.0] if loss.task == "binary" else [-0.7, 0.2]
        raw = np.concatenate([np.linspace(-8, 8, 20001), [-1e3, 1e3]])
        slope = max(abs(loss.gradient(np.full(len(raw), y), raw)).max() for y in ends)
        jumps = [np.diff(loss.gradient(np.full(20001, y), raw[:-2])) for y in ends]
        curvature = max(jump.max() for jump in jumps) / (raw[1] - raw[0])
    assert 0.98 * bounds.slope <= slope <= bounds.slope * (1 + 1e-9)
    assert 0.6 * bounds.curvature <= curvature <= bounds.curvature * (1 + 1e-4)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", SMOOTH, ids=str)
def test_a_sample_moves_the_minimum_by_the_sensitivity_at_most(loss, fit_intercept):
    worst = 0.0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = unit_rows(30, 2, rng)
        X[0] = [1.0, 0.0]
        y = targets(loss, 30, rng)
        y[0] = {"multiclass": 0.0, "binary": 1.0, "regression": -50.0}[loss.task]
        budget, coef = Budget(1.0, 1e-5, 30), []
        given = {"fit_intercept": fit_intercept, "width": 1.7}
        at = settings_of(alpha=0.2)
        with no_noise() as seen:
            for rows in (slice(0, 30), slice(1, 30)):
                _mechanisms.output(problem_of(loss, X[rows], y[rows], **given), budget, at)
        coef = [part[0] for part in seen]
        worst = max(worst, np.linalg.norm(coef[0] - coef[1]) / seen[0][1])
    assert worst <= 1
    assert worst > 0.05


@pytest.mark.parametrize("loss", ["log_loss", "smooth_hinge"])
def test_one_vs_rest_counts_a_sample_in_each_output(loss):
    loss, X = get_loss(loss), unit_rows(40, 2)
    X[0] = [0.0, 1.0]
    y = (RNG.integers(0, 3, 40)[:, None] == np.arange(3)).astype(float)
    with no_noise() as seen:
        for rows in (slice(0, 40), slice(1, 40)):
            problem = problem_of(loss, X[rows], y[rows])
            _mechanisms.output(problem, Budget(1.0, 1e-5, 40), settings_of(alpha=0.5))
    (one, sensitivity, _), (other, _, _) = seen
    assert np.linalg.norm(one - other) <= sensitivity
    bounds = proven_bounds(loss, "output")
    assert sensitivity == pytest.approx(math.sqrt(3) * bounds.slope * math.sqrt(2) / 20, rel=1e-3)


def settings_of(**given):
    """What an estimator tells the mechanisms of minima."""
    from sklearn_losses.private._base import Settings

    unused = dict.fromkeys(Settings._fields)
    return Settings(**{**unused, "slope": 1.0, **given})


def scipys(problem, ridge, linear):
    """The minimum by a general method, from values alone written out anew."""
    X = problem.X.toarray() if sparse.issparse(problem.X) else problem.X
    A = np.column_stack([X, np.ones(len(X))]) if problem.fit_intercept else X

    def value(w):
        raw = problem.start + problem.width * (A @ w)
        loss, gradient = problem.loss.loss_gradient(problem.y, raw)
        value = loss.sum() + ridge / 2 * w @ w + linear @ w
        return value, problem.width * A.T @ gradient + ridge * w + linear

    options = {"gtol": 1e-10, "maxiter": 2000}
    return minimize(value, np.zeros(A.shape[1]), jac=True, method="BFGS", options=options).x


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", SMOOTH[:11], ids=str)
def test_the_minimum_is_that_of_the_objective_with_its_linear_term(loss, fit_intercept, layout):
    X, y = unit_rows(50, 3), targets(loss, 50)
    problem = Problem(LAYOUTS[layout](X), y, loss, 1, fit_intercept, start=0.4, width=1.3)
    linear = RNG.normal(size=3 + fit_intercept)
    w = minimum(problem, 2.0, linear, 1e-3)
    np.testing.assert_allclose(w[0], scipys(problem, 2.0, linear), atol=2e-5)


def test_a_minimum_that_is_not_reached_is_an_error():
    problem = Problem(unit_rows(20, 2), RNG.integers(0, 2, 20).astype(float), get_loss("log_loss"))
    with pytest.raises(RuntimeError, match="the minimum was not reached"):
        minimum(problem, 1.0, None, 0.0)


def test_the_linear_term_and_the_ridge_are_those_of_the_theory():
    X, y = unit_rows(60, 3), RNG.integers(0, 2, 60).astype(float)
    problem, drawn = Problem(X, y, get_loss("log_loss"), width=1.0), {}
    fixed = np.array([1.0, -2.0, 0.5, 0.25])
    with pytest.MonkeyPatch.context() as patch, no_noise() as seen:
        patch.setattr(_mechanisms, "normal", lambda n: fixed)
        patch.setattr(
            _mechanisms, "minimum", lambda p, ridge, b, a: drawn.update(ridge=ridge, b=b, a=a)
        )
        with pytest.raises(AttributeError):  # there is no minimum to release
            _mechanisms.objective(problem, Budget(1.0, 1e-5, 60), settings_of(alpha=1e-9))
    assert not seen
    # A tiny alpha is raised until the determinant takes half of epsilon: |x|^2 / 4 = 1/2.
    epsilon = 0.99
    assert math.log1p(0.5 / drawn["ridge"]) == pytest.approx(epsilon / 2)
    noise = _mechanisms.objective_noise(epsilon, 0.99e-5, epsilon / 2)
    np.testing.assert_allclose(drawn["b"], noise * math.sqrt(2) * fixed, rtol=1e-9)


def test_what_the_solver_may_leave_is_hidden_and_paid_for():
    X, y = unit_rows(60, 3), RNG.integers(0, 2, 60).astype(float)
    problem = Problem(X, y, get_loss("log_loss"))
    with no_noise() as seen:
        released = _mechanisms.objective(problem, Budget(1.0, 1e-5, 60), settings_of(alpha=0.1))
    ((_, sensitivity, noise),) = seen
    assert sensitivity == pytest.approx(2 * 1e-4 * math.sqrt(2) / (0.1 * 60))
    assert noise == pytest.approx(_mechanisms.gaussian_noise(0.01, 1e-7))
    assert released.facts["epsilon_"] == 1.0


REFUSED = {
    "hinge": "no derivative at its kinks",
    "absolute_error": "no derivative at its kinks",
    "squared_error": "no bound of",
    "exponential": "no bound of",
    "poisson": "no bound of",
    "tukey": "not known to be convex",
    "brier": "not known to be convex",
}


@pytest.mark.parametrize("mechanism", ["output", "objective"])
@pytest.mark.parametrize("name", REFUSED)
def test_losses_without_proven_bounds_are_refused_with_the_reason(name, mechanism):
    loss = get_loss(name)
    binary = loss.task == "binary"
    kind = PrivateLinearClassifier if binary else PrivateLinearRegressor
    model = kind(loss, mechanism=mechanism, data_norm=1.0)
    model.set_params(**({} if binary else {"target_bounds": (0, 1)}))
    with pytest.raises(ValueError, match=REFUSED[name]):
        model.fit(unit_rows(20, 2), targets(loss, 20).clip(0, 1).round())


def test_a_subclass_may_have_other_derivatives_and_is_refused():
    class Steeper(HuberLoss):
        pass

    with pytest.raises(ValueError, match="no bound of Steeper"):
        proven_bounds(Steeper(1.0), "output")


def test_poly_loss_is_refused_where_it_is_not_convex():
    with pytest.raises(ValueError, match="not known to be convex"):
        proven_bounds(PolyLoss(2.0), "output")
