// How far an implicit step goes: one text for CPU (problem.h) and device.
//
// A step that moves a row's raw prediction r by -d along its own gradient g at r may go too far. The implicit step takes
// the gradient where it leads: r - tau d, where tau is that gradient's part along d over that of g (Kulis and Bartlett,
// 2010; Toulis and Airoldi, 2017). Of a pointwise loss that is tau = l'(r - tau d) / l'(r); of a row-wise one it is the
// proximal point along the line that the explicit step takes. For a convex loss tau is in (0, 1].
#ifndef SKLEARN_LOSSES_IMPLICIT_H
#define SKLEARN_LOSSES_IMPLICIT_H

#include "math/functions.h"

namespace sl {

// The root of f(tau) = tau - ratio(tau) in (0, 1], from ratios alone, so that any loss will do: Newton's method with the
// slope of the last two values in place of a second derivative, which kinks and some losses do not have, inside a bracket.
// Values that keep coming from one side are halved on the other (the Illinois rule); a jump, as at a kink, is closed in on.
template <class T>
struct ImplicitShare {
    enum { MOST = 200 };
    T at = T(1);  // where the next ratio is wanted, and in the end the root
    T low = T(0), high = T(1), f_low = T(-1), f_high = T(1), width = T(2);
    int side = 0, n = 0;
    bool known = false;

    // Take the ratio at `at`; one that is not a number is too far.
    SL_FN void next(T ratio) { known = !goes_on(ratio); }
    SL_FN bool goes_on(T ratio) {
        constexpr T TOLERANCE = T(32) * Format<T>::eps;
        const T f = at - ratio;
        // At the end of the explicit step the gradient has not turned: of losses that are not convex it may even have grown.
        if (n == 0 && f <= TOLERANCE) return false;
        if (abs_(f) <= TOLERANCE * at || ++n == MOST) return false;
        if (f < T(0)) {
            low = at, f_low = f;
            if (side < 0) f_high *= T(0.5);
            side = -1;
        } else {
            high = at, f_high = f;
            if (side > 0) f_low *= T(0.5);
            side = 1;
        }
        at = low + (high - low) * (f_low / (f_low - f_high));
        // By halves where the bracket has not halved since it last was: of the logarithm, where tau may be of any size.
        if (high - low > T(0.5) * width || !(at > low && at < high)) {
            const T middle = low > T(0) ? sqrt_(low) * sqrt_(high) : high * T(0.0625);
            at = low * T(4) > high ? T(0.5) * (low + high) : middle;
            width = T(2);
        } else {
            width = high - low;
        }
        return high - low > TOLERANCE * high && at > low && at < high;
    }
};

// The share of a batch's step: the mean of those of its rows, each as if the batch held it alone, in proportion to how far
// it would go along its gradient. One factor of the whole step, so that nothing moves at the minimum, whatever the rows'
// own are. `sums` are of share * weight, and of weight.
SL_FN double batch_share(const double* sums) {
    const double share = sums[0] / sums[1];
    return sums[1] > 0.0 && share <= 1.0 ? share : 1.0;
}

}  // namespace sl

#endif
