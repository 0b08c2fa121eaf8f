"""`study` and `grid`: what is run. Every combination of the lists is a cell."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from ulfine.params.base import Name, Section

T = TypeVar("T")


def _distinct(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        raise ValueError(f"{values} names an entry twice")
    return values


Names = Annotated[list[Name], Field(min_length=1), AfterValidator(_distinct)]


class Grid(Section):
    """Names from the catalogue, and seeds."""

    dataset: Names = Field(description="from `datasets`")
    setting: Names = Field(description="from the `settings` of each of these data sets")
    backbone: Names = Field(description="from `backbones`")
    method: Names = Field(description="from `methods`")
    seed: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="each draws its own split, batches and augmentations"
    )
