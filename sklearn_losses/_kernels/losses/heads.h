// Losses of several heads: a row of raw predictions is the parameters of a distribution, and the loss minus the logarithm of
// its density, or a score of it, at the target.
//
// A formula computes one row: `HEADS` raw predictions in; a value, HEADS derivatives and HEADS diagonal second derivatives
// out. Where `PAIR` is set the target is a pair of numbers, in the first two columns of a row of targets.
#ifndef SKLEARN_LOSSES_HEADS_H
#define SKLEARN_LOSSES_HEADS_H

#include "losses/tile.h"
#include "math/special.h"

namespace sl {

// NaN where a target or one of two raw predictions is none or infinite, which a branch might pass by; else 0.
template <class T>
SL_FN T heads_fault(T y, const T* raw) { return (y - y) + ((raw[0] - raw[0]) + (raw[1] - raw[1])); }

template <class T, int K>
struct HeadsOut {
    T value, gradient[K], hessian[K];
};

// What makes a row-wise loss of a formula: rows one after the other, which the compiler packs into registers.
template <class V, template <class> class Formula>
struct Heads {
    using T = Real<V>;
    using F = Formula<T>;
    static constexpr bool soft = F::PAIR, probabilities = false;
    F formula;
    SL_FN Heads(const double* a, int) : formula(a) {}
    template <int OUT, bool SOFT, class Self>
    static SL_FN void run(const Self& self, const Tile<T>& t) {
        enum { N = Register<V>::N, K = F::HEADS };
        T y[N], other[N], raw[K][N], value[N], gradient[K][N], hessian[K][N];
        store(y, load<V>(SOFT ? t.target : t.code));
        store(other, load<V>(SOFT ? t.target + t.stride : t.code));
        for (int k = 0; k < K; ++k) {
            t.prefetch(k);
            store(raw[k], load<V>(t.raw + k * t.stride));
        }
        for (int r = 0; r < N; ++r) {
            T row[K];
            for (int k = 0; k < K; ++k) row[k] = raw[k][r];
            const HeadsOut<T, K> o = self.formula(y[r], other[r], row);
            value[r] = o.value;
            for (int k = 0; k < K; ++k) {
                gradient[k][r] = o.gradient[k];
                hessian[k][r] = o.hessian[k];
            }
        }
        if constexpr ((OUT & VALUE) != 0) store(t.value, load<V>(value));
        if constexpr (OUT != VALUE)
            for (int k = 0; k < K; ++k) {
                store(t.gradient + k * t.stride, load<V>(gradient[k]));
                if constexpr ((OUT & HESSIAN) != 0) store(t.hessian + k * t.stride, load<V>(hessian[k]));
            }
    }
};

// ------------------------------------------------------------------------------------------- location and log of a scale

// log(sqrt(2 pi))
template <class T>
SL_FN T half_log_two_pi() { return T(0.91893853320467274178); }

template <class T>
struct GaussianFormula {
    enum { HEADS = 2, PAIR = 0 };
    SL_FN explicit GaussianFormula(const double*) {}
    SL_FN HeadsOut<T, 2> operator()(T y, T, const T* raw) const {
        const T s = raw[1];
        const Exponential<T> inverse({-s, T(0)});
        const T z = inverse(raw[0] - y), square = z * z;
        return {s + (T(0.5) * square + half_log_two_pi<T>()),
                {inverse(z), T(1) - square},
                {unless_nan(inverse(inverse(T(1))), z), T(2) * square}};
    }
};

// params: degrees of freedom, and the logarithm of the density at its middle.
template <class T>
struct StudentTFormula {
    enum { HEADS = 2, PAIR = 0 };
    T df, more, constant;
    SL_FN explicit StudentTFormula(const double* a) : df(T(a[0])), more(T(a[0] + 1.0)), constant(T(a[1])) {}
    SL_FN HeadsOut<T, 2> operator()(T y, T, const T* raw) const {
        const T s = raw[1], r = raw[0] - y;
        const Exponential<T> inverse({-s, T(0)}), scale({s, T(0)});
        const T z = inverse(r), square = z * z, size = abs_(z);
        // Far out everything is written in 1 / z: its square, and z itself, may be infinite.
        const bool far = size > T(1), over = square > Format<T>::max;
        const T back = T(1) / (far ? z : T(1)), bent = T(1) / (df + (far ? T(1) : square));
        const T share = far ? T(1) / (T(1) + df * back * back) : square * bent;
        const T log_part = over ? T(2) * (log_(abs_(r)) - s) - log_(df) : log1p_(square / df);
        const T slope = far ? more / (r + df * scale(back)) : more * inverse(z * bent);
        const T bend = far ? share / r / r : inverse(inverse(bent));
        return {s + (T(0.5) * more * log_part - constant),
                {slope, T(1) - more * share},
                {more * bend * (T(1) - T(2) * share), T(2) * more * share * (far ? df * back * back * share : df * bent)}};
    }
};

// The continuous ranked probability score of a normal distribution: Gneiting and Raftery (2007), equation 21.
template <class T>
struct GaussianCRPSFormula {
    enum { HEADS = 2, PAIR = 0 };
    SL_FN explicit GaussianCRPSFormula(const double*) {}
    // P(-z < Z < z) of a standard normal Z: near 0 by its power series.
    static SL_FN T within(T size, T beyond) {
        const T s = T(-0.5) * size * size;
        const T series = polynomial(s, 1.0, 1.0 / 3.0, 1.0 / 10.0, 1.0 / 42.0, 1.0 / 216.0, 1.0 / 1320.0, 1.0 / 9360.0,
                                    1.0 / 75600.0, 1.0 / 685440.0, 1.0 / 6894720.0, 1.0 / 76204800.0, 1.0 / 918086400.0,
                                    1.0 / 11975040000.0, 1.0 / 168129561600.0);
        return size < T(1) ? T(0.79788456080286535588) * size * series : T(1) - beyond;
    }
    SL_FN HeadsOut<T, 2> operator()(T y, T, const T* raw) const {
        const T s = raw[1], r = raw[0] - y;
        const Exponential<T> inverse({-s, T(0)}), scale({s, T(0)});
        const T z = inverse(r), size = abs_(z);
        const NormalTail<T> tail(size);
        const T gauss = tail.gauss(), p = within(size, T(2) * gauss * tail.mass());
        // The density's double, and what it is where z^2 = log(2).
        const T peak = T(0.79788456080286535588) * gauss, level = T(0.56418958354775628695);
        // The square may overflow where the density is 0.
        const T square = mul0(mul0(peak, size), size);
        return {abs_(r) * p + scale(peak - level),
                {r < T(0) ? -p : unless_nan(p, r), scale(peak - level)},
                {inverse(peak), scale((peak - level) + square)}};
    }
};

// With a kink in the location, of slope 0 there; its second derivative is the expected one, that of the density's score.
template <class T>
struct LaplaceFormula {
    enum { HEADS = 2, PAIR = 0 };
    SL_FN explicit LaplaceFormula(const double*) {}
    SL_FN HeadsOut<T, 2> operator()(T y, T, const T* raw) const {
        const T s = raw[1], r = raw[0] - y;
        const Exponential<T> inverse({-s, T(0)});
        const T size = abs_(inverse(r)), slope = inverse(T(1));
        return {s + (size + T(0.69314718055994530942)),
                {r < T(0) ? -slope : (r > T(0) ? slope : size), T(1) - size},
                {unless_nan(inverse(slope), size), size}};
    }
};

template <class V>
struct GaussianNLL : Heads<V, GaussianFormula> {
    using Heads<V, GaussianFormula>::Heads;
};
template <class V>
struct StudentTNLL : Heads<V, StudentTFormula> {
    using Heads<V, StudentTFormula>::Heads;
};

template <class V>
struct GaussianCRPS : Heads<V, GaussianCRPSFormula> {
    using Heads<V, GaussianCRPSFormula>::Heads;
};

template <class V>
struct LaplaceNLL : Heads<V, LaplaceFormula> {
    using Heads<V, LaplaceFormula>::Heads;
};

}  // namespace sl

#endif
