"""Losses of rankings: documents with a relevance, each of a query, of which the order counts."""

import numpy as np
from scipy.special import softmax

from sklearn_losses._array import check_on_host, kernel_array
from sklearn_losses._interval import POSITIVE
from sklearn_losses._kernels.losses import _ranking
from sklearn_losses._parameters import check_integer
from sklearn_losses.losses._arrays import finite
from sklearn_losses.losses.joint import Joint, JointLoss
from sklearn_losses.losses.multiclass import HalfMultinomialLoss
from sklearn_losses.losses.rowwise import softmax_hessian_product

FIELDS = ("relevance", "qid")
# Gains of a relevance.
GAINS = {"exponential": lambda relevance: np.exp2(relevance) - 1.0, "linear": np.asarray}


def read_ranking(y_true):
    """Relevances and queries as numbers, checked.

    Parameters
    ----------
    y_true : array-like
        What `ranking_target` makes; relevances of shape (n_documents,), all of one query; or an
        array of shape (n_documents, 2) of both.

    Returns
    -------
    target : ndarray of shape (n_documents, 2), float64
        Relevance, and a number of the query: its place among them in the order of `qid`.

    Raises
    ------
    ValueError
        Where it is none of these, has no document, or a number is not finite.
    """
    check_on_host("A loss of rankings", y_true=y_true)
    names = getattr(getattr(y_true, "dtype", None), "names", None)
    if names is None and hasattr(y_true, "columns"):
        names = tuple(y_true.columns)
    if names is not None:
        if set(names) != set(FIELDS):
            raise ValueError(
                f"y_true must have the fields relevance and qid, as ranking_target(relevance, qid) "
                f"makes them; got {', '.join(map(str, names))}"
            )
        relevance, query = (np.asarray(y_true[name]) for name in FIELDS)
        relevance = kernel_array(relevance, "relevance").astype(np.float64)
        # The place among the queries, as a float holds no integer beyond 2**53.
        query = np.unique(query, return_inverse=True)[1].reshape(-1).astype(np.float64)
        target = np.stack([relevance.reshape(-1), query], axis=1)
    else:
        target = kernel_array(y_true, "y_true")
        if target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1):
            relevance = target.reshape(-1)
            target = np.stack([relevance, np.zeros_like(relevance)], axis=1)
        if target.ndim != 2 or target.shape[1] != 2:
            raise ValueError(
                "y_true must be what ranking_target(relevance, qid) makes, relevances of shape "
                "(n_documents,), or an array of shape (n_documents, 2) of relevance and qid; got "
                f"shape {target.shape}"
            )
        target = target.astype(np.float64, copy=False)
    if len(target) == 0:
        raise ValueError("y_true must hold at least one document; got 0")
    finite(target[:, 0], "relevance")
    finite(target[:, 1], "qid")
    broken = target[:, 1] != np.floor(target[:, 1])
    if broken.any():
        first = int(broken.argmax())
        raise ValueError(f"qid must hold whole numbers; got {target[first, 1]} at index {first}")
    return target


def check_k(owner, k):
    """The cut-off as an int, or None."""
    return None if k is None else check_integer(owner, "k", k)


def gains_of(owner, gain, relevance):
    """Gains of relevances, in units of which a discounted sum is made."""
    if gain not in GAINS:
        raise ValueError(f"{owner}: gain must be one of {list(GAINS)}; got {gain!r}")
    if (relevance < 0).any():
        first = int((relevance < 0).argmax())
        raise ValueError(
            f"{owner}: relevance must not be negative where gains are made of it; got "
            f"{relevance[first]} at index {first}"
        )
    with np.errstate(over="ignore"):
        gains = GAINS[gain](relevance)
        if not np.isfinite(gains.sum()):
            raise ValueError(
                f"{owner}: relevance must lead to finite gains with gain={gain!r}; got a relevance "
                f"of {relevance.max()}"
            )
    return gains


