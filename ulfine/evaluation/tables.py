"""Tables of a page, from what was read of its cells."""

from collections.abc import Sequence
from itertools import chain

import pandas as pd

from ulfine.evaluation.aggregate import DIFFERENCES, differences
from ulfine.evaluation.loaded import AGREEMENT, CLASSIFIERS, Loaded, methods_of
from ulfine.evaluation.page import Row, Table, Text
from ulfine.evaluation.pictures import Shown
from ulfine.evaluation.ranks import Ranks
from ulfine.params.names import NO_BACKBONE

MAIN = {
    "accuracy": "accuracy", "acc_head": "head", "acc_medium": "medium", "acc_tail": "tail",
    "acc_linear": "linear classifier", "acc_text": "text classifier", "acc_fused": "fused", "ece": "ECE",
}  # fmt: skip
PSEUDO = {
    "pl_accuracy": "right of kept", "pl_coverage": "kept", "pl_tail_recall": "kept and right of tail",
    "pl_wrong_confidence": "confidence of false", "pl_right_confidence": "confidence of right",
    "pl_ece": "ECE", "prior_error": "error of the prior",
}  # fmt: skip
POOL = {
    "test_accuracy": "accuracy on the test", "kept": "pool: kept", "right": "right of kept",
    "tail_precision": "right of those kept as tail", "tail_recall": "of the tail, kept and right",
    "wrong_confidence": "confidence of false", "ece": "ECE",
}  # fmt: skip
METHOD_PAGE = "../../docs/method.md"
ASSUMED = {  # parameter -> the part of docs/method.md with its reason
    "train.center": "what-all-trained-methods-share", "train.scale": "what-all-trained-methods-share",
    "train.threshold": "what-all-trained-methods-share", "train.logit_adjustment": "what-all-trained-methods-share",
    "paf.prototypes": "ulfine", "paf.mu": "ulfine", "paf.update_every": "ulfine", "paf.anchor": "ulfine",
    "paf.visual_decay": "ulfine", "paf.orthogonality": "ulfine", "paf.orthogonality_by": "ulfine",
    "dlf.eta": "ulfine", "dlf.align": "ulfine", "dlf.use_in": "ulfine",
}  # fmt: skip
LOWER = {"ece", "pl_ece", "prior_error"}  # scores of which less is better
NEITHER = {"pl_coverage", "pl_wrong_confidence", "pl_right_confidence"}  # scores of which none is best
COSTS = {
    "train_seconds": "seconds", "images_seen": "views", "flops": "operations", "trainable_params": "weights trained",
    "peak_memory_mb": "memory, MB", "published_seconds": "seconds as published",
    "published_flops": "operations as published",
}  # fmt: skip
PUBLISHED = ("method", "backbone", "value", "protocol", "source")
NOTHING = Text("n/a", missing=True)
FOLDED = 20  # rows, from which a table opens on demand
Task = tuple[dict[str, str], list[Loaded]]  # data set, split and backbone by name; the runs there


def title(names: dict[str, str]) -> str:
    """Data set, split and backbone as one line."""
    return ", ".join(names.values())


def cell_id(names: dict[str, object]) -> str:
    """The place on the page that tells of a cell."""
    return "cell-" + "-".join(str(value) for value in names.values())


def percent(mean: float | None, deviation: float | None = None) -> str:
    """69.7 ± 1.0."""
    if mean is None or pd.isna(mean):
        return ""
    return f"{100 * mean:.1f}" + ("" if deviation is None or pd.isna(deviation) else f" ± {100 * deviation:.1f}")


def share(mean: float | None, deviation: float | None = None, best: bool = False) -> Text:
    """A cell with `percent`, n/a where it is unknown."""
    shown = percent(mean, deviation)
    return Text(shown, best=best) if shown else NOTHING


def amount(value: float) -> str:
    """A cost, which may be of any size."""
    if pd.isna(value):
        return ""
    return f"{value:.3g}" if value < 1000 or value >= 1e9 else f"{value:,.0f}"


