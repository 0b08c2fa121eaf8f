"""Published archives: resumable downloads, checked by checksum, and unpacked completely or not at all."""

import os
import re
import shutil
import ssl
import tarfile
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ulfine.errors import machine_failed
from ulfine.files import md5, naming_file, new_folder
from ulfine.locks import alone
from ulfine.progress import progress

CHUNK = 1 << 20  # bytes
TIMEOUT = 60  # seconds without a byte
TRIES = 5  # per address, while its failures look temporary
PAUSE = 2  # seconds before the next try
# Temporary failures. A refused connection, although a ConnectionError, is not one: an offline machine gives it too.
PASSING = (ConnectionError, TimeoutError, ssl.SSLEOFError)
Proof = Callable[[Path], str]  # md5 or sha256


class _DroppedError(Exception):
    """A broken connection or an overloaded server; the bytes received are kept."""


def fetch(urls: Sequence[str], target: Path, expected: str, proof: Proof = md5) -> None:
    """Download `target` from the first address that serves it, unless it exists, and verify its checksum.

    An interrupted download stays in `{target}.part`, and the next try or run resumes it.

    Raises:
        ValueError: no address serves the file, or an existing `target` has another checksum.
    """
    if not target.exists():
        with _lock(target):
            if not target.exists():  # another stage may have fetched it while this one waited
                _download(urls, target, expected, proof)
                return
    found = proof(target)
    if found != expected:
        raise ValueError(f"{target}: {proof.__name__} is {found}, expected {expected}; delete it and run again")


def _lock(target: Path) -> AbstractContextManager:
    """Keep other processes from making `target` at the same time; `{target}.lock` stays."""
    return alone(target.with_name(f"{target.name}.lock"), f"process {os.getpid()}")


def _download(urls: Sequence[str], target: Path, expected: str, proof: Proof) -> None:
    part = target.with_name(f"{target.name}.part")
    failures = []
    for url in urls:
        failure = _fetch_from(url, part, expected, proof)
        if failure is None:
            part.replace(target)
            return
        failures.append(f"{url}: {failure}")
    raise ValueError(
        f"{target.name} cannot be downloaded ({'; '.join(failures)}); without a network, place it in the folder "
        f"{target.parent.resolve()} under the name {target.name}; its {proof.__name__} must be {expected}"
    )


def _fetch_from(url: str, part: Path, expected: str, proof: Proof) -> str | None:
    """Complete `part` from one address; return the reason if that failed."""
    failure = None
    for attempt in range(TRIES):
        time.sleep(PAUSE if attempt else 0)
        try:
            _receive(url, part)
        except _DroppedError as error:
            failure = f"failed {TRIES} times, last with: {error}; run again to go on from there"
        except HTTPError as error:
            return f"HTTP status {error.code}, {error.reason}"
        except URLError as error:
            return str(error.reason)
        else:
            found = proof(part)
            if found == expected:
                return None
            part.unlink()
            return f"what came has the {proof.__name__} {found}, expected {expected}; it is deleted"
    return failure


def _receive(url: str, part: Path) -> None:
    """Append the bytes that `part` lacks, or fetch all of it from a server without ranges."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "ulfine"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)  # noqa: S310 (addresses of torchvision and the hub)
    except HTTPError as error:
        error.close()
        if error.code == 416 and have:  # `part` is complete already
            return
        if error.code == 429 or error.code >= 500:
            raise _DroppedError(f"HTTP status {error.code}, {error.reason}") from None
        raise
    except URLError as error:  # while connecting
        if isinstance(error.reason, PASSING) and not isinstance(error.reason, ConnectionRefusedError):
            raise _DroppedError(_said(error.reason)) from None
        raise
    except (OSError, HTTPException) as error:
        raise _DroppedError(_said(error)) from None
    with response:
        if response.status != 206:
            _append(response, part, 0, response.length)
            return
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != have:
            part.unlink()
            raise _DroppedError("the server sent another range than it was asked for")
        _append(response, part, have, None if found[2] == "*" else int(found[2]))


def _append(response: HTTPResponse, part: Path, start: int, total: int | None) -> None:
    with naming_file(part), part.open("ab") as file, progress(total, part.stem, "B", start) as bar:
        file.truncate(start)
        while chunk := _read(response):
            file.write(chunk)
            bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())
        if total is not None and file.tell() < total:
            raise _DroppedError(f"{file.tell()} of {total} bytes came")


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise _DroppedError(_said(error)) from None


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive whose members all lie in one folder, unless `folder` exists; it appears when complete.

    Raises:
        ValueError: a member lies outside the folder or is neither a file nor a folder, or the archive is damaged.
    """
    with _lock(folder):
        if not folder.is_dir():
            _unpack(archive, folder)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar, new_folder(folder) as part:
            for member in tar:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts or path.parts[:1] != (folder.name,):
                    raise ValueError(f"{archive}: its member {member.name!r} leaves the folder {folder.name}")
                if not member.isfile() and not member.isdir():
                    raise ValueError(f"{archive}: its member {member.name!r} is a link or a device, not a file")
                target = part.joinpath(*path.parts[1:])
                (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
                if member.isfile():  # written here, as Pythons before 3.11.4 have no filter for `extract`
                    with tar.extractfile(member) as content, target.open("wb") as file:
                        shutil.copyfileobj(content, file)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        if machine_failed(error):
            raise
        raise ValueError(f"{archive}: cannot be unpacked ({error})") from None
