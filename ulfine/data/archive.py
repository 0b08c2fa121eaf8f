"""NumPy archives of pictures, checked before use."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from ulfine.data.classes import shown
from ulfine.data.pictures import square
from ulfine.data.store import PARTS, Counts, Loaded, Part, counted
from ulfine.files import located, proved
from ulfine.params.dataset import ArraySource

ARRAYS = ("classes", "train_images", "train_labels", "test_images", "test_labels")


def load(source: ArraySource, resolution: int) -> Loaded:
    """Load the pictures and labels of an archive.

    Raises:
        ValueError: its hash differs, or an array is missing, damaged, or of the wrong shape, type or range.
    """
    with _opened(source) as archive:
        classes = _classes(archive, source.path)
        labels = {part: _labels(archive, part, len(classes), source.path) for part in PARTS}
        images = {part: _images(archive, part, len(labels[part]), source.path) for part in PARTS}
    pictures = {
        part: (square(Image.fromarray(picture), resolution) for picture in found) for part, found in images.items()
    }
    return Loaded(classes, source.path, {part: Part(labels[part], pictures[part]) for part in PARTS})


def class_counts(source: ArraySource) -> Counts:
    """Count the training pictures of each class."""
    with _opened(source) as archive:
        classes = _classes(archive, source.path)
        found = counted(_labels(archive, "train", len(classes), source.path), len(classes))
    return Counts(found.by_class, found.unknown, classes)


@contextmanager
def _opened(source: ArraySource) -> Iterator[np.lib.npyio.NpzFile]:
    path = located(source.path)
    proved(path, source.sha256)
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not a .npz file")
    with np.load(path, allow_pickle=False) as archive:
        missing = [name for name in ARRAYS if name not in archive.files]
        if missing:
            raise ValueError(f"{path}: has no array {', '.join(missing)} (needed: {', '.join(ARRAYS)})")
        yield archive


def _array(archive: np.lib.npyio.NpzFile, name: str, path: str) -> np.ndarray:
    try:
        found = archive[name]
    except Exception as error:  # a damaged member raises BadZipFile, zlib.error, EOFError, struct.error, …
        raise ValueError(f"{path}: {name}: {error}") from None
    if not isinstance(found, np.ndarray):  # NumPy returns raw bytes for a member that is not .npy
        raise ValueError(f"{path}: {name}: not an array")
    return found


def _classes(archive: np.lib.npyio.NpzFile, path: str) -> list[str]:
    found = _array(archive, "classes", path)
    if found.ndim != 1 or found.dtype.kind != "U":
        raise ValueError(f"{path}: classes: {_described(found)}, must be one-dimensional, of strings")
    return shown(found.tolist(), f"{path}: classes")


def _labels(archive: np.lib.npyio.NpzFile, part: str, classes: int, path: str) -> np.ndarray:
    name = f"{part}_labels"
    found = _array(archive, name, path)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ValueError(f"{path}: {name}: {_described(found)}, must be one-dimensional, of integers")
    if not len(found):
        raise ValueError(f"{path}: {name}: is empty")
    if found.min() < 0 or found.max() >= classes:
        raise ValueError(f"{path}: {name}: holds {found.min()} to {found.max()}, must be 0 to {classes - 1}")
    return found.astype(np.int64)


def _images(archive: np.lib.npyio.NpzFile, part: str, labels: int, path: str) -> np.ndarray:
    name = f"{part}_images"
    found = _array(archive, name, path)
    picture = found.ndim == 3 or (found.ndim == 4 and found.shape[3] == 3)
    if not picture or found.dtype != np.uint8 or 0 in found.shape[1:]:
        raise ValueError(f"{path}: {name}: {_described(found)}, must be (N, height, width) or (…, 3) of uint8")
    if len(found) != labels:
        raise ValueError(f"{path}: {name}: has {len(found)} pictures, {part}_labels has {labels}")
    return found


def _described(array: np.ndarray) -> str:
    return f"has the shape {array.shape} and the type {array.dtype}"
