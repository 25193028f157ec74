"""The losses of a distribution against 50 digits, SciPy's densities, and what they promise."""

import itertools
import pickle

import distribution_references as references
import numpy as np
import pytest
from exact import HEADS
from mpmath import mp, mpf
from scipy import optimize, stats
from scipy.special import gammaln, lambertw, logit
from test_accuracy import check_rows, log_uniform, make, random_state, signs, targets

from sklearn_losses import (
    AFT,
    AllThreshold,
    CumulativeLink,
    GaussianCRPS,
    HurdlePoissonNLL,
    ImmediateThreshold,
    ZeroInflatedPoissonNLL,
    survival_target,
)
from sklearn_losses.losses import DISTRIBUTIONS, ORDINAL
from sklearn_losses.losses.survival_times import concordance

every = pytest.mark.parametrize("cls", DISTRIBUTIONS, ids=lambda cls: cls.__name__)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def cases():
    return [
        pytest.param(cls, setting, id=f"{cls.__name__}-{setting}".replace(" ", ""))
        for cls in DISTRIBUTIONS
        if cls.__name__ in HEADS
        for setting in references.SETTINGS.get(cls.__name__, [{}])
    ]


def test_every_listed_distribution_has_a_reference():
    # The intervals of AFT, a partition function and a series have tests of their own.
    others = {"AFT", "GeneralRobustNLL", "TweedieNLL"}
    assert {cls.__name__ for cls in DISTRIBUTIONS} == HEADS | set(references.FORMULAS) | others


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


def check_rows_of(loss, value, targets, raw, rtol, digits=250):
    """Value, gradient and hessian of rows, relative to each output's largest in the row."""
    got = loss.loss(targets, raw), *loss.gradient_hessian(targets, raw)
    with mp.workdps(digits):
        for i, row in enumerate(raw.tolist()):
            exact = [mpf(x) for x in row]
            y = targets[i].tolist()
            want = float(value(y, exact)), *derivatives(lambda r, y=y: value(y, r), exact)
            for mine, true in zip(got, want, strict=True):
                size = 1e-300 + np.abs(true).max()
                assert np.abs(mine[i] - true).max() <= rtol * size, (y, row, mine[i], true)


def cases_of_formulas():
    return [cls for cls in DISTRIBUTIONS if cls.__name__ in references.FORMULAS]


by_formula = pytest.mark.parametrize("cls", cases_of_formulas(), ids=lambda cls: cls.__name__)


def rows_far_and_near(rng, n, reach):
    raw = rng.uniform(-3, 3, (n, 2))
    raw[::3] = rng.uniform(-reach, reach, raw[::3].shape)
    return raw


@by_formula
def test_heads_are_their_formulas(cls):
    value, draw, rtol = references.FORMULAS[cls.__name__]
    rng = random_state(cls.__name__)
    for reach, n, digits in ((15, 45, 150), (120, 9, 400)):
        y, raw = draw(rng, n), rows_far_and_near(rng, n, reach)
        check_rows_of(cls(), value, y, raw, rtol * max(1, reach / 15), digits)


# The first head of a mean, the sign of the second where the distribution is narrow, and how near
# the mean the digits last: a logit of a target is rounded.
NARROW = {"GammaNLL": (np.log, -1, -8), "BetaNLL": (logit, 1, -4)}


@pytest.mark.parametrize("name", NARROW)
def test_narrow_heads_near_their_target_are_their_formulas(name):
    cls = next(cls for cls in DISTRIBUTIONS if cls.__name__ == name)
    value, draw, _ = references.FORMULAS[name]
    head, sign, nearest = NARROW[name]
    rng, n = random_state(name, "narrow"), 40
    y = draw(rng, n)
    raw = np.column_stack([head(y), sign * rng.uniform(0, 25, n)])
    raw[:, 0] += signs(rng, n) * 10.0 ** rng.uniform(nearest, 0, n)
    check_rows_of(cls(), value, y, raw, 2e-11, 150)


@pytest.mark.parametrize("name", NARROW)
def test_subnormal_targets_are_no_zeros(name):
    cls = next(cls for cls in DISTRIBUTIONS if cls.__name__ == name)
    y = np.array([5e-324, 1e-310, 3e-308])
    raw = np.array([[0.5, -0.5], [-3.0, 0.5], [2.0, 1.0]])
    check_rows_of(cls(), references.FORMULAS[name][0], y, raw, 1e-11)


