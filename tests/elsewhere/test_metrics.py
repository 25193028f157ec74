"""Every loss as a metric and as a scorer: the numbers of the loss itself and of scikit-learn's
metrics, wherever scikit-learn takes a scorer."""

import ctypes
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn import metrics
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_classification, make_regression
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.inspection import permutation_importance
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    QuantileRegressor,
    RidgeClassifierCV,
    RidgeCV,
)
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

import sklearn_losses as sl
from sklearn_losses.links import Interval, LogitLink
from sklearn_losses.losses import POINTWISE, REDUCED, ROWWISE

UNIT = Interval(0, 1, True, True)
OWN = {
    "own": sl.FunctionLoss(lambda y, raw: (raw - y) ** 4, lambda y, raw: 4 * (raw - y) ** 3),
    "own binary": sl.FunctionLoss(
        lambda y, raw: np.logaddexp(0, raw) - y * raw,
        lambda y, raw: 1 / (1 + np.exp(-raw)) - y,
        link=LogitLink(),
        interval_y_true=UNIT,
        task="binary",
    ),
}
# Those of distributions, ordered classes and all samples together have tests of their own.
EVERY = {cls.name: cls() for cls in [*POINTWISE, *ROWWISE, *REDUCED]} | OWN
every_loss = pytest.mark.parametrize("loss", EVERY.values(), ids=EVERY)


def sample(loss, n=60, seed=0):
    """Targets, raw predictions that the link tells apart, weights."""
    rng = np.random.RandomState(seed)
    weight = rng.uniform(0.5, 2, n)
    if loss.is_multiclass:
        return rng.randint(3, size=n).astype(float), rng.normal(size=(n, 3)), weight
    y = rng.randint(2, size=n) if loss.task == "binary" else rng.gamma(2, size=n)
    return y.astype(float), rng.uniform(-0.9, 0.9, size=n), weight


def problem(loss):
    """An estimator that has what the loss judges, and data whose classes are strings."""
    if loss.task == "regression":
        X, y = make_regression(120, 4, noise=10, random_state=0)
        log_link = not loss.interval_y_pred.includes([-2.0])
        return (
            (sl.SGDRegressorX("poisson", random_state=0) if log_link else LinearRegression()),
            X,
            abs(y) / 50,
        )
    n_classes = 3 if loss.is_multiclass else 2
    X, y = make_classification(
        150, 5, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=0
    )
    return LogisticRegression(), X, np.array(["low", "mid", "top"])[y]


@every_loss
def test_mean_loss_is_the_loss_in_either_space(loss):
    y, raw, weight = sample(loss)
    for w in (None, weight):
        want = loss(y, raw, w)
        assert sl.mean_loss(y, raw, loss=loss, sample_weight=w, raw=True) == want
        got = sl.mean_loss(y, loss.predict(raw), loss=loss, sample_weight=w)
        assert got == pytest.approx(want, rel=1e-10)
    if loss.name:
        assert sl.mean_loss(y, raw, loss=loss.name, raw=True) == loss(y, raw)
    if loss.task == "binary" and loss.gives_probability:
        p = loss.predict(raw)
        assert sl.mean_loss(y, np.c_[1 - p, p], loss=loss) == sl.mean_loss(y, p, loss=loss)


@every_loss
def test_the_skill_of_the_best_constant_is_0_and_a_loss_of_0_has_skill_1(loss):
    y, raw, weight = sample(loss)
    bound = loss._for_classes(3) if loss.is_multiclass else loss
    for w in (None, weight):
        best = np.full(raw.shape, bound.fit_intercept_only(y, w))
        skill = sl.d2_loss_score(y, best, loss=loss, sample_weight=w, raw=True)
        assert skill == pytest.approx(float(loss.name == "perceptron"))  # 0 at 0
        score = sl.d2_loss_score(y, raw, loss=loss, sample_weight=w, raw=True)
        assert score < 0.99
        again = sl.d2_loss_score(y, loss.predict(raw), loss=loss, sample_weight=w)
        assert again == pytest.approx(score)
    if loss.task == "regression":
        perfect = loss.link.link(y)
    elif loss.is_multiclass:
        perfect = 60 * np.eye(3)[y.astype(int)]
    else:
        perfect = 60 * (2 * y - 1)
    if loss.name != "ldam":  # its margins count into the scale
        assert sl.d2_loss_score(y, perfect, loss=loss, raw=True) == pytest.approx(1)


