"""Early stopping looks at what it would look at with the library's own objective: evaluation sets
start where training starts, with offsets and weights, for regressors and classifiers."""

import numpy as np
import pytest
from scipy.special import expit

import sklearn_losses as sl
from sklearn_losses.objectives import OBJECTIVES

pytestmark = pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
LIBRARIES = list(OBJECTIVES)
every_library = pytest.mark.parametrize("library", LIBRARIES)
CATBOOST = {
    "verbose": 0,
    "allow_writing_files": False,
    "random_seed": 0,
    "bootstrap_type": "No",
    "random_strength": 0,
    "thread_count": 1,
    "depth": 3,
    "learning_rate": 0.3,
    "leaf_estimation_iterations": 1,
    "boosting_type": "Plain",
}


def module(library):
    return pytest.importorskip(library, reason=f"{library} is not installed")


def problem(task="positive", n=500, seed=0):
    """Training and validation data, weights of both, and an offset of both."""
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, 4))
    offset = rng.normal(size=n)
    signal = 0.5 * X[:, 0] + 0.5 * np.sign(X[:, 1])
    if task == "positive":
        y = rng.poisson(np.exp(signal + 1)).astype(float)
    elif task == "exposed":
        y = rng.poisson(np.exp(signal + offset)).astype(float)
    else:
        y = (signal + 0.8 * rng.normal(size=n) > 0.8).astype(int)
    weight = rng.uniform(0.5, 2, n)
    half = n // 2
    return [(a[:half], a[half:]) for a in (X, y, weight, offset)]


# Ours with the derivatives as they are, their name of objective and metric, parameters, and what
# our metric is of theirs.
LIGHTGBM = {
    "regression": (sl.HalfSquaredError(), "l2", {}, lambda m: m / 2),
    "huber": (sl.HuberLoss(delta=0.9), "huber", {"alpha": 0.9}, lambda m: m),
    "poisson": (
        sl.HalfPoissonLoss(),
        "poisson",
        {"poisson_max_delta_step": 1e-12},
        lambda m: m,
    ),
    "binary": (sl.HalfBinomialLoss(), "binary_logloss", {}, lambda m: m),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LIGHTGBM)
def test_lightgbm_stops_where_its_own_objective_stops(name, weighted):
    lightgbm = module("lightgbm")
    loss, metric, params, ours_of = LIGHTGBM[name]
    cls = lightgbm.LGBMClassifier if name == "binary" else lightgbm.LGBMRegressor
    (X, X_val), (y, y_val), (w, w_val), _ = problem("binary" if name == "binary" else "positive")
    w, w_val = (w, w_val) if weighted else (None, None)
    objective = sl.as_objective(loss, "lightgbm")
    start = objective.start_params(y, w, eval_set=[(X_val, y_val)])
    settings = {"n_estimators": 200, "num_leaves": 7, "verbose": -1, "n_jobs": 1, **params}
    fit = {
        "sample_weight": w,
        "eval_set": [(X_val, y_val)],
        "eval_sample_weight": None if w is None else [w_val],
        "callbacks": [lightgbm.early_stopping(5, verbose=False)],
    }
    ours = cls(objective=objective, metric="None", **settings)
    ours.fit(X, y, eval_metric=sl.as_metric(loss, "lightgbm"), **fit, **start)
    theirs = cls(objective=name, metric=metric, **settings).fit(X, y, **fit, **start)
    got = next(iter(ours.evals_result_.values()))[loss.name]
    want = ours_of(np.array(next(iter(theirs.evals_result_.values()))[metric]))
    assert ours.best_iteration_ == theirs.best_iteration_ > 5
    np.testing.assert_allclose(got, want, rtol=1e-5)
    # Its own start is ours, but Huber's, which is the mean.
    default = cls(objective=name, metric=metric, **settings).fit(X, y, **fit)
    if name != "huber":
        np.testing.assert_allclose(
            next(iter(default.evals_result_.values()))[metric][:3],
            next(iter(theirs.evals_result_.values()))[metric][:3],
            rtol=1e-3,
        )


