// Barron's loss as a density: Barron (2019), equations 16 and 17, with a shape and a scale that are raw predictions too.
//
// The shape's raw prediction t is the logit of q = alpha / 2; p = 1 - q, and b = 2 - alpha = 2 p. With w = 1 + z^2 / b,
// l = log(w), x = q l, and D(y) = (exp(-y) - 1 + y) / y^2, the loss is p / q (w^q - 1), and its derivative in t is
// p q l^2 w^q (D(x) - D(l)): nothing in it cancels but the difference of D, which `Falls` makes without.
#ifndef SKLEARN_LOSSES_ADAPTIVE_H
#define SKLEARN_LOSSES_ADAPTIVE_H

#include "losses/amounts.h"
#include "losses/partition_table.h"
#include "losses/regression.h"

namespace sl {

// Of D, and of E = -D': what they fall by between x and l, over l - x, for 0 <= x <= l; E at x, and D at l.
template <class T>
struct Falls {
    T of_d, of_e, e_at_x, d_at_l;
    SL_FN Falls(T x, T l, T apart) {
        const bool near = l <= T(2), low = x <= T(1);
        // Power series, in which sum_k x^i l^(k - i) stands for the quotient of differences of k-th powers.
        const T a = x <= T(2) ? x : T(2), c = near ? l : T(2);
        T d_x = T(0.5), d_l = T(0.5), e_x = T(0), g = T(0), h = T(0);
        T term = T(0.5), power_x = T(1), power_l = T(1), sum = T(0), before = T(0);
        for (int k = 1; k < 26; ++k) {
            term /= T(-(k + 2));
            before = sum;
            sum = power_l + a * sum;
            e_x -= T(k) * term * power_x;
            g -= term * sum;
            h += T(k) * term * before;
            power_x *= a;
            power_l *= c;
            d_x += term * power_x;
            d_l += term * power_l;
        }
        const T gone = exp_(-l), rest = exp_(-x), inverse_l = T(1) / l, inverse_x = T(1) / x;
        const T d_far = (T(1) - (T(1) - gone) * inverse_l) * inverse_l;
        const T e_far = (x - T(2) + (x + T(2)) * rest) * inverse_x * inverse_x * inverse_x;
        d_at_l = near ? d_l : d_far;
        e_at_x = low ? e_x : e_far;
        // Far out, by hand: the differences of 1 / y, 1 / y^2, 1 / y^3 and exp(-y), each over l - x.
        const T both = inverse_x * inverse_l, squares = (inverse_x + inverse_l) * both;
        const T cubes = T(2) * (inverse_x * inverse_x + both + inverse_l * inverse_l) * both;
        const T decline = rest * (apart > T(0) ? -expm1_(-apart) / apart : T(1)) * inverse_l * inverse_l;
        const T d_apart = both - (T(1) - rest) * squares + decline;
        const T e_apart = squares * (T(1) + rest) - cubes * (T(1) - rest) + decline * (T(1) + T(2) * inverse_l);
        const T e_l = (l - T(2) + (l + T(2)) * gone) * inverse_l * inverse_l * inverse_l;
        of_d = near ? g : (low ? (d_x - d_far) / apart : d_apart);
        of_e = near ? h : (low ? (e_x - e_l) / apart : e_apart);
    }
};

// The raw shape, and the logarithm of the partition function Z with its derivatives in t.
template <class T>
struct RobustShape {
    // Where alpha is 0 or 2 to more digits than a number has, and the square of p q is still one.
    static constexpr double most = sizeof(T) == 4 ? 40.0 : 300.0;
    T q, p, value, slope, bend;
    SL_FN explicit RobustShape(T raw) {
        using Pieces = PartitionTable;
        const T t = clamp_(raw, T(-most), T(most));
        const Logit<T> shape(t);
        q = shape.p;
        p = shape.q;
        // What log Z differs from that of the nearer end by, over p or q: a polynomial in t between the ends.
        const Logit<double> wide((double(t)));
        const double at = double(t) == double(t) ? double(t) : 0.0, last = double(Pieces::LEFT + Pieces::PIECES * Pieces::WIDTH);
        const int k = int((clamp_(at, double(Pieces::LEFT), last - 1e-9) - double(Pieces::LEFT)) / double(Pieces::WIDTH));
        const double half = 0.5 * double(Pieces::WIDTH), u = (at - (double(Pieces::LEFT) + (2.0 * k + 1.0) * half)) / half;
        const bool left = at < double(Pieces::LEFT), right = at > last;
        const double x = left ? wide.p * Pieces::left_unit : u;
        double c = 0.0, d = 0.0, e = 0.0;
        for (int i = Pieces::TERMS - 1; i >= 0; --i) {
            const double next = left ? (i < int(Pieces::LEFT_TERMS) ? Pieces::left(i) : 0.0) : Pieces::piece(k * Pieces::TERMS + i);
            e = e * x + d;
            d = d * x + c;
            c = c * x + next;
        }
        // From derivatives in q to those in t.
        const double by = left ? Pieces::left_unit * wide.p * wide.q : 1.0 / half, turned = left ? by * (wide.q - wide.p) : 0.0;
        const double f = right ? Pieces::right_level + Pieces::right_slope * at : c;
        const double f1 = right ? Pieces::right_slope : d * by, f2 = right ? 0.0 : 2.0 * e * by * by + d * turned;
        const bool above = at >= 0.0;
        const double near = above ? wide.q : wide.p, far = above ? -wide.p : wide.q;
        value = T((above ? Pieces::at_two : Pieces::at_zero) + near * f);
        slope = T(near * (f1 + far * f));
        bend = T(near * (f2 + 2.0 * far * f1 + far * (far + (above ? near : -near)) * f));
    }
};

// Raw predictions: the location, the logarithm of the scale, and the shape; without the last where alpha is given.
// params: the raw shape, where it is given.
template <class T, bool FITTED>
struct RobustFormula {
    enum { HEADS = FITTED ? 3 : 2, PAIR = 0 };
    T given;
    SL_FN explicit RobustFormula(const double* a) : given(FITTED ? T(0) : T(a[0])) {}
    SL_FN HeadsOut<T, HEADS> operator()(T y, T, const T* raw) const {
        const T shape_raw = FITTED ? raw[HEADS - 1] : given, fault = heads_fault(y, raw) + (shape_raw - shape_raw);
        const RobustShape<T> shape(shape_raw);
        const T q = shape.q, p = shape.p, b = T(2) * p;
        // As far as scales are numbers.
        const T most = sizeof(T) == 4 ? T(87) : T(700), s = clamp_(raw[1], -most, most);
        const Exponential<T> scale({s, T(0)});
        const GeneralRobust<T> loss(q, p, scale.f, scale.n);
        const Out<T> o = loss(y, raw[0]);
        const T r = raw[0] - y, z = r / loss.c, size = abs_(z);
        const bool far = size > Format<T>::huge;
        const T v = far ? T(1) : z * (z / b);
        const T l = far ? T(2) * (log_any<T>(abs_(r)) - s) - log_(b) : log1p_(v);
        const T inverse = far ? T(0) : T(1) / (T(1) + v), share = far ? T(1) : v * inverse, x = q * l;
        const Exponential<T> power({x, T(0)});
        const T reach = power(b * share);
        HeadsOut<T, HEADS> out;
        out.value = raw[1] + (o.value + shape.value) + fault;
        out.gradient[0] = o.gradient + fault;
        out.hessian[0] = o.hessian + fault;
        out.gradient[1] = T(1) - reach + fault;
        out.hessian[1] = T(2) * reach * (q + p * inverse) + fault;
        if constexpr (FITTED) {
            const T apart = p * l;
            const Falls<T> falls(x, l, apart);
            const T per = l > T(0) ? share / l : T(1), rise = q * (apart + q * share), weight = p * p * q * l * l * l;
            const T bent = falls.of_e * share + l * falls.e_at_x * falls.d_at_l;
            const T turn = falls.of_d * ((p - q) + T(2) * q * per + rise) - q * bent;
            out.gradient[2] = power(weight * falls.of_d) + shape.slope + fault;
            out.hessian[2] = power(weight * turn) + shape.bend + fault;
        }
        return out;
    }
};
template <class T>
using FittedRobustFormula = RobustFormula<T, true>;
template <class T>
using GivenRobustFormula = RobustFormula<T, false>;

template <class V>
struct GeneralRobustNLL : Heads<V, FittedRobustFormula> {
    using Heads<V, FittedRobustFormula>::Heads;
};
template <class V>
struct GeneralRobustNLLGiven : Heads<V, GivenRobustFormula> {
    using Heads<V, GivenRobustFormula>::Heads;
};

}  // namespace sl

#endif
