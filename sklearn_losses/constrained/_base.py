"""What the estimators with constraints share."""

import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import column_or_1d
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from sklearn_losses._array import check_on_host
from sklearn_losses._interval import NON_NEGATIVE, POSITIVE, UNIT
from sklearn_losses._parameters import check_integer, check_number
from sklearn_losses.constrained._problem import Problem
from sklearn_losses.linear_model._validation import Validation
from sklearn_losses.losses import get_loss

# The most features: a matrix of as many rows and columns is factored.
MOST = 5000


def check_loss(owner, loss, task):
    """Raise where a loss is none that the solver takes."""
    name = type(loss).__name__
    other = "a loss for two classes, as 'log_loss'" if task == "binary" else "one of regression"
    several = loss.is_joint or loss.is_multiclass
    reasons = (
        (several, "is none of one raw prediction a sample"),
        (not several and loss.task != task, f"is for another task; take {other}"),
        (not several and loss._holds_several(), "must hold one value for each parameter"),
        (not several and loss._auto(), "needs numbers for its parameters, as with_scale_of(y)"),
        (not loss.convex, "is not convex, so that a fit may end anywhere"),
    )
    for wrong, reason in reasons:
        if wrong:
            raise ValueError(f"{owner}: {name} {reason}; got {loss!r}")
    loss._resolve()
    if not loss.differentiable and loss._terms(np.zeros(1)) is None:
        raise ValueError(
            f"{owner}: {name} has no derivative, and no lines that it is made of; got {loss!r}"
        )


class Constrained(Validation, BaseEstimator):
    """Base class: parameters, checked data, a solution and what is shown of it."""

    _task = None

    def _settings(self):
        """Checked: l1, l2, tol, max_iter."""
        owner = type(self).__name__
        if not isinstance(self.fit_intercept, bool | np.bool_):
            raise ValueError(
                f"{owner}: fit_intercept must be True or False; got {self.fit_intercept!r}"
            )
        alpha = check_number(owner, "alpha", self.alpha, NON_NEGATIVE)
        share = check_number(owner, "l1_ratio", self.l1_ratio, UNIT)
        tol = check_number(owner, "tol", self.tol, POSITIVE)
        return (
            alpha * share,
            alpha * (1.0 - share),
            tol,
            check_integer(owner, "max_iter", self.max_iter),
        )

    def _checked_loss(self):
        loss = get_loss(self.loss)
        check_loss(type(self).__name__, loss, self._task)
        return loss

    def _checked(self, X, y, sample_weight, **options):
        check_on_host(type(self).__name__, X=X, y=y, sample_weight=sample_weight)
        X, y = self._validate(X, y, reset=True, **options)
        if X.shape[1] > MOST:
            raise ValueError(
                f"{type(self).__name__} factors a matrix of as many rows and columns as there are "
                f"features; it takes at most {MOST}, and X has {X.shape[1]}"
            )
        return X, column_or_1d(y, warn=True), self._check_weights(sample_weight, X)

    def _solved(self, loss, samples, linear, settings, groups=None):
        """A fit of (X, y, weight, offset), all of whose weights are positive."""
        l1, l2, tol, max_iter = settings
        problem = Problem(loss, *samples, bool(self.fit_intercept), l1, l2, linear, groups)
        return problem.solve(tol, max_iter)

    def _commit(self, found, X, loss):
        self.loss_ = loss
        self.coef_ = found.coef.astype(X.dtype)
        self.intercept_ = X.dtype.type(found.intercept)
        self.objective_ = float(found.objective)
        self.n_iter_ = max(1, found.n_iter)

    def _warn(self, found):
        if not found.met:
            warnings.warn(
                f"The fit ended after {found.n_iter} steps, about {found.gap:.3g} above the "
                f"minimum, which is more than tol={self.tol:g} allows. There may be none, as with "
                "'log_loss' where a line parts the classes and alpha=0: take alpha > 0, or a "
                "larger max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )

    @contextmanager
    def _unchanged_on_error(self):
        """A fit that fails leaves the estimator as it was."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _raw(self, X, offset=None):
        check_is_fitted(self)
        check_on_host(type(self).__name__, X=X)
        X = self._check_samples(X)
        raw = safe_sparse_dot(X, self.coef_.ravel(), dense_output=True)
        raw = raw + np.ravel(self.intercept_)
        offset = self._check_offset(offset, X, 1)
        return np.ascontiguousarray(raw if offset is None else raw + offset)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def counted(weight, *arrays):
    """Arrays by sample without the samples whose weight is 0; weights first."""
    if weight is None or (weight > 0).all():
        return weight, *arrays
    at = np.flatnonzero(weight > 0)
    return weight[at], *(None if array is None else array[at] for array in arrays)


class ConstrainedRegression(RegressorMixin, Constrained):
    """Targets and predictions that are numbers."""

    _task = "regression"

    def _targets(self, X, y, sample_weight, loss):
        X, y, weight = self._checked(X, y, sample_weight, y_numeric=True)
        y = np.ascontiguousarray(y, dtype=np.float64)
        loss._check_y(y)
        return X, y, weight


def _gives_probability(model):
    loss = get_loss(model.loss)
    if not loss.gives_probability:
        raise AttributeError(f"predict_proba needs a loss of probabilities; got {loss!r}")
    return True


class BinaryClassification(ClassifierMixin, Constrained):
    """Targets of two classes, and what is predicted of them."""

    _task = "binary"

    def _targets(self, X, y, sample_weight, loss):
        X, y, weight = self._checked(X, y, sample_weight)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"{type(self).__name__}: y must hold two classes; got one class")
        if len(classes) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is "
                f"{type_of_target(y)}: {type(self).__name__} got {len(classes)} classes"
            )
        if weight is not None and len(np.unique(codes[weight > 0])) < 2:
            raise ValueError(
                f"{type(self).__name__}: y must hold two classes among samples whose weight is "
                "not 0; got one class"
            )
        self.classes_ = classes
        return X, codes.astype(np.float64), weight

    def _commit(self, found, X, loss):
        super()._commit(found, X, loss)
        self.coef_, self.intercept_ = self.coef_[None], np.full(1, self.intercept_)

    def decision_function(self, X):
        """Raw predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        raw : ndarray of shape (n_samples,)
        """
        return self._raw(X)

    def predict(self, X):
        """Labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        raw = self.decision_function(X)
        return self.classes_[(raw > 0).astype(int)]

    @available_if(_gives_probability)
    def predict_proba(self, X):
        """Probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, 2)
        """
        raw = self._raw(X)
        proba = self.loss_.predict(raw)
        return np.column_stack([1 - proba, proba])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
