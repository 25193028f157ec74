// CPU only: a register of numbers, and the way of rows into registers and back.
//
// Everything is written with the vector extensions of GCC and clang and inlined into a clone (simd.h), which says what
// instructions it becomes. Other compilers get one number at a time, and plain loops.
#ifndef SKLEARN_LOSSES_LANES_H
#define SKLEARN_LOSSES_LANES_H

#include <cstddef>
#include <utility>

#include "math/common.h"

namespace sl {

using Index = std::ptrdiff_t;

#if defined(__GNUC__)
// A register of numbers, with which a formula computes as with one. A vector type: left to find the vectors themselves,
// compilers keep the sums of the passes over a row in memory, or give the vectors up.
template <class T, int BYTES>
struct Lanes {
    typedef T Value __attribute__((vector_size(BYTES)));
    typedef typename Format<T>::Int Truth __attribute__((vector_size(BYTES)));
    typedef T Unaligned __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    Value v;
    struct Mask {
        Truth m;
    };
    Lanes() = default;
    // In all lanes. GCC takes an initialiser list, and a sum with zero that folds, apart into lanes; -0 becomes 0.
    SL_FN Lanes(T x) : v(Value{} + x) {}
    explicit SL_FN Lanes(int x) : Lanes(T(x)) {}
    static SL_FN Lanes of(Value v) {
        Lanes x;
        x.v = v;
        return x;
    }
    friend SL_FN Lanes operator+(Lanes a, Lanes b) { return of(a.v + b.v); }
    friend SL_FN Lanes operator-(Lanes a, Lanes b) { return of(a.v - b.v); }
    friend SL_FN Lanes operator*(Lanes a, Lanes b) { return of(a.v * b.v); }
    friend SL_FN Lanes operator/(Lanes a, Lanes b) { return of(a.v / b.v); }
    friend SL_FN Lanes operator-(Lanes a) { return of(-a.v); }
    friend SL_FN Mask operator<(Lanes a, Lanes b) { return {a.v < b.v}; }
    friend SL_FN Mask operator>(Lanes a, Lanes b) { return {a.v > b.v}; }
    friend SL_FN Mask operator<=(Lanes a, Lanes b) { return {a.v <= b.v}; }
    friend SL_FN Mask operator>=(Lanes a, Lanes b) { return {a.v >= b.v}; }
    friend SL_FN Mask operator==(Lanes a, Lanes b) { return {a.v == b.v}; }
    friend SL_FN Mask operator!=(Lanes a, Lanes b) { return {a.v != b.v}; }
    friend SL_FN Lanes select(Mask c, Lanes a, Lanes b) { return of(c.m ? a.v : b.v); }
    // One masked instruction with AVX-512, two plain ones elsewhere.
    friend SL_FN Lanes add_where(Mask c, Lanes sum, Lanes x) {
        return BYTES == 64 ? select(c, sum + x, sum) : sum + select(c, x, Lanes(T(0)));
    }
    friend SL_FN Lanes abs_(Lanes a) { return of(a.v < Value{} ? -a.v : a.v); }
    friend SL_FN Lanes fma_(Lanes a, Lanes b, Lanes c) {
        for (unsigned i = 0; i < BYTES / sizeof(T); ++i) a.v[i] = fma_(a.v[i], b.v[i], c.v[i]);
        return a;
    }
};
template <class T, int BYTES>
struct Register<Lanes<T, BYTES>> {
    using Real = T;
    enum { N = BYTES / sizeof(T) };
    typedef typename Format<T>::Bits Bits __attribute__((vector_size(BYTES)));
    using V = Lanes<T, BYTES>;
    static SL_FN V load(const T* from) { return V::of(*reinterpret_cast<const typename V::Unaligned*>(from)); }
    static SL_FN void store(T* to, V x) { *reinterpret_cast<typename V::Unaligned*>(to) = x.v; }
};
#else
template <class T, int>
using Lanes = T;
#endif

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SL_SHUFFLE 1
#endif
#endif
#if SL_SHUFFLE
// A square of as many classes as 128 bits hold. Each row's piece is 128 bits; part j of the square holds those of the
// rows j, j + SIDE, ... of a register of rows, so that turning it takes no shuffle across 128 bits.
template <class T, int BYTES>
struct Square {
    enum { N = BYTES / sizeof(T), SIDE = 16 / sizeof(T), PIECES = BYTES / 16 };
    typedef T Value __attribute__((vector_size(BYTES)));
    typedef T Piece __attribute__((vector_size(16)));
    typedef T Unaligned __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    typedef T UnalignedPiece __attribute__((vector_size(16), aligned(sizeof(T)), may_alias));
    using All = std::make_index_sequence<N>;
    Value part[SIDE];

