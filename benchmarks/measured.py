"""Figures of benchmarks, and how they are stored: benchmarks/results.json and the table made from it.

Figures are ratios of two things timed in turns within one process, so that a varying speed of the machine affects both
alike. A row stays until its script measures it again.
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
NO_GPU = "a GPU"  # the device of a row that could not be measured
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
    11: "Start of a stage: its imports",
    15: "Beside two busy processes",
    17: "A linear probe with its features against one with the frozen tower in its loop",
}
HEADER = """# Benchmarks

Made by `make bench`. Ratios compare two things timed in turns; `spread` gives the quartiles. A row without a value
needs hardware that the machine did not have.

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
    """Print figures, replace those of the same name in RESULTS, and rewrite the table."""
    told = NO_GPU if device is None else device_name(device)
    commit = (git("rev-parse", "--short", "HEAD") or "").strip() or None
    stamp = {"device": told, "commit": commit, "ran": datetime.now(UTC).isoformat(timespec="seconds")}
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    for figure in figures:
        print(f"{figure.row}. {figure.name}: {shown(figure.value)} {figure.unit} ({figure.note})", flush=True)
        known = {"row": figure.row, "name": figure.name}
        same = [row for row in rows if known.items() <= row.items()]
        if figure.value is None and any(row["value"] is not None for row in same):
            continue  # keep the figure of a machine that could measure it
        rows = [row for row in rows if row not in same] + [asdict(figure) | stamp]
    rows.sort(key=lambda row: row["row"])
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    TABLE.write_text(HEADER + "".join(map(line, rows)), encoding="utf-8")


def line(row: dict) -> str:
    """Format a row of the table."""
    value = "" if row["value"] is None else f"{shown(row['value'])} {row['unit']}"
    target = "" if row["target"] is None else f"{'≥' if row['better'] == 'higher' else '≤'} {row['target']:g}"
    what = f"{TITLES[row['row']]}: {row['name']}"
    return f"| {row['row']} | {what} | {value} | {target} | {row['note']} | {row['device']} | {row['commit']} |\n"


def shown(value: float | None) -> str:
    """Format a figure with three digits."""
    return "none" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time one call, including the work that it queues on a GPU."""
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def ratios(slow: Callable[[], object], fast: Callable[[], object], rounds: int, device: torch.device) -> list[float]:
    """Return sorted ratios of the times of `slow` and `fast`, measured in turns; the first round only warms up."""
    found = [seconds(slow, device) / seconds(fast, device) for _ in range(rounds + 1)]
    return sorted(found[1:])


def quartiles(values: list[float]) -> str:
    """Format quartiles for `note`."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"quartiles {shown(low)}, {shown(middle)}, {shown(high)} of {len(values)}"
