"""Cox's partial likelihood over sorted samples, and the pairs that a concordance index counts."""

import numpy as np

cimport numpy as cnp
from cython.parallel cimport prange
from libc.stdint cimport int64_t, uint8_t

from sklearn_losses._kernels._threads cimport threads_for

cnp.import_array()

cdef extern from "losses/cox.h" namespace "sl" nogil:
    cdef cppclass Wide:
        pass
    cdef cppclass CoxPlan:
        Py_ssize_t n, n_strata
        const int64_t* sample
        const int64_t* group
        const int64_t* first_at_risk "from"
        const int64_t* start
        const int64_t* split
        const int64_t* strata
        const double* share
        const double* weight
        const double* mantissa
        const double* weight_exponent
        bint efron
    cdef cppclass CoxWork:
        double* f
        double* exponent
        double* r
        double* v
        Wide* risk[2]
        Wide* hazard[2]
        Wide* own[2]
        double* value
    enum:
        COX_VALUE
        COX_HESSIAN
        COX_PRODUCT
        COX_HAZARD
    void exponentials(const CoxPlan&, const CoxWork&, const double*, const double*, Py_ssize_t, Py_ssize_t)
    void run_stratum(const CoxPlan&, const CoxWork&, int, Py_ssize_t)
    void outputs(const CoxPlan&, const CoxWork&, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*, double*)
    void log_hazards(const CoxPlan&, const CoxWork&, double*)

cdef extern from "losses/concordance.h" namespace "sl" nogil:
    cdef cppclass Observed:
        Py_ssize_t n
        const int64_t* stratum
        const double* time
        const uint8_t* event
        const double* weight
        const int64_t* rank
        const double* entry
        const int64_t* by_entry
        Py_ssize_t n_ranks
        double* tree
    cdef cppclass Pairs:
        double concordant, discordant, tied
    Pairs count_pairs(const Observed&)

cdef enum:
    BLOCK = 4096
    WIDE = 3  # doubles in a Wide

# Nanoseconds a sample, roughly: of what goes over blocks, and of sums over those at risk.
cdef Py_ssize_t COST = 8
cdef Py_ssize_t SUM_COST = 16


cdef void* data_of(object array, object dtype, Py_ssize_t size) except? NULL:
    """Where an array's numbers are; NULL for None."""
    if array is None:
        return NULL
    if type(array) is not np.ndarray or array.dtype != dtype or array.shape != (size,) or not array.flags.c_contiguous:
        raise ValueError(f"expected a contiguous array of {np.dtype(dtype)} and shape ({size},); got {array!r}")
    return cnp.PyArray_DATA(<cnp.ndarray> array)


