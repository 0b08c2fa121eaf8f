"""Lengths and products of rows against torch's own, forward and backward."""

import torch

from ulfine.methods.rows import lengths, products


def gradient(function, rows, weight):
    rows = rows.clone().requires_grad_()
    (function(rows) * weight).sum().backward()
    return rows.grad


def test_lengths_of_rows_by_hand_and_their_gradient():
    rows = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    assert lengths(rows).tolist() == [5.0, 2.0]
    assert torch.equal(gradient(lengths, rows, torch.tensor([5.0, 3.0])), torch.tensor([[3.0, 4.0], [0.0, 3.0]]))


def test_row_of_zeros_has_a_gradient_of_zeros():
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert torch.equal(gradient(lengths, rows, torch.ones(2))[0], torch.zeros(2))


def test_gradients_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    for ours, torchs, shape in (
        (lengths, lambda x: x.norm(dim=-1), (3, 4)),
        (products, lambda x: x @ x.mT, (3, 4, 4)),
    ):
        weight = torch.randn(shape, generator=generator, dtype=torch.float64)
        torch.testing.assert_close(ours(rows), torchs(rows))
        torch.testing.assert_close(gradient(ours, rows, weight), gradient(torchs, rows, weight))
