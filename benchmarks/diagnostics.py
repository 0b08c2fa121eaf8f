"""The cost of logging pseudo-labels and classifiers: processor time of a training with and without, in turns.

    python -m benchmarks.diagnostics lp lft

Needs the artifacts of `dvc repro` for the first cell of the grid. Without means that only losses are logged. Steps and
`log_every` are those of params.yaml.
"""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

import argparse
import statistics
import time

from benchmarks.cell import FirstCell
from ulfine.training.history import History


class LossesAlone(History):
    """A history without pseudo-labels and classifiers."""

    def add(self, losses: dict, _targets: object, batch: object) -> None:
        """Add the losses only."""
        super().add(losses, None, batch)

    def close_row(self, step: int, lr: float, prior: object, _classifiers: dict) -> dict:
        """Return a row of losses."""
        return super().close_row(step, lr, prior, {})


def main() -> None:
    """Measure the methods named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    first = FirstCell()
    for method in arguments.methods:
        seconds = {kind: [] for kind in (History, LossesAlone)}
        for _ in range(arguments.repeats):
            for kind, found in seconds.items():
                found.append(loop_seconds(first, method, kind))
        full, bare = (statistics.median(found) for found in seconds.values())
        print(f"{method}: {full:.3f} s with, {bare:.3f} s without, {100 * (full / bare - 1):+.1f} %")


def loop_seconds(first: FirstCell, method: str, kind: type[History]) -> float:
    """Return the processor time of the steps of one training, in seconds."""
    training = first.training(method, history=kind)
    started = time.process_time()
    training.loop.run()
    return time.process_time() - started


if __name__ == "__main__":
    main()
