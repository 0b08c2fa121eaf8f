"""Progress bars for long work, on standard error; only a few lines in a log."""

import sys

from tqdm import tqdm


def progress(total: int | None, what: str, unit: str = "images", done: int = 0) -> tqdm:
    """Make a bar that redraws often on a terminal, and every ten seconds in a log, where shorter work shows none.

    total: None if unknown. unit: B for bytes, shown in thousands and millions. done: progress at the start.
    """
    interval, delay = (0.2, 0) if sys.stderr.isatty() else (10, 10)
    scaled = {"unit": "B", "unit_scale": True} if unit == "B" else {"unit": f" {unit}"}
    return tqdm(total=total, desc=what, initial=done, mininterval=interval, maxinterval=interval, delay=delay, **scaled)
