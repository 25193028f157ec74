"""Linear models whose weights meet linear constraints."""

from sklearn_losses.constrained._base import BinaryClassification, ConstrainedRegression, counted
from sklearn_losses.constrained._constraints import check_feasible, read


def _fit(self, X, y, sample_weight, offset):
    """The body of `fit` of both."""
    settings, loss = self._settings(), self._checked_loss()
    with self._unchanged_on_error():
        X, y, weight = self._targets(X, y, sample_weight, loss)
        linear = read(type(self).__name__, self.constraints, X.shape[1])
        check_feasible(type(self).__name__, linear)
        offset = self._check_offset(offset, X, 1)
        offset = None if offset is None else offset.ravel()
        weight, X, y, offset = counted(weight, X, y, offset)
        found = self._solved(loss, (X, y, weight, offset), linear, settings)
        self._commit(found, X, loss)
        self.multipliers_ = found.multiplier
    self._warn(found)
    return self


class ConstrainedRegressor(ConstrainedRegression):
    """Linear regression of any convex loss under linear constraints on the weights.

    It minimises ``mean(sample_weight * loss(y, X @ coef_ + intercept_ + offset)) + alpha *
    (l1_ratio * |coef_|_1 + (1 - l1_ratio) * |coef_|_2^2 / 2)`` so that ``lb <= A @ coef_ <= ub``.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        Any convex regression loss with a derivative, or made of straight lines ("quantile",
        "absolute_error", ...). Its parameters are numbers, not "auto".
    constraints : scipy.optimize.LinearConstraint, list of them or None, default=None
        ``A`` of shape (n_rows, n_features), dense or sparse, in units of X. ``lb`` and ``ub`` are
        numbers or arrays of shape (n_rows,), and may be infinite; rows with ``lb == ub`` are
        equations. The intercept is no part of them.
    alpha : float, default=1e-4
        Strength of the penalty, as that of `SGDRegressorX`, in [0, inf). It makes the minimum one
        where columns depend on each other; 0 leaves the constraints alone.
    l1_ratio : float, default=0.0
        The share of L1 in it, in [0, 1].
    fit_intercept : bool, default=True
    tol : float, default=1e-12
        The estimated gap to the minimum, beside the objective above its least conceivable value,
        at which a fit ends; in (0, inf).
    max_iter : int, default=200
        The most of Newton's steps, in [1, inf).

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        In X's dtype. In float32 constraints are met to its rounding.
    intercept_ : float
    multipliers_ : ndarray of shape (n_rows,)
        By how much the objective would fall for each unit by which a row's limit gave way: positive
        where ``ub`` holds the weights, negative where ``lb`` does, 0 where neither. Equations that
        follow from others have 0.
    objective_ : float
        What was minimised, at the solution.
    loss_ : Loss
    n_iter_ : int
        Newton's steps; 1 for a loss made of lines, which is one quadratic program.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Where X has string names.

    See Also
    --------
    ConstrainedClassifier : The same for two classes.
    SGDRegressorX : Has bounds of each weight by itself, for data of any size.

    Notes
    -----
    A step is to the minimum of a quadratic model of the loss under the constraints as they are, by
    an interior point method [1]_. All samples are needed at once, so that there is no
    ``partial_fit``; a matrix of as many rows and columns as there are features is factored, of
    which there may be 5,000.

    References
    ----------
    .. [1] Mehrotra, S. (1992). On the implementation of a primal-dual interior point method. SIAM
       Journal on Optimization 2, 575-601.

    Examples
    --------
    Weights that rise from one feature to the next, and add up to 1.

    >>> import numpy as np
    >>> from scipy.optimize import LinearConstraint
    >>> from sklearn_losses import ConstrainedRegressor
    >>> rng = np.random.RandomState(0)
    >>> X = rng.standard_normal((100, 3))
    >>> y = X @ [0.3, 0.2, 0.6] + 0.5 * rng.standard_normal(100)
    >>> rises = LinearConstraint([[-1, 1, 0], [0, -1, 1]], lb=0)
    >>> adds_up = LinearConstraint([[1, 1, 1]], lb=1, ub=1)
    >>> model = ConstrainedRegressor("huber", constraints=[rises, adds_up]).fit(X, y)
    >>> model.coef_.round(2)
    array([0.18, 0.18, 0.65])
    """

    def __init__(
        self,
        loss="squared_error",
        *,
        constraints=None,
        alpha=1e-4,
        l1_ratio=0.0,
        fit_intercept=True,
        tol=1e-12,
        max_iter=200,
    ):
        self.loss = loss
        self.constraints = constraints
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X, y, sample_weight=None, *, offset=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Inside the loss's domain.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Not negative; a weight of 2 is two copies.
        offset : array-like of shape (n_samples,) or None, default=None
            Added to the raw predictions.

        Returns
        -------
        self : ConstrainedRegressor

        Raises
        ------
        ValueError
            Where no weights meet the constraints, and for what is outside its range.

        Warns
        -----
        ConvergenceWarning
            Where the fit did not come to the minimum.
        """
        return _fit(self, X, y, sample_weight, offset)

    def predict(self, X, *, offset=None):
        """Predictions: the loss's inverse link of the linear ones.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        raw = self._raw(X, offset)
        return self.loss_.predict(raw)


