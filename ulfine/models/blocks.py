"""The parts of a tower that adapters work on: its blocks, the MLP branch of each, its attention.

Towers differ in the names of these parts. The tables give them by type, since two types with the same names may apply
them in another order. A block of a type that is not here is left alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from open_clip import modified_resnet
from open_clip import transformer as open_clip_transformer
from timm.layers import LayerScale
from timm.models import (
    _efficientnet_blocks,
    beit,
    convnext,
    eva,
    fastvit,
    regnet,
    resnet,
    swin_transformer,
    swin_transformer_v2,
    vision_transformer,
    vision_transformer_relpos,
    vitamin,
)
from torch import nn

# x + branch(x): the parts of a block's last branch in the order in which they are applied
MLP_BRANCHES: dict[type[nn.Module], tuple[str, ...]] = {
    open_clip_transformer.ResidualAttentionBlock: ("ln_2", "mlp", "ls_2"),
    open_clip_transformer.CustomResidualAttentionBlock: ("ln_2", "mlp", "ls_2"),
    vision_transformer.Block: ("norm2", "mlp", "ls2"),
    vision_transformer.ResPostBlock: ("mlp", "norm2"),
    vision_transformer_relpos.RelPosBlock: ("norm2", "mlp", "ls2"),
    vision_transformer_relpos.ResPostRelPosBlock: ("mlp", "norm2"),
    beit.Block: ("norm2", "mlp", "gamma_2"),
    eva.EvaBlock: ("norm2", "mlp", "gamma_2"),
    eva.EvaBlockPostNorm: ("mlp", "norm2"),
    swin_transformer.SwinTransformerBlock: ("norm2", "mlp"),
    swin_transformer_v2.SwinTransformerV2Block: ("mlp", "norm2"),
    fastvit.RepMixerBlock: ("mlp", "layer_scale"),
    fastvit.AttentionBlock: ("mlp", "layer_scale_2"),
}
ATTENTION = ("attn", "token_mixer")  # under one of these names


def _no_downsample(block: nn.Module) -> bool:
    return block.downsample is None


def _identity_downsample(block: nn.Module) -> bool:
    return isinstance(block.downsample, nn.Identity)


def _identity_shortcut(block: nn.Module) -> bool:
    return isinstance(block.shortcut, nn.Identity)


def _has_skip(block: nn.Module) -> bool:
    return block.has_skip


# convolutional blocks on (B, C, H, W), and when their shortcut is the identity
RESIDUAL_BLOCKS: dict[type[nn.Module], Callable[[nn.Module], bool]] = {
    modified_resnet.Bottleneck: _no_downsample,
    resnet.BasicBlock: _no_downsample,
    resnet.Bottleneck: _no_downsample,
    regnet.Bottleneck: _identity_downsample,
    convnext.ConvNeXtBlock: _identity_shortcut,
    vitamin.MbConvLNBlock: _identity_shortcut,
    _efficientnet_blocks.DepthwiseSeparableConv: _has_skip,
    _efficientnet_blocks.InvertedResidual: _has_skip,
    _efficientnet_blocks.EdgeResidual: _has_skip,
    _efficientnet_blocks.UniversalInvertedResidual: _has_skip,
    _efficientnet_blocks.MobileAttention: _has_skip,
}


@dataclass(frozen=True)
class Place:
    """A place for a bottleneck: the branch that `parts` of `owner` make up, one after the other."""

    owner: nn.Module
    parts: tuple[str, ...]
    name: str  # the part that is to hold the whole branch
    channels: int
    channels_first: bool  # (B, C, H, W) instead of (..., C)

    def take(self) -> nn.Sequential:
        """The branch, whose parts leave the owner: what is put at `name` stands for all of it."""
        branch = nn.Sequential(*(_module(getattr(self.owner, part)) for part in self.parts))
        for part in self.parts:
            is_module = isinstance(getattr(self.owner, part), nn.Module)
            setattr(self.owner, part, nn.Identity() if is_module else None)
        return branch


def blocks(tower: nn.Module) -> list[nn.Module]:
    """The blocks of a tower in order: those of its transformer or, where it has none, the convolutional ones.

    The convolutional stages of a hybrid (ViTamin) come before its transformer and count as its patch embedding.
    """
    transformer = [module for module in tower.modules() if type(module) in MLP_BRANCHES]
    return transformer or [module for module in tower.modules() if type(module) in RESIDUAL_BLOCKS]


def distances(tower: nn.Module) -> Iterator[tuple[nn.Parameter, int]]:
    """Each parameter of a tower with L blocks, and its distance from the end, as BEiT counts layers.

    0 behind the last block, 1 in it, L in the first one, L + 1 before that. What lies between two goes with the former.
    """
    found = blocks(tower)
    of_block = {id(each): number for number, block in enumerate(found, 1) for each in block.parameters()}
    numbers = [of_block.get(id(parameter)) for parameter in tower.parameters()]
    last = max((place for place, number in enumerate(numbers) if number), default=-1)
    current = 0
    for place, (parameter, number) in enumerate(zip(tower.parameters(), numbers, strict=True)):
        current = number or current
        yield parameter, 0 if place > last else len(found) + 1 - current


def places(tower: nn.Module) -> list[Place]:
    """One place a block: the MLP branch of a transformer, or a convolutional block whose shortcut is the identity."""
    branches = [_mlp_branch(module) for module in tower.modules() if type(module) in MLP_BRANCHES]
    return branches or [
        Place(parent, (name,), name, _width(_last_layer(child)), channels_first=True)
        for parent in tower.modules()
        for name, child in parent.named_children()
        if type(child) in RESIDUAL_BLOCKS and RESIDUAL_BLOCKS[type(child)](child)
    ]


def attentions(tower: nn.Module) -> list[nn.Module]:
    """The attention of each block that has one; not that of a pooling head."""
    found = [getattr(block, name, None) for block in blocks(tower) for name in ATTENTION]
    return [attention for attention in found if attention is not None]


def _mlp_branch(block: nn.Module) -> Place:
    last = _last_layer(block.mlp)
    return Place(block, MLP_BRANCHES[type(block)], "mlp", _width(last), isinstance(last, nn.Conv2d))


def _last_layer(module: nn.Module) -> nn.Linear | nn.Conv2d:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]


def _width(layer: nn.Linear | nn.Conv2d) -> int:
    return layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features


def _module(part: nn.Module | nn.Parameter | None) -> nn.Module:
    """timm's layer scale is a module, a parameter, or absent."""
    if part is None:
        return nn.Identity()
    if isinstance(part, nn.Module):
        return part
    scale = LayerScale(len(part))
    scale.gamma = part
    return scale
