"""Whether a GPU is here, without torch, which takes seconds to import."""

import ctypes
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

DEV = Path("/dev")
NO_DEVICE = 100  # what CUDA's driver says where it runs and has no device to show
# Of a driver on Linux, of one below Windows (WSL), and of Tegra, whose libraries may lie where only torch looks.
NODES = ("nvidia*", "dxg", "nvhost*", "nvmap", "nvgpu")


def require_device(device: str, found: int, why: str = "") -> None:
    """Refuse a device of CUDA beyond the `found` ones. why: there are no more, where that is known.

    Raises:
        ValueError: it is; the message names those that are allowed.
    """
    kind, _, number = device.partition(":")
    if kind == "cuda" and int(number or 0) >= found:
        allowed = ", ".join(["cpu", *(f"cuda:{number}" for number in range(found))])
        raise ValueError(f"params.yaml: runtime.device = {device!r} is not here{why} (allowed: {allowed})")


def require_not_absent(device: str) -> None:
    """Refuse a device that this machine certainly lacks; what cannot be known passes, and torch finds out.

    Raises:
        ValueError: as `require_device` says.
    """
    if device == "cpu":
        return
    built = _torch()
    if built.get("hip"):  # AMD's GPUs are called cuda as well
        return
    if "cuda" in built and not built["cuda"]:
        require_device(device, 0, f": torch {built.get('__version__', '')} is built without CUDA")
    found = devices()
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if found is not None:
        require_device(device, found, "" if hidden is None else f": CUDA_VISIBLE_DEVICES = {hidden!r}")


def devices() -> int | None:
    """CUDA devices that a process started here would see, or None where that is not certain."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None if any(node for pattern in NODES for node in DEV.glob(pattern)) else 0
    number = ctypes.c_int()
    try:
        state = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(number))
    except AttributeError:  # a stand-in for a driver
        return None
    return {0: number.value, NO_DEVICE: 0}.get(state)


def _torch() -> dict[str, str]:
    """The build facts in torch's version.py; empty where there is none."""
    spec = find_spec("torch")  # which imports nothing
    path = Path(spec.origin or "").with_name("version.py") if spec else Path()
    if not path.is_file():
        return {}
    lines = re.findall(r"^(\w+)(?:: [^=\n]+)? = (?:'(.*)'|None)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(lines)
