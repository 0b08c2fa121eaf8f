"""The figures of a study, with their captions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from ulfine.evaluation import figures
from ulfine.evaluation.loaded import methods_of
from ulfine.evaluation.looks import STYLE, Looks
from ulfine.evaluation.report import Study
from ulfine.evaluation.tables import title


@dataclass(frozen=True)
class Drawn:
    """A figure, the part of the page where it stands, and its caption."""

    part: str
    name: str  # of its files, without a suffix
    caption: str
    figure: Figure


def gallery(study: Study) -> Iterator[Drawn]:
    """Every figure that the runs of a study allow."""
    looks = Looks(study.catalogue)
    with mpl.rc_context(STYLE):
        for task, runs in study.tasks:
            for part, name, caption, figure in _of_task(runs, looks, study.ulfine()):
                if figure is not None:
                    stem = "-".join([*map(str, task.values()), name])
                    yield Drawn(part, stem, f"{title(task)}. {caption}", figure)
        for name, figure in figures.sensitivity(study.tables["sweep"]):
            caption = (
                f"Sensitivity of {name}: accuracy on validation pictures by each constant, over all trials of the "
                "others: their mean, and the best. A flat line is a constant that does not matter."
            )
            yield Drawn("ablations", f"sensitivity-{name}", caption, figure)
        if study.ranks is not None:
            caption = (
                "Mean rank of each method over splits and seeds, with bars of half a critical difference: two methods "
                "differ where their bars do not overlap."
            )
            yield Drawn("ranks", "ranks", caption, figures.ranks(study.ranks, looks))
        if (figure := figures.cost(study.tables["cost"], study.tables["runs"], looks)) is not None:
            caption = "Accuracy against what a training costs, a point for each run; better is up and to the left."
            yield Drawn("cost", "cost", caption, figure)


def _of_task(runs: Sequence, looks: Looks, ulfine: str) -> Iterator[tuple[str, str, str, Figure | None]]:
    yield (
        "groups", "groups",
        "Accuracy of head, medium and tail classes: bars are means over seeds, points are seeds. A method that helps "
        "the tail closes the gap between the left and the right third.",
        figures.groups(runs, looks),
    )  # fmt: skip
    yield (
        "groups", "per-class",
        "Recall of each class by its number of labeled pictures; a point is a class of one seed, a line the mean. The "
        "steeper the line, the more a class suffers from being rare.",
        figures.per_class(runs, looks),
    )  # fmt: skip
    yield (
        "pseudo-labels", "pseudo-labels",
        "Pseudo-labels over time by class group: pictures whose label is kept, kept and right (both by true class), "
        "and kept labels of these classes that are false. Tail pictures that are never kept teach nothing.",
        figures.pseudo_labels(runs, looks),
    )  # fmt: skip
    yield (
        "pseudo-labels", "confidence",
        "Mean confidence of right and of false predictions on unlabeled pictures. Overconfident is who has both lines "
        "at the same height.",
        figures.confidence(runs, looks),
    )  # fmt: skip
    yield (
        "reliability", "reliability",
        "Accuracy by confidence, in 15 bins, of the final model. Below the diagonal is overconfident, above it "
        "underconfident.",
        figures.reliability(runs, looks),
    )  # fmt: skip
    methods = methods_of(runs)
    fusing = next((methods[name] for name in (ulfine, *methods) if name in methods and methods[name][0].fusion), None)
    if fusing is not None:
        which = f"{fusing[0].method}, seed {fusing[0].names['seed']}"
        yield (
            "reliability", "classifiers",
            f"The classifiers of {fusing[0].method} on unlabeled pictures, final model: the text's own prototypes in "
            "the trained features, those that PAF has fitted, the linear classifier, and their fusion. A curve nearer "
            "to the diagonal than the one before it is overconfidence undone.",
            figures.by_classifier(fusing),
        )  # fmt: skip
        yield (
            "prototypes", "prototypes",
            f"Text prototypes of {which} before and after training: cosines between classes, how far each moved, and "
            "the share of the text that PAF's updates left. PAF is meant to move most what is predicted most, and to "
            "leave the tail near its text.",
            figures.prototypes(fusing[0]),
        )  # fmt: skip
        yield (
            "fusion", "fusion",
            f"Whose class the fused logits of {which} give on test pictures: of both classifiers, of one of them "
            "alone, or of neither.",
            figures.fusion(fusing[0]),
        )  # fmt: skip
    yield (
        "curves", "curves",
        "Loss of each training, a line for each seed, and accuracy on validation pictures where it was recorded.",
        figures.curves(runs, looks),
    )  # fmt: skip


def save(drawn: Sequence[Drawn], folder: Path) -> None:
    """Save each figure as SVG and as PDF; the same figure gives the same bytes."""
    with mpl.rc_context(STYLE):
        for each in drawn:
            each.figure.savefig(folder / f"{each.name}.svg", metadata={"Date": None})
            each.figure.savefig(folder / f"{each.name}.pdf", metadata={"CreationDate": None})
