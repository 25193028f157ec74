// CPU only: products of a design matrix A = [(X - center) * unit, 1], which is never formed: A v, A' u, A' diag(h) A and
// its diagonal, in double. CSR is not centred here: its callers take the center into account afterwards.
//
// Work is cut into pieces by the sizes alone, and their sums are added in a fixed order: no bit depends on the threads.
// The pieces' own sums are the caller's to make: arrays of `pieces_of_...` times the result.
#ifndef SKLEARN_LOSSES_DESIGN_H
#define SKLEARN_LOSSES_DESIGN_H

#include <initializer_list>
#include <new>

#include "fit/columns.h"
#include "fit/pool.h"

namespace sl {

// Rows that are looked at while they are in the nearest cache.
enum { DESIGN_ROWS = 32 };

struct DesignPart {
    Counted x;
    const double* center;  // (n_features,); dense only
    Index first, last;     // rows
    Index n_outputs;
};

// out[k][i] = (x_i - center) . w[k] + b[k], with `out` of n_outputs rows of x.n numbers.
using DesignScores = void(const DesignPart*, const double* w, const double* b, double* out);
// g[k] += sum_i u[k][i] (x_i - center), or of the squares of (x_i - center); `u` has rows of x.n numbers.
using DesignSums = void(const DesignPart*, const double* u, bool squares, double* g);

template <class T, int BYTES>
struct DenseScoresOfDesign {
    using P = Pack<double, BYTES>;
    static SL_FN void run(const DesignPart* part, const double* w, const double* b, double* out) {
        enum { AT_ONCE = 4 };
        const Index d = part->x.table.n_features;
        const double* __restrict c = part->center;
        for (Index i = part->first; i < part->last; i += AT_ONCE) {
            const T* row[AT_ONCE];
            for (Index r = 0; r < AT_ONCE; ++r) {
                const Index at = i + r < part->last ? i + r : part->last - 1;
                row[r] = static_cast<const T*>(part->x.table.values) + part->x.row(at) * part->x.table.stride;
            }
            for (Index k = 0; k < part->n_outputs; ++k) {
                const double* __restrict wk = w + k * d;
                typename P::Value p[AT_ONCE] = {};
                Index j = 0;
                for (; j + P::N <= d; j += P::N) {
                    const typename P::Value wj = P::load(wk + j), cj = P::load(c + j);
                    for (int r = 0; r < AT_ONCE; ++r) p[r] += (doubles_at<T, BYTES>(row[r] + j) - cj) * wj;
                }
                for (Index r = 0; r < AT_ONCE && i + r < part->last; ++r) {
                    double sum = P::sum(p[r]);
                    for (Index l = j; l < d; ++l) sum += (double(row[r][l]) - c[l]) * wk[l];
                    out[k * part->x.n + i + r] = sum + b[k];
                }
            }
        }
    }
};
template <class T, int BYTES>
struct DenseSumsOfDesign {
    using P = Pack<double, BYTES>;
    template <int PACKS, bool SQUARES>
    static SL_FN void columns(const T* const* row, const double* u, Index rows, const double* c, Index j, double* g) {
        typename P::Value sums[PACKS] = {}, center[PACKS];
        for (int q = 0; q < PACKS; ++q) center[q] = P::load(c + j + q * P::N);
        for (Index r = 0; r < rows; ++r)
            for (int q = 0; q < PACKS; ++q) {
                const typename P::Value x = doubles_at<T, BYTES>(row[r] + j + q * P::N) - center[q];
                sums[q] += u[r] * (SQUARES ? x * x : x);
            }
        for (int q = 0; q < PACKS; ++q) P::store(g + j + q * P::N, P::load(g + j + q * P::N) + sums[q]);
    }
    template <bool SQUARES>
    static SL_FN void all(const DesignPart* part, const double* u, double* g) {
        enum { PACKS = 4, N = P::N };
        const Index d = part->x.table.n_features;
        for (Index i = part->first; i < part->last; i += DESIGN_ROWS) {
            const Index rows = part->last - i < DESIGN_ROWS ? part->last - i : Index(DESIGN_ROWS);
            const T* row[DESIGN_ROWS];
            for (Index r = 0; r < rows; ++r)
                row[r] = static_cast<const T*>(part->x.table.values) + part->x.row(i + r) * part->x.table.stride;
            for (Index k = 0; k < part->n_outputs; ++k) {
                const double* uk = u + k * part->x.n + i;
                double* gk = g + k * d;
                Index j = 0;
                for (; j + PACKS * N <= d; j += PACKS * N) columns<PACKS, SQUARES>(row, uk, rows, part->center, j, gk);
                for (; j + N <= d; j += N) columns<1, SQUARES>(row, uk, rows, part->center, j, gk);
                for (; j < d; ++j)
                    for (Index r = 0; r < rows; ++r) {
                        const double x = double(row[r][j]) - part->center[j];
                        gk[j] += uk[r] * (SQUARES ? x * x : x);
                    }
            }
        }
    }
    static SL_FN void run(const DesignPart* part, const double* u, bool squares, double* g) {
        if (squares)
            all<true>(part, u, g);
        else
            all<false>(part, u, g);
    }
};

template <class T, class I>
SL_FN Csr<T, I> csr_of(const Table& x) {
    return {static_cast<const T*>(x.values), static_cast<const I*>(x.indices), static_cast<const I*>(x.indptr)};
}
// Whether an array of a number for each feature is worth foreseeing.
SL_FN bool is_far(const DesignPart& part) { return part.x.table.n_features * Index(sizeof(double)) > NEAR_BYTES; }

template <class T, class I>
struct SparseScoresOfDesign {
    static SL_FN void run(const DesignPart* part, const double* w, const double* b, double* out) {
        const Csr<T, I> m = csr_of<T, I>(part->x.table);
        const bool far = is_far(*part);
        for (Index i = part->first; i < part->last; ++i) {
            const Entries<T, I> row(m, part->x.row(i));
            if (far && i + AHEAD < part->last) foresee(m, part->x.row(i + AHEAD), w, 1);
            for (Index k = 0; k < part->n_outputs; ++k) {
                const double* wk = w + k * part->x.table.n_features;
                double s[4] = {0, 0, 0, 0};
                Index j = 0;
                for (; j + 4 <= row.n; j += 4)
                    for (int q = 0; q < 4; ++q) s[q] += wk[row.at[j + q]] * double(row.x[j + q]);
                for (; j < row.n; ++j) s[0] += wk[row.at[j]] * double(row.x[j]);
                out[k * part->x.n + i] = ((s[0] + s[1]) + (s[2] + s[3])) + b[k];
            }
        }
    }
};
template <class T, class I>
struct SparseSumsOfDesign {
    static SL_FN void run(const DesignPart* part, const double* u, bool squares, double* g) {
        const Csr<T, I> m = csr_of<T, I>(part->x.table);
        const bool far = is_far(*part);
        for (Index i = part->first; i < part->last; ++i) {
            const Entries<T, I> row(m, part->x.row(i));
            if (far && i + AHEAD < part->last) foresee(m, part->x.row(i + AHEAD), g, 1);
            for (Index k = 0; k < part->n_outputs; ++k) {
                const double by = u[k * part->x.n + i];
                double* gk = g + k * part->x.table.n_features;
                if (by == 0.0) continue;
                for (Index j = 0; j < row.n; ++j) {
                    const double x = double(row.x[j]);
                    gk[row.at[j]] += by * (squares ? x * x : x);
                }
            }
        }
    }
};
inline void design_scores(const DesignPart& part, const double* w, const double* b, double* out, int level) {
    for_layout<DenseScoresOfDesign, SparseScoresOfDesign, DesignScores>(part.x.table, level)(&part, w, b, out);
}
inline void design_sums(const DesignPart& part, const double* u, bool squares, double* g, int level) {
    for_layout<DenseSumsOfDesign, SparseSumsOfDesign, DesignSums>(part.x.table, level)(&part, u, squares, g);
}

// ----------------------------------------------------------------------------------------- weighted sums of row pairs

// Rows [*at, last) from where their weight has a sign, into a block of at most `most` rows of columns [from, to): each
// times unit and the root of the weight's size. Column n_features is that of the ones. Returns how many; *at goes on.
struct BlockOfRows {
    DesignPart part;
    const double* unit;
    const double* weight;
    Index from, to;
    double sign;
};


template <class T>
SL_FN Index next_row(const BlockOfRows& rows, Index* at, T take, Index most) {
    Index taken = 0;
    for (; *at < rows.part.last && taken < most; ++*at) {
        const double weight = rows.sign * rows.weight[*at];
        if (weight > 0.0) take(*at, sqrt_(weight), taken++);
    }
    return taken;
}
template <class T, int BYTES>
struct DenseBlock {
    static SL_FN void run(const BlockOfRows* rows, Index* at, Index most, double* block, Index* taken) {
        const Index d = rows->part.x.table.n_features, width = rows->to - rows->from;
        const Index end = rows->to < d ? rows->to : d;
        *taken = next_row(*rows, at, [&](Index i, double root, Index r) SL_INLINE {
            const T* __restrict x =
                static_cast<const T*>(rows->part.x.table.values) + rows->part.x.row(i) * rows->part.x.table.stride;
            double* __restrict to = block + r * width;
            const double* __restrict c = rows->part.center;
            const double* __restrict unit = rows->unit;
            const Index from = rows->from;
            for (Index j = from; j < end; ++j) to[j - from] = (double(x[j]) - c[j]) * (unit[j] * root);
            if (rows->to > d) to[d - from] = root;
        }, most);
    }
};
template <class T, class I>
struct SparseBlock {
    static SL_FN void run(const BlockOfRows* rows, Index* at, Index most, double* block, Index* taken) {
        const Csr<T, I> m = csr_of<T, I>(rows->part.x.table);
        const Index d = rows->part.x.table.n_features, width = rows->to - rows->from;
        *taken = next_row(*rows, at, [&](Index i, double root, Index r) SL_INLINE {
            const Entries<T, I> row(m, rows->part.x.row(i));
            double* __restrict to = block + r * width;
            for (Index j = 0; j < width; ++j) to[j] = 0.0;
            for (Index j = 0; j < row.n; ++j) {
                const Index column = Index(row.at[j]);
                if (column >= rows->from && column < rows->to)
                    to[column - rows->from] += double(row.x[j]) * (rows->unit[column] * root);
            }
            if (rows->to > d) to[d - rows->from] = root;
        }, most);
    }
};
using FillSignature = void(const BlockOfRows*, Index*, Index, double*, Index*);
inline Index fill_block(const BlockOfRows& rows, Index* at, Index most, double* block, int level) {
    Index taken = 0;
    for_layout<DenseBlock, SparseBlock, FillSignature>(rows.part.x.table, level)(&rows, at, most, block, &taken);
    return taken;
}

// The upper triangle of sum_i h_i a_i a_i' of sparse rows onto `gram`, (n_features + 1)^2: for rows of so few entries that
// pairs of them are fewer than those of all columns.
template <class T, class I>
struct PairsBody {
    static SL_FN void run(const DesignPart* part, const double* unit, const double* h, double* gram) {
        const Csr<T, I> m = csr_of<T, I>(part->x.table);
        const Index d = part->x.table.n_features, width = d + 1;
        for (Index i = part->first; i < part->last; ++i) {
            if (h[i] == 0.0) continue;
            const Entries<T, I> row(m, part->x.row(i));
            for (Index a = 0; a < row.n; ++a) {
                const Index from = Index(row.at[a]);
                const double by = h[i] * (double(row.x[a]) * unit[from]);
                gram[from * width + from] += by * (double(row.x[a]) * unit[from]);
                gram[from * width + d] += by;
                for (Index b = a + 1; b < row.n; ++b) {
                    const Index to = Index(row.at[b]);
                    const double pair = by * (double(row.x[b]) * unit[to]);
                    // An entry may stand twice, and entries in any order.
                    gram[from < to ? from * width + to : to * width + from] += from == to ? 2.0 * pair : pair;
                }
            }
            gram[d * width + d] += h[i];
        }
    }
};
using PairsSignature = void(const DesignPart*, const double*, const double*, double*);
inline void add_pairs(const DesignPart& part, const double* unit, const double* h, double* gram, int level) {
    with_types(part.x.table, [&](auto value, auto index) {
        Cloned<PairsBody<decltype(value), decltype(index)>, PairsSignature>::at(level)(&part, unit, h, gram);
    });
}

// ------------------------------------------------------------------------------------------------------- by pieces

// BLAS's, of Fortran's order.
using Dsyrk = void (*)(char*, char*, int*, int*, double*, double*, int*, double*, double*, int*);
using Dgemm = void (*)(char*, char*, int*, int*, int*, double*, double*, int*, double*, int*, double*, double*, int*);

class Design {
    enum : Index {
        PIECE = 1 << 16,  // numbers of X that make a piece of a pass over it
        MOST_PIECES = 32,
        BLOCK_ROWS = 256,  // of what BLAS gets, and its most columns
        BLOCK_COLUMNS = 256,
        PAIR_COST = 25,     // numbers that BLAS multiplies while one pair of entries of a sparse row is added
        SPARSE_COST = 8,           // numbers of dense rows that take as long as an entry of sparse ones
        WORK_TO_SHARE = 1 << 20    // numbers multiplied below which helpers, which may be asleep, are not called
    };
    Pool pool;

