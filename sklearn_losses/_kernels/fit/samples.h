// What a sample contributes to a step, and the order in which samples come: one text for CPU (step.h) and device.
//
// A `Task` has the members that stand below; its `Real` is the type of targets and weights.
#ifndef SKLEARN_LOSSES_SAMPLES_H
#define SKLEARN_LOSSES_SAMPLES_H

#include "math/config.h"

namespace sl {

// Where a sample's target stands: one for all outputs, one for each, or a class code that is 1 for its own output.
enum Target { SHARED, SEPARATE, CODES };

// The weights that a sample's loss is multiplied by.
template <class Task>
SL_FN typename Task::Real weight_of(const Task& task, long long row, int k, typename Task::Real target) {
    using R = typename Task::Real;
    R weight = task.weight ? task.weight[row] * R(task.weight_factor) : R(1);
    if (task.weight_positive) weight *= (target > R(0) ? task.weight_positive : task.weight_negative)[k];
    return weight;
}
template <class Task>
SL_FN typename Task::Real target_of(const Task& task, long long row, int k) {
    using R = typename Task::Real;
    if (task.target == SEPARATE) return task.y[row * task.n_outputs + k];
    if (task.target == CODES) return task.y[row] == R(k) ? R(1) : R(task.negative);
    return task.y[row];
}

// Remembered gradients of all samples, (n_samples, n_outputs), of the variance-reduced methods.
enum Memory { NO_MEMORY, RECORD, CHANGE, CHANGE_AND_RECORD };

// What a sample adds to the gradient, whose own is c.
template <class T>
SL_FN T remembered(T c, T* old, int mode) {
    const T change = mode == RECORD ? c : c - *old;
    if (mode != CHANGE) *old = c;
    return change;
}

// Steele, Lea and Flood (2014). A template, as the 64-bit type has two names.
template <class U>
SL_FN U splitmix64(U& state) {
    U z = (state += U(0x9e3779b97f4a7c15ull));
    z = (z ^ (z >> 30)) * U(0xbf58476d1ce4e5b9ull);
    z = (z ^ (z >> 27)) * U(0x94d049bb133111ebull);
    return z ^ (z >> 31);
}

// The order of an epoch: a permutation of 0 ... n - 1 that seed and n alone determine, each number by itself, so that a
// device needs no sort. A Feistel network on pairs of numbers below `a` and below `b`, a * b >= n, with addition for
// exclusive or (Black and Rogaway, 2002); the few numbers that are n or more are sent through again. With fewer numbers
// than LEAST what stands next to each other would stay so too often.
struct Order {
    enum { ROUNDS = 6, LEAST = 1 << 16 };
    unsigned n, a, b;
    double inverse;  // of a
    unsigned keys[ROUNDS];

    template <class Seed>
    SL_FN Order(unsigned n_, Seed seed)
        : n(n_), a(unsigned(sqrt_(double(n_)))), b((n_ + a - 1) / a), inverse(1.0 / a) {
        for (int i = 0; i < ROUNDS; ++i) keys[i] = unsigned(splitmix64(seed) >> 32);
    }
    // x + a number below `most` that key and y determine, modulo `most`.
    static SL_FN unsigned shifted(unsigned x, unsigned y, unsigned key, unsigned most) {
        unsigned z = (y + key) * 0x85ebca6bu;
        z = (z ^ (z >> 15)) * 0xc2b2ae35u;
        z ^= z >> 16;
        x += unsigned((z * (unsigned long long)(most)) >> 32);
        return x >= most ? x - most : x;
    }
    SL_FN unsigned once(unsigned i) const {
        unsigned y = unsigned(double(i) * inverse);  // i / a, or one less or more
        y -= y * a > i ? 1 : 0;
        y += i - y * a >= a ? 1 : 0;
        unsigned x = i - y * a;
        for (int r = 0; r < ROUNDS; r += 2) {
            x = shifted(x, y, keys[r], a);
            y = shifted(y, x, keys[r + 1], b);
        }
        return y * a + x;
    }
    SL_FN unsigned operator()(unsigned i) const {
        do i = once(i);
        while (i >= n);
        return i;
    }
};

}  // namespace sl

#endif
