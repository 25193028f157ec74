"""How far an attack of size 1 in some norm can move a linear prediction: the dual norm of the
scaled weights, and its place in an interior point method.

An attack ``|dx / radius|_p <= 1`` moves ``x @ w`` by at most ``t = |radius * w|_q`` with ``1 / p +
1 / q = 1``. Each class here says ``t >= |v|_q`` in constraints ``g(v, t, own variables) <= 0`` with
a multiplier each, of which Newton's equations are reduced to those of v and t.
"""

import math
import numbers
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, norm


@dataclass
class Reduced:
    """Second derivatives and gradient that constraints leave for (v, t): ``diag(diagonal)`` on v,
    `cross` between v and t, `corner` on t, and ``weight * outer(along, along)`` of both."""

    diagonal: np.ndarray  # (m,)
    cross: np.ndarray  # (m,)
    corner: float
    along: np.ndarray  # (m + 1,)
    weight: float
    gradient: np.ndarray  # (m + 1,)


class _Norm:
    """Constraints ``g <= 0`` of a dual norm at a point.

    Parameters
    ----------
    m : int
        How many weights the attack is on.

    Attributes
    ----------
    t : float
        At least the dual norm of v.
    slack, multiplier : ndarray
        Of the constraints: ``-g``, and what they are worth.
    """

    def begin(self, t, mu):
        """Start at v = 0."""
        self.set_t(t)
        self.slack = self.slacks(np.zeros(self.m), self.own)
        self.multiplier = mu / self.slack

    def curvature(self):
        return self.multiplier / self.slack

    @staticmethod
    def over(tilt, of_t, delta, size):
        """What to take from `tilt` so that ``primal(tilt / delta)``, which is `size`, is of_t."""
        return tilt * (1.0 - of_t / size)

    def stepped(self, changes, mu, corrector):
        """Changes of the multipliers where the constraints change by `changes`."""
        return (self.multiplier * changes + mu + corrector) / self.slack - self.multiplier


class SumNorm(_Norm):
    """Of attacks in the maximum norm: ``t = sum(u)`` with ``-u <= v <= u``."""

    def __init__(self, m):
        self.m, self.count = m, 2 * m

    @staticmethod
    def of_noise(d, level):
        """A quantile of the primal norm of d standard normal variables."""
        return float(norm.ppf(0.5 + 0.5 * level ** (1.0 / d)))

    @staticmethod
    def dual(v):
        return np.abs(v).sum(axis=-1)

    @staticmethod
    def primal(v):
        return float(np.abs(v).max(initial=0.0))

    @staticmethod
    def over(tilt, of_t, delta, size):
        return np.maximum(np.abs(tilt) - of_t * delta, 0.0)

    def set_t(self, t):
        self.own = np.full(self.m, t / self.m)

    @property
    def t(self):
        return float(self.own.sum())

    def slacks(self, v, own):
        return np.stack([own - v, own + v])

    def reduced(self, v, mu, corrector):
        d = self.curvature()
        kappa = (mu + corrector) / self.slack
        self.sums, self.tilt = d.sum(axis=0), (d[1] - d[0]) / d.sum(axis=0)
        self.of_own = -kappa.sum(axis=0)
        self.stiff = 1.0 / float((1.0 / self.sums).sum())
        offset = self.stiff * float((self.of_own / self.sums).sum())
        of_v = kappa[0] - kappa[1] + (offset - self.of_own) * self.tilt
        return Reduced(
            4.0 * d[0] * d[1] / self.sums,
            np.zeros(self.m),
            0.0,
            np.append(self.tilt, 1.0),
            self.stiff,
            np.append(of_v, offset),
        )

    def changes(self, v, dv, dt):
        """Those of own variables and of the constraints, to first order."""
        rest = self.of_own / self.sums + self.tilt * dv
        own = self.stiff * (dt + float(rest.sum())) / self.sums - rest
        return own, np.stack([dv - own, -dv - own])

    def moved(self, v, own, slack):
        """Own variables with which v keeps to the constraints, given those of a linear step and the
        slack that it was to leave."""
        return own

    def value_of(self, own):
        return float(own.sum())

    def at_zero(self):
        """Which weights are 0 in the solution that this comes near to."""
        share = self.multiplier.min(axis=0) / max(float(self.multiplier.sum(axis=0).max()), 1e-300)
        return share > self.own / max(self.t, 1e-300)


