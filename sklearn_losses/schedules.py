"""Schedules of learning rates, batch sizes and losses as objects. `SCHEDULES` maps every name of a
learning-rate schedule to its class; `get_schedule` makes one from a name.

Of rates and sizes a schedule is a pure function of the progress of a fit in epochs, so that a fit
that was stopped goes on as if it never had been.
"""

import numpy as np
from sklearn.base import clone

from sklearn_losses._array import kernel_array
from sklearn_losses._interval import POSITIVE, UNIT_LEFT_OPEN, Interval
from sklearn_losses._parameters import Parametric, check_integer, check_number, from_name
from sklearn_losses.losses import get_loss


def _cosine(start, end, share):
    """From `start` to `end` along half a period of the cosine, as `share` goes from 0 to 1."""
    # (1 + cos(x)) / 2 by half angles: exact at `start`, no cancellation near an `end` of 0.
    angle = 0.5 * np.pi * share
    return start * np.cos(angle) ** 2 + end * np.sin(angle) ** 2


class Schedule(Parametric):
    """Base class of all learning-rate schedules.

    The learning rate of a step is the estimator's `eta0` times the schedule's factor. Parameters
    are checked when the schedule is used, not when it is made, so that it can be cloned and
    searched over like any estimator (``learning_rate__decay``).

    A schedule of your own subclasses this and defines `factors`. It goes wherever a built-in one
    does, also behind a `LinearWarmup`.

    Attributes
    ----------
    name : str
        What `get_schedule` accepts for it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import Schedule, SGDRegressorX
    >>> class PowerDecay(Schedule):
    ...     def __init__(self, power=0.5):
    ...         self.power = power
    ...
    ...     def factors(self, epochs):
    ...         return 1 / (1 + np.asarray(epochs)) ** self.power
    >>> PowerDecay(power=1).factors([0, 1, 3])
    array([1.  , 0.5 , 0.25])
    >>> model = SGDRegressorX(optimizer="adam", learning_rate=PowerDecay(), max_iter=4, tol=None)
    >>> model = model.set_params(learning_rate__power=1).fit([[0.0], [1.0]], [1.0, 2.0])
    >>> model.learning_rate_curve_[-1] < model.learning_rate_curve_[0]
    True
    """

    name = None

    def factors(self, epochs):
        """The learning rates of steps, as multiples of `eta0`.

        Parameters
        ----------
        epochs : array-like of any shape
            The progress at each step, in epochs: how many steps came before it over the steps in an
            epoch. 0 at the first step; 2.5 halfway through the third epoch. In [0, inf).

        Returns
        -------
        factors : ndarray of the shape of epochs, float64
            Finite and not negative; below the smallest float64 they are 0.

        Raises
        ------
        TypeError
            Where `epochs` does not hold real numbers.
        ValueError
            Where a number of `epochs` is negative or not finite, or a parameter is out of range.
        """
        epochs = kernel_array(epochs, "epochs").astype(np.float64, copy=False)
        inside = np.isfinite(epochs) & (epochs >= 0)
        if not inside.all():
            raise ValueError(f"epochs must be in [0, inf); got {epochs[~inside][0]}")
        with np.errstate(over="ignore", under="ignore"):
            factors = self._factors(epochs.ravel(), *self._numbers())
        return factors.reshape(epochs.shape)

    def _factors(self, epochs, *parameters):
        """`factors` of a checked one-dimensional array, given what `_numbers` returns."""
        raise NotImplementedError(f"{type(self).__name__} {self._lacks()}")

    @classmethod
    def _lacks(cls):
        if cls.factors is not Schedule.factors or cls._factors is not Schedule._factors:
            return None
        return (
            "must define factors(self, epochs): the learning rates at these points of the fit, as "
            "multiples of eta0"
        )


