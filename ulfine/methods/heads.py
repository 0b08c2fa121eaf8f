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


def plus(values: Tensor, constant: Constant, other: Tensor, axes: int, out: Tensor | None = None) -> Tensor:
    """values + constant * other in one pass, or none for the constant 0. out: where it goes, maybe `values`.

    values: of `axes` axes after those of the heads.
    """
    if isinstance(constant, Tensor):
        return torch.addcmul(values, over(constant, axes), other, out=out)
    return torch.add(values, other, alpha=constant, out=out) if constant else values


def between(values: Tensor, others: Tensor, share: Constant, axes: int) -> Tensor:
    """(1 - share) * values + share * others in one pass."""
    return torch.lerp(values, others, over(share, axes))


def used(value: Constant) -> bool:
    """Whether the constant is other than 0, for one head at least."""
    return bool(torch.as_tensor(value).any())
