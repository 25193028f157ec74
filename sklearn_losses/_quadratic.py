"""Quadratic functions of coefficients, as penalties and solvers share them."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky
from scipy.sparse.linalg import splu

# What is added to a matrix whose diagonal is 1 before it is factored: rounding of a singular one
# may leave it with eigenvalues as far below 0.
SEMIDEFINITE = 1e-10
# Sparse matrices of so many rows are factored as dense ones.
SMALL = 200


@dataclass(frozen=True)
class Quadratic:
    """``(c - center) @ bend @ (c - center) / 2``, summed over the rows c.

    Attributes
    ----------
    bend : float, ndarray of shape (n,) or (n, n), or CSR array of shape (n, n)
        Second derivatives: symmetric, positive semidefinite; the diagonal, where there is no more.
    center : ndarray of shape (n,) or (n_rows, n), or None
        None: 0.
    """

    bend: float | np.ndarray | sparse.csr_array
    center: np.ndarray | None = None

    @property
    def is_diagonal(self):
        return np.ndim(self.bend) < 2 and not sparse.issparse(self.bend)

    def __bool__(self):
        """Whether it is more than 0 anywhere."""
        return bool(np.any(self.diagonal()))

    def diagonal(self):
        """Float, or ndarray of shape (n,)."""
        return self.bend if self.is_diagonal else self.bend.diagonal()

    def product(self, rows):
        """`bend` times each row."""
        return self.bend * rows if self.is_diagonal else rows @ self.bend

    def away(self, rows):
        return rows if self.center is None else rows - self.center

    def value(self, rows):
        away = self.away(rows)
        return 0.5 * float(np.sum(self.product(away) * away))

    def gradient(self, rows):
        return self.product(self.away(rows))

    def in_variables(self, unit, width):
        """That of the variables of which coefficients are `unit` times as large, and of others up
        to `width`, on which it does not depend."""
        more = width - len(unit)

        def padded(values):
            return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, more)])

        center = None if self.center is None else padded(self.center / unit)
        if self.is_diagonal:
            return Quadratic(padded(self.bend * unit**2), center)
        if sparse.issparse(self.bend):
            made = sparse.csr_array(self.bend * unit * unit[:, None])
            return Quadratic(sparse.csr_array(_padded(made, width)), center)
        return Quadratic(np.pad(self.bend * unit * unit[:, None], [(0, more)] * 2), center)

    def at(self, chosen):
        """That of some variables, where it is diagonal: the others do not matter to it."""
        center = None if self.center is None else self.center[..., chosen]
        return Quadratic(self.bend[chosen], center)

    def added_to(self, matrix, n_rows):
        """`matrix`, of the variables of `n_rows` rows one after the other, plus what lies beside
        the diagonal."""
        if self.is_diagonal:
            return matrix
        bend = self.bend.toarray() if sparse.issparse(self.bend) else self.bend
        rest, n = bend - np.diag(bend.diagonal()), len(bend)
        for k in range(n_rows):
            matrix[k * n : (k + 1) * n, k * n : (k + 1) * n] += rest
        return matrix

    def times(self, factor):
        return replace(self, bend=factor * self.bend)

    def is_semidefinite(self):
        """Whether no eigenvalue is below 0, but for rounding."""
        diagonal = np.asarray(self.diagonal())
        if (diagonal < 0.0).any():
            return False
        if self.is_diagonal:
            return True
        root = np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
        n = len(root)
        if not sparse.issparse(self.bend):
            scaled = self.bend / root / root[:, None]
            scaled[np.diag_indices(n)] += n * SEMIDEFINITE
            try:
                cholesky(scaled, check_finite=False)
            except LinAlgError:
                return False
            return True
        over = sparse.diags_array(1.0 / root)
        scaled = over @ self.bend @ over + n * SEMIDEFINITE * sparse.eye_array(n)
        # Pivots from the diagonal alone have the signs of the eigenvalues (Sylvester's law).
        try:
            factor = splu(
                sparse.csc_array(scaled),
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
        except RuntimeError:  # a pivot of 0
            return False
        on_diagonal = np.array_equal(factor.perm_r, factor.perm_c)
        return on_diagonal and bool((factor.U.diagonal() > 0.0).all())

    def prox(self, c, length, low=None, high=None):
        """The u in [low, high] that minimises ``sum((u - c)**2 / (2 * length))`` plus this: of one
        row, all arrays of shape (n,)."""
        if low is None and high is None:
            return self._free_prox(c, length)
        low = np.full(c.shape, -np.inf) if low is None else low
        high = np.full(c.shape, np.inf) if high is None else high
        if self.is_diagonal:
            return np.clip(self._free_prox(c, length), low, high)
        still = length == 0.0
        c = np.where(still, np.clip(c, low, high), c)
        if not np.isfinite(c).all():
            return np.full(c.shape, np.nan)
        return self._bounded_prox(c, length, np.where(still, c, low), np.where(still, c, high))

    def prox_of_rows(self, rows, length, low=None, high=None):
        """That of each row; `length` and bounds broadcast to the shape of rows, or are None."""
        length, low, high = (
            None if x is None else np.broadcast_to(x, rows.shape) for x in (length, low, high)
        )
        moved = np.empty(rows.shape)
        for k in range(len(rows)):
            row = self if np.ndim(self.center) < 2 else Quadratic(self.bend, self.center[k])
            bounds = (None if x is None else x[k] for x in (low, high))
            moved[k] = row.prox(rows[k], length[k], *bounds)
        return moved + 0.0  # no zero has a sign

    def _free_prox(self, c, length):
        slope = self.gradient(c)
        if self.is_diagonal:
            with np.errstate(over="ignore", divide="ignore"):
                shrunk = self.away(c) / (1.0 + 1.0 / (length * self.bend))
            return c - np.where(np.isnan(c), c, shrunk)
        root = np.sqrt(length)
        if not np.isfinite(slope).all():
            return np.full(c.shape, np.nan)
        return c - root * _solution(self._in_root(root), root * slope)

    def _in_root(self, root):
        """Second derivatives in the variables of which a coefficient's move is `root` times as
        large, with those of half a square."""
        if sparse.issparse(self.bend) and len(root) > SMALL:
            over = sparse.diags_array(root)
            return sparse.csc_array(over @ self.bend @ over + sparse.eye_array(len(root)))
        bend = self.bend.toarray() if sparse.issparse(self.bend) else self.bend
        made = bend * root * root[:, None]
        made[np.diag_indices(len(root))] += 1.0
        return made

    def _bounded_prox(self, c, length, low, high):
        # At the top it would be imported before itself.
        from sklearn_losses._solvers.quadratic import CoordinateDescent, Holding

        free = self._free_prox(c, length)
        if ((low <= free) & (free <= high)).all():
            return free
        root = np.sqrt(length)
        unit = np.where(root > 0.0, root, 1.0)
        matrix = self._in_root(root)
        matrix = matrix.toarray() if sparse.issparse(matrix) else matrix
        start = np.clip(free, low, high)
        y = (start - c) / unit
        slope = root * self.gradient(c) + matrix @ y
        feature = np.arange(len(c), dtype=np.int32)
        held = Holding(feature, unit, np.zeros(len(c)), None, low - c, high - c)
        # Until a pass moves no more than rounding does.
        size = float(y @ y) + float(np.sum((slope / matrix.diagonal()) ** 2))
        least = np.finfo(np.float64).eps ** 2 * float(matrix.diagonal().max()) * size
        to = CoordinateDescent(matrix, slope, y, held).run(least, None)
        # Over a unit and back may be an ulp away from a bound.
        u = c + unit * to
        u = np.where(to <= (low - c) / unit, low, u)
        u = np.where(to >= (high - c) / unit, high, u)
        return np.clip(u, low, high)


def _padded(matrix, width):
    matrix = matrix.copy()
    matrix.resize((width, width))
    return matrix


def _solution(matrix, right):
    if sparse.issparse(matrix):
        return splu(matrix).solve(right)
    return cho_solve(cho_factor(matrix, lower=True, check_finite=False), right, check_finite=False)
