"""Several targets in one model: what counts, what is predicted, what is refused, and scikit-learn's
rules. (Minima: tests/fit/test_multitask_minima.py.)"""

import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from sklearn_losses import HuberLoss, MultiTaskModel, PinballLoss, SGDRegressorX
from sklearn_losses.multitask import _fit

RNG = np.random.RandomState(0)
N, D = 60, 5
X = RNG.standard_normal((N, D)) * [1.0, 30.0, 0.02, 1.0, 1.0] + [0, 100, 1, 0, 0]
RAW = (X - X.mean(axis=0)) / X.std(axis=0) @ np.array([[1.0, 0.5, 0, 0, 0], [0.8, -1, 0, 0, 0]]).T
Y = RAW + 0.7 * RNG.standard_normal((N, 2)) + [0, 50]
MIXED = np.column_stack([Y[:, 0], np.where(RAW[:, 1] + RNG.logistic(size=N) > 0, 7.0, 3.0)])
LOSSES = ["squared_error", "log_loss"]
HOLES = MIXED.copy()
HOLES[:9, 0] = HOLES[5:20, 1] = np.nan


def same(a, b, tol=1e-6):
    size = np.abs(b.coef_ * b.feature_scale_).max()
    assert np.abs((a.coef_ - b.coef_) * b.feature_scale_).max() <= tol * size
    np.testing.assert_allclose(a.predict_raw(X), b.predict_raw(X), rtol=tol, atol=10 * tol * size)


@pytest.mark.parametrize(
    "model",
    [
        MultiTaskModel(),
        MultiTaskModel("huber", penalty="l2", fit_intercept=False),
        pytest.param(
            MultiTaskModel(penalty="l1", standardize=False, l1_ratio=0.5), marks=pytest.mark.slow
        ),
    ],
    ids=["default", "l2", "l1"],
)
def test_scikit_learns_checks_pass(model):
    check_estimator(model)


def test_units_of_features_and_targets_change_nothing():
    model = MultiTaskModel(alpha=0.1).fit(X, Y)
    units, of_y = np.array([1e-6, 1e5, 1.0, 1e3, 1e-2]), np.array([1e4, 1e-7])
    other = MultiTaskModel(alpha=0.1).fit(X * units + 3 * units, Y * of_y + of_y)
    np.testing.assert_allclose(other.coef_ * units / of_y[:, None], model.coef_, atol=1e-8)
    assert other.objective_ == pytest.approx(model.objective_, rel=1e-8)
    assert ((model.coef_ == 0).all(axis=0) == (other.coef_ == 0).all(axis=0)).all()


def test_the_scale_of_a_squared_error_is_the_standard_deviation_and_the_objective_what_is_said():
    model = MultiTaskModel(alpha=0.1, l1_ratio=0.7, task_weight=[2.0, 0.5]).fit(X, Y)
    np.testing.assert_allclose(model.task_scale_, Y.std(axis=0))
    np.testing.assert_allclose(model.feature_scale_, [X.std(axis=0)] * 2)
    np.testing.assert_allclose(model.null_loss_, Y.var(axis=0) / 2)
    rows = model.coef_ * model.feature_scale_ / model.task_scale_[:, None]
    loss = np.mean((Y - model.predict(X)) ** 2, axis=0) / 2
    objective = np.sum([2.0, 0.5] * loss / model.null_loss_) / 2
    objective += 0.1 * (0.7 * np.linalg.norm(rows, axis=0).sum() + 0.15 * np.sum(rows**2))
    assert model.objective_ == pytest.approx(objective, rel=1e-10)


@pytest.mark.parametrize("loss", ["log_loss", "poisson", "huber", "expectile"])
def test_the_slope_of_a_coefficient_at_0_is_a_correlation_for_every_loss(loss):
    y = (MIXED[:, 1] == 7.0) if loss == "log_loss" else np.exp(RAW[:, 0] / 2).round()
    largest = MultiTaskModel(loss, alpha=1.0).fit(X, y)
    assert not largest.coef_.any()
    shape = np.full(N, float(largest.intercept_))
    slope = largest.losses_[0].gradient(y.astype(float), shape)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    correlation = np.abs(z.T @ slope / N / np.sqrt(np.mean(slope**2))).max()
    assert 0.1 < correlation <= 1.0
    assert not MultiTaskModel(loss, alpha=1.0001 * correlation).fit(X, y).coef_.any()
    assert (MultiTaskModel(loss, alpha=0.999 * correlation).fit(X, y).coef_ != 0).sum() == 1


