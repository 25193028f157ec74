"""Losses of a whole distribution: a row of raw predictions is its parameters, each a linear model
of its own or one number for all samples, and the loss is minus the logarithm of its density, or a
score of it."""

import math

import numpy as np
from scipy import stats
from scipy.special import betaln

from sklearn_losses._array import (
    array_namespace,
    computing_on,
    in_namespace,
    kernel_array,
    on_device,
    on_its_device,
    to_host,
)
from sklearn_losses._interval import POSITIVE, Interval
from sklearn_losses.links import IdentityLink
from sklearn_losses.losses import constants
from sklearn_losses.losses._arrays import finite
from sklearn_losses.losses._scales import spread, weighted_median
from sklearn_losses.losses.glm import HalfGammaLoss
from sklearn_losses.losses.regression import AbsoluteError
from sklearn_losses.losses.rowwise import RowwiseLoss

LINEAR, CONSTANT = "linear", "constant"
# A scale is lost in rounding where it is at most so many roundings of the location.
ROUNDINGS = 64.0


class DistributionLoss(RowwiseLoss):
    """Base class of the losses of the parameters of a distribution.

    Attributes
    ----------
    heads : tuple of str
        What the columns of a row of raw predictions are.
    """

    task = "regression"
    reads_target = True
    shift_is_nothing = False
    link = IdentityLink()
    interval_y_true = Interval()
    convex = False
    heads = ()
    _whole = False
    # Whether a model without intercepts would leave a head without a size of its own.
    shapes_need_intercepts = True

    # The class of the same distribution's likelihood, where this is another score of it.
    _likelihood = None

    def _raw_meaning(self):
        """What tells whether raw predictions are parameters of the same distribution."""
        given = self.get_params(deep=False)
        law = {name: value for name, value in given.items() if value not in (LINEAR, CONSTANT)}
        return self._likelihood or type(self), self.heads, law

    def _of_head(self, head, y, raw):
        """Where heads are fitted `in_turn`: a loss of one raw prediction which, as a function of
        this head at the others, is the same but for a constant; its targets, and the logarithms of
        factors of its weights, of shape (n_samples,)."""
        raise NotImplementedError

    def _is_lost(self, y, raw):
        """Of each sample, whether its likelihood is so large that there is hardly a largest:
        ndarray of shape (n_samples,), bool."""
        raise NotImplementedError

    # Names of the parameters that say whether a head is "linear" or "constant", and its number.
    _head_parameters = {}

    @property
    def n_heads(self):
        """The number of heads."""
        return len(self.heads)

    @property
    def n_classes(self):
        """The columns of a row of raw predictions."""
        return self.n_heads

    def _domain(self, n_classes):
        return self.interval_y_true

    def _for_classes(self, n_classes, class_counts=None):
        return self

    def _classes(self, n_classes):
        if n_classes not in (None, self.n_heads):
            raise ValueError(
                f"{type(self).__name__}: raw_prediction must have {self.n_heads} columns, "
                f"{', '.join(self.heads)}; got {n_classes}"
            )
        return self.n_heads

    def _head_choices(self):
        """Of the parameters that say how a head is fitted: names and numbers of heads."""
        return self._head_parameters

    def _constant_heads(self):
        """Names of the parameters whose heads are one number, fitted too, and what else each may be
        given as: dict of str."""
        constant = [name for name in self._head_choices() if getattr(self, name) == CONSTANT]
        return dict.fromkeys(constant, "'linear'")

    def _check_heads(self):
        for name in self._head_choices():
            if getattr(self, name) not in (LINEAR, CONSTANT):
                raise ValueError(
                    f"{type(self).__name__}: {name} must be 'linear' or 'constant'; "
                    f"got {getattr(self, name)!r}"
                )

    def _numbers(self):
        self._check_heads()
        return super()._numbers()

    def _sees_features(self):
        """Of each head, whether it is a linear model of X: ndarray of shape (n_heads,), bool."""
        sees = np.ones(self.n_heads, dtype=bool)
        for name, head in self._head_choices().items():
            sees[head] = getattr(self, name) == LINEAR
        return sees

    @property
    def takes_streams(self):
        """Whether `partial_fit` can use it: steps move all heads along all features."""
        return bool(self._sees_features().all())

    def _has_intercept(self):
        """Of each head, whether it has an intercept: ndarray of shape (n_heads,), bool."""
        return np.ones(self.n_heads, dtype=bool)

    # ------------------------------------------------------------------------------------- targets

    def read_target(self, y_true):
        """The targets as numbers, checked.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)

        Returns
        -------
        target : array of shape (n_samples,), float64
        """
        y = finite(kernel_array(y_true, "y_true"), "y_true")
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim != 1:
            raise ValueError(
                f"{type(self).__name__}: y_true must have shape (n_samples,); got {y.shape}"
            )
        self._check_y(y)
        return array_namespace(y).ascontiguousarray(y, dtype=np.float64)

    def _shaped(self, raw_prediction):
        if raw_prediction.ndim != 2 or raw_prediction.shape[1] != self.n_heads:
            raise ValueError(
                f"{type(self).__name__}: raw_prediction must have shape (n_samples, "
                f"{self.n_heads}), {', '.join(self.heads)}; got {raw_prediction.shape}"
            )
        return raw_prediction

    def _shaped_target(self, y_true, raw_prediction):
        n_samples = raw_prediction.shape[0]
        if y_true.shape == (n_samples, 1):
            y_true = y_true[:, 0]
        if y_true.shape != (n_samples,):
            raise ValueError(
                f"{type(self).__name__}: y_true must have shape ({n_samples},); got {y_true.shape}"
            )
        return y_true

    def _checked_target(self, y_true, raw_prediction):
        y_true = self._shaped_target(y_true, raw_prediction)
        self._check_y(y_true)
        return y_true

    def _minus_best_value(self, y):
        # A density has no largest value.
        return array_namespace(y).full(y.shape[0], np.inf, dtype=y.dtype)

    # ----------------------------------------------------------------------------------- constants

    def fit_intercept_only(self, y_true, sample_weight=None, offset=None):
        """The constant row of raw predictions with the least loss.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        offset : array-like of shape (n_samples, n_heads) or None, default=None
            What is added to the row.

        Returns
        -------
        raw_prediction : array of shape (n_heads,)
            Where `y_true` is.
        """
        y = self.read_target(y_true)
        with computing_on(y_true=y, sample_weight=sample_weight) as xp:
            beside = xp.zeros((y.shape[0], self.n_heads))
            y, _, weight = self._checked(y, beside, sample_weight)
            weight = constants.scaled_weight(weight)
            if offset is not None:
                beside = constants.checked_offset(offset, [beside.shape], {"y_true": y})
            return in_namespace(self._best_beside(y, weight, beside), xp)

    def _best_beside(self, y, weight, beside):
        """The best constant row beside an offset, with checked arguments."""
        start, unit = self._start(y, weight)
        xp = array_namespace(y)
        start = start - to_host(xp.average(beside, axis=0, weights=weight))
        sums = _InUnits(constants.RowSums(self, y, weight, beside), start, unit)
        return start + unit * constants.lowest_row(sums, np.zeros(self.n_heads))

    def _start_constant(self, y_true, sample_weight=None, offset=None):
        return self.fit_intercept_only(y_true, sample_weight, offset)

    # Which head is the logarithm of a scale in the units of y, where there is one.
    log_scale_head = None

    def _unit_of(self, y, weight):
        """What a fit divides targets by, so that a penalty has no units."""
        if self.log_scale_head is None:
            return 1.0
        return spread(y - weighted_median(y, weight), weight) or _moments(y, weight)[1]

    def _in_units_of_y(self, value, unit):
        """A mean loss of targets over a unit, as one of the targets."""
        return value + np.log(unit)

    def _start(self, y, weight):
        """A row near the best constant one, and about how far the best may be from it."""
        raise NotImplementedError

    # --------------------------------------------------------------------------------- predictions

    @on_its_device
    def predict(self, raw_prediction):
        """The means of the distributions.

        Parameters
        ----------
        raw_prediction : array-like of shape (n_samples, n_heads)

        Returns
        -------
        mean : ndarray of shape (n_samples,)
        """
        return self._mean(raw_prediction)

    def distribution_of(self, raw_prediction):
        """The distributions that rows of raw predictions stand for.

        Parameters
        ----------
        raw_prediction : array-like of shape (n_samples, n_heads)

        Returns
        -------
        distribution : scipy.stats frozen distribution
            Of n_samples distributions: its `mean`, `std`, `ppf`, `cdf`, `logpdf`, ... work on all.
            SciPy's are the host's: an array of a device is copied.
        """
        raw = np.asarray(to_host(raw_prediction), dtype=np.float64)
        return self._frozen(self._shaped(raw))

    def _expected_hessian(self, raw):
        """Diagonal second derivatives as the distributions themselves expect them, which of a
        log-likelihood is the Fisher information, kinks or not; NaN in the columns of which there is
        no formula.

        Parameters
        ----------
        raw : ndarray of shape (n_samples, n_heads), float64

        Returns
        -------
        hessian : ndarray of shape (n_samples, n_heads)
        """
        return np.full(raw.shape, np.nan)

    def _score(self, y_true, raw_prediction, sample_weight=None):
        """What an estimator's `score` returns: the coefficient of determination of the means."""
        from sklearn.metrics import r2_score

        from sklearn_losses.linear_model._scores import r2

        y, mean = self.read_target(y_true), self.predict(raw_prediction)
        metric = r2 if on_device(mean) else r2_score
        return float(metric(y, mean, sample_weight=sample_weight))


