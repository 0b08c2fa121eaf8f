"""Pictures sorted into folders, one for each class: finding and reading them."""

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ulfine.data.classes import composed, shown
from ulfine.data.pictures import SUFFIXES, read_all
from ulfine.data.store import PARTS, Counts, LeftOut, Loaded, Part
from ulfine.errors import printable
from ulfine.files import located
from ulfine.params.dataset import FolderSource, ImageNetSource, TorchvisionSource
from ulfine.rng import generator


class Files(NamedTuple):
    """Picture files below one folder. A million names take 100 MB; full paths would take 1 GB."""

    folder: str
    names: list[str]  # relative to it, sorted


class Scan:
    """A walk through the folder of a source that never leaves it.

    Hidden files and folders are ignored. Symbolic links to places inside are left out, because they would put one
    picture into two classes; links to places outside are refused. The source's folder itself may be a link. Links and
    files whose names are not those of pictures are counted.
    """

    def __init__(self, root: str | Path, apart: str | None = None) -> None:
        """root: the source's folder. apart: the real path of a folder to skip."""
        self.root = Path(root)
        self.apart = apart
        self.links = self.others = 0  # left out so far
        self._inside = os.path.realpath(root)

    def classes(self, folder: Path, holds: str) -> dict[str, Files]:
        """Return the pictures of each class by its name, composed and sorted; the classes are the folders in `folder`.

        holds: the expected layout, for messages.

        Raises:
            ValueError: the folder is missing or has no classes, a class has no pictures, or two names read the same.
        """
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder; a folder source holds {holds}")
        self._require_own(folder)
        names = []
        for entry in self._entries(str(folder)):
            if entry.is_dir(follow_symlinks=False):
                names.append(entry.name)
            else:
                self.others += 1
        if not names:
            raise ValueError(f"{folder}: holds no folders, of which each class needs one ({holds})")
        names.sort(key=lambda name: (composed(name), name))
        shown(names, folder)
        return {composed(name): self.pictures(folder / name) for name in names}

    def pictures(self, folder: Path) -> Files:
        """Return the pictures below `folder`, at any depth.

        Raises:
            ValueError: there are none.
        """
        self._require_own(folder)
        names, pending, links, others = [], [""], self.links, self.others
        while pending:
            below = pending.pop()
            for entry in self._entries(f"{folder}/{below}"):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{below}{entry.name}/")
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file(follow_symlinks=False):
                    names.append(below + entry.name)
                else:
                    self.others += 1
        if not names:
            left_out = {"links": self.links - links, "other files": self.others - others}
            said = " and ".join(f"{number} {what}" for what, number in left_out.items() if number)
            raise ValueError(f"{folder}: no pictures" + (f", but {said}, which are left out" if said else ""))
        return Files(str(folder), sorted(names))

    def _entries(self, folder: str) -> Iterator[os.DirEntry]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    self._require_inside(entry.path)
                    self.links += 1
                elif not entry.is_dir(follow_symlinks=False) or os.path.realpath(entry.path) != self.apart:
                    yield entry

    def _require_own(self, folder: Path) -> None:
        if folder != self.root and folder.is_symlink():
            self._require_inside(str(folder))
            raise ValueError(f"{folder}: is a link, which is left out; place the pictures themselves there")

    def _require_inside(self, link: str) -> None:
        target = os.path.realpath(link)
        if not _within(target, self._inside):
            raise ValueError(
                f"{printable(link)}: links to {printable(target)}, outside the source's folder {self.root}"
            )


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


@dataclass(frozen=True)
class Listing:
    """The picture files of a folder source."""

    parts: dict[str, dict[str, Files]]  # part -> class -> its files
    unlabeled: list[Files]  # of length 0 or 1
    left_out: LeftOut


def listed(source: FolderSource) -> Listing:
    """List the files of a source, without opening any.

    Raises:
        ValueError: the layout of its folders is wrong.
    """
    root = located(source.path)
    beside = root / "unlabeled"
    named = beside if source.unlabeled is None else located(source.unlabeled)
    if named != beside and beside.is_dir() and not beside.samefile(named):
        raise ValueError(f"{beside}: is a folder of unlabeled pictures, but {source.unlabeled} is named for them")
    _require_spelled(root, named)
    scan = Scan(root, apart=os.path.realpath(named))
    parts = _both(scan) if source.test_share is None else _held_out(scan, source.test_share)
    if source.unlabeled is None:
        unlabeled = [scan.pictures(beside)] if beside.is_dir() else []
        return Listing(parts, unlabeled, LeftOut(scan.links, scan.others))
    elsewhere = Scan(named)
    unlabeled = [_unlabeled(source, elsewhere)]
    return Listing(parts, unlabeled, LeftOut(scan.links + elsewhere.links, scan.others + elsewhere.others))


