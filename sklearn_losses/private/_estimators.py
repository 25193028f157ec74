"""Linear models whose weights may be published."""

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from sklearn_losses._sklearn_compat import fit_context
from sklearn_losses.linear_model._docs import documented
from sklearn_losses.linear_model._parameters import gives_probability
from sklearn_losses.linear_model._targets import lowest_target, probabilities, read_targets
from sklearn_losses.private._base import BasePrivate, Targets
from sklearn_losses.private._docs import SHARED
from sklearn_losses.private._problem import pair, slope_at, target_scaling


@documented(SHARED)
class PrivateLinearClassifier(ClassifierMixin, BasePrivate):
    """Linear classifier of any loss with differential privacy.

    What it minimises, as nearly as privacy lets it, is ``mean(loss(y, raw)) + alpha * ||w||^2 /
    2``, with ``raw = X @ coef_ + intercept_`` and w the weights of features that are scaled by
    public bounds.

    Parameters
    ----------
    loss : str or Loss, default="log_loss"
        A name in `sklearn_losses.LOSSES`, or a loss object, whose parameters can be set as
        ``loss__gamma``. Several classes are one-vs-rest, in one model whose samples are clipped as
        a whole, unless the loss is row-wise.
    <private_parameters>

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) for two classes, else (n_classes, n_features)
        Weights, of the features as they are, in X's dtype.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts, in X's dtype.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    <private_attributes>

    See Also
    --------
    PrivateLinearRegressor : The same for numbers.
    SGDClassifierX : Without privacy.

    Notes
    -----
    <private_notes>

    References
    ----------
    <private_references>

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn_losses import PrivateLinearClassifier
    >>> X, y = make_classification(n_samples=20000, class_sep=2.0, random_state=0)
    >>> model = PrivateLinearClassifier(epsilon=1.0, delta=1e-5, feature_bounds=(-5, 5))
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    >>> 0.99 < model.epsilon_ <= 1.0
    True
    """

    _how_to_check_y = {"multi_output": True}

    def __init__(
        self,
        loss="log_loss",
        *,
        mechanism="sgd",
        epsilon=1.0,
        delta=None,
        noise_multiplier=None,
        accountant="rdp",
        alpha="auto",
        fit_intercept=True,
        feature_bounds=None,
        data_norm=None,
        n_samples=None,
        clip_norm=None,
        batch_size=256,
        max_iter=50,
        learning_rate="auto",
        average=True,
    ):
        self.loss = loss
        self.mechanism = mechanism
        self.epsilon = epsilon
        self.delta = delta
        self.noise_multiplier = noise_multiplier
        self.accountant = accountant
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.feature_bounds = feature_bounds
        self.data_norm = data_norm
        self.n_samples = n_samples
        self.clip_norm = clip_norm
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.average = average

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Fit the model, which spends (epsilon, delta).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels: numbers or strings, at least two different ones.

        Returns
        -------
        self : PrivateLinearClassifier
            Fitted estimator.

        Raises
        ------
        ValueError
            For a parameter or label outside its range, and a loss that the mechanism is not proven
            for. The estimator is then as it was before.
        RuntimeError
            Where "output" or "objective" did not come to the minimum.

        Warns
        -----
        UserWarning
            Where no public bounds are set, and for a `delta` that is not below 1 / n_samples.
        """
        with self._unchanged_on_error():
            return self._fit(X, y)

    def _targets(self, loss, y):
        if np.ndim(y) == 2 and np.shape(y)[1] > 1:
            raise ValueError(
                f"y must hold one label a sample, of shape (n_samples,); got {np.shape(y)}"
            )
        classes, codes = read_targets(y, None, None, loss, np)[:2]
        facts, low = {"classes_": classes}, lowest_target(loss)
        if loss.is_multiclass:
            loss = loss._for_classes(len(classes))
            loss._resolve(len(classes))  # checks its parameters
            y, n_outputs = codes.astype(np.float64), len(classes)
        elif len(classes) == 2:
            y, n_outputs = np.where(codes == 1, 1.0, low), 1
        else:
            y = np.where(codes[:, None] == np.arange(len(classes)), 1.0, low)
            n_outputs = len(classes)
        return loss, Targets(y, n_outputs, 0.0, 1.0, slope_at(loss, (low, 1.0), 0.0), facts)

    def _settings(self, slope):
        # Derivatives have no unit, so that the penalty needs none.
        return super()._settings(slope)._replace(slope=1.0)

    def _shown_coef(self, coef):
        return coef

    def decision_function(self, X):
        """Raw predictions: the higher a class's, the more the model is for it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        raw_prediction : ndarray of shape (n_samples,) for two classes, else (n_samples, n_classes)
            For two classes, that of ``classes_[1]``.
        """
        raw = self._raw(X)
        return raw[:, 0] if raw.shape[1] == 1 else raw

    def predict(self, X):
        """The label of each sample: the class of the largest raw prediction, or, of two classes,
        the second where it is above 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
        """
        raw = self.decision_function(X)
        return self.classes_[raw.argmax(axis=1) if raw.ndim == 2 else (raw > 0).astype(np.intp)]

    @available_if(gives_probability)
    def predict_proba(self, X):
        """Probabilities of the classes; there for losses with ``gives_probability`` only.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        raw = self.decision_function(X)
        return probabilities(self.loss_, raw, len(self.classes_))

    @available_if(gives_probability)
    def predict_log_proba(self, X):
        """Logarithms of `predict_proba`; -inf where a probability is 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Noise is the price: of few samples little can be learned.
        tags.classifier_tags.poor_score = True
        return tags


@documented(SHARED)
class PrivateLinearRegressor(RegressorMixin, BasePrivate):
    """Linear model of any regression loss with differential privacy.

    What it minimises, as nearly as privacy lets it, is ``mean(loss(y, raw)) + alpha * ||w||^2 /
    2``, with ``raw = X @ coef_ + intercept_`` and w the weights of features that are scaled by
    public bounds, and of a raw prediction and a loss that are scaled by `target_bounds`; `predict`
    applies the loss's inverse link.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        A name in `sklearn_losses.LOSSES`, or a loss object, whose parameters can be set as
        ``loss__delta``. Losses of the probability of a class are accepted too: y is then in [0, 1].
    <private_parameters>
    target_bounds : (low, high) or None, default=None
        What is known of y without looking: two numbers. Training targets are clipped to it. The fit
        starts at its middle, and steps and penalty are in units of its half width. None: the fit
        starts at 0 in units of 1.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Weights, of the features as they are, in X's dtype.
    intercept_ : ndarray of shape (1,)
        Intercept, in X's dtype.
    <private_attributes>

    See Also
    --------
    PrivateLinearClassifier : The same for classes.
    SGDRegressorX : Without privacy.

    Notes
    -----
    <private_notes>

    References
    ----------
    <private_references>

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import PrivateLinearRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(0, 100, (20000, 3))
    >>> y = 500 + X @ [3.0, -2.0, 1.0] + rng.normal(0, 20, 20000)
    >>> model = PrivateLinearRegressor(
    ...     epsilon=1.0, delta=1e-5, feature_bounds=(0, 100), target_bounds=(300, 900)
    ... )
    >>> bool(model.fit(X, y).score(X, y) > 0.8)
    True
    """

    _parameter_constraints: dict = {
        **BasePrivate._parameter_constraints,
        "target_bounds": ["array-like", None],
    }
    _how_to_check_y = {"y_numeric": True}

    def __init__(
        self,
        loss="squared_error",
        *,
        mechanism="sgd",
        epsilon=1.0,
        delta=None,
        noise_multiplier=None,
        accountant="rdp",
        alpha="auto",
        fit_intercept=True,
        feature_bounds=None,
        data_norm=None,
        n_samples=None,
        clip_norm=None,
        batch_size=256,
        max_iter=50,
        learning_rate="auto",
        average=True,
        target_bounds=None,
    ):
        self.loss = loss
        self.mechanism = mechanism
        self.epsilon = epsilon
        self.delta = delta
        self.noise_multiplier = noise_multiplier
        self.accountant = accountant
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.feature_bounds = feature_bounds
        self.data_norm = data_norm
        self.n_samples = n_samples
        self.clip_norm = clip_norm
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.average = average
        self.target_bounds = target_bounds

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Fit the model, which spends (epsilon, delta).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Inside the loss's domain, once it is clipped to `target_bounds`.

        Returns
        -------
        self : PrivateLinearRegressor
            Fitted estimator.

        Raises
        ------
        ValueError
            For a parameter or target outside its range, and a loss that the mechanism is not proven
            for. The estimator is then as it was before.
        RuntimeError
            Where "output" or "objective" did not come to the minimum.

        Warns
        -----
        UserWarning
            Where no public bounds are set, and for a `delta` that is not below 1 / n_samples.
        """
        with self._unchanged_on_error():
            return self._fit(X, y)

    def _check_loss(self):
        loss = super()._check_loss()
        name = type(loss).__name__
        if loss.is_multiclass:
            raise ValueError(f"{name} is a loss for classes; use PrivateLinearClassifier")
        if loss.task == "binary" and not loss.gives_probability:
            raise ValueError(
                f"{name} gives margins, not predictions of y; use PrivateLinearClassifier"
            )
        return loss

    def _unknown_bounds(self):
        unknown = super()._unknown_bounds()
        return unknown if self.target_bounds is not None else [*unknown, "target_bounds"]

    def _targets(self, loss, y):
        y = np.ascontiguousarray(y, dtype=np.float64)
        if self.target_bounds is None:
            loss._check_y(y)
            return loss, Targets(y, 1, 0.0, 1.0, None, {})
        ends = pair("target_bounds", self.target_bounds)
        if not loss.in_y_true_range(np.array(ends)):
            raise ValueError(
                f"target_bounds must lie in {loss.interval_y_true}, the domain of "
                f"{type(loss).__name__}; got {self.target_bounds!r}"
            )
        start, width = target_scaling(loss, ends, self.fit_intercept)
        y = np.clip(y, *ends)
        return loss, Targets(y, 1, start, width, slope_at(loss, ends, start), {})

    def _shown_coef(self, coef):
        return coef[0]

    def predict(self, X):
        """Predictions of y: the inverse link of the linear model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
        """
        raw = self._raw(X)
        return self.loss_.predict(raw[:, 0])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Noise is the price: of few samples little can be learned.
        tags.regressor_tags.poor_score = True
        return tags
