"""Linear models under constraints: on their weights, and on how they treat groups."""

from sklearn_losses.constrained._estimators import ConstrainedClassifier, ConstrainedRegressor

__all__ = ["ConstrainedClassifier", "ConstrainedRegressor"]
