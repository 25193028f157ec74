// CPU only: serial loops over a block, compiled once for each instruction set and chosen when the module is loaded.
//
// Each clone is an ordinary function with a `target` attribute around an always_inline body: unlike target_clones this
// needs no ifunc (so it works with clang, musl, and under AddressSanitizer), and a test can run every level that the
// machine has. Elsewhere than on x86-64 with GCC or clang there is the baseline alone.
#ifndef SKLEARN_LOSSES_LEVEL_H
#define SKLEARN_LOSSES_LEVEL_H

#include "math/config.h"

#if defined(__GNUC__) && defined(__x86_64__)
#define SL_LEVELS 3
#define SL_TARGET_V3 __attribute__((target("avx2,fma,bmi,bmi2")))
#define SL_WIDE "avx512f,avx512dq,avx512vl,avx512bw,avx512cd,avx2,fma,bmi,bmi2"
#if defined(__clang__)
#define SL_TARGET_V4 __attribute__((target(SL_WIDE)))
#else
// GCC's generic tuning may stop at 256 bits.
#define SL_TARGET_V4 __attribute__((target(SL_WIDE ",prefer-vector-width=512")))
#endif
#else
#define SL_LEVELS 1
#endif

// Before a loop over elements that are independent of each other. Without it GCC tests whether the arrays lie too close
// together for vectors, and has a second loop for that case, in which it may contract a * b - c * d the other way round:
// the bits would depend on the addresses.
#if defined(__clang__)
// It takes the pragma for a command, and warns where vectors would not pay, or the level of optimisation is low.
#pragma clang diagnostic ignored "-Wpass-failed"
#define SL_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define SL_INDEPENDENT _Pragma("GCC ivdep")
#else
#define SL_INDEPENDENT
#endif

namespace sl {

inline int detected_level() {
#if SL_LEVELS > 1
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
          __builtin_cpu_supports("bmi2")))
        return 0;
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd");
    return wide ? 2 : 1;
#else
    return 0;
#endif
}

template <class Body, class Signature>
struct Cloned;

// The clone that runs at a level, of a Body<BYTES> whose registers have the level's width.
template <template <int> class Body, class Signature>
Signature* by_width(int level) {
#if SL_LEVELS > 1
    if (level == 2) return &Cloned<Body<64>, Signature>::v4;
    if (level == 1) return &Cloned<Body<32>, Signature>::v3;
#endif
    return (void)level, &Cloned<Body<16>, Signature>::base;
}

// Clones of Body::run, a static always_inline function: Cloned<Body>::at(level) is a plain function pointer.
template <class Body, class... A>
struct Cloned<Body, void(A...)> {
    static void base(A... a) { Body::run(a...); }
#if SL_LEVELS > 1
    SL_TARGET_V3 static void v3(A... a) { Body::run(a...); }
    SL_TARGET_V4 static void v4(A... a) { Body::run(a...); }
#endif
    template <int>
    using AnyWidth = Body;
    using Function = void (*)(A...);
    static Function at(int level) { return by_width<AnyWidth, void(A...)>(level); }
};

// The same of a Body<T, BYTES>.
template <template <class, int> class Body, class T>
struct BodyOf {
    template <int BYTES>
    using Width = Body<T, BYTES>;
};
template <template <class, int> class Body, class T, class Signature>
Signature* by_width(int level) {
    return by_width<BodyOf<Body, T>::template Width, Signature>(level);
}

}  // namespace sl

#endif
