"""Published data sets in their real formats, with a few pictures each; only the published hashes are replaced."""

import gzip
import io
import json
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat

from tests.helpers.pictures import greys, md5, published_source, random_bytes
from ulfine.data import published
from ulfine.data.sources import class_counts, load
from ulfine.data.store import Counts

CIFAR10 = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
ROWS = {"data_batch_1": random_bytes(10, 3072), "test_batch": random_bytes(10, 3072)[::-1]}
BATCHES = {name: {"data": data, "labels": list(range(10))} for name, data in ROWS.items()}


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """Write CIFAR-10's batches into their archive, or unpacked."""
    kind = torchvision.datasets.CIFAR10

    def write(packed: bool, **changes) -> Path:
        folder = tmp_path / kind.base_folder
        folder.mkdir()
        batches = {"batches.meta": {"label_names": CIFAR10}} | BATCHES | changes
        for name, content in batches.items():
            (folder / name).write_bytes(pickle.dumps(content, 2))
        listed = {name: md5(folder / name) for name in batches}
        monkeypatch.setattr(kind, "train_list", [["data_batch_1", listed["data_batch_1"]]])
        monkeypatch.setattr(kind, "test_list", [["test_batch", listed["test_batch"]]])
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": listed["batches.meta"]})
        if packed:
            with tarfile.open(tmp_path / kind.filename, "w:gz") as tar:
                tar.add(folder, kind.base_folder)
            folder.rename(tmp_path / "gone")
            monkeypatch.setattr(kind, "tgz_md5", md5(tmp_path / kind.filename))
        return tmp_path / kind.filename if packed else folder

    return write


@pytest.mark.parametrize("packed", [True, False])
def test_cifar10_is_read_from_its_archive_and_from_what_torchvision_unpacks(cifar10, tmp_path, packed):
    cifar10(packed)
    loaded = load(published_source("CIFAR10", tmp_path), 32)
    assert loaded.classes == CIFAR10 and loaded.origin == "torchvision.datasets.CIFAR10"
    for part, name in (("train", "data_batch_1"), ("test", "test_batch")):
        assert loaded.parts[part].labels.tolist() == list(range(10))
        expected = ROWS[name].reshape(10, 3, 32, 32).transpose(0, 2, 3, 1)
        assert (np.stack(list(loaded.parts[part].pictures)) == expected).all()
    assert class_counts(published_source("CIFAR10", tmp_path)) == Counts([5000] * 10, 0)
    assert not packed or not (tmp_path / "cifar-10-batches-py").exists()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_1", BATCHES["data_batch_1"] | {"labels": [10] * 10}, "labels are 10 to 10, must be 0 to 9"),
        ("data_batch_1", BATCHES["data_batch_1"] | {"labels": [0] * 9}, "10 pictures need as many labels"),
        ("data_batch_1", BATCHES["data_batch_1"] | {"labels": "0123456789"}, "its labels must be a list of whole"),
        ("data_batch_1", BATCHES["data_batch_1"] | {"labels": [2**70] * 10}, "10 pictures need as many labels, whole"),
        ("test_batch", {"data": random_bytes(10, 3071), "labels": [0] * 10}, r"its data must be an array \(N, 3072\)"),
        ("test_batch", {"data": np.zeros((10, 3072)), "labels": [0] * 10}, r"its data must be an array \(N, 3072\)"),
        ("test_batch", [1], r"its data must be an array \(N, 3072\) of uint8"),
        ("test_batch", print, r"wants __builtin__\.print, which is not admitted"),
        ("batches.meta", {"label_names": CIFAR10[:9]}, "label_names must be 10 names"),
        ("batches.meta", [], "label_names must be 10 names"),
    ],
)
def test_a_spoilt_batch_is_named(cifar10, tmp_path, packed, name, content, message):
    cifar10(packed, **{name: content})
    where = r"cifar-10-python\.tar\.gz/" if packed else ""
    with pytest.raises(ValueError, match=rf"{where}cifar-10-batches-py/{name}: {message}"):
        load(published_source("CIFAR10", tmp_path), 32)


