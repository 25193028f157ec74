"""Penalties: the published values, proximal operators that minimise what defines them, violations
that are 0 where nothing is to gain, and what every penalty keeps as an object."""

import pickle

import numpy as np
import pytest
import slow_penalties
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from slow_penalties import FLAGS, OTHER_PARAMS, VALUES, exact_prox_group, prox_group, prox_one

from sklearn_losses._kernels.fit import _penalties
from sklearn_losses.penalties import (
    L1,
    L2,
    MCP,
    PENALTIES,
    SCAD,
    ElasticNet,
    GaussianPrior,
    GroupLasso,
    Penalty,
    SmoothPenalty,
    SparseGroup,
    get_penalty,
)

N_FEATURES = 7
LABELS = np.array([2, 0, 2, 5, 0, 2, 5])
LISTS = [[1, 4], [0, 2, 5], [3, 6]]  # what the labels mean
WEIGHTS = [0.5, 2.0, 0.0, 1.0, 1.5, 3.0, 0.0]


# Those that are quadratic, whose minima tests/fit/test_prior_penalties.py holds.
QUADRATIC = {
    GaussianPrior: GaussianPrior(0.0, slow_penalties.banded(N_FEATURES)),
    SmoothPenalty: SmoothPenalty(order=1, groups=LISTS),
}


def every():
    """Each penalty as it is made, with other parameters, and with weights."""
    made = []
    for name, cls in PENALTIES.items():
        grouped = "groups" in cls._get_param_names() and cls not in QUADRATIC
        for params in ({}, *OTHER_PARAMS.get(name, ())):
            made.append(cls(**params, **({"groups": LABELS} if grouped else {})))
        if cls in QUADRATIC:
            made.append(QUADRATIC[cls])
        elif grouped:
            made.append(cls(groups=LISTS, weights=[0.0, 2.0, 0.5]))
        elif "weights" in cls._get_param_names():
            made.append(cls(weights=WEIGHTS, **dict(*OTHER_PARAMS.get(name, ())[:1])))
    return made


EVERY = every()
NAMES = [f"{p.name}-{i}" for i, p in enumerate(EVERY)]
every_penalty = pytest.mark.parametrize("penalty", EVERY, ids=NAMES)
every_type = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SEPARABLE = [p for p in EVERY if p.separable]
every_separable = pytest.mark.parametrize("penalty", SEPARABLE, ids=repr)
GROUPED = [p for p in EVERY if not (p.separable or type(p) in QUADRATIC)]
every_grouped = pytest.mark.parametrize("penalty", GROUPED, ids=repr)
CONVEX = [p for p in EVERY if p.convex]


def reference(penalty, c, alpha):
    """The paper's value, of coefficients of one output."""
    params = penalty.get_params()
    if "groups" in params:
        params["groups"] = None if params["groups"] is None else LISTS
        if params.get("weights", ()) is None:
            params["weights"] = [2**0.5, 3**0.5, 2**0.5]
    elif "weights" in params and params["weights"] is None:
        params["weights"] = [1.0] * len(c)
    return VALUES[penalty.name](c, alpha, **params)


def some(rng, *shape):
    """Numbers of several sizes, and zeros."""
    x = rng.standard_normal(shape) * 10.0 ** rng.integers(-2, 2, shape)
    return np.where(rng.random(shape) < 0.2, 0.0, x)


def random_bounds(rng, z):
    """Bounds on all sides of 0 and of z, and at 0; some are infinite."""
    low = rng.choice([-np.inf, -1.0, -0.1, 0.0, 0.3], z.shape)
    high = np.maximum(low, rng.choice([np.inf, 1.0, 0.0, 0.4, -0.2], z.shape))
    return low, high


def group_terms(penalty, alpha):
    """(features, L1 strength, strength of the norm) of each group."""
    ratio = getattr(penalty, "l1_ratio", 0.0)
    weights = [2**0.5, 3**0.5, 2**0.5] if penalty.weights is None else penalty.weights
    return [
        (np.array(group), alpha * ratio, alpha * (1 - ratio) * w)
        for group, w in zip(LISTS, weights, strict=True)
    ]


# ------------------------------------------------------------------------------------------- values


