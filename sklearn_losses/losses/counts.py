"""Losses of the distribution of counts: more spread than Poisson's, or with zeros of their own."""

import numpy as np
from scipy import stats
from scipy.special import betaincc, expit, logit, pdtr

from sklearn_losses._array import array_namespace, special_functions, to_host
from sklearn_losses._interval import NON_NEGATIVE
from sklearn_losses.links import LogitLink, LogLink
from sklearn_losses.losses import constants
from sklearn_losses.losses._arrays import x_log_x
from sklearn_losses.losses.distribution import CONSTANT, LINEAR, DistributionLoss

# Of Newton's method: to the last digit for means of 2 and more, near enough to start from below.
STEPS_TO_RATE = 4


class CountLoss(DistributionLoss):
    """Base class of the losses of the distribution of counts 0, 1, 2, ..."""

    interval_y_true = NON_NEGATIVE
    _whole = True
    # The smallest count that one target must exceed for there to be a largest likelihood, and
    # whether some must be 0.
    _some_above, _some_zero = 0, False

    def _check_y(self, y):
        super()._check_y(y)
        whole = y == array_namespace(y).floor(y)
        if not whole.all():
            first = int(whole.argmin())
            raise ValueError(
                f"{type(self).__name__}: y_true must hold counts 0, 1, 2, ...; "
                f"got {to_host(y[first])} at index {first}"
            )

    def _start(self, y, weight):
        counted = y if weight is None else y[weight > 0]
        for lost, what in (
            (not (counted > self._some_above).any(), f"a count above {self._some_above}"),
            (self._some_zero and not (counted == 0).any(), "a count of 0"),
        ):
            if lost:
                raise ValueError(
                    f"{type(self).__name__}: y_true must hold {what}: without, no model has the "
                    f"largest likelihood; got {len(counted)} sample(s) from "
                    f"{float(counted.min()):g} to {float(counted.max()):g}"
                )
        return self._first_guess(y, weight), np.ones(self.n_heads)

    def _first_guess(self, y, weight):
        """A row near the best constant one."""
        raise NotImplementedError

    def _minus_best_value(self, y):
        # That of Poisson's distribution of mean y, of which the others are mixtures.
        y = y.astype(np.float64)
        return x_log_x(y) - y - special_functions(array_namespace(y)).gammaln(y + 1.0)

    def _frozen(self, raw):
        return self._family(*raw.T)


class _Counts(stats.rv_discrete):
    """A distribution of SciPy's with the probabilities of a loss, whose heads are its shapes."""

    @staticmethod
    def _loss():
        raise NotImplementedError

    def _argcheck(self, *heads):
        return np.logical_and.reduce([np.isfinite(head) for head in np.broadcast_arrays(*heads)])

    def _logpmf(self, k, *heads):
        k, *heads = np.broadcast_arrays(np.asarray(k, dtype=np.float64), *heads)
        rows = np.stack([head.ravel() for head in heads], axis=1)
        return -self._loss().loss(k.ravel(), rows).reshape(k.shape)

    def _pmf(self, k, *heads):
        return np.exp(self._logpmf(k, *heads))


def _truncated_rate(mean):
    """Of Poisson variables whose zeros are left out and whose means are above 1, what their means
    are with them: by Newton's steps to ``rate / (1 - exp(-rate)) = mean``, which is convex, from
    above."""
    xp, rate = array_namespace(mean), mean
    for _ in range(STEPS_TO_RATE):
        rest = -xp.expm1(-rate)
        rate = rate - (rate / rest - mean) * rest**2 / (rest - rate * (1.0 - rest))
    return rate


# ------------------------------------------------------------------------------- negative binomial


class _NegativeBinomialCounts(_Counts):
    @staticmethod
    def _loss():
        return NegativeBinomialNLL()

    def _cdf(self, k, log_mean, log_dispersion):
        theta = np.exp(-log_dispersion)
        return betaincc(np.floor(k) + 1.0, theta, expit(log_mean + log_dispersion))

    def _stats(self, log_mean, log_dispersion):
        mean, odds = np.exp(log_mean), np.exp(log_mean + log_dispersion)
        skewness = (1.0 + 2.0 * odds) / np.sqrt(mean * (1.0 + odds))
        excess = 6.0 * np.exp(log_dispersion) + 1.0 / (mean * (1.0 + odds))
        return mean, mean * (1.0 + odds), skewness, excess

    def _rvs(self, log_mean, log_dispersion, size=None, random_state=None):
        theta = np.exp(-log_dispersion)
        rate = random_state.gamma(theta, np.exp(log_mean + log_dispersion), size)
        return random_state.poisson(rate)


