"""A GPU for each process: cells that run side by side spread over the GPUs of a machine, one on each."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ulfine.locks import any_of

VISIBLE = "CUDA_VISIBLE_DEVICES"
COUNT = "from ulfine.device import devices; print(devices() or 0)"


@contextmanager
def own_device(device: str, who: str) -> Iterator[None]:
    """Wait for a GPU that no other stage of this user has, and keep it; other GPUs are hidden from this process.

    device: as `runtime.device`: `cuda` is any GPU, `cuda:1` the second, and `cpu` needs none. Where
    CUDA_VISIBLE_DEVICES names one alone, as schedulers of clusters set it, that is the choice, and is not locked.
    """
    kind, _, number = device.partition(":")
    names = _names() if kind == "cuda" else []
    wanted = names[int(number) :][:1] if number else names
    if not wanted or (len(names) == 1 and VISIBLE in os.environ):
        yield
        return
    folder = Path(tempfile.gettempdir(), f"ulfine-{os.getuid()}")
    slots = {folder / f"gpu-{name.replace('/', '-')}": name for name in wanted}
    with any_of([*slots], who) as slot:
        if not number:  # before torch looks
            os.environ[VISIBLE] = slots[slot]
        yield


def _names() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES would name them; none where that is uncertain."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    # in a process of its own: once CUDA's driver has been asked, it no longer heeds the variable
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=False)  # noqa: S603
    return [str(number) for number in range(int(done.stdout or 0))]
