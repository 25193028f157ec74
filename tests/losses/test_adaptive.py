"""The density of Barron's loss: its partition function and its derivatives against mpmath, rows of
raw predictions far and near, and its distribution against quadrature."""

import pickle
import re
from pathlib import Path

import numpy as np
import partition_table
import pytest
from mpmath import mp, mpf
from scipy import integrate, special, stats

import sklearn_losses
from sklearn_losses import GaussianNLL, GeneralRobust, GeneralRobustNLL

HEADER = Path(sklearn_losses.__file__).parent / "_kernels" / "losses" / "partition_table.h"
LOSS = GeneralRobustNLL()


def shape_of(alpha):
    """The logit of alpha / 2 of a number that may be a string of decimal digits."""
    alpha = mpf(alpha)
    return float(mp.log(alpha / (2 - alpha)))


def rho(z, t):
    """The paper's equation 1 at alpha = 2 / (1 + exp(-t)), of numbers of mpmath."""
    alpha, b = 2 / (1 + mp.exp(-t)), 2 / (1 + mp.exp(t))
    return b / alpha * ((z**2 / b + 1) ** (alpha / 2) - 1)


def log_z(t):
    """Its log partition function, by Gauss and Legendre's rule on parts of the line."""
    with mp.workdps(40):
        ends = [0, *(mpf(2) ** k for k in range(-8, 9)), mp.inf]
        return mp.log(2 * mp.quad(lambda x: mp.exp(-rho(x, t)), ends, maxdegree=9))


def outputs(y, raw, loss=LOSS):
    """Value, first and second derivatives, beside each other."""
    gradient, hessian = loss.gradient_hessian(y, raw)
    return np.column_stack([loss.loss(y, raw), gradient, hessian])


# ------------------------------------------------------------------------------ partition function


def test_the_partition_function_has_its_closed_forms():
    at_zero = {
        0.0: np.log(np.pi * np.sqrt(2)),
        1.0: np.log(2 * np.e * special.k1(1)),
        2.0: np.log(2 * np.pi) / 2,
    }
    for alpha, want in at_zero.items():
        assert GeneralRobustNLL(alpha)([0.0], [[0.0, 0.0]]) == pytest.approx(want, rel=1e-15)
        t = np.clip(special.logit(alpha / 2), -300, 300)
        assert LOSS([0.0], [[0.0, 0.0, t]]) == pytest.approx(want, rel=1e-15)


@pytest.mark.parametrize("alpha", ["0.8", "1.3", "1.97"])
def test_the_partition_function_is_the_integral(alpha):
    t = shape_of(alpha)
    with mp.workdps(40):
        assert abs(LOSS([0.0], [[0.0, 0.0, t]]) - log_z(mpf(t))) < 1e-15


def exact_log_z(t):
    """log Z and its two derivatives in t, by differences with many digits."""
    with mp.workdps(60 if t > 20 else 45):
        step, t = mpf(10) ** -9, mpf(t)
        a, b, c = (partition_table.log_partition(t + s * step) for s in (1, 0, -1))
        return b, (a - c) / (2 * step), (a - 2 * b + c) / step**2


def test_the_trapezoidal_rule_of_the_table_is_the_integral():
    for alpha in ("0.8", "1.97"):
        with mp.workdps(40):
            t = mp.log(mpf(alpha) / (2 - mpf(alpha)))
            assert abs(partition_table.log_partition(t) - log_z(t)) < 1e-20


# Inside pieces, on both sides of where they meet, and beyond the first and the last.
JOINTS = [s + d for s in (-8.0, 0.0, 2.0, 36.0) for d in (-1e-9, 1e-9)]
PLACES = [-11.3, *np.arange(-6.7, 36.0, 3.9), *JOINTS, 36.0, -25.0, 45.0]


@pytest.mark.slow
@pytest.mark.parametrize("t", PLACES, ids=lambda t: f"{t:.9g}")
def test_log_z_and_its_derivatives_keep_their_digits_at_any_shape(t):
    _hold_log_z(t)


def _hold_log_z(t):
    value, slope, bend = (float(x) for x in exact_log_z(t))
    made = outputs([0.0], [[0.0, 0.0, t]])[0]
    assert abs(made[0] - value) < 1e-15
    # Relative: far out they fall to 0.
    assert abs(made[3] / slope - 1) < 2e-14
    assert abs(made[6] - bend) < 1e-13 * max(abs(bend), 0.1 * abs(slope))


