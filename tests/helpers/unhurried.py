"""A check on a CPU that code would not wait for a GPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
WAITS = (aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default)


class Unhurried(TorchDispatchMode):
    """Refuses operations that would wait for a GPU: reading a number, or a shape that depends on values."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function not in WAITS, function
        return function(*args, **(kwargs or {}))
