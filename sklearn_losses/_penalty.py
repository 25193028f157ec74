"""What penalties share: the base class, the way to those that are compiled, and what a fit holds of
one."""

import inspect
import numbers
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sklearn_losses._array import kernel_array
from sklearn_losses._interval import NON_NEGATIVE
from sklearn_losses._kernels.fit._penalties import PenaltyKernel
from sklearn_losses._parameters import Parametric, check_number

# Of the step that `Penalty.violation` tries: rounding leaves 2**-32 of a coefficient's size.
_TRIAL_LENGTH = 2.0**-20


def trial_violation(prox, coef, gradient):
    """`Penalty.violation` by a short step of ``prox(coef, length)``."""
    coef = kernel_array(coef, "coef")
    wide = coef.astype(np.float64)
    step = _TRIAL_LENGTH * np.asarray(gradient, dtype=np.float64)
    return ((wide - prox(wide - step, _TRIAL_LENGTH)) / _TRIAL_LENGTH).astype(coef.dtype)


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
        return trial_violation(
            lambda to, length: self.prox(to, length, alpha, low, high), coef, gradient
        )

    def _kernel(self, alpha, n_features, l2_apart=False):
        """What the compiled engines take, all parameters checked; None for a class in Python.
        `l2_apart`: the caller's gradient has the L2 part."""
        self._numbers()

    def _finds_violation(self):
        """Whether `violation` is more than a trial step."""
        return type(self).violation is not Penalty.violation

    def _sums(self, alpha, n_features):
        """The weights of each ``|c_j|`` and of each ``c_j**2 / 2``, where the penalty is a sum of
        such terms: two floats, or arrays of shape (n_features,). Else None."""

    def _quadratic(self, alpha, n_features):
        """`Quadratic`, where the penalty is one that is no sum of squares around 0; else None."""

    def _check_loss(self, loss):
        """Raise the error of parameters that have no meaning for a loss."""

    def _as_name(self):
        """The estimators' `penalty` and `l1_ratio` that mean the same; (None, None) where none
        do."""
        return None, None

    def _check_for(self, n_features):
        """Raise the error of the first parameter that is out of range or does not fit so many
        features, and of methods that cannot be called as they will be."""
        if self._kernel(1.0, n_features) is None:
            _check_call(self, "value", "coef, alpha")
            _check_call(self, "prox", "coef, length, alpha, low=None, high=None")


def _check_call(penalty, name, arguments):
    try:
        inspect.signature(getattr(penalty, name)).bind(*arguments.split(", "))
    except TypeError as error:
        raise TypeError(
            f"{type(penalty).__name__}.{name} must take ({arguments}); {error} when it is called so"
        ) from None


class Arguments(Penalty):
    """What methods are given, checked."""

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

    def _lengths(self, coef, length):
        length = self._like(coef, length, "length")
        inside = NON_NEGATIVE.contains(length)
        if not inside.all():
            raise self._error(f"length must be in {NON_NEGATIVE}; got {length[~inside][0]}")
        return length


class Compiled(Arguments):
    """What the penalties of the kernels share. A subclass with a method of its own is followed in
    Python."""

    _struct = None  # of penalties.h

    def _share(self):
        """Of the L1 part."""
        return 1.0

    def _members(self, n_features):
        """The features of each group, or None."""

    def _factors(self, n_features, groups):
        """Weights of the features, or of the groups, or None."""

    def _finds_violation(self):
        own = type(self).violation is not Compiled.violation
        return own or type(self).prox is Compiled.prox

    def _is_own(self):
        return any(getattr(type(self), name) is not getattr(Compiled, name) for name in METHODS)

    def _kernel(self, alpha, n_features, l2_apart=False):
        made = self._made(alpha, n_features, l2_apart)
        return None if self._is_own() else made

    def _made(self, alpha, n_features, l2_apart=False):
        """The struct's."""
        alpha = check_number(type(self).__name__, "alpha", alpha, NON_NEGATIVE)
        params, share = self._numbers(), self._share()
        groups = self._members(n_features)
        weights = self._factors(n_features, groups)
        return PenaltyKernel(
            self._struct, n_features, alpha, share, params, weights, groups, l2_apart
        )

    def value(self, coef, alpha):
        coef = self._coef(coef)
        kernel = self._made(alpha, coef.shape[-1])
        return kernel.value(self._like(coef, coef, "coef"))

    def prox(self, coef, length, alpha, low=None, high=None):
        coef = self._coef(coef)
        kernel = self._made(alpha, coef.shape[-1])
        length = self._lengths(coef, length)
        moved = kernel.prox(self._like(coef, coef, "coef"), length, *self._bounds(coef, low, high))
        return moved.reshape(coef.shape).astype(coef.dtype, copy=False)

    def violation(self, coef, gradient, alpha, low=None, high=None):
        if not self._finds_violation():
            return super().violation(coef, gradient, alpha, low, high)
        coef = self._coef(coef)
        kernel = self._made(alpha, coef.shape[-1])
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


