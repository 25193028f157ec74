"""What an attack does to a linear model that is there already: its worst loss, and its scores."""

import numbers

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_array, check_consistent_length

from sklearn_losses._interval import NON_NEGATIVE
from sklearn_losses._parameters import check_number
from sklearn_losses._sklearn_compat import check_sample_weight
from sklearn_losses.adversarial._norms import norm_of
from sklearn_losses.adversarial._pieces import check_loss, worst_loss
from sklearn_losses.losses import get_loss
from sklearn_losses.metrics import encode

# Rows on which a pipeline is held to be affine, and to how many digits.
ROWS, DIGITS = 64, 1e-6


def radius_of(owner, eps, n_features):
    """How far an attack goes in each feature: ndarray of shape (n_features,)."""
    if isinstance(eps, numbers.Number) or np.ndim(eps) == 0:
        return np.full(n_features, check_number(owner, "eps", eps, NON_NEGATIVE))
    radius = np.asarray(eps)
    if radius.dtype.kind not in "biuf" or radius.shape != (n_features,):
        raise ValueError(
            f"{owner}: eps must be a number in {NON_NEGATIVE}, or an array of such with shape "
            f"({n_features},); got an array of shape {radius.shape} and dtype {radius.dtype}"
        )
    wrong = ~NON_NEGATIVE.contains(radius)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"{owner}: eps must lie in {NON_NEGATIVE}; got {radius[first]} at index {first}"
        )
    return radius.astype(np.float64)


class Linear:
    """Rows of weights, intercepts and how far an attack moves each row's raw prediction.

    Parameters
    ----------
    model : estimator, Pipeline, or tuple (coef, intercept)
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    """

    def __init__(self, model, X):
        self.X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])
        coef, intercept = self._parts(model, self.X)
        self.coef = np.atleast_2d(coef)
        self.intercept = np.broadcast_to(np.ravel(intercept), len(self.coef))
        if self.coef.ndim != 2 or self.coef.shape[1] != self.X.shape[1]:
            raise ValueError(
                f"X has {self.X.shape[1]} features, and the model has weights of shape "
                f"{self.coef.shape}"
            )

    @classmethod
    def _parts(cls, model, X):
        """Weights and intercepts of the columns of X, dense, float64."""
        if isinstance(model, Pipeline):
            return cls._through(model, X)
        if isinstance(model, tuple) and len(model) == 2:
            coef, intercept = model
        elif hasattr(model, "coef_"):
            coef, intercept = model.coef_, getattr(model, "intercept_", 0.0)
        else:
            raise ValueError(
                "the model must be a fitted linear estimator, with coef_ and intercept_, a "
                "pipeline that ends in one, or a tuple (coef, intercept); got "
                f"{type(model).__name__}"
            )
        coef = coef.toarray() if hasattr(coef, "toarray") else coef
        return np.asarray(coef, dtype=np.float64), np.asarray(intercept, dtype=np.float64)

    @classmethod
    def _through(cls, model, X):
        """The same of a pipeline whose steps before the last are affine, as scalers are."""
        before, d = model[:-1], X.shape[1]
        coef, intercept = cls._parts(model[-1], X)
        if not len(before):
            return coef, intercept

        def raw(rows):
            return safe_sparse_dot(before.transform(rows), np.atleast_2d(coef).T, dense_output=True)

        at_zero = raw(np.zeros((1, d)))[0]
        slopes = (raw(np.eye(d)) - at_zero).T
        rows = X[:ROWS]
        given, made = raw(rows), safe_sparse_dot(rows, slopes.T, dense_output=True) + at_zero
        if not np.allclose(given, made, rtol=DIGITS, atol=DIGITS * float(np.abs(given).max() + 1)):
            raise ValueError(
                "the pipeline's steps before the last must be affine, as scalers and PCA are, for "
                "an attack on X to have a closed form"
            )
        return slopes, at_zero + intercept

    @property
    def raw(self):
        return safe_sparse_dot(self.X, self.coef.T, dense_output=True) + self.intercept


def _checked_weight(sample_weight, X):
    if sample_weight is None:
        return None
    weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight


def adversarial_loss(model, X, y, *, eps, norm="inf", loss=None, sample_weight=None):
    """Mean loss of a linear model where an adversary moves every sample as is worst for it.

    For an attack ``|dx / eps|_p <= 1`` it is closed: the raw prediction moves by at most ``t = |eps
    * coef|_q``, ``1 / p + 1 / q = 1``, and a convex loss is largest at one of the ends.

    Parameters
    ----------
    model : estimator, Pipeline or tuple (coef, intercept)
        A fitted linear estimator, of this package or another; a pipeline whose steps before it are
        affine, as scalers are, where the attack is on what goes into the pipeline; or weights of
        shape (n_features,) and an intercept.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
        Labels of a classifier; of a tuple, and for regression, what the loss takes.
    eps : float or array-like of shape (n_features,)
        The size of the attack, for all features or for each, in units of X; in [0, inf).
    norm : {"inf", 2, 1}, default="inf"
        Of the attack.
    loss : str or Loss or None, default=None
        A convex one of one raw prediction a sample. None: the model's own `loss_`.
    sample_weight : array-like of shape (n_samples,) or None, default=None

    Returns
    -------
    loss : float

    Raises
    ------
    ValueError
        For a loss that is not convex or has several raw predictions, more than two classes, and
        arguments outside their ranges.

    Examples
    --------
    >>> from sklearn_losses import adversarial_loss
    >>> X, y = [[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0]
    >>> adversarial_loss(([1.0, -1.0], 0.0), X, y, eps=0.25, loss="absolute_error")
    0.5
    """
    what = "adversarial_loss"
    last = model[-1] if isinstance(model, Pipeline) else model
    if loss is None and not hasattr(last, "loss_"):
        raise ValueError(f"{what}: loss must be given for a model that has no loss_; got None")
    loss = get_loss(last.loss_ if loss is None else loss)
    check_loss(loss, what)
    linear = Linear(model, X)
    if len(linear.coef) != 1:
        raise ValueError(
            f"{what}: the model must have one row of weights; got {len(linear.coef)}. The worst "
            "loss of several is not closed; adversarial_score has the accuracy of classifiers"
        )
    classes = getattr(last, "classes_", None)
    y = np.asarray(y) if classes is None else encode(y, classes, "classes_")
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    check_consistent_length(linear.X, y)
    loss._check_y(y)
    radius = radius_of(what, eps, linear.X.shape[1])
    t = float(norm_of(what, norm).dual(radius * linear.coef[0]))
    weight = _checked_weight(sample_weight, linear.X)
    raw = np.ascontiguousarray(linear.raw[:, 0], dtype=np.float64)
    return float(np.average(worst_loss(loss, y, raw, t), weights=weight))


