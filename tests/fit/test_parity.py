"""With one sample a step the estimators are scikit-learn's, coefficient by coefficient."""

import itertools
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.preprocessing import scale

from sklearn_losses import LOSSES
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

RNG = np.random.RandomState(0)
N, D = 90, 6
# Small enough for squared losses to be stable from the first, long steps of "optimal".
X = 0.3 * RNG.randn(N, D) * (RNG.rand(N, D) < 0.7)
SIGNAL = 3 * X @ RNG.randn(D) + 0.2 * RNG.randn(N)
TARGETS = {
    "regression": SIGNAL,
    "binary": (SIGNAL > 0).astype(int),
    "three": np.digitize(SIGNAL, [-0.5, 0.5]),
}
PENALTIES = ["l2", "l1", "elasticnet", None]
SCHEDULES = ["constant", "optimal", "invscaling", "adaptive", "pa1", "pa2"]
REGRESSION = ["squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"]
CLASSIFICATION = ["hinge", "squared_hinge", "perceptron", "log_loss", "modified_huber", *REGRESSION]

# Relative, of the largest coefficient. scikit-learn rounds its scalars (the scale of the weights,
# the step) to float32 on float32 data; ours are float64.
TOLERANCE = {"float64": 1e-7, "float32": 1e-3}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(kind, layout="dense", dtype="float64"):
    x = X.astype(dtype)
    return (sparse.csr_matrix(x) if layout == "csr" else x), TARGETS[kind]


def pair(kind, **params):
    params = {"random_state": 7, **params}
    if kind == "regression":
        return SGDRegressorX(**params), SGDRegressor(**params)
    return SGDClassifierX(**params), SGDClassifier(**params)


def assert_same(ours, theirs, rtol=1e-7):
    size = np.abs(theirs.coef_).max() + np.abs(theirs.intercept_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=rtol * size)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=rtol * size)
    assert ours.coef_.shape == theirs.coef_.shape
    assert ours.intercept_.shape == theirs.intercept_.shape
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.t_ == theirs.t_


def defined(schedule, loss, kind):
    """Passive-aggressive steps are defined for one loss each."""
    only = "epsilon_insensitive" if kind == "regression" else "hinge"
    return not schedule.startswith("pa") or loss == only


CASES = [
    (kind, loss, schedule)
    for kind, losses in (
        ("regression", REGRESSION),
        ("binary", CLASSIFICATION),
        ("three", CLASSIFICATION),
    )
    for loss, schedule in itertools.product(losses, SCHEDULES)
    if defined(schedule, loss, kind)
]


@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("kind, loss, schedule", CASES)
def test_coefficients_are_scikit_learns(kind, loss, schedule, layout, dtype):
    x, y = data(kind, layout, dtype)
    for penalty, average in itertools.product(PENALTIES, [False, True, 150]):
        ours, theirs = pair(
            kind,
            loss=loss,
            learning_rate=schedule,
            penalty=penalty,
            average=average,
            alpha=0.05,
            max_iter=4,
            tol=None,
        )
        assert_same(ours.fit(x, y), theirs.fit(x, y), TOLERANCE[dtype])


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("schedule", ["constant", "optimal", "invscaling", "adaptive"])
@pytest.mark.parametrize("kind", TARGETS)
def test_the_fit_stops_at_the_same_epoch(kind, schedule, penalty):
    x, y = data(kind)
    ours, theirs = pair(kind, learning_rate=schedule, penalty=penalty, alpha=0.02, max_iter=300)
    assert_same(ours.fit(x, y), theirs.fit(x, y))
    assert ours.n_iter_ > 4


def test_the_fit_stops_at_the_same_epoch_on_sparse_data_without_penalty():
    # With a penalty scikit-learn's norm of the weights is wrong there.
    for kind in TARGETS:
        x, y = data(kind, "csr")
        ours, theirs = pair(kind, learning_rate="constant", penalty=None, max_iter=300)
        assert_same(ours.fit(x, y), theirs.fit(x, y))


