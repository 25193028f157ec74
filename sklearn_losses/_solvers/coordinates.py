"""The coordinates in which steps are taken, so that a fit's path has no units of X and y.

A weight's coordinate is the weight over its `unit`; columns of dense X are seen from their
`center`, and the intercept is that at the center. The objective, its penalty and its bounds are
those of the weights: coordinates change how a solver gets to the minimum, not where the minimum is.
"""

import math
from dataclasses import dataclass

import numpy as np

from sklearn_losses._array import array_namespace, in_namespace, on_device, to_host
from sklearn_losses._kernels.fit.columns import column_sums, largest_squared_norm

# Rows on which losses are looked at.
MOST_ROWS, LEAST_ROWS = 4096, 256
MOST_ELEMENTS = 1 << 15
# A column whose spread is below this share of its values is constant: what is left is rounding.
CONSTANT = 1e-13
# Beyond so many times the spread over the gradient the reciprocal of a curvature says nothing.
BELIEVED = 10.0
# A stream's units are renewed where a column's scale is off by this factor.
RENEWED = 2.0
POWER_STEPS, POWER_ROWS = 6, 1024


@dataclass
class Columns:
    """Moments of the columns of X over the rows seen so far; arrays of shape (n_features,)."""

    n: float
    count: np.ndarray  # entries that are not 0
    mean: np.ndarray
    square: np.ndarray  # sum of squared distances from the mean

    def and_then(self, other):
        """Those of both sets of rows (Chan, Golub and LeVeque, 1983)."""
        n = self.n + other.n
        if n == 0:
            return self
        with np.errstate(over="ignore", invalid="ignore"):
            moved = other.mean - self.mean
            return Columns(
                n,
                self.count + other.count,
                self.mean + moved * (other.n / n),
                self.square + other.square + moved**2 * (self.n * other.n / n),
            )

    def about(self, center):
        """Sums of squared distances from a center."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.square + self.n * (self.mean - center) ** 2

    def scales(self, center, *, per_entry):
        """Root mean squares of the columns seen from `center`, over all rows or over the entries
        that are not 0; 0 for a column that is constant."""
        n = self.count if per_entry else np.full(len(self.count), self.n)
        scale = np.sqrt(self.about(center) / np.where(n > 0, n, 1.0))
        if not np.isfinite(scale).all():
            raise ValueError(
                "Floating-point under-/overflow occurred at epoch #1: the squares of column "
                f"{int(np.argmin(np.isfinite(scale)))} of X overflow. Scaling input data with "
                "StandardScaler or MinMaxScaler might help."
            )
        return np.where(scale > CONSTANT * np.abs(self.mean), scale, 0.0)


def columns_of(data):
    """`Columns` of the training rows of data, where a weight of 2 is as good as two copies."""
    X, rows, weight = data.X, data.training_rows(), data.training_weights()
    if weight is not None:
        weight = weight / (float(weight.max()) or 1.0)
    if not on_device(X):
        return Columns(*column_sums(X, rows, weight))
    xp = array_namespace(X)
    rows = np.arange(X.shape[0]) if rows is None else rows
    weight = xp.ones(len(rows)) if weight is None else weight
    n, d = float(weight.sum()), X.shape[1]
    if hasattr(X, "indptr"):
        X = X[in_namespace(rows, xp)]
        values = X.data.astype(np.float64)
        of_row = xp.repeat(weight, to_host(X.indptr[1:] - X.indptr[:-1]).tolist())
        sums = [of_row * (values != 0), of_row * values, of_row * values**2]
        count, total, square = (
            to_host(xp.bincount(X.indices, weights=s, minlength=d)) if len(values) else np.zeros(d)
            for s in sums
        )
        mean = total / (n or 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            return Columns(n, count, mean, np.maximum(square - total * mean, 0.0))
    part = max(1, (1 << 24) // max(d, 1))
    made = Columns(0.0, np.zeros(d), np.zeros(d), np.zeros(d))
    for start in range(0, len(rows), part):
        x = X[in_namespace(rows[start : start + part], xp)].astype(np.float64)
        w = weight[start : start + part, None]
        some = float(w.sum())
        mean = (w * x).sum(axis=0) / (some or 1.0)
        sums = [(w * (x != 0)).sum(axis=0), mean, (w * (x - mean) ** 2).sum(axis=0)]
        made = made.and_then(Columns(some, *(to_host(s).astype(np.float64) for s in sums)))
    return made


def largest_norm(data, center, unit):
    """The largest squared norm of a training row of ``(X - center) * unit`` that has a weight; CSR
    is not centred."""
    X, rows, weight = data.X, data.training_rows(), data.training_weights()
    if not on_device(X):
        return largest_squared_norm(X, center, unit, rows, weight)
    xp = array_namespace(X)
    rows = np.arange(X.shape[0]) if rows is None else rows
    rows = rows if weight is None else rows[to_host(weight) > 0]
    center, unit = in_namespace(center, xp), in_namespace(unit, xp)
    if hasattr(X, "indptr"):
        squares = (X.data * unit[X.indices]).astype(np.float64) ** 2
        largest = float(squares.max()) if squares.size else 0.0
        if not 0.0 < largest < math.inf:
            return largest
        # Whole numbers of a unit: a device's cumulated sums of floats differ from run to run.
        step = largest * squares.size / 2.0**61
        sums = xp.cumsum(xp.rint(squares / step).astype(np.int64))
        ends = xp.concatenate([xp.zeros(1, np.int64), sums])
        squares = (ends[X.indptr[1:]] - ends[X.indptr[:-1]]) * step
        return float(xp.max(squares[in_namespace(rows, xp)])) if len(rows) else 0.0
    part = max(1, (1 << 24) // X.shape[1])  # rows that are squared at a time
    found = 0.0
    for start in range(0, len(rows), part):
        x = X[in_namespace(rows[start : start + part], xp)].astype(np.float64)
        found = max(found, float(xp.max((((x - center) * unit) ** 2).sum(axis=1))))
    return found


def some_rows(data, most=MOST_ROWS):
    """Numbers of at most `most` training rows, of all over those that have a weight."""
    rows, weight = data.training_rows(), data.training_weights()
    rows = np.arange(len(data.y)) if rows is None else rows
    if weight is not None:
        held = to_host(weight) > 0
        rows = rows[held] if held.any() else rows
    return rows[:: max(1, len(rows) // most)][:most]


def entries_of_row(X):
    """How many numbers a row of X holds, indices too; slices of CSR are copied on the way."""
    return 3 * X.nnz / max(X.shape[0], 1) if hasattr(X, "indptr") else X.shape[1]


def sampled(data):
    """The data of some training rows, where they are: few enough that the copy is small."""
    most = 4 * MOST_ELEMENTS // max(int(entries_of_row(data.X)), 1)
    rows = some_rows(data, int(np.clip(most, LEAST_ROWS, MOST_ROWS)))
    if len(rows) == len(data.y):
        return data
    return data.rows(rows)


class Sample:
    """Some training rows, on the host, and what the losses are like there.

    Parameters
    ----------
    data : Data
    """

    def __init__(self, data):
        # What is a loss of all samples together is another of some.
        rows = some_rows(data, len(data.y) if data.losses[0].is_joint else MOST_ROWS)
        self.X, self.rows = data.X, rows
        self.data = data.beside_X(rows)
        self.n_outputs = data.n_outputs

    def parts(self, rows=MOST_ROWS):
        """The rows of X, or fewer of all over it, a few at a time: not many are copied at once."""
        chosen = self.rows[:: max(1, len(self.rows) // rows)]
        step = int(max(1, MOST_ELEMENTS // max(entries_of_row(self.X), 1)))
        xp = array_namespace(self.X)
        for start in range(0, len(chosen), step):
            yield to_host(self.X[in_namespace(chosen[start : start + step], xp)])

    def products(self, coef):
        """``X @ coef.T`` in float64."""
        coef = to_host(coef).astype(np.float64)
        if not coef.any():
            return np.zeros((len(self.rows), len(coef)))
        return np.concatenate([np.asarray(x @ coef.T) for x in self.parts()])

    def weights(self, k):
        """Those of output k, relative to their mean."""
        weight = self.data.weights(k)
        weight = np.ones(len(self.data.y)) if weight is None else weight
        largest = weight.max(initial=0.0)
        if largest == 0.0:
            return np.ones(len(weight))
        weight = weight / largest
        return weight / weight.mean()

    def raw(self, coef, intercept):
        """Raw predictions of a model: ndarray of shape (n, n_outputs)."""
        raw = self.products(coef) + to_host(intercept)
        if self.data.offset is not None:
            raw = raw + self.data.offset.reshape(len(raw), -1)
        return raw

    def derivatives(self, raw):
        """Gradients and curvatures, and the weights, each of shape (n, n_outputs); a curvature that
        is not finite, negative or that of a kink is NaN."""
        data = self.data
        raw = np.ascontiguousarray(raw, dtype=np.float64)
        if data.losses[0].is_multiclass:
            gradient, hessian = data.losses[0].gradient_hessian(data.y, raw)
            weight = np.broadcast_to(self.weights(0)[:, None], raw.shape)
        elif data.losses[0].is_joint:
            joint = data.losses[0].on(data.y, data.weights(0))
            found = joint.gradient_hessian(raw[:, 0])
            gradient, hessian = (part[:, None] * (joint.n / joint.mass) for part in found)
            weight = np.ones(raw.shape)
        else:
            gradient, hessian = np.empty((2, *raw.shape))
            weight = np.empty(raw.shape)
            for k in range(self.n_outputs):
                found = data.loss(k).gradient_hessian(
                    data.targets(k), np.ascontiguousarray(raw[:, k])
                )
                gradient[:, k], hessian[:, k] = found
                weight[:, k] = self.weights(k)
        if not data.losses[0].differentiable:
            hessian = np.full(hessian.shape, np.nan)
        return gradient, np.where(np.isfinite(hessian) & (hessian >= 0), hessian, np.nan), weight

    def spreads(self):
        """A robust spread of what raw predictions are to meet, by output: that of y where the link
        is the identity, else 1."""
        data = self.data
        loss = data.losses[0]
        natural = loss._natural or loss.task != "regression"
        if natural or data.target == "codes":
            return np.ones(self.n_outputs)
        return np.array([self._spread(k) for k in range(self.n_outputs)])

    def _spread(self, k):
        y, weight, offset = self.data.targets(k), self.weights(k), self.data.offsets(k)
        y = y if offset is None else y - offset
        order = np.argsort(y, kind="stable")
        share = np.cumsum(weight[order])
        at = np.searchsorted(share, np.array([0.25, 0.5, 0.75]) * share[-1])
        low, middle, high = y[order[np.minimum(at, len(y) - 1)]]
        distance = np.average(np.abs(y - middle), weights=weight)
        for spread in ((high - low) / 1.349, distance):
            if spread > CONSTANT * abs(middle):
                return float(spread)
        return abs(float(middle)) or 1.0


@dataclass
class LossUnits:
    """By output, arrays of shape (n_outputs,): the spread of raw predictions, the root mean square
    of the gradient, and the reciprocal of the curvature, at the start of a fit."""

    spread: np.ndarray
    slope: np.ndarray
    length: np.ndarray


def loss_units(sample, start):
    """`LossUnits` of a sample at intercepts `start`.

    A length is such that a gradient step of it goes where a typical sample wants to be: the
    curvature's reciprocal, or the spread over the gradient where the curvature says nothing, as
    where gradients are bounded, or where it is next to 0, as for rare events.
    """
    spread = sample.spreads()
    raw = sample.raw(np.zeros((sample.n_outputs, sample.X.shape[1])), start)
    gradient, hessian, weight = sample.derivatives(raw)
    with np.errstate(all="ignore"):
        slope = np.sqrt(np.average(gradient**2, axis=0, weights=weight))
        slope = np.where(np.isfinite(slope) & (slope > 0), slope, 0.0)
        known = np.isfinite(hessian) * weight
        mean = np.where(known > 0, hessian, 0.0) * known
        mean = mean.sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), 1.0)
        mean = np.where(known.mean(axis=0) > 0.5, mean, 0.0)
        newton = 1.0 / mean
        loss = sample.data.losses[0]
        if loss.reads_target and loss._natural:  # likelihoods: a standard error of one sample
            spread = np.where(mean > 0, np.sqrt(newton), 1.0)
        plain = spread / slope
        believed = np.isfinite(newton) & ~(newton > BELIEVED * plain)
        length = np.where(believed, newton, plain)
    return LossUnits(spread, slope, np.where(np.isfinite(length) & (length > 0), length, 1.0))


@dataclass
class Coordinates:
    """What `_steps.Engine.set_coordinates` takes.

    Attributes
    ----------
    unit : ndarray of shape (n_outputs, n_features)
    intercept_unit : ndarray of shape (n_outputs,)
    center : ndarray of shape (n_features,) or None
    """

    unit: np.ndarray
    intercept_unit: np.ndarray
    center: np.ndarray | None = None

    def arguments(self):
        return {
            "unit": self.unit,
            "intercept_unit": self.intercept_unit,
            "center": self.center,
        }


def center_of(X, columns, fit_intercept):
    """Where the columns are seen from, or None: sparse columns would not be sparse any more, and
    without an intercept nothing makes up for it."""
    return None if hasattr(X, "indptr") or not fit_intercept else columns.mean


def curvature_units(scale, length, l2):
    """Units in which the objective has about the curvature 1 along each weight.

    Parameters
    ----------
    scale : ndarray of shape (n_features,)
    length : ndarray of shape (n_outputs,)
        Reciprocals of the loss's curvatures.
    l2 : float or ndarray of shape (n_features,)
    """
    curvature = scale**2 / length[:, None] + l2
    return 1.0 / np.sqrt(np.where(curvature > 0, curvature, 1.0))


def curvature_coordinates(columns, length, fit_intercept, bend):
    """Coordinates in which the curvature is about 1, for what takes all rows at a time: sparse
    columns are centred too, as that is one product of vectors more.

    Parameters
    ----------
    columns : Columns
    length : ndarray of shape (n_outputs,)
    fit_intercept : bool
    bend : float or ndarray of shape (n_features,)
        The penalty's curvature.
    """
    center = columns.mean if fit_intercept else None
    scale = columns.scales(0.0 if center is None else center, per_entry=False)
    return Coordinates(curvature_units(scale, length, bend), np.sqrt(length), center)


def spread_units(scale, spread):
    """Units in which the raw predictions vary by 1 where a weight varies by 1."""
    return spread[:, None] / np.where(scale > 0, scale, 1.0)


def largest_eigenvalue(sample, center, scale):
    """Of the mean over a sample's rows of the outer product of a row of ``(X - center) / scale``,
    and 1, with itself (power iterations: from below)."""
    d = sample.X.shape[1]
    inverse = np.where(scale > 0, 1.0 / np.where(scale > 0, scale, 1.0), 0.0)
    x = next(sample.parts(POWER_ROWS))
    v = np.ones(d + 1) / math.sqrt(d + 1)
    value = 1.0
    for _ in range(POWER_STEPS):
        w = v[:d] * inverse
        products = np.asarray(x @ w).ravel() - center @ w + v[d]
        total = float(products.sum())
        back = (np.asarray(x.T @ products).ravel() - center * total) * inverse
        back = np.append(back, total) / x.shape[0]
        value = float(np.linalg.norm(back))
        if not 0 < value < math.inf:
            return 1.0
        v = back / value
    return value
