"""Newton's method on all rows, proximal where there is an L1 part, bounds or a separable penalty.

The loss is followed through its values and derivatives at the rows' raw predictions alone. A step
is to the minimum of the quadratic model (`quadratic`), whose fall is also the estimate of the gap:
half the Newton decrement. Where weights are held at 0 the model is that of a working set of
columns, which grows by those that would leave 0.
"""

import math

import numpy as np

from sklearn_losses._array import to_host
from sklearn_losses._solvers.design import Design, one_thread_in_blas
from sklearn_losses._solvers.fit import Descent, Epoch, Model
from sklearn_losses._solvers.gap import rounding_of, tolerated
from sklearn_losses._solvers.occurring import Occurring
from sklearn_losses._solvers.parts import Part, holding_of
from sklearn_losses._solvers.rows import rows_of
from sklearn_losses._states import array_like, dict_of, whole


class ProximalNewton(Descent):
    """See the module.

    Parameters
    ----------
    data : Data
    settings : Settings
    model : Model
        Where to start.
    reference : Reference
    """

    needs = ("mean", "schedule", "curvature")
    on_host = True
    own_criterion = True
    noisy = False
    rate = math.nan

    def __init__(self, data, settings, model, reference):
        self.occurring = Occurring(data, settings, to_host(model))
        data, settings, model = (getattr(self.occurring, x) for x in ("data", "settings", "model"))
        self.data, self.settings, self.reference = data, settings, reference
        self.dtype = data.X.dtype
        self.exact = self.dtype == np.float64  # else the weights that are shown are rounded
        self.fixed_intercept = np.array(model.intercept, dtype=np.float64)
        columns = data.columns
        self.center = columns.mean if settings.fit_intercept else None
        scale = columns.scales(0.0 if self.center is None else self.center, per_entry=False)
        self.unit = 1.0 / np.where(scale > 0.0, scale, 1.0)
        design = Design(data, self.center, self.unit, settings.fit_intercept, settings.n_threads)
        held = holding_of(settings, self.unit, design.width)
        self.rows = rows_of(data, data.weight_factor(), settings.n_threads)
        design.keeps_gram = len(self.rows) > 1
        self.made = design, held
        self.start = self.variables_of(model)
        self.begin()

    def begin(self):
        self.parts, self.done, first = [], 0, 0
        for rows in self.rows:
            last = first + rows.n_outputs
            self.parts.append(Part(self, *self.made, rows, self.start[first:last].copy(), first))
            first = last

    def follow(self, settings):
        """Go on to another strength of the penalty, from where the last fit ended."""
        settings = self.occurring.narrowed(settings)
        before, self.settings = self.made[1], settings
        self.made[0].keeps_gram = True
        self.made = self.made[0], holding_of(settings, self.unit, self.made[0].width)
        for part in self.parts:
            part.follow(settings, self.made[1], before)
        self.start, self.done = np.concatenate([part.v for part in self.parts]), 0

    def variables_of(self, model):
        """The coordinates of a model: ndarray of shape (n_outputs, width)."""
        coef = np.asarray(model.coef, dtype=np.float64)
        coef = np.clip(coef, self.settings.low, self.settings.high)
        if not self.settings.fit_intercept:
            return coef / self.unit
        intercept = np.asarray(model.intercept, dtype=np.float64) + coef @ self.center
        return np.column_stack([coef / self.unit, intercept])

    def allowed(self, value):
        tol = self.settings.tol
        allowed = 0.0 if tol is None else tolerated(tol, self.reference, value)
        return allowed, rounding_of(self.reference, value)

    def epoch(self, number, stop):
        with one_thread_in_blas(), np.errstate(over="ignore", invalid="ignore"):
            return self._epoch(stop)

    def _epoch(self, stop):
        self.done += 1
        share = 1.0 / len(self.parts)
        value = sum(part.objective() for part in self.parts)
        if not math.isfinite(value):
            return Epoch(math.nan, math.nan, math.nan, math.nan, 1, finite=False)
        allowed, rounding = self.allowed(value)
        for part in self.parts:
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            if part.ended is None:
                part.iterate(share * allowed, share * rounding, stop)
        ended = {part.ended for part in self.parts}
        reason = None
        if None not in ended:
            gap = sum(part.gap for part in self.parts)
            at_minimum = self.settings.tol is not None and gap <= max(allowed, rounding)
            reason = "converged" if at_minimum else "line_search"
        value = sum(part.objective() for part in self.parts)
        loss = sum(part.value for part in self.parts)
        norm = math.sqrt(sum(part.gradient_square() for part in self.parts))
        return Epoch(loss, value, norm, math.nan, 1, math.isfinite(value), reason)

    def save(self):
        return all(np.isfinite(part.v).all() for part in self.parts)

    def model(self):
        v = np.concatenate([part.v for part in self.parts])
        coef = v[:, : len(self.unit)] * self.unit
        if self.settings.low is not None:
            coef = np.clip(coef, self.settings.low, self.settings.high)
        if self.data.losses[0].is_multiclass and self.parts[0].shared_is_free():
            coef -= self.settings.parts()[1].away(coef).mean(axis=0)
        coef = coef.astype(self.dtype)
        if not self.settings.fit_intercept:
            return self.occurring.widened(Model(coef, self.fixed_intercept.copy()))
        intercept = v[:, -1] - coef.astype(np.float64) @ self.center
        return self.occurring.widened(Model(coef, intercept))

    public_model = model

    def get_state(self):
        return {"start": self.start, "done": self.done}

    def set_state(self, state):
        """The steps so far are made again: matrices would be far more to keep."""
        state = dict_of({"start": array_like(self.start), "done": whole()})(state, "descent")
        self.start = state["start"]
        self.begin()
        while self.done < state["done"] and any(part.ended is None for part in self.parts):
            self.epoch(self.done, None)
