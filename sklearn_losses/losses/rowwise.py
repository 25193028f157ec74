"""What the row-wise losses share: raw predictions of shape (n_samples, n_classes)."""

import numbers

import numpy as np
from scipy.optimize import minimize

from sklearn_losses._array import (
    array_namespace,
    common_namespace,
    computing_on,
    in_namespace,
    kernel_array,
    on_device,
    to_host,
)
from sklearn_losses._interval import Interval
from sklearn_losses._kernels.device import class_weights, evaluate_rowwise
from sklearn_losses._kernels.losses import _rowwise
from sklearn_losses._parameters import check_number
from sklearn_losses.links import SoftmaxLink
from sklearn_losses.losses import constants
from sklearn_losses.losses.base import Loss


class RowwiseLoss(Loss):
    """Base class of the losses of one raw prediction for each class.

    Parameters
    ----------
    n_classes : int or None, default=None
        The number of classes, at least 2. None: as many as the raw predictions have.
    """

    task = "multiclass"
    is_multiclass = True
    link = SoftmaxLink()
    takes_probabilities = False
    # Whether adding one number to a row changes nothing.
    shift_is_nothing = True

    # Names of the parameters of shape (n_classes,), and of others that the kernel's follow from.
    _class_parameters, _kernel_parameters = (), ()
    # Whether targets that are one number are whole.
    _whole = True

    def __init__(self, n_classes=None):
        self.n_classes = n_classes

    @property
    def interval_y_true(self):
        """Of the class codes."""
        high = np.inf if self.n_classes is None else self.n_classes - 1
        return Interval(0, high, True, self.n_classes is not None)

    def _domain(self, n_classes):
        """Of targets that are one number, with this many raw predictions."""
        return Interval(0, n_classes - 1, True, True)

    def _kernel_takes(self):
        """What `evaluate_rowwise` asks of the struct."""
        return {
            "takes_rows": self.takes_probabilities,
            "gives_probabilities": self.takes_probabilities,
        }

    def _for_classes(self, n_classes, class_counts=None):
        """A copy for this many classes; `class_counts` (n_classes,) fills what depends on them and
        is not set.
        """
        bound = type(self)(**self.get_params(deep=False))
        if bound.n_classes is None:
            bound.n_classes = n_classes
        elif bound.n_classes != n_classes:
            raise ValueError(
                f"{type(self).__name__}: n_classes={self.n_classes}, but y has {n_classes} classes"
            )
        return bound

    def _classes(self, n_classes):
        """The number of classes: what is set, or what the raw predictions have; they must not
        differ.
        """
        owner = type(self).__name__
        if self.n_classes is None:
            if n_classes is None:
                raise ValueError(f"{owner}: n_classes must be set; got None")
            return n_classes
        if not isinstance(self.n_classes, numbers.Integral) or self.n_classes < 2:
            raise ValueError(
                f"{owner}: n_classes must be an integer of at least 2 or None; "
                f"got {self.n_classes!r}"
            )
        if n_classes is not None and n_classes != self.n_classes:
            raise ValueError(
                f"raw_prediction must have {self.n_classes} columns, one a class; got {n_classes}"
            )
        return int(self.n_classes)

    def _per_class(self, name, n_classes, interval):
        """A parameter of shape (n_classes,), checked."""
        value = getattr(self, name)
        array = np.asarray(to_host(value))
        if array.dtype.kind not in "biuf" or array.shape != (n_classes,):
            raise ValueError(
                f"{type(self).__name__}: {name} must hold {n_classes} numbers, one a class; "
                f"got {value!r}"
            )
        for number in array.tolist():
            check_number(type(self).__name__, f"each of {name}", number, interval)
        return array.astype(np.float64)

    def _row_params(self, n_classes):
        """The kernel's parameters for this many classes."""
        return self._numbers()

    def _resolve(self, n_classes=None, single=False):
        """The kernel's kind and parameters, for float32 where `single` is set. Checked again only
        when a parameter has changed; where one is an array, each time, as its elements may have
        changed.
        """
        given = [n_classes, self.n_classes, self._kernel]
        names = (*self._parameter_intervals, *self._kernel_parameters)
        given += [getattr(self, name) for name in names]
        lasting = all(getattr(self, name) is None for name in self._class_parameters)
        resolved = self.__dict__.get("_resolved") if lasting else None
        if resolved is None or resolved[0] != given:
            params = self._row_params(self._classes(n_classes))
            params = np.ascontiguousarray(params, dtype=np.float64)
            self._check_range(np.float64, params)
            resolved = [given, _rowwise.KINDS[self._kernel], params, False]
            if lasting:
                self._resolved = resolved
        if single and not resolved[3]:
            self._check_range(np.float32, resolved[2])
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
        probability=None,
    ):
        if raw_prediction.ndim != 2:
            raise ValueError(
                f"raw_prediction must have shape (n_samples, n_classes); got {raw_prediction.shape}"
            )
        single = raw_prediction.dtype == np.float32
        kind, params = self._resolve(raw_prediction.shape[1], single)
        if type(raw_prediction) is not np.ndarray:
            return evaluate_rowwise(
                kind,
                params,
                y_true,
                raw_prediction,
                sample_weight,
                value,
                gradient,
                hessian,
                probability,
                want_sum,
                **self._kernel_takes(),
            )
        try:
            return _rowwise.evaluate(
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
                probability,
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
                proba_out=probability,
            )
            raise

    def _report(self, y_true, raw_prediction, sample_weight):
        n_classes = raw_prediction.shape[1]
        return evaluate_rowwise(
            *self._resolve(n_classes, raw_prediction.dtype == np.float32),
            y_true,
            raw_prediction,
            sample_weight,
            domain=self._domain(n_classes),
            whole=self._whole,
            tolerance=_tolerance(y_true.dtype),
            **self._kernel_takes(),
        )

    def gradient_proba(
        self,
        y_true,
        raw_prediction,
        sample_weight=None,
        gradient_out=None,
        proba_out=None,
        n_threads=None,
    ):
        """First derivative and the probabilities of the classes, in one pass.

        Parameters
        ----------
        y_true, raw_prediction, sample_weight, gradient_out, n_threads
            As in `gradient`.
        proba_out : array of shape (n_samples, n_classes) or None, default=None

        Returns
        -------
        gradient : array of shape (n_samples, n_classes)
        proba : array of shape (n_samples, n_classes)
            The loss's own: a logit-adjusted loss gives those of the adjusted raw predictions.

        Raises
        ------
        ValueError
            For a loss that takes class codes alone.
        """
        raw_prediction = kernel_array(raw_prediction, "raw_prediction")
        gradient_out = self._new(raw_prediction, gradient_out, derivative=True)
        proba_out = self._new(raw_prediction, proba_out, derivative=True)
        self._evaluate(
            y_true,
            raw_prediction,
            sample_weight,
            n_threads,
            None,
            gradient_out,
            None,
            probability=proba_out,
        )
        return gradient_out, proba_out

    def _shaped(self, raw_prediction):
        if raw_prediction.ndim != 2 or raw_prediction.shape[1] < 2:
            raise ValueError(
                "raw_prediction must have shape (n_samples, n_classes) with at least 2 classes; "
                f"got {raw_prediction.shape}"
            )
        self._classes(raw_prediction.shape[1])
        return raw_prediction

    def _shaped_target(self, y_true, raw_prediction):
        n_samples, n_classes = raw_prediction.shape
        owner = type(self).__name__
        if y_true.shape == (n_samples, n_classes):
            if not self.takes_probabilities:
                raise ValueError(
                    f"{owner}: y_true must hold class codes, of shape ({n_samples},); "
                    f"got {y_true.shape}"
                )
        elif y_true.shape != (n_samples,):
            allowed = f"({n_samples},)" + (
                f" or ({n_samples}, {n_classes})" if self.takes_probabilities else ""
            )
            raise ValueError(f"{owner}: y_true must have shape {allowed}; got {y_true.shape}")
        return y_true

    def _checked_target(self, y_true, raw_prediction):
        y_true = self._shaped_target(y_true, raw_prediction)
        n_classes = raw_prediction.shape[1]
        owner = type(self).__name__
        if y_true.ndim == 2:
            check_unit_rows(owner, y_true)
            return y_true
        floor = array_namespace(y_true).floor
        wrong = (y_true < 0) | (y_true >= n_classes) | (y_true != floor(y_true))
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                f"{owner}: y_true must hold class codes 0, ..., {n_classes - 1}; "
                f"got {to_host(y_true[first])} at index {first}"
            )
        return y_true

    def _shares(self, y_true, sample_weight):
        """Weighted share of each class, of shape (n_classes,), on the host."""
        if y_true.ndim == 2:
            average = array_namespace(y_true).average
            return to_host(average(y_true.astype(np.float64), axis=0, weights=sample_weight))
        counts = self._mass(y_true, sample_weight)
        return counts / counts.sum()

    def _mass(self, codes, sample_weight):
        """Weight of the samples of each class, of shape (n_classes,), on the host."""
        n_classes = self._classes(None)
        if on_device(codes):
            return to_host(class_weights(codes, sample_weight, n_classes))
        return np.bincount(codes.astype(np.intp), weights=sample_weight, minlength=n_classes)

    def fit_intercept_only(self, y_true, sample_weight=None, offset=None):
        """The constant row of raw predictions with the least loss, with mean 0.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or (n_samples, n_classes)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        offset : array-like of shape (n_samples,) or (n_samples, n_classes) or None, default=None
            What is added to the row, in link space: the loss is that of ``row + offset``. One
            number a sample changes nothing.

        Returns
        -------
        raw_prediction : array of shape (n_classes,)
            Where `y_true` is. A class without a sample has a finite raw prediction.

        Raises
        ------
        ValueError
            As for a call of the loss; where `offset` has another shape, or is not finite.
        """
        return self._constant_row(y_true, sample_weight, offset)

    def _start_constant(self, y_true, sample_weight=None, offset=None):
        """Where the intercepts of a fit start: at the best row, a class without a sample counting
        as half a sample.

        Parameters
        ----------
        y_true, sample_weight, offset
            As in `fit_intercept_only`.

        Returns
        -------
        raw_prediction : array of shape (n_classes,)
        """
        n_samples = np.shape(y_true)[0] if not on_device(y_true) else y_true.shape[0]
        return self._constant_row(y_true, sample_weight, offset, 0.5 / (n_samples + 1))

    def _constant_row(self, y_true, sample_weight, offset, least=None):
        """The best row, no class having less than the share `least`; None: as little as its
        logarithm allows.
        """
        y_true = kernel_array(y_true, "y_true")
        n_classes = self._classes(y_true.shape[1] if y_true.ndim == 2 else None)
        with computing_on(y_true=y_true, sample_weight=sample_weight) as xp:
            shape = (y_true.shape[0], n_classes)
            zeros = xp.zeros(shape, dtype=y_true.dtype)
            y_true, _, sample_weight = self._checked(y_true, zeros, sample_weight)
            sample_weight = constants.scaled_weight(sample_weight)
            # As scikit-learn: a class without a sample keeps a probability that has a logarithm.
            eps = np.finfo(y_true.dtype).eps
            shares = self._shares(y_true, sample_weight)
            missing = shares < eps
            shares = np.clip(shares, eps, 1 - eps)
            if least is not None:
                shares[missing] = least
            if offset is not None:
                places = {"y_true": y_true}
                offset = constants.checked_offset(offset, [shape[:1], shape], places)
            if offset is None or offset.ndim == 1:
                best = np.asarray(self._best_row(shares))
            else:
                start = self._best_row(shares) - to_host(offset.mean(axis=0))
                data = y_true, sample_weight, offset
                if missing.any():
                    data = _with_a_share_of(missing, shares, *data)
                best = constants.lowest_row(constants.RowSums(self, *data), start)
            return in_namespace((best - best.mean()).astype(y_true.dtype), xp)

    # Whether the loss is infinite for some rows of finite raw predictions.
    has_barrier = False

    def _best_row(self, shares):
        """The best constant row, found from the classes' shares alone."""
        n_classes = shares.shape[0]
        codes = np.arange(n_classes, dtype=np.float64)

        def objective(row):
            value, gradient = self.loss_gradient(
                codes, np.tile(row, (n_classes, 1)), sample_weight=shares
            )
            return value.sum(), gradient.sum(axis=0)

        start = np.log(shares / shares.sum())
        options = {"ftol": 1e-15, "gtol": 1e-12}
        return minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x


