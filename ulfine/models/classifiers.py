"""Classifiers on unit features."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ulfine.methods.heads import Constant, over
from ulfine.methods.rows import lengths


class UnitFeatures(nn.Module):
    """An encoder whose features are centred and divided by their length.

    Args:
        encoder: pictures, or cached features, to (B, D).
        mean: (D,) subtracted first, or (..., 1, D).
        decay: of the mean, which follows what passes in training; None: it stays.
    """

    def __init__(self, encoder: nn.Module, mean: Tensor, decay: float | None = None) -> None:
        super().__init__()
        self.encoder, self.decay = encoder, decay
        self.register_buffer("mean", mean, persistent=decay is not None)

    def forward(self, x: Tensor) -> Tensor:
        """(..., B, D) unit features."""
        features = self.encoder(x)
        if self.training and self.decay is not None:
            self.mean = torch.lerp(features.detach().mean(-2), self.mean, self.decay)
        return F.normalize(features - self.mean, dim=-1)

    def distances(self) -> Iterator[tuple[nn.Parameter, int]]:
        """Each parameter of the encoder, and its distance from the end in blocks."""
        return self.encoder.distances()

    def enlarge(self, images: Tensor) -> Tensor:
        """Pictures to the side that the encoder takes."""
        return self.encoder.enlarge(images)


class CosineClassifier(nn.Module):
    """s * z . normalise(W), without a bias (LIFT).

    Args:
        weight: (K, D) rows to start from, or (..., H, K, D) of H heads.
        scale: s.
        learnable: whether W is a parameter or a buffer.
    """

    def __init__(self, weight: Tensor, scale: Constant, learnable: bool = True) -> None:
        super().__init__()
        self.scale = over(scale, 1)
        if learnable:
            self.weight = nn.Parameter(weight.clone())
        else:
            self.register_buffer("weight", weight.clone())

    def forward(self, features: Tensor) -> Tensor:
        """(..., B, D) unit features to (..., B, K) logits, or (..., H, B, K) of H heads."""
        length = lengths(self.weight)  # divides logits, of which there are fewer than weights
        if self.weight.ndim == 2:
            return features @ self.weight.T * (self.scale / length)
        together = features @ self.weight.flatten(-3, -2).mT  # one product for all heads
        by_head = together.unflatten(-1, self.weight.shape[-3:-1]).transpose(-2, -3)
        return by_head * (self.scale / length).unsqueeze(-2)
