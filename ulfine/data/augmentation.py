"""Weak and strong views of pictures: a separate random draw for each, repeatable from a seed.

NumPy draws on the CPU and the draws go to the pictures' device, so they are the same on every device.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.data.draws import drawn
from ulfine.data.randaugment import apply, picked
from ulfine.data.resident import sent
from ulfine.params.augmentation import Augmentation, Cutout, Weak
from ulfine.rng import CUTOUT, RANDAUGMENT, generator, key

GREY = 127  # fills the square of cutout
LEAST_AREA = 0.08  # of random crops, and of LIFT+'s first ones, as a share of the picture
NARROWEST, TRIES = 3 / 4, 10  # of random crops: width over height, or its inverse; draws before the whole is taken
CROP = 224 / 248  # side of LIFT's five crops, as a share of the picture's


def weak_views(images: Tensor, weak: Weak, seed: int) -> Tensor:
    """Pad with reflected pixels, crop at random and flip at random.

    images: (B, side, side, 3) uint8. Returns the same shape, type and device. FixMatch, TorchSSL and USB pad by 1/8 of
    the side.
    """
    rng = generator(seed)
    count, side = images.shape[:2]
    pad = round(weak.pad * side)
    top, left = rng.integers(0, 2 * pad + 1, (2, count))
    flipped = rng.random(count) < 0.5 if weak.flip else np.zeros(count, bool)
    pixels = np.arange(side)
    rows = _reflected(top[:, None] - pad + pixels, side) + side * np.arange(count)[:, None]
    columns = _reflected(left[:, None] - pad + np.where(flipped[:, None], pixels[::-1], pixels), side)
    starts, steps = sent(np.stack([rows * side, columns]).astype(np.int32), images.device)
    return picked(images, starts[:, :, None] + steps[:, None, :])


def strong_views(images: Tensor, augmentation: Augmentation, seed: int) -> Tensor:
    """Apply the weak view, RandAugment and cutout, as in FixMatch (Sohn et al. 2020).

    images: (B, side, side, 3) uint8. Returns the same shape, type and device.
    """
    views = weak_views(images, augmentation.weak, seed)
    for draws in drawn(augmentation.strong, *images.shape[:2], key(seed, RANDAUGMENT)):
        views = apply(views, draws)
    return cutout(views, augmentation.strong.cutout, seed)


def cutout(images: Tensor, square: Cutout, seed: int) -> Tensor:
    """Blank a randomly placed square, clipped at the border (DeVries and Taylor, 2017).

    images: (B, side, side, 3) uint8. Returns the same shape, type and device.
    """
    rng = generator(key(seed, CUTOUT))
    count, side = images.shape[:2]
    centres, largest = rng.integers(0, side, (2, count, 1)), square.size * (side if square.unit == "side" else 1)
    sizes = np.rint(largest if square.draw == "fixed" else rng.uniform(0, largest, (count, 1))).astype(int)
    corners = centres - sizes // 2
    pixels = np.arange(side)
    squares = np.where((pixels >= corners) & (pixels < corners + sizes), np.uint8(255), np.uint8(0))
    rows, columns = sent(squares.repeat(3, axis=2), images.device)
    inside = rows[:, ::3, None] & columns[:, None, :]
    blanked = (images.flatten(2) & ~inside) | (inside & GREY)  # bytewise: several times faster than a masked fill
    return blanked.view_as(images)


def minimalist_views(images: Tensor, seed: int, done: float) -> Tensor:
    """Take a random square crop of each picture and resize it; no flip.

    The minimum crop area grows from 0.08 of the picture to all of it, slowly at first: the convex schedule of LIFT+'s
    minimalist augmentation (shijxcs/LIFT-plus, utils/transforms.py), but by step instead of epoch.

    images: (B, side, side, 3) uint8. done: completed share of the training, 0 to 1. Returns the same shape, type and
    device.
    """
    least = LEAST_AREA + (1 - LEAST_AREA) * (1 - np.sqrt(1 - done**2))
    rng = generator(seed)
    count, side = images.shape[:2]
    sizes = np.rint(side * np.sqrt(rng.uniform(least, 1, count))).astype(int).clip(1, side)
    top, left = rng.integers(0, side - sizes + 1, (2, count))
    return resized(images, top, left, sizes, sizes)


def resized_crops(images: Tensor, seed: int) -> Tensor:
    """Take a random crop of 8 to 100 % of each picture, 3:4 to 4:3, resize it, and flip at random (LIFT, LoFT).

    Crops are drawn as by torchvision's RandomResizedCrop: up to ten times until one fits, else the whole picture.

    images: (B, side, side, 3) uint8. Returns the same shape, type and device.
    """
    rng = generator(seed)
    count, side = images.shape[:2]
    areas = side**2 * rng.uniform(LEAST_AREA, 1, (TRIES, count))
    ratios = np.exp(rng.uniform(np.log(NARROWEST), -np.log(NARROWEST), (TRIES, count)))
    tried = np.rint(np.sqrt([areas / ratios, areas * ratios])).astype(int)
    fits = ((tried > 0) & (tried <= side)).all(0)
    first, pictures = fits.argmax(0), np.arange(count)
    heights, widths = np.where(fits.any(0), tried[:, first, pictures], side)
    views = resized(images, rng.integers(0, side - heights + 1), rng.integers(0, side - widths + 1), heights, widths)
    flipped = sent(rng.random(count) < 0.5, images.device)[:, None, None, None]
    return torch.where(flipped, views.flip(2), views)


def resized(images: Tensor, top: np.ndarray, left: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> Tensor:
    """Enlarge crops to the full side like Pillow: bicubic, first the width, rounded to bytes, then the height.

    images: (B, side, side, 3) uint8. The others: (B,) pixels; crops lie inside the pictures. Returns the same shape,
    type and device.
    """
    wide = _enlarged(images.transpose(1, 2), left, widths).transpose(1, 2)
    return _enlarged(wide, top, heights)


def five_crops(images: Tensor) -> list[Tensor]:
    """Crop the four corners and the centre, each 224/248 of the side (LIFT's test-time ensembling).

    images: (B, side, side, 3) uint8. Returns five tensors of (B, crop, crop, 3).
    """
    side = images.shape[1]
    crop = round(CROP * side)
    rest = side - crop
    corners = [(0, 0), (0, rest), (rest, 0), (rest, rest), (rest // 2, rest // 2)]
    return [images[:, y : y + crop, x : x + crop] for y, x in corners]


def _enlarged(images: Tensor, first: np.ndarray, sizes: np.ndarray) -> Tensor:
    """Enlarge `sizes` rows of each picture, from row `first`, to the full height by Keys' cubic with a = -1/2.

    Each new row is a weighted sum of the four nearest rows, fewer at the crop's edges; weights are normalised to 1.
    """
    count, side = images.shape[:2]
    centres = first[:, None, None] + (np.arange(side)[:, None] + 0.5) * sizes[:, None, None] / side - 0.5
    rows = np.floor(centres).astype(np.int64) + np.arange(-1, 3)
    distance = np.abs(rows - centres)
    near, far = (1.5 * distance - 2.5) * distance**2 + 1, ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    inside = (rows >= first[:, None, None]) & (rows < (first + sizes)[:, None, None])
    weights = np.where(distance < 1, near, far) * inside
    weights = sent((weights / weights.sum(-1, keepdims=True)).astype(np.float32), images.device)
    rows = sent(rows.clip(0, side - 1) + side * np.arange(count)[:, None, None], images.device)
    lines = images.reshape(count * side, -1).float()
    sums = F.embedding_bag(rows.view(-1, 4), lines, mode="sum", per_sample_weights=weights.view(-1, 4))
    return sums.add_(0.5).floor_().clamp_(0, 255).to(torch.uint8).view(images.shape)


def _reflected(positions: np.ndarray, side: int) -> np.ndarray:
    """Mirror positions up to one side beyond the border at the first and last pixel."""
    return side - 1 - np.abs(side - 1 - np.abs(positions))
