"""The constant raw prediction with the least loss: quantiles, roots of the gradient, and a search
where there may be several minima. Arrays stay where they are; only sums come to the host."""

import numpy as np
from numpy.linalg import norm
from scipy.optimize import linprog, minimize, minimize_scalar

from sklearn_losses._array import array_namespace, common_namespace, kernel_array, to_host

EPS = np.finfo(np.float64).eps
# More steps than any double takes to be found by bisection from a bracket of a sensible width.
MOST_STEPS = 200
# As many samples tell nearly where a minimum over more of them is.
FEW = 1 << 13
# Starts of the search where a loss may have several minima.
N_STARTS = 64


def checked_offset(offset, shapes, places):
    """`offset` as finite float64, or the error that names it.

    Parameters
    ----------
    offset : array-like
    shapes : list of tuple
        What its shape may be.
    places : dict of array
        By name, the arrays that it has to be with.

    Returns
    -------
    offset : array of dtype float64
    """
    offset = kernel_array(offset, "offset")
    xp = common_namespace(**places, offset=offset)
    if offset.shape not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise ValueError(f"offset must have shape {allowed}; got {offset.shape}")
    if not bool(xp.isfinite(offset).all()):
        raise ValueError("offset must be finite")
    return offset.astype(np.float64)


def scaled_weight(weight):
    """Weights in float64, or None, divided by a power of two, so that the largest lies in [0.5, 1):
    then the size of all changes nothing, not even by rounding."""
    if weight is None:
        return None
    weight = weight.astype(np.float64, copy=False)
    exponent = int(np.frexp(float(weight.max()))[1])
    return array_namespace(weight).ldexp(weight, -exponent)


def mean(x, weight=None):
    """Weighted mean of `x`, a float of the host."""
    average = array_namespace(x).average
    return float(to_host(average(x.astype(np.float64, copy=False), weights=weight)))


def quantiles(x, weight, levels):
    """Minimisers of weighted pinball losses: where they are an interval, its middle.

    Parameters
    ----------
    x : array of shape (n_samples,)
    weight : array of shape (n_samples,) or None
    levels : list of float
        In [0, 1].

    Returns
    -------
    quantiles : list of float
    """
    xp = array_namespace(x)
    if weight is None:
        last = x.shape[0] - 1
        pairs = []
        for level in levels:
            position = level * (last + 1)
            # What rounding leaves of an integer: at both of its neighbours the loss is the least.
            whole = round(position)
            if abs(position - whole) <= 4 * EPS * position:
                pairs.append((min(max(whole - 1, 0), last), min(whole, last)))
            else:
                pairs.append((int(position), int(position)))
        places = sorted({i for pair in pairs for i in pair})
        x = xp.partition(x, places)
        picked = to_host(x[xp.asarray(places)]).astype(np.float64)
        at = dict(zip(places, picked.tolist(), strict=True))
        return [middle(at[i], at[j]) for i, j in pairs]
    held = weight > 0
    x, weight = x[held], weight[held]
    order = xp.argsort(x, kind="stable")
    x, cumulated = x[order], xp.cumsum(weight[order], dtype=np.float64)
    total = float(cumulated[-1])
    rounding = 2 * EPS * total * x.shape[0] ** 0.5
    found = []
    for level in levels:
        near = xp.asarray([level * total - rounding, level * total + rounding])
        low = xp.searchsorted(cumulated, near[:1], side="left")
        high = xp.searchsorted(cumulated, near[1:], side="right")
        ends = xp.clip(xp.concatenate([low, high]), 0, x.shape[0] - 1)
        found.append(middle(*to_host(x[ends]).astype(np.float64).tolist()))
    return found


def middle(low, high):
    return low if low == high else low / 2 + high / 2


class Sums:
    """Sums over the samples, as functions of the constant.

    Parameters
    ----------
    loss : PointwiseLoss
    y : array of shape (n_samples,)
    weight, offset : array of shape (n_samples,) or None
    """

    def __init__(self, loss, y, weight, offset):
        self.loss, self.weight, self.offset = loss, weight, offset
        self.xp = array_namespace(y)
        self.y = y.astype(np.float64, copy=False)
        self.out = [self.xp.empty(y.shape[0]) for _ in range(2)]

    def thinned(self):
        """The sums over some of the samples, or None where there are few."""
        every = self.y.shape[0] // FEW
        if every < 4:
            return None
        parts = [
            None if x is None else self.xp.ascontiguousarray(x[::every])
            for x in (self.y, self.weight, self.offset)
        ]
        if parts[1] is not None and not parts[1].any():
            return None
        return Sums(self.loss, *parts)

    def _raw(self, constant):
        if self.offset is None:
            return self.xp.full(self.y.shape[0], float(constant))
        return self.offset + float(constant)

    def value(self, constant):
        """The loss."""
        raw, (out, _) = self._raw(constant), self.out
        self.loss._evaluate(self.y, raw, self.weight, None, out, None, None)
        return float(to_host(out.sum()))

    def slopes(self, constant):
        """First and second derivative."""
        raw, out = self._raw(constant), self.out
        self.loss._evaluate(self.y, raw, self.weight, None, None, *out)
        return tuple(float(to_host(x.sum())) for x in out)


