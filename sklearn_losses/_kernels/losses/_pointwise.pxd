# What other kernels call: serial, without the GIL, in double.

cdef extern from "losses/tables.h" namespace "sl" nogil:
    ctypedef void (*Point)(const double* params, double y, double raw, double* value, double* gradient) noexcept nogil
    ctypedef void (*LossBlock "sl::LossBlock")(
        const double* params, Py_ssize_t n, const double* y, const double* raw, double* value, double* gradient,
        double* hessian
    ) noexcept nogil

# Value and gradient of contiguous samples; the hessian is NULL.
cdef LossBlock loss_block_of(int kind) noexcept nogil

cdef Point point_of(int kind) noexcept nogil

cdef int simd_level_in_use() noexcept nogil
