// GPU only: the loss of a batch of rows and its gradient, of linear models.
//
// X is dense, C order, or CSR. Weights are (n_outputs, n_features) for dense rows and (n_features, n_outputs) for sparse
// ones, as on the CPU. Sums are of fixed pieces, added in order; those of sparse columns, which rows add to in any order,
// are whole numbers of a unit, whose sum has no order.
#ifndef SKLEARN_LOSSES_DEVICE_ROWS_H
#define SKLEARN_LOSSES_DEVICE_ROWS_H

#include "device/device.h"
#include "losses/pointwise.h"
#include "losses/rowwise.h"
#include "fit/samples.h"

#if SL_DEVICE

namespace sl {

// Data, weights and scratch of a fit.
template <class T, class I>
struct Fit : FitMembers<T, I> {
    using Real = T;
    SL_FN long long size() const { return this->n_features * this->n_outputs; }
    SL_FN T* state(int i) const { return i == 0 ? this->s0 : (i == 1 ? this->s1 : this->s2); }
};

// A kernel's own copy, with what is never null marked as global memory.
template <class T, class I>
SL_FN Fit<T, I> members(const Fit<T, I>* fit) {
    Fit<T, I> f = *fit;
    f.x = global_(f.x);
    f.order = global_(f.order);
    f.y = global_(f.y);
    f.params = global_(f.params);
    f.w = global_(f.w);
    f.intercept = global_(f.intercept);
    f.clock = global_(f.clock);
    return f;
}

// Rows [start, start + n) of the order: those of the step (start below 0), or of a pass over all rows as they come, which
// fills the memory of gradients where `record` is not 0.
struct Part {
    long long start, n;
    double inverse;
    int memory;
    bool stepping;
    template <class F>
    SL_FN Part(const F& f, long long start_, long long n_, double inverse_ = 0.0, long long record = 0)
        : start(start_), n(n_), inverse(inverse_), memory(record ? RECORD : NO_MEMORY), stepping(start_ < 0) {
        if (stepping) {
            const long long batch = (long long)(f.clock[CLOCK_BATCH]);
            start = (long long)(f.clock[CLOCK_STEP]) * batch;
            n = f.n_rows - start < batch ? f.n_rows - start : batch;
            inverse = 1.0 / double(n);
            memory = f.reduced == NOT_REDUCED ? NO_MEMORY : (f.reduced == SAGA_MEMORY ? CHANGE_AND_RECORD : CHANGE);
        }
    }
    template <class F>
    SL_FN long long row(const F& f, long long b) const {
        if (stepping) return f.order[start + b];
        return f.given ? f.given[start + b] : start + b;
    }
};
// The same for all threads of a block, while another block may be about to give up.
template <class F>
SL_FN bool given_up(const F& f) {
    __shared__ bool bad;
    if (threadIdx.x == 0) bad = fresh(f.clock + CLOCK_BAD) != 0.0;
    __syncthreads();
    return bad;
}
template <class F>
SL_FN void give_up_unless_finite(const F& f, typename F::Real x) {
    if (!(abs_(x) <= Format<typename F::Real>::max)) f.clock[CLOCK_BAD] = 1.0;
}

// ------------------------------------------------------------------------------------------------ beginning and order

template <class T, class I>
SL_FN void begin(const Fit<T, I>* fit, long long batch) {
    const Fit<T, I> f = members(fit);
    for (long long k = threadIdx.x; k < f.n_outputs; k += BLOCK) f.intercept_gradient[k] = 0.0;
    if (threadIdx.x == 0) {
        f.clock[CLOCK_STEP] = f.clock[CLOCK_LOSS] = f.clock[CLOCK_NORM] = f.clock[CLOCK_BAD] = 0.0;
        f.clock[CLOCK_BATCH] = double(batch);
        f.clock[CLOCK_SCALE] = 1.0;
        *f.ticket = 0;
    }
}
template <class T, class I>
SL_FN void order_rows(const Fit<T, I>* fit, unsigned long long seed) {
    const Fit<T, I> f = members(fit);
    const Order order(unsigned(f.n_rows), seed);
    for (long long i = thread_number(); i < f.n_rows; i += n_threads()) {
        const unsigned at = order(unsigned(i));
        f.order[i] = f.given ? f.given[at] : int(at);
    }
}

// ------------------------------------------------------------------------------------------------------------- scores

template <class F>
SL_FN typename F::Real completed(const F& f, long long row, int k, typename F::Real product) {
    double raw = double(product) + f.intercept[k];
    if (f.offset) raw += double(f.offset[f.offset_separate ? row * f.n_outputs + k : row]);
    return typename F::Real(raw);
}
template <class F>
SL_FN void complete(const F& f, const Part& rows, long long b, long long row, int k, typename F::Real product) {
    const typename F::Real raw = completed(f, row, k, product);
    give_up_unless_finite(f, raw);
    f.raw[k * rows.n + b] = raw;
    if (f.targets) f.targets[k * rows.n + b] = target_of(f, row, k);
}

// A row, and the weights of its elements.
template <class F>
struct DenseRow {
    using T = typename F::Real;
    const T *x, *w;
    long long first, last, n_features;
    SL_FN DenseRow(const F& f, long long row)
        : x(f.x + row * f.n_features), w(f.w), first(0), last(f.n_features), n_features(f.n_features) {}
    SL_FN T weight(long long j, int k) const { return w[k * n_features + j]; }
};
template <class F, class I>
struct SparseRow {
    using T = typename F::Real;
    const T *x, *w;
    const I* columns;
    long long first, last, n_outputs;
    SL_FN SparseRow(const F& f, long long row)
        : x(f.x), w(f.w), columns(f.indices), first(f.indptr[row]), last(f.indptr[row + 1]), n_outputs(f.n_outputs) {}
    SL_FN T weight(long long j, int k) const { return w[(long long)(columns[j]) * n_outputs + k]; }
};
// A warp a row.
template <class Row, class T, class I>
SL_FN void scores_of(const Fit<T, I>* fit, long long start, long long count) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, start, count);
    const int K = int(f.n_outputs);
    for (long long b = (long long)(blockIdx.x) * WARPS + warp(); b < rows.n; b += (long long)(gridDim.x) * WARPS) {
        const long long number = rows.row(f, b);
        const Row row(f, number);
        for (int k = 0; k < K; k += OUTPUTS) {
            T sum[OUTPUTS] = {};
            for (long long j = row.first + lane(); j < row.last; j += WARP) {
                const T element = row.x[j];
                for (int q = 0; q < OUTPUTS; ++q)
                    if (k + q < K) sum[q] = fma_(element, row.weight(j, k + q), sum[q]);
            }
            for (int q = 0; q < OUTPUTS; ++q) {
                const T product = warp_sum(sum[q]);
                if (lane() == 0 && k + q < K) complete(f, rows, b, number, k + q, product);
            }
        }
    }
}
template <class T, class I>
SL_FN void dense_scores(const Fit<T, I>* fit, long long start, long long count) {
    scores_of<DenseRow<Fit<T, I>>>(fit, start, count);
}
template <class T, class I>
SL_FN void sparse_scores(const Fit<T, I>* fit, long long start, long long count) {
    scores_of<SparseRow<Fit<T, I>, I>>(fit, start, count);
}
// Intercepts and offsets onto products that stand in `raw`.
template <class T, class I>
SL_FN void complete_products(const Fit<T, I>* fit, long long start, long long count) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, start, count);
    for (int k = 0; k < int(f.n_outputs); ++k)
        for (long long b = thread_number(); b < rows.n; b += n_threads())
            complete(f, rows, b, rows.row(f, b), k, f.raw[k * rows.n + b]);
}

