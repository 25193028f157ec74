"""What the pointwise losses share: one raw prediction a sample."""

import numpy as np

from sklearn_losses._array import array_namespace, common_namespace, computing_on, kernel_array
from sklearn_losses._kernels.device import evaluate_pointwise
from sklearn_losses._kernels.losses import _pointwise
from sklearn_losses.links import IdentityLink
from sklearn_losses.losses import constants
from sklearn_losses.losses._scales import TakesAuto
from sklearn_losses.losses.base import Loss


class PointwiseLoss(TakesAuto, Loss):
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

    def _numbers(self):
        if self._holds_several():
            several = ", ".join(
                f"{name}={value!r}"
                for name in self._parameter_intervals
                if isinstance(value := getattr(self, name), list | tuple | np.ndarray)
            )
            raise ValueError(
                f"{type(self).__name__}: here one value makes a loss; got the list {several}. "
                "Lists are for SGDRegressorX, mean_loss, d2_loss_score, as_scorer and "
                "fit_intercept_only; elsewhere take a loss for each value"
            )
        return super()._numbers()

    def _shaped(self, raw_prediction):
        if self._holds_several():
            self._numbers()
        return super()._shaped(raw_prediction)

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
        return evaluate_pointwise(*self._resolve(single), *arrays, domain=domain)

    def _report(self, y_true, raw_prediction, sample_weight):
        return self._on_device(y_true, raw_prediction, sample_weight, domain=self.interval_y_true)

    def fit_intercept_only(self, y_true, sample_weight=None, offset=None):
        """The constant raw prediction with the least loss.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        offset : array-like of shape (n_samples,) or None, default=None
            What is added to the constant, in link space: the loss is that of ``constant + offset``.
            Where parameters hold several values, also of shape (n_samples, n_values).

        Returns
        -------
        raw_prediction : float, or array of shape (n_values,)
            An array, where `y_true` is, where parameters hold several values. In both cases in the
            dtype of `y_true`. Where the best constants are an interval, as those of a quantile can
            be, its middle. Where the best is infinite (all targets of one class), the best within
            the range of numbers that `predict` can tell apart.

        Raises
        ------
        ValueError
            As for a call of the loss; where `offset` has another shape, or is not finite.
        """
        y_true = kernel_array(y_true, "y_true")
        with computing_on(y_true=y_true, sample_weight=sample_weight) as xp:
            members = self._members()
            y_true, _, sample_weight = members[0]._checked(
                y_true, xp.zeros(y_true.shape[0], dtype=y_true.dtype), sample_weight
            )
            if offset is not None:
                shapes = [y_true.shape, (y_true.shape[0], len(members))]
                offset = constants.checked_offset(offset, shapes, {"y_true": y_true})
                offset = offset[:, 0] if offset.shape[1:] == (1,) else offset
            best = self._constants(members, y_true, sample_weight, offset)
            if len(members) == 1 and not self._holds_several():
                return y_true.dtype.type(best[0])
            return xp.asarray(best, dtype=y_true.dtype)

    def _start_constant(self, y_true, sample_weight=None, offset=None):
        """Where the intercept of a fit starts: at the best constant. Where that is infinite (counts
        that are all 0, targets of one class), at that of targets whose sum is half a unit inside;
        of a loss with several minima, at the median, which no outlier moves.

        Parameters
        ----------
        y_true, sample_weight, offset
            As in `fit_intercept_only`.

        Returns
        -------
        raw_prediction : float, or array of shape (n_values,)
            As `fit_intercept_only`.
        """
        y_true = kernel_array(y_true, "y_true")
        with computing_on(y_true=y_true, sample_weight=sample_weight) as xp:
            interval = self._members()[0].interval_y_pred
            # A link that clips has its ends inside, though the best raw prediction is infinite.
            low, high = not interval.low_inclusive, not interval.high_inclusive
            low, high = low or self.task == "binary", high or self.task == "binary"
            counted = y_true if sample_weight is None else y_true[xp.asarray(sample_weight) > 0]
            moved = None
            inside = 0.5 / (y_true.shape[0] + 1)
            if counted.size and low and counted.max() <= interval.low:
                moved = interval.low + inside
            elif counted.size and high and counted.min() >= interval.high:
                moved = interval.high - inside
            if moved is not None:
                y_true = xp.full(y_true.shape, moved, dtype=y_true.dtype)
            best = self.fit_intercept_only(y_true, sample_weight, offset)
            if moved is None or not self.gives_probability:
                return best
            # Where one class alone counts for so little that the other is best at any share.
            reach = y_true.dtype.type(np.log((1 - inside) / inside))
            low, high = (0, 0) if offset is None else (float(offset.max()), float(offset.min()))
            return np.clip(best, -reach - low, reach - high).astype(y_true.dtype)

    def _holds_several(self):
        """Whether a parameter holds a list of values, be it of one."""
        return any(
            isinstance(getattr(self, name), list | tuple | np.ndarray)
            for name in self._parameter_intervals
        )

    def _constants(self, members, y, weight, offset):
        """The best constant of each member, in a list."""
        weight = constants.scaled_weight(weight)
        return [
            member._best_constant(y, weight, column)
            for member, column in zip(members, _columns(offset, len(members)), strict=True)
        ]

    def _best_constant(self, y, weight, offset):
        """The constant with the least loss.

        Parameters
        ----------
        y : array of shape (n_samples,)
        weight : array of shape (n_samples,) and dtype float64, or None
        offset : array of shape (n_samples,) and dtype float64, or None

        Returns
        -------
        constant : float
        """
        sums = constants.Sums(self, y, weight, offset)
        if not self.convex:
            return constants.lowest(sums, self._constant_grid(y, weight, offset))
        # From the median, whose distance from the best does not grow with an outlier's.
        y = sums.y if offset is None else sums.y - offset
        (median,) = constants.quantiles(y, weight, [0.5])
        step = constants.mean(abs(y - median), weight)
        return constants.descend(sums, median, step) if step > 0 else median

    def _constant_grid(self, y, weight, offset):
        """Raw predictions near which the best constant lies."""
        return constants.spread_grid(y if offset is None else y - offset)


def _columns(offset, n_columns):
    """The offset of each output."""
    if offset is None or offset.ndim == 1:
        return [offset] * n_columns
    return [array_namespace(offset).ascontiguousarray(offset[:, k]) for k in range(n_columns)]


class MeanFitMixin:
    """The best constant prediction is the mean of the targets."""

    def _best_constant(self, y, weight, offset):
        if isinstance(self.link, IdentityLink):
            return constants.mean(y if offset is None else y - offset, weight)
        if offset is not None:
            return self._best_beside(y, weight, offset)
        average = constants.mean(y, weight)
        least = 10 * np.finfo(y.dtype).eps
        if not self.gives_probability:
            return float(self.link.link(average if average > 0 else least))
        # Of a probability near 1 its distance from 1 has the digits.
        rest = constants.mean(1 - y, weight)
        sign, share = (1, average) if average <= rest else (-1, rest)
        return sign * float(self.link.link(share if share > 0 else least))

    def _best_beside(self, y, weight, offset):
        """The best constant where it stands beside an offset."""
        return super()._best_constant(y, weight, offset)
