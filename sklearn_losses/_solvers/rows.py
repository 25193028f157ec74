"""The mean loss of the training rows as a function of their raw predictions, and its curvature.

Raw predictions, and all that is by row and output, have shape (n_outputs, n_rows). The outputs of a
pointwise loss are apart; a row-wise loss has all of them.
"""

import numpy as np

from sklearn_losses.losses.multiclass import HalfMultinomialLoss
from sklearn_losses.losses.rowwise import softmax_hessian_product

# Steps of central differences, relative to what is differentiated by.
STEP = 2.0**-18
# Rows with less than this share of the curvature of reweighted least squares count as straight.
FLAT = 1e-3


def rows_of(data, weight_factor, n_threads):
    """One `PointwiseRows` for each output, or one `RowwiseRows`.

    Parameters
    ----------
    data : Data
    weight_factor : float
    n_threads : int or None
    """
    data = data.without_columns().training()
    if data.losses[0].is_multiclass:
        return [RowwiseRows(data, weight_factor, n_threads)]
    return [PointwiseRows(data, k, weight_factor, n_threads) for k in range(data.n_outputs)]


class Rows:
    """What both share.

    Attributes
    ----------
    n_outputs : int
    n : int
        Of rows.
    loss : Loss
    weight : ndarray of shape (n,)
        Such that the mean loss is the sum of the rows' losses with these weights.
    offset : ndarray of shape (n_outputs, n) or None
    """

    def _take(self, loss, target, weight, offset, weight_factor, n_threads):
        self.n = n = len(target)
        self.loss, self.target, self.n_threads = loss, target, n_threads
        self.weight = np.full(n, 1.0 / max(n, 1))
        if weight is not None:
            self.weight = weight * (weight_factor / n)
        if offset is not None:
            offset = np.ascontiguousarray(np.broadcast_to(offset.T, (self.n_outputs, n)))
        self.offset = offset
        self.has_curvature = not (loss.approx_hessian and getattr(loss, "_hessian", 0) is None)

    def with_offset(self, raw):
        return raw if self.offset is None else raw + self.offset


