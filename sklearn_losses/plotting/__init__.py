"""Pictures of losses and of estimators trained with them, as scikit-learn's Display classes: the
constructor takes the numbers, ``from_...`` computes them, `plot` draws them. Matplotlib is imported
when something is drawn."""

from sklearn_losses.plotting._fairness import FairnessDisplay
from sklearn_losses.plotting._fits import ParameterPathDisplay, TrainingDisplay
from sklearn_losses.plotting._losses import LossDisplay
from sklearn_losses.plotting._predictions import QuantileDisplay, ResidualDisplay

__all__ = [
    "FairnessDisplay",
    "LossDisplay",
    "ParameterPathDisplay",
    "QuantileDisplay",
    "ResidualDisplay",
    "TrainingDisplay",
]
