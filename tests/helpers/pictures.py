"""Small sources of pictures for tests."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from ulfine.data.store import Broken, Part
from ulfine.params.augmentation import Augmentation
from ulfine.params.dataset import FolderSource, TorchvisionSource

ARRAYS = {  # of a NumPy archive: two shoes and two bags, and one of each for the test
    "train_images": np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8),
    "train_labels": np.array([0, 0, 1, 1], np.uint8),
    "test_images": np.zeros((2, 8, 8), np.uint8),
    "test_labels": np.array([0, 1], np.uint8),
    "classes": np.array(["shoe", "bag"]),
}

SIMPLE = {
    "at": "stored",
    "weak": {"pad": 0.125, "flip": True},
    "strong": {
        "kind": "torchvision",
        "operations": 2,
        "magnitude": 10,
        "cutout": {"size": 0.5, "unit": "side", "draw": "fixed"},
    },
    "views": {"weak": 1, "strong": 2},
}


def folder_source(path: Path, **more) -> FolderSource:
    return FolderSource(kind="folder", path=str(path), licence="none", **more)


def published_source(name: str, path: Path, **more) -> TorchvisionSource:
    return TorchvisionSource(kind="torchvision", name=name, path=str(path), licence="unknown", **more)


def write_classes(folder: Path, sizes: dict[str, int]) -> None:
    """Make pictures of one grey value each, by which they can be told apart: 10 times the class plus the number."""
    for label, (name, size) in enumerate(sizes.items()):
        (folder / name).mkdir(parents=True)
        for number in range(size):
            grey(folder / name / f"{number}.png", 10 * label + number)


def grey(path: Path, value: int) -> None:
    Image.new("L", (8, 8), value).save(path)


def greys(part: Part) -> list[int | str]:
    """Return the grey value of each picture, and the paths of those left out."""
    return [found.path if isinstance(found, Broken) else int(found[0, 0, 0]) for found in part.pictures]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def random_bytes(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def augmentation(**changes: object) -> Augmentation:
    """The views of SIMPLE, with changes of any depth; None takes a key away."""
    return Augmentation(**_changed(SIMPLE, changes))


def _changed(values: dict, changes: dict) -> dict:
    found = values | {
        key: _changed(values[key], change) if isinstance(change, dict) else change for key, change in changes.items()
    }
    return {key: value for key, value in found.items() if value is not None}
