// GPU only: the step that follows a batch's gradient (rows.h), and what ends an epoch.
//
// What a step depends on stands in device memory (`clock`), so that the kernels of one step are those of the next, and a
// graph of launches can be replayed. A step is
//
//   dense, few weights:  fused                                        columns
//   dense:               scores     losses  dense_gradient            columns
//   CSR:                 touch      sparse_scores  losses  scatter    columns
//
// with a bound on the gradient's norm, a centre or implicit steps (implicit.h), `combine` and then `columns`; and with a centre then `shift`.
#ifndef SKLEARN_LOSSES_DEVICE_STEPS_H
#define SKLEARN_LOSSES_DEVICE_STEPS_H

#include "device/implicit.h"
#include "fit/optimizers.h"

#if SL_DEVICE

namespace sl {

// What a step is made with; `ended`: as the last step was.
template <class F>
SL_FN Moment moment_of(const F& f, bool ended = false) {
    const double rate = f.rates[(long long)(f.clock[CLOCK_STEP]) - (ended ? 1 : 0)];
    Moment m = {f.optimizer_params, rate, f.clock[CLOCK_T] - (ended ? 1.0 : 0.0), f.l2,
                f.clock[CLOCK_L1] + (ended ? 0.0 : rate * f.l1), 0.0, 0.0};
    m.set_powers(f.n_params);
    return m;
}
template <class F>
SL_FN Prox<typename F::Real> prox_of(const F& f, long long i, long long feature, typename F::Real l1) {
    using T = typename F::Real;
    if (f.low) return {l1, f.low[feature], f.high[feature], f.unit[i]};
    return {l1, -inf_<T>(), inf_<T>(), f.unit[i]};
}
// The penalty of the steps that a feature missed, at the present rate.
template <template <class> class O, class F>
SL_FN void make_up(const F& f, const Moment& m, long long feature, int missed, double average) {
    using T = typename F::Real;
    const O<T> optimizer(m);
    for (long long i = feature * f.n_outputs; i < (feature + 1) * f.n_outputs; ++i) {
        const T from = f.w[i];
        if (from == T(0)) continue;
        T state[3];
        for (int k = 0; k < O<T>::STATES; ++k) state[k] = f.state(k)[i];
        Shrinkage<double> step = missed_step(optimizer, state, m, f.l1, double(f.unit[i])), all = {1.0, 0.0};
        for (int left = missed; left > 0; left >>= 1) {  // the step's power, by squaring
            if (left & 1) all = step.after(all);
            step = step.after(step);
        }
        const T to = caught_up(optimizer, T(all(double(from))), state, prox_of(f, i, feature, T(0)));
        if constexpr (O<T>::CUMULATIVE) f.s0[i] = state[0];
        f.w[i] = to;
        if (f.average) f.average[i] -= average * (double(to) - double(from));
    }
}
// How far rows move their own raw predictions, for an implicit step.
template <template <class> class O, bool SPARSE, class T, class I>
SL_FN void reach(const Fit<T, I>* fit) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    reach_of<O, SPARSE>(fit, moment_of(f));
}
// Mark the features that the batch's rows have; the first to come to one makes up for what it missed.
template <template <class> class O, class T, class I>
SL_FN void touch(const Fit<T, I>* fit) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, -1, 0);
    const bool penalised = f.reduced == NOT_REDUCED && (f.l1 > 0.0 || f.l2 > 0.0);
    const int step = int(f.clock[CLOCK_STEP]) + 1;
    int* count = f.count ? f.count + step % 2 * f.n_features : nullptr;
    const Moment m = moment_of(f);
    for (long long b = (long long)(blockIdx.x) * WARPS + warp(); b < rows.n; b += (long long)(gridDim.x) * WARPS) {
        const long long row = rows.row(f, b), last = f.indptr[row + 1];
        for (long long j = f.indptr[row] + lane(); j < last; j += WARP) {
            const long long feature = f.indices[j];
            const int before = atomicExch(f.mark + feature, step);
            if (penalised && before < step - 1) make_up<O>(f, m, feature, step - 1 - before, f.clock[CLOCK_A]);
            if (count) atomicAdd(count + feature, 1);
        }
    }
}
// The penalty that features missed up to the last step of the epoch.
template <template <class> class O, class T, class I>
SL_FN void rest(const Fit<T, I>* fit) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Moment m = moment_of(f, true);
    const int step = int(f.clock[CLOCK_STEP]);
    for (long long j = thread_number(); j < f.n_features; j += n_threads())
        if (f.mark[j] < step) make_up<O>(f, m, j, step - f.mark[j], f.clock[CLOCK_A_BEFORE]);
}