# ------------------------------------------------------------------------------------- what counts


@pytest.mark.parametrize("penalty", ["l1", "l2", "l21"])
def test_a_missing_target_does_not_count_for_its_task(penalty):
    model = MultiTaskModel(LOSSES, penalty=penalty, alpha=0.05, tol=1e-9).fit(X, HOLES)
    weight = (~np.isnan(HOLES)).astype(float)
    same(MultiTaskModel(LOSSES, penalty=penalty, alpha=0.05, tol=1e-9).fit(X, MIXED, weight), model)
    assert abs(model.coef_[0] - model.coef_[1]).max() > 0.1
    if penalty != "l21":
        for k, loss in enumerate(LOSSES):
            known = ~np.isnan(HOLES[:, k])
            alone = MultiTaskModel(loss, penalty=penalty, alpha=0.05, tol=1e-9)
            alone.fit(X[known], HOLES[known, k])
            np.testing.assert_allclose(alone.coef_, model.coef_[k], rtol=1e-6, atol=1e-9)
            assert alone.intercept_ == pytest.approx(model.intercept_[k], rel=1e-6)


def test_a_weight_of_2_is_two_copies_also_of_one_task():
    weight = RNG.randint(0, 4, size=N)
    kwargs = {"alpha": 0.05, "tol": 1e-9}
    copies = np.repeat(np.arange(N), weight)
    model = MultiTaskModel(LOSSES, **kwargs).fit(X, HOLES, weight)
    same(model, MultiTaskModel(LOSSES, **kwargs).fit(X[copies], HOLES[copies]))
    both = RNG.randint(0, 3, size=(N, 2))
    model = MultiTaskModel(LOSSES, **kwargs).fit(X, HOLES, both)
    rows = [np.repeat(np.arange(N), w) for w in both.T]
    y = np.full((len(rows[0]) + len(rows[1]), 2), np.nan)
    y[: len(rows[0]), 0], y[len(rows[0]) :, 1] = HOLES[rows[0], 0], HOLES[rows[1], 1]
    same(model, MultiTaskModel(LOSSES, **kwargs).fit(X[np.concatenate(rows)], y))


def test_task_weights_move_the_fit_towards_the_heavier_task():
    fits = [MultiTaskModel(alpha=0.1, task_weight=[w, 1.0]).fit(X, Y) for w in (0.2, 1.0, 5.0)]
    errors = [np.mean((Y - fit.predict(X)) ** 2, axis=0) for fit in fits]
    assert errors[0][0] > errors[1][0] > errors[2][0]


def test_sparse_rows_and_float32_give_the_same_model():
    thin = np.where(RNG.uniform(size=X.shape) < 0.6, 0.0, X)
    dense = MultiTaskModel(LOSSES, alpha=0.05, tol=1e-9).fit(thin, HOLES)
    for given, tol in ((sparse.csr_matrix(thin), 1e-8), (sparse.csr_array(thin), 1e-8)):
        model = MultiTaskModel(LOSSES, alpha=0.05, tol=1e-9).fit(given, HOLES)
        same(model, dense, tol)
        np.testing.assert_allclose(model.predict(given), dense.predict(thin), rtol=1e-6)
    single = MultiTaskModel(LOSSES, alpha=0.05).fit(thin.astype(np.float32), HOLES)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32
    assert single.predict(thin.astype(np.float32)).dtype == np.float32
    same(single, dense, 1e-4)


def test_constant_columns_and_constant_targets_have_coefficients_of_0():
    x = np.column_stack([X, np.full(N, 0.1)])
    y = np.column_stack([Y, np.full(N, 0.3)])
    model = MultiTaskModel(penalty="l2", alpha=1e-3).fit(x, y)
    assert not model.coef_[:, -1].any() and not model.coef_[2].any()
    assert model.feature_scale_[0, -1] == 0.0
    np.testing.assert_allclose(model.predict(x)[:, 2], 0.3)
    same_rest = MultiTaskModel(penalty="l2", alpha=1e-3).fit(X, Y)
    np.testing.assert_allclose(model.coef_[:2, :-1], same_rest.coef_)


# ------------------------------------------------------------------------------------- predictions


