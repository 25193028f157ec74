"""Objectives train targets in any unit alike: what stands in for second derivatives knows no unit,
and no step explodes."""

import numpy as np
import pytest
from scipy.special import expit

import sklearn_losses as sl
from sklearn_losses._curvature import TINY, lower_median
from sklearn_losses.losses import LOSSES, REDUCED
from sklearn_losses.objectives import OBJECTIVES

LIBRARIES = list(OBJECTIVES)
TRAINABLE = {name: cls() for name, cls in LOSSES.items() if cls not in REDUCED}
every_library = pytest.mark.parametrize("library", LIBRARIES)

# A loss whose parameters are in units of y, by the unit.
SCALED = {
    "squared_error": lambda k: sl.HalfSquaredError(),
    "huber": lambda k: sl.HuberLoss(delta=k),
    "smooth_l1": lambda k: sl.SmoothL1(beta=k),
    "pseudo_huber": lambda k: sl.PseudoHuber(delta=k),
    "fair": lambda k: sl.Fair(c=k),
    "cauchy": lambda k: sl.Cauchy(c=k),
    "geman_mcclure": lambda k: sl.GemanMcClure(c=k),
    "welsch": lambda k: sl.Welsch(c=k),
    "tukey": lambda k: sl.TukeyBiweight(c=4.685 * k),
    "general_robust": lambda k: sl.GeneralRobust(alpha=-1.0, c=k),
    "absolute_error": lambda k: sl.AbsoluteError(),
    "quantile": lambda k: sl.PinballLoss(quantile=0.9),
    "smooth_quantile": lambda k: sl.SmoothPinball(quantile=0.8, width=0.2 * k),
    "epsilon_insensitive": lambda k: sl.EpsilonInsensitive(epsilon=0.1 * k),
    "mape": lambda k: sl.AbsolutePercentageError(epsilon=k),
}
# Those whose gradient does not fall to 0, at their defaults, whatever the unit of y.
MONOTONE = ["huber", "smooth_l1", "pseudo_huber", "log_cosh", "fair", "absolute_error", "mape"]
MONOTONE += ["quantile"]
REDESCENDING = ["cauchy", "geman_mcclure", "welsch", "tukey"]


def problem(n=400):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n, 4))
    noise = 0.3 * rng.standard_t(2, size=n)
    return X, X[:, 0] + 1.5 * np.sign(X[:, 1]) + noise, rng.uniform(0.5, 2, n)


def train(library, loss, X, y, weight=None, rounds=60):
    """Raw predictions of a boosted model, without penalties, which are in units of their own."""
    booster = pytest.importorskip(library, reason=f"{library} is not installed")
    objective = sl.as_objective(loss, library)
    start = objective.start_params(y, weight)
    if library == "xgboost":
        settings = {"max_depth": 3, "n_jobs": 1, "reg_lambda": 0, "min_child_weight": 0}
        model = booster.XGBRegressor(
            objective=objective, n_estimators=rounds, learning_rate=0.1, **settings, **start
        )
        return model.fit(X, y, sample_weight=weight).predict(X).astype(np.float64)
    if library == "lightgbm":
        model = booster.LGBMRegressor(
            objective=objective,
            n_estimators=rounds,
            max_depth=3,
            min_child_weight=0,
            verbose=-1,
            n_jobs=1,
        ).fit(X, y, sample_weight=weight, **start)
        return model.predict(X) + objective.start_score(y, weight)
    model = booster.CatBoostRegressor(
        loss_function=objective,
        eval_metric="RMSE",
        iterations=rounds,
        depth=3,
        learning_rate=0.1,
        l2_leaf_reg=0,
        verbose=0,
        allow_writing_files=False,
        random_seed=0,
        bootstrap_type="No",
        random_strength=0,
        thread_count=1,
    ).fit(X, y, sample_weight=weight, **start)
    return model.predict(X) + objective.start_score(y, weight)


def saved(loss, y, raw):
    """Which part of the best constant's loss a model saves."""
    return 1 - loss(y, raw) / loss(y, np.full(len(y), loss.fit_intercept_only(y)))


