// Every row-wise loss: a row of K raw predictions in; a value, K gradients and K diagonal hessian entries out.
//
// Targets are class codes, or (SOFT) rows of probabilities. A code that is not one of 0 ... K - 1 gives NaN: no loss is silently computed for it.
#ifndef SKLEARN_LOSSES_ROWWISE_H
#define SKLEARN_LOSSES_ROWWISE_H

#include "losses/adaptive.h"
#include "losses/amounts.h"
#include "losses/counts.h"
#include "losses/heads.h"
#include "losses/ordinal.h"
#include "losses/survival.h"
#include "losses/tweedie.h"

namespace sl {

// What the passes over a tile know of each row: the sum of exp(z - max z) but for the largest, and what follows from
// it.
template <class V>
struct Softmax {
    V code, rest, inverse, mass, fault, value;
    // (1 - p) / inverse from e = exp(z - max z), in terms that do not cancel: the largest has e = 1, every other one is
    // part of the rest.
    SL_FN V others(V e) const { return (Real<V>(1) - e) + rest; }
};

// The softmax family. `loss` says how raw predictions become logits, what the target is and what is added to the value.
template <class V, int OUT, bool SOFT, class Loss>
SL_FN void softmax_tile(const Loss& loss, const Tile<Real<V>>& t) {
    using T = Real<V>;
    constexpr bool valued = (OUT & VALUE) != 0 || Loss::uses_value;
    const int K = t.n_classes;
    Softmax<V> s;
    s.code = SOFT ? V(-1) : load<V>(t.code);
    // Pass 1: the largest logit.
    DoubleDouble<V> top = loss.logit(0, load<V>(t.raw), s.code);
    for (int k = 1; k < K; ++k) {
        const DoubleDouble<V> z = loss.logit(k, load<V>(t.raw + k * t.stride), s.code);
        if constexpr (Loss::split) top.lo = select(z.hi > top.hi, z.lo, top.lo);
        top.hi = select(z.hi > top.hi, z.hi, top.hi);
    }
    // Pass 2: the sum without its largest term, so that 1 - p keeps its digits; and the cross-entropy's linear part.
    V rest = 0, rivals = 0, mass = 0, value = 0, own = 0, sum = 0, at = 0;
    for (int k = 0; k < K; ++k, at = at + T(1)) {
        const DoubleDouble<V> z = loss.logit(k, load<V>(t.raw + k * t.stride), s.code);
        DoubleDouble<V> d = two_sum<V>(z.hi, -top.hi);
        // The largest may be infinite.
        const auto largest = z.hi == top.hi;
        d.hi = select(largest, V(0), d.hi);
        d.lo = select(largest, V(0), d.lo);
        if constexpr (Loss::split) d.lo = d.lo + select(z.hi > V(Format<T>::max), V(0), z.lo - top.lo);
        const DoubleDouble<V> x = loss.stretch(d);
        t.prefetch(k);
        // A NaN anywhere in the row reaches every output through this exponential.
        const V e = decay<V>(x);
        if constexpr (OUT != VALUE) store(t.gradient + k * t.stride, e);
        // Of several largest all but one are rivals.
        const auto rival = Loss::split ? e != V(1) : z.hi != top.hi;
        rest = add_where(rival, rest, e);
        rivals = add_where(rival, rivals, V(1));
        if constexpr (valued) {
            // A plain sum of two is rounded already. Past the limit a low part is less than rounding, and may be NaN.
            const V whole = Loss::split ? x.hi + select(x.hi > V(-Format<T>::scaled_limit), x.lo, V(0)) : x.hi;
            if constexpr (SOFT) {
                const V y = loss.target(load<V>(t.target + k * t.stride));
                value = value + (loss.entropy(y) - mul0(y, whole));
            } else {
                own = select(s.code == at, whole, own);
                sum = sum + whole;
            }
        }
        if constexpr (SOFT) mass = mass + loss.target(load<V>(t.target + k * t.stride));
    }
    s.rest = rest + (T(K - 1) - rivals);
    s.inverse = T(1) / (T(1) + s.rest);
    s.fault = 0;
    if constexpr (!SOFT) {
        const V on = loss.target(V(1)), off = loss.target(V(0));
        s.fault = code_fault<V>(s.code, K);
        mass = (on + T(K - 1) * off) + s.fault;
        value = -(on - off) * own - mul0(off, sum);
    }
    s.mass = mass;
    if constexpr (valued) s.value = value + mass * log1p_(s.rest);
    Loss::template finish<OUT, SOFT>(loss, t, s);
}

// What the members of the family share: logits as they are, and the cross-entropy's derivatives. `self` is the member.
template <class V>
struct CrossEntropy {
    using T = Real<V>;
    static constexpr bool probabilities = true;  // whether it gives them
    static constexpr bool split = false;         // whether logits have a low part
    static constexpr bool uses_value = false;    // whether the derivatives need the cross-entropy's value
    SL_FN DoubleDouble<V> logit(int, V raw, V) const { return {raw, V(0)}; }
    SL_FN DoubleDouble<V> stretch(DoubleDouble<V> difference) const { return difference; }
    SL_FN V target(V y) const { return y; }
    SL_FN V entropy(V) const { return V(0); }
    SL_FN T slope() const { return T(1); }