def score_table(task: Task, summary: pd.DataFrame, scores: dict[str, str], missing: Sequence[str] = ()) -> Table:
    """A row for each method: mean ± standard deviation over seeds, the best of each score marked.

    missing: methods that were not run, which the table names.
    """
    names, runs = task
    here = (summary["dataset"] == names["dataset"]) & (summary["split"] == names["split"])
    rows = summary[here & summary["backbone"].isin([names["backbone"], NO_BACKBONE])]
    best = {score: _best(rows[f"{score}_mean"].astype(float).round(3), score) for score in scores}
    anchors = {run.method: cell_id(run.names) for run in reversed(runs)}
    found = []
    for _, row in rows.iterrows():
        method = str(row["method"])
        cells = [Text(method, href=f"#{anchors[method]}"), Text(str(row["n"]))]
        for score in scores:
            mean = row[f"{score}_mean"]
            is_best = best[score] is not None and round(float(mean), 3) == best[score]
            cells.append(share(mean, row[f"{score}_sd"], is_best))
            if score == "accuracy":
                ends = [row["accuracy_low"], row["accuracy_high"]]
                cells.append(NOTHING if pd.isna(ends[0]) else Text(" to ".join(map(percent, ends))))
        found.append(Row([*cells, Text(f"{int(row['trainable_params']):,}")]))
    columns = [[name, "its 95 % interval"] if score == "accuracy" else [name] for score, name in scores.items()]
    header = ["method", "n", *chain.from_iterable(columns), "weights trained"]
    not_run = [Text("not run", missing=True)] * (len(header) - 3)
    found += [Row([Text(name), Text("0"), *not_run, Text("")]) for name in missing]
    caption = f"{title(names)}: percent, mean ± standard deviation over n seeds; ★ the best; n/a where there is none"
    return Table(caption, header, found)


def compared_table(task: Task, summary: pd.DataFrame) -> Table | None:
    """Differences from another method with their intervals, as summary.md has them; None where there are none."""
    here = tuple(task[0].values())
    rows = [
        Row([Text(method), *(Text(each) if each else NOTHING for each in shown)])
        for (*where, method), shown in differences(summary)
        if tuple(where) == here
    ]
    caption = f"{title(task[0])}: differences paired by seed, points, with 95 % intervals"
    return Table(caption, ["method", *DIFFERENCES], rows, text=2) if rows else None


def _best(means: pd.Series, score: str) -> float | None:
    if score in NEITHER or means.notna().sum() < 2:
        return None
    return float(means.min() if score in LOWER else means.max())


def pseudo_table(task: Task, summary: pd.DataFrame) -> Table | None:
    """Scores of the pseudo-labels of the final model; None where nothing makes any."""
    if all(run.metrics["pl_coverage"] is None for run in task[1]):
        return None
    return score_table(task, summary, PSEUDO)


def class_table(task: Task, classes: dict[str, list[str]]) -> Table:
    """Recall of each class by method; the mean over seeds, each with labeled counts of its own."""
    methods = methods_of(task[1])
    rows = []
    for k, name in enumerate(classes[task[0]["dataset"]]):
        labeled = dict.fromkeys(str(run.metrics["labeled"][k]) for run in next(iter(methods.values())))
        found = [[run.metrics["recall"][k] for run in runs] for runs in methods.values()]
        means = [pd.Series(values, dtype=float).mean() for values in found]
        cells = map(share, means)
        rows.append(Row([Text(name), Text(", ".join(labeled)), *cells]))
    caption = f"{title(task[0])}: recall of each class, percent, mean over seeds"
    return Table(caption, ["class", "labeled pictures, by seed", *methods], rows, folded=True)


def difference_table(task: Task, reference: str) -> Table | None:
    """Every other method with fusion less ULFine, paired by seed: ablations, where they were run."""
    methods = {name: {run.names["seed"]: run.metrics for run in runs} for name, runs in methods_of(task[1]).items()}
    base = methods.pop(reference, {})
    rows = []
    for name, metrics in methods.items():
        seeds = sorted(set(metrics) & set(base))
        if not seeds or metrics[seeds[0]]["acc_fused"] is None:
            continue
        cells = [Text(name), Text(str(len(seeds)))]
        for score in ("accuracy", "acc_tail", "pl_accuracy"):
            pairs = pd.DataFrame([(metrics[seed][score], base[seed][score]) for seed in seeds], dtype=float)
            less = 100 * (pairs[0] - pairs[1]).dropna()
            spread = "" if len(less) < 2 else f" ± {less.std():.1f}"
            cells.append(Text(f"{less.mean():+.1f}{spread}") if len(less) else NOTHING)
        rows.append(Row(cells))
    header = ["method", "n", "accuracy", "tail", "right of kept pseudo-labels"]
    return Table(f"{title(task[0])}: less {reference}, points, paired by seed", header, rows) if rows else None


def classifiers_table(task: Task) -> Table | None:
    """The pseudo-labels of each classifier of a method that fuses them: before and after PAF and DLF."""
    rows = []
    for method, runs in methods_of(task[1]).items():
        for name in CLASSIFIERS:
            found = pd.DataFrame([run.classifiers.get(name, {}) for run in runs])
            if "kept" in found:
                means = found.reindex(columns=list(POOL)).astype(float).agg(["mean", "std"])
                scores = [share(means[key]["mean"], means[key]["std"]) for key in POOL]
                rows.append(Row([Text(method), Text(CLASSIFIERS[name]), *scores]))
    caption = f"{title(task[0])}: each classifier before and after PAF and DLF, percent, mean ± standard deviation"
    return Table(caption, ["method", "classifier", *POOL.values()], rows, text=2) if rows else None


