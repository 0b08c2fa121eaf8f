"""Files that are complete or absent: written under a temporary name beside the target, then renamed. Also hashes."""

import csv
import hashlib
import json
import os
import re
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ulfine.errors import NO_ROOM, system_error


def located(path: str) -> Path:
    """Expand `~` and `~user` in a path of params.yaml, as a shell does.

    Paths are expanded only where they are used: parameters are kept with the results, which must not name a user.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser raises where there is no such user)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Make a folder to fill; it becomes `target` when the block ends, and is removed if the block raises.

    Raises:
        OSError: the folder cannot be written; the error names `target`.
    """
    part, old = _beside(target, "part"), _beside(target, "old")
    with naming_file(target, part, NO_ROOM):  # the block may read other files as well
        for left in (part, old):  # by a run that was killed
            if left.exists():
                shutil.rmtree(left)
        try:
            part.mkdir(parents=True)
            yield part
            _exchange(part, target, old)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(part: Path, target: Path, old: Path) -> None:
    if target.exists():
        target.rename(old)  # if killed while deleting it, leave no half of it under `target`
    try:
        part.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


@contextmanager
def new_file(target: Path, suffix: str = "part") -> Iterator[Path]:
    """Give a path to write; the file becomes `target` when the block ends, and is removed if the block raises.

    suffix: of the temporary name; what a killed run left under it, the next run overwrites.

    Raises:
        OSError: the file cannot be written; the error names `target`.
    """
    part = _beside(target, suffix)
    with naming_file(target, part):
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())  # or a power cut could leave an empty file as `target`
            part.replace(target)
        finally:
            with suppress(OSError):  # already renamed or never made, or the disk is read-only
                part.unlink()


@contextmanager
def naming_file(target: Path, part: Path | None = None, numbers: Container[int] | None = None) -> Iterator[None]:
    """Let what the system refuses name a file: errors of writing name none, or one that users do not know.

    part: the temporary name of `target`. numbers: which errors without a file are about `target`; None for all.
    """
    try:
        yield
    except Exception as error:
        failed = system_error(error)
        if failed is None or failed.errno is None:
            raise
        if failed.filename is not None:
            failed.filename = os.fsdecode(failed.filename).replace(str(part or target), str(target))
        elif numbers is None or failed.errno in numbers:
            failed.filename = str(target)
        raise failed  # noqa: B904 (usually the same error)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{suffix}")


def reserve(file: BinaryIO, size: int) -> None:
    """Reserve `size` bytes for `file`, so that a full disk shows before hours of work; do nothing where unsupported."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:  # not on macOS
        return
    except OSError as error:
        if error.errno in NO_ROOM:
            raise


def write_text(target: Path, text: str, suffix: str = "part") -> None:
    """Write `text` as UTF-8. suffix: as in `new_file`."""
    with new_file(target, suffix) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_json(target: Path, values: Any) -> None:
    """Write `values` as JSON with sorted keys: the same values give the same bytes.

    Raises:
        ValueError: a number is not finite.
    """
    write_text(target, json_text(values))


def write_if_changed(target: Path, values: Any) -> None:
    """Write `values` as JSON unless the file holds them already, so that its time says when they changed.

    Several processes may do so at the same time.
    """
    text = json_text(values)
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        write_text(target, text, f"{os.getpid()}.part")


def json_text(values: Any) -> str:
    """`values` as the JSON that is written: sorted keys, the same text for the same values."""
    return json.dumps(values, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def write_csv(target: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV: at least one, all with the keys of the first; None gives an empty field."""
    with new_file(target) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file, each as text by column.

    Raises:
        ValueError: the file is not CSV; its name is in the message.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not valid CSV ({error})") from None


def read_json(path: Path) -> Any:
    """Read the values of a JSON file.

    Raises:
        ValueError: the file is not JSON; its name is in the message.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error}); if a stage made it, delete it and run again") from None


def merge_mark(text: str) -> int | None:
    """Return the first line with a conflict marker of git; None if there is none."""
    mark = re.search(r"^(<{7}|={7}|>{7})( |$)", text, re.MULTILINE)
    return text.count("\n", 0, mark.start()) + 1 if mark else None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """Hash the names and contents of the files in a folder without subfolders; hidden files do not count."""
    return digest({path.name: sha256(path) for path in folder.iterdir() if not path.name.startswith(".")})


def md5(path: Path) -> str:
    """Return the MD5 that DVC and publishers of data sets use; it proves that a file is intact, not who made it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def proved(path: Path, expected: str | None) -> str:
    """Check and return the SHA-256 of a file named in params.yaml. expected: the hash given there, if any.

    Raises:
        ValueError: the file has changed; the message has both hashes.
    """
    found = sha256(path)
    if expected not in (None, found):
        raise ValueError(f"{path}: sha256 is {found}, params.yaml expects {expected}")
    return found


def digest(values: Any) -> str:
    """Hash JSON values, regardless of the order of keys and of 2 versus 2.0."""
    text = json.dumps(canonical(values), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(values: Any) -> Any:
    """Return JSON values with whole floats as integers: 2 for 2.0."""
    if isinstance(values, dict):
        return {key: canonical(value) for key, value in values.items()}
    if isinstance(values, list):
        return [canonical(value) for value in values]
    return int(values) if isinstance(values, float) and values.is_integer() else values
