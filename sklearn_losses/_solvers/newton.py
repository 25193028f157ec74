"""Newton's method on all rows, proximal where there is an L1 part, bounds or a separable penalty.

The loss is followed through its values and derivatives at the rows' raw predictions alone. A step
is to the minimum of the quadratic model (`quadratic`), whose fall is also the estimate of the gap:
half the Newton decrement. Where weights are held at 0 the model is that of a working set of
columns, which grows by those that would leave 0.
"""

import math

import numpy as np

from sklearn_losses._array import to_host
from sklearn_losses._kernels.fit._penalties import PenaltyKernel
from sklearn_losses._solvers.coordinates import columns_of
from sklearn_losses._solvers.design import Design, one_thread_in_blas
from sklearn_losses._solvers.fit import Descent, Epoch, Model
from sklearn_losses._solvers.gap import rounding_of, tolerated
from sklearn_losses._solvers.quadratic import (
    CoordinateDescent,
    Holding,
    conjugate_gradients,
    newton_step,
)
from sklearn_losses._solvers.rows import rows_of
from sklearn_losses._states import array_like, dict_of, list_of

# Matrices of second derivatives have at most so many rows; beyond, and where forming one takes as
# long as so many products with it, they are only multiplied by.
MOST_WIDTH = 4096
PRODUCTS = 60
# Numbers that BLAS multiplies in the time in which a product takes one number of X.
BLAS_SPEED = 16.0
# Conjugate gradients end at this share of the gradient, or where it has so many iterations.
ENOUGH, MOST_ITERATIONS = 0.1, 250
# The least share of the slope by which a step must lower the objective, and how often it is halved.
ARMIJO, HALVINGS = 1e-4, 60
# A model, or a working set, is followed until what it can still gain is this share of what is
# allowed, or of what is outside it.
CLOSE = 0.1
# Columns from which on a working set is tried, and the least that it has.
MANY, FEWEST = 100, 32


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

    needs = ("schedule", "curvature", "separable")
    on_host = True
    own_criterion = True
    noisy = False
    rate = math.nan

    def __init__(self, data, settings, model, reference):
        model = to_host(model)
        self.data, self.settings, self.reference = data, settings, reference
        self.dtype = data.X.dtype
        self.fixed_intercept = np.array(model.intercept, dtype=np.float64)
        columns = columns_of(data)
        self.center = columns.mean if settings.fit_intercept else None
        scale = columns.scales(0.0 if self.center is None else self.center, per_entry=False)
        self.unit = 1.0 / np.where(scale > 0.0, scale, 1.0)
        design = Design(
            data, self.center, self.unit, settings.fit_intercept, settings.n_threads
        )
        held = holding_of(settings, self.unit, design.width)
        rows = rows_of(data, data.weight_factor(), settings.n_threads)
        starts = self.variables_of(model)
        self.parts, first = [], 0
        for some in rows:
            last = first + some.n_outputs
            self.parts.append(Part(self, design, some, held, starts[first:last], first))
            first = last
        self.best = (math.inf, None)

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
        norm = math.sqrt(sum(part.gradient_norm() for part in self.parts))
        return Epoch(loss, value, norm, math.nan, 1, math.isfinite(value), reason)

    def save(self):
        return all(np.isfinite(part.v).all() for part in self.parts)

    def model(self):
        v = np.concatenate([part.v for part in self.parts])
        coef = v[:, : len(self.unit)] * self.unit
        if self.settings.low is not None:
            coef = np.clip(coef, self.settings.low, self.settings.high)
        if self.data.losses[0].is_multiclass and self.parts[0].shared_is_free():
            coef -= coef.mean(axis=0)
        coef = coef.astype(self.dtype)
        if not self.settings.fit_intercept:
            return Model(coef, self.fixed_intercept.copy())
        return Model(coef, v[:, -1] - coef.astype(np.float64) @ self.center)

    public_model = model

    def get_state(self):
        return {"parts": [part.get_state() for part in self.parts]}

    def set_state(self, state):
        kinds = {"parts": list_of([part.kinds() for part in self.parts])}
        for part, found in zip(self.parts, dict_of(kinds)(state, "descent")["parts"], strict=True):
            part.set_state(found)


