"""The configuration of a `backbone` job."""

from typing import TYPE_CHECKING

from ulfine.params.backbone import Backbone
from ulfine.params.base import Section
from ulfine.params.runtime import Runtime

if TYPE_CHECKING:
    from ulfine.params.root import Params


class BackboneConfig(Section):
    """One tower, and where to compute."""

    backbone: Backbone
    runtime: Runtime

    @classmethod
    def resolve(cls, params: "Params", backbone: str) -> "BackboneConfig":
        """The configuration of one backbone."""
        return cls(backbone=params.backbones[backbone], runtime=params.runtime)
