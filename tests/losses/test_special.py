"""The headers' special functions and distributions against 50 digits, over the whole range.

`FUNCTIONS` is the one list: an expression of C++, its definition in exact arithmetic, and where it
is asked. Compiled for one number, for registers, and for a device.
"""

import ctypes
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

import kernels_on_cpu
import numpy as np
import pytest
from mpmath import inf, mp, mpf
from test_headers import KERNELS

HEADER = "math/distributions.h"
# The compiled kinds of numbers, and the dtype of their arrays.
KINDS = {
    "float": ("float", np.float32),
    "double": ("double", np.float64),
    "registers_of_float": ("sl::Pack<float, 32>", np.float32),
    "registers_of_double": ("sl::Pack<double, 32>", np.float64),
}
BOUND = 4  # units of eps, of what a function's scale says


@dataclass
class Function:
    """`definition(x, y)` is exact; `points(rng, n)` are doubles, those of float are rounded.

    `scale`, by default the value, is what the error is measured by.
    """

    code: str
    definition: object
    points: object
    scale: object = None

    @property
    def two(self):
        return "y" in self.code


FUNCTIONS = {}


def wide(rng, n, low=-300, high=3):
    """Magnitudes and signs of every kind."""
    x = rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(low, high, n)
    near = np.concatenate(
        [rng.uniform(-3, 3, n), rng.uniform(-40, 40, n), rng.uniform(-110, 110, n)]
    )
    return np.concatenate([x, near, [0.0, 1.0, -1.0, 0.5, -0.5]])


# ----------------------------------------------------------------------------------- distributions


class Logistic:
    limit = 750

    @staticmethod
    def log_density(z):
        return -abs(z) - 2 * mp.log1p(mp.exp(-abs(z)))

    @staticmethod
    def cdf(z):
        return 1 / (1 + mp.exp(-z))

    @classmethod
    def survival(cls, z):
        return cls.cdf(-z)

    @classmethod
    def score(cls, z):
        return -mp.tanh(z / 2)

    @classmethod
    def bend(cls, z):
        return 2 * cls.cdf(z) * cls.cdf(-z)


class ExtremeValue:
    limit = 750

    @staticmethod
    def log_density(z):
        return z - mp.exp(z)

    @staticmethod
    def cdf(z):
        return -mp.expm1(-mp.exp(z))

    @staticmethod
    def survival(z):
        return mp.exp(-mp.exp(z))

    @staticmethod
    def score(z):
        return -mp.expm1(z)

    @staticmethod
    def bend(z):
        return mp.exp(z)


DISTRIBUTIONS = [Logistic, ExtremeValue]


def density(law, z):
    return mp.exp(law.log_density(z)) if mp.isfinite(z) else mpf(0)


def one_of(law):
    """The exact functions of z, by their names in the header."""

    def curvature(sign, tail):
        # minus the second derivative of log F is (f / F)^2 - f' / F, and of log(1 - F) with + f'
        def f(z):
            h = density(law, z) / tail(z)
            return h * (h + sign * law.score(z))

        return f

    return {
        "log_density": law.log_density,
        "score": law.score,
        "log_cdf": lambda z: log_of_part(law.cdf(z), law.survival(z)),
        "log_survival": lambda z: log_of_part(law.survival(z), law.cdf(z)),
        "hazard": lambda z: density(law, z) / law.survival(z),
        "reverse_hazard": lambda z: density(law, z) / law.cdf(z),
        "density_curvature": law.bend,
        "survival_curvature": curvature(1, law.survival),
        "cdf_curvature": curvature(-1, law.cdf),
    }


def log_of_part(part, rest):
    return mp.log1p(-rest) if rest < part else mp.log(part)


def interval_of(law):
    """The exact parts of `Interval`, each a function of both ends."""

    def mass(a, b):
        # the smaller tail's difference: the other one's is 1 - 1 where both are far out
        return law.cdf(b) - law.cdf(a) if a + b < 0 else law.survival(a) - law.survival(b)

    def slope(a, b):
        return (density(law, b) - density(law, a)) / mass(a, b)

    def bend(a, b):
        second = [density(law, z) * law.score(z) if mp.isfinite(z) else mpf(0) for z in (a, b)]
        return slope(a, b) ** 2 - (second[1] - second[0]) / mass(a, b)

    return {
        "log": lambda a, b: log_of_part(mass(a, b), law.cdf(a) + law.survival(b)),
        "lower": lambda a, b: density(law, a) / mass(a, b),
        "upper": lambda a, b: density(law, b) / mass(a, b),
        "slope": slope,
        "curvature": bend,
    }


def ends(law):
    """Intervals from very narrow to unbounded ones."""

    def points(rng, n):
        middle = np.concatenate([rng.uniform(-c, c, n) for c in (2, 6, 30, 90)])
        half = 10.0 ** rng.uniform(-9, 2, 4 * n)
        a, b = middle - half, middle + half
        tiny = 10.0 ** rng.uniform(-300, -1, n)
        a = np.concatenate([a, middle[: 2 * n], np.full(2 * n, -np.inf), -tiny, tiny, [-np.inf]])
        b = np.concatenate([b, np.full(2 * n, np.inf), middle[: 2 * n], tiny, 3 * tiny, [np.inf]])
        return a, b

    return points