// ------------------------------------------------------------------------------------------------------------- losses

// The row's coefficient in the gradient; its loss is added where `counts`.
template <class F>
SL_FN typename F::Real weighed(const F& f, const Part& rows, long long row, int k, typename F::Real target,
                               typename F::Real value, typename F::Real gradient, bool counts, double& loss) {
    using T = typename F::Real;
    const T weight = weight_of(f, row, k, target);
    T c = mul0(weight, gradient);
    if (counts) loss += double(mul0(weight, value));
    if (rows.memory != NO_MEMORY) c = remembered(c, f.memory + row * f.n_outputs + k, rows.memory);
    return c * T(rows.inverse);
}
// Sums of a block: loss, largest coefficient, and (row by row that this thread has made) the intercepts' gradient.
template <class F>
SL_FN void sum_losses(const F& f, const Part& rows, double loss) {
    double most = 0.0;
    for (int k = 0; k < int(f.n_outputs); ++k) {
        double sum = 0.0;
        for (long long b = thread_number(); b < rows.n; b += n_threads()) {
            const typename F::Real c = f.raw[k * rows.n + b];
            give_up_unless_finite(f, c);
            sum += double(c);
            most = max_(most, double(abs_(c)));
        }
        sum = block_sum(sum);
        if (threadIdx.x == 0) f.intercept_sums[blockIdx.x * f.n_outputs + k] = sum;
    }
    loss = block_sum(loss);
    most = block_max(most);
    if (threadIdx.x == 0) {
        f.loss_sums[blockIdx.x] = loss;
        f.largest[blockIdx.x] = most;
    }
}
template <class Loss, class T, class I>
SL_FN void pointwise_losses(const Fit<T, I>* fit, long long start, long long count, double inverse, long long record) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, start, count, inverse, record);
    double loss = 0.0;
    for (int k = 0; k < int(f.n_outputs); ++k) {
        const Loss formula(f.params + k * f.params_stride);
        for (long long b = thread_number(); b < rows.n; b += n_threads()) {
            const long long row = rows.row(f, b);
            const T target = target_of(f, row, k);
            T& at = f.raw[k * rows.n + b];
            const Out<T> out = formula(target, at);
            at = weighed(f, rows, row, k, target, out.value, out.gradient, true, loss);
        }
    }
    sum_losses(f, rows, loss);
}
// The gradient takes the place of the raw predictions, of which each is read before it is written over.
template <class Loss, class T, class I>
SL_FN void rowwise_losses(const Fit<T, I>* fit, long long start, long long count, double inverse, long long record) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, start, count, inverse, record);
    const int K = int(f.n_outputs);
    const Loss formula(f.params, K);
    double loss = 0.0;
    for (long long b = thread_number(); b < rows.n; b += n_threads()) {
        const long long row = rows.row(f, b);
        T value = T(0);
        const Tile<T> tile{K, long(rows.n), f.raw + b, f.y + row, f.targets + b, &value, f.raw + b, nullptr, {}};
        bool soft = false;
        if constexpr (Loss::soft) {
            soft = f.target == SEPARATE;
            if (soft) Loss::template run<VALUE | GRADIENT, true>(formula, tile);
        }
        if (!soft) Loss::template run<VALUE | GRADIENT, false>(formula, tile);
        for (int k = 0; k < K; ++k) {
            T& at = f.raw[k * rows.n + b];
            at = weighed(f, rows, row, k, T(0), value, at, k == 0, loss);
        }
    }
    sum_losses(f, rows, loss);
}
// Those of a loss in Python.
template <class T, class I>
SL_FN void given_losses(const Fit<T, I>* fit, long long start, long long count, double inverse, long long record) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, start, count, inverse, record);
    double loss = 0.0;
    for (int k = 0; k < int(f.n_outputs); ++k)
        for (long long b = thread_number(); b < rows.n; b += n_threads()) {
            const long long row = rows.row(f, b), at = k * rows.n + b;
            f.raw[at] = weighed(f, rows, row, k, f.targets[at], f.value[at], f.gradient[at], true, loss);
        }
    sum_losses(f, rows, loss);
}

