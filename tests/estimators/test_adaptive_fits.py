"""Fits of Barron's distribution, whose shape is found too, against SciPy's minimum of the paper's
formula in NumPy."""

import pickle
import warnings
from functools import cache

import numpy as np
import pytest
from scipy import optimize, sparse, stats
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_losses as sl
from sklearn_losses import GeneralRobustNLL, SGDRegressorX

N = 400
rng = np.random.default_rng(0)
# Columns of unlike units, far from 0.
Z = rng.normal(size=(N, 2))
X = Z * [100.0, 1e-2] + [500.0, 1.0]
A = np.column_stack([np.ones(N), Z])
NOISE = {
    "normal": rng.normal(size=N),
    "uniform": rng.uniform(-1, 1, size=N),
    "laplace": rng.laplace(size=N),
    "contaminated": np.where(rng.uniform(size=N) < 0.1, 20, 1) * rng.normal(size=N),
    "cauchy": rng.standard_cauchy(size=N),
}
TARGETS = {name: 7.0 + Z @ [2.0, -1.0] + noise for name, noise in NOISE.items()}
EXACT = {"optimizer": "auto", "alpha": 0, "tol": 1e-10}

# Of the paper's integral: x = sinh(y), by the trapezoidal rule.
Y = np.linspace(-60, 60, 4001)
LOG_X = np.where(Y == 0, 0.0, np.log(np.abs(np.sinh(Y)) + (Y == 0)))


def rho(square, alpha):
    """The paper's equation 1 at c = 1, of squares."""
    b = 2 - alpha
    return b / alpha * ((square / b + 1) ** (alpha / 2) - 1)


def paper(residual, log_c, alpha):
    """Minus the logarithm of the paper's density, equations 16 and 17."""
    with np.errstate(over="ignore"):
        inside = np.exp(-rho(np.sinh(Y) ** 2, alpha)) * np.cosh(Y)
    z = np.trapezoid(inside, Y)
    return rho((residual * np.exp(-log_c)) ** 2, alpha) + log_c + np.log(z)


def alpha_of(t):
    return np.clip(2 / (1 + np.exp(-t)), 1e-6, 2 - 1e-7)


def test_the_transcription_has_the_integral_of_a_known_shape():
    from scipy.special import k1

    assert paper(0.0, 0.0, 1.0) == pytest.approx(np.log(2 * np.e * k1(1)), rel=1e-13)


@cache
def least_of(kind, scale="constant"):
    """The least mean loss, by SciPy from several shapes."""
    y, linear = TARGETS[kind], scale == "linear"

    def value(theta):
        log_c = A @ theta[3:6] if linear else theta[3]
        return paper(y - A @ theta[:3], log_c, alpha_of(theta[-1])).mean()

    found = []
    for shape in (-2.0, 0.0, 3.0):
        start = np.array([7.0, 2.0, -1.0, 0.0, *([0.0, 0.0] if linear else []), shape])
        options = {"xatol": 1e-7, "fatol": 1e-12, "maxiter": 20000, "maxfev": 20000}
        rough = optimize.minimize(value, start, method="BFGS", options={"gtol": 1e-7}).x
        found.append(optimize.minimize(value, rough, method="Nelder-Mead", options=options))
    best = min(found, key=lambda f: f.fun)
    return best.fun, best.x


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


every = pytest.mark.parametrize("kind", NOISE)


def fitted_alpha(model):
    return 2 / (1 + np.exp(-model.intercept_[2]))


@pytest.mark.slow
@every
def test_the_default_reaches_the_least_that_scipy_finds(kind):
    least, theta = least_of(kind)
    loss = GeneralRobustNLL(scale="constant")
    model = SGDRegressorX(loss, optimizer="auto", alpha=0).fit(X, TARGETS[kind])
    assert model.stop_reason_ == "converged"
    assert model.loss_curve_[-1] == pytest.approx(least, abs=2e-5)
    exact = SGDRegressorX(loss, **EXACT).fit(X, TARGETS[kind])
    assert least - 1e-6 <= exact.loss_curve_[-1] <= least + 1e-9
    if kind not in ("normal", "uniform"):
        np.testing.assert_allclose(exact.coef_[0] * [100.0, 1e-2], theta[1:3], atol=1e-4)
        assert fitted_alpha(exact) == pytest.approx(alpha_of(theta[-1]), abs=1e-4)
    assert (exact.coef_[1:] == 0).all()
    assert exact.loss_(TARGETS[kind], exact.predict_raw(X)) == pytest.approx(
        exact.loss_curve_[-1], rel=1e-12
    )


