"""What a fit is measured by: the best constant prediction, and the least that the loss can be."""

import math
from dataclasses import dataclass

import numpy as np

from sklearn_losses._array import array_namespace, in_namespace, to_host
from sklearn_losses._solvers.coordinates import sampled
from sklearn_losses._solvers.engines import make_problem
from sklearn_losses.links import IdentityLink

# The largest weight of a fit is between these: a sum of them is a number, and so is one over it.
LEAST_WEIGHT, MOST_WEIGHT = 2.0**-500, 2.0**500
# Roundings of its type that a raw prediction may be off by.
ROUNDINGS = 4.0


@dataclass(frozen=True)
class Reference:
    """Of the training rows of a fit.

    Attributes
    ----------
    constants : ndarray of shape (n_outputs,)
        Raw predictions where a fit starts: the best constants, where the loss is convex.
    objective : float
        The mean loss of the best constants.
    floor : float
        What the mean loss cannot be less than.
    n : int
        Training rows.
    natural : bool
        Whether a loss of 1 is what chance makes of one sample: the likelihoods of a link other than
        the identity.
    rounding : float
        What rounding of raw predictions as large as the constants may change the objective by.
    """

    constants: np.ndarray
    objective: float
    floor: float
    n: int
    natural: bool
    rounding: float = 0.0

    def size_of(self, objective):
        """What differences of the objective are small or large against: of what is left of it, or
        of what has been gained; at least a thousandth of the loss of the best constant."""
        left, gained = objective - self.floor, self.objective - objective
        all_of_it = self.objective - self.floor
        return max(min(left, gained), 1e-3 * all_of_it, 1e3 * self.rounding)


def in_range(weight):
    """Weights of a fit, which count by how they compare, where their sums and reciprocals are
    numbers: as they are, or times a power of two.

    Parameters
    ----------
    weight : array of shape (n_samples,) or None

    Returns
    -------
    weight : array of shape (n_samples,) or None
    """
    largest = 1.0 if weight is None or not len(weight) else float(weight.max())
    if LEAST_WEIGHT <= largest <= MOST_WEIGHT or not 0.0 < largest < math.inf:
        return weight
    exponent = -math.frexp(largest)[1]
    half = exponent // 2  # 2.0**1074 is not a number
    return weight * 2.0**half * 2.0 ** (exponent - half)


def constants_of(data, method="_start_constant"):
    """Raw predictions that a fit starts from: ndarray of shape (n_outputs,).

    With ``method="fit_intercept_only"`` the best, which are others where a loss is not convex.
    """
    data = data.without_columns().training()
    first = data.losses[0]
    if first.is_multiclass or first.is_joint:
        found = getattr(first, method)(data.y, data.weights(0), data.offset)
        return np.asarray(to_host(found), dtype=np.float64)
    found = np.empty(data.n_outputs)
    for k in range(data.n_outputs):
        found[k] = float(getattr(data.loss(k), method)(*data.output(k)))
    return found


def with_unseen(data):
    """The first part of a stream, and a few samples of each class where it lacks one, or half an
    event where there was none: what a part lacks may come, and is not to start infinitely far away.

    Of classes they are half of the root of the part's samples: the minimax estimate of a proportion
    (Lehmann and Casella, Theory of Point Estimation, 1998, example 5.1.7).
    """
    loss, xp = data.losses[0], array_namespace(data.y)
    y, weight, offset = data.y, data.sample_weight, data.offset
    if loss.is_multiclass:
        more = np.eye(data.n_outputs) if y.ndim == 2 else np.arange(float(data.n_outputs))
    elif loss.task == "binary":
        several = data.n_outputs if data.target == "codes" else 2
        more = np.arange(float(several))
        if y.ndim == 2:
            more = np.array([[0.0], [1.0]]) * np.ones(y.shape[1])
    elif loss.link != IdentityLink() and y.ndim == 1 and not bool(y.any()):
        more = np.ones(1)
    else:
        return data
    if y.ndim == 1 and len(xp.unique(y)) >= len(more) and len(more) > 1:
        return data
    weight = xp.ones(len(y)) if weight is None else weight
    count = math.sqrt(len(y)) if len(more) > 1 else 1.0
    half = np.full(len(more), 0.5 * count * float(weight.mean()))
    if offset is not None:
        mean = xp.broadcast_to(offset.mean(axis=0), (len(more), *offset.shape[1:]))
        offset = xp.concatenate([offset, mean])
    return data.with_samples(
        y=xp.concatenate([y, in_namespace(more, xp)]),
        sample_weight=xp.concatenate([weight, in_namespace(half, xp)]),
        offset=offset,
    ).without_columns()


def floor_of(data):
    """The least that the mean loss can be; of classes by some of the training rows, as none is far
    from the others."""
    data, first = data.without_columns(), data.losses[0]
    if first.is_joint:
        training = data.training()
        joint = first.on(training.y, training.weights(0))
        return joint.floor / joint.mass
    data = (data if first.task == "regression" else sampled(data)).training()
    if first.is_multiclass:
        zero = first.constant_to_optimal_zero(data.y)
        if not bool(array_namespace(zero).isfinite(zero).all()):  # densities have no least loss
            return -math.inf
        return -mean_of(zero, data.sample_weight)
    total = 0.0
    for k in range(data.n_outputs):
        zero, weight = data.loss(k).constant_to_optimal_zero(data.targets(k)), data.weights(k)
        if weight is not None:
            zero = zero * weight
        total -= mean_of(zero, data.sample_weight, True)
    return total


def mean_of(values, weight, weighted=False):
    """The weighted mean; `weighted`: the values are multiplied by their weights already."""
    if weight is None:
        return float(values.mean())
    largest = float(weight.max()) or 1.0
    values = values / largest if weighted else values * (weight / largest)
    return float(values.sum()) / float((weight / largest).sum())


def reference_of(data, settings, constants=None):
    """`Reference` of a fit.

    Parameters
    ----------
    data : Data
    settings : Settings
    constants : ndarray of shape (n_outputs,) or None
        None: what `constants_of` finds, or 0 without an intercept.
    """
    if constants is None:
        constants = constants_of(data) if settings.fit_intercept else np.zeros(data.n_outputs)
    problem = make_problem(data.without_columns(), settings)
    zeros = np.zeros((data.n_outputs, 0))
    value = at_start = problem.value_gradient(zeros, constants)[0]
    if settings.fit_intercept and data.losses[0].task == "regression" and not data.losses[0].convex:
        best = constants_of(data, "fit_intercept_only")
        value = min(value, problem.value_gradient(zeros, best)[0])
    floor = floor_of(data)
    natural = data.losses[0]._natural
    if floor == -math.inf:  # of densities: chance makes a loss of 1
        floor = value - 1.0
    elif not math.isfinite(floor) or not floor <= value:
        floor = min(0.0, value)
    step = ROUNDINGS * float(np.finfo(data.X.dtype).eps) * np.abs(constants)
    rounding = abs(problem.value_gradient(zeros, constants + step)[0] - at_start)
    rounding = rounding if math.isfinite(rounding) else 0.0
    return Reference(constants, value, floor, data.n_training(), natural, float(rounding))
