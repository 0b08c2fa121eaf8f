"""What is in a file or folder, as DVC would hash it, so that dvc.lock and our own receipts can be compared."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ulfine.files import md5, read_json, write_together

MEMORY = Path("artifacts/fingerprints")  # what was hashed before, by path; may be deleted at any time
STAMP = ".snakemake_timestamp"  # which Snakemake leaves inside folder outputs; it is in .dvcignore


@dataclass(frozen=True)
class Fingerprint:
    """The content of a file or folder."""

    md5: str  # as in dvc.lock: of a folder, of its listing, with the suffix .dir
    files: dict[str, str]  # of a folder: path inside -> md5; of a file: nothing


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
        size, time = stat.st_size, stat.st_mtime_ns
        before = known.get(inside)
        found[inside] = before if before and before[:2] == [size, time] else [size, time, md5(here / inside)]
    if found != known:
        write_together(memory, found)
    files = {inside: entry[2] for inside, entry in found.items()}
    return Fingerprint(folder_md5(files), files)


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
