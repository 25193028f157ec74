"""Loss functions as first-class objects for scikit-learn: exact, compiled, and linear models
trained with them."""

from importlib.metadata import version

from sklearn_losses import (
    adversarial,
    constrained,
    contrastive,
    losses,
    optimizers,
    penalties,
    plotting,
    ranking,
    schedules,
    survival,
)
from sklearn_losses._kernels._threads import effective_n_threads
from sklearn_losses._versions import show_versions
from sklearn_losses.adversarial import *  # noqa: F403
from sklearn_losses.constrained import *  # noqa: F403
from sklearn_losses.contrastive import *  # noqa: F403
from sklearn_losses.density_ratio import (
    DensityRatio,
    KLIEPLoss,
    LSIFLoss,
    effective_sample_size,
)
from sklearn_losses.export import register_onnx_converters, skops_trusted_types
from sklearn_losses.generative import GANLoss, gradient_penalty
from sklearn_losses.linear_model import AlphaSearchCV, SGDClassifierX, SGDRegressorX, alpha_path
from sklearn_losses.losses import *  # noqa: F403
from sklearn_losses.metrics import d2_loss_score, make_loss_scorer, mean_loss
from sklearn_losses.multitask import MultiTaskModel
from sklearn_losses.objectives import as_metric, as_objective, as_torch
from sklearn_losses.optimizers import *  # noqa: F403
from sklearn_losses.penalties import *  # noqa: F403
from sklearn_losses.plotting import *  # noqa: F403
from sklearn_losses.private import PrivateLinearClassifier, PrivateLinearRegressor
from sklearn_losses.ranking import *  # noqa: F403
from sklearn_losses.schedules import *  # noqa: F403
from sklearn_losses.survival import *  # noqa: F403

__version__ = version("sklearn-losses")

__all__ = [
    "AlphaSearchCV",
    "DensityRatio",
    "GANLoss",
    "MultiTaskModel",
    "KLIEPLoss",
    "LSIFLoss",
    "PrivateLinearClassifier",
    "PrivateLinearRegressor",
    "SGDClassifierX",
    "SGDRegressorX",
    *adversarial.__all__,
    *constrained.__all__,
    *contrastive.__all__,
    *(name for name in losses.__all__ if name not in losses.LISTS),
    *optimizers.__all__,
    *penalties.__all__,
    *plotting.__all__,
    *ranking.__all__,
    *schedules.__all__,
    *survival.__all__,
    "__version__",
    "alpha_path",
    "as_metric",
    "as_objective",
    "as_torch",
    "d2_loss_score",
    "effective_n_threads",
    "effective_sample_size",
    "gradient_penalty",
    "make_loss_scorer",
    "mean_loss",
    "register_onnx_converters",
    "show_versions",
    "skops_trusted_types",
]
