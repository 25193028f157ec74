// CPU only: the order of an epoch.
#ifndef SKLEARN_LOSSES_ORDER_H
#define SKLEARN_LOSSES_ORDER_H

#include "fit/samples.h"
#include "simd/level.h"

namespace sl {

// `rows` in the order of an epoch, which seed and n alone determine: few rows by Fisher and Yates's shuffle with the high
// half of splitmix64, many by `Order`, which a device computes by itself.
struct ShuffleBody {
    enum { AT_ONCE = 256 };
    static SL_FN void run(const std::int32_t* rows, std::int32_t* to, Index n, std::uint64_t seed) {
        const Order order(unsigned(n), seed);
        unsigned at[AT_ONCE];
        for (Index start = 0; start < n; start += AT_ONCE) {
            const Index here = n - start < AT_ONCE ? n - start : Index(AT_ONCE);
            for (int i = 0; i < AT_ONCE; ++i) at[i] = order.once(unsigned(start) + unsigned(i));
            for (Index i = 0; i < here; ++i) {
                while (at[i] >= order.n) at[i] = order.once(at[i]);
                to[start + i] = rows[at[i]];
            }
        }
    }
};
inline void shuffle_rows(const std::int32_t* rows, std::int32_t* to, Index n, std::uint64_t seed, int level) {
    using Signature = void(const std::int32_t*, std::int32_t*, Index, std::uint64_t);
    if (n >= Order::LEAST) return Cloned<ShuffleBody, Signature>::at(level)(rows, to, n, seed);
    for (Index i = 0; i < n; ++i) to[i] = rows[i];
    for (Index i = n - 1; i > 0; --i) {
        // Of 32 bits, the bias is below n / 2^32.
        const Index j = Index(((splitmix64(seed) >> 32) * std::uint64_t(i + 1)) >> 32);
        const std::int32_t taken = to[i];
        to[i] = to[j];
        to[j] = taken;
    }
}

// scikit-learn's: its generator (Marsaglia's xorshift) and its shuffle, so that the same seed gives the same order.
inline std::uint32_t xorshift(std::uint32_t& seed) {
    if (seed == 0) seed = 1;
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % 0x80000000u;
}
inline void shuffle_as_scikit_learn(std::int32_t* order, std::uint32_t n, std::uint32_t seed) {
    for (std::uint32_t i = 0; i + 1 < n; ++i) {
        const std::uint32_t j = i + xorshift(seed) % (n - i);
        const std::int32_t taken = order[i];
        order[i] = order[j];
        order[j] = taken;
    }
}

}  // namespace sl

#endif
