"""Which optimizer `Auto` stands for: the first rule of a table that holds."""

from dataclasses import dataclass

import numpy as np

from sklearn_losses._array import on_device
from sklearn_losses._solvers import NEEDS
from sklearn_losses._solvers.interior import MOST as MOST_FEATURES
from sklearn_losses._solvers.views import MOST_WIDTH
from sklearn_losses.optimizers import (
    GD,
    LBFGS,
    SAGA,
    AdaGrad,
    ImplicitAdaGrad,
    InteriorPoint,
    Newton,
)

# Of a row-wise loss, classes times features beyond which second derivatives are not formed.
MOST_PAIRS = 1024


@dataclass(frozen=True)
class Facts:
    """What the rules look at."""

    loss: object
    settings: object
    device: bool
    stream: bool
    features: int
    width: int  # of the weights that are found together: classes times features, or features

    def meets(self, need):
        """Whether loss and settings have what a name in `NEEDS` stands for."""
        return NEEDS[need][0](self.loss, self.settings)

    @property
    def smooth(self):
        return not self.device and self.meets("curvature")

    @property
    def sums(self):
        return self.meets("sums")

    @property
    def parts(self):
        return self.meets("parts")

    @property
    def kinked(self):
        return self.sums and bool(np.any(self.settings.sums()[0]))

    @property
    def bounded(self):
        return self.settings.low is not None


@dataclass(frozen=True)
class Rule:
    """`holds` says of `Facts` whether the optimizer is taken; `when` says it to users."""

    optimizer: type
    when: str
    holds: object


RULES = (
    Rule(
        # An implicit step may go far where a loss is not convex along it, as beside a scale.
        AdaGrad,
        "`partial_fit` with a loss of a distribution",
        lambda f: f.stream and f.loss.reads_target,
    ),
    Rule(
        ImplicitAdaGrad, "`partial_fit`: each call is one pass over its samples", lambda f: f.stream
    ),
    Rule(
        LBFGS,
        "arrays on a device, with a loss that has a derivative or smooth neighbours",
        lambda f: f.device and f.sums and f.meets("slope"),
    ),
    Rule(
        Newton,
        "a loss with a derivative; an L1, MCP or SCAD penalty, or one of groups or your own with "
        f"at most {MOST_WIDTH} features",
        lambda f: f.smooth and (f.kinked or (not f.parts and f.width <= MOST_WIDTH)),
    ),
    Rule(
        Newton,
        f"a loss with a derivative; no bounds, or at most {MOST_PAIRS} features; of a multiclass "
        f"loss at most {MOST_PAIRS} features times classes",
        lambda f: (
            f.smooth
            and f.parts
            and (f.width <= MOST_PAIRS or not (f.bounded or f.loss.is_multiclass))
        ),
    ),
    Rule(
        InteriorPoint,
        "a loss made of straight lines (`quantile`, `absolute_error`, `hinge`, ...), beside a "
        f"scale too (`laplace_nll`); at most {MOST_FEATURES} features; L1, L2 or elastic net "
        "penalties",
        # No other takes a kink beside a constant head. Heads in turn are for the host, and of a
        # device's arrays it says so.
        lambda f: (
            f.meets("kinks")
            and (
                f.loss.in_turn
                if f.device
                else (f.sums and f.features <= MOST_FEATURES) or not f.meets("heads")
            )
        ),
    ),
    Rule(
        LBFGS,
        "a loss with a derivative or smooth neighbours; L1, L2, elastic net or quadratic penalties",
        lambda f: f.meets("slope") and f.parts,
    ),
    Rule(GD, "a loss with a derivative, or smooth neighbours", lambda f: f.meets("slope")),
    Rule(SAGA, "other losses", lambda f: True),
)


def optimizer_for(loss, settings, X, stream):
    """The optimizer that `Auto` stands for.

    Parameters
    ----------
    loss : Loss
    settings : Settings
    X : array or CSR matrix
    stream : bool
        Whether X is a part of a stream.

    Returns
    -------
    optimizer : Optimizer
    """
    width = X.shape[1] * (loss.n_classes if loss.is_multiclass else 1)
    facts = Facts(loss, settings, on_device(X), stream, X.shape[1], width)
    return next(rule for rule in RULES if rule.holds(facts)).optimizer()
