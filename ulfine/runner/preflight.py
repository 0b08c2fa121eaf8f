"""Checks params.yaml before any work: its sections, the pairs that the grid asks for, the files they need."""

from pathlib import Path
from typing import NamedTuple

from ulfine.data.sentences import read_names
from ulfine.data.sources import class_counts
from ulfine.data.splits import Wanted, naming_classes, require_enough, wanted_counts
from ulfine.data.store import Counts
from ulfine.device import require_not_absent
from ulfine.models.weights import require_there, require_unchanged
from ulfine.params.dataset import NaturalSplit, NaturalUnknownSplit, Split
from ulfine.params.root import Params, load
from ulfine.params.train import Tracker
from ulfine.training.trackers import require_installed


class Checked(NamedTuple):
    """Parameters that are right."""

    params: Params
    notes: list[str]  # a line for each thing that is allowed and may not be meant


def checked(path: Path, here: bool = True) -> Checked:
    """The parameters in `path`, with enough pictures in every class for every split of the grid.

    Files that they name with a hash are proved, so that a changed one is noticed wherever it is used.

    here: this machine will do the work, and so must have the device.

    Raises:
        ValueError: one line with the key, the value and what is allowed.
            Also where `artifacts` is a link.
        OSError: params.yaml, a source of pictures or a file of names is not there.
    """
    _require_own_folders()
    params, notes = load(path), []
    if here:
        require_not_absent(params.runtime.device)
        for tracker in sorted(_trackers(params)):
            require_installed(tracker)
    for backbone in params.grid.backbone:
        require_unchanged(params.backbones[backbone])
    for dataset in params.grid.dataset:
        available = class_counts(params.datasets[dataset].source)
        names = params.datasets[dataset].class_names
        if names != "source":
            read_names(names, available.classes if available else None)
        if available is not None and len(available.by_class) < 2:
            found = len(available.by_class)
            raise ValueError(f"{path}: datasets.{dataset}.source: has {found} class, at least 2 are needed")
        for split in params.grid.split:
            where = f"{path}: datasets.{dataset}.splits.{split}: "
            try:
                wanted = _require_served(params, dataset, split, available)
            except ValueError as error:
                raise ValueError(f"{where}{error}") from None
            if available is not None and available.unknown and wanted["unlabeled"] is not None:
                notes.append(
                    f"{where}leaves {available.unknown:,} pictures without a label unused; shapes unknown and "
                    "natural-unknown take them"
                )
    for backbone in params.grid.backbone:
        try:
            if not Path("artifacts/backbones", backbone).exists():  # once it is taken over, its files may go
                require_there(params.backbones[backbone])
        except ValueError as error:
            raise ValueError(f"{path}: backbones.{backbone}: {error}") from None
    return Checked(params, notes)


def _trackers(params: Params) -> set[Tracker]:
    """The trackers of all trainings of the grid."""
    methods = (*params.grid.method, *params.grid.baseline)
    found = [params.training(dataset, method) for dataset in params.grid.dataset for method in methods]
    return {train.tracker for train in found if train is not None}


def _require_served(params: Params, dataset: str, split: str, available: Counts | None) -> Wanted | None:
    """Check one split, and return what it asks for with the last seed; None where the split stage must count.

    Raises:
        ValueError: a class has too few pictures, or the grid needs validation pictures and the split gives none.
    """
    section, wanted = params.datasets[dataset].splits[split], None
    if available is not None:
        for seed in params.grid.seed:
            with naming_classes(available.classes):
                wanted = wanted_counts(section, available.by_class, seed)
                require_enough(wanted, available)
    _require_validation(params, section, wanted)
    return wanted


def _require_validation(params: Params, split: Split, wanted: Wanted | None) -> None:
    natural = isinstance(split, NaturalSplit | NaturalUnknownSplit)
    key = "validation_share" if natural else "validation"
    given = getattr(split, key)
    holds_out = any(wanted["validation"]) if wanted else given > 0
    if params.grid.sweep and not holds_out:
        why, more = (", as no class has 3", "more pictures of a class") if given else ("", f"{key} > 0")
        raise ValueError(
            f"{key} = {given:g} holds out no picture{why}, which sweeps.{params.grid.sweep[0]} needs; give {more}, or "
            "leave it out of grid.sweep"
        )


def _require_own_folders() -> None:
    found = (
        path
        for name in ("artifacts", "results")
        for inside in ("", "*", "*/*")
        for path in Path().glob(f"{name}/{inside}")
    )
    for path in found:
        if path.is_symlink() and path.is_dir():
            raise ValueError(
                f"{path}: is a link, and DVC follows none out of the repository; remove it, and keep DVC's cache where "
                "there is room instead: `dvc config --local cache.dir PATH` and `dvc config --local cache.type symlink`"
            )
