"""A user's own loss, from Python functions or from C functions, does what a built-in one does."""

import ctypes
import os
import pickle
import shutil
import subprocess
import sysconfig

import numpy as np
import pytest
from scipy import LowLevelCallable
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_losses as sl
from sklearn_losses.links import Interval, LogitLink
from sklearn_losses.testing import check_loss

SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double, ctypes.c_void_p)

# Huber's loss with delta = data[0], as C and as Python.
SOURCE = """
#include <math.h>
double value(double y, double raw, void* data) {
    double d = *(double*)data, r = fabs(raw - y);
    return r <= d ? 0.5 * r * r : d * (r - 0.5 * d);
}
double gradient(double y, double raw, void* data) {
    double d = *(double*)data, r = raw - y;
    return r > d ? d : (r < -d ? -d : r);
}
double hessian(double y, double raw, void* data) {
    double r = fabs(raw - y);
    return r <= *(double*)data ? 1.0 : (r != r ? r : 0.0);
}
"""


def huber_functions(delta=1.0):
    return (
        lambda y, raw: np.where(
            np.abs(raw - y) > delta,
            delta * (np.abs(raw - y) - delta / 2),
            (raw - y) ** 2 / 2,
        ),
        lambda y, raw: np.where(np.isnan(raw - y), np.nan, np.clip(raw - y, -delta, delta)),
        lambda y, raw: np.where(np.isnan(raw - y), np.nan, np.abs(raw - y) <= delta).astype(float),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The C functions, compiled."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"no C compiler ({compiler})")
    folder = tmp_path_factory.mktemp("c")
    source, target = folder / "huber.c", folder / "huber.so"
    source.write_text(SOURCE)
    command = [compiler, "-shared", "-fPIC", "-O2", str(source), "-o", str(target), "-lm"]
    subprocess.run(command, check=True)
    functions = ctypes.CDLL(os.fspath(target))
    for name in ("value", "gradient", "hessian"):
        function = getattr(functions, name)
        function.restype = ctypes.c_double
        function.argtypes = (ctypes.c_double, ctypes.c_double, ctypes.c_void_p)
    return functions


@pytest.fixture(scope="module")
def compiled(library):
    return sl.CompiledLoss(
        library.value, library.gradient, library.hessian, data=np.array([1.0]), differentiable=True
    )


def sample(n=10_000):
    rng = np.random.RandomState(0)
    return rng.normal(size=n), rng.normal(scale=3, size=n)


@pytest.mark.parametrize("kind", ["function", "compiled"])
def test_an_own_huber_gives_the_numbers_of_the_built_in_one(kind, compiled):
    own = sl.FunctionLoss(*huber_functions()) if kind == "function" else compiled
    built_in = sl.HuberLoss(1.0)
    check_loss(own)
    for dtype in (np.float64, np.float32):
        y, raw = (a.astype(dtype) for a in sample())
        weight = np.linspace(0, 1, len(y)).astype(dtype)
        rtol = 1e-12 if dtype == np.float64 else 1e-4
        for w in (None, weight):
            for method in ("loss", "gradient", "loss_gradient", "gradient_hessian"):
                got, want = getattr(own, method)(y, raw, w), getattr(built_in, method)(y, raw, w)
                np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-6)
            assert own(y, raw, w) == pytest.approx(built_in(y, raw, w), rel=1e-5)
        assert np.array_equal(own.gradient(y, raw, n_threads=1), own.gradient(y, raw, n_threads=2))


@pytest.mark.parametrize("kind", ["function", "compiled"])
@pytest.mark.parametrize("batch_size", [1, 32])
def test_an_own_huber_trains_the_model_of_the_built_in_one(kind, compiled, batch_size):
    own = sl.FunctionLoss(*huber_functions()) if kind == "function" else compiled
    X, y = load_diabetes(return_X_y=True)
    y = y[:100] / 50
    settings = {"batch_size": batch_size, "random_state": 0, "max_iter": 5, "tol": None}
    models = [
        make_pipeline(StandardScaler(), sl.SGDRegressorX(loss=loss, **settings)).fit(X[:100], y)
        for loss in (own, sl.HuberLoss(1.0))
    ]
    np.testing.assert_allclose(models[0][-1].coef_, models[1][-1].coef_, rtol=1e-10)
    assert models[0].score(X[:100], y) == pytest.approx(models[1].score(X[:100], y))


