"""What makes a function a stage: a command line made from its signature, one line when it fails.

Importing this module sets the number of threads of every numeric library to `runtime.num_threads`. They read it when
they are first imported, so each script of `stages/` imports this module before anything else; one thread against two
changes the last bits of a result, and Snakemake sets a number of its own.
"""

import argparse
import inspect
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ulfine.code import refresh
from ulfine.errors import explained
from ulfine.params.base import read_yaml
from ulfine.pipeline import PARAMS, parameters, resolved

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def _set_threads() -> None:
    try:
        number = str(int(read_yaml(PARAMS)["runtime"]["num_threads"]))
    except (OSError, ValueError, KeyError, TypeError):
        return  # the stage says what is wrong when it reads its parameters
    os.environ.update(dict.fromkeys(THREADS, number))


_set_threads()


def stage(main: Callable[..., None]) -> Callable[[], None]:
    """Make `main` callable without arguments: `--key value` for each of its parameters, all required.

    An error that is no bug ends the process with exit code 1 and one line; ULFINE_TRACEBACK=1 shows the traceback.
    """
    name = Path(inspect.getfile(main)).stem
    keys = inspect.signature(main).parameters

    def run() -> None:
        parser = argparse.ArgumentParser(prog=f"stages/{name}.py", description=main.__globals__["__doc__"])
        for key, parameter in keys.items():
            parser.add_argument(f"--{key}", type=parameter.annotation, required=True)
        cell = vars(parser.parse_args())
        started = time.perf_counter()
        label = " ".join([name, *(f"{value}" for value in cell.values())])
        try:
            _require_own_package()
            refresh(name, cell)
            before = parameters(name, cell)
            if before:
                resolved(name, cell)
            main(**cell)
            if parameters(name, cell) != before:  # the engines would record the new values with the old results
                raise ValueError(f"{PARAMS}: changed while this ran; run again")
        except Exception as error:
            line = explained(error)
            if line is None or os.environ.get("ULFINE_TRACEBACK"):
                raise
            sys.exit(f"{label}: {line}")
        print(f"{label}: done in {time.perf_counter() - started:.1f} s")

    return run


def _require_own_package() -> None:
    """Refuse to run the scripts of this clone on the package of another one."""
    package = Path(__file__).resolve().parent
    if package.parent != Path.cwd().resolve():
        raise ValueError(f"ulfine is imported from {package}, not from here; install this clone: pip install -e .")
