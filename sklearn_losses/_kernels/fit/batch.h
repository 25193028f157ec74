// CPU only: the gradient of a batch of rows, and the step that follows it, in pieces that threads can take.
//
// X is dense or CSR, and the outputs are n_outputs. Weights are (n_outputs, n_features) for dense rows, whose products
// run along the features, and (n_features, n_outputs) for sparse ones, which touch all outputs of a feature together.
// A piece is the same whatever the number of threads, and pieces are added in order: so are the bits.
//
//   dense:  rows(piece)                      scores, loss, and the piece's own sum of the gradient
//           columns(piece)                   adds up the sums;  update(piece) steps
//   CSR:    touch                            makes up for the penalty that the rows' features missed
//           rows(piece)                      scores and loss
//           gradient                         adds to the gradient
//           columns                          its norm;  update steps the features that were touched
#ifndef SKLEARN_LOSSES_BATCH_H
#define SKLEARN_LOSSES_BATCH_H

#include "fit/moves.h"
#include "fit/products.h"
#include "fit/samples.h"

namespace sl {

// --------------------------------------------------------------------------------------------------------- the task

using RowLoss = int (*)(int kind, const double* params, int n_classes, Index n, const double* codes,
                        const double* target, const double* raw, double* value, double* gradient);

// What is learned from. The arrays are by sample, and by output where there are several, C order; null where not given.
struct Task {
    using Real = double;
    Index n_features;
    int n_outputs;
    const void* values;
    const void* indices;
    const void* indptr;  // null: dense
    Index stride;
    const double* y;
    int target;
    double negative;  // the target of the other outputs under CODES
    const double* weight;
    double weight_factor;
    const double* weight_positive;  // by output: of samples whose target is above 0, and of the others
    const double* weight_negative;
    const double* offset;
    bool offset_separate;
    LossBlock block;  // pointwise losses; null: the caller computes the loss between `scores` and `coefficients`
    const double* params;
    Index params_stride;  // from an output's parameters to the next's; 0: the same
    RowLoss row_loss;  // row-wise losses
    int kind;
    bool fit_intercept;
};

// The part of a batch that is processed at a time, and its arrays; each is (rows, n_outputs) but `rows`.
struct Chunk {
    const Index* rows;
    Index n;
    double inverse;  // of the batch's size: the gradient is a mean
    Index piece;     // rows of a piece
    double* raw;
    double* value;     // (rows,) for row-wise losses
    double* gradient;  // of the raw predictions; then the coefficients of the rows in the gradient of the weights
    double* target;
    double* memory;
    int memory_mode;
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
    SL_FN Layout(const Task& task, Index n) : row(task.row_loss ? task.n_outputs : 1), output(task.row_loss ? 1 : n) {}
};

// Intercepts and offsets onto the raw predictions of rows [first, first + n) of the chunk, and their targets.
inline void complete_scores(const Task& task, const Chunk& chunk, Index first, Index n, const double* intercept,
                            Sums* sums) {
    const Layout at(task, n);
    double* raw = chunk.raw + first * task.n_outputs;
    double* target = chunk.target + first * task.n_outputs;
    const bool by_output = !task.row_loss || task.target == SEPARATE;
    for (Index b = 0; b < n; ++b) {
        const Index row = chunk.rows[first + b];
        if (!by_output) target[b] = task.y[row];
        for (int k = 0; k < task.n_outputs; ++k) {
            double& r = raw[b * at.row + k * at.output];
            r += intercept[k];
            if (task.offset) r += task.offset[task.offset_separate ? row * task.n_outputs + k : row];
            if (!(std::fabs(r) <= 1.7976931348623157e308)) sums->bad = 1.0;
            if (by_output) target[b * at.row + k * at.output] = target_of(task, row, k);
        }
    }
}
inline int evaluate_loss(const Task& task, const Chunk& chunk, Index first, Index n) {
    const Index at = first * task.n_outputs;
    if (task.row_loss) {
        const bool soft = task.target == SEPARATE;
        return task.row_loss(task.kind, task.params, task.n_outputs, n, soft ? nullptr : chunk.target + at,
                             soft ? chunk.target + at : nullptr, chunk.raw + at, chunk.value + at,
                             chunk.gradient + at);
    }
    for (int k = 0; k < task.n_outputs; ++k)
        task.block(task.params + k * task.params_stride, n, chunk.target + at + k * n, chunk.raw + at + k * n,
                   chunk.value + at + k * n, chunk.gradient + at + k * n, nullptr);
    return 0;
}
// Weigh the losses and gradients; gradients become (rows, n_outputs) coefficients in the gradient of the weights, whose
// sums over rows are the intercepts'. `scratch` holds n * n_outputs.
inline void weigh(const Task& task, const Chunk& chunk, Index first, Index n, double* intercept_gradient,
                  double* scratch, Sums* sums) {
    const Layout at(task, n);
    const Index K = task.n_outputs, start = first * K;
    double* gradient = chunk.gradient + start;
    for (Index b = 0; b < n; ++b) {
        const Index row = chunk.rows[first + b];
        double* old = chunk.memory_mode ? chunk.memory + row * K : nullptr;
        for (int k = 0; k < K; ++k) {
            const Index from = b * at.row + k * at.output;
            const double t = task.row_loss ? 0.0 : chunk.target[start + from];
            const double weight = weight_of(task, row, k, t);
            double c = mul0(weight, gradient[from]);
            if (!task.row_loss || k == 0) sums->loss += mul0(weight, chunk.value[start + (task.row_loss ? b : from)]);
            if (old) c = remembered(c, old + k, chunk.memory_mode);
            c *= chunk.inverse;
            scratch[b * K + k] = c;
            intercept_gradient[k] += c;
        }
    }
    for (Index i = 0; i < n * K; ++i) gradient[i] = scratch[i];
}

// ------------------------------------------------------------------------------------------------------- dense pieces

enum { DENSE_AHEAD = 8 };  // rows ahead that are prefetched

template <class T>
void dense_scores(const Task& task, const Chunk& chunk, Index first, Index n, const T* w, const DenseKernels<T>& kernels) {
    const Layout at(task, n);
    const T* x[4];
    double* raw = chunk.raw + first * task.n_outputs;
    for (Index b = 0; b < n; b += 4) {
        const Index rows = n - b < 4 ? n - b : 4;
        for (Index r = 0; r < rows; ++r) {
            x[r] = static_cast<const T*>(task.values) + chunk.rows[first + b + r] * task.stride;
            const Index far = first + b + r + DENSE_AHEAD;
            if (far < chunk.n)
                prefetch(static_cast<const T*>(task.values) + chunk.rows[far] * task.stride,
                         task.n_features * Index(sizeof(T)));
        }
        for (int k = 0; k < task.n_outputs; ++k) {
            const T* wk = w + k * task.n_features;
            double out[4];
            if (rows == 4)
                kernels.scores(x, wk, task.n_features, out);
            else
                for (Index r = 0; r < rows; ++r) kernels.dot(x[r], wk, task.n_features, out + r);
            for (Index r = 0; r < rows; ++r) raw[(b + r) * at.row + k * at.output] = out[r];
        }
    }
}
template <class T>
void dense_gradient(const Task& task, const Chunk& chunk, Index first, Index n, double* g, bool begin,
                    const DenseKernels<T>& kernels) {
    const T* x[TALL];
    T c[TALL];
    for (Index b = 0; b < n; ++b) x[b] = static_cast<const T*>(task.values) + chunk.rows[first + b] * task.stride;
    for (int k = 0; k < task.n_outputs; ++k) {
        bool any = false;
        for (Index b = 0; b < n; ++b) {
            c[b] = T(chunk.gradient[(first + b) * task.n_outputs + k]);
            any = any || c[b] != T(0);
        }
        if (any || begin) kernels.gradient(x, c, n, g + k * task.n_features, task.n_features, begin);
    }
}

// Features that the step has touched, and how many steps before it had left each of them alone.
struct Touched {
    std::int32_t* at;
    std::int32_t* missed;
    Index n, settled;  // features; those whose missed steps are made up for
};

// ---------------------------------------------------------------------------------------------------------- the passes

enum Phase { SCORES = 1, LOSS = 2, GRADIENTS = 4 };
enum { BLOCK_COLUMNS = 2048 };

// All that a pass needs; T's arrays are void. One step after another uses it.
struct Run {
    Task task;
    Chunk chunk;
    int level, optimizer;
    void* w;
    void* s[3];
    const void* unit;  // of each weight: its coordinate is w / unit
    const void* low;   // of each weight; null: no bounds
    const void* high;
    const double* center;  // of each feature: steps see X less these; null: dense only, and not without an intercept
    double* average;
    double* g;   // dense: the sums of the pieces, one after the other; CSR: 0 where no row of the batch has an entry
    Index size;  // of the weights
    const double* intercept;
    double* intercept_gradient;  // by piece and output
    double* scratch;             // by piece: TALL rows, n_outputs
    Sums* sums;                  // by piece
    double* norms;               // by block of columns; CSR: one
    int n_pieces, phases;
    int n_begun;         // pieces whose sums a chunk before this one has begun
    bool steps_at_once;  // a block of columns steps as soon as its gradient is there
    Move move;
    double* mean;  // variance-reduced methods; null: others
    double mean_keep, batch;
    bool penalised;       // features that are not touched have something to make up for
    std::int32_t* mark;   // the last step that touched a feature
    std::int32_t* count;  // entries in the batch; null where nobody asks
    const double* share;  // of the samples that have a feature
    std::int32_t step;    // in the epoch, from 1
    Touched touched;
};
using Pass = void (*)(void* run, int piece);
struct Passes {
    Pass touch, rows, gradient, columns, update, rest;
};

inline Index blocks_of(Index n) { return (n + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS; }

// Dense weights are stepped in blocks of all outputs together.
inline Index count_blocks(const Run& run) { return blocks_of(run.size); }

template <class T, class I>
struct PassesOf {
    static Slab<T> slab(const Run& run) {
        return {static_cast<T*>(run.w), run.g,
                {static_cast<T*>(run.s[0]), static_cast<T*>(run.s[1]), static_cast<T*>(run.s[2])},
                static_cast<const T*>(run.unit), static_cast<const T*>(run.low), static_cast<const T*>(run.high), run.average, run.size};
    }
    static Reduced<T> reduced(const Run& run) { return {run.mean, run.mean_keep, run.count, run.share, run.batch}; }

    static Csr<T, I> csr(const Task& task) {
        return {static_cast<const T*>(task.values), static_cast<const I*>(task.indices),
                static_cast<const I*>(task.indptr)};
    }

    static void sparse_scores(const Run& run, Index first, Index n, const T* w, double* scratch) {
        const Layout at(run.task, n);
        const Csr<T, I> m = csr(run.task);
        const Index K = run.task.n_outputs;
        const bool far = run.size * Index(sizeof(T)) > NEAR_BYTES;
        sparse_kernels<T, I>(run.level).scores(&m, run.chunk.rows + first, n, run.chunk.n - first, w, K, far, scratch);
        double* raw = run.chunk.raw + first * K;
        for (Index b = 0; b < n; ++b)
            for (Index k = 0; k < K; ++k) raw[b * at.row + k * at.output] = scratch[b * K + k];
    }
    static void rows(void* run_, int piece) {
        const Run& run = *static_cast<Run*>(run_);
        const Task& task = run.task;
        const T* w = static_cast<const T*>(run.w);
        double* g = run.g + piece * run.size;
        double* intercepts = run.intercept_gradient + piece * task.n_outputs;
        double* scratch = run.scratch + piece * TALL * task.n_outputs;
        Sums* sums = run.sums + piece;
        if (piece >= run.n_begun && (run.phases & SCORES)) {
            *sums = Sums();
            for (int k = 0; k < task.n_outputs; ++k) intercepts[k] = 0.0;
        }
        const bool begins = piece >= run.n_begun;
        const DenseKernels<T> kernels = dense_kernels<T>(run.level);
        const Index start = piece * run.chunk.piece;
        const Index stop = start + run.chunk.piece < run.chunk.n ? start + run.chunk.piece : run.chunk.n;
        for (Index first = start; first < stop; first += TALL) {
            const Index n = stop - first < TALL ? stop - first : Index(TALL);
            if (run.phases & SCORES) {
                if (task.indptr)
                    sparse_scores(run, first, n, w, scratch);
                else
                    dense_scores<T>(task, run.chunk, first, n, w, kernels);
                complete_scores(task, run.chunk, first, n, run.intercept, sums);
            }
            if ((run.phases & LOSS) && evaluate_loss(task, run.chunk, first, n) < 0) sums->bad = 2.0;
            if (run.phases & GRADIENTS) {
                weigh(task, run.chunk, first, n, intercepts, scratch, sums);
                if (!task.indptr) dense_gradient<T>(task, run.chunk, first, n, g, begins && first == start, kernels);
            }
        }
    }

    // CSR: all. Dense: a block.
    static void columns(void* run_, int block) {
        const Run& run = *static_cast<Run*>(run_);
        if (run.task.indptr) {
            double norm = 0.0;
            const Touched& touched = run.touched;
            for (Index j = 0; j < touched.n; ++j)
                for (Index k = 0; k < run.task.n_outputs; ++k) {
                    const double g = run.g[touched.at[j] * Index(run.task.n_outputs) + k];
                    norm += g * g;
                }
            run.norms[block] = norm;
        } else {
            Index n;
            const Index start = block_start(run, block, &n);
            dense_kernels<T>(run.level).combine(run.g + start, n, run.n_pieces, run.size, run.norms + block);
            if (run.center) center(run, start, n);
        }
        if (run.steps_at_once) update(run_, block);
    }
    static Index block_start(const Run& run, int block, Index* n) {
        const Index start = Index(block) * BLOCK_COLUMNS, left = run.size - start;
        *n = left < BLOCK_COLUMNS ? left : Index(BLOCK_COLUMNS);
        return start;
    }
    // The gradient where the features are centred and the intercept is that of the centre.
    static void center(const Run& run, Index start, Index n) {
        const Index width = run.task.n_features;
        for (Index i = start; i < start + n;) {
            const Index k = i / width, first = k * width, stop = first + width < start + n ? first + width : start + n;
            const double all = run.intercept_gradient[k];
            for (; i < stop; ++i) run.g[i] -= all * run.center[i - first];
        }
    }
    static void update(void* run_, int block) {
        Run& run = *static_cast<Run*>(run_);
        const Slab<T> all = slab(run);
        if (run.task.indptr) {
            Touched& touched = run.touched;
            if (run.mean) {
                const Reduced<T> terms = reduced(run);
                ReducedBody<T>::run(&run.move, &all, &terms, touched.at, touched.n, run.task.n_outputs);
            } else {
                optimizer_mover<T>(run.optimizer, run.level)
                    .touched(&run.move, &all, touched.at, touched.n, run.task.n_outputs);
            }
            touched.n = touched.settled = 0;
            return;
        }
        Index n;
        const Index start = block_start(run, block, &n);
        const auto from = [](auto* array, Index at) { return array ? array + at : nullptr; };
        const Slab<T> part = {all.w + start, all.g + start,
                              {from(all.s[0], start), from(all.s[1], start), from(all.s[2], start)},
                              from(all.unit, start), from(all.low, start), from(all.high, start),
                              from(all.average, start), n};
        if (run.mean) {
            Reduced<T> terms = reduced(run);
            terms.mean += start;
            ReducedBody<T>::run(&run.move, &part, &terms, nullptr, n, 1);
        } else {
            const Mover<T> mover = optimizer_mover<T>(run.optimizer, run.level);
            (part.low ? mover.bounded : mover.free)(&run.move, &part);
        }
        if (part.average)
            for (Index i = 0; i < n; ++i) part.average[i] -= run.move.average * part.g[i];
    }

    // The features that rows of the chunk have, each once.
    static void touch(void* run_, int) {
        const Run& run = *static_cast<Run*>(run_);
        const Csr<T, I> m = csr(run.task);
        const bool far = run.task.n_features * Index(sizeof(std::int32_t)) > NEAR_BYTES;
        Touched& touched = static_cast<Run*>(run_)->touched;
        std::int32_t* __restrict mark = run.mark;
        std::int32_t* __restrict at = touched.at;
        std::int32_t* __restrict missed = touched.missed;
        std::int32_t* __restrict count = run.count;
        const std::int32_t step = run.step;
        Index n = touched.n;
        for (Index b = 0; b < run.chunk.n; ++b) {
            const Entries<T, I> row(m, run.chunk.rows[b]);
            if (far && b + AHEAD < run.chunk.n) foresee(m, run.chunk.rows[b + AHEAD], run.mark, 1);
            for (Index j = 0; j < row.n; ++j) {
                const Index feature = Index(row.at[j]);
                // Without a branch, which nobody could predict: what is there already is written over.
                const bool first = mark[feature] != step;
                at[n] = std::int32_t(feature);
                missed[n] = step - 1 - mark[feature];
                n += first;
                mark[feature] = step;
                if (count) count[feature] = (first ? 0 : count[feature]) + 1;
            }
        }
        touched.n = n;
        if (run.penalised) make_up(run, touched);
        touched.settled = touched.n;
    }
    // The penalty that features missed up to the last step of the epoch.
    static void rest(void* run_, int) {
        Run& run = *static_cast<Run*>(run_);
        Touched& touched = run.touched;
        for (Index j = 0; j < run.task.n_features; ++j) {
            if (run.mark[j] < run.step) {
                touched.at[touched.n] = std::int32_t(j);
                touched.missed[touched.n++] = run.step - run.mark[j];
            }
        }
        if (run.penalised) make_up(run, touched);
        touched.n = touched.settled = 0;
    }
    static void make_up(const Run& run, const Touched& touched) {
        const Slab<T> all = slab(run);
        optimizer_mover<T>(run.optimizer, run.level)
            .rest(&run.move, &all, touched.at + touched.settled, touched.missed + touched.settled,
                  touched.n - touched.settled, run.task.n_outputs);
    }
    static void gradient(void* run_, int) {
        const Run& run = *static_cast<Run*>(run_);
        const Csr<T, I> m = csr(run.task);
        sparse_kernels<T, I>(run.level)
            .gradient(&m, run.chunk.rows, run.chunk.n, run.chunk.gradient, run.task.n_outputs,
                      run.size * Index(sizeof(double)) > NEAR_BYTES, run.g);
    }
};

template <class T, class I>
Passes passes_of() {
    using P = PassesOf<T, I>;
    return {&P::touch, &P::rows, &P::gradient, &P::columns, &P::update, &P::rest};
}
inline Passes passes_for(bool single, bool wide) {
    if (single) return wide ? passes_of<float, std::int64_t>() : passes_of<float, std::int32_t>();
    return wide ? passes_of<double, std::int64_t>() : passes_of<double, std::int32_t>();
}
// How much the intercept of output k moves with the weights' changes, which stand in g, so that its value at the centre
// stays.
inline double intercept_shift(const Run& run, Index k) {
    const double* moved = run.g + k * run.task.n_features;
    double sum = 0.0;
    for (Index j = 0; j < run.task.n_features; ++j) sum += run.center[j] * moved[j];
    return -sum;
}
// The intercepts' step: in double, without penalty or bounds.
inline void step_intercepts(const Run& run, const Slab<double>& slab, double* mean) {
    Move move = run.move;
    move.l1 = move.moment.l2 = move.moment.l1_so_far = 0.0;
    if (mean) {
        const Reduced<double> terms = {mean, run.mean_keep, nullptr, nullptr, 1.0};
        ReducedBody<double>::run(&move, &slab, &terms, nullptr, slab.n, 1);
    } else {
        optimizer_mover<double>(run.optimizer, 0).free(&move, &slab);
    }
}
// `rows` in the order of an epoch, which seed and n alone determine: few rows by Fisher and Yates's shuffle with the high
// half of splitmix64, many by `Order`, which a device computes by itself.
struct ShuffleBody {
    enum { AT_ONCE = 256 };
    static SL_FN void run(const std::int32_t* rows, std::int32_t* to, Index n, std::uint64_t seed) {
        const Order order(unsigned(n), seed);
        unsigned at[AT_ONCE];
        for (Index start = 0; start < n; start += AT_ONCE) {
            const Index here = n - start < AT_ONCE ? n - start : Index(AT_ONCE);
            for (int i = 0; i < AT_ONCE; ++i) at[i] = order.once(unsigned(start) + unsigned(i));
            for (Index i = 0; i < here; ++i) {
                while (at[i] >= order.n) at[i] = order.once(at[i]);
                to[start + i] = rows[at[i]];
            }
        }
    }
};
inline void shuffle_rows(const std::int32_t* rows, std::int32_t* to, Index n, std::uint64_t seed, int level) {
    using Signature = void(const std::int32_t*, std::int32_t*, Index, std::uint64_t);
    if (n >= Order::LEAST) return Cloned<ShuffleBody, Signature>::at(level)(rows, to, n, seed);
    for (Index i = 0; i < n; ++i) to[i] = rows[i];
    for (Index i = n - 1; i > 0; --i) {
        // Of 32 bits, the bias is below n / 2^32.
        const Index j = Index(((splitmix64(seed) >> 32) * std::uint64_t(i + 1)) >> 32);
        const std::int32_t taken = to[i];
        to[i] = to[j];
        to[j] = taken;
    }
}
inline int states_of(int optimizer) { return optimizer_mover<double>(optimizer, 0).states; }
inline int state_power(int optimizer, int state) { return optimizer_mover<double>(optimizer, 0).powers[state]; }

}  // namespace sl

#endif