def descend(sums, start, step, low=-np.inf, high=np.inf):
    """A constant at which the gradient turns from negative to positive: the minimum, where the
    loss is convex.

    Parameters
    ----------
    sums : Sums
    start : float
    step : float
        How far the first step to a bracket goes; positive.
    low, high : float
        Where the way to a bracket ends.

    Returns
    -------
    constant : float
    """
    at = min(max(start, low), high)
    slope, curvature = sums.slopes(at)
    ends = {-1: None, 1: None}
    side = 1 if slope > 0 else -1
    ends[side] = at
    tiny = 4 * EPS * step
    while slope != 0 and ends[-side] is None:
        near = ends[side]
        at = min(max(near - side * step, low), high)
        if at == near:
            return at
        slope, curvature = sums.slopes(at)
        if slope == 0:
            return at
        ends[1 if slope > 0 else -1] = at
        step *= 2
    before = step
    for _ in range(MOST_STEPS):
        if slope == 0:
            break
        # Newton's step, unless it leaves the bracket or does not halve the last but one.
        newton = -slope / curvature if curvature > 0 and np.isfinite(slope) else np.inf
        to = at + newton
        if not (ends[-1] < to < ends[1] and abs(newton) <= before / 2):
            to = middle(ends[-1], ends[1])
            newton = to - at
        if to in (at, ends[-1], ends[1]) and abs(newton) <= 4 * EPS * abs(at):
            break
        before, at = abs(newton), to
        slope, curvature = sums.slopes(at)
        ends[1 if slope > 0 else -1] = at
        if before <= max(tiny, 2 * EPS * abs(at)):
            break
    return at


def root(sums, guess, low=-np.inf, high=np.inf):
    """The minimum of a convex loss, sought over a part of the samples first.

    Parameters
    ----------
    sums : Sums
    guess : callable
        Where to start with such sums, and how far to the first step.
    low, high : float
        As in `descend`.

    Returns
    -------
    constant : float
    """
    few = sums.thinned()
    if few is None:
        start, step = guess(sums)
    else:
        start, step = guess(few)
        start = descend(few, start, step, low, high) if step > 0 else start
        # A few standard errors of what all samples add.
        step *= 4 / FEW**0.5
        if step == 0:
            start, step = guess(sums)
    return descend(sums, start, step, low, high) if step > 0 else start


def from_the_median(sums):
    """A start whose distance from the best does not grow with an outlier's, and the mean distance
    from it."""
    y = sums.y if sums.offset is None else sums.y - sums.offset
    (median,) = quantiles(y, sums.weight, [0.5])
    return median, mean(abs(y - median), sums.weight)


def lowest(sums, grid):
    """The best of the minima near the points of a grid.

    Parameters
    ----------
    sums : Sums
    grid : ndarray
        Of the host.

    Returns
    -------
    constant : float
    """
    grid = np.unique(grid)
    if grid.shape[0] == 1:
        return float(grid[0])
    values = np.array([sums.value(x) for x in grid])
    candidates = []
    for best in np.argsort(values, kind="stable")[:3]:
        left, right = grid[max(best - 1, 0)], grid[min(best + 1, grid.shape[0] - 1)]
        nearest = min(x for x in (grid[best] - left, right - grid[best]) if x > 0)
        candidates.append((values[best], grid[best]))
        found = descend(sums, grid[best], nearest / 8, left, right)
        candidates.append((sums.value(found), found))
    # A loss may jump, or its gradient not be its derivative.
    best = int(np.argmin(values))
    left, right = grid[max(best - 1, 0)], grid[min(best + 1, grid.shape[0] - 1)]
    if min(candidates)[0] == values[best]:
        found = minimize_scalar(sums.value, bounds=(left, right), method="bounded")
        candidates.append((found.fun, found.x))
    return float(min(candidates)[1])


def spread_grid(x):
    """Quantiles of `x`, equally spaced in rank: points of it, of the host."""
    xp = array_namespace(x)
    n_samples = x.shape[0]
    places = np.unique(np.linspace(0, n_samples - 1, N_STARTS + 1).astype(np.int64))
    x = xp.partition(x, places.tolist())
    return to_host(x[xp.asarray(places)]).astype(np.float64)


