"""Train one cell, or for a zero-shot cell just classify.

reads   artifacts/data/{dataset}/, artifacts/backbones/{backbone}/, its split, artifacts/features/{dataset}/{backbone}/
writes  artifacts/runs/{dataset}/{setting}/{backbone}/{method}/seed{seed}/: logits.safetensors, weights.safetensors,
        history.csv, pseudo_labels.csv, run.json; the same bytes for the same inputs
        artifacts/records/{dataset}/{setting}/{backbone}/{method}/seed{seed}.json: time, memory, device, versions
"""

from ulfine.stage import stage

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ulfine.arrays import write_tensors
from ulfine.cell import Cell, cell
from ulfine.data.features import META, Features
from ulfine.data.store import open_store
from ulfine.files import digest, new_folder, read_json, sha256, write_csv, write_json
from ulfine.pipeline import code
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.device import prepare
from ulfine.training.record import make_record
from ulfine.training.run import Inputs, Result, train, zero_shot

if TYPE_CHECKING:
    from ulfine.models.tower import ImageTower


@stage
def main(dataset: str, setting: str, backbone: str, method: str, seed: int) -> None:
    at = cell("train", dataset=dataset, setting=setting, backbone=backbone, method=method, seed=seed)
    device = prepare(at.params.runtime)
    space = at.params.backbone.feature_space
    inputs = Inputs(open_store(at.data), Features(at.features), space, read_json(at.split))
    checkpoint = Checkpoint(Path("artifacts/checkpoints") / f"{checkpoint_key(at)}.pt", device)
    if at.params.method.tune == "none":
        result = zero_shot(inputs)
    else:
        result = train(
            inputs,
            load_tower=lambda: load_tower(at),
            method=at.params.method,
            options=at.params.train,
            augmentation=at.params.augmentation,
            seed=seed,
            device=device,
            checkpoint=checkpoint,
        )
    write_run(at, inputs.split, result)
    write_json(at.record, make_record(device, result.cost))
    checkpoint.remove()


def load_tower(at: Cell) -> "ImageTower":
    """The image tower; open_clip takes seconds to import, and linear probing does without."""
    from ulfine.models.backbone import load_image_tower

    return load_image_tower(at.backbone, at.params.backbone)


def checkpoint_key(at: Cell) -> str:
    """A digest of all that the run depends on: parameters, split, features (hence pictures and towers), and code."""
    sources = {path: sha256(Path(path)) for path in code("train")}
    inputs = [sha256(at.split), sha256(at.features / META), str(torch.__version__)]
    return digest([at.params.values, at.names, inputs, sources])


def params_digest(at: Cell, split: dict) -> str:
    """What all seeds of a cell share: parameters of the training, counts of the split, pictures and towers."""
    counts = {name: numbers and sorted(numbers) for name, numbers in split["counts"].items()}
    return digest([at.params.values, counts, read_json(at.features / META)])


def write_run(at: Cell, split: dict, result: Result) -> None:
    """Write everything that is deterministic."""
    with new_folder(at.run) as folder:
        write_tensors(folder / "logits.safetensors", result.logits)
        write_tensors(folder / "weights.safetensors", result.weights)
        for name, rows in (("history", result.history), ("pseudo_labels", result.class_history)):
            if rows:  # zero-shot has none
                write_csv(folder / f"{name}.csv", rows)
        stand_in = at.params.backbone.pretrained == "embedded"
        origin = {"params_digest": params_digest(at, split), "stand_in": stand_in}
        write_json(folder / "run.json", result.summary | origin)


if __name__ == "__main__":
    main()
