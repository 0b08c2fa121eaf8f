"""What dvc.yaml declares, for everyone else: Snakemake's rules and the stages read it here instead of repeating it.

Paths are relative to the repository, where every command of the pipeline runs.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from ulfine.files import digest, read_json, write_json
from ulfine.params.base import read_yaml

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
NO_BACKBONE = "none"  # what stands for the backbone of a baseline from scratch
BASELINE = {"train": "baseline", "evaluate": "evaluate_baseline"}  # the same scripts, with fewer inputs
RESOLVED = Path(".snakemake/params")
NAMES = ("dataset", "setting", "backbone", "method", "seed")  # of a cell, in the order of its paths


@cache
def _stages() -> dict[str, Any]:
    return read_yaml(PIPELINE)["stages"]


def _name(stage: str, cell: dict[str, str | int]) -> str:
    return BASELINE.get(stage, stage) if cell.get("backbone") == NO_BACKBONE else stage


def _declaration(stage: str, cell: dict[str, str | int]) -> dict[str, Any]:
    return _stages()[_name(stage, cell)]


def manifest(stage: str, cell: dict[str, str | int]) -> Path:
    """The file with the hashes of the code that a stage depends on for one cell (ulfine/code.py)."""
    return Path(f"artifacts/code/{_name(stage, cell)}.json")


def parameters(stage: str, cell: dict[str, str | int]) -> dict[str, Any]:
    """The values of params.yaml that a stage is allowed to read for one cell, by dotted key.

    Raises:
        ValueError: params.yaml lacks a key.
    """
    values = read_yaml(PARAMS)
    keys = (
        re.sub(r"\$\{item\.(\w+)\}", lambda m: str(cell[m[1]]), key)
        for key in _declaration(stage, cell).get("params", [])
    )
    return {key: _value(values, key) for key in keys}


def _value(values: dict, key: str) -> Any:
    found = values
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            allowed = ", ".join(map(str, found)) if isinstance(found, dict) else "none"
            raise ValueError(f"{PARAMS}: {key}: no key {part!r} here (allowed: {allowed})")
        found = found[part]
    return found


def resolved(stage: str, cell: dict[str, str | int]) -> Path:
    """A file with these values, rewritten only when they change: what Snakemake watches instead of params.yaml.

    Every stage that runs calls this too, so that the file is right, and older than the outputs, after a run by DVC.
    Snakemake itself compares parameters only for outputs that it made (docs/engines.md).
    """
    values = parameters(stage, cell)
    names = [f"seed{cell[key]}" if key == "seed" else str(cell[key]) for key in NAMES if key in cell]
    path = RESOLVED.joinpath(stage, *names[:-1], f"{names[-1] if names else stage}.json")
    content = {"digest": digest(values), "values": values}
    if not path.exists() or read_json(path)["digest"] != content["digest"]:
        write_json(path, content)
    return path
