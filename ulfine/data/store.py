"""The array store: pictures of one data set as memory-mapped arrays of bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ulfine.arrays import open_array
from ulfine.files import read_json, sha256, write_json
from ulfine.progress import progress

PARTS = ("train", "test")


class Counts(NamedTuple):
    """How many pictures there are."""

    by_class: list[int]  # (K,) by label
    unknown: int  # without a label


def counted(labels: np.ndarray, classes: int) -> Counts:
    """Pictures by class. labels: (N,) in 0 .. classes - 1, or -1 where unknown."""
    known = labels[labels >= 0]
    return Counts(np.bincount(known, minlength=classes).tolist(), len(labels) - len(known))


@dataclass(frozen=True)
class Part:
    """One part of a source: labels at hand, pictures as they are read."""

    labels: np.ndarray  # (N,) int64; -1 where unknown
    pictures: Iterator[np.ndarray]  # N times (side, side, 3) uint8, in the order of the labels


@dataclass(frozen=True)
class Loaded:
    """A source that has been opened."""

    classes: list[str]
    origin: str
    parts: dict[str, Part]


@dataclass(frozen=True)
class Store:
    """Pictures and labels; nothing is read before it is indexed."""

    images: dict[str, np.ndarray]  # part ("train", "test") -> (N, side, side, 3) uint8
    labels: dict[str, np.ndarray]  # part -> (N,) int64; -1 where unknown
    meta: dict[str, Any]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by label."""
        return self.meta["classes"]


def write_store(folder: Path, loaded: Loaded, resolution: int, licence: str) -> None:
    """Fill `folder` with `{part}_images.npy`, `{part}_labels.npy` and `meta.json`; one picture in memory at a time.

    In meta.json, `counts` are pictures of known class and `unlabeled` is the number of training pictures without one.

    Raises:
        ValueError: a part has fewer or more pictures than labels.
    """
    for part in PARTS:
        labels = loaded.parts[part].labels
        np.save(folder / f"{part}_labels.npy", labels.astype(np.int64), allow_pickle=False)
        shape = (len(labels), resolution, resolution, 3)
        images = np.lib.format.open_memmap(folder / f"{part}_images.npy", mode="w+", dtype=np.uint8, shape=shape)
        with progress(len(labels), part) as bar:
            for row, (_, picture) in enumerate(zip(labels, loaded.parts[part].pictures, strict=True)):
                images[row] = picture
                bar.update()
        images.flush()
    files = sorted(path.name for path in folder.glob("*.npy"))
    counts = {part: counted(loaded.parts[part].labels, len(loaded.classes)) for part in PARTS}
    meta = {
        "classes": loaded.classes,
        "counts": {part: found.by_class for part, found in counts.items()},
        "licence": licence,
        "resolution": resolution,
        "sha256": {name: sha256(folder / name) for name in files},
        "source": loaded.origin,
        "unlabeled": counts["train"].unknown,
    }
    write_json(folder / "meta.json", meta)


def open_store(folder: Path) -> Store:
    """The store in `folder`.

    Raises:
        ValueError: an array is truncated or does not fit its labels.
        FileNotFoundError: a file is missing.
    """
    images = {part: open_array(folder / f"{part}_images.npy") for part in PARTS}
    labels = {part: open_array(folder / f"{part}_labels.npy") for part in PARTS}
    for part in PARTS:
        if len(images[part]) != len(labels[part]):
            raise ValueError(f"{folder}: {len(images[part])} {part} pictures, but {len(labels[part])} labels")
    return Store(images, labels, read_json(folder / "meta.json"))
