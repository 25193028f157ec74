"""Fits of the distributions of amounts, shares and counts, and of the ranked probability score,
against maximum likelihood by other hands."""

import pickle
from functools import cache

import numpy as np
import pytest
from scipy import optimize, sparse, special, stats
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_losses as sl
from sklearn_losses import SGDRegressorX

N = 400
rng = np.random.default_rng(0)
# Columns of unlike units, far from 0.
Z = rng.normal(size=(N, 2))
X = Z * [100.0, 1e-2] + [500.0, 1.0]
A = np.column_stack([np.ones(N), Z])
FIRST, SECOND = Z @ [0.6, -0.4], 0.4 * Z[:, 1]
MEAN = np.exp(1.0 + FIRST)
SHARE = special.expit(FIRST - 0.5)
SHAPE = np.exp(1.0 - SECOND)
DRAWN = np.maximum(stats.poisson.isf(rng.uniform(size=N) * -np.expm1(-MEAN), MEAN), 1.0)
EXACT = {"optimizer": "auto", "alpha": 0, "tol": 1e-10}


def _crps(y, first, second):
    scale = np.exp(second)
    z = (y - first) / scale
    phi, cdf = stats.norm.pdf(z), stats.norm.cdf(z)
    return scale * (z * (2 * cdf - 1) + 2 * phi - np.pi**-0.5)


def _gamma(y, first, second):
    k = np.exp(-second)
    return -stats.gamma(k, scale=np.exp(first) / k).logpdf(y)


def _beta(y, first, second):
    mean, precision = special.expit(first), np.exp(second)
    return -stats.beta(mean * precision, (1 - mean) * precision).logpdf(y)


def _negative_binomial(y, first, second):
    theta = np.exp(-second)
    return -stats.nbinom(theta, theta / (theta + np.exp(first))).logpmf(y)


def _zero_inflated(y, first, second):
    zero, p = special.expit(second), stats.poisson(np.exp(first)).pmf(y)
    return -np.log(zero * (y == 0) + (1 - zero) * p)


def _hurdle(y, first, second):
    zero, law = special.expit(second), stats.poisson(np.exp(first))
    above = (1 - zero) * law.pmf(np.maximum(y, 1)) / law.sf(0)
    return -np.log(np.where(y == 0, zero, above))


# By class: the loss of NumPy, targets, and where a search starts.
FITS = {
    sl.GaussianCRPS: (_crps, 10 * (FIRST + np.exp(SECOND) * rng.normal(size=N)), (0.0, 2.0)),
    sl.GammaNLL: (_gamma, MEAN * rng.gamma(SHAPE) / SHAPE, (1.0, 0.0)),
    sl.BetaNLL: (_beta, rng.beta(SHARE * 9 * SHAPE, (1 - SHARE) * 9 * SHAPE), (0.0, 1.0)),
    sl.NegativeBinomialNLL: (
        _negative_binomial,
        rng.poisson(MEAN * rng.gamma(SHAPE) / SHAPE) * 1.0,
        (1.0, 0.0),
    ),
    sl.ZeroInflatedPoissonNLL: (
        _zero_inflated,
        rng.poisson(MEAN) * (rng.uniform(size=N) > special.expit(SECOND - 1)) * 1.0,
        (1.0, 0.0),
    ),
    sl.HurdlePoissonNLL: (
        _hurdle,
        np.where(rng.uniform(size=N) < special.expit(SECOND - 1), 0.0, DRAWN),
        (1.0, 0.0),
    ),
}
COUNTS = [sl.NegativeBinomialNLL, sl.ZeroInflatedPoissonNLL, sl.HurdlePoissonNLL]
every = pytest.mark.parametrize("cls", FITS, ids=lambda cls: cls.__name__)
counts = pytest.mark.parametrize("cls", COUNTS, ids=lambda cls: cls.__name__)


def made(cls, way):
    """The loss whose second head is "linear" or "constant"."""
    return cls(**dict.fromkeys(cls._head_parameters, way))


@cache
def least_of(cls, linear):
    """The least mean loss of the models of standardised columns, and where it is, by SciPy."""
    loss, y, (first, second) = FITS[cls]

    def value(theta):
        by_second = A @ theta[3:] if linear else np.full(N, theta[3])
        return loss(y, A @ theta[:3], by_second).mean()

    start = np.array([first, 0, 0, second, 0, 0])[: 6 if linear else 4]
    found = optimize.minimize(value, start, method="BFGS", options={"gtol": 1e-9})
    return found.fun, found.x


