"""Row-wise losses: `raw_prediction` has the shape (n_samples, n_classes).

`y_true` holds class codes 0, ..., n_classes - 1 ("sparse" targets); where the class says so, also
rows of probabilities ("categorical" targets). ``p = softmax(raw_prediction)``.
"""

import numpy as np

from sklearn_losses._array import array_namespace, to_host
from sklearn_losses._corrected_links import (
    LDAMLink,
    MulticlassFocalLink,
    ShiftedSoftmaxLink,
    SmoothedSoftmaxLink,
)
from sklearn_losses._interval import NON_NEGATIVE, POSITIVE, UNIT_RIGHT_OPEN
from sklearn_losses.links import IdentityLink, SoftmaxLink
from sklearn_losses.losses._arrays import x_log_x
from sklearn_losses.losses.rowwise import RowwiseLoss


class HalfMultinomialLoss(RowwiseLoss):
    """Multinomial logistic loss: the cross-entropy of the softmax.

    - Domain: y_true holds class codes, or rows of probabilities.
    - Link: softmax; `predict` gives the classes' probabilities, without the smoothing: ``(p -
      label_smoothing / n_classes) / (1 - label_smoothing)``, or 0 where that is negative.
    - Formula: ``logsumexp(raw) - sum(y * raw)``, y being the one-hot row of a code, smoothed to
      ``(1 - label_smoothing) * y + label_smoothing / n_classes``.

    Parameters
    ----------
    n_classes : int or None, default=None
        At least 2. None: as many as the raw predictions have.
    label_smoothing : float, default=0.0
        In [0, 1).

    References
    ----------
    Szegedy, C. et al. (2016). Rethinking the Inception architecture for computer vision. CVPR,
    section 7 (smoothing).

    Examples
    --------
    >>> from sklearn_losses import HalfMultinomialLoss
    >>> round(HalfMultinomialLoss()([0, 2], [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), 6)
    0.669079
    """

    name = "multinomial"
    takes_probabilities = True
    _parameter_intervals = {"label_smoothing": UNIT_RIGHT_OPEN}

    def __init__(self, n_classes=None, label_smoothing=0.0):
        super().__init__(n_classes)
        self.label_smoothing = label_smoothing

    @property
    def link(self):
        (smoothing,) = self._numbers()
        return SmoothedSoftmaxLink(smoothing) if smoothing else SoftmaxLink()

    def _minus_best_value(self, y):
        (smoothing,) = self._numbers()
        if y.ndim == 2:
            target = (1 - smoothing) * y + smoothing / y.shape[1]
            return x_log_x(target).sum(axis=1)
        if smoothing == 0:
            return super()._minus_best_value(y)
        n_classes = self._classes(None)
        rest = smoothing / n_classes
        best = x_log_x(1 - smoothing + rest) + (n_classes - 1) * x_log_x(rest)
        return array_namespace(y).full(y.shape[0], float(best), dtype=y.dtype)

    def _best_row(self, shares):
        (smoothing,) = self._numbers()
        return np.log((1 - smoothing) * shares + smoothing / shares.shape[0])


class MulticlassHinge(RowwiseLoss):
    """Crammer and Singer's multiclass hinge loss.

    - Domain: y_true holds class codes.
    - Link: none; raw predictions are scores, not probabilities.
    - Formula: ``max(0, 1 + max(raw_k, k != y) - raw_y)``. At ties the first of the largest rivals
      takes the subgradient; it is 0 where the value is 0. The second derivative is 0; `hessian` is
      1.

    Parameters
    ----------
    n_classes : int or None, default=None
        At least 2. None: as many as the raw predictions have.

    References
    ----------
    Crammer, K. and Singer, Y. (2001). On the algorithmic implementation of multiclass kernel-based
    vector machines. Journal of Machine Learning Research 2, 265-292.

    Examples
    --------
    >>> from sklearn_losses import MulticlassHinge
    >>> MulticlassHinge()([0, 2], [[2.0, 0.5, 0.0], [0.0, 0.0, 0.0]])
    0.5
    """

    name = "multiclass_hinge"
    link = IdentityLink()
    differentiable = False
    approx_hessian = True

    def _best_row(self, shares):
        # The constants that can be best are all zero, and one for a class that holds the majority.
        return (shares > 0.5).astype(np.float64)


