"""Pickles that hold plain values and NumPy arrays of numbers: all else is refused before it is made.

CIFAR and downsampled ImageNet are published as pickles, which may name any function to call. Here the few names that
arrays need stand for the classes below, and not even NumPy's own code sees what a pickle says of memory or types.
"""

import pickle
import re
from typing import IO, Any

import numpy as np

ADMITTED_TYPE = re.compile("[biuf][1248]")


def unpickled(file: IO[bytes], name: str) -> Any:
    """The content of a pickle; text of Python 2 is read as Latin-1. name: of the file, for messages.

    Raises:
        ValueError: the pickle wants something that is not admitted, is damaged or is something else.
    """
    try:
        return _Unpickler(file, encoding="latin1").load()
    except _RefusedError as error:
        raise ValueError(f"{name}: {error}") from None
    except MemoryError:
        raise ValueError(f"{name}: not enough memory to read it") from None
    except Exception as error:  # bad opcodes raise about anything
        raise ValueError(f"{name}: not a readable pickle ({type(error).__name__}: {ascii(str(error))[1:-1]})") from None


class _RefusedError(Exception):
    """A pickle asks for something that must not be unpickled."""


class _Unpickler(pickle._Unpickler):
    """The one in C fills as much memory as a pickle asks for; here one opcode does, which protocol 5 brought.

    Another sets attributes: only what a pickle has made itself takes them, not the functions that it may name.
    """

    def load_build(self) -> None:
        made = self.stack[-2]
        if not isinstance(made, _Type | _Array):
            raise _RefusedError(f"wants to set attributes of a {type(made).__name__}, which is not admitted")
        super().load_build()

    dispatch = {
        opcode: load for opcode, load in pickle._Unpickler.dispatch.items() if opcode != pickle.BYTEARRAY8[0]
    } | {pickle.BUILD[0]: load_build}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise _RefusedError(ascii(f"wants {module}.{name}, which is not admitted")[1:-1])
        return ADMITTED[module, name]


class _Type:
    """Stands for `numpy.dtype`, without fields, subarrays, metadata or objects."""

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or not ADMITTED_TYPE.fullmatch(code):
            raise _RefusedError(f"wants an array of the type {code!a}, which is not admitted")
        self.code, self.order = code, "|"

    def __setstate__(self, state: tuple) -> None:
        _, order, *structure = state
        if order not in ("|", "<", ">", "=") or any(part is not None for part in structure[:3]):
            raise _RefusedError("wants an array of a structured type, which is not admitted")
        self.order = order

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Array(np.ndarray):
    """Stands for `numpy.ndarray`: empty until its state comes, which is checked before NumPy takes it over."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, by_columns, content = state
        if not isinstance(kind, _Type):
            raise _RefusedError("wants an array whose type is not one")
        if not isinstance(content, bytes | str):
            raise _RefusedError("wants an array of objects, which is not admitted")
        content = content.encode("latin1") if isinstance(content, str) else content
        super().__setstate__((1, shape, kind.numpy(), bool(by_columns), content))


def _reconstruct(*_: Any) -> np.ndarray:
    """Stands for `numpy.core.multiarray._reconstruct`, which all pickles call alike, for an empty array."""
    return _Array((0,), np.uint8)


def _scalar(kind: _Type, content: bytes | str) -> Any:
    content = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(content, kind.numpy(), 1)[0]


def _encode(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, with which Python 3 writes bytes in protocols below 3."""
    if encoding != "latin1":
        raise _RefusedError(f"wants the encoding {encoding!a}, which is not admitted")
    return text.encode("latin1")


ADMITTED = {
    ("numpy", "ndarray"): "ndarray",  # an argument of _reconstruct, and nothing to call
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}
