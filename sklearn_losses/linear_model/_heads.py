"""Targets that a loss reads for itself: of all samples together, or of several heads.

A location is in the units of y, in which a penalty of its weights would have no meaning beside
likelihoods. Fits are of y over its spread; their penalty counts the weights over it too.
"""

from dataclasses import replace

import numpy as np

from sklearn_losses._solvers.data import Data


def read_data(estimator, samples, loss, suffix):
    """`Data` of X and of targets that the loss has read."""
    X, y = samples.X, samples.y
    weight = estimator._check_weights(samples.sample_weight, X, f"sample_weight{suffix}")
    offset = offset_of_heads(estimator, samples.offset, X, loss, f"offset{suffix}")
    target = "separate" if y.ndim == 2 else "shared"
    return Data(X, y, [loss], loss.n_heads, target, sample_weight=weight, offset=offset)


def offset_of_heads(estimator, offset, X, loss, name="offset"):
    """A checked offset; one number a sample is the first head's."""
    offset = estimator._check_offset(offset, X, loss.n_heads, name)
    if offset is None or offset.ndim == 2 or loss.n_heads == 1:
        return offset
    return np.column_stack([offset, np.zeros((len(offset), loss.n_heads - 1))])


def over_unit(data, unit):
    """Data of targets over a unit."""
    if unit == 1.0:
        return data
    offset = data.offset
    if offset is not None:
        offset = np.column_stack([offset[:, 0] / unit, offset[:, 1:]])
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
