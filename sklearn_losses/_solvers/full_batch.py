"""Descents that take all samples at each iteration: proximal gradient, and SciPy's L-BFGS-B.

The vector of the coordinates is on the host; of data on a device the objective and its gradient are
computed there.
"""

import math

import numpy as np
from scipy.optimize import minimize

from sklearn_losses._array import to_host
from sklearn_losses._quadratic import Quadratic
from sklearn_losses._solvers.coordinates import (
    Sample,
    curvature_coordinates,
    loss_units,
)
from sklearn_losses._solvers.design import one_thread_in_blas
from sklearn_losses._solvers.fit import Descent, Epoch, Model
from sklearn_losses._solvers.gap import Gap, least_gradient, rounding_of, tolerated
from sklearn_losses._solvers.objective import NARROWER, Objective, smooth_stages
from sklearn_losses._solvers.occurring import Occurring
from sklearn_losses._states import (
    array_like,
    dict_of,
    gap_of,
    list_of,
    lowest,
    number,
    optional,
    whole,
)

# A stage of smooth losses ends when its own gap is this share of what smoothing changes.
STAGE_SHARE = 0.25
# From stages whose error is at most so many times the tolerated gap the minimum is foreseen.
NEARLY = 1000.0
# L-BFGS-B begins again from where a line search gave up, so often without a gain at most.
RESTARTS = 2
# Changes of the objective below this share of it are taken from its gradients.
SMALL = 1e-11
# Where a loss is not finite, its line search is led to this share of the step.
BACK = 0.1