def test_every_penalty_has_a_reference_and_a_kernel():
    assert set(VALUES) == set(PENALTIES) == {p.name for p in EVERY}
    compiled = [cls for cls in PENALTIES.values() if cls not in QUADRATIC]
    assert {cls._struct for cls in compiled} == set(_penalties.KINDS)


@every_type
@every_penalty
@pytest.mark.parametrize("alpha", [0.0, 0.3, 2.5])
def test_the_value_is_the_papers_summed_over_outputs(penalty, dtype, alpha):
    coef = some(np.random.default_rng(0), 3, N_FEATURES).astype(dtype)
    expected = sum(reference(penalty, c.astype(float), alpha) for c in coef)
    value = penalty.value(coef, alpha)
    assert type(value) is float
    assert value == pytest.approx(expected, rel=1e-14)
    assert penalty.value(coef[0], alpha) == pytest.approx(
        reference(penalty, coef[0].astype(float), alpha), rel=1e-14
    )


@pytest.mark.parametrize("penalty", [MCP(2.0), SCAD(3.0)], ids=repr)
def test_a_concave_penalty_is_flat_for_large_coefficients(penalty):
    flat = penalty.value(np.array([penalty.gamma * 0.5]), 0.5)
    assert penalty.value(np.array([1e200]), 0.5) == pytest.approx(flat, rel=1e-14)


def test_norms_of_large_and_small_groups_neither_overflow_nor_vanish():
    penalty = GroupLasso([0, 0])
    for size in (1e-300, 1e300):
        value = penalty.value(np.array([3 * size, 4 * size]), 1.0)
        assert value == pytest.approx(2**0.5 * 5 * size, rel=1e-14)


# ---------------------------------------------------------------------------- proximal operators


@every_separable
@pytest.mark.parametrize("bounded", [False, True])
def test_prox_of_one_coefficient_minimises_its_definition(penalty, bounded):
    rng = np.random.default_rng(1)
    for length in (0.01, 0.4, 1.0, 1.3, 2.0, 2.9, 5.0, 30.0):
        z, alpha = some(rng, N_FEATURES), rng.choice([0.05, 0.5, 1.5])
        low, high = random_bounds(rng, z) if bounded else (z - np.inf, z + np.inf)
        moved = penalty.prox(z, length, alpha, *((low, high) if bounded else ()))
        assert ((low <= moved) & (moved <= high)).all()
        for j in range(N_FEATURES):

            def value(u, j=j, alpha=alpha):
                return penalty_of_one(penalty, j, u, alpha)

            def objective(u, j=j, value=value):
                return (u - z[j]) ** 2 / (2 * length) + value(u)  # noqa: B023

            best = prox_one(value, z[j], length, low[j], high[j])
            least = objective(best)
            assert objective(moved[j]) <= least + 1e-12 * (1 + abs(least)), (length, alpha, z[j])


def penalty_of_one(penalty, j, u, alpha):
    """The paper's value of coefficient j alone."""
    params = penalty.get_params()
    if "weights" in params:
        params["weights"] = [1.0 if params["weights"] is None else params["weights"][j]]
    return VALUES[penalty.name](np.array([u]), alpha, **params)


@every_grouped
@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("equal", [False, True])
def test_prox_of_groups_minimises_its_definition(penalty, bounded, equal):
    rng = np.random.default_rng(2)
    for alpha in (0.05, 0.4, 1.5):
        z = some(rng, N_FEATURES)
        length = np.full(N_FEATURES, 0.7) if equal else 10.0 ** rng.uniform(-1.5, 1, N_FEATURES)
        low, high = random_bounds(rng, z) if bounded else (z - np.inf, z + np.inf)
        moved = penalty.prox(z, length, alpha, *((low, high) if bounded else ()))
        assert ((low <= moved) & (moved <= high)).all()
        for group, l1, weight in group_terms(penalty, alpha):

            def objective(u, at=group, l1=l1, weight=weight):
                near = np.sum((u - z[at]) ** 2 / (2 * length[at]))  # noqa: B023
                return near + l1 * np.abs(u).sum() + weight * np.sqrt(np.sum(u**2))

            best = prox_group(z[group], length[group], l1, weight, low[group], high[group])
            least = objective(best)
            assert objective(moved[group]) <= least + 1e-12 * (1 + abs(least))


