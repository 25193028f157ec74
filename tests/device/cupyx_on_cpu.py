"""The stand-in's `cupyx.scipy.sparse` and `cupyx.scipy.special`."""

import types

import cuda_on_cpu
import numpy as np
import scipy.sparse
import scipy.special
from array_on_cpu import bare, ndarray, wrap
from cupy_on_cpu import asarray, define

special = types.ModuleType("cupyx.scipy.special")
_UFUNC = ", out=None, *, casting='same_kind', dtype=None"
for _name in ["expit", "logit", "log_ndtr", "ndtr", "ndtri", "erf", "erfc", "gammaln", "digamma"]:
    define(_name, "x, /" + _UFUNC, getattr(scipy.special, _name), special)
for _name in ["xlogy", "xlog1py"]:
    define(_name, "x1, x2, /" + _UFUNC, getattr(scipy.special, _name), special)
define(
    "logsumexp",
    "a, axis=None, b=None, keepdims=False, return_sign=False",
    scipy.special.logsumexp,
    special,
)


class spmatrix:
    pass


class _sparse:
    __array_priority__ = 101
    __hash__ = None
    ndim = 2
    shape = property(lambda self: self._shape)
    dtype = property(lambda self: self.data.dtype)
    nnz = size = property(lambda self: self.data.size)
    device = property(lambda self: self.data.device)

    def getnnz(self, axis=None):
        return self.data.size

    def toarray(self, order=None, out=None):
        return wrap(self._host().toarray(order=order))

    todense = toarray

    def asformat(self, format):
        return self if format in (None, self.format) else getattr(self, f"to{format}")()

    def __len__(self):
        raise TypeError("sparse array length is ambiguous; use shape[0] or .nnz")


class coo_matrix(spmatrix, _sparse):
    format, _scipy_class = "coo", scipy.sparse.coo_matrix

    def __init__(self, arg1, shape=None, dtype=None, copy=False):
        if isinstance(arg1, tuple):
            data, (row, col) = arg1
            if not all(isinstance(part, ndarray) for part in (data, row, col)):
                raise ValueError("Unsupported initializer format")
            if shape is None:
                cuda_on_cpu.synchronized()
                shape = int(bare(row).max()) + 1, int(bare(col).max()) + 1
        elif isinstance(arg1, _sparse):
            coo = arg1.asformat("coo")
            shape, data, row, col = shape or coo.shape, coo.data, coo.row, coo.col
        elif scipy.sparse.issparse(arg1):
            coo = arg1.tocoo()
            shape = shape or coo.shape
            data, row, col = map(asarray, (coo.data, coo.row, coo.col))
        else:
            raise ValueError("Unsupported initializer format")
        self.data = data.astype(dtype or data.dtype, copy=copy)
        self.row, self.col = (index.astype(np.int32, copy=copy) for index in (row, col))
        self._shape = tuple(shape)

    def _host(self):
        return self._scipy_class((bare(self.data), (bare(self.row), bare(self.col))), self.shape)

    def get(self, stream=None):
        parts = self.data.get(stream), (self.row.get(stream), self.col.get(stream))
        return self._scipy_class(parts, self.shape)

    def tocsr(self, copy=False):
        cuda_on_cpu.synchronized()
        return _of(self._host(), csr_matrix)

    def tocsc(self, copy=False):
        cuda_on_cpu.synchronized()
        return _of(self._host(), csc_matrix)


def _of(host, kind):
    host = host.asformat(kind.format)
    made = kind.__new__(kind)
    made.data, made.indices, made.indptr = map(wrap, (host.data, host.indices, host.indptr))
    made._shape, made._canonical = host.shape, None
    return made