def holding_of(settings, unit, width):
    """`Holding` of the variables of one output, and the L2 weights of the variables."""
    d = len(unit)
    sums = settings.sums()

    def padded(values, last):
        made = np.full(width, last, dtype=np.float64)
        made[:d] = values
        return made

    feature = np.full(width, -1, dtype=np.int32)
    feature[:d] = np.arange(d, dtype=np.int32)
    unit_of_all = padded(unit, 1.0)
    l2 = np.zeros(width) if sums is None else padded(sums[1] * unit**2, 0.0)
    kinked = sums is not None and np.any(sums[0])
    l1 = None if sums is None else padded(sums[0] * unit, 0.0)
    kernel = None
    if sums is None:
        kernel = settings.own.penalty._kernel(settings.alpha, d)
    elif kinked and settings.own is not None:
        kernel = settings.own.penalty._kernel(settings.alpha, d, l2_apart=True)
    elif kinked:
        kernel = PenaltyKernel("ElasticNet", d, settings.l1, 1.0, [], None, None, True)
    low = high = None
    if settings.low is not None:
        low, high = padded(settings.low, -np.inf), padded(settings.high, np.inf)
    return Holding(feature, unit_of_all, l1, kernel, low, high), l2


class Part:
    """The outputs that are found together: one, or all of a row-wise loss.

    Attributes
    ----------
    v : ndarray of shape (n_outputs, width)
        The variables: weights over their units, and intercepts.
    value : float
        The mean loss.
    gap : float
        What the objective can still fall, as estimated.
    ended : {None, "minimum", "no step"}
    """

    def __init__(self, newton, design, rows, holding, v, first):
        self.newton, self.design, self.rows = newton, design, rows
        self.held, self.l2 = holding
        self.settings = newton.settings
        self.K, self.width = rows.n_outputs, design.width
        self.fixed = None
        if not self.settings.fit_intercept:
            self.fixed = newton.fixed_intercept[first : first + self.K, None]
        self.v = np.ascontiguousarray(v)
        self.convex = rows.loss.convex
        self.sparse_solution = self.held.penalty is not None
        self.gap, self.ended = math.inf, None
        self.clipped = 0  # iterations for which second derivatives are to be clipped
        self.ridge = 0.0
        self.model = None  # of a loss whose curvature is constant
        self.columns = None  # those of the working set; None: all
        self.view = None
        self.evaluate()

    # ------------------------------------------------------------------------------- the objective

    def raw_of(self, v, view):
        raw = self.rows.with_offset(view.design.products(v))
        return raw if self.fixed is None else raw + self.fixed

    def evaluate(self):
        """Value and the rows' coefficients at v."""
        self.raw = self.raw_of(self.v, self.view or self.whole())
        self.value, self.u = self.rows.value_gradient(self.raw)

    def whole(self):
        return View(self, None)

    def penalty(self, v):
        """All that is added to the loss."""
        held, more = self.held, 0.5 * float(np.sum(self.l2 * v * v))
        if held.l1 is not None:
            return more + (float(np.sum(held.l1 * np.abs(v))) if held.penalty else 0.0)
        return more + self.settings.own.value(self.weights(v))

    def weights(self, v):
        d = self.design.n_features
        return np.ascontiguousarray(v[:, :d] * self.held.unit[:d])

    def objective(self):
        return self.value + self.penalty(self.v)

    def gradient(self):
        """Of the smooth part: ndarray of shape (n_outputs, width)."""
        return self.design.transposed(self.u) + self.l2 * self.v

    def gradient_norm(self):
        """The square of the norm of the gradient of the mean loss along the raw predictions."""
        return float(np.sum(self.u**2))

    def shared_is_free(self):
        """Whether what all classes share is nothing to the loss and bent by the penalty alone."""
        return bool(np.any(self.l2)) and self.held.penalty is None and self.held.low is None

    # ------------------------------------------------------------------------------------ iterations

    def iterate(self, allowed, rounding, stop):
        """A step, after which `gap` and `ended` say where it stands."""
        if self.view is None and not self.choose(allowed, rounding):
            return
        view = self.view
        predicted, to = view.step(stop, max(CLOSE * allowed, 0.0))
        enough = max(allowed, rounding)
        fell = self.move(view, to, predicted, rounding)
        if fell is None:
            self.gap = predicted
            self.ended = "minimum" if predicted <= enough else "no step"
            if self.columns is not None and self.ended == "minimum":
                self.ended, self.view = None, None
                self.choose(allowed, rounding, before=predicted)
            return
        if predicted <= max(view.goal, CLOSE * rounding):
            # Newton's method doubles the digits: what is left after the step is less.
            self.gap, self.ended = predicted, "minimum"
            if self.columns is not None:
                self.ended, self.view = None, None
                self.choose(allowed, rounding, before=predicted)

    def choose(self, allowed, rounding, before=0.0):
        """The columns of the next steps; False where none is left that would gain."""
        d = self.design.n_features
        full = View(self, None)
        full.goal = max(CLOSE * allowed, CLOSE * rounding)
        if not self.sparse_solution or d < MANY:
            self.columns, self.view = None, full
            return True
        gradient = self.gradient()
        least = self.violation(gradient)
        bend = np.maximum(self.curvature_sizes()[:, None] + self.l2, 1e-300)
        gains = (least**2 / (2.0 * bend))[:, :d]
        inside = np.zeros(d, dtype=bool) if self.columns is None else self.columns.copy()
        by_column = gains.sum(axis=0)
        outside = float(by_column[~inside].sum())
        first = self.columns is None
        self.gap = before + outside
        if not first and outside <= CLOSE * max(allowed, rounding):
            self.ended = "minimum"
            return False
        used = (self.v[:, :d] != 0.0).any(axis=0)
        n_used = int(np.count_nonzero(used))
        want = max(FEWEST, n_used)
        candidates = np.flatnonzero((by_column > 0.0) & ~used)
        if len(candidates) > want:
            best = np.argpartition(by_column[candidates], -want)[-want:]
            candidates = candidates[best]
        chosen = used.copy()
        chosen[candidates] = True
        chosen |= inside & (by_column > 0.0)
        if 2 * np.count_nonzero(chosen) > d:
            self.columns, self.view = None, full
            self.sparse_solution = False
            return True
        self.columns = chosen
        self.view = View(self, np.flatnonzero(chosen))
        self.view.goal = max(CLOSE * outside, CLOSE * max(allowed, rounding))
        return True

    def violation(self, gradient):
        """The least generalised gradient."""
        held, d = self.held, self.design.n_features
        if held.l1 is not None:
            return held.least(self.v, gradient)
        found = gradient.copy()
        unit = held.unit[:d]
        of_weights = self.settings.own.violation(self.weights(self.v), gradient[:, :d] / unit)
        found[:, :d] = of_weights * unit
        return found

    def curvature_sizes(self):
        """About the second derivative along a column, whose mean square is 1: by output."""
        return self.rows.diagonal(self.raw).sum(axis=1)

    def move(self, view, to, predicted, rounding):
        """Go to `to`, or as far towards it as the objective falls; by how much it fell, or None."""
        if to is None:
            return None
        at = view.variables
        start, before = self.v[:, at], self.objective()
        whole = self.v.copy()
        direction = to - start
        slope = float(np.sum(view.gradient * direction))
        whole[:, at] = to
        slope += self.rest(whole) - self.rest(self.v)
        if not slope < 0.0:
            return None
        length = 1.0
        for _ in range(HALVINGS):
            moved = to if length == 1.0 else start + length * direction
            whole[:, at] = moved
            raw = self.raw_of(moved, view)
            value, u = self.rows.value_gradient(raw)
            change = value + self.penalty(whole) - before
            small = abs(change) <= rounding and predicted <= rounding and length == 1.0
            if math.isfinite(change) and (change <= ARMIJO * length * slope or small):
                self.v, self.raw, self.value, self.u = whole, raw, value, u
                self.length = length
                return max(-change, 0.0)
            if math.isfinite(change):  # to the minimum of the parabola
                parabola = -slope * length / (2.0 * (change - slope * length)) * length
                length = min(max(parabola, 0.1 * length), 0.5 * length)
            else:
                length *= 0.1
        return None

    def rest(self, v):
        """What is added to the loss beside L2."""
        return self.penalty(v) - 0.5 * float(np.sum(self.l2 * v * v))

    # ---------------------------------------------------------------------------------------- state

    def get_state(self):
        columns = np.zeros(self.design.n_features, dtype=bool)
        if self.columns is not None:
            columns = self.columns.copy()
        return {"v": self.v.copy(), "columns": columns}

    def kinds(self):
        return dict_of(
            {"v": array_like(self.v), "columns": array_like(np.zeros(self.design.n_features, bool))}
        )

    def set_state(self, state):
        self.v = state["v"].copy()
        if state["columns"].any():
            self.columns = state["columns"]
            self.view = View(self, np.flatnonzero(self.columns))
        self.evaluate()


