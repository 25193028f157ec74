"""Minima of objectives, found without the library's solvers."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linprog, minimize

# Newton's steps, and the halvings of one.
STEPS, HALVINGS = 300, 60
# Eigenvalues below this share of the largest are taken for it.
SINGULAR = 1e-13
# Half a Newton decrement that rounding hides.
ROUNDING = 1e-17


@dataclass
class Minimum:
    """Of ``mean(loss) + l2 / 2 * |coef|**2``, means with weights.

    Attributes
    ----------
    coef : ndarray of shape (n_features,) or (n_classes, n_features)
    intercept : float or ndarray of shape (n_classes,)
    value : float
    errors : ndarray of shape (n_features,) or None
        Standard errors of the coefficients where the loss is minus a log-likelihood.
    """

    coef: np.ndarray
    intercept: float | np.ndarray
    value: float
    errors: np.ndarray | None = None


class Objective:
    """``mean(loss) + l1 * |coef| + l2 / 2 * |coef|**2`` of any model."""

    def __init__(self, loss, X, y, *, l1=0.0, l2=0.0, weight=None, offset=0.0):
        X = X.toarray() if sparse.issparse(X) else X
        self.loss, self.X = loss, np.asarray(X, dtype=np.float64)
        self.y = np.asarray(y, dtype=np.float64)
        self.l1, self.l2, self.offset = l1, l2, offset
        weight = np.ones(len(self.y)) if weight is None else np.asarray(weight, dtype=np.float64)
        weight = weight / weight.max()
        self.weight = weight / weight.sum()

    def of(self, raw):
        return float(self.weight @ self.loss.loss(self.y, np.ascontiguousarray(raw)))

    def __call__(self, coef, intercept):
        coef = np.asarray(coef, dtype=np.float64)
        raw = self.X @ coef.T + np.asarray(intercept, dtype=np.float64) + self.offset
        penalty = self.l1 * np.abs(coef).sum() + self.l2 / 2 * (coef**2).sum()
        return self.of(raw) + float(penalty)

    def of_model(self, model):
        """That of a fitted estimator with one output, or of one with an output a class."""
        if self.loss.is_multiclass:
            return self(model.coef_, model.intercept_)
        return self(np.ravel(model.coef_), float(np.ravel(model.intercept_)[0]))

    def floor(self):
        """What the mean loss cannot be less than."""
        return -float(self.weight @ self.loss.constant_to_optimal_zero(self.y))

    def coordinates(self):
        """Centres and scales of the columns: steps are taken in standardised ones."""
        center = self.weight @ self.X
        scale = np.sqrt(self.weight @ (self.X - center) ** 2)
        return center, np.where(scale > 0, scale, 1.0)


def newton(objective, start=0.0, coef=None):
    """The minimum by damped Newton steps on standardised columns.

    Parameters
    ----------
    objective : Objective
        Of a loss that is not multiclass and has a derivative; without l1.
    start : float
        The intercept, at the columns' centre where `coef` is None.
    coef : ndarray of shape (n_features,) or None
        Where to start; None: at 0.

    Returns
    -------
    found : Minimum
    """
    made, loss = objective, objective.loss
    center, scale = made.coordinates()
    A = np.column_stack([(made.X - center) / scale, np.ones(len(made.y))])
    l2 = np.append(made.l2 / scale**2, 0.0)

    def value(z):
        with np.errstate(all="ignore"):
            return made.of(A @ z + made.offset) + float(l2 @ z**2) / 2

    z = np.append(np.zeros(len(scale)), start)
    if coef is not None:
        z = np.append(coef * scale, start + center @ coef)
    now = value(z)
    for _ in range(STEPS):
        gradient, hessian = loss.gradient_hessian(made.y, A @ z + made.offset)
        gradient, hessian = made.weight * gradient, made.weight * hessian
        down = A.T @ gradient + l2 * z
        bends = (A.T * hessian) @ A + np.diag(l2)
        values, vectors = np.linalg.eigh(bends)
        values = np.abs(values)
        values = np.maximum(values, SINGULAR * max(values.max(), 1e-300))
        step = -vectors @ ((vectors.T @ down) / values)
        slope = float(down @ step)
        if -slope / 2 <= ROUNDING * abs(now):
            break
        length = 1.0
        for _ in range(HALVINGS):
            there = value(z + length * step)
            if there <= now + 1e-4 * length * slope:
                break
            length /= 2
        else:
            break
        z, now = z + length * step, there
    errors = np.sqrt(np.diag(np.linalg.pinv(bends)) / len(made.y))[:-1] / scale
    coef = z[:-1] / scale
    return Minimum(coef, float(z[-1] - center @ coef), now, errors)


def descent(objective, starts=1, seed=0):
    """The least of the minima that BFGS finds on standardised columns from some starts.

    Parameters
    ----------
    objective : Objective
        Of a loss that has a derivative; without l1.
    starts : int
        From 0, then from normal weights.
    seed : int

    Returns
    -------
    found : Minimum
    """
    made, loss = objective, objective.loss
    center, scale = made.coordinates()
    A = np.column_stack([(made.X - center) / scale, np.ones(len(made.y))])
    outputs = int(loss.is_multiclass) and int(made.y.max()) + 1
    shape = (max(outputs, 1), A.shape[1])
    l2 = np.append(made.l2 / scale**2, 0.0)

    def function(z):
        z = z.reshape(shape)
        raw = A @ z.T + made.offset
        raw = raw if outputs else raw[:, 0]
        with np.errstate(all="ignore"):
            losses, gradient = loss.loss_gradient(made.y, np.ascontiguousarray(raw))
            gradient = (gradient.reshape(len(raw), -1) * made.weight[:, None]).T @ A + l2 * z
            return float(made.weight @ losses) + float((l2 * z**2).sum()) / 2, gradient.ravel()

    generator = np.random.RandomState(seed)
    best = None
    for i in range(starts):
        z = np.zeros(shape) if i == 0 else generator.normal(size=shape)
        options = {"gtol": 1e-10, "maxiter": 3000}
        for _ in range(2):
            z = minimize(function, np.ravel(z), jac=True, method="BFGS", options=options).x
        if best is None or function(z)[0] < function(best)[0]:
            best = z
    z = best.reshape(shape)
    coef = z[:, :-1] / scale
    intercept = z[:, -1] - coef @ center
    if not outputs:
        coef, intercept = coef[0], float(intercept[0])
    return Minimum(coef, intercept, function(best)[0])


def linear_program(objective, pieces):
    """The minimum of a loss that is the largest of linear functions of the raw prediction.

    Parameters
    ----------
    objective : Objective
        Without l2 and offset.
    pieces : list of (slopes, constants)
        Each of shape (n,): the loss of sample i is at least ``slopes[i] * raw[i] + constants[i]``.

    Returns
    -------
    found : Minimum
    """
    made = objective
    n, d = made.X.shape
    center, scale = made.coordinates()
    A = (made.X - center) / scale
    # Variables: positive and negative parts of the weights, the intercept, the losses.
    c = np.concatenate([np.tile(made.l1 / scale, 2), [0.0], made.weight])
    rows, right = [], []
    for slopes, constants in pieces:
        slopes = np.broadcast_to(slopes, n)
        part = sparse.csr_matrix(slopes[:, None] * A)
        rows.append(sparse.hstack([part, -part, slopes[:, None], -sparse.eye(n)]))
        right.append(-np.broadcast_to(constants, n))
    bounds = [(0, None)] * (2 * d) + [(None, None)] + [(None, None)] * n
    found = linprog(
        c,
        sparse.vstack(rows).tocsr(),
        np.concatenate(right),
        bounds=bounds,
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert found.status == 0, found.message
    coef = (found.x[:d] - found.x[d : 2 * d]) / scale
    intercept = float(found.x[2 * d] - center @ coef)
    return Minimum(coef, intercept, made(coef, intercept))


def pieces_of(loss, y):
    """What `linear_program` takes, of the losses that are made of lines."""
    one, zero, sign = np.ones(len(y)), np.zeros(len(y)), 2.0 * y - 1
    if loss.name in ("absolute_error", "quantile"):
        q = getattr(loss, "quantile", None)
        high, low, factor = (0.5, 0.5, 2.0) if q is None else (q, 1 - q, 1.0)
        return [(-factor * high * one, factor * high * y), (factor * low * one, -factor * low * y)]
    if loss.name == "epsilon_insensitive":
        return [(-one, y - loss.epsilon), (one, -y - loss.epsilon), (zero, zero)]
    if loss.name == "hinge":
        return [(-sign, loss.threshold * one), (zero, zero)]
    if loss.name == "perceptron":
        return [(-sign, zero), (zero, zero)]
    if loss.name == "mape":
        size = np.maximum(np.abs(y), loss.epsilon)
        return [(-1 / size, y / size), (1 / size, -y / size)]
    return None
