// CPU only: an engine of steps on batches as its callers see it, whatever the types of X.
#ifndef SKLEARN_LOSSES_ENGINE_H
#define SKLEARN_LOSSES_ENGINE_H

#include <cstring>
#include <vector>

#include "fit/penalties.h"
#include "fit/problem.h"

namespace sl {

// What a call ended with.
enum Status {
    DONE,
    MORE,  // it is time to look for signals
    NOT_FINITE,
    OUT_OF_MEMORY,
    FAILED  // a loss or penalty in Python; the caller has the error
};
// A loss in Python: from targets and raw predictions, `size` each, to values and gradients.
using PythonLoss = Status (*)(void* caller, Index size, double* target, double* raw, double* value, double* gradient);

// The proximal operator of a penalty in Python: of weights in their layout, and a length of step for each, into `to`.
// Where that follows from gradients that have not come yet, it is minus how far a first gradient would lead.
using PythonProx = Status (*)(void* caller, double* to, double* length);

// What callers give by name: arrays that last from epoch to epoch, which they own (null: there is none), and numbers.
#define SL_ENGINE_ARRAYS(X)                                                                                  \
    X(void, w)                                    /* the weights, X's dtype */                                \
    X(void, s0) X(void, s1) X(void, s2)           /* what the optimizer remembers of each */                  \
    X(const void, unit)                           /* of each weight: its coordinate is w / unit */            \
    X(const void, low) X(const void, high)        /* of each weight; null: no bounds */                       \
    X(double, average) X(double, mean)            /* of each weight */                                        \
    X(double, intercept) X(double, intercept_s0) X(double, intercept_s1) X(double, intercept_s2)              \
    X(const double, intercept_unit) X(double, intercept_average) X(double, intercept_mean)                    \
    X(const double, center)                       /* of each feature: steps see X less these; null: 0 */      \
    X(const double, share)                        /* of the samples that have a feature */                    \
    X(double, table)                              /* gradients of all samples; variance-reduced methods */    \
    X(const double, params)                       /* of the optimizer */
#define SL_ENGINE_NUMBERS(X)                                                                                 \
    X(optimizer) X(n_params)                                                                                 \
    X(l1) X(l2) X(clip_norm)                                                                                 \
    X(average_from)                               /* the first step that is averaged; 0: none */              \
    X(average_power)                              /* of a step's number, as which it counts there */         \
    X(records)                                    /* whether the table follows the steps (SAGA) */            \
    X(t) X(l1_so_far) X(average_a) X(average_b)   /* change with the steps */

class Engine {
public:
    Problem problem;
    int level = 0, threads = 1;
    const std::int32_t* order = nullptr;  // the rows that count
    Index n_rows = 0;
    PythonLoss python_loss = nullptr;
    // A penalty beside `l1` and `l2`, with bounds, by its kernel or in Python: at most one of the two. Its strength is its own.
    const Penalty* penalty = nullptr;
    PythonProx python_prox = nullptr;
    void* caller = nullptr;  // of what is in Python
    Index jobs_shared = 0;  // that helpers were called for

    // The gradient over all rows, and that of the intercepts; set where `gradient` is done, as is the mean loss.
    std::vector<double> g, intercept_gradient;
    double loss = 0.0;
    // Of the last epoch: the mean square of the batches' gradients.
    double square_norm = 0.0;

    virtual ~Engine() = default;
    virtual void allocate(Index batch_size) = 0;
    // Begin, and go on while the answer is MORE. A gradient: what becomes of those that are remembered, and whether the
    // features are seen from the centre.
    virtual void begin_gradient(int memory_mode, bool centered) = 0;
    virtual Status gradient() = 0;
    virtual void begin_epoch(const double* rates, Index batch_size) = 0;
    virtual Status epoch() = 0;

    const double* gradient_of_weights() const { return g.data(); }
    const double* gradient_of_intercepts() const { return intercept_gradient.data(); }
    const void** array(const char* name) {
#define SL_FIND(type, member) \
    if (std::strcmp(name, #member) == 0) return (const void**)(&member);
        SL_ENGINE_ARRAYS(SL_FIND)
#undef SL_FIND
        return nullptr;
    }
    double* number(const char* name) {
#define SL_FIND(member) \
    if (std::strcmp(name, #member) == 0) return &member;
        SL_ENGINE_NUMBERS(SL_FIND)
#undef SL_FIND
        return nullptr;
    }

protected:
#define SL_DECLARE(type, member) type* member = nullptr;
    SL_ENGINE_ARRAYS(SL_DECLARE)
#undef SL_DECLARE
#define SL_DECLARE(member) double member = 0.0;
    SL_ENGINE_NUMBERS(SL_DECLARE)
#undef SL_DECLARE
};

}  // namespace sl

#endif
