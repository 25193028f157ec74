"""Fits of losses of several heads: distributions, censored times and ordered classes, against
maximum likelihood by other hands."""

import pickle

import numpy as np
import pytest
from scipy import optimize, sparse, stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_losses as sl
from sklearn_losses import AFT, CumulativeLink, GaussianNLL, SGDClassifierX, SGDRegressorX
from sklearn_losses.losses import DISTRIBUTIONS, ORDINAL

rng = np.random.default_rng(0)
# Columns of unlike units, far from 0.
X = rng.normal(size=(400, 3)) * [1.0, 100.0, 1e-2] + [0.0, 500.0, 1.0]
Z = (X - [0.0, 500.0, 1.0]) / [1.0, 100.0, 1e-2]
LOCATION = Z @ [1.0, -0.5, 0.3]
Y = 1e3 * (3.0 + LOCATION + np.exp(0.4 * Z[:, 0] - 1.0) * rng.normal(size=400))
TIMES = np.exp(1.0 + LOCATION + 0.7 * rng.logistic(size=400))
LIMIT = rng.exponential(10.0, size=400)
CENSORED = np.column_stack([np.minimum(TIMES, LIMIT), np.where(TIMES <= LIMIT, TIMES, np.inf)])
CENSORED[:40] = np.column_stack([0.8 * TIMES[:40], 1.3 * TIMES[:40]])
CENSORED[40:60, 0] = 0.0
CENSORED[40:60, 1] = TIMES[40:60]
RANKS = np.digitize(LOCATION + rng.logistic(size=400), [-1.5, 0.2, 1.5])
EXACT = {"optimizer": "auto", "alpha": 0, "tol": 1e-10}
LOCATED = [cls for cls in DISTRIBUTIONS if cls.heads == ("location", "log_scale")]


def likelihood(negative, start):
    """The least of a function of NumPy's, by SciPy."""
    found = optimize.minimize(negative, start, method="BFGS", options={"gtol": 1e-9})
    return found.fun, found.x


def gaussian(theta, linear):
    A = np.column_stack([np.ones(400), Z])
    log_scale = A @ theta[4:8] if linear else theta[4]
    return -stats.norm(A @ theta[:4], np.exp(log_scale)).logpdf(Y / 1e3).mean()


@pytest.mark.parametrize("optimizer", ["newton", "lbfgs"])
@pytest.mark.parametrize("design", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("scale", ["linear", "constant"])
def test_a_gaussian_fit_is_the_maximum_of_the_likelihood(scale, design, optimizer):
    least, _ = likelihood(lambda t: gaussian(t, scale == "linear"), np.zeros(8))
    given = EXACT | {"optimizer": optimizer, "max_iter": 5000}
    model = SGDRegressorX(GaussianNLL(scale), **given).fit(design(X), Y)
    assert model.loss_curve_[-1] == pytest.approx(least + np.log(1e3), abs=2e-8)
    assert (model.coef_[1] == 0).all() == (scale == "constant")
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, model.predict(X))
    raw = model.predict_raw(X)
    np.testing.assert_allclose(std, np.exp(raw[:, 1]))
    assert -model.predict_distribution(X).logpdf(Y).mean() == pytest.approx(least + np.log(1e3))
    assert model.loss_(Y, raw) == pytest.approx(model.loss_curve_[-1])


# Those with a location and a scale; the others are held in test_distribution_fits.py.
@pytest.mark.parametrize("cls", LOCATED, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("scale", ["linear", "constant"])
def test_units_change_nothing_but_the_units(cls, scale):
    y = CENSORED if cls is AFT else Y
    given = {"optimizer": "auto", "tol": 1e-10}
    first = SGDRegressorX(cls(scale=scale), **given).fit(X, y)
    again = SGDRegressorX(cls(scale=scale), **given).fit(X, 1e6 * y)
    np.testing.assert_allclose(again.predict(X), 1e6 * first.predict(X), rtol=1e-5)
    assert first.score(X, y) > 0.7


def test_a_constant_scale_without_penalty_is_least_squares():
    model = SGDRegressorX(GaussianNLL("constant"), **EXACT).fit(X, Y)
    A = np.column_stack([np.ones(400), X])
    want, left = np.linalg.lstsq(A, Y)[:2]
    np.testing.assert_allclose(model.coef_[0], want[1:], rtol=1e-6)
    assert np.exp(model.intercept_[1]) == pytest.approx(np.sqrt(left[0] / 400), rel=1e-6)


def test_weights_are_copies_and_offsets_the_first_heads():
    weight = rng.integers(0, 3, size=400)
    a = SGDRegressorX("gaussian_nll", **EXACT).fit(X, Y, sample_weight=weight)
    b = SGDRegressorX("gaussian_nll", **EXACT).fit(np.repeat(X, weight, 0), np.repeat(Y, weight))
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-5)
    c = SGDRegressorX("gaussian_nll", **EXACT).fit(X, Y + 7e3, offset=np.full(400, 7e3))
    d = SGDRegressorX("gaussian_nll", **EXACT).fit(X, Y)
    np.testing.assert_allclose(c.coef_, d.coef_, rtol=1e-4)
    np.testing.assert_allclose(
        c.predict(X, offset=np.full(400, 7e3)), d.predict(X) + 7e3, rtol=1e-6
    )


