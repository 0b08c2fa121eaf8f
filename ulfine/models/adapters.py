"""Lightweight fine-tuning: what a frozen tower is given to train.

The kinds are LIFT's (Shi et al., 2024; github.com/shijxcs/LIFT, models/peft_vit.py), placed on any tower whose blocks
`ulfine.models.blocks` knows. All but visual prompts leave the tower as it was until they are trained.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers import RmsNorm, RmsNorm2d, SimpleNorm, SimpleNorm2d
from torch import Tensor, nn

from ulfine.models.blocks import Place, attentions, blocks, places
from ulfine.models.fast import LayerNorm
from ulfine.models.lora import add_low_rank, has_projections
from ulfine.models.prompts import Tokens, add_prompts, sequences
from ulfine.params.adapter import VPT, Adapter, AdaptFormer, LoRA, Sequential

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)
NORMS += (RmsNorm, RmsNorm2d, SimpleNorm, SimpleNorm2d)


class Bottleneck(nn.Module):
    """LayerNorm, down, ReLU, up.

    On feature maps it works pixel by pixel over the channels: the linear layers are 1x1 convolutions there.

    Args:
        width: channels C of the block.
        bottleneck: channels in between.
        channels_first: inputs are (B, C, H, W) instead of (..., C).
        scaled: times a learnable scale that starts at 1 (AdaptFormer in LIFT).
    """

    def __init__(self, width: int, bottleneck: int, channels_first: bool, scaled: bool) -> None:
        super().__init__()
        self.channels_first = channels_first
        self.norm = LayerNorm(width)
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.scale = nn.Parameter(torch.ones(1)) if scaled else None
        nn.init.kaiming_normal_(self.down.weight, a=math.sqrt(5))
        for start_at_zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(start_at_zero)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        if self.channels_first:
            x = x.movedim(1, -1)
        within = torch.relu(self.down(self.norm(x)))
        if self.scale is None:
            out = self.up(within)
        else:  # scaled where it is narrow, and in its own type: float32 times bf16 would make what follows float32
            out = F.linear(within * self.scale.to(within.dtype), self.up.weight, self.up.bias * self.scale)
        return out.movedim(-1, 1) if self.channels_first else out


class Adapted(nn.Module):
    """A frozen branch with an adapter beside it (parallel), or after it with a connection of its own (sequential)."""

    def __init__(self, branch: nn.Module, adapter: Bottleneck, parallel: bool) -> None:
        super().__init__()
        self.branch = branch
        self.adapter = adapter
        self.parallel = parallel

    def forward(self, x: Tensor) -> Tensor:
        """branch(x) + adapter(x), or y + adapter(y) for y = branch(x)."""
        y = self.branch(x)
        return y + self.adapter(x if self.parallel else y)


def power_of_two(ratio: float) -> int:
    """The largest power of two up to `ratio`, and at least 1."""
    return 2 ** max(0, math.floor(math.log2(ratio)))


def automatic_width(classes: int, blocks: int) -> int:
    """LIFT's bottleneck and rank: 2^max(0, floor(log2(K / (2 L)))) for K classes and L blocks."""
    return power_of_two(classes / (2 * blocks))


def automatic_tokens(classes: int, blocks: int) -> int:
    """LIFT+'s prompt length: 2^max(0, floor(log2(K / L))) for K classes and L blocks that get prompts."""
    return power_of_two(classes / blocks)


def insert_adapters(tower: nn.Module, options: Adapter, classes: int) -> None:
    """Give a frozen tower what `options` names, and free that alone.

    New weights are drawn from torch's global generator.

    Args:
        tower: changed in place; all of it frozen.
        options: the kind and its size.
        classes: K, for sizes that are `auto`.

    Raises:
        ValueError: the tower has no place for this kind; the message names the kinds it has places for.
    """
    kind = KINDS[options.kind]
    found = kind.find(tower)
    if not found:
        allowed = ", ".join(name for name, other in KINDS.items() if other.find(tower)) or "none"
        raise ValueError(f"adapter.kind = {options.kind!r}: this tower has no {kind.needs} (allowed here: {allowed})")
    kind.insert(found, options, classes)


def _insert_bottlenecks(found: list[Place], options: AdaptFormer | Sequential, classes: int) -> None:
    width = automatic_width(classes, len(found)) if options.width == "auto" else options.width
    parallel = options.kind == "adaptformer"
    for place in found:
        adapter = Bottleneck(place.channels, width, place.channels_first, scaled=parallel)
        setattr(place.owner, place.name, Adapted(place.take(), adapter, parallel))


def _insert_low_rank(found: list[nn.Module], options: LoRA, classes: int) -> None:
    rank = automatic_width(classes, len(found)) if options.rank == "auto" else options.rank
    for attention in found:
        add_low_rank(attention, rank)


def _insert_prompts(found: list[Tokens], options: VPT, classes: int) -> None:
    for sequence in found:
        prompted = len(sequence.blocks) if options.depth == "deep" else 1
        tokens = automatic_tokens(classes, prompted) if options.tokens == "auto" else options.tokens
        add_prompts(sequence, tokens, options.depth == "deep")


def _free(found: list[nn.Parameter], *_: object) -> None:
    for parameter in found:
        parameter.requires_grad_(True)


def _attentions(tower: nn.Module) -> list[nn.Module]:
    return [attention for attention in attentions(tower) if has_projections(attention)]


def _biases(tower: nn.Module) -> list[nn.Parameter]:
    return [x for block in blocks(tower) for name, x in block.named_parameters() if name.endswith("bias")]


def _affine(tower: nn.Module) -> list[nn.Parameter]:
    layers = [layer for block in blocks(tower) for layer in block.modules() if isinstance(layer, NORMS)]
    return [parameter for layer in layers for parameter in layer.parameters(recurse=False)]


@dataclass(frozen=True)
class _Kind:
    find: Callable[[nn.Module], list]  # what it applies to in a tower, changing nothing
    needs: str  # what a tower without any lacks
    insert: Callable[[list, Adapter, int], None]


_BLOCKS = "transformer blocks or residual blocks of a known type"
KINDS = {
    "adaptformer": _Kind(places, _BLOCKS, _insert_bottlenecks),
    "sequential": _Kind(places, _BLOCKS, _insert_bottlenecks),
    "lora": _Kind(_attentions, "attention with q, k and v in its blocks", _insert_low_rank),
    "vpt": _Kind(sequences, "plain sequence of tokens without relative positions", _insert_prompts),
    "bias": _Kind(_biases, "blocks of a known type with biases", _free),
    "norm": _Kind(_affine, "blocks of a known type with normalisation layers", _free),
}
