import numpy as np
import pytest
import torch

from tests.helpers.pictures import augmentation
from ulfine.data.augmentation import resized_crops, strong_views, weak_views
from ulfine.data.features import VIEWS, Features
from ulfine.data.store import Store
from ulfine.params.train import Train
from ulfine.rng import shuffled
from ulfine.training.batches import Batches, CachedViews, PictureViews, plain_batches

CPU = torch.device("cpu")


def test_every_pass_shows_every_item_once_in_an_order_of_its_own():
    row = np.concatenate([shuffled(10, 4, step, seed=0) for step in range(5)])
    first, second = row[:10], row[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist()


def test_a_batch_may_be_larger_than_the_set():
    assert np.bincount(shuffled(3, 7, 0, seed=0)).tolist() in ([3, 2, 2], [2, 3, 2], [2, 2, 3])


class Recorder:
    """Views whose content is their indices."""

    device = CPU

    def __init__(self):
        self.seeds = []

    def weak(self, indices, seed):
        self.seeds.append(seed)
        return torch.from_numpy(indices)

    strong = weak

    def whole(self, indices):
        return -torch.from_numpy(indices)

    def minimalist(self, indices, _seed, done):
        return torch.full((len(indices),), done)


def batches(params, seed: int = 0, unlabeled=range(6, 20), **train) -> Batches:
    indices = {"labeled": np.arange(0, 6), "unlabeled": np.array(unlabeled)}
    return Batches(Recorder(), np.arange(20) % 4, indices, Train(**params["train"] | train), seed)


def test_a_batch_is_a_function_of_seed_and_step(params):
    one, again, other = batches(params), batches(params), batches(params, seed=1)
    for _ in range(3):
        one.at(3)  # what was asked before does not matter
    assert one.at(7).strong.tolist() == again.at(7).strong.tolist()
    assert one.views.seeds[-3:] == again.views.seeds
    assert one.at(7).strong.tolist() != other.at(7).strong.tolist()


def test_sizes_labels_and_pairs(params):
    batch = batches(params).at(0)
    assert len(batch.labeled) == 4 and len(batch.weak) == len(batch.strong) == 8
    assert batch.labels.tolist() == (batch.labeled % 4).tolist()
    assert batch.truth.tolist() == (batch.weak % 4).tolist()
    assert batch.weak.tolist() == batch.strong.tolist()  # the same pictures, two views
    assert batches(params).images_per_step == 4 + 8 + 8


def test_copies_of_labeled_pictures_are_marked_and_their_labels_hidden(params):
    batch = batches(params, unlabeled=range(20)).at(0)
    copies = batch.weak < 6
    assert copies.any() and batch.own.tolist() == (~copies).tolist()
    assert batch.truth.tolist() == [-1 if copy else k % 4 for k, copy in zip(batch.weak.tolist(), copies, strict=True)]


def test_labeled_pictures_alone(params):
    batch = batches(params, unlabeled_ratio=0, losses={"labeled": 1}).at(0)
    assert batch.weak is None and batch.strong is None and batch.truth is None and len(batch.labeled) == 4


def test_labeled_views_are_those_asked_for(params):
    weak = batches(params).at(2).labeled
    assert batches(params, labeled_view="plain").at(2).labeled.tolist() == (-weak).tolist()
    shares = [batches(params, labeled_view="minimalist", steps=5).at(step).labeled[0].item() for step in range(5)]
    assert shares == [0, 0.25, 0.5, 0.75, 1]


def test_the_views_of_a_step_are_drawn_apart(params):
    recorded = batches(params)
    recorded.at(0), recorded.at(1)
    assert len(set(recorded.views.seeds)) == 6


def test_cached_views_are_those_of_the_picture(tmp_path):
    values = np.arange(3 * 5 * 2, dtype=np.float32).reshape(3, 5, 2)
    for view in VIEWS:
        np.save(tmp_path / f"{view}.pooled.npy", values[0] if view in ("plain", "test") else values)
        np.save(tmp_path / f"{view}.indices.npy", np.array([2, 3, 5, 7, 11]))
    views = CachedViews(Features(tmp_path), "pooled", CPU)
    drawn = views.weak(np.array([11] * 50), seed=0)
    assert {tuple(row) for row in drawn.tolist()} == {tuple(view[4]) for view in values.tolist()}
    assert views.whole(np.array([7, 2])).tolist() == values[0][[3, 0]].tolist()
    assert views.plain("test", np.array([3, 0])).tolist() == values[0][[3, 0]].tolist()


@pytest.mark.parametrize("absent", [4, 12])
def test_a_picture_without_a_cached_view_is_refused(tmp_path, absent):
    np.save(tmp_path / "weak.indices.npy", np.array([2, 5, 11]))
    with pytest.raises(ValueError, match=f"no weak view of training picture {absent}$"):
        Features(tmp_path).rows("weak", np.array([5, absent]))


def test_pictures_are_augmented_as_they_are_asked_for():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    options = augmentation(weak={"pad": 0.25, "flip": True})
    views = PictureViews(Store({"train": images, "test": images}, {}, {}), options, CPU, enlarge=None)
    chosen = np.array([3, 1])
    assert torch.equal(views.weak(chosen, 9), weak_views(torch.from_numpy(images[chosen]), options.weak, 9))
    assert (views.strong(chosen, 9) != views.weak(chosen, 9)).any()
    assert (torch.cat(list(plain_batches(views, "train", np.arange(5)))).numpy() == images).all()


def test_pictures_may_be_enlarged_before_they_are_augmented():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    store, chosen = Store({"train": images, "test": images}, {}, {}), np.array([3, 1])

    def doubled(pictures):
        return pictures.repeat_interleave(2, 1).repeat_interleave(2, 2)

    large = doubled(torch.from_numpy(images[chosen]))
    options = augmentation(at="network")
    views = PictureViews(store, options, CPU, doubled)
    assert torch.equal(views.weak(chosen, 9), weak_views(large, options.weak, 9))
    assert torch.equal(views.strong(chosen, 9), strong_views(large, options, 9))
    assert torch.equal(views.resized_crop(chosen, 9), resized_crops(large, 9))
    assert torch.equal(views.whole(chosen), large)
    assert views.plain("train", chosen).shape == (2, 8, 8, 3)  # the network enlarges what is not augmented
    stored = PictureViews(store, augmentation(), CPU, doubled)
    assert stored.weak(chosen, 9).shape == (2, 8, 8, 3)
