"""Progress of long work on standard error: rate and time left; a few lines where nobody watches."""

import sys

from tqdm import tqdm


def progress(total: int | None, what: str, unit: str = "images", done: int = 0) -> tqdm:
    """A bar that redraws often on a terminal, and every ten seconds in a log, where shorter work leaves none.

    total: None where it is not known. unit: B for bytes, of which thousands and millions are shown. done: at the start.
    """
    interval, delay = (0.2, 0) if sys.stderr.isatty() else (10, 10)
    scaled = {"unit": "B", "unit_scale": True} if unit == "B" else {"unit": f" {unit}"}
    return tqdm(total=total, desc=what, initial=done, mininterval=interval, maxinterval=interval, delay=delay, **scaled)
