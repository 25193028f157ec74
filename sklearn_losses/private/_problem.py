"""What is learned from, in units that are made of public numbers alone."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sklearn_losses.links import IdentityLink
from sklearn_losses.losses import Loss

# Derivatives beyond it are cut, and their norms are still numbers. (Clipping makes short work of
# both.)
HUGE = 1e100


@dataclass(frozen=True)
class Problem:
    """Samples, and the loss of their raw predictions ``start + width * (X @ w + b)``.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features), float64
        Scaled: a row's norm is at most 1 where there are public bounds.
    y : ndarray of shape (n,), or (n, n_outputs) one-vs-rest, float64
    loss : Loss
    n_outputs : int
    fit_intercept : bool
    start, width : float
    """

    X: object
    y: np.ndarray
    loss: Loss
    n_outputs: int = 1
    fit_intercept: bool = True
    start: float = 0.0
    width: float = 1.0

    @property
    def n_weights(self):
        """How many there are, with intercepts."""
        return self.n_outputs * (self.X.shape[1] + self.fit_intercept)

    def derivative(self, y, raw):
        """Derivatives of the loss by raw predictions, of shape (n, n_outputs), all of them numbers:
        NaN, which no clipping bounds, counts as 0."""
        if self.loss.is_multiclass:
            gradient = self.loss.gradient(y, raw)
        else:
            gradient = self.loss.gradient(y.ravel(), raw.ravel()).reshape(raw.shape)
        return np.nan_to_num(gradient, nan=0.0, posinf=HUGE, neginf=-HUGE)

    def norms(self):
        """Of each row with its constant feature: ndarray of shape (n,)."""
        return np.hypot(_row_norms(self.X), float(self.fit_intercept))

    def largest_norm(self):
        """What public bounds say of `norms`."""
        return math.sqrt(1.0 + self.fit_intercept)


@dataclass(frozen=True)
class Scaling:
    """From the user's features to those of a `Problem`, by public numbers.

    Parameters
    ----------
    low, high : ndarray of shape (n_features,), or None
        What features are clipped to.
    middle, half : ndarray of shape (n_features,), or float
        What is subtracted, and then divided by.
    norm : float or None
        Then rows are clipped to this norm and divided by it.
    """

    low: object
    high: object
    middle: object
    half: object
    norm: float | None

    def scaled(self, X):
        """X in float64, clipped and scaled; a copy."""
        if sparse.issparse(X):
            return self._sparse(X)
        X = np.array(X, dtype=np.float64, order="C")
        if self.low is not None:
            np.clip(X, self.low, self.high, out=X)
            X -= self.middle
            X /= self.half
        if self.norm is not None:
            X /= np.maximum(_row_norms(X), self.norm)[:, None]
        return X

    def _sparse(self, X):
        X = sparse.csr_matrix(X, dtype=np.float64, copy=True)
        X.sum_duplicates()
        if self.low is not None:
            np.clip(X.data, self.low[X.indices], self.high[X.indices], out=X.data)
            X.data /= self.half[X.indices]
        if self.norm is not None:
            # `diff(indptr)` entries belong to each row.
            X.data /= np.repeat(np.maximum(_row_norms(X), self.norm), np.diff(X.indptr))
        return X

    def model(self, coef, intercept, problem):
        """Weights for the user's features and raw predictions.

        Parameters
        ----------
        coef : ndarray of shape (n_outputs, n_features)
        intercept : ndarray of shape (n_outputs,)
        problem : Problem

        Returns
        -------
        coef : ndarray of shape (n_outputs, n_features)
        intercept : ndarray of shape (n_outputs,)
        """
        norm = 1.0 if self.norm is None else self.norm
        coef = problem.width * coef / (self.half * norm)
        intercept = problem.start + problem.width * intercept
        return coef, intercept - (coef * self.middle).sum(axis=1)


def _row_norms(X):
    """Norms of rows, without over- or underflow: ndarray of shape (n,)."""
    if sparse.issparse(X):
        largest = abs(X).max(axis=1).toarray().ravel()
        unit = np.where(largest > 0, largest, 1.0)
        data = X.data / np.repeat(unit, np.diff(X.indptr))
        rows = sparse.csr_matrix((data**2, X.indices, X.indptr), shape=X.shape)
        return unit * np.sqrt(np.asarray(rows.sum(axis=1)).ravel())
    largest = abs(X).max(axis=1)
    unit = np.where(largest > 0, largest, 1.0)
    return unit * np.linalg.norm(X / unit[:, None], axis=1)


def feature_scaling(feature_bounds, data_norm, n_features, centred):
    """The `Scaling` of the parameters of an estimator.

    Parameters
    ----------
    feature_bounds : (low, high) or None
    data_norm : float or None
    n_features : int
    centred : bool
        Whether the middle of the bounds is subtracted: there is an intercept to take it up, and
        zeros need not stay zeros.

    Returns
    -------
    scaling : Scaling
    """
    if feature_bounds is None:
        return Scaling(None, None, np.float64(0.0), np.float64(1.0), data_norm)
    low, high = pair("feature_bounds", feature_bounds, n_features)
    if not centred:
        middle, half = np.zeros(n_features), np.maximum(abs(low), abs(high))
    else:
        middle, half = low / 2 + high / 2, high / 2 - low / 2
    norm = math.sqrt(n_features) if data_norm is None else data_norm
    return Scaling(low, high, middle, half, norm)


def pair(name, given, n=None):
    """`given` as a pair (low, high) of floats, or of arrays of shape (n,); the error that names the
    parameter where it is none."""
    shapes = ((),) if n is None else ((), (n,))
    try:
        low, high = (np.asarray(end, dtype=np.float64) for end in given)
        right = low.shape in shapes and high.shape in shapes
        right = right and np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()
    except (TypeError, ValueError):
        right = False
    if not right:
        what = "numbers" if n is None else f"numbers, or {n} numbers each, one a feature"
        raise ValueError(f"{name} must be (low, high), finite {what}, low < high; got {given!r}")
    if n is None:
        return float(low), float(high)
    return np.broadcast_to(low, n).copy(), np.broadcast_to(high, n).copy()


def target_scaling(loss, target_bounds, fit_intercept):
    """Where raw predictions start, and what they are in units of, by public numbers.

    Parameters
    ----------
    loss : Loss
        Pointwise.
    target_bounds : (low, high) of floats
    fit_intercept : bool

    Returns
    -------
    start, width : float
    """
    low, high = target_bounds
    if not isinstance(loss.link, IdentityLink):
        start = float(loss.link.link(np.array([low / 2 + high / 2]))[0]) if fit_intercept else 0.0
        return start, 1.0
    if fit_intercept:
        return low / 2 + high / 2, high / 2 - low / 2
    return 0.0, max(abs(low), abs(high))


def slope_at(loss, ends, raw):
    """The largest derivative, in size, of a loss of the targets `ends` at one raw prediction (a
    row-wise loss: at a row of zeros, of whatever class)."""
    if loss.is_multiclass:
        classes = np.arange(float(loss.n_classes))
        gradient = loss.gradient(classes, np.zeros((len(classes), len(classes))))
        return float(np.linalg.norm(gradient, axis=1).max())
    ends = np.asarray(ends, dtype=np.float64)
    return float(abs(loss.gradient(ends, np.full(len(ends), raw))).max())
