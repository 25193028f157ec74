"""A user's own loss: from Python functions, or from compiled ones that run in the kernels' own
loops."""

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
from sklearn_losses.links import IdentityLink, Interval, Link
from sklearn_losses.losses import constants
from sklearn_losses.losses.pointwise import PointwiseLoss
from sklearn_losses.losses.regression import HalfSquaredError

# Neither can change, so that they can be defaults.
IDENTITY = IdentityLink()
REALS = Interval()

_TASKS = ("regression", "binary")


class _OwnLoss(PointwiseLoss):
    """What a user's losses share. Their functions have the names of methods, and so are kept under
    other names."""

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
    def n_classes(self):
        return 2 if self.task == "binary" else None

    @property
    def approx_hessian(self):
        return self._hessian is None

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


class FunctionLoss(_OwnLoss):
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

    def _resolve(self, single=False):
        """No kernel: -1."""
        self._check_declaration()
        for name in self._functions:
            function = getattr(self, f"_{name}")
            if not (callable(function) or (name == "hessian" and function is None)):
                raise ValueError(f"FunctionLoss: {name} must be callable; got {function!r}")
        return -1, np.empty(0)

    def _differences(self, y, raw):
        """The gradient's central differences."""
        maximum = array_namespace(raw).maximum
        step = np.finfo(raw.dtype).eps ** (1 / 3) * maximum(abs(raw), 1).astype(raw.dtype)
        above, below = raw + step, raw - step
        return (self._gradient(y, above) - self._gradient(y, below)) / (above - below)

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
        functions = (self._value, self._gradient, self._hessian or self._differences)
        arguments = _lent(y_true), _lent(raw_prediction)
        for name, function, out in zip(self._functions, functions, outputs, strict=True):
            if out is None:
                continue
            result = function(*arguments)
            if xp is not np and not on_device(result):
                raise TypeError(
                    f"FunctionLoss: {name} must return an array on the device of its arguments; "
                    f"got {type(result).__name__}. Take functions from "
                    "sklearn_losses.links.array_namespace(raw_prediction)"
                )
            result = np.asarray(result) if xp is np else device_array(result)
            if result.shape != shape:
                raise ValueError(
                    f"FunctionLoss: {name} must return an array of shape {shape}; "
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


def _lent(array):
    """A view that a user's function cannot write through. Arrays of a device have none."""
    if type(array) is not np.ndarray:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


class CompiledLoss(_OwnLoss):
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


_SIGNATURE = "double (double, double, void *)"


def address_of(function, name):
    """Address of a C function, checked as far as it tells its signature.

    Parameters
    ----------
    function : object
        As in `CompiledLoss`.
    name : str
        What an error calls it.

    Returns
    -------
    address : int
    """

    def refuse(found):
        raise ValueError(
            f"CompiledLoss: {name} must have the C signature {_SIGNATURE!r}; got {found}"
        )

    if isinstance(function, numbers.Integral) and not isinstance(function, bool):
        address = int(function)
    elif hasattr(function, "address") and hasattr(function, "_sig"):  # numba.cfunc
        signature = function._sig
        types = [str(t) for t in (signature.return_type, *signature.args)]
        if (
            len(types) != 4
            or types[:3] != ["float64"] * 3
            or not types[3].endswith(("*", "voidptr"))
        ):
            refuse(signature)
        address = function.address
    elif isinstance(function, ctypes._CFuncPtr):
        found = (function.restype, tuple(function.argtypes or ()))
        if found[0] is not ctypes.c_double or found[1] != (
            ctypes.c_double,
            ctypes.c_double,
            ctypes.c_void_p,
        ):
            refuse(f"restype {found[0]} and argtypes {found[1]}")
        address = ctypes.cast(function, ctypes.c_void_p).value
    elif hasattr(function, "signature") and hasattr(function, "user_data"):  # LowLevelCallable
        if function.signature.replace(" ", "") != _SIGNATURE.replace(" ", ""):
            refuse(repr(function.signature))
        address = _low_level_address(function)
    else:
        raise ValueError(
            f"CompiledLoss: {name} must be a numba.cfunc, a ctypes function, a LowLevelCallable or "
            f"an address; got {function!r}"
        )
    if not address or address < 0:
        raise ValueError(f"CompiledLoss: {name} must not be null; got {function!r}")
    return address


def _low_level_address(function):
    """Address in a SciPy LowLevelCallable, whose first item is a capsule that has the signature as
    its name.
    """
    capsule = tuple.__getitem__(function, 0)
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
