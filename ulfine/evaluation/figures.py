"""Figures of a study. Each function draws what it is given, and returns None where there is nothing to draw."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ulfine.evaluation.loaded import CLASSIFIERS, Loaded, methods_of
from ulfine.evaluation.looks import GREY, OWN, Looks, drawn, in_percent, legend, log_counts, shared_legend
from ulfine.evaluation.ranks import Ranks

GROUPS = ("head", "medium", "tail")
MAP_SIDE = 100  # classes of a cosine map; more are averaged
MANY = 2000  # points, from which they become a picture inside the vectors


def groups(runs: Sequence[Loaded], looks: Looks) -> Figure:
    """Accuracy of head, medium and tail classes: a point for each seed, a bar for the mean."""
    figure, ((axes,),) = drawn(width=6.4, height=3)
    methods = methods_of(runs)
    for number, (name, members) in enumerate(methods.items()):
        look = looks.of(name)
        values = np.array([[run.metrics[f"acc_{group}"] for group in GROUPS] for run in members], float)
        places = np.arange(3) + 0.8 * ((number + 0.5) / len(methods) - 0.5)
        axes.bar(places, pd.DataFrame(values).mean(), 0.7 / len(methods), color=look.color, alpha=0.45, label=name)
        for row in values:
            axes.plot(places, row, look.marker, color=look.color, markersize=3.5)
    axes.set_xticks(range(3), GROUPS)
    axes.set_ylim(0, 1)
    in_percent(axes, "accuracy, %")
    legend(axes, len(methods))
    return figure


def per_class(runs: Sequence[Loaded], looks: Looks) -> Figure:
    """Recall of each class by its number of labeled pictures, with the mean over classes of the same number."""
    figure, ((axes,),) = drawn(width=6.4, height=3.2)
    methods = methods_of(runs)
    for name, members in methods.items():
        look = looks.of(name)
        labeled = np.concatenate([run.metrics["labeled"] for run in members])
        recall = np.concatenate([np.array(run.metrics["recall"], float) for run in members])
        many = len(recall) > MANY
        axes.plot(labeled, recall, look.marker, color=look.color, markersize=3, alpha=0.5, rasterized=many)
        means = pd.Series(recall).groupby(_bins(labeled)).mean()
        axes.plot(means.index, means, look.line, color=look.color, label=name)
    log_counts(axes)
    in_percent(axes, "recall, %")
    legend(axes, len(methods))
    return figure


def _bins(labeled: np.ndarray) -> np.ndarray:
    """Geometric centres of ten bins of equal width on a log scale."""
    logs = np.log(np.maximum(labeled, 1))
    edges = np.linspace(logs.min(), logs.max() + 1e-9, 11)
    number = np.clip(np.digitize(logs, edges) - 1, 0, 9)
    return np.exp([logs[number == each].mean() for each in number])


def pseudo_labels(runs: Sequence[Loaded], looks: Looks) -> Figure | None:
    """Pseudo-labels over time by class group: share kept, share kept and right, share that is false of this label."""
    shown = _judged(runs)
    if not shown:
        return None
    parts = (("kept", "kept, % of pictures"), ("right", "kept and right, %"), ("wrong", "kept, but false, %"))
    figure, rows = drawn(3, len(parts), height=2.1)
    for row, (column, label) in zip(rows, parts, strict=True):
        for axes, group in zip(row, GROUPS, strict=True):
            for name, members in shown.items():
                table = pd.concat([_of_group(run, group) for run in members]).groupby(level=0).mean()
                axes.plot(table.index, table[column] / table["seen"], looks.of(name).line, color=looks.of(name).color)
            axes.set_title(group if column == "kept" else "")
            in_percent(axes, label if group == "head" else "")
            axes.set_ylim(bottom=0)
    for axes in rows[-1]:
        axes.set_xlabel("step")
    shared_legend(figure, shown, looks)
    return figure


def _judged(runs: Sequence[Loaded]) -> dict[str, list[Loaded]]:
    """Runs by method, of those that made pseudo-labels for pictures whose class is known."""
    return {
        name: members
        for name, members in methods_of(runs).items()
        if (table := members[0].pseudo_labels) is not None and table["seen"].any()
    }


def _of_group(run: Loaded, group: str) -> pd.DataFrame:
    table = run.pseudo_labels[run.pseudo_labels["class"].isin(run.groups[group])]
    return table.groupby("step")[["seen", "kept", "right", "wrong"]].sum()


def confidence(runs: Sequence[Loaded], looks: Looks) -> Figure | None:
    """Mean confidence of right and of false predictions on unlabeled pictures over time."""
    shown = _judged(runs)
    if not shown:
        return None
    figure, (row,) = drawn(2, height=2.6)
    for axes, kind in zip(row, ("right", "wrong"), strict=True):
        for name, members in shown.items():
            columns = [run.history.set_index("step")[f"confidence_{kind}"] for run in members]
            mean = pd.concat(columns).groupby(level=0).mean()
            axes.plot(mean.index, mean, looks.of(name).line, color=looks.of(name).color)
        axes.set_title("right predictions" if kind == "right" else "false predictions")
        axes.set_xlabel("step")
        axes.set_ylim(0, 1)
    in_percent(row[0], "mean confidence, %")
    in_percent(row[1], "")
    shared_legend(figure, shown, looks)
    return figure


def reliability(runs: Sequence[Loaded], looks: Looks) -> Figure:
    """Accuracy by confidence on test and on unlabeled pictures, all seeds together; the diagonal is calibrated."""
    judged = any(run.metrics["reliability"].get("unlabeled") for run in runs)  # not where no label is known
    parts = ("test", "unlabeled") if judged else ("test",)
    figure, (row,) = drawn(len(parts), height=3)
    methods = methods_of(runs)
    for axes, part in zip(row, parts, strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        for name, members in methods.items():
            bins = pd.DataFrame([each for run in members for each in run.metrics["reliability"].get(part, [])])
            if len(bins):
                look = looks.of(name)
                x, y = diagram(bins)
                axes.plot(x, y, look.line, marker=look.marker, markersize=3, color=look.color)
        axes.set_title(f"{part} pictures")
        axes.set_xlabel("confidence, %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
        in_percent(axes, "accuracy, %" if part == "test" else "")
    shared_legend(figure, methods, looks)
    return figure


def by_classifier(runs: Sequence[Loaded]) -> Figure | None:
    """Accuracy by confidence on unlabeled pictures, for each classifier of one method's runs, all seeds together."""
    names = [name for name in CLASSIFIERS if runs[0].classifiers.get(name, {}).get("reliability")]
    if not names:
        return None
    figure, ((axes,),) = drawn(width=6.4, height=3)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    for name, color, marker in zip(names, (GREY, OWN["lft"], OWN["lp"], OWN["ulfine"]), "osD^", strict=False):
        bins = pd.DataFrame([each for run in runs for each in run.classifiers[name]["reliability"]])
        x, y = diagram(bins)
        axes.plot(x, y, "-", marker=marker, markersize=3, color=color, label=CLASSIFIERS[name])
    axes.set_xlabel("confidence, %")
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    in_percent(axes, "accuracy, %")
    legend(axes, 2)
    return figure


