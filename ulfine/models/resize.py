"""Square pictures to the side that a tower or network takes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.params.augmentation import Augmentation


def resized(images: Tensor, side: int, interpolation: str) -> Tensor:
    """(B, old, old, 3) uint8 to (B, 3, side, side) in [0, 1], with antialiasing."""
    x = images.permute(0, 3, 1, 2).float() / 255
    if x.shape[-1] == side:
        return x
    return F.interpolate(x, size=(side, side), mode=interpolation, antialias=True).clamp(0, 1)


def resized_bytes(images: Tensor, side: int, interpolation: str) -> Tensor:
    """(B, old, old, 3) uint8 to (B, side, side, 3) uint8, rounded."""
    if images.shape[1] == side:
        return images
    x = resized(images, side, interpolation)
    return x.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def before_augmenting(augmentation: Augmentation, enlarge: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What happens to stored pictures before they are augmented: `enlarge`, that of a network, or nothing."""
    return enlarge if augmentation.at == "network" else lambda images: images
