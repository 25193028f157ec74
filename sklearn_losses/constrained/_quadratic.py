"""The minimum of a quadratic function and of functions of one kink, under linear equations.

``z @ H @ z / 2 + c @ z + sum_t phi_t((B z)_t - kink_t)``, with ``phi_t(r)`` equal to ``high_t * r``
where r > 0 and ``low_t * r`` where r < 0. An infinite slope is an inequality: L1 penalties, losses
made of lines, and constraints are all terms.

References
----------
Mehrotra, S. (1992). On the implementation of a primal-dual interior point method. SIAM Journal on
Optimization 2, 575-601.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lu_factor, lu_solve

from sklearn_losses._solvers.barrier import reach
from sklearn_losses._solvers.kinks import Terms

# The share of the way to the boundary that a step goes.
SHARE = 0.995
# Added to the diagonal of the equations, whose diagonal is about 1; solutions are refined.
RIDGE, REFINED = 1e-13, 3
# Steps that are shorter aim at this share of the products, to come away from the boundary.
SHORT, BACK = 0.1, 0.3
MOST = 200
# Steps that made nothing smaller, after which no more are made.
STALLED, LESS = 12, 0.9
# What counts as the minimum, of sizes of about 1.
ENOUGH = 1e-13
# Where slacks and prices start.
APART = 1.0


@dataclass(frozen=True)
class Rows:
    """The matrix B: some rows of a design, then rows of its own.

    Attributes
    ----------
    design : Design or None
        None: there are no rows of one.
    row : ndarray of int
        The design's row of each of the first terms.
    own : ndarray of shape (n_own, width)
    """

    design: object
    row: np.ndarray
    own: np.ndarray

    @property
    def width(self):
        return self.own.shape[1]

    def times(self, z):
        made = self.own @ z
        if self.design is None:
            return made
        return np.concatenate([self.design.products(z)[self.row], made])

    def _of_design(self, a):
        return np.bincount(self.row, a[: len(self.row)], minlength=self.design.n)

    def back(self, a):
        """``B.T @ a``."""
        made = a[len(self.row) :] @ self.own
        return made if self.design is None else made + self.design.transposed(self._of_design(a))

    def normal(self, h):
        """``B.T @ diag(h) @ B``."""
        made = (self.own.T * h[len(self.row) :]) @ self.own
        return made if self.design is None else made + self.design.gram(self._of_design(h))


@dataclass
class Minimum:
    """What is found: z, the slopes of the terms, prices of the equations, and what is left."""

    z: np.ndarray
    slope: np.ndarray
    price: np.ndarray
    left: float


class Quadratic:
    """The problem; all numbers are to be about 1.

    Parameters
    ----------
    rows : Rows
    terms : Terms
        None has two infinite slopes.
    equal, equal_to : ndarray of shape (n_equal, width), (n_equal,)
        ``equal @ z == equal_to``; its rows must not depend on each other.
    """

    def __init__(self, rows, terms, equal, equal_to):
        self.rows, self.terms, self.equal, self.equal_to = rows, terms, equal, equal_to
        self.up, self.down = np.isfinite(terms.high), np.isfinite(terms.low)
        self.high = np.where(self.up, terms.high, 0.0)
        self.low = np.where(self.down, terms.low, 0.0)
        self.sides = max(int(self.up.sum() + self.down.sum()), 1)

    def solve(self, bend, tilt, z):
        """The minimum with these H and c.

        Parameters
        ----------
        bend : ndarray of shape (width, width)
        tilt : ndarray of shape (width,)
        z : ndarray of shape (width,)
            Where to start.

        Returns
        -------
        minimum : Minimum
        """
        point = Point(self, z)
        best, since = None, 0
        for _ in range(MOST):
            left = point.look(bend, tilt)
            nearer = best is None or left < LESS * best.left
            since = 0 if nearer else since + 1
            if best is None or left < best.left:
                best = Minimum(point.z, point.slope, point.price, left)
            if not np.isfinite(left) or left <= ENOUGH or since > STALLED:
                break
            point.advance(bend)
        return best


class Point:
    """Where the method is.

    The residual of a term is ``above - below``, which are not negative; their prices are ``over``,
    by which its slope is less than high, and ``under``, by which it is more than low. At the
    minimum both products are 0. A side whose slope is infinite is not there.
    """

    def __init__(self, problem, z):
        self.problem, self.z = problem, z
        up, down, low, high = problem.up, problem.down, problem.low, problem.high
        r = problem.rows.times(z) - problem.terms.kink
        slope = np.where(up, high - APART, low + APART)
        self.slope = np.where(up & down, 0.5 * (low + high), slope)
        self.price = np.zeros(len(problem.equal_to))
        self.above = np.where(up, np.maximum(r, 0.0) + APART, 0.0)
        self.below = np.where(down, np.maximum(-r, 0.0) + APART, 0.0)
        self.over = np.where(up, high - self.slope, 1.0)
        self.under = np.where(down, self.slope - low, 1.0)

    def look(self, bend, tilt):
        """By how much each condition is missed; returns the sum of the largest."""
        problem, z = self.problem, self.z
        self.apart = self.above - self.below - (problem.rows.times(z) - problem.terms.kink)
        self.pull = -(bend @ z + tilt + problem.rows.back(self.slope) + self.price @ problem.equal)
        self.off = problem.equal_to - problem.equal @ z
        self.products = float(self.above @ self.over + self.below @ self.under)
        missed = self.apart, self.pull, self.off
        return self.products + sum(float(np.abs(x).max(initial=0.0)) for x in missed)

    def advance(self, bend):
        """One step: Mehrotra's predictor and corrector."""
        problem, above, below = self.problem, self.above, self.below
        over, under = self.over, self.under
        weight = 1.0 / (above / over + below / under)
        self.weight = weight
        self.system = System(bend + problem.rows.normal(weight), problem.equal)
        mean = self.products / problem.sides
        move = self.towards(0.0, 0.0, 0.0)
        length = self.longest(move)
        ds, da, db = move[2:]
        ahead = float((above + length * da) @ ((over - length * ds) * problem.up))
        ahead += float((below + length * db) @ ((under + length * ds) * problem.down))
        ratio = ahead / (problem.sides * mean) if mean > 0 else 0.0
        target = mean * min(max(ratio, 0.0), 1.0) ** 3
        if length < SHORT:
            target = max(target, BACK * mean)
        move = self.towards(target, da * ds, -db * ds)
        if self.longest(move) < SHORT:
            move = self.towards(max(target, BACK * mean), 0.0, 0.0)
        self.go(move, min(1.0, SHARE * self.longest(move)))

    def towards(self, target, more_above, more_below):
        """The move to where all products are `target`, but for what they are known to be more by,
        to first order."""
        problem, above, below = self.problem, self.above, self.below
        over, under = self.over, self.under
        of_above = np.where(problem.up, target - above * over + more_above, 0.0)
        of_below = np.where(problem.down, target - below * under + more_below, 0.0)
        e = self.apart + of_above / over - of_below / under
        right = self.pull + problem.rows.back(self.weight * e)
        dz, dprice = self.system.solve(right, self.off)
        ds = self.weight * (problem.rows.times(dz) - e)
        da = np.where(problem.up, (of_above + above * ds) / over, 0.0)
        db = np.where(problem.down, (of_below - below * ds) / under, 0.0)
        return dz, dprice, ds, da, db

    def longest(self, move):
        """How far all sides and prices stay positive, at most 1."""
        ds, da, db = move[2:]
        up, down = self.problem.up, self.problem.down
        return min(
            reach(self.above[up], da[up]),
            reach(self.below[down], db[down]),
            reach(self.over[up], -ds[up]),
            reach(self.under[down], ds[down]),
        )

    def go(self, move, length):
        dz, dprice, ds, da, db = (length * x for x in move)
        up, down = self.problem.up, self.problem.down
        self.z, self.price, self.slope = self.z + dz, self.price + dprice, self.slope + ds
        self.above, self.below = self.above + da, self.below + db
        self.over = np.where(up, self.over - ds, 1.0)
        self.under = np.where(down, self.under + ds, 1.0)


