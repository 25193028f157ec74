"""Minima of quadratic models: by Cholesky, by conjugate gradients, and with an L1 part, bounds or a
separable penalty by coordinate descent."""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from sklearn_losses._kernels.fit.quadratic import QuadraticKernel, SparseQuadraticKernel
from sklearn_losses._solvers.gap import least_gradient

# Of a matrix whose diagonal is 1, so much more on it: what rounding of it may be, times the width.
RIDGE = 4.0 * np.finfo(np.float64).eps
# By so much it grows where that is not enough, up to the largest.
GROWTH, MOST_RIDGE = 1e3, 1e3
# Passes of coordinate descent over those that are not 0 between two over all; then the minimum on
# them is found directly, where they are no more than these.
ACTIVE_SWEEPS = 8
MOST_DIRECT = 4096
MOST_SWEEPS, MOST_STEPS = 300, 1000
# Those on sparse columns are tried every so many sweeps, where factoring takes no more than this
# times as many operations as the columns have entries.
DIRECT_EVERY, DIRECT = 5, 600.0
# The most direct steps in a row, between which variables come to 0 or to bounds.
MOST_HITS = 100
# Points from which the next is extrapolated.
REMEMBERED = 5


def jacobi(bend):
    """Roots of the diagonal; 1 where it is not above 0."""
    diagonal = bend.diagonal()
    return np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))


def newton_step(bend, gradient):
    """``-inverse(bend) @ gradient``, with as much of a ridge as makes bend positive definite.

    Parameters
    ----------
    bend : ndarray of shape (n, n)
    gradient : ndarray of shape (n,)

    Returns
    -------
    step : ndarray of shape (n,), or None
        None: no ridge did.
    ridge : float
        What it took.
    """
    root = jacobi(bend)
    scaled = bend / root / root[:, None]
    n = len(root)
    ridge = RIDGE * n
    while ridge <= MOST_RIDGE:
        scaled[np.diag_indices(n)] = bend.diagonal() / root**2 + ridge
        try:
            factor = cho_factor(scaled, lower=True, check_finite=False)
        except LinAlgError:
            ridge *= GROWTH
            continue
        step = -cho_solve(factor, gradient / root, check_finite=False) / root
        if np.isfinite(step).all():
            return step, ridge
        ridge *= GROWTH
    return None, ridge


def conjugate_gradients(product, gradient, diagonal, enough, most):
    """``-inverse(bend) @ gradient`` to some accuracy (Nocedal and Wright, 2006, algorithm 7.1).

    Parameters
    ----------
    product : callable
        ``product(v)``: bend times a vector.
    gradient, diagonal : ndarray of shape (n,)
        The diagonal of bend, for scaling.
    enough : float
        The share of the residual's norm, in the scale of the diagonal, that may be left.
    most : int
        Of iterations.

    Returns
    -------
    step : ndarray of shape (n,)
    """
    scale = np.where(diagonal > 0.0, diagonal, 1.0)
    step = np.zeros_like(gradient)
    residual = -gradient
    scaled = residual / scale
    direction = scaled.copy()
    rho = float(residual @ scaled)
    target = enough**2 * rho
    for _ in range(most):
        if not rho > target:
            break
        along = product(direction)
        bend = float(direction @ along)
        if not bend > 0.0:
            break
        length = rho / bend
        step += length * direction
        residual -= length * along
        np.divide(residual, scale, out=scaled)
        rho, before = float(residual @ scaled), rho
        direction *= rho / before
        direction += scaled
    return step if step.any() else -gradient / scale


