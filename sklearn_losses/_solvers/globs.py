"""Portnoy and Koenker's preprocessing: of many terms those whose sign is known are two terms."""

import math

import numpy as np

from sklearn_losses._solvers.barrier import Barrier
from sklearn_losses._solvers.kinks import Terms

# The number of terms that are looked at one by one: this times width**(1/2) * n**(2/3).
MIDDLE = 1.0
# It pays where there are so many terms, and at most this share of them are in the middle.
LEAST_TERMS, MOST_SHARE = 8000, 0.3
# With more wrong signs than this share of the middle it was chosen too small.
WRONG = 0.1
# The gap over the objective at which a part of the rows has said what it can; and at which signs
# are looked at before the end, in the first round and in others, when few are still wrong.
PILOT, LOOSE, CLOSER = 1e-2, 1e-5, 1e-7
SEED = 0


def middle_of(problem):
    return int(MIDDLE * math.sqrt(problem.width) * problem.n_of_rows ** (2.0 / 3.0)) + 1


def pays(problem):
    n = problem.n_of_rows
    return n >= LEAST_TERMS and middle_of(problem) <= MOST_SHARE * n


class Globs:
    """The method on problems of many terms: `step` by step, each on all of them.

    The first step is a fit of some terms, unless a start is given. In the others those far from
    their kinks are replaced by one term a side, which is at most their sum, and is their sum where
    no sign changes: what is at the minimum of such a problem, with the signs of before, is at that
    of all. Terms whose signs were wrong join the middle.

    Parameters
    ----------
    problem : Kinks
    part_of : callable
        ``part_of(rows) -> Design``, of some rows of the design.
    start : ndarray of shape (width,) or None
    stop : threading.Event or None
        Looked at in every step of the problems in the middle.

    Attributes
    ----------
    best, value, floor, gap : as those of `Barrier`

    References
    ----------
    Portnoy, S. and Koenker, R. (1997). The Gaussian hare and the Laplacian tortoise. Statistical
    Science 12, 279-300, section 5.
    """

    def __init__(self, problem, part_of, start, stop):
        self.problem, self.part_of, self.stop = problem, part_of, stop
        self.size = middle_of(problem)
        self.of_rows = problem.terms[: problem.n_of_rows]
        self.middle = None  # whether each term is in it
        self.rounds = 0
        self.best, self.value, self.floor = np.zeros(problem.width), math.inf, 0.0
        self.allowed, self.rounding, self.met = 0.0, 0.0, 0  # rounds in a row without a wrong sign
        if start is not None:
            self.propose(start)
            self.choose()

    @property
    def gap(self):
        return max(self.value - self.floor, 0.0)

    def near(self, allowed):
        return self.gap <= max(allowed, self.rounding)

    def ended(self, allowed):
        self.allowed = allowed
        # The second with the same terms has gone as far as rounding lets it.
        return self.met > 1 or (self.met == 1 and self.near(allowed))

    def propose(self, z):
        r = self.problem.times(z) - self.problem.terms.kink
        value = self.problem.value(z, r)
        if value < self.value:
            self.best, self.value = z, value
        self.r = r[: self.problem.n_of_rows]

    def choose(self):
        """The terms nearest to their kinks."""
        self.middle = np.zeros(len(self.r), dtype=bool)
        near = np.argpartition(np.abs(self.r), self.size - 1)[: self.size]
        self.middle[near] = True
        self.above = self.r > 0

    def some(self, chosen, terms, beside, of_beside):
        """The problem of some terms of rows."""
        rows, local = np.flatnonzero(chosen), None
        if self.problem.row is not None:
            rows, local = np.unique(self.problem.row[rows], return_inverse=True)
        return self.problem.some(self.part_of(rows), local, terms, beside, of_beside)

    def step(self):
        self.pilot() if self.middle is None else self.round()

    def pilot(self):
        n = self.problem.n_of_rows
        chosen = np.zeros(n, dtype=bool)
        chosen[np.random.RandomState(SEED).permutation(n)[: self.size]] = True
        terms = self.of_rows[chosen]
        more = n / self.size
        terms = Terms(terms.kink, more * terms.low, more * terms.high)
        nothing = Terms(*np.zeros((3, 0)))
        part = self.some(chosen, terms, np.zeros((0, self.problem.width)), nothing)
        barrier = Barrier(part)
        barrier.approach(PILOT, self.stop)
        self.propose(barrier.best)
        self.choose()

    def round(self):
        beside, of_beside = self.outside()
        part = self.some(self.middle, self.of_rows[self.middle], beside, of_beside)
        barrier = Barrier(part, self.best)
        barrier.approach(CLOSER if self.rounds else LOOSE, self.stop)
        self.rounds += 1
        if not self.takes_in(barrier):
            barrier.solve(0.5 * self.allowed, self.stop)
            self.met = 0 if self.takes_in(barrier) else self.met + 1

    def takes_in(self, barrier):
        """Take over where it stands; whether terms had wrong signs, which are in the middle now."""
        self.propose(barrier.best)
        self.floor, self.rounding = max(self.floor, barrier.floor), barrier.rounding()
        wrong = ~self.middle & (self.above != (self.r > 0)) & (self.r != 0)
        n_wrong = int(wrong.sum())
        if n_wrong > WRONG * self.middle.sum():
            self.size = min(2 * self.size, len(self.r))
            self.choose()
        self.middle |= wrong
        return n_wrong > 0

    def outside(self):
        """Rows and terms that stand for those beside the middle, on each side."""
        problem, terms = self.problem, self.of_rows
        rows, kinks, lows, highs = [], [], [], []
        for side, inner, outer in (
            (~self.above, -terms.low, terms.high),
            (self.above, terms.high, -terms.low),
        ):
            weight = np.where(side & ~self.middle, inner, 0.0)
            counted = weight > 0
            if not counted.any():
                continue
            a = np.zeros(len(problem.terms.kink))
            a[: len(weight)] = weight
            rows.append(problem.back(a))
            kinks.append(float(weight @ terms.kink))
            rest = float((outer[counted] / weight[counted]).min())
            below = side is not self.above
            lows.append(-1.0 if below else -rest)
            highs.append(rest if below else 1.0)
        beside = np.stack(rows) if rows else np.zeros((0, problem.width))
        return beside, Terms(np.array(kinks), np.array(lows), np.array(highs))


def best_shift(r, terms):
    """What to add to all residuals so that the terms' sum is least."""
    order = np.argsort(-r, kind="stable")
    slope = float(terms.low.sum()) + np.cumsum((terms.high - terms.low)[order])
    return -r[order[min(int(np.searchsorted(slope, 0.0)), len(r) - 1)]] if len(r) else 0.0
