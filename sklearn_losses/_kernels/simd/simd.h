// CPU only: serial loops over a block, compiled once for each instruction set and chosen when the module is loaded.
//
// Each clone is an ordinary function with a `target` attribute around an always_inline body: unlike target_clones this
// needs no ifunc (so it works with clang, musl, and under AddressSanitizer), and a test can run every level that the
// machine has. Elsewhere than on x86-64 with GCC or clang there is the baseline alone.
#ifndef SKLEARN_LOSSES_SIMD_H
#define SKLEARN_LOSSES_SIMD_H

#include <cstddef>

#include "math/common.h"
#include "simd/lanes.h"
#include "losses/pointwise.h"
#include "losses/rowwise.h"

#if defined(__GNUC__) && defined(__x86_64__)
#define SL_LEVELS 3
#define SL_TARGET_V3 __attribute__((target("avx2,fma,bmi,bmi2")))
#define SL_WIDE "avx512f,avx512dq,avx512vl,avx512bw,avx512cd,avx2,fma,bmi,bmi2"
#if defined(__clang__)
#define SL_TARGET_V4 __attribute__((target(SL_WIDE)))
#else
// GCC's generic tuning may stop at 256 bits.
#define SL_TARGET_V4 __attribute__((target(SL_WIDE ",prefer-vector-width=512")))
#endif
#else
#define SL_LEVELS 1
#endif

// Before a loop over elements that are independent of each other. Without it GCC tests whether the arrays lie too close
// together for vectors, and has a second loop for that case, in which it may contract a * b - c * d the other way round:
// the bits would depend on the addresses.
#if defined(__clang__)
// It takes the pragma for a command, and warns where vectors would not pay, or the level of optimisation is low.
#pragma clang diagnostic ignored "-Wpass-failed"
#define SL_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define SL_INDEPENDENT _Pragma("GCC ivdep")
#else
#define SL_INDEPENDENT
#endif

namespace sl {

inline int detected_level() {
#if SL_LEVELS > 1
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
          __builtin_cpu_supports("bmi2")))
        return 0;
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd");
    return wide ? 2 : 1;
#else
    return 0;
#endif
}

// Clones of Body::run, a static always_inline function: Cloned<Body>::at(level) is a plain function pointer.
template <class Body, class Signature>
struct Cloned;
template <class Body, class... A>
struct Cloned<Body, void(A...)> {
    using Function = void (*)(A...);
    static void base(A... a) { Body::run(a...); }
#if SL_LEVELS > 1
    SL_TARGET_V3 static void v3(A... a) { Body::run(a...); }
    SL_TARGET_V4 static void v4(A... a) { Body::run(a...); }
#endif
    static constexpr Function at(int level) {
#if SL_LEVELS > 1
        if (level == 2) return &v4;
        if (level == 1) return &v3;
#endif
        return (void)level, &base;
    }
};