@every
@pytest.mark.parametrize("way", ["linear", "constant"])
def test_fits_are_the_maximum_of_the_likelihood(cls, way):
    least, theta = least_of(cls, way == "linear")
    unlike = {"newton": np.asarray, "lbfgs": sparse.csr_matrix}
    for optimizer, design in unlike.items():
        given = EXACT | {"optimizer": optimizer, "max_iter": 5000}
        model = SGDRegressorX(made(cls, way), **given).fit(design(X), FITS[cls][1])
        assert model.loss_curve_[-1] == pytest.approx(least, abs=1e-8)
        np.testing.assert_allclose(model.coef_[0] * [100.0, 1e-2], theta[1:3], atol=2e-3)
        assert (model.coef_[1] == 0).all() == (way == "constant")
        raw = model.predict_raw(X)
        assert model.loss_(FITS[cls][1], raw) == pytest.approx(least, abs=1e-8)


@every
def test_the_default_reaches_the_minimum(cls):
    least, _ = least_of(cls, False)
    model = SGDRegressorX(made(cls, "constant"), optimizer="auto", alpha=0).fit(X, FITS[cls][1])
    assert model.loss_curve_[-1] == pytest.approx(least, abs=1e-6)
    assert model.stop_reason_ == "converged"


@every
def test_weights_are_copies(cls):
    y, weight = FITS[cls][1], np.random.default_rng(1).integers(0, 3, size=N)
    a = SGDRegressorX(cls(), **EXACT).fit(X, y, sample_weight=weight)
    b = SGDRegressorX(cls(), **EXACT).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    np.testing.assert_allclose(a.predict_raw(X), b.predict_raw(X), rtol=1e-4, atol=1e-4)


@every
def test_predictions_have_their_spread_and_go_through_pickle(cls):
    y = FITS[cls][1]
    model = SGDRegressorX(made(cls, "linear"), **EXACT).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    mean, std = again.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(X))
    law = model.predict_distribution(X)
    np.testing.assert_allclose(law.mean(), mean, rtol=1e-9)
    np.testing.assert_allclose(law.std(), std, rtol=1e-12)
    # The data were drawn from the model.
    assert ((y - mean) ** 2).mean() == pytest.approx((std**2).mean(), rel=0.2)
    inside = (y >= law.ppf(0.1)) & (y <= law.ppf(0.9))
    assert 0.74 < inside.mean() < 0.95
    assert model.score(X, y) > 0.1


@every
def test_they_go_into_pipelines_and_searches_by_their_own_scorer(cls):
    model = make_pipeline(StandardScaler(), SGDRegressorX(optimizer="auto"))
    losses = [made(cls, "linear"), made(cls, "constant")]
    grid = {"sgdregressorx__loss": losses}
    search = GridSearchCV(model, grid, scoring=cls().as_scorer(), error_score="raise", cv=3)
    search.fit(X, FITS[cls][1])
    assert search.best_params_["sgdregressorx__loss"] in losses
    # Minus the mean loss of the held-out thirds.
    best = clone(search.best_estimator_).fit(X, FITS[cls][1])
    own = best[-1].loss_(FITS[cls][1], best[-1].predict_raw(best[0].transform(X)))
    assert -search.best_score_ == pytest.approx(own, rel=0.1, abs=0.05)