def test_distributions_go_into_pipelines_searches_and_pickles():
    model = make_pipeline(StandardScaler(), SGDRegressorX(optimizer="auto"))
    grid = {"sgdregressorx__loss": [GaussianNLL(), GaussianNLL("constant")]}
    search = GridSearchCV(model, grid, scoring=GaussianNLL().as_scorer(), error_score="raise")
    assert search.fit(X, Y).best_params_["sgdregressorx__loss"] == GaussianNLL()
    best = pickle.loads(pickle.dumps(clone(search.best_estimator_).fit(X, Y)))
    mean, std = best.predict(X[:2], return_std=True)
    assert mean.shape == std.shape == (2,)


def test_early_stopping_and_validation_samples_are_in_the_units_of_y():
    given = {"optimizer": "lbfgs", "alpha": 0}
    model = SGDRegressorX("gaussian_nll", **given).fit(X, Y, X_val=X, y_val=Y)
    assert model.validation_curve_[-1] == pytest.approx(model.loss_(Y, model.predict_raw(X)))
    held = SGDRegressorX("gaussian_nll", early_stopping=True, random_state=0, **given).fit(X, Y)
    assert held.score(X, Y) > 0.7


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "saga", "implicit_adagrad"])
def test_steps_train_linear_heads_and_refuse_constant_ones(optimizer):
    model = SGDRegressorX(GaussianNLL(), optimizer=optimizer, batch_size=16, random_state=0)
    assert model.fit(X, Y).score(X, Y) > 0.8
    with pytest.raises(ValueError, match=r"has constant ones\. Use optimizer='auto'"):
        clone(model).set_params(loss__scale="constant").fit(X, Y)


def censored(theta, family):
    A = np.column_stack([np.ones(400), Z])
    low, high = CENSORED.T
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = ((np.log(t) - A @ theta[:4]) * np.exp(-theta[4]) for t in (low, high))
        seen = family.logpdf(b) - theta[4] - np.log(high)
        between = np.log(family.cdf(b) - family.cdf(a))
    return -np.where(low == high, seen, between).mean()


@pytest.mark.parametrize(
    ("distribution", "family"),
    [("normal", stats.norm), ("logistic", stats.logistic), ("extreme", stats.gumbel_l)],
)
def test_failure_times_are_those_of_the_likelihood(distribution, family):
    least, theta = likelihood(lambda t: censored(t, family), np.array([1.0, 0, 0, 0, 1.0]))
    model = SGDRegressorX(AFT(distribution), **EXACT).fit(X, CENSORED)
    assert model.loss_curve_[-1] == pytest.approx(least, abs=1e-8)
    np.testing.assert_allclose(model.coef_[0] * [1.0, 100.0, 1e-2], theta[1:4], rtol=1e-4)
    survival = model.predict_survival_function(X[:3], [1.0, 10.0])
    z = np.log([1.0, 10.0]) - (theta[0] + Z[:3] @ theta[1:4])[:, None]
    np.testing.assert_allclose(survival, family.sf(z * np.exp(-theta[4])), rtol=1e-4)
    middle = model.predict(X[:3])
    np.testing.assert_allclose(model.predict_distribution(X[:3]).median(), middle)
    assert model.score(X, CENSORED) > 0.75


