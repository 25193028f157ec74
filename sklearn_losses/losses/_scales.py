"""What "auto" stands for in a parameter that is in the units of y: which one it is, and how large
it is beside the scale of the residuals.

The constants of the robust losses are those with which a fit has 95 % of the efficiency of least
squares where errors are normal, which for most are published. Scales are estimated in one of three
ways:

- JOINT: with the fit, so that both are at the minimum of ``mean(scale * loss(residual / scale)) +
  curvature / 2 * scale``, the curvature being the loss's at 0 (Huber's proposal 2 [1]_;
  scikit-learn's `HuberRegressor` is this with Huber's loss). It is convex where the loss is, and
  bears outliers where ``r * loss'(r) - loss(r)`` is bounded: a share of 0.55 with Huber's constant,
  0.27 with pseudo-Huber's.
- SPREAD: the median of the absolute residuals of Huber's joint fit, over 0.6745, which then stays
  as it is (the logic of MM-estimation [2]_). For a loss that redescends the joint minimum is where
  the scale is 0 or the fit has lost most samples; for one that grows faster than in proportion (as
  Fair's, by a logarithm) a single outlier could make the joint scale as large as it likes; and a
  tube's width enters no such equation.
- TARGETS: the median of the absolute targets.

References
----------
.. [1] Huber, P. J. and Ronchetti, E. M. (2009). Robust Statistics, 2nd edition. Wiley, section 7.7.
.. [2] Yohai, V. J. (1987). High breakdown-point and high efficiency robust estimates for
   regression. Annals of Statistics 15, 642-656.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from sklearn_losses._array import on_device, to_host
from sklearn_losses._parameters import check_number
from sklearn_losses.losses.constants import quantiles

AUTO = "auto"
JOINT, SPREAD, TARGETS = "joint", "spread", "targets"

# The median of the absolute value of a standard normal variable.
NORMAL_MEDIAN = norm.ppf(0.75)
# Residuals count as being at most this many scales away: further out the difference that the scale
# equation takes cancels, and what it tends to has long been reached.
FURTHEST = 1e6
# Of the joint minimum, beside the loss's curvature at 0.
LEVEL = 0.5
# Normal variables for means by the trapezoidal rule, and their weights.
_NORMAL = np.linspace(0.0, 12.0, 24001)
_MASS = 2 * norm.pdf(_NORMAL) * (_NORMAL[1] - _NORMAL[0])
_MASS[0] /= 2


@dataclass(frozen=True)
class Scale:
    """The declaration of a class's parameter in the units of y.

    Parameters
    ----------
    parameter : str
    constant : float or callable
        The parameter beside the scale, or ``constant(loss, n, d)``: n samples, d features.
    kind : {JOINT, SPREAD, TARGETS}
        How the scale is estimated.
    degree : int
        With y and the parameter k times as large, the loss is k**degree times as large.
    """

    parameter: str
    constant: float | Callable
    kind: str
    degree: int = 2

    def number(self, loss, scale, n, d):
        constant = self.constant(loss, n, d) if callable(self.constant) else self.constant
        return float(constant * scale)


def is_auto(value):
    return isinstance(value, str) and value == AUTO


def cherkassky_ma(loss, n, d):
    """The width of a tube beside the noise's standard deviation."""
    n = max(n, np.e)  # where log(n) / n is largest
    return 3 * np.sqrt(np.log(n) / n)


def conquer_bandwidth(loss, n, d):
    """The bandwidth of a smoothed quantile regression beside the scale of its residuals."""
    n = max(n, np.e)
    return min(max(((d + np.log(n)) / n) ** 0.4, 0.05), 1.0)


def efficient_constant(loss, n=None, d=None):
    """`c` of `GeneralRobust` beside the scale: at least 1, and with 95 % of least squares'
    efficiency."""
    return _efficient_constant(type(loss), float(loss.alpha))


@lru_cache(maxsize=256)
def _efficient_constant(cls, alpha):
    zeros = np.zeros_like(_NORMAL)

    def lacking(c):
        gradient, hessian = cls(alpha=alpha, c=c).gradient_hessian(zeros, _NORMAL)
        return (hessian @ _MASS) ** 2 / (gradient**2 @ _MASS) - 0.95

    return 1.0 if lacking(1.0) >= 0 else brentq(lacking, 1.0, 4.0, xtol=1e-12)


