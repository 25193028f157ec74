// CPU only: X as kernels read it, where it stands: dense in C order, or CSR.
#ifndef SKLEARN_LOSSES_TABLE_H
#define SKLEARN_LOSSES_TABLE_H

#include <cstdint>

#include "simd/level.h"

namespace sl {

struct Table {
    Index n_rows = 0, n_features = 0;
    bool single = false;             // float32, or float64
    bool wide = false;               // int64 indices, or int32
    const void* values = nullptr;
    const void* indices = nullptr;
    const void* indptr = nullptr;    // null: dense
    Index stride = 0;                // dense: elements from a row to the next

    bool sparse() const { return indptr != nullptr; }
};

// make(T(), I()) with the types of a table.
template <class Make>
auto with_types(const Table& x, const Make& make) {
    if (x.single)
        return x.wide ? make(float(), std::int64_t()) : make(float(), std::int32_t());
    return x.wide ? make(double(), std::int64_t()) : make(double(), std::int32_t());
}

// X, and the rows of it that count: `at`, or the first n where it is null. Null weights are 1.
struct Counted {
    Table table;
    const std::int32_t* at;
    const double* weight;
    Index n;

    Index row(Index i) const { return at ? at[i] : i; }
    double weight_of(Index i) const { return weight ? weight[i] : 1.0; }
};

}  // namespace sl

#endif