cdef class CoxKernel:
    """The negative log partial likelihood of sorted samples, as a function of raw predictions.

    A group is an event time of a stratum; its samples are those that are last at risk then.

    Parameters
    ----------
    n_raw : int
        Number of raw predictions.
    sample : ndarray of shape (n,), int64
        Which of them: by group, in it the censored first. Those that are at risk at no event are left out.
    group : ndarray of shape (n,), int64
    first : ndarray of shape (n,), int64, or None
        The first group that is at risk with a sample, at most its own. None: all of the stratum, from its first.
    start : ndarray of shape (n_groups + 1,), int64
        The first sample of each group.
    split : ndarray of shape (n_groups,), int64
        The first event among them; there is one.
    strata : ndarray of shape (n_strata + 1,), int64
        The first group of each stratum.
    share : ndarray of shape (n_groups,)
        Weight of each term of a group.
    weight, mantissa, exponent : ndarray of shape (n,), or None for weights of 1
        Weights, and the same as mantissa * 2**exponent, up to a factor.
    efron : bool
    """

    cdef CoxPlan plan
    cdef tuple keep
    cdef int64_t[:] block_stratum
    cdef Py_ssize_t n_raw, n_groups

    def __init__(
        self, Py_ssize_t n_raw, sample, group, first, start, split, strata, share, weight, mantissa, exponent, bint efron
    ):
        cdef Py_ssize_t n = len(sample), n_groups = len(split)
        self.plan.n, self.n_groups, self.plan.n_strata = n, n_groups, len(strata) - 1
        self.plan.sample = <const int64_t*> data_of(sample, np.int64, n)
        self.plan.group = <const int64_t*> data_of(group, np.int64, n)
        self.plan.first_at_risk = <const int64_t*> data_of(first, np.int64, n)
        self.plan.start = <const int64_t*> data_of(start, np.int64, n_groups + 1)
        self.plan.split = <const int64_t*> data_of(split, np.int64, n_groups)
        self.plan.strata = <const int64_t*> data_of(strata, np.int64, self.plan.n_strata + 1)
        self.plan.share = <const double*> data_of(share, np.float64, n_groups)
        self.plan.weight = <const double*> data_of(weight, np.float64, n)
        self.plan.mantissa = <const double*> data_of(mantissa, np.float64, n)
        self.plan.weight_exponent = <const double*> data_of(exponent, np.float64, n)
        self.plan.efron = efron
        self.n_raw = n_raw
        self.keep = (n_raw, sample, group, first, start, split, strata, share, weight, mantissa, exponent, efron)
        self.block_stratum = np.searchsorted(strata, np.asarray(group)[::BLOCK], side="right") - 1

    def __reduce__(self):
        return CoxKernel, self.keep

    def value_gradient(self, raw, n_threads=None):
        """Value, and first derivative of shape (n_raw,)."""
        gradient = np.zeros(self.n_raw)
        return self.run(COX_VALUE, raw, None, gradient, None, n_threads), gradient

    def gradient_hessian(self, raw, n_threads=None):
        """First derivative, and diagonal of the second."""
        gradient, hessian = np.zeros((2, self.n_raw))
        self.run(COX_HESSIAN, raw, None, gradient, hessian, n_threads)
        return gradient, hessian

    def hessian_product(self, raw, vector, n_threads=None):
        """Second derivative times a vector of shape (n_raw,), whose squares are numbers."""
        product = np.zeros(self.n_raw)
        self.run(COX_PRODUCT, raw, vector, product, None, n_threads)
        return product

    def log_hazard(self, raw, n_threads=None):
        """Logarithm of the baseline's cumulative hazard at each group, of shape (n_groups,)."""
        out = np.empty(self.n_groups)
        self.run(COX_HAZARD, raw, None, out, None, n_threads)
        return out

    cdef double run(self, int kind, raw, vector, out, hessian, n_threads) except? -1:
        cdef const double* raw_data = <const double*> data_of(raw, np.float64, self.n_raw)
        cdef const double* vector_data = <const double*> data_of(vector, np.float64, self.n_raw)
        cdef double* out_data = <double*> cnp.PyArray_DATA(<cnp.ndarray?> out)
        cdef double* hessian_data = <double*> data_of(hessian, np.float64, self.n_raw)
        cdef Py_ssize_t n = self.plan.n, n_strata = self.plan.n_strata, n_groups = self.n_groups
        cdef Py_ssize_t n_blocks = (n + BLOCK - 1) // BLOCK, block, s
        cdef int blocks_threads = <int> min(threads_for(n * COST, n_threads), n_blocks)
        cdef int strata_threads = <int> min(threads_for(n * SUM_COST, n_threads), n_strata)
        cdef int part
        cdef CoxWork work
        cdef double value = 0.0
        of_samples = np.empty((3 if vector is None else 4, n))
        of_groups = np.empty((10 * n_groups, WIDE))
        of_strata = np.empty(n_strata)
        work.f = <double*> cnp.PyArray_DATA(<cnp.ndarray> of_samples)
        work.exponent = work.f + n
        work.r = work.exponent + n
        work.v = work.r + n if vector is not None else NULL
        cdef Wide* room = <Wide*> cnp.PyArray_DATA(<cnp.ndarray> of_groups)
        for part in range(2):
            work.risk[part] = room + 2 * part * n_groups
            work.hazard[part] = room + (4 + 2 * part) * n_groups
            work.own[part] = room + (8 + part) * n_groups
        work.value = <double*> cnp.PyArray_DATA(<cnp.ndarray> of_strata)
        with nogil:
            for block in prange(n_blocks, schedule="static", num_threads=blocks_threads):
                exponentials(self.plan, work, raw_data, vector_data, block * BLOCK, min((block + 1) * BLOCK, n))
            for s in prange(n_strata, schedule="dynamic", num_threads=strata_threads):
                run_stratum(self.plan, work, kind, s)
            for s in range(n_strata):
                value = value + work.value[s]
            if kind == COX_HAZARD:
                log_hazards(self.plan, work, out_data)
            else:
                for block in prange(n_blocks, schedule="static", num_threads=blocks_threads):
                    outputs(
                        self.plan, work, kind, self.block_stratum[block], block * BLOCK, min((block + 1) * BLOCK, n),
                        out_data, hessian_data,
                    )
        return value


def pairs_of(stratum, time, event, weight, rank, n_ranks, entry=None, by_entry=None):
    """Weights of the pairs of a concordance index.

    Parameters
    ----------
    stratum : ndarray of shape (n,), int64
        Samples stand by stratum, in it from the last time to the first, at one time the censored first.
    time : ndarray of shape (n,), float64
    event : ndarray of shape (n,), uint8
    weight : ndarray of shape (n,), float64
    rank : ndarray of shape (n,), int64
        Of the risk, from 1 to `n_ranks`.
    n_ranks : int
    entry : ndarray of shape (n,), float64, or None
    by_entry : ndarray of shape (n,), int64, or None
        Samples by stratum, in it from the last entry to the first.

    Returns
    -------
    concordant, discordant, tied : float
    """
    cdef Py_ssize_t n = len(time)
    cdef Observed seen
    cdef Pairs pairs
    seen.n, seen.n_ranks = n, n_ranks
    seen.stratum = <const int64_t*> data_of(stratum, np.int64, n)
    seen.time = <const double*> data_of(time, np.float64, n)
    seen.event = <const uint8_t*> data_of(event, np.uint8, n)
    seen.weight = <const double*> data_of(weight, np.float64, n)
    seen.rank = <const int64_t*> data_of(rank, np.int64, n)
    seen.entry = <const double*> data_of(entry, np.float64, n)
    seen.by_entry = <const int64_t*> data_of(by_entry, np.int64, n)
    tree = np.zeros(n_ranks + 1)
    seen.tree = <double*> cnp.PyArray_DATA(<cnp.ndarray> tree)
    with nogil:
        pairs = count_pairs(seen)
    return pairs.concordant, pairs.discordant, pairs.tied
