// CPU only: steps on batches of rows, of any optimizer, and gradients over all rows.
//
// Weights are (n_outputs, n_features) for dense rows, whose products run along the features, and (n_features, n_outputs)
// for sparse ones, which touch all outputs of a feature together.
#ifndef SKLEARN_LOSSES_STEP_H
#define SKLEARN_LOSSES_STEP_H

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "fit/moves.h"
#include "fit/proximal.h"
#include "fit/sums.h"

namespace sl {

constexpr Index BLOCK_COLUMNS = 2048;  // of the weights, that a thread takes
// Nanoseconds: of a call of a loss in Python; between two looks for signals.
constexpr double CALL_COST = 2e4, BETWEEN_LOOKS = 5e7;

template <class T, class I>
class Batches final : public RowSums<T, I> {
    using Base = RowSums<T, I>;
#define SL_USE(type, member) using Base::member;
    SL_ENGINE_ARRAYS(SL_USE)
#undef SL_USE
#define SL_USE(member) using Base::member;
    SL_ENGINE_NUMBERS(SL_USE)
    SL_USE(problem) SL_USE(level) SL_USE(order) SL_USE(n_rows) SL_USE(penalty) SL_USE(python_prox) SL_USE(caller)
    SL_USE(g) SL_USE(intercept_gradient) SL_USE(loss) SL_USE(square_norm)
    SL_USE(size) SL_USE(chunk_rows) SL_USE(row_work) SL_USE(tried) SL_USE(n_pieces) SL_USE(implicit_step)
    SL_USE(sparse) SL_USE(csr) SL_USE(threads_for) SL_USE(each) SL_USE(enlist) SL_USE(add_rows) SL_USE(collect)
#undef SL_USE

    // Features that the step has touched, and how many steps before it had left each of them alone.
    struct Touched {
        std::vector<std::int32_t> at, missed, mark, count;  // mark: the last step that touched a feature
        Index n = 0, settled = 0;                           // those whose missed steps are made up for
    };
    struct Scratch {
        std::vector<double> norms, total, intercepts, aims, lengths;
    };

    Scratch scratch;
    Touched touched;
    bool implicit = false;  // whether the optimizer's steps are

    // Where a pass over the rows stands.
    Index position = 0, batch = 0;
    std::int32_t n_steps = 0;
    const double* rates = nullptr;
    double loss_sum = 0.0, norm_sum = 0.0;
    int memory_mode = NO_MEMORY;
    bool from_center = false;

    bool reduces() const { return mean != nullptr; }
    bool has_own_prox() const { return penalty || python_prox; }
    // Whether a weight's step depends on others', so that sparse rows move every feature.
    bool moves_all() const { return python_prox || (penalty && penalty->kind == KIND_SparseGroup); }

    // The lengths of the coming step: of all weights, or of the features that have been touched since the last call.
    void find_lengths(const Move& move, const std::int32_t* at, Index n) {
        const Slab<T> all = coordinates();
        optimizer_mover<T>(int(optimizer), level).lengths(&move, &all, tried.lengths.data(), at, n, problem.n_outputs);
    }
    void begin_implicit(const Move& move) {
        tried.allocate(problem, chunk_rows, Base::most_pieces);
        const Slab<double> all = intercepts();
        Move own = move;
        own.moment = moment_of_intercepts(move.moment);
        optimizer_mover<double>(int(optimizer), 0).lengths(&own, &all, tried.of_intercepts.data(), nullptr, all.n, 1);
        if (!sparse())
            find_lengths(move, nullptr, size);
        else if (moves_all())
            find_lengths(move, touched.at.data(), touched.n);
    }

    // ------------------------------------------------------------------------------------- the columns of the gradient