def test_an_own_binary_loss_classifies_and_gives_probabilities():
    def sigmoid(raw):
        return 1 / (1 + np.exp(-raw))

    own = sl.FunctionLoss(
        lambda y, raw: np.log1p(np.exp(raw)) - y * raw,
        lambda y, raw: sigmoid(raw) - y,
        link=LogitLink(),
        interval_y_true=Interval(0, 1, True, True),
        task="binary",
    )
    check_loss(own)
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200, 3))
    labels = np.where(X @ [1, -2, 0.5] + rng.normal(size=200) > 0, "yes", "no")
    settings = {"random_state": 0, "max_iter": 5, "tol": None}
    mine = sl.SGDClassifierX(loss=own, **settings).fit(X, labels)
    theirs = sl.SGDClassifierX(loss="log_loss", **settings).fit(X, labels)
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
    assert own.approx_hessian
    y = (labels == "yes") * 1.0
    np.testing.assert_allclose(
        own.gradient_hessian(y, X[:, 0])[1],
        sl.HalfBinomialLoss().gradient_hessian(y, X[:, 0])[1],
        rtol=1e-6,
    )


def test_own_losses_are_searched_over_and_cloned(compiled):
    X, y = load_diabetes(return_X_y=True)
    function = sl.FunctionLoss(*huber_functions())
    search = GridSearchCV(
        sl.SGDRegressorX(max_iter=2, tol=None, random_state=0),
        {"loss": [function, compiled, "huber"]},
        cv=2,
        error_score="raise",
    )
    search.fit(X[:60], y[:60])
    for loss in (function, compiled):
        copy = clone(loss)
        assert copy == loss and copy is not loss
        assert copy.get_params()["gradient"] is loss.get_params()["gradient"]
        with pytest.raises(ValueError, match="Invalid parameter 'delta'"):
            loss.set_params(delta=1)
    with pytest.raises(ValueError, match=r"pointers"):
        pickle.dumps(compiled)


def test_every_kind_of_c_function_is_taken(library):
    y, raw = sample(50)
    want = sl.HuberLoss(0.5).gradient(y, raw)
    data = np.array([0.5])
    address = ctypes.cast(library.gradient, ctypes.c_void_p).value
    value_address = ctypes.cast(library.value, ctypes.c_void_p).value
    pointer = data.ctypes.data_as(ctypes.c_void_p)
    low_level = LowLevelCallable(library.gradient, user_data=pointer)
    low_level_value = LowLevelCallable(library.value, user_data=pointer)
    python = [SIGNATURE(lambda y, raw, data, f=f: float(f(y, raw))) for f in huber_functions(0.5)]
    losses = [
        sl.CompiledLoss(library.value, library.gradient, data=data),
        sl.CompiledLoss(library.value, library.gradient, data=pointer),
        sl.CompiledLoss(value_address, address, data=data.ctypes.data),
        sl.CompiledLoss(low_level_value, low_level),
        sl.CompiledLoss(python[0], python[1], python[2]),
    ]
    for loss in losses:
        np.testing.assert_allclose(loss.gradient(y, raw), want, rtol=1e-14)
    assert (losses[0].gradient_hessian(y, raw)[1] == 1).all() and losses[0].approx_hessian
    with pytest.raises(TypeError, match="value is an address"):
        pickle.dumps(losses[2])


