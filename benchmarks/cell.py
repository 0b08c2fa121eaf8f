"""The first cell of the grid, as benchmarks use it: its inputs, tower and trainings. Needs its artifacts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from ulfine.data.features import Features
from ulfine.data.store import open_store
from ulfine.files import read_json
from ulfine.models.backbone import load_frozen_tower
from ulfine.models.extract import extract_images
from ulfine.models.tower import ImageTower
from ulfine.params.root import Params, load
from ulfine.params.train import Train
from ulfine.runner.cell import Cell
from ulfine.runner.jobs import PARAMS
from ulfine.training import run
from ulfine.training.batches import Batches, Views
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.device import prepare
from ulfine.training.encoder import load_encoder
from ulfine.training.history import History
from ulfine.training.inputs import Inputs
from ulfine.training.learner import Learner
from ulfine.training.loop import Loop
from ulfine.training.start import start_from_text


@dataclass(frozen=True)
class Training:
    """A training that has not begun."""

    learner: Learner
    batches: Batches
    options: Train
    loop: Loop

    def step(self, number: int) -> None:
        """Run one step of the loop."""
        self.loop._step(number)


class FirstCell:
    """Inputs and tower of the first data set, split, backbone and seed of the grid, on the device of params.yaml."""

    def __init__(self) -> None:
        self.params: Params = load(PARAMS)
        grid = self.params.grid
        self.names = {key: getattr(grid, key)[0] for key in ("dataset", "split", "backbone", "seed")}
        self.at = Cell(**self.names)
        self.backbone = self.params.backbones[self.names["backbone"]]
        self.augmentation = self.params.augmentation(self.names["dataset"])
        self.device = prepare(self.params.runtime)
        split = read_json(self.at.split)
        self.inputs = Inputs(open_store(self.at.data), Features(self.at.features), self.backbone.feature_space, split)

    def tower(self) -> ImageTower:
        """Load the frozen image tower, as `features` has it."""
        return load_frozen_tower(self.at.backbone, self.backbone)

    def extraction(self, pictures: int) -> Callable[[], None]:
        """Return a call that makes the features of the first `pictures` of train and of test, in every view."""
        tower, store = self.tower().to(self.device), self.inputs.store
        few = replace(store, images={part: images[:pictures] for part, images in store.images.items()})
        of_views = dict.fromkeys(("plain", "weak", "strong"), np.arange(pictures))

        def extract() -> None:
            with TemporaryDirectory(dir="artifacts") as folder:
                extract_images(
                    Path(folder),
                    few,
                    tower,
                    self.augmentation,
                    of_views,
                    space=self.backbone.feature_space,
                    seed=0,
                    device=self.device,
                )

        return extract

    def training(
        self, method: str, *, history: type[History] = History, views: Views | None = None, **options: object
    ) -> Training:
        """A training by `method`, with changes of `train`."""
        chosen = self.params.methods[method]
        train = Train(**self.params.training(self.names["dataset"], method).model_dump() | options)
        torch.manual_seed(0)
        classes = len(self.inputs.counts)

        def encoder() -> nn.Module:
            return load_encoder(self.at.backbone, self.backbone, chosen, train, classes)

        learner = Learner(start_from_text(self.inputs, train, encoder), chosen, train).to(self.device)
        views = views or run.views_for(self.inputs, learner, self.augmentation, self.device)
        labels = self.inputs.store.labels["train"]
        batches = Batches(views, labels, self.inputs.indices, train, self.names["seed"])
        with TemporaryDirectory() as folder:  # no checkpoint is due within minutes
            checkpoint = Checkpoint(Path(folder) / "none.pt", self.device)
        loop = Loop(learner, batches, train, history(len(self.inputs.counts)), checkpoint, list)
        learner.train()
        return Training(learner, batches, train, loop)
