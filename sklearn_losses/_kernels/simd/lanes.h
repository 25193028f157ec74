// CPU only: a register of numbers.
//
// With GCC and clang it is a vector type: left to find the vectors themselves, they keep the sums of the passes over a
// row in memory, or give the vectors up. It is inlined into a clone (simd/level.h), which says what instructions it
// becomes. Other compilers get one number at a time.
#ifndef SKLEARN_LOSSES_LANES_H
#define SKLEARN_LOSSES_LANES_H

#include "math/config.h"

namespace sl {

// A formula computes with a Pack as with one number. What works on memory and sums alone takes its Value as it is.
template <class T, int BYTES>
struct Pack {
#if defined(__GNUC__)
    enum { N = BYTES / sizeof(T) };
    typedef T Value __attribute__((vector_size(BYTES)));
    typedef typename Integers<T>::Int Mask __attribute__((vector_size(BYTES)));  // of a comparison: -1 or 0
    typedef typename Integers<T>::Bits Bits __attribute__((vector_size(BYTES)));
    typedef T Unaligned __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    static SL_FN Value masked(const Value& v, const Mask& m) { return Value(Mask(v) & m); }
#else
    enum { N = 1 };
    using Value = T;
    using Mask = typename Integers<T>::Int;
    using Bits = typename Integers<T>::Bits;
    using Unaligned = T;
    static SL_FN Value masked(Value v, Mask m) { return m ? v : T(0); }
#endif
    Value v;
    struct Condition {
        Mask m;
    };

    Pack() = default;
    // In all lanes. GCC takes an initialiser list, and a sum with zero that folds, apart into lanes; -0 becomes 0.
    SL_FN Pack(T x) : v(Value{} + x) {}
    explicit SL_FN Pack(int x) : Pack(T(x)) {}
    static SL_FN Pack of(Value v) {
        Pack x;
        x.v = v;
        return x;
    }
    friend SL_FN Pack operator+(Pack a, Pack b) { return of(a.v + b.v); }
    friend SL_FN Pack operator-(Pack a, Pack b) { return of(a.v - b.v); }
    friend SL_FN Pack operator*(Pack a, Pack b) { return of(a.v * b.v); }
    friend SL_FN Pack operator/(Pack a, Pack b) { return of(a.v / b.v); }
    friend SL_FN Pack operator-(Pack a) { return of(-a.v); }
    friend SL_FN Condition operator<(Pack a, Pack b) { return {a.v < b.v}; }
    friend SL_FN Condition operator>(Pack a, Pack b) { return {a.v > b.v}; }
    friend SL_FN Condition operator<=(Pack a, Pack b) { return {a.v <= b.v}; }
    friend SL_FN Condition operator>=(Pack a, Pack b) { return {a.v >= b.v}; }
    friend SL_FN Condition operator==(Pack a, Pack b) { return {a.v == b.v}; }
    friend SL_FN Condition operator!=(Pack a, Pack b) { return {a.v != b.v}; }
    friend SL_FN Pack select(Condition c, Pack a, Pack b) { return of(c.m ? a.v : b.v); }
    // One masked instruction with AVX-512, two plain ones elsewhere.
    friend SL_FN Pack add_where(Condition c, Pack sum, Pack x) {
        return BYTES == 64 ? select(c, sum + x, sum) : sum + select(c, x, Pack(T(0)));
    }
    friend SL_FN Pack abs_(Pack a) { return of(a.v < Value{} ? -a.v : a.v); }
    friend SL_FN Pack fma_(Pack a, Pack b, Pack c) {
        if constexpr (N == 1)
            a.v = fma_(a.v, b.v, c.v);
        else
            for (unsigned i = 0; i < N; ++i) a.v[i] = fma_(a.v[i], b.v[i], c.v[i]);
        return a;
    }

    static SL_FN Value load(const T* x) { return *reinterpret_cast<const Unaligned*>(x); }
    static SL_FN void store(T* x, const Value& v) { *reinterpret_cast<Unaligned*>(x) = v; }
    template <class I>
    static SL_FN Value gather(const T* x, const I* at) {
        Value v = {};
        if constexpr (N == 1)
            v = x[*at];
        else
            for (int k = 0; k < N; ++k) v[k] = x[at[k]];
        return v;
    }
    template <class I>
    static SL_FN void scatter(T* x, const I* at, const Value& v) {
        if constexpr (N == 1)
            x[*at] = v;
        else
            for (int k = 0; k < N; ++k) x[at[k]] = v[k];
    }
    static SL_FN double sum(const Value& v) {
        if constexpr (N == 1) {
            return double(v);
        } else if constexpr (BYTES > 16) {
            typename Pack<T, BYTES / 2>::Value low, high;
            std::memcpy(&low, &v, BYTES / 2);
            std::memcpy(&high, reinterpret_cast<const char*>(&v) + BYTES / 2, BYTES / 2);
            return Pack<T, BYTES / 2>::sum(low + high);
        } else if constexpr (N == 4) {
            return double((v[0] + v[2]) + (v[1] + v[3]));
        } else {
            return double(v[0] + v[1]);
        }
    }
};
template <class T, int BYTES>
struct Register<Pack<T, BYTES>> {
    using Real = T;
    using V = Pack<T, BYTES>;
    enum { N = V::N };
    using Bits = typename V::Bits;
    static SL_FN V load(const T* from) { return V::of(V::load(from)); }
    static SL_FN void store(T* to, V x) { V::store(to, x.v); }
};

}  // namespace sl

#endif
