"""The weights with the least loss under constraints: Newton's method on the loss, whose steps lead
to the minimum of a quadratic model with all kinks and constraints as they are (`_quadratic`).

A loss that is made of straight lines is a quadratic program as it stands. Limits of the mean losses
of groups enter each model linearly, with the curvature of the Lagrangian (Fletcher, R., 1987,
Practical Methods of Optimization, section 14.5: sequential quadratic programming with the exact L1
penalty, and a second order correction).
"""

import math
from dataclasses import dataclass

import numpy as np

from sklearn_losses._solvers.data import Data
from sklearn_losses._solvers.design import Design, one_thread_in_blas
from sklearn_losses._solvers.kinks import NO_TERMS
from sklearn_losses._solvers.reference import constants_of
from sklearn_losses._solvers.rows import PointwiseRows
from sklearn_losses.adversarial._pieces import never_ends
from sklearn_losses.constrained._constraints import independent, scaled
from sklearn_losses.constrained._quadratic import NO_ROWS, Quadratic, Rows, terms_from
from sklearn_losses.links import IdentityLink

HALVINGS, SHORT = 40, 0.1
# The price of an excess of a group's loss, which grows where that is too little to end it.
PRICE, MORE, MOST_PRICE = 10.0, 10.0, 1e9
ROUNDINGS = 64.0 * np.finfo(np.float64).eps
# Where a loss falls for ever, there is no minimum if this share of the best constant's is left.
PARTED = 1e-9
# Weights that L1 holds are this close to 0, with slopes so far from its own.
HELD = 1e-7
# How many times what is left of a quadratic model counts.
LEFT = 10.0
# A quadratic model that is solved to less than this says where to go.
SOLVED = 1e-6


@dataclass
class Found:
    """Weights, and what is known of them."""

    coef: np.ndarray  # (n_features,)
    intercept: float
    objective: float
    gap: float  # an estimate
    multiplier: np.ndarray  # of each linear constraint
    n_iter: int
    met: bool


@dataclass(frozen=True)
class Groups:
    """Limits of mean losses.

    Attributes
    ----------
    weight : ndarray of shape (n_groups, n_samples)
        Rows sum to 1.
    most : ndarray of shape (n_groups,), or None
        None: the largest of the mean losses is what is minimised, in place of that of all.
    """

    weight: np.ndarray
    most: np.ndarray | None


