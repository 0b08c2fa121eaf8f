"""Train many settings of one method on frozen features, and score each on the validation pictures.

reads   artifacts/data/{dataset}/, its split, artifacts/features/{dataset}/{backbone}/
writes  results/cells/{dataset}/{setting}/{backbone}/{method}/seed{seed}/sweep.csv: a row for each setting
"""

from ulfine.stage import stage

from pathlib import Path

import numpy as np
import torch

from ulfine.cell import Cell, cell
from ulfine.data.features import META, Features
from ulfine.data.store import open_store
from ulfine.evaluation.metrics import class_groups
from ulfine.evaluation.sweep import scored
from ulfine.files import digest, read_json, sha256, write_csv
from ulfine.pipeline import manifest
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.device import prepare
from ulfine.training.inputs import Inputs
from ulfine.training.sweep import sweep


@stage
def main(dataset: str, setting: str, backbone: str, method: str, seed: int) -> None:
    at = cell("sweep", dataset=dataset, setting=setting, backbone=backbone, method=method, seed=seed)
    device = prepare(at.params.runtime)
    inputs = Inputs(open_store(at.data), Features(at.features), at.params.backbone.feature_space, read_json(at.split))
    inputs.require_validation("a sweep")
    values, settings = zip(*at.params.sweep, strict=True)
    part, indices = inputs.evaluated()["validation"]
    labels, groups = inputs.store.labels[part][indices], class_groups(inputs.counts)
    fuses = at.params.method.dlf is not None and "test" in at.params.method.dlf.use_in

    def score(logits: dict[str, np.ndarray]) -> dict:
        return scored(logits, labels, groups, "fused" if fuses else "linear")

    checkpoint = Checkpoint(Path("artifacts/checkpoints") / f"{checkpoint_key(at)}.pt", device)
    rows = sweep(inputs, list(settings), score, seed=seed, device=device, checkpoint=checkpoint)
    write_csv(at.sweep, [each | row for each, row in zip(values, rows, strict=True)])
    checkpoint.remove()


def checkpoint_key(at: Cell) -> str:
    """A digest of all that the sweep depends on: parameters, split, features and code."""
    inputs = [sha256(path) for path in (at.split, at.features / META, manifest("sweep", at.names))]
    return digest(["sweep", at.params.values, at.names, inputs, str(torch.__version__)])


if __name__ == "__main__":
    main()