@every_library
@pytest.mark.parametrize("name", SCALED)
def test_targets_in_any_unit_give_the_same_model(name, library):
    X, y, weight = problem()
    make = SCALED[name]
    one = train(library, make(1.0), X, y, weight)
    assert saved(make(1.0), y, one) > 0.25
    # Powers of 2, with which the targets' float32 are the same digits: about 1e-6, 1e-3, 1e5, 1e6.
    for k in (2.0**-20, 2.0**-10, 2.0**17, 2.0**20):
        raw = train(library, make(k), X, y * k, weight) / k
        if library == "xgboost" and k < 1:
            # It makes no split that gains less than 1e-6 in squares of the unit of y: gains are
            # lifted above that, but those that are small beside the others may be missed.
            assert saved(make(1.0), y, raw) == pytest.approx(saved(make(1.0), y, one), abs=0.01)
            assert np.median(abs(raw - one)) < 0.02 * np.ptp(one)
        else:
            np.testing.assert_allclose(raw, one, rtol=1e-6, atol=1e-6)


@every_library
@pytest.mark.parametrize("name", MONOTONE)
def test_a_parameter_in_the_wrong_unit_neither_explodes_nor_stands_still(name, library):
    X, y, _ = problem()
    loss = sl.get_loss(name)
    for k in (1e-6, 1e-3, 1.0, 1e3, 1e6):
        targets = k * (y + 10)
        raw = train(library, loss, X, targets)
        assert saved(loss, targets, raw) > 0.55, k


@every_library
@pytest.mark.parametrize("name", REDESCENDING)
def test_a_flat_loss_is_never_worse_than_its_constant(name, library):
    X, y, _ = problem()
    for k in (1e-3, 1.0, 1e3, 1e6):
        targets = k * (y + 10)
        loss = sl.get_loss(name)
        assert saved(loss, targets, train(library, loss, X, targets)) > -0.01, k


def derivatives(objective, y, raw, weight=None):
    if objective.library == "catboost":
        return -objective.calc_ders_range(raw, y, weight).T
    return objective(y, raw, weight)


@every_library
@pytest.mark.parametrize("name", SCALED)
def test_steps_are_in_the_unit_of_the_targets(name, library):
    _, y, weight = problem()
    for start in (0.0, 50.0, 1e4):
        steps = []
        for k in (1e-6, 1.0, 1e6):
            objective = sl.as_objective(SCALED[name](k), library)
            gradient, hessian = derivatives(objective, k * y, np.full(len(y), k * start), weight)
            assert np.isfinite(gradient).all() and (hessian > 0).all()
            steps.append(gradient.astype(float).sum() / hessian.astype(float).sum() / k)
        np.testing.assert_allclose(steps, steps[1], rtol=1e-4)
        # A leaf of all samples does not pass them.
        assert abs(steps[1]) < 1.01 * abs(start - y).max()


