"""Locks of files: one process at a time. The kernel frees the lock of a process that was killed."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

EVERY = 0.5  # seconds between two looks at several locks


@contextmanager
def alone(path: Path, who: str) -> Iterator[Callable[[str], None]]:
    """Wait until no other process has `path`, and keep others waiting; gives a function that adds lines to it.

    The file begins with `who` has it. It stays, as another process may wait on it already. On a file system without
    locks nobody waits, and on a full one nothing is written: neither is a reason to fail.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:

        def note(text: str) -> None:
            with suppress(OSError):
                file.write(f"{text}\n".encode())

        if not _locked(file.fileno()):
            print(f"waiting for {holder(path) or 'another process'} ({path})", flush=True)
            _locked(file.fileno(), wait=True)
        file.truncate(0)
        note(who)
        yield note


@contextmanager
def any_of(paths: Sequence[Path], who: str) -> Iterator[Path]:
    """Wait until no other process has one of `paths`, and keep others away from that one; gives it.

    The file begins with `who` has it, and stays.
    """
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        for path in paths:
            with path.open("ab+", buffering=0) as file:
                if _locked(file.fileno()):
                    file.truncate(0)
                    file.write(f"{who}\n".encode())
                    yield path
                    return
        if not told:
            print(f"waiting for {' or '.join(holder(path) or 'another process' for path in paths)}", flush=True)
            told = True
        time.sleep(EVERY)


def holder(path: Path) -> str | None:
    """The process that has `path`, by its first line; None when nobody has it."""
    try:
        with path.open(encoding="utf-8") as file:
            if _locked(file.fileno(), shared=True):
                return None
            return file.readline().strip() or "another process"
    except OSError:
        return None


def _locked(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Whether this process has the lock now; a file system of a cluster may know no locks, so that everyone has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
