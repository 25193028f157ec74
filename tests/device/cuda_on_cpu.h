// CUDA's language and built-in functions for g++ and clang++, so that the text of a kernel runs on the CPU.
//
// Threads of a block are fibers of one OS thread, which change at barriers and warp functions only, so atomics are plain
// operations; blocks run one after the other. What is undefined on a device is reported where it can be seen: lanes of a
// mask that have ended, barriers that some threads never reach, arguments of another type. Shared memory holds garbage
// at the start of each block. Not covered: loops that wait for another thread or block without a barrier never end.
#ifndef CUDA_ON_CPU_H
#define CUDA_ON_CPU_H

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif
#include <math.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <type_traits>
#include <utility>
#if defined(__linux__)
#include <link.h>
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_ON_CPU_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CUDA_ON_CPU_ASAN 1
#endif
#if defined(CUDA_ON_CPU_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__x86_64__) && defined(__linux__) && !defined(CUDA_ON_CPU_UCONTEXT)
#define CUDA_ON_CPU_ASM 1
#else
#include <ucontext.h>
#endif

// ------------------------------------------------------------------------------------------------------ the language

#define __CUDACC_RTC__ 1
#define __device__
#define __host__
#define __global__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
// One copy for all fibers either way. As thread-local variables they are all in one place, which is filled with garbage
// before each block; as static ones the address sanitizer puts red zones between them.
#if defined(__linux__) && !defined(CUDA_ON_CPU_ASAN)
#define __shared__ static thread_local
#else
#define __shared__ static
#endif
// On a device: extern __shared__ double sl_shared[];
#define SL_DYNAMIC_SHARED static double*& sl_shared = cuda_on_cpu::dynamic_shared;

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
#define CUDA_ON_CPU_VECTORS(T, name)                                                        \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                      \
    struct alignas(sizeof(T) < 8 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; };           \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                       \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUDA_ON_CPU_VECTORS(float, float)
CUDA_ON_CPU_VECTORS(double, double)
CUDA_ON_CPU_VECTORS(int, int)
CUDA_ON_CPU_VECTORS(unsigned, uint)
#undef CUDA_ON_CPU_VECTORS

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

// ------------------------------------------------------------------------------------------------------------ fibers

