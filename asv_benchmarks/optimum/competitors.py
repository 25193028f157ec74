"""Who runs in which family of problems: ours by their optimizers, the others by a table."""

import importlib
from dataclasses import dataclass

import numpy as np
from scipy import sparse

import sklearn_losses as sl

from . import peers

DECADES = tuple(10.0**-k for k in range(2, 13))
ONCE = (1e-4,)  # for what takes no tolerance
# Coefficients beyond which a solver that factorises their Hessian takes minutes, and gigabytes.
SQUARE = 4_000


@dataclass(frozen=True)
class Competitor:
    """A solver and the tolerances that it is tried with, from loose to tight.

    Parameters
    ----------
    name : str
    library : str
        The module that has to be there; the competitor is left out where it is not.
    fit : callable
        ``fit(problem, tol) -> (coef, intercept)``.
    tolerances : tuple
    dense : bool
        Whether it takes dense arrays only.
    most : float
        Coefficients, those of all classes, that it takes in reasonable memory.
    compiles : bool
        Whether its first fit compiles, or imports what it needs.
    ours : bool
    """

    name: str
    library: str
    fit: object
    tolerances: tuple = DECADES
    dense: bool = False
    most: float = np.inf
    compiles: bool = False
    ours: bool = False

    @property
    def defaults(self):
        """Whether it runs as it comes, and no tolerance is looked for."""
        return self.tolerances == (None,)

    def suits(self, problem):
        fits_memory = problem.coupled <= self.most
        return fits_memory and not (self.dense and sparse.issparse(problem.X))

    def missing(self):
        """Why the library cannot be imported, or None."""
        try:
            importlib.import_module(self.library)
        except Exception as error:  # broken binaries raise more than ImportError
            return f"{type(error).__name__}: {error}"
        return None


# --------------------------------------------------------------------------------------------- ours

OPTIMIZERS = ("auto", "newton", "interior-point", "lbfgs", "gd")


def ours(optimizer, n_jobs=2):
    """A fit with our estimator; `tol` None is the estimator's own, with its own `max_iter`."""

    def fit(problem, tol):
        p = problem
        cls = sl.SGDClassifierX if p.loss in CLASSIFIED else sl.SGDRegressorX
        penalty = p.penalty
        if p.penalty_params:
            penalty = sl.get_penalty(p.penalty, **p.penalty_params)
        exact = {} if tol is None else {"tol": tol, "max_iter": 100_000}
        model = cls(
            sl.get_loss(p.loss, **p.loss_params),
            penalty=penalty,
            alpha=p.alpha,
            optimizer=optimizer,
            fit_intercept=p.fit_intercept,
            positive=p.positive,
            n_jobs=n_jobs,
            random_state=0,
            **exact,
        )
        model.fit(p.X, p.y, sample_weight=p.sample_weight, offset=p.offset)
        return model.coef_, model.intercept_

    return fit


CLASSIFIED = ("log_loss", "hinge", "squared_hinge", "multinomial")


def our_competitors(n_jobs=2):
    """Ours, those that this version knows: "auto", or else the first of the others, as it comes."""
    known = []
    for name in OPTIMIZERS:
        try:
            sl.get_optimizer(name)
        except ValueError:
            continue
        known.append(name)
    made = [Competitor(known[0], "sklearn_losses", ours(known[0], n_jobs), (None,), ours=True)]
    rest = known[1:] if known[0] == "auto" else known
    for name in rest:
        label = name if name != known[0] else f"{name}, any tol"
        tolerances = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
        made.append(Competitor(label, "sklearn_losses", ours(name, n_jobs), tolerances, ours=True))
    return made


# -------------------------------------------------------------------------------------- the others


def sk(name, fit, **more):
    return Competitor(name, "sklearn", fit, **more)


def logistic(*solvers):
    return [
        sk(
            f"LogisticRegression({s})",
            peers.logistic_regression(s),
            most=SQUARE if s == "newton-cholesky" else np.inf,
        )
        for s in solvers
    ]


def glm():
    return [
        *(
            sk(f"TweedieRegressor({s})", peers.tweedie_regressor(s), most=most)
            for s, most in (("lbfgs", np.inf), ("newton-cholesky", SQUARE))
        ),
        *glum("irls-ls", "lbfgs"),
        TORCH,
    ]


def ridge(*solvers, **more):
    return [sk(f"Ridge({s})", peers.ridge(s), **more) for s in solvers]


