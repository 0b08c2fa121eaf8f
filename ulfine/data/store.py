"""The array store: the pictures of one data set as memory-mapped arrays of bytes."""

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
FEW = 5  # classes that a message names


@dataclass(frozen=True)
class Counts:
    """Numbers of pictures."""

    by_class: list[int]  # (K,) by label
    unknown: int  # without a label
    classes: list[str] | None = field(default=None, compare=False)  # (K,) their names, if known


def counted(labels: np.ndarray, classes: int) -> Counts:
    """Count pictures by class. labels: (N,) in 0 .. classes - 1, or -1 where unknown."""
    known = labels[labels >= 0]
    return Counts(np.bincount(known, minlength=classes).tolist(), len(labels) - len(known))


class Broken(NamedTuple):
    """A picture that cannot be read, in its place among the others."""

    path: str  # relative to the source's folder
    reason: str
    line: str  # the message to the user if this picture ends the stage


@dataclass(frozen=True)
class Part:
    """One part of a source: labels in memory, pictures read one by one."""

    labels: np.ndarray  # (N,) int64; -1 where unknown
    pictures: Iterator[np.ndarray | Broken]  # N times (side, side, 3) uint8, in the order of the labels


class LeftOut(NamedTuple):
    """Counts of what lies among the pictures of a source and is not read."""

    links: int = 0  # symbolic links
    others: int = 0  # files whose names are not those of pictures, or that are in no class


@dataclass(frozen=True)
class Loaded:
    """An opened source."""

    classes: list[str]
    origin: str
    parts: dict[str, Part]
    left_out: LeftOut = field(default_factory=LeftOut)
    stops: bool = False  # whether a picture that cannot be read ends the stage; else it is left out


@dataclass(frozen=True)
class Store:
    """Pictures and labels, read only where they are indexed."""

    images: dict[str, np.ndarray]  # part ("train", "test") -> (N, side, side, 3) uint8
    labels: dict[str, np.ndarray]  # part -> (N,) int64; -1 where unknown
    meta: dict[str, Any]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by label."""
        return self.meta["classes"]

    @property
    def skipped(self) -> dict[str, int]:
        """Numbers, by class, of training pictures that could not be read and are not in the arrays."""
        return self.meta.get("skipped_by_class", {}).get("train", {})


def write_store(folder: Path, loaded: Loaded, resolution: int, licence: str) -> dict[str, Any]:
    """Write {part}_images.npy, {part}_labels.npy and meta.json, one picture in memory at a time; return meta.json.

    In meta.json, `counts` are pictures of known class and `unlabeled` is the number of training pictures without one.
    `skipped` has, by path, the reason for each picture that could not be read; `skipped_by_class`, present only if
    there are any, counts them. `links` and `others` count what else was left out.

    Raises:
        ValueError: pictures and labels differ in number, pictures cannot be read, or none of a class can.
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
    if skipped:  # a store that skips none keeps the bytes it had before this key existed
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
    """Read the remaining parts too, then raise an error with the number of all pictures that cannot be read."""
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
    """Write the pictures that can be read, and return the broken ones by position.

    stops: after a broken picture only count the others that are broken, because nothing will be kept.

    It is a plain file because the pages of a memory map would count as this process's memory until they are on disk.
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
    """Write a .npy header; NumPy pads it so that its length does not depend on the number of rows."""
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
    """Open the store in `folder`.

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
