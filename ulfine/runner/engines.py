"""One engine at a time on a tree, what a killed one leaves behind, and what DVC must be told of the place.

DVC keeps a table of who uses which files (dvc/rwlock.py) and refuses what is in use. Snakemake enters itself there, so
that each engine refuses to start while the other works, and names it.
"""

import atexit
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import takewhile
from pathlib import Path
from uuid import uuid4

import psutil

from ulfine.files import write_text
from ulfine.locks import holder
from ulfine.runner.fingerprints import Tree
from ulfine.runner.guard import ENGINES
from ulfine.runner.jobs import job
from ulfine.runner.provenance import PROVENANCE, difference

TABLE = Path(".dvc/tmp/rwlock")
BETWEEN = Path(".dvc/tmp/lock")  # which DVC holds while none of its stages runs
ALIVE = Path(".snakemake/alive.lock")  # which every Snakemake that runs here shares
LATEST = Path(".snakemake/run.id")  # of the Snakemake that was started last
RUN = "ULFINE_RUN"  # the same, in the environment
TARGETS, EXECUTOR = "--target-jobs", "--executor"
LEFT = (Path(".snakemake/locks"), Path(".snakemake/incomplete"))
LOCAL = Path(".dvc/config.local")  # DVC's settings of this place alone
IN_USE = ("artifacts", "results")


def at_work() -> str | None:
    """The engine that works on this tree, as its command and process; None when none does."""
    for pid, command in _entries() or ():
        if pid != os.getpid() and psutil.pid_exists(pid):
            return f"{command} (process {pid})"
    pid = holder(BETWEEN)
    return f"{_command(int(pid))} (process {pid})" if pid and pid.isdecimal() and int(pid) != os.getpid() else None


def hold() -> None:
    """Keep other engines away until this process ends.

    Raises:
        ValueError: one works already; the message names it.
    """
    from dvc.fs import localfs  # half a second, and needed once, where work begins
    from dvc.lock import Lock, LockError
    from dvc.rwlock import rwlock

    TABLE.parent.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(name).resolve()) for name in IN_USE]
    held = ExitStack()
    try:
        with Lock(str(BETWEEN)):
            held.enter_context(rwlock(str(TABLE.parent), localfs, _command(os.getpid()), [], paths, False))
    except LockError:
        raise ValueError(f"{at_work() or 'another engine'} is at work here; wait for it, or stop it") from None
    atexit.register(held.close)


def begin_run() -> None:
    """Name this run of Snakemake, here and in the jobs that it sends to a cluster."""
    os.environ[RUN] = str(uuid4())
    write_text(LATEST, os.environ[RUN])


def require_same_run() -> None:
    """Refuse, in a job of a cluster, to begin for an engine that was killed since and has a successor.

    The successor sends its own job, and what both make would be removed and made twice.

    Raises:
        ValueError: another run has begun.
    """
    mine = os.environ.get(RUN)
    if mine and LATEST.read_text(encoding="utf-8") != mine:
        raise ValueError("left over: Snakemake was started again since, and does this itself")


def made_meanwhile(words: Sequence[str]) -> bool:
    """Whether all that a job of a cluster is to make is there, and right, made since its engine began.

    Then a job that an engine left behind when it was killed has just ended, and Snakemake would begin by removing it.

    words: the command of the job, which names what to make as --target-jobs RULE:NAME=VALUE,…
    """
    if EXECUTOR in words or TARGETS not in words:  # the job starts a command like its own, one for each cell
        return False
    targets = list(takewhile(lambda word: not word.startswith("--"), words[words.index(TARGETS) + 1 :]))
    wanted = [job(stage, names) for stage, names in map(_named, targets)]
    since, tree = LATEST.stat().st_mtime_ns, Tree()
    made = (each.file(PROVENANCE, ".json") for each in wanted)
    return all(path.exists() and path.stat().st_mtime_ns > since for path in made) and not any(
        difference(each, tree) for each in wanted
    )


def _named(target: str) -> tuple[str, dict[str, str]]:
    stage, _, names = target.partition(":")
    return stage, dict(pair.split("=", 1) for pair in names.split(",") if pair)


def recover() -> None:
    """Remove the locks of a Snakemake that was killed, as this one starts, unless another is running.

    Marks of incomplete outputs go as well: outputs are whole or absent, and provenance tells whether they are right.
    """
    ALIVE.parent.mkdir(exist_ok=True)
    file = os.open(ALIVE, os.O_RDWR | os.O_CREAT)  # until this process ends
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove_left()
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def unlock() -> list[str]:
    """Remove what killed engines left behind; returns what was done, a line each.

    Raises:
        ValueError: an engine is at work.
    """
    busy = at_work()
    if busy:
        raise ValueError(f"{busy} is at work here; stop it first")
    done = []
    if _entries() != []:
        TABLE.unlink()
        done.append(f"{TABLE}: removed")
    return done + [f"{path}: removed" for path in _remove_left()]


def tell_dvc() -> str | None:
    """Let DVC work without git where there is none, as in an archive of the source, and with it once there is.

    Returns what was changed, None for nothing.
    """
    here = Path.cwd()
    found = any((folder / ".git").exists() for folder in (here, *here.parents))
    without = LOCAL.exists() and "no_scm" in LOCAL.read_text(encoding="utf-8")
    if found != without:
        return None
    value = ["--unset", "core.no_scm"] if found else ["core.no_scm", "true"]
    subprocess.run([sys.executable, "-m", "dvc", "config", "--local", *value], check=True)  # noqa: S603 (our own words)
    return f"{'a' if found else 'no'} git repository here: DVC goes {'with' if found else 'without'} one from now on"


def _remove_left() -> list[Path]:
    left = [path for folder in LEFT if folder.is_dir() for path in folder.iterdir()]
    for path in left:
        path.unlink()
    return left


def _entries() -> list[tuple[int, str]] | None:
    """Process and command of everyone in DVC's table; None when a kill has cut it off, so that nobody is in it."""
    try:
        table = json.loads(TABLE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError:
        return None
    infos = [*table.get("write", {}).values(), *(info for many in table.get("read", {}).values() for info in many)]
    return [(info["pid"], info["cmd"]) for info in infos]


def _command(pid: int) -> str:
    """The command of a process from its engine on, without the folders in front."""
    with suppress(psutil.Error):
        words = psutil.Process(pid).cmdline()
        first = next((place for place, word in enumerate(words) if Path(word).name in ENGINES), 0)
        return " ".join([Path(words[first]).name, *words[first + 1 :]])
    return "another engine"
