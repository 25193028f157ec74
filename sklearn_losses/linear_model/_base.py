"""What both estimators share: the course of a fit, predictions, and where the weights are. No
arithmetic."""

import copy
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted

from sklearn_losses._array import (
    check_on_host,
    computing_on,
    in_namespace,
    on_device,
    to_host,
)
from sklearn_losses._kernels._threads import DuringAFit
from sklearn_losses._sklearn_compat import CALLBACKS_UNDER_WAY, CallbackSupportMixin
from sklearn_losses._solvers import BATCHES, choose_descent
from sklearn_losses._solvers.auto import optimizer_for
from sklearn_losses._solvers.rates import size_of_batches
from sklearn_losses.linear_model._auto_scale import with_numbers
from sklearn_losses.linear_model._judging import Judging
from sklearn_losses.linear_model._outcome import run
from sklearn_losses.linear_model._parameters import Parameters
from sklearn_losses.linear_model._request import Call
from sklearn_losses.linear_model._stages import stages_of
from sklearn_losses.linear_model._validation import Validation
from sklearn_losses.optimizers import Auto

MAX_INT = np.iinfo(np.int32).max

# What of a fitted estimator is where its data were.
MOVES = ("coef_", "intercept_", "_averaging", "_kept")
# Steps an epoch on a device that deserve a warning: each costs some microseconds there, however
# few samples it takes.
MANY_STEPS = 100_000
# What is said to take there, by whether the loss is fitted `in_turn`.
ON_A_DEVICE = {
    False: "optimizer='lbfgs'",
    True: "one that steps, such as optimizer='adam', which needs all heads to be 'linear'",
}