class Queries:
    """Documents by query.

    Parameters
    ----------
    target : ndarray of shape (n_documents, 2), float64
        What `read_ranking` returns.
    weight : ndarray of shape (n_documents,), float64, or None

    Attributes
    ----------
    relevance : ndarray of shape (n_documents,)
    query : ndarray of shape (n_documents,), intp
        From 0 to n_queries - 1.
    order : ndarray of shape (n_documents,), intp
        Documents query by query, the least relevance first.
    starts : ndarray of shape (n_queries + 1,), intp
        Where the queries start and end in that order.
    weight : ndarray of shape (n_queries,), float64, or None
    """

    def __init__(self, target, weight=None):
        self.relevance = np.ascontiguousarray(target[:, 0])
        _, query, sizes = np.unique(target[:, 1], return_inverse=True, return_counts=True)
        self.query = query.reshape(-1)
        self.order = np.lexsort((self.relevance, self.query))
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
        self.weight = None
        if weight is not None:
            by_query = weight[self.order]
            self.weight = by_query[self.starts[:-1]]
            unequal = by_query != self.of_queries(self.weight)
            if unequal.any():
                at = int(self.order[unequal.argmax()])
                raise ValueError(
                    "sample_weight must be one weight for all documents of a query; got "
                    f"{self.weight[self.query[at]]} and {weight[at]} in the query of index {at}"
                )

    @property
    def sizes(self):
        return np.diff(self.starts)

    def of_queries(self, values):
        """A number for each query, given to its documents in `order`."""
        return np.repeat(values, self.sizes)

    def sums(self, values):
        """Sum over each query of numbers in its order."""
        return np.add.reduceat(values, self.starts[:-1])

    def total(self, values):
        """Weighted sum of numbers of the queries."""
        return float(values.sum() if self.weight is None else values @ self.weight)

    def ranked(self, scores):
        """Documents query by query, the highest score first; of equal scores as they stand."""
        return np.lexsort((-scores, self.query))

    @property
    def places(self):
        """Places in each query's order, from 0."""
        return np.arange(len(self.query)) - self.of_queries(self.starts[:-1])

    def discounts(self, k):
        """Those of the places up to the k-th, 0 below."""
        places = self.places
        discounts = 1.0 / np.log2(places + 2.0)
        return discounts if k is None else np.where(places < k, discounts, 0.0)

    def best_gains(self, gains, k):
        """Each query's discounted sum of gains in the best order."""
        from_the_end = self.of_queries(self.starts[1:]) - 1 - self.places
        return self.sums(gains[self.order[from_the_end]] * self.discounts(k))


class _RankingLoss(JointLoss):
    """What the losses of rankings share."""

    shift_is_nothing = True

    def read_target(self, y_true):
        return read_ranking(y_true)

    def _grouped(self, y_true, group):
        owner = type(self).__name__
        if group is None:
            if np.ndim(y_true) == 1 and np.asarray(y_true).dtype.names is None:
                raise ValueError(
                    f"{owner}: the queries must be given: as `group` to LightGBM, as `qid` or "
                    "`group` to XGBoost's DMatrix, or in y_true by ranking_target(relevance, qid)"
                )
            return y_true
        if np.sum(group) != len(y_true):
            raise ValueError(
                f"{owner}: group must hold sizes that sum to {len(y_true)}; got {np.sum(group)}"
            )
        return np.stack([y_true, np.repeat(np.arange(len(group)), group)], axis=1)


class _PairJoint(Joint):
    """Documents in the order of their relevance, query by query."""

    def __init__(self, owner, queries):
        self.queries = queries
        self.n = len(queries.order)
        relevance = queries.relevance[queries.order]
        first = np.ones(self.n, dtype=bool)
        first[1:] = relevance[1:] != relevance[:-1]
        first[queries.starts[:-1]] = True
        # Where the documents of the same relevance start.
        level_start = np.maximum.accumulate(np.where(first, np.arange(self.n), 0))
        self.below = (level_start - queries.of_queries(queries.starts[:-1])).astype(np.intp)
        self.pairs = queries.sums(self.below.astype(np.float64))
        self.n_pairs = int(self.pairs.sum())
        self.first = first
        self.mass = queries.total(self.masses())
        if not self.mass > 0:
            raise ValueError(
                f"{owner}: y_true must hold two documents of different relevance in a query of "
                f"positive weight; got none in {len(queries.starts) - 1} queries"
            )

    def masses(self):
        """What each query adds to the mass where it weighs 1."""
        return self.pairs

    def sorted(self, values):
        """In the order of the kernels."""
        return np.ascontiguousarray(values[self.queries.order], dtype=np.float64)

    def unsorted(self, values):
        out = np.empty(self.n)
        out[self.queries.order] = values
        return out


