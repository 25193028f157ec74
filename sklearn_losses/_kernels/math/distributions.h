// Distributions of losses for survival times, censored and ordered targets: logarithms and derivatives of the density, of
// both tails, and of intervals, none of which cancel.
//
// Each struct has the same functions of z, a standardised residual:
//   log_density, log_cdf, log_survival      log f, log F, log(1 - F)
//   score                                   the derivative of log f
//   hazard, reverse_hazard                  f / (1 - F) and f / F: minus the derivative of log(1 - F), and that of log F
//   density_curvature, survival_curvature, cdf_curvature     minus the second derivatives of the three logarithms
//   interval(a, b)                          see Interval; a < b, of which either may be infinite
#ifndef SKLEARN_LOSSES_DISTRIBUTIONS_H
#define SKLEARN_LOSSES_DISTRIBUTIONS_H

#include "math/special.h"

namespace sl {

// Of D = F(b) - F(a): log D, f(a) / D and f(b) / D; and along a and b moved together, as a location moves them, the first
// derivative of log D, which is `upper - lower` without its cancellation, and minus the second. The derivative along both
// scaled together, b * upper - a * lower, is a * slope + (b - a) * upper.
//
// All keep their digits for any a < b, however close. The slope of an ExtremeValue has its zero at no simple place: there
// it keeps the digits of the least of upper, lower, 1 and the larger of |a| and |b|.
template <class V>
struct Interval {
    V log, lower, upper, slope, curvature;
};

template <class V>
struct Logistic {
    using T = Real<V>;
    static SL_FN V small(V z) { return decay<V>({-abs_(z), V(0)}); }
    static SL_FN V log_density(V z) {
        const V e = small(z);
        return -abs_(z) - T(2) * log1p_unit(e);
    }
    static SL_FN V score(V z) {
        const V m = expm1_(-abs_(z)), t = m / (T(2) + m);
        return select(z < V(0), -t, t);
    }
    static SL_FN V log_cdf(V z) { return select(z < V(0), z, V(0)) - log1p_unit(small(z)); }
    static SL_FN V log_survival(V z) { return log_cdf(-z); }
    static SL_FN V hazard(V z) {
        const V e = small(z);
        return select(z < V(0), e, V(1)) / (T(1) + e);
    }
    static SL_FN V reverse_hazard(V z) { return hazard(-z); }
    static SL_FN V survival_curvature(V z) {
        const V e = small(z), inverse = T(1) / (T(1) + e);
        return e * inverse * inverse;
    }
    static SL_FN V cdf_curvature(V z) { return survival_curvature(z); }
    static SL_FN V density_curvature(V z) { return T(2) * survival_curvature(z); }

    // D = F(b) (1 - F(a)) (1 - exp(a - b)).
    static SL_FN Interval<V> interval(V a, V b) {
        const DoubleDouble<V> width = two_sum<V>(b, -a);
        const V ea = small(a), eb = small(b), pa = T(1) + ea, pb = T(1) + eb, gap = one_less_exp<V>(width.hi);
        const V below_a = select(a < V(0), V(0), -a), below_b = select(b < V(0), b, V(0));
        // The logarithms of (1 - F(b)) / (1 - F(a)) and of F(a) / F(b), less those of pa / pb and of pb / pa.
        const auto above = a > V(0), below = b < V(0);
        const V up = select(b > V(0), -b, V(0)), down = select(a < V(0), a, V(0));
        const V to_b = decay<V>({select(above, -width.hi, up), select(above, -width.lo, V(0))});
        const V to_a = decay<V>({select(below, -width.hi, down), select(below, -width.lo, V(0))});
        Interval<V> i;
        i.log = (below_a + below_b) + (log1mexp<V>(width) - (log1p_unit(ea) + log1p_unit(eb)));
        i.upper = to_b * (pa / (pb * gap));
        i.lower = to_a * (pb / (pa * gap));
        // 1 - F(a) - F(b) = F(a) F(b) expm1(-a - b), and mirrored.
        const V sum = select(a == -b, V(0), a + b), sign = select(sum < V(0), V(-1), V(1));
        const V fa = select(sign * a < V(0), ea, V(1)) / pa, fb = select(sign * b < V(0), eb, V(1)) / pb;
        i.slope = sign * (fa * fb * expm1_(-abs_(sum)));
        i.curvature = ea / (pa * pa) + eb / (pb * pb);
        return i;
    }
};

// w / expm1(w), and w / (1 - exp(-w)) - 1: of w = exp(z), a Gumbel variable's reverse hazard and its decline.
template <class V>
struct Decline {
    V root, k, excess;  // exp(-w / 2), whose square may underflow where what it stands before is large; w / (1 - exp(-w))
    SL_FN explicit Decline(DoubleDouble<V> w) {
        using T = Real<V>;
        k = select(w.hi < V(Format<T>::eps), V(1), w.hi / one_less_exp<V>(w.hi));
        root = decay<V>({T(-0.5) * w.hi, T(-0.5) * w.lo});
        excess = select(w.hi < V(T(1.386)), w.hi * decline_tail(w.hi) * k, k - T(1));
    }
    // w / expm1(w) times f.
    SL_FN V ratio(V f) const { return root * mul0(root, k * f); }
};

// The minimum of exponential variables, in logarithms: F(z) = 1 - exp(-exp(z)).
template <class V>
struct ExtremeValue {
    using T = Real<V>;
    static SL_FN DoubleDouble<V> two_exp(V z) { return TwoExp<V>({z, V(0)}).exp(); }
    static SL_FN V log_density(V z) {
        const V u = exp_(z);
        return select(u > V(Format<T>::max), -u, z - u);
    }
    static SL_FN V score(V z) { return -expm1_(z); }
    static SL_FN V log_cdf(V z) {
        const DoubleDouble<V> u = two_exp(z);
        return select(u.hi < V(Format<T>::eps), z, log1mexp<V>(u));
    }
    static SL_FN V log_survival(V z) { return -exp_(z); }
    static SL_FN V hazard(V z) { return exp_(z); }
    static SL_FN V reverse_hazard(V z) { return Decline<V>(two_exp(z)).ratio(V(1)); }
    static SL_FN V density_curvature(V z) { return exp_(z); }
    static SL_FN V survival_curvature(V z) { return exp_(z); }
    static SL_FN V cdf_curvature(V z) {
        const Decline<V> d(two_exp(z));
        return d.ratio(d.excess);
    }

