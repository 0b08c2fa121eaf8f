"""The work around every training: a checkpoint of its own, and a run with the record of its cost."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ulfine.data.features import META, TEXT
from ulfine.files import digest, folder_sha256, new_folder, read_json, sha256, write_json
from ulfine.params.base import Section
from ulfine.params.names import NO_BACKBONE
from ulfine.runner.cell import Cell
from ulfine.runner.jobs import CODE
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.record import make_record

if TYPE_CHECKING:
    from ulfine.training.run import Result


def checkpoint_of(script: str, at: Cell, config: Section, inputs: Iterable[Path], device: torch.device) -> Checkpoint:
    """The checkpoint whose name is a digest of all that a training depends on: configuration, cell, inputs, code."""
    hashes = [sha256(path) for path in (*inputs, CODE / f"{script}.json")]
    name = digest([script, config.as_json(), at.names, hashes, str(torch.__version__)])
    return Checkpoint(Path("artifacts/checkpoints") / f"{name}.pt", device)


def keep(at: Cell, config: Section, result: "Result", device: torch.device, *, stand_in: bool) -> None:
    """Write the run and the record of its cost."""
    values = config.as_json()
    asked = {"cell": at.names, "parameters": values, "params_digest": params_digest(at, values)}
    with new_folder(at.run) as folder:
        result.write(folder, {"params_digest": asked["params_digest"], "stand_in": stand_in})
        run = folder_sha256(folder)
        write_json(at.noted(run), make_record(device, result.cost, asked | {"run": run}))


def _identity(at: Cell) -> list[Any]:
    """What identifies pictures, and with a backbone its towers and what the text tower is told, by their hashes."""
    pictures = read_json(at.data / "meta.json")
    if at.names["backbone"] == NO_BACKBONE:
        return [pictures]
    return [pictures, read_json(at.backbone / "meta.json"), read_json(at.features / META)["sha256"][TEXT]]


def params_digest(at: Cell, values: dict[str, Any]) -> str:
    """A digest that all seeds of a cell share: configuration, counts of the split, pictures, towers, and text."""
    split = read_json(at.split)
    order = split["class_order"]
    counts = {name: numbers and [numbers[k] for k in order] for name, numbers in split["counts"].items()}
    pool = len(split["indices"]["unlabeled"])  # with the copies of labeled pictures, which are not counted above
    return digest([values, counts, pool, _identity(at)])
