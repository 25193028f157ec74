"""Pointwise losses over arrays: any of value, gradient, hessian and their weighted sum in one pass."""

cimport numpy as cnp
from cython.parallel cimport prange

from sklearn_losses._kernels.losses._arrays cimport (
    GRADIENT, HESSIAN, VALUE, Arrays, attach_all, is_native, kinds_of, load, multiply, new_sums, real, spent, store, sum,
    threads_over,
)

cnp.import_array()

cdef extern from "losses/tables.h" namespace "sl" nogil:
    int detected_level()
    const char** pointwise_names()
    LossBlock pointwise_block64 "sl::pointwise_block<double>"(int kind, int outputs, int level)
    Point pointwise_point "sl::pointwise_point<>"(int kind, int level)
    void evaluate_block[T](
        int kind, int outputs, int level, const double* params, Py_ssize_t n, const T* y, const T* raw, T* value,
        T* gradient, T* hessian
    )

# Threads take whole blocks, and each block's sum is its own: the bits do not depend on the number of threads.
# A block that needs scratch (an operand of another type or stride, weights, an output nobody asked for) goes in chunks
# that stay in the first-level cache.
cdef enum:
    BLOCK_SAMPLES = 4096
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
    Arrays arrays
    double* sums    # one a block, or NULL


cdef void run_block(const real* tag, const Job* job, Py_ssize_t block) noexcept nogil:
    cdef const Arrays* arrays = &job.arrays
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
    cdef bint y_native = is_native(&arrays.y, single, 1)
    cdef bint raw_native = is_native(&arrays.raw, single, 1)
    cdef bint weight_native = is_native(&arrays.weight, single, 1)
    cdef bint scratch = arrays.weight.given or not (y_native and raw_native)
    cdef Py_ssize_t start = block * BLOCK_SAMPLES
    cdef Py_ssize_t stop = min(start + BLOCK_SAMPLES, arrays.n)
    cdef Py_ssize_t n
    cdef double total = 0.0
    cdef int i
    for i in range(3):
        needed[i] = arrays.out[i].given or (i == 0 and job.sums != NULL)
        native[i] = arrays.out[i].given and is_native(&arrays.out[i], single, 1)
        scratch = scratch or (needed[i] and not native[i])
    # A hessian always comes with its gradient.
    scratch = scratch or (needed[2] and not needed[1])
    while start < stop:
        n = min(<Py_ssize_t> CHUNK, stop - start) if scratch else stop - start
        if y_native:
            y = <const real*> arrays.y.data + start
        else:
            load(&y_scratch[0], &arrays.y, start, n)
            y = &y_scratch[0]
        if raw_native:
            raw = <const real*> arrays.raw.data + start
        else:
            load(&raw_scratch[0], &arrays.raw, start, n)
            raw = &raw_scratch[0]
        for i in range(3):
            out[i] = <real*> arrays.out[i].data + start if native[i] else &out_scratch[i][0]
        if needed[2]:
            evaluate_block(job.kind, GRADIENT | HESSIAN, level, job.params, n, y, raw, out[0], out[1], out[2])
            if needed[0]:
                evaluate_block(job.kind, VALUE, level, job.params, n, y, raw, out[0], out[1], out[2])
        elif needed[0] and needed[1]:
            evaluate_block(job.kind, VALUE | GRADIENT, level, job.params, n, y, raw, out[0], out[1], out[2])
        elif needed[0] or needed[1]:
            evaluate_block(job.kind, VALUE if needed[0] else GRADIENT, level, job.params, n, y, raw, out[0], out[1], out[2])
        if arrays.weight.given:
            if weight_native:
                weight = <const real*> arrays.weight.data + start
            else:
                load(&weight_scratch[0], &arrays.weight, start, n)
                weight = &weight_scratch[0]
            for i in range(3):
                if needed[i]:
                    multiply(out[i], weight, n)
        if job.sums != NULL:
            total += sum(out[0], n)
        for i in range(3):
            if needed[i] and arrays.out[i].given and not native[i]:
                store(out[i], &arrays.out[i], start, n)
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
    cdef Py_ssize_t n_blocks, block
    cdef int threads
    cdef bint single
    cdef double total = 0.0
    if not isinstance(raw_prediction, cnp.ndarray) or cnp.PyArray_NDIM(<cnp.ndarray> raw_prediction) == 0:
        raise TypeError(f"raw_prediction must be a NumPy array with samples; got {raw_prediction!r}")
    job.arrays.n = cnp.PyArray_DIM(<cnp.ndarray> raw_prediction, 0)
    job.arrays.n_classes = 0
    job.arrays.soft = False
    attach_all(&job.arrays, y_true, raw_prediction, sample_weight, (value, gradient, hessian), "hessian_out")
    job.kind = kind
    job.params = <const double*> cnp.PyArray_DATA(<cnp.ndarray?> params)
    single = job.arrays.raw.single
    n_blocks = (job.arrays.n + BLOCK_SAMPLES - 1) // BLOCK_SAMPLES
    threads = threads_over(n_blocks, job.arrays.n * COST, n_threads)
    job.sums = new_sums(n_blocks) if want_sum else NULL
    with nogil:
        if threads == 1:
            for block in range(n_blocks):
                run_block_of(single, &job, block)
        else:
            for block in prange(n_blocks, num_threads=threads, schedule="static"):
                run_block_of(single, &job, block)
        if want_sum:
            total = spent(job.sums, n_blocks)
    return total if want_sum else None


cdef Point point_of(int kind) noexcept nogil:
    return pointwise_point(kind, level)


cdef LossBlock loss_block_of(int kind) noexcept nogil:
    return pointwise_block64(kind, VALUE | GRADIENT, level)
