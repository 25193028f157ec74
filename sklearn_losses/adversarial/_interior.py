"""A primal-dual interior point method for the largest loss under an attack, and the bound that
says how far from the minimum it is.

The problem is, in coordinates z of the weights and with the intercept as the last one,

    minimise  sum_i weight_i q_i + sum_j l2_j z_j**2 / 2
    so that   piece_k((A z)_i +- t) <= q_i,  t >= dual norm of delta * z,

whose pieces are convex and smooth. Samples have two by two second derivatives in the raw prediction
and t once q_i is eliminated, so that a step costs one ``A.T @ diag(h) @ A``, and its predictor and
corrector are two solutions with one factor.

Lower bounds come from the loss's own values and derivatives: multipliers of the pieces that sum to
the weights, and the tangents of the pieces there, bound the objective from below everywhere.

References
----------
Ribeiro, A. H., Zachariah, D., Bach, F. and Schon, T. B. (2023). Regularization properties of
adversarially-trained linear regression. NeurIPS.

Boyd, S. and Vandenberghe, L. (2004). Convex Optimization. Cambridge, sections 5.5 and 11.7.

Mehrotra, S. (1992). On the implementation of a primal-dual interior point method. SIAM Journal on
Optimization 2, 575-601.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from sklearn_losses._solvers.design import one_thread_in_blas

# Where t starts, in units of raw predictions.
START = 0.1
# The share of the way to the boundary that a step goes.
SHARE = 0.995
# A bound holds for weights, and an intercept, up to so many times those that were found; beside
# what lies further away it is of a part of the way there.
REACH = 10.0
# The objective counts as at least this share of the best constant's; the second where no step leads
# any closer.
SIZES = (1e-6, 1e-3)
# What is added to the diagonal of Newton's matrix, beside its largest entry.
RIDGE = 1e-15
# Times that a solution is refined.
REFINED = 3
HALVINGS = 20
# Curvature that is added where no step leads down, beside the objective.
LEAST_DAMPING, MOST_DAMPING = 1e-4, 1e8
# Steps below this length ask for it as well.
SHORT = 1e-3
# Multipliers stay within these factors of what their slacks make them: where the target falls from
# step to step, and where it is held.
TRUST, HELD_TRUST = 1e10, 1e3
# Steps without a gap that is smaller by a tenth, after which the target is held until the barrier
# function is near its minimum: for losses that are straight in places, where Newton's steps may
# lead to and fro.
PATIENCE = 10
# Steps beyond the last one that is needed.
LATE = 5
# Where a loss falls for ever, and all samples withstand the attack, there is no minimum, and this
# share of the best constant's objective is the end.
PARTED = 1e-3
# How near: Newton's decrement beside what the target makes of the gap.
CENTRED = 0.1


@dataclass
class Found:
    """The end of a fit: coordinates, their objective, and a bound from below."""

    z: np.ndarray
    value: float
    bound: float
    n_iter: int
    met: bool


class Point:
    """Where a fit is: coordinates, what is left of each constraint, and multipliers."""

    def __init__(self, z, q, multiplier, raw):
        self.z, self.q, self.multiplier, self.raw = z, q, multiplier, raw


class Interior:
    """The fit.

    Parameters
    ----------
    design : Design
        Of the rows that count.
    pieces : Pieces
    weight : ndarray of shape (n,)
        Positive, of sum 1.
    norm : _Norm or None
        Of the features that are attacked; None where none is.
    attacked : ndarray of shape (m,), int
        Their numbers.
    delta : ndarray of shape (m,)
        By how much a unit of their coordinates lets an attack move a raw prediction.
    l2 : ndarray of shape (n_features,)
    floor : float
        What the objective cannot be below.
    """

    def __init__(self, design, pieces, weight, norm, attacked, delta, l2, floor):
        self.design, self.pieces, self.weight = design, pieces, weight
        self.norm, self.at, self.delta, self.floor = norm, attacked, delta, floor
        self.d, self.width = design.n_features, design.width
        self.l2 = np.zeros(self.width)
        self.l2[: self.d] = l2
        self.n_pieces = len(pieces)
        self.lifted = self.n_pieces > 1
        self.damping = 0.0
        self.held, self.stays, self.short = None, False, 0
        self.endless = pieces.endless and not self.l2.any()
        self.start()

    # ---------------------------------------------------------------------------------- where it is

    def start(self):
        """At the constant, with slacks times multipliers in proportion to the weights.

        The barrier function weighs the samples: then a weight of 2 is two copies in every step.
        """
        n, norm = self.design.n, self.norm
        raw, z = np.zeros(n), np.zeros(self.width)
        multiplier = np.broadcast_to(self.weight / self.n_pieces, (self.n_pieces, n)).copy()
        slope = np.abs(self.pieces.derivatives(raw, 0.0)[0])
        pull = max(float((multiplier * slope).sum()), 1e-8)
        self.count = float(self.n_pieces) if self.lifted else 0.0
        mu = 1.0 / self.count if self.lifted else 1.0
        self.share = 1.0
        if norm is not None:
            # The norm's constraints count as much as it takes for t to start where it may end: in
            # a step it grows by about its own size at most.
            self.share = START * pull / (mu * norm.count)
            norm.begin(START, mu * self.share)
            self.count += self.share * norm.count
        q = None
        if self.lifted:
            q = self.pieces.values(raw, self.t).max(axis=0) + mu * self.n_pieces
        self.point = Point(z, q, multiplier, raw)
        self.look()

    @property
    def t(self):
        return 0.0 if self.norm is None else self.norm.t

    def v(self, z):
        return self.delta * z[self.at]

    def look(self):
        """Values and derivatives at the point."""
        point = self.point
        self.values = self.pieces.values(point.raw, self.t)
        self.slope, self.curvature = self.pieces.derivatives(point.raw, self.t)
        if self.lifted:
            self.slack = point.q - self.values

    def mu(self):
        """The mean of slacks times multipliers."""
        total = float((self.slack * self.point.multiplier).sum()) if self.lifted else 0.0
        if self.norm is not None:
            total += float((self.norm.slack * self.norm.multiplier).sum())
        return total / self.count if self.count else 0.0

    def objective(self, z, raw=None):
        """What is minimised, in full."""
        raw = self.design.products(z) if raw is None else raw
        t = 0.0 if self.norm is None else float(self.norm.dual(self.v(z)))
        worst = self.pieces.values(raw, t).max(axis=0)
        return float(self.weight @ worst) + 0.5 * float(self.l2 @ z**2)

    def bound(self):
        """What the objective is nowhere below."""
        z = self.point.z
        share = self.point.multiplier
        if self.lifted:
            share = share * (self.weight / share.sum(axis=0))
        pull = share * self.slope
        tilt = self.design.transposed(pull.sum(axis=0)) + self.l2 * z
        lowest = float((share * self.values).sum()) + 0.5 * float(self.l2 @ z**2)
        free = np.ones(self.width, dtype=bool)
        if self.norm is not None:
            of_t = float((pull * self.pieces.sign).sum())
            free[self.at] = False
            lowest -= float(tilt[self.at] @ z[self.at]) + of_t * self.t
            lowest -= self.beyond(tilt[self.at], max(of_t, 0.0))
        return lowest - float(np.abs(tilt[free]) @ (REACH * (1.0 + np.abs(z[free]))))

    def beyond(self, tilt, of_t):
        """By how much ``tilt @ z + of_t * t`` may be below 0 for weights within reach."""
        size = self.norm.primal(tilt / self.delta)
        if size <= of_t:
            return 0.0
        of_all = (size - of_t) * (min(float(np.median(self.delta)), 1.0) + self.t)
        over = self.norm.over(tilt, of_t, self.delta, size)
        return REACH * min(of_all, float(np.abs(over) @ (1.0 + np.abs(self.point.z[self.at]))))

    # ---------------------------------------------------------------------------------------- steps

    def blocks(self):
        """Second derivatives by sample in (raw, raw), (raw, t) and (t, t)."""
        share, sign, slope = self.point.multiplier, self.pieces.sign, self.slope
        bend = share * self.curvature
        rr, rt, tt = bend.sum(axis=0), (sign * bend).sum(axis=0), (sign**2 * bend).sum(axis=0)
        if self.lifted:
            self.stiff = share / self.slack
            self.total = self.stiff.sum(axis=0)
            self.mean = (self.stiff * slope).sum(axis=0) / self.total
            self.mean_t = (self.stiff * slope * sign).sum(axis=0) / self.total
            of_raw, of_t = slope - self.mean, slope * sign - self.mean_t
            rr = rr + (self.stiff * of_raw**2).sum(axis=0)
            rt = rt + (self.stiff * of_raw * of_t).sum(axis=0)
            tt = tt + (self.stiff * of_t**2).sum(axis=0)
        return rr, rt, tt

    def pull(self, mu, corrector):
        """The barrier's gradient by sample in raw and t."""
        sign, slope = self.pieces.sign, self.slope
        if not self.lifted:
            return self.weight * slope[0], self.weight * slope[0] * sign[0]
        self.kappa = (mu * self.weight + corrector) / self.slack
        of_raw = self.weight * self.mean + (self.kappa * (slope - self.mean)).sum(axis=0)
        of_t = self.weight * self.mean_t + (self.kappa * (slope * sign - self.mean_t)).sum(axis=0)
        return of_raw, of_t

    def direction(self, system, mu, correctors):
        """Newton's step towards slacks times multipliers of mu."""
        of_raw, of_t = self.pull(mu, correctors[0])
        gradient = np.append(
            self.design.transposed(of_raw) + self.l2 * self.point.z, float(np.sum(of_t))
        )
        if self.norm is None:
            gradient[-1] = 0.0
        else:
            of_norm = mu * self.share
            left = self.norm.reduced(self.v(self.point.z), of_norm, correctors[1]).gradient
            gradient[self.at] += self.delta * left[:-1]
            gradient[-1] += left[-1]
        step = -system.solve(gradient)
        dz, dt = step[:-1], float(step[-1])
        made = Step(dz, dt, self.design.products(dz), float(gradient @ step))
        if self.lifted:
            moves = self.slope * (made.raw + self.pieces.sign * dt)
            made.q = ((self.stiff * moves).sum(axis=0) - self.weight + self.kappa.sum(axis=0)) / (
                self.total
            )
            made.samples = moves - made.q
            made.multiplier = (
                self.point.multiplier * made.samples + mu * self.weight + correctors[0]
            ) / self.slack - self.point.multiplier
        if self.norm is not None:
            made.own, made.norm = self.norm.changes(self.v(self.point.z), self.v(dz), dt)
            made.of_norm = self.norm.stepped(made.norm, of_norm, correctors[1])
        return made

    def longest(self, step, share):
        """How far a step may go, at most 1, for slacks and for multipliers to stay positive."""
        pairs = []
        if self.lifted:
            pairs += [(self.slack, -step.samples), (self.point.multiplier, step.multiplier)]
        if self.norm is not None:
            pairs += [(self.norm.slack, -step.norm), (self.norm.multiplier, step.of_norm)]
        return min([1.0, *(share * far(at, change) for at, change in pairs)])

    def after(self, step, length):
        """The mean of slacks times multipliers that a step leads to, to first order."""
        total = 0.0
        if self.lifted:
            slack = self.slack - length * step.samples
            total += float((slack * (self.point.multiplier + length * step.multiplier)).sum())
        if self.norm is not None:
            slack = self.norm.slack - length * step.norm
            total += float((slack * (self.norm.multiplier + length * step.of_norm)).sum())
        return total / self.count

    def barrier(self, value, of_samples, of_norm, mu):
        made = float((self.weight * np.log(of_samples)).sum()) if self.lifted else 0.0
        if self.norm is not None:
            made += self.share * float(np.log(of_norm).sum())
        return value - mu * made

    def advance(self):
        """One step; False where none leads down, however short.

        Losses that are straight somewhere leave Newton's equations without curvature there: then
        some is added, as much as it takes.
        """
        damping = self.damping
        while damping < MOST_DAMPING:
            if self.tried(damping):
                self.short = self.short + 1 if self.length < 0.1 else 0
                if self.length < SHORT:
                    self.damping = max(10.0 * damping, LEAST_DAMPING)
                else:
                    self.damping = 0.1 * damping if damping > LEAST_DAMPING else 0.0
                return True
            damping = max(10.0 * damping, LEAST_DAMPING)
        return False

    def tried(self, damping):
        """Predictor and corrector; whether they led down."""
        mu = self.mu()
        zero = (0.0, 0.0)
        try:
            system = self.system(damping)
        except LinAlgError:
            return False
        if not self.count:
            return self.go(self.direction(system, 0.0, zero), 0.0)
        if self.held is not None:
            step = self.direction(system, self.held, zero)
            if not self.go(step, self.held):
                return False
            if -step.descent < CENTRED * self.held * self.count:
                self.held = None if self.length > 0.9 and not self.stays else 0.1 * self.held
            return True
        ahead = self.direction(system, 0.0, zero)
        length = self.longest(ahead, 1.0)
        target = mu * min(max((self.after(ahead, length) / mu) ** 3, 1e-4), 1.0)
        target = max(target, 0.3 * mu) if length < 0.1 else target
        correctors = (
            ahead.samples * ahead.multiplier if self.lifted else 0.0,
            ahead.norm * ahead.of_norm if self.norm is not None else 0.0,
        )
        step = self.direction(system, target, correctors)
        if self.longest(step, 1.0) > 0.1 and self.go(step, target, 1.0):
            return True
        return any(self.go(self.direction(system, m, zero), m) for m in (max(target, 0.3 * mu), mu))

    def go(self, step, mu, least=0.0):
        """Take a step as far as the barrier function falls; whether it did.

        A step with a corrector is tried at full length, and once at half, as it need not lead down.
        """
        point, norm = self.point, self.norm
        length = self.longest(step, SHARE)
        slack, left = self.slack if self.lifted else 1.0, norm.slack if norm is not None else 1.0
        value = self.lifted_value(point.q, self.values, point.z)
        before = self.barrier(value, slack, left, mu)
        slope = self.slope_along(step, mu)
        rounding = 1e-13 * (1.0 + abs(before))
        for _ in range(2 if least else HALVINGS):
            z = point.z + length * step.z
            raw = point.raw + length * step.raw
            own, t = None, 0.0
            if norm is not None:
                v = self.v(z)
                own = norm.moved(v, norm.own + length * step.own, norm.slack - length * step.norm)
                t = norm.value_of(own)
                left = norm.slacks(v, own)
            with np.errstate(over="ignore", invalid="ignore"):
                values = self.pieces.values(raw, t)
                q = None
                if self.lifted:
                    expected = self.slack - length * step.samples
                    q = point.q + length * step.q
                    # Curved pieces end above their tangents: q is lifted by as much.
                    q = q + np.maximum((values + expected - q).max(axis=0), 0.0)
                    slack = q - values
                value = self.lifted_value(q, values, z)
            if math.isfinite(value) and np.all(slack > 0) and np.all(left > 0):
                now = self.barrier(value, slack, left, mu)
                if now <= before + 1e-4 * length * min(slope, 0.0) + rounding:
                    break
            length *= 0.5
        else:
            return False
        multiplier = point.multiplier
        if self.lifted:
            multiplier = self.trusted(
                multiplier + length * step.multiplier, slack, mu * self.weight
            )
        if norm is not None:
            norm.own, norm.slack = own, left
            multiplier_of_norm = norm.multiplier + length * step.of_norm
            norm.multiplier = self.trusted(multiplier_of_norm, left, mu * self.share)
        self.point = Point(z, q, multiplier, self.design.products(z))
        self.length = length
        self.look()
        return True

    def trusted(self, multiplier, slack, mu):
        """Multipliers that are not too far from ``mu / slack``."""
        own, factor = mu / slack, TRUST if self.held is None else HELD_TRUST
        return np.clip(multiplier, own / factor, own * factor)

    def lifted_value(self, q, values, z):
        made = float(self.weight @ (q if self.lifted else values[0]))
        return made + 0.5 * float(self.l2 @ z**2)

    def slope_along(self, step, mu):
        """The derivative of the barrier function along a step."""
        z = self.point.z
        made = float((self.l2 * z) @ step.z)
        if self.lifted:
            made += float(self.weight @ step.q)
            made += mu * float((self.weight * step.samples / self.slack).sum())
        else:
            made += float(self.weight @ (self.slope[0] * (step.raw + self.pieces.sign[0] * step.t)))
        if self.norm is not None:
            made += mu * self.share * float((step.norm / self.norm.slack).sum())
        return made

    def system(self, damping):
        rr, rt, tt = self.blocks()
        if damping:
            more = damping * min(self.value - self.floor, 1.0) * self.weight
            rr, tt = rr + more, tt + more
        left = None
        if self.norm is not None:
            left = self.norm.reduced(self.v(self.point.z), 0.0, 0.0)
        return System(self, rr, rt, float(tt.sum()), left)

    # ------------------------------------------------------------------------------------------ all

    def run(self, tol, max_iter):
        """Steps until the objective is within `tol` of its size of the bound.

        Returns
        -------
        found : Found
        """
        zero = np.zeros(self.width)
        best, value = zero, self.objective(zero)
        bound, made = self.floor, 0
        least, since, late = math.inf, 0, 0
        with one_thread_in_blas():
            while True:
                z, now = self.point.z, self.objective(self.point.z, self.point.raw)
                if now < value:
                    best, value = z, now
                self.value = value
                bound = max(bound, self.bound())
                wanted, enough = (tol * max(value - self.floor, least) for least in SIZES)
                if self.endless and value - self.floor < PARTED and self.parted(z):
                    return Found(z, now, bound, made, True)
                if value - bound <= wanted:
                    found = self.ended(best, value, bound, made, wanted)
                    # Weights that tend to 0 may need a few steps more to be taken for it.
                    if late == LATE or np.array_equal(found.z, self.rounded(found.z)):
                        return found
                    late += 1
                gap = now - bound
                least, since = (gap, 0) if gap < 0.9 * least else (least, since + 1)
                if self.count and self.held is None:
                    self.hold(gap, since)
                near = value - bound <= enough
                if (near and since > PATIENCE) or made >= max_iter or not self.advance():
                    return self.ended(best, value, bound, made, max(wanted, enough))
                made += 1

    def parted(self, z):
        """Whether no attack gets a sample across the boundary."""
        t = 0.0 if self.norm is None else float(self.norm.dual(self.v(z)))
        return self.pieces.withstand(self.point.raw, t)

    def hold(self, gap, since):
        """Hold the target where steps are short, or have not closed the gap for long."""
        if since >= PATIENCE:
            self.held, self.stays = max(self.mu(), 0.1 * gap / self.count), True
        elif self.short == 2:
            self.held, self.short = self.mu(), 0

    def ended(self, best, value, bound, made, allowed):
        """What is found: with zeros for the weights that tend to it, where that is as good."""
        for z in (np.zeros(self.width), self.rounded(self.point.z)):
            of_z = self.objective(z)
            if of_z - bound <= allowed:
                return Found(z, of_z, bound, made, True)
        return Found(best, value, bound, made, value - bound <= allowed)

    def rounded(self, z):
        """z with 0 for the weights that tend to it."""
        if self.norm is None:
            return z
        z = z.copy()
        z[self.at[self.norm.at_zero()]] = 0.0
        return z


