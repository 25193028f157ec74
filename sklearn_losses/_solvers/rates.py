"""Which learning rate each step has, and which size each batch."""

import math
from dataclasses import replace

import numpy as np
from sklearn.utils.extmath import row_norms

from sklearn_losses._array import array_namespace, in_namespace, on_device, to_host
from sklearn_losses._kernels._sgd import learning_rates
from sklearn_losses.schedules import BatchGrowth, get_schedule

# scikit-learn's names; "pa1" and "pa2" are its algorithm's own.
SKLEARN_SCHEDULES = ("constant", "optimal", "invscaling", "adaptive")


def optimal_offset(loss, alpha):
    """The offset of t in ``eta = 1 / (alpha * (offset + t - 1))``.

    Bottou's heuristic as in scikit-learn: the first step has about the size of a typical weight.
    """
    typical = math.sqrt(1.0 / math.sqrt(alpha))
    slope = 1.0
    if not loss.is_multiclass:
        slope = float(loss.gradient(np.array([1.0]), np.array([-typical]))[0])
    return max(1.0, slope) / (typical * alpha)


def size_of_batches(batch_size, epoch, n_rows):
    """Samples a step in the epoch of that number, from 0."""
    if isinstance(batch_size, BatchGrowth):
        batch_size = batch_size.size(epoch)
    return n_rows if batch_size == "full" else max(1, min(batch_size, n_rows))


class Rates:
    """The learning rates of the steps of an epoch.

    Parameters
    ----------
    settings : Settings
    loss : Loss
    """

    def __init__(self, settings, loss):
        self.settings = settings
        self.loss = loss
        self.eta = settings.eta0  # of "adaptive"

    def of_epoch(self, epoch, t, n_steps):
        """The rates of `n_steps` steps.

        Parameters
        ----------
        epoch : int
            From 0.
        t : float
            The number of the first step, from 1.
        n_steps : int

        Returns
        -------
        rates : ndarray of shape (n_steps,)
        """
        settings = self.settings
        name = settings.learning_rate
        if name in SKLEARN_SCHEDULES:
            optimal = name == "optimal"
            recommended = settings.optimizer.recommended_rate
            if optimal and recommended is not None:
                return np.full(n_steps, recommended)
            rates = learning_rates(
                name,
                n_steps,
                t=t,
                alpha=settings.alpha,
                eta0=self.eta,
                power_t=settings.power_t,
                optimal_init=optimal_offset(self.loss, settings.alpha) if optimal else 1.0,
            )
            return settings.optimizer._share_of_sgds_rate() * rates if optimal else rates
        schedule = get_schedule(name)
        factors = np.asarray(schedule.factors(epoch + np.arange(n_steps) / n_steps))
        if factors.shape != (n_steps,) or not (np.isfinite(factors) & (factors >= 0)).all():
            raise ValueError(
                f"learning_rate={schedule!r} must give a finite factor of at least 0 for each "
                f"step; got {factors!r}"
            )
        return settings.eta0 * factors


def largest_squared_norm(X, rows):
    """Of the rows of X with these numbers (NumPy)."""
    if not on_device(X):
        return float(row_norms(X, squared=True)[rows].max(initial=0.0))
    if len(rows) == 0:
        return 0.0
    xp = array_namespace(X)
    if hasattr(X, "indptr"):
        squares = X.data.astype(np.float64) ** 2
        largest = float(squares.max()) if squares.size else 0.0
        if not 0.0 < largest < math.inf:
            return largest
        # Whole numbers of a unit: a device's cumulated sums of floats differ from run to run.
        unit = largest * squares.size / 2.0**61
        sums = xp.cumsum(xp.rint(squares / unit).astype(np.int64))
        ends = xp.concatenate([xp.zeros(1, np.int64), sums])
        squares = (ends[X.indptr[1:]] - ends[X.indptr[:-1]]) * unit
    else:
        part = max(1, (1 << 24) // X.shape[1])  # rows that are squared at a time
        squares = xp.concatenate(
            [xp.sum(X[i : i + part] ** 2, axis=1) for i in range(0, X.shape[0], part)]
        )
    return float(xp.max(squares[in_namespace(rows, xp)]))


def sample_of(data, rows):
    """Some rows of data, on the host."""
    xp = array_namespace(data.X)
    at = in_namespace(rows, xp)
    parts = {
        name: None if (array := getattr(data, name)) is None else to_host(array[at])
        for name in ("X", "y", "sample_weight", "offset")
    }
    return replace(data, held_out=None, **parts)


class LipschitzRate:
    """``1 / (3 L)``, the constant rate of the variance-reduced methods.

    L is the largest second derivative of the loss that has been seen times the largest squared norm
    of a sample, and the L2 penalty.
    """

    MOST = 4096
    PART = 64  # rows that are copied at a time

    def __init__(self, data, settings):
        rows = data.training_rows()
        rows = np.arange(len(data.y)) if rows is None else rows
        self.norm = largest_squared_norm(data.X, rows) + float(settings.fit_intercept)
        rows = rows[:: max(1, len(rows) // self.MOST)][: self.MOST]
        if on_device(data.X):
            data, rows = sample_of(data, rows), np.arange(len(rows))
        self.rows = rows
        self.data = data
        self.settings = settings
        self.curvature = 0.0

    def see(self, coef, intercept):
        """Take note of the second derivatives at these weights; returns the rate."""
        data = self.data
        parts = range(0, len(self.rows), self.PART)
        coef, intercept = to_host(coef).T.astype(np.float64), to_host(intercept)
        raw = [np.asarray(data.X[self.rows[i : i + self.PART]] @ coef) for i in parts]
        raw = np.concatenate(raw) + intercept
        if data.offset is not None:
            raw += data.offset[self.rows].reshape(len(self.rows), -1)
        self._see_raw(raw)
        return 1.0 / (3.0 * (max(self.curvature, 1e-10) * self.norm + self.settings.l2 + 1e-300))

    def see_constant(self):
        """The second derivatives at the best constant prediction."""
        data, y = self.data, self.data.y[self.rows]
        if data.target != "shared":
            return
        try:
            constants = [np.ravel(loss.fit_intercept_only(y)) for loss in data.losses]
        except ValueError:  # a sample of the rows may hold too little
            return
        constant = np.concatenate(constants)
        self._see_raw(np.broadcast_to(constant, (len(y), data.n_outputs)).copy())

    def _see_raw(self, raw):
        data = self.data
        y = data.y[self.rows]
        weight = None if data.sample_weight is None else data.sample_weight[self.rows]
        if data.losses[0].is_multiclass:
            _, hessian = data.losses[0].gradient_hessian(y, raw)
        else:
            columns = []
            for k in range(data.n_outputs):
                loss = data.losses[k % len(data.losses)]
                target = {
                    "shared": lambda k: y,
                    "separate": lambda k: np.ascontiguousarray(y[:, k]),
                    "codes": lambda k: np.where(y == k, 1.0, data.negative),
                }[data.target](k)
                columns.append(loss.gradient_hessian(target, np.ascontiguousarray(raw[:, k]))[1])
            hessian = np.stack(columns, axis=1)
        hessian = np.abs(hessian)
        if weight is not None:
            hessian = hessian * (weight / weight.mean())[:, None]
        for factor in (data.weight_positive, data.weight_negative):
            if factor is not None:
                hessian = hessian * np.maximum(1.0, factor)
        if np.isfinite(hessian).all():
            self.curvature = max(self.curvature, float(hessian.max(initial=0.0)))
