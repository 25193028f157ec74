// Double-double arithmetic: numbers to twice the working precision, and exponentials and powers of such.
//
// two_sum and two_prod: Ogita, Rump and Oishi (2005), Accurate sum and dot product.
#ifndef SKLEARN_LOSSES_TWOFOLD_H
#define SKLEARN_LOSSES_TWOFOLD_H

#include "math/functions.h"

namespace sl {

// hi + lo, |lo| <= ulp(hi) / 2.
template <class T>
struct DoubleDouble {
    T hi, lo;
};

template <class T>
SL_FN DoubleDouble<T> two_sum(T a, T b) {
    const T s = a + b, v = s - a;
    return {s, (a - (s - v)) + (b - v)};
}
// a * b exactly (but for underflow of the low part).
template <class T>
SL_FN DoubleDouble<T> two_prod(T a, T b) {
    const T p = a * b;
    return {p, fma_(a, b, -p)};
}
// raw - y exactly; the low part is dropped where the difference overflows.
template <class T>
SL_FN DoubleDouble<T> residual(T y, T raw) {
    const DoubleDouble<T> r = two_sum<T>(raw, -y);
    return {r.hi, abs_(r.hi) <= Format<T>::max ? r.lo : T(0)};
}
// (a.hi + a.lo) / c to twice the working precision, c != 0.
template <class T>
SL_FN DoubleDouble<T> two_div(DoubleDouble<T> a, T c) {
    const T q = a.hi / c;
    return {q, (fma_(-q, c, a.hi) + a.lo) / c};
}
template <class T>
SL_FN DoubleDouble<T> two_square(DoubleDouble<T> a) {
    const DoubleDouble<T> p = two_prod<T>(a.hi, a.hi);
    return {p.hi, p.lo + T(2) * a.hi * a.lo};
}
// A parameter a + low, to more digits than T has.
template <class T>
SL_FN DoubleDouble<T> two_from(double a, double low = 0.0) {
    const T hi = T(a);
    return {hi, T((a - double(hi)) + low)};
}

// exp(hi + lo) for a small lo, as a factor: of y, without an intermediate that over- or underflows, as y may be
// subnormal where exp is infinite.
template <class T>
struct Exponential {
    T f, n;
    SL_FN explicit Exponential(DoubleDouble<T> x) {
        const T limit = Format<T>::scaled_limit;
        // Past the limit the low part means nothing, and may be NaN.
        x.lo = abs_(x.hi) < limit ? x.lo : T(0);
#if SL_DEVICE
        T hi = x.hi < -limit ? -limit : x.hi;
        hi = hi > limit ? limit : hi;
        n = round_(hi * T(1.44269504088896340736));
        f = exp_(((hi - n * Format<T>::ln2_hi) - n * Format<T>::ln2_lo) + x.lo);
#else
        const ExpParts<T> e = exp_parts<T>(x.hi, x.lo, -limit, limit);
        f = T(1) + e.p;
        n = e.n;
#endif
    }
    SL_FN T operator()(T y) const { return scale_four(y, f, n); }
};
template <class T>
SL_FN T scaled_exp(T y, DoubleDouble<T> x) { return Exponential<T>(x)(y); }

// exp(hi + lo) for hi <= 0 and a small lo, the cheapest exponential.
template <class V>
SL_FN V decay(DoubleDouble<V> x) {
    using T = Real<V>;
    using F = Format<T>;
    // Where hi is below, the rest means nothing, and may be NaN.
    const V low = F::exp_low;
#if SL_DEVICE
    // A product of e and lo might be subnormal, which is 0 in float32 there (-ftz=true).
    return select(x.hi < low, V(0), exp_(x.hi) * (T(1) + x.lo));
#else
    // Bias and lift are part of the rounding constant, so that the sum's low bits are the exponent field of
    // 2^(n + lift): a normal number for every n that counts. The last factor takes the lift back.
    const T round = F::round + T(F::bias) + F::lift;
    const V t = x.hi * T(1.44269504088896340736) + round, n = t - round;
    const V r = (x.hi - n * F::ln2_hi) + (x.lo - n * F::ln2_lo);
    const V p = r + r * r * F::expm1_tail(r), scale = from_bits<V>(to_bits<V>(t) << F::digits);
    return select(x.hi < low, V(0), (scale + scale * p) * F::lowering);
#endif
}

// u^a = 2^n * exp(g), with |g| small, for u = 2^shift * x; where `one_plus` is set, for u = 1 + x, x being exact near
// 0. The exponent is given to twice the precision: its rounding is multiplied by log(u).
template <class T>
struct PowParts {
    T n, g;
};
template <class T>
SL_FN PowParts<T> pow_parts(T x, bool one_plus, T shift, DoubleDouble<T> a) {
    const T u = one_plus ? T(1) + x : x;
#if SL_DEVICE
    // CUDA has no public log in two parts: split with frexp, as the CPU does with bits.
    int whole;
    T m = T(frexp(double(u), &whole));
    const bool low = m < T(0.70710678118654752);
    m = low ? T(2) * m : m;
    const T k = low ? T(whole - 1) : T(whole);
    const T l = log1p_(one_plus && k == T(0) ? x : m - T(1));
#else
    const LogParts<T> p = log_parts<T>(u);
    const T k = p.k, l = Format<T>::log1p_kernel(one_plus && k == T(0) ? x : p.f);
#endif
    DoubleDouble<T> t = two_prod<T>(a.hi, k + shift);
    t.lo += a.lo * (k + shift);
    const T most = T(1000000);
    T n = round_(t.hi + a.hi * l * T(1.44269504088896340736));
    n = n < -most ? -most : n;
    n = n > most ? most : n;
    T g = ((t.hi - n) + t.lo) * T(0.69314718055994530942) + a.hi * l;
    // Past what n may be the rest means nothing.
    g = g < T(-1) ? T(-1) : g;
    g = g > T(1) ? T(1) : g;
    return {n, x <= Format<T>::max ? g : x};
}
// n as `scale_four` takes it: past the limit every product over- or underflows.
template <class T>
SL_FN T bounded(T n) {
    const T limit = Format<T>::power_limit;
    n = n < -limit ? -limit : n;
    return n > limit ? limit : n;
}
// f * x^a for a normal x > 0.
template <class T>
SL_FN T scaled_pow(T f, T x, T a) {
    const PowParts<T> p = pow_parts<T>(x, false, T(0), {a, T(0)});
    return scale_four(f, exp_(p.g), bounded(p.n));
}

}  // namespace sl

#endif