@pytest.mark.parametrize("t", [-9.0, -8.0 + 1e-9, -1e-9, 3.3, 36.0])
def test_log_z_keeps_its_digits(t):
    _hold_log_z(t)


def test_beyond_the_ends_the_partition_function_is_its_limit():
    far = outputs(np.zeros(2), np.array([[0.0, 0.0, -700.0], [0.0, 0.0, 700.0]]))
    np.testing.assert_allclose(far[:, 0], [np.log(np.pi * 2**0.5), np.log(2 * np.pi) / 2])
    assert np.abs(far[:, [3, 6]]).max() < 1e-100


def test_the_table_is_what_its_program_writes():
    text = HEADER.read_text()
    numbers = re.search(r"PIECES \* TERMS\] = \{(.*?)\}", text, re.DOTALL).group(1)
    table = np.array([float(x) for x in numbers.split(",")]).reshape(-1, partition_table.TERMS)
    assert len(table) * partition_table.WIDTH == partition_table.RIGHT - partition_table.LEFT
    with mp.workdps(partition_table.DIGITS):
        want = [float(c) for c in partition_table.piece(10)]
    np.testing.assert_allclose(table[10], want, rtol=1e-15)


# --------------------------------------------------------------------------------------------- rows

ALPHAS = ["1e-12", "1e-3", "0.5", "1", "1.5", "1.999", str(2 - mpf("1e-12"))]
SIZES = [1e-150, 1e-20, 1e-8, 1e-4, 0.03, 0.5, 1.0, 1.7, 4.0, 30.0, 1e4, 1e9, 3e18, 1e40, 1e150]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_rows_keep_their_digits_near_and_far_at_any_shape(alpha):
    with mp.workdps(40):
        t = shape_of(alpha)
    ends = outputs([0.0], [[0.0, 0.0, t]])[0] * [1, 0, 0, 1, 0, 0, 1]  # of log Z
    for z in SIZES:
        for log_scale in (0.0, -3.3):
            raw = [z * np.exp(log_scale), log_scale, t]
            made = outputs([0.0], [raw])[0] - ends
            with mp.workdps(700):
                point = [mpf(x) for x in raw]

                def value(x):
                    return x[1] + rho(x[0] * mp.exp(-x[1]), x[2])

                middle, want, sizes = value(point), [], []
                for k in range(3):
                    step = mpf(10) ** -120 * (abs(point[0]) if k == 0 else 1)
                    up, down = (
                        [x + s * step * (j == k) for j, x in enumerate(point)] for s in (1, -1)
                    )
                    a, c = value(up), value(down)
                    want.append(((a - c) / (2 * step), (a - 2 * middle + c) / step**2))
                slopes, bends = zip(*want, strict=True)
                truth = np.array([middle, *slopes, *bends])
                # What the number is a sum of: beside log_scale, 1, and log Z and its derivatives.
                sizes = abs(truth) + abs(ends)
                sizes[0] += abs(log_scale) + 1
                sizes[2] += 1
                sizes[4] += abs(truth[1]) / abs(point[0]) * mpf("0.01")
                sizes[6] += abs(truth[3]) * mpf("0.1")
                error = [
                    abs(m - w) / s if s else abs(m)
                    for m, w, s in zip(made, truth, sizes, strict=True)
                ]
            worst = [float(e) if abs(w) < 1e300 else 0.0 for e, w in zip(error, truth, strict=True)]
            assert max(worst) < 3e-13, (z, log_scale, worst)


def test_where_a_residual_is_nothing_the_shape_has_the_slope_of_the_partition_function():
    for t in (-30.0, -2.0, 0.0, 3.0, 30.0):
        at, near = outputs(np.zeros(2), np.array([[0.0, 1.0, t], [1e-200, 1.0, t]]))
        assert np.isfinite(at).all()
        np.testing.assert_allclose(near, at, rtol=1e-14, atol=1e-190)


def test_a_shape_that_is_given_makes_the_same_rows_as_one_that_is_fitted():
    rng = np.random.default_rng(0)
    y, raw = rng.standard_t(1, 60), rng.normal(size=(60, 2))
    for alpha in (0.0, 1e-9, 0.3, 1.0, 1.7, 2.0):
        t = np.clip(special.logit(alpha / 2), -300, 300)
        whole = outputs(y, np.column_stack([raw, np.full(60, t)]))
        given = outputs(y, raw, GeneralRobustNLL(alpha))
        np.testing.assert_allclose(given, whole[:, [0, 1, 2, 4, 5]], rtol=1e-14, atol=1e-14)


