"""Row-wise losses over arrays: any of value, gradient, hessian, probabilities and the weighted sum in one pass."""

cimport numpy as cnp
from cython.parallel cimport prange
from libc.stdlib cimport calloc, free, malloc

from sklearn_losses._kernels._arrays cimport (
    Operand, attach, kinds_of, load, multiply, real, refuse_overlap, rows_from_tile, store, sum, tile_from_rows,
)
from sklearn_losses._kernels._pointwise cimport simd_level_in_use
from sklearn_losses._kernels._threads cimport threads_for

cnp.import_array()

cdef extern from "simd.h" namespace "sl" nogil:
    cdef cppclass Tile[T]:
        int n_classes
        long stride
        const T* raw
        const T* code
        const T* target
        T* value
        T* gradient
        T* hessian
    ctypedef void (*Tile32)(const double*, const Tile[float]*) noexcept nogil
    ctypedef void (*Tile64)(const double*, const Tile[double]*) noexcept nogil
    enum RowOutputs:
        ROW_VALUE
        ROW_GRADIENT
        ROW_HESSIAN
        ROW_PROBABILITY
    enum:
        TILE_ROWS
    const char** rowwise_names()
    Tile32 rowwise_tile32 "sl::rowwise_tile<float>"(int kind, int outputs, bint soft, int level)
    Tile64 rowwise_tile64 "sl::rowwise_tile<double>"(int kind, int outputs, bint soft, int level)

# A block is what a thread takes: its sum is its own, so that the bits do not depend on the number of threads.
cdef enum:
    BLOCK = 16 * TILE_ROWS

# Nanoseconds a score, roughly, on one thread at the middle level.
cdef Py_ssize_t COST = 4


# Struct name -> kind, its position in the header's list.
KINDS = kinds_of(rowwise_names())


cdef struct Job:
    int kind
    const double* params
    int n_classes
    bint soft
    bint probability  # out[2] takes probabilities instead of the hessian
    Py_ssize_t n
    Operand y, raw, weight
    Operand[3] out  # value, gradient, hessian
    double* sums    # one a block, or NULL


cdef void call(
    const Job* job, int outputs, const real* raw, const real* code, const real* target,
    real* value, real* gradient, real* hessian
) noexcept nogil:
    cdef Tile[real] tile
    tile.n_classes = job.n_classes
    tile.stride = TILE_ROWS
    tile.raw = raw
    tile.code = code
    tile.target = target
    tile.value = value
    tile.gradient = gradient
    tile.hessian = hessian
    if real is float:
        rowwise_tile32(job.kind, outputs, job.soft, simd_level_in_use())(job.params, &tile)
    else:
        rowwise_tile64(job.kind, outputs, job.soft, simd_level_in_use())(job.params, &tile)


cdef void load_classes(real* to, const Operand* op, Py_ssize_t start, Py_ssize_t rows, int n_classes) noexcept nogil:
    """(rows, n_classes) of an array, turned into a tile. Rows past the end repeat the last, as valid numbers."""
    cdef Operand column = op[0]
    cdef Py_ssize_t size = 4 if op.single else 8
    cdef int k, r
    if op.step_class == 1 and op.single == (sizeof(real) == 4):
        tile_from_rows(to, <const real*> op.data + start * op.step, op.step, rows, n_classes)
    else:
        for k in range(n_classes):
            column.data = op.data + k * op.step_class * size
            load(to + k * TILE_ROWS, &column, start, rows)
    if rows < TILE_ROWS:
        for k in range(n_classes):
            for r in range(<int> rows, TILE_ROWS):
                to[k * TILE_ROWS + r] = to[k * TILE_ROWS + rows - 1]


cdef void store_classes(
    const real* tile, const Operand* op, Py_ssize_t start, Py_ssize_t rows, int n_classes
) noexcept nogil:
    cdef Operand column = op[0]
    cdef Py_ssize_t size = 4 if op.single else 8
    cdef int k
    if op.step_class == 1 and op.single == (sizeof(real) == 4):
        rows_from_tile(<real*> op.data + start * op.step, op.step, tile, rows, n_classes)
        return
    for k in range(n_classes):
        column.data = op.data + k * op.step_class * size
        store(tile + k * TILE_ROWS, &column, start, rows)