class _InUnits:
    """Sums as a function of distances from a start, in units."""

    def __init__(self, sums, start, unit):
        self.sums, self.start, self.unit, self.loss = sums, start, unit, sums.loss

    def __call__(self, x):
        value, gradient = self.sums(self.start + self.unit * x)
        return value, gradient * self.unit

    def gradient(self, x):
        return self(x)[1]


def _moments(y, weight):
    """Mean and standard deviation."""
    counted = y if weight is None else y[weight > 0]
    if (counted == counted[0]).all():
        raise ValueError(
            "y_true must hold targets that differ: of equal ones no scale has the largest "
            f"likelihood; got {float(counted[0])} alone, of {len(counted)} sample(s)"
        )
    middle = constants.mean(y, weight)
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = float(np.sqrt(constants.mean((y - middle) ** 2, weight)))
    if not math.isfinite(deviation):
        raise ValueError(
            "y_true must hold targets whose squared distances from their mean are finite; the "
            f"furthest from 0 is {float(abs(counted).max()):.3g} (in a fit, over the spread of y)"
        )
    return middle, deviation


class _LocationScale(DistributionLoss):
    """A location and the logarithm of a scale."""

    heads = ("location", "log_scale")
    log_scale_head = 1
    _head_parameters = {"scale": 1}

    def __init__(self, scale="linear"):
        self.scale = scale

    def _start(self, y, weight):
        middle, spread = _moments(y, weight)
        return np.array([middle, np.log(spread)]), np.array([spread, 1.0])

    def _mean(self, raw):
        return raw[:, 0]

    def _of_standard(self, location, log_scale, raw):
        """Expected second derivatives, of those at a scale of 1."""
        return np.stack([location * np.exp(-2.0 * raw[:, 1]), np.full(len(raw), log_scale)], axis=1)


