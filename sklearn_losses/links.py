"""Link functions: between a raw prediction and the quantity that a loss's target is on the scale
of.

Each is written once over the array namespace, so that it works on any array that brings one: those
of CuPy, on their own device, among them.
"""

import numpy as np

from sklearn_losses._array import array_namespace, on_its_device
from sklearn_losses._interval import Interval

__all__ = [
    "ClippedLinearLink",
    "HalfLogitLink",
    "IdentityLink",
    "Interval",
    "Log1pLink",
    "LogLink",
    "LogitLink",
    "SoftmaxLink",
]


class Link:
    """A link function and its inverse.

    Attributes
    ----------
    interval_y_pred : Interval
        Where `inverse` takes its values.
    gives_probability : bool
        Whether `inverse` is the probability of a class.
    """

    interval_y_pred = Interval()
    gives_probability = False
    is_multiclass = False

    def link(self, y_pred):
        """Raw prediction of a prediction.

        Parameters
        ----------
        y_pred : array-like

        Returns
        -------
        raw_prediction : array of the same shape
        """
        raise NotImplementedError

    def inverse(self, raw_prediction):
        """Prediction of a raw prediction.

        Parameters
        ----------
        raw_prediction : array-like

        Returns
        -------
        y_pred : array of the same shape
        """
        raise NotImplementedError

    def __eq__(self, other):
        return type(self) is type(other)

    def __hash__(self):
        return hash(type(self))

    def __repr__(self):
        return f"{type(self).__name__}()"


class IdentityLink(Link):
    """y_pred = raw_prediction."""

    @on_its_device
    def link(self, y_pred):
        return array_namespace(y_pred).asarray(y_pred)

    inverse = link


class LogLink(Link):
    """y_pred = exp(raw_prediction)."""

    interval_y_pred = Interval(0, np.inf)

    @on_its_device
    def link(self, y_pred):
        return array_namespace(y_pred).log(y_pred)

    @on_its_device
    def inverse(self, raw_prediction):
        return array_namespace(raw_prediction).exp(raw_prediction)


class Log1pLink(Link):
    """y_pred = exp(raw_prediction) - 1."""

    interval_y_pred = Interval(-1, np.inf)

    @on_its_device
    def link(self, y_pred):
        return array_namespace(y_pred).log1p(y_pred)

    @on_its_device
    def inverse(self, raw_prediction):
        return array_namespace(raw_prediction).expm1(raw_prediction)


class LogitLink(Link):
    """y_pred = 1 / (1 + exp(-raw_prediction))."""

    interval_y_pred = Interval(0, 1)
    gives_probability = True

    @on_its_device
    def link(self, y_pred):
        xp = array_namespace(y_pred)
        y_pred = xp.asarray(y_pred)
        return xp.log(y_pred) - xp.log1p(-y_pred)

    @on_its_device
    def inverse(self, raw_prediction):
        xp = array_namespace(raw_prediction)
        raw_prediction = xp.asarray(raw_prediction)
        e = xp.exp(-xp.abs(raw_prediction))
        return xp.where(raw_prediction < 0, e, xp.ones_like(e)) / (1 + e)


class HalfLogitLink(LogitLink):
    """y_pred = 1 / (1 + exp(-2 raw_prediction)): the exponential loss's."""

    @on_its_device
    def link(self, y_pred):
        return super().link(y_pred) / 2

    @on_its_device
    def inverse(self, raw_prediction):
        xp = array_namespace(raw_prediction)
        return super().inverse(2 * xp.asarray(raw_prediction))


class ClippedLinearLink(Link):
    """y_pred = (clip(raw_prediction, -1, 1) + 1) / 2: the probability that the modified Huber loss
    estimates."""

    interval_y_pred = Interval(0, 1, True, True)
    gives_probability = True

    @on_its_device
    def link(self, y_pred):
        return 2 * array_namespace(y_pred).asarray(y_pred) - 1

    @on_its_device
    def inverse(self, raw_prediction):
        xp = array_namespace(raw_prediction)
        return (xp.clip(xp.asarray(raw_prediction), -1, 1) + 1) / 2


class SoftmaxLink(Link):
    """Rows of probabilities, exp(raw_prediction) normalised over the last axis.

    The link itself returns the raw predictions whose mean over the classes is 0.
    """

    interval_y_pred = Interval(0, 1)
    gives_probability = True
    is_multiclass = True

    @on_its_device
    def link(self, y_pred):
        xp = array_namespace(y_pred)
        log_y = xp.log(y_pred)
        return log_y - xp.mean(log_y, axis=-1, keepdims=True)

    @on_its_device
    def inverse(self, raw_prediction):
        xp = array_namespace(raw_prediction)
        raw_prediction = xp.asarray(raw_prediction)
        e = xp.exp(raw_prediction - xp.max(raw_prediction, axis=-1, keepdims=True))
        return e / xp.sum(e, axis=-1, keepdims=True)
