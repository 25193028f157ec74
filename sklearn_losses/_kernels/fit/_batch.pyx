"""Linear models on batches of rows: the mean loss over them, and its gradient."""

import numpy as np

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t
from libc.string cimport memset

from sklearn_losses._kernels.losses._pointwise cimport loss_block_of, simd_level_in_use
from sklearn_losses._kernels.fit._rows cimport describe_rows
from sklearn_losses._kernels.losses._rowwise cimport row_value_gradient

from sklearn_losses._kernels._threads import effective_n_threads

cnp.import_array()

cdef dict TARGETS = {"shared": SHARED, "separate": SEPARATE, "codes": CODES}

# A batch is taken in chunks of so many scores, which bounds what is held of them, and of so many rows.
cdef Py_ssize_t CHUNK_SCORES = 65536
cdef Py_ssize_t MOST_CHUNK_ROWS = 2048

# Dense rows: as many sums of the gradient at once as fit, of MOST_PIECES, and at least LEAST_PIECES.
cdef Py_ssize_t MOST_PIECES = 16
cdef Py_ssize_t LEAST_PIECES = 4
cdef Py_ssize_t SUMS = 1 << 18

# Nanoseconds of work that are worth a thread: of a job, which helpers take up awake, and of a pass, for which they are
# called.
cdef Py_ssize_t LEAST_WORK = 4000
cdef Py_ssize_t LEAST_PASS = 100_000
# Nanoseconds of a row and output, and of one of its elements: dense and sparse.
cdef double ROW_COST = 20.0
cdef double DENSE_COST = 0.15
cdef double SPARSE_COST = 4.0

cdef double BETWEEN_LOOKS = 5e7
cdef double CALL_COST = 2e4


