// CPU only: the sums of loss and gradient over batches of rows.
//
// Rows are taken in pieces, which threads share; a piece is the same whatever the number of threads, and pieces are added
// in order: so are the bits.
#ifndef SKLEARN_LOSSES_SUMS_H
#define SKLEARN_LOSSES_SUMS_H

#include <algorithm>
#include <vector>

#include "fit/engine.h"
#include "fit/pool.h"
#include "fit/reach.h"

namespace sl {

// A batch is taken in chunks of so many scores, which bounds what is held of them, and of so many rows.
constexpr Index CHUNK_SCORES = 65536, LEAST_CHUNK_ROWS = 256, MOST_CHUNK_ROWS = 2048;
// Dense rows: as many sums of the gradient at once as fit SUMS, of MOST_PIECES, and at least LEAST_PIECES.
constexpr Index MOST_PIECES = 16, LEAST_PIECES = 4, SUMS = 1 << 18;
constexpr Index DENSE_AHEAD = 8;  // rows ahead that are prefetched

// Nanoseconds: of work that is worth a thread, in a job, which helpers take up awake, and in a pass, for which they are
// called; of a row and output, and of one of its elements.
constexpr double LEAST_WORK = 4e3, LEAST_PASS = 1e5, ROW_COST = 20.0, DENSE_COST = 0.15, SPARSE_COST = 4.0;

template <class T, class I>
class RowSums : public Engine {
    struct Scores {
        std::vector<Index> rows;
        std::vector<double> raw, value, gradient, target, by_piece;
        std::vector<Sums> sums;
    };
    Scores scratch;
    Pool pool;

protected:
    Index size = 0, chunk_rows = 0, most_pieces = 0;
    double row_work = 0.0;
    ImplicitBatch<T, I> tried;
    int n_pieces = 0;            // whose sums hold something
    bool implicit_step = false;  // whether rows are added for a step that is

    bool sparse() const { return problem.x.sparse(); }
    Csr<T, I> csr() const {
        const Table& x = problem.x;
        return {static_cast<const T*>(x.values), static_cast<const I*>(x.indices), static_cast<const I*>(x.indptr)};
    }
    const T* row_at(Index row) const { return static_cast<const T*>(problem.x.values) + row * problem.x.stride; }

    // --------------------------------------------------------------------------------------------------------- threads

    int threads_for(double work) const { return int(std::max(1.0, std::min(double(threads), work / LEAST_WORK))); }

    // Run the pieces of a job, those of more than one thread with whoever helps.
    template <class Job>
    void each(Index n, int n_threads, Job job) {
        if (n_threads <= 1 || n <= 1 || !pool.ready()) {
            for (int i = 0; i < n; ++i) job(i);
            return;
        }
        ++jobs_shared;
        pool.share([](void* context, int piece) { (*static_cast<Job*>(context))(piece); }, &job, int(n));
    }
    // Call helpers for a pass of so much work.
    void enlist(double work) {
        const int useful = int(std::min(double(threads), work / LEAST_PASS));
        if (useful > 1) pool.enlist(useful - 1, Pool::HOT);
    }

    void allocate_sums(Index batch_size) {
        const Index K = problem.n_outputs, d = problem.x.n_features;
        size = K * d;
        batch_size = std::max(Index(1), std::min(batch_size, n_rows));
        chunk_rows = std::min(std::max(CHUNK_SCORES / K, LEAST_CHUNK_ROWS), MOST_CHUNK_ROWS);
        chunk_rows = std::min(chunk_rows, batch_size);
        most_pieces = std::min(std::max(SUMS / std::max(size, Index(1)), LEAST_PIECES), MOST_PIECES);
        most_pieces = std::min(most_pieces, (chunk_rows + TALL - 1) / TALL);
        g.assign((sparse() ? 1 : most_pieces) * size, 0.0);
        intercept_gradient.assign(most_pieces * K, 0.0);
        scratch.rows.resize(chunk_rows);
        for (auto* scores : {&scratch.raw, &scratch.value, &scratch.gradient, &scratch.target})
            scores->resize(chunk_rows * K);
        scratch.by_piece.resize(most_pieces * TALL * K);
        scratch.sums.resize(most_pieces);
        if (sparse()) {
            const I* indptr = static_cast<const I*>(problem.x.indptr);
            const double entries = double(indptr[problem.x.n_rows]) / double(std::max(problem.x.n_rows, Index(1)));
            row_work = ROW_COST * double(K) + SPARSE_COST * double(K) * entries;
        } else {
            row_work = double(K) * (ROW_COST + DENSE_COST * double(d));
        }
    }