def exactness(z, length, l1, weight, low=None, high=None):
    """The largest error of the prox of one group, in ulps of the coefficient before the group's
    part: what the norm is taken of is rounded there, and a norm that all but vanishes shows it."""
    n, both = len(z), l1 + weight
    ratio = l1 / both if both else 0.5
    penalty = SparseGroup([0] * n, l1_ratio=ratio, weights=[1.0])
    moved = penalty.prox(z, length, both, low, high)
    low, high = (np.full(n, -np.inf), np.full(n, np.inf)) if low is None else (low, high)
    exact = exact_prox_group(z, length, both * ratio, both * (1 - ratio), low, high)
    before = np.maximum(np.abs(np.clip(z, low, high)), np.abs(exact))
    assert ((moved == 0) == (exact == 0)).all() or np.abs(exact).max() < 1e-14 * before.max()
    return np.max(np.abs(moved - exact) / np.maximum(np.spacing(before), 5e-324))


def test_prox_of_groups_is_exact_to_a_few_ulps():
    rng = np.random.default_rng(3)
    for trial in range(60):
        n = int(rng.integers(1, 9))
        z, length = some(rng, n), 10.0 ** rng.uniform(-3, 3, n)
        if trial % 3 == 0:
            length[:] = length[0]
        l1, weight = rng.choice([0.0, 0.1]), rng.choice([0.0, 0.1, 1.0])
        bounds = random_bounds(rng, z) if trial % 2 else ()
        assert exactness(z, length, l1, weight, *bounds) <= 16


@pytest.mark.parametrize("seed", range(4))
def test_prox_of_groups_survives_extreme_lengths_and_coefficients(seed):
    rng = np.random.default_rng(seed)
    for trial in range(25):
        n = int(rng.integers(1, 6))
        z = rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-100, 150, n)
        length = 10.0 ** rng.uniform(-300, 300, n)
        if trial % 5 == 0:
            length[0] = 0.0
        low, high = (z * rng.choice([0.5, 0, -1e3], n), z * rng.choice([0.7, 1e3, 1e-50], n))
        low, high = np.minimum(low, high), np.maximum(low, high)
        weight = 10.0 ** rng.uniform(-10, 5)
        bounds = (low, high) if trial % 2 else ()
        assert exactness(z, length, 0.0, weight, *bounds) <= 32


@every_penalty
@pytest.mark.parametrize("z", [0.0, 1e-300, 1.0, 1e150])
@pytest.mark.parametrize("length", [0.0, 1e-300, 1e300])
def test_prox_at_extremes_is_finite_and_between_0_and_where_it_began(penalty, z, length):
    start = np.full(N_FEATURES, -z)
    moved = penalty.prox(start, length, 0.5)
    assert np.isfinite(moved).all()
    # Each coefficient that such a penalty moves has the rounding of all.
    rounding = 64 * np.finfo(np.float64).eps * z if type(penalty) in QUADRATIC else 0.0
    assert ((start - rounding <= moved) & (moved <= rounding)).all()
    assert not np.signbit(moved[moved == 0]).any()
    if length == 0:
        np.testing.assert_array_equal(moved, start)


@every_penalty
def test_a_length_of_0_leaves_a_coefficient_where_the_bounds_let_it_be(penalty):
    z = some(np.random.default_rng(5), N_FEATURES) + 3.0
    length = np.where(np.arange(N_FEATURES) % 2, 0.0, 1.0)
    moved = penalty.prox(z, length, 0.7, high=3.5)
    np.testing.assert_array_equal(moved[1::2], np.minimum(z, 3.5)[1::2])


@every_penalty
def test_without_strength_or_weight_nothing_moves(penalty):
    z = some(np.random.default_rng(6), 2, N_FEATURES)
    np.testing.assert_array_equal(penalty.prox(z, 2.0, 0.0), z)
    free = {"l1": slice(2, 3), "l2": slice(2, 3), "elasticnet": slice(2, 3), "group_lasso": [1, 4]}
    if penalty.get_params().get("weights") is not None and penalty.name in free:
        at = free[penalty.name]
        np.testing.assert_array_equal(penalty.prox(z, 2.0, 1.5)[:, at], z[:, at])


