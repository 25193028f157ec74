"""Which namespace and device an array lives in, and what finds CuPy. No array library but NumPy is
imported here before an array of a GPU is seen."""

from contextlib import contextmanager
from functools import cache, wraps
from numbers import Number

import numpy as np

# DLPack's names of a CUDA device's memory: its own, and managed.
_DLPACK_CUDA = (2, 13)


def cupy():
    """The module CuPy, or the error that says what is missing.

    Returns
    -------
    cupy : module

    Raises
    ------
    ImportError
        Where CuPy is not installed.
    RuntimeError
        Where it finds no driver or no device.
    """
    try:
        import cupy as cp
    except ImportError as error:
        raise ImportError(
            "arrays of a GPU need CuPy, built for your CUDA: pip install 'sklearn-losses[cuda13]' "
            "(for drivers of CUDA 12: 'sklearn-losses[cuda12]')"
        ) from error
    _check_for_a_device(cp)
    return cp


@cache
def _check_for_a_device(cp):
    try:
        count = cp.cuda.runtime.getDeviceCount()
    except cp.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(
            f"CuPy {cp.__version__} cannot use a CUDA driver ({error}). Install the NVIDIA driver, "
            "or the CuPy that fits it: 'sklearn-losses[cuda13]' needs driver 580 or newer, "
            "'sklearn-losses[cuda12]' 525 or newer; or pass NumPy arrays"
        ) from error
    if count == 0:
        raise RuntimeError("CuPy finds no CUDA device; pass NumPy arrays")


def on_device(x):
    """Whether `x` is an array, or a sparse matrix, in the memory of a CUDA device.

    Parameters
    ----------
    x : object

    Returns
    -------
    on_device : bool
    """
    kind = type(x)
    if kind is np.ndarray or kind in (float, int, list, tuple, str, type(None)):
        return False
    if hasattr(kind, "__cuda_array_interface__"):
        if not hasattr(kind, "__dlpack_device__"):
            return True
        # A tensor of PyTorch has the attribute on the CPU too.
        return x.__dlpack_device__()[0] in _DLPACK_CUDA
    if hasattr(kind, "__dlpack_device__"):
        return not isinstance(x, np.ndarray) and x.__dlpack_device__()[0] in _DLPACK_CUDA
    # A sparse matrix is where its elements are.
    return hasattr(x, "tocsr") and on_device(getattr(x, "data", None))


def array_namespace(x):
    """The module whose functions work on `x`: NumPy, unless the array names another.

    Parameters
    ----------
    x : array-like

    Returns
    -------
    xp : module
    """
    if isinstance(x, np.ndarray):
        return np
    if on_device(x):
        return cupy()
    return x.__array_namespace__() if hasattr(x, "__array_namespace__") else np


def place_of(x):
    """Where `x` is, for people: "cuda:0", or what kind of host object it is."""
    if on_device(x):
        return f"on cuda:{_device_number(x)}"
    return f"on the host ({type(x).__module__.split('.')[0]}.{type(x).__name__})"


def _device_number(x):
    x = x.data if hasattr(x, "tocsr") else x
    if hasattr(x, "__dlpack_device__"):
        return int(x.__dlpack_device__()[1])
    return int(cupy().asarray(x).device.id)


def special_functions(xp):
    """The module of SciPy's special functions that work on arrays of a namespace.

    Parameters
    ----------
    xp : module
        NumPy or CuPy.

    Returns
    -------
    special : module
    """
    if xp is np:
        import scipy.special as special
    else:
        import cupyx.scipy.special as special
    return special


def common_namespace(**arrays):
    """The namespace in which all the arrays are: CuPy if they are on one CUDA device, else NumPy.

    Parameters
    ----------
    **arrays : array-like, number or None
        By the names that an error calls them; None and numbers are nowhere.

    Returns
    -------
    xp : module

    Raises
    ------
    ValueError
        Where one is on a device and another is not, or on another device; the message says which.
    """
    given = {n: x for n, x in arrays.items() if x is not None and not isinstance(x, Number)}
    if not any(map(on_device, given.values())):
        return np
    places = {name: place_of(x) for name, x in given.items()}
    if len(set(places.values())) > 1:
        where = ", ".join(f"{name} is {place}" for name, place in places.items())
        raise ValueError(
            f"all arrays must be on the same device; {where}. Move them: cupy.asarray(array) takes "
            "an array to the current device, cupy.asnumpy(array) to the host"
        )
    return cupy()


