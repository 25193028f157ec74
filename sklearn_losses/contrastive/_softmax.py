"""Losses that are the cross-entropy of a softmax over a row of similarities."""

import numpy as np

from sklearn_losses._array import kernel_array
from sklearn_losses._interval import POSITIVE
from sklearn_losses.contrastive._base import (
    ContrastiveLoss,
    _check_no_embeddings,
    checked_views,
    codes_of,
)
from sklearn_losses.contrastive._pairs import SIMILARITIES
from sklearn_losses.losses import HalfMultinomialLoss
from sklearn_losses.losses._arrays import finite

CROSS_ENTROPY = HalfMultinomialLoss()


class SoftmaxLoss(ContrastiveLoss):
    """What they share: the temperature, and the library's own cross-entropy on rows of scores."""

    _pairs = SIMILARITIES
    _parameter_intervals = {"temperature": POSITIVE}

    @property
    def _has_no_scale(self):
        return self.similarity == "cosine"

    def _cross_entropy(self, scores, target):
        """Sum over rows, and its gradient with respect to the scores. An element of -inf is left
        out of its row."""
        with np.errstate(all="ignore"):  # what is no number then is refused below
            temperature = scores.dtype.type(self._numbers()[0])
            sharpness = 1 / temperature
            # Differences first, which are exact where they matter: a large score divided by the
            # temperature has lost its last digits already.
            raw = scores - scores.max(axis=1, keepdims=True)
            raw /= temperature
        # Codes and rows of targets are exact in the type of the scores.
        value, gradient = CROSS_ENTROPY.loss_gradient(target.astype(scores.dtype, copy=False), raw)
        total = value.sum(dtype=np.float64)
        if not (np.isfinite(total) and np.isfinite(sharpness)):
            raise ValueError(
                f"{type(self).__name__}: temperature={self.temperature!r} is too small for scores "
                f"that differ by {np.ptp(scores[np.isfinite(scores)]):.3g} in {scores.dtype}"
            )
        gradient /= temperature
        return total, gradient


def _without_self(scores):
    """A copy in which no row is compared with itself."""
    scores = scores.copy()
    np.fill_diagonal(scores, -np.inf)
    return scores


def _shares(weight):
    """Rows divided by their sums; a row of zeros stays."""
    most = weight.max(axis=1, keepdims=True)
    weight = np.divide(weight, most, out=np.zeros_like(weight), where=most > 0)
    mass = weight.sum(axis=1, keepdims=True)
    return np.divide(weight, mass, out=weight, where=mass > 0)


class InfoNCE(SoftmaxLoss):
    """Cross-entropy of finding the positives of each query among all keys.

    - Formula: the mean over queries i of ``-sum_j w_ij * log(softmax_j(s_ij / temperature))``,
      where the row w_i is the positives' weights over their sum. A query without a positive counts
      nothing.

    Parameters
    ----------
    temperature : float, default=0.1
        In (0, inf).
    similarity : {"cosine", "dot", "sqeuclidean", "precomputed"}, default="cosine"
        "sqeuclidean" is minus the squared Euclidean distance. The cosine of a row of zeros is 0
        with every row, as scikit-learn's. "precomputed": the scores are given.

    References
    ----------
    van den Oord, A., Li, Y. and Vinyals, O. (2018). Representation learning with contrastive
    predictive coding. arXiv:1807.03748, equation 4.

    Examples
    --------
    >>> from sklearn_losses import InfoNCE
    >>> queries, keys = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [-1.0, 1.0], [0.0, -1.0]]
    >>> round(InfoNCE()(queries, keys), 6)
    0.346998

    Two positives for the first query, and scores instead of embeddings:

    >>> loss = InfoNCE(temperature=1.0, similarity="precomputed")
    >>> value, gradient = loss.loss_gradient(
    ...     [[2.0, 2.0, 0.0], [0.0, 1.0, 0.0]], positives=[[1, 1, 0], [0, 1, 0]]
    ... )
    >>> gradient.round(3)
    array([[-0.016, -0.016,  0.032],
           [ 0.106, -0.212,  0.106]])
    """

    name = "info_nce"

    def __init__(self, temperature=0.1, similarity="cosine"):
        self.temperature = temperature
        self.similarity = similarity

    def loss_gradient(self, X, Y=None, positives=None):
        """Value and gradient.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, m)
            Embeddings of the queries, or with ``similarity="precomputed"`` the scores.
        Y : array-like of shape (m, d) or None, default=None
            Embeddings of the keys; None with scores.
        positives : array-like of shape (n,) or (n, m) or None, default=None
            The number of each query's positive key; or which keys are its positives (bool), or
            their weights, in [0, inf). None: key i is that of query i, and further ones are
            negatives.

        Returns
        -------
        loss : float
            0 where no query has a positive.
        gradient : tuple of ndarray, or ndarray of shape (n, m)
            With respect to X and Y, or to the scores.

        Raises
        ------
        TypeError
            Where an argument does not hold real numbers.
        ValueError
            Where shapes do not fit, a number is not finite, or a parameter or a positive is out of
            its range.
        """
        return self._two(X, Y, lambda n, m: _positives(positives, n, m))

    def _total(self, pairs, target):
        total, gradient = self._cross_entropy(pairs, target)
        mass = len(target) if target.ndim == 1 else int(target.any(axis=1).sum())
        return total, mass, gradient


