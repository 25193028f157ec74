"""Fits reach the minimum in any unit of X and y, at any rate of events, or say they did not."""

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
# Losses of kinks that have smooth counterparts; the others refuse to be followed by gradients.
KINKED = ["absolute_error", "quantile", "hinge", "mape", "smooth_l2"]
REFUSED = ["epsilon_insensitive", "perceptron", "multiclass_hinge"]
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
def problems(draw, name, *, dtypes=("float64",), rows=200, rates=(0.0, 0.1, 1e-2, 1e-3, 1e-4)):
    """A problem for the loss of that name."""
    rng = np.random.RandomState(draw(st.integers(0, 2**16)))
    dtype = draw(st.sampled_from(dtypes))
    exponents = tuple(draw(st.integers(-6, 6)) for _ in range(3))
    # Float32 holds no more digits of a column than beside its offset.
    most = 3.0 if dtype == "float64" else 1.0
    offsets = [draw(st.sampled_from([0.0, 1.0, most])) for _ in range(3)]
    rate = draw(st.sampled_from(rates)) if name in RARE else 0.0
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


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
def test_lbfgs_reaches_the_minimum_or_warns(name):
    ends = []

    @examples(15)
    @given(problems(name))
    def holds(problem):
        ends.append(check(problem, "lbfgs"))

    holds()
    if name in [*GLMS, "squared_error", "huber", "fair", "cauchy", "multinomial"]:
        assert ends.count("warned") <= len(ends) / 4, ends  # a warning is not a way out


