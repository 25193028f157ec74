"""Losses of several heads and of ordered classes, one a kernel, and data of their domains."""

import numpy as np
import pytest

import sklearn_losses as sl
from sklearn_losses.losses import DISTRIBUTIONS, ORDINAL

_SETTINGS = {
    "GeneralRobustNLL": [{}, {"alpha": 0.7}],
    "TweedieNLL": [{}, {"power": 1.4}],
    "AFT": [{"distribution": d} for d in ("normal", "logistic", "extreme")],
    "CumulativeLink": [{"distribution": d} for d in ("logistic", "normal", "extreme")],
} | {
    name: [{"margin": m} for m in ("logistic", "squared_hinge", "smooth_hinge")]
    for name in ("AllThreshold", "ImmediateThreshold")
}
HEADS = [
    cls(**setting)
    for cls in [*DISTRIBUTIONS, *ORDINAL]
    for setting in _SETTINGS.get(cls.__name__, [{}])
]
every_head = pytest.mark.parametrize("loss", HEADS, ids=repr)
ORDERED = tuple(ORDINAL)


def kernel_of(loss):
    return loss._kernel_name() if isinstance(loss, ORDERED) else loss._kernel


def head_sample(loss, n, dtype, seed=0, n_classes=4):
    """Targets of the loss's domain, raw predictions, weights."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0, 2, n).astype(dtype)
    weight[::7] = 0
    if isinstance(loss, ORDERED):
        steps = rng.gamma(2.0, 2.0 / n_classes, (n, n_classes))
        thresholds = np.cumsum(steps, axis=1) - 2.0
        raw = np.cumsum(rng.normal(0, 1, (n, 1)) - thresholds, axis=1)
        y = rng.integers(0, n_classes, n)
    else:
        raw = rng.normal(0, 1.5, (n, loss.n_heads))
        y = {
            "BetaNLL": rng.uniform(0.01, 0.99, n),
            "GammaNLL": rng.gamma(2.0, 1.0, n) + 1e-3,
            "AFT": rng.gamma(2.0, 1.0, n) + 1e-3,
        }.get(type(loss).__name__)
        if isinstance(loss, sl.AFT):
            raw[:, 0] = np.log(y) - np.exp(raw[:, 1]) * rng.uniform(-3, 3, n)
        elif isinstance(loss, sl.GeneralRobustNLL):  # of normal targets the shape has no end
            y = rng.laplace(0, 2, n)
        elif isinstance(loss, sl.TweedieNLL):
            y = rng.gamma(1.5 * rng.poisson(1.2, n), 1.0)
        elif y is None:
            counts = rng.negative_binomial(1.5, 0.4, n)
            y = counts if loss._whole else rng.normal(0, 2, n)
    return y.astype(dtype), raw.astype(dtype), weight


def kinds_of_targets(loss, y):
    """The targets, and other kinds of them that the loss takes: intervals of times."""
    if not isinstance(loss, sl.AFT):
        return [y]
    low, high = y.copy(), y.copy()
    low[1::4] = 0  # before the first look
    high[2::4] = np.inf  # not seen
    high[3::4] *= 2
    return [y, np.stack([low, high], axis=1)]
