"""Train one cell, or for a zero-shot cell just classify.

reads   artifacts/data/{dataset}/, artifacts/backbones/{backbone}/, the split and its features
writes  artifacts/runs/{dataset}/{split}/{backbone}/{method}/seed{seed}/: logits.safetensors, weights.safetensors,
        cosines.safetensors, history.csv, pseudo_labels.csv, classifiers.csv, run.json, and with `validate_every`
        validation.csv; the same bytes for the same inputs
        artifacts/records/{dataset}/{split}/{backbone}/{method}/seed{seed}/…: time, memory, device, versions; no
        output for the engines, which would take other seconds for another result: `evaluate` keeps it
"""

from ulfine.runner.stage import stage

from functools import partial

from torch import nn

from ulfine.config.train import TrainConfig
from ulfine.data.features import META, Features
from ulfine.data.store import open_store
from ulfine.files import read_json
from ulfine.runner.cell import Cell
from ulfine.runner.training import checkpoint_of, keep
from ulfine.training.device import prepare
from ulfine.training.encoder import load_encoder
from ulfine.training.inputs import Inputs
from ulfine.training.run import train_tracked, training_free
from ulfine.training.start import start_from_text


@stage
def main(config: TrainConfig, dataset: str, split: str, backbone: str, method: str, seed: int) -> None:
    at = Cell(dataset=dataset, split=split, backbone=backbone, method=method, seed=seed)
    device = prepare(config.runtime)
    inputs = Inputs(open_store(at.data), Features(at.features), config.backbone.feature_space, read_json(at.split))
    checkpoint = checkpoint_of("train", at, config, (at.split, at.features / META), device)

    def encoder() -> nn.Module:
        return load_encoder(at.backbone, config.backbone, config.method, config.train, len(inputs.counts))

    if config.train is None:
        result = training_free(inputs, config.method.rival)
    else:
        start = partial(start_from_text, inputs, config.train, encoder)
        result = train_tracked(config, at.names, inputs, start, device, checkpoint)
    keep(at, config, result, device, stand_in=config.backbone.pretrained == "embedded")
    checkpoint.remove()


if __name__ == "__main__":
    main()
