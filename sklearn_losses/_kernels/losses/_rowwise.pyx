"""Row-wise losses over arrays: any of value, gradient, hessian, probabilities and the weighted sum in one pass."""

cimport numpy as cnp
from cython.parallel cimport parallel, prange
from libc.stdlib cimport free, malloc

from sklearn_losses._kernels.losses._arrays cimport (
    GRADIENT, HESSIAN, PROBABILITY, VALUE, Arrays, Operand, attach_all, kinds_of, load, multiply, new_sums, real, spent,
    store, sum, threads_over,
)
from sklearn_losses._kernels.losses._pointwise cimport simd_level_in_use

cnp.import_array()

cdef extern from "losses/tables.h" namespace "sl" nogil:
    cdef cppclass Ahead:
        const char* at
        long row
        long step
    cdef cppclass Tile[T]:
        int n_classes
        long stride
        const T* raw
        const T* code
        const T* target
        T* value
        T* gradient
        T* hessian
        Ahead ahead[3]
    enum:
        TILE_ROWS
    const char** rowwise_names()
    bint has_tile "sl::has_tile<double>"(int kind, int outputs, bint soft)
    void evaluate_tile[T](
        int kind, int outputs, bint soft, int level, const double* params, const Tile[T]* tile, Py_ssize_t rows
    )
    ctypedef void (*RowFunction)(const double*, const Tile[double]*) noexcept nogil
    RowFunction rowwise_row "sl::rowwise_row<>"(int kind, bint soft, int level)

cdef extern from "simd/transpose.h" namespace "sl" nogil:
    void rows_to_tile[T](
        int level, T* tile, Py_ssize_t tile_stride, T* rows, Py_ssize_t row_stride, Py_ssize_t n_rows,
        Py_ssize_t n_classes
    )
    void tile_to_rows[T](
        int level, T* tile, Py_ssize_t tile_stride, T* rows, Py_ssize_t row_stride, Py_ssize_t n_rows,
        Py_ssize_t n_classes
    )

# A block is what a thread takes: its sum is its own, so that the bits do not depend on the number of threads.
# It goes in tiles: of rows enough for a tile's overheads, while the tile stays in the first-level cache. Where a column
# of the array is contiguous the tile may fill the second level instead: short pieces of many columns are slow to read.
cdef enum:
    BLOCK_ROWS = 16 * TILE_ROWS
    TILE_SCORES = 1024
    TILE_SCORES_BY_COLUMN = 32768
    STACK_SCORES = 4096  # what fits on the stack needs no allocation

# Nanoseconds a score, roughly, on one thread at the middle level.
cdef Py_ssize_t COST = 4


# Struct name -> kind, its position in the header's list.
KINDS = kinds_of(rowwise_names())


cdef struct Job:
    int kind
    const double* params
    bint probability  # the third output takes probabilities instead of the hessian
    Arrays arrays
    Py_ssize_t tile_rows
    double* sums    # one a block, or NULL


