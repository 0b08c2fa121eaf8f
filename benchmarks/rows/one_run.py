"""17. One linear probe with the making of its features, against one with the frozen tower in its loop.

The views and steps of CIFAR-10 (n500-g100), times what one of them takes here, on the pictures of the grid. With the
tower in the loop all views of a step pass, as in LoFT, and the test pictures at its end.
"""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

from benchmarks.cell import FirstCell
from benchmarks.measured import Found, quartiles, report, seconds
from ulfine.data.splits import wanted_counts

DATASET, SPLIT = "cifar10", "n500-g100"
TRAIN, TEST = [5000] * 10, 10_000  # its pictures
PICTURES, STEPS, ROUNDS = 384, 50, 5


def main() -> None:
    """Measure the extraction and a step of either kind, in turns."""
    first = FirstCell()
    train, times = first.params.training(DATASET, "lp"), first.params.augmentation(DATASET).views
    wanted = wanted_counts(first.params.datasets[DATASET].splits[SPLIT], TRAIN, seed=0)
    labeled, unlabeled, validation = (sum(wanted[name]) for name in ("labeled", "unlabeled", "validation"))
    drawn = labeled + unlabeled
    passed = drawn + validation + times.weak * drawn + times.strong * unlabeled + TEST
    batch = {"batch_size": train.batch_size, "unlabeled_ratio": train.unlabeled_ratio}
    cached, looped = (first.training(method, **batch) for method in ("lp", "lp_fresh"))
    looped.learner.spares_views = False
    extract, own = first.extraction(PICTURES), first.augmentation.views

    def steps(number: int) -> None:
        for step in range(number, number + STEPS):
            cached.step(step)

    found = []
    for number in range(ROUNDS + 1):
        a_view = seconds(extract, first.device) / (PICTURES * (2 + own.weak + own.strong))
        a_step = seconds(lambda number=number: steps(STEPS * number), first.device) / STEPS
        a_looped_step = seconds(lambda number=number: looped.step(number), first.device)
        found.append((train.steps * a_looped_step + TEST * a_view) / (passed * a_view + train.steps * a_step))
    found = sorted(found[1:])
    note = f"{quartiles(found)}; {passed:,} views, {train.steps:,} steps of {looped.batches.images_per_step}"
    report(Found(17, "times as fast", found[len(found) // 2], "x", 2, "higher", note), device=first.device)


if __name__ == "__main__":
    main()
