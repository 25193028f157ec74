// CPU only: steps with the proximal operator of a penalty that is no part of the optimizers' own loops: of groups of
// weights, of concave penalties, of weights by feature, or in Python. A step is then made in two halves. In the first
// each coordinate says where it would go, and how long its step is; the operator, which is that of these lengths, sees
// all of them; in the second the optimizers step, and are told where it has sent them.
#ifndef SKLEARN_LOSSES_PROXIMAL_H
#define SKLEARN_LOSSES_PROXIMAL_H

#include "fit/moves.h"
#include "fit/penalties.h"

namespace sl {

// Of each weight, in its own unit: where it would go, then where it is sent; the length of its step. Where that follows
// from gradients that have not come yet, it is `unknown` times how far a first gradient would lead.
struct Aim {
    double *to, *length, unknown;
};

// Coordinates of a slab: all, or n_outputs of each of the features `at`.
template <class Visit>
SL_FN void visit(const std::int32_t* at, Index n, Index n_outputs, const Visit& each) {
    for (Index j = 0; j < n; ++j) {
        const Index first = at ? Index(at[j]) * n_outputs : j;
        for (Index i = first; i < first + (at ? n_outputs : 1); ++i) each(i, at ? Index(at[j]) : j);
    }
}

using HalfStep = void (*)(const Move*, const void* slab, const Aim*, const std::int32_t* at, Index n, Index n_outputs);

template <template <class> class O, class T>
struct AimBody {
    static SL_FN void run(const Move* move, const void* slab_, const Aim* aim, const std::int32_t* at, Index n,
                          Index n_outputs) {
        const Slab<T>& slab = *static_cast<const Slab<T>*>(slab_);
        const O<T> optimizer(move->moment);
        const T scale = T(move->scale);
        visit(at, n, n_outputs, [&](Index i, Index feature) SL_INLINE {
            const O<T> own = of_output(optimizer, move->shares, at ? i - feature * n_outputs : 0);
            const T unit = slab.unit[i];
            T state[3], to = T(0), length = T(0);
            for (int k = 0; k < O<T>::STATES; ++k) state[k] = slab.s[k][i];
            const Proposal<T> proposal = {&to, &length, -inf_<T>(), inf_<T>(), unit};
            scaled_step(own, move->moment, slab.w[i], scale * T(slab.g[i]), state, proposal);
            aim->to[i] = double(to) * double(unit);
            aim->length[i] = length == T(0) ? aim->unknown * move->moment.rate * double(unit)
                                            : double(length) * double(unit) * double(unit);
        });
    }
};
template <template <class> class O, class T>
struct ArriveBody {
    static SL_FN void run(const Move* move, const void* slab_, const Aim* aim, const std::int32_t* at, Index n,
                          Index n_outputs) {
        const Slab<T>& slab = *static_cast<const Slab<T>*>(slab_);
        const O<T> optimizer(move->moment);
        const T scale = T(move->scale);
        visit(at, n, n_outputs, [&](Index i, Index feature) SL_INLINE {
            const O<T> own = of_output(optimizer, move->shares, at ? i - feature * n_outputs : 0);
            const Prox<T> bounds = weights_prox(slab, i, T(0));
            const T unit = slab.unit[i], from = slab.w[i];
            T state[3];
            for (int k = 0; k < O<T>::STATES; ++k) state[k] = slab.s[k][i];
            const Decided<T> decided = {T(aim->to[i]) / unit, bounds.low / unit, bounds.high / unit, unit};
            const T to = scaled_step(own, move->moment, from, scale * T(slab.g[i]), state, decided);
            for (int k = 0; k < O<T>::STATES; ++k) slab.s[k][i] = state[k];
            slab.w[i] = clamp_(to, bounds.low, bounds.high);
            slab.g[i] = at ? 0.0 : double(slab.w[i]) - double(from);
            if (at && slab.average) slab.average[i] -= move->average * (double(slab.w[i]) - double(from));
        });
    }
};

// Variance-reduced steps.
template <class T>
struct ReducedHalves {
    static void aim(const Move& move, const Slab<T>& slab, const Reduced<T>& reduced, const Aim& aim,
                    const std::int32_t* at, Index n, Index n_outputs) {
        visit(at, n, n_outputs, [&](Index i, Index feature) SL_INLINE {
            const double share = reduced.of(feature), unit = double(slab.unit[i]);
            T to = T(0), length = T(0);
            const Proposal<T> proposal = {&to, &length, T(0), T(0), slab.unit[i]};
            reduced_step<T>(move.moment, double(slab.w[i]), move.scale * slab.g[i], reduced.mean[i], share, proposal);
            aim.to[i] = double(to);
            aim.length[i] = move.moment.rate * unit * unit * share;
        });
    }
    static void arrive(const Move& move, const Slab<T>& slab, const Reduced<T>& reduced, const Aim& aim,
                       const std::int32_t* at, Index n, Index n_outputs) {
        visit(at, n, n_outputs, [&](Index i, Index) SL_INLINE {
            const double from = double(slab.w[i]);
            reduced.mean[i] += reduced.keep * slab.g[i];
            slab.w[i] = T(aim.to[i]);
            slab.g[i] = at ? 0.0 : double(slab.w[i]) - from;
            if (at && slab.average) slab.average[i] -= move.average * (double(slab.w[i]) - from);
        });
    }
};

// What a separable penalty does to coordinates in the steps that they missed, at the present rate.
template <template <class> class O, class T>
struct LazyProximalBody {
    static SL_FN void run(const Move* move, const void* slab_, const Penalty* penalty, const std::int32_t* at,
                          const std::int32_t* missed_, Index n, Index n_outputs) {
        const Slab<T>& slab = *static_cast<const Slab<T>*>(slab_);
        const O<T> optimizer(move->moment);
        for (Index j = 0; j < n; ++j)
            for (Index i = at[j] * n_outputs; missed_[j] > 0 && i < (at[j] + 1) * n_outputs; ++i) {
                const T from = slab.w[i];
                if (from == T(0)) continue;
                T state[3];
                for (int k = 0; k < O<T>::STATES; ++k) state[k] = slab.s[k][i];
                const double unit = double(slab.unit[i]), length = double(optimizer.length(state)) * unit * unit;
                const Prox<T> bounds = weights_prox(slab, i, T(0));
                slab.w[i] = T(missed(*penalty, at[j], double(from), length, missed_[j], double(bounds.low),
                                     double(bounds.high)));
                if (slab.average) slab.average[i] -= move->average * (double(slab.w[i]) - double(from));
            }
    }
};

// One optimizer's halves of a step.
struct Halves {
    HalfStep aim, arrive;
    void (*lazy)(const Move*, const void* slab, const Penalty*, const std::int32_t* at, const std::int32_t* missed, Index n,
                 Index n_outputs);
};
template <template <class> class O, class T>
Halves halves_of() {
    return {&AimBody<O, T>::run, &ArriveBody<O, T>::run, &LazyProximalBody<O, T>::run};
}
template <class T>
Halves optimizer_halves(int kind) {
    using Chooser = Halves (*)();
#define SL_HALVES(O) &halves_of<O, T>,
    static const Chooser table[] = {SL_OPTIMIZER_LIST(SL_HALVES)};
#undef SL_HALVES
    return table[kind]();
}

}  // namespace sl

#endif
