"""What Newton's method finds together: an output, or all of a row-wise loss. Its objective, its
working set of columns, and the length of its steps."""

import math

import numpy as np

from sklearn_losses._kernels.fit._penalties import PenaltyKernel
from sklearn_losses._quadratic import Quadratic
from sklearn_losses._solvers.quadratic import Holding
from sklearn_losses._solvers.views import CLOSE, TINY, View

# The least share of the slope by which a step must lower the objective, and how often it is halved.
ARMIJO, HALVINGS = 1e-4, 60
# Of columns with less than this share of the curvature of reweighted least squares, and something
# to gain, it is that which makes the model, for so many steps, and twice as many the next time.
STRAIGHT, FILLED = 0.1, 3
# So is it after a step that the line search made as short as this.
SHORT = 0.1
# Shares of the diagonal that are added to it.
LEAST_DAMPING, MORE_DAMPING, MOST_DAMPING = 1e-3, 8.0, 1e3
# Columns from which on a working set is tried, and the least that it has.
MANY, FEWEST = 100, 128
# Of sparse columns it has one in so many at least.
SHARE_OF_SPARSE = 16
# A model was exact where the gradient that it ended with is off by what can gain this share of the
# view's goal.
EXACT = 0.01
# All columns are taken where a working set would have more than one in so many of them.
MOST_OF_ALL = 2


