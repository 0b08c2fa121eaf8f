"""Imports open_clip and timm without torch's compiler, which takes longer than either.

torchvision asks it whether a device can compile, and timm to leave a method alone; both are put off until they are
called. To be imported before open_clip and timm.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

COMPILER = "torch._dynamo.utils"


class _Later(ModuleType):
    """Stands in for the compiler; any other question than torchvision's makes it step aside."""

    @staticmethod
    def is_compile_supported(device: str) -> bool:
        return import_module(COMPILER).is_compile_supported(device)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        sys.modules.pop(COMPILER, None)
        return getattr(import_module(COMPILER), name)


def _disabled_later(function: Callable) -> Callable:
    """`torch.compiler.disable`, at the first call."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal disabled
        disabled = disabled or torch.compiler.disable(function)
        return disabled(*arguments, **options)

    disabled = None
    return call


@contextmanager
def _without_compiler() -> Iterator[None]:
    later, disable = _Later(COMPILER), torch.compiler.disable
    sys.modules[COMPILER], torch.compiler.disable = later, _disabled_later
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(COMPILER) is later:
            del sys.modules[COMPILER]


if COMPILER not in sys.modules:
    with _without_compiler():
        import open_clip  # noqa: F401
