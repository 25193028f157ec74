"""Regression losses with the identity link. ``r = raw_prediction - y_true`` throughout."""

import numpy as np

from sklearn_losses._array import array_namespace
from sklearn_losses._interval import NON_NEGATIVE, POSITIVE, UNIT_OPEN, Interval
from sklearn_losses.losses import constants
from sklearn_losses.losses._scales import (
    JOINT,
    SPREAD,
    TARGETS,
    Scale,
    cherkassky_ma,
    conquer_bandwidth,
)
from sklearn_losses.losses.pointwise import MeanFitMixin, PointwiseLoss


class HalfSquaredError(MeanFitMixin, PointwiseLoss):
    """Half the squared error.

    - Domain: y_true any real number.
    - Link: identity; the best constant is the mean.
    - Formula: ``r**2 / 2``. The half makes its gradient the residual and its hessian 1.

    Examples
    --------
    >>> from sklearn_losses import HalfSquaredError
    >>> HalfSquaredError()([1.0, 2.0], [1.5, 3.0])
    0.3125
    """

    name = "squared_error"


class SquaredError(MeanFitMixin, PointwiseLoss):
    """Squared error, whose mean is the mean squared error.

    - Domain: y_true any real number.
    - Link: identity; the best constant is the mean.
    - Formula: ``r**2``.

    Examples
    --------
    >>> from sklearn_losses import SquaredError
    >>> SquaredError()([1.0, 2.0], [1.5, 3.0])
    0.625
    """

    name = "mse"


def _smoothed_absolute(loss, width):
    """For a loss that is a multiple of the absolute error, which is twice the median's."""
    return SmoothPinball(0.5, width), lambda y: 2 * abs(loss.gradient(y, y + 1))


class AbsoluteError(PointwiseLoss):
    """Absolute error.

    - Domain: y_true any real number.
    - Link: identity; the best constant is the median.
    - Formula: ``|r|``. The gradient at 0 is 0. The second derivative is 0; `hessian` is 1, as in
      scikit-learn.

    Examples
    --------
    >>> from sklearn_losses import AbsoluteError
    >>> AbsoluteError()([1.0, 2.0], [1.5, 3.0])
    0.75
    """

    name = "absolute_error"
    differentiable = False
    approx_hessian = True

    def _best_constant(self, y, weight, offset):
        return constants.quantiles(y if offset is None else y - offset, weight, [0.5])[0]

    def _smoothed(self, width):
        return _smoothed_absolute(self, width)

    def _terms(self, y):
        return [(y, -1.0, 1.0)]


class HuberLoss(PointwiseLoss):
    """Huber's loss: squared near 0, absolute beyond.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``r**2 / 2`` where ``|r| <= delta``, else ``delta * (|r| - delta / 2)``. `hessian` is
      1 within and 0 beyond.

    Parameters
    ----------
    delta : float or "auto", default=0.1
        Where it turns linear, in the units of y; in (0, inf). The default is scikit-learn's
        (`epsilon` of its `SGDRegressor`), and right for a y whose noise is about 0.1: for data in
        real units take "auto", which is 1.35 times the scale of the residuals. That is estimated
        with the fit by Huber's proposal 2 as in scikit-learn's `HuberRegressor`, whose ``epsilon *
        scale_`` it is (0.92 standard deviations of normal noise).

    References
    ----------
    Huber, P. J. (1964). Robust estimation of a location parameter. Annals of Mathematical
    Statistics 35, 73-101.

    Owen, A. B. (2007). A robust hybrid of lasso and ridge regression. Contemporary Mathematics 443,
    59-72.

    Examples
    --------
    >>> from sklearn_losses import HuberLoss
    >>> HuberLoss(delta=1.0)([0.0, 0.0], [0.5, 3.0])
    1.3125
    """

    name = "huber"
    _scale = Scale("delta", 1.35, JOINT)
    approx_hessian = True
    _parameter_intervals = {"delta": POSITIVE}

    def __init__(self, delta=0.1):
        self.delta = delta


class SmoothL1(PointwiseLoss):
    """Smooth L1 loss: Huber's, divided by its threshold.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``r**2 / (2 * beta)`` where ``|r| < beta``, else ``|r| - beta / 2``. `hessian` is ``1
      / beta`` within and 0 beyond.

    Parameters
    ----------
    beta : float or "auto", default=1.0
        Where it turns linear, in the units of y; in (0, inf). "auto": as `HuberLoss`.

    References
    ----------
    Girshick, R. (2015). Fast R-CNN. ICCV, equation 3 (beta = 1).

    Examples
    --------
    >>> from sklearn_losses import SmoothL1
    >>> SmoothL1()([0.0, 0.0], [0.5, 3.0])
    1.3125
    """

    name = "smooth_l1"
    _scale = Scale("beta", 1.35, JOINT, degree=1)
    approx_hessian = True
    _parameter_intervals = {"beta": POSITIVE}

    def __init__(self, beta=1.0):
        self.beta = beta


