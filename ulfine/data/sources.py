"""Where pictures come from: a NumPy archive, a folder of pictures, or torchvision."""

import tarfile
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ulfine.data.store import PARTS, Counts, Loaded, Part, counted
from ulfine.files import sha256
from ulfine.params.dataset import ArraySource, FolderSource, Source, TorchvisionSource

ARRAYS = ("classes", "train_images", "train_labels", "test_images", "test_labels")
SUFFIXES = frozenset(Image.registered_extensions())
TORCHVISION_COUNTS = {
    "CIFAR10": Counts([5000] * 10, 0),
    "CIFAR100": Counts([500] * 100, 0),
    "STL10": Counts([500] * 10, 100_000),
    "Food101": Counts([750] * 101, 0),
}


def load(source: Source, resolution: int) -> Loaded:
    """Open a source; its pictures are RGB and `resolution` pixels a side.

    Raises:
        ValueError: the source is not what it should be: a hash, a folder, a picture.
        FileNotFoundError: it is not there.
    """
    match source:
        case ArraySource():
            return _archive(source, resolution)
        case FolderSource():
            return _folder(source, resolution)
        case TorchvisionSource():
            return _torchvision(source, resolution)


def class_counts(source: Source) -> Counts:
    """Training pictures of each class, and those without a label, found without reading (or downloading) a picture."""
    match source:
        case ArraySource():
            with _opened(source) as archive:
                return counted(archive["train_labels"], len(archive["classes"]))
        case FolderSource():
            by_class = _listed(source)["train"]
            return Counts([len(files) for files in by_class.values()], len(_unlabeled(source)))
        case TorchvisionSource():
            return TORCHVISION_COUNTS[source.name]