def glum(*solvers):
    return [
        Competitor(
            f"glum({s})",
            "glum",
            peers.glum(s),
            most=np.inf if s == "lbfgs" else SQUARE,
        )
        for s in solvers
    ]


def skglm(name, fit, **more):
    return Competitor(f"skglm {name}", "skglm", fit, compiles=True, **more)


def skglm_glm(*parts, **more):
    return skglm(f"{parts[0]}({parts[2]})", peers.skglm_glm(*parts), **more)


def liblinear(*kinds):
    return [
        Competitor(f"LIBLINEAR(-s {k})", "liblinear.liblinearutil", peers.liblinear(k))
        for k in kinds
    ]


TORCH = Competitor("torch LBFGS", "torch", peers.torch_lbfgs, compiles=True)
VOWPAL = Competitor("vowpalwabbit(--bfgs)", "vowpalwabbit", peers.vw_bfgs)
SKGLM_LOGISTIC = skglm("SparseLogisticRegression", peers.skglm_logistic)

FAMILIES = {
    "logistic": [
        *logistic("lbfgs", "newton-cg", "newton-cholesky", "liblinear", "sag", "saga"),
        *glum("irls-ls", "lbfgs"),
        *liblinear(0),
        SKGLM_LOGISTIC,
        TORCH,
        VOWPAL,
    ],
    "logistic, L1": [
        *logistic("liblinear", "saga"),
        *glum("irls-cd"),
        *liblinear(6),
        SKGLM_LOGISTIC,
    ],
    "logistic, elastic net": [*logistic("saga"), *glum("irls-cd"), SKGLM_LOGISTIC],
    "one-vs-rest": [
        *(
            sk(f"one-vs-rest {s}", peers.one_vs_rest(s))
            for s in ("lbfgs", "newton-cg", "newton-cholesky", "liblinear")
        ),
        *liblinear(0),
        TORCH,
    ],
    "multinomial": [
        *logistic("lbfgs", "newton-cg", "newton-cholesky", "sag", "saga"),
        TORCH,
    ],
    "gamma": [*glm(), skglm_glm("Gamma", "L1_plus_L2", "ProxNewton", dense=True)],
    "poisson": [*glm(), skglm_glm("Poisson", "L1_plus_L2", "ProxNewton")],
    "tweedie": glm(),
    "quantile": [
        *(
            sk(f"QuantileRegressor({s})", peers.quantile_regressor(s), tolerances=ONCE)
            for s in ("highs", "highs-ds", "highs-ipm")
        ),
        *(
            Competitor(f"pinball-qr({m})", "pinball", peers.pinball(m), tolerances)
            for m, tolerances in (("fn", DECADES[2:]), ("pfn", DECADES[2:]), ("br", ONCE))
        ),
        Competitor("statsmodels QuantReg", "statsmodels.api", peers.statsmodels_quantile),
    ],
    "huber": [
        sk("HuberRegressor", peers.huber_regressor),
        skglm_glm("Huber", "L1", "AndersonCD"),
        TORCH,
    ],
    "lasso": [
        sk("Lasso", peers.elastic_net()),
        sk("Lasso(random)", peers.elastic_net(selection="random")),
        sk("Lasso(precompute)", peers.elastic_net(precompute=True), most=SQUARE),
        sk("LassoLars", peers.lasso_lars, tolerances=ONCE, dense=True),
        skglm("Lasso", peers.skglm_lasso),
        Competitor("celer Lasso", "celer", peers.celer_lasso),
        *glum("irls-cd"),
    ],
    "mcp": [skglm("MCPRegression", peers.skglm_mcp)],
    "ridge": [
        *ridge("cholesky", "svd", tolerances=ONCE),
        *ridge("lsqr", "sparse_cg", "sag", "saga"),
        TORCH,
    ],
    "non-negative": [
        sk("LinearRegression(positive)", peers.positive_regression),
        skglm_glm("Quadratic", "PositiveConstraint", "AndersonCD"),
        *glum("irls-cd"),
    ],
    "hinge": [
        sk("LinearSVC", peers.linear_svc(True)),
        *liblinear(3),
        skglm("LinearSVC", peers.skglm_hinge),
    ],
    "squared hinge": [
        sk("LinearSVC(primal)", peers.linear_svc(False)),
        sk("LinearSVC(dual)", peers.linear_svc(True)),
        *liblinear(2),
        TORCH,
    ],
    "epsilon-insensitive": [sk("LinearSVR", peers.linear_svr), *liblinear(13)],
}
