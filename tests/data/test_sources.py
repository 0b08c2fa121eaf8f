import hashlib
import json
import pickle
from urllib.error import URLError

import numpy as np
import pytest
import torchvision
from PIL import Image

from tests.project import write_pictures
from ulfine.data.sources import class_counts, load, square
from ulfine.data.store import Counts, Loaded, Part, open_store, write_store
from ulfine.files import sha256
from ulfine.params.dataset import ArraySource, FolderSource, TorchvisionSource


def test_pictures_become_square_rgb_of_the_resolution():
    tall = Image.new("L", (10, 30), 7)
    assert square(tall, 10).shape == (10, 10, 3)
    assert (square(tall, 4) == 7).all()
    coloured = Image.new("RGBA", (5, 5), (10, 20, 30, 255))
    assert square(coloured, 5)[0, 0].tolist() == [10, 20, 30]


def folder_source(path, **more) -> FolderSource:
    return FolderSource(kind="folder", path=str(path), licence="none", **more)


def test_a_folder_is_read_class_by_class_in_the_order_of_names(tmp_path):
    write_pictures(tmp_path / "p", train=3, test=2)
    loaded = load(folder_source(tmp_path / "p"), 16)
    assert loaded.classes == ["blue dot", "green bar", "grey cross", "red circle"]
    assert loaded.parts["train"].labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    pictures = list(loaded.parts["test"].pictures)
    assert len(pictures) == 8
    with Image.open(tmp_path / "p/test/blue_dot/01.png") as picture:
        assert (pictures[1] == np.asarray(picture)).all()
    assert class_counts(folder_source(tmp_path / "p")) == Counts([3, 3, 3, 3], 0)


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


def write_classes(folder, sizes: dict[str, int]) -> None:
    """Pictures of one grey value each, so that they can be told apart: 10 times the class plus the number."""
    for label, (name, size) in enumerate(sizes.items()):
        (folder / name).mkdir(parents=True)
        for number in range(size):
            Image.new("L", (8, 8), 10 * label + number).save(folder / name / f"{number}.png")


def greys(part: Part) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in part.pictures]


