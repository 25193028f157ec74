"""What the columns of X are like: sums over its rows, from which the coordinates of a fit follow."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t

from sklearn_losses._kernels.losses._pointwise cimport simd_level_in_use
from sklearn_losses._kernels.fit._rows cimport Rows, describe_rows

cnp.import_array()

cdef extern from "fit/columns.h" namespace "sl" nogil:
    cdef struct Counted:
        const void* values
        const void* indices
        const void* indptr
        Py_ssize_t stride, n_features
        const int32_t* at
        const double* weight
        Py_ssize_t n

    cdef struct ColumnSums:
        const double* shift
        double* count
        double* total
        double* square

    ctypedef void (*SumsOf "sl::ColumnSumsSignature*")(const Counted*, const ColumnSums*) noexcept
    ctypedef void (*NormOf "sl::LargestNormSignature*")(
        const Counted*, const double*, const double*, double*
    ) noexcept
    SumsOf column_sums_of(bint single, bint sparse, bint wide, int level)
    NormOf largest_norm_of(bint single, bint sparse, bint wide, int level)


cdef double* doubles(cnp.ndarray array):
    return <double*> cnp.PyArray_DATA(array)


cdef cnp.ndarray checked(array, dtype, shape):
    array = np.ascontiguousarray(array, dtype)
    if array.shape != shape:
        raise ValueError(f"expected an array of shape {shape}; got {array.shape}")
    return array


cdef class Table:
    """X, the rows of it that count, and their weights.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), C order, or CSR matrix; float32 or float64
    rows : ndarray of shape (n_rows,), int32, or None
        None: all.
    weight : ndarray of shape (n_rows,), float64, or None
        Of these rows. None: 1.
    """

    cdef Rows rows
    cdef Counted counted
    cdef list keep
    cdef int level

    def __cinit__(self, X, rows, weight):
        self.keep = []
        self.level = simd_level_in_use()
        describe_rows(&self.rows, X, self.keep, self.level)
        self.counted.values = self.rows.data
        self.counted.indices = self.rows.indices
        self.counted.indptr = self.rows.indptr
        self.counted.stride = self.rows.stride
        self.counted.n_features = self.rows.n_features
        self.counted.n = self.rows.n_rows
        if rows is not None:
            rows = checked(rows, np.int32, (len(rows),))
            if len(rows) and not 0 <= rows.min() <= rows.max() < self.rows.n_rows:
                raise ValueError(f"rows must be in the range [0, {self.rows.n_rows})")
            self.counted.at = <const int32_t*> cnp.PyArray_DATA(<cnp.ndarray> rows)
            self.counted.n = len(rows)
        if weight is not None:
            weight = checked(weight, np.float64, (self.counted.n,))
            self.counted.weight = doubles(weight)
        self.keep += [rows, weight]


def column_sums(X, rows=None, weight=None):
    """Counts and moments of each column.

    Parameters
    ----------
    X, rows, weight
        As in `Table`; a weight of 2 is as good as two copies.

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
    cdef Table table = Table(X, rows, weight)
    shift, count, total, square = np.zeros((4, X.shape[1]))
    if table.counted.n and not table.rows.sparse:  # sums around a row lose fewer digits than sums around 0
        shift[:] = X[0 if rows is None else rows[0]]
    cdef ColumnSums sums = ColumnSums(doubles(shift), doubles(count), doubles(total), doubles(square))
    cdef SumsOf add = column_sums_of(table.rows.single, table.rows.sparse, table.rows.wide, table.level)
    with nogil:
        add(&table.counted, &sums)
    n = float(table.counted.n if weight is None else np.sum(weight))
    mean = total / (n if n > 0 else 1.0)
    square -= total * mean
    return n, count, mean + shift, np.maximum(square, 0.0)


def largest_squared_norm(X, center, unit, rows=None, weight=None):
    """The largest squared norm of a row of ``(X - center) * unit`` whose weight is not 0.

    Parameters
    ----------
    X, rows, weight
        As in `Table`.
    center : ndarray of shape (n_features,)
        Without effect on CSR.
    unit : ndarray of shape (n_features,)

    Returns
    -------
    largest : float
        0 where no row counts.
    """
    cdef Table table = Table(X, rows, weight)
    cdef Py_ssize_t d = X.shape[1]
    center, unit = checked(center, np.float64, (d,)), checked(unit, np.float64, (d,))
    cdef double* to_center = doubles(center)
    cdef double* to_unit = doubles(unit)
    cdef double largest = 0.0
    cdef NormOf see = largest_norm_of(table.rows.single, table.rows.sparse, table.rows.wide, table.level)
    with nogil:
        see(&table.counted, to_center, to_unit, &largest)
    return largest
