"""Value and gradient of every loss over an array, and how scikit-learn's own losses compare."""

import numpy as np
from sklearn._loss import (
    loss as sklearn_loss,
)  # private there: a benchmark may, the package does not

import sklearn_losses
from sklearn_losses.losses import POINTWISE, ROWWISE

from .common import SMOKE, pointwise_data, ratio

SIZES = [1_000] if SMOKE else [1_000, 1_000_000]
DTYPES = ["float64"] if SMOKE else ["float32", "float64"]
THREADS = [1] if SMOKE else [1, 2]
NAMES = ["huber", "log_loss"] if SMOKE else [cls.name for cls in POINTWISE]
IN_SKLEARN = {
    "squared_error": sklearn_loss.HalfSquaredError,
    "absolute_error": sklearn_loss.AbsoluteError,
    "huber": lambda: sklearn_loss.HuberLoss(delta=0.1),
    "quantile": lambda: sklearn_loss.PinballLoss(quantile=0.5),
    "poisson": sklearn_loss.HalfPoissonLoss,
    "gamma": sklearn_loss.HalfGammaLoss,
    "tweedie": lambda: sklearn_loss.HalfTweedieLoss(power=1.5),
    "log_loss": sklearn_loss.HalfBinomialLoss,
    "exponential": sklearn_loss.ExponentialLoss,
}


class Pointwise:
    params = (NAMES, DTYPES, SIZES, THREADS)
    param_names = ("loss", "dtype", "n", "threads")

    def setup(self, name, dtype, n, n_threads):
        self.loss = sklearn_losses.get_loss(name)
        self.y, self.raw = pointwise_data(n, dtype)
        self.out = np.empty_like(self.raw), np.empty_like(self.raw)

    def time_loss_gradient(self, name, dtype, n, n_threads):
        self.loss.loss_gradient(self.y, self.raw, None, *self.out, n_threads=n_threads)


class Rowwise:
    params = (["multinomial"] if SMOKE else [cls.name for cls in ROWWISE], DTYPES, [3, 10, 100])
    param_names = ("loss", "dtype", "classes")

    def setup(self, name, dtype, n_classes):
        loss = sklearn_losses.get_loss(name)
        n = (3_000 if SMOKE else 1_000_000) // n_classes
        rng = np.random.RandomState(0)
        self.y = rng.randint(n_classes, size=n).astype(dtype)
        self.raw = rng.standard_normal((n, n_classes)).astype(dtype)
        self.loss = loss._for_classes(n_classes, np.bincount(self.y.astype(int)) + 1.0)
        self.out = np.empty_like(self.y), np.empty_like(self.raw)

    def time_loss_gradient(self, name, dtype, n_classes):
        self.loss.loss_gradient(self.y, self.raw, None, *self.out, n_threads=1)


class AgainstSklearn:
    params = ([name for name in NAMES if name in IN_SKLEARN], DTYPES, SIZES, THREADS)
    param_names = ("loss", "dtype", "n", "threads")
    unit = "times as fast"

    def track_ratio_to_sklearn(self, name, dtype, n, n_threads):
        y, raw = pointwise_data(n, dtype)
        out = np.empty_like(raw), np.empty_like(raw)
        ours, theirs = sklearn_losses.get_loss(name), IN_SKLEARN[name]()
        return ratio(
            lambda: ours.loss_gradient(y, raw, None, *out, n_threads=n_threads),
            lambda: theirs.loss_gradient(y, raw, None, *out, n_threads=n_threads),
        )
