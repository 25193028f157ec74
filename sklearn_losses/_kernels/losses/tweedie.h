// The loss of the parameters of Tweedie's distribution with a power between 1 and 2: of a sum of gamma variables whose number
// is Poisson's, and which is 0 where there are none.
//
// Everything is computed in double, whatever the type of the raw predictions, and by branches: the sums are long.
#ifndef SKLEARN_LOSSES_TWEEDIE_H
#define SKLEARN_LOSSES_TWEEDIE_H

#include "losses/amounts.h"

namespace sl {

// a = 2 - power and b = power - 1, each with its own digits.
struct TweediePower {
    double a, b;
};

// (exp(x) - 1 - x - x^2 / 2) / x^3 for |x| <= 1.
SL_FN double cubic_tail(double x) {
    return polynomial(x, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0, 1.0 / 40320.0, 1.0 / 362880.0,
                      1.0 / 3628800.0, 1.0 / 39916800.0, 1.0 / 479001600.0, 1.0 / 6227020800.0, 1.0 / 87178291200.0,
                      1.0 / 1307674368000.0, 1.0 / 20922789888000.0, 1.0 / 355687428096000.0, 1.0 / 6402373705728000.0);
}

// The integrals from 0 to x of exp(s) - 1, s exp(s) and s^2 exp(s).
struct Rises {
    double first, second, third;
    SL_FN explicit Rises(double x) {
        if (abs_(x) < 1.0) {
            const double square = 0.5 * x * x, cube = x * x * x * cubic_tail(x), back = cube * (1.0 - x);
            first = square + cube;
            second = square * (1.0 + x) - back;
            third = 2.0 * (square * first + back);
        } else {
            const double e = exp_(x);
            first = expm1_(x) - x;
            second = e * (x - 1.0) + 1.0;
            third = x * x * e - 2.0 * second;
        }
    }
};

SL_FN StirlingRest<double> stirling_rest(double x) {
    if (x < 2.5) return Stirling<double>(x, log_(x));
    return stirling_tail(x);
}

// The sum over the number of gamma variables. With L the expected number of those of a y that is its own mean, and N = L / b,
//   y density(y) = sqrt(alpha) / (2 pi) sum_j exp(-N h(j / L) - s(j) - s(alpha j)),    h(r) = r log(r) - r + 1,
// alpha = a / b being the shape of each variable and s what Stirling's formula leaves of lgamma: the series of Dunn and Smyth
// (2005) in terms that do not cancel. Here is its logarithm, with the derivatives of that by log(L) and log(alpha).
//
// Where many terms count, the sum is an integral, and that is the trapezoidal rule's over log(j / L), whose error is as small
// as rounding at a stride of half a standard deviation: no sum has more than about 130 terms, however large L is.
struct TweedieSeries {
    double log_sum, by_size, by_shape, by_size_twice, by_both, by_shape_twice;

    // A term: its logarithm, the derivatives of that by log(L) and log(alpha), and the second ones.
    struct Term {
        double exponent, size, shape, bend_size, bend_both, bend_shape;
    };
    // Sums of terms over the first; first derivatives as distances from its own, so that variances do not cancel.
    struct Sums {
        Term first;
        double mass, size, shape, size_size, size_shape, shape_shape, bend_size, bend_both, bend_shape;
        SL_FN explicit Sums(const Term& t)
            : first(t), mass(1.0), size(0.0), shape(0.0), size_size(0.0), size_shape(0.0), shape_shape(0.0),
              bend_size(t.bend_size), bend_both(t.bend_both), bend_shape(t.bend_shape) {}
        // Whether the term counts. Those after one that does not are smaller yet: their logarithms are concave.
        SL_FN bool add(const Term& t) {
            const double below = t.exponent - first.exponent;
            if (!(below > -44.0)) return false;
            const double w = exp_(below), v = t.size - first.size, u = t.shape - first.shape, wv = w * v, wu = w * u;
            mass += w;
            size += wv;
            shape += wu;
            size_size += wv * v;
            size_shape += wv * u;
            shape_shape += wu * u;
            bend_size += w * t.bend_size;
            bend_both += w * t.bend_both;
            bend_shape += w * t.bend_shape;
            return true;
        }
    };