class MaximumNorm(_Norm):
    """Of attacks in the sum norm: ``-t <= v <= t``."""

    def __init__(self, m):
        self.m, self.count = m, 2 * m

    @staticmethod
    def of_noise(d, level):
        # Of a sum of d half-normal variables; exact for one, normal for many.
        if d == 1:
            return SumNorm.of_noise(d, level)
        return d * math.sqrt(2 / math.pi) + float(norm.ppf(level)) * math.sqrt(
            d * (1 - 2 / math.pi)
        )

    @staticmethod
    def dual(v):
        return np.abs(v).max(axis=-1, initial=0.0)

    @staticmethod
    def primal(v):
        return float(np.abs(v).sum())

    def set_t(self, t):
        self.own = float(t)

    @property
    def t(self):
        return self.own

    def slacks(self, v, own):
        return np.stack([own - v, own + v])

    def reduced(self, v, mu, corrector):
        d = self.curvature()
        kappa = (mu + corrector) / self.slack
        gradient = np.append(kappa[0] - kappa[1], -kappa.sum())
        none = np.zeros(self.m + 1)
        return Reduced(d.sum(axis=0), d[1] - d[0], float(d.sum()), none, 0.0, gradient)

    def changes(self, v, dv, dt):
        return dt, np.stack([dv - dt, -dv - dt])

    def moved(self, v, own, slack):
        return own

    def value_of(self, own):
        return own

    def at_zero(self):
        return np.zeros(self.m, dtype=bool)


class EuclideanNorm(_Norm):
    """Of attacks in the Euclidean norm: ``v @ v / t <= t`` and ``t >= 0``, which are smooth."""

    def __init__(self, m):
        self.m, self.count = m, 2

    @staticmethod
    def of_noise(d, level):
        return float(np.sqrt(chi2.ppf(level, d)))

    @staticmethod
    def dual(v):
        return np.sqrt((v * v).sum(axis=-1))

    @staticmethod
    def primal(v):
        return float(np.sqrt((v * v).sum()))

    def set_t(self, t):
        self.own = float(t)

    @property
    def t(self):
        return self.own

    def slacks(self, v, own):
        return np.array([own - float(v @ v) / own, own])

    def _slope(self, v):
        return np.append(2.0 * v / self.own, -float(v @ v) / self.own**2 - 1.0)

    def reduced(self, v, mu, corrector):
        t, d = self.own, self.curvature()
        kappa = (mu + corrector) / self.slack
        bend, slope = 2.0 * self.multiplier[0] / t, self._slope(v)
        gradient = kappa[0] * slope
        gradient[-1] -= kappa[1]
        return Reduced(
            np.full(self.m, bend),
            -bend * v / t,
            bend * float(v @ v) / t**2 + d[1],
            slope,
            d[0],
            gradient,
        )

    def changes(self, v, dv, dt):
        slope = self._slope(v)
        return dt, np.array([float(slope[:-1] @ dv) + slope[-1] * dt, -dt])

    def moved(self, v, own, slack):
        # A step to first order cuts the cone's surface: t is lifted until that slack is left.
        return max(own, 0.5 * (slack[0] + math.sqrt(slack[0] ** 2 + 4.0 * float(v @ v))))

    def value_of(self, own):
        return own

    def at_zero(self):
        return np.zeros(self.m, dtype=bool)


# The norm of the attack -> the class of its dual.
NORMS = {"inf": SumNorm, 2: EuclideanNorm, 1: MaximumNorm}


def norm_of(owner, given):
    """The class of a norm, or the error that says which there are."""
    if isinstance(given, str):
        known = "inf" if given == "inf" else None
    elif not isinstance(given, numbers.Real) or isinstance(given, bool | np.bool_):
        known = None
    else:
        known = "inf" if given == math.inf else next((k for k in (1, 2) if given == k), None)
    if known is None:
        raise ValueError(f"{owner}: norm must be 'inf', 2 or 1; got {given!r}")
    return NORMS[known]