    // D = exp(-exp(a)) (1 - exp(-w)), w = exp(b) - exp(a) = exp(b) (1 - exp(a - b)).
    static SL_FN Interval<V> interval(V a, V b) {
        const DoubleDouble<V> width = two_sum<V>(b, -a), rise = two_exp(b);
        DoubleDouble<V> gap = TwoExp<V>({-width.hi, -width.lo}).expm1();
        gap = {-gap.hi, -gap.lo};
        const DoubleDouble<V> w = two_mul<V>(rise, gap);
        const V ua = exp_(a), m = one_less_exp<V>(w.hi);
        // Below, w may underflow, and 1 - exp(-w) is w.
        const auto small = w.hi < V(Format<T>::eps);
        const V near = log_any<V>(select(small, gap.hi, m)) + select(small, b, V(0));
        const V far = log1p_(-decay<V>({-w.hi, -w.lo}));
        const Decline<V> d(w);
        Interval<V> i;
        i.log = select(w.hi > V(T(0.69314718055994530942)), far, near) - ua;
        i.upper = d.ratio(T(1) / gap.hi);
        // exp(a) may be subnormal where 1 - exp(-w) is small.
        i.lower = select(w.hi < V(1), d.k * decay<V>({-width.hi, -width.lo}) / gap.hi, ua / m);
        // ratio - ua, and where both are near 1 their differences from it.
        i.slope = select(w.hi < V(T(1.386)), -expm1_(a) - (w.hi - d.excess), d.ratio(V(1)) - ua);
        i.curvature = ua + d.ratio(d.excess);
        return i;
    }
};

// Moments of a density proportional to exp(-m u - u^2 / 2) over -h < u < h, for h <= 1/2 and h |m| <= 1/2: it is a sum of
// Hermite polynomials' products, p_k = He_k(m) h^k / k!.
template <class V>
struct NarrowNormal {
    V mass = 1, first = 0;  // over 2 h; the first moment over -2 h^2
    SL_FN NarrowNormal(V x, V square) { add<2>(x, square, V(1), x); }
    // x = h m, square = h^2; p_(k - 2) and p_(k - 1), of which the latter is the last that is in no sum yet.
    template <int K>
    SL_FN void add(V x, V square, V before, V now) {
        using T = Real<V>;
        if constexpr (K % 2 == 0)
            first = first + now * T(1.0 / (K + 1));
        else
            mass = mass + now * T(1.0 / K);
        if constexpr (K < (is_single<V> ? 12 : 22))
            add<K + 1>(x, square, now, (x * now - square * before) * T(1.0 / K));
    }
};

template <class V>
struct Normal {
    using T = Real<V>;
    static SL_FN V log_density(V z) { return T(-0.5) * z * z - T(0.91893853320467274178); }
    static SL_FN V score(V z) { return -z; }
    static SL_FN V log_cdf(V z) { return log_ndtr_<V>(z); }
    static SL_FN V log_survival(V z) { return log_ndtr_<V>(-z); }
    static SL_FN V hazard(V z) { return mills_<V>(-z); }
    static SL_FN V reverse_hazard(V z) { return mills_<V>(z); }
    static SL_FN V density_curvature(V z) { return select(z == z, V(1), z); }
    static SL_FN V survival_curvature(V z) { return cdf_curvature(-z); }
    static SL_FN V cdf_curvature(V z) {
        const NormalTail<V> tail(abs_(z));
        const V e = tail.gauss(), root = tail.root_gauss(), inverse = T(0.39894228040143267794) / (T(1) - e * tail.mass());
        return select(z < V(0), tail.hazard_slope(), root * mul0(root, (inverse * e + z) * inverse));
    }

