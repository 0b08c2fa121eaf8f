"""Sends the rows of history.csv to a tracker while a training runs: TensorBoard, MLflow or DVCLive, none by default."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ulfine.params.train import Tracker

FOLDER = Path("artifacts/trackers")
Tell = Callable[[Mapping[str, Any]], None]  # takes in a row of history.csv


def untold(_: Mapping[str, Any]) -> None:
    """Take in a row where nobody follows."""


def require_installed(tracker: Tracker) -> None:
    """Refuse a tracker whose package, which has its name, is not here.

    Raises:
        ValueError: it is not.
    """
    if tracker != "none" and find_spec(tracker) is None:
        raise ValueError(f"train.tracker = {tracker!r}: needs a package that is not here: pip install {tracker}")


@contextmanager
def tracked(tracker: Tracker, names: Mapping[str, str | int], parameters: Mapping[str, Any]) -> Iterator[Tell]:
    """Give what sends a row of history.csv to the tracker, under the names of its columns.

    names: of the cell, in their order. parameters: the configuration of the training.
    """
    require_installed(tracker)
    run = [f"seed{value}" if key == "seed" else str(value) for key, value in names.items()]
    match tracker:
        case "none":
            yield untold
        case "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            with SummaryWriter(str(FOLDER.joinpath(tracker, *run))) as writer:
                yield lambda row: [writer.add_scalar(name, x, row["step"]) for name, x in scalars(row).items()]
        case "mlflow":
            import mlflow

            with mlflow.start_run(run_name="/".join(run)):  # where MLFLOW_TRACKING_URI says
                mlflow.log_params(flat(parameters))
                yield lambda row: mlflow.log_metrics(scalars(row), step=row["step"])
        case "dvclive":
            from dvclive import Live

            with Live(str(FOLDER.joinpath(tracker, *run)), save_dvc_exp=False, dvcyaml=None, report=None) as live:
                live.log_params(flat(parameters))

                def tell(row: Mapping[str, Any]) -> None:
                    live.step = row["step"]
                    for name, value in scalars(row).items():
                        live.log_metric(name, value)
                    live.make_summary()

                yield tell


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row but its step; what is unknown is left out."""
    return {name: value for name, value in row.items() if name != "step" and value is not None}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Nested values by dotted key; lists and null as text."""
    found: dict[str, str | int | float | bool] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value if isinstance(value, str | int | float | bool) else str(value)
    return found
