"""The arrays of the stand-in for CuPy: NumPy's, wrapped, and as strict as CuPy's.

Nothing converts to NumPy or from it unasked. Methods and operators call the functions of `module`,
which `cupy_on_cpu` fills.
"""

import operator
import types

import cuda_on_cpu
import numpy as np
from cuda_on_cpu import cuda

module = types.ModuleType("cupy")
COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
_REFUSAL = (
    "Implicit conversion to a NumPy array is not allowed. "
    "Please use `.get()` to construct a NumPy array explicitly."
)
_SCALARS = (bool, int, float, complex, np.generic)

# ------------------------------------------------------------------------ into NumPy, and out again


def supported(dtype):
    dtype = np.dtype(dtype)
    if dtype.char not in "?bhilqBHILQefdFD":
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def wrap(a):
    """An array of the current device around a NumPy array or scalar."""
    self = ndarray.__new__(ndarray)
    self._a = np.asarray(a)
    supported(self._a.dtype)
    self._memory = cuda_on_cpu.Memory(self._a.nbytes, cuda_on_cpu.get_device())
    self._base = None
    return self


def view_of(a, of):
    self = ndarray.__new__(ndarray)
    self._a, self._memory = a, of._memory
    self._base = of if of._base is None else of._base
    return self


def bare(x):
    """What NumPy's functions get for an argument; a NumPy array is refused."""
    if isinstance(x, ndarray):
        cuda_on_cpu.check_device(x._memory.device_id)
        return x._a
    if isinstance(x, np.ndarray) or hasattr(x, "tocsr"):
        raise TypeError(f"Unsupported type {type(x)}")
    if type(x) in (list, tuple):
        return type(x)(bare(part) for part in x)
    return x


def result(x, args):
    if isinstance(x, (np.ndarray, np.generic, bool)):
        for arg in args:
            if isinstance(arg, ndarray) and np.may_share_memory(x, arg._a):
                return view_of(x, arg)
        return wrap(x)
    if isinstance(x, (list, tuple)):
        return (list if type(x) is list else tuple)(result(part, args) for part in x)
    return x


def call(function, *args, **kwargs):
    cuda_on_cpu.computed()
    out = kwargs.get("out")
    if out is not None and not isinstance(out, ndarray):
        raise TypeError("return arrays must be of ArrayType")
    with np.errstate(all="ignore"):
        made = function(*map(bare, args), **{k: bare(v) for k, v in kwargs.items()})
    return result(made, args) if out is None else out


def garbage(a):
    """NaN, True, or a number far from zero everywhere."""
    a.fill(True if a.dtype == bool else np.nan if a.dtype.kind in "fc" else 0x55)
    return a


# ---------------------------------------------------------------------------------------- the array


