"""Frozen features of one data set under one backbone, and the text prototypes of its classes.

A folder of `{view}.{space}.npy`, where view is plain, test, weak or strong and space is pooled or joint. `plain` and
`test` have shape (N, D); `weak` and `strong` have shape (views, N, D). Beside them text.safetensors and meta.json.
"""

import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ulfine.arrays import open_array, read_tensors
from ulfine.files import reserve

VIEWS = ("plain", "weak", "strong", "test")
SPACES = ("pooled", "joint")
TEXT, META = "text.safetensors", "meta.json"


@dataclass(frozen=True)
class Text:
    """The text tower's view of the classes.

    Both prototypes have unit rows before centring; the means are over open_clip's ImageNet class names.
    """

    prototypes: np.ndarray  # (K, D)
    mean: np.ndarray  # (D,)
    logit_scale: float
    logit_bias: float


@dataclass(frozen=True)
class Features:
    """The features in a folder; nothing is read before it is asked for."""

    folder: Path

    @cache  # noqa: B019 (one instance per process)
    def view(self, view: str, space: str) -> np.ndarray:
        """Memory-mapped features of one view in one space."""
        return open_array(self.folder / f"{view}.{space}.npy")

    def text(self, space: str) -> Text:
        """Text prototypes in one space.

        Raises:
            ValueError: text cannot be mapped into this space.
        """
        tensors = read_tensors(self.folder / TEXT)
        if f"{space}.prototypes" not in tensors:
            raise ValueError(f"{self.folder / TEXT}: no text prototypes in the {space} space of this backbone")
        return Text(
            tensors[f"{space}.prototypes"],
            tensors[f"{space}.mean"],
            tensors["logit_scale"].item(),
            tensors["logit_bias"].item(),
        )


class Filling:
    """A .npy array of float32, of known shape, whose rows are filled by number and proved complete.

    A plain file: a full disk kills a process that writes to a memory map.

    Raises:
        ValueError: in `close`, when a row was never written or was written twice.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.width = path, shape[-1]
        self.written = np.zeros(math.prod(shape[:-1]), np.uint8)
        with path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            self.start = file.tell()
            reserve(file, self.start + 4 * math.prod(shape))

    def put(self, first: int, rows: np.ndarray) -> None:
        """Write `rows` (n, D) from row `first` on, as counted over all axes but the last."""
        content = np.ascontiguousarray(rows, "<f4").reshape(len(rows), self.width)
        self.written[first : first + len(rows)] += np.ones(len(rows), np.uint8)
        with self.path.open("rb+") as file:
            file.seek(self.start + 4 * first * self.width)
            file.write(content.data)

    def close(self) -> None:
        """Check that every row was written once, and that all is on disk."""
        wrong = int((self.written != 1).sum())
        if wrong:
            raise ValueError(f"{self.path}: {wrong} of {self.written.size} rows were not written exactly once")
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
