// GPU only: the losses over arrays, any of value, gradient, hessian, probabilities and sums in one pass over the data.
#ifndef SKLEARN_LOSSES_DEVICE_LOSSES_H
#define SKLEARN_LOSSES_DEVICE_LOSSES_H

#include "device/device.h"
#include "losses/pointwise.h"
#include "losses/rowwise.h"

#if SL_DEVICE

namespace sl {

// What a kernel computes: Outputs, and these. SUMMED leaves a double a block: the weighted sum of the values, which
// `sum_rows` adds up. CHECKED leaves two more: the sum of the weights, and how many threads saw an input that a mean
// must not be taken of.
enum Totals { SUMMED = 16, CHECKED = 32 };

// Where targets may lie; a target of several classes is checked by `tolerance`, of the sum of its probabilities.
struct Domain {
    double low, high;
    int inclusive;  // 1 for low, 2 for high
    int whole;      // whether targets are whole numbers
    double tolerance;
};
template <class T>
SL_FN bool finite(T x) { return abs_(x) <= Format<T>::max; }
template <class T>
SL_FN bool inside(T y, const Domain& d) {
    const T low = T(d.low), high = T(d.high);
    return finite(y) && (d.inclusive & 1 ? y >= low : y > low) && (d.inclusive & 2 ? y <= high : y < high);
}
// Counts beyond an int are not told from other numbers: the host looks at them again.
template <class T>
SL_FN bool good_target(T y, const Domain& d) {
    return inside(y, d) && (!d.whole || code_fault<T>(y, 0x7fffffff) == T(0));
}
// The ends of an interval of times, of which the second may be infinite.
template <class T>
SL_FN bool good_times(T low, T high) { return low >= T(0) && finite(low) && high > T(0) && low <= high; }
template <class T>
SL_FN bool good_weight(T w) { return w >= T(0) && finite(w); }

// A thread's share of the sums. All threads of the block must come to `leave`.
template <int OUT>
struct Share {
    double total = 0.0, weight = 0.0;
    bool fault = false;
    SL_FN void leave(double* partial) const {
        if constexpr ((OUT & SUMMED) != 0) {
            const double sum = block_sum(total);
            if (threadIdx.x == 0) partial[blockIdx.x] = sum;
        }
        if constexpr ((OUT & CHECKED) != 0) {
            const double weights = block_sum(weight), faults = block_sum(fault ? 1.0 : 0.0);
            if (threadIdx.x == 0) {
                partial[gridDim.x + blockIdx.x] = weights;
                partial[2LL * gridDim.x + blockIdx.x] = faults;
            }
        }
    }
};

// total[r] = the sum of row r of an array of `n` columns, in an order that n alone decides. One block a row.
SL_FN void sum_rows(long long n, const double* partial, double* total) {
    double sum = 0.0;
    for (long long i = threadIdx.x; i < n; i += BLOCK) sum += partial[blockIdx.x * n + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) total[blockIdx.x] = sum;
}

// ------------------------------------------------------------------------------------------------------- pointwise

template <class T>
struct Points {
    long long n;
    const T *y, *raw, *weight;  // weight may be null
    T *value, *gradient, *hessian;
    // Between samples; unused where everything stands in vectors.
    long long y_step, raw_step, weight_step, value_step, gradient_step, hessian_step;
};

// `count` of N numbers from element `at` on; the rest of the N repeat the first. VECTORS: one access of 16 bytes.
template <bool VECTORS, int N, class T>
SL_FN void get(T (&to)[N], const T* from, long long step, long long at, int count) {
    if (VECTORS && count == N) {
        const Vector<T> vector = reinterpret_cast<const Vector<T>*>(from)[at / N];
#pragma unroll
        for (int k = 0; k < N; ++k) to[k] = vector.x[k];
    } else {
#pragma unroll
        for (int k = 0; k < N; ++k) to[k] = from[(at + (k < count ? k : 0)) * (VECTORS ? 1 : step)];
    }
}
template <bool VECTORS, int N, class T>
SL_FN void put(const T (&from)[N], T* to, long long step, long long at, int count) {
    if (VECTORS && count == N) {
        Vector<T> vector;
#pragma unroll
        for (int k = 0; k < N; ++k) vector.x[k] = from[k];
        reinterpret_cast<Vector<T>*>(to)[at / N] = vector;
    } else {
#pragma unroll
        for (int k = 0; k < N; ++k)
            if (k < count) to[(at + k) * (VECTORS ? 1 : step)] = from[k];
    }
}

// A thread takes as many neighbouring samples as make 16 bytes, whatever the strides are: the bits of a sum depend on
// n alone.
template <class Loss, int OUT, bool VECTORS, class T>
SL_FN void evaluate_points(const double* params, const Points<T>& p, double* partial = nullptr, Domain domain = {}) {
    constexpr int N = 16 / sizeof(T);
    const Loss loss(params);
    Share<OUT> share;
    for (long long at = thread_number() * N; at < p.n; at += n_threads() * N) {
        const int count = int(p.n - at < N ? p.n - at : N);
        T y[N], raw[N], weight[N], value[N], gradient[N], hessian[N];
        get<VECTORS>(y, p.y, p.y_step, at, count);
        get<VECTORS>(raw, p.raw, p.raw_step, at, count);
        if (p.weight) get<VECTORS>(weight, p.weight, p.weight_step, at, count);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const Out<T> out = loss(y[k], raw[k]);
            const T w = p.weight ? weight[k] : T(1);
            value[k] = p.weight ? mul0(w, out.value) : out.value;
            gradient[k] = p.weight ? mul0(w, out.gradient) : out.gradient;
            hessian[k] = p.weight ? mul0(w, out.hessian) : out.hessian;
            if constexpr ((OUT & SUMMED) != 0) share.total += k < count ? double(value[k]) : 0.0;
            if constexpr ((OUT & CHECKED) != 0) {
                share.weight += k < count ? double(w) : 0.0;
                share.fault |= !(finite(raw[k]) && inside(y[k], domain) && good_weight(w));
            }
        }
        if constexpr ((OUT & VALUE) != 0) put<VECTORS>(value, p.value, p.value_step, at, count);
        if constexpr ((OUT & GRADIENT) != 0) put<VECTORS>(gradient, p.gradient, p.gradient_step, at, count);
        if constexpr ((OUT & HESSIAN) != 0) put<VECTORS>(hessian, p.hessian, p.hessian_step, at, count);
    }
    share.leave(partial);
}