// One register of T: with GCC and clang a vector type, since left to find the vectors themselves they keep some of the
// partial sums below in memory. Elsewhere it is one number. What is written with operators serves both.
template <class T, int BYTES>
struct Pack {
#if defined(__GNUC__)
    enum { N = BYTES / sizeof(T) };
    typedef T Value __attribute__((vector_size(BYTES)));
    typedef typename Format<T>::Int Mask __attribute__((vector_size(BYTES)));  // of a comparison: -1 or 0
    typedef T Unaligned __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    static SL_FN Value load(const T* x) { return *reinterpret_cast<const Unaligned*>(x); }
    static SL_FN void store(T* x, const Value& v) { *reinterpret_cast<Unaligned*>(x) = v; }
    static SL_FN Value masked(const Value& v, const Mask& m) { return Value(Mask(v) & m); }
    template <class I>
    static SL_FN Value gather(const T* x, const I* at) {
        Value v = {};
        for (int k = 0; k < N; ++k) v[k] = x[at[k]];
        return v;
    }
    template <class I>
    static SL_FN void scatter(T* x, const I* at, const Value& v) {
        for (int k = 0; k < N; ++k) x[at[k]] = v[k];
    }
    static SL_FN double sum(const Value& v) {
        if constexpr (BYTES > 16) {
            typename Pack<T, BYTES / 2>::Value low, high;
            std::memcpy(&low, &v, BYTES / 2);
            std::memcpy(&high, reinterpret_cast<const char*>(&v) + BYTES / 2, BYTES / 2);
            return Pack<T, BYTES / 2>::sum(low + high);
        } else if constexpr (N == 4) {
            return double((v[0] + v[2]) + (v[1] + v[3]));
        } else {
            return double(v[0] + v[1]);
        }
    }
#else
    enum { N = 1 };
    using Value = T;
    using Mask = typename Format<T>::Int;
    static SL_FN Value load(const T* x) { return *x; }
    static SL_FN void store(T* x, Value v) { *x = v; }
    static SL_FN Value masked(Value v, Mask m) { return m ? v : T(0); }
    template <class I>
    static SL_FN Value gather(const T* x, const I* at) { return x[*at]; }
    template <class I>
    static SL_FN void scatter(T* x, const I* at, Value v) { x[*at] = v; }
    static SL_FN double sum(Value v) { return double(v); }
#endif
};

// -------------------------------------------------------------------------------------------------- pointwise blocks

// Which outputs a block writes. VALUE | GRADIENT | HESSIAN together are made of two calls.
enum Outputs { VALUE = 1, GRADIENT = 2, HESSIAN = 4 };

template <class T>
using BlockSignature = void(const double*, Index, const T*, const T*, T*, T*, T*);
template <class T>
using Block = BlockSignature<T>*;

template <template <class> class Loss, class T, int OUT>
struct BlockBody {
    static SL_FN void run(const double* params, Index n, const T* __restrict y, const T* __restrict raw,
                          T* __restrict value, T* __restrict gradient, T* __restrict hessian) {
        const Loss<T> loss(params);
        for (Index i = 0; i < n; ++i) {
            const Out<T> o = loss(y[i], raw[i]);
            if constexpr ((OUT & VALUE) != 0) value[i] = o.value;
            if constexpr ((OUT & GRADIENT) != 0) gradient[i] = o.gradient;
            if constexpr ((OUT & HESSIAN) != 0) hessian[i] = o.hessian;
        }
    }
};

template <template <class> class Loss, class T>
Block<T> block_of(int outputs, int level) {
    switch (outputs) {
        case VALUE: return Cloned<BlockBody<Loss, T, VALUE>, BlockSignature<T>>::at(level);
        case GRADIENT: return Cloned<BlockBody<Loss, T, GRADIENT>, BlockSignature<T>>::at(level);
        case VALUE | GRADIENT: return Cloned<BlockBody<Loss, T, VALUE | GRADIENT>, BlockSignature<T>>::at(level);
        default: return Cloned<BlockBody<Loss, T, GRADIENT | HESSIAN>, BlockSignature<T>>::at(level);
    }
}

// What the solvers call: blocks of samples, in double.
using LossBlock = Block<double>;

// One sample, in double: what a stochastic step of one sample calls.
using PointSignature = void(const double* params, double y, double raw, double* value, double* gradient);
using Point = PointSignature*;
template <template <class> class Loss>
struct PointBody {
    static SL_FN void run(const double* params, double y, double raw, double* value, double* gradient) {
        // A register of the same sample: vectorised, the formula has no branches that a processor could mispredict.
        using P = Pack<double, 16>;
        const Loss<double> loss(params);
        double y_[P::N], raw_[P::N], value_[P::N], gradient_[P::N];
        P::store(y_, y - P::Value{});
        P::store(raw_, raw - P::Value{});
        for (int i = 0; i < P::N; ++i) {
            const Out<double> o = loss(y_[i], raw_[i]);
            value_[i] = o.value;
            gradient_[i] = o.gradient;
        }
        *value = value_[0];
        *gradient = gradient_[0];
    }
};
// What calls a user's function calls it once.
template <>
struct PointBody<CompiledLoss> {
    static SL_FN void run(const double* params, double y, double raw, double* value, double* gradient) {
        const Out<double> o = CompiledLoss<double>(params)(y, raw);
        *value = o.value;
        *gradient = o.gradient;
    }
};
// Cloned for the fused multiply-add, which halves the latency of its polynomials; wider registers are of no use to it.
template <template <class> class Loss>
Point point_of(int level) {
    return Cloned<PointBody<Loss>, PointSignature>::at(level < 1 ? level : 1);
}

