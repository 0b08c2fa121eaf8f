import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from tests.helpers.pictures import augmentation
from ulfine.data.augmentation import (
    GREY,
    cutout,
    five_crops,
    minimalist_views,
    resized,
    resized_crops,
    strong_views,
    weak_views,
)
from ulfine.params.augmentation import Cutout, Weak
from ulfine.rng import key

RAMP = torch.arange(8 * 8 * 3, dtype=torch.uint8).reshape(1, 8, 8, 3)


def test_a_weak_view_is_a_shift_of_the_reflected_picture_or_its_mirror():
    views = weak_views(RAMP.repeat(200, 1, 1, 1), Weak(pad=0.125, flip=True), seed=0)
    padded = np.pad(RAMP[0].numpy(), ((1, 1), (1, 1), (0, 0)), mode="reflect")
    crops = [padded[top : top + 8, left : left + 8] for top in range(3) for left in range(3)]
    allowed = {picture.tobytes() for crop in crops for picture in (crop, crop[:, ::-1].copy())}
    found = {view.numpy().tobytes() for view in views}
    assert found == allowed  # 200 draws meet all 18, and nothing else


def test_no_pad_and_no_flip_change_nothing():
    assert torch.equal(weak_views(RAMP, Weak(pad=0, flip=False), seed=0), RAMP)


def test_the_draws_of_a_weak_view_by_hand():
    """Compute the expected views picture by picture, with rows and columns from the same generator."""
    images = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (9, 12, 12, 3), np.uint8))
    rng = np.random.default_rng(5)
    top, left = rng.integers(0, 7, (2, 9))  # a border of 3
    mirrored = rng.random(9) < 0.5
    for image, view, y, x, flip in zip(
        images.numpy(), weak_views(images, Weak(pad=0.25, flip=True), 5), top, left, mirrored, strict=True
    ):
        crop = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode="reflect")[y : y + 12, x : x + 12]
        assert np.array_equal(view.numpy(), crop[:, ::-1] if flip else crop)


def test_cutout_blanks_one_square_and_cuts_it_off_at_the_border():
    white = torch.full((300, 8, 8, 3), 255, dtype=torch.uint8)
    blank = cutout(white, Cutout(size=0.5, unit="side", draw="fixed"), seed=0)[..., 0].numpy() == GREY
    for mask in blank:
        rows, columns = mask.any(1), mask.any(0)
        assert (mask == rows[:, None] & columns[None, :]).all()
        assert 2 <= rows.sum() <= 4 and 2 <= columns.sum() <= 4
    assert {int(mask.sum()) for mask in blank} >= {4, 8, 16}


def test_squares_in_pixels_and_squares_of_any_size():
    white = torch.full((4000, 40, 40, 3), 255, dtype=torch.uint8)

    def sides(**options) -> np.ndarray:
        blank = cutout(white, Cutout(**options), seed=0)[..., 0].numpy() == GREY
        whole = ~(blank[:, [0, -1]].any((1, 2)) | blank[:, :, [0, -1]].any((1, 2)))  # not cut off at the border
        return blank.any(2).sum(1)[whole & blank.any((1, 2))]

    assert set(sides(size=6, unit="pixels", draw="fixed")) == {6}
    drawn = sides(size=0.5, unit="side", draw="uniform")  # 1 to 20; the larger ones lie at the border more often
    assert set(drawn) == set(range(1, 20)) | ({20} & set(drawn)) and 6 < drawn.mean() < 10
    assert (cutout(white, Cutout(size=0, unit="side", draw="fixed"), seed=0) == 255).all()


def test_random_crops_are_of_8_to_100_percent_and_of_3_to_4():
    """Ramps from left to right and from top to bottom tell what was cut out."""
    side, ramp = 200, torch.arange(200, dtype=torch.uint8)
    picture = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side), ramp.expand(side, side)], -1)
    views = resized_crops(picture.repeat(400, 1, 1, 1), seed=0).numpy().astype(int)
    across, down = views[:, 100, -1, 0] - views[:, 100, 0, 0], views[:, -1, 100, 1] - views[:, 0, 100, 1]
    assert 160 < (across > 0).sum() < 240 and (down > 0).all()  # half are mirrored
    area, ratio = abs(across) * down / side**2, abs(across) / down
    assert 0.06 < area.min() < 0.12 and area.max() > 0.9 and area.mean() == pytest.approx(0.52, abs=0.06)
    assert ratio.min() > 0.7 and ratio.max() < 1.4 and ratio.std() > 0.1


