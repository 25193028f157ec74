"""CUDA kernels of the very headers that the CPU compiles, made by CuPy when they are first used.

Nothing here runs before an array of a GPU is seen, and nothing but this module imports CuPy.
"""

import re
from collections import OrderedDict
from functools import cache
from importlib.resources import files
from threading import Lock

import numpy as np

# Threads of a block, as device.h has it.
BLOCK = 256
# A null pointer: a kernel's argument for an array that is not there.
NULL = np.uintp(0)
# No contraction into fused multiply-adds beyond those that are written: the formulas' error bounds
# hold for the operations as they stand.
OPTIONS = ("-std=c++17", "--fmad=false")

_INCLUDE = re.compile(r'^#include "([\w/]+\.h)"\n', re.MULTILINE)
_lock = Lock()
_modules = {}
_constants = OrderedDict()
MOST_CONSTANTS = 256


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
    if cp not in _ready:
        try:
            count = cp.cuda.runtime.getDeviceCount()
        except cp.cuda.runtime.CUDARuntimeError as error:
            raise RuntimeError(
                f"CuPy {cp.__version__} cannot use a CUDA driver ({error}). Install the NVIDIA "
                "driver, or the CuPy that fits it: 'sklearn-losses[cuda13]' needs driver 580 or "
                "newer, 'sklearn-losses[cuda12]' 525 or newer; or pass NumPy arrays"
            ) from error
        if count == 0:
            raise RuntimeError("CuPy finds no CUDA device; pass NumPy arrays")
        _ready.append(cp)
    return cp


_ready = []


def forget():
    """Drop every compiled kernel and every constant on a device."""
    with _lock:
        _modules.clear()
        _constants.clear()
        _ready.clear()


@cache
def header(name):
    """The text of a header, by its path from the folder of all kernels."""
    return files("sklearn_losses").joinpath("_kernels", name).read_text(encoding="utf-8")


def source_of(name):
    """The text of a header and of all that it includes, each once: what CuPy's cache of compiled
    kernels has for its key."""
    seen = set()

    def expand(name):
        if name in seen:
            return ""
        seen.add(name)
        return _INCLUDE.sub(lambda match: expand(match.group(1)), header(name))

    return expand(name)


def kernels(header, wrappers):
    """The compiled module of a header and of the ``extern "C"`` kernels that follow it.

    Parameters
    ----------
    header : str
        Its name.
    wrappers : str
        CUDA text.

    Returns
    -------
    get : callable
        ``get(name)(grid, block, args, shared_mem=0)`` launches a kernel on the current stream.
    """
    key = (header, wrappers)
    with _lock:
        module = _modules.get(key)
        if module is None:
            module = _Module(source_of(header) + wrappers)
            _modules[key] = module
    return module


class _Module:
    def __init__(self, code):
        self.module = cupy().RawModule(code=code, options=OPTIONS)
        self.functions = {}

    def __call__(self, name):
        function = self.functions.get(name)
        if function is None:
            function = self.functions[name] = self.module.get_function(name)
        return function


def constants(numbers):
    """Numbers in the memory of the current device, kept there for the next call with the same on
    the same stream, which does not wait for the copy.

    Parameters
    ----------
    numbers : ndarray, float64, contiguous

    Returns
    -------
    array : cupy.ndarray
        Of at least one element. Not to be written to.
    """
    cp = cupy()
    stream = cp.cuda.get_current_stream().ptr
    key = (cp.cuda.runtime.getDevice(), stream, numbers.tobytes())
    with _lock:
        array = _constants.get(key)
        if array is not None:
            _constants.move_to_end(key)
            return array
    array = cp.asarray(numbers if numbers.size else np.zeros(1))
    with _lock:
        _constants[key] = array
        while len(_constants) > MOST_CONSTANTS:
            _constants.popitem(last=False)
    return array


def blocks_for(n, per_block=BLOCK):
    """How many blocks take `n` items, at least one."""
    return max(1, -(-n // per_block))
