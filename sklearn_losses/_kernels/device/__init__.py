"""Losses and fits on a GPU, for arrays of CuPy and of what shares their memory.

The rest of the package has the names below alone, which mean what the CPU's mean: `Problem` and
`Engine` are those of `fit`, and `evaluate_pointwise` and `evaluate_rowwise` are the `evaluate` of
`_pointwise` and of `_rowwise` in `losses`. CuPy is imported, and a kernel compiled, when an array
of a GPU needs it first.

- declarations.py: what host and kernels both know by name, said once.
- kernels.py: from a header and declarations to kernels that CuPy launches.
- losses.py, losses.h: losses over arrays.
- problem.py, rows.h: the mean loss of a linear model over rows, and its gradient.
- steps.py, steps.h: an optimizer's steps on such gradients.
- device.h: what all kernels share.
"""

from sklearn_losses._kernels.device.losses import (
    class_weights,
    evaluate_pointwise,
    evaluate_rowwise,
)
from sklearn_losses._kernels.device.problem import Problem
from sklearn_losses._kernels.device.steps import Engine

__all__ = ["Engine", "Problem", "class_weights", "evaluate_pointwise", "evaluate_rowwise"]
