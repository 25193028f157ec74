"""Paths of `alpha`, and its choice by cross-validation: ``python -m asv_benchmarks.compare paths``.

`alpha_path` beside scikit-learn's `lasso_path` and `enet_path` and celer's `celer_path`, and
`AlphaSearchCV` beside `LassoCV`, `ElasticNetCV`, `RidgeCV` and `LogisticRegressionCV` (and celer's
`LassoCV`), where those libraries are installed: on the same alphas, with the same folds, one
process and the same threads. Each peer has the loosest of its tolerances with which no model of the
path, or the model that is chosen, is above the best that is known of by more than a millionth of
what there is to gain over a constant; those whose alpha is that of a mean loss, as ours, are to
choose the alpha that exact fits choose too. Ours has its default tolerance. Seconds are medians of
interleaved repeats.
"""

import statistics
import time
import warnings
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import (
    ElasticNetCV,
    LassoCV,
    LogisticRegressionCV,
    RidgeCV,
    enet_path,
    lasso_path,
)
from sklearn.model_selection import KFold, StratifiedKFold

from sklearn_losses import AlphaSearchCV, SGDClassifierX, SGDRegressorX, alpha_path

SHARE = 1e-6  # of what there is to gain
TIGHT = 1e-8
TOLERANCES = 10.0 ** -np.arange(3, 13)
PAUSE = 0.15  # seconds, in which the threads of the last one come to rest


@dataclass(frozen=True)
class Task:
    """Data, the penalty's L1 share, the alphas, the folds (None: a path), and whether the peers'
    strength is divided by the samples of a fold."""

    X: object
    y: np.ndarray
    l1_ratio: float
    alphas: np.ndarray
    folds: int | None = None
    divided: bool = True

    @property
    def classifies(self):
        return self.y.dtype.kind != "f"

    def splits(self):
        kind = StratifiedKFold if self.classifies else KFold
        return list(kind(self.folds).split(self.X, self.y))

    def objective(self, alpha, coef, intercept):
        raw = self.X @ coef + intercept
        if self.classifies:
            loss = np.logaddexp(0.0, np.where(self.y > 0, -raw, raw)).mean()
        else:
            loss = 0.5 * np.mean((raw - self.y) ** 2)
        squares = 0.5 * (1.0 - self.l1_ratio) * (coef @ coef)
        return loss + alpha * (self.l1_ratio * np.abs(coef).sum() + squares)

    def constant(self):
        mean = self.y.mean()
        if self.classifies:
            mean = np.log(mean / (1.0 - mean))
        return self.objective(0.0, np.zeros(self.X.shape[1]), mean)


def wide(rng, n=500, d=5000, of_use=40):
    X = rng.standard_normal((n, d))
    return X, X[:, :of_use] @ rng.standard_normal(of_use) + 2.0 * rng.standard_normal(n)


def words(rng, n=4000, d=8000):
    X = sparse.random(n, d, 0.004, "csr", random_state=rng, dtype=np.float64)
    return X, X @ np.where(np.arange(d) < 100, 3.0, 0.0) + 0.2 * rng.standard_normal(n)


def tall(rng, n=20000, d=60):
    X = rng.standard_normal((n, d)) * np.geomspace(0.1, 10.0, d)
    return X, X @ (rng.standard_normal(d) / np.geomspace(0.1, 10.0, d)) + rng.standard_normal(n)


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def grid(X, y, l1_ratio, n_alphas=100, eps=1e-3):
    """From the least strength at which all weights of a squared error's fit are 0."""
    return np.abs(X.T @ (y - y.mean())).max() / len(y) / l1_ratio * np.geomspace(1.0, eps, n_alphas)


def tasks():
    """Tasks by name, and what the peers of each are."""
    rng = np.random.RandomState(0)
    diabetes = load_diabetes(return_X_y=True)
    cancer, sick = load_breast_cancer(return_X_y=True)
    cancer, events = standardised(cancer), (sick > 0).astype(int)
    for name, (X, y) in {"diabetes": diabetes, "wide": wide(rng), "words": words(rng)}.items():
        if name == "diabetes":
            X = standardised(X)
        alphas = grid(X, y, 1.0)
        yield f"lasso path, {name}", Task(X, y, 1.0, alphas), LASSO_PATHS
        yield f"lasso, 5 folds, {name}", Task(X, y, 1.0, alphas, 5), LASSO_SEARCHES
    X, y = tall(rng)
    yield "elastic net path, tall", Task(X, y, 0.5, grid(X, y, 0.5)), LASSO_PATHS[:1]
    yield "elastic net, 5 folds, tall", Task(X, y, 0.5, grid(X, y, 0.5), 5), ELASTIC_SEARCHES
    yield (
        "ridge, 5 folds, tall",
        Task(X, y, 0.0, np.geomspace(1.0, 1e-4, 20), 5, False),
        RIDGE_SEARCHES,
    )
    alphas = np.geomspace(0.1, 1e-4, 20)
    for l1_ratio, penalty in ((0.0, "L2"), (1.0, "L1")):
        name = f"logistic {penalty}, 5 folds, breast cancer"
        yield name, Task(cancer, events, l1_ratio, alphas, 5, False), LOGISTIC_SEARCHES


