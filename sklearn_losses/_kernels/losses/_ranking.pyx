"""Losses of pairs of documents of a query: all pairs for the smooth losses, counts along the order for the hinge."""

cimport numpy as cnp
from cython.parallel cimport prange

from sklearn_losses._kernels._threads cimport threads_for
from sklearn_losses._kernels.losses._arrays cimport GRADIENT, HESSIAN, VALUE
from sklearn_losses._kernels.losses._pointwise cimport simd_level_in_use

import numpy as np

cnp.import_array()

cdef extern from "losses/ranking.h" namespace "sl" nogil:
    cdef cppclass Query:
        Py_ssize_t n
        const Py_ssize_t* below
        const double* raw
        double weight
        double margin
        double width
        const double* gain
        const double* discount
        bint damped
        const double* vector
        double* value
        double* first
        double* second
        Py_ssize_t* order
        Py_ssize_t* tree
    enum:
        PRODUCT
    void smooth_query(int outputs, int level, const Query* query) noexcept
    void hinge_query(const Py_ssize_t* level, const Query* query) noexcept

# Nanoseconds, roughly: of a pair at the middle level, and of a document that is sorted and counted.
cdef Py_ssize_t COST_OF_PAIR = 4
cdef Py_ssize_t COST_OF_DOCUMENT = 150


cdef void* data_of(object array, str name, int kind, Py_ssize_t size) except? NULL:
    """Memory of a contiguous array of `size` elements; NULL for None."""
    if array is None:
        return NULL
    cdef cnp.ndarray a = <cnp.ndarray?> array
    cdef bint fits = (
        cnp.PyArray_TYPE(a) == kind and cnp.PyArray_ISCARRAY_RO(a) and cnp.PyArray_SIZE(a) == size
    )
    if not fits:
        raise ValueError(f"{name} must be contiguous, with {size} elements; got {a.dtype}, shape {(<object> a).shape}")
    return cnp.PyArray_DATA(a)


cdef struct Job:
    Query whole               # pointers to the first document
    const Py_ssize_t* starts
    const double* weight      # of the queries, or NULL
    double* values
    const Py_ssize_t* level   # of the hinge
    int outputs
    int simd


cdef void run_query(const Job* job, Py_ssize_t at) noexcept nogil:
    cdef Query q = job.whole
    cdef Py_ssize_t start = job.starts[at]
    q.n = job.starts[at + 1] - start
    q.below = q.below + start
    q.raw = q.raw + start
    q.weight = 1.0 if job.weight == NULL else job.weight[at]
    q.value = job.values + at
    q.first = q.first + start
    if q.gain != NULL:
        q.gain = q.gain + start
        q.discount = q.discount + start
    if q.vector != NULL:
        q.vector = q.vector + start
    if q.second != NULL:
        q.second = q.second + start
    if job.level == NULL:
        smooth_query(job.outputs, job.simd, &q)
        return
    q.order = q.order + start
    q.tree = q.tree + start
    hinge_query(job.level + start, &q)


cdef object run(Job* job, object starts, object below, object weight, object raw, Py_ssize_t cost, object n_threads):
    """Values of the queries, and first derivatives (or products): `job` holds what only some have."""
    cdef Py_ssize_t n = raw.shape[0]
    cdef Py_ssize_t n_queries = starts.shape[0] - 1
    cdef Py_ssize_t at
    cdef int threads
    values = np.zeros(n_queries)
    first = np.zeros(n)
    job.whole.below = <const Py_ssize_t*> data_of(below, "below", cnp.NPY_INTP, n)
    job.whole.raw = <const double*> data_of(raw, "raw", cnp.NPY_FLOAT64, n)
    job.whole.first = <double*> data_of(first, "first", cnp.NPY_FLOAT64, n)
    job.starts = <const Py_ssize_t*> data_of(starts, "starts", cnp.NPY_INTP, n_queries + 1)
    job.weight = <const double*> data_of(weight, "weight", cnp.NPY_FLOAT64, n_queries)
    job.values = <double*> data_of(values, "values", cnp.NPY_FLOAT64, n_queries)
    job.simd = simd_level_in_use()
    threads = <int> min(<Py_ssize_t> threads_for(cost, n_threads), max(n_queries, 1))
    with nogil:
        if threads == 1:
            for at in range(n_queries):
                run_query(job, at)
        else:
            for at in prange(n_queries, num_threads=threads, schedule="dynamic"):
                run_query(job, at)
    return values, first


