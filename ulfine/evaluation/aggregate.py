"""Tables over the cells of a grid."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ulfine.evaluation.intervals import MEMBERS, bootstrap_interval, contributions, paired, t_interval
from ulfine.params.names import NAMES, NO_BACKBONE
from ulfine.sums import total

CELL = list(NAMES)
GROUP = CELL[:-1]
SCORES = [
    "accuracy", "acc_head", "acc_medium", "acc_tail", "acc_linear", "acc_text", "acc_fused", "micro_accuracy", "gmean",
    "ece", "pl_accuracy", "pl_coverage", "pl_tail_recall", "pl_wrong_confidence",
]  # fmt: skip
RUN = ["trainable_params", "params_digest", "stand_in"]
MORE = ["pl_right_confidence", "pl_ece", "prior_error"]  # scores beyond those that identify a run
COST = ["train_seconds", "images_seen", "flops", "trainable_params", "energy_joules", "peak_memory_mb", "device"]
EQUAL = ["equal_accuracy", "steps_to_equal", "seconds_to_equal", "images_to_equal", "flops_to_equal"]
UNTRAINED = "nothing is trained"
WHY = "why_not_equal"  # the reason where EQUAL is empty
PUBLISHED = ["published_images", "published_seconds", "published_flops"]
TRIAL = ["accuracy", "acc_head", "acc_medium", "acc_tail", "ece", "acc_linear", "acc_text", "acc_fused"]  # of a sweep
SHOWN = [
    "accuracy", "acc_head", "acc_medium", "acc_tail", "ece",
    "pl_accuracy", "pl_coverage", "pl_tail_recall", "pl_wrong_confidence",
]  # fmt: skip
HEADLINES = {"accuracy": "accuracy_mean", "tail": "acc_tail_mean"}  # and where summary.csv has them
DIFFERENCES = ["less", "accuracy", "over seeds", "over pictures", "tail", "over seeds", "over pictures"]
ALPHA = 0.05  # of the intervals of summary.csv
ROUNDING = 1e-12  # a mean of equal numbers need not equal them
STAND_IN = "Stand-in tower ({names}): says nothing about CLIP."
MIXED = "Not all runs are of one device, so last bits and seconds differ ({devices})."


def short_names(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name each cell by its method, after whatever else of data set, split and backbone differs between cells."""
    seen = {key: {cell[key] for cell in cells} - {NO_BACKBONE} for key in GROUP}
    differing = [key for key in GROUP if key == "method" or len(seen[key]) > 1]
    return [" ".join(cell[key] for key in differing) for cell in cells]