# ------------------------------------------------------------------------------------- the peers
# Each is a function of a task and a tolerance to (alphas, coefficients, intercepts).


def our_estimator(task):
    kind, loss = (SGDClassifierX, "log_loss") if task.classifies else (SGDRegressorX, None)
    penalty = {0.0: "l2", 1.0: "l1"}.get(task.l1_ratio, "elasticnet")
    given = {} if loss is None else {"loss": loss}
    return kind(**given, penalty=penalty, l1_ratio=task.l1_ratio, optimizer="auto")


def ours(task, tol):
    """With the default tolerance where it is None."""
    model = our_estimator(task)
    if tol is not None:
        model.set_params(tol=tol)
    if task.folds is None:
        models = alpha_path(model, task.X, task.y, alphas=task.alphas)
    else:
        search = AlphaSearchCV(model, alphas=task.alphas, cv=task.splits())
        models = [search.fit(task.X, task.y).best_estimator_]
    return tuple(
        np.array([np.ravel(getattr(m, name)) for m in models]).squeeze(axis)
        for name, axis in (("alpha", 1), ("coef_", ()), ("intercept_", 1))
    )


def centred(task):
    """What the paths want, which know no intercept: X, y and what makes an intercept."""
    mean = np.zeros(task.X.shape[1])
    X = task.X
    if not sparse.issparse(X):
        mean = X.mean(axis=0)
        X = np.asfortranarray(X - mean)
    return X, task.y - task.y.mean(), mean


def of_sklearn(task, tol):
    X, y, mean = centred(task)
    offset = {"X_offset": np.zeros(X.shape[1]), "X_scale": np.ones(X.shape[1])}
    if sparse.issparse(X):
        X = X.tocsc()
        mean = np.asarray(X.mean(axis=0)).ravel()
        offset["X_offset"] = mean
    more = {} if not sparse.issparse(X) else offset
    path = lasso_path if task.l1_ratio == 1.0 else enet_path
    if task.l1_ratio != 1.0:
        more = {"l1_ratio": task.l1_ratio} | more
    alphas, coef, _ = path(X, y, alphas=task.alphas, tol=tol, max_iter=100_000, **more)
    return alphas, coef.T, task.y.mean() - coef.T @ mean


def of_celer(task, tol):
    if sparse.issparse(task.X):
        raise NotImplementedError("its path does not centre sparse columns")
    X, y, mean = centred(task)
    alphas, coef, _ = import_module("celer").celer_path(X, y, "lasso", alphas=task.alphas, tol=tol)
    return alphas, coef.T, task.y.mean() - coef.T @ mean


def search_by(make):
    """A search of scikit-learn's kind: `alpha_` of ours is `alpha_` of theirs, or 1 / (n C)."""

    def found(task, tol):
        model = make(task, tol, task.splits()).fit(task.X, task.y)
        alpha = model.alpha_ if hasattr(model, "alpha_") else 1.0 / np.ravel(model.C_)[0]
        if not task.divided:
            alpha = alpha / len(task.y)
        return np.array([alpha]), np.ravel(model.coef_)[None], np.ravel(model.intercept_)

    return found


def logistic_cv(solver):
    def make(task, tol, splits):
        return LogisticRegressionCV(
            Cs=1.0 / (len(task.y) * task.alphas),
            l1_ratios=(task.l1_ratio,),
            cv=splits,
            solver=solver,
            tol=tol,
            max_iter=100_000,
            use_legacy_attributes=False,
            scoring="accuracy",
        )

    return search_by(make)


def celer_cv(task, tol, splits):
    return import_module("celer").LassoCV(alphas=task.alphas, cv=splits, tol=tol)


