"""How a stage ends before its time: on Ctrl-C within seconds, and with the engine that started it.

An engine that is killed cannot stop what it started. So each stage looks out for it, and none is left training on.
"""

import math
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psutil

ENGINES = ("dvc", "snakemake")
STARTED_BY = ("DVC_STAGE", "ULFINE_ENGINE")  # variables that DVC and our Snakefile set
EVERY = 0.5  # seconds between two looks
PATIENCE = 2  # seconds for a stage to end by itself; a long call into a library holds it up
STOPS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(SystemExit):
    """Ctrl-C or a request to end. An exit, so that no library takes it for a failure of its own."""


def stop_behind(error: BaseException | None) -> StoppedError | None:
    """The stop that an error came of, if any: torch, stopped while it writes a file, fails on its own account."""
    while error is not None and not isinstance(error, StoppedError):
        error = error.__context__
    return error


def keep_watch() -> None:
    """Let signals raise `StoppedError`, and end this process if it does not stop, or if its engine ends."""
    above = engines_above()
    if not above and any(name in os.environ for name in STARTED_BY):  # it was killed before this came up
        _exit("the engine that started it has ended")
    alarm, wake = socket.socketpair()
    wake.setblocking(False)
    for number in STOPS:
        signal.signal(number, _stop)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(above, alarm, wake), daemon=True).start()


def stop_together() -> None:
    """Pass a SIGINT to this engine on to its stages, as Ctrl-C in a terminal does by itself."""
    signal.signal(signal.SIGINT, _pass_on)


def _pass_on(number: int, _: FrameType | None) -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.send_signal(number)
    raise KeyboardInterrupt


def _stop(number: int, _: FrameType | None) -> None:
    for each in STOPS:
        signal.signal(each, signal.SIG_IGN)  # the second Ctrl-C of an impatient user would leave half-made files
    _say("stopped; give the same command again to go on")
    raise StoppedError(128 + number)


def _watch(above: list[psutil.Process], alarm: socket.socket, _wake: socket.socket) -> None:
    end = math.inf
    while time.monotonic() < end:
        if any(map(_gone, above)):
            _exit("stopped, as the engine that started it has ended")
        ready, _, _ = select.select([alarm], [], [], EVERY)
        if ready and {*alarm.recv(64)} & {*STOPS}:
            end = min(end, time.monotonic() + PATIENCE)
    _exit("ended in the middle of a long call; what it made half is removed by the next run")


def _exit(why: str) -> None:
    _say(why)
    os._exit(1)


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody may be listening any more
        print(f"\n{Path(sys.argv[0]).stem} {' '.join(sys.argv[1:])}: {text}", file=sys.stderr, flush=True)


def engines_above() -> list[psutil.Process]:
    """The processes that lead from this one up to the engine that started it; none when it was started by hand."""
    with suppress(psutil.Error):
        parents = psutil.Process().parents()
        last = max((place for place, parent in enumerate(parents) if is_engine(parent)), default=-1)
        return parents[: last + 1]
    return []


def is_engine(process: psutil.Process) -> bool:
    """Whether a process runs `dvc` or `snakemake`, as a command or as `python -m`."""
    with suppress(psutil.Error):
        return any(Path(word).name in ENGINES for word in process.cmdline()[:3])
    return False


def _gone(process: psutil.Process) -> bool:
    """Whether a process has ended, collected by its parent or not."""
    with suppress(psutil.Error):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