class _compressed(_sparse):
    """Row- or column-compressed, over three arrays of the device."""

    def __init__(self, arg1, shape=None, dtype=None, copy=False):
        self._canonical = None
        if isinstance(arg1, _sparse):
            if arg1.format != self.format:
                arg1, copy = arg1.asformat(self.format), False
            shape, self._canonical = shape or arg1.shape, arg1._canonical
            parts = arg1.data, arg1.indices, arg1.indptr
        elif scipy.sparse.issparse(arg1):
            arg1, copy = arg1.asformat(self.format), False
            shape = shape or arg1.shape
            parts = [asarray(part) for part in (arg1.data, arg1.indices, arg1.indptr)]
        elif isinstance(arg1, ndarray):
            if arg1.ndim > 2:
                raise ValueError("expected dimension <= 2 array or matrix")
            cuda_on_cpu.synchronized()
            host = self._scipy_class(np.atleast_2d(bare(arg1)))
            shape = shape or host.shape
            parts = [wrap(part) for part in (host.data, host.indices, host.indptr)]
        elif isinstance(arg1, tuple) and len(arg1) == 3:
            if not all(isinstance(part, ndarray) and part.ndim == 1 for part in arg1):
                raise ValueError("data, indices, and indptr must be 1-D cupy arrays")
            data, indices, indptr = arg1
            if len(data) != len(indices):
                raise ValueError("indices and data should have the same size")
            cuda_on_cpu.synchronized()
            first, last = bare(indptr)[[0, -1]]
            if first != 0:
                raise ValueError(f"index pointer should start with 0 (got {first})")
            if last > data.size:
                raise ValueError(
                    f"last index pointer ({last}) exceeds the size of data/indices ({data.size})"
                )
            parts = data[:last], indices[:last], indptr
        elif isinstance(arg1, tuple) and len(arg1) == 2 and np.ndim(arg1[0]) == 0:
            host = self._scipy_class(arg1, dtype=dtype)
            shape = host.shape
            parts = [wrap(part) for part in (host.data, host.indices, host.indptr)]
        else:
            raise ValueError("Unsupported initializer format")
        data, indices, indptr = parts
        dtype = np.dtype(data.dtype if dtype is None else dtype)
        if dtype.char not in "?fdFD":
            raise ValueError("Only bool, float32, float64, complex64 and complex128 are supported")
        if shape is None:
            cuda_on_cpu.synchronized()
            shape = len(indptr) - 1, int(bare(indices).max()) + 1
            shape = shape if self.format == "csr" else shape[::-1]
        # SciPy's indices keep their dtype; others are 32 bits long where that is enough.
        wide = indices.dtype == np.int64 and (
            scipy.sparse.issparse(arg1) or max(*shape, data.size) > 2**31 - 1
        )
        index = np.int64 if wide else np.int32
        self.data = data.astype(dtype, copy=copy)
        self.indices = indices.astype(index, copy=copy)
        self.indptr = indptr.astype(index, copy=copy)
        self._shape = tuple(int(n) for n in shape)
        major = self._shape[self.format == "csc"]
        if len(indptr) != major + 1:
            raise ValueError(f"index pointer size ({len(indptr)}) should be ({major + 1})")

    T = property(lambda self: self.transpose())

    def _host(self):
        """SciPy's, of the same memory."""
        parts = bare(self.data), bare(self.indices), bare(self.indptr)
        return self._scipy_class(parts, shape=self.shape, copy=False)

    def _of(self, host, format=None):
        return _of(host, _CLASSES[format or self.format, isinstance(self, spmatrix)])

    def get(self, stream=None):
        parts = self.data.get(stream), self.indices.get(stream), self.indptr.get(stream)
        return self._scipy_class(parts, shape=self.shape)

    def tocsr(self, copy=False):
        return self._to("csr", copy)

    def tocsc(self, copy=False):
        return self._to("csc", copy)

    def _to(self, format, copy):
        if format != self.format:
            return self._of(self._host(), format)
        return self.copy() if copy else self

    def tocoo(self, copy=False):
        host = self._host().tocoo()
        return coo_matrix((wrap(host.data), (wrap(host.row), wrap(host.col))), self.shape)

    def copy(self):
        made = self._of(self._host().copy())
        made._canonical = self._canonical
        return made

    def astype(self, dtype, copy=True):
        if np.dtype(dtype) == self.dtype:
            return self.copy() if copy else self
        return type(self)(self, dtype=dtype, copy=True)

    def transpose(self, axes=None, copy=False):
        """The same arrays, compressed the other way."""
        other = _CLASSES["csc" if self.format == "csr" else "csr", isinstance(self, spmatrix)]
        made = other.__new__(other)
        made.data, made.indices, made.indptr = self.data, self.indices, self.indptr
        made._shape, made._canonical = self._shape[::-1], self._canonical
        return made.copy() if copy else made

    @property
    def has_canonical_format(self):
        if self._canonical is None:
            cuda_on_cpu.synchronized()
            self._canonical = bool(self._host().has_canonical_format)
        return self._canonical

    @has_canonical_format.setter
    def has_canonical_format(self, value):
        self._canonical = bool(value)

    @property
    def has_sorted_indices(self):
        cuda_on_cpu.synchronized()
        return bool(self._host().has_sorted_indices)

    def sort_indices(self):
        self._take(lambda host: host.sort_indices())

    def sum_duplicates(self):
        if not self.has_canonical_format:
            cuda_on_cpu.synchronized()
            self._take(lambda host: host.sum_duplicates())
            self._canonical = True

    def eliminate_zeros(self):
        cuda_on_cpu.synchronized()
        self._take(lambda host: host.eliminate_zeros())

    def _take(self, change):
        host = self._host().copy()
        change(host)
        self.data, self.indices, self.indptr = map(wrap, (host.data, host.indices, host.indptr))

    def __getitem__(self, key):
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        return self._of_any(self._host()[self._index(rows), self._index(columns)])

    def _index(self, index):
        if isinstance(index, (list, np.ndarray)):
            index = asarray(index)
        if isinstance(index, ndarray):
            if index.dtype == bool or index.ndim == 0:
                cuda_on_cpu.synchronized()
            elif index.dtype.kind not in "iu":
                raise IndexError("invalid index")
            return bare(index)
        return index

    def _of_any(self, result):
        return self._of(result) if scipy.sparse.issparse(result) else wrap(result)

    def _operand(self, other):
        if isinstance(other, _compressed):
            other.sum_duplicates()
            return other._host()
        return bare(other)

    def dot(self, other):
        return self * other if np.isscalar(other) else self @ other

    def __matmul__(self, other):
        if np.isscalar(other):
            raise ValueError("Scalar operands are not allowed, use '*' instead")
        if not isinstance(other, (ndarray, _compressed)):
            return NotImplemented
        self.sum_duplicates()
        return self._of_any(self._host() @ self._operand(other))

    def __rmatmul__(self, other):
        if not isinstance(other, ndarray):
            return NotImplemented
        return (self.T @ other.T).T

    def __mul__(self, other):
        if np.isscalar(other):
            self.sum_duplicates()
            return self._of(self._host() * other)
        return self @ other if isinstance(self, spmatrix) else self.multiply(other)

    def __rmul__(self, other):
        return self * other if np.isscalar(other) else NotImplemented

    def __truediv__(self, other):
        return self * (1 / other) if np.isscalar(other) else NotImplemented

    def __neg__(self):
        return self._of(-self._host())

    def __abs__(self):
        return self._of(abs(self._host()))

    def multiply(self, other):
        if not np.isscalar(other):
            if not isinstance(other, (ndarray, _compressed)):
                raise TypeError("expected scalar, dense matrix/vector or csr matrix")
            self.sum_duplicates()
        return self._of(self._host().multiply(self._operand(other)))

    def power(self, n, dtype=None):
        return self._of(self._host().power(n, dtype))

    def sum(self, axis=None, dtype=None, out=None):
        self.sum_duplicates()
        total = np.asarray(self._host().sum(axis=axis, dtype=dtype or self.dtype))
        if out is not None:
            out[...] = wrap(total)
            return out
        return wrap(total)


