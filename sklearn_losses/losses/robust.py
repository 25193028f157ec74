"""Robust regression losses, whose influence falls off for large residuals. ``r = raw_prediction -
y_true``."""

import math

import numpy as np

from sklearn_losses._interval import POSITIVE, Interval
from sklearn_losses.losses import constants
from sklearn_losses.losses._scales import SPREAD, Scale, efficient_constant
from sklearn_losses.losses.pointwise import PointwiseLoss
from sklearn_losses.losses.regression import AbsoluteError


class _Robust(PointwiseLoss):
    """A loss with a scale `c`, in the units of y. Its `_scale` has the constant with which it has
    95 % of least squares' efficiency where the errors are normal."""

    _parameter_intervals = {"c": POSITIVE}

    def __init__(self, c=1.0):
        self.c = c


class _Redescending(_Robust):
    """A robust loss whose influence falls again for large residuals, so that outliers make minima
    of their own."""

    convex = False

    def _constant_grid(self, y, weight, offset):
        y = y if offset is None else y - offset
        return constants.dense_grid(y, weight, self._numbers()[-1])

    def _start_constant(self, y_true, sample_weight=None, offset=None):
        return AbsoluteError().fit_intercept_only(y_true, sample_weight, offset)


class Fair(_Robust):
    """Fair's loss: convex, with a bounded influence.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``c**2 * (|r| / c - log(1 + |r| / c))``.

    Parameters
    ----------
    c : float or "auto", default=1.0
        Scale, in the units of y; in (0, inf). "auto": 1.3998 times the scale of the residuals
        (Holland and Welsch, 1977), the normalised median of those of a Huber fit.

    References
    ----------
    Fair, R. C. (1974). On the robust estimation of econometric models. Annals of Economic and
    Social Measurement 3, 667-677.

    Holland, P. W. and Welsch, R. E. (1977). Robust regression using iteratively reweighted
    least-squares. Communications in Statistics 6, 813-827.

    Examples
    --------
    >>> from sklearn_losses import Fair
    >>> round(Fair()([0.0], [1.0]), 6)
    0.306853
    """

    name = "fair"
    _scale = Scale("c", 1.3998, SPREAD)


class Cauchy(_Redescending):
    """Cauchy's (Lorentz's) loss: outliers count logarithmically. Not convex.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``c**2 / 2 * log(1 + (r / c)**2)``.

    Parameters
    ----------
    c : float or "auto", default=1.0
        Scale, in the units of y; in (0, inf). "auto": 2.3849 times the scale of the residuals
        (Holland and Welsch, 1977), the normalised median of those of a Huber fit, which is also
        where the fit starts.

    References
    ----------
    Black, M. J. and Anandan, P. (1996). The robust estimation of multiple motions. Computer Vision
    and Image Understanding 63, 75-104.

    Holland, P. W. and Welsch, R. E. (1977). Robust regression using iteratively reweighted
    least-squares. Communications in Statistics 6, 813-827.

    Examples
    --------
    >>> from sklearn_losses import Cauchy
    >>> round(Cauchy()([0.0], [1.0]), 6)
    0.346574
    """

    name = "cauchy"
    _scale = Scale("c", 2.3849, SPREAD)


class GemanMcClure(_Redescending):
    """Geman and McClure's loss: outliers count as a constant. Not convex.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``r**2 / 2 / (1 + (r / c)**2)``.

    Parameters
    ----------
    c : float or "auto", default=1.0
        Scale, in the units of y; in (0, inf). "auto": 3.7874 times the scale of the residuals, the
        normalised median of those of a Huber fit, which is also where the fit starts. (None was
        published: with this one it has 95 % of least squares' efficiency at normal errors, as the
        others have with theirs.)

    References
    ----------
    Geman, S. and McClure, D. E. (1985). Bayesian image analysis: an application to single photon
    emission tomography. Proceedings of the Statistical Computing Section, American Statistical
    Association, 12-18.

    Examples
    --------
    >>> from sklearn_losses import GemanMcClure
    >>> GemanMcClure()([0.0], [1.0])
    0.25
    """

    name = "geman_mcclure"
    _scale = Scale("c", 3.7874, SPREAD)


