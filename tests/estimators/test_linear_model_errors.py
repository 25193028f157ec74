"""What the estimators refuse, and what is left of them after an error or an interruption."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from sklearn_losses import HalfBinomialLoss, HalfSquaredError, Hinge, HuberLoss, get_optimizer
from sklearn_losses._solvers import choose_descent
from sklearn_losses._solvers.data import Data
from sklearn_losses._solvers.fit import Model
from sklearn_losses._solvers.reference import reference_of
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.randn(60, 3)
Y = X @ [1.0, -1.0, 0.5] + 0.1 * RNG.randn(60)
CLASSES = np.digitize(Y, [-0.5, 0.5])


@pytest.mark.parametrize("estimator, params, message", [
    (SGDRegressorX, {"loss": "hubert"}, r"loss must be .*got 'hubert'.*'huber'"),
    (SGDRegressorX, {"loss": 3}, "'loss' parameter"),
    (SGDRegressorX, {"loss": HuberLoss(delta=-1)}, r"HuberLoss: delta .* got -1"),
    (SGDRegressorX, {"loss": "multinomial"}, "use SGDClassifierX"),
    (SGDRegressorX, {"loss": "hinge"}, "use SGDClassifierX"),
    (SGDRegressorX, {"penalty": "l3"}, "'penalty' parameter"),
    (SGDRegressorX, {"learning_rate": "fast"}, r"learning_rate must be .*got 'fast'"),
    (SGDRegressorX, {"batch_size": 0}, "'batch_size' parameter"),
    (SGDRegressorX, {"learning_rate": "optimal", "alpha": 0}, "alpha must be > 0"),
    (SGDRegressorX, {"penalty": "elasticnet", "l1_ratio": None}, "l1_ratio must be set"),
    (SGDRegressorX, {"learning_rate": "pa1"}, "only works with loss 'epsilon_insensitive'"),
    (SGDRegressorX, {"loss": "poisson"}, r"HalfPoissonLoss: y_true must lie in \[0, inf\)"),
    (SGDRegressorX, {"loss": "log_loss"}, "y_true must lie in"),
    (SGDClassifierX, {"loss": "poisson"}, "use SGDRegressorX"),
    (SGDClassifierX, {"learning_rate": "pa2", "loss": "perceptron"}, "only works with"),
    (SGDClassifierX, {"class_weight": "even"}, "'class_weight' parameter"),
])  # fmt: skip
def test_wrong_parameters_are_named(estimator, params, message):
    y = Y if estimator is SGDRegressorX else CLASSES
    with pytest.raises(ValueError, match=message):
        estimator(**params).fit(X, y)


def test_passive_aggressive_steps_take_a_hinge_object():
    params = {"learning_rate": "pa1", "random_state": 0}
    ours = SGDClassifierX(Hinge(), **params).fit(X, CLASSES)
    np.testing.assert_array_equal(
        ours.coef_, SGDClassifierX("hinge", **params).fit(X, CLASSES).coef_
    )


def test_a_binary_loss_with_probabilities_takes_fractions_in_the_regressor():
    share = 1 / (1 + np.exp(-Y))
    model = SGDRegressorX(HalfBinomialLoss(), random_state=0, eta0=0.1, tol=1e-6).fit(X, share)
    assert ((model.predict(X) > 0) & (model.predict(X) < 1)).all()
    assert model.score(X, share) > 0.9


@pytest.mark.parametrize("weight, message", [
    (-np.ones(60), "Negative values"),
    (np.zeros(60), "at least one non-zero"),
    (np.full(60, np.nan), "NaN"),
    (np.ones(59), "sample_weight"),
])  # fmt: skip
def test_wrong_sample_weights_are_named(weight, message):
    for model, y in ((SGDRegressorX(), Y), (SGDClassifierX(), CLASSES)):
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, sample_weight=weight)


def test_wrong_labels_are_named():
    with pytest.raises(ValueError, match="got 1 class"):
        SGDClassifierX().fit(X, np.ones(60))
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        SGDClassifierX().partial_fit(X, CLASSES)
    model = SGDClassifierX().partial_fit(X, CLASSES, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(X, CLASSES, classes=[0, 1])
    with pytest.raises(ValueError, match="labels that are not in classes"):
        model.partial_fit(X, CLASSES + 1)
    for model in (SGDClassifierX(early_stopping=True), SGDRegressorX(early_stopping=True)):
        with pytest.raises(ValueError, match="early_stopping should be False"):
            model.partial_fit(X, CLASSES)


def test_wrong_starts_are_named():
    with pytest.raises(ValueError, match="Provided coef_init does not match"):
        SGDRegressorX().fit(X, Y, coef_init=np.zeros(4))
    with pytest.raises(ValueError, match="Provided intercept_init does not match"):
        SGDClassifierX().fit(X, CLASSES, intercept_init=[0.0, 0.0])


def test_more_features_in_partial_fit_are_refused():
    model = SGDRegressorX().partial_fit(X, Y)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(np.hstack([X, X]), Y)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
def test_overflow_names_the_fit_and_leaves_the_estimator_as_it_was(layout):
    model = SGDRegressorX(random_state=0).fit(X, Y)
    expected = model.predict(X)
    model.set_params(learning_rate="constant", eta0=1e300)
    wide = layout(np.hstack([X, X]) * 1e10)
    message = r"overflow occurred at epoch #1 .*HalfSquaredError.*'constant'.*eta0=1e\+300"
    with pytest.raises(ValueError, match=message):
        model.fit(wide, Y)
    np.testing.assert_array_equal(model.predict(X), expected)
    assert model.n_features_in_ == 3
    model.set_params(eta0=0.01).partial_fit(X, Y)


@pytest.fixture
def interruptible():
    """Python's handler: a shell that starts the tests in the background leaves SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def slow_model(estimator, **params):
    return estimator(max_iter=10**9, tol=None, random_state=0, average=True, **params)


