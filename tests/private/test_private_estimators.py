"""The estimators are scikit-learn's, learn in the user's units, and learn nothing in secret."""

import inspect
import pickle
import warnings

import numpy as np
import pytest
from repeatable import no_noise, repeated_bits
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from sklearn_losses import LDAM, HuberLoss, LogitAdjusted, PinballLoss, SGDClassifierX
from sklearn_losses.private import PrivateLinearClassifier, PrivateLinearRegressor
from sklearn_losses.private._base import BasePrivate

RNG = np.random.default_rng(0)
N = 3000
X = RNG.uniform(-1, 1, (N, 3))
Y = X @ [1.0, -0.5, 0.0] + 0.2 + 0.1 * RNG.normal(size=N)
TWO = np.where(Y > 0.2, "yes", "no")
THREE = np.digitize(Y, [-0.2, 0.6])
MECHANISMS = ["sgd", "output", "objective"]


def classifier(**params):
    defaults = {"feature_bounds": (-1, 1), "epsilon": 5.0, "delta": 1e-5, "max_iter": 10}
    return PrivateLinearClassifier(**{**defaults, **params})


def regressor(**params):
    defaults = {"feature_bounds": (-1, 1), "epsilon": 5.0, "delta": 1e-5, "max_iter": 10}
    defaults |= {"target_bounds": (-2, 2), "loss": HuberLoss(0.3)}
    return PrivateLinearRegressor(**{**defaults, **params})


# ------------------------------------------------------------------------------ scikit-learn's API

CHECKED = [
    PrivateLinearClassifier(),
    PrivateLinearClassifier("multinomial", feature_bounds=(-5, 5)),
    PrivateLinearClassifier(mechanism="output", data_norm=10.0),
    PrivateLinearRegressor(),
    PrivateLinearRegressor(HuberLoss(1.0), mechanism="objective", data_norm=10.0),
]
# They compare two fits, and there is no seed.
REPEATED = dict.fromkeys(
    [
        "check_classifier_data_not_an_array",
        "check_fit_idempotent",
        "check_regressor_data_not_an_array",
        "check_regressors_int",
        "check_supervised_y_2d",
    ],
    "two fits differ by their noise, which has no seed",
)


@pytest.mark.filterwarnings("ignore:feature_bounds|target_bounds|delta=:UserWarning")
@pytest.mark.parametrize("model", CHECKED, ids=str)
def test_it_is_an_estimator_of_scikit_learn(model):
    check_estimator(model, expected_failed_checks=REPEATED, on_skip=None)


@pytest.mark.filterwarnings("ignore:feature_bounds|target_bounds|delta=:UserWarning")
@pytest.mark.parametrize("model", CHECKED[:1] + CHECKED[3:4], ids=str)
def test_with_noise_that_comes_again_no_check_fails(model, monkeypatch):
    fit = BasePrivate._fit

    def repeated(self, *args):
        with repeated_bits():
            return fit(self, *args)

    monkeypatch.setattr(BasePrivate, "_fit", repeated)
    check_estimator(model, on_skip=None)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_it_works_in_pipelines_searches_clones_and_pickles(mechanism):
    same = FunctionTransformer()
    search = GridSearchCV(
        make_pipeline(same, regressor(mechanism=mechanism)),
        {"privatelinearregressor__loss__delta": [0.1, 0.3]},
        cv=2,
    ).fit(X, Y)
    assert search.score(X, Y) > 0.5
    model = search.best_estimator_[-1]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert not hasattr(clone(model), "coef_")


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
def test_float32_stays_and_predicts_as_float64(layout):
    with repeated_bits():
        single = regressor().fit(layout(X.astype(np.float32)), Y)
    with repeated_bits():
        double = regressor().fit(layout(X), Y)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32
    assert single.predict(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(single.coef_, double.coef_, rtol=1e-4)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("bounds", [{"feature_bounds": (-0.5, 0.5)}, {"data_norm": 0.7}])
def test_sparse_data_give_what_dense_ones_give(mechanism, bounds):
    data = np.where(abs(X) < 0.3, 0.0, X)
    data[0] = 0.0
    params = {"mechanism": mechanism, "feature_bounds": None, **bounds}
    models = []
    for layout in (np.asarray, sparse.csr_matrix, sparse.csr_array):
        with repeated_bits():
            models.append(regressor(**params).fit(layout(data), Y))
    for model in models[1:]:
        # Minima agree to what a solver may leave, steps to rounding.
        np.testing.assert_allclose(model.coef_, models[0].coef_, atol=1e-5)
        np.testing.assert_allclose(model.intercept_, models[0].intercept_, atol=1e-5)


def test_duplicate_entries_of_a_sparse_matrix_are_added_before_they_are_clipped():
    row = sparse.csr_matrix(([0.75, -0.25, 0.5], ([0, 0, 1], [0, 0, 2])), shape=(2, 3))
    with repeated_bits():
        split = regressor(n_samples=50).fit(row, [0.0, 1.0])
    with repeated_bits():
        whole = regressor(n_samples=50).fit(row.toarray() * 1.0, [0.0, 1.0])
    np.testing.assert_allclose(split.coef_, whole.coef_, atol=1e-9)


# ---------------------------------------------------------------------------------- what is learned


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("delta", [0, 1e-5])
def test_easy_problems_are_learned(mechanism, delta):
    if mechanism == "sgd" and delta == 0:
        return
    params = {"mechanism": mechanism, "delta": delta, "epsilon": 10.0}
    model = classifier(**params).fit(X, TWO)
    assert model.score(X, TWO) > 0.85
    assert list(model.classes_) == ["no", "yes"]
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(proba[:, 1] > 0.5, model.predict(X) == "yes")
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), proba)
    assert regressor(**params).fit(X, Y).score(X, Y) > 0.8


