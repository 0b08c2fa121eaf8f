import math
from typing import get_args

import pytest
import torch

from ulfine.methods import losses
from ulfine.methods.fixmatch import pseudo_labels
from ulfine.methods.losses import LOSSES, Step, logit_adjusted, weighted
from ulfine.params.train import LABELED_ONLY, Loss, Train

PRIOR = torch.log(torch.tensor([0.8, 0.2]))
WEAK = torch.log(torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]]))
STRONG = torch.log(torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.75, 0.25], [0.5, 0.5]]))


@pytest.fixture
def step(params):
    """Make four unlabeled pictures, the first and third kept at 0.7, and two labeled ones with equal logits."""

    def make(**train) -> Step:
        options = Train(**params["train"] | {"threshold": 0.7} | train)
        return Step(
            options,
            labels=torch.tensor([0, 1]),
            labeled={"linear": torch.zeros(2, 2), "text": torch.log(torch.tensor([[0.9, 0.1], [0.9, 0.1]]))},
            features=torch.eye(2),
            of_labeled=torch.eye(2),
            prior=PRIOR,
            strong=STRONG,
            targets=pseudo_labels(WEAK, options.threshold),
            unlabeled_prior=PRIOR,
            prototypes=torch.tensor([[1.0, 0.0], [0.6, 0.8]]),
        )

    return make


def test_every_loss_of_the_parameters_is_a_function():
    assert all(callable(getattr(losses, name)) for name in get_args(Loss))
    assert set(get_args(Loss)) >= LABELED_ONLY


def test_logit_adjustment_by_hand():
    # z + tau log prior with equal logits is tau log prior: softmax gives prior^tau normalised
    logits = torch.zeros(2, 2)
    assert logit_adjusted(logits, torch.tensor([0, 1]), PRIOR, 1.0).exp().reciprocal().tolist() == pytest.approx(
        [0.8, 0.2]
    )
    twice = logit_adjusted(logits, torch.tensor([1, 1]), PRIOR, 2.0)
    assert twice[0].item() == pytest.approx(-math.log(0.04 / (0.64 + 0.04)))


def test_without_tau_it_is_cross_entropy():
    logits, labels = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([1])
    expected = -math.log(math.e / (math.e**2 + math.e + 1))
    assert logit_adjusted(logits, labels, torch.tensor([-1.0, -2.0, -3.0]), 0.0).item() == pytest.approx(expected)


@pytest.mark.parametrize(("tau", "expected"), [(0, math.log(2)), (1, -(math.log(0.8) + math.log(0.2)) / 2)])
def test_the_labeled_loss(step, tau, expected):
    assert losses.labeled(step(logit_adjustment=tau)).item() == pytest.approx(expected)


def test_the_loss_of_the_prototypes_is_the_labeled_loss_of_the_text_classifier(step):
    assert losses.text(step(logit_adjustment=0)).item() == pytest.approx(-(math.log(0.9) + math.log(0.1)) / 2)
    assert losses.orthogonality(step()).item() == pytest.approx(0.36)


def test_hard_targets_and_a_mean_over_the_whole_batch(step):
    assert losses.unlabeled(step()).item() == pytest.approx((-math.log(0.5) - math.log(0.25)) / 4)


def test_soft_targets(step):
    # third picture: 0.2 and 0.8 against 0.75 and 0.25
    third = -(0.2 * math.log(0.75) + 0.8 * math.log(0.25))
    assert losses.unlabeled(step(pseudo_labels="soft")).item() == pytest.approx((math.log(2) + third) / 4)


def test_logit_adjustment_in_the_unlabeled_loss(step):
    # first: 0.5 * 0.8 against 0.5 * 0.2, target 0; third: 0.75 * 0.8 = 0.6 against 0.25 * 0.2 = 0.05, target 1
    expected = (-math.log(0.8) - math.log(0.05 / 0.65)) / 4
    assert losses.unlabeled(step(unlabeled_adjustment=1)).item() == pytest.approx(expected)


def test_what_is_not_kept_is_learned_softly(step):
    assert losses.soft_rest(step()).item() == pytest.approx(2 * math.log(2) / 4)
    everything = step(threshold=0.0)
    assert losses.soft_rest(everything).item() == 0


def test_the_entropy_of_strong_views(step):
    third = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert losses.entropy(step()).item() == pytest.approx((3 * math.log(2) + third) / 4)


def test_losses_are_weighted_by_name(step):
    found = weighted(step(), {"labeled": 2, "entropy": 0.5}, {})
    assert found["labeled"].item() == pytest.approx(2 * losses.labeled(step()).item())
    assert found["entropy"].item() == pytest.approx(0.5 * losses.entropy(step()).item())


def test_every_loss_that_params_yaml_may_name_is_there():
    assert set(LOSSES) == {*get_args(Loss), "text", "orthogonality"}  # which PAF adds
