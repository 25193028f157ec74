"""Accelerated failure times: distributions of times of which some are known to lie in an interval
alone."""

import numpy as np
from scipy import stats

from sklearn_losses._array import array_namespace, check_on_host, kernel_array, to_host
from sklearn_losses._interval import Interval
from sklearn_losses._survival_target import (
    ENTRY,
    EVENT,
    STRATUM,
    TIME,
    read_signed,
    read_survival,
)
from sklearn_losses.losses import constants
from sklearn_losses.losses._arrays import finite
from sklearn_losses.losses.distribution import CONSTANT, DistributionLoss

# By name: the kernel, and the standard variable's median.
_VARIABLES = {
    "normal": ("AFTNormal", 0.0),
    "logistic": ("AFTLogistic", 0.0),
    "extreme": ("AFTExtreme", float(np.log(np.log(2.0)))),
}


class AFT(DistributionLoss):
    """Minus the log-likelihood of times to an event, whose logarithms are linear in X: the
    accelerated failure time model. Times may be censored.

    - Domain: y_true holds positive times, of shape (n_samples,); or intervals in which they lie, of
      shape (n_samples, 2), whose ends are equal for a time that is known, infinite above for one
      that is censored (the event has not been seen by then), and 0 below where it had come before
      the first look; or what `survival_target` makes.
    - Raw predictions: a row of the location and the logarithm of the scale of the time's logarithm;
      `predict` gives the median time.
    - Formula: with ``z = (log(time) - location) * exp(-log_scale)``, minus the logarithm of
      ``f(z) * exp(-log_scale) / time`` for a time, and of ``F(z_high) - F(z_low)`` for an interval;
      f and F are the density and the distribution function of `distribution`.

    Parameters
    ----------
    distribution : {"normal", "logistic", "extreme"}, default="normal"
        Of the standardised logarithm: times are log-normal, log-logistic, or Weibull (of the
        smallest extreme value).
    scale : {"constant", "linear"}, default="constant"
        Whether the scale is one number, fitted too, or its logarithm is a linear model of X.

    References
    ----------
    Kalbfleisch, J. D. and Prentice, R. L. (2002). The Statistical Analysis of Failure Time Data,
    2nd edition. Wiley, sections 2.2 and 3.2.

    Barnwal, A., Cho, H. and Hocking, T. (2022). Survival regression with accelerated failure time
    model in XGBoost. Journal of Computational and Graphical Statistics 31, 1292-1302.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import AFT
    >>> times = [[1.0, 1.0], [2.0, np.inf], [0.0, 3.0]]
    >>> round(AFT("logistic")(times, [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), 6)
    0.924196
    """

    name = "aft"
    heads = ("location", "log_scale")
    interval_y_true = Interval(0, np.inf, False, False)
    _head_parameters = {"scale": 1}

    def __init__(self, distribution="normal", scale=CONSTANT):
        self.distribution = distribution
        self.scale = scale

    @property
    def _kernel(self):
        return self._variable()[0]

    def _variable(self):
        known = isinstance(self.distribution, str) and self.distribution in _VARIABLES
        if not known:
            raise ValueError(
                f"AFT: distribution must be one of {sorted(_VARIABLES)}; got {self.distribution!r}"
            )
        return _VARIABLES[self.distribution]

    def _kernel_takes(self):
        return {"takes_rows": True}

    # ------------------------------------------------------------------------------------- targets

    def read_target(self, y_true):
        """The intervals in which times lie, checked.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or (n_samples, 2), or structured array
            Times, intervals, or what `survival_target` makes.

        Returns
        -------
        interval : ndarray of shape (n_samples, 2), float64
        """
        if getattr(getattr(y_true, "dtype", None), "names", None):
            y_true = _of_events(y_true)
        y = self._numbers_of(kernel_array(y_true, "y_true"))
        if y.ndim == 1 or y.shape[1:] == (1,):
            xp = array_namespace(y)
            y = xp.stack([y.ravel(), finite(y.ravel(), "y_true")], axis=1)
        if y.ndim != 2 or y.shape[1] != 2:
            raise ValueError(
                "AFT: y_true must have shape (n_samples,) of times or (n_samples, 2) of intervals; "
                f"got {y.shape}"
            )
        self._check_y(y)
        return array_namespace(y).ascontiguousarray(y, dtype=np.float64)

    def _grouped(self, y_true, group):
        """Targets of a boosting library's labels, times that are negative where they are
        censored."""
        label = np.asarray(y_true)
        if label.dtype.names is not None or label.ndim != 1:
            return self.read_target(y_true)
        time, event = read_signed(label)
        return np.stack([time, np.where(event, time, np.inf)], axis=1)

    def _numbers_of(self, y_true):
        xp = array_namespace(y_true)
        # An interval may end at infinity.
        finite(xp.where(y_true == np.inf, xp.ones_like(y_true), y_true), "y_true")
        return y_true

    def _check_y(self, y):
        low, high = (y[:, 0], y[:, 1]) if y.ndim == 2 else (y, y)
        for wrong, what in (
            (low < 0, "times must not be negative"),
            (high <= 0, "an interval must end above 0"),
            (low > high, "an interval must not end before it begins"),
            (low == np.inf, "times must be finite where an interval begins"),
        ):
            if wrong.any():
                first = int(wrong.argmax())
                raise ValueError(f"AFT: {what}; got {to_host(y[first])} at index {first}")

    def _shaped_target(self, y_true, raw_prediction):
        n_samples = raw_prediction.shape[0]
        if y_true.shape == (n_samples, 1):
            y_true = y_true[:, 0]
        if y_true.shape not in ((n_samples,), (n_samples, 2)):
            raise ValueError(
                f"AFT: y_true must have shape ({n_samples},) or ({n_samples}, 2); "
                f"got {y_true.shape}"
            )
        return y_true

    # --------------------------------------------------------------------------------- predictions

    def _score(self, y_true, raw_prediction, sample_weight=None):
        """What an estimator's `score` returns: the concordance of times and predictions."""
        check_on_host("The concordance of AFT", y=y_true, X=raw_prediction)
        interval = self.read_target(y_true)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return concordance(interval, self.predict(raw_prediction), weight)

    def _start(self, y, weight):
        counted = y if weight is None else y[weight > 0]
        for lost, what in (
            (counted[:, 1] == np.inf, "none has ended"),
            (counted[:, 0] == 0, "all had ended before the first look"),
        ):
            if lost.all():
                raise ValueError(f"AFT: y_true tells no time: of {len(counted)} {what}")
        low, high = np.log(np.maximum(y[:, 0], 1e-300)), np.log(np.minimum(y[:, 1], 1e300))
        open_low, open_high = y[:, 0] == 0, y[:, 1] == np.inf
        about = np.where(open_high, low, np.where(open_low, high, 0.5 * (low + high)))
        kept = ~(open_low & open_high)
        about, weight = about[kept], None if weight is None else weight[kept]
        if not len(about):
            return np.zeros(2), np.ones(2)
        middle = constants.mean(about, weight)
        spread = np.sqrt(constants.mean((about - middle) ** 2, weight)) or 1e-8 + abs(middle) * 1e-8
        return np.array([middle, np.log(spread)]), np.array([max(spread, 1e-3), 1.0])

    def _mean(self, raw):
        xp = array_namespace(raw)
        return xp.exp(raw[:, 0] + xp.exp(raw[:, 1]) * self._variable()[1])

    def survival_function(self, raw_prediction, times):
        """The probabilities that the times are above given ones.

        Parameters
        ----------
        raw_prediction : array-like of shape (n_samples, 2)
        times : array-like of shape (n_times,)

        Returns
        -------
        survival : ndarray of shape (n_samples, n_times)
        """
        check_on_host("AFT.survival_function", raw_prediction=raw_prediction, times=times)
        times = np.asarray(times, dtype=np.float64)
        raw = self._shaped(np.asarray(raw_prediction, dtype=np.float64))
        return self._frozen(raw[:, :, None]).sf(times)

    def _frozen(self, raw):
        scale, middle = np.exp(raw[:, 1]), np.exp(raw[:, 0])
        if self.distribution == "normal":
            return stats.lognorm(s=scale, scale=middle)
        family = stats.fisk if self.distribution == "logistic" else stats.weibull_min
        return family(c=1.0 / scale, scale=middle)


