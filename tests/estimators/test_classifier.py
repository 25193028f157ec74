"""What a classifier takes: classes that y lacks, weights by label, chunks that count nothing, and
subclasses with scikit-learn's signatures."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.utils import compute_class_weight

from sklearn_losses import LDAM, LogitAdjusted, SGDClassifierX, SGDRegressorX
from sklearn_losses._array import on_device, to_host

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
N, D = 90, 4
X = RNG.normal(size=(N, D))
SIGNAL = X @ RNG.normal(size=D)
TWO = (SIGNAL > 0).astype(int)
THREE = np.digitize(SIGNAL, [-0.5, 0.5])
OFFSET = RNG.normal(size=N)
QUICK = {"random_state": 0, "max_iter": 5, "tol": None}


# ------------------------------------------------------------------------------------ subclasses


class Plain(SGDClassifierX):
    """Overrides what scikit-learn's own tests override, with scikit-learn's signatures."""

    def decision_function(self, X):
        return super().decision_function(X) + 100

    def predict_proba(self, X):
        return super().predict_proba(X)

    def predict(self, X):
        return super().predict(X)

    def score(self, X, y, sample_weight=None):
        return super().score(X, y, sample_weight)


def test_a_subclass_with_scikit_learns_signatures_predicts_by_its_own_methods():
    model = Plain("log_loss", **QUICK).fit(X, TWO)
    np.testing.assert_array_equal(model.predict(X), np.ones(N))
    assert (model.predict_proba(X)[:, 1] > 0.99).all()
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    assert model.score(X, TWO) == TWO.mean()
    # Early stopping scores with it too.
    Plain("log_loss", early_stopping=True).fit(X, TWO)


def test_a_regressors_subclass_does_too():
    class Doubled(SGDRegressorX):
        def predict(self, X):
            return 2 * super().predict(X)

    model = Doubled(early_stopping=True, **{**QUICK, "tol": 1e-3}).fit(X, SIGNAL)
    plain = SGDRegressorX(**QUICK).fit(X, SIGNAL)
    assert model.score(X, SIGNAL) != plain.score(X, SIGNAL)
    assert model.score(X, 2 * SIGNAL) > 0.9


def test_offsets_still_reach_every_prediction():
    model = SGDClassifierX("log_loss", **QUICK).fit(X, TWO, offset=OFFSET)
    raw = model.decision_function(X) + OFFSET
    np.testing.assert_array_equal(model.predict(X, OFFSET), (raw > 0).astype(int))
    np.testing.assert_allclose(model.predict_proba(X, OFFSET)[:, 1], 1 / (1 + np.exp(-raw)))
    log_proba = model.predict_log_proba(X, OFFSET)
    np.testing.assert_allclose(np.exp(log_proba), model.predict_proba(X, OFFSET))
    assert model.score(X, TWO, offset=OFFSET) == ((raw > 0) == TWO).mean()


# --------------------------------------------------------------------------------- class_weight


@pytest.mark.parametrize("kind", [list, np.array, lambda y: np.array(y, dtype=object)])
@pytest.mark.parametrize(
    "labels", [["0", "1"], ["1", "10"], ["1.5", "2"], ["no", "yes"], [0, 1], [-1.0, 1.0], [0, True]]
)
def test_weights_of_classes_are_found_by_their_labels(labels, kind):
    y = [labels[i] for i in TWO]
    y = kind(y) if isinstance(labels[0], str) else np.array(y)
    weights = {labels[0]: 1, labels[1]: 5}
    model = SGDClassifierX("log_loss", class_weight=weights, **QUICK).fit(X, y)
    other = SGDClassifierX("log_loss", class_weight={0: 1, 1: 5}, **QUICK).fit(X, TWO)
    np.testing.assert_array_equal(model.coef_, other.coef_)


def test_weights_of_classes_are_scikit_learns_where_it_finds_them():
    for classes, weights in (
        (np.array(["0", "1"]), {0: 1, 1: 5}),  # scikit-learn reads these labels as numbers
        (np.array([0, 1, 2]), {1: 3.0}),
        (np.array(["a", "b"]), {}),
        (np.array([0, 1]), {0: 2.0, 1: 3.0, 2: 4.0}),
    ):
        want = compute_class_weight(weights, classes=classes, y=classes)
        y = classes[np.arange(N) % len(classes)]
        model = SGDClassifierX("multinomial", class_weight=weights, **QUICK).fit(X, y)
        by_hand = clone(model).set_params(class_weight=None)
        by_hand.fit(X, y, sample_weight=want[np.arange(N) % len(classes)])
        np.testing.assert_allclose(model.coef_, by_hand.coef_, rtol=1e-12)


def test_a_weight_of_no_class_is_an_error_that_names_the_classes_without():
    for weights in ({"0": 1, "2": 5}, {"one": 1}):
        with pytest.raises(ValueError, match=r"The classes, \['.*'\], are not in class_weight"):
            SGDClassifierX(class_weight=weights).fit(X, TWO.astype(str))


# -------------------------------------------------------------------------------------- classes


LOSSES = ["log_loss", "hinge", "multinomial", LogitAdjusted(), LDAM(scale=2.0), "squared_error"]


@pytest.mark.parametrize("layout", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize("params", [{}, {"batch_size": 16}, {"optimizer": "lbfgs", "alpha": 0.01}])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_classes_that_y_lacks_can_be_named(loss, params, layout):
    some = THREE != 1
    model = SGDClassifierX(loss, **{**QUICK, **params})
    model.fit(layout(X[some]), THREE[some], classes=[2, 1, 0, 7])
    np.testing.assert_array_equal(model.classes_, [0, 1, 2, 7])
    assert model.coef_.shape == (4, D) and np.isfinite(model.coef_).all()
    assert model.decision_function(X).shape == (N, 4)
    if hasattr(model, "predict_proba"):
        proba = model.predict_proba(X)
        assert proba.shape == (N, 4)
        # Nobody has seen them.
        assert proba[:, [1, 3]].mean() < proba[:, [0, 2]].mean()
    # All there: no difference.
    named = clone(model).fit(X, THREE, classes=[0, 1, 2])
    np.testing.assert_array_equal(named.coef_, clone(model).fit(X, THREE).coef_)


def test_one_label_of_two_can_be_learned_where_the_other_is_named():
    model = SGDClassifierX("log_loss", **QUICK).fit(X, ["no"] * N, classes=["no", "yes"])
    assert model.coef_.shape == (1, D) and set(model.predict(X)) == {"no"}
    assert model.predict_proba(X).shape == (N, 2)
    with pytest.raises(ValueError, match="greater than one; got 1 class"):
        SGDClassifierX().fit(X, ["no"] * N, classes=["no"])


def test_counts_of_absent_classes_are_taken_as_one():
    model = SGDClassifierX(LogitAdjusted(), class_weight="balanced", **QUICK)
    model.fit(X, TWO, classes=[0, 1, 2])
    np.testing.assert_array_equal(model.loss_.priors, [*np.bincount(TWO), 1])


def test_folds_without_a_rare_class_are_searched():
    y = THREE.copy()
    y[:3] = 9  # in one fold alone
    search = GridSearchCV(
        SGDClassifierX("multinomial", **QUICK),
        {"alpha": [1e-4, 1e-2]},
        cv=KFold(10),
        scoring=lambda model, X, y: model.predict_proba(X).shape[1],
        error_score="raise",
    )
    search.fit(X, y, classes=[0, 1, 2, 9])
    assert (search.cv_results_["mean_test_score"] == 4).all()


def test_classes_that_do_not_fit_are_refused():
    model = SGDClassifierX("multinomial", **QUICK)
    with pytest.raises(ValueError, match=r"y holds labels that are not in classes: .*2"):
        model.fit(X, THREE, classes=[0, 1])
    matrix = np.eye(3)[THREE]
    with pytest.raises(ValueError, match="classes names labels; y has a column for each"):
        model.fit(X, matrix, classes=["a", "b", "c"])
    model.fit(X, matrix, classes=[0, 1, 2])
    assert not hasattr(clone(model), "classes_")


# ---------------------------------------------------------------------- chunks that count nothing


def chunks(y):
    return [(X[i : i + 30], y[i : i + 30]) for i in (0, 30, 60)]


KINDS = {
    "log_loss": (SGDClassifierX, TWO),
    "hinge": (SGDClassifierX, THREE),
    "multinomial": (SGDClassifierX, TWO),
    "ldam": (SGDClassifierX, THREE),
    "squared_error": (SGDRegressorX, SIGNAL),
    "poisson": (SGDRegressorX, np.exp(np.stack([SIGNAL, -SIGNAL], axis=1))),
}
SETTINGS = [{}, {"batch_size": 8}, {"optimizer": "adam", "batch_size": 8}, {"average": True}]


def stream(name, empty, params=None, move=lambda x: x):
    """A model that went through three chunks, with chunks that count nothing where `empty` says."""
    estimator, y = KINDS[name]
    model = estimator(name, random_state=0, **(params or {}))
    options = {"classes": np.unique(y)} if estimator is SGDClassifierX else {}
    for i, (rows, of_rows) in enumerate(chunks(y)):
        if i in empty:
            nothing = {"sample_weight": move(np.zeros(30))}
            model.partial_fit(move(rows[::-1].copy()), move(of_rows), **nothing, **options)
            options = {}
        model.partial_fit(move(rows), move(of_rows), **options)
        options = {}
    return model


@pytest.mark.parametrize("params", SETTINGS, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_a_chunk_without_weight_is_as_if_it_had_not_come(name, params):
    with_them, without = stream(name, {0, 1, 2}, params), stream(name, set(), params)
    for attribute in (
        "coef_",
        "intercept_",
        "t_",
        "n_iter_",
        "loss_curve_",
        "learning_rate_curve_",
    ):
        np.testing.assert_array_equal(getattr(with_them, attribute), getattr(without, attribute))
    assert with_them.loss_ == without.loss_


@pytest.mark.parametrize("name", KINDS)
def test_a_first_chunk_without_weight_makes_a_model_of_zeros(name):
    estimator, y = KINDS[name]
    options = {"classes": np.unique(y)} if estimator is SGDClassifierX else {}
    model = estimator(name).partial_fit(X, y, sample_weight=np.zeros(N), **options)
    assert not model.coef_.any() and not model.intercept_.any() and model.t_ == 1
    trained = estimator(name).partial_fit(X, y, **options)
    assert model.coef_.shape == trained.coef_.shape
    assert model.predict(X).shape == trained.predict(X).shape
    if hasattr(model, "predict_proba"):
        assert model.predict_proba(X).shape == trained.predict_proba(X).shape
    again = clone(model).set_params(warm_start="resume", random_state=0, **{"max_iter": 2})
    again.partial_fit(X, y, sample_weight=np.zeros(N), **options)
    fresh = clone(again)
    np.testing.assert_array_equal(again.fit(X, y).coef_, fresh.fit(X, y).coef_)


def test_what_a_chunk_without_weight_says_is_held_to():
    model = SGDClassifierX().partial_fit(X, TWO, classes=[0, 1], sample_weight=np.zeros(N))
    with pytest.raises(ValueError, match="not in classes"):
        model.partial_fit(X, THREE)
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(X, TWO, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="3 features"):
        model.partial_fit(X[:, :3], TWO)
    with pytest.raises(ValueError, match="not in classes"):
        model.partial_fit(X, THREE, sample_weight=np.zeros(N))
    regressor = SGDRegressorX().partial_fit(X, SIGNAL, sample_weight=np.zeros(N))
    with pytest.raises(ValueError, match="as in the first call"):
        regressor.partial_fit(X, np.stack([SIGNAL, SIGNAL], axis=1))


@pytest.mark.parametrize(
    "weight", [np.zeros(N - 1), np.full(N, np.nan), -np.ones(N), np.zeros((N, 1))]
)
def test_wrong_weights_are_errors_in_a_stream_too(weight):
    for model, y in ((SGDClassifierX(), TWO), (SGDRegressorX(), SIGNAL)):
        options = {"classes": [0, 1]} if y is TWO else {}
        with pytest.raises(ValueError):
            model.partial_fit(X, y, sample_weight=weight, **options)
        assert not hasattr(model, "coef_")
        with pytest.raises(ValueError, match="non-zero"):  # a fit has to learn something
            model.fit(X, y, sample_weight=np.zeros(N))


@pytest.mark.parametrize("name", ["log_loss", "multinomial", "squared_error"])
def test_a_chunk_without_weight_on_a_device(device, name):
    params = {"batch_size": 8, "optimizer": "adam"}
    model = stream(name, {0, 1}, params, device.xp.asarray)
    assert on_device(model.coef_)
    want = stream(name, set(), params, device.xp.asarray)
    np.testing.assert_array_equal(to_host(model.coef_), to_host(want.coef_))
