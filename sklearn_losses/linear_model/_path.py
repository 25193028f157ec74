"""Fits along strengths of the penalty, each from where the last ended, and the choice among them by
cross-validation."""

import copy
import warnings
from dataclasses import replace

import numpy as np
from joblib import Parallel, delayed
from sklearn import config_context
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_losses._array import array_namespace, to_host
from sklearn_losses._kernels._threads import DuringAFit
from sklearn_losses._parameters import check_integer
from sklearn_losses._solvers.engines import make_problem
from sklearn_losses._solvers.fit import Fit
from sklearn_losses._solvers.newton import ProximalNewton
from sklearn_losses._solvers.reference import reference_of
from sklearn_losses.linear_model._assembly import assemble
from sklearn_losses.linear_model._auto_scale import with_numbers
from sklearn_losses.linear_model._base import BaseSGD
from sklearn_losses.linear_model._outcome import commit
from sklearn_losses.linear_model._request import Call, Samples
from sklearn_losses.schedules import LossSchedule

# The share of the L1 part that the largest alpha is made for where there is less, as in glmnet.
LEAST_SHARE = 1e-3
HALVINGS = 60


def alpha_path(
    estimator, X, y, *, alphas=None, n_alphas=100, eps=1e-3, sample_weight=None, offset=None
):
    """Models along strengths of the penalty, each fitted from where the last one ended.

    With ``optimizer="newton"``, or "auto" where it stands for that, the data are looked at once,
    the columns of one model are the start of the next, and columns are screened by the sequential
    strong rule [1]_, whose mistakes the optimality condition of all columns finds. With the others
    it is a fit after the other, each from the last one's coefficients.

    Parameters
    ----------
    estimator : SGDRegressorX or SGDClassifierX
        Not fitted itself. Its `alpha` counts for nothing.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    alphas : array-like of shape (n_alphas,) or None, default=None
        Strengths, in (0, inf). None: `n_alphas` from the least at which all weights are 0 (about
        that, where the loss has kinks; with less than a thousandth of L1 in the penalty, that of a
        thousandth) down to `eps` times it, evenly on a logarithmic scale.
    n_alphas : int, default=100
        At least 1.
    eps : float, default=1e-3
        In (0, 1).
    sample_weight : array-like of shape (n_samples,) or None, default=None
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs) or None, default=None

    Returns
    -------
    models : list of estimators
        Fitted, from the largest alpha to the least; each has its own `alpha`.

    Raises
    ------
    TypeError
        For another estimator.
    ValueError
        For alphas, `n_alphas` or `eps` outside their ranges, `early_stopping`, an estimator without
        a penalty, and what `fit` refuses.

    Warns
    -----
    ConvergenceWarning
        Once, where some of them did not converge.

    References
    ----------
    .. [1] Tibshirani, R., Bien, J., Friedman, J., Hastie, T., Simon, N., Taylor, J. and Tibshirani,
       R. J. (2012). Strong rules for discarding predictors in lasso-type problems. JRSS B 74,
       245-266.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import SGDRegressorX, alpha_path
    >>> X, y = load_diabetes(return_X_y=True)
    >>> models = alpha_path(SGDRegressorX(penalty="l1", optimizer="auto"), X, y, n_alphas=5)
    >>> [int((model.coef_ != 0).sum()) for model in models]
    [0, 4, 7, 9, 10]
    """
    samples = Samples(X, y, sample_weight, offset)
    return _Path(estimator, samples).models(alphas, n_alphas, eps)


