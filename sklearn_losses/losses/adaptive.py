"""Barron's loss as a density, whose shape and scale are fitted beside the location."""

from functools import lru_cache

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from sklearn_losses._array import array_namespace
from sklearn_losses._interval import Interval
from sklearn_losses._parameters import check_number
from sklearn_losses.losses._scales import spread, weighted_median
from sklearn_losses.losses.distribution import CONSTANT, LINEAR, _LocationScale, _moments

ALPHAS = Interval(0, 2, low_inclusive=True, high_inclusive=True)
# Raw shapes beyond which alpha is 0 or 2 to all digits.
FURTHEST_SHAPE = 300.0
# Raw shapes that a fit starts between: alphas from 0.24 to 1.76.
STEEP = 2.0


class GeneralRobustNLL(_LocationScale):
    """Minus the log-likelihood of the distribution whose shape is Barron's general and adaptive
    robust loss: how robust the fit is follows from the data, as the shape is fitted too.

    - Domain: y_true any real number.
    - Raw predictions: a row of the location, the logarithm of the scale, and the logit of ``alpha /
      2`` (not where `alpha` is a number); `predict` gives the location, which is the median, and
      the mean where alpha is above 0.
    - Formula: ``rho(z) + log_scale + log(Z(alpha))`` with ``z = (y_true - location) *
      exp(-log_scale)``, ``rho(z) = (2 - alpha) / alpha * ((z**2 / (2 - alpha) + 1)**(alpha / 2) -
      1)``, which is `GeneralRobust`, and Z the integral of ``exp(-rho(z))`` over all z. At an alpha
      of 2 it is a normal distribution, at 0 a Cauchy one; tails between are those of
      ``exp(-abs(z)**alpha)``.

    Of normal targets alpha rises to 2, which is infinitely far away in raw predictions: a fit ends
    where the likelihood gains no more. Where a model meets more than half of the targets, heavy
    tails have no largest likelihood, as the scale falls to 0: the fit ends with a warning.

    Parameters
    ----------
    alpha : {"constant", "linear"} or float, default="constant"
        Whether the shape is one number, fitted too, or its logit is a linear model of X; or the
        shape, in [0, 2].
    scale : {"linear", "constant"}, default="linear"
        As that of `GaussianNLL`.

    References
    ----------
    Barron, J. T. (2019). A general and adaptive robust loss function. CVPR, equations 16 and 17.

    Examples
    --------
    >>> from sklearn_losses import GeneralRobustNLL
    >>> round(GeneralRobustNLL()([1.0, 300.0], [[2.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), 6)
    149.893441
    >>> round(GeneralRobustNLL(alpha=0.0)([1.0, 300.0], [[2.0, 0.0], [2.0, 0.0]]), 6)
    7.044567
    """

    name = "general_robust_nll"

    def __init__(self, alpha=CONSTANT, scale=LINEAR):
        self.alpha = alpha
        self.scale = scale

    @property
    def _fits_alpha(self):
        return isinstance(self.alpha, str) and self.alpha in (LINEAR, CONSTANT)

    @property
    def heads(self):
        """What the columns of a row of raw predictions are."""
        return (*_LocationScale.heads, *(["logit_alpha"] if self._fits_alpha else []))

    @property
    def _parameter_intervals(self):
        return {} if self._fits_alpha else {"alpha": ALPHAS}

    @property
    def _kernel(self):
        return "GeneralRobustNLL" if self._fits_alpha else "GeneralRobustNLLGiven"

    def _head_choices(self):
        return super()._head_choices() | ({"alpha": 2} if self._fits_alpha else {})

    def _constant_heads(self):
        constant = super()._constant_heads()
        return constant | ({"alpha": "'linear' or a number"} if "alpha" in constant else {})

    def _numbers(self):
        self._check_heads()
        if not self._fits_alpha:
            also = ", 'linear' or 'constant'"
            return [check_number(type(self).__name__, "alpha", self.alpha, ALPHAS, also)]
        return []

    def _row_params(self, n_classes):
        return [_raw_shape(alpha) for alpha in self._numbers()]

    def _start(self, y, weight):
        unit = _moments(y, weight)[1]
        middle = weighted_median(y, weight)
        unit = spread(y - middle, weight) or unit
        n_shapes = self.n_heads - 2
        start = np.array([middle, np.log(unit), *[0.0] * n_shapes])
        return start, np.array([unit, 1.0, *[1.0] * n_shapes])

    def _start_constant(self, y_true, sample_weight=None, offset=None):
        # Near its ends the shape has next to no slope: targets that look normal would keep a fit
        # there, whatever their residuals look like.
        row = self.fit_intercept_only(y_true, sample_weight, offset)
        xp = array_namespace(row)
        beside = 0.0 if offset is None else xp.asarray(offset).mean(axis=0)[2:]
        row[2:] = xp.clip(row[2:] + beside, -STEEP, STEEP) - beside
        return row

    def _frozen(self, raw):
        if self._fits_alpha:
            alpha = 2.0 * expit(raw[:, 2])
        else:
            alpha = self._numbers()[0]
        return _LAW(alpha, loc=raw[:, 0], scale=np.exp(raw[:, 1]))


def _raw_shape(alpha):
    """The logit of alpha / 2, as the kernel takes it."""
    with np.errstate(divide="ignore"):
        return np.clip(logit(np.asarray(alpha) / 2.0), -FURTHEST_SHAPE, FURTHEST_SHAPE)


# ------------------------------------------------------------------------------------ distribution

