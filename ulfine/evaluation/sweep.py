"""Scores of the trials of a sweep."""

from typing import Any

import numpy as np

from ulfine.evaluation.cell import CLASSIFIERS
from ulfine.evaluation.metrics import scores

SHOWN = ("accuracy", "acc_head", "acc_medium", "acc_tail", "ece")


def scored(
    logits: dict[str, np.ndarray], labels: np.ndarray, groups: dict[str, list[int]], decides: str
) -> dict[str, float | None]:
    """A row of sweep.csv: scores of the classifier that decides, and the mean class recall of each classifier.

    logits: (N, K) by classifier. All is None for a trial that diverged, whose logits are not finite.
    """
    finite = all(np.isfinite(values).all() for values in logits.values())
    found: dict[str, dict[str, Any]] = {name: scores(x, labels, groups) for name, x in logits.items()} if finite else {}
    row = {name: found.get(decides, {}).get(name) for name in SHOWN}
    return row | {f"acc_{name}": found.get(name, {}).get("accuracy") for name in CLASSIFIERS}
