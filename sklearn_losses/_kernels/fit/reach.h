// CPU only: what a batch's implicit step (implicit.h) is made with: how far its rows would move their own raw predictions,
// where those steps are tried, and the share of each output.
#ifndef SKLEARN_LOSSES_REACH_H
#define SKLEARN_LOSSES_REACH_H

#include <vector>

#include "fit/moves.h"
#include "fit/problem.h"

namespace sl {

template <class T, class I>
struct ImplicitBatch {
    std::vector<double> reach, raw, value, gradient;  // of a chunk; see `Trial`
    std::vector<ImplicitShare<double>> share;
    // How far a weight moves by a derivative of 1; that of the intercepts; a sparse row's entries by their places; sums of
    // the shares by piece, then, of the first, the shares themselves.
    std::vector<double> lengths, of_intercepts, entries, shares;

    Trial trial() { return {reach.data(), raw.data(), value.data(), gradient.data(), share.data()}; }
    double* sums_of(Index piece, Index n_outputs) { return shares.data() + piece * 2 * n_outputs; }

    void allocate(const Problem& problem, Index chunk_rows, Index pieces) {
        const Index K = problem.n_outputs;
        lengths.resize(K * problem.x.n_features);
        of_intercepts.resize(K);
        for (auto* scores : {&reach, &raw, &value, &gradient}) scores->resize(chunk_rows * K);
        share.resize(chunk_rows * K);
        shares.resize(pieces * 2 * K);
        if (problem.x.sparse()) entries.resize(problem.x.n_features, 0.0);
    }
    // Those of rows [first, first + n) of a chunk, weights of samples included. `center` may be null.
    void find(const Problem& problem, const Chunk& chunk, Index first, Index n, const double* center, int level) {
        const Layout at(problem, n);
        const Index K = problem.n_outputs;
        for (Index b = 0; b < n; ++b) {
            const Index row = chunk.rows[first + b];
            for (Index k = 0; k < K; ++k) {
                const Index i = first * K + b * at.row + k * at.output;
                double sum = problem.x.sparse() ? of_sparse(problem, row, k) : of_dense(problem, row, k, center, level);
                if (problem.fit_intercept) sum += of_intercepts[k];
                const double target = problem.row_loss ? 0.0 : chunk.target[i];
                reach[i] = sum * weight_of(problem, row, int(k), target);
            }
        }
    }
    double of_dense(const Problem& problem, Index row, Index k, const double* center, int level) {
        const Index d = problem.x.n_features;
        const T* x = static_cast<const T*>(problem.x.values) + row * problem.x.stride;
        double sum;
        dense_kernels<T>(level).reach(x, lengths.data() + k * d, center, d, &sum);
        return sum;
    }
    double of_sparse(const Problem& problem, Index row, Index k) {
        const Table& x = problem.x;
        const Entries<T, I> of_row({static_cast<const T*>(x.values), static_cast<const I*>(x.indices),
                                    static_cast<const I*>(x.indptr)}, row);
        // A place may have several entries, whose sum counts.
        double sum = 0.0, *__restrict all = entries.data();
        for (Index j = 0; j < of_row.n; ++j) all[of_row.at[j]] += double(of_row.x[j]);
        for (Index j = 0; j < of_row.n; ++j) {
            const Index feature = Index(of_row.at[j]);
            sum += lengths[feature * problem.n_outputs + k] * all[feature] * all[feature];
            all[feature] = 0.0;
        }
        return sum;
    }
    // The shares of the batch's step, by output, in place of the sums of the pieces.
    void take_shares(const Problem& problem, int n_pieces) {
        const Index K = problem.n_outputs;
        for (Index i = 1; i < n_pieces; ++i)
            for (Index k = 0; k < 2 * K; ++k) shares[k] += shares[i * 2 * K + k];
        for (Index k = 0; k < K; ++k) shares[k] = problem.row_loss && k > 0 ? shares[0] : batch_share(&shares[2 * k]);
    }
};

}  // namespace sl

#endif
