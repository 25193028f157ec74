"""Regression losses with a log link: the deviances of generalised linear models, and the squared
log error.

Terms in y_true alone are dropped, as scikit-learn does; `constant_to_optimal_zero` gives them.
"""

import numpy as np

from sklearn_losses._array import array_namespace
from sklearn_losses._interval import NON_NEGATIVE, POSITIVE, Interval
from sklearn_losses._parameters import log_in_two
from sklearn_losses.links import Log1pLink, LogLink
from sklearn_losses.losses import constants
from sklearn_losses.losses._arrays import x_log_x
from sklearn_losses.losses.pointwise import MeanFitMixin, PointwiseLoss


class _Tweedie(MeanFitMixin, PointwiseLoss):
    """A Tweedie deviance, whose best constant has a closed form beside an offset too."""

    def _best_beside(self, y, weight, offset):
        # The root of sum(exp((2 - power) * raw) - y * exp((1 - power) * raw)), raw = best + offset.
        power = self._power()
        above = _log_sum(y, weight, (1 - power) * offset)
        below = _log_sum(None, weight, (2 - power) * offset)
        if above is None:
            least = np.log(10 * np.finfo(y.dtype).eps)
            above = least + _log_sum(None, weight, (1 - power) * offset)
        return above - below


def _log_sum(y, weight, exponent):
    """Logarithm of ``sum(weight * y * exp(exponent))``; None where the sum is not positive."""
    xp = array_namespace(exponent)
    factor = xp.ones(exponent.shape[0]) if weight is None else weight
    if y is not None:
        factor = factor * y
    largest = float(xp.where(factor != 0, exponent, -np.inf).max())
    if largest == -np.inf:
        return None
    total = float((factor * xp.exp(xp.minimum(exponent - largest, 0))).sum())
    return largest + float(np.log(total)) if total > 0 else None


class HalfPoissonLoss(_Tweedie):
    """Half the Poisson deviance, for counts and rates.

    - Domain: y_true in [0, inf).
    - Link: log; the best constant predicts the mean.
    - Formula: ``exp(raw_prediction) - y_true * raw_prediction``.

    References
    ----------
    McCullagh, P. and Nelder, J. A. (1989). Generalized Linear Models, 2nd edition. Chapman and
    Hall, section 6.2.

    Examples
    --------
    >>> from sklearn_losses import HalfPoissonLoss
    >>> HalfPoissonLoss()([0.0, 2.0], [0.0, 0.0])
    1.0
    """

    name = "poisson"
    link = LogLink()
    interval_y_true = NON_NEGATIVE

    def _power(self):
        return 1.0

    def _minus_best_value(self, y):
        return x_log_x(y) - y


class HalfGammaLoss(_Tweedie):
    """Half the gamma deviance, for positive amounts whose spread grows with their size.

    - Domain: y_true in (0, inf).
    - Link: log; the best constant predicts the mean.
    - Formula: ``raw_prediction + y_true * exp(-raw_prediction)``.

    References
    ----------
    McCullagh, P. and Nelder, J. A. (1989). Generalized Linear Models, 2nd edition. Chapman and
    Hall, section 8.3.

    Examples
    --------
    >>> from sklearn_losses import HalfGammaLoss
    >>> HalfGammaLoss()([1.0, 2.0], [0.0, 0.0])
    1.5
    """

    name = "gamma"
    link = LogLink()
    interval_y_true = POSITIVE

    def _power(self):
        return 2.0

    def _minus_best_value(self, y):
        return -array_namespace(y).log(y) - 1


