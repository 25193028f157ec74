"""The estimator."""

import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from sklearn_losses._array import check_on_host
from sklearn_losses._interval import NON_NEGATIVE, POSITIVE, UNIT
from sklearn_losses._parameters import check_integer, check_number
from sklearn_losses.linear_model._validation import Validation
from sklearn_losses.losses import get_loss
from sklearn_losses.losses.pointwise import PointwiseLoss
from sklearn_losses.multitask._fit import PENALTIES, Fitting
from sklearn_losses.multitask._tasks import tasks_of

# A margin loss that never ends has no minimum on classes that are this well apart without penalty.
APART = 1e-5

WHY_NO_DWA = (
    "'dwa' (dynamic weight averaging) weighs a task by how its loss fell from one epoch to the "
    "next. This fit goes to a minimum, where no loss falls any more and its weights are all 1: "
    "task_weight=None gives that model"
)


def _losses_of(given, owner):
    """One loss, or a list of them, that can be fitted."""
    several = isinstance(given, list | tuple)
    losses = [get_loss(loss) for loss in (given if several else [given])]
    if not losses:
        raise ValueError(f"{owner}: loss must be a loss or a list with one for each task; got []")
    for loss in losses:
        _check_loss(loss, owner)
    return losses if several else losses[0]


def _check_loss(loss, owner):
    name = type(loss).__name__
    if not isinstance(loss, PointwiseLoss) and (loss.is_joint or loss.is_multiclass):
        raise ValueError(
            f"{owner}: a task has one raw prediction a sample, and a loss that is a mean over "
            f"samples; {name} is another kind of loss"
        )
    if not hasattr(loss, "_start_constant") or loss.reads_target:
        raise ValueError(f"{owner}: {name} cannot be the loss of a task")
    if getattr(loss, "_holds_several", bool)():
        raise ValueError(
            f"{owner}: here one value makes a loss; got {loss!r}. Give a list with a loss for each "
            "task"
        )
    if getattr(loss, "_auto", bool)():
        raise ValueError(
            f"{owner}: {name} needs a number for {loss._scale.parameter}; got 'auto'. "
            f"{name}('auto').with_scale_of(y, raw_prediction) finds one from a first fit"
        )
    if not loss.differentiable:
        raise ValueError(
            f"{owner}: {name} has kinks, at which no derivative says what a group of coefficients "
            "gains. Take a smooth loss beside it ('huber', 'smooth_quantile', 'smooth_hinge', "
            "'squared_hinge'); without groups SGDRegressorX and SGDClassifierX fit it exactly, a "
            "target at a time"
        )
    if not loss.convex:
        raise ValueError(
            f"{owner}: {name} is not convex (or not known to be), so that a fit may end anywhere"
        )
    loss._resolve()


def _gives_probabilities(model):
    """Whether there are tasks with classes, and their losses give probabilities."""
    losses = _losses_of(model.loss, type(model).__name__)
    losses = losses if isinstance(losses, list) else [losses]
    of_classes = [loss for loss in losses if loss.task == "binary"]
    if of_classes and all(loss.gives_probability for loss in of_classes):
        return True
    raise AttributeError(
        "predict_proba needs a task with classes, and losses of probabilities for all such; got "
        f"{model.loss!r}"
    )


