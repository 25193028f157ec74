"""Links of the losses whose minimiser is not the plain logit or softmax of the probability.

Where the probabilities of the classes are ``eta`` the best raw prediction is where the mean
gradient, ``sum(eta_y * gradient(y, raw))``, is 0. That is linear in eta, so that each `inverse`
here is a closed form: of two classes ``eta = -g(0) / (g(1) - g(0))``, of more the null vector of
the matrix of gradients. `link` solves for the raw prediction by bisection.

Charoenphakdee, N., Vongkulbhisal, J., Chairatanakul, N. and Sugiyama, M. (2021). On focal loss for
class-posterior probability estimation: a theoretical perspective. CVPR, theorem 11 (focal loss).
"""

import math
from dataclasses import dataclass

import numpy as np

from sklearn_losses._array import array_namespace, on_its_device
from sklearn_losses._interval import UNIT, Interval
from sklearn_losses.links import LogitLink, SoftmaxLink

# No probability of a float64 differs from 0 or 1 beyond, whatever the weights of the classes.
FAR = 1e4
# Of links that multiply raw predictions, by 1 + gamma or a scale: where those are of common sizes
# the probability is 0 or 1 already, after rounding, and does not tell them any more.
ROUNDED = UNIT
# Raw predictions among which `link` looks.
RANGE = 1e3
BISECTIONS = 64
NEWTON_STEPS = 8


def _float_of(x):
    """The type of the results of an array: float32's own, for all else float64."""
    return x.dtype if x.dtype in (np.float32, np.float64) else np.float64