def test_a_folder_that_is_not_whole_is_named(cifar10, tmp_path):
    folder = cifar10(packed=False)
    (folder / "data_batch_1").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"data_batch_1: md5 is \w{32}, expected \w{32}; delete the folder and run"):
        load(published_source("CIFAR10", tmp_path), 32)
    (folder / "data_batch_1").unlink()
    with pytest.raises(ValueError, match=r"cifar-10-batches-py: lacks data_batch_1; delete the folder and run again"):
        load(published_source("CIFAR10", tmp_path), 32)


def test_an_archive_that_lacks_a_batch_is_named(cifar10, tmp_path, monkeypatch):
    cifar10(packed=True)
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [*kind.train_list, ["data_batch_2", "0" * 32]])
    with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz: lacks cifar-10-batches-py/data_batch_2"):
        load(published_source("CIFAR10", tmp_path), 32)


def test_cifar100_is_read_with_its_fine_labels(tmp_path, monkeypatch):
    kind = torchvision.datasets.CIFAR100
    names = [f"kind_{i}" for i in range(100)]
    batch = {"data": random_bytes(3, 3072), "fine_labels": [99, 0, 5], "coarse_labels": [1, 1, 1]}
    with tarfile.open(tmp_path / kind.filename, "w:gz") as tar:
        for name, content in (("meta", {"fine_label_names": names}), ("train", batch), ("test", batch)):
            member = tarfile.TarInfo(f"{kind.base_folder}/{name}")
            pickled = pickle.dumps(content, 2)
            member.size = len(pickled)
            tar.addfile(member, io.BytesIO(pickled))
    monkeypatch.setattr(kind, "tgz_md5", md5(tmp_path / kind.filename))
    loaded = load(published_source("CIFAR100", tmp_path), 32)
    assert loaded.parts["train"].labels.tolist() == [99, 0, 5] and loaded.classes[99] == "kind 99"


@pytest.fixture
def stl10(tmp_path, monkeypatch) -> dict[str, np.ndarray]:
    """Write three training pictures, two test pictures and four without a label."""
    kind, root = torchvision.datasets.STL10, tmp_path / "stl10_binary"
    root.mkdir()
    pixels = random_bytes(9, 3, 96, 96)
    images = {"train": pixels[:3], "test": pixels[3:5], "unlabeled": pixels[5:]}
    for name, found in images.items():
        found.tofile(root / f"{name}_X.bin")
    np.array([10, 1, 2], np.uint8).tofile(root / "train_y.bin")  # from 1, as published
    np.array([3, 10], np.uint8).tofile(root / "test_y.bin")
    names = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
    (root / "class_names.txt").write_text("\n".join(names) + "\n")
    prove(monkeypatch, kind, root)
    return images


def prove(monkeypatch, kind: type, root: Path) -> None:
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(kind, part, [[name, md5(root / name)] for name, _ in getattr(kind, part)])


