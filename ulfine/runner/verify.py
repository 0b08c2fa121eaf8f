"""Every artifact against the hashes that were taken when it was made."""

import json
from collections.abc import Iterator
from pathlib import Path

from ulfine.files import read_json
from ulfine.runner.dvc_lock import entries
from ulfine.runner.fingerprints import Fingerprint, Tree, fingerprint
from ulfine.runner.jobs import RESOLVE
from ulfine.runner.provenance import PROVENANCE
from ulfine.runner.states import DONE, states

CACHE = Path(".dvc/cache/files/md5")
Hashes = dict[str, list[Fingerprint]]  # by path of the output


def verify(tree: Tree) -> tuple[list[str], int]:
    """Read every artifact; returns what is wrong, a line for each file or job, and the number of files read.

    Artifacts of other grids are read too. Those of the present one are wrong as well when they are missing, or were
    made with other parameters, code or inputs than there are now.
    """
    wrong, files = {}, 0
    for path, expected in sorted(_expected().items()):
        found = fingerprint(path, afresh=True)
        if found is None:
            continue
        files += max(1, len(found.files))
        if found.md5 not in [each.md5 for each in expected]:
            wrong |= _named(path, found, expected[-1])
    problems = [f"{path}: {how}" for path, how in wrong.items()]
    for state in states(tree):
        touched = (*state.job.outputs, *state.job.inputs)
        follows = any(Path(path).is_relative_to(at) for path in wrong for at in touched)
        if state.name != DONE and state.before is None and not follows:
            problems.append(f"{state.job.address}: {state.name}: {state.why}")
    return problems, files


def _expected() -> Hashes:
    """The expected content of outputs, by dvc.lock and by provenance; the latter last, as it knows files in folders."""
    found: Hashes = {}
    for address, entry in entries().items():
        if address != RESOLVE:
            for out in entry.get("outs", ()):
                found.setdefault(out["path"], []).append(Fingerprint(out["md5"], _cached_listing(out["md5"])))
    for path, print_ in _written_down():
        found.setdefault(path, []).append(print_)
    return found


def _written_down() -> Iterator[tuple[str, Fingerprint]]:
    for file in sorted(PROVENANCE.rglob("*.json")):
        for path, output in read_json(file)["outputs"].items():
            yield path, Fingerprint(output["md5"], output["files"])


def _cached_listing(md5: str) -> dict[str, str]:
    """The files of a folder, where DVC's cache has them."""
    listing = CACHE / md5[:2] / md5[2:]
    if not md5.endswith(".dir") or not listing.exists():
        return {}
    return {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text(encoding="utf-8"))}


def _named(path: str, found: Fingerprint, expected: Fingerprint) -> dict[str, str]:
    """Name the files inside `path` that differ, or `path` itself where it has none or none are known."""
    if not found.files or not expected.files:
        return {path: _how(found.md5, expected.md5)}
    return {
        f"{path}/{inside}": _how(found.files.get(inside), expected.files.get(inside))
        for inside in sorted({*found.files, *expected.files})
        if found.files.get(inside) != expected.files.get(inside)
    }


def _how(now: str | None, then: str | None) -> str:
    if now is None:
        return "is missing"
    return f"has changed: md5 {now}, expected {then}" if then else "was not there when the stage ended"