class Welsch(_Redescending):
    """Welsch's loss: outliers count as a constant, approached exponentially. Not convex.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``c**2 / 2 * (1 - exp(-(r / c)**2))``.

    Parameters
    ----------
    c : float or "auto", default=1.0
        Scale, in the units of y; in (0, inf). "auto": 2.9846 times the scale of the residuals
        (Holland and Welsch, 1977), the normalised median of those of a Huber fit, which is also
        where the fit starts.

    References
    ----------
    Dennis, J. E. and Welsch, R. E. (1978). Techniques for nonlinear least squares and robust
    regression. Communications in Statistics 7, 345-359.

    Holland, P. W. and Welsch, R. E. (1977). Robust regression using iteratively reweighted
    least-squares. Communications in Statistics 6, 813-827.

    Examples
    --------
    >>> from sklearn_losses import Welsch
    >>> round(Welsch()([0.0], [1.0]), 6)
    0.31606
    """

    name = "welsch"
    _scale = Scale("c", 2.9846, SPREAD)


class TukeyBiweight(_Redescending):
    """Tukey's biweight: outliers beyond c count as a constant. Not convex.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``c**2 / 6 * (1 - (1 - (r / c)**2)**3)`` where ``|r| <= c``, else ``c**2 / 6``.

    Parameters
    ----------
    c : float or "auto", default=4.685
        Where residuals stop counting, in the units of y; in (0, inf). The default has 95 % of least
        squares' efficiency where the errors are standard normal. "auto": 4.685 times the scale of
        the residuals (Holland and Welsch, 1977), the normalised median of those of a Huber fit,
        which is also where the fit starts.

    References
    ----------
    Beaton, A. E. and Tukey, J. W. (1974). The fitting of power series, meaning polynomials,
    illustrated on band-spectroscopic data. Technometrics 16, 147-185.

    Holland, P. W. and Welsch, R. E. (1977). Robust regression using iteratively reweighted
    least-squares. Communications in Statistics 6, 813-827.

    Examples
    --------
    >>> from sklearn_losses import TukeyBiweight
    >>> TukeyBiweight(c=1.0)([0.0], [2.0]) == 1 / 6
    True
    """

    name = "tukey"
    _scale = Scale("c", 4.685, SPREAD)

    def __init__(self, c=4.685):
        super().__init__(c=c)


class GeneralRobust(_Redescending):
    """Barron's general and adaptive robust loss, one shape parameter from squared error to
    Welsch's.

    - Domain: y_true any real number.
    - Link: identity.
    - Formula: ``|alpha - 2| / alpha * (((r / c)**2 / |alpha - 2| + 1)**(alpha / 2) - 1)``, and its
      limits: ``(r / c)**2 / 2`` at 2, ``log((r / c)**2 / 2 + 1)`` at 0, ``1 - exp(-(r / c)**2 /
      2)`` at -inf.

    Parameters
    ----------
    alpha : float, default=1.0
        Shape, in [-inf, inf): 2 is squared error, 1 pseudo-Huber, 0 Cauchy, -2 Geman-McClure, -inf
        Welsch, each divided by ``c**2``.
    c : float or "auto", default=1.0
        Scale, in the units of y; in (0, inf). "auto": a multiple of the scale of the residuals, at
        least 1, with which it has 95 % of least squares' efficiency at normal errors (1 from an
        alpha of 1.27 on, 1.287 at 1, 1.686 at 0, 1.894 at -2, 2.110 at -inf). The scale is the
        normalised median of the residuals of a Huber fit, which is also where the fit starts.

    References
    ----------
    Barron, J. T. (2019). A general and adaptive robust loss function. CVPR, equation 8.

    Examples
    --------
    >>> from sklearn_losses import GeneralRobust
    >>> GeneralRobust(alpha=2.0)([0.0], [3.0])
    4.5
    """

    name = "general_robust"
    _scale = Scale("c", efficient_constant, SPREAD, degree=0)
    _parameter_intervals = {"alpha": Interval(-np.inf, np.inf, low_inclusive=True), "c": POSITIVE}
    _limits = {
        2.0: "GeneralRobustTwo",
        0.0: "GeneralRobustZero",
        -np.inf: "GeneralRobustMinusInfinity",
    }

    def __init__(self, alpha=1.0, c=1.0):
        self.alpha = alpha
        self.c = c

    @property
    def convex(self):
        return self._numbers()[0] >= 1

    def _start_constant(self, y_true, sample_weight=None, offset=None):
        if self.convex:
            return self.fit_intercept_only(y_true, sample_weight, offset)
        return super()._start_constant(y_true, sample_weight, offset)

    def _kernel_params(self):
        alpha, c = self._numbers()
        # Where the general formula would divide by alpha, or add 1 to what its size hides, the
        # limits are right to the last digit.
        if abs(alpha) < 1e-30:
            alpha = 0.0
        elif alpha < -1e25:
            alpha = -np.inf
        fraction, exponent = math.frexp(c)
        return self._limits.get(alpha, self._kernel), [alpha, c, 2 * fraction, exponent - 1]
