"""The interior point method ends at the minimum of the linear or quadratic program."""

import pickle
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minima import Objective, linear_program, pieces_of
from scipy import sparse
from scipy.optimize import linprog, minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import QuantileRegressor

from sklearn_losses import (
    LOSSES,
    AbsoluteError,
    CustomLoss,
    EpsilonInsensitive,
    PinballLoss,
    get_loss,
)
from sklearn_losses._solvers import globs, interior, kinks
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX
from sklearn_losses.penalties import L1, ElasticNet

NAMES = [
    name
    for name in LOSSES
    if name != "root_mean_squared_error" and get_loss(name)._terms(np.ones(1)) is not None
]
LAYOUTS = {"dense": np.asarray, "csr": sparse.csr_matrix}
RNG = np.random.RandomState(0)
N, D = 90, 6
X = (RNG.randn(N, D) + [0, 5, 0, 0, -2, 0]) * [1.0, 1.0, 100.0, 0.01, 1.0, 1.0]
X[:, 5] *= RNG.rand(N) < 0.4
Y = X @ [0.5, -0.3, 0.002, 20.0, 0.0, 0.1] + 0.4 * RNG.standard_t(3, N)
TWO = (Y > np.median(Y)).astype(float)
WEIGHT = RNG.randint(0, 4, N).astype(float)
OFFSET = RNG.randn(N)
TIGHT = {"optimizer": "interior-point", "tol": 1e-5}


def estimator_of(loss, **params):
    estimator = SGDRegressorX if loss.task == "regression" else SGDClassifierX
    return estimator(loss, **{**TIGHT, **params})


def targets_of(loss):
    if loss.task == "binary":
        return TWO
    return np.exp(Y / 4) if loss.name == "mape" else Y


def weights_of(model):
    return np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])


# --------------------------------------------------------------------------- what the terms say


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_the_loss(name):
    loss, raw = get_loss(name), 3 * RNG.randn(N)
    y = RNG.rand(N) if loss.task == "binary" else targets_of(loss)  # labels may be soft
    total = np.zeros(N)
    for kink, low, high in loss._terms(y):
        r = raw - kink
        total += np.where(r > 0, high * r, low * r)
    np.testing.assert_allclose(total, loss.loss(y, raw), rtol=1e-13, atol=1e-15)


def test_the_losses_that_are_lines_have_terms():
    expected = {"absolute_error", "quantile", "mape", "epsilon_insensitive", "hinge", "perceptron"}
    assert expected == set(NAMES)


class Check(CustomLoss):
    """A user's own: the absolute error, twice as steep above."""

    differentiable = False

    def value(self, y_true, raw_prediction):
        r = raw_prediction - y_true
        return np.where(r > 0, 2 * r, -r)

    def derivative(self, y_true, raw_prediction):
        return np.where(raw_prediction > y_true, 2.0, -1.0)

    def _terms(self, y):
        return [(y, -1.0, 2.0)]


def test_a_users_loss_that_says_its_terms_is_solved():
    mine = estimator_of(Check(), alpha=0.03, penalty="l1").fit(X, Y)
    same = estimator_of(PinballLoss(1 / 3), alpha=0.01, penalty="l1").fit(X, Y)
    np.testing.assert_allclose(mine.coef_, same.coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "terms, said",
    [([(0.0, 0.5, 1.0)], "slopes low <= 0 <= high"), ([(np.nan, -1.0, 1.0)], "finite numbers")],
)
def test_terms_that_are_none_are_named(terms, said):
    class Wrong(Check):
        def _terms(self, y):
            return terms

    with pytest.raises(ValueError, match=rf"Wrong\(\)._terms must return {said}"):
        estimator_of(Wrong()).fit(X, Y)


