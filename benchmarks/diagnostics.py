"""What the log of pseudo-labels and classifiers costs: processor time of a training with it and without, in turns.

    python benchmarks/diagnostics.py lp lft

Stands on the artifacts of `dvc repro` for the first cell of the grid. Without means losses alone. The steps are those
of params.yaml, and so is how often a row is written.
"""

from ulfine.stage import stage  # noqa: F401 (sets the number of threads)

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ulfine.cell import Cell
from ulfine.data.features import Features
from ulfine.data.store import open_store
from ulfine.files import read_json
from ulfine.models.backbone import load_image_tower
from ulfine.params.root import Params, load
from ulfine.params.train import Train, merged
from ulfine.pipeline import PARAMS
from ulfine.training import run
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.device import prepare
from ulfine.training.history import History
from ulfine.training.inputs import Inputs
from ulfine.training.loop import Loop


class LossesAlone(History):
    """A history without pseudo-labels and classifiers."""

    def add(self, losses: dict, _targets: object, batch: object) -> None:
        """Take in the losses."""
        super().add(losses, None, batch)

    def close_row(self, step: int, lr: float, prior: object, _classifiers: dict) -> dict:
        """A row of losses."""
        return super().close_row(step, lr, prior, {})


def main() -> None:
    """Measure the methods named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    params = load(PARAMS)
    for method in arguments.methods:
        seconds = {kind: [] for kind in (History, LossesAlone)}
        for _ in range(arguments.repeats):
            for kind, found in seconds.items():
                found.append(loop_seconds(params, method, kind))
        full, bare = (statistics.median(found) for found in seconds.values())
        print(f"{method}: {full:.3f} s with, {bare:.3f} s without, {100 * (full / bare - 1):+.1f} %")


def loop_seconds(params: Params, name: str, kind: type[History]) -> float:
    """Processor time of the steps of one training."""
    grid, method = params.grid, params.methods[name]
    names = {"dataset": grid.dataset[0], "setting": grid.setting[0], "backbone": grid.backbone[0], "seed": grid.seed[0]}
    at = Cell("train", names)
    backbone, train = params.backbones[names["backbone"]], params.train.model_dump()
    options = Train(**merged(train, params.datasets[names["dataset"]].train, method.train))
    inputs = Inputs(open_store(at.data), Features(at.features), backbone.feature_space, read_json(at.split))
    device = prepare(params.runtime)
    start = run.starting_point(inputs, method, options, lambda: load_image_tower(at.backbone, backbone))
    learner = run.Learner(start, method, options).to(device)
    views = run.views_for(inputs, method, params.augmentation, device)
    batches = run.Batches(views, inputs.store.labels["train"], inputs.indices, options, names["seed"])
    with TemporaryDirectory() as folder:
        loop = Loop(learner, batches, options, kind(len(inputs.counts)), Checkpoint(Path(folder) / "x", device), list)
        started = time.process_time()
        loop.run()
        return time.process_time() - started


if __name__ == "__main__":
    main()
