"""What losses make of inputs at the edge: infinite predictions, weights of any size, parameters
that a type does not hold, outputs that lie between each other, and digits that cancel."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from exact import reference
from mpmath import mp, mpf
from references import BOUND
from sklearn.metrics import log_loss
from test_accuracy import OUTPUTS, SETTINGS, excess
from test_losses import EVERY, OTHER_PARAMS, sample

import sklearn_losses as sl
from sklearn_losses.losses import POINTWISE, ROWWISE
from sklearn_losses.optimizers import OPTIMIZERS
from sklearn_losses.schedules import SCHEDULES

# -------------------------------------------------------------------------------------- parameters

# Parameters whose effect is another: the number of columns that are allowed.
SHAPES = {"n_classes"}


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_every_parameter_is_varied_by_the_tests_and_changes_some_number(cls):
    default = cls()
    params = default.get_params(deep=False)
    settings, other = SETTINGS.get(cls.__name__, [{}]), OTHER_PARAMS.get(cls.__name__, {})
    for name, value in params.items():
        varied = [s[name] for s in settings if name in s and not np.array_equal(s[name], value)]
        assert varied, f"{cls.__name__}: no entry of references.SETTINGS varies {name}"
        if name in SHAPES:
            continue
        assert name in other and not np.array_equal(other[name], value), (
            f"{cls.__name__}: references.OTHER_PARAMS does not vary {name}"
        )
        changed = cls(**{name: other[name]})
        y, raw = sample(changed)
        # Priors or counts that are given, so that what depends on them has something to depend on.
        given = {k: other[k] for k in ("priors", "class_counts") if k in other and k != name}
        changed, default_ = changed.set_params(**given), cls(**given)
        numbers = [[x.loss(y, raw), *x.gradient_hessian(y, 3 * raw)] for x in (default_, changed)]
        assert any(not np.array_equal(a, b) for a, b in zip(*numbers, strict=True)), (
            f"{cls.__name__}: {name}={other[name]} gives the numbers of {name}={value}"
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_a_parameter_beyond_a_types_numbers_is_refused_by_name_or_right(cls, dtype):
    info = np.finfo(dtype)
    for name, interval in cls._parameter_intervals.items():
        sizes = [1e-60, 1e60] if dtype == np.float32 else [5e-324]
        for size in sizes:
            if not interval.contains(size):
                continue
            loss = cls(**{name: size})
            y, raw = sample(cls(), dtype=dtype)
            if size > float(info.max) or (interval.low == 0 and not interval.low_inclusive):
                with pytest.raises(ValueError, match=f"{cls.__name__}: {name} must lie between"):
                    loss.gradient(y, raw)
            else:
                for out in (loss.loss(y, raw), *loss.gradient_hessian(y, raw)):
                    assert not np.isnan(out).any()


PARAMETRIC = [*EVERY, *OPTIMIZERS.values(), *SCHEDULES.values()]


@pytest.mark.parametrize("number", [10**400, -(10**400), Fraction(10**400), 10**5000], ids=range(4))
@pytest.mark.parametrize("cls", PARAMETRIC, ids=lambda cls: cls.__name__)
def test_a_number_that_no_float_holds_is_refused_by_name(cls, number):
    for name in cls._parameter_intervals:
        with pytest.raises(ValueError, match=f"{cls.__name__}: {name} must be a number in"):
            cls(**{name: number})._numbers()


def test_users_meet_that_refusal():
    y, raw = np.zeros(3), np.ones(3)
    with pytest.raises(ValueError, match=r"HuberLoss: delta must be a number in .* got an integer"):
        sl.HuberLoss(delta=10**5000).gradient(y, raw)
    X = np.arange(6.0).reshape(3, 2)
    for settings in (
        {"optimizer": sl.Adam(beta1=10**400)},
        {"optimizer": sl.Momentum(momentum=10**400)},
        {"learning_rate": sl.StepDecay(factor=10**400), "optimizer": "adam"},
        {"batch_size": sl.BatchGrowth(factor=10**400)},
    ):
        with pytest.raises(ValueError, match="must be a number in"):
            sl.SGDRegressorX(**settings).fit(X, y)
    for number in (10**400, Fraction(10**400)):
        with pytest.raises(ValueError, match=r"MulticlassFocal: each of alpha|must hold 2 numbers"):
            sl.MulticlassFocal(alpha=[number, 1]).gradient(np.zeros(1), np.zeros((1, 2)))


def test_the_package_imports_without_docstrings():
    command = [sys.executable, "-P", "-OO", "-c", "import sklearn_losses as s; s.SGDRegressorX()"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------- infinite predictions

# Where the best raw prediction of a class is infinite, or far enough.
LIMITS = [cls() for cls in POINTWISE if cls.task == "binary" and cls is not sl.SquaredHinge]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "loss",
    [*LIMITS, sl.SquaredHinge(), sl.FocalLoss(gamma=0.0), sl.AsymmetricLoss(0.0, 0.0, 0.0)],
    ids=repr,
)
def test_an_infinite_prediction_of_the_right_class_costs_nothing(loss, dtype):
    y = np.array([1.0, 0.0], dtype)
    raw = np.array([np.inf, -np.inf], dtype)
    for out in loss.loss_gradient(y, raw):
        np.testing.assert_array_equal(out, 0)
    # The wrong one is what the largest finite prediction tends to, and never NaN.
    far = np.array([np.finfo(dtype).max / 4, -np.finfo(dtype).max / 4], dtype)
    for at_infinity, at_far in zip(
        [*loss.loss_gradient(1 - y, raw), *loss.gradient_hessian(1 - y, raw)],
        [*loss.loss_gradient(1 - y, far), *loss.gradient_hessian(1 - y, far)],
        strict=True,
    ):
        bounded = abs(at_far) < 1e3
        np.testing.assert_array_equal(at_infinity[bounded], at_far[bounded])
        assert (abs(at_infinity[~bounded]) >= abs(at_far[~bounded])).all()


@pytest.mark.parametrize("cls", ROWWISE, ids=lambda cls: cls.__name__)
def test_an_infinite_prediction_in_a_row_gives_the_limit(cls):
    loss = cls()
    y = np.array([0.0, 1.0, 0.0, 1.0])
    raw = np.array([[np.inf, 1.0, 0.0]] * 2 + [[2.0, -np.inf, 0.0]] * 2)
    far = np.clip(raw, -1e4, 1e4)
    got = [loss.loss(y, raw), *loss.gradient_hessian(y, raw)]
    want = [loss.loss(y, far), *loss.gradient_hessian(y, far)]
    want[0] = np.where(abs(want[0]) > 1e3, np.inf, want[0])
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-300)


def test_count_losses_take_a_prediction_of_zero():
    y, raw = np.array([0.0, 2.0]), np.full(2, -np.inf)
    np.testing.assert_array_equal(sl.HalfPoissonLoss().loss(y, raw), [0, np.inf])
    np.testing.assert_array_equal(sl.NegativeBinomial().loss(y, raw), [0, np.inf])
    np.testing.assert_array_equal(sl.HalfGammaLoss().loss(y[1:], raw[1:]), [np.inf])


# ----------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_of_zero_takes_a_sample_away(bad, dtype):
    own = sl.FunctionLoss(
        lambda y, raw: (raw - y) ** 2, lambda y, raw: 2 * (raw - y), lambda y, raw: 2 + 0 * y
    )
    for loss in (sl.SquaredError(), own, sl.HalfPoissonLoss(), sl.HalfMultinomialLoss()):
        shape = (5, 3) if loss.is_multiclass else (5,)
        raw = np.ones(shape, dtype)
        raw[2] = bad
        weight = np.array([1, 1, 0, 1, 1], dtype)
        y = np.zeros(5, dtype)
        for out in (loss.loss(y, raw, weight), *loss.gradient_hessian(y, raw, weight)):
            np.testing.assert_array_equal(out[2], 0)
            assert np.isfinite(out).all() and (out[[0, 1, 3, 4]] == out[0]).all()


@pytest.mark.parametrize("size", [1e307, 5e-324, 1e-46, 1e39, 3e-310])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", [sl.HuberLoss(), sl.HalfMultinomialLoss(3)], ids=repr)
def test_a_mean_depends_on_the_weights_ratios_alone(loss, dtype, size):
    y, raw = sample(loss, n=60, dtype=dtype)
    equal = np.full(60, size)
    assert loss(y, raw, equal) == pytest.approx(loss(y, raw), rel=1e-6)
    if size > 1e-300:
        ratios = np.linspace(0.1, 1, 60)
        assert loss(y, raw, ratios * size) == pytest.approx(loss(y, raw, ratios), rel=1e-6)
    if not loss.is_multiclass:
        want = sl.d2_loss_score(y, raw, loss=loss)
        got = sl.d2_loss_score(y, raw, loss=loss, sample_weight=equal)
        assert got == pytest.approx(want, rel=1e-4)


def test_probabilities_in_half_precision_are_clipped_as_scikit_learn_clips_them():
    y = np.array([0, 1, 1, 0, 1])
    proba = np.array([0.0, 1.0, 0.0, 0.25, 0.75], np.float16)
    got = sl.mean_loss(y, proba, loss="log_loss")
    assert got == pytest.approx(log_loss(y, proba), rel=1e-3)
    rows = np.stack([1 - proba, proba], axis=1)
    assert sl.mean_loss(y, rows, loss="multinomial") == pytest.approx(got, rel=1e-3)


# ----------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_may_lie_between_each_other_without_sharing_memory(dtype):
    loss, rows = sl.HuberLoss(), sl.HalfMultinomialLoss()
    y, raw = sample(loss, n=700, dtype=dtype)
    both = np.empty((700, 2), dtype)
    loss.loss_gradient(y, raw, loss_out=both[:, 0], gradient_out=both[:, 1])
    np.testing.assert_array_equal(both.T, loss.loss_gradient(y, raw))
    with pytest.raises(ValueError, match="gradient_out must not share memory with loss_out"):
        loss.loss_gradient(y, raw, loss_out=both[:, 0], gradient_out=both[::-1, 0])
    y, raw = sample(rows, n=700, dtype=dtype)
    wide = np.empty((700, 7), dtype)
    wide[:, 1::2] = raw
    rows.gradient(y, wide[:, 1::2], gradient_out=wide[:, :6:2])
    np.testing.assert_array_equal(wide[:, :6:2], rows.gradient(y, raw))
    with pytest.raises(ValueError, match="gradient_out must not share memory with raw_prediction"):
        rows.gradient(y, wide[:, 1::2], gradient_out=wide[:, 1:4])


def test_a_users_function_cannot_write_into_its_arguments():
    def spoil(y, raw):
        raw[:] = 0
        return raw - y

    loss = sl.FunctionLoss(lambda y, raw: (raw - y) ** 2 / 2, spoil)
    with pytest.raises(ValueError, match="read-only"):
        loss.gradient(np.zeros(3), np.ones(3))
    X = np.arange(12.0).reshape(6, 2)
    for settings in ({"batch_size": 1}, {"batch_size": 3}, {"optimizer": "lbfgs"}):
        with pytest.raises(ValueError, match="read-only"):
            sl.SGDRegressorX(loss=loss, **settings).fit(X, X[:, 0])


# ------------------------------------------------------------------------------------------ digits

# A large power of a probability has the rounding of its logarithm times the power: 60 here.
FAR_OUT = {"FocalLoss": 8 * BOUND}


def check(loss, params, dtype, y, raw):
    name = type(loss).__name__
    y, raw = np.asarray(y, dtype), np.asarray(raw, dtype)
    gradient, hessian = loss.gradient_hessian(y, raw)
    outs = (loss.loss(y, raw), loss.gradient(y, raw), gradient, hessian)
    for i in range(len(y)):
        truth = reference(name, params, float(y[i]), float(raw[i]))
        for out, got in zip(OUTPUTS, outs, strict=True):
            true, scale = getattr(truth, out), getattr(truth, out + "_scale")
            error = excess(got[i], true, scale, FAR_OUT.get(name, BOUND), dtype)
            assert not error, (out, y[i], raw[i], got[i], mp.nstr(true, 17), error)


def test_asymmetric_loss_close_to_its_margin():
    loss = sl.AsymmetricLoss(margin=0.5, gamma_neg=0.001, gamma_pos=1e-100)
    params = loss.get_params()
    rng = np.random.default_rng(0)
    raw = [4.9016335e-12, *(10 ** rng.uniform(-30, 1, 60)), *-(10 ** rng.uniform(-30, 1, 20))]
    check(loss, params, np.float64, np.zeros(len(raw)), raw)
    # Where the margin's raw prediction, log(margin / (1 - margin)), is no float.
    for dtype in (np.float32, np.float64):
        params = {"gamma_pos": 1.0, "gamma_neg": 0.001, "margin": float(dtype(0.2))}
        steps = np.arange(-4, 20)
        raw = dtype(np.log(0.25)) * (1 - steps.astype(dtype) * np.finfo(dtype).eps)
        check(sl.AsymmetricLoss(**params), params, dtype, np.zeros(len(raw)), raw)
    # What is no normal number has no logarithm that a power could be made of.
    for dtype in (np.float32, np.float64):
        least = np.array([np.finfo(dtype).smallest_subnormal])
        for gamma in (0.001, 1.0, 4.0):
            loss = sl.AsymmetricLoss(margin=0.5, gamma_neg=gamma)
            zero = np.zeros(1, dtype)
            for out in (loss.loss(zero, least), *loss.gradient_hessian(zero, least)):
                assert np.isfinite(out).all() and (out >= 0).all()
    loss = sl.AsymmetricLoss(margin=0.5)
    # At p = margin the negative side is 0.
    for dtype in (np.float32, np.float64):
        zero = np.zeros(1, dtype)
        for out in (loss.loss(zero, zero), *loss.gradient_hessian(zero, zero)):
            np.testing.assert_array_equal(out, 0)


# Residuals whose rounding counts: a target of few and a prediction of many bits.
def inexact(dtype, near, n=200):
    rng = np.random.default_rng(1)
    y = (rng.uniform(0.01, 0.3, n) * rng.choice([-1, 1], n)).astype(dtype)
    away = 1 + rng.choice([-1, 1], n) * 10 ** rng.uniform(-7, -1, n)
    away[: n // 2] = 1  # residuals that round to the kink
    return y, (y + near * rng.choice([-1, 1], n) * away).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("cls", "params", "near"),
    [
        (sl.EpsilonInsensitive, {"epsilon": 1.5}, 1.5),
        (sl.SquaredEpsilonInsensitive, {"epsilon": 1.5}, 1.5),
        # A slope near 0, beside which the curved part counts.
        (sl.SmoothPinball, {"quantile": 1 - 1e-16, "width": 1.5}, 1.5),
        (sl.SmoothPinball, {"quantile": 1e-16, "width": 1.5}, 1.5),
        (sl.TukeyBiweight, {"c": 1.5}, 1.5),
        (sl.SmoothL2, {}, 1.0),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_the_rounding_of_a_residual_does_not_show_next_to_a_kink(cls, params, near, dtype):
    check(cls(**params), params, dtype, *inexact(dtype, near))


def test_the_rounding_of_a_large_residual_does_not_show_next_to_a_kink():
    loss = sl.EpsilonInsensitive(epsilon=1.5e23)
    y, raw = inexact(np.float64, 1.5)
    check(loss, loss.get_params(), np.float64, 1e23 * y, 1e23 * raw)


@pytest.mark.parametrize(
    ("loss", "dtype", "raw"),
    [
        # q**gamma rounds its exponent
        (sl.FocalLoss(gamma=60.0), np.float64, np.linspace(0.1, 11, 40)),
        # 1 + epsilon, of which float32 holds what it does not hold of epsilon
        (sl.PolyLoss(epsilon=-1 + 1e-9), np.float32, np.linspace(14, 30, 40)),
        # theta times a factor above 1 is infinite before a power of two lowers it
        (sl.NegativeBinomial(theta=1.7e308), np.float64, np.linspace(706, 709.6, 40)),
        (
            sl.NegativeBinomial(theta=float(np.float32(3.3e38))),
            np.float32,
            np.linspace(85, 88.5, 40),
        ),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, sl.losses.Loss) else "",
)
def test_extreme_parameters_keep_their_digits(loss, dtype, raw):
    for y in (0.0, 1.0):
        check(loss, loss.get_params(), dtype, np.full(len(raw), y), raw)
        if loss.task == "binary":
            check(loss, loss.get_params(), dtype, np.full(len(raw), y), -raw)


@pytest.mark.parametrize("quantile", [1 - 1e-16, 1e-16])
def test_float32_knows_a_quantile_beyond_its_own_digits(quantile):
    y, raw = inexact(np.float32, 0.5)
    for loss in (sl.SmoothPinball(quantile, 0.5), sl.PinballLoss(quantile), sl.Expectile(quantile)):
        check(loss, loss.get_params(), np.float32, y, raw)


@pytest.mark.parametrize("power", [1 - 1e-12, 1 + 1e-15, 2 - 1e-9, 2.000000000000001])
def test_tweedie_close_to_the_poisson_and_the_gamma_loss_scores_as_they_do(power):
    rng = np.random.default_rng(0)
    y = rng.gamma(2, size=200)
    y_pred = y * np.exp(rng.normal(scale=0.1, size=200))
    limit = sl.HalfTweedieLoss(float(round(power)))
    near = sl.HalfTweedieLoss(power)
    score = [sl.d2_loss_score(y, y_pred, loss=loss) for loss in (near, limit)]
    assert 0.9 < score[1] < 1 and score[0] == pytest.approx(score[1], rel=1e-7)
    minus_best = [loss.constant_to_optimal_zero(y) for loss in (near, limit)]
    np.testing.assert_allclose(*minus_best, rtol=1e-6)
    np.testing.assert_allclose(near.loss(y, np.log(y)) + minus_best[0], 0, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "loss",
    [
        sl.LogitAdjusted(priors=[0.7, 0.2, 0.1]),
        sl.LogitAdjusted(priors=[0.97, 0.02, 0.01], tau=8.2),
        sl.LDAM(class_counts=[160.0, 10.0, 30.0], max_margin=0.3, scale=3.0),
        sl.LDAM(class_counts=[70.0, 50.0, 60.0], max_margin=19.1, scale=2.0),
    ],
    ids=lambda x: type(x).__name__,
)
def test_logits_keep_the_digits_that_adding_a_constant_would_round_off(loss, dtype):
    """Against the kernel's own constants, so that nothing but its arithmetic is measured."""
    rng = np.random.default_rng(0)
    n, eps = 60, float(np.finfo(dtype).eps)
    y = rng.integers(0, 3, n)
    # Predictions far from 0 and close to each other: their sums with a constant lose bits.
    raw = (rng.uniform(20, 60, (n, 1)) + rng.normal(0, 2, (n, 3))).astype(dtype)
    if isinstance(loss, sl.LDAM):  # as likely as the others with its margin
        raw[np.arange(n), y] += dtype(loss.max_margin)
    constants = [mpf(float(x)) for x in loss._row_params(3)]
    value, gradient = loss.loss_gradient(y.astype(dtype), raw)
    for i in range(n):
        with mp.workdps(60):
            z = [mpf(float(v)) for v in raw[i]]
            if isinstance(loss, sl.LDAM):
                scale, margins = constants[0], constants[1:]
                z = [scale * (v - (margins[k] if k == y[i] else 0)) for k, v in enumerate(z)]
            else:
                scale = 1
                z = [v + c for v, c in zip(z, constants, strict=True)]
            p = [mp.exp(v) for v in z]
            total = sum(p)
            truth = mp.log(total) - z[y[i]]
            assert abs(mpf(float(value[i])) - truth) <= 8 * eps * truth
            for k in range(3):
                own = -sum(v for j, v in enumerate(p) if j != k) if k == y[i] else p[k]
                want = scale * own / total
                assert abs(mpf(float(gradient[i, k])) - want) <= 8 * eps * abs(want)
