"""The headers compile without a warning: for the CPU with g++ and clang++, for the GPU with NVRTC.

No test here needs a GPU: NVRTC comes from the wheel nvidia-cuda-nvrtc and produces PTX.
"""

import ctypes
import re
import shutil
import subprocess
import sysconfig
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from sklearn_losses._kernels.device import kernels as device_kernels
from sklearn_losses._kernels.device import losses as device_losses
from sklearn_losses._kernels.device import problem, steps

KERNELS = files("sklearn_losses").joinpath("_kernels")
HEADERS = sorted(path.relative_to(KERNELS).as_posix() for path in KERNELS.rglob("*.h"))
TYPES = ["float", "double"]


def text(header):
    return KERNELS.joinpath(header).read_text(encoding="utf-8")


def listed(header, macro):
    """Names in the one list of a header."""
    joined = text(header).replace("\\\n", " ")
    line = re.search(rf"#define {macro}\(X\)(.*)", joined).group(1)
    return re.findall(r"X\((\w+)\)", line)


POINTWISE = listed("losses/pointwise.h", "SL_POINTWISE_LIST")
ROWWISE = listed("losses/rowwise.h", "SL_ROWWISE_LIST")
OPTIMIZERS = listed("fit/optimizers.h", "SL_OPTIMIZER_LIST")

# Every struct of the lists, and every clone of the loops over them.
CPU_PROGRAM = """
#include "fit/step.h"
#include "fit/columns.h"
#include "fit/design.h"
#include "fit/quadratic.h"
#include "math/distributions.h"
#include "math/functions.h"
#include "math/gamma.h"
#include "fit/moves.h"
#include "fit/order.h"
#include "fit/optimizers.h"
#include "fit/penalties.h"
#include "losses/concordance.h"
#include "losses/cox.h"
#include "losses/pointwise.h"
#include "losses/ranking.h"
#include "losses/rowwise.h"
#include "fit/one_sample.h"
#include "losses/tables.h"
#include "simd/level.h"
#include "simd/transpose.h"
#define STRUCT(Loss) template struct sl::Loss<float>; template struct sl::Loss<double>;
SL_POINTWISE_LIST(STRUCT)
SL_POINTWISE_HOST_LIST(STRUCT)
SL_ROWWISE_LIST(STRUCT)
#define BLOCKS(Loss) \\
    template sl::Block<float> sl::block_of<sl::Loss, float>(int, int); \\
    template sl::Block<double> sl::block_of<sl::Loss, double>(int, int);
SL_POINTWISE_LIST(BLOCKS)
#define TILES(Loss) \\
    template sl::TileFunction<float> sl::tile_of<sl::Loss, float>(int, bool, int); \\
    template sl::TileFunction<double> sl::tile_of<sl::Loss, double>(int, bool, int);
SL_ROWWISE_LIST(TILES)
SL_OPTIMIZER_LIST(STRUCT)
#define MOVERS(O) \\
    template sl::Mover<float> sl::mover_of<sl::O, float>(int); \\
    template sl::Mover<double> sl::mover_of<sl::O, double>(int);
SL_OPTIMIZER_LIST(MOVERS)
template class sl::Batches<float, std::int32_t>;
template class sl::Batches<double, std::int64_t>;
sl::Engine* engine(const sl::Problem& problem);
sl::Engine* engine(const sl::Problem& problem) { return sl::new_engine(problem); }
void one_sample(sl::OneSampleRun* run, int level);
void one_sample(sl::OneSampleRun* run, int level) {
    sl::take_steps(run, level);
    if (sl::is_finite(*run)) sl::sum_norms(run);
}
double columns(const sl::Counted& x, const sl::ColumnSums& sums, int level);
double columns(const sl::Counted& x, const sl::ColumnSums& sums, int level) {
    sl::add_columns(x, sums, level);
    return sl::largest_squared_norm(x, sums.shift, sums.total, level);
}
bool design(sl::Design& made, const double* v, double* out, sl::Dsyrk syrk, sl::Dgemm gemm);
bool design(sl::Design& made, const double* v, double* out, sl::Dsyrk syrk, sl::Dgemm gemm) {
    made.scores(1, v, v, out);
    made.sums(1, v, true, out);
    sl::mirror(out, 1);
    return made.gram(v, out, syrk, gemm);
}
double quadratic(const sl::Quadratic& q, const sl::Penalty& penalty, int level);
double quadratic(const sl::Quadratic& q, const sl::Penalty& penalty, int level) {
    return sl::sweep(q, &penalty, true, level);
}
double sparse_quadratic(sl::SparseQuadratic* q, const sl::Penalty& penalty, int level);
double sparse_quadratic(sl::SparseQuadratic* q, const sl::Penalty& penalty, int level) {
    return sl::sweep(q, &penalty, true, level);
}
void cox(const sl::CoxPlan& plan, const sl::CoxWork& work, double* out);
void cox(const sl::CoxPlan& plan, const sl::CoxWork& work, double* out) {
    sl::exponentials(plan, work, out, out, 0, 1);
    sl::run_stratum(plan, work, sl::COX_HESSIAN, 0);
    sl::outputs(plan, work, sl::COX_HESSIAN, 0, 0, 1, out, out);
    sl::log_hazards(plan, work, out);
}
double concordance(const sl::Observed& seen);
double concordance(const sl::Observed& seen) { return sl::count_pairs(seen).tied; }
void ranking(int outputs, int level, const sl::Index* levels, const sl::Query* query);
void ranking(int outputs, int level, const sl::Index* levels, const sl::Query* query) {
    sl::smooth_query(outputs, level, query);
    sl::hinge_query(levels, query);
}
#define SPECIAL(V) \\
    template struct sl::Logistic<V>; \\
    template struct sl::ExtremeValue<V>; \\
    template struct sl::Normal<V>; \\
    template V sl::erfcx_<V>(V); \\
    template V sl::ndtr_<V>(V); \\
    template V sl::lgamma_<V>(V); \\
    template V sl::digamma_<V>(V); \\
    template V sl::trigamma_<V>(V); \\
    template V sl::lgamma_ratio_<V>(V, V); \\
    template V sl::digamma_ratio_<V>(V, V); \\
    template V sl::trigamma_ratio_<V>(V, V);
using Floats = sl::Pack<float, 64>;
using Doubles = sl::Pack<double, 64>;
SPECIAL(float)
SPECIAL(double)
SPECIAL(Floats)
SPECIAL(Doubles)
#define TRANSPOSES(T) \\
    template void sl::rows_to_tile<T>(int, T*, sl::Index, T*, sl::Index, sl::Index, sl::Index); \\
    template void sl::tile_to_rows<T>(int, T*, sl::Index, T*, sl::Index, sl::Index, sl::Index);
TRANSPOSES(float)
TRANSPOSES(double)
using sl::Index, sl::Penalty;
#define PENALTIES(T) \\
    template void sl::penalty_prox<T>(const Penalty&, Index, Index, Index, \\
        const double*, const double*, const T*, const T*, double*); \\
    template void sl::penalty_violation<T>(const Penalty&, Index, Index, Index, \\
        const double*, const double*, const T*, const T*, double*);
PENALTIES(float)
PENALTIES(double)
"""
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-Wno-psabi"]