class _SmoothJoint(_PairJoint):
    """All pairs: of the logistic loss, or of a hinge that is smoothed."""

    def __init__(self, owner, queries, margin=0.0, width=0.0):
        super().__init__(owner, queries)
        self.margin, self.width = margin, width

    def _run(self, raw, **options):
        values, first, hessian = _ranking.smooth(
            self.queries.starts,
            self.below,
            self.queries.weight,
            self.sorted(raw),
            self.n_pairs,
            self.margin,
            self.width,
            n_threads=self.n_threads,
            **options,
        )
        hessian = None if hessian is None else self.unsorted(hessian)
        return float(values.sum()), self.unsorted(first), hessian

    def value_gradient(self, raw):
        return self._run(raw)[:2]

    def gradient_hessian(self, raw):
        return self._run(raw, want_hessian=True)[1:]

    def hessian_product(self, raw, vector):
        return self._run(raw, vector=self.sorted(vector))[1]


class PairwiseLogistic(_RankingLoss):
    """Logistic loss of pairs of documents: RankNet's.

    - Domain: y_true as `ranking_target` makes it, or relevances of one query. Relevances are any
      real numbers, of which only the order counts.
    - Link: none; raw predictions are scores, whose order in a query counts.
    - Formula: the sum of ``log(1 + exp(-(raw_i - raw_j)))`` over the pairs of documents of one
      query with ``relevance_i > relevance_j``, over the number of pairs.

    It is convex, and has all derivatives. A query's pairs are gone through one by one: n documents
    of as many relevances have ``n * (n - 1) / 2``. Queries go to several threads, with the same
    bits for any number of them.

    `sample_weight` weighs queries: it is the same for all documents of one, and a query of weight 2
    counts as two. (XGBoost takes one weight a query; LightGBM multiplies each document's
    derivatives.) The mass is the weighted number of pairs.

    References
    ----------
    Burges, C., Shaked, T., Renshaw, E., Lazier, A., Deeds, M., Hamilton, N. and Hullender, G.
    (2005). Learning to rank using gradient descent. ICML.

    Examples
    --------
    >>> from sklearn_losses import PairwiseLogistic, ranking_target
    >>> y = ranking_target(relevance=[2, 0, 1, 0], qid=[1, 1, 1, 2])
    >>> round(PairwiseLogistic()(y, [3.0, 0.0, 1.0, 9.0]), 6)
    0.162926
    """

    name = "pairwise_logistic"

    def _joint(self, target, weight):
        return _SmoothJoint(type(self).__name__, Queries(target, weight))


class _HingeJoint(_PairJoint):
    def __init__(self, owner, queries, margin):
        super().__init__(owner, queries)
        self.margin = margin
        rises = np.cumsum(self.first)
        self.level = (rises - queries.of_queries(rises[queries.starts[:-1]])).astype(np.intp)

    def value_gradient(self, raw):
        values, gradient = _ranking.hinge(
            self.queries.starts,
            self.below,
            self.level,
            self.queries.weight,
            self.sorted(raw),
            self.margin,
            self.n_threads,
        )
        return float(values.sum()), self.unsorted(gradient)

    def gradient_hessian(self, raw):
        queries = self.queries
        # Those below, and those above: all but the documents up to the end of the level.
        ends = np.append(np.flatnonzero(self.first), self.n)[np.cumsum(self.first)]
        pairs = self.below + (queries.of_queries(queries.starts[1:]) - ends)
        weight = 1.0 if queries.weight is None else queries.of_queries(queries.weight)
        return self.value_gradient(raw)[1], self.unsorted(pairs * weight)


