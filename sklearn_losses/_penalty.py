"""What penalties share: the base class, and the way to those that are compiled."""

import numpy as np

from sklearn_losses._array import kernel_array
from sklearn_losses._interval import NON_NEGATIVE
from sklearn_losses._kernels.fit._penalties import PenaltyKernel
from sklearn_losses._parameters import Parametric, check_number

# Of the step that `Penalty.violation` tries: rounding leaves 2**-32 of a coefficient's size.
_TRIAL_LENGTH = 2.0**-20


class Penalty(Parametric):
    """Base class of the penalties.

    What is minimised is the mean loss plus ``penalty.value(coef, alpha)``, with `alpha` the
    estimator's. Parameters are checked when the penalty is used, not when it is made, so that it
    can be cloned and searched over like any estimator.

    A penalty of your own subclasses this, takes its parameters in ``__init__``, and defines `value`
    and `prox`; `convex` is then to be set where it is so.

    Attributes
    ----------
    name : str
        What `get_penalty` accepts for it.
    convex : bool
        Whether the penalty is convex. False where that is not known.
    separable : bool
        Whether it is a sum over the coefficients.
    smooth : bool
        Whether it has a derivative everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import penalties
    >>> class Support(penalties.Penalty):
    ...     "alpha times the number of coefficients that are not 0."
    ...
    ...     def value(self, coef, alpha):
    ...         return alpha * float(np.count_nonzero(coef))
    ...
    ...     def prox(self, coef, length, alpha, low=None, high=None):
    ...         keep = np.where(coef**2 > 2 * length * alpha, coef, 0.0)
    ...         return keep if low is None and high is None else np.clip(keep, low, high)
    >>> Support().prox(np.array([0.5, 2.0]), 1.0, alpha=1.0)
    array([0., 2.])
    """

    name = None
    convex = False
    separable = False
    smooth = False

    def value(self, coef, alpha):
        """The penalty of coefficients, summed over outputs.

        Parameters
        ----------
        coef : array of shape (n_features,) or (n_outputs, n_features)
        alpha : float
            The strength, in [0, inf).

        Returns
        -------
        value : float
        """
        raise NotImplementedError(f"{type(self).__name__} must define value")

    def prox(self, coef, length, alpha, low=None, high=None):
        """The proximal operator.

        It is the u in [low, high] that minimises
        ``sum((u - coef)**2 / (2 * length)) + value(u, alpha)``.

        Parameters
        ----------
        coef : array of shape (n_features,) or (n_outputs, n_features)
            float32 or float64, which the result has too.
        length : float or array that broadcasts to the shape of coef
            The length of the step, or of each coefficient's own, in [0, inf); 0 leaves a
            coefficient where it is, but for the bounds.
        alpha : float
            The strength, in [0, inf).
        low, high : float, array that broadcasts to the shape of coef, or None, default=None
            Bounds, rounded to coef's type. None: there is none.

        Returns
        -------
        prox : array of the shape of coef
        """
        raise NotImplementedError(f"{type(self).__name__} must define prox")

    def violation(self, coef, gradient, alpha, low=None, high=None):
        """How far coefficients are from a stationary point: the least element (of the smallest
        norm) of `gradient` plus the subdifferential of the penalty and of the bounds.

        It is 0 everywhere where they are stationary. A class that does not define it takes the
        change by a short proximal step, ``(coef - prox(coef - length * gradient, length)) /
        length`` with a length of ``2**-20``: that is the same to the length's first order, except
        for coefficients within a step of a kink, and to about ``2**-32`` of the coefficients' size.

        Parameters
        ----------
        coef : array of shape (n_features,) or (n_outputs, n_features)
        gradient : array of the shape of coef
            That of the loss alone.
        alpha : float
            The strength, in [0, inf).
        low, high : float, array that broadcasts to the shape of coef, or None, default=None
            Bounds, between which coef lies.

        Returns
        -------
        violation : array of the shape of coef
        """
        coef = kernel_array(coef, "coef")
        wide = coef.astype(np.float64)
        step = _TRIAL_LENGTH * np.asarray(gradient, dtype=np.float64)
        moved = self.prox(wide - step, _TRIAL_LENGTH, alpha, low, high)
        return ((wide - moved) / _TRIAL_LENGTH).astype(coef.dtype)

    def _kernel(self, alpha, n_features, l2_apart=False):
        """What the compiled engines take, all parameters checked; None for a class in Python.
        `l2_apart`: the caller's gradient has the L2 part."""
        self._numbers()

    def _as_name(self):
        """The estimators' `penalty` and `l1_ratio` that mean the same; (None, None) where none
        do."""
        return None, None

    def _check_for(self, n_features):
        """Raise the error of the first parameter that is out of range or does not fit so many
        features."""
        self._kernel(1.0, n_features)


