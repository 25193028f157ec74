"""Linear classification by stochastic gradient descent."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_losses._array import (
    array_namespace,
    computing_on,
    device_array,
    in_namespace,
    on_device,
    to_host,
)
from sklearn_losses._sklearn_compat import StrOptions, fit_context
from sklearn_losses._solvers import ONE_SAMPLE
from sklearn_losses._solvers.reference import in_range
from sklearn_losses._states import array_like, list_of, number
from sklearn_losses.linear_model._base import BaseSGD
from sklearn_losses.linear_model._docs import documented
from sklearn_losses.linear_model._outcome import wait
from sklearn_losses.linear_model._parameters import gives_probability, takes_streams
from sklearn_losses.linear_model._request import Request, Samples
from sklearn_losses.linear_model._scores import accuracy, summable
from sklearn_losses.linear_model._targets import (
    are_names,
    check_bounds,
    class_data,
    class_weights,
    grouped,
    judged_targets,
    known_targets,
    outputs_of,
    probabilities,
    read_targets,
    told_classes,
)
from sklearn_losses.linear_model._validation import shape_of, with_offset


@documented(passive_aggressive_loss="hinge")
class SGDClassifierX(ClassifierMixin, BaseSGD):
    """Linear classifier of any loss, trained by stochastic gradient descent.

    It minimises ``mean(sample_weight * loss(y, X @ coef_ + intercept_ + offset)) + alpha *
    penalty(coef_)``.

    Parameters
    ----------
    loss : str, Loss or LossSchedule, default="hinge"
        A name in `sklearn_losses.LOSSES`, or a loss object, whose parameters can be searched over
        as ``loss__gamma``.

        - Binary losses ("hinge", "log_loss", "focal", ...): more than two classes are trained one
          against the rest.
        - Row-wise losses ("multinomial", "multiclass_hinge", ...) train all classes at once. What
          they need to know of the classes, and is not set, is taken from y.
        - Regression losses with an identity link: as binary losses, on y of -1 and 1.
    <penalties>
    n_jobs : int or None, default=None
        Threads that share a batch of dense rows, where that is faster, or train classes against the
        rest; joblib's meaning. Results do not depend on it, and fits on a device do not use it.
    random_state : int, RandomState instance or None, default=None
        Seeds the shuffling and the choice of validation samples.
    learning_rate : str or Schedule, default="optimal"
    <schedules>
    eta0 : float, default=0.01
        In (0, inf), in units of the scaled coordinates (of the coefficients in scikit-learn's
        algorithm). Not used by "optimal".
    power_t : float, default=0.5
        The exponent of "invscaling". Negative values are deprecated.
    early_stopping : bool, default=False
        Whether to hold out samples and to stop on their score (that of the method `score`) instead
        of the objective.
    validation_fraction : float, default=0.1
        Share of the samples that early stopping holds out, of each class; in (0, 1).
    <stopping>
    class_weight : dict, "balanced" or None, default=None
        Class to weight. "balanced": ``n_samples / (n_classes * count)``, which `partial_fit` counts
        over all its calls. As in scikit-learn, with one-vs-rest a class's weight counts in its own
        classifier only. With several labels a sample: "balanced" or None.
    <beyond>

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) for two classes, else (n_classes, n_features)
        Weights, in X's dtype and on its device. For two classes and a row-wise loss, which trains a
        row for each, those of ``classes_[1]`` less those of ``classes_[0]``: row-wise losses see no
        more than the difference.
    intercept_ : ndarray of shape (1,) for two classes, else (n_classes,)
        Intercepts, in X's dtype and on its device.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; 0, 1, ... where y had a column for each class. Always on the host.
    loss_ : Loss
        The loss that was minimised; a row-wise one knows its number of classes.
    <attributes>
    n_iter_ : int
        Epochs of the last fit; with one-vs-rest, of the class that took most.
    t_ : float
        1 + the number of steps since `fit` began.

    See Also
    --------
    SGDRegressorX : The same for regression.
    sklearn.linear_model.SGDClassifier : Has the same parameters, and nine losses.

    Notes
    -----
    With ``batch_size=1`` and ``optimizer="sgd"`` this is scikit-learn 1.9's SGDClassifier, step for
    step: the same data, parameters and random state give the same coefficients to rounding, on
    dense and on sparse data. (Each step agrees to rounding, but where steps are so long that the
    iteration is chaotic, rounding grows with the epochs: with "optimal" and log loss on classes
    that are nearly separable, for example, or a squared loss on unscaled data.) The L1 penalty is
    then the cumulative one of [3]_, and classes are trained one by one, each in an order of its
    own; otherwise all classes are trained in one pass. It differs where scikit-learn is wrong:

    <norm_departure>
    - Early stopping scores the model itself. scikit-learn leaves out the factor by which the L2
      penalty has shrunk the weights, and with "log_loss" counts the negative class as
      misclassified.
    - `partial_fit` with `average` keeps the intercept; scikit-learn loses it between two calls.
    - `coef_init`, and the arrays of the last fit, are never written to; a fit that raises an error
      leaves the estimator as it was.
    - Negative sample weights, and labels unknown to `partial_fit`, raise an error.

    <notes>

    <references>

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
    0.95
    >>> model.predict_proba(X[:1]).shape
    (1, 3)
    """

    _parameter_constraints: dict = {
        **BaseSGD._parameter_constraints,
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
        optimizer="sgd",
        clip_norm=None,
        positive=False,
        bounds=None,
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
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.positive = positive
        self.bounds = bounds

    _scikit_learns_rate = ("optimal", 0.01, 0.5)

    def _accept_loss(self, loss):
        if loss.task == "regression" and (
            loss._natural or not loss.in_y_true_range(np.array([-1.0, 1.0]))
        ):
            raise ValueError(
                f"{type(loss).__name__} is a loss for y in {loss.interval_y_true}, not for "
                "classes; use SGDRegressorX"
            )
        if not loss.is_multiclass and loss._auto():
            name = loss._scale.parameter
            raise ValueError(
                f"{type(loss).__name__}: {name}='auto' is the scale of a regression's residuals; "
                f"classes are the targets -1 and 1, for which {name} must be a number"
            )
        if len(loss._members()) > 1:
            raise ValueError(f"{loss!r} is for several outputs of a regression; use SGDRegressorX")
        return loss

    # ----------------------------------------------------------------------------- rows and classes

    def _inner_weights(self, coef, intercept):
        # A row-wise loss has a row for each of two classes as well; users see the difference.
        if len(coef) == 1 and self._rowwise:
            xp = array_namespace(coef)
            coef, intercept = (xp.concatenate([-w, w]) / 2 for w in (coef, intercept))
        return self._resolve_loss()._inner(coef, intercept)

    def _public_weights(self, coef, intercept):
        coef, intercept = self._resolve_loss()._public(coef, intercept)
        if self._rowwise and len(coef) == 2:
            return coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        return coef, intercept

    def _labels_to_place(self, y):
        return None if y is None or are_names(y) else y

    def _dense_coef(self):
        return self.coef_.toarray()

    # --------------------------------------------------------------------------- what a call brings

    def _check_classes(self, y, classes):
        columns = len(shape_of(y)) == 2 and shape_of(y)[1] > 1
        if not hasattr(self, "classes_") and classes is None and not columns:
            raise ValueError("classes must be passed on the first call to partial_fit.")

    def _request(self, call):
        """What a call asks for, checked; None where no sample counts."""
        X, y, targets, group = self._read(call)
        weight = self._check_weights(call.samples.sample_weight, X, may_be_zero=call.stream)
        if call.stream and weight is not None and not weight.any():
            loss = told_classes(call.loss, np.ones(len(targets.classes)))
            return wait(self, X, outputs_of(targets, loss), loss)
        counts, n_seen = self._count(targets, call.going_on)
        weights = class_weights(self.class_weight, targets, counts, n_seen)
        loss = told_classes(call.loss, counts)
        settings = self._settings(
            1 if call.stream else self.max_iter, call.optimizer, X.shape[1], loss
        )
        check_bounds(settings, targets, loss)
        plain = targets.matrix is None and call.samples.offset is None
        settings, kind = self._choose(loss, settings, X, plain, call.stream)
        if kind is not ONE_SAMPLE and not call.stream:
            weight = in_range(weight)
        one_by_one = kind is ONE_SAMPLE and len(targets.classes) > 2

        def learned(samples, suffix=""):
            n_outputs = outputs_of(samples.y, loss)
            offset = self._check_offset(samples.offset, samples.X, n_outputs, f"offset{suffix}")
            return class_data(samples._replace(offset=offset), loss, weights, one_by_one)

        datas = learned(Samples(X, targets, weight, call.samples.offset))
        validations = None
        if call.validation is not None:
            samples, group_val = self._read_validation(call.validation, targets, loss)
            validations = tuple(grouped(data, group_val) for data in learned(samples, "_val"))
        datas, seeds = self._hold_out_of_classes(
            datas, targets, one_by_one, hold=validations is None
        )
        return Request(
            datas=tuple(grouped(data, group) for data in datas),
            validations=validations,
            judged=tuple(judged_targets(data, targets, loss, weight) for data in datas),
            loss=loss,
            settings=settings,
            kind=kind,
            seeds=seeds,
            n_rows=outputs_of(targets),
            shown=Samples(X, y, call.samples.sample_weight),
            start=call.start,
            going_on=call.going_on,
            stream=call.stream,
        )

    def _read(self, call):
        """Checked X and y, the targets, whose kind and classes are noted, and groups or None."""
        met = self._has_met(call)
        y, group = call.loss._parts(call.samples.y)
        X, y = self._validate(call.samples.X, y, reset=not met)
        known = None
        if met:
            known = known_targets(self.classes_, self._matrix, self._multilabel)
        targets = read_targets(y, call.classes, known, call.loss, array_namespace(X))
        self.classes_, self._multilabel = targets.classes, targets.multilabel
        self._matrix = targets.matrix is not None
        self._rowwise = call.loss.is_multiclass
        if call.loss.is_joint and outputs_of(targets) > 1:
            raise ValueError(
                f"Only binary classification is supported by {call.loss!r}; y holds "
                f"{len(targets.classes)} classes. OneVsRestClassifier takes one against the rest"
            )
        return X, y, targets, group

    def _read_validation(self, samples, known, loss):
        """Checked samples to validate on, with the classes of those that are learned from, and
        their groups or None."""
        y, group = loss._parts(samples.y)
        X, y = self._validate(samples.X, y, reset=False)
        targets = read_targets(y, None, known, loss, array_namespace(X), "y_val")
        weight = in_range(self._check_weights(samples.sample_weight, X, "sample_weight_val"))
        return Samples(X, targets, weight, samples.offset), group

    def _count(self, targets, going_on):
        """How often each class was seen, over calls of `partial_fit` too; and samples."""
        counts = targets.counts()
        before = getattr(self, "_class_counts", None) if going_on else None
        n_samples = float(len(targets))
        if before is not None:
            kinds = [array_like(counts, low=0), number(0)]
            before = list_of(kinds)(before, "_class_counts")
            counts, n_samples = counts + before[0], n_samples + before[1]
        self._class_counts = counts, n_samples
        return counts, n_samples

    # ------------------------------------------------------------------------------------- training

    @documented()
    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        coef_init=None,
        intercept_init=None,
        sample_weight=None,
        *,
        offset=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        offset_val=None,
        classes=None,
    ):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels: numbers or strings, at least two different ones; or, with a column for each
            class, probabilities whose rows sum to 1 (soft labels), or 0 and 1 where a sample may
            have several labels (with a row-wise loss: probabilities always).
        coef_init : array-like of shape (n_classes, n_features) or None, default=None
            Weights to start from, of shape (1, n_features) or (n_features,) for two classes; zeros
            if None.
        intercept_init : array-like of shape (n_classes,) or None, default=None
            Intercepts to start from, of shape (1,) for two classes. If None the loss's best
            constants, beside `coef_init`; in scikit-learn's algorithm zeros.
        <fit_arrays>
        classes : array-like of shape (n_classes,) or None, default=None
            Every label that there is, at least two, where y may lack some, as a fold of a rare
            class does. `classes_`, and what is predicted, then has all of them. None: those of y.

        Returns
        -------
        self : SGDClassifierX
            Fitted estimator.

        Raises
        ------
        ValueError
            For a parameter, a label or a weight outside its range, and when the weights overflow.
            The estimator is then as it was before.
        """
        return self._fit(
            Samples(X, y, sample_weight, offset),
            Samples(X_val, y_val, sample_weight_val, offset_val),
            (coef_init, intercept_init),
            classes,
        )

    @available_if(takes_streams)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, offset=None):
        """Go on for one epoch over the given samples.

        Not there for the optimizers of finite data: "saga", "svrg" and those that take all samples
        at once; "auto" stands for one that steps here.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, all of them in `classes`; or a column for each class, as in `fit`.
        classes : array-like of shape (n_classes,) or None, default=None
            Every label that any call will bring; needed in the first call only, and not where y has
            a column for each class.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Where all are zero nothing is learned, as if there had been no call; the first call then
            makes a model of zeros that knows its classes.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes) or None, default=None

        Returns
        -------
        self : SGDClassifierX
            Fitted estimator.
        """
        return self._partial_fit(Samples(X, y, sample_weight, offset), classes)

    def _note_fit(self, request):
        request.loss._check_fit(self.intercept_, request.datas[0])

    # ---------------------------------------------------------------------------------- predictions

    def _shown_offset(self, offset, X, n_outputs):
        if self._rowwise and n_outputs == 1:
            offset = self._check_offset(offset, X, 2)
            # The same for both classes is no difference.
            return None if offset is None or offset.ndim == 1 else offset[:, 1] - offset[:, 0]
        return self._check_offset(offset, X, n_outputs)

    def _labels_of(self, codes):
        """Labels of class codes, where the codes are; text is on the host."""
        xp = array_namespace(codes)
        if are_names(self.classes_):
            return self.classes_[to_host(codes)]
        return in_namespace(self.classes_, xp)[codes]

    def decision_function(self, X, offset=None):
        """Raw predictions: the higher a class's, the more the model is for it.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes) or None, default=None
            Added to the raw predictions.

        Returns
        -------
        raw_prediction : ndarray of shape (n_samples,) for two classes, else (n_samples, n_classes)
            For two classes, that of ``classes_[1]``; with a row-wise loss, by how much it exceeds
            that of ``classes_[0]``.
        """
        with computing_on(X=X):
            raw = self._raw(X, offset)
            return raw[:, 0] if raw.shape[1] == 1 else raw

    def predict(self, X, offset=None):
        """The label of each sample: the class of the largest raw prediction, or, of two classes,
        the second where it is above 0.

        That is the likeliest label, unless the loss is made to favour rare classes:
        `LogitAdjusted`, `LDAM`, a focal loss with `alpha`, `AsymmetricLoss`. Their labels are the
        losses' own, while `predict_proba` is of the data as they are.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes) or None, default=None
            Added to the raw predictions.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Of shape (n_samples, n_classes), 0 and 1, where samples have several labels. On the
            device of X, unless labels are text.
        """
        with computing_on(X=X):
            raw = with_offset(self.decision_function, X, offset)
            codes = raw.argmax(axis=1) if raw.ndim == 2 else (raw > 0).astype(np.intp)
            return (raw > 0).astype(np.intp) if self._multilabel else self._labels_of(codes)

    def score(self, X, y, sample_weight=None, offset=None):
        """Accuracy: the share of samples whose label (all of whose labels) is predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            As in `fit`; of probabilities the likeliest label counts.
        sample_weight : array-like of shape (n_samples,) or None, default=None
        offset : array-like of shape (n_samples,) or (n_samples, n_classes) or None, default=None

        Returns
        -------
        score : float

        Warns
        -----
        UserWarning
            Where the model was fitted with an offset and is scored without one.
        """
        self._warn_without_offset(offset)
        check_is_fitted(self)
        y = self.loss_._labels(y)
        with self._computing_on(Samples(X, y, sample_weight, offset)):
            y_pred = with_offset(self.predict, X, offset)
            shape = shape_of(y)
            if len(shape) == 2 and y_pred.ndim == 1 and shape[1] > 1:
                y = device_array(y) if on_device(y) else np.asarray(y)
                y = self._labels_of(y.argmax(axis=1))
            if on_device(y) and on_device(y_pred):
                return accuracy(y, y_pred, sample_weight)
            y, y_pred, sample_weight = to_host((y, y_pred, sample_weight))
            return accuracy_score(y, y_pred, sample_weight=summable(sample_weight))

    @available_if(gives_probability)
    def predict_proba(self, X, offset=None):
        """Probabilities of the classes.

        There for losses with ``gives_probability`` only. A row-wise loss gives them directly; those
        of one-vs-rest are the binary ones, normalised, as Zadrozny and Elkan recommend (uniform
        where all of them are 0). Where samples have several labels, each label's own.

        They are of the mixture of classes in the data, as `class_weight` and `sample_weight` weigh
        it. What a loss does to classes beyond that, by focusing, margins, priors or smoothing, its
        link undoes.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes) or None, default=None
            Added to the raw predictions.

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
        with computing_on(X=X):
            return self._proba_of(with_offset(self.decision_function, X, offset))

    def _proba_of(self, raw):
        """What `predict_proba` returns, in the array namespace of the raw predictions."""
        return probabilities(self.loss_, raw, len(self.classes_), self._multilabel)

    @available_if(gives_probability)
    def predict_log_proba(self, X, offset=None):
        """Logarithms of `predict_proba`; -inf where a probability is 0.

        Parameters
        ----------
        X : {array-like, sparse matrix, CuPy array} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or (n_samples, n_classes) or None, default=None
            Added to the raw predictions.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
        """
        with computing_on(X=X) as xp, np.errstate(divide="ignore"):
            return xp.log(with_offset(self.predict_proba, X, offset))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        try:
            loss = self._resolve_loss()
            tags.classifier_tags.multi_label = not (loss.is_multiclass or loss.is_joint)
            tags.classifier_tags.multi_class = not loss.is_joint
        except ValueError:  # an unknown name: `fit` says which there are
            pass
        return tags
