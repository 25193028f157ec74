"""Small problems on which exact fits once ended short of the minimum, or took a thousand steps: few
samples, classes that are nearly separated, losses that saturate, bounds on singular columns, and
sparse rows with several entries at a place."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog, lsq_linear, nnls
from sklearn.exceptions import ConvergenceWarning

from sklearn_losses import SGDClassifierX, SGDRegressorX, get_loss, get_penalty
from sklearn_losses._kernels.fit._penalties import PenaltyKernel
from sklearn_losses._solvers import quadratic
from sklearn_losses._solvers.data import Data
from sklearn_losses._solvers.quadratic import CoordinateDescent, Holding, SparseDescent
from sklearn_losses._solvers.rows import rows_of
from sklearn_losses._solvers.views import View

LAYOUTS = [np.asarray, sparse.csr_matrix]
CONVERGED = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


def objective(model, X, y):
    """By the loss and the penalty alone."""
    penalty = get_penalty(model.penalty)
    raw = X @ model.coef_.T + model.intercept_
    raw = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw
    values = model.loss_.loss(y.astype(float), np.ascontiguousarray(raw))
    of_weights = (penalty.value(row, model.alpha) for row in np.atleast_2d(model.coef_))
    return float(values.mean()) + float(sum(of_weights))


def hinge_program(X, y, alpha):
    """The least of the mean hinge loss and alpha times the weights' sizes."""
    n, d = X.shape
    sign = 2.0 * y[:, None] - 1.0
    met = np.hstack([sign * X, -sign * X, sign, -sign, np.eye(n)])  # at least 1
    cost = np.concatenate([np.full(2 * d, alpha), [0.0, 0.0], np.full(n, 1.0 / n)])
    return linprog(cost, A_ub=-met, b_ub=-np.ones(n), method="highs").fun


@CONVERGED
@pytest.mark.parametrize("alpha", [0.0, 1e-3])
def test_hinge_fits_are_their_linear_programs(alpha):
    """The bound that ends a fit was once that of slopes whose sum was not yet 0."""
    for seed in [168, *range(40)]:
        rng = np.random.RandomState(seed)
        n, d = (40, 2) if seed == 168 else (rng.randint(5, 60), rng.randint(1, 20))
        X = 10.0 * rng.randn(n, d)
        y = (X.sum(axis=1) + 10.0 * rng.randn(n) > 0).astype(int)
        if len(np.unique(y)) < 2:
            continue
        model = SGDClassifierX("hinge", penalty="l1", alpha=alpha, optimizer="auto").fit(X, y)
        assert objective(model, X, y) == pytest.approx(hinge_program(X, y, alpha), abs=1e-8), seed