namespace cuda_on_cpu {

constexpr int MAX_THREADS = 1024;
#if defined(CUDA_ON_CPU_ASAN)
constexpr std::size_t STACK = 512 << 10;
#else
constexpr std::size_t STACK = 64 << 10;
#endif
constexpr std::size_t STRIDE = STACK + 320;  // the tops of the stacks fall into different sets of the cache

static double* dynamic_shared = nullptr;

enum State { READY, AT_BARRIER, AT_WARP, ENDED };
enum Op { SYNC, IDX, UP, DOWN, XOR, BALLOT, ANY, ALL };
static const char* const OP_NAMES[] = {"__syncwarp",     "__shfl_sync",   "__shfl_up_sync", "__shfl_down_sync",
                                       "__shfl_xor_sync", "__ballot_sync", "__any_sync",     "__all_sync"};

struct Fiber {
#if defined(CUDA_ON_CPU_ASM)
    void* sp;
#else
    ucontext_t context;
#endif
    void* fake_stack;
    uint3 thread;
    State state;
    int predicate;
    // What the lane asked of its warp, and then the answer.
    Op op;
    unsigned mask;
    int lane, argument, width;
    unsigned long long value;
};

static Fiber* fibers = nullptr;
static char* stacks = nullptr;
static Fiber scheduler;
static Fiber* current = nullptr;
static int n_threads = 0;
static char message[512] = "";
static void (*body)(void*) = nullptr;
static void* body_data = nullptr;
static int barrier_count, barrier_and, barrier_or;
#if defined(CUDA_ON_CPU_ASAN)
static const void* main_stack;
static std::size_t main_stack_size;
#endif

static bool failed() { return message[0] != 0; }

template <class... A>
static void fail(const char* format, A... a) {
    if (failed()) return;
    const int n = std::snprintf(message, sizeof message, "block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x, blockIdx.y,
                                blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    std::snprintf(message + n, sizeof message - std::size_t(n), format, a...);
}

#if defined(CUDA_ON_CPU_ASM)
// Outside the compiler's sight, so that it takes no static variable for unchanged by the call.
extern "C" void cuda_on_cpu_switch(void** from, void* to);
asm(R"(
.text
.local cuda_on_cpu_switch
.type cuda_on_cpu_switch, @function
cuda_on_cpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cuda_on_cpu_switch, . - cuda_on_cpu_switch
)");
static void switch_to(Fiber& from, Fiber& to) { cuda_on_cpu_switch(&from.sp, to.sp); }
#else
static void switch_to(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }
#endif

static void resume(Fiber& fiber) {
    current = &fiber;
    threadIdx = fiber.thread;
#if defined(CUDA_ON_CPU_ASAN)
    __sanitizer_start_switch_fiber(&scheduler.fake_stack, stacks + (&fiber - fibers) * STRIDE, STACK);
#endif
    switch_to(scheduler, fiber);
#if defined(CUDA_ON_CPU_ASAN)
    __sanitizer_finish_switch_fiber(scheduler.fake_stack, nullptr, nullptr);
#endif
}

static void leave(bool for_good) {
    Fiber& fiber = *current;
#if defined(CUDA_ON_CPU_ASAN)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fiber.fake_stack, main_stack, main_stack_size);
#else
    (void)for_good;
#endif
    switch_to(fiber, scheduler);
#if defined(CUDA_ON_CPU_ASAN)
    __sanitizer_finish_switch_fiber(fiber.fake_stack, nullptr, nullptr);
#endif
}

static void enter() {
#if defined(CUDA_ON_CPU_ASAN)
    __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_stack_size);
#endif
    body(body_data);
    current->state = ENDED;
    leave(true);
}

static void prepare(int i) {
    Fiber& fiber = fibers[i];
    char* const stack = stacks + std::size_t(i) * STRIDE;
#if defined(CUDA_ON_CPU_ASAN)
    __asan_unpoison_memory_region(stack, STACK);  // a fiber may have been left for good where a kernel failed
#endif
#if defined(CUDA_ON_CPU_ASM)
    void** sp = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(stack + STACK) & ~std::uintptr_t(15));
    *--sp = nullptr;  // where enter() would return to
    *--sp = reinterpret_cast<void*>(&enter);
    for (int k = 0; k < 6; ++k) *--sp = nullptr;
    fiber.sp = sp;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
#endif
    fiber.thread = {unsigned(i) % blockDim.x, unsigned(i) / blockDim.x % blockDim.y, unsigned(i) / (blockDim.x * blockDim.y)};
    fiber.state = READY;
    fiber.lane = i & 31;
}

// ------------------------------------------------------------------------------------------- barriers and warp functions

static void wait_for_block(int predicate) {
    current->state = AT_BARRIER;
    current->predicate = predicate;
    leave(false);
}

static bool lane_of_warp(int warp, int lane) { return warp * 32 + lane < n_threads; }

// The lanes of the mask are all there: exchange for all of them at once.
static void exchange(Fiber* warp, unsigned mask) {
    unsigned long long answers[32] = {};
    unsigned ballot = 0;
    for (int k = 0; k < 32; ++k)
        if (mask >> k & 1 && warp[k].value) ballot |= 1u << k;
    for (int k = 0; k < 32; ++k) {
        if (!(mask >> k & 1)) continue;
        const Fiber& f = warp[k];
        const int first = k / f.width * f.width, end = first + f.width;
        int from = k;
        switch (f.op) {
            case SYNC: break;
            case BALLOT: answers[k] = ballot; continue;
            case ANY: answers[k] = ballot != 0; continue;
            case ALL: answers[k] = ballot == mask; continue;
            case IDX: from = first + (f.argument & (f.width - 1)); break;
            case UP: from = k - f.argument < first ? k : k - f.argument; break;
            case DOWN: from = k + f.argument >= end ? k : k + f.argument; break;
            case XOR: from = (k ^ f.argument) >= end ? k : k ^ f.argument; break;
        }
        if (!(mask >> from & 1)) fail("%s reads lane %d, which is not in the mask %#x", OP_NAMES[f.op], from, mask);
        answers[k] = warp[from].value;
    }
    for (int k = 0; k < 32; ++k)
        if (mask >> k & 1) {
            warp[k].value = answers[k];
            warp[k].state = READY;
        }
}

