"""Pointwise losses over arrays: any of value, gradient, hessian and their weighted sum in one pass."""

cimport numpy as cnp
from cython.parallel cimport prange
from libc.stdlib cimport calloc, free

from sklearn_losses._kernels.losses._arrays cimport (
    Operand, attach, is_native, kinds_of, load, multiply, real, refuse_overlap, store, sum,
)
from sklearn_losses._kernels._threads cimport threads_for

cnp.import_array()

cdef extern from "simd/simd.h" namespace "sl" nogil:
    ctypedef void (*Block32)(
        const double*, Py_ssize_t, const float*, const float*, float*, float*, float*
    ) noexcept nogil
    ctypedef void (*Block64)(
        const double*, Py_ssize_t, const double*, const double*, double*, double*, double*
    ) noexcept nogil
    enum Outputs:
        VALUE
        GRADIENT
        HESSIAN
    int detected_level()
    const char** pointwise_names()
    Block32 pointwise_block32 "sl::pointwise_block<float>"(int kind, int outputs, int level)
    Block64 pointwise_block64 "sl::pointwise_block<double>"(int kind, int outputs, int level)
    Point pointwise_point "sl::pointwise_point<>"(int kind, int level)

# Threads take whole blocks, and each block's sum is its own: the bits do not depend on the number of threads.
# A block that needs scratch (an operand of another type or stride, weights, an output nobody asked for) goes in chunks
# that stay in the first-level cache.
cdef enum:
    BLOCK = 4096
    CHUNK = 512

# Nanoseconds a sample, roughly, on one thread at the middle level: what the decision about threads is made with.
cdef Py_ssize_t COST = 2

cdef int level = detected_level()
cdef int best_level = level
cdef tuple LEVELS = ("baseline", "x86-64-v3", "x86-64-v4")


# Struct name -> kind, its position in the header's list.
KINDS = kinds_of(pointwise_names())


def simd_level():
    """The instruction set that the kernels use: "baseline", "x86-64-v3" (AVX2) or "x86-64-v4" (AVX-512).

    Returns
    -------
    level : str
    """
    return LEVELS[level]


def simd_levels():
    """The instruction sets that this machine can run, slowest first."""
    return LEVELS[: best_level + 1]


def set_simd_level(name):
    """Use another instruction set of this machine's, for tests and measurements.

    Parameters
    ----------
    name : str
        One of `simd_levels()`.
    """
    global level
    if name not in LEVELS[: best_level + 1]:
        raise ValueError(f"name must be one of {simd_levels()}; got {name!r}")
    level = LEVELS.index(name)


cdef int simd_level_in_use() noexcept nogil:
    return level


cdef struct Job:
    int kind
    const double* params
    Py_ssize_t n
    Operand y, raw, weight
    Operand[3] out  # value, gradient, hessian
    double* sums    # one a block, or NULL


cdef void call(
    int kind, int outputs, const double* params, Py_ssize_t n, const real* y, const real* raw,
    real* value, real* gradient, real* hessian
) noexcept nogil:
    if real is float:
        pointwise_block32(kind, outputs, level)(params, n, y, raw, value, gradient, hessian)
    else:
        pointwise_block64(kind, outputs, level)(params, n, y, raw, value, gradient, hessian)


cdef void run_block(const real* tag, const Job* job, Py_ssize_t block) noexcept nogil:
    cdef real[CHUNK] y_scratch
    cdef real[CHUNK] raw_scratch
    cdef real[CHUNK] weight_scratch
    cdef real[3][CHUNK] out_scratch
    cdef const real* y
    cdef const real* raw
    cdef const real* weight
    cdef real* out[3]
    cdef bint[3] needed
    cdef bint[3] native
    cdef bint single = real is float
    cdef bint y_native = is_native(&job.y, single, 1)
    cdef bint raw_native = is_native(&job.raw, single, 1)
    cdef bint weight_native = is_native(&job.weight, single, 1)
    cdef bint scratch = job.weight.given or not (y_native and raw_native)
    cdef Py_ssize_t start = block * BLOCK
    cdef Py_ssize_t stop = min(start + BLOCK, job.n)
    cdef Py_ssize_t n
    cdef double total = 0.0
    cdef int i
    for i in range(3):
        needed[i] = job.out[i].given or (i == 0 and job.sums != NULL)
        native[i] = job.out[i].given and is_native(&job.out[i], single, 1)
        scratch = scratch or (needed[i] and not native[i])
    # A hessian always comes with its gradient.
    scratch = scratch or (needed[2] and not needed[1])
    while start < stop:
        n = min(<Py_ssize_t> CHUNK, stop - start) if scratch else stop - start
        if y_native:
            y = <const real*> job.y.data + start
        else:
            load(&y_scratch[0], &job.y, start, n)
            y = &y_scratch[0]
        if raw_native:
            raw = <const real*> job.raw.data + start
        else:
            load(&raw_scratch[0], &job.raw, start, n)
            raw = &raw_scratch[0]
        for i in range(3):
            out[i] = <real*> job.out[i].data + start if native[i] else &out_scratch[i][0]
        if needed[2]:
            call(job.kind, GRADIENT | HESSIAN, job.params, n, y, raw, out[0], out[1], out[2])
            if needed[0]:
                call(job.kind, VALUE, job.params, n, y, raw, out[0], out[1], out[2])
        elif needed[0] and needed[1]:
            call(job.kind, VALUE | GRADIENT, job.params, n, y, raw, out[0], out[1], out[2])
        elif needed[0] or needed[1]:
            call(job.kind, VALUE if needed[0] else GRADIENT, job.params, n, y, raw, out[0], out[1], out[2])
        if job.weight.given:
            if weight_native:
                weight = <const real*> job.weight.data + start
            else:
                load(&weight_scratch[0], &job.weight, start, n)
                weight = &weight_scratch[0]
            for i in range(3):
                if needed[i]:
                    multiply(out[i], weight, n)
        if job.sums != NULL:
            total += sum(out[0], n)
        for i in range(3):
            if needed[i] and job.out[i].given and not native[i]:
                store(out[i], &job.out[i], start, n)
        start += n
    if job.sums != NULL:
        job.sums[block] = total