# ------------------------------------------------------------------------- the linear program


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.02])
@pytest.mark.parametrize("name", NAMES)
def test_fits_are_the_linear_programs(name, alpha, weighted, layout):
    loss = get_loss(name)
    y, weight = targets_of(loss), WEIGHT if weighted else None
    model = estimator_of(loss, alpha=alpha, penalty="l1")
    model.fit(LAYOUTS[layout](X), y, sample_weight=weight)
    objective = Objective(loss, X, y, l1=alpha, weight=weight)
    best = linear_program(objective, pieces_of(loss, y))
    start = objective(np.zeros(D), loss.fit_intercept_only(y, weight))
    value = objective.of_model(model)
    assert value - best.value <= 1e-10 * max(best.value, 1e-3 * start)
    assert model.stop_reason_ == "converged" and model.n_iter_ <= 40
    np.testing.assert_allclose(model.loss_curve_[-1], value, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("quantile", [0.01, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("alpha", [0.0, 0.05])
def test_quantiles_are_scikit_learns(quantile, alpha, layout):
    model = estimator_of(PinballLoss(quantile), alpha=alpha, penalty="l1")
    model.fit(LAYOUTS[layout](X), Y, sample_weight=WEIGHT)
    peer = QuantileRegressor(quantile=quantile, alpha=alpha, solver="highs")
    peer.fit(X, Y, sample_weight=WEIGHT)
    # Its tolerance is 1e-7; what holds to rounding is the vertex.
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-6)
    np.testing.assert_array_equal(model.coef_ == 0, np.abs(peer.coef_) < 1e-8)


def test_as_many_residuals_as_weights_are_0():
    model = estimator_of(PinballLoss(0.7), alpha=0.0).fit(X, Y)
    residual = np.abs(X @ model.coef_ + model.intercept_ - Y)
    assert (residual < 1e-12 * np.abs(Y).max()).sum() == D + 1
    model.set_params(penalty="l1", alpha=0.05).fit(X, Y)
    residual = np.abs(X @ model.coef_ + model.intercept_ - Y)
    zeros = int((model.coef_ == 0).sum())
    assert zeros and (residual < 1e-12 * np.abs(Y).max()).sum() == D + 1 - zeros


# ---------------------------------------------------------------------- optimality conditions


def least_violation(loss, x, y, weight, offset, model, l1, l2, low, high, fit_intercept):
    """By how much no choice of subgradients makes that of the objective 0, in columns of size 1: a
    linear program over the slopes of the terms that are at their kinks."""
    coef, intercept = weights_of(model)
    n, d = x.shape
    w = np.ones(n) if weight is None else weight
    w = w / w.sum()
    raw = x @ coef + intercept + offset
    size = np.abs(raw).max()
    A = np.column_stack([x, np.ones(n)]) if fit_intercept else x
    unit = np.abs(A).max(axis=0)
    fixed, columns, bounds = np.zeros(A.shape[1]), [], []
    for kink, lower, upper in loss._terms(y):
        r = raw - kink
        lower, upper = np.broadcast_to(lower, n) * w, np.broadcast_to(upper, n) * w
        at = np.abs(r) <= 1e-9 * max(size, 1.0)
        fixed += np.where(at, 0.0, np.where(r > 0, upper, lower)) @ A
        columns.append(A[at].T)
        bounds += list(zip(lower[at], upper[at], strict=True))
    fixed[:d] += l2 * coef
    for j in range(d):
        one = np.eye(A.shape[1])[:, [j]]
        if coef[j] == 0:
            columns.append(one)
            bounds.append((-l1[j], l1[j]))
        else:
            fixed[j] += l1[j] * np.sign(coef[j])
        for held, sides in ((coef[j] == low[j], (None, 0)), (coef[j] == high[j], (0, None))):
            if held:
                columns.append(one)
                bounds.append(sides)
    # The least t with |fixed + columns @ slopes| <= t * unit.
    C = np.column_stack(columns) if columns else np.zeros((A.shape[1], 0))
    C, fixed = C / unit[:, None], fixed / unit
    A_ub = np.block([[C, -np.ones((len(C), 1))], [-C, -np.ones((len(C), 1))]])
    cost = np.append(np.zeros(C.shape[1]), 1.0)
    found = linprog(cost, A_ub, np.concatenate([-fixed, fixed]), bounds=[*bounds, (0, None)])
    assert found.status == 0, found.message
    return found.fun


PENALTIES = {
    "none": {"penalty": None},
    "l1": {"penalty": "l1", "alpha": 0.02},
    "l2": {"penalty": "l2", "alpha": 0.02},
    "elasticnet": {"penalty": "elasticnet", "alpha": 0.02, "l1_ratio": 0.5},
    "weights": {"penalty": ElasticNet(0.5, [1.0, 0.0, 10.0, 0.1, 1.0, 2.0]), "alpha": 0.02},
    "bounds": {"penalty": "l1", "alpha": 0.002, "bounds": (-0.2, [0.3, 1, 0.001, 5, -0.1, 0])},
    "positive": {"penalty": "l2", "alpha": 0.002, "positive": True},
    "fixed": {"penalty": None, "bounds": ([0.1, *[-np.inf] * 5], [0.1, *[np.inf] * 5])},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("beside", ["", "weights", "offset", "no intercept"])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:The fit is worse:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:In the units of y:sklearn.exceptions.ConvergenceWarning")
def test_every_fit_meets_the_optimality_condition(name, penalty, beside, layout):
    loss = get_loss(name)
    y = targets_of(loss)
    weight = WEIGHT if beside == "weights" else None
    offset = OFFSET if beside == "offset" else np.zeros(N)
    model = estimator_of(loss, fit_intercept=beside != "no intercept", **PENALTIES[penalty])
    given = {"offset": OFFSET} if beside == "offset" else {}
    model.fit(LAYOUTS[layout](X), y, sample_weight=weight, **given)
    alpha = 0.0 if penalty in ("none", "fixed") else model.alpha
    share = {"l1": 1.0, "bounds": 1.0, "elasticnet": 0.5, "weights": 0.5}.get(penalty, 0.0)
    factor = np.ones(D)
    if penalty == "weights":
        factor = np.array(model.penalty.weights)
    low, high = model._bounds(D)
    low = np.full(D, -np.inf) if low is None else low
    high = np.full(D, np.inf) if high is None else high
    assert ((model.coef_ >= low) & (model.coef_ <= high)).all()
    left = least_violation(
        loss, X, y, weight, offset, model, alpha * share * factor, alpha * (1 - share) * factor,
        low, high, model.fit_intercept,
    )  # fmt: skip
    assert left < 1e-7
    assert model.stop_reason_ == "converged"


def test_a_hinge_is_the_quadratic_program_of_its_dual():
    # max sum(a) - |X' (a s)|^2 / 2, 0 <= a <= C, sum(a s) = 0 (Cortes and Vapnik, 1995).
    x, s, alpha = X / np.abs(X).max(axis=0), 2 * TWO - 1, 0.01
    C = 1 / (alpha * N)
    Q = (x * s[:, None]) @ (x * s[:, None]).T
    found = minimize(
        lambda a: (a @ Q @ a / 2 - a.sum(), Q @ a - 1),
        np.full(N, C / 2),
        jac=True,
        bounds=[(0, C)] * N,
        constraints={"type": "eq", "fun": lambda a: a @ s, "jac": lambda a: s},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    model = SGDClassifierX("hinge", alpha=alpha, **TIGHT).fit(x, TWO)
    np.testing.assert_allclose(model.coef_[0], (found.x * s) @ x, atol=1e-5)
    np.testing.assert_allclose(model.loss_curve_[-1], -found.fun * alpha, rtol=1e-9)


# -------------------------------------------------------------------------------- many outputs


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outputs_and_quantiles_are_those_fitted_by_themselves(layout):
    x = LAYOUTS[layout](X)
    levels = [0.9, 0.1, 0.5, 0.2]
    both = estimator_of(PinballLoss(levels), penalty="l1", alpha=0.01).fit(x, Y)
    for k, level in enumerate(levels):
        alone = estimator_of(PinballLoss(level), penalty="l1", alpha=0.01).fit(x, Y)
        np.testing.assert_allclose(both.coef_[k], alone.coef_, rtol=1e-8, atol=1e-11)
        np.testing.assert_allclose(both.intercept_[k], alone.intercept_, rtol=1e-8)
    targets = np.c_[Y, -1e6 * Y, np.sqrt(np.abs(Y))]
    both = estimator_of(AbsoluteError(), alpha=0.0).fit(x, targets)
    for k, y in enumerate(targets.T):
        alone = estimator_of(AbsoluteError(), alpha=0.0).fit(x, y)
        np.testing.assert_allclose(both.coef_[k], alone.coef_, rtol=1e-8)


def test_classes_are_one_against_the_rest_with_class_weights():
    y = np.digitize(Y, np.quantile(Y, [0.3, 0.7]))
    model = SGDClassifierX("hinge", alpha=0.01, class_weight="balanced", **TIGHT).fit(X, y)
    factor = N / (3 * np.bincount(y))
    for k in range(3):
        # Weights of samples count relative to their mean, those of classes as they are.
        weight = np.where(y == k, factor[k], 1.0)
        one = SGDClassifierX("hinge", alpha=0.01 / weight.mean(), **TIGHT)
        one.fit(X, (y == k).astype(int), sample_weight=weight)
        np.testing.assert_allclose(model.coef_[k], one.coef_[0], rtol=1e-6, atol=1e-9)


# ------------------------------------------------------------------------------------ any size


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 2**16),
    st.sampled_from([1, 2, 3, 7, 40]),
    st.sampled_from([1, 2, 5, 20]),
    st.sampled_from(["plain", "ties", "copies", "constant", "low rank", "units", "rows"]),
    st.sampled_from(NAMES),
    st.sampled_from([0.0, 1e-3, 0.1]),
    st.sampled_from([1e-8, 1.0, 1e8]),
    st.booleans(),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_degenerate_programs_are_solved(seed, n, d, kind, name, alpha, unit, as_csr):
    rng = np.random.RandomState(seed)
    x, loss = rng.randn(n, d), get_loss(name)
    if kind == "copies":
        x[:, -1] = x[:, 0]
    elif kind == "constant":
        x[:, 0] = 3.0
    elif kind == "low rank":
        x = x[:, :1] @ rng.randn(1, d)
    elif kind == "units":
        x = 10.0 ** rng.randint(-5, 5, d) * x
    elif kind == "rows":
        x[n // 2 :] = x[: n - n // 2]
    y = rng.randn(n)
    if kind == "ties":
        x, y = np.round(x), np.round(y)
    if loss.task == "binary":
        y = np.arange(n) % 2.0
        unit = 1.0
        if n == 1:
            return
    if name == "mape":
        unit, y = 1.0, np.exp(y)
    if name == "epsilon_insensitive":
        loss = EpsilonInsensitive(0.1 * unit)
    size = np.abs(x).max(axis=0, initial=1e-9)
    y, alpha = y * unit, alpha * size.min()
    model = estimator_of(loss, alpha=alpha, penalty="l1")
    model.fit(sparse.csr_matrix(x) if as_csr else x, y)
    objective = Objective(loss, x, y, l1=alpha)
    pieces = pieces_of(loss, y)
    # The program in units of y.
    pieces = [(np.broadcast_to(a, n), b / unit) for a, b in pieces]
    best = linear_program(Objective(loss, x, y / unit, l1=alpha), pieces)
    best = objective(best.coef * unit, best.intercept * unit)
    start = objective(np.zeros(d), float(loss.fit_intercept_only(y)))
    assert objective.of_model(model) - best <= 1e-9 * best + 1e-11 * start + 1e-13 * unit


@pytest.mark.parametrize("name", NAMES)
def test_units_change_nothing(name):
    loss = get_loss(name)
    y = targets_of(loss)
    factor = np.array([1e8, 1e-8, 1.0, 1e3, 1e-3, 1.0])
    k = 1.0 if loss.task == "binary" else 1e8
    other = EpsilonInsensitive(0.1 * k) if name == "epsilon_insensitive" else loss
    plain = estimator_of(loss, alpha=0.0).fit(X, y)
    scaled = estimator_of(other, alpha=0.0).fit(X * factor, k * y)
    assert plain.n_iter_ == scaled.n_iter_
    np.testing.assert_allclose(scaled.coef_ * factor, k * plain.coef_, rtol=1e-6, atol=1e-9 * k)


def test_columns_far_from_0_are_seen_from_their_mean():
    y = Y - Y.mean()
    plain = estimator_of(AbsoluteError(), alpha=0.0).fit(X, y)
    far = estimator_of(AbsoluteError(), alpha=0.0).fit(X + 1e6, y)
    np.testing.assert_allclose(far.coef_, plain.coef_, rtol=1e-5, atol=1e-8)


def test_a_constant_target_is_met_at_once():
    for value in (0.0, 5.0, -1e8):
        model = estimator_of(AbsoluteError(), alpha=0.01).fit(X, np.full(N, value))
        assert not model.coef_.any() and model.intercept_ == value
        assert model.stop_reason_ == "converged"


# -------------------------------------------------------------------------------- many samples

MANY = 9000
WIDE = RNG.randn(MANY, 4) * [1.0, 10.0, 0.1, 1.0] + 1.0
LONG = WIDE @ [1.0, 0.2, -3.0, 0.0] + (1 + np.abs(WIDE[:, 0])) * RNG.standard_t(2, MANY)
EVENTS = (LONG > 3).astype(float)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [*NAMES, "quantiles"])
@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_globs_end_where_all_terms_do(name, penalty, layout, monkeypatch):
    loss = PinballLoss([0.05, 0.5, 0.9]) if name == "quantiles" else get_loss(name)
    y = EVENTS if loss.task == "binary" else LONG + (100 if name == "mape" else 0)
    weight = 1.0 + np.arange(MANY) % 3
    x = LAYOUTS[layout](WIDE)
    rounds = []
    took = globs.Globs.round
    monkeypatch.setattr(globs.Globs, "round", lambda self: rounds.append(1) or took(self))
    model = estimator_of(loss, alpha=0.01, penalty=penalty).fit(x, y, sample_weight=weight)
    assert rounds and model.stop_reason_ == "converged"
    monkeypatch.setattr(interior, "pays", lambda problem: False)
    rounds.clear()
    whole = estimator_of(loss, alpha=0.01, penalty=penalty).fit(x, y, sample_weight=weight)
    assert not rounds
    value = whole.loss_curve_[-1]
    np.testing.assert_allclose(model.loss_curve_[-1], value, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-5, atol=1e-8)


def test_signs_that_were_wrong_are_put_right(monkeypatch):
    # From a start with all signs wrong.
    whole = estimator_of(PinballLoss(0.3), alpha=0.0).fit(WIDE, LONG)
    began = globs.Globs.pilot

    def astray(self):
        began(self)
        self.r = -self.r + 5.0
        self.choose()

    monkeypatch.setattr(globs.Globs, "pilot", astray)
    model = estimator_of(PinballLoss(0.3), alpha=0.0).fit(WIDE, LONG)
    assert model.n_iter_ > whole.n_iter_
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-8)


def test_no_copy_of_X_is_made():
    import tracemalloc

    x = np.random.RandomState(0).randn(20_000, 60)
    y = x[:, 0] + np.random.RandomState(1).randn(len(x))
    model = estimator_of(PinballLoss(0.3), alpha=0.0, tol=1e-3).fit(x[:500], y[:500])
    tracemalloc.start()
    model.fit(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * x.nbytes


# ------------------------------------------------------------------------------- the same bits


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("many", [False, True])
def test_threads_change_no_bit(many, layout):
    x, y = (WIDE, LONG) if many else (X, Y)
    x = LAYOUTS[layout](x)
    models = [
        estimator_of(PinballLoss([0.1, 0.6]), penalty="l1", alpha=0.01, n_jobs=jobs).fit(x, y)
        for jobs in (1, 2, 3)
    ]
    for model in models[1:]:
        np.testing.assert_array_equal(model.coef_, models[0].coef_)
        np.testing.assert_array_equal(model.intercept_, models[0].intercept_)
        assert model.loss_curve_ == models[0].loss_curve_


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_in_parts_has_the_bits_of_one(many):
    x, y = (WIDE, LONG) if many else (X, Y)
    loss = PinballLoss([0.1, 0.6, 0.9])
    whole = estimator_of(loss, alpha=0.001).fit(x, y)
    part = estimator_of(loss, alpha=0.001, max_iter=1, warm_start="resume")
    for _ in range(whole.n_iter_):
        part = pickle.loads(pickle.dumps(part.fit(x, y)))
    np.testing.assert_array_equal(part.coef_, whole.coef_)
    np.testing.assert_array_equal(part.intercept_, whole.intercept_)
    curve = part.loss_curve_
    assert curve == whole.loss_curve_ and part.stop_reason_ == "converged"
    assert np.all(np.diff(curve) <= 1e-12 * curve[0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_float32_ends_at_its_own_digits(name, layout):
    loss = get_loss(name)
    y = targets_of(loss)
    x = X.astype(np.float32)
    single = estimator_of(loss, alpha=0.01, penalty="l1", tol=1e-3).fit(LAYOUTS[layout](x), y)
    assert single.coef_.dtype == np.float32 and single.stop_reason_ == "converged"
    double = estimator_of(loss, alpha=0.01, penalty="l1").fit(x.astype(np.float64), y)
    objective = Objective(loss, x.astype(np.float64), y, l1=0.01)
    start = objective(np.zeros(D), loss.fit_intercept_only(y))
    assert objective.of_model(single) - objective.of_model(double) <= 1e-6 * start
    np.testing.assert_array_equal(single.coef_ == 0, double.coef_ == 0)


# ------------------------------------------------------------------- rows held out, stops, errors


def test_rows_that_are_held_out_are_not_learned_from():
    params = {"early_stopping": True, "random_state": 0, "alpha": 0.0, "validation_fraction": 0.2}
    model = estimator_of(AbsoluteError(), **params)
    held = model._held_out(Y, None)
    y = np.where(held, 1e9, Y)
    one = estimator_of(AbsoluteError(), **params).fit(X, Y)
    other = estimator_of(AbsoluteError(), **params).fit(X, y)
    assert 0 < held.sum() < N
    both = min(len(one.loss_curve_), len(other.loss_curve_))
    assert both > 4 and one.loss_curve_[:both] == other.loss_curve_[:both]


def test_rows_without_weight_are_not_there():
    some = WEIGHT > 0
    y = np.where(some, Y, 1e6)
    weighted = estimator_of(PinballLoss(0.8), alpha=0.001).fit(X, y, sample_weight=WEIGHT)
    copied = np.repeat(np.arange(N), WEIGHT.astype(int))
    copies = estimator_of(PinballLoss(0.8), alpha=0.001).fit(X[copied], Y[copied])
    np.testing.assert_allclose(weighted.coef_, copies.coef_, rtol=1e-7, atol=1e-10)


def test_an_event_stops_it_within_an_epoch(monkeypatch):
    stop = threading.Event()
    model = estimator_of(AbsoluteError(), alpha=0.0)
    seen = []
    took = interior.FrischNewton.advance

    def advance(self, event):
        seen.append(event)
        return took(self, stop)

    began = globs.Globs.pilot

    def pilot(self):
        stop.set()  # in the midst of the first epoch
        began(self)

    monkeypatch.setattr(globs.Globs, "pilot", pilot)
    monkeypatch.setattr(interior.FrischNewton, "advance", advance)
    with pytest.raises(KeyboardInterrupt):
        model.fit(WIDE, LONG)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "loss", ["squared_error", "huber", "log_loss", "multiclass_hinge", "smooth_l2"]
)
def test_other_losses_are_refused(loss):
    loss = get_loss(loss)
    y = Y if loss.task == "regression" else TWO
    with pytest.raises(ValueError, match=r"(?s)'interior-point' needs a loss .*kink each .*lbfgs"):
        estimator_of(loss).fit(X, y)


def test_penalties_that_are_no_sums_are_refused():
    with pytest.raises(ValueError, match="'interior-point' needs a penalty that is a sum"):
        estimator_of(AbsoluteError(), penalty="mcp").fit(X, Y)


def test_too_many_features_are_refused_with_advice():
    x = sparse.random(20, interior.MOST + 1, density=0.01, format="csr", random_state=0)
    said = r"at most 5000, and X has 20 samples and 5001 features. Use .*'lbfgs'"
    with pytest.raises(ValueError, match=said):
        estimator_of(AbsoluteError(), alpha=0.0).fit(x, Y[:20])
    estimator_of(AbsoluteError(), alpha=0.01).fit(x, Y[:20])  # of the size of the samples


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("penalty", ["l1", "l2", "elasticnet"])
@pytest.mark.parametrize("name", ["quantile", "epsilon_insensitive", "hinge"])
def test_fewer_samples_than_features_are_solved_by_samples(
    name, penalty, fit_intercept, layout, monkeypatch
):
    rng = np.random.RandomState(1)
    x = rng.randn(40, 90) * np.exp(rng.randn(90)) + 1.0
    x[:, 3] = 2.0
    y = (x[:, 0] > 1).astype(float) if name == "hinge" else x[:, :3].sum(axis=1) + rng.randn(40)
    params = {"penalty": penalty, "alpha": 0.03, "fit_intercept": fit_intercept}
    weight = np.arange(40) % 3.0
    made = []
    took = kinks.NormalOfRows.__init__
    monkeypatch.setattr(
        kinks.NormalOfRows, "__init__", lambda *given: made.append(1) or took(*given)
    )
    model = estimator_of(get_loss(name), **params)
    model.fit(LAYOUTS[layout](x), y, sample_weight=weight)
    assert made and model.stop_reason_ == "converged"
    monkeypatch.setattr(kinks, "WIDE", 0.0)
    other = estimator_of(get_loss(name), **params)
    other.fit(LAYOUTS[layout](x), y, sample_weight=weight)
    np.testing.assert_allclose(model.loss_curve_[-1], other.loss_curve_[-1], rtol=1e-11)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-6, atol=1e-9)


def test_epochs_that_do_not_suffice_are_warned_of():
    with pytest.warns(ConvergenceWarning, match="Maximum number of iteration"):
        model = estimator_of(AbsoluteError(), alpha=0.0, max_iter=2).fit(X, Y)
    assert model.stop_reason_ == "max_iter" and model.n_iter_ == 2


def test_without_a_tolerance_it_goes_as_far_as_rounding():
    model = estimator_of(AbsoluteError(), alpha=0.0, tol=None).fit(X, Y)
    assert model.stop_reason_ == "line_search" and model.n_iter_ < 60
    best = linear_program(Objective(AbsoluteError(), X, Y), pieces_of(AbsoluteError(), Y))
    assert model.loss_curve_[-1] <= best.value * (1 + 1e-12)


def test_penalty_objects_are_their_names():
    one = estimator_of(AbsoluteError(), penalty=L1(), alpha=0.05).fit(X, Y)
    other = estimator_of(AbsoluteError(), penalty="l1", alpha=0.05).fit(X, Y)
    np.testing.assert_array_equal(one.coef_, other.coef_)
