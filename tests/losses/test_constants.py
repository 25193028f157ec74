"""The best constant of every loss: no search finds a better one, beside any offset, with weights or
without, in any unit; closed forms where there are any."""

import numpy as np
import pytest
from references import IN_UNITS_OF_Y, OWN_UNIT
from scipy import optimize, special
from test_losses import both_settings

import sklearn_losses as sl
from sklearn_losses.losses import POINTWISE, ROWWISE, constants

# What the settings of the other tests leave out.
MORE = {
    "GeneralRobust": [{"alpha": 1.0}, {"alpha": 0.0}, {"alpha": -2.0}, {"alpha": -np.inf}],
    "HalfTweedieLoss": [{"power": p} for p in (-1.0, 0.0, 0.5, 1.0, 2.0, 3.0)],
    "FocalLoss": [{"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 5.0}],
    "PolyLoss": [{"epsilon": -1.0}, {"epsilon": 1.0}, {"epsilon": 1.2}, {"epsilon": 9.0}],
    "AsymmetricLoss": [{"gamma_neg": 0.0, "margin": 0.0}, {"margin": 0.5}],
    "Hinge": [{"threshold": 0.0}],
    "MulticlassFocal": [{"gamma": 0.0}],
    "Expectile": [{"expectile": 0.99}],
    "NegativeBinomial": [{"theta": 0.01}],
    "Cauchy": [{"c": 0.05}],
    "Welsch": [{"c": 0.05}],
    "TukeyBiweight": [{"c": 0.3}],
}


def settings(classes):
    return [
        loss
        for cls in classes
        for loss in (*both_settings(cls), *(cls(**p) for p in MORE.get(cls.__name__, [])))
    ]


every_pointwise = pytest.mark.parametrize("loss", settings(POINTWISE), ids=repr)
every_rowwise = pytest.mark.parametrize("loss", settings(ROWWISE), ids=repr)
cases = pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
offsets = pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside"])


def problem(loss, n=41, seed=0, dtype=np.float64):
    """Targets (half of them repeated, some of weight 0), weights, an offset."""
    rng = np.random.RandomState(seed)
    weight = rng.choice([0.0, 0.1, 0.5, 2.0], size=n)
    if loss.is_multiclass:
        n_classes = loss.n_classes or 3
        y = rng.choice(n_classes, size=n, p=np.arange(1, n_classes + 1) / _triangle(n_classes))
        return y.astype(dtype), weight, rng.normal(size=(n, n_classes))
    offset = rng.normal(size=n)
    if loss.task == "binary":
        return (rng.uniform(size=n) < 0.3).astype(dtype), weight, offset
    if np.isfinite(loss.interval_y_true.low):
        y = rng.gamma(0.5, size=n) + 0.01
        y[::4] = y[0] if loss.interval_y_true.low_inclusive else y[1]
        if loss.interval_y_true.low_inclusive:
            y[1::5] = 0
        return y.astype(dtype), weight, offset
    y = np.round(rng.standard_t(2, size=n), 1)
    return (y if loss.name != "tweedie" else abs(y)).astype(dtype), weight, offset


def _triangle(n):
    return n * (n + 1) / 2


def mean_at(loss, y, constant, weight, offset):
    raw = constant + (0 if offset is None else offset)
    return loss(y, np.broadcast_to(raw, y.shape).copy(), weight)


@pytest.mark.pairwise
@offsets
@cases
@every_pointwise
def test_no_search_finds_a_better_constant(loss, weighted, beside):
    y, weight, offset = problem(loss)
    weight = weight if weighted else None
    offset = offset if beside else None
    best = loss.fit_intercept_only(y, weight, offset)
    assert isinstance(best, np.float64) and np.isfinite(best)
    least = mean_at(loss, y, best, weight, offset)
    # A fine grid over all that the best can be, the kinks and jumps, and what lies around it.
    own = y if loss.task == "regression" and loss.link == sl.links.IdentityLink() else y[:0]
    own = own - (offset[: len(own)] if beside else 0)
    around = best + np.outer([-1, 1], 10.0 ** np.arange(-9, 1)).ravel()
    grid = np.concatenate([np.linspace(-45, 45, 3001), own, own + 1.000001, own - 1.000001, around])
    values = [mean_at(loss, y, c, weight, offset) for c in grid]
    i = int(np.argmin(values))
    found = optimize.minimize_scalar(
        lambda c: mean_at(loss, y, c, weight, offset),
        bounds=(grid[i] - 0.03, grid[i] + 0.03),
        method="bounded",
        options={"xatol": 1e-12},
    )
    assert least <= min(found.fun, values[i]) + 1e-13 * (1 + abs(least))
    if loss.convex and loss.differentiable:
        raw = np.full(len(y), best) + (offset if beside else 0)
        gradient = loss.gradient(y, raw, weight)
        assert abs(gradient.sum()) <= 1e-12 * abs(gradient).sum() + 1e-11


@cases
@pytest.mark.parametrize(
    "loss, soft",
    [(loss, soft) for loss in settings(ROWWISE) for soft in {False, loss.takes_probabilities}],
    ids=repr,
)
def test_no_search_finds_a_better_row(loss, soft, weighted):
    y, weight, offset = problem(loss)
    weight = weight if weighted else None
    loss = loss._for_classes(offset.shape[1])
    if soft:
        y = np.random.RandomState(1).dirichlet(np.arange(1.0, offset.shape[1] + 1), size=len(y))
    constant = loss.fit_intercept_only(y, weight)
    # One number a sample changes nothing.
    same = loss.fit_intercept_only(y, weight, offset[:, 0])
    np.testing.assert_array_equal(same, constant)
    for beside in (np.zeros_like(offset), offset):
        best = loss.fit_intercept_only(y, weight, beside)
        assert best.shape == (offset.shape[1],) and best.sum() == pytest.approx(0, abs=1e-12)

        def mean(row, beside=beside):
            return loss(y, beside + row, weight)

        least = mean(best)
        if not beside.any():
            assert mean(constant) == pytest.approx(least, rel=1e-12)
        rng = np.random.RandomState(2)
        for scale in (1e-6, 1e-3, 0.1, 1, 5):
            for _ in range(20):
                row = best + scale * rng.normal(size=best.shape)
                assert least <= mean(row) + 1e-13
                if scale >= 0.1:
                    row = optimize.minimize(mean, row, method="Powell", options={"maxiter": 3}).x
                    assert least <= mean(row) + 1e-12
                    break


def test_the_best_constant_beside_an_offset_has_its_closed_form():
    rng = np.random.RandomState(0)
    y, offset = rng.poisson(2, 200).astype(float), rng.normal(size=200)
    for w in (None, rng.uniform(size=200)):
        v = np.ones(200) if w is None else w
        want = np.log((v * y).sum() / (v * np.exp(offset)).sum())
        for loss in (sl.HalfPoissonLoss(), sl.HalfTweedieLoss(power=1.0)):
            got = loss.fit_intercept_only(y, w, offset)
            assert got == pytest.approx(want, rel=1e-14)
        got = sl.HalfGammaLoss().fit_intercept_only(y + 1, w, offset)
        assert got == pytest.approx(
            np.log(np.average((y + 1) * np.exp(-offset), weights=w)), rel=1e-14
        )
        for loss in (sl.HalfSquaredError(), sl.SquaredError(), sl.RootMeanSquaredError()):
            got = loss.fit_intercept_only(y, w, offset)
            assert got == pytest.approx(np.average(y - offset, weights=w), rel=1e-13)
        binary = (y > 1).astype(float)
        got = sl.HalfBinomialLoss().fit_intercept_only(binary, w, offset)
        assert (v * special.expit(offset + got)).sum() == pytest.approx((v * binary).sum())
        # Exposures of any size.
        big = sl.HalfPoissonLoss().fit_intercept_only(y, w, offset + 900)
        assert big == pytest.approx(want - 900, rel=1e-14)


def test_quantiles_minimise_their_loss_with_and_without_weights():
    y = [1.0, 2.0, 3.0, 10.0, 4.0]
    loss = sl.PinballLoss(quantile=0.9)
    for w in (None, np.ones(5), np.full(5, 0.1)):
        best = loss.fit_intercept_only(y, w)
        assert best == 10 and loss(y, np.full(5, best), w) == pytest.approx(0.6)
    # The middle, where the minimisers are an interval: also where rounding hides that.
    for w in (None, np.ones(4), np.full(4, 0.1), [0.1, 0.2, 0.15, 0.15]):
        assert sl.AbsoluteError().fit_intercept_only([1.0, 2.0, 4.0, 9.0], w) == 3
    values = np.arange(10.0)
    for k in range(1, 10):
        for w in (None, np.full(10, 0.1), np.full(10, 3.0)):
            assert sl.PinballLoss(k / 10).fit_intercept_only(values, w) == k - 0.5
    # What has no weight is no end of the interval.
    got = sl.AbsoluteError().fit_intercept_only([1.0, 1.5, 2.0], [1.0, 0.0, 1.0])
    assert got == 1.5 and sl.AbsoluteError().fit_intercept_only([1, 1.2, 2], [1, 0, 1]) == 1.5


@cases
def test_a_list_of_quantiles_has_a_constant_for_each(weighted):
    rng = np.random.RandomState(0)
    levels = [0.5, 0.05, 0.95]
    y, offset = rng.normal(size=(2, 101))
    w = rng.randint(3, size=101).astype(float) if weighted else None
    for values in (levels, np.array(levels), tuple(levels)):
        loss = sl.PinballLoss(quantile=values)
        for off in (None, offset, rng.normal(size=(101, 3))):
            columns = off if np.ndim(off) == 2 else [off] * 3
            columns = columns.T if np.ndim(off) == 2 else columns
            want = [
                sl.PinballLoss(q).fit_intercept_only(y, w, column)
                for q, column in zip(levels, columns, strict=True)
            ]
            for method in (loss.fit_intercept_only, loss._start_constant):
                got = method(y, w, off)
                assert got.shape == (3,) and got.dtype == np.float64
                np.testing.assert_array_equal(got, want)
    assert sl.PinballLoss(quantile=[0.3]).fit_intercept_only(y).shape == (1,)
    got = sl.HuberLoss(delta=[0.1, 9]).fit_intercept_only(y.astype(np.float32), w)
    assert got.dtype == np.float32
    np.testing.assert_allclose(
        got, [sl.HuberLoss(d).fit_intercept_only(y, w) for d in (0.1, 9)], rtol=1e-5, atol=1e-6
    )


def in_units():
    """Losses whose parameters bring all the units that they have, and units in which no power of a
    number leaves the range of doubles."""
    for loss in settings(POINTWISE):
        if loss.task != "regression" or type(loss).__name__ in OWN_UNIT:
            continue
        if loss.convex:
            far = loss.link != sl.links.IdentityLink() or loss.name == "squared_error"
            for unit in (
                1e-9,
                1e-6,
                1e6,
                1e12,
                *([1e-300] if far and loss.name != "tweedie" else []),
            ):
                yield loss, unit
        else:
            yield from ((loss, 1e-6), (loss, 1e6))


@pytest.mark.parametrize("loss, unit", list(in_units()), ids=repr)
def test_constants_follow_the_units_of_y(loss, unit):
    y, weight, _ = problem(loss)
    params = loss.get_params()
    for name in params.keys() & IN_UNITS_OF_Y:
        params[name] = params[name] * unit
    other = type(loss)(**params)
    want = loss.link.inverse(loss.fit_intercept_only(y, weight)) * unit
    got = other.link.inverse(other.fit_intercept_only(y * unit, weight))
    if loss.convex:
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12 * unit)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * unit)