    // Of each 128 bits the lower (or upper) halves of a and b, taken in turn in units of WIDTH elements.
    template <int WIDTH, bool UPPER, std::size_t... I>
    static SL_FN void zip(const Value& a, const Value& b, Value& out, std::index_sequence<I...>) {
        out = __builtin_shufflevector(
            a, b,
            (I / WIDTH % 2 * N + I / SIDE * SIDE + (I % SIDE / WIDTH / 2 + UPPER * (SIDE / WIDTH / 2)) * WIDTH +
             I % WIDTH)...);
    }
    template <int WIDTH>
    static SL_FN void zip_pair(Value& a, Value& b) {
        Value low, high;
        zip<WIDTH, false>(a, b, low, All());
        zip<WIDTH, true>(a, b, high, All());
        a = low;
        b = high;
    }
    SL_FN void turn() {
        if constexpr (SIDE == 4) {
            zip_pair<1>(part[0], part[1]);
            zip_pair<1>(part[2], part[3]);
            zip_pair<2>(part[0], part[2]);
            zip_pair<2>(part[1], part[3]);
            const Value second = part[2];
            part[2] = part[1];
            part[1] = second;
        } else {
            zip_pair<1>(part[0], part[1]);
        }
    }
    SL_FN void load_rows(const T* from, Index stride) {
        for (int j = 0; j < SIDE; ++j) {
            Piece piece[PIECES];
            for (int i = 0; i < PIECES; ++i)
                piece[i] = *reinterpret_cast<const UnalignedPiece*>(from + (i * SIDE + j) * stride);
            join(piece, part[j], All());
        }
    }
    // Not through memory: a load waits for several stores that it spans.
    template <std::size_t... I>
    static SL_FN void join(const Piece (&piece)[PIECES], Value& out, std::index_sequence<I...> all) {
        if constexpr (PIECES == 1) {
            out = piece[0];
        } else if constexpr (PIECES == 2) {
            out = __builtin_shufflevector(piece[0], piece[1], I...);
        } else {
            using Half = Square<T, BYTES / 2>;
            const Piece first[2] = {piece[0], piece[1]}, second[2] = {piece[2], piece[3]};
            typename Half::Value a, b;
            Half::join(first, a, typename Half::All());
            Half::join(second, b, typename Half::All());
            out = __builtin_shufflevector(a, b, I...);
        }
        (void)all;
    }
    SL_FN void store_rows(T* to, Index stride) const {
        for (int j = 0; j < SIDE; ++j) {
            Piece piece[PIECES];
            split(part[j], piece, std::make_index_sequence<PIECES>());
            for (int i = 0; i < PIECES; ++i)
                *reinterpret_cast<UnalignedPiece*>(to + (i * SIDE + j) * stride) = piece[i];
        }
    }
    template <std::size_t... I>
    static SL_FN void split(const Value& from, Piece (&piece)[PIECES], std::index_sequence<I...>) {
        if constexpr (SIDE == 4)
            ((piece[I] = __builtin_shufflevector(from, from, I * 4, I * 4 + 1, I * 4 + 2, I * 4 + 3)), ...);
        else
            ((piece[I] = __builtin_shufflevector(from, from, I * 2, I * 2 + 1)), ...);
    }
    SL_FN void load_tile(const T* tile, Index stride) {
        for (int c = 0; c < SIDE; ++c) part[c] = *reinterpret_cast<const Unaligned*>(tile + c * stride);
    }
    SL_FN void store_tile(T* tile, Index stride) const {
        for (int c = 0; c < SIDE; ++c) *reinterpret_cast<Unaligned*>(tile + c * stride) = part[c];
    }
};
// Two or three classes without a gap between the rows: K registers of rows are K registers of classes, mixed.
template <class T, int BYTES, int K, bool INTO_TILE>
struct Comb {
    enum { N = BYTES / sizeof(T) };
    typedef T Value __attribute__((vector_size(BYTES)));
    typedef T Unaligned __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));

    // Where the element for lane `i` of result `out` stands in the K registers.
    static constexpr std::size_t source(std::size_t out, std::size_t i) {
        return INTO_TILE ? i * K + out : (out * N + i) % K * N + (out * N + i) / K;
    }
    template <std::size_t OUT, std::size_t... I>
    static SL_FN void mix(const Value* in, T* to, std::index_sequence<I...>) {
        Value mixed = __builtin_shufflevector(in[0], in[1], (source(OUT, I) < 2 * N ? source(OUT, I) : 0)...);
        if constexpr (K == 3)
            mixed = __builtin_shufflevector(mixed, in[2], (source(OUT, I) < 2 * N ? I : source(OUT, I) - N)...);
        *reinterpret_cast<Unaligned*>(to) = mixed;
    }
    static SL_FN void run(const T* from, Index from_stride, T* to, Index to_stride) {
        using All = std::make_index_sequence<N>;
        Value in[K];
        for (int k = 0; k < K; ++k) in[k] = *reinterpret_cast<const Unaligned*>(from + k * from_stride);
        mix<0>(in, to, All());
        mix<1>(in, to + to_stride, All());
        if constexpr (K == 3) mix<2>(in, to + 2 * to_stride, All());
    }
};
#endif