def weighted_median(x, weight=None):
    """The median; of an even number of equal weights the middle between two, so that weights are
    copies.

    Parameters
    ----------
    x : ndarray of shape (n,)
    weight : ndarray of shape (n,) or None, default=None

    Returns
    -------
    median : float
    """
    if on_device(x):
        return quantiles(x, weight, [0.5])[0]
    if weight is None:
        return float(np.median(x))
    kept = weight > 0
    order = np.argsort(x[kept], kind="stable")
    x, weight = x[kept][order], weight[kept][order]
    below = np.cumsum(weight / weight.max())
    half = below[-1] / 2
    rounding = 1e-12 * half
    low = np.searchsorted(below, half - rounding)
    high = np.searchsorted(below, half + rounding, side="right")
    return float(x[low] + x[min(high, len(x) - 1)]) / 2


def spread(residuals, weight=None):
    """The standard deviation that normal residuals of this median size have.

    Where more than half of them are 0, that of the others (Maronna, Martin, Yohai and
    Salibian-Barrera, 2019, Robust Statistics, section 4.4.2); 0 where all are.

    Parameters
    ----------
    residuals : ndarray of shape (n,)
    weight : ndarray of shape (n,) or None, default=None

    Returns
    -------
    scale : float
    """
    size = np.abs(residuals)
    middle = weighted_median(size, weight)
    if middle == 0:
        left = size > 0 if weight is None else (size > 0) & (weight > 0)
        if not left.any():
            return 0.0
        middle = weighted_median(size[left], None if weight is None else weight[left])
    return middle / NORMAL_MEDIAN


def _excess(unit, z):
    """``z * loss'(z) - loss(z)``: minus the derivative of ``scale * loss(z / scale)`` at 1."""
    z = np.minimum(z, FURTHEST)
    value, gradient = unit.loss_gradient(np.zeros_like(z), z)
    return z * gradient - value


def joint_scale(unit, residuals, weight=None):
    """The scale at which the joint objective has its minimum, or 0 where too many residuals are 0.

    Parameters
    ----------
    unit : Loss
        At scale 1.
    residuals : ndarray of shape (n,)
    weight : ndarray of shape (n,) or None, default=None

    Returns
    -------
    scale : float
    """
    level = LEVEL * float(unit.gradient_hessian(np.zeros(1), np.zeros(1))[1][0])
    size = np.abs(residuals)
    if weight is not None:
        size, weight = size[weight > 0], weight[weight > 0] / weight.max()
    start = np.log(spread(size, weight) or 1.0)

    def lacking(log_scale):
        with np.errstate(over="ignore"):
            z = size / np.exp(log_scale)
        return float(np.average(_excess(unit, z), weights=weight)) - level

    low = high = start
    while lacking(high) > 0:
        high += 2.0
    while lacking(low) < 0:
        low -= 2.0
        if low < start - 60:
            return 0.0
    if low == high:
        return float(np.exp(low))
    return float(np.exp(brentq(lacking, low, high, xtol=1e-14, rtol=1e-14)))