@pytest.mark.parametrize("penalty", [MCP(1.5), MCP(3.0), SCAD(2.5), SCAD(3.7)], ids=repr)
def test_of_two_minima_prox_takes_the_lower(penalty):
    # Beyond the curvature's reach: 0 (or the soft threshold), or no shrinkage at all.
    alpha, length = 0.8, 4.0
    z = np.linspace(0, 8, 4001)
    moved = penalty.prox(z, length, alpha)
    jump = int(np.diff(moved).argmax())
    assert np.diff(moved)[jump] > 1.0
    np.testing.assert_array_equal(moved[jump + 1 :], z[jump + 1 :])
    if penalty.name == "mcp":
        assert (moved[: jump + 1] == 0).all()
        assert z[jump] <= alpha * (penalty.gamma * length) ** 0.5 <= z[jump + 1]


@every_type
@every_penalty
def test_prox_keeps_type_shape_and_arguments(penalty, dtype):
    rng = np.random.default_rng(7)
    z = some(rng, 3, N_FEATURES).astype(dtype)[:, ::-1]
    length, before = rng.random(N_FEATURES), z.copy()
    moved = penalty.prox(z, length, 0.5, low=-1.0, high=np.full(N_FEATURES, 2.0))
    assert moved.dtype == dtype and moved.shape == z.shape
    assert not np.shares_memory(moved, z)
    np.testing.assert_array_equal(z, before)
    wide = penalty.prox(z.astype(float), length, 0.5, low=-1.0, high=2.0)
    np.testing.assert_array_equal(moved, wide.astype(dtype))
    rows = [penalty.prox(row, length, 0.5, low=-1.0, high=2.0) for row in z]
    np.testing.assert_array_equal(moved, rows)


@every_penalty
def test_nan_stays_nan_and_ends(penalty):
    z = np.arange(1.0, N_FEATURES + 1)
    z[0] = np.nan
    assert np.isnan(penalty.prox(z, 0.1, 0.2)[0])
    assert np.isnan(penalty.prox(z, np.linspace(0.1, 1, N_FEATURES), 0.2, low=-9.0)[0])


coefficients = st.lists(st.floats(-1e6, 1e6), min_size=2 * N_FEATURES, max_size=2 * N_FEATURES).map(
    np.array
)


@settings(max_examples=60, deadline=None)
@given(coefficients, st.sampled_from(CONVEX), st.floats(1e-6, 1e3), st.floats(0, 100))
def test_prox_of_a_convex_penalty_brings_no_two_points_further_apart(both, penalty, length, alpha):
    a, b = both.reshape(2, N_FEATURES)
    # In the metric of the lengths, which differ.
    lengths = length * np.linspace(1, 3, N_FEATURES)
    moved = penalty.prox(a, lengths, alpha) - penalty.prox(b, lengths, alpha)
    apart = np.sum((a - b) ** 2 / lengths) ** 0.5
    assert np.sum(moved**2 / lengths) ** 0.5 <= apart * (1 + 1e-9) + 1e-8


# -------------------------------------------------------------------------------------- violations


@every_type
@every_penalty
@pytest.mark.parametrize("bounded", [False, True])
def test_the_violation_is_0_at_fixed_points_of_prox(penalty, dtype, bounded):
    rng = np.random.default_rng(8)
    z = some(rng, 20, N_FEATURES).astype(dtype)
    low, high = random_bounds(rng, z) if bounded else (None, None)
    length = 10.0 ** rng.uniform(-1, 1, z.shape)
    at = penalty.prox(z, length, 0.6, low, high)
    gradient = (at.astype(float) - z) / length
    left = penalty.violation(at, gradient, 0.6, low, high)
    assert left.dtype == dtype and left.shape == z.shape
    rounding = 20 * np.finfo(dtype).eps * (1 + (np.abs(z) + np.abs(at)) / length)
    if type(penalty) in QUADRATIC:  # every coefficient has the rounding of the largest
        rounding = np.broadcast_to(20 * rounding.max(), rounding.shape)
    elif not penalty.separable:  # the norm of a group that all but vanishes has lost digits
        for group in map(np.array, LISTS):
            norm = np.linalg.norm(at[:, group].astype(float), axis=1, keepdims=True)
            reach = length[:, group].max(axis=1, keepdims=True)
            rounding[:, group] *= 1 + np.where(norm > 0, reach / np.where(norm > 0, norm, 1), 0)
    assert (np.abs(left) <= rounding).all()
    if penalty.name in ("l1", "group_lasso"):
        assert (left[at == 0] == 0).any()


