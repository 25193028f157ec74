"""Options of the test suite."""

import pytest

from sklearn_losses._kernels import _pointwise


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


def pytest_configure(config):
    level = config.getoption("--simd-level")
    if level is not None:
        _pointwise.set_simd_level(level)


def pytest_sessionfinish(session):
    if session.config.getoption("--no-skips"):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter.stats.get("skipped"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
