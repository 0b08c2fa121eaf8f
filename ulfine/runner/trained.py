"""A finished run, ready to classify new pictures as it classified its test pictures."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ulfine.arrays import read_tensors
from ulfine.config.baseline import BaselineConfig
from ulfine.config.train import TrainConfig
from ulfine.data.features import Features
from ulfine.data.folders import Scan
from ulfine.data.pictures import read
from ulfine.data.store import Store, open_store
from ulfine.files import folder_sha256, read_json
from ulfine.methods.zero_shot import zero_shot_logits
from ulfine.params.base import validated
from ulfine.params.dataset import Resize
from ulfine.params.names import NAMES, NO_BACKBONE
from ulfine.params.root import load
from ulfine.runner.cell import Cell
from ulfine.runner.jobs import PARAMS
from ulfine.runner.training import params_digest
from ulfine.training.batches import PREDICT_BATCH, PictureViews
from ulfine.training.device import prepare
from ulfine.training.encoder import load_encoder
from ulfine.training.inputs import Inputs
from ulfine.training.learner import Learner
from ulfine.training.predict import predict
from ulfine.training.run import new_learner
from ulfine.training.scratch import start_from_scratch
from ulfine.training.start import start_from_text

RUNS = Path("artifacts/runs")
AVERAGE = "average."  # begins the names of averaged weights, which are those that predict
Config = TrainConfig | BaselineConfig
Logits = dict[str, np.ndarray]  # (N, K) by classifier


@dataclass(frozen=True)
class Trained:
    """A run that was found to be what its record says."""

    classes: list[str]
    resolution: int  # side of the pictures that it takes, in pixels
    resize: Resize  # how pictures of another shape become square
    decides: str  # the classifier whose class is the prediction
    classify: Callable[[Iterator[np.ndarray]], Logits]  # batches of (B, side, side, 3) uint8

    def logits(self, files: Iterable[Path | str]) -> Logits:
        """Logits of picture files, in batches as the run had them: so they are the same, bit for bit.

        Raises:
            ValueError: a file cannot be read; the message has its name and the reason.
        """
        pictures = (read(path, self.resolution, self.resize) for path in files)
        return self.classify(map(np.stack, _batches(pictures)))


def load_run(folder: Path, device: str) -> Trained:
    """Load a run below artifacts/runs/, and what it stands on from the folders beside.

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
    where = prepare(config.runtime.model_copy(update={"device": device}))
    store, source = open_store(at.data), load(PARAMS).datasets[at.names["dataset"]].source
    return Trained(
        classes=store.classes,
        resolution=store.meta["resolution"],
        resize=source.resize if source.has_files else "shortest",
        decides=read_json(at.run / "run.json")["decides"]["test"],
        classify=_zero_shot(at, config, where) if config.train is None else _trained(at, config, store, where),
    )


def pictures(paths: Iterable[Path]) -> list[str]:
    """The picture files among `paths`, and in those that are folders, at any depth, in the order of their names.

    Raises:
        ValueError: a path is not there, or a folder holds none.
    """
    found: list[Iterable[str]] = []
    for path in paths:
        if path.is_dir():
            files = Scan(path).pictures(path)
            found.append(f"{files.folder}/{name}" for name in files.names)
        elif path.is_file():
            found.append([str(path)])
        else:
            raise ValueError(f"{path}: no such file or folder")
    return list(chain.from_iterable(found))


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


def _zero_shot(at: Cell, config: TrainConfig, device: torch.device) -> Callable[[Iterator[np.ndarray]], Logits]:
    import ulfine.models.lean  # noqa: F401 (before open_clip)

    from ulfine.models.backbone import load_image_tower

    tower = load_image_tower(at.backbone, config.backbone).to(device)
    tower.settle()
    text = Features(at.features).text("joint")

    @torch.inference_mode()
    def classify(batches: Iterator[np.ndarray]) -> Logits:
        joint = [tower.joint(tower.pooled(torch.from_numpy(batch).to(device))).cpu().numpy() for batch in batches]
        return {"text": zero_shot_logits(np.concatenate(joint), text)}

    return classify


def _trained(at: Cell, config: Config, store: Store, device: torch.device) -> Callable[[Iterator[np.ndarray]], Logits]:
    learner = _learner(at, config, store, device)

    def classify(batches: Iterator[np.ndarray]) -> Logits:
        found: dict[str, list[np.ndarray]] = {}
        for batch in batches:
            views = PictureViews(Store({"test": batch}, {}, {}), config.augmentation, device, learner.encoder.enlarge)
            every = np.arange(len(batch))
            logits = predict(learner, views, "test", every, config.train.test_crops, learner.all_logits)
            for name, values in logits.items():
                found.setdefault(name, []).append(values)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    return classify


def _learner(at: Cell, config: Config, store: Store, device: torch.device) -> Learner:
    """The learner with the weights that the run predicted with; what trained on cached features gets its tower."""
    split, method = read_json(at.split), config.method
    if isinstance(config, BaselineConfig):
        inputs = Inputs(store, None, None, split)
        start = start_from_scratch(inputs, method.scratch)
    else:
        inputs = Inputs(store, Features(at.features), config.backbone.feature_space, split)
        method = method.model_copy(update={"views": "fresh"}) if method.cached else method
        encoder = load_encoder(at.backbone, config.backbone, method, config.train, len(inputs.counts))
        start = start_from_text(inputs, config.train, lambda: encoder)
    learner = new_learner(inputs, lambda: start, method, config.train, at.names["seed"], device)
    weights = read_tensors(at.run / "weights.safetensors")
    weights |= {name.removeprefix(AVERAGE): weights.pop(name) for name in list(weights) if name.startswith(AVERAGE)}
    learner.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()}, strict=False)
    return learner


def _batches(found: Iterator[np.ndarray]) -> Iterator[list[np.ndarray]]:
    while batch := list(islice(found, PREDICT_BATCH)):
        yield batch
