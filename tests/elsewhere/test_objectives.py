"""Every loss boosts with XGBoost, LightGBM and CatBoost, through both APIs of each."""

import copy
import ctypes
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import sklearn_losses as sl
from sklearn_losses.links import Interval, LogitLink
from sklearn_losses.losses import LOSSES, ORDINAL, REDUCED
from sklearn_losses.losses.rowwise import softmax_hessian_product
from sklearn_losses.objectives import METRICS, OBJECTIVES

# LightGBM 4.7 renames it; earlier versions have no other.
pytestmark = pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
UNIT = Interval(0, 1, True, True)
SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double, ctypes.c_void_p)
OWN = {
    "own": sl.FunctionLoss(
        lambda y, raw: np.abs(raw - y) ** 1.5,
        lambda y, raw: 1.5 * np.sqrt(np.abs(raw - y)) * np.sign(raw - y),
    ),
    "own binary": sl.FunctionLoss(
        lambda y, raw: np.logaddexp(0, raw) - y * raw,
        lambda y, raw: expit(raw) - y,
        link=LogitLink(),
        interval_y_true=UNIT,
        task="binary",
    ),
    "own compiled": sl.CompiledLoss(
        SIGNATURE(lambda y, raw, data: (raw - y) ** 2 / 2),
        SIGNATURE(lambda y, raw, data: raw - y),
    ),
}
BOOSTED = [cls for cls in [*LOSSES.values(), *ORDINAL] if cls not in (*REDUCED, sl.CumulativeLink)]
TRAINABLE = {cls.name: cls() for cls in BOOSTED} | OWN
LIBRARIES = list(OBJECTIVES)
every_loss = pytest.mark.parametrize("loss", TRAINABLE.values(), ids=TRAINABLE)
every_library = pytest.mark.parametrize("library", LIBRARIES)


def module(library):
    return pytest.importorskip(library, reason=f"{library} is not installed")


def problem(loss, n=240, seed=0):
    """Data that trees can learn, weights, and two thirds of the rows that are for training."""
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, 4))
    signal = 1.5 * np.sign(X[:, 0]) + X[:, 1]
    if loss.is_multiclass:
        y = np.digitize(signal + 0.3 * rng.normal(size=n), [-1, 1]).astype(float)
    elif loss.task == "binary":
        y = (signal + 0.3 * rng.normal(size=n) > 0).astype(float)
    else:
        y = 0.2 + np.abs(2 + signal + 0.3 * rng.normal(size=n))
    return X, y, rng.uniform(0.5, 2, n)


CATBOOST = {
    "verbose": 0,
    "allow_writing_files": False,
    "random_seed": 0,
    "bootstrap_type": "No",
    "random_strength": 0,
    "thread_count": 2,
}


def train_xgboost(native, loss, objective, metric, X, y, weight, rounds):
    xgboost = module("xgboost")
    start = objective.start_params(y, weight)
    params = {"max_depth": 3, "min_child_weight": 1e-3, "n_jobs": 2, **start}
    if loss.is_multiclass:
        params |= {"num_class": 3, "disable_default_eval_metric": True}
    if native:
        params["nthread"] = params.pop("n_jobs")
        data, curve = xgboost.DMatrix(X, y, weight=weight), {}
        model = xgboost.train(
            params,
            data,
            rounds,
            obj=objective,
            custom_metric=metric,
            evals=[(data, "train")],
            evals_result=curve,
            verbose_eval=False,
        )
        return model.predict(data, output_margin=True), curve["train"][metric.__name__]
    model = xgboost.XGBRegressor(
        objective=objective, eval_metric=metric, n_estimators=rounds, **params
    ).fit(
        X,
        y,
        sample_weight=weight,
        eval_set=[(X, y)],
        verbose=False,
        sample_weight_eval_set=None if weight is None else [weight],
    )
    curve = model.evals_result()["validation_0"][metric.__name__]
    return model.predict(X, output_margin=True), curve


