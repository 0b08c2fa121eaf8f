"""One run from its inputs to what it leaves: assemble a learner, train it, predict."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from ulfine.arrays import write_tensors
from ulfine.data.features import WHOLE
from ulfine.files import write_csv, write_json
from ulfine.methods.dlf import require_decides
from ulfine.methods.training_free import Classify, prior_corrected, tip_adapter
from ulfine.methods.zero_shot import zero_shot_logits
from ulfine.params.augmentation import Augmentation
from ulfine.params.method import Method
from ulfine.params.rival import PriorCorrected, Rival, TipAdapter
from ulfine.params.train import Train
from ulfine.rng import WEIGHTS, key
from ulfine.training.average import AVERAGE
from ulfine.training.batches import Batches, CachedViews, PictureViews, Views
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.history import History, Rows, cosines
from ulfine.training.inputs import Inputs
from ulfine.training.learner import Learner
from ulfine.training.loop import Loop
from ulfine.training.predict import predict
from ulfine.training.start import Start
from ulfine.training.trackers import Tell, tracked, untold

if TYPE_CHECKING:
    from ulfine.config.baseline import BaselineConfig
    from ulfine.config.train import TrainConfig


@dataclass(frozen=True)
class Result:
    """The outcome of a run; all of it is deterministic but `cost`."""

    # "{set}.{classifier}" (N, K) and "{set}.labels" (N,), sets of Inputs.evaluated; "unlabeled.pseudo" (N, K),
    # "unlabeled.labels", and where classifiers are fused "unlabeled.{classifier}.label" and ".confidence" (N,)
    logits: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]  # what was trained
    summary: dict[str, Any]
    cost: dict[str, Any]
    rows: Rows = field(default_factory=Rows)
    cosines: dict[str, np.ndarray] = field(default_factory=dict)  # classifier -> (K, K) between its rows

    def write(self, folder: Path, facts: dict[str, Any]) -> None:
        """Fill `folder` with tensors, logs and run.json (the summary, and `facts`): the same bytes each time."""
        for name, tensors in (("logits", self.logits), ("weights", self.weights), ("cosines", self.cosines)):
            if tensors:
                write_tensors(folder / f"{name}.safetensors", tensors)
        rows = self.rows
        logs = {
            "history": rows.steps,
            "pseudo_labels": rows.classes,
            "classifiers": rows.classifiers,
            "validation": rows.validation,
        }
        for name, table in logs.items():
            if table:  # zero-shot has none
                write_csv(folder / f"{name}.csv", table)
        write_json(folder / "run.json", self.summary | facts)


def training_free(inputs: Inputs, rival: Rival | None) -> Result:
    """Classify by the text prototypes of the joint space, and what a rival adds to them; nothing is trained."""
    text, classify = inputs.features.text("joint"), classifier_of(inputs, rival)
    logits = {}
    for name, (part, indices) in inputs.evaluated().items():
        images = inputs.features.of(WHOLE[part], "joint", indices)
        logits[f"{name}.text"] = classify(images)
        logits[f"{name}.labels"] = inputs.store.labels[part][indices]
    summary = {"decides": {"test": "text"}, "scale": text.logit_scale, "threshold": None, "trainable_params": 0}
    cost = {"seconds": 0.0, "images_seen": 0, "flops": 0, "energy_joules": None}
    return Result(logits, {"text.weight": text.prototypes}, summary, cost)


def classifier_of(inputs: Inputs, rival: Rival | None) -> Classify:
    """(N, E) joint features to (N, K) logits of a method that trains nothing."""
    text, features = inputs.features.text("joint"), inputs.features
    match rival:
        case TipAdapter():
            labeled = inputs.indices["labeled"]
            keys = features.of("plain", "joint", labeled)
            return tip_adapter(text, rival, keys, inputs.store.labels["train"][labeled])
        case PriorCorrected():
            return prior_corrected(text, rival, features.of("plain", "joint", inputs.pool))
    return partial(zero_shot_logits, text=text)


def train(
    inputs: Inputs,
    *,
    start: Callable[[], Start],
    method: Method,
    options: Train,
    augmentation: Augmentation,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
    tell: Tell = untold,
) -> Result:
    """Train one method and predict. start: makes what the learner starts from, as new weights are drawn here.

    tell: is told of each row of history.csv.

    Raises:
        ValueError: DLF aligns the logits of two classes; the loss is not finite.
    """
    learner = new_learner(inputs, start, method, options, seed, device)
    views = views_for(inputs, learner, augmentation, device)
    batches = Batches(views, inputs.store.labels["train"], inputs.indices, options, seed)
    share = None if inputs.pool_share is None else torch.tensor(inputs.pool_share, dtype=torch.float32, device=device)
    history = History(len(inputs.counts), share)
    validate = validation(learner, views, inputs) if "validation" in inputs.evaluated() else list
    loop = Loop(learner, batches, options, history, checkpoint, validate, tell)
    cost = loop.run()
    spared = {f"rival.{name}" for name in learner.rival.training_only}
    weights = {name: tensor.cpu().numpy() for name, tensor in learner.trained().items() if name not in spared}
    with loop.average.applied():
        return Result(
            _predictions(learner, views, inputs),
            weights | {f"{AVERAGE}{name}": tensor.cpu().numpy() for name, tensor in loop.average.weights.items()},
            _summary(learner, inputs),
            vars(cost),
            history.rows,
            {name: cosines(rows).cpu().numpy() for name, rows in learner.classifiers().items()},
        )


def train_tracked(
    config: "TrainConfig | BaselineConfig",
    names: dict[str, Any],
    inputs: Inputs,
    start: Callable[[], Start],
    device: torch.device,
    checkpoint: Checkpoint,
) -> Result:
    """Train by the configuration of a job, followed by its tracker. names: of the cell."""
    with tracked(config.train.tracker, names, config.as_json()) as tell:
        return train(
            inputs,
            start=start,
            method=config.method,
            options=config.train,
            augmentation=config.augmentation,
            seed=names["seed"],
            device=device,
            checkpoint=checkpoint,
            tell=tell,
        )


def new_learner(
    inputs: Inputs, start: Callable[[], Start], method: Method, options: Train, seed: int, device: torch.device
) -> Learner:
    """A learner before its first step. start: makes what it starts from, as new weights are drawn here.

    Raises:
        ValueError: DLF aligns the logits of two classes.
    """
    require_decides(len(inputs.counts), method.dlf)
    torch.manual_seed(key(seed, WEIGHTS))
    return Learner(start(), method, options, len(inputs.indices["unlabeled"])).to(device)


def views_for(inputs: Inputs, learner: Learner, augmentation: Augmentation, device: torch.device) -> Views:
    """Cached features for classifiers that train on them, else pictures."""
    if learner.tuning.cached:
        return CachedViews(inputs.features, inputs.space, device)
    return PictureViews(inputs.store, augmentation, device, learner.encoder.enlarge)


def validation(learner: Learner, views: Views, inputs: Inputs) -> Callable[[], list[dict[str, int]]]:
    """Rows of validation.csv on demand: by class, how many validation pictures are there and how many right at test."""
    part, indices = inputs.evaluated()["validation"]
    labels, classes = inputs.store.labels[part][indices], len(inputs.counts)
    chosen = first_of_each(labels, learner.options.validate_pictures)
    indices, labels = indices[chosen], labels[chosen]

    def rows() -> list[dict[str, int]]:
        logits = predict(learner, views, part, indices, learner.options.test_crops)[learner.decides("test")]
        right = np.bincount(labels[logits.argmax(1) == labels], minlength=classes).tolist()
        pictures = np.bincount(labels, minlength=classes).tolist()
        return [{"class": k, "pictures": pictures[k], "right": right[k]} for k in range(classes)]

    return rows


def first_of_each(labels: np.ndarray, number: int) -> np.ndarray:
    """Positions of the first `number` pictures of each class, sorted; all of them for 0. labels: (N,)."""
    return np.sort(np.concatenate([np.flatnonzero(labels == k)[: number or None] for k in np.unique(labels)]))


def _predictions(learner: Learner, views: Views, inputs: Inputs) -> dict[str, np.ndarray]:
    logits = {}
    for name, (part, indices) in inputs.evaluated().items():
        classify = learner.all_logits if name == "test" else learner.logits
        found = predict(learner, views, part, indices, learner.options.test_crops, classify)
        logits |= {f"{name}.{classifier}": values for classifier, values in found.items()}
        logits[f"{name}.labels"] = inputs.store.labels[part][indices]
    pool = predict(learner, views, "train", inputs.pool, classify=learner.pool_logits)
    logits["unlabeled.pseudo"] = pool.pop("pseudo")
    if learner.text is not None:  # what each classifier would make of the pool, without its logits, which are many
        for name, values in pool.items():
            confidence, label = torch.from_numpy(values).softmax(dim=-1).max(dim=-1)
            logits[f"unlabeled.{name}.confidence"] = confidence.numpy()
            logits[f"unlabeled.{name}.label"] = label.numpy().astype(np.int32)
    logits["unlabeled.labels"] = inputs.store.labels["train"][inputs.pool]
    return logits


def _summary(learner: Learner, inputs: Inputs) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "decides": {where: learner.decides(where) for where in ("pseudo_labels", "test")},
        "scale": None if learner.tuning.from_scratch else learner.options.scale,
        "threshold": learner.options.threshold,
        "trainable_params": learner.trainable(),
        "prior": {
            "estimate": learner.unlabeled_share().tolist() if learner.options.unlabeled_ratio else None,
            "truth": None if inputs.pool_share is None else inputs.pool_share.tolist(),
        },
    }
    if learner.fitting is not None:
        cosine = F.cosine_similarity(learner.text.weight.detach(), learner.fitting.text, dim=-1)
        summary["text_share"] = learner.fitting.text_share.tolist()
        summary["text_cosine"] = cosine.tolist()
    return summary
