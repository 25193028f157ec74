"""Cox's loss: to its digits, as other programs have it, and at the ends of the numbers."""

import pickle
from math import fsum

import numpy as np
import pytest
from mpmath import mp, mpf
from patients import patients
from scipy.optimize import minimize
from sklearn.base import clone
from statsmodels.duration.hazard_regression import PHReg

import sklearn_losses as sl
from sklearn_losses import BaselineHazard, CoxLoss, survival_target

TIES = ["efron", "breslow"]
BOUND = 1e-14  # of the sum of the terms
TINY = mpf("1e-300")


# --------------------------------------------------------------------------------------- references


class Exact:
    """The definition in 50 digits: value, gradient, matrix of second derivatives and hazards, and
    the sums of the sizes of their terms."""

    def __init__(self, y, raw, weight, efron):
        n = len(raw)
        time, event = y["time"], y["event"]
        entry = y["entry"] if "entry" in y.dtype.names else np.full(n, -np.inf)
        stratum = y["stratum"] if "stratum" in y.dtype.names else np.zeros(n)
        weight = [mpf(1)] * n if weight is None else [mpf(float(w)) for w in weight]
        size = [w * mp.exp(mpf(float(r))) for w, r in zip(weight, raw, strict=True)]
        self.value, self.value_scale = mpf(0), mpf(0)
        self.gradient, self.scale = [mpf(0)] * n, [mpf(0)] * n
        self.hessian = [[mpf(0)] * n for _ in range(n)]
        self.jumps = {}
        for s in np.unique(stratum):
            here = [i for i in range(n) if stratum[i] == s and weight[i] > 0]
            for t in sorted({time[i] for i in here if event[i]}):
                tied = [i for i in here if event[i] and time[i] == t]
                at_risk = [i for i in here if entry[i] < t <= time[i]]
                d, mass = len(tied), mp.fsum(weight[i] for i in tied)
                share = mass / d
                self.jumps[s, t] = mpf(0)
                for k in range(d):
                    left = {i: mpf(d - k) / d if efron and i in tied else mpf(1) for i in at_risk}
                    total = mp.fsum(left[i] * size[i] for i in at_risk)
                    self.jumps[s, t] += share / total
                    part = {i: left[i] * size[i] / total for i in at_risk}
                    self.value += share * mp.log(total)
                    for i in at_risk:
                        self.gradient[i] += share * part[i]
                        self.scale[i] += share * part[i]
                        self.hessian[i][i] += share * part[i]
                        for j in at_risk:
                            self.hessian[i][j] -= share * part[i] * part[j]
                for i in tied:
                    self.value -= weight[i] * mpf(float(raw[i]))
                    self.value_scale += weight[i]
                    self.gradient[i] -= weight[i]
                    self.scale[i] += weight[i]
        self.value_scale += abs(self.value)

    def product(self, vector):
        vector = [mpf(float(v)) for v in vector]
        return [mp.fsum(h * v for h, v in zip(row, vector, strict=True)) for row in self.hessian]


def error(got, true, scale):
    return max(
        float(abs(mpf(float(a)) - b) / (c + TINY)) for a, b, c in zip(got, true, scale, strict=True)
    )


def drawn(seed, n=12):
    """A problem with or without ties, entries, strata and weights; raw predictions of any size."""
    rng = np.random.RandomState(seed)
    time = rng.randint(1, 6, n).astype(float) if seed % 2 else rng.rand(n) + 0.1
    event = rng.rand(n) < 0.7
    event[0] = True
    more = {}
    if seed // 2 % 2:
        more["entry"] = time * rng.rand(n) * 0.99
    if seed // 4 % 2:
        more["stratum"] = rng.randint(0, 3, n)
    weight = None
    if seed // 8 % 2:
        weight = np.round(rng.rand(n) * 3, 1) * rng.choice([1, 1e-200, 1e100])
        weight[0], weight[1] = weight.max(), 0.0
    raw = rng.randn(n) * rng.choice([1, 30, 1e4]) + rng.choice([0, 1e4, -1e4])
    return survival_target(time, event, **more), raw, weight, rng.randn(n)