XGBOOST = {
    "reg:squarederror": (sl.HalfSquaredError(), "rmse", {}, lambda m: m**2 / 2),
    "reg:pseudohubererror": (
        sl.PseudoHuber(delta=0.9),
        "mphe",
        {"huber_slope": 0.9},
        lambda m: m,
    ),
    "count:poisson": (sl.HalfPoissonLoss(), "poisson-nloglik", {"max_delta_step": 0}, None),
    "binary:logistic": (sl.HalfBinomialLoss(), "logloss", {}, lambda m: m),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", XGBOOST)
def test_xgboost_stops_where_its_own_objective_stops(name, weighted):
    xgboost = module("xgboost")
    loss, metric, params, ours_of = XGBOOST[name]
    binary = name == "binary:logistic"
    cls = xgboost.XGBClassifier if binary else xgboost.XGBRegressor
    (X, X_val), (y, y_val), (w, w_val), _ = problem("binary" if binary else "positive")
    w, w_val = (w, w_val) if weighted else (None, None)
    objective = sl.as_objective(loss, "xgboost", min_hessian=0.0)
    start = objective.start_params(y, w, eval_set=[(X_val, y_val)], classifier=binary)
    assert list(start) == ["base_score"]
    settings = {"n_estimators": 200, "max_depth": 3, "n_jobs": 1, "early_stopping_rounds": 5}
    fit = {
        "sample_weight": w,
        "eval_set": [(X_val, y_val)],
        "sample_weight_eval_set": None if w is None else [w_val],
        "verbose": False,
    }
    delta = params.get("max_delta_step")
    ours = cls(
        objective=objective,
        eval_metric=sl.as_metric(loss, "xgboost"),
        max_delta_step=delta,
        **settings,
        **start,
    ).fit(X, y, **fit)
    base = start["base_score"] if binary else float(loss.predict(start["base_score"]))
    theirs = cls(objective=name, eval_metric=metric, base_score=base, **settings, **params)
    theirs.fit(X, y, **fit)
    assert ours.best_iteration == theirs.best_iteration > 1
    got = np.array(ours.evals_result()["validation_0"][loss.name])
    want = np.array(theirs.evals_result()["validation_0"][metric])
    # Its Poisson metric has a term in y more.
    want = ours_of(want) if ours_of else want + (got - want)[0]
    np.testing.assert_allclose(got, want, rtol=1e-4)


CATBOOST_PEERS = {
    "RMSE": (sl.HalfSquaredError(), "Newton", lambda m: m**2 / 2),
    "Poisson": (sl.HalfPoissonLoss(), "Newton", lambda m: m),
    "Quantile:alpha=0.8": (sl.PinballLoss(quantile=0.8), "Gradient", lambda m: m),
    "Huber:delta=0.9": (sl.HuberLoss(delta=0.9), "Gradient", lambda m: m),
    "Logloss": (sl.HalfBinomialLoss(), "Newton", lambda m: m),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CATBOOST_PEERS)
def test_catboost_stops_where_its_own_objective_stops(name, weighted):
    catboost = module("catboost")
    loss, method, ours_of = CATBOOST_PEERS[name]
    binary = name == "Logloss"
    cls = catboost.CatBoostClassifier if binary else catboost.CatBoostRegressor
    (X, X_val), (y, y_val), (w, w_val), _ = problem("binary" if binary else "positive")
    w, w_val = (w, w_val) if weighted else (None, None)
    objective = sl.as_objective(loss, "catboost", min_hessian=0.0)
    settings = {
        **CATBOOST,
        "iterations": 200,
        "early_stopping_rounds": 5,
        "leaf_estimation_method": method,
    }
    models = []
    for criterion, metric in ((objective, sl.as_metric(loss, "catboost")), (name, name)):
        given = catboost.Pool(X_val, y_val, weight=w_val) if weighted else (X_val, y_val)
        start = objective.start_params(y, w, eval_set=[given])
        # Not on a target, where the two subgradients of a quantile differ.
        start["baseline"] += 1e-3
        [pool] = start["eval_set"]
        pool.set_baseline(np.array(pool.get_baseline())[:, 0] + 1e-3)
        model = cls(loss_function=criterion, eval_metric=metric, **settings)
        models.append(model.fit(X, y, sample_weight=w, **start))
    ours, theirs = models
    assert ours.get_best_iteration() == theirs.get_best_iteration() > 2
    [got], [want] = (list(model.get_evals_result()["validation"].values())[-1:] for model in models)
    np.testing.assert_allclose(got, ours_of(np.array(want)), rtol=1e-5)


def boosted(library, loss, data, weights, offsets=None, rounds=400):
    """Raw predictions of the validation set after early stopping, as the guide does it, and the
    best value of the metric."""
    (X, X_val), (y, y_val) = data
    w, w_val = weights
    objective, metric = sl.as_objective(loss, library), sl.as_metric(loss, library)
    offset, offset_val = offsets or (None, None)
    start = objective.start_params(
        y,
        w,
        offset=offset,
        eval_set=[(X_val, y_val)],
        eval_offset=None if offsets is None else [offset_val],
    )
    constant = objective.start_score(y, w, offset=offset)
    extra = 0 if offset is None else offset_val
    if library == "lightgbm":
        lightgbm = module(library)
        model = lightgbm.LGBMRegressor(
            objective=objective, metric="None", n_estimators=rounds, verbose=-1, num_leaves=7
        )
        model.fit(
            X,
            y,
            sample_weight=w,
            eval_set=[(X_val, y_val)],
            eval_sample_weight=[w_val],
            eval_metric=metric,
            callbacks=[lightgbm.early_stopping(20, verbose=False)],
            **start,
        )
        best = next(iter(model.best_score_.values()))[loss.name]
        return constant + extra + model.predict(X_val, raw_score=True), best
    if library == "xgboost":
        params = {k: start.pop(k) for k in ("base_score",) if k in start}
        model = module(library).XGBRegressor(
            objective=objective,
            eval_metric=metric,
            n_estimators=rounds,
            learning_rate=0.1,
            max_depth=3,
            early_stopping_rounds=20,
            **params,
        )
        model.fit(
            X,
            y,
            sample_weight=w,
            eval_set=[(X_val, y_val)],
            sample_weight_eval_set=[w_val],
            verbose=False,
            **start,
        )
        margin = None if offset is None else constant + extra
        return model.predict(X_val, base_margin=margin, output_margin=True), model.best_score
    catboost = module(library)
    pool = catboost.Pool(X_val, y_val, weight=w_val)
    start = objective.start_params(
        y,
        w,
        offset=offset,
        eval_set=pool,
        eval_offset=None if offset is None else offset_val,
    )
    assert start["eval_set"][0] is pool
    model = catboost.CatBoostRegressor(
        loss_function=objective,
        eval_metric=metric,
        iterations=rounds,
        early_stopping_rounds=20,
        **CATBOOST | {"learning_rate": 0.1},
    )
    model.fit(X, y, sample_weight=w, **start)
    [best] = model.get_best_score()["validation"].values()
    return constant + extra + model.predict(X_val, prediction_type="RawFormulaVal"), best


@every_library
@pytest.mark.parametrize("loss", [sl.Cauchy(), sl.HuberLoss(), sl.HalfPoissonLoss()], ids=repr)
def test_early_stopping_looks_at_the_models_own_predictions(loss, library):
    module(library)
    X, y, weights, _ = problem()
    # Far from 0, where LightGBM would start to measure.
    y = tuple(a + 100 * (loss.name != "poisson") for a in y)
    raw, best = boosted(library, loss, (X, y), weights)
    assert loss(y[1], raw.astype(np.float64), weights[1]) == pytest.approx(best, rel=1e-4)
    constant = loss.fit_intercept_only(y[0], weights[0])
    assert best < 0.85 * loss(y[1], np.full(len(y[1]), constant), weights[1])


@every_library
def test_offsets_are_in_starts_and_evaluations(library):
    module(library)
    X, y, weights, offsets = problem("exposed")
    loss = sl.HalfPoissonLoss()
    raw, best = boosted(library, loss, (X, y), weights, offsets)
    raw = raw.astype(np.float64)
    assert loss(y[1], raw, weights[1]) == pytest.approx(best, rel=1e-4)
    # The best constant beside an exposure is in closed form.
    constant = np.log(np.sum(weights[0] * y[0]) / np.sum(weights[0] * np.exp(offsets[0])))
    objective = sl.as_objective(loss, library)
    assert objective.start_score(y[0], weights[0], offset=offsets[0]) == pytest.approx(constant)
    assert best < loss(y[1], constant + offsets[1], weights[1]) - 0.05


@every_library
@pytest.mark.parametrize("name", ["log_loss", "ldam", "multinomial"])
def test_classifiers_of_two_classes_take_binary_and_row_wise_losses(name, library):
    booster = module(library)
    loss = sl.LDAM(scale=1.0) if name == "ldam" else sl.get_loss(name)
    (X, X_val), (y, y_val), (w, _), _ = problem("binary")
    objective, metric = sl.as_objective(loss, library), sl.as_metric(loss, library)
    start = objective.start_params(y, w, eval_set=[(X_val, y_val)], classifier=True)
    if library == "xgboost":
        model = booster.XGBClassifier(
            objective=objective,
            eval_metric=metric,
            n_estimators=20,
            max_depth=3,
            learning_rate=0.1,
            **start,
        ).fit(X, y, sample_weight=w, eval_set=[(X_val, y_val)], verbose=False)
        raw = model.predict(X_val, output_margin=True)
        best = model.evals_result()["validation_0"][loss.name][-1]
    elif library == "lightgbm":
        model = booster.LGBMClassifier(
            objective=objective, metric="None", n_estimators=15, verbose=-1
        ).fit(X, y, sample_weight=w, eval_set=[(X_val, y_val)], eval_metric=metric, **start)
        raw = model.predict(X_val, raw_score=True)
        raw += objective.start_score(y, w, classifier=True)
        best = next(iter(model.evals_result_.values()))[loss.name][-1]
    else:
        model = booster.CatBoostClassifier(
            loss_function=objective, eval_metric=metric, iterations=10, **CATBOOST
        ).fit(X, y, sample_weight=w, use_best_model=False, **start)
        raw = model.predict(X_val, prediction_type="RawFormulaVal")
        raw += objective.start_score(y, w, classifier=True)
        best = next(iter(model.get_evals_result()["validation"].values()))[-1]
    raw = raw.astype(np.float64)
    rows = np.stack([-raw / 2, raw / 2], axis=1) if loss.is_multiclass else raw
    assert loss(y_val.astype(float), rows) == pytest.approx(best, rel=1e-4)
    constant = objective.start_score(y, w, classifier=True) * np.ones(len(raw))
    flat = np.stack([-constant / 2, constant / 2], axis=1) if loss.is_multiclass else constant
    assert best < 0.97 * loss(y_val.astype(float), flat)


@pytest.mark.parametrize("loss", [sl.LDAM(), sl.HalfMultinomialLoss(), sl.MulticlassFocal()])
def test_one_column_of_two_classes_has_the_derivatives_of_the_difference(loss):
    rng = np.random.RandomState(0)
    y, raw, step = rng.randint(2, size=40) * 1.0, 0.3 * rng.normal(size=40), 1e-5

    def value(margin):
        return loss.loss(y, np.stack([-margin / 2, margin / 2], axis=1))

    gradient, hessian = sl.as_objective(loss, "lightgbm", min_hessian=0.0)(y, raw)
    slope = (value(raw + step) - value(raw - step)) / (2 * step)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)
    bend = (value(raw + step) - 2 * value(raw) + value(raw - step)) / step**2
    np.testing.assert_allclose(hessian, np.maximum(bend, 0), rtol=1e-2, atol=1e-3)


