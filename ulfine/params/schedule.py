"""`published`: the schedules that publications train by."""

from typing import Literal

from pydantic import Field

from ulfine.params.base import Section


class Schedule(Section):
    """The length of a training."""

    steps: int = Field(ge=1, description="steps of the optimizer")
    batch_size: int = Field(ge=1, description="labeled pictures a step")
    unlabeled_ratio: int = Field(ge=0, description="unlabeled pictures a step for each labeled one, each seen twice")

    def views(self) -> int:
        """All views that it takes in."""
        return self.steps * self.batch_size * (1 + 2 * self.unlabeled_ratio)


Published = dict[Literal["head", "adapters", "all", "scratch"], Schedule]
