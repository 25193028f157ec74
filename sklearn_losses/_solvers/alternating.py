"""Losses of several heads each of which is convex with the others where they are: one head after
the other goes to its minimum, until none lowers the objective any more.

A kink is where a head's raw prediction meets a target, wherever the others are. Slopes of the
objective along a direction are then the sum of those along its parts by head, and none is negative
where none is by head: where every head is at its minimum all together are stationary.
"""

import math
from dataclasses import replace

import numpy as np

from sklearn_losses._array import to_host
from sklearn_losses._solvers.design import Design, one_thread_in_blas
from sklearn_losses._solvers.engines import make_problem
from sklearn_losses._solvers.fit import Descent, Epoch, Model
from sklearn_losses._solvers.gap import rounding_of, tolerated
from sklearn_losses._solvers.interior import FrischNewton
from sklearn_losses._solvers.newton import ProximalNewton
from sklearn_losses._solvers.reference import Reference, constants_of
from sklearn_losses._states import dict_of, model_like

# The most steps of a head's fit.
MOST_STEPS = 200
# The exponent from which on one over a mean weight would be no number.
MOST_EXPONENT = 700.0
# The largest ratio of two falls in a row that is believed.
SLOWEST = 0.99


class InTurn(Descent):
    """An epoch is a fit of each head.

    Parameters
    ----------
    data : Data
        With a loss that is fitted `in_turn`.
    settings : Settings
    model : Model
        Where to start.
    reference : Reference
    """

    needs = ("mean", "schedule", "sums")
    own_criterion = True
    noisy = False
    on_host = exact = True
    rate = math.nan

    def __init__(self, data, settings, model, reference):
        self.data = data = data.training()
        self.settings, self.reference = settings, reference
        self.loss, self.sees = data.losses[0], data.losses[0]._sees_features()
        self.problem = make_problem(data, settings)
        self.center = data.columns.mean
        ones = np.ones(data.X.shape[1])
        self.design = Design(data, self.center, ones, True, settings.n_threads)
        model = to_host(model)
        coef = np.where(self.sees[:, None], model.coef, 0.0).astype(data.X.dtype)
        self.now = Model(coef, np.array(model.intercept, dtype=np.float64))
        self.weight = np.ones(self.design.n) if data.sample_weight is None else data.sample_weight
        self.told = None  # loss, objective and the norm of the gradient
        self.fell = math.inf  # the objective in the last epoch

    # -------------------------------------------------------------------------------------- epochs

    def epoch(self, number, stop):
        with one_thread_in_blas(), np.errstate(over="ignore", invalid="ignore"):
            if self.told is None:
                self.told = self.look(self.now)
            before = self.told[1]
            for head in range(self.loss.n_heads):
                self.turn(head, stop)
        fell = before - self.told[1]
        return Epoch(*self.told, math.nan, 1, math.isfinite(self.told[1]), self.reason(fell))

    def reason(self, fell):
        """Why it ends here, after an epoch by which the objective fell so much; else None."""
        tol, value = self.settings.tol, self.told[1]
        left, self.fell = left_to_fall(fell, self.fell), fell
        allowed = 0.0 if tol is None else tolerated(tol, self.reference, value)
        if left > max(allowed, rounding_of(self.reference, value)):
            return None
        lost = self.loss._is_lost(self.data.y, self.raw(self.now)) & (self.weight > 0)
        return "line_search" if tol is None or lost.any() else "converged"

    def turn(self, head, stop):
        """The fit of a head."""
        found = self.fitted(head, stop)
        coef, intercept = self.now.coef.copy(), self.now.intercept.copy()
        coef[head], intercept[head] = found.coef[0], found.intercept[0]
        made = Model(coef, intercept)
        told = self.look(made)
        if told[1] <= self.told[1]:
            self.now, self.told = made, told

    def fitted(self, head, stop):
        """The model of a head with the others where they are."""
        data, raw = self.data, self.raw(self.now)
        loss, y, log_factor = self.loss._of_head(head, data.y, raw)
        largest = float(log_factor[self.weight > 0].max())
        weight = self.weight * np.exp(np.minimum(log_factor - largest, 0.0))
        offset = None if data.offset is None else data.offset[:, head]
        given = {"y": y, "sample_weight": weight, "offset": offset}
        part = replace(data.with_samples(**given), losses=[loss], n_outputs=1)
        if not self.sees[head]:
            return Model(self.now.coef[[head]], constants_of(part))
        # The mean loss is in units of the mean weight, of which the penalty is no part.
        share = float(weight.mean()) / float(self.weight.mean())
        settings = self.settings_of(math.exp(min(-largest, MOST_EXPONENT)) / share)
        start = Model(self.now.coef[[head]], self.now.intercept[[head]])
        reference = self.reference_of(part, settings)
        kind = ProximalNewton if loss.differentiable else FrischNewton
        descent = kind(part, settings, start, reference)
        for step in range(MOST_STEPS):
            if descent.epoch(step, stop).ended is not None:
                break
        return descent.model()

    def settings_of(self, factor):
        """Those of a head's fit, to the last digit, with penalties `factor` times as strong."""
        own = self.settings.own
        own = own and replace(own, alpha=own.alpha * factor)
        alpha = self.settings.alpha * factor
        return replace(self.settings, alpha=alpha, own=own, tol=None)

    def reference_of(self, data, settings):
        """What a head's fit starts from, and measures rounding by."""
        constants = constants_of(data)
        problem = make_problem(data.without_columns(), settings)
        value = problem.value_gradient(np.zeros((1, 0)), constants)[0]
        return Reference(constants, value, value - 1.0, self.design.n, False)

    # --------------------------------------------------------------------------------------- model

    def raw(self, model):
        """Raw predictions: ndarray of shape (n, n_heads)."""
        coef = model.coef.astype(np.float64)
        made = np.column_stack([coef, model.intercept + coef @ self.center])
        raw = self.design.products(made).T
        return raw if self.data.offset is None else raw + self.data.offset

    def look(self, model):
        """Loss, objective and the norm of the loss's gradient."""
        loss, gradient, of_intercept = self.problem.value_gradient(model.coef, model.intercept)
        gradient = gradient * self.sees[:, None]
        square = float(np.vdot(gradient, gradient)) + float(np.vdot(of_intercept, of_intercept))
        objective = loss + sum(self.settings.penalties_at(model.coef.astype(np.float64)))
        return loss, objective, math.sqrt(square)

    def save(self):
        return all(np.isfinite(part).all() for part in (self.now.coef, self.now.intercept))

    def model(self):
        return self.now

    public_model = model

    def get_state(self):
        return {"model": self.now}

    def set_state(self, state):
        self.now = dict_of({"model": model_like(self.now)})(state, "descent")["model"]
        self.told = None


def left_to_fall(fell, before):
    """What is left where the objective fell by so much, and by `before` in the epoch before: by a
    geometric series, and no less than it fell."""
    ratio = min(fell / before, SLOWEST) if before > 0.0 else 0.0
    return fell * max(1.0, ratio / (1.0 - ratio))
