// Pointwise losses of regression with a log link: deviances of generalised linear models.
#ifndef SKLEARN_LOSSES_GLM_H
#define SKLEARN_LOSSES_GLM_H

#include "losses/outputs.h"
#include "math/twofold.h"

namespace sl {

template <class T>
struct HalfPoissonLoss {
    SL_FN explicit HalfPoissonLoss(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T e = exp_(raw);
        // Where both terms overflow, the exponential is the larger.
        return {e > Format<T>::max ? e : e - mul0(y, raw), e - y, unless_nan(e, y)};
    }
};

template <class T>
struct HalfGammaLoss {
    SL_FN explicit HalfGammaLoss(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T e = scaled_exp<T>(y, {-raw, T(0)});
        return {e > Format<T>::max ? e : raw + e, T(1) - e, e};
    }
};

// Powers other than 1 and 2, which are the Poisson and the gamma loss.
template <class T>
struct HalfTweedieLoss {
    DoubleDouble<T> a, b;  // 2 - power, 1 - power
    SL_FN explicit HalfTweedieLoss(const double* p) : a(rest_of(2.0, p[0])), b(rest_of(1.0, p[0])) {}
    static SL_FN DoubleDouble<T> rest_of(double whole, double power) {
        const DoubleDouble<double> d = two_sum<double>(whole, -power);
        return two_from<T>(d.hi, d.lo);
    }
    static SL_FN DoubleDouble<T> times(T raw, DoubleDouble<T> k) {
        const DoubleDouble<T> x = two_prod<T>(raw, k.hi);
        return {x.hi, x.lo + raw * k.lo};
    }
    // p - q; where both overflow, the one with the larger exponent decides.
    static SL_FN T difference(T raw, T p, T q) {
        const bool p_over = abs_(p) > Format<T>::max, q_over = abs_(q) > Format<T>::max;
        return p_over && q_over ? (raw > T(0) ? p : -q) : p - q;
    }
    SL_FN Out<T> operator()(T y, T raw) const {
        const Exponential<T> first(times(raw, a)), second(times(raw, b));
        // Not y / b or y b where they lose the digits of a small y, or overflow.
        const T q = second(y), over_b = y / b.hi, by_b = y * b.hi;
        return {difference(raw, first(T(1) / a.hi), is_normal(over_b) ? second(over_b) : q / b.hi),
                difference(raw, first(T(1)), q),
                difference(raw, first(a.hi), is_normal(by_b) ? second(by_b) : q * b.hi)};
    }
    static SL_FN bool is_normal(T x) { return abs_(x) >= Format<T>::tiny && abs_(x) <= Format<T>::max; }
    // expm1(k raw) / k, which is about raw: exp(k raw) / k less its limit, in which a small k would drown the rest.
    static SL_FN T ratio(T raw, DoubleDouble<T> k) {
        const DoubleDouble<T> x = times(raw, k);
        const T e = expm1_(x.hi), size = abs_(x.hi);
        const bool has_more = size < Format<T>::scaled_limit && e <= Format<T>::max;
        return size < Format<T>::eps ? raw : (e + (has_more ? x.lo * (T(1) + e) : T(0))) / k.hi;
    }
};
// The same near power 1 and near power 2, less the constant that grows without bound there.
template <class T>
struct TweedieNearPoisson : HalfTweedieLoss<T> {
    using Base = HalfTweedieLoss<T>;
    SL_FN explicit TweedieNearPoisson(const double* p) : Base(p) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        Out<T> o = Base::operator()(y, raw);
        const T first = scaled_exp<T>(T(1) / Base::a.hi, Base::times(raw, Base::a));
        o.value = Base::difference(raw, first, mul0(y, Base::ratio(raw, Base::b)));
        return o;
    }
};
template <class T>
struct TweedieNearGamma : HalfTweedieLoss<T> {
    using Base = HalfTweedieLoss<T>;
    SL_FN explicit TweedieNearGamma(const double* p) : Base(p) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        Out<T> o = Base::operator()(y, raw);
        const Exponential<T> second(Base::times(raw, Base::b));
        const T over_b = y / Base::b.hi;
        o.value = Base::difference(raw, Base::ratio(raw, Base::a),
                                   Base::is_normal(over_b) ? second(over_b) : second(y) / Base::b.hi);
        return o;
    }
};

template <class T>
struct NegativeBinomial {
    T theta;
    DoubleDouble<T> log_theta;
    // params: theta, and its logarithm in two parts
    SL_FN explicit NegativeBinomial(const double* a) : theta(T(a[0])), log_theta(two_from<T>(a[1], a[2])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const DoubleDouble<T> z = two_sum<T>(raw, -log_theta.hi);
        const bool over = z.hi > T(0);
        const T low = z.lo - log_theta.lo;
        // e = min(exp(raw) / theta, theta / exp(raw)) may be subnormal, or 0, where its products with theta and y are not.
        const Exponential<T> times_e({over ? -z.hi : z.hi, over ? -low : low});
        const T e = times_e(T(1)), part = times_e(over ? y : theta), all = times_e(y + theta), inverse = T(1) / (T(1) + e);
        const T tail = e < Format<T>::eps ? all : (y + theta) * log1p_unit(e);
        return {over ? theta * raw + tail : ((y + theta) * log_theta.hi - mul0(y, raw)) + tail,
                (over ? theta - part : part - y) * inverse, all * inverse * inverse};
    }
};

template <class T>
struct SquaredLogError {
    SL_FN explicit SquaredLogError(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T d = raw - log1p_(y);
        return {d * d, T(2) * d, d == d ? T(2) : d};
    }
};

}  // namespace sl

#endif
