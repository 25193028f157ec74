"""Value, proximal operator and violation of the penalties of penalties.h."""

import numpy as np

cimport numpy as cnp

from sklearn_losses._kernels.losses._arrays cimport kinds_of

cnp.import_array()

# Struct name -> kind.
KINDS = kinds_of(penalty_names())


cdef const double* doubles(array, shape) except? NULL:
    """The numbers of an array that came checked; NULL for None."""
    if array is None:
        return NULL
    if array.dtype != np.float64 or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"expected a C-contiguous array of float64 and shape {shape}; got {array.dtype}, {array.shape}")
    return <const double*> cnp.PyArray_DATA(<cnp.ndarray> array)


cdef class PenaltyKernel:
    """A penalty of a given strength for a given number of features.

    Parameters
    ----------
    kind : str
        A name in `KINDS`.
    n_features : int
    alpha, ratio : float
        The strength, and the share of its L1 part.
    params : list of float
        What the struct takes beside.
    weights : ndarray of float64 or None
        Of the features; of the groups where there are any. None: 1.
    groups : list of ndarray, or None
        The features of each group; a feature belongs to one.
    l2_apart : bool, default=False
        Whether all but its weights is left out of the L2 part, which the caller's gradient has.
    """

    def __cinit__(self, kind, n_features, double alpha, double ratio, params, weights, groups, l2_apart=False):
        groups = [] if groups is None else groups
        sizes = [len(group) for group in groups]
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        members = np.concatenate([*groups, []]).astype(np.int32)
        if groups and not np.array_equal(np.sort(members), np.arange(n_features)):
            raise ValueError(f"groups must hold each of {n_features} features once")
        params = np.array(params, dtype=np.float64)
        self.keep = (start, members, weights, params)
        self.penalty.kind = KINDS[kind]
        self.penalty.alpha, self.penalty.ratio = alpha, ratio
        self.penalty.params = doubles(params, params.shape)
        self.penalty.weights = doubles(weights, (len(groups) or n_features,))
        self.penalty.group_start = <const int32_t*> cnp.PyArray_DATA(<cnp.ndarray> start)
        self.penalty.group_members = <const int32_t*> cnp.PyArray_DATA(<cnp.ndarray> members)
        self.penalty.n_groups, self.penalty.n_features = len(groups), n_features
        self.penalty.l2_apart = l2_apart

    def value(self, coef):
        """The penalty, summed over outputs.

        Parameters
        ----------
        coef : ndarray of shape (n_outputs, n_features), C order, float64

        Returns
        -------
        value : float
        """
        cdef Py_ssize_t n_outputs = coef.shape[0], n_features = self.penalty.n_features
        return penalty_value(self.penalty, n_outputs, n_features, 1, doubles(coef, (n_outputs, n_features)))

    def prox(self, coef, length, low, high):
        """The proximal operator.

        Parameters
        ----------
        coef, length : ndarray of shape (n_outputs, n_features), C order, float64
        low, high : the same, or None

        Returns
        -------
        prox : ndarray of shape (n_outputs, n_features), float64
        """
        cdef Py_ssize_t n_outputs = coef.shape[0], n_features = self.penalty.n_features
        shape = (n_outputs, n_features)
        cdef cnp.ndarray out = np.empty(shape)
        penalty_prox(
            self.penalty, n_outputs, n_features, 1, doubles(coef, shape), doubles(length, shape), doubles(low, shape),
            doubles(high, shape), <double*> cnp.PyArray_DATA(out)
        )
        return out

    def violation(self, coef, gradient, low, high):
        """The least element of gradient + subdifferential.

        Parameters
        ----------
        coef, gradient, low, high
            As in `prox`.

        Returns
        -------
        violation : ndarray of shape (n_outputs, n_features), float64
        """
        cdef Py_ssize_t n_outputs = coef.shape[0], n_features = self.penalty.n_features
        shape = (n_outputs, n_features)
        cdef cnp.ndarray out = np.empty(shape)
        penalty_violation(
            self.penalty, n_outputs, n_features, 1, doubles(coef, shape), doubles(gradient, shape), doubles(low, shape),
            doubles(high, shape), <double*> cnp.PyArray_DATA(out)
        )
        return out
