"""Mehrotra's predictor-corrector method for sums of functions of one kink."""

import math

import numpy as np

from sklearn_losses._solvers.kinks import normal_of, vertex

# How much of the way to the boundary a step goes.
SHARE = 0.9995
# Of Gondzio's correctors: by how much a step is to become longer, and how far from the mean
# products of slacks may be.
BOLD, LONGER, SPREAD = 0.1, 0.01, 0.1
# The distance from the boundary at the start, in mean residuals; and where steps from there came to
# a halt, as they may where the minimum is far beyond the residuals at the start.
APART, FARTHER = 0.1, 10.0
# Steps that try for a vertex after the gap is small enough; and steps without a smaller gap.
TRIES, STALLED = 8, 8
# The gap over the objective from which on a vertex is tried.
CLOSE = 1e-5
# What is left of products and sums, or the gap, is to fall by this factor.
LESS = 0.97
# What is left for rounding, of the size of the terms.
ROUNDINGS = 32.0
# The slopes' sum is set right where what it lacks is this part of the gap; where it is more than
# this they say nothing of the minimum.
PART, LITTLE = 0.1, 1e-2
TINY = 1e-300


class Barrier:
    """The method on one problem: `step` by step, or all by `solve`.

    The residual ``B @ z - kink`` of a term is the difference of `above` and `below`, which are not
    negative; their prices are ``high - slope`` and ``slope - low``, with `slope` between low and
    high. At the minimum each of the four products is 0, and ``B.T @ slope + bend * z`` too. A bound
    has one of the sides alone.

    Parameters
    ----------
    problem : Kinks
    start : ndarray of shape (width,) or None
        None: least squares.

    Attributes
    ----------
    best, value : ndarray of shape (width,), float
        The best z so far, within its bounds, and the objective there.
    floor : float
        What the objective is at least, but for rounding.
    at_vertex : bool
        Whether `best` meets the terms that it is about to meet exactly.

    References
    ----------
    Mehrotra, S. (1992). On the implementation of a primal-dual interior point method. SIAM Journal
    on Optimization 2, 575-601. Wright, S. (1997). Primal-dual interior-point methods. SIAM, chapter
    10. Gondzio, J. (1996). Multiple centrality corrections in a primal-dual method for linear
    programming. Computational Optimization and Applications 6, 137-156. Portnoy, S. and Koenker, R.
    (1997). The Gaussian hare and the Laplacian tortoise. Statistical Science 12, 279-300.
    """

    def __init__(self, problem, start=None):
        self.problem = problem
        terms = problem.terms
        both, has_above, has_below = terms.bounded, np.isfinite(terms.high), np.isfinite(terms.low)
        self.squares = bool(problem.bend.any())
        self.width = np.where(both, terms.high, 0.0) - np.where(both, terms.low, 0.0)
        if start is None:
            weight = self.width / (self.width.mean() or 1.0)
            start = normal_of(problem, weight).solve(problem.back(weight * terms.kink))
        # Sides that are not there: their products are 0, and stay so.
        self.above_is, self.below_is = has_above.astype(float), has_below.astype(float)
        self.sides = max(int(has_above.sum()) + int(has_below.sum()), 1)
        self.size = float(self.width @ np.abs(terms.kink))
        self.best, self.value, self.floor = start, math.inf, 0.0
        self.at_vertex, self.tried, self.tries = False, False, 0
        self.begin(start, APART)
        self.propose(start)
        self.look()

    def begin(self, z, share):
        """Set out from z, with sides this share of the mean residual away from 0, and slopes in the
        middle."""
        problem, both = self.problem, self.problem.terms.bounded
        terms, has_above, has_below = problem.terms, self.above_is > 0, self.below_is > 0
        self.share, self.z = share, z
        self.r = problem.times(z) - terms.kink
        total = float(self.width.sum()) or 1.0
        apart = share * float(self.width @ np.abs(self.r)) / total
        apart = max(apart, APART * share * float(self.width @ np.abs(terms.kink)) / total)
        one_sided = np.where(both, 0.0, np.abs(self.r))
        apart = max(apart, share * float(one_sided.max(initial=0.0))) or share
        self.above = np.where(has_above, np.maximum(self.r, one_sided) + apart, TINY)
        self.below = np.where(has_below, np.maximum(-self.r, one_sided) + apart, TINY)
        self.slope = np.where(both, 0.5 * (terms.low + terms.high), 0.0) if len(both) else self.r
        pull = np.abs(problem.back(self.slope) + problem.bend * z)
        price = max(float(pull.max(initial=0.0)), float(self.width.mean() or 1.0))
        self.scale = np.where(both, self.width, price)  # of slopes
        self.slope = np.where(
            both,
            self.slope,
            np.where(
                has_above,
                np.minimum(terms.high - price, 0.0),
                np.where(has_below, np.maximum(terms.low + price, 0.0), 0.0),
            ),
        )
        self.over = np.where(has_above, terms.high - self.slope, 1.0)
        self.under = np.where(has_below, self.slope - terms.low, 1.0)
        self.left = self.least_gap = math.inf
        self.since = 0

    # ------------------------------------------------------------------------------ where it stands

    def look(self):
        """Residuals, and the bound of the objective from below that the slopes make."""
        problem, z = self.problem, self.z
        kink = problem.terms.kink
        self.r = problem.times(z) - kink
        self.apart = self.above * self.above_is - self.below * self.below_is - self.r
        self.pull = -(problem.back(self.slope) + problem.bend * z)
        self.products = float(self.above @ (self.over * self.above_is))
        self.products += float(self.below @ (self.under * self.below_is))
        self.raise_floor(z, self.slope, self.pull)
        left = self.products + float(self.lacking(z, self.pull).clip(0.0).sum())
        left += float(self.scale @ np.abs(self.apart))
        for name, now in (("left", left), ("least_gap", self.gap)):
            if now < LESS * getattr(self, name):
                setattr(self, name, now)
                self.since = 0

    def raise_floor(self, z, slope, pull):
        """By what the objective is at least, by slopes and the z that they go with: where their sum
        lacks little, as the minimum may be much farther away than z."""
        problem = self.problem
        lacking = float(self.lacking(z, pull).sum())
        bound = -float(slope @ problem.terms.kink) - 0.5 * float(z @ (problem.bend * z)) - lacking
        if lacking <= max(LITTLE * (self.value - bound), self.rounding()):
            self.floor = max(self.floor, bound)

    def lacking(self, z, pull):
        """By coordinate, what the slopes' sum that is not 0 makes the bound too large by: exactly
        where there are squares; else for a minimum about as far away as z."""
        bend = self.problem.bend
        about = np.abs(pull) * (1.0 + np.abs(z))
        exact = pull * z + pull**2 / np.where(bend > 0, 2.0 * bend, 1.0)
        return np.where(bend > 0, np.minimum(exact, about), about)

    def propose(self, z, more=0.0):
        """Whether z is at least as good as the best so far, or by `more` worse; it is then the best
        from now on."""
        inside = self.problem.inside(z)
        same = inside is z or np.array_equal(inside, z)
        r = self.r if same and z is self.z else self.problem.times(inside) - self.problem.terms.kink
        value = self.problem.value(inside, r)
        if not value <= self.value + more:
            return False
        self.best, self.value = inside, value
        return True

    def rounding(self):
        """Of the objective."""
        here = self.value if self.value < math.inf else 0.0
        return ROUNDINGS * np.finfo(np.float64).eps * (self.size + here)

    @property
    def gap(self):
        return max(self.value - self.floor, 0.0)

    # ------------------------------------------------------------------------------------- the step

    def step(self):
        """One of Newton's, towards where all products are the same and less than now."""
        weight = 1.0 / (self.above / self.over + self.below / self.under)
        normal = normal_of(self.problem, weight)
        mean = self.products / self.sides
        done = -self.above * self.over * self.above_is, -self.below * self.under * self.below_is
        move = self.towards(normal, weight, *done)
        primal, dual = self.lengths(move)
        ahead = (self.above + primal * move[2]) @ (
            (self.over - dual * move[1] * self.above_is) * self.above_is
        )
        ahead += (self.below + primal * move[3]) @ (
            (self.under + dual * move[1] * self.below_is) * self.below_is
        )
        target = mean * min(max(float(ahead) / self.sides / mean, 0.0), 1.0) ** 3
        above = (target + done[0] + move[2] * move[1]) * self.above_is
        below = (target + done[1] - move[3] * move[1]) * self.below_is
        move = self.towards(normal, weight, above, below)
        move, (primal, dual) = self.centred(normal, weight, above, below, move, target)
        primal, dual = min(1.0, SHARE * primal), min(1.0, SHARE * dual)
        self.z = self.z + primal * move[0]
        self.above = self.above + primal * move[2]
        self.below = self.below + primal * move[3]
        self.slope = self.slope + dual * move[1]
        self.over = self.over - dual * move[1] * self.above_is
        self.under = self.under + dual * move[1] * self.below_is
        self.since += 1
        self.tried = False
        self.look()
        if float(self.lacking(self.z, self.pull).sum()) > PART * self.products:
            self.restore(normal, weight)
        self.propose(self.z)

    def restore(self, normal, weight):
        """Take out of the slopes' sum what rounding has left there."""
        times = normal.times if self.problem.wide else self.problem.times
        move = weight * times(normal.solve(self.pull))
        over, under = self.over - move * self.above_is, self.under + move * self.below_is
        if over.min() > 0 and under.min() > 0:
            self.slope, self.over, self.under = self.slope + move, over, under
            self.look()

    def towards(self, normal, weight, above, below):
        """The move of z, slopes and both sides that changes the products by so much, to first
        order."""
        left = self.apart + above / self.over - below / self.under
        z = normal.solve(self.pull + self.problem.back(weight * left))
        times = normal.times if self.problem.wide else self.problem.times
        slope = weight * (times(z) - left)
        above = (above + self.above * self.above_is * slope) / self.over
        below = (below - self.below * self.below_is * slope) / self.under
        return z, slope, above, below

    def lengths(self, move):
        """How far both kinds of variables can go, at most 1."""
        z, slope, above, below = move
        primal = min(reach(self.above, above), reach(self.below, below))
        dual = min(
            reach(self.over, -slope * self.above_is), reach(self.under, slope * self.below_is)
        )
        if self.squares:  # where z is in the slopes' sum: a little apart is soon put right
            off = abs(primal - dual) * np.abs(self.problem.bend * z).max()
            if off > PART * np.abs(self.pull).max():
                primal = dual = min(primal, dual)
        return primal, dual

    def centred(self, normal, weight, above, below, move, target):
        """The move, corrected where that makes it longer (Gondzio, 1996)."""
        primal, dual = lengths = self.lengths(move)
        if min(lengths) > 1.0 - LONGER:
            return move, lengths
        primal, dual = min(1.0, primal + BOLD), min(1.0, dual + BOLD)
        ends = (
            (self.above + primal * move[2]) * (self.over - dual * move[1]),
            (self.below + primal * move[3]) * (self.under + dual * move[1]),
        )
        low, high = SPREAD * target, target / SPREAD
        more = [np.maximum(np.clip(end, low, high) - end, -high) for end in ends]
        trial = self.towards(
            normal, weight, above + more[0] * self.above_is, below + more[1] * self.below_is
        )
        longer = self.lengths(trial)
        return (trial, longer) if sum(longer) > sum(lengths) + LONGER else (move, lengths)

    # ----------------------------------------------------------------------------------- to the end

    def polish(self):
        """Try the vertex that the slopes point to."""
        # Of a term that is met, the residual over the price falls with the products; of another it
        # grows as they fall.
        ratio = np.maximum(
            self.above * self.above_is / self.over, self.below * self.below_is / self.under
        )
        typical = self.value / (float(self.width.sum()) or 1.0) or 1.0
        ratio = ratio * self.scale / typical
        active = np.flatnonzero(ratio < 1.0)
        active = active[np.argsort(ratio[active], kind="stable")]
        problem = self.problem
        z, slope = vertex(problem, self.z, self.r, self.slope, active)
        self.at_vertex = self.propose(z, self.rounding())
        if self.at_vertex:
            pull = -(problem.back(slope) + problem.bend * z)
            self.raise_floor(z, slope, pull)

    def near(self, allowed):
        """Whether the gap is at most `allowed`, or rounding."""
        return self.gap <= max(allowed, self.rounding())

    def ended(self, allowed):
        """Whether the gap is at most `allowed`, at a vertex where one is found soon, or no step
        makes it smaller."""
        stalled = self.since >= STALLED or not np.isfinite(self.z).all()
        close = self.near(max(allowed, CLOSE * self.value))
        if (close or stalled) and not self.tried:
            self.tried = True
            self.tries += self.near(allowed)
            self.polish()
        if self.near(allowed):
            return self.at_vertex or self.tries > TRIES or self.near(0.0)
        if stalled and self.share < FARTHER:
            self.begin(self.best, FARTHER)
            self.look()
            return False
        return stalled

    def solve(self, allowed, stop=None):
        """All steps; `allowed` is the gap."""
        while not self.ended(allowed):
            self.next(stop)

    def approach(self, share, stop=None):
        """Steps until the gap is at most a share of the objective, wherever that is."""
        while not self.near(share * self.value) and self.since < STALLED:
            self.next(stop)

    def next(self, stop):
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
        self.step()


def reach(x, move):
    """How far a positive vector can go before one of its elements is 0, at most 1."""
    if not len(x):
        return 1.0
    most = float(np.min(move / x))
    return min(1.0, -1.0 / most) if most < 0 else 1.0