@pytest.mark.parametrize("seed", range(32))
@pytest.mark.parametrize("ties", TIES)
def test_value_and_derivatives_keep_their_digits(seed, ties):
    y, raw, weight, vector = drawn(seed)
    with mp.workdps(50):
        exact = Exact(y, raw, weight, ties == "efron")
        joint = CoxLoss(ties).on(y, weight)
        value, gradient = joint.value_gradient(raw)
        assert error([value], [exact.value], [exact.value_scale]) < BOUND
        assert error(gradient, exact.gradient, exact.scale) < BOUND
        again, hessian = joint.gradient_hessian(raw)
        np.testing.assert_array_equal(again, gradient)
        diagonal = [exact.hessian[i][i] for i in range(len(raw))]
        assert error(hessian, diagonal, exact.scale) < BOUND
        assert (hessian >= 0).all()
        product = joint.hessian_product(raw, vector)
        largest = mpf(float(abs(vector).max()))
        scale = [s * largest for s in exact.scale]
        assert error(product, exact.product(vector), scale) < BOUND


@pytest.mark.parametrize("ties", TIES)
def test_late_risk_sets_are_no_zeros_beside_large_early_ones(ties):
    y = survival_target([1.0, 2.0, 3.0, 4.0])
    loss = CoxLoss(ties)
    # Hazards that fall by e**5000 a step: the first is the only one that matters in each risk set,
    # and the last two are alike.
    value, gradient = loss.loss_gradient(y, [1e4, 5e3, -1e4, -1e4])
    assert value == pytest.approx(np.log(2), rel=1e-15)
    np.testing.assert_allclose(gradient, [0, 0, -0.5, 0.5], rtol=1e-15, atol=1e-300)


@pytest.mark.parametrize("far", [2.0**20, 2.0**32, -(2.0**40), 2.0**49])
def test_a_number_that_is_added_to_all_raw_predictions_changes_nothing(far):
    y, _, weight, vector = drawn(15)
    raw = np.round(vector * 8) / 8  # whose sums are exact
    joint = CoxLoss().on(y, weight)
    np.testing.assert_allclose(
        joint.value_gradient(raw + far)[0], joint.value_gradient(raw)[0], rtol=2e-15
    )
    np.testing.assert_allclose(
        joint.gradient_hessian(raw + far), joint.gradient_hessian(raw), rtol=1e-13, atol=1e-115
    )


def test_the_largest_numbers_are_ordered_still():
    y = survival_target([1.0, 2.0])
    for raw, gradient in (([1e299, -1e299], [0, 0]), ([-1e299, 1e299], [-1, 1])):
        np.testing.assert_allclose(CoxLoss().gradient(y, raw), gradient, atol=1e-15)
    assert CoxLoss().loss_gradient(y, [-1e299, 1e299])[0] == pytest.approx(2e299)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e308])
def test_what_is_no_number_gives_no_number(bad):
    y = survival_target([1.0, 2.0, 3.0], stratum=[0, 0, 1])
    value, gradient = CoxLoss().on(y).value_gradient(np.array([0.0, bad, 0.0]))
    assert np.isnan(value) and np.isnan(gradient[:2]).all() and gradient[2] == 0


@pytest.mark.parametrize("late", [False, True])
def test_long_sums_keep_their_digits(late):
    # Of equal raw predictions: hazards are harmonic numbers. The last is censored, and of late
    # entries there is one more, at the last event.
    n = 30_000
    time, left = np.arange(1.0, n + 2), np.arange(n + 1.0, 1, -1)
    entry = None
    if late:
        time, left[-1] = np.append(time, n + 1.0), 3
        entry = np.full(n + 2, 0.5)
        entry[-1] = n - 0.5
    y = survival_target(time, time <= n, entry)
    gradient, hessian = CoxLoss().gradient_hessian(y, np.full(len(y), 0.3))
    through = fsum(1 / left)
    assert gradient[n] == pytest.approx(through, rel=6e-16)
    assert hessian[n] == pytest.approx(through - fsum(1 / left**2), rel=6e-16)
    np.testing.assert_allclose(gradient[:n] + 1, np.cumsum(1 / left), rtol=1e-11)
    if late:
        assert gradient[-1] == pytest.approx(1 / 3, rel=6e-16)


def test_a_large_risk_set_with_late_entries_keeps_its_digits():
    # All but one are at risk at both events, with equal hazards.
    n = 30_000
    time, entry = np.full(n, 5.0), np.full(n, 0.5)
    time[:2], entry[-1] = [1.0, 2.0], 1.5
    gradient = CoxLoss().gradient(survival_target(time, time < 5, entry), np.full(n, 0.3))
    hazards = [1 / (n - 1) - 1, 2 / (n - 1) - 1, 2 / (n - 1), 1 / (n - 1)]
    np.testing.assert_allclose(gradient[[0, 1, 2, -1]], hazards, rtol=6e-16)


