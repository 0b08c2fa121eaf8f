"""NumPy archives of pictures."""

import zipfile

import numpy as np
import pytest

from tests.helpers.pictures import ARRAYS
from ulfine.data.sources import class_counts, load
from ulfine.data.store import Counts, open_store, write_store
from ulfine.files import sha256
from ulfine.params.dataset import ArraySource


def archive(path, **changes) -> ArraySource:
    np.savez_compressed(path, **ARRAYS | changes)
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


def test_names_of_an_archive_are_taken_in_their_composed_form(tmp_path):
    source = archive(tmp_path / "a.npz", classes=np.array(["cafe\u0301_ noir ", "bag"]))
    assert load(source, 8).classes == class_counts(source).classes == ["caf\u00e9 noir", "bag"]


@pytest.mark.parametrize("name", ["Shoe", "shoe ", "shoe", "\uff53hoe", "s&#104;oe"])
def test_names_of_an_archive_that_read_the_same_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"a\.npz: classes: the classes 'shoe' and '.*' read the same: "):
        load(archive(tmp_path / "a.npz", classes=np.array(["shoe", name])), 8)


def test_an_archive_of_colours_is_read(tmp_path):
    pixels = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    loaded = load(archive(tmp_path / "a.npz", test_images=pixels), 8)
    assert (np.stack(list(loaded.parts["test"].pictures)) == pixels).all()


def test_a_changed_archive_is_refused(tmp_path):
    archive(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"a\.npz: sha256 is [0-9a-f]{64}, params\.yaml expects 0{64}"):
        load(source_of(tmp_path / "a.npz", sha256="0" * 64), 8)


def test_a_damaged_member_is_named(tmp_path):
    archive(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        place = file.getinfo("test_labels.npy").header_offset
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[place + 60 : place + 70] = bytes(10)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: test_labels: "):
        load(source_of(tmp_path / "a.npz"), 8)
