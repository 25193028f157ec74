"""The headers' special functions and distributions against 50 digits, over the whole range.

`FUNCTIONS` is the one list: an expression of C++, its definition in exact arithmetic, and where it
is asked. Compiled for one number, for registers, and for a device.
"""

import ctypes
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache, partial
from math import inf
from pathlib import Path
from zlib import crc32

import kernels_on_cpu
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_equal
from test_headers import KERNELS, compile_ptx

from sklearn_losses._kernels.device import kernels as device_kernels
from sklearn_losses._kernels.losses._pointwise import simd_levels

HEADERS = ["math/distributions.h", "math/gamma.h"]
# The compiled kinds of numbers, and the dtype of their arrays.
KINDS = {
    "float": ("float", np.float32),
    "double": ("double", np.float64),
    "registers_of_float": ("sl::Pack<float, 32>", np.float32),
    "registers_of_double": ("sl::Pack<double, 32>", np.float64),
}


def digits_of_exponentials(point):
    largest = max([abs(v) for v in point if np.isfinite(v)], default=0)
    smallest = min([abs(v) for v in point if v], default=1)
    return 120 + largest - 2 * np.log10(min(smallest, 1))


def digits_of_powers(point):
    return 60 + 2 * sum(abs(np.log10(abs(v))) for v in point if v)


@dataclass
class Function:
    """`definition(x, y)` is exact; `points(rng, n)` are doubles, those of float are rounded.

    `scale`, by default the value, is what the error is measured by, and `bound` in units of eps.
    `digits` is the precision that the definition needs at a point.
    """

    code: str
    definition: object
    points: object
    scale: object = None
    bound: float = 4
    digits: object = staticmethod(digits_of_exponentials)

    @property
    def header(self):
        return HEADERS["gamma" in self.code]

    @property
    def two(self):
        return "x, y" in self.code


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


class Normal:
    @staticmethod
    def log_density(z):
        return -(z**2) / 2 - mp.log(2 * mp.pi) / 2

    @staticmethod
    def cdf(z):
        return mp.erfc(-z / mp.sqrt(2)) / 2

    @classmethod
    def survival(cls, z):
        return cls.cdf(-z)

    @staticmethod
    def score(z):
        return -z

    @staticmethod
    def bend(z):
        return mpf(1)


DISTRIBUTIONS = [Logistic, ExtremeValue, Normal]


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
        half = 10.0 ** rng.uniform(-16, 2, 4 * n)
        a, b = middle - half, middle + half
        tiny = 10.0 ** rng.uniform(-300, -1, n)
        a = np.concatenate([a, middle[: 2 * n], np.full(2 * n, -np.inf), -tiny, tiny])
        b = np.concatenate([b, np.full(2 * n, np.inf), middle[: 2 * n], tiny, 3 * tiny])
        # widths that are subnormal in either format
        return np.append(a, [-np.inf, -1e-40, -1e-310]), np.append(b, [np.inf, 2e-40, 2e-310])

    return points


# Functions with a zero at no simple place, near which they keep the digits of this.
def of_ends(law):
    parts = interval_of(law)
    return lambda a, b: min(1, max(abs(a), abs(b)), parts["lower"](a, b), parts["upper"](a, b))


SCALES = {"ExtremeValue.interval.slope": of_ends(ExtremeValue)}
# Products and quotients of several fits.
BOUNDS = dict.fromkeys(
    ["Normal.cdf_curvature", "Normal.survival_curvature", "Normal.interval.curvature"], 8
)

for law in DISTRIBUTIONS:
    name = law.__name__
    for part, f in one_of(law).items():
        code = f"sl::{name}<V>::{part}(x)"
        FUNCTIONS[f"{name}.{part}"] = Function(code, f, wide, bound=BOUNDS.get(f"{name}.{part}", 4))
    for part, f in interval_of(law).items():
        code, full = f"sl::{name}<V>::interval(x, y).{part}", f"{name}.interval.{part}"
        FUNCTIONS[full] = Function(code, f, ends(law), SCALES.get(full), BOUNDS.get(full, 4))


