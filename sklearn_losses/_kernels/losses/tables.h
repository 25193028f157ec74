// CPU only: the kernels of every loss, by its kind: its position in the list.
#ifndef SKLEARN_LOSSES_TABLES_H
#define SKLEARN_LOSSES_TABLES_H

#include "losses/pointwise.h"
#include "losses/rowwise.h"
#include "simd/lanes.h"
#include "simd/level.h"

namespace sl {

// -------------------------------------------------------------------------------------------------- pointwise blocks

// VALUE | GRADIENT | HESSIAN together are made of two calls.
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
enum { TILE_ROWS = 16 };

template <class T>
using TileSignature = void(const double*, const Tile<T>*, Index);
template <class T>
using TileFunction = TileSignature<T>*;

// The first `rows` rows of a tile; more are computed, up to a whole register.
template <template <class> class Loss, class T, int OUT, bool SOFT>
struct Tiles {
    template <int BYTES>
    struct Body {
        static SL_FN void run(const double* params, const Tile<T>* whole, Index rows) {
            using V = Pack<T, BYTES>;
            const Tile<T> t = *whole;
            const Loss<V> loss(params, t.n_classes);
            for (Index r = 0; r < rows; r += Index(V::N)) {
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
};
template <template <class> class Loss, class T, int OUT, bool SOFT>
TileFunction<T> tile_at(int level) {
    return by_width<Tiles<Loss, T, OUT, SOFT>::template Body, TileSignature<T>>(level);
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
        case VALUE: return tile_for<Loss, T, VALUE>(soft, level);
        case GRADIENT: return tile_for<Loss, T, GRADIENT>(soft, level);
        case VALUE | GRADIENT: return tile_for<Loss, T, VALUE | GRADIENT>(soft, level);
        case GRADIENT | HESSIAN: return tile_for<Loss, T, GRADIENT | HESSIAN>(soft, level);
        default:
            if constexpr (Loss<T>::soft && Loss<T>::probabilities)
                return tile_for<Loss, T, GRADIENT | PROBABILITY>(soft, level);
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
        Loss<double>::template run<VALUE | GRADIENT, SOFT>(loss, *row);
    }
};
template <template <class> class Loss>
RowFunction row_of(bool soft, int level) {
    const int no_wider = level < 1 ? level : 1;
    if constexpr (Loss<double>::soft)
        if (soft) return Cloned<RowBody<Loss, true>, RowSignature>::at(no_wider);
    return soft ? nullptr : Cloned<RowBody<Loss, false>, RowSignature>::at(no_wider);
}

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

// What evaluates arrays.
template <class T>
void evaluate_block(int kind, int outputs, int level, const double* params, Index n, const T* y, const T* raw, T* value,
                    T* gradient, T* hessian) {
    pointwise_block<T>(kind, outputs, level)(params, n, y, raw, value, gradient, hessian);
}
template <class T>
void evaluate_tile(int kind, int outputs, bool soft, int level, const double* params, const Tile<T>* tile, Index rows) {
    rowwise_tile<T>(kind, outputs, soft, level)(params, tile, rows);
}
// Whether a row-wise loss takes such targets, and gives such outputs for them.
template <class T>
bool has_tile(int kind, int outputs, bool soft) { return rowwise_tile<T>(kind, outputs, soft, 0) != nullptr; }

#undef SL_NAME
#undef SL_ENTRY
#undef SL_POINT
#undef SL_TILE
#undef SL_ROW

}  // namespace sl

#endif