def smooth(starts, below, weight, raw, Py_ssize_t n_pairs, double margin=0.0, double width=0.0, gain=None,
           discount=None, bint damped=False, bint want_hessian=False, vector=None, n_threads=None):
    """Pairwise logistic loss, or a smoothed hinge, of documents in the order of their relevance, query after query.

    Parameters
    ----------
    starts : ndarray of shape (n_queries + 1,), dtype intp
        Where the queries start and end.
    below : ndarray of shape (n_documents,), dtype intp
        How many documents of the query have less relevance: those that stand first in it.
    weight : ndarray of shape (n_queries,), dtype float64, or None
    raw : ndarray of shape (n_documents,), dtype float64
    n_pairs : int
        What the decision about threads is made with.
    margin, width : float
        Of the hinge, and of its quadratic part. Width 0: the logistic loss.
    gain, discount : ndarray of shape (n_documents,), dtype float64, or None
        LambdaRank's: the weight of a pair is the product of their differences.
    damped : bool
        Whether those are divided by the distance of the raw predictions, and the sum of a query's forces becomes
        ``log2(1 + sum)``.
    want_hessian : bool
    vector : ndarray of shape (n_documents,), dtype float64, or None
        What the matrix of second derivatives is multiplied with.
    n_threads : int or None

    Returns
    -------
    values : ndarray of shape (n_queries,)
        Zeros where a hessian or a product is asked for.
    first : ndarray of shape (n_documents,)
        The gradient; with a vector the product.
    hessian : ndarray of shape (n_documents,) or None
        Its diagonal.
    """
    cdef Job job
    cdef Py_ssize_t n = raw.shape[0]
    hessian = np.zeros(n) if want_hessian else None
    job.whole.gain = <const double*> data_of(gain, "gain", cnp.NPY_FLOAT64, n)
    job.whole.discount = <const double*> data_of(discount, "discount", cnp.NPY_FLOAT64, n)
    job.whole.damped = damped
    job.whole.margin = margin
    job.whole.width = width
    job.whole.vector = <const double*> data_of(vector, "vector", cnp.NPY_FLOAT64, n)
    job.whole.second = <double*> data_of(hessian, "hessian", cnp.NPY_FLOAT64, n)
    job.level = NULL
    job.outputs = PRODUCT if vector is not None else GRADIENT | HESSIAN if want_hessian else VALUE | GRADIENT
    values, first = run(&job, starts, below, weight, raw, n_pairs * COST_OF_PAIR, n_threads)
    return values, first, hessian


def hinge(starts, below, level, weight, raw, double margin, n_threads=None):
    """Pairwise hinge loss of documents in the order of their relevance, query after query.

    Parameters
    ----------
    starts, below, weight, raw, n_threads
        As of `smooth`.
    level : ndarray of shape (n_documents,), dtype intp
        The number of lower relevances in the query.
    margin : float

    Returns
    -------
    values : ndarray of shape (n_queries,)
    gradient : ndarray of shape (n_documents,)
    """
    cdef Job job
    cdef Py_ssize_t n = raw.shape[0]
    order, tree = np.empty((2, n), dtype=np.intp)
    job.whole.gain = NULL
    job.whole.damped = False
    job.whole.width = 0.0
    job.whole.vector = NULL
    job.whole.second = NULL
    job.whole.order = <Py_ssize_t*> data_of(order, "order", cnp.NPY_INTP, n)
    job.whole.tree = <Py_ssize_t*> data_of(tree, "tree", cnp.NPY_INTP, n)
    job.level = <const Py_ssize_t*> data_of(level, "level", cnp.NPY_INTP, n)
    job.whole.margin = margin
    return run(&job, starts, below, weight, raw, n * COST_OF_DOCUMENT, n_threads)
