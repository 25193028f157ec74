"""What stands in for second derivatives in gradient boosting, where a leaf moves by minus the sum
of its gradients over the sum of its hessians."""

import numpy as np

from sklearn_losses.links import IdentityLink

# The least hessian where the true one is positive: XGBoost's own, for what underflows to 0.
TINY = 1e-16
# Factors beyond this, which only gradients that have all but vanished ask for, overflow float32.
LARGEST_FACTOR = 1e30


def lower_median(values, weight=None):
    """The lowest value up to which at least half of the weight lies; a row of weight 2 counts as
    two rows.

    Parameters
    ----------
    values : ndarray of shape (n,), n > 0
    weight : ndarray of shape (n,) or None, default=None
        Not negative, not all zero.

    Returns
    -------
    median : float
    """
    if weight is None:
        middle = (len(values) - 1) // 2
        return float(np.partition(values, middle)[middle])
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weight[order], dtype=np.float64)
    return float(values[order[np.searchsorted(cumulated, cumulated[-1] / 2)]])


def _targets(loss):
    interval = loss.interval_y_true
    low = interval.low if np.isfinite(interval.low) else min(interval.high, 0) - 1
    high = interval.high if np.isfinite(interval.high) else max(interval.low, 0) + 1
    y = np.linspace(low, high, 5)
    return y[interval.contains(y)]


def _probe(loss):
    """Hessians over targets of the domain and raw predictions far on both sides of them."""
    if loss.is_multiclass:
        bound = loss._for_classes(loss.n_classes or 3)
        raw = np.zeros((2 * 401, bound.n_classes))
        raw[:, 0] = np.tile(np.linspace(-20, 20, 401), 2)
        return bound.gradient_hessian(np.repeat([0.0, 1.0], 401), raw)[1]
    y = _targets(loss)
    if in_units_of_y(loss):
        size = np.logspace(-6, 3, 91)
        y, raw = y.repeat(183), np.add.outer(y, np.r_[-size, 0, size]).ravel()
    else:
        y, raw = y.repeat(401), np.tile(np.linspace(-20, 20, 401), len(y))
    return loss.gradient_hessian(y, raw)[1]


def in_units_of_y(loss):
    """Whether raw predictions, and so residuals, are in the units of y."""
    if loss.heads:
        return loss.log_scale_head is not None
    return loss.task == "regression" and isinstance(loss.link, IdentityLink)