class Grouping:
    """Mixin: the parameter `groups`, of features."""

    _covers = True  # whether each feature is in one

    def _members(self, n_features):
        groups = self.groups
        unordered = isinstance(groups, str | bytes | dict | set | frozenset)
        if unordered or not hasattr(groups, "__len__") or not np.iterable(groups):
            raise self._error(
                f"groups must be an array of {n_features} integer labels, or lists of the features "
                f"of each group; got {groups!r}"
            )
        groups = list(groups)
        labels = [_is_integer(label) for label in groups]
        if any(labels) and not all(labels):
            first = labels.index(False)
            raise self._error(
                "groups must hold integer labels, or lists of at least one feature, not both; "
                f"got {groups[first]!r} at index {first}"
            )
        return self._labelled(n_features) if all(labels) else self._listed(n_features)

    def _labelled(self, n_features):
        labels = [int(label) for label in self.groups]  # of any size
        if len(labels) != n_features:
            raise self._error(
                f"groups must have a label for each of {n_features} features; got {len(labels)}"
            )
        position = {label: at for at, label in enumerate(sorted(set(labels)))}
        labels = np.array([position[label] for label in labels], dtype=np.int64)
        sizes = np.bincount(labels)
        return np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])

    def _listed(self, n_features):
        for at, group in enumerate(self.groups):
            if not np.iterable(group) or not len(group) or not all(map(_is_integer, group)):
                raise self._error(
                    "groups must hold integer labels, or lists of at least one feature; "
                    f"got {group!r} at index {at}"
                )
        members = [np.array([int(feature) for feature in group]) for group in self.groups]
        features = np.concatenate(members)
        outside = (features < 0) | (features >= n_features)
        if outside.any():
            raise self._error(
                f"groups must hold features from 0 to {n_features - 1}; got {features[outside][0]}"
            )
        counts = np.bincount(features, minlength=n_features)
        wrong = counts != 1 if self._covers else counts > 1
        if wrong.any():
            first, how = int(wrong.argmax()), "once" if self._covers else "at most once"
            raise self._error(
                f"groups must hold each feature {how}; got feature {first} {counts[first]} times"
            )
        return members


def _is_integer(x):
    return isinstance(x, numbers.Integral) and not isinstance(x, bool | np.bool_)


# What a subclass may define.
METHODS = ("value", "prox", "violation")
# Coefficients below this have a finite penalty.
MODERATE = 1e100


@dataclass(frozen=True)
class Held:
    """A penalty with the strength and the bounds of a fit. What methods in Python return is
    checked.

    Attributes
    ----------
    penalty : Penalty
    alpha : float
    n_features : int
    low, high : ndarray of shape (n_features,) or None
        Bounds of the weights.
    """

    penalty: Penalty
    alpha: float
    n_features: int
    low: np.ndarray | None
    high: np.ndarray | None

    def kernel(self):
        """As engines take it: compiled, or the proximal operator in Python."""
        return self.penalty._kernel(self.alpha, self.n_features) or self.prox

    def sums(self):
        """`Penalty._sums`."""
        return self.penalty._sums(self.alpha, self.n_features)

    @cached_property
    def quadratic(self):
        """`Penalty._quadratic`."""
        return self.penalty._quadratic(self.alpha, self.n_features)

    def value(self, coef):
        value = self.penalty.value(coef, self.alpha)
        made = np.asarray(value)
        if made.shape != () or made.dtype.kind not in "biuf":
            raise self._error("value", "one real number", _told(value))
        # Coefficients on their way to infinity may take the value there before them.
        if not np.isfinite(made) and (np.abs(coef) < MODERATE).all():
            raise self._error("value", "a finite number of such coefficients", repr(float(made)))
        return float(made)

    def prox(self, coef, length):
        """Where steps lead: `length` as engines give it, whose steps of weights without a gradient
        so far have none; quadratic penalties move these too."""
        if self.quadratic is not None:  # made once for all steps
            wide = coef.astype(np.float64)
            length = self.quadratic.lengths(wide, length)
            moved = self.quadratic.prox_of_rows(wide, length, self.low, self.high)
            return moved.astype(coef.dtype, copy=False)
        length = np.maximum(length, 0.0)
        moved = self.penalty.prox(coef, length, self.alpha, self.low, self.high)
        moved = self._like(coef, "prox", moved)
        if self.low is None:
            return moved
        low, high = self.low.astype(coef.dtype), self.high.astype(coef.dtype)
        outside = (moved < low) | (moved > high)
        if outside.any():
            k, j = np.argwhere(outside)[0]
            at = f"{moved[k, j]} for feature {j}"
            raise self._error("prox", f"numbers between low={low[j]} and high={high[j]}", at)
        return moved

    def violation(self, coef, gradient):
        if not self.penalty._finds_violation():
            return trial_violation(self.prox, coef, gradient)
        held = self.alpha, self.low, self.high
        return self._like(coef, "violation", self.penalty.violation(coef, gradient, *held))

    def _like(self, coef, name, got):
        """What a method returned, an array like coef."""
        made = np.asarray(got)
        if made.shape != coef.shape or made.dtype.kind not in "biuf":
            raise self._error(name, f"an array of real numbers of shape {coef.shape}", _told(got))
        if np.isnan(made).any() and np.isfinite(coef).all():
            j = int(np.argwhere(np.isnan(made))[0, 1])
            raise self._error(name, "numbers of finite coefficients", f"nan for feature {j}")
        return made

    def _error(self, name, allowed, got):
        return ValueError(f"{type(self.penalty).__name__}.{name} must return {allowed}; got {got}")


def _told(x):
    if isinstance(x, np.ndarray):
        return f"an array of shape {x.shape} and dtype {x.dtype}"
    return repr(x)
