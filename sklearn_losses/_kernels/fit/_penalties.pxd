# A penalty of a given strength for a given number of features, as the kernels take it.
from libc.stdint cimport int32_t

cdef extern from "fit/penalties.h" namespace "sl" nogil:
    cdef struct Penalty:
        int kind
        double alpha, ratio
        const double* params
        const double* weights
        const int32_t* group_start
        const int32_t* group_members
        Py_ssize_t n_groups, n_features
        bint l2_apart

    const char** penalty_names()
    void penalty_prox(
        const Penalty&, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, const double*, const double*, const double*,
        double*
    )
    void penalty_violation(
        const Penalty&, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, const double*, const double*, const double*,
        double*
    )
    double penalty_value(const Penalty&, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*)


cdef class PenaltyKernel:
    cdef Penalty penalty
    cdef tuple keep  # the arrays that the struct points into