    // Mirrored so that a + b >= 0. With s = (b^2 - a^2) / 2 there are three ways to D: of an interval that is narrow, in
    // the right tail, and around 0.
    static SL_FN Interval<V> interval(V a, V b) {
        const V sum = select(a == -b, V(0), a + b);
        const auto mirrored = sum < V(0);
        V low = select(mirrored, -b, a), high = select(mirrored, -a, b);
        // Finite ones for what is the same.
        const V least = T(-200);
        low = select(low < least, least, low);
        const V most = T(2) * abs_(low) + T(200);
        high = select(high > most, most, high);
        const DoubleDouble<V> width = two_sum<V>(high, -low), ends = two_sum<V>(high, low);
        const V h = T(0.5) * width.hi, m = T(0.5) * ends.hi;
        const DoubleDouble<V> s = two_mul<V>(width, {m, T(0.5) * ends.lo});
        const NormalTail<V> from(abs_(low)), to(high);
        const V fall = decay<V>({-s.hi, -s.lo}), gauss = from.gauss(), from_mass = from.mass(), to_mass = to.mass();
        const V x = T(0.5) * s.hi, square = h * h, scale = T(0.39894228040143267794);
        const NarrowNormal<V> near(x, square);
        const auto narrow = max_of(width.hi, s.hi) <= V(1), around = low < V(0);
        // D over exp(-centre^2 / 2), and f(low) over the same.
        const V tail = from_mass - to_mass * fall, rest = gauss * from_mass + gauss * fall * to_mass;
        // A subnormal width is raised before it is rounded.
        const auto faint = width.hi < V(Format<T>::tiny);
        const V raise = select(faint, V(T(1) / Format<T>::lowering), V(1));
        const V raised = select(faint, V(T(0.69314718055994530942) * Format<T>::lift), V(0));
        const V far = select(around, T(1) - rest, tail);
        const V mass = select(narrow, scale * (width.hi * raise) * near.mass, far);
        const V centre = select(narrow, m, low);
        const V far_height = select(around, gauss, V(1)), near_height = exp_(x - T(0.5) * square);
        const V lower = raise * (scale * select(narrow, near_height, far_height) / mass);
        // exp(-s) may be subnormal where its product is not.
        const V root = decay<V>({T(-0.5) * s.hi, T(-0.5) * s.lo}), upper = lower * root * root;
        // A narrow one's height may be infinite, and its slope is that of the density.
        const V pull = h * near.first / near.mass;
        const V slope = select(narrow, pull - m, lower * expm1_(-s.hi));
        const V log_tail = T(-0.5) * centre * centre + (log_any<V>(mass) - raised), log_around = log1p_(-rest);
        // Minus the second derivative in sums of terms of one sign, but for the narrow one, which is near 1.
        const V bend_narrow = T(0.5) * near_height * (T(1) + fall) / near.mass + pull * slope;
        const V bend_around = upper * high - lower * low + slope * slope;
        const V gap = T(1) - fall, over = T(2.5066282746310005024);
        const V part = gap * (from.rest() - fall * to.rest()) + fall * width.hi * over * (from_mass - to_mass);
        const V bend_tail = select(low > V(Format<T>::huge), V(1), lower * lower * part);
        Interval<V> i;
        i.log = select(narrow, log_tail, select(around, log_around, log_tail));
        i.lower = select(mirrored, upper, lower);
        i.upper = select(mirrored, lower, upper);
        i.slope = select(mirrored, -slope, slope);
        i.curvature = select(narrow, bend_narrow, select(around, bend_around, bend_tail));
        return i;
    }
    static SL_FN V max_of(V a, V b) { return select(a < b, b, a); }
};

}  // namespace sl

#endif
