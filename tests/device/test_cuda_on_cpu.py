"""The stand-in for CuPy runs kernels and graphs as CUDA does, and reports what is undefined there.

Every test that takes `device` runs with ``--gpu`` too, on the real CuPy: what the stand-in promises
is then checked against what it stands in for.
"""

import os

import numpy as np
import pytest

KERNELS = r"""
template <class T>
__device__ T warp_sum(T x) {
    for (int by = 16; by > 0; by /= 2) x += __shfl_xor_sync(0xffffffffu, x, by);
    return x;
}
extern "C" __global__ void tree(int n, const double* x, double* out) {
    __shared__ double part[256];
    const int t = threadIdx.x;
    double sum = 0;
    for (int i = blockIdx.x * blockDim.x + t; i < n; i += gridDim.x * blockDim.x) sum += x[i];
    part[t] = sum;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) part[t] += part[t + half];
    }
    if (t == 0) out[blockIdx.x] = part[0];
}
extern "C" __global__ __launch_bounds__(256) void shuffled(int n, const float* x, float* out) {
    __shared__ float part[8];
    float sum = 0;
    const int n_threads = gridDim.x * blockDim.x;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += n_threads) sum += x[i];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = warp_sum(threadIdx.x < 8 ? part[threadIdx.x] : 0.0f);
        if (threadIdx.x == 0) out[blockIdx.x] = sum;
    }
}
extern "C" __global__ void warps(int* out) {
    const unsigned all = 0xffffffffu;
    const int lane = threadIdx.x, *const none = nullptr;
    out[lane] = __shfl_sync(all, lane * 10, 3);
    out[32 + lane] = __shfl_up_sync(all, lane, 1u);
    out[64 + lane] = __shfl_down_sync(all, lane, 4u, 8);
    out[96 + lane] = int(__ballot_sync(all, lane % 2));
    out[128 + lane] = __any_sync(all, lane == 7) + 2 * __all_sync(all, lane == 7);
    out[160 + lane] = int(__shfl_xor_sync(all, 5000000000ll + lane, 1) - 5000000000ll);
    if (lane < 16) out[192 + lane] = __shfl_sync(0xffffu, lane, 15 - lane);
    __syncwarp();
    if (lane >= 16) out[192 + lane] = none == nullptr;
}
extern "C" __global__ void histogram(int n, const unsigned char* x, unsigned* counts,
                                      double* total) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    atomicAdd(&counts[x[i]], 1u);
    atomicAdd(total, double(x[i]));
}
extern "C" __global__ void atomics(int* i, unsigned* u, unsigned long long* w, float* f) {
    atomicAdd(&i[0], int(threadIdx.x));
    atomicMax(&i[1], int(threadIdx.x));
    atomicMin(&i[2], int(threadIdx.x));
    atomicAdd(&u[0], 1u);
    atomicAdd(&w[0], 1ull << 33);
    atomicAdd(&f[0], 0.5f);
    if (threadIdx.x == 0) {
        i[3] = atomicCAS(&i[3], 7, 9);
        w[1] = atomicExch(&w[1], 5ull);
    }
}
extern "C" __global__ void last(const double* x, double* part, unsigned* ticket, double* out) {
    __shared__ bool is_last;
    double sum = warp_sum(x[blockIdx.x * 32 + threadIdx.x]);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
    __threadfence();
    if (threadIdx.x == 0) is_last = atomicAdd(ticket, 1u) == gridDim.x - 1;
    __syncthreads();
    if (!is_last) return;
    sum = 0;
    for (int i = threadIdx.x; i < gridDim.x; i += 32) sum += ((const volatile double*)part)[i];
    sum = warp_sum(sum);
    if (threadIdx.x == 0) *out = sum;
}
extern "C" __global__ void places(int* out) {
    const int width = gridDim.x * blockDim.x, height = gridDim.y * blockDim.y;
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    const int z = blockIdx.z * blockDim.z + threadIdx.z;
    out[(z * height + y) * width + x] = x + 100 * y + 10000 * z;
}
extern "C" __global__ void everything(bool b, signed char i1, short i2, int i4, long long i8,
                                      unsigned u4, unsigned long long u8, float f4, double f8,
                                      const int* none, const float* x, double* out) {
    const double all[] = {double(b), double(i1), double(i2), double(i4), double(i8), double(u4),
                          double(u8), double(f4), f8, double(none == nullptr), double(x[1])};
    for (int i = 0; i < 11; ++i) out[i] = all[i];
}
extern "C" __global__ void constants(double* out) {
    out[0] = __longlong_as_double(0x7ff0000000000000LL);
    out[1] = __longlong_as_double(0x7ff8000000000000LL);
    out[2] = isfinite(out[0]) + 2 * isnan(out[1]) + 4 * isinf(out[0]) + 8 * (out[1] == out[1]);
    out[3] = double(__double2ll_rn(2.5)) + __umulhi(1u << 31, 6u);
    out[4] = fma(3.0, 4.0, expm1(0.0)) + ldexp(1.0, 3) + rint(2.5) + min(2, 3) + max(2, 3);
    int e;
    out[5] = frexp(12.0, &e) + e;
    out[6] = expf(1.0f) - exp(1.0);
    out[7] = double(__float_as_int(1.0f)) + double(__double_as_longlong(0.0)) + __ldg(&out[5]);
}
#define KERNEL(name) extern "C" __global__ void made_##name
KERNEL(by_macro)(double* x) { x[threadIdx.x] = 7; }
extern "C" __global__ void add_one(double* x) { x[threadIdx.x] += 1; }
extern "C" __global__ void scale(double* x, double by) { x[threadIdx.x] *= by; }
"""
# What a device leaves undefined, and the emulator reports.
MISTAKES = r"""
extern "C" __global__ void some_wait() { if (threadIdx.x < 16) __syncthreads(); }
extern "C" __global__ void some_left(int* out) {
    if (threadIdx.x >= 24) return;
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, int(threadIdx.x), 1);
}
extern "C" __global__ void short_warp(int* out) {
    out[threadIdx.x] = __shfl_down_sync(0xffffffffu, int(threadIdx.x), 1);
}
extern "C" __global__ void outside() { __syncwarp(0xffff0000u); }
extern "C" __global__ void mixed() {
    if (threadIdx.x < 16) __syncwarp();
    else __any_sync(0xffffffffu, 1);
}
extern "C" __global__ void barrier_and_warp() {
    if (threadIdx.x == 0) __syncthreads();
    else __syncwarp();
}
extern "C" __global__ void unwritten(double* out) {
    __shared__ double part[32];
    if (threadIdx.x == 1) part[1] = 1;
    __syncthreads();
    out[threadIdx.x] = part[threadIdx.x];
}
extern "C" __global__ void no_barrier(double* out) {
    __shared__ double part[32];
    part[threadIdx.x] = 1;
    out[threadIdx.x] = part[31 - threadIdx.x];
}
extern "C" __global__ void order(int* out) { *out = blockIdx.x * 1000 + threadIdx.x; }
"""
DYNAMIC = r"""
#ifndef SL_DYNAMIC_SHARED
#define SL_DYNAMIC_SHARED extern __shared__ double sl_shared[];
#endif
namespace sl {
SL_DYNAMIC_SHARED
}
extern "C" __global__ void turned(int n, const double* x, double* out) {
    using sl::sl_shared;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sl_shared[i] = x[i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = sl_shared[n - 1 - i];
}
extern "C" __global__ void unwritten(double* out) { out[threadIdx.x] = sl::sl_shared[threadIdx.x]; }
"""


