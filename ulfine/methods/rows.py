"""Lengths and products of a classifier's rows, with gradients that touch the rows once.

torch goes back through a norm in three passes over them, and through `rows @ rows.mT` in two products and a transposed
sum: half of a step, where 64 classifiers train as one.
"""

from typing import Any

import torch
from torch import Tensor

TINY = 1e-12


class _Lengths(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        found = torch.linalg.vector_norm(rows, dim=-1).clamp_min(TINY)
        ctx.save_for_backward(rows, found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rows, found = ctx.saved_tensors
        return (gradient / found).unsqueeze(-1) * rows


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return rows @ rows.mT

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return (gradient + gradient.mT) @ rows


def lengths(rows: Tensor) -> Tensor:
    """(..., K, D) to (..., K), at least TINY."""
    return _Lengths.apply(rows)


def products(rows: Tensor) -> Tensor:
    """(..., K, D) to the (..., K, K) products of each row with each."""
    return _Products.apply(rows)
