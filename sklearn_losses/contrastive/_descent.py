"""Linear maps of standardised tables that minimise a loss of pairs, by SciPy's L-BFGS."""

import numpy as np
from scipy.optimize import minimize

# Powers of two by which a start is multiplied where the loss has a scale.
SCALES = 2.0 ** np.arange(-6, 7, 2)
# A run of L-BFGS ends where an iteration gains this share of the tolerance.
STRICTER = 0.01


class Table:
    """A matrix less its means, over the standard deviations of its columns: what is fitted does
    not depend on the units of the columns.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_features,)
        A column that is constant but for rounding has scale 0.
    rows : ndarray of shape (n_samples, n_features), float64
    """

    def __init__(self, X):
        X = X.astype(np.float64, copy=False)
        # The squares of very large and very small numbers are not numbers.
        size = np.abs(X).max(axis=0)
        shown = np.divide(X, size, out=np.zeros_like(X), where=size > 0)
        mean = shown.mean(axis=0)
        shown -= mean
        deviation = np.sqrt(np.mean(shown**2, axis=0))
        varies = deviation > 10 * np.finfo(np.float64).eps * np.sqrt(len(X))
        deviation[~varies] = 0
        shown[:, ~varies] = 0
        np.divide(shown, deviation, out=shown, where=varies)
        self.mean, self.scale, self.rows = mean * size, deviation * size, shown

    def components(self, weights, dtype, name):
        """Weights of standardised columns as those of the columns themselves, in a dtype; an error
        that calls the matrix by its name where they are no numbers in it."""
        with np.errstate(over="ignore"):
            components = np.zeros_like(weights)
            np.divide(weights, self.scale, out=components, where=self.scale > 0)
            components = components.astype(dtype)
        if not np.isfinite(components).all():
            least = self.scale[self.scale > 0].min()
            raise ValueError(
                f"{name} has a column that varies by {least:.3g} only, which is too little for "
                f"weights of dtype {np.dtype(dtype)}; scale it up"
            )
        return components


class Objective:
    """The mean loss over batches, plus the penalty, as a function of one vector.

    Parameters
    ----------
    tables : list of ndarray of shape (n_samples, n_features)
        Standardised; each has a map.
    batches : list of ndarray of intp
        Numbers of the rows that are compared with each other.
    total_of : callable
        ``total_of(batch, *embeddings)`` is the sum, how many count, and the gradients with respect
        to the embeddings.
    alpha : float
    has_no_scale : bool
        Whether the loss stays the same where a map is multiplied by a number. The penalty does
        then too: it is the map's sum of squares over the mean sum of squares of what it gives.
    """

    def __init__(self, tables, batches, total_of, alpha, has_no_scale):
        self.tables, self.batches, self.total_of = tables, batches, total_of
        self.alpha, self.has_no_scale = alpha, has_no_scale

    def maps(self, vector):
        """The maps, (n_components, n_features) each, that a vector holds."""
        widths = [table.shape[1] for table in self.tables]
        n_components = len(vector) // sum(widths)
        ends = n_components * np.cumsum(widths)[:-1]
        return [part.reshape(n_components, -1) for part in np.split(vector, ends)]

    def __call__(self, vector):
        """Value and gradient."""
        maps = self.maps(vector)
        total, mass = 0.0, 0
        slopes = [np.zeros_like(weights) for weights in maps]
        sizes, size_slopes = [0.0] * len(maps), [np.zeros_like(weights) for weights in maps]
        for batch in self.batches:
            rows = [table[batch] for table in self.tables]
            embedded = [row @ weights.T for row, weights in zip(rows, maps, strict=True)]
            value, counted, gradients = self.total_of(batch, *embedded)
            total, mass = total + value, mass + counted
            for k, (row, shown) in enumerate(zip(rows, embedded, strict=True)):
                slopes[k] += gradients[k].T @ row
                if self.has_no_scale:
                    sizes[k] += float(np.vdot(shown, shown))
                    size_slopes[k] += shown.T @ row
        total, slopes = total / mass, [slope / mass for slope in slopes]
        for k, weights in enumerate(maps):
            squares = float(np.vdot(weights, weights))
            if not self.has_no_scale:
                total += self.alpha * squares
                slopes[k] += 2 * self.alpha * weights
            elif sizes[k] > 0:
                factor = self.alpha * len(self.tables[k]) / sizes[k]
                total += factor * squares
                slopes[k] += 2 * factor * (weights - squares / sizes[k] * size_slopes[k])
        return total, np.concatenate([slope.ravel() for slope in slopes])

    def unit_size(self, weights, k):
        """A map, multiplied so that the mean sum of squares of what it gives is 1."""
        size = np.sqrt(np.mean(np.sum((self.tables[k] @ weights.T) ** 2, axis=1)))
        return weights / size if size > 0 else weights

    def start(self, maps):
        """The vector of maps, of the size at which the objective is least."""
        maps = [self.unit_size(weights, k) for k, weights in enumerate(maps)]
        vector = np.concatenate([weights.ravel() for weights in maps])
        if self.has_no_scale:
            return vector
        return min((scale * vector for scale in SCALES), key=lambda scaled: self(scaled)[0])


class Descent:
    """L-BFGS, begun anew until that gains less than `tol` of the objective.

    Attributes
    ----------
    vector : ndarray
    value : float
        The objective there.
    n_iter : int
    converged : bool
    """

    def __init__(self, objective, start, max_iter, tol):
        self.vector, self.n_iter, self.converged = start, 0, False
        self.value = objective(start)[0]
        while not self.converged and self.n_iter < max_iter:
            before = self.value
            if before < np.finfo(np.float64).tiny:  # nothing is less than 0
                self.converged = True
                break
            # In units of where the run begins, as SciPy's own tolerance is of 1 at least.
            done = minimize(
                lambda vector, unit=before: tuple(part / unit for part in objective(vector)),
                self.vector,
                jac=True,
                method="L-BFGS-B",
                options={
                    "maxiter": max_iter - self.n_iter,
                    "maxfun": np.iinfo(np.int32).max,
                    "ftol": STRICTER * tol,
                    "gtol": 0.0,
                },
            )
            self.n_iter += done.nit
            if done.fun < 1:
                self.vector, self.value = done.x, float(done.fun * before)
            self.converged = done.status != 1 and before - self.value <= tol * before


def principal_axes(rows, n_components):
    """The first principal axes, (n_components, n_features)."""
    return np.linalg.svd(rows, full_matrices=False)[2][:n_components]


def whitened(rows, ridge):
    """What takes rows to uncorrelated ones of variance 1, less where the variance is not far above
    `ridge`: (n_features, rank); and those rows."""
    left, size, axes = np.linalg.svd(rows, full_matrices=False)
    variance = size**2 / len(rows)
    factor = 1 / np.sqrt(variance + ridge)
    return axes.T * factor, left * (size * factor)