def test_a_task_with_classes_predicts_labels_and_probabilities():
    model = MultiTaskModel(LOSSES, alpha=0.02).fit(X, HOLES)
    raw = X @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(model.predict_raw(X), raw)
    np.testing.assert_allclose(model.predict(X)[:, 0], raw[:, 0])
    assert (model.predict(X)[:, 1] == np.where(raw[:, 1] > 0, 7.0, 3.0)).all()
    (proba,) = model.predict_proba(X)
    np.testing.assert_allclose(proba[:, 1], 1 / (1 + np.exp(-raw[:, 1])))
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert model.classes_[0] is None and model.classes_[1].tolist() == [3.0, 7.0]
    known = ~np.isnan(HOLES)
    scores = [
        r2_score(HOLES[known[:, 0], 0], raw[known[:, 0], 0]),
        r2_score(HOLES[known[:, 1], 1] == 7.0, proba[known[:, 1], 1]),
    ]
    assert model.score(X, HOLES) == pytest.approx(np.mean(scores))
    poisson = MultiTaskModel(["poisson", "squared_hinge"]).fit(X, np.abs(MIXED))
    np.testing.assert_allclose(poisson.predict(X)[:, 0], np.exp(poisson.predict_raw(X)[:, 0]))
    labels = r2_score(MIXED[:, 1], poisson.predict(X)[:, 1])
    first = r2_score(np.abs(MIXED[:, 0]), poisson.predict(X)[:, 0])
    assert poisson.score(X, np.abs(MIXED)) == pytest.approx((first + labels) / 2)
    for other in (poisson, MultiTaskModel().fit(X, Y)):
        assert not hasattr(other, "predict_proba")


def test_the_score_of_regression_is_the_uniform_average_of_r2():
    weight = RNG.uniform(size=N)
    model = MultiTaskModel().fit(X, Y)
    expected = r2_score(Y, model.predict(X), sample_weight=weight)
    assert model.score(X, Y, weight) == pytest.approx(expected)
    assert model.score(X, Y, np.column_stack([weight, weight])) == pytest.approx(expected)


def test_y_of_one_dimension_gives_arrays_of_one_dimension():
    flat, column = MultiTaskModel().fit(X, Y[:, 0]), MultiTaskModel().fit(X, Y[:, :1])
    assert flat.coef_.shape == (D,) and np.ndim(flat.intercept_) == 0
    assert flat.predict(X).shape == flat.predict_raw(X).shape == (N,)
    assert column.coef_.shape == (1, D) and column.predict(X).shape == (N, 1)
    np.testing.assert_array_equal(flat.coef_, column.coef_[0])
    assert flat.score(X, Y[:, 0]) == column.score(X, Y[:, :1])


