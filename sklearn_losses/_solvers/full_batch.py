"""Descents that take all samples at each iteration: proximal gradient, and SciPy's L-BFGS-B.

The vector of the weights is on the host; of data on a device the objective and its gradient are
computed there.
"""

import math
from dataclasses import replace
from functools import cache

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from sklearn_losses._array import array_namespace, to_host
from sklearn_losses._solvers.batches import problem_of
from sklearn_losses._solvers.engines import problem_class
from sklearn_losses._solvers.fit import Epoch, Model
from sklearn_losses._states import array_like, dict_of, number, whole

# A loss without derivative is followed through smooth ones whose width falls by this factor, from
# the spread of the targets to FINEST of it.
NARROWER = 0.1
FINEST = 1e-7
# Where stages before the last end without `tol`.
STAGE_TOL = 1e-6


@cache
def threadpools():
    return ThreadpoolController()


def smooth_stages(data):
    """The data with the losses to minimise one after the other: the loss itself, where it has a
    derivative."""
    if all(loss.differentiable for loss in data.losses):
        return [data]
    if any(loss._smoothed(1.0) is None for loss in data.losses):
        raise ValueError(
            f"{data.losses[0]!r} has no derivative, and no smooth counterpart: full-batch "
            "optimizers cannot minimise it; use one that steps, such as optimizer='adagrad'"
        )
    spread = 1.0
    if data.losses[0].task == "regression":
        spread = float(array_namespace(data.y).std(data.y)) or 1.0
    stages = []
    width = spread
    while width >= FINEST * spread:
        smoothed = [loss._smoothed(width) for loss in data.losses]
        factor = smoothed[0][1](data.y)
        weight = data.sample_weight
        if factor is not None:
            weight = factor if weight is None else weight * factor
        stages.append(replace(data, losses=[loss for loss, _ in smoothed], sample_weight=weight))
        width *= NARROWER
    return stages


class Objective:
    """The smooth part of the objective as a function of one vector: weights, then intercepts."""

    def __init__(self, data, settings, scale):
        self.problem = problem_class(data.X)(
            data.X,
            data.y,
            data.losses,
            data.n_outputs,
            **{
                **problem_of(data, settings, batch_size=data.n_training()),
                "weight_factor": scale,
            },
        )
        self.shape = (data.n_outputs, data.X.shape[1])
        self.n_weights = self.shape[0] * self.shape[1]
        self.fit_intercept = settings.fit_intercept
        self.l2 = settings.l2
        self.loss = self.gradient_norm = math.nan
        self.fixed_intercept = np.zeros(data.n_outputs)

    def split(self, z):
        coef = z[: self.n_weights].reshape(self.shape)
        return coef, z[self.n_weights :] if self.fit_intercept else self.fixed_intercept

    def join(self, coef, intercept):
        parts = [np.asarray(coef, dtype=np.float64).ravel()]
        return np.concatenate([*parts, intercept] if self.fit_intercept else parts)

    def __call__(self, z):
        """Value and gradient; the value is infinite where the loss is not finite."""
        coef, intercept = self.split(z)
        loss, gradient, intercept_gradient = self.problem.value_gradient(coef, intercept)
        self.loss = loss
        square = float(np.vdot(gradient, gradient))
        if self.fit_intercept:
            square += float(np.vdot(intercept_gradient, intercept_gradient))
        self.gradient_norm = math.sqrt(square) if math.isfinite(square) else math.nan
        value = loss + 0.5 * self.l2 * float(np.vdot(coef, coef))
        if not math.isfinite(value):
            value = math.inf
        return value, self.join(gradient + self.l2 * coef, intercept_gradient)


