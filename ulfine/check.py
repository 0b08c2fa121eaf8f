"""The check of params.yaml before any work: its sections, the pairs that the grid asks for, the pictures they need."""

from pathlib import Path

from ulfine.data.sources import class_counts
from ulfine.data.splits import require_enough, wanted_counts
from ulfine.params.root import Params, load


def checked(path: Path) -> Params:
    """The parameters in `path`, with enough pictures in every class for every split of the grid.

    Raises:
        ValueError: one line with the key, the value and what is allowed.
        OSError: params.yaml or a source of pictures is not there.
    """
    params = load(path)
    for dataset in params.grid.dataset:
        available = class_counts(params.datasets[dataset].source)
        for setting in params.grid.setting:
            for seed in params.grid.seed:
                wanted = wanted_counts(params.datasets[dataset].settings[setting], len(available), seed)
                try:
                    require_enough(wanted, available)
                except ValueError as error:
                    raise ValueError(f"{path}: datasets.{dataset}.settings.{setting}: {error}") from None
    return params
