// CPU only: an epoch of scikit-learn's stochastic gradient descent: one sample a step, one output, a pointwise loss.
//
// The weights are scale * w, so that the shrinkage of an L2 penalty is one product. Two loops over the rows share
// everything but the rows: dense ones look ahead, sparse ones do not need to.
#ifndef SKLEARN_LOSSES_ONE_SAMPLE_H
#define SKLEARN_LOSSES_ONE_SAMPLE_H

#include <initializer_list>

#include "fit/table.h"
#include "losses/tables.h"
#include "simd/vectors.h"

namespace sl {

enum Schedule { CONSTANT, OPTIMAL, INVSCALING, ADAPTIVE, PA1, PA2 };

// Penalty and learning rate of a fit.
struct Rule {
    int schedule;
    double alpha, share_l1, share_l2;  // the shares are 0 without such a penalty
    double eta0, power_t, optimal_init;
};
// Of step t; `last` is that of the step before.
SL_FN double learning_rate(const Rule& rule, double t, double last) {
    if (rule.schedule == OPTIMAL) return 1.0 / (rule.alpha * (rule.optimal_init + t - 1.0));
    if (rule.schedule == INVSCALING) return scaled_pow(rule.eta0, t, -rule.power_t);
    return last;
}
// scikit-learn's bound on a gradient.
SL_FN double clipped(double gradient) {
    const double low = gradient < -1e12 ? -1e12 : gradient;
    return low > 1e12 ? 1e12 : low;
}
// The step of a passive-aggressive rule along the row: Crammer et al. (2006). `square` is that of the row's norm.
SL_FN double passive_aggressive(const Rule& rule, double value, double gradient, double square) {
    const double full = rule.schedule == PA1 ? value / square : value / (square + 0.5 / rule.eta0);
    const double size = rule.schedule == PA1 && full > rule.eta0 ? rule.eta0 : full;
    return gradient < 0.0 ? size : (gradient > 0.0 ? -size : gradient);
}
// The cumulative L1 penalty of Tsuruoka, Tsujii and Ananiadou (2009) on one weight, or on a register of them: u is what
// it could have received so far, q what it did.
template <class V, class T>
SL_FN V truncated(const V& w, const V& q, T u, T per_scale) {
    const V zero = {}, down = w - (u + q) * per_scale, up = w + (u - q) * per_scale;
    return w > zero ? (down < zero ? zero : down) : (w < zero ? (up > zero ? zero : up) : w);
}

// What changes from step to step, the vectors apart. The norms are those of w.
struct State {
    double t, eta, scale, intercept;
    double average_a, average_b, intercept_average;  // the averages are (average + average_a * w) / average_b
    double u;
    // As the objective takes them, which is scikit-learn's way: the truncation that ends a step does not show in the
    // next sample's penalty. With L1 on sparse rows, where they follow from their changes, also as they are.
    double square, absolute, square_now, absolute_now;
    Index touched;  // coordinates changed since the norms were last summed in full
    // Of the epoch:
    Index position;
    double loss_sum, gradient_sum;          // of the loss, and of the square of its gradient's norm
    double square_sum, absolute_sum;        // of the norms, those of scale * w
    bool finite;
};

struct OneSampleRun {
    Table table;  // whose type is the weights'
    // Dense: where the last rows have a copy, from `first_last` on, that can be read a register past the row's end.
    const void* last_rows;
    Index first_last;
    bool repeats;  // a sparse row may give an entry twice
    const double* y;
    const double* weight;       // of a sample; null: all 1
    double weight_of_sign[2];   // of samples with y <= 0, and of those with y > 0
    const std::int32_t* path;   // the rows in their order, and ROWS_AHEAD more, any rows
    Index stop;                 // steps end before this position
    Point point;
    const double* params;
    Rule rule;
    double average_from;  // the step at which averaging starts
    bool fit_intercept;
    double intercept_decay, least_scale;
    Index most_touched;
    void *w, *average, *q;  // dense: padded with zeros to whole registers
    State state;
};
template <class T>
struct Typed : OneSampleRun {
    const T *x, *last_rows;
    T *w, *average, *q;
    SL_FN explicit Typed(const OneSampleRun& run)
        : OneSampleRun(run),
          x(static_cast<const T*>(run.table.values)),
          last_rows(static_cast<const T*>(run.last_rows)),
          w(static_cast<T*>(run.w)),
          average(static_cast<T*>(run.average)),
          q(static_cast<T*>(run.q)) {}
};

// Rows ahead of a step for which values are asked, and then, of a sparse row, the weights.
enum { ROWS_AHEAD = 8, NEAR = 3 };

#if defined(__GNUC__)
#define SL_RARE __attribute__((noinline, cold))
#else
#define SL_RARE __declspec(noinline)
#endif

// The norms, summed in full.
template <class T>
SL_RARE State summed(const OneSampleRun& run, State s) {
    const T* w = static_cast<const T*>(run.w);
    double square[4] = {}, absolute[4] = {};
    for (Index j = 0; j < run.table.n_features; ++j) {
        square[j % 4] += double(w[j]) * double(w[j]);
        absolute[j % 4] += abs_(double(w[j]));
    }
    s.square_now = (square[0] + square[1]) + (square[2] + square[3]);
    s.absolute_now = (absolute[0] + absolute[1]) + (absolute[2] + absolute[3]);
    if (run.rule.share_l1 == 0.0) s.square = s.square_now;
    s.touched = 0;
    return s;
}
// The scale made 1, and the averages what their array holds.
template <class T>
SL_RARE State folded(const OneSampleRun& run_, State s) {
    const Typed<T> run(run_);
    for (Index j = 0; j < run.table.n_features; ++j) {
        if (run.average) run.average[j] = T((run.average[j] + s.average_a * run.w[j]) / s.average_b);
        run.w[j] = T(run.w[j] * s.scale);
    }
    s.average_a = 0.0;
    s.average_b = 1.0;
    s.square *= s.scale * s.scale;
    s.square_now *= s.scale * s.scale;
    s.absolute *= s.scale;
    s.absolute_now *= s.scale;
    s.scale = 1.0;
    return s;
}

// x, rounded, which keeps it out of a fused multiply-add.
SL_FN double rounded(double x) {
    volatile double y = x;
    return y;
}
// A factor in T. One that is subnormal in T, which a far-out sample of a log loss brings, would change no weight, and
// arithmetic with it is a hundred times slower.
template <class T>
SL_FN T factor(double c) {
    return abs_(c) < double(Format<T>::tiny) ? T(0) : T(c);
}

// Dense rows, a register at a time, the last one masked. The pass over the weights that adds a row also multiplies the
// new ones with a row to come, so that they are read once. With no L1 that is the row after the next: the next row's
// product follows from that with the weights before the addition and from the product of both rows, and the loss does
// not wait for the pass.
template <class T, int BYTES, bool L1>
struct DenseRows {
    using P = Pack<T, BYTES>;
    using V = typename P::Value;
    static constexpr bool l1 = L1, sparse = false;
    double product, square;  // of the step's row with w, and with itself

