"""Dual logit fusion: logits of text prototypes and of the linear classifier, brought to one scale and averaged.

That the paper aligns and fuses them is reported; how is not, so the alignment and the weight are parameters.
"""

from typing import Literal

from torch import Tensor

from ulfine.methods.heads import Constant, between
from ulfine.params.method import Dlf

TINY = 1e-8


def aligned(text: Tensor, linear: Tensor, how: Literal["range", "std", "none"]) -> Tensor:
    """Text logits with the scale and the offset of the linear ones, sample by sample. Both: (..., B, K).

    range: same smallest and largest logit. std: same mean and standard deviation over the classes.
    """
    if how == "none":
        return text
    if how == "range":
        low, high = text.amin(-1, keepdim=True), text.amax(-1, keepdim=True)
        to_low, to_high = linear.amin(-1, keepdim=True), linear.amax(-1, keepdim=True)
        return (text - low) / (high - low).clamp_min(TINY) * (to_high - to_low) + to_low
    mean, std = text.mean(-1, keepdim=True), text.std(-1, keepdim=True, correction=0)
    to_mean, to_std = linear.mean(-1, keepdim=True), linear.std(-1, keepdim=True, correction=0)
    return (text - mean) / std.clamp_min(TINY) * to_std + to_mean


def require_decides(classes: int, dlf: Dlf | None) -> None:
    """Refuse an alignment that leaves nothing to fuse: two aligned logits are the linear ones or their reverse.

    Where both classifiers agree, fusion then changes nothing; where they do not, the larger of eta and 1 - eta decides,
    whatever the logits are, and at eta = 1/2 every case is a tie.

    Raises:
        ValueError: there are two classes, and `align` is not none.
    """
    if classes == 2 and dlf and dlf.align != "none":
        raise ValueError(
            f"dlf.align = {dlf.align!r}: with two classes aligned logits are equal or opposite, whatever they were "
            "(allowed: none)"
        )


def fused(text: Tensor, linear: Tensor, eta: Constant, how: Literal["range", "std", "none"]) -> Tensor:
    """eta * aligned text + (1 - eta) * linear. Both: (..., B, K)."""
    return between(linear, aligned(text, linear, how), eta, 2)
