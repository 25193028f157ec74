# Row access: X is dense (C order) or CSR (int32 or int64 indices), float32 or float64, and nothing past this file knows
# which. A row is `(x, at, n)`: n values, and the columns where they stand, or NULL where they are columns 0 to n - 1.
# X is never copied.
cimport numpy as cnp
from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t

from sklearn_losses._kernels.losses._arrays cimport real

ctypedef fused index:
    int32_t
    int64_t

cdef extern from "simd/simd.h" namespace "sl" nogil:
    ctypedef void (*Dot32 "sl::Dot<float>")(const float*, const float*, Py_ssize_t, double*) noexcept
    ctypedef void (*Dot64 "sl::Dot<double>")(const double*, const double*, Py_ssize_t, double*) noexcept
    ctypedef void (*Axpy32 "sl::Axpy<float>")(float, const float*, float*, Py_ssize_t) noexcept
    ctypedef void (*Axpy64 "sl::Axpy<double>")(double, const double*, double*, Py_ssize_t) noexcept
    Dot32 dot32_at "sl::dot_at<float>"(int level)
    Dot64 dot64_at "sl::dot_at<double>"(int level)
    void prefetch(const void* at, Py_ssize_t size)
    Axpy32 axpy32_at "sl::axpy_at<float>"(int level)
    Axpy64 axpy64_at "sl::axpy_at<double>"(int level)


cdef struct Rows:
    Py_ssize_t n_rows, n_features
    bint sparse
    bint single         # float32
    bint wide           # int64 indices
    const void* data
    const void* indices
    const void* indptr
    Py_ssize_t stride   # dense: elements from a row to the next
    Dot32 dot32
    Dot64 dot64
    Axpy32 axpy32
    Axpy64 axpy64


# How an addition changed the sum of squares and the sum of absolute values of the vector that it changed.
cdef struct Change:
    double square
    double absolute


cdef inline object _plain(object array, str name, tuple types, int ndim):
    if not isinstance(array, cnp.ndarray):
        raise TypeError(f"{name} must be a NumPy array; got {type(array).__name__}")
    cdef cnp.ndarray a = <cnp.ndarray> array
    if a.ndim != ndim or cnp.PyArray_TYPE(a) not in types or not cnp.PyArray_ISCARRAY_RO(a):
        raise ValueError(
            f"{name}: dtype {a.dtype}, {a.ndim} dimensions, {a.flags} is no layout that rows are read from"
        )
    return array


cdef inline int describe_rows(Rows* rows, object X, list keep, int level) except -1:
    """Describe X; `keep` receives the arrays that must outlive `rows`."""
    cdef object data, indices, indptr  # not typed: Python's own indexing
    cdef tuple floats = (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64)
    cdef tuple integers = (cnp.NPY_INT32, cnp.NPY_INT64)
    rows.n_rows, rows.n_features = X.shape
    rows.sparse = hasattr(X, "indptr")
    rows.indices = NULL
    rows.indptr = NULL
    rows.wide = False
    rows.stride = rows.n_features
    if rows.sparse:
        data = _plain(X.data, "X.data", floats, 1)
        indices = _plain(X.indices, "X.indices", integers, 1)
        # As it was given: a conversion to 32 bits could make the numbers seem right.
        indptr = X.indptr
        if len(indptr) != rows.n_rows + 1 or indptr[0] != 0 or (indptr[1:] < indptr[:rows.n_rows]).any():
            raise ValueError("X.indptr must start at 0, never decrease, and have one entry more than X has rows")
        if indptr[rows.n_rows] > min(len(indices), len(data)):
            raise ValueError("X.indptr points past the end of X.data or X.indices")
        if len(indices) and (indices.min() < 0 or indices.max() >= rows.n_features):
            raise ValueError(f"X.indices must be in the range [0, {rows.n_features})")
        indptr = _plain(indptr.astype(indices.dtype, copy=False), "X.indptr", integers, 1)
        rows.wide = indices.itemsize == 8
        rows.indices = cnp.PyArray_DATA(<cnp.ndarray> indices)
        rows.indptr = cnp.PyArray_DATA(<cnp.ndarray> indptr)
        keep += [data, indices, indptr]
    else:
        data = _plain(X, "X", floats, 2)
        keep.append(data)
    rows.data = cnp.PyArray_DATA(<cnp.ndarray> data)
    rows.single = data.itemsize == 4
    rows.dot32 = dot32_at(level)
    rows.dot64 = dot64_at(level)
    rows.axpy32 = axpy32_at(level)
    rows.axpy64 = axpy64_at(level)
    return 0


