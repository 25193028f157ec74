"""What is said of a fit that is not to be trusted: the cause that can be seen, and the remedy."""

import math
import warnings
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_losses._array import on_device, to_host
from sklearn_losses._solvers import BATCHES, ONE_SAMPLE
from sklearn_losses._solvers.coordinates import Sample, loss_units, sampled
from sklearn_losses._solvers.engines import make_problem
from sklearn_losses._solvers.fit import NOISE, Fit
from sklearn_losses._solvers.full_batch import GradientDescent, LimitedMemoryBFGS
from sklearn_losses._solvers.reference import reference_of
from sklearn_losses.optimizers import get_optimizer

# What `NOISE` is of steps, of a fit that makes none.
EXACT = 1e-6
# Root mean squares of columns, and spreads of y, that scikit-learn's steps are made for.
LEAST, MOST = 0.1, 10.0
# The penalty holds weights at 0 where its slope at a useful weight is above the loss's; of a
# squared loss the ratio has no unit, and above this the user asks for much shrinkage.
ASKED_FOR = 0.1
# It leaves a loss with slopes of one size at most half of what there is to gain: a fit that has
# gained this share is not held.
FREE = 0.6
# Two classes are separated where this share of the loss is left, with weights beyond this.
SEPARATED, BEYOND = 1e-4, 10.0
# Steps have ended short where so many iterations of L-BFGS gain this share of what the constant is
# above the floor.
FEW_ITERATIONS, SHORT = 30, 0.05


@dataclass
class Diagnosis:
    """Facts of a fit, and the sentences that follow from them."""

    sentences: list = field(default_factory=list)

    def warn(self, stacklevel):
        if self.sentences:
            warnings.warn(" ".join(self.sentences), ConvergenceWarning, stacklevel=stacklevel + 1)


def diagnosis_of(estimator, request, fits):
    """`Diagnosis` of fits that have ended.

    Parameters
    ----------
    estimator : estimator
        For names and parameters in messages.
    request : Request
    fits : list of Fit
    """
    settings, kind = request.settings, request.kind
    made = Diagnosis()
    reasons = {fit.stop_reason for fit in fits}
    if "interrupted" in reasons:
        return made
    facts, objective, constant, floor = compared(request, fits)
    if any(some.sampled for some in facts) and objective > constant:
        facts, objective, constant, floor = compared(request, fits, on_all=True)
    worst = max(facts, key=lambda some: some.excess)
    say = made.sentences
    if settings.tol is not None and "max_iter" in reasons:
        say.append(
            "Maximum number of iteration reached before convergence. Consider increasing max_iter "
            f"to improve the fit: max_iter={10 * estimator.max_iter}."
        )
    if settings.tol is not None and "line_search" in reasons:
        say.append(
            "The line search found no lower objective before `tol` was reached: the fit stopped "
            "short of it. A larger tol, alpha > 0 or float64 data may help."
        )
    say += (hidden := worst.hidden())
    if hidden or constant - floor <= 1e3 * sum(f.reference.rounding for f in facts):
        return made  # a constant meets the targets: there is nothing to fit
    excess = excess_of(objective, constant, floor)
    worse = excess > (NOISE if kind.noisy else EXACT)
    if worse or (len(fits) == 1 and "no_progress" in reasons):
        say.append(
            f"The fit is worse than the best constant prediction: its objective is "
            f"{objective:.6g}, that of the constant {constant:.6g}."
        )
        say += worst.causes(estimator)
    elif worst.held_by_penalty():
        say += [worst.about_penalty()]
    elif kind is BATCHES and reasons == {"converged"}:
        say += worst.short_of_minimum()
    elif worst.separated():
        say.append(
            "The classes are separated: the loss has no minimum and the weights grow without "
            "bound. Use a penalty, such as alpha=1e-4."
        )
    return made


