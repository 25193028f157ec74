"""Losses for the optimizers that take some alone."""

import numpy as np

# By what is fitted; of several classes such an optimizer takes one against the rest.
ONLY = {"interior-point": {"regression": "absolute_error", "classes": "hinge"}}
# Those that take arrays of the host alone.
HOST = {"newton", "interior-point"}


def name_of(optimizer):
    return getattr(optimizer, "name", optimizer)


def takes(optimizer, loss):
    """Whether an optimizer takes the terms, or the derivatives, of a loss."""
    if name_of(optimizer) in ONLY:
        return loss._terms(np.ones(1)) is not None
    return loss.differentiable or loss._smoothed(1.0) is not None


def loss_for(optimizer, loss, of="regression"):
    """The name of a loss, or of one that the optimizer takes in its place."""
    only = ONLY.get(name_of(optimizer))
    return loss if only is None else only[of]
