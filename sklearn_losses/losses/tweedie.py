"""The loss of Tweedie's distribution: of amounts of which many are 0."""

from math import factorial

import numpy as np
from scipy import stats
from scipy.special import expit, gammainc, gammaincc, gammaln, xlogy

from sklearn_losses._array import array_namespace
from sklearn_losses._interval import NON_NEGATIVE, Interval
from sklearn_losses._parameters import check_number
from sklearn_losses.links import LogLink
from sklearn_losses.losses.distribution import CONSTANT, DistributionLoss, _moments

# Of the powers of `TweedieNLL`: how far the least is from 1 and the largest from 2, and from it.
_MARGIN, _WIDTH = 0.01, 0.98
_POWERS = Interval(1.0 + _MARGIN, 2.0 - _MARGIN, True, True)


# Of a quantile: halvings of the bracket alone would find it.
_MOST_STEPS = 200


class _TweedieAmounts(stats.rv_continuous):
    """A distribution of SciPy's whose 0 has a probability, which stands there for the density."""

    def _argcheck(self, log_mean, log_dispersion, power):
        return np.isfinite(log_mean) & np.isfinite(log_dispersion) & _POWERS.contains(power)

    def _logpdf(self, x, log_mean, log_dispersion, power):
        x, log_mean, log_dispersion, power = np.broadcast_arrays(
            np.maximum(x, 0.0), log_mean, log_dispersion, power
        )
        rows, found = np.stack([log_mean, log_dispersion], axis=-1), np.empty(x.shape)
        for number in np.unique(power):
            same = power == number
            found[same] = -TweedieNLL(power=float(number)).loss(x[same], rows[same])
        return found

    def _pdf(self, x, *heads):
        return np.exp(self._logpdf(x, *heads))

    def _cdf(self, x, *heads):
        return _probability(gammainc, 1.0, x, *heads)

    def _sf(self, x, *heads):
        return _probability(gammaincc, 0.0, x, *heads)

    def _ppf(self, q, *heads):
        return self._reached(lambda x, q, *heads: self._cdf(x, *heads) - q, q, heads)

    def _isf(self, q, *heads):
        return self._reached(lambda x, q, *heads: q - self._sf(x, *heads), q, heads)

    def _reached(self, beyond, level, heads):
        """Where `beyond`, which grows with the amount, becomes 0: Newton's method for the amount's
        logarithm, in a bracket that each third step halves.
        """
        level, *heads = np.broadcast_arrays(level, *heads)
        found = np.zeros(level.shape)
        rows = np.flatnonzero(beyond(found, level, *heads) < 0.0)
        level, heads = level[rows], [head[rows] for head in heads]
        # The mean is in the bracket of what a float can be.
        at, low, high = heads[0], np.full(rows.shape, -745.0), np.full(rows.shape, 710.0)
        for k in range(_MOST_STEPS):
            x = np.exp(at)
            gap = beyond(x, level, *heads)
            low, high = np.where(gap < 0.0, at, low), np.where(gap < 0.0, high, at)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                to = at - gap / (x * self._pdf(x, *heads))
            inside = (to > low) & (to < high) & (k % 3 < 2)
            to = np.where(inside, to, 0.5 * (low + high))
            moving = abs(to - at) > 1e-15 * (1.0 + abs(at))
            found[rows[~moving]] = np.exp(to[~moving])
            rows, level, at, low, high = (part[moving] for part in (rows, level, to, low, high))
            heads = [head[moving] for head in heads]
            if not len(rows):
                break
        found[rows] = np.exp(at)
        return found

    def ppf(self, q, *args, **kwargs):
        return np.maximum(super().ppf(q, *args, **kwargs), 0.0)

    def isf(self, q, *args, **kwargs):
        return np.maximum(super().isf(q, *args, **kwargs), 0.0)

    def _stats(self, log_mean, log_dispersion, power):
        # The standard deviation over the mean.
        spread = np.exp(0.5 * (log_dispersion + (power - 2.0) * log_mean))
        excess = power * (2.0 * power - 1.0) * spread**2
        return np.exp(log_mean), np.exp(log_dispersion + power * log_mean), power * spread, excess

    def _rvs(self, log_mean, log_dispersion, power, size=None, random_state=None):
        rate, shape, scale = _compound(log_mean, log_dispersion, power)
        return random_state.gamma(shape * random_state.poisson(rate, size), scale, size)

    def expect(self, *args, **kwargs):
        raise NotImplementedError("integrals of a density miss the probability of 0; draw `rvs`")

    entropy = fit = expect


