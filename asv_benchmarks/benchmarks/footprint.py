"""Memory of a fit, time of the import, and what one small call costs."""

import numpy as np

import sklearn_losses as sl

from .common import SMOKE, pointwise_data
from .solvers import data, epochs

NAMES = ["log_loss"] if SMOKE else [cls.name for cls in sl.losses.POINTWISE]


class Memory:
    params = (["sgd", "adam", "lbfgs"], ["dense", "csr"])
    param_names = ("optimizer", "layout")

    def setup(self, optimizer, layout):
        self.X, self.y = data(layout)

    def peakmem_data_alone(self, optimizer, layout):
        return self.X.shape

    def peakmem_fit(self, optimizer, layout):
        epochs(self.X, self.y, optimizer, 1, max_iter=2)


class Import:
    timeout = 60

    def timeraw_import(self):
        return "import sklearn_losses"

    def timeraw_import_of_sklearn_linear_model(self):
        return "import sklearn.linear_model"


class Overhead:
    params = (NAMES,)
    param_names = ("loss",)

    def setup(self, name):
        self.loss = sl.get_loss(name)
        self.y, self.raw = pointwise_data(100, "float64")
        self.out = np.empty_like(self.raw), np.empty_like(self.raw)

    def time_loss_gradient_of_100(self, name):
        self.loss.loss_gradient(self.y, self.raw, None, *self.out, n_threads=1)