static unsigned long long ask_warp(Op op, unsigned mask, unsigned long long value, int argument, int width) {
    Fiber& self = *current;
    const int warp_index = int(&self - fibers) / 32;
    Fiber* const warp = fibers + warp_index * 32;
    self.op = op;
    self.mask = mask;
    self.value = value;
    self.argument = argument;
    self.width = width;
    self.state = AT_WARP;
    if (!(mask >> self.lane & 1)) fail("%s: the calling lane is not in its mask %#x", OP_NAMES[op], mask);
    if (width < 1 || width > 32 || (width & (width - 1))) fail("%s: width %d", OP_NAMES[op], width);
    bool all_here = true;
    for (int k = 0; k < 32 && !failed(); ++k) {
        if (!(mask >> k & 1)) continue;
        if (!lane_of_warp(warp_index, k))
            fail("%s: the mask %#x has lane %d, which is not in the block", OP_NAMES[op], mask, k);
        else if (warp[k].state == ENDED)
            fail("%s: the mask %#x has lane %d, which has ended", OP_NAMES[op], mask, k);
        else if (warp[k].state != AT_WARP)
            all_here = false;
        else if (warp[k].op != op || warp[k].mask != mask)
            fail("%s with mask %#x, but lane %d is at %s with mask %#x", OP_NAMES[op], mask, k, OP_NAMES[warp[k].op],
                 warp[k].mask);
    }
    if (all_here && !failed()) exchange(warp, mask);
    // The last lane goes on at once: its answer is there.
    if (self.state != READY || failed()) leave(failed());
    return self.value;
}

static void describe_deadlock(int n_barrier, int n_warp, int n_ended) {
    for (int i = 0; i < n_threads; ++i)
        if (fibers[i].state != ENDED) {
            threadIdx = fibers[i].thread;
            break;
        }
    fail("waits for ever: of %d threads %d are at __syncthreads, %d at a warp function, %d have ended", n_threads, n_barrier,
         n_warp, n_ended);
}

static void run_block(bool reverse, bool ended_pass) {
    for (int i = 0; i < n_threads; ++i) prepare(i);
    for (;;) {
        bool progress = false;
        for (int k = 0; k < n_threads; ++k) {
            Fiber& fiber = fibers[reverse ? n_threads - 1 - k : k];
            if (fiber.state != READY) continue;
            progress = true;
            resume(fiber);
            if (failed()) return;
        }
        if (progress) continue;
        int n_barrier = 0, n_warp = 0, n_ended = 0;
        barrier_count = barrier_or = 0;
        for (int i = 0; i < n_threads; ++i) {
            const Fiber& fiber = fibers[i];
            n_barrier += fiber.state == AT_BARRIER;
            n_warp += fiber.state == AT_WARP;
            n_ended += fiber.state == ENDED;
            if (fiber.state == AT_BARRIER) barrier_count += fiber.predicate != 0;
        }
        if (n_ended == n_threads) return;
        if (n_warp > 0 || (n_ended > 0 && !ended_pass)) return describe_deadlock(n_barrier, n_warp, n_ended);
        barrier_or = barrier_count > 0;
        barrier_and = barrier_count == n_barrier;
        for (int i = 0; i < n_threads; ++i)
            if (fibers[i].state == AT_BARRIER) fibers[i].state = READY;
    }
}

// --------------------------------------------------------------------------------------------------- garbage, and launch

#if defined(__linux__) && !defined(CUDA_ON_CPU_ASAN)
static thread_local char in_shared;

// This library's block of thread-local variables, which are the kernels' static shared memory.
struct StaticShared {
    char *key, *begin;
    std::size_t size;
};
static int find_static_shared(dl_phdr_info* info, std::size_t, void* data) {
    StaticShared& found = *static_cast<StaticShared*>(data);
    for (int i = 0; i < info->dlpi_phnum; ++i)
        if (info->dlpi_phdr[i].p_type == PT_TLS && info->dlpi_tls_data) {
            char* const begin = static_cast<char*>(info->dlpi_tls_data);
            const std::size_t size = info->dlpi_phdr[i].p_memsz;
            if (begin <= found.key && found.key < begin + size) {
                found.begin = begin;
                found.size = size;
                return 1;
            }
        }
    return 0;
}
static void spoil_static_shared() {
    static StaticShared found = {nullptr, nullptr, 0};
    in_shared = 1;
    if (found.key != &in_shared) {
        found = {&in_shared, nullptr, 0};
        dl_iterate_phdr(find_static_shared, &found);
    }
    if (found.begin) std::memset(found.begin, 0xff, found.size);
}
#else
static void spoil_static_shared() {}
#endif

