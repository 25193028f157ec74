"""Losses of all samples together as objectives and metrics of XGBoost and LightGBM."""

import numpy as np

from sklearn_losses._array import kernel_array
from sklearn_losses._boosting import LightGBMObjective, XGBoostObjective, _FromLoss
from sklearn_losses._interval import NON_NEGATIVE
from sklearn_losses._parameters import check_number

# What hessians are at least, beside a mean of 1 at equal raw predictions.
LEAST_HESSIAN = 1e-16


def _from_library(first, second, sample_weight, group):
    """Targets, raw predictions, weights, sizes of groups, and whether the library's own API is
    calling: that passes the predictions, then its data set."""
    native = hasattr(second, "get_label")
    if native:
        data, second = second, first
        first, sample_weight, group = data.get_label(), data.get_weight(), data.get_group()
    weight = None if np.size(sample_weight) == 0 else sample_weight
    group = None if np.size(group) == 0 else group
    if weight is not None and group is not None and len(weight) == len(group) != len(first):
        weight = np.repeat(weight, group)  # XGBoost's, one a query
    return first, np.asarray(second, dtype=np.float64), weight, group, native


def _same(given, kept):
    if given is None or kept is None:
        return given is kept
    given = np.asarray(given)
    return given.dtype == kept.dtype and np.array_equal(given, kept)


class _FromJointLoss(_FromLoss):
    """The targets are sorted once, and again where others come."""

    _last = None

    def _on(self, *given):
        """`Joint` of targets, weights and sizes of groups."""
        if self._last is None or not all(map(_same, given, self._last[0])):
            y_true, weight, group = given
            joint = self.loss.on(self.loss._grouped(y_true, group), weight)
            # The libraries' own threads wait in busy loops: see `_Objective._fill`.
            joint.n_threads = 1
            self._last = [None if x is None else np.array(x) for x in given], joint
        return self._last[1]

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_last"}


class JointObjective(_FromJointLoss):
    _maker = "as_objective"

    def __init__(self, loss, min_hessian="auto"):
        super().__init__(loss, min_hessian=min_hessian)
        loss._numbers()
        if isinstance(min_hessian, str):
            if min_hessian != "auto":
                raise ValueError(f"min_hessian must be 'auto' or a number; got {min_hessian!r}")
            self.min_hessian_ = LEAST_HESSIAN
        else:
            owner = type(self).__name__
            self.min_hessian_ = check_number(owner, "min_hessian", min_hessian, NON_NEGATIVE)

    def _factor(self, joint, weight):
        """What the derivatives are multiplied by, so that the libraries' limits of hessians and
        strengths of L2 mean what they mean for squared error."""
        if self._options["min_hessian"] != "auto":
            return 1.0
        mass = joint.n if weight is None else np.sum(weight, dtype=np.float64)
        return mass / joint.gradient_hessian(np.zeros(joint.n))[1].sum()

    def __call__(self, y_true, y_pred, sample_weight=None, group=None):
        y_true, raw, weight, group, _ = _from_library(y_true, y_pred, sample_weight, group)
        joint = self._on(y_true, weight, group)
        if not hasattr(joint, "factor_"):
            joint.factor_ = self._factor(joint, weight)
        gradient, hessian = (
            part * joint.factor_
            for part in joint.gradient_hessian(self.loss._checked_raw(raw, joint))
        )
        least = self.min_hessian_ * (1.0 if weight is None else kernel_array(weight, "weight"))
        hessian = np.maximum(hessian, least)
        return gradient.astype(np.float32), hessian.astype(np.float32)


class JointMetric(_FromJointLoss):
    _maker = "as_metric"

    def __init__(self, loss, raw=True):
        super().__init__(loss, raw=raw)
        if raw is not True:
            raise ValueError(f"raw must be True for {type(loss).__name__}; got {raw!r}")
        self.__name__ = loss.name or type(loss).__name__

    def __call__(self, y_true, y_pred, sample_weight=None, group=None):
        y_true, raw, weight, group, native = _from_library(y_true, y_pred, sample_weight, group)
        joint = self._on(y_true, weight, group)
        value = joint.value_gradient(self.loss._checked_raw(raw, joint))[0] / joint.mass
        return self._result(value, native)


class _WorstCaseObjective(_FromJointLoss):
    """Of a worst mean, the objective of the loss within, whose gradients are multiplied by how much
    more than its own share each sample has in the worst distribution: that is the derivative of the
    worst mean, as the worst distribution need not move for it (Danskin's theorem).

    Hessians are multiplied too where that makes them larger. Samples without a share keep theirs:
    a leaf that holds a few of the worst moves the others along, which are the worst if it goes far.
    """

    def __init__(self, loss, min_hessian="auto"):
        _FromLoss.__init__(self, loss, min_hessian=min_hessian)
        loss._numbers()
        self._plain = self._plain_objective(loss._within(), min_hessian)
        self.min_hessian_ = self._plain.min_hessian_

    def __call__(self, y_true, y_pred, sample_weight=None, group=None):
        y_true, raw, weight, group, _ = _from_library(y_true, y_pred, sample_weight, group)
        joint = self._on(y_true, weight, group)
        raw = self.loss._checked_raw(raw, joint)
        share = joint.shares(raw)
        gradient, hessian = (np.empty(joint.n, dtype=np.float32) for _ in range(2))
        self._plain._fill(joint.y, raw, weight, gradient, hessian)
        gradient *= share
        hessian *= np.maximum(share, 1.0)
        return gradient, hessian


class XGBoostWorstCaseObjective(_WorstCaseObjective, XGBoostObjective):
    _plain_objective = XGBoostObjective


class LightGBMWorstCaseObjective(_WorstCaseObjective, LightGBMObjective):
    _plain_objective = LightGBMObjective


class XGBoostJointObjective(JointObjective):
    library = "xgboost"


class LightGBMJointObjective(JointObjective):
    library = "lightgbm"


class XGBoostJointMetric(JointMetric):
    library = "xgboost"

    def _result(self, value, native):
        return (self.__name__, value) if native else value


class LightGBMJointMetric(JointMetric):
    library = "lightgbm"

    def _result(self, value, native):
        return self.__name__, value, False


JOINT_OBJECTIVES = {cls.library: cls for cls in (XGBoostJointObjective, LightGBMJointObjective)}
WORST_CASE_OBJECTIVES = {
    cls.library: cls for cls in (XGBoostWorstCaseObjective, LightGBMWorstCaseObjective)
}
JOINT_METRICS = {cls.library: cls for cls in (XGBoostJointMetric, LightGBMJointMetric)}