    // ---------------------------------------------------------------------------------- the gradient of a batch of rows

    void scores(const Chunk& chunk, Index first, Index n, double* by_row) {
        const Layout at(problem, n);
        const Index K = problem.n_outputs;
        const T* weights = static_cast<const T*>(w);
        double* raw = chunk.raw + first * K;
        if (sparse()) {
            const Csr<T, I> m = csr();
            const bool far = size * Index(sizeof(T)) > NEAR_BYTES;
            sparse_kernels<T, I>(level).scores(&m, chunk.rows + first, n, chunk.n - first, weights, K, far, by_row);
            for (Index b = 0; b < n; ++b)
                for (Index k = 0; k < K; ++k) raw[b * at.row + k * at.output] = by_row[b * K + k];
            return;
        }
        const DenseKernels<T> kernels = dense_kernels<T>(level);
        const Index d = problem.x.n_features;
        const T* x[4];
        for (Index b = 0; b < n; b += 4) {
            const Index rows = std::min(n - b, Index(4));
            for (Index r = 0; r < rows; ++r) {
                x[r] = row_at(chunk.rows[first + b + r]);
                const Index far = first + b + r + DENSE_AHEAD;
                if (far < chunk.n) prefetch(row_at(chunk.rows[far]), d * Index(sizeof(T)));
            }
            for (Index k = 0; k < K; ++k) {
                double out[4];
                if (rows == 4)
                    kernels.scores(x, weights + k * d, d, out);
                else
                    for (Index r = 0; r < rows; ++r) kernels.dot(x[r], weights + k * d, d, out + r);
                for (Index r = 0; r < rows; ++r) raw[(b + r) * at.row + k * at.output] = out[r];
            }
        }
    }
    void add_dense_gradient(const Chunk& chunk, Index first, Index n, double* to, bool begin) {
        const Index K = problem.n_outputs, d = problem.x.n_features;
        const DenseKernels<T> kernels = dense_kernels<T>(level);
        const T* x[TALL];
        T c[TALL];
        for (Index b = 0; b < n; ++b) x[b] = row_at(chunk.rows[first + b]);
        for (Index k = 0; k < K; ++k) {
            bool any = false;
            for (Index b = 0; b < n; ++b) {
                c[b] = T(chunk.gradient[(first + b) * K + k]);
                any = any || c[b] != T(0);
            }
            if (any || begin) kernels.gradient(x, c, n, to + k * d, d, begin);
        }
    }

    enum Phase { SCORES = 1, LOSS = 2, COEFFICIENTS = 4 };

    // Rows of a piece of a chunk: scores, losses and, dense, the piece's own sum of the gradient. `begins`: no chunk
    // before this one has begun the sums.
    void add_piece(const Chunk& chunk, Index piece, Index start, Index stop, int phases, bool begins) {
        const Index K = problem.n_outputs;
        double* intercepts = intercept_gradient.data() + piece * K;
        double* by_row = scratch.by_piece.data() + piece * TALL * K;
        Sums* sums = scratch.sums.data() + piece;
        if (begins && (phases & SCORES)) {
            *sums = Sums();
            for (Index k = 0; k < K; ++k) intercepts[k] = 0.0;
            if (implicit_step) std::fill_n(tried.sums_of(piece, K), 2 * K, 0.0);
        }
        for (Index first = start; first < stop; first += TALL) {
            const Index n = std::min(stop - first, Index(TALL));
            if (phases & SCORES) {
                scores(chunk, first, n, by_row);
                complete_scores(problem, chunk, first, n, intercept, sums);
                if (implicit_step) tried.find(problem, chunk, first, n, center, level);
            }
            if (phases & LOSS) {
                evaluate_loss(problem, chunk, first, n, sums);
                if (implicit_step)
                    find_shares(problem, chunk, first, n, tried.trial(), [&] {
                        evaluate_loss_at(problem, chunk, first, n, tried.raw.data(), tried.value.data(),
                                         tried.gradient.data(), sums);
                        return true;
                    });
            }
            if (phases & COEFFICIENTS) {
                const Trial trial = tried.trial();
                weigh(problem, chunk, first, n, intercepts, by_row, sums, implicit_step ? &trial : nullptr,
                      tried.sums_of(piece, K));
                if (!sparse()) add_dense_gradient(chunk, first, n, g.data() + piece * size, begins && first == start);
            }
        }
    }