def test_a_numba_function_is_taken():
    numba = pytest.importorskip("numba", reason="numba is not installed")
    signature = "float64(float64, float64, voidptr)"
    value = numba.cfunc(signature)(lambda y, raw, data: (raw - y) ** 2)
    gradient = numba.cfunc(signature)(lambda y, raw, data: 2 * (raw - y))
    y, raw = sample(50)
    loss = sl.CompiledLoss(value, gradient)
    np.testing.assert_allclose(loss.gradient(y, raw), 2 * (raw - y))
    wrong = numba.cfunc("float64(float64, float64)")(lambda y, raw: raw - y)
    with pytest.raises(ValueError, match="gradient must have the C signature"):
        sl.CompiledLoss(value, wrong).gradient(y, raw)


def test_a_function_of_another_signature_is_refused_before_it_is_called(library):
    y, raw = sample(5)
    two = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)(lambda y, raw: raw)
    bare = ctypes.CDLL(library._name).gradient  # no argtypes set
    for wrong in (two, bare, LowLevelCallable(two)):
        with pytest.raises(ValueError, match="gradient must have the C signature"):
            sl.CompiledLoss(library.value, wrong).gradient(y, raw)
    for wrong in (0, "f", len, None):
        with pytest.raises(ValueError, match="gradient must"):
            sl.CompiledLoss(library.value, wrong).gradient(y, raw)
    with pytest.raises(ValueError, match="data must be"):
        sl.CompiledLoss(library.value, library.gradient, data="text").gradient(y, raw)


def test_a_function_loss_says_what_is_wrong_with_its_functions():
    y, raw = sample(5)
    value, gradient, _ = huber_functions()
    with pytest.raises(
        ValueError, match=r"gradient must return an array of shape \(5,\); got \(\)"
    ):
        sl.FunctionLoss(value, lambda y, raw: 1.0).gradient(y, raw)
    with pytest.raises(ValueError, match="gradient must be callable; got 3"):
        sl.FunctionLoss(value, 3).gradient(y, raw)
    with pytest.raises(ValueError, match="task must be one of"):
        sl.FunctionLoss(value, gradient, task="ranking").gradient(y, raw)
    with pytest.raises(ValueError, match="link must be a Link"):
        sl.FunctionLoss(value, gradient, link="log").gradient(y, raw)
    with pytest.raises(ValueError, match=r"y_true must have shape \(5,\); got \(4,\)"):
        sl.FunctionLoss(value, gradient).gradient(y[:4], raw)


BROKEN = {
    "gradient: is the derivative": {"gradient": lambda y, raw: 0.5 * (raw - y)},
    "hessian: is the derivative": {"hessian": lambda y, raw: np.where(raw == raw, 3.0, np.nan)},
    "NaN: NaN in y_true": {"gradient": lambda y, raw: np.nan_to_num(raw - y)},
    "values: are at least 0": {"value": lambda y, raw: (raw - y) ** 2 / 2 - 1},
    "values: are finite": {"value": lambda y, raw: np.where(raw > 1, np.inf, (raw - y) ** 2 / 2)},
}


@pytest.mark.parametrize("message", BROKEN)
def test_check_loss_says_which_promise_a_loss_breaks(message):
    functions = {
        "value": lambda y, raw: (raw - y) ** 2 / 2,
        "gradient": lambda y, raw: raw - y,
        "hessian": lambda y, raw: np.where(np.isnan(y + raw), np.nan, 1.0),
    }
    check_loss(sl.FunctionLoss(**functions))
    with pytest.raises(AssertionError, match=message):
        check_loss(sl.FunctionLoss(**{**functions, **BROKEN[message]}))


def test_check_loss_finds_a_wrong_domain_and_a_wrong_minimum():
    class Wrong(sl.FunctionLoss):
        def _check_y(self, y):
            pass

        def _best_constant(self, y, weight, offset):
            return 100.0

    functions = (lambda y, raw: (raw - y) ** 2, lambda y, raw: 2 * (raw - y))
    loss = Wrong(*functions, interval_y_true=Interval(0, 1, True, True))
    with pytest.raises(AssertionError) as error:
        check_loss(loss)
    assert "domain: calling the loss raises a ValueError" in str(error.value)
    assert "minimum: fit_intercept_only gives the best constant" in str(error.value)
