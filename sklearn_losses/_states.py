"""Checks of what a fit goes on from. It may come from a file, which may hold anything in its place,
and kernels trust what they are given.

A kind of a value is a function of the value and its name, which returns what is stored, or raises
the ValueError that names what is wrong. Kinds of dicts and lists are made of those of their items.
"""

import math

import numpy as np

from sklearn_losses._array import array_namespace, in_namespace, on_device
from sklearn_losses._interval import Interval
from sklearn_losses._parameters import check_integer, check_number

WHAT = "the state to go on from"

# Of counts: exact as floats, and far beyond any fit.
MOST = 2**53


def number(low=-math.inf, high=math.inf, *, above=False):
    """A finite number of at least `low` (`above`: above it) and at most `high`, as a float."""
    inclusive = {"low_inclusive": not above and low > -math.inf, "high_inclusive": high < math.inf}
    interval = Interval(low, high, **inclusive)

    def check(value, name):
        try:
            return check_number(WHAT, name, value, interval)
        except OverflowError:  # an int beyond every float
            raise ValueError(f"{WHAT}: {name} must be a number in {interval}") from None

    return check


def anything(value, name):
    """Checked elsewhere."""
    return value


def any_number(value, name):
    """A float, which may be infinite or not a number: what nothing is computed from but curves."""
    if isinstance(value, float | np.floating):
        return float(value)
    raise ValueError(f"{WHAT}: {name} must be a float; got {_shown(value)}")


def lowest(value, name):
    """A float but NaN: the lowest of numbers, which is infinite where there were none."""
    value = any_number(value, name)
    if math.isnan(value):
        raise ValueError(f"{WHAT}: {name} must not be NaN")
    return value


def whole(low=0, high=MOST):
    """An integer from `low` to `high`."""

    def check(value, name):
        value = check_integer(WHAT, name, value, low)
        if value > high:
            raise ValueError(f"{WHAT}: {name} must be at most {high}; got {value}")
        return value

    return check


SEED = whole(0, 2**32 - 1)


def one_of(*values):
    """One of strings, or of None."""

    def check(value, name):
        if value is None or isinstance(value, str):
            if value in values:
                return value
        raise ValueError(f"{WHAT}: {name} must be one of {values}; got {_shown(value)}")

    return check


def array_like(array, *, low=-math.inf, exact=False):
    """An array of floats of the shape of another, finite in that one's dtype (`exact`: that dtype)
    and at least `low`; of either side."""

    def check(value, name):
        shape, dtype = tuple(array.shape), array.dtype
        kind = getattr(value, "dtype", None)
        if not (isinstance(value, np.ndarray) or on_device(value)) or kind not in (
            np.float32,
            np.float64,
        ):
            raise ValueError(
                f"{WHAT}: {name} must be an array of float32 or float64; got {_shown(value)}"
            )
        # It may have been kept on another device.
        value = in_namespace(value, array_namespace(value))
        if exact and value.dtype != dtype:
            raise ValueError(f"{WHAT}: {name} must have dtype {dtype}; got {value.dtype}")
        if tuple(value.shape) != shape:
            raise ValueError(f"{WHAT}: {name} must have shape {shape}; got {tuple(value.shape)}")
        with np.errstate(over="ignore"):
            value = value.astype(dtype)
        if not bool(array_namespace(value).isfinite(value).all()):
            raise ValueError(f"{WHAT}: {name} must be finite in {dtype}")
        if low > -math.inf and bool((value < low).any()):
            raise ValueError(f"{WHAT}: {name} must be at least {low:g}")
        return value

    return check


def dict_of(kinds):
    """A dict with the keys of `kinds`, a dict of the kinds of its values."""

    def check(value, name):
        if not isinstance(value, dict) or value.keys() != kinds.keys():
            raise ValueError(
                f"{WHAT}: {name} must be a dict and must have the keys {sorted(kinds)}; "
                f"got {_shown(value)}"
            )
        return {key: kind(value[key], f"{name}[{key!r}]") for key, kind in kinds.items()}

    return check


def list_of(kinds):
    """A list or tuple of items of `kinds`, one after the other; returned as a tuple."""

    def check(value, name):
        if not isinstance(value, list | tuple) or len(value) != len(kinds):
            raise ValueError(f"{WHAT}: {name} must have {len(kinds)} items; got {_shown(value)}")
        return tuple(
            kind(item, f"{name}[{i}]")
            for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
        )

    return check


# Of averages, which engines of every kind count alike.
_AVERAGING = {"average_a": number(0), "average_b": number(1), "t": number(1)}


def of_batches(live, power=0.0):
    """The kind of the state of an engine of batches, from its arrays that change, by name, and the
    power of its number as which a step counts in the averages."""
    arrays = {name: array_like(array) for name, array in live.items()}
    return _with_averages({**arrays, **_AVERAGING, "l1_so_far": number(0)}, power)