@by_formula
def test_heads_of_float32_are_those_of_float64(cls):
    _, draw, _ = references.FORMULAS[cls.__name__]
    rng = random_state(cls.__name__)
    y, raw = draw(rng, 300).astype(np.float32), rows_far_and_near(rng, 300, 12).astype(np.float32)
    single = [cls().loss(y, raw), *cls().gradient_hessian(y, raw)]
    wide = y.astype(float), raw.astype(float)
    double = [cls().loss(*wide), *cls().gradient_hessian(*wide)]
    # Beside the largest number of the row: what cancels has its size.
    size = 1.0 + np.abs(np.column_stack(double)).max(axis=1) + np.abs(raw).max(axis=1)
    for a, b in zip(single, double, strict=True):
        assert a.dtype == np.float32
        error = np.abs(a - b) / (size if a.ndim == 1 else size[:, None])
        assert error.max() < 3e-5


@by_formula
def test_far_heads_give_no_nan_where_the_target_is_likely(cls):
    y = 0.5 if cls.__name__ == "BetaNLL" else 1.0
    for raw in np.ndindex(5, 5):
        rows = 170.0 * np.array([raw], dtype=float) - 340.0
        for out in (cls().loss([y], rows), *cls().gradient_hessian([y], rows)):
            assert not np.isnan(out).any(), (rows, out)


def test_a_zero_at_an_endless_rate_was_put_there():
    loss, y, raw = ZeroInflatedPoissonNLL(), [0.0], [[800.0, 0.3]]
    p = 1 / (1 + np.exp(-0.3))
    gradient, hessian = loss.gradient_hessian(y, raw)
    np.testing.assert_allclose(loss.loss(y, raw), [-np.log(p)], rtol=1e-15)
    np.testing.assert_allclose(gradient, [[0.0, p - 1]], rtol=1e-15)
    np.testing.assert_allclose(hessian, [[0.0, p * (1 - p)]], rtol=1e-15)


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


@pytest.mark.parametrize("n", [1, 2, 7, 16, 45])
def test_the_concordance_of_intervals_counts_the_pairs_whose_order_is_known(n):
    rng = random_state("concordance", n)
    low = rng.integers(0, 6, n).astype(float)
    high = np.choose(rng.integers(0, 3, n), [low, low + rng.integers(1, 4, n), np.inf])
    predicted, weight = rng.integers(0, 5, n).astype(float), rng.integers(0, 4, n).astype(float)
    pairs = right = 0.0
    for i, j in itertools.permutations(range(n), 2):
        # The time of j is above its interval's beginning, but where that is the time itself.
        if high[i] < low[j] or (high[i] == low[j] < high[j]):
            pairs += weight[i] * weight[j]
            gap = predicted[j] - predicted[i]
            right += weight[i] * weight[j] * (0.5 + 0.5 * np.sign(gap))
    got = concordance(np.column_stack([low, high]), predicted, weight)
    np.testing.assert_allclose(got, right / pairs if pairs else np.nan, rtol=1e-12)


def test_times_of_events_are_known_and_others_censored():
    y = survival_target([3.0, 2.0], [True, False])
    np.testing.assert_array_equal(AFT().read_target(y), [[3.0, 3.0], [2.0, np.inf]])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[1.0, np.inf], [2.0, np.inf]], "of 2 none has ended"),
        ([[0.0, 1.0], [0.0, 2.0]], "of 2 all had ended before the first look"),
    ],
)
def test_targets_without_a_time_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        AFT().fit_intercept_only(AFT().read_target(np.array(y)))
    # One that is bounded on the other side is enough.
    AFT().fit_intercept_only(AFT().read_target(np.array([*y, [1.0, 3.0]])))


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


