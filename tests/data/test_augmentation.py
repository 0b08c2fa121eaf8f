import numpy as np
import pytest
import torch

from ulfine.data.augmentation import GREY, cutout, five_crops, key, minimalist_views, strong_views, weak_views
from ulfine.params.augmentation import Augmentation, Strong, Weak

RAMP = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)


def augmentation(**strong) -> Augmentation:
    return Augmentation(
        weak={"pad": 0.125, "flip": True},
        strong={"operations": 2, "magnitude": 10, "cutout": 0.5} | strong,
        views={"weak": 1, "strong": 1},
    )


def test_a_weak_view_is_a_shift_of_the_reflected_picture_or_its_mirror():
    views = weak_views(np.repeat(RAMP, 200, axis=0), Weak(pad=0.125, flip=True), seed=0)
    padded = np.pad(RAMP[0], ((1, 1), (1, 1), (0, 0)), mode="reflect")
    crops = [padded[top : top + 8, left : left + 8] for top in range(3) for left in range(3)]
    allowed = {picture.tobytes() for crop in crops for picture in (crop, crop[:, ::-1].copy())}
    found = {np.ascontiguousarray(view).tobytes() for view in views}
    assert found == allowed  # 200 draws meet all 18, and nothing else


def test_no_pad_and_no_flip_change_nothing():
    assert (weak_views(RAMP, Weak(pad=0, flip=False), seed=0) == RAMP).all()


def test_cutout_blanks_one_square_and_cuts_it_off_at_the_border():
    white = np.full((300, 8, 8, 3), 255, np.uint8)
    blank = cutout(white, Strong(operations=0, magnitude=0, cutout=0.5), seed=0)[..., 0] == GREY
    for mask in blank:
        rows, columns = mask.any(1), mask.any(0)
        assert (mask == rows[:, None] & columns[None, :]).all()
        assert 2 <= rows.sum() <= 4 and 2 <= columns.sum() <= 4
    assert {int(mask.sum()) for mask in blank} >= {4, 8, 16}


def test_a_seed_gives_the_same_views_and_leaves_the_global_generator_alone():
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (strong_views(images, augmentation(), seed) for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    assert (first == again).all()
    assert (first != other).any()
    assert first.dtype == np.uint8 and first.shape == images.shape


def test_every_picture_of_a_batch_has_a_draw_of_its_own():
    images = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8), 20, axis=0)
    views = strong_views(images, augmentation(), seed=0)
    assert len({view.tobytes() for view in views}) > 15


def test_keys_tell_seed_step_and_stream_apart():
    assert len({key(a, b, c) for a in range(5) for b in range(5) for c in range(3)}) == 75
    assert key(1, 2) == key(1, 2) != key(2, 1)
    assert len({key(1), key(1, 0), key(1, 0, 0), key(0, 1)}) == 4  # SeedSequence alone pads with zeros


@pytest.mark.parametrize(("done", "least"), [(0.0, 0.08), (0.6, 0.264), (1.0, 1.0)])
def test_minimalist_crops_shrink_less_and_less(done, least):
    # 0.08 + 0.92 (1 - sqrt(1 - 0.36)) = 0.264; a ramp from left to right tells how wide a crop was
    side = 100
    ramp = np.broadcast_to(np.arange(side, dtype=np.uint8)[None, :, None], (side, side, 3))
    views = minimalist_views(np.repeat(ramp[None], 300, axis=0), seed=0, done=done)
    widths = views[:, 50, -1, 0].astype(int) - views[:, 50, 0, 0]
    assert views.shape == (300, side, side, 3)
    assert abs(widths.min() - side * least**0.5) < 4 and abs(widths.max() - side) < 4
    assert (widths > 0).all()  # none is mirrored


def test_five_crops_are_corners_and_centre():
    picture = torch.arange(31 * 31).reshape(1, 31, 31, 1)
    found = five_crops(picture)
    assert all(crop.shape == (1, 28, 28, 1) for crop in found)
    assert [divmod(crop[0, 0, 0, 0].item(), 31) for crop in found] == [(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]
