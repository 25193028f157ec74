"""Proximal Newton steps for several targets whose coefficients of a feature are one group.

The model of a step is the sum of the targets' quadratic models, which only the penalty ties
together. Its minimum is found by block coordinate descent, a feature's row at a time, each to its
exact minimum, and by Newton's steps on the rows that are not 0, where the penalty has derivatives.
"""

import math
from dataclasses import dataclass

import numpy as np

from sklearn_losses._solvers.design import one_thread_in_blas
from sklearn_losses._solvers.quadratic import conjugate_gradients, newton_step

# The gap is a bound for all coefficients within so many times the largest one of the solution.
REACH = 11.0
# The least size that a gap is relative to, beside the objective of the constants.
LEAST_SIZE = 1e-3
# The share of a gap that the minimum of a step's model is found to.
CLOSE = 0.01
ARMIJO, HALVINGS = 1e-4, 50
# Shares of the objective: falls that rounding may hide, and what it makes of the objective.
HIDDEN, ROUNDING = 1e-11, 1e-13
# The share of a gap that a step is to leave at most where rounding hides the fall.
WORTH = 0.5
# Where samples have no second derivative, at the start and after steps shorter than this, they get
# a share of those of reweighted least squares: the first share after a step, what it grows by then,
# and what it falls by after whole steps.
SHORT, FIRST, MORE, LESS = 0.6, 1e-3, 10.0, 8.0
# Features from which on a step moves some rows alone, and the least that it moves.
MANY, FEWEST = 100, 50
# Passes of block coordinate descent, and how many there are between two direct steps.
MOST_SWEEPS, DIRECT_EVERY = 200, 3
# Variables up to which a direct step factors a matrix.
MOST_DIRECT = 3000
# Direct steps in a row, and the least share of one.
MOST_HITS, LEAST_LENGTH = 20, 1e-3
# Features up to which a penalty without groups has its matrix factored, and conjugate gradients'
# share of the gradient and iterations beyond.
MOST_WIDTH, ENOUGH, MOST_PRODUCTS = 4096, 1e-3, 1000
# Of a matrix's diagonal, so that rows that do not bend have a minimum.
RIDGE = 1e-12
EPS = 4.0 * np.finfo(np.float64).eps


@dataclass
class Penalty:
    """``sum(l1 * unit_j * |v_j| + l2 * unit_j**2 * |v_j|**2 / 2)`` over the features' rows v_j of
    shape (n_tasks,); `unit` has shape (n_features,)."""

    l1: float
    l2: float
    unit: np.ndarray

    def value(self, v):
        squares = np.sum(v[:, : len(self.unit)] ** 2, axis=0) * self.unit**2
        return self.l1 * float(np.sqrt(squares).sum()) + 0.5 * self.l2 * float(squares.sum())

    def bend(self, width):
        """Of the smooth part, by variable."""
        made = np.zeros(width)
        made[: len(self.unit)] = self.l2 * self.unit**2
        return made


def least_gradient(v, gradient, l1):
    """The least element of the subdifferential: arrays of shape (n_tasks, width); `l1` by variable,
    0 for intercepts."""
    size, slope = np.linalg.norm(v, axis=0), np.linalg.norm(gradient, axis=0)
    left = np.divide(
        np.maximum(slope - l1, 0.0), slope, out=np.zeros_like(slope), where=slope > 0.0
    )
    pull = np.divide(l1, size, out=np.zeros_like(size), where=size > 0.0)
    return np.where(size > 0.0, gradient + pull * v, left * gradient)


def row_minimum(bend, slope, l1):
    """The x with the least ``slope @ x + x @ diag(bend) @ x / 2 + l1 * |x|``, of shape (n_tasks,),
    with bend > 0.

    The norm of x is the root of ``|slope / (bend * norm + l1)| = 1``. The reciprocal of its left
    side is concave and rises, so that Newton's steps from below reach it without passing it.
    """
    size = math.sqrt(float(slope @ slope))
    if size <= l1:
        return np.zeros_like(slope)
    if l1 == 0.0:
        return -slope / bend
    norm = (size - l1) / float(bend.max())
    for _ in range(100):
        shares = slope / (bend * norm + l1)
        square = float(shares @ shares)
        step = (
            (math.sqrt(square) - 1.0)
            * square
            / float(shares @ (shares * bend / (bend * norm + l1)))
        )
        norm += step
        if not step > 1e-15 * norm:
            break
    return -slope * norm / (bend * norm + l1)