// -------------------------------------------------------------------------------------------------------- row-wise

// An array of shape (n, n_classes), or (n,).
template <class T>
struct Strided {
    T* at;
    long long step, step_class;
};
template <class T>
struct RowArrays {
    long long n;
    int n_classes;
    Strided<const T> raw, y, weight;    // weight.at may be null
    Strided<T> value, gradient, third;  // third: hessian or probabilities
};

// Calls move(row, class, b) for a tile's elements, b = 0 ... AT_ONCE - 1 in turn, then `then()`: so many requests of a
// thread are under way at once. Neighbouring threads go along whichever of the two the array is contiguous in.
enum { AT_ONCE = 8 };
template <class Move, class Then>
SL_FN void over_tile(int rows, int n_classes, bool along_rows, const Move& move, const Then& then) {
    const int inner = along_rows ? rows : n_classes, outer = along_rows ? n_classes : rows;
    // The only divisions: from here on a place follows from the one before.
    const int over = BLOCK / inner, past = BLOCK - over * inner;
    int o = int(threadIdx.x) / inner, i = int(threadIdx.x) - o * inner;
    while (o < outer) {
#pragma unroll
        for (int b = 0; b < AT_ONCE; ++b) {
            move(along_rows ? i : o, along_rows ? o : i, o < outer, b);
            o += over;
            i += past;
            const bool wrap = i >= inner;
            i -= wrap ? inner : 0;
            o += wrap ? 1 : 0;
        }
        then();
    }
}
template <class T>
SL_FN void rows_to_shared(T* tile, int pitch, Strided<const T> from, int rows, int n_classes) {
    T x[AT_ONCE];
    int place[AT_ONCE];
    const auto load = [&](int r, int k, bool there, int b) {
        place[b] = there ? r * pitch + k : -1;
        if (there) x[b] = from.at[r * from.step + k * from.step_class];
    };
    over_tile(rows, n_classes, from.step == 1, load, [&] {
#pragma unroll
        for (int b = 0; b < AT_ONCE; ++b)
            if (place[b] >= 0) tile[place[b]] = x[b];
    });
}
template <class T>
SL_FN void shared_to_rows(const T* tile, int pitch, Strided<T> to, int rows, int n_classes) {
    const auto store = [&](int r, int k, bool there, int) {
        if (there) to.at[r * to.step + k * to.step_class] = tile[r * pitch + k];
    };
    over_tile(rows, n_classes, to.step == 1, store, [] {});
}

