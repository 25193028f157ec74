"""The objective of all samples as a function of one vector, and the smooth losses that lead to one
without derivative."""

import math
from dataclasses import replace

import numpy as np

from sklearn_losses._array import array_namespace
from sklearn_losses._solvers.coordinates import Sample
from sklearn_losses._solvers.engines import make_problem

# A loss without derivative is followed through smooth ones, whose width falls from the spread of
# the targets by this factor, until smoothing changes the objective by less than is tolerated.
NARROWER = 0.2
MOST_STAGES = 14
# Smoothing by a width changes a loss by at most this share of it, times its slope.
SMOOTHING = 0.25


def smooth_stages(data):
    """Data with the losses to minimise one after the other, and by how much each may be above the
    loss itself: one of 0, where the loss has a derivative."""
    if all(loss.differentiable for loss in data.losses):
        return [(data, 0.0)]
    width = 1.0
    if data.losses[0].task == "regression":
        width = float(np.max(Sample(data).spreads()))
    stages = []
    for _ in range(MOST_STAGES):
        smoothed = [loss._smoothed(width) for loss in data.losses]
        factor = smoothed[0][1](data.y)
        weight = data.sample_weight
        error = SMOOTHING * width
        if factor is not None:
            weight = factor if weight is None else weight * factor
            error *= float(array_namespace(factor).mean(factor))
        losses = [loss for loss, _ in smoothed]
        if losses[0].is_joint:
            rest = data.without_columns().training()
            error *= losses[0]._slope_of(rest.y, rest.weights(0))
        stages.append((replace(data, losses=losses, sample_weight=weight), error))
        width *= NARROWER
    return stages


class Objective:
    """The smooth part of the objective as a function of one vector: the weights' coordinates, then
    the intercepts', at the columns' center.

    Parameters
    ----------
    data : Data
        With the losses of the stage.
    settings : Settings
    coordinates : Coordinates
    quadratic : Quadratic
        The part of the penalty that is one.
    weight_factor : float
        Of the fit's own sample weights: those of a smooth counterpart are no weights.
    fixed_intercept : ndarray of shape (n_outputs,)
        The intercepts where none are fitted.
    """

    def __init__(self, data, settings, coordinates, quadratic, weight_factor, fixed_intercept):
        self.problem = make_problem(data, settings, weight_factor=weight_factor)
        self.dtype = data.X.dtype
        self.coordinates = coordinates
        self.shape = (data.n_outputs, data.X.shape[1])
        self.n_weights = self.shape[0] * self.shape[1]
        self.fit_intercept = settings.fit_intercept
        self.quadratic, self.bends = quadratic, bool(quadratic)
        self.low, self.high = settings.low, settings.high
        self.loss = self.gradient_norm = math.nan
        self.fixed_intercept = fixed_intercept
        moves = data.moving(self.shape[1] + 1)
        self.moves = 1.0
        self.sees = 1.0 if moves is None else moves[:, :-1]
        if moves is not None:
            # There is an intercept: heads have one each.
            self.moves = np.concatenate([moves[:, :-1].ravel(), moves[:, -1]])

    def split(self, z):
        """Weights, in X's type, and the intercepts that go with what they were rounded to."""
        made = self.coordinates
        coef = z[: self.n_weights].reshape(self.shape) * made.unit
        if self.low is not None:  # over a unit and back may be an ulp away
            v = z[: self.n_weights].reshape(self.shape)
            coef = np.where(v <= self.low / made.unit, self.low, coef)
            coef = np.where(v >= self.high / made.unit, self.high, coef)
        coef = coef.astype(self.dtype)
        if not self.fit_intercept:
            return coef, self.fixed_intercept
        intercept = z[self.n_weights :] * made.intercept_unit
        if made.center is not None:
            intercept = intercept - coef.astype(np.float64) @ made.center
        return coef, intercept

    def join(self, coef, intercept):
        """The vector of a model."""
        made = self.coordinates
        coef = np.asarray(coef, dtype=np.float64)
        parts = [(coef / made.unit * self.sees).ravel()]
        if self.fit_intercept:
            if made.center is not None:
                intercept = intercept + coef @ made.center
            parts.append(intercept / made.intercept_unit)
        return np.concatenate(parts)

    def __call__(self, z):
        """Value and gradient; the value is infinite where the loss is not finite."""
        coef, intercept = self.split(z)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._value_gradient(coef, intercept)

    def _value_gradient(self, coef, intercept):
        made = self.coordinates
        loss, gradient, of_intercept = self.problem.value_gradient(coef, intercept)
        self.loss = loss
        square = float(np.vdot(gradient, gradient))
        if self.fit_intercept:
            square += float(np.vdot(of_intercept, of_intercept))
        self.gradient_norm = math.sqrt(square) if math.isfinite(square) else math.nan
        if made.center is not None:
            gradient -= of_intercept[:, None] * made.center
        if self.bends:
            coef = coef.astype(np.float64, copy=False)
            loss += self.quadratic.value(coef)
            gradient += self.quadratic.gradient(coef)
        gradient *= made.unit
        parts = [gradient.ravel()]
        if self.fit_intercept:
            parts.append(of_intercept * made.intercept_unit)
        whole = np.concatenate(parts) if len(parts) > 1 else parts[0]
        whole *= self.moves
        if not (math.isfinite(loss) and np.isfinite(whole).all()):
            loss = math.inf
        return loss, whole
