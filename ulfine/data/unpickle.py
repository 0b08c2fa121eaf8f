"""A safe unpickler: plain values and NumPy arrays of numbers are admitted, everything else is refused.

CIFAR and downsampled ImageNet are published as pickles, which may call any function by name. Here the few names that
arrays need are mapped to the classes below, so that sizes and types are checked before NumPy's code sees them.
"""

import pickle
import re
from typing import IO, Any

import numpy as np

ADMITTED_TYPE = re.compile("[biuf][1248]")


def unpickled(file: IO[bytes], name: str) -> Any:
    """Read a pickle; Python 2 text is decoded as Latin-1. name: of the file, for messages.

    Raises:
        ValueError: the file asks for something that is not admitted, is damaged, or is not a pickle.
    """
    try:
        return _Unpickler(file, encoding="latin1").load()
    except _RefusedError as error:
        raise ValueError(f"{name}: {error}") from None
    except MemoryError:
        raise ValueError(f"{name}: not enough memory to read it") from None
    except Exception as error:  # bad opcodes may raise anything
        raise ValueError(f"{name}: not a readable pickle ({type(error).__name__}: {ascii(str(error))[1:-1]})") from None


class _RefusedError(Exception):
    """A pickle asks for something that is not admitted."""


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler without two dangers.

    The C version allocates as much memory as a pickle claims to need; of this one's opcodes only protocol 5's
    BYTEARRAY8 does, and is removed. BUILD sets attributes, and may do so only on objects that the pickle made itself,
    not on the functions that it names.
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
    """Replaces `numpy.dtype`; refuses fields, subarrays, metadata and objects."""

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
    """Replaces `numpy.ndarray`: empty until its state arrives, which is checked before NumPy uses it."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, by_columns, content = state
        if not isinstance(kind, _Type):
            raise _RefusedError("wants an array whose type is not one")
        if not isinstance(content, bytes | str):
            raise _RefusedError("wants an array of objects, which is not admitted")
        content = content.encode("latin1") if isinstance(content, str) else content
        super().__setstate__((1, shape, kind.numpy(), bool(by_columns), content))


def _reconstruct(*_: Any) -> np.ndarray:
    """Replaces `numpy.core.multiarray._reconstruct`; all pickles ask it for the same empty array."""
    return _Array((0,), np.uint8)


def _scalar(kind: _Type, content: bytes | str) -> Any:
    content = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(content, kind.numpy(), 1)[0]


def _encode(text: str, encoding: str) -> bytes:
    """Replaces `_codecs.encode`, which Python 3 uses for bytes in protocols below 3."""
    if encoding != "latin1":
        raise _RefusedError(f"wants the encoding {encoding!a}, which is not admitted")
    return text.encode("latin1")


ADMITTED = {
    ("numpy", "ndarray"): "ndarray",  # an argument of _reconstruct, never called
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}