class View:
    """Some columns of a part, among which a step is looked for; None: all.

    Attributes
    ----------
    variables : slice or ndarray
        Of those of an output.
    goal : float
        The gap at which the view has done its work.
    """

    def __init__(self, part, columns):
        self.part, self.goal = part, 0.0
        design = part.design
        if columns is None:
            self.variables, self.design, self.held = slice(None), design, part.held
        else:
            last = [design.n_features] if design.fit_intercept else []
            self.variables = np.concatenate([columns, last]).astype(np.intp)
            self.design = design.take(columns)
            self.held = part.held.at(self.variables)
        self.l2 = part.l2[self.variables]
        self.width = self.design.width
        self.matrix = None

    def forms_matrix(self):
        """Whether the matrix of second derivatives is worth its cost."""
        part, width = self.part, self.width * self.part.K
        if width > MOST_WIDTH:
            return False
        if self.held.penalty is not None or self.held.low is not None:
            return True
        kernel = self.design.kernel
        blocks = part.K * (part.K + 1) / 2
        forming = blocks * kernel.cost_of_gram() + width**3 / 3.0
        return forming <= PRODUCTS * BLAS_SPEED * part.K * 2.0 * max(kernel.entries, 1)

    def step(self, stop, allowed):
        """The fall that the model predicts, and where its minimum is (None: nowhere)."""
        part = self.part
        v = np.ascontiguousarray(part.v[:, self.variables])
        self.gradient = self.design.transposed(part.u) + self.l2 * v
        if self.forms_matrix():
            return self.by_matrix(v, allowed, stop)
        return self.by_products(v)

    def by_matrix(self, v, allowed, stop):
        part, gradient = self.part, self.gradient.ravel()
        constant = part.rows.loss.constant_hessian
        simple = self.held.penalty is None and self.held.low is None
        signed = simple and not part.convex and part.clipped == 0
        matrix = self.matrix
        if matrix is None:
            matrix = self.matrix_of(clipped=not signed)
        if constant:
            self.matrix = matrix
        if simple:
            step, ridge = newton_step(matrix, gradient, part.ridge)
            if signed and (step is None or ridge > 1e-10 or not float(step @ gradient) < 0.0):
                part.clipped = 3
                step, ridge = newton_step(self.matrix_of(clipped=True), gradient, part.ridge)
            part.clipped = max(part.clipped - 1, 0)
            if step is None:
                return math.inf, None
            return max(-0.5 * float(step @ gradient), 0.0), v + step.reshape(v.shape)
        diagonal = np.diag_indices(len(matrix))
        matrix[diagonal] += 1e-14 * matrix[diagonal].max(initial=0.0)
        held = self.held if part.K == 1 else self.held.repeated(part.K)
        x = v.ravel()
        descent = CoordinateDescent(matrix, gradient, x, held)
        to = descent.run(allowed, stop)
        move = to - x
        fall = -float(move @ gradient) - 0.5 * float(move @ (matrix @ move))
        to = to.reshape(v.shape)
        whole = part.v.copy()
        whole[:, self.variables] = to
        fall -= part.rest(whole) - part.rest(part.v)
        return max(fall, 0.0), to

    def matrix_of(self, clipped):
        """Second derivatives of the smooth part, by outputs and their variables."""
        part, width = self.part, self.width
        made = np.empty((part.K, width, part.K, width))
        for k, j, weights in part.rows.blocks(part.raw, clipped):
            block = self.design.gram(weights)
            if k == j:
                block[np.diag_indices(width)] += self.l2
            made[k, :, j] = block
            if k != j:
                made[j, :, k] = block.T
        return made.reshape(part.K * width, -1)

    def by_products(self, v):
        """Newton's step by conjugate gradients."""
        part, shape = self.part, v.shape
        times = part.rows.product(part.raw)
        h = part.rows.diagonal(part.raw)
        diagonal = np.stack([self.design.squares(hk) for hk in h]) + self.l2

        def product(flat):
            of = flat.reshape(shape)
            made = self.design.transposed(np.ascontiguousarray(times(self.design.products(of))))
            return (made + self.l2 * of).ravel()

        gradient = self.gradient.ravel()
        step = conjugate_gradients(
            product, gradient, diagonal.ravel(), ENOUGH, MOST_ITERATIONS
        )
        return max(-0.5 * float(step @ gradient), 0.0), v + step.reshape(shape)
