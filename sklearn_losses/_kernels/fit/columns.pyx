"""What the columns of X are like: sums over its rows, from which the coordinates of a fit follow."""

import numpy as np

cimport numpy as cnp

from sklearn_losses._kernels.fit.table cimport Counted, checked, describe_rows, doubles
from sklearn_losses._kernels.losses._pointwise cimport simd_level_in_use

cnp.import_array()

cdef extern from "fit/columns.h" namespace "sl" nogil:
    cdef cppclass ColumnSums:
        const double* shift
        double* count
        double* total
        double* square
    void add_columns(const Counted& x, const ColumnSums& sums, int level)
    double squared_norm "sl::largest_squared_norm"(
        const Counted& x, const double* center, const double* unit, int level
    )


cdef class Rows:
    """X, the rows of it that count, and their weights.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), C order, or CSR matrix; float32 or float64
    rows : ndarray of shape (n_rows,), int32, or None
        None: all.
    weight : ndarray of shape (n_rows,), float64, or None
        Of these rows. None: 1.
    """

    cdef Counted counted
    cdef list keep

    def __cinit__(self, X, rows, weight):
        self.keep = []
        describe_rows(&self.counted, X, rows, self.keep)
        if weight is not None:
            weight = checked(weight, cnp.NPY_FLOAT64, (self.counted.n,))
            self.counted.weight = doubles(weight)
            self.keep.append(weight)


def column_sums(X, rows=None, weight=None):
    """Counts and moments of each column.

    Parameters
    ----------
    X, rows, weight
        As in `Rows`; a weight of 2 is as good as two copies.

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
    cdef Rows table = Rows(X, rows, weight)
    shift, count, total, square = np.zeros((4, X.shape[1]))
    if table.counted.n and not table.counted.table.sparse():  # sums around a row lose fewer digits than sums around 0
        shift[:] = X[0 if rows is None else rows[0]]
    cdef ColumnSums sums
    sums.shift, sums.count, sums.total, sums.square = doubles(shift), doubles(count), doubles(total), doubles(square)
    cdef int level = simd_level_in_use()
    with nogil:
        add_columns(table.counted, sums, level)
    n = float(table.counted.n if weight is None else np.sum(weight))
    mean = total / (n if n > 0 else 1.0)
    square -= total * mean
    return n, count, mean + shift, np.maximum(square, 0.0)


def largest_squared_norm(X, center, unit, rows=None, weight=None):
    """The largest squared norm of a row of ``(X - center) * unit`` whose weight is not 0.

    Parameters
    ----------
    X, rows, weight
        As in `Rows`.
    center : ndarray of shape (n_features,)
        Without effect on CSR.
    unit : ndarray of shape (n_features,)

    Returns
    -------
    largest : float
        0 where no row counts.
    """
    cdef Rows table = Rows(X, rows, weight)
    cdef Py_ssize_t d = X.shape[1]
    center, unit = checked(center, cnp.NPY_FLOAT64, (d,)), checked(unit, cnp.NPY_FLOAT64, (d,))
    cdef double* to_center = doubles(center)
    cdef double* to_unit = doubles(unit)
    cdef double largest
    cdef int level = simd_level_in_use()
    with nogil:
        largest = squared_norm(table.counted, to_center, to_unit, level)
    return largest
