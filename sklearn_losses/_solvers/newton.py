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
from sklearn_losses._solvers.occurring import Occurring
from sklearn_losses._solvers.quadratic import (
    CoordinateDescent,
    Holding,
    ProximalGradient,
    conjugate_gradients,
    newton_step,
)
from sklearn_losses._solvers.rows import rows_of
from sklearn_losses._states import array_like, dict_of, whole

# Matrices of second derivatives have at most so many rows; beyond, and where forming one takes as
# long as so many products with it, they are only multiplied by.
MOST_WIDTH = 4096
PRODUCTS = 60
# Numbers that BLAS multiplies in the time in which a product takes one number of X.
BLAS_SPEED = 5.0
# A matrix is renewed where a step predicts a fall above this share of the last step's.
SLOW = 0.5
# Changes of the gradient teach the matrix where it bends by no less than this share of what it did.
LEAST_BEND = 1e-8
# A ridge from which on a matrix counts as indefinite; second derivatives are clipped in so many
# steps then.
INDEFINITE, CLIPPED = 1e-10, 3
# Gradients that sum to no more than this over the classes, relative to the largest, sum to 0.
SHIFT = 1e-12
# Conjugate gradients end at this share of the gradient, or where it has so many iterations.
ENOUGH, MOST_ITERATIONS = 0.1, 250
# The least share of the slope by which a step must lower the objective, and how often it is halved.
ARMIJO, HALVINGS = 1e-4, 60
# A model, or a working set, is followed until what it can still gain is this share of what is
# allowed, or of what is outside it.
CLOSE = 0.1
# Columns from which on a working set is tried, and the least that it has.
MANY, FEWEST = 100, 128
# All columns are taken where a working set would have more than one in so many of them.
MOST_OF_ALL = 2
TINY = 1e-300


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

    needs = ("schedule", "curvature")
    on_host = True
    own_criterion = True
    noisy = False
    rate = math.nan

    def __init__(self, data, settings, model, reference):
        self.occurring = Occurring(data, settings, to_host(model))
        data, settings, model = (getattr(self.occurring, x) for x in ("data", "settings", "model"))
        self.data, self.settings, self.reference = data, settings, reference
        self.dtype = data.X.dtype
        self.fixed_intercept = np.array(model.intercept, dtype=np.float64)
        columns = columns_of(data)
        self.center = columns.mean if settings.fit_intercept else None
        scale = columns.scales(0.0 if self.center is None else self.center, per_entry=False)
        self.unit = 1.0 / np.where(scale > 0.0, scale, 1.0)
        design = Design(data, self.center, self.unit, settings.fit_intercept, settings.n_threads)
        held = holding_of(settings, self.unit, design.width)
        self.rows = rows_of(data, data.weight_factor(), settings.n_threads)
        self.made = design, held
        self.start = self.variables_of(model)
        self.begin()

    def begin(self):
        self.parts, self.done, first = [], 0, 0
        for rows in self.rows:
            last = first + rows.n_outputs
            self.parts.append(Part(self, *self.made, rows, self.start[first:last].copy(), first))
            first = last

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
            coef -= coef.mean(axis=0)
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
        kernel = settings.own.kernel()
    elif kinked and settings.own is not None:
        kernel = settings.own.penalty._kernel(settings.alpha, d, l2_apart=True)
    elif kinked:
        kernel = PenaltyKernel("ElasticNet", d, settings.l1, 1.0, [], None, None, True)
    low = high = None
    if settings.low is not None:
        low, high = padded(settings.low, -np.inf), padded(settings.high, np.inf)
    return Holding(feature, unit_of_all, l1, kernel, low, high), l2


