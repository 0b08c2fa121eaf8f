import pytest
import torch

from ulfine.methods.fixmatch import adjusted, distribution_aligned, log_prior, powered, pseudo_labels
from ulfine.methods.prior import PriorEstimate

PRIOR = torch.log(torch.tensor([0.8, 0.2]))


def test_the_prior_is_the_share_of_each_class():
    assert log_prior(torch.tensor([6.0, 3.0, 1.0])).exp().tolist() == pytest.approx([0.6, 0.3, 0.1])


def test_pseudo_labels_are_kept_from_the_threshold_on():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64))
    found = pseudo_labels(logits, threshold=0.65)
    assert found.labels.tolist() == [0, 1, 2]
    assert found.confidence.tolist() == pytest.approx([0.7, 0.6, 0.8])
    assert found.kept.tolist() == [True, False, True]


def test_no_gradient_flows_into_pseudo_labels():
    weak = torch.randn(3, 4, requires_grad=True)
    assert not pseudo_labels(weak, 0.0).confidence.requires_grad


@pytest.mark.parametrize(("tau", "expected"), [(0, [0.6, 0.4]), (1, [0.75 / 2.75, 2 / 2.75]), (2, [3 / 35, 32 / 35])])
def test_an_adjusted_prediction_is_divided_by_the_prior(tau, expected):
    # 0.6 / 0.8 = 0.75 against 0.4 / 0.2 = 2; squared priors: 0.6 / 0.64 = 0.9375 against 0.4 / 0.04 = 10, 3 : 32
    logits = torch.log(torch.tensor([[0.6, 0.4]]))
    assert adjusted(logits, PRIOR, tau).softmax(-1).tolist()[0] == pytest.approx(expected)


def test_distribution_alignment_by_hand():
    # (0.6, 0.4) * (0.8, 0.2) / (0.5, 0.5) = (0.96, 0.16), normalised 6 : 1
    logits, even = torch.log(torch.tensor([[0.6, 0.4]])), torch.log(torch.tensor([0.5, 0.5]))
    assert distribution_aligned(logits, even, PRIOR).softmax(-1).tolist()[0] == pytest.approx([6 / 7, 1 / 7])
    assert distribution_aligned(logits, PRIOR, PRIOR).softmax(-1).tolist()[0] == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize(("power", "expected"), [(1, [0.8, 0.2]), (0, [0.5, 0.5]), (0.5, [2 / 3, 1 / 3])])
def test_the_target_of_the_alignment_is_a_power_of_the_prior(power, expected):
    assert powered(PRIOR, power).exp().tolist() == pytest.approx(expected)


def test_the_estimated_prior_by_hand():
    prior = PriorEstimate(2, decay=0.75)
    assert prior.share().tolist() == [0.5, 0.5]  # before the first picture
    prior.observe(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([True, True]))
    assert prior.share().tolist() == pytest.approx([0.75, 0.25])  # of the first batch alone, whatever the decay
    prior.observe(torch.tensor([[0.0, 1.0]]), torch.tensor([True]))
    # 0.75 * 0.25 * (0.75, 0.25) + 0.25 * (0, 1), over their sum 0.4375
    assert prior.share().tolist() == pytest.approx([0.140625 / 0.4375, 0.296875 / 0.4375])
    assert prior.log().exp().tolist() == pytest.approx(prior.share().tolist())


def test_copies_of_labeled_pictures_do_not_count():
    prior = PriorEstimate(2, decay=0.5)
    prior.observe(torch.tensor([[0.9, 0.1], [0.0, 1.0], [0.2, 0.8]]), torch.tensor([True, False, True]))
    assert prior.share().tolist() == pytest.approx([0.55, 0.45])
    before = prior.mean.tolist()
    prior.observe(torch.tensor([[0.0, 1.0]]), torch.tensor([False]))
    assert prior.mean.tolist() == before
