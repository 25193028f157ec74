"""Rankings: targets that hold relevance and query, metrics by query, and scorers."""

import warnings

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import make_scorer

from sklearn_losses._array import check_on_host, kernel_array
from sklearn_losses.losses._arrays import finite
from sklearn_losses.losses.joint import _checked_weight
from sklearn_losses.losses.ranking import FIELDS, Queries, check_k, gains_of, read_ranking

__all__ = ["make_ranking_scorer", "mean_average_precision", "ndcg", "ranking_target"]


def ranking_target(relevance, qid):
    """Relevance and query of each document in one array, which is the `y` of a ranking.

    It can be indexed by samples, so that pipelines, `train_test_split` and cross-validation pass it
    on. ``y["qid"]`` are the `groups` that `GroupKFold` keeps together.

    Parameters
    ----------
    relevance : array-like of shape (n_documents,)
        Greater is better; finite. Metrics of gains ask for numbers that are not negative.
    qid : array-like of shape (n_documents,)
        Whole numbers in the range of int64: the query of each document, in any order.

    Returns
    -------
    y : structured ndarray of shape (n_documents,)
        Fields ``relevance`` (float64) and ``qid`` (int64).

    Raises
    ------
    TypeError
        Where `relevance` or `qid` does not hold numbers.
    ValueError
        Where a shape does not fit, a relevance is not finite, or a qid is no whole number.

    Examples
    --------
    >>> from sklearn_losses import ranking_target
    >>> y = ranking_target(relevance=[2, 0, 1], qid=[7, 7, 3])
    >>> y["relevance"], y["qid"]
    (array([2., 0., 1.]), array([7, 7, 3]))
    """
    check_on_host("ranking_target", relevance=relevance, qid=qid)
    relevance = finite(kernel_array(relevance, "relevance"), "relevance")
    if relevance.ndim != 1:
        raise ValueError(f"relevance must have shape (n_documents,); got {relevance.shape}")
    qid = np.asarray(qid)
    if qid.shape != relevance.shape:
        raise ValueError(
            f"qid must have the shape of relevance, {relevance.shape}; got {qid.shape}"
        )
    if qid.dtype.kind not in "iuf":
        raise TypeError(
            f"qid must hold whole numbers; got dtype {qid.dtype}. Number the queries with "
            "numpy.unique(qid, return_inverse=True)[1]"
        )
    # A float that is 2**63 is one that int64 does not hold.
    whole = (qid == np.floor(qid)) & (qid >= -(2.0**63)) & (qid < 2.0**63)
    if not whole.all():
        first = int(whole.argmin())
        raise ValueError(
            f"qid must hold whole numbers in the range of int64; got {qid[first]} at index {first}"
        )
    y = np.empty(len(relevance), dtype=list(zip(FIELDS, (np.float64, np.int64), strict=True)))
    y["relevance"], y["qid"] = relevance, qid
    return y


class _Ranked:
    """Queries in the order of their scores, with what documents of one score share.

    Attributes
    ----------
    documents : ndarray of shape (n_documents,)
        In that order.
    tie : ndarray of shape (n_documents,)
        Number of the group of equal scores; every query starts one.
    size, before : ndarray of shape (n_documents,)
        How many documents are in that group, and how many are before it in the query.
    """

    def __init__(self, y_true, scores, sample_weight):
        check_on_host(
            "A measure of rankings", y_true=y_true, scores=scores, sample_weight=sample_weight
        )
        target = read_ranking(y_true)
        scores = finite(kernel_array(scores, "scores"), "scores")
        if scores.ndim == 2 and scores.shape[1] == 1:
            scores = scores[:, 0]
        if scores.shape != (len(target),):
            raise ValueError(f"scores must have shape ({len(target)},); got {scores.shape}")
        self.queries = Queries(target, _checked_weight(sample_weight, len(target)))
        self.documents = self.queries.ranked(scores)
        ordered = scores[self.documents]
        new = np.ones(len(target), dtype=bool)
        new[1:] = ordered[1:] != ordered[:-1]
        new[self.queries.starts[:-1]] = True
        self.tie = np.cumsum(new) - 1
        self.size = np.bincount(self.tie)[self.tie]
        self.before = self.queries.places[new][self.tie]

    def of_ties(self, values):
        """Sums over groups of equal scores, given to their documents."""
        return np.bincount(self.tie, weights=values)[self.tie]

    def mean(self, reached, best, zero_division):
        """Weighted mean over queries of the share of the best that was reached."""
        queries = self.queries
        weight = np.ones(len(best)) if queries.weight is None else queries.weight
        share = np.where(best > 0, reached / np.where(best > 0, best, 1.0), zero_division)
        known = ~np.isnan(share)
        if not weight[known].any():
            warnings.warn(
                "no query has a relevant document: the mean over queries is not defined: nan",
                UndefinedMetricWarning,
                stacklevel=3,
            )
            return float("nan")
        return float(np.average(share[known], weights=weight[known]))


