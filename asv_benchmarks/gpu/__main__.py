"""The command: arguments, the suites in turn, the page."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning

import sklearn_losses as sl
from sklearn_losses._array import cupy

from . import __doc__ as ABOUT
from .crossover import crossover
from .fits import fits
from .kernels import kernels
from .peers import torch_on_gpu
from .report import Report
from .sizes import FULL, QUICK
from .timing import copy_bandwidth, free

SUITES = {"kernels": kernels, "fits": fits, "crossover": crossover}


def describe(cp):
    """The device and the software, in words."""
    device = cp.cuda.Device()
    properties = cp.cuda.runtime.getDeviceProperties(device.id)
    capability = str(device.compute_capability)
    driver = "of an unknown version"
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.split()
        driver = found[0] if found else driver
    versions = [cp.cuda.runtime.driverGetVersion(), cp.cuda.runtime.runtimeGetVersion()]
    cuda, runtime = (f"{v // 1000}.{v % 1000 // 10}" for v in versions)
    return (
        f"{properties['name'].decode()}: compute capability {capability[:-1]}.{capability[-1]}, "
        f"{properties['multiProcessorCount']} multiprocessors, "
        f"{properties['totalGlobalMem'] / 2**30:.0f} GiB, "
        f"{properties.get('l2CacheSize', 0) / 2**20:.0f} MiB of L2 cache; driver {driver} "
        f"(CUDA {cuda}), CUDA runtime {runtime}, CuPy {cp.__version__}; sklearn_losses "
        f"{sl.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__}, "
        f"Python {platform.python_version()}; "
        f"{sl.effective_n_threads()} threads on {os.cpu_count()} CPUs; "
        f"{time.strftime('%Y-%m-%d')}."
    )


def main(arguments=None):
    """Exit status: 0; 1 where something failed, which the output names; 2 where there is no GPU."""
    parser = argparse.ArgumentParser(
        prog="python -m asv_benchmarks.gpu", description=ABOUT.splitlines()[0]
    )
    parser.add_argument("--suite", choices=[*SUITES, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--out", metavar="FILE.rst", help="where the page goes")
    parser.add_argument(
        "--seconds", type=float, default=240, help="what is not begun by then is left out"
    )
    given = parser.parse_args(arguments)
    try:
        cp = cupy()
    except (ImportError, RuntimeError) as error:
        print(f"asv_benchmarks.gpu needs a GPU: {error}", file=sys.stderr)
        return 2
    sizes = QUICK if given.quick else FULL
    torch, about_torch = torch_on_gpu()
    about = f"{describe(cp)} {about_torch}."
    if given.quick:
        about += " Sizes are those of --quick: the numbers mean nothing."
    report = Report(about, given.out, given.seconds)
    warnings.simplefilter("ignore", ConvergenceWarning)
    begun = time.monotonic()
    bandwidth = copy_bandwidth(cp, sizes)
    free(cp, torch)
    for name, suite in SUITES.items():
        if given.suite in (name, "all"):
            report.attempt(name, suite, report, cp, torch, sizes, bandwidth)
            free(cp, torch)
    report.write()
    print(f"\n{time.monotonic() - begun:.0f} seconds; {len(report.failures)} failures")
    for failure in report.failures:
        print(f"FAILED {failure}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