# Passes of thousands of epochs over 100,000 rows take too long.
FREQUENT = (0.0, 0.1, 0.03)
FEW = ["squared_error", "huber", "poisson", "gamma", "log_loss", "multinomial", "cauchy", "msle"]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("optimizer", ["lbfgs", "gd"])
def test_losses_without_a_smooth_counterpart_are_refused(optimizer, name):
    loss = get_loss(name)
    with pytest.raises(ValueError, match="no smooth counterpart"):
        estimator_of(loss)(loss, optimizer=optimizer).fit(np.eye(6), [0, 1, 2, 0, 1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["gd", "saga", "svrg"])
@pytest.mark.parametrize("name", FEW)
def test_exact_optimizers_reach_the_minimum_or_warn(name, optimizer):
    @examples(5)
    @given(problems(name, rates=FREQUENT))
    def holds(problem):
        check(problem, optimizer)

    holds()


@pytest.mark.parametrize("optimizer", ["gd", "saga", "svrg"])
@pytest.mark.parametrize("name", KINKED[:3])
def test_kinks_are_met_by_exact_optimizers_or_warned_of(name, optimizer):
    @examples(3)
    @given(problems(name))
    def holds(problem):
        check(problem, optimizer)

    holds()


@pytest.mark.parametrize("name", [*KINKED[:4], *REFUSED[:2]])
def test_the_interior_point_reaches_the_vertex_in_any_unit(name):
    ends = []

    @examples(15)
    @given(problems(name, dtypes=("float64", "float32")))
    def holds(problem):
        ends.append(check(problem, "interior-point"))

    holds()
    assert ends.count("warned") <= len(ends) / 4, ends


@pytest.mark.parametrize("optimizer", ["lbfgs", "gd"])
@pytest.mark.parametrize("name", FEW)
def test_float32_reaches_the_minimum_to_its_digits_or_warns(name, optimizer):
    @examples(4)
    @given(problems(name, dtypes=("float32",)))
    def holds(problem):
        check(problem, optimizer)

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lbfgs", "gd", "saga", "svrg"])
@pytest.mark.parametrize("name", NAMES)
def test_many_problems_of_every_loss_and_exact_optimizer(name, optimizer):
    if name in REFUSED and optimizer in ("lbfgs", "gd"):
        pytest.skip("refused")

    @examples(20)
    @given(problems(name, dtypes=("float64", "float32")))
    def holds(problem):
        check(problem, optimizer)

    holds()


# ---------------------------------------------------------------------------------- tolerances


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lbfgs", "gd", "saga", "svrg"])
@pytest.mark.parametrize("name", ["squared_error", "huber", "poisson", "log_loss", "multinomial"])
def test_a_tighter_tolerance_is_never_worse(name, optimizer):
    @examples(2)
    @given(problems(name, rates=FREQUENT))
    def holds(problem):
        before = np.inf
        for tol in (1e-1, 1e-2, 1e-3, 1e-5):
            model = estimator_of(problem.loss)(problem.loss, alpha=problem.alpha, random_state=0)
            model.set_params(optimizer=optimizer, tol=tol)
            said(model, problem.X, problem.y)
            objective = Objective(model.loss_, problem.X, problem.y, l2=problem.alpha)
            value = objective.of_model(model) - objective.floor()
            assert value <= before * (1 + 1e-9), tol
            before = value

    holds()


# --------------------------------------------------------------------------------------- units

RNG = np.random.RandomState(0)
PLAIN = RNG.normal(size=(150, 3)) + [0.0, 3.0, -1.0]
TARGET = PLAIN @ [1.0, -2.0, 0.5] + 4 + 0.5 * RNG.standard_t(4, size=150)
# Not a power of 2: those would be exact.
UNITS = np.array([1e-6, 1e4, 3e1])


def stepped(loss, optimizer, X, y, *, stream=False):
    params = {"optimizer": optimizer, "batch_size": 16, "max_iter": 3, "tol": None, "alpha": 0}
    model = SGDRegressorX(loss, random_state=0, **params)
    if stream:
        for start in range(0, 150, 50):
            model.partial_fit(X[start : start + 50], y[start : start + 50])
        return model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("optimizer", [*STEPPING, "saga", "svrg"])
def test_steps_have_no_units(optimizer, stream, layout):
    if stream and optimizer in ("saga", "svrg"):
        pytest.skip("no streams")
    losses = {
        "squared_error": lambda k: get_loss("squared_error"),
        "huber": lambda k: HuberLoss(delta=1.3 * k),
        "quantile": lambda k: PinballLoss(quantile=0.7),
    }
    for name, loss in losses.items():
        one = stepped(loss(1.0), optimizer, layout(PLAIN), TARGET, stream=stream)
        for k in (1e-6, 1e-3, 1e5):
            other = stepped(loss(k), optimizer, layout(PLAIN), k * TARGET, stream=stream)
            np.testing.assert_allclose(other.coef_, k * one.coef_, rtol=1e-6, err_msg=name)
            np.testing.assert_allclose(other.intercept_, k * one.intercept_, rtol=1e-6)
        other = stepped(loss(1.0), optimizer, layout(PLAIN / UNITS), TARGET, stream=stream)
        np.testing.assert_allclose(other.coef_, UNITS * one.coef_, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(other.intercept_, one.intercept_, rtol=1e-6)


# ---------------------------------------------------------------------------- scikit-learn's data


def regression(load, column=None):
    X, y = load(return_X_y=True)
    if column is not None:
        y = X[:, column]
        X = np.delete(X, column, axis=1)
    return X, y


REGRESSIONS = {
    "diabetes": lambda: regression(load_diabetes),
    "breast_cancer": lambda: regression(load_breast_cancer, 0),
    "iris": lambda: regression(load_iris, 2),
    "wine": lambda: regression(load_wine, 0),
    "digits": lambda: regression(load_digits, 36),
}
CLASSES = {
    "breast_cancer": load_breast_cancer,
    "iris": load_iris,
    "wine": load_wine,
    "digits": load_digits,
}
# Noise of steps, of the objective of the constant above its floor.
NOISE = 1e-3


def scaled(X, scale):
    return StandardScaler().fit_transform(X) if scale else X


def learn(model, X, y, chunks, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if not chunks:
            return model.fit(X, y)
        order = np.random.RandomState(0).permutation(len(y))
        for rows in np.array_split(order, 12):
            model.partial_fit(X[rows], y[rows], **options)
        return model


def above_constant(model, X, y, alpha):
    """The objective, over that of the best constant, from the floor."""
    total = constant = 0.0
    if model.loss_.is_multiclass:
        made = Objective(model.loss_, X, y, l2=alpha)
        best = model.loss_.fit_intercept_only(made.y)
        raw = np.broadcast_to(best, (len(y), len(best)))
        return (made.of_model(model) - made.floor()) / (made.of(raw) - made.floor())
    outputs = np.atleast_2d(model.coef_)
    for k, coef in enumerate(outputs):
        target = y
        if hasattr(model, "classes_"):
            target = y == model.classes_[k if len(outputs) > 1 else 1]
        made = Objective(model.loss_, X, target, l2=alpha)
        best = float(model.loss_.fit_intercept_only(made.y))
        total += made(coef, np.ravel(model.intercept_)[k]) - made.floor()
        constant += made(0 * coef, best) - made.floor()
    return total / constant


@pytest.mark.pairwise
@pytest.mark.parametrize("chunks", [False, True], ids=["fit", "stream"])
@pytest.mark.parametrize("scale", [False, True], ids=["raw", "scaled"])
@pytest.mark.parametrize("data", REGRESSIONS)
@pytest.mark.parametrize("optimizer", STEPPING)
def test_steps_are_never_worse_than_the_constant(optimizer, data, scale, chunks):
    X, y = REGRESSIONS[data]()
    X = scaled(X, scale)
    ratios = {}
    for loss in ("squared_error", "absolute_error", HuberLoss("auto")):
        for unit in (1e-3, 1.0, 1e5):
            if chunks and unit != 1.0:
                continue
            model = SGDRegressorX(loss, optimizer=optimizer, batch_size=64, random_state=0)
            if loss == "absolute_error":
                # Its slope has no unit: beside a penalty that has, 1e5 leaves it none.
                model.set_params(alpha=1e-4 / max(unit, 1.0) ** 2)
            learn(model, X, unit * y, chunks)
            alpha = 0.0 if optimizer == "adamw" else model.alpha  # whose decay is no penalty
            ratios[str(loss), unit] = above_constant(model, X, unit * y, alpha)
    assert max(ratios.values()) <= 1 + NOISE, ratios


@pytest.mark.pairwise
@pytest.mark.parametrize("chunks", [False, True], ids=["fit", "stream"])
@pytest.mark.parametrize("scale", [False, True], ids=["raw", "scaled"])
@pytest.mark.parametrize(
    "data", [pytest.param(n, marks=pytest.mark.slow) if n == "digits" else n for n in CLASSES]
)
@pytest.mark.parametrize("optimizer", STEPPING)
def test_steps_on_classes_are_never_worse_than_the_constant(optimizer, data, scale, chunks):
    X, y = CLASSES[data](return_X_y=True)
    X = scaled(X, scale)
    ratios = {}
    for loss in ("log_loss", "hinge", "multinomial"):
        model = SGDClassifierX(loss, optimizer=optimizer, batch_size=64, random_state=0)
        options = {"classes": np.unique(y)} if chunks else {}
        learn(model, X, y, chunks, **options)
        if loss != "multinomial" or len(model.classes_) > 2:
            alpha = 0.0 if optimizer == "adamw" else model.alpha
            ratios[loss] = above_constant(model, X, y, alpha)
    assert max(ratios.values()) <= 1 + NOISE, ratios


@pytest.mark.parametrize("data", ["breast_cancer", "wine"])
def test_scikit_learns_algorithm_on_unlike_columns_warns_and_names_the_scaler(data):
    X, y = REGRESSIONS[data]()
    message = said(SGDRegressorX(random_state=0), X, y)
    assert "StandardScaler" in message
    X, y = CLASSES[data](return_X_y=True)
    model = SGDClassifierX("log_loss", random_state=0)
    message = said(model, X, y)
    if above_constant(model, X, y, model.alpha) > 1:
        assert "StandardScaler" in message


# ------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
@pytest.mark.parametrize("optimizer", STEPPING)
def test_a_column_that_grows_in_a_stream_does_not_blow_up(optimizer, loss, layout):
    rng = np.random.RandomState(0)
    model = SGDRegressorX(loss, optimizer=optimizer, batch_size=32, random_state=0)
    made = get_loss(loss)
    for chunk in range(16):
        Z = rng.normal(size=(512, 3))
        grown = chunk >= 8
        # What the column says stays the same; its unit does not.
        X = Z * [100.0 if grown else 1.0, 1.0, 1.0]
        raw = 1 + Z @ [0.3, -0.2, 0.4]
        y = rng.poisson(np.exp(raw)) if loss == "poisson" else raw + 0.3 * rng.normal(size=512)
        constant = made(y, np.full(512, float(made.fit_intercept_only(y))))
        X = layout(X)
        model.partial_fit(X, y)
        shown = np.log(model.predict(X)) if loss == "poisson" else model.predict(X)
        floor = -made.constant_to_optimal_zero(np.asarray(y, dtype=float)).mean()
        above = (made(y, shown) - floor) / (constant - floor)
        assert above < 3, (chunk, above)
    assert above < 1


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_what_is_predicted_at_the_center_of_a_column_that_grows_stays(optimizer):
    rng = np.random.RandomState(0)
    Z = rng.normal(size=(512, 2))
    X, y = Z + [50.0, 0.0], 3.0 + Z @ [1.0, -0.5]
    model = SGDRegressorX(optimizer=optimizer, batch_size=32, random_state=0)
    for _ in range(20):
        model.partial_fit(X, y)
    center = X.mean(axis=0, keepdims=True)
    before, coef = model.predict(center), model.coef_.copy()
    model.set_params(learning_rate="constant", eta0=1e-12)
    model.partial_fit(Z * [100.0, 1.0] + [50.0, 0.0], y)
    assert abs(model.coef_[0]) < 0.1 * abs(coef[0]) and abs(coef[0]) > 0.5
    np.testing.assert_allclose(model.predict(center), before, atol=1e-3)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("optimizer", STEPPING)
def test_a_stream_takes_the_rate_that_is_set(optimizer, learning_rate):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(256, 2))
    y = X @ [1.0, -0.5] + rng.normal(size=256)
    model = SGDRegressorX(optimizer=optimizer, batch_size=32, random_state=0)
    # Averages, which an optimizer may have of its own, would go on: they never begin.
    model.set_params(learning_rate=learning_rate, eta0=0.05, average=10**9).partial_fit(X, y)
    coef = model.coef_.copy()
    model.set_params(eta0=1e-12).partial_fit(X, y)
    assert model.learning_rate_curve_[0] > 1e-3 and model.learning_rate_curve_[1] < 1e-11
    if optimizer not in ("momentum", "nesterov"):  # which go on with the velocity that they have
        np.testing.assert_allclose(model.coef_, coef, atol=1e-9)
