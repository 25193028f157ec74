"""What every loss object is and does. No arithmetic of a loss stands here: the kernels do it."""

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from sklearn_losses._array import kernel_array
from sklearn_losses._kernels import _pointwise, _rowwise
from sklearn_losses._parameters import Parametric
from sklearn_losses.links import IdentityLink, Interval

POSITIVE = Interval(0, np.inf)
NON_NEGATIVE = Interval(0, np.inf, low_inclusive=True)
UNIT_OPEN = Interval(0, 1)
UNIT = Interval(0, 1, True, True)


class Loss(Parametric):
    """Base class of all losses.

    A loss is a function of a target `y_true` and a raw prediction, the prediction in link space.
    Its parameters are checked when it is used, not when it is made, so that it can be cloned and
    searched over like any estimator.

    Attributes
    ----------
    name : str
        What estimators and `get_loss` accept for it.
    link : Link
        Between raw predictions and predictions.
    interval_y_true : Interval
        The values that `y_true` may take.
    interval_y_pred : Interval
        The values that `predict` returns.
    task : {"regression", "binary", "multiclass"}
        "binary": `y_true` is the probability of the positive class, 0, 1 or in between.
    is_multiclass : bool
        Whether raw predictions have the shape (n_samples, n_classes).
    n_classes : int or None
        The number of classes; None for regression.
    differentiable : bool
        Whether the loss has a derivative everywhere.
    constant_hessian : bool
        Whether the hessian is 1 for every sample.
    approx_hessian : bool
        Whether `hessian` stands in for a second derivative that is zero or undefined where it
        matters.
    """

    name = None
    link = IdentityLink()
    interval_y_true = Interval()
    task = "regression"
    is_multiclass = False
    n_classes = None
    differentiable = True
    constant_hessian = False
    approx_hessian = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # A kernel has its class's name; a user's subclass keeps the kernel that it inherits.
        if cls.__module__.startswith("sklearn_losses.") and (
            cls.__name__ in _pointwise.KINDS or cls.__name__ in _rowwise.KINDS
        ):
            cls._kernel = cls.__name__

    # -------------------------------------------------------------------------------- as an object

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("_resolved", None)
        return state

    def __setstate__(self, state):
        # What `_resolve` keeps goes to the kernels unchecked.
        super().__setstate__({name: state[name] for name in state if name != "_resolved"})

    # ----------------------------------------------------------------------------------------
    # parameters and kernels

    def _kernel_params(self):
        """The kernel's name and its parameters."""
        return self._kernel, self._numbers()

    @property
    def interval_y_pred(self):
        return self.link.interval_y_pred

    @property
    def gives_probability(self):
        """Whether `predict` returns the probability of a class, or of each class."""
        return self.link.gives_probability

    def predict(self, raw_prediction):
        """Predictions of raw predictions: the inverse link.

        Parameters
        ----------
        raw_prediction : array-like of shape (n_samples,) or (n_samples, n_classes)

        Returns
        -------
        y_pred : array of the same shape
        """
        return self.link.inverse(raw_prediction)

    def in_y_true_range(self, y):
        """Whether all of `y` lies in `interval_y_true`.

        Parameters
        ----------
        y : array-like of shape (n_samples,)

        Returns
        -------
        in_range : bool
        """
        return self.interval_y_true.includes(y)

    def in_y_pred_range(self, y):
        """Whether all of `y` lies in `interval_y_pred`.

        Parameters
        ----------
        y : array-like of shape (n_samples,)

        Returns
        -------
        in_range : bool
        """
        return self.interval_y_pred.includes(y)

    def _check_y(self, y):
        """Raise the ValueError that says which target is outside the domain."""
        inside = self.interval_y_true.contains(y)
        if inside.all():
            return
        first = int(np.argmin(inside))
        hint = ""
        if self.task == "binary" and np.isin(y, (-1, 1)).all():
            hint = "; use 0 and 1 for the two classes, not -1 and 1"
        raise ValueError(
            f"{type(self).__name__}: y_true must lie in {self.interval_y_true}; "
            f"got {y[first]} at index {first}{hint}"
        )

    def constant_to_optimal_zero(self, y_true, sample_weight=None):
        """What to add to each value so that the loss of the best prediction is 0.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        constant : ndarray of shape (n_samples,)
        """
        y_true = kernel_array(y_true, "y_true")
        constant = np.asarray(self._minus_best_value(y_true), dtype=y_true.dtype)
        return constant if sample_weight is None else constant * np.asarray(sample_weight)

    def _minus_best_value(self, y):
        """Minus the least value over raw predictions, of shape (n_samples,)."""
        return np.zeros(y.shape[0], dtype=y.dtype)

    def _smoothed(self, width):
        """Of a loss without derivative: a smooth loss that tends to it as `width` falls to 0, and a
        function of y_true that gives the smooth loss's factors (or None), or None where there is no
        such loss.
        """
        return None

    def _members(self):
        """The losses of the outputs of a model: this one, for all of them."""
        return [self]

    def as_scorer(self, response_method=None):
        """A scikit-learn scorer: minus the weighted mean of the loss.

        Parameters
        ----------
        response_method : {"predict", "predict_proba", "decision_function"} or None, default=None
            As in `make_loss_scorer`.

        Returns
        -------
        scorer : callable
            ``scorer(estimator, X, y_true, sample_weight=None)``.
        """
        from sklearn_losses.metrics import make_loss_scorer

        return make_loss_scorer(self, response_method=response_method)

    # ---------------------------------------------------------------------------- the kernels' way

    def _evaluate(self, y_true, raw_prediction, sample_weight, n_threads, *outputs, want_sum=False):
        """Fill the outputs (value, gradient, hessian: arrays or None) in one pass."""
        raise NotImplementedError

    def _new(self, raw_prediction, given, derivative=False):
        """An output array: the one given, or a new one of the raw predictions' type."""
        if given is not None:
            return given
        shape = raw_prediction.shape
        if not (derivative and self.is_multiclass):
            shape = shape[:1]
        return np.empty(shape, dtype=raw_prediction.dtype)

    def loss(self, y_true, raw_prediction, sample_weight=None, loss_out=None, n_threads=None):
        """Value of the loss for each sample, times its weight.

        Nothing is checked but types and shapes: a target outside the domain gives whatever the
        formula gives.

        Parameters
        ----------
        y_true : array of shape (n_samples,)
            Targets, float32 or float64; a row-wise loss takes class codes, or rows of probabilities
            of shape (n_samples, n_classes).
        raw_prediction : array of shape (n_samples,) or (n_samples, n_classes)
            Predictions in link space. Results have its dtype.
        sample_weight : array of shape (n_samples,) or None, default=None
        loss_out : ndarray of shape (n_samples,) or None, default=None
            Where the result goes; it must share no memory with the other arrays.
        n_threads : int or None, default=None
            None: as many as OpenMP, joblib and the CPU quota allow.

        Returns
        -------
        loss : ndarray of shape (n_samples,)
        """
        raw_prediction = kernel_array(raw_prediction, "raw_prediction")
        loss_out = self._new(raw_prediction, loss_out)
        self._evaluate(y_true, raw_prediction, sample_weight, n_threads, loss_out, None, None)
        return loss_out

    def gradient(
        self, y_true, raw_prediction, sample_weight=None, gradient_out=None, n_threads=None
    ):
        """First derivative with respect to the raw prediction, times the sample's weight.

        Parameters
        ----------
        y_true, raw_prediction, sample_weight, n_threads
            As in `loss`.
        gradient_out : ndarray of the shape of raw_prediction or None, default=None

        Returns
        -------
        gradient : ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        raw_prediction = kernel_array(raw_prediction, "raw_prediction")
        gradient_out = self._new(raw_prediction, gradient_out, derivative=True)
        self._evaluate(y_true, raw_prediction, sample_weight, n_threads, None, gradient_out, None)
        return gradient_out

    def loss_gradient(
        self,
        y_true,
        raw_prediction,
        sample_weight=None,
        loss_out=None,
        gradient_out=None,
        n_threads=None,
    ):
        """Value and first derivative, in one pass.

        Parameters
        ----------
        y_true, raw_prediction, sample_weight, loss_out, gradient_out, n_threads
            As in `loss` and `gradient`.

        Returns
        -------
        loss : ndarray of shape (n_samples,)
        gradient : ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        raw_prediction = kernel_array(raw_prediction, "raw_prediction")
        loss_out = self._new(raw_prediction, loss_out)
        gradient_out = self._new(raw_prediction, gradient_out, derivative=True)
        self._evaluate(
            y_true, raw_prediction, sample_weight, n_threads, loss_out, gradient_out, None
        )
        return loss_out, gradient_out

    def gradient_hessian(
        self,
        y_true,
        raw_prediction,
        sample_weight=None,
        gradient_out=None,
        hessian_out=None,
        n_threads=None,
    ):
        """First and second derivative, in one pass.

        Parameters
        ----------
        y_true, raw_prediction, sample_weight, gradient_out, n_threads
            As in `gradient`.
        hessian_out : ndarray of the shape of raw_prediction or None, default=None

        Returns
        -------
        gradient : ndarray of shape (n_samples,) or (n_samples, n_classes)
        hessian : ndarray of shape (n_samples,) or (n_samples, n_classes)
            A row-wise loss gives the diagonal. Where `approx_hessian` is set, the class says what
            stands here.
        """
        raw_prediction = kernel_array(raw_prediction, "raw_prediction")
        gradient_out = self._new(raw_prediction, gradient_out, derivative=True)
        hessian_out = self._new(raw_prediction, hessian_out, derivative=True)
        self._evaluate(
            y_true, raw_prediction, sample_weight, n_threads, None, gradient_out, hessian_out
        )
        return gradient_out, hessian_out

    def init_gradient_and_hessian(self, n_samples, dtype=np.float64, order="F"):
        """Arrays to pass as `gradient_out` and `hessian_out`.

        Parameters
        ----------
        n_samples : int
        dtype : {numpy.float64, numpy.float32}, default=numpy.float64
        order : {"C", "F"}, default="F"

        Returns
        -------
        gradient : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Not initialised.
        hessian : ndarray of the same shape, or of shape (1,)
            Not initialised; a single 1 where `constant_hessian` is set.
        """
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64; got {dtype}")
        if self.is_multiclass and self.n_classes is None:
            raise ValueError(f"{type(self).__name__}: n_classes must be set; got None")
        shape = (n_samples, self.n_classes) if self.is_multiclass else (n_samples,)
        gradient = np.empty(shape, dtype=dtype, order=order)
        if self.constant_hessian:
            return gradient, np.ones(1, dtype=dtype)
        return gradient, np.empty(shape, dtype=dtype, order=order)

    # ------------------------------------------------------------------------------------- checked

    def __call__(self, y_true, raw_prediction, sample_weight=None, n_threads=None):
        """Weighted mean of the loss, with every input checked.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or (n_samples, n_classes)
        raw_prediction : array-like of shape (n_samples,) or (n_samples, n_classes)
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Not negative, not all zero.
        n_threads : int or None, default=None

        Returns
        -------
        loss : float

        Raises
        ------
        ValueError
            Where a shape does not fit, a number is NaN or infinite, a target lies outside the
            domain, or the weights are negative or all zero.
        """
        y_true, raw_prediction, sample_weight = self._checked(y_true, raw_prediction, sample_weight)
        total = self._evaluate(
            y_true, raw_prediction, sample_weight, n_threads, None, None, None, want_sum=True
        )
        n_samples = raw_prediction.shape[0]
        return total / (
            n_samples if sample_weight is None else float(np.sum(sample_weight, dtype=np.float64))
        )

    def _checked(self, y_true, raw_prediction, sample_weight):
        raw_prediction = _finite(kernel_array(raw_prediction, "raw_prediction"), "raw_prediction")
        raw_prediction = self._shaped(raw_prediction)
        y_true = _finite(kernel_array(y_true, "y_true"), "y_true")
        n_samples = raw_prediction.shape[0]
        if n_samples == 0:
            raise ValueError("raw_prediction must hold at least one sample; got 0")
        y_true = self._checked_target(y_true, raw_prediction)
        if sample_weight is not None:
            sample_weight = _finite(kernel_array(sample_weight, "sample_weight"), "sample_weight")
            if sample_weight.shape != (n_samples,):
                raise ValueError(
                    f"sample_weight must have shape ({n_samples},); got {sample_weight.shape}"
                )
            if (sample_weight < 0).any():
                first = int(np.argmax(sample_weight < 0))
                raise ValueError(
                    f"sample_weight must not be negative; got {sample_weight[first]} "
                    f"at index {first}"
                )
            if not sample_weight.any():
                raise ValueError("sample_weight must not be all zero")
        return y_true, raw_prediction, sample_weight

    def _shaped(self, raw_prediction):
        if raw_prediction.ndim == 2 and raw_prediction.shape[1] == 1:
            raw_prediction = raw_prediction[:, 0]
        if raw_prediction.ndim != 1:
            raise ValueError(
                f"raw_prediction must have shape (n_samples,); got {raw_prediction.shape}"
            )
        return raw_prediction

    def _checked_target(self, y_true, raw_prediction):
        if y_true.shape != raw_prediction.shape:
            if y_true.shape == (raw_prediction.shape[0], 1):
                y_true = y_true[:, 0]
            else:
                raise ValueError(
                    f"y_true must have the shape of raw_prediction, {raw_prediction.shape}; "
                    f"got {y_true.shape}"
                )
        self._check_y(y_true)
        return y_true


