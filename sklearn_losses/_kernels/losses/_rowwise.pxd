# What other kernels call: serial, without the GIL, in double. `raw` and `gradient` are (n, n_classes), C-order; the
# target is `code` (n,) or `target` (n, n_classes), the other being NULL. Returns 0, or -1
# where there is no memory for the tiles.
cdef int row_value_gradient(
    int kind, const double* params, int n_classes, Py_ssize_t n, const double* code, const double* target,
    const double* raw, double* value, double* gradient
) noexcept nogil