def is_separable(own):
    """Whether a penalty is a sum over the weights that the kernels know."""
    return own.penalty.separable and isinstance(own.kernel(), PenaltyKernel)


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

    def __init__(self, newton, design, holding, rows, v, first):
        self.newton, self.design, self.rows = newton, design, rows
        self.held, self.l2 = holding
        self.settings = newton.settings
        self.K, self.width = rows.n_outputs, design.width
        self.fixed = None
        if not self.settings.fit_intercept:
            self.fixed = newton.fixed_intercept[first : first + self.K, None]
        self.v = np.ascontiguousarray(v)
        self.convex = rows.loss.convex
        own = self.settings.own
        self.is_separable = self.held.l1 is not None or is_separable(own)
        self.sparse_solution = self.held.penalty is not None and self.is_separable
        self.gap, self.ended = math.inf, None
        self.clipped = 0  # iterations for which second derivatives are to be clipped
        self.length = 1.0  # of the last step
        self.columns = None  # those of the working set; None: all
        self.view = None
        self.curvature = None  # where it was last looked at
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

    def prox(self, v, length, variables):
        """That of a penalty of its own, of some variables; the others stay."""
        whole, lengths = self.v.copy(), np.zeros(self.v.shape)
        whole[:, variables], lengths[:, variables] = v, length
        d, unit = self.design.n_features, self.held.unit
        lengths = np.ascontiguousarray((lengths * unit**2)[:, :d])
        whole[:, :d] = self.settings.own.prox(self.weights(whole), lengths) / unit[:d]
        return whole[:, variables]

    def objective(self):
        return self.value + self.penalty(self.v)

    def gradient(self):
        """Of the smooth part: ndarray of shape (n_outputs, width)."""
        return self.design.transposed(self.u) + self.l2 * self.v

    def gradient_square(self):
        """The square of the norm of the mean loss's gradient, by the weights and intercepts that
        steps move."""
        view, d = self.view, self.view.design.n_features
        gradient = view.gradient_at(self.v) - view.l2 * self.v[:, view.variables]
        of_weights = gradient[:, :d] / view.held.unit[:d]
        if not self.settings.fit_intercept:
            return float(np.sum(of_weights**2))
        total = gradient[:, -1]
        of_weights += total[:, None] * view.design.center
        return float(np.sum(of_weights**2) + np.sum(total**2))

    def shared_is_free(self):
        """Whether what all classes share is nothing to the loss and bent by the penalty alone."""
        return bool(np.any(self.l2)) and self.held.penalty is None and self.held.low is None

    # ----------------------------------------------------------------------------------- iterations

    def iterate(self, allowed, rounding, stop):
        """A step, after which `gap` and `ended` say where it stands."""
        enough = max(allowed, rounding)
        if self.view is None and not self.choose(enough):
            return
        view = self.view
        view.goal = CLOSE * max(view.outside, enough)
        predicted, to = view.step(stop)
        fell = self.move(view, to, predicted, rounding)
        # Newton's method doubles the digits: what is left after the last step is less.
        if fell is None or predicted <= view.goal:
            self.gap = predicted
            self.ended = "minimum" if predicted <= max(enough, view.goal) else "no step"
            if self.columns is not None and self.ended == "minimum":
                self.ended = None
                self.choose(enough, fell is None or predicted <= CLOSE * enough)

    def choose(self, enough, inside_done=False):
        """The columns of the next steps; False where none is left that would gain. `inside_done`:
        whether those of the last are at their minimum."""
        d = self.design.n_features
        if not self.sparse_solution or d < MANY:
            self.columns, self.view = None, View(self, None)
            return True
        gradient = self.gradient()
        bend = np.maximum(self.rows.diagonal(self.raw).sum(axis=1)[:, None] + self.l2, TINY)
        gains = (self.violation(gradient) ** 2 / (2.0 * bend))[:, :d].sum(axis=0)
        inside = np.zeros(d, dtype=bool) if self.columns is None else self.columns
        outside = float(gains[~inside].sum())
        if self.columns is not None:
            self.gap += outside
            if outside <= CLOSE * enough:
                self.ended = "minimum" if inside_done else None
                self.view.outside = outside
                return not inside_done
        used = (self.v[:, :d] != 0.0).any(axis=0)
        candidates = np.flatnonzero((gains > 0.0) & ~used)
        want = max(FEWEST, int(np.count_nonzero(used)))
        if len(candidates) > want:
            candidates = candidates[np.argpartition(gains[candidates], -want)[-want:]]
        chosen = used | (inside & (gains > 0.0))
        chosen[candidates] = True
        if MOST_OF_ALL * np.count_nonzero(chosen) > d:
            self.columns, self.view, self.sparse_solution = None, View(self, None), False
            return True
        self.columns, self.view = chosen, View(self, np.flatnonzero(chosen))
        self.view.first = np.ascontiguousarray(gradient[:, self.view.variables])
        self.view.outside = outside
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

    def same_curvature(self):
        """Whether second derivatives at the raw predictions are those at the last point asked for:
        of a squared error, or where no row has passed a point at which they jump."""
        if self.rows.n_outputs > 1:
            return False
        ((_, _, now),) = self.rows.blocks(self.raw, False)
        same = self.curvature is not None and np.array_equal(now, self.curvature)
        self.curvature = now
        return same


