"""What is to be known of the optimizers' kernels, and the order of an epoch's rows, without running one."""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t, uint64_t

from sklearn_losses._kernels.losses._pointwise cimport simd_level_in_use

cnp.import_array()

cdef extern from "fit/optimizers.h" namespace "sl" nogil:
    cdef cppclass OptimizerFacts:
        const char* name
        int states
        int implicit
        int powers[3]
    const OptimizerFacts* optimizer_facts()

cdef extern from "fit/order.h" namespace "sl" nogil:
    void shuffle_rows(const int32_t* rows, int32_t* to, Py_ssize_t n, uint64_t seed, int level)


cdef tuple facts():
    cdef const OptimizerFacts* at = optimizer_facts()
    cdef int i
    powers, implicit = {}, set()
    while at.name != NULL:
        powers[at.name.decode()] = tuple([at.powers[i] for i in range(at.states)])
        if at.implicit:
            implicit.add(at.name.decode())
        at += 1
    return powers, implicit


# IMPLICIT: those whose steps depend on where they lead.
POWERS, IMPLICIT = facts()
# Struct name -> kind, its position in the header's list.
KINDS = {name: kind for kind, name in enumerate(POWERS)}


def n_states(optimizer):
    """How many numbers an optimizer remembers of each coordinate.

    Parameters
    ----------
    optimizer : str
        A name in `KINDS`.

    Returns
    -------
    n_states : int
    """
    return len(POWERS[optimizer])


def state_powers(optimizer):
    """How what an optimizer remembers of a coordinate follows a new unit.

    Parameters
    ----------
    optimizer : str
        A name in `KINDS`.

    Returns
    -------
    powers : tuple of int, of `n_states`
        State i is multiplied by ``(new / old) ** powers[i]``.
    """
    return POWERS[optimizer]


def shuffled(cnp.ndarray rows, uint64_t seed):
    """Rows in the order of an epoch, which the seed and their number alone determine.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,), int32, C-contiguous
    seed : int

    Returns
    -------
    order : ndarray of the same shape
    """
    cdef cnp.ndarray order = np.empty_like(rows)
    cdef Py_ssize_t n = len(rows)
    with nogil:
        shuffle_rows(
            <const int32_t*> cnp.PyArray_DATA(rows), <int32_t*> cnp.PyArray_DATA(order), n, seed, simd_level_in_use()
        )
    return order
