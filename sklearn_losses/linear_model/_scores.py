"""The estimators' scores: of predictions on a device, where scikit-learn's metrics cannot go (each
reads one array back), and by the estimator's own loss."""

import math
import warnings

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils.validation import check_consistent_length

from sklearn_losses._array import array_namespace, device_array, on_device, to_host
from sklearn_losses._sklearn_compat import check_sample_weight
from sklearn_losses.linear_model._validation import check_finite
from sklearn_losses.losses.constants import scaled_weight
from sklearn_losses.metrics import d2_loss_score


def _doubles(x):
    return device_array(x) if on_device(x) else np.asarray(x, dtype=np.float64)


def summable(sample_weight):
    """Weights whose largest is near 1, so that no sum of them overflows or is lost; what is
    wrong with them stays wrong.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None

    Returns
    -------
    sample_weight : array of the same shape and dtype float64, or None
    """
    if sample_weight is None:
        return None
    weight = _doubles(sample_weight).astype(np.float64, copy=False)
    if on_device(weight):  # without waiting for it
        return weight / weight.max() if weight.size else weight
    return scaled_weight(weight) if weight.size else weight


def _arguments(y, y_pred, sample_weight):
    """CuPy arrays whose shapes fit: y, predictions, weights."""
    y = device_array(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if sample_weight is not None:
        sample_weight = device_array(sample_weight)
    check_consistent_length(y, y_pred, sample_weight)
    if y.shape != y_pred.shape:
        raise ValueError(f"y has the shape {y.shape}, and its predictions have {y_pred.shape}")
    return y, y_pred, sample_weight


def _why_not(score, y, sample_weight):
    """`score`, if it is a number; else the error that says what is wrong with the arguments."""
    if not math.isfinite(score):
        check_finite(y, input_name="y")
        if sample_weight is not None:
            weight = to_host(sample_weight)
            check_sample_weight(weight, np.broadcast_to(0.0, (len(y), 1)))
            if not weight.any():  # scikit-learn before 1.9 does not look
                raise ValueError("Sample weights must contain at least one non-zero number.")
    return score


def accuracy(y, y_pred, sample_weight=None):
    """scikit-learn's `accuracy_score` on a device.

    Parameters
    ----------
    y, y_pred : array of shape (n_samples,) or (n_samples, n_labels)
    sample_weight : array of shape (n_samples,) or None, default=None

    Returns
    -------
    score : float
    """
    y, y_pred, sample_weight = _arguments(y, y_pred, sample_weight)
    xp = array_namespace(y_pred)
    right = y == y_pred
    right = right.all(axis=1) if right.ndim == 2 else right
    weight = xp.ones(len(y)) if sample_weight is None else summable(sample_weight)
    # A label that is not a number equals none, and would count as wrong: the sum tells.
    sums = [(right * weight).sum(), weight.sum(), y.sum(dtype=np.float64) * 0]
    hits, total, nothing = xp.stack([x.astype(np.float64) for x in sums]).get().tolist()
    return _why_not(hits / total + nothing if total else math.nan, y, sample_weight)


def r2(y, y_pred, sample_weight=None):
    """scikit-learn's `r2_score` on a device, with its defaults.

    Parameters
    ----------
    y, y_pred : array of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array of shape (n_samples,) or None, default=None

    Returns
    -------
    score : float
        The mean over the outputs.
    """
    y, y_pred, sample_weight = _arguments(y, y_pred, sample_weight)
    if len(y) < 2:
        warnings.warn(
            "R^2 score is not well-defined with less than two samples.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
        return math.nan
    xp = array_namespace(y_pred)
    y, y_pred = (x.astype(np.float64).reshape(len(x), -1) for x in (y, y_pred))
    weight = xp.ones(len(y)) if sample_weight is None else summable(sample_weight)
    weight = weight[:, None]
    mean = (weight * y).sum(axis=0) / weight.sum()
    left = (weight * (y - y_pred) ** 2).sum(axis=0)
    spread = (weight * (y - mean) ** 2).sum(axis=0)
    left, spread = xp.stack([left, spread]).get()
    # Of a target that does not vary: 1 if it is met, else 0.
    scores = np.where(left == 0, 1.0, 0.0)
    scores[spread != 0] = 1 - left[spread != 0] / spread[spread != 0]
    return _why_not(float(np.mean(scores)), y, sample_weight)


def d2(members, y, raw, sample_weight=None, offset=None):
    """`d2_loss_score` of each output, averaged.

    Parameters
    ----------
    members : list of Loss
        One for all outputs, or one for each.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    raw : array of shape (n_samples, n_outputs)
        Raw predictions, with the offset.
    sample_weight : array-like of shape (n_samples,) or None, default=None
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs) or None, default=None

    Returns
    -------
    score : float
    """
    check_consistent_length(y, raw, sample_weight, offset)
    raw = raw.astype(np.float64)
    if sample_weight is not None:
        sample_weight = _doubles(sample_weight)
    columns = [None if x is None else _doubles(x).reshape(len(raw), -1) for x in (y, offset)]

    def column(x, k):
        if x is None:
            return None
        xp = array_namespace(x)
        return xp.ascontiguousarray(x[:, k if x.shape[1] > 1 else 0], dtype=np.float64)

    scores = [
        d2_loss_score(
            column(columns[0], k),
            column(raw, k),
            loss=members[k if len(members) > 1 else 0],
            sample_weight=sample_weight,
            raw=True,
            offset=column(columns[1], k),
        )
        for k in range(raw.shape[1])
    ]
    return sum(scores) / len(scores)
