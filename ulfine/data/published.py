"""Published data sets. Addresses, file names and checksums are torchvision's; the readers are our own.

torchvision would unpickle CIFAR, which lets a file run code, and hold all 3 GB of STL-10 in memory.
"""

import gzip
import re
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ulfine.data.classes import shown
from ulfine.data.download import fetch, unpack
from ulfine.data.pictures import read_all, square
from ulfine.data.store import PARTS, Counts, Loaded, Part
from ulfine.data.unpickle import unpickled
from ulfine.errors import machine_failed
from ulfine.files import located, md5, read_json
from ulfine.params.dataset import TorchvisionSource

COUNTS = {
    "CIFAR10": Counts([5000] * 10, 0),
    "CIFAR100": Counts([500] * 100, 0),
    "STL10": Counts([500] * 10, 100_000),
    "SVHN": Counts([4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659], 0),
    "Food101": Counts([750] * 101, 0),
    "FashionMNIST": Counts([6000] * 10, 0),
}
STL10_SHAPE = (3, 96, 96)  # channel, column, row


class Arrays(NamedTuple):
    """One part of a data set published as arrays."""

    labels: np.ndarray  # (N,); -1 where unknown
    pictures: Iterable[np.ndarray]  # N times (height, width) or (height, width, 3) uint8


def class_counts(source: TorchvisionSource) -> Counts:
    """Return the published numbers of training pictures."""
    return COUNTS[source.name]


def load(source: TorchvisionSource, resolution: int) -> Loaded:
    """Load a published data set, downloading files that are missing.

    Raises:
        ValueError: a file cannot be downloaded, or differs from the published one.
    """
    import torchvision  # takes seconds, and checking parameters needs only the counts

    kind, root = getattr(torchvision.datasets, source.name), located(source.path)
    match source.name:
        case "Food101":
            classes, parts = _food101(kind, source, resolution)
        case "STL10":
            classes, parts = _squares(_stl10(kind, root), resolution)
        case "SVHN":
            classes, parts = _squares(_svhn(kind, root), resolution)
        case "FashionMNIST":
            classes, parts = _squares(_fashion_mnist(kind, root), resolution)
        case _:
            classes, parts = _squares(_cifar(kind, root), resolution)
    origin = f"torchvision.datasets.{source.name}"
    return Loaded(shown(classes, source.path), origin, parts, stops=source.broken == "stop")


def _squares(found: tuple[list[str], dict[str, Arrays]], resolution: int) -> tuple[list[str], dict[str, Part]]:
    def pictures(arrays: Arrays) -> Iterator[np.ndarray]:
        return (square(Image.fromarray(picture), resolution) for picture in arrays.pictures)

    classes, parts = found
    return classes, {part: Part(arrays.labels.astype(np.int64), pictures(arrays)) for part, arrays in parts.items()}


def _require_whole(folder: Path, hashes: dict[str, str]) -> None:
    """Check the files that torchvision unpacked; an interruption may have cut them."""
    for name, expected in hashes.items():
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: lacks {name}; delete the folder and run again")
        found = md5(folder / name)
        if found != expected:
            raise ValueError(f"{folder / name}: md5 is {found}, expected {expected}; delete the folder and run again")


def _require_labels(labels: np.ndarray, least: int, most: int, number: int, where: str | Path) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != number:
        raise ValueError(f"{where}: {number} pictures need as many labels, whole numbers, not {labels.shape} of them")
    if number and (labels.min() < least or labels.max() > most):
        raise ValueError(f"{where}: labels are {labels.min()} to {labels.max()}, must be {least} to {most}")


def _cifar(kind: Any, root: Path) -> tuple[list[str], dict[str, Arrays]]:
    """Read CIFAR-10 or CIFAR-100: pickled batches, from the archive or the folder that torchvision unpacks."""
    where, batches = _cifar_batches(kind, root)
    names = batches[kind.meta["filename"]]
    classes = names.get(kind.meta["key"]) if isinstance(names, dict) else None
    size = len(COUNTS[kind.__name__].by_class)
    if not isinstance(classes, list) or len(classes) != size or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"{where / kind.meta['filename']}: {kind.meta['key']} must be {size} names")
    parts = {}
    for part, listed in zip(PARTS, (kind.train_list, kind.test_list), strict=True):
        found = [_cifar_batch(batches[name], size, where / name) for name, _ in listed]
        labels, pictures = zip(*found, strict=True)
        parts[part] = Arrays(np.concatenate(labels), chain.from_iterable(pictures))
    return classes, parts


