"""Sets the number of threads of every numeric library, as importing this module does.

They read it when they are first imported, so this module comes before any of them; one thread against two changes the
last bits of a result, and Snakemake sets a number of its own.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

RUNTIME = Path("artifacts/config/runtime.json")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
LOOKS, BETWEEN = 10, 0.005  # seconds
RUNNING = Path("/proc/loadavg")  # "0.20 0.18 0.12 1/80 11206": one of 80 runs now, this one


def _set_threads() -> None:
    if RUNTIME.exists():  # or nothing is resolved yet
        number = json.loads(RUNTIME.read_bytes())["num_threads"]
        os.environ.update(dict.fromkeys(THREADS, str(number)))
        if _crowded(number):
            os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def _crowded(number: int) -> bool:
    """Whether other processes leave fewer processors than `number` of threads, each time that one looks.

    OpenMP's threads that wait then take turns with those that work, and a step takes four times as long and more. To
    let them sleep soon costs a seventh of the rate on an idle machine, and changes no result.
    """
    for _ in range(LOOKS):
        if _others() + number <= (os.cpu_count() or 1):
            return False
        time.sleep(BETWEEN)
    return True


def _others() -> int:
    """How many other processes and threads run now; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        return int(RUNNING.read_text().split()[3].split("/")[0]) - 1
    return 0


_set_threads()
