"""What every solver's fit goes through: epochs, curves, validation, stopping."""

import math
import time
from dataclasses import dataclass, field, replace

import numpy as np

from sklearn_losses._array import to_host
from sklearn_losses._penalty import Held
from sklearn_losses._quadratic import Quadratic
from sklearn_losses._states import of_fit
from sklearn_losses.optimizers import Optimizer
from sklearn_losses.schedules import BatchGrowth, Schedule

# The share of the best constant's objective, above its floor, that the noise of steps may add.
NOISE = 1e-2


@dataclass(frozen=True)
class Settings:
    """The parameters of a fit, with the names and meanings of the estimators'."""

    penalty: str | None
    alpha: float
    l1_ratio: float
    fit_intercept: bool
    max_iter: int
    tol: float | None
    shuffle: bool
    learning_rate: str | Schedule
    eta0: float
    power_t: float
    n_iter_no_change: int
    average: int
    verbose: int
    batch_size: int | str | BatchGrowth
    optimizer: Optimizer
    clip_norm: float | None
    low: np.ndarray | None  # bounds of the weights, (n_features,)
    high: np.ndarray | None
    n_threads: int
    # Whether the learning rate is what is recommended for the optimizer, and not the user's.
    recommended: bool
    smooth: bool  # whether the loss has a derivative everywhere
    # A penalty that is no uniform sum of L1 and L2 parts; `penalty` is None then.
    own: Held | None = None

    @property
    def l1(self):
        share = {"l1": 1.0, "elasticnet": self.l1_ratio}.get(self.penalty, 0.0)
        return self.alpha * share

    @property
    def l2(self):
        share = {"l2": 1.0, "elasticnet": 1.0 - self.l1_ratio}.get(self.penalty, 0.0)
        return self.alpha * share

    @property
    def penalised(self):
        return self.alpha > 0 and not (self.penalty is None and self.own is None)

    def sums(self):
        """The weights of each ``|c_j|`` and of each ``c_j**2 / 2``, where the penalty is a sum of
        these, else None: two floats, or arrays of shape (n_features,)."""
        return (self.l1, self.l2) if self.own is None else self.own.sums()

    def parts(self):
        """The weights of each ``|c_j|``, and the rest as a `Quadratic`, where the penalty is these
        two, else None."""
        quadratic = None if self.own is None else self.own.quadratic
        if quadratic is not None:
            return 0.0, quadratic
        sums = self.sums()
        return None if sums is None else (sums[0], Quadratic(sums[1]))

    @property
    def bend(self):
        """The curvature of a penalty that is a sum, of each feature: float, or an array of shape
        (n_features,)."""
        sums = self.sums()
        return 0.0 if sums is None else sums[1]

    def penalties_of(self, engine):
        """What L2 and the rest of the penalty add to the objective, at the weights of an engine."""
        l2 = 0.5 * self.l2 * engine.square_norm() if self.l2 else 0.0
        if self.own is not None:
            return l2, self.own.value(engine.coef())
        return l2, self.l1 * engine.absolute_norm() if self.l1 else 0.0

    def penalties_at(self, coef):
        """Those of weights: what is minimised, of which a decoupled decay is no part."""
        decay = 0.0 if self.optimizer.decoupled else self.l2
        with np.errstate(over="ignore"):
            rest = self.l1 * float(np.abs(coef).sum())
            rest += 0.0 if self.own is None else self.own.value(coef)
            return 0.5 * decay * float(np.sum(coef**2)), rest

    def price_of_0(self, shape):
        """The penalty where all weights are 0: of one that draws them elsewhere it is not 0."""
        return 0.0 if self.own is None else self.own.value(np.zeros(shape))

    def with_penalties(self, l1, l2):
        """The same with these strengths of the penalties."""
        alpha = l1 + l2
        penalty = "elasticnet" if alpha > 0 else None
        return replace(self, penalty=penalty, alpha=alpha, l1_ratio=l1 / alpha if penalty else 0.0)


@dataclass
class Model:
    """Weights of shape (n_outputs, n_features) and intercepts of shape (n_outputs,)."""

    coef: np.ndarray
    intercept: np.ndarray

    def _on_host(self):
        return Model(**to_host(vars(self)))


@dataclass
class Epoch:
    """What a descent says of an epoch."""

    loss: float
    objective: float
    gradient_norm: float
    rate: float
    steps: int
    finite: bool = True
    # By the descent's own criterion, where it has one: the fit has converged, or cannot go on.
    ended: str | None = None
    # What the fit stops on, where it is not the objective.
    metric: float | None = None


