"""The configuration of a `features` job."""

from typing import TYPE_CHECKING

from ulfine.params.augmentation import Augmentation
from ulfine.params.backbone import Backbone
from ulfine.params.base import Section
from ulfine.params.dataset import ClassNames, Prompts, Resize
from ulfine.params.runtime import Runtime

if TYPE_CHECKING:
    from ulfine.params.root import Params


class FeaturesConfig(Section):
    """The towers, the views of a picture, and the words for the classes."""

    prompt: Prompts
    class_names: ClassNames
    resize: Resize | None = None  # of picture files; arrays hold squares
    backbone: Backbone
    augmentation: Augmentation
    runtime: Runtime

    @classmethod
    def resolve(cls, params: "Params", dataset: str, backbone: str) -> "FeaturesConfig":
        """The configuration of one data set under one backbone."""
        chosen = params.datasets[dataset]
        return cls(
            prompt=chosen.prompt,
            class_names=chosen.class_names,
            resize=chosen.source.resize if chosen.source.has_files else None,
            backbone=params.backbones[backbone],
            augmentation=params.augmentation(dataset),
            runtime=params.runtime,
        )