def _require_spelled(root: Path, named: Path) -> None:
    """Refuse a folder whose name resembles `unlabeled`: it would be ignored, or become a class.

    named: the actual folder of unlabeled pictures.
    """
    for entry in root.iterdir() if root.is_dir() else ():
        near = difflib.get_close_matches(entry.name.lower(), ["unlabeled"], cutoff=0.8)
        if near and entry.is_dir() and not (named.is_dir() and entry.samefile(named)):
            raise ValueError(
                f"{entry}: pictures without a label lie in {named}; rename it, or name it: source.unlabeled"
            )


def _both(scan: Scan) -> dict[str, dict[str, Files]]:
    parts = {part: scan.classes(scan.root / part, "train/<class>/ and test/<class>/") for part in PARTS}
    odd = sorted(parts["train"].keys() ^ parts["test"].keys())
    if odd:
        raise ValueError(f"{scan.root}: train/ and test/ must hold the same classes, these are in one alone: {odd}")
    return parts


def _held_out(scan: Scan, share: float) -> dict[str, dict[str, Files]]:
    """Hold out `share` of each class as the test set.

    A class's name seeds its draw, so neither the seed of a run nor the other classes change it.
    """
    by_class = scan.classes(scan.root, "<class>/ with test_share")
    if by_class.keys() >= set(PARTS):
        raise ValueError(f"{scan.root}: holds train/ and test/, where test_share takes <class>/")
    parts: dict[str, dict[str, Files]] = {part: {} for part in PARTS}
    for name, (folder, names) in by_class.items():
        if len(names) < 2:
            raise ValueError(f"{folder}: has 1 picture; with test_share a class needs at least 2")
        count = min(max(1, round(share * len(names))), len(names) - 1)
        drawn = set(generator(*name.encode()).choice(len(names), count, replace=False).tolist())
        parts["test"][name] = Files(folder, [names[i] for i in sorted(drawn)])
        parts["train"][name] = Files(folder, [other for i, other in enumerate(names) if i not in drawn])
    return parts


def _unlabeled(source: FolderSource, scan: Scan) -> Files:
    if not scan.root.is_dir():
        raise ValueError(f"{scan.root}: no such folder of unlabeled pictures")
    root = located(source.path)
    labeled = [root / part for part in PARTS] if source.test_share is None else [root]
    for folder in labeled:
        if _within(os.path.realpath(folder), os.path.realpath(scan.root)):
            raise ValueError(f"{scan.root}: named as the folder of unlabeled pictures, but holds {folder}")
    return scan.pictures(scan.root)


def class_counts(source: FolderSource) -> Counts:
    """Count the training pictures of each class and the unlabeled ones, including broken files."""
    found = listed(source)
    train = found.parts["train"]
    unknown = sum(len(files.names) for files in found.unlabeled)
    return Counts([len(files.names) for files in train.values()], unknown, shown(train, source.path))


def load(source: FolderSource, resolution: int) -> Loaded:
    """Load a folder source: class by class in the order of names, unlabeled pictures last."""
    found = listed(source)
    train, test = (list(found.parts[part].values()) for part in PARTS)
    labels = list(range(len(train)))
    parts = {
        "train": part_of(train + found.unlabeled, labels + [-1] * len(found.unlabeled), source, resolution),
        "test": part_of(test, labels, source, resolution),
    }
    classes = shown(found.parts["train"], source.path)
    return Loaded(classes, Path(source.path).name, parts, found.left_out, source.broken == "stop")


def part_of(
    groups: Sequence[Files],
    labels: Sequence[int],
    source: FolderSource | TorchvisionSource | ImageNetSource,
    resolution: int,
) -> Part:
    """Combine pictures of several folders, each with one label (-1: unknown); they are read one at a time."""
    paths = (f"{folder}/{name}" for folder, names in groups for name in names)
    return Part(
        np.repeat(np.asarray(labels, np.int64), [len(files.names) for files in groups]),
        read_all(paths, source, resolution),
    )