    SL_FN DenseRows(const Typed<T>& run) : whole((run.table.n_features - 1) / P::N) {
        T lanes[P::N];
        for (Index j = 0; j < P::N; ++j) lanes[j] = whole * P::N + j < run.table.n_features ? T(1) : T(0);
        last = P::load(lanes) > V{};
        const Index position = run.state.position;
        x = row(run, position);
        x_next = row(run, position + 1);
        product = dot_tail(x, run.w, run.table.n_features);
        square = dot_tail(x, x, run.table.n_features);
        if (!L1) {
            next_product = dot_tail(x_next, run.w, run.table.n_features);
            next_square = dot_tail(x_next, x_next, run.table.n_features);
            both = dot_tail(x, x_next, run.table.n_features);
        }
    }
    static SL_FN void foresee(const Typed<T>& run, Index far, Index) {
        prefetch(run.x + far * run.table.n_features, run.table.n_features * Index(sizeof(T)));
    }
    // After w was multiplied by the factor.
    SL_FN void scaled(double factor) {
        product *= factor;
        if (!L1) next_product *= factor;
    }
    SL_FN void add_to_average(const Typed<T>& run, T c) const { AxpyBody<T>::run(c, x, run.average, run.table.n_features); }

    // Add c * x to w, penalise, and go on to the next row.
    SL_FN void step(const Typed<T>& run, State& s, double c_, double per_scale_, bool changed) {
        const T* ahead = L1 ? x_next : row(run, s.position + 2);
        const T c = factor<T>(c_), u = T(s.u), scale = T(s.scale), per_scale = T(per_scale_);
        V products[2] = {}, squares[2] = {}, others[2] = {}, absolutes[2] = {};
        const auto part = [&](Index at, int i, const auto& cut) SL_INLINE {
            const V new_x = cut(P::load(ahead + at));
            V w = P::load(run.w + at) + c * cut(P::load(x + at));
            squares[i] += new_x * new_x;
            if constexpr (L1) {
                const V q = P::load(run.q + at), cut_w = truncated<V, T>(w, q, u, per_scale);
                others[i] += w * w;
                absolutes[i] += w < V{} ? -w : w;
                P::store(run.q + at, q + scale * (cut_w - w));
                w = cut_w;
            } else {
                others[i] += new_x * cut(P::load(x_next + at));
            }
            products[i] += new_x * w;
            P::store(run.w + at, w);
        };
        const auto all = [](const V& v) SL_INLINE -> V { return v; };
        Index k = 0;
        for (; k + 2 <= whole; k += 2) {
            part(k * P::N, 0, all);
            part((k + 1) * P::N, 1, all);
        }
        if (k < whole) part(k * P::N, 0, all);
        part(whole * P::N, 1, [this](const V& v) SL_INLINE -> V { return P::masked(v, last); });

        const double new_product = P::sum(products[0] + products[1]), new_square = P::sum(squares[0] + squares[1]);
        const double other = P::sum(others[0] + others[1]);
        if constexpr (L1) {
            if (changed) {
                s.square = other;
                s.absolute = P::sum(absolutes[0] + absolutes[1]);
            }
            product = new_product;
            square = new_square;
            x = x_next;
            x_next = row(run, s.position + 2);
        } else {
            s.square += c * (2.0 * product + c * square);
            s.touched += run.table.n_features;
            product = next_product + c * both;
            square = next_square;
            next_product = new_product;
            next_square = new_square;
            both = other;
            x = x_next;
            x_next = ahead;
        }
    }