// ----------------------------------------------------------------------------------------------------- dense gradients

enum { FLUSH = 32 };  // rows whose sum is one of T

// Sums of the warps, of `N` elements a lane, into this block's piece of the gradient, where element e of a lane stands at
// place(e); below 0: nowhere.
template <int N, class F, class Place>
SL_FN void add_up_warps(const F& f, const double (&sum)[N], const Place& place) {
    __shared__ double part[WARPS][WARPS][WARP];
    for (int e = 0; e < N; e += WARPS) {
        for (int i = 0; i < WARPS; ++i)
            if (e + i < N) part[i][warp()][lane()] = sum[e + i];
        __syncthreads();
        const int mine = e + warp();
        const long long at = mine < N ? place(mine) : -1;
        if (at >= 0) {
            double total = 0.0;
            for (int from = 0; from < WARPS; ++from) total += part[warp()][from][lane()];
            f.partial[blockIdx.x * f.size() + at] = total;
        }
        __syncthreads();
    }
}
// Grid: pieces of the rows, tiles of columns, groups of outputs.
template <class T, class I>
SL_FN void dense_gradient(const Fit<T, I>* fit, long long start, long long count) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, start, count);
    const int d = int(f.n_features), K = int(f.n_outputs);
    const int column = int(blockIdx.y) * COLUMNS + lane(), first_output = int(blockIdx.z) * OUTPUTS;
    const long long piece = (rows.n + f.n_pieces - 1) / f.n_pieces, first = blockIdx.x * piece;
    const long long last = first + piece < rows.n ? first + piece : rows.n;
    T sum[OUTPUTS * STRIPS] = {};
    double total[OUTPUTS * STRIPS] = {};
    int since = 0;
    for (long long b = first + warp(); b < last; b += WARPS) {
        const T* x = f.x + rows.row(f, b) * d;
        T element[STRIPS];
        for (int s = 0; s < STRIPS; ++s) element[s] = column + s * WARP < d ? x[column + s * WARP] : T(0);
        for (int q = 0; q < OUTPUTS; ++q) {
            const T c = first_output + q < K ? f.raw[(first_output + q) * rows.n + b] : T(0);
            for (int s = 0; s < STRIPS; ++s) sum[q * STRIPS + s] = fma_(c, element[s], sum[q * STRIPS + s]);
        }
        if (++since == FLUSH) {
            since = 0;
            for (int e = 0; e < OUTPUTS * STRIPS; ++e) total[e] += double(sum[e]), sum[e] = T(0);
        }
    }
    for (int e = 0; e < OUTPUTS * STRIPS; ++e) total[e] += double(sum[e]);
    add_up_warps(f, total, [&](int e) -> long long {
        const int k = first_output + e / STRIPS, j = column + e % STRIPS * WARP;
        return k < K && j < d ? (long long)(k) * d + j : -1;
    });
}

