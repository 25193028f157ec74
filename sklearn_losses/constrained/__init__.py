"""Linear models under constraints: on their weights, and on how they treat groups."""

from sklearn_losses.constrained._estimators import ConstrainedClassifier, ConstrainedRegressor
from sklearn_losses.constrained._fair import FairClassifier, FairRegressor
from sklearn_losses.constrained._sensitive import (
    demographic_parity_difference,
    equal_opportunity_difference,
)

__all__ = [
    "ConstrainedClassifier",
    "ConstrainedRegressor",
    "FairClassifier",
    "FairRegressor",
    "demographic_parity_difference",
    "equal_opportunity_difference",
]