def _checked_zero_division(zero_division):
    if not isinstance(zero_division, str | None):
        value = float(zero_division)
        if value in (0.0, 1.0) or np.isnan(value):
            return value
    raise ValueError(f"zero_division must be 0.0, 1.0 or numpy.nan; got {zero_division!r}")


def ndcg(y_true, scores, *, k=None, gain="exponential", sample_weight=None, zero_division=np.nan):
    """Mean over queries of the normalised discounted cumulative gain.

    The gain of the document in place r, from 1, is divided by ``log2(r + 1)``; the sum over a
    query's first k places is divided by that of the best order.

    Documents of equal score share their places: each is given the mean of their gains, as in
    scikit-learn's `ndcg_score`. (XGBoost and LightGBM take them in the order of the data, so that
    equal scores may be given any NDCG.)

    Parameters
    ----------
    y_true : array-like
        What `ranking_target` makes, or relevances of shape (n_documents,) of one query; not
        negative.
    scores : array-like of shape (n_documents,)
        The highest is ranked first.
    k : int or None, default=None
        At least 1. None: all places.
    gain : {"exponential", "linear"}, default="exponential"
        Of a relevance: ``2**relevance - 1``, as XGBoost and LightGBM do it, or itself, as
        scikit-learn does it.
    sample_weight : array-like of shape (n_documents,) or None, default=None
        The same for all documents of a query, which it weighs.
    zero_division : {0.0, 1.0, numpy.nan}, default=numpy.nan
        What a query without a gain counts as: nan leaves it out of the mean; scikit-learn's
        `ndcg_score` takes 0, XGBoost and LightGBM take 1.

    Returns
    -------
    ndcg : float
        In [0, 1]; nan, with a warning, where no query has a gain and `zero_division` is nan.

    Raises
    ------
    ValueError
        Where a relevance is negative, a number is not finite, or a shape or parameter does not fit.

    References
    ----------
    Järvelin, K. and Kekäläinen, J. (2002). Cumulated gain-based evaluation of IR techniques. ACM
    Transactions on Information Systems 20, 422-446.

    McSherry, F. and Najork, M. (2008). Computing information retrieval performance measures
    efficiently in the presence of tied scores. ECIR.

    Examples
    --------
    >>> from sklearn_losses import ndcg, ranking_target
    >>> y = ranking_target(relevance=[2, 0, 1, 1, 0], qid=[1, 1, 1, 2, 2])
    >>> round(ndcg(y, [0.5, 0.9, 0.1, 2.0, 1.0]), 4)
    0.8295
    """
    k, zero_division = check_k("ndcg", k), _checked_zero_division(zero_division)
    ranked = _Ranked(y_true, scores, sample_weight)
    queries = ranked.queries
    gains = gains_of("ndcg", gain, queries.relevance)
    shared = ranked.of_ties(gains[ranked.documents]) / ranked.size
    reached = queries.sums(shared * queries.discounts(k))
    return ranked.mean(reached, queries.best_gains(gains, k), zero_division)