@every_loss
def test_every_loss_scores_a_search_and_a_cross_validation(loss):
    estimator, X, y = problem(loss)
    scorer = loss.as_scorer()
    folds = KFold(3, shuffle=True, random_state=0)
    result = cross_validate(
        estimator,
        X,
        y,
        cv=folds,
        scoring={"loss": scorer, "other": sl.make_loss_scorer(loss)},
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for i, fitted in enumerate(result["estimator"]):
        test = result["indices"]["test"][i]
        if loss.task == "regression":
            want = loss(y[test], loss.link.link(fitted.predict(X[test])))
        else:
            codes = np.searchsorted(fitted.classes_, y[test])
            raw = fitted.decision_function(X[test])
            if loss.gives_probability and not loss.in_y_pred_range([0.0]):  # one to one
                proba = fitted.predict_proba(X[test])
                raw = loss.link.link(proba if loss.is_multiclass else proba[:, 1])
            want = loss(codes, raw)
        assert result["test_loss"][i] == pytest.approx(-want, rel=1e-9)
    np.testing.assert_array_equal(result["test_loss"], result["test_other"])
    grid = {"fit_intercept": [True, False]}
    search = GridSearchCV(estimator, grid, scoring=scorer, cv=folds, error_score="raise")
    assert search.fit(X, y).best_score_ >= result["test_loss"].mean() - 1e-12
    assert search.score(X, y) == scorer(search, X, y)


@every_loss
def test_weights_reach_the_scorer_and_count_as_repetitions(loss):
    estimator, X, y = problem(loss)
    estimator.fit(X, y)
    weight = np.random.RandomState(0).randint(1, 4, size=len(y))
    scorer = loss.as_scorer()
    repeated = scorer(estimator, np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert scorer(estimator, X, y, sample_weight=weight) == pytest.approx(repeated, rel=1e-10)


@every_loss
def test_a_scorer_is_cloned_pickled_and_shown(loss):
    scorer = loss.as_scorer()
    estimator, X, y = problem(loss)
    estimator.fit(X, y)
    copies = [clone(scorer, safe=False)]
    if loss.name:  # functions made on the spot have no pickle
        copies.append(pickle.loads(pickle.dumps(scorer)))
    for copy in copies:
        assert copy is not scorer
        assert copy(estimator, X, y) == scorer(estimator, X, y)
    assert repr(scorer) == f"make_loss_scorer({loss!r})"


def test_a_scorer_of_c_functions_is_cloned():
    signature = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double, ctypes.c_void_p)
    loss = sl.CompiledLoss(
        signature(lambda y, raw, data: abs(raw - y)), signature(lambda y, raw, data: raw - y)
    )
    X, y = load_diabetes(return_X_y=True)
    result = cross_validate(DummyRegressor(), X, y, scoring=clone(loss.as_scorer(), safe=False))
    want = cross_validate(DummyRegressor(), X, y, scoring="neg_mean_absolute_error")
    np.testing.assert_allclose(result["test_score"], want["test_score"])


# Our loss -> scikit-learn's metric in terms of y_true, y_pred, sample_weight.
REGRESSION = {
    "mse": metrics.mean_squared_error,
    "absolute_error": metrics.mean_absolute_error,
    "mape": metrics.mean_absolute_percentage_error,
    "msle": metrics.mean_squared_log_error,
    "root_mean_squared_error": metrics.root_mean_squared_error,
}


@pytest.mark.parametrize("weighted", [False, True])
def test_means_are_those_of_scikit_learns_metrics(weighted):
    rng = np.random.RandomState(0)
    y, y_pred = rng.gamma(2, size=200), rng.gamma(2, size=200)
    w = rng.uniform(size=200) if weighted else None

    def ours(loss, y=y, y_pred=y_pred, **kwargs):
        return sl.mean_loss(y, y_pred, loss=loss, sample_weight=w, **kwargs)

    for name, metric in REGRESSION.items():
        assert ours(name) == pytest.approx(metric(y, y_pred, sample_weight=w))
    pinball = metrics.mean_pinball_loss(y, y_pred, alpha=0.8, sample_weight=w)
    assert ours(sl.PinballLoss(0.8)) == pytest.approx(pinball)
    for loss, power in (("poisson", 1), ("gamma", 2), (sl.HalfTweedieLoss(1.3), 1.3)):
        constant = np.average(sl.get_loss(loss).constant_to_optimal_zero(y), weights=w)
        deviance = metrics.mean_tweedie_deviance(y, y_pred, power=power, sample_weight=w)
        assert 2 * (ours(loss) + constant) == pytest.approx(deviance)

    labels = np.array(["no", "yes"])
    codes, p = rng.randint(2, size=200), rng.uniform(size=200)
    p[:4] = [0, 0, 1, 1]  # clipped, as scikit-learn clips
    codes[:4] = [0, 1, 0, 1]
    proba = np.c_[1 - p, p]
    for dtype in (np.float64, np.float32):
        got = ours("log_loss", labels[codes], proba.astype(dtype), labels=labels)
        want = metrics.log_loss(labels[codes], proba.astype(dtype), sample_weight=w)
        assert got == pytest.approx(want, rel=1e-6 if dtype == np.float32 else 1e-12)
    brier = metrics.brier_score_loss(codes, p, sample_weight=w)
    assert ours("brier", codes, p) == pytest.approx(brier)
    margin = rng.normal(size=200)
    hinge = metrics.hinge_loss(codes, margin, sample_weight=w)
    assert ours("hinge", codes, margin) == pytest.approx(hinge)

    codes, scores = rng.randint(3, size=200), rng.normal(size=(200, 3))
    proba = sl.HalfMultinomialLoss().predict(scores)
    want = metrics.log_loss(codes, proba, sample_weight=w)
    assert ours("multinomial", codes, proba) == pytest.approx(want)
    want = metrics.hinge_loss(codes, scores, sample_weight=w)
    assert ours("multiclass_hinge", codes, scores) == pytest.approx(want)


@pytest.mark.parametrize("weighted", [False, True])
def test_skills_are_those_of_scikit_learns_metrics(weighted):
    rng = np.random.RandomState(1)
    y, y_pred = rng.gamma(2, size=201), rng.gamma(2, size=201)
    w = rng.randint(1, 4, size=201).astype(float) if weighted else None

    def ours(loss, y=y, y_pred=y_pred, **kwargs):
        return sl.d2_loss_score(y, y_pred, loss=loss, sample_weight=w, **kwargs)

    for name in ("squared_error", "mse"):
        assert ours(name) == pytest.approx(metrics.r2_score(y, y_pred, sample_weight=w))
    want = metrics.d2_absolute_error_score(y, y_pred, sample_weight=w)
    assert ours("absolute_error") == pytest.approx(want)
    want = metrics.d2_pinball_score(y, y_pred, alpha=0.9, sample_weight=w)
    assert ours(sl.PinballLoss(0.9)) == pytest.approx(want)
    for power in (0, 1, 1.5, 2, 3):
        want = metrics.d2_tweedie_score(y, y_pred, power=power, sample_weight=w)
        assert ours(sl.HalfTweedieLoss(power)) == pytest.approx(want)
    codes = rng.randint(3, size=201)
    proba = rng.dirichlet([2, 1, 1], size=201)
    want = metrics.d2_log_loss_score(codes, proba, sample_weight=w)
    assert ours("multinomial", codes, proba) == pytest.approx(want)
    binary = (codes > 0).astype(int)
    p = rng.uniform(size=201)
    want = metrics.d2_log_loss_score(binary, np.c_[1 - p, p], sample_weight=w)
    assert ours("log_loss", binary, p) == pytest.approx(want)
    if hasattr(metrics, "d2_brier_score"):  # scikit-learn 1.8
        want = metrics.d2_brier_score(binary, p, sample_weight=w)
        assert ours("brier", binary, p) == pytest.approx(want)


def test_a_skill_without_spread_is_1_or_0_and_of_one_sample_undefined():
    for name in ("squared_error", "poisson", "absolute_error"):
        same = np.full(7, 3.3)
        assert sl.d2_loss_score(same, same, loss=name) == 1
        assert sl.d2_loss_score(same, same + 1, loss=name) == 0
    with pytest.warns(UndefinedMetricWarning, match="less than two samples"):
        assert np.isnan(sl.d2_loss_score([1.0], [2.0], loss="mse"))


def test_a_quantile_is_tuned_on_its_own_pinball_loss():
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(300, 1))
    y = X[:, 0] + rng.gumbel(size=300)
    for quantile in (0.1, 0.9):
        grid = {"quantile": [0.1, 0.5, 0.9]}
        scorer = sl.PinballLoss(quantile).as_scorer()
        search = GridSearchCV(QuantileRegressor(alpha=0), grid, scoring=scorer).fit(X, y)
        assert search.best_params_ == {"quantile": quantile}