class NegativeBinomialNLL(CountLoss):
    """Minus the log-likelihood of a negative binomial distribution (NB2), whose mean and dispersion
    are both predicted: counts that spread more than Poisson's.

    - Domain: y_true counts 0, 1, 2, ...
    - Raw predictions: a row of the logarithm of the mean and of that of the dispersion: the
      variance is ``mean + dispersion * mean**2``. `predict` gives the mean; an offset of one number
      a sample is the logarithm of an exposure.
    - Formula: ``lgamma(theta) + lgamma(y_true + 1) - lgamma(y_true + theta) + (y_true + theta) *
      log1p(mean / theta) - y_true * log(mean / theta)`` with ``theta = exp(-log_dispersion)``.

    Parameters
    ----------
    dispersion : {"constant", "linear"}, default="constant"
        Whether the dispersion is one number, fitted too, or its logarithm is a linear model of X.
        Of counts that spread less than Poisson's it falls to about 0.

    References
    ----------
    Cameron, A. C. and Trivedi, P. K. (2013). Regression Analysis of Count Data, 2nd edition.
    Cambridge University Press, section 3.3.

    Examples
    --------
    >>> from sklearn_losses import NegativeBinomialNLL
    >>> round(NegativeBinomialNLL()([0, 3], [[0.0, 0.0], [0.0, 0.0]]), 6)
    1.732868
    """

    name = "negative_binomial_nll"
    heads = ("log_mean", "log_dispersion")
    _head_parameters = {"dispersion": 1}

    def __init__(self, dispersion=CONSTANT):
        self.dispersion = dispersion

    def _first_guess(self, y, weight):
        middle = constants.mean(y, weight)
        excess = constants.mean((y - middle) ** 2, weight) - middle
        return np.log([middle, max(excess / middle**2, 1e-2)])

    def _mean(self, raw):
        return LogLink().inverse(raw[:, 0])

    def _expected_hessian(self, raw):
        # That of the dispersion is an infinite sum.
        mean = np.exp(raw[:, 0]) * expit(-raw.sum(axis=1))
        return np.stack([mean, np.full(len(raw), np.nan)], axis=1)

    _family = _NegativeBinomialCounts(name="negative_binomial", shapes="log_mean, log_dispersion")


# ------------------------------------------------------------------------------------ own zeros


class _ZeroInflatedCounts(_Counts):
    @staticmethod
    def _loss():
        return ZeroInflatedPoissonNLL()

    def _cdf(self, k, log_rate, logit_inflation):
        own = pdtr(np.floor(k), np.exp(log_rate))
        return own + expit(logit_inflation) * (1.0 - own)

    def _stats(self, log_rate, logit_inflation):
        rate, zero, rest = np.exp(log_rate), expit(logit_inflation), expit(-logit_inflation)
        return rest * rate, rest * rate * (1.0 + zero * rate), None, None

    def _rvs(self, log_rate, logit_inflation, size=None, random_state=None):
        drawn = random_state.poisson(np.exp(log_rate), size)
        return np.where(random_state.uniform(size=size) < expit(logit_inflation), 0, drawn)


class ZeroInflatedPoissonNLL(CountLoss):
    """Minus the log-likelihood of a Poisson variable that some samples have in its place a 0 for:
    counts with more zeros than Poisson's.

    - Domain: y_true counts 0, 1, 2, ...
    - Raw predictions: a row of the logarithm of the Poisson variable's mean, its rate, and of the
      logit of the inflation, the probability that a 0 stands in its place; `predict` gives the mean
      ``(1 - inflation) * rate``. An offset of one number a sample is the logarithm of an exposure.
    - Formula: ``-log(inflation + (1 - inflation) * exp(-rate))`` for 0, ``-log(1 - inflation) +
      rate - y_true * log_rate + lgamma(y_true + 1)`` for other counts.

    Parameters
    ----------
    inflation : {"constant", "linear"}, default="constant"
        Whether the inflation is one number, fitted too, or its logit is a linear model of X.

    References
    ----------
    Lambert, D. (1992). Zero-inflated Poisson regression, with an application to defects in
    manufacturing. Technometrics 34, 1-14, equation 1.

    Examples
    --------
    >>> from sklearn_losses import ZeroInflatedPoissonNLL
    >>> round(ZeroInflatedPoissonNLL()([0, 3], [[0.0, 0.0], [0.0, 0.0]]), 6)
    1.932396
    """

    name = "zero_inflated_poisson_nll"
    heads = ("log_rate", "logit_inflation")
    _head_parameters = {"inflation": 1}
    _some_above, _some_zero = 1, True

    def __init__(self, inflation=CONSTANT):
        self.inflation = inflation

    def _first_guess(self, y, weight):
        seen = constants.mean(y > 0, weight)
        rate = _truncated_rate(constants.mean(y, weight) / seen)
        return np.array([np.log(rate), logit(np.clip(1.0 + seen / np.expm1(-rate), 0.01, 0.99))])

    def _mean(self, raw):
        return LogLink().inverse(raw[:, 0]) * LogitLink().inverse(-raw[:, 1])

    def _expected_hessian(self, raw):
        rate, own, rest = np.exp(raw[:, 0]), expit(raw[:, 1]), expit(-raw[:, 1])
        # Zeros of the Poisson variable, as a share of all zeros.
        zero = own + rest * np.exp(-rate)
        share = rest * np.exp(-rate) / zero
        above = rest * -np.expm1(-rate)
        log_rate = rate * (above + zero * share * (1.0 - rate * (1.0 - share)))
        at_zero = own * above / zero
        return np.stack([log_rate, zero * at_zero**2 + above * own**2], axis=1)

    _family = _ZeroInflatedCounts(name="zero_inflated_poisson", shapes="log_rate, logit_inflation")


