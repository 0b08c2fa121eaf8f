"""Where pictures come from: a NumPy archive, a folder of pictures, or torchvision."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from ulfine.data.store import PARTS, Loaded, Part
from ulfine.files import sha256
from ulfine.params.dataset import ArraySource, FolderSource, Source, TorchvisionSource

ARRAYS = ("classes", "train_images", "train_labels", "test_images", "test_labels")
SUFFIXES = frozenset(Image.registered_extensions())


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


def class_counts(source: Source) -> list[int]:
    """Training pictures of each class, found without reading (or downloading) a picture."""
    match source:
        case ArraySource():
            with _opened(source) as archive:
                return np.bincount(archive["train_labels"], minlength=len(archive["classes"])).tolist()
        case FolderSource():
            return [len(files) for files in _files(Path(source.path), "train").values()]
        case TorchvisionSource():
            return {"CIFAR10": [5000] * 10, "CIFAR100": [500] * 100}[source.name]


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
    root = Path(source.path)
    files = {part: _files(root, part) for part in PARTS}
    classes = list(files["train"])
    if list(files["test"]) != classes:
        odd = sorted(set(files["test"]) ^ set(classes))
        raise ValueError(f"{root}: train/ and test/ must hold the same classes, these are in one alone: {odd}")
    parts = {
        part: Part(
            np.repeat(np.arange(len(classes)), [len(paths) for paths in by_class.values()]),
            (_read(path, resolution) for paths in by_class.values() for path in paths),
        )
        for part, by_class in files.items()
    }
    return Loaded([name.replace("_", " ") for name in classes], root.name, parts)


def _files(root: Path, part: str) -> dict[str, list[Path]]:
    folder = root / part
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; a folder source holds train/<class>/ and test/<class>/")
    found = {
        child.name: sorted(path for path in child.iterdir() if path.suffix.lower() in SUFFIXES)
        for child in sorted(folder.iterdir())
        if child.is_dir()
    }
    empty = [name for name, paths in found.items() if not paths]
    if empty or not found:
        raise ValueError(f"{folder / (empty[0] if empty else '')}: no pictures")
    return found


def _read(path: Path, resolution: int) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return square(picture, resolution)
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: not a readable picture ({error})") from None


def _torchvision(source: TorchvisionSource, resolution: int) -> Loaded:
    import torchvision

    kind = getattr(torchvision.datasets, source.name)
    try:
        opened = {part: kind(source.path, train=part == "train", download=True) for part in PARTS}
    except (OSError, RuntimeError, tarfile.TarError) as error:
        raise ValueError(
            f"{source.path}: {source.name} cannot be downloaded, or is damaged there ({error}); without a network, "
            "place its archive in this folder"
        ) from None
    parts = {
        part: Part(np.asarray(data.targets), (square(picture, resolution) for picture, _ in data))
        for part, data in opened.items()
    }
    return Loaded(
        [name.replace("_", " ") for name in opened["train"].classes], f"torchvision.datasets.{source.name}", parts
    )
