"""Many trials of one method, each scored on validation pictures.

On frozen features, the heads of trials that differ in numbers train as one; with a tower, every trial trains alone.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ulfine.methods.rivals.kinds import KINDS
from ulfine.params.augmentation import Augmentation
from ulfine.params.base import Section
from ulfine.params.method import Method
from ulfine.params.train import Train
from ulfine.training.batches import Batches, Views
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.history import Rows
from ulfine.training.inputs import Inputs
from ulfine.training.learner import Learner
from ulfine.training.loop import Loop
from ulfine.training.predict import predict
from ulfine.training.run import new_learner, views_for
from ulfine.training.start import Start, start_from_text

TOGETHER = 128  # heads; more would only take more memory
CONSTANTS = {  # what may differ between heads that train as one
    "train": (
        "lr", "momentum", "weight_decay", "scale", "logit_adjustment", "threshold", "pseudo_label_adjustment",
        "unlabeled_adjustment", "prior_decay",
    ),
    "paf": ("mu", "visual_decay", "orthogonality"),
    "dlf": ("eta",),
}  # fmt: skip
Trial = tuple[Method, Train]
Score = Callable[[dict[str, np.ndarray]], dict[str, Any]]  # (N, K) logits of each classifier to a row


class MeanLoss:
    """The log of a sweep: the loss, averaged over the heads that have not diverged."""

    def __init__(self) -> None:
        self.rows = Rows()
        self._total: Tensor | float = 0.0
        self._steps = 0

    def add(self, losses: dict[str, Tensor], *_: object) -> None:
        """Take in one step."""
        self._total = self._total + sum(losses.values()).detach()
        self._steps += 1

    def close_row(self, *_: object) -> dict[str, float]:
        """The mean since the last row; 0 where all have diverged."""
        loss = float(self._total[self._total.isfinite()].mean().nan_to_num()) / self._steps
        self._total, self._steps = 0.0, 0
        return {"loss": loss}

    def state(self) -> dict:
        """Everything, for a checkpoint."""
        return {"total": self._total, "steps": self._steps}

    def restore(self, state: dict) -> None:
        """Go on from `state`."""
        self._total, self._steps = state["total"], state["steps"]


def together(method: Method) -> bool:
    """Whether heads of a method can train as one."""
    return method.cached and (method.rival is None or KINDS[method.rival.kind].together)


def groups(trials: list[Trial]) -> Iterator[list[int]]:
    """Positions of trials that train together: on cached features those that differ in constants alone."""
    alike: dict[str, list[int]] = {}
    for position, (method, train) in enumerate(trials):
        if not together(method):
            yield [position]
            continue
        rest = method.model_dump(exclude={"train": True} | {name: set(CONSTANTS[name]) for name in ("paf", "dlf")})
        found = json.dumps([rest, train.model_dump(exclude=set(CONSTANTS["train"]))])
        alike.setdefault(found, []).append(position)
    for positions in alike.values():
        for start in range(0, len(positions), TOGETHER):
            yield positions[start : start + TOGETHER]


def stacked(trials: list[Trial], device: torch.device) -> Trial:
    """One of them, with tensors of (H,) for the constants that differ: the number of each."""
    method = trials[0][0]
    parts = {
        name: _with_tensors([getattr(each, name) for each, _ in trials], CONSTANTS[name], device)
        for name in ("paf", "dlf")
        if getattr(method, name) is not None
    }
    return method.model_copy(update=parts), _with_tensors([each for _, each in trials], CONSTANTS["train"], device)


def _with_tensors(sections: list[Section], names: tuple[str, ...], device: torch.device) -> Section:
    values = {name: [float(getattr(section, name)) for section in sections] for name in names}
    differing = {name: torch.tensor(x, device=device) for name, x in values.items() if len(set(x)) > 1}
    return sections[0].model_copy(update=differing)


def heads(inputs: Inputs, trials: list[Trial], seed: int, device: torch.device) -> Learner:
    """A learner of as many heads as there are trials on cached features, which `groups` has put together."""
    method, train = stacked(trials, device)

    def start() -> Start:
        return start_from_text(inputs, train).by_head(len(trials), train.scale)

    return new_learner(inputs, start, method, train, seed, device)


def sweep(
    inputs: Inputs,
    trials: list[Trial],
    score: Score,
    *,
    encoder: Callable[[Method, Train], nn.Module],
    augmentation: Augmentation,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
) -> list[dict[str, Any]]:
    """Train every trial, and score each on the validation pictures: a row a trial.

    The checkpoint holds the rows of what is done; a second one beside it, the training at work.

    encoder: makes what turns pictures into features, for a trial that does not train on cached ones.
    """
    rows: dict[int, dict[str, Any]] = {int(n): row for n, row in ((checkpoint.load() or {}).items())}
    for positions in groups(trials):
        if positions[0] in rows:
            continue
        method, train = trials[positions[0]]
        one = together(method)
        if one:
            learner = heads(inputs, [trials[n] for n in positions], seed, device)
        else:
            start = partial(start_from_text, inputs, train, partial(encoder, method, train))
            learner = new_learner(inputs, start, method, train, seed, device)
        views = views_for(inputs, learner, augmentation, device)
        logits = train_once(learner, views, inputs, seed, Checkpoint(checkpoint.path.with_suffix(".part"), device))
        for head, position in enumerate(positions):
            rows[position] = score({name: values[head] if one else values for name, values in logits.items()})
        checkpoint.save({str(n): row for n, row in rows.items()})
        print(f"{len(rows)} of {len(trials)} trials are done", flush=True)
    return [rows[n] for n in range(len(trials))]


def train_once(
    learner: Learner, views: Views, inputs: Inputs, seed: int, checkpoint: Checkpoint
) -> dict[str, np.ndarray]:
    """Train a learner and return the (..., N, K) validation logits of each classifier, with an axis of heads if any."""
    batches = Batches(views, inputs.store.labels["train"], inputs.indices, learner.options, seed)
    loop = Loop(learner, batches, learner.options, MeanLoss(), checkpoint, list)
    loop.run()
    checkpoint.remove()
    with loop.average.applied():
        return predict(learner, views, *inputs.evaluated()["validation"])
