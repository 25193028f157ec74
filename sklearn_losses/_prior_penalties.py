"""Penalties of what is known about coefficients before there are data: quadratic functions, which
need not be sums over the coefficients."""

import numpy as np
from scipy import sparse

from sklearn_losses._interval import NON_NEGATIVE
from sklearn_losses._parameters import check_integer, check_number
from sklearn_losses._penalty import METHODS, Arguments, Grouping
from sklearn_losses._quadratic import Quadratic

# Elements on both sides of the diagonal that differ by no more than this share of the largest are
# the same number, rounded.
ROUNDED = 1e-10


class Quadratics(Arguments):
    """What quadratic penalties share. A subclass with a method of its own is followed in Python."""

    convex = True
    smooth = True

    def _form(self, n_features):
        """`Quadratic` of the coefficients of an output, for a strength of 1."""

    def _quadratic(self, alpha, n_features):
        alpha = check_number(type(self).__name__, "alpha", alpha, NON_NEGATIVE)
        own = any(getattr(type(self), name) is not getattr(Quadratics, name) for name in METHODS)
        return None if own else self._form(n_features).times(alpha)

    def _read(self, coef, alpha):
        """Coefficients as a matrix of float64, and the function of them."""
        alpha = check_number(type(self).__name__, "alpha", alpha, NON_NEGATIVE)
        form, wide = self._form(coef.shape[-1]), self._like(coef, coef, "coef")
        if np.ndim(form.center) == 2 and len(form.center) != len(wide):
            raise self._error(
                f"mean has {len(form.center)} rows, one an output; coef has shape {coef.shape}"
            )
        return wide, form.times(alpha)

    def value(self, coef, alpha):
        wide, form = self._read(self._coef(coef), alpha)
        return form.value(wide)

    def prox(self, coef, length, alpha, low=None, high=None):
        coef = self._coef(coef)
        wide, form = self._read(coef, alpha)
        length = self._lengths(coef, length)
        moved = form.prox_of_rows(wide, length, *self._bounds(coef, low, high))
        return moved.reshape(coef.shape).astype(coef.dtype, copy=False)

    def violation(self, coef, gradient, alpha, low=None, high=None):
        # At the top it would be imported before itself.
        from sklearn_losses._solvers.gap import least_gradient

        coef = self._coef(coef)
        wide, form = self._read(coef, alpha)
        low, high = self._bounds(coef, low, high)
        slope = self._like(coef, gradient, "gradient") + form.gradient(wide)
        if low is not None or high is not None:
            low = -np.inf if low is None else low
            slope = least_gradient(wide, slope, 0.0, low, np.inf if high is None else high)
        return slope.reshape(coef.shape).astype(coef.dtype, copy=False)

    def _check_for(self, n_features):
        super()._check_for(n_features)
        self._form(n_features)


class GaussianPrior(Quadratics):
    """What an earlier study, or an expert, says of the coefficients: a mean, and how sure it is.

    - Formula: ``alpha / 2 * (coef - mean) @ precision @ (coef - mean)``.

    With a loss that is a negative log-likelihood of each sample, ``alpha=1 / n_samples`` and the
    inverse of the covariance as precision, the fit is the mode of the posterior distribution (for
    ``"squared_error"``, half the square, ``alpha=variance_of_noise / n_samples``). The intercept
    has no prior. Means and precisions are of the coefficients of X as it is given, in its units.

    Parameters
    ----------
    mean : float, or array-like of shape (n_features,) or (n_classes, n_features), default=0.0
        Of each class its own: for losses with a row of weights a class, such as "multinomial".
    precision : float, array-like of shape (n_features,) or (n_features, n_features), or sparse \
            matrix of shape (n_features, n_features), default=1.0
        The inverse of the covariance: numbers in [0, inf), or a symmetric positive semidefinite
        matrix. 0: nothing is known.

    References
    ----------
    Lindley, D. V. and Smith, A. F. M. (1972). Bayes estimates for the linear model. JRSS B 34,
    1-41. van Wieringen, W. N. (2015). Lecture notes on ridge regression. arXiv:1509.09169, chapter
    3.

    Examples
    --------
    >>> from sklearn_losses import GaussianPrior, SGDRegressorX
    >>> X, y = [[-1.0], [1.0]], [-2.0, 2.0]
    >>> prior = GaussianPrior(mean=[4.0], precision=[1.0])
    >>> SGDRegressorX(penalty=prior, alpha=1.0, optimizer="auto").fit(X, y).coef_
    array([3.])
    """

    name = "gaussian_prior"

    def __init__(self, mean=0.0, precision=1.0):
        self.mean = mean
        self.precision = precision

    def _form(self, n_features):
        return Quadratic(self._bend(n_features), self._center(n_features))

    def _center(self, n_features):
        allowed = f"mean must be a number, or {n_features} numbers, one a feature, or rows of these"
        mean = self._array(self.mean, allowed)
        if mean.ndim > 2 or (mean.ndim > 0 and mean.shape[-1] != n_features):
            raise self._error(f"{allowed}; got shape {mean.shape}")
        if not mean.any():
            return None
        return np.broadcast_to(mean, n_features).copy() if mean.ndim < 2 else mean

    def _bend(self, n_features):
        allowed = (
            f"precision must be a number in {NON_NEGATIVE}, {n_features} of them, one a feature, "
            f"or a symmetric positive semidefinite matrix of shape ({n_features}, {n_features})"
        )
        is_sparse = sparse.issparse(self.precision)
        entries = self.precision.tocsr().data if is_sparse else self.precision
        given = self._array(entries, allowed)
        if is_sparse:
            given = sparse.csr_array(self.precision, dtype=np.float64)
        if given.shape not in ((), (n_features,), (n_features, n_features)):
            raise self._error(f"{allowed}; got shape {given.shape}")
        if given.ndim < 2:
            inside = NON_NEGATIVE.contains(given)
            if not inside.all():
                raise self._error(f"{allowed}; got {given[~inside][0]}")
            return np.broadcast_to(given, n_features).copy()
        apart = abs(given - given.T).max()
        if apart > ROUNDED * abs(given).max():
            raise self._error(f"{allowed}; it differs from its transpose by up to {apart:.3g}")
        made = 0.5 * (given + given.T)
        return sparse.csr_array(made) if is_sparse else made

    def _check_loss(self, loss):
        heads, mean = loss._heads(), np.asarray(self.mean)
        if not mean.any():
            return
        if heads.reads_target and not heads.is_joint:
            raise self._error(
                f"mean must be 0 with {loss!r}, whose weights are of several heads; got "
                f"{self.mean!r}"
            )
        if loss.is_multiclass and loss.n_classes == 2:
            raise self._error(
                f"mean is that of a row of weights a class, of which {type(loss).__name__} shows "
                "the difference alone; use loss='log_loss'"
            )
        if mean.ndim == 2 and not (loss.is_multiclass and len(mean) == loss.n_classes):
            of = f"{loss.n_classes} rows, one a class" if loss.is_multiclass else "one row"
            raise self._error(f"mean must have {of} with {loss!r}; got shape {mean.shape}")

    def _array(self, given, allowed):
        try:
            made = np.asarray(given)
        except ValueError:  # of rows of several lengths
            raise self._error(f"{allowed}; got {given!r}") from None
        if made.dtype.kind not in "biuf":
            raise self._error(f"{allowed}; got dtype {made.dtype}")
        made = made.astype(np.float64)
        if not np.isfinite(made).all():
            raise self._error(f"{allowed}; got {made[~np.isfinite(made)][0]}")
        return made

    def _check_for(self, n_features):
        super()._check_for(n_features)
        if not self._form(n_features).is_semidefinite():
            raise self._error(
                "precision must be positive semidefinite; got a matrix with an eigenvalue below 0"
            )


