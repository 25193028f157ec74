"""Which learning rate each step has, and which size each batch."""

import math

import numpy as np

from sklearn_losses._kernels.fit.one_sample import learning_rates
from sklearn_losses._solvers.coordinates import largest_eigenvalue, largest_norm
from sklearn_losses.schedules import BatchGrowth, get_schedule

# scikit-learn's names; "pa1" and "pa2" are its algorithm's own.
SKLEARN_SCHEDULES = ("constant", "optimal", "invscaling", "adaptive")

# Steps after which a recommended rate that decays begins to: it falls as (1 + t / DECAY)**-power.
# Rates that the smoothness bounds are short already; those of normalised steps are not, and leave
# as much noise.
DECAY = 1000.0
SMOOTH_POWER, NORMALISED_POWER = 0.5, 0.75
# Raw predictions, from the start in spreads, at which the curvature of the losses is looked at.
AROUND = (-1.0, 0.0, 1.0)


def optimal_offset(loss, alpha):
    """The offset of t in ``eta = 1 / (alpha * (offset + t - 1))``.

    Bottou's heuristic as in scikit-learn: the first step has about the size of a typical weight.
    """
    typical = math.sqrt(1.0 / math.sqrt(alpha))
    slope = 1.0
    if not loss.is_multiclass:
        slope = float(loss.gradient(np.array([1.0]), np.array([-typical]))[0])
    return max(1.0, slope) / (typical * alpha)


def size_of_batches(batch_size, epoch, n_rows):
    """Samples a step in the epoch of that number, from 0."""
    if isinstance(batch_size, BatchGrowth):
        batch_size = batch_size.size(epoch)
    return n_rows if batch_size == "full" else max(1, min(batch_size, n_rows))


class Smoothness:
    """How fast gradients of batches change: their expected smoothness, in a fit's coordinates.

    Between the largest curvature that a sample has, for batches of one, and that of the mean over
    all samples (Gower, Loizou, Qian, Sailanbayev, Shulgin and Richtarik, 2019, proposition 3.8).

    Parameters
    ----------
    data : Data
    sample : Sample
    center : ndarray of shape (n_features,)
    scale : ndarray of shape (n_features,)
        Of the columns; their units are lengths' roots over these.
    length : ndarray of shape (n_outputs,)
        As in `LossUnits`.
    constants : ndarray of shape (n_outputs,)
        Intercepts at the start.
    """

    def __init__(self, data, sample, center, scale, length, constants):
        inverse = np.where(scale > 0, 1.0 / np.where(scale > 0, scale, 1.0), 0.0)
        self.largest = largest_norm(data, center, inverse) + 1.0
        seen = np.zeros(len(center)) if hasattr(sample.X, "indptr") else center
        self.mean = largest_eigenvalue(sample, seen, scale)
        self.n = data.n_training()
        self.sample = sample
        self.length = length
        self.curvature = 0.0
        spread = sample.spreads()
        zeros = np.zeros((sample.n_outputs, sample.X.shape[1]))
        for distance in AROUND:
            self.see(zeros, constants + distance * spread)
        if self.curvature == 0.0:
            self.curvature = 1.0

    def see(self, coef, intercept):
        """Take note of the curvatures at a model."""
        _, hessian, weight = self.sample.derivatives(self.sample.raw(coef, intercept))
        found = hessian * weight * self.length
        if np.isfinite(found).any():
            self.curvature = max(self.curvature, float(np.nanmax(found)))

    def of_batches(self, size):
        """That of batches of so many samples; 1 for the penalty, whose units leave it no more."""
        n = max(self.n, 2)
        one = (n - size) / (size * (n - 1)) * self.largest
        all_of_them = n * (size - 1) / (size * (n - 1)) * self.mean
        return self.curvature * (max(one, 0.0) + all_of_them) + 1.0


class Rates:
    """The learning rates of the steps of an epoch, in a fit's coordinates.

    Parameters
    ----------
    settings : Settings
    smoothness : Smoothness or None
        None where no rate follows from it.
    """

    def __init__(self, settings, smoothness):
        self.settings = settings
        self.smoothness = smoothness
        self.eta = settings.eta0  # of "adaptive"
        self.shrunk = 1.0  # what recommended rates are multiplied by since a fit blew up

    def of_epoch(self, epoch, t, n_steps, size):
        """The rates of `n_steps` steps.

        Parameters
        ----------
        epoch : int
            From 0.
        t : float
            The number of the first step, from 1.
        n_steps : int
        size : int
            Samples a step.

        Returns
        -------
        rates : ndarray of shape (n_steps,)
        """
        settings = self.settings
        if settings.recommended:
            return self.shrunk * self._recommended(t, n_steps, size)
        name = settings.learning_rate
        if name in SKLEARN_SCHEDULES:
            return learning_rates(
                name,
                n_steps,
                t=t,
                alpha=settings.alpha,
                eta0=self.eta,
                power_t=settings.power_t,
                optimal_init=1.0,
            )
        schedule = get_schedule(name)
        factors = np.asarray(schedule.factors(epoch + np.arange(n_steps) / n_steps))
        if factors.shape != (n_steps,) or not (np.isfinite(factors) & (factors >= 0)).all():
            raise ValueError(
                f"learning_rate={schedule!r} must give a finite factor of at least 0 for each "
                f"step; got {factors!r}"
            )
        return settings.eta0 * factors

    def _recommended(self, t, n_steps, size):
        optimizer = self.settings.optimizer
        rate = optimizer.recommended_rate
        power = NORMALISED_POWER
        if rate is None:
            power = SMOOTH_POWER
            share = optimizer._share_of_sgds_rate()
            rate = share * optimizer.smooth_share / self.smoothness.of_batches(size)
        if not optimizer._rate_decays(self.settings.smooth):
            return np.full(n_steps, rate)
        return rate * (1.0 + (t - 1.0 + np.arange(n_steps)) / DECAY) ** -power