@pytest.mark.parametrize("packed", [True, False])
def test_stl10_is_read_from_its_true_format(stl10, tmp_path, monkeypatch, packed):
    kind = torchvision.datasets.STL10
    if packed:
        with tarfile.open(tmp_path / kind.filename, "w:gz") as tar:
            tar.add(tmp_path / "stl10_binary", "stl10_binary")
        (tmp_path / "stl10_binary").rename(tmp_path / "gone")
        monkeypatch.setattr(kind, "tgz_md5", md5(tmp_path / kind.filename))
    source = published_source("STL10", tmp_path)
    loaded = load(source, 96)
    assert loaded.classes[0] == "airplane" and len(loaded.classes) == 10
    assert loaded.parts["train"].labels.tolist() == [9, 0, 1, -1, -1, -1, -1]
    assert loaded.parts["test"].labels.tolist() == [2, 9]
    pictures = list(loaded.parts["train"].pictures)
    expected = np.concatenate([stl10["train"], stl10["unlabeled"]]).transpose(0, 3, 2, 1)  # columns come first
    assert len(pictures) == 7 and (np.stack(pictures) == expected).all()
    assert (np.stack(list(loaded.parts["test"].pictures)) == stl10["test"].transpose(0, 3, 2, 1)).all()
    assert class_counts(source) == Counts([500] * 10, 100_000)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_X.bin", b"\0" * (3 * 27648 + 5), "train_X.bin: 5 bytes are left over after 3 pictures of 27648 bytes"),
        ("train_y.bin", b"\0\1\2", "train_y.bin: labels are 0 to 2, must be 1 to 10"),
        ("test_y.bin", b"\1", "test_y.bin: 2 pictures need as many labels"),
        ("class_names.txt", b"a\nb\n", r"class_names\.txt: must be 10 names, one a line"),
        ("class_names.txt", b"a\nb\nc\nd\ne\n \ng\nh\ni\nj\n", r"class_names\.txt: must be 10 names, one a line"),
        ("class_names.txt", b"a\xff\n" * 10, r"class_names\.txt: not valid UTF-8 \("),
    ],
)
@pytest.mark.usefixtures("stl10")
def test_a_spoilt_file_of_stl10_is_named(tmp_path, monkeypatch, name, content, message):
    (tmp_path / "stl10_binary" / name).write_bytes(content)
    prove(monkeypatch, torchvision.datasets.STL10, tmp_path / "stl10_binary")
    with pytest.raises(ValueError, match=message):
        load(published_source("STL10", tmp_path), 96)


def write_svhn(folder: Path, monkeypatch, **changes) -> np.ndarray:
    pixels = random_bytes(32, 32, 3, 4)
    split_list = dict(torchvision.datasets.SVHN.split_list)
    for part, pictures in (("train", pixels), ("test", pixels[..., :2])):
        labels = np.array([[10], [1], [9], [10]][: pictures.shape[3]], np.uint8)
        path = folder / f"{part}_32x32.mat"
        savemat(path, {"X": pictures, "y": labels} | changes, do_compression=True)
        split_list[part] = [split_list[part][0], path.name, md5(path)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", split_list)
    return pixels


def test_svhn_is_read_from_its_true_format(tmp_path, monkeypatch):
    pixels = write_svhn(tmp_path, monkeypatch)
    source = published_source("SVHN", tmp_path)
    loaded = load(source, 32)
    assert loaded.classes == [*"0123456789"]
    assert loaded.parts["train"].labels.tolist() == [0, 1, 9, 0] and loaded.parts["test"].labels.tolist() == [0, 1]
    assert (np.stack(list(loaded.parts["train"].pictures)) == np.moveaxis(pixels, 3, 0)).all()
    assert sum(class_counts(source).by_class) == 73257 and class_counts(source).by_class[1] == 13861


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": random_bytes(32, 32, 4)}, r"X has the shape \(32, 32, 4\), must be \(32, 32, 3, N\) of uint8"),
        ({"y": np.array([[0], [1], [2], [3]])}, "labels are 0 to 3, must be 1 to 10"),
        ({"y": np.array([[1], [1], [2]])}, "4 pictures need as many labels"),
    ],
)
def test_a_spoilt_file_of_svhn_is_named(tmp_path, monkeypatch, changes, message):
    write_svhn(tmp_path, monkeypatch, **changes)
    with pytest.raises(ValueError, match=rf"train_32x32\.mat: {message}"):
        load(published_source("SVHN", tmp_path), 32)


@pytest.mark.parametrize("content", [b"", b"no matlab", b"MATLAB 5.0 MAT-file" + b"\0" * 300])
def test_what_is_no_mat_file_is_named(tmp_path, monkeypatch, content):
    write_svhn(tmp_path, monkeypatch)
    (tmp_path / "train_32x32.mat").write_bytes(content)
    kind = torchvision.datasets.SVHN
    entry = [*kind.split_list["train"][:2], md5(tmp_path / "train_32x32.mat")]
    monkeypatch.setattr(kind, "split_list", kind.split_list | {"train": entry})
    with pytest.raises(ValueError, match=r"train_32x32\.mat: "):
        load(published_source("SVHN", tmp_path), 32)


