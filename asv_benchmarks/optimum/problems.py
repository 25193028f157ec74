"""The problems: thirteen that a table of the project's issues began with, and more."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn import datasets
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import HuberRegressor
from sklearn.preprocessing import StandardScaler

from asv_benchmarks.optimizers import housing, mnist, sms

from .objectives import Problem

DATA = "SKLEARN_LOSSES_DATA"


def folder(given=None):
    """Where the downloaded data are: what was given, or what the environment says; or None."""
    place = given or os.environ.get(DATA)
    return None if place is None else Path(place)


# ------------------------------------------------------------------------------------- made up data


def normal(n, d, seed=0):
    """Standard normal X, weights of which a few are large, and a generator to go on with."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    w = rng.standard_normal(d) / np.arange(1, d + 1) ** 0.5
    return X, w / np.linalg.norm(w), rng


def counted(n, d, nonzeros, rng, values=None):
    """CSR of so many entries a row, most of them in a few columns, as words have it."""
    columns = (d * rng.random((n, nonzeros)) ** 2).astype(np.int32)
    data = np.ones(n * nonzeros) if values is None else values(n * nonzeros)
    X = sparse.csr_matrix(
        (data, columns.ravel(), np.arange(0, n * nonzeros + 1, nonzeros, dtype=np.int32)), (n, d)
    )
    X.sum_duplicates()
    return X


def few(d, k, rng):
    """Weights of which k are not 0."""
    w = np.zeros(d)
    w[rng.choice(d, k, replace=False)] = rng.standard_normal(k)
    return w


def coin(score, rng):
    return (rng.random(len(score)) < 1 / (1 + np.exp(-score))).astype(int)


def logistic_dense(n, d):
    X, w, rng = normal(n, d)
    return Problem(X, coin(2 * X @ w, rng), "log_loss", alpha=1e-3)


def gamma_dense(n, d):
    X, w, rng = normal(n, d)
    return Problem(X, np.exp(0.5 * X @ w) * rng.gamma(2.0, 0.5, n), "gamma", alpha=1e-3)


