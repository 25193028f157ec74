"""Every private name of scikit-learn that the package uses, in one place, with the reason.

Supported: scikit-learn 1.7 and later.
"""

# Parameter checks with scikit-learn's own error class and wording: drop-in estimators need the
# same, and the decorator is what third-party estimators are pointed to.
from sklearn.base import _fit_context

# A scorer that reads the estimator's classes_ itself and still shares predictions in a
# multi-metric search, and takes sample_weight with and without metadata routing, has to be one.
from sklearn.metrics._scorer import _BaseScorer as BaseScorer
from sklearn.utils._param_validation import Interval, StrOptions

# The checks of sample_weight (shape, dtype, finiteness, sign) have no public counterpart.
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

fit_context = _fit_context

try:  # scikit-learn 1.9 and later
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:
        """Nothing: this scikit-learn has no callbacks."""


# What a fit with callbacks holds while it is under way; scikit-learn removes it at the end.
CALLBACKS_UNDER_WAY = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")

__all__ = [
    "CALLBACKS_UNDER_WAY",
    "BaseScorer",
    "CallbackSupportMixin",
    "Interval",
    "StrOptions",
    "check_sample_weight",
    "fit_context",
]
