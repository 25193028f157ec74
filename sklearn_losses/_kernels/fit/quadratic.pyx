"""Coordinate descent on a quadratic function plus a separable penalty."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t

from sklearn_losses._kernels.fit._penalties cimport Penalty, PenaltyKernel
from sklearn_losses._kernels.losses._pointwise cimport simd_level_in_use

cnp.import_array()

cdef extern from "fit/quadratic.h" namespace "sl" nogil:
    cdef cppclass CppQuadratic "sl::Quadratic":
        Py_ssize_t n
        const double* bend
        const int32_t* feature
        const double* unit
        const double* low
        const double* high
        double* x
        double* slope
    cdef cppclass CppSparseQuadratic "sl::SparseQuadratic":
        CppQuadratic of
        Py_ssize_t n_rows, n_columns
        const double* values
        const int32_t* rows
        const int64_t* start
        const double* center
        const double* h
        double total
        const double* weight
        const double* bend
        const double* ridge
        const double* begin "from"
        double* moved
        double shift, product
    double cpp_sweep "sl::sweep"(const CppQuadratic&, const Penalty*, bint all, int level)
    double cpp_sparse_sweep "sl::sweep"(CppSparseQuadratic*, const Penalty*, bint all, int level)


cdef double* doubles(array, shape) except? NULL:
    if array is None:
        return NULL
    if array.dtype != np.float64 or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"expected a C-contiguous array of float64 and shape {shape}; got {array.dtype}, {array.shape}")
    return <double*> cnp.PyArray_DATA(<cnp.ndarray> array)


cdef const Penalty* separable(PenaltyKernel penalty, cnp.ndarray feature) except? NULL:
    """The struct of a penalty that is a sum over the weights; NULL for None."""
    if penalty is None:
        return NULL
    if penalty.penalty.n_groups or (len(feature) and feature.max() >= penalty.penalty.n_features):
        raise ValueError("the penalty must be separable, and have a weight for each feature")
    return &penalty.penalty


cdef class QuadraticKernel:
    """``slope @ (u - x) + (u - x) @ bend @ (u - x) / 2 + penalty(unit * u)`` around its present point x.

    Parameters
    ----------
    bend : ndarray of shape (n, n)
        Symmetric, with a diagonal of no negative numbers; variables where it is 0 stay.
    feature : ndarray of shape (n,), int32
        The number of the penalty's weight; -1: there is none, and no bounds.
    unit : ndarray of shape (n,)
        A weight is its unit times the variable.
    penalty : PenaltyKernel or None
        One that is separable.
    low, high : ndarray of shape (n,) or None
        Bounds of the weights.
    x, slope : ndarray of shape (n,)
        The point, and the quadratic's gradient there; changed in place.
    """

    cdef CppQuadratic made
    cdef const Penalty* penalty
    cdef tuple keep
    cdef int level

    def __cinit__(self, bend, feature, unit, PenaltyKernel penalty, low, high, x, slope):
        cdef Py_ssize_t n = len(x)
        feature = np.ascontiguousarray(feature, np.int32)
        if feature.shape != (n,):
            raise ValueError(f"feature must have shape ({n},); got {feature.shape}")
        self.keep = (bend, feature, unit, penalty, low, high, x, slope)
        self.made.n = n
        self.made.bend = doubles(bend, (n, n))
        self.made.feature = <const int32_t*> cnp.PyArray_DATA(<cnp.ndarray> feature)
        self.made.unit, self.made.low, self.made.high = doubles(unit, (n,)), doubles(low, (n,)), doubles(high, (n,))
        self.made.x, self.made.slope = doubles(x, (n,)), doubles(slope, (n,))
        self.penalty = separable(penalty, feature)
        self.level = simd_level_in_use()

    def sweep(self, bint everywhere=True):
        """Put each variable, or each that is not 0, where the function is least along it.

        Returns
        -------
        fell : float
            At most how much the function fell.
        """
        cdef double fell
        with nogil:
            fell = cpp_sweep(self.made, self.penalty, everywhere, self.level)
        return fell


cdef class SparseQuadraticKernel:
    """The same with second derivatives ``A.T @ diag(h) @ A + diag(ridge)``, ``A = [(X - center) * unit, 1]``.

    Parameters
    ----------
    X : CSC matrix of shape (n_rows, n_columns), float64, with int32 indices
    intercept : bool
        Whether there is the column of ones, after the others.
    center : ndarray of shape (n_columns,)
    h : ndarray of shape (n_rows,)
        Not negative.
    ridge : ndarray of shape (n,)
        Of the variables.
    feature, unit, penalty, low, high, x, slope
        As in `QuadraticKernel`; only x is changed.
    """

    cdef CppSparseQuadratic made
    cdef const Penalty* penalty
    cdef tuple keep
    cdef int level
    cdef readonly object moved

    def __cinit__(
        self, X, bint intercept, center, h, ridge, feature, unit, PenaltyKernel penalty, low, high, x, slope
    ):
        cdef Py_ssize_t n_rows = X.shape[0], d = X.shape[1], n = X.shape[1] + intercept
        feature = np.ascontiguousarray(feature, np.int32)
        start = np.ascontiguousarray(X.indptr, np.int64)
        rows = X.indices
        if feature.shape != (n,) or rows.dtype != np.int32 or len(rows) < start[d] or len(X.data) < start[d]:
            raise ValueError("expected a CSC matrix with int32 indices, and a feature for each variable")
        if len(rows) and not 0 <= rows.min() <= rows.max() < n_rows:
            raise ValueError(f"indices must be in the range [0, {n_rows})")
        of_columns = unit[:d]
        weight = X.T @ h
        squares = X.multiply(X).T @ h + center * (center * h.sum() - 2.0 * weight)
        bend = np.append(np.maximum(squares, 0.0) * of_columns**2, [h.sum()] * intercept) + ridge
        self.moved, begin = np.zeros(n_rows), x.copy()
        self.keep = (X.data, rows, start, center, h, weight, bend, ridge, begin, feature, unit, penalty, low, high, x, slope)
        self.made.n_rows, self.made.n_columns, self.made.of.n = n_rows, d, n
        self.made.values = doubles(X.data, (len(X.data),))
        self.made.rows = <const int32_t*> cnp.PyArray_DATA(<cnp.ndarray> rows)
        self.made.start = <const int64_t*> cnp.PyArray_DATA(<cnp.ndarray> start)
        self.made.center, self.made.h, self.made.total = doubles(center, (d,)), doubles(h, (n_rows,)), h.sum()
        self.made.weight, self.made.bend, self.made.ridge = doubles(weight, (d,)), doubles(bend, (n,)), doubles(ridge, (n,))
        self.made.begin, self.made.moved = doubles(begin, (n,)), doubles(self.moved, (n_rows,))
        self.made.shift = self.made.product = 0.0
        self.made.of.feature = <const int32_t*> cnp.PyArray_DATA(<cnp.ndarray> feature)
        self.made.of.unit, self.made.of.low, self.made.of.high = doubles(unit, (n,)), doubles(low, (n,)), doubles(high, (n,))
        self.made.of.x, self.made.of.slope = doubles(x, (n,)), doubles(slope, (n,))
        self.penalty = separable(penalty, feature)
        self.level = simd_level_in_use()

    def sweep(self, bint everywhere=True):
        """As that of `QuadraticKernel`."""
        cdef double fell
        with nogil:
            fell = cpp_sparse_sweep(&self.made, self.penalty, everywhere, self.level)
        return fell

    def square(self):
        """``(u - x) @ A.T @ diag(h) @ A @ (u - x)``, of the move so far."""
        moved = self.moved + self.made.shift
        return float(moved @ (np.asarray(self.keep[4]) * moved))

    def place(self, x, moved, double shift):
        """Go to another point, whose `moved` and `shift` are known."""
        self.keep[14][:] = x
        self.moved[:] = moved
        self.made.shift = shift
        self.made.product = float(self.keep[4] @ self.moved)

    @property
    def shift(self):
        return self.made.shift

    @property
    def bend(self):
        """The diagonal of the second derivatives."""
        return self.keep[6]
