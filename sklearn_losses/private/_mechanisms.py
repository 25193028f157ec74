"""The three ways to a private model: noisy steps, noise on the minimum, and noise in the objective.

Each takes a `Problem` and a `Budget`, and returns a `Release`. In all of them the number of samples
that sums are divided by is public, and data sets are neighbours where one lacks a sample of the
other.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sklearn_losses.linear_model import SGDClassifierX, SGDRegressorX
from sklearn_losses.private._accountant import (
    gaussian_noise,
    objective_noise,
    sgd_epsilon,
    sgd_noise,
)
from sklearn_losses.private._bounds import proven_bounds
from sklearn_losses.private._noise import normal, poisson_sample, release, spherical

# How near the minimum a solver has to come: the gradient that is left, beside the largest of one
# sample, and more where more than so many samples make more rounding. It is a public number, and
# not what was left in fact, as noise must not depend on data.
LEFT, MANY = 1e-4, 1e5
# The share of epsilon and delta that hides what objective perturbation's solver left.
SHARE = 0.01
# How far the steps go in all, in units of the scaled features, where nobody has chosen a rate; and
# the longest step: one sample's raw prediction should not cross the range of its targets, or what
# log-odds usually are.
DISTANCE = 30.0
LONGEST = {"regression": 0.5, "binary": 5.0, "multiclass": 5.0}
# The norm of the weights for which penalty and noise are balanced, where nobody has chosen a
# penalty.
SIZE = {"regression": 5.0, "binary": 30.0, "multiclass": 30.0}


class Budget(NamedTuple):
    """What may be spent, and on how many samples."""

    epsilon: float | None
    delta: float
    n_samples: int  # the public number


class Release(NamedTuple):
    """Weights that may be seen, and what they cost; the attributes of the fitted estimator."""

    coef: np.ndarray  # (n_outputs, n_features)
    intercept: np.ndarray  # (n_outputs,)
    facts: dict


# ------------------------------------------------------------------------------------ noisy steps


class Steps(NamedTuple):
    """How `sgd` goes."""

    q: float
    n_steps: int
    noise: float
    clip_norm: float
    rate: float
    decay: float  # what the step length times it adds to 1, to divide the weights by
    average: bool


def descend(problem, steps, n_samples):
    """The weights that noisy steps lead to.

    Parameters
    ----------
    problem : Problem
    steps : Steps
    n_samples : int
        The public number of samples.

    Returns
    -------
    weights : ndarray of shape (n_outputs, n_features + 1)
        The intercepts last; 0 where there are none.
    """
    X, y, d = problem.X, problem.y, problem.X.shape[1]
    norms = problem.norms()
    w = np.zeros((problem.n_outputs, d + 1))
    total, first_averaged = np.zeros_like(w), steps.n_steps // 2 if steps.average else 0
    shrink = np.full(d + 1, 1 + steps.rate * steps.decay)
    shrink[d] = 1.0
    mean = np.zeros_like(w)
    used = d + problem.fit_intercept
    for t in range(steps.n_steps):
        at = poisson_sample(X.shape[0], steps.q)
        rows, target, length = (X, y, norms) if len(at) == X.shape[0] else (X[at], y[at], norms[at])
        with np.errstate(over="ignore", invalid="ignore"):
            raw = problem.start + problem.width * (rows @ w[:, :d].T + w[:, d])
            gradient = problem.derivative(target, raw)
            length = length * np.linalg.norm(gradient, axis=1)
            gradient *= np.minimum(1.0, steps.clip_norm / np.maximum(length, 1e-300))[:, None]
        total[:, :d] = (rows.T @ gradient).T
        total[:, d] = gradient.sum(axis=0)
        noisy = release(total[:, :used], steps.clip_norm, steps.noise)
        # Over the expected size of a batch: the real one would tell who is in it.
        w[:, :used] -= steps.rate / (steps.q * n_samples * steps.clip_norm) * noisy
        w /= shrink
        if t >= first_averaged:
            mean += (w - mean) / (t - first_averaged + 1)
    return mean if steps.average else w


def sgd(problem, budget, settings):
    """Noisy steps (Abadi et al., 2016)."""
    batch = min(settings.batch_size, budget.n_samples)
    q = batch / budget.n_samples
    n_steps = math.ceil(settings.max_iter / q)
    noise = settings.noise_multiplier
    if noise is None:
        noise = sgd_noise(budget.epsilon, budget.delta, q, n_steps, settings.accountant)
    spent = sgd_epsilon(q, noise, n_steps, budget.delta, settings.accountant)
    rate = settings.learning_rate
    if rate == "auto":
        # The length that minimises the bound of the regret, of gradients with this norm.
        square = 1 + problem.n_weights * (noise / batch) ** 2
        rate = min(DISTANCE / math.sqrt(n_steps * square), LONGEST[problem.loss.task])
    alpha = 0.0 if settings.alpha == "auto" else settings.alpha
    steps = Steps(
        q=q,
        n_steps=n_steps,
        noise=noise,
        clip_norm=settings.clip_norm,
        rate=float(rate),
        decay=alpha * settings.slope / settings.clip_norm,
        average=settings.average,
    )
    w = descend(problem, steps, budget.n_samples)
    facts = {
        "epsilon_": spent,
        "noise_multiplier_": float(noise),
        "n_steps_": n_steps,
        "n_iter_": int(settings.max_iter),
        "sampling_rate_": q,
        "clip_norm_": settings.clip_norm,
        "learning_rate_": steps.rate,
        "alpha_": alpha,
    }
    return Release(w[:, :-1], w[:, -1], facts)


# -------------------------------------------------------------------------------- noisy minima


def minimum(problem, ridge, linear, allowed):
    """The minimum of ``sum(loss) + ridge / 2 * |w|**2 + linear @ w``, the constant feature's weight
    with the others.

    Completing the square turns the linear part into an offset of the raw predictions, and the whole
    into a fit that the library has.

    Parameters
    ----------
    problem : Problem
    ridge : float
    linear : ndarray of shape (width,) or None
    allowed : float
        The norm of the gradient that may be left.

    Returns
    -------
    w : ndarray of shape (n_outputs, width)

    Raises
    ------
    RuntimeError
        Where more is left.
    """
    A = _with_constant(problem)
    n, offset = A.shape[0], np.full(A.shape[0], problem.start)
    shift = np.zeros(A.shape[1]) if linear is None else linear / ridge
    offset = offset - A @ shift
    # Margins and rows are classes' alone; y may hold probabilities of the others.
    labels = problem.loss.task != "regression" and not (
        problem.loss.gives_probability and not problem.loss.is_multiclass
    )
    model = (SGDClassifierX if labels else SGDRegressorX)(
        problem.loss,
        optimizer="newton",
        alpha=ridge / n,
        fit_intercept=False,
        tol=1e-14,
        max_iter=1000,
    )
    y = problem.y.argmax(axis=1) if labels and problem.y.ndim == 2 else problem.y
    with warnings.catch_warnings():
        # The gradient says below whether the minimum was reached.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(A, y, offset=offset)
    v = np.atleast_2d(model.coef_)
    if problem.loss.is_multiclass and len(v) == 1:
        v = np.concatenate([-v / 2, v / 2])  # of two classes, whose weights sum to 0
    gradient = problem.derivative(problem.y, A @ v.T + offset[:, None])
    left = float(np.linalg.norm((A.T @ gradient).T + ridge * v))
    if not left <= allowed:
        raise RuntimeError(
            f"the minimum was not reached, without which privacy is not proven: the gradient's "
            f"norm is {left:.3g}, and may be {allowed:.3g}. Choose a larger alpha, or "
            "mechanism='sgd', which needs no minimum"
        )
    return v - shift


def _with_constant(problem):
    """The features as raw predictions take them: times `width`, the constant one last."""
    X = problem.X
    if not problem.fit_intercept:
        return X * problem.width
    constant = np.ones((X.shape[0], 1))
    if sparse.issparse(X):
        return sparse.hstack([X, constant], format="csr") * problem.width
    return np.hstack([X, constant]) * problem.width


def _allowed(largest, n_samples):
    return LEFT * largest * math.sqrt(max(1.0, n_samples / MANY))


def _released(problem, w, facts):
    if not problem.fit_intercept:
        return Release(w, np.zeros(len(w)), facts)
    return Release(w[:, :-1], w[:, -1], facts)


def _noise_for(epsilon, delta, n_weights):
    """Noise for a release, beside its sensitivity: the multiplier, how it is drawn, and about which
    norm it has."""
    if delta == 0:
        return 1 / epsilon, spherical, n_weights / epsilon
    noise = gaussian_noise(epsilon, delta)
    return noise, normal, noise * math.sqrt(n_weights)


def output(problem, budget, settings):
    """Noise on the minimum (Chaudhuri et al., 2011, algorithm 1)."""
    slope = proven_bounds(problem.loss, "output").slope
    if not problem.loss.is_multiclass:  # one-vs-rest: a sample is in each output's objective
        slope *= math.sqrt(problem.n_outputs)
    largest = slope * problem.width * problem.largest_norm()
    n, unit = budget.n_samples, settings.slope * problem.width
    noise, draw, size = _noise_for(budget.epsilon, budget.delta, problem.n_weights)
    alpha = settings.alpha
    if alpha == "auto":
        # The least sum of what the noise adds to the loss, at most `largest` times its norm, and of
        # what the penalty adds.
        alpha = largest / (unit * SIZE[problem.loss.task]) * math.sqrt(2 * size / n)
    ridge, allowed = alpha * unit * n, _allowed(largest, n)
    w = minimum(problem, ridge, None, allowed)
    # By strong convexity: a sample moves the minimum by its gradient over the ridge, and each of
    # two solvers has stopped at most what is allowed over the ridge from its own.
    sensitivity = (largest + 2 * allowed) / ridge
    noisy = release(w, sensitivity, noise, draw)
    facts = {"noise_multiplier_": noise, "sensitivity_": sensitivity, "alpha_": alpha}
    return _released(problem, noisy, _spent(budget, facts))


def objective(problem, budget, settings):
    """A random linear term in the objective (Chaudhuri et al., 2011, algorithm 2; Kifer et al.,
    2012, with Gaussian noise), the noise accounted for as in `objective_delta`."""
    bounds = proven_bounds(problem.loss, "objective")
    if problem.n_outputs > 1 or problem.loss.is_multiclass:
        raise ValueError(
            "mechanism='objective' is for one raw prediction a sample: regression, or two classes "
            f"and a loss such as 'log_loss'; got {problem.n_outputs} of "
            f"{type(problem.loss).__name__}. mechanism='output' and 'sgd' take several classes"
        )
    norm = problem.largest_norm() * problem.width
    largest, curvature = bounds.slope * norm, bounds.curvature * norm**2
    n, unit = budget.n_samples, settings.slope * problem.width
    epsilon, delta = (1 - SHARE) * budget.epsilon, (1 - SHARE) * budget.delta
    alpha = settings.alpha
    if alpha == "auto":
        # As in `output`; the minimum moves by the noise over the ridge.
        _, _, size = _noise_for(epsilon, delta, problem.n_weights)
        alpha = largest / (unit * SIZE[problem.loss.task]) * math.sqrt(2) * size / n
    # At most half of epsilon goes to the determinant, as in the paper: else the ridge grows.
    half = math.exp(-epsilon / 2)
    ridge = max(alpha * unit * n, curvature * half / -math.expm1(-epsilon / 2))
    change = math.log1p(curvature / ridge)
    if delta == 0:
        noise, draw = 1 / (epsilon - change), spherical
    else:
        noise, draw = objective_noise(epsilon, delta, change), normal
    linear = noise * largest * draw(problem.n_weights)
    allowed = _allowed(largest, n)
    w = minimum(problem, ridge, linear, allowed)
    left = _noise_for(SHARE * budget.epsilon, SHARE * budget.delta, problem.n_weights)
    w = release(w, 2 * allowed / ridge, *left[:2])
    facts = {"noise_multiplier_": noise, "sensitivity_": largest, "alpha_": ridge / (unit * n)}
    return _released(problem, w, _spent(budget, facts))


def _spent(budget, facts):
    """One release, which spends what it may."""
    return {"epsilon_": budget.epsilon, "n_steps_": 1, "n_iter_": 1, **facts}


MECHANISMS = {"sgd": sgd, "output": output, "objective": objective}
