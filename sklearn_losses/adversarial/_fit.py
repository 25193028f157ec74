"""From checked data to the weights with the least loss under attack."""

from dataclasses import dataclass

import numpy as np

from sklearn_losses._solvers.data import Data
from sklearn_losses._solvers.design import Design
from sklearn_losses.adversarial._interior import Interior
from sklearn_losses.adversarial._pieces import Pieces, unit_of, worst_loss

# The share of targets without any relation to X for which "auto" leaves all weights at 0.
LEVEL = 0.95
# How far an attack may move a raw prediction through a weight of 1, in the units of the fit.
LEAST_DELTA, MOST_DELTA = 1e-20, 1e20


@dataclass
class Fitted:
    """Weights, and what is known of them."""

    coef: np.ndarray  # (n_features,)
    intercept: float
    objective: float
    gap: float
    n_iter: int
    met: bool


class Problem:
    """One output: the units of its coordinates, and its solution.

    Parameters
    ----------
    loss : Loss
        That `check_loss` accepts.
    X : ndarray in C order or CSR matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,), float64
        In the loss's domain.
    weight : ndarray of shape (n_samples,) or None
    fit_intercept : bool
    """

    def __init__(self, loss, X, y, weight, fit_intercept):
        if weight is not None:
            counted = np.flatnonzero(weight > 0)
            if len(counted) < len(y):
                X, y, weight = X[counted], y[counted], weight[counted]
            weight = weight / weight.max()
        n = len(y)
        self.loss, self.X, self.y, self.fit_intercept = loss, X, y, fit_intercept
        self.weight = np.full(n, 1.0 / n) if weight is None else weight / weight.sum()
        self.data = Data(X, y, [loss], sample_weight=weight)
        self.center = self.data.columns.mean if fit_intercept else None
        self.spread = self.data.columns.scales(
            self.center if fit_intercept else 0.0, per_entry=False
        )
        self.base = float(loss._start_constant(y, weight)) if fit_intercept else 0.0
        at_base = np.full(n, self.base)
        self.floor = -float(self.weight @ loss.constant_to_optimal_zero(y))
        self.constants = float(self.weight @ loss.loss(y, at_base))
        self.slope = loss.gradient(y, at_base)

    def own_eps(self, kind, n):
        """The radius, beside the features' spreads, that takes targets without any relation to X
        for what they are: then all weights are 0, with probability 0.95 as n grows (of features
        that are not correlated; with others it is larger than that needs).

        All weights are 0 from where ``|gradient by the weights / radius|`` in the norm of the
        attack is the loss's mean slope; of targets in random order the gradient is normal.

        Parameters
        ----------
        kind : type
            Of `_norms`.
        n : float
            Samples, or the sum of their weights.
        """
        slope, d = np.abs(self.slope), int(np.count_nonzero(self.spread))
        mean = float(self.weight @ slope)
        if not mean > 0 or not d:
            return 0.0
        ratio = float(np.sqrt(self.weight @ slope**2)) / mean
        return kind.of_noise(d, LEVEL) * ratio / np.sqrt(max(n, 1.0))

    def solve(self, kind, radius, alpha, tol, max_iter):
        """The minimum under attacks in a norm.

        Parameters
        ----------
        kind : type
            Of `_norms`.
        radius : ndarray of shape (n_features,)
            How far an attack goes in each feature.
        alpha : float
            Of the penalty ``alpha * |w|**2 / 2``.
        tol : float
        max_iter : int

        Returns
        -------
        fitted : Fitted
        """
        loss, y, n_features = self.loss, self.y, self.X.shape[1]
        above = self.constants - self.floor
        live = np.flatnonzero(self.spread > 0)
        if not above > 0 or not len(live):
            return Fitted(np.zeros(n_features), self.base, self.constants, 0.0, 0, True)
        unit = unit_of(loss, y, self.base, self.weight)
        # A unit of its coordinate moves raw predictions by about theirs.
        inner = np.divide(1.0, self.spread, out=np.zeros(n_features), where=self.spread > 0)
        unit_of_weight = unit * inner
        design = Design(self.data, self.center, inner, self.fit_intercept, None)
        # What is less moves no digit of a raw prediction; what is more leaves its weight at 0.
        delta = np.minimum(radius, MOST_DELTA * self.spread) * inner
        attacked = np.flatnonzero(delta > LEAST_DELTA)
        norm = kind(len(attacked)) if len(attacked) else None
        pieces = Pieces(loss, y, self.base, unit, above, norm is not None)
        fit = Interior(
            design,
            pieces,
            self.weight,
            norm,
            attacked,
            delta[attacked],
            alpha * unit_of_weight**2 / above,
            self.floor / above,
        )
        found = fit.run(tol, max_iter)
        coef = unit_of_weight * found.z[:n_features]
        intercept = self.base
        if self.fit_intercept:
            intercept += unit * found.z[-1] - float(coef @ self.center)
        gap = max(found.value - found.bound, 0.0) * above
        return Fitted(coef, intercept, found.value * above, gap, found.n_iter, found.met)


def objective(loss, X, y, weight, kind, radius, alpha, coef, intercept):
    """The mean worst loss and the penalty, of weights."""
    raw = np.asarray(X @ coef, dtype=np.float64).ravel() + intercept
    worst = worst_loss(loss, y, raw, float(kind.dual(radius * coef)))
    return float(np.average(worst, weights=weight)) + 0.5 * alpha * float(coef @ coef)
