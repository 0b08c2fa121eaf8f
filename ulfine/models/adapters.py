"""Adapters: small trained bottlenecks beside the blocks of a frozen tower.

AdaptFormer (Chen et al., 2022) as LIFT runs it: parallel to the MLP of every transformer block, a learnable scale, an
up-projection that starts at zero, so that the tower starts as it was.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# (norm, mlp, layer scale) of one block: open_clip's transformer, timm's
TRANSFORMER_BLOCKS = (("ln_2", "mlp", "ls_2"), ("norm2", "mlp", "ls2"))


class Bottleneck(nn.Module):
    """LayerNorm, down, ReLU, up, times a learnable scale.

    On feature maps it works pixel by pixel over the channels: the linear layers are 1x1 convolutions there.

    Args:
        width: channels C of the block.
        bottleneck: channels in between.
        channels_first: inputs are (B, C, H, W) instead of (B, tokens, C).
    """

    def __init__(self, width: int, bottleneck: int, channels_first: bool) -> None:
        super().__init__()
        self.channels_first = channels_first
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.scale = nn.Parameter(torch.ones(1))
        nn.init.kaiming_normal_(self.down.weight, a=math.sqrt(5))
        for start_at_zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(start_at_zero)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        if self.channels_first:
            x = x.movedim(1, -1)
        out = self.up(torch.relu(self.down(self.norm(x)))) * self.scale
        return out.movedim(-1, 1) if self.channels_first else out


class Parallel(nn.Module):
    """A frozen branch and an adapter side by side."""

    def __init__(self, branch: nn.Module, adapter: Bottleneck) -> None:
        super().__init__()
        self.branch = branch
        self.adapter = adapter

    def forward(self, x: Tensor) -> Tensor:
        """branch(x) + adapter(x)."""
        return self.branch(x) + self.adapter(x)


def automatic_width(classes: int, blocks: int) -> int:
    """LIFT's bottleneck: 2^max(0, floor(log2(K / (2 L)))) for K classes and L blocks."""
    return 2 ** max(0, math.floor(math.log2(classes / (2 * blocks))))


def insert_adapters(tower: nn.Module, width: int | str, classes: int) -> list[Bottleneck]:
    """Put an adapter beside each block of a frozen tower, and return the adapters.

    Transformer blocks: parallel to norm, MLP and layer scale, fed by the residual after attention. Convolutional
    towers: parallel to every block with a residual connection.

    Raises:
        ValueError: the tower has neither kind of block.
    """
    places = _mlp_branches(tower) or _residual_blocks(tower)
    if not places:
        raise ValueError("adapter: this tower has neither transformer blocks nor residual blocks that adapters fit")
    bottleneck = automatic_width(classes, len(places)) if width == "auto" else width
    adapters = [Bottleneck(place.channels, bottleneck, place.channels_first) for place in places]
    for place, adapter in zip(places, adapters, strict=True):
        setattr(place.owner, place.name, Parallel(place.branch, adapter))
    return adapters


@dataclass(frozen=True)
class _Place:
    """Where an adapter goes: `owner.name` is to become `branch` with an adapter beside it."""

    owner: nn.Module
    name: str
    branch: nn.Module
    channels: int
    channels_first: bool


def _mlp_branches(tower: nn.Module) -> list[_Place]:
    places = []
    for block in list(tower.modules()):
        for norm, mlp, scale in TRANSFORMER_BLOCKS:
            if not all(hasattr(block, name) for name in (norm, mlp, scale)):
                continue
            # x + scale(mlp(norm(x))) becomes x + branch(x), so that an adapter sees x and not norm(x)
            branch = nn.Sequential(getattr(block, norm), getattr(block, mlp), getattr(block, scale))
            setattr(block, norm, nn.Identity())
            setattr(block, scale, nn.Identity())
            places.append(_Place(block, mlp, branch, branch[0].normalized_shape[0], channels_first=False))
    return places


def _residual_blocks(tower: nn.Module) -> list[_Place]:
    return [
        _Place(parent, name, child, _last_convolution(child).out_channels, channels_first=True)
        for parent in tower.modules()
        for name, child in parent.named_children()
        if getattr(child, "has_skip", False)  # timm's mark on the blocks of EfficientNet and its kin
    ]


def _last_convolution(block: nn.Module) -> nn.Conv2d:
    return [module for module in block.modules() if isinstance(module, nn.Conv2d)][-1]
