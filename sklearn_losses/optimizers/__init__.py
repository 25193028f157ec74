"""Optimizers: one class each, named as published."""

from sklearn_losses._parameters import from_name
from sklearn_losses.optimizers.base import Optimizer
from sklearn_losses.optimizers.exact import GD, LBFGS, Auto, InteriorPoint, Newton
from sklearn_losses.optimizers.stepping import (
    NAG,
    SAGA,
    SGD,
    SVRG,
    AdaGrad,
    Adam,
    AdamW,
    ImplicitAdaGrad,
    Momentum,
    NAdam,
    RMSProp,
)

OPTIMIZERS = {
    c.name: c
    for c in (
        SGD,
        Momentum,
        NAG,
        AdaGrad,
        ImplicitAdaGrad,
        RMSProp,
        Adam,
        AdamW,
        NAdam,
        SAGA,
        SVRG,
        GD,
        LBFGS,
        Newton,
        InteriorPoint,
        Auto,
    )
}

__all__ = [
    "OPTIMIZERS",
    "Optimizer",
    "get_optimizer",
    *(cls.__name__ for cls in OPTIMIZERS.values()),
]


def get_optimizer(optimizer, **params):
    """The optimizer that a name or an object stands for.

    Parameters
    ----------
    optimizer : str or Optimizer
        A name in `OPTIMIZERS`, or an optimizer.
    **params
        Parameters to set; an object that is given stays as it is.

    Returns
    -------
    optimizer : Optimizer

    Raises
    ------
    ValueError
        For a name that is not known; the message has the nearest ones.

    Examples
    --------
    >>> from sklearn_losses import get_optimizer
    >>> get_optimizer("adam", beta1=0.5)
    Adam(beta1=0.5)
    """
    return from_name("optimizer", optimizer, Optimizer, OPTIMIZERS, params)
