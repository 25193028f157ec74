"""Quadratic functions of coefficients, as penalties and solvers share them."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.linalg import (
    LinAlgError,
    cho_factor,
    cho_solve,
    cholesky,
    eigh,
    qr_multiply,
    solve_triangular,
)
from scipy.linalg.lapack import dpocon
from scipy.sparse.linalg import splu

# What is added to a matrix whose diagonal is 1 before it is factored: rounding of a singular one
# may leave it with eigenvalues as far below 0.
SEMIDEFINITE = 1e-10
# Sparse matrices of so many rows are factored as dense ones.
SMALL = 200
# The most that lengths of steps by this gradient alone are, times the curvature.
FAR = 1e6
# Systems of steps whose reciprocal condition number (sparse: least pivot) is below this lose more
# digits than they may.
SINGULAR = 1e-7
# Eigenvalues below this share of the largest, times the width, are roundings of 0.
RANK = 4.0 * np.finfo(np.float64).eps
# Rows of least squares that are nothing beside others of about 1, for all that is to be told apart
# below them.
NOTHING = 1e-60
# A length whose root is so many times that of another may as well be any longer one.
GAP = 1e10


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

    def lengths(self, rows, length):
        """Lengths of steps, of which those below 0 are minus how far a gradient is to lead: this
        one's, as there has been no other."""
        unknown = length < 0.0
        if not unknown.any():
            return length
        bend = np.broadcast_to(self.diagonal(), rows.shape)
        slope = np.maximum(np.abs(self.gradient(rows)), -length * bend / FAR)
        return np.where(unknown, -length / np.where(slope > 0.0, slope, np.inf), length)

    def prox_of_rows(self, rows, length, low=None, high=None):
        """Of each row c the u in [low, high] that minimises ``sum((u - c)**2 / (2 * length))`` plus
        this; `length`, in [0, inf), and bounds broadcast to the shape of rows, or are None."""
        length, low, high = (
            None if x is None else np.broadcast_to(x, rows.shape) for x in (length, low, high)
        )
        away = np.broadcast_to(self.away(rows), rows.shape)
        moved = np.empty(rows.shape)
        for k in range(len(rows)):
            bounds = (None if x is None else x[k] for x in (low, high))
            moved[k] = self._prox(rows[k], away[k], length[k], *bounds)
        return moved + 0.0  # no zero has a sign

    def _prox(self, c, away, length, low, high):
        """That of a row, which is so far away from the center."""
        if low is None and high is None:
            return self._free_prox(c, away, length)
        low = np.full(c.shape, -np.inf) if low is None else low
        high = np.full(c.shape, np.inf) if high is None else high
        if self.is_diagonal:
            return np.clip(self._free_prox(c, away, length), low, high)
        still = length == 0.0
        to = np.where(still, np.clip(c, low, high), c)
        if not np.isfinite(to).all():
            return np.full(c.shape, np.nan)
        low, high = np.where(still, to, low), np.where(still, to, high)
        return self._bounded_prox(to, away + (to - c), length, low, high)

    def _free_prox(self, c, away, length):
        if self.is_diagonal:
            with np.errstate(over="ignore", divide="ignore"):
                shrunk = away / (1.0 + 1.0 / (length * self.bend))
            return c - np.where(np.isnan(c), c, shrunk)
        slope = self.product(away)
        if not np.isfinite(slope).all():
            return np.full(c.shape, np.nan)
        if not slope.any():
            return c
        unit = self._prox_units(length)
        solution = _solution(self._in_units(unit), unit * slope)
        if solution is None:
            return c + self._stiff_step(away, length)
        return c - unit * solution

    def _prox_units(self, length):
        """Units of variables in which the objective of the operator bends by 1 along each."""
        with np.errstate(divide="ignore"):
            return 1.0 / np.sqrt(1.0 / length + self.diagonal())

    def _in_units(self, unit):
        """Second derivatives of that objective."""
        if sparse.issparse(self.bend) and len(unit) > SMALL:
            over = sparse.diags_array(unit)
            rest = self.bend - sparse.diags_array(self.bend.diagonal())
            return sparse.csc_array(over @ rest @ over + sparse.eye_array(len(unit)))
        return self._dense_in_units(unit)

    def _dense_in_units(self, unit):
        made = self._dense() * unit * unit[:, None]
        made[np.diag_indices(len(unit))] = 1.0
        return made

    def _dense(self):
        return self.bend.toarray() if sparse.issparse(self.bend) else self.bend

    def _stiff_step(self, away, length):
        """What the operator adds where lengths are such that in the sum of its two parts one loses
        the other's digits."""
        bend = self._dense()
        with np.errstate(divide="ignore"):
            stiffness = 1.0 / np.sqrt(length) / np.sqrt(bend.diagonal())
        free = stiffness < 1.0
        # Where some lengths are nothing beside others, those find their way as if there were no
        # telling apart the longer ones, which then follow.
        least = stiffness[free].max(initial=0.0) / GAP
        longer = stiffness < least
        step = self._step_of_both(bend, away, length, np.maximum(stiffness, least), free)
        if longer.any():
            step[longer] = 0.0
            step += self._stiff_step(away + step, np.where(longer, length, 0.0))
        return step

    def _step_of_both(self, bend, away, length, stiffness, free):
        """Least squares of both parts, whose rows of unlike size a QR decomposition keeps apart
        (Cox and Higham, 1998: rows sorted, columns pivoted)."""
        held = ~free
        # What is held by its length is well determined by the rest: it is eliminated first.
        unit = self._prox_units(length)
        unit[free] = 1.0 / np.sqrt(bend.diagonal()[free])
        matrix = self._dense_in_units(unit)
        factor = cho_factor(matrix[np.ix_(held, held)], lower=True)
        cross = matrix[np.ix_(free, held)]
        values, vectors = eigh(matrix[np.ix_(free, free)] - cross @ cho_solve(factor, cross.T))
        seen = values > len(values) * RANK
        root, vectors = np.sqrt(values[seen]), vectors[:, seen].T
        moved = cho_solve(factor, unit[held] * (bend[np.ix_(held, held)] @ away[held]))
        by_held = unit[free] * (bend[np.ix_(free, held)] @ (away[held] - unit[held] * moved))
        right = root * (vectors @ (away[free] / unit[free])) + (vectors @ by_held) / root
        step = np.empty(len(away))
        step[free] = _stiff_solution(root[:, None] * vectors, stiffness[free], -right)
        slope = unit[held] * self.product(away)[held]
        step[held] = -cho_solve(factor, slope + cross.T @ step[free])
        return unit * step

    def _bounded_prox(self, c, away, length, low, high):
        # At the top it would be imported before itself.
        from sklearn_losses._solvers.quadratic import CoordinateDescent, Holding

        free = self._free_prox(c, away, length)
        if ((low <= free) & (free <= high)).all():
            return free
        unit = self._prox_units(length)
        matrix = self._dense_in_units(unit)
        unit = np.where(unit > 0.0, unit, 1.0)
        y = (np.clip(free, low, high) - c) / unit
        slope = unit * self.product(away) + matrix @ y
        feature = np.arange(len(c), dtype=np.int32)
        held = Holding(feature, unit, np.zeros(len(c)), None, low - c, high - c)
        # Until a pass moves no more than rounding does.
        size = float(y @ y) + float(slope @ slope)
        least = np.finfo(np.float64).eps ** 2 * size
        with np.errstate(over="ignore"):  # of distances to bounds over steps that are next to 0
            to = CoordinateDescent(matrix, slope, y, held).run(least, None)
        # Over a unit and back may be an ulp away from a bound.
        u = c + unit * to
        u = np.where(to <= (low - c) / unit, low, u)
        u = np.where(to >= (high - c) / unit, high, u)
        return np.clip(u, low, high)


