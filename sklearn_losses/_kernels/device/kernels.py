"""CUDA kernels of the very headers that the CPU compiles, made by CuPy when they are first used."""

import re
from collections import OrderedDict
from functools import cache
from importlib.resources import files
from threading import Lock

import numpy as np

from sklearn_losses._array import cupy
from sklearn_losses._kernels.device import declarations
from sklearn_losses._kernels.device.declarations import BLOCK

# A null pointer: a kernel's argument for an array that is not there.
NULL = np.uintp(0)
# No contraction into fused multiply-adds beyond those that are written: the formulas' error bounds
# hold for the operations as they stand.
OPTIONS = ("-std=c++17", "--fmad=false")
# Arrays of constants that are kept on devices.
MOST_CONSTANTS = 256

_INCLUDE = re.compile(r'^#include "([\w/]+\.h)"\n', re.MULTILINE)
_lock = Lock()
_modules = {}
_constants = OrderedDict()


def forget():
    """Drop every compiled kernel and every constant on a device."""
    with _lock:
        _modules.clear()
        _constants.clear()


@cache
def source_of(name):
    """The declarations, and the text of a header, by its path from the folder of all kernels, and
    of all that it includes, each once: what CuPy's cache of compiled kernels has for its key."""
    folder = files("sklearn_losses").joinpath("_kernels")
    seen = set()

    def expand(name):
        if name in seen:
            return ""
        seen.add(name)
        header = folder.joinpath(name).read_text(encoding="utf-8")
        return _INCLUDE.sub(lambda match: expand(match.group(1)), header)

    return declarations.text() + expand(name)


def compiled(header, wrappers):
    """The compiled module of a header and of the ``extern "C"`` kernels that follow it.

    Parameters
    ----------
    header : str
        Its path from the folder of all kernels.
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
            module = _modules[key] = _Module(source_of(header) + wrappers)
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