def write_fashion_mnist(folder: Path, monkeypatch, **changes) -> np.ndarray:
    """Write IDX files: two zeros, 8 for bytes, the number of dimensions, each dimension in four bytes, the bytes."""
    pixels = random_bytes(3, 28, 28)
    contents = {
        "train-images-idx3-ubyte.gz": b"\0\0\x08\x03" + struct.pack(">3I", 3, 28, 28) + pixels.tobytes(),
        "train-labels-idx1-ubyte.gz": b"\0\0\x08\x01" + struct.pack(">I", 3) + b"\x09\0\1",
        "t10k-images-idx3-ubyte.gz": b"\0\0\x08\x03" + struct.pack(">3I", 1, 28, 28) + pixels[2].tobytes(),
        "t10k-labels-idx1-ubyte.gz": b"\0\0\x08\x01" + struct.pack(">I", 1) + b"\4",
    }
    root = folder / "FashionMNIST/raw"
    root.mkdir(parents=True)
    resources = []
    for name, content in (contents | changes).items():
        (root / name).write_bytes(gzip.compress(content) if content != b"no gzip" else content)
        resources.append((name, md5(root / name)))
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", resources)
    return pixels


def test_fashion_mnist_is_read_from_its_true_format(tmp_path, monkeypatch):
    pixels = write_fashion_mnist(tmp_path, monkeypatch)
    source = published_source("FashionMNIST", tmp_path)
    loaded = load(source, 28)
    assert loaded.classes[:2] == ["T-shirt/top", "Trouser"] and len(loaded.classes) == 10
    assert loaded.parts["train"].labels.tolist() == [9, 0, 1] and loaded.parts["test"].labels.tolist() == [4]
    found = np.stack(list(loaded.parts["train"].pictures))
    assert (found == pixels[..., None]).all() and found.shape == (3, 28, 28, 3)
    assert class_counts(source) == Counts([6000] * 10, 0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte.gz", b"no gzip", "cannot be decompressed"),
        (
            "train-images-idx3-ubyte.gz",
            b"\0\0\x08\x03" + struct.pack(">3I", 3, 28, 28),
            "not an IDX file of bytes in 3",
        ),
        ("train-labels-idx1-ubyte.gz", b"\0\0\x08", "not an IDX file of bytes in 1 dimensions, or cut"),
        ("train-labels-idx1-ubyte.gz", b"\0\0\x08\x01\0\0\0\x02ab", "3 pictures need as many labels"),
        ("t10k-labels-idx1-ubyte.gz", b"\0\0\x08\x01\0\0\0\x01\x0a", "labels are 10 to 10, must be 0 to 9"),
    ],
)
def test_a_spoilt_file_of_fashion_mnist_is_named(tmp_path, monkeypatch, name, content, message):
    write_fashion_mnist(tmp_path, monkeypatch, **{name: content})
    with pytest.raises(ValueError, match=rf"{name}: {message}"):
        load(published_source("FashionMNIST", tmp_path), 28)


@pytest.fixture
def food101(tmp_path, monkeypatch) -> Path:
    """Write the layout of Food-101: two classes of two training pictures and one test picture."""
    folder = tmp_path / "food-101"
    monkeypatch.setitem(published.COUNTS, "Food101", Counts([2, 2], 0))
    listed: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for label, name in enumerate(("apple_pie", "bibimbap")):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(3):
            listed["test" if number == 2 else "train"].setdefault(name, []).append(f"{name}/{number}")
            Image.new("RGB", (30, 20), (100 * label + 10 * number,) * 3).save(folder / f"images/{name}/{number}.jpg")
    (folder / "meta").mkdir()
    for part, files in listed.items():
        (folder / f"meta/{part}.json").write_text(json.dumps(files))
    return folder


def test_food101_has_as_many_pictures_as_published(tmp_path):
    assert class_counts(published_source("Food101", tmp_path)) == Counts([750] * 101, 0)


