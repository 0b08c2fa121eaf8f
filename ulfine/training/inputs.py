"""The inputs of a run, from the stages before it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ulfine.data.features import Features
from ulfine.data.store import Store
from ulfine.methods.fixmatch import log_prior


@dataclass(frozen=True)
class Inputs:
    """Pictures, frozen features and the split of one run."""

    store: Store
    features: Features | None  # None from scratch
    space: str | None  # in which classifiers work
    split: dict[str, Any]  # as data/splits.draw_split wrote it

    @cached_property
    def indices(self) -> dict[str, np.ndarray]:
        """Labeled, unlabeled and validation: into the training pictures; sorted."""
        return {name: np.array(indices, dtype=np.int64) for name, indices in self.split["indices"].items()}

    @property
    def counts(self) -> list[int]:
        """(K,) labeled pictures of each class."""
        return self.split["counts"]["labeled"]

    def log_prior(self) -> Tensor:
        """(K,) log of the share of each class among the labeled pictures."""
        return log_prior(torch.tensor(self.counts, dtype=torch.float32))

    @cached_property
    def pictures(self) -> np.ndarray:
        """All labeled and unlabeled pictures, sorted."""
        return np.union1d(self.indices["labeled"], self.indices["unlabeled"])

    @cached_property
    def pool(self) -> np.ndarray:
        """The unlabeled pictures without copies of labeled ones, sorted: what pseudo-labels are scored on."""
        return np.setdiff1d(self.indices["unlabeled"], self.indices["labeled"])

    @cached_property
    def pool_share(self) -> np.ndarray | None:
        """(K,) true share of each class in the pool; None where a label is unknown."""
        labels = self.store.labels["train"][self.pool]
        if (labels < 0).any():
            return None
        return np.bincount(labels, minlength=len(self.counts)) / len(labels)

    def evaluated(self) -> dict[str, tuple[str, np.ndarray]]:
        """The sets that classifiers are scored on, those with pictures: part of the store and indices into it."""
        found = {
            "test": ("test", np.arange(len(self.store.labels["test"]))),
            "validation": ("train", self.indices["validation"]),
        }
        return {name: (part, indices) for name, (part, indices) in found.items() if len(indices)}

    def require_validation(self) -> None:
        """Refuse a split without validation pictures; the check of parameters knows only those that it can count.

        Raises:
            ValueError: there are none, and a sweep needs them.
        """
        if not len(self.indices["validation"]):
            raise ValueError(
                "the split holds out no validation pictures, which a sweep needs; hold some out in its parameters "
                "(validation, validation_share)"
            )