def _compound(log_mean, log_dispersion, power):
    """The mean number of gamma variables, the shape of each, and their scale."""
    rate = np.exp((2.0 - power) * log_mean - log_dispersion) / (2.0 - power)
    scale = np.exp((power - 1.0) * log_mean + log_dispersion) * (power - 1.0)
    return rate, (2.0 - power) / (power - 1.0), scale


# Rows whose sums over the number of gamma variables are formed together.
_ROWS = 256


def _probability(of_gamma, of_none, x, log_mean, log_dispersion, power):
    """The sum over the number of gamma variables of its probability times `of_gamma`, a
    distribution function, of their sum; that of no variables is `of_none`.
    """
    x, *heads = np.broadcast_arrays(x, log_mean, log_dispersion, power)
    rate, shape, scale = (part.ravel() for part in np.broadcast_arrays(*_compound(*heads)))
    z = np.maximum(x.ravel(), 0.0) / scale
    found = of_none * np.exp(-rate)
    # Where many numbers are likely the sum is the integral, as the loss's own is, over the
    # logarithm of the number over the rate: by a step of half the spread of all that changes.
    many = rate >= np.maximum(4.0 * (1.0 + shape), 40.0)
    for at, numbers in ((many, _nodes), (~many, _counted)):
        rows = np.flatnonzero(at)
        for part in np.split(rows, range(_ROWS, len(rows), _ROWS)):
            if len(part):
                weight, j = numbers(rate[part, None], shape[part, None])
                terms = weight * of_gamma(shape[part, None] * j, z[part, None])
                found[part] += terms.sum(axis=1)
    return np.clip(found, 0.0, 1.0).reshape(x.shape)


def _counted(rate, shape):
    """The numbers that are likely, and their probabilities."""
    most = float(rate.max())
    j = np.arange(1.0, 40.0 + np.ceil(most + 10.0 * np.sqrt(most)))
    return np.exp(xlogy(j, rate) - rate - gammaln(j + 1.0)), j


# Of t * exp(t) - expm1(t), from the square on.
_OF_DISTANCE = [(k - 1) / factorial(k) for k in range(2, 16)]


def _nodes(rate, shape):
    """Nodes of the trapezoidal rule, and their weights."""
    step = 0.5 / np.sqrt(rate * (1.0 + shape))
    reach = np.ceil(20.0 * np.sqrt(float((1.0 + shape).max())))
    t = step * np.arange(-reach, reach + 1.0)
    j = rate * np.exp(t)
    # Stirling's formula for the probability of j, with its first terms, as j is large.
    near = np.where(abs(t) < 0.5, t, 0.0)
    series = near**2 * np.polynomial.Polynomial(_OF_DISTANCE)(near)
    distance = np.where(abs(t) < 0.5, series, t * np.exp(t) - np.expm1(t))
    rest = (1.0 - (1.0 - 2.0 / (7.0 * j**2)) / (30.0 * j**2)) / (12.0 * j)
    return step * np.sqrt(j / (2.0 * np.pi)) * np.exp(-rate * distance - rest), j


