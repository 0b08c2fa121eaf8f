"""What a stage took, and where it ran: part of the provenance, which stays on this machine."""

import resource
import socket
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil


def usage(device: str | None, outputs: Sequence[str]) -> dict[str, Any]:
    """Describe this process up to now: host, seconds, seconds of its processors, memory, disk; with a device also that.

    device: as `runtime.device`; None for a stage that computes on none. outputs: files and folders that it has written.
    """
    mine, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "host": socket.gethostname(),
        "seconds": round(time.time() - psutil.Process().create_time(), 1),  # imports among them
        "cpu_seconds": round(sum(each.ru_utime + each.ru_stime for each in (mine, children)), 1),
        "memory_mb": round(mine.ru_maxrss / 1024),  # resident, at its peak
        "disk_mb": round(sum(map(_size, map(Path, outputs))) / 2**20, 2),
    }
    return found | _computed_on(device, found["seconds"]) if device else found


def _size(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in inside if each.is_file())


def _computed_on(device: str, seconds: float) -> dict[str, Any]:
    import torch  # it takes seconds, and stages without a device do not load it

    from ulfine.training.record import PACKAGES, device_name, driver

    at = torch.device(device)
    found = {"device": device_name(at), "driver": driver(at), "versions": {name: version(name) for name in PACKAGES}}
    return found | ({"gpu_seconds": seconds} if at.type == "cuda" else {})
