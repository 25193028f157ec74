"""One target as the solver sees it: its rows, its loss beside that of the best constant, and the
units in which its coefficients are of like size."""

import numpy as np

from sklearn_losses._solvers.data import Data
from sklearn_losses._solvers.design import Design
from sklearn_losses._solvers.reference import mean_of
from sklearn_losses._solvers.rows import rows_of


class Task:
    """The mean loss of a target as a function of ``v``, of shape (width,): coefficients over their
    units, and the intercept, both beside the best constant.

    Attributes
    ----------
    loss : Loss
    design : Design
    null, floor : float
        The mean loss of the best constant, above the least that it can be; the latter.
    scale : float
        Of raw predictions: twice `null`, over the root mean square of the loss's derivatives at the
        constant. Of a squared error it is the standard deviation, of any loss of a target in other
        units it changes with them.
    start : float
        The constant.
    stretch : float
        Raw predictions are `start` and `stretch` times what the design makes of v.
    factor : float
        By which the objective multiplies the mean loss.
    """

    def __init__(self, data, design, standardize):
        self.loss, self.design = data.losses[0], design
        (self.rows,) = rows_of(data, data.weight_factor(), None)
        weight = self.rows.weight
        target = self.rows.target
        zero = self.loss.constant_to_optimal_zero(target)
        self.floor = -mean_of(zero, weight)
        self.start = 0.0
        if design.fit_intercept:
            self.start = float(self.loss._start_constant(target, weight))
        value, gradient = self.rows.value_gradient(np.full((1, self.rows.n), self.start))
        self.null = value - self.floor
        counted = target[weight > 0.0]
        positive = weight > 0.0
        slope = np.sqrt(np.sum(gradient[0][positive] ** 2 / weight[positive]))
        self.is_constant = design.fit_intercept and bool((counted == counted[0]).all())
        if self.is_constant or not (self.null > 0.0 and slope > 0.0):
            self.null, self.scale = 1.0, 1.0
        else:
            self.scale = float(2.0 * self.null / slope)
        self.stretch = self.scale if standardize else 1.0
        self.factor = 1.0

    def at(self, v, design=None):
        """The raw predictions, the mean loss above its floor, and its gradient by row."""
        raw = self.start + self.stretch * (design or self.design).products(v)[None]
        value, gradient = self.rows.value_gradient(raw)
        return raw, value - self.floor, gradient[0]

    def slopes(self, gradient):
        """The gradient of the factored loss by v."""
        return self.factor * self.stretch * self.design.transposed(gradient)

    def curvature(self, raw, filled):
        """Second derivatives of the factored loss, by row; none below the share `filled` of those
        of reweighted least squares."""
        found = self.rows.diagonal(raw)[0]
        if filled:
            found = np.maximum(found, filled * self.rows.reweighted(raw))
        return self.factor * self.stretch**2 * found

    def model(self, v):
        """Coefficients and the intercept."""
        d = self.design.n_features
        coef = self.stretch * self.design.unit * v[:d]
        if not self.design.fit_intercept:
            return coef, 0.0
        return coef, self.start + self.stretch * v[d] - float(coef @ self.design.center)


def standard_units(columns, center):
    """Reciprocals of the columns' scales; 0 for those that are constant, whose coefficients stay
    0."""
    scale = columns.scales(0.0 if center is None else center, per_entry=False)
    return np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0.0)


def tasks_of(X, y, weight, losses, fit_intercept, standardize):
    """`Task` of each target.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_tasks), float64
        NaN where a target is missing.
    weight : ndarray of shape (n_samples,) or (n_samples, n_tasks), or None
    losses : list of Loss
        One a task.
    fit_intercept, standardize : bool
        `standardize`: whether each task's coefficients have its own units, and not those of the
        columns of X as a whole.

    Returns
    -------
    tasks : list of Task
    """
    whole = shared = None
    if not standardize:
        row_weight = weight.mean(axis=1) if weight is not None and weight.ndim == 2 else weight
        every = Data(X, y[:, 0], losses[:1], sample_weight=row_weight)
        whole = standard_units(every.columns, every.columns.mean if fit_intercept else None)
    made = []
    for k, loss in enumerate(losses):
        missing = np.isnan(y[:, k])
        of_task = weight if weight is None or weight.ndim == 1 else weight[:, k]
        of_task = None if of_task is None else np.ascontiguousarray(of_task)
        held_out = missing if missing.any() else None
        data = Data(
            X, np.ascontiguousarray(y[:, k]), [loss], sample_weight=of_task, held_out=held_out
        )
        design = shared
        if design is None or held_out is not None:
            center = data.columns.mean if fit_intercept else None
            unit = standard_units(data.columns, center) if whole is None else whole
            design = Design(data, center, unit, fit_intercept, None)
            design.keeps_gram = True
            if held_out is None and np.ndim(weight) != 2:
                shared = design
        made.append(Task(data, design, standardize))
    return made