def test_structured_targets_are_intervals():
    y = sl.survival_target(np.minimum(TIMES, LIMIT), event=TIMES <= LIMIT)
    ends = np.where(TIMES <= LIMIT, TIMES, np.inf)
    interval = np.column_stack([np.minimum(TIMES, LIMIT), ends])
    a, b = (SGDRegressorX("aft", **EXACT).fit(X, target) for target in (y, interval))
    np.testing.assert_array_equal(a.coef_, b.coef_)
    # The concordance of those alone is Harrell's.
    assert a.score(X, y) == pytest.approx(sl.concordance_index(y, -a.predict(X)), rel=1e-12)
    with pytest.raises(ValueError, match="entries and strata are CoxLoss's"):
        a.fit(X, sl.survival_target(TIMES, entry=np.zeros(400)))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (-Y, "times must not be negative"),
        (np.column_stack([TIMES, 0.5 * TIMES]), "must not end before it begins"),
        (np.column_stack([TIMES, np.full(400, np.nan)]), "y_true must be finite"),
        (np.column_stack([np.full(400, np.inf)] * 2), "must be finite where an interval begins"),
        (np.zeros((400, 3)), r"shape \(n_samples,\) of times or \(n_samples, 2\)"),
    ],
)
def test_times_that_are_none_are_named(y, words):
    model = SGDRegressorX("aft", optimizer="auto").fit(X, TIMES)
    before = model.coef_.copy()
    with pytest.raises(ValueError, match=words):
        model.fit(X, y)
    np.testing.assert_array_equal(model.coef_, before)


def ordered(theta, family):
    steps = np.concatenate([[0.0], np.cumsum(np.exp(theta[4:]))])
    cuts = np.concatenate([[-np.inf], theta[3] + steps, [np.inf]])
    location = Z @ theta[:3]
    p = family.cdf(cuts[RANKS + 1] - location) - family.cdf(cuts[RANKS] - location)
    return -np.log(p).mean()


@pytest.mark.parametrize("optimizer", ["newton", "lbfgs", "gd"])
@pytest.mark.parametrize(
    ("link", "family"),
    [("logistic", stats.logistic), ("normal", stats.norm), ("extreme", stats.gumbel_l)],
)
def test_ordered_classes_are_those_of_the_likelihood(link, family, optimizer):
    least, theta = likelihood(lambda t: ordered(t, family), np.array([0, 0, 0, -1.0, 0, 0]))
    given = EXACT | {"optimizer": optimizer, "max_iter": 5000}
    labels = np.array(["a", "b", "c", "d"])[RANKS]
    model = SGDClassifierX(CumulativeLink(link), **given).fit(X, labels)
    assert model.loss_curve_[-1] == pytest.approx(least, abs=1e-8)
    np.testing.assert_allclose(model.coef_[1] * [1.0, 100.0, 1e-2], theta[:3], rtol=1e-3)
    np.testing.assert_allclose(model.coef_, np.arange(4)[:, None] * model.coef_[1])
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-12)
    assert -np.log(proba[np.arange(400), RANKS]).mean() == pytest.approx(least, abs=1e-8)
    scorer = CumulativeLink(link).as_scorer()
    assert scorer(model, X, labels) == pytest.approx(-least, abs=1e-8)
    # The class between whose thresholds the location lies.
    thresholds = -np.diff(model.intercept_)
    codes = np.searchsorted(thresholds, X @ model.coef_[1])
    np.testing.assert_array_equal(model.predict(X), np.array(["a", "b", "c", "d"])[codes])


def test_proportional_odds_are_statsmodels():
    miscmodels = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    peer = miscmodels.OrderedModel(RANKS, Z, distr="logit")
    found = peer.fit(method="bfgs", gtol=1e-8, maxiter=500, disp=False)
    model = SGDClassifierX("cumulative_link", **EXACT).fit(Z, RANKS)
    np.testing.assert_allclose(model.coef_[1], found.params[:3], rtol=1e-5)
    cuts = peer.transform_threshold_params(found.params)[1:-1]
    np.testing.assert_allclose(-np.diff(model.intercept_), cuts, rtol=1e-5)


