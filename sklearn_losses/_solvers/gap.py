"""When a fit has come to the minimum: an estimate of what the objective can still fall.

The estimate is half the Newton decrement, ``g @ inverse(H) @ g / 2``, with L-BFGS's approximation
of the inverse Hessian from the last steps, on the coordinates that are free to move (Nocedal and
Wright, Numerical Optimization, 2006, algorithm 7.4). It has the objective's unit and no other.
"""

from collections import deque

import numpy as np

# Steps that the estimate remembers, and how many it needs where there are so many coordinates.
MEMORY = 12
LEAST = 3
# Iterations whose falls are compared with those before them, and the largest ratio of the two that
# is believed.
WINDOW = 8
SLOWEST = 0.99
# The tolerated gap over the size of the objective is `tol`**2 times this, and falls with more rows
# than ROWS: coefficients stay a small part of their standard errors from the minimum.
SHARE = 0.02
ROWS = 1000.0
# What is left for rounding: gaps below so many of the type's roundings of the objective's size.
ROUNDINGS = 64.0


def tolerated(tol, reference, objective):
    """The gap of the objective at which a fit has converged.

    ``SHARE * tol**2 * min(1, ROWS / n) * size``, with size what the objective is above its floor
    (at most 1 for a likelihood, of which a sample's own chance makes about as much).

    Parameters
    ----------
    tol : float
    reference : Reference
    objective : float
        The present one.
    """
    all_of_it = reference.objective - reference.floor
    size = max(objective - reference.floor, 1e-9 * all_of_it)
    if reference.natural:
        size = min(size, 1.0)
    allowed = SHARE * tol**2 * min(1.0, ROWS / max(reference.n, 1)) * size
    return allowed if size > 1e3 * reference.rounding else max(allowed, reference.rounding)


def rounding_of(reference, objective, dtype=np.float64):
    """Gaps that rounding hides: that of values, and of the gradients' coefficients and weights in
    `dtype`, whose errors count by their squares.

    Parameters
    ----------
    reference : Reference
    objective : float
        The present one.
    dtype : dtype
    """
    eps = max(np.finfo(np.float64).eps, float(np.finfo(dtype).eps) ** 2)
    return ROUNDINGS * eps * (abs(objective) + reference.objective - reference.floor)


def least_gradient(x, gradient, l1, low=None, high=None):
    """The least generalised gradient of the objective: 0 where a coordinate is held by the L1
    penalty or a bound.

    Parameters
    ----------
    x : ndarray
        Coordinates.
    gradient : ndarray of the same shape
        Of all but the L1 penalty.
    l1 : float or ndarray
        Slope of the penalty.
    low, high : ndarray or None, default=None
        Bounds of the coordinates.

    Returns
    -------
    gradient : ndarray of the same shape
    """
    if np.any(l1):
        # At 0 the derivatives to the left and to the right.
        down, up = gradient - l1, gradient + l1
        at_zero = np.where(down > 0, down, np.where(up < 0, up, 0.0))
        gradient = np.where(x > 0, up, np.where(x < 0, down, at_zero))
    if low is not None:
        held = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
        gradient = np.where(held, 0.0, gradient)
    return gradient


class Gap:
    """Steps and changes of the gradient, and the gap that they make likely."""

    def __init__(self):
        self.forget()

    def see(self, z, gradient):
        """Take note of a point, an array that will not change, and of its gradient."""
        if self.last is not None:
            step, change = z - self.last[0], gradient - self.last[1]
            curvature = float(step @ change)
            if curvature > 1e-12 * float(np.linalg.norm(step) * np.linalg.norm(change)):
                self.pairs.append((step, change))
        self.last = (z, gradient)

    def forget(self):
        self.pairs = deque(maxlen=MEMORY)
        self.falls = deque(maxlen=2 * WINDOW)
        self.last = None

    def extrapolated(self):
        """What is left to fall if it goes on as in the last iterations, by a geometric series."""
        n = min(WINDOW, max(1, len(self.falls) // 3))
        falls = [max(fall, 0.0) for fall in self.falls]
        new, old = sum(falls[-n:]), sum(falls[-2 * n : -n])
        ratio = min(new / old, SLOWEST) if old > 0 else SLOWEST
        return new * ratio / (1.0 - ratio)

    def knows(self):
        """Whether enough steps have been seen."""
        return self.last is not None and len(self.pairs) >= min(LEAST, len(self.last[0]))

    def estimate(self, gradient, free=None):
        """Half the Newton decrement.

        Parameters
        ----------
        gradient : ndarray of shape (n,)
            Of the objective; of its least generalised one, which is 0 where a coordinate is held.
        free : ndarray of shape (n,), bool, or None
            The coordinates that can move; None: all.
        """
        # Coordinates have about the curvature 1; where they have more, as next to a kink, this is
        # too much, and what the steps have seen may be too little.
        plain = 0.5 * float(gradient @ gradient)
        q = gradient.copy()
        used = []
        for step, change in reversed(self.pairs):
            if free is not None:
                step, change = step * free, change * free
            curvature = float(step @ change)
            if curvature <= 0:
                continue
            a = float(step @ q) / curvature
            q -= a * change
            used.append((step, change, curvature, a))
        if used:
            _, change, curvature, _ = used[0]
            square = float(change @ change)
            q *= curvature / square if square > 0 else 1.0
        for step, change, curvature, a in reversed(used):
            q += (a - float(change @ q) / curvature) * step
        return max(0.5 * float(gradient @ q), plain)
