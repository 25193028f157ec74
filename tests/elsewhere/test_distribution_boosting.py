"""Losses of a distribution boost a tree for each head with XGBoost and LightGBM, from the best
constants, in any unit, without a step that explodes."""

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

import sklearn_losses as sl
from sklearn_losses.losses import DISTRIBUTIONS

# LightGBM 4.7 renames it; earlier versions have no other.
pytestmark = pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
LIBRARIES = ["xgboost", "lightgbm"]
every_library = pytest.mark.parametrize("library", LIBRARIES)


# Heads that trees cannot learn are given.
GIVEN = {"tweedie_nll": {"power": 1.5}}


def linear(cls):
    """All heads are learned by trees."""
    given = GIVEN.get(cls.name, {})
    return cls(**given, **dict.fromkeys(cls(**given)._head_choices(), "linear"))


LOSSES = {cls.name: linear(cls) for cls in DISTRIBUTIONS}
LOSSES["general_robust_nll_of_alpha"] = sl.GeneralRobustNLL(alpha=1.0)
# One number in XGBoost; LightGBM refuses it.
LOSSES["tweedie_nll_of_a_fitted_power"] = sl.TweedieNLL("linear")
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
FEW = ("gaussian_nll", "aft")
every_trained_loss = pytest.mark.parametrize("loss", [
    pytest.param(loss, id=name, marks=[] if name in FEW else pytest.mark.slow)
    for name, loss in LOSSES.items()
])  # fmt: skip


def every_pair(slow=False):
    """Losses and the libraries that can have them."""
    return pytest.mark.parametrize("loss, library", [
        pytest.param(
            loss, library, id=f"{name}-{library}",
            marks=[pytest.mark.slow] if slow and name not in FEW else [],
        )
        for name, loss in LOSSES.items()
        for library in LIBRARIES
        if library == "xgboost" or loss._sees_features().all()
    ])  # fmt: skip


def constant_heads_averaged(loss, weight, *arrays):
    """Heads of one number get the same derivatives for all samples, times their weights."""
    for array in arrays:
        for head in np.flatnonzero(~loss._sees_features()):
            array[:, head] = weight * array[:, head].sum() / weight.sum()


def module(library):
    return pytest.importorskip(library, reason=f"{library} is not installed")


def problem(loss, n=400, seed=0):
    """Features, and targets of which all heads follow them. Times are negative where censored."""
    rng = np.random.RandomState(seed)
    X = rng.uniform(-1, 1, size=(n, 4))
    third = 3.0 * np.sign(X[:, 2]) * loss._sees_features()[2:].any()
    raw = np.stack([np.sin(3 * X[:, 0]) + 0.5, np.sign(X[:, 1]) - 0.5, third], axis=1)
    y = loss.distribution_of(raw[:, : loss.n_heads]).rvs(size=n, random_state=rng)
    if isinstance(loss, sl.AFT):
        limit = rng.exponential(8.0, size=n)
        y = np.where(y <= limit, y, -limit)
    if isinstance(loss, sl.BetaNLL):
        y = np.clip(y, 1e-4, 1 - 1e-4)
    return X, y.astype(np.float64), rng.uniform(0.5, 2, n)


