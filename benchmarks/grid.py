"""How long the engines and `ulfine` take to read a large grid that is already made.

    python -m benchmarks.grid 100

Makes the tests' tiny project in a temporary folder: 2 methods and 1 baseline with this number of seeds. Stages run for
one seed; the others get copies of its outputs, with provenance of their own, and DVC records them. Then each command is
timed: wall time, and CPU time of its processes, which other work on the machine disturbs less.
"""

import argparse
import copy
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.helpers import project
from ulfine.params.root import load
from ulfine.runner.jobs import PARAMS, Job, jobs
from ulfine.runner.provenance import origin, write_provenance
from ulfine.runner.resolve import resolved, write

STATUS, PREFLIGHT, VERIFY, COMMIT = (("ulfine", name) for name in ("status", "preflight", "verify", "commit"))
DRY, SNAKEMAKE = ("snakemake", "--dry-run", "--quiet"), ("snakemake", "--cores", "2")
DVC_STATUS, REPRO, PUSH = (("dvc", name) for name in ("status", "repro", "push"))
SHARE = ("dvc", "remote", "add", "--default", "share", "share")
WRONG: dict[str, tuple[Callable[[dict], None], str]] = {  # edits of params.yaml, and the error expected for them
    "an unknown key": (lambda params: params["train"].update(stepz=4), "train: unknown key 'stepz'"),
    "an unknown method": (lambda params: params["grid"]["method"].append("lpp"), "grid.method = 'lpp'"),
}


@dataclass(frozen=True)
class Taken:
    """The time that a command took, in seconds, and its output."""

    wall: float
    cpu: float  # of all its processes
    told: float  # until it printed the expected text; infinite if it never did
    text: str  # everything it printed

    def __str__(self) -> str:
        return f"{self.wall:6.1f} s {self.cpu:6.1f} s CPU"


def main() -> None:
    """Measure every command on a grid with the number of seeds given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", type=int)
    seeds = parser.parse_args().seeds
    with TemporaryDirectory() as name:
        folder = Path(name)
        params = with_seeds(seeds)
        make_one(folder)
        project.write_params(folder, params)
        print(f"{3 * seeds} cells; load {os.getloadavg()[0]:.1f}")
        report("snakemake --dry-run, nothing made", timed(folder, *DRY))
        report("dvc status, nothing made", timed(folder, *DVC_STATUS))
        fill(folder)
        report("snakemake --dry-run, no lock", timed(folder, *DRY))
        report("ulfine commit", timed(folder, *COMMIT))
        timed(folder, *SHARE)
        for label, command in {
            "dvc push, into a folder": PUSH,
            "dvc push, of nothing new": PUSH,
            "ulfine status": STATUS,
            "ulfine preflight": PREFLIGHT,
            "ulfine verify": VERIFY,
            "snakemake --dry-run": DRY,
            "dvc status": DVC_STATUS,
            "dvc repro": REPRO,
        }.items():
            report(label, timed(folder, *command))
        for label, (edit, said) in WRONG.items():
            write_wrong(folder, params, edit)
            for command in (PREFLIGHT, SNAKEMAKE, REPRO):
                taken = timed(folder, *command, said=said)
                print(f"{label:20} {' '.join(command):24} said after {taken.told:.1f} s, ended after {taken}")
        print(f"load {os.getloadavg()[0]:.1f}")


def report(label: str, taken: Taken) -> None:
    """Print one line."""
    print(f"{label:36}{taken}", flush=True)


def with_seeds(number: int) -> dict:
    """Return the parameters of the tiny project with `number` seeds."""
    params = copy.deepcopy(project.PARAMS)
    params["grid"] |= {"seed": list(range(number)), "sweep": []}
    return params


def make_one(folder: Path) -> None:
    """Make the tiny project and run it for seed 0."""
    project.make_project(folder)
    project.write_params(folder, with_seeds(1))
    project.succeeded(project.run(folder, *SNAKEMAKE))


def fill(folder: Path) -> None:
    """Copy the outputs of seed 0 to every other seed in params.yaml, and make the tables."""
    with chdir(folder):
        write(resolved(load(PARAMS)))
        for job in jobs():
            cell = dict(job.names)
            if "seed" in cell:
                _copy_outputs(job, cell["seed"])
                write_provenance(job, origin(job))
    project.succeeded(project.run(folder, *SNAKEMAKE))


def _copy_outputs(job: Job, seed: str) -> None:
    for path in map(Path, job.outputs):
        first = Path(str(path).replace(f"seed{seed}", "seed0"))
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if first.is_dir() else shutil.copy)(first, path)


def write_wrong(folder: Path, params: dict, edit: Callable[[dict], None]) -> None:
    """Write params.yaml with a mistake."""
    wrong = copy.deepcopy(params)
    edit(wrong)
    project.write_params(folder, wrong)


def timed(folder: Path, *command: str, said: str = "") -> Taken:
    """Run a command in the project. said: an error that it must fail with; it must succeed if there is none.

    Raises:
        RuntimeError: it ended otherwise; the message has the end of its output.
    """
    before, started, told, lines = _cpu(), time.perf_counter(), float("inf"), []
    process = subprocess.Popen(  # noqa: S603
        command,
        cwd=folder,
        env=project.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        for line in process.stdout:
            lines.append(line)
            if said in line:
                told = min(told, time.perf_counter() - started)
    text = "".join(lines)
    if bool(process.returncode) != bool(said) or said not in text:
        raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{text[-3000:]}")
    return Taken(time.perf_counter() - started, _cpu() - before, told, text)


def _cpu() -> float:
    """Return the CPU seconds of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
