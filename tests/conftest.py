"""Options of the test suite."""

from sklearn_losses._kernels import _pointwise


def pytest_addoption(parser):
    parser.addoption(
        "--simd-level",
        choices=_pointwise.simd_levels(),
        help="run with the kernels of this instruction set instead of the machine's best",
    )


def pytest_configure(config):
    level = config.getoption("--simd-level")
    if level is not None:
        _pointwise.set_simd_level(level)