class PairwiseHinge(_RankingLoss):
    """Hinge loss of pairs of documents: the ranking support vector machine's.

    - Domain: y_true as `ranking_target` makes it, or relevances of one query. Relevances are any
      real numbers, of which only the order counts.
    - Link: none; raw predictions are scores, whose order in a query counts.
    - Formula: the sum of ``max(0, margin - (raw_i - raw_j))`` over the pairs of documents of one
      query with ``relevance_i > relevance_j``, over the number of pairs. At the kink a pair counts
      as within the margin. The second derivative is 0; `hessian` holds the number of pairs that a
      document is part of.

    Value and gradient of n documents take ``n log n`` steps, whatever the relevances.

    `sample_weight` weighs queries: it is the same for all documents of one, and a query of weight 2
    counts as two. The mass is the weighted number of pairs.

    Parameters
    ----------
    margin : float, default=1.0
        In (0, inf).

    References
    ----------
    Herbrich, R., Graepel, T. and Obermayer, K. (2000). Large margin rank boundaries for ordinal
    regression. Advances in Large Margin Classifiers, 115-132.

    Joachims, T. (2002). Optimizing search engines using clickthrough data. KDD.

    Lee, C.-P. and Lin, C.-J. (2014). Large-scale linear RankSVM. Neural Computation 26, 781-817.

    Examples
    --------
    >>> from sklearn_losses import PairwiseHinge, ranking_target
    >>> y = ranking_target(relevance=[2, 0, 1, 0], qid=[1, 1, 1, 2])
    >>> PairwiseHinge()(y, [3.0, 0.0, 0.5, 9.0]) == 0.5 / 3
    True
    """

    name = "pairwise_hinge"
    differentiable = False
    approx_hessian = True
    _parameter_intervals = {"margin": POSITIVE}

    def __init__(self, margin=1.0):
        self.margin = margin

    def _joint(self, target, weight):
        (margin,) = self._numbers()
        return _HingeJoint(type(self).__name__, Queries(target, weight), margin)

    def _smoothed(self, width):
        return _SmoothedHinge(self.margin, width), lambda y: None


class _SmoothedHinge(_RankingLoss):
    """The pairwise hinge with a parabola around its kink."""

    name = "smoothed_pairwise_hinge"

    def __init__(self, margin, width):
        self.margin = margin
        self.width = width

    def _joint(self, target, weight):
        return _SmoothJoint("PairwiseHinge", Queries(target, weight), self.margin, self.width)


class _LambdaJoint(_SmoothJoint):
    def __init__(self, owner, queries, gains, k, damped):
        super().__init__(owner, queries)
        best = queries.best_gains(gains, k)
        self.gain = self.sorted(gains) / queries.of_queries(np.where(best > 0, best, 1.0))
        self.discounts = queries.discounts(k)
        self.damped = damped

    def masses(self):
        return (self.pairs > 0).astype(np.float64)

    def _run(self, raw, **options):
        discount = np.empty(self.n)
        discount[self.queries.ranked(raw)] = self.discounts
        return super()._run(
            raw, gain=self.gain, discount=self.sorted(discount), damped=self.damped, **options
        )

    def hessian_product(self, raw, vector):
        raise NotImplementedError(
            "LambdaRank is no function of the raw predictions to be minimised"
        )


class LambdaRank(_RankingLoss):
    """Pairwise logistic loss, of which a pair weighs what swapping its documents would change in
    the NDCG: LambdaMART's, for boosting.

    - Domain: y_true as `ranking_target` makes it, or relevances of one query, which are not
      negative.
    - Link: none; raw predictions are scores, whose order in a query counts.
    - Formula: the sum of ``abs(delta_ij) * log(1 + exp(-(raw_i - raw_j)))`` over the pairs of
      documents of one query with ``relevance_i > relevance_j``, over the number of queries that
      have a pair. ``delta_ij`` is what the query's NDCG at `k` would change by if the two documents
      swapped their present places; documents of equal score stand as they do in the data.

    Its gradient is not that of a function of the raw predictions: weights follow the present order,
    and are constants in it. The value is that of the same weights, so it jumps where the order
    changes, and need not fall while the NDCG rises: watch `ndcg` instead. There is no minimum to
    fit to (`has_minimum` is False), and following the gradient, as boosting does, ends where its
    parts are in balance. Linear models that are fitted to a minimum take `PairwiseLogistic` or
    `ListNet`.

    `sample_weight` weighs queries: it is the same for all documents of one.

    Parameters
    ----------
    k : int or None, default=None
        Only the k first places count in the NDCG, so that pairs with neither document among them
        weigh nothing. None: all places.
    gain : {"exponential", "linear"}, default="exponential"
        Of a relevance: ``2**relevance - 1``, or itself.
    normalize : bool, default=True
        Whether, in queries whose scores are not all equal, a pair's weight is divided by
        ``0.01 + abs(raw_i - raw_j)``, and a query is multiplied by ``log2(1 + s) / s``, s being the
        sum of the sizes of its pairs' gradients, at both documents: the normalisation of LightGBM
        (``lambdarank_norm``) and XGBoost (``lambdarank_normalization``). Queries with many pairs
        then count for less. False: the paper's.

    References
    ----------
    Burges, C. (2010). From RankNet to LambdaRank to LambdaMART: an overview. Microsoft Research
    MSR-TR-2010-82.

    Examples
    --------
    >>> from sklearn_losses import LambdaRank, ranking_target
    >>> y = ranking_target(relevance=[0, 1, 2], qid=[1, 1, 1])
    >>> LambdaRank(normalize=False).gradient(y, [0.0, 0.0, 0.0]).round(3)
    array([ 0.257, -0.015, -0.243])
    """

    name = "lambdarank"
    convex = False
    has_minimum = False

    def __init__(self, k=None, gain="exponential", normalize=True):
        self.k = k
        self.gain = gain
        self.normalize = normalize

    def _numbers(self):
        owner = type(self).__name__
        check_k(owner, self.k)
        gains_of(owner, self.gain, np.zeros(1))
        if not isinstance(self.normalize, bool | np.bool_):
            raise ValueError(f"{owner}: normalize must be True or False; got {self.normalize!r}")
        return []

    def _joint(self, target, weight):
        self._numbers()
        owner = type(self).__name__
        queries = Queries(target, weight)
        gains = gains_of(owner, self.gain, queries.relevance)
        return _LambdaJoint(owner, queries, gains, self.k, bool(self.normalize))


