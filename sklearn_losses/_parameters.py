"""What losses and schedules share as objects: parameters, checked when used; equality; names."""

import difflib
import numbers
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, clone


def check_number(owner, name, value, interval, also=""):
    """`value` as a float, or the error that names the owner, the parameter, the value and what is
    allowed (in the interval, and `also`).
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_):
        number = as_float(value)
        if number is not None and interval.contains(number):
            return number
    raise ValueError(f"{owner}: {name} must be a number in {interval}{also}; got {_short(value)}")


def as_float(value):
    """A real number as a float, or None where it is finite and lies outside a float's range."""
    try:
        return float(value)
    except OverflowError:
        return None


def _short(value):
    """`value` as an error shows it: an integer may have more digits than Python prints."""
    try:
        text = repr(value)
    except ValueError:
        return f"an integer of {value.bit_length()} bits"
    return text if len(text) <= 80 else f"{text[:40]}... ({len(text)} characters)"


def log_in_two(x, over=1.0):
    """``log(x / over)`` as a float, and what its rounding left: twice a float's precision."""
    digits = Context(prec=60)
    share = Fraction(x) / Fraction(over)
    exact = digits.ln(digits.divide(Decimal(share.numerator), Decimal(share.denominator)))
    return float(exact), float(exact - Decimal(float(exact)))


def check_integer(owner, name, value, low=1):
    """`value` as an int that fits in 64 bits, or the error that `check_number` raises."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_):
        if low <= value < 2**63:
            return int(value)
    raise ValueError(
        f"{owner}: {name} must be an integer from {low} to 2**63 - 1; got {_short(value)}"
    )


def from_name(what, given, base, known, params):
    """The object that `given` stands for: an instance of `base` as it is (a copy where there are
    `params`), or a name of `known`, a dict of classes, or the error that starts with `what`.
    """
    if isinstance(given, base):
        given._check_class()
        if not params:
            return given
        own = given.get_params(deep=False)
        # `params` may reach into a nested object, which must stay as it is in `given`.
        made = type(given)(
            **{k: clone(v) if isinstance(v, Parametric) else v for k, v in own.items()}
        )
    elif isinstance(given, str) and given in known:
        made = known[given]()
    else:
        near = difflib.get_close_matches(str(given), known, n=3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"{what} must be an instance of {base.__name__} or one of {sorted(known)}; "
            f"got {given!r}{hint}"
        )
    return made.set_params(**params)


def _same(a, b):
    """Whether two values of a parameter are equal; arrays as a whole."""
    if a is b:
        return True
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if sparse.issparse(a) or sparse.issparse(b):
        both = sparse.issparse(a) and sparse.issparse(b) and a.shape == b.shape
        return both and (a != b).nnz == 0
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return a == b


class Parametric(BaseEstimator):
    """An object that is its parameters: two of one class with equal parameters are equal."""

    # Parameter name -> the interval that it lies in, in the order in which the formula takes them.
    _parameter_intervals = {}

    @classmethod
    def _lacks(cls):
        """Why a user's subclass cannot work, and what to do instead; None where it can."""
        return None

    def _check_class(self):
        """Raise the error of a class that cannot work."""
        lacks = self._lacks()
        if lacks is not None:
            raise TypeError(f"{type(self).__name__} {lacks}")

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        mine, theirs = self.get_params(deep=False), other.get_params(deep=False)
        return all(_same(mine[name], theirs[name]) for name in mine)

    def __hash__(self):
        return hash(type(self))  # parameters may change

    def __setstate__(self, state):
        # A file that skops loads may hold any attributes. In a class of ours one that stands in for
        # what the class defines could hand the kernels numbers that nobody has checked.
        if type(self).__module__.startswith("sklearn_losses."):
            for name in set(state) - set(self._get_param_names()):
                if hasattr(type(self), name):
                    raise ValueError(
                        f"{type(self).__name__}: a saved state must not replace {name!r}"
                    )
        super().__setstate__(state)

    def _numbers(self):
        """The parameters that `_parameter_intervals` names, checked."""
        owner = type(self).__name__
        unset = [name for name in self._parameter_intervals if not hasattr(self, name)]
        if unset:  # by a subclass
            raise TypeError(
                f"{owner}: its __init__ must set {', '.join(unset)}, as super().__init__() does"
            )
        return [
            check_number(owner, name, getattr(self, name), interval)
            for name, interval in self._parameter_intervals.items()
        ]
