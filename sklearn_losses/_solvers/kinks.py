"""Sums of functions of one kink, which are linear programs, or quadratic ones with an L2 penalty.

``sum_t phi_t((B z)_t - kink_t) + z @ (bend * z) / 2``, with ``phi_t(r)`` equal to ``high_t * r``
where r > 0 and ``low_t * r`` where r < 0: a slope that is infinite is a bound. A row of B is a row
of a `Design`, a row beside it, or one coordinate of z, as L1 penalties and bounds have.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lstsq, qr
from scipy.linalg.lapack import dpotrf, dpotrs

# Added to the diagonal of a normal matrix whose diagonal is 1, so that a singular one has a
# Cholesky factor; more, by this factor, where rounding is more. Solutions are refined.
RIDGE, MORE_RIDGE, REFINEMENTS = 1e-13, 100.0, 2
# With fewer rows than this share of the columns, what is factored has the size of the rows.
WIDE = 0.7
# Singular values below this share of the largest are 0.
RANK = 1e-11
# The most terms that are looked at for a vertex, in coordinates.
MOST_ACTIVE = 3


@dataclass(frozen=True)
class Terms:
    """Functions of one kink each, as arrays of one shape."""

    kink: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __getitem__(self, at):
        return Terms(self.kink[at], self.low[at], self.high[at])

    def and_then(self, other):
        parts = zip(vars(self).values(), vars(other).values(), strict=True)
        return Terms(*(np.concatenate(part) for part in parts))

    @property
    def bounded(self):
        """Where both slopes are finite."""
        return np.isfinite(self.low) & np.isfinite(self.high)

    def values(self, r):
        """At r, but for bounds, which have none."""
        high = np.where(np.isfinite(self.high), self.high, 0.0)
        low = np.where(np.isfinite(self.low), self.low, 0.0)
        return high * np.maximum(r, 0.0) + low * np.minimum(r, 0.0)


NO_TERMS = Terms(*np.zeros((3, 0)))


@dataclass(frozen=True)
class Kinks:
    """The objective.

    Attributes
    ----------
    design : Design
    row : ndarray of int or None
        The row of each term of rows; None: the terms are those of all rows, in order.
    terms : Terms
        Of rows, then those beside, then of coordinates.
    bend : ndarray of shape (width,)
        Weights of the squares, in [0, inf).
    beside : ndarray of shape (n_beside, width)
        Rows beside the design's.
    at : ndarray of int
        The coordinates of the last terms.
    """

    design: object
    row: np.ndarray | None
    terms: Terms
    bend: np.ndarray
    beside: np.ndarray
    at: np.ndarray

    @property
    def width(self):
        return len(self.bend)

    @property
    def wide(self):
        """Whether there are fewer rows than columns, each of which something else holds too."""
        design = self.design
        if not WIDE * self.width > design.n or len(self.beside):
            return False
        held = self.bend > 0
        held[self.at] = True
        return bool((held[: design.n_features] | (design.unit == 0)).all())

    @property
    def n_of_rows(self):
        return len(self.terms.kink) - len(self.beside) - len(self.at)

    def times(self, z):
        """``B @ z``."""
        made = self.design.products(z)
        made = made if self.row is None else made[self.row]
        if not len(self.beside) and not len(self.at):
            return made
        return np.concatenate([made, self.beside @ z, z[self.at]])

    def _parts(self, a):
        """Of a vector of terms: by row of the design, beside, and by coordinate."""
        n, m = self.n_of_rows, self.n_of_rows + len(self.beside)
        rows = a[:n]
        if self.row is not None:
            rows = np.bincount(self.row, rows, minlength=self.design.n)
        return rows, a[n:m], np.bincount(self.at, a[m:], minlength=self.width)

    def back(self, a):
        """``B.T @ a``."""
        rows, beside, coordinates = self._parts(a)
        made = self.design.transposed(rows) + coordinates
        return made + beside @ self.beside if len(beside) else made

    def normal(self, h):
        """``B.T @ diag(h) @ B + diag(bend)``."""
        rows, beside, coordinates = self._parts(h)
        made = self.design.gram(rows)
        if len(beside):
            made = made + (self.beside.T * beside) @ self.beside
        made[np.diag_indices(self.width)] += coordinates + self.bend
        return made

    def value(self, z, r):
        """At z, where r is ``B @ z - kink``."""
        return float(self.terms.values(r).sum()) + 0.5 * float(z @ (self.bend * z))

    def inside(self, z):
        """z, moved into its bounds."""
        of = self.terms[len(self.terms.kink) - len(self.at) :]
        z = z.copy()
        for slope, move in ((of.low, np.maximum), (of.high, np.minimum)):
            held = np.isinf(slope)
            z[self.at[held]] = move(z[self.at[held]], of.kink[held])
        return z

    def some(self, design, row, of_rows, beside, of_beside):
        """The same coordinates of other rows."""
        of_coordinates = self.terms[len(self.terms.kink) - len(self.at) :]
        terms = of_rows.and_then(of_beside).and_then(of_coordinates)
        return replace(self, design=design, row=row, terms=terms, beside=beside)


class Normal:
    """A normal matrix, factored; one that is singular takes no part of the solution from where it
    has nothing to say.

    Parameters
    ----------
    matrix : ndarray of shape (width, width)
    """

    def __init__(self, matrix):
        diagonal = matrix.diagonal()
        self.unit = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        self.matrix = matrix * self.unit[:, None] * self.unit
        ridge = RIDGE
        while True:
            made = self.matrix.copy()
            made[np.diag_indices(len(made))] += ridge
            # By LAPACK itself: of matrices this small SciPy's own functions take as long again.
            self.factor, failed = dpotrf(made.T, lower=False, overwrite_a=True, clean=False)
            if not failed:
                return
            ridge *= MORE_RIDGE

    def solve(self, right):
        right = right * self.unit
        x, _ = dpotrs(self.factor, right)
        for _ in range(REFINEMENTS):
            left = right - self.matrix @ x
            x += dpotrs(self.factor, left)[0]
        return x * self.unit


class NormalOfRows:
    """A normal matrix with fewer rows in it than columns, by Woodbury's identity: what is factored
    has a row and a column for each of the design's rows.

    Parameters
    ----------
    problem : Kinks
        That is `wide`.
    h : ndarray of shape (n_terms,)
        Weights of the terms.
    """

    def __init__(self, problem, h):
        self.problem, self.design = problem, problem.design
        design = self.design
        rows, _, coordinates = problem._parts(h)
        self.rows, diagonal = rows, coordinates + problem.bend
        held = diagonal > 0
        self.inverse = np.divide(1.0, diagonal, out=np.zeros(len(held)), where=held)
        self.live = np.flatnonzero(rows > 0)
        matrix = design.outer(self.inverse)[np.ix_(self.live, self.live)]
        matrix[np.diag_indices(len(matrix))] += 1.0 / rows[self.live]
        self.normal = Normal(matrix)
        self.ones = self.normal.solve(np.ones(len(matrix)))

    def solve(self, right):
        design = self.design
        x = self.normal.solve(design.products(self.inverse * right)[self.live])
        intercept = 0.0
        if design.fit_intercept:  # which no term but the rows' holds
            intercept = (right[-1] - x.sum()) / self.ones.sum()
            x = x + intercept * self.ones
        whole = np.zeros(design.n)
        whole[self.live] = x
        self.price = whole
        solution = self.inverse * (right - design.transposed(whole))
        if design.fit_intercept:
            solution[-1] = intercept
        return solution

    def times(self, z):
        """``B @ z`` of the last solution: of rows by their prices, whose digits no large element of
        the inverse takes."""
        problem, live = self.problem, self.live
        rows = self.design.products(z)
        rows[live] = self.price[live] / self.rows[live]
        rows = rows if problem.row is None else rows[problem.row]
        return np.concatenate([rows, z[problem.at]])


def normal_of(problem, h):
    """The normal matrix of weights of the terms, factored."""
    return NormalOfRows(problem, h) if problem.wide else Normal(problem.normal(h))


# ---------------------------------------------------------------------------------- the last digits


def vertex(problem, z, r, slope, active):
    """Where the terms that are about to be met are: the minimum of the other terms, taken for
    linear, and of the squares, where those are 0. Along what that leaves open z stays. And the
    slopes of the terms that prove it the minimum, where it is.

    Parameters
    ----------
    problem : Kinks
    z : ndarray of shape (width,)
    r : ndarray of shape (n_terms,)
        ``B @ z - kink``.
    slope : ndarray of shape (n_terms,)
        About those at the minimum.
    active : ndarray of int
        The terms, the surest first.

    Returns
    -------
    z : ndarray of shape (width,)
    slope : ndarray of shape (n_terms,)
    """
    n, m = problem.n_of_rows, problem.n_of_rows + len(problem.beside)
    terms = problem.terms
    held = active[active >= m]
    fixed = problem.at[held - m]
    z = z.copy()
    z[fixed] = terms.kink[held]
    free = np.ones(len(z), dtype=bool)
    free[: problem.design.n_features] = problem.design.unit != 0  # others have no effect
    free[fixed] = False
    active = active[active < m][: MOST_ACTIVE * int(free.sum()) + 1]
    of_rows, beside = active[active < n], active[active >= n]
    rows = of_rows if problem.row is None else problem.row[of_rows]
    matrix = np.concatenate([problem.design.some(rows), problem.beside[beside - n]])
    active = np.concatenate([of_rows, beside])
    if len(active) and free.any():
        z[free] += least_squares(matrix[:, free], terms.kink[active] - matrix @ z)
    if problem.bend.any() and free.any():
        made = outer_slopes(terms, r)
        made[active] = made[held] = 0.0
        down = (problem.back(made) + problem.bend * z)[free]
        z[free] += across(matrix[:, free], problem.bend[free], down)
    slope, before = outer_slopes(terms, problem.times(z) - terms.kink), slope
    slope[active], slope[held] = before[active], 0.0
    pull = -(problem.back(slope) + problem.bend * z)
    if len(active) and free.any():
        slope[active] += least_squares(matrix[:, free].T, pull[free])
        slope[active] = np.clip(slope[active], terms.low[active], terms.high[active])
        pull -= (slope[active] - before[active]) @ matrix
    slope[held] = np.clip(pull[fixed], terms.low[held], terms.high[held])
    return z, slope


def outer_slopes(terms, r):
    """At r, away from the kinks; 0 outside of bounds."""
    slope = np.where(r > 0, terms.high, terms.low)
    return np.where(np.isfinite(slope), slope, 0.0)


def least_squares(matrix, right):
    """The shortest of the solutions that are nearest."""
    return lstsq(matrix, right, cond=RANK, lapack_driver="gelsy", check_finite=False)[0]


def across(matrix, bend, down):
    """The move to the minimum of ``down @ x + x @ (bend * x) / 2`` among those that the rows of a
    matrix do not see."""
    n, d = matrix.shape
    if 2 * n < d and (bend > 0).sum() >= d - 1:
        # By the prices of the rows, of which there are few; and of the coordinate without a bend.
        open_ = bend == 0
        inverse = np.divide(1.0, bend, out=np.zeros(d), where=~open_)
        m = n + int(open_.sum())
        system = np.zeros((m, m))
        system[:n, :n] = -(matrix * inverse) @ matrix.T
        system[:n, n:] = matrix[:, open_]
        system[n:, :n] = matrix[:, open_].T
        prices = least_squares(system, np.concatenate([matrix @ (inverse * down), -down[open_]]))
        x = -inverse * (down + prices[:n] @ matrix)
        x[open_] = prices[n:]
        return x - least_squares(matrix, matrix @ x) if n else x
    basis = np.eye(d)
    if n:
        basis, triangle, _ = qr(matrix.T, pivoting=True, check_finite=False)
        diagonal = np.abs(triangle.diagonal())
        basis = basis[:, int((diagonal > RANK * diagonal.max()).sum()) :]
    bends = (basis.T * bend) @ basis
    return -basis @ least_squares(bends, basis.T @ down) if len(bends) else np.zeros(d)
