"""3. A training step with the real input pipeline against the same step on ready tensors, on the default tower."""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

from benchmarks.cell import FirstCell
from benchmarks.measured import Found, quartiles, ratios, report

STEPS = 40


class Ready:
    """Batches made beforehand."""

    def __init__(self, batches: list) -> None:
        self.batches = batches

    def at(self, step: int) -> object:
        """Return the batch of a step."""
        return self.batches[step % len(self.batches)]


def main() -> None:
    """Measure both, in turns."""
    first = FirstCell()
    real = first.training("lft")
    ready = first.training("lft")
    ready.loop.batches = Ready([real.batches.at(step) for step in range(8)])
    taken = iter(range(10**6))
    found = ratios(lambda: ready.step(next(taken)), lambda: real.step(next(taken)), STEPS, first.device)
    size = real.options.batch_size
    note = f"{quartiles(found)}; batch {size} + 2x{size * real.options.unlabeled_ratio}, {first.backbone.model}"
    report(
        Found(3, "share of its rate, LFT, default tower", found[len(found) // 2], "", 0.9, "higher", note),
        device=first.device,
    )


if __name__ == "__main__":
    main()