class FullBatch:
    """What both descents share: stages, the state of the model, the optimality condition."""

    own_criterion = True

    def __init__(self, data, settings, loss, model, *, seed=None, relative=True):
        model = to_host(model)
        self.settings = settings
        self.stages = smooth_stages(data)
        self.stage = 0
        self.dtype = data.X.dtype
        scale = problem_of(data, settings, batch_size=1)["weight_factor"]
        self.objectives = [Objective(stage, settings, scale) for stage in self.stages[:1]]
        self.scale = scale
        n_outputs, n_features = self.objectives[0].shape
        free = np.full(n_outputs if settings.fit_intercept else 0, np.inf)
        low, high = (
            np.full(n_features, bound) if given is None else given
            for given, bound in ((settings.low, -np.inf), (settings.high, np.inf))
        )
        self.low = np.concatenate([np.tile(low, n_outputs).astype(np.float64), -free])
        self.high = np.concatenate([np.tile(high, n_outputs).astype(np.float64), free])
        self.l1 = np.zeros(len(self.low))
        self.l1[: n_outputs * n_features] = settings.l1
        self.objectives[0].fixed_intercept = np.array(model.intercept, dtype=np.float64)
        z = self.objectives[0].join(model.coef, model.intercept)
        self.z = np.clip(z, self.low, self.high)
        self.rate = math.nan

    def objective(self):
        """That of the present stage."""
        while len(self.objectives) <= self.stage:
            made = Objective(self.stages[len(self.objectives)], self.settings, self.scale)
            made.fixed_intercept = self.objectives[0].fixed_intercept
            self.objectives = [*self.objectives, made]
        return self.objectives[self.stage]

    def violation(self, z, gradient):
        """The largest coordinate of the least generalised gradient."""
        down = gradient - self.l1  # the derivative to the left is at least this, to the right ...
        up = gradient + self.l1
        least = np.where(
            z > 0, up, np.where(z < 0, down, np.where(down > 0, down, np.where(up < 0, up, 0.0)))
        )
        least = np.where((z <= self.low) & (least > 0), 0.0, least)
        least = np.where((z >= self.high) & (least < 0), 0.0, least)
        return float(np.abs(least).max(initial=0.0))

    def epoch_at(self, z, value, rate, ended=None):
        objective = value + float(np.vdot(self.l1, np.abs(z)))
        made = self.objective()
        return Epoch(
            made.loss, objective, made.gradient_norm, rate, 1, math.isfinite(objective), ended
        )

    def save(self):
        return bool(np.isfinite(self.z).all())

    def model(self):
        coef, intercept = self.objectives[0].split(self.z)
        return Model(coef.astype(self.dtype), np.array(intercept, dtype=np.float64))

    public_model = model