// In the last block: sums over the blocks before it, into `clock` and the intercepts' gradient; returns the norm's
// square.
template <class F>
SL_FN double collect(const F& f) {
    double loss = 0.0, norm = 0.0;
    for (long long i = threadIdx.x; i < f.n_loss_blocks; i += BLOCK) loss += f.loss_sums[i];
    for (long long i = threadIdx.x; i < gridDim.x; i += BLOCK) norm += fresh(f.norms + i);
    loss = block_sum(loss);
    norm = block_sum(norm);
    const int K = int(f.n_outputs);
    if (K <= WARPS) {
        for (int k = 0; k < K; ++k) {
            double sum = 0.0;
            for (long long i = threadIdx.x; i < f.n_loss_blocks; i += BLOCK) sum += f.intercept_sums[i * K + k];
            sum = block_sum(sum);
            if (threadIdx.x == 0) f.intercept_gradient[k] += sum;
        }
    } else {
        for (int k = threadIdx.x; k < K; k += BLOCK) {
            double sum = 0.0;
            for (long long i = 0; i < f.n_loss_blocks; ++i) sum += f.intercept_sums[i * K + k];
            f.intercept_gradient[k] += sum;
        }
    }
    __syncthreads();
    if (f.fit_intercept) {
        double square = 0.0;
        for (int k = threadIdx.x; k < K; k += BLOCK) square += f.intercept_gradient[k] * f.intercept_gradient[k];
        norm += block_sum(square);
    }
    if (threadIdx.x == 0) {
        f.clock[CLOCK_LOSS] += loss;
        f.clock[CLOCK_NORM] += norm;
    }
    return norm;
}
// The share of the batch's change that enters the mean of the remembered gradients.
template <class F>
SL_FN double kept_share(const F& f, const Part& rows) {
    return f.reduced == SAGA_MEMORY ? double(rows.n) / double(f.n_rows) : 0.0;
}
// In the last block: step the intercepts, in double, without penalty or bounds, and go on to the next step.
template <template <class> class O, bool CENTERED, class F>
SL_FN void advance(const F& f, Moment m, double scale, double keep) {
    const double l1_so_far = m.l1_so_far, t = f.clock[CLOCK_T];
    const double share = average_share(t, double(f.average_from), f.average_power);
    m = moment_of_intercepts(m);
    const int K = int(f.n_outputs);
    for (int k = threadIdx.x; k < K; k += BLOCK) {
        if (f.fit_intercept) {
            const Prox<double> prox = {0.0, -inf_<double>(), inf_<double>(), f.intercept_unit[k]};
            const double g = f.intercept_gradient[k];
            if (f.reduced != NOT_REDUCED) {
                f.intercept[k] = reduced_step<double>(m, f.intercept[k], scale * g, f.intercept_mean[k], 1.0, prox);
                f.intercept_mean[k] += keep * g;
            } else {
                const O<double> optimizer = of_output(O<double>(m), f.shares, k);
                double state[3];
                for (int i = 0; i < O<double>::STATES; ++i) state[i] = f.intercept_states[i * K + k];
                f.intercept[k] = scaled_step(optimizer, m, f.intercept[k], scale * g, state, prox);
                for (int i = 0; i < O<double>::STATES; ++i) f.intercept_states[i * K + k] = state[i];
            }
            if constexpr (CENTERED) f.intercept[k] -= fresh(f.shift + k);
        }
        f.intercept_gradient[k] = 0.0;
        if (share > 0.0) f.intercept_average[k] += share * (f.intercept[k] - f.intercept_average[k]);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        Averaging averaging = {f.clock[CLOCK_A], f.clock[CLOCK_B]};
        f.clock[CLOCK_A_BEFORE] = averaging.a;
        averaging.take(share);
        f.clock[CLOCK_A] = averaging.a;
        f.clock[CLOCK_B] = averaging.b;
        f.clock[CLOCK_L1] = l1_so_far;
        f.clock[CLOCK_T] = t + 1.0;
        f.clock[CLOCK_STEP] += 1.0;
        f.clock[CLOCK_SCALE] = 1.0;
    }
}