    // The term of j variables.
    struct AtNumber {
        double size, log_size;
        TweediePower p;
        // N h(j / L).
        SL_FN double distance(double j) const {
            const double apart = size - j;
            if (abs_(apart) > 0.5 * j) return (apart + j * (log_(j) - log_size)) / p.b;
            const double s = apart / (size + j), z = s * s;
            return (apart * s - 2.0 * j * (s * z) * Format<double>::atanh_tail(z)) / p.b;
        }
        SL_FN Term operator()(double j) const {
            const double far = distance(j), beyond = (j - size) / p.b, alpha = p.a / p.b;
            const StirlingRest<double> of_number = stirling_rest(j), of_shape = stirling_rest(alpha * j);
            return {-(far + (of_number.value + of_shape.value)),
                    beyond,
                    -(p.a * far + of_shape.slope),
                    -size / p.b,
                    p.a * beyond,
                    -(p.a * far + of_shape.turn)};
        }
    };
    // The term of L exp(x / sqrt(N)) variables, that factor being part of it.
    struct AtNode {
        double size, root;
        TweediePower p;
        SL_FN Term operator()(double x) const {
            const double t = x / root, j = size * exp_(t), alpha = p.a / p.b;
            const double far = abs_(t) < 1.0 ? x * x * (0.5 * (1.0 + t) - t * (1.0 - t) * cubic_tail(t))
                                             : root * root * Rises(t).second;
            const StirlingRest<double> of_number = stirling_rest(j), of_shape = stirling_rest(alpha * j);
            const double turn = -(p.a * far + of_shape.turn);
            return {t - far - (of_number.value + of_shape.value),
                    -(far + (of_number.slope + of_shape.slope)),
                    -(p.a * far + of_shape.slope),
                    -(far + (of_number.turn + of_shape.turn)),
                    turn,
                    turn};
        }
    };
    template <class At>
    SL_FN double sum(const At& at, double middle, double stride, double least) {
        enum { MOST = 256 };
        Sums sums(at(middle));
        for (int k = 1; k < MOST; ++k)
            if (!sums.add(at(middle + k * stride))) break;
        for (int k = 1; k < MOST && middle - k * stride >= least; ++k)
            if (!sums.add(at(middle - k * stride))) break;
        const double share = 1.0 / sums.mass, v = share * sums.size, u = share * sums.shape;
        by_size = sums.first.size + v;
        by_shape = sums.first.shape + u;
        by_size_twice = share * sums.bend_size + (share * sums.size_size - v * v);
        by_both = share * sums.bend_both + (share * sums.size_shape - v * u);
        by_shape_twice = share * sums.bend_shape + (share * sums.shape_shape - u * u);
        return sums.first.exponent + log_(sums.mass);
    }
    SL_FN TweedieSeries(double log_size, TweediePower p) {
        const double size = exp_(log_size), stride = 0.5, log_two_pi = 2.0 * half_log_two_pi<double>();
        const double half_log_shape = 0.5 * (log_(p.a) - log_(p.b));
        // Below, the integral is not the sum: its terms are too few, or the first of them too large.
        if (size * p.b < 4.0 || size < 40.0 * p.b) {
            const double middle = size < 1.5 ? 1.0 : round_(size);
            log_sum = (half_log_shape - log_two_pi) + sum(AtNumber{size, log_size, p}, middle, 1.0, 1.0);
        } else {
            const double spread = 0.5 * (log_size + log_(p.b)) + log_(stride);
            log_sum = (half_log_shape - log_two_pi) + spread + sum(AtNode{size, sqrt_(size / p.b), p}, 0.0, stride, -1e9);
        }
    }
};

// factor / c, factor being that of exp(c x), and its derivatives by c.
struct PowerOver {
    double value, slope, bend;
    SL_FN PowerOver(double factor, double c, double x) {
        const double inverse = 1.0 / c, away = x - inverse;
        value = factor * inverse;
        slope = mul0(away, value);
        bend = value * (away * away + inverse * inverse);
    }
};

// Half the deviance over the dispersion, and its derivatives by the power.
struct TweedieDeviance {
    double value, by_power, by_power_twice;
    // grown = y mu^-b / dispersion, whole = mu^a / dispersion; t = log(y / mu).
    SL_FN TweedieDeviance(double log_y, double m, double d, double t, double grown, double whole, TweediePower p) {
        const double up = p.b * t, down = -p.a * t;
        // Beyond, one of the terms is all there is.
        if (up > 40.0) {
            const PowerOver far(grown, p.b, -m);
            value = far.value;
            by_power = far.slope;
            by_power_twice = far.bend;
        } else if (down > 40.0) {
            const PowerOver far(whole, p.a, m);
            value = far.value;
            by_power = -far.slope;
            by_power_twice = far.bend;
        } else {
            const Exponential<double> times({p.a * log_y - d, 0.0});
            const Rises above(up), below(down);
            const double i = 1.0 / p.a, j = 1.0 / p.b;
            const double first = above.first * j + below.first * i, second = above.second * j * j - below.second * i * i;
            value = times(first);
            by_power = times(second - log_y * first);
            by_power_twice = times((above.third * j * j * j + below.third * i * i * i) - log_y * (2.0 * second - log_y * first));
        }
    }
};

// The loss of one row, and its derivatives by the logarithms of the mean and of the dispersion, and by the power.
struct TweedieRow {
    double value, gradient[3], hessian[3];
};

#if !SL_DEVICE && defined(__GNUC__)
// Once for all instruction sets, types and outputs: it is long, and packs into no registers.
__attribute__((noinline)) inline
#else
SL_FN
#endif
TweedieRow tweedie_row(double y, double m, double d, TweediePower p) {
    const Exponential<double> of_mean({p.a * m - d, 0.0}), of_target({-p.b * m - d, 0.0});
    const double whole = of_mean(1.0), i = 1.0 / p.a;
    if (y == 0.0) {
        const PowerOver none(whole, p.a, m);
        return {none.value, {whole, -none.value, -none.slope}, {p.a * whole, none.value, none.bend}};
    }
    const double log_y = log_any<double>(y), grown = of_target(y);
    const double t = LogRatio<double>(y, log_y, m).t;
    const TweedieDeviance far(log_y, m, d, t, grown, whole, p);
    const TweedieSeries near(p.a * log_y - d - log_(p.a), p);
    // Derivatives of log(L) and of log(alpha) by the power.
    const double of_size = i - log_y, of_shape = -i / p.b, of_shape_twice = (p.a - p.b) * of_shape * of_shape;
    const double slope = near.by_size * of_size + near.by_shape * of_shape;
    const double bend = (near.by_size * i * i + near.by_shape * of_shape_twice) +
                        (near.by_size_twice * of_size * of_size + 2.0 * near.by_both * of_size * of_shape +
                         near.by_shape_twice * of_shape * of_shape);
    return {(log_y - near.log_sum) + far.value,
            {t > 0.0 ? of_target(y * expm1_(-t)) : of_mean(-expm1_(t)), near.by_size - far.value, far.by_power - slope},
            {p.a * whole + p.b * grown, far.value - near.by_size_twice, far.by_power_twice - bend}};
}

// Raw predictions: the logarithms of the mean and of the dispersion: the variance is dispersion mean^power. params: the power.
template <class T>
struct TweedieGivenFormula {
    enum { HEADS = 2, PAIR = 0 };
    TweediePower p;
    SL_FN explicit TweedieGivenFormula(const double* a) : p{2.0 - a[0], a[0] - 1.0} {}
    SL_FN HeadsOut<T, 2> operator()(T y, T, const T* raw) const {
        const T fault = heads_fault(y, raw);
        if (!(fault == T(0))) return {fault, {fault, fault}, {fault, fault}};
        const TweedieRow o = tweedie_row(double(y), double(raw[0]), double(raw[1]), p);
        return {T(o.value), {T(o.gradient[0]), T(o.gradient[1])}, {T(o.hessian[0]), T(o.hessian[1])}};
    }
};

// And the logit of how far the power lies between its ends.
template <class T>
struct TweedieFittedFormula {
    enum { HEADS = 3, PAIR = 0 };
    // params: how far the least power is from 1, and the largest from 2; and how far they are apart.
    double margin, width;
    SL_FN explicit TweedieFittedFormula(const double* a) : margin(a[0]), width(a[1]) {}
    SL_FN HeadsOut<T, 3> operator()(T y, T, const T* raw) const {
        const T fault = heads_fault(y, raw) + (raw[2] - raw[2]);
        if (!(fault == T(0))) return {fault, {fault, fault, fault}, {fault, fault, fault}};
        const Logit<double> share{double(raw[2])};
        const TweedieRow o = tweedie_row(double(y), double(raw[0]), double(raw[1]),
                                         {margin + width * share.q, margin + width * share.p});
        const double step = width * share.p * share.q, slope = mul0(step, o.gradient[2]);
        const double sum = step * o.hessian[2] + (share.q - share.p) * o.gradient[2];
        // Where the loss overflows, so may both terms.
        const double bend = mul0(step, sum == sum ? sum : inf_<double>());
        return {T(o.value),
                {T(o.gradient[0]), T(o.gradient[1]), T(slope)},
                {T(o.hessian[0]), T(o.hessian[1]), T(bend)}};
    }
};

template <class V>
struct TweedieGiven : Heads<V, TweedieGivenFormula> {
    using Heads<V, TweedieGivenFormula>::Heads;
};
template <class V>
struct TweedieFitted : Heads<V, TweedieFittedFormula> {
    using Heads<V, TweedieFittedFormula>::Heads;
};

}  // namespace sl

#endif
