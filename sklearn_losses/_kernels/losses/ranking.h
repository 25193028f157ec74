// CPU only: losses of pairs of documents of a query, of which one has more relevance than the other.
//
// The documents of a query stand in the order of their relevance, so that those with less than document i are the first
// `below[i]`. A query is one thread's, from its first pair to its last: the bits do not depend on the number of threads.
#ifndef SKLEARN_LOSSES_RANKING_H
#define SKLEARN_LOSSES_RANKING_H

#include <algorithm>

#include "losses/classification.h"
#include "losses/outputs.h"
#include "math/twofold.h"
#include "simd/level.h"
#include "simd/vectors.h"

namespace sl {

// Beside `Outputs`: the matrix of second derivatives times a vector.
enum { PRODUCT = 16 };

struct Query {
    Index n;
    const Index* below;
    const double* raw;
    double weight;
    double margin, width;  // of the hinge and what it is smoothed by; width 0: the logistic loss
    // Of LambdaRank, else null: the weight of a pair is the product of the differences of the two. Where `damped`, that is
    // divided by how far apart the raw predictions are, and the query's sum of forces becomes log2(1 + sum).
    const double* gain;
    const double* discount;
    bool damped;
    const double* vector;  // of PRODUCT
    double* value;         // one number
    double* first;         // gradient or product
    double* second;        // the diagonal of the second derivatives
    Index* order;          // of the hinge: room for n numbers, twice
    Index* tree;
};

// -------------------------------------------------------------------------------------- all pairs: the smooth losses

// log(1 + exp(-d)) of a difference that is known to twice the precision: what the low part adds to each derivative is
// the next one times it.
struct LogisticPair {
    HalfBinomialLoss<double> loss{nullptr};
    SL_FN explicit LogisticPair(const Query&) {}
    SL_FN Out<double> operator()(double high, double low) const {
        const DoubleDouble<double> d = residual<double>(low, high);
        const Out<double> o = loss(1.0, d.hi);
        const double turn = -o.hessian * (1.0 + 2.0 * o.gradient);
        return {o.value + o.gradient * d.lo, o.gradient + o.hessian * d.lo, o.hessian + turn * d.lo};
    }
};

struct SmoothHingePair {
    SmoothHinge<double> loss;
    double shift;
    SL_FN explicit SmoothHingePair(const Query& q) : loss(&q.width), shift(1.0 - q.margin) {}
    SL_FN Out<double> operator()(double high, double low) const { return loss(1.0, (high - low) + shift); }
};

template <class Pair, int OUT, bool WEIGHED>
struct AllPairs {
    enum { CHUNK = 256 };
    static SL_FN void run(const Query* query) {
        const Query q = *query;
        const Pair pair(q);
        double value[CHUNK], slope[CHUNK], bend[CHUNK];
        double total = 0.0, forces = 0.0;
        bool apart = false;
        for (Index i = 1; i < q.n; ++i) apart |= q.raw[i] != q.raw[0];
        // As LightGBM and XGBoost do it.
        const double floor = q.damped && apart ? 0.01 : 1.0, distance = q.damped && apart ? 1.0 : 0.0;
        for (Index i = 0; i < q.n; ++i)
            for (Index start = 0; start < q.below[i]; start += CHUNK) {
                const Index m = std::min(Index(CHUNK), q.below[i] - start);
                const double* raw = q.raw + start;
                SL_INDEPENDENT
                for (Index j = 0; j < m; ++j) {
                    const Out<double> o = pair(q.raw[i], raw[j]);
                    double w = 1.0;
                    if constexpr (WEIGHED)
                        w = (q.gain[i] - q.gain[start + j]) * abs_(q.discount[i] - q.discount[start + j]) /
                            (floor + distance * abs_(q.raw[i] - raw[j]));
                    value[j] = w * o.value;
                    slope[j] = w * o.gradient;
                    bend[j] = w * o.hessian;
                }
                const double force = sum(slope, m);
                forces -= force;
                if constexpr (OUT == PRODUCT) {
                    SL_INDEPENDENT
                    for (Index j = 0; j < m; ++j) {
                        slope[j] = bend[j] * (q.vector[i] - q.vector[start + j]);
                        q.first[start + j] -= slope[j];
                    }
                    q.first[i] += sum(slope, m);
                } else {
                    SL_INDEPENDENT
                    for (Index j = 0; j < m; ++j) q.first[start + j] -= slope[j];
                    q.first[i] += force;
                }
                if constexpr (OUT == (VALUE | GRADIENT)) total += sum(value, m);
                if constexpr (OUT == (GRADIENT | HESSIAN)) {
                    SL_INDEPENDENT
                    for (Index j = 0; j < m; ++j) q.second[start + j] += bend[j];
                    q.second[i] += sum(bend, m);
                }
            }
        // Each pair pulls at two documents.
        const double factor = q.damped && forces > 0.0 ? std::log2(1.0 + 2.0 * forces) / (2.0 * forces) : 1.0;
        *q.value = q.weight * factor * total;
        for (Index i = 0; i < q.n; ++i) {
            q.first[i] *= q.weight * factor;
            if constexpr (OUT == (GRADIENT | HESSIAN)) q.second[i] *= q.weight * factor;
        }
    }
};

template <class Pair, bool WEIGHED>
inline void all_pairs(int outputs, int level, const Query* query) {
    using Signature = void(const Query*);
    switch (outputs) {
        case VALUE | GRADIENT: return Cloned<AllPairs<Pair, VALUE | GRADIENT, WEIGHED>, Signature>::at(level)(query);
        case GRADIENT | HESSIAN: return Cloned<AllPairs<Pair, GRADIENT | HESSIAN, WEIGHED>, Signature>::at(level)(query);
        default: return Cloned<AllPairs<Pair, PRODUCT, WEIGHED>, Signature>::at(level)(query);
    }
}
// The first and second derivatives are to be 0 before.
inline void smooth_query(int outputs, int level, const Query* query) {
    if (query->width > 0.0)
        all_pairs<SmoothHingePair, false>(outputs, level, query);
    else if (query->gain)
        all_pairs<LogisticPair, true>(outputs, level, query);
    else
        all_pairs<LogisticPair, false>(outputs, level, query);
}

// ---------------------------------------------------------------------------------------------------- counting: hinge

// How many of the numbers that were added are less than another: Fenwick's tree.
struct Counts {
    Index* tree;
    Index n;
    void clear() { std::fill(tree, tree + n, Index(0)); }
    void add(Index at) {
        for (Index k = at + 1; k <= n; k += k & -k) ++tree[k - 1];
    }
    Index below(Index at) const {
        Index count = 0;
        for (Index k = at; k > 0; k -= k & -k) count += tree[k - 1];
        return count;
    }
};

// high - low <= margin, exactly.
inline bool within(double high, double low, double margin) {
    const DoubleDouble<double> d = residual<double>(low, high);
    return d.hi < margin || (d.hi == margin && d.lo <= 0.0);
}

// Of a document the pairs count that are within the margin, and not which: along the order of the raw predictions, those
// near enough come in one after another, and a tree over the levels of relevance tells how many have less, or more.
// (Joachims 2006 for two levels; Airola, Pahikkala and Salakoski 2011; Lee and Lin 2014.)
inline void hinge_query(const Index* level, const Query* query) {
    const Query q = *query;
    const double margin = q.margin;
    double fault = 0.0;
    for (Index i = 0; i < q.n; ++i) fault += q.raw[i] - q.raw[i];
    if (!(fault == 0.0)) {  // there is no order with NaN
        *q.value = fault;
        std::fill(q.first, q.first + q.n, fault);
        return;
    }
    for (Index i = 0; i < q.n; ++i) q.order[i] = i;
    std::sort(q.order, q.order + q.n, [&q](Index a, Index b) { return q.raw[a] < q.raw[b]; });
    Counts counts{q.tree, level[q.n - 1] + 1};
    // More relevant, and not ahead by the margin.
    counts.clear();
    Index next = 0;
    for (Index at = 0; at < q.n; ++at) {
        const Index i = q.order[at];
        for (; next < q.n && within(q.raw[q.order[next]], q.raw[i], margin); ++next) counts.add(level[q.order[next]]);
        q.first[i] = double(next - counts.below(level[i] + 1));
    }
    // Less relevant, and not behind by it; from the top.
    counts.clear();
    next = q.n;
    double pairs = 0.0;
    for (Index at = q.n; at-- > 0;) {
        const Index i = q.order[at];
        for (; next > 0 && within(q.raw[i], q.raw[q.order[next - 1]], margin); --next)
            counts.add(level[q.order[next - 1]]);
        const double own = double(counts.below(level[i]));
        pairs += own;
        q.first[i] -= own;
    }
    // margin * pairs + gradient . raw, a small difference of large numbers: to twice the precision.
    DoubleDouble<double> total = two_prod<double>(margin, pairs);
    for (Index i = 0; i < q.n; ++i) {
        const DoubleDouble<double> term = two_prod<double>(q.first[i], q.raw[i]);
        const DoubleDouble<double> sum_ = two_sum<double>(total.hi, term.hi);
        total = {sum_.hi, total.lo + (sum_.lo + term.lo)};
        q.first[i] *= q.weight;
    }
    *q.value = q.weight * (total.hi + total.lo);
}

}  // namespace sl

#endif
