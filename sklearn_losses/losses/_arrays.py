"""Checks of the arrays that losses are given, and what is computed of them on any device."""

import numpy as np
from scipy.special import xlogy

from sklearn_losses._array import array_namespace, on_device, to_host


def relative_weight(sample_weight):
    """Weights divided by a power of two, so that the largest lies in [0.5, 1): neither their sum
    nor float32 loses them. Where it is near 1 already, they are returned as they are.

    Parameters
    ----------
    sample_weight : array of shape (n_samples,)
        Not negative, not all zero.

    Returns
    -------
    relative_weight : array of the same shape
    """
    exponent = int(np.frexp(float(to_host(sample_weight.max())))[1])
    if -8 <= exponent <= 8:
        return sample_weight
    return array_namespace(sample_weight).ldexp(sample_weight, -exponent)


def shaped_weight(sample_weight, n_samples):
    """Weights, or the error that says which shape they must have."""
    if sample_weight.shape != (n_samples,):
        raise ValueError(f"sample_weight must have shape ({n_samples},); got {sample_weight.shape}")
    return sample_weight


def finite(x, name):
    """`x`, or the error that says where it is not finite."""
    xp = array_namespace(x)
    # A sum is finite only if every term is; it may overflow, and then the elements decide.
    with np.errstate(over="ignore", invalid="ignore"):
        total = x.sum(dtype=np.float64)
    if not xp.isfinite(total):
        bad = ~xp.isfinite(x)
        if bad.any():
            first = np.unravel_index(int(bad.argmax()), x.shape)
            at = int(first[0]) if len(first) == 1 else tuple(int(i) for i in first)
            raise ValueError(f"{name} must be finite; got {to_host(x[first])} at index {at}")
    return x


def x_log_x(x):
    """``x * log(x)``, and its limit 0 at 0.

    Parameters
    ----------
    x : array or float

    Returns
    -------
    x_log_x : array of the same shape
    """
    if not on_device(x):
        return xlogy(x, x)
    xp = array_namespace(x)
    return x * xp.log(xp.where(x == 0, xp.ones_like(x), x))
