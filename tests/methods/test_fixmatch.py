import math

import pytest
import torch

from ulfine.methods.fixmatch import labeled_loss, log_prior, pseudo_labels, unlabeled_loss


def test_the_prior_is_the_share_of_each_class():
    assert log_prior(torch.tensor([6.0, 3.0, 1.0])).exp().tolist() == pytest.approx([0.6, 0.3, 0.1])


def test_logit_adjustment_by_hand():
    # z + tau log prior with equal logits is tau log prior: softmax gives prior^tau normalised
    logits, prior = torch.zeros(2, 2), torch.log(torch.tensor([0.8, 0.2]))
    loss = labeled_loss(logits, torch.tensor([0, 1]), prior, tau=1.0)
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(0.2)) / 2)
    twice = labeled_loss(logits, torch.tensor([1, 1]), prior, tau=2.0)
    assert twice.item() == pytest.approx(-math.log(0.04 / (0.64 + 0.04)))


def test_without_tau_it_is_cross_entropy():
    logits, labels = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([1])
    expected = -math.log(math.e / (math.e**2 + math.e + 1))
    assert labeled_loss(logits, labels, torch.tensor([-1.0, -2.0, -3.0]), 0.0).item() == pytest.approx(expected)


def test_pseudo_labels_are_kept_from_the_threshold_on():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64))
    found = pseudo_labels(logits, threshold=0.65)
    assert found.labels.tolist() == [0, 1, 2]
    assert found.confidence.tolist() == pytest.approx([0.7, 0.6, 0.8])
    assert found.kept.tolist() == [True, False, True]


def test_the_unlabeled_loss_is_a_mean_over_the_whole_batch():
    weak = torch.log(torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]]))
    strong = torch.log(torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.75, 0.25], [0.5, 0.5]]))
    loss = unlabeled_loss(strong, pseudo_labels(weak, threshold=0.7))
    assert loss.item() == pytest.approx((-math.log(0.5) - math.log(0.25)) / 4)


def test_no_gradient_flows_into_pseudo_labels():
    weak = torch.randn(3, 4, requires_grad=True)
    assert not pseudo_labels(weak, 0.0).confidence.requires_grad
