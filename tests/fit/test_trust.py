"""Fits end at the minimum on data that defeated them, or say that they did not."""

import warnings

import numpy as np
import pytest
from minima import Objective, linear_program, newton, pieces_of
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import HuberRegressor
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from sklearn_losses import Cauchy, HalfTweedieLoss, HuberLoss, PinballLoss, get_loss
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

EXACT = ["lbfgs", "gd", "saga", "svrg"]
CONVERTERS = {
    "dense": np.asarray,
    "csr": sparse.csr_matrix,
    "float32": lambda X: np.asarray(X, dtype=np.float32),
}


def said(model, *args, **kwargs):
    """What the fit warns of: one string."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*args, **kwargs)
    assert all(issubclass(w.category, ConvergenceWarning) for w in caught), caught
    return " ".join(str(w.message) for w in caught)


def quietly(model, *args, **kwargs):
    """The model of a fit that has nothing to say."""
    assert said(model, *args, **kwargs) == ""
    return model


# ------------------------------------------------------------------------ infinite values of a loss

YEARS = np.array([[1950.0], [1975.0], [2000.0], [2025.0]])


@pytest.mark.parametrize("kind", CONVERTERS)
def test_a_column_of_years_has_the_slope_of_the_counts(kind):
    y = [3.0, 4.0, 6.0, 9.0]
    model = SGDRegressorX("poisson", alpha=0, optimizer="lbfgs")
    quietly(model, CONVERTERS[kind](YEARS), y)
    np.testing.assert_allclose(model.coef_, [0.01513], atol=5e-6)
    np.testing.assert_allclose(model.predict(YEARS), [2.86, 4.17, 6.09, 8.89], atol=6e-3)


@pytest.mark.parametrize("kind", CONVERTERS)
@pytest.mark.parametrize("power", [None, 1.2, 1.5, 1.9, 2.0, 3.0])
def test_a_column_of_years_has_the_slope_of_any_glm(power, kind):
    loss = get_loss("negative_binomial") if power is None else HalfTweedieLoss(power=power)
    y = np.array([3.0, 4.0, 6.0, 9.0])
    model = quietly(SGDRegressorX(loss, alpha=0, optimizer="lbfgs"), CONVERTERS[kind](YEARS), y)
    best = newton(Objective(loss, YEARS, y), np.log(y.mean()))
    np.testing.assert_allclose(model.coef_, best.coef, rtol=1e-3)
    np.testing.assert_allclose(
        model.predict(YEARS), np.exp(YEARS @ best.coef + best.intercept), rtol=1e-3
    )


@pytest.mark.parametrize("kind", CONVERTERS)
@pytest.mark.parametrize("loss", ["exponential", "log_loss"])
def test_a_column_of_years_has_the_slope_of_the_classes(loss, kind):
    X, y = np.vstack([YEARS, YEARS + 10]), np.array([0, 0, 1, 1, 1, 0, 0, 1])
    model = quietly(SGDClassifierX(loss, alpha=0, optimizer="lbfgs"), CONVERTERS[kind](X), y)
    best = newton(Objective(get_loss(loss), X, y))
    np.testing.assert_allclose(model.coef_[0], best.coef, rtol=2e-3)
    raw = X @ best.coef + best.intercept
    np.testing.assert_allclose(model.decision_function(X), raw, atol=2e-3)


# -------------------------------------------------------------------------------------- rare events


def rare(n, kind):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n, 3))
    if kind == "poisson":
        return X, rng.poisson(1e-4 * np.exp(0.5 * X[:, 0] - 0.125)).astype(float)
    odds = np.exp(0.5 * X[:, 0]) * 0.001
    return X, (rng.rand(n) < odds / (1 + odds)).astype(int)


@pytest.mark.parametrize("optimizer", ["lbfgs", "gd", "saga", "svrg"])
@pytest.mark.parametrize("kind", ["poisson", "log_loss"])
def test_rare_events_have_their_rate_and_slope(kind, optimizer):
    n = 200_000 if optimizer == "lbfgs" else 50_000
    X, y = rare(n, kind)
    estimator = SGDRegressorX if kind == "poisson" else SGDClassifierX
    model = estimator(kind, optimizer=optimizer, alpha=0, random_state=0)
    if said(model, X, y):
        assert optimizer != "lbfgs"
        return
    start = np.log(y.mean() / (1 - y.mean() if kind == "log_loss" else 1))
    best = newton(Objective(get_loss(kind), X, y), start)
    shown = model.predict(X) if kind == "poisson" else model.predict_proba(X)[:, 1]
    np.testing.assert_allclose(shown.mean() / y.mean(), 1.0, atol=1e-3)
    assert (np.abs(np.ravel(model.coef_) - best.coef) <= 0.02 * best.errors).all()


def test_rare_events_at_the_default_penalty_are_the_penalised_minimum():
    X, y = rare(200_000, "poisson")
    model = quietly(SGDRegressorX("poisson", optimizer="lbfgs"), X, y)
    objective = Objective(get_loss("poisson"), X, y, l2=1e-4)
    best = newton(objective, np.log(y.mean()))
    np.testing.assert_allclose(model.predict(X).mean() / y.mean(), 1.0, atol=1e-3)
    assert (np.abs(model.coef_ - best.coef) <= 0.02 * best.errors).all()


# --------------------------------------------------------------------------------------- units of y

LINEAR = np.random.RandomState(1).normal(size=(500, 3))
SIGNAL = LINEAR @ [1.0, -2.0, 3.0] + 0.1 * np.random.RandomState(2).normal(size=500)


@pytest.mark.parametrize("k", [1e-6, 1e-4, 1e-3, 1e-2, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("optimizer", EXACT)
@pytest.mark.parametrize(
    "loss",
    [lambda k: HuberLoss(delta=0.135 * k), lambda k: get_loss("squared_error")],
    ids=["huber", "squared_error"],
)
def test_any_unit_of_y_is_explained_alike(loss, optimizer, k):
    y = k * SIGNAL
    # A bounded slope, of delta, is to be beyond the penalty's.
    model = SGDRegressorX(loss(k), optimizer=optimizer, alpha=1e-6, random_state=0)
    quietly(model, LINEAR, y)
    best = newton(Objective(loss(k), LINEAR, y, l2=1e-6), y.mean())
    np.testing.assert_allclose(model.coef_ / k, best.coef / k, atol=1e-3)
    assert model.score(LINEAR, y) > 0.998 or model.score(LINEAR, y) > 0.96  # D2 of its own loss
    assert r2_score(y, model.predict(LINEAR)) > 0.998


@pytest.mark.parametrize("k", [1e-6, 1e-3, 1.0, 1e3])
def test_log_cosh_is_minimised_in_any_unit(k):
    y = k * SIGNAL
    model = quietly(SGDRegressorX("log_cosh", optimizer="lbfgs", alpha=0), LINEAR, y)
    best = newton(Objective(get_loss("log_cosh"), LINEAR, y), np.median(y))
    np.testing.assert_allclose(model.coef_ / k, best.coef / k, atol=1e-3)


# ------------------------------------------------------------------------------------------ streams


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_a_stream_covers_its_quantiles(optimizer):
    quantiles = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    loss = PinballLoss(quantile=list(quantiles))

    def drawn(rng, n):
        X = rng.normal(size=(n, 4))
        return X, 85 + 8 * X[:, 0] - 5 * X[:, 1] + 6 * rng.normal(size=n)

    misses = []
    for seed in range(3):
        rng = np.random.RandomState(seed)
        model = SGDRegressorX(loss, optimizer=optimizer, batch_size=64, random_state=0)
        for _ in range(12):
            model.partial_fit(*drawn(rng, 50_000))
        X, y = drawn(rng, 50_000)
        misses.append((y[:, None] <= model.predict(X)).mean(axis=0) - quantiles)
    # The last steps of one stream leave a noise of about .01.
    assert np.abs(np.mean(misses, axis=0)).max() <= 0.01
    assert np.sqrt(np.mean(np.square(misses))) <= 0.01


# ------------------------------------------------------------------ columns of unlike size, dollars


def houses(n=4000):
    """Like California housing: columns of unlike size and offset, heavy tails, y in dollars."""
    rng = np.random.RandomState(0)
    income = 3.5 * np.exp(0.45 * rng.normal(size=n))
    age = rng.randint(1, 53, size=n).astype(float)
    rooms = 5.2 * np.exp(0.2 * rng.normal(size=n)) * (1 + 8 * (rng.rand(n) < 0.002))
    bedrooms = rooms / 5 * np.exp(0.1 * rng.normal(size=n))
    population = 1200 * np.exp(0.8 * rng.normal(size=n))
    crowd = 2.9 * np.exp(0.2 * rng.normal(size=n))
    crowd[rng.choice(n, 3, replace=False)] = [600.0, 1200.0, 230.0]
    south = rng.rand(n) < 0.6
    latitude = np.where(south, 33.9, 37.9) + 0.7 * rng.normal(size=n)
    longitude = np.where(south, -118.0, -121.9) + 0.7 * rng.normal(size=n)
    X = np.column_stack([income, age, rooms, bedrooms, population, crowd, latitude, longitude])
    raw = 43e3 * income + 900 * age - 10e3 * rooms + 60e3 * bedrooms - 42e3 * (latitude - 35.6)
    y = raw - 43e3 * (longitude + 119.6) + 60e3 * rng.standard_t(3, size=n)
    return X, np.clip(y, 15e3, 500e3)


HOUSES, DOLLARS = houses()
STANDARD = StandardScaler().fit_transform(HOUSES)
DESIGN = np.column_stack([STANDARD, np.ones(len(DOLLARS))])
LEAST_SQUARES = r2_score(DOLLARS, DESIGN @ np.linalg.lstsq(DESIGN, DOLLARS, rcond=None)[0])


@pytest.mark.parametrize("X", [HOUSES, STANDARD], ids=["raw", "scaled"])
@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_steps_explain_dollars(optimizer, X):
    model = SGDRegressorX(optimizer=optimizer, batch_size=64, random_state=0)
    quietly(model, X, DOLLARS)
    assert r2_score(DOLLARS, model.predict(X)) > LEAST_SQUARES - 0.01


@pytest.mark.parametrize("X", [HOUSES, STANDARD], ids=["raw", "scaled"])
@pytest.mark.parametrize("optimizer", EXACT)
def test_exact_optimizers_explain_dollars(optimizer, X):
    model = SGDRegressorX(optimizer=optimizer, random_state=0)
    quietly(model, X, DOLLARS)
    objective = Objective(get_loss("squared_error"), X, DOLLARS, l2=1e-4)
    best = newton(objective, DOLLARS.mean())
    assert objective.of_model(model) <= best.value * (1 + 1e-6)
    assert r2_score(DOLLARS, model.predict(X)) > LEAST_SQUARES - 1e-3


def test_scikit_learns_algorithm_names_the_scaler_where_columns_are_of_unlike_size():
    message = said(SGDRegressorX(random_state=0), HOUSES, DOLLARS)
    assert "worse than the best constant" in message
    assert "make_pipeline(StandardScaler(), SGDRegressorX(...))" in message


@pytest.mark.parametrize("loss", ["huber", "absolute_error", "cauchy", "fair", "quantile"])
def test_a_fit_that_the_penalty_holds_says_which_alpha(loss):
    model = SGDRegressorX(loss, optimizer="lbfgs")
    message = said(model, STANDARD, DOLLARS)
    objective = Objective(model.loss_, STANDARD, DOLLARS)
    constant = model.loss_.fit_intercept_only(DOLLARS)
    free = SGDRegressorX(loss, optimizer="lbfgs", alpha=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        free.fit(STANDARD, DOLLARS)
    lost = objective(np.zeros(8), constant) - objective.of_model(model)
    to_gain = objective(np.zeros(8), constant) - objective.of_model(free)
    if lost < 0.5 * to_gain:
        assert "alpha" in message


@pytest.mark.parametrize("optimizer", EXACT)
@pytest.mark.parametrize("X", [HOUSES, STANDARD], ids=["raw", "scaled"])
def test_huber_with_an_estimated_scale_is_huber_regressor(X, optimizer):
    peer = HuberRegressor(alpha=0, max_iter=10_000, tol=1e-8).fit(STANDARD, DOLLARS)
    model = SGDRegressorX(HuberLoss("auto"), optimizer=optimizer, alpha=0, random_state=0)
    quietly(model, X, DOLLARS)
    np.testing.assert_allclose(model.predict(X), peer.predict(STANDARD), rtol=1e-3, atol=100)


@pytest.mark.parametrize("X", [HOUSES, STANDARD], ids=["raw", "scaled"])
def test_absolute_errors_in_dollars_are_those_of_the_linear_program(X):
    X, y = X[::4], DOLLARS[::4]
    model = quietly(SGDRegressorX("absolute_error", optimizer="lbfgs", alpha=0), X, y)
    objective = Objective(model.loss_, X, y)
    best = linear_program(objective, pieces_of(model.loss_, y))
    assert best.value * (1 - 1e-9) <= objective.of_model(model) <= best.value * (1 + 1e-6)


def test_cauchy_with_an_estimated_scale_explains_dollars():
    model = quietly(SGDRegressorX(Cauchy("auto"), optimizer="lbfgs", alpha=0), HOUSES, DOLLARS)
    assert r2_score(DOLLARS, model.predict(HOUSES)) > LEAST_SQUARES - 0.05
    best = newton(Objective(model.loss_, HOUSES, DOLLARS), np.median(DOLLARS))
    np.testing.assert_allclose(model.coef_, best.coef, rtol=1e-2, atol=1e-2)


# -------------------------------------------------------------------- losses that redescend, growth


@pytest.mark.parametrize("optimizer", EXACT)
@pytest.mark.parametrize("loss", ["tukey", "welsch", "geman_mcclure", "cauchy"])
def test_losses_that_redescend_find_a_line_that_is_exact(loss, optimizer):
    x = np.arange(1.0, 17.0)
    model = SGDRegressorX(loss, optimizer=optimizer, alpha=0, tol=1e-8, random_state=0)
    model.set_params(max_iter=2000)
    if said(model, x[:, None], 1000 + x):
        assert optimizer in ("saga", "svrg", "gd")
        return
    np.testing.assert_allclose(model.coef_, [1.0], atol=1e-5)
    np.testing.assert_allclose(model.intercept_, [1000.0], atol=1e-4)


def heavy():
    rng = np.random.RandomState(0)
    x = rng.normal(size=300)
    y = rng.poisson(np.exp(1 + 0.5 * x)).astype(float)
    x[0], y[0] = 15.0, 3e6
    return x[:, None], y


def thousands():
    rng = np.random.RandomState(0)
    x = rng.normal(size=(300, 1))
    return x, rng.poisson(np.exp(7.9 + 0.5 * x[:, 0])).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", ["invscaling", "optimal"])
@pytest.mark.parametrize("optimizer", EXACT)
@pytest.mark.parametrize("data", [heavy, thousands])
def test_counts_that_grow_fast_are_minimised_or_warned_of(data, optimizer, learning_rate):
    X, y = data()
    params = {"batch_size": 32} if optimizer in ("saga", "svrg") else {}
    params.update(learning_rate=learning_rate, random_state=0)
    model = SGDRegressorX("poisson", optimizer=optimizer, **params)
    message = said(model, X, y)
    objective = Objective(get_loss("poisson"), X, y, l2=1e-4)
    best = newton(objective, np.log(y.mean()))
    if data is thousands and optimizer != "gd" and learning_rate == "invscaling":
        assert message == ""
    if message == "":
        if optimizer == "gd":  # where it ends within `tol` hangs on an ulp of X
            gap = objective.of_model(model) - best.value
            assert gap <= model.tol * (best.value - objective.floor())
            return
        np.testing.assert_allclose(model.coef_, best.coef, atol=0.02 * best.errors[0])
        np.testing.assert_allclose(model.intercept_, [best.intercept], atol=1e-3)
    assert np.abs(model.coef_).max() < 100


# ------------------------------------------------------------------------------------------ weights


WEIGHTED = {
    "squared_error": SGDRegressorX,
    "huber": SGDRegressorX,
    "poisson": SGDRegressorX,
    "quantile": SGDRegressorX,
    "log_loss": SGDClassifierX,
    "multinomial": SGDClassifierX,
}


@pytest.mark.parametrize("optimizer", ["lbfgs", "saga", "adam"])
@pytest.mark.parametrize("weight", [1e307, 1e-300, 5e-324])
@pytest.mark.parametrize("loss", WEIGHTED)
def test_equal_weights_of_any_size_are_none(loss, weight, optimizer):
    X, y = LINEAR[:60], np.exp(SIGNAL[:60] / 4)
    if WEIGHTED[loss] is SGDClassifierX:
        y = np.digitize(y, [0.5, 1.5])[: len(y)] if loss == "multinomial" else y > 1
    params = {"optimizer": optimizer, "random_state": 0, "max_iter": 100, "tol": None}
    if optimizer != "lbfgs":
        params["batch_size"] = 16
    elif loss != "quantile":
        params.update(tol=1e-6, max_iter=1000)
    weight = np.full(60, weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain = WEIGHTED[loss](loss, **params).fit(X, y)
        weighted = WEIGHTED[loss](loss, **params).fit(X, y, sample_weight=weight)
        validated = WEIGHTED[loss](loss, **params)
        validated.fit(X, y, sample_weight=weight, X_val=X, y_val=y, sample_weight_val=weight)
    # Rounding of the weights' factor is another path, to where tol ends it.
    rtol = 1e-5 if optimizer == "lbfgs" else 1e-9
    np.testing.assert_allclose(weighted.coef_, plain.coef_, rtol=rtol)
    np.testing.assert_allclose(weighted.intercept_, plain.intercept_, rtol=rtol)
    assert np.isfinite(validated.validation_curve_).all()


# ---------------------------------------------------------------------------- float32 far from zero


@pytest.mark.parametrize("optimizer", ["lbfgs", "gd"])
@pytest.mark.parametrize("offset", [30, 300, 3000])
def test_float32_columns_far_from_zero_end_at_the_answer_of_float64(offset, optimizer):
    rng = np.random.RandomState(0)
    X = (rng.normal(size=(500, 3)) + offset).astype(np.float32)
    y = X.astype(float) @ [1.0, -2.0, 0.5]
    model = SGDRegressorX(optimizer=optimizer, alpha=0, tol=1e-6)
    message = said(model, X, y)
    if r2_score(y, model.predict(X)) < 1 - 1e-5:
        assert message != ""
    assert r2_score(y, model.predict(X)) > 0.999
    np.testing.assert_allclose(model.coef_, [1.0, -2.0, 0.5], atol=3e-6 * offset)


@pytest.mark.parametrize("optimizer", ["saga", "svrg", "adam", "sgd"])
def test_float32_columns_far_from_zero_are_explained_by_steps(optimizer):
    rng = np.random.RandomState(0)
    X = (rng.normal(size=(500, 3)) + 300).astype(np.float32)
    y = X.astype(float) @ [1.0, -2.0, 0.5]
    model = SGDRegressorX(optimizer=optimizer, alpha=0, batch_size=16, random_state=0)
    said(model, X, y)
    assert r2_score(y, model.predict(X)) > 0.999


# --------------------------------------------------------------------------------------- tolerances


def many_columns(n, d):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n, d))
    return X, X @ rng.normal(size=d) / np.sqrt(d) + rng.standard_t(3, size=n)


MINUTES = [pytest.mark.slow, pytest.mark.exhaustive]


@pytest.mark.parametrize("n, d", [(800, 30), pytest.param(5000, 200, marks=MINUTES)])
@pytest.mark.parametrize("quantile", [0.5, 0.9])
def test_quantiles_of_many_columns_are_those_of_the_linear_program(quantile, n, d):
    X, y = many_columns(n, d)
    loss = PinballLoss(quantile=quantile)
    objective = Objective(loss, X, y)
    best = linear_program(objective, pieces_of(loss, y)).value
    before = np.inf
    for tol in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        model = SGDRegressorX(loss, optimizer="lbfgs", alpha=0, tol=tol, max_iter=20_000)
        message = said(model, X, y)
        value = objective.of_model(model)
        assert value >= best * (1 - 1e-10)
        if tol <= 1e-3 and not message:
            assert value <= best * (1 + 1e-6)
        assert value <= before * (1 + 1e-9)
        before = value
