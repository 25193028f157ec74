"""What the pointwise losses share: one raw prediction a sample."""

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from sklearn_losses._array import (
    array_namespace,
    common_namespace,
    computing_on,
    kernel_array,
    to_host,
)
from sklearn_losses._kernels import _gpu_losses, _pointwise
from sklearn_losses.losses.base import Loss


class PointwiseLoss(Loss):
    """Base class of the losses of one raw prediction a sample."""

    def _members(self):
        """One loss for each output where parameters hold several values, else the loss alone."""
        several = {
            name: list(value)
            for name in self._parameter_intervals
            if isinstance(value := getattr(self, name), list | tuple | np.ndarray)
        }
        if not several:
            return [self]
        lengths = {name: len(values) for name, values in several.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise ValueError(
                f"{type(self).__name__}: parameters that hold several values must hold as many "
                f"each, and at least one; got {lengths}"
            )
        params = self.get_params(deep=False)
        return [
            type(self)(**{**params, **{name: values[i] for name, values in several.items()}})
            for i in range(next(iter(lengths.values())))
        ]

    def _resolve(self, single=False):
        """The kernel's kind and parameters, for float32 where `single` is set. Checked again only
        when a parameter has changed.
        """
        given = [getattr(self, name) for name in self._parameter_intervals]
        resolved = self.__dict__.get("_resolved")
        if resolved is None or resolved[0] != given:
            kernel, numbers_ = self._kernel_params()
            self._check_range(np.float64)
            params = np.asarray(numbers_, dtype=np.float64)
            resolved = [given, _pointwise.KINDS[kernel], params, False]
            self._resolved = resolved
        if single and not resolved[3]:
            self._check_range(np.float32)
            resolved[3] = True
        return resolved[1], resolved[2]

    def _evaluate(
        self,
        y_true,
        raw_prediction,
        sample_weight,
        n_threads,
        value,
        gradient,
        hessian,
        want_sum=False,
    ):
        if type(raw_prediction) is not np.ndarray:
            return self._on_device(
                y_true, raw_prediction, sample_weight, value, gradient, hessian, want_sum
            )
        kind, params = self._resolve(raw_prediction.dtype.char == "f")
        try:
            return _pointwise.evaluate(
                kind,
                params,
                kernel_array(y_true, "y_true"),
                raw_prediction,
                sample_weight
                if sample_weight is None
                else kernel_array(sample_weight, "sample_weight"),
                value,
                gradient,
                hessian,
                n_threads,
                want_sum,
            )
        except TypeError:
            # Where arrays of a device are the reason, the error that says so.
            common_namespace(
                y_true=y_true,
                raw_prediction=raw_prediction,
                sample_weight=sample_weight,
                loss_out=value,
                gradient_out=gradient,
                hessian_out=hessian,
            )
            raise

    def _on_device(self, *arrays, domain=None):
        """`_evaluate` on arrays of a device, or the report where there is a domain."""
        single = kernel_array(arrays[1], "raw_prediction").dtype == np.float32
        return _gpu_losses.pointwise(*self._resolve(single), *arrays, domain=domain)

    def _report(self, y_true, raw_prediction, sample_weight):
        return self._on_device(y_true, raw_prediction, sample_weight, domain=self.interval_y_true)

    def fit_intercept_only(self, y_true, sample_weight=None):
        """The constant raw prediction with the least loss.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        raw_prediction : float
            Where the best constant is infinite (all targets on one class), the best within the
            range of numbers that `predict` can tell apart.
        """
        y_true = kernel_array(y_true, "y_true")
        with computing_on(y_true=y_true, sample_weight=sample_weight) as xp:
            y_true, _, sample_weight = self._checked(
                y_true, xp.zeros(y_true.shape[0], dtype=y_true.dtype), sample_weight
            )
            return y_true.dtype.type(self._best_constant(y_true, sample_weight))

    def _best_constant(self, y, weight):
        """Bracket the best of a grid, then find the zero of the gradient, or the minimum, between
        its neighbours.
        """
        xp = array_namespace(y)
        grid = np.unique(self._constant_grid(y))
        if grid.shape[0] == 1:
            return grid[0]
        y = y.astype(np.float64)

        def total(raw, outputs):
            out = xp.empty(y.shape[0])
            value, gradient = (out, None) if outputs == "value" else (None, out)
            self._evaluate(y, xp.full(y.shape[0], raw), weight, None, value, gradient, None)
            return to_host(out.sum())

        values = [total(raw, "value") for raw in grid]
        best = int(np.argmin(values))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.shape[0] - 1)]
        slopes = total(low, "gradient"), total(high, "gradient")
        if slopes[0] < 0 < slopes[1]:
            found = brentq(lambda raw: total(raw, "gradient"), low, high, xtol=1e-15, rtol=1e-15)
        else:
            found = minimize_scalar(
                lambda raw: total(raw, "value"), bounds=(low, high), method="bounded"
            ).x
        # A kink (at a target, or at the grid's best) may beat the point between.
        candidates = np.append(grid[max(best - 1, 0) : best + 2], found)
        return candidates[int(np.argmin([total(raw, "value") for raw in candidates]))]

    def _constant_grid(self, y):
        """Raw predictions among which the best constant lies."""
        levels = np.linspace(0, 1, 65).tolist()
        return to_host(array_namespace(y).quantile(y.astype(np.float64), levels))


class MeanFitMixin:
    """The best constant prediction is the mean of the targets."""

    def _best_constant(self, y, weight):
        mean = to_host(array_namespace(y).average(y.astype(np.float64), weights=weight))
        interval = self.interval_y_pred
        eps = 10 * np.finfo(y.dtype).eps
        low = interval.low if interval.low_inclusive else interval.low + eps
        high = interval.high if interval.high_inclusive else interval.high - eps
        return self.link.link(np.clip(mean, low, high))