class SmoothL2(PointwiseLoss):
    """Smooth L2 loss, as published.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``r**2 / 2`` where ``|r| <= 1``, else ``|r| - 1``.

    Its value jumps by -1/2 at ``|r| = 1``, while its gradient is that of `SmoothL1`, which is the
    loss to prefer. `hessian` is 1 within and 0 beyond.

    Examples
    --------
    >>> from sklearn_losses import SmoothL2
    >>> SmoothL2()([0.0, 0.0], [0.5, 3.0])
    1.0625
    """

    name = "smooth_l2"
    differentiable = False
    approx_hessian = True
    convex = False

    def _smoothed(self, width):
        return SmoothL1(), lambda y: None

    def _constant_grid(self, y, weight, offset):
        # Just beyond a jump lies a minimum.
        grid = super()._constant_grid(y, weight, offset)
        step = 1 + 4 * np.finfo(np.float64).eps * (1 + abs(grid))
        return np.concatenate([grid, grid - step, grid + step])


class PseudoHuber(PointwiseLoss):
    """Pseudo-Huber loss: Huber's, smooth everywhere.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``delta**2 * (sqrt(1 + (r / delta)**2) - 1)``.

    Parameters
    ----------
    delta : float or "auto", default=1.0
        Where it turns from squared to linear, in the units of y; in (0, inf). "auto": 1.35 times
        the scale of the residuals, which is estimated with the fit, as for `HuberLoss`: both are at
        the minimum of ``mean(scale * loss(r / scale)) + scale / 2``.

    References
    ----------
    Charbonnier, P. et al. (1997). Deterministic edge-preserving regularization in computed imaging.
    IEEE Transactions on Image Processing 6, 298-311.

    Examples
    --------
    >>> from sklearn_losses import PseudoHuber
    >>> PseudoHuber(delta=4.0)([0.0], [3.0])
    4.0
    """

    name = "pseudo_huber"
    _scale = Scale("delta", 1.35, JOINT)
    _parameter_intervals = {"delta": POSITIVE}

    def __init__(self, delta=1.0):
        self.delta = delta


class LogCosh(PointwiseLoss):
    """Logarithm of the hyperbolic cosine: squared near 0, absolute beyond, with no parameter.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``log(cosh(r))``.

    Examples
    --------
    >>> from sklearn_losses import LogCosh
    >>> round(LogCosh()([0.0, 0.0], [0.5, 3.0]), 6)
    1.214722
    """

    name = "log_cosh"


class PinballLoss(PointwiseLoss):
    """Pinball loss, whose minimiser is a quantile.

    - Domain: y_true any real number.
    - Link: identity; the best constant is the quantile.
    - Formula: ``max(quantile * u, (quantile - 1) * u)``, ``u = y_true - raw_prediction``. The
      gradient at 0 is ``-quantile``, as in scikit-learn. The second derivative is 0; `hessian` is
      1, as in scikit-learn.

    Parameters
    ----------
    quantile : float or list of float, default=0.5
        In (0, 1). Several quantiles are for `SGDRegressorX`, which fits one output to each.

    References
    ----------
    Koenker, R. and Bassett, G. (1978). Regression quantiles. Econometrica 46, 33-50.

    Examples
    --------
    >>> from sklearn_losses import PinballLoss
    >>> PinballLoss(quantile=0.9)([1.0, 1.0], [0.0, 2.0])
    0.5
    """

    name = "quantile"
    differentiable = False
    approx_hessian = True
    _parameter_intervals = {"quantile": UNIT_OPEN}

    def __init__(self, quantile=0.5):
        self.quantile = quantile

    def _constants(self, members, y, weight, offset):
        if offset is not None and offset.ndim == 2:
            return super()._constants(members, y, weight, offset)
        # Sorted once, for all quantiles.
        levels = [member._numbers()[0] for member in members]
        weight = constants.scaled_weight(weight)
        return constants.quantiles(y if offset is None else y - offset, weight, levels)

    def _best_constant(self, y, weight, offset):
        return self._constants([self], y, weight, offset)[0]

    def _smoothed(self, width):
        return SmoothPinball(self.quantile, width), lambda y: None

    def _terms(self, y):
        (level,) = self._numbers()
        return [(y, -level, 1.0 - level)]