// Scores, loss and gradient in one pass over the rows: a warp a row, which stays in registers between its two products.
// While a warp works on some rows the next are on their way, and the numbers of those after them. K outputs; a lane has V
// elements in each of N strips.
template <class Loss, class T, int K, int N, int V>
SL_FN void fused(const Fit<T, int>* fit, long long start, long long count, double inverse, long long record) {
    enum { E = N * V, BYTES = E * sizeof(T), R = BYTES <= 16 ? 4 : (BYTES <= 32 ? 2 : 1) };
    const Fit<T, int> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, start, count, inverse, record);
    const int d = int(f.n_features);
    const long long step = (long long)(gridDim.x) * WARPS;
    const auto load_row = [&](const T* x, T(&to)[E]) {
        for (int s = 0; s < N; ++s) {
            const int j = (s * WARP + lane()) * V;  // V divides d
            Vector<T, V> vector = {};
            if (j < d) vector = *reinterpret_cast<const Vector<T, V>*>(x + j);
            for (int v = 0; v < V; ++v) to[s * V + v] = vector.x[v];
        }
    };
    const auto find_rows = [&](long long b, long long(&to)[R]) {
        for (int r = 0; r < R; ++r) to[r] = b + r * step < rows.n ? rows.row(f, b + r * step) : -1;
    };
    const auto load_rows = [&](const long long(&from)[R], T(&to)[R][E]) {
        for (int r = 0; r < R; ++r)
            if (from[r] >= 0) load_row(f.x + from[r] * d, to[r]);
    };
    const Loss one(f.params);
    T x[R][E], w[K][E], sum[K * E] = {};
    double total[K * E] = {}, intercepts[K] = {}, loss = 0.0;
    long long at[R], at_next[R], b = (long long)(blockIdx.x) * WARPS + warp();
    find_rows(b, at);
    load_rows(at, x);
    find_rows(b + R * step, at_next);
    for (int k = 0; k < K; ++k) load_row(f.w + (long long)(k) * d, w[k]);
    int since = 0;
    for (; b < rows.n; b += R * step) {
        T next[R][E];
        long long at_last[R];
        load_rows(at_next, next);
        find_rows(b + 2 * R * step, at_last);
#pragma unroll
        for (int r = 0; r < R; ++r) {
            const long long row = at[r];
            if (row < 0) continue;
#pragma unroll
            for (int k = 0; k < K; ++k) {
                T product = T(0);
                for (int e = 0; e < E; ++e) product = fma_(x[r][e], w[k][e], product);
                const T raw = completed(f, row, k, warp_sum(product)), target = target_of(f, row, k);
                const Loss formula = K == 1 ? one : Loss(f.params + k * f.params_stride);
                const Out<T> out = formula(target, raw);
                T c = T(0);
                if (rows.memory == NO_MEMORY) {
                    c = weighed(f, rows, row, k, target, out.value, out.gradient, true, loss);
                } else {  // one lane writes the memory
                    if (lane() == 0) c = weighed(f, rows, row, k, target, out.value, out.gradient, true, loss);
                    c = __shfl_sync(0xffffffffu, c, 0);
                }
                if (lane() == 0) {
                    give_up_unless_finite(f, raw);
                    give_up_unless_finite(f, c);
                    intercepts[k] += double(c);
                }
                for (int e = 0; e < E; ++e) sum[k * E + e] = fma_(c, x[r][e], sum[k * E + e]);
            }
        }
        if ((since += R) >= FLUSH) {
            since = 0;
            for (int e = 0; e < K * E; ++e) total[e] += double(sum[e]), sum[e] = T(0);
        }
        for (int r = 0; r < R; ++r) {
            at[r] = at_next[r];
            at_next[r] = at_last[r];
            for (int e = 0; e < E; ++e) x[r][e] = next[r][e];
        }
    }
    for (int e = 0; e < K * E; ++e) total[e] += double(sum[e]);
    add_up_warps(f, total, [&](int e) -> long long {
        const int k = e / E, j = (e % E / V * WARP + lane()) * V + e % V;
        return j < d ? (long long)(k) * d + j : -1;
    });
    for (int k = 0; k < K; ++k) {
        const double all = block_sum(lane() == 0 ? intercepts[k] : 0.0);
        if (threadIdx.x == 0) f.intercept_sums[blockIdx.x * K + k] = all;
    }
    loss = block_sum(lane() == 0 ? loss : 0.0);
    if (threadIdx.x == 0) f.loss_sums[blockIdx.x] = loss;
}

