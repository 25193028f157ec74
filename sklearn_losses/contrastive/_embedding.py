"""Linear embeddings that are trained with the losses of pairs."""

import heapq
import warnings
from contextlib import contextmanager

import numpy as np
from scipy import linalg
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_losses._array import check_on_host
from sklearn_losses._interval import NON_NEGATIVE, POSITIVE
from sklearn_losses._parameters import check_integer, check_number, from_name
from sklearn_losses.contrastive._base import ContrastiveLoss, codes_of
from sklearn_losses.contrastive._descent import (
    Descent,
    Objective,
    Table,
    principal_axes,
    whitened,
)
from sklearn_losses.contrastive._pairs import PRECOMPUTED
from sklearn_losses.contrastive._softmax import CLIPLoss, SupervisedContrastive
from sklearn_losses.contrastive._triplet import TripletLoss

FLOATS = (np.float64, np.float32)
# A map is no map where it gains less than this share of the objective on sending all to 0.
COLLAPSED = 1e-3
# Added to the variances (1 each) that starts divide by.
RIDGE = 0.1


def discriminant_axes(rows, codes, n_components):
    """The first axes of Fisher's linear discriminant, within-class variances having `RIDGE` added.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
    codes : ndarray of shape (n_samples,), intp
    n_components : int

    Returns
    -------
    axes : ndarray of shape (n_components, n_features)
    """
    counts = np.bincount(codes)
    means = np.zeros((len(counts), rows.shape[1]))
    np.add.at(means, codes, rows)
    means /= counts[:, np.newaxis]
    within = rows - means[codes]
    spread = within.T @ within / len(rows) + RIDGE * np.eye(rows.shape[1])
    between = (means.T * (counts / len(rows))) @ means
    last = rows.shape[1]
    return linalg.eigh(between, spread, subset_by_index=[last - n_components, last - 1])[1].T[::-1]