def _of_events(y):
    """Intervals of a structured array of an event indicator and a time."""
    read = read_survival(y)
    if np.isfinite(read[:, ENTRY]).any() or read[:, STRATUM].any():
        raise ValueError("AFT: y_true must hold times and events; entries and strata are CoxLoss's")
    return np.stack([read[:, TIME], np.where(read[:, EVENT] > 0, read[:, TIME], np.inf)], axis=1)


def concordance(interval, predicted, weight=None):
    """Of two samples of which it is known whose time is the shorter, how often the predicted time
    is; equal ones count as half.

    Parameters
    ----------
    interval : ndarray of shape (n_samples, 2)
    predicted : ndarray of shape (n_samples,)
    weight : ndarray of shape (n_samples,) or None, default=None

    Returns
    -------
    concordance : float
        NaN where no two can be compared.
    """
    n = len(interval)
    weight = np.ones(n) if weight is None else weight
    # A time that is known to lie after the interval's beginning is above it.
    begins, ends = interval.T
    begins = np.where(begins < ends, np.nextafter(begins, np.inf), begins)
    order = np.argsort(begins, kind="stable")
    first = np.flatnonzero(np.isfinite(ends))
    at = np.searchsorted(begins[order], ends[first], side="right")
    rank = np.unique(predicted, return_inverse=True)[1]
    # Those from `at` on in blocks of powers of two, each sorted by rank: sums of weights below.
    total, below, up_to = np.zeros((3, len(first)))
    ranks, weights = rank[order], weight[order]
    size = 1
    while size < 2 * n:
        block = np.arange(n) // size
        keys = block * np.int64(n) + ranks
        by = np.argsort(keys, kind="stable")
        sums = np.concatenate([[0.0], np.cumsum(weights[by])])
        keys = keys[by]
        taken = (at < n) & (((at // size) % 2 == 1) | (size >= n))
        base = (at[taken] // size) * np.int64(n)
        lows, highs = np.searchsorted(keys, base), np.searchsorted(keys, base + n)
        mine = rank[first[taken]]
        less = sums[np.searchsorted(keys, base + mine)] - sums[lows]
        equal = sums[np.searchsorted(keys, base + mine + 1)] - sums[lows]
        total[taken] += sums[highs] - sums[lows]
        below[taken] += less
        up_to[taken] += equal
        at = at + np.where(taken, size, 0)
        size *= 2
    mine = weight[first]
    pairs = float(mine @ total)
    right = float(mine @ (total - 0.5 * (below + up_to)))
    return right / pairs if pairs > 0 else float("nan")