class SmoothPinball(PointwiseLoss):
    """Pinball loss convolved with a uniform kernel: differentiable, for gradient and Newton
    methods.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula, with ``u = y_true - raw_prediction``: the pinball loss where ``|u| >= width``, else
      ``(u**2 + width**2) / (4 * width) + (quantile - 1/2) * u``. `hessian` is ``1 / (2 * width)``
      within and 0 beyond.

    Parameters
    ----------
    quantile : float, default=0.5
        In (0, 1).
    width : float or "auto", default=0.1
        Half-width of the kernel, in the units of y; in (0, inf). "auto": ``((n_features + log(n)) /
        n)**0.4`` times the scale of the residuals, with a factor from 0.05 to 1 (the rule of He et
        al.'s package conquer; n is the sum of the weights). The scale is the normalised median of
        the residuals of a Huber fit, which is also where the fit starts.

    References
    ----------
    Fernandes, M., Guerre, E. and Horta, E. (2021). Smoothing quantile regressions. Journal of
    Business & Economic Statistics 39, 338-357.

    He, X., Pan, X., Tan, K. M. and Zhou, W.-X. (2023). Smoothed quantile regression with
    large-scale inference. Journal of Econometrics 232, 367-388, section 2.

    Examples
    --------
    >>> from sklearn_losses import SmoothPinball
    >>> SmoothPinball(quantile=0.5, width=1.0)([0.0, 0.0], [0.0, 2.0])
    0.625
    """

    name = "smooth_quantile"
    _scale = Scale("width", conquer_bandwidth, SPREAD, degree=1)
    approx_hessian = True
    _parameter_intervals = {"quantile": UNIT_OPEN, "width": POSITIVE}

    def __init__(self, quantile=0.5, width=0.1):
        self.quantile = quantile
        self.width = width

    def _minus_best_value(self, y):
        quantile, width = self._numbers()
        least = -width * quantile * (1 - quantile)
        return array_namespace(y).full(y.shape[0], least, dtype=y.dtype)


class Expectile(PointwiseLoss):
    """Asymmetric squared error, whose minimiser is an expectile.

    - Domain: y_true any real number.
    - Link: identity; the best constant is the expectile, at 0.5 the mean.
    - Formula: ``|expectile - 1[y_true < raw_prediction]| * r**2``.

    Parameters
    ----------
    expectile : float, default=0.5
        In (0, 1).

    References
    ----------
    Newey, W. K. and Powell, J. L. (1987). Asymmetric least squares estimation and testing.
    Econometrica 55, 819-847.

    Examples
    --------
    >>> from sklearn_losses import Expectile
    >>> Expectile(expectile=0.9)([1.0, 1.0], [0.0, 2.0])
    0.5
    """

    name = "expectile"
    _parameter_intervals = {"expectile": UNIT_OPEN}

    def __init__(self, expectile=0.5):
        self.expectile = expectile


class EpsilonInsensitive(PointwiseLoss):
    """Absolute error that ignores what is smaller than epsilon: support vector regression's.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``max(0, |r| - epsilon)``. The gradient at the kinks is 0. The second derivative is
      0; `hessian` is 1.

    Parameters
    ----------
    epsilon : float or "auto", default=0.1
        In the units of y; in [0, inf). "auto": ``3 * sqrt(log(n) / n)`` times the scale of the
        residuals (Cherkassky and Ma; n is the sum of the weights, at least e). The scale is the
        normalised median of the residuals of a Huber fit, which is also where the fit starts.

    References
    ----------
    Vapnik, V. (1995). The Nature of Statistical Learning Theory. Springer, section 6.1.

    Cherkassky, V. and Ma, Y. (2004). Practical selection of SVM parameters and noise estimation for
    SVM regression. Neural Networks 17, 113-126.

    Examples
    --------
    >>> from sklearn_losses import EpsilonInsensitive
    >>> EpsilonInsensitive(epsilon=0.5)([0.0, 0.0], [0.25, 2.0])
    0.75
    """

    name = "epsilon_insensitive"
    _scale = Scale("epsilon", cherkassky_ma, SPREAD, degree=1)
    differentiable = False
    approx_hessian = True
    _parameter_intervals = {"epsilon": NON_NEGATIVE}

    def __init__(self, epsilon=0.1):
        self.epsilon = epsilon

    def _best_constant(self, y, weight, offset):
        # Twice the loss is |r - epsilon| + |r + epsilon|, less a constant.
        (epsilon,) = self._numbers()
        xp = array_namespace(y)
        y = y.astype(np.float64, copy=False) if offset is None else y - offset
        y = xp.concatenate([y - epsilon, y + epsilon])
        weight = None if weight is None else xp.concatenate([weight, weight])
        return constants.quantiles(y, weight, [0.5])[0]

    def _terms(self, y):
        (epsilon,) = self._numbers()
        return [(y - epsilon, -1.0, 0.0), (y + epsilon, 0.0, 1.0)]


