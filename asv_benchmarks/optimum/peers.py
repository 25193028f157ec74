"""Other libraries' solvers, each as a function from a problem and a tolerance to the coefficients
and the intercepts that it finds. A library is imported when it is first called."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse

# Seconds and epochs that a solver may take which cannot be interrupted.
SECONDS = 30.0
WORK = 2e9


def epochs(problem, most=10_000):
    """So many passes over X take about half a minute, one-vs-rest not counted."""
    stored = problem.X.nnz if sparse.issparse(problem.X) else problem.X.size
    return int(np.clip(WORK / stored, 20, most))


def fitted(model):
    return model.coef_, model.intercept_


def as_rates(problem):
    """y, weights and alpha of the same problem without offset, for a loss with the log link.

    With e = exp(offset), ``tweedie(y, raw + offset) = e**(2 - power) * tweedie(y / e, raw)`` for
    any power, 1 and 2 among them; these libraries divide by the sum of the weights.
    """
    n = len(problem.y)
    weight = np.ones(n) if problem.sample_weight is None else problem.sample_weight
    if problem.offset is None:
        return problem.y, problem.sample_weight, problem.alpha * n / weight.sum()
    power = {"poisson": 1, "gamma": 2}.get(problem.loss) or problem.loss_params["power"]
    exposure = np.exp(problem.offset)
    weight = weight * exposure ** (2 - power)
    return problem.y / exposure, weight, problem.alpha * n / weight.sum()


def l1_ratio(problem):
    return {"l1": 1.0, "l2": 0.0}.get(problem.penalty, problem.penalty_params.get("l1_ratio"))


# ------------------------------------------------------------------------------------- scikit-learn

# LIBLINEAR as scikit-learn calls it penalises the intercept, as the coefficient of a column of one
# number: large, so that the penalty is nothing, and small enough not to spoil the condition, which
# dual coordinate descent suffers from first.
INTERCEPT_SCALING = 1000.0
DUAL_INTERCEPT_SCALING = 10.0


def logistic_regression(solver):
    def fit(problem, tol):
        from sklearn.linear_model import LogisticRegression

        slow = solver in ("sag", "saga")
        model = LogisticRegression(
            C=problem.C,
            l1_ratio=l1_ratio(problem),
            solver=solver,
            tol=tol,
            max_iter=epochs(problem) if slow else 10_000,
            intercept_scaling=INTERCEPT_SCALING,
            random_state=0,
        )
        return fitted(model.fit(problem.X, problem.y))

    return fit


def one_vs_rest(solver):
    def fit(problem, tol):
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        base = LogisticRegression(
            C=problem.C,
            solver=solver,
            tol=tol,
            max_iter=10_000,
            intercept_scaling=INTERCEPT_SCALING,
            random_state=0,
        )
        models = OneVsRestClassifier(base).fit(problem.X, problem.y).estimators_
        return np.vstack([m.coef_ for m in models]), np.hstack([m.intercept_ for m in models])

    return fit


def ridge(solver):
    def fit(problem, tol):
        from sklearn.linear_model import Ridge

        n = len(problem.y)
        cap = {"max_iter": epochs(problem)} if solver in ("sag", "saga") else {}
        model = Ridge(alpha=problem.alpha * n, solver=solver, tol=tol, random_state=0, **cap)
        return fitted(model.fit(problem.X, problem.y))

    return fit


def elastic_net(**params):
    def fit(problem, tol):
        from sklearn.linear_model import ElasticNet

        model = ElasticNet(
            alpha=problem.alpha,
            l1_ratio=l1_ratio(problem),
            tol=tol,
            max_iter=epochs(problem, 100_000),
            random_state=0,
            **params,
        )
        return fitted(model.fit(problem.X, problem.y))

    return fit


def lasso_lars(problem, tol):
    from sklearn.linear_model import LassoLars

    model = LassoLars(alpha=problem.alpha, max_iter=10_000)
    return fitted(model.fit(problem.X, problem.y))


def tweedie_regressor(solver):
    def fit(problem, tol):
        from sklearn.linear_model import TweedieRegressor

        power = {"poisson": 1, "gamma": 2}.get(problem.loss) or problem.loss_params["power"]
        y, weight, alpha = as_rates(problem)
        model = TweedieRegressor(
            power=power, link="log", alpha=alpha, solver=solver, tol=tol, max_iter=10_000
        )
        return fitted(model.fit(problem.X, y, sample_weight=weight))

    return fit


def quantile_regressor(solver):
    def fit(problem, tol):
        from sklearn.linear_model import QuantileRegressor

        model = QuantileRegressor(
            **problem.loss_params,
            alpha=problem.alpha,
            solver=solver,
            solver_options={"time_limit": SECONDS},
        )
        return fitted(model.fit(problem.X, problem.y))

    return fit


def huber_regressor(problem, tol):
    from sklearn.linear_model import HuberRegressor

    from .problems import HUBER

    model = HuberRegressor(epsilon=HUBER, alpha=0.0, tol=tol, max_iter=10_000)
    return fitted(model.fit(problem.X, problem.y))


def linear_svc(dual):
    def fit(problem, tol):
        from sklearn.svm import LinearSVC

        model = LinearSVC(
            loss=problem.loss,
            C=problem.C,
            dual=dual,
            tol=tol,
            fit_intercept=problem.fit_intercept,
            intercept_scaling=DUAL_INTERCEPT_SCALING if dual else INTERCEPT_SCALING,
            max_iter=epochs(problem),
            random_state=0,
        )
        return fitted(model.fit(problem.X, problem.y))

    return fit


def linear_svr(problem, tol):
    from sklearn.svm import LinearSVR

    model = LinearSVR(
        **problem.loss_params,
        C=problem.C,
        tol=tol,
        fit_intercept=problem.fit_intercept,
        max_iter=epochs(problem),
        random_state=0,
    )
    return fitted(model.fit(problem.X, problem.y))


def positive_regression(problem, tol):
    from sklearn.linear_model import LinearRegression

    return fitted(LinearRegression(positive=True, tol=tol).fit(problem.X, problem.y))


# -------------------------------------------------------------------------------------------- skglm


def skglm_lasso(problem, tol):
    from skglm import Lasso

    return fitted(Lasso(problem.alpha, tol=tol).fit(problem.X, problem.y))


def skglm_mcp(problem, tol):
    from skglm import MCPRegression

    model = MCPRegression(problem.alpha, **problem.penalty_params, tol=tol)
    return fitted(model.fit(problem.X, problem.y))


def skglm_logistic(problem, tol):
    from skglm import SparseLogisticRegression

    model = SparseLogisticRegression(
        problem.alpha, l1_ratio=l1_ratio(problem), tol=tol, max_iter=100
    )
    return fitted(model.fit(problem.X, problem.y))


def skglm_hinge(problem, tol):
    from skglm import LinearSVC

    model = LinearSVC(C=problem.C, tol=tol, fit_intercept=False, max_iter=1000)
    model.fit(problem.X, problem.y)
    return model.coef_, 0.0


def skglm_glm(datafit, penalty, solver):
    """A datafit with a penalty and a solver, by the names of their classes."""

    def fit(problem, tol):
        from skglm import GeneralizedLinearEstimator, datafits, penalties, solvers

        params = {"delta": problem.loss_params["delta"]} if datafit == "Huber" else {}
        shape = {
            "L1_plus_L2": (problem.alpha, l1_ratio(problem)),
            "L1": (problem.alpha,),
            "PositiveConstraint": (),
        }[penalty]
        model = GeneralizedLinearEstimator(
            getattr(datafits, datafit)(**params),
            getattr(penalties, penalty)(*shape),
            getattr(solvers, solver)(tol=tol, fit_intercept=True, max_iter=100),
        )
        return fitted(model.fit(problem.X, problem.y))

    return fit


# ------------------------------------------------------------------------------------- celer, glum


def celer_lasso(problem, tol):
    from celer import Lasso

    model = Lasso(alpha=problem.alpha, tol=tol, max_iter=1000)
    return fitted(model.fit(problem.X, problem.y))


def glum(solver):
    def fit(problem, tol):
        from glum import GeneralizedLinearRegressor, TweedieDistribution

        family = {
            "log_loss": "binomial",
            "squared_error": "normal",
            "poisson": "poisson",
            "gamma": "gamma",
        }.get(problem.loss)
        if family is None:
            family = TweedieDistribution(problem.loss_params["power"])
        n = len(problem.y)
        weight = problem.sample_weight
        model = GeneralizedLinearRegressor(
            alpha=problem.alpha * (1 if weight is None else n / weight.sum()),
            l1_ratio=l1_ratio(problem),
            family=family,
            link="log" if problem.loss == "tweedie" else "auto",
            solver=solver,
            gradient_tol=tol,
            max_iter=1000,
            lower_bounds=np.zeros(problem.X.shape[1]) if problem.positive else None,
        )
        y = problem.y.astype(float)
        return fitted(model.fit(problem.X, y, sample_weight=weight, offset=problem.offset))

    return fit


# ---------------------------------------------------------------------------------------- LIBLINEAR


def liblinear(kind):
    """LIBLINEAR's own interface, by the number of a solver. Those of the primal leave the intercept
    unpenalised where it is asked for; the others are for problems without."""

    def fit(problem, tol):
        from liblinear.liblinearutil import train

        y = problem.y.astype(float)
        bias = "-B 1 -R" if problem.fit_intercept else "-B -1"
        width = f"-p {problem.loss_params['epsilon']}" if "epsilon" in problem.loss_params else ""
        X = problem.X if sparse.issparse(problem.X) else sparse.csr_matrix(problem.X)
        model = train(y, X, f"-s {kind} -c {problem.C!r} -e {tol!r} {bias} {width} -q")
        d = problem.X.shape[1]
        if width:
            return model.get_decfun()[0][:d], 0.0
        labels = model.get_labels()
        order = [labels.index(k) for k in range(len(labels))]
        outputs = [model.get_decfun(k) for k in (order if len(order) > 2 else order[1:])]
        return np.array([w[:d] for w, _ in outputs]), np.array([b for _, b in outputs])

    return fit


# -------------------------------------------------------------------------------------------- torch


def torch_losses(torch):
    F = torch.nn.functional
    return {
        "squared_error": lambda y, raw: 0.5 * (raw - y) ** 2,
        "huber": lambda y, raw, delta: F.huber_loss(raw, y, reduction="none", delta=delta),
        "poisson": lambda y, raw: torch.exp(raw) - y * raw,
        "gamma": lambda y, raw: raw + y * torch.exp(-raw),
        "tweedie": lambda y, raw, power: (
            torch.exp((2 - power) * raw) / (2 - power)
            - y * torch.exp((1 - power) * raw) / (1 - power)
        ),
        "log_loss": lambda y, raw: F.binary_cross_entropy_with_logits(raw, y, reduction="none"),
        "squared_hinge": lambda y, raw: torch.clamp(1 - (2 * y - 1) * raw, min=0) ** 2,
        "multinomial": lambda y, raw: F.cross_entropy(raw, y, reduction="none")[:, None],
    }


def torch_product(torch, X):
    """``X @ w`` with its derivative, for dense and for sparse X."""
    if not sparse.issparse(X):
        return torch.from_numpy(X).matmul

    def tensor(A):
        parts = (A.indptr.astype(np.int64), A.indices.astype(np.int64), A.data)
        return torch.sparse_csr_tensor(*map(torch.from_numpy, parts), size=A.shape)

    forwards, back = tensor(X), tensor(X.T.tocsr())

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, w):
            return forwards @ w

        @staticmethod
        def backward(ctx, g):
            return back @ g

    return Product.apply


def torch_lbfgs(problem, tol):
    import torch

    loss = partial(torch_losses(torch)[problem.loss], **problem.loss_params)
    outputs = problem.targets()
    k, d, n = outputs.shape[1], problem.X.shape[1], len(outputs)
    y = torch.from_numpy(problem.y if problem.loss == "multinomial" else outputs)
    product = torch_product(torch, problem.X)
    weight = None if problem.sample_weight is None else torch.from_numpy(problem.sample_weight)
    offset = None if problem.offset is None else torch.from_numpy(problem.offset)[:, None]
    w = torch.zeros((d, k), dtype=torch.float64, requires_grad=True)
    # From the best constant where that is a mean, as a user would begin.
    start = np.zeros(k)
    if problem.loss in ("squared_error", "huber"):
        start = outputs.mean(axis=0)
    elif problem.loss in ("poisson", "gamma", "tweedie"):
        start = np.log(outputs.mean(axis=0))
    b = torch.from_numpy(start).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [w, b],
        max_iter=10_000,
        tolerance_grad=tol,
        tolerance_change=tol / 100,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        raw = product(w) + b
        values = loss(y, raw if offset is None else raw + offset)
        total = (values if weight is None else weight[:, None] * values).sum() / n
        total = total + 0.5 * problem.alpha * (w * w).sum()
        total.backward()
        return total

    optimizer.step(closure)
    return w.detach().numpy().T, b.detach().numpy()


# ---------------------------------------------------------------------------------------- quantiles


def pinball(method):
    def fit(problem, tol):
        from pinball import QuantileRegressor

        np.random.seed(0)  # "pfn" begins with a random part of the samples
        options = {} if method == "br" else {"eps": tol}
        model = QuantileRegressor(problem.loss_params["quantile"], method, solver_options=options)
        return fitted(model.fit(problem.X, problem.y))

    return fit


def statsmodels_quantile(problem, tol):
    from statsmodels.regression.quantile_regression import QuantReg

    X = np.column_stack([np.ones(len(problem.y)), problem.X])
    found = QuantReg(problem.y, X).fit(problem.loss_params["quantile"], p_tol=tol, max_iter=5_000)
    return found.params[1:], found.params[0]


# ------------------------------------------------------------------------------------ vowpalwabbit


VW_CONSTANT = 11650396  # what it hashes the intercept to


def vw_bfgs(problem, tol):
    """Vowpal Wabbit reads text; its weights are float32, and its penalty stands beside the sum."""
    from vowpalwabbit import Workspace

    X = sparse.csr_matrix(problem.X)
    d = X.shape[1]
    bits = int(d).bit_length()
    while VW_CONSTANT % 2**bits < d:  # the intercept must not share the weight of a feature
        bits += 1
    with tempfile.TemporaryDirectory() as where:
        data = Path(where) / "data.txt"
        with data.open("w") as lines:
            for i, label in enumerate(2 * problem.y - 1):
                row = slice(X.indptr[i], X.indptr[i + 1])
                pairs = zip(X.indices[row].tolist(), X.data[row].tolist(), strict=True)
                lines.write(f"{label} | {' '.join(f'{j}:{x!r}' for j, x in pairs)}\n")
        vw = Workspace(
            f"--bfgs --passes 500 --loss_function logistic -d {data} -k --cache_file {data}.cache "
            f"--l2 {problem.alpha * len(problem.y)!r} --no_bias_regularization -b {bits} "
            f"--termination {tol!r} --holdout_off --quiet"
        )
        coef = np.array([vw.get_weight(j) for j in range(d)])
        intercept = vw.get_weight(VW_CONSTANT % 2**bits)
        vw.finish()
    return coef, intercept