class ExponentialDecay(Schedule):
    """The rate is multiplied by `decay` over each epoch, a little at every step.

    - Formula: ``decay**epochs``.

    Parameters
    ----------
    decay : float, default=0.95
        In (0, 1]; 1 is a constant rate.

    References
    ----------
    Li, X., Zhuang, Z. and Orabona, F. (2021). A second look at exponential and cosine step sizes:
    simplicity, adaptivity, and performance. ICML.

    Examples
    --------
    >>> from sklearn_losses import ExponentialDecay
    >>> ExponentialDecay(decay=0.25).factors([0, 0.5, 1, 2])
    array([1.    , 0.5   , 0.25  , 0.0625])
    """

    name = "exponential"
    _parameter_intervals = {"decay": UNIT_LEFT_OPEN}

    def __init__(self, decay=0.95):
        self.decay = decay

    def _factors(self, epochs, decay):
        return decay**epochs


class StepDecay(Schedule):
    """The rate is multiplied by `factor` once every so many epochs, and constant in between.

    - Formula: ``factor**floor(epochs / every)``.

    Parameters
    ----------
    factor : float, default=0.5
        In (0, 1]; 1 is a constant rate.
    every : float, default=10
        Epochs from one drop to the next; in (0, inf).

    References
    ----------
    Ge, R., Kakade, S. M., Kidambi, R. and Netrapalli, P. (2019). The step decay schedule: a near
    optimal, geometrically decaying learning rate procedure for least squares. NeurIPS.

    Examples
    --------
    >>> from sklearn_losses import StepDecay
    >>> StepDecay(factor=0.5, every=10).factors([0, 9.9, 10, 25])
    array([1.  , 1.  , 0.5 , 0.25])
    """

    name = "step"
    _parameter_intervals = {"factor": UNIT_LEFT_OPEN, "every": POSITIVE}

    def __init__(self, factor=0.5, every=10):
        self.factor = factor
        self.every = every

    def _factors(self, epochs, factor, every):
        return factor ** np.floor(epochs / every)


class CosineRestarts(Schedule):
    """The rate falls along a cosine, jumps back to `eta0`, and falls again (SGDR).

    - Formula: ``minimum + (1 - minimum) * (1 + cos(pi * t / T)) / 2``, where ``t`` is the number of
      epochs since the last restart, and ``T = period * growth**i`` the length of period i, which
      counts from 0.

    Parameters
    ----------
    period : float, default=10
        Epochs to the first restart, the paper's T_0; in (0, inf). With a `period` of the length of
        the fit there is no restart, only the cosine.
    growth : int, default=1
        How many times as long each period is as the one before, the paper's T_mult; at least 1.
    minimum : float, default=0.0
        Where a period ends, as a share of `eta0`; in [0, 1].

    References
    ----------
    Loshchilov, I. and Hutter, F. (2017). SGDR: stochastic gradient descent with warm restarts.
    ICLR, equation 5.

    Examples
    --------
    >>> from sklearn_losses import CosineRestarts
    >>> CosineRestarts(period=2, growth=2).factors([0, 1, 2, 4, 6]).round(3)
    array([1. , 0.5, 1. , 0.5, 1. ])
    """

    name = "cosine"
    _parameter_intervals = {"period": POSITIVE, "minimum": Interval(0, 1, True, True)}

    def __init__(self, period=10, growth=1, minimum=0.0):
        self.period = period
        self.growth = growth
        self.minimum = minimum

    def _factors(self, epochs, period, minimum):
        growth = check_integer(type(self).__name__, "growth", self.growth)
        if growth == 1:
            return _cosine(1.0, minimum, np.fmod(epochs, period) / period)
        # Added up rather than taken from a logarithm, which would miss restarts by rounding.
        starts, lengths = [0.0], [period]
        last = epochs.max(initial=0.0)
        while starts[-1] <= last:
            starts.append(starts[-1] + lengths[-1])
            lengths.append(lengths[-1] * growth)
        current = np.searchsorted(starts, epochs, side="right") - 1
        share = (epochs - np.take(starts, current)) / np.take(lengths, current)
        return _cosine(1.0, minimum, share)


