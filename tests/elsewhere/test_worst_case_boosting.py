"""Worst means of a pointwise loss boost with XGBoost and LightGBM: the derivatives are the worst
mean's, and what is trained is less at it than what is trained for the mean."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

import sklearn_losses as sl
from sklearn_losses.losses import ROBUST_MEANS

# LightGBM 4.7 renames it; earlier versions have no other.
pytestmark = pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
every_library = pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
WITHIN = ["squared_error", "huber", "absolute_error", "poisson", "log_loss"]
WORST = [cls("squared_error") for cls in ROBUST_MEANS] + [sl.CVaRLoss(loss) for loss in WITHIN[1:]]
WORST += [sl.CVaRLoss("huber", level=0.5), sl.ChiSquareRobustLoss(radius=0.1)]
every_worst = pytest.mark.parametrize("loss", WORST, ids=repr)


def module(library):
    return pytest.importorskip(library, reason=f"{library} is not installed")


def problem(loss, n=300, seed=0):
    """Features, targets with a small part that follows another rule, weights, and that part."""
    rng = np.random.RandomState(seed)
    X = rng.uniform(-1, 1, size=(n, 4))
    other = X[:, 3] > 0.7
    signal = np.where(other, -2 * X[:, 0], 2 * np.sin(3 * X[:, 0]))
    if loss.task == "binary":
        y = (signal + 1.5 * rng.normal(size=n) > 0).astype(float)
    elif loss.interval_y_true.low == 0:
        y = rng.poisson(np.exp(0.5 * signal + 1)).astype(float)
    else:
        y = signal + 0.3 * rng.normal(size=n)
    return X, y, rng.uniform(0.5, 2, n), other


def grouped(loss, y, other):
    """Targets as the loss itself takes them."""
    return sl.group_target(y, other) if isinstance(loss, sl.GroupRobustLoss) else y


def train(library, loss, X, y, weight=None, target=None, rounds=50, **more):
    """Raw predictions on the samples trained on, by the scikit-learn API."""
    booster, objective = module(library), sl.as_objective(loss, library)
    start = objective.start_params(y if target is None else target, weight)
    params = {"n_estimators": rounds, "learning_rate": 0.2, "max_depth": 3, "n_jobs": 1, **more}
    if library == "xgboost":
        model = booster.XGBRegressor(objective=objective, **params, **start)
        return model.fit(X, y, sample_weight=weight).predict(X).astype(np.float64)
    model = booster.LGBMRegressor(objective=objective, verbose=-1, **params)
    model.fit(X, y, sample_weight=weight, **start)
    return model.predict(X, raw_score=True) + objective.start_score(y, weight)


@every_library
@every_worst
def test_with_a_bound_derivatives_are_the_worst_means_own(loss, library):
    _, y, weight, other = problem(loss, n=40)
    target, raw = grouped(loss, y, other), np.random.RandomState(1).normal(size=40)
    objective = sl.as_objective(loss, library, min_hessian=0.0)
    gradient, hessian = objective(target, raw, weight)
    assert gradient.dtype == hessian.dtype == np.float32
    want = loss.gradient(target, raw, weight)
    np.testing.assert_allclose(gradient, want, rtol=1e-5, atol=1e-5)
    own = loss._within().gradient_hessian(y, raw, weight)[1]
    share = loss.worst_weights(target, raw, weight) * weight.sum() / weight
    np.testing.assert_allclose(hessian, own * np.maximum(share, 1), rtol=1e-5, atol=1e-6)
    # By differences of the worst mean, which has no kink at these raw predictions.
    step = 1e-6
    slopes = [
        (loss(target, raw + step * e, weight) - loss(target, raw - step * e, weight)) / (2 * step)
        for e in np.eye(40)[:10]
    ]
    np.testing.assert_allclose(gradient[:10] / weight.sum(), slopes, rtol=1e-4, atol=1e-6)


@every_library
@pytest.mark.parametrize("cls", ROBUST_MEANS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("within", ["squared_error", "huber", "absolute_error", "focal"])
def test_automatic_derivatives_are_those_of_the_loss_within_by_share(cls, within, library):
    loss = cls(within)
    _, y, weight, other = problem(loss)
    target, raw = grouped(loss, y, other), np.full(300, 50.0 if loss.task == "regression" else 0.3)
    share = loss.worst_weights(target, raw, weight) * weight.sum() / weight
    got = sl.as_objective(loss, library)(target, raw, weight)
    plain = sl.as_objective(within, library)(y, raw, weight)
    np.testing.assert_allclose(got[0], plain[0] * share, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got[1], plain[1] * np.maximum(share, 1), rtol=1e-5)
    assert np.isfinite(got).all() and (got[1] > 0).all()


@every_library
@pytest.mark.parametrize("loss", [
    sl.CVaRLoss(level=0.8), sl.CVaRLoss("huber", level=0.8), sl.ChiSquareRobustLoss(),
    sl.KLRobustLoss(), sl.TiltedLoss(tilt=2.0), sl.KLRobustLoss("log_loss"),
], ids=repr)  # fmt: skip
def test_what_is_boosted_for_the_worst_case_is_less_there(loss, library):
    X, y, weight, _ = problem(loss)
    raw = train(library, loss, X, y, weight)
    plain = train(library, loss._within(), X, y, weight)
    constant = np.full(len(y), loss.fit_intercept_only(y, weight))
    assert loss(y, raw, weight) < 0.97 * loss(y, plain, weight)
    assert loss(y, raw, weight) < 0.7 * loss(y, constant, weight)


@every_library
def test_targets_in_any_unit_give_the_same_model(library):
    X, y, weight, _ = problem(sl.CVaRLoss())
    one = train(library, sl.CVaRLoss("absolute_error", level=0.7), X, y, weight)
    for k in (2.0**17,) if library == "xgboost" else (2.0**-20, 2.0**17):
        raw = train(library, sl.CVaRLoss("absolute_error", level=0.7), X, k * y, weight)
        np.testing.assert_allclose(raw / k, one, rtol=1e-5, atol=1e-5)


def test_trees_of_one_leaf_stay_at_the_best_constant():
    loss = sl.ChiSquareRobustLoss(radius=0.3)
    _, y, weight, _ = problem(loss)
    raw = train("xgboost", loss, np.zeros((len(y), 1)), y, weight)
    np.testing.assert_allclose(raw, loss.fit_intercept_only(y, weight), atol=1e-4)


@every_library
def test_the_groups_of_a_data_set_are_those_of_the_loss(library):
    booster, loss = module(library), sl.GroupRobustLoss()
    X, y, weight, other = problem(loss, n=600)
    order = np.argsort(other, kind="stable")
    X, y, weight, other = (a[order] for a in (X, y, weight, other))
    target, sizes = sl.group_target(y, other), np.bincount(other)
    objective, metric = sl.as_objective(loss, library), sl.as_metric(loss, library)
    start, curve = objective.start_params(target), {}
    params = {"max_depth": 2, "learning_rate": 0.1, "seed": 0}

    def trained(objective, metric):
        if library == "xgboost":
            data = booster.DMatrix(X, y, group=sizes)
            model = booster.train(
                {"nthread": 1, "disable_default_eval_metric": True, **params, **start}, data, 60,
                obj=objective, custom_metric=metric, evals=[(data, "train")], evals_result=curve,
                verbose_eval=False,
            )  # fmt: skip
            return model.predict(data)
        data = booster.Dataset(X, y, group=sizes, **start)
        model = booster.train(
            {"verbose": -1, "metric": "None", "num_threads": 1, "objective": objective, **params},
            data, 60, valid_sets=[data], valid_names=["train"], feval=metric,
            callbacks=[booster.record_evaluation(curve)],
        )  # fmt: skip
        return model.predict(X, raw_score=True) + start["init_score"]

    plain = trained(
        sl.as_objective("squared_error", library), sl.as_metric("squared_error", library)
    )
    raw = trained(objective, metric)
    assert curve["train"]["group_robust"][-1] == pytest.approx(loss(target, raw), rel=1e-4)
    assert loss(target, raw) < 0.8 * loss(target, plain)
    X, y, _, other = problem(loss, n=600, seed=1)
    with pytest.raises(ValueError, match=r"GroupRobustLoss: the groups must be given: as sizes"):
        objective(y, np.zeros(600))
    with pytest.raises(ValueError, match=r"GroupRobustLoss: the groups must be given: as sizes"):
        metric(y, np.zeros(600))


@every_library
def test_offsets_evaluations_and_early_stopping_begin_at_the_same_start(library):
    booster, loss = module(library), sl.CVaRLoss("poisson", level=0.5)
    objective, metric = sl.as_objective(loss, library), sl.as_metric(loss, library)
    rng = np.random.RandomState(0)
    X, offset = rng.normal(size=(600, 3)), rng.normal(size=600)
    y = rng.poisson(np.exp(0.7 * X[:, 0] + offset)).astype(float)
    (X, X_val), (y, y_val), (offset, offset_val) = (np.split(a, 2) for a in (X, y, offset))
    best = objective.start_score(y, offset=offset)
    assert best == pytest.approx(loss.fit_intercept_only(y, offset=offset))
    start = objective.start_params(
        y, offset=offset, eval_set=[(X_val, y_val)], eval_offset=[offset_val]
    )
    params = {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 2, "n_jobs": 1}
    if library == "xgboost":
        model = booster.XGBRegressor(
            objective=objective, eval_metric=metric, early_stopping_rounds=10, **params
        ).fit(X, y, eval_set=[(X_val, y_val)], verbose=False, **start)
        raw = model.predict(X_val, base_margin=best + offset_val, output_margin=True)
        score = model.best_score
    else:
        model = booster.LGBMRegressor(objective=objective, metric="None", verbose=-1, **params)
        model.fit(
            X, y, eval_set=[(X_val, y_val)], eval_metric=metric, **start,
            callbacks=[booster.early_stopping(10, verbose=False)],
        )  # fmt: skip
        raw = best + offset_val + model.predict(X_val, raw_score=True)
        score = next(iter(model.best_score_.values()))["cvar"]
    assert loss(y_val, raw.astype(np.float64)) == pytest.approx(score, rel=1e-4)
    assert score < 0.95 * loss(y_val, best + offset_val)


@every_library
def test_objectives_are_cloned_pickled_and_shown(library):
    _, y, weight, _ = problem(sl.CVaRLoss())
    thing = sl.as_objective(sl.CVaRLoss("huber", level=0.7), library, min_hessian=0.5)
    want = thing(y, y + 1, weight)
    for other in (clone(thing), pickle.loads(pickle.dumps(thing))):
        assert other == thing and hash(other) == hash(thing)
        np.testing.assert_array_equal(other(y, y + 1, weight), want)
    assert repr(thing).startswith("as_objective(CVaRLoss(level=0.7, loss='huber'), library=")
    assert thing.min_hessian_ == 0.5 and (want[1] >= np.float32(0.5 * weight)).all()
    with pytest.raises(ValueError, match=r"min_hessian must be a number in \[0, inf\)"):
        sl.as_objective(sl.CVaRLoss(), library, min_hessian=-1)
    with pytest.raises(ValueError, match=r"must be pointwise, of one raw prediction a sample"):
        sl.as_objective(sl.CVaRLoss("multinomial"), library)
    with pytest.raises(ValueError, match=r"raw must be True for CVaRLoss"):
        sl.as_metric(sl.CVaRLoss(), library, raw=False)


def test_catboost_hands_over_a_part_of_the_samples():
    for make in (sl.as_objective, sl.as_metric):
        with pytest.raises(ValueError, match=r"a loss of all samples together; got 'catboost'"):
            make(sl.CVaRLoss(), "catboost")