def train(library, native, loss, data, rounds=20, metric=None, objective=None, **more):
    """Raw predictions of the samples trained on, and the metric's curve on them."""
    booster = module(library)
    X, y, weight = data
    objective = objective or sl.as_objective(loss, library)
    metric = metric or sl.as_metric(loss, library)
    start = objective.start_params(y, weight)
    params = {"num_class": loss.n_heads, "max_depth": 3, "learning_rate": 0.3, "n_jobs": 1, **more}
    if library == "xgboost":
        params |= {"disable_default_eval_metric": True, **start}
        if native:
            params["nthread"] = params.pop("n_jobs")
            matrix, curve = booster.DMatrix(X, y, weight=weight), {}
            model = booster.train(
                params, matrix, rounds, obj=objective, custom_metric=metric,
                evals=[(matrix, "train")], evals_result=curve, verbose_eval=False,
            )  # fmt: skip
            return model.predict(matrix, output_margin=True), curve["train"][loss.name]
        model = booster.XGBRegressor(
            objective=objective, eval_metric=metric, n_estimators=rounds, **params
        )
        model.fit(
            X, y, sample_weight=weight, eval_set=[(X, y)], verbose=False,
            sample_weight_eval_set=None if weight is None else [weight],
        )  # fmt: skip
        curve = model.evals_result()["validation_0"][loss.name]
        return model.predict(X, output_margin=True), curve
    params |= {"verbose": -1, "metric": "None"}
    if native:
        matrix, curve = booster.Dataset(X, y, weight=weight, **start), {}
        model = booster.train(
            params | {"objective": objective}, matrix, rounds, valid_sets=[matrix],
            valid_names=["train"], feval=metric, callbacks=[booster.record_evaluation(curve)],
        )  # fmt: skip
        curve = curve["train"]
    else:
        model = booster.LGBMRegressor(objective=objective, n_estimators=rounds, **params)
        model.fit(
            X, y, sample_weight=weight, **start, eval_set=[(X, y)], eval_names=["train"],
            eval_sample_weight=None if weight is None else [weight],
            eval_init_score=[*start.values()], eval_metric=metric,
        )  # fmt: skip
        curve = model.evals_result_["train"]
    return objective.start_score(y, weight) + model.predict(X, raw_score=True), curve[loss.name]


def targets_of(loss, y):
    """Targets as the loss itself takes them."""
    if not isinstance(loss, sl.AFT):
        return y
    return np.stack([abs(y), np.where(y < 0, np.inf, abs(y))], axis=1)


@every_pair(slow=True)
def test_every_distribution_is_boosted_by_both_apis_and_its_metric_is_its_mean(loss, library):
    data = _, y, weight = problem(loss)
    results = [train(library, native, loss, data) for native in (False, True)]
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6, atol=1e-6)
    raw, curve = results[0]
    target = targets_of(loss, y)
    before = loss(target, np.tile(loss.fit_intercept_only(target, weight), (len(y), 1)), weight)
    assert raw.shape == (len(y), loss.n_heads)
    assert curve[-1] == pytest.approx(loss(target, raw.astype(np.float64), weight), rel=2e-5)
    assert curve[-1] < curve[0] < before
    # All heads are learned: each alone at its best constant is worse.
    for head in np.flatnonzero(loss._sees_features()):
        flat = raw.astype(np.float64)
        others = np.where(np.arange(loss.n_heads) == head, 0.0, flat)
        flat[:, head] = loss.fit_intercept_only(target, weight, others)[head]
        assert curve[-1] < loss(target, flat, weight) - 0.02 * abs(before)
    with np.errstate(over="ignore"):
        assert np.isfinite(loss.distribution_of(raw).mean()).all()


@every_library
def test_a_boosted_gaussian_beats_its_linear_model_where_that_is_wrong(library):
    loss = sl.GaussianNLL()
    (X, y, _), (X_test, y_test, _) = problem(loss, 1500), problem(loss, 1500, seed=1)
    booster, objective = module(library), sl.as_objective(loss, library)
    start = objective.start_params(y)
    params = {"n_estimators": 60, "max_depth": 3, "learning_rate": 0.1, "num_class": 2, "n_jobs": 1}
    if library == "xgboost":
        params |= {"disable_default_eval_metric": True, **start}
        model = booster.XGBRegressor(objective=objective, **params).fit(X, y)
        raw = model.predict(X_test, output_margin=True)
    else:
        params |= {"metric": "None", "verbose": -1}
        model = booster.LGBMRegressor(objective=objective, **params).fit(X, y, **start)
        raw = objective.start_score(y) + model.predict(X_test, raw_score=True)
    constant = loss(y_test, np.tile(objective.start_score(y), (len(y_test), 1)))
    fit = sl.SGDRegressorX(loss, optimizer="auto").fit(X, y)
    linear_loss = loss(y_test, fit.predict_raw(X_test))
    truth = np.stack([np.sin(3 * X_test[:, 0]) + 0.5, np.sign(X_test[:, 1]) - 0.5], axis=1)
    boosted = loss(y_test, raw.astype(np.float64))
    assert boosted < linear_loss - 0.1 < constant - 0.2
    assert boosted < loss(y_test, truth) + 0.1
    low, high = loss.distribution_of(raw).ppf([[0.05], [0.95]])
    assert np.mean((low < y_test) & (y_test < high)) == pytest.approx(0.9, abs=0.04)


