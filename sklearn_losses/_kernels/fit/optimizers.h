// One step of each optimizer for one coordinate: weight, gradient and state in, weight and state out.
//
// The penalty's L2 part is in the gradient already (unless `decoupled`); its L1 part and the bounds are the proximal
// operator's, which each optimizer calls with the length of its own step for this coordinate, so that the fixed points
// are those of the penalised objective. Compiled for the CPU (step.h) and for the device from this one text.
//
// A coordinate is a weight over its unit, so that steps do not depend on the units of X and y: `scaled_step` goes there
// and back. POWERi says how state i follows a new unit: it is multiplied by (new / old)^POWERi.
#ifndef SKLEARN_LOSSES_OPTIMIZERS_H
#define SKLEARN_LOSSES_OPTIMIZERS_H

#include "math/functions.h"

namespace sl {

// prox of length * (l1 |w| + indicator of [low, high]): soft thresholding, then projection. All are the coordinate's,
// whose unit the weight is measured in.
template <class T>
struct Prox {
    T l1, low, high, unit;
    SL_FN T operator()(T w, T length) const {
        return clamp_(soft_threshold(w, length * l1), low, high);
    }
};

// The penalty's map on a weight, |w| -> max(0, kept |w| - lost), and its powers: what steps without a gradient do.
// V is one number or a register of them.
template <class V>
struct Shrinkage {
    V kept, lost;
    SL_FN V operator()(V w) const {
        const V left = kept * abs_(w) - lost;
        return select(left <= V(0), V(0), select(w < V(0), -left, left));
    }
    // This map after another.
    SL_FN Shrinkage after(Shrinkage first) const { return {kept * first.kept, kept * first.lost + lost}; }
};

// Where a step would go without a proximal operator, and its length: for one that sees many coordinates at once.
template <class T>
struct Proposal {
    T *to, *length;
    T low, high, unit;
    SL_FN T operator()(T w, T step) const {
        *to = w;
        *length = step;
        return w;
    }
};
// Where such an operator has sent the step.
template <class T>
struct Decided {
    T to, low, high, unit;
    SL_FN T operator()(T, T) const { return to; }
};

// What every optimizer's constructor gets: its parameters, the learning rate, the number of the step (from 1), the
// weight of the L2 penalty for those that take it themselves, the sum of the L1 penalties of all steps so far, and the
// first two parameters to the power of t (of optimizers with moments of two orders), which one call computes for all.
struct Moment {
    const double* params;
    double rate, t, l2, l1_so_far, power1, power2;
    bool intercepts;  // whether the step is theirs: they start anywhere, and nothing pulls them to 0
    // The powers, where there are two parameters at least.
    SL_FN void set_powers(long long n_params) {
        power1 = n_params > 1 ? pow(params[0], t) : 0.0;
        power2 = n_params > 1 ? pow(params[1], t) : 0.0;
    }
};

// Those of step t.
SL_FN Moment moment_of(const double* params, int n_params, double rate, double t, double l2, double l1_so_far) {
    Moment m = {params, rate, t, l2, l1_so_far, 0.0, 0.0, false};
    m.set_powers(n_params);
    return m;
}
// Those of a step of intercepts, without penalty.
SL_FN Moment moment_of_intercepts(Moment m) {
    m.l2 = m.l1_so_far = 0.0;
    m.intercepts = true;
    return m;
}

// A coordinate's own length of step: none before its first gradient, whose size it depends on. (rate / eps would let the
// L1 penalty wipe out the weights that a fit starts from wherever the first batch has no gradient.)
template <class T>
SL_FN T scaled_length(T rate, T second, T eps) {
    return second > T(0) ? rate / (sqrt_(second) + eps) : T(0);
}

template <class T>
struct SGD {
    enum { STATES = 0, DECOUPLED = 0, CUMULATIVE = 0, IMPLICIT = 0, POWER0 = 0, POWER1 = 0, POWER2 = 0 };
    T rate;
    SL_FN explicit SGD(const Moment& m) : rate(T(m.rate)) {}
    template <class P>
    SL_FN T operator()(T w, T g, T*, const P& prox) const {
        return prox(w - rate * g, rate);
    }
    SL_FN T length(const T*) const { return rate; }
};

// Stochastic descent with the cumulative L1 penalty of Tsuruoka, Tsujii and Ananiadou (2009), which leaves weights at
// zero in spite of the gradients' noise. The state is the penalty received so far. A feature that was left alone catches
// up of itself.
template <class T>
struct CumulativeSGD {
    enum { STATES = 1, DECOUPLED = 0, CUMULATIVE = 1, IMPLICIT = 0, POWER0 = 1, POWER1 = 0, POWER2 = 0 };
    T rate, l1_so_far;
    SL_FN explicit CumulativeSGD(const Moment& m) : rate(T(m.rate)), l1_so_far(T(m.l1_so_far)) {}
    SL_FN T penalised(T w, T* s, T unit) const {
        const T all = l1_so_far * unit, down = w - (all + s[0]), up = w + (all - s[0]);
        const T to = w > T(0) ? (down < T(0) ? T(0) : down) : (w < T(0) ? (up > T(0) ? T(0) : up) : w);
        s[0] += to - w;
        return to;
    }
    template <class P>
    SL_FN T operator()(T w, T g, T* s, const P& prox) const {
        return clamp_(penalised(w - rate * g, s, prox.unit), prox.low, prox.high);
    }
    SL_FN T length(const T*) const { return rate; }
};

// The velocity takes in what the proximal operator changed (the inertial proximal step of Ochs et al., 2014); without
// penalty and bounds that is nothing.
template <class T>
struct Momentum {
    enum { STATES = 1, DECOUPLED = 0, CUMULATIVE = 0, IMPLICIT = 0, POWER0 = -1, POWER1 = 0, POWER2 = 0 };
    T rate, momentum;
    SL_FN explicit Momentum(const Moment& m) : rate(T(m.rate)), momentum(T(m.params[0])) {}
    template <class P>
    SL_FN T operator()(T w, T g, T* s, const P& prox) const {
        const T v = momentum * s[0] - rate * g, to = w + v, after = prox(to, rate);
        s[0] = v + (after - to);
        return after;
    }
    SL_FN T length(const T*) const { return rate; }
};

// The weights are those at which the next gradient is taken (Bengio et al., 2013); prox acts on the iterate behind them,
// w - momentum * v, as in FISTA. The state is momentum * v as it is added, so that a weight whose iterates are 0 is
// exactly 0; it takes in what the bounds cut off.
template <class T>
struct Nesterov {
    enum { STATES = 1, DECOUPLED = 0, CUMULATIVE = 0, IMPLICIT = 0, POWER0 = -1, POWER1 = 0, POWER2 = 0 };
    T rate, momentum;
    SL_FN explicit Nesterov(const Moment& m) : rate(T(m.rate)), momentum(T(m.params[0])) {}
    template <class P>
    SL_FN T operator()(T w, T g, T* s, const P& prox) const {
        const T to = w - rate * g, after = prox(to, rate);
        const T v = s[0] - rate * g + (after - to), ahead = momentum * v;
        const T free = after + ahead, inside = clamp_(free, prox.low, prox.high);
        s[0] = ahead + (inside - free);
        return inside;
    }
    SL_FN T length(const T*) const { return rate; }
};

template <class T>
struct AdaGrad {
    enum { STATES = 1, DECOUPLED = 0, CUMULATIVE = 0, IMPLICIT = 0, POWER0 = 2, POWER1 = 0, POWER2 = 0 };
    T rate, eps;
    SL_FN explicit AdaGrad(const Moment& m) : rate(T(m.rate)), eps(T(m.params[0])) {}
    template <class P>
    SL_FN T operator()(T w, T g, T* s, const P& prox) const {
        s[0] += g * g;
        const T step = length(s);
        return prox(w - step * g, step);
    }
    SL_FN T length(const T* s) const { return scaled_length(rate, s[0], eps); }
};

// AdaGrad with implicit steps: `share` of the explicit one, whose length must be known before it (implicit.h), and so is
// that of the gradients so far. The penalty's share is the same, so that the fixed points are those of the objective; L2 is
// taken by the proximal operator, as L1 is. A coordinate that has gone far takes longer steps: the best rate is about the
// distance to the minimum (Duchi et al., 2011, corollary 1), of which that is all one knows (Ivgi, Hinder and Carmon, 2023).
template <class T>
struct ImplicitAdaGrad {
    enum { STATES = 2, DECOUPLED = 0, CUMULATIVE = 0, IMPLICIT = 1, POWER0 = 2, POWER1 = -1, POWER2 = 0 };
    enum { MOST_GROWTH = 10 };  // longer steps go farther, which would lengthen them again
    T rate, l2, share, growth;
    bool intercepts;
    SL_FN explicit ImplicitAdaGrad(const Moment& m)
        : rate(T(m.rate)), l2(T(m.l2)), share(T(1)), growth(T(m.params[0])), intercepts(m.intercepts) {}
    template <class P>
    SL_FN T operator()(T w, T g, T* s, const P& prox) const {
        const T step = share * length(s), shrunk = T(1) + step * (l2 * prox.unit * prox.unit);
        s[0] += (share * g) * (share * g);
        const T to = prox((w - step * g) / shrunk, step / shrunk), size = abs_(to);
        s[1] = intercepts ? s[1] + (to - w) : (size > s[1] ? size : s[1]);
        return to;
    }
    SL_FN T length(const T* s) const {
        return scaled_length(rate * clamp_(growth * abs_(s[1]), T(1), T(MOST_GROWTH)), s[0], T(0));
    }
};
// An optimizer for output k of a batch, whose shares these are.
template <class O>
SL_FN O of_output(O optimizer, const double* shares, long long k) {
    if constexpr (O::IMPLICIT != 0) optimizer.share = decltype(optimizer.share)(shares[k]);
    return optimizer;
}

template <class T>
struct RMSProp {
    enum { STATES = 1, DECOUPLED = 0, CUMULATIVE = 0, IMPLICIT = 0, POWER0 = 2, POWER1 = 0, POWER2 = 0 };
    T rate, rho, rest, eps;
    SL_FN explicit RMSProp(const Moment& m)
        : rate(T(m.rate)), rho(T(m.params[0])), rest(T(1.0 - m.params[0])), eps(T(m.params[1])) {}
    template <class P>
    SL_FN T operator()(T w, T g, T* s, const P& prox) const {
        s[0] = rho * s[0] + rest * g * g;
        const T step = length(s);
        return prox(w - step * g, step);
    }
    SL_FN T length(const T* s) const { return scaled_length(rate, s[0], eps); }
};

// Constants of the Adam family: beta1, beta2, eps; bias corrections of step t.
template <class T>
struct AdamTerms {
    T rate, beta1, rest1, beta2, rest2, eps, correct1, correct2;
    SL_FN explicit AdamTerms(const Moment& m)
        : rate(T(m.rate)), beta1(T(m.params[0])), rest1(T(1.0 - m.params[0])), beta2(T(m.params[1])),
          rest2(T(1.0 - m.params[1])), eps(T(m.params[2])), correct1(T(1.0 / (1.0 - m.power1))),
          correct2(T(1.0 / (1.0 - m.power2))) {}
    SL_FN void moments(T g, T* s) const {
        s[0] = beta1 * s[0] + rest1 * g;
        s[1] = beta2 * s[1] + rest2 * g * g;
    }
    SL_FN T length_of(T second) const { return scaled_length(rate, second * correct2, eps); }
};

template <class T>
struct Adam : AdamTerms<T> {
    enum { STATES = 2, DECOUPLED = 0, CUMULATIVE = 0, IMPLICIT = 0, POWER0 = 1, POWER1 = 2, POWER2 = 0 };
    SL_FN explicit Adam(const Moment& m) : AdamTerms<T>(m) {}
    template <class P>
    SL_FN T operator()(T w, T g, T* s, const P& prox) const {
        this->moments(g, s);
        const T step = this->length_of(s[1]);
        return prox(w - step * (s[0] * this->correct1), step);
    }
    SL_FN T length(const T* s) const { return this->length_of(s[1]); }
};

template <class T>
struct AMSGrad : AdamTerms<T> {
    enum { STATES = 3, DECOUPLED = 0, CUMULATIVE = 0, IMPLICIT = 0, POWER0 = 1, POWER1 = 2, POWER2 = 2 };
    SL_FN explicit AMSGrad(const Moment& m) : AdamTerms<T>(m) {}
    template <class P>
    SL_FN T operator()(T w, T g, T* s, const P& prox) const {
        this->moments(g, s);
        s[2] = s[2] > s[1] ? s[2] : s[1];
        const T step = this->length_of(s[2]);
        return prox(w - step * (s[0] * this->correct1), step);
    }
    SL_FN T length(const T* s) const { return this->length_of(s[2]); }
};

template <class T>
struct AdamW : AdamTerms<T> {
    enum { STATES = 2, DECOUPLED = 1, CUMULATIVE = 0, IMPLICIT = 0, POWER0 = 1, POWER1 = 2, POWER2 = 0 };
    T kept;
    SL_FN explicit AdamW(const Moment& m) : AdamTerms<T>(m), kept(T(1.0 - m.rate * m.l2)) {}
    template <class P>
    SL_FN T operator()(T w, T g, T* s, const P& prox) const {
        this->moments(g, s);
        const T step = this->length_of(s[1]);
        return prox(kept * w - step * (s[0] * this->correct1), step);
    }
    SL_FN T length(const T* s) const { return this->length_of(s[1]); }
};

template <class T>
struct NAdam : AdamTerms<T> {
    enum { STATES = 2, DECOUPLED = 0, CUMULATIVE = 0, IMPLICIT = 0, POWER0 = 1, POWER1 = 2, POWER2 = 0 };
    T ahead;  // bias correction of the first moment one step on
    SL_FN explicit NAdam(const Moment& m)
        : AdamTerms<T>(m), ahead(T(1.0 / (1.0 - m.power1 * m.params[0]))) {}
    template <class P>
    SL_FN T operator()(T w, T g, T* s, const P& prox) const {
        this->moments(g, s);
        const T step = this->length_of(s[1]);
        const T first = this->beta1 * (s[0] * this->ahead) + this->rest1 * (g * this->correct1);
        return prox(w - step * first, step);
    }
    SL_FN T length(const T* s) const { return this->length_of(s[1]); }
};

// The proximal operator of a coordinate, of that of its weight.
template <class T>
SL_FN Prox<T> scaled_prox(const Prox<T>& p) {
    return {p.l1 * p.unit, p.low / p.unit, p.high / p.unit, p.unit};
}
// A weight's step: w and g, without the penalty, are those of the weight; `prox` and `state` are the coordinate's.
template <class T, class O, class P>
SL_FN T scaled_step(const O& optimizer, const Moment& m, T w, T g, T* state, const P& prox) {
    const T l2 = T(O::DECOUPLED || O::IMPLICIT ? 0.0 : m.l2);
    return optimizer(w / prox.unit, prox.unit * (g + l2 * w), state, prox) * prox.unit;
}

// The step of variance-reduced methods: `mean` is the mean over all samples of the gradients that are remembered, g the
// batch's mean change to them. Of sparse rows, the terms that all samples have in common count for a feature as often as
// the batch's rows have it, over how often that is expected: `share` (Pedregosa, Leblond & Lacoste-Julien, 2017).
// `prox` is the weight's.
template <class T, class P>
SL_FN T reduced_step(const Moment& m, double w, double g, double mean, double share, const P& prox) {
    const double length = m.rate * double(prox.unit) * double(prox.unit);
    return prox(T(w - length * (g + share * (mean + m.l2 * w))), T(length * share));
}

// One step that a weight missed: the penalty alone moves it. `state` is the coordinate's.
template <class O, class T>
SL_FN Shrinkage<double> missed_step(const O& optimizer, const T* state, const Moment& m, double l1, double unit) {
    const double length = double(optimizer.length(state)) * unit * unit;
    const double decay = (O::DECOUPLED ? m.rate : length) * m.l2;
    if constexpr (O::IMPLICIT) return {1.0 / (1.0 + decay), length * l1 / (1.0 + decay)};
    return {decay > 1.0 ? 0.0 : 1.0 - decay, O::CUMULATIVE ? 0.0 : length * l1};
}

// A weight that has received the penalty of the steps that it missed, `to`: what is left to do is the cumulative
// penalty, whose `state` it updates, and the bounds.
template <class O, class T>
SL_FN T caught_up(const O& optimizer, T to, T* state, const Prox<T>& prox) {
    if constexpr (O::CUMULATIVE) to = optimizer.penalised(to / prox.unit, state, prox.unit) * prox.unit;
    return clamp_(to, prox.low, prox.high);
}

// The gradient's factor, so that its norm is at most `most`.
SL_FN double clipping(double norm, double most) { return norm > most ? most / norm : 1.0; }

// The share of step t's weights in the averages that begin with step `from` (0: never); 0: none. With a power the weights
// of a step count about as its number to that power: Shamir and Zhang (2013), section 4.
SL_FN double average_share(double t, double from, double power) {
    return 0.0 < from && from <= t ? (power + 1.0) / (t - from + 1.0 + power) : 0.0;
}

// Averages of weights are (average + a * w) / b, so that a weight that a step leaves alone costs nothing: Bottou,
// Stochastic Gradient Descent Tricks (2012), section 5.3.
struct Averaging {
    double a, b;
    SL_FN void take(double share) {
        if (share == 0.0) return;
        if (share < 1.0) b /= 1.0 - share;
        a += share * b;
    }
};

// Every optimizer that steps coordinate by coordinate: SL_OPTIMIZER_LIST(X) calls X(struct).
#define SL_OPTIMIZER_LIST(X) \
    X(SGD)                   \
    X(CumulativeSGD)         \
    X(Momentum)              \
    X(Nesterov)              \
    X(AdaGrad)               \
    X(ImplicitAdaGrad)       \
    X(RMSProp)               \
    X(Adam)                  \
    X(AMSGrad)               \
    X(AdamW)                 \
    X(NAdam)

#if !SL_DEVICE
// What callers need to know of an optimizer; after the last a null name.
struct OptimizerFacts {
    const char* name;
    int states, implicit, powers[3];
};
inline const OptimizerFacts* optimizer_facts() {
#define SL_FACTS(O) {#O, O<double>::STATES, O<double>::IMPLICIT, {O<double>::POWER0, O<double>::POWER1, O<double>::POWER2}},
    static const OptimizerFacts all[] = {SL_OPTIMIZER_LIST(SL_FACTS){nullptr, 0, 0, {0, 0, 0}}};
#undef SL_FACTS
    return all;
}
#endif

}  // namespace sl

#endif