def compile_cpu(compiler, source, *options):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    command = [compiler, "-std=c++17", *WARNINGS, f"-I{KERNELS}", *options, "-x", "c++", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_headers_compile_without_a_warning(compiler):
    compile_cpu(compiler, CPU_PROGRAM, "-fsyntax-only")


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_headers_generate_code_without_a_warning(compiler, tmp_path):
    # Some errors come after the syntax: an always_inline body that cannot go into a clone, for one.
    compile_cpu(compiler, CPU_PROGRAM, "-O1", "-c", "-o", str(tmp_path / "headers.o"))


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_each_header_stands_alone(compiler, header):
    compile_cpu(compiler, f'#include "{header}"\n#include "{header}"\n', "-fsyntax-only")


# -------------------------------------------------------------------------------------------- NVRTC


@cache
def nvrtc():
    """The library from the wheel, or None."""
    site_packages = Path(sysconfig.get_path("purelib"))
    found = [
        path
        for pattern in ("lib/libnvrtc.so*", "bin/**/nvrtc64*.dll")
        for path in sorted(site_packages.glob(f"nvidia/**/{pattern}"))
        if "builtins" not in path.name and ".alt." not in path.name
    ]
    if not found:
        return None
    for builtins in found[0].parent.glob("libnvrtc-builtins.so*"):
        ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(found[0]))


def compile_ptx(source):
    """PTX of `source`; a warning is an error."""
    library = nvrtc()
    if library is None:
        pytest.skip("the wheel nvidia-cuda-nvrtc is not installed (extra: test)")
    # As CuPy compiles: it adds the last one.
    flags = ["--gpu-architecture=compute_80", *device_kernels.OPTIONS, "-ftz=true"]
    options = [flag.encode() for flag in flags]
    program = ctypes.c_void_p()
    created = library.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None
    )
    assert created == 0
    try:
        status = library.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*options)
        )
        log = fetch(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog, program)
        assert status == 0, log
        assert "warning" not in log, log
        return fetch(library.nvrtcGetPTXSize, library.nvrtcGetPTX, program)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def fetch(size_of, read, program):
    size = ctypes.c_size_t()
    assert size_of(program, ctypes.byref(size)) == 0
    buffer = ctypes.create_string_buffer(size.value)
    assert read(program, buffer) == 0
    return buffer.value.decode()


VALUE, GRADIENT, HESSIAN, PROBABILITY = (
    getattr(device_losses, name) for name in ("VALUE", "GRADIENT", "HESSIAN", "PROBABILITY")
)
SUMMED, CHECKED = device_losses.SUMMED, device_losses.CHECKED
# What the methods of a loss ask for, and everything at once.
OUTPUT_SETS = [
    VALUE,
    GRADIENT,
    VALUE | GRADIENT,
    GRADIENT | HESSIAN,
    VALUE | GRADIENT | HESSIAN | SUMMED,
    SUMMED | CHECKED,
]


