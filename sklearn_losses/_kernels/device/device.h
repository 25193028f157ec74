// GPU only: what every kernel shares. Sums have an order that the size of the problem alone decides, so that their bits
// are the same on every run.
//
// The text of declarations.py comes before this one: sizes (BLOCK, WARP, ...), positions and the members of a fit.
#ifndef SKLEARN_LOSSES_DEVICE_H
#define SKLEARN_LOSSES_DEVICE_H

#include "math/functions.h"

#if SL_DEVICE

namespace sl {

// Shared memory whose size a launch gives.
#ifndef SL_DYNAMIC_SHARED
#define SL_DYNAMIC_SHARED extern __shared__ double sl_shared[];
#endif
SL_DYNAMIC_SHARED

SL_FN long long thread_number() { return (long long)(blockIdx.x) * BLOCK + threadIdx.x; }
SL_FN long long n_threads() { return (long long)(gridDim.x) * BLOCK; }
SL_FN int lane() { return int(threadIdx.x) % WARP; }
SL_FN int warp() { return int(threadIdx.x) / WARP; }

// Over the lanes of a warp; every lane gets the same bits, as the order of two does not matter.
template <class T, class Join>
SL_FN T over_warp(T x, const Join& join) {
    for (int step = WARP / 2; step > 0; step /= 2) x = join(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}
template <class T>
SL_FN T warp_sum(T x) {
    return over_warp(x, [](T a, T b) { return a + b; });
}
// Over the threads of a block; every thread gets it. All threads must come here.
template <class Join>
SL_FN double over_block(double x, const Join& join) {
    __shared__ double part[WARPS];
    x = over_warp(x, join);
    if (lane() == 0) part[warp()] = x;
    __syncthreads();
    x = part[0];
    for (int i = 1; i < WARPS; ++i) x = join(x, part[i]);
    __syncthreads();  // before `part` is written again
    return x;
}
SL_FN double block_sum(double x) {
    return over_block(x, [](double a, double b) { return a + b; });
}
SL_FN double block_max(double x) {
    return over_block(x, [](double a, double b) { return max_(a, b); });
}
// True in the block that comes here last, which then sees what all the others have written before; reads of it go
// through `fresh`. `ticket` is 0 before and after.
SL_FN bool last_block(unsigned* ticket) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(ticket, 1u) == gridDim.x * gridDim.y - 1;
        if (last) *ticket = 0;
    }
    __syncthreads();
    return last;
}
template <class T>
SL_FN T fresh(const T* from) { return *static_cast<const volatile T*>(from); }

// A pointer that comes out of memory and is not null: accesses need not ask which memory it points to.
template <class T>
SL_FN T* global_(T* p) {
#if defined(__CUDA_ARCH__)
    __builtin_assume(__isGlobal(p));
#endif
    return p;
}

// As many numbers as one access moves, of 16 bytes at most.
template <class T, int N = 16 / sizeof(T)>
struct alignas(N * sizeof(T)) Vector {
    T x[N];
};

}  // namespace sl

#endif

#endif