class GivenCurvature:
    """The loss's own second derivatives, none smaller than `least` times its weight.

    Parameters
    ----------
    least : float
    """

    def __init__(self, least):
        self.least = least

    def __call__(self, y_true, raw, weight, gradient, hessian):
        """Change the gradients and hessians of the samples, which have their weights in them.

        Parameters
        ----------
        y_true, weight : ndarray of shape (n_samples,), or None for equal weights
        raw, gradient, hessian : ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        least = self.least
        if weight is not None:
            least = least * np.asarray(weight, dtype=hessian.dtype)
            least = least.reshape(-1, *[1] * (hessian.ndim - 1))
        np.maximum(hessian, least, out=hessian)


class BoundedCurvature:
    """For losses whose gradient grows more slowly than the residual, or falls: robust ones.

    With the loss divided by the gradient's largest slope, so that its unit drops out, each hessian
    is 1, an upper bound, with which no step overshoots. Where most residuals are far out in the
    tails, such steps are too short by orders of magnitude: the loss is then multiplied by a factor.
    A hessian is 1 there too, unless the step of the sample alone would pass its target and be
    longer than the median residual.

    Parameters
    ----------
    slope : float
        The gradient's largest slope.
    """

    least = 1.0

    def __init__(self, slope):
        self.slope = slope

    def __call__(self, y_true, raw, weight, gradient, hessian):
        """As `GivenCurvature`."""
        gradient /= self.slope
        hessian[...] = 1.0 if weight is None else weight
        counted = hessian > 0
        if not counted.any():
            return
        mass = None if weight is None else hessian[counted].astype(np.float64)
        size = abs(gradient[counted] / hessian[counted].astype(np.float64))
        residual = abs(np.subtract(raw, y_true, dtype=np.float64))[counted]
        # The slope of the secant, gradient over residual: that of a parabola above the loss which
        # touches it (Huber and Ronchetti 2009, section 7.8).
        secant = np.divide(size, residual, out=np.ones(len(size)), where=residual > size)
        # Most are 0 beyond Tukey's c; a few may not be.
        typical = lower_median(secant, mass) or np.average(secant, weights=mass) or 1.0
        if typical >= 0.5:
            # Up to twice too short is left as it is: the derivatives are then the textbook's.
            return
        factor = min(0.5 / typical, LARGEST_FACTOR)
        gradient *= factor
        spread = lower_median(residual, mass)
        if spread > 0:
            secant = factor * np.minimum(secant, size / spread)
            hessian[counted] *= np.maximum(secant, 1)


class NoCurvature:
    """For losses whose `hessian` is a stand-in that knows no unit: absolute error, quantiles.

    The gradients are multiplied by the spread of the residuals (the median of their sizes) over
    that of the gradients (the root of their mean square), so that a leaf moves by a part of the
    spread, whatever the unit of y.
    """

    least = TINY

    def __call__(self, y_true, raw, weight, gradient, hessian):
        """As `GivenCurvature`."""
        counted = hessian > 0
        if not counted.any():
            np.maximum(hessian, TINY, out=hessian)
            return
        own = hessian if weight is None else hessian / np.where(counted, weight, 1)
        if own.min(where=counted, initial=np.inf) != own.max(where=counted, initial=0):
            # The middle one becomes 1, which is what the libraries' penalties expect.
            middle = lower_median(own[counted], None if weight is None else weight[counted])
            gradient /= middle
            hessian /= middle
        residual = abs(np.subtract(raw, y_true, dtype=np.float64))
        off = counted & (residual > 0)
        mass = hessian.sum(dtype=np.float64)
        square = np.divide(gradient, hessian, out=np.zeros(len(gradient)), where=counted)
        square *= square
        rms = np.sqrt((square * hessian).sum() / mass)
        if off.any() and rms > 0:
            equal = weight is None and own.min() == own.max()
            spread = lower_median(residual[off], None if equal else hessian[off])
            gradient *= min(spread / rms, LARGEST_FACTOR)
        np.maximum(hessian, TINY, out=hessian)


class HeadsCurvature:
    """For losses of a distribution: the larger of the loss's own second derivative and the one that
    the distribution expects, its Fisher information.

    Far from what the distribution expects either alone lets steps explode: the own one is small, or
    negative, at targets that are too likely (of the scale of a normal distribution) or too far off
    (of Student's t), and the Fisher information knows no target. Where that has no formula, no
    sample asks for a step longer than one scale, or 1 of a logarithm.

    Where the location is in the units of y, the derivatives of each head are divided by the mean of
    its hessians, so that the libraries' limits of hessians and strengths of L2 mean what they mean
    for squared error.

    Parameters
    ----------
    loss : DistributionLoss
    """

    least = TINY

    def __init__(self, loss):
        self.loss = loss
        self.in_units = in_units_of_y(loss)

    def _least(self, raw, weight, gradient):
        with np.errstate(over="ignore"):
            expected = self.loss._expected_hessian(raw.astype(np.float64))
            if weight is not None:
                expected *= np.asarray(weight, dtype=np.float64)[:, np.newaxis]
            short = abs(gradient)
            if self.loss.heads[0] == "location":
                short[:, 0] *= np.exp(-raw[:, 1])
        return np.where(np.isnan(expected), short, expected)

    def __call__(self, y_true, raw, weight, gradient, hessian):
        """As `GivenCurvature`."""
        np.maximum(hessian, self._least(raw, weight, gradient), out=hessian, casting="same_kind")
        if self.in_units:
            mass = len(hessian) if weight is None else np.sum(weight, dtype=np.float64)
            mean = hessian.sum(axis=0, dtype=np.float64) / mass
            mean[~((mean > 0) & (mean < np.inf))] = 1.0
            gradient /= mean
            hessian /= mean
        GivenCurvature(self.least)(y_true, raw, weight, gradient, hessian)


def curvature(loss):
    """What "auto" stands for; see `as_objective`.

    Parameters
    ----------
    loss : Loss

    Returns
    -------
    curvature : GivenCurvature, BoundedCurvature, NoCurvature or HeadsCurvature
    """
    if loss.heads:
        return HeadsCurvature(loss)
    if in_units_of_y(loss):
        # In whatever unit the loss's parameters are.
        size = np.logspace(-14, 14, 281)
        bounded, flat, slope = False, True, 0.0
        for y in _targets(loss):
            for side in (-1, 1):
                raw = y + side * size
                gradient, hessian = loss.gradient_hessian(np.full(len(size), y), raw)
                secant = abs(gradient / (raw - y))
                bounded |= bool(secant[-1] < 0.5 * secant.max())
                flat &= bool(hessian.min() == hessian.max() > 0)
                slope = max(slope, float(hessian.max()))
        if bounded and flat:
            return NoCurvature()
        if bounded and 0 < slope < np.inf:
            return BoundedCurvature(slope)
    hessian = _probe(loss)
    if (hessian > TINY).all():
        return GivenCurvature(TINY)
    largest = float(hessian.max())
    return GivenCurvature(min(1.0, largest) if largest > 0 else 1.0)
