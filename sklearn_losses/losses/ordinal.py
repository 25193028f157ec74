"""Losses of ordered classes: one direction of X, and thresholds on it that are fitted too.

They are row-wise losses of class scores, of which the differences count: between class k and the
one before it the score changes by ``location - threshold_k``, so that the largest score is that of
the class between whose thresholds the location lies. A linear model has one row of weights: the
scores of class k change by k times the location.
"""

import numpy as np

from sklearn_losses._array import (
    array_namespace,
    computing_on,
    device_array,
    in_namespace,
    kernel_array,
    on_device,
    on_its_device,
    special_functions,
    to_host,
)
from sklearn_losses._interval import Interval
from sklearn_losses.links import IdentityLink, Link
from sklearn_losses.losses import constants
from sklearn_losses.losses.distribution import DistributionLoss
from sklearn_losses.losses.rowwise import RowwiseLoss

# By name: the kernel, and the name of SciPy's quantiles of the location's distribution.
_CUMULATIVE = {
    "logistic": ("CumulativeLogit", "logit"),
    "normal": ("CumulativeProbit", "ndtri"),
    "extreme": ("CumulativeCloglog", None),
}
# Thresholds of probabilities that are 0.
FURTHEST = 700.0
_MARGINS = ("logistic", "squared_hinge", "smooth_hinge")


def _one_of(owner, name, value, allowed):
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{owner}: {name} must be one of {sorted(allowed)}; got {value!r}")
    return value


def _quantile(distribution, xp=np):
    """The quantile function of the location's distribution, of arrays of a namespace."""
    name = _CUMULATIVE[distribution][1]
    if name is None:
        return lambda p: xp.log(-xp.log1p(-p))
    return getattr(special_functions(xp), name)


def _thresholds_of(scores):
    """Thresholds at a location of 0: (..., n_classes - 1) of (..., n_classes)."""
    return scores[..., :-1] - scores[..., 1:]


def _check_order(thresholds, slack, must):
    """Raise where thresholds fall by more than rounding, which those of a class without a
    probability may."""
    wrong = np.diff(thresholds, axis=1) < -slack
    if wrong.any():
        row, k = (int(at[0]) for at in np.nonzero(wrong))
        raise ValueError(
            f"{must}; got {thresholds[row, k]:g} before {thresholds[row, k + 1]:g} in row {row}. "
            "An offset with a column a class moves the thresholds of its sample, and must not put "
            "them in another order"
        )


def _in_order(thresholds, offset):
    """Thresholds that are in order beside the offsets of all samples, as near as that allows.

    Parameters
    ----------
    thresholds : ndarray of shape (n_classes - 1,)
    offset : ndarray of shape (n_samples, n_classes - 1)

    Returns
    -------
    thresholds : ndarray of shape (n_classes - 1,)
    """
    gaps, least = np.diff(thresholds), np.max(-np.diff(offset, axis=1), axis=0, initial=-np.inf)
    gaps = np.where(gaps > least, gaps, least + 1.0)
    return thresholds[0] + np.concatenate([[0.0], np.cumsum(gaps)])


