"""Steps with the proximal operator of any penalty: the optimizers' own, with that operator in place
of the one of L1 and bounds; and they end where the penalised objective is stationary."""

import numpy as np
import pytest
from scipy import sparse
from slow_optimizers import Prox
from slow_penalties import cases
from test_optimizers import (
    LAYOUTS,
    PLAIN,
    REDUCED,
    OneOutput,
    OneVsRest,
    arguments_of,
    descent_of,
    engine_of,
    rates_of,
)

from sklearn_losses import get_loss
from sklearn_losses._kernels.fit.engines import Engine
from sklearn_losses._penalty import Held
from sklearn_losses.penalties import GaussianPrior, Penalty, SmoothPenalty

D = 11
ALPHA = 0.2


class InPython(Penalty):
    """L1 as a user would write it."""

    separable = convex = True

    def value(self, coef, alpha):
        return alpha * float(np.abs(coef).sum())

    def prox(self, coef, length, alpha, low=None, high=None):
        moved = np.sign(coef) * np.maximum(np.abs(coef) - alpha * length, 0.0)
        return np.clip(moved, low, high)


CASES = {**cases(D), "in Python": InPython()}
# The diagonals of the matrices of those that are quadratic, for a strength of 1.
GROUPS = [CASES["smooth"].groups == label for label in np.unique(CASES["smooth"].groups)]
RUNS = [np.diff(np.eye(D)[group], 2, axis=0) for group in GROUPS]
BENDS = {GaussianPrior: np.full(D, 2.0), SmoothPenalty: np.sum(np.vstack(RUNS) ** 2, axis=0)}
# Kernels of their own for the L1 penalty of the settings.
OPTIMIZERS = [name for name in PLAIN + REDUCED if name != "cumulative sgd"]


class PenaltyProx(Prox):
    def __init__(self, penalty, low=None, high=None):
        super().__init__()
        self.low, self.high = (-np.inf if low is None else low), (np.inf if high is None else high)
        self.penalty = penalty

    def __call__(self, w, length):
        length = np.broadcast_to(length, w.shape)
        bend = BENDS.get(type(self.penalty))
        if bend is not None:
            # What no gradient has moved yet goes by the penalty's, as far as the rate.
            slope = np.abs(self.penalty.violation(w, np.zeros(w.shape), ALPHA))
            most = 1e6 / np.where(bend > 0.0, ALPHA * bend, np.inf)
            own = np.minimum(self.rate / np.where(slope > 0.0, slope, 1e-300), most)
            length = np.where(length == 0.0, own, length)
        return self.penalty.prox(w, length, ALPHA, self.low, self.high)


def kernel_of(penalty, low=None, high=None, n_features=D):
    """What the engine takes."""
    return Held(penalty, ALPHA, n_features, low, high).kernel()