class csr_matrix(spmatrix, _compressed):
    format, _scipy_class = "csr", scipy.sparse.csr_matrix


class csc_matrix(spmatrix, _compressed):
    format, _scipy_class = "csc", scipy.sparse.csc_matrix


class csr_array(_compressed):
    format, _scipy_class = "csr", scipy.sparse.csr_array


class csc_array(_compressed):
    format, _scipy_class = "csc", scipy.sparse.csc_array


_CLASSES = {
    (kind.format, issubclass(kind, spmatrix)): kind
    for kind in (csr_matrix, csc_matrix, csr_array, csc_array)
}


def issparse(x):
    return isinstance(x, _sparse)


def isspmatrix_csr(x):
    return isinstance(x, csr_matrix)


def isspmatrix_csc(x):
    return isinstance(x, csc_matrix)


sparse = types.ModuleType("cupyx.scipy.sparse")
for _member in (*_CLASSES.values(), coo_matrix, spmatrix, issparse, isspmatrix_csr, isspmatrix_csc):
    setattr(sparse, _member.__name__, _member)
for _member in _CLASSES.values():
    _member.__module__ = "cupyx.scipy.sparse"
cupyx = types.ModuleType("cupyx")
cupyx.empty_pinned = lambda shape, dtype=float, order="C": np.empty(shape, dtype, order)
cupyx.zeros_pinned = lambda shape, dtype=float, order="C": np.zeros(shape, dtype, order)
cupyx.scipy = types.ModuleType("cupyx.scipy")
cupyx.__path__ = cupyx.scipy.__path__ = []
cupyx.scipy.sparse, cupyx.scipy.special = sparse, special
