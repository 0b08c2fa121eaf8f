"""The array store: pictures of one data set as memory-mapped arrays of bytes."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ulfine.arrays import open_array, write_array
from ulfine.files import read_json, sha256, write_json
from ulfine.progress import progress

PARTS = ("train", "test")
WITHOUT = "without a label"
FEW = 5  # classes that a line names


@dataclass(frozen=True)
class Counts:
    """Numbers of pictures."""

    by_class: list[int]  # (K,) by label
    unknown: int  # without a label
    classes: list[str] | None = field(default=None, compare=False)  # (K,) their names, where they are known


def counted(labels: np.ndarray, classes: int) -> Counts:
    """Pictures by class. labels: (N,) in 0 .. classes - 1, or -1 where unknown."""
    known = labels[labels >= 0]
    return Counts(np.bincount(known, minlength=classes).tolist(), len(labels) - len(known))


class Broken(NamedTuple):
    """Stands in for a picture that cannot be read."""

    path: str  # relative to the source's folder
    reason: str
    line: str  # what a user is told where it ends the stage


@dataclass(frozen=True)
class Part:
    """One part of a source: labels at hand, pictures as they are read."""

    labels: np.ndarray  # (N,) int64; -1 where unknown
    pictures: Iterator[np.ndarray | Broken]  # N times (side, side, 3) uint8, in the order of the labels


class LeftOut(NamedTuple):
    """Files among the pictures of a source that are not read."""

    links: int = 0  # symbolic links
    others: int = 0  # files that are no pictures by their names, or of no class


@dataclass(frozen=True)
class Loaded:
    """A source that has been opened."""

    classes: list[str]
    origin: str
    parts: dict[str, Part]
    left_out: LeftOut = field(default_factory=LeftOut)
    stops: bool = False  # at pictures that cannot be read; else they are left out


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

    @property
    def skipped(self) -> dict[str, int]:
        """Training pictures by class that could not be read, and are not in the arrays."""
        return self.meta.get("skipped_by_class", {}).get("train", {})


def write_store(folder: Path, loaded: Loaded, resolution: int, licence: str) -> dict[str, Any]:
    """Fill `folder` with `{part}_images.npy`, `{part}_labels.npy` and `meta.json`; one picture in memory at a time.

    In meta.json, which is returned, `counts` are pictures of known class and `unlabeled` is the number of training
    pictures without one; `skipped` has the reason for each picture that could not be read, by path, and `links` and
    `others` count what else is not in the arrays. `skipped_by_class` is there where pictures are skipped.

    Raises:
        ValueError: a part has fewer or more pictures than labels, pictures cannot be read, or none is left of a class.
    """
    counts, skipped, by_class = {}, {}, {}
    for part in PARTS:
        labels = loaded.parts[part].labels.astype(np.int64)
        shape = (len(labels), resolution, resolution, 3)
        dropped = _write_images(folder / f"{part}_images.npy", loaded.parts[part], shape, loaded.stops)
        if dropped and loaded.stops:
            _stop(list(dropped.values()), loaded, PARTS[PARTS.index(part) + 1 :])
        _require_some_left(labels, dropped, loaded.classes, part)
        kept = np.delete(labels, list(dropped))
        write_array(folder / f"{part}_labels.npy", kept)
        counts[part] = counted(kept, len(loaded.classes))
        skipped |= {broken.path: broken.reason for broken in dropped.values()}
        by_class[part] = _by_class(labels[list(dropped)], loaded.classes)
    meta = {
        "classes": loaded.classes,
        "counts": {part: found.by_class for part, found in counts.items()},
        "licence": licence,
        "links": loaded.left_out.links,
        "others": loaded.left_out.others,
        "resolution": resolution,
        "sha256": {path.name: sha256(path) for path in sorted(folder.glob("*.npy"))},
        "skipped": skipped,
        "source": loaded.origin,
        "unlabeled": counts["train"].unknown,
    }
    if skipped:  # most stores skip none, and have had the same bytes before this key was there
        meta["skipped_by_class"] = by_class
    write_json(folder / "meta.json", meta)
    return meta


def _by_class(labels: np.ndarray, classes: list[str]) -> dict[str, int]:
    """Count each class that occurs. labels: (n,), -1 where unknown."""
    return {
        WITHOUT if label < 0 else classes[label]: count
        for label, count in zip(*(found.tolist() for found in np.unique(labels, return_counts=True)), strict=True)
    }


def largest(by_part: dict[str, dict[str, int]]) -> str:
    """Say how many pictures of all parts the largest classes have, and how many more classes there are."""
    counts = sum(map(Counter, by_part.values()), Counter())
    first = sorted(counts, key=lambda name: (-counts[name], name))[:FEW]
    more = [f"{len(counts) - len(first)} more classes"] if len(counts) > len(first) else []
    return ", ".join([*(f"{name}: {counts[name]}" for name in first), *more])


def _stop(broken: list[Broken], loaded: Loaded, rest: Sequence[str]) -> None:
    """Refuse pictures that cannot be read, once those of the parts that were not written yet are counted as well."""
    for part in rest:
        with progress(len(loaded.parts[part].labels), f"{part}, looking alone") as bar:
            for picture in loaded.parts[part].pictures:
                broken += [picture] if isinstance(picture, Broken) else []
                bar.update()
    number = sum(len(part.labels) for part in loaded.parts.values())
    raise ValueError(
        f"{broken[0].line}; {len(broken)} of {number} pictures cannot be read; broken: skip leaves such pictures out"
    )


def _write_images(path: Path, part: Part, shape: tuple[int, ...], stops: bool) -> dict[int, Broken]:
    """Write the pictures that can be read, and return the others by their place among all.

    stops: none is written behind one that cannot be read, as nothing will be kept; they are counted.

    A plain file, as pages of a memory map would count as memory of this process until they are on disk.
    """
    dropped = {}
    row = np.empty(shape[1:], np.uint8)
    with path.open("wb") as file, progress(shape[0], path.stem.removesuffix("_images")) as bar:
        _write_header(file, shape)
        for number, (_, picture) in enumerate(zip(part.labels, part.pictures, strict=True)):
            if isinstance(picture, Broken):
                if stops and not dropped:
                    bar.write(f"{picture.line}; looking at the others", file=sys.stderr)
                dropped[number] = picture
            elif not (stops and dropped):
                row[:] = picture
                file.write(row.data)
            bar.update()
        file.seek(0)
        _write_header(file, (shape[0] - len(dropped), *shape[1:]))
    return dropped


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """As long for one number of rows as for another: NumPy leaves room for it to change."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _require_some_left(labels: np.ndarray, dropped: dict[int, Broken], classes: list[str], part: str) -> None:
    lost = labels[np.fromiter(dropped, np.int64)]
    for label in np.unique(lost):
        had = np.count_nonzero(labels == label)
        if had == np.count_nonzero(lost == label):
            first = next(broken for number, broken in dropped.items() if labels[number] == label)
            name = f"of class {classes[label]!r}" if label >= 0 else WITHOUT
            raise ValueError(
                f"none of the {had} {part} pictures {name} can be read; the first is {first.path} ({first.reason})"
            )


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
