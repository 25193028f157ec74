// Every row-wise loss: a row of K raw predictions in; a value, K gradients and K diagonal hessian entries out.
//
// A struct works on a tile of R rows at once, class by class, so that the loops over rows vectorise: element (k, r) of
// a tile stands at [k * stride + r]. On a device R is 1 and the tile is the row itself. Targets are class codes, or
// (SOFT) rows of probabilities. A code that is not one of 0 ... K - 1 gives NaN: no loss is silently computed for it.
#ifndef SKLEARN_LOSSES_ROWWISE_H
#define SKLEARN_LOSSES_ROWWISE_H

#include "common.h"

namespace sl {

// PROBABILITY goes where the hessian would go.
enum RowOutputs { ROW_VALUE = 1, ROW_GRADIENT = 2, ROW_HESSIAN = 4, ROW_PROBABILITY = 8 };

template <class T>
struct Tile {
    int n_classes;
    long stride;  // between classes, in every (K, R) array
    const T* raw;
    const T* code;    // (R,), or null
    const T* target;  // (K, R), or null
    T* value;         // (R,)
    T* gradient;      // (K, R); holds exp(z - max z) between the passes
    T* hessian;       // (K, R): the hessian's diagonal or the probabilities
};

// 0 for a valid code and NaN for any other.
template <class T>
SL_FN T code_fault(T code, int n_classes) {
    const bool inside = code >= T(0) && code < T(n_classes);
    // Rounding to whole numbers needs no library call below 2^22.
    const T whole = T(int(inside ? code : T(0)));
    return inside && whole == code ? T(0) : nan_<T>();
}

// What the passes over a tile know of each row: exp(z - max z) summed without the largest, and what follows from it.
template <class T, int R>
struct Softmax {
    T rest[R], inverse[R], mass[R], fault[R], value[R];
    int argmax[R];
    // 1 - p, from e = exp(z - max z).
    SL_FN T complement(T e, int k, int r) const {
        return (k == argmax[r] ? rest[r] : T(1) + (rest[r] - e)) * inverse[r];
    }
};

// The softmax family. `loss` says how raw predictions become logits, what the target is and what is added to the value.
template <class T, int R, int OUT, bool SOFT, class Loss>
SL_FN void softmax_tile(const Loss& loss, const Tile<T>& t) {
    const int K = t.n_classes;
    Softmax<T, R> s;
    T top[R], low[R];
    // Pass 1: the largest logit and where it stands.
    for (int r = 0; r < R; ++r) {
        const Two<T> z = loss.logit(0, t.raw[r], SOFT ? T(-1) : t.code[r]);
        top[r] = z.hi;
        low[r] = z.lo;
        s.argmax[r] = 0;
        s.fault[r] = SOFT ? T(0) : code_fault<T>(t.code[r], K);
        s.rest[r] = s.mass[r] = s.value[r] = T(0);
    }
    for (int k = 1; k < K; ++k) {
        const T* raw = t.raw + k * t.stride;
        for (int r = 0; r < R; ++r) {
            const Two<T> z = loss.logit(k, raw[r], SOFT ? T(-1) : t.code[r]);
            const bool larger = z.hi > top[r];
            top[r] = larger ? z.hi : top[r];
            low[r] = larger ? z.lo : low[r];
            s.argmax[r] = larger ? k : s.argmax[r];
        }
    }
    // Pass 2: the sum without its largest term, so that 1 - p keeps its digits; and the cross-entropy's linear part.
    for (int k = 0; k < K; ++k) {
        const T* raw = t.raw + k * t.stride;
        T* e_out = t.gradient + k * t.stride;
        for (int r = 0; r < R; ++r) {
            const Two<T> z = loss.logit(k, raw[r], SOFT ? T(-1) : t.code[r]);
            const Two<T> d = two_sum<T>(z.hi, -top[r]);
            const Two<T> x = loss.stretch({d.hi, d.lo + (z.lo - low[r])});
            // Past the limit the low part means nothing, and may be NaN.
            const T behind = abs_(x.hi) < Format<T>::huge ? x.lo : T(0);
            // A NaN anywhere in the row reaches every output through this exponential.
            const T e = decay<T>({x.hi, behind});
            s.rest[r] += k == s.argmax[r] && e == e ? T(0) : e;
            if constexpr (OUT != ROW_VALUE) e_out[r] = e;
            const T y = loss.target(SOFT ? t.target[k * t.stride + r] : (t.code[r] == T(k) ? T(1) : T(0)));
            s.mass[r] += y;
            s.value[r] -= mul0(y, x.hi + behind);
            if constexpr (SOFT) s.value[r] += loss.entropy(y);
        }
    }
    for (int r = 0; r < R; ++r) {
        s.inverse[r] = T(1) / (T(1) + s.rest[r]);
        s.value[r] = s.value[r] + s.mass[r] * log1p_(s.rest[r]) + s.fault[r];
    }
    Loss::template finish<R, OUT, SOFT>(loss, t, s);
}

// What the members of the family share: logits as they are, and the cross-entropy's derivatives. `self` is the member.
template <class T>
struct CrossEntropy {
    SL_FN Two<T> logit(int, T raw, T) const { return {raw, T(0)}; }
    SL_FN Two<T> stretch(Two<T> difference) const { return difference; }
    SL_FN T target(T y) const { return y; }
    SL_FN T entropy(T) const { return T(0); }
    SL_FN T slope() const { return T(1); }