struct Launch {
    int grid[3], block[3];
    long long shared_bytes;
    int reverse, ended_pass, flush, n_args;
    void** args;
    const char* types;  // two letters for each argument: its kind (p for null or an address, * for an array) and its size
};

// Subnormal numbers are 0, of doubles too: CUDA's -ftz=true is for float alone.
struct Flush {
#if defined(__SSE2__)
    unsigned before = _mm_getcsr();
    explicit Flush(bool on) { if (on) _mm_setcsr(before | 0x8040u); }
    ~Flush() { _mm_setcsr(before); }
#else
    explicit Flush(bool) {}
#endif
};

static int run(const Launch& launch) {
    const Flush flush(launch.flush != 0);
    if (!fibers) {
        fibers = new Fiber[MAX_THREADS]();
        stacks = static_cast<char*>(std::malloc(MAX_THREADS * STRIDE));
    }
    blockDim = dim3(unsigned(launch.block[0]), unsigned(launch.block[1]), unsigned(launch.block[2]));
    gridDim = dim3(unsigned(launch.grid[0]), unsigned(launch.grid[1]), unsigned(launch.grid[2]));
    n_threads = launch.block[0] * launch.block[1] * launch.block[2];
    const long long plane = (long long)launch.grid[0] * launch.grid[1], n_blocks = plane * launch.grid[2];
    const std::size_t bytes = std::size_t(launch.shared_bytes);
    void* const shared = bytes ? std::malloc(bytes) : nullptr;  // of the exact size, for the address sanitizer
    dynamic_shared = static_cast<double*>(shared);
    for (long long k = 0; k < n_blocks && !failed(); ++k) {
        const long long b = launch.reverse ? n_blocks - 1 - k : k;
        blockIdx = {unsigned(b % launch.grid[0]), unsigned(b / launch.grid[0] % launch.grid[1]), unsigned(b / plane)};
        if (shared) std::memset(shared, 0xff, bytes);
        spoil_static_shared();
        run_block(launch.reverse != 0, launch.ended_pass != 0);
    }
    std::free(shared);
    dynamic_shared = nullptr;
    return failed();
}

// The kind and size of a parameter, or of what it points to.
template <class A>
constexpr char kind_of() {
    return std::is_floating_point<A>::value ? 'f' : (std::is_integral<A>::value || std::is_enum<A>::value) ? 'i' : '?';
}
template <class A>
void check_argument(int i, const char* type, const void* at) {
    const char kind = type[0];
    const int size = type[1] - '0';
    if constexpr (std::is_pointer<A>::value) {
        using P = std::remove_cv_t<std::remove_pointer_t<A>>;
        if (kind == 'p') return;
        if constexpr (std::is_arithmetic<P>::value) {
            if (kind == 'F' || kind == 'I') {
                if (sizeof(P) > 1 && (kind != kind_of<P>() - 32 || size != int(sizeof(P))))
                    fail("argument %d is an array of %c%d where the kernel has a pointer to %c%d", i, kind + 32, size, kind_of<P>(),
                         int(sizeof(P)));
                return;
            }
        } else if (kind == 'F' || kind == 'I') {
            return;
        }
        if (kind != 'i' || size != 8) fail("argument %d is %c%d where the kernel has a pointer", i, kind, size);
    } else if constexpr (std::is_arithmetic<A>::value || std::is_enum<A>::value) {
        bool good = kind == kind_of<A>() && size == int(sizeof(A));
        // An integer may be longer where its value fits: CUDA reads the low bytes.
        if (kind == 'i' && kind_of<A>() == 'i' && size == 8 && sizeof(A) < 8) {
            long long wide;
            std::memcpy(&wide, at, 8);
            good = wide == (long long)(*static_cast<const A*>(at));
        }
        if (!good) fail("argument %d is %c%d where the kernel has %c%d", i, kind, size, kind_of<A>(), int(sizeof(A)));
    } else {
        (void)kind, (void)size, (void)at;
    }
}

