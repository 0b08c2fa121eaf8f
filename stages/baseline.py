"""Train a network from scratch, without a backbone, which the paths call `none`.

reads   artifacts/data/{dataset}/, its split
writes  artifacts/runs/{dataset}/{split}/none/{method}/seed{seed}/ and artifacts/records/…, as `train` does
"""

from ulfine.runner.stage import stage

from functools import partial

from ulfine.config.baseline import BaselineConfig
from ulfine.data.store import open_store
from ulfine.files import read_json
from ulfine.params.names import NO_BACKBONE
from ulfine.runner.cell import Cell
from ulfine.runner.training import checkpoint_of, keep
from ulfine.training.device import prepare
from ulfine.training.inputs import Inputs
from ulfine.training.run import train_tracked
from ulfine.training.scratch import start_from_scratch


@stage
def main(config: BaselineConfig, dataset: str, split: str, method: str, seed: int) -> None:
    at = Cell(dataset=dataset, split=split, backbone=NO_BACKBONE, method=method, seed=seed)
    device = prepare(config.runtime)
    inputs = Inputs(open_store(at.data), None, None, read_json(at.split))
    checkpoint = checkpoint_of("baseline", at, config, (at.split, at.data / "meta.json"), device)
    start = partial(start_from_scratch, inputs, config.method.scratch)
    result = train_tracked(config, at.names, inputs, start, device, checkpoint)
    keep(at, config, result, device, stand_in=False)
    checkpoint.remove()


if __name__ == "__main__":
    main()