def test_dense_and_sparse_rows_meet_at_the_same_minimum():
    y = TARGETS["laplace"]
    ends = []
    for design, optimizer in ((np.asarray, "newton"), (sparse.csr_matrix, "lbfgs")):
        given = EXACT | {"optimizer": optimizer, "max_iter": 5000}
        model = SGDRegressorX(GeneralRobustNLL(scale="constant"), **given).fit(design(X), y)
        ends.append(model.loss_curve_[-1])
    least = least_of("laplace")[0]
    assert ends == [pytest.approx(least, abs=1e-8)] * 2


def test_the_shape_follows_the_data():
    found = {
        kind: fitted_alpha(SGDRegressorX(GeneralRobustNLL(), optimizer="auto").fit(X, y))
        for kind, y in TARGETS.items()
    }
    assert found["uniform"] > 1.999
    assert found["normal"] > 1.5 and 0.4 < found["laplace"] < 1.4
    assert found["contaminated"] < 0.6 and found["cauchy"] < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["laplace", "cauchy"])
@pytest.mark.parametrize("optimizer", ["newton", "lbfgs"])
@pytest.mark.parametrize("design", [np.asarray, sparse.csr_matrix])
def test_a_linear_scale_reaches_it_too(design, optimizer, kind):
    least, _ = least_of(kind, "linear")
    given = EXACT | {"optimizer": optimizer, "max_iter": 5000}
    model = SGDRegressorX(GeneralRobustNLL(), **given).fit(design(X), TARGETS[kind])
    assert model.loss_curve_[-1] == pytest.approx(least, abs=3e-7)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_light_tails_are_least_squares_without_a_warning(kind):
    # The largest likelihood is at an alpha of 2, infinitely far away for uniform errors.
    y = TARGETS[kind]
    loss = GeneralRobustNLL(scale="constant")
    model = SGDRegressorX(loss, **EXACT).fit(X, y)
    gaussian = SGDRegressorX(sl.GaussianNLL("constant"), **EXACT).fit(X, y)
    assert model.loss_curve_[-1] <= gaussian.loss_curve_[-1] + 1e-9
    if kind == "uniform":
        np.testing.assert_allclose(model.predict(X), gaussian.predict(X), atol=1e-4)
        assert model.loss_curve_[-1] == pytest.approx(gaussian.loss_curve_[-1], abs=1e-7)


@pytest.mark.parametrize("kind", ["laplace", "cauchy"])
@pytest.mark.parametrize("unit", [1e-150, 1e-6, 1e150])
def test_units_change_nothing_but_the_units(unit, kind):
    y = TARGETS[kind]
    first = SGDRegressorX(GeneralRobustNLL(), **EXACT).fit(X, y)
    again = SGDRegressorX(GeneralRobustNLL(), **EXACT).fit(X * [1e-9, 1e9], unit * y)
    np.testing.assert_allclose(again.predict(X * [1e-9, 1e9]), unit * first.predict(X), rtol=1e-5)
    assert fitted_alpha(again) == pytest.approx(fitted_alpha(first), abs=1e-5)


def test_weights_are_copies_and_offsets_are_added():
    y, weight = TARGETS["laplace"], np.random.default_rng(1).integers(0, 3, size=N)
    a = SGDRegressorX(GeneralRobustNLL(), **EXACT).fit(X, y, sample_weight=weight)
    b = SGDRegressorX(GeneralRobustNLL(), **EXACT).fit(
        np.repeat(X, weight, 0), np.repeat(y, weight)
    )
    np.testing.assert_allclose(a.predict_raw(X), b.predict_raw(X), rtol=1e-4, atol=1e-4)
    c = SGDRegressorX(GeneralRobustNLL(), **EXACT).fit(X, y + 7.0, offset=np.full(N, 7.0))
    d = SGDRegressorX(GeneralRobustNLL(), **EXACT).fit(X, y)
    np.testing.assert_allclose(c.predict(X, offset=np.full(N, 7.0)), d.predict(X) + 7.0, rtol=1e-5)


def test_float32_is_kept():
    model = SGDRegressorX(GeneralRobustNLL(), optimizer="auto").fit(
        Z.astype(np.float32), TARGETS["contaminated"].astype(np.float32)
    )
    assert model.coef_.dtype == model.predict(Z.astype(np.float32)).dtype == np.float32
    double = SGDRegressorX(GeneralRobustNLL(), optimizer="auto").fit(Z, TARGETS["contaminated"])
    np.testing.assert_allclose(model.predict(Z.astype(np.float32)), double.predict(Z), atol=1e-3)


