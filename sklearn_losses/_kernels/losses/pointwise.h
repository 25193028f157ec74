// Every pointwise loss: its value, and its first and second derivative with respect to the raw prediction.
//
// One struct a loss, and at the end the one list of them. Parameters arrive as doubles, in the order that the Python
// class gives. `r` is raw - y. Where the second derivative is zero almost everywhere (absolute error, pinball, hinge),
// the hessian is 1, as in scikit-learn: Newton steps and boosting divide by it.
#ifndef SKLEARN_LOSSES_POINTWISE_H
#define SKLEARN_LOSSES_POINTWISE_H

#include "math/common.h"

namespace sl {

// ---------------------------------------------------------------------------------------- regression, identity link

template <class T>
struct HalfSquaredError {
    SL_FN explicit HalfSquaredError(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y;
        return {T(0.5) * r * r, r, unless_nan(T(1), r)};
    }
};

template <class T>
struct SquaredError {
    SL_FN explicit SquaredError(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y;
        return {r * r, T(2) * r, unless_nan(T(2), r)};
    }
};

template <class T>
SL_FN T sign_of(T x, T magnitude) {
    return x < T(0) ? -magnitude : magnitude;
}

template <class T>
struct AbsoluteError {
    SL_FN explicit AbsoluteError(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, value = abs_(r);
        // r itself where it is 0 or NaN.
        return {value, value > T(0) ? sign_of(r, T(1)) : r, value >= T(0) ? T(1) : r};
    }
};

template <class T>
struct HuberLoss {
    T delta;
    SL_FN explicit HuberLoss(const double* a) : delta(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, size = abs_(r);
        const bool outer = size > delta;
        return {outer ? delta * (size - T(0.5) * delta) : T(0.5) * r * r, outer ? sign_of(r, delta) : r,
                outer ? T(0) : (unless_nan(T(1), r))};
    }
};

template <class T>
struct SmoothL1 {
    T beta;
    SL_FN explicit SmoothL1(const double* a) : beta(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, size = abs_(r), u = r / beta;
        const bool outer = size >= beta;
        return {outer ? size - T(0.5) * beta : T(0.5) * r * u, outer ? sign_of(r, T(1)) : u,
                outer ? T(0) : (size >= T(0) ? T(1) / beta : r)};
    }
};

template <class T>
struct SmoothL2 {
    SL_FN explicit SmoothL2(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Two<T> d = residual<T>(y, raw);
        const T r = d.hi, size = abs_(r);
        // |r| - 1 near |r| = 1 keeps the digits that the rounding of r lost.
        const T excess = (size - T(1)) + sign_of(r, d.lo);
        const bool outer = excess > T(0);
        return {outer ? excess : T(0.5) * r * r, outer ? sign_of(r, T(1)) : r,
                outer ? T(0) : (unless_nan(T(1), r))};
    }
};

template <class T>
struct PseudoHuber {
    T delta;
    SL_FN explicit PseudoHuber(const double* a) : delta(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, size = abs_(r), u = size / delta;
        // Where u^2, or u itself, could overflow, its leading terms.
        const bool far = u > Format<T>::huge;
        const T root = far ? T(1) : sqrt_(T(1) + u * u), inverse = far ? delta / size : T(1) / root;
        return {delta * (far ? size : size * (u / (T(1) + root))), far ? sign_of(r, delta) : r * inverse,
                inverse * inverse * inverse};
    }
};

template <class T>
struct LogCosh {
    SL_FN explicit LogCosh(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Two<T> d = residual<T>(y, raw);
        const T r = d.hi, size = abs_(r);
        // The rounding of r, times 2 |r|, would be the hessian's error.
        const T e = decay<T>({-size, -sign_of(r, d.lo)}), m = expm1_(-size), e2 = e * e, inverse = T(1) / (T(1) + e2);
        // log cosh r = log1p(2 sinh(r/2)^2), which has no cancellation near 0.
        const bool small = size < T(1);
        const T x = small ? T(0.5) * m * (m / (T(1) + m)) : e2;
        const T shift = small ? T(0) : size - T(0.69314718055994530942);
        return {shift + log1p_unit(x), sign_of(r, -m * (T(2) + m) * inverse), T(4) * e2 * inverse * inverse};
    }
};

template <class T>
struct PinballLoss {
    T quantile, rest;
    SL_FN explicit PinballLoss(const double* a) : quantile(T(a[0])), rest(T(1.0 - a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y;
        const bool over = r > T(0);
        const T gradient = over ? rest : -quantile;
        return {gradient * r, r == r ? gradient : r, unless_nan(T(1), r)};
    }
};

// The pinball loss convolved with the uniform density on [-width, width]: conquer's kernel smoothing.
template <class T>
struct SmoothPinball {
    T quantile, rest, width;
    SL_FN explicit SmoothPinball(const double* a) : quantile(T(a[0])), rest(T(1.0 - a[0])), width(T(a[1])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Two<T> d = residual<T>(y, raw);
        const T r = d.hi, size = abs_(r), gap = (width - size) - sign_of(r, d.lo);
        const bool inner = gap > T(0), over = r > T(0);
        const T slope = over ? rest : quantile;
        const T bump = inner ? gap * (T(0.25) * gap / width) : T(0);
        // Towards the kinks, what is left of the slope outside: a quantile near 0 or 1 keeps its digits. Towards 0 what
        // grows with r, as 0.5 - quantile may be 0.
        const T half = T(0.5) * (gap / width), near = T(0.5) * (r / width) + (T(0.5) - quantile);
        const T inside = gap > size ? near : (over ? rest - half : half - quantile);
        const T outside = over ? rest : -quantile;
        return {slope * size + bump, inner ? inside : (r == r ? outside : r),
                inner ? T(0.5) / width : (r == r ? T(0) : r)};
    }
};

template <class T>
struct Expectile {
    T expectile, rest;
    SL_FN explicit Expectile(const double* a) : expectile(T(a[0])), rest(T(1.0 - a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, weight = r > T(0) ? rest : (r == r ? expectile : r);
        return {weight * r * r, T(2) * weight * r, T(2) * weight};
    }
};

// |r| - epsilon, with the digits that the rounding of r would lose near 0.
template <class T>
SL_FN T excess_over(Two<T> r, T epsilon) {
    return (abs_(r.hi) - epsilon) + sign_of(r.hi, r.lo);
}

template <class T>
struct EpsilonInsensitive {
    T epsilon;
    SL_FN explicit EpsilonInsensitive(const double* a) : epsilon(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Two<T> r = residual<T>(y, raw);
        const T excess = excess_over(r, epsilon);
        const bool inner = excess <= T(0);
        return {inner ? T(0) : excess, inner ? T(0) : (excess > T(0) ? sign_of(r.hi, T(1)) : excess),
                unless_nan(T(1), excess)};
    }
};

template <class T>
struct SquaredEpsilonInsensitive {
    T epsilon;
    SL_FN explicit SquaredEpsilonInsensitive(const double* a) : epsilon(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Two<T> r = residual<T>(y, raw);
        const T excess = excess_over(r, epsilon);
        const bool inner = excess <= T(0);
        const T active = inner ? T(0) : excess;
        return {active * active, sign_of(r.hi, T(2) * active), inner ? T(0) : (excess > T(0) ? T(2) : excess)};
    }
};

template <class T>
struct Fair {
    T c;
    SL_FN explicit Fair(const double* a) : c(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, u = abs_(r) / c, inverse = T(1) / (T(1) + u);
        // u - log1p(u) below 1/2, where it cancels: with s = u / (2 + u) it is u - 2 atanh(s) = s u - 2 s^3 tail, times c^2
        // in terms of r, as u^2 may underflow.
        const T half = T(1) / (T(2) + u), s = u * half, tail = Format<T>::atanh_tail(s * s);
        const T small = r * half * r * (T(1) - T(2) * s * half * tail), large = u - log1p_(u);
        // Far out its leading terms: u may overflow, and the inverse be subnormal and have lost its digits.
        const bool far = u > Format<T>::huge;
        return {u < T(0.5) ? small : c * (far ? abs_(r) : c * large), far ? sign_of(r, c) : r * inverse, inverse * inverse};
    }
};

// u and its inverse, whichever is at most 1 in size: rational functions of u^2 that neither overflow nor lose digits.
template <class T>
struct Folded {
    bool outer;
    T t, s, inverse;  // t = min(u, 1/u), s = t^2, inverse = 1 / (1 + s)
};
template <class T>
SL_FN Folded<T> fold(T u) {
    const bool outer = abs_(u) > T(1);
    const T t = outer ? T(1) / u : u, s = t * t;
    return {outer, t, s, T(1) / (T(1) + s)};
}
// |r| / c = 2^range times this where the quotient overflows.
template <class T>
SL_FN T lowered_quotient(T r, T c) {
    return abs_(r) * Format<T>::lowered_half * (Format<T>::lowered_half / c);
}
// log1p(u^2) for u = r / c, where u^2, or u itself, may overflow.
template <class T>
SL_FN T log1p_square(T u, T r, T c) {
    const T size = abs_(u);
    const bool big = size > Format<T>::huge, over = size > Format<T>::max;
    const T l = log1p_(big ? (over ? lowered_quotient(r, c) : size) - T(1) : u * u);
    return big ? T(2) * (over ? l + Format<T>::log_range : l) : l;
}

template <class T>
struct Cauchy {
    T c;
    SL_FN explicit Cauchy(const double* a) : c(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, u = r / c;
        const Folded<T> f = fold(u);
        const T ratio = (T(1) - f.t) * (T(1) + f.t) * f.inverse * f.inverse;
        // Near 0 the loss is r^2 / 2, where u^2 may underflow.
        return {u * u < Format<T>::eps ? T(0.5) * r * r : T(0.5) * c * (c * log1p_square(u, r, c)),
                (f.outer ? c * f.t : r) * f.inverse, f.outer ? -f.s * ratio : ratio};
    }
};

template <class T>
struct GemanMcClure {
    T c;
    SL_FN explicit GemanMcClure(const double* a) : c(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y;
        const Folded<T> f = fold(r / c);
        const T shrink = (f.outer ? f.s : T(1)) * f.inverse, shrink2 = shrink * shrink;
        return {(T(0.5) * (f.outer ? c * c : r * r)) * f.inverse, r * shrink * shrink,
                (f.outer ? (f.s - T(3)) : (T(1) - T(3) * f.s)) * f.inverse * shrink2};
    }
};

// exp(-k u^2) for u = r / c, times a factor, and 1 - exp(-k u^2): u^2 to twice the precision, as its error is the
// relative error of the exponential.
template <class T>
struct Gaussian {
    Two<T> exponent;
    SL_FN Gaussian(Two<T> r, T c, T k) {
        const Two<T> q = two_square(two_div(r, c));
        exponent = {-k * q.hi, -k * q.lo};
    }
    SL_FN T times(T factor) const {
        // Far out it is 0, also where u^2 or the factor has overflowed.
        return exponent.hi < -Format<T>::scaled_limit ? T(0) : scaled_exp<T>(factor, exponent);
    }
    SL_FN T rest() const { return -expm1_(exponent.hi); }
};

template <class T>
struct Welsch {
    T c;
    SL_FN explicit Welsch(const double* a) : c(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Two<T> r = residual<T>(y, raw);
        const Gaussian<T> g(r, c, T(1));
        // Near 0 the loss is r^2 / 2, where (r / c)^2 may underflow.
        const bool near = -g.exponent.hi < Format<T>::eps;
        return {near ? T(0.5) * r.hi * r.hi : T(0.5) * c * (c * g.rest()), g.times(r.hi),
                g.times(T(1) + T(2) * g.exponent.hi)};
    }
};

template <class T>
struct TukeyBiweight {
    T c;
    SL_FN explicit TukeyBiweight(const double* a) : c(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Two<T> d = residual<T>(y, raw);
        const T r = d.hi, u = r / c, s = u * u;
        const T gap = ((c - abs_(r)) - sign_of(r, d.lo)) / c, v = gap * (T(1) + abs_(u));
        const bool outer = gap < T(0);
        const T sixth = T(1) / T(6);
        return {outer ? c * c * sixth : r * r * sixth * (T(3) - T(3) * s + s * s), outer ? T(0) : r * v * v,
                outer ? T(0) : v * (T(1) - T(5) * s)};
    }
};

// Barron (2019), equation 8, for every shape but its three limits, which follow.
template <class T>
struct GeneralRobust {
    Two<T> half, less;  // alpha / 2, and alpha / 2 - 1
    T b, root, c, fraction, exponent, value_scale, growth;
    // params: alpha, c, and c = fraction * 2^exponent, 1 <= fraction < 2
    SL_FN explicit GeneralRobust(const double* a)
        : half(two_from<T>(0.5 * a[0])), c(T(a[1])), fraction(T(a[2])), exponent(T(a[3])) {
        const double distance = a[0] < 2.0 ? 2.0 - a[0] : a[0] - 2.0;
        const Two<double> below = two_sum<double>(0.5 * a[0], -1.0);
        less = two_from<T>(below.hi, below.lo);
        b = T(distance);
        root = sqrt_(b);
        value_scale = T(distance / a[0]);
        growth = T((a[0] - 1.0) / distance);
    }
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, u = r / c, size = abs_(u), square = u * u;
        const T s = square > Format<T>::max ? Format<T>::max : square;
        // (1 + s / b)^a is (|u| / sqrt(b))^(2a) where s could overflow; 2^-64 keeps the quotient in range.
        const bool far = size > Format<T>::huge * max_(root, T(1)), over = size > Format<T>::max;
        const T low = lowered_quotient(r, c);
        const T base = far ? (over ? low : size * T(5.42101086242752217e-20)) / root : s / b;
        const T shift = far ? (over ? Format<T>::range : T(64)) : T(0), twice = far ? T(2) : T(1);
        const PowParts<T> v = pow_parts<T>(base, !far, shift, {twice * half.hi, twice * half.lo});
        const PowParts<T> d = pow_parts<T>(base, !far, shift, {twice * less.hi, twice * less.lo});
        // Half of 2^n first: 2^n alone may overflow. Near 0 the loss is s / 2.
        const T scale = scale_four(value_scale, T(1), bounded(v.n - T(1)));
        const T power = v.n > T(1) ? scale * exp_(v.g) - T(0.5) * value_scale
                                   : scale * expm1_(v.g) + (scale - T(0.5) * value_scale);
        // (1 + growth s) / (1 + s / b): far out its leading term, which for alpha = 1 is 1 / s, the square of the slope.
        const bool cubed = far && growth == T(0);
        const T bend = far ? (cubed ? T(1) : growth * b) : (T(1) + growth * s) / (T(1) + base);
        const T slope = exp_(d.g), n = d.n - exponent, bent = cubed ? slope * slope * slope : slope;
        // Divided by c through its exponent: neither u / c nor a product on the way leaves the range before the result.
        return {s < Format<T>::eps ? T(0.5) * s : T(2) * power,
                scale_four((over ? sign_of(r, low) : u) / fraction, slope, bounded(over ? n + Format<T>::range : n)),
                scale_four(bend / fraction / fraction, bent, bounded((cubed ? T(3) * d.n : d.n) - T(2) * exponent))};
    }
};
template <class T>
struct GeneralRobustZero {
    T c;
    SL_FN explicit GeneralRobustZero(const double* a) : c(T(a[1])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        // With v = r / (c sqrt(2)) it is log1p(v^2). Where v is large, its inverse may be subnormal.
        const T half = T(0.70710678118654752440), r = raw - y, v = r / c * half;
        const Folded<T> f = fold(v);
        const T ratio = (T(1) - f.t) * (T(1) + f.t) * f.inverse * f.inverse, unit = f.outer ? r : c;
        return {log1p_square(v, half * r, c), (f.outer ? T(2) : T(2) * half * v) * f.inverse / unit,
                (f.outer ? T(-2) * ratio : ratio) / unit / unit};
    }
};
template <class T>
struct GeneralRobustTwo {
    T c;
    SL_FN explicit GeneralRobustTwo(const double* a) : c(T(a[1])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, u = r / c;
        return {T(0.5) * u * u, u / c, unless_nan(T(1), r) / c / c};
    }
};
template <class T>
struct GeneralRobustMinusInfinity {
    T c;
    SL_FN explicit GeneralRobustMinusInfinity(const double* a) : c(T(a[1])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Two<T> r = residual<T>(y, raw);
        const Gaussian<T> g(r, c, T(0.5));
        return {g.rest(), g.times(r.hi / c / c), g.times((T(1) + T(2) * g.exponent.hi) / c / c)};
    }
};

template <class T>
struct AbsolutePercentageError {
    T epsilon;
    SL_FN explicit AbsolutePercentageError(const double* a) : epsilon(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, size = abs_(r), divisor = max_(abs_(y), epsilon), slope = T(1) / divisor;
        return {size / divisor, size > T(0) ? sign_of(r, slope) : r, size >= T(0) ? slope : r};
    }
};

// ---------------------------------------------------------------------------------------------- regression, log link

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
    Two<T> a, b;  // 2 - power, 1 - power
    SL_FN explicit HalfTweedieLoss(const double* p) : a(rest_of(2.0, p[0])), b(rest_of(1.0, p[0])) {}
    static SL_FN Two<T> rest_of(double whole, double power) {
        const Two<double> d = two_sum<double>(whole, -power);
        return two_from<T>(d.hi, d.lo);
    }
    static SL_FN Two<T> times(T raw, Two<T> k) {
        const Two<T> x = two_prod<T>(raw, k.hi);
        return {x.hi, x.lo + raw * k.lo};
    }
    // p - q; where both overflow, the one with the larger exponent decides.
    static SL_FN T difference(T raw, T p, T q) {
        const bool p_over = abs_(p) > Format<T>::max, q_over = abs_(q) > Format<T>::max;
        return p_over && q_over ? (raw > T(0) ? p : -q) : p - q;
    }
    SL_FN Out<T> operator()(T y, T raw) const {
        const Exponential<T> first(times(raw, a)), second(times(raw, b));
        // Not y / b or y b where they lose the digits of a small y.
        const T q = second(y), over_b = y / b.hi, by_b = y * b.hi;
        return {difference(raw, first(T(1) / a.hi), abs_(over_b) < Format<T>::tiny ? q / b.hi : second(over_b)),
                difference(raw, first(T(1)), q),
                difference(raw, first(a.hi), abs_(by_b) < Format<T>::tiny ? q * b.hi : second(by_b))};
    }
    // expm1(k raw) / k, which is about raw: exp(k raw) / k less its limit, in which a small k would drown the rest.
    static SL_FN T ratio(T raw, Two<T> k) {
        const Two<T> x = times(raw, k);
        const T e = expm1_(x.hi), size = abs_(x.hi);
        return size < Format<T>::eps ? raw : (e + (size < Format<T>::scaled_limit ? x.lo * (T(1) + e) : T(0))) / k.hi;
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
        const T second = scaled_exp<T>(y / Base::b.hi, Base::times(raw, Base::b));
        o.value = Base::difference(raw, Base::ratio(raw, Base::a), second);
        return o;
    }
};

template <class T>
struct NegativeBinomial {
    T theta;
    Two<T> log_theta;
    // params: theta, and its logarithm in two parts
    SL_FN explicit NegativeBinomial(const double* a) : theta(T(a[0])), log_theta(two_from<T>(a[1], a[2])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Two<T> z = two_sum<T>(raw, -log_theta.hi);
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

// ----------------------------------------------------------------- binary classification, y the positive's probability

// sigmoid(raw) and 1 - sigmoid(raw), each with its own digits, and -log of both; what they are made of.
template <class T>
struct Sigmoid {
    T p, q, log_p, log_q, e, inverse, tail;  // e = exp(-|raw|), inverse = 1 / (1 + e), tail = log1p(e)
    SL_FN explicit Sigmoid(T raw) {
        e = decay<T>({-abs_(raw), T(0)});
        inverse = T(1) / (T(1) + e);
        tail = log1p_unit(e);
        const bool positive = raw >= T(0);
        p = (positive ? T(1) : e) * inverse;
        q = (positive ? e : T(1)) * inverse;
        log_p = tail + (positive ? T(0) : -raw);
        log_q = tail + (positive ? raw : T(0));
    }
};

template <class T>
struct HalfBinomialLoss {
    SL_FN explicit HalfBinomialLoss(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T e = decay<T>({-abs_(raw), T(0)}), inverse = T(1) / (T(1) + e), rest = T(1) - y;
        const bool negative = raw < T(0);
        return {log1p_unit(e) + mul0(negative ? -y : rest, raw),
                ((negative ? e : T(1)) * rest - (negative ? T(1) : e) * y) * inverse,
                unless_nan(e * inverse * inverse, y)};
    }
};

// A margin loss phi, for a y that may lie between 0 and 1: y phi(raw) + (1 - y) phi(-raw). phi takes the weight, so
// that a small weight times a square overflows only where the product does.
template <class T, class Phi>
SL_FN Out<T> mixed(T y, T raw, const Phi& phi) {
    // Finite, as a weight of 0 may stand before it.
    const T most = Format<T>::max, low = raw < -most ? -most : raw, m = low > most ? most : low;
    const Out<T> a = phi(y, m), b = phi(T(1) - y, -m);
    return {a.value + b.value, a.gradient - b.gradient, unless_nan(a.hessian + b.hessian, y)};
}

template <class T>
struct Hinge {
    T threshold;
    SL_FN explicit Hinge(const double* a) : threshold(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T rest = T(1) - y, up = threshold - raw, down = threshold + raw, by = y + raw;
        // A weight of 0 times infinity is 0, as everything is that is not above 0.
        const T a = y * up, b = rest * down;
        return {unless_nan((a > T(0) ? a : T(0)) + (b > T(0) ? b : T(0)), by),
                unless_nan((down < T(0) ? T(0) : rest) - (up < T(0) ? T(0) : y), by), unless_nan(T(1), by)};
    }
};

template <class T>
struct SquaredHinge {
    T threshold;
    SL_FN explicit SquaredHinge(const double* a) : threshold(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        return mixed(y, raw, [this](T w, T m) SL_INLINE -> Out<T> {
            const T z = threshold - m;
            const bool inactive = z <= T(0);
            const T active = inactive ? T(0) : z;
            return {w * active * active, T(-2) * (w * active), inactive ? T(0) : unless_nan(T(2) * w, z)};
        });
    }
};

template <class T>
struct SmoothHinge {
    T gamma;
    SL_FN explicit SmoothHinge(const double* a) : gamma(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        return mixed(y, raw, [this](T w, T m) SL_INLINE -> Out<T> {
            const Two<T> d = residual<T>(m, T(1));
            const T z = d.hi, u = z / gamma;
            const bool inactive = z <= T(0), linear = (z - gamma) + d.lo >= T(0);
            return {inactive ? T(0) : (linear ? w * (z - T(0.5) * gamma) : T(0.5) * (w * z) * u),
                    inactive ? T(0) : (linear ? -w : -w * u),
                    inactive || linear ? T(0) : unless_nan(w / gamma, z)};
        });
    }
};

template <class T>
struct ModifiedHuber {
    SL_FN explicit ModifiedHuber(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        return mixed(y, raw, [](T w, T m) SL_INLINE -> Out<T> {
            const T z = T(1) - m;
            const bool inactive = z <= T(0), linear = m < T(-1);
            return {inactive ? T(0) : (linear ? T(-4) * w * m : w * z * z),
                    inactive ? T(0) : (linear ? T(-4) * w : T(-2) * (w * z)),
                    inactive || linear ? T(0) : unless_nan(T(2) * w, z)};
        });
    }
};

template <class T>
struct ExponentialLoss {
    SL_FN explicit ExponentialLoss(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T a = mul0(y, exp_(-raw)), b = mul0(T(1) - y, exp_(raw));
        return {a + b, b - a, a + b};
    }
};

// One side of the focal loss, (1 - p)^gamma * -log p, as a function of the raw prediction z of its own class.
template <class T>
SL_FN Out<T> focal_side(const Sigmoid<T>& s, bool positive, T z, T gamma) {
    const T p = positive ? s.p : s.q, q = positive ? s.q : s.p, l = positive ? s.log_p : s.log_q;
    // q^gamma = exp(-gamma * softplus(z)), the exponent to twice the precision. softplus(z) = max(z, 0) + log1p(exp(-|z|)).
    const T size = z > T(0) ? (z > Format<T>::max ? Format<T>::max : z) : T(0);
    const Two<T> a = two_prod<T>(gamma, size), x = two_sum<T>(a.hi, gamma * s.tail);
    const T w = decay<T>({-x.hi, -(x.lo + a.lo)}), pl = mul0(p, l);
    return {w * l, -w * (gamma * pl + q),
            w * (gamma * gamma * p * pl + q * ((T(1) + T(2) * gamma) * p - gamma * pl))};
}

template <class T>
struct FocalLoss {
    T gamma, weight_positive, weight_negative;
    SL_FN explicit FocalLoss(const double* a)
        : gamma(T(a[0])), weight_positive(T(a[1])), weight_negative(T(a[2])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Sigmoid<T> s(raw);
        const Out<T> a = focal_side(s, true, raw, gamma), b = focal_side(s, false, -raw, gamma);
        const T wa = weight_positive * y, wb = weight_negative * (T(1) - y);
        return {mul0(wa, a.value) + mul0(wb, b.value), mul0(wa, a.gradient) - mul0(wb, b.gradient),
                mul0(wa, a.hessian) + mul0(wb, b.hessian)};
    }
};

template <class T>
struct PolyLoss {
    T epsilon, rise;  // and 1 + epsilon
    SL_FN explicit PolyLoss(const double* a) : epsilon(T(a[0])), rise(T(1.0 + a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Sigmoid<T> s(raw);
        const T rest = T(1) - y, fall = T(1) - epsilon, tilt = epsilon * (rest - y);
        // 1 + epsilon p and 1 + epsilon q, and 1 + tilt (q - p), as sums of terms of one sign.
        const bool negative = epsilon < T(0);
        const T with_p = negative ? rise - epsilon * s.q : T(1) + epsilon * s.p;
        const T with_q = negative ? rise - epsilon * s.p : T(1) + epsilon * s.q;
        const T bend = raw < T(0) ? (rest * rise + y * fall) - T(2) * tilt * s.p
                                  : (y * rise + rest * fall) + T(2) * tilt * s.q;
        // -log p + epsilon q, where q is the smaller and where it is the larger of the two: at epsilon = -1 the former is
        // of second order in q.
        const T beyond = log1p_beyond(s.e, s.inverse), likely = rise * (s.e * s.inverse) + beyond;
        const T unlikely = abs_(raw) + (beyond + (s.e + epsilon) * s.inverse);
        const bool positive = raw >= T(0);
        return {mul0(y, positive ? likely : unlikely) + mul0(rest, positive ? unlikely : likely),
                rest * s.p * with_q - y * s.q * with_p, s.p * s.q * bend};
    }
};

template <class T>
struct BrierLoss {
    SL_FN explicit BrierLoss(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Sigmoid<T> s(raw);
        const T d = (T(1) - y) * s.p - y * s.q, pq = s.p * s.q;
        return {d * d, T(2) * d * pq, T(2) * pq * (pq + d * (s.q - s.p))};
    }
};

// Ridnik et al. (2021), equations 4 to 7, for a margin above 0; without one both sides are focal losses.
template <class T>
struct AsymmetricLoss {
    T gamma_pos, gamma_neg, margin, below;
    Two<T> middle;  // the raw prediction at which p is the margin
    // params: gamma_pos, gamma_neg, margin, and log(margin / (1 - margin)) in two parts
    SL_FN explicit AsymmetricLoss(const double* a)
        : gamma_pos(T(a[0])), gamma_neg(T(a[1])), margin(T(a[2])), below(T(1.0 - a[2])), middle(two_from<T>(a[3], a[4])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Sigmoid<T> s(raw);
        const Out<T> a = focal_side(s, true, raw, gamma_pos);
        // p - margin = p (1 - margin) (1 - exp(middle - raw)): a small power of it must not see the rounding of p.
        const T gap = (raw - middle.hi) - middle.lo, shifted = -(below * s.p) * expm1_(-gap);
        // 1 - max(p - margin, 0), and minus its logarithm.
        const T rest = s.q + margin, pq = s.p * s.q;
        const bool off = gap <= T(0);
        const T inner = off ? T(0.5) : max_(shifted, Format<T>::tiny);
        const T l = inner > T(0.5) ? -log_(rest) : -log1p_(-inner);
        const T w = scaled_pow(T(1), inner, gamma_neg), w1 = w / inner, ratio = l / inner;
        const T slope = gamma_neg * w * ratio + w / rest;
        const T bend =
            gamma_neg * (gamma_neg - T(1)) * w1 * ratio + T(2) * gamma_neg * w1 / rest + w / (rest * rest);
        const T dead = unless_nan(T(0), raw), b = T(1) - y;
        const T value = off ? dead : w * l, gradient = off ? dead : slope * pq;
        const T hessian = off ? dead : bend * pq * pq + slope * pq * (s.q - s.p);
        return {mul0(y, a.value) + b * value, mul0(y, a.gradient) + b * gradient,
                mul0(y, a.hessian) + b * hessian};
    }
};
template <class T>
struct AsymmetricLossNoMargin {
    T gamma_pos, gamma_neg;
    SL_FN explicit AsymmetricLossNoMargin(const double* a) : gamma_pos(T(a[0])), gamma_neg(T(a[1])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Sigmoid<T> s(raw);
        const Out<T> a = focal_side(s, true, raw, gamma_pos), b = focal_side(s, false, -raw, gamma_neg);
        const T rest = T(1) - y;
        return {mul0(y, a.value) + mul0(rest, b.value), mul0(y, a.gradient) - mul0(rest, b.gradient),
                mul0(y, a.hessian) + mul0(rest, b.hessian)};
    }
};

template <class T>
struct BinaryKLDivergence {
    SL_FN explicit BinaryKLDivergence(const double*) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const Sigmoid<T> s(raw);
        const T rest = T(1) - y;
        return {mul0(y, log_(y) + s.log_p) + mul0(rest, log1p_(-y) + s.log_q), rest * s.p - y * s.q,
                unless_nan(s.p * s.q, y)};
    }
};

#if !SL_DEVICE

// A loss given by C functions `double f(double y, double raw, void* data)`. Their addresses travel in the parameters'
// bits: value, gradient, hessian (or null: 0), data.
template <class T>
struct CompiledLoss {
    using Function = double (*)(double, double, void*);
    Function value, gradient, hessian;
    void* data;
    SL_FN explicit CompiledLoss(const double* a) {
        std::memcpy(&value, a, sizeof value);
        std::memcpy(&gradient, a + 1, sizeof gradient);
        std::memcpy(&hessian, a + 2, sizeof hessian);
        std::memcpy(&data, a + 3, sizeof data);
    }
    SL_FN Out<T> operator()(T y, T raw) const {
        return {T(value(double(y), double(raw), data)), T(gradient(double(y), double(raw), data)),
                hessian ? T(hessian(double(y), double(raw), data)) : unless_nan(T(1), y + raw)};
    }
};
#define SL_POINTWISE_HOST_LIST(X) X(CompiledLoss)

#endif

// The one list: a loss that is not named here does not exist. Kinds are positions in it.
#define SL_POINTWISE_LIST(X)      \
    X(HalfSquaredError)           \
    X(SquaredError)               \
    X(AbsoluteError)              \
    X(HuberLoss)                  \
    X(SmoothL1)                   \
    X(SmoothL2)                   \
    X(PseudoHuber)                \
    X(LogCosh)                    \
    X(PinballLoss)                \
    X(SmoothPinball)              \
    X(Expectile)                  \
    X(EpsilonInsensitive)         \
    X(SquaredEpsilonInsensitive)  \
    X(Fair)                       \
    X(Cauchy)                     \
    X(GemanMcClure)               \
    X(Welsch)                     \
    X(TukeyBiweight)              \
    X(GeneralRobust)              \
    X(GeneralRobustZero)          \
    X(GeneralRobustTwo)           \
    X(GeneralRobustMinusInfinity) \
    X(AbsolutePercentageError)    \
    X(HalfPoissonLoss)            \
    X(HalfGammaLoss)              \
    X(HalfTweedieLoss)            \
    X(TweedieNearPoisson)         \
    X(TweedieNearGamma)           \
    X(NegativeBinomial)           \
    X(SquaredLogError)            \
    X(HalfBinomialLoss)           \
    X(Hinge)                      \
    X(SquaredHinge)               \
    X(SmoothHinge)                \
    X(ModifiedHuber)              \
    X(ExponentialLoss)            \
    X(FocalLoss)                  \
    X(PolyLoss)                   \
    X(BrierLoss)                  \
    X(AsymmetricLoss)             \
    X(AsymmetricLossNoMargin)     \
    X(BinaryKLDivergence)

}  // namespace sl

#endif
