"""The loss of Tweedie's distribution against the textbook's series in 60 digits and more, and the
distribution against its own density."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import integrate, stats
from test_distributions import check_rows_of

import sklearn_losses as sl
from sklearn_losses import TweedieNLL

LEAST, MOST = 1.01, 1.99


def power_of(raw):
    return mpf("1.01") + mpf("0.98") / (1 + mp.exp(-raw))


def tweedie(y, raw, power=None):
    """Minus the logarithm of the density, or of the probability of 0: Poisson probabilities of the
    numbers of gamma variables times the densities of their sums."""
    p = power_of(raw[2]) if power is None else mpf(power)
    mean, dispersion = mp.exp(raw[0]), mp.exp(raw[1])
    rate = mean ** (2 - p) / (dispersion * (2 - p))
    if y == 0:
        return rate
    shape, scale = (2 - p) / (p - 1), dispersion * (p - 1) * mean ** (p - 1)
    log_rate, log_y, log_scale = mp.log(rate), mp.log(y), mp.log(scale)

    def term(j):
        number = j * log_rate - rate - mp.loggamma(j + 1)
        k = j * shape
        return number + (k - 1) * log_y - k * log_scale - y / scale - mp.loggamma(k)

    largest = max(1, int(mp.nint(mpf(y) ** (2 - p) / (dispersion * (2 - p)))))
    least = -mp.log(10) * (mp.dps + 5)
    reference, total = term(largest), mpf(1)
    for step in (1, -1):
        j, last = largest + step, reference
        while j >= 1:
            now = term(j)
            total += mp.exp(now - reference)
            if now < last and now - reference < least:
                break
            j, last = j + step, now
    return -(reference + mp.log(total))


def rows(rng, n, log_y, log_number, apart, logit):
    """Targets and rows; the mean number of gamma variables of a target's own size is drawn."""
    w = rng.uniform(*logit, n)
    a = 0.01 + 0.98 / (1 + np.exp(w))
    y = rng.uniform(*log_y, n)
    d = a * y - np.log(a) - rng.uniform(*log_number, n)
    t = apart * rng.normal(size=n) * rng.choice([1e-8, 1e-3, 1.0], n)
    return np.exp(y), np.column_stack([y + t, d, w])


# By name: how many rows, logarithms of targets and of numbers, how far means are from targets,
# logits of the power, the bound, and the digits that differences need.
DOMAINS = {
    "few": (8, (-5, 5), (-6, 3), 1.0, (-3, 3), 2e-13, 95),
    "many": (2, (-5, 5), (3, 6), 0.3, (-3, 3), 2e-13, 75),
    "near 1": (5, (-5, 5), (-3, 6.2), 0.3, (-9, -4), 2e-12, 75),
    "near 2": (4, (-5, 5), (-3, 4), 1.0, (4, 9), 1e-12, 75),
    "where sums become integrals": (5, (-1, 1), (2.5, 4), 0.1, (-1, 6), 2e-13, 75),
    "far means": (6, (-5, 5), (-4, 2), 15.0, (-3, 3), 1e-12, 95),
    "means out of sight": (20, (-5, 5), (-4, 2), 200.0, (-2, 2), 1e-12, 95),
    "far targets": (6, (-690, 690), (-3, 3), 1.0, (-3, 3), 3e-11, 75),
    "hardly any": (6, (-300, 300), (-600, -5), 1.0, (-5, 5), 3e-12, 350),
}


MINUTES = [pytest.mark.slow, pytest.mark.exhaustive]


@pytest.mark.parametrize("times", [1, pytest.param(12, marks=MINUTES)])
@pytest.mark.parametrize("name", DOMAINS)
def test_rows_are_the_series_in_many_digits(name, times):
    n, *domain, bound, digits = DOMAINS[name]
    y, raw = rows(np.random.default_rng(times), n * times, *domain)
    check_rows_of(TweedieNLL(), tweedie, y, raw, bound, digits)
    # That of a given power is the same formula.
    power = float(np.clip(float(power_of(mpf(raw[0, 2]))), LEAST, MOST))
    given = y[:1], raw[:1, :2]
    check_rows_of(TweedieNLL(power=power), lambda y, r: tweedie(y, r, power), *given, bound, digits)