@pytest.mark.skipif(os.name == "nt", reason="signals to this process")
@pytest.mark.parametrize("estimator, params", [
    (SGDRegressorX, {}),
    (SGDRegressorX, {"loss": "function"}),
    (SGDClassifierX, {"loss": "multinomial"}),
    (SGDClassifierX, {}),
    (SGDClassifierX, {"n_jobs": 2}),
])  # fmt: skip
def test_ctrl_c_ends_a_fit_within_a_second_at_a_whole_epoch(interruptible, estimator, params):
    from sklearn_losses import FunctionLoss

    if params.get("loss") == "function":
        params = {"loss": FunctionLoss(lambda y, r: (r - y) ** 2 / 2, lambda y, r: r - y)}
    x = np.tile(X, (40, 1))
    y = np.tile(Y if estimator is SGDRegressorX else CLASSES, 40)
    model = slow_model(estimator, **params)
    sent = []

    def interrupt():
        time.sleep(0.4)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y)
        ended = time.perf_counter()
    finally:
        thread.join()
    assert ended - sent[0] < 20  # a second, and a busy machine; the fit would take days
    assert model.n_iter_ >= 1 and len(model.loss_curve_) == model.n_iter_
    if estimator is SGDRegressorX or params.get("loss") == "multinomial":
        whole = clone(model).set_params(max_iter=model.n_iter_).fit(x, y)
        np.testing.assert_array_equal(model.coef_, whole.coef_)
    model.predict(X)
    model.partial_fit(x, y)


def test_ctrl_c_is_seen_within_an_epoch(interruptible):
    # One epoch takes far longer than the time until the interruption.
    x = np.broadcast_to(X[:1], (10**6, 3)).copy()
    y = np.zeros(10**6)

    calls = []

    class Stop:
        def is_set(self):
            calls.append(time.perf_counter())
            return len(calls) > 3

    x, y = np.tile(x, (8, 1)), np.tile(y, 8)
    model = SGDRegressorX()
    for batch_size in (1, 32):
        calls.clear()
        model.set_params(batch_size=batch_size)
        settings = model._settings(1, get_optimizer("sgd"), 3, HalfSquaredError())
        kind = choose_descent(HalfSquaredError(), settings, plain=True)
        start = Model(np.zeros((1, 3)), np.zeros(1))
        data = Data(x, y, [HalfSquaredError()])
        descent = kind(data, settings, start, reference_of(data, settings), seed=0)
        with pytest.raises(KeyboardInterrupt):
            descent.epoch(0, Stop())
        assert max(np.diff(calls)) < 1