cdef class Problem:
    """Data and loss of linear models that are fitted together: the mean loss over rows, and its gradient.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), C order, or CSR matrix or array; float32 or float64
        Not copied.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs), float64
        As the loss takes it.
    losses : list of Loss
        One for all outputs, or one for each: then of one class.
    n_outputs : int
    target : {"shared", "separate", "codes"}
        What y holds: a target for all outputs, one for each output, or the code of the one output whose target is 1.
        A row-wise loss takes codes as "shared", and distributions over the classes as "separate".
    negative : float
        The target of the other outputs with "codes".
    rows : ndarray of shape (n_rows,), int32, or None
        The samples that count; None: all.
    sample_weight : ndarray of shape (n_samples,), float64, or None
    weight_factor : float
        Factor of `sample_weight`.
    weight_positive, weight_negative : ndarray of shape (n_outputs,), float64, or None
        Factors of the weights of samples whose target is above 0, and of the others. Pointwise losses only.
    offset : ndarray of shape (n_samples,) or (n_samples, n_outputs), float64, or None
        Added to the raw predictions.
    fit_intercept : bool
    batch_size : int
        Of the largest batch.
    n_threads : int or None
        As `effective_n_threads` takes it.
    """

    def __init__(
        self, X, y, losses, int n_outputs, *, target="shared", double negative=0.0, rows=None, sample_weight=None,
        double weight_factor=1.0, weight_positive=None, weight_negative=None, offset=None, bint fit_intercept=True,
        Py_ssize_t batch_size=MOST_CHUNK_ROWS, n_threads=1,
    ):
        cdef Run* run = &self.run
        cdef Task* task = &run.task
        memset(run, 0, sizeof(Run))
        self.keep = []
        describe_rows(&self.rows, X, self.keep, simd_level_in_use())
        self.n_samples, self.n_features = X.shape
        self.n_outputs = n_outputs
        self.losses = losses
        self.dtype = np.dtype(np.float32 if self.rows.single else np.float64)
        # Sparse rows: one. Two threads write to the same few weights, whose cache lines then travel between the cores; that
        # took 1.4 to 2.6 times as long as one thread, in batches and over all rows.
        self.threads = 1 if self.rows.sparse else effective_n_threads(n_threads)
        self.passes = passes_for(self.rows.single, self.rows.wide)
        run.level = simd_level_in_use()
        if rows is None:
            if self.n_samples > np.iinfo(np.int32).max:
                raise ValueError(f"at most {np.iinfo(np.int32).max} samples can be shuffled; got {self.n_samples}")
            self.rows_given = np.arange(self.n_samples, dtype=np.int32)
        else:
            self.rows_given = self.own(rows, np.int32, (len(rows),))
        self.n_rows = len(self.rows_given)
        self.order_array = self.rows_given
        self.order = <int32_t*> cnp.PyArray_DATA(self.order_array)

        task.n_features = self.n_features
        task.n_outputs = n_outputs
        task.values = self.rows.data
        task.indices = self.rows.indices
        task.indptr = self.rows.indptr if self.rows.sparse else NULL
        task.stride = self.rows.stride
        separate = (self.n_samples, n_outputs)
        task.y = self.pointer(y, separate if target == "separate" else (self.n_samples,))
        task.target = TARGETS[target]
        task.negative = negative
        task.weight = self.pointer(sample_weight, (self.n_samples,))
        task.weight_factor = weight_factor
        task.weight_positive = self.pointer(weight_positive, (n_outputs,))
        task.weight_negative = self.pointer(weight_negative, (n_outputs,))
        task.offset_separate = offset is not None and np.ndim(offset) == 2
        task.offset = self.pointer(offset, separate if task.offset_separate else (self.n_samples,))
        task.fit_intercept = fit_intercept
        self.set_losses(losses)
        self.allocate(batch_size)

    cdef cnp.ndarray own(self, array, dtype, shape):
        array = np.require(array, dtype, "CA")
        if array.shape != shape:
            raise ValueError(f"expected an array of shape {shape}; got {array.shape}")
        self.keep.append(array)
        return array

    cdef const double* pointer(self, array, shape) except? NULL:
        if array is None:
            return NULL
        return <const double*> cnp.PyArray_DATA(self.own(array, np.float64, shape))

    cdef int set_losses(self, losses) except -1:
        cdef Task* task = &self.run.task
        resolved = [loss._resolve() for loss in losses]
        if len(losses) not in (1, self.n_outputs) or len({kind for kind, _ in resolved}) != 1:
            raise ValueError("one loss is needed, or one of the same class for each output")
        kind, first = resolved[0]
        params = np.concatenate([params for _, params in resolved])
        task.params = self.pointer(params, (len(params),))
        task.params_stride = len(first) if len(losses) > 1 else 0
        task.block = NULL
        task.row_loss = NULL
        task.kind = kind
        if losses[0].is_multiclass:
            if task.weight_positive != NULL:
                raise ValueError("a row-wise loss takes the weights of classes as sample weights")
            task.row_loss = row_value_gradient
        elif kind >= 0:
            task.block = loss_block_of(kind)
        return 0

    cdef int allocate(self, Py_ssize_t batch_size) except -1:
        cdef Run* run = &self.run
        cdef Chunk* chunk = &run.chunk
        cdef Py_ssize_t K = self.n_outputs, rows, pieces, nonzeros
        run.size = K * self.n_features
        batch_size = max(1, min(batch_size, self.n_rows))
        rows = min(max(CHUNK_SCORES // K, 256), MOST_CHUNK_ROWS)
        self.chunk_rows = rows = min(rows, batch_size)
        pieces = min(max(SUMS // max(run.size, 1), LEAST_PIECES), MOST_PIECES)
        self.most_pieces = pieces = min(pieces, (rows + TALL - 1) // TALL)

        self.w = np.zeros((self.n_features, K) if self.rows.sparse else (K, self.n_features), self.dtype)
        run.w = cnp.PyArray_DATA(self.w)
        self.intercept = np.zeros(K)
        run.intercept = <double*> cnp.PyArray_DATA(self.intercept)
        self.g = np.zeros((1 if self.rows.sparse else pieces) * run.size)
        run.g = <double*> cnp.PyArray_DATA(self.g)
        self.intercept_gradient = np.zeros(pieces * K)
        run.intercept_gradient = <double*> cnp.PyArray_DATA(self.intercept_gradient)
        self.raw, self.value, self.gradient, self.target = (np.empty(rows * K) for _ in range(4))
        chunk.raw = <double*> cnp.PyArray_DATA(self.raw)
        chunk.value = <double*> cnp.PyArray_DATA(self.value)
        chunk.gradient = <double*> cnp.PyArray_DATA(self.gradient)
        chunk.target = <double*> cnp.PyArray_DATA(self.target)
        row_buffer = np.empty(rows, np.intp)
        scratch = np.empty(pieces * TALL * K)
        sums = np.zeros(pieces * sizeof(Sums), np.uint8)
        norms = np.zeros(K * blocks_of(self.n_features) + 1)
        self.keep += [row_buffer, scratch, sums, norms]
        self.row_buffer = <Py_ssize_t*> cnp.PyArray_DATA(<cnp.ndarray> row_buffer)
        chunk.rows = self.row_buffer
        run.scratch = <double*> cnp.PyArray_DATA(<cnp.ndarray> scratch)
        run.sums = <Sums*> cnp.PyArray_DATA(<cnp.ndarray> sums)
        run.norms = <double*> cnp.PyArray_DATA(<cnp.ndarray> norms)
        chunk.memory_mode = NO_MEMORY
        if self.rows.sparse:
            nonzeros = (<cnp.ndarray?> self.keep[0]).shape[0]
            self.row_work = ROW_COST * K + SPARSE_COST * K * nonzeros / max(self.n_samples, 1)
            self.allocate_sparse()
        else:
            self.row_work = K * (ROW_COST + DENSE_COST * self.n_features)
        return 0

    cdef int allocate_sparse(self) except -1:
        cdef Run* run = &self.run
        if self.n_features > np.iinfo(np.int32).max:
            raise ValueError(f"at most {np.iinfo(np.int32).max} features can be counted; got {self.n_features}")
        self.marks = np.zeros(self.n_features, np.int32)
        run.mark = <int32_t*> cnp.PyArray_DATA(self.marks)
        # One more: what may be the next feature of the list is written before that is known.
        self.touched_at, self.touched_missed = (np.empty(self.n_features + 1, np.int32) for _ in range(2))
        run.touched.at = <int32_t*> cnp.PyArray_DATA(self.touched_at)
        run.touched.missed = <int32_t*> cnp.PyArray_DATA(self.touched_missed)
        return 0

    cdef Status call_loss(self, Py_ssize_t size) noexcept with gil:
        """A Python loss on the chunk."""
        try:
            if len(self.losses) > 1:
                raise ValueError("a Python loss has no kernel that takes parameters by output")
            value, gradient = self.losses[0].loss_gradient(self.target[:size], self.raw[:size])
            self.value[:size] = value
            self.gradient[:size] = gradient
        except BaseException as error:
            self.error = error
            return FAILED
        return DONE

    # ------------------------------------------------------------------------------------------------------- threads

    cdef int threads_for(self, double work) noexcept nogil:
        return <int> max(1, min(<double> self.threads, work / LEAST_WORK))

    cdef void each(self, Pass function, Py_ssize_t n, int threads) noexcept nogil:
        """Run the pieces of a job, those of more than one thread with whoever helps."""
        cdef int i
        if threads <= 1 or n <= 1 or not self.pool.ready():
            for i in range(n):
                function(&self.run, i)
        else:
            self.shared += 1
            self.pool.share(function, &self.run, <int> n)

    def jobs_shared(self):
        """How many jobs helpers were called for so far."""
        return self.shared

    cdef Status pass_over(self) noexcept nogil:
        return self.pass_over_part()

    cdef Status share_pass(self, double work) except *:
        """`pass_over` of so many nanoseconds; raises what it failed with."""
        cdef Status status
        cdef int threads = <int> min(<double> self.threads, work / LEAST_PASS)
        if threads > 1:
            self.pool.enlist(threads - 1)
        with nogil:
            status = self.pass_over()
        if status == FAILED:
            error, self.error = self.error, None
            raise error
        if status == OUT_OF_MEMORY:
            raise MemoryError(f"no memory for tiles of {self.n_outputs} classes")
        return status

    # ------------------------------------------------------------------------------------------------------ gradients

    cdef Status add_rows(self, Py_ssize_t start, Py_ssize_t stop, bint touch) noexcept nogil:
        """Add rows [start, stop) of the order to the sums of loss and gradient."""
        cdef Run* run = &self.run
        cdef Py_ssize_t i, n, pieces
        cdef int threads
        cdef bint python = run.task.kind < 0
        cdef Status status
        run.n_begun = run.n_pieces = 0
        while start < stop:
            n = min(stop - start, self.chunk_rows)
            for i in range(n):
                self.row_buffer[i] = self.order[start + i]
            run.chunk.n = n
            pieces = min(self.most_pieces, (n + TALL - 1) // TALL)
            run.chunk.piece = ((n + pieces - 1) // pieces + TALL - 1) // TALL * TALL
            pieces = (n + run.chunk.piece - 1) // run.chunk.piece
            run.n_pieces = <int> max(run.n_pieces, pieces)
            threads = self.threads_for(n * self.row_work)
            if touch:
                self.passes.touch(run, 0)
            run.phases = SCORES if python else SCORES | LOSS | GRADIENTS
            self.each(self.passes.rows, pieces, threads)
            if python:
                status = self.failed()
                if status == DONE:
                    status = self.call_loss(n * self.n_outputs)
                if status != DONE:
                    return status
                run.phases = GRADIENTS
                self.each(self.passes.rows, pieces, threads)
            if run.task.indptr != NULL:
                self.passes.gradient(run, 0)
            run.n_begun = run.n_pieces
            start += n
        return self.failed()

    cdef Status failed(self) noexcept nogil:
        """Whether a raw prediction was not finite."""
        cdef int i
        cdef Status status = DONE
        for i in range(self.run.n_pieces):
            if self.run.sums[i].bad == 2.0:
                return OUT_OF_MEMORY
            if self.run.sums[i].bad != 0.0:
                status = NOT_FINITE
        return status

    cdef double collect(self) noexcept nogil:
        """Add up the pieces' losses, and their gradients of the intercepts; returns the loss."""
        cdef Run* run = &self.run
        cdef double loss = 0.0
        cdef Py_ssize_t i, k
        self.intercept_norm = 0.0
        for i in range(run.n_pieces):
            loss += run.sums[i].loss
            if i > 0:
                for k in range(self.n_outputs):
                    run.intercept_gradient[k] += run.intercept_gradient[i * self.n_outputs + k]
        for k in range(self.n_outputs):
            self.intercept_norm += run.intercept_gradient[k] * run.intercept_gradient[k]
        return loss

    cdef Py_ssize_t n_blocks(self) noexcept nogil:
        if self.run.task.indptr != NULL:
            return 1
        return count_blocks(self.run)

    cdef int threads_for_columns(self) noexcept nogil:
        return self.threads_for(self.run.size * <double> self.run.n_pieces)

    cdef Status pass_over_part(self) noexcept nogil:
        """The gradient over rows [part_start, part_stop) into g and intercept_gradient."""
        cdef Status status = self.add_rows(self.part_start, self.part_stop, False)
        self.part_loss = self.collect()
        if self.run.task.indptr == NULL:
            self.each(self.passes.columns, self.n_blocks(), self.threads_for_columns())
        return status

    cdef double full_gradient(self, int memory_mode) except? -1.0:
        """The gradient over all rows into g and intercept_gradient; returns the loss, or NaN where a raw prediction is
        not finite."""
        cdef Run* run = &self.run
        # Whatever the number of threads: the sums of these parts are added up.
        cdef Py_ssize_t rows = max(self.chunk_rows, <Py_ssize_t> (BETWEEN_LOOKS / self.row_work))
        cdef double loss = 0.0
        self.order_array = self.rows_given  # whatever the epoch before made of it
        self.order = <int32_t*> cnp.PyArray_DATA(self.order_array)
        if run.task.indptr != NULL:
            self.g[:] = 0.0
        run.chunk.inverse = 1.0 / max(self.n_rows, 1)
        run.chunk.memory_mode = memory_mode
        run.steps_at_once = False
        total = np.zeros(run.size) if run.task.indptr == NULL and self.n_rows > rows else None
        intercepts = np.zeros(self.n_outputs)
        if self.n_rows == 0:
            self.g[:] = 0.0
            self.intercept_gradient[:] = 0.0
        self.part_stop = 0
        self.stepping = False
        while self.part_stop < self.n_rows:
            PyErr_CheckSignals()
            self.part_start = self.part_stop
            self.part_stop = min(self.part_start + rows, self.n_rows)
            if self.share_pass((self.part_stop - self.part_start) * self.row_work) == NOT_FINITE:
                return float("nan")
            loss += self.part_loss
            if total is not None:
                total += self.g[:run.size]
            intercepts += self.intercept_gradient[:self.n_outputs]
        if total is not None:
            self.g[:run.size] = total
        self.intercept_gradient[:self.n_outputs] = intercepts
        return loss / max(self.n_rows, 1)

    cdef object by_output(self, array):
        """An array of the weights' layout, of shape (n_outputs, n_features)."""
        if self.rows.sparse:
            return array.reshape(self.n_features, self.n_outputs).T
        return array.reshape(self.n_outputs, self.n_features)

    def set_weights(self, coef, intercept):
        """Take over weights of shape (n_outputs, n_features) and intercepts of shape (n_outputs,)."""
        self.by_output(self.w)[...] = coef
        self.intercept[...] = intercept

    def value_gradient(self, coef, intercept):
        """The mean loss over the rows, weighted, and its gradient.

        Parameters
        ----------
        coef : ndarray of shape (n_outputs, n_features)
            Rounded to X's dtype.
        intercept : ndarray of shape (n_outputs,)

        Returns
        -------
        value : float
            NaN where a raw prediction is not finite.
        coef_gradient : ndarray of shape (n_outputs, n_features), float64
        intercept_gradient : ndarray of shape (n_outputs,), float64
        """
        cdef const double* center = self.run.center
        self.set_weights(coef, intercept)
        self.run.center = NULL  # which is of steps
        try:
            value = self.full_gradient(NO_MEMORY)
        finally:
            self.run.center = center
        return (
            value, np.array(self.by_output(self.g[:self.run.size])), self.intercept_gradient[:self.n_outputs].copy()
        )
