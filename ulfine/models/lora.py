"""LoRA (Hu et al., 2022) as LIFT runs it: low-rank updates of the query and value projections, scaled by 1/r.

The updates are torch parametrizations of the frozen weights, so that they work in every attention that reads its weight
as an attribute: torch's MultiheadAttention, open_clip's and timm's.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """W + up down / r for a frozen weight W (O, I).

    `up` (O, r) starts at zero, `down` (r, I) uniform within ±1/sqrt(r). That is LIFT's start, whose factor is laid out
    as (I, r); the original, (r, I), starts within ±1/sqrt(I).
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.up = nn.Parameter(torch.zeros(outputs, rank))
        self.down = nn.Parameter(torch.empty(rank, inputs).uniform_(-(rank**-0.5), rank**-0.5))

    def forward(self, weight: Tensor) -> Tensor:
        """Same shape out as in."""
        return weight + self.up @ self.down / len(self.down)


class PackedLowRank(nn.Module):
    """Updates of q and v in one weight (3 O, I) that packs q, k and v."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        q, _, v = weight.chunk(3)
        self.q, self.v = LowRank(q, rank), LowRank(v, rank)

    def forward(self, weight: Tensor) -> Tensor:
        """Same shape out as in."""
        q, k, v = weight.chunk(3)
        return torch.cat([self.q(q), k, self.v(v)])


def has_projections(attention: nn.Module) -> bool:
    """Whether q and v have weights that `add_low_rank` knows."""
    return bool(_projections(attention))


def add_low_rank(attention: nn.Module, rank: int) -> None:
    """Put trained updates of rank r on the q and v projections of one attention."""
    for owner, name, update in _projections(attention):
        weight = getattr(owner, name)
        parametrize.register_parametrization(owner, name, update(weight, rank))


def _projections(attention: nn.Module) -> list[tuple[nn.Module, str, type[LowRank | PackedLowRank]]]:
    if getattr(attention, "in_proj_weight", None) is not None:
        return [(attention, "in_proj_weight", PackedLowRank)]
    if isinstance(getattr(attention, "qkv", None), nn.Linear):
        return [(attention.qkv, "weight", PackedLowRank)]
    separate = [getattr(attention, name, None) for name in ("q_proj", "v_proj")]
    return [(layer, "weight", LowRank) for layer in separate if isinstance(layer, nn.Linear)]
