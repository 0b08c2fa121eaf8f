"""Progress of long work: a bar on a terminal, lines in the log of a job, and a file that says how far it is now."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from ulfine.files import write_text

EVERY = 1  # seconds between two writings of the file


class _Followed:
    """Who is told of progress besides a terminal: nobody, or the job at work."""

    log: Callable[[str], None] | None = None
    file: Path | None = None


@contextmanager
def followed(log: Callable[[str], None], file: Path, job: str) -> Iterator[None]:
    """Let all progress meanwhile add lines to `log`, where there is no terminal, and keep `file` up to date.

    The file is JSON: what is done, how much of how much in which unit, by how much a second, and what a bar says
    besides. It is gone in the end.
    """
    _Followed.log, _Followed.file = log, file
    try:
        _write(file, {"job": job})
        yield
    finally:
        _Followed.log = _Followed.file = None
        with suppress(OSError):
            file.unlink(missing_ok=True)


class _Lines:
    """A file for a bar that makes a line of everything it draws."""

    def write(self, text: str) -> None:
        if text.strip() and _Followed.log:
            _Followed.log(text.strip())

    def flush(self) -> None:
        pass


class Bar(tqdm):
    """A bar that keeps the file of the job up to date."""

    told = 0.0

    def update(self, n: float = 1) -> bool | None:
        """Count `n` more."""
        drawn = super().update(n)
        if _Followed.file and time.monotonic() - self.told > EVERY:
            self.told = time.monotonic()
            seen = self.format_dict
            rate = seen["rate"] or (self.n - self.initial) / max(seen["elapsed"], 1e-9)
            state = {"what": self.desc, "done": self.n, "total": self.total, "unit": self.unit.strip(), "rate": rate}
            _write(_Followed.file, state | {"said": self.postfix})
        return drawn


def progress(total: int | None, what: str, unit: str = "images", done: int = 0) -> Bar:
    """Make a bar that redraws often on a terminal; else a line in the log every ten seconds, none for shorter work.

    total: None if unknown. unit: B for bytes, shown in thousands and millions. done: progress at the start.
    """
    options = {"unit": "B", "unit_scale": True} if unit == "B" else {"unit": f" {unit}"}
    if sys.stderr.isatty():
        options |= {"mininterval": 0.2, "maxinterval": 0.2}
    else:
        options |= {"mininterval": 10, "maxinterval": 10, "delay": 10, "file": _Lines()}
    return Bar(total=total, desc=what, initial=done, **options)


def _write(file: Path, state: dict) -> None:
    with suppress(OSError):  # a full disk is no reason to end the work
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        write_text(file, json.dumps(known | state))
