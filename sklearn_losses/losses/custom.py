"""A user's own loss: a class or functions in Python, or compiled functions that run in the kernels'
own loops."""

import ctypes
import numbers

import numpy as np

from sklearn_losses._array import (
    array_namespace,
    common_namespace,
    computing_on,
    device_array,
    kernel_array,
    on_device,
)
from sklearn_losses._interval import REALS, Interval
from sklearn_losses.links import IdentityLink, Link
from sklearn_losses.losses import constants
from sklearn_losses.losses._addresses import address_of
from sklearn_losses.losses.pointwise import PointwiseLoss
from sklearn_losses.losses.regression import HalfSquaredError

# Neither can change, so that they can be defaults.
IDENTITY = IdentityLink()

_TASKS = ("regression", "binary")
_NEEDS = (
    "must define value(self, y_true, raw_prediction) and derivative(self, y_true, raw_prediction), "
    "which get and return arrays of shape (n,)"
)


class _OwnLoss(PointwiseLoss):
    """What a user's losses share."""

    @property
    def n_classes(self):
        return 2 if self.task == "binary" else None

    # Nobody has proved it.
    convex = False

    def _check_declaration(self):
        owner = type(self).__name__
        if not isinstance(self.link, Link):
            raise ValueError(f"{owner}: link must be a Link; got {self.link!r}")
        if not isinstance(self.interval_y_true, Interval):
            raise ValueError(
                f"{owner}: interval_y_true must be an Interval; got {self.interval_y_true!r}"
            )
        if self.task not in _TASKS:
            raise ValueError(f"{owner}: task must be one of {_TASKS}; got {self.task!r}")

    def _constant_grid(self, y, weight, offset):
        if self.task == "binary":
            grid = np.linspace(-40, 40, 161)
        else:
            # Each target's own prediction, where the link gives it.
            xp = array_namespace(y)
            least = 10 * np.finfo(y.dtype).eps
            interval = self.interval_y_pred
            low = interval.low if interval.low_inclusive else interval.low + least
            high = interval.high if interval.high_inclusive else interval.high - least
            try:
                y = self.link.link(xp.clip(y.astype(np.float64), low, high))
            except NotImplementedError:  # a link of which the inverse alone was written
                return np.sinh(np.linspace(-6.0, 6.0, 97))
            grid = constants.spread_grid(y if offset is None else y - offset)
            return np.concatenate([grid, np.linspace(grid[0], grid[-1], 65)])
        return grid if offset is None else grid - constants.mean(offset)