// ---------------------------------------------------------------------------------------------------- row-wise tiles

// Rows of a tile come in multiples of this: a register of float at the widest level.
enum { LANES = 16 };

template <class T>
using TileSignature = void(const double*, const Tile<T>*, Index);
template <class T>
using TileFunction = TileSignature<T>*;

// The first `rows` rows of a tile; more are computed, up to a whole register.
template <template <class> class Loss, class T, int OUT, bool SOFT, int BYTES>
struct TileBody {
    static SL_FN void run(const double* params, const Tile<T>* whole, Index rows) {
        using V = Lanes<T, BYTES>;
        const Tile<T> t = *whole;
        const Loss<V> loss(params, t.n_classes);
        for (Index r = 0; r < rows; r += Index(Register<V>::N)) {
            Tile<T> part = t;
            part.raw += r;
            part.code += SOFT ? 0 : r;
            part.target += SOFT ? r : 0;
            part.value += r;
            part.gradient += r;
            part.hessian += r;
            for (Ahead& a : part.ahead) {
                a.at += r * a.row;
                // Rows that follow each other: line by line, whatever class stands there.
                if (a.row != Index(sizeof(T))) a.step = BYTES;
            }
            Loss<V>::template run<OUT, SOFT>(loss, part);
        }
    }
};
template <template <class> class Loss, class T, int OUT, bool SOFT>
TileFunction<T> tile_at(int level) {
#if SL_LEVELS > 1
    if (level == 2) return &Cloned<TileBody<Loss, T, OUT, SOFT, 64>, TileSignature<T>>::v4;
    if (level == 1) return &Cloned<TileBody<Loss, T, OUT, SOFT, 32>, TileSignature<T>>::v3;
#endif
    return (void)level, &Cloned<TileBody<Loss, T, OUT, SOFT, 16>, TileSignature<T>>::base;
}
template <template <class> class Loss, class T, int OUT>
TileFunction<T> tile_for(bool soft, int level) {
    if constexpr (Loss<T>::soft)
        if (soft) return tile_at<Loss, T, OUT, true>(level);
    return soft ? nullptr : tile_at<Loss, T, OUT, false>(level);
}
// Null where the loss takes class codes alone, or gives no probabilities.
template <template <class> class Loss, class T>
TileFunction<T> tile_of(int outputs, bool soft, int level) {
    switch (outputs) {
        case ROW_VALUE: return tile_for<Loss, T, ROW_VALUE>(soft, level);
        case ROW_GRADIENT: return tile_for<Loss, T, ROW_GRADIENT>(soft, level);
        case ROW_VALUE | ROW_GRADIENT: return tile_for<Loss, T, ROW_VALUE | ROW_GRADIENT>(soft, level);
        case ROW_GRADIENT | ROW_HESSIAN: return tile_for<Loss, T, ROW_GRADIENT | ROW_HESSIAN>(soft, level);
        default:
            if constexpr (Loss<T>::soft) return tile_for<Loss, T, ROW_GRADIENT | ROW_PROBABILITY>(soft, level);
            return nullptr;
    }
}