class _HurdleCounts(_Counts):
    @staticmethod
    def _loss():
        return HurdlePoissonNLL()

    def _cdf(self, k, log_rate, logit_zero):
        rate = np.exp(log_rate)
        # Of the Poisson variable, what lies in (0, k], over what lies above 0.
        within = (pdtr(np.floor(k), rate) - np.exp(-rate)) / -np.expm1(-rate)
        return expit(logit_zero) + expit(-logit_zero) * np.clip(within, 0.0, 1.0)

    def _stats(self, log_rate, logit_zero):
        rate, rest = np.exp(log_rate), expit(-logit_zero)
        mean = rest * rate / -np.expm1(-rate)
        return mean, mean * (1.0 + rate - mean), None, None

    def _rvs(self, log_rate, logit_zero, size=None, random_state=None):
        # What a Poisson variable exceeds with a uniform share of the probability that it is no 0.
        rate = np.exp(log_rate)
        share = random_state.uniform(size=size) * -np.expm1(-rate)
        drawn = np.maximum(stats.poisson.isf(share, rate), 1.0)
        zero = random_state.uniform(size=size) < expit(logit_zero)
        return np.where(zero, 0, drawn).astype(np.int64)


class HurdlePoissonNLL(CountLoss):
    """Minus the log-likelihood of counts of which the zeros have a probability of their own, and
    the others are a Poisson variable whose zeros are left out.

    - Domain: y_true counts 0, 1, 2, ...
    - Raw predictions: a row of the logarithm of the rate, the Poisson variable's mean before its
      zeros were left out, and of the logit of the probability of 0; `predict` gives the mean ``(1 -
      zero) * rate / (1 - exp(-rate))``. An offset of one number a sample is the logarithm of an
      exposure.
    - Formula: ``-log(zero)`` for 0, ``-log(1 - zero) + rate - y_true * log_rate + lgamma(y_true +
      1) + log(1 - exp(-rate))`` for other counts.

    Parameters
    ----------
    zeros : {"linear", "constant"}, default="linear"
        Whether the logit of the probability of 0 is a linear model of X, or one number, fitted too.

    References
    ----------
    Mullahy, J. (1986). Specification and testing of some modified count data models. Journal of
    Econometrics 33, 341-365.

    Examples
    --------
    >>> from sklearn_losses import HurdlePoissonNLL
    >>> round(HurdlePoissonNLL()([0, 3], [[0.0, 0.0], [0.0, 0.0]]), 6)
    1.859689
    """

    name = "hurdle_poisson_nll"
    convex = True
    heads = ("log_rate", "logit_zero")
    _head_parameters = {"zeros": 1}
    _some_above, _some_zero = 1, True

    def __init__(self, zeros=LINEAR):
        self.zeros = zeros

    def _first_guess(self, y, weight):
        seen = constants.mean(y > 0, weight)
        rate = _truncated_rate(constants.mean(y, weight) / seen)
        return np.array([np.log(rate), logit(1.0 - seen)])

    def _minus_best_value(self, y):
        # Of counts up to 1 the probability may be as near 1 as one likes.
        y = y.astype(np.float64)
        xp = array_namespace(y)
        rate = _truncated_rate(xp.maximum(y, 2.0))
        lost = special_functions(xp).gammaln(y + 1.0)
        best = y * xp.log(rate) - xp.log(-xp.expm1(-rate)) - rate - lost
        return xp.where(y < 2.0, 0.0, best)

    def _mean(self, raw):
        xp = array_namespace(raw)
        rate = LogLink().inverse(raw[:, 0])
        # Below, the mean of those above 0 is 1.
        least = np.finfo(raw.dtype).tiny
        above = xp.where(rate < least, 1.0, rate / -xp.expm1(-xp.maximum(rate, least)))
        return LogitLink().inverse(-raw[:, 1]) * above

    def _expected_hessian(self, raw):
        rate, zero, rest = np.exp(raw[:, 0]), expit(raw[:, 1]), expit(-raw[:, 1])
        mean = rate / -np.expm1(-rate)  # of those above 0
        return np.stack([rest * mean * (1.0 + rate - mean), zero * rest], axis=1)

    _family = _HurdleCounts(name="hurdle_poisson", shapes="log_rate, logit_zero")
