"""Products of the design matrix ``[(X - center) * unit, 1]``, which is never formed."""

import numpy as np

cimport numpy as cnp
from scipy.linalg.cython_blas cimport dgemm, dsyrk

from sklearn_losses._kernels.fit.table cimport Counted, checked, describe_rows, doubles
from sklearn_losses._kernels.losses._pointwise cimport simd_level_in_use

from sklearn_losses._kernels._threads import effective_n_threads

cnp.import_array()

cdef extern from "fit/design.h" namespace "sl" nogil:
    ctypedef void (*Dsyrk)(char*, char*, int*, int*, double*, double*, int*, double*, double*, int*)
    ctypedef void (*Dgemm)(
        char*, char*, int*, int*, int*, double*, double*, int*, double*, int*, double*, double*, int*
    )
    cdef cppclass Design:
        Counted x
        const double* center
        const double* unit
        Py_ssize_t entries
        int threads, level
        void scores(Py_ssize_t n_outputs, const double* w, const double* b, double* out)
        Py_ssize_t pieces_of_sums(Py_ssize_t n_outputs)
        void sums(Py_ssize_t n_outputs, const double* u, bint squares, double* to)
        Py_ssize_t pieces_of_gram()
        double cost_of_gram()
        bint gram(const double* h, double* to, Dsyrk, Dgemm)
    void mirror(double* matrix, Py_ssize_t n)


cdef cnp.ndarray numbers(array, shape):
    return checked(array, cnp.NPY_FLOAT64, shape)


cdef class DesignKernel:
    """Rows of X as a design matrix, CSR not centred. Threads of BLAS are to be limited to one by the caller.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), C order, or CSR matrix; float32 or float64
        Not copied.
    rows : ndarray of shape (n,), int32, or None
        The rows that count; None: all.
    center : ndarray of shape (n_features,)
        Without effect on CSR.
    unit : ndarray of shape (n_features,)
        Of `gram`.
    n_threads : int or None
    """

    cdef Design design
    cdef list keep
    cdef readonly Py_ssize_t n, n_features, entries

    def __cinit__(self, X, rows, center, unit, n_threads):
        self.keep = []
        describe_rows(&self.design.x, X, rows, self.keep)
        self.n, self.n_features = self.design.x.n, self.design.x.table.n_features
        center, unit = numbers(center, (self.n_features,)), numbers(unit, (self.n_features,))
        self.design.center, self.design.unit = doubles(center), doubles(unit)
        self.keep += [center, unit]
        self.entries = X.nnz if self.design.x.table.sparse() else X.shape[0] * X.shape[1]
        self.design.entries = self.entries
        self.design.threads = effective_n_threads(n_threads)
        self.design.level = simd_level_in_use()

    def cost_of_gram(self):
        """About how many numbers `gram` multiplies, at the speed of BLAS."""
        return self.design.cost_of_gram()

    def scores(self, w, b):
        """``(X - center) @ w.T + b``: ndarray of shape (n_outputs, n).

        Parameters
        ----------
        w : ndarray of shape (n_outputs, n_features)
        b : ndarray of shape (n_outputs,)
        """
        cdef Py_ssize_t K = len(w)
        w, b, out = numbers(w, (K, self.n_features)), numbers(b, (K,)), np.empty((K, self.n))
        cdef double* to_w = doubles(w)
        cdef double* to_b = doubles(b)
        cdef double* to_out = doubles(out)
        with nogil:
            self.design.scores(K, to_w, to_b, to_out)
        return out

    def sums(self, u, bint squares=False):
        """``u @ (X - center)``, or of the squares: ndarray of shape (n_outputs, n_features).

        Parameters
        ----------
        u : ndarray of shape (n_outputs, n)
        squares : bool
        """
        cdef Py_ssize_t K = len(u)
        u, sums = numbers(u, (K, self.n)), np.zeros((self.design.pieces_of_sums(K), K, self.n_features))
        cdef double* to_u = doubles(u)
        cdef double* to_sums = doubles(sums)
        with nogil:
            self.design.sums(K, to_u, squares, to_sums)
        return sums[0] if len(sums) == 1 else sums.sum(axis=0)

    def gram(self, h):
        """``A.T @ diag(h) @ A`` with ``A = [(X - center) * unit, 1]``: ndarray of shape
        (n_features + 1, n_features + 1), symmetric.

        Parameters
        ----------
        h : ndarray of shape (n,)
            Of any sign; rows of 0 are passed by.
        """
        cdef Py_ssize_t width = self.n_features + 1
        h, sums = numbers(h, (self.n,)), np.zeros((self.design.pieces_of_gram(), width, width))
        cdef double* to_h = doubles(h)
        cdef double* to_sums = doubles(sums)
        cdef bint done
        with nogil:
            done = self.design.gram(to_h, to_sums, <Dsyrk> dsyrk, <Dgemm> dgemm)
        if not done:
            raise MemoryError("no memory for blocks of rows")
        made = sums[0] if len(sums) == 1 else sums.sum(axis=0)
        mirror(doubles(made), width)
        return made
