"""Linear models trained by stochastic gradient descent on any loss."""

from sklearn_losses.linear_model._classifier import SGDClassifierX
from sklearn_losses.linear_model._path import AlphaSearchCV, alpha_path
from sklearn_losses.linear_model._regressor import SGDRegressorX

__all__ = ["AlphaSearchCV", "SGDClassifierX", "SGDRegressorX", "alpha_path"]
