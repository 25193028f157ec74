"""Binary classification losses. `y_true` is the probability of the positive class: 0, 1 or in
between.

For a margin loss ``phi`` the value is ``y_true * phi(raw) + (1 - y_true) * phi(-raw)``; ``p = 1 /
(1 + exp(-raw))``.
"""

from fractions import Fraction

import numpy as np

from sklearn_losses._array import array_namespace
from sklearn_losses._corrected_links import AsymmetricLink, FocalLink, PolyLink
from sklearn_losses._interval import NON_NEGATIVE, POSITIVE, UNIT, UNIT_RIGHT_OPEN, Interval
from sklearn_losses._parameters import check_number, log_in_two
from sklearn_losses.links import (
    ClippedLinearLink,
    HalfLogitLink,
    IdentityLink,
    LogitLink,
)
from sklearn_losses.losses import constants
from sklearn_losses.losses._arrays import x_log_x
from sklearn_losses.losses.pointwise import MeanFitMixin, PointwiseLoss


class BinaryLoss(PointwiseLoss):
    """Base class of the losses whose target is the probability of the positive class."""

    task = "binary"
    n_classes = 2
    interval_y_true = UNIT

    def _constant_limits(self, offset):
        """The constants beyond which every raw prediction is past 40 to the same side."""
        # Past 40 no float64 tells a probability from 1.
        if offset is None:
            return -40.0, 40.0
        return -40.0 - float(offset.max()), 40.0 - float(offset.min())

    def _best_constant(self, y, weight, offset):
        low, high = self._constant_limits(offset)
        if offset is None:
            # The loss is linear in the target, but for what no raw prediction changes.
            xp = array_namespace(y)
            share, rest = constants.mean(y, weight), constants.mean(1 - y, weight)
            y, weight = xp.asarray([0.0, 1.0]), xp.asarray([rest, share])
        sums = constants.Sums(self, y, weight, offset)
        if self.convex:
            start = 0.0 if offset is None else -constants.mean(offset, weight)
            return constants.root(sums, lambda sums: (start, 1.0), low, high)
        return constants.lowest(sums, self._constant_grid(y, weight, offset))

    def _constant_grid(self, y, weight, offset):
        return np.linspace(*self._constant_limits(offset), 81)


class _Hinge(BinaryLoss):
    """A hinge with its kink at a threshold."""

    differentiable = False
    approx_hessian = True

    def _best_constant(self, y, weight, offset):
        # Twice as many kinks as samples, the slope growing by a sample's share at each.
        xp = array_namespace(y)
        (threshold,) = self._kernel_params()[1]
        y = y.astype(np.float64, copy=False)
        weight = xp.ones(y.shape[0]) if weight is None else weight
        offset = xp.zeros(y.shape[0]) if offset is None else offset
        kinks = xp.concatenate([threshold - offset, -threshold - offset])
        growth = xp.concatenate([weight * y, weight * (1 - y)])
        return constants.quantiles(kinks, growth, [constants.mean(y, weight)])[0]

    def _terms(self, y):
        (threshold,) = self._kernel_params()[1]
        return [(threshold, -y, 0.0), (-threshold, 0.0, 1.0 - y)]


class HalfBinomialLoss(MeanFitMixin, BinaryLoss):
    """Logistic loss: the binary cross-entropy, half the binomial deviance.

    - Domain: y_true in [0, 1].
    - Link: logit; `predict` gives the probability of the positive class.
    - Formula: ``log(1 + exp(raw)) - y_true * raw``.

    References
    ----------
    Hastie, T., Tibshirani, R. and Friedman, J. (2009). The Elements of Statistical Learning, 2nd
    edition. Springer, section 4.4.

    Examples
    --------
    >>> from sklearn_losses import HalfBinomialLoss
    >>> round(HalfBinomialLoss()([0, 1], [-2.0, 2.0]), 6)
    0.126928
    """

    name = "log_loss"
    link = LogitLink()

    def _minus_best_value(self, y):
        return x_log_x(y) + x_log_x(1 - y)


