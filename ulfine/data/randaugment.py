"""RandAugment (Cubuk et al. 2020, arXiv 1909.13719) on batches of pictures, with a separate draw for each picture.

The 14 operations, magnitudes and signs are those of torchvision v2's RandAugment (`num_magnitude_bins=31`, nearest
pixels, black fill) on PIL pictures, and so is every pixel: the operations repeat Pillow's arithmetic bit for bit, which
torchvision's tensor kernels do not. Pictures are sorted by operation, so that a layer takes only four steps: one gather
for all operations that move pixels, one table look-up for all that map levels, colour, and sharpness. The sorting is
done on the CPU; nothing here waits for a device.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.data.resident import sent
from ulfine.rng import generator

MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
KNOWN = ("Posterize", "Solarize", "Brightness", "Contrast")  # their look-up tables are made once
TABLES = (*KNOWN, "AutoContrast", "Equalize")
OPERATIONS = ("Identity", *MOVES, *TABLES, "Color", "Sharpness")
FACTORS = ("Brightness", "Contrast", "Color", "Sharpness")
SIGNED = frozenset((*MOVES, *FACTORS))
STRENGTHS = 31  # torchvision's number of bins: `magnitude` is 0 to 30
GREY = (19595, 38470, 7471)  # weights of ITU-R 601 luma times 2^16, as in Pillow


class Draws(NamedTuple):
    """One operation per picture: (B,) indices into OPERATIONS and (B,) signs, 1 or -1 (not always used)."""

    operations: np.ndarray
    signs: np.ndarray


class _Layer(NamedTuple):
    """Draws sorted by operation, the start of each operation, and the end of the last."""

    draws: Draws
    starts: list[int]
    magnitude: int

    def part(self, *names: str) -> slice:
        """Return the slice of pictures with these operations, which must be neighbours in OPERATIONS."""
        first = OPERATIONS.index(names[0])
        return slice(self.starts[first], self.starts[first + len(names)])

    def of(self, *names: str) -> Draws:
        part = self.part(*names)
        return Draws(self.draws.operations[part], self.draws.signs[part])


def rand_augment(images: Tensor, operations: int, magnitude: int, seed: int) -> Tensor:
    """Apply `operations` of the 14 operations to each picture, drawn with replacement, either sign equally likely.

    images: (B, side, side, 3) uint8. magnitude: 0 to 30. Returns the same shape, type and device.

    Raises:
        ValueError: the magnitude is outside 0 to 30.
    """
    for draws in drawn(len(images), operations, seed):
        images = apply(images, draws, magnitude)
    return images


def drawn(count: int, operations: int, seed: int) -> list[Draws]:
    """One layer after the other, for `count` pictures."""
    kinds = generator(seed).integers(0, 2 * len(OPERATIONS), (operations, count))
    negative, chosen = np.divmod(kinds, len(OPERATIONS))
    return [Draws(*layer) for layer in zip(chosen, 1 - 2 * negative, strict=True)]


def apply(images: Tensor, draws: Draws, magnitude: int) -> Tensor:
    """Apply one operation to each picture. images: (B, side, side, 3) uint8, not modified. Returns the same shape.

    Raises:
        ValueError: the magnitude is outside 0 to 30.
    """
    order = np.argsort(draws.operations, kind="stable")
    draws = Draws(draws.operations[order], draws.signs[order])
    starts = np.searchsorted(draws.operations, np.arange(len(OPERATIONS) + 1)).tolist()
    layer = _Layer(draws, starts, magnitude)
    views = images.index_select(0, sent(order, images.device))
    for names, change in ((MOVES, _moved), (TABLES, _looked_up), (("Color",), _coloured), (("Sharpness",), _sharpened)):
        part = layer.part(*names)
        if part.start < part.stop:
            views[part] = change(views[part], layer)
    return views.index_select(0, sent(np.argsort(order), images.device))


@lru_cache
def magnitudes(magnitude: int, side: int) -> dict[str, float]:
    """Return torchvision's strength, without sign, of each operation that has one.

    Units: tangents for shears, pixels for shifts, degrees for rotation; for brightness, contrast, colour and sharpness
    the amount added to a factor of 1; bits for posterisation; a share of 255 for solarisation.

    magnitude: 0 to 30. side: of the pictures, in pixels.

    Raises:
        ValueError: the magnitude is outside 0 to 30.
    """
    if not 0 <= magnitude < STRENGTHS:
        raise ValueError(f"magnitude = {magnitude} (allowed: 0 to {STRENGTHS - 1})")
    shift = 150.0 / 331.0 * side
    ends = dict(zip(MOVES, (0.3, 0.3, shift, shift, 30.0), strict=True)) | dict.fromkeys(FACTORS, 0.9)
    found = {name: torch.linspace(0.0, end, STRENGTHS)[magnitude].item() for name, end in ends.items()}
    bits = (8 - torch.arange(STRENGTHS) / ((STRENGTHS - 1) / 4)).round()[magnitude].item()
    return found | {"Posterize": bits, "Solarize": torch.linspace(1.0, 0.0, STRENGTHS)[magnitude].item()}


def picked(images: Tensor, pixels: Tensor) -> Tensor:
    """Gather (..., 3) pixels from (B, height, width, 3) pictures. pixels: (...) int32 indices over all pictures."""
    return images.reshape(-1, 3).index_select(0, pixels.flatten()).view(*pixels.shape, 3)


def _moved(views: Tensor, layer: _Layer) -> Tensor:
    """Shear, translate or rotate: every pixel from its nearest source, black outside."""
    count, side = views.shape[:2]
    operations, signs = layer.of(*MOVES)
    maps = _maps(layer.magnitude, side)[operations - OPERATIONS.index(MOVES[0]), (signs < 0).astype(int)]
    across, down, start = maps.transpose(1, 2, 0)[..., None]
    pixels = np.arange(side, dtype=np.int32)
    columns, rows = sent(np.stack([across * pixels, down * pixels + start]), views.device)
    x, y = (columns[:, :, None, :] + rows[..., None]).bitwise_right_shift_(16).clamp_(-1, side)
    wide = side + 2  # a black border stands for everything outside
    corners = torch.arange(wide + 1, count * wide**2, wide**2, dtype=torch.int32, device=views.device)
    return picked(F.pad(views, (0, 0, 1, 1, 1, 1)), y.mul_(wide).add_(x).add_(corners[:, None, None]))


@lru_cache
def _maps(magnitude: int, side: int) -> np.ndarray:
    """Return (len(MOVES), 2, 3, 2) int32: by sign, + and -, the source x and y per column, per row, at the first pixel.

    In units of 2^-16 pixels, rounded as in Pillow.
    """
    strengths = magnitudes(magnitude, side)
    maps = np.array([[_map(name, sign * strengths[name], side) for sign in (1, -1)] for name in MOVES])
    maps[..., 2, :] += maps[..., 0, :] * 0.5 + maps[..., 1, :] * 0.5  # from pixels' corners to their centres
    return np.floor(maps * 65536.0 + 0.5).astype(np.int32)


def _map(name: str, size: float, side: int) -> tuple[tuple[float, float], ...]:
    """Return source (x, y) in pixels: the step per target column, the step per row, and the upper left corner."""
    if name == "Rotate":
        angle, middle = -math.radians(size % 360.0), side / 2
        cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
        return (
            (cos, -sin),
            (sin, cos),
            (cos * -middle + sin * -middle + middle, -sin * -middle + cos * -middle + middle),
        )
    size = float(int(size)) if name.startswith("Translate") else size
    shear_x, shear_y, shift_x, shift_y = (size * (name == other) for other in MOVES[:4])
    return (1.0, shear_y), (shear_x, 1.0), (-shift_x, -shift_y)


def _looked_up(views: Tensor, layer: _Layer) -> Tensor:
    """Map levels of each channel to others, by one table per picture and channel."""
    channels = torch.arange(0, 768, 256, device=views.device)
    cells = views.flatten(2).long().add_(channels.repeat(views.shape[1])).flatten(1)
    tables = views.new_empty(len(views), 3, 256)
    known = len(layer.of(*KNOWN).signs)
    if known:
        tables[:known] = _known_tables(views[:known], layer)[:, None]
    if known < len(views):
        tables[known:] = _counted_tables(cells[known:], len(layer.of("AutoContrast").signs))
    return tables.flatten(1).gather(1, cells).view_as(views)


def _known_tables(views: Tensor, layer: _Layer) -> Tensor:
    """Return (G, 256) uint8 tables for KNOWN. Brightness is contrast around black; contrast is around the mean grey."""
    operations, signs = layer.of(*KNOWN)
    numbers = np.where(signs < 0, 256, 0)
    numbers[operations == OPERATIONS.index("Posterize")] = 512
    numbers[operations == OPERATIONS.index("Solarize")] = 513
    rows, pixels = sent(numbers, views.device), views.shape[1] ** 2
    around = len(views) - len(layer.of("Contrast").signs)
    rows[around:] += (_grey(views[around:]).long().sum((1, 2)) + pixels // 2) // pixels
    return _possible_tables(layer.magnitude, views.device).index_select(0, rows)


@lru_cache
def _possible_tables(magnitude: int, device: torch.device) -> Tensor:
    """Return (514, 256) uint8: contrast around 0 to 255, sign +, then -; posterisation; solarisation."""
    strengths, levels = magnitudes(magnitude, side=1), np.arange(256)
    factors = np.array([1 + strengths["Contrast"], 1 - strengths["Contrast"]], np.float32)[:, None, None]
    base = levels[:, None].astype(np.float32)
    contrasts = (base + factors * (levels.astype(np.float32) - base)).clip(0, 255).reshape(512, 256)
    posterized = levels & -(2 ** (8 - int(strengths["Posterize"])))
    solarized = np.where(levels < 255.0 * strengths["Solarize"], levels, 255 - levels)
    return sent(np.concatenate([contrasts, posterized[None], solarized[None]]).astype(np.uint8), device)


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
    factors = 1 + layer.of(name).signs * magnitudes(layer.magnitude, views.shape[1])[name]
    return sent(factors.astype(np.float32), views.device)[:, None, None, None]


def _blend(views: Tensor, base: Tensor, factors: Tensor) -> Tensor:
    """Return base + factors * (views - base), computed in float32 and rounded down to uint8."""
    return (views - base).mul_(factors).add_(base).clamp_(0, 255).to(torch.uint8)
