"""Solvers: each drives a fit; the kernels do the arithmetic."""

from sklearn_losses._solvers.batches import Batches
from sklearn_losses._solvers.full_batch import GradientDescent, LimitedMemoryBFGS
from sklearn_losses._solvers.one_sample import OneSample
from sklearn_losses.optimizers import GD, LBFGS, SGD
from sklearn_losses.schedules import SCHEDULES, Schedule

ONE_SAMPLE = OneSample
BATCHES = Batches

# Optimizers with a descent of their own; the others step on batches.
_FULL_BATCH = {GD: GradientDescent, LBFGS: LimitedMemoryBFGS}


def choose_descent(loss, settings, plain):
    """The class of the descent.

    Parameters
    ----------
    loss : Loss
    settings : Settings
    plain : bool
        Whether the data hold nothing beyond scikit-learn's: one output a fit, no offset.
    """
    optimizer = settings.optimizer
    for kind, descent in _FULL_BATCH.items():
        if isinstance(optimizer, kind):
            return descent
    beyond = (
        not isinstance(optimizer, SGD)
        or settings.batch_size != 1
        or settings.clip_norm is not None
        or settings.low is not None
        or isinstance(settings.learning_rate, Schedule)
        or settings.learning_rate in SCHEDULES
        or loss.is_multiclass
    )
    return BATCHES if beyond or not plain else ONE_SAMPLE
