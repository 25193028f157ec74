"""The losses of a distribution against 50 digits, SciPy's densities, and what they promise."""

import distribution_references as references
import numpy as np
import pytest
from exact import HEADS
from test_accuracy import check_rows, log_uniform, make, random_state, signs, targets

from sklearn_losses.losses import DISTRIBUTIONS

every = pytest.mark.parametrize("cls", DISTRIBUTIONS, ids=lambda cls: cls.__name__)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def cases():
    return [
        pytest.param(cls, setting, id=f"{cls.__name__}-{setting}".replace(" ", ""))
        for cls in DISTRIBUTIONS
        for setting in references.SETTINGS.get(cls.__name__, [{}])
    ]


def test_every_listed_distribution_has_a_reference():
    assert {cls.__name__ for cls in DISTRIBUTIONS} == HEADS


def rows_of_heads(loss, y, dtype, rng):
    """Rows whose first head is near the target in one third, and anything in the others."""
    n, wide = len(y), np.log(float(np.finfo(dtype).max))
    head = np.choose(
        rng.integers(0, 4, (loss.n_heads, n)),
        [
            rng.uniform(-3, 3, (loss.n_heads, n)),
            rng.uniform(-40, 40, (loss.n_heads, n)),
            rng.uniform(-3, 3, (loss.n_heads, n)),
            log_uniform(rng, n, dtype, -9, 1) * signs(rng, n),
        ],
    )
    head[0, ::3] = loss.link.link(y[::3].astype(float)) + log_uniform(
        rng, len(y[::3]), dtype, -6, 1
    ) * signs(rng, len(y[::3]))
    # Numbers of thousands of digits, which take their time, in a few rows.
    head[0, 1::9] = log_uniform(rng, len(y[1::9]), dtype) * signs(rng, len(y[1::9]))
    head[:, 2::9] = rng.uniform(-wide, wide, head[:, 2::9].shape)
    return np.ascontiguousarray(head.T.astype(dtype))


@dtypes
@pytest.mark.parametrize(("cls", "setting"), cases())
def test_rows_of_heads_hold_the_bound_against_fifty_digits(cls, setting, dtype):
    loss, params = make(cls, setting, dtype)
    params = {k: v for k, v in params.items() if k not in loss._head_parameters}
    rng = random_state(cls.__name__, sorted(setting.items()), dtype)
    y = targets(loss, rng, 36, dtype)
    raw = rows_of_heads(loss, y, dtype, rng)
    keep = np.isfinite(raw).all(axis=1)
    check_rows(cls.__name__, loss, params, dtype, [y[keep]], raw[keep])