def dense_grid(x, weight, width):
    """Points of `x` with the most weight within `width` of them: one of each of `N_STARTS` ranges
    of rank.

    Parameters
    ----------
    x : array of shape (n_samples,)
    weight : array of shape (n_samples,) or None
    width : float

    Returns
    -------
    points : ndarray
        Of the host.
    """
    xp = array_namespace(x)
    if weight is None:
        x, mass = xp.sort(x), xp.arange(x.shape[0] + 1)
    else:
        order = xp.argsort(x, kind="stable")
        x = x[order]
        mass = xp.concatenate([xp.zeros(1), xp.cumsum(weight[order], dtype=np.float64)])
    first = xp.searchsorted(x, x - width, side="left")
    last = xp.searchsorted(x, x + width, side="right")
    around = mass[last] - mass[first]
    if x.shape[0] > N_STARTS:
        size = -(-x.shape[0] // N_STARTS)
        missing = N_STARTS * size - x.shape[0]
        # Points that are repeated lose against the first of them.
        around = xp.concatenate([around, xp.full(missing, -1, dtype=around.dtype)])
        best = around.reshape(N_STARTS, size).argmax(axis=1) + xp.arange(N_STARTS) * size
        x = x[xp.clip(best, 0, x.shape[0] - 1)]
    return to_host(x).astype(np.float64)


# ---------------------------------------------------------------------------------- rows of classes


class RowSums:
    """Sums over the samples, as functions of a row of constants.

    Parameters
    ----------
    loss : RowwiseLoss
    y : array of shape (n_samples,) or (n_samples, n_classes)
    weight : array of shape (n_samples,) or None
    offset : array of shape (n_samples, n_classes)
    """

    def __init__(self, loss, y, weight, offset):
        self.loss, self.weight, self.offset = loss, weight, offset
        self.xp = array_namespace(y)
        self.y = y.astype(np.float64, copy=False)
        self.mass = float(y.shape[0] if weight is None else weight.sum())

    def __call__(self, row):
        """Mean loss and its gradient."""
        raw = self.offset + self.xp.asarray(row)
        value, gradient = self.loss.loss_gradient(self.y, raw, self.weight)
        value, gradient = to_host(value.sum()), to_host(gradient.sum(axis=0))
        return float(value) / self.mass, gradient / self.mass

    def gradient(self, row):
        return self(row)[1]


def lowest_row(sums, start):
    """The row of constants with the least loss.

    Parameters
    ----------
    sums : RowSums
    start : ndarray of shape (n_classes,)

    Returns
    -------
    row : ndarray of shape (n_classes,)
    """
    if not sums.loss.differentiable:
        return _by_planes(sums, start)
    if sums.loss.has_barrier:
        return _inside(sums, start)
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000}
    row = minimize(sums, start, jac=True, method="L-BFGS-B", options=options).x
    n_classes = row.shape[0]
    if n_classes > 32:
        return row
    # Two of Newton's steps, for the digits that values cannot tell.
    for _ in range(2):
        value, gradient = sums(row)
        to = row - _newton_step(sums, row, gradient)
        new_value, new_gradient = sums(to)
        if not (new_value <= value + 4 * EPS * abs(value) and norm(new_gradient) < norm(gradient)):
            break
        row = to
    return row


def _newton_step(sums, row, gradient):
    step = EPS ** (1 / 3)
    shifts = step * np.eye(len(row))
    hessian = [(sums.gradient(row + s) - sums.gradient(row - s)) / (2 * step) for s in shifts]
    # A constant added to the row changes nothing: the least of the solutions has none.
    return np.linalg.lstsq(np.array(hessian), gradient, rcond=1e-9)[0]


def _inside(sums, row):
    """Newton's steps, halved until they fall, which an infinite value never does."""
    for _ in range(100):
        value, gradient = sums(row)
        step, length = _newton_step(sums, row, gradient), 1.0
        falls = gradient @ step
        while length > EPS and not sums(row - length * step)[0] <= value - 1e-4 * length * falls:
            length /= 2
        if falls <= EPS * (1 + abs(value)) or length <= EPS:
            break
        row = row - length * step
    return row


def _by_planes(sums, start):
    """Kelley's cutting planes, for a convex loss that is linear in pieces: each evaluation gives a
    plane below the loss, and the next is made at the lowest point above all planes."""
    n_classes = start.shape[0]
    row, best, least = start, start, np.inf
    planes, heights = [], []
    # Beyond this far from the offsets no piece begins.
    reach = 2.0 + float(abs(sums.offset).max()) * 2
    bounds = [(-reach, reach)] * n_classes + [(None, None)]
    for _ in range(100 + 20 * n_classes):
        value, gradient = sums(row)
        if value < least:
            best, least = row, value
        planes.append([*gradient, -1.0])
        heights.append(gradient @ row - value)
        cost = np.eye(n_classes + 1)[-1]
        found = linprog(cost, A_ub=planes, b_ub=heights, bounds=bounds)
        if found.x is None or least - found.fun <= 1e-12 * (1 + abs(least)):
            break
        row = found.x[:-1]
    return best