class BaseSGD(Parameters, Validation, Judging, CallbackSupportMixin, BaseEstimator):
    """Base class of the estimators.

    A fit has three parts: `_request` of the estimator reads what the user gave, `stages_of` says of
    which losses one after another, and `run` has `assemble` make the fits of each, makes their
    epochs and takes over the result.
    """

    # -------------------------------------------------------------------------- a fit, in its parts

    def _fit(self, samples, validation, start, classes=None):
        """The body of `fit`."""
        loss, optimizer = self._check_parameters()
        start = self._starting_weights(*start)
        validation = self._given_validation(validation)
        call = Call(samples, loss, optimizer, start, validation, classes)
        place = self._computing_on(samples, validation)
        with self._unchanged_on_error(), place, DuringAFit():
            diagnosis = self._train(call)
        self._warn_after_fit(diagnosis)
        return self

    def _partial_fit(self, samples, classes=None):
        """The body of `partial_fit`."""
        going_on = self._is_begun()
        loss, optimizer = self._check_parameters()
        if self.early_stopping and not going_on:
            raise ValueError("early_stopping should be False with partial_fit")
        self._check_classes(samples.y, classes)
        call = Call(samples, loss, optimizer, classes=classes, going_on=going_on, stream=True)
        with self._unchanged_on_error(), self._computing_on(samples), DuringAFit():
            self._train(call)
        return self

    def _train(self, call):
        """Make the fits that a call asks for; returns what is to be said of them."""
        request = self._request(call)
        if request is None:  # no sample counts
            return None
        request = with_numbers(self, request)
        before = call.going_on and getattr(self, "_fitted_with_offset", False)
        self._fitted_with_offset = before or call.samples.offset is not None
        return run(self, stages_of(self, request))

    def _note_fit(self, request):
        """What is kept of a fit beside its weights, which have been taken over."""

    # --------------------------------------------------------------------------- what a call brings

    def _is_waiting(self):
        """Whether `partial_fit` has seen no sample yet that counts."""
        return getattr(self, "_waiting", False)

    def _is_begun(self):
        """Whether `partial_fit` goes on from somewhere."""
        return hasattr(self, "coef_") and not self._is_waiting()

    def _has_met(self, call):
        """Whether an earlier call has said what samples are like."""
        return call.going_on or (call.stream and self._is_waiting())

    def _check_classes(self, y, classes):
        """An error where the first call of `partial_fit` does not say which classes there are."""

    def _labels_to_place(self, y):
        """y, or None where it holds labels that are on the host by their nature."""
        return y

    def _computing_on(self, samples, validation=None):
        """A context in which the device of the data, which must be one, is the current one."""
        given = samples._asdict()
        if validation is not None:
            given |= {f"{name}_val": part for name, part in validation._asdict().items()}
        loss = self._resolve_loss()
        if loss.is_joint:
            check_on_host(type(loss).__name__, **given)
        if on_device(samples.X):
            given |= {name: self._labels_to_place(given[name]) for name in given if name[0] == "y"}
        return computing_on(**given)

    def _given_validation(self, validation):
        """What `fit` was given to validate on, or None."""
        if validation.X is None:
            if any(part is not None for part in validation):
                raise ValueError("y_val, sample_weight_val and offset_val need X_val")
            return None
        if validation.y is None:
            raise ValueError("X_val needs y_val")
        if self.early_stopping:
            raise ValueError(
                "early_stopping=True holds out samples of X; with X_val set it to False"
            )
        return validation

    def _starting_weights(self, coef_init, intercept_init):
        """What `fit` starts from."""
        if self.warm_start is True and hasattr(self, "coef_"):
            coef_init = self.coef_ if coef_init is None else coef_init
            intercept_init = self.intercept_ if intercept_init is None else intercept_init
        return coef_init, intercept_init

    def _inner_weights(self, coef, intercept):
        """From the shapes that users see to those of the solver, one row an output."""
        return coef, intercept

    def _shown(self, model, xp):
        """The attributes that make a fitted estimator of a model, in the data's namespace."""
        coef, intercept = self._public_weights(
            in_namespace(model.coef, xp), in_namespace(model.intercept, xp)
        )
        return {"coef_": coef.copy(), "intercept_": intercept.astype(coef.dtype)}

    def _choose(self, loss, settings, X, plain, stream):
        """Settings with an optimizer that is none but itself, and the descent; `plain`: nothing in
        the data is beyond scikit-learn's algorithm."""
        device = on_device(X)
        if isinstance(settings.optimizer, Auto):
            chosen = optimizer_for(loss, settings, X, stream)
            settings = replace(settings, optimizer=chosen, recommended=True)
        if device and settings.own is not None:
            raise ValueError(
                f"penalty={settings.own.penalty!r} is for arrays on the host; on a device use "
                "'l1', 'l2' or 'elasticnet'"
            )
        kind = choose_descent(loss, settings, plain and not device)
        if device and kind.on_host:
            raise ValueError(
                f"optimizer={settings.optimizer.name!r} is for arrays on the host; on a device use "
                + ON_A_DEVICE[loss.in_turn]
            )
        if device and kind is BATCHES:
            size = size_of_batches(settings.batch_size, 0, X.shape[0])
            if X.shape[0] > MANY_STEPS * size:
                warnings.warn(
                    f"batch_size={self.batch_size!r} makes {-(-X.shape[0] // size)} steps an "
                    "epoch. Small batches are slow on a device; set batch_size=1024 or more",
                    stacklevel=7,
                )
        return settings, kind

    # ------------------------------------------------------------------- what errors leave, and say

    @contextmanager
    def _unchanged_on_error(self):
        """A fit that fails leaves the estimator as it was; one that is interrupted has been
        committed before."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException as error:
            committed = self.__dict__.get("_kept") is not before.get("_kept")
            if not (committed and isinstance(error, KeyboardInterrupt)):
                kept = {k: v for k, v in self.__dict__.items() if k in CALLBACKS_UNDER_WAY}
                self.__dict__.clear()
                self.__dict__.update(before | kept)
            raise

    def _warn_without_offset(self, offset):
        if offset is None and getattr(self, "_fitted_with_offset", False):
            warnings.warn(
                f"{type(self).__name__} was fitted with an offset and is scored without one, as if "
                "it were 0. Pass it: score(X, y, offset=offset). A search passes it with "
                "sklearn.set_config(enable_metadata_routing=True), "
                "model.set_fit_request(offset=True) and model.set_score_request(offset=True)",
                stacklevel=3,
            )

    def _warn_after_fit(self, diagnosis):
        diagnosis.warn(stacklevel=4)
        if self.power_t < 0:
            warnings.warn(
                "Negative values of power_t are deprecated, as in scikit-learn 1.8. "
                "Use values in the range [0.0, inf) instead.",
                FutureWarning,
                stacklevel=4,
            )

    # ---------------------------------------------------------------------------------- predictions

    def _raw(self, X, offset=None):
        """Raw predictions, of shape (n_samples, n rows of coef_)."""
        check_is_fitted(self)
        with computing_on(X=X, offset=offset) as xp:
            X = self._check_samples(X)
            if xp is np:
                coef = to_host(self.coef_)
                coef = coef if sparse.issparse(coef) else np.atleast_2d(coef)
                raw = safe_sparse_dot(X, coef.T, dense_output=True)
            else:
                coef = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
                raw = X @ xp.atleast_2d(in_namespace(coef, xp)).T
            raw = raw + in_namespace(self.intercept_, xp)
            offset = self._shown_offset(offset, X, raw.shape[1])
            if offset is not None:
                raw = raw + offset.reshape(len(offset), -1).astype(raw.dtype, copy=False)
        return raw

    def _shown_offset(self, offset, X, n_outputs):
        return self._check_offset(offset, X, n_outputs)

    # ------------------------------------------------------------------------ where the weights are

    def to_numpy(self):
        """Move the fitted estimator to the host.

        Predictions and fits follow their data, wherever the weights are. This is for what reads
        `coef_` and `intercept_`, and gives the device's memory back.

        Returns
        -------
        self : object
            Fitted estimator, whose arrays are NumPy's, as those of a fit on the host.
        """
        check_is_fitted(self)
        self.__dict__.update(self._moved_to_host())
        return self

    def _moved_to_host(self):
        return {name: to_host(vars(self)[name]) for name in MOVES if name in vars(self)}

    def __getstate__(self):
        # A pickle can be loaded where there is no device.
        return {**super().__getstate__(), **self._moved_to_host()}

    def __copy__(self):
        # Not through `__getstate__`: a copy in memory stays where it is.
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo):
        made = memo[id(self)] = type(self).__new__(type(self))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def densify(self):
        """Convert `coef_` to a dense array, which is what `fit` makes.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        check_is_fitted(self)
        if sparse.issparse(self.coef_):
            self.coef_ = self._dense_coef()
        return self

    def sparsify(self):
        """Convert `coef_` to a sparse matrix: smaller and faster for models that L1 left mostly
        zero.

        What the optimizer remembers is dropped: `partial_fit` goes on from the coefficients alone,
        and ``warm_start="resume"`` cannot.

        Returns
        -------
        self : object
            Fitted estimator; it predicts, and can be trained further.
        """
        check_is_fitted(self)
        if on_device(self.coef_):
            raise ValueError(
                "sparsify() is for weights on the host; on a device it would gain nothing. Call "
                "to_numpy() first"
            )
        self.coef_ = sparse.csr_matrix(np.atleast_2d(self.coef_))
        self._kept = None
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