class Hinge(_Hinge):
    """Hinge loss: the support vector machine's.

    - Domain: y_true in [0, 1].
    - Link: none; raw predictions are margins, not probabilities.
    - Formula: ``phi(m) = max(0, threshold - m)``. The gradient at the kink is -1. The second
      derivative is 0; `hessian` is 1.

    Parameters
    ----------
    threshold : float, default=1.0
        The margin that is asked for; in [0, inf).

    References
    ----------
    Cortes, C. and Vapnik, V. (1995). Support-vector networks. Machine Learning 20, 273-297.

    Examples
    --------
    >>> from sklearn_losses import Hinge
    >>> Hinge()([0, 1], [-2.0, 0.5])
    0.25
    """

    name = "hinge"
    _parameter_intervals = {"threshold": NON_NEGATIVE}

    def __init__(self, threshold=1.0):
        self.threshold = threshold

    def _smoothed(self, width):
        return (SmoothHinge(width), lambda y: None) if self.threshold == 1 else None


class Perceptron(_Hinge):
    """Perceptron loss: the hinge loss with threshold 0.

    - Domain: y_true in [0, 1].
    - Link: none; raw predictions are margins, not probabilities.
    - Formula: ``phi(m) = max(0, -m)``. The gradient at the kink is -1. The second derivative is 0;
      `hessian` is 1.

    References
    ----------
    Rosenblatt, F. (1958). The perceptron: a probabilistic model for information storage and
    organization in the brain. Psychological Review 65, 386-408.

    Examples
    --------
    >>> from sklearn_losses import Perceptron
    >>> Perceptron()([0, 1], [-2.0, -0.5])
    0.25
    """

    name = "perceptron"
    _kernel = "Hinge"

    def _kernel_params(self):
        return self._kernel, [0.0]


class SquaredHinge(BinaryLoss):
    """Squared hinge loss.

    - Domain: y_true in [0, 1].
    - Link: none; raw predictions are margins, not probabilities.
    - Formula: ``phi(m) = max(0, threshold - m)**2``. `hessian` is 2 inside the margin and 0 beyond.

    Parameters
    ----------
    threshold : float, default=1.0
        The margin that is asked for; in [0, inf).

    Examples
    --------
    >>> from sklearn_losses import SquaredHinge
    >>> SquaredHinge()([0, 1], [-2.0, 0.5])
    0.125
    """

    name = "squared_hinge"
    approx_hessian = True
    _parameter_intervals = {"threshold": NON_NEGATIVE}

    def __init__(self, threshold=1.0):
        self.threshold = threshold


class SmoothHinge(BinaryLoss):
    """Hinge loss with a quadratic piece in place of its kink.

    - Domain: y_true in [0, 1].
    - Link: none; raw predictions are margins, not probabilities.
    - Formula: ``phi(m)`` is 0 where ``m >= 1``, ``(1 - m)**2 / (2 * gamma)`` where ``1 - gamma < m
      < 1``, else ``1 - m - gamma / 2``. `hessian` is ``1 / gamma`` in the middle piece and 0
      elsewhere.

    Parameters
    ----------
    gamma : float, default=1.0
        Width of the quadratic piece; in (0, inf).

    References
    ----------
    Shalev-Shwartz, S. and Zhang, T. (2013). Stochastic dual coordinate ascent methods for
    regularized loss minimization. Journal of Machine Learning Research 14, 567-599, equation 16.

    Examples
    --------
    >>> from sklearn_losses import SmoothHinge
    >>> SmoothHinge()([0, 1], [-2.0, 0.5])
    0.0625
    """

    name = "smooth_hinge"
    approx_hessian = True
    _parameter_intervals = {"gamma": POSITIVE}

    def __init__(self, gamma=1.0):
        self.gamma = gamma


class ModifiedHuber(BinaryLoss):
    """Modified Huber loss: a squared hinge that turns linear for large errors, and gives
    probabilities.

    - Domain: y_true in [0, 1].
    - Link: `predict` gives ``(clip(raw, -1, 1) + 1) / 2``, the probability that the loss estimates.
    - Formula: ``phi(m) = max(0, 1 - m)**2`` where ``m >= -1``, else ``-4 * m``. `hessian` is 2 in
      the quadratic piece and 0 elsewhere.

    References
    ----------
    Zhang, T. (2004). Solving large scale linear prediction problems using stochastic gradient
    descent algorithms. ICML.

    Examples
    --------
    >>> from sklearn_losses import ModifiedHuber
    >>> ModifiedHuber()([0, 1], [-2.0, 0.5])
    0.125
    """

    name = "modified_huber"
    link = ClippedLinearLink()
    approx_hessian = True