class GaussianNLL(_LocationScale):
    """Minus the log-likelihood of a normal distribution, whose mean and standard deviation are both
    predicted.

    - Domain: y_true any real number.
    - Raw predictions: a row of the mean and the logarithm of the standard deviation; `predict`
      gives the mean.
    - Formula: ``log_scale + z**2 / 2 + log(2 * pi) / 2`` with ``z = (y_true - location) *
      exp(-log_scale)``.

    Parameters
    ----------
    scale : {"linear", "constant"}, default="linear"
        Whether the logarithm of the standard deviation is a linear model of X, as the mean is, or
        one number, fitted too.

    References
    ----------
    Nix, D. A. and Weigend, A. S. (1994). Estimating the mean and variance of the target probability
    distribution. ICNN, equation 5.

    Examples
    --------
    >>> from sklearn_losses import GaussianNLL
    >>> round(GaussianNLL()([1.0, 3.0], [[2.0, 0.0], [2.0, 0.0]]), 6)
    1.418939
    """

    name = "gaussian_nll"

    def _expected_hessian(self, raw):
        return self._of_standard(1.0, 2.0, raw)

    def _frozen(self, raw):
        return stats.norm(raw[:, 0], np.exp(raw[:, 1]))


class GaussianCRPS(_LocationScale):
    """The continuous ranked probability score of a normal distribution, whose mean and standard
    deviation are both predicted.

    A proper score in the units of y, as the absolute error is, which it becomes where the scale is
    small. It grows in proportion to how far off a target is, the log-likelihood with the square of
    that: outliers pull less than at `GaussianNLL`.

    - Domain: y_true any real number.
    - Raw predictions: a row of the mean and the logarithm of the standard deviation; `predict`
      gives the mean.
    - Formula: ``scale * (z * (2 * Phi(z) - 1) + 2 * phi(z) - 1 / sqrt(pi))`` with ``scale =
      exp(log_scale)`` and ``z = (y_true - location) / scale``; phi and Phi are the standard normal
      density and distribution function.

    Parameters
    ----------
    scale : {"linear", "constant"}, default="linear"
        As that of `GaussianNLL`.

    References
    ----------
    Gneiting, T. and Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and
    estimation. Journal of the American Statistical Association 102, 359-378, section 4.2.

    Examples
    --------
    >>> from sklearn_losses import GaussianCRPS
    >>> round(GaussianCRPS()([1.0, 3.0], [[2.0, 0.0], [2.0, 0.0]]), 6)
    0.602441
    """

    name = "gaussian_crps"
    _likelihood = GaussianNLL

    def _minus_best_value(self, y):
        return array_namespace(y).zeros_like(y)

    def _in_units_of_y(self, value, unit):
        return value * unit

    def _expected_hessian(self, raw):
        at_one = self._of_standard(1.0 / np.sqrt(np.pi), 0.5 / np.sqrt(np.pi), raw)
        return at_one * np.exp(raw[:, 1:])

    _frozen = GaussianNLL._frozen


