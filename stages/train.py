"""Train one cell, or for a zero-shot cell just classify. A baseline from scratch has the backbone `none`.

reads   artifacts/recipes/{dataset}/{backbone}/{method}.json, artifacts/data/{dataset}/, its split; with a backbone
        artifacts/backbones/{backbone}/ and artifacts/features/{dataset}/{backbone}/
writes  artifacts/runs/{dataset}/{setting}/{backbone}/{method}/seed{seed}/: logits.safetensors, weights.safetensors,
        cosines.safetensors, history.csv, pseudo_labels.csv, classifiers.csv, run.json, and with `validate_every`
        validation.csv; the same bytes for the same inputs
        artifacts/records/{dataset}/{setting}/{backbone}/{method}/seed{seed}.json: time, memory, device, versions; no
        output for the engines, which would take other seconds for another result: `evaluate` keeps it
"""

from ulfine.stage import require_threads, stage

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ulfine.arrays import write_tensors
from ulfine.cell import Cell, cell
from ulfine.data.features import META, Features
from ulfine.data.store import open_store
from ulfine.files import digest, folder_sha256, new_file, new_folder, read_json, sha256, write_csv, write_json
from ulfine.pipeline import NO_BACKBONE, manifest
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.device import prepare
from ulfine.training.inputs import Inputs
from ulfine.training.record import make_record
from ulfine.training.run import Result, train, zero_shot

if TYPE_CHECKING:
    from ulfine.models.tower import ImageTower


@stage
def main(dataset: str, setting: str, backbone: str, method: str, seed: int) -> None:
    at = cell("train", dataset=dataset, setting=setting, backbone=backbone, method=method, seed=seed)
    require_threads(at.params.runtime.num_threads)
    device = prepare(at.params.runtime)
    inputs = inputs_of(at)
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
    asked = {"cell": at.names, "parameters": at.params.values, "params_digest": params_digest(at, inputs.split)}
    with new_folder(at.run) as folder, new_file(at.noted) as record:  # both or none
        write_run(folder, at, asked["params_digest"], result)
        write_json(record, make_record(device, result.cost, asked | {"run": folder_sha256(folder)}))
    checkpoint.remove()


def inputs_of(at: Cell) -> Inputs:
    """Pictures and split, and with a backbone its features."""
    store, split = open_store(at.data), read_json(at.split)
    if at.names["backbone"] == NO_BACKBONE:
        return Inputs(store, None, None, split)
    return Inputs(store, Features(at.features), at.params.backbone.feature_space, split)


def load_tower(at: Cell) -> "ImageTower":
    """The image tower; open_clip takes seconds to import, and linear probing does without."""
    from ulfine.models.backbone import load_image_tower

    return load_image_tower(at.backbone, at.params.backbone)


def origin(at: Cell) -> Path:
    """The file that identifies pictures, and with a backbone towers as well, by their hashes."""
    return at.data / "meta.json" if at.names["backbone"] == NO_BACKBONE else at.features / META


def checkpoint_key(at: Cell) -> str:
    """A digest of all that the run depends on: parameters, split, pictures and towers, and code."""
    inputs = [sha256(path) for path in (at.split, origin(at), manifest("train", at.names))]
    return digest([at.params.values, at.names, inputs, str(torch.__version__)])


def params_digest(at: Cell, split: dict) -> str:
    """What all seeds of a cell share: parameters of the training, counts of the split, pictures and towers."""
    order = split["class_order"]
    counts = {name: numbers and [numbers[k] for k in order] for name, numbers in split["counts"].items()}
    pool = len(split["indices"]["unlabeled"])  # with the copies of labeled pictures, which are not counted above
    return digest([at.params.values, counts, pool, read_json(origin(at))])


def write_run(folder: Path, at: Cell, params_digest: str, result: Result) -> None:
    """Fill `folder` with everything that is deterministic."""
    stand_in = at.names["backbone"] != NO_BACKBONE and at.params.backbone.pretrained == "embedded"
    rows = result.rows
    logs = {
        "history": rows.steps,
        "pseudo_labels": rows.classes,
        "classifiers": rows.classifiers,
        "validation": rows.validation,
    }
    for name, tensors in (("logits", result.logits), ("weights", result.weights), ("cosines", result.cosines)):
        if tensors:
            write_tensors(folder / f"{name}.safetensors", tensors)
    for name, table in logs.items():
        if table:  # zero-shot has none
            write_csv(folder / f"{name}.csv", table)
    facts = {"params_digest": params_digest, "stand_in": stand_in}
    write_json(folder / "run.json", result.summary | facts)


if __name__ == "__main__":
    main()
