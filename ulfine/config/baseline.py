"""The configuration of a `baseline` job."""

from typing import TYPE_CHECKING

from ulfine.params.augmentation import Augmentation
from ulfine.params.base import Section
from ulfine.params.method import Method
from ulfine.params.runtime import Runtime
from ulfine.params.train import Train

if TYPE_CHECKING:
    from ulfine.params.root import Params


class BaselineConfig(Section):
    """One method from scratch on one data set."""

    method: Method  # its overrides of `train` are in `train`
    train: Train
    augmentation: Augmentation
    runtime: Runtime

    @classmethod
    def resolve(cls, params: "Params", dataset: str, method: str) -> "BaselineConfig":
        """The configuration of a training from scratch, whatever its split and seed."""
        return cls(
            method=params.methods[method].model_copy(update={"train": None}),
            train=params.training(dataset, method),
            augmentation=params.augmentation(dataset),
            runtime=params.runtime,
        )
