"""Running fits: in threads, or in step with each other where callbacks look on."""

import signal
import threading
import time
from contextlib import contextmanager, suppress

from sklearn.utils.parallel import Parallel, delayed


class Hooks:
    """scikit-learn's callbacks: the fit is a task, and each epoch one in it.

    Parameters
    ----------
    estimator : estimator
        With callbacks set.
    samples
        What callbacks are shown: X, y and sample_weight of it.
    attributes : callable
        ``attributes()``: those that make a fitted estimator of the present models.
    """

    def __init__(self, estimator, samples, attributes):
        self.attributes = attributes
        weight = samples.sample_weight
        metadata = None if weight is None else {"sample_weight": weight}
        self.shown = {"estimator": estimator, "X": samples.X, "y": samples.y, "metadata": metadata}
        self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self.context.call_on_fit_task_begin(**self.shown)
        self.epoch = None

    def begin(self):
        self.epoch = self.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(**self.shown)

    def end(self):
        """Whether a callback asks to stop."""
        return self.epoch.call_on_fit_task_end(
            **self.shown, reconstruction_attributes=self.attributes
        )

    def close(self):
        self.context.call_on_fit_task_end(**self.shown, reconstruction_attributes=self.attributes)


@contextmanager
def interrupts_set(stop, fits):
    """A context in which Ctrl-C sets the event, which engines of steps look at several times a
    second and end their epoch at: raised between any two lines, as Python does it, it would leave
    an epoch that is half entered. A second one is raised at once. So is the first where somebody
    else handles the signal, outside the main thread, and in full-batch descents."""
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and all(hasattr(fit.descent, "engine") for fit in fits)
    )
    if not ours:
        yield
        return

    def handle(number, frame):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run_fits(fits, n_jobs, verbose, hooks=None):
    """Run fits to their ends; after Ctrl-C each ends at its last whole epoch. None is still running
    when this returns or raises.

    Parameters
    ----------
    fits : list of Fit
    n_jobs : int
        Fits at the same time.
    verbose : int
    hooks : Hooks or None
    """
    stop = threading.Event()
    for fit in fits:
        fit.stop = stop
    with interrupts_set(stop, fits):
        if len(fits) == 1:
            fits[0].hooks = hooks
            fits[0].run()
        elif hooks is not None:
            in_step(fits, hooks)
        else:
            in_threads(fits, n_jobs, verbose, stop)
    if stop.is_set():
        for fit in fits:
            if fit.stop_reason is None:  # never begun: ends where it starts
                fit.interrupt()
        fits[0].interrupted = True  # though all may have ended by themselves just then


def in_threads(fits, n_jobs, verbose, stop):
    """Fits on threads: the epochs hold no GIL, and nothing is copied."""
    running = set()

    def run(fit):
        running.add(id(fit))
        try:
            if not stop.is_set():
                fit.run()
        except BaseException:
            stop.set()
            raise
        finally:
            running.discard(id(fit))

    try:
        Parallel(n_jobs=n_jobs, verbose=verbose, require="sharedmem")(
            delayed(run)(fit) for fit in fits
        )
    except BaseException as error:
        # A fit's own, or a signal handler's that reached this thread while it waited for the
        # others. They look at the event several times a second, and must have ended before this
        # returns, whatever else a handler raises meanwhile.
        stop.set()
        while running:
            with suppress(BaseException):
                time.sleep(0.01)
        if not isinstance(error, KeyboardInterrupt):
            raise


def in_step(fits, hooks):
    """An epoch of every fit that has not ended, and then the callbacks."""
    alive = list(fits)
    while alive:
        hooks.begin()
        alive = [fit for fit in alive if fit.advance()]
        interrupted = any(fit.interrupted for fit in fits)
        stop = False if interrupted else hooks.end()
        for fit in alive if interrupted or stop else ():
            if interrupted:
                fit.interrupt()
            else:
                fit.stop_reason = "callback"
        if interrupted or stop:
            return