class LinearWarmup(Schedule):
    """The rate grows linearly to `eta0`, and then follows another schedule.

    - Formula: ``start + (1 - start) * epochs / length`` up to the `length` of the warm-up, the
      parameter `epochs`; after it the factors of `then` at the epochs since. The first step has the
      factor `start`, so that none is lost on a rate of 0.

    Parameters
    ----------
    epochs : float, default=1
        How long the rate grows; in (0, inf).
    then : Schedule, str or None, default=None
        What follows: a schedule, a name of `SCHEDULES`, or None for a constant rate. It starts at
        its own epoch 0 when the warm-up ends. Parameters of a schedule are reached as
        ``then__decay``.
    start : float, default=0.01
        The factor of the first step; in (0, 1].

    References
    ----------
    Goyal, P., Dollar, P., Girshick, R., Noordhuis, P., Wesolowski, L., Kyrola, A., Tulloch, A.,
    Jia, Y. and He, K. (2017). Accurate, large minibatch SGD: training ImageNet in 1 hour.
    arXiv:1706.02677, section 2.2.

    Examples
    --------
    >>> from sklearn_losses import ExponentialDecay, LinearWarmup
    >>> warmup = LinearWarmup(epochs=2, then=ExponentialDecay(decay=0.5), start=0.2)
    >>> warmup.factors([0, 1, 2, 3])
    array([0.2, 0.6, 1. , 0.5])
    """

    name = "warmup"
    _parameter_intervals = {"epochs": POSITIVE, "start": UNIT_LEFT_OPEN}

    def __init__(self, epochs=1, then=None, start=0.01):
        self.epochs = epochs
        self.then = then
        self.start = start

    def _factors(self, epochs, length, start):
        share = np.minimum(epochs / length, 1.0)
        factors = start * (1.0 - share) + share
        if self.then is not None:
            owner = type(self).__name__
            then = from_name(f"{owner}: then, unless None,", self.then, Schedule, SCHEDULES, {})
            after = epochs >= length
            # Also where no step is that far, so that wrong parameters are named at the first one.
            factors[after] = then.factors(epochs[after] - length)
        return factors


class OneCycle(Schedule):
    """One rise to a large rate and one longer fall far below `eta0`, both along a cosine.

    - Formula: ``cosine(1, peak, epochs / turn)`` up to ``turn = warmup * length``, then
      ``cosine(peak, final, (epochs - turn) / (length - turn))`` up to the `length` of the cycle,
      the parameter `epochs`; after it `final`. Here
      ``cosine(a, b, x) = b + (a - b) * (1 + cos(pi * x)) / 2``.

    These are the two phases of PyTorch's OneCycleLR: `peak` is its div_factor, `final` one over its
    final_div_factor, and `eta0` its max_lr / div_factor. PyTorch is at the peak and at the end one
    step earlier, and changes the momentum too. The paper's phases are linear.

    Parameters
    ----------
    epochs : float, default=20
        Length of the cycle, best that of the whole fit (`max_iter`); in (0, inf).
    peak : float, default=10.0
        The largest rate as a multiple of `eta0`; in [1, inf).
    warmup : float, default=0.3
        The share of the cycle in which the rate rises; in (0, 1).
    final : float, default=1e-4
        Where the cycle ends, as a share of `eta0`; in (0, 1].

    References
    ----------
    Smith, L. N. and Topin, N. (2018). Super-convergence: very fast training of neural networks
    using large learning rates. arXiv:1708.07120.

    Examples
    --------
    >>> from sklearn_losses import OneCycle
    >>> OneCycle(epochs=10, peak=25, final=0.5).factors([0, 1.5, 3, 6.5, 10, 99])
    array([ 1.  , 13.  , 25.  , 12.75,  0.5 ,  0.5 ])
    """

    name = "one_cycle"
    _parameter_intervals = {
        "epochs": POSITIVE,
        "peak": Interval(1, np.inf, low_inclusive=True),
        "warmup": Interval(0, 1),
        "final": UNIT_LEFT_OPEN,
    }

    def __init__(self, epochs=20, peak=10.0, warmup=0.3, final=1e-4):
        self.epochs = epochs
        self.peak = peak
        self.warmup = warmup
        self.final = final

    def _factors(self, epochs, length, peak, warmup, final):
        phase = np.interp(epochs, [0.0, warmup * length, length], [0.0, 1.0, 2.0])
        return np.where(phase < 1, _cosine(1.0, peak, phase), _cosine(peak, final, phase - 1.0))