def erfcx(x):
    return mp.exp(x * x) * mp.erfc(x)


FUNCTIONS |= {
    "erfcx": Function("sl::erfcx_<V>(x)", erfcx, wide),
    "ndtr": Function("sl::ndtr_<V>(x)", Normal.cdf, wide),
    "log_ndtr": Function("sl::log_ndtr_<V>(x)", one_of(Normal)["log_cdf"], wide),
    "mills": Function("sl::mills_<V>(x)", one_of(Normal)["reverse_hazard"], wide),
}

# ---------------------------------------------------------------------------------- gamma function


def positive(rng, n):
    """Of every magnitude, and near the zeros at 1, 1.46 and 2."""
    zeros = np.array([1.0, 1.4616321449683623, 2.0, 0.75, 2.5, 3.0])
    near = zeros + 10.0 ** rng.uniform(-16, -1, (n, 1)) * rng.choice([-1.0, 1.0], (n, 1))
    return np.concatenate(
        [10.0 ** rng.uniform(-30, 30, n), rng.uniform(0, 4, 2 * n), near.ravel(), zeros]
    )


def steps(rng, n):
    """y, theta: counts and real numbers, theta over the whole range and where the series begin."""
    y = [rng.integers(0, 20, n), rng.poisson(10.0 ** rng.uniform(0, 6, n)), rng.gamma(1, 1, n)]
    y = np.concatenate([*y, 10.0 ** rng.uniform(-20, 35, n)])
    theta = np.concatenate([10.0 ** rng.uniform(-30, 30, 2 * n), rng.uniform(0.01, 6, 2 * n)])
    begin = [[0.05, 0.05, 1.0], [2.999, 3.0, 3.0]]
    return np.concatenate([[rng.permutation(y), theta], begin], axis=1)


def step_of(order):
    def f(y, theta):
        return mp.psi(order, y + theta) - mp.psi(order, theta)

    return f


def lgamma_step(y, theta):
    return mp.loggamma(y + theta) - mp.loggamma(theta)


def lgamma_condition(y, theta):
    """By how much the value changes with relative changes of both arguments."""
    return abs(theta * step_of(0)(y, theta)) + abs(y * mp.psi(0, y + theta))


def gamma_function(code, definition, points, scale=None):
    return Function(code, definition, points, scale, digits=digits_of_powers)


FUNCTIONS |= {
    "lgamma": gamma_function("sl::lgamma_<V>(x)", mp.loggamma, positive),
    "digamma": gamma_function("sl::digamma_<V>(x)", mp.digamma, positive),
    "trigamma": gamma_function("sl::trigamma_<V>(x)", lambda x: mp.psi(1, x), positive),
    "lgamma_ratio": gamma_function(
        "sl::lgamma_ratio_<V>(x, y)", lgamma_step, steps, lgamma_condition
    ),
    "digamma_ratio": gamma_function("sl::digamma_ratio_<V>(x, y)", step_of(0), steps),
    "trigamma_ratio": gamma_function(
        "sl::trigamma_ratio_<V>(x, y)", lambda y, theta: -step_of(1)(y, theta), steps
    ),
}

# --------------------------------------------------------------------------------------- compiling