def _cifar_batches(kind: Any, root: Path) -> tuple[Path, dict[str, Any]]:
    """Return the place of the batches, for messages, and the content of each file."""
    hashes = dict([*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])])
    folder, archive = root / kind.base_folder, root / kind.filename
    found = {}
    if folder.is_dir():
        _require_whole(folder, hashes)
        for name in hashes:
            with (folder / name).open("rb") as file:
                found[name] = unpickled(file, str(folder / name))
        return folder, found
    fetch([kind.url], archive, kind.tgz_md5)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.removeprefix(f"{kind.base_folder}/")
                if name in hashes and member.isfile():
                    found[name] = unpickled(tar.extractfile(member), str(archive / member.name))
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{archive}: cannot be read ({error})") from None
    missing = [name for name in hashes if name not in found]
    if missing:
        raise ValueError(f"{archive}: lacks {kind.base_folder}/{missing[0]}")
    return archive / kind.base_folder, found


def _cifar_batch(batch: Any, classes: int, where: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (N,) and pictures (N, 32, 32, 3); a batch has them as rows of 3072 bytes: channel, row, column."""
    values = batch if isinstance(batch, dict) else {}
    data, labels = values.get("data"), values.get("labels", values.get("fine_labels"))
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        raise ValueError(f"{where}: its data must be an array (N, 3072) of uint8")
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise ValueError(f"{where}: its labels must be a list of whole numbers")
    found = np.array(labels)  # too large a number makes an array of objects, which is refused
    _require_labels(found, 0, classes - 1, len(data), where)
    return found, np.asarray(data).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _stl10(kind: Any, root: Path) -> tuple[list[str], dict[str, Arrays]]:
    """Read STL-10. Its labels start at 1; the unlabeled pictures, 2.8 GB, follow those of `train`."""
    folder = root / kind.base_folder
    if not folder.is_dir():
        fetch([kind.url], root / kind.filename, kind.tgz_md5)
        unpack(root / kind.filename, folder)
    _require_whole(folder, dict([*kind.train_list, *kind.test_list]))
    classes = _stl10_classes(folder / kind.class_names_file)
    parts = {}
    for part in PARTS:
        labels = np.fromfile(folder / f"{part}_y.bin", np.uint8)
        _require_labels(labels, 1, len(classes), _stl10_size(folder / f"{part}_X.bin"), folder / f"{part}_y.bin")
        parts[part] = Arrays(labels.astype(np.int64) - 1, _stl10_pictures(folder / f"{part}_X.bin"))
    unlabeled = folder / "unlabeled_X.bin"
    labels, pictures = parts["train"]
    labels = np.append(labels, np.full(_stl10_size(unlabeled), -1))
    return classes, parts | {"train": Arrays(labels, chain(pictures, _stl10_pictures(unlabeled)))}


def _stl10_classes(path: Path) -> list[str]:
    """Read the class names, for which no checksum is published."""
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not valid UTF-8 ({error})") from None
    size = len(COUNTS["STL10"].by_class)
    if len(names) != size or not all(name.strip() for name in names):
        raise ValueError(f"{path}: must be {size} names, one a line")
    return names


def _stl10_size(path: Path) -> int:
    number, rest = divmod(path.stat().st_size, prod(STL10_SHAPE))
    if rest:
        raise ValueError(f"{path}: {rest} bytes are left over after {number} pictures of {prod(STL10_SHAPE)} bytes")
    return number


def _stl10_pictures(path: Path) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        while content := file.read(prod(STL10_SHAPE)):
            yield np.frombuffer(content, np.uint8).reshape(STL10_SHAPE).transpose(2, 1, 0)


def _svhn(kind: Any, root: Path) -> tuple[list[str], dict[str, Arrays]]:
    """Read SVHN without its extra pictures: MATLAB files with X (32, 32, 3, N) and y, where 10 is the digit 0."""
    from scipy.io import loadmat  # slow to import, and no other data set needs it

    parts = {}
    for part in PARTS:
        url, name, expected = kind.split_list[part]
        path = root / name
        fetch([url], path, expected)
        try:
            found = loadmat(path, variable_names=("X", "y"))
        except Exception as error:  # a damaged file raises MatReadError, zlib.error, TypeError, …
            if machine_failed(error):
                raise
            raise ValueError(f"{path}: not a readable .mat file ({error})") from None
        pictures, labels = (np.asarray(found.get(key, ())) for key in ("X", "y"))
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[:3] != (32, 32, 3):
            raise ValueError(f"{path}: X has the shape {pictures.shape}, must be (32, 32, 3, N) of uint8")
        _require_labels(labels.ravel(), 1, 10, pictures.shape[3], path)
        parts[part] = Arrays(labels.ravel() % 10, np.moveaxis(pictures, 3, 0))
    return [str(digit) for digit in range(10)], parts


def _fashion_mnist(kind: Any, root: Path) -> tuple[list[str], dict[str, Arrays]]:
    """Read Fashion-MNIST: compressed IDX files, in the folder where torchvision keeps them."""
    folder = root / kind.__name__ / "raw"
    for name, expected in kind.resources:
        fetch([mirror + name for mirror in kind.mirrors], folder / name, expected)
    parts = {}
    for part, prefix in zip(PARTS, ("train", "t10k"), strict=True):
        pictures = _idx(folder / f"{prefix}-images-idx3-ubyte.gz", 3)
        path = folder / f"{prefix}-labels-idx1-ubyte.gz"
        labels = _idx(path, 1)
        _require_labels(labels, 0, len(kind.classes) - 1, len(pictures), path)
        parts[part] = Arrays(labels, pictures)
    return kind.classes, parts


def _idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an array in the IDX format: bytes 0, 0, 8 (for uint8) and the number of dimensions; the shape; the data."""
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be decompressed ({error})") from None
    header = struct.Struct(f">{1 + dimensions}I")
    opening, *shape = header.unpack(content[: header.size].ljust(header.size, b"\0"))
    if opening != 0x800 + dimensions or len(content) != header.size + prod(shape):
        raise ValueError(f"{path}: not an IDX file of bytes in {dimensions} dimensions, or cut")
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)


