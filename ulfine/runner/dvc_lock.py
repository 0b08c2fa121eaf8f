"""Reads dvc.lock, and mends it after a kill.

DVC rewrites dvc.lock in place after every stage. A kill meanwhile leaves half of it, which DVC then refuses to read.
"""

import re
from pathlib import Path
from typing import Any

from ulfine.files import merge_mark, write_text
from ulfine.git import git
from ulfine.runner.fingerprints import Tree
from ulfine.runner.jobs import Job

DVC_LOCK = Path("dvc.lock")
ASIDE = Path(".dvc/tmp/dvc.lock.damaged")


def entries() -> dict[str, dict[str, Any]]:
    """The entries of dvc.lock, by address of the stage.

    Raises:
        ValueError: the file is damaged, or half merged.
    """
    text = lock_text()
    if text is None:
        return {}
    found = _sound(text)
    if found is None:
        raise ValueError(f"{DVC_LOCK}: damaged, by a kill while DVC wrote it; mend it with `ulfine preflight`")
    return found


def mend() -> str | None:
    """Save what can be saved of a damaged dvc.lock; says so, or None when nothing is wrong.

    These are the stages before the cut, and of the others what the committed file has of them. What DVC then misses it
    restores from its run-cache, and what Snakemake made `ulfine commit` writes again.

    Raises:
        ValueError: it is not damaged but half merged, and only its users know which side to take.
    """
    from dvc.utils.serialize import dumps_yaml  # DVC's own YAML, which has 1e-05 for a number

    text = lock_text()
    if text is None or _sound(text) is not None:
        return None
    *_, last = re.finditer(r"^  \S", f"  .{text}", re.MULTILINE)  # where the stage begins that was cut off
    committed = _sound(git("show", f"HEAD:./{DVC_LOCK}") or "") or {}
    saved = committed | (_sound(text[: max(0, last.start() - 3)]) or {})
    ASIDE.parent.mkdir(parents=True, exist_ok=True)
    write_text(ASIDE, text)
    write_text(DVC_LOCK, dumps_yaml({"schema": "2.0", "stages": saved}))
    return f"{DVC_LOCK}: was damaged; {len(saved)} stages could be saved, and what was there is in {ASIDE}"


def lock_text() -> str | None:
    """The text of dvc.lock, damaged or not; None without one.

    Raises:
        ValueError: git has left both sides of a merge in it.
    """
    if not DVC_LOCK.exists():
        return None
    text = DVC_LOCK.read_text(encoding="utf-8")
    line = merge_mark(text)
    if line:
        raise ValueError(
            f"{DVC_LOCK}: line {line} is a mark of a merge; take one side whole (`git checkout --ours {DVC_LOCK}`, or "
            "--theirs), and the same command again makes what it lacks"
        )
    return text


def _sound(text: str) -> dict[str, dict[str, Any]] | None:
    """The stages in the text of dvc.lock, None when DVC would refuse it."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # half a second, and seldom needed
    from dvc.utils.serialize import ParseError, parse_yaml
    from voluptuous import Invalid

    try:
        return COMPILED_LOCKFILE_SCHEMA(parse_yaml(text, DVC_LOCK)).get("stages", {})
    except (ParseError, Invalid, ValueError):
        return None


def proves(entry: dict[str, Any] | None, job: Job, tree: Tree) -> bool:
    """Whether dvc.lock says that what is there now was made by this job, from what is there now.

    entry: what it says of the job; None when it says nothing.
    """
    if entry is None or entry["cmd"] != job.command:
        return False
    hashes = {path["path"]: path["md5"] for kind in ("deps", "outs") for path in entry.get(kind, ())}
    known = all(any(Path(path).is_relative_to(at) for at in hashes) for path in (*job.inputs, *job.outputs))
    return known and all((found := tree.fingerprint(path)) and found.md5 == md5 for path, md5 in hashes.items())
