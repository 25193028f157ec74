"""What every loss object is and does. No arithmetic of a loss stands here: the kernels do it."""

import numpy as np

from sklearn_losses._array import (
    array_namespace,
    common_namespace,
    computing_on,
    device_array,
    kernel_array,
    on_device,
    on_its_device,
    to_host,
)
from sklearn_losses._interval import Interval
from sklearn_losses._kernels.losses import _pointwise, _rowwise
from sklearn_losses._parameters import Parametric
from sklearn_losses.links import IdentityLink
from sklearn_losses.losses._arrays import finite, relative_weight, shaped_weight

# Below, the digits of a sum of weights, or of weighted losses, run out.
_LEAST_MASS = 1e-30
# Methods that a kernel's `_evaluate` serves, and that fits and means go past.
_IN_ONE_PASS = ("loss", "gradient", "loss_gradient", "gradient_hessian")


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
    is_joint : bool
        Whether it is a loss of all samples together, and no mean over samples.
    takes_streams : bool
        Whether `partial_fit` can use it: whether steps of some samples make sense.
    reads_target : bool
        Whether its targets are of a kind of its own, which its `read_target` makes numbers of.
    in_turn : bool
        Whether fits of all samples take its raw predictions one after the other: with the others
        where they are, each is that of a convex loss.
    n_classes : int or None
        The number of classes; None for regression.
    differentiable : bool
        Whether the loss has a derivative everywhere.
    constant_hessian : bool
        Whether the hessian is 1 for every sample, whatever its weight: scikit-learn's
        `HistGradientBoostingRegressor` then asks for none, and takes 1. No loss here sets it, as
        weights multiply hessians.
    approx_hessian : bool
        Whether `hessian` stands in for a second derivative that is zero or undefined where it
        matters.
    convex : bool
        Whether the loss is convex in the raw prediction, so that a minimum is the least. False
        where that is not known.
    """

    name = None
    link = IdentityLink()
    interval_y_true = Interval()
    task = "regression"
    is_multiclass = False
    is_joint = False
    reads_target = False
    takes_streams = True
    in_turn = False
    _unboosted = None  # why boosting libraries cannot have it
    heads = ()  # what the columns of a row of raw predictions are, where they are no classes
    n_classes = None
    differentiable = True
    constant_hessian = False
    approx_hessian = False
    convex = True

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # A kernel has its class's name, unless the class says which; a user's subclass keeps the
        # kernel that it inherits.
        named = cls.__name__ in _pointwise.KINDS or cls.__name__ in _rowwise.KINDS
        ours = cls.__module__.startswith("sklearn_losses.") and "_kernel" not in vars(cls)
        if named and ours:
            cls._kernel = cls.__name__

    @classmethod
    def _lacks(cls):
        ours = next(base for base in cls.__mro__ if base.__module__.startswith("sklearn_losses."))
        unused = [name for name in _IN_ONE_PASS if getattr(cls, name) is not getattr(ours, name)]
        if not unused and (ours.name is not None or hasattr(ours, "_kernel")):
            return None
        why = f"defines {unused[0]}, which no fit would call" if unused else "has no kernel"
        return (
            f"{why}: a loss of your own subclasses CustomLoss and defines value and derivative in "
            "NumPy, or is a FunctionLoss or a CompiledLoss"
        )

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

    def _check_range(self, dtype, made=()):
        """Raise where a parameter, or a number `made` of them for the kernel, is one that the type
        cannot compute with: too large for it, or above 0 but below its normal numbers.
        """
        least, most = float(np.finfo(dtype).tiny), float(np.finfo(dtype).max)
        owner, limits = type(self).__name__, f"{least:.3g} and {most:.3g}"
        for name, interval in self._parameter_intervals.items():
            given = getattr(self, name)
            if given is None:
                continue
            number = float(given)
            small = interval.low == 0 and not interval.low_inclusive and number < least
            if small or (np.isfinite(number) and abs(number) > most):
                raise ValueError(
                    f"{owner}: {name} must lie between {limits} in size for raw predictions of "
                    f"dtype {np.dtype(dtype)}; got {given!r}"
                )
        if len(made) and not (abs(made) <= most).all():
            raise ValueError(
                f"{owner}: its parameters must not lead to numbers beyond {most:.3g} for raw "
                f"predictions of dtype {np.dtype(dtype)}; got {self!r}"
            )

    @property
    def interval_y_pred(self):
        return self.link.interval_y_pred

    # Whether `read_target` takes one value a sample.
    _one_column = True

    @property
    def _natural(self):
        """Whether raw predictions, and losses by chance, are about 1 in any unit of y."""
        return self.reads_target or self.link != IdentityLink()

    def _parts(self, y):
        """Targets, which may be labels, and codes of groups or None."""
        return y, None

    def _labels(self, y):
        """Labels, without the groups where targets hold any."""
        return y

    def _slope_of(self, y, weight):
        """Of a smooth neighbour: by how much the loss changes at most with a raw prediction."""
        return 1.0

    @property
    def gives_probability(self):
        """Whether `predict` returns the probability of a class, or of each class."""
        return self.link.gives_probability

    @on_its_device
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
        first = int(inside.argmin())
        hint = ""
        if self.task == "binary" and ((y == -1) | (y == 1)).all():
            hint = "; use 0 and 1 for the two classes, not -1 and 1"
        raise ValueError(
            f"{type(self).__name__}: y_true must lie in {self.interval_y_true}; "
            f"got {to_host(y[first])} at index {first}{hint}"
        )

    def constant_to_optimal_zero(self, y_true, sample_weight=None):
        """What to add to each value so that the loss of the best prediction is 0.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        constant : array of shape (n_samples,)
        """
        y_true = kernel_array(y_true, "y_true")
        with computing_on(y_true=y_true, sample_weight=sample_weight) as xp:
            constant = xp.asarray(self._minus_best_value(y_true), dtype=y_true.dtype)
            return constant if sample_weight is None else constant * xp.asarray(sample_weight)

    def _minus_best_value(self, y):
        """Minus the least value over raw predictions, of shape (n_samples,)."""
        return array_namespace(y).zeros(y.shape[0], dtype=y.dtype)

    def _smoothed(self, width):
        """Of a loss without derivative: a smooth loss that tends to it as `width` falls to 0, and a
        function of y_true that gives the smooth loss's factors (or None), or None where there is no
        such loss.
        """
        return None

    def _terms(self, y):
        """Of a loss that is a sum of functions of the raw prediction with one kink each, which are
        linear on both sides of it: a list of ``(kink, low, high)``, or None where it is no such
        sum.

        A term is ``high * (raw - kink)`` above its kink and ``low * (raw - kink)`` below, with
        ``low <= 0 <= high``: each of the three a number, or an array of the shape of y.
        """
        return None

    def _heads(self):
        """The loss that solvers minimise: this one, or one of other raw predictions."""
        return self

    def _public(self, coef, intercept):
        """Weights that users see, of those of `_heads`."""
        return coef, intercept

    def _inner(self, coef, intercept):
        """Weights of `_heads`, of those that users see."""
        return coef, intercept

    def _members(self):
        """The losses of the outputs of a model: this one, for all of them."""
        return [self]

    def _grouped(self, y_true, group):
        """What the loss takes of a boosting library's targets, and the sizes of its groups, or
        None."""
        return y_true

    def _check_fit(self, intercept, data):
        """Raise where what a fit has found is no model of the data."""

    def as_scorer(self, response_method=None):
        """A scikit-learn scorer: minus the weighted mean of the loss.

        Parameters
        ----------
        response_method : {"predict", "predict_proba", "decision_function"} or None, default=None
            As in `make_loss_scorer`.

        Returns
        -------
        scorer : callable
            ``scorer(estimator, X, y_true, sample_weight=None, offset=None)``.
        """
        from sklearn_losses.metrics import make_loss_scorer

        return make_loss_scorer(self, response_method=response_method)

    # ---------------------------------------------------------------------------- the kernels' way

    def _evaluate(self, y_true, raw_prediction, sample_weight, n_threads, *outputs, want_sum=False):
        """Fill the outputs (value, gradient, hessian: arrays or None) in one pass; with `want_sum`
        the weighted sum of the values, which is an array of shape () where the others are on a
        device: nothing here waits for one.
        """
        raise NotImplementedError(f"{type(self).__name__} {self._lacks()}")

    def _report(self, y_true, raw_prediction, sample_weight):
        """Of arrays of a device, in an array of shape (3,) there: the weighted sum of the values,
        the sum of the weights, and not 0 where `_checked` has to look for what is wrong."""
        raise NotImplementedError

    def _new(self, raw_prediction, given, derivative=False):
        """An output array: the one given, or a new one of the raw predictions' type."""
        if given is not None:
            return given
        shape = raw_prediction.shape
        if not (derivative and self.is_multiclass):
            shape = shape[:1]
        if type(raw_prediction) is np.ndarray:
            return np.empty(shape, dtype=raw_prediction.dtype)
        with computing_on(raw_prediction=raw_prediction) as xp:
            return xp.empty(shape, dtype=raw_prediction.dtype)

    def loss(self, y_true, raw_prediction, sample_weight=None, loss_out=None, n_threads=None):
        """Value of the loss for each sample, times its weight.

        Nothing is checked but types and shapes: a target outside the domain gives whatever the
        formula gives.

        Arrays may be NumPy's, or all on one CUDA device: CuPy's, or others that lend their memory,
        as PyTorch's tensors. Results are then CuPy's, and are computed on the current stream
        without waiting for it.

        Parameters
        ----------
        y_true : array of shape (n_samples,)
            Targets, float32 or float64; a row-wise loss takes class codes, or rows of probabilities
            of shape (n_samples, n_classes).
        raw_prediction : array of shape (n_samples,) or (n_samples, n_classes)
            Predictions in link space. Results have its dtype.
        sample_weight : array of shape (n_samples,) or None, default=None
        loss_out : array of shape (n_samples,) or None, default=None
            Where the result goes; it must share no memory with the other arrays.
        n_threads : int or None, default=None
            None: as many as OpenMP, joblib and the CPU quota allow. Without effect on a device.

        Returns
        -------
        loss : array of shape (n_samples,)
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
        gradient_out : array of the shape of raw_prediction or None, default=None

        Returns
        -------
        gradient : array of shape (n_samples,) or (n_samples, n_classes)
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
        loss : array of shape (n_samples,)
        gradient : array of shape (n_samples,) or (n_samples, n_classes)
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
        hessian_out : array of the shape of raw_prediction or None, default=None

        Returns
        -------
        gradient : array of shape (n_samples,) or (n_samples, n_classes)
        hessian : array of shape (n_samples,) or (n_samples, n_classes)
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

        They are NumPy's. For a device make them where the raw predictions are, with
        ``cupy.empty_like(raw_prediction)``.

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
        if on_device(raw_prediction):
            return self._mean_on_device(y_true, raw_prediction, sample_weight)
        y_true, raw_prediction, sample_weight = self._checked(y_true, raw_prediction, sample_weight)
        total = self._evaluate(
            y_true, raw_prediction, sample_weight, n_threads, None, None, None, want_sum=True
        )
        n_samples = raw_prediction.shape[0]
        return total / (
            n_samples if sample_weight is None else float(np.sum(sample_weight, dtype=np.float64))
        )

    def _mean_on_device(self, y_true, raw_prediction, sample_weight):
        """What `__call__` returns. The host waits for the device once, unless there is something to
        complain about: what is wrong is only looked for where the kernels found anything."""
        places = {"y_true": y_true, "raw_prediction": raw_prediction}
        with computing_on(**places, sample_weight=sample_weight):
            raw = kernel_array(raw_prediction, "raw_prediction")
            y, weight = (device_array(x) if on_device(x) else x for x in (y_true, sample_weight))
            # The kernels see their own type, in which a number outside may be one inside.
            narrowed = any(
                raw.dtype == np.float32 and getattr(x, "dtype", None) == np.float64
                for x in (y, weight)
            )
            if narrowed or raw.shape[:1] == (0,):
                weight = self._checked(y, raw, weight)[2]
            raw = self._shaped(raw)
            y = self._shaped_target(kernel_array(y, "y_true"), raw)
            if weight is not None:
                weight = shaped_weight(kernel_array(weight, "sample_weight"), raw.shape[0])
            total, mass, fault = to_host(self._report(y, raw, weight)).tolist()
            lost = not (np.isfinite(total) and _LEAST_MASS < mass < np.inf)
            if fault or (weight is not None and lost):
                # What is wrong, or weights whose sum is beyond the numbers.
                weight = self._checked(y_true, raw_prediction, sample_weight)[2]
                total, mass, _ = to_host(self._report(y, raw, weight)).tolist()
            return total / (raw.shape[0] if weight is None else mass)

    def _checked(self, y_true, raw_prediction, sample_weight):
        """The three arrays, every element checked; the weights up to a common factor."""
        raw_prediction = finite(kernel_array(raw_prediction, "raw_prediction"), "raw_prediction")
        raw_prediction = self._shaped(raw_prediction)
        y_true = kernel_array(y_true, "y_true")
        if type(y_true) is not type(raw_prediction):
            common_namespace(y_true=y_true, raw_prediction=raw_prediction)
        y_true = self._numbers_of(y_true)
        n_samples = raw_prediction.shape[0]
        if n_samples == 0:
            raise ValueError("raw_prediction must hold at least one sample; got 0")
        y_true = self._checked_target(y_true, raw_prediction)
        if sample_weight is not None:
            sample_weight = kernel_array(sample_weight, "sample_weight")
            if type(sample_weight) is not type(raw_prediction):
                common_namespace(sample_weight=sample_weight, raw_prediction=raw_prediction)
            sample_weight = shaped_weight(finite(sample_weight, "sample_weight"), n_samples)
            negative = sample_weight < 0
            if negative.any():
                first = int(negative.argmax())
                raise ValueError(
                    f"sample_weight must not be negative; got {to_host(sample_weight[first])} "
                    f"at index {first}"
                )
            if not sample_weight.any():
                raise ValueError("sample_weight must not be all zero")
            sample_weight = relative_weight(sample_weight)
        return y_true, raw_prediction, sample_weight

    def _numbers_of(self, y_true):
        """Targets, none of which is NaN or, where that is no target, infinite."""
        return finite(y_true, "y_true")

    def _shaped(self, raw_prediction):
        if raw_prediction.ndim == 2 and raw_prediction.shape[1] == 1:
            raw_prediction = raw_prediction[:, 0]
        if raw_prediction.ndim != 1:
            raise ValueError(
                f"raw_prediction must have shape (n_samples,); got {raw_prediction.shape}"
            )
        return raw_prediction

    def _shaped_target(self, y_true, raw_prediction):
        if y_true.shape == raw_prediction.shape:
            return y_true
        if y_true.shape == (raw_prediction.shape[0], 1):
            return y_true[:, 0]
        raise ValueError(
            f"y_true must have the shape of raw_prediction, {raw_prediction.shape}; "
            f"got {y_true.shape}"
        )

    def _checked_target(self, y_true, raw_prediction):
        y_true = self._shaped_target(y_true, raw_prediction)
        self._check_y(y_true)
        return y_true
