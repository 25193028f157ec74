// Pointwise losses of binary classification: y is the probability of the positive class.
#ifndef SKLEARN_LOSSES_CLASSIFICATION_H
#define SKLEARN_LOSSES_CLASSIFICATION_H

#include "losses/outputs.h"
#include "math/twofold.h"

namespace sl {

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
            const DoubleDouble<T> d = residual<T>(m, T(1));
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
    const DoubleDouble<T> a = two_prod<T>(gamma, size), x = two_sum<T>(a.hi, gamma * s.tail);
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
    DoubleDouble<T> middle;  // the raw prediction at which p is the margin
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

}  // namespace sl

#endif
