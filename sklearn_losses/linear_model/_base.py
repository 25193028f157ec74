"""What both estimators share: fits, predictions, and the state between calls. No arithmetic."""

import copy
import math
import warnings
from contextlib import contextmanager
from dataclasses import replace
from numbers import Number

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted

from sklearn_losses._array import array_namespace, computing_on, in_namespace, on_device, to_host
from sklearn_losses._kernels._threads import effective_n_threads
from sklearn_losses._parameters import _same
from sklearn_losses._sklearn_compat import CALLBACKS_UNDER_WAY, CallbackSupportMixin
from sklearn_losses._solvers import BATCHES, ONE_SAMPLE, choose_descent
from sklearn_losses._solvers.coordinates import LossUnits
from sklearn_losses._solvers.engines import problem_class
from sklearn_losses._solvers.fit import Fit, Model
from sklearn_losses._solvers.rates import size_of_batches
from sklearn_losses._solvers.reference import Reference, constants_of, reference_of
from sklearn_losses._solvers.run import Hooks, run_fits
from sklearn_losses._states import array_like, kept_of, list_of, model_like, number, units_of
from sklearn_losses.linear_model._convergence import diagnosis_of
from sklearn_losses.linear_model._parameters import PASSIVE_AGGRESSIVE, Parameters
from sklearn_losses.linear_model._validation import Validation

MAX_INT = np.iinfo(np.int32).max

# What may differ between a fit and one that goes on from it; the seed is kept with the state.
MAY_CHANGE = {"max_iter", "n_jobs", "random_state", "verbose", "warm_start"}
# What decides which arrays a descent has.
DECIDES_STATE = ("descent", "optimizer", "average", "l1", "outputs", "features")
# What of a fitted estimator is where its data were.
MOVES = ("coef_", "intercept_", "_averaging", "_kept")
# Steps an epoch on a device that deserve a warning: each costs some microseconds there, however
# few samples it takes.
MANY_STEPS = 100_000


def joined(models):
    """One model of the outputs of several."""
    xp = array_namespace(models[0].coef)
    return Model(
        xp.concatenate([model.coef for model in models]),
        xp.concatenate([model.intercept for model in models]),
    )


def weights_from(given, shape, name, xp):
    """A checked copy of the weights that a user may give to start from; zeros if None."""
    if given is None:
        return xp.zeros(shape)
    given = given.toarray() if hasattr(given, "toarray") else given
    given = xp.array(in_namespace(given, xp), dtype=np.float64)
    if shape[0] == 1 and given.size == np.prod(shape):
        given = given.reshape(shape)
    if given.shape != shape:
        raise ValueError(
            f"Provided {name} does not match dataset: expected shape {shape}, got {given.shape}."
        )
    return given


