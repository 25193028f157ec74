"""Linear regression by stochastic gradient descent."""

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sklearn_losses._sklearn_compat import fit_context
from sklearn_losses._solvers.sgd import descend
from sklearn_losses.linear_model._base import MAX_INT, BaseSGD


class SGDRegressorX(RegressorMixin, BaseSGD):
    """Linear model of any regression loss, trained by stochastic gradient descent.

    It minimises ``mean(sample_weight * loss(y, X @ coef_ + intercept_)) + alpha * penalty(coef_)``;
    `predict` applies the loss's inverse link. The L1 penalty is the cumulative one of [3]_.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        A name in `sklearn_losses.LOSSES`, or a loss object, whose parameters can be searched over
        as
        ``loss__delta``. Losses of the probability of a class are accepted too: y is then in [0, 1].
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
    random_state : int, RandomState instance or None, default=None
        Seeds the shuffling and the choice of validation samples.
    learning_rate : {"constant", "optimal", "invscaling", "adaptive", "pa1", "pa2"}, \
            default="invscaling"
        The length eta of step t:

        - "constant": ``eta0``
        - "optimal": ``1 / (alpha * (t0 + t - 1))``, t0 by Bottou's heuristic
        - "invscaling": ``eta0 / t**power_t``
        - "adaptive": eta0, divided by 5 each time that `n_iter_no_change` epochs in a row brought
          no change, until it is below 1e-6
        - "pa1", "pa2": passive-aggressive steps [2]_, with eta0 for their C; only with
          `loss="epsilon_insensitive"`
    eta0 : float, default=0.01
        In (0, inf). Not used by "optimal".
    power_t : float, default=0.25
        The exponent of "invscaling". Negative values are deprecated.
    early_stopping : bool, default=False
        Whether to hold out samples and to stop on their score (that of the method `score`) instead
        of the objective.
    validation_fraction : float, default=0.1
        Share of the samples that early stopping holds out; in (0, 1).
    n_iter_no_change : int, default=5
        Epochs in a row without change that end the fit, in [1, inf).
    warm_start : bool, default=False
        Whether `fit` starts from the last solution; t starts from 1 in any case.
    average : bool or int, default=False
        Whether the coefficients are averages over all steps (True), or over the steps from that
        number on (int) [1]_.
    batch_size : int, default=1
        How many samples make a step, in [1, inf): it follows the mean of their gradients.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Weights, in X's dtype.
    intercept_ : ndarray of shape (1,)
        Intercept, in X's dtype.
    loss_ : Loss
        The loss that was minimised.
    loss_curve_ : list of float
        The objective of each epoch: the mean over its samples, each before its step. `partial_fit`
        appends.
    n_iter_ : int
        Epochs of the last fit.
    t_ : float
        1 + the number of steps since `fit` began.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X has string names.

    See Also
    --------
    SGDClassifierX : The same for classes.
    sklearn.linear_model.SGDRegressor : Has the same parameters, and four losses.

    Notes
    -----
    With ``batch_size=1`` this is scikit-learn 1.9's SGDRegressor, step for step: the same data,
    parameters and random state give the same coefficients to rounding, on dense and on sparse data.
    (While the steps are so long that the iteration is chaotic, rounding grows: with "optimal" and
    a squared loss on unscaled data, for example.) It differs where scikit-learn is wrong:

    - The weights' norm, which enters the objective, is exact on sparse data; there scikit-learn
    sums
      over the last sample's features only. Fits may stop after another number of epochs.
    - Early stopping scores the model itself. scikit-learn leaves out the factor by which the L2
      penalty has shrunk the weights.
    - `warm_start` with `average` starts from the last averages and averages anew; scikit-learn
      mixes the old averages into the new ones.
    - `coef_init`, and the arrays of the last fit, are never written to; a fit that raises an error
      leaves the estimator as it was.
    - `coef_init` counts with `warm_start` too. Negative sample weights raise an error.

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
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_losses import HuberLoss
    >>> from sklearn_losses.linear_model import SGDRegressorX
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(),
    ...     SGDRegressorX(HuberLoss(delta=50.0), batch_size=8, random_state=0),
    ... )
    >>> round(model.fit(X, y).score(X, y), 2)
    0.51
    """

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
            For a parameter, a target or a weight outside its range, and when the weights overflow.
            The estimator is
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
        raw = self._raw(X).ravel()  # first: it says so when the estimator is not fitted
        return self.loss_.predict(raw)
