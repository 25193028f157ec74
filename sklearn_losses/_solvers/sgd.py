"""Stochastic gradient descent: counts the epochs of an engine, and decides when to stop."""

import math
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from sklearn_losses._kernels._sgd import SCHEDULES, Engine

__all__ = ["SCHEDULES", "Model", "Result", "Settings", "descend", "one_vs_rest"]


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
    learning_rate: str
    eta0: float
    power_t: float
    n_iter_no_change: int
    average: int
    batch_size: int
    verbose: int


@dataclass
class Model:
    """Weights of shape (n_outputs, n_features) and intercepts of shape (n_outputs,); averages, or
    None."""

    coef: np.ndarray
    intercept: np.ndarray
    coef_average: np.ndarray | None = None
    intercept_average: np.ndarray | None = None

    def row(self, i):
        """The model of output i alone."""
        parts = (self.coef, self.intercept, self.coef_average, self.intercept_average)
        return Model(*(None if part is None else part[i : i + 1] for part in parts))


@dataclass
class Result:
    """Where a fit ended: at the last whole epoch, also when it was interrupted."""

    model: Model
    n_iter: int
    loss_curve: list = field(default_factory=list)
    interrupted: bool = False


def optimal_offset(loss, alpha):
    """The offset of t in ``eta = 1 / (alpha * (offset + t - 1))``.

    Bottou's heuristic as in scikit-learn: the first step has about the size of a typical weight.
    """
    typical = math.sqrt(1.0 / math.sqrt(alpha))
    slope = 1.0
    if not loss.is_multiclass:
        slope = float(loss.gradient(np.array([1.0]), np.array([-typical]))[0])
    return max(1.0, slope) / (typical * alpha)


class Progress:
    """What `verbose` prints: scikit-learn's lines."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.start = time.perf_counter()

    def begin(self, epoch):
        if self.verbose > 0:
            print(f"-- Epoch {epoch}")

    def end(self, engine, steps, loss, objective, score=None):
        if self.verbose > 0:
            bias = " ".join(f"{b:.6f}" for b in engine.intercepts())
            tail = "" if score is None else f", Validation score: {score:f}"
            print(
                f"Norm: {engine.penalty_norms()[0] ** 0.5:.2f}, "
                f"NNZs: {np.count_nonzero(engine.coef())}, Bias: {bias}, T: {steps}, "
                f"Avg. loss: {loss:f}, Objective: {objective:f}{tail}"
            )
            print(f"Total training time: {self.seconds():.2f} seconds.")

    def converged(self, epoch):
        if self.verbose > 0:
            print(f"Convergence after {epoch} epochs took {self.seconds():.2f} seconds")

    def seconds(self):
        return time.perf_counter() - self.start


class Patience:
    """Counts the epochs in a row that did not improve on the best by `tol`. Lower is better."""

    def __init__(self, tol):
        self.tol = tol
        self.best = math.inf
        self.count = 0

    def see(self, value):
        """scikit-learn's comparisons: an objective must fall by `tol` or more; one not a number
        never counts."""
        self.count = self.count + 1 if self.tol is not None and value > self.best - self.tol else 0
        self.best = min(self.best, value)
        return self.count


def descend(
    X,
    y,
    sample_weight,
    model,
    loss,
    settings,
    *,
    seed,
    t=1.0,
    held_out=None,
    score=None,
    weight_positive=1.0,
    weight_negative=1.0,
    stop=None,
):
    """Fit by stochastic gradient descent.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_samples, n_features), float32 or float64
    y : ndarray of shape (n_samples,), float64
        As the loss takes it.
    sample_weight : ndarray of shape (n_samples,), float64, or None
    model : Model
        Where to start. Not changed.
    loss : Loss
    settings : Settings
    seed : int
        Of the order of the samples: the same permutation is applied again before every epoch, as in
        scikit-learn.
    t : float, default=1.0
        The number of the first step.
    held_out : ndarray of shape (n_samples,), bool, or None
        Rows not learned from.
    score : callable or None
        ``score(coef, intercept)``, higher is better: what the fit stops on instead of the
        objective.
    weight_positive, weight_negative : float
        Factors of the weights of samples with y > 0, and of the others.
    stop : threading.Event or None
        Set from another thread to interrupt the fit; set here when Ctrl-C interrupted it.

    Returns
    -------
    result : Result

    Raises
    ------
    ValueError
        When a weight overflows.
    """
    engine = Engine(
        X,
        y,
        sample_weight,
        held_out,
        model.coef,
        model.intercept,
        model.coef_average,
        model.intercept_average,
        loss,
        settings,
        weight_positive=weight_positive,
        weight_negative=weight_negative,
        t=t,
        optimal_init=(
            optimal_offset(loss, settings.alpha) if settings.learning_rate == "optimal" else 1.0
        ),
    )
    curve = []
    progress = Progress(settings.verbose)
    patience = Patience(settings.tol)
    interrupted = False
    rows = X.shape[0] - (0 if held_out is None else int(np.count_nonzero(held_out)))
    try:
        for epoch in range(1, settings.max_iter + 1):
            progress.begin(epoch)
            loss_mean, objective = engine.epoch(seed if settings.shuffle else None, stop)
            if not engine.save():
                raise ValueError(
                    f"Floating-point under-/overflow occurred at epoch #{epoch} with "
                    f"loss={loss!r}, learning_rate={settings.learning_rate!r}, "
                    f"eta0={settings.eta0:g}. "
                    "Scaling input data with StandardScaler or MinMaxScaler might help, "
                    "and so might a smaller eta0 or a larger alpha."
                )
            curve.append(objective)
            steps = epoch * math.ceil(rows / settings.batch_size)
            if score is None:
                progress.end(engine, steps, loss_mean, objective)
                waited = patience.see(objective)
            else:
                reached = score(engine.coef(), engine.intercepts())
                progress.end(engine, steps, loss_mean, objective, reached)
                waited = patience.see(-reached)
            if waited >= settings.n_iter_no_change:
                if settings.learning_rate == "adaptive" and engine.eta > 1e-6:
                    engine.eta = engine.eta / 5
                    patience.count = 0
                else:
                    progress.converged(epoch)
                    break
    except KeyboardInterrupt:
        interrupted = True
        if stop is not None:
            stop.set()
    fitted = Model(engine.coef(), engine.intercepts(), *engine.averages())
    return Result(fitted, len(curve), curve, interrupted)


def one_vs_rest(fits, n_jobs, verbose):
    """Run independent fits in threads.

    Parameters
    ----------
    fits : list of callable
        Each takes the event that interrupts it, and returns a Result.
    n_jobs : int or None
    verbose : int

    Returns
    -------
    results : list of Result
        All of them, also after Ctrl-C: those fits end at their last whole epoch.
    """
    stop = threading.Event()
    results = [None] * len(fits)
    running = set()

    def run(i):
        running.add(i)
        try:
            results[i] = fits[i](stop=stop)
        finally:
            running.discard(i)

    try:
        # Threads: the epochs hold no GIL, and nothing is copied.
        Parallel(n_jobs=n_jobs, verbose=verbose, require="sharedmem")(
            delayed(run)(i) for i in range(len(fits))
        )
    except KeyboardInterrupt:
        # It reached this thread while it waited for the others; they look at the event several
        # times a second.
        stop.set()
        while running:
            time.sleep(0.01)
        for i, fit in enumerate(fits):
            if results[i] is None:  # never begun: ends at once, where it starts
                results[i] = fit(stop=stop)
    return results