def kernel(device, name, code=KERNELS):
    return device.xp.RawModule(code=code, options=("--std=c++17",)).get_function(name)


def same(array, expected):
    np.testing.assert_array_equal(array.get(), expected)


# ------------------------------------------------------------------------------------------ kernels


@pytest.mark.parametrize("name, dtype", [("tree", np.float64), ("shuffled", np.float32)])
def test_blocks_reduce(device, xp, name, dtype):
    x = xp.arange(3000, dtype=dtype)
    out = xp.empty(3, dtype)
    kernel(device, name)((3,), (256,), (np.int32(3000), x, out))
    assert out.get().sum() == 3000 * 2999 / 2


def test_warp_functions_exchange_as_on_a_device(device, xp):
    out = xp.zeros(224, np.int32)
    kernel(device, "warps")((1,), (32,), (out,))
    lane = np.arange(32)
    got = out.get().reshape(7, 32)
    np.testing.assert_array_equal(got[0], 30)
    np.testing.assert_array_equal(got[1], np.maximum(lane - 1, 0))
    np.testing.assert_array_equal(got[2], np.where(lane % 8 < 4, lane + 4, lane))
    np.testing.assert_array_equal(got[3], np.int32(np.uint32(0xAAAAAAAA).view(np.int32)))
    np.testing.assert_array_equal(got[4], 1)
    np.testing.assert_array_equal(got[5], lane ^ 1)
    np.testing.assert_array_equal(got[6], np.where(lane < 16, 15 - lane, 1))