def _with_averages(kinds, power=0.0):
    state = dict_of(kinds)

    def check(value, name="engine"):
        value = state(value, name)
        _check_averaging(*(value[key] for key in _AVERAGING), name, power)
        return value

    return check


def _check_averaging(a, b, t, name, power=0.0):
    # Both count averaged steps: far beyond them they would overflow in what they are factors of.
    most = 2.0 * (t + power) ** (power + 1.0)
    for part, value in (("average_a", a), ("average_b", b)):
        if value > most:
            count = (
                f"the number of steps, {t}"
                if power == 0.0
                else f"what {t} steps make, {most / 2.0}"
            )
            raise ValueError(f"{WHAT}: {name}: {part} must be at most twice {count}; got {value}")


def optional(kind):
    """None, or a value of a kind."""
    return lambda value, name: None if value is None else kind(value, name)


def units_of(n_outputs):
    """What is kept of `LossUnits`."""
    by_output = array_like(np.empty(n_outputs), low=0)
    return dict_of(dict.fromkeys(("spread", "slope", "length"), by_output))


def gap_of(size):
    """What is kept of a `Gap` in so many coordinates."""
    pair = list_of([array_like(np.empty(size))] * 2)

    def pairs(value, name):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{WHAT}: {name} must be a list; got {_shown(value)}")
        return list_of([pair] * len(value))(value, name)

    return dict_of({"pairs": pairs, "last": optional(pair)})


def model_like(model):
    """A model of the shapes of another."""
    parts = dict_of({"coef": array_like(model.coef), "intercept": array_like(model.intercept)})

    def check(value, name):
        if type(value) is not type(model):
            raise ValueError(f"{WHAT}: {name} must be a model; got {_shown(value)}")
        return type(model)(**parts(vars(value), name))

    return check


def _shown(value):
    if isinstance(value, dict):
        return f"a dict with the keys {sorted(map(str, value))}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)} items"
    if hasattr(value, "dtype"):
        return f"{type(value).__name__} of dtype {value.dtype} and shape {value.shape}"
    return f"{type(value).__name__} {str(value)[:50]}" if not isinstance(value, int) else "an int"


def one_sample(kinds):
    """The kind of the state of the engine of one sample a step, from the kinds of its counts and
    vectors."""
    numbers = {
        **_AVERAGING,
        "eta": number(0),
        "scale": number(0, 1, above=True),
        "intercept": number(),
        "intercept_average": number(),
        "u": number(0),
        "finite": _true,
    }
    # Of the objective, which may overflow.
    sums = ("square", "absolute", "square_now", "absolute_now")
    sums += ("loss_sum", "gradient_sum", "square_sum", "absolute_sum")
    return _with_averages({**numbers, **dict.fromkeys(sums, any_number), **kinds})


def _true(value, name):
    if value is True or (isinstance(value, int) and value == 1):
        return True
    raise ValueError(f"{WHAT}: {name} must be True; got {_shown(value)}")


def of_fit(state, model):
    """The state of a `Fit`, but for that of its descent, which the descent checks.

    Parameters
    ----------
    state : dict
        Where only the stream goes on, it has fewer keys.
    model : callable
        ``model()``: one of the shapes of the fit's.

    Returns
    -------
    state : dict
    """

    def best(value, name):
        return None if value is None else model_like(model())(value, name)

    kinds = {
        "engine": anything,
        "epochs": whole(),
        "patience": list_of([lowest, whole()]),
        "best": list_of([lowest, best]),
        "ended": one_of(None, "converged", "no_progress", "validation", "line_search"),
        "last": _ends_of_curves,
    }
    if isinstance(state, dict) and state.keys() == {"engine", "epochs"}:
        kinds = {name: kinds[name] for name in state}
    return dict_of(kinds)(state, "fit")


def _ends_of_curves(value, name):
    series = {"loss", "validation", "gradient_norm", "rate"}
    if not isinstance(value, dict) or not value.keys() <= series:
        raise ValueError(f"{WHAT}: {name} must be a dict of {series}; got {_shown(value)}")
    last = list_of([any_number])
    return {key: list(last(item, f"{name}[{key!r}]")) for key, item in value.items()}


def kept_of(kept, n_fits):
    """What an estimator keeps of its fits, each of which is checked where it is taken up."""
    kinds = {"of": anything, "fits": list_of([anything] * n_fits)}
    if isinstance(kept, dict) and "constants" in kept:
        kinds["constants"] = anything  # checked where they are taken up
    kept = dict_of(kinds)(kept, "_kept")
    known = {"engine", "epochs"}
    if not isinstance(kept["of"], dict):
        raise ValueError(f"{WHAT}: _kept['of'] must be a dict; got {_shown(kept['of'])}")
    for i, state in enumerate(kept["fits"]):
        if not isinstance(state, dict) or not known <= state.keys():
            raise ValueError(
                f"{WHAT}: _kept['fits'][{i}] must be a dict with {sorted(known)}; "
                f"got {_shown(state)}"
            )
    return kept
