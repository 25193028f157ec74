"""What the losses of pairs share: parameters, checks, and the way from embeddings to a matrix of
pairs and back."""

import numpy as np

from sklearn_losses._array import check_on_host, kernel_array
from sklearn_losses._parameters import Parametric
from sklearn_losses.contrastive._pairs import PRECOMPUTED
from sklearn_losses.losses._arrays import finite


class ContrastiveLoss(Parametric):
    """Base class of the losses of pairs of samples.

    Such a loss is a mean over anchors (or triplets) of a function of a matrix of pairs, of
    similarities or of distances. The matrix is made of embeddings, or is given: with
    ``similarity="precomputed"`` (``metric="precomputed"`` of a `TripletLoss`) the first argument is
    the matrix itself, and gradients are those with respect to its elements.

    Parameters are checked when the loss is used, not when it is made, so that it can be cloned and
    searched over like any estimator. NumPy arrays in float32 and float64 keep their type; others
    become float64. Arrays of a GPU are refused.

    Attributes
    ----------
    name : str
        What the estimators of this module accept for it.
    takes_labels : bool
        Whether it is called with labels, of shape (n_samples,), as its second argument.
    """

    name = None
    takes_labels = False
    # The parameter that says what the matrix holds, and its functions by name.
    _pairs_parameter, _pairs = "similarity", {}
    # Whether the loss stays the same where all embeddings are multiplied by one number.
    _has_no_scale = False

    def __call__(self, *arguments, **named):
        """Value of the loss.

        Parameters
        ----------
        *arguments, **named
            As in `loss_gradient`.

        Returns
        -------
        loss : float
        """
        return self.loss_gradient(*arguments, **named)[0]

    # ------------------------------------------------------------------------- for subclasses

    def _total(self, pairs, target):
        """Sum over anchors (or triplets), how many count, and the sum's gradient with respect to
        the matrix, an array of its shape.

        Parameters
        ----------
        pairs : ndarray of shape (n, m)
            Checked.
        target : object
            What `_target` returns.
        """
        raise NotImplementedError

    @property
    def _pairs_of(self):
        """The function that makes the matrix, or None where it is given."""
        given = getattr(self, self._pairs_parameter)
        allowed = [*self._pairs, PRECOMPUTED]
        if not isinstance(given, str) or given not in allowed:
            raise ValueError(
                f"{type(self).__name__}: {self._pairs_parameter} must be one of {allowed}; "
                f"got {given!r}"
            )
        return self._pairs.get(given)

    def _check(self):
        """The error of a parameter that is out of its range."""
        self._numbers()
        _ = self._pairs_of

    def _paired(self, X, Y, target):
        """`_total` of checked embeddings, with the gradients with respect to both; where Y is X,
        the one with respect to it."""
        pairs, pull = made(self._pairs_of, X, Y)
        total, mass, gradient = self._total(pairs, target)
        toward_x, toward_y = pull(gradient)
        return total, mass, [toward_x + toward_y] if Y is X else [toward_x, toward_y]

    def _one(self, X, target_of):
        """Value and gradient of one array: embeddings, each row paired with each, or a square
        matrix; ``target_of(n)`` makes the target of n rows."""
        self._check()
        X = checked(X, "X")
        if self._pairs_of is None:
            _check_square(X)
            total, mass, gradient = self._total(X, target_of(len(X)))
        else:
            total, mass, (gradient,) = self._paired(X, X, target_of(len(X)))
        return _mean(total, mass), _mean(gradient, mass, X.dtype)

    def _two(self, X, Y, target_of):
        """Value and gradients of two arrays of embeddings, or of a matrix of n rows and m columns;
        ``target_of(n, m)`` makes the target."""
        self._check()
        X = checked(X, "X")
        if self._pairs_of is None:
            _check_no_embeddings(Y)
            total, mass, gradient = self._total(X, target_of(*X.shape))
            return _mean(total, mass), _mean(gradient, mass, X.dtype)
        X, Y = checked_pair(X, Y, type(self).__name__)
        total, mass, gradients = self._paired(X, Y, target_of(len(X), len(Y)))
        return _mean(total, mass), tuple(_mean(part, mass, X.dtype) for part in gradients)


def _check_no_embeddings(Y):
    if Y is not None:
        raise ValueError("Y must be None where the matrix of pairs is given as X")


def _mean(total, mass, dtype=None):
    """A sum over how many count, or 0 of none: a float, or an array of a dtype."""
    mean = total / max(mass, 1)
    return float(mean) if dtype is None else mean.astype(dtype, copy=False)


def made(pairs_of, X, Y):
    """The matrix of pairs of checked embeddings, finite, and `pull`."""
    with np.errstate(over="ignore", invalid="ignore"):
        pairs, pull = pairs_of(X, Y)
        total = pairs.sum(dtype=np.float64)
    if not np.isfinite(total):
        raise ValueError(
            "embeddings must not be so large that their products overflow; got one of size "
            f"{max(np.abs(X).max(), np.abs(Y).max()):.3g}"
        )
    return pairs, pull


def checked(X, name):
    """A finite matrix of float32 or float64 with at least one row and column."""
    check_on_host("A contrastive loss", **{name: X})
    X = kernel_array(X, name)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"{name} must have two dimensions, none of them empty; got {X.shape}")
    return finite(X, name)


def checked_pair(X, Y, owner):
    """Two checked arrays of embeddings, of as many columns and of one dtype."""
    if Y is None:
        raise ValueError(f"{owner} needs Y, the embeddings that those of X are paired with")
    Y = checked(Y, "Y")
    if X.shape[1] != Y.shape[1]:
        raise ValueError(f"Y must have {X.shape[1]} columns, as X has; got {Y.shape[1]}")
    both = np.result_type(X, Y)
    return X.astype(both, copy=False), Y.astype(both, copy=False)


def checked_views(X, Y, owner):
    """Two checked arrays of embeddings, row by row of the same samples."""
    X, Y = checked_pair(checked(X, "X"), Y, owner)
    if len(X) != len(Y):
        raise ValueError(f"Y must have {len(X)} rows, as X has; got {len(Y)}")
    return X, Y


def _check_square(pairs):
    if pairs.shape[0] != pairs.shape[1]:
        raise ValueError(f"X must be a square matrix of pairs; got shape {pairs.shape}")


def codes_of(y, n_samples):
    """Labels of any kind as numbers 0, 1, ...

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    n_samples : int

    Returns
    -------
    codes : ndarray of shape (n_samples,), intp
    """
    labels = np.asarray(y)
    if labels.shape != (n_samples,):
        raise ValueError(f"y must have shape ({n_samples},), a label a row; got {labels.shape}")
    if labels.dtype.kind == "f":
        finite(labels, "y")
    try:
        return np.unique(labels, return_inverse=True)[1].reshape(-1)
    except TypeError as error:
        raise TypeError(f"y must hold labels of one kind, which have an order: {error}") from error