class _InPython(_OwnLoss):
    """What losses of vectorised Python functions share: the engines call them back, as they have no
    kernel."""

    _kernel = None
    # What errors call the functions that `_callables` returns.
    _functions = ()

    def _callables(self):
        """The functions of (y_true, raw_prediction): value, first and second derivative."""
        raise NotImplementedError

    def _resolve(self, single=False):
        """No kernel: -1."""
        self._check_declaration()
        return -1, np.empty(0)

    def _differences(self, y, raw):
        """The first derivative's central differences."""
        maximum = array_namespace(raw).maximum
        step = np.finfo(raw.dtype).eps ** (1 / 3) * maximum(abs(raw), 1).astype(raw.dtype)
        above, below = raw + step, raw - step
        derivative = self._callables()[1]
        return (derivative(y, above) - derivative(y, below)) / (above - below)

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
        self._resolve()
        places = {
            "y_true": kernel_array(y_true, "y_true"),
            "raw_prediction": raw_prediction,
            "sample_weight": sample_weight,
            "loss_out": value,
            "gradient_out": gradient,
            "hessian_out": hessian,
        }
        if type(raw_prediction) is not np.ndarray:
            with computing_on(**places) as xp:
                return self._call(xp, places, want_sum)
        try:
            return self._call(np, places, want_sum)
        except (TypeError, ValueError):
            # Where arrays of a device are the reason, the error that says so.
            common_namespace(**places)
            raise

    def _call(self, xp, places, want_sum):
        """Call the functions and fill the outputs, all of which are arrays of `xp`."""
        raw_prediction, sample_weight = places["raw_prediction"], places["sample_weight"]
        if raw_prediction.ndim == 2 and raw_prediction.shape[1] == 1:
            raw_prediction = raw_prediction[:, 0]
        shape = (raw_prediction.shape[0],)
        for name, array in places.items():
            if array is not None and np.shape(array) not in (shape, (*shape, 1)):
                raise ValueError(f"{name} must have shape {shape}; got {np.shape(array)}")
        y_true = places["y_true"].reshape(shape)
        if sample_weight is not None:
            sample_weight = kernel_array(sample_weight, "sample_weight").reshape(shape)
        outputs = [places["loss_out"], places["gradient_out"], places["hessian_out"]]
        if want_sum and outputs[0] is None:
            outputs[0] = xp.empty(shape)
        arguments = _lent(y_true), _lent(raw_prediction)
        for name, function, out in zip(self._functions, self._callables(), outputs, strict=True):
            if out is None:
                continue
            result = function(*arguments)
            if xp is not np and not on_device(result):
                raise TypeError(
                    f"{type(self).__name__}: {name} must return an array on the device of its "
                    f"arguments; got {type(result).__name__}. Take functions from "
                    "sklearn_losses.links.array_namespace(raw_prediction)"
                )
            result = np.asarray(result) if xp is np else device_array(result)
            if result.shape != shape:
                raise ValueError(
                    f"{type(self).__name__}: {name} must return an array of shape {shape}; "
                    f"got {result.shape}"
                )
            if sample_weight is not None:
                # A weight of 0 takes a sample away, also one whose loss is infinite or NaN.
                result = xp.where(sample_weight == 0, 0, result) * sample_weight
            (out if xp is np else device_array(out)).reshape(shape)[...] = result
        if not want_sum:
            return None
        total = outputs[0].sum(dtype=np.float64)
        return float(total) if xp is np else total

    def _report(self, y_true, raw_prediction, sample_weight):
        # The checks of a loss that has a kernel.
        report = HalfSquaredError()._on_device(
            y_true, raw_prediction, sample_weight, domain=self.interval_y_true
        )
        report[0] = self._evaluate(
            y_true, raw_prediction, sample_weight, None, None, None, None, want_sum=True
        )
        return report


class CustomLoss(_InPython):
    """Base class of a loss of your own that has parameters: subclass it and define `value` and
    `derivative` in NumPy.

    It works wherever a built-in loss does, and its parameters are reached, searched over, cloned
    and pickled as any (``loss__scale``). For a loss without parameters `FunctionLoss` is shorter.
    Each method is called once for a whole array (in an estimator: once for each batch), on one
    thread, and gets two arrays of shape (n,), float32 or float64; where the loss gets arrays of a
    GPU, CuPy's.

    Set as attributes of the class what differs from a regression on any real number: `link`,
    `interval_y_true`, ``task = "binary"``, ``differentiable = False``, ``convex = True``.
    `sklearn_losses.testing.check_loss` holds the loss to what the built-in ones promise.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import CustomLoss, SGDRegressorX
    >>> class LogCauchy(CustomLoss):
    ...     def __init__(self, scale=1.0):
    ...         self.scale = scale
    ...
    ...     def value(self, y_true, raw_prediction):
    ...         return np.log1p(((raw_prediction - y_true) / self.scale) ** 2)
    ...
    ...     def derivative(self, y_true, raw_prediction):
    ...         r = raw_prediction - y_true
    ...         return 2 * r / (self.scale**2 + r**2)
    >>> round(LogCauchy(scale=2.0)([0.0], [2.0]), 3)
    0.693
    >>> model = SGDRegressorX(LogCauchy(), optimizer="lbfgs")
    >>> model.set_params(loss__scale=0.5).fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 3.0]).loss_
    LogCauchy(scale=0.5)
    """

    _functions = ("value", "derivative", "second_derivative")

    def value(self, y_true, raw_prediction):
        """The loss of each sample.

        Parameters
        ----------
        y_true, raw_prediction : array of shape (n,)
            Not to be written to.

        Returns
        -------
        value : array of shape (n,)
        """
        raise NotImplementedError(f"{type(self).__name__} {_NEEDS}")

    def derivative(self, y_true, raw_prediction):
        """The derivative of `value` by the raw prediction.

        Parameters
        ----------
        y_true, raw_prediction : array of shape (n,)
            As in `value`.

        Returns
        -------
        derivative : array of shape (n,)
        """
        raise NotImplementedError(f"{type(self).__name__} {_NEEDS}")

    def second_derivative(self, y_true, raw_prediction):
        """The second derivative; where a class does not define it, differences of `derivative`.

        Parameters
        ----------
        y_true, raw_prediction : array of shape (n,)
            As in `value`.

        Returns
        -------
        second_derivative : array of shape (n,)
        """
        return self._differences(y_true, raw_prediction)

    @property
    def approx_hessian(self):
        return type(self).second_derivative is CustomLoss.second_derivative

    @classmethod
    def _lacks(cls):
        if CustomLoss.value is cls.value or CustomLoss.derivative is cls.derivative:
            return _NEEDS
        return super()._lacks()

    def _callables(self):
        return self.value, self.derivative, self.second_derivative

    def _resolve(self, single=False):
        self._check_class()
        self._numbers()
        return super()._resolve(single)


