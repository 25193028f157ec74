"""What is minimised: one formula a loss and a penalty, in NumPy, by which all are judged."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp


def huber(y, raw, delta):
    size = np.abs(raw - y)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def tweedie(y, raw, power):
    return np.exp((2 - power) * raw) / (2 - power) - y * np.exp((1 - power) * raw) / (1 - power)


def multinomial(y, raw):
    return (logsumexp(raw, axis=1) - (y * raw).sum(axis=1))[:, None]


# loss(y, raw) of shape (n, outputs), and (n, 1) where the outputs are those of one row; y is in
# {0, 1} for classes.
LOSSES = {
    "squared_error": lambda y, raw: 0.5 * (raw - y) ** 2,
    "huber": huber,
    "quantile": lambda y, raw, quantile: np.maximum(
        quantile * (y - raw), (quantile - 1) * (y - raw)
    ),
    "epsilon_insensitive": lambda y, raw, epsilon: np.maximum(np.abs(raw - y) - epsilon, 0),
    "poisson": lambda y, raw: np.exp(raw) - y * raw,
    "gamma": lambda y, raw: raw + y * np.exp(-raw),
    "tweedie": tweedie,
    "log_loss": lambda y, raw: np.logaddexp(0, raw) - y * raw,
    "hinge": lambda y, raw: np.maximum(1 - (2 * y - 1) * raw, 0),
    "squared_hinge": lambda y, raw: np.maximum(1 - (2 * y - 1) * raw, 0) ** 2,
    "multinomial": multinomial,
}
LOG_LINK = ("poisson", "gamma", "tweedie")
CLASSES = ("log_loss", "hinge", "squared_hinge", "multinomial")


def mcp(c, alpha, gamma):
    size = np.minimum(np.abs(c), gamma * alpha)
    return alpha * size - size**2 / (2 * gamma)


PENALTIES = {
    "l1": lambda c, alpha: alpha * np.abs(c),
    "l2": lambda c, alpha: 0.5 * alpha * c**2,
    "elasticnet": lambda c, alpha, l1_ratio: (
        alpha * (l1_ratio * np.abs(c) + 0.5 * (1 - l1_ratio) * c**2)
    ),
    "mcp": mcp,
}


@dataclass(frozen=True, eq=False)
class Problem:
    """Data and what is minimised on them.

    Parameters
    ----------
    X : ndarray or csr_matrix of shape (n_samples, n_features), float64
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Numbers, or classes from 0 on.
    loss, penalty : str
        Of `LOSSES` and of `PENALTIES`.
    alpha : float
        In [0, inf); the penalty's factor, beside the mean of the losses.
    loss_params, penalty_params : dict
        What the formulas take besides.
    sample_weight : ndarray of shape (n_samples,) or None
    offset : ndarray of shape (n_samples,) or None
        Added to the raw predictions.
    fit_intercept : bool
    positive : bool
        Whether coefficients must not be negative.
    """

    X: object
    y: np.ndarray
    loss: str
    penalty: str = "l2"
    alpha: float = 0.0
    loss_params: dict = field(default_factory=dict)
    penalty_params: dict = field(default_factory=dict)
    sample_weight: np.ndarray | None = None
    offset: np.ndarray | None = None
    fit_intercept: bool = True
    positive: bool = False

    def miniature(self, n=200, d=8):
        """A small problem of the same kind and types, in columns of like size."""
        X = self.X[:n, :d] / max(abs(self.X[:n, :d]).max(), 1e-9)

        def cut(part):
            return None if part is None else part[:n]

        return replace(
            self,
            X=X.tocsr() if sparse.issparse(X) else np.ascontiguousarray(X),
            y=self.y[:n],
            sample_weight=cut(self.sample_weight),
            offset=cut(self.offset),
        )

    @property
    def density(self):
        stored = self.X.nnz if sparse.issparse(self.X) else np.count_nonzero(self.X)
        return stored / np.prod(self.X.shape, dtype=float)

    @property
    def coupled(self):
        """How many coefficients a Hessian has, which outputs of their own do not share."""
        classes = int(self.y.max()) + 1 if self.loss == "multinomial" else 1
        return self.X.shape[1] * classes

    @property
    def C(self):
        """What LIBLINEAR's relatives call the inverse of the penalty's factor."""
        return 1.0 / (self.alpha * self.X.shape[0])

    def targets(self):
        """y of shape (n_samples, n_outputs); more than two classes have a column each."""
        y = self.y
        if self.loss in CLASSES and y.max() > 1:
            return (y[:, None] == np.arange(y.max() + 1)).astype(float)
        return y.reshape(len(y), -1).astype(float)

    def mean_loss(self, y, raw):
        values = LOSSES[self.loss](y, raw, **self.loss_params)
        weight = 1.0 if self.sample_weight is None else self.sample_weight[:, None]
        return (weight * values).sum() / len(y)

    def objective(self, coef, intercept):
        """Of coefficients of shape (n_outputs, n_features) and as many intercepts."""
        coef = np.atleast_2d(np.asarray(coef, dtype=np.float64))
        if not np.isfinite(coef).all() or (self.positive and coef.min() < 0):
            return np.inf
        raw = np.asarray(self.X @ coef.T) + np.asarray(intercept, dtype=np.float64).ravel()
        if self.offset is not None:
            raw += self.offset[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            value = self.mean_loss(self.targets(), raw)
        return value + PENALTIES[self.penalty](coef, self.alpha, **self.penalty_params).sum()

    def constant(self):
        """The objective of the best model that sees no feature."""
        y = self.targets()
        offset = np.zeros(len(y)) if self.offset is None else self.offset
        raw = np.repeat(offset[:, None], y.shape[1], axis=1)
        if self.fit_intercept and self.loss == "multinomial":
            raw += np.log(y.mean(axis=0))
        elif self.fit_intercept:
            for k in range(y.shape[1]):
                raw[:, k] += self._best_intercept(y[:, [k]], offset[:, None])
        return self.mean_loss(y, raw)

    def _best_intercept(self, y, offset):
        if self.loss in CLASSES:
            bounds = (-30.0, 30.0)
        elif self.loss in LOG_LINK:
            bounds = np.log(y.mean()) + np.array([-10.0, 10.0]) * (1 + np.abs(offset).max())
        else:
            bounds = ((y - offset).min(), (y - offset).max())
        found = minimize_scalar(
            lambda c: self.mean_loss(y, offset + c), bounds=bounds, options={"xatol": 1e-10}
        )
        return found.x