CPU_TEXT = """
#include "simd/lanes.h"
using sl::Index;
#define FUNCTION(NAME, TYPE, CODE) \\
    extern "C" void NAME( \\
        const sl::Real<TYPE>* a, const sl::Real<TYPE>* b, sl::Real<TYPE>* out, Index n) { \\
        using V = TYPE; \\
        for (Index i = 0; i < n; i += sl::Register<V>::N) { \\
            const V x = sl::load<V>(a + i), y = sl::load<V>(b + i); \\
            (void)y; \\
            sl::store<V>(out + i, CODE); \\
        } \\
    }
"""
# No macro: the stand-in for a device looks for the kernels in the text.
DEVICE_TEXT = """
extern "C" __global__ void {name}(const {type}* a, const {type}* b, {type}* out, int n) {{
    using V = {type};
    for (int i = 0; i < n; ++i) {{
        const V x = a[i], y = b[i];
        (void)y;
        out[i] = {code};
    }}
}}
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


# The instruction sets that change roundings: with fused multiply-adds a * b + c has one.
LEVELS = {"baseline": [], "x86-64-v3": ["-mavx2", "-mfma"]}


@cache
def library(level):
    """The functions for the CPU, with the flags of the extensions but for the optimisation."""
    compiler = kernels_on_cpu.compiler()
    if compiler is None:
        pytest.skip("g++ is not installed")
    text = "".join(f'#include "{header}"\n' for header in HEADERS) + CPU_TEXT + lines(KINDS)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "special.so")
        flags = ["-std=c++17", "-O1", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
        command = [
            compiler,
            *flags,
            *LEVELS[level],
            "-shared",
            "-fPIC",
            f"-I{KERNELS}",
            "-x",
            "c++",
            "-",
        ]
        done = subprocess.run(
            [*command, "-o", str(made)], input=text, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[:4000]
        return ctypes.CDLL(str(made))


def call(name, kind, x, y=None, level="baseline"):
    """The function of a kind at arrays of any length."""
    dtype = KINDS[kind][1]
    n = len(x)
    arrays = np.zeros((3, n + -n % 16), dtype)
    arrays[0, :n] = x
    arrays[1, :n] = 1 if y is None else y
    getattr(library(level), symbol(name, kind))(
        *[ctypes.c_void_p(row.ctypes.data) for row in arrays], ctypes.c_ssize_t(arrays.shape[1])
    )
    return arrays[2, :n]


# ------------------------------------------------------------------------------------------- tests


@cache
def cases(name, dtype, n):
    """Points of a function, rounded to the dtype, with what is true there and its scale."""
    f = FUNCTIONS[name]
    points = f.points(np.random.default_rng(crc32(name.encode())), n)
    points = np.atleast_2d(np.asarray(points, float)).astype(dtype).astype(float)
    if f.two:
        points = points[:, points[0] < points[1]] if "interval" in name else points
    trues, scales = [], []
    for point in points.T:
        with mp.workdps(int(f.digits(point))):
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


def check(name, kind, n, out_of=call):
    dtype = KINDS[kind][1]
    points, trues, scales = cases(name, dtype, n)
    out = out_of(name, kind, *points)
    error = errors(out, trues, scales, dtype)
    worst = int(np.argmax(error))
    said = (points[:, worst], out[worst], mp.nstr(trues[worst], 20))
    assert error[worst] <= FUNCTIONS[name].bound, said


FEW, MANY = 12, 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_keep_their_digits(name, kind):
    check(name, kind, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_keep_their_digits_at_many_points(name, kind, level):
    if level not in simd_levels():
        pytest.skip("not an instruction set of this machine")
    check(name, kind, MANY, partial(call, level=level))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_gives_nan(name, kind):
    n = 2 if FUNCTIONS[name].two else 1
    for at in range(n):
        point = [[-0.5], [1.5]][:n] if "gamma" not in name else [[2.0], [1.5]][:n]
        assert np.isfinite(call(name, kind, *point)).all()
        point[at] = [np.nan]
        assert np.isnan(call(name, kind, *point)).all()


# An argument, or two, and the limit there.
LIMITS = {
    "log_density": {-inf: -inf, inf: -inf},
    "log_cdf": {-inf: -inf, inf: 0},
    "log_survival": {-inf: 0, inf: -inf},
    "erfcx": {-inf: inf, inf: 0, -27.0: inf},
    "ndtr": {-inf: 0, inf: 1},
    "log_ndtr": {-inf: -inf, inf: 0},
    "mills": {-inf: inf, inf: 0},
    "Normal.cdf_curvature": {-inf: 1, inf: 0},
    "Normal.survival_curvature": {-inf: 0, inf: 1},
    "Logistic.hazard": {-inf: 0, inf: 1},
    "Logistic.score": {-inf: 1, inf: -1},
    "ExtremeValue.hazard": {-inf: 0, inf: inf},
    "ExtremeValue.reverse_hazard": {-inf: 1, inf: 0},
    "ExtremeValue.cdf_curvature": {-inf: 0, inf: 0},
    "interval.log": {(-inf, inf): 0},
    "interval.lower": {(-inf, inf): 0, (-inf, 1.0): 0},
    "interval.upper": {(-inf, inf): 0, (-1.0, inf): 0},
    "interval.slope": {(-inf, inf): 0},
    "interval.curvature": {(-inf, inf): 0},
    "Normal.interval.log": {(1e30, inf): -5e59, (-inf, -1e30): -5e59, (1e200, inf): -inf},
    "Normal.interval.lower": {(1e30, inf): 1e30, (1e200, inf): 1e200, (-inf, -1e30): 0},
    "Normal.interval.upper": {(1e30, inf): 0, (1e200, inf): 0, (-inf, -1e30): 1e30},
    "Normal.interval.slope": {(1e30, inf): -1e30, (1e200, inf): -1e200, (-inf, -1e30): 1e30},
    "Normal.interval.curvature": {(1e30, inf): 1, (1e200, inf): 1, (-inf, -1e30): 1},
    "lgamma": {0.0: inf, inf: inf, -1.5: np.nan},
    "digamma": {0.0: -inf, inf: inf, -1.5: np.nan},
    "trigamma": {0.0: inf, inf: 0, -1.5: np.nan},
    "lgamma_ratio": {
        (0.0, 1e-30): 0,
        (0.0, 2.0): 0,
        (0.0, 1e30): 0,
        (3.0, 0.0): -inf,
        (inf, 2.0): inf,
    },
    "digamma_ratio": {(0.0, 1e-30): 0, (0.0, 1e30): 0, (3.0, 0.0): inf, (inf, 2.0): inf},
    "trigamma_ratio": {(0.0, 1e-10): 0, (0.0, 1e30): 0, (3.0, 0.0): inf, (inf, inf): 0},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", LIMITS)
def test_ends_of_the_range_have_the_limits(ending, kind):
    named = [name for name in FUNCTIONS if name == ending or name.endswith("." + ending)]
    assert named
    info = np.finfo(KINDS[kind][1])
    largest = float(info.max)
    for name in named:
        for point, limit in LIMITS[ending].items():
            # 1e200 is for double alone
            if any(largest < abs(v) < inf for v in np.atleast_1d(point)):
                continue
            out = call(name, kind, *np.atleast_1d(point)[:, None])
            limit = limit * inf if abs(limit) > largest else limit
            assert_allclose(
                out, [float(limit)], rtol=4 * info.eps, atol=0, err_msg=f"{name}{point}"
            )


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n.endswith("interval.log")])
def test_an_interval_without_an_inside_has_no_probability(name):
    assert_equal(call(name, "double", [1.0, -3.0], [1.0, -3.0]), [-np.inf, -np.inf])


# ---------------------------------------------------------------------------------------- devices

DEVICE_KINDS = ["float", "double"]


def kernels_of(header):
    return "".join(
        DEVICE_TEXT.format(name=symbol(name, kind), type=kind, code=f.code)
        for name, f in FUNCTIONS.items()
        if f.header == header
        for kind in DEVICE_KINDS
    )


@pytest.mark.parametrize("header", HEADERS)
def test_headers_compile_for_a_device(header):
    text = kernels_of(header)
    ptx = compile_ptx(device_kernels.source_of(header) + text)
    assert ptx.count(".entry") == text.count("__global__") > 0


def on_device(xp):
    """`call` on a device."""

    def call(name, kind, x, y=None):
        header, dtype = FUNCTIONS[name].header, KINDS[kind][1]
        out = xp.empty(len(x), dtype)
        arrays = [xp.asarray(np.asarray(v, dtype)) for v in (x, x if y is None else y)]
        run = device_kernels.compiled(header, kernels_of(header))(symbol(name, kind))
        run((1,), (1,), (*arrays, out, np.int32(len(x))))
        return xp.asnumpy(out)

    return call


@pytest.mark.parametrize("kind", DEVICE_KINDS)
def test_functions_keep_their_digits_on_a_device(kind, xp):
    for name in FUNCTIONS:
        check(name, kind, FEW, on_device(xp))