def test_long_ties_keep_their_digits():
    n = 30_000
    value, gradient = CoxLoss().loss_gradient(survival_target(np.ones(n)), np.full(n, 0.3))
    assert value == pytest.approx(fsum(np.log(np.arange(1.0, n + 1))), rel=1e-15)
    np.testing.assert_allclose(gradient, 0, atol=1e-14)
    censored = survival_target(np.ones(n + 1), event=np.arange(n + 1) < n)
    value, gradient = CoxLoss().loss_gradient(censored, np.full(n + 1, 0.3))
    hazard = fsum(1 / (1 + np.arange(1.0, n + 1)))
    assert gradient[-1] == pytest.approx(hazard, rel=1e-15)
    # An event's share of the l-th term of n is l / n.
    own = fsum(np.arange(1.0, n + 1) / n / (1 + np.arange(1.0, n + 1)))
    np.testing.assert_allclose(gradient[:-1] + 1, own, rtol=1e-15)


# ----------------------------------------------------------------------------------- other programs


def fitted(loss, X, y, weight=None, l2=0.0):
    joint = loss.on(y, weight)

    def objective(coef):
        value, gradient = joint.value_gradient(X @ coef)
        return value + l2 * coef @ coef / 2, X.T @ gradient + l2 * coef

    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 500}
    found = minimize(objective, np.zeros(X.shape[1]), jac=True, method="L-BFGS-B", options=options)
    return found.x, -joint.value_gradient(X @ found.x)[0]


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("with_ties", [True, False])
@pytest.mark.parametrize("names", [[], ["stratum"], ["entry"], ["entry", "stratum"]])
def test_fits_are_those_of_statsmodels(ties, with_ties, names):
    X, time, event, _, stratum, entry = patients(90, with_ties)
    # Who enters at an event time is at risk then in statsmodels, not in R, in lifelines and here.
    entry = np.where(np.isin(entry, time), entry - 0.001, entry)
    given = {name: {"stratum": stratum, "entry": entry}[name] for name in names}
    y = survival_target(time, event, **given)
    theirs = {{"stratum": "strata", "entry": "entry"}[name]: given[name] for name in names}
    model = PHReg(time, X, status=event, ties=ties, **theirs)
    coef, likelihood = fitted(CoxLoss(ties), X, y)
    np.testing.assert_allclose(coef, model.fit().params, rtol=1e-5)
    # At given coefficients, where neither has to search.
    at = np.array([0.3, -0.2])
    joint = CoxLoss(ties).on(y)
    value, gradient = joint.value_gradient(X @ at)
    assert -value == pytest.approx(model.loglike(at), rel=1e-12)
    np.testing.assert_allclose(-X.T @ gradient, model.score(at), rtol=1e-10)
    hessian = np.stack([X.T @ joint.hessian_product(X @ at, x) for x in X.T.copy()])
    np.testing.assert_allclose(-hessian, model.hessian(at), rtol=1e-10)
    assert likelihood >= -value


# lifelines 0.30.3, CoxPHFitter().fit(fit_options={"precision": 1e-12, "step_size": 1.0}): params_
# and log_likelihood_, of Efron's ties.
LIFELINES = {
    (): ([0.66763188691408, -0.4421269521001], -117.67930339065727),
    ("weight",): ([0.64136867203476, -0.32534030922437], -150.23494722751425),
    ("stratum", "entry"): ([0.31050927928122, -0.20034961030924], -64.27365753181344),
    ("stratum", "weight"): ([0.57653371825938, -0.33552502358144], -106.52486906369964),
}


@pytest.mark.parametrize("names", LIFELINES, ids="-".join)
def test_fits_are_those_of_lifelines(names):
    X, time, event, weight, stratum, entry = patients()
    given = {"stratum": stratum, "entry": entry}
    y = survival_target(time, event, **{n: given[n] for n in names if n in given})
    coef, likelihood = fitted(CoxLoss(), X, y, weight if "weight" in names else None)
    np.testing.assert_allclose(coef, LIFELINES[names][0], rtol=1e-6)
    assert likelihood == pytest.approx(LIFELINES[names][1], rel=1e-12)


