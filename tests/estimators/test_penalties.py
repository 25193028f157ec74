"""Fits with penalties as objects: they end where the penalised objective is stationary, those that
have a name are the same fit, and what cannot be is said."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from slow_penalties import cases

from sklearn_losses import (
    L1,
    L2,
    MCP,
    SCAD,
    ElasticNet,
    GroupLasso,
    HuberLoss,
    Penalty,
    SGDClassifierX,
    SGDRegressorX,
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


CASES = {**cases(D, l1_ratio=0.5), "own": Own()}
EXACT = [name for name, cls in OPTIMIZERS.items() if cls.memory or cls.full_batch]
STEPS = [name for name in OPTIMIZERS if name not in EXACT]


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
    return optimizer != "lbfgs" or isinstance(CASES[penalty], Weighted)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("penalty", CASES)
@pytest.mark.parametrize("optimizer", EXACT)
def test_exact_optimizers_end_at_a_stationary_point(optimizer, penalty, layout, positive):
    if not takes(optimizer, penalty):
        with pytest.raises(ValueError, match=r"'lbfgs' needs a penalty .* Use optimizer='gd'"):
            fitted(optimizer, CASES[penalty], layout)
        return
    model = fitted(optimizer, CASES[penalty], layout, tol=1e-6, positive=positive)
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