def test_the_objective_is_exact_on_sparse_data():
    # One row, no step worth mentioning: the objective is loss + penalty at the start.
    coef = np.arange(1.0, D + 1)
    x = sparse.csr_matrix(([1.0], [2], [0, 1]), shape=(1, D))
    model = SGDRegressorX(penalty="elasticnet", l1_ratio=0.3, alpha=0.5, max_iter=1, tol=None)
    model.set_params(learning_rate="constant", eta0=1e-12).fit(x, [1.0], coef_init=coef)
    penalty = 0.7 * 0.5 * (coef @ coef) + 0.3 * np.abs(coef).sum()
    np.testing.assert_allclose(model.loss_curve_, [0.5 * (coef[2] - 1) ** 2 + 0.5 * penalty])


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("penalty", ["l1", "l2", "elasticnet"])
def test_the_norms_stay_exact_over_many_epochs(penalty, layout):
    # The next epoch's first penalty is that of the weights where the last epoch ended, but for the
    # truncation of its last step: compare with a fit of one row that starts there.
    x, y = data("regression", layout)
    params = {"penalty": penalty, "alpha": 0.3, "tol": None, "learning_rate": "constant"}
    model = SGDRegressorX(**params, eta0=0.05, max_iter=20, random_state=0).fit(x, y)
    restart = SGDRegressorX(**params, eta0=1e-12, max_iter=1, shuffle=False)
    restart.fit(x, y, coef_init=model.coef_, intercept_init=model.intercept_)
    more = SGDRegressorX(**params, eta0=0.05, max_iter=21, random_state=0).fit(x, y)
    assert more.loss_curve_[:20] == model.loss_curve_
    # Near the solution the objective hardly moves within an epoch.
    np.testing.assert_allclose(more.loss_curve_[20], restart.loss_curve_[0], rtol=0.05)


@pytest.mark.parametrize("kind, params", [
    ("regression", {"penalty": None}),
    ("regression", {"penalty": "l1"}),
    ("regression", {"penalty": "l1", "learning_rate": "adaptive"}),
    ("binary", {"penalty": "l1"}),
    ("binary", {"penalty": None, "learning_rate": "constant"}),
    ("three", {"penalty": "l1"}),
])  # fmt: skip
def test_early_stopping_stops_at_the_same_epoch(kind, params):
    x, y = data(kind)
    ours, theirs = pair(kind, early_stopping=True, validation_fraction=0.3, **params)
    assert_same(ours.fit(x, y), theirs.fit(x, y))


def test_early_stopping_holds_out_scikit_learns_samples():
    # A fixed number of epochs: scores, which scikit-learn computes without the scale of the
    # weights, do not matter.
    for kind in TARGETS:
        x, y = data(kind)
        loss = "squared_error" if kind == "regression" else "log_loss"
        ours, theirs = pair(kind, loss=loss, early_stopping=True, max_iter=3, tol=None)
        assert_same(ours.fit(x, y), theirs.fit(x, y))


def test_early_stopping_counts_both_classes_of_log_loss():
    # scikit-learn compares predictions of -1 with targets of 0.
    x, y = data("binary")
    model = SGDClassifierX("log_loss", early_stopping=True, random_state=0, max_iter=50)
    scores = []
    make = SGDClassifierX._judge

    def spy(self, *args):
        validate = make(self, *args)

        def watched(fit):
            metric, loss = validate(fit)
            scores.append(-metric)
            return metric, loss

        return watched

    SGDClassifierX._judge = spy
    try:
        model.fit(x, y)
    finally:
        SGDClassifierX._judge = make
    assert max(scores) > 0.7


@pytest.mark.parametrize("loss", ["hinge", "multinomial"])
def test_early_stopping_scores_without_the_class_weights(loss, monkeypatch):
    x, y = data("three")
    judged = []
    make = SGDClassifierX._judge

    def spy(self, data, settings, loss, targets):
        judged.append(targets.sample_weight)
        return make(self, data, settings, loss, targets)

    monkeypatch.setattr(SGDClassifierX, "_judge", spy)
    model = SGDClassifierX(loss, early_stopping=True, class_weight={0: 9, 1: 1, 2: 1}, max_iter=3)
    model.fit(x, y)
    assert judged and all(weight is None for weight in judged)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("kind", TARGETS)
def test_sample_weights_are_scikit_learns(kind, layout):
    x, y = data(kind, layout)
    weight = np.random.RandomState(1).uniform(0, 3, N)
    weight[:5] = 0
    ours, theirs = pair(kind, max_iter=5, tol=None)
    assert_same(ours.fit(x, y, sample_weight=weight), theirs.fit(x, y, sample_weight=weight))


@pytest.mark.parametrize("class_weight", ["balanced", {0: 0.3, 1: 2.0}])
@pytest.mark.parametrize("kind", ["binary", "three"])
def test_class_weights_are_scikit_learns(kind, class_weight):
    x, y = data(kind)
    if kind == "three" and class_weight != "balanced":
        class_weight = {**class_weight, 2: 1.5}
    ours, theirs = pair(kind, class_weight=class_weight, max_iter=5, tol=None)
    weight = np.random.RandomState(1).uniform(0, 3, N)
    assert_same(ours.fit(x, y, sample_weight=weight), theirs.fit(x, y, sample_weight=weight))


