"""Constants of heads: one number for all heads, or one for each."""

import torch

from ulfine.methods.heads import between, plus

VALUES = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])  # two heads
OTHERS = torch.tensor([[[10.0, 20.0]], [[30.0, 40.0]]])


def test_plus_by_hand():
    assert plus(VALUES, 0.5, OTHERS, 2).tolist() == [[[6.0, 12.0]], [[18.0, 24.0]]]
    assert plus(VALUES, torch.tensor([1.0, -1.0]), OTHERS, 2).tolist() == [[[11.0, 22.0]], [[-27.0, -36.0]]]


def test_plus_nothing_leaves_the_values():
    assert plus(VALUES, 0, OTHERS, 2).tolist() == VALUES.tolist()
    assert plus(VALUES, torch.zeros(2), OTHERS, 2).tolist() == VALUES.tolist()


def test_plus_in_place():
    for constant in (0.0, 2.0, torch.tensor([0.0, 2.0])):
        values, expected = VALUES.clone(), plus(VALUES, constant, OTHERS, 2)
        plus(values, constant, OTHERS, 2, out=values)
        assert torch.equal(values, expected)


def test_between_by_hand():
    assert between(VALUES, OTHERS, 0.5, 2).tolist() == [[[5.5, 11.0]], [[16.5, 22.0]]]
    assert torch.equal(between(VALUES, OTHERS, torch.tensor([0.0, 1.0]), 2), torch.stack([VALUES[0], OTHERS[1]]))
