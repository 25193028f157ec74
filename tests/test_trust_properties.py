"""Fits reach the minimum in any unit of X and y, at any rate of events, or say that they did not."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minima import Objective, descent, linear_program, newton, pieces_of
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sklearn_losses import LOSSES, OPTIMIZERS, HuberLoss, PinballLoss, get_loss
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

STEPPING = [name for name, cls in OPTIMIZERS.items() if not (cls.full_batch or cls.memory)]
NAMES = [name for name in LOSSES if name != "root_mean_squared_error"]
GLMS = ["poisson", "gamma", "tweedie", "negative_binomial", "log_loss"]
RARE = ["poisson", "log_loss"]
# Of the objective above its floor.
CLOSE = {"float64": 1e-6, "float32": 1e-4}
EVENTS = 10


def examples(n):
    return settings(
        max_examples=n,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def estimator_of(loss):
    return SGDRegressorX if loss.task == "regression" else SGDClassifierX


def said(model, *args, **kwargs):
    """What the fit warns of: one string."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*args, **kwargs)
    assert all(issubclass(w.category, ConvergenceWarning) for w in caught), caught
    return " ".join(str(w.message) for w in caught)


@dataclass(repr=False)
class Problem:
    """Drawn data for a loss, and the parameters of a fit."""

    loss: object
    X: object
    y: np.ndarray
    alpha: float
    penalty: str
    exponents: tuple
    kind: str

    def __repr__(self):
        return (
            f"{self.loss!r} {type(self.X).__name__}{self.X.shape} {self.X.dtype} alpha="
            f"{self.alpha} {self.penalty} exponents={self.exponents} {self.kind}"
        )

    @property
    def bound(self):
        return CLOSE[self.X.dtype.name]


@st.composite
def problems(draw, name, *, dtypes=("float64",), rows=200):
    """A problem for the loss of that name."""
    rng = np.random.RandomState(draw(st.integers(0, 2**16)))
    dtype = draw(st.sampled_from(dtypes))
    exponents = tuple(draw(st.integers(-6, 6)) for _ in range(3))
    # Float32 holds no more digits of a column than beside its offset.
    most = 3.0 if dtype == "float64" else 1.0
    offsets = [draw(st.sampled_from([0.0, 1.0, most])) for _ in range(3)]
    rate = draw(st.sampled_from([0.0, 0.1, 1e-2, 1e-3, 1e-4])) if name in RARE else 0.0
    n = max(rows, int(EVENTS / rate)) if rate else rows
    Z = rng.normal(size=(n, 3))
    Z[:, 2] *= rng.rand(n) < 0.4
    signal = Z @ [0.5, -0.3, 0.2]
    X = (Z + np.where(offsets, 10.0 ** np.array(offsets), 0.0)) * 10.0 ** np.array(exponents)
    noisy = signal + 0.4 * rng.standard_t(4, size=n)
    loss, y, unit = get_loss(name), noisy, 0
    if loss.is_multiclass:
        y = np.digitize(noisy, [-0.4, 0.4])
    elif loss.task == "binary":
        y = (noisy > 0.1).astype(int)
        if rate:
            odds = rate * np.exp(signal)
            y = (rng.rand(n) < odds / (1 + odds)).astype(int)
            y[:2] = 0, 1
    elif name == "poisson":
        y = rng.poisson(np.exp(signal) * (rate or draw(st.sampled_from([1.0, 1e3])))).astype(float)
        y[0] += 1
    elif loss.in_y_true_range(noisy) and name != "mape":
        unit = draw(st.integers(-6, 6))
        scale = type(loss)._scale
        if scale is not None:
            automatic = draw(st.booleans())
            given = 10.0**unit * getattr(loss, scale.parameter)
            loss = type(loss)(**{scale.parameter: "auto" if automatic else given})
        y = 10.0**unit * (noisy + draw(st.sampled_from([0.0, 100.0])))
    else:
        unit = draw(st.integers(-6, 6))
        y = 10.0**unit * np.exp(noisy)
    alpha = draw(st.sampled_from([0.0, 1e-4]))
    penalty = "l2" if loss.differentiable else "l1"  # which stays a linear program
    X = X.astype(dtype)
    if draw(st.booleans()):
        X = sparse.csr_matrix(X)
    return Problem(loss, X, y, alpha, penalty, (*exponents, *offsets, unit), f"rate={rate}")


def best_of(objective, model, problem):
    """The least value of the objective, of which one that is not convex has its local one."""
    loss = objective.loss
    if not loss.differentiable:
        pieces = pieces_of(loss, objective.y)
        return None if pieces is None else linear_program(objective, pieces)
    if loss.is_multiclass:
        return descent(objective)
    if loss.convex:
        found = newton(objective, float(loss.fit_intercept_only(objective.y)))
    else:
        found = newton(objective, float(np.ravel(model.intercept_)[0]), np.ravel(model.coef_))
    return found


def check(problem, optimizer):
    """Fit the problem: the model is at the minimum, or the fit has warned."""
    loss = problem.loss
    params = {"optimizer": optimizer, "random_state": 0}
    model = estimator_of(loss)(loss, alpha=problem.alpha, penalty=problem.penalty, **params)
    if said(model, problem.X, problem.y):
        return "warned"
    l1, l2 = (problem.alpha, 0.0) if problem.penalty == "l1" else (0.0, problem.alpha)
    objective = Objective(model.loss_, problem.X, problem.y, l1=l1, l2=l2)
    best = best_of(objective, model, problem)
    if best is None:
        return "unknown"
    value = objective.of_model(model)
    size = best.value - objective.floor()
    assert value - best.value <= problem.bound * size + 1e-14 * abs(best.value), (
        f"{(value - best.value) / size:.3g} above the minimum"
    )
    if loss.name in GLMS and problem.bound == CLOSE["float64"]:
        off = np.abs(np.ravel(model.coef_) - best.coef) / best.errors
        assert (off <= 0.02).all(), f"{off} standard errors"
    return "reached"


@pytest.mark.parametrize("name", NAMES)
def test_lbfgs_reaches_the_minimum_or_warns(name):
    ends = []

    @examples(12)
    @given(problems(name))
    def holds(problem):
        ends.append(check(problem, "lbfgs"))

    holds()
    if name in [*GLMS, "squared_error", "huber", "fair", "cauchy", "multinomial"]:
        assert ends.count("warned") <= len(ends) / 4, ends  # a warning is not a way out