class _OfFunctions(_OwnLoss):
    """What losses share that are given their functions. These have the names of methods, and so are
    kept under other names."""

    _functions = ("value", "gradient", "hessian")

    def __init__(self, value, gradient, hessian, link, interval_y_true, task, differentiable):
        self._value = value
        self._gradient = gradient
        self._hessian = hessian
        self.link = link
        self.interval_y_true = interval_y_true
        self.task = task
        self.differentiable = differentiable

    def get_params(self, deep=True):
        """Parameters of the loss, as `BaseEstimator.get_params`.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        params : dict
        """
        names = self._get_param_names()
        return {name: getattr(self, self._attribute(name)) for name in names}

    def set_params(self, **params):
        """Set parameters of the loss, as `BaseEstimator.set_params`.

        Parameters
        ----------
        **params

        Returns
        -------
        self
        """
        names = self._get_param_names()
        for name, value in params.items():
            if name not in names:
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}; valid are {names}"
                )
            setattr(self, self._attribute(name), value)
        return self

    def _attribute(self, name):
        return f"_{name}" if name in self._functions else name

    def __sklearn_clone__(self):
        # Functions are shared, not copied: a C function has no copy.
        return type(self)(**self.get_params())

    def __repr__(self, N_CHAR_MAX=700):
        functions = (getattr(self._value, "__name__", repr(self._value)), self.task)
        return f"{type(self).__name__}({functions[0]}, task={functions[1]!r})"[:N_CHAR_MAX]

    @property
    def approx_hessian(self):
        return self._hessian is None


class FunctionLoss(_OfFunctions, _InPython):
    """A loss from vectorised Python functions.

    It works wherever a built-in loss does. Each function is called once for a whole array (in an
    estimator: once for each batch), on one thread.

    Parameters
    ----------
    value, gradient : callable
        ``f(y_true, raw_prediction)``: two arrays of shape (n,), float32 or float64, to an array of
        shape (n,). Where the loss gets arrays of a GPU, the functions get CuPy's.
    hessian : callable or None, default=None
        The same for the second derivative. None: central differences of `gradient`, and
        `approx_hessian` is set.
    link : Link, default=IdentityLink()
        Between raw predictions and predictions.
    interval_y_true : Interval, default=Interval(-inf, inf)
        The values that y_true may take; for `task="binary"` that is usually ``Interval(0, 1, True,
        True)``.
    task : {"regression", "binary"}, default="regression"
        Whether y_true is a number, or the probability of the positive class.
    differentiable : bool, default=True
        Whether the loss has a derivative everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import FunctionLoss
    >>> loss = FunctionLoss(lambda y, raw: (raw - y) ** 4, lambda y, raw: 4 * (raw - y) ** 3)
    >>> loss([0.0, 0.0], [1.0, 2.0])
    8.5
    >>> loss.gradient(np.zeros(2), np.array([1.0, 2.0]))
    array([ 4., 32.])
    """

    def __init__(
        self,
        value,
        gradient,
        hessian=None,
        *,
        link=IDENTITY,
        interval_y_true=REALS,
        task="regression",
        differentiable=True,
    ):
        super().__init__(value, gradient, hessian, link, interval_y_true, task, differentiable)

    def _callables(self):
        return self._value, self._gradient, self._hessian or self._differences

    def _resolve(self, single=False):
        for name in self._functions:
            function = getattr(self, f"_{name}")
            if not (callable(function) or (name == "hessian" and function is None)):
                raise ValueError(f"FunctionLoss: {name} must be callable; got {function!r}")
        return super()._resolve(single)


