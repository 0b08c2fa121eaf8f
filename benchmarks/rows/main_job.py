"""9. The main job after set-up: `dvc repro` of the default grid in a copy without results."""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.copies import copied
from benchmarks.measured import Found, report
from tests.helpers.project import environment

REPRO = ("dvc", "repro")


def main() -> None:
    """Measure once."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder, inputs=False)
        started = time.perf_counter()
        done = subprocess.run(REPRO, cwd=folder, env=environment(), capture_output=True, text=True, check=False)  # noqa: S603
        taken = time.perf_counter() - started
        if done.returncode:
            sys.exit(f"dvc repro: exit code {done.returncode}\n{done.stderr[-3000:]}")
    jobs = done.stdout.count("Running stage")
    report(Found(9, "dvc repro", taken, "s", 360, "lower", f"one run of {jobs} stages"), device=torch.device("cpu"))


if __name__ == "__main__":
    main()
