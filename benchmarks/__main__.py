"""Run the scripts of all rows of the table, one after the other; stop at the first that fails."""

import subprocess
import sys
import time

ROWS = (
    "cached", "extraction", "pipeline", "vit", "augmentation", "heads", "process", "busy", "scaling", "one_run",
    "main_job",
)  # fmt: skip


def main() -> None:
    """Run all scripts, or those named on the command line."""
    for row in sys.argv[1:] or ROWS:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", f"benchmarks.rows.{row}"], check=True)  # noqa: S603
        print(f"benchmarks.rows.{row}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