SCHEDULES = {
    cls.name: cls for cls in [ExponentialDecay, StepDecay, CosineRestarts, LinearWarmup, OneCycle]
}

__all__ = [
    "SCHEDULES",
    "BatchGrowth",
    "LossSchedule",
    "Schedule",
    "get_schedule",
    *(cls.__name__ for cls in SCHEDULES.values()),
]


def get_schedule(name_or_schedule, **params):
    """A learning-rate schedule from its name, or the schedule itself.

    Parameters
    ----------
    name_or_schedule : str or Schedule
        A name of `SCHEDULES`, or a schedule, which is returned as it is (a copy where there are
        `params`).
    **params
        Parameters of the schedule.

    Returns
    -------
    schedule : Schedule

    Raises
    ------
    ValueError
        Where the name or a parameter is unknown; the nearest names are given.

    Examples
    --------
    >>> from sklearn_losses import get_schedule
    >>> get_schedule("step", every=5)
    StepDecay(every=5)
    """
    return from_name("schedule", name_or_schedule, Schedule, SCHEDULES, params)


class BatchGrowth(Parametric):
    """Batches grow where a step schedule would lower the rate.

    - Formula: ``start * factor**floor(epoch / every)``, rounded to an integer, at most `maximum`.

    A batch `factor` times as large lowers the noise of a descent about as much as a rate `factor`
    times as small, and an epoch has fewer steps.

    Parameters
    ----------
    start : int, default=32
        Samples in a batch of the first epoch; at least 1.
    factor : float, default=2
        In [1, inf); 1 keeps the size.
    every : int, default=10
        Epochs from one growth to the next; at least 1.
    maximum : int or None, default=None
        The largest size; at least `start`. None: the largest that 64 bits hold; no batch has more
        samples than the data anyway.

    References
    ----------
    Smith, S. L., Kindermans, P.-J., Ying, C. and Le, Q. V. (2018). Don't decay the learning rate,
    increase the batch size. ICLR.

    Examples
    --------
    >>> from sklearn_losses import BatchGrowth
    >>> growth = BatchGrowth(start=32, factor=5, every=10, maximum=1000)
    >>> [growth.size(epoch) for epoch in (0, 9, 10, 20, 30)]
    [32, 32, 160, 800, 1000]
    """

    def __init__(self, start=32, factor=2, every=10, maximum=None):
        self.start = start
        self.factor = factor
        self.every = every
        self.maximum = maximum

    def size(self, epoch):
        """Samples in each batch of an epoch.

        Parameters
        ----------
        epoch : int
            Counted from 0.

        Returns
        -------
        size : int

        Raises
        ------
        ValueError
            Where `epoch` is no integer or negative, or a parameter is out of its range.
        """
        owner = type(self).__name__
        start = check_integer(owner, "start", self.start)
        factor = check_number(owner, "factor", self.factor, Interval(1, np.inf, low_inclusive=True))
        every = check_integer(owner, "every", self.every)
        largest = 2**63 - 1
        if self.maximum is not None:
            largest = check_integer(owner, "maximum", self.maximum, low=start)
        grown = check_integer(owner, "epoch", epoch, low=0) // every
        with np.errstate(over="ignore"):
            size = float(start * np.float64(factor) ** grown)
        return largest if size >= largest else round(size)


