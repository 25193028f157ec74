"""The penalties as their papers write them, in NumPy, and searches for the minimum that a proximal
operator is defined by. Nothing here is fast."""

import mpmath
import numpy as np
from scipy.optimize import minimize, minimize_scalar

from sklearn_losses.penalties import PENALTIES

VALUES, FLAGS, OTHER_PARAMS = {}, {}, {}


def value_of(name, *, convex=True, separable=True, smooth=False, others=()):
    """The function that follows is the value of the penalty of that name, whose flags these are;
    `others`: values of its parameters to be tested beside its defaults."""

    def keep(function):
        VALUES[name] = function
        FLAGS[name] = (convex, separable, smooth)
        OTHER_PARAMS[name] = others
        return function

    return keep


def banded(n):
    """A positive definite matrix with elements beside its diagonal."""
    return 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)


def cases(n_features, **params):
    """Name -> a penalty for so many features: weights by feature, groups of three, and the other
    parameters as they are, or as given."""
    weights, groups = np.linspace(0.0, 2.0, n_features), np.arange(n_features) // 3
    made = {}
    for name, cls in PENALTIES.items():
        takes = cls._get_param_names()
        given = {"groups": groups} if "groups" in takes else {"weights": weights}
        if "precision" in takes:
            given = {"mean": np.linspace(-0.5, 0.5, n_features), "precision": banded(n_features)}
        given |= params
        made[name] = cls(**{key: value for key, value in given.items() if key in takes})
    return made


# Each is of the coefficients of one output.


@value_of("l1")
def _(c, alpha, weights):
    """Zou (2006), eq. 3; Tibshirani (1996), eq. 1, where the weights are 1."""
    return sum(alpha * w * abs(x) for w, x in zip(weights, c, strict=True))


@value_of("l2", smooth=True)
def _(c, alpha, weights):
    """Hoerl and Kennard (1970), half the squares."""
    return sum(0.5 * alpha * w * x**2 for w, x in zip(weights, c, strict=True))


@value_of("elasticnet", others=[{"l1_ratio": 0.6}, {"l1_ratio": 0}])
def _(c, alpha, weights, l1_ratio):
    """scikit-learn's user guide, "Mathematical formulation" of stochastic gradient descent."""
    terms = zip(weights, c, strict=True)
    return alpha * sum(w * ((1 - l1_ratio) / 2 * x**2 + l1_ratio * abs(x)) for w, x in terms)


@value_of("group_lasso", separable=False)
def _(c, alpha, weights, groups):
    """Yuan and Lin (2006), eq. 2.1 with K_j the identity times the group's size."""
    return alpha * sum(
        w * np.sqrt(sum(c[j] ** 2 for j in group)) for w, group in zip(weights, groups, strict=True)
    )


@value_of("sparse_group", separable=False, others=[{"l1_ratio": 0.2}, {"l1_ratio": 1.0}])
def _(c, alpha, weights, groups, l1_ratio):
    """Simon et al. (2013), eq. 3."""
    groups_part = VALUES["group_lasso"](c, (1 - l1_ratio) * alpha, weights, groups)
    return groups_part + l1_ratio * alpha * sum(abs(x) for x in c)


@value_of("mcp", convex=False, others=[{"gamma": 1.2}])
def _(c, alpha, gamma):
    """Zhang (2010), eq. 2.1: alpha times the integral of (1 - x / (gamma alpha))_+."""
    return sum(
        alpha * abs(x) - x**2 / (2 * gamma) if abs(x) <= gamma * alpha else gamma * alpha**2 / 2
        for x in c
    )


@value_of("scad", convex=False, others=[{"gamma": 2.1}])
def _(c, alpha, gamma):
    """Fan and Li (2001), the integral of eq. 2.7."""

    def one(x):
        if x <= alpha:
            return alpha * x
        if x <= gamma * alpha:
            return (2 * gamma * alpha * x - x**2 - alpha**2) / (2 * (gamma - 1))
        return alpha**2 * (gamma + 1) / 2

    return sum(one(abs(x)) for x in c)


@value_of("gaussian_prior", separable=False, smooth=True, others=[{"precision": 0.4}])
def _(c, alpha, mean, precision):
    """van Wieringen (2015), section 3.1: (beta - beta_0)' Delta (beta - beta_0), half of it."""
    precision = np.asarray(precision) * (1.0 if np.ndim(precision) == 2 else np.eye(len(c)))
    away = c - np.asarray(mean)
    return (
        0.5
        * alpha
        * sum(away[i] * precision[i, j] * away[j] for i in range(len(c)) for j in range(len(c)))
    )


