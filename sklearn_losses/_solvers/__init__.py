"""Solvers: each drives a fit; the kernels do the arithmetic."""

import numpy as np

from sklearn_losses._solvers.alternating import InTurn
from sklearn_losses._solvers.batches import Batches
from sklearn_losses._solvers.full_batch import GradientDescent, LimitedMemoryBFGS
from sklearn_losses._solvers.interior import FrischNewton
from sklearn_losses._solvers.newton import ProximalNewton
from sklearn_losses._solvers.one_sample import OneSample
from sklearn_losses.optimizers import GD, LBFGS, SGD, InteriorPoint, Newton
from sklearn_losses.schedules import SCHEDULES, Schedule

ONE_SAMPLE = OneSample
BATCHES = Batches
PASSIVE_AGGRESSIVE = ("pa1", "pa2")

# Optimizers with a descent of their own; the others step on batches.
_FULL_BATCH = {
    GD: GradientDescent,
    LBFGS: LimitedMemoryBFGS,
    Newton: ProximalNewton,
    InteriorPoint: FrischNewton,
}
# Those of losses that are fitted `in_turn`.
_IN_TURN = {InteriorPoint: InTurn}


def _has_slope(loss, settings):
    return all(m.differentiable or m._smoothed(1.0) is not None for m in loss._members())


def _has_kinks(loss, settings):
    if loss.in_turn:
        return True
    # A parameter that is found with the fit has no value yet.
    loss = loss if loss.is_multiclass else loss._with_scale(1.0)
    return _is_a_mean(loss, settings) and all(
        m._terms(np.zeros(1)) is not None for m in loss._members()
    )


def _has_alpha(loss, settings):
    return settings.learning_rate != "optimal" or settings.alpha > 0


def _has_schedule(loss, settings):
    return settings.learning_rate not in PASSIVE_AGGRESSIVE


def _decays_alike(loss, settings):
    decays = settings.optimizer.decoupled and settings.own is not None
    return not (decays and np.any(settings.bend))


def _is_a_sum(loss, settings):
    return settings.sums() is not None


def _has_parts(loss, settings):
    return settings.parts() is not None


def _is_a_mean(loss, settings):
    return not loss.is_joint


def _has_equal_heads(loss, settings):
    loss = loss._heads()
    return loss.is_joint or not loss.reads_target or bool(loss._sees_features().all())


def _has_curvature(loss, settings):
    return _is_a_mean(loss, settings) and all(member.differentiable for member in loss._members())


# What a descent's `needs` names: whether it is there, and what is said where it is not.
NEEDS = {
    "slope": (
        _has_slope,
        "optimizer={optimizer!r} needs a loss with a derivative (`differentiable`) or a smooth "
        "counterpart (`_smoothed`): {loss!r} has no derivative, and no smooth counterpart. Use "
        "optimizer='auto', 'interior-point' for a loss made of straight lines (`_terms`), or an "
        "optimizer that steps, such as optimizer='adagrad'",
    ),
    "mean": (
        _is_a_mean,
        "optimizer={optimizer!r} needs a loss that is a mean over samples: {loss!r} is one of all "
        "samples together. Use optimizer='auto', 'lbfgs' or 'gd'",
    ),
    "heads": (
        _has_equal_heads,
        "optimizer={optimizer!r} steps along all features of every head, and {loss!r} has constant "
        "ones. Use optimizer='auto', 'newton', 'lbfgs' or 'gd'",
    ),
    "kinks": (
        _has_kinks,
        "optimizer={optimizer!r} needs a loss that is a sum of functions of the raw prediction "
        "with one kink each (`_terms`), such as 'quantile', 'absolute_error', "
        "'epsilon_insensitive' or 'hinge': {loss!r} is not. Use optimizer='lbfgs', or one that "
        "steps, such as optimizer='adagrad'",
    ),
    "sums": (
        _is_a_sum,
        "optimizer={optimizer!r} needs a penalty that is a sum of L1 and L2 parts: L1, L2 or "
        "ElasticNet; {penalty!r} is none. Use optimizer='gd', or one that steps, such as "
        "optimizer='saga'",
    ),
    "parts": (
        _has_parts,
        "optimizer={optimizer!r} needs a penalty that is a sum of L1 and L2 parts, or quadratic: "
        "L1, L2, ElasticNet, GaussianPrior or SmoothPenalty; {penalty!r} has a proximal operator "
        "(`prox`) alone. Use optimizer='gd', or one that steps, such as optimizer='saga'",
    ),
    "curvature": (
        _has_curvature,
        "optimizer={optimizer!r} needs a loss with a derivative everywhere (`differentiable`): "
        "{loss!r} has a kink. Use optimizer='auto', 'interior-point' where it is made of straight "
        "lines, 'lbfgs', which follows smooth neighbours of it where it has any, or one that "
        "steps, such as optimizer='adagrad'",
    ),
    "decay": (
        _decays_alike,
        "optimizer={optimizer!r} decays all weights alike, instead of an L2 penalty: {penalty!r} "
        "has L2 weights. Use optimizer='adam'",
    ),
    "alpha": (
        _has_alpha,
        "alpha must be > 0 since learning_rate is 'optimal'. alpha is used to compute the optimal "
        "learning rate.",
    ),
    "schedule": (
        _has_schedule,
        "learning_rate={learning_rate!r} is defined for optimizer='sgd' with batch_size=1, one "
        "output, no bounds, clip_norm or offset, and arrays on the host",
    ),
}


def choose_descent(loss, settings, plain):
    """The class of the descent.

    Parameters
    ----------
    loss : Loss
    settings : Settings
    plain : bool
        Whether the data hold nothing beyond scikit-learn's: one output a fit, no offset.

    Raises
    ------
    ValueError
        Where the loss or the settings lack what the descent needs.
    """
    kind = _descent(loss, settings, plain)
    for name in kind.needs:
        met, message = NEEDS[name]
        if not met(loss, settings):
            raise ValueError(
                message.format(
                    loss=loss,
                    optimizer=settings.optimizer.name,
                    learning_rate=settings.learning_rate,
                    penalty=settings.own and settings.own.penalty,
                )
            )
    return kind


def _descent(loss, settings, plain):
    optimizer = settings.optimizer
    whole = _FULL_BATCH | _IN_TURN if loss.in_turn else _FULL_BATCH
    for kind, descent in whole.items():
        if isinstance(optimizer, kind):
            return descent
    beyond = (
        not isinstance(optimizer, SGD)
        or settings.batch_size != 1
        or settings.clip_norm is not None
        or settings.low is not None
        or settings.own is not None
        or isinstance(settings.learning_rate, Schedule)
        or settings.learning_rate in SCHEDULES
        or loss.is_multiclass
    )
    return BATCHES if beyond or not plain else ONE_SAMPLE