// One row a thread, `rows` of them a block. STAGED: through shared memory, in which a row has an odd length, so that
// threads which each work on a row of their own find their numbers in different banks; else, where a row is too long,
// in place, and then all the (n, n_classes) arrays have the same strides, and `gradient` is there if only for scratch.
// Raw predictions and gradient share a tile, and targets and the third output: every struct of rowwise.h reads an
// element of the first before it writes that of the second, and never after.
template <template <class> class Loss, int OUT, bool SOFT, bool STAGED, class T>
SL_FN void evaluate_rows(const double* params, const RowArrays<T>& a, int rows, double* partial = nullptr,
                         Domain domain = {}) {
    constexpr bool summed = (OUT & SUMMED) != 0, checked = (OUT & CHECKED) != 0;
    constexpr int THIRD = HESSIAN | PROBABILITY, RUN = (OUT & 15) | (summed ? int(VALUE) : 0);
    const int K = a.n_classes, pitch = K | 1;
    const Loss<T> loss(params, K);
    T* const scores = reinterpret_cast<T*>(sl_shared);
    T* const others = scores + rows * pitch;
    Share<OUT> share;
    for (long long first = (long long)(blockIdx.x) * rows; first < a.n; first += (long long)(gridDim.x) * rows) {
        const int here = int(a.n - first < rows ? a.n - first : rows);
        const auto from = [first](auto x) { return decltype(x){x.at + first * x.step, x.step, x.step_class}; };
        if constexpr (STAGED) {
            rows_to_shared(scores, pitch, from(a.raw), here, K);
            if constexpr (SOFT) rows_to_shared(others, pitch, from(a.y), here, K);
            __syncthreads();
        }
        if (int(threadIdx.x) < here) {
            const long long row = first + threadIdx.x;
            const int start = int(threadIdx.x) * pitch;
            T value = T(0);
            const T code = SOFT ? T(0) : a.y.at[row * a.y.step];
            const T weight = a.weight.at ? a.weight.at[row * a.weight.step] : T(1);
            Tile<T> t = {};
            t.n_classes = K;
            t.stride = STAGED ? 1 : long(a.raw.step_class);
            t.raw = STAGED ? scores + start : a.raw.at + row * a.raw.step;
            t.code = &code;
            if constexpr (SOFT) t.target = STAGED ? others + start : a.y.at + row * a.y.step;
            t.value = &value;
            if constexpr (RUN != VALUE)
                t.gradient = STAGED ? scores + start : a.gradient.at + row * a.gradient.step;
            if constexpr ((OUT & THIRD) != 0)
                t.hessian = STAGED ? others + start : a.third.at + row * a.third.step;
            if constexpr (checked) {
                constexpr bool shares = SOFT && Loss<T>::probabilities;
                bool good = good_weight(weight) && (SOFT || good_target(code, domain));
                if constexpr (SOFT && !shares) good = good && good_times(t.target[0], t.target[t.stride]);
                double mass = shares ? 1.0 : 0.0;
                for (int k = 0; k < K; ++k) {
                    good = good && finite(t.raw[k * t.stride]);
                    if constexpr (shares) {
                        const T y = t.target[k * t.stride];
                        good = good && y >= T(0);
                        mass -= double(y);
                    }
                }
                share.fault |= !(good && abs_(mass) <= domain.tolerance);
                share.weight += double(weight);
            }
            Loss<T>::template run<RUN, SOFT>(loss, t);
            if (a.weight.at) {
                value = mul0(weight, value);
                const auto weigh = [weight](T& x) { x = mul0(weight, x); };
                for (int k = 0; k < K; ++k) {
                    if constexpr ((OUT & GRADIENT) != 0) weigh(t.gradient[k * t.stride]);
                    if constexpr ((OUT & HESSIAN) != 0) weigh(t.hessian[k * t.stride]);
                }
            }
            if constexpr (summed) share.total += double(value);
            if constexpr ((OUT & VALUE) != 0) a.value.at[row * a.value.step] = value;
        }
        if constexpr (STAGED) {
            __syncthreads();
            if constexpr ((OUT & GRADIENT) != 0) shared_to_rows(scores, pitch, from(a.gradient), here, K);
            if constexpr ((OUT & THIRD) != 0) shared_to_rows(others, pitch, from(a.third), here, K);
            __syncthreads();  // before the tile is filled again
        }
    }
    share.leave(partial);
}

// Weight of the samples of each class: block (x, y) leaves the sums over its part of the samples, for the classes y,
// y + gridDim.y, ..., in partial[class][x].
template <class T>
SL_FN void class_weights(long long n, int n_classes, const T* code, const T* weight, double* partial) {
    for (int k = int(blockIdx.y); k < n_classes; k += int(gridDim.y)) {
        double sum = 0.0;
        for (long long i = thread_number(); i < n; i += n_threads())
            sum += code[i] == T(k) ? (weight ? double(weight[i]) : 1.0) : 0.0;
        sum = block_sum(sum);
        if (threadIdx.x == 0) partial[(long long)(k) * gridDim.x + blockIdx.x] = sum;
    }
}

}  // namespace sl

#endif

#endif