# scikit-survival 0.28.0, CoxPHSurvivalAnalysis(ties=..., tol=1e-13): coef_, and the first of
# cum_baseline_hazard_, at the event times.
SCIKIT_SURVIVAL = {
    "efron": (
        [0.66763188693036, -0.44212695211571],
        [0.05716872269412, 0.12584950607637, 0.21789374563558, 0.30831029159163],
    ),
    "breslow": (
        [0.60292053290813, -0.41095967407463],
        [0.06022980548895, 0.13203968796301, 0.2272666272023, 0.32026846850489],
    ),
}


@pytest.mark.parametrize("ties", TIES)
def test_fits_and_baselines_are_those_of_scikit_survival(ties):
    X, time, event, *_ = patients()
    y = survival_target(time, event)
    coef, _ = fitted(CoxLoss(ties), X, y)
    np.testing.assert_allclose(coef, SCIKIT_SURVIVAL[ties][0], rtol=1e-6)
    baseline = CoxLoss(ties).baseline(y, X @ SCIKIT_SURVIVAL[ties][0])
    hazard = baseline.cumulative_hazard_function([0.0], [1.0, 2.0, 3.0, 4.0])[0]
    if ties == "breslow":
        np.testing.assert_allclose(hazard, SCIKIT_SURVIVAL[ties][1], rtol=1e-9)
    else:  # its baseline is Breslow's whatever the ties
        breslow = CoxLoss("breslow").baseline(y, X @ SCIKIT_SURVIVAL[ties][0])
        np.testing.assert_allclose(
            breslow.cumulative_hazard[:4], SCIKIT_SURVIVAL[ties][1], rtol=1e-9
        )
        assert (hazard >= breslow.cumulative_hazard[:4]).all()


def test_the_mean_has_the_scale_of_coxnet():
    # scikit-survival 0.28.0, CoxnetSurvivalAnalysis(l1_ratio=0.5, alphas=[0.1]).coef_: the point
    # where the gradient of our mean is that of its penalty.
    coef = np.array([0.4127717935932, -0.26073152618791])
    X, time, event, *_ = patients()
    joint = CoxLoss("breslow").on(survival_target(time, event))
    slope = X.T @ joint.value_gradient(X @ coef)[1] / joint.mass
    np.testing.assert_allclose(slope, -0.1 * (0.5 * np.sign(coef) + 0.5 * coef), rtol=1e-4)


# ------------------------------------------------------------------------------------ what it means


@pytest.mark.parametrize("late", [False, True])
def test_a_weight_of_two_is_two_samples_where_events_are_not_tied(late):
    _, time, event, _, stratum, entry = patients(40)
    raw = np.linspace(-1, 1, 40)
    weight = np.tile([1.0, 2.0, 3.0, 0.0], 10)
    more = {"stratum": stratum} | ({"entry": entry} if late else {})
    twice = np.repeat(np.arange(40), weight.astype(int))
    y = survival_target(time, event, **more)
    loss = CoxLoss("breslow")
    value, gradient = loss.loss_gradient(y, raw, weight)
    value_of, gradient_of = loss.loss_gradient(y[twice], raw[twice])
    assert value == pytest.approx(value_of, rel=1e-14)
    np.testing.assert_allclose(
        gradient, np.bincount(twice, gradient_of, 40), rtol=1e-12, atol=1e-14
    )
    assert loss(y, raw, weight) == pytest.approx(loss(y[twice], raw[twice]), rel=1e-14)


@pytest.mark.parametrize("ties", TIES)
def test_a_weight_of_zero_is_no_sample(ties):
    _, time, event, weight, stratum, entry = patients(40)
    y = survival_target(time, event, entry, stratum)
    raw, kept = np.linspace(-1, 1, 40), np.arange(40) % 3 > 0
    found = CoxLoss(ties).on(y, weight * kept)
    alone = CoxLoss(ties).on(y[kept], weight[kept])
    assert found.mass == pytest.approx(alone.mass)
    assert found.value_gradient(raw)[0] == alone.value_gradient(raw[kept])[0]
    for mine, theirs in zip(
        (*found.gradient_hessian(raw), found.hessian_product(raw, raw)),
        (*alone.gradient_hessian(raw[kept]), alone.hessian_product(raw[kept], raw[kept])),
        strict=True,
    ):
        np.testing.assert_array_equal(mine[kept], theirs)
        assert not mine[~kept].any()