def _positives(given, n, m):
    """Numbers of keys, or rows of shares."""
    if given is None:
        if m < n:
            raise ValueError(
                f"positives must be given where there are fewer keys ({m}) than queries ({n})"
            )
        return np.arange(n)
    if np.asarray(given).dtype == bool and np.ndim(given) == 1:
        raise ValueError(f"positives must have shape ({n}, {m}) where they are bool; got ({n},)")
    weight = finite(kernel_array(given, "positives"), "positives")
    if weight.shape == (n, m):
        if (weight < 0).any():
            raise ValueError(f"positives must be in [0, inf); got {weight[weight < 0][0]}")
        return _shares(weight.astype(np.float64, copy=False))
    if weight.shape != (n,):
        raise ValueError(f"positives must have shape ({n},) or ({n}, {m}); got {weight.shape}")
    wrong = (weight < 0) | (weight >= m) | (weight != np.floor(weight))
    if wrong.any():
        raise ValueError(
            f"positives must hold numbers of keys, 0, ..., {m - 1}; got {weight[wrong][0]}"
        )
    return weight


class NTXent(SoftmaxLoss):
    """Normalised temperature-scaled cross-entropy of two views of each sample.

    - Formula: of the 2n rows of both views, the mean over rows i of
      ``-log(softmax_j(s_ij / temperature))`` at the other view of the same sample, the softmax
      being over all rows but i.

    Parameters
    ----------
    temperature : float, default=0.5
        In (0, inf).
    similarity : {"cosine", "dot", "sqeuclidean", "precomputed"}, default="cosine"
        As of `InfoNCE`.

    References
    ----------
    Chen, T., Kornblith, S., Norouzi, M. and Hinton, G. (2020). A simple framework for contrastive
    learning of visual representations. ICML, equation 1.

    Examples
    --------
    >>> from sklearn_losses import NTXent
    >>> round(NTXent()([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.1], [0.1, 1.0]]), 6)
    0.289878
    """

    name = "nt_xent"

    def __init__(self, temperature=0.5, similarity="cosine"):
        self.temperature = temperature
        self.similarity = similarity

    def loss_gradient(self, X, Y=None):
        """Value and gradient.

        Parameters
        ----------
        X : array-like of shape (n, d) or (2n, 2n)
            Embeddings of the first view, or with ``similarity="precomputed"`` the scores of the
            rows of both, those of the first view first.
        Y : array-like of shape (n, d) or None, default=None
            Embeddings of the second view, row by row those of the same samples; None with scores.

        Returns
        -------
        loss : float
        gradient : tuple of ndarray of shape (n, d), or ndarray of shape (2n, 2n)
            With respect to X and Y, or to the scores; the diagonal's is 0.

        Raises
        ------
        TypeError
            Where an argument does not hold real numbers.
        ValueError
            Where shapes do not fit, a number is not finite, or a parameter is out of its range.
        """
        if self._pairs_of is None:
            _check_no_embeddings(Y)
            return self._one(X, _other_views)
        X, Y = checked_views(X, Y, type(self).__name__)
        loss, gradient = self._one(np.concatenate([X, Y]), _other_views)
        return loss, (gradient[: len(X)], gradient[len(X) :])

    def _total(self, pairs, target):
        total, gradient = self._cross_entropy(_without_self(pairs), target)
        return total, len(pairs), gradient


