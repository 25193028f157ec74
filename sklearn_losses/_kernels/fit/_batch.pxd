# Problems of linear models on batches of rows, and what steps on them need (_steps.pyx).
cimport numpy as cnp
from libc.stdint cimport int32_t, uint64_t

from sklearn_losses._kernels.losses._pointwise cimport LossBlock
from sklearn_losses._kernels.fit._rows cimport Rows

cdef extern from "fit/batch.h" namespace "sl" nogil:
    enum Target:
        SHARED
        SEPARATE
        CODES
    enum Memory:
        NO_MEMORY
        RECORD
        CHANGE
        CHANGE_AND_RECORD
    enum Phase:
        SCORES
        LOSS
        GRADIENTS
    enum:
        TALL
    ctypedef int (*RowLoss)(
        int, const double*, int, Py_ssize_t, const double*, const double*, const double*, double*, double*
    ) noexcept nogil
    ctypedef struct Task:
        Py_ssize_t n_features
        int n_outputs
        const void* values
        const void* indices
        const void* indptr
        Py_ssize_t stride
        const double* y
        int target
        double negative
        const double* weight
        double weight_factor
        const double* weight_positive
        const double* weight_negative
        const double* offset
        bint offset_separate
        LossBlock block
        const double* params
        Py_ssize_t params_stride
        RowLoss row_loss
        int kind
        bint fit_intercept
    ctypedef struct Chunk:
        const Py_ssize_t* rows
        Py_ssize_t n
        double inverse
        Py_ssize_t piece
        double* raw
        double* value
        double* gradient
        double* target
        double* memory
        int memory_mode
    ctypedef struct Sums:
        double loss, bad
    ctypedef struct Moment:
        const double* params
        double rate, t, l2, l1_so_far, power1, power2
    ctypedef struct Move:
        Moment moment
        double l1, scale, average
    ctypedef struct Touched:
        int32_t* at
        int32_t* missed
        Py_ssize_t n, settled
    ctypedef struct Slab64 "sl::Slab<double>":
        double* w
        double* g
        double* s[3]
        const double* unit
        const double* low
        const double* high
        double* average
        Py_ssize_t n
    ctypedef struct Run:
        Task task
        Chunk chunk
        int level, optimizer
        void* w
        void* s[3]
        const void* unit
        const void* low
        const void* high
        const double* center
        double* average
        double* g
        Py_ssize_t size
        const double* intercept
        double* intercept_gradient
        double* scratch
        Sums* sums
        double* norms
        int n_pieces, phases, n_begun
        bint steps_at_once
        Move move
        double* mean
        double mean_keep, batch
        bint penalised
        int32_t* mark
        int32_t* count
        const double* share
        int32_t step
        Touched touched
    ctypedef void (*Pass)(void* run, int piece) noexcept nogil
    ctypedef struct Passes:
        Pass touch, rows, gradient, columns, update, rest
    Passes passes_for(bint single, bint wide)
    Py_ssize_t blocks_of(Py_ssize_t n)
    Py_ssize_t count_blocks(const Run& run)
    void step_intercepts(const Run& run, const Slab64& slab, double* mean)
    void shuffle_rows(const int32_t* rows, int32_t* to, Py_ssize_t n, uint64_t seed, int level)
    int states_of(int optimizer)
    int state_power(int optimizer, int state)
    double intercept_shift(const Run& run, Py_ssize_t k)
    const char** optimizer_names()

cdef extern from "fit/pool.h" namespace "sl" nogil:
    cdef cppclass Pool:
        void enlist(int n)
        void share(Pass function, void* context, int n)
        bint ready()

# What a pass over the data ended with.
cdef enum Status:
    DONE
    MORE        # it is time to look for signals
    NOT_FINITE
    OUT_OF_MEMORY
    FAILED      # a Python loss; the error is kept


# Nanoseconds between two looks for Ctrl-C.
cdef double BETWEEN_LOOKS
# A Python loss costs microseconds a call.
cdef double CALL_COST


cdef class Problem:
    cdef Run run
    cdef Pool pool
    cdef object error
    cdef Rows rows
    cdef Passes passes
    cdef list keep
    cdef object losses
    cdef object dtype
    cdef Py_ssize_t n_samples, n_rows, n_features, chunk_rows, most_pieces
    cdef int n_outputs, threads
    cdef Py_ssize_t shared
    cdef bint stepping
    cdef Py_ssize_t part_start, part_stop
    cdef double part_loss
    cdef double row_work
    cdef double intercept_norm
    cdef Py_ssize_t* row_buffer
    cdef int32_t* order
    cdef cnp.ndarray w, intercept, g, intercept_gradient, order_array, rows_given
    cdef cnp.ndarray raw, value, gradient, target, marks, touched_at, touched_missed

    cdef cnp.ndarray own(self, array, dtype, shape)
    cdef const double* pointer(self, array, shape) except? NULL
    cdef int set_losses(self, losses) except -1
    cdef int allocate(self, Py_ssize_t batch_size) except -1
    cdef int allocate_sparse(self) except -1
    cdef Status call_loss(self, Py_ssize_t size) noexcept with gil
    cdef int threads_for(self, double work) noexcept nogil
    cdef void each(self, Pass function, Py_ssize_t n, int threads) noexcept nogil
    cdef Status pass_over(self) noexcept nogil
    cdef Status share_pass(self, double work) except *
    cdef Status add_rows(self, Py_ssize_t start, Py_ssize_t stop, bint touch) noexcept nogil
    cdef Status failed(self) noexcept nogil
    cdef double collect(self) noexcept nogil
    cdef Py_ssize_t n_blocks(self) noexcept nogil
    cdef int threads_for_columns(self) noexcept nogil
    cdef Status pass_over_part(self) noexcept nogil
    cdef double full_gradient(self, int memory_mode) except? -1.0
    cdef object by_output(self, array)
