"""The check of params.yaml before any work: its sections, the pairs that the grid asks for, the files they need."""

from pathlib import Path

from ulfine.data.sentences import read_names
from ulfine.data.sources import class_counts
from ulfine.data.splits import naming, require_enough, wanted_counts
from ulfine.device import require_not_absent
from ulfine.files import write_text
from ulfine.models.checkpoint import require_unchanged
from ulfine.params.root import Params, load

OK = Path("artifacts/params.ok")


def checked(path: Path, here: bool = True) -> Params:
    """The parameters in `path`, with enough pictures in every class for every split of the grid.

    Files that they name with a hash are proved, so that a changed one is noticed wherever it is used.

    here: this machine will do the work, and so must have the device.

    Raises:
        ValueError: one line with the key, the value and what is allowed.
            Also where `artifacts` is a link.
        OSError: params.yaml, a source of pictures or a file of names is not there.
    """
    _require_own_folders()
    params = load(path)
    if here:
        require_not_absent(params.runtime.device)
    for backbone in params.grid.backbone:
        require_unchanged(params.backbones[backbone])
    for dataset in params.grid.dataset:
        available = class_counts(params.datasets[dataset].source)
        names = params.datasets[dataset].class_names
        if names != "source":
            read_names(names, available.classes if available else None)
        if available is None:  # the split stage looks at it again
            continue
        classes = len(available.by_class)
        if classes < 2:
            raise ValueError(f"{path}: datasets.{dataset}.source: has {classes} class, at least 2 are needed")
        for setting in params.grid.setting:
            for seed in params.grid.seed:
                try:
                    with naming(available.classes):
                        wanted = wanted_counts(params.datasets[dataset].settings[setting], available.by_class, seed)
                        require_enough(wanted, available)
                except ValueError as error:
                    raise ValueError(f"{path}: datasets.{dataset}.settings.{setting}: {error}") from None
    return params


def _require_own_folders() -> None:
    for name in ("artifacts", "results"):
        if Path(name).is_symlink():
            raise ValueError(
                f"{name}: is a link, and DVC follows none out of the repository; remove it, and keep DVC's cache where "
                "there is room instead: `dvc cache dir PATH`, then `dvc config cache.type symlink`"
            )


def write_ok() -> None:
    """Record that the parameters are right; always with the same content, so that it reruns nothing."""
    write_text(OK, "ok\n")
