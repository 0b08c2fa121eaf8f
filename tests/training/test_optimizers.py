"""The optimizer of heads, against torch's."""

import pytest
import torch

from ulfine.params.train import Train
from ulfine.training.optimizers import HeadOptimizer


def torchs(group: dict, train: Train) -> torch.optim.Optimizer:
    if train.optimizer == "sgd":
        return torch.optim.SGD([group], momentum=train.momentum, nesterov=train.nesterov)
    return torch.optim.AdamW([group], betas=(train.momentum, 0.999))


def stepped(optimizer: object, parameter: torch.Tensor, steps: int) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        (parameter - step).pow(3).sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("kind", "momentum", "nesterov"),
    [("sgd", 0.9, False), ("sgd", 0.9, True), ("sgd", 0, False), ("adamw", 0.9, False), ("adamw", 0.5, False)],
)
def test_every_head_goes_where_torch_takes_it_alone(params, kind, momentum, nesterov):
    train = Train(**params["train"] | {"optimizer": kind, "momentum": momentum, "nesterov": nesterov})
    rates, decays, momenta = [0.01, 0.1, 0.02], [0.0, 0.1, 0.5], [momentum, momentum / 2, momentum]
    start = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    together = start.clone().requires_grad_()
    group = {"params": [together], "lr": torch.tensor(rates), "weight_decay": torch.tensor(decays)}
    stepped(HeadOptimizer([group], train.model_copy(update={"momentum": torch.tensor(momenta)})), together, 5)
    for head, (lr, decay, own) in enumerate(zip(rates, decays, momenta, strict=True)):
        alone = start[head].clone().requires_grad_()
        nesterov_here = nesterov and own > 0
        options = train.model_copy(update={"momentum": own, "nesterov": nesterov_here})
        stepped(torchs({"params": [alone], "lr": lr, "weight_decay": decay}, options), alone, 5)
        torch.testing.assert_close(together[head], alone, rtol=1e-5, atol=1e-6)
        assert (alone - start[head]).abs().min() > 1e-4


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_it_goes_on_from_its_state(params, kind):
    train = Train(**params["train"] | {"optimizer": kind})
    whole, first = (torch.ones(2, 2, requires_grad=True) for _ in range(2))

    def optimizer(parameter: torch.Tensor) -> HeadOptimizer:
        return HeadOptimizer([{"params": [parameter], "lr": 0.1, "weight_decay": 0.1}], train)

    stepped(optimizer(whole), whole, 2)
    begun, resumed = optimizer(first), optimizer(first)
    stepped(begun, first, 1)
    resumed.load_state_dict(begun.state_dict())
    resumed.zero_grad()
    (first - 1).pow(3).sum().backward()
    resumed.step()
    assert torch.equal(whole, first)
