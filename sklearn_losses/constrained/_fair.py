"""Linear models that are fair to groups."""

from dataclasses import replace

import numpy as np
from scipy import sparse

from sklearn_losses._array import check_on_host
from sklearn_losses._interval import UNIT
from sklearn_losses._parameters import check_number
from sklearn_losses.constrained._base import BinaryClassification, ConstrainedRegression, counted
from sklearn_losses.constrained._constraints import Linear, none_of
from sklearn_losses.constrained._problem import Groups
from sklearn_losses.constrained._sensitive import groups_of, read_sensitive

# Correlations below this are 0: there is nothing to make less of.
NO_CORRELATION = 1e-9
# Covariances below this share of both sizes are rounding.
ROUNDING = 1e-13


class _Fair:
    """Mixin: a fit without constraints, and one whose unfairness is a share of that one's."""

    _constraints = ()

    def __init__(
        self,
        loss,
        *,
        constraint="demographic_parity",
        bound=0.0,
        alpha=1e-4,
        l1_ratio=0.0,
        fit_intercept=True,
        tol=1e-12,
        max_iter=200,
    ):
        self.loss = loss
        self.constraint = constraint
        self.bound = bound
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    def _fit(self, X, y, sensitive_features, sample_weight):
        """The body of `fit`."""
        owner = type(self).__name__
        settings, loss = self._settings(), self._checked_loss()
        bound = check_number(owner, "bound", self.bound, UNIT)
        if self.constraint not in self._constraints:
            raise ValueError(
                f"{owner}: constraint must be one of {', '.join(map(repr, self._constraints))}; "
                f"got {self.constraint!r}"
            )
        by_group = self.constraint == "bounded_group_loss"
        if by_group and not loss.differentiable:
            raise ValueError(
                f"{owner}: constraint='bounded_group_loss' needs a loss with a derivative; "
                f"{loss!r} has a kink"
            )
        with self._unchanged_on_error():
            check_on_host(owner, sensitive_features=sensitive_features)
            X, y, weight = self._targets(X, y, sample_weight, loss)
            read = groups_of if by_group else read_sensitive
            sensitive = read(owner, sensitive_features, len(y))
            weight, X, y, rows = counted(weight, X, y, np.arange(len(y)))
            samples, sensitive = (X, y, weight, None), sensitive.at(rows)
            free = self._solved(loss, samples, none_of(X.shape[1]), settings)
            fair = self._fair_in_groups if by_group else self._fair_by_covariance
            found = fair(loss, samples, sensitive, settings, free, bound)
            self._commit(found, X, loss)
        self._warn(found)
        return self

    # ------------------------------------------------------------------------------- covariances

    def _fair_by_covariance(self, loss, samples, sensitive, settings, free, bound):
        X, y, weight, _ = samples
        columns, names = sensitive.columns()
        share = np.ones(len(y)) if weight is None else weight
        if self.constraint == "equal_opportunity":
            share = share * (y == 1)
        share = share / share.sum()
        away = columns - share @ columns
        spread = np.sqrt(share @ away**2)
        if not np.ptp(columns[share > 0], axis=0).any():
            of = " of positive samples" if self.constraint == "equal_opportunity" else ""
            raise ValueError(
                f"{type(self).__name__}: sensitive_features{of} must hold two values at least; "
                "all are the same"
            )
        matrix = np.asarray((X.T @ (share[:, None] * away)).T, dtype=np.float64)
        # What rounding alone makes of a covariance of 0 is no direction to hold.
        squares = X.multiply(X) if sparse.issparse(X) else X * X
        sizes = np.sqrt(np.ravel(squares.T @ share))
        matrix[np.abs(matrix) <= ROUNDING * spread[:, None] * sizes] = 0.0
        before = matrix @ free.coef
        raw = np.asarray(X @ free.coef)
        size = spread * np.sqrt(share @ (raw - share @ raw) ** 2)
        limit = np.where(np.abs(before) > NO_CORRELATION * size, bound * np.abs(before), 0.0)
        found = free
        if bound < 1:
            found = self._solved(loss, samples, Linear(matrix, -limit, limit), settings)
        self._report(names, matrix @ found.coef, before, np.abs(before) if bound == 1 else limit)
        return found

    # ------------------------------------------------------------------------------- group losses

    def _fair_in_groups(self, loss, samples, sensitive, settings, free, bound):
        X, y, weight, _ = samples
        present, codes = np.unique(sensitive.codes, return_inverse=True)
        if len(present) < 2:
            raise ValueError(
                f"{type(self).__name__}: sensitive_features of samples whose weight is not 0 must "
                "make two groups at least; got one"
            )
        names = [sensitive.names[k] for k in present]
        share = np.ones(len(y)) if weight is None else weight
        share = (codes == np.arange(len(names))[:, None]) * share
        share = share / share.sum(axis=1, keepdims=True)

        def of_groups(fit):
            return share @ loss.loss(y, np.ascontiguousarray(X @ fit.coef + fit.intercept))

        nothing = none_of(X.shape[1])
        before = of_groups(free)
        found, most = free, float(before.max())
        if bound < 1:
            best = self._solved(loss, samples, nothing, settings, Groups(share, None))
            least = min(float(of_groups(best).max()), most)
            most = least + bound * (most - least)
            # What it minimised was the largest of the groups' losses.
            losses = loss.loss(y, np.ascontiguousarray(X @ best.coef + best.intercept))
            l1, l2 = settings[:2]
            penalty = l1 * np.abs(best.coef).sum() + 0.5 * l2 * best.coef @ best.coef
            found = replace(best, objective=np.average(losses, weights=weight) + penalty)
            if bound > 0:
                limits = Groups(share, np.full(len(names), most))
                found = self._solved(loss, samples, nothing, settings, limits)
        self._report(names, of_groups(found), before, np.full(len(names), most))
        return found

    def _report(self, names, reached, before, limit):
        self.sensitive_names_ = np.asarray(names, dtype=object)
        self.reached_, self.unconstrained_, self.limit_ = reached, before, limit