    template <int R, int OUT, bool SOFT, class Self>
    static SL_FN void run(const Self& self, const Tile<T>& t) {
        softmax_tile<T, R, OUT, SOFT>(self, t);
    }

    template <int R, int OUT, bool SOFT, class Self>
    static SL_FN void finish(const Self& self, const Tile<T>& t, const Softmax<T, R>& s) {
        if constexpr ((OUT & ROW_VALUE) != 0)
            for (int r = 0; r < R; ++r) t.value[r] = s.value[r];
        if constexpr (OUT != ROW_VALUE) {
            const T scale = self.slope();
            for (int k = 0; k < t.n_classes; ++k) {
                T* gradient = t.gradient + k * t.stride;
                for (int r = 0; r < R; ++r) {
                    const T e = gradient[r], p = e * s.inverse[r], q = s.complement(e, k, r);
                    const T y = self.target(SOFT ? t.target[k * t.stride + r] : (t.code[r] == T(k) ? T(1) : T(0)));
                    gradient[r] = scale * ((s.mass[r] - y) * p - y * q) + s.fault[r];
                    if constexpr ((OUT & ROW_HESSIAN) != 0)
                        t.hessian[k * t.stride + r] = s.mass[r] * ((scale * p) * (scale * q)) + s.fault[r];
                    if constexpr ((OUT & ROW_PROBABILITY) != 0) t.hessian[k * t.stride + r] = p;
                }
            }
        }
    }
};

template <class T>
struct HalfMultinomialLoss : CrossEntropy<T> {
    static constexpr bool soft = true;
    T keep, floor;
    // params: label_smoothing
    SL_FN HalfMultinomialLoss(const double* a, int n_classes) : keep(T(1.0 - a[0])), floor(T(a[0] / n_classes)) {}
    SL_FN T target(T y) const { return keep * y + floor; }
};

// Menon et al. (2021), equation 10.
template <class T>
struct LogitAdjusted : CrossEntropy<T> {
    static constexpr bool soft = true;
    const double* shift;
    // params: tau * log(prior), K of them
    SL_FN LogitAdjusted(const double* a, int) : shift(a) {}
    SL_FN Two<T> logit(int k, T raw, T) const {
        const Two<T> s = two_from<T>(shift[k]), z = two_sum<T>(raw, s.hi);
        return {z.hi, z.lo + s.lo};
    }
};

// Cao et al. (2019), equations 10 and 13.
template <class T>
struct LDAM : CrossEntropy<T> {
    static constexpr bool soft = false;
    T scale;
    const double* margin;
    // params: scale, margin of each class
    SL_FN LDAM(const double* a, int) : scale(T(a[0])), margin(a + 1) {}
    SL_FN Two<T> logit(int k, T raw, T code) const {
        const Two<T> m = two_from<T>(margin[k]);
        const bool own = code == T(k);
        const Two<T> z = two_sum<T>(raw, own ? -m.hi : T(0));
        return {z.hi, z.lo - (own ? m.lo : T(0))};
    }
    // Differences are scaled, not logits: those may overflow.
    SL_FN Two<T> stretch(Two<T> difference) const {
        const Two<T> s = two_prod<T>(scale, difference.hi);
        return {s.hi, s.lo + scale * difference.lo};
    }
    SL_FN T slope() const { return scale; }
};

template <class T>
struct MulticlassKLDivergence : CrossEntropy<T> {
    static constexpr bool soft = true;
    SL_FN MulticlassKLDivergence(const double*, int) {}
    SL_FN T entropy(T y) const { return mul0(y, log_(y)); }
};

// Lin et al. (2017), with the softmax's probability of the true class.
template <class T>
struct MulticlassFocal : CrossEntropy<T> {
    static constexpr bool soft = false;
    T gamma;
    const double* alpha;
    // params: gamma, weight of each class
    SL_FN MulticlassFocal(const double* a, int) : gamma(T(a[0])), alpha(a + 1) {}