class System:
    """The equations of a step, factored."""

    def __init__(self, bend, equal):
        n, m = len(bend), len(equal)
        diagonal = bend.diagonal()
        root = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        self.root = np.concatenate([1.0 / root, np.ones(m)])
        whole = np.zeros((n + m, n + m))
        whole[:n, :n] = bend
        whole[n:, :n] = equal
        whole[:n, n:] = equal.T
        whole *= self.root[:, None] * self.root
        self.whole, self.n = whole, n
        with_ridge = whole.copy()
        with_ridge[np.diag_indices(n + m)] += np.where(np.arange(n + m) < n, RIDGE, -RIDGE)
        self.factor = lu_factor(with_ridge, check_finite=False)

    def solve(self, of_z, of_equal):
        right = np.concatenate([of_z, of_equal]) * self.root
        made = lu_solve(self.factor, right, check_finite=False)
        for _ in range(REFINED):
            made = made + lu_solve(self.factor, right - self.whole @ made, check_finite=False)
        made = made * self.root
        return made[: self.n], made[self.n :]


NO_ROWS = np.zeros(0, dtype=int)


def terms_from(kink, low, high):
    """Terms of arrays or numbers, of the shape of `kink`."""
    kink = np.asarray(kink, dtype=np.float64)
    return Terms(kink, *(np.broadcast_to(np.asarray(x, float), kink.shape) for x in (low, high)))
