"""The objective over all samples, mini-batches on threads, and the time to reach the minimum."""

import warnings

import numpy as np
from scipy import sparse
from sklearn._loss import loss as sklearn_loss
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    Lasso,
    LogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.linear_model._linear_loss import LinearModelLoss

import sklearn_losses as sl
from sklearn_losses._kernels.fit.engines import Problem

from .common import SMOKE, ratio

LAYOUTS = ["dense", "csr"]
CLASSES = [2] if SMOKE else [2, 10]
THREADS = [1] if SMOKE else [1, 2]


def data(layout, n_classes=2, n=400 if SMOKE else 40_000, dtype=np.float64):
    """Standardised rows of 100 features, or of 20 entries in 20,000; and classes."""
    rng = np.random.RandomState(0)
    if layout == "dense":
        X = rng.standard_normal((n, 100)).astype(dtype)
    else:
        d, entries = (200 if SMOKE else 20_000), 20
        indices = np.sort(rng.randint(d, size=(n, entries)), axis=1).astype(np.int32)
        indptr = np.arange(0, n * entries + 1, entries, dtype=np.int32)
        values = rng.standard_normal(n * entries).astype(dtype)
        X = sparse.csr_matrix((values, indices.ravel(), indptr), (n, d))
        X.sum_duplicates()
    scores = X @ rng.standard_normal((X.shape[1], n_classes)) / X.shape[1] ** 0.5
    scores = scores + 0.5 * rng.standard_normal(scores.shape)
    return X, scores.argmax(axis=1)


def objectives(layout, n_classes, n_threads):
    """Ours and scikit-learn's value and gradient of the mean loss, as functions of nothing."""
    X, y = data(layout, n_classes)
    outputs = 1 if n_classes == 2 else n_classes
    ours = sl.HalfBinomialLoss() if outputs == 1 else sl.HalfMultinomialLoss(n_classes)
    base = (
        sklearn_loss.HalfBinomialLoss()
        if outputs == 1
        else sklearn_loss.HalfMultinomialLoss(n_classes=n_classes)
    )
    target = y.astype(np.float64)
    problem = Problem(X, target, [ours], outputs, n_threads=n_threads)
    theirs = LinearModelLoss(base_loss=base, fit_intercept=True)
    rng = np.random.RandomState(0)
    coef = 0.1 * rng.standard_normal((outputs, X.shape[1]))
    intercept = np.zeros(outputs)
    z = np.append(coef[0], 0.0) if outputs == 1 else np.hstack([coef, intercept[:, None]])
    z = np.asfortranarray(z)
    return (
        lambda: problem.value_gradient(coef, intercept),
        lambda: theirs.loss_gradient(z, X, target, n_threads=n_threads),
    )


class FullObjective:
    params = (LAYOUTS, CLASSES, THREADS)
    param_names = ("layout", "classes", "threads")
    unit = "times as fast"

    def track_ratio_to_sklearn(self, layout, n_classes, n_threads):
        return ratio(*objectives(layout, n_classes, n_threads))


ALPHA = 1e-3
OPTIMIZERS = [n for n, cls in sl.OPTIMIZERS.items() if not cls.full_batch]
OPTIMIZERS = ["sgd", "adam"] if SMOKE else OPTIMIZERS


def epochs(X, y, optimizer, n_jobs, batch_size=256, loss="log_loss", max_iter=5):
    model = sl.SGDClassifierX(
        loss,
        optimizer=optimizer,
        batch_size=batch_size,
        learning_rate="constant",
        eta0=0.01,
        max_iter=max_iter,
        tol=None,
        n_jobs=n_jobs,
        random_state=0,
    )
    return model.fit(X, y)


class MiniBatches:
    params = (OPTIMIZERS, LAYOUTS, THREADS)
    param_names = ("optimizer", "layout", "n_jobs")

    def setup(self, optimizer, layout, n_jobs):
        self.X, self.y = data(layout)

    def time_fit(self, optimizer, layout, n_jobs):
        epochs(self.X, self.y, optimizer, n_jobs)