class Model:
    """The quadratic model of a step with the norms of its rows.

    Parameters
    ----------
    bend : ndarray of shape (n_tasks, width, width)
    slope, v : ndarray of shape (n_tasks, width)
        The gradient of the smooth part at v.
    l1 : ndarray of shape (width,)
        0 where there is no norm.
    size : ndarray of shape (n_tasks, 1)
        Of each task's variables, for gaps.
    """

    def __init__(self, bend, slope, v, l1, size):
        self.bend, self.l1, self.size = bend, l1, size
        self.x, self.slope = v.copy(), slope.copy()
        self.diagonal = np.ascontiguousarray(np.einsum("tjj->jt", bend))
        largest = self.diagonal.max(axis=0, initial=0.0)
        least = RIDGE * np.where(largest > 0.0, largest, 1.0)
        self.diagonal = np.maximum(self.diagonal, least)
        self.rounding = EPS * self.total(self.diagonal.T * v)
        # Constants first: they are what moves most.
        self.order = np.argsort(l1 > 0.0, kind="stable").tolist()

    def run(self, allowed):
        """Until what is left is no more than is allowed; the point."""
        allowed = max(allowed, self.rounding)
        for i in range(MOST_SWEEPS):
            self.sweep()
            if self.left() <= allowed:
                break
            if i % DIRECT_EVERY == 0:
                self.on_rows(allowed)
                if self.left() <= allowed:
                    break
        return self.x

    def left(self):
        return self.total(least_gradient(self.x, self.slope, self.l1))

    def total(self, slopes):
        return float(np.sum(self.size * np.abs(slopes)))

    def sweep(self):
        """Each row to its minimum, given the others."""
        x, slope = self.x, self.slope
        for j in self.order:
            bend, at = self.diagonal[j], x[:, j].copy()
            to = row_minimum(bend, slope[:, j] - bend * at, self.l1[j])
            move = to - at
            if move.any():
                x[:, j] = to
                slope += self.bend[:, :, j] * move[:, None]

    def on_rows(self, allowed):
        """Newton steps on the rows that are not 0, between which rows come to 0."""
        for _ in range(MOST_HITS):
            if not self.step_on_rows() or self.left() <= allowed:
                return

    def step_on_rows(self):
        """Whether there is such a step, and another may follow."""
        x, n_tasks = self.x, len(self.x)
        size = np.linalg.norm(x, axis=0)
        at = np.flatnonzero((size > 0.0) | (self.l1 == 0.0))
        m = len(at)
        if not 0 < n_tasks * m <= MOST_DIRECT:
            return False
        here, size, l1 = x[:, at], size[at], self.l1[at]
        pull = np.divide(l1, size, out=np.zeros(m), where=l1 > 0.0)
        unit = np.divide(here, size, out=np.zeros((n_tasks, m)), where=size > 0.0)
        blocks = self.bend[:, at[:, None], at]
        matrix = np.zeros((n_tasks, m, n_tasks, m))
        rows = np.arange(m)
        for k in range(n_tasks):
            matrix[k, :, k] = blocks[k]
            for j in range(n_tasks):
                matrix[k, rows, j, rows] += pull * ((k == j) - unit[k] * unit[j])
        down = self.slope[:, at] + pull * here
        step, _ = newton_step(matrix.reshape(n_tasks * m, -1), down.ravel())
        if step is None:
            return False
        step = step.reshape(n_tasks, m)

        def rise(move):
            norms = np.linalg.norm(here + move, axis=0) - size
            bent = np.einsum("tij,tj->ti", blocks, move)
            return float(np.sum((self.slope[:, at] + 0.5 * bent) * move) + l1 @ norms)

        # The share of the step after which a row is across from where it was.
        along = np.sum(here * step, axis=0)
        turns = np.divide(
            -(size**2), along, out=np.full(m, math.inf), where=(along < 0.0) & (l1 > 0.0)
        )
        first, moves = float(turns.min(initial=math.inf)), [step]
        if first < 1.0:
            moves.append(np.where(turns < 1.0, -here, step))
            moves.append(np.where(turns <= first, -here, first * step))
        rises = [rise(move) for move in moves]
        length = 0.5
        while not min(rises) < 0.0 and length > LEAST_LENGTH:
            moves.append(length * step)
            rises.append(rise(moves[-1]))
            length *= 0.25
        best = int(np.argmin(rises))
        if not rises[best] < 0.0:
            return False
        x[:, at] += moves[best]
        self.slope += np.einsum("tij,tj->ti", self.bend[:, :, at], moves[best])
        return True


