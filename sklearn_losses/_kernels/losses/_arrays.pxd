# The arrays of an evaluation: float32 or float64, any stride, read-only or not. No memory views: attaching one costs more
# than a kernel call on a hundred samples.
cimport numpy as cnp
from libc.stdlib cimport calloc, free

from sklearn_losses._kernels._threads cimport threads_for

cdef extern from "losses/outputs.h" namespace "sl" nogil:
    enum Outputs:
        VALUE
        GRADIENT
        HESSIAN
        PROBABILITY

cdef extern from "simd/vectors.h" namespace "sl" nogil:
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


cdef struct Arrays:
    Py_ssize_t n
    int n_classes     # 0: one raw prediction a sample
    bint soft         # targets are rows of probabilities
    Operand y, raw, weight
    Operand[3] out    # value, gradient, hessian or probabilities


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


cdef inline int attach_all(
    Arrays* a, object y_true, object raw_prediction, object sample_weight, tuple outputs, str third
) except -1:
    """Check all arrays against `n`, `n_classes` and `soft`, which are set, and describe them. `third` is the third
    output's name. An output that shares memory with another operand would be read after it was written.
    """
    cdef tuple names = ("y_true", "raw_prediction", "sample_weight", "loss_out", "gradient_out", third)
    cdef tuple arrays = (y_true, raw_prediction, sample_weight, *outputs)
    cdef Operand* operands[6]
    operands[:] = [&a.y, &a.raw, &a.weight, &a.out[0], &a.out[1], &a.out[2]]
    cdef int[6] n_classes = [a.n_classes if a.soft else 0, a.n_classes, 0, 0, a.n_classes, a.n_classes]
    cdef int[6] order = [1, 0, 2, 3, 4, 5]  # the shape of the raw predictions is the one that others are held against
    cdef int i, j
    for i in order:
        attach(operands[i], arrays[i], names[i], a.n, n_classes[i], i >= 3)
    for i in range(3, 6):
        for j in range(i):
            if overlap(operands[i], operands[j], a.n, a.n_classes) and share_elements(arrays[i], arrays[j]):
                raise ValueError(f"{names[i]} must not share memory with {names[j]}")
    return 0


cdef inline int threads_over(Py_ssize_t n_blocks, Py_ssize_t nanoseconds, object n_threads) except -1:
    return <int> min(<Py_ssize_t> threads_for(nanoseconds, n_threads), max(n_blocks, 1))


cdef inline double* new_sums(Py_ssize_t n_blocks) except NULL:
    """Room for the sum of each block."""
    cdef double* sums = <double*> calloc(n_blocks + 1, sizeof(double))
    if sums == NULL:
        raise MemoryError()
    return sums


cdef inline double spent(double* sums, Py_ssize_t n_blocks) noexcept nogil:
    """The sum of the blocks' sums, whose memory is given back."""
    cdef double total = 0.0
    cdef Py_ssize_t block
    for block in range(n_blocks):
        total += sums[block]
    free(sums)
    return total