@pytest.mark.pairwise
@pytest.mark.parametrize("bounds", [False, True], ids=["free", "bounded"])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("penalty", CASES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_the_papers_with_any_penalty(name, penalty, layout, bounds):
    setup = (OneVsRest if bounds else OneOutput)(71)
    layout = LAYOUTS[layout](71, D)
    penalty = CASES[penalty]
    kernel, arguments = arguments_of(
        name, setup, D, bounds=bounds, clip_norm=None if bounds else 2.0, average=3
    )
    if arguments["memory"]:
        arguments["clip_norm"] = None
    low, high = arguments.get("low"), arguments.get("high")
    engine = engine_of(
        layout, setup, kernel, arguments | {"penalty": kernel_of(penalty, low, high)}, 7
    )
    if not penalty._kernel(ALPHA, D) or not penalty.separable:
        layout = (layout[0], layout[1], None)  # sparse rows move every feature, as dense ones do
    expected = descent_of(layout, setup, kernel, arguments)
    expected.prox = PenaltyProx(penalty, low, high)
    for epoch in range(3):
        if arguments["memory"] == "svrg" or (arguments["memory"] and epoch == 0):
            engine.remember()
            expected.remember()
        rates = rates_of(name, 71, 7, epoch)
        engine.epoch(rates, 7)
        expected.epoch(rates, 7)
        assert engine.save()
        np.testing.assert_allclose(engine.coef(), expected.w, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(engine.intercepts(), expected.b, rtol=1e-9, atol=1e-11)
    for got, wanted in zip(engine.averages(), expected.averages(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-11)
    assert np.abs(expected.w - arguments["coef"]).max() > 1e-3 and expected.w.any()


@pytest.mark.pairwise
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("penalty", CASES)
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adagrad", *REDUCED])
def test_steps_in_any_coordinates_end_where_the_objective_is_stationary(name, penalty, layout):
    setup, penalty = OneOutput(71), CASES[penalty]
    layout = LAYOUTS[layout](71, D)
    setup.y = setup.y + layout[1] @ np.where(np.arange(D) % 3, 0.0, 1.0)
    kernel, arguments = arguments_of(name, setup, D, start=False)
    unit = np.exp(np.random.RandomState(3).uniform(-0.7, 0.7, (1, D)))
    engine = engine_of(
        layout, setup, kernel, arguments | {"penalty": kernel_of(penalty), "unit": unit}, 71
    )
    batch = 8 if arguments["memory"] else 71
    rate = {"adagrad": 0.5, "momentum": 0.01, "nesterov": 0.01}.get(name, 0.05)
    for epoch in range(500 if arguments["memory"] else 4000):
        if arguments["memory"] == "svrg" or (arguments["memory"] and epoch == 0):
            engine.remember()
        engine.epoch(np.full(-(-71 // batch), rate), batch, epoch)
    engine.save()
    coef = engine.coef()
    _, gradient, _ = engine.value_gradient(coef, engine.intercepts())
    assert np.abs(penalty.violation(coef, gradient, ALPHA)).max() < 1e-6
    assert coef.any() and (penalty.smooth or not coef.all())


@pytest.mark.parametrize("bounds", [None, (-0.5, 0.25), (0.1, np.inf)])
@pytest.mark.parametrize("penalty", [name for name, p in CASES.items() if p.separable])
def test_many_missed_steps_are_as_one_after_another(penalty, bounds):
    n, n_features, rate = 5000, 40, 1e-3
    penalty = {**CASES, **cases(n_features)}[penalty]
    low, high = (None, None) if bounds is None else (np.full(n_features, b) for b in bounds)
    start = np.geomspace(1e-3, 30, n_features) * (-1.0) ** np.arange(n_features)
    start = start if bounds is None else np.clip(start, low, high)
    X = sparse.csr_matrix((np.zeros(n), np.full(n, n_features - 1), np.arange(n + 1)))
    engine = Engine(
        X,
        np.zeros(n),
        [get_loss("squared_error")],
        1,
        coef=start[None],
        intercept=np.zeros(1),
        optimizer="SGD",
        params=np.zeros(0),
        penalty=kernel_of(penalty, low, high, n_features),
        low=low,
        high=high,
        fit_intercept=False,
        batch_size=1,
    )
    engine.epoch(np.full(n, rate), 1)
    engine.save()
    for _ in range(n):
        start = penalty.prox(start, rate, ALPHA, low, high)
    np.testing.assert_allclose(engine.coef()[0, :-1], start[:-1], rtol=1e-10, atol=1e-12)
    assert (start == 0).any() or (start == 0.1).any() or penalty.smooth


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_an_error_of_a_penalty_in_python_is_raised(layout):
    setup, layout = OneOutput(71), LAYOUTS[layout](71, D)
    kernel, arguments = arguments_of("adam", setup, D)

    def fails(coef, length):
        raise ZeroDivisionError("mine")

    engine = engine_of(layout, setup, kernel, arguments | {"penalty": fails}, 7)
    with pytest.raises(ZeroDivisionError, match="mine"):
        engine.epoch(np.full(11, 0.1), 7)