def logistic_l1_dense(n, d):
    X, _, rng = normal(n, d)
    y = coin(X @ few(d, d // 10, rng), rng)
    return Problem(X, y, "log_loss", "l1", alpha=2e-3)


def quantile_dense(n, d, quantile=0.5):
    X, w, rng = normal(n, d)
    y = X @ w + (1 + 0.5 * np.abs(X[:, 0])) * rng.standard_t(5, n)
    return Problem(X, y, "quantile", loss_params={"quantile": quantile})


def logistic_l1_sparse(n, d):
    rng = np.random.default_rng(0)
    X = counted(n, d, 50, rng, lambda k: np.abs(rng.standard_normal(k)))
    score = X @ few(d, d // 50, rng)
    return Problem(X, coin(3 * (score - score.mean()), rng), "log_loss", "l1", alpha=3e-4)


def poisson_one_hot(n, d):
    """Three columns of numbers as they come (years, kilograms, money), and two of categories."""
    rng = np.random.default_rng(0)
    numbers = np.column_stack(
        [rng.uniform(18, 90, n), rng.normal(1500, 300, n), rng.lognormal(10, 1, n)]
    )
    sizes = (d - 3) // 5, d - 3 - (d - 3) // 5
    codes = [(k * rng.random(n) ** 1.5).astype(int) for k in sizes]
    one_hot = [
        sparse.csr_matrix((np.ones(n), (np.arange(n), c)), (n, k))
        for c, k in zip(codes, sizes, strict=True)
    ]
    X = sparse.hstack([sparse.csr_matrix(numbers), *one_hot], format="csr")
    effects = [rng.normal(0, 0.3, k)[c] for c, k in zip(codes, sizes, strict=True)]
    raw = -2 + 0.01 * numbers[:, 0] + 3e-4 * numbers[:, 1] - 2e-6 * numbers[:, 2] + sum(effects)
    return Problem(X, rng.poisson(np.exp(raw)).astype(float), "poisson", alpha=1e-6)


def lasso_sparse(n, d):
    rng = np.random.default_rng(0)
    X = counted(n, d, 30, rng, lambda k: np.abs(rng.standard_normal(k)))
    y = X @ few(d, d // 100, rng) + 0.3 * rng.standard_normal(n)
    return Problem(X, y, "squared_error", "l1", alpha=5e-4)


def lasso_dense(n, d):
    X, _, rng = normal(n, d)
    y = X @ few(d, d // 20, rng) + rng.standard_normal(n)
    return Problem(X, y, "squared_error", "l1", alpha=0.02)


def ridge_dense(n, d):
    X, w, rng = normal(n, d)
    return Problem(X, X @ w + rng.standard_normal(n), "squared_error", alpha=1e-3)


def logistic_elasticnet(n, d):
    """Columns in groups of ten, each correlated 0.95 with the others of its group."""
    X, _, rng = normal(n, d)
    shared = np.repeat(rng.standard_normal((n, -(-d // 10))), 10, axis=1)[:, :d]
    X = 0.95**0.5 * shared + 0.05**0.5 * X
    y = coin(X @ few(d, d // 5, rng), rng)
    return Problem(X, y, "log_loss", "elasticnet", alpha=5e-3, penalty_params={"l1_ratio": 0.5})


def hinge_dense(n, d):
    X, w, rng = normal(n, d)
    return Problem(X, coin(3 * X @ w, rng), "hinge", alpha=1e-2, fit_intercept=False)


def epsilon_insensitive_dense(n, d):
    X, w, rng = normal(n, d)
    y = X @ w + 0.5 * rng.standard_normal(n)
    return Problem(
        X,
        y,
        "epsilon_insensitive",
        alpha=1e-2,
        loss_params={"epsilon": 0.1},
        fit_intercept=False,
    )


def tweedie_exposure(n, d):
    """Claims a policy, with exposures as an offset and weights."""
    X, w, rng = normal(n, d)
    exposure, weight = rng.uniform(0.1, 1.0, n), rng.uniform(0.5, 1.5, n)
    mean = exposure * np.exp(0.5 * X @ w)
    counts = rng.poisson(2 * mean)
    y = rng.gamma(np.maximum(counts, 1), 0.5) * (counts > 0)
    return Problem(
        X,
        y,
        "tweedie",
        alpha=1e-3,
        loss_params={"power": 1.5},
        sample_weight=weight,
        offset=np.log(exposure),
    )


def non_negative(n, d):
    X, w, rng = normal(n, d)
    return Problem(
        np.abs(X), np.abs(X) @ w + rng.standard_normal(n), "squared_error", positive=True
    )


def lasso_mcp(n, d):
    X, _, rng = normal(n, d)
    w = np.zeros(d)
    w[: d // 20] = np.linspace(0.5, 2, d // 20)
    return Problem(
        X,
        X @ w + rng.standard_normal(n),
        "squared_error",
        "mcp",
        alpha=0.15,
        penalty_params={"gamma": 3.0},
    )


def ridge_outputs(n, d):
    X, _, rng = normal(n, d)
    Y = X @ rng.standard_normal((d, 8)) / d**0.5 + rng.standard_normal((n, 8))
    return Problem(X, Y, "squared_error", alpha=1e-3)


# ---------------------------------------------------------------------------------------- real data


def breast_cancer(n, _):
    X, y = datasets.load_breast_cancer(return_X_y=True)
    return Problem(X[:n], y[:n], "log_loss", alpha=1 / n)


def digits(loss):
    def make(n, _):
        X, y = datasets.load_digits(return_X_y=True)
        return Problem(X[:n], y[:n], loss, alpha=1 / n)

    return make


def diabetes(n, _):
    X, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    return Problem(X[:n], y[:n], "squared_error", "l1", alpha=0.1)


def text(loss, alpha, hashed=False):
    """Messages as the TF-IDF of their words and pairs of words, or with those hashed."""

    def make(n, d, place):
        texts, y = sms(place)
        maker = (
            HashingVectorizer(ngram_range=(1, 2), n_features=d)
            if hashed
            else TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        )
        return Problem(maker.fit_transform(texts[:n]), y[:n].astype(int), loss, alpha=alpha)

    return make


def housing_with(loss, **more):
    def make(n, _, place):
        X, y = housing(place)
        order = np.random.default_rng(0).permutation(len(y))[:n]
        return Problem(X[order], y[order], loss, **more)

    return make


def housing_huber(n, _, place):
    """Huber's loss with the delta for which `HuberRegressor`, which finds a scale beside the
    coefficients, has the same coefficients: `epsilon` times its scale."""
    problem = housing_with("huber")(n, _, place)
    X = StandardScaler().fit_transform(problem.X)
    y = problem.y / problem.y.std()
    scale = HuberRegressor(epsilon=HUBER, alpha=0, tol=1e-9, max_iter=10_000).fit(X, y).scale_
    delta = HUBER * scale * problem.y.std()
    return Problem(problem.X, problem.y, "huber", loss_params={"delta": float(delta)})


HUBER = 1.35


def mnist_multinomial(n, _, place):
    X, y = mnist(place)
    return Problem(X[:n] / 255, y[:n].astype(int), "multinomial", alpha=1e-3)


# ----------------------------------------------------------------------------------------- the list


@dataclass(frozen=True)
class Row:
    """How a problem is made: ``make(n, d)``, or ``make(n, d, folder)`` of data that are downloaded.

    `family` says which competitors solve it: a key of `competitors.FAMILIES`. `small` is the size
    of a run that is to see that all works.
    """

    family: str
    make: object
    size: tuple
    small: tuple
    downloaded: str | None = None

    def problem(self, quick=False, place=None):
        """The problem, or None where its data are missing."""
        size = self.small if quick else self.size
        if self.downloaded is None:
            return self.make(*size)
        if place is None or not (place / self.downloaded).exists():
            return None
        return self.make(*size, place)


SMS, HOUSING, MNIST = "sms_spam.tsv.gz", "california_housing.csv.gz", "mnist_t10k_images_idx3.gz"
SMALL = (300, 6)

PROBLEMS = {
    "logistic, dense": Row("logistic", logistic_dense, (40_000, 50), SMALL),
    "gamma, dense": Row("gamma", gamma_dense, (40_000, 50), SMALL),
    "logistic L1, dense": Row("logistic, L1", logistic_l1_dense, (20_000, 200), (300, 20)),
    "median, dense": Row("quantile", quantile_dense, (20_000, 20), SMALL),
    "logistic, breast cancer, raw": Row("logistic", breast_cancer, (569, 30), (200, 30)),
    "logistic, SMS, TF-IDF": Row("logistic", text("log_loss", 1e-4), (5_574, 0), (300, 0), SMS),
    "logistic L1, CSR": Row("logistic, L1", logistic_l1_sparse, (5_000, 20_000), (200, 500)),
    "Poisson, one-hot and raw numbers, CSR": Row(
        "poisson", poisson_one_hot, (40_000, 115), (500, 20)
    ),
    "lasso, CSR": Row("lasso", lasso_sparse, (8_000, 15_000), (200, 500)),
    "lasso, dense": Row("lasso", lasso_dense, (4_000, 1_500), (200, 40)),
    "ridge, dense": Row("ridge", ridge_dense, (40_000, 60), SMALL),
    "quantile 0.9, dense": Row(
        "quantile", lambda n, d: quantile_dense(n, d, 0.9), (5_000, 200), SMALL
    ),
    "logistic, SMS, hashed": Row(
        "logistic", text("log_loss", 1e-4, hashed=True), (5_574, 2**20), (300, 2**12), SMS
    ),
    "Huber, housing, raw": Row("huber", housing_huber, (20_640, 12), (500, 12), HOUSING),
    "median, housing, raw": Row(
        "quantile",
        housing_with("quantile", loss_params={"quantile": 0.5}),
        (20_640, 12),
        (300, 12),
        HOUSING,
    ),
    "gamma, housing, raw": Row(
        "gamma", housing_with("gamma", alpha=1e-6), (20_640, 12), (500, 12), HOUSING
    ),
    "multinomial, MNIST": Row("multinomial", mnist_multinomial, (10_000, 784), (200, 784), MNIST),
    "multinomial, digits, raw": Row("multinomial", digits("multinomial"), (1_797, 64), (200, 64)),
    "one-vs-rest logistic, digits, raw": Row(
        "one-vs-rest", digits("log_loss"), (1_797, 64), (200, 64)
    ),
    "logistic elastic net, correlated": Row(
        "logistic, elastic net", logistic_elasticnet, (10_000, 100), (300, 20)
    ),
    "hinge, dense": Row("hinge", hinge_dense, (10_000, 30), SMALL),
    "epsilon-insensitive, dense": Row(
        "epsilon-insensitive", epsilon_insensitive_dense, (10_000, 30), SMALL
    ),
    "squared hinge, SMS, TF-IDF": Row(
        "squared hinge", text("squared_hinge", 1e-4), (5_574, 0), (300, 0), SMS
    ),
    "Tweedie, weights and exposure": Row("tweedie", tweedie_exposure, (40_000, 30), SMALL),
    "non-negative least squares": Row("non-negative", non_negative, (10_000, 200), (300, 20)),
    "least squares MCP": Row("mcp", lasso_mcp, (2_000, 500), (300, 40)),
    "ridge, 8 outputs": Row("ridge", ridge_outputs, (20_000, 60), SMALL),
    "lasso, diabetes, raw": Row("lasso", diabetes, (442, 10), (200, 10)),
}