    template <int OUT, bool SOFT, class Self>
    static SL_FN void run(const Self& self, const Tile<T>& t) {
        softmax_tile<V, OUT, SOFT>(self, t);
    }

    // gradient_k = (mass - y_k) p_k - y_k (1 - p_k), times the slope; p_k and 1 - p_k are `inverse` times e and others.
    template <int OUT, bool SOFT, class Self>
    static SL_FN void finish(const Self& self, const Tile<T>& t, const Softmax<V>& s) {
        if constexpr ((OUT & VALUE) != 0) store(t.value, s.value);
        if constexpr (OUT != VALUE) {
            const int K = t.n_classes;
            const V on = self.target(V(1)), off = self.target(V(0));
            const V factor = self.slope() * s.inverse, bend = factor * s.mass;
            // With class codes y takes two values. A fault spoils one of the two terms, which is enough.
            const V own_e = factor * (T(K - 1) * off) + s.fault, own_rest = factor * on;
            const V other_e = factor * (on + T(K - 2) * off) + s.fault, other_rest = factor * off;
            V at = 0;
            for (int k = 0; k < K; ++k, at = at + T(1)) {
                T* gradient = t.gradient + k * t.stride;
                const V e = load<V>(gradient), others = s.others(e);
                if constexpr (SOFT) {
                    const V y = self.target(load<V>(t.target + k * t.stride));
                    store(gradient, factor * ((s.mass - y) * e - y * others));
                } else {
                    const auto mine = s.code == at;
                    store(gradient, select(mine, own_e, other_e) * e - select(mine, own_rest, other_rest) * others);
                }
                if constexpr ((OUT & HESSIAN) != 0)
                    store(t.hessian + k * t.stride, (bend * e) * (factor * others));
                if constexpr ((OUT & PROBABILITY) != 0) store(t.hessian + k * t.stride, s.inverse * e);
            }
        }
    }
};

template <class V>
struct HalfMultinomialLoss : CrossEntropy<V> {
    using T = Real<V>;
    static constexpr bool soft = true;
    T keep, floor;
    // params: label_smoothing
    SL_FN HalfMultinomialLoss(const double* a, int n_classes) : keep(T(1.0 - a[0])), floor(T(a[0] / n_classes)) {}
    SL_FN V target(V y) const { return keep * y + floor; }
};

// Menon et al. (2021), equation 10.
template <class V>
struct LogitAdjusted : CrossEntropy<V> {
    static constexpr bool soft = true, split = true;
    const double* shift;
    // params: tau * log(prior), K of them
    SL_FN LogitAdjusted(const double* a, int) : shift(a) {}
    SL_FN DoubleDouble<V> logit(int k, V raw, V) const {
        const DoubleDouble<Real<V>> s = two_from<Real<V>>(shift[k]);
        const DoubleDouble<V> z = two_sum<V>(raw, s.hi);
        return {z.hi, z.lo + s.lo};
    }
};

// Cao et al. (2019), equations 10 and 13.
template <class V>
struct LDAM : CrossEntropy<V> {
    using T = Real<V>;
    static constexpr bool soft = false, split = true;
    T scale;
    const double* margin;
    // params: scale, margin of each class
    SL_FN LDAM(const double* a, int) : scale(T(a[0])), margin(a + 1) {}
    SL_FN DoubleDouble<V> logit(int k, V raw, V code) const {
        const DoubleDouble<T> m = two_from<T>(margin[k]);
        const auto own = code == V(T(k));
        const DoubleDouble<V> z = two_sum<V>(raw, select(own, V(-m.hi), V(0)));
        return {z.hi, z.lo - select(own, V(m.lo), V(0))};
    }
    // Differences are scaled, not logits: those may overflow.
    SL_FN DoubleDouble<V> stretch(DoubleDouble<V> difference) const {
        const DoubleDouble<V> s = two_prod<V>(scale, difference.hi);
        return {s.hi, s.lo + scale * difference.lo};
    }
    SL_FN T slope() const { return scale; }
};

template <class V>
struct MulticlassKLDivergence : CrossEntropy<V> {
    static constexpr bool soft = true;
    SL_FN MulticlassKLDivergence(const double*, int) {}
    SL_FN V entropy(V y) const { return mul0(y, log_(y)); }
};

// Lin et al. (2017), with the softmax's probability of the true class.
template <class V>
struct MulticlassFocal : CrossEntropy<V> {
    using T = Real<V>;
    static constexpr bool soft = false, uses_value = true;
    T gamma;
    const double* alpha;
    // params: gamma, weight of each class
    SL_FN MulticlassFocal(const double* a, int) : gamma(T(a[0])), alpha(a + 1) {}