template <class... A, std::size_t... I>
int launch_indexed(void (*kernel)(A...), const Launch& launch, std::index_sequence<I...>) {
    message[0] = 0;
    blockIdx = threadIdx = {0, 0, 0};
    if (launch.n_args != int(sizeof...(A)))
        fail("%d arguments where the kernel has %d", launch.n_args, int(sizeof...(A)));
    (void)std::initializer_list<int>{
        0, (failed() ? 0 : (check_argument<A>(int(I), launch.types + 2 * I, launch.args[I]), 0))...};
    if (failed()) return 1;
    auto call = [&] { kernel(*static_cast<std::remove_cv_t<A>*>(launch.args[I])...); };
    body_data = &call;
    body = [](void* data) { (*static_cast<decltype(call)*>(data))(); };
    return run(launch);
}
template <class... A>
int launch_kernel(void (*kernel)(A...), const Launch& launch) {
    return launch_indexed(kernel, launch, std::index_sequence_for<A...>());
}

template <class To, class From>
static inline To bits(From x) {
    static_assert(sizeof(To) >= sizeof(From), "");
    To y{};
    std::memcpy(&y, &x, sizeof x);
    return y;
}
template <class T>
static inline T shuffled(Op op, unsigned mask, T x, int argument, int width) {
    const unsigned long long answer = ask_warp(op, mask, bits<unsigned long long>(x), argument, width);
    T y;
    std::memcpy(&y, &answer, sizeof y);
    return y;
}

}  // namespace cuda_on_cpu

#define CUDA_ON_CPU_EXPORT extern "C" __attribute__((visibility("default")))
CUDA_ON_CPU_EXPORT const char* cuda_on_cpu_message() { return cuda_on_cpu::message; }

// ------------------------------------------------------------------------------------------------- built-in functions

static inline void __syncthreads() { cuda_on_cpu::wait_for_block(0); }
static inline int __syncthreads_count(int p) { return cuda_on_cpu::wait_for_block(p), cuda_on_cpu::barrier_count; }
static inline int __syncthreads_and(int p) { return cuda_on_cpu::wait_for_block(p), cuda_on_cpu::barrier_and; }
static inline int __syncthreads_or(int p) { return cuda_on_cpu::wait_for_block(p), cuda_on_cpu::barrier_or; }
static inline void __syncwarp(unsigned mask = 0xffffffffu) { cuda_on_cpu::ask_warp(cuda_on_cpu::SYNC, mask, 0, 0, 32); }
static inline unsigned __ballot_sync(unsigned mask, int p) {
    return unsigned(cuda_on_cpu::ask_warp(cuda_on_cpu::BALLOT, mask, p != 0, 0, 32));
}
static inline int __any_sync(unsigned mask, int p) {
    return int(cuda_on_cpu::ask_warp(cuda_on_cpu::ANY, mask, p != 0, 0, 32));
}
static inline int __all_sync(unsigned mask, int p) {
    return int(cuda_on_cpu::ask_warp(cuda_on_cpu::ALL, mask, p != 0, 0, 32));
}
#define CUDA_ON_CPU_SHUFFLE(T)                                                                           \
    static inline T __shfl_sync(unsigned mask, T x, int lane, int width = 32) {                          \
        return cuda_on_cpu::shuffled(cuda_on_cpu::IDX, mask, x, lane, width);                            \
    }                                                                                                    \
    static inline T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = 32) {                    \
        return cuda_on_cpu::shuffled(cuda_on_cpu::UP, mask, x, int(by), width);                          \
    }                                                                                                    \
    static inline T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = 32) {                  \
        return cuda_on_cpu::shuffled(cuda_on_cpu::DOWN, mask, x, int(by), width);                        \
    }                                                                                                    \
    static inline T __shfl_xor_sync(unsigned mask, T x, int by, int width = 32) {                        \
        return cuda_on_cpu::shuffled(cuda_on_cpu::XOR, mask, x, by, width);                              \
    }
CUDA_ON_CPU_SHUFFLE(int)
CUDA_ON_CPU_SHUFFLE(unsigned)
CUDA_ON_CPU_SHUFFLE(long)
CUDA_ON_CPU_SHUFFLE(unsigned long)
CUDA_ON_CPU_SHUFFLE(long long)
CUDA_ON_CPU_SHUFFLE(unsigned long long)
CUDA_ON_CPU_SHUFFLE(float)
CUDA_ON_CPU_SHUFFLE(double)
#undef CUDA_ON_CPU_SHUFFLE

