// CPU only: loops of the optimizers' steps over coordinates, compiled for each instruction set.
#ifndef SKLEARN_LOSSES_MOVES_H
#define SKLEARN_LOSSES_MOVES_H

#include "fit/optimizers.h"
#include "simd/level.h"

namespace sl {

// The arrays of a run of coordinates. `low` and `high` are null where there are no bounds, `average` where nothing is
// averaged.
template <class T>
struct Slab {
    T* w;
    double* g;
    T* s[3];
    const T* unit;
    const T* low;
    const T* high;
    double* average;
    Index n;

    Slab part(Index start, Index count) const {
        const auto from = [&](auto* array) { return array ? array + start : nullptr; };
        return {w + start, g + start, {from(s[0]), from(s[1]), from(s[2])}, from(unit), from(low), from(high),
                from(average), count};
    }
};
// One step: `scale` is the gradient's factor (clipping), `average` that of the changes of the weights in the averages,
// `shares` are those of the outputs in an implicit step, where runs of dense coordinates are of one.
struct Move {
    Moment moment;
    double l1, scale, average;
    const double* shares;
};

// The proximal operator of a weight.
template <class T>
SL_FN Prox<T> weights_prox(const Slab<T>& slab, Index i, T l1) {
    if (slab.low) return {l1, slab.low[i], slab.high[i], slab.unit[i]};
    return {l1, -inf_<T>(), inf_<T>(), slab.unit[i]};
}

// All coordinates of a run. g receives the changes.
template <template <class> class O, class T, bool BOUNDED>
struct MoveBody {
    static SL_FN void run(const Move* move, const Slab<T>* slab_) {
        const Slab<T> slab = *slab_;
        const O<T> optimizer = of_output(O<T>(move->moment), move->shares, 0);
        const T scale = T(move->scale), l1 = T(move->l1);
        T* __restrict w = slab.w;
        double* __restrict g = slab.g;
        T* __restrict s0 = slab.s[0];
        T* __restrict s1 = slab.s[1];
        T* __restrict s2 = slab.s[2];
        const T* __restrict unit = slab.unit;
        const T* __restrict low = slab.low;
        const T* __restrict high = slab.high;
        SL_INDEPENDENT
        for (Index i = 0; i < slab.n; ++i) {
            Prox<T> prox = {l1 * unit[i], -inf_<T>(), inf_<T>(), unit[i]};
            if constexpr (BOUNDED) prox = scaled_prox<T>({l1, low[i], high[i], unit[i]});
            T state[3];
            if constexpr (O<T>::STATES > 0) state[0] = s0[i];
            if constexpr (O<T>::STATES > 1) state[1] = s1[i];
            if constexpr (O<T>::STATES > 2) state[2] = s2[i];
            T to = scaled_step(optimizer, move->moment, w[i], scale * T(g[i]), state, prox);
            if constexpr (BOUNDED) to = clamp_(to, low[i], high[i]);  // w / unit * unit may be an ulp beyond
            if constexpr (O<T>::STATES > 0) s0[i] = state[0];
            if constexpr (O<T>::STATES > 1) s1[i] = state[1];
            if constexpr (O<T>::STATES > 2) s2[i] = state[2];
            g[i] = double(to) - double(w[i]);
            w[i] = to;
        }
    }
};
// Those of the features `at`, n_outputs each. g is 0 afterwards.
template <template <class> class O, class T>
struct MoveTouchedBody {
    static SL_FN void run(const Move* move, const Slab<T>* slab_, const std::int32_t* at, Index n, Index n_outputs) {
        const Slab<T> slab = *slab_;
        const O<T> optimizer(move->moment);
        const T scale = T(move->scale), l1 = T(move->l1);
        for (Index j = 0; j < n; ++j) {
            SL_INDEPENDENT
            for (Index i = at[j] * n_outputs; i < (at[j] + 1) * n_outputs; ++i) {
                const Prox<T> prox = weights_prox(slab, i, l1);
                const T from = slab.w[i];
                T state[3];
                for (int k = 0; k < O<T>::STATES; ++k) state[k] = slab.s[k][i];
                const O<T> own = of_output(optimizer, move->shares, i - at[j] * n_outputs);
                T to = scaled_step(own, move->moment, from, scale * T(slab.g[i]), state, scaled_prox(prox));
                to = clamp_(to, prox.low, prox.high);
                for (int k = 0; k < O<T>::STATES; ++k) slab.s[k][i] = state[k];
                slab.w[i] = to;
                slab.g[i] = 0.0;
                if (slab.average) slab.average[i] -= move->average * (double(to) - double(from));
            }
        }
    }
};
// How far a weight moves by a derivative of 1, before its step: of all weights of a run, or of those of the features `at`.
template <template <class> class O, class T>
struct LengthsBody {
    static SL_FN void run(const Move* move, const Slab<T>* slab_, double* to, const std::int32_t* at, Index n,
                          Index n_outputs) {
        const Slab<T> slab = *slab_;
        const O<T> optimizer(move->moment);
        if (!at) {
            SL_INDEPENDENT
            for (Index i = 0; i < n; ++i) to[i] = length(optimizer, slab, i);
            return;
        }
        for (Index j = 0; j < n; ++j)
            for (Index i = at[j] * n_outputs; i < (at[j] + 1) * n_outputs; ++i) to[i] = length(optimizer, slab, i);
    }
    static SL_FN double length(const O<T>& optimizer, const Slab<T>& slab, Index i) {
        T state[3];
        for (int k = 0; k < O<T>::STATES; ++k) state[k] = slab.s[k][i];
        const double unit = double(slab.unit[i]);
        return double(optimizer.length(state)) * unit * unit;
    }
};
// What the penalty alone does to coordinates in the steps that they missed, at the present rate. Several at once, for
// the vectors.
struct LazySteps {
    enum { MOST = 64 };
    Index n, at[MOST];
    std::int32_t steps[MOST], longest;
    double w[MOST];
    Shrinkage<double> step[MOST];
    SL_FN void clear() {
        n = 0, longest = 0;
        for (int i = 0; i < MOST; ++i) steps[i] = 0, w[i] = 0.0, step[i] = {0.0, 0.0};
    }
    SL_FN void apply() {
        Shrinkage<double> all[MOST];  // the steps' power, by squaring
        for (int i = 0; i < MOST; ++i) all[i] = {1.0, 0.0};
        for (; longest > 0; longest >>= 1)
            for (int i = 0; i < MOST; ++i) {
                const bool odd = (steps[i] & 1) != 0;
                const Shrinkage<double> more = step[i].after(all[i]);
                all[i].kept = odd ? more.kept : all[i].kept;
                all[i].lost = odd ? more.lost : all[i].lost;
                step[i] = step[i].after(step[i]);
                steps[i] >>= 1;
            }
        for (int i = 0; i < MOST; ++i) w[i] = all[i](w[i]);
    }
};
template <template <class> class O, class T>
struct LazyBody {
    // `missed` is of each of the features `at`.
    static SL_FN void run(const Move* move, const Slab<T>* slab_, const std::int32_t* at, const std::int32_t* missed,
                          Index n, Index n_outputs) {
        const Slab<T> slab = *slab_;
        const O<T> optimizer(move->moment);
        LazySteps some;
        some.clear();
        for (Index j = 0; j < n; ++j)
            for (Index i = at[j] * n_outputs; missed[j] > 0 && i < (at[j] + 1) * n_outputs; ++i) {
                const T from = slab.w[i];
                if (from == T(0)) continue;
                T state[3];
                for (int k = 0; k < O<T>::STATES; ++k) state[k] = slab.s[k][i];
                some.at[some.n] = i;
                some.steps[some.n] = missed[j];
                some.longest = missed[j] > some.longest ? missed[j] : some.longest;
                some.w[some.n] = double(from);
                some.step[some.n++] = missed_step(optimizer, state, move->moment, move->l1, double(slab.unit[i]));
                if (some.n == LazySteps::MOST) settle(optimizer, slab, *move, some);
            }
        settle(optimizer, slab, *move, some);
    }
    static SL_FN void settle(const O<T>& optimizer, const Slab<T>& slab, const Move& move, LazySteps& some) {
        some.apply();
        for (Index m = 0; m < some.n; ++m) {
            const Index i = some.at[m];
            const T from = slab.w[i];
            T to = T(some.w[m]);
            const Prox<T> prox = weights_prox(slab, i, T(0));
            to = caught_up(optimizer, to, O<T>::STATES > 0 ? slab.s[0] + i : nullptr, prox);
            slab.w[i] = to;
            if (slab.average) slab.average[i] -= move.average * (double(to) - double(from));
        }
        some.clear();
    }
};

// What variance-reduced steps need beside the coordinates.
template <class T>
struct Reduced {
    double* mean;
    double keep;  // share of g that enters the mean: batch / n for SAGA, 0 for SVRG
    const std::int32_t* count;
    const double* share;  // of the samples that have a feature
    double batch;

