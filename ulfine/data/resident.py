"""Pictures and features on the device where they are used."""

import numpy as np
import torch
from torch import Tensor

SHARE = 0.25  # of a GPU's free memory that an array may take


class Rows:
    """Rows of an array by index: all of them kept on the GPU if they fit (CIFAR takes 180 MB), else copied on request.

    Copies go through pinned memory on a stream of their own; the GPU's work waits only where it uses the rows.

    Args:
        values: (N, …), memory-mapped.
        device: where they are used.
    """

    def __init__(self, values: np.ndarray, device: torch.device) -> None:
        self.values, self.device = values.view(np.ndarray), device  # a memory map's own rows are slow
        self.resident: Tensor | None = None
        if device.type == "cuda":
            self.beside = torch.cuda.Stream(device)
            free, _ = torch.cuda.mem_get_info(device)
            if values.nbytes <= SHARE * free:
                self.resident = torch.from_numpy(np.array(values)).to(device)

    def take(self, indices: np.ndarray) -> Tensor:
        """Return (B, …) on the device, without waiting for it."""
        if self.resident is not None:
            return self.resident.index_select(0, sent(indices, self.device))
        rows = torch.from_numpy(self.values[indices])
        return rows if self.device.type == "cpu" else self._copied(rows)

    def _copied(self, rows: Tensor) -> Tensor:
        with torch.cuda.stream(self.beside):
            here = rows.pin_memory().to(self.device, non_blocking=True)
        work = torch.cuda.current_stream(self.device)
        work.wait_stream(self.beside)
        here.record_stream(work)  # or its memory could be reused before the work is done with it
        return here


def sent(values: np.ndarray, device: torch.device) -> Tensor:
    """Send an array to a device, without waiting for it: a GPU takes it from pinned memory."""
    here = torch.from_numpy(values)
    return here if device.type == "cpu" else here.pin_memory().to(device, non_blocking=True)
