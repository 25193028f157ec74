"""The triplet loss, and how its triplets are chosen."""

import numpy as np

from sklearn_losses._interval import NON_NEGATIVE
from sklearn_losses.contrastive._base import ContrastiveLoss, codes_of
from sklearn_losses.contrastive._pairs import DISTANCES
from sklearn_losses.losses import Perceptron

# max(0, -raw) of how far the negative is beyond the positive and the margin.
HINGE = Perceptron()


def _others(codes):
    """Of each row, which are positives and which negatives: two arrays of bool, (n, n)."""
    same = codes[:, np.newaxis] == codes
    positive = same.copy()
    np.fill_diagonal(positive, False)
    return positive, ~same


def _chosen_total(distances, margin, anchor, near, far):
    """Sum and gradient of single triplets, given by the numbers of their rows."""
    gradient = np.zeros_like(distances)
    if not len(anchor):
        return 0.0, 0, gradient
    raw = distances[anchor, far] - distances[anchor, near] - margin
    value, slope = HINGE.loss_gradient(np.ones_like(raw), raw)
    np.add.at(gradient, (anchor, far), slope)
    np.add.at(gradient, (anchor, near), -slope)
    return value.sum(dtype=np.float64), len(anchor), gradient


def all_triplets(distances, codes, margin):
    """Of all triplets. Their number grows as n cubed, but with the negatives in order of distance
    sums over them are differences of cumulated sums: n squared times its logarithm."""
    total, mass, gradient = 0.0, 0, np.zeros_like(distances)
    for i, (is_near, is_far) in enumerate(zip(*_others(codes), strict=True)):
        near, far = np.flatnonzero(is_near), np.flatnonzero(is_far)
        if not (len(near) and len(far)):
            continue
        mass += len(near) * len(far)
        beyond = distances[i, far].astype(np.float64)
        least = beyond.min()  # measured from here, sums lose few digits
        beyond -= least
        limit = (distances[i, near] - least) + margin
        ordered = np.sort(beyond)
        within = np.searchsorted(ordered, limit, side="right")
        below = np.concatenate([[0.0], np.cumsum(ordered)])[within]
        total += float((within * limit - below).sum())
        gradient[i, near] = within
        gradient[i, far] = np.searchsorted(np.sort(limit), beyond, side="left") - len(near)
    return total, mass, gradient


def hardest_triplets(distances, codes, margin):
    """Of each anchor, the farthest positive and the nearest negative."""
    positive, negative = _others(codes)
    anchor = np.flatnonzero(positive.any(axis=1) & negative.any(axis=1))
    near = np.where(positive, distances, -np.inf)[anchor].argmax(axis=1)
    far = np.where(negative, distances, np.inf)[anchor].argmin(axis=1)
    return _chosen_total(distances, margin, anchor, near, far)


def semi_hard_triplets(distances, codes, margin):
    """Of each anchor and positive, the nearest negative that is farther than the positive; the
    farthest one where none is."""
    anchors, nears, fars = [], [], []
    for i, (is_near, is_far) in enumerate(zip(*_others(codes), strict=True)):
        near, far = np.flatnonzero(is_near), np.flatnonzero(is_far)
        if not (len(near) and len(far)):
            continue
        order = far[distances[i, far].argsort(kind="stable")]
        beyond = np.searchsorted(distances[i, order], distances[i, near], side="right")
        anchors.append(np.full(len(near), i))
        nears.append(near)
        fars.append(order[np.minimum(beyond, len(far) - 1)])
    chosen = (np.concatenate(part or [np.zeros(0, np.intp)]) for part in (anchors, nears, fars))
    return _chosen_total(distances, margin, *chosen)


MININGS = {"all": all_triplets, "hard": hardest_triplets, "semi-hard": semi_hard_triplets}


class TripletLoss(ContrastiveLoss):
    """Hinge of how much nearer an anchor's positive is than its negative.

    - Formula: the mean over triplets (a, p, n) of ``max(0, d_ap - d_an + margin)``, a and p being
      two rows of one label, n a row of another. At the kink the triplet counts for the gradient.

    Parameters
    ----------
    margin : float, default=1.0
        In [0, inf), in the unit of the distances.
    mining : {"all", "hard", "semi-hard"}, default="all"
        Which triplets. "hard": for each anchor the farthest positive and the nearest negative
        (batch hard, [2]_). "semi-hard": for each anchor and positive the nearest negative that is
        farther than the positive [1]_, and where none is, the farthest negative; the loss jumps
        where the choice changes.
    metric : {"euclidean", "sqeuclidean", "cosine", "precomputed"}, default="euclidean"
        "cosine" is 1 minus the cosine, half of [1]_'s squared distance of embeddings of length 1.
        "precomputed": the distances are given. The gradient of the Euclidean distance of two equal
        rows is taken as 0.

    References
    ----------
    .. [1] Schroff, F., Kalenichenko, D. and Philbin, J. (2015). FaceNet: a unified embedding for
       face recognition and clustering. CVPR, equations 3 and 4.
    .. [2] Hermans, A., Beyer, L. and Leibe, B. (2017). In defense of the triplet loss for person
       re-identification. arXiv:1703.07737, equation 5.

    Examples
    --------
    >>> from sklearn_losses import TripletLoss
    >>> X = [[0.0], [1.0], [1.5], [4.0]]
    >>> y = ["a", "a", "b", "b"]
    >>> for mining in ("all", "hard", "semi-hard"):
    ...     print(TripletLoss(mining=mining)(X, y))
    0.9375
    1.375
    0.75
    """

    name = "triplet"
    takes_labels = True
    _pairs_parameter, _pairs = "metric", DISTANCES
    _parameter_intervals = {"margin": NON_NEGATIVE}

    def __init__(self, margin=1.0, mining="all", metric="euclidean"):
        self.margin = margin
        self.mining = mining
        self.metric = metric

    @property
    def _has_no_scale(self):
        return self.metric == "cosine"

    def _check(self):
        super()._check()
        if not isinstance(self.mining, str) or self.mining not in MININGS:
            raise ValueError(
                f"TripletLoss: mining must be one of {list(MININGS)}; got {self.mining!r}"
            )

    def loss_gradient(self, X, y):
        """Value and gradient.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, n)
            Embeddings, or with ``metric="precomputed"`` the distances.
        y : array-like of shape (n,)
            Labels, of any kind that has an order.

        Returns
        -------
        loss : float
            0 where there is no triplet.
        gradient : ndarray of the shape of X
            With respect to X. What mining chooses is taken as given.

        Raises
        ------
        TypeError
            Where X does not hold real numbers, or y labels of several kinds.
        ValueError
            Where shapes do not fit, a number is not finite, or a parameter is out of its range.
        """
        return self._one(X, lambda n: codes_of(y, n))

    def _total(self, pairs, target):
        (margin,) = self._numbers()
        return MININGS[self.mining](pairs, target, margin)