def test_dynamic_shared_memory(device, xp):
    turned = kernel(device, "turned", DYNAMIC)
    x = xp.arange(1000.0)
    out = xp.empty(1000)
    turned((1,), (128,), (np.int32(1000), x, out), shared_mem=8000)
    same(out, np.arange(1000.0)[::-1])


def test_more_than_48_kib_have_to_be_allowed_first(device, xp):
    turned = kernel(device, "turned", DYNAMIC)
    x = xp.arange(7000.0)
    out = xp.empty(7000)
    args = (np.int32(7000), x, out)
    if not device.real:  # a device is left with an error
        with pytest.raises(RuntimeError, match="invalid argument"):
            turned((1,), (128,), args, shared_mem=56000)
    turned.max_dynamic_shared_size_bytes = 56000
    assert turned.attributes["max_dynamic_shared_size_bytes"] == 56000
    turned((1,), (128,), args, shared_mem=56000)
    same(out, np.arange(7000.0)[::-1])


def test_shared_memory_starts_as_garbage(stand_in):
    out = stand_in.xp.zeros(32)
    kernel(stand_in, "unwritten", MISTAKES)((2,), (32,), (out,))
    assert out.get()[1] == 1
    if "SKLEARN_LOSSES_SANITIZE" not in os.environ:  # which has another way of finding it
        assert np.isnan(out.get()).sum() == 31
    kernel(stand_in, "unwritten", DYNAMIC)((2,), (32,), (out,), shared_mem=256)
    assert np.isnan(out.get()).all()


@pytest.mark.skipif("SKLEARN_LOSSES_SANITIZE" in os.environ, reason="the memory holds zeros")
def test_a_missing_barrier_shows(stand_in):
    out = stand_in.xp.zeros(32)
    kernel(stand_in, "no_barrier", MISTAKES)((1,), (32,), (out,))
    assert np.isnan(out.get()).any()


def test_grids_and_blocks_of_three_dimensions(device, xp):
    out = xp.zeros(12 * 10 * 6, np.int32)
    kernel(device, "places")((3, 2, 3), (4, 5, 2), (out,))
    z, y, x = np.ogrid[:6, :10, :12]
    same(out, (x + 100 * y + 10000 * z).ravel())


