// CPU only: pairs of samples whose order in time is known, counted by the order of their risks.
#ifndef SKLEARN_LOSSES_CONCORDANCE_H
#define SKLEARN_LOSSES_CONCORDANCE_H

#include "math/config.h"

namespace sl {

// Samples by stratum, in it from the last time to the first, at one time the censored ones first.
struct Observed {
    Index n;
    const std::int64_t* stratum;
    const double* time;
    const std::uint8_t* event;
    const double* weight;
    const std::int64_t* rank;      // of the risk, from 1 on
    const double* entry;           // null: none is late
    const std::int64_t* by_entry;  // samples by stratum, in it from the last entry to the first
    Index n_ranks;
    double* tree;  // (n_ranks + 1,), zeros: Fenwick's sums over ranks
};

struct Pairs {
    double concordant, discordant, tied;
};

inline void put(const Observed& seen, Index i, double weight) {
    for (Index k = seen.rank[i]; k <= seen.n_ranks; k += k & -k) seen.tree[k] += weight;
}
inline void take_out(const Observed& seen, Index i) {
    for (Index k = seen.rank[i]; k <= seen.n_ranks; k += k & -k) seen.tree[k] = 0.0;
}
inline double below(const Observed& seen, Index rank) {
    double sum = 0.0;
    for (Index k = rank; k > 0; k -= k & -k) sum += seen.tree[k];
    return sum;
}

inline Pairs count_pairs(const Observed& seen) {
    Pairs pairs = {0.0, 0.0, 0.0};
    Index left = 0;  // of by_entry: those before are put back
    for (Index first = 0; first < seen.n;) {
        Index last = first;  // of the stratum
        while (last < seen.n && seen.stratum[last] == seen.stratum[first]) ++last;
        double all = 0.0;
        left = first;
        for (Index i = first; i < last;) {
            const double time = seen.time[i];
            for (; seen.entry && left < last && seen.entry[seen.by_entry[left]] >= time; ++left) {
                put(seen, seen.by_entry[left], -seen.weight[seen.by_entry[left]]);
                all -= seen.weight[seen.by_entry[left]];
            }
            for (; i < last && seen.time[i] == time && !seen.event[i]; ++i) {
                put(seen, i, seen.weight[i]);
                all += seen.weight[i];
            }
            const Index events = i;
            for (; i < last && seen.time[i] == time; ++i) {
                const double lower = below(seen, seen.rank[i] - 1), equal = below(seen, seen.rank[i]) - lower;
                pairs.concordant += seen.weight[i] * lower;
                pairs.tied += seen.weight[i] * equal;
                pairs.discordant += seen.weight[i] * (all - lower - equal);
            }
            for (Index j = events; j < i; ++j) {
                put(seen, j, seen.weight[j]);
                all += seen.weight[j];
            }
        }
        for (Index i = first; i < last; ++i) take_out(seen, i);
        first = last;
    }
    return pairs;
}

}  // namespace sl

#endif