def softmax_hessian_product(proba, vector):
    """The softmax cross-entropy's matrix of second derivatives, ``diag(p) - p p'``, times a vector.

    Parameters
    ----------
    proba, vector : ndarray of shape (..., n_classes)

    Returns
    -------
    product : ndarray of shape (..., n_classes)
    """
    product = proba * vector
    return product - proba * product.sum(axis=-1, keepdims=True)


def _with_a_share_of(missing, shares, y, weight, offset):
    """The data and, of each class that is missing in them, a sample that has its share of the
    weight, at the mean offset."""
    xp = array_namespace(y)
    codes = np.flatnonzero(missing)
    rows = np.eye(len(missing))[codes] if y.ndim == 2 else codes
    weight = xp.ones(y.shape[0]) if weight is None else weight
    shares = float(weight.sum()) * shares[codes]
    means = xp.tile(offset.mean(axis=0), (len(codes), 1))
    return (
        xp.concatenate([y.astype(np.float64), xp.asarray(rows, dtype=np.float64)]),
        xp.concatenate([weight, xp.asarray(shares)]),
        xp.concatenate([offset, means]),
    )


def _tolerance(dtype):
    """How far from 1 the sum of a row of probabilities may be."""
    return 1e-4 if dtype == np.float32 else 1e-8


def check_unit_rows(owner, y, name="y_true"):
    """Raise where `y` does not hold rows of probabilities: not negative, each summing to 1 within
    rounding.
    """
    if (y < 0).any():
        first = int((y < 0).any(axis=1).argmax())
        raise ValueError(
            f"{owner}: {name} must hold probabilities; got {to_host(y[first])} in row {first}"
        )
    error = abs(y.sum(axis=1, dtype=np.float64) - 1)
    if (error > _tolerance(y.dtype)).any():
        first = int(error.argmax())
        raise ValueError(
            f"{owner}: each row of {name} must sum to 1; row {first} sums to "
            f"{float(y[first].sum(dtype=np.float64)):.10g}"
        )