@dataclass
class Solution:
    """Where a descent ended.

    Attributes
    ----------
    v : ndarray of shape (n_tasks, width)
    losses : ndarray of shape (n_tasks,)
        Mean losses above their floors.
    objective, gap : float
    n_iter : int
    met : bool
        Whether the gap is small enough.
    """

    v: np.ndarray
    losses: np.ndarray
    objective: float
    gap: float
    n_iter: int
    met: bool


class Descent:
    """The minimum of the sum of the tasks' factored losses and a penalty.

    Parameters
    ----------
    tasks : list of Task
    penalty : Penalty
    tol : float
    max_iter : int
    """

    def __init__(self, tasks, penalty, tol, max_iter):
        self.tasks, self.penalty, self.tol, self.max_iter = tasks, penalty, tol, max_iter
        self.width, self.d = tasks[0].design.width, tasks[0].design.n_features
        self.l1 = np.zeros(self.width)
        self.l1[: self.d] = penalty.l1 * penalty.unit
        self.l2 = penalty.bend(self.width)
        self.size = np.array([[task.scale / task.stretch] for task in tasks])
        self.taken = {}

    def run(self, v):
        """From v: `Solution`."""
        with one_thread_in_blas(), np.errstate(over="ignore", invalid="ignore"):
            return self._run(v)

    def _run(self, v):
        least_size = LEAST_SIZE * sum(task.factor * task.null for task in self.tasks)
        self.hidden, n_iter, gap = False, 0, math.inf
        self.take_place(v)
        self.filled = float(self.has_flats())
        while True:
            last = gap
            gradient = self.gradient()
            left = least_gradient(self.v, gradient, self.l1)
            reach = REACH * max(1.0, float(np.max(np.abs(self.v) / self.size)))
            gap = reach * float(np.sum(self.size * np.abs(left)))
            allowed = self.tol * max(self.objective, least_size)
            met = gap <= allowed
            if met or n_iter >= self.max_iter or not math.isfinite(self.objective):
                break
            if self.hidden and gap > WORTH * last:
                break
            n_iter += 1
            target = max(CLOSE * gap, 0.3 * allowed) / reach
            if not self.step(gradient, left, target):
                break
        return Solution(self.v, self.losses, self.objective, gap, n_iter, met)

    # ------------------------------------------------------------------------------- the objective

    def take_place(self, v, seen=None):
        self.v, self.seen = v, seen or [t.at(row) for t, row in zip(self.tasks, v, strict=True)]
        self.losses = np.array([value for _, value, _ in self.seen])
        self.objective = self.value_of(v, self.seen)

    def value_of(self, v, seen):
        loss = sum(t.factor * value for t, (_, value, _) in zip(self.tasks, seen, strict=True))
        return loss + self.penalty.value(v)

    def gradient(self):
        """Of the smooth part: (n_tasks, width)."""
        made = [t.slopes(rows) for t, (_, _, rows) in zip(self.tasks, self.seen, strict=True)]
        return np.stack(made) + self.l2 * self.v

    def has_flats(self):
        """Whether samples have a slope, and next to no second derivative."""
        pairs = zip(self.tasks, self.seen, strict=True)
        return any(task.rows.has_flats(raw) for task, (raw, _, _) in pairs)

    # --------------------------------------------------------------------------------------- a step

    def step(self, gradient, left, target):
        """Go where the model leads; False where the descent has come to its end."""
        filled = self.filled
        to, designs, at = self.minimum_of_model(gradient, left, target)
        length = 0.0 if to is None else self.move(gradient, to, designs, at)
        if length == 1.0:
            self.filled = filled / LESS if filled > FIRST else 0.0
        elif length < SHORT and filled < 1.0:
            if filled or self.has_flats():
                self.filled = min(max(MORE * filled, FIRST), 1.0)
                return True
        return length > 0.0

    def chosen(self, left):
        """The variables that a step moves."""
        if self.d < MANY or self.penalty.l1 == 0.0:
            return None
        used = (self.v != 0.0).any(axis=0)
        used[self.d :] = True
        pulls = np.where(used, 0.0, np.linalg.norm(left / self.size, axis=0))
        others = np.flatnonzero(pulls > 0.0)
        most = max(FEWEST, int(np.count_nonzero(used)))
        if len(others) > most:
            others = others[np.argpartition(pulls[others], -most)[-most:]]
        used[others] = True
        return None if 2 * np.count_nonzero(used) > self.d else np.flatnonzero(used)

    def designs(self, at):
        """Those of the chosen variables, one a task."""
        if at is None:
            return [task.design for task in self.tasks]
        columns = at[at < self.d]
        if not (self.taken and np.array_equal(self.taken["columns"], columns)):
            self.taken = {"columns": columns}
        for design in {id(t.design): t.design for t in self.tasks}.values():
            if id(design) not in self.taken:
                self.taken[id(design)] = design.take(columns)
                self.taken[id(design)].keeps_gram = True
        return [self.taken[id(task.design)] for task in self.tasks]

    def minimum_of_model(self, gradient, left, target):
        """Where the model's minimum is (None: nowhere), the designs, and the variables."""
        at = self.chosen(left)
        designs, some = self.designs(at), slice(None) if at is None else at
        bent = [
            task.curvature(raw, self.filled)
            for task, (raw, _, _) in zip(self.tasks, self.seen, strict=True)
        ]
        v, slope = self.v[:, some], gradient[:, some]
        if self.penalty.l1 == 0.0:
            moves = [self.smooth_step(*x) for x in zip(designs, bent, slope, strict=True)]
            known = all(move is not None for move in moves)
            return (v + np.stack(moves) if known else None), designs, some
        bend = np.stack([d.gram(h) for d, h in zip(designs, bent, strict=True)])
        bend[:, np.arange(v.shape[1]), np.arange(v.shape[1])] += self.l2[some]
        return Model(bend, slope, v, self.l1[some], self.size).run(target), designs, some

    def smooth_step(self, design, bent, slope):
        """That of a task, where the penalty has derivatives."""
        if self.width <= MOST_WIDTH:
            bend = design.gram(bent)
            bend[np.diag_indices(self.width)] += self.l2
            return newton_step(bend, slope)[0]

        def product(vector):
            return design.transposed(bent * design.products(vector)) + self.l2 * vector

        diagonal = design.squares(bent) + self.l2
        return conjugate_gradients(product, slope, diagonal, ENOUGH, MOST_PRODUCTS)

    def move(self, gradient, to, designs, at):
        """Go to `to`, or as far towards it as the objective falls: the share, 0 for not at all."""
        direction = np.zeros_like(self.v)
        direction[:, at] = to - self.v[:, at]
        full = self.v + direction
        full[:, at] = to
        rest = self.penalty.value(full) - self.penalty.value(self.v)
        smooth = float(np.sum(self.l2 * (full**2 - self.v**2))) / 2.0
        slope = float(np.sum(gradient * direction)) + rest - smooth
        length, before = 1.0, self.objective
        # Where rounding hides the fall the model is believed, for as long as gaps get smaller.
        self.hidden = abs(slope) <= HIDDEN * abs(before)
        if not (slope < 0.0 or self.hidden):
            return 0.0
        for _ in range(HALVINGS):
            v = full if length == 1.0 else self.v + length * direction
            seen = [
                task.at(row, design)
                for task, row, design in zip(self.tasks, v[:, at], designs, strict=True)
            ]
            value = self.value_of(v, seen)
            change = value - before
            believed = self.hidden and length == 1.0 and change <= ROUNDING * abs(before)
            if change <= min(ARMIJO * length * slope, 0.0) or believed:
                self.take_place(v, seen)
                return length
            length *= 0.5 if math.isfinite(value) else 0.1
        return 0.0
