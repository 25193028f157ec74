// CPU only: Cox's partial likelihood. Numbers of any size, sums over those at risk, and hazards over the time at risk.
//
// exp(raw) is kept as f * 2^n: nothing over- or underflows, and no sum needs a largest term that belongs to another risk
// set. Nothing is subtracted that was added before, so that each sum has the digits of its terms: those who enter late
// are summed by a tree over the event times.
#ifndef SKLEARN_LOSSES_COX_H
#define SKLEARN_LOSSES_COX_H

#include "math/twofold.h"

namespace sl {

// (hi + lo) * 2^exponent, of a whole exponent.
struct Wide {
    double hi = 0.0, lo = 0.0, exponent = -Format<double>::max;
};

// 2^s for a whole s up to 1023; 0 from -1023 on, and for NaN, which the number that is scaled has too.
SL_FN double power_of_two(double s) {
    using F = Format<double>;
    s = s >= -1023.0 ? s : -1023.0;
    s = s <= 1023.0 ? s : 1023.0;
    return from_bits<double>((F::Bits(F::Int(s)) + F::bias) << F::digits);
}

SL_FN void add(Wide* to, Wide x) {
    const double shift = x.exponent - to->exponent;
    if (shift > 0.0) {
        const double down = power_of_two(-shift);
        to->hi *= down;
        to->lo *= down;
        to->exponent = x.exponent;
    } else {
        const double down = power_of_two(shift);
        x.hi *= down;
        x.lo *= down;
    }
    const DoubleDouble<double> sum = two_sum<double>(to->hi, x.hi);
    to->hi = sum.hi;
    to->lo += x.lo + sum.lo;
}

SL_FN void add(DoubleDouble<double>* to, double x) {
    const DoubleDouble<double> sum = two_sum<double>(to->hi, x);
    to->hi = sum.hi;
    to->lo += sum.lo;
}

// x = n * log(2) + r, and f = exp(r); NaN where x is beyond 1e300.
struct Growth {
    double f, n, r;
};
inline Growth growth(double x) {
    using F = Format<double>;
    double n = x * 1.44269504088896340736, r;
    if (abs_(x) < 7e5) {  // n times the first part of log(2) is exact
        n = round_(n);
        r = (x - n * F::ln2_hi) - n * F::ln2_lo;
    } else if (abs_(x) <= 1e300) {
        n = std::rint(n);
        const DoubleDouble<double> p = two_prod<double>(n, 0.69314718055994530942);
        // Past 2^53 n itself is rounded.
        r = clamp_(((x - p.hi) - p.lo) - n * 2.3190468138462995584e-17, -0.5, 0.5);
    } else {
        return {nan_<double>(), 0.0, nan_<double>()};
    }
    return {1.0 + (r + r * r * F::expm1_tail(r)), n, r};
}

// What does not depend on raw predictions. A group is an event time of a stratum: the samples that are last at risk then,
// the censored ones first. Samples that are at risk at no event are left out.
struct CoxPlan {
    Index n, n_strata;
    const std::int64_t* sample;    // (n,): its number in raw
    const std::int64_t* group;     // (n,)
    const std::int64_t* from;      // (n,): the first group that is at risk with it; null: all of its stratum
    const std::int64_t* start;     // (n_groups + 1,): the first sample of a group
    const std::int64_t* split;     // (n_groups,): its first event
    const std::int64_t* strata;    // (n_strata + 1,): the first group of a stratum
    const double* share;           // (n_groups,): weight of a group's events, for each term of its likelihood
    const double* weight;          // (n,) below: null where all are 1
    const double* mantissa;        // weight = mantissa * 2^weight_exponent, up to a factor
    const double* weight_exponent;
    bool efron;
};

// What is asked for; sums at risk and hazards have as many parts.
enum CoxKind { COX_VALUE, COX_HESSIAN, COX_PRODUCT, COX_HAZARD };

// Room for an evaluation.
struct CoxWork {
    double* f;         // (n,): weight * exp(raw) = f * 2^exponent
    double* exponent;  // (n,)
    double* r;         // (n,): what Growth calls so
    double* v;         // (n,): the vector that second derivatives are multiplied with; null without
    Wide* risk[2];     // (2 n_groups,): trees of sums at risk, of weight * exp(raw), and of that times v
    Wide* hazard[2];   // (2 n_groups,): trees of hazards
    Wide* own[2];      // (n_groups,): of a group's hazard what is its events' own
    double* value;     // (n_strata,)
};

inline void exponentials(const CoxPlan& plan, const CoxWork& work, const double* raw, const double* vector, Index begin,
                         Index end) {
    for (Index i = begin; i < end; ++i) {
        const Growth g = growth(raw[plan.sample[i]]);
        work.f[i] = plan.mantissa ? plan.mantissa[i] * g.f : g.f;
        work.exponent[i] = plan.mantissa ? plan.weight_exponent[i] + g.n : g.n;
        work.r[i] = g.r;
        if (vector) work.v[i] = vector[plan.sample[i]];
    }
}

// A tree over the groups first ... last - 1: node k is the sum of 2k and 2k + 1, the leaves come last.
struct CoxTree {
    Wide* node;
    Index n;
    SL_FN Wide& leaf(Index k) const { return node[n + k]; }
    template <class F>
    SL_FN void over(Index low, Index high, F&& visit) const {
        for (low += n, high += n; low < high; low >>= 1, high >>= 1) {
            if (low & 1) visit(node[low++]);
            if (high & 1) visit(node[--high]);
        }
    }
    SL_FN void push() const {
        for (Index k = 1; k < n; ++k) {
            add(&node[2 * k], node[k]);
            add(&node[2 * k + 1], node[k]);
        }
    }
    SL_FN void gather() const {
        for (Index k = n - 1; k > 0; --k) {
            node[k] = node[2 * k];
            add(&node[k], node[2 * k + 1]);
        }
    }
};
SL_FN CoxTree tree_of(Wide* nodes, Index first, Index last) { return {nodes + 2 * first, last - first}; }

struct CoxStratum {
    const CoxPlan& plan;
    const CoxWork& work;
    Index first, last;
    int kind;