    template <int R, int OUT, bool SOFT>
    static SL_FN void finish(const MulticlassFocal& self, const Tile<T>& t, const Softmax<T, R>& s) {
        const T gamma = self.gamma;
        T own_p[R], slope[R], bend[R], weight[R];
        for (int r = 0; r < R; ++r) {
            const int c = s.fault[r] == T(0) ? int(t.code[r]) : 0;
            // The cross-entropy is -log p, from which p itself keeps its digits.
            const T l = s.value[r], p = exp_(-l);
            T q = T(0);
            if constexpr (OUT == ROW_VALUE)
                q = -expm1_(-l);
            else
                q = s.complement(t.gradient[c * t.stride + r], c, r);
            // Below the normal numbers q^gamma counts as 0.
            const bool gone = q < Format<T>::tiny;
            q = gone ? Format<T>::tiny : q;
            const T w1 = gone ? T(0) : scaled_pow(T(1), q, gamma - T(1)), g1 = gamma * w1;
            const T w = gamma == T(0) ? T(1) : w1 * q;
            weight[r] = T(self.alpha[c]);
            own_p[r] = p;
            slope[r] = g1 * l * p + w;
            bend[r] = g1 * (l - T(2)) - g1 * (gamma - T(1)) / q * l * p;
            if constexpr ((OUT & ROW_VALUE) != 0) t.value[r] = weight[r] * w * l;
        }
        if constexpr (OUT != ROW_VALUE)
            for (int k = 0; k < t.n_classes; ++k) {
                T* gradient = t.gradient + k * t.stride;
                for (int r = 0; r < R; ++r) {
                    const T e = gradient[r], p = e * s.inverse[r], q = s.complement(e, k, r);
                    const bool own = t.code[r] == T(k);
                    gradient[r] = weight[r] * (own ? -slope[r] * q : slope[r] * p) + s.fault[r];
                    if constexpr ((OUT & ROW_HESSIAN) != 0) {
                        const T at_own = p * q * (slope[r] - bend[r] * q);
                        const T elsewhere = slope[r] * p * q - bend[r] * own_p[r] * p * p;
                        t.hessian[k * t.stride + r] = weight[r] * (own ? at_own : elsewhere) + s.fault[r];
                    }
                }
            }
    }
};

// Crammer and Singer (2001). At ties the first of the largest rivals takes the subgradient.
template <class T>
struct MulticlassHinge {
    static constexpr bool soft = false;
    SL_FN MulticlassHinge(const double*, int) {}
    template <int R, int OUT, bool SOFT, class Self>
    static SL_FN void run(const Self&, const Tile<T>& t) {
        const int K = t.n_classes;
        T own[R], rival[R], fault[R];
        int at[R];
        for (int r = 0; r < R; ++r) {
            own[r] = T(0);
            rival[r] = -inf_<T>();
            at[r] = -1;
            fault[r] = code_fault<T>(t.code[r], K);
        }
        for (int k = 0; k < K; ++k)
            for (int r = 0; r < R; ++r) {
                const T raw = t.raw[k * t.stride + r];
                const bool mine = t.code[r] == T(k), larger = !mine && raw > rival[r];
                own[r] = mine ? raw : own[r];
                rival[r] = larger ? raw : rival[r];
                at[r] = larger ? k : at[r];
                fault[r] += raw == raw ? T(0) : raw;
            }
        for (int r = 0; r < R; ++r) {
            const Two<T> d = two_sum<T>(rival[r], -own[r]);
            const T behind = abs_(d.hi) < Format<T>::huge ? d.lo : T(0);
            const T z = (T(1) + d.hi) + behind;
            own[r] = z > T(0) ? z : T(0);
            if constexpr ((OUT & ROW_VALUE) != 0) t.value[r] = own[r] + fault[r];
        }
        if constexpr (OUT != ROW_VALUE)
            for (int k = 0; k < K; ++k)
                for (int r = 0; r < R; ++r) {
                    const T active = own[r] > T(0) ? T(1) : T(0);
                    const T side = t.code[r] == T(k) ? T(-1) : (k == at[r] ? T(1) : T(0));
                    t.gradient[k * t.stride + r] = active * side + fault[r];
                    if constexpr ((OUT & (ROW_HESSIAN | ROW_PROBABILITY)) != 0)
                        t.hessian[k * t.stride + r] = T(1) + fault[r];
                }
    }
};

// The one list. Kinds are positions in it.
#define SL_ROWWISE_LIST(X)  \
    X(HalfMultinomialLoss)  \
    X(MulticlassHinge)      \
    X(MulticlassFocal)      \
    X(LogitAdjusted)        \
    X(LDAM)                 \
    X(MulticlassKLDivergence)

}  // namespace sl

#endif
