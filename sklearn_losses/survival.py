"""Survival analysis: targets, and measures of predictions for times of which some are censored."""

import warnings

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import make_scorer

from sklearn_losses._array import check_on_host, kernel_array
from sklearn_losses._kernels.losses._cox import pairs_of
from sklearn_losses._survival_target import ENTRY, read_survival, survival_target
from sklearn_losses.losses._arrays import finite, relative_weight
from sklearn_losses.losses.joint import _checked_weight

__all__ = [
    "brier_score",
    "concordance_index",
    "concordance_scorer",
    "integrated_brier_score",
    "survival_target",
]

KINDS = ("risk", "time")


def concordance_index(y, risk, sample_weight=None):
    """Harrell's concordance index: of two samples of which it is known who had the event first, how
    often it is the one of the greater risk.

    Two are compared where both are under observation at the earlier of their times, and that is the
    time of an event: the other's is later, or was censored at it. Events at one time are not
    compared. Equal risks count as half. With strata, the two are of one stratum; with entries, the
    later one has entered before. A pair counts the product of its weights, so that weight 2 is two
    samples.

    Parameters
    ----------
    y : array-like
        As `survival_target` makes it, or as `CoxLoss.read_target` takes it.
    risk : array-like of shape (n_samples,)
        Greater for those who have the event sooner, as log hazard ratios; minus the predictions of
        times.
    sample_weight : array-like of shape (n_samples,) or None, default=None

    Returns
    -------
    concordance : float
        In [0, 1]; .5 for guesses. NaN, with a warning, where no two can be compared.

    Raises
    ------
    ValueError
        Where the target is none, shapes differ, or a risk is not finite.

    References
    ----------
    Harrell, Califf, Pryor, Lee and Rosati (1982), Evaluating the yield of medical tests.

    Examples
    --------
    >>> from sklearn_losses import concordance_index, survival_target
    >>> y = survival_target([1.0, 2.0, 3.0, 4.0], event=[True, False, True, True])
    >>> concordance_index(y, [3.0, 1.0, 0.0, 2.0])
    0.75
    """
    target = read_survival(y, "y")
    time, event, entry, stratum = target.T
    risk = _vector(risk, "risk", len(target))
    weight = _checked_weight(sample_weight, len(target))
    weight = np.ones(len(target)) if weight is None else relative_weight(weight)
    order = np.lexsort((event, -time, stratum))
    late = {}
    if np.isfinite(entry).any():
        late = {"entry": entry[order], "by_entry": np.lexsort((-entry[order], stratum[order]))}
    levels, rank = np.unique(risk[order], return_inverse=True)
    concordant, discordant, tied = pairs_of(
        stratum[order].astype(np.int64),
        time[order],
        event[order].astype(np.uint8),
        weight[order],
        rank.astype(np.int64) + 1,
        len(levels),
        **late,
    )
    total = concordant + discordant + tied
    if not total > 0:
        warnings.warn(
            "The concordance index is not defined: no two samples can be compared",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return float("nan")
    return (concordant + tied / 2) / total


def _concordance(y_true, y_pred, sample_weight=None, of="risk"):
    risk = y_pred if of == "risk" else np.negative(y_pred)
    return concordance_index(y_true, risk, sample_weight)


def concordance_scorer(of="risk"):
    """`concordance_index` as a scikit-learn scorer, for `scoring=` in `GridSearchCV`,
    `cross_validate`, `permutation_importance` and the like.

    Parameters
    ----------
    of : {"risk", "time"}, default="risk"
        What the estimator's `predict` returns: log hazard ratios and other risks, or times.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)`` gives a float.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn_losses import concordance_scorer, survival_target
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> model = LinearRegression().fit(X, [3.0, 2.0, 1.0])
    >>> concordance_scorer(of="time")(model, X, survival_target([3.0, 2.0, 1.0]))
    1.0
    """
    if of not in KINDS:
        raise ValueError(f"of must be one of {KINDS}; got {of!r}")
    return make_scorer(_concordance, of=of)


# -------------------------------------------------------------------------------------- Brier score


def brier_score(y, survival_probabilities, times, *, y_train=None, sample_weight=None):
    """Mean squared error of predicted survival, at each of some times, with censored samples
    weighted for.

    ``mean of (S(t) - 1[time > t])**2 * w(t)``: those who had the event by t have ``w(t) = 1 /
    G(time-)``, those still under observation ``1 / G(t)``, and those censored by t 0. G is the
    Kaplan-Meier estimate of the probability not to be censored by a time, an event at the same time
    coming first, and ``G(time-)`` its value just before. (Some programs take ``G(time)``, which
    differs where an event and a censoring share a time, and makes the weights of all samples add up
    to more than their number.)

    Parameters
    ----------
    y : array-like
        As `survival_target` makes it, or as `CoxLoss.read_target` takes it; without entries. Of
        strata, all are one.
    survival_probabilities : array-like of shape (n_samples, n_times)
        Predicted probabilities of an event after each time.
    times : array-like of shape (n_times,)
    y_train : array-like or None, default=None
        The targets from which G is estimated. None: `y`, with its weights.
    sample_weight : array-like of shape (n_samples,) or None, default=None

    Returns
    -------
    scores : ndarray of shape (n_times,)
        .25 for a prediction of one half; 0 is perfect.

    Raises
    ------
    ValueError
        Where a shape does not fit, a probability is none, an entry is given, or all of `y_train`
        are censored by a time that is needed.

    References
    ----------
    Graf, Schmoor, Sauerbrei and Schumacher (1999), Assessment and comparison of prognostic
    classification schemes for survival data.

    Examples
    --------
    >>> from sklearn_losses import brier_score, survival_target
    >>> y = survival_target([1.0, 2.0, 3.0, 4.0], event=[True, False, True, True])
    >>> survival = [[0.2, 0.1], [0.6, 0.4], [0.7, 0.3], [0.9, 0.8]]
    >>> brier_score(y, survival, times=[1.5, 3.5]).round(6)
    array([0.075  , 0.05125])
    """
    target = _without_entry(y, "y")
    time, event = target.T[:2]
    times = _vector(times, "times")
    survival = _probabilities(survival_probabilities, (len(target), len(times)))
    weight = _checked_weight(sample_weight, len(target))
    weight = np.ones(len(target)) if weight is None else relative_weight(weight)
    if y_train is None:
        steps, left = _censoring(time, event, weight)
    else:
        train = _without_entry(y_train, "y_train")
        steps, left = _censoring(*train.T[:2], np.ones(len(train)))
    at_event = left[np.searchsorted(steps, time, side="left")]
    at_times = left[np.searchsorted(steps, times, side="right")]
    scores = np.empty(len(times))
    for k, t in enumerate(times):
        gone, here = (time <= t) & (event == 1), time > t
        never = (gone & (at_event == 0)) | (here & (at_times[k] == 0))
        if never.any():
            raise ValueError(
                f"times must be where some of y_train are not censored yet; got {t}, and all are "
                f"by {steps[-1]}"
            )
        share = np.zeros(len(time))
        share[gone] = 1 / at_event[gone]
        share[here] = 1 / at_times[k] if here.any() else 0.0
        scores[k] = np.average(share * (survival[:, k] - here) ** 2, weights=weight)
    return scores


def integrated_brier_score(y, survival_probabilities, times, *, y_train=None, sample_weight=None):
    """`brier_score` over the times from the first to the last, by the trapezoidal rule, divided by
    their distance.

    Parameters
    ----------
    y, survival_probabilities, y_train, sample_weight
        As in `brier_score`.
    times : array-like of shape (n_times,)
        Growing, at least two.

    Returns
    -------
    score : float

    Raises
    ------
    ValueError
        As `brier_score`; where `times` do not grow.

    Examples
    --------
    >>> from sklearn_losses import integrated_brier_score, survival_target
    >>> y = survival_target([1.0, 2.0, 3.0, 4.0], event=[True, False, True, True])
    >>> survival = [[0.2, 0.1], [0.6, 0.4], [0.7, 0.3], [0.9, 0.8]]
    >>> round(integrated_brier_score(y, survival, times=[1.5, 3.5]), 6)
    0.063125
    """
    times = _vector(times, "times")
    if len(times) < 2 or not (np.diff(times) > 0).all():
        raise ValueError(f"times must grow, and be at least two; got {times}")
    scores = brier_score(
        y, survival_probabilities, times, y_train=y_train, sample_weight=sample_weight
    )
    return float(np.trapezoid(scores, times) / (times[-1] - times[0]))


def _censoring(time, event, weight):
    """Kaplan and Meier's probability not to be censored: times of its steps, and its value before
    the first and from each on."""
    steps, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, weight * event, len(steps))
    censored = np.bincount(place, weight * (1 - event), len(steps))
    later = np.append(np.cumsum((events + censored)[::-1])[::-1][1:], 0.0)
    at_risk = later + censored
    # later / at_risk is 1 - censored / at_risk without its rounding.
    factor = np.divide(later, at_risk, out=np.ones(len(steps)), where=censored > 0)
    return steps, np.append(1.0, np.cumprod(factor))


