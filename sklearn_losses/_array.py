"""Which namespace an array lives in. No array library but NumPy is imported here: the array brings
its own."""

import numpy as np


def array_namespace(x):
    """The module whose functions work on `x`: NumPy, unless the array names another.

    Parameters
    ----------
    x : array-like

    Returns
    -------
    xp : module
    """
    if isinstance(x, np.ndarray) or not hasattr(x, "__array_namespace__"):
        return np
    return x.__array_namespace__()


def kernel_array(x, name):
    """`x` as an array that the kernels take: float32 and float64 as they are, other real numbers as
    float64.

    Parameters
    ----------
    x : array-like
    name : str
        What an error calls it.

    Returns
    -------
    x : ndarray of dtype float32 or float64

    Raises
    ------
    TypeError
        Where `x` does not hold real numbers.
    """
    if type(x) is np.ndarray and (x.dtype == np.float64 or x.dtype == np.float32):
        return x
    x = np.asarray(x)
    if x.dtype in (np.float32, np.float64):
        return x
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers; got dtype {x.dtype}")
    return x.astype(np.float64)
