"""Options of the test suite, and the device that the tests of the GPU run on."""

import importlib
from collections import defaultdict
from types import SimpleNamespace

import pytest
from covering import covering

from sklearn_losses._kernels.losses import _pointwise


def pytest_addoption(parser):
    parser.addoption(
        "--simd-level",
        choices=_pointwise.simd_levels(),
        help="run with the kernels of this instruction set instead of the machine's best",
    )
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail where a test was skipped: what it needs has to be installed",
    )
    parser.addoption(
        "--gpu",
        action="store_true",
        help="run the tests of the GPU on one, through CuPy, instead of on the CPU",
    )


def pytest_configure(config):
    level = config.getoption("--simd-level")
    if level is not None:
        _pointwise.set_simd_level(level)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items):
    products = defaultdict(list)
    for item in items:
        if item.get_closest_marker("pairwise"):
            slow = item.get_closest_marker("slow") is not None
            products[item.path, item.originalname, slow].append(item)
    for cases in products.values():
        # A value's number is that of the first case that has it: not every value can be compared.
        first = {}
        values = [
            {name: first.setdefault((name, id(value)), k) for name, value in params.items()}
            for k, params in enumerate(item.callspec.params for item in cases)
        ]
        kept = set(covering(values))
        for k, item in enumerate(cases):
            if k not in kept:
                item.add_marker(pytest.mark.slow)
                item.add_marker(pytest.mark.exhaustive)


def pytest_sessionfinish(session):
    if session.config.getoption("--no-skips"):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and reporter.stats.get("skipped"):  # a worker's has none
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def device(request, monkeypatch):
    """CuPy, or its stand-in over the CPU: `xp`, `sparse` and `special` are the modules, `real` says
    which of the two they are. The stand-in also has `counts`, what the host did, and `settings`."""
    real = request.config.getoption("--gpu")
    if real:
        xp = pytest.importorskip("cupy", reason="CuPy is not installed")
        if not xp.cuda.is_available():
            pytest.skip("CuPy finds no device")
        counts = settings = None
    else:
        import cuda_on_cpu
        import cupy_on_cpu
        import kernels_on_cpu

        if kernels_on_cpu.compiler() is None:
            pytest.skip("g++ is not installed, which compiles the kernels for the CPU")
        xp = cupy_on_cpu.install(monkeypatch)
        counts, settings = cuda_on_cpu.counts, cuda_on_cpu.settings
    yield SimpleNamespace(
        xp=xp,
        sparse=importlib.import_module("cupyx.scipy.sparse"),
        special=importlib.import_module("cupyx.scipy.special"),
        real=real,
        counts=counts,
        settings=settings,
    )
    try:
        from sklearn_losses._kernels.device import kernels
    except ImportError:
        return
    kernels.forget()


@pytest.fixture
def xp(device):
    return device.xp


@pytest.fixture
def stand_in(device):
    if device.real:
        pytest.skip("of the stand-in alone")
    return device


@pytest.fixture
def together(device, monkeypatch):
    """The same, with all kernels of a loss in one text: compiled one by one they take minutes."""
    from on_device import compile_together

    compile_together(monkeypatch)
    return device
