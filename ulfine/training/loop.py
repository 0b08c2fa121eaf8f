"""The training loop, the same for every method."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ulfine.errors import advising
from ulfine.methods.fixmatch import PseudoLabels
from ulfine.methods.losses import Step
from ulfine.params.train import Train
from ulfine.progress import progress
from ulfine.training.average import WeightAverage
from ulfine.training.batches import Batch, Batches
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.energy import Energy
from ulfine.training.flops import Operations, done_and_counted, head_flops
from ulfine.training.history import History
from ulfine.training.learner import Learner
from ulfine.training.optimizers import make_optimizer, restore
from ulfine.training.predict import predict
from ulfine.training.trackers import Tell, untold


@dataclass(frozen=True)
class Cost:
    """The cost of a training, summed over its processes when it was interrupted."""

    seconds: float
    images_seen: int  # views, as pictures or as cached features
    flops: int  # forward and backward
    energy_joules: float | None  # of the GPU; None where nobody tells


class Loop:
    """One training, from its checkpoint where there is one.

    Args:
        learner: what is trained.
        batches: a batch for every step.
        train: steps, optimizer, schedule.
        history: takes in every step.
        checkpoint: where the state is kept meanwhile.
        validate: gives the rows of validation.csv, from the weights that would predict.
        tell: is told of each row of history.csv as soon as it is there.
    """

    def __init__(
        self,
        learner: Learner,
        batches: Batches,
        train: Train,
        history: History,
        checkpoint: Checkpoint,
        validate: Callable[[], list[dict[str, int]]],
        tell: Tell = untold,
    ) -> None:
        self.learner, self.batches, self.train = learner, batches, train
        self.history, self.checkpoint, self.validate, self.tell = history, checkpoint, validate, tell
        self.average = WeightAverage(learner, train.ema_decay)
        self.optimizer = make_optimizer(learner, train)
        self.adopted: np.ndarray | None = None  # of a rival
        _, until = learner.rival.span(0)
        trained = learner.trained() if until < train.steps else {}
        self.initial = {name: each.clone() for name, each in trained.items() if not name.startswith("rival.")}
        self.operations: Operations | None = None  # counted on the first step
        self.views = 0  # that passed with a gradient so far
        self._compiled = False
        self.before = 0.0  # seconds spent by processes before this one
        self.started = time.perf_counter()
        self.energy, self.energy_before = Energy(batches.views.device), 0.0

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
                self._step(step)
                done = step + 1
                bar.update(images)
                if done % self.train.log_every == 0 or done == self.train.steps:
                    bar.set_postfix_str(f"step {done}/{self.train.steps}, {self._log(done)}", refresh=False)
                if self.train.validate_every and (done % self.train.validate_every == 0 or done == self.train.steps):
                    self._validate(done)
                if self.checkpoint.due():
                    self.checkpoint.save(self._state(done))
        flops = self.operations.of(self.train.steps, self.views)
        return Cost(self._seconds(), self.train.steps * images, flops, self._joules())

    def _step(self, step: int) -> None:
        first, until = self.learner.rival.span(step)
        if 0 < step == first:
            self._renew()
        factor = rate_factor(step - first, until - first, self.train.schedule, self.train.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        with advising("a smaller train.batch_size or train.unlabeled_ratio takes less"):
            batch = self.batches.at(step, self.adopted)
            done = self._done if self.operations else self._counted
            losses, result = done(batch, step)
        self.average.update(step + 1 - first)
        self.history.add(losses, result.targets, batch)
        self.views += result.passed

    def _renew(self) -> None:
        """Begin anew, with what a rival adopts from the pool by the weights of now."""
        pool = self.batches.indices["unlabeled"]
        with self.average.applied():
            logits = predict(self.learner, self.batches.views, "train", pool, classify=self.learner.logits)["linear"]
        self.learner.train()
        own = torch.from_numpy(~self.batches.labeled[pool])
        self.learner.rival.renew(
            *(values.to(self.learner.log_prior.device) for values in (torch.from_numpy(logits), own))
        )
        self.learner.load_state_dict(self.initial, strict=False)
        self.optimizer = make_optimizer(self.learner, self.train)
        self.average = WeightAverage(self.learner, self.train.ema_decay)
        self._adopt()

    def _adopt(self) -> None:
        adopted = self.learner.rival.adoptions()
        self.adopted = None if adopted is None else adopted.cpu().numpy()

    def _done(self, batch: Batch, step: int) -> tuple[dict[str, Tensor], Step]:
        """Make pseudo-labels, and learn from them."""
        if self.train.compile and not self._compiled and not self.learner.tuning.cached:
            self.learner.encoder.compile()  # not before the first step, as torch cannot count in what is compiled
            self._compiled = True
        return self._learn(batch, self.learner.targets(batch), step)

    def _counted(self, batch: Batch, step: int) -> tuple[dict[str, Tensor], Step]:
        """The same on the first step, which stands for all in the count of operations: they add up view by view."""
        if self.learner.tuning.cached and self.learner.rival.costs_as_fixmatch:
            size = self.train.batch_size
            self.operations = Operations(head_flops(self.learner, size, size * self.train.unlabeled_ratio))
            return self._done(batch, step)
        targets, of_targets = done_and_counted(lambda: self.learner.targets(batch))
        (losses, result), of_views = done_and_counted(lambda: self._learn(batch, targets, step))
        self.operations = Operations(of_targets, of_views / result.passed)
        return losses, result

    def _learn(self, batch: Batch, targets: PseudoLabels | None, step: int) -> tuple[dict[str, Tensor], Step]:
        """Change the weights by the gradient of one batch, and the prototypes by PAF."""
        self.optimizer.zero_grad()
        whole = self.train.accumulate == 1 or self.learner.tuning.cached
        losses, result = self._backward(batch, targets) if whole else self._backward_in_parts(batch, targets)
        self.optimizer.step()
        self.learner.adapt(step, result)
        return losses, result

    def _backward(self, batch: Batch, targets: PseudoLabels | None, share: float = 1) -> tuple[dict[str, Tensor], Step]:
        """Add `share` of the gradient of one forward pass; with heads, the sum keeps each gradient apart."""
        result = self.learner(batch, targets)
        losses = {name: share * loss for name, loss in self.learner.losses(result).items()}
        sum(losses.values()).sum().backward()
        return losses, result

    def _backward_in_parts(self, batch: Batch, targets: PseudoLabels | None) -> tuple[dict[str, Tensor], Step]:
        """Add the gradient of one part of the batch after another: losses are means, so those of equal parts add up."""
        number = self.train.accumulate
        columns = [[None] * number] if targets is None else [column.chunk(number) for column in targets]
        of_parts = [None if targets is None else PseudoLabels(*part) for part in zip(*columns, strict=True)]
        pairs = zip(batch.parts(number), of_parts, strict=True)
        done = [self._backward(part, of_part, 1 / number) for part, of_part in pairs]
        losses = {name: sum(losses[name].detach() for losses, _ in done) for name in done[0][0]}
        results = [result for _, result in done]
        whole = {"features": torch.cat([result.features for result in results]), "labels": batch.labels}
        return losses, replace(results[-1], **whole, targets=targets, passed=sum(result.passed for result in results))

    def _validate(self, done: int) -> None:
        with self.average.applied():
            self.history.rows.validation += [{"step": done} | row for row in self.validate()]
        self.learner.train()

    def _log(self, done: int) -> str:
        """Close a row of history.csv, and say it in short."""
        rate, learner = self.optimizer.param_groups[0]["lr"], self.learner
        row = self.history.close_row(done, rate, learner.unlabeled_share(), learner.classifiers())
        if not math.isfinite(row["loss"]):
            raise ValueError(f"loss is {row['loss']} at step {done}; a smaller train.lr may help")
        self.tell(row)
        kept = row.get("pl_coverage")
        return f"loss {row['loss']:.3f}" + ("" if kept is None else f", {kept:.0%} of pseudo-labels kept")

    def _seconds(self) -> float:
        return self.before + time.perf_counter() - self.started

    def _joules(self) -> float | None:
        now = self.energy.joules()
        return None if now is None or self.energy_before is None else self.energy_before + now

    def _state(self, done: int) -> dict[str, Any]:
        return {
            "learner": self.learner.trained(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "history": self.history.state(),
            "done": done,
            "seconds": self._seconds(),
            "operations": tuple(self.operations),
            "views": self.views,
            "joules": self._joules(),
        }

    def _resume(self) -> int:
        state = self.checkpoint.load()
        if state is None:
            return 0
        self.learner.load_state_dict(state["learner"], strict=False)  # the frozen tower is not in there
        restore(self.optimizer, state["optimizer"])
        self.average.load(state["average"])
        self.history.restore(state["history"])
        self._adopt()
        self.operations, self.views = Operations(*state["operations"]), state["views"]
        self.before, self.energy_before = state["seconds"], state["joules"]
        print(f"resuming at step {state['done']}")
        return state["done"]


def rate_factor(step: int, steps: int, schedule: str, warmup: float = 0) -> float:
    """The learning rate of step `step` as a share of its peak.

    constant: 1. cosine: half a cosine from 1 towards 0. cosine_7_16: cos(7 pi t / 16), from 1 to 0.195 (FixMatch).
    warmup: share of the steps over which it first rises by equal parts; the schedule has the others.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    step, steps = step - rising, steps - rising
    match schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * step / steps))
        case "cosine_7_16":
            return math.cos(7 * math.pi * step / (16 * steps))
    return 1.0