def _lent(array):
    """A view that a user's function cannot write through. Arrays of a device have none."""
    if type(array) is not np.ndarray:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


class CompiledLoss(_OfFunctions):
    """A loss from compiled functions, which run in the kernels' own loops: without the GIL, on many
    threads.

    It works wherever a built-in loss does. The functions have the C signature

    ``double f(double y_true, double raw_prediction, void *data)``

    and must be safe to call from several threads at once. float32 arrays are converted, sample by
    sample.

    Parameters
    ----------
    value, gradient : object
        A ``numba.cfunc``, a ctypes function (with `argtypes` and `restype` set), a
        ``scipy.LowLevelCallable``, or the address of a function as an int. All but the address are
        checked for their signature.
    hessian : object or None, default=None
        The same for the second derivative. None: `hessian` is 1, and `approx_hessian` is set.
    data : ndarray, ctypes pointer, int or None, default=None
        What the functions get as `data`: the address of the array's elements, or the address
        itself. None: what a LowLevelCallable brings, else a null pointer.
    link, interval_y_true, task, differentiable
        As in `FunctionLoss`.

    Notes
    -----
    An address means nothing in another process: such a loss cannot be pickled, and inside a search
    it needs threads (``joblib.parallel_backend("threading")``). Losses of functions that pickle
    themselves are not restricted.

    Examples
    --------
    >>> import ctypes
    >>> from sklearn_losses import CompiledLoss
    >>> c_double = ctypes.c_double
    >>> signature = ctypes.CFUNCTYPE(c_double, c_double, c_double, ctypes.c_void_p)
    >>> value = signature(lambda y, raw, data: (raw - y) ** 4)
    >>> gradient = signature(lambda y, raw, data: 4 * (raw - y) ** 3)
    >>> CompiledLoss(value, gradient)([0.0, 0.0], [1.0, 2.0])
    8.5
    """

    def __init__(
        self,
        value,
        gradient,
        hessian=None,
        *,
        data=None,
        link=IDENTITY,
        interval_y_true=REALS,
        task="regression",
        differentiable=True,
    ):
        super().__init__(value, gradient, hessian, link, interval_y_true, task, differentiable)
        self.data = data

    def _resolve(self, single=False):
        from sklearn_losses._kernels.losses import _pointwise

        self._check_declaration()
        addresses = [address_of(getattr(self, f"_{name}"), name) for name in ("value", "gradient")]
        addresses.append(0 if self._hessian is None else address_of(self._hessian, "hessian"))
        addresses.append(self._data_address())
        # The kernel takes doubles: addresses travel as their bits.
        return _pointwise.KINDS["CompiledLoss"], np.array(addresses, dtype=np.uint64).view(
            np.float64
        )

    def _on_device(self, *arrays, domain=None):
        """Refuse arrays of a device, here and in fits."""
        raise TypeError(
            "CompiledLoss: its functions run on the CPU and take no arrays of a GPU. Move the "
            "arrays (cupy.asnumpy), or take FunctionLoss, whose functions get CuPy's arrays"
        )

    def _data_address(self):
        data = self.data
        if data is None:
            data = getattr(self._value, "user_data", None)
        if data is None:
            return 0
        if isinstance(data, np.ndarray):
            if not data.flags.c_contiguous:
                raise ValueError("CompiledLoss: data must be C-contiguous")
            return data.ctypes.data
        if isinstance(data, numbers.Integral):
            return int(data)
        try:
            if isinstance(data, str | bytes):
                raise TypeError("text")
            return ctypes.cast(data, ctypes.c_void_p).value or 0
        except (ctypes.ArgumentError, TypeError) as error:
            raise ValueError(
                "CompiledLoss: data must be an array, a ctypes pointer, an address or None; "
                f"got {data!r}"
            ) from error

    def __getstate__(self):
        for name in self._functions:
            if isinstance(getattr(self, f"_{name}"), numbers.Integral):
                raise TypeError(
                    f"CompiledLoss: {name} is an address, which means nothing in another process; "
                    "such a loss cannot be pickled"
                )
        return super().__getstate__()
