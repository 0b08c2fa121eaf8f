"""Makes a function a stage: a command line from its signature, its configuration, a log, and one line when it fails."""

import ulfine.threads  # noqa: F401 (before numpy and torch, which read the number of threads when they start)

import argparse
import atexit
import inspect
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from ulfine.errors import explained
from ulfine.files import read_json
from ulfine.locks import alone, holder
from ulfine.params.base import validated
from ulfine.progress import followed
from ulfine.runner.code import refresh_code
from ulfine.runner.devices import own_device
from ulfine.runner.fingerprints import Tree
from ulfine.runner.guard import StoppedError, keep_watch, stop_behind
from ulfine.runner.jobs import RESOLVE, Job, job
from ulfine.runner.provenance import (
    DONE,
    FAILED,
    STOPPED,
    difference,
    log_of,
    origin,
    progress_of,
    write_provenance,
)
from ulfine.runner.usage import usage

IS_SCRIPT = Path(sys.argv[0]).parent.name == "stages"  # tests and notebooks import stages


def stage(main: Callable[..., None]) -> Callable[[], None]:
    """Make `main` callable without arguments: `--key value` for each of its parameters, all required.

    A parameter `config` is no argument: it is the job's configuration, validated as the type it is annotated with. An
    error ends the process with exit code 1 and one line; ULFINE_TRACEBACK=1 shows the traceback, which the log has as
    well. Ctrl-C ends it with 130.
    """
    name = Path(inspect.getfile(main)).stem
    keys = dict(inspect.signature(main).parameters)
    kind = keys.pop("config").annotation if "config" in keys else None

    def run() -> None:
        parser = argparse.ArgumentParser(prog=f"python -m stages.{name}", description=main.__globals__["__doc__"])
        for key, parameter in keys.items():
            parser.add_argument(f"--{key}", type=parameter.annotation, required=True)
        cell = vars(parser.parse_args())
        label = " ".join([name, *(f"{value}" for value in cell.values())])
        started = time.perf_counter()
        tqdm.set_lock(threading.RLock())  # its own is for many processes, and Python 3.14 warns when an error leaves it
        try:
            _require_own_package()
            this = job(name, cell)
            _logged(this, lambda: main(**_configured(this, kind), **cell))
        except StoppedError as stopped:  # nothing is half-made any more, and libraries take seconds to end
            sys.stdout.flush()
            os._exit(stopped.code)
        except Exception as error:
            if os.environ.get("ULFINE_TRACEBACK"):
                raise
            line = explained(error) or f"{type(error).__name__}: {error} (ULFINE_TRACEBACK=1 shows where)"
            sys.exit(f"{label}: {' '.join(line.split())}")
        print(f"{label}: done in {time.perf_counter() - started:.1f} s", flush=True)
        if IS_SCRIPT:
            atexit.register(os._exit, 0)  # all is written, and libraries take a second or two to end

    return run


def _configured(this: Job, kind: type | None) -> dict[str, object]:
    """The argument `config` of a stage that has one."""
    if kind is None:
        return {}
    path = Path(this.config)
    if not path.exists():
        raise ValueError(f"{path}: not here; `python -m stages.{RESOLVE}` writes it for each job of the grid")
    return {"config": validated(kind, read_json(path), f"{path}: ")}


def _logged(this: Job, work: Callable[[], None]) -> None:
    """Do the work while no other process does the same job, and leave a log of how it went.

    What another process did while this one waited for it is not done twice: a cluster goes on with the jobs of an
    engine that was killed, and the next engine starts them again.
    """
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    who = f"process {os.getpid()} on {socket.gethostname()} since {since}: {this.command}"
    before = holder(log_of(this))
    with alone(log_of(this), who) as note:
        try:
            if before and difference(this, Tree()) is None:
                print(f"{before}: has just done this")
            else:
                with followed(note, progress_of(this), this.address):
                    _do(this, work, who)
        except (StoppedError, Exception) as error:
            stop = stop_behind(error)
            if stop:
                note(STOPPED)
                raise stop from None
            note(f"{FAILED}{explained(error) or type(error).__name__}\n{traceback.format_exc()}")
            raise
        note(DONE)


def _do(this: Job, work: Callable[[], None], who: str) -> None:
    """Do the work, and write down what its outputs were made from."""
    if this.stage == RESOLVE:
        work()
        return
    refresh_code(this)
    made_from = origin(this)
    device = (made_from["config"].get("runtime") or {}).get("device")
    with own_device(device or "cpu", who):
        work()
    if origin(this)["config"] != made_from["config"]:  # the engines would record the new values with the old results
        raise ValueError(f"{this.config}: changed while this ran; run again")
    write_provenance(this, made_from, usage(device, this.outputs))


def _require_own_package() -> None:
    """Refuse to run the scripts of this clone on the package of another one."""
    package = Path(__file__).resolve().parents[1]
    if package.parent != Path.cwd().resolve():
        raise ValueError(f"ulfine is imported from {package}, not from here; install this clone: pip install -e .")


if IS_SCRIPT:
    keep_watch()
    sys.stdout.reconfigure(line_buffering=True)  # else what a stage says comes when it ends, where an engine listens