class MulticlassFocal(RowwiseLoss):
    """Focal loss of the softmax's probability of the true class.

    - Domain: y_true holds class codes.
    - Link: `predict` gives the classes' probabilities in the data, whatever gamma and alpha are:
      the closed form of Charoenphakdee et al. for a p that minimises the loss. The largest raw
      prediction is still the class that is predicted, which alpha has a part in. Where an alpha is
      0, that class counts nothing, and there are no probabilities.
    - Formula: ``-alpha_y * (1 - p_y)**gamma * log(p_y)``.

    Parameters
    ----------
    n_classes : int or None, default=None
        At least 2. None: as many as the raw predictions have.
    gamma : float, default=2.0
        Focusing exponent; in [0, inf).
    alpha : array-like of shape (n_classes,) or None, default=None
        Weight of each class, in [0, inf). None weighs all 1.

    References
    ----------
    Lin, T.-Y., Goyal, P., Girshick, R., He, K. and Dollar, P. (2017). Focal loss for dense object
    detection. ICCV.

    Charoenphakdee, N., Vongkulbhisal, J., Chairatanakul, N. and Sugiyama, M. (2021). On focal loss
    for class-posterior probability estimation: a theoretical perspective. CVPR, theorem 11.

    Examples
    --------
    >>> from sklearn_losses import MulticlassFocal
    >>> round(MulticlassFocal()([0], [[0.0, 0.0]]), 6)
    0.173287
    """

    name = "multiclass_focal"
    _parameter_intervals = {"gamma": NON_NEGATIVE}
    _class_parameters = ("alpha",)

    def __init__(self, n_classes=None, gamma=2.0, alpha=None):
        super().__init__(n_classes)
        self.gamma = gamma
        self.alpha = alpha

    @property
    def convex(self):
        return self.gamma == 0

    @property
    def link(self):
        (gamma,) = self._numbers()
        if self.alpha is None:
            return MulticlassFocalLink(gamma) if gamma else SoftmaxLink()
        alpha = self._per_class("alpha", self._classes(np.size(to_host(self.alpha))), NON_NEGATIVE)
        return MulticlassFocalLink(gamma, tuple(alpha.tolist())) if alpha.all() else IdentityLink()

    def _row_params(self, n_classes):
        weights = (
            np.ones(n_classes)
            if self.alpha is None
            else self._per_class("alpha", n_classes, NON_NEGATIVE)
        )
        return [*self._numbers(), *weights]


class LogitAdjusted(RowwiseLoss):
    """Logit-adjusted cross-entropy, for classes of very different frequency.

    - Domain: y_true holds class codes, or rows of probabilities.
    - Link: `predict` gives the classes' probabilities in the data, the softmax of the adjusted raw
      predictions ``raw_k + tau * log(priors_k)``. The largest raw prediction itself is the class
      that is predicted, as if the classes were balanced: the two may differ.
    - Formula: the multinomial loss of ``raw_k + tau * log(priors_k)``.

    Parameters
    ----------
    n_classes : int or None, default=None
        At least 2. None: as many as the raw predictions have.
    priors : array-like of shape (n_classes,) or None, default=None
        Frequency of each class, in (0, inf); they are divided by their sum. None: an estimator
        takes those of its training data, and without data they are equal.
    tau : float, default=1.0
        Strength; in [0, inf).

    References
    ----------
    Menon, A. K. et al. (2021). Long-tail learning via logit adjustment. ICLR, equation 10.

    Examples
    --------
    >>> from sklearn_losses import LogitAdjusted
    >>> round(LogitAdjusted(priors=[0.9, 0.1])([1], [[0.0, 0.0]]), 6)
    2.302585
    """

    name = "logit_adjusted"
    takes_probabilities = True
    _parameter_intervals = {"tau": NON_NEGATIVE}
    _class_parameters = ("priors",)

    def __init__(self, n_classes=None, priors=None, tau=1.0):
        super().__init__(n_classes)
        self.priors = priors
        self.tau = tau

    def _for_classes(self, n_classes, class_counts=None):
        bound = super()._for_classes(n_classes)
        if bound.priors is None:
            bound.priors = class_counts
        return bound

    @property
    def link(self):
        (tau,) = self._numbers()
        if self.priors is None or tau == 0:
            return SoftmaxLink()
        n_classes = self._classes(np.size(to_host(self.priors)))
        return ShiftedSoftmaxLink(tuple(self._row_params(n_classes).tolist()))

    def _row_params(self, n_classes):
        (tau,) = self._numbers()
        if self.priors is None:
            return np.full(n_classes, -tau * np.log(n_classes))
        priors = self._per_class("priors", n_classes, POSITIVE)
        return tau * np.log(priors / priors.sum())

    def _minus_best_value(self, y):
        return HalfMultinomialLoss()._minus_best_value(y)

    def _best_row(self, shares):
        return np.log(shares) - self._row_params(shares.shape[0])


