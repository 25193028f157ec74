"""Newton's quadratic models of a part, on all of its columns or some, and steps to their minima."""

import math

import numpy as np
from scipy.sparse import csc_array

from sklearn_losses._solvers.quadratic import (
    CoordinateDescent,
    ProximalGradient,
    SparseDescent,
    conjugate_gradients,
    newton_step,
)

# Matrices of second derivatives have at most so many rows; beyond, and where forming and factoring
# one takes as long as so many products with it, they are only multiplied by.
MOST_WIDTH = 4096
PRODUCTS = 60
# Numbers that BLAS multiplies in the time in which a product takes one number of X.
BLAS_SPEED = 5.0
# Coordinate descent takes sparse columns where the matrix would have so many times the entries.
SPARSER = 4.0
# A matrix is renewed where a step predicts a fall above this share of the last step's.
SLOW = 0.5
# Changes of the gradient teach the matrix where it bends by no less than this share of what it did.
LEAST_BEND = 1e-8
# Weights with less than this share of the curvature that would take them to 0 count as not bent.
STRAIGHT = 1e-6
# A ridge from which on a matrix counts as indefinite; second derivatives are clipped in so many
# steps then.
INDEFINITE, CLIPPED = 1e-10, 3
# Gradients that sum to no more than this over the classes, relative to the largest, sum to 0.
SHIFT = 1e-12
# Conjugate gradients end at this share of the gradient, or where it has so many iterations.
ENOUGH, MOST_ITERATIONS = 0.1, 250
# A view is followed until what it can still gain is this share of what is allowed, or of what is
# outside it; and the minimum of a model to this share of that.
CLOSE = 0.1
TINY = 1e-300


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
        self.quadratic = part.quadratic if columns is None else part.quadratic.at(self.variables)
        self.l2 = self.quadratic.diagonal()
        self.width = self.design.width
        self.is_held = self.held.penalty is not None or self.held.low is not None
        self.first = None
        self.columns = None  # of sparse X, as CSC
        self.matrix = None  # second derivatives
        self.aged = False  # whether they are of another point
        self.last = None  # point, gradient and predicted fall of the last step
        self.modelled = None  # the gradient where it ends, by a model that may be exact

    def step(self, stop):
        """The fall that the model predicts, and where its minimum is (None: nowhere)."""
        part = self.part
        v = np.ascontiguousarray(part.v[:, self.variables])
        self.gradient, self.first = self.gradient_at(part.v), None
        self.modelled = None
        if self.goes_by_columns():
            return self.by_columns(v, stop)
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
            part = self.part
            whole = self.design is part.design
            slopes = (
                part.slopes()
                if whole
                else part.moved(self.design.transposed(part.u), self.variables)
            )
            self.first = slopes + self.quadratic.gradient(v[:, self.variables])
        return self.first

    def was_exact(self, allowed):
        """Whether the model of the last step, a whole one, was the objective itself: its gradient
        ended where that of the objective is, but for what could gain so little."""
        part = self.part
        if self.modelled is None or self.aged or not part.same_curvature():
            return False
        miss = self.gradient_at(part.v).ravel() - self.modelled
        gain = 0.5 * float(miss @ (miss / np.maximum(self.matrix.diagonal(), TINY)))
        if not gain <= allowed:
            return False
        # Where columns are nearly the same, rounding is much more along what tells them apart.
        moved = part.v[:, self.variables].ravel() != 0.0
        free = np.flatnonzero(moved | (self.held.feature < 0) | (not self.is_held))
        step, _ = newton_step(self.matrix[np.ix_(free, free)], miss[free])
        return step is not None and gain - 0.5 * float(step @ miss[free]) <= allowed

    def goes_by_columns(self):
        """Whether coordinate descent takes sparse columns: where they have fewer entries than a
        matrix of second derivatives has columns."""
        part, design = self.part, self.design
        if not (design.sparse and self.is_held and part.is_separable and part.K == 1):
            return False
        if not self.quadratic.is_diagonal:
            return False
        return SPARSER * design.kernel.entries < self.width**2

    # ---------------------------------------------------------------------------------- the matrix

    def cost_of_matrix(self):
        """In numbers that BLAS multiplies."""
        part = self.part
        return part.K * (part.K + 1) / 2 * self.design.kernel.cost_of_gram()

    def cost_of_products(self):
        """That of two products with the design."""
        return 2.0 * BLAS_SPEED * self.part.K * max(self.design.kernel.entries, 1)

    def cost_of_factor(self):
        return (self.part.K * self.width) ** 3 / 3.0

    def cost_of_step(self):
        return self.cost_of_products() + self.cost_of_factor()

    def forms_matrix(self):
        """Whether the matrix is worth its cost."""
        width = self.width * self.part.K
        if width > MOST_WIDTH:
            return False
        if self.is_held:
            return True
        return self.cost_of_matrix() + self.cost_of_factor() <= PRODUCTS * self.cost_of_products()

    def take_up(self, v):
        """The matrix for a step from v: that of the last, with what it has taught, or a new one."""
        if self.matrix is None or self.part.filled > 0:
            self.renew()
        elif not self.part.same_curvature():
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
        if self.part.length < 1.0 or not predicted < SLOW * before < math.inf:
            return True
        if predicted <= self.goal:
            return False
        left = math.log(max(self.goal, TINY) / predicted) / math.log(predicted / before)
        return left * self.cost_of_step() > self.cost_of_matrix() + 2.0 * self.cost_of_step()

    def renew(self):
        self.aged = False
        self.part.note_curvature()
        self.matrix = self.matrix_of(clipped=not self.is_signed())

    def is_signed(self):
        """Whether second derivatives are taken as they are, though some may be negative."""
        return not (self.is_held or self.part.convex or self.part.clipped > 0)

    def pull(self):
        """By which curvature the penalty would take each weight to 0 in a step; of those at 0, and
        others that it does not pull, 0: ndarray of shape (n_outputs, width)."""
        part = self.part
        if self.held.l1 is None or self.held.penalty is None:
            return np.zeros((part.K, self.width))
        least = np.abs(self.held.least(part.v[:, self.variables], self.gradient_at(part.v)))
        size = np.abs(part.v[:, self.variables])
        return np.where((self.held.l1 > 0.0) & (size > 0.0), least / np.maximum(size, TINY), 0.0)

    def leaves_pulled(self, enough):
        """Whether the penalty pulls at weights that the model does not bend, as where all rows are
        beyond what a loss looks at: they stay where they are."""
        part = self.part
        if not self.is_held or part.filled > 0:
            return False
        pull = self.pull()
        gain = 0.5 * pull * part.v[:, self.variables] ** 2
        if not (gain > enough).any():
            return False
        bend = np.stack([self.design.squares(h) for h in part.rows.diagonal(part.raw)]) + self.l2
        return bool((gain[bend < STRAIGHT * pull] > enough).any())

    def ridge(self, bend):
        """What is added to the diagonal: that of the quadratic part, and with second derivatives
        filled up the penalty's pull where there is next to nothing else."""
        if self.part.filled == 0:
            return np.broadcast_to(self.l2, bend.shape)
        pull = self.pull()
        return self.l2 + np.where(bend + self.l2 < STRAIGHT * pull, pull, 0.0)

    def matrix_of(self, clipped):
        """Second derivatives of the smooth part, by outputs and their variables."""
        part, width = self.part, self.width
        made = np.empty((part.K, width, part.K, width))
        for k, j, weights in part.rows.blocks(part.raw, clipped, part.filled > 0):
            block = self.design.gram(weights)
            made[k, :, j] = block
            if k != j:
                made[j, :, k] = block.T
        made = made.reshape(part.K * width, -1)
        if part.moves is not None:
            moves = part.moves[:, self.variables].ravel()
            made = made * np.outer(moves, moves) + np.diag(1.0 - moves)
        diagonal = made.diagonal().reshape(part.K, width)
        made[np.diag_indices(part.K * width)] += self.ridge(diagonal).ravel()
        return self.quadratic.added_to(made, part.K)

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
        self.modelled = gradient + self.matrix @ step
        return predicted, v + self.without_shift(step.reshape(v.shape))

    def by_descent(self, v, stop):
        """With a penalty or bounds."""
        part, gradient = self.part, self.gradient.ravel()
        x = v.ravel()
        if part.is_separable:
            held = self.held if part.K == 1 else self.held.repeated(part.K)
            matrix = self.anchored()
            descent = CoordinateDescent(matrix, gradient, x, held, exact=part.K == 1)
        else:
            matrix = self.matrix
            descent = self.proximal_gradient(matrix.__matmul__, matrix.diagonal(), x)
        to = descent.run(CLOSE * self.goal, stop)
        bent = matrix @ (to - x)
        if part.is_separable and descent.solved:
            self.modelled = gradient + bent
        return self.fall(to - x, bent), to.reshape(v.shape)

    def by_columns(self, v, stop):
        """With a penalty or bounds, on sparse columns."""
        part, design = self.part, self.design
        if self.columns is None:
            X, rows = design.data.X, design.data.training_rows()
            X = X if rows is None else X[rows]
            self.columns = csc_array(X, dtype=np.float64)
            self.columns.indices = self.columns.indices.astype(np.int32, copy=False)
        center = np.zeros(design.n_features) if design.center is None else design.center
        ((_, _, h),) = part.rows.blocks(part.raw, True, part.filled > 0)
        x, gradient = v.ravel(), self.gradient.ravel()
        bend = design.squares(h)[None] if part.filled else v
        descent = SparseDescent(
            self.columns,
            design.fit_intercept,
            center,
            h,
            np.ascontiguousarray((self.ridge(bend) + self.damping())[0]),
            gradient,
            x,
            self.held,
        )
        to = descent.run(CLOSE * self.goal, stop)
        whole = part.v.copy()
        whole[:, self.variables] = to.reshape(v.shape)
        fall = -descent.rise() - (part.rest(whole) - part.rest(part.v))
        return max(fall, 0.0), to.reshape(v.shape)

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
        times = part.rows.product(part.raw, part.filled > 0)
        h = part.rows.diagonal(part.raw, part.filled > 0)
        diagonal = np.stack([self.design.squares(hk) for hk in h]) + self.l2

        def product(flat):
            of = flat.reshape(shape)
            made = self.design.transposed(np.ascontiguousarray(times(self.design.products(of))))
            made = part.moved(made, self.variables)
            return (made + self.quadratic.product(of)).ravel()

        gradient, diagonal = self.gradient.ravel(), diagonal.ravel()
        if self.is_held:
            x = v.ravel()
            descent = self.proximal_gradient(product, diagonal, x)
            to = descent.run(CLOSE * self.goal, stop, MOST_ITERATIONS)
            return self.fall(to - x, product(to - x)), to.reshape(shape)
        step = conjugate_gradients(product, gradient, diagonal, ENOUGH, MOST_ITERATIONS)
        predicted = max(-0.5 * float(step @ gradient), 0.0)
        return predicted, v + self.without_shift(step.reshape(shape))

    def anchored(self):
        """The matrix, damped; where what all classes share is nothing to the loss, one that leaves
        the last class's intercept where it is: rounding would carry them all away."""
        held = self.design.fit_intercept and self.shift_is_nothing()
        if not (held or self.part.damping):
            return self.matrix
        matrix = self.matrix.copy()
        if self.part.damping:
            matrix[np.diag_indices(len(matrix))] += self.damping().ravel()
        if held:
            matrix[-1] = matrix[:, -1] = 0.0
        return matrix

    def damping(self):
        """What is added to the diagonal so that steps are shorter: (n_outputs, width)."""
        part = self.part
        if part.damping == 0.0:
            return np.zeros((part.K, self.width))
        full = np.stack([self.design.squares(h) for h in part.rows.diagonal(part.raw, True)])
        return part.damping * full

    def shift_is_nothing(self):
        """Whether the loss does not see what all classes share."""
        u = self.part.u
        if len(u) == 1 or not self.part.rows.loss.shift_is_nothing:
            return False
        return np.abs(u.sum(axis=0)).max() <= SHIFT * np.abs(u).max()

    def without_shift(self, step):
        """A step without what all classes share, where that is nothing to loss and penalty: what
        stands there is rounding."""
        if self.shift_is_nothing():
            step[:, self.l2 == 0.0] -= step[:, self.l2 == 0.0].mean(axis=0)
        return step
