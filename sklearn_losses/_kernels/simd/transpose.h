// CPU only: rows of a C-order array into a tile, element (k, r) at [k * tile_stride + r], and back.
#ifndef SKLEARN_LOSSES_TRANSPOSE_H
#define SKLEARN_LOSSES_TRANSPOSE_H

#include <utility>

#include "simd/level.h"

namespace sl {

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SL_SHUFFLE 1
#endif
#endif
#if SL_SHUFFLE
// A square of as many classes as 128 bits hold. Each row's piece is 128 bits; part j of the square holds those of the
// rows j, j + SIDE, ... of a register of rows, so that transposing it takes no shuffle across 128 bits.
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
    SL_FN void transpose() {
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
#endif

template <class T, int BYTES, bool INTO_TILE>
struct TransposeBody {
    static SL_FN void move(T& in_tile, T& in_row) {
        if constexpr (INTO_TILE)
            in_tile = in_row;
        else
            in_row = in_tile;
    }
    // Rows of K numbers without a gap: compilers know the shuffles of a loop with so few and a constant number of them.
    template <int K>
    static SL_FN void packed(T* __restrict tile, Index tile_stride, T* __restrict rows, Index n_rows) {
        SL_INDEPENDENT
        for (Index r = 0; r < n_rows; ++r)
            for (int k = 0; k < K; ++k) move(tile[k * tile_stride + r], rows[r * K + k]);
    }
#if SL_SHUFFLE
    using Part = Square<T, BYTES>;
    static SL_FN void square(T* tile, Index tile_stride, T* rows, Index row_stride) {
        Part s;
        if constexpr (INTO_TILE) {
            s.load_rows(rows, row_stride);
            s.transpose();
            s.store_tile(tile, tile_stride);
        } else {
            s.load_tile(tile, tile_stride);
            s.transpose();
            s.store_rows(rows, row_stride);
        }
    }
#endif
    static SL_FN void run(T* tile, Index tile_stride, T* rows, Index row_stride, Index n_rows, Index n_classes) {
        if (row_stride == n_classes) {
            if (n_classes == 2) return packed<2>(tile, tile_stride, rows, n_rows);
            if (n_classes == 3) return packed<3>(tile, tile_stride, rows, n_rows);
            if (n_classes == 4) return packed<4>(tile, tile_stride, rows, n_rows);
        }
        Index r = 0;
#if SL_SHUFFLE
        // A plain loop over ten or a hundred classes makes a whole evaluation 1.2 to 1.9 times as long.
        enum { N = Part::N, SIDE = Part::SIDE };
        if (n_classes >= SIDE)
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
            for (Index k = 0; k < n_classes; ++k) move(tile[k * tile_stride + r], rows[r * row_stride + k]);
    }
};

template <class T>
using TransposeSignature = void(T* tile, Index tile_stride, T* rows, Index row_stride, Index n_rows, Index n_classes);
template <class T, bool INTO_TILE>
struct Transposes {
    template <int BYTES>
    using Body = TransposeBody<T, BYTES, INTO_TILE>;
};
template <class T>
void rows_to_tile(int level, T* tile, Index tile_stride, T* rows, Index row_stride, Index n_rows, Index n_classes) {
    by_width<Transposes<T, true>::template Body, TransposeSignature<T>>(level)(tile, tile_stride, rows, row_stride,
                                                                                n_rows, n_classes);
}
template <class T>
void tile_to_rows(int level, T* tile, Index tile_stride, T* rows, Index row_stride, Index n_rows, Index n_classes) {
    by_width<Transposes<T, false>::template Body, TransposeSignature<T>>(level)(tile, tile_stride, rows, row_stride,
                                                                                 n_rows, n_classes);
}

}  // namespace sl

#endif