def test_a_share_of_each_class_is_the_test_set_where_there_is_none(tmp_path):
    """0.25 of 10, 2 and 6 pictures: 2.5 and 1.5 give 2 each, and 0.5 is one at least."""
    write_classes(tmp_path / "p", {"ape": 10, "bee": 2, "cat": 6})
    source = folder_source(tmp_path / "p", test_share=0.25)
    assert class_counts(source) == Counts([8, 1, 4], 0)
    loaded, again = load(source, 8), load(source, 8)
    assert loaded.parts["train"].labels.tolist() == [0] * 8 + [1] + [2] * 4
    assert loaded.parts["test"].labels.tolist() == [0, 0, 1, 2, 2]
    test, train = greys(loaded.parts["test"]), greys(loaded.parts["train"])
    assert sorted(test + train) == [*range(10), 10, 11, *range(20, 26)]
    assert greys(again.parts["test"]) == test
    (tmp_path / "p/bee/2.png").write_bytes((tmp_path / "p/bee/1.png").read_bytes())
    moved = greys(load(source, 8).parts["test"])
    assert [grey for grey in moved if grey // 10 != 1] == [grey for grey in test if grey // 10 != 1]


def test_a_large_test_share_leaves_a_picture_to_train_on(tmp_path):
    write_classes(tmp_path / "p", {"ape": 3, "bee": 2})
    assert class_counts(folder_source(tmp_path / "p", test_share=0.99)) == Counts([1, 1], 0)
    write_classes(tmp_path / "p", {"cat": 1})
    with pytest.raises(ValueError, match="cat: has 1 picture; with test_share a class needs at least 2"):
        class_counts(folder_source(tmp_path / "p", test_share=0.99))


@pytest.mark.parametrize("where", ["apart", "p/unlabeled"])
def test_unlabeled_pictures_of_a_folder_follow_those_of_the_classes(tmp_path, where):
    write_classes(tmp_path / "p", {"ape": 3, "zebra": 3})
    write_classes(tmp_path, {where: 2})
    source = folder_source(tmp_path / "p", test_share=0.3, unlabeled=str(tmp_path / where))
    assert class_counts(source) == Counts([2, 2], 2)
    loaded = load(source, 8)
    assert loaded.classes == ["ape", "zebra"]
    assert loaded.parts["train"].labels.tolist() == [0, 0, 1, 1, -1, -1]
    assert loaded.parts["test"].labels.tolist() == [0, 1]
    assert greys(loaded.parts["train"])[4:] == [0, 1]


def test_a_missing_folder_of_unlabeled_pictures_is_named(tmp_path):
    write_classes(tmp_path / "p", {"ape": 2, "bee": 2})
    source = folder_source(tmp_path / "p", test_share=0.5, unlabeled=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="none: no such folder of unlabeled pictures"):
        class_counts(source)


def test_the_store_keeps_pictures_without_a_label(tmp_path):
    black = np.zeros((4, 4, 3), np.uint8)
    parts = {"train": Part(np.array([1, -1, -1, 0, 1]), iter([black] * 5)), "test": Part(np.array([0]), iter([black]))}
    write_store(tmp_path, Loaded(["ape", "bee"], "here", parts), 4, "none")
    store = open_store(tmp_path)
    assert store.labels["train"].tolist() == [1, -1, -1, 0, 1]
    assert store.meta["counts"] == {"train": [1, 2], "test": [1, 0]}
    assert store.meta["unlabeled"] == 2


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
    assert class_counts(source) == Counts([2, 2], 0)
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


def md5(path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_torchvision_sources_are_read_from_their_true_format(tmp_path, monkeypatch):
    """CIFAR-10's own files (python batches), a few pictures each; only the published hashes are replaced."""
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    rng = np.random.default_rng(0)

    def batch(name: str, content: dict) -> list[str]:
        path = root / name
        path.write_bytes(pickle.dumps(content))
        return [name, md5(path)]

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
    assert class_counts(source) == Counts([5000] * 10, 0)


def test_stl10_is_read_from_its_true_format(tmp_path, monkeypatch):
    """Its own binary files, a few pictures each; only the published hashes are replaced."""
    kind, root = torchvision.datasets.STL10, tmp_path / "stl10_binary"
    root.mkdir()
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (n, 3, 96, 96), np.uint8) for name, n in (("train", 3), ("test", 2))}
    images["unlabeled"] = rng.integers(0, 256, (4, 3, 96, 96), np.uint8)
    for name, pixels in images.items():
        pixels.tofile(root / f"{name}_X.bin")
    np.array([10, 1, 2], np.uint8).tofile(root / "train_y.bin")  # from 1, as published
    np.array([3, 10], np.uint8).tofile(root / "test_y.bin")
    names = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
    (root / "class_names.txt").write_text("\n".join(names) + "\n")
    for part in ("train_list", "test_list"):
        hashes = [[name, md5(root / name)] for name, _ in getattr(kind, part)]
        monkeypatch.setattr(kind, part, hashes)

    source = TorchvisionSource(kind="torchvision", name="STL10", path=str(tmp_path), licence="unknown")
    loaded = load(source, 96)
    assert loaded.classes == names
    assert loaded.parts["train"].labels.tolist() == [9, 0, 1, -1, -1, -1, -1]
    assert loaded.parts["test"].labels.tolist() == [2, 9]
    pictures = list(loaded.parts["train"].pictures)
    expected = np.concatenate([images["train"], images["unlabeled"]]).transpose(0, 3, 2, 1)  # columns come first
    assert len(pictures) == 7 and (np.stack(pictures) == expected).all()
    assert (np.stack(list(loaded.parts["test"].pictures)) == images["test"].transpose(0, 3, 2, 1)).all()
    assert class_counts(source) == Counts([500] * 10, 100_000)


def write_food101(folder) -> None:
    """The layout of Food-101: two classes of two training pictures and one test picture."""
    listed: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for label, name in enumerate(("apple_pie", "bibimbap")):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(3):
            listed["test" if number == 2 else "train"].setdefault(name, []).append(f"{name}/{number}")
            Image.new("RGB", (30, 20), (100 * label + 10 * number,) * 3).save(folder / f"images/{name}/{number}.jpg")
    (folder / "meta").mkdir()
    for part, files in listed.items():
        (folder / f"meta/{part}.json").write_text(json.dumps(files))


def test_food101_is_read_from_its_true_layout_one_picture_at_a_time(tmp_path):
    write_food101(tmp_path / "food-101")
    source = TorchvisionSource(kind="torchvision", name="Food101", path=str(tmp_path), licence="unknown")
    loaded = load(source, 16)
    assert loaded.classes == ["apple pie", "bibimbap"]
    assert loaded.parts["train"].labels.tolist() == [0, 0, 1, 1]
    assert loaded.parts["test"].labels.tolist() == [0, 1]
    assert greys(loaded.parts["test"]) == [20, 120]
    (tmp_path / "food-101/images/bibimbap/1.jpg").write_bytes(b"cut")
    pictures = loaded.parts["train"].pictures
    assert [int(next(pictures)[0, 0, 0]) for _ in range(3)] == [0, 10, 100]  # read before the broken one is met
    with pytest.raises(ValueError, match=r"bibimbap/1\.jpg: not a readable picture"):
        next(pictures)
    assert class_counts(source) == Counts([750] * 101, 0)
