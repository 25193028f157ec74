// Penalties of the coefficients: value, proximal operator and least element of the subdifferential. CPU only.
//
// A separable penalty is a struct of the list at the end of the first part: a function of |w| with these members, for
// u, z >= 0. Everything else about it follows from them.
//   slope(u)             the right derivative
//   mean_slope(a, b)     that of the chord from a to b > a
//   piece(z, h)          the affine map that the proximal operator is around z, and where that ends
//   candidates(z, h)     the minima of (u - z)^2 / (2 h) + penalty(u), of which the far one is beyond the concave part;
//                        the same number twice where there is one alone
//
// A penalty of groups is alpha (ratio |w|_1 + (1 - ratio) sum_g weight_g |w_g|_2). Of each output apart.
#ifndef SKLEARN_LOSSES_PENALTIES_H
#define SKLEARN_LOSSES_PENALTIES_H

#include "fit/optimizers.h"
#include "math/functions.h"
#include "simd/lanes.h"

namespace sl {

struct Penalty {
    int kind;  // position in `penalty_names`
    double alpha, ratio;
    const double* params;               // the class's, in the order in which it declares them
    const double* weights;              // of the features; where there are groups, of these; null: 1
    const std::int32_t* group_start;    // n_groups + 1 positions in group_members
    const std::int32_t* group_members;  // features, each of one group
    Index n_groups, n_features;
    bool l2_apart;  // whether the caller has the L2 part in its gradient: nothing but `l2_weight` knows of it here
};

SL_FN double penalty_weight(const Penalty& p, Index i) { return p.weights ? p.weights[i] : 1.0; }
// Strengths of a feature's L1 and L2 part, and of a group's norm.
SL_FN double l1_weight(const Penalty& p, Index feature) { return p.alpha * p.ratio * penalty_weight(p, feature); }
SL_FN double l2_weight(const Penalty& p, Index feature) { return p.alpha * (1.0 - p.ratio) * penalty_weight(p, feature); }
SL_FN double group_weight(const Penalty& p, Index group) { return p.alpha * (1.0 - p.ratio) * penalty_weight(p, group); }
SL_FN double group_l1(const Penalty& p) { return p.alpha * p.ratio; }

SL_FN double less(double x, double amount) { return x - amount <= 0.0 ? 0.0 : x - amount; }

struct Candidates {
    double near, far;
};
// z -> map(z) of every z > from.
struct Piece {
    Shrinkage<double> map;
    double from;
};
SL_FN Piece no_piece() { return {{1.0, 0.0}, inf_<double>()}; }

// l1 |w| + l2 w^2 / 2.
struct ElasticNet {
    double l1, l2;
    SL_FN ElasticNet(const Penalty& p, Index feature)
        : l1(l1_weight(p, feature)), l2(p.l2_apart ? 0.0 : l2_weight(p, feature)) {}
    SL_FN double slope(double u) const { return l1 + l2 * u; }
    SL_FN double mean_slope(double a, double b) const { return l1 + l2 * (0.5 * (a + b)); }
    SL_FN Candidates candidates(double z, double h) const {
        const double u = less(z, l1 * h) / (1.0 + l2 * h);
        return {u, u};
    }
    SL_FN Piece piece(double, double h) const { return {{1.0 / (1.0 + l2 * h), l1 * h / (1.0 + l2 * h)}, 0.0}; }
};

// Zhang (2010), eq. 2.1: the slope falls from alpha at 0 to 0 at gamma alpha, where the penalty is flat.
struct MCP {
    double alpha, gamma, flat;
    SL_FN MCP(const Penalty& p, Index feature)
        : alpha(p.alpha * penalty_weight(p, feature)), gamma(p.params[0]), flat(gamma * alpha) {}
    SL_FN double slope(double u) const { return less(alpha, u / gamma); }
    SL_FN double mean_slope(double a, double b) const {
        const double from = a < flat ? a : flat, to = b < flat ? b : flat;
        return (to - from) / (b - a) * (0.5 * (slope(from) + slope(to)));
    }
    SL_FN Candidates candidates(double z, double h) const {
        if (h >= gamma) return {0.0, z < flat ? flat : z};  // the objective is concave up to `flat`
        const double shrunk = less(z, alpha * h) / (1.0 - h / gamma), u = shrunk < z ? shrunk : z;
        return {u, u};
    }
    SL_FN Piece piece(double, double h) const {
        if (h >= gamma) return no_piece();
        return {{1.0 / (1.0 - h / gamma), alpha * h / (1.0 - h / gamma)}, 0.0};
    }
};

// Fan and Li (2001), eq. 2.7: the slope is alpha up to alpha, falls to 0 at gamma alpha, and stays there.
struct SCAD {
    double alpha, gamma, flat;
    SL_FN SCAD(const Penalty& p, Index feature)
        : alpha(p.alpha * penalty_weight(p, feature)), gamma(p.params[0]), flat(gamma * alpha) {}
    SL_FN double slope(double u) const { return u <= alpha ? alpha : less(flat, u) / (gamma - 1.0); }
    SL_FN double mean_slope(double a, double b) const {
        const double line = (b < alpha ? b : alpha) - (a < alpha ? a : alpha);
        const double from = clamp_(a, alpha, flat), to = clamp_(b, alpha, flat);
        return line / (b - a) * alpha + (to - from) / (b - a) * (0.5 * (slope(from) + slope(to)));
    }
    SL_FN Candidates candidates(double z, double h) const {
        const double fall = gamma - 1.0, thresholded = less(z, alpha * h);
        if (h >= fall) return {thresholded < alpha ? thresholded : alpha, z < flat ? flat : z};
        const double shrunk = less(z, alpha * h * (gamma / fall)) / (1.0 - h / fall);
        const double u = thresholded <= alpha ? thresholded : (shrunk < z ? shrunk : z);
        return {u, u};
    }
    SL_FN Piece piece(double z, double h) const {
        const double fall = gamma - 1.0, first = alpha * (1.0 + h);
        if (h >= fall) return no_piece();
        if (z <= first) return {{1.0, alpha * h}, 0.0};
        return {{1.0 / (1.0 - h / fall), alpha * h * (gamma / fall) / (1.0 - h / fall)}, first};
    }
};

// Every separable penalty: SL_PENALTY_LIST(X) calls X(struct).
#define SL_PENALTY_LIST(X) \
    X(ElasticNet)          \
    X(MCP)                 \
    X(SCAD)

enum PenaltyKind {
#define SL_KIND(Kind) KIND_##Kind,
    SL_PENALTY_LIST(SL_KIND)
#undef SL_KIND
    KIND_SparseGroup
};
inline const char** penalty_names() {
#define SL_NAME(Kind) #Kind,
    static const char* names[] = {SL_PENALTY_LIST(SL_NAME) "SparseGroup", nullptr};
#undef SL_NAME
    return names;
}
// `use` of the struct of a separable penalty for one feature.
template <class Use>
SL_FN double of_kind(const Penalty& p, Index feature, Use use) {
    switch (p.kind) {
#define SL_CASE(Kind) \
    case KIND_##Kind: return use(Kind(p, feature));
        SL_PENALTY_LIST(SL_CASE)
#undef SL_CASE
        default: return nan_<double>();
    }
}

// ------------------------------------------------------------------------------------------------ one coefficient

template <class Kind>
SL_FN double value_of(const Kind& kind, double w) {
    const double u = abs_(w);
    return u == 0.0 ? 0.0 : u * kind.mean_slope(0.0, u);
}

// argmin of (u - z)^2 / (2 length) + penalty(u) over [low, high]: of all minima the least. For z >= 0 it is >= 0 where
// the bounds let it be, else `high`, as both terms fall towards it.
template <class Kind>
SL_FN double prox_of(const Kind& kind, double z, double length, double low, double high) {
    const double u = abs_(z), from = z < 0.0 ? -high : low, to = z < 0.0 ? -low : high;
    const Candidates free = kind.candidates(u, length);
    double near = clamp_(free.near, from < 0.0 ? 0.0 : from, to), far = clamp_(free.far, from, to);
    // The objective at `far` less that at `near`, over what makes it 0 <= far - near: no terms that cancel or overflow.
    if (far > near && (far - u) + (near - u) < -2.0 * length * kind.mean_slope(near, far)) near = far;
    if (!(u == u)) return z;
    return z < 0.0 ? 0.0 - near : near;
}

// The least of the numbers that a gradient may stand for where the weight may not go below `low` nor above `high`.
SL_FN double inward(double gradient, double w, double low, double high) {
    return (w <= low && gradient > 0.0) || (w >= high && gradient < 0.0) ? 0.0 : gradient;
}

// The least element of gradient + subdifferential; to w = 0 belongs a range of slopes.
template <class Kind>
SL_FN double violation_of(const Kind& kind, double w, double gradient, double low, double high) {
    const double slope = kind.slope(abs_(w));
    const double least = w == 0.0 ? soft_threshold(gradient, slope) : gradient + (w < 0.0 ? -slope : slope);
    return inward(least, w, low, high);
}

SL_FN double value_one(const Penalty& p, Index feature, double w) {
    return of_kind(p, feature, [=](const auto& kind) SL_INLINE { return value_of(kind, w); });
}
SL_FN double prox_one(const Penalty& p, Index feature, double z, double length, double low = -inf_<double>(),
                      double high = inf_<double>()) {
    return of_kind(p, feature, [=](const auto& kind) SL_INLINE { return prox_of(kind, z, length, low, high); });
}
SL_FN double violation_one(const Penalty& p, Index feature, double w, double gradient, double low, double high) {
    return of_kind(p, feature, [=](const auto& kind) SL_INLINE { return violation_of(kind, w, gradient, low, high); });
}

// Steps of |w| = u > 0 that stay on its piece and beyond `least`, by powers of the piece's map: how many, at most `most`.
template <class Kind>
SL_FN int steps_on_piece(const Kind& kind, double* u, double length, double least, int most) {
    enum { MOST_POWERS = 31 };
    const Piece piece = kind.piece(*u, length);
    const double end = piece.from > least ? piece.from : least;
    Shrinkage<double> power[MOST_POWERS];  // of 2^k steps
    int k = 0, done = 0;
    for (power[0] = piece.map; k + 1 < MOST_POWERS && (most >> (k + 1)) > 0; ++k) power[k + 1] = power[k].after(power[k]);
    for (; k >= 0; --k) {
        const double next = power[k].kept * *u - power[k].lost;
        if (((most - done) >> k) > 0 && next > end && next <= *u) *u = next, done += 1 << k;
    }
    return done;
}

// What so many proximal steps without a gradient make of a weight.
SL_FN double missed(const Penalty& p, Index feature, double w, double length, int steps, double low = -inf_<double>(),
                    double high = inf_<double>()) {
    return of_kind(p, feature, [=](const auto& kind) SL_INLINE {
        double at = w;
        for (int left = steps; left > 0;) {
            const double before = at;
            at = prox_of(kind, before, length, low, high);
            if (--left == 0 || !(at < before || at > before)) break;
            double size = abs_(at);
            left -= steps_on_piece(kind, &size, length, at < 0.0 ? -high : low, left);
            at = at < 0.0 ? 0.0 - size : size;
        }
        return at;
    });
}

// ----------------------------------------------------------------------------------------------------- one group

// The members of a group in one output: position i in an array of coefficients. `low` and `high` may be null.
template <class T>
struct Group {
    const std::int32_t* members;
    Index size, stride;
    double l1, weight;
    const T* low;
    const T* high;
    SL_FN Group(const Penalty& p, Index group, Index feature_stride, const T* low_, const T* high_)
        : members(p.group_members + p.group_start[group]), size(p.group_start[group + 1] - p.group_start[group]),
          stride(feature_stride), l1(group_l1(p)), weight(group_weight(p, group)), low(low_), high(high_) {}
    SL_FN Index at(Index k) const { return members[k] * stride; }
    SL_FN double lower(Index i) const { return low ? double(low[i]) : -inf_<double>(); }
    SL_FN double upper(Index i) const { return high ? double(high[i]) : inf_<double>(); }
};

// sqrt of the sum of squares of n numbers, which may overflow: they are divided by the largest.
template <class Number>
SL_FN double norm_of(Index n, Number number) {
    double most = 0.0, square = 0.0;
    for (Index k = 0; k < n; ++k) most = abs_(number(k)) > most ? abs_(number(k)) : most;
    const double unit = most > 0.0 ? most : 1.0;
    for (Index k = 0; k < n; ++k) square += (number(k) / unit) * (number(k) / unit);
    return unit * sqrt_(square);
}

// A coordinate of a group's prox, turned so that its solution, which for the group's norm nu is
// clamp_(s nu / (nu + d), low, high), is not negative.
struct Pulled {
    double s, d, low, high;
    bool negative;
    template <class T>
    SL_FN Pulled(const Group<T>& group, Index i, double z, double length)
        : s(less(abs_(z), group.l1 * length)), d(group.weight * length), negative(z < 0.0) {
        low = negative ? -group.upper(i) : group.lower(i);
        high = negative ? -group.lower(i) : group.upper(i);
        if (high <= 0.0) {  // pulled the way that the bounds forbid: as near to 0 as they allow
            const double least = -high;
            high = -low, low = least, negative = !negative;
            s = s == s ? 0.0 : s;
        }
    }
    // What it were alone in its group: the norm is no less.
    SL_FN double alone() const { return clamp_(less(s, d), low, high); }
    SL_FN double solution(double nu) const {
        const double u = clamp_(nu == 0.0 ? 0.0 : s * (nu / (nu + d)), low, high);
        return negative ? 0.0 - u : u;
    }
};

// Where the norm of u(nu) stands to nu: |u / nu|^2 - 1, and the step of Newton's method on nu / |u| - 1, which is
// linear where lengths are equal, and else concave as long as no bound comes into play (as the secular equation of
// trust regions: More and Sorensen, 1983).
struct Secular {
    double square, weighted;
    SL_FN void add(const Pulled& x, double nu) {
        double share = x.s == 0.0 ? 0.0 : x.s / (nu + x.d), from = nu + x.d;
        if (share * nu < x.low) share = x.low / nu, from = nu;
        if (share * nu > x.high) share = x.high / nu, from = nu;
        square += share * share;
        weighted += share == 0.0 ? 0.0 : share * (share / from);
    }
    SL_FN double excess() const { return square - 1.0; }
    SL_FN double step() const { return excess() / (1.0 + sqrt_(square)) * (square / weighted); }
};

// The norm of the solution of min_u sum_j (u_j - z_j)^2 / (2 h_j) + l1 |u|_1 + weight |u|_2 within the bounds: the one
// root of |u(nu)| = nu, as |u(nu)| / nu falls. No share |u_j / nu| is above 1 from the start on, so nothing overflows.
template <class T>
SL_FN double norm_of_prox(const Group<T>& group, const double* z, const double* h) {
    double low = 0.0, high = inf_<double>();
    bool equal = !group.low && !group.high;
    for (Index k = 0; k < group.size; ++k) {
        const Index i = group.at(k);
        const double alone = Pulled(group, i, z[i], h[i]).alone();
        low = alone > low ? alone : low;
        equal = equal && h[i] == h[group.at(0)];
    }
    if (equal && group.size > 0) {
        const auto thresholded = [&](Index k) SL_INLINE {
            return less(abs_(z[group.at(k)]), group.l1 * h[group.at(k)]);
        };
        return less(norm_of(group.size, thresholded), group.weight * h[group.at(0)]);
    }
    const double enough = 4.0 * Format<double>::eps * sqrt_(double(group.size));
    double nu = low;
    for (int t = 0; t < 200; ++t) {
        Secular at = {0.0, 0.0};
        for (Index k = 0; k < group.size; ++k) at.add(Pulled(group, group.at(k), z[group.at(k)], h[group.at(k)]), nu);
        if (!(at.square == at.square)) return at.square;
        if (t == 0 && at.excess() <= 0.0) return nu;  // 0, or the one coordinate that is not
        const double fixed = nu * sqrt_(at.square), next = nu + at.step();  // |u(nu)| lies between nu and the root
        if (at.excess() > 0.0) {
            low = fixed > nu ? fixed : nu;
        } else {
            high = fixed < nu ? fixed : nu;
        }
        if (abs_(at.excess()) <= enough) return clamp_(next, low, high);
        const bool inside = next >= low && next <= high;
        const double to = inside ? next : (high < inf_<double>() ? 0.5 * low + 0.5 * high : low);
        if (to == nu) return nu;
        nu = to;
    }
    return nu;
}

// `out` may be z.
template <class T>
SL_FN void prox_group(const Group<T>& group, const double* z, const double* h, double* out) {
    const double nu = norm_of_prox(group, z, h);
    for (Index k = 0; k < group.size; ++k) {
        const Index i = group.at(k);
        out[i] = Pulled(group, i, z[i], h[i]).solution(nu);
    }
}

SL_FN double value_group(const Group<double>& group, const double* w) {
    double sum = 0.0;
    for (Index k = 0; k < group.size; ++k) sum += abs_(w[group.at(k)]);
    return group.l1 * sum + group.weight * norm_of(group.size, [&](Index k) SL_INLINE { return w[group.at(k)]; });
}

// Of a group of zeros the part of the gradient that is longer than the group's weight.
template <class T>
SL_FN void violation_group(const Group<T>& group, const double* w, const double* gradient, double* out) {
    const double norm = norm_of(group.size, [&](Index k) SL_INLINE { return w[group.at(k)]; });
    for (Index k = 0; k < group.size; ++k) {
        const Index i = group.at(k);
        const double along = norm > 0.0 ? group.weight * (w[i] / norm) : 0.0;
        const double kink = w[i] < 0.0 ? -group.l1 : group.l1;
        const double least = w[i] == 0.0 ? soft_threshold(gradient[i], group.l1) : gradient[i] + kink + along;
        out[i] = inward(least, w[i], group.lower(i), group.upper(i));
    }
    if (norm > 0.0) return;
    const double length = norm_of(group.size, [&](Index k) SL_INLINE { return out[group.at(k)]; });
    const double left = less(length, group.weight);
    for (Index k = 0; k < group.size; ++k) out[group.at(k)] = left == 0.0 ? 0.0 : out[group.at(k)] * (left / length);
}

// ------------------------------------------------------------------------------------------- all the coefficients

// Coefficient (output, feature) stands at output * output_stride + feature * feature_stride of every array; low and
// high may be null. What a penalty has of its own is one group, or one feature.

template <class T>
void prox_groups(const Penalty& p, Index n_outputs, Index output_stride, Index feature_stride, const double* z,
                 const double* h, const T* low, const T* high, double* out) {
    for (Index k = 0; k < n_outputs; ++k) {
        const Index i = k * output_stride;
        for (Index g = 0; g < p.n_groups; ++g)
            prox_group(Group<T>(p, g, feature_stride, low ? low + i : low, high ? high + i : high), z + i, h + i, out + i);
    }
}
template <class T>
void violation_groups(const Penalty& p, Index n_outputs, Index output_stride, Index feature_stride, const double* w,
                      const double* gradient, const T* low, const T* high, double* out) {
    for (Index k = 0; k < n_outputs; ++k) {
        const Index i = k * output_stride;
        for (Index g = 0; g < p.n_groups; ++g)
            violation_group(Group<T>(p, g, feature_stride, low ? low + i : low, high ? high + i : high), w + i,
                            gradient + i, out + i);
    }
}
template <class T>
void penalty_prox(const Penalty& p, Index n_outputs, Index output_stride, Index feature_stride, const double* z,
                  const double* h, const T* low, const T* high, double* out) {
    if (p.kind == KIND_SparseGroup)
        return prox_groups(p, n_outputs, output_stride, feature_stride, z, h, low, high, out);
    for (Index k = 0; k < n_outputs; ++k)
        for (Index j = 0; j < p.n_features; ++j) {
            const Index i = k * output_stride + j * feature_stride;
            out[i] = prox_one(p, j, z[i], h[i], low ? double(low[i]) : -inf_<double>(),
                              high ? double(high[i]) : inf_<double>());
        }
}
template <class T>
void penalty_violation(const Penalty& p, Index n_outputs, Index output_stride, Index feature_stride, const double* w,
                       const double* gradient, const T* low, const T* high, double* out) {
    if (p.kind == KIND_SparseGroup)
        return violation_groups(p, n_outputs, output_stride, feature_stride, w, gradient, low, high, out);
    for (Index k = 0; k < n_outputs; ++k)
        for (Index j = 0; j < p.n_features; ++j) {
            const Index i = k * output_stride + j * feature_stride;
            out[i] = violation_one(p, j, w[i], gradient[i], low ? double(low[i]) : -inf_<double>(),
                                   high ? double(high[i]) : inf_<double>());
        }
}
inline double penalty_value(const Penalty& p, Index n_outputs, Index output_stride, Index feature_stride,
                            const double* w) {
    const double* none = nullptr;
    double sum = 0.0;
    for (Index k = 0; k < n_outputs; ++k) {
        const double* from = w + k * output_stride;
        if (p.kind == KIND_SparseGroup) {
            for (Index g = 0; g < p.n_groups; ++g) sum += value_group(Group<double>(p, g, feature_stride, none, none), from);
        } else {
            for (Index j = 0; j < p.n_features; ++j) sum += value_one(p, j, from[j * feature_stride]);
        }
    }
    return sum;
}

}  // namespace sl

#endif