  private:
    Index whole;
    typename P::Mask last;
    const T *x, *x_next;
    double next_product, next_square, both;  // of the next row with w and with itself, and with the step's row

    static SL_FN const T* row(const Typed<T>& run, Index position) {
        const Index i = run.path[position];
        return i < run.first_last ? run.x + i * run.table.n_features : run.last_rows + (i - run.first_last) * run.table.n_features;
    }
};

// How changes of weights, of one or of a register of them, change the norms.
template <class V>
struct Norms {
    V square = {}, absolute = {};
    SL_FN void count(const V& before, const V& after) {
        square += (after - before) * (after + before);
        absolute += (after < V{} ? -after : after) - (before < V{} ? -before : before);
    }
};

// Sparse rows. Successive rows have few columns in common, so the processor itself works ahead.
template <class T, class I, bool L1, int BYTES>
struct SparseRows {
    using P = Pack<T, BYTES>;
    using V = typename P::Value;
    static constexpr bool l1 = L1, sparse = true;
    double product, square;

    SL_FN SparseRows(const Typed<T>& run) { set(run, run.state.position); }
    static SL_FN void foresee(const Typed<T>& run, Index far, Index position) {
        const Index near = run.path[position + NEAR];
        const I* indptr = static_cast<const I*>(run.table.indptr);
        const I* indices = static_cast<const I*>(run.table.indices);
        const Index n = Index(indptr[far + 1] - indptr[far]);
        prefetch(run.x + indptr[far], n * Index(sizeof(T)));
        prefetch(indices + indptr[far], n * Index(sizeof(I)));
        for (Index j = indptr[near]; j < Index(indptr[near + 1]); ++j) {
            prefetch(run.w + indices[j]);
            if (L1) prefetch(run.q + indices[j]);
        }
    }
    SL_FN void scaled(double factor) { product *= factor; }
    SL_FN void add_to_average(const Typed<T>& run, T c) const {
        for (Index j = 0; j < n; ++j) run.average[at[j]] += c * x[j];
    }

    SL_FN void step(const Typed<T>& run, State& s, double c_, double per_scale, bool changed) {
        const T c = factor<T>(c_);
        s.touched += n;
        if (run.repeats) {
            in_turn(run, s, c, per_scale, changed);
        } else if constexpr (L1) {
            by_register(run, s, c, T(per_scale), changed);
        } else {
            if (changed)
                for (Index j = 0; j < n; ++j) run.w[at[j]] += c * x[j];
            s.square += c * (2.0 * product + c * square);
        }
        set(run, s.position + 1);
    }

  private:
    const T* x;
    const I* at;
    Index n;

