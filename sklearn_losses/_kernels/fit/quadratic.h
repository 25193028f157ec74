// CPU only: coordinate descent on a quadratic function of few variables plus a separable penalty, within bounds.
#ifndef SKLEARN_LOSSES_QUADRATIC_H
#define SKLEARN_LOSSES_QUADRATIC_H

#include "fit/penalties.h"
#include "simd/vectors.h"

namespace sl {

// slope . (u - x) + (u - x)' bend (u - x) / 2 + sum of penalties of unit u, where x is the present point.
struct Quadratic {
    Index n;
    const double* bend;           // (n, n), symmetric
    const std::int32_t* feature;  // of a variable; below 0: without penalty
    const double* unit;           // of weights: weight = unit * variable
    const double* low;            // of the weights; null: none
    const double* high;
    double* x;
    double* slope;  // at x
};

// A pass over the variables, or over those that are not 0, each put where the function is least along it. Returns a bound
// from below of how much the function fell.
struct SweepBody {
    static SL_FN void run(const Quadratic* q, const Penalty* penalty, bool all, double* fell) {
        double sum = 0.0;
        double* __restrict slope = q->slope;
        for (Index j = 0; j < q->n; ++j) {
            const double* __restrict row = q->bend + j * q->n;
            const double from = q->x[j], bend = row[j], unit = q->unit[j];
            if (!(bend > 0.0) || (!all && from == 0.0)) continue;
            double to = from - slope[j] / bend;
            if (q->feature[j] >= 0) {
                const double low = q->low ? q->low[j] : -inf_<double>(), high = q->high ? q->high[j] : inf_<double>();
                to = penalty ? prox_one(*penalty, q->feature[j], to * unit, unit * (unit / bend), low, high) / unit
                             : clamp_(to * unit, low, high) / unit;
            }
            const double move = to - from;
            if (move == 0.0 || !(abs_(move) <= Format<double>::max)) continue;
            for (Index i = 0; i < q->n; ++i) slope[i] += move * row[i];
            q->x[j] = to;
            sum += 0.5 * bend * move * move;
        }
        *fell = sum;
    }
};
using SweepSignature = void(const Quadratic*, const Penalty*, bool, double*);
inline double sweep(const Quadratic& q, const Penalty* penalty, bool all, int level) {
    double fell = 0.0;
    Cloned<SweepBody, SweepSignature>::at(level)(&q, penalty, all, &fell);
    return fell;
}

}  // namespace sl

#endif