def train_lightgbm(native, loss, objective, metric, X, y, weight, rounds):
    lightgbm = module("lightgbm")
    start = objective.start_params(y, weight)
    params = {"max_depth": 3, "verbose": -1, "metric": "None", "n_jobs": 2, "learning_rate": 0.3}
    if loss.is_multiclass:
        params["num_class"] = 3
    if native:
        data, curve = lightgbm.Dataset(X, y, weight=weight, **start), {}
        model = lightgbm.train(
            {**params, "objective": objective},
            data,
            rounds,
            valid_sets=[data],
            valid_names=["train"],
            feval=metric,
            callbacks=[lightgbm.record_evaluation(curve)],
        )
        curve = curve["train"]
    else:
        model = lightgbm.LGBMRegressor(objective=objective, n_estimators=rounds, **params)
        model.fit(
            X,
            y,
            sample_weight=weight,
            **start,
            eval_set=[(X, y)],
            eval_names=["train"],
            eval_sample_weight=None if weight is None else [weight],
            eval_init_score=[*start.values()],
            eval_metric=metric,
        )
        curve = model.evals_result_["train"]
    raw = objective.start_score(y, weight) + model.predict(X, raw_score=True)
    return raw, curve[metric.__name__]


def train_catboost(native, loss, objective, metric, X, y, weight, rounds):
    catboost = module("catboost")
    start = objective.start_params(y, weight)
    params = {
        **CATBOOST,
        "depth": 3,
        "iterations": rounds,
        "learning_rate": 0.3,
        "loss_function": objective,
        "eval_metric": metric,
    }
    if loss.is_multiclass:
        params["classes_count"] = 3
    data = catboost.Pool(X, y, weight=weight, **start)
    if native:
        model = catboost.train(data, {**params})
    elif loss.is_multiclass:
        model = catboost.CatBoostClassifier(**params).fit(X, y, sample_weight=weight, **start)
    else:
        model = catboost.CatBoostRegressor(**params).fit(X, y, sample_weight=weight, **start)
    [curve] = model.get_evals_result()["learn"].values()
    raw = objective.start_score(y, weight) + model.predict(X, prediction_type="RawFormulaVal")
    return raw, curve


TRAIN = {"xgboost": train_xgboost, "lightgbm": train_lightgbm, "catboost": train_catboost}


@every_library
@every_loss
def test_every_loss_is_boosted_by_both_apis_and_its_metric_is_its_mean(loss, library):
    module(library)
    X, y, weight = problem(loss)
    objective, metric = sl.as_objective(loss, library), sl.as_metric(loss, library)
    results = [
        TRAIN[library](native, loss, objective, metric, X, y, weight, rounds=8)
        for native in (False, True)
    ]
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6, atol=1e-6)
    start = objective.start_score(y, weight)
    before = loss(y, np.full((len(y), *np.shape(start)), start), weight)
    for raw, curve in results:
        after = loss(y, np.asarray(raw, dtype=np.float64), weight)
        assert curve[-1] == pytest.approx(after, rel=2e-5, abs=1e-6)
        if loss.name == "perceptron":  # its loss is 0 at the start, where nothing is separated
            assert np.mean((raw > 0) == y) > 0.9
        else:
            assert after < before - 0.2 * abs(before - curve[0])
            assert curve[-1] < curve[0] < before


def count_problem(seed=0, n=300):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, 4))
    mean = np.exp(0.5 * X[:, 0] + 0.3 * np.sign(X[:, 1]))
    return X, rng.gamma(2, mean / 2) + 0.01, rng.uniform(0.5, 2, n)


# ---------------------------------------------------------------------- what the objectives promise


