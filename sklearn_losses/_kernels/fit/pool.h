// CPU only: threads that help with the pieces of a job, and for which nobody waits.
//
// The phases of a batch take microseconds. A parallel region for each ends in a barrier at which every thread must
// arrive: where the system has put one aside, for another process or another runtime's spinning threads, that takes
// milliseconds. Here pieces are claimed one by one, by the caller too, and the caller waits for claimed pieces alone.
// Claims are counted in 16 bits, so that they fit into one word with the number of what they are claims of: a job of
// more pieces is handed out in rounds.
#ifndef SKLEARN_LOSSES_POOL_H
#define SKLEARN_LOSSES_POOL_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace sl {

using PoolPiece = void (*)(void* context, int piece);

// Helpers hold it as well as the pool, and outlive neither a claim nor the process's patience.
struct PoolState {
    enum : unsigned { MOST = 0xffff };  // pieces of a round
    // The round's number in the upper half; pieces claimed from the back and from the front in the lower.
    std::atomic<std::uint64_t> ticket{0};
    std::atomic<int> finished{0}, n_pieces{0}, first{0}, sleepers{0};
    std::atomic<PoolPiece> function{nullptr};
    std::atomic<void*> context{nullptr};
    std::atomic<bool> quit{false};
    std::mutex mutex;
    std::condition_variable wake;

    // Claim a piece and run it; false where there is none. The caller claims from the front and helpers from the back,
    // so that a piece stays with the same caches from job to job. A claim holds only for the round that was looked at:
    // no other is posted before all pieces of this one are finished.
    bool take(bool back) {
        std::uint64_t seen = ticket.load(std::memory_order_acquire);
        const int n = n_pieces.load(std::memory_order_acquire);
        const int front_taken = int(seen & MOST), back_taken = int((seen >> 16) & MOST);
        if (front_taken + back_taken >= n) return false;
        const std::uint64_t next = seen + (back ? std::uint64_t(MOST) + 1 : 1);
        if (!ticket.compare_exchange_weak(seen, next, std::memory_order_acq_rel)) return true;
        function.load(std::memory_order_relaxed)(
            context.load(std::memory_order_relaxed),
            first.load(std::memory_order_relaxed) + (back ? n - 1 - back_taken : front_taken));
        finished.fetch_add(1, std::memory_order_release);
        return true;
    }
    bool left() const {
        const std::uint64_t seen = ticket.load();
        return int(seen & MOST) + int((seen >> 16) & MOST) < n_pieces.load();
    }
    static void pause() {
#if defined(__GNUC__) && defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    void serve(int patience) {
        for (int spins = 0; !quit.load(std::memory_order_acquire);) {
            if (take(true)) {
                spins = 0;
            } else if (++spins < patience) {
                pause();
            } else {
                std::unique_lock<std::mutex> lock(mutex);
                const std::uint64_t seen = ticket.load();
                sleepers.fetch_add(1);
                // Pieces may have been posted since the last look, by a caller that saw nobody asleep.
                wake.wait(lock, [&] { return ticket.load() != seen || left() || quit.load(); });
                spins = 0;
            }
        }
    }
};

class Pool {
    std::shared_ptr<PoolState> state;
    int helpers = 0;

    void notify() {
        // Once for each that went to sleep: waking takes them far longer than a job takes.
        if (state->sleepers.load() > 0 && state->sleepers.exchange(0) > 0) {
            std::lock_guard<std::mutex> lock(state->mutex);
            state->wake.notify_all();
        }
    }

    void share_round(PoolPiece function, void* context, int first, int n) {
        // No piece can be claimed while these change: the last round's are all taken.
        state->n_pieces.store(0, std::memory_order_relaxed);
        state->function.store(function, std::memory_order_relaxed);
        state->context.store(context, std::memory_order_relaxed);
        state->first.store(first, std::memory_order_relaxed);
        state->finished.store(0, std::memory_order_relaxed);
        const std::uint64_t round = (state->ticket.load(std::memory_order_relaxed) >> 32) + 1;
        state->ticket.store(round << 32);
        state->n_pieces.store(n);
        notify();
        while (state->take(false)) {
        }
        while (state->finished.load(std::memory_order_acquire) < n) PoolState::pause();
    }

public:
    Pool() = default;
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool() {
        if (!state) return;
        state->quit.store(true);
        std::lock_guard<std::mutex> lock(state->mutex);
        state->wake.notify_all();
    }
    // Looks for a job before a helper sleeps: `HOT` are some hundred microseconds, where jobs follow each other faster;
    // `COOL` where they do not, as who looks takes of what the caller has, on two threads of one core.
    enum Patience : int { COOL = 3000, HOT = 20000 };
    // Up to `n` helpers; fewer where the system gives no more threads. Detached: a forked child has none of them, and
    // could not wait for their ends.
    void enlist(int n, Patience patience) {
        try {
            if (!state) state = std::make_shared<PoolState>();
            while (helpers < n) {
                std::thread([held = state, patience] { held->serve(patience); }).detach();
                ++helpers;
            }
        } catch (const std::system_error&) {
            helpers = n;  // whoever is there helps
        }
    }
    // Run pieces [0, n) of a job with whoever helps.
    void share(PoolPiece function, void* context, int n) {
        for (int first = 0, here = 0; first < n; first += here) {
            here = n - first < int(PoolState::MOST) ? n - first : int(PoolState::MOST);
            share_round(function, context, first, here);
        }
    }
    bool ready() const { return bool(state); }
};

}  // namespace sl

#endif
