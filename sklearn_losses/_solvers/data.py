"""What is learned from."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sklearn_losses._array import array_namespace, in_namespace, to_host
from sklearn_losses._solvers.coordinates import columns_of

# What has an entry for each sample, and is None where there is none.
BY_SAMPLE = ("X", "y", "sample_weight", "offset")


@dataclass(frozen=True)
class Data:
    """Samples and losses of outputs that are trained together.

    Arrays are float64 and by sample. X and they are of NumPy, or of CuPy on one device; `held_out`
    and what is by output are of NumPy.

    Attributes
    ----------
    X : array or CSR matrix of shape (n_samples, n_features)
    y : array of shape (n_samples,) or (n_samples, n_outputs)
    losses : list of Loss
        One for all outputs, or one for each.
    n_outputs : int
    target : {"shared", "separate", "codes"}
        What y holds; see `_kernels.fit.engines.Problem`.
    negative : float
        The target of the other outputs with "codes".
    sample_weight : array of shape (n_samples,) or None
    weight_positive, weight_negative : ndarray of shape (n_outputs,) or None
        Factors of the weights of samples whose target is above 0, and of the others.
    offset : array of shape (n_samples,) or (n_samples, n_outputs), or None
    held_out : ndarray of shape (n_samples,), bool, or None
        Rows that are not learned from.
    """

    X: object
    y: np.ndarray
    losses: list
    n_outputs: int = 1
    target: str = "shared"
    negative: float = 0.0
    sample_weight: np.ndarray | None = None
    weight_positive: np.ndarray | None = None
    weight_negative: np.ndarray | None = None
    offset: np.ndarray | None = None
    held_out: np.ndarray | None = None

    # ------------------------------------------------------------------------------ rows that count

    def training_rows(self):
        """Numbers of the rows that are learned from, or None for all."""
        if self.held_out is None:
            return None
        return np.flatnonzero(~self.held_out).astype(np.int32)

    def training_weights(self):
        """Sample weights of `training_rows`, where they are, or None."""
        weight, rows = self.sample_weight, self.training_rows()
        if weight is None or rows is None:
            return weight
        return weight[in_namespace(rows, array_namespace(weight))]

    def n_training(self):
        return len(self.y) - (0 if self.held_out is None else int(np.count_nonzero(self.held_out)))

    def weight_factor(self):
        """What makes the mean weight of the training rows 1, so that 2 is two copies."""
        if self.sample_weight is None:
            return 1.0
        weight = self.training_weights()
        # Over the largest: sums of weights near the ends of the range of numbers stay inside.
        largest = float(weight.max()) if len(weight) else 0.0
        if not largest > 0:
            return 1.0
        return 1.0 / (float((weight / largest).mean()) * largest)

    def moving(self, width):
        """Which variables a fit moves, where some heads of a loss see no features: ndarray of shape
        (n_outputs, width) of 0 and 1, else None; `width`: n_features, and 1 with an intercept."""
        loss = self.losses[0]
        sees = None if loss.is_joint or not loss.reads_target else loss._sees_features()
        if sees is None or sees.all():
            return None
        made = np.ones((self.n_outputs, width))
        made[~sees, : self.X.shape[1]] = 0.0
        made[~loss._has_intercept(), self.X.shape[1] :] = 0.0
        return made

    @cached_property
    def columns(self):
        """Moments of the columns of X: `Columns`."""
        return columns_of(self)

    # ------------------------------------------------------------------------------ parts of it all

    def with_samples(self, **arrays):
        """The same outputs and losses, of these arrays by sample, all of whose rows count."""
        return replace(self, held_out=None, **arrays)

    def _each(self, change, but=()):
        """With each array by sample changed, and None for those named in `but`."""
        given = {name: None if name in but else getattr(self, name) for name in BY_SAMPLE}
        return self.with_samples(
            **{name: None if array is None else change(array) for name, array in given.items()}
        )

    def rows(self, at):
        """Those of the samples of some numbers, all of which count."""
        at = in_namespace(at, array_namespace(self.y))
        return self._each(lambda array: array[at])

    def training(self):
        """The samples that are learned from."""
        rows = self.training_rows()
        return self if rows is None else self.rows(rows)

    def without_columns(self):
        """The same without the values of X: what constants are predicted for."""
        return self.with_X(array_namespace(self.X).empty((len(self.y), 0)))

    def with_X(self, X):
        """The same with other columns."""
        return replace(self, X=X)

    def beside_X(self, at):
        """Copies, in the host's memory, of what the samples of some numbers have beside X."""
        at = in_namespace(at, array_namespace(self.y))
        return self._each(lambda array: to_host(array[at]), but=("X",))

    # ---------------------------------------------------------------- an output of a pointwise loss

    def loss(self, k):
        return self.losses[k % len(self.losses)]

    def targets(self, k):
        """Those of output k, as its loss takes them."""
        xp = array_namespace(self.y)
        if self.target == "separate":
            return xp.ascontiguousarray(self.y[:, k])
        return self.y if self.target == "shared" else xp.where(self.y == k, 1.0, self.negative)

    def weights(self, k):
        """Those of the samples for output k, or None."""
        weight = self.sample_weight
        if self.weight_positive is None:
            return weight
        positive, negative = float(self.weight_positive[k]), float(self.weight_negative[k])
        factor = array_namespace(self.y).where(self.targets(k) > 0, positive, negative)
        return factor if weight is None else weight * factor

    def offsets(self, k):
        """Those of output k, or None."""
        if self.offset is None or self.offset.ndim == 1:
            return self.offset
        return array_namespace(self.offset).ascontiguousarray(self.offset[:, k])

    def output(self, k):
        """Targets, weights and offset of output k."""
        return self.targets(k), self.weights(k), self.offsets(k)
