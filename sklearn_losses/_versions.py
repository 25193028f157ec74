"""What a bug report needs to say."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

DEPENDENCIES = (
    "sklearn-losses",
    "numpy",
    "scipy",
    "scikit-learn",
    "joblib",
    "threadpoolctl",
    "Cython",
    "setuptools",
    "pip",
)


def _version(distribution):
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cupy():
    """Version and device lines; CuPy is imported only where it is installed."""
    for distribution in ("cupy-cuda13x", "cupy-cuda12x", "cupy"):
        found = _version(distribution)
        if found is not None:
            break
    else:
        return None, "not looked for: CuPy is not installed"
    try:
        import cupy

        properties = cupy.cuda.runtime.getDeviceProperties(0)
        n_devices = cupy.cuda.runtime.getDeviceCount()
        capability = f"compute capability {properties['major']}.{properties['minor']}"
        device = f"{properties['name'].decode()} ({capability}), {n_devices} found"
    except Exception as error:  # no driver, no device, a broken installation: say which
        device = f"none usable: {type(error).__name__}: {error}".splitlines()[0]
    return f"{found} ({distribution})", device


def _sections():
    from sklearn_losses._kernels._threads import openmp_info
    from sklearn_losses._kernels.losses._pointwise import simd_level

    cupy, gpu = _cupy()
    openmp = openmp_info()
    system = {
        "python": sys.version.replace("\n", " "),
        "executable": sys.executable,
        "machine": platform.platform(),
    }
    dependencies = {name: _version(name) for name in DEPENDENCIES} | {"CuPy": cupy}
    kernels = {
        "SIMD level": simd_level(),
        "OpenMP": "enabled" if openmp["enabled"] else "not in this build",
        "OpenMP runtime": openmp["runtime"],
        "OpenMP version": openmp["version"] or openmp["specification"],
        "OpenMP library": openmp["library"],
        "threads": openmp["max_threads"],
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "GPU": gpu,
    }
    return {"System": system, "Python dependencies": dependencies, "Kernels": kernels}


def show_versions():
    """Print the versions, the OpenMP runtime, the SIMD level and the GPU that are in use.

    Paste the output into a bug report.

    Examples
    --------
    >>> import sklearn_losses
    >>> sklearn_losses.show_versions()  # doctest: +SKIP
    """
    for title, rows in _sections().items():
        print(f"\n{title}:")
        width = max(map(len, rows))
        for name, value in rows.items():
            print(f"{name:>{width}}: {value}")
