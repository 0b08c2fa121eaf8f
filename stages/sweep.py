"""Train many trials of one method, and score each on the validation pictures.

reads   artifacts/data/{dataset}/, artifacts/backbones/{backbone}/, the split and its features
writes  results/cells/{dataset}/{split}/{backbone}/{method}/seed{seed}/sweep.csv: a row for each trial
"""

from ulfine.runner.stage import stage

import numpy as np
from torch import nn

from ulfine.config.sweep import SweepConfig
from ulfine.data.features import META, Features
from ulfine.data.store import open_store
from ulfine.evaluation.metrics import class_groups
from ulfine.evaluation.sweep import scored
from ulfine.files import read_json, write_csv
from ulfine.params.method import Method
from ulfine.params.train import Train
from ulfine.runner.cell import Cell
from ulfine.runner.training import checkpoint_of
from ulfine.training.device import prepare
from ulfine.training.encoder import load_encoder
from ulfine.training.inputs import Inputs
from ulfine.training.learner import decides
from ulfine.training.sweep import sweep


@stage
def main(config: SweepConfig, dataset: str, split: str, backbone: str, method: str, seed: int) -> None:
    at = Cell(dataset=dataset, split=split, backbone=backbone, method=method, seed=seed)
    device = prepare(config.runtime)
    inputs = Inputs(open_store(at.data), Features(at.features), config.backbone.feature_space, read_json(at.split))
    inputs.require_validation()
    values, trials = zip(*config.trials(), strict=True)
    part, indices = inputs.evaluated()["validation"]
    labels, groups = inputs.store.labels[part][indices], class_groups(inputs.counts)

    def score(logits: dict[str, np.ndarray]) -> dict:
        return scored(logits, labels, groups, decides(config.method, "test"))

    def encoder(method: Method, train: Train) -> nn.Module:
        return load_encoder(at.backbone, config.backbone, method, train, len(inputs.counts))

    checkpoint = checkpoint_of("sweep", at, config, (at.split, at.features / META), device)
    rows = sweep(
        inputs,
        list(trials),
        score,
        encoder=encoder,
        augmentation=config.augmentation,
        seed=seed,
        device=device,
        checkpoint=checkpoint,
    )
    write_csv(at.sweep, [each | row for each, row in zip(values, rows, strict=True)])
    checkpoint.remove()


if __name__ == "__main__":
    main()