// One row, in double, where it stands: what a stochastic step of one sample calls.
using RowSignature = void(const double*, const Tile<double>*);
using RowFunction = RowSignature*;
template <template <class> class Loss, bool SOFT>
struct RowBody {
    static SL_FN void run(const double* params, const Tile<double>* row) {
        const Loss<double> loss(params, row->n_classes);
        Loss<double>::template run<ROW_VALUE | ROW_GRADIENT, SOFT>(loss, *row);
    }
};
template <template <class> class Loss>
RowFunction row_of(bool soft, int level) {
    const int no_wider = level < 1 ? level : 1;
    if constexpr (Loss<double>::soft)
        if (soft) return Cloned<RowBody<Loss, true>, RowSignature>::at(no_wider);
    return soft ? nullptr : Cloned<RowBody<Loss, false>, RowSignature>::at(no_wider);
}

// Rows of a C-order array into a tile, element (k, r) at [k * tile_stride + r], and back.
template <class T>
using TurnSignature = void(T* tile, Index tile_stride, T* rows, Index row_stride, Index n_rows, Index n_classes);
template <class T>
using Turn = TurnSignature<T>*;

template <class T, bool INTO_TILE>
Turn<T> turn_at(int level) {
#if SL_LEVELS > 1
    if (level == 2) return &Cloned<TurnBody<T, 64, INTO_TILE>, TurnSignature<T>>::v4;
    if (level == 1) return &Cloned<TurnBody<T, 32, INTO_TILE>, TurnSignature<T>>::v3;
#endif
    return (void)level, &Cloned<TurnBody<T, 16, INTO_TILE>, TurnSignature<T>>::base;
}
template <class T>
Turn<T> rows_to_tile(int level) { return turn_at<T, true>(level); }
template <class T>
Turn<T> tile_to_rows(int level) { return turn_at<T, false>(level); }

// ------------------------------------------------------------------------------------------------------- the tables

#define SL_NAME(L) #L,
#define SL_ENTRY(L) &block_of<L, T>,
#define SL_POINT(L) &point_of<L>,
#define SL_TILE(L) &tile_of<L, T>,
#define SL_ROW(L) &row_of<L>,

inline const char** pointwise_names() {
    static const char* names[] = {SL_POINTWISE_LIST(SL_NAME) SL_POINTWISE_HOST_LIST(SL_NAME) nullptr};
    return names;
}
inline const char** rowwise_names() {
    static const char* names[] = {SL_ROWWISE_LIST(SL_NAME) nullptr};
    return names;
}
// Templates, so that only the module that asks for the tables compiles the kernels.
template <class T>
Block<T> pointwise_block(int kind, int outputs, int level) {
    using Chooser = Block<T> (*)(int, int);
    static const Chooser table[] = {SL_POINTWISE_LIST(SL_ENTRY) SL_POINTWISE_HOST_LIST(SL_ENTRY)};
    return table[kind](outputs, level);
}
template <class Unused = void>
Point pointwise_point(int kind, int level) {
    using Chooser = Point (*)(int);
    static const Chooser table[] = {SL_POINTWISE_LIST(SL_POINT) SL_POINTWISE_HOST_LIST(SL_POINT)};
    return table[kind](level);
}
template <class T>
TileFunction<T> rowwise_tile(int kind, int outputs, bool soft, int level) {
    using Chooser = TileFunction<T> (*)(int, bool, int);
    static const Chooser table[] = {SL_ROWWISE_LIST(SL_TILE)};
    return table[kind](outputs, soft, level);
}
template <class Unused = void>
RowFunction rowwise_row(int kind, bool soft, int level) {
    using Chooser = RowFunction (*)(bool, int);
    static const Chooser table[] = {SL_ROWWISE_LIST(SL_ROW)};
    return table[kind](soft, level);
}

#undef SL_NAME
#undef SL_ENTRY
#undef SL_POINT
#undef SL_TILE
#undef SL_ROW

// ------------------------------------------------------------------------------------------------- block arithmetic