@pytest.mark.parametrize("loss", ["log_loss", "hinge", "multinomial", "multiclass_hinge"])
def test_several_classes_are_learned(loss):
    model = classifier(loss=loss, max_iter=30, epsilon=20.0).fit(X, THREE)
    assert model.coef_.shape == (3, 3) and model.score(X, THREE) > 0.75
    assert model.decision_function(X).shape == (N, 3)
    assert hasattr(model, "predict_proba") == ("hinge" not in loss)


def test_several_classes_are_learned_by_noise_on_the_minimum():
    X, y = load_iris(return_X_y=True)
    for loss in ("log_loss", "multinomial", "smooth_hinge"):
        params = {"mechanism": "output", "feature_bounds": (0, 8), "alpha": 1e-5}
        assert classifier(loss=loss, epsilon=1e8, **params).fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize("mechanism", ["sgd", "output"])
def test_a_row_wise_loss_of_two_classes_shows_the_difference(mechanism):
    model = classifier(loss="multinomial", mechanism=mechanism, epsilon=50.0).fit(X, TWO)
    assert model.coef_.shape == (1, 3) and model.intercept_.shape == (1,)
    assert model.score(X, TWO) > 0.85
    proba = model.predict_proba(X)[:, 1]
    np.testing.assert_allclose(proba, 1 / (1 + np.exp(-model.decision_function(X))))


def test_counts_are_learned_through_their_link():
    rate = np.exp(2 + X[:, 0])
    y = RNG.poisson(rate)
    model = regressor(loss="poisson", target_bounds=(0, 40), max_iter=30).fit(X, y)
    assert np.corrcoef(model.predict(X), rate)[0, 1] > 0.9
    assert 0.8 < model.predict(X).mean() / y.mean() < 1.25


@pytest.mark.parametrize("mechanism", ["sgd", "output", "objective"])
def test_with_hardly_any_noise_the_model_is_the_one_without_privacy(mechanism):
    X, y = load_digits(n_class=2, return_X_y=True)
    X, y = X[:, [20, 36, 43]], y
    common = {"feature_bounds": (0, 16), "alpha": 0.01, "mechanism": mechanism}
    if mechanism == "sgd":
        given = {"noise_multiplier": 1e-4, "epsilon": None, "clip_norm": 10.0, "batch_size": 360}
        model = classifier(**common, **given, learning_rate=30.0, max_iter=3000).fit(X, y)
    else:
        model = classifier(**common, epsilon=1e9).fit(X, y)
    # The same objective by another road: features in [-1, 1] over the root of their number, and a
    # constant one that is penalised, which it is not by "sgd".
    scaled = (X / 8 - 1) / np.sqrt(3)
    penalised = mechanism != "sgd"
    scaled = np.column_stack([scaled, np.ones(len(X))]) if penalised else scaled
    plain = SGDClassifierX(
        "log_loss", optimizer="newton", alpha=0.01, tol=1e-8, fit_intercept=not penalised
    ).fit(scaled, y)
    np.testing.assert_allclose(
        model.decision_function(X), plain.decision_function(scaled), rtol=2e-3, atol=2e-3
    )