    static Index at_most(Index a, Index b) { return a < b ? a : b; }
    static Index at_least_one(Index pieces, Index rows) {
        pieces = at_most(pieces, rows);
        return pieces < 1 ? 1 : pieces;
    }
    DesignPart piece(Index i, Index pieces, Index n_outputs) const {
        return {x, center, x.n * i / pieces, x.n * (i + 1) / pieces, n_outputs};
    }
    // run(i) for each piece, by as many threads as the work is worth.
    template <class Run>
    void share(Index n_pieces, double work, const Run& run) {
        if (threads > 1 && n_pieces > 1 && work >= double(WORK_TO_SHARE)) {
            pool.enlist(threads - 1, Pool::COOL);
            pool.share([](void* context, int i) { (*static_cast<const Run*>(context))(Index(i)); },
                       const_cast<Run*>(&run), int(n_pieces));
        } else {
            for (Index i = 0; i < n_pieces; ++i) run(i);
        }
    }
    double work_of_pass(Index n_outputs) const {
        return double(entries) * double(n_outputs) * (x.table.sparse() ? double(SPARSE_COST) : 1.0);
    }
    double per_row() const { return double(entries) / double(x.table.n_rows > 0 ? x.table.n_rows : 1); }
    Index width() const { return x.table.n_features + 1; }
    Index tiles() const { return (width() + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS; }
    Index pairs_of_tiles() const { return tiles() * (tiles() + 1) / 2; }

    // Rows of a piece onto a tile of its sums, of those on and above the diagonal.
    bool add_tile(const DesignPart& part, Index pair, const double* h, double* sums, Dsyrk syrk, Dgemm gemm) const {
        Index row = 0;
        for (; pair >= tiles() - row; ++row) pair -= tiles() - row;
        const Index column = row + pair, n = tiles();
        BlockOfRows left = {part, unit, h, width() * row / n, width() * (row + 1) / n, 1.0}, right = left;
        right.from = width() * column / n, right.to = width() * (column + 1) / n;
        int rows = int(left.to - left.from), columns = int(right.to - right.from), stride = int(width());
        const std::unique_ptr<double[]> of_left(new (std::nothrow) double[BLOCK_ROWS * rows]);
        const std::unique_ptr<double[]> of_right(new (std::nothrow) double[BLOCK_ROWS * columns]);
        if (!of_left || !of_right) return false;
        double* to = sums + left.from * width() + right.from;
        char lower = 'L', plain = 'N', turned = 'T';
        double one = 1.0;
        for (double sign : {1.0, -1.0})
            for (Index at = part.first; at < part.last;) {
                left.sign = right.sign = sign;
                Index from = at;
                int k = int(fill_block(left, &at, BLOCK_ROWS, of_left.get(), level));
                if (k == 0) continue;
                // BLAS counts along columns first: its lower triangle is the upper one here.
                if (row == column) {
                    syrk(&lower, &plain, &rows, &k, &sign, of_left.get(), &rows, &one, to, &stride);
                } else {
                    fill_block(right, &from, k, of_right.get(), level);
                    gemm(&plain, &turned, &columns, &rows, &k, &sign, of_right.get(), &columns, of_left.get(), &rows,
                         &one, to, &stride);
                }
            }
        return true;
    }

public:
    Counted x;
    const double* center = nullptr;
    const double* unit = nullptr;
    Index entries = 0;  // of all rows
    int threads = 1, level = 0;

    // out = (x - center) . w + b: (n_outputs, n).
    void scores(Index n_outputs, const double* w, const double* b, double* out) {
        const Index pieces = at_least_one(at_most(MOST_PIECES, entries * n_outputs / PIECE), x.n);
        share(pieces, work_of_pass(n_outputs),
              [&](Index i) { design_scores(piece(i, pieces, n_outputs), w, b, out, level); });
    }
    // Sums of pieces are added up in as much time as a piece of that size takes.
    Index pieces_of_sums(Index n_outputs) const {
        const Index least = 4 * n_outputs * x.table.n_features;
        return at_least_one(at_most(MOST_PIECES, entries * n_outputs / (least > PIECE ? least : Index(PIECE))), x.n);
    }
    // u (x - center), or of the squares, of each piece: (pieces, n_outputs, n_features), zeros before.
    void sums(Index n_outputs, const double* u, bool squares, double* to) {
        const Index pieces = pieces_of_sums(n_outputs), size = n_outputs * x.table.n_features;
        share(pieces, work_of_pass(n_outputs),
              [&](Index i) { design_sums(piece(i, pieces, n_outputs), u, squares, to + i * size, level); });
    }
    bool by_pairs() const {
        return x.table.sparse() && PAIR_COST * per_row() * per_row() < double(width()) * double(width());
    }
    // About how many numbers `gram` multiplies, at the speed of BLAS.
    double cost_of_gram() const {
        const double columns = by_pairs() ? PAIR_COST * per_row() * per_row() : double(width()) * double(width());
        return 0.5 * double(x.n) * columns;
    }
    Index pieces_of_gram() const {
        if (by_pairs()) {
            const double pieces = double(x.n) * per_row() * per_row() / (8.0 * double(width()) * double(width()));
            return at_least_one(pieces < MOST_PIECES ? Index(pieces) : Index(MOST_PIECES), x.n);
        }
        // As many as keep threads busy to the end, of rows enough for what a piece's sums cost.
        return at_least_one(at_most((MOST_PIECES + pairs_of_tiles() - 1) / pairs_of_tiles(), x.n / (4 * width())), x.n);
    }
    // The upper triangle of the sum of h a a' over each piece's rows a: (pieces, width, width), zeros before. False where
    // memory is short.
    bool gram(const double* h, double* to, Dsyrk syrk, Dgemm gemm) {
        const Index pieces = pieces_of_gram(), size = width() * width();
        std::atomic<bool> done{true};
        if (by_pairs())
            share(pieces, double(SPARSE_COST) * double(x.n) * per_row() * per_row(),
                  [&](Index i) { add_pairs(piece(i, pieces, 1), unit, h, to + i * size, level); });
        else
            share(pieces * pairs_of_tiles(), double(x.n) * double(size), [&](Index i) {
                const Index at = i % pieces;
                if (!add_tile(piece(at, pieces, 1), i / pieces, h, to + at * size, syrk, gemm)) done.store(false);
            });
        return done.load();
    }
};

// The upper triangle of a matrix onto its lower one.
inline void mirror(double* matrix, Index n) {
    enum { TILE = 16 };
    for (Index i = 0; i < n; i += TILE)
        for (Index j = i; j < n; j += TILE)
            for (Index r = i; r < n && r < i + TILE; ++r)
                for (Index c = j > r ? j : r + 1; c < n && c < j + TILE; ++c) matrix[c * n + r] = matrix[r * n + c];
}

}  // namespace sl

#endif
