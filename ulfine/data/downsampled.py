"""Downsampled ImageNet (Chrabaszcz et al., arXiv 1707.08819), read batch by batch from the published archives.

The batches are `train_data_batch_1` to `train_data_batch_10` and `val_data`, each a pickle or, with the suffix `.npz`,
a NumPy archive. They lie in the folder itself or in the published .zip files, which are not unpacked. Rows of a .npz
are streamed; a pickle is held in memory whole, 1.6 GB at 64 pixels.
"""

import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ulfine.data.unpickle import unpickled

NAMES = {"train": [f"train_data_batch_{number}" for number in range(1, 11)], "test": ["val_data"]}
# Raised by reading damaged archives, encrypted ones, or ones whose header claims more than fits into memory.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, KeyError, ValueError),
    *(RuntimeError, MemoryError),
)
CHUNK = 4096  # rows read at once


class Batch(NamedTuple):
    """The place of one batch."""

    file: Path
    member: str | None  # inside a .zip; None for a plain file

    def __str__(self) -> str:
        return str(self.file / self.member) if self.member else str(self.file)

    @property
    def is_npz(self) -> bool:
        """Whether the batch is a .npz file; otherwise it is a pickle."""
        return (self.member or self.file.name).endswith(".npz")


def find_batches(folder: Path, part: str) -> list[Batch]:
    """Return the batches of one part, in order.

    Raises:
        ValueError: a batch is missing or occurs twice.
    """
    found: dict[str, list[Batch]] = {}
    for batch in _candidates(folder):
        name = Path(batch.member or batch.file.name).name.removesuffix(".npz")
        found.setdefault(name, []).append(batch)
    for name in NAMES[part]:
        if len(found.get(name, [])) != 1:
            places = " and ".join(map(str, found.get(name, []))) or "missing"
            raise ValueError(f"{folder}: {name}: {places}; needed once, as it is, as .npz, or inside a .zip")
    return [found[name][0] for name in NAMES[part]]


def _candidates(folder: Path) -> Iterator[Batch]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; it holds the archives of downsampled ImageNet")
    for path in sorted(folder.iterdir()):
        if path.suffix == ".zip":
            try:
                with zipfile.ZipFile(path) as archive:
                    yield from (Batch(path, member) for member in archive.namelist())
            except DAMAGED as error:
                raise ValueError(f"{path}: truncated, or not a .zip file ({error})") from None
        elif path.is_file():
            yield Batch(path, None)


def labels(batch: Batch) -> np.ndarray:
    """Read the (n,) labels of a batch, which start at 1.

    Raises:
        ValueError: the file is damaged or not a batch.
    """
    with _opened(batch) as file:
        if batch.is_npz:
            with zipfile.ZipFile(file) as arrays, arrays.open("labels.npy") as content:
                found = np.lib.format.read_array(content, allow_pickle=False)
        else:
            found = np.asarray(_entry(file, batch).get("labels"))
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise ValueError(f"labels are {found.dtype} of shape {found.shape}, not a list of whole numbers")
        return found


def pictures(batch: Batch, number: int) -> Iterator[np.ndarray]:
    """Yield the pictures of a batch, each (side, side, 3) uint8. number: how many labels the batch has.

    Raises:
        ValueError: the file is damaged, not a batch, or has another number of pictures.
    """
    with _opened(batch) as file:
        for rows in _streamed(file, number) if batch.is_npz else _held(_entry(file, batch).get("data"), number):
            side = math.isqrt(rows.shape[1] // 3)
            yield from rows.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)


def _entry(file: IO[bytes], batch: Batch) -> dict:
    entry = unpickled(file, str(batch))
    if not isinstance(entry, dict):
        raise ValueError("no dictionary with data and labels")
    return entry


def _held(data: object, number: int) -> Iterator[np.ndarray]:
    rows = np.asarray(data)
    _require_pictures(rows.dtype, rows.shape, number)
    yield rows


def _streamed(file: IO[bytes], number: int) -> Iterator[np.ndarray]:
    """Yield the rows of `data.npy`, CHUNK at a time."""
    with zipfile.ZipFile(file) as arrays, arrays.open("data.npy") as content:
        version = np.lib.format.read_magic(content)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, dtype = read_header(content)
        _require_pictures(dtype, shape, number)
        if by_column:
            raise ValueError("data is stored column by column")
        for start in range(0, number, CHUNK):
            rows = min(CHUNK, number - start)
            yield np.frombuffer(content.read(rows * shape[1]), np.uint8).reshape(rows, shape[1])


def _require_pictures(dtype: np.dtype, shape: tuple[int, ...], number: int) -> None:
    width = shape[1] if len(shape) == 2 else 0
    if dtype != np.uint8 or not width or width != 3 * math.isqrt(width // 3) ** 2:
        raise ValueError(f"data is {dtype} of shape {shape}, not uint8 of shape (n, 3 x side x side)")
    if shape[0] != number:
        raise ValueError(f"has {shape[0]} pictures, but {number} labels")


@contextmanager
def _opened(batch: Batch) -> Iterator[IO[bytes]]:
    """Open a batch; errors in reading it name it."""
    try:
        if batch.member is None:
            with batch.file.open("rb") as file:
                yield file
        else:
            with zipfile.ZipFile(batch.file) as archive, archive.open(batch.member) as file:
                yield file
    except DAMAGED as error:
        reason = str(error).removeprefix(f"{batch}: ")  # `unpickled` names the batch itself
        raise ValueError(f"{batch}: {reason}") from None