@pytest.mark.parametrize("loss", settings([*POINTWISE, *ROWWISE]), ids=repr)
def test_weights_of_any_size_count_relatively(loss):
    y, weight, offset = problem(loss)
    loss = loss._for_classes(offset.shape[1]) if loss.is_multiclass else loss
    weight = np.where(weight == 0, 0, 1.0)
    for off in (None, offset):
        want = loss.fit_intercept_only(y, weight, off)
        for size in (2.0**1023, 5e-324, 2.0**-900):
            np.testing.assert_array_equal(loss.fit_intercept_only(y, weight * size, off), want)
        got = loss.fit_intercept_only(y, weight * 1e307, off)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def test_the_best_is_found_among_many_minima():
    # A narrow heap holds most, and no quantile on a coarse grid lies in it.
    rng = np.random.RandomState(0)
    y = np.concatenate([rng.uniform(-1e6, 1e6, 5000), 1234.5 + 0.01 * rng.normal(size=300)])
    for cls in (sl.Welsch, sl.TukeyBiweight, sl.GemanMcClure):
        for weight in (None, np.ones(len(y))):
            best = cls(c=0.05).fit_intercept_only(y, weight)
            assert best == pytest.approx(1234.5, abs=0.01)


@pytest.mark.parametrize("loss", settings([*POINTWISE, *ROWWISE]), ids=repr)
def test_convex_says_whether_the_loss_is(loss):
    """A convex function is nowhere above its chords; one that is not convex is somewhere."""
    rng = np.random.RandomState(0)
    if loss.is_multiclass:
        n = 20000
        n_classes = loss.n_classes or 3
        a, b = rng.uniform(-12, 12, size=(2, n, n_classes))
        y = rng.randint(n_classes, size=n).astype(float)
    else:
        a, b = rng.uniform(-12, 12, size=(2, 20000))
        if loss.task == "binary":
            y = rng.randint(2, size=20000).astype(float)
        else:
            y = rng.uniform(0.1, 4, size=20000)
            b = np.where(rng.uniform(size=20000) < 0.5, b, a + rng.normal(size=20000))
    middle = loss.loss(y, (a + b) / 2)
    chord = (loss.loss(y, a) + loss.loss(y, b)) / 2
    above = middle > chord + 1e-12 * (1 + abs(chord))
    assert not above.any() if loss.convex else above.any()


