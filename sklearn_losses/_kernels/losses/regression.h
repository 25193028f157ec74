// Pointwise losses of regression with the identity link; `r` is raw - y.
#ifndef SKLEARN_LOSSES_REGRESSION_H
#define SKLEARN_LOSSES_REGRESSION_H

#include "losses/outputs.h"
#include "math/twofold.h"

namespace sl {

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
        const DoubleDouble<T> d = residual<T>(y, raw);
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
        const DoubleDouble<T> d = residual<T>(y, raw);
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
        const DoubleDouble<T> d = residual<T>(y, raw);
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
SL_FN T excess_over(DoubleDouble<T> r, T epsilon) {
    return (abs_(r.hi) - epsilon) + sign_of(r.hi, r.lo);
}

template <class T>
struct EpsilonInsensitive {
    T epsilon;
    SL_FN explicit EpsilonInsensitive(const double* a) : epsilon(T(a[0])) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const DoubleDouble<T> r = residual<T>(y, raw);
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
        const DoubleDouble<T> r = residual<T>(y, raw);
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
    DoubleDouble<T> exponent;
    SL_FN Gaussian(DoubleDouble<T> r, T c, T k) {
        const DoubleDouble<T> q = two_square(two_div(r, c));
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
        const DoubleDouble<T> r = residual<T>(y, raw);
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
        const DoubleDouble<T> d = residual<T>(y, raw);
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
    DoubleDouble<T> less;  // alpha / 2 - 1
    T half, b, root, c, fraction, exponent, value_scale, growth;
    // params: alpha, c, and c = fraction * 2^exponent, 1 <= fraction < 2
    SL_FN explicit GeneralRobust(const double* a)
        : half(T(0.5 * a[0])), c(T(a[1])), fraction(T(a[2])), exponent(T(a[3])) {
        const double distance = a[0] < 2.0 ? 2.0 - a[0] : a[0] - 2.0;
        const DoubleDouble<double> below = two_sum<double>(0.5 * a[0], -1.0);
        less = two_from<T>(below.hi, below.lo);
        b = T(distance);
        root = sqrt_(b);
        value_scale = T(distance / a[0]);
        growth = T((a[0] - 1.0) / distance);
    }
    // alpha = 2 q with 0 < q < 1 and p = 1 - q, to more digits than either has of the other; 1/2 < fraction < 2
    SL_FN GeneralRobust(T q, T p, T fraction_, T exponent_)
        : less{-p, T(0)}, half(q), b(T(2) * p), root(sqrt_(b)), c(scale_four(fraction_, T(1), exponent_)), fraction(fraction_),
          exponent(exponent_), value_scale(p / q), growth((q - T(0.5)) / p) {}
    SL_FN Out<T> operator()(T y, T raw) const {
        const T r = raw - y, u = r / c, size = abs_(u), square = u * u;
        const T s = square > Format<T>::max ? Format<T>::max : square;
        // (1 + s / b)^a is (|u| / sqrt(b))^(2a) where s could overflow; 2^-64 keeps the quotient in range.
        const bool far = size > Format<T>::huge * max_(root, T(1)), over = size > Format<T>::max;
        const T low = lowered_quotient(r, c);
        const T base = far ? (over ? low : size * T(5.42101086242752217e-20)) / root : s / b;
        const T shift = far ? (over ? Format<T>::range : T(64)) : T(0), twice = far ? T(2) : T(1);
        const PowParts<T> v = pow_parts<T>(base, !far, shift, {twice * half, T(0)});
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
        const DoubleDouble<T> r = residual<T>(y, raw);
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

}  // namespace sl

#endif
