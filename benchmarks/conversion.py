"""Memory and time of the data stage on folders of generated pictures, extrapolated to the size of ImageNet.

    python benchmarks/conversion.py 25000 50000 100000

Runs `python -m stages.data` on each number of pictures, in a temporary copy of the project. Reads the memory from
/proc (Linux) twenty times a second.
"""

import argparse
import copy
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml
from PIL import Image

from ulfine.params.base import read_yaml

ROOT = Path(__file__).parents[1]
CLASSES = 100
SIDE = 24  # pixels
IMAGENET = 1_300_000


def main() -> None:
    """Measure each number of pictures given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="+", type=int)
    numbers = sorted(parser.parse_args().numbers)
    found = {}
    for number in numbers:
        with TemporaryDirectory() as folder:
            make_project(Path(folder), number)
            seconds, resident, anonymous = found[number] = measured(Path(folder))
        print(f"{number} pictures: {seconds:.1f} s, peak {resident:.1f} MiB resident, {anonymous:.1f} MiB anonymous")
    if len(numbers) > 1:
        (least, low), (most, high) = ((number, found[number]) for number in (numbers[0], numbers[-1]))
        for name, before, after in zip(("resident", "anonymous"), low[1:], high[1:], strict=True):
            growth = (after - before) / (most - least)
            total = after + growth * (IMAGENET - most)
            print(f"{name}: {growth * 2**20:.0f} bytes a picture, {total:.0f} MiB at {IMAGENET}")


def make_project(folder: Path, number: int) -> None:
    """Copy the code, add a data set to the parameters, and make its pictures: noise, a sixth for the test."""
    for name in ("stages", "ulfine"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", folder)
    values = copy.deepcopy(read_yaml(ROOT / "params.yaml"))
    source = {"kind": "folder", "path": "pictures", "licence": "none"}
    values["datasets"]["generated"] = values["datasets"]["fashion-mnist-mini"] | {"source": source, "resolution": 16}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    rng = np.random.default_rng(0)
    for i in range(number):
        part = "test" if i // CLASSES % 6 == 5 else "train"
        path = folder / f"pictures/{part}/class_{i % CLASSES:03}/n{i % CLASSES:08}_{i:08}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(path, compress_level=1)


def measured(project: Path) -> tuple[float, float, float]:
    """Run the data stage; return its seconds and its peak memory in MiB, resident and anonymous."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "stages.data", "--dataset", "generated"]
    stage = subprocess.Popen(command, cwd=project)  # noqa: S603
    peaks = {"VmHWM": 0, "RssAnon": 0}
    while stage.poll() is None:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{stage.pid}/status").read_text().splitlines())
        for key, peak in peaks.items():
            peaks[key] = max(peak, int(status.get(key, "0 kB").split()[0]))  # a process that is ending has none
        time.sleep(0.05)
    if stage.returncode:
        sys.exit(stage.returncode)
    return time.perf_counter() - started, *(peak / 1024 for peak in peaks.values())


if __name__ == "__main__":
    main()