@pytest.mark.parametrize("average", [False, True, 100])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("kind", TARGETS)
def test_partial_fit_is_scikit_learns(kind, penalty, average):
    x, y = data(kind)
    # scikit-learn's averaging classifier forgets the intercept between two calls.
    intercept = kind == "regression" or not average
    ours, theirs = pair(kind, penalty=penalty, average=average, alpha=0.01, fit_intercept=intercept)
    classes = {} if kind == "regression" else {"classes": np.unique(y)}
    for part in (slice(0, 40), slice(40, 60), slice(60, None)):
        ours.partial_fit(x[part], y[part], **classes)
        theirs.partial_fit(x[part], y[part], **classes)
        assert_same(ours, theirs)
        classes = {}


@pytest.mark.parametrize("kind", TARGETS)
def test_partial_fits_make_an_epoch_and_keep_averages(kind):
    # Each batch in its order, so that the samples come as in one epoch without shuffling.
    x, y = data(kind)
    for penalty, average in itertools.product(["l2", None], [False, True, 50]):
        whole, _ = pair(
            kind, penalty=penalty, average=average, shuffle=False, max_iter=1, tol=None, alpha=0.01
        )
        parts = clone(whole)
        whole.fit(x, y)
        for part in (slice(0, 30), slice(30, 75), slice(75, None)):
            classes = {} if kind == "regression" else {"classes": np.unique(y)}
            parts.partial_fit(x[part], y[part], **classes)
        np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-10)
        np.testing.assert_allclose(parts.intercept_, whole.intercept_, rtol=1e-10)


# scikit-learn's regressor puts the old averages into the new ones.
@pytest.mark.parametrize("kind, average", [
    ("regression", False),
    ("binary", False),
    ("three", False),
    ("binary", True),
    ("three", True),
])  # fmt: skip
def test_warm_start_is_scikit_learns(kind, average):
    x, y = data(kind)
    ours, theirs = pair(kind, warm_start=True, average=average, max_iter=3, tol=None)
    for _ in range(3):
        assert_same(ours.fit(x, y), theirs.fit(x, y))


@pytest.mark.parametrize("kind", TARGETS)
def test_given_starts_are_scikit_learns_and_are_not_written_to(kind):
    x, y = data(kind)
    rows = 3 if kind == "three" else 1
    coef, intercept = RNG.randn(rows, D), RNG.randn(rows)
    if kind == "regression":
        coef = coef[0]
    given = coef.copy(), intercept.copy()
    ours, theirs = pair(kind, max_iter=3, tol=None)
    ours.fit(x, y, coef_init=coef, intercept_init=intercept)
    np.testing.assert_array_equal(coef, given[0])
    np.testing.assert_array_equal(intercept, given[1])
    assert_same(ours, theirs.fit(x, y, coef_init=coef, intercept_init=intercept))


@pytest.mark.parametrize("kind", TARGETS)
def test_random_state_instances_are_drawn_from_as_scikit_learn_draws(kind):
    x, y = data(kind)
    for early_stopping in (False, True):
        ours, theirs = pair(kind, max_iter=3, tol=None, early_stopping=early_stopping)
        ours.set_params(random_state=np.random.RandomState(3))
        theirs.set_params(random_state=np.random.RandomState(3))
        assert_same(ours.fit(x, y), theirs.fit(x, y))
        assert ours.random_state.randint(1000) == theirs.random_state.randint(1000)


@pytest.mark.parametrize("params", [
    {"shuffle": False},
    {"fit_intercept": False},
    {"l1_ratio": 0.9, "penalty": "elasticnet", "alpha": 0.1},
    {"power_t": 0.7, "learning_rate": "invscaling", "eta0": 0.3},
    {"alpha": 100.0, "learning_rate": "constant", "eta0": 0.5},  # the shrinkage ends at zero
    {"alpha": 3.0, "learning_rate": "constant", "eta0": 0.3, "average": True},
    {"n_iter_no_change": 1},
    {"tol": 0.0, "max_iter": 20},
    {"epsilon": 0.5, "loss": "huber", "learning_rate": "constant"},
])  # fmt: skip
@pytest.mark.parametrize("kind", TARGETS)
def test_every_other_parameter_means_what_it_means_there(kind, params):
    x, y = data(kind)
    ours, theirs = pair(kind, **params)
    assert_same(ours.fit(x, y), theirs.fit(x, y))