@value_of("smooth", separable=False, smooth=True, others=[{"order": 1}, {"order": 3}])
def _(c, alpha, order, groups, cyclic):
    """Eilers and Marx (1996), eq. 5, half of it."""
    groups = [range(len(c))] if groups is None else groups
    return 0.5 * alpha * sum(np.sum(np.diff(c[list(g)], order) ** 2) for g in groups)


def prox_one(value, z, length, low, high):
    """argmin over [low, high] of ``(u - z)**2 / (2 * length) + value(u)``: a fine grid, then golden
    section around each of its minima."""

    def objective(u):
        return (u - z) ** 2 / (2 * length) + value(u)

    # The minimum is between 0 and z, or at the bound that is nearest.
    grid = np.clip(np.linspace(min(z, 0.0), max(z, 0.0), 301), low, high)
    values = np.array([objective(u) for u in grid])
    best = (values.min(), grid[values.argmin()])
    for i in range(1, len(grid) - 1):
        if values[i] <= values[i - 1] and values[i] <= values[i + 1] and grid[i - 1] < grid[i + 1]:
            found = minimize_scalar(
                objective,
                bracket=None,
                bounds=(grid[i - 1], grid[i + 1]),
                method="bounded",
                options={"xatol": 1e-12},
            )
            best = min(best, (found.fun, found.x))
    return best[1]


def prox_group(z, length, l1, weight, low, high):
    """argmin over [low, high] of ``sum((u - z)**2 / (2 * length)) + l1 * |u|_1 + weight * |u|_2``:
    SciPy's solver of smooth problems on the positive and negative parts of u, in which the norm
    alone has no derivative, and that at 0 alone; 0 is tried apart."""

    def objective(u):
        return (
            np.sum((u - z) ** 2 / (2 * length))
            + l1 * np.abs(u).sum()
            + weight * np.sqrt(np.sum(u**2))
        )

    n = len(z)

    def split(x):
        u = x[:n] - x[n:]
        norm = max(np.sqrt(np.sum(u**2)), 1e-300)
        slope = (u - z) / length + weight * u / norm
        return (
            np.sum((u - z) ** 2 / (2 * length)) + l1 * x.sum() + weight * norm,
            np.concatenate([slope + l1, l1 - slope]),
        )

    parts = np.concatenate([np.clip(z, low, high), -np.clip(z, low, high)])
    box = list(
        zip(
            np.concatenate([np.maximum(low, 0), np.maximum(-high, 0)]),
            np.concatenate([np.maximum(high, 0), np.maximum(-low, 0)]),
            strict=True,
        )
    )
    best = np.clip(np.zeros(n), low, high)
    for start in (1.0, 0.1):
        x = np.maximum(parts, 0) * start
        for _ in range(5):  # from where it stopped, with a fresh model of the curvature
            x = minimize(
                split,
                x,
                jac=True,
                bounds=box,
                method="L-BFGS-B",
                options={"ftol": 0, "gtol": 1e-13, "maxiter": 2000},
            ).x
        u = np.clip(x[:n] - x[n:], low, high)
        best = min(best, u, key=objective)
    return best


def derivative(value, c, j):
    """The central difference of `value` along coefficient j."""
    step = np.zeros(len(c))
    step[j] = 1e-6
    return (value(c + step) - value(c - step)) / 2e-6


def exact_prox_group(z, length, l1, weight, low, high):
    """The same by bisection for the logarithm of the norm, in 60 digits."""
    with mpmath.workdps(60):
        z, length, low, high = ([mpmath.mpf(float(x)) for x in a] for a in (z, length, low, high))
        l1, weight = mpmath.mpf(l1), mpmath.mpf(weight)
        soft = [
            mpmath.sign(x) * max(abs(x) - l1 * h, mpmath.mpf(0))
            for x, h in zip(z, length, strict=True)
        ]

        def solution(nu):
            shrunk = (s / (1 + h * weight / nu) for s, h in zip(soft, length, strict=True))
            return [min(max(u, a), b) for u, a, b in zip(shrunk, low, high, strict=True)]

        small, large = mpmath.mpf(-1500), mpmath.mpf(1500)
        for _ in range(190):
            middle = (small + large) / 2
            nu = mpmath.power(10, middle)
            above = mpmath.fsum(u**2 for u in solution(nu)) > nu**2
            small, large = (middle, large) if above else (small, middle)
        return np.array([float(u) for u in solution(mpmath.power(10, small))])