def laplace_heads(rng, location, log_scale):
    """Targets, and the heads that they follow."""
    return rng.laplace(location, np.exp(log_scale)), np.stack([location, log_scale], axis=1)


def tweedie_heads(rng, log_mean, log_dispersion, power=1.6):
    """As `laplace_heads`: sums of gamma variables."""
    mean, dispersion = np.exp(log_mean), np.exp(log_dispersion)
    number = rng.poisson(mean ** (2 - power) / (dispersion * (2 - power)))
    scale = dispersion * (power - 1) * mean ** (power - 1)
    y = rng.gamma((2 - power) / (power - 1) * number, scale)
    logit = np.full(len(y), np.log((power - 1.01) / (1.99 - power)))
    return y, np.stack([log_mean, log_dispersion, logit], axis=1)


@pytest.mark.parametrize("loss, draw, second", [
    (sl.LaplaceNLL(), laplace_heads, 0.5),
    (sl.TweedieNLL(), tweedie_heads, 0.0),
    (sl.TweedieNLL("linear"), tweedie_heads, 0.5),
])  # fmt: skip
def test_boosted_medians_and_amounts_beat_constants_on_targets_held_out(loss, draw, second):
    booster, rng = module("xgboost"), np.random.RandomState(0)
    X = rng.uniform(-1, 1, size=(4500, 4))
    y, truth = draw(rng, np.sin(3 * X[:, 0]) + 0.5, second * np.sign(X[:, 1]) - 0.3)
    objective = sl.as_objective(loss, "xgboost")
    model = booster.XGBRegressor(
        objective=objective, num_class=loss.n_heads, n_estimators=60, max_depth=3,
        learning_rate=0.1, n_jobs=1, disable_default_eval_metric=True,
        **objective.start_params(y[:1500]),
    ).fit(X[:1500], y[:1500])  # fmt: skip
    raw = model.predict(X[1500:], output_margin=True).astype(np.float64)
    y, truth, start = y[1500:], truth[1500:], objective.start_score(y[:1500])
    assert loss(y, raw) < loss(y, np.tile(start, (len(y), 1))) - 0.15
    assert loss(y, raw) < loss(y, truth) + 0.12
    if isinstance(loss, sl.TweedieNLL):
        np.testing.assert_allclose(loss.power_of(raw), 1.6, atol=0.05)


# ------------------------------------------------------------------------------------- derivatives


def rows(loss, n=60, seed=1):
    rng = np.random.RandomState(seed)
    _, y, weight = problem(loss, n, seed)
    return y, rng.normal(size=(n, loss.n_heads)), weight