def test_the_ends_are_the_normal_and_the_cauchy_distribution():
    rng = np.random.default_rng(1)
    y, raw = 10 * rng.standard_t(2, 60), rng.normal(size=(60, 2))
    np.testing.assert_allclose(
        outputs(y, raw, GeneralRobustNLL(2.0)), outputs(y, raw, GaussianNLL()), rtol=1e-13
    )
    cauchy = stats.cauchy(raw[:, 0], np.sqrt(2) * np.exp(raw[:, 1]))
    np.testing.assert_allclose(GeneralRobustNLL(0).loss(y, raw), -cauchy.logpdf(y), rtol=1e-13)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 1.6])
def test_it_is_the_plain_loss_and_a_constant(alpha):
    y = np.array([-1e5, -3.0, 0.1, 2.0, 1e9])
    plain = GeneralRobust(alpha, c=np.exp(0.7)).loss(y, np.full(5, 0.4))
    whole = GeneralRobustNLL(alpha).loss(y, np.tile([0.4, 0.7], (5, 1)))
    constant = GeneralRobustNLL(alpha)([0.0], [[0.0, 0.7]])
    np.testing.assert_allclose(whole, plain + constant, rtol=1e-14)


def test_float32_holds_what_float64_does_to_its_digits():
    rng = np.random.default_rng(2)
    raw = rng.normal(0, [3, 1, 4], (400, 3)).astype(np.float32)
    y = (raw[:, 0] + 10.0 ** rng.uniform(-4, 4, 400) * rng.choice([-1, 1], 400)).astype(np.float32)
    single, double = outputs(y, raw), outputs(y.astype(float), raw.astype(float))
    assert LOSS.loss(y, raw).dtype == LOSS.gradient(y, raw).dtype == np.float32
    # The shape's derivative is a difference of two of like size; w**(alpha / 2) has an exponent
    # of single precision.
    np.testing.assert_allclose(single, double, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_finite_row_gives_nan(dtype):
    info = np.finfo(dtype)
    some = [0.0, info.smallest_subnormal, info.tiny, 1e-20, 1.0, -3.0, 40.0, -90.0, 1e9, -1e30]
    some = np.array([*some, float(info.max) / 4], dtype=dtype)
    y, m, s, t = (x.ravel() for x in np.meshgrid(some, some, some, some))
    raw = np.column_stack([m, s, t])
    assert not np.isnan(outputs(y, raw)).any()
    given = GeneralRobustNLL(0.7)
    assert not np.isnan(outputs(y, raw[:, :2].copy(), given)).any()


# ------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("wrong", [-0.1, 2.1, np.nan, True, "Linear", None, [1.0]])
def test_an_alpha_that_is_none_is_named(wrong):
    words = r"GeneralRobustNLL: alpha must be a number in \[0, 2\], 'linear' or 'constant'; got "
    with pytest.raises(ValueError, match=words):
        GeneralRobustNLL(wrong)([0.0], [[0.0, 0.0]])


def test_heads_are_as_many_as_are_fitted():
    assert GeneralRobustNLL().heads == ("location", "log_scale", "logit_alpha")
    assert GeneralRobustNLL(1.5).heads == ("location", "log_scale")
    with pytest.raises(ValueError, match=r"GeneralRobustNLL: scale must be 'linear' or 'constant'"):
        GeneralRobustNLL(scale=1.0)([0.0], [[0.0, 0.0, 0.0]])
    with pytest.raises(
        ValueError, match=r"\(n_samples, 3\), location, log_scale, logit_alpha; got"
    ):
        LOSS([0.0], [[0.0, 0.0]])
    assert GeneralRobustNLL("linear").takes_streams and not LOSS.takes_streams
    assert GeneralRobustNLL(1.5).takes_streams
    # A parameter that changes after a use is seen.
    loss, y, raw = GeneralRobustNLL(0.5), [0.0], [[3.0, 0.0]]
    first = loss(y, raw)
    assert loss.set_params(alpha=1.5)(y, raw) == GeneralRobustNLL(1.5)(y, raw) != first


# ----------------------------------------------------------------------------------- distribution

SHAPES = np.array([0.02, 0.5, 1.0, 1.5, 1.99, 2.0])


def law_of(alpha, location=0.0, log_scale=0.0):
    return GeneralRobustNLL(alpha).distribution_of(np.array([[location, log_scale]]))


@pytest.mark.parametrize("alpha", SHAPES)
def test_probabilities_are_integrals_of_the_density(alpha):
    law = law_of(alpha, 3.0, 0.5)
    for x in (-20.0, 1.0, 3.0, 3.3, 9.0):
        middle = integrate.quad(lambda x: law.pdf(x)[0], 3.0, x, epsabs=1e-12, limit=400)[0]
        assert law.cdf(x)[0] == pytest.approx(0.5 + middle, abs=1e-10)
        assert law.cdf(x)[0] + law.sf(x)[0] == pytest.approx(1.0, abs=1e-15)
    assert law.cdf(3.0)[0] == pytest.approx(0.5, abs=1e-14)


@pytest.mark.parametrize("alpha", SHAPES)
def test_quantiles_are_inverse_to_probabilities_far_into_the_tails(alpha):
    law, p = law_of(alpha, -1.0, 0.2), np.array([1e-30, 1e-12, 0.01, 0.3, 0.5, 0.8, 1 - 1e-9])
    np.testing.assert_allclose(law.cdf(law.ppf(p)), p, rtol=1e-10)
    np.testing.assert_allclose(law.sf(law.isf(p)), p, rtol=1e-10)
    np.testing.assert_allclose(law.ppf([0.0, 1.0]), [-np.inf, np.inf])


def test_the_ends_have_scipys_probabilities_and_moments():
    x = np.array([-12.0, -3.0, -0.1, 0.0, 2.0, 11.0])
    for alpha, theirs in ((0.0, stats.cauchy(0, 2**0.5)), (2.0, stats.norm())):
        law = law_of(alpha)
        np.testing.assert_allclose(law.cdf(x), theirs.cdf(x), rtol=1e-12)
        np.testing.assert_allclose(law.sf(x), theirs.sf(x), rtol=1e-12)
        p = [1e-30, 0.1, 0.6]
        np.testing.assert_allclose(law.ppf(p), theirs.ppf(p), rtol=1e-12)
    mean, variance, skewness, excess = law_of(2.0, 1.0, np.log(3.0)).stats("mvsk")
    np.testing.assert_allclose([mean, variance], [[1.0], [9.0]], rtol=1e-12)
    np.testing.assert_allclose([skewness, excess], 0.0, atol=1e-12)
    assert np.isnan(law_of(0.0).mean()) and law_of(0.0).std() == np.inf
    assert law_of(1e-4).std() == np.inf and law_of(1e-4).mean() == 0  # beyond any number


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.9])
def test_moments_are_integrals(alpha):
    law = law_of(alpha)
    for power, made in ((2, law.var()[0]), (4, (law.stats("k")[0] + 3) * law.var()[0] ** 2)):

        def part(y, power=power):
            return np.sinh(y) ** power * law.pdf(np.sinh(y))[0] * np.cosh(y)

        want = 2 * integrate.quad(part, 0, 60, epsabs=0, epsrel=1e-11, limit=900)[0]
        assert made == pytest.approx(want, rel=1e-9)


