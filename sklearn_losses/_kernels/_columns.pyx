"""What the columns of X are like: sums over its rows, from which the coordinates of a fit follow."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t

from sklearn_losses._kernels._pointwise cimport simd_level_in_use
from sklearn_losses._kernels._rows cimport Rows, describe_rows

cnp.import_array()

ctypedef fused real:
    float
    double

ctypedef fused index:
    int32_t
    cnp.int64_t


cdef void add_dense(
    const real* x, Py_ssize_t stride, const int32_t* at, const double* weight, Py_ssize_t n, Py_ssize_t d,
    const double* shift, double* count, double* total, double* square
) noexcept nogil:
    cdef Py_ssize_t i, j, k, rows
    cdef const real* row[4]
    cdef double w[4]
    cdef double value, moved, weighted, counted, sum, squares
    for i in range(0, n, 4):  # four rows: the sums are read and written once for all
        rows = min(n - i, 4)
        for k in range(4):
            row[k] = x + (at[min(i + k, n - 1)] if at != NULL else min(i + k, n - 1)) * stride
            w[k] = 0.0 if k >= rows else (weight[i + k] if weight != NULL else 1.0)
        for j in range(d):
            counted = sum = squares = 0.0
            for k in range(4):
                value = row[k][j]
                moved = value - shift[j]
                weighted = w[k] * moved
                counted += w[k] if value != 0.0 else 0.0
                sum += weighted
                squares += weighted * moved
            count[j] += counted
            total[j] += sum
            square[j] += squares


cdef void add_sparse(
    const real* x, const index* indices, const index* indptr, const int32_t* at, const double* weight, Py_ssize_t n,
    double* count, double* total, double* square
) noexcept nogil:
    cdef Py_ssize_t i, j, row
    cdef double value, w = 1.0
    for i in range(n):
        row = at[i] if at != NULL else i
        if weight != NULL:
            w = weight[i]
        for j in range(indptr[row], indptr[row + 1]):
            value = x[j]
            count[indices[j]] += w if value != 0.0 else 0.0
            total[indices[j]] += w * value
            square[indices[j]] += w * value * value


cdef double largest_dense(
    const real* x, Py_ssize_t stride, const int32_t* at, Py_ssize_t n, Py_ssize_t d, const double* center,
    const double* unit
) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef const real* row
    cdef double sum0, sum1, a, b, largest = 0.0
    for i in range(n):
        row = x + (at[i] if at != NULL else i) * stride
        sum0 = sum1 = 0.0
        for j in range(0, d - 1, 2):
            a = (row[j] - center[j]) * unit[j]
            b = (row[j + 1] - center[j + 1]) * unit[j + 1]
            sum0 += a * a
            sum1 += b * b
        if d % 2:
            a = (row[d - 1] - center[d - 1]) * unit[d - 1]
            sum0 += a * a
        largest = max(largest, sum0 + sum1)
    return largest


cdef double largest_sparse(
    const real* x, const index* indices, const index* indptr, const int32_t* at, Py_ssize_t n, const double* unit
) noexcept nogil:
    cdef Py_ssize_t i, j, row
    cdef double sum, a, largest = 0.0
    for i in range(n):
        row = at[i] if at != NULL else i
        sum = 0.0
        for j in range(indptr[row], indptr[row + 1]):
            a = x[j] * unit[indices[j]]
            sum += a * a
        largest = max(largest, sum)
    return largest


cdef cnp.ndarray checked(array, dtype, shape):
    array = np.ascontiguousarray(array, dtype)
    if array.shape != shape:
        raise ValueError(f"expected an array of shape {shape}; got {array.shape}")
    return array


def column_sums(X, rows=None, weight=None):
    """Counts and moments of each column.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), C order, or CSR matrix; float32 or float64
    rows : ndarray of shape (n_rows,), int32, or None
        The rows that count; None: all.
    weight : ndarray of shape (n_rows,), float64, or None
        Of these rows: 2 is as good as two copies. None: 1.

    Returns
    -------
    n : float
        The sum of the weights.
    count : ndarray of shape (n_features,)
        That of the rows whose entry is not 0.
    mean : ndarray of shape (n_features,)
    square : ndarray of shape (n_features,)
        The sum of the squared distances from the mean.
    """
    cdef Rows at
    cdef list keep = []
    describe_rows(&at, X, keep, simd_level_in_use())
    cdef Py_ssize_t n = X.shape[0], d = X.shape[1]
    cdef const int32_t* order = NULL
    if rows is not None:
        rows = checked(rows, np.int32, (len(rows),))
        n = len(rows)
        order = <const int32_t*> cnp.PyArray_DATA(<cnp.ndarray> rows)
    shift = np.zeros(d)
    if n and not at.sparse:  # sums around a row lose fewer digits than sums around 0
        shift[:] = X[0 if rows is None else rows[0]]
    cdef double all_weights = n
    cdef const double* to_weight = NULL
    if weight is not None:
        weight = checked(weight, np.float64, (n,))
        all_weights = weight.sum()
        to_weight = <const double*> cnp.PyArray_DATA(<cnp.ndarray> weight)
    count, total, square = np.zeros(d), np.zeros(d), np.zeros(d)
    cdef double* to_shift = <double*> cnp.PyArray_DATA(<cnp.ndarray> shift)
    cdef double* to_count = <double*> cnp.PyArray_DATA(<cnp.ndarray> count)
    cdef double* to_total = <double*> cnp.PyArray_DATA(<cnp.ndarray> total)
    cdef double* to_square = <double*> cnp.PyArray_DATA(<cnp.ndarray> square)
    with nogil:
        if not at.sparse:
            if at.single:
                add_dense[float](<const float*> at.data, at.stride, order, to_weight, n, d, to_shift,
                    to_count, to_total, to_square,)
            else:
                add_dense[double](
                    <const double*> at.data, at.stride, order, to_weight, n, d, to_shift,
                    to_count, to_total, to_square,
                )
        elif at.single and at.wide:
            add_sparse[float, cnp.int64_t](
                <const float*> at.data, <const cnp.int64_t*> at.indices, <const cnp.int64_t*> at.indptr, order,
                to_weight, n, to_count, to_total, to_square,
            )
        elif at.single:
            add_sparse[float, int32_t](
                <const float*> at.data, <const int32_t*> at.indices, <const int32_t*> at.indptr, order,
                to_weight, n, to_count, to_total, to_square,
            )
        elif at.wide:
            add_sparse[double, cnp.int64_t](
                <const double*> at.data, <const cnp.int64_t*> at.indices, <const cnp.int64_t*> at.indptr, order,
                to_weight, n, to_count, to_total, to_square,
            )
        else:
            add_sparse[double, int32_t](
                <const double*> at.data, <const int32_t*> at.indices, <const int32_t*> at.indptr, order,
                to_weight, n, to_count, to_total, to_square,
            )
    mean = total / (all_weights if all_weights > 0 else 1.0)
    square -= total * mean
    return all_weights, count, mean + shift, np.maximum(square, 0.0)


def largest_squared_norm(X, rows, center, unit):
    """The largest squared norm of a row of ``(X - center) * unit``.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), C order, or CSR matrix; float32 or float64
    rows : ndarray of shape (n_rows,), int32, or None
    center : ndarray of shape (n_features,)
        Without effect on CSR.
    unit : ndarray of shape (n_features,)

    Returns
    -------
    largest : float
    """
    cdef Rows at
    cdef list keep = []
    describe_rows(&at, X, keep, simd_level_in_use())
    cdef Py_ssize_t n = X.shape[0], d = X.shape[1]
    cdef const int32_t* order = NULL
    if rows is not None:
        rows = checked(rows, np.int32, (len(rows),))
        n = len(rows)
        order = <const int32_t*> cnp.PyArray_DATA(<cnp.ndarray> rows)
    center, unit = checked(center, np.float64, (d,)), checked(unit, np.float64, (d,))
    cdef const double* to_center = <const double*> cnp.PyArray_DATA(<cnp.ndarray> center)
    cdef const double* to_unit = <const double*> cnp.PyArray_DATA(<cnp.ndarray> unit)
    cdef double largest
    with nogil:
        if not at.sparse:
            if at.single:
                largest = largest_dense[float](<const float*> at.data, at.stride, order, n, d, to_center, to_unit)
            else:
                largest = largest_dense[double](<const double*> at.data, at.stride, order, n, d, to_center, to_unit)
        elif at.single and at.wide:
            largest = largest_sparse[float, cnp.int64_t](
                <const float*> at.data, <const cnp.int64_t*> at.indices, <const cnp.int64_t*> at.indptr, order, n, to_unit
            )
        elif at.single:
            largest = largest_sparse[float, int32_t](
                <const float*> at.data, <const int32_t*> at.indices, <const int32_t*> at.indptr, order, n, to_unit
            )
        elif at.wide:
            largest = largest_sparse[double, cnp.int64_t](
                <const double*> at.data, <const cnp.int64_t*> at.indices, <const cnp.int64_t*> at.indptr, order, n, to_unit
            )
        else:
            largest = largest_sparse[double, int32_t](
                <const double*> at.data, <const int32_t*> at.indices, <const int32_t*> at.indptr, order, n, to_unit
            )
    return largest
