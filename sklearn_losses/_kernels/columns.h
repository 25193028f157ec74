// CPU only: what the columns of X are like, from sums over its rows, compiled for each instruction set.
#ifndef SKLEARN_LOSSES_COLUMNS_H
#define SKLEARN_LOSSES_COLUMNS_H

#include "products.h"

namespace sl {

// X, and the rows of it that count: `at`, or the first n where it is null. Null weights are 1.
struct Counted {
    const void *values, *indices, *indptr;
    Index stride, n_features;
    const std::int32_t* at;
    const double* weight;
    Index n;

    Index row(Index i) const { return at ? at[i] : i; }
    double weight_of(Index i) const { return weight ? weight[i] : 1.0; }
};

// By column: weights of the entries that are not 0, and of all rows the weighted sums of what is above `shift`, and of
// its square. CSR is not shifted.
struct ColumnSums {
    const double* shift;
    double *count, *total, *square;
};
using ColumnSumsSignature = void(const Counted*, const ColumnSums*);

template <class T>
struct DenseSumsBody {
    enum { AT_ONCE = 4 };  // rows, so that the sums are read and written once for all
    static SL_FN void run(const Counted* x, const ColumnSums* sums) {
        const double* __restrict shift = sums->shift;
        double *__restrict count = sums->count, *__restrict total = sums->total, *__restrict square = sums->square;
        for (Index i = 0; i < x->n; i += AT_ONCE) {
            const T* row[AT_ONCE];
            double w[AT_ONCE];
            for (Index k = 0; k < AT_ONCE; ++k) {
                const bool there = i + k < x->n;
                row[k] = static_cast<const T*>(x->values) + x->row(there ? i + k : x->n - 1) * x->stride;
                w[k] = there ? x->weight_of(i + k) : 0.0;
            }
            for (Index j = 0; j < x->n_features; ++j) {
                double counted = 0.0, moved = 0.0, squares = 0.0;
                for (int k = 0; k < AT_ONCE; ++k) {
                    const double value = double(row[k][j]) - shift[j];
                    counted += row[k][j] != T(0) ? w[k] : 0.0;
                    moved += w[k] * value;
                    squares += w[k] * value * value;
                }
                count[j] += counted;
                total[j] += moved;
                square[j] += squares;
            }
        }
    }
};
template <class T, class I>
struct SparseSumsBody {
    static SL_FN void run(const Counted* x, const ColumnSums* sums) {
        const Csr<T, I> m = {static_cast<const T*>(x->values), static_cast<const I*>(x->indices),
                             static_cast<const I*>(x->indptr)};
        for (Index i = 0; i < x->n; ++i) {
            const Entries<T, I> row(m, x->row(i));
            const double w = x->weight_of(i);
            for (Index j = 0; j < row.n; ++j) {
                const double value = double(row.x[j]);
                sums->count[row.at[j]] += value != 0.0 ? w : 0.0;
                sums->total[row.at[j]] += w * value;
                sums->square[row.at[j]] += w * value * value;
            }
        }
    }
};

// The largest squared norm of a row of (X - center) * unit whose weight is not 0. CSR is not centred.
using LargestNormSignature = void(const Counted*, const double* center, const double* unit, double* largest);

template <class T>
struct DenseNormBody {
    static SL_FN void run(const Counted* x, const double* __restrict center, const double* __restrict unit,
                          double* largest) {
        enum { SUMS = 16 };
        for (Index i = 0; i < x->n; ++i) {
            if (x->weight_of(i) == 0.0) continue;
            const T* __restrict row = static_cast<const T*>(x->values) + x->row(i) * x->stride;
            double s[SUMS] = {};
            Index j = 0;
            for (; j + SUMS <= x->n_features; j += SUMS)
                for (int k = 0; k < SUMS; ++k) {
                    const double a = (double(row[j + k]) - center[j + k]) * unit[j + k];
                    s[k] += a * a;
                }
            for (; j < x->n_features; ++j) {
                const double a = (double(row[j]) - center[j]) * unit[j];
                s[0] += a * a;
            }
            for (int half = SUMS / 2; half >= 1; half /= 2)
                for (int k = 0; k < half; ++k) s[k] += s[k + half];
            if (s[0] > *largest) *largest = s[0];
        }
    }
};
template <class T, class I>
struct SparseNormBody {
    static SL_FN void run(const Counted* x, const double*, const double* unit, double* largest) {
        const Csr<T, I> m = {static_cast<const T*>(x->values), static_cast<const I*>(x->indices),
                             static_cast<const I*>(x->indptr)};
        for (Index i = 0; i < x->n; ++i) {
            if (x->weight_of(i) == 0.0) continue;
            const Entries<T, I> row(m, x->row(i));
            double sum = 0.0;
            for (Index j = 0; j < row.n; ++j) {
                const double a = double(row.x[j]) * unit[row.at[j]];
                sum += a * a;
            }
            if (sum > *largest) *largest = sum;
        }
    }
};

// The function for X's layout: float32 (`single`) or float64; dense, or CSR with int32 or int64 (`wide`) indices.
template <template <class> class Dense, template <class, class> class Sparse, class Signature>
Signature* for_layout(bool single, bool sparse, bool wide, int level) {
    if (!sparse) return single ? Cloned<Dense<float>, Signature>::at(level) : Cloned<Dense<double>, Signature>::at(level);
    if (single)
        return wide ? Cloned<Sparse<float, std::int64_t>, Signature>::at(level)
                    : Cloned<Sparse<float, std::int32_t>, Signature>::at(level);
    return wide ? Cloned<Sparse<double, std::int64_t>, Signature>::at(level)
                : Cloned<Sparse<double, std::int32_t>, Signature>::at(level);
}
inline ColumnSumsSignature* column_sums_of(bool single, bool sparse, bool wide, int level) {
    return for_layout<DenseSumsBody, SparseSumsBody, ColumnSumsSignature>(single, sparse, wide, level);
}
inline LargestNormSignature* largest_norm_of(bool single, bool sparse, bool wide, int level) {
    return for_layout<DenseNormBody, SparseNormBody, LargestNormSignature>(single, sparse, wide, level);
}

}  // namespace sl

#endif
