"""The whole of params.yaml, checked at once: every section, and every pair that the grid asks for."""

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from ulfine.params.augmentation import Augmentation
from ulfine.params.backbone import Backbone
from ulfine.params.base import Name, Section, read_yaml, validated
from ulfine.params.claims import Claims
from ulfine.params.dataset import ClassNames, Prompts, Resolution, Source, Split
from ulfine.params.grid import Grid
from ulfine.params.inheritance import expanded, overlaid
from ulfine.params.method import Method
from ulfine.params.names import NO_BACKBONE
from ulfine.params.page import Page
from ulfine.params.runtime import Runtime
from ulfine.params.schedule import Published
from ulfine.params.sweep import Sweep, applied, trials
from ulfine.params.train import Train, TrainOverrides


class Dataset(Section):
    """Pictures, the words for their classes, and the splits cut from them."""

    extends: Name | None = Field(default=None, description="the data set that it begins as, as for methods")
    source: Source = Field(description="where the pictures come from")
    resolution: Resolution = Field(description="side in pixels at which pictures are kept")
    augmentation: Name = Field(description="from `augmentations`: views of its pictures")
    prompt: Prompts = Field(
        description="sentence for the text tower, {} is the class name; or a list, whose embeddings are averaged"
    )
    class_names: ClassNames = Field(
        description="`source`: as the source calls its classes; or a file that gives them names or sentences"
    )
    train: TrainOverrides = Field(description="what differs from `train` for this data set; {} for nothing")
    split: dict[str, Any] | None = Field(
        default=None, description="what all its splits share: any of their keys, which each of them may override"
    )
    splits: dict[Name, Split] = Field(min_length=1, description="long-tailed splits by name")


class Params(Section):
    """Everything a user edits."""

    study: Name = Field(description="folder under results/ for the tables of this grid")
    grid: Grid = Field(description="what is run")
    datasets: dict[Name, Dataset] = Field(description="catalogue of data sets")
    backbones: dict[Name, Backbone] = Field(description="catalogue of towers")
    augmentations: dict[Name, Augmentation] = Field(description="catalogue of ways to make views of a picture")
    methods: dict[Name, Method] = Field(description="catalogue of methods")
    sweeps: dict[Name, Sweep] = Field(
        description="values to try by name of a method: each key of the method (train.threshold, paf.mu, tower_lr, "
        "...) with its list; every combination is trained and scored on validation pictures"
    )
    train: Train = Field(description="what trained methods share")
    claims: Claims = Field(description="the paper's claims: which methods they are about, how they are tested")
    page: Page = Field(description="what the page of a study shows")
    published: Published = Field(
        description="schedules of publications by way of tuning: cost.csv says what each cell would cost by them"
    )
    runtime: Runtime = Field(description="where stages compute")

    def augmentation(self, dataset: str) -> Augmentation:
        """The views of the pictures of a data set."""
        return self.augmentations[self.datasets[dataset].augmentation]

    def training(self, dataset: str, method: str) -> Train | None:
        """`train` with what the data set and then the method override; None for a method that trains nothing."""
        if self.methods[method].tune == "none":
            return None
        values = self.train.model_dump()
        for overrides in (self.datasets[dataset].train, self.methods[method].train):
            values = overlaid(values, overrides.model_dump(exclude_unset=True) if overrides else {})
        return validated(Train, values, f"train, with methods.{method}.train over datasets.{dataset}.train: ")

    @model_validator(mode="after")
    def _names_exist(self) -> "Params":
        if NO_BACKBONE in self.backbones:
            raise ValueError(f"backbones.{NO_BACKBONE}: the name stands for no backbone; choose another")
        methods = {name for name, method in self.methods.items() if method.tune != "scratch"}
        scratch = set(self.methods) - methods
        for section, place, names in (
            ("dataset", "datasets", self.datasets),
            ("backbone", "backbones", self.backbones),
            ("method", "methods", [name for name in self.methods if name in methods]),
            ("baseline", "methods with tune: scratch", [name for name in self.methods if name in scratch]),
            ("sweep", "sweeps", self.sweeps),
        ):
            for name in getattr(self.grid, section):
                _require(f"grid.{section}", name, names, place)
        for dataset, split in product(self.grid.dataset, self.grid.split):
            _require("grid.split", split, self.datasets[dataset].splits, f"datasets.{dataset}.splits")
        for name in self.sweeps:
            tuned = [each for each, method in self.methods.items() if method.tune not in ("none", "scratch")]
            _require("sweeps", name, tuned, "methods that tune a backbone")
        for name, dataset in self.datasets.items():
            _require(f"datasets.{name}.augmentation", dataset.augmentation, self.augmentations, "augmentations")
        return self

    @model_validator(mode="after")
    def _trainings_hold_together(self) -> "Params":
        """Check `train` as each data set and method of the grid overrides it."""
        for dataset, name in product(self.grid.dataset, (*self.grid.method, *self.grid.baseline)):
            train = self.training(dataset, name)
            if train is not None:
                try:
                    self.methods[name].require_fits(train)
                except ValueError as error:
                    raise ValueError(f"methods.{name}: {error}") from None
        return self

    @model_validator(mode="after")
    def _sweeps_hold_together(self) -> "Params":
        for dataset, name in product(self.grid.dataset, self.grid.sweep):
            for trial in trials(self.sweeps[name]):
                try:
                    method = self.methods[name].model_copy(update={"train": None})
                    applied(trial, method, self.training(dataset, name))
                except ValueError as error:
                    raise ValueError(f"sweeps.{name}: {error}") from None
        return self


def _require(key: str, name: str, names: Iterable[str], place: str) -> None:
    if name not in names:
        raise ValueError(f"{key} = {name!r} is not in {place} (allowed: {', '.join(names) or 'none'})")


def load(path: Path) -> Params:
    """The parameters in `path`.

    Raises:
        ValueError: one line with the key, the value and what is allowed.
        FileNotFoundError: there is no such file.
    """
    return params_of(read_yaml(path), f"{path}: ")


def params_of(values: Mapping[str, Any], where: str) -> Params:
    """The parameters in the values of a YAML file; `where` names it in the message.

    Raises:
        ValueError: as `load` says.
    """
    try:
        full = expanded(values)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None
    return validated(Params, full, where)
