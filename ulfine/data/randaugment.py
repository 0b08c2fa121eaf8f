"""RandAugment's operations on batches of pictures, each picture with an operation of its own.

The 14 operations are those of RandAugment (Cubuk et al. 2020, arXiv 1909.13719) on PIL pictures, as torchvision, ACR
and TorchSSL have them: nearest pixels, black outside. The arithmetic is Pillow's, bit for bit, which torchvision's
tensor kernels are not. Pictures are sorted by operation, so that a layer takes only four steps: one gather for all
operations that move pixels, one table look-up for all that map levels, colour, and sharpness. The sorting is done on
the CPU; nothing here waits for a device. `draws.py` says which operations, and how strong.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.data.resident import sent

MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
KNOWN = ("Posterize", "Solarize", "Brightness", "Contrast")  # their look-up tables need no histogram
TABLES = (*KNOWN, "AutoContrast", "Equalize")
OPERATIONS = ("Identity", *MOVES, *TABLES, "Color", "Sharpness")
FACTORS = ("Brightness", "Contrast", "Color", "Sharpness")
GREY = (19595, 38470, 7471)  # weights of ITU-R 601 luma times 2^16, as in Pillow


class Draws(NamedTuple):
    """One operation per picture: (B,) indices into OPERATIONS, and (B,) float64 sizes, ignored where there is none.

    Units: tangents for shears, pixels for shifts, degrees for rotation; bits that posterisation keeps; the level from
    which solarisation inverts; the factor of brightness, contrast, colour and sharpness, where 1 changes nothing.
    """

    operations: np.ndarray
    sizes: np.ndarray


class _Layer(NamedTuple):
    """Draws sorted by operation, the start of each operation, and the end of the last."""

    draws: Draws
    starts: list[int]

    def part(self, *names: str) -> slice:
        """Return the slice of pictures with these operations, which must be neighbours in OPERATIONS."""
        first = OPERATIONS.index(names[0])
        return slice(self.starts[first], self.starts[first + len(names)])

    def of(self, *names: str) -> Draws:
        part = self.part(*names)
        return Draws(self.draws.operations[part], self.draws.sizes[part])


def apply(images: Tensor, draws: Draws) -> Tensor:
    """Apply one operation to each picture. images: (B, side, side, 3) uint8, not modified. Returns the same shape."""
    order = np.argsort(draws.operations, kind="stable")
    draws = Draws(draws.operations[order], draws.sizes[order])
    layer = _Layer(draws, np.searchsorted(draws.operations, np.arange(len(OPERATIONS) + 1)).tolist())
    views = images.index_select(0, sent(order, images.device))
    for names, change in ((MOVES, _moved), (TABLES, _looked_up), (("Color",), _coloured), (("Sharpness",), _sharpened)):
        part = layer.part(*names)
        if part.start < part.stop:
            views[part] = change(views[part], layer)
    return views.index_select(0, sent(np.argsort(order), images.device))


def picked(images: Tensor, pixels: Tensor) -> Tensor:
    """Gather (..., 3) pixels from (B, height, width, 3) pictures. pixels: (...) int32 indices over all pictures."""
    return images.reshape(-1, 3).index_select(0, pixels.flatten()).view(*pixels.shape, 3)


def _moved(views: Tensor, layer: _Layer) -> Tensor:
    """Shear, translate or rotate: every pixel from its nearest source, black outside."""
    count, side = views.shape[:2]
    moves = layer.of(*MOVES)
    found = zip(moves.operations.tolist(), moves.sizes.tolist(), strict=True)
    maps = np.array([_map(OPERATIONS[number], size, side) for number, size in found], dtype=np.int32)
    across, down, start = maps.transpose(1, 2, 0)[..., None]
    pixels = np.arange(side, dtype=np.int32)
    columns, rows = sent(np.stack([across * pixels, down * pixels + start]), views.device)
    x, y = (columns[:, :, None, :] + rows[..., None]).bitwise_right_shift_(16).clamp_(-1, side)
    wide = side + 2  # a black border stands for everything outside
    corners = torch.arange(wide + 1, count * wide**2, wide**2, dtype=torch.int32, device=views.device)
    return picked(F.pad(views, (0, 0, 1, 1, 1, 1)), y.mul_(wide).add_(x).add_(corners[:, None, None]))


@lru_cache(maxsize=4096)
def _map(name: str, size: float, side: int) -> np.ndarray:
    """Return (3, 2) source x, y per column, per row, and at the first pixel, in 2^-16 pixels, rounded as in Pillow."""
    steps = np.array(_steps(name, size, side))
    steps[2] += steps[0] * 0.5 + steps[1] * 0.5  # from pixels' corners to their centres
    return np.floor(steps * 65536.0 + 0.5)


def _steps(name: str, size: float, side: int) -> tuple[tuple[float, float], ...]:
    """Return source (x, y) in pixels: the step per target column, the step per row, and the upper left corner."""
    if name == "Rotate":
        angle, middle = -math.radians(size % 360.0), side / 2
        cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
        return (
            (cos, -sin),
            (sin, cos),
            (cos * -middle + sin * -middle + middle, -sin * -middle + cos * -middle + middle),
        )
    shear_x, shear_y, shift_x, shift_y = (size * (name == other) for other in MOVES[:4])
    return (1.0, shear_y), (shear_x, 1.0), (-shift_x, -shift_y)


def _looked_up(views: Tensor, layer: _Layer) -> Tensor:
    """Map levels of each channel to others, by one table per picture and channel."""
    channels = torch.arange(0, 768, 256, device=views.device)
    cells = views.flatten(2).long().add_(channels.repeat(views.shape[1])).flatten(1)
    tables = views.new_empty(len(views), 3, 256)
    known = len(layer.of(*KNOWN).sizes)
    if known:
        tables[:known] = _known_tables(views[:known], layer)[:, None]
    if known < len(views):
        tables[known:] = _counted_tables(cells[known:], len(layer.of("AutoContrast").sizes))
    return tables.flatten(1).gather(1, cells).view_as(views)


def _known_tables(views: Tensor, layer: _Layer) -> Tensor:
    """Return (G, 256) uint8 tables for KNOWN. Brightness is contrast around black; contrast is around the mean grey."""
    levels = torch.arange(256, device=views.device)
    kept, inverted = (layer.of(name).sizes for name in ("Posterize", "Solarize"))
    posterized = levels & sent(-(2 ** (8 - kept.astype(np.int64))), views.device)[:, None]
    solarized = torch.where(levels < sent(np.ceil(inverted), views.device)[:, None], levels, 255 - levels)
    factors = sent(layer.of("Brightness", "Contrast").sizes.astype(np.float32), views.device)[:, None]
    contrasted, pixels = views[len(views) - len(layer.of("Contrast").sizes) :], views.shape[1] ** 2
    grey = (_grey(contrasted).long().sum((1, 2)) + pixels // 2) // pixels
    base = F.pad(grey, (len(factors) - len(grey), 0))[:, None].float()
    stretched = (base + factors * (levels.float() - base)).clamp_(0, 255)
    return torch.cat([each.to(torch.uint8) for each in (posterized, solarized, stretched)])


def _counted_tables(cells: Tensor, stretched: int) -> Tensor:
    """Return (G, 3, 256) uint8 tables: autocontrast for the first `stretched` pictures, equalisation for the others.

    cells: (G, 3 * pixels), each value 256 * channel + level.
    """
    counts = torch.zeros(len(cells), 768, dtype=torch.int32, device=cells.device)
    counts.scatter_add_(1, cells, torch.ones_like(counts[:, :1]).expand_as(cells))
    counts, pixels = counts.view(-1, 3, 256), cells.shape[1] // 3
    up_to = counts.cumsum(-1)
    below = up_to - counts
    return torch.cat([_stretching(up_to[:stretched], pixels), _equalizing(below[stretched:], pixels)])


def _stretching(up_to: Tensor, pixels: int) -> Tensor:
    """Map the lowest level to 0 and the highest to 255 (autocontrast). up_to: (..., 256) pixels at or below a level."""
    levels = torch.arange(256, device=up_to.device)
    low, high = ((up_to < least).sum(-1, keepdim=True) for least in (1, pixels))
    scale = torch.full_like(up_to[..., :1], 255, dtype=torch.float64) / (high - low).clamp_(min=1)
    stretched = (levels * scale).sub_(low * scale).clamp_(0, 255)
    return torch.where(high > low, stretched, levels).to(torch.uint8)


def _equalizing(below: Tensor, pixels: int) -> Tensor:
    """Flatten the histogram (equalisation). below: (..., 256) pixels below a level."""
    step = (below * (below < pixels)).amax(-1, keepdim=True) // 255
    spread = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    return torch.where(step > 0, spread, torch.arange(256, device=below.device)).to(torch.uint8)


def _coloured(views: Tensor, layer: _Layer) -> Tensor:
    return _blend(views.float(), _grey(views)[..., None], _factors(views, layer, "Color"))


def _sharpened(views: Tensor, layer: _Layer) -> Tensor:
    """Move from or towards a smoothed picture: means of 3x3 pixels, the middle one weighted 5; the border stays."""
    levels = views.float()
    inner = levels[:, 1:-1, 1:-1]
    three = levels[:, :-2] + levels[:, 1:-1] + levels[:, 2:]
    nine = three[:, :, :-2] + three[:, :, 1:-1] + three[:, :, 2:]
    smooth = nine.add_(inner, alpha=4).div_(13).add_(0.5).floor_()
    views = views.clone()
    views[:, 1:-1, 1:-1] = _blend(inner, smooth, _factors(views, layer, "Sharpness"))
    return views


def _grey(views: Tensor) -> Tensor:
    """Return (...) luma, 0 to 255, rounded, of (..., 3) uint8 pixels. Sums stay below 2^24, so float32 is exact."""
    weights = sent(np.array(GREY, np.float32), views.device)
    return (views.float() @ weights).add_(1 << 15).mul_(2.0**-16).floor_()


def _factors(views: Tensor, layer: _Layer, name: str) -> Tensor:
    """Return (G, 1, 1, 1) float32 blending factors."""
    return sent(layer.of(name).sizes.astype(np.float32), views.device)[:, None, None, None]


def _blend(views: Tensor, base: Tensor, factors: Tensor) -> Tensor:
    """Return base + factors * (views - base), computed in float32 and rounded down to uint8."""
    return (views - base).mul_(factors).add_(base).clamp_(0, 255).to(torch.uint8)