def test_atomic_functions(device, xp):
    x = np.random.default_rng(0).integers(0, 256, 1000, dtype=np.uint8)
    counts, total = xp.zeros(256, np.uint32), xp.zeros(1)
    args = (np.int32(1000), xp.asarray(x), counts, total)
    kernel(device, "histogram")((4,), (256,), args)
    same(counts, np.bincount(x, minlength=256))
    assert total.get() == x.sum()
    i = xp.asarray(np.array([0, 0, 100, 7], np.int32))
    u, w, f = xp.zeros(1, np.uint32), xp.zeros(2, np.uint64), xp.zeros(1, np.float32)
    kernel(device, "atomics")((1,), (64,), (i, u, w, f))
    same(i, [2016, 63, 0, 7])
    same(u, [64])
    same(w, [64 << 33, 0])
    same(f, [32])


def test_last_block_sees_what_the_others_wrote(device, xp):
    x = xp.arange(320.0)
    part, ticket, out = xp.empty(10), xp.zeros(1, np.uint32), xp.empty(1)
    for _ in range(2):
        ticket.fill(0)
        kernel(device, "last")((10,), (32,), (x, part, ticket, out))
        assert out.get() == 320 * 319 / 2


def test_arguments_of_every_type(device, xp):
    x = xp.asarray(np.array([1, 2.5], np.float32))
    out = xp.zeros(11)
    numbers = (np.bool_(True), np.int8(-3), np.int16(-300), np.int32(-70000), np.int64(-5 << 40))
    numbers += (np.uint32(4000000000), np.uint64(1 << 63), np.float32(0.25), np.float64(0.1))
    kernel(device, "everything")((1,), (1,), (*numbers, None, x, out))
    same(out, [1, -3, -300, -70000, -5 << 40, 4000000000, 2.0**63, 0.25, 0.1, 1, 2.5])
    # Python's own are 64 bits long, of which an integer may lose the upper half.
    numbers = (True, *numbers[1:3], -70000, -5 << 40, *numbers[5:8], 0.1, np.uintp(0))
    kernel(device, "everything")((1,), (1,), (*numbers, x, out))
    same(out, [1, -3, -300, -70000, -5 << 40, 4000000000, 2.0**63, 0.25, 0.1, 1, 2.5])


def test_views_are_passed_by_their_first_element(device, xp):
    x = xp.zeros(8)
    kernel(device, "add_one")((1,), (3,), (x[2:],))
    kernel(device, "add_one")((1,), (2,), (x.data.ptr,))
    same(x, [1, 1, 1, 1, 1, 0, 0, 0])


def test_constants_and_functions_of_the_language(device, xp):
    out = xp.zeros(8)
    kernel(device, "constants")((1,), (1,), (out,))
    got = out.get()
    assert np.isposinf(got[0]) and np.isnan(got[1])
    np.testing.assert_allclose(got[2:6], [6, 5, 27, 4.75])
    assert abs(got[6]) < 1e-6
    assert got[7] == np.float32(1).view(np.int32) + 4.75


def test_numpy_arrays_are_no_arguments(device, xp):
    with pytest.raises(TypeError, match="You are trying to pass a numpy"):
        kernel(device, "add_one")((1,), (1,), (np.zeros(2),))
    with pytest.raises(TypeError, match="Unsupported type <class 'str'>"):
        kernel(device, "add_one")((1,), (1,), ("x",))
    with pytest.raises(TypeError, match="tuple"):
        kernel(device, "add_one")([1], (1,), (xp.zeros(1),))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (lambda xp: (xp.zeros(3, np.float32), 2.0), "argument 0 is an array of f4"),
        (lambda xp: (xp.zeros(3, np.int64), 2.0), "argument 0 is an array of i8"),
        (lambda xp: (xp.zeros(3), np.float32(2)), "argument 1 is f4 where the kernel has f8"),
        (lambda xp: (xp.zeros(3), 2), "argument 1 is i8 where the kernel has f8"),
        (lambda xp: (xp.zeros(3), None), "argument 1 is p8 where the kernel has f8"),
        (lambda xp: (xp.zeros(3),), "1 arguments where the kernel has 2"),
    ],
)
def test_arguments_of_another_type_are_reported(stand_in, arguments, message):
    with pytest.raises(RuntimeError, match=message):
        kernel(stand_in, "scale")((1,), (1,), arguments(stand_in.xp))


