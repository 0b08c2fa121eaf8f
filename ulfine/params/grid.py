"""`study` and `grid`: what is run. Every combination of the lists is a cell."""

from collections import Counter
from itertools import product
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, model_validator

from ulfine.params.base import Name, Section
from ulfine.params.names import NAMES, NO_BACKBONE

T = TypeVar("T")


def _distinct(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        raise ValueError(f"{values} names an entry twice")
    return values


Names = Annotated[list[Name], Field(min_length=1), AfterValidator(_distinct)]


class Grid(Section):
    """Names from the catalogue, and seeds."""

    dataset: Names = Field(description="from `datasets`")
    split: Names = Field(description="from the `splits` of each of these data sets")
    backbone: Names = Field(description="from `backbones`")
    method: Names = Field(description="from `methods`")
    seed: Annotated[list[Annotated[int, Field(ge=0, le=2**32 - 1)]], Field(min_length=1), AfterValidator(_distinct)] = (
        Field(description="each draws its own split, batches and augmentations")
    )

    baseline: Annotated[list[Name], AfterValidator(_distinct)] = Field(
        description="from `methods`, those with tune: scratch; each with every data set, split and seed, no backbone"
    )

    sweep: Annotated[list[Name], AfterValidator(_distinct)] = Field(
        description="from `sweeps`; each with every data set, split, backbone and seed, for results/{study}/sweep.csv"
    )

    def cells(self) -> list[dict[str, str | int]]:
        """Names of every cell: the combinations of the lists, and those of the baselines, whose backbone is none."""
        tuned = product(self.dataset, self.split, self.backbone, self.method, self.seed)
        scratch = product(self.dataset, self.split, [NO_BACKBONE], self.baseline, self.seed)
        return [dict(zip(NAMES, names, strict=True)) for names in (*tuned, *scratch)]

    def sweeps(self) -> list[dict[str, str | int]]:
        """Names of every cell of a sweep, whose method gives it its name."""
        found = product(self.dataset, self.split, self.backbone, self.sweep, self.seed)
        return [dict(zip(NAMES, names, strict=True)) for names in found]

    @model_validator(mode="after")
    def _stages_have_names_of_their_own(self) -> "Grid":
        lists = self.model_dump()
        matrices = [("dataset", "backbone"), ("dataset", "split", "seed")]
        matrices += [NAMES, ("dataset", "split", "baseline", "seed")]
        matrices += [("dataset", "split", "backbone", "sweep", "seed")]
        for keys in matrices:
            names = Counter("-".join(map(str, cell)) for cell in product(*(lists[key] for key in keys)))
            name, times = next(iter(names.most_common(1)), ("", 0))
            if times > 1:  # DVC would run one of them and say nothing
                raise ValueError(f"two cells would both be {name} to DVC; rename one of {', '.join(keys)}")
        return self