class ExponentialLoss(MeanFitMixin, BinaryLoss):
    """Exponential loss: AdaBoost's.

    - Domain: y_true in [0, 1].
    - Link: half the logit; `predict` gives ``1 / (1 + exp(-2 * raw))``.
    - Formula: ``y_true * exp(-raw) + (1 - y_true) * exp(raw)``.

    References
    ----------
    Friedman, J., Hastie, T. and Tibshirani, R. (2000). Additive logistic regression: a statistical
    view of boosting. Annals of Statistics 28, 337-407.

    Examples
    --------
    >>> from sklearn_losses import ExponentialLoss
    >>> ExponentialLoss()([0, 1], [0.0, 0.0])
    1.0
    """

    name = "exponential"
    link = HalfLogitLink()

    def _best_beside(self, y, weight, offset):
        low, high = self._constant_limits(offset)
        exp = array_namespace(y).exp
        # Both sums scaled alike, so that neither overflows where the offsets are of like size.
        middle = constants.mean(offset)
        up = constants.mean(y * exp(middle - offset), weight)
        down = constants.mean((1 - y) * exp(offset - middle), weight)
        if up > 0 and down > 0:
            return float(np.log(up) - np.log(down)) / 2 - middle
        return high if up > 0 else low

    def _minus_best_value(self, y):
        return -2 * array_namespace(y).sqrt(y * (1 - y))


class FocalLoss(BinaryLoss):
    """Focal loss: cross-entropy that counts what is already classified well less.

    - Domain: y_true in [0, 1].
    - Link: `predict` gives the probability of the positive class in the data, whatever gamma and
      alpha are: the closed form of Charoenphakdee et al. for a p that minimises the loss. Raw
      predictions above 0 are still what is called positive, which alpha has a part in. With an
      alpha of 0 or 1 one class counts nothing, and there is no probability.
    - Formula: ``-alpha_t * (1 - p_t)**gamma * log(p_t)``, where p_t is p for the positive class and
      1 - p for the negative.

    Parameters
    ----------
    gamma : float, default=2.0
        Focusing exponent; in [0, inf).
    alpha : float or None, default=None
        Weight of the positive class, in [0, 1]; the negative's is ``1 - alpha``. None weighs both
        1.

    References
    ----------
    Lin, T.-Y., Goyal, P., Girshick, R., He, K. and Dollar, P. (2017). Focal loss for dense object
    detection. ICCV, equation 5.

    Charoenphakdee, N., Vongkulbhisal, J., Chairatanakul, N. and Sugiyama, M. (2021). On focal loss
    for class-posterior probability estimation: a theoretical perspective. CVPR, theorem 11.

    Examples
    --------
    >>> from sklearn_losses import FocalLoss
    >>> round(FocalLoss(gamma=2.0, alpha=0.25)([1, 0], [0.0, 0.0]), 6)
    0.086643
    """

    name = "focal"
    _parameter_intervals = {"gamma": NON_NEGATIVE, "alpha": UNIT}

    def __init__(self, gamma=2.0, alpha=None):
        self.gamma = gamma
        self.alpha = alpha

    @property
    def convex(self):
        return self.gamma == 0

    @property
    def link(self):
        gamma, positive, negative = self._kernel_params()[1]
        if positive == negative and gamma == 0:
            return LogitLink()
        if positive == 0 or negative == 0:
            return IdentityLink()
        return FocalLink(gamma, positive, negative)

    def _kernel_params(self):
        gamma = check_number(type(self).__name__, "gamma", self.gamma, NON_NEGATIVE)
        if self.alpha is None:
            return self._kernel, [gamma, 1.0, 1.0]
        alpha = check_number(type(self).__name__, "alpha", self.alpha, UNIT)
        return self._kernel, [gamma, alpha, 1.0 - alpha]


class PolyLoss(BinaryLoss):
    """Poly-1 loss: cross-entropy with its first polynomial coefficient changed.

    - Domain: y_true in [0, 1].
    - Link: `predict` gives the probability of the positive class, for which p is corrected.
    - Formula: cross-entropy ``+ epsilon * (1 - p_t)``, where p_t is p for the positive class and 1
      - p for the negative.

    Parameters
    ----------
    epsilon : float, default=1.0
        In [-1, inf).

    References
    ----------
    Leng, Z. et al. (2022). PolyLoss: a polynomial expansion perspective of classification loss
    functions. ICLR, equation 6.

    Examples
    --------
    >>> from sklearn_losses import PolyLoss
    >>> round(PolyLoss()([0, 1], [0.0, 0.0]), 6)
    1.193147
    """

    name = "poly"
    _parameter_intervals = {"epsilon": Interval(-1, np.inf, low_inclusive=True)}

    def __init__(self, epsilon=1.0):
        self.epsilon = epsilon

    @property
    def convex(self):
        return self.epsilon <= 1

    @property
    def link(self):
        (epsilon,) = self._numbers()
        return LogitLink() if epsilon == 0 else PolyLink(epsilon)


