"""Hold a loss, a user's own included, to what every loss promises."""

import pickle

import numpy as np
from sklearn.base import clone

from sklearn_losses._interval import Interval

__all__ = ["check_loss"]


def check_loss(loss, random_state=0):
    """Check that a loss keeps the promises that estimators, scorers and objectives rely on.

    Checked are: parameters and clones; the gradient and the hessian against finite differences; the
    domain of the target; NaN in, NaN out; the minimum; weights; float32; outputs written where they
    were asked for; empty input.

    Parameters
    ----------
    loss : Loss
        A row-wise loss without `n_classes` is checked with 3 classes.
    random_state : int, default=0
        Seed of the samples that the loss is checked on.

    Raises
    ------
    AssertionError
        Lists each promise that is broken, and the sample that shows it.

    Examples
    --------
    >>> from sklearn_losses import FunctionLoss
    >>> from sklearn_losses.testing import check_loss
    >>> check_loss(FunctionLoss(lambda y, raw: (raw - y) ** 2, lambda y, raw: 2 * (raw - y)))
    >>> check_loss(FunctionLoss(lambda y, raw: (raw - y) ** 2, lambda y, raw: raw - y))
    Traceback (most recent call last):
    ...
    AssertionError: FunctionLoss breaks 1 promise:
    - gradient: is the derivative of the value. At y_true=..., raw_prediction=... it is ..., but ...
    """
    if loss.is_multiclass and loss.n_classes is None:
        loss = clone(loss).set_params(n_classes=3)
    y, raw, weight = _samples(loss, np.random.RandomState(random_state))
    broken = []
    for name, check in CHECKS.items():
        try:
            check(loss, y, raw, weight)
        except _Broken as error:
            broken.append(f"- {name}: {error}")
        except Exception as error:
            broken.append(f"- {name}: raised {type(error).__name__}: {error}")
    if broken:
        promises = "1 promise" if len(broken) == 1 else f"{len(broken)} promises"
        raise AssertionError("\n".join([f"{type(loss).__name__} breaks {promises}:", *broken]))


class _Broken(Exception):
    """A promise that does not hold."""


