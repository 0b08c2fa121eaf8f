"""From one engine to the other: `record` writes results into DVC, `adopt` makes Snakemake know what DVC restored."""

import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from ulfine.jobs import Job
from ulfine.trust.engines import at_work
from ulfine.trust.fingerprints import STAMP, fingerprint
from ulfine.trust.receipts import origin, read_receipt, ticket, write_receipt
from ulfine.trust.recorded import entries
from ulfine.trust.states import BROKEN, DONE, STALE, State, states, table


def record() -> str:
    """Write the results of the grid into dvc.lock and DVC's cache, as if DVC had made them.

    Raises:
        ValueError: a result is not what params.yaml, the code and its inputs would give now, or an engine is at work.
    """
    _require_quiet()
    found, _ = settle()
    if any(state.name != DONE for state in found):
        print(table(found))
        raise ValueError("not everything is done and right, so nothing is recorded")
    done = subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "--quiet"], check=False)
    if done.returncode:
        raise ValueError("`dvc commit` failed; what it said stands above")
    recorded = entries()
    for state in found:
        outputs = read_receipt(state.job)["outputs"]
        for out in recorded[state.job.address]["outs"]:
            if out["md5"] != outputs[out["path"]]["md5"]:
                raise ValueError(f"{out['path']}: is not what its stage left; `python -m ulfine verify` tells more")
    return f"{len(found)} jobs are recorded in dvc.lock; commit it with git, and share the artifacts with `dvc push`"


def adopt() -> str:
    """Take over results that came by checkout, pull or copy; what Snakemake does as well before it looks at files.

    Raises:
        ValueError: an engine is at work.
    """
    _require_quiet()
    found, taken = settle()
    left = [state for state in found if state.name != DONE]
    text = f"{len(found) - len(left)} of {len(found)} jobs are done and right, {taken} of them newly proved by dvc.lock"
    return f"{text}\n{table(left)}" if left else text


def settle() -> tuple[list[State], int]:
    """Let times of files say what hashes prove, as Snakemake goes by times; the states, and how many dvc.lock proved.

    After a checkout, a pull or a copy times mean nothing, and where DVC made the same bytes again they say too much. Of
    a job that receipts or dvc.lock prove right no output stays older than an input. Of one that they do not prove the
    ticket changes, so that it runs again.
    """
    look = cache(fingerprint)
    found = states(look)
    taken = [state.job for state in found if state.by_dvc]
    for job in taken:
        write_receipt(job, origin(job, look))
    now = time.time_ns()
    for state in found:
        if state.name == DONE:
            _set_times(state.job, now)
        elif state.name in (STALE, BROKEN) and state.before is None:
            ticket(state.job, again=now)
    return found, len(taken)


def _set_times(job: Job, now: int) -> None:
    newest = max(max(_times(path)) for path in (ticket(job), *map(Path, job.inputs)))
    outputs = [Path(path) for path in job.outputs]
    if min(_times(path)[0] for path in outputs) < newest:
        for path in outputs:
            for each in (path, path / STAMP):
                if each.exists():  # a link is given a time of its own: DVC's cache, where it leads to, may be another's
                    os.utime(each, ns=(now, max(now, newest)), follow_symlinks=False)


def _times(path: Path) -> tuple[int, int]:
    """When a file or folder changed, in nanoseconds, as Snakemake has it: itself, and what it links to.

    Of an output it takes the first, of an input the later one.
    """
    stamp = path / STAMP
    at = stamp if stamp.exists() else path
    return at.lstat().st_mtime_ns, at.stat().st_mtime_ns


def _require_quiet() -> None:
    busy = at_work()
    if busy:
        raise ValueError(f"{busy} is at work here; wait for it, or stop it")
