"""RandAugment on batches: the bytes of torchvision and Pillow, and the strengths that each rule draws."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import InterpolationMode, v2

from tests.helpers.pictures import augmentation
from tests.helpers.unhurried import Unhurried
from ulfine.data.augmentation import minimalist_views, resized_crops, strong_views
from ulfine.data.draws import SIGNED, drawn, mc_sizes, torchssl_ends, torchvision_sizes
from ulfine.data.randaugment import OPERATIONS, Draws, apply
from ulfine.rng import RANDAUGMENT, key

RULES = {
    "torchvision": {"operations": 2},
    "randaugment_mc": {"kind": "randaugment_mc", "operations": 2, "cutout": {"size": 16, "unit": "pixels"}},
    "torchssl": {"kind": "torchssl", "operations": 2, "magnitude": None, "cutout": {"draw": "uniform"}},
}


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


def strong(**changes):
    return augmentation(strong=changes).strong


def all_by(operation: str, size: float, pictures: np.ndarray) -> np.ndarray:
    draws = Draws(np.full(len(pictures), OPERATIONS.index(operation)), np.full(len(pictures), size))
    return apply(torch.from_numpy(pictures), draws).numpy()


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
    number = OPERATIONS.index(operation)
    for column, sign in enumerate((1, -1)):
        size = torchvision_sizes(magnitude, side)[number, column]
        found = all_by(operation, size, pictures)
        for picture, view in zip(pictures, found, strict=True):
            assert np.array_equal(view, torchvisions(picture, operation, sign, magnitude))


@pytest.mark.parametrize("magnitude", [0, 10, 30])
def test_most_operations_change_most_pictures(magnitude):
    """Equal bytes above mean something only if operations change pictures."""
    pictures = torch.from_numpy(noise(28) // 4 * 3 + 40)
    still = {"Identity"} | ({*SIGNED, "Posterize", "Solarize"} if magnitude == 0 else set())
    for name, (size, _) in zip(OPERATIONS, torchvision_sizes(magnitude, 28), strict=True):
        assert np.array_equal(all_by(name, size, pictures.numpy()), pictures) == (name in still), name


def test_a_batch_is_its_pictures_one_by_one():
    pictures = torch.from_numpy(noise(20, 60))
    (draws,) = drawn(strong(kind="torchssl", operations=1, magnitude=None), 60, 20, seed=4)
    together = apply(pictures, draws)
    assert len(set(draws.operations.tolist())) == len(OPERATIONS)
    for place in range(60):
        alone = slice(place, place + 1)
        draw = Draws(draws.operations[alone], draws.sizes[alone])
        assert torch.equal(apply(pictures[alone], draw)[0], together[place])


def test_operations_and_signs_are_drawn_evenly_and_apart():
    layers = drawn(strong(), 14_000, 28, seed=1)
    for draws in layers:
        counts = Counter(zip(draws.operations.tolist(), draws.sizes.tolist(), strict=True))
        assert len(counts) == 14 + len(SIGNED)
        expected = {key: 500 if OPERATIONS[key[0]] in SIGNED else 1000 for key in counts}
        assert sum((n - expected[key]) ** 2 / expected[key] for key, n in counts.items()) < 47  # 22 degrees, 0.15 %
    same = (layers[0].operations == layers[1].operations).mean()
    assert same == pytest.approx(1 / 14, abs=0.01)


def test_layers_follow_each_other_and_a_seed_repeats_them():
    pictures = torch.from_numpy(noise(16, 30))
    options = augmentation(weak={"pad": 0, "flip": False}, strong={"cutout": {"size": 0}})
    first, second = drawn(options.strong, 30, 16, key(9, RANDAUGMENT))
    expected = apply(apply(pictures, first), second)
    assert torch.equal(strong_views(pictures, options, seed=9), expected)
    assert not torch.equal(strong_views(pictures, options, seed=10), expected)
    none = augmentation(weak={"pad": 0, "flip": False}, strong={"operations": 0, "cutout": {"size": 0}})
    assert torch.equal(strong_views(pictures, none, seed=9), pictures)


@pytest.mark.parametrize("rule", RULES)
def test_nothing_waits_for_a_device(rule):
    """No value is read and no shape depends on values; deterministic algorithms suffice."""
    options = augmentation(strong=RULES[rule])
    pictures = torch.from_numpy(noise(16, 80))
    torch.use_deterministic_algorithms(True)
    try:
        with Unhurried():
            strong_views(pictures, options, seed=0)
            minimalist_views(pictures, seed=0, done=0.3)
            resized_crops(pictures, seed=0)
    finally:
        torch.use_deterministic_algorithms(False)


def pillows(picture: np.ndarray, operation: str, size: float) -> np.ndarray:
    """Apply one operation of RandAugmentMC or TorchSSL to a picture with Pillow."""
    image = Image.fromarray(picture)
    match operation:
        case "Rotate":
            changed = image.rotate(size)
        case "Posterize":
            changed = ImageOps.posterize(image, int(size))
        case "Solarize":
            changed = ImageOps.solarize(image, size)
        case "ShearX" | "TranslateX" | "ShearY" | "TranslateY":
            place = {"ShearX": 1, "TranslateX": 2, "ShearY": 3, "TranslateY": 5}[operation]
            matrix = [1, 0, 0, 0, 1, 0]
            matrix[place] = size if operation.startswith("Shear") else -size  # either sign is as likely
            changed = image.transform(image.size, Image.Transform.AFFINE, matrix)
        case _:
            changed = getattr(ImageEnhance, operation)(image).enhance(size)
    return np.asarray(changed)


@pytest.mark.parametrize("side", [28, 33])
@pytest.mark.parametrize("operation", [*sorted(SIGNED), "Posterize", "Solarize"])
def test_the_sizes_of_the_other_rules_give_the_bytes_of_pillow(operation, side):
    pictures, number = np.concatenate([noise(side), smooth(side)]), OPERATIONS.index(operation)
    low, high = torchssl_ends(side)[number]
    between = [low + (high - low) * share for share in (0.013, 0.37, 0.71, 0.99)]
    for size in {*mc_sizes(side)[number, 1:10].flat, *between}:
        for picture, view in zip(pictures, all_by(operation, size, pictures), strict=True):
            assert np.array_equal(view, pillows(picture, operation, size)), size


def test_sizes_of_randaugment_mc_by_hand():
    """At level 7 of 10 and 32 px: 0.7 * 0.9 + 0.05; 4 + int(2.8); 256 - int(179.2); int(0.21 * 32)."""
    sizes = dict(zip(OPERATIONS, mc_sizes(32)[:, 7].tolist(), strict=True))
    for name in ("Brightness", "Contrast", "Color", "Sharpness"):
        assert sizes[name] == pytest.approx([0.68, 0.68])
    assert sizes["Posterize"] == [6, 6] and sizes["Solarize"] == [77, 77]
    assert sizes["Rotate"] == [21, -21] and sizes["TranslateX"] == sizes["TranslateY"] == [6, -6]
    assert sizes["ShearX"] == sizes["ShearY"] == pytest.approx([0.21, -0.21])


def test_sizes_of_torchssl_by_hand():
    ends = dict(zip(OPERATIONS, torchssl_ends(32).tolist(), strict=True))
    assert ends["Brightness"] == ends["Sharpness"] == [0.05, 0.95] and ends["Rotate"] == [-30, 30]
    assert ends["TranslateX"] == pytest.approx([-9.6, 9.6]) and ends["ShearY"] == [-0.3, 0.3]
    assert ends["Posterize"] == [4, 8] and ends["Solarize"] == [0, 256]


def test_randaugment_mc_draws_levels_1_to_9_and_skips_half():
    draws = drawn(strong(kind="randaugment_mc"), 28_000, 32, seed=3)[0]
    assert (draws.operations == 0).mean() == pytest.approx(0.5 + 0.5 / 14, abs=0.01)  # half, and Identity itself
    rotated = draws.sizes[draws.operations == OPERATIONS.index("Rotate")]
    assert set(rotated) == {sign * 3 * level for level in range(1, 10) for sign in (1, -1)}
    assert (rotated > 0).mean() == pytest.approx(0.5, abs=0.06)
    factors = draws.sizes[draws.operations == OPERATIONS.index("Color")]
    assert factors.min() == pytest.approx(0.14) and factors.max() == pytest.approx(0.86)


def test_torchssl_draws_evenly_and_always_applies():
    draws = drawn(strong(kind="torchssl", magnitude=None), 28_000, 32, seed=3)[0]
    assert (draws.operations == 0).mean() == pytest.approx(1 / 14, abs=0.01)
    turned = draws.sizes[draws.operations == OPERATIONS.index("Rotate")]
    assert turned.min() < -29 and turned.max() > 29 and abs(turned.mean()) < 1.5


def test_what_a_strong_view_does_to_a_photograph_of_224_pixels():
    """The share that is blanked, and the mean change of a pixel; RandAugmentMC's is by far the weakest."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.integers(30, 226, (60, 3, 14, 14), np.uint8)).float()
    images = torch.nn.functional.interpolate(coarse, size=(224, 224), mode="bicubic").clamp(0, 254).byte()
    images = images.permute(0, 2, 3, 1).contiguous()
    blanked, change = {}, {}
    for rule, options in RULES.items():
        alone = augmentation(weak={"pad": 0, "flip": False}, strong={"operations": 0} | options)
        white = torch.full_like(images, 255)
        squares = {"operations": 0, "cutout": alone.strong.cutout.model_dump()}
        blank = strong_views(white, augmentation(weak={"pad": 0, "flip": False}, strong=squares), seed=1) != 255
        blanked[rule] = blank.float().mean().item()
        views = strong_views(images, augmentation(weak={"pad": 0, "flip": False}, strong=options), seed=1)
        change[rule] = (views.float() - images.float()).abs().mean().item()
    assert blanked["randaugment_mc"] < 0.006 and 0.17 < blanked["torchvision"] < 0.21
    assert 0.04 < blanked["torchssl"] < 0.09
    assert change["randaugment_mc"] < 0.7 * min(change["torchvision"], change["torchssl"])
