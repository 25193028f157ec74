// Exponentials and logarithms of the two formats: on the CPU by polynomials, on a device CUDA's own. Thresholds.
#ifndef SKLEARN_LOSSES_FUNCTIONS_H
#define SKLEARN_LOSSES_FUNCTIONS_H

#include "math/config.h"

namespace sl {

// Constants of the two formats, and the polynomials, which are near-minimax fits (Chebyshev, 60 digits) made for the
// intervals of the reductions below. `round` is 1.5 * 2^(digits): adding it rounds to an integer in the low bits.
template <class T>
struct Format;

template <>
struct Format<float> {
    static constexpr float max = 3.40282347e38f, tiny = 1.17549435e-38f, huge = 1e9f;
    static constexpr float exp_low = -104.0f, exp_high = 89.0f;
    static constexpr float lift = 64.0f, lowering = 5.421010862427522e-20f;  // 2^-lift
    static constexpr float scaled_limit = 200.0f, power_limit = 400.0f, eps = 1.1920929e-7f;
    static constexpr float ln2_hi = 0.693359375f, ln2_lo = -2.12194440e-4f;
    // A quotient of two numbers that overflows is 2^range times one that does not: lowered_half is 2^(-range / 2).
    static constexpr float lowered_half = 5.421010862427522e-20f, log_range = 88.722839111672999f, range = 128.0f;
    // (atanh(s) - s) / s^3 for z = s^2 <= 1/9.
    static SL_FN float atanh_tail(float z) {
        float p = 0.11612164612f;
        p = p * z + 0.108532879004f;
        p = p * z + 0.142961789972f;
        p = p * z + 0.19999853166f;
        p = p * z + 0.333333336603f;
        return p;
    }
    // (expm1(r) - r) / r^2 on |r| <= log(2) / 2, to 0.2 ulp of expm1.
    template <class V>
    static SL_FN V expm1_tail(V r) {
        // Estrin's scheme: less latency than Horner's.
        const V r2 = r * r, a = 0.5f + r * 0.16666576846f, b = 0.0416665544377f + r * 0.00836320297158f;
        return a + r2 * (b + r2 * 0.00139262134663f);
    }
#if !SL_DEVICE
    using Int = Integers<float>::Int;
    using Bits = Integers<float>::Bits;
    static constexpr float round = 12582912.0f;
    static constexpr Bits digits = 23, bias = 127, round_bits = 0x4b400000u;
    static constexpr Bits one = 0x3f800000u, sqrt_half = 0x3f3504f3u, mantissa = 0x007fffffu;
    // log1p(f) for sqrt(1/2) - 1 <= f <= sqrt(2) - 1.
    template <class V>
    static SL_FN V log1p_kernel(V f) {
        V p = -0.0790274377239f;
        p = p * f + 0.126223198492f;
        p = p * f - 0.129981837637f;
        p = p * f + 0.142144959239f;
        p = p * f - 0.166412814631f;
        p = p * f + 0.200010450942f;
        p = p * f - 0.250003064226f;
        p = p * f + 0.333333307282f;
        const V f2 = f * f;
        return f - (0.5f * f2 - f * f2 * p);
    }
    // log1p(x) for 0 <= x <= 1, in even and odd powers.
    template <class V>
    static SL_FN V log1p_unit(V x) {
        const V z = x * x;
        V a = 0.005126102141f, b = -0.02907406468f;
        a = a * z + 0.07751608674f;
        b = b * z - 0.1360224762f;
        a = a * z + 0.1907688074f;
        b = b * z - 0.2483539899f;
        a = a * z + 0.3331812171f;
        b = b * z - 0.4999944498f;
        a = a * z + 0.9999999659f;
        return x * (a + x * b);
    }
#endif
};

template <>
struct Format<double> {
    static constexpr double max = 1.7976931348623157e308, tiny = 2.2250738585072014e-308, huge = 1e18;
    static constexpr double exp_low = -746.0, exp_high = 710.0;
    static constexpr double lift = 128.0, lowering = 2.938735877055719e-39;  // 2^-lift
    static constexpr double scaled_limit = 1500.0, power_limit = 3000.0, eps = 2.220446049250313e-16;
    static constexpr double ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
    static constexpr double lowered_half = 7.458340731200207e-155, log_range = 709.78271289338397, range = 1024.0;
    // (atanh(s) - s) / s^3 for z = s^2 <= 1/9.
    static SL_FN double atanh_tail(double z) {
        double p = 0.0808202280597176611;
        p = p * z + 0.04400369243072336941;
        p = p * z + 0.06000536404795356268;
        p = p * z + 0.06657072104827468075;
        p = p * z + 0.07692785032479311552;
        p = p * z + 0.09090894718066429085;
        p = p * z + 0.1111111135871393149;
        p = p * z + 0.1428571428355437858;
        p = p * z + 0.2000000000000729134;
        p = p * z + 0.3333333333333332928;
        return p;
    }
    template <class V>
    static SL_FN V expm1_tail(V r) {
        const V r2 = r * r, r4 = r2 * r2;
        const V a = 0.5000000000000001026209 + r * 0.1666666666666666745588;
        const V b = 0.04166666666662399151589 + r * 0.008333333333330051346372;
        const V c = 0.00138888889172817933075 + r * 0.0001984126986310596874839;
        const V d = 0.00002480152119021772765082 + r * 0.000002755726837868419287267;
        const V e = 2.762013871973399556876e-7 + r * 2.510042415700506678762e-8;
        return (a + r2 * b) + r4 * ((c + r2 * d) + r4 * e);
    }
#if !SL_DEVICE
    using Int = Integers<double>::Int;
    using Bits = Integers<double>::Bits;
    static constexpr double round = 6755399441055744.0;
    static constexpr Bits digits = 52, bias = 1023, round_bits = 0x4338000000000000u;
    static constexpr Bits one = 0x3ff0000000000000u, sqrt_half = 0x3fe6a09e667f3bcdu, mantissa = 0x000fffffffffffffu;
    // 2 atanh(f / (2 + f)), a series in the square of its argument.
    template <class V>
    static SL_FN V log1p_kernel(V f) {
        const V s = f / (2.0 + f), z = s * s, z2 = z * z;
        const V a = 0.6666666666666669688307 + z * 0.3999999999989944323319;
        const V b = 0.2857142862600326874162 + z * 0.2222221113025987702904;
        const V c = 0.1818288945567494603851 + z * 0.1533171061821077156801;
        const V r = z * (a + z2 * (b + z2 * (c + z2 * 0.146165854248886219894)));
        const V h = 0.5 * f * f;
        return f - (h - s * (h + r));
    }
    // A polynomial although it is long: a division costs as much as sixteen of its terms.
    template <class V>
    static SL_FN V log1p_unit(V x) {
        const V z = x * x;
        V a = 0.000413714998632802539, b = -0.0000373611109062551083;
        a = a * z + 0.00723815434800420667;
        b = b * z - 0.00217226324948275166;
        a = a * z + 0.0322117318057700103;
        b = b * z - 0.0173379923612713908;
        a = a * z + 0.06504582676908699;
        b = b * z - 0.0491948663491378039;
        a = a * z + 0.0891045737791934368;
        b = b * z - 0.0781661998990208077;
        a = a * z + 0.111004124039941494;
        b = b * z - 0.0995015979448041811;
        a = a * z + 0.142855038356318111;
        b = b * z - 0.124982539332801252;
        a = a * z + 0.199999989679202162;
        b = b * z - 0.16666648665905762;
        a = a * z + 0.333333333326518325;
        b = b * z - 0.249999999636291075;
        a = a * z + 0.999999999999999936;
        b = b * z - 0.499999999999949059;
        return x * (a + x * b);
    }
#endif
};

#if SL_DEVICE

SL_FN float exp_(float x) { return expf(x); }
SL_FN double exp_(double x) { return exp(x); }
SL_FN float expm1_(float x) { return expm1f(x); }
SL_FN double expm1_(double x) { return expm1(x); }
SL_FN float log1p_(float x) { return log1pf(x); }
SL_FN double log1p_(double x) { return log1p(x); }
SL_FN float log_(float x) { return logf(x); }
SL_FN double log_(double x) { return log(x); }
SL_FN float round_(float x) { return rintf(x); }
SL_FN double round_(double x) { return rint(x); }
SL_FN float scale_two(float x, float n) { return ldexpf(x, int(n)); }
SL_FN double scale_two(double x, double n) { return ldexp(x, int(n)); }
SL_FN float scale_four(float x, float f, float n) { return ldexpf(ldexpf(x, int(n) / 2) * f, int(n) - int(n) / 2); }
SL_FN double scale_four(double x, double f, double n) { return ldexp(ldexp(x, int(n) / 2) * f, int(n) - int(n) / 2); }

#else

template <class V>
SL_FN typename Register<V>::Bits to_bits(V x) {
    typename Register<V>::Bits b;
    std::memcpy(&b, &x, sizeof b);
    return b;
}
template <class V>
SL_FN V from_bits(typename Register<V>::Bits b) {
    V x;
    std::memcpy(&x, &b, sizeof x);
    return x;
}

template <class V>
SL_FN V round_(V x) { return (x + Format<Real<V>>::round) - Format<Real<V>>::round; }

// x * f * 2^n for a whole n, |n| <= power_limit, and f between 1/4 and 4: four powers of two, so that no partial
// product over- or underflows before the result does.
template <class T>
SL_FN T scale_four(T x, T f, T n) {
    using F = Format<T>;
    using Int = typename F::Int;
    using Bits = typename F::Bits;
    const Int whole = Int(to_bits<T>(n + F::round) - F::round_bits), quarter = (whole + (n < T(0) ? Int(3) : Int(0))) >> 2;
    const T s = from_bits<T>((Bits(quarter) + F::bias) << F::digits);
    const T last = from_bits<T>((Bits(whole - 3 * quarter) + F::bias) << F::digits);
    // A small x may be subnormal, and is raised before it is rounded; a large one must not be raised before f, by f
    // neither where the powers lower it.
    const T size = n < T(0) ? T(0) : abs_(x), early = size < T(1) ? T(1) : f, late = size < T(1) ? f : T(1);
    return ((((x * early) * last) * s) * s) * late * s;
}

// exp(hi + lo) = 2^n * (1 + p), p = expm1(r), |r| <= log(2) / 2 (Cody and Waite's reduction).
template <class V>
struct ExpParts {
    V n, p;
};
template <class V>
SL_FN ExpParts<V> exp_parts(V hi, V lo, Real<V> low, Real<V> high) {
    using T = Real<V>;
    using F = Format<T>;
    hi = select(hi < V(low), V(low), hi);
    hi = select(hi > V(high), V(high), hi);
    const V n = round_(hi * T(1.44269504088896340736));
    const V r = ((hi - n * F::ln2_hi) - n * F::ln2_lo) + lo;
    return {n, r + r * r * F::expm1_tail(r)};
}

// 2^n in two factors, which is enough for n between -2 * bias and 2 * bias.
template <class V>
SL_FN V scale_two(V x, V n) {
    using F = Format<Real<V>>;
    using Bits = typename F::Bits;
    // Halved as a number above 0, since registers shift without a sign.
    const Bits lift = Bits(2) * F::bias;
    const auto whole = to_bits<V>(n + F::round) - F::round_bits, half = ((whole + Bits(2) * lift) >> Bits(1)) - lift;
    return (x * from_bits<V>((half + F::bias) << F::digits)) * from_bits<V>(((whole - half) + F::bias) << F::digits);
}

template <class V>
SL_FN V exp_(V x) {
    using F = Format<Real<V>>;
    const ExpParts<V> e = exp_parts<V>(x, V(0), F::exp_low, F::exp_high);
    return scale_two<V>(Real<V>(1) + e.p, e.n);
}

template <class V>
SL_FN V expm1_(V x) {
    using T = Real<V>;
    const ExpParts<V> e = exp_parts<V>(x, V(0), T(-60), Format<T>::exp_high);
    // Half of it first, since 2^n itself overflows just below the largest finite result.
    const V half = scale_two<V>(V(1), e.n - T(1));
    return T(2) * (half * e.p + (half - T(0.5)));
}

// u = 2^k * (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), for a normal u > 0.
template <class V>
struct LogParts {
    V k, f;
};
template <class V>
SL_FN LogParts<V> log_parts(V u) {
    using F = Format<Real<V>>;
    using Bits = typename F::Bits;
    const auto b = to_bits<V>(u) + (F::one - F::sqrt_half);
    // The exponent field, turned into a number by placing it in the low bits of 2^digits.
    const V k = from_bits<V>((b >> F::digits) | ((F::bias + F::digits) << F::digits)) -
                Real<V>((Bits(1) << F::digits) + F::bias);
    return {k, from_bits<V>((b & F::mantissa) + F::sqrt_half) - Real<V>(1)};
}
template <class V>
SL_FN LogParts<V> log1p_parts(V x) {
    LogParts<V> p = log_parts<V>(Real<V>(1) + x);
    // Where the exponent is 0, x itself is the fraction. Elsewhere the rounding of 1 + x costs at most 1.5 ulp.
    p.f = select(p.k == V(0), x, p.f);
    return p;
}
template <class V>
SL_FN V log_join(LogParts<V> p) {
    using F = Format<Real<V>>;
    return p.k * F::ln2_hi + (F::log1p_kernel(p.f) + p.k * F::ln2_lo);
}

// log(x) for normal x > 0, and log1p(x) for x > -1; NaN and infinity pass through.
template <class V>
SL_FN V log_(V x) {
    const V y = log_join(log_parts<V>(x));
    return select(x <= V(Format<Real<V>>::max), y, x);
}
template <class V>
SL_FN V log1p_(V x) {
    const V y = log_join(log1p_parts<V>(x));
    return select(x <= V(Format<Real<V>>::max), y, x);
}

#endif

// log1p(x) for 0 <= x <= 1.
template <class V>
SL_FN V log1p_unit(V x) {
#if SL_DEVICE
    return log1p_(x);
#else
    return Format<Real<V>>::log1p_unit(x);
#endif
}

// log1p(e) - e / (1 + e) for 0 <= e <= 1 and inverse = 1 / (1 + e): with s = e / (2 + e) it is 2 atanh(s) - 2 s / (1 + s),
// a sum of terms of one sign.
template <class T>
SL_FN T log1p_beyond(T e, T inverse) {
    const T s = e / (T(2) + e), z = s * s;
    return s * (e * inverse + T(2) * z * Format<T>::atanh_tail(z));
}

template <class T>
SL_FN T clamp_(T x, T low, T high) {
    const T at_least = x < low ? low : x;
    return at_least > high ? high : at_least;
}
// Nearer to 0 by `amount`, no further than 0, which is never -0.
template <class T>
SL_FN T soft_threshold(T x, T amount) {
    const T left = abs_(x) - amount;
    return left <= T(0) ? T(0) : (x < T(0) ? -left : left);
}

}  // namespace sl

#endif