LASSO_PATHS = (("scikit-learn path", of_sklearn), ("celer_path", of_celer))
LASSO_SEARCHES = (
    (
        "LassoCV",
        search_by(lambda t, tol, cv: LassoCV(alphas=t.alphas, cv=cv, tol=tol, max_iter=100_000)),
    ),
    ("celer LassoCV", search_by(celer_cv)),
)
ELASTIC_SEARCHES = (
    (
        "ElasticNetCV",
        search_by(
            lambda t, tol, cv: ElasticNetCV(
                alphas=t.alphas, l1_ratio=t.l1_ratio, cv=cv, tol=tol, max_iter=100_000
            )
        ),
    ),
)
RIDGE_SEARCHES = (
    ("RidgeCV", search_by(lambda t, tol, cv: RidgeCV(alphas=len(t.y) * t.alphas, cv=cv))),
)
LOGISTIC_SEARCHES = tuple(
    (f"LogisticRegressionCV({solver})", logistic_cv(solver))
    for solver in ("lbfgs", "newton-cholesky", "liblinear", "saga")
)


# -------------------------------------------------------------------------------------- the race


def timed(function, task, tol):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        found = function(task, tol)
        return time.perf_counter() - start, found


def values(task, found):
    return {
        float(alpha): task.objective(alpha, coef, float(intercept))
        for alpha, coef, intercept in zip(*found, strict=True)
    }


def reaches(task, found, best):
    """Whether no model is above the best that is known of by too much, and of a search whether it
    is that of the alpha that is known to be chosen, which is the first."""
    constant = task.constant()
    if task.folds is not None and task.divided and not np.isclose(found[0][0], next(iter(best))):
        return False
    for alpha, value in values(task, found).items():
        known = min((v for a, v in best.items() if np.isclose(a, alpha)), default=np.inf)
        if known == np.inf:  # another alpha than that of ours
            model = our_estimator(task).set_params(alpha=alpha, tol=TIGHT).fit(task.X, task.y)
            known = task.objective(alpha, np.ravel(model.coef_), float(model.intercept_[0]))
            best[alpha] = known
        if value - known > SHARE * max(constant - known, 0.0) + 1e-12 * constant:
            return False
    return True


def tolerance_of(function, task, best):
    """The loosest tolerance that reaches, and why there is none otherwise."""
    for tol in TOLERANCES:
        try:
            seconds, found = timed(function, task, tol)
        except Exception as error:  # a library that is not there, or does not take such data
            return None, f"{type(error).__name__}: {error}"[:80]
        for alpha, value in values(task, found).items():
            at = next((a for a in best if np.isclose(a, alpha)), None)
            if at is not None:
                best[at] = min(value, best[at])
        if reaches(task, found, best):
            return tol, ""
        if seconds > 20.0:
            break
    return None, "not reached"


def measure(task, peers, repeats=5):
    """Rows of (name, tol, seconds, alpha chosen) of a task, ours first."""
    best = values(task, ours(task, TIGHT))
    chosen = [("ours", ours, None)]
    failed = []
    for name, function in peers:
        if not task.l1_ratio and "liblinear" in name:
            failed.append((name, "", np.nan, "penalises the intercept"))
            continue
        tol, why = tolerance_of(function, task, best)
        if tol is None:
            failed.append((name, "", np.nan, why))
        else:
            chosen.append((name, function, tol))
    times = [[] for _ in chosen]
    for _ in range(repeats):
        for (_, function, tol), taken in zip(chosen, times, strict=True):
            time.sleep(PAUSE)
            taken.append(timed(function, task, tol)[0])
    made = []
    for (name, function, tol), taken in zip(chosen, times, strict=True):
        _, found = timed(function, task, tol)
        last = "" if task.folds is None else f"alpha {found[0][0]:.3g}"
        if tol is None and not reaches(task, found, best):
            last += " (above the best)"
        tol = "default" if tol is None else f"{tol:.0e}"
        made.append((name, tol, statistics.median(taken), last))
    return made + failed


def run(table, only=()):
    """Print the table by a function of title, header and rows."""
    rows = []
    for name, task, peers in tasks():
        if only and not any(text.lower() in name.lower() for text in only):
            continue
        made = measure(task, peers)
        ours_took = made[0][2]
        for who, tol, seconds, note in made:
            ratio = "" if who == "ours" or np.isnan(seconds) else f"{seconds / ours_took:.2f}x"
            shown = "-" if np.isnan(seconds) else f"{seconds:.3g}"
            rows.append((name, who, tol, shown, ratio, note))
    table("paths, s", ("task", "", "tol", "s", "theirs / ours", ""), rows)