def batches_of_classes(codes, size, random):
    """Rows in batches of about `size`, each with its part of every class, and in pairs at least
    where a class has two.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,), intp
    size : int or None
    random : RandomState

    Returns
    -------
    batches : list of ndarray of intp
    """
    if size is None or len(codes) <= size:
        return [np.arange(len(codes))]
    n_batches = -(-len(codes) // size)
    parts = [[] for _ in range(n_batches)]
    load = [(0, k) for k in range(n_batches)]
    order = random.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    for rows in np.split(order, np.cumsum(np.bincount(codes))[:-1]):
        # The largest parts first, each to the batch that has the least.
        pieces = np.array_split(rows, max(1, min(n_batches, len(rows) // 2)))
        for piece in pieces:
            held, k = heapq.heappop(load)
            parts[k].append(piece)
            heapq.heappush(load, (held + len(piece), k))
    return [np.sort(np.concatenate(part)) for part in parts if part]


class _Embedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What both share: parameters, and the course of a fit."""

    # Names of losses -> classes, and the loss that None stands for.
    _losses, _default_loss = {}, None

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

    def _parameters(self):
        """The loss, and alpha, batch_size, max_iter and tol, checked."""
        owner = type(self).__name__
        given = self._default_loss if self.loss is None else self.loss
        loss = from_name("loss", given, ContrastiveLoss, self._losses, {})
        if not isinstance(loss, tuple(self._losses.values())):
            names = " or a ".join(cls.__name__ for cls in self._losses.values())
            raise ValueError(f"{owner}: loss must be a {names}; got {loss!r}")
        loss._check()
        if loss._pairs_of is None:
            raise ValueError(
                f"{owner}: loss must make its matrix of pairs from embeddings; got {loss!r}, with "
                f"{loss._pairs_parameter}={PRECOMPUTED!r}"
            )
        if self.batch_size is not None:
            check_integer(owner, "batch_size", self.batch_size, low=2)
        alpha = check_number(owner, "alpha", self.alpha, NON_NEGATIVE)
        max_iter = check_integer(owner, "max_iter", self.max_iter)
        return clone(loss), alpha, max_iter, check_number(owner, "tol", self.tol, POSITIVE)

    def _n_components(self, most, of_what):
        if self.n_components is None:
            return most
        given = check_integer(type(self).__name__, "n_components", self.n_components)
        if given > most:
            raise ValueError(
                f"{type(self).__name__}: n_components must be at most {most}, {of_what}; "
                f"got {given}"
            )
        return given

    def _fitted_maps(self, objective, maps, max_iter, tol):
        """The maps of least objective, and the attributes that say how that was found."""
        descent = Descent(objective, objective.start(maps), max_iter, tol)
        if not descent.converged:
            warnings.warn(
                f"{type(self).__name__} did not converge in max_iter={max_iter} iterations. "
                "Consider a larger max_iter, a larger alpha, or a larger tol.",
                ConvergenceWarning,
                stacklevel=4,
            )
        maps = objective.maps(descent.vector)
        if objective.has_no_scale:
            maps = [objective.unit_size(weights, k) for k, weights in enumerate(maps)]
        elif not descent.value < (1 - COLLAPSED) * objective(0 * descent.vector)[0]:
            warnings.warn(
                f"{type(self).__name__} found nothing better than to map all samples to one point. "
                "Consider a smaller alpha or, with the hardest triplets, which are those of "
                "outliers in many samples, a smaller batch_size or mining='all'.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return maps, {"n_iter_": descent.n_iter, "objective_": descent.value}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _embedded(X, mean, components):
    """Rows less the mean, mapped. The difference is taken in float64, where digits count."""
    return (X - mean).astype(components.dtype, copy=False) @ components.T


class ContrastiveEmbedding(_Embedding):
    """Linear map in which samples of one class are near each other, for nearest neighbours and
    pictures.

    Columns are centred and divided by their standard deviations inside, so that their units change
    nothing; ``transform(X) = (X - mean_) @ components_.T``.

    Parameters
    ----------
    n_components : int or None, default=None
        At least 1, at most the lesser of the numbers of samples and features, which None stands
        for.
    loss : {"supervised_contrastive", "triplet"}, ContrastiveLoss or None, default=None
        None is ``SupervisedContrastive(temperature=1.0, similarity="sqeuclidean")``, which suits
        neighbours by Euclidean distance. Of losses of cosines, neighbours are those of
        ``KNeighborsClassifier(metric="cosine")``. A name is the loss with its own defaults, and an
        object what a grid search reaches into (``loss__temperature``). ``TripletLoss(mining=
        "semi-hard")`` jumps where its choice changes, and is refused.
    alpha : float, default=0.1
        Strength of the penalty, in [0, inf): `alpha` times the sum of squares of the map of the
        standardised columns. A loss of cosines does not depend on the map's size: there it is
        divided by the mean sum of squares of what the map gives.
    init : {"auto", "pca", "lda"}, default="auto"
        Where the descent starts: principal axes, or those of Fisher's linear discriminant, of which
        there are one less than classes. "auto" takes the latter where there are enough.
    batch_size : int or None, default=1024
        About how many samples are compared with each other, at least 2: in several batches of equal
        size, to which the samples are dealt once, each with its part of every class, where there
        are more samples. Memory grows with its square, time with its product with the number of
        samples. None compares all.
    max_iter : int, default=500
        Iterations of L-BFGS at most, at least 1.
    tol : float, default=1e-4
        In (0, inf). The fit ends where L-BFGS, begun anew, lowers the objective by less than this
        share of it.
    random_state : int, RandomState or None, default=None
        Deals the samples to batches; without effect where one batch holds them all.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        In the dtype of X. 0 for a column that is constant.
    mean_ : ndarray of shape (n_features,), float64
    loss_ : ContrastiveLoss
        What was minimised.
    objective_ : float
        The loss and the penalty at the end.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Where X has column names that are strings.

    See Also
    --------
    sklearn.neighbors.NeighborhoodComponentsAnalysis : The same kind of map, with another loss.

    References
    ----------
    Khosla, P. et al. (2020). Supervised contrastive learning. NeurIPS.

    Globerson, A. and Roweis, S. (2005). Metric learning by collapsing classes. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_losses import ContrastiveEmbedding
    >>> X, y = load_wine(return_X_y=True)
    >>> model = make_pipeline(ContrastiveEmbedding(n_components=2), KNeighborsClassifier())
    >>> round(float(cross_val_score(model, X, y).mean()), 2)
    0.99
    """

    _losses = {cls.name: cls for cls in (SupervisedContrastive, TripletLoss)}
    _default_loss = SupervisedContrastive(temperature=1.0, similarity="sqeuclidean")
    _inits = ("auto", "pca", "lda")

    def __init__(
        self,
        n_components=None,
        *,
        loss=None,
        alpha=0.1,
        init="auto",
        batch_size=1024,
        max_iter=500,
        tol=1e-4,
        random_state=None,
    ):
        self.n_components = n_components
        self.loss = loss
        self.alpha = alpha
        self.init = init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X, y):
        """Fit the map.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of the classes.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            Where a parameter is out of its range, X or y are no data, or no class has two samples
            or there is but one class.

        Warns
        -----
        ConvergenceWarning
            Where `max_iter` iterations were not enough.
        """
        with self._unchanged_on_error():
            return self._fit(X, y)

    def _fit(self, X, y):
        check_on_host("ContrastiveEmbedding", X=X, y=y)
        loss, alpha, max_iter, tol = self._parameters()
        if getattr(loss, "mining", None) == "semi-hard":
            raise ValueError(
                f"ContrastiveEmbedding: {loss!r} jumps where its choice of triplets changes, and "
                "has no minimum to find; use mining='all' or 'hard'"
            )
        if self.init not in self._inits:
            raise ValueError(
                f"ContrastiveEmbedding: init must be one of {list(self._inits)}; got {self.init!r}"
            )
        random = check_random_state(self.random_state)
        X, y = validate_data(self, X, y, dtype=FLOATS, ensure_min_samples=2)
        check_classification_targets(y)
        codes = codes_of(y, len(X))
        counts = np.bincount(codes)
        if len(counts) < 2 or counts.max() < 2:
            raise ValueError(
                "y must hold at least 2 classes, one of them with 2 samples; got "
                f"{len(counts)} {'class' if len(counts) == 1 else 'classes'} in {len(y)} samples"
            )
        n_components = self._n_components(min(X.shape), "the lesser of n_samples and n_features")
        table = Table(X)
        objective = Objective(
            [table.rows],
            batches_of_classes(codes, self.batch_size, random),
            lambda batch, shown: loss._paired(shown, shown, codes[batch]),
            alpha,
            loss._has_no_scale,
        )
        start = self._start(table.rows, codes, n_components)
        (weights,), found = self._fitted_maps(objective, [start], max_iter, tol)
        self.components_ = table.components(weights, X.dtype, "X")
        self.mean_ = table.mean
        self.loss_ = loss
        self.__dict__.update(found)
        return self

    def _start(self, rows, codes, n_components):
        most = codes.max()  # one less than classes
        if self.init == "lda" and n_components > most:
            raise ValueError(
                f"ContrastiveEmbedding: init='lda' gives at most {most} components, one less than "
                f"classes; got n_components={n_components}"
            )
        if self.init == "pca" or n_components > most:
            return principal_axes(rows, n_components)
        return discriminant_axes(rows, codes, n_components)

    def transform(self, X):
        """Embed samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        embedding : ndarray of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        check_on_host("ContrastiveEmbedding", X=X)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return _embedded(X, self.mean_, self.components_)

    @property
    def _n_features_out(self):
        return self.components_.shape[0]


class CrossModalEmbedding(_Embedding):
    """Two linear maps, of two tables of the same samples, under which a row of one has a larger
    cosine with its own row of the other than with the rows of other samples.

    As scikit-learn's `CCA`, it is fitted to X and y, two matrices, and transforms both. Columns are
    centred and divided by their standard deviations inside, so that their units change nothing.

    Parameters
    ----------
    n_components : int or None, default=None
        At least 1, at most the least of the numbers of samples, features and targets, which None
        stands for.
    loss : {"clip"}, CLIPLoss or None, default=None
        None is ``CLIPLoss()``.
    alpha : float, default=0.01
        Strength of the penalty, in [0, inf): `alpha` times each map's sum of squares, in
        standardised columns, over the mean sum of squares of what it gives. Where `loss` is not of
        cosines, the sum of squares itself.
    batch_size : int or None, default=1024
        As of `ContrastiveEmbedding`; samples are dealt at random.
    max_iter : int, default=500
        Iterations of L-BFGS at most, at least 1.
    tol : float, default=1e-4
        As of `ContrastiveEmbedding`.
    random_state : int, RandomState or None, default=None
        Deals the samples to batches; without effect where one batch holds them all.

    Attributes
    ----------
    x_components_ : ndarray of shape (n_components, n_features)
    y_components_ : ndarray of shape (n_components, n_targets)
        In the dtypes of X and y. 0 for a column that is constant.
    x_mean_ : ndarray of shape (n_features,), float64
    y_mean_ : ndarray of shape (n_targets,), float64
    loss_ : CLIPLoss
        What was minimised.
    objective_ : float
        The loss and the penalty at the end.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Where X has column names that are strings.

    See Also
    --------
    sklearn.cross_decomposition.CCA : Maps of largest correlation.

    References
    ----------
    Radford, A. et al. (2021). Learning transferable visual models from natural language
    supervision. ICML.

    Examples
    --------
    Which of the measurements of the worst cells belong to these mean measurements?

    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.metrics.pairwise import cosine_similarity
    >>> from sklearn_losses import CrossModalEmbedding
    >>> X = load_breast_cancer().data
    >>> mean, worst = X[:, :10], X[:, 20:]
    >>> model = CrossModalEmbedding(n_components=10).fit(mean[:100], worst[:100])
    >>> cosines = cosine_similarity(*model.transform(mean[300:], worst[300:]))
    >>> round(float((cosines.argmax(axis=1) == range(269)).mean()), 1)
    0.4
    """

    _losses = {CLIPLoss.name: CLIPLoss}
    _default_loss = CLIPLoss()

    def __init__(
        self,
        n_components=None,
        *,
        loss=None,
        alpha=0.01,
        batch_size=1024,
        max_iter=500,
        tol=1e-4,
        random_state=None,
    ):
        self.n_components = n_components
        self.loss = loss
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X, y):
        """Fit both maps.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples, n_targets) or (n_samples,)
            The other table; one dimension is one column.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            Where a parameter is out of its range, or X or y are no data.

        Warns
        -----
        ConvergenceWarning
            Where `max_iter` iterations were not enough.
        """
        with self._unchanged_on_error():
            return self._fit(X, y)

    def _fit(self, X, y):
        check_on_host("CrossModalEmbedding", X=X, y=y)
        loss, alpha, max_iter, tol = self._parameters()
        random = check_random_state(self.random_state)
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        y = self._checked_y(y)
        check_consistent_length(X, y)
        n_components = self._n_components(
            min(*X.shape, y.shape[1]), "the least of n_samples, n_features and columns of y"
        )
        tables = Table(X), Table(y)
        n_batches = 1 if self.batch_size is None else -(-len(X) // self.batch_size)
        dealt = random.permutation(len(X)) if n_batches > 1 else np.arange(len(X))
        objective = Objective(
            [table.rows for table in tables],
            np.array_split(dealt, n_batches),
            lambda batch, *shown: loss._paired(*shown, np.arange(len(batch))),
            alpha,
            loss._has_no_scale,
        )
        start = _correlated_axes(*(table.rows for table in tables), n_components)
        maps, found = self._fitted_maps(objective, start, max_iter, tol)
        self.x_components_, self.y_components_ = (
            table.components(weights, given.dtype, name)
            for given, table, weights, name in zip((X, y), tables, maps, "Xy", strict=True)
        )
        self.x_mean_, self.y_mean_ = (table.mean for table in tables)
        self.loss_ = loss
        self.__dict__.update(found)
        return self

    @staticmethod
    def _checked_y(y):
        if y is None:
            raise ValueError(
                "CrossModalEmbedding requires y to be passed, but the target y is None"
            )
        y = check_array(y, dtype=FLOATS, ensure_2d=False, input_name="y")
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def transform(self, X, y=None):
        """Embed rows of one table, or of both.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples_y, n_targets) or None, default=None
            Rows of the other table; as many as you like.

        Returns
        -------
        x_embedding : ndarray of shape (n_samples, n_components)
        y_embedding : ndarray of shape (n_samples_y, n_components)
            Where `y` is given.
        """
        check_is_fitted(self)
        check_on_host("CrossModalEmbedding", X=X, y=y)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        shown = _embedded(X, self.x_mean_, self.x_components_)
        if y is None:
            return shown
        y = self._checked_y(y)
        if y.shape[1] != len(self.y_mean_):
            raise ValueError(
                f"y must have {len(self.y_mean_)} columns, as in fit; got {y.shape[1]}"
            )
        return shown, _embedded(y, self.y_mean_, self.y_components_)

    @property
    def _n_features_out(self):
        return self.x_components_.shape[0]


def _correlated_axes(x, y, n_components):
    """Axes of the canonical correlations, all variances having `RIDGE` added, each as long as the
    root of its correlation: (n_components, n_features) of both tables."""
    (to_x, white_x), (to_y, white_y) = whitened(x, RIDGE), whitened(y, RIDGE)
    left, correlation, right = np.linalg.svd(white_x.T @ white_y / len(x))
    root = np.sqrt(correlation[:n_components])
    return [
        ((to_x @ left)[:, :n_components] * root).T,
        ((to_y @ right.T)[:, :n_components] * root).T,
    ]