class _ListJoint(Joint):
    """Queries of one size are rows of a softmax cross-entropy, whose kernel goes through them."""

    loss = HalfMultinomialLoss()

    def __init__(self, queries):
        self.n = len(queries.order)
        self.mass = queries.total(np.ones(len(queries.starts) - 1))
        sizes = queries.sizes
        # The entropies of the relevances' shares.
        self.floor = 0.0
        self.rows = []
        for size in np.unique(sizes[sizes > 1]):
            chosen = np.flatnonzero(sizes == size)
            places = queries.order[queries.starts[chosen][:, None] + np.arange(size)]
            weight = None if queries.weight is None else queries.weight[chosen]
            relevance = queries.relevance[places]
            shares = softmax(relevance, axis=1)
            self.rows.append((places, shares, weight))
            self.floor += float(self.loss.loss(shares, relevance, weight).sum())

    def value_gradient(self, raw):
        total, gradient = 0.0, np.zeros(self.n)
        for places, shares, weight in self.rows:
            value, slopes = self.loss.loss_gradient(
                shares, raw[places], weight, n_threads=self.n_threads
            )
            total += float(value.sum())
            gradient[places] = slopes
        return total, gradient

    def gradient_hessian(self, raw):
        gradient, hessian = np.zeros((2, self.n))
        for places, shares, weight in self.rows:
            gradient[places], hessian[places] = self.loss.gradient_hessian(
                shares, raw[places], weight, n_threads=self.n_threads
            )
        return gradient, hessian

    def hessian_product(self, raw, vector):
        product = np.zeros(self.n)
        for places, shares, weight in self.rows:
            proba = self.loss.gradient_proba(shares, raw[places], n_threads=self.n_threads)[1]
            rows = softmax_hessian_product(proba, vector[places])
            product[places] = rows if weight is None else rows * weight[:, None]
        return product


class ListNet(_RankingLoss):
    """Cross-entropy of the documents' chances to be the first of their query.

    - Domain: y_true as `ranking_target` makes it, or relevances of one query. Relevances are any
      real numbers.
    - Link: none; raw predictions are scores, whose order in a query counts.
    - Formula: the sum of ``-p_i * log(q_i)`` over all documents, over the number of queries, with p
      the softmax of a query's relevances, and q that of its raw predictions.

    It is convex, has all derivatives, and takes one step a document. It is least where scores are
    the relevances but for a number a query, and is the entropy of p there, not 0. As relevances are
    compared by their difference, their unit counts.

    `sample_weight` weighs queries: it is the same for all documents of one. The mass is the
    weighted number of queries.

    References
    ----------
    Cao, Z., Qin, T., Liu, T.-Y., Tsai, M.-F. and Li, H. (2007). Learning to rank: from pairwise
    approach to listwise approach. ICML.

    Examples
    --------
    >>> from sklearn_losses import ListNet, ranking_target
    >>> y = ranking_target(relevance=[1, 0, 1, 0], qid=[1, 1, 2, 2])
    >>> round(ListNet()(y, [0.0, 0.0, 5.0, 4.0]), 6)
    0.637675
    """

    name = "listnet"

    def _joint(self, target, weight):
        return _ListJoint(Queries(target, weight))
