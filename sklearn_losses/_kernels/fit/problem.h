// CPU only: what a linear model is learned from, declared once, and what a block of its rows gives: scores, losses, and
// the rows' coefficients in the gradient.
#ifndef SKLEARN_LOSSES_PROBLEM_H
#define SKLEARN_LOSSES_PROBLEM_H

#include <cstring>

#include "fit/implicit.h"
#include "fit/products.h"
#include "fit/samples.h"
#include "fit/table.h"
#include "losses/tables.h"

namespace sl {

using RowLoss = int (*)(int kind, const double* params, int n_classes, Index n, const double* codes,
                        const double* target, const double* raw, double* value, double* gradient);

// What an array of the data has an element for: each sample, or each sample and output; or each output.
enum By { BY_SAMPLE, BY_OUTPUT };
// The arrays of the data: the member, the name that callers have for it, what it goes by. Null where not given.
#define SL_PROBLEM_ARRAYS(X)                         \
    X(y, "y", BY_SAMPLE)                             \
    X(weight, "sample_weight", BY_SAMPLE)            \
    X(weight_positive, "weight_positive", BY_OUTPUT) \
    X(weight_negative, "weight_negative", BY_OUTPUT) \
    X(offset, "offset", BY_SAMPLE)

struct Problem;
struct ProblemArray {
    const char* name;
    By by;
    const double* Problem::*member;
};

struct Problem {
    using Real = double;
    Table x;
    int n_outputs = 0;
#define SL_MEMBER(member, name, by) const double* member = nullptr;
    SL_PROBLEM_ARRAYS(SL_MEMBER)  // C order
#undef SL_MEMBER
    int target = SHARED;
    bool offset_separate = false;  // whether it is by output too
    double negative = 0.0;         // the target of the other outputs under CODES
    double weight_factor = 1.0;
    bool fit_intercept = true;
    LossBlock block = nullptr;  // pointwise losses; null: row-wise or Python's
    RowLoss row_loss = nullptr;
    int kind = 0;  // negative: a loss in Python, which the caller computes
    const double* params = nullptr;
    Index params_stride = 0;  // from an output's parameters to the next's; 0: the same

