"""The configuration of a `backbone` job."""

from typing import TYPE_CHECKING

from ulfine.params.backbone import Backbone
from ulfine.params.base import Section
from ulfine.params.runtime import Runtime

if TYPE_CHECKING:
    from ulfine.params.root import Params


class BackboneConfig(Section):
    """One tower, and how many threads assemble it: without a GPU, as the machine with a network may have none."""

    backbone: Backbone
    runtime: Runtime

    @classmethod
    def resolve(cls, params: "Params", backbone: str) -> "BackboneConfig":
        """The configuration of one backbone."""
        return cls(backbone=params.backbones[backbone], runtime=params.runtime.model_copy(update={"device": "cpu"}))
