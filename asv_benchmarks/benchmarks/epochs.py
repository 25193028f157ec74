"""A few epochs of stochastic gradient descent, and how scikit-learn's own estimator compares."""

import warnings

from scipy.sparse import csr_array
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier

from sklearn_losses import SGDClassifierX

from .common import SMOKE, ratio

LOSSES = ["log_loss"] if SMOKE else ["log_loss", "hinge", "modified_huber"]
LAYOUTS = ["dense", "csr"]


def data(layout, n_samples=500 if SMOKE else 50_000, n_features=100):
    X, y = make_classification(n_samples, n_features, n_informative=20, random_state=0)
    if layout == "csr":
        X[abs(X) < 1.5] = 0  # about one entry in eight stays
        X = csr_array(X)
    return X, y


def fit(cls, X, y, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return cls(max_iter=5, tol=None, random_state=0, **params).fit(X, y)


class Epochs:
    params = (LOSSES, LAYOUTS, [32] if SMOKE else [1, 32, 256])
    param_names = ("loss", "layout", "batch_size")

    def setup(self, loss, layout, batch_size):
        self.X, self.y = data(layout)

    def time_fit(self, loss, layout, batch_size):
        fit(SGDClassifierX, self.X, self.y, loss=loss, batch_size=batch_size)


class AgainstSklearn:
    params = (LOSSES, LAYOUTS)
    param_names = ("loss", "layout")
    unit = "times as fast"

    def track_ratio_to_sklearn(self, loss, layout):
        X, y = data(layout)
        return ratio(
            lambda: fit(SGDClassifierX, X, y, loss=loss, batch_size=1),
            lambda: fit(SGDClassifier, X, y, loss=loss),
            repeats=5,
        )
