// What every kernel is written with: one text for the CPU's compilers and for NVRTC.
//
// On the CPU each function is branch-free, so that a loop over it vectorises; on a device the names map to CUDA's own
// functions. No standard header is included on a device. Comparisons are written so that NaN falls through:
// `x < lo ? lo : x` keeps a NaN where fmax would drop it.
#ifndef SKLEARN_LOSSES_CONFIG_H
#define SKLEARN_LOSSES_CONFIG_H

#if defined(__CUDACC_RTC__) || defined(__CUDACC__) || defined(__HIPCC__)
#define SL_DEVICE 1
#define SL_FN __device__ __forceinline__
#else
#define SL_DEVICE 0
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
// always_inline: the body must be compiled again for each instruction set that simd/level.h names.
#if defined(__GNUC__)
#define SL_FN inline __attribute__((always_inline))
#else
#define SL_FN __forceinline
#endif
#endif

// The same for a lambda, where a declaration specifier cannot stand.
#if defined(__GNUC__) && !SL_DEVICE
#define SL_INLINE __attribute__((always_inline))
#else
#define SL_INLINE
#endif

namespace sl {

#if SL_DEVICE

SL_FN float abs_(float x) { return fabsf(x); }
SL_FN double abs_(double x) { return fabs(x); }
SL_FN float sqrt_(float x) { return sqrtf(x); }
SL_FN double sqrt_(double x) { return sqrt(x); }
SL_FN float fma_(float a, float b, float c) { return fmaf(a, b, c); }
SL_FN double fma_(double a, double b, double c) { return fma(a, b, c); }
template <class T>
SL_FN T inf_() { return T(__longlong_as_double(0x7ff0000000000000LL)); }
template <class T>
SL_FN T nan_() { return T(__longlong_as_double(0x7ff8000000000000LL)); }

#else

using Index = std::ptrdiff_t;

// Integers as wide as a number.
template <class T>
struct Integers;
template <>
struct Integers<float> {
    using Int = std::int32_t;
    using Bits = std::uint32_t;
};
template <>
struct Integers<double> {
    using Int = std::int64_t;
    using Bits = std::uint64_t;
};

SL_FN float abs_(float x) { return __builtin_fabsf(x); }
SL_FN double abs_(double x) { return __builtin_fabs(x); }
SL_FN float sqrt_(float x) { return __builtin_sqrtf(x); }
SL_FN double sqrt_(double x) { return __builtin_sqrt(x); }
SL_FN float fma_(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SL_FN double fma_(double a, double b, double c) { return __builtin_fma(a, b, c); }
template <class T>
SL_FN T inf_() { return T(__builtin_inf()); }
template <class T>
SL_FN T nan_() { return T(__builtin_nan("")); }

#endif

// A formula may work on one number or, on the CPU, on a register of them (simd/lanes.h). `V` is either, Real<V> the
// number's type. Comparisons of registers are masks, for which `select` stands where `?:` would.
template <class V>
struct Register;
template <class V>
using Real = typename Register<V>::Real;
template <class T>
SL_FN T select(bool condition, T a, T b) { return condition ? a : b; }
// sum + x where the condition holds.
template <class T>
SL_FN T add_where(bool condition, T sum, T x) { return condition ? sum + x : sum; }

// A register of one number.
template <class T>
struct Register {
    using Real = T;
    enum { N = 1 };
#if !SL_DEVICE
    using Bits = typename Integers<T>::Bits;
#endif
    static SL_FN T load(const T* from) { return *from; }
    static SL_FN void store(T* to, T x) { *to = x; }
};
template <class V>
SL_FN V load(const Real<V>* from) { return Register<V>::load(from); }
template <class V>
SL_FN void store(Real<V>* to, V x) { Register<V>::store(to, x); }

template <class T>
SL_FN T max_(T a, T b) { return a < b ? b : a; }
// x, or NaN where `by` is NaN.
template <class T>
SL_FN T unless_nan(T x, T by) { return by == by ? x : by; }
// a * b, and 0 where a is 0 although b is infinite.
template <class V>
SL_FN V mul0(V a, V b) { return select(a == V(0), V(0), a * b); }

}  // namespace sl

#endif