class Problem:
    """One output: the units of its coordinates, and its solution.

    Parameters
    ----------
    loss : Loss
        Convex; with a derivative, or made of lines.
    X : ndarray in C order or CSR matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,), float64
    weight, offset : ndarray of shape (n_samples,) or None
        Weights are positive.
    fit_intercept : bool
    l1, l2 : float
        Of ``l1 * |w| + l2 * w**2 / 2``.
    linear : Linear
    groups : Groups or None
        Where the loss has a derivative.
    """

    def __init__(self, loss, X, y, weight, offset, fit_intercept, l1, l2, linear, groups=None):
        n = len(y)
        self.loss, self.y, self.fit_intercept, self.groups = loss, y, fit_intercept, groups
        self.weight = np.full(n, 1.0 / n) if weight is None else weight / weight.sum()
        data = Data(X, y, [loss], sample_weight=weight, offset=offset)
        self.center = data.columns.mean if fit_intercept else None
        spread = data.columns.scales(self.center if fit_intercept else 0.0, per_entry=False)
        inner = 1.0 / np.where(spread > 0, spread, 1.0)
        self.base = float(constants_of(data)[0]) if fit_intercept else 0.0
        self.shift = self.base + (np.zeros(n) if offset is None else offset)
        constants = float(self.weight @ loss.loss(y, self.shift))
        self.floor = -float(self.weight @ loss.constant_to_optimal_zero(y))
        self.above = constants - self.floor if constants > self.floor else 1.0
        self.unit = 1.0
        if loss.task == "regression" and loss.link == IdentityLink():
            self.unit = float(self.weight @ np.abs(y - self.shift)) or 1.0
        self.design = Design(data, self.center, inner, fit_intercept, None)
        # By sample, without weights, which groups have too.
        self.rows = PointwiseRows(Data(X, y, [loss]).without_columns(), 0, 1.0, None)
        self.rows.weight = np.ones(n)
        self.d, self.tied = X.shape[1], groups is not None and groups.most is None
        self.width = self.design.width + self.tied
        self.unit_of_weight = self.unit * inner
        self.l2 = self._padded(l2 * self.unit_of_weight**2 / self.above)
        self.l1 = self._padded(l1 * self.unit_of_weight / self.above)
        self._take_constraints(linear)
        self.of_loss = NO_TERMS
        self.row = NO_ROWS
        if not loss.differentiable:
            self._take_lines()
        self.price = PRICE
        self.endless = loss.task == "binary" and not (l1 or l2) and never_ends(loss)

    def _padded(self, of_weights):
        made = np.zeros((*np.shape(of_weights)[:-1], self.width))
        made[..., : self.d] = of_weights
        return made

    # ------------------------------------------------------------------------- what the models hold

    def _take_constraints(self, linear):
        """Rows of coordinates of length 1, equations apart."""
        in_coordinates = type(linear)(
            self._padded(linear.matrix * self.unit_of_weight), linear.low, linear.high
        )
        of, length = scaled(in_coordinates)
        self.length, self.n_rows = length, len(length)
        live = of.matrix.any(axis=1)
        same = np.flatnonzero(live & (of.low == of.high))
        self.same = same[independent(of.matrix[same])]
        rest = live & (of.low != of.high)
        self.lower = np.flatnonzero(rest & np.isfinite(of.low))
        self.upper = np.flatnonzero(rest & np.isfinite(of.high))
        self.equal, self.equal_to = of.matrix[self.same], of.low[self.same]
        at = np.flatnonzero(self.l1)
        self.own = np.concatenate(
            [np.eye(self.width)[at], of.matrix[self.lower], of.matrix[self.upper]]
        )
        zero = np.zeros(len(at))
        self.terms = (
            terms_from(zero, -self.l1[at], self.l1[at])
            .and_then(terms_from(of.low[self.lower], -np.inf, 0.0))
            .and_then(terms_from(of.high[self.upper], 0.0, np.inf))
        )
        self.n_l1 = len(at)

    def _take_lines(self):
        rows, scale = [], self.weight * (self.unit / self.above)
        for term in self.loss._terms(self.y):
            kink, low, high = (np.broadcast_to(np.asarray(x, float), self.y.shape) for x in term)
            live = np.flatnonzero(high > low)
            rows.append(live)
            made = terms_from((kink - self.shift) / self.unit, low * scale, high * scale)
            self.of_loss = self.of_loss.and_then(made[live])
        self.row = np.concatenate(rows)

    def _model(self, slopes=None, limits=None):
        """The kinks and constraints, with linear limits of groups."""
        own, terms = self.own, self.of_loss.and_then(self.terms)
        if slopes is not None:
            own = np.concatenate([own, slopes])
            terms = terms.and_then(terms_from(limits, 0.0, np.inf if self.tied else self.price))
        design = self.design if len(self.row) else None
        return Quadratic(Rows(design, self.row, own), terms, self.equal, self.equal_to)

    # ------------------------------------------------------------------------------------ objective

    def _raw(self, z):
        return self.shift + self.unit * self.design.products(z[: self.design.width])

    def _penalty(self, z):
        return 0.5 * float(self.l2 @ z**2) + float(self.l1 @ np.abs(z))

    def _losses(self, z):
        """By sample."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.loss.loss(self.y, self._raw(z)) / self.above

    def _excess(self, losses):
        most = 0.0 if self.tied else self.groups.most / self.above
        return self.groups.weight @ losses - most

    def _objective(self, z):
        """What is minimised: with the price of what groups are above their limits."""
        losses = self._losses(z)
        made = self._penalty(z)
        if self.tied:
            return made + float(self._excess(losses).max())
        made += float(self.weight @ losses)
        if self.groups is not None:
            made += self.price * float(np.maximum(self._excess(losses), 0.0).sum())
        return made

    # ---------------------------------------------------------------------------------------- steps

    def solve(self, tol, max_iter):
        """The minimum.

        Parameters
        ----------
        tol : float
            The estimated gap beside the objective above its floor at which a fit ends.
        max_iter : int
            The most of Newton's steps.

        Returns
        -------
        found : Found
        """
        with one_thread_in_blas():
            if len(self.row) or not self.loss.differentiable:
                return self._quadratic(tol)
            return self._newton(tol, max_iter)

    def _quadratic(self, tol):
        bend = np.diag(self.l2)
        made = self._model().solve(bend, np.zeros(self.width), np.zeros(self.width))
        return self._found(made.z, made, made.left, 1, made.left <= max(tol, 1e-10))

    def _newton(self, tol, max_iter):
        z = np.zeros(self.width)
        if self.n_rows:
            z = self._model().solve(np.eye(self.width), z, z).z
        filled, made, fall = False, None, math.inf
        n_groups = 0 if self.groups is None else len(self.groups.weight)
        prices = np.full(n_groups, 1.0 / n_groups if self.tied else 0.0)
        for k in range(max_iter):
            value = self._objective(z)
            size = max(value - self.floor / self.above, 1e-12)
            step = self._step(z, prices, filled)
            # A quadratic model is solved to some digits, and says no more of the fall.
            allowed = tol * size
            if step is not None:
                allowed = max(allowed, ROUNDINGS * (abs(value) + 1.0) + LEFT * step.made.left)
            if step is None or step.fall < -allowed:
                if filled:
                    return self._found(z, made, fall, k + 1, False)
                filled = True
                continue
            if n_groups and not self.tied and self._raise_price(step):
                continue
            length, z_next = self._search(z, value, step)
            made, fall = step.made, max(step.fall, 0.0)
            if length == 0.0 and not filled and fall > allowed:
                filled = True
                continue
            z = z_next
            if n_groups:
                prices = made.slope[-n_groups:]
            if length in (0.0, 1.0) and (fall <= allowed or length == 0.0):
                ended = fall <= allowed and not (self.endless and size < PARTED)
                return self._found(z, made, fall, k + 1, ended)
            filled = length < SHORT
        return self._found(z, made, fall, max_iter, False)

    def _step(self, z, prices, filled):
        """To the minimum of the quadratic model about z."""
        raw, design, groups = self._raw(z), self.design, self.groups
        scale = self.unit / self.above
        with np.errstate(over="ignore", invalid="ignore"):
            slope = self.rows._gradient(raw) * scale
            ((_, _, second),) = self.rows.blocks(raw[None], True, filled)
        second = second * (scale * self.unit)
        if not (np.isfinite(slope).all() and np.isfinite(second).all()):
            return None
        of_all = np.zeros_like(self.weight) if self.tied else self.weight
        weight = of_all if groups is None else of_all + np.maximum(prices, 0.0) @ groups.weight
        bend, w = np.zeros((self.width, self.width)), design.width
        bend[:w, :w] = design.gram(np.ascontiguousarray(weight * second))
        bend[np.diag_indices(self.width)] += self.l2
        gradient = self.l2 * z
        gradient[:w] += design.transposed(of_all * slope)
        if self.tied:
            gradient[-1] += 1.0
        slopes = limits = excess = None
        if groups is not None:
            slopes = np.zeros((len(groups.weight), self.width))
            slopes[:, :w] = design.transposed(groups.weight * slope)
            excess = self._excess(self._losses(z))
            limits = slopes @ z - excess
            if self.tied:
                slopes[:, -1] = -1.0
                z = np.append(z[:-1], excess.max())
                limits = slopes @ z - excess + z[-1]
        made = self._model(slopes, limits).solve(bend, gradient - bend @ z, z)
        if not made.left <= SOLVED:
            return None
        step = made.z - z
        fall = -float(gradient @ step)
        fall -= float(self.l1 @ (np.abs(made.z) - np.abs(z)))
        if groups is not None and not self.tied:
            after = np.maximum(slopes @ made.z - limits, 0.0)
            fall += self.price * float((np.maximum(excess, 0.0) - after).sum())
        return Step(made, step, fall, (bend, gradient - bend @ z, slopes, limits))

    def _raise_price(self, step):
        """Whether the price of excesses has grown, as it was too little to end them."""
        high = self.price * (1.0 - 1e-6)
        short = step.made.slope[-len(self.groups.weight) :] > high
        if not short.any() or self.price >= MOST_PRICE:
            return False
        self.price *= MORE
        return True

    def _search(self, z, value, step):
        """The length of a step along which the objective falls, and where it leads; with a second
        order correction where limits of groups bend."""
        rounding = ROUNDINGS * (abs(value) + abs(self.floor / self.above) + 1.0)
        fall = max(step.fall, 0.0)

        def lower(at, length):
            return self._objective(at) <= value - 1e-4 * length * fall + rounding

        length = 1.0
        for _ in range(HALVINGS):
            at = z + length * step.z
            if lower(at, length):
                return length, at
            if length == 1.0 and self.groups is not None:
                bend, tilt, slopes, _ = step.model
                excess = self._excess(self._losses(at))
                limits = slopes @ at - excess
                if self.tied:
                    limits = limits + at[-1]
                corrected = self._model(slopes, limits).solve(bend, tilt, at)
                if corrected.left <= SOLVED and lower(corrected.z, 1.0):
                    return 1.0, corrected.z
            length *= 0.5
        return 0.0, z

    # ------------------------------------------------------------------------------------------ end

    def _found(self, z, made, gap, n_iter, met):
        if self.n_l1 and made is not None:
            # What the penalty holds at 0 has a slope inside of its range.
            at, inside = np.flatnonzero(self.l1), slice(len(self.row), len(self.row) + self.n_l1)
            held = np.abs(made.slope[inside]) < (1.0 - HELD) * self.l1[at]
            z = z.copy()
            z[at[held & (np.abs(z[at]) < HELD)]] = 0.0
        coef = self.unit_of_weight * z[: self.d]
        intercept = self.base
        if self.fit_intercept:
            intercept += self.unit * z[self.design.width - 1] - float(coef @ self.center)
        multiplier = np.zeros(self.n_rows)
        if made is not None:
            first = len(self.row) + self.n_l1
            for at in (self.lower, self.upper):
                multiplier[at] += made.slope[first : first + len(at)]
                first += len(at)
            multiplier[self.same] = made.price
        objective = self._objective(z) * self.above
        multiplier *= self.above / self.length
        return Found(coef, intercept, objective, gap * self.above, multiplier, n_iter, met)


@dataclass
class Step:
    """A step to the minimum of a model, by how much that is below, and the model."""

    made: object
    z: np.ndarray
    fall: float
    model: tuple