@dataclass
class Curves:
    loss: list = field(default_factory=list)
    validation: list = field(default_factory=list)
    gradient_norm: list = field(default_factory=list)
    rate: list = field(default_factory=list)


class Patience:
    """Counts the epochs in a row that did not improve on the best by `tol`. Lower is better."""

    def __init__(self, tol, best=math.inf, count=0):
        self.tol = tol
        self.best = best
        self.count = count

    def see(self, value, size=1.0):
        """scikit-learn's comparisons: an objective must fall by `tol`, of `size`, or more; one not
        a number never counts."""
        missed = self.tol is not None and value > self.best - self.tol * size
        self.count = self.count + 1 if missed else 0
        self.best = min(self.best, value)
        return self.count


class Descent:
    """Base class of the solvers, each of which makes the epochs of a fit.

    It is made of data, settings, the model to start from, the reference, and its `options`, by
    name. It has ``epoch(number, stop) -> Epoch``, ``save() -> bool``, ``model() -> Model``,
    ``public_model() -> Model`` (averages, where they count), ``get_state() -> dict``,
    ``set_state(state)`` and ``rate``, which may be set. One that is `whole` has ``run(fit)``
    instead of `epoch`, which calls the fit's `begin` and `after` for each epoch.

    Attributes
    ----------
    options : tuple of str
        What it is made of beside: methods of `linear_model._assembly.Start`.
    needs : tuple of str
        What loss and settings must have: names in `_solvers.NEEDS`.
    whole : bool
        Whether it makes all epochs in one call.
    own_criterion : bool
        Whether it finds out itself when it has converged.
    noisy : bool
        Whether its steps are of some samples each.
    on_host : bool
        Whether it takes arrays of the host alone.
    exact : bool
        Whether the objective that an epoch tells is that of the model that is shown.
    """

    options = ()
    needs = ()
    whole = False
    own_criterion = False
    noisy = True
    on_host = False
    exact = False