    SL_FN int risks() const { return kind == COX_PRODUCT ? 2 : 1; }
    SL_FN int hazards() const { return kind == COX_PRODUCT || kind == COX_HESSIAN ? 2 : 1; }
    SL_FN Wide term(Index i, int part) const {
        return {part ? work.f[i] * work.v[i] : work.f[i], 0.0, work.exponent[i]};
    }

    // Leaves of the trees: sums over those at risk who are no events of the group.
    void sum_risks() const {
        for (int part = 0; part < risks(); ++part) {
            const CoxTree tree = tree_of(work.risk[part], first, last);
            if (plan.from) {
                for (Index k = 0; k < 2 * tree.n; ++k) tree.node[k] = Wide();
                for (Index k = first; k < last; ++k) {
                    for (Index i = plan.start[k]; i < plan.start[k + 1]; ++i) {
                        const Wide x = term(i, part);
                        const Index end = i < plan.split[k] ? k + 1 : k;
                        tree.over(plan.from[i] - first, end - first, [&](Wide& node) { add(&node, x); });
                    }
                }
                tree.push();
                continue;
            }
            Wide sum;
            for (Index k = last - 1; k >= first; --k) {
                for (Index i = plan.start[k]; i < plan.split[k]; ++i) add(&sum, term(i, part));
                tree.leaf(k - first) = sum;
                for (Index i = plan.split[k]; i < plan.start[k + 1]; ++i) add(&sum, term(i, part));
            }
        }
    }

    // Value of the stratum; hazards of the groups.
    double sum_groups() const {
        DoubleDouble<double> value = {0.0, 0.0};
        const CoxTree risk[2] = {tree_of(work.risk[0], first, last), tree_of(work.risk[1], first, last)};
        for (Index k = first; k < last; ++k) {
            Wide tied[2];
            for (int part = 0; part < risks(); ++part)
                for (Index i = plan.split[k]; i < plan.start[k + 1]; ++i) add(&tied[part], term(i, part));
            Wide all = risk[0].leaf(k - first);
            const double others = all.exponent;
            add(&all, tied[0]);
            const double exponent = all.exponent;
            const auto scaled = [&](const Wide& x, double from) {
                return (x.hi + x.lo) * power_of_two(from - exponent);
            };
            const double rest = scaled(risk[0].leaf(k - first), others), own = scaled(tied[0], tied[0].exponent);
            double rest_v = 0.0, own_v = 0.0;
            if (kind == COX_PRODUCT) {
                rest_v = scaled(risk[1].leaf(k - first), others);
                own_v = scaled(tied[1], tied[1].exponent);
            }
            const Index n_terms = plan.efron ? plan.start[k + 1] - plan.split[k] : 1;
            DoubleDouble<double> logs = {0.0, 0.0}, hazard[2] = {{0.0, 0.0}, {0.0, 0.0}}, mine[2] = {{0.0, 0.0}, {0.0, 0.0}};
            for (Index l = 0; l < n_terms; ++l) {
                const double part = double(n_terms - l) / double(n_terms), at_risk = rest + part * own;
                const double inverse = 1.0 / at_risk;
                add(&hazard[0], inverse);
                add(&mine[0], part * inverse);
                if (kind == COX_VALUE) add(&logs, log_(at_risk));
                if (kind == COX_HESSIAN) {
                    add(&hazard[1], inverse * inverse);
                    add(&mine[1], part * part * (inverse * inverse));
                }
                if (kind == COX_PRODUCT) {
                    const double mean = (rest_v + part * own_v) * inverse;
                    add(&hazard[1], mean * inverse);
                    add(&mine[1], part * mean * inverse);
                }
            }
            const double share = plan.share[k];
            if (kind == COX_VALUE) {
                add(&value, share * (logs.hi + logs.lo));
                for (Index i = plan.split[k]; i < plan.start[k + 1]; ++i) {
                    const double n = plan.mantissa ? work.exponent[i] - plan.weight_exponent[i] : work.exponent[i];
                    const double behind = (exponent - n) * 0.69314718055994530942 - work.r[i];
                    add(&value, plan.weight ? plan.weight[i] * behind : behind);
                }
            }
            for (int part = 0; part < hazards(); ++part) {
                const double power = part && kind == COX_HESSIAN ? -2.0 * exponent : -exponent;
                const auto wide = [&](const DoubleDouble<double>& x) {
                    return Wide{share * (x.hi + x.lo), 0.0, power};
                };
                tree_of(work.hazard[part], first, last).leaf(k - first) = wide(hazard[part]);
                work.own[part][k] = wide(mine[part]);
            }
        }
        return value.hi + value.lo;
    }

