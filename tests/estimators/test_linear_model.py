"""The estimators: any loss, any batch, every input that scikit-learn's own take, clear errors."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_losses import (
    LDAM,
    LOSSES,
    CompiledLoss,
    FunctionLoss,
    HalfMultinomialLoss,
    HuberLoss,
    LogitAdjusted,
    PinballLoss,
)
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX
from sklearn_losses.links import Interval, LogLink

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
N, D = 120, 4
X = RNG.randn(N, D)
SIGNAL = X @ np.array([0.5, -0.3, 0.2, 0.4]) + 0.1 * RNG.randn(N)
BINARY = (SIGNAL > 0).astype(int)
THREE = np.digitize(SIGNAL, [-0.3, 0.3])

REGRESSION = [n for n, c in LOSSES.items() if c.task == "regression" and c().interval_y_true]
REGRESSION = [n for n in REGRESSION if n != "root_mean_squared_error"]
CLASSES = [n for n, c in LOSSES.items() if c.task != "regression"]


def target(name):
    """Targets in the loss's domain."""
    if LOSSES[name].task != "regression":
        return THREE
    return SIGNAL if LOSSES[name]().in_y_true_range(SIGNAL) else np.exp(SIGNAL)


def model_of(name, **params):
    estimator = SGDRegressorX if LOSSES[name].task == "regression" else SGDClassifierX
    defaults = {"alpha": 0.01, "random_state": 0, "max_iter": 20, "tol": None}
    return estimator(name, **{**defaults, "learning_rate": "invscaling", **params})


# An SGD fit with a weight of two takes one long step, and with a sample given twice two short ones.
WEIGHTS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "SGD weighs steps; only minimisers agree"
    for kind in ("dense", "sparse")
}


@parametrize_with_checks(
    [
        SGDRegressorX(),
        SGDClassifierX(),
        SGDClassifierX("multinomial", batch_size=8),
        # A check compares minima of more weights than samples, to the last digits.
        SGDRegressorX(optimizer="lbfgs", tol=1e-10, alpha=0.1),
        SGDClassifierX("log_loss", optimizer="lbfgs"),
        SGDClassifierX("multinomial", optimizer="lbfgs"),
    ],
    expected_failed_checks=lambda model: {} if model.optimizer == "lbfgs" else WEIGHTS,
)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