class ConstrainedClassifier(BinaryClassification):
    """Linear classifier of any convex loss of two classes under linear constraints on the weights.

    It minimises ``mean(sample_weight * loss(y, X @ coef_ + intercept_ + offset)) + alpha *
    (l1_ratio * |coef_|_1 + (1 - l1_ratio) * |coef_|_2^2 / 2)`` so that ``lb <= A @ coef_ <= ub``.

    Parameters
    ----------
    loss : str or Loss, default="log_loss"
        Any convex binary loss with a derivative, or made of straight lines ("hinge").
    constraints : scipy.optimize.LinearConstraint, list of them or None, default=None
        ``A`` of shape (n_rows, n_features), dense or sparse, in units of X. ``lb`` and ``ub`` are
        numbers or arrays of shape (n_rows,), and may be infinite; rows with ``lb == ub`` are
        equations. The intercept is no part of them.
    alpha : float, default=1e-4
        Strength of the penalty, as that of `SGDRegressorX`, in [0, inf). It makes the minimum one
        where columns depend on each other; 0 leaves the constraints alone.
    l1_ratio : float, default=0.0
        The share of L1 in it, in [0, 1].
    fit_intercept : bool, default=True
    tol : float, default=1e-12
        The estimated gap to the minimum, beside the objective above its least conceivable value,
        at which a fit ends; in (0, inf).
    max_iter : int, default=200
        The most of Newton's steps, in [1, inf).

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
    coef_ : ndarray of shape (1, n_features)
        In X's dtype. In float32 constraints are met to its rounding.
    intercept_ : ndarray of shape (1,)
    multipliers_ : ndarray of shape (n_rows,)
        By how much the objective would fall for each unit by which a row's limit gave way: positive
        where ``ub`` holds the weights, negative where ``lb`` does, 0 where neither. Equations that
        follow from others have 0.
    objective_ : float
        What was minimised, at the solution.
    loss_ : Loss
    n_iter_ : int
        Newton's steps; 1 for a loss made of lines, which is one quadratic program.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Where X has string names.

    See Also
    --------
    ConstrainedRegressor : The same for numbers.
    FairClassifier : Constraints that make it fair to groups.

    Notes
    -----
    More than two classes are refused: constraints of one class's weights say nothing of
    predictions that compare several. See `ConstrainedRegressor` for the method.

    Examples
    --------
    A tumour's risk that no measurement lowers, of which the second counts at least as much as the
    first.

    >>> from scipy.optimize import LinearConstraint
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_losses import ConstrainedClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X[:, :3])
    >>> A = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 1, 0]]
    >>> model = ConstrainedClassifier(constraints=LinearConstraint(A, lb=0)).fit(X, y == 0)
    >>> model.coef_.round(2)
    array([[0.  , 0.95, 4.04]])
    """

    def __init__(
        self,
        loss="log_loss",
        *,
        constraints=None,
        alpha=1e-4,
        l1_ratio=0.0,
        fit_intercept=True,
        tol=1e-12,
        max_iter=200,
    ):
        self.loss = loss
        self.constraints = constraints
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X, y, sample_weight=None, *, offset=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of two classes.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Not negative; a weight of 2 is two copies.
        offset : array-like of shape (n_samples,) or None, default=None
            Added to the raw predictions.

        Returns
        -------
        self : ConstrainedClassifier

        Raises
        ------
        ValueError
            Where no weights meet the constraints, and for what is outside its range.

        Warns
        -----
        ConvergenceWarning
            Where the fit did not come to the minimum, or there is none.
        """
        return _fit(self, X, y, sample_weight, offset)

    def decision_function(self, X, *, offset=None):
        """Raw predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        raw : ndarray of shape (n_samples,)
        """
        return self._raw(X, offset)