def test_weights_scale_gradients_and_add_their_logarithm_to_values():
    _, time, event, weight, *_ = patients(40)
    y, raw = survival_target(time, event), np.linspace(-1, 1, 40)
    value, gradient = CoxLoss().loss_gradient(y, raw, weight)
    for factor in (2.0**-600, 2.0**600):
        scaled, slopes = CoxLoss().loss_gradient(y, raw, weight * factor)
        np.testing.assert_array_equal(slopes, gradient * factor)
        more = weight[event].sum() * np.log(factor)
        assert scaled / factor == pytest.approx(value + more, rel=1e-14)


@pytest.mark.parametrize("ties", TIES)
def test_equal_ties_are_efrons_and_breslows(ties):
    # Two of three have the event together; all are equal.
    y = survival_target([1.0, 1.0, 2.0], event=[True, True, False])
    value = CoxLoss(ties).loss_gradient(y, np.zeros(3))[0]
    assert value == pytest.approx(np.log(6 if ties == "efron" else 9), rel=1e-15)
    # A censored time stands behind an event at the same time, an entry does too.
    y = survival_target([1.0, 1.0], event=[True, False])
    assert CoxLoss(ties)(y, [0.0, 0.0]) == pytest.approx(np.log(2) / 2, rel=1e-15)
    y = survival_target([1.0, 2.0], event=[True, False], entry=[0.0, 1.0])
    assert CoxLoss(ties)(y, [0.0, 5.0]) == 0


def test_the_order_of_the_samples_means_nothing():
    y, raw, weight, _ = drawn(15)
    gradient = CoxLoss().gradient(y, raw, weight)
    order = np.random.RandomState(0).permutation(len(raw))
    turned = CoxLoss().gradient(y[order], raw[order], weight[order])
    np.testing.assert_allclose(turned, gradient[order], rtol=1e-13, atol=1e-15 * weight.max())


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("factor", [None, 1e-3, 50.0])
def test_the_floor_is_what_the_total_tends_to(ties, factor):
    _, time, event, weight, stratum, _ = patients(40)
    y = survival_target(time, event, stratum=stratum)
    weight = None if factor is None else weight * factor
    joint = CoxLoss(ties).on(y, weight)
    rng = np.random.RandomState(0)
    values = [joint.value_gradient(rng.randn(40) * 10.0**k)[0] for k in range(-3, 4)]
    assert min(values) > joint.floor
    # With equal weights those are the likeliest who are equal in a tie.
    joint = CoxLoss(ties).on(y, None if factor is None else np.full(40, factor))
    best = joint.value_gradient(-1e3 * time - 1e5 * ~event)[0]
    assert best == pytest.approx(joint.floor, rel=1e-12, abs=1e-12)


def test_second_derivatives_are_of_one_matrix():
    _, time, event, weight, stratum, entry = patients(30)
    joint = CoxLoss().on(survival_target(time, event, entry, stratum), weight)
    raw = np.linspace(-2, 2, 30)
    matrix = np.stack([joint.hessian_product(raw, e) for e in np.eye(30)])
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-14)
    np.testing.assert_allclose(np.diag(matrix), joint.gradient_hessian(raw)[1], atol=1e-14)
    np.testing.assert_allclose(joint.hessian_product(raw, np.ones(30)), 0, atol=1e-14)
    assert np.linalg.eigvalsh(matrix).min() > -1e-12
    tiny = joint.hessian_product(raw, 1e-300 * raw)
    np.testing.assert_allclose(tiny, 1e-300 * joint.hessian_product(raw, raw), rtol=1e-12)
    assert not joint.hessian_product(raw, np.zeros(30)).any()


@pytest.mark.parametrize("n_strata", [1, 300])
@pytest.mark.parametrize("late", [False, True])
def test_the_number_of_threads_changes_no_bit(n_strata, late):
    rng = np.random.RandomState(0)
    n = 30_000
    time = rng.rand(n).round(3) + 0.1
    entry = time * rng.rand(n) if late else None
    y = survival_target(time, rng.rand(n) < 0.5, entry, rng.randint(0, n_strata, n))
    joint, raw = CoxLoss().on(y, rng.rand(n)), rng.randn(n)
    results = []
    for threads in (1, 2, 7):
        joint.n_threads = threads
        value, gradient = joint.value_gradient(raw)
        product = joint.hessian_product(raw, raw)
        results.append([np.full(n, value), gradient, *joint.gradient_hessian(raw), product])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    assert CoxLoss()(y, raw, n_threads=2) == CoxLoss()(y, raw, n_threads=1)