    // Leaves of the trees of hazards: up to the group, or, with late entries, the groups' own below their sums.
    void sum_hazards() const {
        for (int part = 0; part < hazards(); ++part) {
            const CoxTree tree = tree_of(work.hazard[part], first, last);
            if (plan.from && kind != COX_HAZARD) {
                tree.gather();
                continue;
            }
            Wide sum;
            for (Index k = 0; k < tree.n; ++k) {
                Wide with = sum;
                add(&with, work.own[part][first + k]);
                work.own[part][first + k] = with;
                add(&sum, tree.leaf(k));
                tree.leaf(k) = sum;
            }
        }
    }
};

inline void run_stratum(const CoxPlan& plan, const CoxWork& work, int kind, Index s) {
    const CoxStratum stratum = {plan, work, plan.strata[s], plan.strata[s + 1], kind};
    stratum.sum_risks();
    work.value[s] = stratum.sum_groups();
    stratum.sum_hazards();
}

// The hazard that a sample went through.
SL_FN Wide hazard_of(const CoxPlan& plan, const CoxWork& work, int part, Index s, Index i) {
    const Index k = plan.group[i], first = plan.strata[s];
    const CoxTree tree = tree_of(work.hazard[part], first, plan.strata[s + 1]);
    const bool event = i >= plan.split[k];
    if (!plan.from) return event ? work.own[part][k] : tree.leaf(k - first);
    Wide sum = event ? work.own[part][k] : Wide();
    tree.over(plan.from[i] - first, (event ? k : k + 1) - first, [&](const Wide& node) { add(&sum, node); });
    return sum;
}

// Gradient and hessian, or the product in the gradient's place. `s` is the first sample's stratum.
inline void outputs(const CoxPlan& plan, const CoxWork& work, int kind, Index s, Index begin, Index end, double* gradient,
                    double* hessian) {
    for (Index i = begin; i < end; ++i) {
        const Index k = plan.group[i];
        while (k >= plan.strata[s + 1]) ++s;
        const double f = work.f[i], exponent = work.exponent[i];
        const Wide h = hazard_of(plan, work, 0, s, i);
        const double first = f * (h.hi + h.lo) * power_of_two(exponent + h.exponent);
        const Index at = plan.sample[i];
        if (kind != COX_PRODUCT) {
            const double weight = plan.weight ? plan.weight[i] : 1.0;
            gradient[at] = i >= plan.split[k] ? first - weight : first;
        }
        if (kind == COX_VALUE) continue;
        const Wide of = hazard_of(plan, work, 1, s, i);
        if (kind == COX_PRODUCT) {
            gradient[at] = first * work.v[i] - f * (of.hi + of.lo) * power_of_two(exponent + of.exponent);
        } else {
            const double bend = first - f * f * (of.hi + of.lo) * power_of_two(2.0 * exponent + of.exponent);
            hessian[at] = bend < 0.0 ? 0.0 : bend;
        }
    }
}

// Logarithms of the cumulative hazards of a raw prediction of 0, at each group.
inline void log_hazards(const CoxPlan& plan, const CoxWork& work, double* out) {
    for (Index s = 0; s < plan.n_strata; ++s) {
        const CoxTree tree = tree_of(work.hazard[0], plan.strata[s], plan.strata[s + 1]);
        for (Index k = 0; k < tree.n; ++k) {
            const Wide& h = tree.leaf(k);
            out[plan.strata[s] + k] = log_(h.hi + h.lo) + h.exponent * 0.69314718055994530942;
        }
    }
}

}  // namespace sl

#endif