# ---------------------------------------------------------------------------------- every loss


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize("name", [*REGRESSION, *CLASSES])
def test_every_loss_is_minimised(name, batch_size):
    y = target(name)
    eta0 = 0.001 if name == "ldam" else 0.03  # the scale of 30 multiplies its slopes
    model = model_of(name, batch_size=batch_size, eta0=eta0, max_iter=60).fit(X, y)
    # The perceptron's is 0 where it starts, at zero weights.
    assert model.loss_curve_[-1] < max(model.loss_curve_[:3])
    assert len(model.loss_curve_) == model.n_iter_ == 60
    assert model.t_ == 1 + 60 * -(-N // batch_size)
    assert np.isfinite(model.predict(X[:1] * 0)).all() if name in REGRESSION else True


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("name", [*REGRESSION, *CLASSES])
def test_dense_and_sparse_data_give_the_same_model(name, batch_size):
    # But for the intercept, which moves less on sparse data, and for L1, which falls on the
    # coordinates that a sample touches.
    y, sparse_x = target(name), X * (np.abs(X) > 0.3)
    # At a constant rate, with which the lazy penalty of batches is exact.
    rate = {"learning_rate": "constant", "eta0": 0.005}
    for params in ({"penalty": "l2", **rate}, {"penalty": None, "average": True}):
        model = model_of(name, batch_size=batch_size, fit_intercept=False, max_iter=5, **params)
        dense = clone(model).fit(sparse_x, y)
        csr = model.fit(sparse.csr_matrix(sparse_x), y)
        np.testing.assert_allclose(csr.coef_, dense.coef_, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(csr.loss_curve_, dense.loss_curve_, rtol=1e-8)


@pytest.mark.parametrize("name", ["huber", "log_loss", "multinomial", "poisson"])
def test_a_batch_steps_on_the_mean_gradient(name):
    """Against the step in NumPy: it starts at the best constant, sees columns from their
    means, and is taken in units of 1 / sqrt(size**2 * curvature + alpha)."""
    y, batch, eta, alpha = target(name), 16, 0.1, 0.3
    y = BINARY if name == "log_loss" else y
    weight = np.random.RandomState(1).uniform(0.5, 2, N)
    params = {"shuffle": False, "batch_size": batch, "max_iter": 3, "alpha": alpha}
    model = model_of(name, learning_rate="constant", eta0=eta, **params)
    x = X * [1.0, 100.0, 1e-3, 1.0] + [0.0, 700.0, 0.0, -3.0]
    model.fit(x, y, sample_weight=weight)
    weight = weight / weight.mean()  # they count relative to their mean
    loss = model.loss_
    outputs = 3 if name == "multinomial" else 1
    y = y.astype(float)
    start = np.atleast_1d(loss.fit_intercept_only(y, weight))
    raw = np.tile(start, (N, 1)) if outputs > 1 else np.full(N, start[0])
    curvature = np.average(loss.gradient_hessian(y, raw)[1].reshape(N, -1), axis=0, weights=weight)
    mean = np.average(x, axis=0, weights=weight)
    size = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    w, b = np.zeros((outputs, D)), start.copy()  # b: the intercept at the mean
    for _ in range(3):
        for first in range(0, N, batch):
            rows = slice(first, first + batch)
            seen = x[rows] - mean
            raw = seen @ w.T + b
            g = loss.gradient(y[rows], raw if outputs > 1 else raw[:, 0])
            g = g.reshape(len(raw), -1) * weight[rows, None] / len(raw)
            w = w - eta * (g.T @ seen + alpha * w) / (size**2 * curvature[:, None] + alpha)
            b = b - eta * g.sum(axis=0) / curvature
    np.testing.assert_allclose(np.atleast_2d(model.coef_), w, rtol=1e-9)
    np.testing.assert_allclose(model.intercept_, b - w @ mean, rtol=1e-9)


def test_root_mean_squared_error_names_its_replacement():
    with pytest.raises(ValueError, match="squared_error"):
        SGDRegressorX("root_mean_squared_error").fit(X, SIGNAL)


@pytest.mark.parametrize("batch_size", [1, 9])
def test_a_function_loss_trains_as_the_built_in_does(batch_size):
    params = {"max_iter": 4, "tol": None, "random_state": 0, "batch_size": batch_size}
    params["alpha"] = 0.05
    own = FunctionLoss(lambda y, raw: (raw - y) ** 2 / 2, lambda y, raw: raw - y)
    ours = SGDRegressorX(own, **params).fit(X, SIGNAL)
    built_in = SGDRegressorX("squared_error", **params).fit(X, SIGNAL)
    np.testing.assert_allclose(ours.coef_, built_in.coef_, rtol=1e-12)
    binary = FunctionLoss(
        lambda y, raw: np.logaddexp(0, raw) - y * raw,
        lambda y, raw: 1 / (1 + np.exp(-raw)) - y,
        interval_y_true=Interval(0, 1, True, True),
        task="binary",
    )
    for y in (BINARY, THREE):
        ours = SGDClassifierX(binary, **params).fit(X, y)
        built_in = SGDClassifierX("log_loss", **params).fit(X, y)
        np.testing.assert_allclose(ours.coef_, built_in.coef_, rtol=1e-9)


def test_a_compiled_loss_trains_as_the_built_in_does():
    import ctypes

    signature = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double, ctypes.c_void_p)
    value = signature(lambda y, raw, data: (raw - y) ** 2 / 2)
    gradient = signature(lambda y, raw, data: raw - y)
    params = {"max_iter": 3, "tol": None, "random_state": 0, "batch_size": 3}
    ours = SGDRegressorX(CompiledLoss(value, gradient), **params).fit(X, SIGNAL)
    np.testing.assert_allclose(ours.coef_, SGDRegressorX(**params).fit(X, SIGNAL).coef_, rtol=1e-12)


def test_an_error_in_a_function_loss_reaches_the_caller():
    def broken(y, raw):
        raise RuntimeError("broken on purpose")

    with pytest.raises(RuntimeError, match="broken on purpose"):
        SGDRegressorX(FunctionLoss(broken, broken)).fit(X, SIGNAL)


# ------------------------------------------------------------------------------- known solutions


def test_multinomial_is_logistic_regression():
    x, y = load_iris(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    alpha = 0.01
    reference = LogisticRegression(C=1 / (alpha * len(x)), tol=1e-10, max_iter=10000).fit(x, y)
    # All samples a step: gradient descent.
    params = {"alpha": alpha, "max_iter": 3000, "tol": None, "batch_size": len(x)}
    model = SGDClassifierX("multinomial", learning_rate="constant", eta0=1.0, **params).fit(x, y)
    np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(x), reference.predict_proba(x), atol=1e-6)
    # One sample a step, with averages.
    params.update(max_iter=500, batch_size=1, average=2000, random_state=0)
    model = SGDClassifierX("multinomial", **params).fit(x, y)
    np.testing.assert_allclose(model.predict_proba(x), reference.predict_proba(x), atol=0.05)


@pytest.mark.parametrize("name", ["multinomial", "multiclass_hinge", "multiclass_focal"])
def test_two_classes_of_a_row_wise_loss_have_one_row(name):
    model = SGDClassifierX(name, random_state=0, alpha=0.01).fit(X, BINARY)
    assert model.coef_.shape == (1, D) and model.intercept_.shape == (1,)
    raw = model.decision_function(X)
    assert raw.shape == (N,)
    np.testing.assert_array_equal(model.predict(X), (raw > 0).astype(int))
    if model.loss_.gives_probability:
        both = model.loss_.predict(np.stack([0 * raw, raw], axis=1))
        np.testing.assert_allclose(model.predict_proba(X), both)
    # What goes on starts where it ended: one row is enough to know both.
    two = clone(model).set_params(max_iter=2, tol=None, shuffle=False, average=False).fit(X, BINARY)
    more = clone(two).set_params(max_iter=1).fit(X, BINARY).partial_fit(X, BINARY)
    np.testing.assert_allclose(more.coef_, two.coef_, rtol=1e-10)


def test_poisson_is_scikit_learns_poisson_regression():
    y = np.random.RandomState(3).poisson(np.exp(SIGNAL)).astype(float)
    reference = PoissonRegressor(alpha=0.1, tol=1e-10, max_iter=10000).fit(X, y)
    model = SGDRegressorX("poisson", alpha=0.1, max_iter=600, tol=None, random_state=0)
    model.set_params(average=2000, batch_size=8, eta0=0.1).fit(X, y)
    np.testing.assert_allclose(model.predict(X), reference.predict(X), rtol=2e-2)


@pytest.mark.parametrize("name", [n for n in REGRESSION if LOSSES[n].link == LogLink()])
def test_log_link_losses_predict_positive_numbers(name):
    model = model_of(name).fit(X, np.exp(SIGNAL))
    raw = X @ model.coef_ + model.intercept_
    np.testing.assert_allclose(model.predict(X), np.exp(raw))


def test_a_quantile_loss_leaves_that_share_below():
    model = SGDRegressorX(PinballLoss(quantile=0.8), alpha=1e-4, random_state=0, average=500)
    model.set_params(max_iter=300, tol=None).fit(X, SIGNAL)
    assert abs(np.mean(model.predict(X) > SIGNAL) - 0.8) < 0.05


def test_l1_leaves_weights_at_zero():
    noise = np.random.RandomState(2).randn(N, 30)
    x = np.hstack([X, noise])
    for layout in (np.asarray, sparse.csr_matrix):
        model = SGDRegressorX(penalty="l1", alpha=0.08, random_state=0, batch_size=4, eta0=0.05)
        model.set_params(max_iter=200, tol=None).fit(layout(x), SIGNAL)
        assert (model.coef_[:D] != 0).all() and (model.coef_[D:] == 0).mean() > 0.7


# ---------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("name", ["huber", "log_loss", "multinomial"])
def test_the_dtype_of_x_is_kept(name, layout, dtype):
    model = model_of(name, average=name == "huber").fit(layout(X.astype(dtype)), target(name))
    assert model.coef_.dtype == dtype and model.intercept_.dtype == dtype
    raw = getattr(model, "decision_function", model.predict)(X.astype(dtype))
    assert raw.dtype == dtype
    reference = model_of(name, average=name == "huber").fit(layout(X), target(name))
    np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_indices_of_int64_work(dtype):
    x = sparse.csr_matrix(X.astype(dtype))
    wide = x.copy()
    wide.indices, wide.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    model, reference = model_of("huber").fit(wide, SIGNAL), model_of("huber").fit(x, SIGNAL)
    np.testing.assert_array_equal(model.coef_, reference.coef_)
    np.testing.assert_array_equal(model.predict(wide), reference.predict(x))


def test_indices_out_of_range_are_refused():
    x = sparse.csr_matrix(X)
    x.indices[3] = D + 5
    with pytest.raises(ValueError, match="indices must be in the range"):
        SGDRegressorX().fit(x, SIGNAL)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
def test_read_only_data_are_neither_copied_nor_changed(layout):
    x = layout(X.copy())
    parts = [x] if layout is np.asarray else [x.data, x.indices, x.indptr]
    for part in parts:
        part.setflags(write=False)
    SGDRegressorX().fit(x, SIGNAL)


def test_string_labels_and_frames_work_in_a_pipeline():
    labels = np.array(["low", "middle", "high"])[THREE]
    frame = pd.DataFrame(X, columns=list("abcd"))
    pipeline = make_pipeline(StandardScaler(), SGDClassifierX("log_loss", random_state=0))
    pipeline.set_output(transform="pandas").fit(frame, pd.Series(labels))
    model = pipeline[-1]
    assert list(model.classes_) == ["high", "low", "middle"]
    assert list(model.feature_names_in_) == list("abcd") and model.n_features_in_ == 4
    assert set(pipeline.predict(frame)) <= set(labels)
    assert pipeline.score(frame, labels) > 0.7


def test_a_grid_search_runs_over_losses_and_their_parameters():
    x, y = load_diabetes(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), SGDRegressorX(random_state=0, batch_size=8))
    grid = [
        {"sgdregressorx__loss": ["squared_error", "absolute_error", PinballLoss()]},
        {
            "sgdregressorx__loss": [HuberLoss()],
            "sgdregressorx__loss__delta": [10.0, 100.0],
            "sgdregressorx__alpha": [1e-4, 1e-2],
        },
    ]
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(x, y)
    assert len(search.cv_results_["params"]) == 7
    assert search.best_score_ > 0.4
    scores = cross_validate(search.best_estimator_, x, y, cv=3, error_score="raise")
    assert scores["test_score"].mean() > 0.4