// ROWS threads add up the pieces of a coordinate; the first of them gets the sum, and `i` is its coordinate.
template <int ROWS, class F>
SL_FN double sum_of_pieces(const F& f, long long& i, bool& acts) {
    enum { WIDTH = BLOCK / ROWS };
    __shared__ double part[ROWS][WIDTH];
    const int row = int(threadIdx.x) / WIDTH, column = int(threadIdx.x) % WIDTH;
    const long long size = f.size();
    i = (long long)(blockIdx.x) * WIDTH + column;
    acts = i < size && row == 0;
    double g = 0.0;
    if (i < size)
        for (long long piece = row; piece < f.n_pieces; piece += ROWS) g += f.partial[piece * size + i];
    if constexpr (ROWS > 1) {
        part[row][column] = g;
        __syncthreads();
        g = 0.0;
        for (int r = 0; r < ROWS; ++r) g += part[r][column];
    }
    return g;
}
// The gradient of this thread's coordinate.
template <bool SPARSE, int ROWS, class F>
SL_FN double coordinate(const F& f, const Part& rows, long long& i, bool& acts) {
    if constexpr (SPARSE) {
        const double unit = unit_of(f, rows.n);
        i = thread_number();
        // In a pass over all rows every feature counts.
        acts = i < f.size() && (!rows.stepping || f.mark[i / f.n_outputs] == int(f.clock[CLOCK_STEP]) + 1);
        if (!acts) return 0.0;
        const double g = double(f.fixed[i]) * unit;
        f.fixed[i] = 0;
        return g;
    } else {
        (void)rows;
        return sum_of_pieces<ROWS>(f, i, acts);
    }
}
// The gradient into `total`, and how far a step is shortened; in a pass over all rows it is added there.
template <bool SPARSE, int ROWS, class T, class I>
SL_FN void combine(const Fit<T, I>* fit, long long start, long long count) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, start, count);
    long long i;
    bool acts;
    const double g = coordinate<SPARSE, ROWS>(f, rows, i, acts);
    if (acts) f.total[i] = rows.stepping ? g : f.total[i] + g;
    const double norm = block_sum(acts ? g * g : 0.0);
    if (threadIdx.x == 0) f.norms[blockIdx.x] = norm;
    if (last_block(f.ticket)) {
        const double norm_of_all = sqrt(collect(f));
        if (rows.stepping && f.shares) take_shares(f);
        if (threadIdx.x == 0) f.clock[CLOCK_SCALE] = clipping(norm_of_all, f.clip_norm);
    }
}
// A thread a coordinate. COMBINED: `combine` has been here. CENTERED: changes into `total`, for `shift`.
template <template <class> class O, bool SPARSE, int ROWS, bool COMBINED, bool CENTERED, class T, class I>
SL_FN void columns(const Fit<T, I>* fit) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, -1, 0);
    const Moment m = moment_of(f);
    const double scale = f.clock[CLOCK_SCALE], average = f.clock[CLOCK_A];
    const double keep = kept_share(f, rows);
    const int step = int(f.clock[CLOCK_STEP]) + 1;
    long long i;
    bool acts;
    double g;
    if constexpr (COMBINED) {
        i = thread_number();
        acts = i < f.size();
        if constexpr (SPARSE) acts = acts && f.mark[i / f.n_outputs] == step;
        g = acts ? f.total[i] : 0.0;
    } else {
        g = coordinate<SPARSE, ROWS>(f, rows, i, acts);
        const double norm = block_sum(acts ? g * g : 0.0);
        if (threadIdx.x == 0) f.norms[blockIdx.x] = norm;
    }
    if (acts) {
        const long long feature = SPARSE ? i / f.n_outputs : i % f.n_features;
        const Prox<T> prox = prox_of(f, i, feature, T(f.l1));
        if constexpr (CENTERED) g -= f.center[feature] * f.intercept_gradient[i / f.n_features];
        const T from = f.w[i];
        T to;
        if (f.reduced != NOT_REDUCED) {
            double share = 1.0;
            if constexpr (SPARSE)
                share = double(f.count[step % 2 * f.n_features + feature]) / (f.share[feature] * double(rows.n));
            to = reduced_step<T>(m, double(from), scale * g, f.mean[i], share, prox);
            f.mean[i] += keep * g;
        } else {
            const O<T> optimizer = of_output(O<T>(m), f.shares, SPARSE ? i % f.n_outputs : i / f.n_features);
            T state[3];
            for (int k = 0; k < O<T>::STATES; ++k) state[k] = f.state(k)[i];
            to = scaled_step(optimizer, m, from, T(scale) * T(g), state, scaled_prox(prox));
            to = clamp_(to, prox.low, prox.high);  // w / unit * unit may be an ulp beyond
            for (int k = 0; k < O<T>::STATES; ++k) f.state(k)[i] = state[k];
        }
        f.w[i] = to;
        if (f.average) f.average[i] -= average * (double(to) - double(from));
        if constexpr (CENTERED) f.total[i] = double(to) - double(from);
    }
    if constexpr (SPARSE)
        if (f.count && i < f.size() && i % f.n_outputs == 0) f.count[(step + 1) % 2 * f.n_features + i / f.n_outputs] = 0;
    if constexpr (!CENTERED)  // where `shift` does
        if (last_block(f.ticket)) {
            if constexpr (!COMBINED) collect(f);
            advance<O, false>(f, m, scale, keep);
        }
}
// After `columns` with a centre: what the weights' changes move the intercepts by. A block an output.
template <template <class> class O, class T, class I>
SL_FN void shift(const Fit<T, I>* fit) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const long long k = blockIdx.x;
    double sum = 0.0;
    for (long long j = threadIdx.x; j < f.n_features; j += BLOCK) sum += f.center[j] * f.total[k * f.n_features + j];
    sum = block_sum(sum);
    if (threadIdx.x == 0) f.shift[k] = sum;
    if (last_block(f.ticket)) {
        const Part rows(f, -1, 0);
        advance<O, true>(f, moment_of(f), f.clock[CLOCK_SCALE], kept_share(f, rows));
    }
}