def compared(request, fits, on_all=False):
    """`Facts` of each fit, and the sums of their objectives, of the best constants' and of the
    floors: of all classes together, as one that is next to nothing is hard to beat."""
    pairs = zip(request.datas, fits, strict=True)
    facts = [Facts(data, fit, request.settings, request.kind, on_all) for data, fit in pairs]
    told = [(f.objective, f.constant, f.reference.floor) for f in facts]
    return facts, *map(sum, zip(*told, strict=True))


def excess_of(objective, constant, floor):
    """By how much an objective exceeds that of the best constant, relative to what that is above
    the floor; 0 where that is nothing."""
    if not math.isfinite(objective):
        return math.inf
    size = constant - floor
    return (objective - constant) / size if size > 0 else 0.0


class Facts:
    """Of one fit.

    Parameters
    ----------
    data : Data
    fit : Fit
    settings : Settings
    kind : type
    on_all : bool
        Whether a few rows will not do, as where large targets make all the difference.
    """

    def __init__(self, data, fit, settings, kind, on_all):
        rows, self.y = data.n_training(), data.y
        if kind.noisy and not on_all:  # some rows tell what is worth saying
            data = sampled(data)
        self.sampled = data.n_training() < rows
        self.data, self.settings, self.kind = data, settings, kind
        self.reference = reference_of(data, settings) if kind.noisy else fit.reference
        self.model = fit.public_model()
        self.coef = to_host(self.model.coef).astype(np.float64)
        self.objective, reference = fit.objective(), self.reference
        if self.objective is None:
            problem = make_problem(data, settings)
            loss = problem.value_gradient(self.model.coef, self.model.intercept)[0]
            self.objective = loss + sum(settings.penalties_at(self.coef))
        self.constant = reference.objective + settings.price_of_0(self.coef.shape)
        self.excess = excess_of(self.objective, self.constant, reference.floor)

    def hidden(self):
        """Why a constant seems to meet targets that it does not, or that none can."""
        y, loss = self.y, self.data.losses[0]
        if loss.task != "regression" or loss.is_joint or on_device(y):
            return []
        low, high, interval = float(y.min()), float(y.max()), loss.interval_y_pred
        if low == high == interval.low == 0 and not interval.low_inclusive:
            return [
                "All targets are 0: the loss has no minimum, as the best raw prediction is "
                "infinitely far away; the fit ends where it is 0 but for rounding."
            ]
        size = self.reference.objective - self.reference.floor
        if low < high and size < np.finfo(np.float64).tiny and not self.sampled:
            return [
                f"y is at most {max(abs(low), abs(high)):.3g}, and losses are too small to be "
                "numbers. Scale y, for example y / np.abs(y).max()."
            ]
        return []

    def columns(self):
        """Root mean squares of the columns that are not 0."""
        scales = self.data.columns.scales(0.0, per_entry=True)
        return scales[scales > 0]

    def units(self):
        return loss_units(Sample(self.data), self.reference.constants)

    def causes(self, estimator):
        """Sentences, the likeliest cause first."""
        settings, name = self.settings, type(estimator).__name__
        found = []
        if self.kind is ONE_SAMPLE or (not settings.recommended and self.kind.noisy):
            scales = self.columns()
            if self.kind is ONE_SAMPLE and len(scales):
                low, high = scales.min(), scales.max()
                if high > MOST or (low < LEAST and high / low > MOST):
                    found.append(
                        f"Columns of X are of unlike size (root mean squares from {low:.3g} to "
                        f"{high:.3g}), and steps of scikit-learn's algorithm depend on it: use "
                        f"make_pipeline(StandardScaler(), {name}(...)), or "
                        "optimizer='auto'."
                    )
            if self.kind is ONE_SAMPLE:
                spread = float(np.max(Sample(self.data).spreads()))
                if not LEAST < spread < MOST:
                    found.append(
                        f"y varies by {spread:.3g}: use TransformedTargetRegressor(regressor="
                        f"{name}(...), transformer=StandardScaler()), or optimizer='auto'."
                    )
            if not found:
                found.append(
                    f"Its steps may be too long: try eta0={settings.eta0 / 10:g}, or "
                    "optimizer='auto'."
                    if settings.learning_rate != "optimal"
                    else f"Its steps may be too long: try a larger alpha than {settings.alpha:g}, "
                    "learning_rate='invscaling', or optimizer='auto'."
                )
        if self.held_by_penalty():
            found.append(self.about_penalty())
        if not found and not self.data.losses[0].convex:
            found.append(
                f"{self.data.losses[0]!r} is not convex: try other parameters of it, a "
                "LossSchedule, or a start from a fit of a convex loss (coef_init, intercept_init)."
            )
        return found or ["Consider more epochs (max_iter) or optimizer='auto'."]

    def _ratios(self):
        """The penalty's slope at a weight that matters, over the loss's, and what it would be with
        a squared loss: largest over outputs, least over columns."""
        units, scales = self.units(), self.columns()
        if not len(scales) or not (units.slope > 0).any():
            return 0.0, 0.0
        squared = self.settings.l2 / float(np.max(scales)) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = squared * units.spread / units.slope
        return float(np.nanmin(np.where(units.slope > 0, ratio, np.nan))), squared

    def held_by_penalty(self):
        """Whether the units of y, and not the user's wish, make the penalty hold the weights."""
        if self.settings.l2 == 0 or on_device(self.data.X):
            return False
        loss = self.data.losses[0]
        natural = (loss.reads_target and loss._natural) or loss.task != "regression"
        if natural or self.kind is ONE_SAMPLE or self.excess < -FREE:
            return False
        ratio, squared = self._ratios()
        return ratio > 1.0 and squared <= ASKED_FOR

    def about_penalty(self):
        ratio, _ = self._ratios()
        less = self.settings.alpha / ratio / 1e3
        return (
            f"In the units of y, alpha={self.settings.alpha:g} holds the weights near 0: the loss "
            f"pulls at them less than the penalty. Use alpha={less:.1g} or less, a loss with a "
            "scale of 'auto' such as HuberLoss(delta='auto'), or scale y."
        )

    def short_of_minimum(self):
        """What is to be said where a few iterations of L-BFGS (gradient descent, where the penalty
        has no derivative beside L1), on some rows, gain much on steps that had stopped to gain."""
        data, settings = self.data, self.settings
        fits = all(
            loss.convex and (loss.differentiable or loss._smoothed(1.0)) for loss in data.losses
        )
        if not fits or settings.optimizer.decoupled or on_device(data.X):
            return []
        size = self.reference.objective - self.reference.floor
        # As many weights as these fit noise of so few rows.
        least = SHORT + self.coef.size / len(data.y) if self.sampled else SHORT
        if not self.objective - self.reference.floor > least * size:
            return []
        kind, name = (LimitedMemoryBFGS, "lbfgs")
        if settings.parts() is None:
            kind, name = (GradientDescent, "gd")
        settings = replace(
            settings,
            optimizer=get_optimizer(name),
            max_iter=FEW_ITERATIONS,
            tol=1e-2,
            average=0,
            verbose=0,
            clip_norm=None,
        )
        descent = kind(data, settings, self.model, self.reference)
        fit = Fit(descent, settings, data.losses[0], reference=self.reference).run()
        # Of the loss itself, where the last epochs were of a smooth neighbour.
        lower = fit.curves.loss[-1] if descent.best[1] is None else descent.best[0]
        if not self.objective - lower > least * size:
            return []
        return [
            f"The steps ended short of the minimum: a few iterations of {name!r} lower the "
            f"objective from {self.objective:.6g} to {lower:.6g}. Use optimizer='auto', or a "
            "smaller tol with a larger max_iter, and look for outlying rows or weights, and for "
            "columns far from 0 where there is no intercept or X is sparse."
        ]

    def separated(self):
        loss = self.data.losses[0]
        if loss.task == "regression" or self.settings.penalised:
            return False
        size = self.reference.objective - self.reference.floor
        if not self.objective - self.reference.floor < SEPARATED * size:
            return False
        return bool(np.abs(self.coef).max(initial=0.0) > BEYOND * 1.0) and loss.gives_probability
