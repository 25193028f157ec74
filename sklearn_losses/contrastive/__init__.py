"""Losses of pairs of samples, and linear embeddings that are trained with them."""

from sklearn_losses.contrastive._base import ContrastiveLoss
from sklearn_losses.contrastive._embedding import ContrastiveEmbedding, CrossModalEmbedding
from sklearn_losses.contrastive._softmax import CLIPLoss, InfoNCE, NTXent, SupervisedContrastive
from sklearn_losses.contrastive._triplet import TripletLoss

__all__ = [
    "CLIPLoss",
    "ContrastiveEmbedding",
    "ContrastiveLoss",
    "CrossModalEmbedding",
    "InfoNCE",
    "NTXent",
    "SupervisedContrastive",
    "TripletLoss",
]