class LossSchedule(Parametric):
    """A loss whose parameter takes other values first: graduated non-convexity, annealing.

    `SGDRegressorX` and `SGDClassifierX` take it as their `loss`. They fit stage after stage: the
    loss with each of the values in their order, and last the loss itself, each from the weights
    where the one before ended. A loss that is convex or smooth at first leads the fit past local
    minima of the one at the end [1]_ [2]_; it comes with no guarantee. `loss_`, predictions and
    scores are of the loss itself.

    Parameters
    ----------
    loss : Loss or str
        What is minimised in the end: a loss, or a name in `LOSSES`.
    parameter : str
        The name of one of its parameters, "c" or "alpha".
    values : sequence
        What it is in the stages before the last, first things first. Without any, the fit is that
        of `loss`.
    relative : bool, default=False
        Whether the values are multiples of what the parameter is in `loss`, which may be "auto",
        instead of values.

    References
    ----------
    .. [1] Blake, A. and Zisserman, A. (1987). Visual reconstruction. MIT Press, chapter 7.
    .. [2] Yang, H., Antonante, P., Tzoumas, V. and Carlone, L. (2020). Graduated non-convexity for
       robust spatial perception: from non-minimal solvers to global outlier rejection. IEEE
       Robotics and Automation Letters 5, 1127-1134.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_losses import LossSchedule, SGDRegressorX, TukeyBiweight
    >>> loss = LossSchedule(TukeyBiweight("auto"), "c", [64, 16, 4], relative=True)
    >>> X = np.arange(10.0)[:, None]
    >>> y = np.where(X[:, 0] < 8, 2 * X[:, 0], -100)
    >>> model = SGDRegressorX(loss, optimizer="auto", alpha=0).fit(X, y)
    >>> model.coef_.round(3), model.loss_.name
    (array([2.]), 'tukey')
    """

    def __init__(self, loss, parameter, values, relative=False):
        self.loss = loss
        self.parameter = parameter
        self.values = values
        self.relative = relative

    def _last(self):
        """The loss itself."""
        return get_loss(self.loss)

    def _before(self, loss):
        """The losses of the stages before the last.

        Parameters
        ----------
        loss : Loss
            The loss itself, with numbers where it is "auto".

        Returns
        -------
        losses : list of Loss
        """
        name, values = self.parameter, self.values
        if not (isinstance(name, str) and name in loss.get_params()):
            raise ValueError(
                f"LossSchedule: parameter must be one of {type(loss).__name__}'s, "
                f"{sorted(loss.get_params())}; got {name!r}"
            )
        if isinstance(values, str) or np.ndim(values) == 0 or isinstance(values, dict):
            raise ValueError(f"LossSchedule: values must be a sequence; got {values!r}")
        if not isinstance(self.relative, bool | np.bool_):
            raise ValueError(f"LossSchedule: relative must be True or False; got {self.relative!r}")
        if self.relative:
            values = [self._times(factor, loss) for factor in values]
        # A number of NumPy's, as `numpy.geomspace` makes them, is one as any other.
        values = [each.item() if isinstance(each, np.generic) else each for each in values]
        return [clone(loss).set_params(**{name: each}) for each in values]

    def _times(self, factor, loss):
        """That multiple of what the parameter is in `loss`."""
        factor = check_number("LossSchedule", "a factor of values", factor, Interval())
        last = loss.get_params()[self.parameter]
        try:
            found = factor * np.asarray(last, dtype=np.float64)
        except (TypeError, ValueError):
            found = np.array(np.nan)
        if not np.isfinite(found).all():
            raise ValueError(
                f"LossSchedule: relative=True needs a parameter whose multiples are numbers; "
                f"{self.parameter} is {last!r}, and a factor {factor:g}"
            )
        return found.tolist()
