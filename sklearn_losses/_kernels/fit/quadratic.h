// CPU only: coordinate descent on a quadratic function plus a separable penalty, within bounds; of few variables by the
// matrix of its second derivatives, of sparse columns by these.
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

// The same of second derivatives A' diag(h) A + diag(ridge), where A = [(X - center) * unit, 1], X of columns: A moved by
// (u - x) is kept as `moved`, by row, plus `shift`.
struct SparseQuadratic {
    Quadratic of;  // without `bend`; the gradient at the start is `slope`, and stays
    Index n_rows, n_columns;  // of X; after its columns that of the ones, where there are more variables
    const double* values;
    const std::int32_t* rows;
    const std::int64_t* start;  // (n_columns + 1,)
    const double* center;
    const double* h;
    double total;          // of h
    const double* weight;  // of each column: sum of h x
    const double* bend;    // of each variable
    const double* ridge;
    const double* from;  // where it began
    double* moved;
    double shift, product;  // product: sum of h moved
};

struct SparseSweepBody {
    static SL_FN void run(SparseQuadratic* q, const Penalty* penalty, bool all, double* fell) {
        double sum = 0.0;
        for (Index j = 0; j < q->of.n; ++j) {
            const double at = q->of.x[j], bend = q->bend[j], unit = q->of.unit[j];
            if (!(bend > 0.0) || (!all && at == 0.0)) continue;
            const bool column = j < q->n_columns;
            const Index first = column ? q->start[j] : 0, last = column ? q->start[j + 1] : 0;
            double along = q->product + q->shift * q->total;  // of the ones
            if (column) {
                double own = 0.0;
                for (Index i = first; i < last; ++i) own += q->values[i] * q->h[q->rows[i]] * q->moved[q->rows[i]];
                along = unit * (own + q->shift * q->weight[j] - q->center[j] * along);
            }
            const double slope = q->of.slope[j] + along + q->ridge[j] * (at - q->from[j]);
            double to = at - slope / bend;
            if (q->of.feature[j] >= 0) {
                const double low = q->of.low ? q->of.low[j] : -inf_<double>();
                const double high = q->of.high ? q->of.high[j] : inf_<double>();
                to = penalty ? prox_one(*penalty, q->of.feature[j], to * unit, unit * (unit / bend), low, high) / unit
                             : clamp_(to * unit, low, high) / unit;
            }
            const double move = to - at;
            if (move == 0.0 || !(abs_(move) <= Format<double>::max)) continue;
            if (column) {
                const double by = unit * move;
                for (Index i = first; i < last; ++i) q->moved[q->rows[i]] += by * q->values[i];
                q->product += by * q->weight[j];
                q->shift -= by * q->center[j];
            } else {
                q->shift += move;
            }
            q->of.x[j] = to;
            sum += 0.5 * bend * move * move;
        }
        *fell = sum;
    }
};
using SparseSweepSignature = void(SparseQuadratic*, const Penalty*, bool, double*);
inline double sweep(SparseQuadratic* q, const Penalty* penalty, bool all, int level) {
    double fell = 0.0;
    Cloned<SparseSweepBody, SparseSweepSignature>::at(level)(q, penalty, all, &fell);
    return fell;
}

}  // namespace sl

#endif