@dataclass(frozen=True)
class Holding:
    """What holds variables beside a smooth function. Arrays are of shape (n,).

    Attributes
    ----------
    feature : ndarray of int32
        The number of a variable's weight in the penalty; -1: it has none, and no bounds.
    unit : ndarray
        A weight is its unit times the variable.
    l1 : ndarray or None
        The slopes of the penalty at 0; None: it is more than a sum of such terms.
    penalty : PenaltyKernel or None
        One that is separable.
    low, high : ndarray or None
        Bounds of the weights.
    """

    feature: np.ndarray
    unit: np.ndarray
    l1: np.ndarray | None
    penalty: object
    low: np.ndarray | None
    high: np.ndarray | None

    def arguments(self):
        """What the kernels take of it."""
        return self.feature, self.unit, self.penalty, self.low, self.high

    def at(self, chosen):
        """That of some variables."""
        arrays = {
            name: np.ascontiguousarray(array[chosen])
            for name, array in vars(self).items()
            if isinstance(array, np.ndarray)
        }
        return replace(self, **arrays)

    def repeated(self, times):
        """That of the variables of several outputs."""
        return self.at(np.tile(np.arange(len(self.unit)), times))

    def open(self, x, gradient, bend):
        """The variables that a direct step may move: those that bend, and are not held where they
        are."""
        open_ = ((self.l1 == 0.0) | (x != 0.0)) & (bend > 0.0)
        if self.low is not None:
            at_bound = (x * self.unit <= self.low) | (x * self.unit >= self.high)
            open_ &= ~at_bound | (self.least(x, gradient) != 0.0)
        return np.flatnonzero(open_)

    def least(self, x, gradient):
        """The least generalised gradient, where l1 is known."""
        bounds = (None, None) if self.low is None else (self.low / self.unit, self.high / self.unit)
        return least_gradient(x, gradient, self.l1, *bounds)


class ProximalGradient:
    """The same function's minimum by accelerated proximal steps (Beck and Teboulle, 2009, with the
    restarts of O'Donoghue and Candes, 2015): for a penalty that is no sum over the variables, and
    where there is no matrix.

    Parameters
    ----------
    product : callable
        ``product(v)``: bend times a vector.
    diagonal, slope, x : ndarray of shape (n,)
        As in `CoordinateDescent`, with the diagonal of bend.
    prox : callable
        ``prox(u, length)``, with the length of each variable's step.
    accelerated : bool
        Whether the penalty is convex; if not, steps are plain, and the function never rises.
    """

    def __init__(self, product, diagonal, slope, x, prox, accelerated):
        self.product, self.slope, self.x, self.prox = product, slope, x, prox
        self.scale = np.where(diagonal > 0.0, diagonal, 1.0)
        self.accelerated = accelerated

    def run(self, allowed, stop, most=MOST_STEPS):
        """Until steps lower the function by no more than is allowed; the point."""
        scale, steepness = self.scale, 1.0  # the largest eigenvalue over the diagonal: 1 or more
        moved = ahead = np.zeros_like(self.x)  # from x
        bent = bent_ahead = np.zeros_like(self.x)  # what bend makes of them
        t = 1.0
        for _ in range(most):
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            while True:
                length = 1.0 / (steepness * scale)
                at = self.x + ahead
                to = self.prox(at - length * (self.slope + bent_ahead), length) - self.x
                step = to - ahead
                bent_to = self.product(to)
                size = float(np.sum(scale * step * step))
                if not float(step @ (bent_to - bent_ahead)) > 1.001 * steepness * size:
                    break
                steepness *= 2.0
            move, change = to - moved, bent_to - bent
            if float(-step @ move) > 0.0:
                t = 1.0
            following = (1.0 + math.sqrt(1.0 + 4.0 * t * t)) / 2.0 if self.accelerated else 1.0
            inertia = (t - 1.0) / following
            ahead, bent_ahead = to + inertia * move, bent_to + inertia * change
            moved, bent, t = to, bent_to, following
            # What a step gains, as often as the function is badly conditioned.
            if not steepness * (0.5 * steepness * float(np.sum(scale * move * move))) > allowed:
                break
        return self.x + moved


