"""ImageNet-1k with grouped classes, from folders of synsets or from the archives of downsampled ImageNet."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from ulfine.data import downsampled
from ulfine.data.classes import composed, shown
from ulfine.data.downsampled import Batch, find_batches
from ulfine.data.folders import Files, Scan, part_of
from ulfine.data.pictures import square
from ulfine.data.store import PARTS, Counts, LeftOut, Loaded, Part
from ulfine.files import located, proved, read_csv
from ulfine.params.dataset import CheckedFile, ImageNetSource

COLUMNS = ("synset", "downsampled_label", "group", "name")
SYNSET = re.compile(r"n\d{8}")
FOLDERS = {"train": "train", "test": "val"}


class Groups(NamedTuple):
    """The K groups of ImageNet's classes."""

    names: list[str]  # by group; groups are sorted by their ids
    by_synset: dict[str, int]
    by_label: dict[int, int]  # labels of downsampled ImageNet start at 1


def read_groups(file: CheckedFile) -> Groups:
    """Read the groups from a CSV file like `assets/imagenet127.csv`.

    Raises:
        ValueError: the file has changed, or a row is malformed.
        FileNotFoundError: the file does not exist.
    """
    path = located(file.path)
    proved(path, file.sha256)
    names: dict[str, str] = {}
    of_synset: dict[str, str] = {}
    of_label: dict[int, str] = {}
    for line, row in enumerate(read_csv(path), start=2):
        if tuple(row) != COLUMNS or None in row.values():
            raise ValueError(f"{path}: line {line}: needs the columns {', '.join(COLUMNS)}")
        synset, label, group, name = map(composed, row.values())
        if not SYNSET.fullmatch(synset) or not label.isdecimal() or not group or not name:
            raise ValueError(f"{path}: line {line}: {','.join(row.values())!r} is not like n01440764,449,group,name")
        if synset in of_synset or int(label) in of_label or names.setdefault(group, name) != name:
            raise ValueError(f"{path}: line {line}: {synset}, {label}, or the group of another name, is there already")
        of_synset[synset] = of_label[int(label)] = group
    if len(names) < 2:
        raise ValueError(f"{path}: needs at least two groups")
    number = {group: k for k, group in enumerate(sorted(names))}
    return Groups(
        shown([names[group] for group in number], path),
        {synset: number[group] for synset, group in of_synset.items()},
        {label: number[group] for label, group in of_label.items()},
    )


def grouped(labels: np.ndarray, groups: Groups) -> np.ndarray:
    """Map (n,) labels of downsampled ImageNet to (n,) groups.

    Raises:
        ValueError: a label is in no group.
    """
    known = np.array(sorted(groups.by_label))
    place = np.searchsorted(known, labels).clip(max=len(known) - 1)
    if (known[place] != labels).any():
        raise ValueError(f"label {labels[known[place] != labels][0]} is none of the {len(known)} labels of the groups")
    return np.array([groups.by_label[label] for label in known.tolist()])[place]


def load(source: ImageNetSource, resolution: int) -> Loaded:
    """Load ImageNet; the label of a picture is its group.

    Raises:
        ValueError: the groups, the folders or the archives are wrong.
    """
    groups = read_groups(source.groups)
    if source.form == "downsampled":
        batches = {part: find_batches(located(source.path), part) for part in PARTS}
        parts = {part: _from_batches(found, groups, resolution) for part, found in batches.items()}
        return Loaded(groups.names, "downsampled ImageNet", parts)
    scan = Scan(located(source.path))
    parts = {}
    for part in PARTS:
        found = _synsets(scan, part, groups)
        labels = [groups.by_synset[synset] for synset in found]
        parts[part] = part_of(list(found.values()), labels, source, resolution)
    return Loaded(groups.names, "ImageNet", parts, LeftOut(scan.links, scan.others), source.broken == "stop")


def class_counts(source: ImageNetSource) -> Counts | None:
    """Count the training pictures of each group; None for archives, which would have to be read."""
    groups = read_groups(source.groups)
    if source.form == "downsampled":
        for part in PARTS:
            find_batches(located(source.path), part)
        return None
    counts = np.zeros(len(groups.names), np.int64)
    for synset, files in _synsets(Scan(located(source.path)), "train", groups).items():
        counts[groups.by_synset[synset]] += len(files.names)
    return Counts(counts.tolist(), 0, groups.names)


def _synsets(scan: Scan, part: str, groups: Groups) -> dict[str, Files]:
    folder = scan.root / FOLDERS[part]
    found = scan.classes(folder, "train/<synset>/* and val/<synset>/*")
    for what, odd in (("lacks", groups.by_synset.keys() - found), ("is in no group:", found.keys() - groups.by_synset)):
        if odd:
            raise ValueError(f"{folder}: {what} {min(odd)}, and {len(odd) - 1} more; it needs a folder for each synset")
    return found


def _from_batches(batches: list[Batch], groups: Groups, resolution: int) -> Part:
    labels = [_labels(batch, groups) for batch in batches]

    def pictures() -> Iterator[np.ndarray]:
        for batch, of_batch in zip(batches, labels, strict=True):
            found = downsampled.pictures(batch, len(of_batch))
            yield from (square(Image.fromarray(picture), resolution) for picture in found)

    return Part(np.concatenate(labels), pictures())


def _labels(batch: Batch, groups: Groups) -> np.ndarray:
    labels = downsampled.labels(batch)
    try:
        return grouped(labels, groups)
    except ValueError as error:
        raise ValueError(f"{batch}: {error}") from None
