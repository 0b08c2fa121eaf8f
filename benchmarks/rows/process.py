"""6. A linear probe of the default grid as a process, start to end."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.copies import copied
from benchmarks.measured import Found, quartiles, report
from tests.helpers.project import environment
from ulfine.params.base import read_yaml
from ulfine.runner.jobs import PARAMS

ROUNDS = 7


def main() -> None:
    """Measure in a copy of the project."""
    grid = read_yaml(PARAMS)["grid"]
    names = {key: str(grid[key][0]) for key in ("dataset", "split", "backbone")} | {"method": "lp", "seed": "0"}
    arguments = [argument for key, value in names.items() for argument in (f"--{key}", value)]
    found = []
    with TemporaryDirectory() as folder:
        copied(Path(folder), inputs=True)
        command, environ = [sys.executable, "-m", "stages.train", *arguments], environment()
        for _ in range(ROUNDS + 1):
            started = time.perf_counter()
            subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)  # noqa: S603
            found.append(time.perf_counter() - started)
    found = sorted(found[1:])
    report(
        Found(6, "wall time", statistics.median(found), "s", 4, "lower", quartiles(found)), device=torch.device("cpu")
    )


if __name__ == "__main__":
    main()
