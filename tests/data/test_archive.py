"""NumPy archives of pictures."""

import zipfile

import numpy as np
import pytest

from ulfine.data.sources import class_counts, load
from ulfine.data.store import Counts, open_store, write_store
from ulfine.files import sha256
from ulfine.params.dataset import ArraySource

ARRAYS = {
    "train_images": np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8),
    "train_labels": np.array([0, 0, 1, 1], np.uint8),
    "test_images": np.zeros((2, 8, 8), np.uint8),
    "test_labels": np.array([0, 1], np.uint8),
    "classes": np.array(["shoe", "bag"]),
}


def archive(path, without: str = "", **changes) -> ArraySource:
    np.savez_compressed(path, **{name: array for name, array in (ARRAYS | changes).items() if name != without})
    return source_of(path)


def source_of(path, **changes) -> ArraySource:
    return ArraySource(**({"kind": "npz", "path": str(path), "sha256": sha256(path), "licence": "none"} | changes))


def test_an_archive_goes_into_the_store_and_comes_back(tmp_path):
    source = archive(tmp_path / "a.npz")
    counts = class_counts(source)
    assert counts == Counts([2, 2], 0) and counts.classes == ["shoe", "bag"]
    (tmp_path / "store").mkdir()
    write_store(tmp_path / "store", load(source, 8), 8, source.licence)
    store = open_store(tmp_path / "store")
    assert store.images["train"].shape == (4, 8, 8, 3)
    assert store.images["train"][3, 7, 7].tolist() == [255, 255, 255]
    assert store.labels["test"].tolist() == [0, 1]
    assert store.classes == ["shoe", "bag"]
    assert store.meta["counts"] == {"train": [2, 2], "test": [1, 1]}
    assert store.meta["unlabeled"] == 0
    assert store.meta["sha256"]["train_images.npy"] == sha256(tmp_path / "store/train_images.npy")


def test_an_archive_of_colours_is_read(tmp_path):
    pixels = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    loaded = load(archive(tmp_path / "a.npz", test_images=pixels), 8)
    assert (np.stack(list(loaded.parts["test"].pictures)) == pixels).all()


def test_a_changed_archive_is_refused(tmp_path):
    archive(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"a\.npz: sha256 is [0-9a-f]{64}, params\.yaml expects 0{64}"):
        load(source_of(tmp_path / "a.npz", sha256="0" * 64), 8)


def test_an_archive_that_lacks_an_array_is_refused(tmp_path):
    source = archive(tmp_path / "a.npz", without="train_labels")
    with pytest.raises(ValueError, match=r"a\.npz: has no array train_labels \(needed: classes, train_images, "):
        class_counts(source)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut"])
def test_what_is_no_archive_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: not a \.npz file"):
        load(source_of(tmp_path / "a.npz"), 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((4, 8, 8), np.float32)}, r"train_images: has the shape \(4, 8, 8\) and the type f"),
        ({"train_images": np.zeros((4, 8, 8, 4), np.uint8)}, r"train_images: has the shape \(4, 8, 8, 4\)"),
        ({"train_images": np.zeros((4, 64), np.uint8)}, r"train_images: has the shape \(4, 64\)"),
        ({"test_images": np.zeros((2, 0, 8), np.uint8)}, r"test_images: has the shape \(2, 0, 8\)"),
        ({"test_images": np.zeros((3, 8, 8), np.uint8)}, "test_images: has 3 pictures, test_labels has 2"),
        ({"train_labels": np.array([0.0, 0, 1, 1])}, "train_labels: .* must be one-dimensional, of integers"),
        ({"train_labels": np.array([[0, 0, 1, 1]])}, r"train_labels: has the shape \(1, 4\)"),
        ({"train_labels": np.array([0, 0, 1, 2])}, "train_labels: holds 0 to 2, must be 0 to 1"),
        ({"test_labels": np.array([-1, 1])}, "test_labels: holds -1 to 1, must be 0 to 1"),
        ({"test_labels": np.array([], int), "test_images": np.zeros((0, 8, 8), np.uint8)}, "test_labels: is empty"),
        ({"classes": np.array([1, 2])}, "classes: .* must be one-dimensional, of strings"),
        ({"classes": np.array("shoe")}, "classes: .* must be one-dimensional, of strings"),
        ({"classes": np.array(["bag", "bag"])}, "classes: the classes 'bag' and 'bag' are alike"),
        ({"classes": np.array(["shoe", "bag"], object)}, "classes: Object arrays cannot be loaded"),
    ],
)
def test_an_array_that_is_not_what_it_should_be_is_named(tmp_path, changes, message):
    source = archive(tmp_path / "a.npz", **changes)
    with pytest.raises(ValueError, match=rf"a\.npz: {message}"):
        load(source, 8)


def test_a_damaged_member_is_named(tmp_path):
    archive(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        place = file.getinfo("test_labels.npy").header_offset
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[place + 60 : place + 70] = bytes(10)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: test_labels: "):
        load(source_of(tmp_path / "a.npz"), 8)
