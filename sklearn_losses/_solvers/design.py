"""The rows that are learned from as a matrix in a fit's coordinates, and its products."""

import threading
from contextlib import contextmanager
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from sklearn_losses._kernels.fit.design import DesignKernel

# Numbers of X that are copied at a time.
COLUMNS = 1 << 20


@cache
def threadpools():
    return ThreadpoolController()


_limited = threading.local()


@contextmanager
def one_thread_in_blas():
    """Its threads would only wait for each other, and for ours. May stand within itself."""
    if getattr(_limited, "now", False):
        yield
        return
    with threadpools().limit(limits=1, user_api="blas"):
        _limited.now = True
        try:
            yield
        finally:
            _limited.now = False


class Design:
    """``A = [(X - center) * unit, 1]`` of the rows that are learned from, which is never formed.

    Parameters
    ----------
    data : Data
        On the host.
    center : ndarray of shape (n_features,) or None
    unit : ndarray of shape (n_features,)
    fit_intercept : bool
        Whether the last column is there.
    n_threads : int or None

    Attributes
    ----------
    n : int
        Rows.
    width : int
        Columns.
    keeps_gram : bool
        Whether `gram` keeps its last matrix: where outputs, or the fits of a path, may have the
        same second derivatives.
    """

    keeps_gram = False

    def __init__(self, data, center, unit, fit_intercept, n_threads):
        X = data.X
        self.data, self.n_threads, self.fit_intercept = data, n_threads, fit_intercept
        self.unit = np.array(unit, dtype=np.float64)
        self.center = None if center is None else np.asarray(center, dtype=np.float64)
        self.sparse = hasattr(X, "indptr")
        self.moved = self.sparse and center is not None  # the kernel does not center CSR
        in_kernel = np.zeros(X.shape[1]) if center is None or self.sparse else self.center
        self.kernel = DesignKernel(X, data.training_rows(), in_kernel, self.unit, n_threads)
        self.n, self.n_features = self.kernel.n, X.shape[1]
        self.width = self.n_features + fit_intercept
        self.last = (None, None)

    def products(self, v):
        """``A @ v``: ndarray of shape (n,), or (K, n) of v of shape (K, width)."""
        rows = np.atleast_2d(v)
        w = rows[:, : self.n_features] * self.unit
        b = rows[:, -1].copy() if self.fit_intercept else np.zeros(len(rows))
        if self.moved:
            b -= w @ self.center
        made = self.kernel.scores(w, b)
        return made if np.ndim(v) == 2 else made[0]

    def transposed(self, u):
        """``u @ A``: ndarray of shape (width,), or (K, width) of u of shape (K, n)."""
        rows = np.atleast_2d(u)
        made = np.empty((len(rows), self.width))
        totals = rows.sum(axis=1)
        sums = self.kernel.sums(rows)
        if self.moved:
            sums -= totals[:, None] * self.center
        np.multiply(sums, self.unit, out=made[:, : self.n_features])
        if self.fit_intercept:
            made[:, -1] = totals
        return made if np.ndim(u) == 2 else made[0]

    def squares(self, h):
        """The diagonal of `gram`: ndarray of shape (width,)."""
        h = np.asarray(h, dtype=np.float64)
        made = np.full(self.width, h.sum())
        squares = self.kernel.sums(h[None], True)[0]
        if self.moved:
            total = self.kernel.sums(h[None])[0]
            squares += self.center * (self.center * h.sum() - 2.0 * total)
            squares = np.maximum(squares, 0.0) if (h >= 0).all() else squares
        made[: self.n_features] = squares * self.unit**2
        return made

    def gram(self, h):
        """``A.T @ diag(h) @ A``: ndarray of shape (width, width). h may have any sign; rows where
        it is 0 are passed by."""
        if self.last[0] is not None and np.array_equal(h, self.last[0]):
            return self.last[1].copy()
        made = self._gram(h)
        if self.keeps_gram:
            self.last = h.copy(), made.copy()
        return made

    def _gram(self, h):
        with one_thread_in_blas():
            made = self.kernel.gram(h)
        if self.moved:
            moved, total = self.center * self.unit, made[-1, :-1].copy()
            cross = np.outer(moved, total)
            made[:-1, :-1] -= cross + cross.T - made[-1, -1] * np.outer(moved, moved)
            made[-1, :-1] = made[:-1, -1] = total - made[-1, -1] * moved
        return made if self.fit_intercept else made[:-1, :-1].copy()

    def take(self, columns):
        """The design of some columns only, and of the last: a copy of these columns."""
        X = self.data.X
        # Of rows that lie side by side `take` makes such too, which indexing does not.
        data = self.data.with_X(X[:, columns] if self.sparse else np.take(X, columns, axis=1))
        center = None if self.center is None else self.center[columns]
        return Design(data, center, self.unit[columns], self.fit_intercept, self.n_threads)

    def outer(self, f):
        """``A @ diag(f) @ A.T`` without the column of ones: ndarray of shape (n, n), of f of shape
        (width,) with f >= 0. Of dense X some columns are copied at a time."""
        X, rows = self.data.X, self.data.training_rows()
        f = np.asarray(f[: self.n_features], dtype=np.float64) * self.unit**2
        if not self.sparse:
            made = np.zeros((self.n, self.n))
            step = max(1, COLUMNS // max(self.n, 1))
            for start in range(0, self.n_features, step):
                at = slice(start, start + step)
                x = X[:, at].astype(np.float64)
                x = x if rows is None else x[rows]
                if self.center is not None:
                    x -= self.center[at]
                x *= np.sqrt(f[at])
                made += x @ x.T
            return made
        X = X if rows is None else X[rows]
        weighed = X.astype(np.float64, copy=True)  # whose places may have several entries
        weighed.data *= f[weighed.indices]
        made = (weighed @ X.T).toarray()
        if self.center is not None:
            moved = np.asarray(weighed @ self.center).ravel()
            made += float(self.center @ (f * self.center)) - moved[:, None] - moved
        return made

    def some(self, rows):
        """Some rows of A: ndarray of shape (len(rows), width)."""
        of_X, rows = self.data.training_rows(), np.asarray(rows)
        x = self.data.X[rows if of_X is None else of_X[rows]]
        x = (x.toarray() if self.sparse else x).astype(np.float64)
        if self.center is not None:
            x -= self.center
        made = np.ones((len(rows), self.width))
        made[:, : self.n_features] = x * self.unit
        return made
