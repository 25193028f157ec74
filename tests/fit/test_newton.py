"""Newton's method ends where the optimality condition holds, whatever way its models are solved."""

import warnings
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression

from sklearn_losses import (
    L1,
    MCP,
    GroupLasso,
    MulticlassFocal,
    SGDClassifierX,
    SGDRegressorX,
    alpha_path,
    get_loss,
)
from sklearn_losses._kernels.fit._penalties import PenaltyKernel
from sklearn_losses._solvers import parts, views
from sklearn_losses._solvers.data import Data
from sklearn_losses._solvers.occurring import LEAST_COLUMNS
from sklearn_losses._solvers.quadratic import (
    CoordinateDescent,
    Holding,
    ProximalGradient,
    SparseDescent,
    conjugate_gradients,
    newton_step,
)
from sklearn_losses._solvers.rows import rows_of

LAYOUTS = {"dense": np.asarray, "csr": sparse.csr_matrix}


def samples(n, d, seed=0, share=0.3, density=1.0):
    """X with columns of unlike size and center, and a signal of few of them."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d)) * (rng.uniform(size=(n, d)) < density)
    X *= 10.0 ** rng.uniform(-2, 2, d)
    if density == 1.0:
        X += rng.uniform(-3, 3, d)
    coef = rng.standard_normal(d) * (rng.uniform(size=d) < share) / np.maximum(X.std(axis=0), 1e-9)
    signal = X @ coef
    return X, (signal - signal.mean()) / (signal.std() or 1.0), rng


def targets(loss, signal, rng):
    if loss.is_multiclass:
        return np.digitize(signal + 0.5 * rng.standard_normal(len(signal)), [-0.5, 0.5])
    if loss.task == "binary":
        return (signal + rng.logistic(size=len(signal)) > 0).astype(int)
    if get_loss(loss).in_y_true_range(np.array([-1.0])):
        return signal + 0.5 * rng.standard_normal(len(signal))
    return np.exp(0.5 * signal) * rng.gamma(4, 0.25, len(signal))


def fitted(loss, X, y, **params):
    kind = SGDRegressorX if get_loss(loss).task == "regression" else SGDClassifierX
    params = {"tol": 1e-6, "optimizer": "newton"} | params
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        return kind(loss, **params).fit(X, y)


def gradients(model, X, y, weight=None, offset=None):
    """Of the mean loss, by weights and by intercepts."""
    coef = np.atleast_2d(model.coef_).astype(float)
    raw = np.asarray(X @ coef.T) + np.atleast_1d(model.intercept_)
    raw = raw if offset is None else raw + offset[:, None]
    y = np.asarray(y, dtype=float)
    u = model.loss_.gradient(y, raw if raw.shape[1] > 1 else raw[:, 0]).reshape(len(y), -1)
    u = u / len(y) if weight is None else u * (weight / weight.sum())[:, None]
    return np.asarray(X.T @ u).T, u.sum(axis=0)


def violation(model, X, y, l1=0.0, l2=0.0, low=-np.inf, high=np.inf, **samples_):
    """The largest least generalised gradient, over the size of its column."""
    coef = np.atleast_2d(model.coef_).astype(float)
    gradient, of_intercept = gradients(model, X, y, **samples_)
    gradient = gradient + l2 * coef
    down, up = gradient - l1, gradient + l1
    at_zero = np.where(down > 0, down, np.where(up < 0, up, 0.0))
    least = np.where(coef > 0, up, np.where(coef < 0, down, at_zero))
    held = ((coef <= low) & (least > 0)) | ((coef >= high) & (least < 0))
    least = np.where(held, 0.0, least)
    dense = X.toarray() if sparse.issparse(X) else X
    size = np.maximum(dense.std(axis=0), 1e-12)
    return max(np.abs(least / size).max(), np.abs(of_intercept).max(initial=0.0))


LOSSES = ["squared_error", "huber", "poisson", "gamma", "log_loss", "squared_hinge", "multinomial"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
@pytest.mark.parametrize("loss", LOSSES)
def test_ends_at_a_stationary_point(loss, penalty, layout):
    X, signal, rng = samples(300, 12, density=0.4 if layout == "csr" else 1.0)
    y = targets(get_loss(loss), signal, rng)
    X = LAYOUTS[layout](X)
    weight, offset = rng.uniform(0.5, 2.0, 300), 0.3 * rng.standard_normal(300)
    share = {"l2": 0.0, "l1": 1.0, "elasticnet": 0.5}[penalty]
    alpha = 1e-2
    model = SGDClassifierX if get_loss(loss).task != "regression" else SGDRegressorX
    model = model(loss, optimizer="newton", tol=1e-6, penalty=penalty, l1_ratio=0.5, alpha=alpha)
    offsets = None if get_loss(loss).is_multiclass else offset
    model.fit(X, y, sample_weight=weight, offset=offsets)
    found = violation(
        model, X, y, alpha * share, alpha * (1 - share), weight=weight, offset=offsets
    )
    assert found < 1e-6
    assert model.stop_reason_ == "converged" and model.n_iter_ < 40


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "multinomial"])
@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
def test_working_sets(loss, penalty, layout):
    X, signal, rng = samples(150, 700, share=0.01, density=0.1 if layout == "csr" else 1.0)
    y = targets(get_loss(loss), signal, rng)
    X = LAYOUTS[layout](X / np.maximum(X.std(axis=0), 1e-9))
    share = {"l1": 1.0, "elasticnet": 0.7}[penalty]
    model = fitted(loss, X, y, penalty=penalty, l1_ratio=0.7, alpha=0.05)
    assert violation(model, X, y, 0.05 * share, 0.05 * (1 - share)) < 1e-6
    assert 0 < np.count_nonzero(model.coef_) < model.coef_.size / 2


def test_agrees_with_scikit_learn():
    X, signal, rng = samples(200, 30)
    y = signal + 0.3 * rng.standard_normal(200)
    X = X / X.std(axis=0)
    right = ElasticNet(0.05, l1_ratio=0.5, tol=1e-12, max_iter=100_000).fit(X, y)
    model = fitted("squared_error", X, y, penalty="elasticnet", l1_ratio=0.5, alpha=0.05)
    np.testing.assert_allclose(model.coef_, right.coef_, atol=1e-7)
    labels = (y > 0).astype(int)
    right = LogisticRegression(C=1 / (0.01 * 200), solver="newton-cholesky", tol=1e-10)
    right.fit(X, labels)
    model = fitted("log_loss", X, labels, alpha=0.01)
    np.testing.assert_allclose(model.coef_, right.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(model.intercept_, right.intercept_, rtol=1e-6)


# How the models are solved, whatever would be chosen: numbers of the modules.
WAYS = {
    "matrix": {},
    "products": {"MOST_WIDTH": 0},
    "working set": {"MANY": 2, "FEWEST": 2},
    "working set, products": {"MANY": 2, "FEWEST": 2, "MOST_WIDTH": 0},
    "sparse columns": {"SPARSER": 0.0},
    "working set, sparse columns": {"SPARSER": 0.0, "MANY": 2, "FEWEST": 2, "SHARE_OF_SPARSE": 9},
    "matrix of sparse columns": {"SPARSER": np.inf, "MANY": 2, "FEWEST": 2},
    "always new": {"SLOW": 0.0},
    "never new": {"SLOW": 0.999, "BLAS_SPEED": 0.0, "PRODUCTS": 1e300},
}


@pytest.mark.parametrize(
    "loss, penalty",
    [
        *product(["poisson", "log_loss"], [None, "l2", "l1", "bounds", MCP(3.0), "groups"]),
        *product(["multinomial"], [None, "l2", "l1", "bounds", "groups"]),
    ],
    ids=str,
)
def test_every_way_leads_to_the_same_minimum(loss, penalty, monkeypatch):
    X, signal, rng = samples(400, 10)
    y = targets(get_loss(loss), signal, rng)
    X = X / X.std(axis=0)
    params = {"penalty": penalty, "alpha": 0.02}
    if penalty == "bounds":
        params = {"alpha": 1e-3, "bounds": (-0.1, 0.2)}
    if penalty == "groups":
        params = {"alpha": 0.02, "penalty": GroupLasso([[0, 1], [2, 3, 4], [5, 6, 7, 8, 9]])}
    found = {}
    for name, numbers in WAYS.items():
        with monkeypatch.context() as patch:
            for number, value in numbers.items():
                patch.setattr(parts if hasattr(parts, number) else views, number, value)
            x = sparse.csr_matrix(X) if "sparse" in name else X
            found[name] = fitted(loss, x, y, **params)
    for name, model in found.items():
        right = found["matrix"]
        np.testing.assert_allclose(model.loss_curve_[-1], right.loss_curve_[-1], rtol=1e-9)
        np.testing.assert_allclose(model.coef_, right.coef_, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_threads_make_no_difference(layout):
    X, signal, _ = samples(4000, 60)
    X = LAYOUTS[layout](X)
    for loss, penalty in (("log_loss", "l2"), ("poisson", "l1"), ("multinomial", "l2")):
        y = targets(get_loss(loss), signal, np.random.RandomState(1))
        same = [fitted(loss, X, y, penalty=penalty, n_jobs=n) for n in (1, 2, 3)]
        assert len({model.coef_.tobytes() for model in same}) == 1


@pytest.mark.parametrize("loss", ["cauchy", "welsch", "tukey", "geman_mcclure"])
def test_losses_that_are_not_convex_descend(loss):
    X, signal, rng = samples(300, 6)
    y = signal + 0.1 * rng.standard_normal(300)
    y[:60] += 20.0
    model = SGDRegressorX(loss, optimizer="newton", tol=1e-6).fit(X / X.std(axis=0), y)
    assert np.all(np.diff(model.loss_curve_) <= 0)
    assert violation(model, X / X.std(axis=0), y, l2=1e-4) < 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_types(dtype):
    X, signal, rng = samples(500, 8)
    X = X.astype(dtype)
    y = targets(get_loss("log_loss"), signal, rng)
    model = fitted("log_loss", X, y, alpha=1e-3, tol=1e-4)
    assert model.coef_.dtype == dtype
    right = fitted("log_loss", X.astype(np.float64), y, alpha=1e-3)
    np.testing.assert_allclose(model.coef_, right.coef_, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
def test_units_of_columns(scale):
    X, signal, rng = samples(200, 5)
    y = targets(get_loss("log_loss"), signal, rng)
    plain = fitted("log_loss", X, y, penalty=None)
    scaled = fitted("log_loss", X * scale, y, penalty=None)
    np.testing.assert_allclose(scaled.coef_ * scale, plain.coef_, rtol=1e-6)


def test_columns_that_say_the_same_or_nothing():
    X, signal, rng = samples(100, 4)
    X = np.column_stack([X, X, np.ones(100), np.zeros(100)])
    y = signal + 0.1 * rng.standard_normal(100)
    for penalty in (None, "l2", "l1"):
        model = fitted("squared_error", X, y, penalty=penalty, alpha=1e-3)
        assert np.isfinite(model.coef_).all() and model.coef_[-1] == 0
    wide = rng.standard_normal((20, 50))
    assert fitted("squared_error", wide, y[:20], penalty=None).score(wide, y[:20]) > 1 - 1e-6


def test_separated_classes_end():
    X = np.linspace(-1, 1, 40)[:, None]
    with pytest.warns(ConvergenceWarning, match="separated"):
        model = SGDClassifierX("log_loss", optimizer="newton", penalty=None).fit(X, X[:, 0] > 0)
    assert np.isfinite(model.coef_).all() and model.score(X, X[:, 0] > 0) == 1


# ------------------------------------------------------------------------------- columns that occur


@pytest.mark.parametrize("optimizer", ["newton", "lbfgs", "gd"])
@pytest.mark.parametrize("bounds", [None, (0.01, 2.0)])
def test_columns_without_entries(optimizer, bounds):
    X, signal, rng = samples(80, 6, density=0.5)
    X = X / X.std(axis=0)
    y = targets(get_loss("log_loss"), signal, rng)
    d = 2 * LEAST_COLUMNS
    columns = np.sort(rng.permutation(d)[:6])
    wide = sparse.csr_matrix((80, d))
    wide = sparse.lil_matrix(wide)
    wide[:, columns] = X
    wide = wide.tocsr()
    params = {"optimizer": optimizer, "bounds": bounds, "alpha": 1e-2}
    narrow = fitted("log_loss", sparse.csr_matrix(X), y, **params)
    model = fitted("log_loss", wide, y, **params)
    np.testing.assert_allclose(model.coef_[:, columns], narrow.coef_, atol=1e-7)
    rest = np.delete(model.coef_, columns)
    assert (rest == (0.0 if bounds is None else 0.01)).all()
    start = np.full((1, d), 0.75)
    model = SGDClassifierX("log_loss", penalty=None, optimizer=optimizer, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(wide, y, coef_init=start)
    assert (np.delete(model.coef_, columns) == 0.75).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_model_that_was_exact_is_the_last(layout):
    # Of a squared error one step is enough, and the gradient at its end is looked at.
    X, signal, rng = samples(300, 8)
    y = targets(get_loss("squared_error"), signal, rng)
    x = LAYOUTS[layout](X)
    for penalty in ("l2", "l1"):
        model = fitted("squared_error", x, y, penalty=penalty, alpha=0.01)
        assert model.n_iter_ == 1 and model.stop_reason_ == "converged"
    assert fitted("log_cosh", x, y, alpha=0.01).n_iter_ > 2
    # Outputs share the matrix: with the same weights, not with others.
    both = fitted("squared_error", x, np.column_stack([y, -3.0 * y]), alpha=0.01)
    one = fitted("squared_error", x, y, alpha=0.01)
    np.testing.assert_allclose(both.coef_, [one.coef_, -3.0 * one.coef_], rtol=1e-9)
    labels = (rng.uniform(size=300) * 3).astype(int)
    several = fitted("log_loss", x, labels, alpha=0.01, class_weight={0: 5.0, 1: 1.0, 2: 1.0})
    for k in range(3):
        weight = {False: 1.0, True: 5.0 if k == 0 else 1.0}
        alone = fitted("log_loss", x, labels == k, alpha=0.01, class_weight=weight)
        np.testing.assert_allclose(several.coef_[k], alone.coef_[0], rtol=1e-6, atol=1e-8)


def test_rounding_of_nearly_singular_columns_is_no_exact_model():
    # The matrix has lost the digits that tell columns apart; the gradient at its minimum says so.
    for apart in (1e-3, 1e-4, 1e-5, 1e-6):
        rng = np.random.RandomState(0)
        base = rng.standard_normal((200, 4))
        X = np.column_stack([base, base + apart * rng.standard_normal((200, 4))])
        y = X.sum(axis=1) + (X[:, 4] - X[:, 0]) / apart + 0.1 * rng.standard_normal(200)
        model = fitted("squared_error", X, y, alpha=0.0)
        A = np.column_stack([X, np.ones(200)])
        least = np.mean((y - A @ np.linalg.lstsq(A, y, rcond=None)[0]) ** 2)
        assert np.mean((y - model.predict(X)) ** 2) <= least + 1e-10 * np.var(y)


def test_a_kink_that_rows_have_jumped_over_is_no_exact_model():
    # All rows go from one slope of Huber's loss to the other: curvature is 0 at both ends.
    X, loss = np.ones((50, 1)), get_loss("huber", delta=0.01)
    rng = np.random.RandomState(0)
    for spread in (1e-3, 1.0, 30.0):
        y = 100.0 + spread * rng.standard_normal(50)
        model = SGDRegressorX(loss, optimizer="newton", fit_intercept=False, alpha=1e-8)
        model.fit(X, y, coef_init=np.array([1000.0]))
        found = minimize(
            lambda w, y: np.mean(loss.loss(y, np.full(50, w[0]))),
            [np.median(y)],
            (y,),
            method="Nelder-Mead",
            options={"xatol": 1e-10, "fatol": 1e-14},
        )
        value = loss.loss(y, model.predict(X)).mean()
        assert value <= found.fun + 1e-8 * spread


STRAIGHT = ["huber", "smooth_l1", "smooth_quantile", "smooth_hinge", "log_cosh"]
HOLDS = {
    "l1": {"penalty": "l1"},
    "elastic net": {"penalty": "elasticnet"},
    "positive": {"penalty": "l2", "positive": True},
    "bounds": {"penalty": "l1", "bounds": (-0.5, 0.5)},
}


def objective(model, X, y):
    coef, raw = model.coef_.ravel(), X @ model.coef_.ravel() + np.ravel(model.intercept_)[0]
    share = {"l1": 1.0, "l2": 0.0}.get(model.penalty, model.l1_ratio)
    penalty = share * np.abs(coef).sum() + 0.5 * (1 - share) * coef @ coef
    return model.loss_.loss(np.asarray(y, dtype=float), raw).mean() + model.alpha * penalty


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("loss", STRAIGHT)
def test_straight_parts_of_a_loss_are_no_minimum(loss, hold):
    # Most samples start where the second derivative is 0, and that of the model too.
    classifies = get_loss(loss).task == "binary"
    kind = SGDClassifierX if classifies else SGDRegressorX
    for seed, size in ((0, 1.0), (1, 10.0), (2, 100.0)):
        rng = np.random.RandomState(seed)
        n, d = rng.randint(40, 200), rng.randint(2, 15)
        X = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-1, 1, d)
        signal = (X / X.std(axis=0))[:, :2].sum(axis=1) + rng.standard_t(2, n)
        y = (signal > 0).astype(int) if classifies else size * signal
        params = HOLDS[hold] | {"alpha": 1e-2}
        with warnings.catch_warnings():  # of y in units in which the penalty holds the weights
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = kind(loss, optimizer="newton", **params).fit(X, y)
        assert model.stop_reason_ == "converged"
        other = kind(loss, optimizer="lbfgs", tol=1e-7, max_iter=20_000, **params).fit(X, y)
        constant = kind(loss, optimizer="lbfgs", penalty="l1", alpha=1e9).fit(X, y)
        allowed = 1e-6 * objective(constant.set_params(alpha=0.0), X, y)
        assert objective(model, X, y) <= objective(other, X, y) + allowed


def test_straight_parts_along_a_path():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((200, 5))
    y = 10.0 * (X @ [1.0, 2.0, 3.0, 0.0, 0.0] + rng.standard_t(2, size=200))
    shared = SGDRegressorX("huber", penalty=L1(), optimizer="newton")
    models = alpha_path(shared, X, y, n_alphas=12)
    assert models[0].penalty is not models[1].penalty
    for model in models:
        model.penalty = "l1"
        other = SGDRegressorX("huber", penalty="l1", optimizer="lbfgs", tol=1e-6, alpha=model.alpha)
        assert objective(model, X, y) <= objective(other.fit(X, y), X, y) + 1e-6


@pytest.mark.parametrize("n, d", [(20, 50), (50, 100), (10, 10)])
def test_fewer_samples_than_columns_and_next_to_no_penalty(n, d):
    # Sweeps of coordinate descent gain little long before the end.
    for seed in range(5):
        rng = np.random.RandomState(seed)
        X = rng.standard_normal((n, d))
        y = X[:, :3].sum(axis=1) + rng.standard_normal(n)
        model = fitted("squared_error", X, y, penalty="l1", alpha=1e-4, tol=1e-4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            lasso = Lasso(1e-4, tol=1e-10, max_iter=100_000).fit(X, y)
        values = [
            0.5 * np.mean((y - m.predict(X)) ** 2) + 1e-4 * np.abs(m.coef_).sum()
            for m in (model, lasso)
        ]
        assert values[0] <= values[1] * (1 + 1e-6)


# --------------------------------------------------------------------------------------- the models


def quadratic(n, seed=0):
    rng = np.random.RandomState(seed)
    A = rng.standard_normal((2 * n, n)) @ np.diag(10.0 ** rng.uniform(-1, 1, n))
    A[:, 1] = A[:, 0] + 0.01 * rng.standard_normal(2 * n)
    return np.ascontiguousarray(A.T @ A), rng.standard_normal(n), rng.standard_normal(n)


def test_newton_step_and_conjugate_gradients():
    bend, slope, _ = quadratic(12)
    right = -np.linalg.solve(bend, slope)
    step, ridge = newton_step(bend, slope)
    np.testing.assert_allclose(step, right, rtol=1e-6)
    assert ridge < 1e-10
    step = conjugate_gradients(lambda v: bend @ v, slope, bend.diagonal(), 1e-12, 500)
    np.testing.assert_allclose(step, right, rtol=1e-6)
    step, ridge = newton_step(-bend, slope)
    assert step is None or ridge >= 1.0


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("way", ["descent", "gradient"])
def test_models_with_l1_and_bounds(way, bounded):
    n = 15
    bend, slope, x = quadratic(n)
    l1 = np.append(np.full(n - 1, 0.5), 0.0)
    low = np.full(n, -0.2) if bounded else None
    high = np.full(n, 0.3) if bounded else None
    if bounded:
        x = np.clip(x, low, high)
    feature = np.append(np.arange(n - 1), -1 if not bounded else n - 1)
    kernel = PenaltyKernel("ElasticNet", n, 0.5, 1.0, [], np.append(np.ones(n - 1), 0.0), None)
    held = Holding(feature, np.ones(n), l1, kernel, low, high)
    if way == "descent":
        to = CoordinateDescent(bend, slope, x, held).run(1e-14, None)
    else:

        def prox(u, length):
            u = np.copysign(np.maximum(np.abs(u) - length * l1, 0.0), u)
            return u if low is None else np.clip(u, low, high)

        to = ProximalGradient(lambda v: bend @ v, bend.diagonal(), slope, x, prox, True).run(
            1e-16, None
        )
    gradient = slope + bend @ (to - x)
    assert np.abs(held.least(to, gradient)).max() < 1e-5

    def value(u):
        return slope @ (u - x) + (u - x) @ bend @ (u - x) / 2 + l1 @ np.abs(u)

    for _ in range(50):
        other = to + 1e-3 * np.random.standard_normal(n)
        other = other if low is None else np.clip(other, low, high)
        assert value(to) <= value(other) + 1e-9


@pytest.mark.parametrize("intercept", [1, 0])
@pytest.mark.parametrize("bounded", [False, True])
def test_descent_by_sparse_columns_is_that_by_the_matrix(bounded, intercept):
    rng = np.random.RandomState(0)
    d, n = 9, 9 + intercept
    X = sparse.random_array((40, d), density=0.4, format="csc", rng=rng)
    X.indices = X.indices.astype(np.int32)
    center, h, ridge = X.mean(axis=0), rng.uniform(size=40), 0.01 * rng.uniform(size=n)
    unit = np.append(rng.uniform(0.5, 2.0, d), np.ones(intercept))
    A = np.column_stack([(X.toarray() - center) * unit[:d], np.ones((40, intercept))])
    bend = (A.T * h) @ A + np.diag(ridge)
    slope, x = rng.standard_normal(n), np.zeros(n)
    free = np.append(np.zeros(d, dtype=bool), np.ones(intercept, dtype=bool))
    l1 = np.where(free, 0.0, 0.3 * unit)
    low, high = (np.where(free, s * np.inf, s * 0.2) for s in (-1, 1)) if bounded else (None, None)
    kernel = PenaltyKernel("ElasticNet", d, 0.3, 1.0, [], None, None)
    held = Holding(np.where(free, -1, np.arange(n)), unit, l1, kernel, low, high)
    right = CoordinateDescent(bend, slope, x, held).run(1e-18, None)
    descent = SparseDescent(X, intercept, center, h, ridge, slope, x, held)
    found = descent.run(1e-18, None)
    np.testing.assert_allclose(found, right, atol=1e-7)
    np.testing.assert_allclose(descent.rise(), slope @ found + found @ bend @ found / 2, rtol=1e-9)
    with pytest.raises(ValueError, match="shape"):
        SparseDescent(X, intercept, center, h, ridge, slope[1:], x[1:], held)
    X.indices = X.indices.astype(np.int64)
    with pytest.raises(ValueError, match="int32 indices"):
        SparseDescent(X, intercept, center, h, ridge, slope, x, held)


# ----------------------------------------------------------------------------- rows and derivatives


@pytest.mark.parametrize("loss", ["log_loss", "poisson", "huber", "cauchy", "multinomial", "focal"])
def test_second_derivatives(loss):
    loss = MulticlassFocal(gamma=2.0) if loss == "focal" else get_loss(loss)
    rng = np.random.RandomState(0)
    K = 3 if loss.is_multiclass else 1
    loss = loss._for_classes(3) if loss.is_multiclass else loss
    y = targets(loss, rng.standard_normal(40), rng).astype(float)
    data = Data(np.empty((40, 0)), y, [loss], n_outputs=K, sample_weight=rng.uniform(size=40))
    (rows,) = rows_of(data, 2.0, 1)
    raw = rng.standard_normal((K, 40))
    step = 1e-5
    for k, j, found in rows.blocks(raw, False):
        change = np.zeros((K, 1))
        change[j] = step
        up, down = (rows.value_gradient(raw + s * change)[1][k] for s in (1, -1))
        np.testing.assert_allclose(found, (up - down) / (2 * step), atol=1e-7)
    matrix = np.zeros((40, K, K))
    for k, j, found in rows.blocks(raw, True):
        matrix[:, k, j] = matrix[:, j, k] = found
    assert np.linalg.eigvalsh(matrix).min() > -1e-8
    vector = rng.standard_normal((K, 40))
    if loss.convex:
        right = np.einsum("nkj,jn->kn", matrix, vector)
        np.testing.assert_allclose(rows.product(raw)(vector), right, atol=1e-8)


def test_a_loss_without_second_derivative():
    X, signal, rng = samples(200, 4)
    y = signal + 0.1 * rng.standard_normal(200)

    def value(y, raw):
        return np.log(np.cosh(raw - y))

    def gradient(y, raw):
        return np.tanh(raw - y)

    from sklearn_losses import FunctionLoss

    model = SGDRegressorX(FunctionLoss(value, gradient), optimizer="newton", tol=1e-6).fit(X, y)
    raw = X @ model.coef_ + model.intercept_
    objective = SimpleNamespace(value=value(y, raw).mean() + 0.5e-4 * (model.coef_**2).sum())

    def whole(z):
        raw = X @ z[:-1] + z[-1]
        down = gradient(y, raw) / len(y)
        return value(y, raw).mean() + 0.5e-4 * (z[:-1] ** 2).sum(), np.append(
            X.T @ down + 1e-4 * z[:-1], down.sum()
        )

    start = np.append(model.coef_, model.intercept_)
    best = minimize(whole, start, jac=True, options={"gtol": 1e-12}).fun
    assert objective.value - best < 1e-10


def test_what_stands_for_negative_second_derivatives():
    y, raw = np.zeros(5), np.array([[-30.0, -0.5, 0.1, 4.0, 50.0]])
    (rows,) = rows_of(Data(np.empty((5, 0)), y, [get_loss("cauchy")]), 1.0, 1)
    ((_, _, signed),), ((_, _, clipped),) = (list(rows.blocks(raw, c)) for c in (False, True))
    bent = signed < 0
    assert bent.sum() == 3
    _, gradient = rows.value_gradient(raw)
    np.testing.assert_allclose(clipped[bent], (gradient[0] / raw[0])[bent])  # least squares'
    np.testing.assert_array_equal(clipped[~bent], signed[~bent])


def test_sparse_columns_need_no_matrix(monkeypatch):
    X, signal, rng = samples(150, 700, share=0.01, density=0.02)
    y = targets(get_loss("log_loss"), signal, rng)
    monkeypatch.setattr(views, "CoordinateDescent", None)
    fitted("log_loss", sparse.csr_matrix(X), y, penalty="l1", alpha=0.01)


def test_no_extrapolation_that_rises_is_taken():
    rng = np.random.RandomState(0)
    X = sparse.random_array((30, 5), density=0.5, format="csc", rng=rng)
    X.indices = X.indices.astype(np.int32)
    held = Holding(np.arange(5), np.ones(5), np.full(5, 0.01), None, None, None)
    zeros, ones = np.zeros(5), np.ones(30)
    descent = SparseDescent(X, 0, zeros, ones, np.full(5, 0.1), rng.standard_normal(5), zeros, held)
    descent.run(1e-20, None)
    x, moved, shift = descent._point()
    # Moves that lead away: their mean is far from the minimum, where the last point stays.
    points = [(x + a, moved + X @ np.full(5, a), shift) for a in (9.0, 8.0, 6.0, 3.0, 2.0, 0.0)]
    descent._extrapolate(points)
    np.testing.assert_array_equal(descent.x, x)