@every_library
@pytest.mark.parametrize("name", SCALED)
def test_a_weight_of_two_is_a_sample_twice_and_of_zero_none(name, library):
    rng = np.random.RandomState(0)
    y, raw, weight = rng.normal(size=90), 5 * rng.normal(size=90), rng.randint(3, size=90) * 1.0
    objective = sl.as_objective(SCALED[name](1.0), library)
    got = np.array(derivatives(objective, y, raw, weight), dtype=float)
    times = weight.astype(int)
    want = np.array(derivatives(objective, y.repeat(times), raw.repeat(times)), dtype=float)
    for mine, theirs in zip(got, want, strict=True):
        summed = np.add.reduceat(theirs, (np.cumsum(times) - times)[times > 0])
        np.testing.assert_allclose(mine[times > 0], summed, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(got[0][times == 0], 0)


def test_near_the_targets_derivatives_are_the_losses_own_with_hessians_of_one():
    y, raw = np.array([0.0, 0.0, 0.0]), np.array([0.3, -0.8, 4.0])
    for loss in (sl.HuberLoss(delta=1.0), sl.Cauchy(c=2.0), sl.Fair(c=3.0), sl.TukeyBiweight()):
        gradient, hessian = sl.as_objective(loss, "lightgbm")(y, raw)
        np.testing.assert_allclose(gradient, loss.gradient(y, raw), rtol=1e-6)
        np.testing.assert_array_equal(hessian, 1)


def test_far_out_the_median_sample_goes_half_of_the_way_to_its_target():
    y, raw = np.zeros(5), np.array([1e4, 2e4, 3e4, 4e4, 5e4])
    gradient, hessian = sl.as_objective("huber", "lightgbm")(y, raw)
    np.testing.assert_allclose(gradient / hessian, 1.5e4, rtol=1e-6)
    gradient, hessian = sl.as_objective("cauchy", "lightgbm")(y, raw)
    # The nearest would go beyond its target: it goes as far as the median residual.
    np.testing.assert_allclose(gradient / hessian, [3e4, 2.25e4, 1.5e4, 1.125e4, 9e3], rtol=1e-5)


def test_without_curvature_a_step_is_the_residuals_median_over_the_gradients_spread():
    y, raw = np.zeros(4), np.array([1.0, -2.0, 3.0, 0.0])
    gradient, hessian = sl.as_objective("absolute_error", "lightgbm")(y, raw)
    # The gradients 1, -1, 1, 0 have the root mean square sqrt(3 / 4); the median of 1, 2, 3 is 2.
    np.testing.assert_allclose(gradient, np.array([1, -1, 1, 0]) * 2 / 0.75**0.5, rtol=1e-6)
    np.testing.assert_array_equal(hessian, 1)
    y, raw = np.array([1.0, 2.0, 4.0]), np.array([2.0, 1.0, 6.0])
    gradient, hessian = sl.as_objective("mape", "lightgbm")(y, raw)
    np.testing.assert_allclose(hessian, [2, 1, 0.5], rtol=1e-6)  # 1 / y over its median
    np.testing.assert_allclose(gradient, np.array([2, -1, 0.5]), rtol=1e-6)


@pytest.mark.parametrize("name", TRAINABLE)
def test_hessians_are_positive_and_a_bound_overrules(name):
    loss = TRAINABLE[name]
    rng = np.random.RandomState(0)
    y = rng.randint(3 if loss.is_multiclass else 2, size=50).astype(float)
    y, weight = y + (loss.task == "regression"), rng.uniform(0.5, 2, 50)
    raw = 9 * rng.normal(size=(50, 3) if loss.is_multiclass else 50)
    _, hessian = sl.as_objective(loss, "lightgbm")(y, raw)
    assert (hessian > 0).all()
    least = sl.as_objective(loss, "lightgbm", min_hessian=5.0)
    bound = 5 * weight if not loss.is_multiclass else 5 * weight[:, np.newaxis]
    gradient, hessian = least(y, raw, weight)
    assert (hessian >= bound * (1 - 1e-6)).all()
    want = loss.gradient(y, raw, weight)
    np.testing.assert_allclose(gradient, want, rtol=1e-5, atol=1e-6)


def test_the_least_hessian_is_that_of_the_docstring():
    of_one = {"squared_hinge", "modified_huber", "smooth_hinge", "ldam", "smooth_l2"}
    of_one |= {"squared_epsilon_insensitive", "smooth_quantile", "log_cosh"}
    of_one |= set(SCALED) - {"squared_error", "absolute_error", "quantile", "mape"}
    of_one -= {"epsilon_insensitive"}
    between = {"focal", "multiclass_focal", "brier", "poly", "asymmetric"}
    for name, loss in TRAINABLE.items():
        least = sl.as_objective(loss, "xgboost").min_hessian_
        if name in between:
            assert 0.1 < least < 0.5, name
        else:
            assert least == (1.0 if name in of_one else TINY), name


def test_a_median_counts_a_weight_as_repetition():
    rng = np.random.RandomState(0)
    for n in (1, 2, 7, 40):
        values, times = rng.normal(size=n), rng.randint(1, 4, size=n)
        assert lower_median(values, times * 0.5) == lower_median(values.repeat(times))


def test_a_loss_of_ones_own_is_trained_in_any_unit():
    loss = sl.FunctionLoss(
        lambda y, raw: abs(raw - y) ** 1.5,
        lambda y, raw: 1.5 * np.sqrt(abs(raw - y)) * np.sign(raw - y),
    )
    X, y, _ = problem()
    for k in (1e-3, 1.0, 1e5):
        assert saved(loss, k * y, train("lightgbm", loss, X, k * y)) > 0.7
    binary = sl.FunctionLoss(
        lambda y, raw: np.logaddexp(0, raw) - y * raw, lambda y, raw: expit(raw) - y, task="binary"
    )
    gradient, _ = sl.as_objective(binary, "lightgbm")(np.zeros(3), np.full(3, 30.0))
    np.testing.assert_allclose(gradient, 1)