@pytest.mark.parametrize("loss", [HuberLoss(2.0), "log_loss", LDAM(scale=1.0), "tweedie"])
def test_clones_and_pickles_go_on_as_the_original(loss):
    name = loss if isinstance(loss, str) else loss.name
    y = target(name)
    model = model_of(name, average=5).set_params(loss=loss)
    assert clone(model).get_params()["loss"] == loss
    model.fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    for _ in range(2):
        np.testing.assert_array_equal(model.predict(X), copy.predict(X))
        model.partial_fit(X, y)
        copy.partial_fit(X, y)
        np.testing.assert_array_equal(model.coef_, copy.coef_)


def test_the_loss_object_is_not_changed_by_fits():
    for loss in (LogitAdjusted(), LDAM(scale=1.0), HalfMultinomialLoss()):
        SGDClassifierX(loss, max_iter=2).fit(X, THREE)
        assert loss == type(loss)(**({"scale": 1.0} if isinstance(loss, LDAM) else {}))
        assert loss.n_classes is None


def test_row_wise_losses_take_the_counts_of_all_calls():
    model = SGDClassifierX(LogitAdjusted())
    model.partial_fit(X[:50], THREE[:50], classes=[0, 1, 2]).partial_fit(X[50:], THREE[50:])
    np.testing.assert_array_equal(model.loss_.priors, np.bincount(THREE))
    model = SGDClassifierX(LogitAdjusted()).partial_fit(X, 2 * BINARY, classes=[0, 1, 2])
    assert model.loss_.priors[1] == 1


