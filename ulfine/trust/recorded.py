"""What DVC has recorded in dvc.lock, and how it is mended after a kill.

DVC rewrites dvc.lock in place after every stage. A kill meanwhile leaves half of it, which DVC then refuses to read.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from ulfine.files import write_text
from ulfine.git import git
from ulfine.jobs import CHECKED, Job
from ulfine.trust.receipts import Look, changed

DVC_LOCK = Path("dvc.lock")
ASIDE = Path(".dvc/tmp/dvc.lock.damaged")
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the file has thousands of lines


def entries() -> dict[str, dict[str, Any]]:
    """What is recorded, by address of the stage.

    Raises:
        ValueError: the file is damaged.
    """
    if not DVC_LOCK.exists():
        return {}
    found = _sound(DVC_LOCK.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{DVC_LOCK}: damaged, by a kill while DVC wrote it; mend it with `python -m ulfine unlock`")
    return found


def mend() -> str | None:
    """Save what can be saved of a damaged dvc.lock; says so, or None when nothing is wrong.

    These are the stages before the cut, and of the others what the committed file has of them. What DVC then misses it
    restores from its run-cache, and what Snakemake made `record` writes again.
    """
    if not DVC_LOCK.exists():
        return None
    text = DVC_LOCK.read_text(encoding="utf-8")
    if _sound(text) is not None:
        return None
    *_, last = re.finditer(r"^  \S", f"  .{text}", re.MULTILINE)  # where the stage begins that was cut off
    committed = _sound(git("show", f"HEAD:./{DVC_LOCK}") or "") or {}
    saved = committed | (_sound(text[: max(0, last.start() - 3)]) or {})
    ASIDE.parent.mkdir(parents=True, exist_ok=True)
    write_text(ASIDE, text)
    write_text(DVC_LOCK, yaml.safe_dump({"schema": "2.0", "stages": saved}, sort_keys=False))
    return f"{DVC_LOCK}: was damaged; {len(saved)} stages could be saved, and what was there is in {ASIDE}"


def _sound(text: str) -> dict[str, dict[str, Any]] | None:
    """The stages in the text of dvc.lock, None when DVC would refuse it."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # half a second, and seldom needed
    from voluptuous import Invalid

    try:
        content = yaml.load(text, Loader)  # noqa: S506 (a safe loader)
        return COMPILED_LOCKFILE_SCHEMA(content).get("stages", {})
    except (yaml.YAMLError, Invalid, ValueError):
        return None


def proves(entry: dict[str, Any], job: Job, look: Look) -> bool:
    """Whether dvc.lock says that what is there now was made by this job, from what is there now."""
    watched = {path["path"]: path["md5"] for path in entry.get("deps", ()) if path["path"] != CHECKED}
    hashes = watched | {path["path"]: path["md5"] for path in entry.get("outs", ())}
    recorded = {key: value for values in entry.get("params", {}).values() for key, value in values.items()}
    known = all(any(path == at or path.startswith(f"{at}/") for at in hashes) for path in (*job.inputs, *job.outputs))
    if entry["cmd"] != job.command or not known or changed(recorded, job.parameters):
        return False
    return all((found := look(path)) is not None and found.md5 == md5 for path, md5 in hashes.items())