    // What a row's outputs are made of; `bend` is a second derivative times q, which may be small. One number at a time:
    // it is little beside the row's exponentials.
    struct Row {
        T slope, bend, weight, value;
    };
    SL_FN Row row(T l, T finite, T q, double weight) const {
        // The cross-entropy l is -log p, from which p itself keeps its digits. Where p is 0, l may be infinite.
        const T p = exp_(-l);
        // Below the normal numbers q^gamma counts as 0.
        const bool gone = q < Format<T>::tiny;
        q = gone ? Format<T>::tiny : q;
        const T w1 = gone ? T(0) : scaled_pow(T(1), q, gamma - T(1)), g1 = gamma * w1;
        const T w = gamma == T(0) ? T(1) : w1 * q;
        return {g1 * finite * p + w, g1 * (finite - T(2)) * q - g1 * (gamma - T(1)) * finite * p, T(weight),
                T(weight) * w * l};
    }

    template <int OUT, bool SOFT>
    static SL_FN void finish(const MulticlassFocal& self, const Tile<T>& t, const Softmax<V>& s) {
        enum { N = Register<V>::N };
        T l[N], finite[N], q[N], fault[N], slope[N], bend[N], weight[N];
        store(l, s.value);
        store(finite, select(s.value > V(Format<T>::huge), V(Format<T>::huge), s.value));
        store(fault, s.fault);
        V own_e = 1;
        if constexpr (OUT != VALUE) {
            V at = 0;
            for (int k = 0; k < t.n_classes; ++k, at = at + T(1))
                own_e = select(s.code == at, load<V>(t.gradient + k * t.stride), own_e);
        }
        store(q, s.others(own_e) * s.inverse);
        for (int r = 0; r < N; ++r) {
            const int c = fault[r] == T(0) ? int(t.code[r]) : 0;
            const Row row = self.row(l[r], finite[r], OUT == VALUE ? -expm1_(-l[r]) : q[r], self.alpha[c]);
            slope[r] = row.slope;
            bend[r] = row.bend;
            weight[r] = row.weight + fault[r];
            if constexpr ((OUT & VALUE) != 0) t.value[r] = row.value;
        }
        if constexpr (OUT != VALUE) {
            const V S = load<V>(slope), B = load<V>(bend), W = load<V>(weight), P = own_e * s.inverse;
            const V others = load<V>(q), other = select(others < V(Format<T>::tiny), V(Format<T>::tiny), others);
            V at = 0;
            for (int k = 0; k < t.n_classes; ++k, at = at + T(1)) {
                T* gradient = t.gradient + k * t.stride;
                const V e = load<V>(gradient), p_k = e * s.inverse, q_k = s.others(e) * s.inverse;
                const auto mine = s.code == at;
                store(gradient, W * select(mine, -S * q_k, S * p_k));
                if constexpr ((OUT & HESSIAN) != 0) {
                    const V at_own = p_k * q_k * (S - B), elsewhere = p_k * (S * q_k - B * P * (p_k / other));
                    store(t.hessian + k * t.stride, W * select(mine, at_own, elsewhere));
                }
            }
        }
    }
};

// Crammer and Singer (2001). At ties the first of the largest rivals takes the subgradient.
template <class V>
struct MulticlassHinge {
    using T = Real<V>;
    static constexpr bool soft = false, probabilities = false;
    SL_FN MulticlassHinge(const double*, int) {}
    template <int OUT, bool SOFT, class Self>
    static SL_FN void run(const Self&, const Tile<T>& t) {
        const int K = t.n_classes;
        const V code = load<V>(t.code);
        V own = 0, rival = -inf_<T>(), first = -1, fault = code_fault<V>(code, K);
        V at = 0;
        for (int k = 0; k < K; ++k, at = at + T(1)) {
            const V raw = load<V>(t.raw + k * t.stride), other = select(code == at, V(-inf_<T>()), raw);
            t.prefetch(k);
            own = select(code == at, raw, own);
            first = select(other > rival, at, first);
            rival = select(other > rival, other, rival);
            fault = fault + select(raw == raw, V(0), raw);
        }
        const DoubleDouble<V> d = two_sum<V>(rival, -own);
        const V behind = select(abs_(d.hi) < V(Format<T>::huge), d.lo, V(0)), z = (T(1) + d.hi) + behind;
        const auto active = z > V(0);
        if constexpr ((OUT & VALUE) != 0) store(t.value, select(active, z, V(0)) + fault);
        if constexpr (OUT != VALUE) {
            const V down = select(active, V(-1), V(0)), up = select(active, V(1), V(0));
            at = 0;
            for (int k = 0; k < K; ++k, at = at + T(1)) {
                const V side = select(code == at, down, V(0)) + select(first == at, up, V(0));
                store(t.gradient + k * t.stride, side + fault);
                if constexpr ((OUT & (HESSIAN | PROBABILITY)) != 0)
                    store(t.hessian + k * t.stride, T(1) + fault);
            }
        }
    }
};

// The one list. Kinds are positions in it.
#define SL_ROWWISE_LIST(X)            \
    X(HalfMultinomialLoss)            \
    X(MulticlassHinge)                \
    X(MulticlassFocal)                \
    X(LogitAdjusted)                  \
    X(LDAM)                           \
    X(MulticlassKLDivergence)         \
    X(GaussianNLL)                    \
    X(StudentTNLL)                    \
    X(GaussianCRPS)                   \
    X(LaplaceNLL)                     \
    X(GeneralRobustNLL)               \
    X(GeneralRobustNLLGiven)          \
    X(GammaNLL)                       \
    X(BetaNLL)                        \
    X(TweedieGiven)                   \
    X(TweedieFitted)                  \
    X(NegativeBinomialNLL)            \
    X(ZeroInflatedPoissonNLL)         \
    X(HurdlePoissonNLL)               \
    X(AFTLogistic)                    \
    X(AFTExtreme)                     \
    X(AFTNormal)                      \
    X(CumulativeLogit)                \
    X(CumulativeProbit)               \
    X(CumulativeCloglog)              \
    X(AllThresholdLogistic)           \
    X(AllThresholdSquaredHinge)       \
    X(AllThresholdSmoothHinge)        \
    X(ImmediateThresholdLogistic)     \
    X(ImmediateThresholdSquaredHinge) \
    X(ImmediateThresholdSmoothHinge)

}  // namespace sl

#endif