class Fit:
    """A fit under way: `advance` makes an epoch, and says whether there is another.

    Parameters
    ----------
    descent : Descent
        Makes the epochs.
    settings : Settings
    loss : Loss
        For messages.
    reference : Reference or None
        Where `tol` is relative to what a fit can gain; None: `tol` is absolute.
    validate : callable or None
        ``validate(fit) -> (metric, loss)`` after each epoch: what the fit stops on (lower is
        better), and the mean loss on the validation samples.
    restore_best : bool
        Whether the result is the model of the epoch with the best metric.
    state : dict or None
        What `state` returned when another fit ended, to go on from there.

    Attributes
    ----------
    stop : threading.Event or None
        Set from another thread to interrupt the fit; set here when Ctrl-C interrupted it.
    hooks : Hooks or None
        Called before and after each epoch.
    """

    def __init__(
        self,
        descent,
        settings,
        loss,
        *,
        reference=None,
        validate=None,
        restore_best=False,
        state=None,
    ):
        state = {} if state is None else of_fit(state, descent.model)
        self.descent = descent
        self.settings = settings
        self.loss = loss
        self.reference = reference
        self.validate = validate
        self.restore_best = restore_best
        self.stop = None
        self.hooks = None
        self.curves = Curves()
        self.epochs_before = state.get("epochs", 0)
        self.n_iter = 0
        self.steps = 0
        self.interrupted = False
        self.patience = Patience(settings.tol, *state.get("patience", ()))
        self.best_metric, self.best_model = state.get("best", (math.inf, None))
        # Of an earlier fit that had ended by itself, and so stays as it is.
        self.stop_reason = state.get("ended")
        self.last = state.get("last", {})
        self.start = time.perf_counter()
        if "engine" in state:
            descent.set_state(state["engine"])

    # ---------------------------------------------------------------------------------- epochs

    def run(self):
        """All epochs."""
        while self.advance():
            pass
        return self

    def advance(self):
        """Make an epoch (a descent that is `whole`: all); False when the fit has ended."""
        if self.stop_reason is not None:
            return False
        try:
            if self.descent.whole:
                self.descent.run(self)
                return False
            self.begin()
            return not self.after(self.descent.epoch(self.epochs_before + self.n_iter, self.stop))
        except KeyboardInterrupt:
            self.interrupt()
            return False

    def interrupt(self):
        """End at the last whole epoch."""
        self.interrupted = True
        self.stop_reason = "interrupted"
        if self.stop is not None:
            self.stop.set()

    def begin(self):
        if self.hooks is not None:
            self.hooks.begin()
        if self.settings.verbose > 0:
            print(f"-- Epoch {self.n_iter + 1}")

    def after(self, epoch):
        """Take note of an epoch that has been made; whether the fit ends with it."""
        if not epoch.finite or not self.descent.save():
            raise self.diverged(epoch)
        settings = self.settings
        self.n_iter += 1
        self.steps += epoch.steps
        self.curves.loss.append(epoch.objective)
        self.curves.gradient_norm.append(epoch.gradient_norm)
        self.curves.rate.append(epoch.rate)
        metric = epoch.objective if epoch.metric is None else epoch.metric
        if self.validate is not None:
            metric, loss = self.validate(self)
            self.curves.validation.append(loss)
            if self.restore_best and metric < self.best_metric:
                self.best_metric, self.best_model = metric, self.descent.public_model()
        self.report(epoch, metric)
        reason = epoch.ended
        if self.validate is not None or not self.descent.own_criterion:
            if self.patience.see(metric, self.size_of(metric)) >= settings.n_iter_no_change:
                if settings.learning_rate == "adaptive" and self.descent.rate > 1e-6:
                    self.descent.rate /= 5
                    self.patience.count = 0
                else:
                    reason = self.reason_of_no_change(metric)
                    if settings.verbose > 0:
                        print(
                            f"Convergence after {self.n_iter} epochs took {self.seconds():.2f} "
                            "seconds"
                        )
        if self.hooks is not None and self.hooks.end():
            reason = reason or "callback"
        if reason is None and self.n_iter >= settings.max_iter:
            reason = "max_iter"
        self.stop_reason = reason
        return reason is not None

    def size_of(self, metric):
        """What changes of the metric are measured by: 1 for scores, and in scikit-learn's
        algorithm."""
        scored = self.validate is not None and not self.restore_best
        return 1.0 if self.reference is None or scored else self.reference.size_of(metric)

    def reason_of_no_change(self, metric):
        if self.validate is not None:
            return "validation"
        # What stands still above the best constant has not converged to anything.
        reference = self.reference
        size = 0.0 if reference is None else reference.objective - reference.floor
        if reference is None or not size > 1e3 * reference.rounding:
            return "converged"
        constant = reference.objective + self.settings.price_of_0(self.descent.model().coef.shape)
        worse = metric - constant > NOISE * size
        return "no_progress" if worse else "converged"

    def report(self, epoch, metric):
        """scikit-learn's lines."""
        if self.settings.verbose <= 0:
            return
        model = to_host(self.descent.model())
        bias = " ".join(f"{b:.6f}" for b in model.intercept)
        tail = "" if self.validate is None else f", Validation score: {-metric:f}"
        print(
            f"Norm: {np.linalg.norm(model.coef):.2f}, NNZs: {np.count_nonzero(model.coef)}, "
            f"Bias: {bias}, T: {self.steps}, Avg. loss: {epoch.loss:f}, "
            f"Objective: {epoch.objective:f}{tail}"
        )
        print(f"Total training time: {self.seconds():.2f} seconds.")

    def seconds(self):
        return time.perf_counter() - self.start

    def diverged(self, epoch):
        settings = self.settings
        rate = "" if settings.optimizer.full_batch else f" (last rate {epoch.rate:.3g})"
        return ValueError(
            f"Floating-point under-/overflow occurred at epoch #{self.n_iter + 1} with "
            f"loss={self.loss!r}, optimizer={settings.optimizer!r}, "
            f"learning_rate={settings.learning_rate!r}, eta0={settings.eta0:g}{rate}. "
            "Scaling input data with StandardScaler or MinMaxScaler might help, "
            "and so might a smaller eta0, a clip_norm or a larger alpha."
        )

    # ---------------------------------------------------------------------------------- result

    def model(self):
        """Where the optimizer stands, at the last whole epoch."""
        return self.descent.model()

    def public_model(self):
        """What the estimator shows: the best, or the averages, or where the optimizer stands."""
        if self.restore_best and self.best_model is not None:
            return self.best_model
        return self.descent.public_model()

    def objective(self):
        """That of `public_model`, or None where no epoch has told it."""
        known = self.descent.exact and self.curves.loss and self.best_model is None
        return self.curves.loss[-1] if known else None

    def state(self):
        """What another fit needs to go on from here: a dict that can be pickled."""
        by_itself = self.stop_reason in ("converged", "no_progress", "validation", "line_search")
        last = {name: values[-1:] for name, values in vars(self.curves).items() if values}
        return {
            "engine": self.descent.get_state(),
            "epochs": self.epochs_before + self.n_iter,
            "patience": (self.patience.best, self.patience.count),
            "best": (self.best_metric, self.best_model),
            "ended": self.stop_reason if by_itself else None,
            "last": last or self.last,
        }
