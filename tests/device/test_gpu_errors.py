"""What is said where CuPy, the driver or the device is missing. With CuPy installed and no GPU, by
the real one."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from sklearn_losses import HuberLoss, SGDRegressorX
from sklearn_losses._kernels.device import kernels


class Lent:
    """The memory of the host, offered as a device's by the CUDA array interface alone, as Numba's
    arrays are."""

    dtype, ndim, shape = np.dtype(np.float64), 1, (3,)

    @property
    def __cuda_array_interface__(self):
        data = np.zeros(3)
        return {"shape": (3,), "typestr": "<f8", "data": (data.ctypes.data, False), "version": 3}


class LentByDLPack(Lent):
    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, **kwargs):
        raise AssertionError("nobody should come so far")


@pytest.fixture(autouse=True)
def forget():
    yield
    kernels.forget()


@pytest.fixture(params=[Lent, LentByDLPack])
def lent(request):
    return request.param()


def calls(array):
    loss = HuberLoss()
    return [
        lambda: loss.gradient(array, array),
        lambda: loss(array, array),
        lambda: loss.predict(array),
        lambda: SGDRegressorX().fit(array, array),
    ]


def test_without_cupy_the_error_says_what_to_install(lent, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    for call in calls(lent):
        with pytest.raises(ImportError, match=r"pip install 'sklearn-losses\[cuda13\]'"):
            call()


def pretended(count):
    """A CuPy that finds so many devices, or, with an error, no driver."""

    class CUDARuntimeError(RuntimeError):
        pass

    def device_count():
        if isinstance(count, str):
            raise CUDARuntimeError(count)
        return count

    module = ModuleType("cupy")
    runtime = SimpleNamespace(getDeviceCount=device_count, CUDARuntimeError=CUDARuntimeError)
    module.cuda, module.__version__ = SimpleNamespace(runtime=runtime), "14.0"
    return module


@pytest.mark.parametrize(
    ("count", "message"),
    [
        ("cudaErrorInsufficientDriver", r"(?s)cudaErrorInsufficientDriver.*driver 580.*cuda12"),
        (0, "no CUDA device; pass NumPy arrays"),
    ],
)
def test_without_a_driver_or_a_device_the_error_says_what_to_do(lent, count, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", pretended(count))
    for call in calls(lent):
        with pytest.raises(RuntimeError, match=message):
            call()


def test_the_real_cupy_without_a_driver_says_what_to_do(lent):
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    cp = pytest.importorskip("cupy")
    if cp.cuda.is_available():
        pytest.skip("there is a device")
    for call in calls(lent):
        with pytest.raises(RuntimeError, match="cannot use a CUDA driver"):
            call()


def test_a_failed_call_leaves_a_fitted_estimator_usable(lent, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    X, y = np.arange(6.0).reshape(3, 2), np.arange(3.0)
    model = SGDRegressorX(max_iter=3, tol=None, random_state=0).fit(X, y)
    expected = model.predict(X)
    with pytest.raises(ImportError):
        model.fit(lent, lent)
    with pytest.raises(ImportError):
        model.predict(lent)
    np.testing.assert_array_equal(model.predict(X), expected)
