// Exponentials to more digits than a number has, what differences of exponentials need, and the normal distribution.
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
// a * b; the low part means nothing where the product overflows.
template <class V>
SL_FN DoubleDouble<V> two_mul(DoubleDouble<V> a, DoubleDouble<V> b) {
    const DoubleDouble<V> p = two_prod<V>(a.hi, b.hi);
    const V lo = p.lo + (a.hi * b.lo + a.lo * b.hi);
    return quick_sum<V>(p.hi, select(abs_(p.hi) > V(Format<Real<V>>::max), V(0), lo));
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
        return {scale_two(s.hi, n), scale_two(s.lo + p.lo, n)};
    }
    SL_FN DoubleDouble<V> expm1() const {
        const V power = scale_two(V(1), n);
        const DoubleDouble<V> whole = two_sum<V>(power, V(-1)), s = two_sum<V>(whole.hi, power * p.hi);
        return quick_sum<V>(s.hi, s.lo + (whole.lo + power * p.lo));
    }
};

// 1 - exp(-x); expm1_ itself is not exact below the normal numbers.
template <class V>
SL_FN V one_less_exp(V x) { return select(abs_(x) < V(Format<Real<V>>::tiny), x, -expm1_(-x)); }

// log(1 - exp(-x)) for x >= 0; NaN below. Maechler (2012), Accurately computing log(1 - exp(-|a|)).
template <class V>
SL_FN V log1mexp(DoubleDouble<V> x) {
    const V near = log_any<V>(one_less_exp<V>(x.hi)), far = log1p_(-decay<V>({-x.hi, -x.lo}));
    return select(x.hi > V(Real<V>(0.69314718055994530942)), far, near);
}

// (x - k) / (x + k), which takes [0, inf] to [-1, 1].
template <class V>
SL_FN V onto_unit(V x, Real<V> k) {
    const V limit = Format<Real<V>>::huge, bounded = select(x > limit, limit, x);
    return (bounded - k) / (bounded + k);
}
// (1 + 2 x) erfcx(x) for x = k (1 + t) / (1 - t): Shepherd and Laframboise (1981), Chebyshev approximation of
// (1 + 2x) exp(x^2) erfc(x) in 0 <= x < infinity.
template <class V>
struct ErfcxFit {
    static constexpr double k = is_single<V> ? 2.75 : 3.75;
    static SL_FN V at(V t) {
        if constexpr (is_single<V>)
            return polynomial(t, 1.2588036117, -0.13046248321, -0.0713051939, 0.14490630424, -0.11450513974,
                              0.052319999282, -0.010448110743, -0.002624007798, 0.0018277171451, 4.3209241575e-5,
                              -0.00018331290439, 6.5623461858e-6);
        else
            return polynomial(
                t, 1.2375126308378275819, -0.14024059858554696191, 0.0035854154854637749642, 0.082276738490145159123,
                -0.10880393014171785779, 0.092304321160378767141, -0.058693398590212367225, 0.028362277418940664799,
                -0.0097465795525042429682, 0.0017556258530017257945, 0.00029371363428500812575,
                -0.0002901540809795271307, 0.000051649211390702851871, 0.000022384240314224438333,
                -0.000011444412439171723062, -9.735619015182663294e-7, 1.7520579701663181024e-6,
                -5.721597255990987179e-8, -2.5910696877966578529e-7, 2.3261913276696567394e-8,
                3.8965452548985968109e-8, -3.7435680336345832166e-9, -5.2842869796314205662e-9,
                3.1103107198391649931e-10, 4.4349590700096282602e-10);
    }
};
// (1 + 2 x + 2 x^2) (1 / sqrt(pi) - x erfcx(x)), which is minus half the derivative of erfcx, made likewise.
template <class V>
struct ErfcxSlopeFit {
    static constexpr double k = is_single<V> ? 2.75 : 4.0;
    static SL_FN V at(V t) {
        if constexpr (is_single<V>)
            return polynomial(t, 0.683756955, -0.089292112645, -0.12344381928, 0.14695163705, -0.044420951926,
                              -0.041623702727, 0.050541854296, -0.019428111935, -0.0020590060095, 0.0039708995686,
                              -0.00023365008472, -0.00065366896629, 4.8202577201e-5, 7.5061281699e-5);
        else
            return polynomial(
                t, 0.663861874947939823, -0.11704966551044233774, -0.027551719568220248662, 0.10912555414784681438,
                -0.1104018460302968565, 0.060471075302584711392, -0.0042849724356059390514, -0.028272023064914417831,
                0.033042349490687511739, -0.022326103439735112793, 0.0098546494804573840274,
                -0.0023330337270774112554, -0.00024527025305604312359, 0.00041316475508796489433,
                -0.00010535868588902403325, -0.0000289998425740716483, 0.000022972657192079486413,
                -4.3149369126236665064e-7, -3.5446998479885802282e-6, 5.7765854428593114338e-7,
                5.1435080546174964009e-7, -1.3367324767285659371e-7, -7.4648071667218703466e-8,
                2.0630881161496367641e-8, 9.7232444473412582759e-9, -1.7432626556822267213e-9,
                -7.8158265514945391255e-10);
    }
};