@pytest.mark.parametrize(
    "grid, block",
    [((0,), (1,)), ((1,), (0,)), ((1,), (1025,)), ((1,), (32, 64)), ((1, 70000), (1,))],
)
def test_impossible_launches_are_refused(stand_in, grid, block):
    with pytest.raises(RuntimeError, match="invalid argument"):
        kernel(stand_in, "add_one")(grid, block, (stand_in.xp.zeros(1),))


def test_errors_of_the_compiler(device, xp):
    with pytest.raises(xp.cuda.compiler.CompileException, match="nonsense"):
        xp.RawKernel('extern "C" __global__ void k() { nonsense; }', "k").compile()
    with pytest.raises(RuntimeError, match="named symbol not found"):
        kernel(device, "there_is_none")
    with pytest.raises(TypeError):
        xp.RawModule(code=KERNELS, options=["--std=c++17"])


def test_templates_by_name_expression(device, xp):
    code = "template <class T, int N> __global__ void put(T* x) { x[threadIdx.x] = T(N); }"
    names = ("put<float, 3>", "put<int, 4>")
    module = xp.RawModule(code=code, options=("--std=c++17",), name_expressions=names)
    for name, dtype, value in zip(names, (np.float32, np.int32), (3, 4), strict=True):
        x = xp.zeros(2, dtype)
        module.get_function(name)((1,), (2,), (x,))
        same(x, [value] * 2)


def test_kernels_that_a_macro_makes(device, xp):
    x = xp.zeros(2)
    kernel(device, "made_by_macro")((1,), (2,), (x,))
    same(x, [7, 7])


