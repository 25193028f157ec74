"""A stand-in for CuPy whose devices are the CPU, to test what runs on a GPU where there is none.

Arrays wrap NumPy's and are as strict as CuPy's: nothing converts to NumPy or from it unasked, and a
function or a keyword that CuPy lacks is missing here. `install` puts the modules where
`import cupy` finds them. Arrays are in `array_on_cpu`, devices and streams in `cuda_on_cpu`,
kernels in `kernels_on_cpu`, sparse matrices in `cupyx_on_cpu`.

Stricter than CuPy: an index out of bounds is an error (CuPy wraps it around); functions that look
at no more than their argument's methods refuse NumPy's arrays all the same; devices never reach
each other's memory; `empty` holds NaN.
"""

import inspect
import sys
from types import ModuleType, SimpleNamespace

import cuda_on_cpu
import kernels_on_cpu
import numpy as np
from array_on_cpu import COMPARISONS, bare, call, garbage, module, ndarray, result, supported, wrap
from cuda_on_cpu import counts, cuda, settings

__all__ = ["counts", "install", "module", "ndarray", "settings"]

# ------------------------------------------------------------------------------------ the functions

# Names, and what CuPy's functions of these names take.
_SIGNATURES = """
sum prod nansum mean nanmean: a, axis=None, dtype=None, out=None, keepdims=False
std var: a, axis=None, dtype=None, out=None, ddof=0, keepdims=False
max min amax amin nanmax nanmin any all ptp: a, axis=None, out=None, keepdims=False
argmax argmin: a, axis=None, dtype=None, out=None, keepdims=False
cumsum cumprod: a, axis=None, dtype=None, out=None
average: a, axis=None, weights=None, returned=False, *, keepdims=False
median: a, axis=None, out=None, overwrite_input=False, keepdims=False
quantile percentile: a, q, axis=None, out=None, overwrite_input=False, method="linear", \
    keepdims=False
count_nonzero: a, axis=None
argsort sort: a, axis=-1, kind=None
argpartition partition: a, kth, axis=-1
lexsort: keys
searchsorted: a, v, side="left", sorter=None
digitize: x, bins, right=False
bincount: x, weights=None, minlength=None
histogram: x, bins=10, range=None, density=False, weights=None
unique: ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *, \
    equal_nan=True
nonzero flatnonzero argwhere: a
where: condition, x=None, y=None
concatenate stack: tup, axis=0, out=None, *, dtype=None, casting="same_kind"
hstack vstack: tup, *, dtype=None, casting="same_kind"
column_stack: tup
split array_split: ary, indices_or_sections, axis=0
diff: a, n=1, axis=-1, prepend=None, append=None
repeat: a, repeats, axis=None
tile: A, reps
take_along_axis: a, indices, axis
put_along_axis: arr, indices, values, axis
compress: condition, a, axis=None, out=None
clip: a, a_min, a_max, out=None
round around: a, decimals=0, out=None
nan_to_num: x, copy=True, nan=0.0, posinf=None, neginf=None
ravel: a, order="C"
reshape: a, newshape, order="C", *, copy=None
expand_dims: a, axis
squeeze: a, axis=None
moveaxis: a, source, destination
swapaxes: a, axis1, axis2
transpose: a, axes=None
broadcast_to: array, shape
roll: a, shift, axis=None
flip: a, axis=None
tril triu: m, k=0
diag: v, k=0
eye: N, M=None, k=0, dtype=float, order="C"
atleast_1d atleast_2d: *arys
dot: a, b, out=None
vdot inner: a, b
outer: a, b, out=None
matmul: x1, x2, /, out=None, *, casting="same_kind", dtype=None
einsum: *operands, **kwargs
tensordot: a, b, axes=2
isin: element, test_elements, assume_unique=False, invert=False
array_equal: a1, a2, equal_nan=False
allclose isclose: a, b, rtol=1e-05, atol=1e-08, equal_nan=False
copy: a, order="K"
astype: x, dtype, /, *, copy=True
arange: start, stop=None, step=1, dtype=None
linspace: start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0
zeros ones: shape, dtype=float, order="C"
full: shape, fill_value, dtype=None, order="C"
zeros_like ones_like: a, dtype=None, order="K", subok=None, shape=None
full_like: a, fill_value, dtype=None, order="K", subok=None, shape=None
real imag: val
interp: x, xp, fp, left=None, right=None, period=None
pad: array, pad_width, mode="constant", **kwargs
"""
_UFUNCS = (
    """
exp exp2 expm1 log log1p log2 log10 sqrt cbrt square abs absolute fabs sign negative positive
reciprocal isfinite isnan isinf signbit floor ceil trunc rint sin cos tan arctan sinh cosh tanh
arcsinh arccosh arctanh logical_not invert
add subtract multiply divide true_divide floor_divide remainder mod fmod power maximum minimum fmax
fmin copysign ldexp nextafter arctan2 hypot logaddexp logical_and logical_or logical_xor bitwise_and
bitwise_or bitwise_xor left_shift right_shift
""".split()
    + list(COMPARISONS)
)
_TAKE_LISTS = {"concatenate", "stack", "hstack", "vstack", "column_stack", "lexsort", "einsum"}
_TAKE_LISTS |= {"zeros", "ones", "full"}
_ARRAYS_ONLY = {"where", "dot", "vdot", "inner", "outer", "isin", "array_equal", "allclose"}
_ARRAYS_ONLY |= {"isclose", "searchsorted", "bincount"}
# These have to know a number that is on the device.
_SYNCHRONIZE = {"nonzero", "flatnonzero", "argwhere", "unique", "bincount", "compress"}
_SYNCHRONIZE |= {"histogram", "nanmax", "nanmin"}
# No kernel runs, whatever the device.
_VIEWS = {"ravel", "reshape", "expand_dims", "squeeze", "moveaxis", "swapaxes", "transpose"}
_VIEWS |= {"broadcast_to", "real"}
# NumPy's own, which see no arrays.
_PLAIN = """
isscalar promote_types broadcast_shapes dtype finfo iinfo bool_ int8 int16 int32 int64 uint8 uint16
uint32 uint64 intp intc uintp float16 float32 float64 complex64 complex128 integer signedinteger
unsignedinteger floating inexact number generic newaxis inf nan pi e
""".split()


