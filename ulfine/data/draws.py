"""What RandAugment draws for each picture, by one of three rules: torchvision's, RandAugmentMC's, TorchSSL's."""

from functools import lru_cache

import numpy as np
import torch

from ulfine.data.randaugment import FACTORS, MOVES, OPERATIONS, Draws
from ulfine.params.augmentation import RandAugmentMC, Strong, TorchSSL, Torchvision
from ulfine.rng import generator

STRENGTHS = 31  # torchvision's number of bins: `magnitude` is 0 to 30
SIGNED = frozenset((*MOVES, *FACTORS))  # in torchvision
SHIFT = 150.0 / 331.0  # torchvision's largest, as a share of the side


def drawn(strong: Strong, count: int, side: int, seed: int) -> list[Draws]:
    """One layer of operations after another, for `count` pictures of `side` pixels, drawn with replacement."""
    rng, shape = generator(seed), (strong.operations, count)
    match strong:
        case Torchvision():
            negative, chosen = np.divmod(rng.integers(0, 2 * len(OPERATIONS), shape), len(OPERATIONS))
            sizes = torchvision_sizes(strong.magnitude, side)[chosen, negative]
        case RandAugmentMC():
            chosen, used = rng.integers(0, len(OPERATIONS), shape), rng.random(shape) < 0.5
            levels, negative = rng.integers(1, strong.magnitude, shape), rng.integers(0, 2, shape)
            sizes = mc_sizes(side)[chosen, levels, negative]
            chosen = np.where(used, chosen, OPERATIONS.index("Identity"))
        case TorchSSL():
            chosen = rng.integers(0, len(OPERATIONS), shape)
            low, high = torchssl_ends(side)[chosen].transpose(2, 0, 1)
            sizes = low + (high - low) * rng.random(shape)
    return [Draws(*layer) for layer in zip(chosen, sizes, strict=True)]


@lru_cache
def torchvision_sizes(magnitude: int, side: int) -> np.ndarray:
    """(14, 2) size of each operation with sign + and -, as in torchvision v2's RandAugment (num_magnitude_bins=31).

    magnitude: 0 to 30. side: of the pictures, in pixels.
    """

    def at(first: float, last: float) -> float:
        return torch.linspace(first, last, STRENGTHS)[magnitude].item()

    def size(name: str, sign: int) -> float:
        match name:
            case "ShearX" | "ShearY":
                return sign * at(0.0, 0.3)
            case "TranslateX" | "TranslateY":
                return float(int(sign * at(0.0, SHIFT * side)))
            case "Rotate":
                return sign * at(0.0, 30.0)
            case "Posterize":
                return (8 - torch.arange(STRENGTHS) / ((STRENGTHS - 1) / 4)).round()[magnitude].item()
            case "Solarize":
                return 255.0 * at(1.0, 0.0)
        return 1 + sign * at(0.0, 0.9) if name in FACTORS else 0.0

    return np.array([[size(name, sign) for sign in (1, -1)] for name in OPERATIONS])


@lru_cache
def mc_sizes(side: int) -> np.ndarray:
    """(14, 11, 2) size of each operation at level v of 10 with sign + and -, as in RandAugmentMC (ACR, FineSSL, LoFT).

    Factors are 0.09 v + 0.05, so never above 1, without a sign; bits 4 + ⌊0.4 v⌋; what solarisation inverts starts at
    256 - ⌊25.6 v⌋; turns are 3 v degrees, shears 0.03 v, shifts ⌊0.03 v side⌋. side: of the pictures, in pixels.
    """

    def size(name: str, v: int, sign: int) -> float:
        match name:
            case "ShearX" | "ShearY":
                return sign * v * 0.3 / 10
            case "TranslateX" | "TranslateY":
                return float(int(sign * (v * 0.3 / 10) * side))
            case "Rotate":
                return float(sign * 3 * v)
            case "Posterize":
                return 4.0 + v * 4 // 10
            case "Solarize":
                return 256.0 - v * 256 // 10
        return v * 0.9 / 10 + 0.05

    return np.array([[[size(name, v, sign) for sign in (1, -1)] for v in range(11)] for name in OPERATIONS])


@lru_cache
def torchssl_ends(side: int) -> np.ndarray:
    """(14, 2) least and largest size of each operation in TorchSSL, drawn evenly between them.

    side: of the pictures, in pixels.
    """

    def largest(name: str) -> float:
        return {"Rotate": 30.0}.get(name, 0.3 * (side if name.startswith("Translate") else 1))

    ends = {name: (-largest(name), largest(name)) for name in MOVES} | {"Posterize": (4, 8), "Solarize": (0, 256)}
    return np.array([ends.get(name, (0.05, 0.95)) for name in OPERATIONS])
