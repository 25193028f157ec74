// CPU only: the formulas of a stochastic step, and the loop over steps of one sample and one output.
//
// `_sgd.pyx` holds the step in general (any batch, outputs, L1, averages). What nearly every fit of one sample a step
// does stands here, fused and compiled for each instruction set; a step that is not like that is left to the general
// one. Both take their formulas from this file.
#ifndef SKLEARN_LOSSES_SGD_H
#define SKLEARN_LOSSES_SGD_H

#include "simd.h"

namespace sl {

enum Schedule { CONSTANT, OPTIMAL, INVSCALING, ADAPTIVE, PA1, PA2 };

// Penalty and learning rate of a fit.
struct Rule {
    int schedule;
    double alpha, share_l1, share_l2, eta0, power_t, optimal_init;
};
// Of step t; `last` is that of the step before.
SL_FN double learning_rate(const Rule& rule, double t, double last) {
    if (rule.schedule == OPTIMAL) return 1.0 / (rule.alpha * (rule.optimal_init + t - 1.0));
    if (rule.schedule == INVSCALING) return rule.eta0 / std::pow(t, rule.power_t);
    return last;
}
// The factor of all weights by which a step takes its share of the L2 penalty.
SL_FN double shrinkage(const Rule& rule, double eta) {
    return rule.share_l2 > 0.0 ? max_(0.0, 1.0 - rule.share_l2 * eta * rule.alpha) : 1.0;
}
// The penalty's part of the objective.
SL_FN double penalty(const Rule& rule, double square, double absolute) {
    return rule.alpha * (rule.share_l2 * 0.5 * square + rule.share_l1 * absolute);
}
// scikit-learn's bound on a gradient.
SL_FN double clipped(double gradient) {
    const double low = gradient < -1e12 ? -1e12 : gradient;
    return low > 1e12 ? 1e12 : low;
}

// What changes from step to step.
struct LoneState {
    double t, eta, scale, square;  // the weights are scale * w, and `square` is w . w
    Index position, seen, touched;
    double loss_sum, objective_sum;
};
template <class T>
struct Lone {
    const T* x;
    Index stride, n_features;
    const void* indices;
    const void* indptr;
    const double* y;
    const double* weight;  // or null
    double weight_positive, weight_negative;
    const std::uint8_t* held_out;  // or null
    const std::int32_t* order;
    Index n_rows, stop;  // steps end before position `stop`
    Point point;
    const double* params;
    const Rule* rule;
    bool fit_intercept;
    double intercept_decay, least_scale;
    Index most_touched;
    T* w;
    double* intercept;
    LoneState state;
};

// One row: its products with the weights and with itself, and its addition to the weights.
template <class T, int BYTES>
struct DenseRow {
    const T* x;
    Index n;
    SL_FN DenseRow(const Lone<T>& run, Index i) : x(run.x + i * run.stride), n(run.n_features) {}
    SL_FN void dot(const T* w, double* out) const { DotSquareBody<T, BYTES>::run(x, w, n, out); }
    SL_FN void add(T c, T* w) const { AxpyBody<T>::run(c, x, w, n); }
    static SL_FN void foresee(const Lone<T>& run, Index, Index far) {
        prefetch(run.x + far * run.stride, run.n_features * Index(sizeof(T)));
    }
};
template <class T, class I>
struct SparseRow {
    const T* x;
    const I* at;
    Index n;
    SL_FN SparseRow(const Lone<T>& run, Index i) {
        const I* indptr = static_cast<const I*>(run.indptr);
        x = run.x + indptr[i];
        at = static_cast<const I*>(run.indices) + indptr[i];
        n = Index(indptr[i + 1] - indptr[i]);
    }
    SL_FN void dot(const T* w, double* out) const {
        double a = 0, b = 0, square = 0;
        Index j = 0;
        for (; j + 2 <= n; j += 2) {
            a += double(w[at[j]]) * double(x[j]);
            b += double(w[at[j + 1]]) * double(x[j + 1]);
            square += double(x[j]) * double(x[j]) + double(x[j + 1]) * double(x[j + 1]);
        }
        if (j < n) {
            a += double(w[at[j]]) * double(x[j]);
            square += double(x[j]) * double(x[j]);
        }
        out[0] = a + b;
        out[1] = square;
    }
    SL_FN void add(T c, T* w) const {
        for (Index j = 0; j < n; ++j) w[at[j]] += c * x[j];
    }
    static SL_FN void foresee(const Lone<T>& run, Index near, Index far) {
        const SparseRow a(run, far), b(run, near);
        prefetch(a.x, a.n * Index(sizeof(T)));
        prefetch(a.at, a.n * Index(sizeof(I)));
        for (Index j = 0; j < b.n && j < 128; ++j) prefetch(run.w + b.at[j], 1);
    }
};

// Steps ahead of a shuffled row that its values are asked for, and then the weights that a sparse one touches.
enum { FAR = 8, NEAR = 3 };

// Steps until `stop`, or until one that the general step must do: where the scale becomes too small, or where the norm
// has to be summed anew.
template <class T, class Row>
struct LoneBody {
    static SL_FN void run(Lone<T>* run_) {
        const Lone<T> run = *run_;
        const Rule rule = *run.rule;
        const bool penalised = rule.share_l2 > 0.0;
        LoneState s = run.state;
        double intercept = *run.intercept;
        for (; s.position < run.stop; ++s.position) {
            const Index i = run.order[s.position];
            if (run.held_out && run.held_out[i]) continue;
            // Whatever the gradient is not needed for is computed beside it: divisions would wait for it otherwise.
            const double eta = learning_rate(rule, s.t, s.eta), scale = s.scale * shrinkage(rule, eta);
            if (scale < run.least_scale || s.touched >= run.most_touched) break;
            const double inverse = 1.0 / scale, y = run.y[i];
            double rate = -eta * (y > 0.0 ? run.weight_positive : run.weight_negative);
            if (run.weight) rate *= run.weight[i];
            if (s.position + FAR < run.n_rows) {
                const Index far = run.order[s.position + FAR];
                prefetch(run.y + far, 1);
                if (run.weight) prefetch(run.weight + far, 1);
                Row::foresee(run, run.order[s.position + NEAR], far);
            }
            const Row row(run, i);
            double product[2], value, gradient;
            row.dot(run.w, product);
            run.point(run.params, y, s.scale * product[0] + intercept, &value, &gradient);
            s.loss_sum += value;
            s.objective_sum += value + (penalised ? penalty(rule, s.square * s.scale * s.scale, 0.0) : 0.0);
            s.seen += 1;
            s.t += 1.0;
            s.eta = eta;
            s.scale = scale;
            const double update = clipped(gradient) * rate;
            if (update != 0.0) {
                const double c = update * inverse;
                row.add(T(c), run.w);
                s.square += c * (2.0 * product[0] + c * product[1]);
                s.touched += row.n;
                if (run.fit_intercept) intercept += update * run.intercept_decay;
            }
        }
        *run.intercept = intercept;
        run_->state = s;
    }
};

template <class T, int BYTES>
using DenseLoneBody = LoneBody<T, DenseRow<T, BYTES>>;
template <class T, class I>
void lone_steps(Lone<T>* run, bool sparse, int level, const I*) {
    if (sparse)
        Cloned<LoneBody<T, SparseRow<T, I>>, void(Lone<T>*)>::at(level < 1 ? level : 1)(run);
    else
        by_width<DenseLoneBody, T, void(Lone<T>*)>(level)(run);
}

}  // namespace sl

#endif