    // Whether a raw prediction was not finite.
    Status failed() const {
        Status status = DONE;
        for (int i = 0; i < n_pieces; ++i) {
            if (scratch.sums[i].bad == 2.0) return OUT_OF_MEMORY;
            if (scratch.sums[i].bad != 0.0) status = NOT_FINITE;
        }
        return status;
    }

    // Add rows [start, stop) of the order, of which there are `of` in the mean, to the sums of loss and gradient. `before`
    // is called with each chunk of them first.
    template <class Before>
    Status add_rows(Index start, Index stop, double of, int mode, Before before) {
        const bool python = problem.kind < 0;
        int n_begun = 0;
        n_pieces = 0;
        for (Index n = 0; start < stop; start += n) {
            n = std::min(stop - start, chunk_rows);
            for (Index i = 0; i < n; ++i) scratch.rows[i] = order[start + i];
            const Chunk chunk = {scratch.rows.data(), n, 1.0 / of, mode, scratch.raw.data(), scratch.value.data(),
                                 scratch.gradient.data(), scratch.target.data(), table};
            const Index most = std::min(most_pieces, (n + TALL - 1) / TALL);
            const Index piece_rows = ((n + most - 1) / most + TALL - 1) / TALL * TALL;
            const Index pieces = (n + piece_rows - 1) / piece_rows;
            n_pieces = std::max(n_pieces, int(pieces));
            const int n_threads = threads_for(double(n) * row_work);
            const auto run = [&](int phases) {
                each(pieces, n_threads, [&](int piece) {
                    const Index first = piece * piece_rows;
                    add_piece(chunk, piece, first, std::min(first + piece_rows, n), phases, piece >= n_begun);
                });
            };
            before(chunk);
            if (python) {
                run(SCORES);
                Status status = failed();
                if (status == DONE)
                    status = python_loss(caller, n * problem.n_outputs, chunk.target, chunk.raw, chunk.value,
                                         chunk.gradient);
                const auto again = [&] {
                    status = python_loss(caller, n * problem.n_outputs, chunk.target, tried.raw.data(),
                                         tried.value.data(), tried.gradient.data());
                    return status == DONE;
                };
                if (status == DONE && implicit_step) find_shares(problem, chunk, 0, n, tried.trial(), again);
                if (status != DONE) return status;
                run(COEFFICIENTS);
            } else {
                run(SCORES | LOSS | COEFFICIENTS);
            }
            if (sparse()) {
                const Csr<T, I> m = csr();
                const bool far = size * Index(sizeof(double)) > NEAR_BYTES;
                sparse_kernels<T, I>(level).gradient(&m, chunk.rows, n, chunk.gradient, problem.n_outputs, far,
                                                     g.data());
            }
            n_begun = n_pieces;
        }
        return failed();
    }

    // Add up the pieces' losses, and their gradients of the intercepts; returns the loss.
    double collect() {
        const Index K = problem.n_outputs;
        double sum = 0.0;
        for (Index i = 0; i < n_pieces; ++i) {
            sum += scratch.sums[i].loss;
            for (Index k = 0; i > 0 && k < K; ++k) intercept_gradient[k] += intercept_gradient[i * K + k];
        }
        return sum;
    }
};

}  // namespace sl

#endif
