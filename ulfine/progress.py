"""Progress of long work on standard error: rate and time left; a few lines where nobody watches."""

import sys

from tqdm import tqdm


def progress(total: int, what: str, unit: str = "images") -> tqdm:
    """A bar that redraws often on a terminal, and every ten seconds in a log, where shorter work leaves none."""
    interval, delay = (0.2, 0) if sys.stderr.isatty() else (10, 10)
    return tqdm(total=total, desc=what, unit=f" {unit}", mininterval=interval, maxinterval=interval, delay=delay)