def test_weights_are_passed_by_a_search_with_and_without_metadata_routing():
    X, y = load_diabetes(return_X_y=True)
    weight = np.random.RandomState(0).uniform(size=len(y))
    plain = sl.make_loss_scorer("mse")
    theirs = "neg_mean_squared_error"

    def scores(scorer, estimator):
        search = GridSearchCV(estimator, {"fit_intercept": [True]}, scoring=scorer, cv=3)
        return search.fit(X, y, sample_weight=weight).cv_results_["mean_test_score"]

    want = scores(theirs, LinearRegression())
    np.testing.assert_allclose(scores(plain, LinearRegression()), want)
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = LinearRegression().set_fit_request(sample_weight=True)
        ignore = sl.make_loss_scorer("mse").set_score_request(sample_weight=False)
        use = clone(sl.make_loss_scorer("mse").set_score_request(sample_weight=True), safe=False)
        reference = metrics.get_scorer(theirs).set_score_request(sample_weight=True)
        np.testing.assert_allclose(scores(use, estimator), scores(reference, estimator))
        assert not np.allclose(scores(ignore, estimator), scores(use, estimator))


def test_scikit_learns_consumers_take_a_scorer():
    X, y = load_diabetes(return_X_y=True)
    alphas = [0.01, 0.1, 1, 10]
    for cv in (None, 3):
        ours = RidgeCV(alphas, scoring=sl.make_loss_scorer("absolute_error"), cv=cv).fit(X, y)
        theirs = RidgeCV(alphas, scoring="neg_mean_absolute_error", cv=cv).fit(X, y)
        assert ours.alpha_ == theirs.alpha_
        assert ours.best_score_ == pytest.approx(theirs.best_score_)
    model = LinearRegression().fit(X, y)
    settings = {"n_repeats": 2, "random_state": 0}
    ours = permutation_importance(model, X, y, scoring=sl.make_loss_scorer("mse"), **settings)
    theirs = permutation_importance(model, X, y, scoring="neg_mean_squared_error", **settings)
    np.testing.assert_allclose(ours.importances, theirs.importances)
    boosting = HistGradientBoostingRegressor(
        early_stopping=True,
        scoring=sl.make_loss_scorer("mse"),
        max_iter=5,
        random_state=0,
    ).fit(X, y)
    reference = clone(boosting).set_params(scoring="neg_mean_squared_error").fit(X, y)
    np.testing.assert_allclose(boosting.validation_score_, reference.validation_score_)

    X, y = load_iris(return_X_y=True)
    labels = np.array(["a", "b", "c"])[y]
    settings = {"Cs": [0.1, 1], "cv": 3, "l1_ratios": (0,), "use_legacy_attributes": False}
    if "use_legacy_attributes" not in LogisticRegressionCV().get_params():
        settings.pop("use_legacy_attributes")
    ours = LogisticRegressionCV(scoring=sl.make_loss_scorer("multinomial"), **settings)
    theirs = LogisticRegressionCV(scoring="neg_log_loss", **settings)
    np.testing.assert_allclose(
        ours.fit(X, labels).predict_proba(X), theirs.fit(X, labels).predict_proba(X)
    )
    ridge = RidgeClassifierCV(alphas, scoring=sl.make_loss_scorer("multiclass_hinge"))
    assert ridge.fit(X, labels).alpha_ == 0.01  # the largest margins