// ----------------------------------------------------------------------------------------------------- sparse gradients

// The unit in which columns are summed: 2^62 of it are more than any sum of n rows.
template <class F>
SL_FN double unit_of(const F& f, long long n) {
    double most = 0.0;
    for (long long i = threadIdx.x; i < f.n_loss_blocks; i += BLOCK) most = max_(most, f.largest[i]);
    const double bound = block_max(most) * f.largest_entry * double(n);
    int exponent;
    frexp(bound, &exponent);
    return bound > 0.0 ? ldexp(1.0, exponent - 62) : 1.0;
}
template <class T, class I>
SL_FN void scatter(const Fit<T, I>* fit, long long start, long long count) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, start, count);
    const int K = int(f.n_outputs);
    const double per_unit = 1.0 / unit_of(f, rows.n);
    for (long long b = (long long)(blockIdx.x) * WARPS + warp(); b < rows.n; b += (long long)(gridDim.x) * WARPS) {
        const long long row = rows.row(f, b), first = f.indptr[row], last = f.indptr[row + 1];
        for (int k = 0; k < K; ++k) {
            const double c = double(f.raw[k * rows.n + b]) * per_unit;
            if (c == 0.0) continue;
            for (long long j = first + lane(); j < last; j += WARP) {
                long long* at = f.fixed + (long long)(f.indices[j]) * K + k;
                // Of two's complements the sums are those of the signed numbers.
                atomicAdd(reinterpret_cast<unsigned long long*>(at),
                          (unsigned long long)(__double2ll_rn(c * double(f.x[j]))));
            }
        }
    }
}

}  // namespace sl

#endif

#endif