# Of y, where the standard variable is root * sinh(y): the width of the cells of quadratures, the
# largest y of which the variable is a number, and Gauss and Legendre's points of a cell.
CELL, FURTHEST = 1 / 32, 709.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
# A density whose logarithm is this much below the largest counts as 0.
NOTHING = 745.0


class _HalfLine:
    """Integrals over the standard variable's positive half at one alpha, by quadrature."""

    def __init__(self, alpha):
        self.loss = GeneralRobustNLL(alpha=float(alpha))
        # On this scale the density bends near 0, and log(2 - alpha) terms are smooth.
        self.root = np.sqrt(max(2.0 - alpha, 1e-18))
        self.edges, self.beyond = self._cells(0)
        self.tails = np.append(np.cumsum(self.beyond[::-1])[::-1], 0.0)

    def log_density(self, x):
        """Of an array of values of the standard variable."""
        rows = np.zeros((x.size, 2))
        return -self.loss.loss(np.ascontiguousarray(x, dtype=np.float64).ravel(), rows).reshape(
            x.shape
        )

    def _log_integrand(self, y, power):
        """Of x**power times the density, as a function of y."""
        x = self.root * np.sinh(y)
        with np.errstate(divide="ignore"):
            log_x = np.log(x)
        return power * log_x + self.log_density(x) + np.log(self.root) + np.logaddexp(y, -y) - LN2

    def _over(self, low, high, power=0):
        """Integrals between arrays of ends."""
        half, middle = (high - low) / 2, (high + low) / 2
        logs = self._log_integrand(middle[..., None] + half[..., None] * _NODES, power)
        with np.errstate(over="ignore"):
            return half * (np.exp(logs) @ _WEIGHTS)

    def _cells(self, power):
        """The edges of cells, as far as there is something in them, and the integrals over them."""
        far = np.arange(CELL, FURTHEST, 0.5)
        logs = self._log_integrand(far, power)
        something = np.flatnonzero(logs > logs.max() - NOTHING)
        last = min(far[something[-1]] + 0.5, FURTHEST)
        edges = np.arange(0.0, last + CELL, CELL)
        return edges, self._over(edges[:-1], edges[1:], power)

    def moment(self, power):
        """The mean of x**power, for an even power; infinite where it is, or is no number."""
        edges, parts = self._cells(power)
        # What has not fallen at the largest of numbers has no finite moment that is one.
        if edges[-1] >= FURTHEST and parts[-1] > 1e-12 * parts.max():
            return np.inf
        return 2.0 * parts.sum()

    def sf(self, x):
        """The probability above each of an array of x >= 0."""
        return self._above(np.arcsinh(x / self.root))

    def _above(self, y):
        last = self.edges[-1]
        cell = np.minimum((np.minimum(y, last) / CELL).astype(int), len(self.edges) - 2)
        high = self.edges[cell + 1]
        return self._over(np.minimum(y, high), high) + self.tails[cell + 1]

    def isf(self, p):
        """Where the probabilities above are those of an array, at most 1/2."""
        # The cell whose lower edge has at least p above it.
        cell = np.searchsorted(-self.tails, -p, side="right") - 1
        cell = np.clip(cell, 0, len(self.edges) - 2)
        low, high = self.edges[cell], self.edges[cell + 1]
        for _ in range(50):
            middle = (low + high) / 2
            above = self._above(middle) > p
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return self.root * np.sinh((low + high) / 2)


LN2 = np.log(2.0)
_half_line = lru_cache(maxsize=64)(_HalfLine)


class _GeneralRobust(stats.rv_continuous):
    """A distribution of SciPy's of the standard variable, whose shape is alpha."""

    def _argcheck(self, alpha):
        return ALPHAS.contains(alpha)

    def _logpdf(self, x, alpha):
        x, alpha = np.broadcast_arrays(np.asarray(x, dtype=np.float64), alpha)
        rows = np.zeros((x.size, 3))
        rows[:, 2] = _raw_shape(alpha.ravel())
        return -GeneralRobustNLL().loss(x.ravel(), rows).reshape(x.shape)

    def _pdf(self, x, alpha):
        return np.exp(self._logpdf(x, alpha))

    @staticmethod
    def _by_alpha(what, x, alpha):
        """A function of the half line and x, for each alpha."""
        x, alpha = np.broadcast_arrays(np.asarray(x, dtype=np.float64), alpha)
        made = np.empty(x.shape)
        for one in np.unique(alpha):
            made[alpha == one] = what(_half_line(float(one)), x[alpha == one])
        return made

    def _sf(self, x, alpha):
        beyond = self._by_alpha(_HalfLine.sf, np.abs(x), alpha)
        return np.where(np.asarray(x) < 0, 1.0 - beyond, beyond)

    def _cdf(self, x, alpha):
        return self._sf(-np.asarray(x), alpha)

    def _isf(self, q, alpha):
        q = np.asarray(q)
        beyond = self._by_alpha(_HalfLine.isf, np.minimum(q, 1.0 - q), alpha)
        return np.where(q > 0.5, -beyond, beyond)

    def _ppf(self, q, alpha):
        q = np.asarray(q)
        beyond = self._by_alpha(_HalfLine.isf, np.minimum(q, 1.0 - q), alpha)
        return np.where(q < 0.5, -beyond, beyond)

    def _stats(self, alpha):
        second, fourth = (
            self._by_alpha(lambda half, x, k=k: half.moment(k) + 0.0 * x, 0.0, alpha)
            for k in (2, 4)
        )
        mean = np.where(alpha > 0, 0.0, np.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            return mean, second, mean, fourth / second**2 - 3.0


_LAW = _GeneralRobust(name="general_robust", shapes="alpha")