class MultiTaskModel(RegressorMixin, Validation, BaseEstimator):
    """Linear model of several targets, each with a loss of its own, in one fit.

    It minimises::

        sum over tasks of task_weight * mean(loss) / (2 * mean(loss of the best constant))
            + alpha * penalty(coef_ * feature_scale_ / task_scale_[:, None])

    With `penalty="l21"` the coefficients of a feature are a group, that is 0 for all tasks or for
    none [1]_. Targets may be numbers and classes side by side, and may be missing (NaN).

    `alpha` has no unit, whatever those of X and of the targets: ``task_scale_`` is such that a
    coefficient of 0 has a slope that is the correlation of its feature with the task's derivatives
    at the constant. With all losses "squared_error" the objective is that of scikit-learn's
    `MultiTaskLasso` on standardised features and targets.

    Parameters
    ----------
    loss : str, Loss or list of these, default="squared_error"
        For all tasks, or one for each: pointwise, convex and with a derivative everywhere, for
        regression ("huber", "poisson", ...) or for two classes ("log_loss", "squared_hinge", ...).
    penalty : {"l21", "l1", "l2"} or None, default="l21"
        "l21": the sum of the features' norms over tasks. "l1" and "l2" do not tie tasks together:
        the fit is that of each by itself.
    alpha : float, default=0.01
        Strength of the penalty, in [0, inf). With "l1" all coefficients are 0 from 1 on at the
        latest, with "l21" from the root of the number of tasks on (where weights are 1).
    l1_ratio : float, default=1.0
        In [0, 1]: the penalty is ``l1_ratio`` of "l21" or "l1", and ``1 - l1_ratio`` of half the
        squared L2 norm. "l2" does not look at it.
    task_weight : array-like of shape (n_tasks,), "uncertainty" or None, default=None
        Weights in (0, inf); None: all are 1. "uncertainty" [2]_ minimises over them too, with
        ``-log(task_weight) / 2`` added for each task: a weight is then the reciprocal of the task's
        loss beside the constant's. That objective has several minima at times; the fit starts from
        equal weights, and each round lowers it. Where features are many enough to fit a task
        without error it has none, and a larger `alpha` is needed.
    standardize : bool, default=True
        False: losses and coefficients count in their own units: the objective is ``sum(task_weight
        * mean(loss)) + alpha * penalty(coef_)``, with "uncertainty" less ``log(task_weight)``.
    fit_intercept : bool, default=True
        Intercepts are not penalised.
    tol : float, default=1e-6
        The gap to the minimum, beside the objective, at which a fit ends; in (0, inf).
    max_iter : int, default=200
        The most Newton steps, in [1, inf); with "uncertainty", for each round.

    Attributes
    ----------
    coef_ : ndarray of shape (n_tasks, n_features), or (n_features,) for y of one dimension
        In X's dtype.
    intercept_ : ndarray of shape (n_tasks,), or float
    losses_ : list of Loss
        One for each task.
    classes_ : list
        For each task an array of its two classes, or None for regression.
    task_weight_ : ndarray of shape (n_tasks,)
    log_variance_ : ndarray of shape (n_tasks,)
        With "uncertainty": the logarithm of each task's mean loss (above the least that it can be),
        which is where the log variance has its minimum.
    null_loss_ : ndarray of shape (n_tasks,)
        Mean losses of the best constants, above the least that they can be.
    feature_scale_ : ndarray of shape (n_tasks, n_features)
        Standard deviations of the features where the task has a target (root mean squares without
        an intercept); 0 for constant ones, whose coefficients are 0.
    task_scale_ : ndarray of shape (n_tasks,)
        Units of raw predictions: ``2 * null_loss_`` over the root mean square of the loss's
        derivatives at the constant. Of a squared error it is the target's standard deviation.
    objective_ : float
        What was minimised, at the solution.
    gap_ : float
        The objective is at most so much above the minimum (with "uncertainty": above that of the
        fitted weights), unless the minimum's coefficients, in units of their scales, are more than
        ten times as large as the largest of these.
    n_iter_ : int
        Newton steps; where tasks are fitted by themselves, of the one that took most.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Where X has string names.

    See Also
    --------
    SGDRegressorX : Several targets with one loss and penalties without groups; losses with kinks.

    Notes
    -----
    There is no "dwa" (dynamic weight averaging, [3]_): it weighs a task by how its loss fell over
    the last epochs, and where a fit ends at a minimum no loss falls any more, so that all weights
    are 1.

    References
    ----------
    .. [1] Obozinski, G., Taskar, B. and Jordan, M. I. (2010). Joint covariate selection and joint
       subspace selection for multiple classification problems. Statistics and Computing 20,
       231-252.
    .. [2] Kendall, A., Gal, Y. and Cipolla, R. (2018). Multi-task learning using uncertainty to
       weigh losses for scene geometry and semantics. CVPR.
    .. [3] Liu, S., Johns, E. and Davison, A. J. (2019). End-to-end multi-task learning with
       attention. CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_linnerud
    >>> from sklearn_losses import MultiTaskModel
    >>> X, y = load_linnerud(return_X_y=True)
    >>> heavy = (y[:, 0] > 180).astype(float)
    >>> targets = np.column_stack([y[:, 1], heavy])
    >>> model = MultiTaskModel(["squared_error", "log_loss"], alpha=0.3).fit(X, targets)
    >>> (model.coef_ != 0).tolist()
    [[True, True, False], [True, True, False]]
    >>> model.predict(X[:2]).round(1).tolist()
    [[35.4, 0.0], [36.4, 1.0]]
    """

    def __init__(
        self,
        loss="squared_error",
        *,
        penalty="l21",
        alpha=0.01,
        l1_ratio=1.0,
        task_weight=None,
        standardize=True,
        fit_intercept=True,
        tol=1e-6,
        max_iter=200,
    ):
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.task_weight = task_weight
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    # ------------------------------------------------------------------------------------ checks

    def _fitting(self):
        """The parameters that do not depend on the data, checked."""
        owner = type(self).__name__
        names = [name for name in PENALTIES if name is not None]
        if not (self.penalty is None or self.penalty in names):
            raise ValueError(
                f"{owner}: penalty must be one of {names} or None; got {self.penalty!r}"
            )
        for name in ("standardize", "fit_intercept"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(
                    f"{owner}: {name} must be True or False; got {getattr(self, name)!r}"
                )
        return Fitting(
            self.penalty,
            check_number(owner, "alpha", self.alpha, NON_NEGATIVE),
            check_number(owner, "l1_ratio", self.l1_ratio, UNIT),
            bool(self.standardize),
            check_number(owner, "tol", self.tol, POSITIVE),
            check_integer(owner, "max_iter", self.max_iter),
        )

    def _task_weights(self, n_tasks):
        """Fixed weights, or None where the fit finds them."""
        owner, given = type(self).__name__, self.task_weight
        if given is None:
            return np.ones(n_tasks)
        if isinstance(given, str):
            if given == "uncertainty":
                return None
            why = WHY_NO_DWA if given == "dwa" else f"got {given!r}"
            raise ValueError(
                f"{owner}: task_weight must be 'uncertainty', None or {n_tasks} numbers in "
                f"{POSITIVE}; {why}"
            )
        weights = np.asarray(given)
        allowed = f"{owner}: task_weight must hold {n_tasks} numbers in {POSITIVE}, one a task"
        if weights.shape != (n_tasks,) or weights.dtype.kind not in "biuf":
            raise ValueError(f"{allowed}; got {given!r}")
        weights = weights.astype(np.float64)
        if not POSITIVE.includes(weights):
            raise ValueError(f"{allowed}; got {weights[~POSITIVE.contains(weights)][0]}")
        return weights

    def _targets(self, y):
        """y in float64, of one or two dimensions, with NaN where a target is missing."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        y = check_array(
            y, ensure_2d=False, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y"
        )
        if y.ndim > 2:
            raise ValueError(f"y must have one or two dimensions; got shape {y.shape}")
        return y

    def _encoded(self, y, losses):
        """y as the losses take it, and the classes of each task."""
        y, classes = y.copy(), []
        for k, loss in enumerate(losses):
            known = ~np.isnan(y[:, k])
            if not known.any():
                if len(losses) == 1:  # scikit-learn's words
                    check_array(y, ensure_2d=False, input_name="y")
                raise ValueError(f"y: task {k} has no target: all are NaN")
            found = None
            if loss.task == "binary":
                found = np.unique(y[known, k])
                if len(found) != 2:
                    raise ValueError(
                        f"y: task {k} has {type(loss).__name__}, which needs two classes; got "
                        f"{len(found)} different values"
                    )
                y[known, k] = y[known, k] == found[1]
            else:
                loss._check_y(y[known, k])
            classes.append(found)
        return y, classes

    def _weights(self, sample_weight, X, y):
        """(n_samples,), (n_samples, n_tasks) or None."""
        if sample_weight is None or np.asarray(sample_weight).ndim != 2:
            weight = self._check_weights(sample_weight, X)
        else:
            weight = check_array(sample_weight, dtype=np.float64, input_name="sample_weight")
            if weight.shape != y.shape:
                raise ValueError(
                    f"sample_weight must have shape ({len(y)},) or {y.shape}; got {weight.shape}"
                )
            if (weight < 0).any():
                raise ValueError(f"sample_weight must not be negative; got {weight[weight < 0][0]}")
        if weight is not None:
            counts = (weight.reshape(len(y), -1) > 0) & ~np.isnan(y)
            if not counts.any(axis=0).all():
                k = int(np.argmin(counts.any(axis=0)))
                raise ValueError(f"sample_weight is 0 wherever task {k} has a target")
        return weight

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

    # --------------------------------------------------------------------------------------- fit

    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            A target that is NaN is missing: the sample does not count for that task. With a loss
            for two classes the larger of a task's two values is the positive class.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
            Not negative; a weight of 2 is two copies.

        Returns
        -------
        self : MultiTaskModel

        Raises
        ------
        ValueError
            Where a parameter, a target or a weight is not allowed, or where with "uncertainty" a
            task is fitted without error: to less than 1e-5 of the constant's loss.

        Warns
        -----
        ConvergenceWarning
            Where the gap is more than `tol` allows, or there is no minimum.
        """
        owner = type(self).__name__
        fitting, losses = self._fitting(), _losses_of(self.loss, owner)
        with self._unchanged_on_error():
            check_on_host(owner, X=X, y=y, sample_weight=sample_weight)
            y = self._targets(y)
            given = y.reshape(len(y), -1)
            X, _ = self._validate(X, given, reset=True, own_target=True)
            n_tasks = given.shape[1]
            if not isinstance(losses, list):
                losses = [losses] * n_tasks
            if len(losses) != n_tasks:
                raise ValueError(
                    f"{owner}: loss must be one loss or one for each of the {n_tasks} columns of "
                    f"y; got {len(losses)}"
                )
            task_weights = self._task_weights(n_tasks)
            encoded, classes = self._encoded(given, losses)
            weight = self._weights(sample_weight, X, encoded)
            tasks = tasks_of(
                X, encoded, weight, losses, bool(self.fit_intercept), fitting.standardize
            )
            if task_weights is None and any(task.is_constant for task in tasks):
                raise ValueError(
                    "task_weight='uncertainty' needs targets that are not constant; task "
                    f"{[task.is_constant for task in tasks].index(True)} is"
                )
            made = fitting.fit(tasks, task_weights)
            self._commit(made, tasks, X.dtype, y.ndim == 1, classes)
        self._warn(made, tasks, fitting)
        return self

    def _commit(self, made, tasks, dtype, single, classes):
        models = [task.model(v) for task, v in zip(tasks, made.v, strict=True)]
        coef = np.array([coef for coef, _ in models]).astype(dtype)
        intercept = np.array([constant for _, constant in models]).astype(dtype)
        self.__dict__.pop("log_variance_", None)
        if isinstance(self.task_weight, str):
            self.log_variance_ = np.log(made.losses)
        self.coef_, self.intercept_ = (coef[0], intercept[0]) if single else (coef, intercept)
        self.losses_ = [task.loss for task in tasks]
        self.classes_ = classes
        self.task_weight_ = made.weights
        self.null_loss_ = np.array([task.null for task in tasks])
        self.task_scale_ = np.array([task.scale for task in tasks])
        units = np.array([task.design.unit for task in tasks])
        self.feature_scale_ = np.divide(1.0, units, out=np.zeros_like(units), where=units > 0)
        self.objective_, self.gap_ = float(made.objective), float(made.gap)
        self.n_iter_ = max(1, made.n_iter)

    def _warn(self, made, tasks, fitting):
        if fitting.l1 == 0.0 == fitting.l2:
            for k, task in enumerate(tasks):
                ends = task.loss.gradient(np.ones(1), np.full(1, 30.0))[0] >= 0
                if task.loss.task == "binary" and not ends and made.losses[k] < APART * task.null:
                    warnings.warn(
                        f"The features part the classes of task {k}: its loss falls for ever as "
                        "coefficients grow, and has no minimum. Take alpha > 0.",
                        ConvergenceWarning,
                        stacklevel=3,
                    )
                    return
        if not made.met:
            warnings.warn(
                f"The fit ended up to {made.gap:.3g} above the minimum, at an objective of "
                f"{made.objective:.6g}, which is more than tol={self.tol:g} allows. Consider a "
                "larger max_iter, tol or alpha.",
                ConvergenceWarning,
                stacklevel=3,
            )
        elif not made.settled:
            warnings.warn(
                "The weights by uncertainty have not settled; consider a larger alpha or fixed "
                "weights.",
                ConvergenceWarning,
                stacklevel=3,
            )

    # ------------------------------------------------------------------------------- predictions

    def predict_raw(self, X):
        """Raw predictions: linear, in link space.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        raw : ndarray of shape (n_samples, n_tasks), or (n_samples,) for y of one dimension
        """
        check_is_fitted(self)
        check_on_host(type(self).__name__, X=X)
        X = self._check_samples(X)
        return safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_

    def _columns(self, X):
        """Raw predictions of each task."""
        raw = self.predict_raw(X)
        return np.ascontiguousarray(raw.reshape(len(raw), -1).T), raw.shape

    def predict(self, X):
        """Predictions of each task: of regression the inverse link of the raw ones, of two classes
        the label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples, n_tasks), or (n_samples,) for y of one dimension
        """
        columns, shape = self._columns(X)
        made = [
            loss.predict(raw) if classes is None else classes[(raw > 0).astype(int)]
            for raw, loss, classes in zip(columns, self.losses_, self.classes_, strict=True)
        ]
        return np.column_stack(made).astype(columns.dtype, copy=False).reshape(shape)

    @available_if(_gives_probabilities)
    def predict_proba(self, X):
        """Probabilities of both classes, for each task that has classes.

        There where at least one has, and the losses of those that have give probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        proba : list of ndarray of shape (n_samples, 2)
            One for each task with classes, in the order of the tasks.
        """
        columns, _ = self._columns(X)
        made = []
        for raw, loss, classes in zip(columns, self.losses_, self.classes_, strict=True):
            if classes is None:
                continue
            positive = loss.predict(raw)
            made.append(np.column_stack([1 - positive, positive]))
        return made

    def score(self, X, y, sample_weight=None):
        """The mean over tasks of R².

        Of a task with classes it is that of the positive class's probability (Brier's skill score),
        or of the labels where the loss gives no probability.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            Samples whose target is NaN do not count for the task.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None

        Returns
        -------
        score : float
            At most 1.
        """
        columns, _ = self._columns(X)
        y = self._targets(y)
        y = y.reshape(len(y), -1)
        if y.shape[1] != len(columns):
            raise ValueError(f"y must have {len(columns)} columns; got {y.shape[1]}")
        check_consistent_length(columns.T, y, sample_weight)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        scores = []
        for k, (raw, loss, classes) in enumerate(
            zip(columns, self.losses_, self.classes_, strict=True)
        ):
            known = ~np.isnan(y[:, k])
            true = y[:, k]
            predicted = loss.predict(raw)
            if classes is not None:
                true = (true == classes[1]).astype(np.float64)
                predicted = predicted if loss.gives_probability else (raw > 0).astype(np.float64)
            of_task = weight if weight is None or weight.ndim == 1 else weight[:, k]
            of_task = None if of_task is None else of_task[known]
            scores.append(r2_score(true[known], predicted[known], sample_weight=of_task))
        return float(np.mean(scores))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        return tags
