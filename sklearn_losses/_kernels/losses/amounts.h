// Losses of the two parameters of a distribution of positive amounts, and of shares between 0 and 1.
#ifndef SKLEARN_LOSSES_AMOUNTS_H
#define SKLEARN_LOSSES_AMOUNTS_H

#include "losses/heads.h"
#include "math/gamma.h"

namespace sl {

// log(1 + exp(x)), and exp(x) / (1 + exp(x)) with what it lacks of 1.
template <class T>
struct Logit {
    T softplus, p, q;
    SL_FN explicit Logit(T x) {
        const T e = decay<T>({-abs_(x), T(0)}), inverse = T(1) / (T(1) + e);
        const bool positive = x > T(0);
        softplus = (positive ? x : T(0)) + log1p_unit(e);
        p = (positive ? T(1) : e) * inverse;
        q = (positive ? e : T(1)) * inverse;
    }
};

// u = y exp(-m) - 1, t = log(y) - m, and u - t, none of which cancels where y is near exp(m).
template <class T>
struct LogRatio {
    T u, t, gap;
    SL_FN LogRatio(T y, T log_y, T m) {
        const DoubleDouble<T> e = TwoExp<T>({-m, T(0)}).exp(), p = two_prod<T>(y, e.hi);
        const bool near = p.hi > T(0.5) && p.hi < T(2);
        u = near ? (p.hi - T(1)) + (p.lo + y * e.lo) : scaled_exp<T>(y, {-m, T(0)}) - T(1);
        t = near ? log1p_(u) : log_y - m;
        const T size = near ? abs_(t) : T(0), q = decline_tail<T>(size);
        const T above = (T(1) + u) * (T(1) - q * (T(1) + size));
        gap = near ? size * size * (t < T(0) ? q : above) : u - t;
    }
};

// Raw predictions: the logarithms of the mean and of the dispersion, the squared coefficient of variation.
template <class T>
struct GammaFormula {
    enum { HEADS = 2, PAIR = 0 };
    SL_FN explicit GammaFormula(const double*) {}
    SL_FN HeadsOut<T, 2> operator()(T y, T, const T* raw) const {
        const T m = raw[0], d = raw[1], log_y = log_any<T>(y);
        const Exponential<T> shape({-d, T(0)});
        const LogRatio<T> ratio(y, log_y, m);
        const Stirling<T> rest(shape(T(1)), -d);
        const T far = shape(ratio.gap), fault = heads_fault(y, raw);
        return {(far + (T(0.5) * d + log_y)) + (rest.value + half_log_two_pi<T>()) + fault,
                {fault - shape(ratio.u), fault - (far + rest.slope)},
                {shape(T(1) + ratio.u) + fault, (far + rest.turn) + fault}};
    }
};

// Raw predictions: the logit of the mean, and the logarithm of the precision, the sum of both shapes.
template <class T>
struct BetaFormula {
    enum { HEADS = 2, PAIR = 0 };
    SL_FN explicit BetaFormula(const double*) {}
    SL_FN HeadsOut<T, 2> operator()(T y, T, const T* raw) const {
        const T m = raw[0], d = raw[1], log_y = log_any<T>(y), log_rest = log1p_(-y);
        const Logit<T> mean(m), other(-m);
        const Exponential<T> times({d, T(0)});
        const T a = times(mean.p), b = times(mean.q), both = times(T(1)), gap = (log_y - log_rest) - m;
        const Stirling<T> of_a(a, d - other.softplus), of_b(b, d - mean.softplus), of_both(both, d);
        // The divergence of a coin of the mean from one of y.
        const T size = abs_(gap), p = gap > T(0) ? mean.q : mean.p, q = gap > T(0) ? mean.p : mean.q;
        const T seldom = p * expm1_(-size), often = q * expm1_(size);
        const T rare = seldom > T(-0.5) ? log1p_(seldom) : log_(q + p * exp_(-size));
        const bool mirrored = p > T(0.5) && often <= Format<T>::max;
        const T far = times(mirrored ? log1p_(often) - q * size : p * size + rare), fault = heads_fault(y, raw);
        const T spread = times(mean.p * mean.q);
        const T slope = (mean.q * of_a.slope - mean.p * of_b.slope) - spread * gap;
        const T bend = mean.q * mean.q * of_a.bend + mean.p * mean.p * of_b.bend;
        const T by_size = far + ((of_a.slope + of_b.slope) - of_both.slope);
        return {(far + (log_y + log_rest)) + (T(0.5) * (mean.softplus + other.softplus - d) + half_log_two_pi<T>()) +
                    (of_a.value + (of_b.value - of_both.value)) + fault,
                {slope + fault, by_size + fault},
                {(mean.q - mean.p) * slope + (spread + bend) + fault,
                 far + ((of_a.turn + of_b.turn) - of_both.turn) + fault}};
    }
};

template <class V>
struct GammaNLL : Heads<V, GammaFormula> {
    using Heads<V, GammaFormula>::Heads;
};
template <class V>
struct BetaNLL : Heads<V, BetaFormula> {
    using Heads<V, BetaFormula>::Heads;
};

}  // namespace sl

#endif