class TakesAuto:
    """Mixin of the pointwise losses: "auto" in the parameter that `_scale` declares."""

    _scale = None

    def _auto(self):
        """Whether a member's scale is to be estimated."""
        if self._scale is None:
            return False
        value = getattr(self, self._scale.parameter)
        return is_auto(value) or (isinstance(value, list | tuple) and any(map(is_auto, value)))

    def _numbers(self):
        name = None if self._scale is None else self._scale.parameter
        owner = type(self).__name__
        if name is not None and is_auto(getattr(self, name)):
            raise ValueError(
                f"{owner}: {name}='auto' is estimated from residuals, which only a fit has; here a "
                f"number is needed. Take the fitted estimator's loss_, or "
                f"loss.with_scale_of(y_true, raw_prediction)"
            )
        return [
            check_number(
                owner, each, getattr(self, each), interval, " or 'auto'" if each == name else ""
            )
            for each, interval in self._parameter_intervals.items()
        ]

    def _with_number(self, value):
        params = self.get_params(deep=False)
        return type(self)(**{**params, self._scale.parameter: value})

    def _with_scale(self, scale, n=np.e, d=0):
        """The loss with numbers where "auto" stood.

        Parameters
        ----------
        scale : float, or sequence of float, one an output
        n : float, default=e
            Samples, or the sum of their weights.
        d : int, default=0
            Features.

        Returns
        -------
        loss : Loss
        """
        if not self._auto():
            return self
        declared, members = self._scale, self._members()
        scales = np.ravel(scale).tolist()
        count = max(len(members), len(scales))
        members = members * count if len(members) == 1 else members
        scales = scales * count if len(scales) == 1 else scales
        numbers = [
            declared.number(member, each, n, d)
            if member._auto()
            else getattr(member, declared.parameter)
            for member, each in zip(members, scales, strict=True)
        ]
        alone = is_auto(getattr(self, declared.parameter)) and len(set(numbers)) == 1
        return self._with_number(numbers[0] if alone else numbers)

    def _scale_of(self, residuals, weight=None):
        """The scale of residuals (for TARGETS: of targets), by the equation of this loss's
        `_scale`; 0 where too many are 0.

        Parameters
        ----------
        residuals : ndarray of shape (n,)
        weight : ndarray of shape (n,) or None, default=None

        Returns
        -------
        scale : float
        """
        residuals = np.asarray(residuals, dtype=np.float64)
        declared = self._scale
        if declared.kind != JOINT:
            factor = NORMAL_MEDIAN if declared.kind == TARGETS else 1.0
            return factor * spread(residuals, weight)
        unit = self._with_number(declared.number(self, 1.0, np.e, 0))
        return joint_scale(unit, residuals, weight)

    def with_scale_of(self, y_true, raw_prediction=None, sample_weight=None, *, n_features=0):
        """The loss with a number where a parameter is "auto", from the residuals of given
        predictions.

        A fit does the same again and again, until predictions and scale belong together.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        raw_prediction : array-like of shape (n_samples,) or None, default=None
            None: of the best constant, which is found with the scale.
        sample_weight : array-like of shape (n_samples,) or None, default=None
        n_features : int, default=0
            Of the model that made the predictions; the width of `SmoothPinball` depends on it.

        Returns
        -------
        loss : Loss
            With numbers; itself where no parameter is "auto".

        Raises
        ------
        ValueError
            Where all residuals are 0, or so many that they have no scale.

        Examples
        --------
        >>> from sklearn_losses import Welsch
        >>> Welsch("auto").with_scale_of([1.0, 2.0, 3.0, 4.0, 100.0]).c < 10
        True
        """
        if not self._auto():
            return self
        y = np.asarray(to_host(y_true), dtype=np.float64).ravel()
        raw = None if raw_prediction is None else np.asarray(to_host(raw_prediction)).ravel()
        y, raw, weight = self._checked(y, np.zeros_like(y) if raw is None else raw, sample_weight)
        scales = []
        for member in self._members():
            if not member._auto():
                scale = 1.0
            elif member._scale.kind == TARGETS:
                scale = member._scale_of(y, weight)
            elif raw_prediction is None:
                scale = scale_about_constant(member, y, weight)[0]
            else:
                scale = member._scale_of(y - raw, weight)
            scales.append(scale)
        if not min(scales) > 0:
            raise ValueError(
                f"{type(self).__name__}: {self._scale.parameter}='auto' needs residuals that are "
                "not 0; most of these are"
            )
        n = len(y) if weight is None else float(np.sum(weight, dtype=np.float64))
        return self._with_scale(scales, n, n_features)


def scale_about_constant(loss, y, weight=None):
    """Scale and best constant together, of a loss that is "auto".

    Parameters
    ----------
    loss : Loss
        JOINT; for SPREAD the constant is Huber's.
    y : ndarray of shape (n,)
    weight : ndarray of shape (n,) or None, default=None

    Returns
    -------
    scale : float
    constant : float
    """
    from sklearn_losses.losses.regression import HuberLoss

    joint = loss if loss._scale.kind == JOINT else HuberLoss(AUTO)
    constant = weighted_median(y, weight)
    unit = spread(y - constant, weight)
    if unit == 0:
        return 0.0, constant
    z = (y - constant) / unit
    shift, scale = 0.0, joint._scale_of(z, weight)
    for _ in range(100):
        if not scale > 0:
            break
        shift = float(joint._with_scale(scale).fit_intercept_only(z, weight))
        before, scale = scale, joint._scale_of(z - shift, weight)
        if abs(scale - before) <= 1e-10 * before:
            break
    if joint is not loss:
        scale = loss._scale_of(z - shift, weight)
    return scale * unit, constant + shift * unit