    void set(const ProblemArray& array, const double* data) { this->*array.member = data; }
};
// All arrays of a problem; after the last a null name.
inline const ProblemArray* problem_arrays() {
#define SL_ENTRY(member, name, by) {name, by, &Problem::member},
    static const ProblemArray all[] = {SL_PROBLEM_ARRAYS(SL_ENTRY){nullptr, BY_SAMPLE, nullptr}};
#undef SL_ENTRY
    return all;
}

// Rows that are processed at a time, and what is held of them; each array is (rows, n_outputs) but `rows`.
struct Chunk {
    const Index* rows;
    Index n;
    double inverse;  // of the batch's size: the gradient is a mean
    int memory_mode;
    double* raw;
    double* value;     // (rows,) for row-wise losses
    double* gradient;  // of the raw predictions; then the coefficients of the rows in the gradient of the weights
    double* target;
    double* memory;  // of all samples
};
struct Sums {
    double loss;       // weighted
    double bad;        // 1 where a raw prediction is not finite, 2 where memory is short
    double unused[6];  // a line of its own
};

// Raw predictions and targets of a block of rows are by output, (n_outputs, n) for pointwise losses and (n, n_outputs)
// for row-wise ones: as the losses take them.
struct Layout {
    Index row, output;
    SL_FN Layout(const Problem& p, Index n) : row(p.row_loss ? p.n_outputs : 1), output(p.row_loss ? 1 : n) {}
};

// Intercepts and offsets onto the raw predictions of rows [first, first + n) of the chunk, and their targets.
inline void complete_scores(const Problem& problem, const Chunk& chunk, Index first, Index n, const double* intercept,
                            Sums* sums) {
    const Layout at(problem, n);
    double* raw = chunk.raw + first * problem.n_outputs;
    double* target = chunk.target + first * problem.n_outputs;
    const bool by_output = !problem.row_loss || problem.target == SEPARATE;
    for (Index b = 0; b < n; ++b) {
        const Index row = chunk.rows[first + b];
        if (!by_output) target[b] = problem.y[row];
        for (int k = 0; k < problem.n_outputs; ++k) {
            double& r = raw[b * at.row + k * at.output];
            r += intercept[k];
            if (problem.offset) r += problem.offset[problem.offset_separate ? row * problem.n_outputs + k : row];
            if (!(std::fabs(r) <= Format<double>::max)) sums->bad = 1.0;
            if (by_output) target[b * at.row + k * at.output] = target_of(problem, row, k);
        }
    }
}
// Values and gradients at `raw`, all of them arrays of the chunk.
inline void evaluate_loss_at(const Problem& problem, const Chunk& chunk, Index first, Index n, const double* raw,
                             double* value, double* gradient, Sums* sums) {
    const Index at = first * problem.n_outputs;
    if (problem.row_loss) {
        const bool soft = problem.target == SEPARATE;
        const int failed = problem.row_loss(problem.kind, problem.params, problem.n_outputs, n,
                                            soft ? nullptr : chunk.target + at, soft ? chunk.target + at : nullptr,
                                            raw + at, value + at, gradient + at);
        if (failed < 0) sums->bad = 2.0;
        return;
    }
    for (int k = 0; k < problem.n_outputs; ++k)
        problem.block(problem.params + k * problem.params_stride, n, chunk.target + at + k * n, raw + at + k * n,
                      value + at + k * n, gradient + at + k * n, nullptr);
}
inline void evaluate_loss(const Problem& problem, const Chunk& chunk, Index first, Index n, Sums* sums) {
    evaluate_loss_at(problem, chunk, first, n, chunk.raw, chunk.value, chunk.gradient, sums);
}
// What implicit steps are found with, each (rows, n_outputs) of a chunk in the layout of the raw predictions; `reach` is how
// far a derivative of 1 moves a raw prediction, and `share` has an element for what steps by itself.
struct Trial {
    double *reach, *raw, *value, *gradient;
    ImplicitShare<double>* share;
};
// Find the shares of the steps that rows [first, first + n) would make alone. `evaluate` takes the gradients at
// `trial.raw` into `trial.gradient`; whether it could.
template <class Evaluate>
bool find_shares(const Problem& problem, const Chunk& chunk, Index first, Index n, const Trial& trial,
                 const Evaluate& evaluate) {
    const Index K = problem.n_outputs, start = first * K, size = problem.row_loss ? K : 1, groups = n * K / size;
    const double* raw = chunk.raw + start;
    const double* gradient = chunk.gradient + start;
    const double* reach = trial.reach + start;
    ImplicitShare<double>* share = trial.share + start;
    const auto along = [&](Index i, const double* other) {
        double sum = 0.0;
        for (Index j = i * size; j < (i + 1) * size; ++j) sum += reach[j] * gradient[j] * other[j];
        return sum;
    };
    bool any = false;
    for (Index i = 0; i < groups; ++i) {
        share[i] = ImplicitShare<double>();
        const double all = along(i, gradient);
        share[i].known = !(all > 0.0 && all <= Format<double>::max);
        any = any || !share[i].known;
    }
    while (any) {
        for (Index j = 0; j < n * K; ++j)
            trial.raw[start + j] = raw[j] - share[j / size].at * mul0(gradient[j], reach[j]);
        if (!evaluate()) return false;
        any = false;
        for (Index i = 0; i < groups; ++i) {
            if (share[i].known) continue;
            share[i].next(along(i, trial.gradient + start) / along(i, gradient));
            any = any || !share[i].known;
        }
    }
    return true;
}
// Weigh the losses and gradients; gradients become (rows, n_outputs) coefficients in the gradient of the weights, whose
// sums over rows are the intercepts'. `scratch` holds n * n_outputs.
// `trial`, where it is, adds to the sums of the shares, (n_outputs,) twice: see `batch_share`.
inline void weigh(const Problem& problem, const Chunk& chunk, Index first, Index n, double* intercept_gradient,
                  double* scratch, Sums* sums, const Trial* trial, double* shares) {
    const Layout at(problem, n);
    const Index K = problem.n_outputs, start = first * K;
    double* gradient = chunk.gradient + start;
    for (Index b = 0; b < n; ++b) {
        const Index row = chunk.rows[first + b];
        double* old = chunk.memory_mode ? chunk.memory + row * K : nullptr;
        for (int k = 0; k < K; ++k) {
            const Index from = b * at.row + k * at.output;
            const double t = problem.row_loss ? 0.0 : chunk.target[start + from];
            const double weight = weight_of(problem, row, k, t);
            double c = mul0(weight, gradient[from]);
            if (!problem.row_loss || k == 0)
                sums->loss += mul0(weight, chunk.value[start + (problem.row_loss ? b : from)]);
            if (trial) {
                const int to = problem.row_loss ? 0 : k;
                const double all = mul0(trial->reach[start + from], c * gradient[from]);
                shares[2 * to] += all * trial->share[start + (problem.row_loss ? b : from)].at;
                shares[2 * to + 1] += all;
            }
            if (old) c = remembered(c, old + k, chunk.memory_mode);
            c *= chunk.inverse;
            scratch[b * K + k] = c;
            intercept_gradient[k] += c;
        }
    }
    for (Index i = 0; i < n * K; ++i) gradient[i] = scratch[i];
}

}  // namespace sl

#endif