MARGINS = {
    "logistic": lambda m: np.logaddexp(0, -m),
    "squared_hinge": lambda m: np.maximum(1 - m, 0) ** 2,
    "smooth_hinge": lambda m: np.where(m > 0, np.maximum(1 - m, 0) ** 2 / 2, 0.5 - m),
}


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("cls", ORDINAL[1:], ids=lambda cls: cls.__name__)
def test_thresholds_by_margins_are_at_their_minimum(cls, margin):
    def value(theta):
        k = np.arange(1, 4)
        m = (Z @ theta[:3])[:, None] - theta[3:]
        above = RANKS[:, None] >= k
        losses = MARGINS[margin](np.where(above, m, -m))
        beside = (RANKS[:, None] == k) | (RANKS[:, None] == k - 1)
        kept = losses if cls.name == "all_threshold" else np.where(beside, losses, 0.0)
        return kept.sum(axis=1).mean() + 5e-3 * theta[:3] @ theta[:3]

    least, _ = likelihood(value, np.array([0, 0, 0, -1.0, 0, 1]))
    model = SGDClassifierX(cls(margin), optimizer="auto", alpha=1e-2, tol=1e-10).fit(Z, RANKS)
    theta = np.concatenate([model.coef_[1], -np.diff(model.intercept_)])
    assert value(theta) == pytest.approx(least, abs=1e-8)
    assert model.score(Z, RANKS) > 0.35  # guesses: .25
    assert not hasattr(model, "predict_proba")


def test_two_ordered_classes_are_logistic_regression():
    y = RANKS > 1
    a = SGDClassifierX("cumulative_link", optimizer="auto", alpha=0.01, tol=1e-10).fit(Z, y)
    b = SGDClassifierX("log_loss", optimizer="auto", alpha=0.01, tol=1e-10).fit(Z, y)
    assert a.coef_.shape == (1, 3)
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-5)
    np.testing.assert_allclose(a.intercept_, b.intercept_, rtol=1e-4)
    np.testing.assert_allclose(a.predict_proba(Z), b.predict_proba(Z), atol=1e-6)


@pytest.mark.parametrize("optimizer", ["newton", "lbfgs"])
@pytest.mark.parametrize(
    ("loss", "y"), [(CumulativeLink(), RANKS), (GaussianNLL("constant"), Y)], ids=["ranks", "y"]
)
def test_fits_of_heads_start_where_others_ended(loss, y, optimizer):
    Model = SGDClassifierX if loss.task == "multiclass" else SGDRegressorX
    model = Model(loss, **EXACT).fit(X, y)
    again = Model(loss, **EXACT | {"optimizer": optimizer})
    again.fit(X, y, coef_init=model.coef_, intercept_init=model.intercept_)
    np.testing.assert_allclose(again.coef_, model.coef_, rtol=1e-5, atol=1e-12)
    assert again.loss_curve_[0] == pytest.approx(model.loss_curve_[-1], rel=1e-12)
    assert again.n_iter_ <= 2


def test_offsets_of_ordered_classes_are_of_their_scores():
    offset = 0.1 * np.random.default_rng(1).normal(size=(400, 4))
    model = SGDClassifierX("cumulative_link", **EXACT).fit(Z, RANKS, offset=offset)
    # The least of the likelihood with the thresholds moved by what the scores are.
    moved = np.column_stack([np.zeros(400), np.diff(offset, axis=1)])

    def negative(theta):
        scores = np.cumsum((Z @ theta[:3])[:, None] + moved - np.r_[0, theta[3:]], axis=1)
        return CumulativeLink()(RANKS.astype(float), scores)

    theta = np.r_[model.coef_[1], -np.diff(model.intercept_)]
    assert negative(theta) == pytest.approx(model.loss_curve_[-1], rel=1e-9)
    for step in 1e-3 * np.eye(6):
        assert min(negative(theta + step), negative(theta - step)) > negative(theta)
    proba = model.predict_proba(Z, offset=offset)
    assert -np.log(proba[np.arange(400), RANKS]).mean() == pytest.approx(negative(theta), rel=1e-9)


def test_ordered_classes_refuse_steps():
    with pytest.raises(ValueError, match=r"has constant ones\. Use optimizer='auto'"):
        SGDClassifierX("cumulative_link", optimizer="adam").fit(Z, RANKS)


@pytest.mark.parametrize(
    "loss",
    [CumulativeLink("log"), sl.AllThreshold("hinge"), AFT("gamma"), GaussianNLL("wide")],
    ids=repr,
)
def test_unknown_names_are_refused_with_those_that_there_are(loss):
    Model = SGDRegressorX if loss.task == "regression" else SGDClassifierX
    y = TIMES if loss.task == "regression" else RANKS
    with pytest.raises(ValueError, match=r"must be (one of \[|'linear' or 'constant')"):
        Model(loss, optimizer="auto").fit(X, y)


def test_modules_of_torch_have_the_derivatives():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    raw = rng.normal(size=(6, 2))
    y = torch.from_numpy(np.arange(6.0))
    tensor = torch.from_numpy(raw).requires_grad_()
    sl.as_torch("gaussian_nll", reduction="sum")(tensor, y).backward()
    np.testing.assert_allclose(tensor.grad, GaussianNLL().gradient(np.arange(6.0), raw))


