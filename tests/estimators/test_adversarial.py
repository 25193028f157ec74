"""Estimators and scores under attack: what an independent attack does, and scikit-learn's rules."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from sklearn_losses import (
    AdversarialClassifier,
    AdversarialRegressor,
    HuberLoss,
    PinballLoss,
    adversarial_loss,
    adversarial_score,
    get_loss,
    make_adversarial_scorer,
)
from sklearn_losses.adversarial import _estimators

RNG = np.random.RandomState(0)
N, D = 60, 4
X = RNG.standard_normal((N, D)) * [1.0, 3.0, 0.2, 1.0]
Y = X @ [1.0, 0.3, 2.0, 0.0] + 0.5 * RNG.standard_normal(N)
TWO = (Y + RNG.standard_normal(N) > 0).astype(int)
IRIS = load_iris(return_X_y=True)
NORMS = ["inf", 2, 1]


def projected(z, norm):
    """The nearest point of the unit ball, row by row."""
    if norm == "inf":
        return np.clip(z, -1, 1)
    if norm == 2:
        return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1.0)
    made = z.copy()
    for i, row in enumerate(z):
        if np.abs(row).sum() > 1:  # Duchi et al. (2008)
            size = np.sort(np.abs(row))[::-1]
            sums = (np.cumsum(size) - 1) / np.arange(1, len(row) + 1)
            cut = sums[np.nonzero(size > sums)[0][-1]]
            made[i] = np.sign(row) * np.maximum(np.abs(row) - cut, 0)
    return made


def ascent(values, x, radius, norm, climbed=None, steps=12):
    """The largest value of each row that projected gradient ascent finds within the attack, with
    derivatives by differences, from a point and from the one across: a convex function has a
    maximum at either end. What is climbed may be another function, that is flat nowhere."""
    climbed = climbed or values
    best = values(x)
    start = projected(np.random.RandomState(0).standard_normal(x.shape), norm)
    for z in (start, -start):
        for _ in range(steps):
            slope = np.empty_like(z)
            for j in range(x.shape[1]):
                h = 1e-5 * np.eye(x.shape[1])[j]
                slope[:, j] = climbed(x + (z + h) * radius) - climbed(x + (z - h) * radius)
            size = np.abs(slope).max(axis=1, keepdims=True)
            z = projected(z + 1e6 * slope / np.where(size > 0, size, 1.0), norm)
            best = np.maximum(best, values(x + z * radius))
    return best


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("loss", ["squared_error", "quantile", "huber", "log_loss", "hinge"])
def test_the_closed_form_is_what_an_attack_reaches(loss, norm):
    regression = loss not in ("log_loss", "hinge")
    y = Y if regression else TWO.astype(float)
    w, b = np.array([1.0, 0.2, -1.5, 0.4]), 0.1
    radius = np.array([0.1, 0.5, 0.02, 0.3])
    made = get_loss(loss)

    def values(x):
        return made.loss(y, np.ascontiguousarray(x @ w + b))

    def miss(x):
        return (1 - 2 * y) * (x @ w + b)

    reached = ascent(values, X, radius, norm, climbed=miss if loss == "hinge" else None)
    closed = adversarial_loss((w, b), X, y, eps=radius, norm=norm, loss=loss)
    np.testing.assert_allclose(closed, reached.mean(), rtol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_robust_accuracy_and_r2_are_what_an_attack_leaves(norm):
    x, y = IRIS
    model = LogisticRegression(max_iter=1000).fit(x, y)
    radius = np.array([0.2, 0.1, 0.3, 0.15])
    raw = model.decision_function
    right = np.ones(len(y), dtype=bool)
    for k in range(3):  # towards each other class
        others = np.flatnonzero(y != k)

        def values(moved, k=k, others=others):
            made = raw(moved)
            return made[:, k] - made[np.arange(len(others)), y[others]]

        right[others] &= ascent(values, x[others], radius, norm) < 0
    score = adversarial_score(model, x, y, eps=radius, norm=norm)
    np.testing.assert_allclose(score, right.mean(), atol=1e-12)
    assert score < model.score(x, y)
    line = LinearRegression().fit(X, Y)

    def miss(moved):
        return np.abs(line.predict(moved) - Y)

    worst = ascent(miss, X, radius, norm)
    reference = 1 - (worst**2).sum() / ((Y - Y.mean()) ** 2).sum()
    made = adversarial_score(line, X, Y, eps=radius, norm=norm)
    np.testing.assert_allclose(made, reference, rtol=1e-6)


def test_without_an_attack_scores_are_scikit_learns():
    weight = RNG.uniform(size=N)
    line = LinearRegression().fit(X, Y)
    made = adversarial_score(line, X, Y, eps=0, sample_weight=weight)
    np.testing.assert_allclose(made, r2_score(Y, line.predict(X), sample_weight=weight))
    model = AdversarialClassifier(eps=0.01).fit(X, TWO)
    made = adversarial_score(model, sparse.csr_matrix(X), TWO, eps=0, sample_weight=weight)
    np.testing.assert_allclose(made, accuracy_score(TWO, model.predict(X), sample_weight=weight))
    # A raw prediction of 0 is the first class, which an attack of any size ends.
    half = LogisticRegression().fit([[-1.0], [1.0]], [0, 1])
    assert adversarial_score(half, [[0.0], [0.0]], [0, 1], eps=0) == 0.5
    assert adversarial_score(half, [[0.0], [0.0]], [0, 1], eps=1e-9) == 0.0


def test_an_attack_reaches_through_affine_steps():
    radius = 0.1 * X.std(axis=0)
    pipeline = make_pipeline(MinMaxScaler(), StandardScaler(), LinearRegression()).fit(X, Y)
    line = LinearRegression().fit(X, Y)
    for score in (adversarial_score, lambda *a, **k: adversarial_loss(*a, loss="huber", **k)):
        made = score(pipeline, X, Y, eps=radius)
        np.testing.assert_allclose(made, score(line, X, Y, eps=radius), rtol=1e-9)
    bent = make_pipeline(PolynomialFeatures(2), LinearRegression()).fit(X, Y)
    with pytest.raises(ValueError, match="must be affine"):
        adversarial_score(bent, X, Y, eps=radius)


def test_the_scorer_finds_the_radius_in_a_search():
    attack = 0.3 * X.std(axis=0)
    pipeline = make_pipeline(StandardScaler(), AdversarialClassifier())
    grid = {"adversarialclassifier__eps": [0.001, 0.3]}
    scorer = pickle.loads(pickle.dumps(make_adversarial_scorer(eps=attack)))
    search = GridSearchCV(pipeline, grid, scoring=scorer, cv=3).fit(X, TWO)
    assert search.best_params_ == {"adversarialclassifier__eps": 0.3}
    made = adversarial_score(search.best_estimator_, X, TWO, eps=attack)
    assert search.score(X, TWO) == made
    by_loss = make_adversarial_scorer(eps=attack, norm=2, loss="hinge")
    worst = adversarial_loss(search.best_estimator_, X, TWO, eps=attack, norm=2, loss="hinge")
    assert by_loss(search.best_estimator_, X, TWO) == -worst
    assert "norm=2" in repr(by_loss)


def test_training_against_an_attack_withstands_it_better():
    model = AdversarialRegressor(eps=0.3).fit(X, Y)
    line = LinearRegression().fit(X, Y)
    assert model.adversarial_score(X, Y) > adversarial_score(line, X, Y, eps=0.3)
    assert model.score(X, Y) < line.score(X, Y)
    assert model.adversarial_score(X, Y, eps=0.0) == pytest.approx(model.score(X, Y))
    np.testing.assert_array_equal(model.radius_, 0.3)


def test_the_automatic_radius_takes_noise_for_noise_whatever_its_size():
    rng = np.random.RandomState(0)
    for norm in NORMS:
        zero = 0
        for seed in range(25):
            x = rng.standard_normal((50, 60))
            noise = 10.0 ** rng.uniform(-3, 3) * rng.standard_normal(50)
            model = AdversarialRegressor(norm=norm).fit(x, noise)
            zero += not model.coef_.any()
            if seed < 2:
                scaled = AdversarialRegressor(norm=norm).fit(x, 1e5 * noise)
                np.testing.assert_allclose(scaled.radius_, model.radius_)
        # 24 are expected; fewer than 20 happen once in a thousand times.
        assert zero >= 20
    signal = AdversarialRegressor().fit(x, 5 * x[:, 0] + noise / np.abs(noise).max())
    assert signal.coef_[0] > 1
    labels = AdversarialClassifier().fit(x, rng.uniform(size=50) > 0.5)
    assert np.count_nonzero(labels.coef_) <= 3


def test_classes_against_the_rest():
    x, y = IRIS
    names = np.array(["c", "a", "b"])[y]
    model = AdversarialClassifier("hinge", eps=0.05).fit(x, names)
    assert list(model.classes_) == ["a", "b", "c"] and model.coef_.shape == (3, 4)
    for k, name in enumerate(model.classes_):
        one = AdversarialClassifier("hinge", eps=0.05).fit(x, names == name)
        np.testing.assert_array_equal(model.coef_[k], one.coef_[0])
    assert model.score(x, names) > 0.6 and not hasattr(model, "predict_proba")
    model = AdversarialClassifier(eps=0.1, alpha=1e-3).fit(x, names)
    proba = model.predict_proba(x)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    np.testing.assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(x))
    two = AdversarialClassifier(eps=0.1).fit(X, TWO)
    raw = two.decision_function(X)
    np.testing.assert_allclose(two.predict_proba(X)[:, 1], 1 / (1 + np.exp(-raw)))
    np.testing.assert_array_equal(two.predict(X), (raw > 0).astype(int))


@pytest.mark.parametrize("kind", [AdversarialRegressor, AdversarialClassifier])
def test_types_are_kept_and_a_clone_fits_alike(kind):
    y = Y if kind is AdversarialRegressor else TWO
    model = kind(eps=0.1).fit(X.astype(np.float32), y)
    assert model.coef_.dtype == np.float32 and model.predict(X.astype(np.float32)).shape == (N,)
    assert np.asarray(model.intercept_).dtype == np.float32
    again = pickle.loads(pickle.dumps(clone(model).fit(X.astype(np.float32), y)))
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_constant_columns_and_targets():
    x = np.column_stack([X, np.full(N, 3.0)])
    model = AdversarialRegressor(eps=0.1).fit(x, Y)
    assert model.coef_[-1] == 0
    np.testing.assert_allclose(model.coef_[:-1], AdversarialRegressor(eps=0.1).fit(X, Y).coef_)
    flat = AdversarialRegressor(eps=0.1).fit(X, np.full(N, 7.0))
    assert not flat.coef_.any() and flat.intercept_ == 7.0 and flat.objective_ == 0.0


@pytest.mark.parametrize(
    "model",
    [
        AdversarialRegressor(),
        AdversarialClassifier(),
        pytest.param(AdversarialRegressor("quantile", eps=0.01, norm=2), marks=pytest.mark.slow),
        pytest.param(AdversarialClassifier("hinge", eps=0.01, norm=1), marks=pytest.mark.slow),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks(model):
    check_estimator(model)


R, C = AdversarialRegressor, AdversarialClassifier
REFUSED = [
    (R("tukey"), "TukeyBiweight is not convex"),
    (R("smooth_l2"), "not convex"),
    (C("focal"), "not convex"),
    (C("multinomial"), "is not closed"),
    (R(HuberLoss("auto")), "needs a number for delta"),
    (R(PinballLoss([0.1, 0.9])), "one value makes a loss"),
    (R("log_loss"), "use AdversarialClassifier"),
    (C("squared_error"), "take one of two classes"),
    (R("root_mean_squared_error"), "not a mean over samples"),
    (R(norm=3), "norm must be 'inf', 2 or 1; got 3"),
    (R(norm="l1"), "got 'l1'"),
    (R(norm=True), "got True"),
    (R(eps=-1.0), r"eps must be a number in \[0, inf\); got -1.0"),
    (R(eps=[0.1, 0.2]), r"shape \(4,\); got an array of shape \(2,\)"),
    (R(eps=[0.1, -0.2, 0.1, 0.1]), "got -0.2 at index 1"),
    (R(eps="large"), "eps must be a number"),
    (R(eps_unit="m"), "eps_unit must be 'X' or 'std'; got 'm'"),
    (R(alpha=-1), "alpha must be a number"),
    (R(tol=0), "tol must be a number"),
    (R(max_iter=0), "max_iter must be an integer"),
    (R(fit_intercept="yes"), "fit_intercept must be True or False"),
    (R("gamma"), "y_true must lie in"),
]


@pytest.mark.parametrize("model, message", REFUSED, ids=lambda x: x if isinstance(x, str) else "")
def test_what_is_refused_says_why_and_leaves_the_estimator_as_it_was(model, message):
    y = Y if isinstance(model, R) else TWO
    fitted = clone(model).set_params(
        loss="huber" if isinstance(model, R) else "hinge",
        **{n: v for n, v in type(model)().get_params(deep=False).items() if n != "loss"},
    )
    fitted.fit(X, y)
    before = fitted.coef_.copy()
    fitted.set_params(**model.get_params(deep=False))
    with pytest.raises(ValueError, match=message):
        fitted.fit(X, y)
    np.testing.assert_array_equal(fitted.coef_, before)


def test_other_refusals(monkeypatch):
    with pytest.raises(ValueError, match="at least two classes"):
        C().fit(X, np.zeros(N))
    with pytest.raises(ValueError, match="loss must be given"):
        adversarial_loss(LinearRegression().fit(X, Y), X, Y, eps=0.1)
    with pytest.raises(ValueError, match="one row of weights; got 3"):
        model = LogisticRegression(max_iter=500).fit(*IRIS)
        adversarial_loss(model, *IRIS, eps=0.1, loss="log_loss")
    with pytest.raises(ValueError, match="fitted linear estimator"):
        adversarial_score(StandardScaler(), X, Y, eps=0.1)
    with pytest.raises(ValueError, match="X has 4 features"):
        adversarial_loss((np.ones(3), 0.0), X, Y, eps=0.1, loss="huber")
    with pytest.raises(ValueError, match="y_true must lie in"):
        adversarial_loss((np.ones(4), 0.0), X, Y, eps=0.1, loss="log_loss")
    with pytest.raises(ValueError, match="at least one non-zero"):
        adversarial_loss((np.ones(4), 0.0), X, Y, eps=1, loss="huber", sample_weight=np.zeros(N))
    with pytest.raises(ValueError, match="norm must be"):
        make_adversarial_scorer(eps=0.1, norm=0)
    with pytest.raises(ValueError, match="not convex"):
        make_adversarial_scorer(eps=0.1, loss="welsch")
    monkeypatch.setattr(_estimators, "MOST", 3)
    with pytest.raises(ValueError, match="at most 3, and X has 4"):
        R().fit(X, Y)
