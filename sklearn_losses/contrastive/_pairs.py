"""Matrices of pairs: similarities or distances of the rows of X to those of Y, each with what takes
a gradient with respect to the matrix back to X and Y.

A function of `SIMILARITIES` or `DISTANCES` returns ``pairs``, of shape (n, m), and ``pull``:
``pull(G)`` is the pair of gradients with respect to X and Y where ``G`` is that with respect to
``pairs``.
"""

import numpy as np
from scipy.spatial.distance import cdist


def unit_rows(X):
    """Rows divided by their Euclidean lengths; a row of zeros stays what it is.

    Parameters
    ----------
    X : ndarray of shape (n, d)

    Returns
    -------
    unit : ndarray of shape (n, d)
    pull : callable
        From a gradient with respect to `unit` to that with respect to X; 0 for a row of zeros.
    """
    # Squares of large and small numbers are not numbers: rows are divided by their largest first.
    most = np.abs(X).max(axis=1, keepdims=True, initial=0.0)
    empty = most == 0
    most[empty] = 1
    unit = X / most
    size = np.sqrt(np.einsum("ij,ij->i", unit, unit))[:, np.newaxis]
    size[empty] = 1
    unit /= size

    def pull(gradient):
        along = np.einsum("ij,ij->i", gradient, unit)[:, np.newaxis]
        back = (gradient - along * unit) / size / most
        back[empty[:, 0]] = 0
        return back

    return unit, pull


def dot(X, Y):
    return X @ Y.T, lambda gradient: (gradient @ Y, gradient.T @ X)


def cosine(X, Y):
    unit_x, pull_x = unit_rows(X)
    unit_y, pull_y = unit_rows(Y)
    pairs, pull = dot(unit_x, unit_y)

    def pull_both(gradient):
        toward_x, toward_y = pull(gradient)
        return pull_x(toward_x), pull_y(toward_y)

    return pairs, pull_both


def _differences(X, Y, factor):
    """What takes ``factor * G`` back, where the matrix has the slope ``2 * (x - y)`` in x."""

    def pull(gradient):
        weight = 2 * factor(gradient)
        back_x = weight.sum(axis=1)[:, np.newaxis] * X - weight @ Y
        back_y = weight.sum(axis=0)[:, np.newaxis] * Y - weight.T @ X
        return back_x, back_y

    return pull


def _centred(X, Y):
    """Both in float64 less the mean of X: differences stay, and sums of them lose no digits."""
    X, Y = X.astype(np.float64, copy=False), Y.astype(np.float64, copy=False)
    centre = X.mean(axis=0)
    return X - centre, Y - centre


def sqeuclidean(X, Y):
    # By differences: the squares' and products' sum would cancel for rows that are close.
    X, Y = _centred(X, Y)
    return cdist(X, Y, "sqeuclidean"), _differences(X, Y, lambda gradient: gradient)


def euclidean(X, Y):
    X, Y = _centred(X, Y)
    pairs = cdist(X, Y)
    # Where two rows are equal the distance has no derivative: 0 is a subgradient.
    half_inverse = np.divide(0.5, pairs, out=np.zeros_like(pairs), where=pairs > 0)
    return pairs, _differences(X, Y, lambda gradient: gradient * half_inverse)


def _negated(pairs_of, offset):
    def negated(X, Y):
        pairs, pull = pairs_of(X, Y)
        return offset - pairs, lambda gradient: pull(-gradient)

    return negated


PRECOMPUTED = "precomputed"
SIMILARITIES = {"cosine": cosine, "dot": dot, "sqeuclidean": _negated(sqeuclidean, 0.0)}
DISTANCES = {
    "euclidean": euclidean,
    "sqeuclidean": sqeuclidean,
    "cosine": _negated(cosine, 1.0),
}