def _stiff_solution(rows, diagonal, right):
    """The x with the least ``sum((rows @ x - right)**2) + sum((diagonal * x)**2)``."""
    largest = diagonal.max()
    if largest < NOTHING:  # all that counts is how they compare
        diagonal = diagonal * (NOTHING / largest)
    whole = np.vstack([rows, np.diag(diagonal)])
    right = np.concatenate([right, np.zeros(len(diagonal))])
    order = np.argsort(-np.abs(whole).max(axis=1), kind="stable")
    right, upper, pivots = qr_multiply(whole[order], right[order], pivoting=True)
    x = np.empty(len(diagonal))
    x[pivots] = solve_triangular(upper, right)
    return x


def _padded(matrix, width):
    matrix = matrix.copy()
    matrix.resize((width, width))
    return matrix


def _solution(matrix, right):
    """Of a system with a diagonal of 1, or None where it is too near a singular one."""
    if sparse.issparse(matrix):
        try:
            factor = splu(matrix)
        except RuntimeError:  # a pivot of 0
            return None
        regular = np.abs(factor.U.diagonal()).min() > SINGULAR
        return factor.solve(right) if regular else None
    try:
        factor = cho_factor(matrix, lower=True, check_finite=False)
    except LinAlgError:
        return None
    inverse_condition, _ = dpocon(factor[0], np.abs(matrix).sum(axis=0).max(), uplo="L")
    if inverse_condition < SINGULAR:
        return None
    return cho_solve(factor, right, check_finite=False)