cdef void run_block(real* work, const Job* job, Py_ssize_t block) noexcept nogil:
    """One block of rows, tile by tile. `work` holds four (n_classes, TILE_ROWS) tiles."""
    cdef Py_ssize_t area = job.n_classes * TILE_ROWS
    cdef real* raw = work
    cdef real* target = work + area
    cdef real* gradient = work + 2 * area
    cdef real* hessian = work + 3 * area
    cdef real[TILE_ROWS] code
    cdef real[TILE_ROWS] value
    cdef real[TILE_ROWS] weight
    cdef bint want_value = job.out[0].given or job.sums != NULL
    cdef Py_ssize_t start = block * BLOCK
    cdef Py_ssize_t stop = min(start + BLOCK, job.n)
    cdef Py_ssize_t rows
    cdef double total = 0.0
    cdef int k, r
    while start < stop:
        rows = min(<Py_ssize_t> TILE_ROWS, stop - start)
        load_classes(raw, &job.raw, start, rows, job.n_classes)
        if job.soft:
            load_classes(target, &job.y, start, rows, job.n_classes)
        else:
            load(&code[0], &job.y, start, rows)
            for r in range(<int> rows, TILE_ROWS):
                code[r] = code[rows - 1]
        if job.out[2].given:
            call(
                job, ROW_GRADIENT | (ROW_PROBABILITY if job.probability else ROW_HESSIAN), raw, &code[0], target,
                &value[0], gradient, hessian,
            )
            if want_value:  # after the derivatives: it leaves the gradient alone
                call(job, ROW_VALUE, raw, &code[0], target, &value[0], gradient, hessian)
        elif job.out[1].given:
            call(
                job, ROW_GRADIENT | ROW_VALUE if want_value else ROW_GRADIENT, raw, &code[0], target,
                &value[0], gradient, hessian,
            )
        elif want_value:
            call(job, ROW_VALUE, raw, &code[0], target, &value[0], gradient, hessian)
        if job.weight.given:
            load(&weight[0], &job.weight, start, rows)
            if want_value:
                multiply(&value[0], &weight[0], rows)
            for k in range(job.n_classes):
                if job.out[1].given:
                    multiply(gradient + k * TILE_ROWS, &weight[0], rows)
                if job.out[2].given and not job.probability:
                    multiply(hessian + k * TILE_ROWS, &weight[0], rows)
        if job.sums != NULL:
            total += sum(&value[0], rows)
        if job.out[0].given:
            store(&value[0], &job.out[0], start, rows)
        if job.out[1].given:
            store_classes(gradient, &job.out[1], start, rows, job.n_classes)
        if job.out[2].given:
            store_classes(hessian, &job.out[2], start, rows, job.n_classes)
        start += rows
    if job.sums != NULL:
        job.sums[block] = total


cdef int run_block_of(bint single, const Job* job, Py_ssize_t block) noexcept nogil:
    """0, or -1 when there is no memory for the tiles."""
    cdef Py_ssize_t area = 4 * <Py_ssize_t> job.n_classes * TILE_ROWS
    cdef void* work = malloc(area * (sizeof(float) if single else sizeof(double)))
    if work == NULL:
        return -1
    if single:
        run_block(<float*> work, job, block)
    else:
        run_block(<double*> work, job, block)
    free(work)
    return 0


