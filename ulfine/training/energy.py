"""Energy of a training, as the driver of a GPU counts it."""

import torch


class Energy:
    """Joules of one GPU, whoever uses it, since this was made; None on the CPU and where the driver does not tell.

    Drivers tell for GPUs since Volta (NVML, nvmlDeviceGetTotalEnergyConsumption).
    """

    def __init__(self, device: torch.device) -> None:
        self._handle = _handle(device)
        self._start = self._total()

    def joules(self) -> float | None:
        """Since the start."""
        total = self._total()
        return None if total is None or self._start is None else total - self._start

    def _total(self) -> float | None:
        if self._handle is None:
            return None
        import pynvml

        try:
            return pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000
        except pynvml.NVMLError:
            return None


def _handle(device: torch.device) -> object | None:
    """NVML's handle of a CUDA device, by its UUID: NVML knows nothing of CUDA_VISIBLE_DEVICES."""
    if device.type != "cuda":
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    except pynvml.NVMLError:
        return None
