"""Frisch and Newton's interior point method for losses that are sums of functions of one kink."""

import math

import numpy as np

from sklearn_losses._array import to_host
from sklearn_losses._solvers.barrier import Barrier
from sklearn_losses._solvers.design import Design, one_thread_in_blas
from sklearn_losses._solvers.engines import make_problem
from sklearn_losses._solvers.fit import Descent, Epoch, Model
from sklearn_losses._solvers.gap import tolerated
from sklearn_losses._solvers.globs import Globs, best_shift, pays
from sklearn_losses._solvers.kinks import NO_TERMS, Kinks, Terms
from sklearn_losses._states import array_like, dict_of, whole

# The most rows and columns of the normal matrix.
MOST = 5000


class FrischNewton(Descent):
    """An output after the other where they are quantiles of one target, each from that before;
    else all together. An epoch is a step of each output that is under way.

    Parameters
    ----------
    data : Data
    settings : Settings
    model : Model
        Its intercepts are those where none are fitted.
    reference : Reference
    """

    needs = ("mean", "schedule", "kinks", "sums")
    own_criterion = True
    noisy = False
    on_host = exact = True

    def __init__(self, data, settings, model, reference):
        self.data, self.settings, self.reference = data, settings, reference
        d = data.X.shape[1]
        self.intercept = np.array(to_host(model.intercept), dtype=np.float64)
        columns = data.columns
        self.center = columns.mean if settings.fit_intercept else None
        scale = columns.scales(0.0 if self.center is None else self.center, per_entry=False)
        low, high = settings.low, settings.high
        one = np.zeros(d, dtype=bool) if low is None else low == high
        # Weights that have no effect on the loss, or one value alone, are no part of the problem.
        self.free = (scale > 0) & ~one
        self.fixed = np.zeros(d) if low is None else np.clip(0.0, low, high)
        self.fixed[self.free] = 0.0
        self.unit = np.divide(1.0, scale, out=np.zeros(d), where=self.free)
        self.design = self.design_of(data)
        self.loss = make_problem(data, settings, weight_factor=data.weight_factor())
        self.outputs = [Output(self, k) for k in range(data.n_outputs)]
        self.check_size()
        self.before = neighbours(data)
        self.value = math.nan
        self.made = self.done = 0
        self.z = np.zeros((data.n_outputs, self.design.width))
        self.rate = math.nan

    def design_of(self, data):
        settings = self.settings
        return Design(data, self.center, self.unit, settings.fit_intercept, settings.n_threads)

    def part_of(self, rows):
        """The design of some of the rows that are learned from."""
        all_of_them = self.data.training_rows()
        return self.design_of(self.data.rows(rows if all_of_them is None else all_of_them[rows]))

    def check_size(self):
        d, n = len(self.unit), self.design.n
        wide = all(output.problem.wide for output in self.outputs)
        if (n if wide else d) > MOST:
            raise ValueError(
                f"optimizer={self.settings.optimizer.name!r} factors a matrix of as many rows and "
                "columns as there are features, or of as many as there are samples where these are "
                f"fewer and all weights are penalised or bounded; it takes at most {MOST}, and X "
                f"has {n} samples and {d} features. Use optimizer='lbfgs', where the loss has "
                "smooth neighbours, or one that steps, such as optimizer='adagrad'"
            )

    # -------------------------------------------------------------------------------------- epochs

    def epoch(self, number, stop):
        with one_thread_in_blas():
            while self.made < self.done:  # those of a fit that is resumed
                self.advance(stop)
            z, made, ended = self.advance(stop)
        self.z, self.done = z, self.made
        rate = math.nan
        return Epoch(made[0], made[1], made[2], rate, 1, math.isfinite(made[1]), ended)

    def advance(self, stop):
        """A step of each output; the coordinates, what is told of them, and why it has ended."""
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
        moving = False
        allowed = self.allowed()
        for k, output in enumerate(self.outputs):
            before = self.before[k]
            if before is not None and not self.outputs[before].ended(allowed):
                moving = True
                continue
            output.begin(None if before is None else self.outputs[before], stop)
            if not output.ended(allowed):
                output.method.step()
        z = self.coordinates()
        made = self.told(z)
        self.value = made[1]
        allowed = self.allowed()
        # All are asked: what has come near its end goes on to the vertex there.
        moving = not all([output.ended(allowed) for output in self.outputs]) or moving
        if not np.array_equal(z, at_end := self.coordinates()):
            z, made = at_end, self.told(at_end)
            self.value = made[1]
        ended = None
        if not moving:
            near = all(output.near(allowed) for output in self.outputs)
            met = near and self.settings.tol is not None
            ended = "converged" if met else "line_search"
        self.made += 1
        return z, made, ended

    def coordinates(self):
        return np.stack([output.z() for output in self.outputs])

    def allowed(self):
        """The gap of an output at which it has converged."""
        tol = self.settings.tol
        if tol is None or not math.isfinite(self.value):
            return 0.0
        return tolerated(tol, self.reference, self.value) / len(self.outputs)

    def told(self, z):
        """Loss, objective and the norm of the loss's gradient of coordinates."""
        model = self.model_of(z)
        with np.errstate(over="ignore", invalid="ignore"):
            loss, gradient, of_intercept = self.loss.value_gradient(model.coef, model.intercept)
            square = float(np.vdot(gradient, gradient))
            if self.settings.fit_intercept:
                square += float(np.vdot(of_intercept, of_intercept))
        objective = loss + sum(self.settings.penalties_at(model.coef.astype(np.float64)))
        return loss, objective, math.sqrt(square)

    # --------------------------------------------------------------------------------------- model

    def model_of(self, z):
        settings, dtype = self.settings, self.data.X.dtype
        d = len(self.unit)
        scale = np.array([output.scale for output in self.outputs])
        over = scale[:, None] * self.unit
        coef = self.fixed + z[:, :d] * over
        if settings.low is not None:  # over a unit and back may be an ulp away
            for bound, of in ((settings.low, np.less_equal), (settings.high, np.greater_equal)):
                held = self.free & of(z[:, :d], bound / np.where(self.free, over, 1.0))
                coef = np.where(held, bound, coef)
            coef = np.clip(coef, settings.low, settings.high)
        coef = coef.astype(dtype)
        if not settings.fit_intercept:
            return Model(coef, self.intercept.copy())
        shift = np.array([output.shift for output in self.outputs])
        return Model(coef, shift + z[:, d] * scale - coef.astype(np.float64) @ self.center)

    def save(self):
        return bool(np.isfinite(self.z).all())

    def model(self):
        return self.model_of(self.z)

    public_model = model

    def get_state(self):
        return {"done": self.done, "z": self.z}

    def set_state(self, state):
        state = dict_of({"done": whole(), "z": array_like(self.z)})(state, "descent")
        self.done, self.z = state["done"], state["z"]