def test_a_start_of_two_classes_is_that_of_both_losses():
    y = np.array([0.0, 0.0, 0.0, 1.0])
    for library in LIBRARIES:
        rows = sl.as_objective("multinomial", library)
        binary = sl.as_objective("log_loss", library)
        assert rows.start_score(y, classifier=True) == pytest.approx(np.log(1 / 3))
        assert binary.start_score(y) == pytest.approx(np.log(1 / 3))
        assert rows.start_score(y).shape == (2,)
    start = sl.as_objective("log_loss", "xgboost").start_params(y, classifier=True)
    assert start == {"base_score": pytest.approx(expit(np.log(1 / 3)))}


@every_library
def test_starts_that_do_not_fit_are_named(library):
    objective = sl.as_objective("poisson", library)
    y, sets = [1.0, 2.0], [([[0.0]], [1.0])]
    if library == "catboost":
        module(library)
    cases = [
        (r"eval_offset must be None where eval_set is None", {"eval_offset": [[0.0]]}),
        (r"offset and eval_offset must be given", {"eval_set": sets, "eval_offset": [[0.0]]}),
        (r"offset and eval_offset must be given", {"eval_set": sets, "offset": [0.0, 1.0]}),
        (
            r"eval_offset must hold one array for each of the 1 sets of eval_set; got 2",
            {"eval_set": sets, "offset": [0.0, 1.0], "eval_offset": [[0.0], [1.0]]},
        ),
        (
            r"eval_offset must have shape \(1,\); got \(2,\)",
            {"eval_set": sets, "offset": [0.0, 1.0], "eval_offset": [[0.0, 1.0]]},
        ),
        (r"eval_set must be a list of \(X, y\); got list in it", {"eval_set": [[1, 2]]}),
    ]
    for message, arguments in cases:
        with pytest.raises(ValueError, match=message):
            objective.start_params(y, **arguments)


@every_library
@pytest.mark.parametrize("make", [sl.as_objective, sl.as_metric], ids=lambda f: f.__name__)
def test_several_quantiles_are_refused_by_name(make, library):
    for values in ([0.1, 0.9], (0.5,), np.array([0.1, 0.5])):
        with pytest.raises(ValueError, match=r"one output; got PinballLoss with quantile=\[0"):
            make(sl.PinballLoss(quantile=values), library)
    with pytest.raises(ValueError, match=rf"\[{make.__name__}\(PinballLoss\(quantile=value\), "):
        make(sl.PinballLoss(quantile=[0.1, 0.9]), library)
