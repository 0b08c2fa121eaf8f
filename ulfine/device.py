"""Looking for the requested GPU without importing torch, which takes seconds."""

import ctypes
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

DEV = Path("/dev")
NO_DEVICE = 100  # returned by CUDA's driver when it works but finds no device
# Device nodes of drivers on Linux, under Windows (WSL) and on Tegra, whose libraries only torch may find.
NODES = ("nvidia*", "dxg", "nvhost*", "nvmap", "nvgpu")


def require_device(device: str, found: int, why: str = "") -> None:
    """Refuse a CUDA device beyond the `found` ones. why: the reason that there are no more, if known.

    Raises:
        ValueError: there is no such device; the message lists the allowed ones.
    """
    kind, _, number = device.partition(":")
    if kind == "cuda" and int(number or 0) >= found:
        allowed = ", ".join(["cpu", *(f"cuda:{number}" for number in range(found))])
        raise ValueError(f"params.yaml: runtime.device = {device!r} is not here{why} (allowed: {allowed})")


def require_not_absent(device: str) -> None:
    """Refuse a device that this machine certainly lacks; in case of doubt it passes, and torch finds out.

    Raises:
        ValueError: as in `require_device`.
    """
    if device == "cpu":
        return
    built = _torch()
    if built.get("hip"):  # torch calls AMD's GPUs cuda as well
        return
    if "cuda" in built and not built["cuda"]:
        require_device(device, 0, f": torch {built.get('__version__', '')} is built without CUDA")
    found = devices()
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if found is not None:
        require_device(device, found, "" if hidden is None else f": CUDA_VISIBLE_DEVICES = {hidden!r}")


def devices() -> int | None:
    """Count the CUDA devices that a process started here would see; None if that is uncertain."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None if any(node for pattern in NODES for node in DEV.glob(pattern)) else 0
    number = ctypes.c_int()
    try:
        state = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(number))
    except AttributeError:  # a stub of a driver
        return None
    return {0: number.value, NO_DEVICE: 0}.get(state)


def _torch() -> dict[str, str]:
    """Read from torch's version.py how it was built; empty without torch."""
    spec = find_spec("torch")  # does not import it
    path = Path(spec.origin or "").with_name("version.py") if spec else Path()
    if not path.is_file():
        return {}
    lines = re.findall(r"^(\w+)(?:: [^=\n]+)? = (?:'(.*)'|None)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(lines)
