"""6, 11. A linear probe of the default grid as a process, start to end; and the start of stages that need a tower."""

import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.copies import copied
from benchmarks.measured import Found, quartiles, report, seconds
from tests.helpers.project import environment, options
from ulfine.params.base import read_yaml
from ulfine.runner.jobs import PARAMS

CPU = torch.device("cpu")
ROUNDS = 7
TOWER = "import stages.train, ulfine.training.towers"


def times(folder: Path, *arguments: str) -> list[float]:
    """Sorted seconds of a Python process, the first left out."""

    def start_to_end() -> None:
        command = [sys.executable, *arguments]
        subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)  # noqa: S603

    return sorted([seconds(start_to_end, CPU) for _ in range(ROUNDS + 1)][1:])


def main() -> None:
    """Measure in a copy of the project."""
    grid = read_yaml(PARAMS)["grid"]
    names = {key: str(grid[key][0]) for key in ("dataset", "split", "backbone")} | {"method": "lp", "seed": "0"}
    probe = ["-m", "stages.train", *options(names)]
    starts = {"features": ["-m", "stages.features", "--help"], "backbone": ["-m", "stages.backbone", "--help"]}
    starts["a training with a tower"] = ["-c", TOWER]
    with TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder, inputs=True)
        found = times(folder, *probe)
        rows = [Found(6, "wall time", statistics.median(found), "s", 2.5, "lower", quartiles(found))]
        for what, command in starts.items():
            found = times(folder, *command)
            rows.append(Found(11, what, statistics.median(found), "s", 4, "lower", quartiles(found)))
    report(*rows, device=CPU)


if __name__ == "__main__":
    main()
