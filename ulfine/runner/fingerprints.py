"""Fingerprints of files and folders: hashes as DVC takes them, so that dvc.lock and provenance can be compared."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ulfine.files import json_text, md5, read_json, write_if_changed

MEMORY = Path("artifacts/fingerprints")  # what was hashed before, by path; may be deleted at any time
SECOND = 10**9  # nanoseconds
COARSEST = 2 * SECOND  # of times of files, as FAT has them
STAMP = ".snakemake_timestamp"  # which Snakemake leaves inside folder outputs; it is in .dvcignore


@dataclass(frozen=True)
class Fingerprint:
    """The content of a file or folder."""

    md5: str  # as in dvc.lock: of a folder, of its listing, with the suffix .dir
    files: dict[str, str]  # of a folder: path inside -> md5; of a file: nothing


class Tree:
    """The files of the repository as they are, each looked at once.

    Args:
        ahead: values of JSON files that are about to be written, by path; they count as written.
    """

    def __init__(self, ahead: Mapping[Path, dict] | None = None) -> None:
        self.ahead = {str(path): values for path, values in (ahead or {}).items()}
        self.seen: dict[str, Fingerprint | None] = {}

    def fingerprint(self, path: str) -> Fingerprint | None:
        """The fingerprint of a file or folder, None when there is none."""
        if path not in self.seen:
            values = self.ahead.get(path)
            text = values and hashlib.md5(json_text(values).encode(), usedforsecurity=False).hexdigest()
            self.seen[path] = Fingerprint(text, {}) if text else fingerprint(path)
        return self.seen[path]

    def values(self, path: str | None) -> dict[str, Any]:
        """The values in a JSON file; none when there is no file."""
        if path is None or not (path in self.ahead or Path(path).exists()):
            return {}
        return self.ahead.get(path) or read_json(Path(path))


def fingerprint(path: str, *, afresh: bool = False) -> Fingerprint | None:
    """The fingerprint of what is there, None when nothing is.

    Files of a folder are not read again while their size and time are what they were, unless `afresh`.
    """
    here = Path(path)
    if not here.is_dir():
        return Fingerprint(md5(here), {}) if here.exists() else None
    memory = MEMORY / f"{path}.json"
    known = {} if afresh or not memory.exists() else read_json(memory)
    found = {}
    for inside, stat in sorted(_walk(here, "")):
        size, changed = stat.st_size, stat.st_mtime_ns
        before = known.get(inside)
        found[inside] = before if before and before[:2] == [size, changed] else [size, changed, md5(here / inside)]
    write_if_changed(memory, {inside: entry for inside, entry in found.items() if not _may_change_unseen(entry[1])})
    files = {inside: entry[2] for inside, entry in found.items()}
    return Fingerprint(folder_md5(files), files)


def _may_change_unseen(time_ns: int) -> bool:
    """Whether a file with this time could be written again and keep it: where a file system counts whole seconds."""
    return time_ns % SECOND == 0 and time.time_ns() - time_ns < COARSEST


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            inside = f"{prefix}{entry.name}"
            if entry.is_dir():
                yield from _walk(Path(entry.path), f"{inside}/")
            elif entry.name != STAMP:
                yield inside, entry.stat()


def folder_md5(files: dict[str, str]) -> str:
    """The hash that DVC gives a folder (dvc_data/hashfile/tree.py): of its files by path, with their hashes."""
    listing = [{"md5": files[inside], "relpath": inside} for inside in sorted(files)]
    return f"{hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest()}.dir"
