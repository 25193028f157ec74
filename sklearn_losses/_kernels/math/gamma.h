// The gamma function's logarithm, its derivatives, and their differences, for negative binomial and beta likelihoods.
//
// Each of lgamma, digamma and trigamma is a polynomial on [3/4, 5/2], which the recurrence takes to (0, 3/4), and
// Stirling's series beyond, whose coefficients are fitted as well (Chebyshev, 60 digits). Of a negative number: NaN.
#ifndef SKLEARN_LOSSES_GAMMA_H
#define SKLEARN_LOSSES_GAMMA_H

#include "math/special.h"

namespace sl {

// How the fits are summed: as a polynomial, or as (p(x) - p(y)) / (x - y), together with p(x).
template <class V>
struct At {
    V x;
    template <class... C>
    SL_FN V operator()(C... c) const { return polynomial<V>(x, c...); }
};
template <class V>
struct Divided {
    V at, slope;
};
template <class V>
struct Between {
    V x, y;
    SL_FN Divided<V> operator()(double c) const { return {V(Real<V>(c)), V(0)}; }
    template <class... C>
    SL_FN Divided<V> operator()(double c, C... rest) const {
        const Divided<V> p = (*this)(rest...);
        return {Real<V>(c) + x * p.at, p.at + y * p.slope};
    }
};

// In t = (x - 13/8) / (7/8).
// lgamma(x) / ((x - 1) (x - 2)), of t.
struct LgammaMiddle {
    template <class V, class F>
    static SL_FN auto fit(const F& f) {
        if constexpr (is_single<V>)
            return f(
                0.46580963736, -0.11513153323, 0.040256080383, -0.016210716494, 0.0070306286502,
                -0.0031697172154, 0.0014794949791, -0.000769515587, 0.00037381822772,
                -7.5884823024e-5, 3.6145593241e-5, -0.00010356587171, 5.2292945559e-5);
        else
            return f(
                0.46580963736232692501, -0.11513161737597968936, 0.040256123200018596287,
                -0.016208382218222627552, 0.0070294409699912415145, -0.0031879600555921475746,
                0.001488775629929396811, -0.0007096266392881127621, 0.00034335906401760961424,
                -0.00016805257919432549505, 0.000082998535500863025233, -0.000041294029927906520562,
                0.000020672717533440028156, -0.000010401737475249538783, 5.2481469689540356582e-6,
                -2.6625182504788151246e-6, 1.3814141208951165313e-6, -7.0570242675492635481e-7,
                3.0665817051133662868e-7, -1.5685768429212800205e-7, 1.6352043842766728721e-7,
                -8.4900576472313018081e-8, -4.5787715466293858263e-8, 2.4178504782250735695e-8,
                5.5004983960028502028e-8, -2.8796531330770584485e-8, -1.8694975531459512235e-8,
                9.8047440696182609032e-9, 4.8640422079752314249e-9, -2.5468926169249783901e-9);
    }
};

// x digamma(x) / (x - x0), of t; x0 is the zero.
struct DigammaMiddle {
    template <class V, class F>
    static SL_FN auto fit(const F& f) {
        if constexpr (is_single<V>)
            return f(
                1.4650878311, 0.2631196761, -0.043337666402, 0.010232954846, -0.0027991214492,
                0.0008246812031, -0.00024574301353, 7.752543227e-5, -3.3983401443e-5, 1.1082251722e-5);
        else
            return f(
                1.4650878382208505982, 0.26311967376180766553, -0.043338020890962776382,
                0.010233071738503676842, -0.0027963180006261026971, 0.0008237568266324098403,
                -0.00025339517643618438816, 0.000080048216930520455953, -0.000025723026193497496421,
                8.3598160486186670141e-6, -2.7376637325486752602e-6, 9.0124014132795727776e-7,
                -2.9784196661179649852e-7, 9.8657783740438539626e-8, -3.26018872778252343e-8,
                1.0832195278753089122e-8, -3.7661328869565734803e-9, 1.253362942484670713e-9,
                -2.9527225445312316439e-10, 9.8315093126800663466e-11, -8.4127518568092528455e-11,
                2.8033246917742406124e-11);
    }
};

// x^2 trigamma(x), of t.
struct TrigammaMiddle {
    template <class V, class F>
    static SL_FN auto fit(const F& f) {
        if constexpr (is_single<V>)
            return f(
                2.2212493163, 0.82884155426, 0.021190922204, -0.0093747394376, 0.004020166338,
                -0.0016889337451, 0.00068847535644, -0.00025056314707, 9.8927068227e-5,
                -6.2970937697e-5, 2.3827712358e-5);
        else
            return f(
                2.2212493163098286503, 0.82884165010143208799, 0.021190886645555852001,
                -0.0093766432460971044524, 0.0040208727203030000421, -0.0016784590951146452389,
                0.00068458781672492370299, -0.00027366841435354794264, 0.00010750705665304854103,
                -0.000041594438741749067653, 0.000015879944218424793463, -5.9922104244512661225e-6,
                2.2378823273651529846e-6, -8.2828718958342399433e-7, 3.0443603311304023175e-7,
                -1.1098497506118552621e-7, 3.9709934852624366086e-8, -1.4310991199389672074e-8,
                5.6510795356464743195e-9, -2.0130318987905118233e-9, 3.697847325062199157e-10,
                -1.323673997801359009e-10, 1.7842977939252785129e-10, -6.2550821053118273694e-11);
    }
};

// (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2) x, of 1 / x^2.
struct LgammaTail {
    template <class V, class F>
    static SL_FN auto fit(const F& f) {
        if constexpr (is_single<V>)
            return f(
                0.083333333321, -0.0027777722755, 0.00079323474978, -0.00058326427528,
                0.00067395407313, -0.00062377166083);
        else
            return f(
                0.083333333333333329889, -0.0027777777777693074187, 0.00079365079014290408398,
                -0.00059523751355207695735, 0.00084169951791184866405, -0.0019147451477015194477,
                0.0063091035361122344274, -0.026921312998235081982, 0.12798862176272193637,
                -0.57618910733900117999, 2.1363625445446439125, -5.7757681932225918389,
                9.8316407597344481816, -7.7990394849064172484);
    }
};

// (log(x) - 1 / (2 x) - digamma(x)) x^2, of 1 / x^2.
struct DigammaTail {
    template <class V, class F>
    static SL_FN auto fit(const F& f) {
        if constexpr (is_single<V>)
            return f(
                0.083333333201, -0.0083332734806, 0.0039637050664, -0.0040343246701, 0.0056807540061,
                -0.0058035328278);
        else
            return f(
                0.08333333333333331834, -0.0083333333332910016899, 0.0039682539481133220951,
                -0.0041666628220865993247, 0.0075753658274407665734, -0.021068167832644654297,
                0.082289020020826636465, -0.41142350508352836897, 2.3170346871474825193,
                -12.733161408751570696, 60.328144935974239134, -223.19961996619101824,
                586.3578105357735723, -958.32610440472207148, 726.59231618503945988);
    }
};

// (trigamma(x) - 1 / x - 1 / (2 x^2)) x^3, of 1 / x^2.
struct TrigammaTail {
    template <class V, class F>
    static SL_FN auto fit(const F& f) {
        if constexpr (is_single<V>)
            return f(
                0.16666666513, -0.033332635464, 0.023756194851, -0.031763868412, 0.052763281731,
                -0.058537231795);
        else
            return f(
                0.1666666666666666467, -0.0333333333332609315, 0.023809523765279062279,
                -0.033333322464217841567, 0.075756145401792507572, -0.25299685851837701221,
                1.1602097846001824772, -6.8340129154691792586, 47.119837401502791705,
                -338.1728695870611905, 2259.465270794712507, -12885.645954205047361,
                58698.506945280726074, -201052.82317419315769, 481073.83160558842402,
                -712472.3264604109462, 489732.79953241147773);
    }
};

// Where x > 0 lies: the point of the polynomial, and what the recurrence adds.
template <class V>
struct GammaPoint {
    using T = Real<V>;
    V x, z, unit;
    SL_FN explicit GammaPoint(V x_)
        : x(x_), z(select(x_ < V(T(0.75)), T(1) + x_, x_)), unit((z - T(1.625)) * T(1.1428571428571428571)) {}
    // a of x below 3/4, b of the others.
    SL_FN V either(V a, V b) const { return select(x < V(T(0.75)), a, b); }
    SL_FN V choose(V middle, V tail) const {
        return select(x < V(T(2.5)), middle, tail) + select(x < V(0), V(nan_<T>()), V(0));
    }
};

template <class V>
SL_FN V lgamma_(V x) {
    using T = Real<V>;
    const GammaPoint<V> at(x);
    const V log_x = log_any<V>(x), inverse = T(1) / x;
    const V product = at.either(x, x - T(1)) * at.either(x - T(1), x - T(2));
    const V middle = product * LgammaMiddle::fit<V>(At<V>{at.unit}) - at.either(log_x, V(0));
    const V tail = inverse * LgammaTail::fit<V>(At<V>{inverse * inverse});
    return at.choose(middle, (x - T(0.5)) * (log_x - T(1)) + (tail + T(0.41893853320467274178)));
}
template <class V>
SL_FN V digamma_(V x) {
    using T = Real<V>;
    const GammaPoint<V> at(x);
    const V inverse = T(1) / x, square = inverse * inverse;
    const DoubleDouble<T> zero = two_from<T>(1.4616321449683622, 9.5499954299656977152e-17);
    const V distance = (x - at.either(V(zero.hi - T(1)), V(zero.hi))) - zero.lo;
    const V middle = distance * DigammaMiddle::fit<V>(At<V>{at.unit}) / at.z - at.either(inverse, V(0));
    return at.choose(middle, log_(x) - (T(0.5) * inverse + square * DigammaTail::fit<V>(At<V>{square})));
}
template <class V>
SL_FN V trigamma_(V x) {
    using T = Real<V>;
    const GammaPoint<V> at(x);
    const V inverse = T(1) / x, square = inverse * inverse;
    const V middle = TrigammaMiddle::fit<V>(At<V>{at.unit}) / (at.z * at.z) + at.either(square, V(0));
    return at.choose(middle, inverse + square * (T(0.5) + inverse * TrigammaTail::fit<V>(At<V>{square})));
}

// The step from theta to theta + y, for y >= 0: up to theta = 3 by way of theta + 3, and thrice by the recurrence.
template <class V>
struct GammaStep {
    using T = Real<V>;
    V y, theta, from, to;     // from theta, or theta + 3, to y beyond it
    V u, v, fall;             // 1 / from, 1 / to, and their difference
    SL_FN GammaStep(V y_, V theta_) : theta(theta_) {
        // Above, sums may overflow where the differences are at their limits.
        const V most = T(0.25) * Format<T>::max;
        y = select(y_ > most, most, y_);
        from = select(small(), theta + T(3), theta);
        to = from + y;
        u = T(1) / from;
        v = T(1) / to;
        fall = u * (y * v);
    }
    SL_FN auto small() const { return theta < V(3); }
    template <class Fit>
    SL_FN Divided<V> divided() const { return Fit::template fit<V>(Between<V>{u * u, v * v}); }
    // 1 / (theta + k) less 1 / (y + theta + k), and the sum of both.
    struct Pole {
        V fall, sum;
    };
    SL_FN Pole pole(T k) const {
        const V x = theta + k, u_k = T(1) / x, v_k = T(1) / (y + x);
        return {u_k * (y * v_k), u_k + v_k};
    }
};

// log1p of a product that may overflow, and that is 2^-range times as large as well.
template <class V>
SL_FN V log1p_product(V whole, V lowered) {
    using F = Format<Real<V>>;
    const auto over = whole > V(F::max);
    return log1p_(select(over, lowered - Real<V>(1), whole)) + select(over, V(F::log_range), V(0));
}
// lgamma(y + theta) - lgamma(theta).
template <class V>
SL_FN V lgamma_ratio_(V y, V theta) {
    using T = Real<V>;
    using F = Format<T>;
    const GammaStep<V> s(y, theta);
    const Divided<V> d = s.template divided<LgammaTail>();
    // Of the tail c(x) = x p(x^2): c(v) - c(u), v being the smaller.
    const V tail = -s.fall * (d.at + s.v * (s.u + s.v) * d.slope);
    // The quotient of a small y and a large theta may be subnormal.
    const V quotient = y * s.u, before = s.to - T(0.5);
    const V grown = select(quotient < V(F::eps), s.y * (before * s.u), before * log1p_(quotient));
    const V main = s.y * (log_(s.from) - T(1)) + grown;
    // log((1 + y / theta) (1 + y / (theta + 1)) (1 + y / (theta + 2))).
    const V low = F::lowered_half, second = s.y / (theta + T(1)), third = s.y / (theta + T(2));
    const V pole = log1p_product<V>(s.y / theta, (s.y * low) / (theta / low));
    const V poles = pole + log1p_product<V>(second + third + second * third, (second * low) * (third * low));
    return main + tail - select(s.small(), poles, V(0));
}
// digamma(y + theta) - digamma(theta).
template <class V>
SL_FN V digamma_ratio_(V y, V theta) {
    using T = Real<V>;
    const GammaStep<V> s(y, theta);
    const Divided<V> d = s.template divided<DigammaTail>();
    const V both = s.u + s.v, tail = s.fall * (T(0.5) + both * (d.at + s.v * s.v * d.slope));
    const V poles = s.pole(T(0)).fall + (s.pole(T(1)).fall + s.pole(T(2)).fall);
    return log1p_(y * s.u) + tail + select(s.small(), poles, V(0));
}
// trigamma(theta) - trigamma(y + theta).
template <class V>
SL_FN V trigamma_ratio_(V y, V theta) {
    using T = Real<V>;
    const GammaStep<V> s(y, theta);
    const Divided<V> d = s.template divided<TrigammaTail>();
    const V both = s.u + s.v, cubes = s.u * both + s.v * s.v;
    const V tail = s.fall * (T(1) + (T(0.5) * both + (cubes * d.at + s.v * (s.v * s.v) * both * d.slope)));
    V poles = 0;
    for (int k = 2; k >= 0; --k) {
        const auto p = s.pole(T(k));
        poles = poles + p.fall * p.sum;
    }
    return tail + select(s.small(), poles, V(0));
}

// What Stirling's formula leaves of lgamma, and its first two derivatives, of x > 0 and its logarithm, which may be that of an
// x that has underflown:
//   value   lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2
//   slope   x (digamma(x) - log(x))
//   bend    x^2 (trigamma(x) - 1 / x)
//   turn    slope + bend, the derivative of the slope by log(x), which is small at both ends
template <class V>
struct StirlingRest {
    V value, slope, bend, turn;
};
// From 5/2 on.
template <class V>
SL_FN StirlingRest<V> stirling_tail(V x) {
    using T = Real<V>;
    const V inverse = T(1) / x, square = inverse * inverse;
    const V of_slope = DigammaTail::fit<V>(At<V>{square}), of_bend = TrigammaTail::fit<V>(At<V>{square});
    return {inverse * LgammaTail::fit<V>(At<V>{square}), T(-0.5) - inverse * of_slope, T(0.5) + inverse * of_bend,
            inverse * (of_bend - of_slope)};
}
template <class V>
struct Stirling : StirlingRest<V> {
    using T = Real<V>;
    SL_FN Stirling(V x, V log_x) : StirlingRest<V>(stirling_tail(x)) {
        const auto near_zero = x < V(T(1.5)), low = x < V(T(2.5));
        const V z = select(near_zero, T(1) + x, x), step = select(near_zero, V(1), V(0));
        const V rest = (lgamma_<V>(z) - (x - T(0.5) + step) * log_x) + (x - T(0.91893853320467274178));
        const V by_x = digamma_<V>(z) - log_x, by_square = x * trigamma_<V>(z) - T(1);
        this->value = select(low, rest, this->value);
        this->slope = select(low, x * by_x - step, this->slope);
        this->bend = select(low, x * by_square + step, this->bend);
        this->turn = select(low, x * (by_x + by_square), this->turn);
    }
};

}  // namespace sl

#endif
