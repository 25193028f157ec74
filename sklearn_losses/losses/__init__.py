"""Losses as objects. `LOSSES` maps every name to its class; `get_loss` makes a loss from a name."""

from sklearn_losses._parameters import from_name
from sklearn_losses.losses.adaptive import GeneralRobustNLL
from sklearn_losses.losses.amounts import BetaNLL, GammaNLL
from sklearn_losses.losses.base import Loss
from sklearn_losses.losses.classification import (
    AsymmetricLoss,
    BinaryKLDivergence,
    BrierLoss,
    ExponentialLoss,
    FocalLoss,
    HalfBinomialLoss,
    Hinge,
    ModifiedHuber,
    Perceptron,
    PolyLoss,
    SmoothHinge,
    SquaredHinge,
)
from sklearn_losses.losses.counts import (
    HurdlePoissonNLL,
    NegativeBinomialNLL,
    ZeroInflatedPoissonNLL,
)
from sklearn_losses.losses.custom import CompiledLoss, CustomLoss, FunctionLoss
from sklearn_losses.losses.distribution import GaussianCRPS, GaussianNLL, LaplaceNLL, StudentTNLL
from sklearn_losses.losses.distributionally_robust import (
    ChiSquareRobustLoss,
    CVaRLoss,
    GroupRobustLoss,
    KLRobustLoss,
    TiltedLoss,
    group_target,
)
from sklearn_losses.losses.glm import (
    HalfGammaLoss,
    HalfPoissonLoss,
    HalfTweedieLoss,
    NegativeBinomial,
    SquaredLogError,
)
from sklearn_losses.losses.multiclass import (
    LDAM,
    HalfMultinomialLoss,
    LogitAdjusted,
    MulticlassFocal,
    MulticlassHinge,
    MulticlassKLDivergence,
)
from sklearn_losses.losses.ordinal import AllThreshold, CumulativeLink, ImmediateThreshold
from sklearn_losses.losses.ranking import LambdaRank, ListNet, PairwiseHinge, PairwiseLogistic
from sklearn_losses.losses.regression import (
    AbsoluteError,
    AbsolutePercentageError,
    EpsilonInsensitive,
    Expectile,
    HalfSquaredError,
    HuberLoss,
    LogCosh,
    PinballLoss,
    PseudoHuber,
    RootMeanSquaredError,
    SmoothL1,
    SmoothL2,
    SmoothPinball,
    SquaredEpsilonInsensitive,
    SquaredError,
)
from sklearn_losses.losses.robust import (
    Cauchy,
    Fair,
    GemanMcClure,
    GeneralRobust,
    TukeyBiweight,
    Welsch,
)
from sklearn_losses.losses.survival import BaselineHazard, CoxLoss
from sklearn_losses.losses.survival_times import AFT
from sklearn_losses.losses.tweedie import TweedieNLL

# The losses of one raw prediction a sample, those of a row of them, and those of all samples.
POINTWISE = [
    HalfSquaredError,
    SquaredError,
    AbsoluteError,
    HuberLoss,
    SmoothL1,
    SmoothL2,
    PseudoHuber,
    LogCosh,
    PinballLoss,
    SmoothPinball,
    Expectile,
    EpsilonInsensitive,
    SquaredEpsilonInsensitive,
    Fair,
    Cauchy,
    GemanMcClure,
    Welsch,
    TukeyBiweight,
    GeneralRobust,
    AbsolutePercentageError,
    HalfPoissonLoss,
    HalfGammaLoss,
    HalfTweedieLoss,
    NegativeBinomial,
    SquaredLogError,
    HalfBinomialLoss,
    Hinge,
    Perceptron,
    SquaredHinge,
    SmoothHinge,
    ModifiedHuber,
    ExponentialLoss,
    FocalLoss,
    PolyLoss,
    BrierLoss,
    AsymmetricLoss,
    BinaryKLDivergence,
]
ROWWISE = [
    HalfMultinomialLoss,
    MulticlassHinge,
    MulticlassFocal,
    LogitAdjusted,
    LDAM,
    MulticlassKLDivergence,
]
# The losses of a row of parameters of a distribution.
DISTRIBUTIONS = [
    GaussianNLL,
    StudentTNLL,
    LaplaceNLL,
    GaussianCRPS,
    GeneralRobustNLL,
    GammaNLL,
    BetaNLL,
    TweedieNLL,
    NegativeBinomialNLL,
    ZeroInflatedPoissonNLL,
    HurdlePoissonNLL,
    AFT,
]
# Of ordered classes: rows of their scores.
ORDINAL = [CumulativeLink, AllThreshold, ImmediateThreshold]
# Not a mean over samples: they measure, and cannot be trained with.
REDUCED = [RootMeanSquaredError]
# Of all samples together: of survival, of rankings, and the worst means of pointwise losses.
RANKING = [PairwiseLogistic, PairwiseHinge, LambdaRank, ListNet]
ROBUST_MEANS = [CVaRLoss, ChiSquareRobustLoss, KLRobustLoss, TiltedLoss, GroupRobustLoss]
JOINT = [CoxLoss, *RANKING, *ROBUST_MEANS]

# Of one raw prediction a sample, or of a row of them for classes.
LOSSES = {cls.name: cls for cls in [*POINTWISE, *ROWWISE, *REDUCED]}
# Those of distributions, ordered classes and all samples together, which have targets or fits of
# their own.
FAMILIES = {cls.name: cls for cls in [*DISTRIBUTIONS, *ORDINAL, *JOINT]}
LISTS = (
    "DISTRIBUTIONS",
    "FAMILIES",
    "JOINT",
    "ORDINAL",
    "POINTWISE",
    "RANKING",
    "REDUCED",
    "ROBUST_MEANS",
    "ROWWISE",
)

__all__ = [
    "LOSSES",
    *LISTS,
    "BaselineHazard",
    "CompiledLoss",
    "CustomLoss",
    "FunctionLoss",
    "Loss",
    "get_loss",
    "group_target",
    *(cls.__name__ for cls in [*LOSSES.values(), *FAMILIES.values()]),
]


def get_loss(name_or_loss, **params):
    """A loss from its name, or the loss itself.

    Parameters
    ----------
    name_or_loss : str or Loss
        A name of `LOSSES`, or "cox"; or a loss, which is returned as it is (a copy where there are
        `params`).
    **params
        Parameters of the loss.

    Returns
    -------
    loss : Loss

    Raises
    ------
    ValueError
        Where the name or a parameter is unknown; the nearest names are given.

    Examples
    --------
    >>> from sklearn_losses import get_loss
    >>> get_loss("huber", delta=1.35)
    HuberLoss(delta=1.35)
    """
    return from_name("loss", name_or_loss, Loss, LOSSES | FAMILIES, params)