class Compiled(Penalty):
    """What the penalties of the kernels share."""

    _struct = None  # of penalties.h

    def _shares(self):
        """The share of the L1 part, and gamma."""
        return 1.0, 0.0

    def _members(self, n_features):
        """The features of each group, or None."""

    def _factors(self, n_features, groups):
        """Weights of the features, or of the groups, or None."""

    def _kernel(self, alpha, n_features, l2_apart=False):
        alpha = check_number(type(self).__name__, "alpha", alpha, NON_NEGATIVE)
        ratio, gamma = self._shares()
        groups = self._members(n_features)
        weights = self._factors(n_features, groups)
        return PenaltyKernel(
            self._struct, n_features, alpha, ratio, gamma, weights, groups, l2_apart
        )

    def _error(self, message):
        return ValueError(f"{type(self).__name__}: {message}")

    def _coef(self, coef):
        coef = kernel_array(coef, "coef")
        if coef.ndim not in (1, 2):
            raise self._error(
                f"coef must have shape (n_features,) or (n_outputs, n_features); got {coef.shape}"
            )
        return coef

    def _like(self, coef, x, name):
        """`x` for each coefficient, as a matrix of float64."""
        x = kernel_array(x, name)
        try:
            x = np.broadcast_to(x, coef.shape)
        except ValueError:
            raise self._error(
                f"{name} must be a number, or an array that broadcasts to the shape of coef, "
                f"{coef.shape}; got shape {x.shape}"
            ) from None
        return np.ascontiguousarray(np.atleast_2d(x), dtype=np.float64)

    def _bounds(self, coef, low, high):
        with np.errstate(over="ignore"):  # beyond float32 there is no bound
            low, high = (
                None if x is None else self._like(coef, np.asarray(x).astype(coef.dtype), name)
                for x, name in ((low, "low"), (high, "high"))
            )
        inside = (-np.inf if low is None else low) <= (np.inf if high is None else high)
        if not np.all(inside):
            first = tuple(np.argwhere(~np.broadcast_to(inside, np.atleast_2d(coef).shape))[0])
            got = [None if x is None else float(x[first]) for x in (low, high)]
            raise self._error(f"low must be at most high; got low={got[0]}, high={got[1]}")
        return low, high

    def value(self, coef, alpha):
        coef = self._coef(coef)
        kernel = self._kernel(alpha, coef.shape[-1])
        return kernel.value(self._like(coef, coef, "coef"))

    def prox(self, coef, length, alpha, low=None, high=None):
        coef = self._coef(coef)
        kernel = self._kernel(alpha, coef.shape[-1])
        length = self._like(coef, length, "length")
        inside = NON_NEGATIVE.contains(length)
        if not inside.all():
            raise self._error(f"length must be in {NON_NEGATIVE}; got {length[~inside][0]}")
        moved = kernel.prox(self._like(coef, coef, "coef"), length, *self._bounds(coef, low, high))
        return moved.reshape(coef.shape).astype(coef.dtype, copy=False)

    def violation(self, coef, gradient, alpha, low=None, high=None):
        coef = self._coef(coef)
        kernel = self._kernel(alpha, coef.shape[-1])
        left = kernel.violation(
            self._like(coef, coef, "coef"),
            self._like(coef, gradient, "gradient"),
            *self._bounds(coef, low, high),
        )
        return left.reshape(coef.shape).astype(coef.dtype, copy=False)

    def _checked_weights(self, n_weights, of):
        """`weights` as an array, or None."""
        if self.weights is None:
            return None
        allowed = f"weights must be None or {n_weights} numbers in {NON_NEGATIVE}, one a {of}"
        try:
            weights = np.asarray(self.weights)
        except ValueError:  # of rows of several lengths
            raise self._error(f"{allowed}; got {self.weights!r}") from None
        if weights.dtype.kind not in "biuf":
            raise self._error(f"{allowed}; got dtype {weights.dtype}")
        if weights.shape != (n_weights,):
            raise self._error(f"{allowed}; got shape {weights.shape}")
        weights = np.ascontiguousarray(weights, dtype=np.float64)
        inside = NON_NEGATIVE.contains(weights)
        if not inside.all():
            first = int(inside.argmin())
            raise self._error(f"{allowed}; got {weights[first]} at index {first}")
        return weights
