"""Bounds of the derivatives of losses, each of which has a proof: what output and objective
perturbation stand on.

A grid of raw predictions proves nothing, so that a loss that is not listed is refused.
"""

import math
from typing import NamedTuple

from sklearn_losses import losses


class Bounds(NamedTuple):
    """Bounds over all targets and raw predictions."""

    slope: float  # the first derivative's size (the norm of a row-wise loss's gradient)
    curvature: float  # the second derivative (the largest eigenvalue of a row-wise loss's hessian)


# The sigmoid is in (0, 1) and its slope, p (1 - p), at most 1/4.
_LOGISTIC = Bounds(1.0, 0.25)
# The gradient is the difference of two rows of probabilities, whose squares sum to at most 2; the
# hessian, diag(p) - p p', has no eigenvalue above 1/2 (Boehning, 1992).
_SOFTMAX = Bounds(math.sqrt(2), 0.5)


def _poly(loss):
    # (1 - p) (1 + epsilon p) falls from 1 where |epsilon| <= 1; so far the loss is convex.
    return Bounds(1.0, (1 + abs(loss.epsilon)) / 4)


# The losses that are convex, differentiable and of bounded slope and curvature.
PROVEN = {
    losses.HalfBinomialLoss: lambda loss: _LOGISTIC,
    losses.BinaryKLDivergence: lambda loss: _LOGISTIC,
    losses.PolyLoss: _poly,
    losses.SmoothHinge: lambda loss: Bounds(1.0, 1 / loss.gamma),
    losses.ModifiedHuber: lambda loss: Bounds(4.0, 2.0),
    losses.HuberLoss: lambda loss: Bounds(loss.delta, 1.0),
    losses.SmoothL1: lambda loss: Bounds(1.0, 1 / loss.beta),
    losses.PseudoHuber: lambda loss: Bounds(loss.delta, 1.0),
    # The derivative is tanh.
    losses.LogCosh: lambda loss: Bounds(1.0, 1.0),
    # The derivative is r / (1 + |r| / c).
    losses.Fair: lambda loss: Bounds(loss.c, 1.0),
    losses.SmoothPinball: lambda loss: Bounds(
        max(loss.quantile, 1 - loss.quantile), 1 / (2 * loss.width)
    ),
    losses.HalfMultinomialLoss: lambda loss: _SOFTMAX,
    losses.MulticlassKLDivergence: lambda loss: _SOFTMAX,
    losses.LogitAdjusted: lambda loss: _SOFTMAX,
    losses.LDAM: lambda loss: Bounds(
        loss.scale * _SOFTMAX.slope, loss.scale**2 * _SOFTMAX.curvature
    ),
}


def proven_bounds(loss, mechanism):
    """Bounds of a loss's derivatives, or the error that says why there are none.

    Parameters
    ----------
    loss : Loss
    mechanism : str
        What asks, for the error.

    Returns
    -------
    bounds : Bounds
    """
    name = type(loss).__name__
    if type(loss) in PROVEN and loss.convex:
        return PROVEN[type(loss)](loss)
    if not loss.convex:
        why = f"{name} is not known to be convex"
    elif not loss.differentiable:
        why = (
            f"{name} has no derivative at its kinks, by which the distance to the minimum could be "
            "bounded; 'smooth_hinge', 'huber' and 'smooth_quantile' are smooth relatives"
        )
    else:
        why = f"no bound of {name}'s first and second derivative is proven (or there is none)"
    known = sorted(cls.name for cls in PROVEN)
    raise ValueError(
        f"loss with mechanism={mechanism!r} must be one of {known}; {why}. mechanism='sgd' takes "
        "any loss, as it clips gradients"
    )