def test_strata_add_up():
    y, raw, weight, _ = drawn(12 + 1)
    parts = [y["stratum"] == s for s in np.unique(y["stratum"])]
    parts = [part for part in parts if (y["event"] & (weight > 0))[part].any()]
    assert len(parts) > 1
    whole = CoxLoss().loss_gradient(y, raw, weight)
    alone = [CoxLoss().loss_gradient(y[p], raw[p], weight[p]) for p in parts]
    assert whole[0] == pytest.approx(sum(value for value, _ in alone), rel=1e-14)
    for part, (_, gradient) in zip(parts, alone, strict=True):
        np.testing.assert_allclose(whole[1][part], gradient, rtol=1e-13, atol=1e-15 * weight.max())


# ----------------------------------------------------------------------------------------- baseline


@pytest.mark.parametrize("ties", TIES)
def test_baselines_are_sums_of_the_hazards_of_the_loss(ties):
    _, time, event, weight, stratum, entry = patients(30)
    y = survival_target(time, event, entry, stratum)
    raw = np.linspace(-2, 2, 30)
    with mp.workdps(50):
        jumps = Exact(y, raw, weight, ties == "efron").jumps
    baseline = CoxLoss(ties).baseline(y, raw, weight)
    times = np.arange(0.0, time.max() + 2, 0.5)
    for s in range(3):
        mine = {t: h for (k, t), h in jumps.items() if k == s}
        true = [float(mp.fsum(h for t, h in mine.items() if t <= u)) for u in times]
        hazard = baseline.cumulative_hazard_function([0.5], times, stratum=s)[0]
        np.testing.assert_allclose(hazard, np.multiply(true, np.exp(0.5)), rtol=1e-14)
        survival = baseline.survival_function([0.5], times, stratum=[s])[0]
        np.testing.assert_allclose(survival, np.exp(-hazard), rtol=1e-15)
    everyone = baseline.survival_function(raw, [3.0, 1.0], stratum=stratum)
    for i in range(30):
        one = baseline.survival_function(raw[i], [3.0, 1.0], stratum=stratum[i])
        np.testing.assert_array_equal(everyone[i], one[0])
    assert len(baseline.cumulative_hazard) == len(jumps) == len(baseline.times)


def test_the_hazards_that_samples_went_through_are_as_many_as_the_events():
    X, time, event, *_ = patients()
    y, raw = survival_target(time, event), X @ [0.6, -0.4]
    baseline = CoxLoss("breslow").baseline(y, raw)
    through = baseline.cumulative_hazard_function(raw, time).diagonal()
    assert through.sum() == pytest.approx(event.sum(), rel=1e-13)


@pytest.mark.parametrize("far", [1e4, -1e4])
def test_baselines_stand_for_raw_predictions_of_any_size(far):
    y, raw = survival_target([1.0, 2.0, 3.0]), np.array([0.5, 0.0, -0.5])
    near = CoxLoss().baseline(y, raw).survival_function(raw, [1.5])
    baseline = CoxLoss().baseline(y, raw + far)
    np.testing.assert_allclose(baseline.survival_function(raw + far, [1.5]), near, rtol=1e-11)
    assert (baseline.cumulative_hazard == (0 if far > 0 else np.inf)).all()


def test_a_stratum_without_an_event_has_no_hazard():
    y = survival_target([1.0, 2.0, 3.0], [True, False, True], stratum=[5, 7, 5])
    baseline = CoxLoss().baseline(y, np.zeros(3))
    assert baseline.strata.tolist() == [5, 7]
    assert baseline.survival_function([0.0], [9.0], stratum=7).tolist() == [[1.0]]
    assert baseline.survival_function([0.0], [9.0], stratum=5)[0, 0] < 1
    copy = pickle.loads(pickle.dumps(baseline))
    assert repr(copy) == "BaselineHazard(2 strata, 2 event times)"
    np.testing.assert_array_equal(copy.cumulative_hazard, baseline.cumulative_hazard)
    with pytest.raises(ValueError, match=r"stratum must be given: the hazards of 2 strata differ"):
        baseline.survival_function([0.0], [1.0])
    with pytest.raises(ValueError, match=r"must be one that was fitted \(\[5, 7\]\); got 6"):
        baseline.survival_function([0.0, 0.0], [1.0], stratum=[5, 6])
    with pytest.raises(ValueError, match=r"must be one that was fitted \(\[5, 7\]\); got 8"):
        baseline.survival_function([0.0], [1.0], stratum=8)
    with pytest.raises(ValueError, match=r"an integer or have shape \(1,\); got \(2,\)"):
        baseline.survival_function([0.0], [1.0], stratum=[5, 5])
    with pytest.raises(ValueError, match="times must be finite; got nan"):
        baseline.survival_function([0.0], [np.nan], stratum=5)
    with pytest.raises(ValueError, match="raw_prediction must have one dimension"):
        baseline.survival_function([[0.0, 1.0]], [1.0], stratum=5)


