"""1. A step of linear probing on cached views, against the same step with the frozen tower in the loop.

Both see the same views, 32 labeled and 2 x 32 unlabeled, and end with the same logits. The tower gets views that were
augmented beforehand.
"""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

import math
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.cell import FirstCell
from benchmarks.measured import Found, quartiles, ratios, report
from ulfine.data.augmentation import strong_views, weak_views
from ulfine.data.features import Features
from ulfine.training.batches import CachedViews

STEPS, TAIL = 12, 256


@dataclass(frozen=True, eq=False)
class InMemory(Features):
    """Arrays in memory, of the same pictures in every view."""

    indices: np.ndarray
    views: dict[str, np.ndarray]

    def view(self, view: str, _: str) -> np.ndarray:
        """Return the array of one view."""
        return self.views[view]

    def pictures(self, _: str) -> np.ndarray:
        """Return the indices of all pictures."""
        return self.indices


class TowerInTheLoop(CachedViews):
    """The same draws of the same views, but as flat pictures that pass through the tower each time."""

    tower: torch.nn.Module

    def _drawn(self, view: str, indices: np.ndarray, seed: int) -> torch.Tensor:
        pictures = super()._drawn(view, indices, seed)
        side = math.isqrt(pictures.shape[-1] // 3)
        with torch.no_grad():
            return self.tower(pictures.unflatten(-1, (side, side, 3)))


def main() -> None:
    """Measure both, and compare their logits."""
    first = FirstCell()
    store, augmentation, tower = first.inputs.store, first.augmentation, first.tower().to(first.device)
    used = first.inputs.pictures
    pictures = torch.from_numpy(store.images["train"][used])
    views = {
        "weak": [weak_views(pictures, augmentation.weak, seed) for seed in range(augmentation.views.weak)],
        "strong": [strong_views(pictures, augmentation, seed) for seed in range(augmentation.views.strong)],
    }
    as_pictures = {name: np.stack([view.numpy() for view in found]) for name, found in views.items()}
    with torch.inference_mode():
        through = {
            name: [torch.cat([tower(part.to(first.device)) for part in view.split(64)]).cpu() for view in found]
            for name, found in views.items()
        }
    as_features = {name: np.stack([view.numpy() for view in found]) for name, found in through.items()}
    rest = {"plain": used[:1], "test": used[:1]}
    cached = CachedViews(InMemory(first.at.features, used, as_features | rest), "", first.device)
    flat = {name: values.reshape(*values.shape[:2], -1) for name, values in as_pictures.items()}
    looped = TowerInTheLoop(InMemory(first.at.features, used, flat | rest), "", first.device)
    looped.tower = tower
    trainings = [first.training("lp", views=found, batch_size=32, unlabeled_ratio=1) for found in (looped, cached)]
    taken = [0, 0]

    def step(which: int) -> None:
        trainings[which].step(taken[which])
        taken[which] += 1

    found = ratios(lambda: step(0), lambda: step(1), STEPS, first.device)
    features = np.array(first.inputs.features.view("test", first.inputs.space)[:TAIL])
    with torch.no_grad():
        logits = [each.learner.logits(each.learner.encoder(torch.from_numpy(features))) for each in trainings]
    apart = (logits[0]["linear"] - logits[1]["linear"]).abs().max().item()
    batch = "batch 32 + 2x32; the frozen tower has become faster itself, by folded norms"
    report(
        Found(1, "times as fast", found[len(found) // 2], "x", 50, "higher", f"{quartiles(found)}; {batch}"),
        Found(1, "largest difference of final logits", apart, "", 1e-4, "lower", f"after {STEPS + 1} steps; {batch}"),
        device=first.device,
    )


if __name__ == "__main__":
    main()
