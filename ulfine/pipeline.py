"""What dvc.yaml declares, for everyone else: Snakemake's rules and the stages read it here instead of repeating it.

Paths are relative to the repository, where every command of the pipeline runs.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ulfine.params.base import read_yaml

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
NO_BACKBONE = "none"  # what stands for the backbone of a baseline from scratch
BASELINE = {  # the same scripts, with fewer inputs
    "recipe": "recipe_baseline",
    "train": "baseline",
    "evaluate": "evaluate_baseline",
}
NAMES = ("dataset", "setting", "backbone", "method", "seed")  # of a cell, in the order of its paths


@cache
def stages() -> dict[str, Any]:
    """The stages of dvc.yaml, in an order in which each comes after those that it depends on."""
    return read_yaml(PIPELINE)["stages"]


def declared(script: str, cell: Mapping[str, str | int]) -> str:
    """What dvc.yaml calls the stage of a script for a cell."""
    return BASELINE.get(script, script) if cell.get("backbone") == NO_BACKBONE else script


def manifest(script: str, cell: Mapping[str, str | int]) -> Path:
    """The file with the hashes of the code that a stage depends on for one cell (ulfine/code.py)."""
    return Path(f"artifacts/code/{declared(script, cell)}.json")


def parameter_values() -> Mapping[str, Any]:
    """The content of params.yaml as it is now; not to be changed.

    Raises:
        ValueError: it cannot be read as one mapping.
    """
    return read_yaml(PARAMS)


def parameters(stage: str, cell: Mapping[str, str | int]) -> dict[str, Any]:
    """The values of params.yaml that a stage is allowed to read for one cell, by dotted key.

    Raises:
        ValueError: params.yaml lacks a key.
    """
    values = parameter_values()
    keys = stages()[declared(stage, cell)].get("params", [])
    return {key: value(values, key) for key in (filled(key, cell) for key in keys)}


def filled(text: str, cell: Mapping[str, str | int]) -> str:
    """`text` with the names of a cell in the places of ${item.…}."""
    return re.sub(r"\$\{item\.(\w+)\}", lambda found: str(cell[found[1]]), text)


def value(values: Mapping[str, Any], key: str) -> Any:
    """What stands in params.yaml under a dotted key.

    Raises:
        ValueError: nothing does.
    """
    found = values
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            allowed = ", ".join(map(str, found)) if isinstance(found, dict) else "none"
            raise ValueError(f"{PARAMS}: {key}: no key {part!r} here (allowed: {allowed})")
        found = found[part]
    return found
