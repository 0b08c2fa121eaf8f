"""Optimizers. Towers have torch's own; classifiers on frozen features one that knows a rate for each head.

torch's take one rate for a whole tensor. And to import what they stand on takes two seconds, half of a linear probe.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from ulfine.methods.heads import Constant, over, plus
from ulfine.params.train import Train
from ulfine.training.learner import Learner

BETA, EPSILON = 0.999, 1e-8  # of AdamW, as torch has them


class HeadOptimizer:
    """SGD or AdamW, step for step as in torch, with constants that may be tensors of (H,), one for each head.

    Args:
        groups: of parameters, each with `params`, `lr` and `weight_decay`.
        train: which of the two, momentum or beta_1, nesterov.
    """

    def __init__(self, groups: list[dict[str, Any]], train: Train) -> None:
        self.param_groups, self.train = groups, train
        self.state: list[list[Tensor]] = []
        self.steps = 0

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change every parameter by its gradient."""
        update = self._sgd if self.train.optimizer == "sgd" else self._adamw
        pairs = [(group, parameter) for group in self.param_groups for parameter in group["params"]]
        self.state = self.state or [[] for _ in pairs]
        self.steps += 1
        for (group, parameter), state in zip(pairs, self.state, strict=True):
            update(parameter, parameter.grad, state, group["lr"], group["weight_decay"])

    def _sgd(self, x: Tensor, gradient: Tensor, state: list[Tensor], lr: Constant, decay: Constant) -> None:
        momentum = over(self.train.momentum, 2)
        plus(gradient, decay, x, 2, out=gradient)
        if not state:
            state.append(gradient.clone())
        else:
            state[0].mul_(momentum).add_(gradient)
        plus(x, -lr, plus(gradient, self.train.momentum, state[0], 2) if self.train.nesterov else state[0], 2, out=x)

    def _adamw(self, x: Tensor, gradient: Tensor, state: list[Tensor], lr: Constant, decay: Constant) -> None:
        beta = over(self.train.momentum, 2)
        if not state:
            state += [torch.zeros_like(x), torch.zeros_like(x)]
        mean, square = state
        x *= over(1 - lr * decay, 2)
        mean.lerp_(gradient, 1 - beta)
        square.mul_(BETA).addcmul_(gradient, gradient, value=1 - BETA)
        deviation = (square.sqrt() / math.sqrt(1 - BETA**self.steps)).add_(EPSILON)
        x -= over(lr, 2) / (1 - beta**self.steps) * mean / deviation

    def state_dict(self) -> dict[str, Any]:
        """The state that the next step needs beside the parameters."""
        return {"steps": self.steps, "state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.steps, self.state = state["steps"], state["state"]


def make_optimizer(learner: Learner, train: Train) -> Optimizer | HeadOptimizer:
    """SGD or AdamW over the learner's groups; each group remembers the rate that the schedule scales."""
    groups = [group | {"peak": group["lr"]} for group in learner.parameter_groups()]
    if learner.tuning.cached:
        return HeadOptimizer(groups, train)
    if train.optimizer == "sgd":
        return SGD(groups, lr=train.lr, momentum=train.momentum, nesterov=train.nesterov)
    return AdamW(groups, lr=train.lr, betas=(train.momentum, BETA))


def restore(optimizer: Optimizer | HeadOptimizer, state: dict[str, Any]) -> None:
    """Go on from a `state_dict`. torch reads AdamW's count of steps on the CPU; a checkpoint puts it on the device."""
    optimizer.load_state_dict(state)
    if isinstance(optimizer, AdamW):
        for of_weight in optimizer.state.values():
            of_weight["step"] = of_weight["step"].cpu()
