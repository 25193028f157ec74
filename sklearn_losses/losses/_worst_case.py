"""The worst distribution near the data's, for given losses of the samples: by a dual of one
dimension, to rounding."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import xlogy

from sklearn_losses.losses.joint import Joint

# Multipliers below this share of the span of the losses leave the largest loss alone.
LEAST_MULTIPLIER = 1e-18
# Below this tilt the change of a worst mean is linear in it, to rounding.
QUADRATIC = 1e-7

# Each gives the ratios t = q / p of the worst distribution q to p, of ``q @ values - bend * D(q)``
# over its set: with bend = 0 the worst itself, else one that moves smoothly with the values.


def _spread_out(values, p, bend, cap=np.inf):
    """Ratios ``clip(1 + (values - shift) / bend, 0, cap)`` of mean 1."""
    u = values / bend
    ends, slope = u + 1.0, p
    if np.isfinite(cap):
        ends, slope = np.concatenate([ends, ends - cap]), np.concatenate([p, -p])
    # From above, where all are 0: the mean is made of straight lines between the ends.
    order = np.argsort(-ends, kind="stable")
    ends, slope = ends[order], np.cumsum(slope[order])
    mean = np.concatenate([[0.0], np.cumsum(slope[:-1] * -np.diff(ends))])
    at = int(np.argmax(mean >= 1.0)) if (mean >= 1.0).any() else len(mean)
    low = ends[at] if at < len(ends) else -np.inf
    high = ends[max(at - 1, 0)]
    middle = 0.5 * (low + high) if np.isfinite(low) else high - 1.0
    t = 1.0 + u - middle
    full, free = t >= cap, (t > 0) & (t < cap)
    if free.any():
        # From one of them, so that differences keep their digits where the bend is small.
        u = (values - values[free][0]) / bend
        held = (cap * p[full].sum()) if full.any() else 0.0
        middle = (p[free] @ (1.0 + u[free]) + held - 1.0) / p[free].sum()
    t = np.clip(1.0 + u - middle, 0.0, cap)
    return t / (p @ t)


def _largest(values, p):
    """Ratios of the distribution on the largest value."""
    held = values == values.max()
    return held / p[held].sum()


@dataclass(frozen=True)
class Share:
    """Ratios of at most `cap`: the mean of the largest values, a share of ``1 / cap`` of them."""

    cap: float
    own_bend = 0.0

    def ratios(self, values, p, bend):
        if self.cap == 1.0:
            return np.ones(len(p))
        if bend:
            return _spread_out(values, p, bend, self.cap)
        order = np.argsort(-values, kind="stable")
        full = np.cumsum(p[order]) * self.cap
        edge = values[order[min(int(np.searchsorted(full, 1.0)), len(p) - 1)]]
        above, at_edge = values > edge, values == edge
        left = (1.0 - self.cap * p[above].sum()) / p[at_edge].sum()
        t = np.where(above, self.cap, np.where(at_edge, np.clip(left, 0.0, self.cap), 0.0))
        return t / (p @ t)

    def distance(self, t, p):
        return 0.5 * float(p @ (t - 1.0) ** 2)

    def most(self, p):
        return 0.5 * (self.cap - 1.0)


@dataclass(frozen=True)
class ChiSquare:
    """Half the chi-square divergence at most `radius`; infinite: any distribution."""

    radius: float
    own_bend = 0.0
    distance = Share.distance

    def ratios(self, values, p, bend):
        if self.radius == 0.0:
            return np.ones(len(p))
        shift, multiplier = self._multiplier(values, p)
        if multiplier < bend:
            return _spread_out(values, p, bend)
        if multiplier == 0.0:
            return _largest(values, p)
        t = np.maximum(values - shift, 0.0)
        return t / (p @ t)

    def _multiplier(self, values, p):
        """Of the bound on ``mean(t**2)``: where the ratios begin, and by what they are divided."""
        bound = 1.0 + 2.0 * self.radius
        levels = np.unique(values)
        if bound >= 1.0 / p[values == levels[-1]].sum():
            return levels[-1], 0.0

        def square(shift):
            over = np.maximum(values - shift, 0.0)
            return float(p @ over**2) / float(p @ over) ** 2

        # Between two levels the same samples count.
        low, high = -1, len(levels) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if square(levels[middle]) <= bound else (low, middle)
        counts = values > levels[low] if low >= 0 else np.ones(len(values), dtype=bool)
        mass = float(p[counts].sum()) if low >= 0 else 1.0
        mean = float(p[counts] @ values[counts]) / mass
        variance = float(p[counts] @ (values[counts] - mean) ** 2) / mass
        excess = mass * bound - 1.0 if low >= 0 else 2.0 * self.radius
        if variance == 0.0:  # by rounding, as there are smaller ones
            return levels[-1], 0.0
        width = float(np.sqrt(variance / excess)) if excess > 0.0 else np.inf
        if low >= 0:
            width = min(width, mean - float(levels[low]))
        return mean - width, mass * width

    def most(self, p):
        return min(self.radius, 0.5 * (1.0 / p[p > 0].min() - 1.0))


@dataclass(frozen=True)
class KL:
    """The Kullback-Leibler divergence at most `radius`."""

    radius: float
    own_bend = 0.0

    def ratios(self, values, p, bend):
        if self.radius == 0.0:
            return np.ones(len(p))
        if bend and self._at(values, p, 1.0 / bend)[0] <= self.radius:
            return self._at(values, p, 1.0 / bend)[1]
        if self.radius >= -np.log(p[values == 0.0].sum()):
            return _largest(values, p)
        mean = float(p @ values)
        low = high = float(np.sqrt(2.0 * self.radius / (p @ (values - mean) ** 2)))
        if low < QUADRATIC:  # the span of the values is 1: the divergence is a square to rounding
            return self._at(values, p, low)[1]
        while self._at(values, p, low)[0] > self.radius:
            low /= 2.0
        while self._at(values, p, high)[0] < self.radius:
            high *= 2.0
            if high * LEAST_MULTIPLIER > 1.0:
                return _largest(values, p)
        if low < high:
            low = brentq(
                lambda tilt: self._at(values, p, tilt)[0] - self.radius,
                low,
                high,
                xtol=4e-16 * low,
                rtol=4 * np.finfo(float).eps,
            )
        return self._at(values, p, low)[1]

    @staticmethod
    def _at(values, p, tilt):
        """Divergence, and ratios, of exponential weights; values are at most 0."""
        about = values - p @ values
        if tilt * np.abs(about).max() < 0.5:  # where divergences are small their digits count
            values = about
            log_mean = np.log1p(p @ np.expm1(tilt * values))
        else:
            log_mean = np.log(p @ np.exp(tilt * values))
        t = np.exp(tilt * values - log_mean)
        return float(tilt * ((p * t) @ values) - log_mean), t

    def distance(self, t, p):
        # The mean of t is 1, so that this is the same, of terms that are not negative.
        product = np.where(t > 0.5, t * np.log1p(np.maximum(t - 1.0, -0.5)), xlogy(t, t))
        return max(float(p @ (product - (t - 1.0))), 0.0)

    def most(self, p):
        return min(self.radius, -np.log(p[p > 0].min()))


@dataclass(frozen=True)
class Tilted:
    """Any distribution, at the price of its Kullback-Leibler divergence over `tilt`."""

    tilt: float
    distance = KL.distance

    @property
    def own_bend(self):
        return 1.0 / self.tilt if self.tilt else 0.0

    def ratios(self, values, p, bend):
        return np.ones(len(p)) if not self.tilt else KL._at(values, p, 1.0 / bend)[1]

    def most(self, p):
        return 0.0  # it is smooth


class Worst:
    """The worst mean of values of the samples.

    Parameters
    ----------
    near : Share, ChiSquare, KL or Tilted
    weight : ndarray of shape (n_samples,)
    group : ndarray of int of shape (n_samples,) or None
        Whose means are the values that count, all alike; None: samples count by their weights.
    bend : float, default=0.0
    """

    def __init__(self, near, weight, group=None, bend=0.0):
        self.near, self.bend = near, bend
        self.share = weight / weight.max()
        self.share = self.share / self.share.sum()
        self.group = group
        self.p = self.share
        if group is not None:
            mass = np.bincount(group, self.share)
            self.count = mass > 0
            self.p = self.count / self.count.sum()
            self.of_group = np.divide(
                self.share, mass[group], out=np.zeros(len(group)), where=self.share > 0
            )

    def weights(self, losses):
        """Of the samples, with sum 1, and what bending takes from the worst mean."""
        values, p = losses, self.p
        if self.group is not None:
            values = np.bincount(self.group, self.of_group * losses, minlength=len(p))
        counts = p > 0
        values, p = values[counts], p[counts]
        most, span = float(values.max()), float(np.ptp(values))
        bend = max(self.bend, self.near.own_bend)
        t = np.ones(len(p))
        if span > 0:
            t = self.near.ratios((values - most) / span, p, bend / span)
        made = np.zeros(len(self.p))
        made[counts] = t * p
        bent = bend * self.near.distance(t, p) if bend else 0.0
        made = made if self.group is None else made[self.group] * self.of_group
        return made / made.sum(), bent

    def most(self):
        """Of the distance, over all weights that there are."""
        return self.near.most(self.p)


class RobustJoint(Joint):
    """Losses of the samples above the least that each can have, and their worst mean.

    Parameters
    ----------
    loss : Loss
        Or a smooth neighbour, times `factor`.
    y : ndarray of shape (n,)
    above : ndarray of shape (n,)
        What is added to each loss.
    worst : Worst
    mass : float
    factor : ndarray of shape (n,) or None, default=None
    """

    def __init__(self, loss, y, above, worst, mass, factor=None):
        self.loss, self.y, self.above, self.worst = loss, y, above, worst
        self.n, self.mass = len(y), mass
        self.factor = 1.0 if factor is None else factor

    def losses(self, raw):
        """Of the samples."""
        raw = np.ascontiguousarray(raw)
        return self.factor * self.loss.loss(self.y, raw, n_threads=self.n_threads) + self.above

    def shares(self, raw):
        """Of the samples in the worst distribution, over their own: ndarray of shape (n,)."""
        share = self.worst.share
        weights = self.worst.weights(self.losses(raw))[0]
        return np.divide(weights, share, out=np.zeros(self.n), where=share > 0)

    def value_gradient(self, raw):
        raw = np.ascontiguousarray(raw)
        losses, slopes = self.loss.loss_gradient(self.y, raw, n_threads=self.n_threads)
        losses = self.factor * losses + self.above
        if not np.isfinite(losses).all():
            return np.inf, np.zeros(self.n)
        weights, bent = self.worst.weights(losses)
        value = float(weights @ losses) - bent
        return self.mass * value, self.mass * weights * (self.factor * slopes)

    def gradient_hessian(self, raw):
        raw = np.ascontiguousarray(raw)
        weights = self.mass * self.factor * self.worst.weights(self.losses(raw))[0]
        parts = self.loss.gradient_hessian(self.y, raw, n_threads=self.n_threads)
        return tuple(weights * part for part in parts)