class _Ordinal(RowwiseLoss):
    """What the losses of ordered classes share.

    A kernel takes a row of the location and the thresholds: these are the heads that are fitted.
    """

    takes_streams = False

    def _kernel_name(self):
        raise NotImplementedError

    def _heads(self):
        """The loss of location and thresholds."""
        return self._heads_of(self._classes(None))

    def _heads_of(self, n_classes):
        return _Heads(n_classes, self._kernel_name(), self._row_params(n_classes))

    def _row_params(self, n_classes):
        self._kernel_name()
        return self._numbers()

    def _evaluate(
        self,
        y_true,
        raw_prediction,
        sample_weight,
        n_threads,
        value,
        gradient,
        hessian,
        want_sum=False,
    ):
        if raw_prediction.ndim != 2:
            raise ValueError(
                f"raw_prediction must have shape (n_samples, n_classes); got {raw_prediction.shape}"
            )
        outputs = {"gradient_out": gradient, "hessian_out": hessian}
        with computing_on(raw_prediction=raw_prediction, **outputs) as xp:
            gradient, hessian = (device_array(x) if on_device(x) else x for x in outputs.values())
            inner, heads = self._in_heads(raw_prediction, xp)
            slopes, bends = (
                None if out is None else xp.empty_like(heads) for out in (gradient, hessian)
            )
            if slopes is None and bends is not None:
                slopes = xp.empty_like(heads)
            total = inner._evaluate(
                y_true, heads, sample_weight, n_threads, value, slopes, bends, want_sum
            )
            # Thresholds in the wrong order have no probability, and no derivatives.
            with np.errstate(invalid="ignore"):
                self._of_scores(gradient, hessian, slopes, bends, sample_weight)
        return total

    def _report(self, y_true, raw_prediction, sample_weight):
        inner, heads = self._in_heads(raw_prediction, array_namespace(raw_prediction))
        return inner._report(y_true, heads, sample_weight)

    def _in_heads(self, raw_prediction, xp):
        """The loss of location and thresholds, and these for scores of the classes."""
        heads = xp.zeros(raw_prediction.shape, dtype=raw_prediction.dtype)
        heads[:, 1:] = _thresholds_of(raw_prediction)
        return self._heads_of(self._classes(raw_prediction.shape[1])), heads

    def _of_scores(self, gradient, hessian, slopes, bends, sample_weight):
        """Derivatives by the classes' scores, of those by the thresholds."""
        if gradient is not None:
            gradient[:, 0], gradient[:, 1:] = 0, -slopes[:, 1:]
            gradient[:, :-1] += slopes[:, 1:]
        if hessian is not None:
            hessian[:, 0], hessian[:, 1:] = 0, bends[:, 1:]
            hessian[:, :-1] += bends[:, 1:]
            if self._joined:
                # An interval's ends bend together: its cross derivative is minus the product of the
                # slopes, which a weight has been multiplied into twice.
                cross = -2 * slopes[:, 1:-1] * slopes[:, 2:]
                if sample_weight is not None:
                    xp = array_namespace(slopes)
                    weight = kernel_array(sample_weight, "sample_weight")
                    weight = weight.astype(slopes.dtype)[:, None]
                    counts = weight != 0
                    cross = xp.where(counts, cross / xp.where(counts, weight, 1), 0)
                hessian[:, 1:-1] += cross

    # Whether the second derivatives by two thresholds are not 0.
    _joined = False

    # ------------------------------------------------------------------------ the weights of a fit

    def _public(self, coef, intercept):
        """Weights and intercepts of the classes' scores, of those of location and thresholds."""
        xp = array_namespace(coef)
        steps = xp.arange(len(coef), dtype=np.float64)[:, None]
        thresholds = xp.concatenate([xp.zeros(1), xp.cumsum(intercept[1:])])
        return (steps * coef[0]).astype(coef.dtype), steps[:, 0] * intercept[0] - thresholds

    def _inner(self, coef, intercept):
        """Weights and intercepts of location and thresholds, of those of the classes' scores."""
        xp = array_namespace(coef)
        made = xp.zeros_like(coef)
        made[0] = xp.diff(coef, axis=0).mean(axis=0)
        thresholds = _thresholds_of(array_namespace(intercept).asarray(intercept, dtype=np.float64))
        return made, xp.concatenate([xp.zeros(1), in_namespace(thresholds, xp)])

    @staticmethod
    def _heads_offset(offset):
        """An offset of the classes' scores, as one of location and thresholds."""
        if offset is None or offset.ndim == 1:  # the same for all scores
            return None
        xp = array_namespace(offset)
        return xp.column_stack([xp.zeros(len(offset)), _thresholds_of(offset)])


class OrdinalLink(Link):
    """Rows of probabilities of ordered classes, from the scores of the classes.

    The link itself returns scores of which the first is 0.

    Parameters
    ----------
    distribution : {"logistic", "normal", "extreme"}
    """

    interval_y_pred = Interval(0, 1, True, True)
    gives_probability = True
    is_multiclass = True

    def __init__(self, distribution):
        self.distribution = distribution

    def __eq__(self, other):
        return type(self) is type(other) and self.distribution == other.distribution

    def __hash__(self):
        return hash((type(self), self.distribution))

    def __repr__(self):
        return f"OrdinalLink({self.distribution!r})"

    @on_its_device
    def link(self, y_pred):
        xp = array_namespace(y_pred)
        y_pred = xp.asarray(y_pred)
        quantile = _quantile(self.distribution, xp)
        with np.errstate(divide="ignore"):
            thresholds = quantile(xp.clip(xp.cumsum(y_pred, axis=-1)[..., :-1], 0, 1))
        # Half way into what no float is.
        thresholds = xp.clip(thresholds, -FURTHEST, FURTHEST)
        made = xp.zeros_like(y_pred, dtype=np.result_type(y_pred.dtype, np.float32))
        made[..., 1:] = -xp.cumsum(thresholds, axis=-1)
        return made

    @on_its_device
    def inverse(self, raw_prediction):
        xp = array_namespace(raw_prediction)
        raw = xp.ascontiguousarray(raw_prediction)
        scores = to_host(raw)
        slack = 64 * np.finfo(scores.dtype).eps * (1 + abs(scores).max(axis=1, initial=0.0))
        _check_order(
            _thresholds_of(scores),
            slack[:, np.newaxis],
            "raw_prediction must have thresholds (each class's less the next one's) in ascending "
            "order",
        )
        loss = CumulativeLink(self.distribution)
        of_class = (loss.loss(xp.full(len(raw), float(k)), raw) for k in range(raw.shape[1]))
        return xp.exp(-xp.stack(list(of_class), axis=1))