@pytest.mark.parametrize("alpha", [0.0, 0.7, 2.0])
def test_a_given_shape_is_fitted_beside_its_scale(alpha):
    y = TARGETS["laplace"]
    model = SGDRegressorX(GeneralRobustNLL(alpha, "constant"), **EXACT).fit(X, y)

    def value(theta):
        residual = y - A @ theta[:3]
        if alpha == 0:  # a Cauchy distribution
            return -stats.cauchy(0, np.sqrt(2) * np.exp(theta[3])).logpdf(residual).mean()
        if alpha == 2:
            return -stats.norm(0, np.exp(theta[3])).logpdf(residual).mean()
        return paper(residual, theta[3], alpha).mean()

    found = optimize.minimize(value, [7.0, 2.0, -1.0, 0.0], method="BFGS", options={"gtol": 1e-8})
    assert model.loss_curve_[-1] == pytest.approx(found.fun, abs=1e-7)
    assert model.coef_.shape == (2, 2) and model.predict_raw(X).shape == (N, 2)


def test_a_linear_shape_tells_where_tails_are_heavy():
    rng = np.random.default_rng(4)
    x = rng.choice([-1.0, 1.0], size=(3000, 1))
    y = np.where(x[:, 0] > 0, rng.standard_cauchy(3000), rng.normal(size=3000))
    model = SGDRegressorX(GeneralRobustNLL("linear"), optimizer="auto", alpha=1e-4).fit(x, y)
    t = model.predict_raw(np.array([[-1.0], [1.0]]))[:, 2]
    calm, wild = 2 / (1 + np.exp(-t))
    assert calm > 1.5 and wild < 0.2


def test_predictions_have_their_spread_and_go_through_pickle():
    y = TARGETS["laplace"]
    model = SGDRegressorX(GeneralRobustNLL(), **EXACT).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    mean, std = again.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(X))
    law = model.predict_distribution(X)
    np.testing.assert_allclose(law.std(), std)
    assert ((y - mean) ** 2).mean() == pytest.approx((std**2).mean(), rel=0.2)
    inside = (y >= law.ppf(0.1)) & (y <= law.ppf(0.9))
    assert 0.76 < inside.mean() < 0.84
    assert -law.logpdf(y).mean() == pytest.approx(model.loss_curve_[-1], rel=1e-12)


def test_they_go_into_pipelines_and_searches():
    model = make_pipeline(StandardScaler(), SGDRegressorX(optimizer="auto"))
    losses = [GeneralRobustNLL(a, "constant") for a in ("constant", 0.0, 2.0)]
    grid = {"sgdregressorx__loss": losses}
    scoring = GeneralRobustNLL("constant").as_scorer()
    search = GridSearchCV(model, {"sgdregressorx__loss": losses[:1]}, scoring=scoring, cv=3)
    assert np.isfinite(search.fit(X, TARGETS["cauchy"]).best_score_)
    given = GridSearchCV(model, grid, scoring=sl.make_loss_scorer("absolute_error"), cv=3)
    assert given.fit(X, TARGETS["cauchy"]).best_params_["sgdregressorx__loss"] in losses[:2]


def test_steps_train_heads_that_are_all_linear():
    y = TARGETS["contaminated"]
    for loss in (GeneralRobustNLL("linear"), GeneralRobustNLL(0.5)):
        model = SGDRegressorX(loss, optimizer="adam", batch_size=16, alpha=0, random_state=0)
        model.fit(Z, y)
        exact = SGDRegressorX(loss, optimizer="auto", alpha=0).fit(Z, y)
        assert model.loss_(y, model.predict_raw(Z)) < exact.loss_curve_[-1] + 0.1
    with pytest.raises(ValueError, match=r"has constant ones\. Use optimizer='auto'"):
        SGDRegressorX(GeneralRobustNLL(), optimizer="adam").fit(Z, y)


def test_equal_targets_are_named_and_the_model_stays():
    model = SGDRegressorX(GeneralRobustNLL(), optimizer="auto").fit(X, TARGETS["laplace"])
    before = model.coef_.copy()
    with pytest.raises(ValueError, match=r"targets that differ.*got 3\.0 alone, of 400"):
        model.fit(X, np.full(N, 3.0))
    np.testing.assert_array_equal(model.coef_, before)
