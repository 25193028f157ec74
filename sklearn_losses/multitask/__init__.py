"""Linear models of several targets that are fitted together."""

from sklearn_losses.multitask._estimator import MultiTaskModel

__all__ = ["MultiTaskModel"]
