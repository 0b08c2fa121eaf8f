"""RandAugment on batches, against torchvision's on PIL pictures: the same parameters, the same bytes."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from tests.helpers.unhurried import Unhurried
from ulfine.data.augmentation import minimalist_views, strong_views
from ulfine.data.randaugment import OPERATIONS, SIGNED, Draws, apply, drawn, magnitudes, rand_augment
from ulfine.params.augmentation import Augmentation


def noise(side: int, count: int = 6) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (count, side, side, 3), np.uint8)


def smooth(side: int) -> np.ndarray:
    """Pictures with ramps over part of the range, a single colour, a single grey, and black with a dot."""
    ramp = np.linspace(40, 180, side)
    colours = np.stack([ramp[:, None] + 0 * ramp, ramp + 0 * ramp[:, None], (ramp[:, None] + ramp) / 2], -1)
    red = colours * [1, 0, 0]
    grey, dot = np.full((side, side, 3), 77.0), np.zeros((side, side, 3))
    dot[side // 2, side // 3] = 255
    return np.stack([colours, red, grey, dot]).astype(np.uint8)


def torchvisions(picture: np.ndarray, operation: str, sign: int, magnitude: int) -> np.ndarray:
    """Apply one operation as torchvision's RandAugment does to a PIL picture."""
    reference = v2.RandAugment()
    strengths, signed = reference._AUGMENTATION_SPACE[operation]
    found = strengths(31, *picture.shape[:2])
    strength = 0.0 if found is None else float(found[magnitude])
    strength *= sign if signed else 1
    image = Image.fromarray(picture)
    changed = reference._apply_image_or_video_transform(
        image, operation, strength, interpolation=InterpolationMode.NEAREST, fill=reference._fill
    )
    return np.asarray(changed)


def test_the_operations_are_those_of_torchvision():
    assert sorted(OPERATIONS) == sorted(v2.RandAugment._AUGMENTATION_SPACE)
    assert {name for name, (_, signed) in v2.RandAugment._AUGMENTATION_SPACE.items() if signed} == SIGNED


@pytest.mark.parametrize("side", [28, 33])
@pytest.mark.parametrize("magnitude", [0, 3, 10, 17, 30])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_gives_the_bytes_of_torchvision_on_pil(operation, magnitude, side):
    pictures = np.concatenate([noise(side), smooth(side)])
    for sign in (1, -1):
        draws = Draws(np.full(len(pictures), OPERATIONS.index(operation)), np.full(len(pictures), sign))
        found = apply(torch.from_numpy(pictures), draws, magnitude).numpy()
        for picture, view in zip(pictures, found, strict=True):
            assert np.array_equal(view, torchvisions(picture, operation, sign, magnitude))


@pytest.mark.parametrize("magnitude", [0, 10, 30])
def test_most_operations_change_most_pictures(magnitude):
    """Equal bytes above mean something only if operations change pictures."""
    pictures = torch.from_numpy(noise(28) // 4 * 3 + 40)
    still = {"Identity"} | ({*SIGNED, "Posterize", "Solarize"} if magnitude == 0 else set())
    for number, name in enumerate(OPERATIONS):
        draws = Draws(np.full(6, number), np.ones(6, int))
        assert torch.equal(apply(pictures, draws, magnitude), pictures) == (name in still), name


def test_a_batch_is_its_pictures_one_by_one():
    pictures, draws = torch.from_numpy(noise(20, 60)), drawn(60, 1, seed=4)[0]
    together = apply(pictures, draws, 12)
    assert len(set(draws.operations.tolist())) == len(OPERATIONS)
    for place in range(60):
        alone = slice(place, place + 1)
        assert torch.equal(
            apply(pictures[alone], Draws(draws.operations[alone], draws.signs[alone]), 12)[0], together[place]
        )


def test_operations_and_signs_are_drawn_evenly_and_apart():
    layers = drawn(14_000, 2, seed=1)
    for draws in layers:
        counts = Counter(zip(draws.operations.tolist(), draws.signs.tolist(), strict=True))
        assert len(counts) == 28
        assert sum((n - 500) ** 2 / 500 for n in counts.values()) < 55.5  # chi-square of 27 degrees, 0.1 %
    same = (layers[0].operations == layers[1].operations).mean()
    assert same == pytest.approx(1 / 14, abs=0.01)


def test_layers_follow_each_other_and_a_seed_repeats_them():
    pictures = torch.from_numpy(noise(16, 30))
    first, second = drawn(30, 2, seed=9)
    expected = apply(apply(pictures, first, 10), second, 10)
    assert torch.equal(rand_augment(pictures, 2, 10, seed=9), expected)
    assert not torch.equal(rand_augment(pictures, 2, 10, seed=10), expected)
    assert torch.equal(rand_augment(pictures, 0, 10, seed=9), pictures)


def test_nothing_waits_for_a_device():
    """No value is read and no shape depends on values; deterministic algorithms suffice."""
    options = Augmentation(
        weak={"pad": 0.125, "flip": True},
        strong={"operations": 2, "magnitude": 10, "cutout": 0.5},
        views={"weak": 1, "strong": 1},
    )
    pictures = torch.from_numpy(noise(16, 80))
    torch.use_deterministic_algorithms(True)
    try:
        with Unhurried():
            strong_views(pictures, options, seed=0)
            minimalist_views(pictures, seed=0, done=0.3)
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_magnitude_outside_the_bins_is_refused():
    with pytest.raises(ValueError, match=r"magnitude = 31 \(allowed: 0 to 30\)"):
        magnitudes(31, 28)
