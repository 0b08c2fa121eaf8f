"""Findings of benchmarks, and the files that hold them: benchmarks/results.json and the table made of it.

Figures are ratios of two things timed in turns within one process, so that a machine whose speed varies does them both
alike. A row of the table stays until the script that made it runs again on the same device.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch

from ulfine.git import git
from ulfine.training.record import device_name

RESULTS = Path(__file__).parent / "results.json"
TABLE = RESULTS.with_suffix(".md")
NO_GPU = "a GPU"  # the device of a row that had none
TITLES = {
    1: "Linear probing on cached views against the frozen tower in the loop",
    2: "Feature extraction against the bare forward pass",
    3: "Training step with its input pipeline against the step on ready tensors",
    4: "Strong augmentation, batched, against torchvision/PIL picture by picture",
    5: "64 heads as one training against one head",
    6: "A linear probe as a process, start to end",
    7: "Fine-tuning ViT-B/16: share of the measured bf16 matmul rate",
    8: "Peak memory, ViT-B/16, batch 32 + 7x32",
    9: "Main job after set-up, default grid",
    10: "Cost against size: the steepest step, as a power of the size",
}
HEADER = """# Benchmarks

Made by `make bench`. Ratios are of two things timed in turns; `spread` gives the quartiles. A row without a value needs
what the machine did not have.

| # | what | value | to reach | spread, batch | device | commit |
|---:|---|---:|---|---|---|---|
"""


@dataclass(frozen=True)
class Found:
    """One figure."""

    row: int  # of TITLES
    name: str
    value: float | None  # None where the machine cannot tell
    unit: str
    target: float | None
    better: Literal["higher", "lower"]
    note: str = ""  # spread and batch; why it misses its target


def report(*figures: Found, device: torch.device | None = None) -> None:
    """Print figures, put them in the place of what RESULTS has of the same name, and make the table anew."""
    told = NO_GPU if device is None else device_name(device)
    commit = (git("rev-parse", "--short", "HEAD") or "").strip() or None
    stamp = {"device": told, "commit": commit, "ran": datetime.now(UTC).isoformat(timespec="seconds")}
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    for figure in figures:
        print(f"{figure.row}. {figure.name}: {shown(figure.value)} {figure.unit} ({figure.note})", flush=True)
        known = {"row": figure.row, "name": figure.name}
        same = [row for row in rows if known.items() <= row.items()]
        if figure.value is None and any(row["value"] is not None for row in same):
            continue  # measured elsewhere, where there was what it needs
        rows = [row for row in rows if row not in same] + [asdict(figure) | stamp]
    rows.sort(key=lambda row: row["row"])
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    TABLE.write_text(HEADER + "".join(map(line, rows)), encoding="utf-8")


def line(row: dict) -> str:
    """A row of the table."""
    value = "" if row["value"] is None else f"{shown(row['value'])} {row['unit']}"
    target = "" if row["target"] is None else f"{'≥' if row['better'] == 'higher' else '≤'} {row['target']:g}"
    what = f"{TITLES[row['row']]}: {row['name']}"
    return f"| {row['row']} | {what} | {value} | {target} | {row['note']} | {row['device']} | {row['commit']} |\n"


def shown(value: float | None) -> str:
    """Three digits."""
    return "none" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, with all that it leaves to a GPU."""
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def ratios(slow: Callable[[], object], fast: Callable[[], object], rounds: int, device: torch.device) -> list[float]:
    """Seconds of `slow` by those of `fast`, timed in turns; the first round, which warms up, is left out."""
    found = [seconds(slow, device) / seconds(fast, device) for _ in range(rounds + 1)]
    return sorted(found[1:])


def quartiles(values: list[float]) -> str:
    """For `note`."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"quartiles {shown(low)}, {shown(middle)}, {shown(high)} of {len(values)}"
