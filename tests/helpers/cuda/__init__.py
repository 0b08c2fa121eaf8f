"""A pretended CUDA device, for tests of the CUDA path without a GPU.

A stand-in for CUDA's runtime (runtime.c) keeps tensors of the device in host memory, and a mode of torch (pretended.py)
runs each operator's CPU kernel on their bytes. So autocast, the choice of attention kernels, streams, pinned memory,
foreach optimizers, torch.load and the backward pass take torch's own CUDA branches. It cannot see errors within CUDA
kernels, their true nondeterminism, races between streams, nor time.
"""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent


class UnavailableError(Exception):
    """The pretended device cannot be built here; the message says why."""


def environment(folder: Path) -> dict[str, str]:
    """Build the stand-in into `folder`: the environment of a process that is to see the device."""
    compiler = shutil.which("gcc")
    headers = sorted(Path(sysconfig.get_paths()["purelib"], "nvidia").rglob("cuda_runtime_api.h"))
    if compiler is None or not headers:
        raise UnavailableError("needs gcc" if compiler is None else "needs torch's CUDA wheels")
    runtime, driver = folder / "libcudart.so", folder / "libcuda.so.1"
    included = [f"-I{HERE}", f"-I{headers[0].parent}"]
    for target, sources in ((runtime, ["runtime.c", "properties.c"]), (driver, ["runtime.c"])):
        command = [compiler, "-shared", "-fPIC", "-w", *included, *(str(HERE / name) for name in sources)]
        subprocess.run([*command, "-o", str(target)], check=True)
    return os.environ | {"LD_PRELOAD": str(runtime), "LD_LIBRARY_PATH": str(folder), "CUDA_VISIBLE_DEVICES": "0"}
