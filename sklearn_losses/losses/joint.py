"""What the joint losses share: losses of all samples together, which are no means over samples."""

import numpy as np
from scipy.optimize import brentq

from sklearn_losses._array import check_on_host, kernel_array
from sklearn_losses.losses._arrays import finite, shaped_weight
from sklearn_losses.losses.base import Loss
from sklearn_losses.losses.constants import checked_offset

# Best constants are looked for up to here.
FURTHEST = 2.0**60


class JointLoss(Loss):
    """Base class of the losses of all samples together.

    The total is a function of all raw predictions; derivatives are those of the total, as a sample
    has no loss of its own. What is called and minimised is the total over `Joint.mass`.

    Two methods make a joint loss: `read_target`, and `_joint`, which sorts and counts what does not
    depend on the raw predictions, once.
    """

    is_joint = reads_target = True
    takes_streams = False
    n_heads = 1
    _one_column = False

    def _unit_of(self, y, weight):
        return 1.0

    # Whether adding one number to all raw predictions changes nothing: then there is no intercept.
    shift_is_nothing = False
    # What a total is never below.
    floor = 0.0
    # Whether the gradient is that of the value, so that there is a minimum to fit to.
    has_minimum = True

    def read_target(self, y_true):
        """The targets as numbers, checked.

        Parameters
        ----------
        y_true : array-like
            As the class says.

        Returns
        -------
        target : ndarray of shape (n_samples, n_columns), float64
            Unchanged where it was read already.
        """
        raise NotImplementedError

    def _joint(self, target, weight):
        """`Joint` of checked targets and weights, (n_samples,) float64 or None."""
        raise NotImplementedError

    def _resolve(self):
        """Checks the parameters."""
        self._numbers()

    def _auto(self):
        return False

    def _with_scale(self, scale, n=None, d=None):
        return self

    def fit_intercept_only(self, y_true, sample_weight=None, offset=None):
        """The constant raw prediction with the least loss.

        Parameters
        ----------
        y_true : array-like
        sample_weight : array-like of shape (n_samples,) or None, default=None
        offset : array-like of shape (n_samples,) or None, default=None
            Added to the constant.

        Returns
        -------
        raw_prediction : float
            0 where the loss does not see it.
        """
        if self.shift_is_nothing:
            return 0.0
        joint = self.on(y_true, sample_weight)
        beside = np.zeros(joint.n)
        if offset is not None:
            shapes = [beside.shape, (joint.n, 1)]
            beside = checked_offset(offset, shapes, {}).reshape(joint.n)
        return root_of(lambda constant: float(joint.value_gradient(beside + constant)[1].sum()))

    def _start_constant(self, y_true, sample_weight=None, offset=None):
        return np.atleast_1d(self.fit_intercept_only(y_true, sample_weight, offset))

    def _score(self, y_true, raw_prediction, sample_weight=None):
        """What an estimator's `score` returns: the share of the loss of equal predictions that is
        saved."""
        joint = self.on(y_true, sample_weight)
        equal = np.full(joint.n, self.fit_intercept_only(y_true, sample_weight))
        before = joint.value_gradient(equal)[0]
        after = joint.value_gradient(self._checked_raw(raw_prediction, joint))[0]
        return 1.0 - (after - joint.floor) / (before - joint.floor) if before > joint.floor else 0.0

    def _encoded(self, y_true, encode):
        """Targets whose labels are encoded, by a function of them."""
        return encode(y_true)

    def on(self, y_true, sample_weight=None):
        """The loss of given targets as a function of raw predictions; for many calls.

        Parameters
        ----------
        y_true : array-like
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        joint : Joint
        """
        check_on_host(type(self).__name__, y_true=y_true, sample_weight=sample_weight)
        target = self.read_target(y_true)
        return self._joint(target, _checked_weight(sample_weight, len(target)))

    def __call__(self, y_true, raw_prediction, sample_weight=None, n_threads=None):
        """The total over the mass, with every input checked.

        Parameters
        ----------
        y_true : array-like
        raw_prediction : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None
        n_threads : int or None, default=None

        Returns
        -------
        loss : float
        """
        joint = self.on(y_true, sample_weight)
        joint.n_threads = n_threads
        return joint.value_gradient(self._checked_raw(raw_prediction, joint))[0] / joint.mass

    def loss_gradient(self, y_true, raw_prediction, sample_weight=None):
        """Total, and its first derivative.

        Parameters
        ----------
        y_true : array-like
        raw_prediction : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,) or None, default=None

        Returns
        -------
        loss : float
        gradient : ndarray of shape (n_samples,)
        """
        joint = self.on(y_true, sample_weight)
        return joint.value_gradient(self._checked_raw(raw_prediction, joint))

    def gradient(self, y_true, raw_prediction, sample_weight=None):
        """First derivative of the total.

        Parameters
        ----------
        y_true, raw_prediction, sample_weight
            As in `loss_gradient`.

        Returns
        -------
        gradient : ndarray of shape (n_samples,)
        """
        return self.loss_gradient(y_true, raw_prediction, sample_weight)[1]

    def gradient_hessian(self, y_true, raw_prediction, sample_weight=None):
        """First derivative of the total, and the diagonal of the second.

        Parameters
        ----------
        y_true, raw_prediction, sample_weight
            As in `loss_gradient`.

        Returns
        -------
        gradient : ndarray of shape (n_samples,)
        hessian : ndarray of shape (n_samples,)
        """
        joint = self.on(y_true, sample_weight)
        return joint.gradient_hessian(self._checked_raw(raw_prediction, joint))

    @classmethod
    def _checked_raw(cls, raw_prediction, joint):
        check_on_host(cls.__name__, raw_prediction=raw_prediction)
        raw = finite(kernel_array(raw_prediction, "raw_prediction"), "raw_prediction")
        if raw.ndim == 2 and raw.shape[1] == 1:
            raw = raw[:, 0]
        if raw.shape != (joint.n,):
            raise ValueError(f"raw_prediction must have shape ({joint.n},); got {raw.shape}")
        return raw.astype(np.float64, copy=False)


