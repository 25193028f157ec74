// GPU only: how far the implicit step of a batch goes (fit/implicit.h): what a row's derivative would move its own raw
// predictions by, the shares of the explicit steps that the rows would take alone, and their means.
//
//   scores    reach    shares    losses    ...    combine    columns
//
// A loss in Python is called for the ratios that the shares are found by: given_shares, again and again.
#ifndef SKLEARN_LOSSES_DEVICE_IMPLICIT_H
#define SKLEARN_LOSSES_DEVICE_IMPLICIT_H

#include "device/rows.h"
#include "fit/implicit.h"
#include "fit/optimizers.h"

#if SL_DEVICE

namespace sl {

// A warp a row. Weights of samples are included.
template <template <class> class O, bool SPARSE, class T, class I>
SL_FN void reach_of(const Fit<T, I>* fit, const Moment& m) {
    const Fit<T, I> f = members(fit);
    const Part rows(f, -1, 0);
    const O<T> optimizer(m);
    const O<double> of_intercept(moment_of_intercepts(m));
    const int K = int(f.n_outputs);
    for (long long b = (long long)(blockIdx.x) * WARPS + warp(); b < rows.n; b += (long long)(gridDim.x) * WARPS) {
        const long long row = rows.row(f, b);
        long long first = row * f.n_features, last = first + f.n_features;
        if constexpr (SPARSE) first = f.indptr[row], last = f.indptr[row + 1];
        for (int k = 0; k < K; ++k) {
            double sum = 0.0;
            for (long long j = first + lane(); j < last; j += WARP) {
                long long feature = j - first;
                if constexpr (SPARSE) feature = f.indices[j];
                const long long i = SPARSE ? feature * K + k : k * f.n_features + feature;
                double x = double(f.x[j]), all = 0.0;
                if (!SPARSE && f.center) x -= f.center[feature];
                if (SPARSE && f.repeats > 1) {  // a place may have several entries, whose sum counts
                    if constexpr (SPARSE)
                        for (long long l = first; l < last; ++l) all += f.indices[l] == feature ? double(f.x[l]) : 0.0;
                } else {
                    all = x;
                }
                T state[3];
                for (int s = 0; s < O<T>::STATES; ++s) state[s] = f.state(s)[i];
                const double unit = double(f.unit[i]);
                sum += double(optimizer.length(state)) * unit * unit * x * all;
            }
            sum = warp_sum(sum);
            if (lane() != 0) continue;
            if (f.fit_intercept) {
                double state[3];
                for (int s = 0; s < O<double>::STATES; ++s) state[s] = f.intercept_states[s * K + k];
                sum += of_intercept.length(state) * f.intercept_unit[k] * f.intercept_unit[k];
            }
            f.reach[k * rows.n + b] = T(sum * double(weight_of(f, row, k, target_of(f, row, k))));
        }
    }
}

// Sums of the shares of output k over the rows of this block.
template <class F>
SL_FN void leave_shares(const F& f, int k, double taken, double all) {
    taken = block_sum(taken);
    all = block_sum(all);
    if (threadIdx.x == 0) {
        double* to = f.share_sums + (blockIdx.x * f.n_outputs + k) * 2;
        to[0] = taken, to[1] = all;
    }
}
template <class T>
SL_FN bool steps(T all) { return all > T(0) && all <= Format<T>::max; }

template <class Loss, class T, class I>
SL_FN void pointwise_shares(const Fit<T, I>* fit) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, -1, 0);
    for (int k = 0; k < int(f.n_outputs); ++k) {
        const Loss formula(f.params + k * f.params_stride);
        double taken = 0.0, weights = 0.0;
        for (long long b = thread_number(); b < rows.n; b += n_threads()) {
            const long long row = rows.row(f, b), at = k * rows.n + b;
            const T target = target_of(f, row, k), raw = f.raw[at], reach = f.reach[at];
            const T first = formula(target, raw).gradient;
            ImplicitShare<T> share;
            share.known = !steps(reach * first * first);
            while (!share.known) share.next(formula(target, raw - share.at * (reach * first)).gradient / first);
            const double all = double(mul0(reach, first * first * weight_of(f, row, k, target)));
            taken += all * double(share.at);
            weights += all;
        }
        leave_shares(f, k, taken, weights);
    }
}
// Along the gradient: the same share for all outputs. `trial` holds where the loss is tried and, after that, the gradients
// at the start.
template <class Loss, class T, class I>
SL_FN void rowwise_shares(const Fit<T, I>* fit) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, -1, 0);
    const int K = int(f.n_outputs);
    const Loss formula(f.params, K);
    double taken = 0.0, weights = 0.0;
    for (long long b = thread_number(); b < rows.n; b += n_threads()) {
        const long long row = rows.row(f, b), n = rows.n;
        T* const trial = f.trial + b;
        T* const first = f.trial + K * n + b;
        const auto evaluate = [&](T* at) {
            T value = T(0);
            const Tile<T> tile{K, long(n), at, f.y + row, f.targets + b, &value, at, nullptr, {}};
            bool soft = false;
            if constexpr (Loss::soft) {
                soft = f.target == SEPARATE;
                if (soft) Loss::template run<VALUE | GRADIENT, true>(formula, tile);
            }
            if (!soft) Loss::template run<VALUE | GRADIENT, false>(formula, tile);
        };
        for (int k = 0; k < K; ++k) first[k * n] = f.raw[k * n + b];
        evaluate(first);
        T all = T(0);
        for (int k = 0; k < K; ++k) all += f.reach[k * n + b] * first[k * n] * first[k * n];
        ImplicitShare<T> share;
        share.known = !steps(all);
        while (!share.known) {
            for (int k = 0; k < K; ++k)
                trial[k * n] = f.raw[k * n + b] - share.at * mul0(first[k * n], f.reach[k * n + b]);
            evaluate(trial);
            T along = T(0);
            for (int k = 0; k < K; ++k) along += f.reach[k * n + b] * first[k * n] * trial[k * n];
            share.next(along / all);
        }
        const double weight = double(mul0(all, weight_of(f, row, 0, T(0))));
        taken += weight * double(share.at);
        weights += weight;
    }
    for (int k = 0; k < K; ++k) leave_shares(f, k, taken, weights);
}
// Of a loss in Python, which has left gradients at the raw predictions in `gradient` and, but before the first call, those
// at `trial` in `trial_gradient`. `more` becomes 1 where there is another `trial`.
template <class T, class I>
SL_FN void given_shares(const Fit<T, I>* fit, long long begins, int* more) {
    const Fit<T, I> f = members(fit);
    if (given_up(f)) return;
    const Part rows(f, -1, 0);
    ImplicitShare<T>* shares = reinterpret_cast<ImplicitShare<T>*>(f.roots);
    for (int k = 0; k < int(f.n_outputs); ++k) {
        double taken = 0.0, weights = 0.0;
        for (long long b = thread_number(); b < rows.n; b += n_threads()) {
            const long long row = rows.row(f, b), at = k * rows.n + b;
            const T first = f.gradient[at], reach = f.reach[at];
            if (begins) {
                shares[at] = ImplicitShare<T>();
                shares[at].known = !steps(reach * first * first);
            } else if (!shares[at].known) {
                shares[at].next(f.trial_gradient[at] / first);
            }
            if (!shares[at].known) *more = 1;
            f.trial[at] = f.raw[at] - shares[at].at * mul0(first, reach);
            const double all = double(mul0(reach, first * first * weight_of(f, row, k, target_of(f, row, k))));
            taken += all * double(shares[at].at);
            weights += all;
        }
        leave_shares(f, k, taken, weights);
    }
}
// In the last block of `combine`: the batch's shares.
template <class F>
SL_FN void take_shares(const F& f) {
    for (long long k = threadIdx.x; k < f.n_outputs; k += BLOCK) {
        double sums[2] = {0.0, 0.0};
        for (long long i = 0; i < f.n_loss_blocks; ++i)
            for (int s = 0; s < 2; ++s) sums[s] += f.share_sums[(i * f.n_outputs + k) * 2 + s];
        f.shares[k] = batch_share(sums);
    }
}

}  // namespace sl

#endif

#endif