@contextmanager
def computing_on(**arrays):
    """A context in which the arrays' device is the current one; its value is what
    `common_namespace` returns, whose errors it raises.

    Parameters
    ----------
    **arrays : array-like, number or None
    """
    xp = common_namespace(**arrays)
    if xp is np:
        yield xp
        return
    with xp.cuda.Device(next(_device_number(x) for x in arrays.values() if on_device(x))):
        yield xp


def check_on_host(owner, **arrays):
    """Raise where an array is on a device, for what computes on the host alone.

    Parameters
    ----------
    owner : str
        What an error says that of.
    **arrays : object
        By the names that an error calls them.

    Raises
    ------
    ValueError
    """
    for name, x in arrays.items():
        if on_device(x):
            raise ValueError(
                f"{owner} is for arrays on the host; {name} is on a device. Move it: "
                f"cupy.asnumpy({name}) takes an array to the host"
            )


def device_array(x):
    """A CuPy array that shares the memory of `x`, which is on a device; CuPy's own arrays and
    sparse matrices as they are.

    Parameters
    ----------
    x : object
        For which `on_device` holds.

    Returns
    -------
    x : cupy.ndarray or cupyx.scipy.sparse matrix
    """
    cp = cupy()
    if isinstance(x, cp.ndarray) or hasattr(x, "tocsr"):
        return x
    if hasattr(x, "detach"):  # PyTorch lends no memory of a tensor that requires a gradient
        x = x.detach()
    if hasattr(x, "__dlpack__"):
        return cp.from_dlpack(x)
    return cp.asarray(x)


def on_its_device(method):
    """Decorate a method of one array: an array of a device comes as CuPy's, and its device is the
    current one.

    Parameters
    ----------
    method : callable
        ``method(self, x)``.

    Returns
    -------
    method : callable
    """

    @wraps(method)
    def wrapper(self, x):
        if not on_device(x):
            return method(self, x)
        with computing_on(x=x):
            return method(self, device_array(x))

    return wrapper


def to_host(x):
    """`x` with every array in it on the host: arrays and sparse matrices of a device, and those in
    dicts, lists, tuples and models; all else as it is.

    Parameters
    ----------
    x : object

    Returns
    -------
    x : object
    """
    if isinstance(x, dict):
        return {key: to_host(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        items = [to_host(value) for value in x]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    if hasattr(type(x), "_on_host"):
        return x._on_host()
    return device_array(x).get() if on_device(x) else x


def share_memory(a, b):
    """Whether two arrays have an element in common.

    Parameters
    ----------
    a, b : ndarray
        Of a device: as the views of `as_if_here`.

    Returns
    -------
    share_memory : bool
        True where that takes too long to find out.
    """
    try:
        return np.shares_memory(a, b, max_work=10_000)
    except np.exceptions.TooHardError:
        return True


def as_if_here(x):
    """An array of a device as a NumPy array of the same addresses, whose elements nobody may read.

    Parameters
    ----------
    x : cupy.ndarray

    Returns
    -------
    x : ndarray
    """

    class Addresses:
        __array_interface__ = {
            "data": (x.data.ptr, True),
            "shape": x.shape,
            "strides": x.strides,
            "typestr": x.dtype.str,
            "version": 3,
        }

    return np.asarray(Addresses())


def in_namespace(x, xp):
    """`x`, an array of any place, as an array of `xp`, on the current device.

    Parameters
    ----------
    x : ndarray of NumPy or CuPy
    xp : module

    Returns
    -------
    x : array of xp
    """
    if xp is np:
        return to_host(x)
    if not on_device(x):
        return xp.asarray(x)
    x = device_array(x)
    # A copy is made on the current device.
    return x if x.device.id == xp.cuda.Device().id else x.copy()


def kernel_array(x, name):
    """`x` as an array that the kernels take: float32 and float64 as they are, other real numbers as
    float64. An array of a device becomes CuPy's, all else NumPy's.

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
        return x if x.flags.aligned else x.copy()
    x = device_array(x) if on_device(x) else np.asarray(x)
    if x.dtype in (np.float32, np.float64):
        return x
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers; got dtype {x.dtype}")
    if type(x) is np.ndarray:
        return x.astype(np.float64)
    with computing_on(x=x):
        return x.astype(np.float64)