# Functions with a zero at no simple place, near which they keep the digits of this.
def of_ends(law):
    parts = interval_of(law)
    return lambda a, b: min(1, max(abs(a), abs(b)), parts["lower"](a, b), parts["upper"](a, b))


SCALES = {"ExtremeValue.interval.slope": of_ends(ExtremeValue)}

for law in DISTRIBUTIONS:
    name = law.__name__
    for part, f in one_of(law).items():
        FUNCTIONS[f"{name}.{part}"] = Function(f"sl::{name}<V>::{part}(x)", f, wide)
    for part, f in interval_of(law).items():
        FUNCTIONS[f"{name}.interval.{part}"] = Function(
            f"sl::{name}<V>::interval(x, y).{part}",
            f,
            ends(law),
            SCALES.get(f"{name}.interval.{part}"),
        )


# --------------------------------------------------------------------------------------- compiling

CPU_TEXT = """
#include "simd/lanes.h"
using sl::Index;
#define FUNCTION(NAME, TYPE, CODE) \\
    extern "C" void NAME(const sl::Real<TYPE>* a, const sl::Real<TYPE>* b, sl::Real<TYPE>* out, Index n) { \\
        using V = TYPE; \\
        for (Index i = 0; i < n; i += sl::Register<V>::N) { \\
            const V x = sl::load<V>(a + i), y = sl::load<V>(b + i); \\
            (void)y; \\
            sl::store<V>(out + i, CODE); \\
        } \\
    }
"""
DEVICE_TEXT = """
#define FUNCTION(NAME, TYPE, CODE) \\
    extern "C" __global__ void NAME(const TYPE* a, const TYPE* b, TYPE* out, int n) { \\
        using V = TYPE; \\
        for (int i = 0; i < n; ++i) { \\
            const V x = a[i], y = b[i]; \\
            (void)y; \\
            out[i] = CODE; \\
        } \\
    }
"""


def symbol(name, kind):
    return f"{name}_{kind}".replace(".", "_")


def lines(kinds):
    return "".join(
        f"using T_{kind} = {KINDS[kind][0]};\n"
        + "".join(
            f"FUNCTION({symbol(name, kind)}, T_{kind}, ({f.code}))\n"
            for name, f in FUNCTIONS.items()
        )
        for kind in kinds
    )


@cache
def library():
    """The functions for the CPU, with the flags of the extensions but for the level."""
    compiler = kernels_on_cpu.compiler()
    if compiler is None:
        pytest.skip("g++ is not installed")
    text = f'#include "{HEADER}"\n' + CPU_TEXT + lines(KINDS)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "special.so")
        flags = ["-std=c++17", "-O1", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
        command = [compiler, *flags, "-shared", "-fPIC", f"-I{KERNELS}", "-x", "c++", "-"]
        done = subprocess.run(
            [*command, "-o", str(made)], input=text, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[:4000]
        return ctypes.CDLL(str(made))


def call(name, kind, x, y=None):
    """The function of a kind at arrays of any length."""
    dtype = KINDS[kind][1]
    n = len(x)
    arrays = np.zeros((3, n + -n % 16), dtype)
    arrays[0, :n] = x
    arrays[1, :n] = 1 if y is None else y
    getattr(library(), symbol(name, kind))(
        *[ctypes.c_void_p(row.ctypes.data) for row in arrays], ctypes.c_ssize_t(arrays.shape[1])
    )
    return arrays[2, :n]


# ------------------------------------------------------------------------------------------- tests


@cache
def cases(name, dtype, n=40):
    """Points of a function, rounded to the dtype, with what is true there and its scale."""
    f = FUNCTIONS[name]
    points = f.points(np.random.default_rng(crc32(name.encode())), n)
    points = np.atleast_2d(np.asarray(points, float)).astype(dtype).astype(float)
    if f.two:
        points = points[:, points[0] < points[1]] if "interval" in name else points
    trues, scales = [], []
    for point in points.T:
        magnitude = max([abs(v) for v in point if np.isfinite(v)], default=0)
        smallest = min([abs(v) for v in point if v], default=1)
        with mp.workdps(int(120 + magnitude - 2 * np.log10(min(smallest, 1)))):
            exact = [mpf(v) for v in point]
            true = mpf(f.definition(*exact))
            scales.append(max(abs(true), abs(f.scale(*exact)) if f.scale else 0))
            trues.append(true)
    return points.astype(dtype), trues, scales


def errors(out, trues, scales, dtype):
    """In units of eps of the scale, beyond what the smallest numbers allow."""
    info = np.finfo(dtype)
    result = []
    for got, true, scale in zip(out, trues, scales, strict=True):
        if abs(true) > mpf(float(info.max)):
            result.append(0.0 if got == mp.sign(true) * inf else inf)
        elif not np.isfinite(got):
            result.append(inf)
        else:
            least = 2 * mpf(float(info.smallest_subnormal))
            error = max(abs(mpf(float(got)) - true) - least, 0)
            result.append(float(error / (scale * mpf(float(info.eps))) if error else 0))
    return np.array(result)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_keep_their_digits(name, kind):
    dtype = KINDS[kind][1]
    points, trues, scales = cases(name, dtype)
    out = call(name, kind, *points)
    error = errors(out, trues, scales, dtype)
    worst = int(np.argmax(error))
    assert error[worst] <= BOUND, (points[:, worst], out[worst], mp.nstr(trues[worst], 20))
