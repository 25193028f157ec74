"""Linear classification by stochastic gradient descent."""

from functools import partial
from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d, compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import validate_data

from sklearn_losses._sklearn_compat import StrOptions, fit_context
from sklearn_losses._solvers.sgd import Settings, descend, one_vs_rest
from sklearn_losses.linear_model._base import MAX_INT, BaseSGD
from sklearn_losses.links import IdentityLink


def _gives_probability(estimator):
    """Whether the estimator's loss gives probabilities; an AttributeError that says so where
    not."""
    try:
        given = estimator._resolve_loss().gives_probability
    except ValueError:  # an unknown name: `fit` says which there are
        given = False
    if not given:
        raise AttributeError(f"probability estimates are not available for loss={estimator.loss!r}")
    return True


class _Task(NamedTuple):
    """What the fits of all classes have in common."""

    X: object
    codes: np.ndarray
    sample_weight: np.ndarray | None
    settings: Settings
    loss: object
    t: float


class SGDClassifierX(ClassifierMixin, BaseSGD):
    """Linear classifier of any loss, trained by stochastic gradient descent.

    It minimises ``mean(sample_weight * loss(y, X @ coef_ + intercept_)) + alpha * penalty(coef_)``.
    The L1 penalty is the cumulative one of [3]_.

    Parameters
    ----------
    loss : str or Loss, default="hinge"
        A name in `sklearn_losses.LOSSES`, or a loss object, whose parameters can be searched over
        as
        ``loss__gamma``.

        - Binary losses ("hinge", "log_loss", "focal", ...): more than two classes are trained one
          against the rest.
        - Row-wise losses ("multinomial", "multiclass_hinge", ...) train all classes at once. What
          they need to know of the classes, and is not set, is taken from y.
        - Regression losses with an identity link: as binary losses, on y of -1 and 1.
    penalty : {"l2", "l1", "elasticnet"} or None, default="l2"
        ``alpha * ||w||^2 / 2``, ``alpha * ||w||_1``, or a mixture of the two.
    alpha : float, default=0.0001
        Strength of the penalty, in [0, inf). The learning rate "optimal" depends on it too.
    l1_ratio : float or None, default=0.15
        Share of the L1 penalty in "elasticnet", in [0, 1].
    fit_intercept : bool, default=True
        Whether there is an intercept; it is never penalised.
    max_iter : int, default=1000
        The most epochs (passes over the data) that `fit` makes, in [1, inf).
    tol : float or None, default=1e-3
        An epoch must lower the objective (with early stopping: raise the validation score) by at
        least this much, or it counts as one without change. None: `fit` makes `max_iter` epochs.
    shuffle : bool, default=True
        Whether the samples are shuffled before each epoch.
    verbose : int, default=0
        Prints a few lines an epoch if positive.
    epsilon : float, default=0.1
        The delta of `loss="huber"` and the epsilon of the two epsilon-insensitive losses, where
        `loss` is a name; a loss object has its own. In [0, inf), for "huber" (0, inf).
    n_jobs : int or None, default=None
        Threads that train classes against the rest; joblib's meaning. Results do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seeds the shuffling and the choice of validation samples.
    learning_rate : {"constant", "optimal", "invscaling", "adaptive", "pa1", "pa2"}, \
            default="optimal"
        The length eta of step t:

        - "constant": ``eta0``
        - "optimal": ``1 / (alpha * (t0 + t - 1))``, t0 by Bottou's heuristic
        - "invscaling": ``eta0 / t**power_t``
        - "adaptive": eta0, divided by 5 each time that `n_iter_no_change` epochs in a row brought
          no change, until it is below 1e-6
        - "pa1", "pa2": passive-aggressive steps [2]_, with eta0 for their C; only with
          `loss="hinge"`
    eta0 : float, default=0.01
        In (0, inf). Not used by "optimal".
    power_t : float, default=0.5
        The exponent of "invscaling". Negative values are deprecated.
    early_stopping : bool, default=False
        Whether to hold out samples and to stop on their score (that of the method `score`) instead
        of the objective.
    validation_fraction : float, default=0.1
        Share of the samples that early stopping holds out, of each class; in (0, 1).
    n_iter_no_change : int, default=5
        Epochs in a row without change that end the fit, in [1, inf).
    class_weight : dict, "balanced" or None, default=None
        Class to weight. "balanced": ``n_samples / (n_classes * count)``. As in scikit-learn, with
        one-vs-rest a class's weight counts in its own classifier only.
    warm_start : bool, default=False
        Whether `fit` starts from the last solution; t starts from 1 in any case.
    average : bool or int, default=False
        Whether the coefficients are averages over all steps (True), or over the steps from that
        number on (int) [1]_.
    batch_size : int, default=1
        How many samples make a step, in [1, inf): it follows the mean of their gradients.

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) for two classes, else (n_classes, n_features)
        Weights, in X's dtype. For two classes and a row-wise loss, which trains a row for each,
        those of ``classes_[1]`` less those of ``classes_[0]``: row-wise losses see no more than
        the difference.
    intercept_ : ndarray of shape (1,) for two classes, else (n_classes,)
        Intercepts, in X's dtype.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    loss_ : Loss
        The loss that was minimised; a row-wise one knows its number of classes.
    loss_curve_ : list of float
        The objective of each epoch: the mean over its samples, each before its step. With
        one-vs-rest the sum over the classes, of which one that has converged keeps its last value.
        `partial_fit` appends.
    n_iter_ : int
        Epochs of the last fit; with one-vs-rest, of the class that took most.
    t_ : float
        1 + the number of steps since `fit` began.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X has string names.

    See Also
    --------
    SGDRegressorX : The same for regression.
    sklearn.linear_model.SGDClassifier : Has the same parameters, and nine losses.

    Notes
    -----
    With ``batch_size=1`` this is scikit-learn 1.9's SGDClassifier, step for step: the same data,
    parameters and random state give the same coefficients to rounding, on dense and on sparse data.
    (While the steps are so long that the iteration is chaotic, rounding grows: with "optimal" and
    a squared loss on unscaled data, for example.) It differs where scikit-learn is wrong:

    - The weights' norm, which enters the objective, is exact on sparse data; there scikit-learn
    sums
      over the last sample's features only. Fits may stop after another number of epochs.
    - Early stopping scores the model itself. scikit-learn leaves out the factor by which the L2
      penalty has shrunk the weights,
      and with "log_loss" counts the negative class as misclassified.
    - `partial_fit` with `average` keeps the intercept; scikit-learn loses it between two calls.
    - `coef_init`, and the arrays of the last fit, are never written to; a fit that raises an error
      leaves the estimator as it was.
    - Negative sample weights, and labels unknown to `partial_fit`, raise an error.

    As in scikit-learn, the objective does not weigh the samples, the intercept moves by a hundredth
    of the step on sparse data, averages of L1-penalised weights leave the truncation of single
    steps out, and with early stopping `t_` counts the samples held out.

    Weights and X are in X's type, float32 or float64; raw predictions, losses, gradients and
    intercepts are computed in float64. Ctrl-C ends a fit within a second with KeyboardInterrupt;
    the
    estimator is then fitted, as far as the last whole epoch.

    References
    ----------
    .. [1] Bottou, L. (2012). Stochastic gradient descent tricks. Neural Networks: Tricks of the
       Trade, 421-436.
    .. [2] Crammer, K., Dekel, O., Keshet, J., Shalev-Shwartz, S. and Singer, Y. (2006). Online
       passive-aggressive algorithms. JMLR 7, 551-585.
    .. [3] Tsuruoka, Y., Tsujii, J. and Ananiadou, S. (2009). Stochastic gradient descent training
       for L1-regularized log-linear models with cumulative penalty. ACL, 477-485.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_losses.linear_model import SGDClassifierX
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), SGDClassifierX("multinomial", alpha=0.01, random_state=0)
    ... )
    >>> round(model.fit(X, y).score(X, y), 2)
    0.96
    >>> model.predict_proba(X[:1]).shape
    (1, 3)
    """

    _parameter_constraints: dict = {
        **BaseSGD._parameter_constraints,
        "n_jobs": [Integral, None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    _passive_aggressive_loss = "hinge"

    def __init__(
        self,
        loss="hinge",
        *,
        penalty="l2",
        alpha=0.0001,
        l1_ratio=0.15,
        fit_intercept=True,
        max_iter=1000,
        tol=1e-3,
        shuffle=True,
        verbose=0,
        epsilon=0.1,
        n_jobs=None,
        random_state=None,
        learning_rate="optimal",
        eta0=0.01,
        power_t=0.5,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        class_weight=None,
        warm_start=False,
        average=False,
        batch_size=1,
    ):
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.average = average
        self.batch_size = batch_size

    def _accept_loss(self, loss):
        if loss.task == "regression" and (
            loss.link != IdentityLink() or not loss.in_y_true_range(np.array([-1.0, 1.0]))
        ):
            raise ValueError(
                f"{type(loss).__name__} is a loss for y in {loss.interval_y_true}, not for "
                f"classes; "
                "use SGDRegressorX"
            )
        return loss

    # ----------------------------------------------------------------------------------------- data

    def _encode(self, y, classes, going_on):
        """The classes, and the code of each sample."""
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if classes is not None:
            classes = unique_labels(classes)
            if going_on and not np.array_equal(classes, self.classes_):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, "
                    f"was: {self.classes_!r}"
                )
        elif going_on:
            classes = self.classes_
        else:
            classes = np.unique(y)
        codes = np.searchsorted(classes, y)
        codes[codes == len(classes)] = 0
        unknown = classes[codes] != y
        if unknown.any():
            raise ValueError(f"y holds labels that are not in classes: {np.unique(y[unknown])!r}")
        if len(classes) < 2:
            raise ValueError(
                f"The number of classes has to be greater than one; got {len(classes)} class"
            )
        return classes, codes

    def _bind(self, loss, codes, going_on):
        """A row-wise loss for these classes; how often each was seen counts over calls of
        `partial_fit`."""
        counts = np.bincount(codes, minlength=len(self.classes_)).astype(np.float64)
        if going_on and getattr(self, "_class_counts", None) is not None:
            counts += self._class_counts
        self._class_counts = counts
        # A class announced to partial_fit and not seen yet counts as seen once.
        return loss._for_classes(len(self.classes_), np.maximum(counts, 1.0))

    def _inner_weights(self, coef, intercept):
        # A row-wise loss has a row for each of two classes as well; users see the difference.
        if len(coef) == 1 and self._rowwise:
            return np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
        return coef, intercept

    def _set_weights(self, model):
        coef, intercept = model.coef, model.intercept
        if self.loss_.is_multiclass and len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.coef_ = coef
        self.intercept_ = intercept.astype(coef.dtype)

    def _dense_coef(self):
        return self.coef_.toarray()

    # ------------------------------------------------------------------------------------- training

    def _train(
        self, X, y, classes, sample_weight, max_iter, coef_init, intercept_init, going_on, loss
    ):
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            order="C",
            accept_large_sparse=True,
            reset=not going_on,
        )
        self.classes_, codes = self._encode(y, classes, going_on)
        n_classes = len(self.classes_)
        weight_of_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        sample_weight = self._check_weights(sample_weight, X)
        self._rowwise = loss.is_multiclass
        model = self._start(
            1 if n_classes == 2 else n_classes,
            X.shape[1],
            X.dtype,
            coef_init,
            intercept_init,
            going_on,
        )
        task = _Task(
            X,
            codes,
            sample_weight,
            self._settings(max_iter),
            loss=self._bind(loss, codes, going_on) if self._rowwise else loss,
            t=self.t_ if going_on else 1.0,
        )
        if self._rowwise:
            fits = [partial(self._fit_all, task, model, weight_of_class)]
        elif n_classes == 2:
            weights = weight_of_class[1], weight_of_class[0]
            fits = [partial(self._fit_one, task, model, 1, weights, self.random_state)]
        else:
            held_out = self._held_out(codes, sample_weight)
            # Every class shuffles with a seed of its own, drawn as in scikit-learn.
            seeds = check_random_state(self.random_state).randint(MAX_INT, size=n_classes)
            fits = [
                partial(
                    self._fit_one,
                    task,
                    model.row(i),
                    i,
                    (weight_of_class[i], 1.0),
                    int(seeds[i]),
                    held_out=held_out,
                )
                for i in range(n_classes)
            ]
        results = one_vs_rest(fits, self.n_jobs, self.verbose)
        self._commit(results, X.shape[0], task.loss, going_on)

    def _fit_one(self, task, model, i, weights, random_state, held_out=None, stop=None):
        """Class i against the rest, by a pointwise loss; `weights` are theirs."""
        negative = -1.0 if task.loss.task == "regression" else 0.0
        y = np.where(task.codes == i, 1.0, negative)
        # The draws, in this order, are scikit-learn's; the first seeds what it does not use.
        random_state = check_random_state(random_state)
        random_state.randint(1, MAX_INT)
        if held_out is None:
            held_out = self._held_out(y, task.sample_weight)
        return descend(
            task.X,
            y,
            task.sample_weight,
            model,
            task.loss,
            task.settings,
            seed=random_state.randint(MAX_INT),
            t=task.t,
            held_out=held_out,
            score=self._scorer(
                task.X, y, task.sample_weight, held_out, task.loss, np.array([negative, 1.0])
            ),
            weight_positive=weights[0],
            weight_negative=weights[1],
            stop=stop,
        )

    def _fit_all(self, task, model, weight_of_class, stop=None):
        """All classes at once, by a row-wise loss."""
        random_state = check_random_state(self.random_state)
        random_state.randint(1, MAX_INT)  # as in `_fit_one`
        held_out = self._held_out(task.codes, task.sample_weight)
        sample_weight = task.sample_weight
        if self.class_weight is not None:
            of_class = weight_of_class[task.codes]
            sample_weight = of_class if sample_weight is None else sample_weight * of_class
        return descend(
            task.X,
            task.codes.astype(np.float64),
            sample_weight,
            model,
            task.loss,
            task.settings,
            seed=random_state.randint(MAX_INT),
            t=task.t,
            held_out=held_out,
            score=self._scorer(
                task.X,
                task.codes,
                task.sample_weight,
                held_out,
                task.loss,
                np.arange(len(weight_of_class)),
            ),
            stop=stop,
        )

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, coef_init=None, intercept_init=None, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Float32 and float64 in C order, and CSR with int32 or int64 indices, are not copied.
        y : array-like of shape (n_samples,)
            Labels: numbers or strings, at least two different ones.
        coef_init : array-like of shape (n_classes, n_features) or None, default=None
            Weights to start from, of shape (1, n_features) or (n_features,) for two classes; zeros
            if None.
        intercept_init : array-like of shape (n_classes,) or None, default=None
            Intercepts to start from, of shape (1,) for two classes; zeros if None.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Not negative; they and the class weights multiply the steps.

        Returns
        -------
        self : SGDClassifierX
            Fitted estimator.

        Raises
        ------
        ValueError
            For a parameter, a label or a weight outside its range, and when the weights overflow.
            The estimator is
            then as it was before.
        """
        loss = self._check_parameters()
        if self.warm_start and hasattr(self, "coef_"):
            coef_init = self.coef_ if coef_init is None else coef_init
            intercept_init = self.intercept_ if intercept_init is None else intercept_init
        with self._unchanged_on_error():
            self._train(
                X, y, None, sample_weight, self.max_iter, coef_init, intercept_init, False, loss
            )
        self._warn_after_fit()
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go on for one epoch over the given samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels, all of them in `classes`.
        classes : array-like of shape (n_classes,) or None, default=None
            Every label that any call will bring; needed in the first call only.
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        self : SGDClassifierX
            Fitted estimator.
        """
        going_on = hasattr(self, "classes_")
        loss = self._check_parameters(first_partial_fit=not going_on)
        if not going_on:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            if self.class_weight == "balanced":
                raise ValueError(
                    "class_weight 'balanced' is not supported for partial_fit. In order to use "
                    "'balanced' "
                    "weights, use compute_class_weight('balanced', classes=classes, y=y) on a "
                    "large enough "
                    "sample, and pass the resulting weights as the class_weight parameter."
                )
        with self._unchanged_on_error():
            self._train(X, y, classes, sample_weight, 1, None, None, going_on, loss)
        return self

    # ---------------------------------------------------------------------------------- predictions

    def decision_function(self, X):
        """Raw predictions: the higher a class's, the more the model is for it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        raw_prediction : ndarray of shape (n_samples,) for two classes, else (n_samples, n_classes)
            For two classes, that of ``classes_[1]``; with a row-wise loss, by how much it exceeds
            that of
            ``classes_[0]``.
        """
        raw = self._raw(X)
        return raw[:, 0] if raw.shape[1] == 1 else raw

    def predict(self, X):
        """The likeliest label of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
        """
        raw = self.decision_function(X)
        return self.classes_[(raw > 0).astype(np.intp) if raw.ndim == 1 else raw.argmax(axis=1)]

    @available_if(_gives_probability)
    def predict_proba(self, X):
        """Probabilities of the classes.

        There for losses with ``gives_probability`` only. A row-wise loss gives them directly; those
        of one-vs-rest
        are the binary ones, normalised, as Zadrozny and Elkan recommend (uniform where all of them
        are 0).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.

        References
        ----------
        Zadrozny, B. and Elkan, C. (2002). Transforming classifier scores into multiclass
        probability estimates.
        SIGKDD, 694-699.
        """
        raw = self.decision_function(X)
        if self.loss_.is_multiclass:
            # Only differences of raw predictions count.
            return self.loss_.predict(
                np.stack([-raw / 2, raw / 2], axis=1) if raw.ndim == 1 else raw
            )
        proba = self.loss_.predict(raw)
        if raw.ndim == 1:
            return np.stack([1 - proba, proba], axis=1)
        total = proba.sum(axis=1, keepdims=True)
        return np.where(total == 0, 1 / len(self.classes_), proba / np.where(total == 0, 1, total))

    @available_if(_gives_probability)
    def predict_log_proba(self, X):
        """Logarithms of `predict_proba`; -inf where a probability is 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
        """
        return np.log(self.predict_proba(X))
