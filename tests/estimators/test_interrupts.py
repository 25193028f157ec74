"""What ends a fit from outside: errors of one class's fit, signal handlers' exceptions, Ctrl-C."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from test_threads import run_python

from sklearn_losses import FunctionLoss, SGDClassifierX, SGDRegressorX, effective_n_threads
from sklearn_losses._solvers.fit import Fit

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="signals to this process"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

RNG = np.random.RandomState(0)
X = RNG.randn(2000, 5)
Y = X[:, 0] + RNG.randn(2000)
THREE = np.digitize(Y, [-1, 1])
# With OMP_NUM_THREADS=1, or one core, the classes' fits are made one after the other.
AT_ONCE = min(2, effective_n_threads(2))
FOREVER = {"max_iter": 10**9, "tol": None, "random_state": 0}


@pytest.fixture
def epochs(monkeypatch):
    """A list that grows with each epoch that a fit has entered, of any thread."""
    entered, after = [], Fit.after

    def after_and_tell(fit, epoch):
        ends = after(fit, epoch)
        entered.append(fit)
        return ends

    monkeypatch.setattr(Fit, "after", after_and_tell)
    return entered


def once_at_work(epochs, n_fits, signal_number):
    """Send a signal when so many fits have made an epoch."""

    def send():
        while len(set(map(id, epochs))) < n_fits:
            time.sleep(0.01)
        os.kill(os.getpid(), signal_number)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def nothing_goes_on(epochs):
    before = len(epochs)
    time.sleep(0.3)
    return len(epochs) == before


class Expired(Exception):
    pass


@pytest.mark.parametrize("exception", [Expired, SystemExit, TimeoutError])
def test_no_fit_goes_on_after_a_signal_handler_raised(epochs, exception):
    def handle(number, frame):
        raise exception("time is up")

    before = signal.signal(signal.SIGUSR1, handle)
    model = SGDClassifierX("log_loss", n_jobs=2, **FOREVER)
    try:
        sender = once_at_work(epochs, AT_ONCE, signal.SIGUSR1)
        with pytest.raises(exception, match="time is up"):
            model.fit(X, THREE)
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert nothing_goes_on(epochs)
    assert not hasattr(model, "coef_") and not hasattr(model, "classes_")


def test_no_fit_goes_on_after_the_loss_of_one_class_raised(epochs):
    positives = []

    def value(y, raw):
        # Of one class alone, after the others have begun: its thread's first epoch is not its last.
        positives.append(float(y.sum()))
        if len(set(map(id, epochs))) >= AT_ONCE and threading.current_thread() is failing[0]:
            raise ZeroDivisionError("of one class")
        failing.append(threading.current_thread())
        return (raw - y) ** 2

    failing = []
    loss = FunctionLoss(value, lambda y, raw: 2 * (raw - y))
    model = SGDClassifierX(loss, n_jobs=2, eta0=1e-3, learning_rate="constant", **FOREVER)
    with pytest.raises(ZeroDivisionError, match="of one class"):
        model.fit(X[:50], THREE[:50])
    assert nothing_goes_on(epochs)


@pytest.mark.parametrize("model, y", [
    (SGDRegressorX("huber"), Y),
    (SGDRegressorX("huber", optimizer="adam", batch_size=16, average=True), Y),
    (SGDClassifierX("log_loss"), Y > 0),
    (SGDClassifierX("log_loss", n_jobs=2), THREE),
    (SGDClassifierX("multinomial", batch_size=16), THREE),
])  # fmt: skip
def test_ctrl_c_in_the_first_epoch_of_another_fit_keeps_the_model(model, y, monkeypatch):
    model.set_params(max_iter=3, tol=None).fit(X, y)
    before = dict(vars(model))
    descents = {type(fit.descent) for fit in fits_of(model, y, monkeypatch)}
    assert len(descents) == 1
    raised = []

    def epoch(self, number, stop):
        raised.append(number)
        raise KeyboardInterrupt

    monkeypatch.setattr(descents.pop(), "epoch", epoch)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X + 1.0, y)
    assert raised and vars(model) == before
    with pytest.raises(KeyboardInterrupt):
        (new := type(model)(**model.get_params())).fit(X, y)
    assert not hasattr(new, "coef_") and not hasattr(new, "n_features_in_")


def fits_of(model, y, monkeypatch):
    """The fits that a model makes."""
    made, init = [], Fit.__init__

    def note(fit, *args, **kwargs):
        made.append(fit)
        init(fit, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "__init__", note)
        type(model)(**model.get_params()).fit(X, y)
    return made


def test_ctrl_c_between_any_two_lines_ends_at_a_whole_epoch():
    # Nearly all of the time is spent where an epoch has been made and is not yet entered: a signal
    # there once left a model that was ahead of its count of epochs.
    code = """
    import os, signal, time, warnings
    import numpy as np
    from sklearn.base import clone
    from sklearn_losses import SGDClassifierX, SGDRegressorX
    from sklearn_losses._solvers import BATCHES, ONE_SAMPLE
    from sklearn_losses._solvers.fit import Fit

    def slowly(function):
        def wrapper(*args):
            result = function(*args)
            until = time.perf_counter() + 0.002
            while time.perf_counter() < until:
                pass
            return result
        return wrapper

    BATCHES.epoch, ONE_SAMPLE.save = slowly(BATCHES.epoch), slowly(ONE_SAMPLE.save)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = np.random.RandomState(0)
    X = rng.randn(20, 3)
    y, three = X[:, 0] + rng.randn(20), rng.randint(3, size=20)
    forever = {"max_iter": 10**8, "tol": None, "random_state": 0}
    cases = [
        (SGDRegressorX(average=True, **forever), y),
        (SGDRegressorX(batch_size=8, optimizer="adam", **forever), y),
        (SGDClassifierX("multinomial", batch_size=8, optimizer="saga", **forever), three),
    ]
    after = Fit.after

    def after_and_tell(fit, epoch):
        ends = after(fit, epoch)
        if fit.n_iter == 3:
            os.write(tell, b"3")
        return ends

    Fit.after = after_and_tell

    # From another process: this one's threads would wait long for their turn.
    def sender(delay):
        entered, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(entered, 1)
            time.sleep(delay)
            os.kill(os.getppid(), signal.SIGINT)
            os._exit(0)
        return child, tell

    for model, target in cases:
        for i in range(6):
            child, tell = sender(i * 0.0003)
            try:
                model.fit(X, target)
            except KeyboardInterrupt:
                pass
            else:
                raise SystemExit("ended by itself")
            os.waitpid(child, 0)
            assert model.stop_reason_ == "interrupted"
            assert model.n_iter_ == len(model.loss_curve_) == len(model.grad_norm_curve_) >= 3
            whole = clone(model).set_params(max_iter=model.n_iter_).fit(X, target)
            assert whole.t_ == model.t_ and (whole.coef_ == model.coef_).all(), model.n_iter_
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print("whole")
    """
    assert run_python(code, timeout=300) == "whole\n"
