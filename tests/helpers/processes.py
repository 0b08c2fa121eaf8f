"""Engines that run beside a test, and the stages that they start."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.helpers import project


def started(folder: Path, command: str) -> subprocess.Popen[str]:
    """A command of a shell, which begins engine.log anew."""
    (folder / "engine.log").unlink(missing_ok=True)
    return begun(folder, ["sh", "-c", command], {})


def begun(folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """A command in a process group of its own, as a terminal would start it; it adds to engine.log.

    environment: what it has besides that of tests.
    """
    with (folder / "engine.log").open("a") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=project.environment() | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finished(engine: subprocess.Popen[str], folder: Path, seconds: float) -> None:
    """Wait until it has ended well."""
    assert engine.wait(seconds) == 0, said(folder)[-5000:]


def said(folder: Path) -> str:
    """What the command has printed."""
    return (folder / "engine.log").read_text()


def scripts(folder: Path, name: str = "") -> Iterator[psutil.Process]:
    """The stages that run in a project, or those of one script."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if words[1:2] == ["-m"] and words[2].startswith(f"stages.{name}") and Path(process.cwd()) == folder:
                yield process


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that has ended may be gone, or wait for its parent to collect it."""
    with suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def make_eager(folder: Path) -> None:
    """Let trainings write checkpoints as often as they can."""
    path = folder / "ulfine/training/checkpoint.py"
    path.write_text(path.read_text().replace("SECONDS = 30", "SECONDS = 0.1"))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait(until: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.3)
