// Ordered classes: a row of raw predictions is a location and K - 1 thresholds on it, and the target a class code.
#ifndef SKLEARN_LOSSES_ORDINAL_H
#define SKLEARN_LOSSES_ORDINAL_H

#include "losses/classification.h"
#include "losses/tile.h"
#include "math/distributions.h"

namespace sl {

// The probability of the interval between the thresholds beside the class.
template <class V, template <class> class Distribution>
struct Cumulative {
    using T = Real<V>;
    using D = Distribution<V>;
    static constexpr bool soft = false, probabilities = false;
    SL_FN Cumulative(const double*, int) {}

    template <int OUT, bool SOFT, class Self>
    static SL_FN void run(const Self&, const Tile<T>& t) {
        const int K = t.n_classes;
        const V code = load<V>(t.code), location = load<V>(t.raw);
        V a = -inf_<T>(), b = inf_<T>(), fault = code_fault<V>(code, K) + (location - location), at = 1;
        for (int k = 1; k < K; ++k, at = at + T(1)) {
            const V threshold = load<V>(t.raw + k * t.stride);
            t.prefetch(k);
            a = select(code == at, threshold - location, a);
            b = select(code == at - T(1), threshold - location, b);
            fault = fault + (threshold - threshold);
        }
        // Thresholds in the wrong order leave the interval nothing.
        const auto lost = b <= a;
        b = select(lost, a + T(1), b);
        const auto i = D::interval(a, b);
        if constexpr ((OUT & VALUE) != 0) store(t.value, select(lost, V(inf_<T>()), -i.log) + fault);
        if constexpr (OUT != VALUE) {
            const V all = select(lost, V(inf_<T>()), V(0)) + fault;
            store(t.gradient, i.slope + all);
            if constexpr ((OUT & HESSIAN) != 0) store(t.hessian, i.curvature + all);
            const V of_a = mul0(i.lower, D::score(a)) + i.lower * i.lower;
            const V of_b = i.upper * i.upper - mul0(i.upper, D::score(b));
            at = 1;
            for (int k = 1; k < K; ++k, at = at + T(1)) {
                const auto low = code == at, high = code == at - T(1);
                store(t.gradient + k * t.stride, select(low, i.lower, select(high, -i.upper, V(0))) + all);
                if constexpr ((OUT & HESSIAN) != 0)
                    store(t.hessian + k * t.stride, select(low, of_a, select(high, of_b, V(0))) + all);
            }
        }
    }
};

// A binary loss of the location at each threshold, or at those beside the class alone.
template <class V, template <class> class Binary, bool ALL>
struct Thresholds {
    using T = Real<V>;
    static constexpr bool soft = false, probabilities = false;
    const double* params;
    SL_FN Thresholds(const double* a, int) : params(a) {}

    template <int OUT, bool SOFT, class Self>
    static SL_FN void run(const Self& self, const Tile<T>& t) {
        enum { N = Register<V>::N };
        const Binary<T> binary(self.params);
        const int K = t.n_classes;
        const V code = load<V>(t.code), location = load<V>(t.raw), fault = code_fault<V>(code, K);
        V value = fault, slope = fault, bend = fault, at = 1;
        for (int k = 1; k < K; ++k, at = at + T(1)) {
            T target[N], margin[N], out[3][N];
            t.prefetch(k);
            store(target, select(code >= at, V(1), V(0)));
            store(margin, location - load<V>(t.raw + k * t.stride));
            for (int r = 0; r < N; ++r) {
                const Out<T> o = binary(target[r], margin[r]);
                out[0][r] = o.value;
                out[1][r] = o.gradient;
                out[2][r] = o.hessian;
            }
            const V kept = ALL ? V(1) : select(code == at, V(1), V(0)) + select(code == at - T(1), V(1), V(0));
            const V g = mul0(kept, load<V>(out[1])) + fault, h = mul0(kept, load<V>(out[2])) + fault;
            value = value + mul0(kept, load<V>(out[0]));
            slope = slope + g;
            bend = bend + h;
            if constexpr (OUT != VALUE) store(t.gradient + k * t.stride, -g);
            if constexpr ((OUT & HESSIAN) != 0) store(t.hessian + k * t.stride, h);
        }
        if constexpr ((OUT & VALUE) != 0) store(t.value, value);
        if constexpr (OUT != VALUE) store(t.gradient, slope);
        if constexpr ((OUT & HESSIAN) != 0) store(t.hessian, bend);
    }
};

#define SL_CUMULATIVE(name, distribution)              \
    template <class V>                                 \
    struct name : Cumulative<V, distribution> {        \
        using Cumulative<V, distribution>::Cumulative; \
    };
SL_CUMULATIVE(CumulativeLogit, Logistic)
SL_CUMULATIVE(CumulativeProbit, Normal)
SL_CUMULATIVE(CumulativeCloglog, ExtremeValue)
#undef SL_CUMULATIVE

#define SL_THRESHOLDS(name, binary)                             \
    template <class V>                                          \
    struct AllThreshold##name : Thresholds<V, binary, true> {   \
        using Thresholds<V, binary, true>::Thresholds;          \
    };                                                          \
    template <class V>                                          \
    struct ImmediateThreshold##name : Thresholds<V, binary, false> { \
        using Thresholds<V, binary, false>::Thresholds;         \
    };
SL_THRESHOLDS(Logistic, HalfBinomialLoss)
SL_THRESHOLDS(SquaredHinge, SquaredHinge)
SL_THRESHOLDS(SmoothHinge, SmoothHinge)
#undef SL_THRESHOLDS

}  // namespace sl

#endif