@pytest.mark.parametrize("loss", [x for x in settings(POINTWISE) if x.convex], ids=repr)
def test_a_part_of_the_samples_tells_where_to_look_alone(loss, monkeypatch):
    # Sorted, with weights in one part alone: a part may be anything.
    y, weight, offset = problem(loss, n=700)
    order = np.argsort(y)
    y, weight = y[order], np.where(np.arange(700) % 10, weight, 0)
    for w in (None, weight):
        want = loss.fit_intercept_only(y, w, offset)
        with monkeypatch.context() as few:
            few.setattr(constants, "FEW", 20)
            got = loss.fit_intercept_only(y, w, offset)
        least, other = (mean_at(loss, y, c, w, offset) for c in (want, got))
        assert other == pytest.approx(least, rel=1e-14, abs=1e-14)


def test_a_users_loss_is_not_held_to_be_convex():
    own = sl.FunctionLoss(lambda y, raw: (raw - y) ** 4, lambda y, raw: 4 * (raw - y) ** 3)
    assert not own.convex
    y = np.array([1.0, 2.0, 7.0]) * 1e4
    want = optimize.brentq(lambda c: ((c - y) ** 3).sum(), 1e4, 7e4, xtol=1e-9)
    assert own.fit_intercept_only(y) == pytest.approx(want, rel=1e-9)
    offset = np.array([1e4, -1e4, 0])
    want = optimize.brentq(lambda c: ((c + offset - y) ** 3).sum(), -1e5, 1e5, xtol=1e-9)
    assert own.fit_intercept_only(y, None, offset) == pytest.approx(want, rel=1e-9)
    assert own._start_constant(y, None, offset) == own.fit_intercept_only(y, None, offset)


