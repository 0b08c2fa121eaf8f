"""Prediction by a trained learner."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ulfine.data.augmentation import five_crops
from ulfine.training.batches import Views, plain_batches
from ulfine.training.learner import Learner


@torch.inference_mode()
def predict(
    learner: Learner,
    views: Views,
    part: str,
    indices: np.ndarray,
    crops: int = 1,
    classify: Callable[[Tensor], dict[str, Tensor]] | None = None,
) -> dict[str, np.ndarray]:
    """(..., N, K) logits of each classifier on plain pictures, `indices` of part train or test; mean over 5 crops.

    classify: features to logits by name; None for those that a step has.
    """
    learner.eval()
    classify = classify or learner.logits
    found: dict[str, list[Tensor]] = {}
    for batch in plain_batches(views, part, indices):
        several = [batch] if crops == 1 else five_crops(batch)
        by_crop = [classify(learner.encoder(crop)) for crop in several]
        for name in by_crop[0]:
            mean = torch.stack([logits[name] for logits in by_crop]).mean(0) if crops > 1 else by_crop[0][name]
            found.setdefault(name, []).append(mean)
    return {name: torch.cat(parts, -2).cpu().numpy() for name, parts in found.items()}
