"""What a run logs: losses, how its pseudo-labels fare class by class, and what becomes of its classifiers.

Sums are kept on the device and read once a row, so that logging does not hold up the steps in between.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.methods.fixmatch import PseudoLabels

BY_TRUTH = ("seen", "kept", "right")
BY_LABEL = ("wrong", "predicted", "all_right", "all_wrong", "confidence_right", "confidence_wrong")
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
    this class, kept or not. `prior` is its share of P_u. Pictures of unknown class count in `predicted` alone.

    Args:
        classes: K.
        device: of the tensors that come in.
        truth: (K,) true share of each class in the unlabeled pool; None where unknown.
    """

    def __init__(self, classes: int, device: torch.device, truth: Tensor | None = None) -> None:
        self.rows = Rows()
        self.truth = truth
        self._tallies = torch.zeros(len(BY_TRUTH) + len(BY_LABEL), classes, dtype=torch.float64, device=device)
        self._losses: dict[str, Tensor] = {}
        self._steps = 0

    def add(self, losses: dict[str, Tensor], targets: PseudoLabels | None, truth: Tensor | None) -> None:
        """Take in one step. truth: (U,) true labels, -1 where unknown; None without unlabeled pictures."""
        self._steps += 1
        for name, loss in losses.items():
            self._losses[name] = self._losses.get(name, 0) + loss.detach()
        if targets is not None:
            self._tallies += tallies(targets, truth, self._tallies.shape[1])

    def close_row(self, step: int, lr: float, prior: Tensor, classifiers: dict[str, Tensor]) -> dict[str, float]:
        """Turn what came in since the last row into rows, and return the one of history.csv.

        prior: (K,) estimate P_u. classifiers: (K, D) rows by name.
        """
        names = (*BY_TRUTH, *BY_LABEL)
        counted = dict(zip(names, self._tallies.tolist(), strict=True))
        seen, kept, right, wrong = (sum(counted[name]) for name in ("seen", "kept", "right", "wrong"))
        losses = {name: float(total) / self._steps for name, total in self._losses.items()}
        row: dict[str, Any] = {"step": step, "lr": lr, "loss": sum(losses.values())}
        row |= {f"loss_{name}": value for name, value in losses.items()}
        row |= {"pl_coverage": _ratio(kept, seen), "pl_accuracy": _ratio(right, right + wrong)}
        for kind in ("right", "wrong"):
            row[f"confidence_{kind}"] = _ratio(sum(counted[f"confidence_{kind}"]), sum(counted[f"all_{kind}"]))
        known = self.truth is not None and seen > 0
        row["prior_error"] = 0.5 * (prior - self.truth).abs().sum().item() if known else None
        self.rows.steps.append(row)
        shares = prior.tolist()
        for k, share in enumerate(shares):
            entry: dict[str, Any] = {"step": step, "class": k} | {name: round(counted[name][k]) for name in COUNTS}
            for kind in ("right", "wrong"):
                entry[f"confidence_{kind}"] = _ratio(counted[f"confidence_{kind}"][k], counted[f"all_{kind}"][k])
            self.rows.classes.append(entry | {"prior": share})
        for name, weight in classifiers.items():
            self.rows.classifiers += geometry(step, name, weight)
        self._tallies.zero_()
        self._losses, self._steps = {}, 0
        return row

    def state(self) -> dict:
        """Everything, for a checkpoint."""
        return {"rows": vars(self.rows), "tallies": self._tallies, "losses": self._losses, "steps": self._steps}

    def restore(self, state: dict) -> None:
        """Go on from `state`."""
        self.rows = Rows(**state["rows"])
        self._tallies, self._losses, self._steps = state["tallies"], state["losses"], state["steps"]


def tallies(targets: PseudoLabels, truth: Tensor, classes: int) -> Tensor:
    """(9, K) sums over the pictures of one step, in the order of BY_TRUTH and BY_LABEL. truth: (U,), -1 where unknown.

    As products of matrices: bincount has no deterministic form on CUDA, and two products are two kernels.
    """
    known, kept, right = truth >= 0, targets.kept, targets.labels == truth
    false = known & ~right
    confidence = targets.confidence.float()
    of_truth = torch.stack([known, known & kept, kept & right]).float()
    counted = torch.stack([kept & false, kept, right, false]).float()
    of_label = torch.cat([counted, confidence * counted[2:]])
    by_truth = of_truth @ F.one_hot(truth.clamp_min(0), classes).float()
    by_label = of_label @ F.one_hot(targets.labels, classes).float()
    return torch.cat([by_truth, by_label]).double()


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


def _ratio(total: float, count: float) -> float | None:
    return total / count if count else None