class SquaredEpsilonInsensitive(PointwiseLoss):
    """Squared error beyond epsilon.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``max(0, |r| - epsilon)**2``. `hessian` is 0 within and 2 beyond.

    Parameters
    ----------
    epsilon : float or "auto", default=0.1
        In the units of y; in [0, inf). "auto": as `EpsilonInsensitive`.

    Examples
    --------
    >>> from sklearn_losses import SquaredEpsilonInsensitive
    >>> SquaredEpsilonInsensitive(epsilon=0.5)([0.0, 0.0], [0.25, 2.0])
    1.125
    """

    name = "squared_epsilon_insensitive"
    _scale = Scale("epsilon", cherkassky_ma, SPREAD)
    approx_hessian = True
    _parameter_intervals = {"epsilon": NON_NEGATIVE}

    def __init__(self, epsilon=0.1):
        self.epsilon = epsilon


class AbsolutePercentageError(PointwiseLoss):
    """Absolute percentage error, as a fraction of the target.

    - Domain: y_true any real number.
    - Link: identity; the best constant is the median weighted by 1 / max(abs(y_true), epsilon).
    - Formula: ``|r| / max(|y_true|, epsilon)``. The second derivative is 0; `hessian` is
      ``1 / max(|y_true|, epsilon)``, what `AbsoluteError` has with those weights.

    Parameters
    ----------
    epsilon : float or "auto", default=1e-8
        The least divisor, in the units of y; in (0, inf). "auto": 1.5e-8 times the median of
        ``|y_true|`` (of those that are not 0, where most are).

    Examples
    --------
    >>> from sklearn_losses import AbsolutePercentageError
    >>> AbsolutePercentageError()([2.0, 4.0], [3.0, 5.0])
    0.375
    """

    name = "mape"
    _scale = Scale("epsilon", 1.5e-8, TARGETS, degree=0)
    differentiable = False
    approx_hessian = True
    _parameter_intervals = {"epsilon": POSITIVE}

    def __init__(self, epsilon=1e-8):
        self.epsilon = epsilon

    def _best_constant(self, y, weight, offset):
        maximum = array_namespace(y).maximum
        # Scaled by the least divisor, so that no weight overflows.
        divisor = maximum(abs(y.astype(np.float64)), self._numbers()[0])
        relative = divisor.min() / divisor
        weight = relative if weight is None else relative * weight
        return constants.quantiles(y if offset is None else y - offset, weight, [0.5])[0]

    def _smoothed(self, width):
        return _smoothed_absolute(self, width)

    def _terms(self, y):
        slope = 1.0 / np.maximum(np.abs(y), self._numbers()[0])
        return [(y, -slope, slope)]


class RootMeanSquaredError(PointwiseLoss):
    """Root of the mean squared error: of a whole sample, and not a mean over samples.

    It measures; it cannot be minimised by stochastic gradients. `HalfSquaredError` has the same
    minimiser.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``sqrt(mean(r**2))``, the mean weighted.

    Examples
    --------
    >>> from sklearn_losses import RootMeanSquaredError
    >>> RootMeanSquaredError()([1.0, 2.0], [4.0, 6.0]) == 12.5**0.5
    True
    """

    name = "root_mean_squared_error"
    interval_y_true = Interval()

    def _resolve(self, single=False):
        raise ValueError(
            "RootMeanSquaredError is not a mean over samples and has no value or gradient for "
            "each; loss='squared_error' has the same minimiser"
        )

    def __call__(self, y_true, raw_prediction, sample_weight=None, n_threads=None):
        """Root of the weighted mean squared error.

        Parameters
        ----------
        y_true, raw_prediction : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        n_threads : int or None, default=None

        Returns
        -------
        loss : float
        """
        return SquaredError()(y_true, raw_prediction, sample_weight, n_threads) ** 0.5

    def fit_intercept_only(self, y_true, sample_weight=None, offset=None):
        """The mean of the targets, less the offset.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        sample_weight, offset : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        raw_prediction : float
        """
        return SquaredError().fit_intercept_only(y_true, sample_weight, offset)
