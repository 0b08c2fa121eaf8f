"""What a stage took, and where it ran: part of the provenance, which stays on this machine."""

import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from ulfine.files import read_json
from ulfine.params.names import NO_BACKBONE
from ulfine.runner.cell import Cell
from ulfine.runner.jobs import TRAININGS, Job
from ulfine.runner.provenance import read_provenance


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


def where(done: Iterable[Job]) -> list[str]:
    """A line for each device, and machine, on which these runs were trained, with their number.

    A run that was pulled has the record that git carries, which names no machine.
    """
    counts = Counter(filter(None, map(_place, done)))
    return [f"trained on {place}: {number}" for place, number in sorted(counts.items())]


def _place(job: Job) -> str | None:
    if job.stage not in TRAININGS:
        return None
    found = (read_provenance(job) or {}).get("usage")
    if found:
        return f"{found['device']} of {found['host']}" if "device" in found else None
    record = Cell(**({"backbone": NO_BACKBONE} | dict(job.names))).record
    return f"{read_json(record)['device']}, elsewhere" if record.exists() else None


def _size(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in inside if each.is_file())


def _computed_on(device: str, seconds: float) -> dict[str, Any]:
    if "torch" not in sys.modules:  # nothing was computed, and to import it takes seconds
        return {}
    import torch

    from ulfine.training.record import PACKAGES, device_name, driver

    at = torch.device(device)
    found = {"device": device_name(at), "driver": driver(at), "versions": {name: version(name) for name in PACKAGES}}
    return found | ({"gpu_seconds": seconds} if at.type == "cuda" else {})