@dataclass
class Step:
    """Changes of all variables; `samples` and `norm` are those of the constraints."""

    z: np.ndarray
    t: float
    raw: np.ndarray
    descent: float
    q: np.ndarray | None = None
    samples: np.ndarray | None = None
    multiplier: np.ndarray | None = None
    own: object = None
    norm: np.ndarray | None = None
    of_norm: np.ndarray | None = None


class System:
    """Newton's equations in (z, t): one factor, many right sides.

    Parameters
    ----------
    fit : Interior
    rr, rt : ndarray of shape (n,)
    tt : float
    left : Reduced or None
        What the norm's constraints leave.
    """

    def __init__(self, fit, rr, rt, tt, left):
        design, width, at, delta = fit.design, fit.width, fit.at, fit.delta
        matrix = np.zeros((width + 1, width + 1))
        matrix[:width, :width] = design.gram(np.ascontiguousarray(rr))
        inner = np.arange(width)
        matrix[inner, inner] += fit.l2
        if left is None:
            matrix[-1, -1] = 1.0
        else:
            self.of_t = design.transposed(rt)
            matrix[:width, -1] = self.of_t
            matrix[at, at] += delta**2 * left.diagonal
            matrix[at, -1] += delta * left.cross
            matrix[-1, -1] = tt + left.corner
            along = np.zeros(width + 1)
            along[at], along[-1] = delta * left.along[:-1], left.along[-1]
            matrix += left.weight * np.outer(along, along)
            matrix[-1, :width] = matrix[:width, -1]
        self.fit, self.rr, self.rt, self.tt, self.left = fit, rr, rt, tt, left
        self.factor = factor_of(matrix)

    def times(self, step):
        """The matrix times a step, by products with the design, which lose fewer digits."""
        fit, left, z, t = self.fit, self.left, step[:-1], step[-1]
        of_raw = fit.design.products(z)
        made = np.append(fit.design.transposed(self.rr * of_raw) + fit.l2 * z, t)
        if left is not None:
            at, delta, v = fit.at, fit.delta, fit.v(z)
            made[:-1] += t * self.of_t
            made[-1] = (self.tt + left.corner) * t + float(self.rt @ of_raw) + float(left.cross @ v)
            along = left.weight * (float(left.along[:-1] @ v) + left.along[-1] * t)
            made[at] += delta * (left.diagonal * v + left.cross * t + along * left.along[:-1])
            made[-1] += along * left.along[-1]
        return made

    def solve(self, right):
        made = cho_solve(self.factor, right, check_finite=False)
        size = np.inf
        for _ in range(REFINED):
            left = right - self.times(made)
            before, size = size, float(np.abs(left).max())
            if not size < 0.5 * before:
                break
            made = made + cho_solve(self.factor, left, check_finite=False)
        return made


def factor_of(matrix):
    """The Cholesky factor, of a matrix with a little more on its diagonal where it needs that."""
    scale = np.diag(matrix)
    scale = np.where(scale > 0, scale, 1.0)
    ridge = RIDGE
    while True:
        try:
            return cho_factor(matrix + np.diag(ridge * scale), lower=True, check_finite=False)
        except LinAlgError:
            ridge *= 100.0
            if not ridge < 1.0:
                raise


def far(at, change):
    """How far positive numbers may change until one is 0."""
    down = change < 0
    return float((at[down] / -change[down]).min(initial=math.inf)) if down.any() else math.inf
