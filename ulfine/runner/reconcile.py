"""From one engine to the other: what provenance proves is made known to Snakemake, and written into DVC."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ulfine.files import read_json, write_if_changed
from ulfine.runner.dvc_lock import entries
from ulfine.runner.engines import at_work
from ulfine.runner.fingerprints import STAMP, Tree
from ulfine.runner.jobs import Job
from ulfine.runner.provenance import origin, read_provenance, write_provenance
from ulfine.runner.resolve import write
from ulfine.runner.states import BROKEN, DONE, STALE, State, states, table

LONG_AGO = 10**9  # nanoseconds; Snakemake ignores a time of 0
AGAIN = Path(".snakemake/again.json")  # by job, a number that is new whenever Snakemake must make its outputs again


def commit(files: Mapping[Path, dict]) -> str:
    """Write the results of the grid into dvc.lock and DVC's cache, as if DVC had made them.

    files: configurations and hashes of code, as they are to be.

    Raises:
        ValueError: a result is not what params.yaml, the code and its inputs would give now, or an engine is at work.
    """
    busy = at_work()
    if busy:
        raise ValueError(f"{busy} is at work here; wait for it, or stop it")
    write(files)
    found = reconcile(Tree(files))
    if any(state.name != DONE for state in found):
        print(table(found))
        raise ValueError("not everything is done and right, so nothing is committed")
    done = subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "--quiet"], check=False)
    if done.returncode:
        raise ValueError("`dvc commit` failed; what it said stands above")
    recorded = entries()
    for state in found:
        outputs = read_provenance(state.job)["outputs"]
        for out in recorded[state.job.address]["outs"]:
            if out["md5"] != outputs[out["path"]]["md5"]:
                raise ValueError(f"{out['path']}: is not what its stage left; `ulfine verify` tells more")
    return f"{len(found)} jobs are in dvc.lock; commit it with git, and share the artifacts with `dvc push`"


def reconcile(tree: Tree) -> list[State]:
    """Let times of files say what hashes prove, as Snakemake goes by times; the state of each job.

    After a checkout, a pull or a copy times mean nothing, and where DVC made the same bytes again they say too much. No
    output of a job that provenance or dvc.lock proves right stays older than an input. The outputs of one that is stale
    become older than all inputs, and its number in AGAIN changes, as Snakemake forgives a newer input whose content it
    has seen before.
    """
    found = states(tree)
    numbers, now = again(), time.time_ns()
    for state in found:
        if state.by_dvc:
            write_provenance(state.job, origin(state.job, tree))
        if state.name == DONE:
            _keep_newer(state.job, now)
        elif state.name in (STALE, BROKEN) and state.before is None:
            _set_times([path for path in state.job.outputs if Path(path).exists()], now, LONG_AGO)
            numbers[state.job.address] = now
    write_if_changed(AGAIN, numbers)
    return found


def again() -> dict[str, int]:
    """The content of AGAIN."""
    return read_json(AGAIN) if AGAIN.exists() else {}


def _keep_newer(job: Job, now: int) -> None:
    newest = max(max(_times(Path(path))) for path in job.inputs)
    if min(_times(Path(path))[0] for path in job.outputs) < newest:
        _set_times(job.outputs, now, max(now, newest))


def _set_times(outputs: list[str] | tuple[str, ...], accessed: int, changed: int) -> None:
    for path in map(Path, outputs):
        for each in (path, path / STAMP):
            if each.exists():  # a link is given a time of its own: DVC's cache, where it leads to, may be another's
                os.utime(each, ns=(accessed, changed), follow_symlinks=False)


def _times(path: Path) -> tuple[int, int]:
    """The times at which a file or folder, and what it links to, changed, in nanoseconds, as Snakemake has them.

    Of an output it takes the first, of an input the later one.
    """
    stamp = path / STAMP
    at = stamp if stamp.exists() else path
    return at.lstat().st_mtime_ns, at.stat().st_mtime_ns