def compile_kernels(kernels):
    """PTX of each kernel, by its name; all are compiled in one text."""
    text_of = dict(kernels)
    ptx = compile_ptx(device_kernels.source_of(device_losses.HEADER) + "".join(text_of.values()))
    entries = dict(re.findall(r"\.entry (\w+)\((.*?)(?=\.entry|\Z)", ptx, re.DOTALL))
    assert entries.keys() == text_of.keys()
    return entries


@pytest.mark.slow
@pytest.mark.parametrize("loss", POINTWISE)
def test_pointwise_kernels_compile_to_ptx(loss):
    kernels = [
        (device_losses.pointwise_kernel(loss, real, outputs, vectors), real, outputs, vectors)
        for real in TYPES
        for outputs in OUTPUT_SETS
        for vectors in (True, False)
    ]
    entries = compile_kernels(kernel for kernel, *_ in kernels)
    for (name, _), real, outputs, vectors in kernels:
        # Three arrays are read, and each output written, with accesses of 16 bytes.
        width = "v4" if real == "float" else "v2"
        n_outputs = (outputs & (VALUE | GRADIENT | HESSIAN)).bit_count()
        reads = re.findall(rf"ld\.global(?:\.nc)?\.{width}", entries[name])
        writes = re.findall(rf"st\.global\.{width}", entries[name])
        assert (len(reads), len(writes)) == ((3, n_outputs) if vectors else (0, 0)), name


def one_now(names):
    """The first among the fast tests; the others, of the same templates, among the slow ones."""
    return [names[0], *(pytest.param(name, marks=pytest.mark.slow) for name in names[1:])]


def takes_soft(loss):
    """Whether targets may be rows, as the compiler finds it in the bases."""
    size = f"__device__ char size[1 + sl::{loss}<float>::soft];"
    ptx = compile_ptx(device_kernels.source_of(device_losses.HEADER) + size)
    return re.search(r"\bsize\[(\d)\]", ptx).group(1) == "2"


@pytest.mark.parametrize("loss", one_now(list(ROWWISE)))
def test_rowwise_kernels_compile_to_ptx(loss):
    kinds = [(False, OUTPUT_SETS)]
    if takes_soft(loss):
        kinds = [(soft, [*OUTPUT_SETS, GRADIENT | PROBABILITY]) for soft in (False, True)]
    compile_kernels(
        device_losses.rowwise_kernel(loss, real, outputs, soft, staged)
        for real in TYPES
        for soft, sets in kinds
        for outputs in sets
        for staged in (True, False)
    )


def test_kernels_that_add_up_compile_to_ptx():
    compile_kernels([device_losses.sum_kernel(), *map(device_losses.class_kernel, TYPES)])


# --------------------------------------------------------------------------------- the GPU's engine

# X's dtype, whether its indices have 64 bits, and whether it is sparse.
LAYOUTS = [
    (single, wide, sparse)
    for single in (True, False)
    for wide, sparse in ((False, False), (False, True), (True, True))
]


def entries_of(kernels):
    """PTX of each kernel of the engine, by its name."""
    ptx = compile_ptx(device_kernels.source_of(problem.HEADER) + kernels)
    entries = dict(re.findall(r"\.entry (\w+)\((.*?)(?=\.entry|\Z)", ptx, re.DOTALL))
    assert entries.keys() == set(re.findall(r'extern "C" __global__ .*? (\w+)\(const', kernels))
    return entries


@pytest.mark.parametrize(("single", "wide", "sparse"), LAYOUTS)
def test_kernels_of_rows_compile_to_ptx(single, wide, sparse):
    entries = entries_of(problem.rows_text(single, wide, sparse))
    # Rows add to the columns of sparse data by whole numbers, whose sum has no order.
    added = set(re.findall(r"(?:atom|red)\.\S*add\.(\w+)", entries["gradient"]))
    assert added == ({"u64"} if sparse else set())


@pytest.mark.slow
@pytest.mark.parametrize("loss", POINTWISE)
def test_kernels_of_one_pass_compile_to_ptx(loss):
    for single in (True, False):
        widths = (4, 2, 1) if single else (2, 1)
        for n_features in (widths[0] * 25, 33):
            strips, width = problem.fused_shape(single, 1, n_features, address=0)
            entry = entries_of(problem.fused_text(loss, single, 1, strips, width))["fused"]
            # Rows are read with the widest accesses that their length allows.
            wide = f"ld.global.v{width}" if width > 1 else "ld.global.f"
            assert wide in entry and width == max(w for w in widths if n_features % w == 0)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [*POINTWISE, *ROWWISE])
def test_kernels_of_losses_in_the_engine_compile_to_ptx(loss):
    for single, wide in ((True, False), (False, True)):
        entries_of(problem.losses_text(loss, loss in ROWWISE, single, wide))


@pytest.mark.parametrize("optimizer", one_now(sorted(OPTIMIZERS, key="ImplicitAdaGrad".__ne__)))
def test_kernels_of_steps_compile_to_ptx(optimizer):
    for layout in LAYOUTS:
        entries_of(steps.steps_text(optimizer, *layout))