@pytest.mark.parametrize("cls", [sl.GaussianCRPS, sl.GammaNLL], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("way", ["linear", "constant"])
def test_units_of_y_change_nothing_but_the_units(cls, way):
    y, given = FITS[cls][1], {"optimizer": "auto", "tol": 1e-10}
    first = SGDRegressorX(made(cls, way), **given).fit(X, y)
    again = SGDRegressorX(made(cls, way), **given).fit(X, 1e6 * y)
    np.testing.assert_allclose(again.predict(X), 1e6 * first.predict(X), rtol=1e-5)
    if cls is sl.GaussianCRPS:  # a score in the units of y
        assert again.loss_curve_[-1] == pytest.approx(1e6 * first.loss_curve_[-1], rel=1e-8)


@counts
def test_an_offset_is_the_logarithm_of_an_exposure(cls):
    y = FITS[cls][1]
    exposure = np.random.default_rng(2).uniform(1.0, 30.0, N)
    model = SGDRegressorX(made(cls, "constant"), **EXACT).fit(X, y, offset=np.log(exposure))
    loss = FITS[cls][0]

    def value(theta):
        return loss(y, A @ theta[:3] + np.log(exposure), np.full(N, theta[3])).mean()

    found = optimize.minimize(value, [-2.0, 0, 0, 0.0], method="BFGS", options={"gtol": 1e-9})
    assert model.loss_curve_[-1] == pytest.approx(found.fun, abs=1e-8)
    raw = model.predict_raw(X, offset=np.log(exposure))
    np.testing.assert_allclose(raw[:, 0] - np.log(exposure), model.predict_raw(X)[:, 0])


@pytest.mark.parametrize("cls", [sl.GaussianCRPS, sl.NegativeBinomialNLL], ids=lambda cls: cls.name)
def test_steps_train_linear_heads(cls):
    y = FITS[cls][1]
    steady = make_pipeline(StandardScaler(), SGDRegressorX(made(cls, "linear"), alpha=0))
    steady.set_params(sgdregressorx__optimizer="adam", sgdregressorx__batch_size=16)
    steady.set_params(sgdregressorx__random_state=0).fit(X, y)
    least, _ = least_of(cls, True)
    model = steady[-1]
    assert model.loss_(y, model.predict_raw(steady[0].transform(X))) < least + 0.05 * abs(least)
    with pytest.raises(ValueError, match=r"has constant ones\. Use optimizer='auto'"):
        SGDRegressorX(made(cls, "constant"), optimizer="adam").fit(X, y)


BAD = [
    (sl.GammaNLL, -1.0, r"GammaNLL: y_true must lie in \(0, inf\); got -1.0 at index 0"),
    (sl.GammaNLL, 0.0, r"GammaNLL: y_true must lie in \(0, inf\); got 0.0 at index 0"),
    (sl.BetaNLL, 1.0, r"BetaNLL: y_true must lie in \(0, 1\); got 1.0 at index 0"),
    (sl.BetaNLL, 0.0, r"BetaNLL: y_true must lie in \(0, 1\); got 0.0 at index 0"),
    *((cls, 0.5, r"must hold counts 0, 1, 2, \.\.\.; got 0\.5 at index 0") for cls in COUNTS),
    *((cls, -2.0, r"must lie in \[0, inf\); got -2\.0 at index 0") for cls in COUNTS),
]


@pytest.mark.parametrize(("cls", "wrong", "words"), BAD)
def test_a_target_outside_the_domain_is_named_and_the_model_stays(cls, wrong, words):
    y = FITS[cls][1]
    model = SGDRegressorX(cls(), optimizer="auto").fit(X, y)
    before = model.coef_.copy()
    with pytest.raises(ValueError, match=words):
        model.fit(X, np.concatenate([[wrong], y[1:]]))
    np.testing.assert_array_equal(model.coef_, before)


LOST = [
    (sl.GaussianCRPS, 3.0, "targets that differ.*got 3.0 alone, of 400 sample"),
    (sl.GammaNLL, 3.0, "targets that differ.*got 3.0 alone, of 400 sample"),
    (sl.BetaNLL, 0.5, "targets that differ.*got 0.5 alone, of 400 sample"),
    (sl.NegativeBinomialNLL, 0.0, "must hold a count above 0: .*400 sample.* from 0 to 0"),
    (sl.ZeroInflatedPoissonNLL, 0.0, "must hold a count above 1: .*400 sample.* from 0 to 0"),
    (sl.ZeroInflatedPoissonNLL, 2.0, "must hold a count of 0: .*400 sample.* from 2 to 2"),
    (sl.HurdlePoissonNLL, 1.0, "must hold a count above 1: .*400 sample.* from 1 to 1"),
    (sl.HurdlePoissonNLL, 2.0, "must hold a count of 0: .*400 sample.* from 2 to 2"),
]


@pytest.mark.parametrize(("cls", "only", "words"), LOST)
def test_targets_without_a_largest_likelihood_are_named(cls, only, words):
    with pytest.raises(ValueError, match=words):
        SGDRegressorX(cls(), optimizer="auto").fit(X, np.full(N, only))
    # Samples without weight do not count.
    y, weight = np.full(N, only), np.ones(N)
    y[:200], weight[:200] = FITS[cls][1][:200], 0.0
    with pytest.raises(ValueError, match=words.replace("400", "200")):
        SGDRegressorX(cls(), optimizer="auto").fit(X, y, sample_weight=weight)


def test_counts_that_spread_like_poissons_have_next_to_no_dispersion():
    y = np.random.default_rng(3).binomial(8, SHARE) * 1.0  # less than Poisson's
    model = SGDRegressorX("negative_binomial_nll", optimizer="auto", alpha=0).fit(X, y)
    assert np.exp(model.intercept_[1]) < 1e-3
    poisson = SGDRegressorX("poisson", **EXACT).fit(X, y)
    np.testing.assert_allclose(model.predict(X), poisson.predict(X), rtol=2e-3)


# ------------------------------------------------------------------------------------------ peers


def test_negative_binomial_fits_are_statsmodels():
    discrete = pytest.importorskip("statsmodels.discrete.discrete_model")
    y = FITS[sl.NegativeBinomialNLL][1]
    found = discrete.NegativeBinomial(y, A).fit(disp=False, maxiter=500, gtol=1e-9)
    model = SGDRegressorX("negative_binomial_nll", **EXACT).fit(Z, y)
    np.testing.assert_allclose(model.coef_[0], found.params[1:3], rtol=1e-4)
    assert np.exp(model.intercept_[1]) == pytest.approx(found.params[3], rel=1e-4)
    assert model.loss_curve_[-1] == pytest.approx(-found.llf / N, rel=1e-8)


def test_beta_fits_are_statsmodels():
    betareg = pytest.importorskip("statsmodels.othermod.betareg")
    y = FITS[sl.BetaNLL][1]
    found = betareg.BetaModel(y, A, exog_precision=A).fit(disp=False, gtol=1e-9)
    model = SGDRegressorX(sl.BetaNLL("linear"), **EXACT).fit(Z, y)
    np.testing.assert_allclose(model.coef_.ravel(), found.params[[1, 2, 4, 5]], rtol=1e-3)
    assert model.loss_curve_[-1] == pytest.approx(-found.llf / N, abs=1e-8)


def test_zero_inflated_fits_are_statsmodels():
    count = pytest.importorskip("statsmodels.discrete.count_model")
    y = FITS[sl.ZeroInflatedPoissonNLL][1]
    found = count.ZeroInflatedPoisson(y, A, exog_infl=A).fit(
        method="bfgs", maxiter=2000, gtol=1e-8, disp=False
    )
    model = SGDRegressorX(sl.ZeroInflatedPoissonNLL("linear"), **EXACT).fit(Z, y)
    assert model.loss_curve_[-1] == pytest.approx(-found.llf / N, abs=1e-8)
    np.testing.assert_allclose(model.coef_[0], found.params[4:], rtol=1e-3)
    np.testing.assert_allclose(model.coef_[1], found.params[1:3], rtol=1e-2, atol=1e-3)


def test_hurdle_fits_are_a_logistic_regression_and_statsmodels_truncated_counts():
    truncated = pytest.importorskip("statsmodels.discrete.truncated_model")
    y = FITS[sl.HurdlePoissonNLL][1]
    model = SGDRegressorX(sl.HurdlePoissonNLL(), **EXACT).fit(Z, y)
    above = truncated.TruncatedLFPoisson(y[y > 0], A[y > 0]).fit(disp=False, maxiter=500)
    np.testing.assert_allclose(model.coef_[0], above.params[1:], rtol=1e-3)
    zeros = sl.SGDClassifierX("log_loss", **EXACT).fit(Z, y == 0)
    np.testing.assert_allclose(model.coef_[1], zeros.coef_[0], rtol=1e-4)
    np.testing.assert_allclose(model.intercept_[1], zeros.intercept_[0], rtol=1e-4)


@pytest.mark.parametrize(
    "loss",
    [
        sl.GaussianNLL(),
        sl.StudentTNLL(),
        sl.LaplaceNLL(),
        sl.GeneralRobustNLL(),
        sl.GammaNLL(),
        sl.TweedieNLL(),
    ],
    ids=str,
)
def test_a_target_whose_square_is_no_number_is_named(loss):
    y = np.random.RandomState(0).gamma(2.0, size=50)
    y[3] = 1e160
    with pytest.raises(ValueError, match="y_true must hold targets whose squared distances"):
        loss.fit_intercept_only(y)
    with pytest.raises(ValueError, match="y_true must hold targets whose squared distances"):
        SGDRegressorX(loss, optimizer="auto").fit(np.arange(50.0)[:, None], y)
