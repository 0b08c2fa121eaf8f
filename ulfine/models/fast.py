"""Parts of towers written again where torch's or open_clip's are slow: the same weights and the same arithmetic."""

import torch.nn.functional as F
from open_clip import transformer as open_clip_transformer
from timm.layers import activations as timm_activations
from torch import Tensor, nn

SLOPE = 1.702  # of QuickGELU


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x) as one call of SiLU, which keeps its input alone for the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return F.silu(SLOPE * x).div_(SLOPE)


class SelfAttention(nn.Module):
    """torch's MultiheadAttention of one input with itself, batch first, on tokens as they lie in memory.

    torch's own puts the tokens first, so that the projections read and write a transposed view.

    Args:
        attention: whose weights it takes over, under their names.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.in_proj_weight, self.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias
        self.out_proj = attention.out_proj

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, *, attn_mask: Tensor | None, need_weights: bool
    ) -> tuple[Tensor]:
        """(B, N, C) to (B, N, C), in a tuple as torch's own, which open_clip's blocks call."""
        if need_weights or k is not q or v is not q:
            raise ValueError("attention of one input with itself alone")
        qkv = F.linear(q, self.in_proj_weight, self.in_proj_bias)
        heads = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, H, N, C / H)
        mixed = F.scaled_dot_product_attention(*heads, attn_mask=attn_mask)
        return (self.out_proj(mixed.transpose(1, 2).flatten(2)),)


def make_fast(tower: nn.Module) -> None:
    """Put these parts in the place of theirs, for the image tower; trained weights keep their names."""
    for module in list(tower.modules()):
        for name, child in module.named_children():
            if isinstance(child, open_clip_transformer.QuickGELU | timm_activations.QuickGELU):
                setattr(module, name, QuickGELU())
            elif (
                isinstance(module, open_clip_transformer.ResidualAttentionBlock)
                and name == "attn"
                and child.batch_first
            ):
                setattr(module, name, SelfAttention(child))