@pytest.mark.parametrize(
    "name, block, message",
    [
        (
            "some_wait",
            32,
            "waits for ever: of 32 threads 16 are at __syncthreads, 0 at a warp function, 16",
        ),
        (
            "some_left",
            32,
            "__shfl_xor_sync: the mask 0xffffffff has lane 2[4-9], which has ended|waits for ever",
        ),
        (
            "short_warp",
            40,
            "__shfl_down_sync: the mask 0xffffffff has lane 8, which is not in the block",
        ),
        ("outside", 32, "__syncwarp: the calling lane is not in its mask 0xffff0000"),
        ("mixed", 32, "__any_sync with mask 0xffffffff, but lane 0 is at __syncwarp"),
        ("barrier_and_warp", 32, "waits for ever"),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_undefined_synchronisation_is_reported(stand_in, name, block, message, reverse):
    stand_in.settings["reverse_blocks"] = reverse and name not in ("mixed", "short_warp")
    args = (stand_in.xp.zeros(64, np.int32),) if name in ("some_left", "short_warp") else ()
    with pytest.raises(RuntimeError, match=message):
        kernel(stand_in, name, MISTAKES)((1,), (block,), args)
    # The next launch is as good as new.
    x = stand_in.xp.zeros(3)
    kernel(stand_in, "add_one")((1,), (3,), (x,))
    same(x, [1, 1, 1])


def test_ended_threads_may_be_let_pass(stand_in):
    stand_in.settings["ended_threads_pass"] = True
    kernel(stand_in, "some_wait", MISTAKES)((2,), (32,), ())


def test_blocks_and_threads_run_in_either_order(stand_in):
    out = stand_in.xp.zeros(1, np.int32)
    order = kernel(stand_in, "order", MISTAKES)
    order((3,), (64,), (out,))
    same(out, [2063])
    stand_in.settings["reverse_blocks"] = True
    order((3,), (64,), (out,))
    same(out, [0])
    test_last_block_sees_what_the_others_wrote(stand_in, stand_in.xp)


# ------------------------------------------------------------------------------- streams and graphs


def test_a_stream_captures_a_graph_of_launches(device, xp):
    x = xp.zeros(3)
    add, scale = kernel(device, "add_one"), kernel(device, "scale")
    stream = xp.cuda.Stream(non_blocking=True)
    add((1,), (3,), (x,))
    xp.cuda.Device().synchronize()
    with stream:
        assert xp.cuda.get_current_stream() == stream
        stream.begin_capture()
        assert stream.is_capturing()
        by = 2.0
        scale((1,), (3,), (x, by))
        by = 100.0
        add((1,), (3,), (x,))
        graph = stream.end_capture()
    assert not stream.is_capturing()
    same(x, [1, 1, 1])
    for _ in range(3):
        graph.launch(stream)
    stream.synchronize()
    same(x, [15, 15, 15])
    with stream:
        graph.launch()
    stream.synchronize()
    same(x, [31, 31, 31])
    if not device.real:
        assert device.counts["graph"] == 4 and device.counts["launch"] == 1


def test_the_default_stream_captures_nothing(device, xp):
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        xp.cuda.Stream.null.begin_capture()


@pytest.mark.parametrize(
    "act",
    [
        lambda xp, x: x.get(),
        lambda xp, x: float(x[0]),
        lambda xp, x: xp.asarray(np.ones(3)),
        lambda xp, x: xp.exp(x),
        lambda xp, x: x.sum(),
        lambda xp, x: xp.cuda.get_current_stream().synchronize(),
        lambda xp, x: xp.cuda.Device().synchronize(),
    ],
)
def test_what_cannot_be_captured_is_refused(stand_in, act):
    xp = stand_in.xp
    x = xp.zeros(3)
    with xp.cuda.Stream() as stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="stream is capturing"):
            act(xp, x)
        with pytest.raises(RuntimeError, match="previous error during capture"):
            stream.end_capture()
    act(xp, x)


def test_a_graph_does_not_keep_its_arrays(stand_in):
    xp = stand_in.xp
    x = xp.zeros(3)
    with xp.cuda.Stream() as stream:
        stream.begin_capture()
        kernel(stand_in, "add_one")((1,), (3,), (x[:2],))
        graph = stream.end_capture()
    graph.launch()
    del x
    with pytest.raises(RuntimeError, match="was freed"):
        graph.launch()


# ------------------------------------------------------------------------------------------ devices


def test_arrays_know_their_device(stand_in):
    xp = stand_in.xp
    assert xp.cuda.runtime.getDeviceCount() == 2
    with xp.cuda.Device(1):
        there = xp.ones(3)
        assert xp.cuda.Device().id == 1
    assert xp.cuda.Device().id == 0
    assert there.device == xp.cuda.Device(1) and there.__dlpack_device__() == (2, 1)
    assert (there[1:].device.id, there.T.device.id, there.reshape(1, 3).device.id) == (1, 1, 1)
    same(there, [1, 1, 1])
    here = xp.ones(3)
    for mistake in (
        lambda: there + 1,
        lambda: here + there,
        lambda: xp.exp(there),
        lambda: there.sum(),
        lambda: kernel(stand_in, "add_one")((1,), (3,), (there,)),
    ):
        with pytest.raises(ValueError, match=r"resides \(1\) is different from the current device"):
            mistake()
    assert there.copy().device.id == xp.asarray(there).device.id == 0
    with xp.cuda.Device(1):
        same(there + 1, [2, 2, 2])
        stream = xp.cuda.Stream()
    with pytest.raises(RuntimeError, match="does not match with the current device"):
        stream.use()
    with pytest.raises(xp.cuda.runtime.CUDARuntimeError, match="invalid device ordinal"):
        xp.cuda.Device(2).use()


def test_memory_may_be_short(stand_in):
    xp = stand_in.xp
    xp.get_default_memory_pool().set_limit(size=10000)
    x = xp.zeros(1000)
    with pytest.raises(xp.cuda.memory.OutOfMemoryError, match="Out of memory allocating 8,000"):
        xp.zeros(1000)
    del x
    xp.zeros(1000)
