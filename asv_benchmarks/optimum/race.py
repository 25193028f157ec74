"""One problem's race: which tolerance each competitor needs, and what it takes with that."""

import signal
import statistics
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np

SHARE = 1e-6  # of what there is to gain over a constant, which may be left
# Seconds, in which the threads of the last fit come to rest: BLAS has them spin for a tenth.
PAUSE = 0.15
CONFIRMING = 3  # competitors whose tightest fits say where the optimum is


class OutOfTime(BaseException):
    """A fit was stopped at the limit; no Exception, which libraries catch."""


@contextmanager
def limited(seconds):
    """Stop what the interpreter sees again in time: a compiled loop that looks at no signal goes
    on, and where there are no such alarms (Windows, other threads) everything does."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def ring(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Entry:
    """What is known of a competitor: its fits so far, from the loosest tolerance on."""

    competitor: object
    fits: list = field(default_factory=list)  # (tol, seconds, objective)
    spent: float = 0.0
    failure: str | None = None
    times: list = field(default_factory=list)
    confirmed: bool = False
    unreliable: bool = False

    @property
    def exhausted(self):
        return self.failure is not None or len(self.fits) == len(self.competitor.tolerances)

    def chosen(self, goal):
        """The loosest tolerance's fit that reaches, or None; none of a competitor that a repeat of
        that fit has shown to be a matter of luck."""
        if self.unreliable:
            return None
        return next((fit for fit in self.fits if fit[2] <= goal), None)

    def shown(self, goal):
        """The fit that is timed: the one chosen, or that of the defaults where none reaches."""
        default = self.fits[0] if self.fits and self.competitor.defaults else None
        return self.chosen(goal) or default

    def least(self):
        return min((value for _, _, value in self.fits), default=np.inf)

    def seconds(self, goal):
        """The median of the timed fits; that of the trial where the fit is too long to repeat."""
        shown = self.shown(goal)
        if shown is None:
            return np.inf
        return statistics.median(self.times) if self.times else shown[1]


@dataclass
class Result:
    """A problem's row: the entries, the least objective, and what reaches."""

    problem: object
    entries: list
    best: float
    constant: float

    @property
    def goal(self):
        return self.best + SHARE * (self.constant - self.best)

    def left(self, entry):
        """The share of what there is to gain that an entry's best fit leaves."""
        return (entry.least() - self.best) / (self.constant - self.best)


@dataclass(frozen=True)
class Limits:
    """Seconds: of a fit, of a competitor's trials together, and of its timed repeats; how many of
    those, and of those of a competitor that is `far` times as slow as the quickest."""

    fit: float = 30.0
    trials: float = 45.0
    repeats: float = 2.0
    most: int = 11
    far: float = 4.0
    most_far: int = 1


QUICK = Limits(fit=0.5, trials=0.2, most=0)


def fit_once(competitor, problem, tol):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        coef, intercept = competitor.fit(problem, tol)
        return time.perf_counter() - start, coef, intercept


def attempt(entry, problem, limits, tol):
    """A fit that is tried: its objective, or the reason why there is none."""
    begun = time.perf_counter()
    try:
        with limited(limits.fit), np.errstate(all="ignore"):
            seconds, coef, intercept = fit_once(entry.competitor, problem, tol)
    except OutOfTime:
        pass
    except Exception as error:
        entry.failure = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    else:
        entry.fits.append((tol, seconds, problem.objective(coef, intercept)))
    took = time.perf_counter() - begun
    entry.spent += took
    if took > limits.fit:  # compiled code makes errors of its own of the alarm
        entry.failure = f"longer than {limits.fit:g} s"
    if entry.failure is None and entry.spent > limits.trials:
        entry.failure = f"{limits.trials:g} s of trials"


def warm_up(competitor, problem):
    """A first fit, which compiles or imports: of little, since an alarm in the midst of that would
    leave halves."""
    with suppress(Exception):  # the next fit says it again
        fit_once(competitor, problem.miniature(), competitor.tolerances[0])


def trials(entries, problem, constant, limits):
    """Go down the tolerances of all until each has reached the least objective, or has none left;
    returns that objective.

    What all of them find with loose tolerances is no optimum. So the quickest of those that reach
    go to their tightest tolerance, and where that lowers the objective all go on.
    """
    for entry in entries:
        if entry.competitor.compiles:
            warm_up(entry.competitor, problem)
    best = constant
    while True:
        best = min(best, *(entry.least() for entry in entries))
        goal = best + SHARE * (constant - best)
        waiting = [e for e in entries if not e.exhausted and e.chosen(goal) is None]
        for entry in waiting:
            attempt(entry, problem, limits, entry.competitor.tolerances[len(entry.fits)])
        if waiting:
            continue
        reached = sorted((e for e in entries if e.chosen(goal)), key=lambda e: e.seconds(goal))
        unsure = [e for e in reached[:CONFIRMING] if not e.confirmed]
        if not unsure:
            return best
        for entry in unsure:
            reference = Entry(entry.competitor)
            attempt(reference, problem, limits, entry.competitor.tolerances[-1])
            best, entry.confirmed = min(best, reference.least()), True


def timed(entries, problem, goal, limits):
    """Fits by turns, with the tolerances that were found."""
    quickest = min((entry.seconds(goal) for entry in entries), default=0.0)
    for turn in range(limits.most):
        for entry in entries:
            if entry.shown(goal) is None:
                continue
            tol, expected, _ = entry.shown(goal)
            far = expected > limits.far * quickest and not entry.competitor.defaults
            if (far and turn >= limits.most_far) or sum(entry.times) + expected > limits.repeats:
                continue
            time.sleep(PAUSE)
            repeat = Entry(entry.competitor)
            attempt(repeat, problem, limits, tol)
            missed = repeat.least() > goal and not entry.competitor.defaults
            if missed or not repeat.fits:
                entry.unreliable = True
                entry.failure = repeat.failure or "reached, but not each time"
                continue
            entry.times.append(repeat.fits[0][1])


def race(problem, competitors, limits):
    """All competitors on one problem."""
    entries = [Entry(c) for c in competitors if c.suits(problem)]
    constant = problem.constant()
    best = trials(entries, problem, constant, limits)
    result = Result(problem, entries, best, constant)
    timed([e for e in entries if e.shown(result.goal)], problem, result.goal, limits)
    return result
