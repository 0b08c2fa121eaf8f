"""10. Cost against size: images, classes, heads, cells. A figure is its steepest log-log slope; 1 is linear."""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

import statistics
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.cell import FirstCell
from benchmarks.grid import with_seeds
from benchmarks.measured import RESULTS, Found, report, seconds
from benchmarks.rows.heads import trials
from tests.helpers import project
from ulfine.runner.jobs import jobs
from ulfine.training.batches import Batches, CachedViews
from ulfine.training.optimizers import make_optimizer
from ulfine.training.sweep import heads

PLOT = RESULTS.with_name("scaling.svg")
ROUNDS = 5
CPU = torch.device("cpu")


def images(first: FirstCell) -> dict[int, Callable[[], object]]:
    """Return feature extraction, by number of pictures."""
    return {number: first.extraction(number) for number in (32, 64, 128, 256)}


def classes(_: FirstCell) -> dict[int, Callable[[], object]]:
    """Return 20 forward and backward passes of a classifier on 96 features, by number of classes."""
    from ulfine.models.classifiers import CosineClassifier

    features = torch.nn.functional.normalize(torch.randn(96, 768), dim=-1)
    work = {}
    for number in (10, 30, 100, 300, 1000):
        classifier = CosineClassifier(torch.randn(number, 768), 25)
        labels = torch.arange(96) % number

        def step(classifier: CosineClassifier = classifier, labels: torch.Tensor = labels) -> None:
            for _ in range(20):
                torch.nn.functional.cross_entropy(classifier(features), labels).backward()

        work[number] = step
    return work


def heads_at_once(first: FirstCell) -> dict[int, Callable[[], object]]:
    """Return 20 steps of ULFine heads, by their number."""
    work = {}
    for number in (1, 4, 16, 64):
        learner = heads(first.inputs, trials(first, "ulfine_frozen")[:number], 0, CPU).train()
        views = CachedViews(first.inputs.features, first.inputs.space, CPU)
        labels = first.inputs.store.labels["train"]
        batches = Batches(views, labels, first.inputs.indices, learner.options, 0)
        optimizer = make_optimizer(learner, learner.options)

        def steps(learner=learner, batches=batches, optimizer=optimizer) -> None:  # noqa: ANN001
            for step in range(20):
                optimizer.zero_grad()
                result = learner(batches.at(step))
                sum(learner.losses(result).values()).sum().backward()
                optimizer.step()
                learner.adapt(step, result)

        work[number] = steps
    return work


def cells(_: FirstCell) -> dict[int, Callable[[], object]]:
    """Return the making of the graph, by number of cells, three for each seed."""
    kept = TemporaryDirectory()
    work = {}
    for seeds in (10, 30, 100, 300):
        folder = Path(kept.name) / str(seeds)
        project.make_project(folder)
        project.write_params(folder, with_seeds(seeds))

        def graph(folder: Path = folder, _: object = kept) -> None:
            with chdir(folder):
                jobs()

        work[3 * seeds] = graph
    return work


def main() -> None:
    """Measure each cost, in turns over the sizes, and draw the curves."""
    first = FirstCell()
    curves = {}
    for name, of in (("images", images), ("classes", classes), ("heads", heads_at_once), ("cells", cells)):
        work = of(first)
        rounds = [{size: seconds(call, CPU) for size, call in work.items()} for _ in range(ROUNDS + 1)][1:]
        curves[name] = {size: statistics.median(found[size] for found in rounds) for size in work}
        sizes, times = list(curves[name]), list(curves[name].values())
        pairs = [np.log(times[i + 1] / times[i]) / np.log(sizes[i + 1] / sizes[i]) for i in range(len(sizes) - 1)]
        note = f"{min(sizes)} to {max(sizes)}: {1e3 * times[0]:.3g} to {1e3 * times[-1]:.3g} ms, median of {ROUNDS}"
        report(Found(10, name, max(pairs), "", 1, "lower", note), device=CPU)
    draw(curves)


def draw(curves: dict[str, dict[int, float]]) -> None:
    """Draw a panel for each curve, with a linear one through its last point."""
    mpl.rcParams["svg.hashsalt"] = "scaling"  # the same names inside the file each time
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    for axes, (name, curve) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        sizes, times = np.array(list(curve)), np.array(list(curve.values()))
        axes.loglog(sizes, times, "o-", color="#0072B2", label="measured")
        axes.loglog(sizes, times[-1] * sizes / sizes[-1], "--", color="#999999", label="linear")
        axes.set(xlabel=name, ylabel="seconds" if name == "images" else "")
    axes.legend(frameon=False)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
