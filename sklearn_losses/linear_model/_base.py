"""What both estimators share: parameters, validation, and the state between calls. No
arithmetic."""

import difflib
import warnings
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_losses._sklearn_compat import Interval, StrOptions, check_sample_weight
from sklearn_losses._solvers.sgd import SCHEDULES, Model, Settings
from sklearn_losses.losses import LOSSES, Loss, get_loss

MAX_INT = np.iinfo(np.int32).max

# The losses, given by name, whose parameter scikit-learn calls epsilon.
TAKES_EPSILON = {
    "huber": "delta",
    "epsilon_insensitive": "epsilon",
    "squared_epsilon_insensitive": "epsilon",
}


class BaseSGD(BaseEstimator):
    """Base class of the estimators."""

    _parameter_constraints: dict = {
        "loss": [str, Loss],
        "penalty": [StrOptions({"l2", "l1", "elasticnet"}), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "shuffle": ["boolean"],
        "verbose": ["verbose"],
        "epsilon": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "eta0": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, None, None, closed="neither")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "average": [Interval(Integral, 0, None, closed="neither"), "boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    # The loss with which the passive-aggressive schedules are defined.
    _passive_aggressive_loss = None

    # ----------------------------------------------------------------------------------- parameters

    def _resolve_loss(self):
        """The loss object that `loss` stands for."""
        if not isinstance(self.loss, str):
            return self.loss
        if self.loss not in LOSSES:
            near = difflib.get_close_matches(self.loss, LOSSES, n=3) or sorted(LOSSES)
            raise ValueError(f"unknown loss {self.loss!r}; did you mean one of {near}?")
        if self.loss in TAKES_EPSILON:
            return get_loss(self.loss, **{TAKES_EPSILON[self.loss]: self.epsilon})
        return get_loss(self.loss)

    def _check_parameters(self, first_partial_fit=False):
        """What the constraints on single parameters do not say; returns the loss."""
        if self.early_stopping and first_partial_fit:
            raise ValueError("early_stopping should be False with partial_fit")
        if self.learning_rate == "optimal" and self.alpha == 0:
            raise ValueError(
                "alpha must be > 0 since learning_rate is 'optimal'. "
                "alpha is used to compute the optimal learning rate."
            )
        if self.penalty == "elasticnet" and self.l1_ratio is None:
            raise ValueError("l1_ratio must be set when penalty is 'elasticnet'")
        loss = self._resolve_loss()
        needed = self._passive_aggressive_loss
        if self.learning_rate in ("pa1", "pa2") and not isinstance(loss, LOSSES[needed]):
            raise ValueError(
                f"Learning rate {self.learning_rate!r} only works with loss {needed!r}."
            )
        if isinstance(loss, LOSSES["root_mean_squared_error"]):
            raise ValueError(
                "RootMeanSquaredError is no mean over samples, so stochastic gradients cannot "
                "minimise it; "
                "loss='squared_error' has the same minimiser"
            )
        loss = self._accept_loss(loss)
        if not loss.is_multiclass:
            # checks the loss's own parameters; a row-wise loss first needs its classes
            loss._resolve()
        return loss

    def _settings(self, max_iter):
        return Settings(
            penalty=self.penalty,
            alpha=float(self.alpha),
            l1_ratio=0.0 if self.l1_ratio is None else float(self.l1_ratio),
            fit_intercept=bool(self.fit_intercept),
            max_iter=max_iter,
            tol=self.tol,
            shuffle=bool(self.shuffle),
            learning_rate=self.learning_rate,
            eta0=float(self.eta0),
            power_t=float(self.power_t),
            n_iter_no_change=self.n_iter_no_change,
            average=int(self.average),
            batch_size=self.batch_size,
            verbose=int(self.verbose),
        )

    # ----------------------------------------------------------------------------------------- data

    def _check_weights(self, sample_weight, X):
        """`sample_weight` in float64, or None where all weights are 1."""
        if sample_weight is None:
            return None
        sample_weight = check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        if not sample_weight.any():
            raise ValueError("Sample weights must contain at least one non-zero number.")
        return sample_weight

    def _held_out(self, y, sample_weight):
        """Which rows are for validation: a mask, or None without early stopping."""
        if not self.early_stopping:
            return None
        splitter = StratifiedShuffleSplit if is_classifier(self) else ShuffleSplit
        split = splitter(test_size=self.validation_fraction, random_state=self.random_state)
        _, validation = next(split.split(np.zeros((len(y), 1)), y))
        if sample_weight is not None and not sample_weight[validation].any():
            raise ValueError(
                "The sample weights for validation set are all zero, consider using a different "
                "random state."
            )
        mask = np.zeros(len(y), dtype=bool)
        mask[validation] = True
        return mask

    def _scorer(self, X, y, sample_weight, held_out, loss, classes=None):
        """``score(coef, intercept)`` on the rows held out, by the estimator's own `score`."""
        if held_out is None:
            return None
        judge = clone(self)
        judge.loss_ = loss
        if classes is not None:
            judge.classes_ = classes
        X, y = X[held_out], y[held_out]
        sample_weight = None if sample_weight is None else sample_weight[held_out]

        def score(coef, intercept):
            judge._set_weights(Model(coef, intercept))
            return judge.score(X, y, sample_weight)

        return score

    # ---------------------------------------------------------------------- state between two calls

    @contextmanager
    def _unchanged_on_error(self):
        """A fit that fails leaves the estimator as it was; one that is interrupted has been
        committed before."""
        before = dict(self.__dict__)
        try:
            yield
        except Exception:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _public_weights(self, n_outputs, n_features, coef_init, intercept_init):
        """Checked copies of what a user may give to start from, of shape (n_outputs, n_features)
        and (n_outputs,)."""
        coef = np.zeros((n_outputs, n_features))
        intercept = np.zeros(n_outputs)
        if coef_init is not None:
            if sparse.issparse(coef_init):
                coef_init = coef_init.toarray()
            coef_init = np.asarray(coef_init, dtype=np.float64)
            if n_outputs == 1 and coef_init.size == n_features:
                coef_init = coef_init.reshape(1, -1)
            if coef_init.shape != coef.shape:
                raise ValueError(
                    f"Provided coef_init does not match dataset: expected shape {coef.shape}, "
                    f"got {coef_init.shape}."
                )
            coef = coef_init.copy()
        if intercept_init is not None:
            intercept_init = np.asarray(intercept_init, dtype=np.float64)
            if n_outputs == 1 and intercept_init.size == 1:
                intercept_init = intercept_init.reshape(1)
            if intercept_init.shape != intercept.shape:
                raise ValueError(
                    f"Provided intercept_init does not match dataset: expected shape "
                    f"{intercept.shape}, "
                    f"got {intercept_init.shape}."
                )
            intercept = intercept_init.copy()
        return coef, intercept

    def _start(self, n_outputs, n_features, dtype, coef_init, intercept_init, going_on):
        """The model that a fit starts from, and the number of its first step.

        `going_on`: from where the last `partial_fit` or `fit` ended, averages included.
        """
        state = getattr(self, "_averaging", None) if going_on else None
        if state is not None and self.average:
            return Model(state.coef, state.intercept, state.coef_average, state.intercept_average)
        if going_on:
            coef_init, intercept_init = self.coef_, self.intercept_
        coef, intercept = self._public_weights(n_outputs, n_features, coef_init, intercept_init)
        model = Model(*self._inner_weights(coef.astype(dtype), intercept))
        if self.average:
            # Averaging switched on later: what there is counts for all the steps that it took.
            late = going_on and self.t_ > self.average
            model.coef_average = model.coef.copy() if late else np.zeros_like(model.coef)
            model.intercept_average = (
                model.intercept.copy() if late else np.zeros_like(model.intercept)
            )
        return model

    def _inner_weights(self, coef, intercept):
        """From the shapes that users see to those of the solver, one row an output."""
        return coef, intercept

    def _commit(self, results, n_samples, loss, going_on):
        """Take over what the solver found: `results` holds one Result, or one for each class."""
        first = results[0].model
        if len(results) == 1:
            model = first
        else:
            model = Model(
                np.concatenate([r.model.coef for r in results]),
                np.concatenate([r.model.intercept for r in results]),
            )
            if first.coef_average is not None:
                model.coef_average = np.concatenate([r.model.coef_average for r in results])
                model.intercept_average = np.concatenate(
                    [r.model.intercept_average for r in results]
                )
        if not going_on:
            self.t_ = 1.0
            self.loss_curve_ = []
        self.loss_ = loss
        self.n_iter_ = max(r.n_iter for r in results)
        # As scikit-learn counts: rows held out for validation take part.
        self.t_ += self.n_iter_ * -(-n_samples // self.batch_size)
        # A class that has converged keeps its last objective.
        self.loss_curve_ = self.loss_curve_ + [
            float(sum(r.loss_curve[min(epoch, r.n_iter - 1)] for r in results if r.n_iter))
            for epoch in range(self.n_iter_)
        ]
        self._averaging = model if self.average else None
        if self.average and self.average <= self.t_ - 1.0:
            self._set_weights(Model(model.coef_average, model.intercept_average))
        else:
            self._set_weights(Model(model.coef.copy(), model.intercept))
        if any(r.interrupted for r in results):
            raise KeyboardInterrupt

    def _warn_after_fit(self):
        if self.tol is not None and self.n_iter_ == self.max_iter:
            warnings.warn(
                "Maximum number of iteration reached before convergence. "
                "Consider increasing max_iter to improve the fit.",
                ConvergenceWarning,
                stacklevel=3,
            )
        if self.power_t < 0:
            warnings.warn(
                "Negative values of power_t are deprecated, as in scikit-learn 1.8. "
                "Use values in the range [0.0, inf) instead.",
                FutureWarning,
                stacklevel=3,
            )

    # ---------------------------------------------------------------------------------- predictions

    def _raw(self, X):
        """Raw predictions, of shape (n_samples, n rows of coef_)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        coef = self.coef_ if sparse.issparse(self.coef_) else np.atleast_2d(self.coef_)
        return safe_sparse_dot(X, coef.T, dense_output=True) + self.intercept_

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

        Returns
        -------
        self : object
            Fitted estimator; it predicts, and can be trained further, as before.
        """
        check_is_fitted(self)
        self.coef_ = sparse.csr_matrix(np.atleast_2d(self.coef_))
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