cdef void run_block_of(bint single, const Job* job, Py_ssize_t block) noexcept nogil:
    if single:
        run_block(<const float*> NULL, job, block)
    else:
        run_block(<const double*> NULL, job, block)


def evaluate(
    int kind, params, y_true, raw_prediction, sample_weight=None, value=None, gradient=None, hessian=None,
    n_threads=None, bint want_sum=False
):
    """Evaluate a pointwise loss into the given arrays.

    Parameters
    ----------
    kind : int
        Position in the header's list: ``KINDS[name]``.
    params : ndarray of shape (n_params,), dtype float64, C-contiguous
    y_true, raw_prediction : ndarray of shape (n_samples,), float32 or float64
        The kernel computes in the type of `raw_prediction`.
    sample_weight : ndarray of shape (n_samples,) or None
    value, gradient, hessian : ndarray of shape (n_samples,) or None
        Where results go; None for those that are not wanted.
    n_threads : int or None
    want_sum : bool
        Whether to return the weighted sum of the values, accumulated in double.

    Returns
    -------
    total : float or None
    """
    cdef Job job
    cdef Py_ssize_t n_blocks, block, n
    cdef int threads, i
    cdef bint single
    cdef double total = 0.0
    if not isinstance(raw_prediction, cnp.ndarray) or cnp.PyArray_NDIM(<cnp.ndarray> raw_prediction) == 0:
        raise TypeError(f"raw_prediction must be a NumPy array with samples; got {raw_prediction!r}")
    n = cnp.PyArray_DIM(<cnp.ndarray> raw_prediction, 0)
    attach(&job.raw, raw_prediction, "raw_prediction", n, 0, False)
    attach(&job.y, y_true, "y_true", n, 0, False)
    attach(&job.weight, sample_weight, "sample_weight", n, 0, False)
    attach(&job.out[0], value, "loss_out", n, 0, True)
    attach(&job.out[1], gradient, "gradient_out", n, 0, True)
    attach(&job.out[2], hessian, "hessian_out", n, 0, True)
    cdef Operand[3] inputs = [job.y, job.raw, job.weight]
    refuse_overlap(
        &job.out[0], ("loss_out", "gradient_out", "hessian_out"), (value, gradient, hessian), 3,
        &inputs[0], ("y_true", "raw_prediction", "sample_weight"), (y_true, raw_prediction, sample_weight), 3, n, 0,
    )
    job.kind = kind
    job.params = <const double*> cnp.PyArray_DATA(<cnp.ndarray?> params)
    job.n = n
    job.sums = NULL
    single = job.raw.single
    n_blocks = (n + BLOCK - 1) // BLOCK
    threads = threads_for(n * COST, n_threads)
    threads = <int> min(<Py_ssize_t> threads, max(n_blocks, 1))
    if want_sum:
        job.sums = <double*> calloc(n_blocks + 1, sizeof(double))
        if job.sums == NULL:
            raise MemoryError()
    with nogil:
        if threads == 1:
            for block in range(n_blocks):
                run_block_of(single, &job, block)
        else:
            for block in prange(n_blocks, num_threads=threads, schedule="static"):
                run_block_of(single, &job, block)
        if want_sum:
            for block in range(n_blocks):
                total += job.sums[block]
            free(job.sums)
    return total if want_sum else None


cdef Point point_of(int kind) noexcept nogil:
    return pointwise_point(kind, level)


cdef LossBlock loss_block_of(int kind) noexcept nogil:
    return <LossBlock> pointwise_block64(kind, VALUE | GRADIENT, level)


cdef void value_gradient(
    int kind, const double* params, Py_ssize_t n, const double* y, const double* raw, double* value, double* gradient
) noexcept nogil:
    pointwise_block64(kind, VALUE | GRADIENT, level)(params, n, y, raw, value, gradient, NULL)