def _food101(kind: Any, source: TorchvisionSource, resolution: int) -> tuple[list[str], dict[str, Part]]:
    """Read Food-101: a tree of pictures, and for each part a list of them by class."""
    root = located(source.path)
    archive, folder = root / Path(kind._URL).name, root / "food-101"
    if not folder.is_dir():
        fetch([kind._URL], archive, kind._MD5)  # torchvision has no public names for them
        unpack(archive, folder)
    listed = {part: _food101_list(folder, part) for part in PARTS}
    classes, size = sorted(listed["train"]), len(COUNTS[source.name].by_class)
    if len(classes) != size:
        raise ValueError(f"{folder / 'meta/train.json'}: has {len(classes)} classes, must be {size}")
    parts = {}
    for part, by_class in listed.items():
        if sorted(by_class) != classes:
            raise ValueError(f"{folder / 'meta' / part}.json: has other classes than train.json")
        labels = np.repeat([classes.index(name) for name in by_class], [len(names) for names in by_class.values()])
        paths = [str(folder / "images" / f"{name}.jpg") for names in by_class.values() for name in names]
        lacking = [path for path in paths if not Path(path).is_file()]
        if lacking:
            raise ValueError(
                f"{lacking[0]}: is missing, and {len(lacking) - 1} more; delete the folder {folder} and run again"
            )
        parts[part] = Part(labels, read_all(paths, source, resolution))
    return classes, parts


def _food101_list(folder: Path, part: str) -> dict[str, list[str]]:
    """Return class -> its pictures in images/, as class/number."""
    path = folder / "meta" / f"{part}.json"
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(names, list) and names for names in found.values()):
        raise ValueError(f"{path}: must give a list of pictures for each class")
    for label, names in found.items():
        for name in names:
            inside = re.fullmatch(r"(\w+)/\w+", name) if isinstance(name, str) else None
            if not inside or inside[1] != label:
                raise ValueError(f"{path}: {name!r} is not a picture of {label!r}")
    return found
