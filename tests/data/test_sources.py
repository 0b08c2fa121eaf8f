import hashlib
import pickle
from urllib.error import URLError

import numpy as np
import pytest
import torchvision
from PIL import Image

from tests.project import write_pictures
from ulfine.data.sources import class_counts, load, square
from ulfine.data.store import open_store, write_store
from ulfine.files import sha256
from ulfine.params.dataset import ArraySource, FolderSource, TorchvisionSource


def test_pictures_become_square_rgb_of_the_resolution():
    tall = Image.new("L", (10, 30), 7)
    assert square(tall, 10).shape == (10, 10, 3)
    assert (square(tall, 4) == 7).all()
    coloured = Image.new("RGBA", (5, 5), (10, 20, 30, 255))
    assert square(coloured, 5)[0, 0].tolist() == [10, 20, 30]


def folder_source(path) -> FolderSource:
    return FolderSource(kind="folder", path=str(path), licence="none")


def test_a_folder_is_read_class_by_class_in_the_order_of_names(tmp_path):
    write_pictures(tmp_path / "p", train=3, test=2)
    loaded = load(folder_source(tmp_path / "p"), 16)
    assert loaded.classes == ["blue dot", "green bar", "grey cross", "red circle"]
    assert loaded.parts["train"].labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    pictures = list(loaded.parts["test"].pictures)
    assert len(pictures) == 8
    with Image.open(tmp_path / "p/test/blue_dot/01.png") as picture:
        assert (pictures[1] == np.asarray(picture)).all()
    assert class_counts(folder_source(tmp_path / "p")) == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: (p / "test").rename(p / "exam"), "no such folder; a folder source holds train/<class>/ and test/"),
        (lambda p: (p / "test/red_circle").rename(p / "test/red"), r"in one alone: \['red', 'red_circle'\]"),
        (lambda p: [x.unlink() for x in (p / "train/green_bar").iterdir()], "green_bar: no pictures"),
        (lambda p: (p / "train/green_bar/00.png").write_bytes(b"no"), r"00\.png: not a readable picture"),
    ],
)
def test_a_spoilt_folder_is_refused_by_name(tmp_path, spoil, message):
    write_pictures(tmp_path / "p", train=2, test=1)
    spoil(tmp_path / "p")
    with pytest.raises(ValueError, match=message):
        list(load(folder_source(tmp_path / "p"), 16).parts["train"].pictures)


def archive(path, without: str = "", **changes) -> ArraySource:
    arrays = {
        "train_images": np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8),
        "train_labels": np.array([0, 0, 1, 1], np.uint8),
        "test_images": np.zeros((2, 8, 8), np.uint8),
        "test_labels": np.array([0, 1], np.uint8),
        "classes": np.array(["shoe", "bag"]),
    }
    arrays.pop(without, None)
    np.savez_compressed(path, **arrays)
    return ArraySource(**({"kind": "npz", "path": str(path), "sha256": sha256(path), "licence": "none"} | changes))


def test_an_archive_goes_into_the_store_and_comes_back(tmp_path):
    source = archive(tmp_path / "a.npz")
    assert class_counts(source) == [2, 2]
    (tmp_path / "store").mkdir()
    write_store(tmp_path / "store", load(source, 8), 8, source.licence)
    store = open_store(tmp_path / "store")
    assert store.images["train"].shape == (4, 8, 8, 3)
    assert store.images["train"][3, 7, 7].tolist() == [255, 255, 255]
    assert store.labels["test"].tolist() == [0, 1]
    assert store.classes == ["shoe", "bag"]
    assert store.meta["counts"] == {"train": [2, 2], "test": [1, 1]}
    assert store.meta["sha256"]["train_images.npy"] == sha256(tmp_path / "store/train_images.npy")


def test_a_changed_archive_is_refused(tmp_path):
    source = archive(tmp_path / "a.npz", sha256="0" * 64)
    with pytest.raises(ValueError, match=r"a\.npz: sha256 is [0-9a-f]{64}, params\.yaml expects 0{64}"):
        load(source, 8)


def test_an_archive_that_lacks_an_array_is_refused(tmp_path):
    source = archive(tmp_path / "a.npz", without="train_labels")
    with pytest.raises(ValueError, match=r"a\.npz: has no array train_labels \(needed: classes, train_images, "):
        class_counts(source)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut"])
def test_what_is_no_archive_is_refused_by_name(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    source = ArraySource(kind="npz", path=str(path), sha256=sha256(path), licence="none")
    with pytest.raises(ValueError, match=r"a\.npz: not a \.npz file"):
        load(source, 8)


@pytest.mark.parametrize("error", [URLError("no network"), RuntimeError("File not found or corrupted.")])
def test_a_download_that_fails_says_what_to_place_where(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", fail)
    source = TorchvisionSource(kind="torchvision", name="CIFAR10", path=str(tmp_path), licence="unknown")
    with pytest.raises(
        ValueError, match=rf"{tmp_path}: CIFAR10 cannot be downloaded, or is damaged.*place its archive"
    ):
        load(source, 32)


def test_torchvision_sources_are_read_from_their_true_format(tmp_path, monkeypatch):
    """CIFAR-10's own files (python batches), a few pictures each; only the published hashes are replaced."""
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    rng = np.random.default_rng(0)

    def batch(name: str, content: dict) -> list[str]:
        path = root / name
        path.write_bytes(pickle.dumps(content))
        return [name, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()]

    names = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    meta = batch("batches.meta", {"label_names": names})
    parts = {}
    for name in ("data_batch_1", "test_batch"):
        data = rng.integers(0, 256, (10, 3072), np.uint8)
        parts[name] = (batch(name, {"data": data, "labels": list(range(10))}), data)
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [parts["data_batch_1"][0]])
    monkeypatch.setattr(kind, "test_list", [parts["test_batch"][0]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": meta[1]})

    source = TorchvisionSource(kind="torchvision", name="CIFAR10", path=str(tmp_path), licence="unknown")
    loaded = load(source, 32)
    assert loaded.classes == names
    assert loaded.parts["train"].labels.tolist() == list(range(10))
    first = next(loaded.parts["train"].pictures)
    assert (first == parts["data_batch_1"][1][0].reshape(3, 32, 32).transpose(1, 2, 0)).all()
    assert class_counts(source) == [5000] * 10