def square(picture: Image.Image, resolution: int) -> np.ndarray:
    """RGB, centre-cropped to a square and resized: (resolution, resolution, 3) uint8."""
    picture = picture.convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    if side != resolution:
        picture = picture.resize((resolution, resolution), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _opened(source: ArraySource) -> np.lib.npyio.NpzFile:
    path = Path(source.path)
    found = sha256(path)
    if found != source.sha256:
        raise ValueError(f"{path}: sha256 is {found}, params.yaml expects {source.sha256}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not a .npz file")
    archive = np.load(path, allow_pickle=False)
    missing = [name for name in ARRAYS if name not in archive.files]
    if missing:
        raise ValueError(f"{path}: has no array {', '.join(missing)} (needed: {', '.join(ARRAYS)})")
    return archive


def _archive(source: ArraySource, resolution: int) -> Loaded:
    with _opened(source) as archive:
        arrays = {name: archive[name] for name in archive.files}
    parts = {
        part: Part(
            arrays[f"{part}_labels"].astype(np.int64),
            (square(Image.fromarray(picture), resolution) for picture in arrays[f"{part}_images"]),
        )
        for part in PARTS
    }
    return Loaded(arrays["classes"].tolist(), source.path, parts)


def _folder(source: FolderSource, resolution: int) -> Loaded:
    listed, unlabeled = _listed(source), {"": _unlabeled(source)}
    parts = {"train": _part(listed["train"] | unlabeled, resolution), "test": _part(listed["test"], resolution)}
    return Loaded([name.replace("_", " ") for name in listed["train"]], Path(source.path).name, parts)


def _part(by_class: dict[str, list[Path]], resolution: int) -> Part:
    """Pictures read one at a time; those under the name "" have no label."""
    labels = [label if name else -1 for label, name in enumerate(by_class)]
    return Part(
        np.repeat(labels, [len(paths) for paths in by_class.values()]),
        (_read(path, resolution) for paths in by_class.values() for path in paths),
    )


def _listed(source: FolderSource) -> dict[str, dict[str, list[Path]]]:
    """Part -> class -> pictures, by name."""
    root = Path(source.path)
    if source.test_share is not None:
        return _held_out(_files(root, source), source.test_share)
    found = {part: _files(root / part, source) for part in PARTS}
    if found["train"].keys() != found["test"].keys():
        odd = sorted(found["train"].keys() ^ found["test"].keys())
        raise ValueError(f"{root}: train/ and test/ must hold the same classes, these are in one alone: {odd}")
    return found


def _files(folder: Path, source: FolderSource) -> dict[str, list[Path]]:
    if not folder.is_dir():
        holds = "train/<class>/ and test/<class>/" if source.test_share is None else "<class>/ with test_share"
        raise ValueError(f"{folder}: no such folder; a folder source holds {holds}")
    apart = Path(source.unlabeled).resolve() if source.unlabeled else None  # it may lie beside the classes
    classes = [child for child in sorted(folder.iterdir()) if child.is_dir() and child.resolve() != apart]
    if not classes:
        raise ValueError(f"{folder}: no pictures")
    return {child.name: _pictures(child) for child in classes}


def _unlabeled(source: FolderSource) -> list[Path]:
    if source.unlabeled is None:
        return []
    folder = Path(source.unlabeled)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of unlabeled pictures")
    return _pictures(folder)


def _pictures(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(f"{folder}: no pictures")
    return found


def _held_out(by_class: dict[str, list[Path]], share: float) -> dict[str, dict[str, list[Path]]]:
    """Train and test where the source has no test set.

    Each class is drawn by a generator that starts from its name: neither the seed of a run nor another class moves it.
    """
    parts: dict[str, dict[str, list[Path]]] = {part: {} for part in PARTS}
    for name, paths in by_class.items():
        if len(paths) < 2:
            raise ValueError(f"{paths[0].parent}: has 1 picture; with test_share a class needs at least 2")
        count = min(max(1, round(share * len(paths))), len(paths) - 1)
        drawn = np.random.default_rng(list(name.encode())).choice(len(paths), count, replace=False).tolist()
        parts["test"][name] = [paths[i] for i in sorted(drawn)]
        parts["train"][name] = [path for i, path in enumerate(paths) if i not in drawn]
    return parts


def _read(path: Path, resolution: int) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return square(picture, resolution)
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: not a readable picture ({error})") from None


def _torchvision(source: TorchvisionSource, resolution: int) -> Loaded:
    opened = {part: _download(source, part) for part in PARTS}
    match source.name:
        case "STL10":
            parts = _stl10(opened, resolution)
        case "Food101":  # torchvision has no public names for these, and decodes a picture to tell its label
            parts = {
                part: Part(np.asarray(data._labels), (_read(path, resolution) for path in data._image_files))
                for part, data in opened.items()
            }
        case _:
            parts = {
                part: Part(np.asarray(data.targets), (square(picture, resolution) for picture, _ in data))
                for part, data in opened.items()
            }
    classes = [name.replace("_", " ") for name in opened["train"].classes]
    return Loaded(classes, f"torchvision.datasets.{source.name}", parts)


def _download(source: TorchvisionSource, part: str) -> Any:
    import torchvision

    chosen = {"train": part == "train"} if source.name.startswith("CIFAR") else {"split": part}
    try:
        return getattr(torchvision.datasets, source.name)(source.path, download=True, **chosen)
    except (OSError, RuntimeError, tarfile.TarError) as error:
        raise ValueError(
            f"{source.path}: {source.name} cannot be downloaded, or is damaged there ({error}); without a network, "
            "place its archive in this folder"
        ) from None


def _stl10(opened: dict[str, Any], resolution: int) -> dict[str, Part]:
    """STL-10, its pictures without a label after those of `train`.

    They are mapped from their file, of which torchvision would read 2.8 GB at once: bytes by channel, column and row.
    """
    train, test = (opened[part] for part in PARTS)
    file = Path(train.root, train.base_folder, "unlabeled_X.bin")
    unlabeled = np.memmap(file, np.uint8, "r").reshape(-1, 3, 96, 96)
    unsorted = (Image.fromarray(picture.transpose(2, 1, 0)) for picture in unlabeled)
    pictures = chain((picture for picture, _ in train), unsorted)
    return {
        "train": Part(
            np.append(train.labels.astype(np.int64), np.full(len(unlabeled), -1)),
            (square(picture, resolution) for picture in pictures),
        ),
        "test": Part(test.labels.astype(np.int64), (square(picture, resolution) for picture, _ in test)),
    }