def neighbours(data):
    """For each output the one that it starts from, or None: of the quantiles of one target that
    with the next quantile towards the middle one."""
    before = [None] * data.n_outputs
    if data.target != "shared" or len(data.losses) != data.n_outputs:
        return before
    levels = [getattr(loss, "quantile", None) for loss in data.losses]
    if None in levels:
        return before
    order = np.argsort(levels, kind="stable")
    middle = len(order) // 2
    for i, k in enumerate(order):
        if i != middle:
            before[k] = int(order[i + 1 if i < middle else i - 1])
    return before


class Output:
    """The problem of one output, in units in which targets, and columns, vary by about 1.

    Parameters
    ----------
    descent : FrischNewton
    k : int
    """

    def __init__(self, descent, k):
        self.descent = descent
        data, settings, design = descent.data, descent.settings, descent.design
        given, rows = data.output(k), data.training_rows()
        y, weight, offset = (
            None if array is None else (array if rows is None else array[rows]) for array in given
        )
        n = design.n
        weight = np.ones(n) if weight is None else weight * data.weight_factor()
        self.shift = descent.reference.constants[k] if settings.fit_intercept else 0.0
        base = np.full(n, self.shift if settings.fit_intercept else descent.intercept[k])
        base = base if offset is None else base + offset
        at = np.flatnonzero(descent.fixed)
        if len(at):
            fixed = np.asarray(data.X[:, at] @ descent.fixed[at], dtype=np.float64).ravel()
            if descent.center is not None:
                fixed = fixed - descent.center @ descent.fixed
            base = base + (fixed if rows is None else fixed[rows])
        row, terms = terms_of(data.loss(k), y, weight, base)
        width = terms.high - terms.low
        total = float(width.sum())
        scale = float(width @ np.abs(terms.kink)) / total if total else 0.0
        self.scale = scale if 0.0 < scale < math.inf else 1.0
        self.n = n
        terms = Terms(terms.kink / self.scale, terms.low, terms.high)
        bend, at, of_coordinates = self.penalties()
        beside = np.zeros((0, design.width))
        self.problem = Kinks(design, row, terms.and_then(of_coordinates), bend, beside, at)
        self.method = None

    def penalties(self):
        """Weights of the squares, and the terms of the L1 penalty and of bounds and their
        coordinates."""
        descent, settings, n = self.descent, self.descent.settings, self.n
        unit, free, width = descent.unit, descent.free, descent.design.width
        l1, l2 = (np.broadcast_to(part, unit.shape) for part in settings.sums())
        bend = np.zeros(width)
        bend[: len(unit)] = n * self.scale * l2 * unit**2
        l1 = n * l1 * unit
        low, high = np.full(unit.shape, -np.inf), np.full(unit.shape, np.inf)
        if settings.low is not None:
            over = np.where(free, unit, 1.0) * self.scale
            low, high = settings.low / over, settings.high / over
        at_zero = Terms(
            np.zeros(len(unit)), np.where(low == 0, -np.inf, -l1), np.where(high == 0, np.inf, l1)
        )
        infinite, zero = np.full(unit.shape, np.inf), np.zeros(unit.shape)
        pieces = [
            (at_zero, at_zero.high > at_zero.low),
            (Terms(low, -infinite, zero), np.isfinite(low) & (low != 0)),
            (Terms(high, zero, infinite), np.isfinite(high) & (high != 0)),
        ]
        at, terms = [], NO_TERMS
        for piece, held in pieces:
            some = np.flatnonzero(held & free)
            at.append(some)
            terms = terms.and_then(piece[some])
        return bend, np.concatenate(at), terms

    def begin(self, neighbour, stop):
        """From least squares, or from a neighbour's coordinates with the best intercept."""
        if self.method is not None:
            self.method.stop = stop
            return
        problem, descent = self.problem, self.descent
        start = None
        if neighbour is not None:
            start = neighbour.z() * (neighbour.scale / self.scale)
            if descent.settings.fit_intercept:
                start[-1] += (neighbour.shift - self.shift) / self.scale
                of_rows = problem.terms[: problem.n_of_rows]
                r = problem.times(start)[: problem.n_of_rows] - of_rows.kink
                start[-1] += best_shift(r, of_rows)
        if pays(problem):
            self.method = Globs(problem, descent.part_of, start, stop)
        else:
            self.method = Barrier(problem, start)

    def z(self):
        return np.zeros(self.problem.width) if self.method is None else self.method.best

    def near(self, allowed):
        """Whether the gap of the mean is at most `allowed`, or rounding."""
        return self.method.near(allowed * self.n / self.scale)

    def ended(self, allowed):
        """Whether it has come to its end, where the gap of the mean is to be at most `allowed`."""
        return self.method is not None and self.method.ended(allowed * self.n / self.scale)