class LaplaceNLL(_LocationScale):
    """Minus the log-likelihood of a Laplace distribution, whose location and scale are both
    predicted: medians, and how far off they are on average.

    It is to the absolute error what `GaussianNLL` is to the squared one. With a constant scale and
    no penalty the location is that of `AbsoluteError`, and the scale the mean absolute residual.

    - Domain: y_true any real number.
    - Raw predictions: a row of the location and the logarithm of the scale; `predict` gives the
      location, which is the mean and the median. The standard deviation is the scale times the root
      of 2.
    - Formula: ``log_scale + abs(z) + log(2)`` with ``z = (y_true - location) * exp(-log_scale)``.
      The gradient by the location is 0 where z is. Its second derivative is 0; `hessian` is the
      expected square of the gradient, ``exp(-2 * log_scale)``.

    A fit takes both heads in turn, by the methods that are exact for either: see `InteriorPoint`.

    Parameters
    ----------
    scale : {"linear", "constant"}, default="linear"
        As that of `GaussianNLL`.

    References
    ----------
    Norton, R. M. (1984). The double exponential distribution: using calculus to find a maximum
    likelihood estimator. The American Statistician 38, 135-136.

    Examples
    --------
    >>> from sklearn_losses import LaplaceNLL
    >>> round(LaplaceNLL()([1.0, 3.0], [[2.0, 0.0], [2.0, 0.0]]), 6)
    1.693147
    """

    name = "laplace_nll"
    differentiable = False
    approx_hessian = True
    in_turn = True

    def _best_beside(self, y, weight, beside):
        _moments(y, weight)
        xp = array_namespace(y)
        row = np.zeros(2)
        for head in (0, 1):
            loss, target, log_factor = self._of_head(head, y, beside + xp.asarray(row))
            factor = xp.exp(log_factor - log_factor.max())
            counted = factor if weight is None else weight * factor
            row[head] = loss.fit_intercept_only(target, counted, beside[:, head])
        return row

    def _of_head(self, head, y, raw):
        if head == 0:
            return AbsoluteError(), y, -raw[:, 1]
        xp = array_namespace(y)
        size = xp.maximum(abs(y - raw[:, 0]), _rounding_of(y))
        return HalfGammaLoss(), size, xp.zeros(y.shape[0])

    def _is_lost(self, y, raw):
        return raw[:, 1] <= np.log(ROUNDINGS * _rounding_of(y))

    def _expected_hessian(self, raw):
        return self._of_standard(1.0, 1.0, raw)

    def _frozen(self, raw):
        return stats.laplace(raw[:, 0], np.exp(raw[:, 1]))