    // Blocks of an implicit step are of one output each, whose share they take.
    Index run() const { return implicit ? problem.x.n_features : size; }
    Index blocks_of_run() const { return (run() + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS; }
    Index n_blocks() const { return sparse() ? 1 : blocks_of_run() * (implicit ? problem.n_outputs : 1); }
    int threads_for_columns() const { return threads_for(double(size) * n_pieces); }
    Index block_start(Index block, Index* n) const {
        const Index from = block % blocks_of_run() * BLOCK_COLUMNS;
        *n = std::min(run() - from, BLOCK_COLUMNS);
        return block / blocks_of_run() * run() + from;
    }
    // A step of a block.
    Move move_of(Index block, Move move) const {
        if (implicit && !sparse()) move.shares += block / blocks_of_run();
        return move;
    }

    // The sum of the pieces, in a block of the weights; returns the square of its norm.
    double combine(Index block, bool centered) {
        double norm = 0.0;
        if (sparse()) {
            const Index K = problem.n_outputs;
            for (Index j = 0; j < touched.n; ++j)
                for (Index k = 0; k < K; ++k) {
                    const double one = g[touched.at[j] * K + k];
                    norm += one * one;
                }
            return norm;
        }
        Index n;
        const Index start = block_start(block, &n);
        dense_kernels<T>(level).combine(g.data() + start, n, n_pieces, size, &norm);
        if (!centered) return norm;
        // Where the features are centred, and the intercept is that of the centre.
        const Index width = problem.x.n_features;
        for (Index i = start; i < start + n;) {
            const Index k = i / width, first = k * width, stop = std::min(first + width, start + n);
            const double all = intercept_gradient[k];
            for (; i < stop; ++i) g[i] -= all * center[i - first];
        }
        return norm;
    }

    // ------------------------------------------------------------------------------------------------- the coordinates

    Slab<T> coordinates() {
        return {static_cast<T*>(w), g.data(), {static_cast<T*>(s0), static_cast<T*>(s1), static_cast<T*>(s2)},
                static_cast<const T*>(unit), static_cast<const T*>(low), static_cast<const T*>(high), average, size};
    }
    Slab<double> intercepts() {
        return {intercept, intercept_gradient.data(), {intercept_s0, intercept_s1, intercept_s2}, intercept_unit,
                nullptr, nullptr, nullptr, problem.n_outputs};
    }
    Reduced<T> reduced(Index from = 0) {
        const std::int32_t* count = sparse() && !moves_all() ? touched.count.data() : nullptr;
        return {mean + from, records ? double(batch_here) / double(n_rows) : 0.0, count, share, double(batch_here)};
    }

    // Step a block of the weights; g becomes their changes, or, of sparse rows, 0.
    void update(Index block, const Move& move) {
        const Slab<T> all = coordinates();
        if (sparse()) {
            const Index K = problem.n_outputs;
            if (reduces()) {
                const Reduced<T> terms = reduced();
                ReducedBody<T>::run(&move, &all, &terms, touched.at.data(), touched.n, K);
            } else {
                optimizer_mover<T>(int(optimizer), level).touched(&move, &all, touched.at.data(), touched.n, K);
            }
            touched.n = touched.settled = 0;
            return;
        }
        Index n;
        const Index start = block_start(block, &n);
        const Slab<T> part = all.part(start, n);
        if (reduces()) {
            const Reduced<T> terms = reduced(start);
            ReducedBody<T>::run(&move, &part, &terms, nullptr, n, 1);
        } else {
            const Mover<T> mover = optimizer_mover<T>(int(optimizer), level);
            const Move of_block = move_of(block, move);
            (part.low ? mover.bounded : mover.free)(&of_block, &part);
        }
        if (part.average)
            for (Index i = 0; i < n; ++i) part.average[i] -= move.average * part.g[i];
    }

    // The same where the penalty has a proximal operator of its own.
    Status update_by_halves(const Move& move, int n_threads) {
        const Index K = problem.n_outputs, d = problem.x.n_features;
        const Halves halves = optimizer_halves<T>(int(optimizer));
        const auto half = [&](bool arrives) {
            each(n_blocks(), n_threads, [&](int block) {
                Index n = touched.n;
                const Index start = sparse() ? 0 : block_start(block, &n);
                const std::int32_t* at = sparse() ? touched.at.data() : nullptr;
                const Slab<T> part = sparse() ? coordinates() : coordinates().part(start, n);
                const Move of_block = move_of(block, move);
                const Aim aim = {scratch.aims.data() + start, scratch.lengths.data() + start, python_prox ? -1.0 : 0.0};
                if (reduces())
                    (arrives ? ReducedHalves<T>::arrive : ReducedHalves<T>::aim)(move, part, reduced(start), aim, at, n, K);
                else
                    (arrives ? halves.arrive : halves.aim)(&of_block, &part, &aim, at, n, K);
                if (arrives || moves_all()) {
                    for (Index i = 0; arrives && !sparse() && part.average && i < n; ++i)
                        part.average[i] -= move.average * part.g[i];
                    return;
                }
                visit(at, n, K, [&](Index i, Index feature) {
                    const Prox<T> bounds = weights_prox(part, i, T(0));
                    aim.to[i] = prox_one(*penalty, sparse() ? feature : (start + i) % d, aim.to[i], aim.length[i],
                                         double(bounds.low), double(bounds.high));
                });
            });
        };
        half(false);
        Status status = DONE;
        if (python_prox)
            status = python_prox(caller, scratch.aims.data(), scratch.lengths.data());
        else if (moves_all())
            prox_groups(*penalty, K, sparse() ? 1 : d, sparse() ? K : 1, scratch.aims.data(), scratch.lengths.data(),
                        static_cast<const T*>(low), static_cast<const T*>(high), scratch.aims.data());
        if (status == DONE) half(true);
        touched.n = touched.settled = 0;
        return status;
    }

    // In double, without penalty or bounds.
    void update_intercepts(Move move) {
        move.l1 = 0.0;
        move.moment = moment_of_intercepts(move.moment);
        const Slab<double> all = intercepts();
        if (reduces()) {
            Reduced<double> terms = {intercept_mean, reduced().keep, nullptr, nullptr, 1.0};
            ReducedBody<double>::run(&move, &all, &terms, nullptr, all.n, 1);
        } else {
            const Mover<double> mover = optimizer_mover<double>(int(optimizer), 0);
            const Index one = implicit ? 1 : all.n;
            for (Index k = 0; k < all.n; k += one, move.shares += one) {
                const Slab<double> part = all.part(k, one);
                mover.free(&move, &part);
            }
        }
        if (!center) return;
        // The value at the centre has been stepped: the weights' changes, which stand in g, move the intercept too.
        const Index width = problem.x.n_features;
        for (Index k = 0; k < problem.n_outputs; ++k) {
            double moved = 0.0;
            for (Index j = 0; j < width; ++j) moved += center[j] * g[k * width + j];
            intercept[k] += -moved;
        }
    }

    // ------------------------------------------------------------------------------------------- features that rows lack

    void touch_all() {
        for (Index j = 0; j < problem.x.n_features; ++j) {
            touched.at[j] = std::int32_t(j);
            touched.mark[j] = n_steps;
        }
        touched.n = touched.settled = problem.x.n_features;
    }
    // The features that rows of the chunk have, each once; then, what the penalty does to them in the steps they missed.
    void touch(const Chunk& chunk, const Move& move) {
        const Csr<T, I> m = csr();
        const bool far = problem.x.n_features * Index(sizeof(std::int32_t)) > NEAR_BYTES;
        std::int32_t* __restrict mark = touched.mark.data();
        std::int32_t* __restrict at = touched.at.data();
        std::int32_t* __restrict missed = touched.missed.data();
        std::int32_t* __restrict count = reduces() ? touched.count.data() : nullptr;
        const std::int32_t step = n_steps;
        Index n = touched.n;
        for (Index b = 0; b < chunk.n; ++b) {
            const Entries<T, I> row(m, chunk.rows[b]);
            if (far && b + AHEAD < chunk.n) foresee(m, chunk.rows[b + AHEAD], mark, 1);
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
        update_lazily(move);
    }
    void update_lazily(const Move& move) {
        const Slab<T> all = coordinates();
        const std::int32_t* at = touched.at.data() + touched.settled;
        const std::int32_t* missed = touched.missed.data() + touched.settled;
        const Index n = touched.n - touched.settled;
        if (!reduces() && (l1 > 0.0 || l2 > 0.0))
            optimizer_mover<T>(int(optimizer), level).lazy(&move, &all, at, missed, n, problem.n_outputs);
        if (implicit_step) find_lengths(move, at, n);
        if (!reduces() && penalty)
            optimizer_halves<T>(int(optimizer)).lazy(&move, &all, penalty, at, missed, n, problem.n_outputs);
        touched.settled = touched.n;
    }
    // Every feature, up to the last step of the epoch.
    void update_rest(const Move& move) {
        for (Index j = 0; j < problem.x.n_features; ++j) {
            if (touched.mark[j] < n_steps) {
                touched.at[touched.n] = std::int32_t(j);
                touched.missed[touched.n++] = n_steps - touched.mark[j];
            }
        }
        update_lazily(move);
        touched.n = touched.settled = 0;
    }

    // --------------------------------------------------------------------------------------------------------- the step

    Index batch_here = 0;  // rows of the present step

    // One step on rows [start, stop) of the order; `move` becomes its terms.
    Status step(Index start, Index stop, double rate, Move& move) {
        batch_here = stop - start;
        ++n_steps;
        l1_so_far += rate * l1;
        move.moment = moment_of(params, int(n_params), rate, t, l2, l1_so_far);
        move.l1 = l1;
        move.scale = 1.0;
        move.average = average_a;
        move.shares = nullptr;

        const int mode = !reduces() ? NO_MEMORY : (records ? CHANGE_AND_RECORD : CHANGE);
        if (sparse() && moves_all()) touch_all();
        implicit_step = implicit;
        if (implicit_step) begin_implicit(move);
        // The features that the rows touch first make up for the steps that they missed.
        const bool lazy = sparse() && !moves_all();
        Status status = add_rows(start, stop, double(batch_here), mode, [&](const Chunk& chunk) {
            if (lazy) touch(chunk, move);
        });
        if (status != DONE) return status;
        loss_sum += collect();
        if (implicit_step) {
            tried.take_shares(problem, n_pieces);
            move.shares = tried.shares.data();
        }
        implicit_step = false;

        // Where nothing is clipped, a block of columns steps as soon as its gradient is there.
        const bool clips = clip_norm < std::numeric_limits<double>::infinity(), at_once = !clips && !has_own_prox();
        const Index blocks = n_blocks();
        const int n_threads = threads_for_columns();
        each(blocks, n_threads, [&](int block) {
            scratch.norms[block] = combine(block, center != nullptr);
            if (at_once) update(block, move);
        });
        double norm = 0.0;
        if (problem.fit_intercept)
            for (Index k = 0; k < problem.n_outputs; ++k) norm += intercept_gradient[k] * intercept_gradient[k];
        for (Index block = 0; block < blocks; ++block) norm += scratch.norms[block];
        norm_sum += norm;
        if (clips) move.scale = clipping(std::sqrt(norm), clip_norm);
        if (has_own_prox())
            status = update_by_halves(move, n_threads);
        else if (!at_once)
            each(blocks, n_threads, [&](int block) { update(block, move); });
        if (status != DONE) return status;
        if (problem.fit_intercept) update_intercepts(move);

        const double share_here = average_share(t, average_from, average_power);
        if (share_here > 0.0) {
            Averaging averages = {average_a, average_b};
            averages.take(share_here);
            average_a = averages.a, average_b = averages.b;
            for (Index k = 0; k < problem.n_outputs; ++k)
                intercept_average[k] += share_here * (intercept[k] - intercept_average[k]);
        }
        t += 1.0;
        return DONE;
    }

public:
    void allocate(Index batch_size) override {
        Base::allocate_sums(batch_size);
        scratch.norms.resize(n_blocks());
        if (!sparse()) return;
        touched.mark.assign(problem.x.n_features, 0);
        // One more: what may be the next feature of the list is written before that is known.
        touched.at.resize(problem.x.n_features + 1);
        touched.missed.resize(problem.x.n_features + 1);
    }

    void begin_gradient(int mode, bool centered) override {
        implicit_step = false;
        memory_mode = mode;
        from_center = centered;
        position = 0;
        loss_sum = 0.0;
        scratch.intercepts.assign(problem.n_outputs, 0.0);
        scratch.total.clear();
        if (sparse() || n_rows == 0) std::fill(g.begin(), g.end(), 0.0);
    }
    Status gradient() override {
        const Index K = problem.n_outputs;
        // Whatever the number of threads: the sums of these parts are added up.
        const Index rows = std::max(chunk_rows, Index(BETWEEN_LOOKS / row_work));
        if (position < n_rows) {
            const Index stop = std::min(position + rows, n_rows);
            enlist(double(stop - position) * row_work);
            const Status status = add_rows(position, stop, double(std::max(n_rows, Index(1))), memory_mode,
                                           [](const Chunk&) {});
            loss_sum += collect();
            if (!sparse()) {
                each(n_blocks(), threads_for_columns(), [&](int block) { combine(block, from_center); });
                if (n_rows > rows) {
                    scratch.total.resize(size, 0.0);
                    for (Index i = 0; i < size; ++i) scratch.total[i] += g[i];
                }
            }
            if (status != DONE) return status;
            for (Index k = 0; k < K; ++k) scratch.intercepts[k] += intercept_gradient[k];
            position = stop;
            if (position < n_rows) return MORE;
        }
        std::copy(scratch.total.begin(), scratch.total.end(), g.begin());
        std::copy(scratch.intercepts.begin(), scratch.intercepts.end(), intercept_gradient.begin());
        loss = loss_sum / double(std::max(n_rows, Index(1)));
        return DONE;
    }

    void begin_epoch(const double* rates_, Index batch_size) override {
        rates = rates_;
        batch = batch_size;
        position = 0;
        n_steps = 0;
        loss_sum = norm_sum = 0.0;
        implicit = !reduces() && optimizer_mover<T>(int(optimizer), level).lengths;
        scratch.norms.resize(n_blocks());
        if (has_own_prox()) scratch.aims.resize(size), scratch.lengths.resize(size);
        if (!sparse()) return;
        // Whatever a full gradient, or an epoch that was given up, has left there.
        std::fill(g.begin(), g.end(), 0.0);
        std::fill(touched.mark.begin(), touched.mark.end(), 0);
        touched.n = touched.settled = 0;
        if (reduces()) touched.count.resize(problem.x.n_features);
    }
    // Steps until the epoch ends, or until it is time to look for signals.
    Status epoch() override {
        if (threads_for(double(batch) * row_work) > 1) enlist(std::min(BETWEEN_LOOKS, double(n_rows) * row_work));
        Move move;
        Status status = DONE;
        double work = 0.0;
        while (position < n_rows) {
            if (work > BETWEEN_LOOKS) return MORE;
            const Index stop = std::min(position + batch, n_rows);
            status = step(position, stop, rates[n_steps], move);
            if (status != DONE) break;
            work += double(stop - position) * row_work + (problem.kind < 0 ? CALL_COST : 0.0);
            if (!sparse()) work += double(size);
            position = stop;
        }
        if (status == DONE && sparse() && n_steps > 0) update_rest(move);
        loss = loss_sum / double(std::max(n_rows, Index(1)));
        square_norm = norm_sum / double(std::max(n_steps, 1));
        return status;
    }
};

// An engine for X's types, of which the caller is the owner.
inline Engine* new_engine(const Problem& problem) {
    Engine* made = with_types(problem.x, [](auto value, auto index) -> Engine* {
        return new Batches<decltype(value), decltype(index)>();
    });
    made->problem = problem;
    return made;
}

}  // namespace sl

#endif
