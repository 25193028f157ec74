"""What a call of `fit` or `partial_fit` asks for: as the user made it, and as it is carried out."""

from dataclasses import dataclass
from typing import NamedTuple

from sklearn_losses._solvers.fit import Settings
from sklearn_losses.losses import Loss
from sklearn_losses.optimizers import Optimizer


class Samples(NamedTuple):
    """Arrays by sample: of a user, or checked."""

    X: object
    y: object
    sample_weight: object = None
    offset: object = None


class Judged(NamedTuple):
    """What the score of early stopping is of: targets as the loss takes them, the user's weights,
    and the classes, where there are any."""

    y: object
    sample_weight: object = None
    classes: object = None


@dataclass(frozen=True)
class Call:
    """A call of `fit` or `partial_fit`.

    Attributes
    ----------
    samples : Samples
        As the user gave them.
    loss : Loss
    optimizer : Optimizer
    start : tuple (coef_init, intercept_init)
    validation : Samples or None
        As the user gave them.
    classes : array-like or None
    going_on : bool
        Whether the estimator goes on from where its last call ended.
    stream : bool
        Whether the samples are a part of a stream.
    """

    samples: Samples
    loss: Loss
    optimizer: Optimizer
    start: tuple = (None, None)
    validation: Samples | None = None
    classes: object = None
    going_on: bool = False
    stream: bool = False


@dataclass(frozen=True)
class Request:
    """Fits that are to be made: all that they are made of, checked.

    Attributes
    ----------
    datas : tuple of Data
        One for all outputs, or one for each.
    validations : tuple of Data or None
        For each of `datas` what `X_val` and `y_val` are; or None.
    judged : tuple of Judged
        For each of `datas`.
    loss : Loss
        That is minimised.
    settings : Settings
    kind : type
        The descent.
    seeds : tuple of int
        For each of `datas`.
    n_rows : int
        Of `coef_`.
    shown : Samples
        What callbacks are shown.
    start, going_on, stream
        As those of the call.
    """

    datas: tuple
    validations: tuple | None
    judged: tuple
    loss: Loss
    settings: Settings
    kind: type
    seeds: tuple
    n_rows: int
    shown: Samples
    start: tuple
    going_on: bool
    stream: bool

    @property
    def X(self):
        return self.datas[0].X