def _rounding_of(y):
    """What residuals cannot be told from 0 by; of targets of 0, as of others."""
    xp = array_namespace(y)
    size = abs(y)
    size = xp.maximum(size, xp.median(size[size > 0.0]))
    return xp.nextafter(size, xp.full_like(size, np.inf)) - size


class StudentTNLL(_LocationScale):
    """Minus the log-likelihood of Student's t distribution, whose location and scale are predicted:
    outliers count little.

    - Domain: y_true any real number.
    - Raw predictions: a row of the location and the logarithm of the scale; `predict` gives the
      location, which is the mean where `df` is above 1, and the median.
    - Formula: ``log_scale + (df + 1) / 2 * log1p(z**2 / df) - log(density at 0)`` with ``z =
      (y_true - location) * exp(-log_scale)``.

    Parameters
    ----------
    df : float, default=4.0
        Degrees of freedom, in (0, inf).
    scale : {"linear", "constant"}, default="linear"
        As that of `GaussianNLL`.

    References
    ----------
    Lange, K. L., Little, R. J. A. and Taylor, J. M. G. (1989). Robust statistical modeling using
    the t distribution. Journal of the American Statistical Association 84, 881-896.

    Examples
    --------
    >>> from sklearn_losses import StudentTNLL
    >>> round(StudentTNLL()([1.0, 300.0], [[2.0, 0.0], [2.0, 0.0]]), 6)
    13.769681
    """

    name = "student_t_nll"
    _parameter_intervals = {"df": POSITIVE}

    def __init__(self, df=4.0, scale="linear"):
        self.df = df
        self.scale = scale

    def _row_params(self, n_classes):
        (df,) = self._numbers()
        if df < 300:
            return [df, -betaln(0.5, df / 2) - np.log(df) / 2]
        # The logarithm of a ratio of gamma functions, which tend to each other, by its series.
        tail = 1 / (4 * df) - 1 / (24 * df**3) + 1 / (20 * df**5)
        return [df, -np.log(2 * np.pi) / 2 - tail]

    def _expected_hessian(self, raw):
        (df,) = self._numbers()
        return self._of_standard((df + 1.0) / (df + 3.0), 2.0 * df / (df + 3.0), raw)

    def _frozen(self, raw):
        return stats.t(float(self.df), raw[:, 0], np.exp(raw[:, 1]))