class CumulativeLink(_Ordinal):
    """Minus the log-likelihood of ordered classes, whose cumulative probabilities are linear in X:
    the proportional odds model, and its probit and complementary log-log forms.

    - Domain: y_true holds class codes; an estimator takes the order of `classes_`.
    - Link: of the cumulative probabilities ``P(y <= k) = F(threshold_(k + 1) - location)``;
      `predict` gives the classes' probabilities.
    - Formula: ``-log(F(threshold_(y + 1) - location) - F(threshold_y - location))``; the first
      threshold is minus infinity and the last infinity. ``raw_k - raw_(k - 1) = location -
      threshold_k``.

    Parameters
    ----------
    distribution : {"logistic", "normal", "extreme"}, default="logistic"
        Whose distribution function F is: the link is the logit, the probit, or, of the smallest
        extreme value, the complementary log-log.
    n_classes : int or None, default=None
        At least 2. None: as many as the raw predictions have.

    References
    ----------
    McCullagh, P. (1980). Regression models for ordinal data. Journal of the Royal Statistical
    Society B 42, 109-142.

    Examples
    --------
    >>> from sklearn_losses import CumulativeLink
    >>> round(CumulativeLink()([0, 2], [[0.0, -1.0, -2.0], [0.0, 0.5, 1.0]]), 6)
    0.393669
    """

    name = "cumulative_link"
    _joined = has_barrier = True
    _unboosted = (
        "trees may put the thresholds of a sample in the wrong order, which has no likelihood. Use "
        "AllThreshold, which takes any order"
    )

    def __init__(self, distribution="logistic", n_classes=None):
        super().__init__(n_classes)
        self.distribution = distribution

    @property
    def link(self):
        return OrdinalLink(self.distribution)

    def _kernel_name(self):
        name = _one_of("CumulativeLink", "distribution", self.distribution, _CUMULATIVE)
        return _CUMULATIVE[name][0]

    def _best_row(self, shares):
        return np.concatenate([[0.0], -np.cumsum(self._heads()._thresholds(shares))])

    @staticmethod
    def _check_offset(thresholds, moved, weight):
        """Raise where offsets of the thresholds put them in the wrong order: classes other than the
        sample's own would have probabilities below 0."""
        beside = thresholds + np.asarray(moved, dtype=np.float64)
        if weight is not None:
            beside[np.asarray(weight) == 0] = thresholds
        slack = 1e-9 * (1 + abs(thresholds).max(initial=0.0))
        _check_order(beside, slack, "offset must leave the fitted thresholds in ascending order")

    def _check_fit(self, intercept, data):
        if np.ndim(data.offset) == 2 and data.n_outputs > 2:
            thresholds = _thresholds_of(np.asarray(intercept, dtype=np.float64))
            self._check_offset(thresholds, data.offset[:, 1:], data.sample_weight)

    def _constant_row(self, y_true, sample_weight, offset, least=None):
        if np.ndim(offset) != 2:
            return super()._constant_row(y_true, sample_weight, offset, least)
        moved = _thresholds_of(np.asarray(to_host(offset), dtype=np.float64))
        # Where it begins, and where it ends.
        start = super()._constant_row(y_true, sample_weight, None, least)
        start = _thresholds_of(to_host(start)) - moved.mean(axis=0)
        self._check_offset(start, moved, sample_weight)
        row = super()._constant_row(y_true, sample_weight, offset, least)
        self._check_offset(_thresholds_of(to_host(row)), moved, sample_weight)
        return row


