# One operand of a kernel: float32 or float64, any stride, read-only or not. No memory views: attaching one costs more
# than a kernel call on a hundred samples.
cimport numpy as cnp

cdef extern from "simd/simd.h" namespace "sl" nogil:
    void gather[T, S](T* to, const S* source, Py_ssize_t stride, Py_ssize_t n)
    void scatter[T, S](S* to, Py_ssize_t stride, const T* source, Py_ssize_t n)
    void multiply[T](T* x, const T* by, Py_ssize_t n)
    double sum[T](const T* x, Py_ssize_t n)

ctypedef fused real:
    float
    double


cdef inline dict kinds_of(const char** names):
    """Position of each name in a list that ends with a null pointer."""
    cdef dict kinds = {}
    while names[len(kinds)] != NULL:
        kinds[names[len(kinds)].decode()] = len(kinds)
    return kinds


cdef struct Operand:
    char* data
    Py_ssize_t step        # between samples, in elements
    Py_ssize_t step_class  # between classes, in elements
    bint single            # float32
    bint given


cdef inline bint is_native(const Operand* op, bint single, Py_ssize_t step) noexcept nogil:
    """Whether a kernel of that type can work on the operand where it stands."""
    return op.single == single and op.step == step


cdef inline void load(real* to, const Operand* op, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    if op.single:
        gather(to, <const float*> op.data + start * op.step, op.step, n)
    else:
        gather(to, <const double*> op.data + start * op.step, op.step, n)


cdef inline void store(const real* source, const Operand* op, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    if op.single:
        scatter(<float*> op.data + start * op.step, op.step, source, n)
    else:
        scatter(<double*> op.data + start * op.step, op.step, source, n)


cdef inline int attach(
    Operand* op, object array, str name, Py_ssize_t n_samples, Py_ssize_t n_classes, bint output
) except -1:
    """Check an array and describe it. `n_classes` is 0 for an array of shape (n_samples,)."""
    op.given = array is not None
    op.step = 1
    op.step_class = 0
    op.single = False
    op.data = NULL
    if array is None:
        return 0
    if not isinstance(array, cnp.ndarray):
        raise TypeError(f"{name} must be a NumPy array; got {type(array).__name__}")
    cdef cnp.ndarray a = <cnp.ndarray> array
    cdef int kind = cnp.PyArray_TYPE(a)
    cdef Py_ssize_t size = 4 if kind == cnp.NPY_FLOAT32 else 8
    if kind != cnp.NPY_FLOAT32 and kind != cnp.NPY_FLOAT64:
        raise TypeError(f"{name} must have dtype float32 or float64; got {a.dtype}")
    if not cnp.PyArray_ISBEHAVED_RO(a):
        raise ValueError(f"{name} must be aligned and in the machine's byte order")
    if output and not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError(f"{name} is read-only and cannot take the result")
    cdef int ndim = cnp.PyArray_NDIM(a)
    if n_classes > 0:
        if ndim != 2 or cnp.PyArray_DIM(a, 0) != n_samples or cnp.PyArray_DIM(a, 1) != n_classes:
            raise ValueError(f"{name} must have shape ({n_samples}, {n_classes}); got {(<object> a).shape}")
        op.step_class = cnp.PyArray_STRIDE(a, 1) // size
    elif not (ndim == 1 or (ndim == 2 and cnp.PyArray_DIM(a, 1) == 1)) or cnp.PyArray_DIM(a, 0) != n_samples:
        raise ValueError(f"{name} must have shape ({n_samples},); got {(<object> a).shape}")
    cdef Py_ssize_t stride = cnp.PyArray_STRIDE(a, 0)
    if stride % size or (n_classes > 0 and cnp.PyArray_STRIDE(a, 1) % size):
        raise ValueError(f"{name} must have strides that are multiples of its item size")
    op.single = kind == cnp.NPY_FLOAT32
    op.step = stride // size
    op.data = <char*> cnp.PyArray_DATA(a)
    if output and n_samples > 1 and (op.step == 0 or (n_classes > 1 and op.step_class == 0)):
        raise ValueError(f"{name} must not be a broadcast array: its elements share memory")
    return 0


cdef inline bint overlap(const Operand* a, const Operand* b, Py_ssize_t n, Py_ssize_t n_classes) noexcept nogil:
    """Whether the ranges of memory of two operands meet."""
    cdef char* a_low
    cdef char* a_high
    cdef char* b_low
    cdef char* b_high
    if not a.given or not b.given or n == 0:
        return False
    extent(a, n, n_classes, &a_low, &a_high)
    extent(b, n, n_classes, &b_low, &b_high)
    return a_low < b_high and b_low < a_high


cdef inline void extent(
    const Operand* op, Py_ssize_t n, Py_ssize_t n_classes, char** low, char** high
) noexcept nogil:
    cdef Py_ssize_t size = 4 if op.single else 8
    cdef Py_ssize_t rows = (n - 1) * op.step * size
    cdef Py_ssize_t columns = (n_classes - 1) * op.step_class * size if n_classes > 0 else 0
    low[0] = op.data + min(rows, 0) + min(columns, 0)
    high[0] = op.data + max(rows, 0) + max(columns, 0) + size


cdef inline bint share_elements(object a, object b) except -1:
    """Whether two arrays whose ranges of memory meet have an element in common."""
    from sklearn_losses._array import share_memory

    return share_memory(a, b)


cdef inline int refuse_overlap(
    const Operand* outputs, tuple output_names, tuple output_arrays, int n_outputs,
    const Operand* inputs, tuple input_names, tuple input_arrays, int n_inputs, Py_ssize_t n, Py_ssize_t n_classes
) except -1:
    """An output that shares memory with another operand would be read after it was written."""
    cdef int i, j
    for i in range(n_outputs):
        for j in range(n_inputs):
            if overlap(&outputs[i], &inputs[j], n, n_classes) and share_elements(output_arrays[i], input_arrays[j]):
                raise ValueError(f"{output_names[i]} must not share memory with {input_names[j]}")
        for j in range(i):
            if overlap(&outputs[i], &outputs[j], n, n_classes) and share_elements(output_arrays[i], output_arrays[j]):
                raise ValueError(f"{output_names[i]} must not share memory with {output_names[j]}")
    return 0