class BaseSGD(Parameters, Validation, CallbackSupportMixin, BaseEstimator):
    """Base class of the estimators."""

    # ----------------------------------------------------------------------------------------- data

    def _labels_to_place(self, y):
        """y, or None where it holds labels that are on the host by their nature."""
        return y

    def _computing_on(self, X, y, sample_weight, offset, validation=None):
        """A context in which the device of the data, which must be one, is the current one."""
        names = ("X", "y", "sample_weight", "offset")
        given = dict(zip(names, (X, y, sample_weight, offset), strict=True))
        if validation is not None:
            given |= zip([f"{name}_val" for name in names], validation, strict=True)
        if on_device(X):
            given |= {name: self._labels_to_place(given[name]) for name in given if name[0] == "y"}
        return computing_on(**given)

    def _validation_arrays(self, X_val, y_val, *others):
        """What `fit` was given to validate on, or None."""
        if X_val is None:
            given = [x is not None for x in (y_val, *others)]
            if any(given):
                raise ValueError("y_val, sample_weight_val and offset_val need X_val")
            return None
        if y_val is None:
            raise ValueError("X_val needs y_val")
        if self.early_stopping:
            raise ValueError(
                "early_stopping=True holds out samples of X; with X_val set it to False"
            )
        return (X_val, y_val, *others)

    def _held_out(self, y, sample_weight):
        """Which rows are for validation: a mask, or None without early stopping."""
        if not self.early_stopping:
            return None
        stratify = is_classifier(self) and y.ndim == 1
        splitter = StratifiedShuffleSplit if stratify else ShuffleSplit
        split = splitter(test_size=self.validation_fraction, random_state=self.random_state)
        _, validation = next(split.split(np.zeros((len(y), 1)), to_host(y) if stratify else None))
        rows = in_namespace(validation, array_namespace(y))
        if sample_weight is not None and not bool(sample_weight[rows].any()):
            raise ValueError(
                "The sample weights for validation set are all zero, consider using a different "
                "random state."
            )
        mask = np.zeros(len(y), dtype=bool)
        mask[validation] = True
        return mask

    def _judge(self, data, loss, y, sample_weight, classes):
        """``validate(fit)`` on the rows held out, by the estimator's own `score`."""
        held_out = data.held_out
        judge = clone(self)
        judge.loss_ = loss
        if classes is not None:
            judge.classes_ = classes
            judge._rowwise, judge._multilabel = self._rowwise, self._multilabel
        xp = array_namespace(data.X)
        numbers = np.flatnonzero(held_out).astype(np.int32)
        rows = in_namespace(numbers, xp)
        X, y = data.X[rows], y[rows]
        weight, offset = (
            None if array is None else array[rows] for array in (sample_weight, data.offset)
        )
        measure = self._measure(data, numbers)

        def validate(fit):
            model = fit.model()
            judge.__dict__.update(judge._shown(model, xp))
            options = {} if offset is None else {"offset": offset}
            return -judge.score(X, y, weight, **options), measure(model)

        return validate

    def _measure(self, data, rows=None):
        """``measure(model)``: the mean loss on `rows` of data."""
        factor, weight = 1.0, data.sample_weight
        if weight is not None:
            if rows is not None:
                weight = weight[in_namespace(rows, array_namespace(weight))]
            factor = 1.0 / float(weight.mean())
        problem = problem_class(data.X)(
            data.X,
            data.y,
            data.losses,
            data.n_outputs,
            target=data.target,
            negative=data.negative,
            rows=rows,
            sample_weight=data.sample_weight,
            weight_factor=factor,
            weight_positive=data.weight_positive,
            weight_negative=data.weight_negative,
            offset=data.offset,
        )
        return lambda model: problem.value_gradient(model.coef, model.intercept)[0]

    def _validation(self, data, validation_data, loss, y, sample_weight, classes=None):
        """The keyword arguments of `Fit` for validation."""
        if validation_data is not None:
            measure = self._measure(validation_data)

            def validate(fit):
                value = measure(fit.descent.public_model())
                return value, value

            return {"validate": validate, "restore_best": True}
        if data.held_out is not None:
            return {"validate": self._judge(data, loss, y, sample_weight, classes)}
        return {}

    # ---------------------------------------------------------------------- state between two calls

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

    def _reference(self, data, settings, kind, start, going_on):
        """What a fit is measured by, and starts from; None for scikit-learn's algorithm.

        `start`: the coefficients and intercepts that the user gave, each or None.
        """
        if kind is ONE_SAMPLE:
            return None
        kept = getattr(self, "_kept", None) if going_on else None
        if isinstance(kept, dict) and kept.get("constants") is not None:
            constants = kept["constants"]
            if np.shape(constants) == (data.n_outputs,):  # of a stream: its parts end by themselves
                checked = array_like(np.empty(data.n_outputs))(constants, "_kept['constants']")
                return Reference(checked, math.nan, math.nan, data.n_training(), False)
        return reference_of(data, settings)

    def _start(self, n_outputs, X, start, going_on, reference=None, data=None):
        """The model that a fit starts from, and the averages so far.

        `going_on`: from where the last `partial_fit` or `fit` ended. With a `reference` the
        intercepts that nobody gave are the best constants.
        """
        xp = array_namespace(X)
        if going_on or (self.warm_start == "resume" and hasattr(self, "coef_")):
            self.t_ = number(1)(getattr(self, "t_", None), "t_")
        averaging = getattr(self, "_averaging", None) if going_on else None
        if averaging is not None and self.average:
            shapes = Model(xp.empty((n_outputs, X.shape[1]), X.dtype), xp.empty(n_outputs))
            parts = list_of([model_like(shapes)] * 2)(averaging, "_averaging")
            return tuple(
                Model(in_namespace(part.coef, xp), in_namespace(part.intercept, xp))
                for part in parts
            )
        if going_on:
            start = self.coef_, self.intercept_
        coef = weights_from(start[0], (n_outputs, X.shape[1]), "coef_init", xp)
        intercept = weights_from(start[1], (n_outputs,), "intercept_init", xp)
        model = Model(*self._inner_weights(coef.astype(X.dtype), intercept))
        if reference is not None and start[1] is None and self.fit_intercept:
            constants = reference.constants
            if start[0] is not None:
                raw = np.asarray(to_host(X @ model.coef.astype(np.float64).T))
                constants = self._constants_beside(data, raw)
            model.intercept = in_namespace(np.asarray(constants, dtype=np.float64).copy(), xp)
        averages = None
        if self.average:
            # Averaging switched on later: what there is counts for all the steps that it took.
            late = going_on and self.t_ > self.average
            averages = Model(
                model.coef.copy() if late else xp.zeros_like(model.coef),
                model.intercept.copy() if late else xp.zeros_like(model.intercept),
            )
        return model, averages

    @staticmethod
    def _constants_beside(data, raw):
        """The best constants beside raw predictions of shape (n_samples, n_outputs)."""
        xp = array_namespace(data.X)
        offset = in_namespace(raw, xp)
        if data.offset is not None:
            offset = offset + data.offset.reshape(len(raw), -1)
        return constants_of(replace(data, offset=xp.ascontiguousarray(offset)))

    def _wait(self, X, n_outputs, loss):
        """What `partial_fit` makes of samples none of which counts: a model of zeros where there is
        none yet, of which the first sample that counts sees nothing."""
        if hasattr(self, "coef_"):
            return
        xp = array_namespace(X)
        zeros = Model(xp.zeros((n_outputs, X.shape[1]), dtype=X.dtype), xp.zeros(n_outputs))
        self.__dict__.update(self._shown(zeros, xp))
        self.loss_, self.t_, self.n_iter_, self.stop_reason_ = loss, 1.0, 0, "max_iter"
        for curve in ("loss", "validation", "grad_norm", "learning_rate"):
            setattr(self, f"{curve}_curve_", [])
        self._averaging = self._kept = None
        self._waiting = True

    def _inner_weights(self, coef, intercept):
        """From the shapes that users see to those of the solver, one row an output."""
        return coef, intercept

    def _starting_weights(self, coef_init, intercept_init):
        """What `fit` starts from."""
        if self.warm_start is True and hasattr(self, "coef_"):
            coef_init = self.coef_ if coef_init is None else coef_init
            intercept_init = self.intercept_ if intercept_init is None else intercept_init
        return coef_init, intercept_init

    def _origin(self, kind, settings, datas):
        """What the state of a descent comes from."""
        params = self.get_params(deep=False) | {"optimizer": settings.optimizer}
        X = datas[0].X

        def copied(value):  # objects may be changed in place
            return value if isinstance(value, str | Number | None) else clone(value, safe=False)

        return {k: copied(v) for k, v in params.items() if k not in MAY_CHANGE} | {
            "average": settings.average,
            "descent": kind.__name__,
            "l1": settings.l1 > 0,
            "outputs": (len(datas), datas[0].n_outputs),
            "features": X.shape[1],
            "samples": X.shape[0],
            "sparse": hasattr(X, "indptr"),
        }

    def _kept_states(self, kind, origin, going_on, n_fits):
        """The states to go on from: None, or one for each fit."""
        fitted = hasattr(self, "coef_") and not getattr(self, "_waiting", False)
        resume = self.warm_start == "resume" and not going_on and fitted
        # scikit-learn's algorithm goes on from the coefficients in `partial_fit`.
        if not resume and not (going_on and kind is not ONE_SAMPLE):
            return None
        kept = getattr(self, "_kept", None)
        if kept is None and not resume:
            return None
        if kept is None:
            raise ValueError(
                "warm_start='resume' has nothing to go on from: the state was dropped by sparsify()"
            )
        kept = kept_of(kept, n_fits)
        before = kept["of"]
        for name in DECIDES_STATE if going_on else origin:
            if name not in before or not _same(before[name], origin[name]):
                if going_on:
                    return None  # another optimizer goes on from the coefficients alone
                raise ValueError(
                    "warm_start='resume' goes on with the same data and parameters; the last fit "
                    f"had {name}={before.get(name)!r}, this one has {origin[name]!r}"
                )
        return kept["fits"]

    def _solve(
        self,
        datas,
        model,
        averages,
        loss,
        settings,
        kind,
        seeds,
        validations,
        reference,
        *,
        going_on,
        stream,
    ):
        """Fits of `datas` (one, or one for each output), from `model`: list of Fit, ended or
        about to be run."""
        origin = self._origin(kind, settings, datas)
        states = self._kept_states(kind, origin, going_on, len(datas))
        fits = []
        for i, data in enumerate(datas):
            rows = slice(None) if len(datas) == 1 else slice(i, i + 1)
            options = {"seed": int(seeds[i])}
            if kind is ONE_SAMPLE:
                options["t"] = self.t_ if going_on else 1.0
                options["averages"] = averages and Model(
                    averages.coef[rows], averages.intercept[rows]
                )
            elif kind is BATCHES:
                options["stream"] = stream
                if states is not None:
                    units = states[i]["engine"]
                    units = units.get("units") if isinstance(units, dict) else None
                    units = units_of(data.n_outputs)(units, "descent['units']")
                    options["units"] = LossUnits(**units)
            part = Model(model.coef[rows], model.intercept[rows])
            descent = kind(data, settings, part, reference, **options)
            state = None if states is None else states[i]
            if not on_device(data.X):
                state = to_host(state)
            if state is not None and going_on:
                # The stream goes on; what the last call waited for does not.
                state = {key: state[key] for key in ("engine", "epochs")}
            fits.append(
                Fit(descent, settings, loss, reference=reference, state=state, **validations[i])
            )
        return fits, origin

    def _commit(self, fits, origin, X, loss, kind, going_on):
        """Take over what the solver found: one Fit, or one for each output."""
        if any(fit.interrupted for fit in fits) and not any(fit.n_iter for fit in fits):
            raise KeyboardInterrupt  # nothing to take over: the estimator stays as it was
        self._waiting = False
        if not going_on and not any(fit.epochs_before for fit in fits):
            self.t_ = 1.0
            for curve in ("loss", "validation", "grad_norm", "learning_rate"):
                setattr(self, f"{curve}_curve_", [])
        self.loss_ = loss
        n_iter = max(fit.n_iter for fit in fits)
        longest = max(fits, key=lambda fit: fit.epochs_before + fit.n_iter)
        self.n_iter_ = n_iter if going_on else longest.epochs_before + longest.n_iter
        self.stop_reason_ = longest.stop_reason
        # scikit-learn's algorithm counts as scikit-learn does: rows held out take part.
        self.t_ += n_iter * X.shape[0] if kind is ONE_SAMPLE else longest.steps

        def by_epoch(name, combine):
            # A class that has converged keeps its last value.
            new = [getattr(fit.curves, name) for fit in fits]
            curves = [c or fit.last.get(name, []) for c, fit in zip(new, fits, strict=True)]
            return [
                float(combine([c[min(epoch, len(c) - 1)] for c in curves if c]))
                for epoch in range(max(map(len, new)))
            ]

        def root_of_squares(values):
            return np.sqrt(np.sum(np.square(values)))

        self.loss_curve_ = self.loss_curve_ + by_epoch("loss", sum)
        self.validation_curve_ = self.validation_curve_ + by_epoch("validation", sum)
        self.grad_norm_curve_ = self.grad_norm_curve_ + by_epoch("gradient_norm", root_of_squares)
        self.learning_rate_curve_ = self.learning_rate_curve_ + longest.curves.rate
        self._averaging = None
        if self.average and kind is ONE_SAMPLE:
            self._averaging = (
                joined([fit.model() for fit in fits]),
                joined([fit.descent.averages() for fit in fits]),
            )
        found = joined([fit.public_model() for fit in fits])
        shown = self._shown(found, array_namespace(X))
        for name, part in shown.items():
            if not bool(array_namespace(part).isfinite(part).all()):
                raise ValueError(
                    f"{name} is not finite, or overflows in the dtype of X, {X.dtype}; scaling "
                    "input data with StandardScaler might help"
                )
        self.__dict__.update(shown)
        self._kept = {"of": origin, "fits": [fit.state() for fit in fits]}
        if fits[0].reference is not None:
            self._kept["constants"] = fits[0].reference.constants
        if any(fit.interrupted for fit in fits):
            raise KeyboardInterrupt

    def _run(self, fits, origin, datas, y, sample_weight, loss, kind, *, going_on, stream):
        """Make the fits' epochs, and take over the result; returns what is to be said of it."""
        X = datas[0].X
        hooks = None
        if not stream and getattr(self, "_skl_callbacks", None):

            def attributes():
                found = joined([fit.public_model() for fit in fits])
                return {"loss_": loss, **self._shown(found, array_namespace(X))}

            hooks = Hooks(self, X, y, sample_weight, attributes)
        n_jobs = effective_n_threads(effective_n_jobs(self.n_jobs))
        run_fits(fits, n_jobs, self.verbose, hooks)
        self._commit(fits, origin, X, loss, kind, going_on)
        if hooks is not None:
            hooks.close()
        return None if stream else diagnosis_of(self, datas, fits, fits[0].settings, kind)

    def _shown(self, model, xp):
        """The attributes that make a fitted estimator of a model, in the data's namespace."""
        coef, intercept = self._public_weights(
            in_namespace(model.coef, xp), in_namespace(model.intercept, xp)
        )
        return {"coef_": coef.copy(), "intercept_": intercept.astype(coef.dtype)}

    def _choose(self, loss, settings, X, plain):
        """The descent; `plain`: nothing in the data is beyond scikit-learn's algorithm."""
        device = on_device(X)
        kind = choose_descent(loss, settings, plain and not device)
        if self.learning_rate in PASSIVE_AGGRESSIVE and kind is not ONE_SAMPLE:
            raise ValueError(
                f"learning_rate={self.learning_rate!r} is defined for optimizer='sgd' with "
                "batch_size=1, one output, no bounds, clip_norm or offset, and arrays on the host"
            )
        if kind is ONE_SAMPLE and self.learning_rate == "optimal" and self.alpha == 0:
            raise ValueError(
                "alpha must be > 0 since learning_rate is 'optimal'. "
                "alpha is used to compute the optimal learning rate."
            )
        if device and kind is BATCHES:
            size = size_of_batches(settings.batch_size, 0, X.shape[0])
            if X.shape[0] > MANY_STEPS * size:
                warnings.warn(
                    f"batch_size={self.batch_size!r} makes {-(-X.shape[0] // size)} steps an "
                    "epoch. Small batches are slow on a device; set batch_size=1024 or more",
                    stacklevel=5,
                )
        return kind

    def _note_offset(self, offset, going_on):
        """Keep whether the fit had an offset, for what scores it."""
        before = going_on and getattr(self, "_fitted_with_offset", False)
        self._fitted_with_offset = before or offset is not None

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
        diagnosis.warn(stacklevel=3)
        if self.power_t < 0:
            warnings.warn(
                "Negative values of power_t are deprecated, as in scikit-learn 1.8. "
                "Use values in the range [0.0, inf) instead.",
                FutureWarning,
                stacklevel=3,
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