def _without_entry(y, name):
    target = read_survival(y, name)
    late = np.isfinite(target[:, ENTRY])
    if late.any():
        raise ValueError(
            f"{name} must have no entries: the weights for censoring are those of samples that are "
            f"observed from the beginning; got entry {target[late, ENTRY][0]} at index "
            f"{int(late.argmax())}"
        )
    return target


def _vector(x, name, n=None):
    check_on_host("Survival analysis", **{name: x})
    x = finite(kernel_array(x, name), name)
    x = x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else np.atleast_1d(x)
    if x.ndim != 1 or (n is not None and len(x) != n):
        raise ValueError(f"{name} must have shape ({'n' if n is None else n},); got {x.shape}")
    return x.astype(np.float64, copy=False)


def _probabilities(x, shape):
    check_on_host("Survival analysis", survival_probabilities=x)
    x = finite(kernel_array(x, "survival_probabilities"), "survival_probabilities")
    x = x.reshape(shape) if x.ndim == 1 and x.shape == shape[:1] and shape[1] == 1 else x
    if x.shape != shape:
        raise ValueError(
            f"survival_probabilities must have shape {shape}, (n_samples, n_times); got {x.shape}"
        )
    outside = (x < 0) | (x > 1)
    if outside.any():
        at = np.unravel_index(int(outside.argmax()), shape)
        raise ValueError(
            f"survival_probabilities must lie in [0, 1]; got {x[at]} at index "
            f"{', '.join(map(str, at))}"
        )
    return x.astype(np.float64, copy=False)
