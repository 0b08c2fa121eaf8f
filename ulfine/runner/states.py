"""How far the grid is: for each job whether its outputs are right, stale, missing, being made, or could not be made."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ulfine.locks import holder
from ulfine.runner.dvc_lock import entries, lock_text, proves
from ulfine.runner.fingerprints import Tree
from ulfine.runner.jobs import Job, jobs
from ulfine.runner.provenance import FAILED, contradicts, difference, log_of

DONE, RUNNING, BROKEN, STALE, MISSING = STATES = ("done", "running", "failed", "stale", "missing")
SHOWN = 20  # jobs that are not done


@dataclass(frozen=True)
class State:
    """A job and how far it is."""

    job: Job
    name: str  # of STATES
    why: str = ""
    before: str | None = None  # the job before it that is not done, where nothing else is wrong with it
    by_dvc: bool = False  # done, as dvc.lock says, and no provenance yet


def states(tree: Tree) -> list[State]:
    """The state of every job of the grid, upstream first.

    What is right is told by provenance, and where there is none by dvc.lock: after a clone, a pull, a checkout.
    A job whose outputs are right is stale all the same when one before it is, as what that will leave is not known.
    """
    lock_text()  # refuses one that is half merged, also where provenance tells all
    recorded, found, open_outputs = cache(entries), [], {}
    for job in jobs():
        state = _state(job, tree, recorded)
        waits = next((open_outputs[path] for path in job.inputs if path in open_outputs), None)
        if state.name == DONE and waits:
            state = State(job, STALE, f"after {waits}", waits)
        if state.name != DONE:
            open_outputs |= dict.fromkeys(job.outputs, job.address)
        found.append(state)
    return found


def _state(job: Job, tree: Tree, recorded: Callable[[], dict[str, Any]]) -> State:
    log = log_of(job)
    who = holder(log)
    if who:
        return State(job, RUNNING, who)
    absent = [path for path in job.outputs if not Path(path).exists()]
    why = None if absent else difference(job, tree)
    if not absent and why is None:
        return State(job, DONE)
    if not absent and not contradicts(job, tree) and proves(recorded().get(job.address), job, tree):
        return State(job, DONE, by_dvc=True)
    failure = _failure(log)
    if failure:
        return State(job, BROKEN, f"{failure} ({log})")
    return State(job, MISSING, f"no {absent[0]}") if absent else State(job, STALE, why)


def _failure(log: Path) -> str | None:
    """The error in the log of a job whose last run failed."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[1:] if log.exists() else []
    return next((line.removeprefix(FAILED) for line in lines if line.startswith(FAILED)), None)


def table(found: Iterable[State]) -> str:
    """A line for each stage with the number of its jobs by state, then the first that are not done, with the reason."""
    found = list(found)
    counts: dict[str, Counter[str]] = {}
    for state in found:
        counts.setdefault(state.job.stage, Counter())[state.name] += 1
    width = max(map(len, counts), default=0)
    lines = []
    for stage, numbers in counts.items():
        lines.append(f"{stage:{width}}  {', '.join(f'{numbers[name]} {name}' for name in STATES if numbers[name])}")
    open_ = [state for state in found if state.name != DONE]
    shown = sorted(open_, key=lambda state: STATES.index(state.name))[:SHOWN]
    lines += ["", *(f"{state.name}: {state.job.address}: {state.why}" for state in shown)] if open_ else []
    lines += [f"and {len(open_) - SHOWN} more"] if len(open_) > SHOWN else []
    return "\n".join(lines)
