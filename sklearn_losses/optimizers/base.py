"""The base class of the optimizers."""

import numpy as np

from sklearn_losses._parameters import Parametric


class Optimizer(Parametric):
    """Base class of the optimizers: parameters, checked when a fit begins.

    Steps are compiled, so that a class in Python cannot bring its own. A subclass of an optimizer
    may have other defaults, fewer parameters, or parameters from which it computes those; a new
    step is added to the package in three places (``CONTRIBUTING.md`` in the source tree).

    Attributes
    ----------
    name : str
        What the estimators' `optimizer` and `get_optimizer` accept for it.
    recommended_rate : float or None
        The learning rate that ``learning_rate="optimal"`` begins with; None where it is
        `smooth_share` over the smoothness of the batches' gradients.
    smooth_share : float
        The share of that.
    decoupled : bool
        Whether the L2 penalty is a decay of the weights, and no part of what is minimised.
    full_batch : bool
        Whether each iteration takes all samples, and finds the length of its step itself.
    memory : {"saga", "svrg"} or None
        The variance-reduced method that steps as this optimizer does.
    takes_streams : bool
        Whether `partial_fit` can use it: not where it comes back to the same samples.

    Examples
    --------
    >>> from sklearn_losses import Momentum, SGDRegressorX
    >>> class Heavy(Momentum):
    ...     def __init__(self, window=100):
    ...         self.window = window
    ...
    ...     @property
    ...     def momentum(self):
    ...         return 1 - 1 / self.window
    >>> model = SGDRegressorX(optimizer=Heavy(), max_iter=5, tol=None)
    >>> model.set_params(optimizer__window=20).fit([[0.0], [1.0]], [1.0, 2.0]).n_iter_
    5
    """

    name = None
    # The struct of `_kernels/fit/optimizers.h` that steps; None where a solver does.
    _kernel = None
    recommended_rate = None
    full_batch = False
    memory = None
    smooth_share = 0.5
    decoupled = False

    @property
    def takes_streams(self):
        return not (self.full_batch or self.memory)

    # Factor of the rate that "optimal" gives to `SGD`, where `recommended_rate` is None.
    def _share_of_sgds_rate(self):
        return 1.0

    # What the sums of squared gradients begin with, in squares of their size at the best constant,
    # and the power of its number as which a step counts in averages of the optimizer's own; None:
    # there are no such.
    def _start(self):
        return None

    # Whether "optimal" falls with the steps; `smooth`: the loss has a derivative everywhere.
    def _rate_decays(self, smooth):
        return True

    def _kernel_params(self):
        """The kernel's name and its parameters, checked."""
        return self._kernel, np.array(self._numbers(), dtype=np.float64)

    def _check(self):
        """Raise the error of the first parameter that is outside its range."""
        self._kernel_params()

    @classmethod
    def _lacks(cls):
        own_step = [name for name in ("step", "update") if hasattr(cls, name)]
        from sklearn_losses.optimizers import OPTIMIZERS

        if issubclass(cls, tuple(OPTIMIZERS.values())) and not own_step:
            return None
        return (
            "cannot step: steps are compiled, and a class in Python cannot bring its own"
            f"{f' ({own_step[0]} would never be called)' if own_step else ''}. Subclass one of "
            f"{', '.join(cls.__name__ for cls in OPTIMIZERS.values())} to change its parameters, "
            'or add the step to the package: CONTRIBUTING.md, "Add an optimizer: three places"'
        )