@every_penalty
def test_the_violation_of_zeros_below_the_threshold_is_exactly_0(penalty):
    zeros = np.zeros(N_FEATURES)
    if not penalty.smooth and penalty.get_params().get("weights") is None:
        gradient = np.full(N_FEATURES, 0.9)
        strong = penalty.violation(zeros, gradient, 20.0)
        expected = gradient if penalty == ElasticNet(l1_ratio=0) else 0.0
        np.testing.assert_array_equal(strong, expected)
    np.testing.assert_array_equal(penalty.violation(zeros, zeros, 0.5), 0.0)
    # What the bounds forbid is no violation.
    forbidden = penalty.violation(zeros, np.full(N_FEATURES, 1e6), 0.5, low=0.0)
    np.testing.assert_array_equal(forbidden, 0.0)
    np.testing.assert_array_equal(penalty.violation(zeros, zeros - 1e6, 0.5, high=0.0), 0.0)


@every_penalty
def test_the_violation_is_the_derivative_where_there_is_one(penalty):
    rng = np.random.default_rng(9)
    coef = rng.choice([-1, 1], N_FEATURES) * rng.uniform(0.1, 3, N_FEATURES)
    gradient = rng.standard_normal(N_FEATURES)
    left = penalty.violation(coef, gradient, 0.7)
    for j in range(N_FEATURES):
        slope = slow_penalties.derivative(lambda c: reference(penalty, c, 0.7), coef, j)
        assert left[j] == pytest.approx(gradient[j] + slope, rel=1e-8, abs=1e-8)