# -------------------------------------------------------------------------------- where fits start


@every_pointwise
def test_a_fit_starts_at_the_best_constant_or_at_the_median(loss):
    y, weight, offset = problem(loss)
    for w in (None, weight):
        for off in (None, offset):
            got = loss._start_constant(y, w, off)
            redescends = not loss.convex and type(loss).__module__.endswith("robust")
            want = sl.AbsoluteError() if redescends else loss
            assert got == want.fit_intercept_only(y, w, off)


@pytest.mark.parametrize("loss", settings([*POINTWISE, *ROWWISE]), ids=repr)
def test_a_fit_starts_near_where_all_targets_are_at_an_end(loss):
    n = 50
    interval = loss.interval_y_true
    ends = [0.0, 1.0] if loss.task != "regression" else [0.0]
    for end in ends if interval.includes([0.0]) and interval.low == 0 else []:
        y = np.full(n, end)
        weight = np.where(np.arange(n) < 40, 1.0, 0.0)
        y[45:] = 1 - end if interval.includes([1 - end]) else end
        if loss.is_multiclass:
            n_classes = loss.n_classes or 3
            bound = loss._for_classes(n_classes)
            for off in (None, np.zeros((n, n_classes))):
                row = bound._start_constant(y, weight, off)
                assert np.isfinite(row).all() and np.ptp(row) < 8
                assert row.argmax() == end or loss.name == "logit_adjusted"
                assert np.isfinite(bound.fit_intercept_only(y, weight, off)).all()
            continue
        for off in (None, np.full(n, 3.0)):
            start = loss._start_constant(y, weight, off) + (0 if off is None else 3)
            assert abs(start) < 8
            best = loss.fit_intercept_only(y, weight, off) + (0 if off is None else 3)
            assert np.isfinite(best)
            if loss.task == "binary":
                assert mean_at(loss, y, best, weight, None) <= mean_at(loss, y, start, weight, None)
                # The asymmetric loss hardly counts easy negatives.
                assert start == 0 or (start > 0) == (end == 1) or loss.name == "asymmetric"