def _samples(loss, rng, n_samples=60):
    """Targets over the declared domain, raw predictions on both sides of them, weights."""
    weight = rng.uniform(0.5, 2, n_samples)
    if loss.is_multiclass:
        y = rng.randint(loss.n_classes, size=n_samples).astype(float)
        return y, rng.normal(scale=2, size=(n_samples, loss.n_classes)), weight
    interval = loss.interval_y_true
    low, high = interval.low, interval.high
    if np.isfinite(low) and np.isfinite(high):
        y = rng.uniform(low, high, n_samples)
    elif np.isfinite(low):
        y = low + rng.gamma(2, size=n_samples)
    elif np.isfinite(high):
        y = high - rng.gamma(2, size=n_samples)
    else:
        y = rng.normal(size=n_samples)
    # The ends that belong to the domain.
    ends = [
        end
        for end, inside in ((low, interval.low_inclusive), (high, interval.high_inclusive))
        if inside and np.isfinite(end)
    ]
    for i, end in enumerate(ends):
        y[i : n_samples // 2 : 2] = end
    return y, rng.normal(scale=2, size=n_samples), weight


def _where(y, raw, i):
    return f"At y_true={y[i]:.6g}, raw_prediction={np.array2string(raw[i], precision=6)}"


def _expect(good, y, raw, message):
    """Raise for the first sample that is not good; `message` tells of sample i."""
    good = np.asarray(good)
    if good.ndim > 1:
        good = good.all(axis=1)
    if not good.all():
        i = int(np.argmin(good))
        raise _Broken(f"{message(i)}")


def _differences(function, raw):
    """Central differences over each column of `raw`, and where two step sizes agree on them."""
    estimates = []
    columns = raw.reshape(raw.shape[0], -1)
    for step in (1e-4, 1e-5):
        estimate = np.empty_like(columns)
        for k in range(columns.shape[1]):
            above, below = columns.copy(), columns.copy()
            above[:, k] += step
            below[:, k] -= step
            change = function(above.reshape(raw.shape), k) - function(below.reshape(raw.shape), k)
            estimate[:, k] = change / (2 * step)
        estimates.append(estimate.reshape(raw.shape))
    smooth = np.abs(estimates[0] - estimates[1]) <= 1e-5 * (1 + np.abs(estimates[1]))
    return estimates[1], smooth


def _column(array, k):
    return array if array.ndim == 1 else array[:, k]


def _check_parameters(loss, y, raw, weight):
    copy = clone(loss)
    if copy != loss:
        raise _Broken("a clone equals its original")
    copy.set_params(**loss.get_params(deep=False))
    if copy != loss:
        raise _Broken("set_params(**get_params()) changes nothing")
    try:
        text = pickle.dumps(loss)
    except (TypeError, AttributeError, ValueError, pickle.PicklingError):
        return  # functions of a user may have no pickle
    if pickle.loads(text) != loss:
        raise _Broken("a loss equals its pickle")


def _check_gradient(loss, y, raw, weight):
    estimate, smooth = _differences(lambda r, k: loss.loss(y, r), raw)
    gradient = loss.gradient(y, raw)
    close = np.abs(gradient - estimate) <= 1e-4 * (1 + np.abs(estimate))
    _expect(
        close | ~smooth,
        y,
        raw,
        lambda i: (
            f"is the derivative of the value. {_where(y, raw, i)} it is {gradient[i]}, "
            f"but the value's differences give {estimate[i]}"
        ),
    )


def _check_hessian(loss, y, raw, weight):
    gradient, hessian = loss.gradient_hessian(y, raw)
    _expect(
        np.isclose(gradient, loss.gradient(y, raw), rtol=1e-12, atol=1e-14),
        y,
        raw,
        lambda i: f"gradient_hessian and gradient agree. {_where(y, raw, i)} they do not",
    )
    _expect(
        np.isfinite(hessian), y, raw, lambda i: f"is finite. {_where(y, raw, i)} it is {hessian[i]}"
    )
    if loss.approx_hessian:
        return
    estimate, smooth = _differences(lambda r, k: _column(loss.gradient(y, r), k), raw)
    close = np.abs(hessian - estimate) <= 1e-4 * (1 + np.abs(estimate))
    _expect(
        close | ~smooth,
        y,
        raw,
        lambda i: (
            "is the derivative of the gradient (or approx_hessian is set). "
            f"{_where(y, raw, i)} it is {hessian[i]}, but the gradient's "
            f"differences give {estimate[i]}"
        ),
    )
    if loss.constant_hessian and not (hessian == 1).all():
        raise _Broken("is 1 where constant_hessian is set")


def _check_domain(loss, y, raw, weight):
    if not isinstance(loss.interval_y_true, Interval):
        raise _Broken(f"interval_y_true is an Interval; it is {loss.interval_y_true!r}")
    if not loss.in_y_true_range(y):
        raise _Broken("in_y_true_range holds for targets from interval_y_true")
    interval = loss.interval_y_true
    outside = [
        np.nextafter(end, end + side) if inclusive else end
        for end, side, inclusive in (
            (interval.low, -1, interval.low_inclusive),
            (interval.high, 1, interval.high_inclusive),
        )
        if np.isfinite(end)
    ]
    for value in outside:
        wrong = y.copy()
        wrong[3] = value
        try:
            loss(wrong, raw)
        except ValueError:
            continue
        raise _Broken(f"calling the loss raises a ValueError for y_true={value!r}")


def _check_values(loss, y, raw, weight):
    value, _ = loss.loss_gradient(y, raw)
    _expect(
        np.isfinite(value), y, raw, lambda i: f"are finite. {_where(y, raw, i)} it is {value[i]}"
    )
    separate = loss.loss(y, raw)
    scale = np.abs(separate) + 1
    _expect(
        np.abs(value - separate) <= 1e-12 * scale,
        y,
        raw,
        lambda i: f"loss and loss_gradient agree. {_where(y, raw, i)} they do not",
    )
    constant = loss.constant_to_optimal_zero(y)
    _expect(
        value + constant >= -1e-9 * (np.abs(value) + np.abs(constant) + 1),
        y,
        raw,
        lambda i: (
            f"are at least 0 with constant_to_optimal_zero added. {_where(y, raw, i)} it is "
            f"{value[i] + constant[i]}"
        ),
    )


def _check_nan(loss, y, raw, weight):
    for name in ("y_true", "raw_prediction", "sample_weight"):
        arrays = {"y_true": y.copy(), "raw_prediction": raw.copy(), "sample_weight": weight.copy()}
        arrays[name][5] = np.nan
        value, gradient = loss.loss_gradient(**arrays)
        _, hessian = loss.gradient_hessian(**arrays)
        for output, array in (("value", value), ("gradient", gradient), ("hessian", hessian)):
            if not np.isnan(array[5]).all():
                raise _Broken(f"NaN in {name} gives NaN; the {output} is {array[5]}")
            if np.isnan(np.delete(array, 5, axis=0)).any():
                raise _Broken(f"NaN in one sample's {name} leaves the others alone")


def _check_minimum(loss, y, raw, weight):
    best = loss.fit_intercept_only(y, weight)
    constant = np.full_like(raw, 1.0) * best
    least = loss(y, constant, weight)
    for shift in (-1.0, -0.1, -0.01, 0.01, 0.1, 1.0):
        for k in range(raw.shape[1] if loss.is_multiclass else 1):
            other = constant.copy()
            _column(other, k)[...] += shift
            if loss(y, other, weight) < least - 1e-7 * (1 + abs(least)):
                raise _Broken(
                    f"fit_intercept_only gives the best constant; {best} has the "
                    f"mean loss {least:.8g}, a shift of {shift} has {loss(y, other, weight):.8g}"
                )


def _check_weights(loss, y, raw, weight):
    value, gradient = loss.loss_gradient(y, raw)
    weighted, weighted_gradient = loss.loss_gradient(y, raw, sample_weight=weight)
    spread = weight if gradient.ndim == 1 else weight[:, None]
    for name, got, want in (
        ("value", weighted, weight * value),
        ("gradient", weighted_gradient, spread * gradient),
    ):
        _expect(
            np.abs(got - want) <= 1e-12 * (1 + np.abs(want)),
            y,
            raw,
            lambda i, name=name: f"multiply the {name}. {_where(y, raw, i)} they do not",
        )
    mean, want = loss(y, raw, weight), np.average(value, weights=weight)
    if not np.isclose(mean, want, rtol=1e-10, atol=1e-12):
        raise _Broken(f"calling the loss gives the weighted mean, {want:.12g}; got {mean:.12g}")
    for wrong in (-weight, np.zeros_like(weight), weight[1:]):
        try:
            loss(y, raw, wrong)
        except ValueError:
            continue
        raise _Broken("that are negative, all zero or of another length raise a ValueError")


def _check_float32(loss, y, raw, weight):
    y, raw = y.astype(np.float32), raw.astype(np.float32)
    narrow = loss.loss_gradient(y, raw)
    wide = loss.loss_gradient(y.astype(float), raw.astype(float))
    for name, got, want in zip(("value", "gradient"), narrow, wide, strict=True):
        if got.dtype != np.float32:
            raise _Broken(f"in gives float32 out; the {name} has dtype {got.dtype}")
        _expect(
            np.abs(got - want) <= 1e-3 * (1 + np.abs(want)),
            y,
            raw,
            lambda i, name=name: f"agrees with float64. {_where(y, raw, i)} the {name} does not",
        )


def _check_outputs(loss, y, raw, weight):
    value, gradient = np.full(len(y), -7.0), np.full(raw.shape, -7.0)
    given = loss.loss_gradient(y, raw, loss_out=value, gradient_out=gradient)
    if given[0] is not value or given[1] is not gradient:
        raise _Broken("loss_out and gradient_out are what is returned")
    if not (np.array_equal(value, loss.loss_gradient(y, raw)[0]) and (gradient != -7).any()):
        raise _Broken("loss_out and gradient_out are filled")
    empty = loss.loss_gradient(y[:0], raw[:0])
    if empty[0].shape != (0,) or empty[1].shape != raw[:0].shape:
        raise _Broken("no samples give no results")


# What an error calls each promise, and the check of it.
CHECKS = {
    "parameters": _check_parameters,
    "values": _check_values,
    "gradient": _check_gradient,
    "hessian": _check_hessian,
    "domain": _check_domain,
    "NaN": _check_nan,
    "minimum": _check_minimum,
    "weights": _check_weights,
    "float32": _check_float32,
    "outputs": _check_outputs,
}
