"""The 50-digit references of the losses of a distribution: minus the logarithms of textbook
densities. Registered as those of `references`."""

import numpy as np
from exact import exp, heads_loss, log, log1p, terms
from mpmath import mp, mpf

# Parameters to try besides the defaults.
SETTINGS = {"StudentTNLL": [{}, {"df": 1.0}, {"df": 3000.0}]}
# Other parameters than the defaults, one set a loss that has any but those of its heads.
OTHER_PARAMS = {"StudentTNLL": {"df": 2.5}}


@heads_loss("GaussianNLL")
def _(y, raw):
    location, log_scale = raw
    z = (location - y) * exp(-log_scale)
    return log_scale + z**2 / 2 + log(2 * mp.pi) / 2


@terms("GaussianNLL")
def _(y, raw):
    location, log_scale = raw
    z = (location - y) * exp(-log_scale)
    return {
        "value": [[log_scale, z**2 / 2, log(2 * mp.pi) / 2]],
        "gradient": [None, [mpf(1), -(z**2)]],
    }


def _t_constant(df):
    return mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - log(df * mp.pi) / 2


@heads_loss("StudentTNLL")
def _(y, raw, df):
    location, log_scale = raw
    z = (location - y) * exp(-log_scale)
    return log_scale + (df + 1) / 2 * log1p(z**2 / df) - _t_constant(df)


@terms("StudentTNLL")
def _(y, raw, df):
    location, log_scale = raw
    z = (location - y) * exp(-log_scale)
    share = z**2 / (df + z**2)
    outer = (df + 1) * exp(-2 * log_scale) / (df + z**2)
    # Far out the logarithm is a difference of those of the residual and of the scale.
    parts = [(df + 1) / 2 * log1p(z**2 / df)]
    if abs(z) > 1:
        parts = [(df + 1) * log(abs(location - y)), -(df + 1) * log_scale]
        parts.append((df + 1) / 2 * (log1p(z**2 / df) - 2 * log(abs(z))))
    return {
        "value": [[log_scale, *parts, -_t_constant(df)]],
        "gradient": [None, [mpf(1), -(df + 1) * share]],
        "hessian": [[outer, -2 * outer * share], None],
    }


# -------------------------------------------------------------------------------------------------
# Textbook formulas of numbers of mpmath: what is not simple enough for a bound in units in the last
# place.


def _crps(y, raw):
    scale = mp.exp(raw[1])
    z = (y - raw[0]) / scale
    return scale * (z * (2 * mp.ncdf(z) - 1) + 2 * mp.npdf(z) - 1 / mp.sqrt(mp.pi))


def _gamma(y, raw):
    k, mean = mp.exp(-raw[1]), mp.exp(raw[0])
    return mp.loggamma(k) + k * mp.log(mean / k) - (k - 1) * mp.log(y) + k * y / mean


def _beta(y, raw):
    a, b = (mp.exp(raw[1]) / (1 + mp.exp(-sign * raw[0])) for sign in (1, -1))
    norm = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
    return norm - (a - 1) * mp.log(y) - (b - 1) * mp.log1p(-mpf(y))


def _negative_binomial(y, raw):
    mean, theta = mp.exp(raw[0]), mp.exp(-raw[1])
    ways = mp.loggamma(y + theta) - mp.loggamma(theta) - mp.loggamma(y + 1)
    return -ways - theta * mp.log(theta / (theta + mean)) - y * mp.log(mean / (theta + mean))


def _poisson(y, log_rate):
    return mp.exp(log_rate) - y * log_rate + mp.loggamma(y + 1)


def _zero_inflated(y, raw):
    inflation = 1 / (1 + mp.exp(-raw[1]))
    drawn = (1 - inflation) * mp.exp(-_poisson(y, raw[0]))
    return -mp.log(drawn + (inflation if y == 0 else 0))


def _hurdle(y, raw):
    zero = 1 / (1 + mp.exp(-raw[1]))
    if y == 0:
        return -mp.log(zero)
    return _poisson(y, raw[0]) - mp.log(1 - zero) + mp.log(1 - mp.exp(-mp.exp(raw[0])))


# By class: the loss, targets that it is for, and the error beside the largest number of an output's
# row: the second derivatives of beta's, and both gamma functions of counts, are sums that cancel.
FORMULAS = {
    "GaussianCRPS": (_crps, lambda rng, n: rng.normal(0, 2, n), 1e-14),
    "GammaNLL": (_gamma, lambda rng, n: np.exp(rng.normal(0, 2, n)), 1e-13),
    "BetaNLL": (_beta, lambda rng, n: rng.beta(0.5, 0.5, n), 1e-11),
    "NegativeBinomialNLL": (
        _negative_binomial,
        lambda rng, n: rng.poisson(np.exp(rng.normal(0, 2, n))) * 1.0,
        1e-12,
    ),
    "ZeroInflatedPoissonNLL": (
        _zero_inflated,
        lambda rng, n: rng.poisson(2, n) * rng.integers(0, 2, n) * 1.0,
        2e-14,
    ),
    "HurdlePoissonNLL": (_hurdle, lambda rng, n: rng.poisson(1.5, n) * 1.0, 1e-14),
}


# The distribution functions of standard variables.
def _normal(z):
    return (1 + mp.erf(z / mp.sqrt(2))) / 2


def _logistic(z):
    return 1 / (1 + mp.exp(-z))


def _extreme(z):
    return -mp.expm1(-mp.exp(z))


VARIABLES = {
    "normal": (_normal, lambda z: mp.exp(-(z**2) / 2) / mp.sqrt(2 * mp.pi)),
    "logistic": (_logistic, lambda z: mp.exp(-z) / (1 + mp.exp(-z)) ** 2),
    "extreme": (_extreme, lambda z: mp.exp(z - mp.exp(z))),
}


def failure_time(interval, raw, distribution):
    """Minus the log-likelihood of an interval of times, of numbers of mpmath."""
    cdf, density = VARIABLES[distribution]
    low, high = interval
    location, log_scale = raw
    ends = [
        (mp.log(t) - location) * mp.exp(-log_scale) if 0 < t < mp.inf else None for t in interval
    ]
    if low == high:
        return log_scale + mp.log(low) - mp.log(density(ends[0]))
    below = 0 if ends[0] is None else cdf(ends[0])
    return -mp.log((1 if ends[1] is None else cdf(ends[1])) - below)


def cumulative(code, scores, link):
    """Minus the logarithm of a class's probability, of scores of the classes."""
    cdf = VARIABLES[link][0]
    cuts = [0, *(cdf(scores[k] - scores[k + 1]) for k in range(len(scores) - 1)), 1]
    return -mp.log(cuts[code + 1] - cuts[code])