def test_a_seed_gives_the_same_views_and_leaves_the_global_generator_alone():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (strong_views(images, augmentation(), seed) for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    assert (first == again).all()
    assert (first != other).any()
    assert first.dtype == torch.uint8 and first.shape == images.shape


def test_every_picture_of_a_batch_has_a_draw_of_its_own():
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8))
    views = strong_views(image.repeat(20, 1, 1, 1), augmentation(), seed=0)
    assert len({view.numpy().tobytes() for view in views}) > 15


def test_keys_tell_seed_step_and_stream_apart():
    assert len({key(a, b, c) for a in range(5) for b in range(5) for c in range(3)}) == 75
    assert key(1, 2) == key(1, 2) != key(2, 1)
    assert len({key(1), key(1, 0), key(1, 0, 0), key(0, 1)}) == 4  # SeedSequence alone pads with zeros


@pytest.mark.parametrize(("done", "least"), [(0.0, 0.08), (0.6, 0.264), (1.0, 1.0)])
def test_minimalist_crops_shrink_less_and_less(done, least):
    # 0.08 + 0.92 (1 - sqrt(1 - 0.36)) = 0.264; a ramp from left to right tells how wide a crop was
    side = 100
    ramp = torch.arange(side, dtype=torch.uint8)[None, None, :, None].repeat(300, side, 1, 3)
    views = minimalist_views(ramp, seed=0, done=done).numpy()
    widths = views[:, 50, -1, 0].astype(int) - views[:, 50, 0, 0]
    assert views.shape == (300, side, side, 3)
    assert abs(widths.min() - side * least**0.5) < 4 and abs(widths.max() - side) < 4
    assert (widths > 0).all()  # none is mirrored


@pytest.mark.parametrize("side", [8, 33])
def test_crops_are_enlarged_as_pillow_does(side):
    images = np.random.default_rng(side).integers(0, 256, (20, side, side, 3), np.uint8)
    rng = np.random.default_rng(1)
    heights, widths = (np.concatenate([[1, side], rng.integers(1, side + 1, 18)]) for _ in range(2))
    top, left = rng.integers(0, side - heights + 1), rng.integers(0, side - widths + 1)
    found = resized(torch.from_numpy(images), top, left, heights, widths).numpy()
    for image, view, y, x, height, width in zip(images, found, top, left, heights, widths, strict=True):
        crop = Image.fromarray(image[y : y + height, x : x + width])
        expected = np.asarray(crop.resize((side, side), Image.Resampling.BICUBIC))
        assert np.abs(view.astype(int) - expected).max() <= 1
    assert np.array_equal(found[1], images[1])


def test_strong_views_change_pictures_as_torchvisions_do():
    """The mean change of pictures, by torchvision one by one and by ours in a batch."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.integers(0, 256, (1600, 3, 7, 7), np.uint8)).float()
    images = torch.nn.functional.interpolate(coarse, size=(28, 28), mode="bicubic").clamp(0, 255).byte()
    images = images.permute(0, 2, 3, 1).contiguous()
    torch.manual_seed(0)
    reference = v2.RandAugment(2, 10)
    theirs = np.stack([np.asarray(reference(Image.fromarray(image.numpy()))) for image in images])
    options = augmentation(weak={"pad": 0, "flip": False}, strong={"cutout": {"size": 0}})
    ours = strong_views(images, options, seed=0).numpy()
    moved = [np.abs(views.astype(float) - images.numpy()).mean((1, 2, 3)) for views in (theirs, ours)]
    assert np.mean(moved[1]) == pytest.approx(np.mean(moved[0]), rel=0.1)
    assert np.quantile(moved[1], [0.25, 0.5, 0.75]) == pytest.approx(np.quantile(moved[0], [0.25, 0.5, 0.75]), rel=0.3)


def test_five_crops_are_corners_and_centre():
    picture = torch.arange(31 * 31).reshape(1, 31, 31, 1)
    found = five_crops(picture)
    assert all(crop.shape == (1, 28, 28, 1) for crop in found)
    assert [divmod(crop[0, 0, 0, 0].item(), 31) for crop in found] == [(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]