class HalfTweedieLoss(_Tweedie):
    """Half the Tweedie deviance: for 1 < power < 2, amounts that are often exactly zero.

    - Domain: y_true in (-inf, inf) for power <= 0, [0, inf) for 0 < power < 2, (0, inf) for power
      >= 2.
    - Link: log; the best constant predicts the mean.
    - Formula: ``exp((2 - power) * raw) / (2 - power) - y_true * exp((1 - power) * raw) / (1 -
      power)``; at power 1 the Poisson and at power 2 the gamma loss. Within 0.001 of them the
      constant that grows without bound there, ``-y_true / (1 - power)`` or ``1 / (2 - power)``, is
      left out: it would take the digits that tell two models apart.

    Parameters
    ----------
    power : float, default=1.5
        The variance is proportional to the mean raised to it; in (-inf, inf). Between 0 and 1 there
        is no such distribution, but the loss is defined.

    References
    ----------
    Jorgensen, B. (1987). Exponential dispersion models. Journal of the Royal Statistical Society B
    49, 127-162.

    Examples
    --------
    >>> from sklearn_losses import HalfTweedieLoss
    >>> HalfTweedieLoss(power=1.5)([0.0, 1.0], [0.0, 0.0])
    3.0
    """

    name = "tweedie"
    link = LogLink()
    _parameter_intervals = {"power": Interval()}
    _limits = {1.0: "HalfPoissonLoss", 2.0: "HalfGammaLoss"}

    def __init__(self, power=1.5):
        self.power = power

    @property
    def interval_y_true(self):
        (power,) = self._numbers()
        if power <= 0:
            return Interval()
        return NON_NEGATIVE if power < 2 else POSITIVE

    def _power(self):
        return self._numbers()[0]

    @property
    def convex(self):
        return 1 <= self._power() <= 2

    def _kernel_params(self):
        params = self._numbers()
        return self._limits.get(params[0], self._near(params[0]) or self._kernel), params

    @staticmethod
    def _near(power):
        """The kernel for a power close to one of the limits, or None."""
        near = {1: "TweedieNearPoisson", 2: "TweedieNearGamma"}.get(round(power))
        return near if near and abs(power - round(power)) < 1e-3 else None

    def _minus_best_value(self, y):
        (power,) = self._numbers()
        if power == 1:
            return HalfPoissonLoss()._minus_best_value(y)
        if power == 2:
            return HalfGammaLoss()._minus_best_value(y)
        if power == 0:
            return y * y / 2
        xp = array_namespace(y)
        near = self._near(power)
        if near:
            a, b = 2 - power, 1 - power
            # The best prediction is y itself. In expm1, as the value is.
            log_y = xp.log(xp.where(y > 0, y, 1))
            if near == "TweedieNearPoisson":
                return y * (xp.expm1(b * log_y) / b - 1) / a
            rise = xp.where(y > 0, xp.expm1(a * log_y), -1.0)
            return (rise / a + 1) / b
        # A negative y has no best prediction on the log scale: the loss of mean 0 is 0.
        return xp.power(xp.maximum(y, 0), 2 - power) / ((1 - power) * (2 - power))


class NegativeBinomial(MeanFitMixin, PointwiseLoss):
    """Negative binomial log-likelihood loss, for counts that spread more than Poisson's.

    - Domain: y_true in [0, inf).
    - Link: log; the best constant predicts the mean.
    - Formula: ``(y_true + theta) * log(exp(raw_prediction) + theta) - y_true * raw_prediction``.
      The variance is ``mean + mean**2 / theta``.

    Parameters
    ----------
    theta : float, default=1.0
        Size, the inverse of the overdispersion; in (0, inf).

    References
    ----------
    Hilbe, J. M. (2011). Negative Binomial Regression, 2nd edition. Cambridge University Press,
    section 8.2 (NB2).

    Examples
    --------
    >>> from sklearn_losses import NegativeBinomial
    >>> round(NegativeBinomial(theta=1.0)([0.0, 3.0], [0.0, 0.0]), 6)
    1.732868
    """

    name = "negative_binomial"
    link = LogLink()
    interval_y_true = NON_NEGATIVE
    _parameter_intervals = {"theta": POSITIVE}

    def __init__(self, theta=1.0):
        self.theta = theta

    def _kernel_params(self):
        (theta,) = self._numbers()
        return self._kernel, [theta, *log_in_two(theta)]

    def _best_beside(self, y, weight, offset):
        sums = constants.Sums(self, y, weight, offset)
        start = HalfPoissonLoss()._best_beside(y, weight, offset)
        return constants.root(sums, lambda sums: (start, 1.0))

    def _minus_best_value(self, y):
        (theta,) = self._numbers()
        return x_log_x(y) - (y + theta) * array_namespace(y).log(y + theta)


class SquaredLogError(PointwiseLoss):
    """Squared difference of logarithms, whose mean is the mean squared log error.

    - Domain: y_true in (-1, inf).
    - Link: ``y_pred = exp(raw_prediction) - 1``; the best constant predicts the geometric mean of
      ``1 + y_true``, less 1.
    - Formula: ``(raw_prediction - log(1 + y_true))**2``.

    Examples
    --------
    >>> from sklearn_losses import SquaredLogError
    >>> SquaredLogError()([0.0, 0.0], [1.0, 2.0])
    2.5
    """

    name = "msle"
    link = Log1pLink()
    interval_y_true = Interval(-1, np.inf)

    def _best_constant(self, y, weight, offset):
        logarithm = array_namespace(y).log1p(y.astype(np.float64))
        return constants.mean(logarithm if offset is None else logarithm - offset, weight)