    // One coordinate after the other, so that one given twice is changed twice.
    SL_FN void in_turn(const Typed<T>& run, State& s, T c, double per_scale, bool changed) const {
        Norms<double> added, cut;
        if (changed) {
            for (Index j = 0; j < n; ++j) {
                const T w = run.w[at[j]];
                added.count(w, run.w[at[j]] = w + c * x[j]);
            }
            s.square = s.square_now += added.square;
            s.absolute = s.absolute_now += added.absolute;
        }
        if constexpr (L1) {
            for (Index j = 0; j < n; ++j) {
                const T w = run.w[at[j]], q = run.q[at[j]];
                const T cut_w = T(truncated<double, double>(w, q, s.u, per_scale));
                run.w[at[j]] = cut_w;
                run.q[at[j]] = T(q + s.scale * (cut_w - w));
                cut.count(w, cut_w);
            }
            s.square_now += cut.square;
            s.absolute_now += cut.absolute;
        }
    }
    // A register of coordinates at a time, which spares the truncation its branches.
    SL_FN void by_register(const Typed<T>& run, State& s, T c, T per_scale, bool changed) const {
        const T u = T(s.u), scale = T(s.scale);
        Norms<V> added, cut;
        const auto part = [&](V& w, V& q, const V& new_x) SL_INLINE {
            const V sum = w + c * new_x;
            added.count(w, sum);
            w = truncated<V, T>(sum, q, u, per_scale);
            q += scale * (w - sum);
            cut.count(sum, w);
        };
        Index j = 0;
        for (; j + P::N <= n; j += P::N) {
            V w = P::gather(run.w, at + j), q = P::gather(run.q, at + j);
            part(w, q, P::load(x + j));
            P::scatter(run.w, at + j, w);
            P::scatter(run.q, at + j, q);
        }
        if (j < n) {
            T last[3][P::N] = {};
            for (Index k = 0; j + k < n; ++k) {
                last[0][k] = run.w[at[j + k]];
                last[1][k] = run.q[at[j + k]];
                last[2][k] = x[j + k];
            }
            V w = P::load(last[0]), q = P::load(last[1]);
            part(w, q, P::load(last[2]));
            P::store(last[0], w);
            P::store(last[1], q);
            for (Index k = 0; j + k < n; ++k) {
                run.w[at[j + k]] = last[0][k];
                run.q[at[j + k]] = last[1][k];
            }
        }
        if (changed) {
            s.square = s.square_now += P::sum(added.square);
            s.absolute = s.absolute_now += P::sum(added.absolute);
        }
        s.square_now += P::sum(cut.square);
        s.absolute_now += P::sum(cut.absolute);
    }