def test_it_goes_through_pipelines_searches_clones_and_pickles():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), MultiTaskModel(["squared_error", HuberLoss(1.0)])),
        {"multitaskmodel__alpha": [0.01, 10.0], "multitaskmodel__penalty": ["l21", "l1"]},
    ).fit(X, Y)
    assert search.best_params_["multitaskmodel__alpha"] == 0.01
    result = cross_validate(search.best_estimator_, X, Y, scoring=["r2", "neg_mean_squared_error"])
    assert (result["test_r2"] > 0.3).all()
    model = clone(search.best_estimator_[-1]).fit(X, Y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


# ----------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"loss": "absolute_error"}, "AbsoluteError has kinks"),
        ({"loss": PinballLoss(0.3)}, "PinballLoss has kinks"),
        ({"loss": "hinge"}, "Hinge has kinks"),
        ({"loss": "cauchy"}, "Cauchy is not convex"),
        ({"loss": HuberLoss("auto")}, "HuberLoss needs a number for delta"),
        ({"loss": HuberLoss([1.0, 2.0])}, "here one value makes a loss"),
        ({"loss": "multinomial"}, "HalfMultinomialLoss is another kind"),
        ({"loss": "cox"}, "CoxLoss is another kind"),
        ({"loss": "root_mean_squared_error"}, "RootMeanSquaredError"),
        ({"loss": []}, "one for each task; got"),
        ({"loss": ["squared_error"] * 3}, "each of the 2 columns of y; got 3"),
        ({"loss": "poisson"}, r"HalfPoissonLoss: y_true must lie in \[0, inf\)"),
        ({"loss": "log_loss"}, "needs two classes; got 60 different values"),
        ({"penalty": "l12"}, r"penalty must be one of \['l21', 'l1', 'l2'\] or None; got 'l12'"),
        ({"alpha": -1.0}, "alpha must be a number in"),
        ({"l1_ratio": 1.1}, "l1_ratio must be a number in"),
        ({"tol": 0.0}, "tol must be a number in"),
        ({"max_iter": 0}, "max_iter must be an integer"),
        ({"standardize": "yes"}, "standardize must be True or False; got 'yes'"),
        ({"fit_intercept": 1}, "fit_intercept must be True or False; got 1"),
        ({"task_weight": "dwa"}, "no loss falls any more"),
        ({"task_weight": "equal"}, "'uncertainty', None or 2 numbers in .*; got 'equal'"),
        ({"task_weight": [1.0]}, "task_weight must hold 2 numbers"),
        ({"task_weight": [1.0, 0.0]}, "task_weight must hold 2 numbers .*; got 0.0"),
    ],
)
def test_what_has_no_meaning_is_refused_and_changes_nothing(given, words):
    model = MultiTaskModel().fit(X, Y)
    y = Y - 100
    before = {name: value for name, value in vars(model).items() if name.endswith("_")}
    with pytest.raises(ValueError, match=words):
        model.set_params(**given).fit(X, y)
    after = {name: value for name, value in vars(model).items() if name.endswith("_")}
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": np.column_stack([Y[:, 0], np.full(N, np.nan)])}, "task 1 has no target"),
        ({"y": np.full((N, 2), np.inf)}, "y contains infinity"),
        ({"y": np.zeros((N, 2, 2))}, "dim"),
        ({"y": Y[:-1]}, "inconsistent numbers of samples"),
        ({"weight": np.ones((N, 3))}, r"sample_weight must have shape \(60,\) or \(60, 2\)"),
        ({"weight": -np.ones((N, 2))}, "sample_weight must not be negative; got -1.0"),
        ({"weight": np.outer(np.ones(N), [1, 0])}, "0 wherever task 1 has a target"),
    ],
)
def test_targets_and_weights_that_cannot_be_are_refused(change, words):
    given = {"y": Y, "weight": None, **change}
    with pytest.raises(ValueError, match=words):
        MultiTaskModel().fit(X, given["y"], given["weight"])


def test_a_fit_that_is_not_at_a_minimum_warns():
    with pytest.warns(ConvergenceWarning, match="more than tol=1e-06 allows"):
        model = MultiTaskModel(LOSSES, max_iter=1).fit(X, MIXED)
    assert model.n_iter_ == 1
    apart = np.column_stack([Y[:, 0], X[:, 0] > 0])
    with pytest.warns(ConvergenceWarning, match="part the classes of task 1"):
        MultiTaskModel(LOSSES, alpha=0).fit(X, apart)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MultiTaskModel(LOSSES, alpha=1e-4).fit(X, apart)
        MultiTaskModel(["squared_error", "squared_hinge"], alpha=0).fit(X, apart)


def test_uncertainty_refuses_targets_without_error():
    exact = np.column_stack([Y[:, 0], X[:, 0]])
    with pytest.raises(ValueError, match="task 1 is fitted without error"):
        MultiTaskModel(alpha=0, task_weight="uncertainty").fit(X, exact)
    constant = np.column_stack([np.ones(N), X[:, 0]])
    with pytest.raises(ValueError, match="not constant; task 0 is"):
        MultiTaskModel(task_weight="uncertainty").fit(X, constant)


def test_weights_that_have_not_settled_warn(monkeypatch):
    monkeypatch.setattr(_fit, "MOST_ROUNDS", 2)
    with pytest.warns(ConvergenceWarning, match="have not settled"):
        MultiTaskModel(task_weight="uncertainty").fit(X, Y)


def test_log_variances_are_of_fits_by_uncertainty_alone():
    model = MultiTaskModel(task_weight="uncertainty").fit(X, Y)
    assert model.log_variance_.shape == (2,)
    assert not hasattr(model.set_params(task_weight=None).fit(X, Y), "log_variance_")


def test_without_a_penalty_it_is_least_squares_as_other_estimators_fit_it():
    model = MultiTaskModel(alpha=0).fit(X, Y)
    other = SGDRegressorX(optimizer="newton", alpha=0, tol=1e-6).fit(X, Y)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-5, atol=1e-7)
