"""Frozen features of one split under one backbone, and the text prototypes of its classes.

They are a folder of `{view}.{space}.npy`, where view is plain, test, weak or strong and space is pooled or joint, with
text.safetensors and meta.json. `plain` and `test` have shape (N, D), in both spaces; `weak` and `strong` have shape
(views, N, D), in the space of the classifiers. `{view}.indices.npy` has the training pictures that the N rows are of.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ulfine.arrays import open_array, read_tensors
from ulfine.files import reserve

VIEWS = ("plain", "weak", "strong", "test")
WHOLE = {"train": "plain", "test": "test"}  # the view of whole pictures, by part of the store
INDICES = "{view}.indices.npy"  # for all views but test
SPACES = ("pooled", "joint")
TEXT, META = "text.safetensors", "meta.json"


def pictures_of_views(sets: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Return the training pictures whose views a training on cached features may ask for: sorted indices by view.

    sets: the indices of a split. Validation pictures are only predicted, and labeled ones have no strong view.
    """
    found = {name: np.array(indices, np.int64) for name, indices in sets.items()}
    weak = np.union1d(found["labeled"], found["unlabeled"])
    return {"plain": np.union1d(weak, found["validation"]), "weak": weak, "strong": np.sort(found["unlabeled"])}


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

    @cache  # noqa: B019
    def pictures(self, view: str) -> np.ndarray:
        """Return the (N,) indices of the training pictures that a view's rows are of, sorted."""
        return np.array(open_array(self.folder / INDICES.format(view=view)))

    def rows(self, view: str, indices: np.ndarray) -> np.ndarray:
        """Return the rows, in the arrays of a view, of pictures by their indices.

        Raises:
            ValueError: the view has no features of a picture.
        """
        if view == "test":  # all of them
            return indices
        seen = self.pictures(view)
        rows = np.searchsorted(seen, indices)
        absent = seen.take(rows, mode="clip") != indices
        if absent.any():
            raise ValueError(f"{self.folder}: no {view} view of training picture {indices[absent][0]}")
        return rows

    def of(self, view: str, space: str, indices: np.ndarray) -> np.ndarray:
        """Return the (B, D) features of pictures, by their indices, in view plain or test."""
        return self.view(view, space)[self.rows(view, indices)]

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
