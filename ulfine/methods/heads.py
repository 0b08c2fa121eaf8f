"""Many heads at once: classifiers on the same features, trained side by side as leading axes of their tensors.

Every function of the methods works on (..., B, K) logits and (..., K, D) prototypes; in front stand the axes of the
heads, if any. A constant is then one number for all of them, or a tensor with a number for each.
"""

import torch
from torch import Tensor

Constant = float | Tensor  # one number, or (H,) or (..., H), one for each head


def over(value: Constant, axes: int) -> Constant:
    """The constant as it multiplies a tensor that has `axes` axes after those of the heads."""
    return value[(..., *[None] * axes)] if isinstance(value, Tensor) else value


def used(value: Constant) -> bool:
    """Whether the constant is other than 0, for one head at least."""
    return bool(torch.as_tensor(value).any())
