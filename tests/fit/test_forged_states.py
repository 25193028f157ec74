"""A state that was loaded may hold anything: a fit goes on from it to a finite model, or says what
is wrong with it.
"""

import pickle
import re
import subprocess
import sys
import time
from pathlib import Path

import forged_states
import numpy as np
import pytest
from forged_states import FITS, classifier, regressor, replaced
from test_export import through_skops

from sklearn_losses import HalfSquaredError, get_optimizer
from sklearn_losses._kernels.fit.one_sample import Engine

PROGRAM = Path(forged_states.__file__)
X, Y, THREE = forged_states.X, forged_states.Y, forged_states.THREE

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def reloaded(model):
    return pickle.loads(pickle.dumps(model))


def run_program(n_examples, timeout):
    command = [sys.executable, "-P", str(PROGRAM), str(n_examples)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, (done.stdout[-200:], done.stderr[-4000:])
    assert done.stdout.endswith("done\n") and done.stdout.count("\n") > len(FITS)


def test_any_forged_leaf_of_a_state_is_refused_or_harmless():
    # In a process of its own: `t_ = inf` once read through a null pointer.
    run_program(50, timeout=300)


@pytest.mark.slow
def test_any_forged_leaf_of_a_state_is_refused_or_harmless_thoroughly():
    run_program(500, timeout=900)


ENGINE = ("fits", 0, "engine", "engine")
SAGA = {"optimizer": "saga", "learning_rate": "optimal"}
ADAM = {"optimizer": "adam", "batch_size": 7, "average": 3}


@pytest.mark.parametrize("params, path, value, said", [
    ({}, (*ENGINE, "t"), np.inf, "engine['t'] must be a number in [1, inf); got inf"),
    ({}, (*ENGINE, "t"), 10**400, "engine['t'] must be a number"),
    ({}, (*ENGINE, "scale"), 0.0, "engine['scale'] must be a number in (0, 1]"),
    ({"average": True}, (*ENGINE, "average_b"), 0.0, "engine['average_b'] must be a number in [1"),
    ({"average": True}, (*ENGINE, "average_b"), 1e308, "average_b must be at most twice"),
    ({"average": True}, (*ENGINE, "average"), np.full(3, np.nan), "['average'] must be finite"),
    ({}, (*ENGINE, "coef"), np.zeros(4), "engine['coef'] must have shape (3,); got (4,)"),
    ({}, (*ENGINE, "touched"), 2**62, "engine['touched'] must be at most"),
    ({}, ("fits", 0, "engine", "seed"), 2**70, "['seed'] must be an integer"),
    ({}, ("fits", 0, "engine", "epochs"), -1, "descent['epochs'] must be an integer from 0"),
    (ADAM, (*ENGINE, "w"), np.zeros((1, 2)), "['w'] must have shape (1, 3)"),
    (ADAM, (*ENGINE, "s1"), np.full((1, 3), np.inf), "['s1'] must be finite"),
    (ADAM, (*ENGINE, "average_b"), 0.0, "['average_b'] must be a number in [1, inf)"),
    (ADAM, (*ENGINE, "t"), np.nan, "['t'] must be a number in [1, inf)"),
    (ADAM, ("fits", 0, "patience"), None, "['patience'] must have 2 items; got NoneType"),
    (ADAM, ("fits",), [], "_kept['fits'] must have 1 items"),
    ({"optimizer": "lbfgs"}, ("fits", 0, "engine", "z"), None, "descent['z'] must be an array"),
    ({"optimizer": "gd"}, ("fits", 0, "engine", "stage"), 1, "descent['stage'] must be at most 0"),
    (SAGA, ("fits", 0, "engine", "smoothness", 2), -1.0,
     "descent['smoothness'][2] must be a number in [0, inf)"),
    (ADAM, ("fits", 0, "engine", "scale"), -np.ones(3), "descent['scale'] must be at least 0"),
    (ADAM, ("fits", 0, "engine", "shrunk"), 0.0, "descent['shrunk'] must be a number in (0, 1]"),
    (ADAM, ("fits", 0, "engine", "units", "length"), np.ones(2), "must have shape (1,)"),
])  # fmt: skip
def test_a_forged_state_is_named(params, path, value, said):
    model = reloaded(regressor(**params).fit(X, Y))
    model._kept = replaced(model._kept, path, value)
    coef = model.coef_
    with pytest.raises(ValueError, match=re.escape("the state to go on from: ") + ".*") as caught:
        model.set_params(warm_start="resume").fit(X, Y)
    assert said in str(caught.value)
    assert model.coef_ is coef


@pytest.mark.parametrize("t", [np.inf, np.nan, 0, -1.0, "1", None, 10**400])
@pytest.mark.parametrize("params", [{}, ADAM, {"average": True}])
def test_a_forged_number_of_steps_is_refused(params, t):
    model = reloaded(regressor(**params).partial_fit(X, Y))
    model.t_ = t
    with pytest.raises(ValueError, match=r"t_ must be a number in \[1, inf\)"):
        model.partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"t_ must be a number in \[1, inf\)"):
        model.set_params(warm_start="resume").fit(X, Y)


def test_a_state_of_a_file_of_skops_is_checked_too():
    model = through_skops(regressor().partial_fit(X, Y))
    model.t_ = np.inf
    model = through_skops(model)
    with pytest.raises(ValueError, match=r"t_ must be a number in \[1, inf\)"):
        model.partial_fit(X, Y)


def test_forged_averages_and_counts_of_classes_are_refused():
    model = reloaded(classifier(average=True).partial_fit(X, THREE, classes=[0, 1, 2]))
    model._averaging[1].coef[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"_averaging\[1\]\['coef'\] must be finite"):
        model.partial_fit(X, THREE)
    model = reloaded(classifier().partial_fit(X, THREE, classes=[0, 1, 2]))
    model._class_counts = (model._class_counts[0] - 100, 3.0)
    with pytest.raises(ValueError, match=r"_class_counts\[0\] must be at least 0"):
        model.partial_fit(X, THREE)


def test_the_order_of_a_resumed_fit_takes_no_time_for_each_epoch_before():
    # It was made epoch by epoch, without a look for Ctrl-C.
    model = regressor().fit(X, Y)
    model._kept = replaced(model._kept, ("fits", 0, "engine", "epochs"), 10**11)
    began = time.perf_counter()
    model.set_params(warm_start="resume").fit(X, Y)
    assert time.perf_counter() - began < 10 and np.isfinite(model.coef_).all()


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_a_power_of_the_shuffle_is_the_shuffle_so_many_times(n):
    # The intercept's steps show the order.
    x, y = np.zeros((n, 1)), np.arange(float(n))

    def engine():
        model = regressor(penalty=None, learning_rate="constant")
        settings = model._settings(1, get_optimizer("sgd"), 1, HalfSquaredError())
        w, b = np.zeros((1, 1)), np.zeros(1)
        return Engine(x, y, None, None, w, b, None, None, HalfSquaredError(), settings)

    for times in (0, 1, 2, 3, 7, 12):
        one, other = engine(), engine()
        for _ in range(times):
            one.epoch(12345)
        one.save()
        state = one.get_state()
        other.shuffle(12345, times)
        other.set_state(state)
        for fit in (one, other):
            fit.epoch(12345)
            fit.save()
        assert one.intercepts() == other.intercepts()
