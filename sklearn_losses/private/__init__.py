"""Linear models with differential privacy."""

from sklearn_losses.private._estimators import PrivateLinearClassifier, PrivateLinearRegressor

__all__ = ["PrivateLinearClassifier", "PrivateLinearRegressor"]