@pytest.mark.slow
@CONVERGED
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize(
    "loss", ["squared_hinge", "modified_huber", "smooth_hinge", "squared_epsilon_insensitive"]
)
def test_rows_beyond_a_kink_leave_the_matrix(loss, penalty):
    """A matrix of other rows' second derivatives once passed for the present one: fits crept."""
    kind = SGDRegressorX if get_loss(loss).task == "regression" else SGDClassifierX
    for seed in range(6):
        rng = np.random.RandomState(seed)
        X = rng.randn(17, 20)
        y = X[:, :3].sum(axis=1) + rng.randn(17)
        y = y if kind is SGDRegressorX else (y > 0).astype(int)
        model = kind(loss, penalty=penalty, optimizer="auto").fit(X, y)
        slow = kind(loss, penalty=penalty, optimizer="lbfgs", tol=1e-7, max_iter=10**4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            slow.fit(X, y)
        assert model.n_iter_ < 200
        assert objective(model, X, y) < objective(slow, X, y) + 2e-7


@CONVERGED
@pytest.mark.parametrize("layout", LAYOUTS)
def test_few_samples_and_no_negative_weight(layout):
    for seed in range(12):
        rng = np.random.RandomState(seed)
        X = rng.randn(6, 60) * 10.0 ** rng.uniform(-1, 1, 60) * (rng.rand(6, 60) < 0.3)
        y, alpha = 50.0 * rng.randn(6), 6e-4
        settings = {"alpha": alpha, "positive": True, "fit_intercept": False}
        model = SGDRegressorX(optimizer="newton", **settings).fit(layout(X), y)
        rows = np.vstack([X, np.sqrt(6 * alpha) * np.eye(60)])
        best = nnls(rows, np.append(y, np.zeros(60)))[1] ** 2 / 12
        assert objective(model, X, y) <= best + 1e-7 * float(y @ y)
        assert model.n_iter_ < 20


@CONVERGED
@pytest.mark.parametrize(
    "loss, unit",
    [("ldam", 1.0), ("logit_adjusted", 1.0), ("multiclass_focal", 30.0), ("multinomial", 30.0)],
)
def test_classes_beyond_all_doubt(loss, unit):
    """Where a loss saturates there is no curvature, and next to no limit to a step; and rounding
    once carried all intercepts away together."""
    for seed in (1, 4) if loss == "ldam" else (1, 3, 4):
        rng = np.random.RandomState(seed)
        X = unit * rng.randn(20, 20)
        y = np.append([0, 1, 2], rng.randint(0, 3, 17))
        model = SGDClassifierX(loss, penalty="l1", optimizer="auto").fit(X, y)
        slow = SGDClassifierX(loss, penalty="l1", optimizer="lbfgs", tol=1e-6, max_iter=5000)
        assert objective(model, X, y) < objective(slow.fit(X, y), X, y) + 1e-7
        assert np.abs(model.intercept_).max() < 1e3


@CONVERGED
def test_few_sparse_samples_take_few_steps():
    rng = np.random.RandomState(27)
    X = rng.randn(12, 20) * 10.0 ** rng.uniform(-2, 2, 20) * (rng.rand(12, 20) < 0.3)
    y = rng.poisson(3, 12)
    dense, rows = (
        SGDRegressorX("poisson", penalty="l1", optimizer="newton").fit(layout(X), y)
        for layout in LAYOUTS
    )
    assert rows.n_iter_ < 20
    assert objective(rows, X, y) == pytest.approx(objective(dense, X, y), abs=1e-9)


@pytest.mark.parametrize("optimizer", ["auto", "lbfgs", "gd", "saga", "adagrad"])
@pytest.mark.parametrize("loss", ["squared_error", "quantile", "huber"])
def test_entries_at_a_place_are_their_sum(loss, optimizer):
    """Their squares were once taken one by one, and columns left out as constant."""
    rng = np.random.RandomState(0)
    X = rng.poisson(0.5, (8, 12)).astype(float)
    y = rng.randn(8)
    once = sparse.csr_matrix(X)
    halves = np.repeat(once.data / 2, 2), np.repeat(once.indices, 2), 2 * once.indptr
    twice = sparse.csr_matrix(halves, shape=X.shape)
    assert twice.nnz == 2 * once.nnz
    settings = {"optimizer": optimizer, "alpha": 0.01, "max_iter": 20, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = (SGDRegressorX(loss, **settings).fit(x, y) for x in (once, twice))
    np.testing.assert_array_equal(second.coef_, first.coef_)
    assert twice.nnz == 2 * once.nnz  # the user's matrix is as it was


@CONVERGED
def test_a_rare_class_far_from_the_others():
    """The minimum of a hinge is then far beyond where an interior point starts."""
    for seed in (1, 2, 5):
        rng = np.random.default_rng(seed)
        y = np.arange(2000) < 10
        X = rng.normal(size=(2000, 2))
        X[y] = 0.3 * X[y] + 4.0 * rng.normal(size=2)
        model = SGDClassifierX("hinge", alpha=1e-5, optimizer="auto").fit(X, y)
        slow = SGDClassifierX("hinge", alpha=1e-5, optimizer="lbfgs", max_iter=5000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            slow.fit(X, y)
        assert objective(model, X, y) <= objective(slow, X, y) + 1e-9


@CONVERGED
@pytest.mark.parametrize("optimizer", ["newton", "adam"])
def test_a_few_large_counts_make_all_the_difference(optimizer):
    """What a loss is at least, and whether a fit is worse than a constant, is not for some rows to
    say: they once told of fits that were right."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20000, 4))
    y = np.round(3.0 * np.exp(0.3 * X[:, 0] + 3.5 * rng.normal(size=20000)))
    settings = {"optimizer": optimizer, "penalty": None, "random_state": 0}
    if optimizer == "adam":
        settings["batch_size"] = 64
    model = SGDRegressorX("poisson", **settings).fit(X, y)
    loss = get_loss("poisson")
    constant = loss.loss(y, np.full(len(y), np.log(y.mean()))).mean()
    assert loss.loss(y, X @ model.coef_ + model.intercept_).mean() < constant


@pytest.mark.parametrize("optimizer", ["implicit_adagrad", "adam"])
def test_a_part_of_a_stream_that_leads_astray_is_refused(optimizer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1100, 3)) + 2.0
    y = np.exp(X[:, 0] - 2.0)
    model = SGDRegressorX("poisson", optimizer=optimizer, random_state=0)
    for k in range(10):
        model.partial_fit(X[100 * k : 100 * k + 100], y[100 * k : 100 * k + 100])
    before = model.coef_.copy()
    with pytest.raises(ValueError, match="under-/overflow"):
        model.partial_fit(1000.0 * X[1000:], y[1000:])
    np.testing.assert_array_equal(model.coef_, before)
    model.partial_fit(X[1000:], y[1000:])
    assert np.abs(model.coef_).max() < 2.0


@pytest.mark.parametrize("loss, noise", [("squared_error", 1e-9), ("poisson", 0.0)])
def test_a_stream_whose_targets_come_back_is_not_refused(loss, noise):
    """A constant leaves nothing of a part of next to one target, whatever the weights are."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    one = 5.0 + noise * rng.normal(size=100)
    model = SGDRegressorX(loss, optimizer="implicit_adagrad", random_state=0)
    for y in (one, 5.0 + 1e3 * np.abs(X[:, 0]), one):
        model.partial_fit(X, y)
    assert np.isfinite(model.coef_).all()


@CONVERGED
def test_what_counts_are_at_least_is_for_all_rows_to_say():
    rng = np.random.default_rng(0)
    X, exposure = rng.normal(size=(100_000, 5)), rng.lognormal(0, 1, 100_000)
    y = rng.poisson(np.exp(0.3 * X[:, 0] + 2.0) * exposure)
    model = SGDRegressorX("poisson", penalty=None, optimizer="auto")
    model.fit(X, y, offset=np.log(exposure))
    np.testing.assert_allclose(model.coef_, [0.3, 0, 0, 0, 0], atol=0.01)


# ------------------------------------------------------------------------------------------ models


def holding(n, l1=0.0, low=None, high=None):
    bounds = (None, None) if low is None else (np.full(n, low), np.full(n, high))
    return Holding(np.arange(n, dtype=np.int32), np.ones(n), np.full(n, l1), None, *bounds)


@pytest.mark.parametrize("bounds", [(0.0, np.inf), (-0.3, 0.2)])
def test_models_within_bounds_end_at_their_minimum(bounds):
    for seed in range(20):
        rng = np.random.RandomState(seed)
        n, d = rng.randint(3, 20, 2)
        A, b = rng.randn(n, d) * 10.0 ** rng.uniform(-2, 2, d), rng.randn(n)
        descent = CoordinateDescent(A.T @ A, -A.T @ b, np.zeros(d), holding(d, 0.0, *bounds))
        x = descent.run(1e-14, None)
        best = lsq_linear(A, b, bounds, tol=1e-14).cost
        assert descent.solved
        assert 0.5 * float(np.sum((A @ x - b) ** 2)) <= best + 1e-9
        assert (x >= bounds[0]).all() and (x <= bounds[1]).all()


@pytest.mark.parametrize("intercept", [0, 1])
@pytest.mark.parametrize("bounded", [False, True])
def test_direct_steps_on_sparse_columns_are_those_by_the_matrix(intercept, bounded):
    for seed in range(8):
        rng = np.random.RandomState(seed)
        X, h = rng.randn(30, 6) * (rng.rand(30, 6) < 0.5), rng.rand(30)
        center, unit, ridge = rng.randn(6), rng.rand(6) + 0.5, 1e-3 * rng.rand(6 + intercept)
        ridge[6:] = 0.0
        A = np.hstack([(X - center) * unit, np.ones((30, intercept))])
        n = 6 + intercept
        l1 = np.append(np.full(6, 0.05), np.zeros(intercept))
        bounds = (np.full(n, -0.5), np.full(n, 0.5)) if bounded else (None, None)
        held = Holding(
            np.append(np.arange(6), np.full(intercept, -1)).astype(np.int32),
            np.append(unit, np.ones(intercept)),
            l1,
            None,
            *bounds,
        )
        x = 0.2 * rng.randn(n)
        slope = A.T @ (h * rng.randn(30)) + 0.01
        bend = A.T @ (h[:, None] * A) + np.diag(ridge)
        by_matrix = CoordinateDescent(bend, slope, x, held)
        by_columns = SparseDescent(
            sparse.csc_array(X), bool(intercept), center, h, ridge, slope, x, held
        )
        by_columns.columns.indices = by_columns.columns.indices.astype(np.int32)
        for descent in (by_matrix, by_columns):
            descent.kernel.sweep(True)
        np.testing.assert_allclose(by_columns.gradient(), by_matrix.slope, rtol=1e-9, atol=1e-12)
        assert by_columns.on_active() == pytest.approx(by_matrix.on_active(), rel=1e-7)
        np.testing.assert_allclose(by_columns.x, by_matrix.x, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(by_columns.gradient(), by_matrix.slope, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_model_that_was_not_solved_ends_no_fit(layout, monkeypatch):
    """With a sweep a model a fit takes more steps, and ends where it should."""
    rng = np.random.RandomState(0)
    X = rng.randn(60, 3) @ rng.randn(3, 20) + 0.1 * rng.randn(60, 20)
    X = X * (rng.rand(60, 20) < 0.9)
    y = X[:, 0] + rng.randn(60)
    lasso = SGDRegressorX(penalty="l1", alpha=0.01, optimizer="newton", max_iter=5000)
    best = objective(lasso.fit(layout(X), y), X, y)
    steps = lasso.n_iter_
    monkeypatch.setattr(quadratic, "MOST_SWEEPS", 1)
    monkeypatch.setattr(quadratic, "MOST_DIRECT", 0)
    lasso.fit(layout(X), y)
    assert lasso.n_iter_ > steps
    assert objective(lasso, X, y) == pytest.approx(best, abs=1e-7)


def test_sparse_columns_that_sweeps_crawl_along_are_solved():
    """The last sweeps gain little long before the end; what they would still gain counts."""
    penalty = PenaltyKernel("ElasticNet", 20, 1e-3, 1.0, [], None, None, True)
    held = replace(holding(20, 1e-3), penalty=penalty)
    for seed in range(30):
        rng = np.random.RandomState(seed)
        X = np.repeat(rng.randn(12, 4), 5, axis=1) * (rng.rand(12, 20) < 0.8)
        h, center, ridge = np.full(12, 1 / 12), X.mean(axis=0), np.full(20, 1e-3)
        A, x = X - center, np.zeros(20)
        slope, bend = A.T @ rng.randn(12) / 12, A.T @ (h[:, None] * A) + np.diag(ridge)
        best = CoordinateDescent(bend, slope, x, held).run(1e-14, None)
        columns = sparse.csc_array(X)
        columns.indices = columns.indices.astype(np.int32)
        descent = SparseDescent(columns, False, center, h, ridge, slope, x, held)
        found = descent.run(1e-10, None)
        first, second = (
            slope @ u + 0.5 * u @ bend @ u + 1e-3 * np.abs(u).sum() for u in (found, best)
        )
        assert first <= second + 1e-9


@pytest.mark.parametrize("loss", ["multinomial", "multiclass_focal", "ldam"])
def test_what_fills_up_second_derivatives_of_classes(loss):
    rng = np.random.RandomState(0)
    X, y = rng.randn(9, 2), np.arange(9.0) % 3
    loss = get_loss(loss)._for_classes(3, np.full(3, 3.0))
    (rows,) = rows_of(Data(X, y, [loss], 3), 1.0, None)
    raw = 5.0 * rng.randn(3, 9)
    least = np.abs(rows.value_gradient(raw)[1]) / (1.0 + np.abs(raw).max(axis=0))
    whole = np.zeros((3, 3, 9))
    for k, j, found in rows.blocks(raw, True, True):
        whole[k, j] = whole[j, k] = found
    of_itself = np.zeros((3, 3, 9))
    for k, j, found in rows.blocks(raw, True):
        of_itself[k, j] = of_itself[j, k] = found
    diagonal = np.einsum("kkn->kn", whole)
    assert rows.has_flats(raw)
    assert (diagonal >= least * (1 - 1e-6)).all()
    added = diagonal - np.einsum("kkn->kn", of_itself)
    if loss.convex:  # of others what is added to has been clipped
        np.testing.assert_allclose(
            diagonal, np.maximum(diagonal - added, least), rtol=1e-6, atol=1e-12
        )
    vector = rng.randn(3, 9)
    expected = np.einsum("kjn,jn->kn", of_itself, vector) + added * vector
    if loss.convex:
        np.testing.assert_allclose(rows.product(raw, True)(vector), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("loss", ["squared_hinge", "smooth_hinge", "huber", "smooth_quantile"])
def test_a_matrix_that_counts_as_present_is_that_of_its_rows(loss, monkeypatch):
    compared = []
    step = View.by_matrix

    def by_matrix(view, *given):
        if not view.aged and not view.part.filled:
            compared.append(view)
            present = view.matrix_of(clipped=not view.is_signed())
            np.testing.assert_allclose(view.matrix, present, rtol=1e-9, atol=1e-12)
        return step(view, *given)

    monkeypatch.setattr(View, "by_matrix", by_matrix)
    for seed in range(8):
        rng = np.random.RandomState(seed)
        X = rng.randn(30, 20)
        y = X[:, :3].sum(axis=1) + rng.standard_t(2, 30)
        kind = SGDRegressorX if get_loss(loss).task == "regression" else SGDClassifierX
        y = y if kind is SGDRegressorX else (y > 0).astype(int)
        kind(loss, optimizer="newton", alpha=1e-3).fit(X, y)
    assert len(compared) > 8


def test_a_model_that_was_not_solved_is_not_exact(monkeypatch):
    """Where the objective is its own model, the end of too few sweeps is no minimum."""
    monkeypatch.setattr(quadratic, "MOST_SWEEPS", 3)
    monkeypatch.setattr(quadratic, "MOST_DIRECT", 0)
    rng = np.random.RandomState(2)
    X = rng.randn(6, 60) * 10.0 ** rng.uniform(-1, 1, 60) * (rng.rand(6, 60) < 0.3)
    y = 50.0 * rng.randn(6)
    settings = {"alpha": 6e-4, "positive": True, "fit_intercept": False, "max_iter": 20}
    with pytest.warns(ConvergenceWarning, match="Maximum number"):
        model = SGDRegressorX(optimizer="newton", **settings).fit(X, y)
    assert model.stop_reason_ == "max_iter"


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "implicit_adagrad"},
        {"optimizer": "adam", "batch_size": 64},
        {"optimizer": "sgd", "batch_size": 64},
    ],
    ids=lambda settings: settings["optimizer"],
)
def test_targets_whose_squares_overflow_are_named(settings):
    rng = np.random.RandomState(0)
    X = rng.randn(100, 3)
    y = (X.sum(axis=1) + rng.randn(100)) * 1e160
    with pytest.raises(ValueError, match=r"overflow occurred at epoch #1.*Targets in other units"):
        SGDRegressorX(**settings).fit(X, y)
    if settings["optimizer"] == "implicit_adagrad":  # whose sums are of squares of squares
        with pytest.raises(ValueError, match=r"derivatives overflow.*Targets in other units"):
            SGDRegressorX(**settings).fit(X, y * 1e-60)
