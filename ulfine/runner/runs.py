"""Finished runs, found by their folders and proved by their records, with what they stand on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ulfine.arrays import read_tensors
from ulfine.config.baseline import BaselineConfig
from ulfine.config.train import TrainConfig
from ulfine.data.features import Features
from ulfine.data.store import Store, open_store
from ulfine.files import folder_sha256, read_json
from ulfine.params.base import validated
from ulfine.params.names import NAMES, NO_BACKBONE
from ulfine.params.root import Dataset, load
from ulfine.runner.cell import Cell
from ulfine.runner.jobs import PARAMS
from ulfine.runner.training import params_digest
from ulfine.training.average import AVERAGE
from ulfine.training.device import prepare
from ulfine.training.encoder import load_encoder
from ulfine.training.inputs import Inputs
from ulfine.training.learner import Learner
from ulfine.training.run import new_learner
from ulfine.training.scratch import start_from_scratch
from ulfine.training.start import start_from_text

RUNS = Path("artifacts/runs")


@dataclass(frozen=True)
class Run:
    """A run that was found to be what its record says."""

    at: Cell
    record: dict[str, Any]  # results/cells/…/record.json
    config: TrainConfig | BaselineConfig  # by which it was trained
    store: Store
    dataset: Dataset

    @property
    def decides(self) -> str:
        """The classifier whose class is the prediction."""
        return read_json(self.at.run / "run.json")["decides"]["test"]

    @property
    def resize(self) -> str:
        """How pictures of another shape become square."""
        return self.dataset.source.resize if self.dataset.source.has_files else "shortest"

    @property
    def tower(self) -> bool:
        """Whether it stands on a tower."""
        return isinstance(self.config, TrainConfig)

    def prepare(self, device: str) -> torch.device:
        """Set threads as the run had them, and determinism, and return the device."""
        return prepare(self.config.runtime.model_copy(update={"device": device}))

    def inputs(self, space: str | None) -> Inputs:
        """What it read. space: in which its classifiers work; None without a tower."""
        features = Features(self.at.features) if self.tower else None
        return Inputs(self.store, features, space, read_json(self.at.split))

    def weights(self) -> dict[str, torch.Tensor]:
        """What was trained, by the names of a learner; averaged weights, which predict, in the place of the others."""
        weights = read_tensors(self.at.run / "weights.safetensors")
        weights |= {name.removeprefix(AVERAGE): weights.pop(name) for name in list(weights) if name.startswith(AVERAGE)}
        return {name: torch.from_numpy(value) for name, value in weights.items()}


def find_run(folder: Path) -> Run:
    """Find a run below artifacts/runs/, and what it stands on in the folders beside.

    Raises:
        ValueError: this is no folder of a run; nothing says by which parameters it was trained; pictures, towers, text
            or split are not those that it was trained with.
        OSError: something that it stands on is not here.
    """
    at = _cell(folder)
    record = _record(at)
    kind = BaselineConfig if at.names["backbone"] == NO_BACKBONE else TrainConfig
    config = validated(kind, record["parameters"], f"{at.record}: parameters: ")
    if params_digest(at, config.as_json()) != record["params_digest"]:
        raise ValueError(
            f"{folder}: was trained on other pictures, towers, text or counts than those that are here; "
            "`dvc checkout` brings what belongs together"
        )
    store = open_store(at.data)
    return Run(at, record, config, store, load(PARAMS).datasets[at.names["dataset"]])


def load_learner(run: Run, device: torch.device) -> Learner:
    """The learner as it predicted; what trained on cached features gets its tower."""
    config, method = run.config, run.config.method
    if isinstance(config, BaselineConfig):
        inputs = run.inputs(None)
        start = start_from_scratch(inputs, method.scratch)
    else:
        inputs = run.inputs(config.backbone.feature_space)
        method = method.model_copy(update={"views": "fresh"}) if method.cached else method
        encoder = load_encoder(run.at.backbone, config.backbone, method, config.train, len(inputs.counts))
        start = start_from_text(inputs, config.train, lambda: encoder)
    learner = new_learner(inputs, lambda: start, method, config.train, run.at.names["seed"], device)
    learner.load_state_dict(run.weights(), strict=False)
    return learner


def _cell(folder: Path) -> Cell:
    """The cell of a run, by its path."""
    whole, runs = folder.resolve(), RUNS.resolve()
    names = whole.relative_to(runs).parts if whole.is_relative_to(runs) else ()
    seed = names[-1].removeprefix("seed") if len(names) == len(NAMES) else ""
    if not (seed.isdecimal() and folder.is_dir()):
        raise ValueError(f"{folder}: not a run (allowed: a folder {RUNS}/DATASET/SPLIT/BACKBONE/METHOD/seedN)")
    return Cell(**dict(zip(NAMES, (*names[:-1], int(seed)), strict=True)))


def _record(at: Cell) -> dict[str, Any]:
    """What is written down about this very run."""
    run = folder_sha256(at.run)
    for path in (at.record, at.noted(run)):
        if path.exists() and (found := read_json(path)).get("run") == run and "parameters" in found:
            return found
    raise ValueError(f"{at.run}: nothing says by which parameters this run was trained ({at.record} is of another one)")