#define CUDA_ON_CPU_ATOMIC(T, name, result)              \
    static inline T name(T* at, T x) {                   \
        const T old = *at;                               \
        *at = result;                                    \
        return old;                                      \
    }
#define CUDA_ON_CPU_ATOMICS(T)                           \
    CUDA_ON_CPU_ATOMIC(T, atomicAdd, old + x)            \
    CUDA_ON_CPU_ATOMIC(T, atomicExch, x)                 \
    CUDA_ON_CPU_ATOMIC(T, atomicMax, old < x ? x : old)  \
    CUDA_ON_CPU_ATOMIC(T, atomicMin, x < old ? x : old)  \
    CUDA_ON_CPU_ATOMIC(T, atomicAnd, old & x)            \
    CUDA_ON_CPU_ATOMIC(T, atomicOr, old | x)             \
    static inline T atomicCAS(T* at, T expected, T x) {  \
        const T old = *at;                               \
        *at = old == expected ? x : old;                 \
        return old;                                      \
    }
CUDA_ON_CPU_ATOMICS(int)
CUDA_ON_CPU_ATOMICS(unsigned)
CUDA_ON_CPU_ATOMICS(unsigned long long)
CUDA_ON_CPU_ATOMIC(long long, atomicMax, old < x ? x : old)
CUDA_ON_CPU_ATOMIC(long long, atomicMin, x < old ? x : old)
CUDA_ON_CPU_ATOMIC(float, atomicAdd, old + x)
CUDA_ON_CPU_ATOMIC(double, atomicAdd, old + x)
CUDA_ON_CPU_ATOMIC(float, atomicExch, x)
CUDA_ON_CPU_ATOMIC(unsigned, atomicInc, old >= x ? 0u : old + 1u)
#undef CUDA_ON_CPU_ATOMICS
#undef CUDA_ON_CPU_ATOMIC

static inline void __threadfence() {}
static inline void __threadfence_block() {}
template <class T>
static inline T __ldg(const T* at) { return *at; }
static inline double __longlong_as_double(long long x) { return cuda_on_cpu::bits<double>(x); }
static inline long long __double_as_longlong(double x) { return cuda_on_cpu::bits<long long>(x); }
static inline float __int_as_float(int x) { return cuda_on_cpu::bits<float>(x); }
static inline int __float_as_int(float x) { return cuda_on_cpu::bits<int>(x); }
static inline float __uint_as_float(unsigned x) { return cuda_on_cpu::bits<float>(x); }
static inline unsigned __float_as_uint(float x) { return cuda_on_cpu::bits<unsigned>(x); }
// Saturating, and the sign bit for NaN, as on a device.
static inline long long __double2ll_rn(double x) {
    if (!(x > -9223372036854775808.0)) return INT64_MIN;
    return x >= 9223372036854775808.0 ? INT64_MAX : std::llrint(x);
}
static inline int __double2int_rn(double x) {
    if (!(x > -2147483648.0)) return INT32_MIN;
    return x >= 2147483647.0 ? INT32_MAX : int(std::lrint(x));
}
static inline double __ll2double_rn(long long x) { return double(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fmaf_rn(float a, float b, float c) { return std::fmaf(a, b, c); }
static inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
static inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

#define CUDA_ON_CPU_EXTREMES(T)                                  \
    static inline T min(T a, T b) { return b < a ? b : a; }      \
    static inline T max(T a, T b) { return a < b ? b : a; }
CUDA_ON_CPU_EXTREMES(int)
CUDA_ON_CPU_EXTREMES(unsigned)
CUDA_ON_CPU_EXTREMES(long)
CUDA_ON_CPU_EXTREMES(unsigned long)
CUDA_ON_CPU_EXTREMES(long long)
CUDA_ON_CPU_EXTREMES(unsigned long long)
#undef CUDA_ON_CPU_EXTREMES
// As fmin and fmax, a NaN is dropped.
static inline float min(float a, float b) { return std::fmin(a, b); }
static inline float max(float a, float b) { return std::fmax(a, b); }
static inline double min(double a, double b) { return std::fmin(a, b); }
static inline double max(double a, double b) { return std::fmax(a, b); }

#endif
