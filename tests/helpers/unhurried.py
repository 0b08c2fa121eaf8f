"""A check on a CPU that code would not wait for a GPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NONZERO = torch.ops.aten.nonzero.default
WAITS = frozenset(  # operators that wait for a GPU
    [
        "_local_scalar_dense",
        "nonzero",
        "equal",
        "masked_select",
        "unique_dim",
        "_unique2",
        "is_nonzero",
        "repeat_interleave",
        "histc",
        "bincount",
        "unique_consecutive",
        "linalg_svd",
        "_linalg_svd",
        "_linalg_eigh",
        "linalg_eigh",
        "linalg_solve_ex",
    ]
)


def name_of(function: torch._ops.OpOverload) -> str:
    """An operator as WAITS has it, without its overload."""
    return function._schema.name.removeprefix("aten::")


class Unhurried(TorchDispatchMode):
    """Refuses operations that would wait for a GPU: reading a number, or a shape that depends on values.

    allowed: how many of the latter kind there may be.
    """

    def __init__(self, allowed: int = 0):
        super().__init__()
        self.allowed = allowed

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is NONZERO:
            self.allowed -= 1
        assert name_of(function) not in WAITS or (function is NONZERO and self.allowed >= 0), function
        return function(*args, **(kwargs or {}))
