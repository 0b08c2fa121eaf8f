"""Weak and strong views, a fresh draw for every picture, repeatable from a seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image

from ulfine.params.augmentation import Augmentation, Strong, Weak

GREY = 127  # fill of cutout
LEAST_AREA = 0.08  # of LIFT+'s crops at the start, as a share of the picture
CROP = 224 / 248  # side of LIFT's five crops, as a share of the picture's


def key(*parts: int) -> int:
    """A seed from several integers (run seed, step, stream); different parts give unrelated seeds.

    Their number comes first, since SeedSequence pads with zeros: (1, 2) and (1, 2, 0) are the same to it.
    """
    return int(np.random.SeedSequence([len(parts), *parts]).generate_state(1, np.uint64)[0] >> 1)


def weak_views(images: np.ndarray, weak: Weak, seed: int) -> np.ndarray:
    """Random crop out of a border of reflected pixels, and a random flip.

    images: (B, side, side, 3) uint8. Returns the same shape. FixMatch, TorchSSL and USB pad by 1/8 of the side.
    """
    rng = np.random.default_rng(seed)
    count, side = images.shape[:2]
    pad = round(weak.pad * side)
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    top, left = rng.integers(0, 2 * pad + 1, (2, count))
    flipped = rng.random(count) < 0.5 if weak.flip else np.zeros(count, bool)
    rows = top[:, None] + np.arange(side)
    columns = left[:, None] + np.where(flipped[:, None], np.arange(side)[::-1], np.arange(side))
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def strong_views(images: np.ndarray, augmentation: Augmentation, seed: int) -> np.ndarray:
    """The weak view, then RandAugment (torchvision's 14 operations), then cutout.

    images: (B, side, side, 3) uint8. Returns the same shape.
    """
    views = weak_views(images, augmentation.weak, seed)
    strong = augmentation.strong
    if strong.operations:
        from torchvision.transforms.v2 import RandAugment  # takes seconds to import; cached views do without

        augment = RandAugment(strong.operations, strong.magnitude)
        with _seeded(seed):
            views = np.stack([np.asarray(augment(Image.fromarray(view))) for view in views])
    return cutout(views, strong, seed)


def cutout(images: np.ndarray, strong: Strong, seed: int) -> np.ndarray:
    """Blank a square of `strong.cutout` times the side, centred anywhere, cut off at the border (DeVries, Taylor)."""
    rng = np.random.default_rng(key(seed, 1))
    count, side = images.shape[:2]
    size = round(strong.cutout * side)
    top, left = rng.integers(0, side, (2, count)) - size // 2
    pixels = np.arange(side)
    inside_rows = (pixels >= top[:, None]) & (pixels < top[:, None] + size)
    inside_columns = (pixels >= left[:, None]) & (pixels < left[:, None] + size)
    inside = inside_rows[:, :, None] & inside_columns[:, None, :]
    return np.where(inside[..., None], np.uint8(GREY), images)


def minimalist_views(images: np.ndarray, seed: int, done: float) -> np.ndarray:
    """Square crops, resized; their least area grows from 0.08 of the picture to all of it, slowly first; no flip.

    images: (B, side, side, 3) uint8. done: share of the training that is behind, 0 to 1. Returns the same shape.
    LIFT+'s minimalist augmentation (shijxcs/LIFT-plus, utils/transforms.py): its convex schedule, by step, not epoch.
    """
    least = LEAST_AREA + (1 - LEAST_AREA) * (1 - np.sqrt(1 - done**2))
    rng = np.random.default_rng(seed)
    count, side = images.shape[:2]
    sizes = np.rint(side * np.sqrt(rng.uniform(least, 1, count))).astype(int).clip(1, side)
    top, left = rng.integers(0, side - sizes + 1, (2, count))
    boxes = zip(images, left, top, sizes, strict=True)
    return np.stack([_resized(image[y : y + size, x : x + size], side) for image, x, y, size in boxes])


def five_crops(images: torch.Tensor) -> list[torch.Tensor]:
    """Corners and centre of each picture, 224/248 of its side (LIFT's test-time ensembling).

    images: (B, side, side, 3) uint8. Returns five arrays of (B, crop, crop, 3).
    """
    side = images.shape[1]
    crop = round(CROP * side)
    rest = side - crop
    corners = [(0, 0), (0, rest), (rest, 0), (rest, rest), (rest // 2, rest // 2)]
    return [images[:, y : y + crop, x : x + crop] for y, x in corners]


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """RandAugment draws from torch's global generator: seed it here, and leave it as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