class LDAM(RowwiseLoss):
    """Label-distribution-aware margin loss: rare classes get a larger margin.

    - Domain: y_true holds class codes.
    - Link: `predict` gives the classes' probabilities in the data, in proportion to ``p_k * (1 -
      p_k + p_k * exp(-scale * margin_k))`` with ``p = softmax(scale * raw)``: exact where raw
      minimises the loss. The largest raw prediction is the class that is predicted, to the
      advantage of rare classes: the two may differ.
    - Formula: the multinomial loss of ``scale * (raw_k - 1[k = y] * margin_y)``, where ``margin_k``
      is proportional to ``class_counts_k**(-1/4)`` and the largest is `max_margin`.

    Parameters
    ----------
    n_classes : int or None, default=None
        At least 2. None: as many as the raw predictions have.
    class_counts : array-like of shape (n_classes,) or None, default=None
        Number of samples of each class, in (0, inf). None: an estimator takes those of its training
        data, and without data they are equal.
    max_margin : float, default=0.5
        In [0, inf).
    scale : float, default=30.0
        In (0, inf). The paper's raw predictions are cosines, in [-1, 1]; for those of a linear
        model prefer 1.

    References
    ----------
    Cao, K., Wei, C., Gaidon, A., Arechiga, N. and Ma, T. (2019). Learning imbalanced datasets with
    label-distribution-aware margin loss. NeurIPS, equations 10 and 13.

    Examples
    --------
    >>> from sklearn_losses import LDAM
    >>> round(LDAM(class_counts=[90, 10], scale=1.0)([1], [[0.0, 0.0]]), 6)
    0.974077
    """

    name = "ldam"
    _parameter_intervals = {"max_margin": NON_NEGATIVE, "scale": POSITIVE}
    _class_parameters = ("class_counts",)

    def __init__(self, n_classes=None, class_counts=None, max_margin=0.5, scale=30.0):
        super().__init__(n_classes)
        self.class_counts = class_counts
        self.max_margin = max_margin
        self.scale = scale

    def _for_classes(self, n_classes, class_counts=None):
        bound = super()._for_classes(n_classes)
        if bound.class_counts is None:
            bound.class_counts = class_counts
        return bound

    def _row_params(self, n_classes):
        max_margin, scale = self._numbers()
        counts = (
            np.ones(n_classes)
            if self.class_counts is None
            else self._per_class("class_counts", n_classes, POSITIVE)
        )
        return [scale, *(max_margin * (counts.min() / counts) ** 0.25)]

    @property
    def link(self):
        # Without counts the margins are equal, for any number of classes.
        counted = self.class_counts is not None
        n_classes = self._classes(np.size(to_host(self.class_counts))) if counted else 1
        scale, *margins = map(float, self._row_params(n_classes))
        return LDAMLink(scale, tuple(margins) if counted else margins[0])


class MulticlassKLDivergence(RowwiseLoss):
    """Kullback-Leibler divergence from rows of probabilities.

    - Domain: y_true holds rows of probabilities, or class codes.
    - Link: softmax; `predict` gives the classes' probabilities.
    - Formula: ``sum(y_k * (log(y_k) - log(p_k)))``.

    Parameters
    ----------
    n_classes : int or None, default=None
        At least 2. None: as many as the raw predictions have.

    References
    ----------
    Kullback, S. and Leibler, R. A. (1951). On information and sufficiency. Annals of Mathematical
    Statistics 22, 79-86.

    Examples
    --------
    >>> from sklearn_losses import MulticlassKLDivergence
    >>> abs(MulticlassKLDivergence()([[0.5, 0.5]], [[1.0, 1.0]])) < 1e-15
    True
    """

    name = "multiclass_kl_divergence"
    takes_probabilities = True

    def _best_row(self, shares):
        return np.log(shares)