def adversarial_score(model, X, y, *, eps, norm="inf", sample_weight=None):
    """Accuracy, or R², of a linear model where an adversary moves every sample as is worst for it.

    Both are exact. A sample counts as right where no attack changes its label: for several classes
    where every other class's score stays below its own.

    Parameters
    ----------
    model : estimator or Pipeline
        As of `adversarial_loss`; a classifier with `classes_` is scored by its accuracy, a
        regressor by R².
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    eps, norm, sample_weight
        As of `adversarial_loss`.

    Returns
    -------
    score : float

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_losses import adversarial_score
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> [round(adversarial_score(model, X, y, eps=eps), 2) for eps in (0.0, 0.2)]
    [0.97, 0.87]
    """
    what = "adversarial_score"
    linear = Linear(model, X)
    kind, radius = norm_of(what, norm), radius_of(what, eps, linear.X.shape[1])
    weight = _checked_weight(sample_weight, linear.X)
    last = model[-1] if isinstance(model, Pipeline) else model
    check_consistent_length(linear.X, y)
    if hasattr(last, "classes_"):
        codes = encode(y, last.classes_, "classes_").astype(int)
        return float(np.average(_withstand(linear, codes, kind, radius), weights=weight))
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if len(linear.coef) != 1 or y.ndim != 1:
        raise ValueError(f"{what}: the model must have one output; got {len(linear.coef)}")
    raw, t = linear.raw[:, 0].astype(np.float64), float(kind.dual(radius * linear.coef[0]))
    predict = last.loss_.predict if hasattr(last, "loss_") else np.asarray
    worst = np.maximum(np.abs(predict(raw + t) - y), np.abs(predict(raw - t) - y))
    around = np.average((y - np.average(y, weights=weight)) ** 2, weights=weight)
    left = float(np.average(worst**2, weights=weight))
    if around == 0:
        return 1.0 if left == 0 else 0.0
    return 1.0 - left / float(around)


def _withstand(linear, codes, kind, radius):
    """Whether no attack changes a sample's label."""
    raw = linear.raw.astype(np.float64)
    if len(linear.coef) == 1:
        t = float(kind.dual(radius * linear.coef[0]))
        return np.where(codes == 1, raw[:, 0] - t > 0, raw[:, 0] + t <= 0)
    n_classes = raw.shape[1]
    coef = linear.coef
    t = np.array([kind.dual(radius * (coef - row)) for row in coef])
    margin = raw[np.arange(len(codes)), codes][:, None] - raw - t[codes]
    # Of equal scores the first class's is taken.
    first = np.arange(n_classes)[None] > codes[:, None]
    beats = (margin > 0) | (first & (margin >= 0))
    beats[np.arange(len(codes)), codes] = True
    return beats.all(axis=1)


class _AdversarialScorer:
    """``scorer(estimator, X, y, sample_weight=None)``."""

    def __init__(self, eps, norm, loss):
        self.eps, self.norm, self.loss = eps, norm, loss

    def __call__(self, estimator, X, y, sample_weight=None):
        options = {"eps": self.eps, "norm": self.norm, "sample_weight": sample_weight}
        if self.loss is None:
            return adversarial_score(estimator, X, y, **options)
        return -adversarial_loss(estimator, X, y, loss=self.loss, **options)

    def __repr__(self):
        return f"make_adversarial_scorer(eps={self.eps!r}, norm={self.norm!r}, loss={self.loss!r})"


def make_adversarial_scorer(*, eps, norm="inf", loss=None):
    """A scorer for searches and cross-validation: the score under attack.

    Parameters
    ----------
    eps, norm
        The attack, as of `adversarial_loss`.
    loss : str or Loss or None, default=None
        None: `adversarial_score`. Otherwise minus `adversarial_loss`.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)``, for linear estimators and pipelines.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn_losses import AdversarialClassifier, make_adversarial_scorer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> scorer = make_adversarial_scorer(eps=0.1 * X.std(axis=0))
    >>> model = AdversarialClassifier(eps=0.1 * X.std(axis=0))
    >>> round(float(cross_val_score(model, X, y, scoring=scorer, cv=3).mean()), 2)
    0.93
    """
    norm_of("make_adversarial_scorer", norm)
    if loss is not None:
        check_loss(get_loss(loss), "make_adversarial_scorer")
    return _AdversarialScorer(eps, norm, loss)
