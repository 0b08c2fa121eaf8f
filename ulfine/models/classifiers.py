"""Classifiers on unit features."""

import torch.nn.functional as F
from torch import Tensor, nn


class CosineClassifier(nn.Module):
    """s * z . normalise(W), without a bias, started from text prototypes (LIFT).

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