class CoordinateDescent:
    """The minimum of ``slope @ (u - x) + (u - x) @ bend @ (u - x) / 2`` plus what holds u.

    `exact`: whether bend has no negative eigenvalue, so that a direct step may be the last.
    `solved`: whether `run` has come to its end, not to that of its sweeps.
    """

    solved = False

    def __init__(self, bend, slope, x, held, exact=True):
        self.bend, self.held, self.exact = np.ascontiguousarray(bend), held, exact
        self.x, self.slope = x.copy(), slope.copy()
        self.kernel = QuadraticKernel(self.bend, *held.arguments(), self.x, self.slope)

    def run(self, allowed, stop):
        """Until a pass lowers the function by no more than is allowed; the point."""
        for _ in range(MOST_SWEEPS):
            fell = self.kernel.sweep(True)
            if not fell > allowed:
                # Of columns that are nearly the same sweeps gain little long before the end.
                if self.exact and self.on_active() > allowed:
                    continue
                self.solved = True
                break
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            for _ in range(ACTIVE_SWEEPS):
                if not self.kernel.sweep(False) > max(allowed, 0.1 * fell):
                    break
            else:
                self.on_active()
        return self.x

    def on_active(self):
        """Go to the minimum on the variables that are not held; by how much the function fell."""
        held = self.held
        if held.l1 is None:
            return 0.0
        at = held.open(self.x, self.slope, self.bend.diagonal())
        if not 0 < len(at) <= MOST_DIRECT:
            return 0.0
        block = self.bend[np.ix_(at, at)]
        to, fell = minimum_of(block, self.slope[at], self.x[at], held.at(at))
        self.slope += (to - self.x[at]) @ self.bend[at]
        self.x[at] = to
        return fell


def minimum_of(bend, slope, x, held):
    """The minimum of a quadratic and what holds its variables, by Newton's steps: those that pass 0
    or a bound stay there, all where that is lower, else the first alone.

    Returns
    -------
    x : ndarray of shape (n,)
    fell : float
        By how much the function did.
    """
    kinked, fell = held.l1 > 0.0, 0.0
    x, slope, moving = x.copy(), slope.copy(), np.arange(len(x))
    for _ in range(MOST_HITS):
        if not len(moving):
            break
        at = x[moving]
        signs = np.sign(at)
        down = slope[moving] + held.l1[moving] * signs
        step, _ = newton_step(bend[np.ix_(moving, moving)], down)
        if step is None or not float(step @ down) < 0.0:
            break
        ends = np.where(kinked[moving] & (step * signs < 0.0), 0.0, np.copysign(math.inf, step))
        if held.low is not None:
            bound = np.where(step < 0.0, held.low[moving], held.high[moving]) / held.unit[moving]
            ends = np.where(np.abs(bound - at) < np.abs(ends - at), bound, ends)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(step != 0.0, (ends - at) / step, math.inf)
        met = shares < 1.0
        to = np.where(met, ends, at + step)
        change = bend[moving].T @ (to - at)
        rise = float((to - at) @ down) + 0.5 * float(change[moving] @ (to - at))
        if met.any() and not rise < 0.0:
            first = int(np.argmin(shares))
            met = np.arange(len(moving)) == first
            to = np.where(met, ends, at + shares[first] * step)
            change = bend[moving].T @ (to - at)
            rise = float(step @ down) * shares[first] * (1.0 - 0.5 * shares[first])
        x[moving] = to
        slope += change
        fell -= rise
        if not met.any():
            break
        moving = moving[~met]
    return x, fell


