// What a loss gives.
#ifndef SKLEARN_LOSSES_OUTPUTS_H
#define SKLEARN_LOSSES_OUTPUTS_H

namespace sl {

// Which outputs a kernel writes. PROBABILITY goes where HESSIAN would go, of a row-wise loss.
enum Outputs { VALUE = 1, GRADIENT = 2, HESSIAN = 4, PROBABILITY = 8 };

// What a pointwise loss returns; the compiler drops what a caller does not store.
template <class T>
struct Out {
    T value, gradient, hessian;
};

}  // namespace sl

#endif
