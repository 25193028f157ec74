"""The losses of a distribution against 50 digits, SciPy's densities, and what they promise."""

import distribution_references as references
import numpy as np
import pytest
from exact import HEADS
from mpmath import mp, mpf
from test_accuracy import check_rows, log_uniform, make, random_state, signs, targets

from sklearn_losses import AFT, CumulativeLink
from sklearn_losses.losses import DISTRIBUTIONS

every = pytest.mark.parametrize("cls", DISTRIBUTIONS, ids=lambda cls: cls.__name__)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def cases():
    return [
        pytest.param(cls, setting, id=f"{cls.__name__}-{setting}".replace(" ", ""))
        for cls in DISTRIBUTIONS
        if cls is not AFT  # whose intervals have tests of their own
        for setting in references.SETTINGS.get(cls.__name__, [{}])
    ]


def test_every_listed_distribution_has_a_reference():
    assert {cls.__name__ for cls in DISTRIBUTIONS} == HEADS | {"AFT"}


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


def derivatives(value, raw):
    """First derivatives and the diagonal of the second, by differences with a hundred digits."""
    step, made = mpf(10) ** -30, []
    for k in range(len(raw)):
        up, down = ([x + s * step * (j == k) for j, x in enumerate(raw)] for s in (1, -1))
        a, b, c = value(up), value(raw), value(down)
        made.append(((a - c) / (2 * step), (a - 2 * b + c) / step**2))
    return [[float(x) for x in part] for part in zip(*made, strict=True)]


def check_rows_of(loss, value, targets, raw, rtol):
    """Value, gradient and hessian of rows, relative to each output's largest in the row."""
    got = loss.loss(targets, raw), *loss.gradient_hessian(targets, raw)
    with mp.workdps(250):
        for i, row in enumerate(raw.tolist()):
            exact = [mpf(x) for x in row]
            y = targets[i].tolist()
            want = float(value(y, exact)), *derivatives(lambda r, y=y: value(y, r), exact)
            for mine, true in zip(got, want, strict=True):
                size = 1e-300 + np.abs(true).max()
                assert np.abs(mine[i] - true).max() <= rtol * size, (y, row, mine[i], true)


TIMES = {
    "known": lambda t, u: (t, t),
    "censored": lambda t, u: (t, np.full_like(t, np.inf)),
    "before": lambda t, u: (np.zeros_like(t), t),
    "between": lambda t, u: (t, t * (1 + u)),
    "hardly between": lambda t, u: (t, t * (1 + 1e-6 * u)),
}


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize("distribution", references.VARIABLES)
def test_failure_times_keep_their_digits(distribution, kind):
    rng = random_state(distribution, kind)
    interval = np.column_stack(TIMES[kind](np.exp(rng.normal(size=8)), rng.uniform(0.01, 9, 8)))
    log_scale = rng.uniform(-1, 1.5, 8)
    known = np.log(interval[:, 1 if kind == "before" else 0])
    location = known - np.exp(log_scale) * rng.uniform(-3, 3, 8)
    raw = np.column_stack([location, log_scale])
    check_rows_of(
        AFT(distribution),
        lambda y, r: references.failure_time(y, r, distribution),
        interval,
        raw,
        1e-9 if kind == "hardly between" else 1e-12,
    )
    if kind != "hardly between":  # float32 has no digits for it
        near, single = interval.astype(np.float32), raw.astype(np.float32)
        want = AFT(distribution).loss(near, single.astype(float))
        np.testing.assert_allclose(AFT(distribution).loss(near, single), want, rtol=2e-5)


@pytest.mark.parametrize("link", references.VARIABLES)
def test_cumulative_links_keep_their_digits(link):
    rng = random_state(link)
    thresholds = np.sort(rng.uniform(-4, 3, (12, 4)), axis=1)
    scores = np.column_stack([np.zeros(12), -np.cumsum(thresholds, axis=1)])
    codes = rng.integers(0, 5, 12).astype(float)
    check_rows_of(
        CumulativeLink(link),
        lambda y, r: references.cumulative(int(y), r, link),
        codes,
        scores,
        1e-11,
    )


def test_thresholds_in_the_wrong_order_have_no_probability():
    scores = np.array([[0.0, -1.0, 2.0]])
    assert CumulativeLink().loss(np.array([1.0]), scores)[0] == np.inf


@pytest.mark.parametrize("where", ["y", "raw"])
@every
def test_nan_in_gives_nan_out(cls, where):
    loss, y, raw = cls(), np.full(5, 0.7), np.full((5, 2), 0.3)
    if cls is AFT:
        y = np.column_stack([y, y + np.arange(5.0)])
    for column in range(y.ndim if where == "y" else 2):
        a, b = y.copy(), raw.copy()
        {"y": a, "raw": b}[where].reshape(5, -1)[2, column] = np.nan
        for out in (loss.loss(a, b), *loss.gradient_hessian(a, b)):
            lost = np.isnan(out) if out.ndim == 1 else np.isnan(out).all(axis=1)
            np.testing.assert_array_equal(lost, np.arange(5) == 2)


@every
def test_densities_are_scipys(cls):
    rng = random_state(cls.__name__)
    y, raw = np.exp(rng.normal(size=30)), rng.normal(size=(30, 2))
    loss = cls()
    np.testing.assert_allclose(loss.loss(y, raw), -loss.distribution_of(raw).logpdf(y), rtol=1e-10)


@every
def test_the_best_constant_row_is_where_the_gradient_is_zero(cls):
    rng = random_state(cls.__name__)
    for unit in (1.0, 1e6):
        y, weight = unit * np.exp(rng.normal(size=60)), rng.uniform(0.1, 2, 60)
        loss = cls()
        best = loss.fit_intercept_only(y, weight)
        slopes = weight @ loss.gradient(y, np.tile(best, (60, 1)))
        scale = np.array([1.0 if cls is AFT else unit, 1.0])
        assert np.abs(slopes * scale).max() < 1e-6 * weight.sum()


@every
def test_targets_may_be_a_column(cls):
    y, raw = np.array([0.5, 1.0, 2.0]), np.array([[0.1, -0.2]] * 3)
    assert cls()(y[:, None], raw) == cls()(y, raw)
    np.testing.assert_array_equal(cls().read_target(y[:, None]), cls().read_target(y))


def test_times_are_above_zero():
    assert not AFT().in_y_true_range(np.array([0.0]))
    assert AFT().in_y_true_range(np.array([1e-300]))


@pytest.mark.parametrize("distribution", ["logistic", "normal", "extreme"])
def test_links_of_ordered_classes_are_inverse_to_their_probabilities(distribution):
    link = CumulativeLink(distribution).link
    proba = np.array([[0.2, 0.5, 0.3], [0.9, 0.06, 0.04]])
    scores = link.link(proba)
    np.testing.assert_array_equal(scores[:, 0], 0.0)
    np.testing.assert_allclose(link.inverse(scores), proba, rtol=1e-12)
