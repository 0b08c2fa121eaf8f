"""One cell, as a report reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ulfine.arrays import read_tensors
from ulfine.evaluation.metrics import class_groups
from ulfine.files import read_json, sha256

CLASSIFIERS = {  # of a method that fuses, before and after PAF and DLF
    "initial": "text, before PAF",
    "text": "text, after PAF",
    "linear": "linear, before DLF",
    "fused": "fused by DLF",
}
AGREEMENT = ("both", "linear alone", "text alone", "neither")  # whose class the fused logits give


@dataclass(frozen=True)
class Loaded:
    """One cell: its files, read as they are asked for.

    Args:
        names: dataset, split, backbone, method, seed.
        files: of its metrics, its record, and the folder of its run.
    """

    names: dict[str, Any]
    metrics_file: Path
    record_file: Path
    folder: Path

    @property
    def method(self) -> str:
        """Its method."""
        return str(self.names["method"])

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json."""
        return read_json(self.metrics_file)

    @cached_property
    def record(self) -> dict[str, Any]:
        """Time, memory, device, versions, git, parameters."""
        return read_json(self.record_file)

    @cached_property
    def digest(self) -> str:
        """sha256 of metrics.json."""
        return sha256(self.metrics_file)

    @cached_property
    def groups(self) -> dict[str, list[int]]:
        """Head, medium and tail classes."""
        return class_groups(self.metrics["labeled"])

    @property
    def classifiers(self) -> dict[str, dict[str, Any]]:
        """Scores of the pseudo-labels of each of CLASSIFIERS; empty without fusion."""
        return self.metrics.get("classifiers", {})

    @cached_property
    def history(self) -> pd.DataFrame:
        """history.csv; empty where nothing is trained."""
        table = self._table("history.csv")
        return pd.DataFrame() if table is None else table

    @cached_property
    def pseudo_labels(self) -> pd.DataFrame | None:
        """pseudo_labels.csv; None without it."""
        return self._table("pseudo_labels.csv")

    @cached_property
    def logits(self) -> dict[str, np.ndarray]:
        """Logits and labels."""
        return read_tensors(self.folder / "logits.safetensors")

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) of the test pictures."""
        return self.logits["test.labels"]

    @cached_property
    def prototypes(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(K, D) text prototypes at the start and at the end; None where PAF has no part."""
        path = self.folder / "weights.safetensors"
        weights = read_tensors(path) if path.exists() else {}
        found = weights.get("fitting.text"), weights.get("text.weight")
        return None if found[0] is None or found[1] is None else found

    @cached_property
    def fusion(self) -> dict[str, dict[str, float | None]] | None:
        """Shares of test pictures by AGREEMENT and class group, None without any; None without fusion."""
        if "test.fused" not in self.logits:
            return None
        linear, text, fused = (self.logits[f"test.{name}"].argmax(1) for name in ("linear", "text", "fused"))
        cases = (
            (fused == linear) & (fused == text),
            (fused == linear) & (fused != text),
            (fused == text) & (fused != linear),
            (fused != linear) & (fused != text),
        )
        members = {group: np.isin(self.labels, classes) for group, classes in self.groups.items()}
        return {
            name: {group: float(case[inside].mean()) if inside.any() else None for group, inside in members.items()}
            for name, case in zip(AGREEMENT, cases, strict=True)
        }

    def _table(self, name: str) -> pd.DataFrame | None:
        path = self.folder / name
        return pd.read_csv(path) if path.exists() else None


def methods_of(runs: Sequence[Loaded]) -> dict[str, list[Loaded]]:
    """Runs by method, in their order."""
    found: dict[str, list[Loaded]] = {}
    for run in runs:
        found.setdefault(run.method, []).append(run)
    return found
