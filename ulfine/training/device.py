"""The device of a run, and what makes it deterministic there."""

import ctypes
import os
import sys

import torch

from ulfine.device import require_device
from ulfine.params.runtime import Runtime


def prepare(runtime: Runtime) -> torch.device:
    """Set threads and determinism, and return the device.

    Raises:
        ValueError: CUDA is asked for and absent.
    """
    torch.set_num_threads(runtime.num_threads)
    _keep_freed_memory()
    torch.set_deterministic_debug_mode("error")  # only warned, a GPU takes attention with a gradient that is not
    torch.utils.deterministic.fill_uninitialized_memory = False  # a guard against bugs, at a fifth of every step
    # torch's attention takes another path, with other last bits, where nothing needs a gradient: without it a frozen
    # tower, a tower with fresh adapters and cached features agree bit for bit
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.fp32_precision = "ieee"  # fp32 means fp32 on a GPU as well, not TF32
    device = torch.device(runtime.device)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        require_device(runtime.device, torch.cuda.device_count())
    return device


def _keep_freed_memory() -> None:
    """Tell glibc not to hand the memory of activations back after every layer: half of a forward pass went into that.

    EfficientNet-Lite0 at 64 px on 2 cores: about 500 images/s without, 800 with.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent from musl
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 2**25)
