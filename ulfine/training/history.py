"""What a run logs: losses, and how its pseudo-labels fare, class by class.

Sums are kept on the device and read once a row, so that logging does not hold up the steps in between.
"""

import torch
from torch import Tensor

from ulfine.methods.fixmatch import PseudoLabels

TALLIES = ("seen", "kept", "right", "predicted")


class History:
    """Rows of history.csv (one every `log_every` steps) and of pseudo_labels.csv (one for each class at these steps).

    Of the unlabeled pictures since the last row, by class: `seen` (of this true class), `kept` (confident enough),
    `right` (kept and right), `predicted` (kept and labeled as this class). Pictures of unknown class count only there.
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        self.rows: list[dict[str, float]] = []
        self.class_rows: list[dict[str, int]] = []
        self._tallies = {name: torch.zeros(classes, dtype=torch.int64, device=device) for name in TALLIES}
        self._losses: dict[str, Tensor] = {}
        self._steps = 0

    def add(self, losses: dict[str, Tensor], targets: PseudoLabels, truth: Tensor) -> None:
        """Take in one step. truth: (U,) true labels, -1 where unknown."""
        self._steps += 1
        for name, loss in losses.items():
            self._losses[name] = self._losses.get(name, 0) + loss.detach()
        known, kept = truth >= 0, targets.kept
        for name, members, labels in (
            ("seen", known, truth),
            ("kept", known & kept, truth),
            ("right", known & kept & (targets.labels == truth), truth),
            ("predicted", kept, targets.labels),
        ):
            # by comparison, not by bincount: that has no deterministic form on CUDA
            classes = torch.arange(len(self._tallies[name]), device=truth.device)
            self._tallies[name] += ((labels[:, None] == classes) & members[:, None]).sum(0)

    def close_row(self, step: int, lr: float) -> dict[str, float]:
        """Turn what came in since the last row into rows, and return the one of history.csv."""
        tallies = {name: tally.tolist() for name, tally in self._tallies.items()}
        seen, kept, right = (sum(tallies[name]) for name in ("seen", "kept", "right"))
        losses = {name: float(total) / self._steps for name, total in self._losses.items()}
        row = {"step": step, "lr": lr, "loss": sum(losses.values())}
        row |= {f"loss_{name}": value for name, value in losses.items()}
        row |= {"pl_coverage": kept / seen if seen else None, "pl_accuracy": right / kept if kept else None}
        self.rows.append(row)
        for k in range(len(tallies["seen"])):
            self.class_rows.append({"step": step, "class": k} | {name: tallies[name][k] for name in TALLIES})
        for tally in self._tallies.values():
            tally.zero_()
        self._losses, self._steps = {}, 0
        return row

    def state(self) -> dict:
        """Everything, for a checkpoint."""
        return {
            "rows": self.rows,
            "class_rows": self.class_rows,
            "tallies": self._tallies,
            "losses": self._losses,
            "steps": self._steps,
        }

    def restore(self, state: dict) -> None:
        """Go on from `state`."""
        self.rows, self.class_rows = state["rows"], state["class_rows"]
        self._tallies, self._losses, self._steps = state["tallies"], state["losses"], state["steps"]
