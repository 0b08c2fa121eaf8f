"""Tables that DVC plots, for one revision or several: training, recall by class, reliability. Means over seeds."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ulfine.evaluation.aggregate import short_names
from ulfine.evaluation.figures import diagram
from ulfine.evaluation.loaded import Loaded

FOLLOWED = {"loss": "loss", "pl_coverage": "kept", "pl_accuracy": "right"}  # of history.csv, and what it is here


def plots(runs: Sequence[Loaded]) -> dict[str, pd.DataFrame]:
    """Return a table each for training, recall and reliability.

    training: by step, the loss, and how many of the pseudo-labels are kept, and right of these. recall: by rank of the
    class, the one with the most labeled pictures first. reliability: accuracy by confidence on test pictures.
    """
    members: dict[str, list[Loaded]] = {}
    for name, run in zip(short_names([run.names for run in runs]), runs, strict=True):
        members.setdefault(name, []).append(run)
    return {
        "training": _together({name: _training(found) for name, found in members.items()}),
        "recall": _together({name: _recall(found) for name, found in members.items()}),
        "reliability": _together({name: _reliability(found) for name, found in members.items()}),
    }


def _together(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    found = [table.assign(cell=name) for name, table in tables.items() if len(table)]
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame({"cell": []})
    return table[["cell", *(name for name in table if name != "cell")]]


def _training(runs: Sequence[Loaded]) -> pd.DataFrame:
    histories = [run.history for run in runs if len(run.history)]
    if not histories:
        return pd.DataFrame()
    columns = [name for name in FOLLOWED if all(name in history for history in histories)]
    means = pd.concat(histories).groupby("step")[columns].mean()
    return means.rename(columns=FOLLOWED).reset_index()


def _recall(runs: Sequence[Loaded]) -> pd.DataFrame:
    by_rank = []
    for run in runs:
        table = pd.DataFrame({"labeled": run.metrics["labeled"], "recall": run.metrics["recall"]})
        by_rank.append(table.sort_values("labeled", ascending=False, kind="stable").reset_index(drop=True))
    means = pd.concat(by_rank).groupby(level=0).mean()
    return means.rename_axis("rank").reset_index().assign(rank=lambda found: found["rank"] + 1)


def _reliability(runs: Sequence[Loaded]) -> pd.DataFrame:
    bins = pd.DataFrame([each for run in runs for each in run.metrics["reliability"]["test"]])
    confidence, accuracy = diagram(bins)
    return pd.DataFrame({"confidence": confidence, "accuracy": accuracy}).reset_index(drop=True)
