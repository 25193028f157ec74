// Every pointwise loss: its value, and its first and second derivative with respect to the raw prediction.
//
// One struct a loss, and at the end the one list of them. Parameters arrive as doubles, in the order that the Python
// class gives. Where the second derivative is zero almost everywhere (absolute error, pinball, hinge), the hessian is 1,
// as in scikit-learn: Newton steps and boosting divide by it.
#ifndef SKLEARN_LOSSES_POINTWISE_H
#define SKLEARN_LOSSES_POINTWISE_H

#include "losses/classification.h"
#include "losses/glm.h"
#include "losses/regression.h"

namespace sl {

#if !SL_DEVICE

// A loss given by C functions `double f(double y, double raw, void* data)`. Their addresses travel in the parameters'
// bits: value, gradient, hessian (or null: 0), data.
template <class T>
struct CompiledLoss {
    using Function = double (*)(double, double, void*);
    Function value, gradient, hessian;
    void* data;
    SL_FN explicit CompiledLoss(const double* a) {
        std::memcpy(&value, a, sizeof value);
        std::memcpy(&gradient, a + 1, sizeof gradient);
        std::memcpy(&hessian, a + 2, sizeof hessian);
        std::memcpy(&data, a + 3, sizeof data);
    }
    SL_FN Out<T> operator()(T y, T raw) const {
        return {T(value(double(y), double(raw), data)), T(gradient(double(y), double(raw), data)),
                hessian ? T(hessian(double(y), double(raw), data)) : unless_nan(T(1), y + raw)};
    }
};
#define SL_POINTWISE_HOST_LIST(X) X(CompiledLoss)

#endif

// The one list: a loss that is not named here does not exist. Kinds are positions in it.
#define SL_POINTWISE_LIST(X)      \
    X(HalfSquaredError)           \
    X(SquaredError)               \
    X(AbsoluteError)              \
    X(HuberLoss)                  \
    X(SmoothL1)                   \
    X(SmoothL2)                   \
    X(PseudoHuber)                \
    X(LogCosh)                    \
    X(PinballLoss)                \
    X(SmoothPinball)              \
    X(Expectile)                  \
    X(EpsilonInsensitive)         \
    X(SquaredEpsilonInsensitive)  \
    X(Fair)                       \
    X(Cauchy)                     \
    X(GemanMcClure)               \
    X(Welsch)                     \
    X(TukeyBiweight)              \
    X(GeneralRobust)              \
    X(GeneralRobustZero)          \
    X(GeneralRobustTwo)           \
    X(GeneralRobustMinusInfinity) \
    X(AbsolutePercentageError)    \
    X(HalfPoissonLoss)            \
    X(HalfGammaLoss)              \
    X(HalfTweedieLoss)            \
    X(TweedieNearPoisson)         \
    X(TweedieNearGamma)           \
    X(NegativeBinomial)           \
    X(SquaredLogError)            \
    X(HalfBinomialLoss)           \
    X(Hinge)                      \
    X(SquaredHinge)               \
    X(SmoothHinge)                \
    X(ModifiedHuber)              \
    X(ExponentialLoss)            \
    X(FocalLoss)                  \
    X(PolyLoss)                   \
    X(BrierLoss)                  \
    X(AsymmetricLoss)             \
    X(AsymmetricLossNoMargin)     \
    X(BinaryKLDivergence)

}  // namespace sl

#endif
