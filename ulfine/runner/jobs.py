"""Jobs, the nodes of the graph: one stage for one cell, as dvc.yaml declares it.

Paths are relative to the repository, where every command of the pipeline runs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from ulfine.params.base import read_yaml
from ulfine.params.names import NO_BACKBONE

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
CONFIG = Path("artifacts/config")  # resolved configurations, one for each job that has parameters
CODE = Path("artifacts/code")  # hashes of the science that each script depends on
RESOLVE = "resolve"  # the stage that writes both; they are brought up to date before anyone looks at the others
TRAININGS = ("train", "baseline")  # the stages that train one cell
EVALUATE_BASELINE = "evaluate_baseline"  # the script `evaluate` again, as a matrix of DVC is a regular product


@dataclass(frozen=True)
class Job:
    """One stage for one cell."""

    stage: str  # as dvc.yaml calls it
    names: tuple[tuple[str, str], ...]  # of its cell, in the order of the matrix
    command: str
    inputs: tuple[str, ...]  # files and folders
    outputs: tuple[str, ...]

    @property
    def address(self) -> str:
        """Its name in DVC: train@fashion-mnist-mini-consistent-lite0-minilm-lp-0."""
        cell = "-".join(value for _, value in self.names)
        return f"{self.stage}@{cell}" if cell else self.stage

    @property
    def config(self) -> str | None:
        """The file with its configuration; None for a job without parameters."""
        return next((path for path in self.inputs if path.startswith(f"{CONFIG}/")), None)

    @property
    def code(self) -> str | None:
        """The file with the hashes of the science it depends on; None for `resolve`."""
        return next((path for path in self.inputs if path.startswith(f"{CODE}/")), None)

    def file(self, folder: Path, suffix: str) -> Path:
        """A file about this job in `folder`: {stage}/{dataset}/…/seed{seed}{suffix}."""
        parts = [f"seed{value}" if key == "seed" else value for key, value in self.names]
        return folder.joinpath(self.stage, *parts).with_name(f"{[self.stage, *parts][-1]}{suffix}")


def job(script: str, cell: Mapping[str, str | int]) -> Job:
    """The job of a script of stages/ for one cell, which need not be in the grid."""
    name = EVALUATE_BASELINE if script == "evaluate" and cell["backbone"] == NO_BACKBONE else script
    matrix = _stages()[name].get("matrix", ())
    if matrix or name == RESOLVE:
        return _job(name, {key: str(cell[key]) for key in matrix}, ())
    return next(each for each in jobs() if each.stage == name)  # its inputs depend on the grid


def jobs() -> list[Job]:
    """All jobs of the grid in params.yaml but `resolve`, each after those whose outputs it reads.

    Raises:
        ValueError: params.yaml lacks a key.
    """
    values, found, made = read_yaml(PARAMS), [], []
    for name in _stages():
        matrix = {key: _listed(values, text) for key, text in _stages()[name].get("matrix", {}).items()}
        for cell in product(*matrix.values()) if name != RESOLVE else ():
            found.append(_job(name, dict(zip(matrix, cell, strict=True)), () if matrix else made))
            made += found[-1].outputs
    return found


@cache
def _stages() -> dict[str, Any]:
    """The stages of dvc.yaml, each after those that it depends on."""
    return read_yaml(PIPELINE)["stages"]


def _listed(values: dict[str, Any], reference: str) -> list[str]:
    """The list that ${grid.key} stands for."""
    _, key = reference.strip("${}").split(".")
    grid = _value(values, "grid")
    if not isinstance(grid, dict) or not isinstance(grid.get(key), list):
        found = grid.get(key) if isinstance(grid, dict) else grid
        raise ValueError(f"{PARAMS}: grid.{key} = {found!r}: expected a list")
    return [str(each) for each in grid[key]]


def _value(values: dict[str, Any], key: str) -> Any:
    if key not in values:
        raise ValueError(f"{PARAMS}: lacks the key {key}")
    return values[key]


def _job(name: str, cell: dict[str, str], made: Sequence[str]) -> Job:
    """made: outputs of earlier jobs, where an input may be a folder that stands for those inside."""

    def path_of(text: str) -> str:
        text = _filled(text, cell)
        return text.replace("${study}", str(_value(read_yaml(PARAMS), "study"))) if "${study}" in text else text

    stage = _stages()[name]
    inputs = []
    for path in map(path_of, stage["deps"]):
        inside = [output for output in made if output.startswith(f"{path}/")]
        inputs += inside or [path]
    outs = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, ())]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in outs]  # path: {cache: false}
    return Job(name, tuple(cell.items()), _filled(stage["cmd"], cell), tuple(inputs), tuple(map(path_of, outs)))


def _filled(text: str, cell: Mapping[str, str]) -> str:
    """`text` with the names of a cell in the places of ${item.…}."""
    return re.sub(r"\$\{item\.(\w+)\}", lambda found: cell[found[1]], text)