PENALTIES = {
    "elasticnet": lambda d: "elasticnet",
    "elasticnet, weights": lambda d: sl.ElasticNet(weights=np.ones(d)),
    "group_lasso": lambda d: sl.GroupLasso(groups=np.arange(d) // 5),
    "mcp": lambda d: sl.MCP(),
}


class Penalties:
    """Epochs with penalty objects, beside those of a built-in penalty."""

    params = (["adam"] if SMOKE else ["adam", "saga", "gd"], list(PENALTIES), LAYOUTS)
    param_names = ("optimizer", "penalty", "layout")

    def setup(self, optimizer, penalty, layout):
        self.X, self.y = data(layout)
        self.penalty = PENALTIES[penalty](self.X.shape[1])

    def time_fit(self, optimizer, penalty, layout):
        model = sl.SGDClassifierX(
            "log_loss",
            penalty=self.penalty,
            alpha=ALPHA,
            optimizer=optimizer,
            max_iter=3,
            tol=None,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(self.X, self.y)


def sgd(cls, **params):
    """Fits of scikit-learn's SGD for more and more epochs: it does not say when it is there."""
    for max_iter in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        yield cls(max_iter=max_iter, tol=None, random_state=0, **params)


def to_tolerance(make, tolerances=(1e-2, 1e-3, 1e-4, 1e-6)):
    for tol in tolerances:
        yield make(tol)


def logistic(n):
    """Solvers of L2-penalised logistic regression: name -> fits, from quick to exact."""
    C = 1 / (ALPHA * n)

    def peer(solver):
        return lambda tol: LogisticRegression(C=C, solver=solver, tol=tol, max_iter=10_000)

    def ours(optimizer, **params):
        return lambda tol: sl.SGDClassifierX(
            "log_loss", optimizer=optimizer, alpha=ALPHA, tol=tol, random_state=0, **params
        )

    solvers = {
        f"LogisticRegression({name})": to_tolerance(peer(name))
        for name in ("lbfgs", "newton-cg", "newton-cholesky", "liblinear", "sag", "saga")
    }
    solvers["SGDClassifier"] = sgd(SGDClassifier, loss="log_loss", alpha=ALPHA)
    solvers["ours, sgd"] = sgd(sl.SGDClassifierX, loss="log_loss", alpha=ALPHA)
    solvers["ours, lbfgs"] = to_tolerance(ours("lbfgs"))
    solvers["ours, saga"] = to_tolerance(ours("saga", batch_size=16))
    return solvers


def regression(loss, peers, **params):
    def solvers(n):
        def ours(optimizer, **more):
            return lambda tol: sl.SGDRegressorX(
                loss,
                optimizer=optimizer,
                tol=tol,
                max_iter=10_000,
                random_state=0,
                **params,
                **more,
            )

        made = {name: to_tolerance(peer) for name, peer in peers(n).items()}
        made["ours, lbfgs"] = to_tolerance(ours("lbfgs"))
        if sl.get_loss(loss).differentiable:
            made["ours, saga"] = to_tolerance(ours("saga", learning_rate="optimal", batch_size=16))
        if isinstance(loss, str) and loss == "squared_error":
            own = {"loss": loss, **params}
            made["SGDRegressor"] = sgd(SGDRegressor, **own)
            made["ours, sgd"] = sgd(sl.SGDRegressorX, **own)
        return made

    return solvers


PROBLEMS = {
    "logistic, L2": (logistic, sl.HalfBinomialLoss(), "l2"),
    "least squares, L2": (
        regression("squared_error", lambda n: {"Ridge(cholesky)": _ridge(n)}, alpha=ALPHA),
        sl.HalfSquaredError(),
        "l2",
    ),
    "least squares, L1": (
        regression(
            "squared_error",
            lambda n: {"Lasso": lambda tol: Lasso(alpha=ALPHA, tol=tol)},
            alpha=ALPHA,
            penalty="l1",
        ),
        sl.HalfSquaredError(),
        "l1",
    ),
    "Poisson, L2": (
        regression("poisson", lambda n: {"PoissonRegressor": _poisson}, alpha=ALPHA),
        sl.HalfPoissonLoss(),
        "l2",
    ),
    "median, L1": (
        regression(
            "quantile",
            lambda n: {"QuantileRegressor": lambda tol: QuantileRegressor(alpha=ALPHA)},
            alpha=ALPHA,
            penalty="l1",
        ),
        sl.PinballLoss(),
        "l1",
    ),
}


def _ridge(n):
    return lambda tol: Ridge(alpha=ALPHA * n, solver="cholesky")


def _poisson(tol):
    return PoissonRegressor(alpha=ALPHA, tol=tol, max_iter=10_000)


def problem_data(name):
    """X and y of a problem; few samples for the linear program of the median."""
    n = 200 if SMOKE else 1_000 if name.startswith("median") else 40_000
    X, y = data("dense", n=n)
    if name.startswith("logistic"):
        return X, y
    rng = np.random.RandomState(1)
    signal = X @ rng.standard_normal(X.shape[1]) / 10 + 0.5 * rng.standard_normal(len(X))
    return X, rng.poisson(np.exp(0.5 * signal)) if name.startswith("Poisson") else signal


def objective_value(model, X, y, loss, penalty):
    coef = np.ravel(model.coef_)
    raw = X @ coef + np.ravel(model.intercept_)[0]
    size = np.abs(coef).sum() if penalty == "l1" else coef @ coef / 2
    return loss(y.astype(np.float64), raw) + ALPHA * size


def seconds_to_target(name, seconds_of, slack=1.001):
    """For each solver of a problem, the time of the quickest fit within `slack` of the best
    objective: name -> seconds, or None where none was."""
    make, loss, penalty = PROBLEMS[name]
    X, y = problem_data(name)
    runs = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for solver, fits in make(len(X)).items():
            runs[solver] = []
            for model in fits:
                seconds = seconds_of(lambda model=model: model.fit(X, y))
                runs[solver].append((seconds, objective_value(model, X, y, loss, penalty)))
    best = min(value for fits in runs.values() for _, value in fits)
    goal = best + (slack - 1) * abs(best)
    return {
        solver: min((seconds for seconds, value in fits if value <= goal), default=None)
        for solver, fits in runs.items()
    }


def once(function):
    import time

    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class TimeToTarget:
    params = ["logistic, L2"] if SMOKE else list(PROBLEMS)
    param_names = ("problem",)
    unit = "times as fast as the best peer"
    timeout = 600

    def track_ratio_to_best_peer(self, name):
        seconds = seconds_to_target(name, once)
        ours = min(s for solver, s in seconds.items() if solver.startswith("ours") and s)
        return min(s for solver, s in seconds.items() if not solver.startswith("ours") and s) / ours