@pytest.mark.parametrize("wrap", [list, np.asarray, pd.Series], ids=["list", "ndarray", "Series"])
@pytest.mark.parametrize(
    "labels", [["no", "yes"], [False, True], [-1, 1], [3, 7]], ids=["text", "bool", "sign", "int"]
)
def test_labels_of_any_type_are_encoded_through_classes(labels, wrap):
    X, codes = make_classification(100, random_state=0)
    y = wrap([labels[code] for code in codes])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    want = metrics.get_scorer("neg_log_loss")(model, X, y)
    for name in ("log_loss", "multinomial"):
        assert sl.make_loss_scorer(name)(model, X, y) == pytest.approx(want)
    # One class alone in the test part is still the class that it is.
    one = np.flatnonzero(codes == 1)[:5]
    part = wrap([labels[1]] * 5)
    p = model.predict_proba(X[one])[:, 1]
    assert sl.make_loss_scorer("log_loss")(model, X[one], part) == pytest.approx(np.log(p).mean())


def test_probabilities_of_0_and_1_are_clipped_and_other_impossible_predictions_refused():
    X, y = make_classification(60, flip_y=0.3, random_state=0)
    forest = RandomForestClassifier(5, random_state=0).fit(X[:30], y[:30])
    assert (forest.predict_proba(X) == 0).any()
    want = metrics.get_scorer("neg_log_loss")(forest, X, y)
    assert sl.make_loss_scorer("log_loss")(forest, X, y) == pytest.approx(want)
    assert sl.make_loss_scorer("multinomial")(forest, X, y) == pytest.approx(want)
    # Modified Huber has no decision function to judge here, and takes probabilities as they are.
    p = forest.predict_proba(X)[:, 1]
    want = -sl.ModifiedHuber()(y, 2 * p - 1)
    assert sl.make_loss_scorer("modified_huber")(forest, X, y) == pytest.approx(want)

    for y_pred, loss, message in [
        ([1.0, 0.0], "poisson", r"HalfPoissonLoss: y_pred must lie in \(0, inf\); got 0.0 at ind"),
        ([-2.0, 1.0], "msle", r"y_pred must lie in \(-1, inf\); got -2.0 at index 0"),
        ([0.5, 1.5], "log_loss", r"y_pred must be probabilities, in \[0, 1\]; got 1.5 at index 1"),
        ([0.5, np.nan], "log_loss", r"y_pred must be finite; got nan at index 1"),
        ([[0.5, 0.4], [1, 0]], "multinomial", r"y_pred must have rows that sum to 1; got 0.9 at"),
        ([[0.5, 0.5], [1, 0]], "mse", r"y_pred must have shape \(n_samples,\); got \(2, 2\)"),
        (np.ones((2, 3)) / 3, "log_loss", r"shape \(n_samples,\) or \(n_samples, 2\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            sl.mean_loss([1.0, 1.0], y_pred, loss=loss)


def test_what_a_scorer_cannot_judge_is_said():
    X, y = load_iris(return_X_y=True)
    three = LogisticRegression(max_iter=1000).fit(X, y)
    with pytest.raises(ValueError, match=r"HalfBinomialLoss: labels must hold 2 classes; got 3"):
        sl.make_loss_scorer("log_loss")(three, X, y)
    with pytest.raises(ValueError, match=r"y_true must hold labels of labels=\[0, 1, 2\]; got 9"):
        sl.make_loss_scorer("multinomial")(three, X, np.where(y == 2, 9, y))
    with pytest.raises(AttributeError, match=r"LinearSVC has no predict_proba, which HalfBinom"):
        sl.make_loss_scorer("log_loss")(LinearSVC().fit(X[:100], y[:100]), X[:100], y[:100])
    ovo = SVC(decision_function_shape="ovo").fit(np.r_[X, X + 9], np.r_[y, y + 3])
    with pytest.raises(ValueError, match=r"y_pred must have 6 columns, one a label; got shape"):
        sl.make_loss_scorer("multiclass_hinge")(ovo, X, y)
    with pytest.raises(ValueError, match=r"response_method must be one of"):
        sl.make_loss_scorer("mse", response_method="score")
    with pytest.raises(ValueError, match=r"did you mean 'huber'"):
        sl.make_loss_scorer("hubber")
    with pytest.raises(ValueError, match=r"labels must be None for a regression loss"):
        sl.mean_loss([1.0], [1.0], loss="mse", labels=["a"])


def test_the_judged_method_can_be_chosen():
    X, y = make_classification(100, random_state=0)
    svm = LinearSVC().fit(X, y)
    loss = sl.HalfBinomialLoss()
    scorer = loss.as_scorer(response_method="decision_function")
    assert scorer(svm, X, y) == pytest.approx(-loss(y, svm.decision_function(X)))
    assert repr(scorer) == (
        "make_loss_scorer(HalfBinomialLoss(), response_method='decision_function')"
    )
    # A regressor of probabilities.
    regressor = DummyRegressor().fit(X, y)
    want = -metrics.log_loss(y, np.full(100, y.mean()))
    assert sl.make_loss_scorer("log_loss")(regressor, X, y) == pytest.approx(want)
    # Scores of more than two classes, margins of two.
    X, y = load_iris(return_X_y=True)
    one_vs_rest = OneVsRestClassifier(LinearSVC()).fit(X, y)
    want = -metrics.hinge_loss(y, one_vs_rest.decision_function(X))
    assert sl.make_loss_scorer("multiclass_hinge")(one_vs_rest, X, y) == pytest.approx(want)
    svm = LinearSVC().fit(X[:100], y[:100])
    margin = svm.decision_function(X[:100])
    want = -sl.MulticlassHinge()(y[:100], np.c_[np.zeros(100), margin])
    assert sl.make_loss_scorer("multiclass_hinge")(svm, X[:100], y[:100]) == pytest.approx(want)