def _finite(x, name):
    """`x`, or the error that says where it is not finite."""
    # A sum is finite only if every term is; it may overflow, and then the elements decide.
    with np.errstate(over="ignore", invalid="ignore"):
        total = x.sum(dtype=np.float64)
    if not np.isfinite(total):
        bad = ~np.isfinite(x)
        if bad.any():
            first = np.unravel_index(int(np.argmax(bad)), x.shape)
            at = int(first[0]) if len(first) == 1 else tuple(int(i) for i in first)
            raise ValueError(f"{name} must be finite; got {x[first]} at index {at}")
    return x


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

    def _resolve(self):
        """The kernel's kind and parameters. Checked again only when a parameter has changed."""
        given = [getattr(self, name) for name in self._parameter_intervals]
        resolved = self.__dict__.get("_resolved")
        if resolved is None or resolved[0] != given:
            kernel, numbers_ = self._kernel_params()
            resolved = (given, _pointwise.KINDS[kernel], np.asarray(numbers_, dtype=np.float64))
            self._resolved = resolved
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
        kind, params = self._resolve()
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
        y_true, _, sample_weight = self._checked(
            y_true, np.zeros(y_true.shape[0], dtype=y_true.dtype), sample_weight
        )
        return y_true.dtype.type(self._best_constant(y_true, sample_weight))

    def _best_constant(self, y, weight):
        """Bracket the best of a grid, then find the zero of the gradient, or the minimum, between
        its neighbours.
        """
        grid = np.unique(self._constant_grid(y))
        if grid.shape[0] == 1:
            return grid[0]
        y = y.astype(np.float64)

        def total(raw, outputs):
            out = np.empty(y.shape[0])
            value, gradient = (out, None) if outputs == "value" else (None, out)
            self._evaluate(y, np.full(y.shape[0], raw), weight, None, value, gradient, None)
            return out.sum()

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
        return np.quantile(y.astype(np.float64), np.linspace(0, 1, 65))


class MeanFitMixin:
    """The best constant prediction is the mean of the targets."""

    def _best_constant(self, y, weight):
        mean = np.average(y.astype(np.float64), weights=weight)
        interval = self.interval_y_pred
        eps = 10 * np.finfo(y.dtype).eps
        low = interval.low if interval.low_inclusive else interval.low + eps
        high = interval.high if interval.high_inclusive else interval.high - eps
        return self.link.link(np.clip(mean, low, high))
