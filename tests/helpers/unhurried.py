"""A check on a CPU that code would not wait for a GPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
WAITS = (aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default)


class Unhurried(TorchDispatchMode):
    """Refuses operations that would wait for a GPU: reading a number, or a shape that depends on values.

    allowed: how many of the latter kind there may be.
    """

    def __init__(self, allowed: int = 0):
        super().__init__()
        self.allowed = allowed

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is aten.nonzero.default:
            self.allowed -= 1
        assert function not in WAITS or (function is aten.nonzero.default and self.allowed >= 0), function
        return function(*args, **(kwargs or {}))
