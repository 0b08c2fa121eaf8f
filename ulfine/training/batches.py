"""The batches of a run: each a pure function of the seed and the step, so that a resumed run sees the same ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ulfine.data.augmentation import minimalist_views, resized_crops, strong_views, weak_views
from ulfine.data.features import VIEWS, WHOLE, Features
from ulfine.data.resident import Rows, sent
from ulfine.data.store import Store
from ulfine.models.resize import before_augmenting
from ulfine.params.augmentation import Augmentation
from ulfine.params.train import Train
from ulfine.rng import LABELED, STRONG, UNLABELED, generator, key, shuffled

PREDICT_BATCH = 64


@dataclass(frozen=True)
class Batch:
    """One step. Views are (B, side, side, 3) uint8 pictures, or (B, D) features where they are cached."""

    labeled: Tensor  # views of B labeled pictures, weak unless `labeled_view` says otherwise
    labels: Tensor  # (B,)
    weak: Tensor | None = None  # weak views of U unlabeled pictures; None where the training takes none
    strong: Tensor | None = None  # strong views of the same
    own: Tensor | None = None  # (U,) bool, false for a labeled picture's copy in the unlabeled pool
    truth: Tensor | None = None  # (U,) true labels, -1 where unknown and for copies; for the log alone
    pictures: Tensor | None = None  # (U,) their positions in the unlabeled pool

    def parts(self, number: int) -> Iterator["Batch"]:
        """Split the batch into `number` parts of equal size."""
        columns = [[None] * number if x is None else x.chunk(number) for x in vars(self).values()]
        return (Batch(*part) for part in zip(*columns, strict=True))


class Views(Protocol):
    """A source of views of training pictures, by index, and of plain pictures of either part."""

    device: torch.device

    def weak(self, indices: np.ndarray, seed: int) -> Tensor:
        """Weak views."""

    def strong(self, indices: np.ndarray, seed: int) -> Tensor:
        """Strong views."""

    def whole(self, indices: np.ndarray) -> Tensor:
        """No augmentation, at the size of the other views."""

    def resized_crop(self, indices: np.ndarray, seed: int) -> Tensor:
        """Random crops, resized."""

    def minimalist(self, indices: np.ndarray, seed: int, done: float) -> Tensor:
        """LIFT+'s crops; done: share of the training that is behind."""

    def plain(self, part: str, indices: np.ndarray) -> Tensor:
        """Pictures of part train or test as they are."""


class CachedViews:
    """Frozen features; each draw takes one of the cached views.

    Args:
        features: of the split; a broken file is found before the first step.
        space: pooled or joint.
        device: of the training.
    """

    def __init__(self, features: Features, space: str, device: torch.device) -> None:
        self.device = device
        self.features = features
        found = {view: features.view(view, space) for view in VIEWS}
        self.views = {view: Rows(values.reshape(-1, values.shape[-1]), device) for view, values in found.items()}
        self.shape = {view: values.shape[:-1] for view, values in found.items()}

    def weak(self, indices: np.ndarray, seed: int) -> Tensor:
        """(B, D), one of the weak views of each."""
        return self._drawn("weak", indices, seed)

    def strong(self, indices: np.ndarray, seed: int) -> Tensor:
        """(B, D), one of the strong views of each."""
        return self._drawn("strong", indices, seed)

    def whole(self, indices: np.ndarray) -> Tensor:
        """(B, D)."""
        return self.plain("train", indices)

    def plain(self, part: str, indices: np.ndarray) -> Tensor:
        """(B, D)."""
        view = WHOLE[part]
        return self.views[view].take(self.features.rows(view, indices))

    def _drawn(self, view: str, indices: np.ndarray, seed: int) -> Tensor:
        views, pictures = self.shape[view]
        number = generator(seed).integers(views, size=len(indices))
        return self.views[view].take(number * pictures + self.features.rows(view, indices))


