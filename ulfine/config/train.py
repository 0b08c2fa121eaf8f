"""The configuration of a `train` job."""

from typing import TYPE_CHECKING

from ulfine.params.augmentation import Augmentation
from ulfine.params.backbone import Backbone
from ulfine.params.base import Section
from ulfine.params.method import Method
from ulfine.params.runtime import Runtime
from ulfine.params.train import Train

if TYPE_CHECKING:
    from ulfine.params.root import Params


class TrainConfig(Section):
    """One method on one data set, under one backbone."""

    method: Method  # its overrides of `train` are in `train`
    train: Train | None = None  # None: nothing is trained
    augmentation: Augmentation
    backbone: Backbone
    runtime: Runtime

    @classmethod
    def resolve(cls, params: "Params", dataset: str, backbone: str, method: str) -> "TrainConfig":
        """The configuration of a training, whatever its split and seed."""
        return cls(
            method=params.methods[method].model_copy(update={"train": None}),
            train=params.training(dataset, method),
            augmentation=params.augmentation(dataset),
            backbone=params.backbones[backbone],
            runtime=params.runtime,
        )
