// CPU only: products of rows with weights and sums of rows, dense and sparse, compiled for each instruction set.
#ifndef SKLEARN_LOSSES_PRODUCTS_H
#define SKLEARN_LOSSES_PRODUCTS_H

#include "simd/vectors.h"

namespace sl {

// -------------------------------------------------------------------------------------------------- dense products

// out[r] = x[r] . w for four rows: w is read once.
template <class T, int BYTES>
struct ScoresBody {
    static SL_FN void run(const T* const* x, const T* __restrict w, Index n, double* out) {
        using P = Pack<T, BYTES>;
        typename P::Value p[4] = {};
        Index i = 0;
        for (; i + P::N <= n; i += P::N) {
            const typename P::Value wi = P::load(w + i);
            for (int r = 0; r < 4; ++r) p[r] += P::load(x[r] + i) * wi;
        }
        for (int r = 0; r < 4; ++r) out[r] = P::sum(p[r]) + dot_tail(x[r] + i, w + i, n - i);
    }
};
// g += sum over rows of c[r] * x[r] (g = with `begin`), summed in registers over up to TALL rows, then in double.
enum { TALL = 32 };
template <class T, int BYTES>
struct GradientBody {
    template <int PACKS>
    static SL_FN void columns(const T* const* x, const T* __restrict c, Index rows, double* __restrict g, Index i,
                              bool begin) {
        using P = Pack<T, BYTES>;
        typename P::Value p[PACKS] = {};
        for (Index r = 0; r < rows; ++r)
            for (int k = 0; k < PACKS; ++k) p[k] += c[r] * P::load(x[r] + i + k * P::N);
        T sums[PACKS * P::N];
        for (int k = 0; k < PACKS; ++k) P::store(sums + k * P::N, p[k]);
        if (begin)
            for (int j = 0; j < PACKS * P::N; ++j) g[i + j] = double(sums[j]);
        else
            for (int j = 0; j < PACKS * P::N; ++j) g[i + j] += double(sums[j]);
    }
    static SL_FN void run(const T* const* x, const T* __restrict c, Index rows, double* __restrict g, Index n,
                          bool begin) {
        enum { N = Pack<T, BYTES>::N, PACKS = 4 };
        Index i = 0;
        for (; i + PACKS * N <= n; i += PACKS * N) columns<PACKS>(x, c, rows, g, i, begin);
        for (; i + N <= n; i += N) columns<1>(x, c, rows, g, i, begin);
        for (; i < n; ++i) {
            T total = 0;
            for (Index r = 0; r < rows; ++r) total += c[r] * x[r][i];
            g[i] = (begin ? 0.0 : g[i]) + double(total);
        }
    }
};
// Add up `pieces` sums, `apart` elements from each other, into the first; returns the square of its norm in `norm`.
struct CombineBody {
    static SL_FN void run(double* __restrict g, Index n, Index pieces, Index apart, double* norm) {
        for (Index piece = 1; piece < pieces; ++piece) {
            const double* __restrict more = g + piece * apart;
            for (Index i = 0; i < n; ++i) g[i] += more[i];
        }
        double s[16] = {};
        Index i = 0;
        for (; i + 16 <= n; i += 16)
            for (int j = 0; j < 16; ++j) s[j] += g[i + j] * g[i + j];
        for (; i < n; ++i) s[0] += g[i] * g[i];
        for (int half = 8; half >= 1; half /= 2)
            for (int j = 0; j < half; ++j) s[j] += s[j + half];
        *norm = s[0];
    }
};
// The sum of length[i] * (x[i] - center[i])^2; `center` may be null. In double and in a fixed order.
template <class T>
struct ReachBody {
    static SL_FN void run(const T* __restrict x, const double* __restrict length, const double* __restrict center, Index n,
                          double* out) {
        double s[16] = {};
        Index i = 0;
        for (; i + 16 <= n; i += 16)
            for (int j = 0; j < 16; ++j) {
                const double from = double(x[i + j]) - (center ? center[i + j] : 0.0);
                s[j] += length[i + j] * from * from;
            }
        for (; i < n; ++i) {
            const double from = double(x[i]) - (center ? center[i] : 0.0);
            s[0] += length[i] * from * from;
        }
        for (int half = 8; half >= 1; half /= 2)
            for (int j = 0; j < half; ++j) s[j] += s[j + half];
        *out = s[0];
    }
};
template <class T>
using ReachSignature = void(const T*, const double*, const double*, Index, double*);
using CombineSignature = void(double*, Index, Index, Index, double*);

template <class T>
using ScoresSignature = void(const T* const*, const T*, Index, double*);
template <class T>
using GradientSignature = void(const T* const*, const T*, Index, double*, Index, bool);

template <class T>
struct DenseKernels {
    ScoresSignature<T>* scores;
    GradientSignature<T>* gradient;
    Dot<T> dot;
    CombineSignature* combine;
    ReachSignature<T>* reach;
};
template <class T>
DenseKernels<T> dense_kernels(int level) {
    return {by_width<ScoresBody, T, ScoresSignature<T>>(level), by_width<GradientBody, T, GradientSignature<T>>(level),
            dot_at<T>(level), Cloned<CombineBody, CombineSignature>::at(level),
            Cloned<ReachBody<T>, ReachSignature<T>>::at(level)};
}

// ------------------------------------------------------------------------------------------------- sparse products

template <class T, class I>
struct Csr {
    const T* values;
    const I* indices;
    const I* indptr;
};
// A row's values and columns.
template <class T, class I>
struct Entries {
    const T* x;
    const I* at;
    Index n;
    SL_FN Entries(const Csr<T, I>& m, Index row)
        : x(m.values + m.indptr[row]), at(m.indices + m.indptr[row]), n(Index(m.indptr[row + 1] - m.indptr[row])) {}
};
// Rows ahead that are prefetched, and entries of one; only into arrays of more bytes than the second-level cache holds.
enum { AHEAD = 4, MOST_AHEAD = 128, NEAR_BYTES = 1 << 19 };

template <class T, class I, class W>
SL_FN void foresee(const Csr<T, I>& m, Index row, const W* array, Index n_outputs) {
    const Entries<T, I> next(m, row);
    for (Index j = 0; j < next.n && j < MOST_AHEAD; ++j)
        prefetch(array + Index(next.at[j]) * n_outputs, n_outputs * Index(sizeof(W)));
}
// out = rows . w for `n` of the `known` rows at `rows`, (n, n_outputs); w is (n_features, n_outputs).
template <class T, class I>
struct SparseScoresBody {
    static SL_FN void run(const Csr<T, I>* m_, const Index* rows, Index n, Index known, const T* w, Index n_outputs,
                          bool far, double* out) {
        const Csr<T, I> m = *m_;
        for (Index b = 0; b < n; ++b) {
            const Entries<T, I> row(m, rows[b]);
            if (far && b + AHEAD < known) foresee(m, rows[b + AHEAD], w, n_outputs);
            if (n_outputs == 1) {
                double s[4] = {0, 0, 0, 0};
                Index j = 0;
                for (; j + 4 <= row.n; j += 4)
                    for (int i = 0; i < 4; ++i) s[i] += double(w[row.at[j + i]]) * double(row.x[j + i]);
                for (; j < row.n; ++j) s[0] += double(w[row.at[j]]) * double(row.x[j]);
                out[b] = (s[0] + s[1]) + (s[2] + s[3]);
                continue;
            }
            double* __restrict to = out + b * n_outputs;
            for (Index k = 0; k < n_outputs; ++k) to[k] = 0.0;
            for (Index j = 0; j < row.n; ++j) {
                const double x = double(row.x[j]);
                const T* __restrict wj = w + Index(row.at[j]) * n_outputs;
                for (Index k = 0; k < n_outputs; ++k) to[k] += x * double(wj[k]);
            }
        }
    }
};
// g += sum over rows of x c, where c is (n, n_outputs) and g (n_features, n_outputs).
template <class T, class I>
struct SparseGradientBody {
    static SL_FN void run(const Csr<T, I>* m_, const Index* rows, Index n, const double* c, Index n_outputs, bool far,
                          double* g) {
        const Csr<T, I> m = *m_;
        for (Index b = 0; b < n; ++b) {
            const Entries<T, I> row(m, rows[b]);
            if (far && b + AHEAD < n) foresee(m, rows[b + AHEAD], g, n_outputs);
            if (n_outputs == 1) {
                const double cb = c[b];
                for (Index j = 0; j < row.n; ++j) g[row.at[j]] += double(row.x[j]) * cb;
                continue;
            }
            const double* __restrict cb = c + b * n_outputs;
            for (Index j = 0; j < row.n; ++j) {
                const double x = double(row.x[j]);
                double* __restrict gj = g + Index(row.at[j]) * n_outputs;
                for (Index k = 0; k < n_outputs; ++k) gj[k] += x * cb[k];
            }
        }
    }
};
template <class T, class I>
using SparseScoresSignature = void(const Csr<T, I>*, const Index*, Index, Index, const T*, Index, bool, double*);
template <class T, class I>
using SparseGradientSignature = void(const Csr<T, I>*, const Index*, Index, const double*, Index, bool, double*);
template <class T, class I>
struct SparseKernels {
    SparseScoresSignature<T, I>* scores;
    SparseGradientSignature<T, I>* gradient;
};
template <class T, class I>
SparseKernels<T, I> sparse_kernels(int level) {
    return {Cloned<SparseScoresBody<T, I>, SparseScoresSignature<T, I>>::at(level),
            Cloned<SparseGradientBody<T, I>, SparseGradientSignature<T, I>>::at(level)};
}

}  // namespace sl

#endif
