"""Visual prompt tuning (Jia et al., 2022): learned tokens between the class token and the patches."""

import math
from dataclasses import dataclass

import open_clip
import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


@dataclass(frozen=True)
class Tokens:
    """A plain transformer: every block takes tokens (B, N, C), as many as there are."""

    blocks: nn.Sequential | nn.ModuleList
    prefix: int  # tokens before the patches: class and register tokens
    channels: int
    patch: int  # pixels under a patch


class Prompted(nn.Module):
    """A block with prompt tokens around it.

    Args:
        block: the block, called with whatever its tower passes it.
        prefix: tokens before the place of the prompts.
        tokens: prompt tokens T.
        prompts: (T, C), inserted before the block; None where an earlier block did.
        removes: they leave after the block, so that what pools the tokens sees those that it knows.
    """

    def __init__(self, block: nn.Module, prefix: int, tokens: int, prompts: nn.Parameter | None, removes: bool) -> None:
        super().__init__()
        self.block = block
        self.prefix = prefix
        self.tokens = tokens
        self.prompts = prompts
        self.removes = removes

    def forward(self, x: Tensor, *arguments: object, **options: object) -> Tensor:
        """(B, N, C) to (B, N, C), or with T more tokens where prompts go in or out at another block."""
        if self.prompts is not None:
            prompts = self.prompts.to(x.dtype).expand(len(x), -1, -1)
            x = torch.cat([x[:, : self.prefix], prompts, x[:, self.prefix :]], dim=1)
        x = self.block(x, *arguments, **options)
        if self.removes:
            x = torch.cat([x[:, : self.prefix], x[:, self.prefix + self.tokens :]], dim=1)
        return x


def sequences(tower: nn.Module) -> list[Tokens]:
    """The plain transformer of a tower, in a list; an empty one for windows, hierarchies, relative positions, maps."""
    found = []
    for module in tower.modules():
        if isinstance(module, open_clip.transformer.VisionTransformer):
            patch = math.prod(module.patch_size)
            found.append(Tokens(module.transformer.resblocks, 1, module.transformer.width, patch))
        elif isinstance(module, VisionTransformer | Eva):
            patch = math.prod(module.patch_embed.img_size) // math.prod(module.patch_embed.grid_size)
            found.append(Tokens(module.blocks, module.num_prefix_tokens, module.embed_dim, patch))
    return found


def add_prompts(sequence: Tokens, tokens: int, deep: bool) -> None:
    """Insert prompts before the first block, carried to the last, or before every block new ones in their place.

    They start uniform within ±sqrt(6 / (3 p² + C)), p² the pixels of a patch, as in VPT and LIFT.
    """
    bound = math.sqrt(6 / (3 * sequence.patch + sequence.channels))
    last = len(sequence.blocks) - 1
    for position, block in enumerate(sequence.blocks):
        if hasattr(block, "attn") and hasattr(block.attn, "num_prefix_tokens"):
            block.attn.num_prefix_tokens += tokens  # rotary positions are those of the patches alone
        inserts, removes = deep or position == 0, deep or position == last
        if inserts or removes:
            prompts = nn.Parameter(torch.empty(tokens, sequence.channels).uniform_(-bound, bound)) if inserts else None
            sequence.blocks[position] = Prompted(block, sequence.prefix, tokens, prompts, removes)