def headlines(summary: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The scores that stand for a study, by cell: what `dvc metrics` and `dvc exp show` list. summary: summary.csv."""
    names = short_names(summary[GROUP].to_dict("records"))
    return {
        score: {name: round(x, 4) for name, x in zip(names, summary[column], strict=True) if pd.notna(x)}
        for score, column in HEADLINES.items()
    }


def runs_table(cells: list[dict[str, Any]]) -> pd.DataFrame:
    """runs.csv: a row per cell, from its names and its metrics."""
    return pd.DataFrame(cells)[[*CELL, *SCORES, *RUN, *MORE]]


def cost_table(cells: list[dict[str, Any]], published: dict[str, int]) -> pd.DataFrame:
    """cost.csv: a row per cell, from its names, its record and its metrics.

    published: by method, the views that its training takes in by the schedule of a publication. What it would cost is
    what this training has cost, per view.

    Cells with a validation curve are compared at equal accuracy as well: the highest mean class recall on validation
    pictures that all of them reach, of those with the same data set, split and seed. What it took to get there is the
    share of the steps until the curve first does, at the mean cost of a step.
    """
    rows = [dict.fromkeys(EQUAL) | {WHY: _why_not(cell)} | cell | _as_published(cell, published) for cell in cells]
    tasks: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        if row.get("validation_curve"):
            tasks.setdefault((row["dataset"], row["split"], row["seed"]), []).append(row)
    for together in tasks.values():
        if len(together) > 1:
            target = min(max(point["accuracy"] for point in row["validation_curve"]) for row in together)
            for row in together:
                row.update(_to_equal(row, target))
        else:
            together[0][WHY] = "no other cell with this data set, split and seed has a validation curve"
    table = pd.DataFrame(rows).rename(columns={"seconds": "train_seconds"})
    return table[[*CELL, *COST, *PUBLISHED, *EQUAL, WHY]].astype({"published_images": "Int64"})


def _why_not(cell: dict[str, Any]) -> str:
    """The reason why a cell has no cost at equal accuracy; empty for one that has a validation curve."""
    if cell.get("validation_curve"):
        return ""
    return "no validation curve (validate_every: 0, or no picture held out)" if cell["trainable_params"] else UNTRAINED


def _as_published(cell: dict[str, Any], views: dict[str, int]) -> dict[str, float | None]:
    """PUBLISHED of one cell; nothing where nothing is trained, or nobody knows what it took."""
    if cell["method"] not in views or not cell["images_seen"]:
        return dict.fromkeys(PUBLISHED)
    whole = views[cell["method"]]
    share = whole / cell["images_seen"]
    return dict(zip(PUBLISHED, [whole, share * cell["seconds"], share * cell["flops"]], strict=True))


def _to_equal(row: dict[str, Any], target: float) -> dict[str, float]:
    """EQUAL of one cell: as a dict from its record and its validation curve, which reaches `target`."""
    curve = row["validation_curve"]
    steps = next(point["step"] for point in curve if point["accuracy"] >= target)
    share = steps / curve[-1]["step"]
    costs = [row[key] and share * row[key] for key in ("seconds", "images_seen", "flops")]
    return dict(zip(EQUAL, [target, steps, *costs], strict=True))


def sweep_table(sweeps: list[tuple[dict[str, Any], list[dict[str, str]]]]) -> pd.DataFrame:
    """sweep.csv: a row per trial, from the names of a sweep and its rows; what a sweep does not vary is empty."""
    rows = [names | row for names, found in sweeps for row in found]
    keys = dict.fromkeys(key for row in rows for key in row if key not in (*CELL, *TRIAL))  # train.lr, tower_lr, ...
    return pd.DataFrame(rows, columns=[*CELL, *keys, *TRIAL])


def summary_table(runs: pd.DataFrame) -> pd.DataFrame:
    """summary.csv: mean, standard deviation (n - 1) and number of seeds.

    A method that trains nothing, and scores the same each time, has no randomness: n = 1 on however many splits, and a
    standard deviation only where its scores differ, as those of class groups do when each seed draws which classes are
    tail.
    """
    grouped = runs.groupby(GROUP, sort=False)
    table = grouped[["trainable_params", "stand_in"]].first()
    table.insert(0, "n", grouped.size())
    spread = grouped["accuracy"].agg(lambda values: values.max() - values.min())
    constant = (table["trainable_params"] == 0) & (spread < ROUNDING)
    table.loc[constant, "n"] = 1
    for score in [*SCORES, *MORE]:
        # a score that some seed lacks is unknown, not the mean of the others
        table[f"{score}_mean"] = grouped[score].apply(lambda values: values.astype(float).mean(skipna=False))
        deviation = grouped[score].apply(lambda values: values.astype(float).std(ddof=1, skipna=False))
        table[f"{score}_sd"] = deviation.mask(constant & (deviation < ROUNDING))
    return table.reset_index()


def with_intervals(summary: pd.DataFrame, cells: list[dict[str, Any]], draws: int) -> pd.DataFrame:
    """`summary` with 95 % intervals: of the mean accuracy, and of the difference from another method, `versus`.

    That one is the first method of the same data set, split and backbone that trains anything. Differences of accuracy
    and of accuracy on the tail are paired by seed; `_t` is their interval over seeds, `_bootstrap` over test pictures.

    cells: names and metrics of each. draws: bootstrap samples.
    """
    groups: dict[tuple, dict[int, dict[str, Any]]] = {}
    for cell in cells:
        groups.setdefault(tuple(cell[key] for key in GROUP), {})[cell["seed"]] = cell
    first: dict[tuple, tuple] = {}  # that trains, by data set, split and backbone
    for names, members in groups.items():
        if next(iter(members.values()))["trainable_params"]:
            first.setdefault(names[:-1], names)
    every = zip(summary[GROUP].itertuples(index=False, name=None), summary["n"], strict=True)
    rows = [_compared(groups, names, first.get(names[:-1], names), n, draws) for names, n in every]
    return pd.concat([summary, pd.DataFrame(rows, index=summary.index)], axis=1)


def _compared(groups: dict[tuple, dict[int, dict[str, Any]]], names: tuple, versus: tuple, n: int, draws: int) -> dict:
    """A row of `with_intervals`. n: as `summary_table` counts, 1 for a method without randomness."""
    own, other = groups[names], groups[versus]
    values = [cell["accuracy"] for cell in own.values()]
    row = _ends("accuracy", t_interval(values, ALPHA) if n > 1 else None)
    row["versus"] = None if versus == names else versus[-1]
    for score in MEMBERS:
        pairs = [] if versus == names else paired(own, other)
        pairs = [pair for pair in pairs if None not in (pair[0][score], pair[1][score])]
        differences = [first[score] - second[score] for first, second in pairs]
        row[f"{score}_difference"] = total(differences) / len(pairs) if pairs else None
        row |= _ends(f"{score}_t", t_interval(differences, ALPHA))
        added = contributions(pairs, score) if pairs else None
        row |= _ends(f"{score}_bootstrap", added and bootstrap_interval(*added, ALPHA, draws))
    return row


def _ends(name: str, interval: list[float] | None) -> dict[str, float | None]:
    return dict(zip((f"{name}_low", f"{name}_high"), interval or (None, None), strict=True))


def caveats(summary: pd.DataFrame, costs: pd.DataFrame) -> list[str]:
    """What must be said with the tables: towers that stand in for CLIP, and runs of different devices."""
    stand_ins = sorted(set(summary.loc[summary["stand_in"], "backbone"]))
    return [STAND_IN.format(names=", ".join(stand_ins))] * bool(stand_ins) + mixed_devices(costs)


def mixed_devices(costs: pd.DataFrame) -> list[str]:
    """A sentence with the number of runs of each device, if there are several."""
    counts = Counter(costs["device"].fillna("an unknown device"))
    named = "; ".join(f"{device}: {number}" for device, number in sorted(counts.items()))
    return [MIXED.format(devices=named)] if len(counts) > 1 else []


def markdown(summary: pd.DataFrame, study: str, said: list[str]) -> str:
    """summary.md: what is `said`; scores, mean and deviation over seeds; then differences with their intervals."""
    lines = [f"# {study}", ""]
    for caveat in said:
        lines += [f"> {caveat}", ""]
    lines += ["Percent: mean ± standard deviation over n seeds. Accuracy is the mean class recall on the test set.", ""]
    header = [*GROUP, "n", *SHOWN, "trainable"]
    lines += ["| " + " | ".join(header) + " |", "|" + "---|" * len(GROUP) + "---:|" * (len(header) - len(GROUP))]
    for _, row in summary.iterrows():
        shown = [str(row[key]) for key in GROUP] + [str(row["n"])]
        shown += [_percent(row[f"{score}_mean"], row[f"{score}_sd"]) for score in SHOWN]
        lines.append("| " + " | ".join([*shown, f"{row['trainable_params']:,}"]) + " |")
    return "\n".join([*lines, *_differences(summary)]) + "\n"


def _differences(summary: pd.DataFrame) -> list[str]:
    """The second table of summary.md."""
    rows = list(differences(summary))
    if not rows:
        return []
    header = [*GROUP, *DIFFERENCES]
    lines = [
        "",
        "Points, paired by seed, with 95 % intervals over seeds (Student's, from three on) and over test pictures",
    ]
    lines += ["(bootstrap within each class).", "", "| " + " | ".join(header) + " |"]
    lines += ["|" + "---|" * (len(GROUP) + 1) + "---:|" * (len(DIFFERENCES) - 1)]
    return lines + ["| " + " | ".join([*names, *shown]) + " |" for names, shown in rows]


def differences(summary: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Of each method that has another to be compared with: its names by GROUP, and the text of DIFFERENCES."""
    for _, row in summary[summary["accuracy_difference"].notna()].iterrows():
        shown = [str(row["versus"])]
        for score in MEMBERS:
            keys = [["difference"], ["t_low", "t_high"], ["bootstrap_low", "bootstrap_high"]]
            shown += [_points([row[f"{score}_{key}"] for key in of]) for of in keys]
        yield tuple(str(row[key]) for key in GROUP), shown


def _points(values: list[float]) -> str:
    return "" if pd.isna(values[0]) else " to ".join(f"{100 * value:+.1f}" for value in values)


def latex(summary: pd.DataFrame, study: str, said: list[str]) -> str:
    """summary.tex: the same for a paper, with booktabs; it compiles as it is, and its table can be copied out."""
    columns = ["accuracy", "acc_head", "acc_medium", "acc_tail", "ece", "pl_accuracy"]
    names = ["accuracy", "head", "medium", "tail", "ECE", "pseudo-labels"]
    rows = []
    for task, members in summary.groupby(GROUP[:-1], sort=False):
        rows += [rf"\multicolumn{{{len(names) + 2}}}{{l}}{{{_tex(', '.join(task))}}} \\"]
        for _, row in members.iterrows():
            scores = [_percent(row[f"{key}_mean"], row[f"{key}_sd"]).replace("±", r"$\pm$") for key in columns]
            rows.append(" & ".join([_tex(row["method"]), str(row["n"]), *scores]) + r" \\")
        rows.append(r"\midrule")
    note = "".join(f" {caveat}" for caveat in said)
    return "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage{booktabs,graphicx}",
            r"\begin{document}",
            r"\begin{table}",
            rf"\caption{{{_tex(study)}: percent, mean $\pm$ standard deviation over $n$ seeds.{_tex(note)}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(names) + 1)}}}",
            r"\toprule",
            " & ".join(["method", "$n$", *names]) + r" \\",
            r"\midrule",
            *rows[:-1],
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            r"\end{document}",
            "",
        ]
    )


def _tex(text: str) -> str:
    escaped = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(escaped.get(each, f"\\{each}" if each in "&%$#_{}" else each) for each in text)


def _percent(mean: float, deviation: float) -> str:
    if pd.isna(mean):
        return ""
    return f"{100 * mean:.1f}" + ("" if pd.isna(deviation) else f" ± {100 * deviation:.1f}")