class Joint:
    """A joint loss of given targets: what `JointLoss._joint` returns.

    Attributes
    ----------
    n : int
        Of samples.
    mass : float
        What the total is divided by.
    floor : float
        What the total is never below.
    n_threads : int or None
        Of the kernels, where it has any.
    """

    n = 0
    mass = 1.0
    floor = 0.0
    n_threads = None

    def value_gradient(self, raw):
        """Total and first derivative: float and ndarray of shape (n,).

        Parameters
        ----------
        raw : ndarray of shape (n,), float64
        """
        raise NotImplementedError

    def gradient_hessian(self, raw):
        """First derivative and the diagonal of the second: ndarrays of shape (n,)."""
        raise NotImplementedError

    def hessian_product(self, raw, vector):
        """The matrix of second derivatives times a vector, of a loss that has one: ndarray of shape
        (n,).

        Parameters
        ----------
        raw, vector : ndarray of shape (n,), float64
        """
        raise NotImplementedError(f"{type(self).__name__} has no product with second derivatives")


def root_of(slope, furthest=FURTHEST):
    """Where a function that does not fall is 0.

    Parameters
    ----------
    slope : callable
        Of a float.
    furthest : float
        It is looked for up to here.

    Returns
    -------
    root : float
    """
    low, high = -1.0, 1.0
    while slope(low) > 0 and low > -furthest:
        low *= 2.0
    while slope(high) < 0 and high < furthest:
        high *= 2.0
    if slope(low) > 0 or slope(high) < 0:
        return low if slope(low) > 0 else high
    return float(brentq(slope, low, high, xtol=1e-12, rtol=1e-14)) if low < high else low


def _checked_weight(sample_weight, n_samples):
    if sample_weight is None:
        return None
    weight = finite(kernel_array(sample_weight, "sample_weight"), "sample_weight")
    weight = shaped_weight(weight, n_samples).astype(np.float64, copy=False)
    if (weight < 0).any():
        first = int((weight < 0).argmax())
        raise ValueError(
            f"sample_weight must not be negative; got {weight[first]} at index {first}"
        )
    if not weight.any():
        raise ValueError("sample_weight must not be all zero")
    return weight
