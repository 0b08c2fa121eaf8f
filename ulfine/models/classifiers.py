"""Classifiers on unit features."""

import torch.nn.functional as F
from torch import Tensor, nn


class UnitFeatures(nn.Module):
    """An encoder whose features are centred and divided by their length.

    Args:
        encoder: pictures, or cached features, to (B, D).
        mean: (D,) subtracted first.
    """

    def __init__(self, encoder: nn.Module, mean: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("mean", mean, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) unit features."""
        return F.normalize(self.encoder(x) - self.mean, dim=-1)


class CosineClassifier(nn.Module):
    """s * z . normalise(W), without a bias (LIFT).

    Args:
        weight: (K, D) rows to start from.
        scale: s.
        learnable: whether W is a parameter or a buffer.
    """

    def __init__(self, weight: Tensor, scale: float, learnable: bool = True) -> None:
        super().__init__()
        self.scale = scale
        if learnable:
            self.weight = nn.Parameter(weight.clone())
        else:
            self.register_buffer("weight", weight.clone())

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) unit features to (B, K) logits."""
        return self.scale * features @ F.normalize(self.weight, dim=-1).T
