"""The weights that predict: an exponential moving average of the trained ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ulfine.training.learner import Learner

AVERAGE = "average."  # begins the names of averaged weights in a run


class WeightAverage:
    """An EMA of the weights that the optimizer changes; batch statistics and what PAF remembers are EMAs already.

    Its decay grows with the steps done, min(decay, (1 + n) / (10 + n)), as TensorFlow's moving average offers: or a
    short run would predict with the weights it began with. Decay 0 is no average. (torch's AveragedModel would copy the
    frozen tower too.)

    Args:
        learner: whose weights are averaged.
        decay: of the EMA, per step.
    """

    def __init__(self, learner: Learner, decay: float) -> None:
        self.decay = decay
        free = {name: weight for name, weight in learner.named_parameters() if weight.requires_grad}
        self.trained = free if decay else {}
        self.weights = {name: weight.detach().clone() for name, weight in self.trained.items()}

    @torch.no_grad()
    def update(self, done: int) -> None:
        """Take in the weights after `done` steps."""
        if self.decay:
            weight = 1 - min(self.decay, (1 + done) / (10 + done))
            torch._foreach_lerp_(list(self.weights.values()), list(self.trained.values()), weight)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Go on from the average of a checkpoint."""
        self._copy(weights, self.weights)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The learner predicts with the average inside this block."""
        kept = {name: weight.detach().clone() for name, weight in self.trained.items()}
        self._copy(self.weights, self.trained)
        try:
            yield
        finally:
            self._copy(kept, self.trained)

    @staticmethod
    @torch.no_grad()
    def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
        for name, weight in target.items():
            weight.copy_(source[name])