    // How often a feature's common terms count, where the batch's rows have it `count` times; null: all rows have it.
    SL_FN double of(Index feature) const { return count ? double(count[feature]) / (share[feature] * batch) : 1.0; }
};
template <class T>
struct ReducedBody {
    static SL_FN void run(const Move* move, const Slab<T>* slab_, const Reduced<T>* reduced_, const std::int32_t* at,
                          Index n, Index n_outputs) {
        const Slab<T> slab = *slab_;
        const Reduced<T> reduced = *reduced_;
        SL_INDEPENDENT
        for (Index j = 0; j < n; ++j) {
            const Index feature = at ? Index(at[j]) : j, first = at ? feature * n_outputs : j;
            const double share = reduced.of(feature);
            SL_INDEPENDENT
            for (Index i = first; i < first + n_outputs; ++i) {
                const Prox<T> prox = weights_prox(slab, i, T(move->l1));
                const double from = double(slab.w[i]), g = slab.g[i];
                const T to = reduced_step<T>(move->moment, from, move->scale * g, reduced.mean[i], share, prox);
                reduced.mean[i] += reduced.keep * g;
                slab.w[i] = to;
                slab.g[i] = at ? 0.0 : double(to) - from;
                if (at && slab.average) slab.average[i] -= move->average * (double(to) - from);
            }
        }
    }
};

template <class T>
using MoveSignature = void(const Move*, const Slab<T>*);
template <class T>
using MoveTouchedSignature = void(const Move*, const Slab<T>*, const std::int32_t*, Index, Index);
template <class T>
using LazySignature = void(const Move*, const Slab<T>*, const std::int32_t*, const std::int32_t*, Index, Index);
template <class T>
using LengthsSignature = void(const Move*, const Slab<T>*, double*, const std::int32_t*, Index, Index);
template <class T>
using ReducedSignature = void(const Move*, const Slab<T>*, const Reduced<T>*, const std::int32_t*, Index, Index);

// One optimizer's loops at one level.
template <class T>
struct Mover {
    MoveSignature<T>* free;
    MoveSignature<T>* bounded;
    MoveTouchedSignature<T>* touched;
    LazySignature<T>* lazy;
    LengthsSignature<T>* lengths;  // null: the optimizer's steps are explicit
};
template <template <class> class O, class T>
Mover<T> mover_of(int level) {
    const int narrow = level < 1 ? level : 1;  // scattered coordinates are taken one by one
    LengthsSignature<T>* lengths = nullptr;
    if constexpr (O<T>::IMPLICIT != 0) lengths = Cloned<LengthsBody<O, T>, LengthsSignature<T>>::at(level);
    return {Cloned<MoveBody<O, T, false>, MoveSignature<T>>::at(level),
            Cloned<MoveBody<O, T, true>, MoveSignature<T>>::at(level),
            Cloned<MoveTouchedBody<O, T>, MoveTouchedSignature<T>>::at(narrow),
            Cloned<LazyBody<O, T>, LazySignature<T>>::at(level), lengths};
}
template <class T>
Mover<T> optimizer_mover(int kind, int level) {
    using Chooser = Mover<T> (*)(int);
#define SL_MOVER(O) &mover_of<O, T>,
    static const Chooser table[] = {SL_OPTIMIZER_LIST(SL_MOVER)};
#undef SL_MOVER
    return table[kind](level);
}

}  // namespace sl

#endif
