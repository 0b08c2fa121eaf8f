"""Arrays on disk as memory-mapped .npy and .safetensors: never pickled, with errors that name the file."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ulfine.files import new_file


def open_array(path: Path) -> np.ndarray:
    """Open a .npy file, memory-mapped and read-only.

    Raises:
        ValueError: the file is truncated or not a .npy file.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: truncated, or not a .npy file ({error}); delete it and run again") from None


def write_array(target: Path, array: np.ndarray) -> None:
    """Write a .npy file like `np.save`, but keep the system's reason when writing fails."""
    with target.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(np.ascontiguousarray(array).data)


def write_tensors(target: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write named arrays as safetensors; the same arrays give the same bytes."""
    with new_file(target) as part:
        save_file({name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}, part)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read the named arrays of a .safetensors file.

    Raises:
        ValueError: the file is truncated or not a .safetensors file.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: truncated, or not a .safetensors file ({error}); delete it and run again") from None