@every_penalty
@pytest.mark.parametrize("bounded", [False, True])
def test_the_violation_is_the_limit_of_short_proximal_steps(penalty, bounded):
    rng = np.random.default_rng(10)
    coef, gradient = some(rng, 5, N_FEATURES), some(rng, 5, N_FEATURES)
    coef[:, [0, 2, 5]] *= rng.random((5, 1)) < 0.5  # a group of zeros, in some outputs
    low, high = random_bounds(rng, coef) if bounded else (None, None)
    if bounded:
        coef = np.clip(coef, low, high)
    left = penalty.violation(coef, gradient, 0.6, low, high)
    generic = Penalty.violation(penalty, coef, gradient, 0.6, low, high)
    np.testing.assert_allclose(left, generic, rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------------------------- as objects


@every_penalty
def test_a_penalty_is_cloned_pickled_printed_and_compared(penalty):
    assert isinstance(penalty, Penalty) and isinstance(penalty, BaseEstimator)
    for other in (clone(penalty), pickle.loads(pickle.dumps(penalty))):
        assert other == penalty and other is not penalty
        assert repr(other) == repr(penalty)
        coef = np.arange(float(N_FEATURES))
        np.testing.assert_array_equal(other.prox(coef, 1.0, 0.4), penalty.prox(coef, 1.0, 0.4))
    assert repr(penalty).startswith(type(penalty).__name__)


def test_parameters_are_set_by_name_and_used_when_set():
    penalty = MCP().set_params(gamma=2)
    assert penalty.get_params() == {"gamma": 2}
    assert penalty.prox(np.array([1.5]), 1.0, 1.0) == 1.0
    assert repr(SparseGroup([0, 1])) == "SparseGroup(groups=[0, 1])"


def test_flags_say_what_is_convex_separable_and_smooth():
    flags = {n: (c.convex, c.separable, c.smooth) for n, c in PENALTIES.items()}
    assert flags == FLAGS


def test_names_and_objects_stand_for_penalties():
    assert get_penalty(None) is None
    assert get_penalty("mcp", gamma=2.0) == MCP(2.0)
    given = ElasticNet()
    assert get_penalty(given) is given
    assert get_penalty(given, l1_ratio=0.5) == ElasticNet(0.5) and given == ElasticNet()
    assert get_penalty("group_lasso", groups=[0, 0]) == GroupLasso([0, 0])
    with pytest.raises(ValueError, match="did you mean 'elasticnet'"):
        get_penalty("elastic_net")
    with pytest.raises(ValueError, match="penalty must be an instance of Penalty"):
        get_penalty(3)
    with pytest.raises(ValueError, match=r"GroupLasso: groups must be .*got None"):
        get_penalty("group_lasso").value(np.ones(3), 1.0)


def test_weights_are_those_that_the_solvers_take():
    assert L1()._sums(0.5, 3) == (0.5, 0.0) and L2()._sums(0.5, 3) == (0.0, 0.5)
    l1, l2 = ElasticNet(0.25, weights=[0.0, 1.0, 2.0])._sums(2.0, 3)
    np.testing.assert_array_equal(l1, [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(l2, [0.0, 1.5, 3.0])
    assert MCP()._sums(0.5, 3) is None


def test_a_caller_may_take_the_l2_part_itself():
    coef = np.array([[-3.0, 0.2, 2.0]])
    net, length = ElasticNet(0.25), np.full((1, 3), 0.5)
    apart = net._kernel(2.0, 3, l2_apart=True)
    lasso = L1()._kernel(0.5, 3)
    np.testing.assert_array_equal(
        apart.prox(coef, length, None, None), lasso.prox(coef, length, None, None)
    )
    assert apart.value(coef) == lasso.value(coef)
    whole = net._kernel(2.0, 3).prox(coef, length, None, None)
    np.testing.assert_array_equal(whole, net.prox(coef, 0.5, 2.0))
    assert (np.abs(whole) <= np.abs(apart.prox(coef, length, None, None))).all()


class Support(Penalty):
    """A user's own: `strength` times alpha a coefficient that is not 0."""

    def __init__(self, strength=1.0):
        self.strength = strength

    def value(self, coef, alpha):
        return alpha * self.strength * float(np.count_nonzero(coef))

    def prox(self, coef, length, alpha, low=None, high=None):
        keep = np.where(coef**2 > 2 * length * alpha * self.strength, coef, 0.0)
        return keep if low is None and high is None else np.clip(keep, low, high)


def test_a_class_in_python_is_a_penalty():
    own = clone(Support(strength=2.0))
    assert own == Support(2.0) and not own.convex
    assert get_penalty(own) is own and own._kernel(1.0, 3) is None
    own._check_for(3)
    coef, gradient = np.array([0.0, 2.0, -1.0]), np.array([0.5, 0.25, 0.0])
    np.testing.assert_allclose(own.violation(coef, gradient, 0.3), [0.0, 0.25, 0.0], atol=1e-9)
    assert own.violation(coef.astype(np.float32), gradient, 0.3).dtype == np.float32
    with pytest.raises(NotImplementedError, match="Penalty must define prox"):
        Penalty().prox(coef, 1.0, 1.0)
    with pytest.raises(NotImplementedError, match="Penalty must define value"):
        Penalty().value(coef, 1.0)


class Halved(L1):
    """A compiled penalty with a method of its own."""

    def prox(self, coef, length, alpha, low=None, high=None):
        return super().prox(coef, length, alpha / 2, low, high)


def test_a_method_of_a_subclass_is_what_counts():
    own, coef = Halved(), np.array([3.0, -0.25])
    assert own._kernel(1.0, 2) is None and own._sums(1.0, 2) is None
    np.testing.assert_array_equal(own.prox(coef, 1.0, 1.0), [2.5, 0.0])
    np.testing.assert_allclose(own.violation(coef, np.array([1.0, 0.0]), 1.0), [1.5, -0.5])
    with pytest.raises(ValueError, match=r"Halved: weights must be None or 3 numbers"):
        Halved([1.0])._check_for(3)
    plain = L1()
    assert plain._kernel(1.0, 2) is not None
    np.testing.assert_array_equal(plain.violation(coef, np.array([1.0, 0.0]), 1.0), [2.0, -1.0])


@pytest.mark.parametrize(
    "groups",
    [
        [{0, 2}, {1}],
        [np.array([0, 2], np.uint64), [1]],
        [2**64, 2**64 + 1, 2**64],
        np.array([5, 7, 5], np.uint8),
    ],
    ids=str,
)
def test_groups_of_any_integers(groups):
    members = GroupLasso(groups)._members(3)
    assert [list(group) for group in members] == [[0, 2], [1]]


# ------------------------------------------------------------------------------------------ errors

BAD_PENALTIES = [
    (L1(weights=[1.0, 2.0]), r"L1: weights .* 3 numbers in \[0, inf\).*feature; got shape \(2,\)"),
    (L1(weights=[1.0, -2.0, 1]), r"L1: weights .*got -2.0 at index 1"),
    (L2(weights=[1.0, np.inf, 1]), r"L2: weights .*got inf at index 1"),
    (L2(weights=[1.0, 1, np.nan]), r"L2: weights .*got nan at index 2"),
    (ElasticNet(weights="abc"), r"ElasticNet: weights .*got dtype <U3"),
    (ElasticNet(weights=[[1], [1, 2]]), r"ElasticNet: weights .*got \[\[1\], \[1, 2\]\]"),
    (ElasticNet(l1_ratio=1.5), r"ElasticNet: l1_ratio must be a number in \[0, 1\]; got 1.5"),
    (GroupLasso([0, 1]), r"GroupLasso: groups must have a label for each of 3 features; got 2"),
    (GroupLasso(5), r"GroupLasso: groups must be an array of 3 integer labels.*got 5"),
    (GroupLasso([0.5, 1, 2]), r"GroupLasso: groups must hold integer labels.*got 0.5 at index 0"),
    (GroupLasso([0, 1, np.nan]), r"GroupLasso: groups must hold.*not both; got nan at index 2"),
    (GroupLasso({0, 1, 2}), r"GroupLasso: groups must be an array of 3 .*got \{0, 1, 2\}"),
    (GroupLasso(iter([0, 1, 2])), r"GroupLasso: groups must be an array of 3 .*got <list_iter"),
    (GroupLasso([[0, 1], []]), r"GroupLasso: groups must hold .*got \[\] at index 1"),
    (GroupLasso([[0, 1], [3]]), r"GroupLasso: groups must hold features from 0 to 2; got 3"),
    (GroupLasso([[0, 1], [-1]]), r"GroupLasso: groups must hold features from 0 to 2; got -1"),
    (GroupLasso([[0, 1], [1]]), r"GroupLasso: groups must hold each.*feature 1 2 times"),
    (SparseGroup([[0, 1]]), r"SparseGroup: groups must hold each.*feature 2 0 times"),
    (SparseGroup([0, 0, 1], weights=[1.0]), r"SparseGroup: weights .* 2 numbers .*a group; got"),
    (SparseGroup([0, 0, 1], l1_ratio=-1), r"SparseGroup: l1_ratio must be a number in \[0, 1\]"),
    (MCP(gamma=1.0), r"MCP: gamma must be a number in \(1, inf\); got 1.0"),
    (SCAD(gamma=2), r"SCAD: gamma must be a number in \(2, inf\); got 2"),
]


@pytest.mark.parametrize(("penalty", "message"), BAD_PENALTIES, ids=lambda x: repr(x)[:40])
def test_parameters_are_refused_by_name_when_used(penalty, message):
    coef = np.ones(3)
    uses = [
        lambda: penalty.value(coef, 1.0),
        lambda: penalty.prox(coef, 1.0, 1.0),
        lambda: penalty.violation(coef, coef, 1.0),
        lambda: penalty._check_for(3),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=message):
            use()


BAD_ARGUMENTS = [
    ({"alpha": -1.0}, r"L1: alpha must be a number in \[0, inf\); got -1.0"),
    ({"alpha": np.inf}, r"L1: alpha must be a number in \[0, inf\); got inf"),
    ({"length": -0.5}, r"L1: length must be in \[0, inf\); got -0.5"),
    ({"length": [1.0, np.inf, 1.0]}, r"L1: length must be in \[0, inf\); got inf"),
    ({"length": [1.0, 1.0]}, r"L1: length must be a number, or an array .*\(3,\); got .*\(2,\)"),
    ({"low": 1.0, "high": 0.0}, r"L1: low must be at most high; got low=1.0, high=0.0"),
    ({"low": np.nan}, r"L1: low must be at most high; got low=nan, high=None"),
    ({"high": [1.0, 2.0]}, r"L1: high must be a number, or an array"),
    ({"coef": np.ones((1, 1, 3))}, r"L1: coef must have shape .*got \(1, 1, 3\)"),
]


@pytest.mark.parametrize(("given", "message"), BAD_ARGUMENTS, ids=lambda x: str(x)[:40])
def test_arguments_are_refused_by_name(given, message):
    arguments = {"coef": np.ones(3), "length": 1.0, "alpha": 1.0, **given}
    with pytest.raises(ValueError, match=message):
        L1().prox(**arguments)