cdef void plan_tiles(Job* job) noexcept nogil:
    cdef Py_ssize_t scores = TILE_SCORES_BY_COLUMN if job.arrays.raw.step == 1 else TILE_SCORES
    cdef Py_ssize_t rows = min(<Py_ssize_t> BLOCK_ROWS, scores // job.arrays.n_classes // TILE_ROWS * TILE_ROWS, padded(job.arrays.n))
    job.tile_rows = max(rows, <Py_ssize_t> TILE_ROWS)


cdef inline Py_ssize_t padded(Py_ssize_t rows) noexcept nogil:
    return (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS


cdef Py_ssize_t work_scores(const Job* job) noexcept nogil:
    """What a thread needs: tiles for the raw predictions, the targets, the gradient and the hessian."""
    return 4 * job.arrays.n_classes * job.tile_rows


cdef inline void call(const Job* job, int outputs, const Tile[real]* tile, Py_ssize_t rows) noexcept nogil:
    evaluate_tile(job.kind, outputs, job.arrays.soft, simd_level_in_use(), job.params, tile, rows)


cdef inline void pad(real* x, Py_ssize_t rows) noexcept nogil:
    """Rows past the end repeat the last, as valid numbers."""
    cdef Py_ssize_t r
    for r in range(rows, padded(rows)):
        x[r] = x[rows - 1]


cdef void load_classes(real* to, const Job* job, const Operand* op, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """(rows, n_classes) of an array, turned into a tile."""
    cdef Operand column = op[0]
    cdef Py_ssize_t size = 4 if op.single else 8
    cdef bint single = real is float
    cdef int k
    if op.step_class == 1 and op.single == single:
        rows_to_tile(
            simd_level_in_use(), to, job.tile_rows, <real*> op.data + start * op.step, op.step, rows,
            job.arrays.n_classes,
        )
    else:
        for k in range(job.arrays.n_classes):
            column.data = op.data + k * op.step_class * size
            load(to + k * job.tile_rows, &column, start, rows)
    if rows % TILE_ROWS:
        for k in range(job.arrays.n_classes):
            pad(to + k * job.tile_rows, rows)


cdef void store_classes(
    real* tile, const Job* job, const Operand* op, Py_ssize_t start, Py_ssize_t rows
) noexcept nogil:
    cdef Operand column = op[0]
    cdef Py_ssize_t size = 4 if op.single else 8
    cdef bint single = real is float
    cdef int k
    if op.step_class == 1 and op.single == single:
        tile_to_rows(
            simd_level_in_use(), tile, job.tile_rows, <real*> op.data + start * op.step, op.step, rows,
            job.arrays.n_classes,
        )
        return
    for k in range(job.arrays.n_classes):
        column.data = op.data + k * op.step_class * size
        store(tile + k * job.tile_rows, &column, start, rows)


cdef inline Ahead rows_at(const Job* job, const Operand* op, Py_ssize_t start) noexcept nogil:
    """What is worth asking for early: a tile's rows where they stand together, or those of its columns. More columns
    would be more pages than the processor keeps addresses of.
    """
    cdef Ahead ahead
    cdef Py_ssize_t size = 4 if op.single else 8
    cdef bint together = op.step_class == 1 and op.step == job.arrays.n_classes
    ahead.at = NULL
    ahead.row = ahead.step = 0
    cdef bint columns = op.step == 1 and job.arrays.n_classes <= 32
    if op.given and op.single == job.arrays.raw.single and start < job.arrays.n and (together or columns):
        ahead.at = op.data + start * op.step * size
        ahead.row = op.step * size
        ahead.step = op.step_class * size
    return ahead


cdef void run_block(real* work, const Job* job, Py_ssize_t block) noexcept nogil:
    """One block of rows, tile by tile, in `work` of `work_scores`."""
    cdef Py_ssize_t area = job.arrays.n_classes * job.tile_rows
    cdef real* target = work + area
    cdef real* gradient = work + 2 * area
    cdef real* hessian = work + 3 * area
    cdef real[BLOCK_ROWS] code
    cdef real[BLOCK_ROWS] value
    cdef real[BLOCK_ROWS] weight
    cdef bint want_value = job.arrays.out[0].given or job.sums != NULL
    cdef Py_ssize_t first = block * BLOCK_ROWS
    cdef Py_ssize_t start = first
    cdef Py_ssize_t stop = min(start + BLOCK_ROWS, job.arrays.n)
    cdef Py_ssize_t rows
    cdef Tile[real] tile
    cdef int k
    tile.n_classes = job.arrays.n_classes
    tile.stride = job.tile_rows
    tile.raw = work
    tile.code = &code[0]
    tile.target = target
    tile.gradient = gradient
    tile.hessian = hessian
    while start < stop:
        rows = min(job.tile_rows, stop - start)
        # A block's values stay together: their sum must not depend on how large a tile is.
        tile.value = &value[start - first]
        load_classes(work, job, &job.arrays.raw, start, rows)
        tile.ahead[0] = rows_at(job, &job.arrays.raw, start + rows)
        tile.ahead[1] = rows_at(job, &job.arrays.out[1], start)
        tile.ahead[2] = rows_at(job, &job.arrays.out[2], start)
        if job.arrays.soft:
            load_classes(target, job, &job.arrays.y, start, rows)
        else:
            load(&code[0], &job.arrays.y, start, rows)
            pad(&code[0], rows)
        if job.arrays.out[2].given:
            call(job, GRADIENT | (PROBABILITY if job.probability else HESSIAN), &tile, rows)
            if want_value:  # after the derivatives: it leaves the gradient alone
                call(job, VALUE, &tile, rows)
        elif job.arrays.out[1].given:
            call(job, GRADIENT | VALUE if want_value else GRADIENT, &tile, rows)
        elif want_value:
            call(job, VALUE, &tile, rows)
        if job.arrays.weight.given:
            load(&weight[0], &job.arrays.weight, start, rows)
            if want_value:
                multiply(tile.value, &weight[0], rows)
            for k in range(job.arrays.n_classes):
                if job.arrays.out[1].given:
                    multiply(gradient + k * job.tile_rows, &weight[0], rows)
                if job.arrays.out[2].given and not job.probability:
                    multiply(hessian + k * job.tile_rows, &weight[0], rows)
        if job.arrays.out[0].given:
            store(<const real*> tile.value, &job.arrays.out[0], start, rows)
        if job.arrays.out[1].given:
            store_classes(gradient, job, &job.arrays.out[1], start, rows)
        if job.arrays.out[2].given:
            store_classes(hessian, job, &job.arrays.out[2], start, rows)
        start += rows
    if job.sums != NULL:
        job.sums[block] = sum(&value[0], stop - first)


cdef void run_block_of(bint single, void* work, const Job* job, Py_ssize_t block) noexcept nogil:
    if single:
        run_block(<float*> work, job, block)
    else:
        run_block(<double*> work, job, block)


cdef int run_serial(bint single, const Job* job) noexcept nogil:
    """0, or -1 when there is no memory for the tiles."""
    cdef double[STACK_SCORES] stack
    cdef void* work = &stack[0]
    cdef Py_ssize_t block, scores = work_scores(job)
    if scores > STACK_SCORES:
        work = malloc(scores * sizeof(double))
        if work == NULL:
            return -1
    for block in range((job.arrays.n + BLOCK_ROWS - 1) // BLOCK_ROWS):
        run_block_of(single, work, job, block)
    if work != &stack[0]:
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
    cdef Arrays* arrays = &job.arrays
    cdef Py_ssize_t n_blocks, block
    cdef int threads, failed = 0
    cdef void* work = NULL
    cdef bint single
    cdef double total = 0.0
    if not isinstance(raw_prediction, cnp.ndarray) or cnp.PyArray_NDIM(<cnp.ndarray> raw_prediction) != 2:
        raise ValueError(
            "raw_prediction must be a NumPy array of shape (n_samples, n_classes); got "
            f"{getattr(raw_prediction, 'shape', type(raw_prediction).__name__)}"
        )
    arrays.n = cnp.PyArray_DIM(<cnp.ndarray> raw_prediction, 0)
    if not 1 <= cnp.PyArray_DIM(<cnp.ndarray> raw_prediction, 1) < 1 << 24:
        raise ValueError(f"raw_prediction must have at least one class; got shape {raw_prediction.shape}")
    arrays.n_classes = <int> cnp.PyArray_DIM(<cnp.ndarray> raw_prediction, 1)
    arrays.soft = getattr(y_true, "ndim", 1) == 2 and (arrays.n_classes > 1 or y_true.shape[1] != 1)
    job.probability = probability is not None
    attach_all(
        arrays, y_true, raw_prediction, sample_weight,
        (value, gradient, probability if job.probability else hessian),
        "proba_out" if job.probability else "hessian_out",
    )
    if not has_tile(kind, VALUE, arrays.soft):
        raise ValueError("y_true must hold class codes, of shape (n_samples,): this loss takes no probabilities")
    if job.probability and not has_tile(kind, GRADIENT | PROBABILITY, arrays.soft):
        raise ValueError("this loss gives no probabilities")
    job.kind = kind
    job.params = <const double*> cnp.PyArray_DATA(<cnp.ndarray?> params)
    single = arrays.raw.single
    plan_tiles(&job)
    n_blocks = (arrays.n + BLOCK_ROWS - 1) // BLOCK_ROWS
    threads = threads_over(n_blocks, arrays.n * arrays.n_classes * COST, n_threads)
    job.sums = new_sums(n_blocks) if want_sum else NULL
    with nogil:
        if threads == 1:
            failed = run_serial(single, &job)
        else:
            with parallel(num_threads=threads):
                work = malloc(work_scores(&job) * sizeof(double))
                for block in prange(n_blocks, schedule="static"):
                    if work == NULL:
                        failed += 1
                    else:
                        run_block_of(single, work, &job, block)
                free(work)
        if want_sum:
            total = spent(job.sums, n_blocks)
    if failed:
        raise MemoryError(f"no memory for tiles of {job.arrays.n_classes} classes")
    return total if want_sum else None


cdef int row_value_gradient(
    int kind, const double* params, int n_classes, Py_ssize_t n, const double* code, const double* target,
    const double* raw, double* value, double* gradient
) noexcept nogil:
    cdef Job job
    cdef Tile[double] row
    cdef int i
    if n <= 2:  # less than it takes to fill registers with rows
        row.n_classes = n_classes
        row.stride = 1
        row.hessian = NULL
        for i in range(3):
            row.ahead[i].at = NULL
        for i in range(<int> n):
            row.raw = raw + i * n_classes
            row.code = code if code == NULL else code + i
            row.target = target if target == NULL else target + i * n_classes
            row.value = value + i
            row.gradient = gradient + i * n_classes
            rowwise_row(kind, target != NULL, simd_level_in_use())(params, &row)
        return 0
    job.kind = kind
    job.params = params
    job.arrays.n_classes = n_classes
    job.arrays.soft = target != NULL
    job.probability = False
    job.arrays.n = n
    job.sums = NULL
    job.arrays.weight.given = False
    job.arrays.out[2].given = False
    cdef Operand* operands[4]
    operands[:] = [&job.arrays.y, &job.arrays.raw, &job.arrays.out[0], &job.arrays.out[1]]
    for i in range(4):
        operands[i].given = True
        operands[i].single = False
        operands[i].step = n_classes
        operands[i].step_class = 1
    job.arrays.raw.data = <char*> raw
    job.arrays.out[1].data = <char*> gradient
    job.arrays.out[0].data = <char*> value
    job.arrays.out[0].step = 1
    job.arrays.y.data = <char*> (target if target != NULL else code)
    job.arrays.y.step = n_classes if target != NULL else 1
    plan_tiles(&job)
    return run_serial(False, &job)