# -------------------------------------------------------------------------------------------- units


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("loss", ["huber", "squared_error"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_units_of_features_and_targets_do_not_matter(mechanism, loss, fit_intercept):
    if loss == "squared_error" and mechanism != "sgd":
        return
    params = {"mechanism": mechanism, "fit_intercept": fit_intercept}
    here = {"loss": HuberLoss(0.3) if loss == "huber" else loss}
    there = {"loss": HuberLoss(300.0) if loss == "huber" else loss, "target_bounds": (-2000, 2000)}
    unit, zero = np.array([1e-6, 1.0, 1e9]), np.array([5.0, -7.0, 1e9]) * fit_intercept
    bounds = (zero - unit, zero + unit)
    with repeated_bits():
        one = regressor(**params, **here).fit(X, Y)
    with repeated_bits():
        other = regressor(**params, **there, feature_bounds=bounds).fit(zero + unit * X, 1000 * Y)
    np.testing.assert_allclose(
        other.predict(zero + unit * X), 1000 * one.predict(X), rtol=1e-3, atol=1
    )


def test_bounds_may_be_an_array_of_two_rows():
    models = []
    for bounds in ((-1, 1), np.array([[-1.0] * 3, [1.0] * 3]), [[-1, -1, -1], 1]):
        with repeated_bits():
            models.append(clone(regressor(feature_bounds=bounds)).fit(X, Y))
    for model in models[1:]:
        np.testing.assert_array_equal(model.coef_, models[0].coef_)


def test_rows_beyond_the_public_bounds_are_clipped():
    far, inside = X.copy(), X.copy()
    far[0], inside[0] = [30.0, -0.5, -2.0], [1.0, -0.5, -1.0]
    y_far, y_inside = Y.copy(), Y.copy()
    y_far[0], y_inside[0] = 77.0, 2.0
    for layout in (np.asarray, sparse.csr_matrix):
        models = []
        for data, y in ((far, y_far), (inside, y_inside)):
            with repeated_bits():
                models.append(regressor().fit(layout(data), y))
        np.testing.assert_array_equal(models[0].coef_, models[1].coef_)
    far[0], inside[0] = [3.0, 0.0, 4.0], [0.3, 0.0, 0.4]
    X_short = X / 4
    models = []
    for row in ([3.0, 0.0, 4.0], [0.3, 0.0, 0.4]):
        X_short[0] = row
        with repeated_bits():
            models.append(regressor(feature_bounds=None, data_norm=0.5).fit(X_short, Y))
    np.testing.assert_allclose(models[0].coef_, models[1].coef_, atol=1e-9)


# ------------------------------------------------------------------------- what is not learned

OF_THE_DATA = {"coef_", "intercept_"}


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("make", [classifier, regressor])
def test_all_but_the_weights_is_the_same_for_all_data_of_a_shape(mechanism, make):
    rng, facts = np.random.default_rng(1), []
    for spread in (1e-3, 1.0, 50.0):
        data = spread * rng.normal(size=(200, 3))
        y = rng.integers(0, 2, 200) if make is classifier else spread * rng.normal(size=200)
        model = make(mechanism=mechanism).fit(data, y)
        facts.append({k: repr(v) for k, v in vars(model).items() if k not in OF_THE_DATA})
    assert facts[0] == facts[1] == facts[2]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_with_a_public_number_of_samples_neighbours_have_the_same_noise(mechanism):
    facts = []
    for rows in (slice(0, 200), slice(1, 200)):
        model = regressor(mechanism=mechanism, n_samples=200, delta=None).fit(X[rows], Y[rows])
        facts.append({k: repr(v) for k, v in vars(model).items() if k not in OF_THE_DATA})
    assert facts[0] == facts[1]
    assert model.delta_ == 200**-1.1


def test_the_mean_is_over_the_public_number_of_samples():
    params = {"mechanism": "output", "alpha": 0.1, "epsilon": 1e9}
    doubled = regressor(n_samples=2 * N, **params).fit(X, Y)
    weaker = regressor(**{**params, "alpha": 0.2}).fit(X, Y)
    np.testing.assert_allclose(doubled.coef_, weaker.coef_, rtol=1e-3)


def test_there_is_no_seed_and_no_fit_comes_again():
    for cls in (PrivateLinearClassifier, PrivateLinearRegressor):
        assert "random_state" not in inspect.signature(cls).parameters
        assert "no `random_state`" in cls.__doc__
        assert "sample_weight" not in inspect.signature(cls.fit).parameters
    for mechanism in MECHANISMS:
        fits = []
        for _ in range(2):
            np.random.seed(0)
            fits.append(regressor(mechanism=mechanism).fit(X, Y).coef_)
        assert not np.array_equal(*fits)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_budget_is_kept(mechanism):
    model = regressor(mechanism=mechanism, epsilon=0.7, delta=1e-6).fit(X, Y)
    assert 0.69 < model.epsilon_ <= 0.7 and model.delta_ == 1e-6


def test_given_noise_is_used_and_accounted_for():
    model = regressor(epsilon=None, noise_multiplier=2.5, batch_size=300, max_iter=7)
    with no_noise() as seen:
        model.fit(X, Y)
    assert len(seen) == model.n_steps_ == 70 and model.sampling_rate_ == 0.1
    assert {part[1:] for part in seen} == {(0.3, 2.5)}
    again = regressor(epsilon=model.epsilon_, batch_size=300, max_iter=7).fit(X, Y)
    assert again.noise_multiplier_ == pytest.approx(2.5, rel=1e-4)


# ------------------------------------------------------------------------------------------ errors

WRONG = [
    ({"loss": HuberLoss("auto")}, "delta of .* would be estimated from the data"),
    ({"loss": PinballLoss([0.1, 0.9])}, "is for one output"),
    ({"loss": "root_mean_squared_error"}, "must be a mean over samples"),
    ({"loss": "cox"}, "must be a mean over samples"),
    ({"loss": "listnet"}, "must be a mean over samples"),
    ({"loss": "gaussian_nll"}, "several kinds"),
    ({"loss": "aft"}, "several kinds"),
    ({"loss": "multinomial"}, "use PrivateLinearClassifier"),
    ({"loss": "hinge"}, "use PrivateLinearClassifier"),
    ({"loss": "hubert"}, "did you mean"),
    ({"loss": HuberLoss(-1.0)}, "delta must be a number"),
    ({"mechanism": "laplace"}, "mechanism"),
    ({"epsilon": 0.0}, "epsilon"),
    ({"epsilon": np.inf}, "epsilon"),
    ({"epsilon": None}, "one of epsilon and noise_multiplier"),
    ({"noise_multiplier": 1.0}, "one of epsilon and noise_multiplier"),
    ({"noise_multiplier": 1.0, "epsilon": None, "mechanism": "output"}, "is for mechanism='sgd'"),
    ({"delta": 1.0}, "delta"),
    ({"delta": 0}, "delta must be above 0"),
    ({"mechanism": "output", "alpha": 0}, "alpha must be above 0"),
    ({"mechanism": "objective", "feature_bounds": None}, "needs data_norm or feature_bounds"),
    ({"feature_bounds": (1, -1)}, "low < high"),
    ({"feature_bounds": (0, np.inf)}, "low < high"),
    ({"feature_bounds": ([0, 0], [1, 1])}, "3 numbers each"),
    ({"feature_bounds": (0, 1, 2)}, r"must be \(low, high\)"),
    ({"feature_bounds": 3}, "feature_bounds"),
    ({"target_bounds": ("a", "b")}, r"target_bounds must be \(low, high\)"),
    ({"loss": "poisson", "target_bounds": (-1, 5)}, "the domain of HalfPoissonLoss"),
    ({"loss": "poisson", "target_bounds": None}, "y_true must lie in"),
    ({"data_norm": 0.0}, "data_norm"),
    ({"batch_size": 0}, "batch_size"),
    ({"accountant": "moments"}, "accountant"),
    ({"n_samples": 0}, "n_samples"),
]


@pytest.mark.filterwarnings("ignore:target_bounds:UserWarning")
@pytest.mark.parametrize(("params", "message"), WRONG, ids=lambda x: str(x)[:40])
def test_what_is_wrong_is_named_and_a_failed_fit_changes_nothing(params, message):
    model = regressor().fit(X, Y)
    before = dict(vars(model))
    model.set_params(**params)
    before |= model.get_params(deep=False)
    with pytest.raises(ValueError, match=message):
        model.fit(X[:, ::-1] * 2, Y)
    assert vars(model) == before


@pytest.mark.parametrize("loss", [LDAM(), LogitAdjusted()])
def test_counts_of_classes_must_be_public(loss):
    with pytest.raises(ValueError, match="would be counted in the data"):
        classifier(loss=loss).fit(X, THREE)


@pytest.mark.parametrize("loss", ["all_threshold", "cumulative_link"])
def test_ordered_classes_are_refused(loss):
    with pytest.raises(ValueError, match="several kinds"):
        classifier(loss=loss).fit(X, THREE)


def test_objective_perturbation_refuses_several_raw_predictions():
    for loss in ("log_loss", "multinomial"):
        with pytest.raises(ValueError, match="one raw prediction a sample"):
            classifier(loss=loss, mechanism="objective").fit(X, THREE)
    with pytest.raises(ValueError, match="one raw prediction a sample"):
        classifier(loss="multinomial", mechanism="objective").fit(X, TWO)


def test_several_outputs_are_refused():
    with pytest.raises(ValueError, match=r"\(3000, 2\)"):
        classifier().fit(X, np.column_stack([THREE > 1, THREE < 1]).astype(int))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"feature_bounds": None}, "feature_bounds .or data_norm. not set"),
        ({"target_bounds": None}, "target_bounds not set"),
        ({"delta": 0.01}, "is not below 1 / n_samples"),
    ],
)
def test_what_is_unwise_is_said(params, message):
    with pytest.warns(UserWarning, match=message) as caught:
        regressor(**params).fit(X, Y)
    assert caught[0].filename == __file__


def test_what_is_wise_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mechanism in MECHANISMS:
            regressor(mechanism=mechanism, delta=None).fit(X, Y)
            classifier(mechanism=mechanism, delta=None).fit(X, TWO)