def _bisected(xp, below, low, high):
    """The last point at which ``below(x)``, which is true up to it, holds; by element."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        up = below(middle)
        low, high = xp.where(up, middle, low), xp.where(up, high, middle)
    return low


# ---------------------------------------------------------------------------------- of two classes


class _Sides:
    """Of raw predictions z: ``p = 1 / (1 + exp(-z))``, ``q = 1 - p`` and their logarithms, each
    with its own digits."""

    def __init__(self, xp, raw):
        raw = xp.clip(raw, -FAR, FAR)
        self.xp, self.positive, self.size = xp, raw > 0, xp.abs(raw)
        self.e = xp.exp(-self.size)
        self.tail = xp.log1p(self.e)
        large, small, nothing = 1 / (1 + self.e), self.e / (1 + self.e), 0 * self.e
        self.p = xp.where(self.positive, large, small)
        self.q = xp.where(self.positive, small, large)
        self.log_p = -self.tail - xp.where(self.positive, nothing, self.size)
        self.log_q = -self.tail - xp.where(self.positive, self.size, nothing)

    def log_pull(self, gamma, of_positive):
        """Logarithm of a focal side's slope: of ``q**gamma * (q - gamma * p * log(p))`` for the
        positive class, with p and q exchanged for the other."""
        xp, e, tail, size = self.xp, self.e, self.tail, self.size
        # log1p(e) / e where q is small, e * -log(p) where p is.
        one = xp.ones_like(e)
        ratio = xp.where(e > 0, tail / xp.where(e > 0, e, one), one)
        right = xp.log1p(gamma * ratio) - (gamma + 1) * (size + tail)
        wrong = xp.log1p(gamma * e * (size + tail)) - (gamma + 1) * tail
        if of_positive:
            return xp.where(self.positive, right, wrong)
        return xp.where(self.positive, wrong, right)


class _CorrectedLogit(LogitLink):
    """y_pred = 1 / (1 + exp(-t(raw_prediction))) with a function t that never falls."""

    def _logit(self, xp, raw_prediction):
        """t(raw_prediction)."""
        raise NotImplementedError

    @on_its_device
    def link(self, y_pred):
        xp = array_namespace(y_pred)
        y_pred = xp.asarray(y_pred)
        dtype = _float_of(xp.asarray(y_pred))
        # A probability that was rounded to 0 or 1 has a logit.
        limits = np.finfo(dtype)
        y = xp.asarray(y_pred, dtype=np.float64)
        y = xp.clip(y, float(limits.tiny), 1 - float(limits.epsneg))
        target, end = super().link(y), RANGE * xp.ones_like(y)
        raw = _bisected(xp, lambda raw: self._logit(xp, raw) <= target, -end, end)
        return xp.asarray(xp.where(y == y, raw, y), dtype=dtype)

    @on_its_device
    def inverse(self, raw_prediction):
        xp = array_namespace(raw_prediction)
        return super().inverse(self._logit(xp, xp.asarray(raw_prediction)))


@dataclass(frozen=True)
class FocalLink(_CorrectedLogit):
    """Of the focal loss: ``odds = alpha_neg / alpha_pos * pull(1 - p) / pull(p)``, where ``p = 1 /
    (1 + exp(-raw_prediction))`` and ``pull(p) = (1 - p)**gamma * (1 - p - gamma * p * log(p))``.

    Parameters
    ----------
    gamma : float
        In [0, inf).
    weight_positive, weight_negative : float
        In (0, inf).
    """

    gamma: float
    weight_positive: float = 1.0
    weight_negative: float = 1.0
    interval_y_pred = ROUNDED

    def _logit(self, xp, raw_prediction):
        shift = math.log(self.weight_negative) - math.log(self.weight_positive)
        sides = _Sides(xp, raw_prediction)
        return sides.log_pull(self.gamma, False) - sides.log_pull(self.gamma, True) + shift


@dataclass(frozen=True)
class AsymmetricLink(_CorrectedLogit):
    """Of the asymmetric loss. Where p is at most `margin` the probability is 0; where `gamma_pos`
    is 0 and `margin` is not, it never reaches 1.

    Parameters
    ----------
    gamma_pos, gamma_neg : float
        In [0, inf).
    margin : float
        In [0, 1).
    """

    gamma_pos: float
    gamma_neg: float
    margin: float
    interval_y_pred = ROUNDED

    def _logit(self, xp, raw_prediction):
        sides = _Sides(xp, raw_prediction)
        positive = sides.log_pull(self.gamma_pos, True)
        if self.margin == 0:
            return sides.log_pull(self.gamma_neg, False) - positive
        shifted, rest = sides.p - self.margin, sides.q + self.margin
        counts = shifted > 0
        shifted = xp.where(counts, shifted, xp.ones_like(shifted) / 2)
        log_rest = xp.where(shifted > 0.5, xp.log(rest), xp.log1p(-shifted))
        slope = 1 / rest - self.gamma_neg * log_rest / shifted
        negative = sides.log_p + sides.log_q + self.gamma_neg * xp.log(shifted) + xp.log(slope)
        # A product, so that NaN is left as it is.
        return xp.where(counts, negative - positive, 0 * sides.p - FAR)


@dataclass(frozen=True)
class PolyLink(_CorrectedLogit):
    """Of Poly-1: ``odds = p * (1 + epsilon * (1 - p)) / ((1 - p) * (1 + epsilon * p))``.

    Parameters
    ----------
    epsilon : float
        In [-1, inf).
    """

    epsilon: float

    def _logit(self, xp, raw_prediction):
        sides = _Sides(xp, raw_prediction)
        logit = xp.where(sides.positive, sides.size, -sides.size)
        if self.epsilon == -1:
            return 2 * logit
        if self.epsilon < 0:  # 1 + epsilon p as a sum of terms of one sign
            left = 1 + self.epsilon
            return (
                logit
                + xp.log(left - self.epsilon * sides.p)
                - xp.log(left - self.epsilon * sides.q)
            )
        return logit + xp.log1p(self.epsilon * sides.q) - xp.log1p(self.epsilon * sides.p)


# --------------------------------------------------------------------------------- of more classes


def _row(xp, values, like):
    """A constant or an array of shape (n_classes,), in the type of `like` and where it is."""
    return xp.asarray(values, dtype=like.dtype)


def _centred(xp, log_y):
    return log_y - xp.mean(log_y, axis=-1, keepdims=True)


class _Rows:
    """Of rows of raw predictions: the softmax p, its logarithm and 1 - p, each with its own
    digits."""

    def __init__(self, xp, raw, scale=1.0):
        limits = np.finfo(raw.dtype)
        d = raw - xp.max(raw, axis=-1, keepdims=True)
        # Finite, so that no product with 0 is NaN.
        d = xp.clip(d, -float(limits.max) / max(scale, 1.0) / 4, 0.0) * scale
        e = xp.exp(d)
        # Of the terms all but one of the largest, which are 1.
        top, one = e == 1, xp.ones_like(e)
        rest = xp.sum(xp.where(top, 0 * one, e), axis=-1, keepdims=True)
        rest = rest + (xp.sum(xp.where(top, one, 0 * one), axis=-1, keepdims=True) - 1)
        # As if another class had the least mass there is: log(1 - p) stays finite.
        rest = xp.clip(rest, float(limits.tiny), None)
        self.p = e / (1 + rest)
        self.q = ((1 - e) + rest) / (1 + rest)
        self.log_p = d - xp.log1p(rest)


class _CorrectedSoftmax(SoftmaxLink):
    def _logits(self, xp, raw_prediction):
        """Logarithms of the probabilities, but for a constant in each row."""
        raise NotImplementedError

    @on_its_device
    def inverse(self, raw_prediction):
        xp = array_namespace(raw_prediction)
        return super().inverse(self._logits(xp, xp.asarray(raw_prediction)))

    @on_its_device
    def link(self, y_pred):
        xp = array_namespace(y_pred)
        y_pred = xp.asarray(y_pred)
        # A probability that was rounded to 0 has a logarithm.
        y = xp.clip(xp.asarray(y_pred, dtype=np.float64), float(np.finfo(np.float64).tiny), None)
        y = y / xp.sum(y, axis=-1, keepdims=True)
        return xp.asarray(_centred(xp, self._raw(xp, y)), dtype=_float_of(y_pred))

    def _raw(self, xp, y):
        """Raw predictions of rows of probabilities."""
        raise NotImplementedError


@dataclass(frozen=True)
class ShiftedSoftmaxLink(_CorrectedSoftmax):
    """y_pred = softmax(raw_prediction + shift).

    Parameters
    ----------
    shift : tuple of n_classes floats
    """

    shift: tuple

    def _logits(self, xp, raw_prediction):
        return raw_prediction + _row(xp, self.shift, raw_prediction)

    def _raw(self, xp, y):
        return xp.log(y) - _row(xp, self.shift, y)


@dataclass(frozen=True)
class SmoothedSoftmaxLink(SoftmaxLink):
    """``softmax(raw_prediction) = (1 - label_smoothing) * y_pred + label_smoothing / n_classes``,
    solved for y_pred; where that is below 0 it is 0, and the rest of the row sums to 1.

    Parameters
    ----------
    label_smoothing : float
        In (0, 1).
    """

    label_smoothing: float
    interval_y_pred = Interval(0, 1, True, True)

    @on_its_device
    def inverse(self, raw_prediction):
        xp = array_namespace(raw_prediction)
        p = super().inverse(xp.asarray(raw_prediction))
        n_classes = xp.sum(xp.ones_like(p), axis=-1, keepdims=True)
        kept = xp.clip(p - self.label_smoothing / n_classes, 0.0, None)
        total = xp.sum(kept, axis=-1, keepdims=True)
        # All equal, and the smoothing all but 1: nothing is left after rounding.
        none = total == 0
        return xp.where(none, 1 / n_classes, kept / xp.where(none, xp.ones_like(total), total))

    @on_its_device
    def link(self, y_pred):
        xp = array_namespace(y_pred)
        y_pred = xp.asarray(y_pred)
        floor = self.label_smoothing / y_pred.shape[-1]
        return _centred(xp, xp.log((1 - self.label_smoothing) * y_pred + floor))


@dataclass(frozen=True)
class MulticlassFocalLink(_CorrectedSoftmax):
    """Of the focal loss of the softmax p: ``y_pred`` is proportional to ``p / (alpha * (1 -
    p)**(gamma - 1) * (1 - p - gamma * p * log(p)))``.

    Parameters
    ----------
    gamma : float
        In [0, inf).
    alpha : float or tuple of n_classes floats
        In (0, inf).
    """

    gamma: float
    alpha: float | tuple = 1.0
    interval_y_pred = ROUNDED

    def _logits(self, xp, raw_prediction):
        rows = _Rows(xp, raw_prediction)
        pull = (self.gamma - 1) * xp.log(rows.q) + xp.log(rows.q - self.gamma * rows.p * rows.log_p)
        return rows.log_p - pull - _row(xp, np.log(self.alpha), raw_prediction)

    def _raw(self, xp, y):
        # weight_k * h(p_k), where h falls, is the same for all, so that no p_k but that of the
        # largest weight is above 1/2. That p gives all others, and they have to sum to 1 - p.
        weight = y * _row(xp, self.alpha, y)
        first = xp.argmax(weight, axis=-1)[:, None]
        own = xp.arange(y.shape[-1])[None, :] == first
        ratio = xp.log(weight) - xp.log(xp.max(weight, axis=-1, keepdims=True))
        half = np.log(0.5) * xp.ones_like(y)

        def others(logit):
            sides = _Sides(xp, logit)
            target = sides.log_pull(self.gamma, True) - sides.log_p - sides.log_q - ratio
            log_p = xp.clip(-target, None, half)
            for _ in range(NEWTON_STEPS):
                p = xp.exp(log_p)
                value, fall = self._log_h(xp, p, log_p)
                log_p = xp.clip(log_p + (value - target) / fall, None, half)
            return log_p

        def below(logit):
            p = xp.exp(others(logit))
            return xp.sum(xp.where(own, 0 * p, p), axis=-1, keepdims=True) <= _Sides(xp, logit).q

        end = RANGE * xp.ones_like(y[:, :1])
        logit = _bisected(xp, below, -end, end)
        return xp.where(own, _Sides(xp, logit).log_p, others(logit))

    def _log_h(self, xp, p, log_p):
        """Logarithm of ``h = (1 - p)**gamma * (1 / p - gamma * log(p) / (1 - p))``, the slope of
        the loss, and how fast it falls with the logarithm of p; p is at most 1/2."""
        gamma, product = self.gamma, -p * log_p / (1 - p)
        slope = 1 + gamma * product
        bend = 1 + gamma * p * (2 + (gamma - 1) * product) / (1 - p)
        return gamma * xp.log1p(-p) + xp.log(slope) - log_p, bend / slope


@dataclass(frozen=True)
class LDAMLink(_CorrectedSoftmax):
    """Of the margin loss of ``p = softmax(scale * raw_prediction)``: ``y_pred`` is proportional to
    ``p * (1 - p + p * exp(-scale * margin))``.

    Parameters
    ----------
    scale : float
        In (0, inf).
    margin : float or tuple of n_classes floats
        In [0, inf).
    """

    scale: float
    margin: float | tuple
    interval_y_pred = ROUNDED

    def _logits(self, xp, raw_prediction):
        rows = _Rows(xp, raw_prediction, self.scale)
        kept = _row(xp, np.exp(-self.scale * np.asarray(self.margin)), raw_prediction)
        own = rows.q + rows.p * kept
        # Where all of it underflows, the class is as sure as can be told.
        tiny = float(np.finfo(raw_prediction.dtype).tiny)
        return rows.log_p + xp.log(xp.clip(own, tiny, None))

    def _raw(self, xp, y):
        # y_k = c * p_k * (1 - b_k * p_k). Only where b_k * y_k is largest can p_k be above 1 / (2
        # b_k): that p gives c, and the others are the lower roots of their equations.
        kept = xp.exp(_row(xp, -self.scale * np.asarray(self.margin), y)) * xp.ones_like(y)
        b = -xp.expm1(_row(xp, -self.scale * np.asarray(self.margin), y)) * xp.ones_like(y)
        first = xp.argmax(b * y, axis=-1)[:, None]
        own = xp.arange(y.shape[-1])[None, :] == first
        y_own, kept_own = (
            xp.sum(xp.where(own, a, 0 * a), axis=-1, keepdims=True) for a in (y, kept)
        )

        def others(logit):
            sides = _Sides(xp, logit)
            ratio = sides.p * (sides.q + sides.p * kept_own) * y / y_own
            return 2 * ratio / (1 + xp.sqrt(xp.clip(1 - 4 * b * ratio, 0.0, None)))

        def below(logit):
            p = others(logit)
            return xp.sum(xp.where(own, 0 * p, p), axis=-1, keepdims=True) <= _Sides(xp, logit).q

        end = RANGE * xp.ones_like(y_own)
        logit = _bisected(xp, below, -end, end)
        log_p = xp.where(own, _Sides(xp, logit).log_p, xp.log(others(logit)))
        return log_p / self.scale