@pytest.mark.usefixtures("food101")
def test_food101_is_read_from_its_true_layout_one_picture_at_a_time(tmp_path):
    source = published_source("Food101", tmp_path)
    loaded = load(source, 16)
    assert loaded.classes == ["apple pie", "bibimbap"]
    assert loaded.parts["train"].labels.tolist() == [0, 0, 1, 1]
    assert loaded.parts["test"].labels.tolist() == [0, 1]
    assert greys(loaded.parts["test"]) == [20, 120]
    (tmp_path / "food-101/images/bibimbap/1.jpg").write_bytes(b"cut")
    assert greys(loaded.parts["train"]) == [0, 10, 100, "food-101/images/bibimbap/1.jpg"]
    assert loaded.stops and not load(published_source("Food101", tmp_path, broken="skip"), 16).stops


def test_food101_is_unpacked_from_its_archive(food101, tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "food-101.tar.gz", "w:gz") as tar:
        tar.add(food101, "food-101")
    food101.rename(tmp_path / "gone")
    monkeypatch.setattr(torchvision.datasets.Food101, "_MD5", md5(tmp_path / "food-101.tar.gz"))
    loaded = load(published_source("Food101", tmp_path), 16)
    assert greys(loaded.parts["train"]) == [0, 10, 100, 110]


def list_both(folder: Path, listed: dict[str, list[str]]) -> None:
    for part in ("train", "test"):
        (folder / f"meta/{part}.json").write_text(json.dumps(listed))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda p: (p / "images/bibimbap/0.jpg").unlink(),
            r"bibimbap/0\.jpg: is missing, and 0 more; delete the folder",
        ),
        (lambda p: (p / "meta/train.json").write_text("{"), r"train\.json: not valid JSON"),
        (lambda p: (p / "meta/test.json").write_text("[]"), r"test\.json: must give a list of pictures for each class"),
        (lambda p: (p / "meta/test.json").write_text("{}"), r"test\.json: has other classes than train\.json"),
        (lambda p: (p / "meta/test.json").write_text('{"a": ["a/../1"]}'), r"'a/\.\./1' is not a picture of 'a'"),
        (lambda p: (p / "meta/test.json").write_text('{"a": ["b/1"]}'), r"test\.json: 'b/1' is not a picture of 'a'"),
        (
            lambda p: (p / "meta/test.json").write_text('{"a": []}'),
            r"test\.json: must give a list of pictures for each",
        ),
        (lambda p: list_both(p, {}), r"meta/train\.json: has 0 classes, must be 2"),
        (
            lambda p: list_both(p, {"../../secret": ["../../secret/1"], "bibimbap": ["bibimbap/0"]}),
            r"train\.json: '\.\./\.\./secret/1' is not a picture of '\.\./\.\./secret'",
        ),
    ],
)
def test_a_spoilt_tree_of_food101_is_named(food101, tmp_path, spoil, message):
    (tmp_path / "secret").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "secret/1.jpg")
    spoil(food101)
    with pytest.raises(ValueError, match=message):
        load(published_source("Food101", tmp_path), 16)


@pytest.mark.parametrize(
    ("name", "file", "folder"),
    [
        ("CIFAR10", "cifar-10-python.tar.gz", ""),
        ("CIFAR100", "cifar-100-python.tar.gz", ""),
        ("STL10", "stl10_binary.tar.gz", ""),
        ("SVHN", "train_32x32.mat", ""),
        ("Food101", "food-101.tar.gz", ""),
        ("FashionMNIST", "train-images-idx3-ubyte.gz", "FashionMNIST/raw"),
    ],
)
def test_each_asks_for_its_file_and_proves_it(tmp_path, monkeypatch, name, file, folder):
    asked = []

    def fetch(urls: list[str], target: Path, expected: str) -> None:
        asked.append((urls, target, expected))
        raise ValueError("no network")

    monkeypatch.setattr(published, "fetch", fetch)
    with pytest.raises(ValueError, match="no network"):
        load(published_source(name, tmp_path), 32)
    [(urls, target, expected)] = asked
    assert target == tmp_path / folder / file and len(expected) == 32
    assert all(url.startswith("http") and url.endswith(f"/{file}") for url in urls)
