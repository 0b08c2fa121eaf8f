"""Provenance: what each output was made from. A stage writes it down when it is done, whichever engine started it.

DVC knows the same of what it ran itself (dvc.lock), Snakemake only times of files. With this, whether a result is right
can be told by content, after a switch of engines, a checkout or a copy.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ulfine.files import digest, read_json, write_json
from ulfine.runner.fingerprints import Tree, fingerprint
from ulfine.runner.jobs import Job

PROVENANCE = Path("artifacts/provenance")
LOGS = Path("artifacts/logs")
PROGRESS = Path("artifacts/progress")
DONE, STOPPED, FAILED = "done", "stopped", "failed: "  # how the line of a log begins that says how the job ended


def log_of(job: Job) -> Path:
    """Where the last run of a job says how it went; locked while it runs."""
    return job.file(LOGS, ".log")


def progress_of(job: Job) -> Path:
    """The file that says how far a job is while it runs."""
    return job.file(PROGRESS, ".json")


def origin(job: Job, tree: Tree | None = None) -> dict[str, Any]:
    """The configuration of a job, and the hashes of its inputs by path, if it started now."""
    tree = tree or Tree()
    found = {path: tree.fingerprint(path) for path in job.inputs}
    inputs = {path: print_ and print_.md5 for path, print_ in found.items()}
    return {"config": tree.values(job.config), "inputs": inputs}


def write_provenance(job: Job, made_from: dict[str, Any], usage: dict[str, Any] | None = None) -> None:
    """Write down what the outputs that are there were made from. usage: what that took and where, if known."""
    prints = {path: fingerprint(path) for path in job.outputs}
    outputs = {path: {"md5": found.md5, "files": found.files} for path, found in prints.items()}
    made = made_from | {"outputs": outputs, "command": job.command, "usage": usage}
    write_json(job.file(PROVENANCE, ".json"), made)


def read_provenance(job: Job) -> dict[str, Any] | None:
    """The provenance of a job's outputs, None where nothing is written down."""
    path = job.file(PROVENANCE, ".json")
    return read_json(path) if path.exists() else None


def difference(job: Job, tree: Tree) -> str | None:
    """Why the outputs of a job, which are there, are not what it would make now; None when they are."""
    before = read_provenance(job)
    if before is None:
        return "nothing says what it was made from"
    now = origin(job, tree)
    keys = changed(before["config"], now["config"])
    if keys:
        return f"parameters changed: {', '.join(keys)}"
    for path, md5 in now["inputs"].items():
        if before["inputs"].get(path) != md5:
            return f"{path} changed" if md5 else f"{path} is missing"
    if before["inputs"].keys() != now["inputs"].keys() or before["command"] != job.command:
        return "dvc.yaml changed"
    for path in job.outputs:
        found = tree.fingerprint(path)
        if found is None or before["outputs"][path]["md5"] != found.md5:
            return f"{path} is not what the stage left"
    return None


def contradicts(job: Job, tree: Tree) -> bool:
    """Whether the provenance is that of the outputs that are there, and names other parameters or inputs.

    Then nothing else can vouch for them: `dvc commit` writes down whatever is there. It may for other code, as an edit
    of code can leave every byte as it is.
    """
    before = read_provenance(job)
    if before is None:
        return False
    for path in job.outputs:
        left, found = before["outputs"].get(path), tree.fingerprint(path)
        if left is None or found is None or left["md5"] != found.md5:
            return False
    code = {job.code: None}
    return before["inputs"] | code != origin(job, tree)["inputs"] | code


def changed(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ; 2 and 2.0 do not."""
    if digest(before) == digest(now):  # nearly always, and a hash for each key would take longer than all else
        return []
    keys = []
    for key in sorted({*before, *now}):
        one, other = before.get(key), now.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            keys += changed(one, other, f"{prefix}{key}.")
        elif digest(one) != digest(other) or (key in before) != (key in now):
            keys.append(f"{prefix}{key}")
    return keys