def define(name, parameters, compute=None, into=module):
    """A function of a module, of these parameters, that NumPy's of its name computes."""
    compute = compute or getattr(np, name)
    namespace = {}
    exec(f"def function({parameters}): pass", namespace)
    signature = inspect.signature(namespace["function"])
    takes_arrays_only = name in _ARRAYS_ONLY or "casting" in signature.parameters

    def function(*args, **kwargs):
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}() {error}") from None
        for x in args if takes_arrays_only else args[:1]:
            if isinstance(x, (list, tuple)) and name not in _TAKE_LISTS:
                raise TypeError(f"Unsupported type {type(x)}")
        if name in _SYNCHRONIZE:
            cuda_on_cpu.synchronized()
        if name in _VIEWS and isinstance(args[0], ndarray):
            return result(compute(args[0]._a, *args[1:], **kwargs), args)
        kwargs = {k: v for k, v in kwargs.items() if k != "out" or v is not None}
        return call(compute, *args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__signature__ = signature
    setattr(into, name, function)


def _where(condition, x=None, y=None):
    if x is None:
        cuda_on_cpu.synchronized()
        return np.nonzero(condition)
    return np.where(condition, x, y)


def _average(a, axis=None, weights=None, returned=False, *, keepdims=False):
    if weights is not None:
        cuda_on_cpu.synchronized()
    return np.average(a, axis, weights, returned, keepdims=keepdims)


def _quantile(function):
    def quantile(a, q, *args, **kwargs):
        return function(a, np.asarray(q, dtype=np.float64), *args, **kwargs)

    return quantile


def _bincount(x, weights=None, minlength=None):
    return np.bincount(x, weights, minlength or 0)


def _reshape(a, newshape, order="C", *, copy=None):
    return np.reshape(a, newshape, order)


def _sort(function):
    def sort(a, axis=-1, kind=None):
        if kind not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        return function(a, axis, kind="stable")

    return sort


def _repeat(a, repeats, axis=None):
    if np.ndim(repeats) and isinstance(repeats, np.ndarray):
        raise ValueError("cupy.ndaray cannot be specified as `repeats` argument.")
    return np.repeat(a, repeats, axis)


_COMPUTE = {
    "where": _where,
    "average": _average,
    "quantile": _quantile(np.quantile),
    "percentile": _quantile(np.percentile),
    "bincount": _bincount,
    "reshape": _reshape,
    "sort": _sort(np.sort),
    "argsort": _sort(np.argsort),
    "repeat": _repeat,
}

for _line in _SIGNATURES.strip().splitlines():
    _names, _parameters = _line.split(": ", 1)
    for _name in _names.split():
        define(_name, _parameters, _COMPUTE.get(_name))
for _name in _UFUNCS:
    _inputs = "x, /" if getattr(np, _name).nin == 1 else "x1, x2, /"
    define(_name, _inputs + ", out=None, *, casting='same_kind', dtype=None")
for _name in _PLAIN:
    setattr(module, _name, getattr(np, _name))


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if isinstance(obj, ndarray):
        if obj.device.id != cuda_on_cpu.get_device():
            obj = obj.copy()
        if not copy and (dtype is None or np.dtype(dtype) == obj.dtype) and ndmin <= obj.ndim:
            if order in (None, "K", "A") or obj._a.flags[f"{order}_CONTIGUOUS"]:
                return obj
        return call(np.array, obj, dtype=dtype, copy=True, order=order, ndmin=ndmin)
    if isinstance(obj, (list, tuple)) and any(isinstance(x, ndarray) for x in obj):
        return module.stack([asarray(x, dtype) for x in obj])
    if hasattr(obj, "__cuda_array_interface__"):
        interface = {k: v for k, v in obj.__cuda_array_interface__.items() if k != "stream"}
        shared = SimpleNamespace(__array_interface__=interface, owner=obj)
        return array(wrap(np.asarray(shared)), dtype, copy, order, ndmin=ndmin)
    a = np.array(obj, dtype=dtype, copy=True, order=order or "K", ndmin=ndmin)
    supported(a.dtype)
    cuda_on_cpu.uploaded()
    return wrap(a)


def take(a, indices, axis=None, out=None):
    # Lists and NumPy's arrays are uploaded, as in an index.
    if not np.isscalar(indices) and not isinstance(indices, ndarray):
        indices = array(indices, dtype=int)
    return call(np.take, a, indices, axis, **({} if out is None else {"out": out}))


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    return array(a, dtype, copy=bool(copy), order=order)


def ascontiguousarray(a, dtype=None):
    return array(a, dtype, copy=False, order="C", ndmin=1)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if isinstance(a, ndarray):
        return a.get(stream, order, out)
    return np.asarray(a, order=order)


def empty(shape, dtype=float, order="C"):
    return wrap(garbage(np.empty(shape, supported(dtype), order)))


def _like(function):
    def like(a, *args, **kwargs):
        # Of its shape and dtype alone, so that it may be NumPy's.
        return wrap(function(a if isinstance(a, np.ndarray) else bare(a), *args, **kwargs))

    return like


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return _like(lambda *a, **k: garbage(np.empty_like(*a, **k)))(
        prototype, dtype, order, shape=shape
    )


def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    return _like(np.zeros_like)(a, dtype, order, shape=shape)


def ones_like(a, dtype=None, order="K", subok=None, shape=None):
    return _like(np.ones_like)(a, dtype, order, shape=shape)


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    return _like(np.full_like)(a, bare(fill_value), dtype, order, shape=shape)


def copyto(dst, src, casting="same_kind", where=None):
    if isinstance(src, np.ndarray):
        if src.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
        src = src.item()
    call(
        lambda dst, src, where: np.copyto(dst, src, casting, where),
        dst,
        src,
        True if where is None else where,
    )


def may_share_memory(a, b, max_work=None):
    return np.may_share_memory(bare(a), bare(b))


def result_type(*arrays_and_dtypes):
    return np.result_type(*(x.dtype if isinstance(x, ndarray) else x for x in arrays_and_dtypes))


def can_cast(from_, to, casting="safe"):
    return np.can_cast(from_.dtype if isinstance(from_, ndarray) else from_, to, casting)


def ndim(a):
    return len(shape(a))


def shape(a):
    return a.shape if isinstance(a, ndarray) else np.shape(a)


def size(a, axis=None):
    return a.size if axis is None else a.shape[axis]


def get_array_module(*args):
    on_device = (isinstance(x, ndarray) or hasattr(x, "_scipy_class") for x in args)
    return module if any(on_device) else np


def from_dlpack(array, *, device=None, copy=None):
    if not isinstance(array, ndarray):
        raise TypeError("CPU arrays cannot be directly imported to CuPy. Use `cupy.array(...)`.")
    return array[...]


module.__dict__.update(
    __version__="14.2.0",
    __path__=[],
    ndarray=ndarray,
    array=array,
    asarray=asarray,
    asanyarray=asarray,
    ascontiguousarray=ascontiguousarray,
    asnumpy=asnumpy,
    empty=empty,
    empty_like=empty_like,
    zeros_like=zeros_like,
    ones_like=ones_like,
    full_like=full_like,
    take=take,
    copyto=copyto,
    may_share_memory=may_share_memory,
    shares_memory=may_share_memory,
    result_type=result_type,
    can_cast=can_cast,
    ndim=ndim,
    shape=shape,
    size=size,
    get_array_module=get_array_module,
    from_dlpack=from_dlpack,
    get_default_memory_pool=lambda: cuda_on_cpu._pool,
    cuda=cuda,
    RawKernel=kernels_on_cpu.RawKernel,
    RawModule=kernels_on_cpu.RawModule,
)


def install(monkeypatch):
    """Puts the stand-in where `import cupy` finds it, until `monkeypatch` takes it back."""
    from cupyx_on_cpu import cupyx

    cuda_on_cpu.reset()
    for name in [n for n in sys.modules if n.split(".")[0] in ("cupy", "cupyx")]:
        monkeypatch.delitem(sys.modules, name)
    waiting = [module, cupyx]
    for stand_in in waiting:
        monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
        waiting += [m for m in vars(stand_in).values() if isinstance(m, ModuleType)]
    return module
