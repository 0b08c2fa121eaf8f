"""Frozen features of one data set under one backbone, and the text prototypes of its classes.

They are a folder of `{view}.{space}.npy`, where view is plain, test, weak or strong and space is pooled or joint, with
text.safetensors and meta.json. `plain` and `test` have shape (N, D); `weak` and `strong` have shape (views, N, D).
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
    """The output of the text tower in one space.

    Prototypes have unit rows and are not centred yet; the mean is over open_clip's ImageNet class names.
    """

    prototypes: np.ndarray  # (K, D)
    mean: np.ndarray  # (D,)
    logit_scale: float
    logit_bias: float


@dataclass(frozen=True)
class Features:
    """The features in a folder, read only on request."""

    folder: Path

    @cache  # noqa: B019 (one instance per process)
    def view(self, view: str, space: str) -> np.ndarray:
        """Return the memory-mapped features of one view in one space."""
        return open_array(self.folder / f"{view}.{space}.npy")

    def text(self, space: str) -> Text:
        """Read the text prototypes of one space.

        Raises:
            ValueError: this backbone cannot map text into the space.
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
    """A float32 .npy file of known shape, filled row by row and checked for completeness.

    It is written as a plain file because a full disk kills a process that writes to a memory map.
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
        """Write `rows` (n, D) from row `first` on, counted over all axes but the last."""
        content = np.ascontiguousarray(rows, "<f4").reshape(len(rows), self.width)
        self.written[first : first + len(rows)] += np.ones(len(rows), np.uint8)
        with self.path.open("rb+") as file:
            file.seek(self.start + 4 * first * self.width)
            file.write(content.data)

    def close(self) -> None:
        """Check that every row was written exactly once, and flush the file to disk.

        Raises:
            ValueError: a row was never written, or more than once.
        """
        wrong = int((self.written != 1).sum())
        if wrong:
            raise ValueError(f"{self.path}: {wrong} of {self.written.size} rows were not written exactly once")
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