def diagram(bins: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Mean confidence and accuracy of each bin, over several runs."""
    weighted = bins[["confidence", "accuracy"]].mul(bins["pictures"], axis=0)
    sums = weighted.assign(bin=bins["bin"], pictures=bins["pictures"]).groupby("bin").sum()
    return sums["confidence"] / sums["pictures"], sums["accuracy"] / sums["pictures"]


def prototypes(run: Loaded) -> Figure | None:
    """Cosines between text prototypes before and after one training, how far each moved, what is left of the text."""
    if run.prototypes is None:
        return None
    order = np.argsort(-np.array(run.metrics["labeled"]), kind="stable")
    figure, (row,) = drawn(3, width=2.9, height=2.6)
    for axes, (title, rows) in zip(row, zip(("before", "after"), run.prototypes, strict=True), strict=False):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        shown = _pooled((unit @ unit.T)[np.ix_(order, order)])
        image = axes.imshow(shown, cmap="cividis", vmin=-0.2, vmax=1, interpolation="nearest")
        axes.set_title(f"cosines {title}")
        axes.set_xlabel("class, most labeled first")
        axes.grid(visible=False)
    figure.colorbar(image, ax=list(row[:2]), shrink=0.7)
    before, after = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in run.prototypes)
    moved = 1 - (before * after).sum(1)
    labeled = np.array(run.metrics["labeled"])[order]
    row[2].plot(labeled, moved[order], "o", color=OWN["ulfine"], markersize=4, label="1 - cosine to its start")
    if (left := run.metrics.get("text_share")) is not None:
        row[2].plot(labeled, np.array(left)[order], "x", color=GREY, markersize=4, label="text that PAF left")
    log_counts(row[2])
    row[2].set_ylim(bottom=0)
    legend(row[2], 1)
    return figure


def _pooled(cosines: np.ndarray) -> np.ndarray:
    """Means over blocks, so that no side is longer than MAP_SIDE."""
    edges = np.linspace(0, len(cosines), min(len(cosines), MAP_SIDE) + 1).astype(int)[:-1]
    counts = np.diff([*edges, len(cosines)])
    return np.add.reduceat(np.add.reduceat(cosines, edges, 0), edges, 1) / np.outer(counts, counts)


def fusion(run: Loaded) -> Figure | None:
    """Draw whose class the fused logits give on test pictures, by class group."""
    if run.fusion is None:
        return None
    figure, ((axes,),) = drawn(width=6.4, height=2.2)
    left = np.zeros(3)
    colors = (GREY, OWN["lp"], OWN["ulfine"], OWN["fft"])
    for (name, shares), color in zip(run.fusion.items(), colors, strict=True):
        widths = np.array([shares[group] or 0 for group in GROUPS])  # no bar for a group without pictures
        axes.barh(GROUPS, widths, left=left, color=color, label=name, height=0.6)
        left += widths
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of test pictures, %")
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def curves(runs: Sequence[Loaded], looks: Looks) -> Figure | None:
    """Loss over steps, and accuracy on validation pictures where it was recorded."""
    shown = {name: members for name, members in methods_of(runs).items() if len(members[0].history)}
    if not shown:
        return None
    validated = any(run.metrics.get("validation_curve") for run in runs)
    figure, (row,) = drawn(1 + validated, width=6.4 if not validated else 3.2)
    for name, members in shown.items():
        look = looks.of(name)
        for run in members:
            row[0].plot(run.history["step"], run.history["loss"], look.line, color=look.color, linewidth=1)
            if points := run.metrics.get("validation_curve"):
                table = pd.DataFrame(points)
                row[1].plot(table["step"], table["accuracy"], look.line, color=look.color, linewidth=1)
    row[0].set_ylabel("loss")
    for axes in row:
        axes.set_xlabel("step")
    if validated:
        in_percent(row[1], "validation accuracy, %")
    shared_legend(figure, shown, looks)
    return figure


def cost(costs: pd.DataFrame, runs: pd.DataFrame, looks: Looks) -> Figure | None:
    """Accuracy against operations and against seconds of training, both on a log scale: a point for each cell."""
    table = runs.merge(costs, on=["dataset", "split", "backbone", "method", "seed"], suffixes=("", "_"))
    table = table[table["flops"] > 0]
    if table.empty:
        return None
    figure, (row,) = drawn(2, height=3)
    for axes, (column, label) in zip(row, (("flops", "operations"), ("train_seconds", "seconds")), strict=True):
        for name, members in table.groupby("method", sort=False):
            look = looks.of(name)
            axes.plot(members[column], members["accuracy"], look.marker, color=look.color, markersize=5)
        axes.set_xscale("log")
        axes.set_xlabel(f"{label} of training")
    in_percent(row[0], "accuracy, %")
    in_percent(row[1], "")
    shared_legend(figure, dict.fromkeys(table["method"]), looks, lines=False)
    return figure


def ranks(found: Ranks, looks: Looks) -> Figure:
    """Mean rank of each method, the best on top; bars of half a critical difference, which overlap where none is."""
    figure, ((axes,),) = drawn(width=5, height=0.6 + 0.22 * len(found.table))
    for place, (name, row) in enumerate(found.table.iterrows()):
        look = looks.of(str(name))
        axes.errorbar(
            row["rank"], place, xerr=found.difference / 2, fmt=look.marker, color=look.color, markersize=5, linewidth=1
        )
    axes.set_yticks(range(len(found.table)), list(found.table.index))
    axes.invert_yaxis()
    axes.set_xlabel("mean rank, 1 is the best")
    return figure


def sensitivity(sweep: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Draw validation accuracy by each key of each method of sweep.csv: mean over the others, and the best of them."""
    keys = [key for key in sweep.columns if "." in key]
    for name, table in sweep.groupby("method", sort=False):
        used = [key for key in keys if table[key].notna().any() and table[key].nunique() > 1]
        if not used:
            continue
        figure, (row,) = drawn(len(used), width=2.4)
        for axes, key in zip(row, used, strict=True):
            by_value = table.groupby(key)["accuracy"]
            places = range(by_value.ngroups)
            axes.plot(places, by_value.mean(), "o-", color=OWN["ulfine"], label="mean")
            axes.plot(places, by_value.max(), "s--", color=OWN["fft"], label="best")
            axes.set_xticks(places, [f"{value:g}" for value in by_value.groups])
            axes.set_xlabel(key)
            in_percent(axes, "validation accuracy, %" if key == used[0] else "")
        row[0].legend()
        yield str(name), figure
