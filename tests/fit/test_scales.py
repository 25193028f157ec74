"""Scales of columns and losses, rates and gaps that fits follow from, each against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from slow_optimizers import KERNELS

from sklearn_losses import OPTIMIZERS, PinballLoss, SGDClassifierX, SGDRegressorX, get_loss
from sklearn_losses._kernels.fit.columns import column_sums, largest_squared_norm
from sklearn_losses._solvers.coordinates import (
    Columns,
    Sample,
    columns_of,
    curvature_units,
    largest_eigenvalue,
    loss_units,
    spread_units,
)
from sklearn_losses._solvers.data import Data
from sklearn_losses._solvers.gap import SHARE, Gap, tolerated
from sklearn_losses._solvers.rates import Rates, Smoothness
from sklearn_losses._solvers.reference import Reference, constants_of, reference_of
from sklearn_losses.optimizers import get_optimizer

RNG = np.random.RandomState(0)
LAYOUTS = {
    "dense": np.asarray,
    "csr": sparse.csr_matrix,
    "csr, 64 bits": lambda X: wide(sparse.csr_matrix(X)),
}


def wide(X):
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def table(n=37, d=5):
    X = RNG.randn(n, d) * [1, 100, 1e-3, 1, 1] + [0, 500, 0, 0, 0]
    X[:, 3] *= RNG.rand(n) < 0.3
    X[:, 4] = 0
    return X


# ------------------------------------------------------------------------------------------ columns


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("copies", [1, 8])
def test_moments_of_columns_are_numpys(copies, layout, dtype, chosen, weighted):
    X = np.hstack([table().astype(dtype)] * copies)
    rows = np.array([3, 0, 36, 7, 7], np.int32) if chosen else None
    seen = X[rows] if chosen else X
    weight = RNG.rand(len(seen)) * (np.arange(len(seen)) != 2) if weighted else None
    w = np.ones(len(seen)) if weight is None else weight
    n, count, mean, square = column_sums(LAYOUTS[layout](X), rows, weight)
    assert n == pytest.approx(w.sum())
    expected = np.average(seen.astype(float), axis=0, weights=w)
    np.testing.assert_allclose(count, w @ (seen != 0))
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    np.testing.assert_allclose(
        square, w @ (seen.astype(float) - expected) ** 2, rtol=1e-9, atol=1e-9
    )
    center, unit = RNG.randn(X.shape[1]) * (layout == "dense"), RNG.rand(X.shape[1])
    norms = (((seen.astype(float) - center) * unit) ** 2).sum(axis=1)[w > 0]
    found = largest_squared_norm(LAYOUTS[layout](X), center, unit, rows, weight)
    assert found == pytest.approx(norms.max(), rel=1e-12)


def test_columns_far_from_0_keep_their_digits():
    X = 1e8 + np.random.RandomState(0).randn(1000, 2)
    _, _, mean, square = column_sums(X)
    beyond = X - 1e8  # exact, where NumPy's sums of X would lose digits
    np.testing.assert_allclose(square / 1000, beyond.var(axis=0), rtol=1e-12)
    np.testing.assert_allclose(mean, 1e8 + beyond.mean(axis=0), rtol=3e-16)


def test_parts_of_a_stream_have_the_moments_of_the_whole():
    X = table(60)
    parts = [Columns(*column_sums(X[a:b])) for a, b in ((0, 7), (7, 8), (8, 60))]
    whole = Columns(*column_sums(X))
    found = parts[0].and_then(parts[1]).and_then(parts[2])
    for name in ("n", "count", "mean", "square"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-12)
    nothing = Columns(0.0, np.zeros(5), np.zeros(5), np.zeros(5))
    assert nothing.and_then(nothing).n == 0.0


def test_a_constant_column_has_no_scale_and_a_rare_one_that_of_its_entries():
    X = np.zeros((1000, 3))
    X[:, 0] = 7.1
    X[:10, 1] = [3.0, -3.0] * 5
    X[:, 2] = RNG.randn(1000)
    columns = Columns(*column_sums(X))
    center = columns.mean
    by_entry = columns.scales(center, per_entry=True)
    assert by_entry[0] == 0.0 and by_entry[1] == pytest.approx(3.0)
    by_row = columns.scales(center, per_entry=False)
    assert by_row[1] == pytest.approx(0.3) and by_row[2] == pytest.approx(X[:, 2].std())


# ------------------------------------------------------------------------------------------- losses


def data_of(loss, y, X=None, **parts):
    X = RNG.randn(len(y), 3) if X is None else X
    return Data(X, np.asarray(y, float), loss._members(), **parts)


@pytest.mark.parametrize("k", [1e-6, 1.0, 1e6])
def test_units_of_a_loss_follow_those_of_y(k):
    y = k * (3 + RNG.standard_t(3, 400))
    for name, length in (("squared_error", 1.0), ("mse", 0.5)):
        data = data_of(get_loss(name), y)
        units = loss_units(Sample(data), constants_of(data))
        assert units.length[0] == pytest.approx(length)
        assert 0.5 * k < units.spread[0] < 2 * k
    data = data_of(get_loss("absolute_error"), y)  # no curvature: the spread over the slope
    units = loss_units(Sample(data), constants_of(data))
    assert units.slope[0] == pytest.approx(1.0, abs=0.01)
    assert units.length[0] == pytest.approx(units.spread[0] / units.slope[0])


def test_units_of_a_likelihood_are_those_of_its_curvature():
    y = RNG.poisson(400.0, 500).astype(float)
    data = data_of(get_loss("poisson"), y)
    units = loss_units(Sample(data), constants_of(data))
    assert units.spread[0] == 1.0 and units.length[0] == pytest.approx(1 / y.mean())
    rare = (np.arange(100_000) % 20_000 == 0).astype(float)  # its reciprocal is not believed
    data = data_of(get_loss("log_loss"), rare)
    sample = Sample(data)
    units = loss_units(sample, constants_of(data))
    assert units.length[0] == pytest.approx(1 / units.slope[0])


def test_a_weight_of_2_is_as_good_as_two_copies():
    y = RNG.standard_t(3, 60)
    weight = RNG.randint(0, 4, 60).astype(float)
    X = table(60)
    weighted = data_of(get_loss("huber"), y, X, sample_weight=weight)
    copies = data_of(
        get_loss("huber"),
        np.repeat(y, weight.astype(int)),
        np.repeat(X, weight.astype(int), axis=0),
    )
    for name in ("spread", "slope", "length"):
        both = [getattr(loss_units(Sample(d), constants_of(d)), name) for d in (weighted, copies)]
        np.testing.assert_allclose(*both, rtol=1e-12)
    both = [columns_of(d) for d in (weighted, copies)]
    scales = [c.scales(c.mean, per_entry=True) for c in both]
    np.testing.assert_allclose(*scales, rtol=1e-9)


def test_units_are_one_over_the_root_of_the_curvature():
    scale, length = np.array([2.0, 0.0, 1e-3]), np.array([0.5, 4.0])
    found = curvature_units(scale, length, 0.25)
    expected = 1 / np.sqrt(scale**2 / length[:, None] + 0.25)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert curvature_units(scale, length, 0.0)[0, 1] == 1.0
    np.testing.assert_allclose(spread_units(scale, length), [[0.25, 0.5, 500], [2.0, 4.0, 4000]])


# -------------------------------------------------------------------------------------------- rates


def settings_of(optimizer, **params):
    model = SGDRegressorX(optimizer=optimizer, **params)
    return model._settings(1, get_optimizer(optimizer), 3, get_loss("squared_error"))


@pytest.fixture(scope="module")
def smooth():
    X = RNG.randn(200, 3) * [1, 5, 0.2]
    data = data_of(get_loss("squared_error"), RNG.randn(200), X)
    columns = columns_of(data)
    scale = columns.scales(columns.mean, per_entry=True)
    made = Smoothness(data, Sample(data), columns.mean, scale, np.array([1.0]), np.array([0.0]))
    return made, np.c_[(X - columns.mean) / scale, np.ones(200)]


@pytest.mark.parametrize("size", [1, 16, 200])
def test_smoothness_is_that_of_gower_et_al(smooth, size):
    made, Z = smooth
    largest = (Z**2).sum(axis=1).max()
    mean = np.linalg.eigvalsh(Z.T @ Z / 200)[-1]
    n = 200
    expected = (n - size) / (size * (n - 1)) * largest + n * (size - 1) / (size * (n - 1)) * mean
    assert made.of_batches(size) == pytest.approx(expected + 1.0, rel=0.05)


def test_the_largest_eigenvalue_is_numpys():
    X = RNG.randn(300, 4) @ RNG.randn(4, 4)
    data = data_of(get_loss("squared_error"), RNG.randn(300), X)
    columns = columns_of(data)
    scale = columns.scales(columns.mean, per_entry=True)
    Z = np.c_[(X - columns.mean) / scale, np.ones(300)]
    expected = np.linalg.eigvalsh(Z.T @ Z / 300)[-1]
    found = largest_eigenvalue(Sample(data), columns.mean, scale)
    assert 0.9 * expected < found <= expected * (1 + 1e-9)


# Published or stated: the first rate is this over L, or is itself; and whether it falls.
def recommended(name):
    if OPTIMIZERS[name].memory:
        return 1 / 3, False
    return KERNELS[OPTIMIZERS[name]()._kernel_params()[0]].recommended


@pytest.mark.parametrize("name", [name for name, cls in OPTIMIZERS.items() if not cls.full_batch])
def test_recommended_rates_are_as_documented(smooth, name):
    made, _ = smooth
    for params in ({}, {"learning_rate": "optimal"}):
        rates = Rates(settings_of(name, **params), made).of_epoch(0, 1.0, 3001, 16)
        first, falls = recommended(name)
        if OPTIMIZERS[name].recommended_rate is None:
            first /= made.of_batches(16)
        assert rates[0] == pytest.approx(first)
        power = 0.5 if OPTIMIZERS[name].recommended_rate is None else 0.75
        assert rates[-1] == pytest.approx(first / 4**power if falls else first)
    mine = Rates(settings_of(name, eta0=0.02), made).of_epoch(0, 1.0, 16, 16)
    np.testing.assert_allclose(mine, 0.02 / np.arange(1, 17) ** 0.25)
    shrunk = Rates(settings_of(name), made)
    shrunk.shrunk = 0.25
    assert shrunk.of_epoch(0, 1.0, 1, 16)[0] == pytest.approx(first / 4)


def test_the_default_rates_are_scikit_learns_in_its_algorithm_alone():
    assert settings_of("adam").recommended
    for params in ({"eta0": 0.1}, {"power_t": 0.5}, {"learning_rate": "constant"}):
        assert not settings_of("adam", **params).recommended
    assert SGDClassifierX()._takes_recommended_rate()
    assert not SGDClassifierX(learning_rate="adaptive")._takes_recommended_rate()


# --------------------------------------------------------------------------------------------- gaps


def test_the_estimate_is_the_bfgs_update_in_full():
    Q = np.linalg.qr(RNG.randn(5, 5))[0]
    H = Q @ np.diag(np.geomspace(1, 1e-3, 5)) @ Q.T
    gap = Gap()
    assert not gap.knows()
    for z in RNG.randn(4, 5):
        gap.see(z, H @ z)
    assert gap.knows()
    gradient = RNG.randn(5)
    B = np.eye(5)
    last = gap.pairs[-1]
    B *= (last[0] @ last[1]) / (last[1] @ last[1])
    for step, change in gap.pairs:
        rho = 1 / (step @ change)
        V = np.eye(5) - rho * np.outer(step, change)
        B = V @ B @ V.T + rho * np.outer(step, step)
    assert gap.estimate(gradient) == pytest.approx(
        max(gradient @ B @ gradient, gradient @ gradient) / 2
    )


@settings(max_examples=30, deadline=None)
@given(ratio=st.floats(0.05, 0.95))
def test_what_is_left_of_a_geometric_series_is_its_sum(ratio):
    gap = Gap()
    falls = ratio ** np.arange(40)
    gap.falls.extend(falls)
    left = falls[-1] * ratio / (1 - ratio)
    found = gap.extrapolated()
    assert found == pytest.approx(left, rel=1e-6) or found > left


def test_the_gap_is_a_number_where_changes_have_no_square():
    gap = Gap()
    for z, gradient in ((0.0, 1e-170), (1.0, 2e-170)):
        gap.see(np.array([z]), np.array([gradient]))
    assert len(gap.pairs) == 1 and gap.estimate(np.array([1e-170])) >= 0.0


def test_the_tolerated_gap_is_as_the_guide_says():
    reference = Reference(np.zeros(1), objective=10.0, floor=2.0, n=500, natural=False)
    assert tolerated(1e-3, reference, 5.0) == pytest.approx(SHARE * 1e-6 * 3.0)
    many = Reference(np.zeros(1), 10.0, 2.0, n=10_000, natural=False)
    assert tolerated(1e-3, many, 5.0) == pytest.approx(SHARE * 1e-6 * 3.0 / 10)
    likelihood = Reference(np.zeros(1), 10.0, 2.0, n=500, natural=True)
    assert tolerated(1e-3, likelihood, 5.0) == pytest.approx(SHARE * 1e-6)
    assert reference.size_of(9.5) == pytest.approx(0.5)  # what was gained
    assert reference.size_of(2.1) == pytest.approx(0.1)  # what is left
    assert reference.size_of(12.0) == pytest.approx(8e-3)  # never nothing


@pytest.mark.parametrize("offset", [False, True])
def test_a_reference_is_the_best_constant(offset):
    y = RNG.poisson(3.0, 300).astype(float)
    weight = RNG.rand(300)
    shift = RNG.randn(300) if offset else None
    loss = get_loss("poisson")
    data = data_of(loss, y, sample_weight=weight, offset=shift)
    found = reference_of(data, settings_of("lbfgs"))
    at = np.zeros(300) if shift is None else shift
    best = np.log(np.average(y, weights=weight) / np.average(np.exp(at), weights=weight))
    assert found.constants[0] == pytest.approx(best)
    assert found.objective == pytest.approx(loss(y, best + at, weight))
    floor = -np.average(loss.constant_to_optimal_zero(y), weights=weight)
    assert found.floor == pytest.approx(floor) and found.n == 300 and found.natural
    several = data_of(PinballLoss(quantile=[0.137, 0.911]), y, n_outputs=2)
    low, high = np.quantile(y, [0.137, 0.911], method="inverted_cdf")
    np.testing.assert_allclose(reference_of(several, settings_of("lbfgs")).constants, [low, high])
