// CPU only: arithmetic on contiguous vectors.
#ifndef SKLEARN_LOSSES_VECTORS_H
#define SKLEARN_LOSSES_VECTORS_H

#include "simd/lanes.h"
#include "simd/level.h"

namespace sl {

// Strided or converted input, made a contiguous block of T.
template <class T, class S>
inline void gather(T* __restrict to, const S* from, Index stride, Index n) {
    for (Index i = 0; i < n; ++i) to[i] = T(from[i * stride]);
}
template <class T, class S>
inline void scatter(S* to, Index stride, const T* __restrict from, Index n) {
    for (Index i = 0; i < n; ++i) to[i * stride] = S(from[i]);
}
template <class T>
inline void multiply(T* __restrict x, const T* __restrict by, Index n) {
    for (Index i = 0; i < n; ++i) x[i] = mul0(by[i], x[i]);
}
// Ask for memory that is needed soon: shuffled rows come in no order that a processor could foresee. Always inlined: GCC
// takes a function that only prefetches for one without effect, and drops calls of it.
SL_FN void prefetch(const void* at) {
#if defined(__GNUC__)
    __builtin_prefetch(at);
#else
    (void)at;
#endif
}
SL_FN void prefetch(const void* at, Index bytes) {
    const char* line = static_cast<const char*>(at);
    for (Index i = 0; i < bytes && i < 2048; i += 64) prefetch(line + i);
    prefetch(line + (bytes > 0 ? bytes - 1 : 0));
}
// In double and in a fixed order: four partial sums hide the latency of the addition.
template <class T>
inline double sum(const T* x, Index n) {
    double s[4] = {0, 0, 0, 0};
    Index i = 0;
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; ++j) s[j] += double(x[i + j]);
    for (; i < n; ++i) s[i % 4] += double(x[i]);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

template <class T>
SL_FN double dot_tail(const T* x, const T* w, Index n) {
    double a = 0, b = 0;
    Index i = 0;
    for (; i + 2 <= n; i += 2) {
        a += double(x[i]) * double(w[i]);
        b += double(x[i + 1]) * double(w[i + 1]);
    }
    if (i < n) a += double(x[i]) * double(w[i]);
    return a + b;
}
// Several packs of partial sums hide the latency of a fused multiply-add.
template <class T, int BYTES>
struct DotBody {
    static SL_FN void run(const T* __restrict x, const T* __restrict w, Index n, double* out) {
        using P = Pack<T, BYTES>;
        double total = 0;
        Index i = 0;
        if (n >= P::N) {
            typename P::Value p[4] = {};
            for (; i + 4 * P::N <= n; i += 4 * P::N)
                for (int k = 0; k < 4; ++k) p[k] += P::load(x + i + k * P::N) * P::load(w + i + k * P::N);
            for (; i + P::N <= n; i += P::N) p[0] += P::load(x + i) * P::load(w + i);
            total = P::sum((p[0] + p[2]) + (p[1] + p[3]));
        }
        if constexpr (BYTES > 16) {
            using Half = Pack<T, BYTES / 2>;
            if (n - i >= Half::N) {
                total += Half::sum(Half::load(x + i) * Half::load(w + i));
                i += Half::N;
            }
        }
        *out = total + dot_tail(x + i, w + i, n - i);
    }
};
// w += a * x.
template <class T>
struct AxpyBody {
    static SL_FN void run(T a, const T* __restrict x, T* __restrict w, Index n) {
        for (Index i = 0; i < n; ++i) w[i] += a * x[i];
    }
};
template <class T>
using DotSignature = void(const T*, const T*, Index, double*);
template <class T>
using Dot = DotSignature<T>*;
template <class T>
Dot<T> dot_at(int level) { return by_width<DotBody, T, DotSignature<T>>(level); }

}  // namespace sl

#endif