class BrierLoss(MeanFitMixin, BinaryLoss):
    """Brier's score: the squared error of the probability. Bounded, and not convex in the raw
    prediction.

    - Domain: y_true in [0, 1].
    - Link: logit; `predict` gives the probability of the positive class.
    - Formula: ``(p - y_true)**2``.

    References
    ----------
    Brier, G. W. (1950). Verification of forecasts expressed in terms of probability. Monthly
    Weather Review 78, 1-3.

    Examples
    --------
    >>> from sklearn_losses import BrierLoss
    >>> BrierLoss()([0, 1], [0.0, 0.0])
    0.25
    """

    name = "brier"
    link = LogitLink()
    convex = False


class AsymmetricLoss(BinaryLoss):
    """Asymmetric loss: focal with an exponent for each class, and easy negatives dropped. Made for
    multi-label data.

    - Domain: y_true in [0, 1].
    - Link: `predict` gives the probability of the positive class, for which p is corrected. What
      the loss cannot tell, that cannot either: the probability is 0 wherever p is at most `margin`,
      and with ``gamma_pos=0`` it ends at a bound below 1, past which every p is driven to 1: 0.964
      with the defaults; with ``gamma_neg=0`` it starts at ``margin / (1 + margin)``. Raw
      predictions above 0 are still what is called positive.
    - Formula: ``-y_true * (1 - p)**gamma_pos * log(p) - (1 - y_true) * q**gamma_neg * log(1 - q)``,
      ``q = max(p - margin, 0)``.

    Parameters
    ----------
    gamma_pos, gamma_neg : float, default=0.0 and 4.0
        Focusing exponents of the two classes; in [0, inf).
    margin : float, default=0.05
        Negatives whose probability is below it count nothing; in [0, 1).

    References
    ----------
    Ridnik, T. et al. (2021). Asymmetric loss for multi-label classification. ICCV, equations 4 to
    7.

    Examples
    --------
    >>> from sklearn_losses import AsymmetricLoss
    >>> round(AsymmetricLoss()([1], [0.0]), 6)
    0.693147
    """

    name = "asymmetric"
    _parameter_intervals = {
        "gamma_pos": NON_NEGATIVE,
        "gamma_neg": NON_NEGATIVE,
        "margin": UNIT_RIGHT_OPEN,
    }

    def __init__(self, gamma_pos=0.0, gamma_neg=4.0, margin=0.05):
        self.gamma_pos = gamma_pos
        self.gamma_neg = gamma_neg
        self.margin = margin

    @property
    def convex(self):
        return self.gamma_pos == self.gamma_neg == self.margin == 0

    @property
    def link(self):
        params = self._numbers()
        return AsymmetricLink(*params) if any(params) else LogitLink()

    def _kernel_params(self):
        gamma_pos, gamma_neg, margin = self._numbers()
        if margin == 0:
            return "AsymmetricLossNoMargin", [gamma_pos, gamma_neg]
        # A fraction, as Decimal's difference has 28 digits.
        rest = 1 - Fraction(margin)
        return self._kernel, [gamma_pos, gamma_neg, margin, *log_in_two(margin, over=rest)]


class BinaryKLDivergence(MeanFitMixin, BinaryLoss):
    """Kullback-Leibler divergence from the target's distribution: cross-entropy less the target's
    entropy.

    - Domain: y_true in [0, 1].
    - Link: logit; `predict` gives the probability of the positive class.
    - Formula: ``y_true * log(y_true / p) + (1 - y_true) * log((1 - y_true) / (1 - p))``.

    References
    ----------
    Kullback, S. and Leibler, R. A. (1951). On information and sufficiency. Annals of Mathematical
    Statistics 22, 79-86.

    Examples
    --------
    >>> from sklearn_losses import BinaryKLDivergence
    >>> round(BinaryKLDivergence()([1.0], [0.0]), 6)
    0.693147
    """

    name = "kl_divergence"
    link = LogitLink()