class View:
    """Some columns of a part, among which a step is looked for; None: all.

    Attributes
    ----------
    variables : slice or ndarray
        Of those of an output.
    outside : float
        About what columns beyond it would gain.
    goal : float
        The gap at which the view has done its work.
    first : ndarray or None
        The gradient, where it is known before the first step.
    """

    def __init__(self, part, columns):
        self.part, self.goal, self.outside = part, 0.0, 0.0
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
        self.is_held = self.held.penalty is not None or self.held.low is not None
        self.first = None
        self.matrix = None  # second derivatives
        self.aged = False  # whether they are of another point
        self.last = None  # point, gradient and predicted fall of the last step

    def step(self, stop):
        """The fall that the model predicts, and where its minimum is (None: nowhere)."""
        part = self.part
        v = np.ascontiguousarray(part.v[:, self.variables])
        self.gradient, self.first = self.gradient_at(part.v), None
        if not self.forms_matrix():
            return self.by_products(v, stop)
        self.take_up(v)
        predicted, to = self.by_matrix(v, stop)
        if self.aged and self.is_worth_renewing(predicted):
            self.renew()
            predicted, to = self.by_matrix(v, stop)
        self.last = (v, self.gradient, predicted)
        return predicted, to

    def gradient_at(self, v):
        """Of the smooth part, where the part stands."""
        if self.first is None:
            self.first = self.design.transposed(self.part.u) + self.l2 * v[:, self.variables]
        return self.first

    # ---------------------------------------------------------------------------------- the matrix

    def cost_of_matrix(self):
        """In numbers that BLAS multiplies."""
        part = self.part
        return part.K * (part.K + 1) / 2 * self.design.kernel.cost_of_gram()

    def cost_of_step(self):
        """That of two products with the design, and of a factorization."""
        part = self.part
        products = 2.0 * BLAS_SPEED * part.K * max(self.design.kernel.entries, 1)
        return products + (part.K * self.width) ** 3 / 3.0

    def forms_matrix(self):
        """Whether the matrix is worth its cost."""
        width = self.width * self.part.K
        if width > MOST_WIDTH:
            return False
        return self.is_held or self.cost_of_matrix() <= PRODUCTS * self.cost_of_step()

    def take_up(self, v):
        """The matrix for a step from v: that of the last, with what it has taught, or a new one."""
        same = self.part.same_curvature()
        if self.matrix is None:
            self.renew()
        elif same:
            self.aged = False
        else:
            self.learn(v)

    def learn(self, v):
        """Broyden, Fletcher, Goldfarb and Shanno's update by the last step."""
        self.aged = True
        move, change = (v - self.last[0]).ravel(), (self.gradient - self.last[1]).ravel()
        along = self.matrix @ move
        bend, modelled = float(move @ change), float(move @ along)
        if bend > LEAST_BEND * modelled > 0.0:
            self.matrix += np.outer(change, change / bend)
            self.matrix -= np.outer(along, along / modelled)

    def is_worth_renewing(self, predicted):
        """Whether forming the matrix anew costs less than the steps that it would save."""
        before = self.last[2]
        if self.part.length < 1.0 or not predicted < SLOW * before:
            return True
        if predicted <= self.goal:
            return False
        left = math.log(max(self.goal, TINY) / predicted) / math.log(predicted / before)
        return left * self.cost_of_step() > self.cost_of_matrix() + 2.0 * self.cost_of_step()

    def renew(self):
        self.aged = False
        self.matrix = self.matrix_of(clipped=not self.is_signed())

    def is_signed(self):
        """Whether second derivatives are taken as they are, though some may be negative."""
        return not (self.is_held or self.part.convex or self.part.clipped > 0)

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

    # ---------------------------------------------------------------------------------- its minimum

    def by_matrix(self, v, stop):
        """As `step`, by the present matrix."""
        if self.is_held:
            return self.by_descent(v, stop)
        part, gradient = self.part, self.gradient.ravel()
        step, ridge = newton_step(self.matrix, gradient)
        descends = step is not None and float(step @ gradient) < 0.0
        if self.is_signed() and not (descends and ridge < INDEFINITE):
            part.clipped = CLIPPED
            self.renew()
            step, ridge = newton_step(self.matrix, gradient)
        part.clipped = max(part.clipped - 1, 0)
        if step is None:
            return math.inf, None
        predicted = max(-0.5 * float(step @ gradient), 0.0)
        return predicted, v + self.without_shift(step.reshape(v.shape))

    def by_descent(self, v, stop):
        """With a penalty or bounds."""
        part, gradient = self.part, self.gradient.ravel()
        x = v.ravel()
        if part.is_separable:
            held = self.held if part.K == 1 else self.held.repeated(part.K)
            descent = CoordinateDescent(self.matrix, gradient, x, held)
        else:
            descent = self.proximal_gradient(self.matrix.__matmul__, self.matrix.diagonal(), x)
        to = descent.run(CLOSE * self.goal, stop)
        return self.fall(to - x, self.matrix @ (to - x)), to.reshape(v.shape)

    def proximal_gradient(self, product, diagonal, x):
        own = self.part.settings.own
        convex = own is None or own.penalty.convex
        return ProximalGradient(product, diagonal, self.gradient.ravel(), x, self.prox, convex)

    def prox(self, x, length):
        """The proximal operator of what holds the variables."""
        part, held = self.part, self.held
        v, length = x.reshape(part.K, -1), length.reshape(part.K, -1)
        if held.l1 is None:
            return part.prox(v, length, self.variables).ravel()
        v = np.copysign(np.maximum(np.abs(v) - length * held.l1, 0.0), v)
        if held.low is not None:
            v = np.clip(v * held.unit, held.low, held.high) / held.unit
        return v.ravel()

    def fall(self, move, bent):
        """Of the model with what holds the variables; `bent`: second derivatives times the move."""
        part = self.part
        whole = part.v.copy()
        whole[:, self.variables] += move.reshape(part.K, -1)
        fall = -float(move @ self.gradient.ravel()) - 0.5 * float(move @ bent)
        return max(fall - (part.rest(whole) - part.rest(part.v)), 0.0)

    def by_products(self, v, stop):
        """Without a matrix."""
        part, shape = self.part, v.shape
        times = part.rows.product(part.raw)
        h = part.rows.diagonal(part.raw)
        diagonal = np.stack([self.design.squares(hk) for hk in h]) + self.l2

        def product(flat):
            of = flat.reshape(shape)
            made = self.design.transposed(np.ascontiguousarray(times(self.design.products(of))))
            return (made + self.l2 * of).ravel()

        gradient, diagonal = self.gradient.ravel(), diagonal.ravel()
        if self.is_held:
            x = v.ravel()
            descent = self.proximal_gradient(product, diagonal, x)
            to = descent.run(CLOSE * self.goal, stop, MOST_ITERATIONS)
            return self.fall(to - x, product(to - x)), to.reshape(shape)
        step = conjugate_gradients(product, gradient, diagonal, ENOUGH, MOST_ITERATIONS)
        predicted = max(-0.5 * float(step @ gradient), 0.0)
        return predicted, v + self.without_shift(step.reshape(shape))

    def without_shift(self, step):
        """A step without what all classes share, where that is nothing to loss and penalty: what
        stands there is rounding."""
        u = self.part.u
        if len(u) > 1 and np.abs(u.sum(axis=0)).max() <= SHIFT * np.abs(u).max():
            step[:, self.l2 == 0.0] -= step[:, self.l2 == 0.0].mean(axis=0)
        return step