@pytest.mark.parametrize("loss", [sl.HuberLoss(), sl.PinballLoss([0.1, 0.9]), sl.HalfPoissonLoss()])
def test_an_offset_that_does_not_fit_is_refused(loss):
    y = np.ones(4)
    for offset, message in [
        (np.ones(3), r"offset must have shape \(4,\).*got \(3,\)"),
        (np.ones((4, 5)), r"offset must have shape \(4,\).*got \(4, 5\)"),
        ([1, 2, np.nan, 3], "offset must be finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            loss.fit_intercept_only(y, None, offset)
    with pytest.raises(TypeError, match="offset must hold real numbers"):
        loss.fit_intercept_only(y, None, ["a"] * 4)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", settings([*POINTWISE, *ROWWISE]), ids=repr)
def test_constants_of_a_devices_arrays_are_the_cpus(device, loss, dtype):
    xp = device.xp
    y, weight, offset = problem(loss, n=90, dtype=dtype)
    loss = loss._for_classes(offset.shape[1]) if loss.is_multiclass else loss
    for w in (None, weight):
        for off in (None, offset):
            there = [None if x is None else xp.asarray(x) for x in (y, w, off)]
            for method in (loss.fit_intercept_only, loss._start_constant):
                got = method(*there)
                want = method(y, w, off)
                assert got.dtype == dtype and got.shape == want.shape
                got = got.get() if got.ndim else got
                tolerance = 1e-3 if dtype == np.float32 else 1e-6
                np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    with pytest.raises(ValueError, match=r"must be on the same device; .*offset is on the host"):
        loss.fit_intercept_only(there[0], None, offset)


def test_a_list_of_quantiles_of_a_devices_arrays(device):
    y = np.arange(10.0)
    got = sl.PinballLoss(quantile=[0.25, 0.75]).fit_intercept_only(device.xp.asarray(y))
    np.testing.assert_array_equal(got.get(), [2, 7])
