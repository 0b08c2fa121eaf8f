"""Sets the number of threads of every numeric library, as importing this module does.

They read it when they are first imported, so this module comes before any of them; one thread against two changes the
last bits of a result, and Snakemake sets a number of its own.
"""

import json
import os
from pathlib import Path

RUNTIME = Path("artifacts/config/runtime.json")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def _set_threads() -> None:
    if RUNTIME.exists():  # or nothing is resolved yet
        number = json.loads(RUNTIME.read_bytes())["num_threads"]
        os.environ.update(dict.fromkeys(THREADS, str(number)))


_set_threads()