class SmoothPenalty(Grouping, Quadratics):
    """Coefficients of ordered features that change little from each to the next: wavelengths, hours
    of a day, lags, bins, or a basis of B-splines (P-splines).

    - Formula: ``alpha / 2 * sum((D @ coef)**2)``, with D the differences of that order of
      neighbours.

    What the differences do not see is free: of order 1 a constant, of order 2 a straight line, so
    that a large `alpha` makes coefficients these. Neighbours are to have the same unit.

    Parameters
    ----------
    order : {1, 2, 3}, default=2
        Of the differences.
    groups : array-like of shape (n_features,), list of lists of int, or None, default=None
        Runs of ordered features: a label for each feature, those of a label in the order of the
        columns; or the features of each run in their order, where features in none are left free.
        None: all features are one run.
    cyclic : bool, default=False
        Whether the last of a run is next to the first, as of hours or months.

    References
    ----------
    Whittaker, E. T. (1923). On a new method of graduation. Proceedings of the Edinburgh
    Mathematical Society 41, 63-75. Eilers, P. H. C. and Marx, B. D. (1996). Flexible smoothing with
    B-splines and penalties. Statistical Science 11, 89-121.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import SmoothPenalty
    >>> SmoothPenalty(order=1).value(np.array([0.0, 1.0, 3.0]), alpha=2.0)
    5.0
    >>> SmoothPenalty(order=2).value(np.array([0.0, 1.0, 2.0]), alpha=2.0)
    0.0
    """

    name = "smooth"
    _covers = False

    def __init__(self, order=2, groups=None, cyclic=False):
        self.order = order
        self.groups = groups
        self.cyclic = cyclic

    def _form(self, n_features):
        order = check_integer(type(self).__name__, "order", self.order)
        if order > 3:
            raise self._error(f"order must be 1, 2 or 3; got {order}")
        if not isinstance(self.cyclic, bool | np.bool_):
            raise self._error(f"cyclic must be True or False; got {self.cyclic!r}")
        runs = [np.arange(n_features)] if self.groups is None else self._members(n_features)
        coefficients = np.diff(np.eye(order + 1), order, axis=0)[0]
        blocks = [self._differences(run, coefficients, n_features) for run in runs]
        differences = sparse.vstack(blocks, format="csr")
        return Quadratic(sparse.csr_array(differences.T @ differences))

    def _differences(self, run, coefficients, n_features):
        """Those of a run: CSR array with a row for each."""
        places = np.arange(len(run) if self.cyclic else max(len(run) - len(coefficients) + 1, 0))
        ahead = (places[:, None] + np.arange(len(coefficients))) % len(run)
        rows = np.repeat(places, len(coefficients))
        values = np.tile(coefficients, len(places))
        at = rows, run[ahead.ravel()]
        return sparse.coo_array((values, at), shape=(len(places), n_features)).tocsr()
