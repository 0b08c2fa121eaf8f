"""The configuration of a `data` job."""

from typing import TYPE_CHECKING

from ulfine.params.base import Section
from ulfine.params.dataset import Resolution, Source

if TYPE_CHECKING:
    from ulfine.params.root import Params


class DataConfig(Section):
    """The source of the pictures of a data set, and the size at which they are kept."""

    source: Source
    resolution: Resolution

    @classmethod
    def resolve(cls, params: "Params", dataset: str) -> "DataConfig":
        """The configuration of one data set."""
        chosen = params.datasets[dataset]
        return cls(source=chosen.source, resolution=chosen.resolution)
