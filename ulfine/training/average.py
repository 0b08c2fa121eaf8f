"""The weights that predict: an exponential moving average of the trained ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ulfine.training.learner import Learner


class WeightAverage:
    """An EMA of all that training changes, batch statistics among it; torch's AveragedModel would copy the tower too.

    Its decay grows with the steps done, min(decay, (1 + n) / (10 + n)), as TensorFlow's moving average offers: or a
    short run would predict with the weights it began with. Decay 0 is no average.

    Args:
        learner: whose weights are averaged.
        decay: of the EMA, per step.
    """

    def __init__(self, learner: Learner, decay: float) -> None:
        self.learner, self.decay = learner, decay
        self.weights = {name: tensor.clone() for name, tensor in learner.trained().items()} if decay else {}

    @torch.no_grad()
    def update(self, done: int) -> None:
        """Take in the weights after `done` steps."""
        if not self.decay:
            return
        decay = min(self.decay, (1 + done) / (10 + done))
        for name, tensor in self.learner.trained().items():
            if tensor.is_floating_point():
                self.weights[name].lerp_(tensor, 1 - decay)
            else:
                self.weights[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The learner predicts with the average inside this block."""
        if not self.decay:
            yield
            return
        trained = {name: tensor.clone() for name, tensor in self.learner.trained().items()}
        self._load(self.weights)
        try:
            yield
        finally:
            self._load(trained)

    def _load(self, weights: dict[str, Tensor]) -> None:
        self.learner.load_state_dict(weights, strict=False)  # the frozen tower is not in there
