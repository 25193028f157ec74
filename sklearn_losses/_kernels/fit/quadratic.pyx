"""Coordinate descent on a quadratic function of few variables plus a separable penalty."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t

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
    double cpp_sweep "sl::sweep"(const CppQuadratic&, const Penalty*, bint all, int level)


cdef double* doubles(array, shape) except? NULL:
    if array is None:
        return NULL
    if array.dtype != np.float64 or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"expected a C-contiguous array of float64 and shape {shape}; got {array.dtype}, {array.shape}")
    return <double*> cnp.PyArray_DATA(<cnp.ndarray> array)


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
        self.penalty = NULL
        if penalty is not None:
            if penalty.penalty.n_groups or (n and feature.max() >= penalty.penalty.n_features):
                raise ValueError("the penalty must be separable, and have a weight for each feature")
            self.penalty = &penalty.penalty
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
