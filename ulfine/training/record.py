"""The record of a run: what differs from one run to the next, kept apart from its hashed outputs."""

import platform
import re
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from ulfine.git import git

DECIDING = ("ulfine", "stages", "dvc.yaml", "params.yaml")  # results and dvc.lock change with every run
NVIDIA = Path("/proc/driver/nvidia/version")
PACKAGES = ("ulfine", "torch", "torchvision", "open_clip_torch", "timm", "transformers", "numpy")


def make_record(device: torch.device, cost: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Describe a training and its cost, without paths or names of users and machines, as records are shared.

    cost: seconds of training, images seen, operations. asked: cell with its seed, parameters, their digest.
    """
    return (asked | cost) | {
        "device": device_name(device),
        "driver": driver(device),
        "git": _commit(),
        "num_threads": torch.get_num_threads(),
        "peak_memory_mb": round(peak_memory(device) / 2**20, 1),
        "platform": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "wall_seconds": round(time.time() - psutil.Process().create_time(), 1),  # of this process, imports among it
    }


def driver(device: torch.device) -> dict[str, str | int | None] | None:
    """Versions of what drives a GPU; None on the CPU."""
    if device.type != "cuda":
        return None
    loaded = re.search(r"\s(\d+(\.\d+)+)\s", NVIDIA.read_text()) if NVIDIA.exists() else None
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nvidia": loaded and loaded[1],
    }


def peak_memory(device: torch.device) -> int:
    """Bytes: allocated on a CUDA device, resident on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: torch.device) -> str:
    """The model of the GPU, or of the processor with its number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            model = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.machine()
    return f"{model}, {torch.get_num_threads()} threads"


def _commit() -> dict[str, Any] | None:
    # an archive of the source may lie in a repository of another project
    if git("ls-files", "--error-unmatch", "params.yaml") is None:
        return None
    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit.strip(), "dirty": bool((git("status", "--porcelain", "--", *DECIDING) or "").strip())}