template <class T, int BYTES, bool INTO_TILE>
struct TurnBody {
#if SL_SHUFFLE
    enum { N = BYTES / sizeof(T), SIDE = 16 / sizeof(T) };
    static SL_FN void square(T* tile, Index tile_stride, T* rows, Index row_stride) {
        Square<T, BYTES> s;
        if constexpr (INTO_TILE) {
            s.load_rows(rows, row_stride);
            s.turn();
            s.store_tile(tile, tile_stride);
        } else {
            s.load_tile(tile, tile_stride);
            s.turn();
            s.store_rows(rows, row_stride);
        }
    }
    template <int K>
    static SL_FN void comb(T* tile, Index tile_stride, T* rows) {
        if constexpr (INTO_TILE)
            Comb<T, BYTES, K, true>::run(rows, N, tile, tile_stride);
        else
            Comb<T, BYTES, K, false>::run(tile, tile_stride, rows, N);
    }
#endif
    static SL_FN void run(T* tile, Index tile_stride, T* rows, Index row_stride, Index n_rows, Index n_classes) {
        Index r = 0;
#if SL_SHUFFLE
        const bool packed = row_stride == n_classes;
        if (packed && n_classes == 2)
            for (; r + N <= n_rows; r += N) comb<2>(tile + r, tile_stride, rows + r * 2);
        else if (packed && n_classes == 3)
            for (; r + N <= n_rows; r += N) comb<3>(tile + r, tile_stride, rows + r * 3);
        else if (n_classes >= SIDE)
            for (; r + N <= n_rows; r += N) {
                T* at = rows + r * row_stride;
                for (Index k = 0; k + SIDE <= n_classes; k += SIDE)
                    square(tile + k * tile_stride + r, tile_stride, at + k, row_stride);
                // The last square overlaps the one before it.
                const Index last = n_classes - SIDE;
                if (n_classes % SIDE != 0) square(tile + last * tile_stride + r, tile_stride, at + last, row_stride);
            }
#endif
        for (; r < n_rows; ++r)
            for (Index k = 0; k < n_classes; ++k) {
                if constexpr (INTO_TILE)
                    tile[k * tile_stride + r] = rows[r * row_stride + k];
                else
                    rows[r * row_stride + k] = tile[k * tile_stride + r];
            }
    }
};

}  // namespace sl

#endif