// exp(x^2) erfc(x).
template <class V>
SL_FN V erfcx_(V x) {
    using T = Real<V>;
    using Fit = ErfcxFit<V>;
    const V size = abs_(x), right = T(0.5) * Fit::at(onto_unit<V>(size, T(Fit::k))) / (size + T(0.5));
    const V left = T(2) * TwoExp<V>(two_prod<V>(x, x)).exp().hi - right;
    return select(x < V(0), left, right);
}

// The standard normal distribution at and beyond z >= 0, where all that is Q = 1 - Phi is taken over exp(-z^2 / 2).
template <class V>
struct NormalTail {
    using T = Real<V>;
    using Fit = ErfcxFit<V>;
    using SlopeFit = ErfcxSlopeFit<V>;
    V z, fit;
    SL_FN explicit NormalTail(V z_) : z(z_), fit(Fit::at(onto_unit<V>(z_, T(Fit::k * 1.4142135623730950488)))) {}
    // exp(-z^2 / 2), its root, whose square may underflow where what it stands before is large, and Q over it.
    SL_FN V gauss() const { return power(T(-0.5)); }
    SL_FN V root_gauss() const { return power(T(-0.25)); }
    SL_FN V power(T by) const {
        const DoubleDouble<V> p = two_prod<V>(z, z);
        return decay<V>({by * p.hi, by * p.lo});
    }
    SL_FN V mass() const { return fit / (T(2) + T(2.8284271247461900976) * z); }
    // The hazard phi / Q, which is z at infinity.
    SL_FN V hazard() const { return (z + T(0.70710678118654752440)) / (T(0.88622692545275801365) * fit); }
    // 1 - z Q / phi.
    SL_FN V rest() const { return slope_fit() * (T(1.7724538509055160273) / shape()); }
    // The derivative of the hazard, hazard^2 times the rest.
    SL_FN V hazard_slope() const {
        return T(2.2567583341910251478) * slope_fit() / (fit * fit) * (T(1) - T(0.5) / shape());
    }
    SL_FN V shape() const { return T(1) + z * (T(1.4142135623730950488) + z); }
    SL_FN V slope_fit() const { return SlopeFit::at(onto_unit<V>(z, T(SlopeFit::k * 1.4142135623730950488))); }
};

// The standard normal distribution function, its logarithm, and the density over it.
template <class V>
SL_FN V ndtr_(V x) {
    const NormalTail<V> tail(abs_(x));
    const V q = tail.gauss() * tail.mass();
    return select(x < V(0), q, Real<V>(1) - q);
}
template <class V>
SL_FN V log_ndtr_(V x) {
    using T = Real<V>;
    const NormalTail<V> tail(abs_(x));
    const V mass = tail.mass();
    return select(x < V(0), T(-0.5) * x * x + log_(mass), log1p_(-(tail.gauss() * mass)));
}
template <class V>
SL_FN V mills_(V x) {
    using T = Real<V>;
    const NormalTail<V> tail(abs_(x));
    const V e = tail.gauss();
    return select(x < V(0), tail.hazard(), T(0.39894228040143267794) * e / (T(1) - e * tail.mass()));
}

}  // namespace sl

#endif