class FairClassifier(_Fair, BinaryClassification):
    """Linear classifier that treats groups alike, by constraints on a convex loss.

    It minimises ``mean(sample_weight * loss(y, raw)) + alpha * (l1_ratio * |coef_|_1 + (1 -
    l1_ratio) * |coef_|_2^2 / 2)``, ``raw = X @ coef_ + intercept_``, under one of three
    constraints. All are convex, so that the minimum is found, and is the same each time.

    Parameters
    ----------
    loss : str or Loss, default="log_loss"
        Any convex binary loss with a derivative, or made of straight lines ("hinge").
    constraint : str, default="demographic_parity"
        - "demographic_parity": the covariance of each sensitive feature with the raw prediction is
          limited [1]_.
        - "equal_opportunity": the same over the samples of the second class, ``classes_[1]`` [2]_.
        - "bounded_group_loss": the mean loss of each group is limited [3]_. The loss must have a
          derivative.
    bound : float, default=0.0
        How much of the unfairness of the fit without constraint may be left, in [0, 1]; 1 is that
        fit. Of covariances it is the share that each may have (the multiplicative factor of [1]_).
        Of group losses it is where the limit of all groups is between the least that the largest
        of them can be (0) and the largest of the fit without constraint (1), so that there always
        are weights that meet it.
    alpha : float, default=1e-4
        Strength of the penalty, as that of `SGDClassifierX`, in [0, inf). "The least" above is
        with the penalty.
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
        In X's dtype.
    intercept_ : ndarray of shape (1,)
    sensitive_names_ : ndarray of shape (n_sensitive,) of str
        What is limited: groups, of which the second stands for both where there are two and
        covariances are limited; then columns of floats.
    reached_, unconstrained_, limit_ : ndarray of shape (n_sensitive,)
        Covariances, or mean losses of groups, of this fit and of that without constraint, and what
        limits the former (covariances: their absolute values).
    objective_ : float
        The mean loss of all and the penalty, at the solution.
    loss_ : Loss
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Where X has string names.

    See Also
    --------
    demographic_parity_difference, equal_opportunity_difference : What is said of labels.
    FairnessDisplay : Score against unfairness.

    Notes
    -----
    A covariance of raw predictions that is 0 makes their group means alike, not the shares that are
    above the threshold: those are only near. Sensitive features need not be known to predict.

    References
    ----------
    .. [1] Zafar, M. B., Valera, I., Gomez Rodriguez, M. and Gummadi, K. P. (2017). Fairness
       constraints: mechanisms for fair classification. AISTATS, equation 2 and section 4.
    .. [2] Donini, M., Oneto, L., Ben-David, S., Shawe-Taylor, J. and Pontil, M. (2018). Empirical
       risk minimization under fairness constraints. NeurIPS.
    .. [3] Agarwal, A., Dudik, M. and Wu, Z. S. (2019). Fair regression: quantitative definitions
       and reduction-based algorithms. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import FairClassifier, demographic_parity_difference
    >>> rng = np.random.RandomState(0)
    >>> group = rng.choice(["a", "b"], 400)
    >>> X = rng.standard_normal((400, 3)) + (group == "b")[:, None] * [1.0, 0.5, 0.0]
    >>> y = X @ [1, 1, 1] + rng.standard_normal(400) > 1
    >>> for bound in (1.0, 0.0):
    ...     model = FairClassifier(bound=bound).fit(X, y, sensitive_features=group)
    ...     unlike = demographic_parity_difference(y, model.predict(X), sensitive_features=group)
    ...     print(f"{model.score(X, y):.2f} {unlike:.2f}")
    0.87 0.30
    0.67 0.05
    """

    _constraints = ("demographic_parity", "equal_opportunity", "bounded_group_loss")

    def __init__(
        self,
        loss="log_loss",
        *,
        constraint="demographic_parity",
        bound=0.0,
        alpha=1e-4,
        l1_ratio=0.0,
        fit_intercept=True,
        tol=1e-12,
        max_iter=200,
    ):
        super().__init__(
            loss,
            constraint=constraint,
            bound=bound,
            alpha=alpha,
            l1_ratio=l1_ratio,
            fit_intercept=fit_intercept,
            tol=tol,
            max_iter=max_iter,
        )

    def fit(self, X, y, *, sensitive_features=None, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of two classes.
        sensitive_features : array-like or DataFrame of shape (n_samples,) or (n_samples, n_columns)
            It must be given. Columns of floats are numbers; all others (strings, integers,
            booleans, categories) name groups, of several columns each combination.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Not negative; a weight of 2 is two copies.

        Returns
        -------
        self : FairClassifier

        Raises
        ------
        ValueError
            Where sensitive features are missing or make one group, and for what is outside its
            range.

        Warns
        -----
            Where the fit did not come to the minimum, or there is none.
        """
        return self._fit(X, y, sensitive_features, sample_weight)


class FairRegressor(_Fair, ConstrainedRegression):
    """Linear regression that treats groups alike, by constraints on a convex loss.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        Any convex regression loss with a derivative, or made of straight lines ("quantile").
    constraint : str, default="demographic_parity"
        - "demographic_parity": the covariance of each sensitive feature with the raw prediction is
          limited; where it is 0, groups have the same mean of raw predictions.
        - "bounded_group_loss": the mean loss of each group is limited [1]_. The loss must have a
          derivative.
    bound : float, default=0.0
        How much of the unfairness of the fit without constraint may be left, in [0, 1]; as that of
        `FairClassifier`.
    alpha : float, default=1e-4
        Strength of the penalty, as that of `SGDRegressorX`, in [0, inf).
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
        In X's dtype.
    intercept_ : float
    sensitive_names_, reached_, unconstrained_, limit_ : ndarray of shape (n_sensitive,)
        As those of `FairClassifier`.
    objective_ : float
        The mean loss of all and the penalty, at the solution.
    loss_ : Loss
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Where X has string names.

    See Also
    --------
    FairClassifier : The same for two classes.

    References
    ----------
    .. [1] Agarwal, A., Dudik, M. and Wu, Z. S. (2019). Fair regression: quantitative definitions
       and reduction-based algorithms. ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_losses import FairRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> sex = X[:, 1] > 0
    >>> model = FairRegressor(bound=0.0, alpha=0).fit(X, y, sensitive_features=sex)
    >>> means = [model.predict(X[sex == value]).mean() for value in (False, True)]
    >>> bool(abs(means[1] - means[0]) < 1e-9)
    True
    """

    _constraints = ("demographic_parity", "bounded_group_loss")

    def __init__(
        self,
        loss="squared_error",
        *,
        constraint="demographic_parity",
        bound=0.0,
        alpha=1e-4,
        l1_ratio=0.0,
        fit_intercept=True,
        tol=1e-12,
        max_iter=200,
    ):
        super().__init__(
            loss,
            constraint=constraint,
            bound=bound,
            alpha=alpha,
            l1_ratio=l1_ratio,
            fit_intercept=fit_intercept,
            tol=tol,
            max_iter=max_iter,
        )

    def fit(self, X, y, *, sensitive_features=None, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Inside the loss's domain.
        sensitive_features : array-like or DataFrame of shape (n_samples,) or (n_samples, n_columns)
            It must be given. Columns of floats are numbers; all others (strings, integers,
            booleans, categories) name groups, of several columns each combination.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Not negative; a weight of 2 is two copies.

        Returns
        -------
        self : FairRegressor

        Raises
        ------
        ValueError
            Where sensitive features are missing or make one group, and for what is outside its
            range.

        Warns
        -----
            Where the fit did not come to the minimum.
        """
        return self._fit(X, y, sensitive_features, sample_weight)

    def predict(self, X):
        """Predictions: the loss's inverse link of the linear ones.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        raw = self._raw(X)
        return self.loss_.predict(raw)