def mean_average_precision(y_true, scores, *, k=None, sample_weight=None, zero_division=np.nan):
    """Mean over queries of the average precision.

    A document is relevant where its relevance is above 0. Of a query it is the sum, over the first
    k places that hold a relevant document, of the share of relevant ones up to there, divided by
    the number of relevant documents, which counts as k where it is more (as in LightGBM, so that
    the best order has 1).

    Of documents of equal score it is the mean over all their orders.

    Parameters
    ----------
    y_true, scores, k, sample_weight, zero_division
        As of `ndcg`; `zero_division` is for queries without a relevant document.

    Returns
    -------
    mean_average_precision : float
        In [0, 1]; nan, with a warning, where no query has a relevant document and `zero_division`
        is nan.

    Raises
    ------
    ValueError
        As `ndcg`.

    References
    ----------
    McSherry, F. and Najork, M. (2008). Computing information retrieval performance measures
    efficiently in the presence of tied scores. ECIR.

    Examples
    --------
    >>> from sklearn_losses import mean_average_precision, ranking_target
    >>> y = ranking_target(relevance=[1, 0, 1, 1, 0], qid=[1, 1, 1, 2, 2])
    >>> round(mean_average_precision(y, [0.5, 0.9, 0.1, 2.0, 1.0]), 4)
    0.7917
    """
    k, zero_division = (
        check_k("mean_average_precision", k),
        _checked_zero_division(zero_division),
    )
    ranked = _Ranked(y_true, scores, sample_weight)
    queries = ranked.queries
    relevant = gains_of("mean_average_precision", "linear", queries.relevance) > 0
    hits = relevant[ranked.documents].astype(np.float64)
    size, places = ranked.size, queries.places
    # Relevant documents of the group of equal scores, and of those before it.
    tied = ranked.of_ties(hits)
    found = np.cumsum(hits)
    found -= queries.of_queries(found[queries.starts[:-1]] - hits[queries.starts[:-1]])
    first = np.flatnonzero(places == ranked.before)
    ahead = (found - hits)[first][ranked.tie]
    # In each place of the group a document is relevant with the chance tied / size; given that, so
    # are of the others before it the same share.
    others = (places - ranked.before) * (tied - 1.0) / np.maximum(size - 1.0, 1.0)
    precision = tied / size * (ahead + 1.0 + others) / (places + 1.0)
    total = queries.sums(hits)
    if k is not None:
        precision = np.where(places < k, precision, 0.0)
        total = np.minimum(total, k)
    return ranked.mean(queries.sums(precision), total, zero_division)


METRICS = {"ndcg": ndcg, "map": mean_average_precision}


def make_ranking_scorer(metric="ndcg", **options):
    """A scikit-learn scorer of rankings, for estimators whose `predict` gives scores.

    Cross-validation has to keep queries whole: ``GridSearchCV(..., scoring=make_ranking_scorer(),
    cv=GroupKFold()).fit(X, y, groups=y["qid"])``.

    Parameters
    ----------
    metric : {"ndcg", "map"}, default="ndcg"
        `ndcg` or `mean_average_precision`.
    **options
        Parameters of the metric: `k`, `gain`, `zero_division`.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y_true, sample_weight=None)``, with `y_true` what `ranking_target`
        makes; greater is better.

    Raises
    ------
    ValueError
        Where the metric is unknown.
    TypeError
        Where it does not have an option.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn_losses import make_ranking_scorer, ranking_target
    >>> model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    >>> y = ranking_target(relevance=[0, 1, 2], qid=[1, 1, 1])
    >>> make_ranking_scorer(k=2)(model, [[1.0], [3.0], [5.0]], y)
    1.0
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {list(METRICS)}; got {metric!r}")
    known = {name for name in METRICS[metric].__kwdefaults__ if name != "sample_weight"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise TypeError(f"{metric} has no option {unknown[0]!r}; it has {', '.join(sorted(known))}")
    return make_scorer(METRICS[metric], response_method="predict", **options)