def pictures_table(where: str, rows: Sequence[Shown]) -> Table | None:
    """Labeled pictures of some classes, head first, and how many pictures the sets of a split have of each."""
    found = []
    for row in rows:
        counts = [NOTHING if count is None else Text(f"{count:,}") for count in row.counts.values()]
        found.append(Row([Text(row.name), *counts, Text(f"labeled pictures of {row.name}", image=row.png)]))
    header = ["class", *(rows[0].counts if rows else ()), "labeled pictures"]
    return Table(f"{where}: pictures, and how many there are", header, found) if found else None


def assumptions_table(task: Task, method: str) -> Table | None:
    """The values here of what the paper does not settle, from the record of the first run of ULFine."""
    run = next((run for run in task[1] if run.method == method), None)
    values = run.record.get("parameters", {}) if run else {}
    if f"methods.{method}" not in values:
        return None
    of_method, train = values[f"methods.{method}"], values["train"] | values[f"methods.{method}"].get("train", {})
    rows = []
    for key, anchor in ASSUMED.items():
        section, _, name = key.partition(".")
        found = {"train": train}.get(section, of_method.get(section, {})).get(name)
        shown = NOTHING if found is None else Text(", ".join(found) if isinstance(found, list) else str(found))
        rows.append(Row([Text(key, href=f"{METHOD_PAGE}#{anchor}"), shown]))
    return Table(f"{title(task[0])}: what was assumed, as {method} was run", ["parameter", "value"], rows, text=2)


def fusion_table(task: Task) -> Table | None:
    """The classifier whose class the fused logits give on test pictures, as numbers."""
    rows = []
    for run in task[1]:
        for group in run.groups if run.fusion else ():
            shares = [share(run.fusion[name][group]) for name in AGREEMENT]
            rows.append(Row([Text(run.method), Text(str(run.names["seed"])), Text(group), *shares]))
    caption = f"{title(task[0])}: whose class is fused, percent of test pictures"
    return Table(caption, ["method", "seed", "classes", *AGREEMENT], rows, folded=True) if rows else None


def rank_table(found: Ranks) -> Table:
    """Mean rank and mean accuracy of each method; ★ where it does not differ from the first."""
    bound = found.table["rank"].iloc[0] + found.difference
    rows = [
        Row([Text(str(name)), Text(f"{row['rank']:.2f}", best=row["rank"] < bound), Text(percent(row["accuracy"]))])
        for name, row in found.table.iterrows()
    ]
    caption = f"mean over {found.blocks} blocks; ★ no different from the first; accuracy in percent"
    return Table(caption, ["method", "rank", "accuracy"], rows)


def cost_table(costs: pd.DataFrame) -> Table:
    """cost.csv as means over seeds."""
    rows = []
    for names, group in costs.groupby(["dataset", "split", "backbone", "method"], sort=False):
        means = [group[column].astype(float).mean() for column in COSTS]
        rows.append(Row([Text(names[-1]), Text(", ".join(names[:-1])), *[Text(amount(mean)) for mean in means]]))
    devices = "; ".join(dict.fromkeys(costs["device"].fillna("an unknown device")))
    return Table(f"Mean over seeds, on {devices}", ["method", "where", *COSTS.values()], rows, text=2)


def published_table(task: Task, published: pd.DataFrame) -> Table | None:
    """Published results on the same data set and split; None where none are known."""
    names = task[0]
    rows = published[(published["dataset"] == names["dataset"]) & published["split"].isin(["", names["split"]])]
    cells = [
        Row([Text(row[key] if key != "value" else f"{row[key]:.1f}") for key in PUBLISHED])
        for _, row in rows.iterrows()
    ]
    header = ["method", "network", "accuracy", "protocol", "source"]
    return Table(f"{title(names)}: published by others, percent", header, cells, text=5) if cells else None


def cells_table(task: Task) -> Table:
    """Every cell with its files, hashes, commit and device."""
    rows = []
    for run in task[1]:
        git = run.record.get("git") or {}
        commit = str(git.get("commit") or "unknown")[:12] + (", edited" if git.get("dirty") else "")
        files = [
            run.metrics_file.as_posix(),
            run.digest,
            run.folder.as_posix(),
            str(run.metrics["params_digest"]),
            commit,
        ]
        device = Text(run.record["device"] or "unknown")
        cells = [Text(run.method), Text(str(run.names["seed"])), *[Text(each, code=True) for each in files], device]
        rows.append(Row(cells, id=cell_id(run.names)))
    header = ["method", "seed", "metrics", "sha256 of it", "run", "digest of parameters", "commit", "device"]
    return Table(f"{title(task[0])}: cells", header, rows, text=8, folded=len(rows) > FOLDED)
