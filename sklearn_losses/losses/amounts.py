"""Losses of the distribution of positive amounts, and of shares between 0 and 1."""

import numpy as np
from scipy import stats
from scipy.special import expit, logit, polygamma

from sklearn_losses._interval import POSITIVE, UNIT_OPEN
from sklearn_losses.links import LogitLink, LogLink
from sklearn_losses.losses.distribution import CONSTANT, DistributionLoss, _moments

# From here on differences of trigamma functions are those of their series.
LARGE = 1e6


class GammaNLL(DistributionLoss):
    """Minus the log-likelihood of a gamma distribution, whose mean and dispersion are both
    predicted.

    - Domain: y_true positive.
    - Raw predictions: a row of the logarithm of the mean and of that of the dispersion, which is
      the variance over the squared mean; `predict` gives the mean.
    - Formula: ``lgamma(k) - k * log(k) + k * (log_mean + y_true * exp(-log_mean)) - (k - 1) *
      log(y_true)`` with the shape ``k = exp(-log_dispersion)``.

    Parameters
    ----------
    dispersion : {"constant", "linear"}, default="constant"
        Whether the dispersion is one number, fitted too, or its logarithm is a linear model of X.

    References
    ----------
    Smyth, G. K. (1989). Generalized linear models with varying dispersion. Journal of the Royal
    Statistical Society B 51, 47-60.

    Examples
    --------
    >>> from sklearn_losses import GammaNLL
    >>> round(GammaNLL()([1.0, 3.0], [[0.0, 0.0], [0.0, 0.0]]), 6)
    2.0
    """

    name = "gamma_nll"
    heads = ("log_mean", "log_dispersion")
    interval_y_true = POSITIVE
    _head_parameters = {"dispersion": 1}

    def __init__(self, dispersion=CONSTANT):
        self.dispersion = dispersion

    def _start(self, y, weight):
        middle, spread = _moments(y, weight)
        return np.array([np.log(middle), 2.0 * np.log(spread / middle)]), np.ones(2)

    def _mean(self, raw):
        return LogLink().inverse(raw[:, 0])

    def _expected_hessian(self, raw):
        shape = np.exp(-raw[:, 1])
        with np.errstate(over="ignore", invalid="ignore"):
            dispersion = shape * (shape * polygamma(1, shape) - 1.0)
        return np.stack([shape, np.where(shape > LARGE, 0.5, dispersion)], axis=1)

    def _frozen(self, raw):
        return stats.gamma(np.exp(-raw[:, 1]), scale=np.exp(raw[:, 0] + raw[:, 1]))


class BetaNLL(DistributionLoss):
    """Minus the log-likelihood of a beta distribution, whose mean and precision are both predicted:
    beta regression.

    - Domain: y_true in (0, 1).
    - Raw predictions: a row of the logit of the mean and of the logarithm of the precision, the sum
      of the distribution's two shapes; `predict` gives the mean.
    - Formula: ``betaln(a, b) - (a - 1) * log(y_true) - (b - 1) * log(1 - y_true)`` with ``a = mean
      * precision`` and ``b = (1 - mean) * precision``.

    Parameters
    ----------
    precision : {"constant", "linear"}, default="constant"
        Whether the precision is one number, fitted too, or its logarithm is a linear model of X.

    References
    ----------
    Ferrari, S. and Cribari-Neto, F. (2004). Beta regression for modelling rates and proportions.
    Journal of Applied Statistics 31, 799-815, equation 4.

    Examples
    --------
    >>> from sklearn_losses import BetaNLL
    >>> round(BetaNLL()([0.2, 0.5], [[0.0, 1.0], [0.0, 1.0]]), 6)
    -0.103922
    """

    name = "beta_nll"
    heads = ("logit_mean", "log_precision")
    interval_y_true = UNIT_OPEN
    _head_parameters = {"precision": 1}

    def __init__(self, precision=CONSTANT):
        self.precision = precision

    def _start(self, y, weight):
        middle, spread = _moments(y, weight)
        precision = max(middle * (1.0 - middle) / spread**2 - 1.0, 1e-3)
        return np.array([logit(middle), np.log(precision)]), np.ones(2)

    def _mean(self, raw):
        return LogitLink().inverse(raw[:, 0])

    def _expected_hessian(self, raw):
        total, mean, rest = np.exp(raw[:, 1]), expit(raw[:, 0]), expit(-raw[:, 0])
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            # Of a logit, times the squares: each is bounded where its shape is small.
            first = (mean * total) ** 2 * polygamma(1, mean * total)
            second = (rest * total) ** 2 * polygamma(1, rest * total)
            precision = first + second - total**2 * polygamma(1, total)
        precision = np.where(total > LARGE, 0.5, precision)
        return np.stack([rest**2 * first + mean**2 * second, precision], axis=1)

    def _frozen(self, raw):
        precision = np.exp(raw[:, 1])
        return stats.beta(expit(raw[:, 0]) * precision, expit(-raw[:, 0]) * precision)
