// Losses of the two parameters of a distribution of counts 0, 1, 2, ...
#ifndef SKLEARN_LOSSES_COUNTS_H
#define SKLEARN_LOSSES_COUNTS_H

#include "losses/amounts.h"
#include "math/distributions.h"

namespace sl {

// Raw predictions: the logarithms of the mean and of the dispersion: the variance is mean + dispersion mean^2.
template <class T>
struct NegativeBinomialFormula {
    enum { HEADS = 2, PAIR = 0 };
    SL_FN explicit NegativeBinomialFormula(const double*) {}
    SL_FN HeadsOut<T, 2> operator()(T y, T, const T* raw) const {
        const T m = raw[0], d = raw[1];
        const Exponential<T> times_theta({-d, T(0)});
        const T theta = times_theta(T(1)), mean = exp_(m);
        // 1 + mean / theta.
        const Logit<T> odds(m + d);
        const T slope = odds.q * (mean - y), fault = heads_fault(y, raw);
        const T rise = times_theta(digamma_ratio_<T>(y, theta)), grown = times_theta(odds.softplus);
        const T bent = times_theta(times_theta(trigamma_ratio_<T>(y, theta)));
        return {(lgamma_<T>(y + T(1)) - (lgamma_ratio_<T>(y, theta) + y * d)) + ((grown + y * odds.softplus) - y * m) + fault,
                {slope + fault, (rise - grown) + slope + fault},
                {odds.q * (odds.q * mean + y * odds.p) + fault,
                 ((grown - rise) + (bent - odds.q * mean)) - slope * odds.p + fault}};
    }
};

// Raw predictions: the logarithm of a Poisson variable's mean, and the logit of the probability that its place is taken by 0.
template <class T>
struct ZeroInflatedPoissonFormula {
    enum { HEADS = 2, PAIR = 0 };
    SL_FN explicit ZeroInflatedPoissonFormula(const double*) {}
    SL_FN HeadsOut<T, 2> operator()(T y, T, const T* raw) const {
        const T m = raw[0], rate = exp_(m), fault = heads_fault(y, raw);
        // Whether a 0 is one that was put there: before, and after it was seen.
        const Logit<T> before(raw[1]), after(raw[1] + rate);
        const T missing = expm1_(-rate), seldom = before.q * missing;
        const bool zero = y == T(0);
        const T larger = raw[1] > -rate ? raw[1] : -rate, other = log1p_unit(decay<T>({-abs_(raw[1] + rate), T(0)}));
        const T known = seldom > T(-0.5) ? -log1p_(seldom) : before.softplus - (larger + other);
        const T rest = mul0(after.q, rate), spread = before.p * before.q;
        return {(zero ? known : before.softplus + (rate - y * m) + lgamma_<T>(y + T(1))) + fault,
                {(zero ? rest : rate - y) + fault, (zero ? after.p * seldom : before.p) + fault},
                {(zero ? rest - after.p * mul0(rest, rate) : rate) + fault,
                 (zero ? after.p * seldom * (after.q - before.p) : spread) + fault}};
    }
};

// Raw predictions: the logarithm of the mean of a Poisson variable whose zeros are left out, and the logit of the probability
// of 0.
template <class T>
struct HurdlePoissonFormula {
    enum { HEADS = 2, PAIR = 0 };
    SL_FN explicit HurdlePoissonFormula(const double*) {}
    SL_FN HeadsOut<T, 2> operator()(T y, T, const T* raw) const {
        const T m = raw[0], rate = exp_(m), fault = heads_fault(y, raw);
        const Logit<T> zeros(raw[1]), others(-raw[1]);
        const Decline<T> decline(DoubleDouble<T>{rate, T(0)});
        // log(expm1(rate) / rate), and its derivatives.
        const bool zero = y == T(0), small = rate < T(1.386);
        const T near = small ? rate : T(0), less = T(-1) * near * decline_tail<T>(near);
        const T grown = rate + (small ? log1p_(less) : log1p_(-exp_(-rate)) - m);
        const T bend = decline.k * (small ? rate - decline.excess : T(1) - decline.ratio(T(1)));
        return {(zero ? others.softplus : zeros.softplus + (grown - (y - T(1)) * m) + lgamma_<T>(y + T(1))) + fault,
                {(zero ? T(0) : decline.excess - (y - T(1))) + fault, (zero ? -zeros.q : zeros.p) + fault},
                {(zero ? T(0) : bend) + fault, zeros.p * zeros.q + fault}};
    }
};

template <class V>
struct NegativeBinomialNLL : Heads<V, NegativeBinomialFormula> {
    using Heads<V, NegativeBinomialFormula>::Heads;
};
template <class V>
struct ZeroInflatedPoissonNLL : Heads<V, ZeroInflatedPoissonFormula> {
    using Heads<V, ZeroInflatedPoissonFormula>::Heads;
};
template <class V>
struct HurdlePoissonNLL : Heads<V, HurdlePoissonFormula> {
    using Heads<V, HurdlePoissonFormula>::Heads;
};

}  // namespace sl

#endif