class SparseDescent:
    """The same minimum, with second derivatives ``A.T @ diag(h) @ A + diag(ridge)`` of sparse A, by
    coordinate descent on its columns, and Anderson's extrapolation of it (Bertrand and Massias,
    2021).

    Parameters
    ----------
    columns : CSC matrix
        Of A, neither centred nor scaled.
    intercept : bool
    center, h, ridge : ndarray
        As `SparseQuadraticKernel` takes them.
    slope, x : ndarray of shape (n,)
        As in `CoordinateDescent`.
    held : Holding
    """

    def __init__(self, columns, intercept, center, h, ridge, slope, x, held):
        self.columns, self.center, self.h = columns, center, h
        self.held, self.slope, self.ridge = held, slope, ridge
        self.start, self.x = x.copy(), x.copy()
        of_columns = columns, intercept, center, h, ridge
        self.kernel = SparseQuadraticKernel(*of_columns, *held.arguments(), self.x, slope)

    def rise(self):
        """Of the quadratic, from where it began."""
        move = self.x - self.start
        return float(move @ self.slope) + 0.5 * (self.kernel.square() + self.ridge @ move**2)

    def run(self, allowed, stop):
        """Until a pass lowers the function by no more than is allowed; the point."""
        extrapolates = self.held.l1 is not None and self.held.low is None
        fell = last = math.inf
        for i in range(MOST_SWEEPS):
            before, fell = min(fell, last), self.kernel.sweep(True)
            if not fell > allowed:
                # What sweeps that shrink like this would still gain.
                left = fell * fell / (before - fell) if fell < before else math.inf
                if left > allowed and self.on_active() > allowed:
                    continue
                break
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            points = [self._point()]
            for _ in range(REMEMBERED):
                last = self.kernel.sweep(False)
                if not last > max(allowed, 0.01 * fell):
                    break
                points.append(self._point())
            else:
                if extrapolates:
                    self._extrapolate(points)
                if i % DIRECT_EVERY == DIRECT_EVERY - 1:
                    self.on_active()
        return self.x

    def gradient(self):
        """Of the quadratic, at the present point."""
        d = len(self.center)
        bent = self.h * (self.kernel.moved + self.kernel.shift)
        made = self.slope + self.ridge * (self.x - self.start)
        made[:d] += self.held.unit[:d] * (self.columns.T @ bent - self.center * bent.sum())
        made[d:] += bent.sum()  # of the ones
        return made

    def on_active(self):
        """As that of `CoordinateDescent`, with the matrix of these variables alone."""
        held, d = self.held, len(self.center)
        if held.l1 is None:
            return 0.0
        gradient = self.gradient()
        at = held.open(self.x, gradient, self.kernel.bend)
        if not 0 < len(at) <= min(MOST_DIRECT, (DIRECT * self.columns.nnz) ** (1.0 / 3.0)):
            return 0.0
        some = at[at < d]
        columns = self.columns[:, some]
        center, unit = np.zeros(len(at)), held.unit[at]
        center[: len(some)] = self.center[some]
        weight = np.full(len(at), self.h.sum())  # of the ones, where they are among them
        weight[: len(some)] = columns.T @ self.h
        bend = np.zeros((len(at), len(at)))
        bend[: len(some), : len(some)] = (columns.T @ columns.multiply(self.h[:, None])).toarray()
        bend[len(some) :] = weight
        bend[:, len(some) :] = weight[:, None]
        cross = np.outer(center, weight)
        bend += np.outer(center, center) * self.h.sum() - cross - cross.T
        bend *= np.outer(unit, unit)
        bend[np.diag_indices(len(at))] += self.ridge[at]
        to, fell = minimum_of(bend, gradient[at], self.x[at], held.at(at))
        move = (to - self.x[at]) * unit
        x = self.x.copy()
        x[at] = to
        moved = self.kernel.moved + columns @ move[: len(some)]
        shift = self.kernel.shift - float(center @ move) + float(move[len(some) :].sum())
        self.kernel.place(x, moved, shift)
        return fell

    def _point(self):
        return self.x.copy(), self.kernel.moved.copy(), self.kernel.shift

    def _extrapolate(self, points):
        """Go to the mean of the last points that cancels their moves best, if that is lower."""
        x = np.array([point[0] for point in points])
        moves = np.diff(x, axis=0)
        square = moves @ moves.T
        square[np.diag_indices(len(square))] += 1e-12 * np.trace(square)
        try:
            weights = np.linalg.solve(square, np.ones(len(square)))
        except LinAlgError:
            return
        if not abs(weights.sum()) > 0.0 or not np.isfinite(weights).all():
            return
        weights /= weights.sum()
        before = self.rise() + float(self.held.l1 @ np.abs(self.x))
        moved = weights @ np.array([point[1] for point in points[1:]])
        shift = float(weights @ np.array([point[2] for point in points[1:]]))
        self.kernel.place(weights @ x[1:], moved, shift)
        if not self.rise() + float(self.held.l1 @ np.abs(self.x)) < before:
            self.kernel.place(*points[-1])
