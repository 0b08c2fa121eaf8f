"""The configuration of a `split` job."""

from typing import TYPE_CHECKING

from ulfine.params.base import Section
from ulfine.params.dataset import Split

if TYPE_CHECKING:
    from ulfine.params.root import Params


class SplitConfig(Section):
    """Counts of the labeled, unlabeled and validation pictures."""

    split: Split

    @classmethod
    def resolve(cls, params: "Params", dataset: str, split: str) -> "SplitConfig":
        """The configuration of one split of one data set."""
        return cls(split=params.datasets[dataset].splits[split])