def test_draws_follow_the_distribution_and_go_through_pickle():
    raw = np.array([[0.0, 0.0, -1.0], [5.0, 1.0, 2.0]])
    law = pickle.loads(pickle.dumps(LOSS.distribution_of(raw)))
    drawn = law.rvs(size=(2000, 2), random_state=0)
    for k in range(2):
        assert stats.kstest(drawn[:, k], LOSS.distribution_of(raw[k : k + 1]).cdf).pvalue > 0.01
    np.testing.assert_array_equal(law.mean(), raw[:, 0])
    np.testing.assert_allclose(law.median(), raw[:, 0], atol=1e-13)
    wide = LOSS.distribution_of(np.array([[0.0, 0.0, -800.0], [0.0, 0.0, 800.0]]))
    np.testing.assert_allclose(wide.cdf(1.0), [stats.cauchy.cdf(2**-0.5), stats.norm.cdf(1.0)])
    assert np.isnan(law.dist(3.0).pdf(0.0))


def test_fits_start_where_the_shape_has_a_slope():
    y = np.random.default_rng(3).uniform(-1, 1, 200)
    assert LOSS.fit_intercept_only(y)[2] > 5
    assert LOSS._start_constant(y)[2] == 2.0
    beside = np.tile([0.0, 0.0, 5.0], (200, 1))
    assert LOSS._start_constant(y, offset=beside)[2] == pytest.approx(-3.0)
