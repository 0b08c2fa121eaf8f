"""The console script `ulfine`."""

import os
import sys


def main() -> None:
    """Run the `ulfine` of the current folder, whichever clone is installed: `python -m` looks here first."""
    os.execv(sys.executable, [sys.executable, "-m", "ulfine", *sys.argv[1:]])  # noqa: S606 (no shell)
