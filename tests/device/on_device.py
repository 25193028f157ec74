"""What the tests of losses on a device share."""

from functools import cache

import numpy as np
import pytest
from test_accuracy import SOFT, soft_targets

from sklearn_losses._kernels.device import losses as device_losses
from sklearn_losses.losses import POINTWISE, ROWWISE

EVERY = [*POINTWISE, *ROWWISE]
DTYPES = [np.float32, np.float64]
every_loss = pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)

# What the public methods ask for: loss, gradient, loss_gradient, gradient_hessian, __call__, and
# gradient_proba.
OUTPUTS = [1, 2, 3, 6, 48]
PROBA = 10


def compile_together(monkeypatch):
    """Put all the kernels of a loss into one text: compiled one by one they take minutes."""
    pointwise, rowwise = device_losses.pointwise_kernel, device_losses.rowwise_kernel

    @cache
    def points(loss):
        return [pointwise(loss, real, o, True) for real in ("float", "double") for o in OUTPUTS]

    @cache
    def rows(loss):
        soft = [False, True] if loss in SOFT or loss.startswith("AFT") else [False]
        outputs = [*OUTPUTS, PROBA] if loss in SOFT else OUTPUTS
        return [
            rowwise(loss, real, o, s, True)
            for real in ("float", "double")
            for o in outputs
            for s in soft
        ]

    @cache
    def text_of(kernels, loss):
        return "".join(text for _, text in kernels(loss))

    def among(kernels, loss, kernel):
        return (kernel[0], text_of(kernels, loss)) if kernel in kernels(loss) else kernel

    monkeypatch.setattr(
        device_losses, "pointwise_kernel", lambda *a: among(points, a[0], pointwise(*a))
    )
    monkeypatch.setattr(device_losses, "rowwise_kernel", lambda *a: among(rows, a[0], rowwise(*a)))


def sample(cls, n, dtype, seed=0, n_classes=4):
    """Targets of every loss's domain, raw predictions, weights."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0, 2, n).astype(dtype)
    if cls in ROWWISE:
        y = rng.integers(0, n_classes, n).astype(dtype)
        return y, rng.normal(0, 2, (n, n_classes)).astype(dtype), weight
    return rng.uniform(0.01, 1, n).astype(dtype), rng.normal(0, 2, n).astype(dtype), weight


def soft(codes, n_classes=4):
    rng = np.random.default_rng(1)
    return soft_targets(len(codes), n_classes, rng).astype(codes.dtype)


def host(x):
    """Results on the host."""
    return [part.get() for part in x] if isinstance(x, tuple) else x.get()


def results(loss, *arrays):
    """What each method gives, as tuples of arrays."""
    methods = ["loss", "gradient", "loss_gradient", "gradient_hessian"]
    if getattr(loss, "takes_probabilities", False):
        methods.append("gradient_proba")
    found = {name: getattr(loss, name)(*arrays) for name in methods}
    return {name: x if isinstance(x, tuple) else (x,) for name, x in found.items()}


class OnDevice:
    """A loss whose methods take and give NumPy's arrays, and compute on a device."""

    def __init__(self, wrapped, xp):
        self._wrapped, self._xp = wrapped, xp

    def __getattr__(self, name):
        attribute = getattr(self._wrapped, name)
        if name not in ("loss", "gradient", "gradient_hessian"):
            return attribute
        return lambda *arrays: host(attribute(*map(self._xp.asarray, arrays)))


def same_error(device, call, *arrays):
    """The error of a call on NumPy's arrays, which the same call on the device's raises too."""
    with pytest.raises((ValueError, TypeError)) as on_host:
        call(*arrays)
    with pytest.raises((ValueError, TypeError)) as there:
        call(*[a if a is None else device.xp.asarray(a) for a in arrays])
    assert there.type is on_host.type
    message = str(on_host.value).replace("must be a NumPy array", "must be an array")
    assert str(there.value).replace("must be a CuPy array", "must be an array") == message


def waits(device, n):
    """Whether the host has waited n times since the last question; nobody counts on a GPU."""
    if device.real:
        return True
    counted, device.counts["sync"] = device.counts["sync"], 0
    return counted == n


class Lender:
    """What another library's array shows of itself."""

    def __init__(self, array, read_only=False):
        self.array, self.read_only = array, read_only

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    @property
    def __cuda_array_interface__(self):
        interface = self.array.__cuda_array_interface__
        return {**interface, "data": (interface["data"][0], self.read_only)}


def take_lenders(device, monkeypatch):
    """Let the stand-in take arrays from a `Lender`, as CuPy does by DLPack."""
    if not device.real:
        take = device.xp.from_dlpack
        monkeypatch.setattr(
            device.xp, "from_dlpack", lambda x: take(x.array if isinstance(x, Lender) else x)
        )


def numpys(x):
    """`x` as NumPy's, wherever it is."""
    return x.get() if hasattr(x, "get") else np.asarray(x)