@pytest.mark.parametrize("cls", [*LOCATED[:2], AFT], ids=lambda cls: cls.__name__)
def test_predictions_are_the_same_with_their_spread(cls):
    model = SGDRegressorX(cls(), optimizer="auto").fit(X, TIMES)
    predicted, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(predicted, model.predict(X))
    np.testing.assert_allclose(std, model.predict_distribution(X).std())
    assert np.median(predicted / TIMES) == pytest.approx(1.0, abs=0.4)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"positive": True}, "bounds and positive are for the weights of one raw prediction"),
        ({"bounds": (-1.0, 1.0)}, "bounds and positive are for the weights of one raw prediction"),
        ({"fit_intercept": False}, "fit_intercept must be True: location, log_scale"),
    ],
)
def test_what_has_no_meaning_for_heads_is_refused(params, words):
    with pytest.raises(ValueError, match=words):
        SGDRegressorX("gaussian_nll", optimizer="auto", **params).fit(X, Y)


@pytest.mark.parametrize(
    ("loss", "y", "words"),
    [
        ("gaussian_nll", np.full(400, 5.0), "targets that differ.*got 5.0 alone, of 400 sample"),
        ("student_t_nll", np.zeros(400), "targets that differ.*got 0.0 alone"),
        ("aft", np.column_stack([TIMES, np.full(400, np.inf)]), "of 400 none has ended"),
        ("aft", np.column_stack([np.zeros(400), TIMES]), "of 400 all had ended before"),
        ("gaussian_nll", None, "requires y to be passed"),
        ("gaussian_nll", Y + 1j, "Complex data not supported"),
    ],
)
def test_targets_without_a_largest_likelihood_are_named(loss, y, words):
    with pytest.raises(ValueError, match=words):
        SGDRegressorX(loss, optimizer="auto").fit(X, y)


def test_streams_take_linear_heads_and_pass_by_what_does_not_count():
    # With these orders of the samples implicit steps go far astray.
    for seed in (0, 36, 37):
        model = SGDRegressorX("gaussian_nll", optimizer="auto", alpha=0, random_state=seed)
        model.partial_fit(X, Y, sample_weight=np.zeros(400))
        assert not model.coef_.any()
        for _ in range(10):
            model.partial_fit(X, Y)
        assert model.score(X, Y) > 0.85
    for loss in (GaussianNLL("constant"), AFT(), sl.CoxLoss()):
        assert not hasattr(SGDRegressorX(loss, optimizer="auto"), "partial_fit")
    assert not hasattr(SGDClassifierX("cumulative_link", optimizer="auto"), "partial_fit")


def test_ordered_classes_have_thresholds_without_an_intercept_too_and_bounds_that_hold_0():
    given = EXACT | {"alpha": 0.01}
    a = SGDClassifierX("cumulative_link", **given).fit(Z, RANKS)
    b = SGDClassifierX("cumulative_link", fit_intercept=False, **given).fit(Z, RANKS)
    np.testing.assert_allclose(a.intercept_, b.intercept_)
    c = SGDClassifierX("cumulative_link", positive=True, **given).fit(Z, RANKS)
    assert (c.coef_[1] >= 0).all() and c.coef_[1, 1] == 0
    # What is shown is what was fitted: the curve is of the objective, with the penalty.
    loss = -np.log(c.predict_proba(Z)[np.arange(400), RANKS]).mean()
    assert loss + 0.005 * c.coef_[1] @ c.coef_[1] == pytest.approx(c.loss_curve_[-1], rel=1e-9)
    with pytest.raises(ValueError, match="must hold 0 for ordered classes"):
        SGDClassifierX("cumulative_link", bounds=(0.1, 1.0), **given).fit(Z, RANKS)


def test_separated_ordered_classes_are_said_to_be_so():
    y = np.digitize(LOCATION, [-1.0, 0.5])
    with pytest.warns(ConvergenceWarning, match="The classes are separated"):
        SGDClassifierX("cumulative_link", optimizer="auto", alpha=0).fit(Z, y)


@pytest.mark.parametrize("loss", ["gaussian_nll", "aft", "cox"])
def test_classifiers_refuse_losses_of_numbers(loss):
    with pytest.raises(ValueError, match="use SGDRegressorX"):
        SGDClassifierX(loss, optimizer="auto").fit(Z, RANKS)