@every_pair()
def test_given_a_least_hessian_derivatives_are_the_losses_own(loss, library):
    y, raw, weight = rows(loss)
    objective = sl.as_objective(loss, library, min_hessian=0.1)
    gradient, hessian = objective(y, raw, weight)
    own, bend = loss.gradient_hessian(targets_of(loss, y), raw, weight)
    bend = np.maximum(bend, 0.1 * weight[:, np.newaxis])
    constant_heads_averaged(loss, weight, own, bend)
    np.testing.assert_allclose(gradient, own, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(hessian, bend, rtol=1e-5, atol=1e-6)
    for array in (gradient, hessian):
        assert array.dtype == np.float32
        assert array.flags[{"xgboost": "C", "lightgbm": "F"}[library] + "_CONTIGUOUS"]


@every_loss
def test_automatic_hessians_are_no_less_than_the_own_and_the_expected_ones(loss):
    y, raw, weight = rows(loss)
    target = targets_of(loss, y)
    library = "lightgbm" if loss._sees_features().all() else "xgboost"
    gradient, hessian = sl.as_objective(loss, library)(y, raw, weight)
    own, bend = loss.gradient_hessian(target, raw, weight)
    expected = weight[:, np.newaxis] * loss._expected_hessian(raw)
    short = abs(own)
    if loss.heads[0] == "location":
        short[:, 0] /= np.exp(raw[:, 1])
    want = np.maximum(bend, np.where(np.isnan(expected), short, expected))
    constant_heads_averaged(loss, weight, own, want)
    unit = 1.0
    if loss.log_scale_head is not None:
        unit = want.sum(axis=0) / weight.sum()
    np.testing.assert_allclose(hessian, want / unit, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(gradient, own / unit, rtol=1e-5, atol=1e-6)
    assert (hessian > 0).all()


# Heads whose Fisher information has a formula; of others both have.
KNOWN = {"aft": [], "general_robust_nll": [], "negative_binomial_nll": [0], "tweedie_nll": [0]}


@pytest.mark.parametrize("raw", [[0.5, -0.3], [1.5, 0.7], [-1.0, 0.2]], ids=str)
@every_loss
def test_the_expected_hessian_is_the_mean_over_the_distribution(loss, raw):
    raw = np.array([[*raw, 0.4][: loss.n_heads]])
    got = loss._expected_hessian(raw)[0]
    known = KNOWN.get(loss.name, [0, 1])
    assert got.shape == (loss.n_heads,) and list(np.flatnonzero(~np.isnan(got))) == known
    if not known:
        return
    variable = loss.distribution_of(raw)
    if isinstance(loss, sl.losses.counts.CountLoss):
        y = np.arange(400.0)
        share = np.exp(-loss.loss(y, np.tile(raw, (400, 1))))
    else:
        # Equal parts of the distribution, and ever smaller ones at its ends.
        at = stats.norm.cdf(np.linspace(-7, 7, 1001))
        middle, share = 0.5 * (at[1:] + at[:-1]), np.diff(at)
        y = variable.ppf(middle)
        inside = (y > 0) & (y < 1) if loss.name == "beta_nll" else np.isfinite(y)
        y, share = y[inside], share[inside]
    gradient, hessian = loss.gradient_hessian(y, np.tile(raw, (len(y), 1)))
    # A kink has no second derivative, but squares of slopes.
    mean = share @ (gradient**2 if loss.approx_hessian else hessian)
    np.testing.assert_allclose(mean[known], got[known], rtol=5e-4)


def test_expected_hessians_keep_their_digits_at_extreme_shapes():
    for shape in (1e-9, 1e3, 1e5, 1e9):
        got = sl.GammaNLL()._expected_hessian(np.array([[0.0, -np.log(shape)]]))[0]
        assert got[0] == pytest.approx(shape) and 0.4999 < got[1] < 1.0001
        got = sl.BetaNLL()._expected_hessian(np.array([[0.3, np.log(shape)]]))[0]
        assert np.isfinite(got).all() and 0.4999 < got[1] < 1.0001


@every_pair()
def test_a_weight_of_two_is_a_sample_twice_and_of_zero_none(loss, library):
    y, raw, _ = rows(loss)
    times = np.random.RandomState(0).randint(3, size=len(y))
    objective = sl.as_objective(loss, library)
    got = objective(y, raw, times * 1.0)
    want = objective(y.repeat(times), raw.repeat(times, axis=0))
    for mine, theirs in zip(got, want, strict=True):
        summed = np.add.reduceat(theirs, (np.cumsum(times) - times)[times > 0])
        np.testing.assert_allclose(mine[times > 0], summed, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(got[0][times == 0], 0)


LOCATED = [
    pytest.param(loss, id=name, marks=[] if name in FEW else pytest.mark.slow)
    for name, loss in LOSSES.items()
    if loss.log_scale_head is not None
]


@every_library
@pytest.mark.parametrize("loss", LOCATED)
def test_targets_in_any_unit_give_the_same_distributions(loss, library):
    X, y, weight = problem(loss)
    one, _ = train(library, False, loss, (X, y, weight))
    # Below, XGBoost's least gain counts: see `as_objective`.
    for k in (2.0**17, 2.0**20) if library == "xgboost" else (2.0**-20, 2.0**20):
        raw, _ = train(library, False, loss, (X, k * y, weight))
        scaled = np.stack([raw[:, 0] / k, raw[:, 1] - np.log(k), *raw.T[2:]], axis=1)
        np.testing.assert_allclose(scaled, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", LOCATED)
def test_xgboost_learns_both_heads_of_targets_below_its_least_gain(loss):
    X, y, weight = problem(loss)
    data = X, 2.0**-20 * y, weight
    raw, _ = train("xgboost", False, loss, data)
    assert np.ptp(raw[:, 0]) > 2.0**-20 and np.ptp(raw[:, 1]) > 1
    one, _ = train("xgboost", False, loss, (X, y, weight))
    raw = np.stack([2.0**20 * raw[:, 0], raw[:, 1] + 20 * np.log(2), *raw.T[2:]], axis=1)
    assert loss(y, raw, weight) == pytest.approx(loss(y, np.float64(one), weight), abs=0.1)


# ------------------------------------------------------------------------------- starts and limits


@pytest.mark.parametrize("constant", [False, True])
@every_trained_loss
def test_trees_of_one_leaf_reach_the_best_constants(loss, constant):
    xgboost = module("xgboost")
    X, y, weight = problem(loss)
    if constant:
        loss = clone(loss).set_params(**dict.fromkeys(loss._head_choices(), "constant"))
    target = targets_of(loss, y)
    best = loss.fit_intercept_only(target, weight)
    model = xgboost.XGBRegressor(
        objective=sl.as_objective(loss, "xgboost"),
        base_score=(best + [0.3, -0.3, 0.3][: loss.n_heads]).tolist(),
        num_class=loss.n_heads, gamma=1e9, learning_rate=0.5, n_estimators=100, reg_lambda=0,
        n_jobs=1, disable_default_eval_metric=True,
    ).fit(X, y, sample_weight=weight)  # fmt: skip
    raw = model.predict(X, output_margin=True).astype(np.float64)
    assert (raw == raw[0]).all()
    # The last steps to a median are of the weight of a sample.
    np.testing.assert_allclose(raw[0], best, atol=3e-3 if loss.approx_hessian else 1e-4)


@pytest.mark.parametrize("loss, name, head", [
    pytest.param(
        loss, name, head, id=f"{key}-{name}", marks=[] if key in FEW else pytest.mark.slow
    )
    for key, loss in LOSSES.items()
    for name, head in (loss._head_choices() | dict.fromkeys(loss._constant_heads(), 2)).items()
])  # fmt: skip
def test_a_constant_head_is_one_number_that_follows_the_others(loss, name, head):
    X, y, weight = problem(loss)
    loss = clone(loss).set_params(**{name: "constant"})
    target = targets_of(loss, y)
    raw, _ = train("xgboost", True, loss, (X, y, weight), rounds=60)
    assert (raw[:, head] == raw[0, head]).all() and np.ptp(raw[:, 0]) > 0.5
    slope = loss.gradient(target, raw.astype(np.float64), weight)[:, head].sum() / weight.sum()
    assert abs(slope) < 0.15
    start = loss.fit_intercept_only(target, weight)[head]
    flat = raw.astype(np.float64)
    flat[:, head] = start
    # Those of a hurdle are learned apart.
    gained = loss(target, flat, weight) - loss(target, raw.astype(np.float64), weight)
    assert abs(gained) < 1e-9 if loss.name == "hurdle_poisson_nll" else gained > 1e-3
    needed = {"power": "a number", "alpha": "'linear' or a number"}.get(name, "'linear'")
    with pytest.raises(ValueError, match=rf"{name} of {type(loss).__name__} must be {needed} for"):
        sl.as_objective(loss, "lightgbm")


def test_one_tree_may_hold_both_heads_in_xgboost():
    loss = LOSSES["gaussian_nll"]
    data = _, y, weight = problem(loss)
    raw, curve = train("xgboost", False, loss, data, multi_strategy="multi_output_tree")
    assert curve[-1] == pytest.approx(loss(y, raw.astype(np.float64), weight), rel=2e-5)
    assert curve[-1] < curve[0] - 0.2


@every_library
@pytest.mark.parametrize("wide", [False, True])
def test_an_exposure_is_an_offset_of_the_first_head(library, wide):
    loss, rng = LOSSES["negative_binomial_nll"], np.random.RandomState(0)
    X, exposure = rng.normal(size=(900, 3)), rng.uniform(-2, 1, size=900)
    counts = rng.poisson(rng.gamma(2.0, np.exp(0.5 * X[:, 0] + exposure) / 2.0)).astype(float)
    offset = np.stack([exposure, 0 * exposure], axis=1) if wide else exposure
    (X, X_val), (y, y_val) = (np.split(a, [600]) for a in (X, counts))
    (offset, offset_val), (log_years, log_years_val) = (
        np.split(a, [600]) for a in (offset, exposure)
    )
    booster, objective = module(library), sl.as_objective(loss, library)
    metric = sl.as_metric(loss, library)
    best = objective.start_score(y, offset=offset)
    both = np.stack([log_years_val, 0 * log_years_val], axis=1)
    # The best constants beside the exposure, where the loss has no slope.
    at = best + np.stack([log_years, 0 * log_years], axis=1)
    np.testing.assert_allclose(loss.gradient(y, at).mean(axis=0), 0, atol=1e-6)
    start = objective.start_params(
        y, offset=offset, eval_set=[(X_val, y_val)], eval_offset=[offset_val]
    )
    params = {"num_class": 2, "learning_rate": 0.1, "n_jobs": 1, "n_estimators": 200}
    if library == "xgboost":
        model = booster.XGBRegressor(
            objective=objective, eval_metric=metric, max_depth=2, early_stopping_rounds=10,
            disable_default_eval_metric=True, **params,
        ).fit(X, y, eval_set=[(X_val, y_val)], verbose=False, **start)  # fmt: skip
        raw = model.predict(X_val, base_margin=best + both, output_margin=True)
        score = model.best_score
    else:
        model = booster.LGBMRegressor(
            objective=objective, metric="None", num_leaves=4, verbose=-1, **params
        ).fit(
            X, y, eval_set=[(X_val, y_val)], eval_metric=metric,
            callbacks=[booster.early_stopping(10, verbose=False)], **start,
        )  # fmt: skip
        raw = best + both + model.predict(X_val, raw_score=True)
        score = next(iter(model.best_score_.values()))[loss.name]
    assert loss(y_val, raw.astype(np.float64)) == pytest.approx(score, rel=1e-4)
    assert score < loss(y_val, best + both) - 0.05


# ------------------------------------------------------------------------------------------- times


@every_library
def test_censored_times_are_negative_labels(library):
    loss = LOSSES["aft"]
    y, raw, weight = rows(loss)
    assert (y < 0).sum() > 5
    target = targets_of(loss, y)
    objective = sl.as_objective(loss, library, min_hessian=0.0)
    np.testing.assert_allclose(
        objective.start_score(y, weight), loss.fit_intercept_only(target, weight)
    )
    event = sl.survival_target(abs(y), y > 0)
    np.testing.assert_allclose(objective.start_score(event), objective.start_score(y))
    metric = sl.as_metric(loss, library)(y, raw, weight)
    value = metric if library == "xgboost" else metric[1]
    assert value == pytest.approx(loss(target, raw, weight), rel=1e-12)


@pytest.mark.parametrize("distribution", ["normal", "logistic", "extreme"])
def test_intervals_of_xgboosts_own_are_read_and_measured_alike(distribution):
    xgboost = module("xgboost")
    loss = sl.AFT(distribution, scale="linear")
    X, y, _ = problem(loss)
    target = targets_of(loss, y)
    target[:20] = np.stack([0.5 * abs(y[:20]), 2 * abs(y[:20])], axis=1)
    data = xgboost.DMatrix(X)
    data.set_float_info("label_lower_bound", target[:, 0])
    data.set_float_info("label_upper_bound", target[:, 1])
    name, curve = sl.as_metric(loss, "xgboost"), {}
    params = {
        "objective": "survival:aft", "eval_metric": "aft-nloglik", "max_depth": 2,
        "aft_loss_distribution": distribution, "aft_loss_distribution_scale": 1.0,
    }  # fmt: skip
    model = xgboost.train(
        params, data, 3, evals=[(data, "train")], evals_result=curve, verbose_eval=False
    )
    margin = model.predict(data, output_margin=True)
    raw = np.stack([margin, 0 * margin], axis=1)
    assert name(raw, data)[1] == pytest.approx(curve["train"]["aft-nloglik"][-1], rel=1e-5)
    objective = sl.as_objective(loss, "xgboost")
    got = objective(raw.astype(np.float64), data)
    want = sl.as_objective(loss, "lightgbm")(np.float32(target), raw.astype(np.float64))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    params = {"num_class": 2, "disable_default_eval_metric": True, "max_depth": 2}
    params |= objective.start_params(target)
    model = xgboost.train(params, data, 20, obj=objective)
    raw = model.predict(data, output_margin=True).astype(np.float64)
    constant = np.tile(objective.start_score(target), (len(y), 1))
    assert loss(target, raw) < loss(target, constant) - 0.2


# ------------------------------------------------------------------------------------------ errors


def test_catboost_has_no_start_for_heads_but_their_metric():
    for loss in LOSSES.values():
        with pytest.raises(ValueError, match="'catboost', which takes no start for several raw"):
            sl.as_objective(loss, "catboost")
    catboost = module("catboost")
    X, y, weight = problem(LOSSES["gaussian_nll"])
    model = catboost.CatBoostRegressor(
        loss_function="RMSEWithUncertainty", eval_metric=sl.as_metric("gaussian_nll", "catboost"),
        iterations=5, depth=3, verbose=0, allow_writing_files=False, thread_count=1,
    ).fit(X, y, sample_weight=weight)  # fmt: skip
    curve = list(model.get_evals_result()["learn"].values())[-1]
    raw = model.predict(X, prediction_type="RawFormulaVal")
    assert curve[-1] == pytest.approx(sl.GaussianNLL()(y, raw, weight), rel=1e-6)


def test_lightgbm_refuses_heads_of_one_number_of_any_kind():
    for loss, named in (
        (sl.TweedieNLL(), "dispersion of TweedieNLL must be 'linear' for"),
        (sl.TweedieNLL("linear"), "power of TweedieNLL must be a number for"),
        (sl.GeneralRobustNLL(), "alpha of GeneralRobustNLL must be 'linear' or a number for"),
        (sl.GeneralRobustNLL(1.0, "constant"), "scale of GeneralRobustNLL must be 'linear' for"),
    ):
        with pytest.raises(ValueError, match=f"{named} LightGBM, which .*; got 'constant'"):
            sl.as_objective(loss, "lightgbm")


@every_library
def test_what_heads_cannot_be_is_named(library):
    with pytest.raises(ValueError, match=r"raw must be True for GaussianNLL, which is a loss of"):
        sl.as_metric("gaussian_nll", library, raw=False)
    objective = sl.as_objective("gaussian_nll", library)
    for raw in (np.zeros(3), np.zeros((3, 1)), np.zeros((3, 3))):
        with pytest.raises(ValueError, match=r"shape \(n_samples, 2\), location, log_scale; got"):
            objective(np.arange(3.0), raw)
    with pytest.raises(ValueError, match=r"offset must have shape"):
        objective.start_params(np.arange(3.0), offset=np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"y_true must hold counts"):
        sl.as_objective(LOSSES["hurdle_poisson_nll"], library)(np.array([0.5]), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="in the wrong order, which has no likelihood"):
        sl.as_objective("cumulative_link", library)
