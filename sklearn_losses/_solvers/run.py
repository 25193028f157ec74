"""Running fits: in threads, or in step with each other where callbacks look on."""

import threading
import time

from sklearn.utils.parallel import Parallel, delayed


class Hooks:
    """scikit-learn's callbacks: the fit is a task, and each epoch one in it.

    Parameters
    ----------
    estimator : estimator
        With callbacks set.
    X, y, sample_weight
        What callbacks are shown.
    attributes : callable
        ``attributes()``: those that make a fitted estimator of the present models.
    """

    def __init__(self, estimator, X, y, sample_weight, attributes):
        self.attributes = attributes
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.shown = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
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


def run_fits(fits, n_jobs, verbose, hooks=None):
    """Run fits to their ends; after Ctrl-C each ends at its last whole epoch.

    Parameters
    ----------
    fits : list of Fit
    n_jobs : int
        Fits at the same time.
    verbose : int
    hooks : Hooks or None
    """
    if len(fits) == 1:
        fits[0].hooks = hooks
        fits[0].run()
        return
    if hooks is not None:
        in_step(fits, hooks)
        return
    stop = threading.Event()
    running = set()

    def run(fit):
        running.add(id(fit))
        try:
            fit.stop = stop
            fit.run()
        finally:
            running.discard(id(fit))

    try:
        # Threads: the epochs hold no GIL, and nothing is copied.
        Parallel(n_jobs=n_jobs, verbose=verbose, require="sharedmem")(
            delayed(run)(fit) for fit in fits
        )
    except KeyboardInterrupt:
        # It reached this thread while it waited for the others; they look at the event several
        # times a second.
        stop.set()
        while running:
            time.sleep(0.01)
        for fit in fits:
            if fit.stop_reason is None:  # never begun: ends where it starts
                fit.interrupt()


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
