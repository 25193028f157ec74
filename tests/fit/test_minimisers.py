"""Every loss and every optimizer reach the minimum of the objective; solvers agree with peers."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    ElasticNet,
    GammaRegressor,
    LogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    TweedieRegressor,
)
from suited import ONLY, takes

from sklearn_losses import (
    LDAM,
    LOSSES,
    OPTIMIZERS,
    AbsoluteError,
    CosineRestarts,
    HalfMultinomialLoss,
    HalfTweedieLoss,
    HuberLoss,
    NegativeBinomial,
    PinballLoss,
    TukeyBiweight,
    get_loss,
)
from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX

RNG = np.random.RandomState(0)
N, D = 90, 3
X = RNG.randn(N, D)
X[:, 2] *= RNG.rand(N) < 0.4
SIGNAL = X @ np.array([0.5, -0.3, 0.2]) + 0.4 * RNG.randn(N)
THREE = np.digitize(SIGNAL, [-0.4, 0.4])
TWO = (SIGNAL > 0.1).astype(int)

# Not trained with: RootMeanSquaredError is no mean. LDAM's scale of 30 makes its problem badly
# conditioned; one of 3 tests the same.
NAMES = [name for name in LOSSES if name != "root_mean_squared_error"]
MADE = {"ldam": LDAM(scale=3.0)}

STEPPING = [name for name, cls in OPTIMIZERS.items() if not (cls.full_batch or cls.memory)]


def problem(name):
    """A loss and the targets that it is to learn."""
    loss = MADE.get(name, get_loss(name))
    if loss.is_multiclass:
        return loss, THREE
    if loss.task == "binary":
        return loss, TWO
    # Relative errors of targets near 0 would have slopes without bound.
    plain = loss.in_y_true_range(SIGNAL) and name != "mape"
    return loss, SIGNAL if plain else np.exp(SIGNAL)


def fit(loss, optimizer, y, x=X, **params):
    estimator = SGDRegressorX if loss.task == "regression" else SGDClassifierX
    model = estimator(loss, optimizer=optimizer, random_state=0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


class Objective:
    """The objective in NumPy, as a function of weights (and intercepts, after them)."""

    def __init__(self, loss, y, l1=0.0, l2=0.0):
        self.loss, self.y, self.l1, self.l2 = loss, np.asarray(y, dtype=float), l1, l2
        self.outputs = 3 if loss.is_multiclass else 1

    def parts(self, z):
        coef = z[: self.outputs * D].reshape(self.outputs, D)
        return coef, z[self.outputs * D :]

    def smooth(self, z):
        coef, intercept = self.parts(z)
        raw = X @ coef.T + intercept
        value, gradient = self.loss.loss_gradient(self.y, raw if self.outputs > 1 else raw[:, 0])
        gradient = gradient.reshape(N, -1) / N
        down = np.concatenate([(gradient.T @ X + self.l2 * coef).ravel(), gradient.sum(axis=0)])
        return value.mean() + self.l2 * (coef**2).sum() / 2, down

    def __call__(self, z):
        return self.smooth(z)[0] + self.l1 * np.abs(self.parts(z)[0]).sum()

    def violation(self, z, near=0.0):
        """The largest coordinate of the least subgradient; weights within `near` of 0 are at 0."""
        gradient = self.smooth(z)[1]
        weights = slice(0, self.outputs * D)
        w, g = z[weights], gradient[weights]
        at_zero = np.maximum(np.abs(g) - self.l1, 0)
        gradient[weights] = np.where(np.abs(w) > near, g + self.l1 * np.sign(w), at_zero)
        return np.abs(gradient).max()

    def best_from(self, z):
        """The least value that SciPy finds near z."""
        n = self.outputs * D
        if self.loss.differentiable:  # with the weights split into positive and negative parts

            def halves(u):
                value, gradient = self.smooth(np.append(u[:n] - u[n : 2 * n], u[2 * n :]))
                down = np.concatenate([gradient[:n], -gradient[:n], gradient[n:]])
                down[: 2 * n] += self.l1
                return value + self.l1 * u[: 2 * n].sum(), down

            start = np.concatenate([np.maximum(z[:n], 0), np.maximum(-z[:n], 0), z[n:]])
            limits = [(0, None)] * (2 * n) + [(None, None)] * (len(z) - n)
            options = {"ftol": 0, "gtol": 1e-12, "maxiter": 5000}
            return minimize(halves, start, jac=True, bounds=limits, options=options).fun
        best = self(z)
        for _ in range(2):  # restarted: a simplex may collapse
            options = {"xatol": 1e-12, "fatol": 1e-14, "maxfev": 1000, "adaptive": len(z) > 6}
            done = minimize(self, z, method="Nelder-Mead", options=options)
            z, best = done.x, min(best, done.fun)
        return best


def weights_of(model):
    return np.concatenate([np.ravel(model.coef_), np.ravel(model.intercept_)])


def settings(optimizer):
    """Long fits of the optimizers that step; tight tolerances of those that converge."""
    if OPTIMIZERS[optimizer].full_batch:
        return {"max_iter": 3000, "tol": 1e-9}
    if OPTIMIZERS[optimizer].memory:
        return {"max_iter": 2000, "tol": 1e-9, "learning_rate": "optimal"}
    # The noise of the steps dies away with their length.
    eta0 = {
        "adagrad": 0.5,
        "implicit_adagrad": 0.08,
        "momentum": 0.02,
        "nesterov": 0.02,
        "sgd": 0.2,
    }.get(optimizer, 0.05)
    epochs = 400 if optimizer == "implicit_adagrad" else 200  # its rates grow
    schedule = CosineRestarts(period=epochs)
    return {
        "max_iter": epochs,
        "tol": None,
        "learning_rate": schedule,
        "eta0": eta0,
        "batch_size": 9,
    }


# Of the objective, above its minimum, relative to what there is to gain; and of the optimality
# condition, for weights that are not within NEAR of 0. Steps on batches leave noise.
GAP = {"stepping": 5e-3, "converging": 1e-8}
VIOLATION = {"stepping": 1e-2, "converging": 1e-6}
NEAR = {"stepping": 1e-2, "converging": 0.0}
# The cumulative L1 penalty of plain SGD leaves weights at 0 at the price of exactness, and few
# epochs of steps end within this.
ROUGH_GAP = 0.05


def lack(optimizer, loss):
    """What the error says that the optimizer needs of a loss and the loss has not, or None."""
    if optimizer in ONLY:
        return None if takes(optimizer, loss) else "a sum of functions .* one kink each"
    if optimizer == "auto" or not OPTIMIZERS[optimizer].full_batch or loss.differentiable:
        return None
    if optimizer == "newton":
        return "needs a loss with a derivative everywhere"
    return None if loss._smoothed(1.0) is not None else "no smooth counterpart"


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_minimises_every_loss(name, optimizer):
    loss, y = problem(name)
    full_batch = OPTIMIZERS[optimizer].full_batch
    refused = lack(optimizer, loss)
    if refused:
        with pytest.raises(ValueError, match=refused):
            fit(loss, optimizer, y)
        return
    # AdamW's decay is not the gradient of a penalty: L1 alone.
    penalties = [("l1", 0.02, 0.0)] if optimizer == "adamw" else [("l1", 0.02, 0), ("l2", 0, 0.02)]
    converging = optimizer not in STEPPING and (loss.differentiable or full_batch)
    # "auto" steps where none of the exact ones takes the loss, and ends by `tol`.
    steps = optimizer == "auto" and lack("interior-point", loss) and lack("lbfgs", loss)
    converging = converging and not steps
    kind = "converging" if converging else "stepping"
    for (penalty, l1, l2), layout in zip(penalties, (np.asarray, sparse.csr_matrix), strict=False):
        params = settings(optimizer)
        if OPTIMIZERS[optimizer].memory and not loss.differentiable:
            params.update(settings("sgd"))
        if optimizer == "gd" and not loss.differentiable:
            params["max_iter"] = 20_000  # gradients alone say little next to kinks
        model = fit(loss, optimizer, y, layout(X), penalty=penalty, alpha=0.02, **params)
        objective = Objective(model.loss_, y, l1, l2)
        z = weights_of(model)
        value, best = objective(z), objective.best_from(z)
        # The perceptron's minimum is at zero weights: what there is to gain is seen from elsewhere.
        start = np.ones_like(z) if name == "perceptron" else np.zeros_like(z)
        tolerance = GAP[kind] if loss.differentiable or kind == "stepping" else 1e-5
        exact = not (optimizer == "sgd" and l1)
        tolerance = tolerance if exact and not steps else ROUGH_GAP
        assert value - best <= tolerance * (objective(start) - best), (penalty, layout)
        if loss.differentiable and exact:
            assert objective.violation(z, NEAR[kind]) <= VIOLATION[kind]
        if converging and l1 and loss.differentiable:
            assert model.stop_reason_ in ("converged", "line_search")


# ----------------------------------------------------------------------------------------- peers

SOLVERS = ["lbfgs", "saga", "svrg", "gd"]
TIGHT = {"tol": 1e-9, "max_iter": 20000, "learning_rate": "optimal"}
LAYOUTS = [np.asarray, sparse.csr_matrix]
COUNTS = RNG.poisson(np.exp(SIGNAL)).astype(float)
POSITIVE = np.exp(SIGNAL)
WEIGHT = RNG.randint(0, 4, N).astype(float)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "loss, y, peer",
    [
        ("squared_error", SIGNAL, lambda alpha, n: Ridge(alpha=alpha * n)),
        ("poisson", COUNTS, lambda alpha, n: PoissonRegressor(alpha=alpha, tol=1e-10)),
        ("gamma", POSITIVE, lambda alpha, n: GammaRegressor(alpha=alpha, tol=1e-10)),
        (
            HalfTweedieLoss(power=1.5),
            COUNTS,
            lambda alpha, n: TweedieRegressor(alpha=alpha, power=1.5, link="log", tol=1e-10),
        ),
    ],
)
def test_regressions_are_scikit_learns(loss, y, peer, solver, layout):
    alpha = 0.05
    model = SGDRegressorX(loss, optimizer=solver, alpha=alpha, random_state=0, **TIGHT)
    model.fit(layout(X), y, sample_weight=WEIGHT)
    peer = peer(alpha, WEIGHT.sum()).set_params(
        **({} if loss == "squared_error" else {"max_iter": 10000})
    )
    peer.fit(X, y, sample_weight=WEIGHT)
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.intercept_, peer.intercept_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
def test_multinomial_fits_are_logistic_regressions(y, solver, layout):
    alpha = 0.02
    loss = "log_loss" if y is TWO else "multinomial"
    model = SGDClassifierX(loss, optimizer=solver, alpha=alpha, random_state=0, **TIGHT)
    model.fit(layout(X), y, sample_weight=WEIGHT)
    peer = LogisticRegression(C=1 / (alpha * WEIGHT.sum()), tol=1e-10, max_iter=10000)
    peer.fit(X, y, sample_weight=WEIGHT)
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        model.predict_proba(layout(X)), peer.predict_proba(X), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_elastic_net_is_scikit_learns(solver):
    alpha, ratio = 0.1, 0.6
    params = {"penalty": "elasticnet", "l1_ratio": ratio, "alpha": alpha, "random_state": 0}
    model = SGDRegressorX(optimizer=solver, **params, **TIGHT).fit(X, SIGNAL)
    peer = ElasticNet(alpha=alpha, l1_ratio=ratio, tol=1e-12, max_iter=100000).fit(X, SIGNAL)
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(model.coef_ == 0, peer.coef_ == 0)


@pytest.mark.parametrize("solver", ["lbfgs", "gd", "interior-point"])
@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
def test_quantiles_are_scikit_learns(quantile, solver):
    params = {"penalty": "l1", "alpha": 0.01, "tol": 1e-8, "max_iter": 20000}
    model = SGDRegressorX(PinballLoss(quantile), optimizer=solver, **params).fit(X, SIGNAL)
    peer = QuantileRegressor(quantile=quantile, alpha=0.01).fit(X, SIGNAL)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-4)
    np.testing.assert_allclose(model.intercept_, peer.intercept_, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "loss, norm",
    [
        (HuberLoss(delta=0.5), lambda sm: sm.robust.norms.HuberT(t=0.5)),
        (TukeyBiweight(c=3.0), lambda sm: sm.robust.norms.TukeyBiweight(c=3.0)),
    ],
)
def test_robust_fits_are_statsmodels(loss, norm, solver):
    sm = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed (extra: test)")
    model = SGDRegressorX(loss, optimizer=solver, penalty=None, random_state=0, **TIGHT)
    model.fit(X, SIGNAL)
    design = sm.add_constant(X)
    peer = sm.RLM(SIGNAL, design, M=norm(sm))
    # Their scale estimate is fixed to 1: the norm's own parameter is the scale.
    found = peer.fit(scale_est=_Unit(), tol=1e-12, maxiter=1000, conv="coefs")
    np.testing.assert_allclose(model.intercept_, found.params[:1], atol=1e-5)
    np.testing.assert_allclose(model.coef_, found.params[1:], atol=1e-5)


class _Unit:
    """A scale of 1, for statsmodels."""

    def __call__(self, *args):
        return 1.0


@pytest.mark.parametrize("family", ["Poisson", "Gamma", "NegativeBinomial"])
def test_glm_fits_with_offset_are_statsmodels(family):
    sm = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed (extra: test)")
    offset = np.log(1.0 + np.arange(N) % 5)
    y = POSITIVE * np.exp(offset) if family == "Gamma" else COUNTS + (np.arange(N) % 5)
    log = sm.families.links.Log()
    made, loss = {
        "Poisson": lambda: (sm.families.Poisson(log), "poisson"),
        "Gamma": lambda: (sm.families.Gamma(log), "gamma"),
        "NegativeBinomial": lambda: (
            sm.families.NegativeBinomial(log, alpha=0.5),
            NegativeBinomial(theta=2.0),
        ),
    }[family]()
    model = SGDRegressorX(loss, optimizer="lbfgs", penalty=None, **TIGHT).fit(X, y, offset=offset)
    peer = sm.GLM(y, sm.add_constant(X), family=made, offset=offset).fit(tol=1e-12)
    np.testing.assert_allclose(model.intercept_, peer.params[:1], atol=1e-6)
    np.testing.assert_allclose(model.coef_, peer.params[1:], atol=1e-6)
    np.testing.assert_allclose(model.predict(X, offset=offset), peer.mu, rtol=1e-5)


def test_projections_solve_the_bounded_problem():
    low, high = np.array([0.0, -0.1, -1.0]), np.array([0.3, 1.0, 0.1])

    def value(z):
        residual = X @ z[:D] + z[D] - SIGNAL
        down = np.append(X.T @ residual / N + 0.01 * z[:D], residual.mean())
        return (residual**2).mean() / 2 + 0.005 * (z[:D] ** 2).sum(), down

    limits = [*zip(low, high, strict=True), (None, None)]
    options = {"ftol": 1e-15, "gtol": 1e-12}
    best = minimize(value, np.zeros(D + 1), jac=True, bounds=limits, options=options).x
    for optimizer in OPTIMIZERS:
        params = settings(optimizer)
        if optimizer == "adamw" or optimizer in ONLY:
            continue  # its decay is another penalty; it takes other losses
        model = fit(
            get_loss("squared_error"),
            optimizer,
            SIGNAL,
            alpha=0.01,
            bounds=(low, high),
            **params,
        )
        assert ((model.coef_ >= low) & (model.coef_ <= high)).all()
        atol = 0.02 if optimizer in STEPPING else 1e-6
        np.testing.assert_allclose(model.coef_, best[:D], atol=atol, err_msg=optimizer)


def test_absolute_errors_are_medians():
    model = fit(AbsoluteError(), "lbfgs", SIGNAL, penalty=None, tol=1e-9, max_iter=5000)
    peer = QuantileRegressor(quantile=0.5, alpha=0).fit(X, SIGNAL)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-4)


def test_soft_labels_are_expected_losses():
    soft = RNG.dirichlet([1, 1, 1], N)
    model = fit(HalfMultinomialLoss(), "lbfgs", soft, alpha=0.1, tol=1e-10)
    rows = np.repeat(np.arange(N), 3)
    codes = np.tile(np.arange(3), N)
    same = SGDClassifierX(HalfMultinomialLoss(), optimizer="lbfgs", alpha=0.1, tol=1e-10)
    same.fit(X[rows], codes, sample_weight=soft.ravel())
    np.testing.assert_allclose(model.coef_, same.coef_, atol=1e-6)