class _Threshold(_Ordinal):
    """A loss of margins at thresholds."""

    link = IdentityLink()

    def _row_params(self, n_classes):
        self._kernel_name()
        return [1.0]  # the hinges' threshold, and the smooth one's width

    def __init__(self, margin="logistic", n_classes=None):
        super().__init__(n_classes)
        self.margin = margin

    def _kernel_name(self):
        _one_of(type(self).__name__, "margin", self.margin, _MARGINS)
        return type(self).__name__ + self.margin.title().replace("_", "")


class AllThreshold(_Threshold):
    """Ordered classes by margins at all thresholds: a class far from the true one costs more than
    one beside it.

    - Domain: y_true holds class codes; an estimator takes the order of `classes_`.
    - Link: none; raw predictions are scores, not probabilities.
    - Formula: the sum over the thresholds k = 1, ..., n_classes - 1 of a binary loss of
      ``location - threshold_k = raw_k - raw_(k - 1)``, whose target is 1 where ``y_true >= k``,
      else 0.

    Parameters
    ----------
    margin : {"logistic", "squared_hinge", "smooth_hinge"}, default="logistic"
        The binary loss: `HalfBinomialLoss`, `SquaredHinge` or `SmoothHinge`.
    n_classes : int or None, default=None
        At least 2. None: as many as the raw predictions have.

    References
    ----------
    Rennie, J. D. M. and Srebro, N. (2005). Loss functions for preference levels: regression with
    discrete ordered labels. IJCAI Workshop on Advances in Preference Handling, section 3.2.

    Examples
    --------
    >>> from sklearn_losses import AllThreshold
    >>> round(AllThreshold()([0, 2], [[0.0, -1.0, -2.0], [0.0, 0.5, 1.0]]), 6)
    0.787339
    """

    name = "all_threshold"


class ImmediateThreshold(_Threshold):
    """Ordered classes by margins at the thresholds beside the true class alone.

    - Domain: y_true holds class codes; an estimator takes the order of `classes_`.
    - Link: none; raw predictions are scores, not probabilities.
    - Formula: as that of `AllThreshold`, of the thresholds ``k = y_true`` and ``k = y_true + 1``
      that there are.

    Parameters
    ----------
    margin : {"logistic", "squared_hinge", "smooth_hinge"}, default="logistic"
        As that of `AllThreshold`.
    n_classes : int or None, default=None
        At least 2. None: as many as the raw predictions have.

    References
    ----------
    Rennie and Srebro (2005), section 3.1: see `AllThreshold`.

    Examples
    --------
    >>> from sklearn_losses import ImmediateThreshold
    >>> round(ImmediateThreshold()([0, 2], [[0.0, -1.0, -2.0], [0.0, 0.5, 1.0]]), 6)
    0.393669
    """

    name = "immediate_threshold"


class _Heads(DistributionLoss):
    """A loss of rows of a location and thresholds; targets are class codes."""

    task = "multiclass"
    convex = True
    shapes_need_intercepts = False
    _whole = True
    _domain = RowwiseLoss._domain

    def __init__(self, classes=2, kernel=None, params=()):
        self.classes, self.kernel, self.params = classes, kernel, params

    def _row_params(self, n_classes):
        return self.params

    @classmethod
    def _lacks(cls):
        return None

    @property
    def gives_probability(self):
        return self.kernel.startswith("Cumulative")

    @property
    def _kernel(self):
        return self.kernel

    @property
    def heads(self):
        return ("location", *(f"threshold {k}" for k in range(1, self.classes)))

    def _sees_features(self):
        return np.arange(self.classes) == 0

    def _has_intercept(self):
        return np.arange(self.classes) > 0

    def _minus_best_value(self, y):
        return array_namespace(y).zeros(y.shape[0], dtype=y.dtype)

    def _thresholds(self, shares):
        """Those at which the classes have their shares, about."""
        known = (name for name, (kernel, _) in _CUMULATIVE.items() if kernel == self.kernel)
        quantile = _quantile(next(known, "logistic"))
        below = np.cumsum(shares)[:-1] / np.sum(shares)
        return quantile(np.clip(below, 1e-15, 1 - 1e-15))

    def _start(self, y, weight):
        shares = self._mass(y, weight)
        least = 0.5 * shares.sum() / (len(y) + 1)
        return np.concatenate([[0.0], self._thresholds(np.maximum(shares, least))]), np.ones(
            self.classes
        )

    def fit_intercept_only(self, y_true, sample_weight=None, offset=None):
        start = self._start(y_true, constants.scaled_weight(sample_weight))[0]
        if self.gives_probability and np.ndim(offset) == 2:
            start[1:] = _in_order(start[1:], to_host(offset)[:, 1:])
        return in_namespace(start, array_namespace(y_true))
