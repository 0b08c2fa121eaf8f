"""One run from its inputs to what it leaves: assemble a learner, train it, predict."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ulfine.data.augmentation import key
from ulfine.data.features import Features
from ulfine.data.store import Store
from ulfine.methods.fixmatch import log_prior
from ulfine.methods.zero_shot import zero_shot_logits
from ulfine.models.adapters import insert_adapters
from ulfine.params.augmentation import Augmentation
from ulfine.params.method import Method
from ulfine.params.train import Train
from ulfine.training.batches import Batches, CachedViews, PictureViews, Views
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.history import History
from ulfine.training.learner import Learner, Start
from ulfine.training.loop import Loop, predict

if TYPE_CHECKING:
    from ulfine.models.tower import ImageTower

WEIGHTS_STREAM = 2  # of random numbers, beside those of the batches


@dataclass(frozen=True)
class Inputs:
    """What the stages before left for a run."""

    store: Store
    features: Features
    space: str  # in which classifiers work
    split: dict[str, Any]  # as data/splits.manifest wrote it

    @property
    def indices(self) -> dict[str, np.ndarray]:
        """Labeled, unlabeled and validation: into the training pictures."""
        return {name: np.array(indices) for name, indices in self.split["indices"].items()}

    @property
    def counts(self) -> list[int]:
        """(K,) labeled pictures of each class."""
        return self.split["counts"]["labeled"]


@dataclass(frozen=True)
class Result:
    """What a run leaves; all of it is deterministic but `cost`."""

    logits: dict[str, np.ndarray]  # "{set}.{classifier}" (N, K) and "{set}.labels" (N,); set is test or validation
    weights: dict[str, np.ndarray]
    summary: dict[str, Any]
    cost: dict[str, Any]
    history: list[dict] = field(default_factory=list)
    class_history: list[dict] = field(default_factory=list)


def zero_shot(inputs: Inputs) -> Result:
    """Classify by the text prototypes of the joint space; nothing is trained."""
    text = inputs.features.text("joint")
    logits = {}
    for name, (part, indices) in _evaluated(inputs).items():
        images = inputs.features.view("test" if part == "test" else "plain", "joint")[indices]
        logits[f"{name}.text"] = zero_shot_logits(images, text)
        logits[f"{name}.labels"] = inputs.store.labels[part][indices]
    summary = {"decides": {"test": "text"}, "scale": text.logit_scale, "threshold": None, "trainable_params": 0}
    cost = {"seconds": 0.0, "images_seen": 0, "flops": 0}
    return Result(logits, {"text.weight": text.prototypes}, summary, cost)


def train(
    inputs: Inputs,
    *,
    load_tower: Callable[[], "ImageTower"],
    method: Method,
    options: Train,
    augmentation: Augmentation,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
) -> Result:
    """Train one method and predict. `load_tower` is called only by methods that change the tower."""
    torch.manual_seed(key(seed, WEIGHTS_STREAM))
    views: Views
    if method.tune == "head":
        encoder, views = nn.Identity(), CachedViews(inputs.features, inputs.space, device)
    else:
        encoder, views = load_tower(), PictureViews(inputs.store, augmentation, device)
        if method.tune == "all":
            encoder.unfreeze()
        else:
            insert_adapters(encoder, method.adapter, len(inputs.counts))
    learner = Learner(encoder, starting_point(inputs), method, options).to(device)
    history = History(len(inputs.counts), device)
    batches = Batches(views, inputs.store.labels["train"], inputs.indices, options, seed)
    cost = Loop(learner, batches, options, history, checkpoint).run()
    weights = {name: tensor.cpu().numpy() for name, tensor in learner.trained().items()}
    return Result(
        _predictions(learner, views, inputs), weights, _summary(learner), vars(cost), history.rows, history.class_rows
    )


def starting_point(inputs: Inputs) -> Start:
    """Means over the pictures of the split, text prototypes, and the labeled prior."""
    text = inputs.features.text(inputs.space)
    pictures = np.concatenate([inputs.indices["labeled"], inputs.indices["unlabeled"]])
    plain = inputs.features.view("plain", inputs.space)[np.sort(pictures)]
    mean = plain.mean(0, dtype=np.float64).astype(np.float32)
    prior = log_prior(torch.tensor(inputs.counts, dtype=torch.float32))
    return Start(torch.from_numpy(mean), torch.from_numpy(text.prototypes), torch.from_numpy(text.mean), prior)


def _evaluated(inputs: Inputs) -> dict[str, tuple[str, np.ndarray]]:
    """The sets that classifiers are scored on: part of the store and indices into it."""
    return {
        "test": ("test", np.arange(len(inputs.store.labels["test"]))),
        "validation": ("train", inputs.indices["validation"]),
    }


def _predictions(learner: Learner, views: Views, inputs: Inputs) -> dict[str, np.ndarray]:
    logits = {}
    for name, (part, indices) in _evaluated(inputs).items():
        found = predict(learner, views, part, indices)
        logits |= {f"{name}.{classifier}": values for classifier, values in found.items()}
        logits[f"{name}.labels"] = inputs.store.labels[part][indices]
    pool = inputs.indices["unlabeled"]
    logits["unlabeled.pseudo"] = predict(learner, views, "train", pool)[learner.decides("pseudo_labels")]
    logits["unlabeled.labels"] = inputs.store.labels["train"][pool]
    return logits


def _summary(learner: Learner) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "decides": {where: learner.decides(where) for where in ("pseudo_labels", "test")},
        "scale": learner.options.scale,
        "threshold": learner.options.threshold,
        "trainable_params": learner.trainable(),
    }
    if learner.fitting is not None:
        cosine = F.cosine_similarity(learner.text.weight.detach(), learner.fitting.text, dim=-1)
        summary["text_share"] = learner.fitting.text_share.tolist()
        summary["text_cosine"] = cosine.tolist()
    return summary
