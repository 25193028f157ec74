// CPU only: what the columns of X are like, from sums over its rows, compiled for each instruction set.
#ifndef SKLEARN_LOSSES_COLUMNS_H
#define SKLEARN_LOSSES_COLUMNS_H

#include "fit/products.h"
#include "fit/table.h"

namespace sl {

// By column: weights of the entries that are not 0, and of all rows the weighted sums of what is above `shift`, and of
// its square. CSR is not shifted.
struct ColumnSums {
    const double* shift;
    double *count, *total, *square;
};
using ColumnSumsSignature = void(const Counted*, const ColumnSums*);

// A register of doubles from as many numbers of T.
template <class T, int BYTES>
SL_FN typename Pack<double, BYTES>::Value doubles_at(const T* x) {
    using P = Pack<double, BYTES>;
    if constexpr (sizeof(T) == sizeof(double)) {
        return P::load(x);
    } else {
        double wide[P::N];
        for (int k = 0; k < P::N; ++k) wide[k] = double(x[k]);
        return P::load(wide);
    }
}

template <class T, int BYTES>
struct DenseSumsBody {
    enum { AT_ONCE = 8 };  // rows: more are too many streams for the prefetcher
    using P = Pack<double, BYTES>;
    using Value = typename P::Value;
    // Of PACKS registers of columns, whose sums stay in registers.
    template <int PACKS>
    static SL_FN void columns(const T* const* row, const double* w, Index rows, Index j, const ColumnSums& sums) {
        Value counted[PACKS] = {}, moved[PACKS] = {}, squares[PACKS] = {};
        for (Index r = 0; r < rows; ++r)
            for (int k = 0; k < PACKS; ++k) {
                const Value x = doubles_at<T, BYTES>(row[r] + j + k * P::N);
                const Value shifted = x - P::load(sums.shift + j + k * P::N), weighted = w[r] * shifted;
                counted[k] += P::masked(w[r] + Value{}, x != Value{});
                moved[k] += weighted;
                squares[k] += weighted * shifted;
            }
        for (int k = 0; k < PACKS; ++k) {
            add(sums.count + j + k * P::N, counted[k]);
            add(sums.total + j + k * P::N, moved[k]);
            add(sums.square + j + k * P::N, squares[k]);
        }
    }
    static SL_FN void add(double* to, const Value& more) { P::store(to, P::load(to) + more); }
    static SL_FN void one(const T* const* row, const double* w, Index rows, Index j, const ColumnSums& sums) {
        for (Index r = 0; r < rows; ++r) {
            const double value = double(row[r][j]), shifted = value - sums.shift[j];
            sums.count[j] += value != 0.0 ? w[r] : 0.0;
            sums.total[j] += w[r] * shifted;
            sums.square[j] += w[r] * shifted * shifted;
        }
    }
    static SL_FN void run(const Counted* x, const ColumnSums* sums) {
        enum { PACKS = 2, N = P::N };
        const T* row[AT_ONCE];
        double w[AT_ONCE];
        for (Index i = 0; i < x->n; i += AT_ONCE) {
            const Index rows = x->n - i < AT_ONCE ? x->n - i : Index(AT_ONCE);
            for (Index r = 0; r < rows; ++r) {
                row[r] = static_cast<const T*>(x->table.values) + x->row(i + r) * x->table.stride;
                w[r] = x->weight_of(i + r);
            }
            Index j = 0;
            for (; j + PACKS * N <= x->table.n_features; j += PACKS * N) columns<PACKS>(row, w, rows, j, *sums);
            for (; j + N <= x->table.n_features; j += N) columns<1>(row, w, rows, j, *sums);
            for (; j < x->table.n_features; ++j) one(row, w, rows, j, *sums);
        }
    }
};
template <class T, class I>
struct SparseSumsBody {
    static SL_FN void run(const Counted* x, const ColumnSums* sums) {
        const Csr<T, I> m = {static_cast<const T*>(x->table.values), static_cast<const I*>(x->table.indices),
                             static_cast<const I*>(x->table.indptr)};
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

template <class T, int BYTES>
struct DenseNormBody {
    static SL_FN void run(const Counted* x, const double* center, const double* unit, double* largest) {
        using P = Pack<double, BYTES>;
        for (Index i = 0; i < x->n; ++i) {
            if (x->weight_of(i) == 0.0) continue;
            const T* row = static_cast<const T*>(x->table.values) + x->row(i) * x->table.stride;
            typename P::Value s[2] = {};
            Index j = 0;
            for (; j + 2 * P::N <= x->table.n_features; j += 2 * P::N)
                for (Index k = 0; k < 2; ++k) {
                    const Index at = j + k * P::N;
                    const typename P::Value a =
                        (doubles_at<T, BYTES>(row + at) - P::load(center + at)) * P::load(unit + at);
                    s[k] += a * a;
                }
            double sum = P::sum(s[0] + s[1]);
            for (; j < x->table.n_features; ++j) {
                const double a = (double(row[j]) - center[j]) * unit[j];
                sum += a * a;
            }
            if (sum > *largest) *largest = sum;
        }
    }
};
template <class T, class I>
struct SparseNormBody {
    static SL_FN void run(const Counted* x, const double*, const double* unit, double* largest) {
        const Csr<T, I> m = {static_cast<const T*>(x->table.values), static_cast<const I*>(x->table.indices),
                             static_cast<const I*>(x->table.indptr)};
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

// The function for X's layout.
template <template <class, int> class Dense, template <class, class> class Sparse, class Signature>
Signature* for_layout(const Table& x, int level) {
    if (!x.sparse())
        return x.single ? by_width<Dense, float, Signature>(level) : by_width<Dense, double, Signature>(level);
    return with_types(x, [&](auto value, auto index) {
        return Cloned<Sparse<decltype(value), decltype(index)>, Signature>::at(level);
    });
}
inline void add_columns(const Counted& x, const ColumnSums& sums, int level) {
    for_layout<DenseSumsBody, SparseSumsBody, ColumnSumsSignature>(x.table, level)(&x, &sums);
}
inline double largest_squared_norm(const Counted& x, const double* center, const double* unit, int level) {
    double largest = 0.0;
    for_layout<DenseNormBody, SparseNormBody, LargestNormSignature>(x.table, level)(&x, center, unit, &largest);
    return largest;
}

}  // namespace sl

#endif
