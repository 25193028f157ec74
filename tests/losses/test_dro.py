"""Worst means: values, weights and gradients, against the duals and programs of the papers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad, linprog, minimize_scalar

import sklearn_losses as sl
from sklearn_losses import (
    ChiSquareRobustLoss,
    CVaRLoss,
    GroupRobustLoss,
    KLRobustLoss,
    TiltedLoss,
    group_target,
)
from sklearn_losses.losses import ROBUST_MEANS
from sklearn_losses.losses._worst_case import KL, ChiSquare, Share, Tilted, Worst

rng = np.random.default_rng(0)
Y = rng.standard_t(3, size=60)
RAW = rng.normal(size=60)
LOSSES = np.abs(Y - RAW)
WEIGHT = rng.integers(0, 4, size=60).astype(float)


def least(function, low, high):
    """Of a smooth convex function of one number: on a grid, then near the best of it."""
    grid = np.linspace(low, high, 401)
    at = grid[np.argmin([function(x) for x in grid])]
    step = grid[1] - grid[0]
    options = {"xatol": 1e-12}
    return minimize_scalar(
        function, bounds=(at - step, at + step), method="bounded", options=options
    ).fun


# The duals, as the papers have them.


def cvar(losses, level, p):  # Rockafellar and Uryasev (2000), equation 4: straight lines in t
    return min(t + p @ np.maximum(losses - t, 0) / (1 - level) for t in losses)


def chi_square(losses, radius, p):  # Duchi and Namkoong (2021), lemma 1 with k = 2
    scale = np.sqrt(1 + 2 * radius)
    span = np.ptp(losses) * (2 + 2 / np.sqrt(radius))
    return least(
        lambda t: scale * np.sqrt(p @ np.maximum(losses - t, 0) ** 2) + t,
        losses.min() - span,
        losses.max(),
    )


def kl(losses, radius, p):  # Hu and Hong (2013), theorem 1; over log(s)
    top = losses.max()

    def dual(log_s):
        s = np.exp(log_s)
        return top + s * np.log(p @ np.exp((losses - top) / s)) + s * radius

    return least(dual, -12, 12)


REFERENCES = [
    (CVaRLoss, "level", cvar, [0.1, 0.5, 0.9, 0.95, 0.999]),
    (ChiSquareRobustLoss, "radius", chi_square, [1e-3, 0.1, 0.5, 3.0]),
    (KLRobustLoss, "radius", kl, [1e-3, 0.1, 0.5, 2.0]),
]
CASES = [(cls, name, dual, x) for cls, name, dual, xs in REFERENCES for x in xs]


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("cls, name, dual, x", CASES)
def test_the_value_is_that_of_the_published_dual(cls, name, dual, x, weight):
    p = np.full(60, 1 / 60) if weight is None else weight / weight.sum()
    value = cls("absolute_error", **{name: x})(Y, RAW, weight)
    assert value == pytest.approx(dual(LOSSES, x, p), rel=1e-9)


def test_cvar_is_the_mean_of_the_worst_share():
    loss = CVaRLoss("absolute_error", level=0.9)
    worst = np.sort(LOSSES)[::-1]
    assert loss(Y, RAW) == pytest.approx(worst[:6].mean(), rel=1e-14)
    # Of 7.5 samples the last counts half.
    loss.set_params(level=0.875)
    want = (worst[:7].sum() + 0.5 * worst[7]) / 7.5
    assert loss(Y, RAW) == pytest.approx(want, rel=1e-14)


def test_the_worst_weights_of_cvar_are_those_of_the_linear_program():
    n, level = 60, 0.83
    program = linprog(-LOSSES, A_eq=np.ones((1, n)), b_eq=[1.0], bounds=(0, 1 / (n * (1 - level))))
    made = CVaRLoss("absolute_error", level).worst_weights(Y, RAW)
    np.testing.assert_allclose(made, program.x, atol=1e-14)


def test_a_radius_just_short_of_the_largest_loss_has_it_alone():
    p, radius = np.array([0.8, 0.2]), 1.9999999999999996  # 2 is where the rest has no share left
    np.testing.assert_allclose(
        ChiSquare(radius).ratios(np.array([-1.0, 0.0]), p, 0.0), [0, 5], atol=1e-7
    )


def test_samples_of_one_loss_share_alike_in_the_worst_case():
    y = np.zeros(4)
    np.testing.assert_allclose(
        CVaRLoss("absolute_error", 0.5).worst_weights(y, [1.0, 2.0, -2.0, 2.0]), [0, *[1 / 3] * 3]
    )
    made = ChiSquareRobustLoss("absolute_error", 50.0).worst_weights(y, [1.0, 2.0, -2.0, 0.0])
    np.testing.assert_allclose(made, [0, 0.5, 0.5, 0])
    made = KLRobustLoss("absolute_error", 50.0).worst_weights(y, [1.0, 2.0, -2.0, 0.0])
    np.testing.assert_allclose(made, [0, 0.5, 0.5, 0])


@pytest.mark.parametrize("radius", [1e-12, 1e-6, 0.1, 1.0, 1.9])
def test_a_worst_distribution_is_at_its_radius(radius):
    q = ChiSquareRobustLoss("absolute_error", radius).worst_weights(Y, RAW)
    assert 0.5 * np.mean((60 * q - 1) ** 2) == pytest.approx(radius, rel=1e-8)
    q = KLRobustLoss("absolute_error", radius).worst_weights(Y, RAW)
    log = np.log1p(60 * q - 1)  # of small divergences the digits are those of differences
    assert np.mean(60 * q * log - (60 * q - 1)) == pytest.approx(radius, rel=1e-4)


def test_a_worst_distribution_at_an_edge_of_rounding_is_in_its_set():
    # Three values that differ by a rounding, of a share whose inverse is 1 + 2 * radius.
    raw, weight = [1.0 + 1e-15, 1.0, 1.0, 0.0], [1.0, 2.0, 2.0, 1.0]
    q = ChiSquareRobustLoss("absolute_error", 0.1).worst_weights(np.zeros(4), raw, weight)
    np.testing.assert_allclose(q, [0.2, 0.4, 0.4, 0.0], atol=1e-6)


@pytest.mark.parametrize("cls", ROBUST_MEANS)
def test_the_hessian_is_the_worst_weights_times_that_of_the_losses(cls):
    loss, y = settings_of(cls, loss="log_cosh")
    want = WEIGHT.sum() * loss.worst_weights(y, RAW, WEIGHT)
    want *= sl.LogCosh().gradient_hessian(Y, RAW)[1]
    np.testing.assert_allclose(loss.gradient_hessian(y, RAW, WEIGHT)[1], want, rtol=1e-12)


def test_a_small_chi_square_radius_adds_the_root_of_the_variance():
    want = LOSSES.mean() + np.sqrt(2 * 1e-3 * LOSSES.var())
    assert ChiSquareRobustLoss("absolute_error", 1e-3)(Y, RAW) == pytest.approx(want, rel=1e-13)


def test_tilted_is_the_log_of_the_mean_exponential():
    for tilt in (1e-6, 0.3, 2.0, 50.0):
        want = np.log(np.mean(np.exp(tilt * LOSSES))) / tilt
        made = TiltedLoss("absolute_error", tilt)
        assert made(Y, RAW) == pytest.approx(want, rel=1e-9)
        q = np.exp(tilt * LOSSES) / np.exp(tilt * LOSSES).sum()
        np.testing.assert_allclose(made.worst_weights(Y, RAW), q, rtol=1e-9)


def test_group_robust_is_the_largest_of_the_groups_means():
    group = rng.choice(["a", "b", "c"], size=60, p=[0.7, 0.2, 0.1])
    means = {g: np.average(LOSSES[group == g], weights=WEIGHT[group == g]) for g in "abc"}
    loss, y = GroupRobustLoss("absolute_error"), group_target(Y, group)
    assert loss(y, RAW, WEIGHT) == pytest.approx(max(means.values()), rel=1e-14)
    worst = group == max(means, key=means.get)
    want = np.where(worst, WEIGHT, 0) / WEIGHT[worst].sum()
    np.testing.assert_allclose(loss.worst_weights(y, RAW, WEIGHT), want, atol=1e-15)
    # Two groups alike share alike; a group without weight is none.
    y = group_target(np.zeros(5), [1, 1, 2, 3, 4])
    made = loss.worst_weights(y, [1.0, 3.0, 2.0, 0.0, 9.0], [1, 1, 1, 1, 0])
    np.testing.assert_allclose(made, [0.25, 0.25, 0.5, 0, 0])


def settings_of(cls, **params):
    return cls(**params), np.column_stack([Y, np.arange(60) % 3]) if cls is GroupRobustLoss else Y


@pytest.mark.parametrize("cls", [c for c in ROBUST_MEANS if c is not GroupRobustLoss])
def test_at_0_it_is_the_mean_and_near_0_near_it(cls):
    (name,) = cls._parameter_intervals
    plain = sl.get_loss("huber")
    assert cls("huber", **{name: 0.0})(Y, RAW, WEIGHT) == pytest.approx(plain(Y, RAW, WEIGHT))
    near = cls("huber", **{name: 1e-12})(Y, RAW, WEIGHT)
    assert near == pytest.approx(plain(Y, RAW, WEIGHT), rel=1e-5)


@pytest.mark.parametrize("cls", ROBUST_MEANS)
def test_a_weight_of_two_is_two_copies(cls):
    loss, y = settings_of(cls, loss="absolute_error")
    at = np.repeat(np.arange(60), WEIGHT.astype(int))
    assert loss(y, RAW, WEIGHT) == pytest.approx(loss(y[at], RAW[at]), rel=1e-12)
    made = np.bincount(at, loss.worst_weights(y[at], RAW[at]), minlength=60)
    np.testing.assert_allclose(loss.worst_weights(y, RAW, WEIGHT), made, atol=1e-12)
    gradient = np.bincount(at, loss.gradient(y[at], RAW[at]), minlength=60)
    np.testing.assert_allclose(loss.gradient(y, RAW, WEIGHT), gradient, atol=1e-10)


@pytest.mark.parametrize("base", ["squared_error", "huber", "log_cosh", "poisson", "log_loss"])
@pytest.mark.parametrize("cls", ROBUST_MEANS)
def test_the_gradient_is_that_of_the_value(cls, base):
    y = {"poisson": rng.poisson(2.0, 60), "log_loss": Y > 0}.get(base, Y).astype(float)
    y = np.column_stack([y, np.arange(60) % 3]) if cls is GroupRobustLoss else y
    loss = cls(base)
    joint = loss.on(y, WEIGHT)
    for part in (joint, loss._smoothed(0.1)[0].on(y, WEIGHT)):
        error = check_grad(
            lambda raw, part=part: part.value_gradient(raw)[0],
            lambda raw, part=part: part.value_gradient(raw)[1],
            RAW,
        )
        assert error < 1e-4 * np.linalg.norm(part.value_gradient(RAW)[1]) + 1e-5
    value, gradient = loss.loss_gradient(y, RAW, WEIGHT)
    assert value == pytest.approx(loss(y, RAW, WEIGHT) * WEIGHT.sum())
    np.testing.assert_array_equal(loss.gradient_hessian(y, RAW, WEIGHT)[0], gradient)


@pytest.mark.parametrize("cls", ROBUST_MEANS)
def test_smooth_neighbours_are_below_and_as_near_as_they_say(cls):
    loss, y = settings_of(cls, loss="squared_error")
    for width in (1.0, 1e-2, 1e-5):
        smooth = loss._smoothed(width)[0]
        above = (loss.on(y, WEIGHT).value_gradient(RAW)[0]) / WEIGHT.sum()
        below = smooth.on(y, WEIGHT).value_gradient(RAW)[0] / WEIGHT.sum()
        error = 0.25 * width * smooth._slope_of(y, WEIGHT)
        assert above - error - 1e-12 <= below <= above + 1e-12


def test_losses_count_from_the_least_of_each_target():
    y, raw = np.array([0.0, 1.0, 40.0]), np.log([0.5, 3.0, 40.0])
    deviance = np.array([0.5, 2 - np.log(3), 0.0])
    assert CVaRLoss("poisson", 0.5)(y, raw) == pytest.approx(
        (deviance[1] + 0.5 * deviance[0]) / 1.5
    )
    assert CVaRLoss("poisson", 0.5).worst_weights(y, raw)[2] == 0


@pytest.mark.parametrize("cls", ROBUST_MEANS)
@pytest.mark.parametrize("base", ["squared_error", "absolute_error", "huber", "poisson"])
def test_the_best_constant_is_the_least_in_any_unit(cls, base):
    for unit in (1.0, 1e-6, 1e6) if base != "poisson" else (1.0,):
        y = Y * unit if base != "poisson" else rng.poisson(3.0, 60).astype(float)
        offset = 0.1 * RAW * unit
        loss = cls(base if base != "huber" else sl.HuberLoss(unit))
        if cls is TiltedLoss:
            loss.set_params(tilt=1.0 / unit ** (2 if base in ("squared_error", "huber") else 1))
        if cls is GroupRobustLoss:
            y = np.column_stack([y, np.arange(60) % 3])
        best = loss.fit_intercept_only(y, WEIGHT, offset)
        at = [loss(y, best + offset + d * unit, WEIGHT) for d in (-1e-3, -1e-6, 0, 1e-6, 1e-3)]
        assert at[2] <= min(at) * (1 + 1e-9)


VALUES = st.lists(
    st.sampled_from([0.0, 1.0, 1.0 + 1e-15, 2.0, 1e-9]) | st.floats(0, 1e6), min_size=1, max_size=7
)
NEAR = st.one_of(
    st.floats(0, 0.999).map(lambda level: Share(1 / (1 - level))),
    st.sampled_from([0.0, 1e-300, 1e-12, 0.1, 1.0, 10.0, np.inf]).map(ChiSquare),
    st.sampled_from([0.0, 1e-300, 1e-12, 0.1, 1.0, 10.0]).map(KL),
    st.sampled_from([0.0, 1e-3, 1.0, 1e3]).map(Tilted),
)


@settings(max_examples=300, deadline=None)
@given(VALUES, NEAR, st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 1e9]), st.integers(0, 2**14 - 1))
def test_worst_weights_are_a_distribution_in_the_set_and_no_other_is_worse(values, near, bend, w):
    values = np.array(values)
    weight = (w >> (2 * np.arange(len(values)))) & 3
    weight = weight.astype(float) if weight.any() else np.ones(len(values))
    q, bent = Worst(near, weight, bend=bend).weights(values)
    assert (q >= 0).all() and q.sum() == pytest.approx(1) and np.isfinite(bent)
    p = weight / weight.sum()
    t = q[p > 0] / p[p > 0]
    if isinstance(near, Share):
        assert t.max() <= near.cap * (1 + 1e-9)
    elif not isinstance(near, Tilted):
        assert near.distance(t, p[p > 0]) <= near.radius * (1 + 1e-6) + 1e-14
    # No worse than the data themselves, which are in every set.
    rounding = 1e-15 * abs(values).max()
    assert q @ values - bent >= p @ values - 1e-9 * np.ptp(values) - 4 * rounding


WRONG = [
    (CVaRLoss, "level", [1.0, -0.1, np.nan, "half", None, True]),
    (ChiSquareRobustLoss, "radius", [-1e-9, np.inf, np.nan, "big"]),
    (KLRobustLoss, "radius", [-1e-9, np.inf, np.nan]),
    (TiltedLoss, "tilt", [-1.0, np.inf]),
]


@pytest.mark.parametrize("cls, name, value", [(c, n, v) for c, n, vs in WRONG for v in vs])
def test_a_parameter_out_of_range_is_refused_and_named(cls, name, value):
    with pytest.raises(ValueError, match=f"{cls.__name__}: {name} must be a number in"):
        cls(**{name: value})(Y, RAW)


@pytest.mark.parametrize("cls", ROBUST_MEANS)
@pytest.mark.parametrize(
    "base, message",
    [
        ("multinomial", "loss must be pointwise"),
        ("gaussian_nll", "loss must be pointwise"),
        ("cox", "loss must be pointwise"),
        ("root_mean_squared_error", "loss must be pointwise"),
        (sl.HuberLoss("auto"), "delta of HuberLoss must be a number"),
        (sl.PinballLoss([0.1, 0.9]), "one value makes a loss"),
        ("no_loss", "must be an instance of Loss or one of"),
    ],
)
def test_a_loss_that_is_not_of_one_raw_prediction_a_sample_is_refused(cls, base, message):
    y = np.column_stack([Y, np.zeros(60)]) if cls is GroupRobustLoss else Y
    with pytest.raises(ValueError, match=message):
        cls(base)(y, RAW)


def test_targets_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"CVaRLoss of HalfPoissonLoss: y_true must lie in"):
        CVaRLoss("poisson")([-1.0], [0.0])
    with pytest.raises(ValueError, match="got the fields y, group"):
        CVaRLoss()(group_target([1.0], [1]), [0.0])
    with pytest.raises(ValueError, match="contains NaN"):
        CVaRLoss()([np.nan], [0.0])
    with pytest.raises(ValueError, match="group_target"):
        GroupRobustLoss()(Y, RAW)
    with pytest.raises(ValueError, match="fields y and group"):
        GroupRobustLoss()(sl.ranking_target([1.0], [1]), [0.0])
    with pytest.raises(ValueError, match="group must have the shape of y"):
        group_target([1.0, 2.0], [1])
    with pytest.raises(ValueError, match="group must not be NaN; got one at index 1"):
        group_target([1.0, 2.0], [1.0, np.nan])
    with pytest.raises(ValueError, match=r"y must have shape \(n_samples,\)"):
        group_target([[1.0, 2.0]], [1])
    with pytest.raises(ValueError, match="finite losses"):
        CVaRLoss("exponential").worst_weights([1.0], [-1e4])


def test_groups_may_be_of_any_type_and_a_frame():
    pandas = pytest.importorskip("pandas")
    group = np.array(["a", "b"])[np.arange(60) % 2]
    loss = GroupRobustLoss()
    value = loss(group_target(Y, group), RAW)
    assert loss(np.column_stack([Y, np.arange(60) % 2]), RAW) == value
    assert loss(pandas.DataFrame({"group": group, "y": Y}), RAW) == value