class PointwiseRows(Rows):
    """Output `k` of a pointwise loss."""

    n_outputs = 1

    def __init__(self, data, k, weight_factor, n_threads):
        self._take(data.loss(k), *data.output(k), weight_factor, n_threads)
        self.seen = (None, None)

    def value_gradient(self, raw):
        """The mean loss and its gradient: float and ndarray of shape (1, n)."""
        value, gradient = self.loss.loss_gradient(
            self.target, raw[0], self.weight, n_threads=self.n_threads
        )
        return float(value.sum()), gradient[None]

    def _gradient(self, raw):
        return self.loss.gradient(self.target, raw, self.weight, n_threads=self.n_threads)

    def _second(self, raw):
        """Second derivatives, of any sign; 0 where they are not numbers. Those of the last raw
        predictions, an array that is not changed, are kept: a step asks more than once."""
        if self.seen[0] is raw:
            return self.seen[1].copy()
        if self.has_curvature:
            _, found = self.loss.gradient_hessian(
                self.target, raw[0], self.weight, n_threads=self.n_threads
            )
        else:
            step = STEP * (1.0 + np.abs(raw[0]))
            up, down = self._gradient(raw[0] + step), self._gradient(raw[0] - step)
            found = (up - down) / (2.0 * step)
        self.seen = raw, np.where(np.isfinite(found), found, 0.0)
        return self.seen[1].copy()

    def blocks(self, raw, clipped, filled=False):
        """Second derivatives by pairs of outputs: (k, l, ndarray of shape (n,)) with k <= l.

        With `clipped` none is negative: in place of those that are stands what makes a step go to
        the target as reweighted least squares do, or their size. With `filled` none is below that.
        """
        found = self._second(raw)
        if filled:
            found = np.maximum(found, self.reweighted(raw))
        elif clipped and not self.loss.convex:
            bent = found < 0.0
            instead = np.abs(found[bent])
            if self.loss.task == "regression" and bent.any():
                least_squares = self._least_squares(raw)[bent]
                known = np.isfinite(least_squares) & (least_squares >= 0.0)
                instead = np.where(known, least_squares, instead)
            found[bent] = instead
        yield 0, 0, np.maximum(found, 0.0) if clipped else found

    def _least_squares(self, raw):
        """Weights of least squares that have the same gradient."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._gradient(raw[0]) / (raw[0] - self.loss.link.link(self.target))

    def reweighted(self, raw):
        """Curvature of steps where second derivatives are 0: that of reweighted least squares, or
        such that a step is about as long as the raw prediction."""
        about = np.abs(self._gradient(raw[0])) / (1.0 + np.abs(raw[0]))
        if self.loss.task == "regression":
            found = self._least_squares(raw)
            about = np.where(np.isfinite(found) & (found >= 0.0), found, about)
        return about

    def has_flats(self, raw):
        """Whether some rows have a slope, and next to no curvature."""
        return bool((self._second(raw) < FLAT * self.reweighted(raw)).any())

    def product(self, raw, filled=False):
        """The function that multiplies (1, n) by the second derivatives, none negative."""
        ((_, _, found),) = self.blocks(raw, True, filled)
        return lambda vector: found * vector

    def diagonal(self, raw, filled=False):
        """Of the second derivatives, none negative: ndarray of shape (1, n)."""
        ((_, _, found),) = self.blocks(raw, True, filled)
        return found[None]


class RowwiseRows(Rows):
    """All outputs of a row-wise loss."""

    def __init__(self, data, weight_factor, n_threads):
        self.n_outputs = data.n_outputs
        self._take(
            data.losses[0], data.y, data.sample_weight, data.offset, weight_factor, n_threads
        )

    def _gradient(self, rows):
        return self.loss.gradient(self.target, rows, self.weight, n_threads=self.n_threads)

    def value_gradient(self, raw):
        """The mean loss and its gradient: float and ndarray of shape (n_outputs, n)."""
        value, gradient = self.loss.loss_gradient(
            self.target, np.ascontiguousarray(raw.T), self.weight, n_threads=self.n_threads
        )
        return float(value.sum()), np.ascontiguousarray(gradient.T)

    def _along(self, rows, direction):
        """The second derivatives times a direction, (n, n_outputs), by central differences."""
        step = STEP * (1.0 + np.abs(rows).max(axis=1, keepdims=True))
        size = np.abs(direction).max(axis=1, keepdims=True)
        step = step / np.where(size > 0.0, size, 1.0)
        up, down = (self._gradient(rows + sign * step * direction) for sign in (1.0, -1.0))
        found = (up - down) / (2.0 * step)
        return np.where(np.isfinite(found), found, 0.0)

    def _probability(self, rows):
        """Of a softmax cross-entropy, whose second derivatives follow from it; else None."""
        if not isinstance(self.loss, HalfMultinomialLoss):
            return None
        return self.loss.gradient_proba(self.target, rows, n_threads=self.n_threads)[1]

    def reweighted(self, raw):
        """Curvature, by output, such that a step is about as long as the raw predictions."""
        gradient = np.abs(self._gradient(np.ascontiguousarray(raw.T))).T
        return gradient / (1.0 + np.abs(raw).max(axis=0))

    def _missing(self, raw):
        """What second derivatives lack of that: of rows that saturate."""
        return np.maximum(self.reweighted(raw) - self.diagonal(raw), 0.0)

    def has_flats(self, raw):
        """Whether some rows have a slope, and next to no curvature."""
        return bool((self.diagonal(raw) < FLAT * self.reweighted(raw)).any())

    def blocks(self, raw, clipped, filled=False):
        """Second derivatives by pairs of outputs: (k, l, ndarray of shape (n,)) with k <= l.

        With `clipped` a row's matrix has no negative eigenvalue; with `filled` none bends less than
        steps about as long as the raw predictions.
        """
        if filled:
            missing = self._missing(raw)
            for k, j, found in self.blocks(raw, clipped):
                yield k, j, (found + missing[k] if k == j else found)
            return
        rows = np.ascontiguousarray(raw.T)
        p = self._probability(rows)
        if p is not None:
            weighted = p * self.weight[:, None]
            for k in range(self.n_outputs):
                yield k, k, weighted[:, k] * (1.0 - p[:, k])
                for j in range(k + 1, self.n_outputs):
                    yield k, j, -weighted[:, k] * p[:, j]
            return
        unit = np.eye(self.n_outputs)
        columns = (self._along(rows, np.broadcast_to(e, rows.shape)) for e in unit)
        if clipped and not self.loss.convex:
            matrices = np.stack(list(columns), axis=2)
            values, vectors = np.linalg.eigh((matrices + matrices.transpose(0, 2, 1)) / 2.0)
            scaled = vectors * np.abs(values)[:, None, :]
            columns = iter((scaled @ vectors.transpose(0, 2, 1)).transpose(2, 0, 1))
        for j, column in enumerate(columns):
            for k in range(j + 1):
                yield k, j, np.ascontiguousarray(column[:, k])

    def product(self, raw, filled=False):
        """The function that multiplies (n_outputs, n) by the second derivatives."""
        if filled:
            times, missing = self.product(raw), self._missing(raw)
            return lambda vector: times(vector) + missing * vector
        rows = np.ascontiguousarray(raw.T)
        p = self._probability(rows)
        if p is not None:
            return lambda vector: (softmax_hessian_product(p, vector.T) * self.weight[:, None]).T
        return lambda vector: self._along(rows, np.ascontiguousarray(vector.T)).T

    def diagonal(self, raw, filled=False):
        """Of the second derivatives, none negative: ndarray of shape (n_outputs, n)."""
        _, found = self.loss.gradient_hessian(
            self.target, np.ascontiguousarray(raw.T), self.weight, n_threads=self.n_threads
        )
        found = np.where(np.isfinite(found), found, 0.0)
        found = np.ascontiguousarray(np.maximum(found, 0.0).T)
        return found + self._missing(raw) if filled else found
