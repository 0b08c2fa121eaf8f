"""Files that are whole or absent: written under a temporary name beside the target and renamed when complete."""

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
    """Locate a path of params.yaml: `~` and `~user` are homes, as in a shell.

    Expanded where it is used, as parameters are kept with results, which name no user.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser raises where there is no such user)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill; it becomes `target` when the block ends and vanishes when the block raises.

    Raises:
        OSError: it cannot be written; the error names `target`.
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
        target.rename(old)  # a kill while it is deleted must not leave half of it under its name
    try:
        part.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


@contextmanager
def new_file(target: Path, suffix: str = "part") -> Iterator[Path]:
    """A file to write; it becomes `target` when the block ends and vanishes when the block raises.

    suffix: of the temporary name, under which a run that was killed leaves something for the next one to overwrite.

    Raises:
        OSError: it cannot be written; the error names `target`.
    """
    part = _beside(target, suffix)
    with naming_file(target, part):
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())  # or a power cut leaves an empty file under the right name
            part.replace(target)
        finally:
            with suppress(OSError):  # nothing is there, or the disk is read-only
                part.unlink()


@contextmanager
def naming_file(target: Path, part: Path | None = None, numbers: Container[int] | None = None) -> Iterator[None]:
    """Let what the system refuses name a file: errors of writing name none, or one that users do not know.

    part: the temporary name of `target`. numbers: of the errors without a name that are about `target`; None for all.
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
        raise failed  # noqa: B904 (most often it is the same)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{suffix}")


def reserve(file: BinaryIO, size: int) -> None:
    """Make `file` that long, so that a full disk shows before hours of work; where that cannot be known, do nothing."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:  # not on macOS
        return
    except OSError as error:
        if error.errno in NO_ROOM:
            raise


def write_text(target: Path, text: str, suffix: str = "part") -> None:
    """Write `text` as UTF-8; suffix as in `new_file`."""
    with new_file(target, suffix) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_json(target: Path, values: Any) -> None:
    """Write `values` as JSON: sorted keys, the same bytes for the same values.

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
    """Write rows, at least one, that share the keys of the first; None is an empty field."""
    with new_file(target) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, as text by column.

    Raises:
        ValueError: the file is not CSV; its name is in the message.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not valid CSV ({error})") from None


def read_json(path: Path) -> Any:
    """The values in a JSON file.

    Raises:
        ValueError: the file is not JSON; its name is in the message.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error}); if a stage made it, delete it and run again") from None


def merge_mark(text: str) -> int | None:
    """The line at which git has left both sides of a merge; None where it has not."""
    mark = re.search(r"^(<{7}|={7}|>{7})( |$)", text, re.MULTILINE)
    return text.count("\n", 0, mark.start()) + 1 if mark else None


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """A hash of the names and the content of the files in a folder that holds no other."""
    return digest({path.name: sha256(path) for path in folder.iterdir() if not path.name.startswith(".")})


def md5(path: Path) -> str:
    """The checksum by which DVC knows files and data sets are published; it proves a whole file, not its author."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def proved(path: Path, expected: str | None) -> str:
    """The hash of a file that params.yaml names. expected: what stands there; None where nothing does.

    Raises:
        ValueError: the file has changed; the message has both.
    """
    found = sha256(path)
    if expected not in (None, found):
        raise ValueError(f"{path}: sha256 is {found}, params.yaml expects {expected}")
    return found


def digest(values: Any) -> str:
    """A hash of JSON values that does not depend on the order of keys, nor on 2 against 2.0."""
    text = json.dumps(canonical(values), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(values: Any) -> Any:
    """JSON values with 2 wherever they have 2.0."""
    if isinstance(values, dict):
        return {key: canonical(value) for key, value in values.items()}
    if isinstance(values, list):
        return [canonical(value) for value in values]
    return int(values) if isinstance(values, float) and values.is_integer() else values
