"""Linear constraints as users give them, and as the solver takes them."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import qr
from scipy.optimize import LinearConstraint, linprog

# Singular values below this share of the largest are 0.
RANK = 1e-10


@dataclass(frozen=True)
class Linear:
    """``low <= matrix @ coef <= high``."""

    matrix: np.ndarray  # (n_rows, n_features)
    low: np.ndarray  # (n_rows,)
    high: np.ndarray

    def excess(self, coef):
        """By how much each row is outside of its limits."""
        at = self.matrix @ coef
        return np.maximum(np.maximum(self.low - at, at - self.high), 0.0)


def none_of(n_features):
    return Linear(np.zeros((0, n_features)), np.zeros(0), np.zeros(0))


def read(owner, given, n_features):
    """Checked constraints.

    Parameters
    ----------
    owner : str
    given : LinearConstraint, list of them, or None
    n_features : int

    Returns
    -------
    linear : Linear
    """
    if given is None:
        return none_of(n_features)
    several = list(given) if isinstance(given, list | tuple) else [given]
    made = [none_of(n_features)]
    for k, one in enumerate(several):
        name = f"{owner}: constraints" + (f"[{k}]" if isinstance(given, list | tuple) else "")
        if not isinstance(one, LinearConstraint):
            raise TypeError(
                f"{name} must be a scipy.optimize.LinearConstraint, or a list of them; got {one!r}"
            )
        made.append(_read_one(name, one, n_features))
    parts = zip(*((one.matrix, one.low, one.high) for one in made), strict=True)
    return Linear(*(np.concatenate(part) for part in parts))


def _read_one(name, one, n_features):
    matrix = one.A.toarray() if sparse.issparse(one.A) else np.asarray(one.A)
    matrix = np.atleast_2d(np.asarray(matrix, dtype=np.float64))
    if matrix.ndim != 2 or matrix.shape[1] != n_features:
        raise ValueError(
            f"{name}: A must have a column for each of the {n_features} features; its shape is "
            f"{np.shape(one.A)}"
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name}: A must hold finite numbers; got NaN or infinity")
    limits = []
    for limit, of in (("lb", one.lb), ("ub", one.ub)):
        try:
            of = np.broadcast_to(np.asarray(of, dtype=np.float64), len(matrix))
        except ValueError:
            raise ValueError(
                f"{name}: {limit} must be a number, or {len(matrix)} numbers, one a row of A; its "
                f"shape is {np.shape(of)}"
            ) from None
        if np.isnan(of).any():
            raise ValueError(f"{name}: {limit} must not be NaN")
        limits.append(of.copy())
    low, high = limits
    wrong = (low > high) | (low == np.inf) | (high == -np.inf)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ValueError(
            f"{name}: no number is between lb and ub in row {k}: {low[k]:g} and {high[k]:g}"
        )
    return Linear(matrix, low, high)


def scaled(linear):
    """The same with rows of length 1, but for those of zeros, and the lengths."""
    length = np.linalg.norm(linear.matrix, axis=1)
    length = np.where(length > 0, length, 1.0)
    made = Linear(linear.matrix / length[:, None], linear.low / length, linear.high / length)
    return made, length


def check_feasible(owner, linear):
    """Raise where no weights meet the constraints.

    The least size of an excess that all rows can have is a linear program.
    """
    empty = ~linear.matrix.any(axis=1)
    wrong = empty & ((linear.low > 0) | (linear.high < 0))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ValueError(
            f"{owner}: constraints cannot be met: row {k} of A is 0, and 0 is not between lb and ub"
        )
    of, _ = scaled(linear)
    limits = np.concatenate([of.low, of.high])
    limits = np.abs(limits[np.isfinite(limits)])
    if not limits.any():  # weights of 0 do
        return
    unit = float(limits.max())
    d = of.matrix.shape[1]
    up, down = np.isfinite(of.high), np.isfinite(of.low)
    matrix = np.concatenate([of.matrix[up], -of.matrix[down]])
    right = np.concatenate([of.high[up], -of.low[down]]) / unit
    slack = -np.ones((len(matrix), 1))
    found = linprog(
        np.append(np.zeros(d), 1.0),
        A_ub=np.hstack([matrix, slack]),
        b_ub=right,
        bounds=[(None, None)] * d + [(0.0, None)],
        method="highs",
    )
    if found.status != 0:
        raise ValueError(f"{owner}: constraints could not be checked: {found.message}")
    # HiGHS itself is content with 1e-7.
    if found.fun > 1e-7:
        coef = found.x[:-1] * unit
        k = int(np.argmax(of.excess(coef)))
        raise ValueError(
            f"{owner}: constraints cannot be met: no weights satisfy all {len(linear.low)} rows. "
            f"At best some are missed by {found.fun * unit:.3g} (of rows of A over their lengths), "
            f"as row {k}"
        )


def independent(matrix):
    """The numbers of rows of which all others are made."""
    if not len(matrix):
        return np.zeros(0, dtype=int)
    _, triangle, order = qr(matrix.T, mode="economic", pivoting=True)
    diagonal = np.abs(triangle.diagonal())
    return np.sort(order[: int((diagonal > RANK * diagonal.max()).sum())])
