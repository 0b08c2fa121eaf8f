"""Checkpoints: where a killed run goes on.

They lie outside the outputs that DVC and Snakemake know, since both delete outputs before they start a stage. The name
of one is a digest of everything that the run depends on, so that nothing else ever picks it up.
"""

import time
from pathlib import Path
from pickle import UnpicklingError  # what torch raises for a file that it refuses; nothing is unpickled
from typing import Any, BinaryIO

import torch

from ulfine.errors import explained, machine_failed, out_of_memory
from ulfine.files import new_file

SECONDS = 30  # between two writes; not a parameter, since it cannot change a result


class Checkpoint:
    """One file, rewritten as a whole now and then, deleted when the run is done."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path = path
        self.device = device
        self._last = time.monotonic()
        self._failing = False  # and has said so

    def load(self) -> dict[str, Any] | None:
        """The last state, or None when there is nothing to resume; a file that cannot be read is as good as none."""
        if not self.path.exists():
            return None
        try:
            return torch.load(self.path, map_location=self.device, weights_only=True)
        except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
            if out_of_memory(error):
                raise
            print(f"{self.path}: not usable ({type(error).__name__}), starting over")
            return None

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self._last >= SECONDS

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file; where the machine cannot, say so, and leave the one that is there."""
        try:
            with new_file(self.path) as part, part.open("wb") as file:
                _write(state, file)
        except Exception as error:
            if not machine_failed(error):
                raise
            if not self._failing:
                print(f"{explained(error)}; training goes on, but no checkpoint is kept")
            self._failing = True
        else:
            self._failing = False
        self._last = time.monotonic()

    def remove(self) -> None:
        """Forget the run."""
        self.path.unlink(missing_ok=True)


def _write(state: dict[str, Any], file: BinaryIO) -> None:
    """Raise what the file raises: torch has an error of its own follow, which does not say why."""
    try:
        torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