class GradientDescent(FullBatch):
    """Proximal gradient descent; the trial step has the Barzilai-Borwein length."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.length = 1.0
        self.value = self.gradient = None

    def prox(self, z, length):
        soft = np.copysign(np.maximum(np.abs(z) - length * self.l1, 0.0), z)
        return np.clip(soft, self.low, self.high)

    def epoch(self, number, stop):
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
        objective = self.objective()
        if self.gradient is None:
            self.value, self.gradient = objective(self.z)
            if not math.isfinite(self.value):
                return self.epoch_at(self.z, math.nan, self.length)
        tol = self.settings.tol
        if tol is None and self.stage + 1 < len(self.stages):
            tol = STAGE_TOL
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
                ended = None if self.next_stage() else "line_search"
                return self.epoch_at(self.z, self.value, length, ended)
        change = gradient - self.gradient
        curvature = float(np.vdot(move, change))
        square = float(np.vdot(move, move))
        self.length = min(square / curvature, 1e10 * length) if curvature > 0 else 2 * length
        self.z, self.value, self.gradient = z, value, gradient
        ended = None
        if tol is not None and self.violation(z, gradient) <= tol:
            ended = None if self.next_stage() else "converged"
        return self.epoch_at(z, value, length, ended)

    def next_stage(self):
        """Go on to the next stage; False where this is the last."""
        if self.stage + 1 == len(self.stages):
            return False
        self.stage += 1
        self.gradient = None
        return True

    def get_state(self):
        return {"z": self.z, "length": self.length, "stage": self.stage}

    def set_state(self, state):
        kinds = {
            "z": array_like(self.z),
            "length": number(0, above=True),
            "stage": whole(0, len(self.stages) - 1),
        }
        state = dict_of(kinds)(state, "descent")
        self.z, self.length, self.stage = state["z"], state["length"], state["stage"]
        self.gradient = None


class LimitedMemoryBFGS(FullBatch):
    """SciPy's L-BFGS-B. With L1 each weight is its positive part minus its negative part."""

    whole = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.start = self.z.copy()
        self.done = 0  # iterations

    def halves(self, z):
        """Of weights: positive and negative parts; intercepts stand in the first half."""
        positive = np.where(self.l1 > 0, np.maximum(z, 0.0), z)
        return np.concatenate([positive, np.maximum(-z, 0.0)[self.l1 > 0]])

    def whole_of(self, halves):
        z = halves[: len(self.low)].copy()
        z[self.l1 > 0] -= halves[len(self.low) :]
        return z

    def split_bounds(self):
        split = self.l1 > 0
        low = np.where(split, np.maximum(self.low, 0.0), self.low)
        high = np.where(split, np.maximum(self.high, 0.0), self.high)
        return list(
            zip(
                np.concatenate([low, np.maximum(-self.high, 0.0)[split]]),
                np.concatenate([high, np.maximum(-self.low, 0.0)[split]]),
                strict=True,
            )
        )

    def run(self, fit):
        """All iterations; those of a fit that is resumed are made again first."""
        replay, reached = self.done, self.z
        self.z = self.start.copy()
        self.done = 0
        try:
            # L-BFGS-B's own vectors are short: threads in BLAS only wait for each other.
            with threadpools().limit(limits=1, user_api="blas"):
                for stage in range(len(self.stages)):
                    self.stage = stage
                    if not self.minimise(fit, replay):
                        return
        except KeyboardInterrupt:
            if self.done < replay:
                self.z, self.done = reached, replay
            raise

    def minimise(self, fit, replay):
        """One stage; whether another may follow."""
        objective = self.objective()
        settings = self.settings
        last = self.stage + 1 == len(self.stages)
        split = self.l1 > 0
        seen = {}

        def function(halves):
            z = self.whole_of(halves)
            value, gradient = objective(z)
            if not math.isfinite(value) and not seen:
                raise fit.diverged(self.epoch_at(z, math.nan, math.nan))
            seen.update(loss=objective.loss, norm=objective.gradient_norm, smooth=value)
            value += float(np.vdot(self.l1[split], halves[: len(z)][split] + halves[len(z) :]))
            return value, np.concatenate([gradient + self.l1, (self.l1 - gradient)[split]])

        def made():
            # Not the value of `function`, in which both parts of a weight may be positive.
            value = seen["smooth"] + float(np.vdot(self.l1, np.abs(self.z)))
            return Epoch(seen["loss"], value, seen["norm"], math.nan, 1)

        def after(intermediate_result):
            if fit.stop is not None and fit.stop.is_set():
                raise KeyboardInterrupt
            self.z = self.whole_of(intermediate_result.x)
            self.done += 1
            if self.done <= replay:
                return
            fit.begin()
            if fit.after(made()):
                raise StopIteration

        tol = settings.tol
        result = minimize(
            function,
            self.halves(self.z),
            jac=True,
            method="L-BFGS-B",
            bounds=self.split_bounds(),
            callback=after,
            options={
                "maxiter": 2**31 - 1,
                "maxfun": 2**31 - 1,
                "maxls": 50,
                "maxcor": settings.optimizer.corrections,
                "gtol": 0.0 if tol is None else tol,
                "ftol": 0.0 if tol is None else 4 * np.finfo(self.dtype).eps,
            },
        )
        if fit.stop_reason is not None:
            return False
        self.z = self.whole_of(result.x)
        if not last:
            return True
        if fit.n_iter == 0 and replay == 0:  # it started at the minimum
            fit.begin()
            fit.after(made())
        # SciPy also ends where rounding hides what a step gains.
        _, gradient = objective(self.z)
        reached = tol is not None and self.violation(self.z, gradient) <= tol
        fit.stop_reason = "converged" if reached else "line_search"
        return False

    def get_state(self):
        return {"start": self.start, "done": self.done, "z": self.z}

    def set_state(self, state):
        vector = array_like(self.z)
        state = dict_of({"start": vector, "done": whole(), "z": vector})(state, "descent")
        self.start, self.done, self.z = state["start"], state["done"], state["z"]