@pytest.mark.parametrize("link", references.VARIABLES)
def test_weights_multiply_the_derivatives_of_ordered_classes(link):
    rng = random_state(link, "weights")
    thresholds = np.sort(rng.uniform(-4, 3, (12, 4)), axis=1)
    scores = np.column_stack([np.zeros(12), -np.cumsum(thresholds, axis=1)])
    codes, weight = rng.integers(0, 5, 12).astype(float), rng.uniform(0.1, 9.0, 12)
    weight[3] = 0.0
    plain = CumulativeLink(link).gradient_hessian(codes, scores)
    for a, b in zip(
        plain, CumulativeLink(link).gradient_hessian(codes, scores, weight), strict=True
    ):
        np.testing.assert_allclose(b, weight[:, None] * a, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cls", [AllThreshold, ImmediateThreshold], ids=lambda cls: cls.__name__)
def test_losses_of_thresholds_are_sums_of_binary_losses(cls):
    """Rennie and Srebro (2005), with the logistic loss, in a location and thresholds."""

    def value(code, row):
        counted = [
            (1 if code >= k else -1) * (row[0] - row[k])
            for k in range(1, 5)
            if cls is AllThreshold or code in (k - 1, k)
        ]
        return sum(mp.log1p(mp.exp(-margin)) for margin in counted)

    rng = random_state(cls.__name__)
    codes, raw = rng.integers(0, 5, 12).astype(float), rng.uniform(-4, 4, (12, 5))
    loss = cls(n_classes=5)._heads()
    check_rows_of(loss, value, codes, raw, 1e-14)
    for out in (loss.loss([7.0], raw[:1]), *loss.gradient_hessian([7.0], raw[:1])):
        assert np.isnan(out).all()


def test_thresholds_in_the_wrong_order_have_no_probability():
    scores = np.array([[0.0, -1.0, 2.0]])
    assert CumulativeLink().loss(np.array([1.0]), scores)[0] == np.inf
    for out in CumulativeLink().gradient_hessian(np.array([1.0]), scores):
        assert not np.isfinite(out).any()
    heads = CumulativeLink(n_classes=3)._heads()
    for out in heads.gradient_hessian(np.array([1.0]), np.array([[0.0, 1.0, -1.0]])):
        np.testing.assert_array_equal(out, np.inf)


@pytest.mark.parametrize("link", references.VARIABLES)
@pytest.mark.parametrize(
    "scores", [[np.nan, 1, 2], [0, np.inf, 2], [0, 1, np.nan], [0, 1, -np.inf]]
)
def test_scores_that_are_no_numbers_give_nan(link, scores):
    y = [1.0]
    for loss in (CumulativeLink(link), CumulativeLink(link, n_classes=3)._heads()):
        for out in (loss.loss(y, [scores]), *loss.gradient_hessian(y, [scores])):
            assert np.isnan(out).all()


@pytest.mark.parametrize("where", ["y", "raw"])
@every
def test_nan_in_gives_nan_out(cls, where):
    loss, y = cls(), targets_of(cls, random_state(), 5)
    raw = np.full((5, loss.n_heads), 0.3)
    if cls is AFT:
        y = np.column_stack([y, y + np.arange(5.0)])
    for column in range(y.ndim if where == "y" else loss.n_heads):
        a, b = y.copy(), raw.copy()
        {"y": a, "raw": b}[where].reshape(5, -1)[2, column] = np.nan
        for out in (loss.loss(a, b), *loss.gradient_hessian(a, b)):
            lost = np.isnan(out) if out.ndim == 1 else np.isnan(out).all(axis=1)
            np.testing.assert_array_equal(lost, np.arange(5) == 2)


UNLOCATED = [cls for cls in DISTRIBUTIONS if cls.log_scale_head is None]


@pytest.mark.parametrize("wrong", [np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("cls", UNLOCATED, ids=lambda cls: cls.__name__)
def test_infinite_predictions_give_nan_where_no_head_is_a_location(cls, column, wrong):
    y, raw = targets_of(cls, random_state(), 5), np.full((5, cls().n_heads), 0.3)
    raw[2, column] = wrong
    for out in (cls().loss(y, raw), *cls().gradient_hessian(y, raw)):
        lost = np.isnan(out) if out.ndim == 1 else np.isnan(out).all(axis=1)
        np.testing.assert_array_equal(lost, np.arange(5) == 2)


def targets_of(cls, rng, n):
    """Targets that the loss is for."""
    if cls.__name__ in references.FORMULAS:
        y = references.FORMULAS[cls.__name__][1](rng, n)
        if cls.interval_y_true.low == 0 and np.array_equal(y, np.round(y)):
            y[:2] = 0, 3  # counts, with both kinds of them
        return y
    y = np.exp(rng.normal(size=n))
    if cls.__name__ == "TweedieNLL":
        y[::3] = 0.0
    return y


@every
def test_densities_are_scipys(cls):
    rng = random_state(cls.__name__)
    loss, y = cls(), targets_of(cls, rng, 30)
    raw = rng.normal(size=(30, loss.n_heads))
    law = loss.distribution_of(raw)
    np.testing.assert_allclose(law.mean(), loss.predict(raw) if cls is not AFT else law.mean())
    if cls is GaussianCRPS:
        # The score is the integral of the squared distance of the two distribution functions.
        grid = np.linspace(-40, 40, 40_001)[:, None]
        apart = (law.cdf(grid) - (grid >= y)) ** 2
        want = apart.sum(axis=0) * (grid[1] - grid[0])
        np.testing.assert_allclose(loss.loss(y, raw), want, rtol=1e-3, atol=1e-3)
        return
    log_density = law.logpmf if hasattr(law.dist, "logpmf") else law.logpdf
    np.testing.assert_allclose(loss.loss(y, raw), -log_density(y), rtol=1e-10)


LAWS = {
    "NegativeBinomialNLL": lambda a, b: stats.nbinom(np.exp(-b), 1 / (1 + np.exp(a + b))),
    "ZeroInflatedPoissonNLL": None,
    "HurdlePoissonNLL": None,
}


@pytest.mark.parametrize("name", LAWS)
def test_the_laws_of_counts_are_what_their_probabilities_say(name):
    cls = next(cls for cls in DISTRIBUTIONS if cls.__name__ == name)
    rng = random_state(name)
    raw = rng.normal(size=(8, 2))
    law, k = cls().distribution_of(raw), np.arange(4000)[:, None]
    p = law.pmf(k)
    np.testing.assert_allclose(p.sum(axis=0), 1.0, rtol=1e-9)
    np.testing.assert_allclose(law.cdf(k), np.cumsum(p, axis=0), rtol=1e-9)
    mean = (k * p).sum(axis=0)
    np.testing.assert_allclose(law.mean(), mean, rtol=1e-8)
    np.testing.assert_allclose(law.std() ** 2, (k**2 * p).sum(axis=0) - mean**2, rtol=1e-6)
    np.testing.assert_allclose(cls().predict(raw), mean, rtol=1e-8)
    levels = np.array([[0.01], [0.3], [0.5], [0.9], [0.999]])
    quantile = law.ppf(levels)
    assert (law.cdf(quantile) >= levels).all() and (law.cdf(quantile - 1) < levels).all()
    drawn = law.rvs(size=(20000, 8), random_state=0)
    assert np.abs((drawn.mean(axis=0) - mean) / law.std()).max() < 5 / 20000**0.5
    np.testing.assert_allclose((drawn == 0).mean(axis=0), p[0], atol=0.02)
    np.testing.assert_allclose((drawn == 2).mean(axis=0), p[2], atol=0.02)
    again = pickle.loads(pickle.dumps(law))
    np.testing.assert_array_equal(again.pmf(k), p)
    assert law.pmf(0.5).max() == 0 and law.cdf(-1).max() == 0
    if LAWS[name] is not None:
        theirs = LAWS[name](*raw.T)
        np.testing.assert_allclose(p[:50], theirs.pmf(k[:50]), rtol=1e-9)
        for mine, other in zip(law.stats("mvsk"), theirs.stats("mvsk"), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-9)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("wrong", [0.5, -1.0, np.inf])
def test_what_is_no_count_is_named(name, wrong):
    cls = next(cls for cls in DISTRIBUTIONS if cls.__name__ == name)
    with pytest.raises(ValueError, match=r"y_true must"):
        cls()([0.0, wrong], np.zeros((2, 2)))


def test_the_best_hurdle_has_the_rate_of_lamberts_function():
    y = np.arange(2.0, 30.0)
    rate = y + lambertw(-y * np.exp(-y)).real
    best = y * np.log(rate) - np.log(np.expm1(rate)) - gammaln(y + 1)
    got = HurdlePoissonNLL().constant_to_optimal_zero(y)
    np.testing.assert_allclose(got, best, rtol=1e-13)


@pytest.mark.parametrize("name", LAWS)
def test_no_row_makes_a_count_likelier_than_the_best_value_says(name):
    cls = next(cls for cls in DISTRIBUTIONS if cls.__name__ == name)
    y = np.array([0.0, 1.0, 2.0, 5.0, 40.0])
    floor = -cls().constant_to_optimal_zero(y)
    for k, count in enumerate(y):

        def value(raw, count=count):
            return cls().loss([count], [np.clip(raw, -30, 30)])[0]

        found = optimize.minimize(value, [np.log(count + 0.1), -20.0], method="Nelder-Mead")
        assert floor[k] - 1e-9 <= found.fun <= floor[k] + 1e-2


@every
def test_the_best_constant_row_is_where_the_gradient_is_zero(cls):
    rng = random_state(cls.__name__)
    located = cls().log_scale_head is not None or cls is AFT
    for unit in (1.0, 1e6) if located else (1.0,):
        y, weight = unit * targets_of(cls, rng, 60), rng.uniform(0.1, 2, 60)
        loss = cls()
        best = loss.fit_intercept_only(y, weight)
        slopes = sums_of_slopes(loss, y, np.tile(best, (60, 1)), weight)
        scale = np.ones(loss.n_heads)
        scale[0] = unit if cls().log_scale_head else 1.0
        if cls is GaussianCRPS:
            scale[1] /= unit
            scale[0] /= unit
        assert np.abs(slopes * scale).max() < 1e-6 * weight.sum()


def sums_of_slopes(loss, y, raw, weight):
    """By head; of a location with kinks, less what the targets that it meets can take of them."""
    gradient = loss.gradient(y, raw)
    if loss.differentiable:
        return weight @ gradient
    met = np.abs(y - raw[:, 0]) < 1e-9 * np.exp(raw[:, 1])
    gradient[met, 0] = 0.0
    slopes, can = weight @ gradient, weight[met] @ np.exp(-raw[met, 1])
    slopes[0] = max(abs(slopes[0]) - can, 0.0)
    return slopes


@pytest.mark.parametrize("size", [-300.0, 3.0, 300.0])
@every
def test_constants_beside_an_offset_are_the_best_too(cls, size):
    rng = random_state(cls.__name__)
    y = targets_of(cls, rng, 60)
    middles = [size, 3.0, -1.0][: cls().n_heads]
    offset = rng.normal(middles, 0.3, (60, cls().n_heads))
    best = cls().fit_intercept_only(y, offset=offset)
    slopes = sums_of_slopes(cls(), y, best + offset, np.ones(60))
    assert np.abs(slopes).max() < 60e-6


@pytest.mark.parametrize("cls", [*DISTRIBUTIONS, *ORDINAL], ids=lambda cls: cls.__name__)
def test_convex_says_whether_the_loss_of_rows_is(cls):
    """A convex function is nowhere above its chords; one that is not convex is somewhere."""
    rng, n = random_state(cls.__name__), 2000
    ordered = cls in ORDINAL
    y = rng.integers(0, 3, n).astype(float) if ordered else targets_of(cls, rng, n)
    a, b = rng.normal(0, 2, (2, n, 3 if ordered else cls().n_heads))
    if ordered:  # thresholds in order
        for raw in (a, b):
            raw[:, 1:] = raw[:, :1] - np.cumsum(np.sort(raw[:, 1:]), axis=1)
    middle = cls().loss(y, (a + b) / 2)
    chord = (cls().loss(y, a) + cls().loss(y, b)) / 2
    above = middle > chord + 1e-12 * (1 + abs(chord))
    assert not above.any() if cls.convex else above.any()


def test_the_least_score_is_zero():
    y = np.array([-1.0, 5.0])
    np.testing.assert_array_equal(GaussianCRPS().constant_to_optimal_zero(y), 0.0)
    assert GaussianCRPS()(y, np.column_stack([y, [-40.0, -40.0]])) < 1e-15


@every
def test_targets_may_be_a_column(cls):
    y = targets_of(cls, random_state(), 3)
    raw = np.array([[0.1, -0.2, 0.4][: cls().n_heads]] * 3)
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
    assert link == CumulativeLink(distribution).link
    assert all(
        link != CumulativeLink(name).link for name in references.VARIABLES if name != distribution
    )


@pytest.mark.parametrize("cls", ORDINAL, ids=lambda cls: cls.__name__)
def test_constants_are_finite_where_the_last_class_has_no_weight(cls):
    best = cls(n_classes=3).fit_intercept_only(np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.0]))
    assert np.isfinite(best).all() and np.diff(best, 2)[0] < -20  # thresholds 0 and far away
