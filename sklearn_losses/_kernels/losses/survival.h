// Accelerated failure times: the logarithm of a time is a location plus a scale times a standard variable, and of a time it may
// be known only in which interval it lies.
#ifndef SKLEARN_LOSSES_SURVIVAL_H
#define SKLEARN_LOSSES_SURVIVAL_H

#include "losses/tile.h"
#include "math/distributions.h"

namespace sl {

// Targets: the ends of an interval of times; equal where the time itself is known, 0 or infinity where it is open. Raw
// predictions: the location, and the logarithm of the scale.
template <class V, template <class> class Distribution>
struct FailureTime {
    using T = Real<V>;
    using D = Distribution<V>;
    static constexpr bool soft = true, probabilities = false;
    SL_FN FailureTime(const double*, int) {}

    template <int OUT, bool SOFT, class Self>
    static SL_FN void run(const Self&, const Tile<T>& t) {
        const V low = load<V>(SOFT ? t.target : t.code), high = load<V>(SOFT ? t.target + t.stride : t.code);
        const V location = load<V>(t.raw), log_scale = load<V>(t.raw + t.stride), inverse = exp_(-log_scale);
        t.prefetch(0);
        t.prefetch(1);
        const auto known = low == high, starts = low > V(0), ends = high <= V(Format<T>::max);
        const V log_high = log_(high);
        const V a = select(starts, (log_(low) - location) * inverse, V(-inf_<T>()));
        const V b = select(ends, (log_high - location) * inverse, V(inf_<T>()));
        const V fault = ((low - low) + select(high == high, V(0), high)) + ((location - location) + (log_scale - log_scale));
        // Of the time itself.
        const V score = D::score(b);
        // Of an interval: its slope by the logarithm of the scale is a slope + (b - a) upper, or that of its only end.
        const auto i = D::interval(a, b);
        const V by_a = mul0(i.lower, a), by_b = mul0(i.upper, b), wide = (b - a) * i.upper;
        const V one_end = by_b - by_a;
        const V both = a * i.slope + wide, slope = select(starts, select(ends, both, one_end), one_end);
        if constexpr ((OUT & VALUE) != 0)
            store(t.value, select(known, (log_scale + log_high) - D::log_density(b), -i.log) + fault);
        if constexpr (OUT != VALUE) {
            store(t.gradient, select(known, score, i.slope) * inverse + fault);
            store(t.gradient + t.stride, select(known, T(1) + score * b, slope) + fault);
        }
        if constexpr ((OUT & HESSIAN) != 0) {
            const V dense = D::density_curvature(b), of_a = mul0(mul0(mul0(i.lower, D::score(a)), a), a);
            const V of_b = mul0(mul0(mul0(i.upper, D::score(b)), b), b);
            const V at_one = of_b - of_a;
            const V at_both = D::score(b) * wide * (a + b) + a * a * (i.slope * i.slope - i.curvature);
            const V bent = select(starts, select(ends, at_both, at_one), at_one);
            store(t.hessian, select(known, dense, i.curvature) * inverse * inverse + fault);
            store(t.hessian + t.stride, select(known, dense * b * b - score * b, (slope * slope - slope) - bent) + fault);
        }
    }
};

template <class V>
struct AFTLogistic : FailureTime<V, Logistic> {
    using FailureTime<V, Logistic>::FailureTime;
};
template <class V>
struct AFTExtreme : FailureTime<V, ExtremeValue> {
    using FailureTime<V, ExtremeValue>::FailureTime;
};

template <class V>
struct AFTNormal : FailureTime<V, Normal> {
    using FailureTime<V, Normal>::FailureTime;
};

}  // namespace sl

#endif