    SL_FN void set(const Typed<T>& run, Index position) {
        const I* indptr = static_cast<const I*>(run.table.indptr);
        const Index i = run.path[position], start = Index(indptr[i]);
        x = run.x + start;
        at = static_cast<const I*>(run.table.indices) + start;
        n = Index(indptr[i + 1]) - start;
        double a = 0, b = 0, c = 0;
        Index j = 0;
        for (; j + 2 <= n; j += 2) {
            a += double(run.w[at[j]]) * double(x[j]);
            b += double(run.w[at[j + 1]]) * double(x[j + 1]);
            c += double(x[j]) * double(x[j]) + double(x[j + 1]) * double(x[j + 1]);
        }
        if (j < n) {
            a += double(run.w[at[j]]) * double(x[j]);
            c += double(x[j]) * double(x[j]);
        }
        product = a + b;
        square = c;
    }
};

// Steps until position `stop`, or until a raw prediction is not finite.
template <class T, class Rows>
struct Steps {
    static SL_FN void run(OneSampleRun* run_) {
        const Typed<T> run(*run_);
        const Rule rule = run.rule;
        const bool passive = rule.schedule == PA1 || rule.schedule == PA2;
        const double bias = run.fit_intercept ? 1.0 : 0.0, bias_step = bias * run.intercept_decay;
        const double decay_l1 = rule.share_l1 * rule.alpha, decay_l2 = rule.share_l2 * rule.alpha;
        State s = run.state;
        Rows rows(run);
        for (; s.position < run.stop; ++s.position) {
            const Index i = run.path[s.position], far = run.path[s.position + ROWS_AHEAD];
            const double y = run.y[i];
            double weight = run.weight_of_sign[y > 0.0];
            prefetch(run.y + far);
            if (run.weight) {
                weight *= run.weight[i];
                prefetch(run.weight + far);
            }
            rows.foresee(run, far, s.position);

            const double raw = s.scale * rows.product + s.intercept;
            if (!(abs_(raw) <= Format<double>::max)) {
                s.finite = false;
                break;
            }
            double value, gradient;
            run.point(run.params, y, raw, &value, &gradient);
            s.loss_sum += value;
            s.gradient_sum += (gradient * weight) * (gradient * weight) * (rows.square + bias);
            s.square_sum += s.square * (s.scale * s.scale);
            if (Rows::l1) s.absolute_sum += s.absolute * s.scale;

            double update;
            if (passive) {
                if (rule.schedule == PA1 && rows.square == 0.0) {  // no step at all
                    run_->state.position = s.position + 1;
                    rows = Rows(Typed<T>(*run_));
                    continue;
                }
                update = passive_aggressive(rule, value, gradient, rows.square) * weight;
            } else {
                s.eta = learning_rate(rule, s.t, s.eta);
                update = clipped(gradient) * (-s.eta * weight);
            }
            // Whatever the gradient is not needed for is computed beside it: divisions would wait for it otherwise.
            s.scale *= max_(0.0, 1.0 - decay_l2 * s.eta);
            if (s.scale < run.least_scale) {
                rows.scaled(s.scale);
                s = folded<T>(run, s);
            }
            const double per_scale = 1.0 / s.scale, c = update * per_scale;
            // Where all weights are zero, a perceptron asks whether steps of the intercept have cancelled.
            s.intercept += Rows::sparse ? rounded(update * bias_step) : update * bias_step;
            if (s.t >= run.average_from) {
                // Bottou, Stochastic Gradient Descent Tricks (2012), section 5.3.
                const double share = 1.0 / (s.t - run.average_from + 1.0);
                rows.add_to_average(run, factor<T>(-s.average_a * c));
                if (share < 1.0) s.average_b /= 1.0 - share;
                s.average_a += share * s.average_b * s.scale;
                s.intercept_average += (s.intercept - s.intercept_average) * share;
            }
            if (Rows::l1) s.u += decay_l1 * s.eta;
            rows.step(run, s, c, per_scale, update != 0.0);
            if (s.touched >= run.most_touched) s = summed<T>(run, s);
            s.t += 1.0;
        }
        run_->state = s;
    }
};

template <bool L1>
struct Dense {
    template <class T, int BYTES>
    using Body = Steps<T, DenseRows<T, BYTES, L1>>;
};
template <class I, bool L1>
struct Sparse {
    template <class T, int BYTES>
    using Body = Steps<T, SparseRows<T, I, L1, BYTES>>;
};
template <class T>
void (*steps_of(const OneSampleRun& run, int level))(OneSampleRun*) {
    const Table& x = run.table;
    // The widest registers slow down what is computed beside them: short rows do not make up for it, nor sparse ones.
    if (level == 2 && (x.sparse() || x.n_features * Index(sizeof(T)) < 512)) level = 1;
    const auto choose = [&](auto with, auto without) { return run.rule.share_l1 > 0.0 ? with : without; };
    using S = void(OneSampleRun*);
    if (!x.sparse())
        return choose(by_width<Dense<true>::Body, T, S>(level), by_width<Dense<false>::Body, T, S>(level));
    if (x.wide)
        return choose(by_width<Sparse<std::int64_t, true>::Body, T, S>(level),
                      by_width<Sparse<std::int64_t, false>::Body, T, S>(level));
    return choose(by_width<Sparse<std::int32_t, true>::Body, T, S>(level),
                  by_width<Sparse<std::int32_t, false>::Body, T, S>(level));
}

// ------------------------------------------------------------------------------------------ what one_sample.pyx calls

inline void take_steps(OneSampleRun* run, int level) {
    (run->table.single ? steps_of<float>(*run, level) : steps_of<double>(*run, level))(run);
}
// The norms of the weights that a fit starts from.
inline void sum_norms(OneSampleRun* run) {
    State& s = run->state;
    s = run->table.single ? summed<float>(*run, s) : summed<double>(*run, s);
    s.square = s.square_now;
    s.absolute = s.absolute_now;
}
template <class T>
bool all_finite(const OneSampleRun& run) {
    bool all = true;
    for (Index j = 0; j < run.table.n_features; ++j) all &= abs_(static_cast<const T*>(run.w)[j]) <= Format<T>::max;
    return all && abs_(run.state.intercept) <= Format<double>::max;
}
inline bool is_finite(const OneSampleRun& run) {
    return run.state.finite && (run.table.single ? all_finite<float>(run) : all_finite<double>(run));
}

}  // namespace sl

#endif
