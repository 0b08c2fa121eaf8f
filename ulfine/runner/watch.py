"""A table of what runs now: how far it is, what it says of itself, how long it will take."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from ulfine.files import read_json
from ulfine.locks import holder
from ulfine.runner.engines import at_work
from ulfine.runner.provenance import LOGS, PROGRESS

EVERY = 1  # seconds
WIDTH = 200  # of lines that no terminal limits
COLUMNS = ("job", "done", "a second", "left", "")


def watch() -> None:
    """Show the table until Ctrl-C, or once where the output is not a terminal."""
    console = Console()
    if not console.is_terminal:
        Console(width=WIDTH).print(table(list(running())))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(table(list(running())), refresh=True)
            time.sleep(EVERY)


def running() -> Iterator[dict[str, Any]]:
    """What the jobs that run now have written down of themselves; what a killed one left counts for nothing."""
    for path in sorted(PROGRESS.rglob("*.json")):
        if holder(LOGS / path.relative_to(PROGRESS).with_suffix(".log")):
            try:
                yield read_json(path)
            except (ValueError, OSError):  # it has just ended
                continue


def table(jobs: list[dict[str, Any]]) -> Group:
    """Who is at work, and a row for each job."""
    found = Table(*COLUMNS, box=None, pad_edge=False)
    for each in jobs:
        found.add_row(each["job"], *_amounts(each))
    said = at_work() or ("stages started by hand" if jobs else "nothing is at work here")
    return Group(said, found) if jobs else Group(said)


def _amounts(job: dict[str, Any]) -> tuple[str, str, str, str]:
    """What is done, how fast, how long the rest takes, and what a bar says besides."""
    if "done" not in job:
        return "", "", "", "begins, or ends"
    total, rate = job["total"], job["rate"]
    share = f"{job['done'] / total:.0%}" if total else f"{job['done']:,} {job['unit']}"
    left = str(timedelta(seconds=round((total - job["done"]) / rate))) if total and rate else ""
    return f"{job['what']} {share}", f"{rate:,.0f} {job['unit']}", left, job["said"] or ""