// Strided or converted input, made a contiguous block of T.
template <class T, class S>
inline void gather(T* __restrict to, const S* from, Index stride, Index n) {
    for (Index i = 0; i < n; ++i) to[i] = T(from[i * stride]);
}
template <class T, class S>
inline void scatter(S* to, Index stride, const T* __restrict from, Index n) {
    for (Index i = 0; i < n; ++i) to[i * stride] = S(from[i]);
}
template <class T>
inline void multiply(T* __restrict x, const T* __restrict by, Index n) {
    for (Index i = 0; i < n; ++i) x[i] = mul0(by[i], x[i]);
}
// Ask for memory that is needed soon: shuffled rows come in no order that a processor could foresee. Always inlined: GCC
// takes a function that only prefetches for one without effect, and drops calls of it.
SL_FN void prefetch(const void* at) {
#if defined(__GNUC__)
    __builtin_prefetch(at);
#else
    (void)at;
#endif
}
SL_FN void prefetch(const void* at, Index bytes) {
    const char* line = static_cast<const char*>(at);
    for (Index i = 0; i < bytes && i < 2048; i += 64) prefetch(line + i);
    prefetch(line + (bytes > 0 ? bytes - 1 : 0));
}
// In double and in a fixed order: four partial sums hide the latency of the addition.
template <class T>
inline double sum(const T* x, Index n) {
    double s[4] = {0, 0, 0, 0};
    Index i = 0;
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; ++j) s[j] += double(x[i + j]);
    for (; i < n; ++i) s[i % 4] += double(x[i]);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

// ---------------------------------------------------------------------------------------------------- vectors, dense

template <class T>
SL_FN double dot_tail(const T* x, const T* w, Index n) {
    double a = 0, b = 0;
    Index i = 0;
    for (; i + 2 <= n; i += 2) {
        a += double(x[i]) * double(w[i]);
        b += double(x[i + 1]) * double(w[i + 1]);
    }
    if (i < n) a += double(x[i]) * double(w[i]);
    return a + b;
}
// Several packs of partial sums hide the latency of a fused multiply-add.
template <class T, int BYTES>
struct DotBody {
    static SL_FN void run(const T* __restrict x, const T* __restrict w, Index n, double* out) {
        using P = Pack<T, BYTES>;
        double total = 0;
        Index i = 0;
        if (n >= P::N) {
            typename P::Value p[4] = {};
            for (; i + 4 * P::N <= n; i += 4 * P::N)
                for (int k = 0; k < 4; ++k) p[k] += P::load(x + i + k * P::N) * P::load(w + i + k * P::N);
            for (; i + P::N <= n; i += P::N) p[0] += P::load(x + i) * P::load(w + i);
            total = P::sum((p[0] + p[2]) + (p[1] + p[3]));
        }
        if constexpr (BYTES > 16) {
            using Half = Pack<T, BYTES / 2>;
            if (n - i >= Half::N) {
                total += Half::sum(Half::load(x + i) * Half::load(w + i));
                i += Half::N;
            }
        }
        *out = total + dot_tail(x + i, w + i, n - i);
    }
};
// w += a * x.
template <class T>
struct AxpyBody {
    static SL_FN void run(T a, const T* __restrict x, T* __restrict w, Index n) {
        for (Index i = 0; i < n; ++i) w[i] += a * x[i];
    }
};
template <class T>
using Dot = void (*)(const T*, const T*, Index, double*);
template <class T>
using Axpy = void (*)(T, const T*, T*, Index);
// A clone whose registers have the level's own width.
template <template <class, int> class Body, class T, class Signature>
Signature* by_width(int level) {
#if SL_LEVELS > 1
    if (level == 2) return &Cloned<Body<T, 64>, Signature>::v4;
    if (level == 1) return &Cloned<Body<T, 32>, Signature>::v3;
#endif
    return (void)level, &Cloned<Body<T, 16>, Signature>::base;
}
template <class T>
using DotSignature = void(const T*, const T*, Index, double*);
template <class T>
Dot<T> dot_at(int level) { return by_width<DotBody, T, DotSignature<T>>(level); }
template <class T>
Axpy<T> axpy_at(int level) { return Cloned<AxpyBody<T>, void(T, const T*, T*, Index)>::at(level); }

}  // namespace sl

#endif
