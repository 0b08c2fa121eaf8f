"""Receipts: what each output was made from. A stage writes one when it is done, whichever engine started it.

DVC knows the same of what it ran itself (dvc.lock), Snakemake only times of files. With receipts, whether a result is
right can be told by content, after a switch of engines, a checkout or a copy.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ulfine.files import digest, read_json, write_json, write_together
from ulfine.jobs import Job
from ulfine.pipeline import manifest
from ulfine.trust.fingerprints import Fingerprint, fingerprint

RECEIPTS = Path("artifacts/receipts")
TICKETS = Path(".snakemake/params")
LOGS = Path("artifacts/logs")
DONE, STOPPED, FAILED = "done", "stopped", "failed: "  # how the second line of a log begins
Look = Callable[[str], Fingerprint | None]


def log_of(job: Job) -> Path:
    """Where the last run of a job says how it went; locked while it runs."""
    return job.file(LOGS, ".log")


def origin(job: Job, look: Look = fingerprint) -> dict[str, Any]:
    """What a job that started now would make its outputs from: parameters by key, hashes of inputs by path."""
    found = {path: look(path) for path in job.inputs}
    return {"parameters": job.parameters, "inputs": {path: print_ and print_.md5 for path, print_ in found.items()}}


def write_receipt(job: Job, made_from: dict[str, Any]) -> None:
    """Say of the outputs that are there what they were made from."""
    prints = {path: fingerprint(path) for path in job.outputs}
    outputs = {path: {"md5": found.md5, "files": found.files} for path, found in prints.items()}
    write_json(job.file(RECEIPTS, ".json"), made_from | {"outputs": outputs, "command": job.command})


def read_receipt(job: Job) -> dict[str, Any] | None:
    """The receipt of a job, None where there is none."""
    path = job.file(RECEIPTS, ".json")
    return read_json(path) if path.exists() else None


def difference(job: Job, look: Look = fingerprint) -> str | None:
    """Why the outputs of a job, which are there, are not what it would make now; None when they are."""
    receipt = read_receipt(job)
    if receipt is None:
        return "nothing says what it was made from"
    now = origin(job, look)
    keys = changed(receipt["parameters"], now["parameters"])
    if keys:
        return f"parameters changed: {', '.join(keys)}"
    for path, md5 in now["inputs"].items():
        if receipt["inputs"].get(path) != md5:
            return f"{path} changed" if md5 else f"{path} is missing"
    if receipt["inputs"].keys() != now["inputs"].keys() or receipt["command"] != job.command:
        return "dvc.yaml changed"
    for path in job.outputs:
        found = look(path)
        if found is None or receipt["outputs"][path]["md5"] != found.md5:
            return f"{path} is not what the stage left"
    return None


def contradicts(job: Job, look: Look = fingerprint) -> bool:
    """Whether the receipt knows the outputs that are there, and that they come from other parameters or inputs.

    Then no one else can vouch for them: `dvc commit` writes down whatever is there. It may for another code, as an edit
    of code can leave every byte as it is.
    """
    receipt = read_receipt(job)
    if receipt is None:
        return False
    for path in job.outputs:
        left, found = receipt["outputs"].get(path), look(path)
        if left is None or found is None or left["md5"] != found.md5:
            return False
    now, code = origin(job, look), {str(manifest(job.stage, {})): None}
    return receipt["inputs"] | code != now["inputs"] | code or bool(changed(receipt["parameters"], now["parameters"]))


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


def ticket(job: Job, again: int = 0) -> Path:
    """The file with the parameters of a job that Snakemake takes as its input; rewritten only when they change.

    again: any number that was not there before lets Snakemake make the outputs again; a new time alone would not, as
    it compares the content of small files.
    """
    path = job.file(TICKETS, ".json")
    values = job.parameters
    content = {"again": again, "digest": digest(values), "values": values}
    if again or not path.exists() or read_json(path)["digest"] != content["digest"]:
        write_together(path, content)
    return path