def _other_views(n_rows):
    if n_rows % 2:
        raise ValueError(f"X must hold the scores of two views of each sample; got {n_rows} rows")
    return np.roll(np.arange(n_rows), n_rows // 2)


class SupervisedContrastive(SoftmaxLoss):
    """Cross-entropy of finding the samples of one's own class among all others.

    - Formula: the mean over rows i of ``-1 / |P_i| * sum_{p in P_i} log(softmax_p(s_ip /
      temperature))``, P_i being the other rows with the label of i, and the softmax over all rows
      but i. A row without such others counts nothing.

    With ``similarity="sqeuclidean"`` it is the loss of maximally collapsing metric learning [2]_.

    Parameters
    ----------
    temperature : float, default=0.1
        In (0, inf).
    similarity : {"cosine", "dot", "sqeuclidean", "precomputed"}, default="cosine"
        As of `InfoNCE`.

    References
    ----------
    .. [1] Khosla, P. et al. (2020). Supervised contrastive learning. NeurIPS, equation 2 (L_out),
       over the number of rows.
    .. [2] Globerson, A. and Roweis, S. (2005). Metric learning by collapsing classes. NeurIPS,
       equation 4.

    Examples
    --------
    >>> from sklearn_losses import SupervisedContrastive
    >>> X = [[1.0, 0.0], [1.0, 0.2], [0.0, 1.0], [0.3, 1.0]]
    >>> loss = SupervisedContrastive(temperature=0.5)
    >>> round(loss(X, ["a", "a", "b", "b"]), 6)
    0.396154
    """

    name = "supervised_contrastive"
    takes_labels = True

    def __init__(self, temperature=0.1, similarity="cosine"):
        self.temperature = temperature
        self.similarity = similarity

    def loss_gradient(self, X, y):
        """Value and gradient.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, n)
            Embeddings, or with ``similarity="precomputed"`` the scores.
        y : array-like of shape (n,)
            Labels, of any kind that has an order.

        Returns
        -------
        loss : float
            0 where no two rows have one label.
        gradient : ndarray of the shape of X
            With respect to X; the diagonal's of scores is 0.

        Raises
        ------
        TypeError
            Where X does not hold real numbers, or y labels of several kinds.
        ValueError
            Where shapes do not fit, a number is not finite, or a parameter is out of its range.
        """
        return self._one(X, lambda n: codes_of(y, n))

    def _total(self, pairs, target):
        positive = target[:, np.newaxis] == target
        np.fill_diagonal(positive, False)
        counted = int(positive.any(axis=1).sum())
        if not counted:
            return 0.0, 0, np.zeros_like(pairs)
        shares = _shares(positive.astype(pairs.dtype))
        total, gradient = self._cross_entropy(_without_self(pairs), shares)
        return total, counted, gradient


class CLIPLoss(SoftmaxLoss):
    """Cross-entropy of matching two modalities, the mean of both directions.

    - Formula: the mean over samples i of half of ``-log(softmax_j(s_ij / temperature))`` at j = i,
      over the rows of the second modality, and half of the same over those of the first.

    Parameters
    ----------
    temperature : float, default=0.07
        In (0, inf). The paper learns it, from this start.
    similarity : {"cosine", "dot", "sqeuclidean", "precomputed"}, default="cosine"
        As of `InfoNCE`.

    References
    ----------
    Radford, A. et al. (2021). Learning transferable visual models from natural language
    supervision. ICML, figure 3.

    Examples
    --------
    >>> from sklearn_losses import CLIPLoss
    >>> images, texts = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.5], [0.5, 1.0]]
    >>> round(CLIPLoss(temperature=0.5)(images, texts), 6)
    0.342768
    """

    name = "clip"

    def __init__(self, temperature=0.07, similarity="cosine"):
        self.temperature = temperature
        self.similarity = similarity

    def loss_gradient(self, X, Y=None):
        """Value and gradient.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, n)
            Embeddings of the first modality, or with ``similarity="precomputed"`` the scores.
        Y : array-like of shape (n, d) or None, default=None
            Embeddings of the second modality, row by row those of the same samples; None with
            scores.

        Returns
        -------
        loss : float
        gradient : tuple of ndarray of shape (n, d), or ndarray of shape (n, n)
            With respect to X and Y, or to the scores.

        Raises
        ------
        TypeError
            Where an argument does not hold real numbers.
        ValueError
            Where shapes do not fit, a number is not finite, or a parameter is out of its range.
        """
        if self._pairs_of is not None:
            X, Y = checked_views(X, Y, type(self).__name__)
        return self._two(X, Y, _same_sample)

    def _total(self, pairs, target):
        total, gradient = self._cross_entropy(pairs, target)
        back_total, back = self._cross_entropy(pairs.T, target)
        return 0.5 * (total + back_total), len(target), 0.5 * (gradient + back.T)


def _same_sample(n, m):
    if n != m:
        raise ValueError(f"X must be a square matrix of pairs; got shape {(n, m)}")
    return np.arange(n)
