// Rows of raw predictions as row-wise losses take them.
//
// A struct works on as many rows at once as `V` holds numbers, class by class: element (k, r) of a tile stands at
// [k * stride + r]. On a device V is one number, and the tile may be the row itself.
#ifndef SKLEARN_LOSSES_TILE_H
#define SKLEARN_LOSSES_TILE_H

#include "losses/outputs.h"
#include "math/twofold.h"

namespace sl {

// Memory that is needed next, or null: the bytes from a row to the next, and from a piece to the next.
struct Ahead {
    const char* at;
    long row, step;
};

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
    Ahead ahead[3];
    // A piece a class, so that the requests spread over the computation: all at once they would wait for each other.
    SL_FN void prefetch(int k) const {
#if defined(__GNUC__) && !SL_DEVICE
        for (const Ahead& a : ahead)
            if (a.at) __builtin_prefetch(a.at + k * a.step);
#else
        (void)k;
#endif
    }
};

// 0 for a valid code and NaN for any other.
template <class V>
SL_FN V code_fault(V code, int n_classes) {
    using T = Real<V>;
    // From 1 / eps on every number is whole; below, adding it rounds to a whole number.
    const V big = T(1) / Format<T>::eps, whole = select(code < big, (code + big) - big, code);
    // A sum: compilers turn nested selections of registers into scalar code.
    const V nan = nan_<T>();
    return (select(whole == code, V(0), nan) + select(code >= V(0), V(0), nan)) +
           select(code < V(T(n_classes)), V(0), nan);
}

}  // namespace sl

#endif