@every_loss
def test_derivatives_stand_in_the_layout_that_each_library_consumes(loss):
    _, y, weight = problem(loss, n=50)
    rng = np.random.RandomState(0)
    raw = rng.normal(size=(50, 3) if loss.is_multiclass else 50)
    want_gradient, want_hessian = loss.gradient_hessian(y, raw, weight)
    for library, order, factor in (("xgboost", "C", 2), ("lightgbm", "F", 1.5)):
        objective = sl.as_objective(loss, library, min_hessian=0.1)
        least = 0.1 * weight
        if loss.is_multiclass:
            hessian = np.maximum(want_hessian * factor, least[:, np.newaxis])
        else:
            hessian = np.maximum(want_hessian, least)
        gradient, got = objective(y, np.asarray(raw, order=order), weight)
        for array in (gradient, got):
            assert array.dtype == np.float32 and array.shape == raw.shape
            assert array.flags[f"{order}_CONTIGUOUS"]
        np.testing.assert_allclose(gradient, want_gradient, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(got, hessian, rtol=1e-6, atol=1e-7)
    objective = sl.as_objective(loss, "catboost", min_hessian=0.1)
    if not loss.is_multiclass:
        derivatives = objective.calc_ders_range(raw, y.astype(np.float32), weight)
        assert type(derivatives) is np.ndarray and derivatives.shape == (50, 2)
        hessian = np.maximum(want_hessian, 0.1 * weight)
        wide = loss.gradient_hessian(y.astype(np.float32), raw, weight)
        np.testing.assert_allclose(derivatives[:, 0], -wide[0], rtol=1e-12)
        np.testing.assert_allclose(derivatives[:, 1], -hessian, rtol=1e-5)
        return
    for i in range(5):
        gradient, hessian = objective.calc_ders_multi(raw[i], y[i], weight[i])
        np.testing.assert_allclose(gradient, -want_gradient[i], rtol=1e-12)
        assert np.linalg.eigvalsh(hessian).max() < 1e-12
        if loss.takes_probabilities:
            # The derivative of the gradient, by differences.
            step = 1e-6
            shifted = [raw[i] + sign * step * np.eye(3) for sign in (1, -1)]
            slopes = [loss.gradient(np.full(3, y[i]), rows) for rows in shifted]
            want = -weight[i] * (slopes[0] - slopes[1]) / (2 * step)
            np.testing.assert_allclose(hessian, want, rtol=1e-6, atol=1e-8)
        else:
            want = -np.maximum(2 * want_hessian[i], 0.1 * weight[i])
            np.testing.assert_allclose(np.diag(hessian), want, rtol=1e-12)


def test_the_softmax_hessian_is_the_product_of_its_matrix():
    rng = np.random.RandomState(0)
    p, v = softmax(rng.normal(size=(4, 3)), axis=1), rng.normal(size=(4, 3))
    for i in range(4):
        want = (np.diag(p[i]) - np.outer(p[i], p[i])) @ v[i]
        np.testing.assert_allclose(softmax_hessian_product(p, v)[i], want, atol=1e-15)


@every_library
@pytest.mark.parametrize("make", [sl.as_objective, sl.as_metric], ids=lambda f: f.__name__)
def test_objectives_and_metrics_are_copied_pickled_and_shown(make, library):
    thing = make(sl.HuberLoss(delta=2.0), library)
    for other in (clone(thing), copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        assert other == thing and other is not thing and other.loss is not thing.loss
        assert hash(other) == hash(thing)
    assert make("huber", library) != thing
    option = "min_hessian='auto'" if make is sl.as_objective else "raw=True"
    assert repr(thing) == f"{make.__name__}(HuberLoss(delta=2.0), library={library!r}, {option})"
    c_functions = make(OWN["own compiled"], library)
    assert copy.deepcopy(c_functions) == c_functions


def test_a_search_over_objectives_clones_and_pickles_its_models():
    xgboost = module("xgboost")
    lightgbm = module("lightgbm")
    X, y, _ = count_problem()
    for library, model in (
        ("xgboost", xgboost.XGBRegressor(n_estimators=3, n_jobs=1)),
        ("lightgbm", lightgbm.LGBMRegressor(n_estimators=3, n_jobs=1, verbose=-1)),
    ):
        grid = {"objective": [sl.as_objective(name, library) for name in ("mse", "huber")]}
        search = GridSearchCV(model, grid, cv=2, scoring=sl.make_loss_scorer("absolute_error"))
        search.fit(X, y)
        again = pickle.loads(pickle.dumps(search.best_estimator_))
        np.testing.assert_array_equal(again.predict(X), search.predict(X))


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_metric_beside_a_built_in_objective_takes_predictions(library):
    module(library)
    X, y, _ = count_problem()
    metric = sl.as_metric("poisson", library, raw=False)
    if library == "xgboost":
        model = module("xgboost").XGBRegressor(
            objective="count:poisson", eval_metric=metric, n_estimators=3
        )
        model.fit(X, y, eval_set=[(X, y)], verbose=False)
        curve = model.evals_result()["validation_0"]["poisson"]
    else:
        model = module("lightgbm").LGBMRegressor(
            objective="poisson", n_estimators=3, verbose=-1, metric="None"
        )
        model.fit(X, y, eval_set=[(X, y)], eval_metric=metric)
        curve = next(iter(model.evals_result_.values()))["poisson"]
    want = sl.mean_loss(y, model.predict(X), loss="poisson")
    assert curve[-1] == pytest.approx(want, rel=1e-5)


@every_library
def test_bad_arguments_are_named(library):
    for make in (sl.as_objective, sl.as_metric):
        with pytest.raises(ValueError, match=r"library must be one of \['xgboost', 'lightgbm'"):
            make("mse", "sklearn")
        with pytest.raises(ValueError, match=r"did you mean 'huber'"):
            make("hubber", library)
    with pytest.raises(ValueError, match=r"min_hessian must be 'auto' or a number; got 'none'"):
        sl.as_objective("mse", library, min_hessian="none")
    with pytest.raises(ValueError, match=r"min_hessian must be a number in \[0, inf\); got -1"):
        sl.as_objective("mse", library, min_hessian=-1)
    with pytest.raises(ValueError, match=r"HuberLoss: delta must be a number in \(0, inf\)"):
        sl.as_objective(sl.HuberLoss(delta=0), library)
    with pytest.raises(ValueError, match=r"squared_error' has the same minimiser"):
        sl.as_objective("root_mean_squared_error", library)
    objective = sl.as_objective("log_loss", library)
    y, raw = np.array([1.0, 2.0]), np.zeros(2)
    call = objective.calc_ders_range if library == "catboost" else objective
    arguments = (raw, y, None) if library == "catboost" else (y, raw)
    with pytest.raises(ValueError, match=r"y_true must lie in \[0, 1\]; got 2.0 at index 1"):
        call(*arguments)


def test_what_catboost_cannot_sum_is_said():
    with pytest.raises(ValueError, match=r"squared_error' has the same minimiser"):
        sl.as_metric("root_mean_squared_error", "catboost")
    with pytest.raises(ValueError, match=r"raw must be True for CatBoost"):
        sl.as_metric("mse", "catboost", raw=False)
    _, value, _ = sl.as_metric("root_mean_squared_error", "lightgbm")(np.zeros(2), np.array([1, 7]))
    assert value == 5.0


@every_library
def test_a_start_is_the_best_constant_as_the_library_takes_it(library):
    y, weight = np.array([0.0, 1.0, 2.0, 2.0]), np.array([1.0, 1.0, 1.0, 2.0])
    name = {"xgboost": "base_score", "lightgbm": "init_score", "catboost": "baseline"}[library]
    [(key, start)] = sl.as_objective("mse", library).start_params(y, weight).items()
    assert key == name
    np.testing.assert_allclose(start, 1.4 if library == "xgboost" else np.full(4, 1.4))
    objective = sl.as_objective("multinomial", library)
    [(key, start)] = objective.start_params(y, weight).items()
    row = np.log([0.2, 0.2, 0.6])
    row -= row.mean()
    assert key == name
    np.testing.assert_allclose(start, row if library == "xgboost" else np.tile(row, (4, 1)))
    assert METRICS[library](objective.loss).__name__ == "multinomial"


def test_a_module_without_torch_names_what_to_install():
    code = (
        "import sys, sklearn_losses; sys.modules['torch'] = None\n"
        "try:\n    sklearn_losses.as_torch('mse')\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert "as_torch needs PyTorch: pip install torch" in done.stdout, done.stderr
