"""Linear models that minimise the loss under attack."""

import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import column_or_1d
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from sklearn_losses._array import check_on_host
from sklearn_losses._interval import NON_NEGATIVE, POSITIVE
from sklearn_losses._parameters import check_integer, check_number
from sklearn_losses.adversarial._attack import adversarial_score, radius_of
from sklearn_losses.adversarial._fit import Problem
from sklearn_losses.adversarial._norms import norm_of
from sklearn_losses.adversarial._pieces import check_loss, never_ends
from sklearn_losses.linear_model._validation import Validation
from sklearn_losses.losses import get_loss

# The most features: a matrix of as many rows and columns is factored.
MOST = 5000


class _Adversarial(Validation, BaseEstimator):
    """What both estimators share."""

    def __init__(
        self,
        loss,
        *,
        eps="auto",
        norm="inf",
        eps_unit="X",
        alpha=0.0,
        fit_intercept=True,
        tol=1e-6,
        max_iter=300,
    ):
        self.loss = loss
        self.eps = eps
        self.norm = norm
        self.eps_unit = eps_unit
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    def _settings(self):
        """Parameters, checked: norm's class, alpha, tol, max_iter."""
        owner = type(self).__name__
        if self.eps_unit not in ("X", "std"):
            raise ValueError(f"{owner}: eps_unit must be 'X' or 'std'; got {self.eps_unit!r}")
        if not isinstance(self.fit_intercept, bool | np.bool_):
            raise ValueError(
                f"{owner}: fit_intercept must be True or False; got {self.fit_intercept!r}"
            )
        return (
            norm_of(owner, self.norm),
            check_number(owner, "alpha", self.alpha, NON_NEGATIVE),
            check_number(owner, "tol", self.tol, POSITIVE),
            check_integer(owner, "max_iter", self.max_iter),
        )

    def _is_auto(self):
        return isinstance(self.eps, str) and self.eps == "auto"

    def _checked_loss(self):
        loss = get_loss(self.loss)
        check_loss(loss, type(self).__name__)
        return loss

    def _checked(self, X, y, sample_weight, **options):
        check_on_host(type(self).__name__, X=X, y=y, sample_weight=sample_weight)
        X, y = self._validate(X, y, reset=True, **options)
        if X.shape[1] > MOST:
            raise ValueError(
                f"{type(self).__name__} factors a matrix of as many rows and columns as there are "
                f"features; it takes at most {MOST}, and X has {X.shape[1]}"
            )
        return X, y, self._check_weights(sample_weight, X)

    def _solved(self, loss, X, y, weight, settings):
        """One output: its solution and the radius of the attack in each feature."""
        kind, alpha, tol, max_iter = settings
        problem = Problem(loss, X, y, weight, bool(self.fit_intercept))
        if self._is_auto():
            n = len(y) if weight is None else float(weight.sum())
            radius = problem.own_eps(kind, n) * problem.spread
        else:
            radius = radius_of(type(self).__name__, self.eps, X.shape[1])
            radius = radius * problem.spread if self.eps_unit == "std" else radius
        return problem.solve(kind, radius, alpha, tol, max_iter), radius

    def _commit(self, made, X, loss):
        """The attributes of solutions, one an output."""
        fits = [fit for fit, _ in made]
        self.loss_ = loss
        self.coef_ = np.array([fit.coef for fit in fits]).astype(X.dtype)
        self.intercept_ = np.array([fit.intercept for fit in fits]).astype(X.dtype)
        self.radius_ = np.array([radius for _, radius in made])
        self.objective_ = float(sum(fit.objective for fit in fits))
        self.dual_gap_ = float(sum(fit.gap for fit in fits))
        self.n_iter_ = max(1, *(fit.n_iter for fit in fits))

    def _warn(self, made, parted=False):
        if parted:
            warnings.warn(
                "No attack of this size gets a training sample across the boundary: the loss falls "
                "for ever as weights grow, and has no minimum. Take a larger eps, or alpha > 0.",
                ConvergenceWarning,
                stacklevel=3,
            )
        elif not all(fit.met for fit, _ in made):
            warnings.warn(
                f"The fit ended {self.dual_gap_:.3g} above a lower bound of the objective "
                f"{self.objective_:.6g}, which is more than tol={self.tol:g} allows. Consider a "
                "larger max_iter or tol, an intercept, or columns of like size.",
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

    def _raw(self, X):
        """Raw predictions, of shape (n_samples, n rows of coef_)."""
        check_is_fitted(self)
        check_on_host(type(self).__name__, X=X)
        X = self._check_samples(X)
        coef = np.atleast_2d(self.coef_)
        return safe_sparse_dot(X, coef.T, dense_output=True) + self.intercept_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class AdversarialRegressor(RegressorMixin, _Adversarial):
    """Linear regression that is trained against attacks on its inputs.

    It minimises ``mean(sample_weight * max over |dx / eps|_p <= 1 of loss(y, (x + dx) @ coef_ +
    intercept_)) + alpha * |coef_|^2 / 2``. The inner maximum is closed: raw predictions move by at
    most ``t = |eps * coef_|_q``, ``1 / p + 1 / q = 1``, and a convex loss is largest at one of the
    two ends. The problem is convex, and is solved to a proven gap.

    With ``norm="inf"`` it sets coefficients to zero as the lasso does, with ``norm=2`` it shrinks
    them as ridge regression does, but the strength needs no knowledge of the noise: it is a
    distance in X [1]_.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        Any convex regression loss, with or without kinks, symmetric or not, of any link: "huber",
        "quantile", "expectile", "poisson", ...
    eps : "auto", float or array-like of shape (n_features,), default="auto"
        The size of the attack, for all features or for each, in [0, inf). "auto": that multiple of
        each feature's standard deviation from which on targets without any relation to X are taken
        for noise, with all coefficients 0, with probability 0.95. It does not depend on how large
        the noise is.
    norm : {"inf", 2, 1}, default="inf"
        Of the attack. "inf": every feature may be off by `eps`; 1: all changes together.
    eps_unit : {"X", "std"}, default="X"
        Whether a number is in units of X, or in standard deviations of each feature (root mean
        squares, without an intercept).
    alpha : float, default=0.0
        Strength of an L2 penalty beside it, in [0, inf).
    fit_intercept : bool, default=True
    tol : float, default=1e-6
        The gap between the objective and its lower bound, beside the objective above its least
        conceivable value, at which a fit ends; in (0, inf).
    max_iter : int, default=300
        The most steps of the interior point method, in [1, inf).

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        In X's dtype.
    intercept_ : float
    radius_ : ndarray of shape (n_features,)
        How far the attack goes in each feature, in units of X.
    objective_ : float
        What was minimised, at the solution.
    dual_gap_ : float
        At most so far above the minimum is it, unless the minimum's coefficients are more than ten
        times as large as these; then it is at most so many times that as they are further away.
    loss_ : Loss
    n_iter_ : int
        Steps.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Where X has string names.

    See Also
    --------
    AdversarialClassifier : The same for classes.
    adversarial_loss : The loss under attack of any linear model.

    Notes
    -----
    A step factors a matrix of n_features rows and columns, and sums it up over the samples: 100,000
    samples of 100 features take two to five seconds on one core. From 5,000 features on it is
    refused. A loss whose parameter is less than a thousandth of the residuals, as "huber" with its
    delta of 0.1 for prices in dollars, takes many steps, or is left with a warning.

    References
    ----------
    .. [1] Ribeiro, A. H., Zachariah, D., Bach, F. and Schon, T. B. (2023). Regularization
       properties of adversarially-trained linear regression. NeurIPS.
    .. [2] Ribeiro, A. H., Schon, T. B., Zachariah, D. and Bach, F. (2025). Efficient optimization
       algorithms for linear adversarial training. AISTATS.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import AdversarialRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = AdversarialRegressor().fit(X, y)
    >>> int((model.coef_ != 0).sum()), round(model.score(X, y), 2)
    (4, 0.47)
    """

    def __init__(
        self,
        loss="squared_error",
        *,
        eps="auto",
        norm="inf",
        eps_unit="X",
        alpha=0.0,
        fit_intercept=True,
        tol=1e-6,
        max_iter=300,
    ):
        super().__init__(
            loss,
            eps=eps,
            norm=norm,
            eps_unit=eps_unit,
            alpha=alpha,
            fit_intercept=fit_intercept,
            tol=tol,
            max_iter=max_iter,
        )

    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Not negative; a weight of 2 is two copies.

        Returns
        -------
        self : AdversarialRegressor

        Warns
        -----
        ConvergenceWarning
            Where the gap is more than `tol` allows.
        """
        settings, loss = self._settings(), self._checked_loss()
        if loss.task != "regression":
            raise ValueError(
                f"{type(self).__name__}: {type(loss).__name__} is a loss for classes; use "
                "AdversarialClassifier"
            )
        with self._unchanged_on_error():
            X, y, weight = self._checked(X, y, sample_weight, y_numeric=True)
            y = np.ascontiguousarray(column_or_1d(y, warn=True), dtype=np.float64)
            loss._check_y(y)
            made = [self._solved(loss, X, y, weight, settings)]
            self._commit(made, X, loss)
            self.coef_, self.intercept_ = self.coef_[0], self.intercept_[0]
            self.radius_ = self.radius_[0]
        self._warn(made)
        return self

    def predict(self, X):
        """Predictions: the loss's inverse link of the linear ones.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        raw = np.ascontiguousarray(self._raw(X)[:, 0])
        return self.loss_.predict(raw)

    def adversarial_score(self, X, y, sample_weight=None, *, eps=None):
        """R² where an adversary moves every sample as is worst for it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        eps : float, array-like of shape (n_features,) or None, default=None
            The size of the attack, in units of X; None: the one that was trained for.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        eps = self.radius_ if eps is None else eps
        return adversarial_score(self, X, y, eps=eps, norm=self.norm, sample_weight=sample_weight)


def _gives_probability(model):
    loss = get_loss(model.loss)
    if not loss.gives_probability:
        raise AttributeError(f"predict_proba needs a loss of probabilities; got {loss!r}")
    return True


class AdversarialClassifier(ClassifierMixin, _Adversarial):
    """Linear classifier that is trained against attacks on its inputs.

    It minimises ``mean(sample_weight * max over |dx / eps|_p <= 1 of loss(y, (x + dx) @ coef_ +
    intercept_)) + alpha * |coef_|^2 / 2``. The inner maximum is closed: of a loss that falls with
    the margin it is at the margin less ``t = |eps * coef_|_q``, ``1 / p + 1 / q = 1``. With the
    hinge loss this is the robust form of the support vector machine [1]_. The problem is convex,
    and is solved to a proven gap.

    Parameters
    ----------
    loss : str or Loss, default="log_loss"
        Any convex binary loss: "hinge", "squared_hinge", "smooth_hinge", "exponential",
        "modified_huber", ... More than two classes are trained one against the rest, each against
        attacks of its own. ("multinomial", whose worst case is not closed, is refused.)
    eps : "auto", float or array-like of shape (n_features,), default="auto"
        The size of the attack, for all features or for each, in [0, inf). "auto": that multiple of
        each feature's standard deviation from which on labels without any relation to X are taken
        for noise, with all coefficients 0, with probability 0.95.
    norm : {"inf", 2, 1}, default="inf"
        Of the attack. "inf": every feature may be off by `eps`; 1: all changes together.
    eps_unit : {"X", "std"}, default="X"
        Whether a number is in units of X, or in standard deviations of each feature (root mean
        squares, without an intercept).
    alpha : float, default=0.0
        Strength of an L2 penalty beside it, in [0, inf).
    fit_intercept : bool, default=True
    tol : float, default=1e-6
        The gap between the objective and its lower bound, beside the objective above its least
        conceivable value, at which a fit ends; in (0, inf).
    max_iter : int, default=300
        The most steps of the interior point method, in [1, inf).

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) for two classes, else (n_classes, n_features)
        In X's dtype.
    intercept_ : ndarray of shape (1,) for two classes, else (n_classes,)
    classes_ : ndarray of shape (n_classes,)
    radius_ : ndarray of shape (1 or n_classes, n_features)
        How far the attack goes in each feature, in units of X; the rows differ with "auto" alone.
    objective_ : float
        What was minimised, at the solution; with one-vs-rest the sum over the classes.
    dual_gap_ : float
        At most so far above the minimum is it, unless the minimum's coefficients are more than ten
        times as large as these; then it is at most so many times that as they are further away.
    loss_ : Loss
    n_iter_ : int
        Steps; with one-vs-rest, of the class that took most.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Where X has string names.

    See Also
    --------
    AdversarialRegressor : The same for regression.
    adversarial_score : The accuracy under attack of any linear model.

    References
    ----------
    .. [1] Xu, H., Caramanis, C. and Mannor, S. (2009). Robustness and regularization of support
       vector machines. JMLR 10, 1485-1510.
    .. [2] Ribeiro, A. H., Schon, T. B., Zachariah, D. and Bach, F. (2025). Efficient optimization
       algorithms for linear adversarial training. AISTATS.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_losses import AdversarialClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = AdversarialClassifier(eps=0.1, eps_unit="std").fit(X, y)
    >>> round(model.score(X, y), 2), round(model.adversarial_score(X, y), 2)
    (0.98, 0.94)
    """

    def __init__(
        self,
        loss="log_loss",
        *,
        eps="auto",
        norm="inf",
        eps_unit="X",
        alpha=0.0,
        fit_intercept=True,
        tol=1e-6,
        max_iter=300,
    ):
        super().__init__(
            loss,
            eps=eps,
            norm=norm,
            eps_unit=eps_unit,
            alpha=alpha,
            fit_intercept=fit_intercept,
            tol=tol,
            max_iter=max_iter,
        )

    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Not negative; a weight of 2 is two copies.

        Returns
        -------
        self : AdversarialClassifier

        Warns
        -----
        ConvergenceWarning
            Where the gap is more than `tol` allows, or there is no minimum: as for "log_loss" on
            classes that no attack of this size mixes.
        """
        settings, loss = self._settings(), self._checked_loss()
        if loss.task != "binary":
            raise ValueError(
                f"{type(self).__name__}: {type(loss).__name__} is a loss for regression; take one "
                "of two classes, as 'log_loss' or 'hinge'"
            )
        with self._unchanged_on_error():
            X, y, weight = self._checked(X, y, sample_weight)
            y = column_or_1d(y, warn=True)
            check_classification_targets(y)
            classes, codes = np.unique(y, return_inverse=True)
            if len(classes) < 2:
                raise ValueError(
                    f"{type(self).__name__}: y must hold at least two classes; got one class"
                )
            rows = [1] if len(classes) == 2 else range(len(classes))
            targets = [np.where(codes == k, 1.0, 0.0) for k in rows]
            made = [self._solved(loss, X, target, weight, settings) for target in targets]
            self._commit(made, X, loss)
            self.classes_ = classes
            parted = settings[1] == 0 and self._parted(X, targets, weight, settings[0])
        self._warn(made, parted)
        return self

    def _parted(self, X, targets, weight, kind):
        """Whether some row has no minimum: the loss never ends, and no attack mixes the classes."""
        if not never_ends(self.loss_):
            return False
        raw = safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_
        for k, target in enumerate(targets):
            t = float(kind.dual(self.radius_[k] * self.coef_[k]))
            margin = (2 * target - 1) * raw[:, k] - t
            margin = margin if weight is None else margin[weight > 0]
            if margin.min() > 0:
                return True
        return False

    def decision_function(self, X):
        """Raw predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        raw : ndarray of shape (n_samples,) for two classes, else (n_samples, n_classes)
        """
        raw = self._raw(X)
        return raw[:, 0] if raw.shape[1] == 1 else raw

    def predict(self, X):
        """Labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        raw = self._raw(X)
        codes = (raw[:, 0] > 0).astype(int) if raw.shape[1] == 1 else raw.argmax(axis=1)
        return self.classes_[codes]

    @available_if(_gives_probability)
    def predict_proba(self, X):
        """Probabilities of the classes, of samples that nobody attacks; with one-vs-rest each
        class's, over their sum.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
        """
        raw = self._raw(X)
        proba = np.column_stack([self.loss_.predict(np.ascontiguousarray(r)) for r in raw.T])
        if proba.shape[1] == 1:
            return np.column_stack([1 - proba[:, 0], proba[:, 0]])
        total = proba.sum(axis=1, keepdims=True)
        even = np.full_like(proba, 1.0 / proba.shape[1])
        return np.divide(proba, total, out=even, where=total > 0)

    def adversarial_score(self, X, y, sample_weight=None, *, eps=None):
        """Accuracy where an adversary moves every sample as is worst for it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        eps : float, array-like of shape (n_features,) or None, default=None
            The size of the attack, in units of X; None: the one that was trained for, with "auto"
            and several classes the largest of theirs.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        eps = self.radius_.max(axis=0) if eps is None else eps
        return adversarial_score(self, X, y, eps=eps, norm=self.norm, sample_weight=sample_weight)
