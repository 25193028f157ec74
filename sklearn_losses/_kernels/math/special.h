// Exponentials to more digits than a number has, and what differences of exponentials need.
//
// As everywhere, V is one number or a register of them. Polynomials are near-minimax fits (Chebyshev, 60 digits).
#ifndef SKLEARN_LOSSES_SPECIAL_H
#define SKLEARN_LOSSES_SPECIAL_H

#include "math/twofold.h"

namespace sl {

// c0 + c1 x + c2 x^2 + ..., in even and odd powers: two chains of half the length.
template <class V>
struct EvenOdd {
    V even, odd;
};
template <class V>
SL_FN EvenOdd<V> even_odd(V, double c0) { return {V(Real<V>(c0)), V(0)}; }
template <class V>
SL_FN EvenOdd<V> even_odd(V, double c0, double c1) { return {V(Real<V>(c0)), V(Real<V>(c1))}; }
template <class V, class... C>
SL_FN EvenOdd<V> even_odd(V square, double c0, double c1, C... rest) {
    const EvenOdd<V> p = even_odd<V>(square, rest...);
    return {Real<V>(c0) + square * p.even, Real<V>(c1) + square * p.odd};
}
template <class V, class... C>
SL_FN V polynomial(V x, C... c) {
    const EvenOdd<V> p = even_odd<V>(x * x, c...);
    return p.even + x * p.odd;
}
// Whether the numbers are float's: where a fit is chosen.
template <class V>
constexpr bool is_single = sizeof(Real<V>) == 4;

// log(x) for any x: of subnormal numbers and 0 too, and NaN below 0.
template <class V>
SL_FN V log_any(V x) {
    using T = Real<V>;
    const auto low = x < V(Format<T>::tiny);
    const V shift = T(0.69314718055994530942) * Format<T>::lift;
    const V y = log_(select(low, x / Format<T>::lowering, x)) - select(low, shift, V(0));
    // A sum: compilers turn nested selections of registers into scalar code.
    return select(x == V(0), V(-inf_<T>()), y) + select(x < V(0), V(nan_<T>()), V(0));
}

// (exp(-x) - 1 + x) / x^2 for 0 <= x <= 4 * log(2) / 2, in terms of one sign: twice doubled from x / 4.
template <class V>
SL_FN V decline_tail(V x) {
    using T = Real<V>;
    const V h = T(0.25) * x, t = Format<T>::expm1_tail(-h);
    const V m = T(1) - h * t, t2 = T(0.25) * (m * m + T(2) * t);
    const V m2 = T(1) - T(2) * h * t2;
    return T(0.25) * (m2 * m2 + T(2) * t2);
}

// hi + lo, the larger first, as a double-double.
template <class V>
SL_FN DoubleDouble<V> quick_sum(V hi, V lo) {
    const V s = hi + lo;
    return {s, lo - (s - hi)};
}
template <class V>
SL_FN DoubleDouble<V> two_mul(DoubleDouble<V> a, DoubleDouble<V> b) {
    const DoubleDouble<V> p = two_prod<V>(a.hi, b.hi);
    return quick_sum<V>(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

// exp(hi + lo) = 2^n * (1 + p), p with a relative error of about eps / 1000: an exponent's rounding is multiplied by it.
template <class V>
struct TwoExp {
    V n;
    DoubleDouble<V> p;
    SL_FN explicit TwoExp(DoubleDouble<V> x) {
        using T = Real<V>;
        using F = Format<T>;
        V hi = select(x.hi < V(F::exp_low), V(F::exp_low), x.hi);
        hi = select(hi > V(F::exp_high), V(F::exp_high), hi);
        // Where hi was replaced the rest means nothing, and may be NaN.
        const V lo = select(hi == x.hi, x.lo, V(0));
        n = round_(hi * T(1.44269504088896340736));
        const DoubleDouble<V> shift = two_prod<V>(-n, F::ln2_lo), s = two_sum<V>(hi - n * F::ln2_hi, shift.hi);
        const DoubleDouble<V> r = quick_sum<V>(s.hi, s.lo + (shift.lo + lo)), square = two_square<V>(r);
        const DoubleDouble<T> sixth = two_from<T>(1.0 / 6.0, 9.25185853854297e-18);
        const DoubleDouble<V> cube = two_mul<V>(two_mul<V>(square, r), {V(sixth.hi), V(sixth.lo)});
        const V fourth = square.hi * square.hi * quartic(r.hi);
        const DoubleDouble<V> a = two_sum<V>(cube.hi, fourth), b = two_sum<V>(T(0.5) * square.hi, a.hi);
        const DoubleDouble<V> c = two_sum<V>(r.hi, b.hi);
        p = quick_sum<V>(c.hi, c.lo + (b.lo + (r.lo + (T(0.5) * square.lo + (a.lo + cube.lo)))));
    }
    // (expm1(r) - r - r^2 / 2 - r^3 / 6) / r^4 for |r| <= log(2) / 2.
    static SL_FN V quartic(V r) {
        if constexpr (is_single<V>)
            return polynomial(r, 0.0416666666667, 0.00833332084228, 0.00138888764007, 0.000198827730163,
                              2.48430829072e-5);
        else
            return polynomial(r, 0.0416666666666666672331, 0.00833333333333333337109, 0.00138888888888865356384,
                              0.000198412698412682726657, 0.0000248015873172287221442, 2.75573192344120433808e-6,
                              2.75572828388004829715e-7, 2.50520841317179773538e-8, 2.09112987659401982271e-9,
                              1.6082069480899212801e-10);
    }
    // exp(x), and exp(x) - 1 for x <= 0.
    SL_FN DoubleDouble<V> exp() const {
        const DoubleDouble<V> s = quick_sum<V>(V(1), p.hi);
        return {scale_two<V>(s.hi, n), scale_two<V>(s.lo + p.lo, n)};
    }
    SL_FN DoubleDouble<V> expm1() const {
        const V power = scale_two<V>(V(1), n);
        const DoubleDouble<V> whole = two_sum<V>(power, V(-1)), s = two_sum<V>(whole.hi, power * p.hi);
        return quick_sum<V>(s.hi, s.lo + (whole.lo + power * p.lo));
    }
};

// 1 - exp(-x); expm1_ itself is not exact below the normal numbers.
template <class V>
SL_FN V one_less_exp(V x) { return select(abs_(x) < V(Format<Real<V>>::tiny), x, -expm1_<V>(-x)); }

// log(1 - exp(-x)) for x >= 0; NaN below. Maechler (2012), Accurately computing log(1 - exp(-|a|)).
template <class V>
SL_FN V log1mexp(DoubleDouble<V> x) {
    const V near = log_any<V>(one_less_exp<V>(x.hi)), far = log1p_<V>(-decay<V>({-x.hi, -x.lo}));
    return select(x.hi > V(Real<V>(0.69314718055994530942)), far, near);
}

}  // namespace sl

#endif