@pytest.mark.parametrize("loss", ["log_loss", "modified_huber"])
@pytest.mark.parametrize("kind", ["binary", "three"])
def test_probabilities_are_scikit_learns(kind, loss):
    x, y = data(kind)
    ours, theirs = pair(kind, loss=loss, alpha=0.01)
    ours.fit(x, y), theirs.fit(x, y)
    far = np.vstack([x, -40 * np.abs(x[:5]), 40 * np.abs(x[:5])])
    np.testing.assert_allclose(ours.predict_proba(far), theirs.predict_proba(far), atol=1e-8)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(
            ours.predict_log_proba(x), theirs.predict_log_proba(x), rtol=1e-5
        )
    np.testing.assert_array_equal(ours.predict(far), theirs.predict(far))
    np.testing.assert_allclose(ours.decision_function(x), theirs.decision_function(x), rtol=1e-6)


@pytest.mark.parametrize("kind", TARGETS)
def test_scores_and_what_a_fit_leaves_are_scikit_learns(kind):
    x, y = data(kind)
    weight = np.random.RandomState(1).uniform(0, 3, N)
    ours, theirs = pair(kind, alpha=0.01)
    ours.fit(x, y), theirs.fit(x, y)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-6, atol=1e-8)
    for given in (None, weight):
        score = theirs.score(x, y, sample_weight=given)
        np.testing.assert_allclose(ours.score(x, y, sample_weight=given), score, rtol=1e-6)
    assert ours.n_features_in_ == theirs.n_features_in_ == D
    if kind != "regression":
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        assert ours.classes_.dtype == theirs.classes_.dtype


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_threads_of_one_vs_rest_change_nothing(n_jobs):
    x, y = data("three")
    ours, theirs = pair("three", n_jobs=n_jobs)
    one = clone(ours).set_params(n_jobs=None).fit(x, y)
    assert_same(ours.fit(x, y), theirs.fit(x, y))
    np.testing.assert_array_equal(ours.coef_, one.coef_)


@pytest.mark.parametrize("ours, theirs", [
    (SGDRegressorX, SGDRegressor),
    (SGDClassifierX, SGDClassifier),
])  # fmt: skip
def test_the_parameters_and_defaults_are_scikit_learns(ours, theirs):
    params, known = ours().get_params(), theirs().get_params()
    assert {name: params[name] for name in known} == known
    # What comes on top changes nothing unless it is set.
    assert {name: value for name, value in params.items() if name not in known and value} == {
        "batch_size": 1,
        "optimizer": "sgd",
    }


def test_the_names_of_losses_are_scikit_learns():
    assert set(SGDClassifier.loss_functions) <= set(LOSSES)
    assert set(SGDRegressor.loss_functions) <= set(LOSSES)


def test_each_epoch_agrees_where_many_are_chaotic():
    # All 27 epochs end elsewhere than scikit-learn's 23, and so does scikit-learn itself on X whose
    # last bits are others.
    x, y = load_breast_cancer(return_X_y=True)
    x = scale(x)
    params = {"loss": "log_loss", "random_state": 0, "tol": None}
    for n_epochs in (1, 2, 3):
        ours = SGDClassifierX(**params, max_iter=n_epochs).fit(x, y)
        assert_same(ours, SGDClassifier(**params, max_iter=n_epochs).fit(x, y), rtol=1e-9)
    theirs, other = (
        SGDClassifier(**params, max_iter=23).fit(x * factor, y).coef_ for factor in (1, 1 + 1e-15)
    )
    assert np.abs(theirs - other).max() > 1e-3 * np.abs(theirs).max()


@pytest.mark.parametrize("kind", TARGETS)
def test_too_few_epochs_warn(kind):
    x, y = data(kind)
    ours, _ = pair(kind, max_iter=1)
    with pytest.warns(ConvergenceWarning, match="Maximum number of iteration reached"):
        ours.fit(x, y)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Maximum number of iteration")
        ours.set_params(tol=None).fit(x, y)


def test_negative_power_t_warns():
    x, y = data("regression")
    model = SGDRegressorX(power_t=-0.1, learning_rate="constant")
    with pytest.warns(FutureWarning, match="power_t"):
        model.fit(x, y)


def test_verbose_prints_an_epoch(capsys):
    x, y = data("regression")
    ours, theirs = pair("regression", verbose=1, max_iter=2, tol=None)
    ours.fit(x, y)
    printed = capsys.readouterr().out
    theirs.fit(x, y)
    expected = capsys.readouterr().out

    def without_times(text):
        return [line for line in text.splitlines() if "seconds" not in line]

    assert without_times(printed) == without_times(expected)