@pytest.mark.parametrize("power", [LEAST, 1.3, MOST])
def test_zeros_are_the_probability_of_no_gamma_variable(power):
    raw = np.random.default_rng(0).uniform(-20, 20, (30, 2))
    rate = np.exp((2 - power) * raw[:, 0] - raw[:, 1]) / (2 - power)
    np.testing.assert_allclose(TweedieNLL(power=power).loss(np.zeros(30), raw), rate, rtol=1e-13)
    wide = np.column_stack([raw, np.random.default_rng(1).uniform(-9, 9, 30)])
    check_rows_of(TweedieNLL(), tweedie, np.zeros(30), wide, 1e-13, digits=95)


def test_ever_more_gamma_variables_come_to_the_saddlepoint():
    # Of a normal variable with the variance dispersion mean^power, but for 1 / number.
    rng = np.random.default_rng(2)
    for log_number in (12.0, 20.0, 36.0, 300.0, 650.0):
        w = rng.uniform(-6, 6, 40)
        a = 0.01 + 0.98 / (1 + np.exp(w))
        raw = np.column_stack([np.zeros(40), -np.log(a) - log_number, w])
        value = TweedieNLL().loss(np.ones(40), raw)
        gradient, hessian = TweedieNLL().gradient_hessian(np.ones(40), raw)
        rest = {"rtol": 1e-13, "atol": 2e-14 + 10 * np.exp(-log_number) / a.min()}
        np.testing.assert_allclose(value, 0.5 * np.log(2 * np.pi) + 0.5 * raw[:, 1], **rest)
        np.testing.assert_allclose(gradient, np.tile([0, 0.5, 0], (40, 1)), **rest)
        np.testing.assert_allclose(hessian[:, 0], np.exp(-raw[:, 1]), rtol=1e-12)
        np.testing.assert_allclose(hessian[:, 1:], 0.0, **rest)


def test_no_row_takes_numbers_to_nan():
    ends = np.array([-1e4, -745, -340, -40, -2, 0, 0.3, 40, 340, 745, 1e4])
    m, d, w = (part.ravel() for part in np.meshgrid(ends, ends, ends))
    raw = np.column_stack([m, d, w])
    for y in (0.0, 5e-324, 1e-100, 1.0, 3.7, 1e100, 1.7e308):
        target = np.full(len(raw), y)
        for out in (TweedieNLL().loss(target, raw), *TweedieNLL().gradient_hessian(target, raw)):
            assert not np.isnan(out).any()
    with np.errstate(over="ignore"):
        single = raw.astype(np.float32)
    for out in TweedieNLL().gradient_hessian(np.ones(len(raw), np.float32), single):
        assert out.dtype == np.float32 and not np.isnan(out).any()


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_heads_that_are_no_numbers_give_nan(column, wrong):
    for y in (0.0, 2.0):
        raw = np.zeros((1, 3))
        raw[0, column] = wrong
        for out in (TweedieNLL().loss([y], raw), *TweedieNLL().gradient_hessian([y], raw)):
            assert np.isnan(out).all()
        if column < 2:
            loss = TweedieNLL(power=1.5)
            assert np.isnan(loss.gradient([y], raw[:, :2])).all()


def test_float32_is_float64_rounded():
    y, raw = rows(np.random.default_rng(3), 200, (-3, 3), (-3, 9), 1.0, (-6, 6))
    y[::5] = 0
    y, raw = y.astype(np.float32), raw.astype(np.float32)
    wide = y.astype(float), raw.astype(float)
    single = [TweedieNLL().loss(y, raw), *TweedieNLL().gradient_hessian(y, raw)]
    double = [TweedieNLL().loss(*wide), *TweedieNLL().gradient_hessian(*wide)]
    for a, b in zip(single, double, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b.astype(np.float32))


