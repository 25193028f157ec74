// CPU only: pieces of work that the threads of one parallel region share, without a barrier between one job and the next.
//
// Thread 0 goes through a pass over the data and posts jobs; the others serve. Pieces are claimed one by one, and thread 0
// waits for claimed pieces alone: a thread that the system has put aside holds up nobody, where a barrier would wait for
// it.
#ifndef SKLEARN_LOSSES_POOL_H
#define SKLEARN_LOSSES_POOL_H

#include <atomic>
#include <cstdint>
#include <thread>

namespace sl {

struct Pool {
    using Piece = void (*)(void* context, int piece);
    // The job's number in the upper half, and the next of its pieces in the lower.
    std::atomic<std::uint64_t> ticket{0};
    std::atomic<int> finished{0};
    std::atomic<bool> open{false};
    std::atomic<Piece> function{nullptr};
    std::atomic<void*> context{nullptr};
    std::atomic<int> n_pieces{0};

    // Claim a piece and run it; false where there is none. A claim holds only for the job that was looked at: thread 0
    // posts no other before all pieces of this one are finished.
    bool take() {
        std::uint64_t seen = ticket.load(std::memory_order_acquire);
        const int piece = int(seen & 0xffffffffu);
        if (piece >= n_pieces.load(std::memory_order_acquire)) return false;
        if (!ticket.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) return true;
        function.load(std::memory_order_relaxed)(context.load(std::memory_order_relaxed), piece);
        finished.fetch_add(1, std::memory_order_release);
        return true;
    }
    static void pause(int spins) {
        if (spins > 4000) {
            std::this_thread::yield();
            return;
        }
#if defined(__GNUC__) && defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
};

// Run pieces [0, n) of a job, with those who serve; for thread 0.
inline void share(Pool* pool, Pool::Piece function, void* context, int n) {
    // No piece can be claimed while these change: the last job's are all taken.
    pool->function.store(function, std::memory_order_relaxed);
    pool->context.store(context, std::memory_order_relaxed);
    pool->finished.store(0, std::memory_order_relaxed);
    const std::uint64_t job = (pool->ticket.load(std::memory_order_relaxed) >> 32) + 1;
    pool->n_pieces.store(0, std::memory_order_relaxed);
    pool->ticket.store(job << 32, std::memory_order_release);
    pool->n_pieces.store(n, std::memory_order_release);
    while (pool->take()) {
    }
    for (int spins = 0; pool->finished.load(std::memory_order_acquire) < n; ++spins) Pool::pause(spins);
}
inline void open_pool(Pool* pool) { pool->open.store(true, std::memory_order_release); }
inline void close_pool(Pool* pool) { pool->open.store(false, std::memory_order_release); }
// Until thread 0 closes the pool; for the others.
inline void serve(Pool* pool) {
    for (int spins = 0; pool->open.load(std::memory_order_acquire);) {
        if (pool->take())
            spins = 0;
        else
            Pool::pause(spins < 5000 ? ++spins : spins);
    }
}

}  // namespace sl

#endif
