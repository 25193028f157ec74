"""The installed package: what it holds, what importing it costs, what it says about itself."""

import os
import subprocess
import sys
from importlib.metadata import distribution, version
from importlib.resources import files
from pathlib import Path

import pytest

import sklearn_losses

ROOT = Path(__file__).resolve().parents[2]
# Not pandas: scikit-learn itself imports it where it is installed.
HEAVY = ["cupy", "torch", "matplotlib", "dask", "xgboost", "lightgbm", "catboost", "numba"]
HEAVY += ["onnx", "skl2onnx", "skops", "shap", "mlflow"]


def test_importing_the_package_imports_no_optional_dependency():
    code = f"import sys, sklearn_losses; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def is_editable():
    text = distribution("sklearn-losses").read_text("direct_url.json") or ""
    return '"editable": true' in text


def test_the_tests_import_the_installed_package():
    package = Path(sklearn_losses.__file__).resolve()
    if is_editable():
        pytest.skip("an editable installation is the source tree")
    assert ROOT / "sklearn_losses" not in package.parents


def test_version_is_that_of_the_distribution():
    assert sklearn_losses.__version__ == version("sklearn-losses")


@pytest.mark.parametrize(
    "header", ["math/functions.h", "losses/pointwise.h", "losses/rowwise.h", "simd/level.h"]
)
def test_headers_are_in_the_installed_package(header):
    # The GPU path reads them at run time.
    text = files("sklearn_losses").joinpath("_kernels", header).read_text(encoding="utf-8")
    assert "namespace sl" in text


def test_the_package_is_marked_as_typed():
    assert files("sklearn_losses").joinpath("py.typed").is_file()


def test_public_names_exist():
    for name in sklearn_losses.__all__:
        assert hasattr(sklearn_losses, name), name


def test_show_versions_says_what_a_bug_report_needs(capsys):
    sklearn_losses.show_versions()
    lines = dict(
        line.split(": ", 1) for line in capsys.readouterr().out.splitlines() if ": " in line
    )
    rows = {name.strip(): value for name, value in lines.items()}
    assert rows["sklearn-losses"] == version("sklearn-losses")
    for name in ("numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl"):
        assert rows[name] == version(name)
    assert rows["SIMD level"] in {"baseline", "x86-64-v3", "x86-64-v4"}
    assert int(rows["threads"]) >= 1
    assert rows["OpenMP"] in {"enabled", "not in this build"}
    assert {"python", "machine", "Cython", "CuPy", "GPU", "OpenMP runtime"} <= rows.keys()


def test_openmp_is_in_this_build_unless_it_was_turned_off():
    if os.environ.get("SKLEARN_LOSSES_OPENMP") == "0":
        pytest.skip("the serial build was asked for")
    if sys.platform != "linux":
        pytest.skip("only Linux's compilers bring OpenMP without an extra installation")
    from sklearn_losses._kernels._threads import openmp_info

    assert openmp_info()["enabled"]