def test_the_mean_of_a_given_power_is_that_of_the_deviance():
    # For one dispersion, the likelihood's part of the mean is the deviance over it.
    y, raw = rows(np.random.default_rng(4), 50, (-2, 2), (-2, 3), 1.0, (0, 1))
    y[::4] = 0.0
    raw[:, 1] = 0.7
    for power in (1.2, 1.5, 1.8):
        mine = TweedieNLL(power=power).gradient(y, raw[:, :2])[:, 0]
        other = sl.HalfTweedieLoss(power).gradient(y, raw[:, 0])
        np.testing.assert_allclose(mine * np.exp(0.7), other, rtol=1e-11, atol=1e-13)


WRONG = [
    ({"power": 1.0}, r"power must be a number in \[1.01, 1.99\] or 'constant'; got 1.0"),
    ({"power": 2.0}, r"power must be a number in \[1.01, 1.99\] or 'constant'; got 2.0"),
    ({"power": "linear"}, r"power must be .* or 'constant'; got 'linear'"),
    ({"power": None}, r"power must be .* or 'constant'; got None"),
    ({"power": np.nan}, r"power must be .* or 'constant'; got nan"),
    ({"dispersion": 1.0}, r"dispersion must be 'linear' or 'constant'; got 1.0"),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_wrong_parameters_are_named(given, words):
    loss = TweedieNLL(**given)
    with pytest.raises(ValueError, match="TweedieNLL: " + words):
        loss([1.0], np.zeros((1, loss.n_heads)))


def test_another_power_is_seen():
    loss, raw = TweedieNLL(power=1.5), np.array([[0.3, 0.1]])
    first = loss([2.0], raw)
    loss.power = 1.7
    assert loss([2.0], raw) != first
    assert loss([2.0], raw) == TweedieNLL(power=1.7)([2.0], raw)
    loss.power = "constant"
    with pytest.raises(ValueError, match="log_mean, log_dispersion, logit_power"):
        loss([2.0], raw)
    assert loss.heads == ("log_mean", "log_dispersion", "logit_power")


def test_targets_below_zero_are_named():
    with pytest.raises(ValueError, match=r"TweedieNLL: y_true must lie in \[0, inf\); got -1.0"):
        TweedieNLL()([1.0, -1.0], np.zeros((2, 3)))
    np.testing.assert_array_equal(TweedieNLL().constant_to_optimal_zero([0.0, 1.0]), [0, np.inf])


# ----------------------------------------------------------------------------------- distributions

# Logarithms of mean and dispersion, and the power: few and many gamma variables, of all shapes.
LAWS = {
    "half zero": (1.0, 0.8, 1.5),
    "few": (0.5, 0.0, 1.2),
    "peaks": (2.0, 0.1, 1.05),
    "long shape": (1.0, 0.5, 1.9),
    "many": (3.0, -2.5, 1.4),
    "very many": (2.0, -9.0, 1.6),
    "many of small spread": (3.0, -4.5, 1.03),
    "at the end": (0.0, -1.0, MOST),
}
laws = pytest.mark.parametrize("name", LAWS)


def law_of(name):
    m, d, power = LAWS[name]
    return TweedieNLL(power=power).distribution_of(np.array([[m, d]]))


@laws
def test_distribution_functions_are_the_integrals_of_densities(name):
    law = law_of(name)
    m, d, p = LAWS[name]
    zero = np.exp(-np.exp((2 - p) * m - d) / (2 - p))
    assert law.cdf(0.0)[0] == pytest.approx(zero, rel=1e-13)
    assert law.sf(0.0)[0] == pytest.approx(1 - zero, rel=1e-12)
    assert law.pdf(0.0)[0] == pytest.approx(zero, rel=1e-13)
    assert law.cdf(-1e-9) == 0 and law.sf(-1e-9) == 1 and law.pdf(-1e-9) == 0
    mean, std = law.mean()[0], law.std()[0]
    steps = np.linspace(max(mean - 2 * std, 0.3 * mean), mean + 2 * std, 9)
    for low, high in pairwise(steps):
        area = integrate.quad(lambda x: law.pdf(x)[0], low, high, epsabs=1e-12, limit=400)[0]
        assert law.cdf(high)[0] - law.cdf(low)[0] == pytest.approx(area, abs=1e-10)
    np.testing.assert_allclose(law.cdf(steps) + law.sf(steps), 1.0, rtol=1e-12)


@laws
def test_moments_are_those_of_draws(name):
    law = law_of(name)
    m, d, p = LAWS[name]
    mean, variance, skewness, excess = (float(part[0]) for part in law.stats("mvsk"))
    assert mean == pytest.approx(np.exp(m)) and variance == pytest.approx(np.exp(d + p * m))
    # By the moments of the sum of a Poisson variable's number of gamma variables.
    rate, shape = np.exp((2 - p) * m - d) / (2 - p), (2 - p) / (p - 1)
    own = [stats.gamma(shape, scale=mean / (rate * shape)).moment(k) for k in (1, 2, 3, 4)]
    cumulants = rate * np.array(own)
    np.testing.assert_allclose([mean, variance], cumulants[:2], rtol=1e-12)
    assert skewness == pytest.approx(cumulants[2] / variance**1.5)
    assert excess == pytest.approx(cumulants[3] / variance**2)
    n = 20000
    drawn = law.rvs(size=(n, 1), random_state=0)[:, 0]
    assert abs(drawn.mean() - mean) < 5 * (variance / n) ** 0.5
    at = np.array([0.0, 0.5 * mean, mean, 2 * mean])
    np.testing.assert_allclose((drawn[:, None] <= at).mean(0), law.cdf(at), atol=5 * 0.5 / n**0.5)


@laws
def test_quantiles_are_inverse_to_distribution_functions(name):
    law = law_of(name)
    zero = law.cdf(0.0)[0]
    levels = zero + (1 - zero) * np.array([1e-6, 0.01, 0.3, 0.7, 0.99, 1 - 1e-9])
    quantile = law.ppf(levels)
    assert (quantile > 0).all()
    np.testing.assert_allclose(law.cdf(quantile), levels, rtol=1e-10)
    np.testing.assert_allclose(law.isf(1 - levels[:5]), quantile[:5], rtol=1e-6)
    np.testing.assert_array_equal(law.ppf([0.0, 0.5 * zero]), 0.0)
    np.testing.assert_array_equal(law.isf([1.0, 1.0 - 0.5 * zero]), 0.0)
    assert law.ppf(1.0)[0] == np.inf and law.ppf(1.5)[0] != law.ppf(1.5)[0]


def test_distributions_of_many_rows_go_through_pickle_and_refuse_what_they_have_not():
    raw = np.random.default_rng(5).normal(size=(7, 3)) * [1.0, 1.0, 2.0]
    law = pickle.loads(pickle.dumps(TweedieNLL().distribution_of(raw)))
    np.testing.assert_allclose(law.mean(), np.exp(raw[:, 0]))
    y = np.array([0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 9.0])
    np.testing.assert_allclose(-law.logpdf(y), TweedieNLL().loss(y, raw), rtol=1e-11)
    power = TweedieNLL().power_of(raw)
    np.testing.assert_allclose(power, 1.01 + 0.98 * stats.logistic.cdf(raw[:, 2]), rtol=1e-14)
    np.testing.assert_array_equal(TweedieNLL(power=1.3).power_of(raw[:, :2]), 1.3)
    for given, row in ((law, 0), (TweedieNLL().distribution_of(np.array([[0.0, 0, 99]])), 0)):
        assert 0 <= given.cdf(1.0)[row] <= 1
    # One row of 300, however rows are blocked.
    many = TweedieNLL().distribution_of(np.tile(raw, (90, 1)))
    np.testing.assert_array_equal(many.cdf(1.3), np.tile(law.cdf(1.3), 90))
    for call in (law.expect, law.entropy):
        with pytest.raises(NotImplementedError, match="miss the probability of 0"):
            call()
    np.testing.assert_array_equal(law.rvs(random_state=3) == 0, law.rvs(random_state=3) == 0)
