"""Implicit steps: where they end, for losses with kinks and without convexity, for large steps; and
what estimators make of the averages that go with them. That the steps are the papers' is
test_optimizers.py's."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import brentq
from sklearn.base import clone

from sklearn_losses import (
    LOSSES,
    FunctionLoss,
    ImplicitAdaGrad,
    SGDClassifierX,
    SGDRegressorX,
    get_loss,
)
from sklearn_losses._kernels.fit.engines import Engine

CONVEX = [
    name
    for name, cls in LOSSES.items()
    if not cls.is_multiclass
    and cls.convex
    and cls.name == name
    and name != "root_mean_squared_error"
]


def one_step(loss, y, raw, rate, *, weight=None, x=2.0, growth=0.0):
    """The raw prediction of one row after a step that began at `raw`, and how far a derivative of 1
    would have moved it."""
    start = {"coef": np.array([[0.0]]), "intercept": np.array([raw])}
    if weight is not None:
        start["sample_weight"] = np.array([weight])
    steps = {"optimizer": "ImplicitAdaGrad", "params": np.array([growth])}
    engine = Engine(np.array([[x]]), np.array([y]), [loss], 1, **start, **steps)
    state = engine.get_state()
    state["s0"][:] = 1.0
    state["intercept_s0"][:] = 4.0
    engine.set_state(state)
    _, _, finite = engine.epoch(np.array([rate]), 1)
    assert finite and engine.save()
    return engine.coef()[0, 0] * x + engine.intercepts()[0], rate * (x**2 + 0.5)


def derivative(loss, y, raw):
    return float(loss.gradient(np.array([y]), np.array([raw]))[0])


@pytest.mark.parametrize("weight", [None, 3.0])
@pytest.mark.parametrize("rate", [1e-3, 0.3, 50.0, 1e5])
@pytest.mark.parametrize("name", CONVEX)
def test_a_step_ends_where_its_derivative_is_taken(name, rate, weight):
    loss = get_loss(name)
    y = 1.0 if loss.interval_y_true.includes([1.0]) else 0.5
    for start in (-2.5, 0.4, 3.0):
        first = derivative(loss, y, start)
        raw, reach = one_step(loss, y, start, rate, weight=weight)
        reach *= weight or 1.0
        if first == 0:
            assert raw == start
            continue
        # Where raw - start + reach * l'(raw) changes its sign: also at a kink.
        ends = sorted([start, start - (1 + 1e-6) * reach * first])

        def left(p, start=start, reach=reach):
            return p - start + reach * derivative(loss, y, p)

        root = brentq(left, *ends, xtol=1e-13)
        np.testing.assert_allclose(raw, root, rtol=1e-9, atol=1e-9 * max(1.0, abs(start)))


@pytest.mark.parametrize("rate", [3.0, 1e4, 1e9])
def test_long_steps_land_on_the_kink(rate):
    for loss, y, start, kink in [
        (get_loss("hinge"), 1.0, -7.0, 1.0),
        (get_loss("quantile", quantile=0.9), 0.25, -3.0, 0.25),
        (get_loss("quantile", quantile=0.9), 0.25, 1.5, 0.25),
        (get_loss("epsilon_insensitive", epsilon=0.5), 2.0, 9.0, 2.5),
    ]:
        raw, _ = one_step(loss, y, start, rate)
        np.testing.assert_allclose(raw, kink, atol=1e-9)


def test_a_short_step_of_a_loss_with_a_kink_is_the_explicit_one():
    raw, reach = one_step(get_loss("hinge"), 1.0, -7.0, 0.1)
    assert raw == pytest.approx(-7.0 + reach, abs=1e-14)


def test_a_loss_in_python_steps_as_the_built_in_one():
    own = FunctionLoss(lambda y, r: np.abs(r - y), lambda y, r: np.sign(r - y))
    for rate in (0.1, 30.0):
        mine, _ = one_step(own, 0.5, 3.0, rate)
        theirs, _ = one_step(get_loss("absolute_error"), 0.5, 3.0, rate)
        assert mine == pytest.approx(theirs, abs=1e-12)


def test_a_loss_that_pulls_harder_on_the_way_takes_the_explicit_step():
    loss = get_loss("welsch", c=1.0)
    raw, reach = one_step(loss, 0.0, 4.0, 0.1)
    assert raw == pytest.approx(4.0 - reach * derivative(loss, 0.0, 4.0), abs=1e-14)


def test_steps_that_would_overflow_do_not():
    raw, _ = one_step(get_loss("poisson"), 2.0, 300.0, 1.0)
    assert np.isfinite(raw) and raw < 300.0
    raw, _ = one_step(get_loss("gamma"), 2.0, -300.0, 1.0)
    assert np.isfinite(raw) and raw > -300.0


# -------------------------------------------------------------------------------------- estimators


def data(sparse_rows=False):
    rng = np.random.RandomState(0)
    X = rng.randn(300, 6) * [1e-3, 1.0, 1e4, 1.0, 1.0, 1.0]
    if sparse_rows:
        X = sparse.random(300, 6, 0.4, format="csr", random_state=0)
    return X, np.asarray(X @ (rng.randn(6) / [1e-3, 1, 1e4, 1, 1, 1])) + 0.1 * rng.randn(300)


@pytest.mark.parametrize("averaging", [0.0, 2.0, 3.5])
@pytest.mark.parametrize("sparse_rows", [False, True])
def test_the_model_is_the_weighted_mean_of_the_weights_after_each_step(sparse_rows, averaging):
    X, y = data(sparse_rows)
    # One batch an epoch shows every step.
    settings = {"alpha": 1e-3, "tol": None, "batch_size": "full", "random_state": 0}
    last = {**settings, "average": 10**9}
    optimizer = ImplicitAdaGrad(averaging=averaging)
    model = SGDRegressorX(optimizer=optimizer, **settings, max_iter=5).fit(X, y)
    mean = 0.0
    for t in range(1, 6):
        step = SGDRegressorX(optimizer=optimizer, **last, max_iter=t).fit(X, y).coef_
        mean = mean + (averaging + 1) / (t + averaging) * (step - mean)
    np.testing.assert_allclose(model.coef_, mean, rtol=1e-9)


@pytest.mark.parametrize("sparse_rows", [False, True])
def test_a_resumed_fit_and_its_averages_have_the_bits_of_one_that_was_never_stopped(sparse_rows):
    X, y = data(sparse_rows)
    settings = {"optimizer": "implicit_adagrad", "alpha": 1e-3, "tol": None, "random_state": 0}
    whole = SGDRegressorX(**settings, max_iter=5).fit(X, y)
    parts = SGDRegressorX(**settings, warm_start="resume", max_iter=2).fit(X, y)
    parts.set_params(max_iter=3).fit(X, y)
    assert (parts.coef_ == whole.coef_).all() and (parts.intercept_ == whole.intercept_).all()


@pytest.mark.parametrize("unit_of_X, unit_of_y", [(1e4, 1.0), (1e-6, 1e6)])
def test_no_default_has_a_unit(unit_of_X, unit_of_y):
    X, y = data()
    model = SGDRegressorX(
        optimizer="implicit_adagrad", alpha=0, max_iter=3, tol=None, random_state=0
    )
    expected = model.fit(X, y).predict(X)
    got = model.fit(X * unit_of_X, y * unit_of_y).predict(X * unit_of_X)
    np.testing.assert_allclose(got / unit_of_y, expected, rtol=1e-6, atol=1e-8)


def test_targets_that_a_constant_meets_move_nothing():
    X, _ = data()
    for constant in (0.0, 0.1, 1e6):
        model = SGDRegressorX(optimizer="implicit_adagrad", max_iter=3, tol=None, random_state=0)
        y = np.full(len(X), constant)
        np.testing.assert_allclose(model.fit(X, y).predict(X), y, rtol=1e-9, atol=1e-12)


def test_a_stream_of_parts_learns_and_a_new_column_begins_as_the_others_did():
    X, y = data()
    model = SGDClassifierX("log_loss", optimizer="implicit_adagrad", random_state=0, tol=None)
    whole = clone(model).set_params(max_iter=60).fit(X, y > 0).score(X, y > 0)
    before = X.copy()
    before[:, 2] = 0.0
    for part in range(60):
        rows = before if part < 10 else X
        model.partial_fit(rows, y > 0, classes=[False, True])
        if part == 9:
            assert model.score(X, y > 0) < whole - 0.1
    assert model.score(X, y > 0) > whole - 0.01


@pytest.mark.parametrize(
    "params, message",
    [
        ({"initial": 0.0}, "initial must be a number in"),
        ({"averaging": -1.0}, "averaging must be a number in"),
        ({"averaging": 11}, "averaging must be a number in"),
    ],
)
def test_parameters_out_of_range_are_named(params, message):
    X, y = data()
    with pytest.raises(ValueError, match=message):
        SGDRegressorX(optimizer=ImplicitAdaGrad(**params)).fit(X, y)