class ndarray:
    """CuPy's, over a NumPy array."""

    __slots__ = ("__weakref__", "_a", "_base", "_memory")
    __module__ = "cupy"
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        self._a = garbage(np.empty(shape, supported(dtype), order))
        self._memory = cuda_on_cpu.Memory(self._a.nbytes, cuda_on_cpu.get_device())
        self._base = None

    dtype = property(lambda self: self._a.dtype)
    shape = property(lambda self: self._a.shape)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    base = property(lambda self: self._base)
    device = property(lambda self: self._memory.device)
    data = property(lambda self: cuda_on_cpu.MemoryPointer(self._memory, self._a.ctypes.data))
    real = property(lambda self: view_of(self._a.real, self))
    T = property(lambda self: self if self.ndim < 2 else view_of(self._a.T, self))

    @property
    def flags(self):
        flags = self._a.flags
        return types.SimpleNamespace(
            c_contiguous=flags.c_contiguous,
            f_contiguous=flags.f_contiguous,
            owndata=self._base is None,
        )

    @property
    def __cuda_array_interface__(self):
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "descr": self.dtype.descr,
            "stream": cuda.get_current_stream().ptr or 1,
            "version": 3,
            "strides": None if self._a.flags.c_contiguous else self.strides,
            "data": (self._a.ctypes.data if self.size else 0, False),
        }

    def __dlpack_device__(self):
        return 2, self._memory.device_id

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        # A capsule says where its memory is, and ours could say nothing but that it is the host's.
        if dl_device is None or tuple(dl_device) != (1, 0):
            raise BufferError("Unsupported device in DLTensor.")
        return self.get().__dlpack__()

    def __array__(self, dtype=None, copy=None):
        raise TypeError(_REFUSAL)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or not hasattr(module, ufunc.__name__):
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        if ufunc.__name__ in COMPARISONS:
            inputs = [x.item() if isinstance(x, np.ndarray) and x.ndim == 0 else x for x in inputs]
        for x in inputs:
            if not isinstance(x, (ndarray, np.ndarray, *_SCALARS)):
                return NotImplemented
        return getattr(module, ufunc.__name__)(*inputs, **kwargs)

    def __array_function__(self, func, types, args, kwargs):
        where = module if func.__module__ == "numpy" else None
        for name in func.__module__.split(".")[1:]:
            where = getattr(where or module, name, None)
        function = getattr(where, func.__name__, None)
        if function is None or not all(issubclass(t, (ndarray, np.ndarray)) for t in types):
            return NotImplemented
        return function(*args, **kwargs)

    # To the host.

    def get(self, stream=None, order="C", out=None, blocking=True):
        if blocking:
            cuda_on_cpu.synchronized()
        if out is None:
            return np.array(self._a, order=order)
        if not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        if out.dtype != self.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        if out.shape != self.shape:
            raise ValueError(
                f"Shape mismatch. Expected shape: {self.shape}, actual shape: {out.shape}"
            )
        out[...] = self._a
        return out

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        cuda_on_cpu.uploaded()
        self._a[...] = arr

    def item(self):
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def tobytes(self, order="C"):
        return self.get().tobytes(order)

    def __bool__(self):
        if self.size > 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. "
                "Use a.any() or a.all()"
            )
        return bool(self.get()) if self.size else False

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __complex__(self):
        return complex(self.get())

    def __repr__(self):
        return repr(self.get())

    def __str__(self):
        return str(self.get())

    def __format__(self, spec):
        return format(self.get(), spec)

    def __reduce__(self):
        return module.array, (self.get(),)

    # Containers.

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        index = _index(index)
        if any(isinstance(i, np.ndarray) for i in index):
            return call(lambda a: a[index], self)
        return view_of(self._a[index if Ellipsis in index else (*index, Ellipsis)], self)

    def __setitem__(self, index, value):
        index = _index(index)
        advanced = any(isinstance(i, np.ndarray) for i in index)
        if isinstance(value, (np.ndarray, list, tuple)) and np.ndim(value):
            if not advanced:
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            value = module.array(value, dtype=self.dtype)
        elif isinstance(value, np.ndarray):
            value = value.item()
        call(lambda a, value: operator.setitem(a, index, value), self, value)

    def copy(self, order="C"):
        # The one thing that reaches another device.
        cuda_on_cpu.computed()
        return wrap(np.array(self._a, order=order))

    __copy__ = copy

    def __deepcopy__(self, memo):
        with self.device:
            return self.copy()

    def view(self, dtype=None, type=None):
        return view_of(self._a.view(self.dtype if dtype is None else supported(dtype)), self)

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        cuda_on_cpu.computed()
        dtype = supported(dtype)
        if not copy and dtype == self.dtype and order == "K":
            return self
        with np.errstate(all="ignore"):
            return wrap(bare(self).astype(dtype, order=order))

    def fill(self, value):
        if isinstance(value, np.ndarray):
            if value.ndim:
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            value = value.item()
        call(np.ndarray.fill, self, value)

    def sort(self, axis=-1, kind=None):
        if kind not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        call(lambda a: a.sort(axis, kind="stable"), self)

    def reshape(self, *shape, order="C", copy=None):
        return result(self._a.reshape(*shape, order=order), [self])

    def transpose(self, *axes):
        return view_of(self._a.transpose(*axes), self)

    def clip(self, min=None, max=None, out=None):
        return module.clip(self, min, max, out)

    def __pos__(self):
        return self

    def __divmod__(self, other):
        return self // other, self % other

    def __matmul__(self, other):
        return NotImplemented if _defer(other) else module.matmul(self, other)

    def __rmatmul__(self, other):
        return module.matmul(other, self)


def _index(index):
    """An index for NumPy. CuPy uploads lists and NumPy's arrays; how many a mask selects, the host
    has to know."""
    parts = []
    for i in index if type(index) is tuple else (index,):
        if isinstance(i, (list, np.ndarray)):
            i = module.array(np.asarray(i, dtype=None if np.size(i) else np.int32))
        if isinstance(i, ndarray):
            if i.dtype.kind == "b":
                cuda_on_cpu.synchronized()
            elif i.dtype.kind not in "iu":
                raise IndexError(
                    "arrays used as indices must be of integer or boolean type. "
                    f"(actual: {i.dtype.type})"
                )
            i = bare(i)
        elif isinstance(i, float):
            i = int(i)
        parts.append(i)
    return tuple(parts)


# ------------------------------------------------------------------------- methods and operators


def _method(name):
    def method(self, *args, **kwargs):
        return getattr(module, name)(self, *args, **kwargs)

    method.__name__ = name
    return method


for _name in """sum prod mean std var max min any all argmax argmin argsort cumsum cumprod nonzero
    ravel squeeze swapaxes repeat round take dot""".split():
    setattr(ndarray, _name, _method(_name))
ndarray.flatten = lambda self, order="C": self.ravel(order).copy()


def _operators(name, ufunc, in_place=True):
    def left(self, other):
        return NotImplemented if _defer(other) else getattr(np, ufunc)(self, other)

    def right(self, other):
        return getattr(np, ufunc)(other, self)

    def inside(self, other):
        return getattr(module, ufunc)(self, other, out=self)

    setattr(ndarray, f"__{name}__", left)
    setattr(ndarray, f"__r{name}__", right)
    if in_place:
        setattr(ndarray, f"__i{name}__", inside)


def _defer(other):
    return getattr(other, "__array_ufunc__", 0) is None or (
        not hasattr(other, "__array_ufunc__") and getattr(other, "__array_priority__", 0) > 100
    )


for _name, _ufunc in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}.items():
    _operators(_name, _ufunc)
for _name, _ufunc in zip(("gt", "ge", "lt", "le", "eq", "ne"), COMPARISONS, strict=True):
    _operators(_name, _ufunc, in_place=False)
for _name, _ufunc in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
    setattr(ndarray, f"__{_name}__", _method(_ufunc))