class _Path:
    """The fits of an estimator along strengths."""

    def __init__(self, estimator, samples):
        if not isinstance(estimator, BaseSGD):
            raise TypeError(
                "estimator must be an SGDRegressorX or an SGDClassifierX; got "
                f"{type(estimator).__name__}"
            )
        if estimator.early_stopping:
            raise ValueError("early_stopping should be False along a path of alphas")
        if isinstance(estimator.loss, LossSchedule):
            raise ValueError(
                "a path goes from the fit of one alpha to the next, and a LossSchedule through "
                "losses; give the path its last loss, or search over alpha with GridSearchCV"
            )
        self.estimator, self.samples = estimator, samples
        # Whether the penalty counts, and all that the data are checked for, are those of 1.
        self.first = clone(estimator).set_params(alpha=1.0, warm_start=False)
        self.first._validate_params()
        loss, optimizer = self.first._check_parameters()
        with self.first._computing_on(samples), DuringAFit():
            request = self.first._request(Call(samples, loss, optimizer))
            self.request = with_numbers(self.first, request)

    def alphas(self, given, n_alphas, eps):
        """Those given, checked, or a grid; the largest first."""
        if given is not None:
            given = np.sort(np.atleast_1d(np.asarray(given, dtype=np.float64)).ravel())[::-1]
            if not (len(given) and np.all((given > 0) & np.isfinite(given))):
                raise ValueError(f"alphas must be numbers in (0, inf); got {given[::-1]}")
            return given
        check_integer("alpha_path", "n_alphas", n_alphas)
        if not 0 < eps < 1:
            raise ValueError(f"eps must be in (0, 1); got {eps!r}")
        most = self.largest()
        return most * np.logspace(0, np.log10(eps), n_alphas) if n_alphas > 1 else np.array([most])

    def largest(self):
        """The least alpha at which all weights are 0."""
        most = 0.0
        for data in self.request.datas:
            settings = self.request.settings
            reference = reference_of(data, settings)
            zeros = array_namespace(data.X).zeros((data.n_outputs, data.X.shape[1]), data.X.dtype)
            _, gradient, _ = make_problem(data, settings).value_gradient(zeros, reference.constants)
            most = max(most, self._largest(settings, np.abs(to_host(gradient))))
        if not most > 0:
            raise ValueError("alphas must be given: no weight leaves 0, whatever alpha is")
        return most

    def _largest(self, settings, gradient):
        if not settings.penalised:
            raise ValueError("alphas have no effect without a penalty")
        sums = settings.sums()
        if sums is not None:
            l1, l2 = np.broadcast_arrays(*sums, gradient[0])[:2]
            slope = np.maximum(l1, LEAST_SHARE * (l1 + l2))
            held = slope > 0
            return float((gradient[:, held] / slope[held]).max(initial=0.0))
        if settings.parts() is not None:
            raise ValueError(
                f"alphas must be given: with {settings.own.penalty!r} there is no alpha at which "
                "all weights are 0"
            )
        zeros, low, high = np.zeros(gradient.shape), 0.0, 1.0

        def leaves(alpha):
            return replace(settings.own, alpha=alpha).violation(zeros, gradient).any()

        while leaves(high) and high < 1e300:
            low, high = high, 4.0 * high
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high) if low > 0 else high / 4.0
            low, high = (middle, high) if leaves(middle) else (low, middle)
        return high

    def models(self, alphas, n_alphas=100, eps=1e-3):
        alphas = self.alphas(alphas, n_alphas, eps)
        with warnings.catch_warnings(), DuringAFit():
            warnings.simplefilter("ignore", ConvergenceWarning)
            way = self._followed if self.request.kind is ProximalNewton else self._one_by_one
            made = list(way(alphas))
        ends = {"converged"}
        if self.request.settings.tol is None:  # fits go on until nothing is lower
            ends.add("line_search")
        failed = [m.alpha for m in made if m.stop_reason_ not in ends]
        if failed:
            warnings.warn(
                f"{len(failed)} of {len(made)} fits along the path did not converge, the first at "
                f"alpha={failed[0]:.3g}. Consider more iterations (max_iter) or a larger tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return made

    def _one_by_one(self, alphas):
        start = {}
        weights = {"sample_weight": self.samples.sample_weight, "offset": self.samples.offset}
        for alpha in alphas:
            model = clone(self.estimator).set_params(alpha=float(alpha), warm_start=False)
            model.fit(self.samples.X, self.samples.y, **start, **weights)
            start = {"coef_init": model.coef_, "intercept_init": model.intercept_}
            yield model

    def _followed(self, alphas):
        request, descent = self.request, None
        for alpha in map(float, alphas):
            settings = replace(request.settings, alpha=alpha)
            if settings.own is not None:
                settings = replace(settings, own=replace(settings.own, alpha=alpha))
            model = copy.copy(self.first)
            for name, value in self.first.get_params(deep=False).items():
                if hasattr(value, "get_params"):  # objects may be changed in place
                    setattr(model, name, clone(value))
            model.alpha, model.warm_start = alpha, self.estimator.warm_start
            now = replace(request, settings=settings)
            if descent is None:
                (fit,), _ = assemble(model, now)
                descent = fit.descent
            else:
                descent.follow(settings)
                fit = Fit(descent, settings, now.loss, reference=descent.reference)
            fit.run()
            commit(model, now, [fit], None)
            model._kept = None  # another fit starts anew
            model._fitted_with_offset = self.samples.offset is not None
            yield model


def _delegates(name):
    """Whether the estimator has a method of that name."""

    def check(search):
        getattr(getattr(search, "best_estimator_", search.estimator), name)
        return True

    return check


class AlphaSearchCV(MetaEstimatorMixin, BaseEstimator):
    """The strength of the penalty by cross-validation, along a path in each fold.

    What `GridSearchCV` over `alpha` finds, sooner: the fits of a fold go on from each other (see
    `alpha_path`). Attributes of the best model, such as `coef_`, are those of `best_estimator_`.

    Parameters
    ----------
    estimator : SGDRegressorX or SGDClassifierX
    alphas, n_alphas, eps
        As of `alpha_path`; the grid is that of all samples.
    cv : int, cross-validation generator, iterable or None, default=None
        As of `GridSearchCV`.
    scoring : str, callable or None, default=None
        As of `GridSearchCV`. None: the estimator's `score`.
    n_jobs : int or None, default=None
        Folds that are fitted side by side.

    Attributes
    ----------
    alphas_ : ndarray of shape (n_alphas,)
        The largest first.
    scores_ : ndarray of shape (n_alphas, n_folds)
    alpha_ : float
        The one with the best mean score; of equal ones the largest.
    best_score_ : float
    best_estimator_ : estimator
        Fitted on all samples with `alpha_`.
    n_features_in_ : int

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import AlphaSearchCV, SGDRegressorX
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SGDRegressorX("huber", epsilon="auto", penalty="l1", optimizer="auto")
    >>> int((AlphaSearchCV(model).fit(X, y).coef_ != 0).sum())
    7
    """

    def __init__(
        self,
        estimator,
        *,
        alphas=None,
        n_alphas=100,
        eps=1e-3,
        cv=None,
        scoring=None,
        n_jobs=None,
    ):
        self.estimator = estimator
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs

    def fit(self, X, y, sample_weight=None, *, offset=None, groups=None):
        """Choose alpha, and fit with it on all samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Of fits and scores.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs) or None, default=None
        groups : array-like of shape (n_samples,) or None, default=None
            For `cv`.

        Returns
        -------
        self : AlphaSearchCV
        """
        scorer = check_scoring(self.estimator, self.scoring)
        whole = _Path(self.estimator, Samples(X, y, sample_weight, offset))
        alphas = whole.alphas(self.alphas, self.n_alphas, self.eps)
        folds = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        arguments = (self.estimator, alphas, scorer, Samples(X, y, sample_weight, offset))
        scores = Parallel(n_jobs=self.n_jobs)(
            delayed(_scores)(*arguments, *fold) for fold in folds.split(X, y, groups)
        )
        self.alphas_, self.scores_ = alphas, np.array(scores).T
        means = self.scores_.mean(axis=1)
        if np.isnan(means).any():
            raise ValueError(f"scoring gave nan for alpha={alphas[int(np.isnan(means).argmax())]}")
        best = int(np.argmax(means))
        self.alpha_, self.best_score_ = float(alphas[best]), float(means[best])
        self.best_estimator_ = whole.models(alphas[: best + 1])[-1]
        self.n_features_in_ = self.best_estimator_.n_features_in_
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        of_estimator = self.estimator.__sklearn_tags__()
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "input_tags"):
            setattr(tags, name, getattr(of_estimator, name))
        return tags

    def __getattr__(self, name):
        # coef_, classes_, ...: what fitting found, of the best.
        if name.endswith("_") and not name.startswith("_") and "best_estimator_" in self.__dict__:
            return getattr(self.best_estimator_, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _call(self, name, *args, **options):
        check_is_fitted(self, "best_estimator_")
        return getattr(self.best_estimator_, name)(*args, **options)

    def predict(self, X, offset=None):
        """Those of the best model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like or None, default=None

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        return self._call("predict", X, offset=offset)

    @available_if(_delegates("predict_proba"))
    def predict_proba(self, X, offset=None):
        """Those of the best model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like or None, default=None

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
        """
        return self._call("predict_proba", X, offset=offset)

    @available_if(_delegates("decision_function"))
    def decision_function(self, X, offset=None):
        """That of the best model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like or None, default=None

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        return self._call("decision_function", X, offset=offset)

    def score(self, X, y, sample_weight=None, *, offset=None):
        """That of the best model, by `scoring`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        offset : array-like or None, default=None

        Returns
        -------
        score : float
        """
        check_is_fitted(self, "best_estimator_")
        given = {"sample_weight": sample_weight, "offset": offset}
        given = {name: array for name, array in given.items() if array is not None}
        scorer = check_scoring(self.best_estimator_, self.scoring)
        return scorer(self.best_estimator_, X, y, **given)


def _scores(estimator, alphas, scorer, samples, train, test):
    """Of a path on some samples, on others."""
    of = [
        Samples(*(None if part is None else _safe_indexing(part, rows) for part in samples))
        for rows in (train, test)
    ]
    given = {"sample_weight": of[1].sample_weight, "offset": of[1].offset}
    given = {name: array for name, array in given.items() if array is not None}
    models = _Path(estimator, of[0]).models(alphas)
    # The samples have been looked at.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        return [scorer(model, of[1].X, of[1].y, **given) for model in models]
