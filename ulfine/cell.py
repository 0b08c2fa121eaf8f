"""One cell of the grid: where its files are, and the parameters that its stage may read."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ulfine.files import read_json
from ulfine.params.base import validated
from ulfine.pipeline import PARAMS, parameters

if TYPE_CHECKING:
    from ulfine.params.augmentation import Augmentation
    from ulfine.params.backbone import Backbone
    from ulfine.params.claims import Claims
    from ulfine.params.dataset import ClassNames, Setting, Source
    from ulfine.params.grid import Grid
    from ulfine.params.method import Method
    from ulfine.params.page import Page
    from ulfine.params.runtime import Runtime
    from ulfine.params.schedule import Published
    from ulfine.params.train import Train

T = TypeVar("T")


def cell(stage: str, **names: str | int) -> "Cell":
    """The cell that `names` (dataset, setting, backbone, method, seed) describe, as `stage` sees it."""
    return Cell(stage, names)


@dataclass(frozen=True)
class Cell:
    """Paths relative to the repository, and typed parameters."""

    stage: str
    names: dict[str, str | int]

    def _path(self, template: str) -> Path:
        return Path(template.format(**self.names))

    @property
    def data(self) -> Path:
        """Folder of the array store."""
        return self._path("artifacts/data/{dataset}")

    @property
    def backbone(self) -> Path:
        """Folder of the towers."""
        return self._path("artifacts/backbones/{backbone}")

    @property
    def setting(self) -> Path:
        """File with the parameters of a split, whatever its seed."""
        return self._path("artifacts/settings/{dataset}/{setting}.json")

    @property
    def split(self) -> Path:
        """File with the indices of labeled, unlabeled and validation pictures."""
        return self._path("artifacts/splits/{dataset}/{setting}/seed{seed}.json")

    @property
    def features(self) -> Path:
        """Folder of frozen features and text prototypes."""
        return self._path("artifacts/features/{dataset}/{backbone}")

    @property
    def recipe(self) -> Path:
        """File with the parameters of a training, whatever its setting and seed."""
        return self._path("artifacts/recipes/{dataset}/{backbone}/{method}.json")

    @property
    def run(self) -> Path:
        """Folder of what a training left."""
        return self._path("artifacts/runs/{dataset}/{setting}/{backbone}/{method}/seed{seed}")

    @property
    def noted(self) -> Path:
        """File in which a training here notes what differs from run to run, until `evaluate` takes it into `record`."""
        return self._path("artifacts/records/{dataset}/{setting}/{backbone}/{method}/seed{seed}.json")

    @property
    def record(self) -> Path:
        """File, in git, with what its training took: time, memory, device, versions."""
        return self._path("results/cells/{dataset}/{setting}/{backbone}/{method}/seed{seed}/record.json")

    @property
    def metrics(self) -> Path:
        """File with the metrics of a run."""
        return self._path("results/cells/{dataset}/{setting}/{backbone}/{method}/seed{seed}/metrics.json")

    @property
    def sweep(self) -> Path:
        """File with the scores of the settings of a sweep."""
        return self._path("results/cells/{dataset}/{setting}/{backbone}/{method}/seed{seed}/sweep.csv")

    @cached_property
    def params(self) -> "CellParams":
        """The parameters of this cell, from the file that the engines watch."""
        match self.stage:
            case "split":
                values = read_json(self.setting)
            case "train":
                values = read_json(self.recipe)
            case _:
                values = parameters(self.stage, self.names)
        return CellParams(values, self.names)


@dataclass(frozen=True)
class CellParams:
    """Typed sections of params.yaml, restricted to the keys dvc.yaml lists for the stage, its setting or its recipe.

    So a stage cannot read what the engines do not watch. Sections are imported when they are asked for, so that a stage
    depends on the files of these sections alone.
    """

    values: dict[str, Any]
    names: dict[str, str | int]

    def _section(self, kind: type[T], template: str) -> T:
        key = template.format(**self.names)
        return validated(kind, self._raw(key), f"{PARAMS}: {key}: ")

    def _raw(self, key: str) -> Any:
        if key not in self.values:
            raise KeyError(f"dvc.yaml does not list {key} among the params of this stage")
        return self.values[key]

    @property
    def source(self) -> "Source":
        """Where the pictures of the data set come from."""
        from ulfine.params.dataset import Source

        return self._section(Source, "datasets.{dataset}.source")

    @property
    def resolution(self) -> int:
        """Side in pixels at which pictures are kept."""
        from ulfine.params.dataset import Resolution

        return self._section(Resolution, "datasets.{dataset}.resolution")

    @property
    def prompts(self) -> list[str]:
        """Sentences with {} for the class name."""
        from ulfine.params.dataset import Prompts

        return self._section(Prompts, "datasets.{dataset}.prompt")

    @property
    def class_names(self) -> "ClassNames":
        """Where the names in these sentences come from."""
        from ulfine.params.dataset import ClassNames

        return self._section(ClassNames, "datasets.{dataset}.class_names")

    @property
    def setting(self) -> "Setting":
        """Counts of the split."""
        from ulfine.params.dataset import Setting

        return self._section(Setting, "datasets.{dataset}.settings.{setting}")

    @property
    def backbone(self) -> "Backbone":
        """The towers."""
        from ulfine.params.backbone import Backbone

        return self._section(Backbone, "backbones.{backbone}")

    @property
    def augmentation(self) -> "Augmentation":
        """Weak and strong views."""
        from ulfine.params.augmentation import Augmentation

        return self._section(Augmentation, "augmentation")

    @property
    def method(self) -> "Method":
        """The way of tuning."""
        from ulfine.params.method import Method

        return self._section(Method, "methods.{method}")

    @property
    def train(self) -> "Train":
        """`train`, with what the data set and then the method override."""
        from ulfine.params.train import Train, TrainOverrides, merged

        of_dataset = self._section(TrainOverrides, "datasets.{dataset}.train")
        return validated(Train, merged(self._raw("train"), of_dataset, self.method.train), f"{PARAMS}: train: ")

    @property
    def sweep(self) -> "list[tuple[dict[str, Any], tuple[Method, Train]]]":
        """The settings of the method's sweep: values by key, and the method and the training under them."""
        from ulfine.params.sweep import Sweep, applied, settings
        from ulfine.params.train import Train, TrainOverrides

        found = settings(self._section(Sweep, "sweeps.{method}"))
        train = self._section(Train, "train").model_dump()
        of_dataset = self._section(TrainOverrides, "datasets.{dataset}.train")
        return [(setting, applied(setting, self.method, train, of_dataset)) for setting in found]

    @property
    def methods(self) -> "dict[str, Method]":
        """The catalogue of methods."""
        from ulfine.params.method import Method

        return self._section(dict[str, Method], "methods")

    @property
    def claims(self) -> "Claims":
        """How the paper's claims are tested."""
        from ulfine.params.claims import Claims

        return self._section(Claims, "claims")

    @property
    def page(self) -> "Page":
        """What the page of a study shows."""
        from ulfine.params.page import Page

        return self._section(Page, "page")

    @property
    def published(self) -> "Published":
        """Schedules of publications, by way of tuning."""
        from ulfine.params.schedule import Published

        return self._section(Published, "published")

    @property
    def runtime(self) -> "Runtime":
        """Device and threads."""
        from ulfine.params.runtime import Runtime

        return self._section(Runtime, "runtime")

    @property
    def study(self) -> str:
        """Name of the study."""
        return str(self._raw("study"))

    @property
    def grid(self) -> "Grid":
        """What is run."""
        from ulfine.params.grid import Grid

        return self._section(Grid, "grid")