cdef inline Py_ssize_t get_row(
    const Rows* rows, Py_ssize_t i, const real** x, const index** at
) noexcept nogil:
    """Point `x` and `at` to row i, and return how many values it has."""
    cdef const index* indptr = <const index*> rows.indptr
    if rows.sparse:
        x[0] = <const real*> rows.data + indptr[i]
        at[0] = <const index*> rows.indices + indptr[i]
        return indptr[i + 1] - indptr[i]
    x[0] = <const real*> rows.data + i * rows.stride
    at[0] = NULL
    return rows.n_features


cdef inline double dot(const Rows* rows, const real* x, const real* w, Py_ssize_t n) noexcept nogil:
    cdef double total = 0.0
    cdef Py_ssize_t j
    if n < 16:  # a wide sum's many accumulators would cost more than they save
        for j in range(n):
            total += <double> x[j] * <double> w[j]
    elif real is float:
        rows.dot32(x, w, n, &total)
    else:
        rows.dot64(x, w, n, &total)
    return total


cdef inline void foresee(
    const Rows* rows, Py_ssize_t near, Py_ssize_t far, const real* w, const index* unused
) noexcept nogil:
    """Prefetch row `far`, and, of a sparse X, the weights that row `near` touches (its own values came before)."""
    cdef const real* x
    cdef const index* at
    cdef Py_ssize_t j, n
    n = get_row(rows, far, &x, &at)
    prefetch(x, n * sizeof(real))
    if rows.sparse:
        prefetch(at, n * sizeof(index))
        n = get_row(rows, near, &x, &at)
        for j in range(min(n, <Py_ssize_t> 128)):
            prefetch(w + at[j], 1)


cdef inline double dot_row(
    const Rows* rows, const real* x, const index* at, Py_ssize_t n, const real* w
) noexcept nogil:
    cdef double total = 0.0
    cdef Py_ssize_t j
    if at == NULL:
        return dot(rows, x, w, n)
    for j in range(n):
        total += <double> w[at[j]] * <double> x[j]
    return total


cdef inline void add_row(
    const Rows* rows, double c, const real* x, const index* at, Py_ssize_t n, real* w
) noexcept nogil:
    """w += c * x."""
    cdef Py_ssize_t j
    if at == NULL:
        if real is float:
            rows.axpy32(<float> c, x, w, n)
        else:
            rows.axpy64(c, x, w, n)
    else:
        for j in range(n):
            w[at[j]] += <real> (c * x[j])


cdef inline void add_row_tracked(
    double c, const real* x, const index* at, Py_ssize_t n, real* w, Change* change
) noexcept nogil:
    """w += c * x for a sparse row, and how that changed the norms of w."""
    cdef double old, new
    cdef Py_ssize_t j
    for j in range(n):
        old = w[at[j]]
        w[at[j]] += <real> (c * x[j])
        new = w[at[j]]
        change.square += (new - old) * (new + old)
        change.absolute += fabs(new) - fabs(old)


cdef inline double squared_norm(const real* x, Py_ssize_t n) noexcept nogil:
    """Of the values of a row (entries given twice count one by one, as in scikit-learn)."""
    cdef double total = 0.0
    cdef Py_ssize_t j
    for j in range(n):
        total += <double> x[j] * <double> x[j]
    return total


cdef inline Change sums_of(const Rows* rows, const real* w, Py_ssize_t n, bint l1) noexcept nogil:
    """The sum of squares of w, and of absolute values where `l1` asks for it."""
    cdef Change total
    cdef double[4] part = [0.0, 0.0, 0.0, 0.0]
    cdef Py_ssize_t j = 0
    total.square = dot(rows, w, w, n)
    total.absolute = 0.0
    if l1:
        while j + 4 <= n:
            part[0] += fabs(w[j])
            part[1] += fabs(w[j + 1])
            part[2] += fabs(w[j + 2])
            part[3] += fabs(w[j + 3])
            j += 4
        while j < n:
            part[0] += fabs(w[j])
            j += 1
        total.absolute = (part[0] + part[1]) + (part[2] + part[3])
    return total
