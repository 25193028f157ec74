"""Targets that a loss reads for itself: of all samples together, or of several heads.

A location is in the units of y, in which a penalty of its weights would have no meaning beside
likelihoods. Fits are of y over its spread; their penalty counts the weights over it too.
"""

from dataclasses import replace

import numpy as np
from sklearn.utils.validation import check_array

from sklearn_losses._array import array_namespace, on_device
from sklearn_losses._solvers.data import Data
from sklearn_losses._states import number
from sklearn_losses.linear_model._validation import one_column


def read_data(estimator, samples, loss, suffix, may_be_zero):
    """`Data` of X and of targets that the loss has read."""
    X, y = samples.X, samples.y
    weight = estimator._check_weights(
        samples.sample_weight, X, f"sample_weight{suffix}", may_be_zero=may_be_zero
    )
    offset = offset_of_heads(estimator, samples.offset, X, loss, f"offset{suffix}")
    target = "separate" if y.ndim == 2 else "shared"
    return Data(X, y, [loss], loss.n_heads, target, sample_weight=weight, offset=offset)


def offset_of_heads(estimator, offset, X, loss, name="offset"):
    """A checked offset; one number a sample is the first head's."""
    offset = estimator._check_offset(offset, X, loss.n_heads, name)
    if offset is None or offset.ndim == 2 or loss.n_heads == 1:
        return offset
    xp = array_namespace(offset)
    return xp.column_stack([offset, xp.zeros((len(offset), loss.n_heads - 1))])


def check_for_heads(estimator, heads, low, high):
    """Refuse what has no meaning for a loss of several heads.

    Parameters
    ----------
    estimator : estimator
    heads : Loss
        That is minimised, of `n_heads` raw predictions a sample.
    low, high : ndarray of shape (n_features,) or None
        Bounds of the weights.
    """
    told = ", ".join(heads.heads)
    if not estimator.fit_intercept and heads.shapes_need_intercepts:
        raise ValueError(
            f"fit_intercept must be True: {told} are what they are without X too; got False"
        )
    if low is not None and (heads.shapes_need_intercepts or (low > 0).any() or (high < 0).any()):
        raise ValueError(
            f"bounds and positive are for the weights of one raw prediction a sample, and must "
            f"hold 0 for ordered classes; this loss has {told}"
        )


def over_unit(data, unit):
    """Data of targets over a unit."""
    if unit == 1.0:
        return data
    offset = data.offset
    if offset is not None:
        offset = array_namespace(offset).column_stack([offset[:, 0] / unit, offset[:, 1:]])
    return replace(data, y=data.y / unit, offset=offset)


def moved(loss, coef, intercept, factor):
    """Weights and intercepts of a model of targets that are `factor` times as large."""
    if factor == 1.0:
        return coef, intercept
    coef, intercept = coef.copy(), intercept.astype(np.float64)
    coef[0] *= factor
    intercept[0] *= factor
    intercept[loss.log_scale_head] += np.log(factor)
    return coef, intercept


def target_unit(estimator, data, going_on):
    """What targets are divided by in fits; that of a stream is its first part's."""
    loss = data.losses[0]
    if not loss.reads_target:
        return 1.0
    if going_on:
        return number(0, above=True)(estimator._target_unit, "_target_unit")
    training = data.without_columns().training()
    return loss._unit_of(training.y, training.sample_weight)


def validated(estimator, samples, loss, reset, **options):
    """X and y as the loss takes them."""
    X, y = samples.X, samples.y
    if y is None or not loss.reads_target:  # without y, scikit-learn's error
        return estimator._validate(X, y, reset=reset, **options)
    if on_device(X):
        return estimator._validate(X, loss.read_target(one_column(y)), reset, own_target=True)
    if loss._one_column and getattr(getattr(y, "dtype", None), "names", None) is None:
        given = {"ensure_2d": False, "dtype": "numeric", "ensure_all_finite": False}
        y = one_column(check_array(y, input_name="y", **given))
    return estimator._validate(X, loss.read_target(y), reset, own_target=True)
