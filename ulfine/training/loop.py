"""The training loop, the same for every method."""

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.optim import SGD, AdamW, Optimizer

from ulfine.params.train import Train
from ulfine.progress import progress
from ulfine.training.batches import Batches, Views, plain_batches
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.flops import flop_counter
from ulfine.training.history import History
from ulfine.training.learner import Learner


@dataclass(frozen=True)
class Cost:
    """What a training took, over all its processes when it was interrupted."""

    seconds: float
    images_seen: int  # views, as pictures or as cached features
    flops: int  # forward and backward


class Loop:
    """One training, from its checkpoint where there is one.

    Args:
        learner: what is trained.
        batches: a batch for every step.
        train: steps, optimizer, schedule.
        history: takes in every step.
        checkpoint: where the state is kept meanwhile.
    """

    def __init__(
        self, learner: Learner, batches: Batches, train: Train, history: History, checkpoint: Checkpoint
    ) -> None:
        self.learner, self.batches, self.train = learner, batches, train
        self.history, self.checkpoint = history, checkpoint
        self.optimizer = make_optimizer(learner, train)
        self.flops: int | None = None  # of one step, counted on the first
        self.before = 0.0  # seconds spent by processes before this one
        self.started = time.perf_counter()

    def run(self) -> Cost:
        """Train to the last step.

        Raises:
            ValueError: the loss is not finite.
        """
        first = self._resume()
        images = self.batches.images_per_step
        self.learner.train()
        with progress(self.train.steps * images, "train") as bar:
            bar.update(first * images)
            for step in range(first, self.train.steps):
                self._counted_step(step)
                done = step + 1
                bar.update(images)
                if done % self.train.log_every == 0 or done == self.train.steps:
                    bar.set_postfix_str(f"step {done}/{self.train.steps}, loss {self._log(done):.3f}", refresh=False)
                if self.checkpoint.due():
                    self.checkpoint.save(self._state(done))
        return Cost(self._seconds(), self.train.steps * images, self.flops * self.train.steps)

    def _counted_step(self, step: int) -> None:
        counter = flop_counter() if self.flops is None else nullcontext()
        with counter:
            self._step(step)
        if self.flops is None:  # one step stands for all: they have the same shapes
            self.flops = counter.get_total_flops()

    def _step(self, step: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate_factor(step, self.train.steps, self.train.schedule)
        batch = self.batches.at(step)
        result = self.learner(batch)
        self.optimizer.zero_grad(set_to_none=True)
        sum(result.losses.values()).backward()
        self.optimizer.step()
        self.learner.adapt(step, batch, result)
        self.history.add(result.losses, result.targets, batch.truth)

    def _log(self, done: int) -> float:
        row = self.history.close_row(done, self.optimizer.param_groups[0]["lr"])
        if not math.isfinite(row["loss"]):
            raise ValueError(f"loss is {row['loss']} at step {done}; a smaller train.lr may help")
        return row["loss"]

    def _seconds(self) -> float:
        return self.before + time.perf_counter() - self.started

    def _state(self, done: int) -> dict[str, Any]:
        return {
            "learner": self.learner.trained(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history.state(),
            "done": done,
            "seconds": self._seconds(),
            "flops": self.flops,
        }

    def _resume(self) -> int:
        state = self.checkpoint.load()
        if state is None:
            return 0
        self.learner.load_state_dict(state["learner"], strict=False)  # the frozen tower is not in there
        self.optimizer.load_state_dict(state["optimizer"])
        self.history.restore(state["history"])
        self.before, self.flops = state["seconds"], state["flops"]
        print(f"resuming at step {state['done']}")
        return state["done"]


def make_optimizer(learner: Learner, train: Train) -> Optimizer:
    """SGD or AdamW over the learner's groups; each group remembers the rate that the schedule scales."""
    groups = [group | {"peak": group["lr"]} for group in learner.parameter_groups()]
    if train.optimizer == "sgd":
        return SGD(groups, lr=train.lr, momentum=train.momentum, weight_decay=train.weight_decay)
    return AdamW(groups, lr=train.lr, betas=(train.momentum, 0.999), weight_decay=train.weight_decay)


def rate_factor(step: int, steps: int, schedule: str) -> float:
    """The learning rate of step `step` as a share of its peak: 1, or half a cosine from 1 towards 0."""
    return 1.0 if schedule == "constant" else 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.inference_mode()
def predict(learner: Learner, views: Views, part: str, indices: np.ndarray) -> dict[str, np.ndarray]:
    """(N, K) logits of each classifier on plain pictures: `indices` of part train or test."""
    learner.eval()
    found: dict[str, list[np.ndarray]] = {}
    for batch in plain_batches(views, part, indices):
        for name, logits in learner.logits(learner.embed(batch)).items():
            found.setdefault(name, []).append(logits.cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}