class FullBatch(Descent):
    """What both descents share: stages, the state of the model, when it has converged.

    Parameters
    ----------
    data : Data
    settings : Settings
    model : Model
        Where to start.
    reference : Reference
    """

    needs = ("schedule", "slope")
    own_criterion = True
    noisy = False

    def __init__(self, data, settings, model, reference):
        self.occurring = Occurring(data, settings, to_host(model))
        data, settings, model = (getattr(self.occurring, x) for x in ("data", "settings", "model"))
        self.settings = settings
        self.reference = reference
        self.data = data
        self.stages = smooth_stages(data)
        self.stage = 0
        self.dtype = data.X.dtype
        self.weight_factor = data.weight_factor()
        self.fixed_intercept = np.array(model.intercept, dtype=np.float64)
        length = loss_units(Sample(data), reference.constants).length
        parts = settings.parts()
        self.own = settings.own if parts is None else None  # parts need no operator of their own
        l1, self.quadratic = (0.0, Quadratic(0.0)) if parts is None else parts
        self.coordinates = curvature_coordinates(
            data.columns, length, settings.fit_intercept, self.quadratic.diagonal()
        )
        unit = self.coordinates.unit
        self.objectives = [self._made(self.stages[0][0])]
        n_outputs = data.n_outputs
        free = np.full(n_outputs if settings.fit_intercept else 0, np.inf)
        low, high = (
            np.full(unit.shape, bound) if given is None else given / unit
            for given, bound in ((settings.low, -np.inf), (settings.high, np.inf))
        )
        self.low = np.concatenate([low.ravel(), -free])
        self.high = np.concatenate([high.ravel(), free])
        self.bounded = settings.low is not None
        self.l1 = np.zeros(len(self.low))
        self.l1[: unit.size] = (l1 * unit).ravel()
        self.has_l1, self.has_l2 = bool(np.any(l1)), bool(self.quadratic)
        self.holds = self.has_l1 or self.bounded or self.own is not None
        self.z = self.objectives[0].join(model.coef, model.intercept)
        if self.bounded:
            self.z = np.clip(self.z, self.low, self.high)
        self.rate = math.nan
        self.gap = Gap()
        # Where the stage began, and how far this one and that before went.
        self.began, self.distance, self.distance_before = self.z, 0.0, 1.0
        self.true = None  # the loss itself, where stages are smooth ones
        self.best = (math.inf, None)

    def _made(self, data):
        return Objective(
            data,
            self.settings,
            self.coordinates,
            self.quadratic,
            self.weight_factor,
            self.fixed_intercept,
        )

    def objective(self):
        """That of the present stage."""
        while len(self.objectives) <= self.stage:
            self.objectives.append(self._made(self.stages[len(self.objectives)][0]))
        return self.objectives[self.stage]

    def least(self, z, gradient):
        """The least generalised gradient: 0 where a coordinate is held by penalty or bounds."""
        if self.own is not None:
            unit = self.coordinates.unit
            at = self.weights(z), gradient[: unit.size].reshape(unit.shape) / unit
            return self.with_weights(gradient, self.own.violation(*at) * unit)
        low, high = (self.low, self.high) if self.bounded else (None, None)
        return least_gradient(z, gradient, self.l1, low, high)

    def weights(self, z):
        """Those of a vector of coordinates."""
        unit = self.coordinates.unit
        coef = z[: unit.size].reshape(unit.shape) * unit
        if not self.bounded:
            return coef
        return np.clip(coef, self.settings.low, self.settings.high)

    @staticmethod
    def with_weights(vector, of_weights):
        """A vector with other parts of the weights."""
        return np.concatenate([of_weights.ravel(), vector[of_weights.size :]])

    def penalised(self, z, value):
        if self.own is not None:
            return value + self.own.value(self.weights(z))
        return value + float(np.vdot(self.l1, np.abs(z))) if self.has_l1 else value

    def allowed(self, value):
        """The gap at which the present stage ends."""
        tol = self.settings.tol
        error = self.stages[self.stage][1]
        if error and self.narrower(error, value):
            return STAGE_SHARE * error
        allowed = 0.0 if tol is None else tolerated(tol, self.reference, value)
        return max(allowed, self.rounding(value)) if error else allowed

    def rounding(self, value):
        return rounding_of(self.reference, value, self.dtype)

    def narrower(self, error, value):
        """Whether another stage follows one with that error."""
        if self.stage + 1 == len(self.stages):
            return False
        tol = self.settings.tol
        return tol is None or error > tolerated(tol, self.reference, value)

    def reached(self, z, value, gradient, fell):
        """Whether the stage is at its minimum; `fell`: by how much the last iteration lowered it,
        or None where no step lowers it any more."""
        if fell is not None:
            self.gap.see(z, gradient)
            self.gap.falls.append(fell)
        allowed, rounding = self.allowed(value), self.rounding(value)
        if fell is None:
            allowed = max(allowed, rounding)
        elif not self.gap.knows():
            return False
        elif len(self.stages) == 1 and self.gap.extrapolated() > max(allowed, rounding):
            return False
        return self.estimate(z, self.least(z, gradient)) <= allowed

    def estimate(self, z, least):
        """Of the gap at z, where the least generalised gradient is `least`."""
        free = (least != 0.0) if self.holds else None
        return self.gap.estimate(least, free)

    def next_stage(self, value):
        """Go on to the next stage, where another follows."""
        self.keep_best()
        if not self.narrower(self.stages[self.stage][1], value):
            return False
        self.stage += 1
        self.gap.forget()
        self.began, self.distance_before = self.z, self.distance
        return True

    def keep_best(self):
        """Of the ends of stages the one with the least loss itself."""
        if len(self.stages) == 1:
            return
        if self.true is None:
            self.true = self._made(self.data)
        value = self.penalised(self.z, self.true(self.z)[0])
        if value <= self.best[0]:
            self.best = (value, self.z.copy())

    def epoch_at(self, z, value, rate, ended=None):
        objective = self.penalised(z, value)
        made = self.objective()
        return Epoch(
            made.loss, objective, made.gradient_norm, rate, 1, math.isfinite(objective), ended
        )

    def save(self):
        return bool(np.isfinite(self.z).all())

    def model(self):
        z = self.z if self.best[1] is None else self.best[1]
        coef, intercept = self.objectives[0].split(z)
        loss = self.data.losses[0]
        if loss.is_multiclass and loss.shift_is_nothing and self.has_l2 and not self.has_l1:
            if not self.bounded:
                # What all classes share is nothing to the loss: along it the penalty bends alone,
                # too little for the gap to be seen there.
                coef = coef.astype(np.float64)
                coef -= self.quadratic.away(coef).mean(axis=0)
        made = Model(coef.astype(self.dtype), np.array(intercept, dtype=np.float64))
        return self.occurring.widened(made)

    public_model = model


