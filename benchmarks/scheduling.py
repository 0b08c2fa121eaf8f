"""What it costs to schedule a grid: processor time of the engine and of the stages it starts, per cell.

    python -m benchmarks.scheduling 500
    python -m benchmarks.scheduling 50 --workflow-profile workflow/profiles/slurm

Makes the tests' project whose scripts do nothing, in a temporary folder, with two methods and this number of seeds, and
runs Snakemake on it; with `--cores 2` unless told otherwise. What is left of a job is the start of Python, the check of
the configuration, the hashes of inputs and outputs, the provenance. The start of torch, some 2 s, comes on top in
stages that need it.
"""

import argparse
import os
import resource
import subprocess
import time
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import yaml

from tests.helpers import project, standins
from ulfine.runner.jobs import jobs

LOCAL = ["--cores", "2"]


def main() -> None:
    """Measure one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", type=int)
    arguments, options = parser.parse_known_args()
    with TemporaryDirectory() as name:
        folder = standins.make(Path(name) / "project")
        params = yaml.safe_load((folder / "params.yaml").read_text())
        params["grid"] |= {"split": ["tail"], "seed": list(range(arguments.seeds)), "sweep": []}
        project.write_params(folder, params)
        with chdir(folder):
            number = len(jobs())
        cells = 2 * arguments.seeds
        wall, own, children = measured(folder, ["snakemake", "--quiet", *(options or LOCAL)])
    print(f"{cells} cells, {number} jobs, load {os.getloadavg()[0]:.1f}: {wall:.0f} s")
    print(f"engine {own / cells:.2f} s of CPU a cell, {own:.0f} s in all")
    print(f"what it starts {children / cells:.2f} s of CPU a cell, {children / number:.2f} s a job")


def measured(folder: Path, command: list[str]) -> tuple[float, float, float]:
    """Wall time of a command, CPU time of its process, and that of the processes which it starts here, in seconds.

    Raises:
        RuntimeError: it failed.
    """
    started, own = time.perf_counter(), 0.0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "engine.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=project.environment(), stdout=log, stderr=log)  # noqa: S603
        while process.poll() is None:
            try:
                times = psutil.Process(process.pid).cpu_times()
                own = max(own, times.user + times.system)
            except psutil.Error:
                break
            time.sleep(0.2)
    if process.wait():
        raise RuntimeError((folder / "engine.log").read_text()[-3000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, own, total - own


if __name__ == "__main__":
    main()