class TweedieNLL(DistributionLoss):
    """Minus the log-likelihood of Tweedie's distribution of a power between 1 and 2, whose mean,
    dispersion and power are predicted: amounts of which many are 0, such as the claims of a year.

    The sum of a Poisson variable's number of gamma variables: of ``mean**(2 - power) / (dispersion
    * (2 - power))`` of them, the mean number, each of the shape ``(2 - power) / (power - 1)``. The
    variance is ``dispersion * mean**power``.

    - Domain: y_true 0 or positive.
    - Raw predictions: a row of the logarithm of the mean, of that of the dispersion and, where the
      power is fitted, of the logit of ``(power - 1.01) / 0.98``; `predict` gives the mean. An
      offset of one number a sample is the logarithm of an exposure that the mean is in proportion
      to.
    - Formula: ``mean**(2 - power) / (dispersion * (2 - power))`` for 0; for others ``log(y_true) -
      log(W) + (mean**(2 - power) / (2 - power) - y_true * mean**(1 - power) / (1 - power)) /
      dispersion``, W being the sum over j = 1, 2, ... of ``(y_true / (power - 1))**(j * shape) /
      (dispersion**(j * (1 + shape)) * (2 - power)**j * gamma(j + 1) * gamma(j * shape))``.

    Parameters
    ----------
    dispersion : {"constant", "linear"}, default="constant"
        Whether the dispersion is one number, fitted too, or its logarithm is a linear model of X.
    power : "constant" or float, default="constant"
        "constant": one number, fitted too. Or a number in [1.01, 1.99]: then rows have two columns.
        A fitted power stays between these ends: nearer to 1 the density is a row of separate peaks,
        and where targets repeat, as counts do, its likelihood has no largest value. Targets
        that are all whole numbers have a likelihood of many hills: give them a power.

    References
    ----------
    Jorgensen, B. (1987). Exponential dispersion models. Journal of the Royal Statistical Society B
    49, 127-162.

    Dunn, P. K. and Smyth, G. K. (2005). Series evaluation of Tweedie exponential dispersion model
    densities. Statistics and Computing 15, 267-280, equations 8 and 9.

    Wood, S. N., Pya, N. and Saefken, B. (2016). Smoothing parameter and model selection for general
    smooth models. Journal of the American Statistical Association 111, 1548-1563: the power as a
    logit between two ends.

    Examples
    --------
    >>> from sklearn_losses import TweedieNLL
    >>> round(TweedieNLL(power=1.5)([0.0, 3.0], [[0.0, 0.0], [0.0, 0.0]]), 6)
    2.436675
    >>> round(TweedieNLL()([0.0, 3.0], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), 6)
    2.436675
    """

    name = "tweedie_nll"
    interval_y_true = NON_NEGATIVE
    _head_parameters = {"dispersion": 1}
    _kernel_parameters = ("power",)

    def __init__(self, dispersion=CONSTANT, power=CONSTANT):
        self.dispersion = dispersion
        self.power = power

    @property
    def _given(self):
        """Whether the power is a number that the user gave."""
        return not isinstance(self.power, str)

    @property
    def heads(self):
        """What the columns of a row of raw predictions are."""
        return ("log_mean", "log_dispersion", "logit_power")[: 2 if self._given else 3]

    @property
    def _kernel(self):
        return "TweedieGiven" if self._given else "TweedieFitted"

    def _numbers(self):
        numbers = super()._numbers()
        if self._given or self.power != CONSTANT:
            also = " or 'constant'"
            numbers.append(check_number(type(self).__name__, "power", self.power, _POWERS, also))
        return numbers

    def _constant_heads(self):
        return super()._constant_heads() | ({} if self._given else {"power": "a number"})

    def _row_params(self, n_classes):
        return self._numbers() or [_MARGIN, _WIDTH]

    def _sees_features(self):
        sees = super()._sees_features()
        sees[2:] = False
        return sees

    def _start(self, y, weight):
        middle, spread = _moments(y, weight)
        power = self._numbers()[0] if self._given else 1.5
        row = [np.log(middle), 2.0 * np.log(spread) - power * np.log(middle), 0.0][: self.n_heads]
        return np.array(row), np.ones(self.n_heads)

    def _minus_best_value(self, y):
        # 0 may be certain; of the others a density has no largest value.
        return array_namespace(y).where(y == 0, 0.0, super()._minus_best_value(y))

    def _mean(self, raw):
        return LogLink().inverse(raw[:, 0])

    def power_of(self, raw_prediction):
        """The power of the variance, which is the dispersion times the mean raised to it.

        Parameters
        ----------
        raw_prediction : array-like of shape (n_samples, n_heads)

        Returns
        -------
        power : ndarray of shape (n_samples,)
        """
        raw = self._shaped(np.asarray(raw_prediction, dtype=np.float64))
        if self._given:
            return np.full(len(raw), self._numbers()[0])
        return np.clip(1.0 + _MARGIN + _WIDTH * expit(raw[:, 2]), _POWERS.low, _POWERS.high)

    def _expected_hessian(self, raw):
        # Those of the dispersion and the power are infinite sums.
        expected = np.full(raw.shape, np.nan)
        expected[:, 0] = np.exp((2.0 - self.power_of(raw)) * raw[:, 0] - raw[:, 1])
        return expected

    def _frozen(self, raw):
        return self._family(raw[:, 0], raw[:, 1], self.power_of(raw))

    _family = _TweedieAmounts(
        # Distribution functions begin above the support's end, and 0 has a probability.
        a=-np.nextafter(0.0, 1.0),
        name="tweedie",
        shapes="log_mean, log_dispersion, power",
    )
