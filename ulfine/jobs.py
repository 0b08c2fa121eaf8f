"""Jobs, the nodes of the graph: one stage for one cell, as dvc.yaml declares it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ulfine.pipeline import PARAMS, declared, filled, parameter_values, parameters, stages, value

CHECKED = "artifacts/params.ok"  # says nothing about what was made after it
EACH_TIME = ("manifest", "check")  # stages whose outputs are brought up to date before anyone looks at them


@dataclass(frozen=True)
class Job:
    """One stage for one cell, with paths relative to the repository."""

    stage: str  # as dvc.yaml calls it
    names: tuple[tuple[str, str], ...]  # of its cell, in the order of the matrix
    command: str
    inputs: tuple[str, ...]  # files and folders
    outputs: tuple[str, ...]

    @property
    def address(self) -> str:
        """What DVC calls it: train@fashion-mnist-mini-consistent-lite0-minilm-lp-0."""
        cell = "-".join(value for _, value in self.names)
        return f"{self.stage}@{cell}" if cell else self.stage

    @property
    def parameters(self) -> dict[str, Any]:
        """The values in params.yaml that it may read, by dotted key."""
        return parameters(self.stage, dict(self.names))

    def file(self, folder: Path, suffix: str) -> Path:
        """A file about this job in `folder`: {stage}/{dataset}/…/seed{seed}{suffix}."""
        parts = [f"seed{value}" if key == "seed" else value for key, value in self.names] or [self.stage]
        return folder.joinpath(self.stage, *parts[:-1], f"{parts[-1]}{suffix}")


def job(stage: str, cell: dict[str, str | int]) -> Job:
    """The job of a script of stages/ for one cell, which need not be of the grid."""
    name = declared(stage, cell)
    matrix = stages()[name].get("matrix", ())
    if matrix or name in EACH_TIME:
        return _job(name, {key: str(cell[key]) for key in matrix}, ())
    return next(each for each in _all() if each.stage == name)  # what it reads depends on the grid


def jobs() -> list[Job]:
    """All jobs of the grid in params.yaml but `manifest` and `check`, each after those whose outputs it reads.

    Raises:
        ValueError: params.yaml lacks a key.
    """
    return [each for each in _all() if each.stage not in EACH_TIME]


def _all() -> list[Job]:
    values, found, made = parameter_values(), [], []
    for name in stages():
        matrix = {key: _listed(values, text) for key, text in stages()[name].get("matrix", {}).items()}
        for cell in product(*matrix.values()):
            found.append(_job(name, dict(zip(matrix, cell, strict=True)), () if matrix else made))
            made += found[-1].outputs
    return found


def _listed(values: dict[str, Any], reference: str) -> list[str]:
    """The list that ${grid.key} stands for."""
    key = reference.removeprefix("${").removesuffix("}")
    found = value(values, key)
    if not isinstance(found, list):
        raise ValueError(f"{PARAMS}: {key} = {found!r}: expected a list")
    return [str(each) for each in found]


def _job(name: str, cell: dict[str, str], made: Sequence[str]) -> Job:
    """made: outputs of earlier jobs, where an input may be a folder that stands for those inside."""

    def path_of(text: str) -> str:
        text = filled(text, cell)
        return text.replace("${study}", str(value(parameter_values(), "study"))) if "${study}" in text else text

    stage = stages()[name]
    inputs = []
    for path in map(path_of, stage["deps"]):
        inside = [output for output in made if output.startswith(f"{path}/")]
        inputs += inside or [path]
    outs = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, ())]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in outs]  # path: {cache: false}
    kept = tuple(path for path in inputs if path != CHECKED)
    return Job(name, tuple(cell.items()), filled(stage["cmd"], cell), kept, tuple(map(path_of, outs)))
