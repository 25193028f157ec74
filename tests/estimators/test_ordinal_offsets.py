"""Offsets with a column a class move the thresholds of each sample: fits and constants begin where
all are in order and end at the minimum, and predictions where they are not are an error."""

import numpy as np
import pytest
from scipy import stats

from sklearn_losses import CumulativeLink, SGDClassifierX

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 2))
OFFSET = rng.uniform(-1, 1, size=(300, 4))
MOVED = OFFSET[:, :-1] - OFFSET[:, 1:]
# Classes follow the moved thresholds, which are in order.
THRESHOLDS = np.array([-4.5, 0.0, 4.5])
LATENT = 3 * X @ [1.0, 0.5] + rng.logistic(size=300)
Y = (LATENT[:, None] > THRESHOLDS + MOVED).sum(axis=1)
NAMES = {"logistic": "logistic", "normal": "norm", "extreme": "gumbel_l"}
CDF = {distribution: getattr(stats, name).cdf for distribution, name in NAMES.items()}
every_distribution = pytest.mark.parametrize("distribution", CDF)


# Thresholds of a normal distribution are nearer to each other.
SCALE = {"logistic": 1.0, "normal": 0.5, "extreme": 0.8}


def likelihood(distribution, coef, thresholds, scale):
    """Minus the mean log-likelihood, in plain NumPy: McCullagh (1980)."""
    at = thresholds + scale * MOVED
    assert (np.diff(at, axis=1) > 0).all()
    below = CDF[distribution](at - (X @ coef)[:, None])
    below = np.column_stack([np.zeros(300), below, np.ones(300)])
    rows = np.arange(300)
    return -np.log(below[rows, Y + 1] - below[rows, Y]).mean()


def slopes(function, point, step=1e-5):
    """Central differences."""
    shifts = step * np.eye(len(point))
    return np.array([(function(point + s) - function(point - s)) / (2 * step) for s in shifts])


def test_the_offsets_put_the_thresholds_that_fits_would_start_from_in_the_wrong_order():
    shares = np.cumsum(np.bincount(Y))[:-1] / len(Y)
    for distribution, scale in SCALE.items():
        start = getattr(stats, NAMES[distribution]).ppf(shares)
        assert (np.diff(start + scale * MOVED, axis=1) <= 0).any()
    assert (np.diff(THRESHOLDS + MOVED, axis=1) > 0).all()


@pytest.mark.parametrize("optimizer", ["newton", "lbfgs"])
@every_distribution
def test_a_fit_ends_at_the_minimum(distribution, optimizer):
    offset = SCALE[distribution] * OFFSET
    model = SGDClassifierX(
        CumulativeLink(distribution), optimizer=optimizer, alpha=0, tol=1e-10, max_iter=9000
    ).fit(X, Y, offset=offset)
    coef, thresholds = model.coef_[1] - model.coef_[0], -np.diff(model.intercept_)

    def objective(point):
        return likelihood(distribution, point[:2], point[2:], SCALE[distribution])

    point = np.concatenate([coef, thresholds])
    assert model.loss_curve_[-1] == pytest.approx(objective(point), rel=1e-9)
    # It is convex: where the slope is 0, there is the minimum.
    np.testing.assert_allclose(slopes(objective, point), 0, atol=2e-5)
    proba = model.predict_proba(X, offset=offset)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-9)
    assert -np.log(proba[np.arange(300), Y]).mean() == pytest.approx(objective(point), rel=1e-9)


@every_distribution
def test_the_best_constant_is_the_minimum(distribution):
    loss = CumulativeLink(distribution, n_classes=4)
    row = loss.fit_intercept_only(Y.astype(float), offset=0.3 * OFFSET)

    def objective(thresholds):
        return likelihood(distribution, np.zeros(2), thresholds, 0.3)

    np.testing.assert_allclose(slopes(objective, row[:-1] - row[1:]), 0, atol=1e-6)
    assert loss(Y, row + 0.3 * OFFSET) == pytest.approx(objective(row[:-1] - row[1:]), rel=1e-9)


def test_weights_are_copies_beside_such_offsets():
    weight = rng.integers(0, 3, size=300)
    given = {"optimizer": "auto", "tol": 1e-10}
    one = SGDClassifierX("cumulative_link", **given)
    one.fit(X, Y, sample_weight=weight, offset=OFFSET)
    two = SGDClassifierX("cumulative_link", **given)
    two.fit(X.repeat(weight, 0), Y.repeat(weight), offset=OFFSET.repeat(weight, 0))
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(one.intercept_, two.intercept_, rtol=1e-5, atol=1e-8)


def test_a_fit_whose_thresholds_the_offset_reverses_is_an_error_that_names_it():
    model, loss = SGDClassifierX("cumulative_link", optimizer="auto"), CumulativeLink(n_classes=4)
    before = dict(vars(model.fit(X, Y)))
    message = r"offset must leave the fitted thresholds in ascending order; got .* in row \d+\."
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, offset=3 * OFFSET)
    assert vars(model) == before
    with pytest.raises(ValueError, match=message):
        loss.fit_intercept_only(Y, offset=3 * OFFSET)
    # Samples of weight 0 are none.
    weight, offset = np.ones(300), 0.1 * OFFSET
    weight[7], offset[7] = 0, 300 * OFFSET[11]
    with pytest.raises(ValueError, match=r"in row 7\."):
        model.fit(X, Y, offset=offset)
    model.fit(X, Y, sample_weight=weight, offset=offset)
    loss.fit_intercept_only(Y, weight, offset=offset)


def test_predictions_name_the_offset_that_leaves_no_probabilities():
    model = SGDClassifierX("cumulative_link", optimizer="auto").fit(X, Y)
    offset = np.zeros((3, 4))
    assert model.predict_proba(X[:3], offset=offset).shape == (3, 4)
    offset[1, 1] = 20.0
    for method in (model.predict_proba, model.predict_log_proba):
        with pytest.raises(ValueError, match=r"in row 1\. An offset with a column a class moves"):
            method(X[:3], offset=offset)
    with pytest.raises(ValueError, match=r"ascending order; got -1 before -4 in row 0\."):
        CumulativeLink().predict([[0.0, 1.0, 5.0, 3.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_distribution
def test_classes_without_a_probability_are_no_wrong_order(distribution, dtype):
    link = CumulativeLink(distribution).link
    proba = np.array(
        [[0.3, 0.0, 0.7, 0.0], [0.0, 0.0, 0.0, 1.0], [0.2, 0.0, 0.0, 0.8]], dtype=dtype
    )
    shift = np.array([[1e-3], [7.0], [3e2]], dtype=dtype)
    for scores in (link.link(proba), link.link(proba) + shift):
        np.testing.assert_allclose(
            link.inverse(scores), proba, atol=1e-4 if dtype == np.float32 else 1e-12
        )