def holding_of(settings, unit, width):
    """`Holding` of the variables of one output, and the `Quadratic` of them."""
    d = len(unit)
    parts = settings.parts()

    def padded(values, last):
        made = np.full(width, last, dtype=np.float64)
        made[:d] = values
        return made

    feature = np.full(width, -1, dtype=np.int32)
    feature[:d] = np.arange(d, dtype=np.int32)
    unit_of_all = padded(unit, 1.0)
    quadratic = Quadratic(0.0) if parts is None else parts[1]
    kinked = parts is not None and np.any(parts[0])
    l1 = None if parts is None else padded(parts[0] * unit, 0.0)
    kernel = None
    if parts is None:
        kernel = settings.own.kernel()
    elif kinked and settings.own is not None:
        kernel = settings.own.penalty._kernel(settings.alpha, d, l2_apart=True)
    elif kinked:
        kernel = PenaltyKernel("ElasticNet", d, settings.l1, 1.0, [], None, None, True)
    low = high = None
    if settings.low is not None:
        low, high = padded(settings.low, -np.inf), padded(settings.high, np.inf)
    held = Holding(feature, unit_of_all, l1, kernel, low, high)
    return held, quadratic.in_variables(unit, width)


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
        self.design, self.rows = design, rows
        self.held, self.quadratic = holding
        self.settings = newton.settings
        self.K = rows.n_outputs
        self.fixed = None
        if not self.settings.fit_intercept:
            self.fixed = newton.fixed_intercept[first : first + self.K, None]
        self.v = np.ascontiguousarray(v)
        self.moves = design.data.moving(design.width) if self.K > 1 else None
        if self.moves is not None:
            # An intercept that does not move stays where the center of X has put it.
            weights = slice(design.data.X.shape[1])
            self.v[:, weights] *= self.moves[:, weights]
        self.convex = rows.loss.convex
        own = self.settings.own
        self.is_separable = self.held.l1 is not None or is_separable(own)
        self.sparse_solution = self.held.penalty is not None and self.is_separable
        self.gap, self.ended = math.inf, None
        self.clipped = 0  # iterations for which second derivatives are to be clipped
        self.length = 1.0  # of the last step
        self.filled, self.patience = 0, FILLED  # steps whose second derivatives are filled up
        self.stuck = 0  # steps in a row that found nothing lower
        self.damping = 0.0  # Levenberg and Marquardt's
        self.columns = None  # those of the working set; None: all
        self.view = None
        self.strong = None  # columns that screening leaves
        self.curvature = None  # where it was last looked at
        self.known = (None, None)  # `u` and its sums by column
        self.evaluate()

    # ------------------------------------------------------------------------------- the objective

    def raw_of(self, v, view):
        if v[:, : view.design.n_features].any():
            products = view.design.products(v)
        else:
            products = np.zeros((self.K, self.rows.n))
            if self.settings.fit_intercept:
                products += v[:, -1:]
        raw = self.rows.with_offset(products)
        return raw if self.fixed is None else raw + self.fixed

    def evaluate(self):
        """Value and the rows' coefficients at v."""
        self.raw = self.raw_of(self.v, self.view or View(self, None))
        self.value, self.u = self.rows.value_gradient(self.raw)

    def penalty(self, v):
        """All that is added to the loss."""
        held, more = self.held, self.quadratic.value(v)
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

    def slopes(self):
        """The gradient of the loss, kept for as long as the part stands here."""
        if self.known[0] is not self.u:
            self.known = self.u, self.moved(self.design.transposed(self.u))
        return self.known[1]

    def moved(self, vectors, variables=slice(None)):
        """Vectors by output, 0 at what no step moves."""
        return vectors if self.moves is None else vectors * self.moves[:, variables]

    def gradient(self):
        """Of the smooth part: ndarray of shape (n_outputs, width)."""
        return self.slopes() + self.quadratic.gradient(self.v)

    def gradient_square(self):
        """The square of the norm of the mean loss's gradient, by the weights and intercepts that
        steps move."""
        view, d = self.view, self.view.design.n_features
        at = self.v[:, view.variables]
        gradient = view.gradient_at(self.v) - view.quadratic.gradient(at)
        of_weights = gradient[:, :d] / view.held.unit[:d]
        if not self.settings.fit_intercept:
            return float(np.sum(of_weights**2))
        total = gradient[:, -1]
        of_weights += total[:, None] * view.design.center
        return float(np.sum(of_weights**2) + np.sum(total**2))

    def shared_is_free(self):
        """Whether what all classes share is nothing to the loss and bent by the penalty alone."""
        free = self.rows.loss.shift_is_nothing and self.held.penalty is None
        return bool(self.quadratic) and free and self.held.low is None

    # ----------------------------------------------------------------------------------- iterations

    def iterate(self, allowed, rounding, stop):
        """A step, after which `gap` and `ended` say where it stands."""
        enough = max(allowed, rounding)
        if self.view is None and not self.choose(enough):
            return
        view = self.view
        view.goal = CLOSE * max(view.outside, enough)
        if self.filled == 0 and view.is_held and self.is_too_straight(enough):
            self.fill()
        predicted, to = view.step(stop)
        fell = self.move(view, to, predicted, rounding)
        was_filled, self.filled = self.filled > 0, max(self.filled - 1, 0)
        if was_filled and self.filled == 0:
            view.matrix = None
        # Newton's method doubles the digits: what is left after the last step is less.
        whole = fell is not None and self.length == 1.0 and not was_filled
        exact = whole and view.was_exact(EXACT * view.goal)
        left = CLOSE * view.goal if exact else predicted
        self.stuck = self.stuck + 1 if fell is None else 0
        if fell is not None and fell > max(enough, 2.0 * predicted):
            left = fell  # what fell by more than that was no step of this model
        if self.length < SHORT and not was_filled and self.rows.has_flats(self.raw):
            self.fill()
            left = math.inf
        ends = fell is None or left <= view.goal
        straight = ends and self.rows.has_flats(self.raw)
        damps = self.K > 1 or self.damping > 0.0 or (fell is None and not straight)
        damps = damps and view.is_held and self.is_separable  # where the step takes note of it
        if damps and not predicted <= 0.0 and self.damp(fell, ends):
            return
        if ends:
            if was_filled and self.stuck < 2:
                self.filled = 0  # the objective's own model has the last word
                view.matrix = None
                return
            hidden = straight and (fell is None or self.is_too_straight(enough))
            hidden = hidden or view.leaves_pulled(enough)
            if hidden and not was_filled and self.stuck < 2:
                self.fill()  # what the model does not see
                return
            self.gap = left
            self.ended = "minimum" if left <= max(enough, view.goal) else "no step"
            if self.columns is not None and self.ended == "minimum":
                self.ended = None
                self.choose(enough, fell is None or left <= CLOSE * enough)

    def damp(self, fell, ends):
        """Where a loss saturates steps lead far beyond what their model is good for: shorter ones
        after those, and at last one of the model alone. Whether to go on."""
        before = self.damping
        if fell is None or self.length < SHORT:
            self.damping = max(MORE_DAMPING * before, LEAST_DAMPING)
            return fell is None and self.damping < MOST_DAMPING
        self.damping = before / MORE_DAMPING if before > LEAST_DAMPING and not ends else 0.0
        return ends and before > 0.0

    def fill(self):
        self.filled, self.patience, self.damping = self.patience, 2 * self.patience, 0.0
        self.view.matrix = None

    def is_too_straight(self, enough):
        """Whether second derivatives leave out what the objective can fall: those of straight parts
        of a loss are 0."""
        view, rows = self.view, self.rows
        if not rows.has_flats(self.raw):
            return False
        bend, full = (
            np.stack([view.design.squares(h) for h in rows.diagonal(self.raw, filled)])
            + view.quadratic.diagonal()
            for filled in (False, True)
        )
        least = self.violation(self.gradient())[:, view.variables]
        gain = least**2 / (2.0 * np.maximum(full, TINY))
        return bool((gain[bend < STRAIGHT * full] > enough).any())

    def choose(self, enough, inside_done=False):
        """The columns of the next steps; False where none is left that would gain. `inside_done`:
        whether those of the last are at their minimum."""
        d = self.design.n_features
        if not self.sparse_solution or d < MANY:
            self.columns, self.view = None, View(self, None)
            return True
        gradient = self.gradient()
        own = self.quadratic.diagonal()
        bend = np.maximum(self.rows.diagonal(self.raw).sum(axis=1)[:, None] + own, TINY)
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
        least = d // SHARE_OF_SPARSE if self.design.sparse else FEWEST
        want = max(FEWEST, least, int(np.count_nonzero(used)))
        if len(candidates) > want:
            candidates = candidates[np.argpartition(gains[candidates], -want)[-want:]]
        chosen = used | (inside & (gains > 0.0))
        chosen[candidates] = True
        if self.strong is not None:
            chosen |= self.strong
            self.strong = None
        if not (chosen.any() or self.settings.fit_intercept):  # there is nothing to move
            self.columns, self.view = None, View(self, None)
            self.gap, self.ended = 0.0, "minimum"
            return False
        if MOST_OF_ALL * np.count_nonzero(chosen) > d:
            self.columns, self.view, self.sparse_solution = None, View(self, None), False
            return True
        self.columns, self.view = chosen, View(self, np.flatnonzero(chosen))
        self.view.first = np.ascontiguousarray(gradient[:, self.view.variables])
        self.view.outside = outside
        return True

    def follow(self, settings, holding, before):
        """Take another strength of the penalty; `before`: the last `holding`."""
        self.settings = settings
        self.held, self.quadratic = holding
        self.sparse_solution = self.held.penalty is not None and self.is_separable
        self.gap, self.ended, self.length, self.clipped = math.inf, None, 1.0, 0
        self.filled, self.patience, self.stuck, self.damping = 0, FILLED, 0, 0.0
        self.columns = self.view = self.curvature = self.strong = None
        if self.sparse_solution and self.held.l1 is not None and self.design.n_features >= MANY:
            # The sequential strong rule of Tibshirani et al. (2012), eq. 7.
            least = 2.0 * self.held.l1 - before[0].l1
            slopes = np.abs(self.gradient())[:, : self.design.n_features]
            self.strong = (slopes >= least[: self.design.n_features]).any(axis=0)

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
        """What is added to the loss beside the quadratic part."""
        return self.penalty(v) - self.quadratic.value(v)

    def same_curvature(self):
        """Whether second derivatives at the raw predictions are those of the last matrix: of a
        squared error, or where no row has passed a point at which they jump."""
        if self.rows.n_outputs > 1 or self.curvature is None:
            return False
        ((_, _, now),) = self.rows.blocks(self.raw, False)
        return np.array_equal(now, self.curvature)

    def note_curvature(self):
        """That of the raw predictions is that of the matrix."""
        if self.rows.n_outputs == 1:
            ((_, _, self.curvature),) = self.rows.blocks(self.raw, False)
