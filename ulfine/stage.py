"""What makes a function a stage: a command line made from its signature, a log, a receipt, one line when it fails.

Importing this module sets the number of threads of every numeric library to `runtime.num_threads`. They read it when
they are first imported, so each script of `stages/` imports this module before anything else; one thread against two
changes the last bits of a result, and Snakemake sets a number of its own.
"""

import argparse
import atexit
import inspect
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from ulfine.code import refresh
from ulfine.errors import explained
from ulfine.jobs import EACH_TIME, Job, job
from ulfine.params.base import read_yaml
from ulfine.pipeline import PARAMS
from ulfine.trust.guard import StoppedError, keep_watch
from ulfine.trust.locks import alone
from ulfine.trust.receipts import DONE, FAILED, STOPPED, log_of, origin, ticket, write_receipt

IS_SCRIPT = Path(sys.argv[0]).parent.name == "stages"  # tests and notebooks import stages
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def _set_threads() -> None:
    try:
        number = str(int(read_yaml(PARAMS)["runtime"]["num_threads"]))
    except (OSError, ValueError, KeyError, TypeError):
        return  # the stage says what is wrong when it reads its parameters
    os.environ.update(dict.fromkeys(THREADS, number))


_set_threads()


def require_threads(number: int) -> None:
    """Refuse a recipe that asks for another number than this process was started with.

    Raises:
        ValueError: params.yaml was edited after the recipe was written.
    """
    given = os.environ.get(THREADS[0])
    if IS_SCRIPT and given != str(number):
        raise ValueError(f"{PARAMS}: runtime.num_threads = {given}, but the recipe has {number}; make the recipe again")


def stage(main: Callable[..., None]) -> Callable[[], None]:
    """Make `main` callable without arguments: `--key value` for each of its parameters, all required.

    An error ends the process with exit code 1 and one line; ULFINE_TRACEBACK=1 shows the traceback, which the log has
    as well. Ctrl-C ends it with 130.
    """
    name = Path(inspect.getfile(main)).stem
    keys = inspect.signature(main).parameters

    def run() -> None:
        parser = argparse.ArgumentParser(prog=f"python -m stages.{name}", description=main.__globals__["__doc__"])
        for key, parameter in keys.items():
            parser.add_argument(f"--{key}", type=parameter.annotation, required=True)
        cell = vars(parser.parse_args())
        label = " ".join([name, *(f"{value}" for value in cell.values())])
        started = time.perf_counter()
        try:
            _require_own_package()
            refresh(name, cell)
            _logged(job(name, cell), lambda: main(**cell))
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


def _logged(this: Job, work: Callable[[], None]) -> None:
    """Do the work alone, and leave a log of how it went."""
    who = f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}: {this.command}"
    with alone(log_of(this), who) as note:
        try:
            _received(this, work)
        except StoppedError:
            note(STOPPED)
            raise
        except Exception as error:
            note(f"{FAILED}{explained(error) or type(error).__name__}\n{traceback.format_exc()}")
            raise
        note(DONE)


def _received(this: Job, work: Callable[[], None]) -> None:
    """Do the work, and write down what it was made from."""
    if this.stage in EACH_TIME:
        work()
        return
    ticket(this)
    made_from = origin(this)
    work()
    if this.parameters != made_from["parameters"]:  # the engines would record the new values with the old results
        raise ValueError(f"{PARAMS}: changed while this ran; run again")
    write_receipt(this, made_from)


def _require_own_package() -> None:
    """Refuse to run the scripts of this clone on the package of another one."""
    package = Path(__file__).resolve().parent
    if package.parent != Path.cwd().resolve():
        raise ValueError(f"ulfine is imported from {package}, not from here; install this clone: pip install -e .")


if IS_SCRIPT:
    keep_watch()