def terms_of(loss, y, weight, base):
    """The terms of a loss at rows: the rows (None: all in order) and `Terms`, in the units of y.

    Parameters
    ----------
    loss : Loss
    y, weight, base : ndarray of shape (n,)
        `base` is what is added to the design's products.
    """
    rows, made = [], NO_TERMS
    for given in loss._terms(y):
        kink, low, high = (np.broadcast_to(np.asarray(x, dtype=np.float64), y.shape) for x in given)
        if not (np.isfinite(kink).all() and np.isfinite(low).all() and np.isfinite(high).all()):
            raise ValueError(f"{loss!r}._terms must return finite numbers; got inf or nan")
        if (low > 0).any() or (high < 0).any():
            raise ValueError(
                f"{loss!r}._terms must return slopes low <= 0 <= high; got low up to "
                f"{low.max():g}, high from {high.min():g}"
            )
        low, high = low * weight, high * weight
        live = np.flatnonzero(high > low)
        rows.append(live)
        made = made.and_then(Terms(kink - base, low, high)[live])
    row = np.concatenate(rows) if rows else np.zeros(0, dtype=int)
    if len(row) != len(y):
        return row, made
    # A term for each row: in their order they need no numbers.
    order = np.argsort(row, kind="stable")
    if np.array_equal(row[order], np.arange(len(y))):
        return None, made[order]
    return row, made
