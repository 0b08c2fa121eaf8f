"""The logs of a run: losses, pseudo-labels class by class, and the geometry of its classifiers.

What comes in is kept as it is, on the device, and counted once a row, so that logging does not hold up the steps.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.methods.fixmatch import PseudoLabels
from ulfine.sums import total
from ulfine.training.batches import Batch

BY_TRUTH = ("seen", "kept", "right")
BY_LABEL = ("wrong", "predicted", "all", "all_right", "all_wrong", "confidence_right", "confidence_wrong")
COUNTS = ("seen", "kept", "right", "wrong", "predicted")


@dataclass
class Rows:
    """The rows of a run's four logs."""

    steps: list[dict[str, Any]] = field(default_factory=list)  # history.csv
    classes: list[dict[str, Any]] = field(default_factory=list)  # pseudo_labels.csv
    classifiers: list[dict[str, Any]] = field(default_factory=list)  # classifiers.csv
    validation: list[dict[str, Any]] = field(default_factory=list)  # validation.csv


class History:
    """One row every `log_every` steps in history.csv, and at the same steps one for each class in the other two.

    Of the unlabeled pictures since the last row, by class: `seen` (of this true class), `kept` (confident enough),
    `right` (kept and right); `wrong` (kept, labeled as this class, of another one), `predicted` (kept and labeled as
    this class). `confidence_right` and `confidence_wrong` are mean confidences of right and of false predictions of
    this class, kept or not. `prior` is its share of P_u. Pictures of unknown class count in `predicted` alone,
    copies of labeled pictures nowhere.

    Args:
        classes: K.
        truth: (K,) true share of each class in the unlabeled pool; None where unknown.
    """

    def __init__(self, classes: int, truth: Tensor | None = None) -> None:
        self.rows = Rows()
        self.classes, self.truth = classes, truth
        self._pending: list[tuple[Tensor, ...]] = []  # labels, confidence, kept, truth, own of each step
        self._losses: dict[str, Tensor] = {}
        self._steps = 0

    def add(self, losses: dict[str, Tensor], targets: PseudoLabels | None, batch: Batch) -> None:
        """Take in one step; no targets without unlabeled pictures."""
        self._steps += 1
        for name, loss in losses.items():
            self._losses[name] = self._losses.get(name, 0) + loss.detach()
        if targets is not None:
            self._pending.append((targets.labels, targets.confidence, targets.kept, batch.truth, batch.own))

    def close_row(self, step: int, lr: float, prior: Tensor, classifiers: dict[str, Tensor]) -> dict[str, Any]:
        """Turn what came in since the last row into rows, and return the one of history.csv.

        prior: (K,) estimate P_u. classifiers: (K, D) rows by name.
        """
        losses = {name: float(loss) / self._steps for name, loss in self._losses.items()}
        row: dict[str, Any] = {"step": step, "lr": lr, "loss": total(losses.values())}
        row |= {f"loss_{name}": value for name, value in losses.items()}
        if self._pending:
            columns = [torch.cat(parts) for parts in zip(*self._pending, strict=True)]
            counted = dict(zip((*BY_TRUTH, *BY_LABEL), tallies(*columns, self.classes).tolist(), strict=True))
            row |= self._overall(counted, prior)
            self.rows.classes += class_rows(step, counted, prior.tolist())
        self.rows.steps.append(row)
        for name, weight in classifiers.items():
            self.rows.classifiers += geometry(step, name, weight)
        self._pending, self._losses, self._steps = [], {}, 0
        return row

    def _overall(self, counted: dict[str, list[float]], prior: Tensor) -> dict[str, float | None]:
        of_all = {name: total(counts) for name, counts in counted.items()}
        return {
            "pl_coverage": _ratio(of_all["predicted"], of_all["all"]),
            "pl_accuracy": _ratio(of_all["right"], of_all["right"] + of_all["wrong"]),
            "confidence_right": _ratio(of_all["confidence_right"], of_all["all_right"]),
            "confidence_wrong": _ratio(of_all["confidence_wrong"], of_all["all_wrong"]),
            "prior_error": None if self.truth is None else 0.5 * (prior - self.truth).abs().sum().item(),
        }

    def state(self) -> dict:
        """Everything, for a checkpoint."""
        return {"rows": vars(self.rows), "pending": self._pending, "losses": self._losses, "steps": self._steps}

    def restore(self, state: dict) -> None:
        """Go on from `state`."""
        self.rows = Rows(**state["rows"])
        self._pending, self._losses, self._steps = state["pending"], state["losses"], state["steps"]


def tallies(labels: Tensor, confidence: Tensor, kept: Tensor, truth: Tensor, own: Tensor, classes: int) -> Tensor:
    """(10, K) sums over U pictures, in the order of BY_TRUTH and BY_LABEL.

    labels, confidence, kept: (U,) of the pseudo-labels. truth: (U,) true labels, -1 where unknown. own: (U,) bool,
    false for copies of labeled pictures. As products of matrices: bincount has no deterministic form on CUDA.
    """
    known, kept, right = own & (truth >= 0), own & kept, own & (labels == truth)
    false = known & ~right
    of_truth = torch.stack([known, known & kept, kept & right]).double()
    counted = torch.stack([kept & false, kept, own, right, false]).double()
    of_label = torch.cat([counted, confidence.double() * counted[-2:]])
    by_truth = of_truth @ F.one_hot(truth.clamp_min(0), classes).double()
    return torch.cat([by_truth, of_label @ F.one_hot(labels, classes).double()])


def class_rows(step: int, counted: dict[str, list[float]], prior: list[float]) -> list[dict[str, Any]]:
    """The rows of pseudo_labels.csv from the tallies by class."""
    rows = []
    for k, share in enumerate(prior):
        entry: dict[str, Any] = {"step": step, "class": k} | {name: round(counted[name][k]) for name in COUNTS}
        for kind in ("right", "wrong"):
            entry[f"confidence_{kind}"] = _ratio(counted[f"confidence_{kind}"][k], counted[f"all_{kind}"][k])
        rows.append(entry | {"prior": share})
    return rows


def cosines(weight: Tensor) -> Tensor:
    """(K, K) cosines between (K, D) rows."""
    unit = F.normalize(weight, dim=-1)
    return unit @ unit.T


def geometry(step: int, name: str, weight: Tensor) -> list[dict[str, Any]]:
    """A row per class: length of its row, mean cosine with the other rows, the nearest of them. weight: (K, D)."""
    others = cosines(weight)
    mean = ((others.sum(1) - others.diagonal()) / (len(weight) - 1)).tolist()
    nearest, index = others.fill_diagonal_(-2).max(1)
    columns = zip(weight.norm(dim=1).tolist(), mean, index.tolist(), nearest.tolist(), strict=True)
    return [
        {
            "step": step,
            "classifier": name,
            "class": k,
            "norm": norm,
            "mean_cosine": average,
            "nearest_class": other,
            "nearest_cosine": cosine,
        }
        for k, (norm, average, other, cosine) in enumerate(columns)
    ]


def _ratio(part: float, count: float) -> float | None:
    return part / count if count else None
