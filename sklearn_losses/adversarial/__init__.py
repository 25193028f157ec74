"""Linear models under attack: trained against one, and scored under one."""

from sklearn_losses.adversarial._attack import (
    adversarial_loss,
    adversarial_score,
    make_adversarial_scorer,
)
from sklearn_losses.adversarial._estimators import AdversarialClassifier, AdversarialRegressor

__all__ = [
    "AdversarialClassifier",
    "AdversarialRegressor",
    "adversarial_loss",
    "adversarial_score",
    "make_adversarial_scorer",
]
