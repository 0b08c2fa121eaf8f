"""The record of a run: what differs from one run to the next, kept apart from its hashed outputs."""

import platform
import resource
import shutil
import subprocess
from importlib.metadata import version
from typing import Any

import torch

DECIDING = ("ulfine", "stages", "params.yaml")  # results and dvc.lock change with every run and decide nothing
PACKAGES = ("ulfine", "torch", "torchvision", "open_clip_torch", "timm", "transformers", "numpy")


def make_record(device: torch.device, cost: dict[str, Any]) -> dict[str, Any]:
    """`cost` (seconds, images, flops) with memory, device, versions and the commit."""
    return cost | {
        "device": device_name(device),
        "git": _git(),
        "num_threads": torch.get_num_threads(),
        "peak_memory_mb": round(peak_memory(device) / 2**20, 1),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
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


def _git() -> dict[str, Any] | None:
    git = shutil.which("git")
    if git is None:
        return None
    commit = _output(git, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_output(git, "status", "--porcelain", "--", *DECIDING))}


def _output(*command: str) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (git, fixed arguments)
    return done.stdout.strip() if done.returncode == 0 else None