class PictureViews:
    """Pictures, augmented on their device as they are asked for.

    Args:
        store: of the pictures.
        augmentation: their views.
        device: of the training.
        enlarge: pictures to the side that the network takes, for views that are made at it.
    """

    def __init__(
        self, store: Store, augmentation: Augmentation, device: torch.device, enlarge: Callable[[Tensor], Tensor]
    ) -> None:
        self.device, self.augmentation = device, augmentation
        self.pictures = {part: Rows(images, device) for part, images in store.images.items()}
        self.enlarge = before_augmenting(augmentation, enlarge)

    def weak(self, indices: np.ndarray, seed: int) -> Tensor:
        """(B, side, side, 3) uint8."""
        return weak_views(self.whole(indices), self.augmentation.weak, seed)

    def strong(self, indices: np.ndarray, seed: int) -> Tensor:
        """(B, side, side, 3) uint8."""
        return strong_views(self.whole(indices), self.augmentation, seed)

    def resized_crop(self, indices: np.ndarray, seed: int) -> Tensor:
        """(B, side, side, 3) uint8."""
        return resized_crops(self.whole(indices), seed)

    def minimalist(self, indices: np.ndarray, seed: int, done: float) -> Tensor:
        """(B, side, side, 3) uint8."""
        return minimalist_views(self.whole(indices), seed, done)

    def whole(self, indices: np.ndarray) -> Tensor:
        """(B, side, side, 3) uint8."""
        return self.enlarge(self.plain("train", indices))

    def plain(self, part: str, indices: np.ndarray) -> Tensor:
        """(B, side, side, 3) uint8."""
        return self.pictures[part].take(indices)


@dataclass(frozen=True)
class Batches:
    """Labeled and unlabeled batches of one split.

    Args:
        views: where the views come from.
        labels: (N,) labels of all training pictures, -1 where unknown.
        indices: those of the labeled and of the unlabeled ones, sorted; the latter may hold copies of the former.
        train: batch sizes.
        seed: of the run.
    """

    views: Views
    labels: np.ndarray
    indices: dict[str, np.ndarray]
    train: Train
    seed: int

    @property
    def images_per_step(self) -> int:
        """Views that one step takes in, pictures or cached features."""
        return self.train.batch_size * (1 + 2 * self.train.unlabeled_ratio)

    def at(self, step: int, adopted: np.ndarray | None = None) -> Batch:
        """The batch of one step. adopted: (N,) classes of pool pictures that count as labeled, -1 for the others."""
        size = self.train.batch_size
        candidates, classes = self._candidates(adopted)
        drawn = shuffled(len(candidates), size, step, self._orders[LABELED])
        labeled = candidates[drawn]
        draw = [key(self.seed, step, stream) for stream in (LABELED, UNLABELED, STRONG)]
        views, labels = self._labeled_views(labeled, draw[0], step), self._on_device(classes[drawn])
        if not self.train.unlabeled_ratio:
            return Batch(views, labels)
        pool = self.indices["unlabeled"]
        positions = shuffled(len(pool), size * self.train.unlabeled_ratio, step, self._orders[UNLABELED])
        pool = pool[positions]
        own = ~self.labeled[pool]
        truth = np.where(own, self.labels[pool], -1)
        return Batch(
            views,
            labels,
            self.views.weak(pool, draw[1]),
            self.views.strong(pool, draw[2]),
            self._on_device(own),
            self._on_device(truth),
            self._on_device(positions),
        )

    @cached_property
    def labeled(self) -> np.ndarray:
        """(N,) whether a training picture is labeled."""
        mask = np.zeros(len(self.labels), bool)
        mask[self.indices["labeled"]] = True
        return mask

    def _labeled_views(self, indices: np.ndarray, seed: int, step: int) -> Tensor:
        match self.train.labeled_view:
            case "weak":
                return self.views.weak(indices, seed)
            case "plain":
                return self.views.whole(indices)
            case "resized_crop":
                return self.views.resized_crop(indices, seed)
            case "minimalist":
                return self.views.minimalist(indices, seed, step / max(1, self.train.steps - 1))

    def _on_device(self, values: np.ndarray) -> Tensor:
        return sent(values, self.views.device)

    def _candidates(self, adopted: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Pictures that count as labeled, and their classes."""
        labeled = self.indices["labeled"]
        if adopted is None:
            return labeled, self.labels[labeled]
        positions = np.flatnonzero(adopted >= 0)
        pictures = np.concatenate([labeled, self.indices["unlabeled"][positions]])
        return pictures, np.concatenate([self.labels[labeled], adopted[positions]])

    @cached_property
    def _orders(self) -> list[int]:
        """Seeds of the orders of labeled and unlabeled pictures."""
        return [key(self.seed, stream) for stream in (LABELED, UNLABELED)]


def plain_batches(views: Views, part: str, indices: np.ndarray) -> Iterator[Tensor]:
    """All of `indices`, in order, for prediction."""
    for start in range(0, len(indices), PREDICT_BATCH):
        yield views.plain(part, indices[start : start + PREDICT_BATCH])
