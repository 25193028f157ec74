"""The compiled extensions, and nothing else: all other settings stand in pyproject.toml.

Environment variables read at build time:

SKLEARN_LOSSES_OPENMP=0     build without OpenMP (every kernel runs on one thread)
SKLEARN_LOSSES_SANITIZE=1   build with gcc's or clang's address and undefined-behaviour sanitizers
"""

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = "sklearn_losses/_kernels"
MODULES = [
    "_threads",
    "losses._pointwise",
    "losses._rowwise",
    "losses._cox",
    "losses._ranking",
    "fit._penalties",
    "fit.columns",
    "fit.design",
    "fit.optimizers",
    "fit.one_sample",
    "fit.quadratic",
    "fit.engines",
]

# No -ffast-math: NaN and infinity must keep their meaning. No -march=native: a wheel runs on other
# machines than the one that built it; simd.h clones the hot loops for wider instruction sets.
UNIX_FLAGS = [
    "-std=c++17",
    "-O3",
    "-g0",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-Wno-psabi",  # how wide vectors are passed: every function that takes one is inlined
]
# Untested: nobody has built this with MSVC yet.
MSVC_FLAGS = ["/std:c++17", "/O2"]
# Of single modules. In the loop over the steps GCC would pack scalars of one step's chain into
# registers, and wait for them to be packed and unpacked.
UNIX_FLAGS_OF = {"one_sample": ["-fno-tree-slp-vectorize"]}
SANITIZE_FLAGS = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"]

OPENMP_PROGRAM = """
#include <omp.h>
int main() {
    int n = 0;
    #pragma omp parallel for reduction(+:n)
    for (int i = 0; i < 8; ++i) n += i;
    return n == 28 && omp_get_max_threads() > 0 ? 0 : 1;
}
"""


def openmp_flags(compiler_type):
    """Compile and link flags that turn OpenMP on."""
    if compiler_type == "msvc":
        return ["/openmp:llvm"], []
    if sys.platform == "darwin":  # Apple's clang: the runtime is libomp, from Homebrew or conda
        return ["-Xpreprocessor", "-fopenmp"], ["-lomp"]
    return ["-fopenmp"], ["-fopenmp"]


@contextmanager
def silence():
    """Hide what a failing compiler prints: the probe says the result in a line of its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with open(os.devnull, "w") as null:
        try:
            os.dup2(null.fileno(), 1)
            os.dup2(null.fileno(), 2)
            yield
        finally:
            for fd, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, fd)
                os.close(copy)


def has_openmp(compiler):
    """Whether `compiler` can compile and link a program that uses OpenMP."""
    compile_flags, link_flags = openmp_flags(compiler.compiler_type)
    with tempfile.TemporaryDirectory() as folder, silence():
        source = Path(folder, "probe.cpp")
        source.write_text(OPENMP_PROGRAM)
        try:
            objects = compiler.compile(
                [str(source)], output_dir=folder, extra_postargs=compile_flags
            )
            compiler.link_executable(
                objects,
                str(Path(folder, "probe")),
                extra_postargs=link_flags,
                target_lang="c++",
            )
        except Exception:  # CompileError, LinkError, or no such compiler: the build goes on serial
            return False
    return True


def stamp_of(flags):
    """A file that changes when the flags do, so that a sanitized build reuses no other one."""
    path = Path("build", "flags.txt")
    path.parent.mkdir(exist_ok=True)
    text = "\n".join(flags)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return str(path)


class BuildKernels(build_ext):
    """Cythonize when extensions are built (not for metadata), in parallel, with probed flags."""

    def finalize_options(self):
        if self.distribution.ext_modules:
            from Cython.Build import cythonize

            self.distribution.ext_modules[:] = cythonize(
                self.distribution.ext_modules,
                language_level=3,
                compiler_directives={
                    "boundscheck": False,
                    "wraparound": False,
                    "initializedcheck": False,
                    "cdivision": True,
                },
            )
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count()

    def build_extensions(self):
        import numpy

        msvc = self.compiler.compiler_type == "msvc"
        compile_flags, link_flags = (list(MSVC_FLAGS), []) if msvc else (list(UNIX_FLAGS), [])
        if os.environ.get("SKLEARN_LOSSES_OPENMP", "1") == "0":
            print("sklearn_losses: SKLEARN_LOSSES_OPENMP=0, building without OpenMP")
        elif has_openmp(self.compiler):
            extra_compile, extra_link = openmp_flags(self.compiler.compiler_type)
            compile_flags += extra_compile
            link_flags += extra_link
        else:
            print("sklearn_losses: this compiler cannot link OpenMP, building without it")
        if os.environ.get("SKLEARN_LOSSES_SANITIZE", "0") == "1":
            compile_flags += SANITIZE_FLAGS
            link_flags += SANITIZE_FLAGS[:1]
        stamp = stamp_of([str(vars(self.compiler).get("compiler_so")), *compile_flags, *link_flags])
        for extension in self.extensions:
            extension.depends.append(stamp)
            extension.include_dirs.append(numpy.get_include())
            own_flags = [] if msvc else UNIX_FLAGS_OF.get(extension.name.split(".")[-1], [])
            extension.extra_compile_args = compile_flags + own_flags
            extension.extra_link_args = link_flags
        super().build_extensions()


def extensions():
    included = [str(p) for p in sorted(Path(KERNELS).rglob("*")) if p.suffix in (".h", ".pxd")]
    return [
        Extension(
            f"sklearn_losses._kernels.{name}",
            [f"{KERNELS}/{name.replace('.', '/')}.pyx"],
            language="c++",
            include_dirs=[KERNELS],
            depends=included,
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        )
        for name in MODULES
    ]


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildKernels})