def evaluate(
    int kind, params, y_true, raw_prediction, sample_weight=None, value=None, gradient=None, hessian=None,
    probability=None, n_threads=None, bint want_sum=False
):
    """Evaluate a row-wise loss into the given arrays.

    Parameters
    ----------
    kind : int
        Position in the header's list: ``KINDS[name]``.
    params : ndarray of shape (n_params,), dtype float64, C-contiguous
    y_true : ndarray of shape (n_samples,) or (n_samples, n_classes), float32 or float64
        Class codes, or rows of probabilities.
    raw_prediction : ndarray of shape (n_samples, n_classes), float32 or float64
        The kernel computes in its type.
    sample_weight, value : ndarray of shape (n_samples,) or None
    gradient, hessian, probability : ndarray of shape (n_samples, n_classes) or None
        Where results go; None for those that are not wanted. `hessian` is its diagonal; not both of `hessian` and
        `probability`.
    n_threads : int or None
    want_sum : bool
        Whether to return the weighted sum of the values, accumulated in double.

    Returns
    -------
    total : float or None
    """
    cdef Job job
    cdef Py_ssize_t n_blocks, block, n
    cdef int threads, failed = 0
    cdef bint single
    cdef double total = 0.0
    if not isinstance(raw_prediction, cnp.ndarray) or cnp.PyArray_NDIM(<cnp.ndarray> raw_prediction) != 2:
        raise ValueError(
            "raw_prediction must be a NumPy array of shape (n_samples, n_classes); got "
            f"{getattr(raw_prediction, 'shape', type(raw_prediction).__name__)}"
        )
    n = cnp.PyArray_DIM(<cnp.ndarray> raw_prediction, 0)
    if not 1 <= cnp.PyArray_DIM(<cnp.ndarray> raw_prediction, 1) < 1 << 24:
        raise ValueError(f"raw_prediction must have at least one class; got shape {raw_prediction.shape}")
    job.n_classes = <int> cnp.PyArray_DIM(<cnp.ndarray> raw_prediction, 1)
    job.soft = getattr(y_true, "ndim", 1) == 2 and (job.n_classes > 1 or y_true.shape[1] != 1)
    attach(&job.raw, raw_prediction, "raw_prediction", n, job.n_classes, False)
    attach(&job.y, y_true, "y_true", n, job.n_classes if job.soft else 0, False)
    attach(&job.weight, sample_weight, "sample_weight", n, 0, False)
    attach(&job.out[0], value, "loss_out", n, 0, True)
    attach(&job.out[1], gradient, "gradient_out", n, job.n_classes, True)
    job.probability = probability is not None
    if job.probability:
        attach(&job.out[2], probability, "proba_out", n, job.n_classes, True)
    else:
        attach(&job.out[2], hessian, "hessian_out", n, job.n_classes, True)
    cdef Operand[3] inputs = [job.y, job.raw, job.weight]
    refuse_overlap(
        &job.out[0], ("loss_out", "gradient_out", "proba_out" if job.probability else "hessian_out"), 3,
        &inputs[0], ("y_true", "raw_prediction", "sample_weight"), 3, n, job.n_classes,
    )
    if rowwise_tile64(kind, ROW_VALUE, job.soft, 0) == NULL:
        raise ValueError("y_true must hold class codes, of shape (n_samples,): this loss takes no probabilities")
    if job.probability and rowwise_tile64(kind, ROW_GRADIENT | ROW_PROBABILITY, job.soft, 0) == NULL:
        raise ValueError("this loss gives no probabilities")
    job.kind = kind
    job.params = <const double*> cnp.PyArray_DATA(<cnp.ndarray?> params)
    job.n = n
    job.sums = NULL
    single = job.raw.single
    n_blocks = (n + BLOCK - 1) // BLOCK
    threads = threads_for(n * job.n_classes * COST, n_threads)
    threads = <int> min(<Py_ssize_t> threads, max(n_blocks, 1))
    if want_sum:
        job.sums = <double*> calloc(n_blocks + 1, sizeof(double))
        if job.sums == NULL:
            raise MemoryError()
    with nogil:
        if threads == 1:
            for block in range(n_blocks):
                failed += run_block_of(single, &job, block)
        else:
            for block in prange(n_blocks, num_threads=threads, schedule="static"):
                failed += run_block_of(single, &job, block)
        if want_sum:
            for block in range(n_blocks):
                total += job.sums[block]
            free(job.sums)
    if failed:
        raise MemoryError(f"no memory for tiles of {job.n_classes} classes")
    return total if want_sum else None


cdef int row_value_gradient(
    int kind, const double* params, int n_classes, Py_ssize_t n, const double* code, const double* target,
    const double* raw, double* value, double* gradient
) noexcept nogil:
    cdef Job job
    cdef Py_ssize_t block
    cdef int i
    job.kind = kind
    job.params = params
    job.n_classes = n_classes
    job.soft = target != NULL
    job.probability = False
    job.n = n
    job.sums = NULL
    job.weight.given = False
    job.out[2].given = False
    cdef Operand* operands[4]
    operands[:] = [&job.y, &job.raw, &job.out[0], &job.out[1]]
    for i in range(4):
        operands[i].given = True
        operands[i].single = False
        operands[i].step = n_classes
        operands[i].step_class = 1
    job.raw.data = <char*> raw
    job.out[1].data = <char*> gradient
    job.out[0].data = <char*> value
    job.out[0].step = 1
    job.y.data = <char*> (target if target != NULL else code)
    job.y.step = n_classes if target != NULL else 1
    for block in range((n + BLOCK - 1) // BLOCK):
        if run_block_of(False, &job, block) < 0:
            return -1
    return 0
