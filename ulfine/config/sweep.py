"""The configuration of a `sweep` job."""

from typing import TYPE_CHECKING, Any

from ulfine.params.augmentation import Augmentation
from ulfine.params.backbone import Backbone
from ulfine.params.base import Section
from ulfine.params.method import Method
from ulfine.params.runtime import Runtime
from ulfine.params.sweep import Sweep, applied, trials
from ulfine.params.train import Train

if TYPE_CHECKING:
    from ulfine.params.root import Params


class SweepConfig(Section):
    """One method on one data set under one backbone, and the values to try."""

    method: Method  # its overrides of `train` are in `train`
    train: Train
    sweep: Sweep
    augmentation: Augmentation
    backbone: Backbone
    runtime: Runtime

    @classmethod
    def resolve(cls, params: "Params", dataset: str, backbone: str, method: str) -> "SweepConfig":
        """The configuration of a sweep, whatever its split and seed."""
        return cls(
            method=params.methods[method].model_copy(update={"train": None}),
            train=params.training(dataset, method),
            sweep=params.sweeps[method],
            augmentation=params.augmentation(dataset),
            backbone=params.backbones[backbone],
            runtime=params.runtime,
        )

    def trials(self) -> list[tuple[dict[str, Any], tuple[Method, Train]]]:
        """The values of each trial by key, and the method and the training under them."""
        return [(trial, applied(trial, self.method, self.train)) for trial in trials(self.sweep)]