class GradientDescent(FullBatch):
    """Proximal gradient descent; the trial step has the Barzilai-Borwein length."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.length = 1.0
        self.value = self.gradient = None

    def allowed(self, value):
        # Next to narrow kinks gradients lead nowhere: the stages before are to end close.
        tol = self.settings.tol
        allowed = 0.0 if tol is None else tolerated(tol, self.reference, value)
        return max(allowed, self.rounding(value)) if len(self.stages) > 1 else allowed

    def prox(self, z, length):
        if self.own is not None:
            unit = self.coordinates.unit
            coef = z[: unit.size].reshape(unit.shape) * unit
            z = self.with_weights(z, self.own.prox(coef, length * unit**2) / unit)
        if self.has_l1:
            z = np.copysign(np.maximum(np.abs(z) - length * self.l1, 0.0), z)
        return np.clip(z, self.low, self.high) if self.bounded else z

    def epoch(self, number, stop):
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
        objective = self.objective()
        if self.gradient is None:
            self.value, self.gradient = objective(self.z)
            if not math.isfinite(self.value):
                return self.epoch_at(self.z, math.nan, self.length)
            if self.settings.tol is not None and self.gap.last is None:
                least = self.least(self.z, self.gradient)
                if 0.5 * float(least @ least) <= self.rounding(self.value):
                    return self.at_end(self.length)  # it starts at the minimum
        length = self.length
        while True:
            z = self.prox(self.z - length * self.gradient, length)
            move = z - self.z
            value, gradient = objective(z)
            model = self.value + float(np.vdot(self.gradient, move))
            model += float(np.vdot(move, move)) / (2 * length)
            # Differences of values below their rounding say nothing.
            if value <= model + 4 * np.finfo(self.dtype).eps * abs(self.value):
                break
            length /= 2
            if length < 1e-300 or not move.any():
                return self.at_end(length)
        change = gradient - self.gradient
        curvature = float(np.vdot(move, change))
        square = float(np.vdot(move, move))
        self.length = min(square / curvature, 1e10 * length) if curvature > 0 else 2 * length
        fell = self.penalised(self.z, self.value) - self.penalised(z, value)
        self.z, self.value, self.gradient = z, value, gradient
        ended = None
        if self.reached(z, self.penalised(z, value), gradient, fell):
            if self.next_stage(value):
                self.gradient = None
            elif self.settings.tol is not None:
                ended = "converged"
        return self.epoch_at(z, value, length, ended)

    def at_end(self, length):
        """The epoch in which no step lowers the objective any more."""
        ended = None
        if not self.next_stage(self.value):
            whole = self.penalised(self.z, self.value)
            at_minimum = self.reached(self.z, whole, self.gradient, None)
            at_minimum = at_minimum and self.settings.tol is not None
            ended = "converged" if at_minimum else "line_search"
        self.gradient = None if ended is None else self.gradient
        return self.epoch_at(self.z, self.value, length, ended)

    def get_state(self):
        gap = {"pairs": list(self.gap.pairs), "last": self.gap.last}
        return {"z": self.z, "length": self.length, "stage": self.stage, "gap": gap}

    def set_state(self, state):
        kinds = {
            "z": array_like(self.z),
            "length": number(0, above=True),
            "stage": whole(0, len(self.stages) - 1),
            "gap": gap_of(len(self.z)),
        }
        state = dict_of(kinds)(state, "descent")
        self.z, self.length, self.stage = state["z"], state["length"], state["stage"]
        self.gap.pairs.extend(state["gap"]["pairs"])
        self.gap.last = state["gap"]["last"]
        self.gradient = None


class LimitedMemoryBFGS(FullBatch):
    """SciPy's L-BFGS-B. With L1 each weight is its positive part minus its negative part."""

    needs = (*FullBatch.needs, "parts")
    whole = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.start = self.z.copy()
        self.done = 0  # iterations
        self.ends = []  # errors of the stages that came to their minima, and these
        self.split = self.l1 > 0
        # L-BFGS-B measures differences and first steps against 1. The curvature is about 1, so that
        # coordinates are about the root of what there is to gain: a power of two, for the digits.
        size = self.reference.objective - self.reference.floor
        self.size = size if 0 < size < math.inf else 1.0
        self.unit = 2.0 ** round(math.log2(self.size) / 2)

    def estimate(self, z, least):
        if len(self.stages) == 1:
            return super().estimate(z, least)
        # Next to kinks curvatures say little. A convex function is at most the gradient times the
        # distance above its minimum, and a stage is about as far from it as it moved, or as the
        # root of the width: one that has hardly begun has not moved.
        moved = float(np.linalg.norm(z - self.began))
        self.distance = max(moved, math.sqrt(NARROWER) * self.distance_before)
        return float(np.linalg.norm(least)) * self.distance

    def halves(self, z):
        """Of weights: positive and negative parts; intercepts stand in the first half."""
        if not self.has_l1:
            return z.copy()
        positive = np.where(self.split, np.maximum(z, 0.0), z)
        return np.concatenate([positive, np.maximum(-z, 0.0)[self.split]])

    def whole_of(self, halves):
        z = halves[: len(self.low)].copy()
        if self.has_l1:
            z[self.split] -= halves[len(self.low) :]
        return z

    def split_bounds(self):
        if not (self.has_l1 or self.bounded):
            return None
        split = self.split
        low = np.where(split, np.maximum(self.low, 0.0), self.low)
        high = np.where(split, np.maximum(self.high, 0.0), self.high)
        low = np.concatenate([low, np.maximum(-self.high, 0.0)[split]])
        high = np.concatenate([high, np.maximum(-self.low, 0.0)[split]])
        return np.stack([low, high], axis=1) / self.unit

    def run(self, fit):
        """All iterations; those of a fit that is resumed are made again first."""
        replay, reached = self.done, self.z
        self.z = self.start.copy()
        self.done = 0
        self.best, self.ends = (math.inf, None), []
        try:
            # L-BFGS-B's own vectors are short: threads in BLAS only wait for each other.
            with one_thread_in_blas():
                while self.minimise(fit, replay):
                    pass
        except KeyboardInterrupt:
            if self.done < replay:
                self.z, self.done = reached, replay
            raise

    def minimise(self, fit, replay):
        """One stage; whether another follows."""
        before = math.inf
        tries = RESTARTS
        while True:
            ended, value = self.descend(fit, replay)
            if fit.stop_reason is not None:
                self.keep_best()
                return False
            if ended or tries == 0:
                break
            # Rounding or a bad model of the curvature: it may go on with a new one.
            tries = (
                RESTARTS
                if before - value > 1e-9 * abs(before - self.reference.floor)
                else (tries - 1)
            )
            before = value
        if not ended:
            self.distance = max(self.distance, self.distance_before)
        if ended:
            self.ends.append((self.stages[self.stage][1], value))
        if self.next_stage(value):
            return True
        ended = ended or self.foreseen()
        fit.stop_reason = "converged" if ended and self.settings.tol is not None else "line_search"
        return False

    def foreseen(self):
        """Whether the loss itself is where the minima of stages lead: they differ from it by about
        their widths. Next to the narrowest kinks rounding hides what a line search could gain."""
        tol = self.settings.tol
        if tol is None or len(self.ends) < 2 or self.best[1] is None:
            return False
        (wide, before), (narrow, last) = self.ends[-2:]
        limit = last + (last - before) * narrow / (wide - narrow)
        allowed = tolerated(tol, self.reference, self.best[0])
        return abs(self.best[0] - limit) <= allowed and narrow <= NEARLY * allowed

    def descend(self, fit, replay):
        """L-BFGS-B from the present point: whether it came to the minimum, and the value."""
        objective = self.objective()
        size, unit = self.size, self.unit
        split = self.split
        seen = {}  # what was evaluated last
        base = {}  # the last iterate

        def function(x):
            halves = x * unit
            z = self.whole_of(halves)
            value, gradient = objective(z)
            whole = self.penalised_halves(halves, value)
            if not math.isfinite(whole):
                if not base:
                    raise fit.diverged(self.epoch_at(z, math.nan, math.nan))
                return led_back(halves, base)
            seen.update(z=z, value=value, gradient=gradient, loss=objective.loss)
            seen["norm"] = objective.gradient_norm
            if self.has_l1:
                gradient = np.concatenate([gradient + self.l1, (self.l1 - gradient)[split]])
            if base and len(self.stages) == 1:
                change = whole - base["whole"]
                if abs(change) <= SMALL * (abs(whole) + size):
                    # By the mean of both slopes, to the third order: rounding hides less of it.
                    step = halves - base["halves"]
                    change = 0.5 * float((gradient + base["halves_gradient"]) @ step)
                whole = base["whole"] + change
            seen.update(whole=whole, halves_gradient=gradient)
            if not base:
                base.update(halves=halves, **seen)
            return whole / size, gradient * (unit / size)

        def led_back(halves, base):
            """A parabola along the step whose least value is at BACK of it: L-BFGS-B's line search,
            which infinity ends, goes there."""
            step = halves - base["halves"]
            slope = float(base["halves_gradient"] @ step)
            slope = slope if slope < 0 else -1.0
            bend = -slope / BACK
            value = base["whole"] + slope + bend / 2
            direction = step * ((slope + bend) / max(float(step @ step), 1e-300))
            return value / size, direction * (unit / size)

        state = {"ended": False}

        def after(intermediate_result):
            if fit.stop is not None and fit.stop.is_set():
                raise KeyboardInterrupt
            halves = intermediate_result.x * unit
            if not np.array_equal(self.whole_of(halves), seen["z"]):
                function(intermediate_result.x)
            fell = base["whole"] - seen["whole"]
            base.update(halves=halves, **seen)
            self.z = seen["z"]
            self.done += 1
            reached = self.reached(
                self.z, self.penalised(self.z, seen["value"]), seen["gradient"], fell
            )
            if self.done > replay:
                fit.begin()
                if fit.after(self.epoch_at_last(seen)):
                    raise StopIteration
            if reached:
                state["ended"] = True
                raise StopIteration

        minimize(
            function,
            self.halves(self.z) / unit,
            jac=True,
            method="L-BFGS-B",
            bounds=self.split_bounds(),
            callback=after,
            options={
                "maxiter": 2**31 - 1,
                "maxfun": 2**31 - 1,
                "maxls": 50,
                "maxcor": self.settings.optimizer.corrections,
                "gtol": 0.0,
                "ftol": 0.0,
            },
        )
        value = self.penalised(base["z"], base["value"])
        if fit.stop_reason is None and not state["ended"]:
            self.z = base["z"]
            if fit.n_iter == 0 and replay == 0:  # it started at the minimum
                fit.begin()
                fit.after(self.epoch_at_last(base))
            state["ended"] = self.reached(self.z, value, base["gradient"], None)
        return state["ended"], value

    def penalised_halves(self, halves, value):
        if not self.has_l1:
            return value
        n = len(self.low)
        return value + float(self.l1[self.split] @ (halves[:n][self.split] + halves[n:]))

    def epoch_at_last(self, seen):
        # Not the value of L-BFGS-B, in which both parts of a weight may be positive.
        objective = self.penalised(seen["z"], seen["value"])
        return Epoch(seen["loss"], objective, seen["norm"], math.nan, 1)

    def get_state(self):
        return {"start": self.start, "done": self.done, "z": self.z, "best": self.best}

    def set_state(self, state):
        vector = array_like(self.z)
        best = list_of([lowest, optional(vector)])
        kinds = {"start": vector, "done": whole(), "z": vector, "best": best}
        state = dict_of(kinds)(state, "descent")
        self.start, self.done, self.z = state["start"], state["done"], state["z"]
        self.best = state["best"]