def test_class_weights_of_row_wise_losses_multiply_the_samples():
    params = {"loss": "multinomial", "max_iter": 3, "tol": None, "random_state": 0}
    weight = {0: 0.5, 1: 2.0, 2: 1.5}
    ours = SGDClassifierX(class_weight=weight, **params).fit(X, THREE)
    by_sample = SGDClassifierX(**params)
    by_sample.fit(X, THREE, sample_weight=np.vectorize(weight.get)(THREE))
    np.testing.assert_allclose(ours.coef_, by_sample.coef_, rtol=1e-12)


def test_sparsify_and_densify_keep_predictions_and_training():
    for model, y in ((model_of("huber"), SIGNAL), (model_of("log_loss"), THREE)):
        model.fit(X, y)
        expected, shape = model.predict(X), model.coef_.shape
        assert sparse.issparse(model.sparsify().coef_)
        np.testing.assert_allclose(model.predict(X), expected)
        assert sparse.issparse(clone(model).fit(X, y).sparsify().partial_fit(X, y).coef_) is False
        assert model.densify().coef_.shape == shape


def test_unfitted_estimators_say_so():
    for model in (SGDRegressorX(), SGDClassifierX("log_loss")):
        for method in ("predict", "predict_proba", "sparsify"):
            if hasattr(model, method):
                with pytest.raises(NotFittedError):
                    getattr(model, method)(*([X] if method != "sparsify" else []))


# ----------------------------------------------------------------------------------- probabilities


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("y", [BINARY, THREE], ids=["two", "three"])
def test_probabilities_are_there_where_the_loss_gives_them(name, y):
    model = SGDClassifierX(name, random_state=0, max_iter=3)
    if not LOSSES[name]().gives_probability:
        assert not hasattr(model, "predict_proba") and not hasattr(model, "predict_log_proba")
        with pytest.raises(AttributeError, match="predict_proba") as caught:
            model.predict_proba(X)
        assert f"not available for loss='{name}'" in str(caught.value.__cause__)
        return
    proba = model.fit(X, y).predict_proba(X)
    assert proba.shape == (N, len(np.unique(y))) and (proba >= 0).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    if name in ("asymmetric", "logit_adjusted", "ldam"):
        return  # labels are those of another mixture than the data's: see test_probabilities.py
    # Where several probabilities round to 1, one of them is the prediction's.
    np.testing.assert_array_equal(proba[np.arange(N), model.predict(X)], proba.max(axis=1))