# ------------------------------------------------------------------------------------- as an object


def test_it_is_an_object_like_every_loss():
    loss = CoxLoss(ties="breslow")
    for copy in (clone(loss), pickle.loads(pickle.dumps(loss)), eval(repr(loss), vars(sl))):
        assert copy == loss and copy != CoxLoss()
    assert sl.get_loss("cox") == CoxLoss() and sl.get_loss("cox", ties="breslow") == loss
    assert isinstance(BaselineHazard.__doc__, str)
    joint = pickle.loads(pickle.dumps(loss.on(survival_target([1.0, 2.0]))))
    assert joint.value_gradient(np.zeros(2))[0] == pytest.approx(np.log(2))


def test_boosting_libraries_get_the_derivatives_of_their_labels():
    _, time, event, weight, *_ = patients(40)
    labels, raw = np.where(event, time, -time), np.linspace(-1, 1, 40)
    objective = sl.as_objective(CoxLoss("breslow"), "xgboost", min_hessian=0)
    found = objective(labels, raw, sample_weight=weight)
    true = CoxLoss("breslow").gradient_hessian(survival_target(time, event), raw, weight)
    np.testing.assert_allclose(found, true, rtol=1e-6, atol=1e-7)
    metric = sl.as_metric("cox", "xgboost")(labels, raw, sample_weight=weight)
    assert metric == pytest.approx(CoxLoss()(survival_target(time, event), raw, weight))


def test_labels_of_boosting_libraries_are_negative_where_they_are_censored():
    labels = np.array([3.0, -2.0, 0.0, -0.0, 1.0], dtype=np.float32)
    y = CoxLoss()._grouped(labels, None)
    np.testing.assert_array_equal(y, survival_target([3, 2, 0, 0, 1], [1, 0, 1, 0, 1]))
    y = CoxLoss()._grouped(labels, [2, 3])
    assert y["stratum"].tolist() == [0, 0, 1, 1, 1]
    assert CoxLoss()._grouped(y, None) is y


def test_mistakes_are_named():
    y = survival_target([1.0, 2.0], event=[True, False])
    with pytest.raises(ValueError, match=r"ties must be one of \('efron', .*; got 'exact'"):
        CoxLoss("exact").on(y)
    with pytest.raises(ValueError, match="must hold at least one event: of 2 samples all are cens"):
        CoxLoss()(survival_target([1.0, 2.0], [False, False]), [0.0, 0.0])
    with pytest.raises(ValueError, match="at least one event of positive weight: of 1 samples"):
        CoxLoss()(y, [0.0, 0.0], sample_weight=[0.0, 1.0])
    with pytest.raises(ValueError, match=r"raw_prediction must have shape \(2,\); got \(3,\)"):
        CoxLoss()(y, [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="raw_prediction must be finite; got nan at"):
        CoxLoss()(y, [0.0, np.nan])
    with pytest.raises(ValueError, match=r"sample_weight must not be negative; got -1\.0"):
        CoxLoss()(y, [0.0, 0.0], sample_weight=[1.0, -1.0])
    with pytest.raises(ValueError, match=r"contiguous array of float64 and shape \(2,\)"):
        CoxLoss().on(y)._kernel.value_gradient(np.zeros(3))


def test_one_sample_has_nothing_to_say():
    value, gradient = CoxLoss().loss_gradient(survival_target([1.0]), [3.0])
    assert value == 0 and gradient.tolist() == [0]
    gradient, hessian = CoxLoss().gradient_hessian(survival_target([1.0]), [3.0])
    assert gradient.tolist() == hessian.tolist() == [0]