// -------------------------------------------------------------------------------------------------------- the epoch's end

// Whether the weights are finite, their norms, and how far they are from those that were kept. One block at most a
// thousand coordinates a thread; sums in fixed pieces.
template <class T, class I>
SL_FN void survey(const Fit<T, I>* fit, const T* kept, double* part) {
    const Fit<T, I> f = members(fit);
    double bad = 0.0, square = 0.0, absolute = 0.0, largest = 0.0, change = 0.0, mean = 0.0;
    for (long long i = thread_number(); i < f.size(); i += n_threads()) {
        const double w = double(f.w[i]), moved = abs_(w - double(kept[i]));
        bad += abs_(w) <= Format<double>::max ? 0.0 : 1.0;
        square += w * w;
        absolute += abs_(w);
        largest = max_(largest, abs_(w));
        change = max_(change, moved);
        if (f.mean) {  // that of X as it stands
            const double all = f.center ? f.center[i % f.n_features] * f.intercept_mean[i / f.n_features] : 0.0;
            mean += (f.mean[i] + all) * (f.mean[i] + all);
        }
    }
    double sums[SURVEY_SUMS] = {block_sum(bad), block_sum(square), block_sum(absolute), block_sum(mean), block_max(largest),
                      block_max(change)};
    if (threadIdx.x == 0)
        for (int s = 0; s < SURVEY_SUMS; ++s) part[blockIdx.x * SURVEY_SUMS + s] = sums[s];
    if (!last_block(f.ticket)) return;
    for (int s = 0; s < SURVEY_SUMS; ++s) {
        double sum = 0.0, most = 0.0;
        for (long long i = threadIdx.x; i < gridDim.x; i += BLOCK) {
            const double x = fresh(part + i * SURVEY_SUMS + s);
            sum += x;
            most = max_(most, x);
        }
        sums[s] = s < 4 ? block_sum(sum) : block_max(most);
    }
    bad = mean = 0.0;
    for (long long k = threadIdx.x; k < f.n_outputs; k += BLOCK) {
        bad += abs_(f.intercept[k]) <= Format<double>::max ? 0.0 : 1.0;
        if (f.intercept_mean && f.fit_intercept) mean += f.intercept_mean[k] * f.intercept_mean[k];
    }
    bad = block_sum(bad);
    mean = block_sum(mean);
    if (threadIdx.x == 0) {
        f.clock[CLOCK_FINITE] = sums[0] + bad == 0.0 && f.clock[CLOCK_BAD] == 0.0 ? 1.0 : 0.0;
        f.clock[CLOCK_SQUARE] = sums[1];
        f.clock[CLOCK_ABSOLUTE] = sums[2];
        f.clock[CLOCK_MEAN] = sums[3] + mean;
        f.clock[CLOCK_LARGEST] = sums[4];
        f.clock[CLOCK_CHANGE] = sums[5];
    }
}
// Keep what a fit can go on from, if it is finite.
template <class U>
SL_FN void keep_if_finite(const double* clock, long long n, const U* live, U* kept) {
    if (clock[CLOCK_FINITE] == 0.0) return;
    for (long long i = thread_number(); i < n; i += n_threads()) kept[i] = live[i];
}

}  // namespace sl

#endif

#endif
