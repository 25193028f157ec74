"""Fits with penalties as objects: they end where the penalised objective is stationary, those that
have a name are the same fit, and what cannot be is said."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from slow_penalties import cases
from suited import ONLY, loss_for

from sklearn_losses import (
    L1,
    L2,
    MCP,
    SCAD,
    ElasticNet,
    GaussianPrior,
    GroupLasso,
    HuberLoss,
    Penalty,
    SGDClassifierX,
    SGDRegressorX,
    SmoothPenalty,
)
from sklearn_losses.optimizers import OPTIMIZERS
from sklearn_losses.penalties import Weighted

RNG = np.random.RandomState(0)
N, D = 300, 12
GROUPS = np.arange(D) // 3
TRUE = np.r_[2.0, -1.5, 1.0, np.zeros(6), 0.7, -0.7, 0.4]
X = RNG.randn(N, D) * np.exp(RNG.randn(D)) * (RNG.uniform(size=(N, D)) < 0.5)
Y = X @ (TRUE / X.std(axis=0)) + 0.5 * RNG.randn(N) + 3.0
LABELS = np.where(Y > np.median(Y), "yes", "no")
LAYOUTS = {"dense": np.asarray, "csr": sparse.csr_matrix}
ALPHA = 0.1


class Own(Penalty):
    """Half of L1, as a user writes it."""

    convex = separable = True

    def __init__(self, factor=0.5):
        self.factor = factor

    def value(self, coef, alpha):
        return self.factor * alpha * float(np.abs(coef).sum())

    def prox(self, coef, length, alpha, low=None, high=None):
        amount = self.factor * alpha * length
        moved = np.sign(coef) * np.maximum(np.abs(coef) - amount, 0.0)
        return moved if low is None and high is None else np.clip(moved, low, high)


QUADRATIC = (GaussianPrior, SmoothPenalty)
CASES = {**cases(D, l1_ratio=0.5), "own": Own()}
EXACT = [
    name
    for name, cls in OPTIMIZERS.items()
    if (cls.memory or cls.full_batch) and name not in ONLY  # which tests/fit/test_interior.py holds
]
STEPS = [name for name in OPTIMIZERS if name not in [*EXACT, *ONLY]]


def fitted(optimizer, penalty, layout="dense", **params):
    params = {"alpha": ALPHA, "random_state": 0, "max_iter": 3000, **params}
    model = SGDRegressorX(optimizer=optimizer, penalty=penalty, **params)
    return model.fit(LAYOUTS[layout](X), Y)


def objective(model):
    raw = X @ model.coef_ + model.intercept_
    value = np.mean((raw - Y) ** 2) / 2  # "squared_error" is scikit-learn's half
    return value + model.penalty.value(np.asarray(model.coef_, float), ALPHA)


def left(model):
    """The largest violation, of each column in its own unit."""
    residual = X @ model.coef_ + model.intercept_ - Y
    gradient = X.T @ residual / N
    low, high = model._bounds(D)
    found = model.penalty.violation(model.coef_, gradient, ALPHA, low, high)
    return np.abs(found / X.std(axis=0)).max()


def takes(optimizer, penalty):
    return optimizer != "lbfgs" or isinstance(CASES[penalty], (Weighted, *QUADRATIC))


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("penalty", CASES)
@pytest.mark.parametrize("optimizer", EXACT)
def test_exact_optimizers_end_at_a_stationary_point(optimizer, penalty, layout, positive):
    if not takes(optimizer, penalty):
        with pytest.raises(ValueError, match=r"'lbfgs' needs a penalty .* Use optimizer='gd'"):
            fitted(optimizer, CASES[penalty], layout)
        return
    # A step with such a penalty is a linear system, or a quadratic program: few have to do.
    size = 100 if isinstance(CASES[penalty], QUADRATIC) else 1
    params = {"tol": 1e-6, "positive": positive, "batch_size": size}
    model = fitted(optimizer, CASES[penalty], layout, **params)
    assert left(model) < 1e-4
    assert model.coef_.any()
    np.testing.assert_allclose(model.loss_curve_[-1], objective(model), rtol=1e-4)
    if not model.penalty.smooth and penalty != "own":
        assert not model.coef_.all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("penalty", CASES)
@pytest.mark.parametrize("optimizer", STEPS)
def test_optimizers_that_step_come_near(optimizer, penalty, layout):
    sums = CASES[penalty]._sums(ALPHA, D)
    if optimizer == "adamw" and sums is not None and np.any(sums[1]):
        with pytest.raises(ValueError, match=r"(?s)'adamw' decays all weights alike.* L2 weights"):
            fitted(optimizer, CASES[penalty], layout)
        return
    best = objective(fitted("gd", CASES[penalty], tol=1e-6))
    model = fitted(optimizer, CASES[penalty], layout, batch_size=32, max_iter=300)
    constant = 0.5 * np.var(Y)
    assert objective(model) - best < 0.03 * (constant - best)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "saga", "gd", "lbfgs"])
@pytest.mark.parametrize(
    "penalty, name, l1_ratio",
    [(L1(), "l1", 0.15), (L2(), "l2", 0.15), (ElasticNet(0.4), "elasticnet", 0.4)],
)
def test_penalties_with_a_name_are_the_same_fit(penalty, name, l1_ratio, optimizer):
    params = {"alpha": ALPHA, "random_state": 0, "max_iter": 3, "tol": None}
    one = SGDRegressorX(optimizer=optimizer, penalty=penalty, **params).fit(X, Y)
    other = SGDRegressorX(optimizer=optimizer, penalty=name, l1_ratio=l1_ratio, **params).fit(X, Y)
    np.testing.assert_array_equal(one.coef_, other.coef_)
    np.testing.assert_array_equal(one.intercept_, other.intercept_)


@pytest.mark.parametrize("optimizer", ["saga", "gd", "lbfgs"])
def test_weights_of_1_are_no_weights(optimizer):
    ones = np.ones(D)
    for weighted, plain in ((L1(ones), L1()), (L2(ones), L2()), (ElasticNet(0.4, ones), None)):
        plain = ElasticNet(0.4) if plain is None else plain
        models = [fitted(optimizer, penalty, tol=1e-8) for penalty in (weighted, plain)]
        np.testing.assert_allclose(models[0].coef_, models[1].coef_, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", ["log_loss", "multinomial"])
@pytest.mark.parametrize("optimizer", ["gd", "saga"])
def test_groups_of_classes_are_of_each_class(loss, optimizer):
    y = np.digitize(Y, np.quantile(Y, [0.3, 0.7]))
    params = {"penalty": GroupLasso(GROUPS), "alpha": 0.05, "max_iter": 3000, "random_state": 0}
    model = SGDClassifierX(loss, optimizer=optimizer, **params).fit(X, y)
    zero = np.array([[not row[GROUPS == g].any() for g in range(4)] for row in model.coef_])
    whole = np.array([[row[GROUPS == g].all() for g in range(4)] for row in model.coef_])
    assert zero.any() and (zero | whole).all()


def test_a_search_reaches_the_parameters_of_a_penalty():
    search = GridSearchCV(
        SGDClassifierX("log_loss", penalty=MCP(), optimizer="saga", alpha=0.01, max_iter=200),
        {"penalty__gamma": [1.5, 3.0], "alpha": [0.01, 0.1]},
        cv=2,
    ).fit(X, LABELS)
    assert set(search.best_params_) == {"penalty__gamma", "alpha"}
    model = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(model.predict(X), search.predict(X))
    assert clone(model).penalty == model.penalty


def test_streams_and_resumed_fits_go_on_with_a_penalty():
    params = {"optimizer": "adam", "batch_size": 16, "alpha": ALPHA, "random_state": 0, "tol": None}
    penalty = GroupLasso(GROUPS)
    whole = SGDRegressorX(penalty=penalty, max_iter=6, **params).fit(X, Y)
    part = SGDRegressorX(penalty=penalty, max_iter=3, warm_start="resume", **params).fit(X, Y)
    part = pickle.loads(pickle.dumps(part)).fit(X, Y)
    np.testing.assert_array_equal(whole.coef_, part.coef_)
    stream = SGDRegressorX(penalty=penalty, **params)
    for _ in range(60):
        stream.partial_fit(X[:150], Y[:150]).partial_fit(X[150:], Y[150:])
    assert np.abs(stream.coef_[3:9] * X.std(axis=0)[3:9]).max() < 0.1 and stream.coef_[:3].all()


@pytest.mark.parametrize("name", ["mcp", "scad"])
def test_every_name_of_a_penalty_is_one_for_the_estimators(name):
    one, other = fitted("gd", name, max_iter=5), fitted("gd", CASES[name], max_iter=5)
    np.testing.assert_array_equal(one.coef_, other.coef_)
    with pytest.raises(ValueError, match=r"GroupLasso: groups must be an array of 12 .*got None"):
        fitted("gd", "group_lasso")


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("penalty", [L2, L1, lambda w: ElasticNet(0.5, w)], ids=["l2", "l1", "net"])
@pytest.mark.parametrize("optimizer", EXACT)
@pytest.mark.parametrize("weight", [1e6, 1e20, 1e300])
def test_a_weight_may_leave_a_feature_out(optimizer, penalty, weight):
    keep, weights = np.arange(D) != 4, np.ones(D)
    weights[4] = weight
    params = {"optimizer": optimizer, "tol": 1e-6, "max_iter": 3000, "random_state": 0}
    params["alpha"] = ALPHA
    model = SGDRegressorX(penalty=penalty(weights), **params).fit(X, Y)
    without = SGDRegressorX(penalty=penalty(weights[keep]), **params).fit(X[:, keep], Y)
    np.testing.assert_allclose(model.coef_[keep], without.coef_, rtol=2e-3, atol=2e-4)
    assert abs(model.coef_[4]) < 1e-5


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("optimizer", EXACT)
def test_weights_of_l2_know_the_units_of_columns(optimizer):
    unit = 10.0 ** np.arange(-6, 6)
    fits = [
        SGDRegressorX(penalty=p, optimizer=optimizer, alpha=1.0, max_iter=2000, random_state=0)
        .fit(X * unit, Y)
        .coef_
        for p in ("l2", L2(np.ones(D)))
    ]
    np.testing.assert_allclose(fits[0] * unit, fits[1] * unit, rtol=0.05, atol=0.01)


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("penalty", ["l2", *CASES])
def test_a_fit_that_starts_at_its_minimum_ends_there(penalty):
    if penalty == "gaussian_prior":
        return  # whose minimum is elsewhere than at 0
    model = SGDRegressorX(penalty=CASES.get(penalty, penalty), optimizer="gd", alpha=ALPHA)
    model.fit(X, np.full(N, 7.0))
    assert model.stop_reason_ == "converged" and model.n_iter_ == 1
    np.testing.assert_array_equal(model.coef_, 0.0)
    model.set_params(tol=None, max_iter=4).fit(X, np.full(N, 7.0))
    assert model.stop_reason_ == "max_iter" and model.n_iter_ == 4


def test_bad_penalties_are_refused_by_name():
    with pytest.raises(ValueError, match=r"GroupLasso: groups must have a label for each of 12"):
        SGDRegressorX(penalty=GroupLasso([0, 1])).fit(X, Y)
    with pytest.raises(ValueError, match=r"L1: weights must be None or 12 numbers in"):
        SGDRegressorX(penalty=L1([1.0])).fit(X, Y)
    with pytest.raises(ValueError, match=r"gamma must be a number in \(1"):
        SGDRegressorX(penalty=MCP(0.5)).fit(X, Y)
    with pytest.raises(ValueError, match="'penalty' parameter of SGDRegressorX must be"):
        SGDRegressorX(penalty="ridge").fit(X, Y)
    with pytest.raises(ValueError, match=r"a scale of 'auto' is found with penalty 'l2'"):
        SGDRegressorX(HuberLoss("auto"), penalty=MCP(), optimizer="gd").fit(X, Y)


def test_arrays_of_a_device_are_refused_with_a_penalty_of_the_host(device):
    x = device.xp.asarray(X)
    with pytest.raises(ValueError, match=r"GroupLasso.* is for arrays on the host"):
        SGDRegressorX(penalty=GroupLasso(GROUPS), batch_size=64).fit(x, device.xp.asarray(Y))


# Coefficients of skglm 0.5 ("mcp", "scad", "l1": AndersonCD(tol=1e-12) on centred data) and of glum
# 3.4.1 ("elasticnet": P1 and P2 the weights, "poisson": P2; gradient_tol=1e-10).
PEERS = {
    "mcp": [1.9694594, -1.4590401, 0.0, 0.0, 0.9374473, 0.0, 0.0, 0.1023264],
    "scad": [1.9691481, -1.4614174, 0.0, 0.0, 0.9412844, 0.0, 0.0, 0.0701216],
    "l1": [1.9486143, -1.3889698, 0.0, 0.0, 0.7077533, 0.0, 0.0, 0.0],
    "elasticnet": [1.9530553, -1.3748938, 0.0, 0.0, 0.7291549, 0.0, 0.0, 0.0816612],
    "poisson": [
        0.4937485, -0.3478251, 0.0082841, 0.01953, 0.1662449, -0.0081729, -0.0130872, 0.0525865
    ],
}  # fmt: skip


@pytest.mark.parametrize("optimizer", ["gd", "saga", "lbfgs"])
@pytest.mark.parametrize("peer", PEERS)
def test_fits_are_those_of_skglm_and_glum(peer, optimizer):
    rng = np.random.RandomState(0)
    x = rng.randn(200, 8)
    y = x @ np.r_[2.0, -1.5, 0, 0, 1, 0, 0, 0.3] + 0.5 * rng.randn(200)
    weights = np.linspace(0, 2, 8)
    penalty = {
        "mcp": MCP(3.0),
        "scad": SCAD(3.7),
        "l1": L1(weights),
        "elasticnet": ElasticNet(0.5, weights),
        "poisson": L2(weights),
    }[peer]
    loss = "squared_error"
    if peer == "poisson":
        loss, y = "poisson", np.exp(y / 4).round()
    if optimizer == "lbfgs" and not isinstance(penalty, Weighted):
        return
    model = SGDRegressorX(loss, optimizer=optimizer, penalty=penalty, alpha=0.2, tol=1e-6)
    model.set_params(max_iter=5000, random_state=0).fit(x, y)
    np.testing.assert_allclose(model.coef_, PEERS[peer], atol=2e-5)


class Returns(Own):
    """A method of it returns what it is told to."""

    def __init__(self, method, result):
        self.method, self.result = method, result

    def _given(self, method, made):
        return self.result(made) if self.method == method else made

    def value(self, coef, alpha):
        return self._given("value", alpha * float(np.abs(coef).sum()))

    def prox(self, coef, length, alpha, low=None, high=None):
        moved = np.sign(coef) * np.maximum(np.abs(coef) - alpha * length, 0.0)
        return self._given("prox", np.clip(moved, low, high))


class ReturnsViolation(Returns):
    def violation(self, coef, gradient, alpha, low=None, high=None):
        return self._given("violation", super().violation(coef, gradient, alpha, low, high))


BAD_RETURNS = {
    ("value", "None"): r"value must return one real number; got None",
    ("value", "rows"): r"value must return one real number; got an array of shape \(1,\)",
    ("value", "nan"): r"value must return a finite number of such coefficients; got nan",
    ("prox", "None"): r"prox must return an array of real numbers of shape \(1, 12\); got None",
    ("prox", "rows"): r"prox must return an array .*; got an array of shape \(12,\) and dtype",
    ("prox", "nan"): r"prox must return numbers of finite coefficients; got nan for feature 0",
    ("prox", "complex"): r"prox must return an array of real .* dtype complex128",
    ("prox", "outside"): r"prox must return numbers between low=-1.0 and high=1.0; got \S+ for fea",
    ("violation", "rows"): r"violation must return an array of real numbers of shape \(1, 12\)",
}
RESULTS = {
    "None": lambda made: None,
    "rows": lambda made: made[0] if np.ndim(made) else np.array([made]),
    "nan": lambda made: made * np.nan,
    "complex": lambda made: made * 1j,
    "outside": lambda made: made + 5.0,
}


@pytest.mark.parametrize("optimizer", ["gd", "saga", "adam"])
@pytest.mark.parametrize(("method", "result"), BAD_RETURNS)
def test_what_a_penalty_in_python_returns_is_checked(method, result, optimizer):
    if method == "violation" and optimizer == "adam":
        return  # never asked for it
    made = ReturnsViolation if method == "violation" else Returns
    penalty = made(method, RESULTS[result])
    model = SGDRegressorX(penalty=penalty, optimizer=optimizer, bounds=(-1.0, 1.0), batch_size=32)
    model.set_params(alpha=1e-3, random_state=0)
    with pytest.raises(ValueError, match=rf"{made.__name__}\.{BAD_RETURNS[method, result]}"):
        model.fit(X, Y)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("penalty", [MCP(), ElasticNet(0.5, np.ones(D)), Own()], ids=repr)
def test_a_fit_that_explodes_says_so_whatever_the_penalty(penalty):
    model = SGDRegressorX(penalty=penalty, optimizer="momentum", learning_rate="constant")
    with pytest.raises(ValueError, match=r"(?s)Floating-point under-/overflow .*smaller eta0"):
        model.set_params(eta0=1e3, batch_size=16, random_state=0).fit(X, Y)


@pytest.mark.parametrize(
    "penalty",
    # Steps of one sample each, of which quadratic penalties solve a system.
    [
        pytest.param(name, marks=pytest.mark.slow) if isinstance(made, QUADRATIC) else name
        for name, made in CASES.items()
    ],
)
def test_steps_that_one_heavy_row_leads_astray_say_so(penalty):
    weight = np.ones(N)
    weight[3] = 1e5
    model = SGDRegressorX(penalty=CASES[penalty], alpha=1e-3, random_state=0)
    exact = "lbfgs" if takes("lbfgs", penalty) else "gd"
    message = rf"(?s)ended short of the minimum: a few iterations of '{exact}' .*='auto'"
    with pytest.warns(ConvergenceWarning, match=message):
        model.fit(X, Y, sample_weight=weight)


def test_methods_that_cannot_be_called_are_refused_before_a_fit():
    class NoBounds(Own):
        def prox(self, coef, length, alpha):
            raise AssertionError

    with pytest.raises(TypeError, match=r"NoBounds.prox must take \(coef, length, alpha, low=None"):
        SGDRegressorX(penalty=NoBounds()).fit(X, Y)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_subclass_with_a_prox_of_its_own_is_followed(optimizer):
    class Nothing(L1):
        def prox(self, coef, length, alpha, low=None, high=None):
            return np.zeros_like(coef)

    if optimizer == "lbfgs" or optimizer in ONLY:
        with pytest.raises(ValueError, match=rf"'{optimizer}' needs a penalty"):
            fitted(optimizer, Nothing(), loss=loss_for(optimizer, "squared_error"))
        return
    assert not fitted(optimizer, Nothing(), max_iter=3, tol=None).coef_.any()
