"""Objectives give the models of the built-in objectives of XGBoost, LightGBM and CatBoost, where
they have the loss."""

import numpy as np
import pytest
from test_objectives import CATBOOST, count_problem, module, problem

import sklearn_losses as sl

# Whose built-in objectives take derivatives as they are, where "auto" makes up for flat tails and
# units.
AS_THEY_ARE = {"reg:pseudohubererror", "fair", "MAE", "Quantile:alpha=0.8"}


def objective_like(name, loss, library):
    return sl.as_objective(loss, library, min_hessian=0.0 if name in AS_THEY_ARE else "auto")


XGBOOST_REGRESSION = {
    "reg:squarederror": (sl.HalfSquaredError(), {}),
    "reg:pseudohubererror": (sl.PseudoHuber(delta=0.7), {"huber_slope": 0.7}),
    "count:poisson": (sl.HalfPoissonLoss(), {"max_delta_step": 0}),
    "reg:gamma": (sl.HalfGammaLoss(), {}),
    "reg:tweedie": (sl.HalfTweedieLoss(1.3), {"tweedie_variance_power": 1.3}),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", XGBOOST_REGRESSION)
def test_xgboost_gives_the_model_of_its_own_regression_objective(name, weighted):
    xgboost = module("xgboost")
    loss, params = XGBOOST_REGRESSION[name]
    X, y, weight = count_problem()
    weight = weight if weighted else None
    objective = objective_like(name, loss, "xgboost")
    start = objective.start_score(y, weight)
    settings = {"n_estimators": 20, "max_depth": 4, "n_jobs": 1}
    ours = xgboost.XGBRegressor(
        objective=objective,
        base_score=start,
        max_delta_step=params.get("max_delta_step"),
        **settings,
    ).fit(X, y, sample_weight=weight)
    theirs = xgboost.XGBRegressor(
        objective=name, base_score=float(loss.predict(start)), **params, **settings
    ).fit(X, y, sample_weight=weight)
    raw = ours.predict(X)
    np.testing.assert_allclose(raw, theirs.predict(X, output_margin=True), rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(loss.predict(raw), theirs.predict(X), rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_xgboost_gives_the_classifier_of_its_own_objective(n_classes):
    xgboost = module("xgboost")
    loss = sl.HalfBinomialLoss() if n_classes == 2 else sl.HalfMultinomialLoss()
    X, y, weight = problem(loss)
    y = y.astype(int)
    objective = sl.as_objective(loss, "xgboost")
    start = objective.start_params(y, weight, classifier=True)
    settings = {"n_estimators": 15, "max_depth": 3, "n_jobs": 1, **start}
    ours = xgboost.XGBClassifier(objective=objective, **settings).fit(X, y, sample_weight=weight)
    theirs = xgboost.XGBClassifier(**settings).fit(X, y, sample_weight=weight)
    raw = ours.predict(X, output_margin=True)
    np.testing.assert_allclose(raw, theirs.predict(X, output_margin=True), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    default = xgboost.XGBClassifier(**settings | {"base_score": None}).fit(
        X, y, sample_weight=weight
    )
    proba = default.predict_proba(X)  # XGBoost's own start is ours, or near it
    np.testing.assert_allclose(ours.predict_proba(X), proba, atol=0.02)


@pytest.mark.parametrize(
    "name, loss, params",
    [
        ("reg:absoluteerror", sl.AbsoluteError(), {}),
        ("reg:quantileerror", sl.PinballLoss(0.8), {"quantile_alpha": 0.8}),
    ],
)
def test_xgboost_grows_the_first_tree_of_an_objective_that_refits_its_leaves(name, loss, params):
    xgboost = module("xgboost")
    X, y, _ = count_problem()
    start = sl.as_objective(loss, "xgboost").start_params(y)
    settings = {"n_estimators": 1, "max_depth": 3, "n_jobs": 1, **start}
    frames = [
        xgboost.XGBRegressor(objective=objective, **settings, **more)
        .fit(X, y)
        .get_booster()
        .trees_to_dataframe()
        for objective, more in ((sl.as_objective(loss, "xgboost"), {}), (name, params))
    ]
    assert list(frames[0]["Feature"]) == list(frames[1]["Feature"])
    np.testing.assert_array_equal(frames[0]["Split"], frames[1]["Split"])
    assert (frames[0]["Feature"] != "Leaf").sum() >= 3


LIGHTGBM_REGRESSION = {
    "regression": (sl.HalfSquaredError(), {}),
    "huber": (sl.HuberLoss(delta=0.5), {"alpha": 0.5}),
    "fair": (sl.Fair(c=0.7), {"fair_c": 0.7}),
    "poisson": (sl.HalfPoissonLoss(), {"poisson_max_delta_step": 1e-12}),
    "gamma": (sl.HalfGammaLoss(), {}),
    "tweedie": (sl.HalfTweedieLoss(1.3), {"tweedie_variance_power": 1.3}),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LIGHTGBM_REGRESSION)
def test_lightgbm_gives_the_model_of_its_own_regression_objective(name, weighted):
    lightgbm = module("lightgbm")
    loss, params = LIGHTGBM_REGRESSION[name]
    X, y, weight = count_problem()
    weight = weight if weighted else None
    objective = objective_like(name, loss, "lightgbm")
    start = objective.start_params(y, weight)
    settings = {"n_estimators": 20, "num_leaves": 7, "verbose": -1, "n_jobs": 1, **params}
    raw = [
        lightgbm.LGBMRegressor(objective=o, **settings)
        .fit(X, y, sample_weight=weight, **start)
        .predict(X, raw_score=True)
        for o in (objective, name)
    ]
    np.testing.assert_allclose(raw[0], raw[1], rtol=1e-4, atol=1e-5)
    assert np.ptp(raw[0]) > 0.1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_lightgbm_gives_the_classifier_of_its_own_objective(n_classes):
    lightgbm = module("lightgbm")
    loss = sl.HalfBinomialLoss() if n_classes == 2 else sl.HalfMultinomialLoss()
    X, codes, weight = problem(loss)
    y = np.array(["a", "b", "c"])[codes.astype(int)]
    objective = sl.as_objective(loss, "lightgbm")
    settings = {"n_estimators": 15, "num_leaves": 7, "verbose": -1, "n_jobs": 1}
    ours = lightgbm.LGBMClassifier(objective=objective, **settings)
    ours.fit(X, y, sample_weight=weight, **objective.start_params(codes, weight))
    theirs = lightgbm.LGBMClassifier(**settings).fit(X, y, sample_weight=weight)
    raw = objective.start_score(codes, weight) + ours.predict(X, raw_score=True)
    proba = loss.predict(raw)
    want = theirs.predict_proba(X)
    np.testing.assert_allclose(proba, want if n_classes == 3 else want[:, 1], atol=1e-5)


@pytest.mark.parametrize(
    "name, loss, params",
    [
        ("l1", sl.AbsoluteError(), {}),
        ("quantile", sl.PinballLoss(0.8), {"alpha": 0.8}),
        ("mape", sl.AbsolutePercentageError(epsilon=1.0), {}),
    ],
)
def test_lightgbm_grows_the_first_tree_of_an_objective_that_refits_its_leaves(name, loss, params):
    lightgbm = module("lightgbm")
    X, y, _ = count_problem()
    # LightGBM's own hessian is 1 for all three.
    objective = sl.as_objective(loss, "lightgbm", min_hessian=1.0)
    start = objective.start_params(y)
    settings = {"n_estimators": 1, "num_leaves": 7, "verbose": -1, "n_jobs": 1, **params}
    frames = [
        lightgbm.LGBMRegressor(objective=o, **settings)
        .fit(X, y, **start)
        .booster_.trees_to_dataframe()
        for o in (objective, name)
    ]
    for column in ("split_feature", "threshold", "count"):
        assert frames[0][column].equals(frames[1][column])
    assert frames[0]["split_feature"].notna().sum() >= 3


# The built-in objective, the loss, and how both estimate leaves.
CATBOOST_REGRESSION = {
    "RMSE": (sl.HalfSquaredError(), "Newton"),
    "MAE": (sl.PinballLoss(0.5), "Gradient"),
    "Quantile:alpha=0.8": (sl.PinballLoss(0.8), "Gradient"),
    "Huber:delta=0.5": (sl.HuberLoss(0.5), "Gradient"),
    "Expectile:alpha=0.8": (sl.Expectile(0.8), "Newton"),
    "LogCosh": (sl.LogCosh(), "Gradient"),
    "Poisson": (sl.HalfPoissonLoss(), "Newton"),
    "Tweedie:variance_power=1.3": (sl.HalfTweedieLoss(1.3), "Newton"),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CATBOOST_REGRESSION)
def test_catboost_gives_the_model_of_its_own_regression_objective(name, weighted):
    catboost = module("catboost")
    loss, method = CATBOOST_REGRESSION[name]
    X, y, weight = count_problem()
    weight = weight if weighted else None
    objective = objective_like(name, loss, "catboost")
    # Not on a target, where the two subgradients of a quantile differ.
    start = {"baseline": objective.start_params(y, weight)["baseline"] + 1e-3}
    settings = {
        **CATBOOST,
        "iterations": 15,
        "depth": 3,
        "learning_rate": 0.2,
        "leaf_estimation_method": method,
        "leaf_estimation_iterations": 1,
        "boosting_type": "Plain",
    }
    raw = [
        catboost.CatBoostRegressor(loss_function=o, eval_metric="RMSE", **settings)
        .fit(X, y, sample_weight=weight, **start)
        .predict(X, prediction_type="RawFormulaVal")
        for o in (objective, name)
    ]
    np.testing.assert_allclose(raw[0], raw[1], rtol=1e-6, atol=1e-7)
    assert np.ptp(raw[0]) > 0.1


@pytest.mark.parametrize("labels", [["a", "b", "c"], [0, 1, 2], [3, 5, 9]], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_catboost_gives_the_classifier_of_its_own_objective(n_classes, labels):
    catboost = module("catboost")
    loss = sl.HalfBinomialLoss() if n_classes == 2 else sl.HalfMultinomialLoss()
    name = "Logloss" if n_classes == 2 else "MultiClass"
    X, codes, weight = problem(loss)
    y = np.array(labels)[codes.astype(int)]
    objective = sl.as_objective(loss, "catboost")
    start = objective.start_params(codes, weight)
    settings = {
        **CATBOOST,
        "iterations": 6,
        "depth": 3,
        "learning_rate": 0.2,
        "leaf_estimation_method": "Newton",
        "leaf_estimation_iterations": 1,
        "boosting_type": "Plain",
    }
    raw = [
        catboost.CatBoostClassifier(
            loss_function=o, eval_metric=name, class_names=labels[:n_classes], **settings
        )
        .fit(X, y, sample_weight=weight, **start)
        .predict(X, prediction_type="RawFormulaVal")
        for o in (objective, name)
    ]
    np.testing.assert_allclose(raw[0], raw[1], rtol=1e-5, atol=1e-6)
    assert np.ptp(raw[0]) > 0.1
