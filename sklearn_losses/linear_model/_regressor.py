"""Linear regression by stochastic gradient descent."""

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sklearn_losses._sklearn_compat import fit_context
from sklearn_losses._solvers.sgd import descend
from sklearn_losses.linear_model._base import MAX_INT, BaseSGD


class SGDRegressorX(RegressorMixin, BaseSGD):
    """DOC"""

    _passive_aggressive_loss = "epsilon_insensitive"

    def __init__(
        self,
        loss="squared_error",
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
        random_state=None,
        learning_rate="invscaling",
        eta0=0.01,
        power_t=0.25,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
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
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.average = average
        self.batch_size = batch_size

    def _accept_loss(self, loss):
        name = type(loss).__name__
        if loss.is_multiclass:
            raise ValueError(f"{name} is a loss for classes; use SGDClassifierX")
        if loss.task == "binary" and not loss.gives_probability:
            raise ValueError(f"{name} gives margins, not predictions of y; use SGDClassifierX")
        return loss

    def _train(self, X, y, sample_weight, max_iter, coef_init, intercept_init, going_on, loss):
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            order="C",
            accept_large_sparse=True,
            y_numeric=True,
            reset=not going_on,
        )
        y = y.astype(np.float64, copy=False)
        loss._check_y(y)
        sample_weight = self._check_weights(sample_weight, X)
        model = self._start(1, X.shape[1], X.dtype, coef_init, intercept_init, going_on)
        held_out = self._held_out(y, sample_weight)
        # The draws, in this order, are scikit-learn's; the second seeds what it does not use.
        random_state = check_random_state(self.random_state)
        seed = random_state.randint(0, MAX_INT)
        random_state.randint(1, MAX_INT)
        result = descend(
            X,
            y,
            sample_weight,
            model,
            loss,
            self._settings(max_iter),
            seed=seed,
            t=self.t_ if going_on else 1.0,
            held_out=held_out,
            score=self._scorer(X, y, sample_weight, held_out, loss),
        )
        self._commit([result], X.shape[0], loss, going_on)

    def _set_weights(self, model):
        self.coef_ = model.coef[0]
        self.intercept_ = model.intercept.astype(model.coef.dtype)

    def _dense_coef(self):
        return self.coef_.toarray()[0]

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, coef_init=None, intercept_init=None, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Float32 and float64 in C order, and CSR with int32 or int64 indices, are not copied.
        y : array-like of shape (n_samples,)
            Inside the loss's domain.
        coef_init : array-like of shape (n_features,) or None, default=None
            Weights to start from; zeros if None.
        intercept_init : array-like of shape (1,) or None, default=None
            Intercept to start from; zero if None.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Not negative; they multiply the steps.

        Returns
        -------
        self : SGDRegressorX
            Fitted estimator.

        Raises
        ------
        ValueError
            For a parameter, a target or a weight outside its range, and when the weights overflow. The estimator is
            then as it was before.
        """
        loss = self._check_parameters()
        if self.warm_start and hasattr(self, "coef_"):
            coef_init = self.coef_ if coef_init is None else coef_init
            intercept_init = self.intercept_ if intercept_init is None else intercept_init
        with self._unchanged_on_error():
            self._train(X, y, sample_weight, self.max_iter, coef_init, intercept_init, False, loss)
        self._warn_after_fit()
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Go on for one epoch over the given samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        self : SGDRegressorX
            Fitted estimator.
        """
        going_on = hasattr(self, "coef_")
        loss = self._check_parameters(first_partial_fit=not going_on)
        with self._unchanged_on_error():
            self._train(X, y, sample_weight, 1, None, None, going_on, loss)
        return self


    def predict(self, X):
        """Predictions of y: the inverse link of the linear model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
        """
        return self.loss_.predict(self._raw(X).ravel())
