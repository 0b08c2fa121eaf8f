"""Cells with known true accuracies: the files that stages write, generated."""

from pathlib import Path

import numpy as np
import pandas as pd

from ulfine.arrays import write_tensors
from ulfine.data.store import Store
from ulfine.evaluation.aggregate import cost_table, runs_table, summary_table, sweep_table, with_intervals
from ulfine.evaluation.cell import FUSED, metrics
from ulfine.evaluation.claims import verdicts
from ulfine.evaluation.loaded import Loaded
from ulfine.evaluation.pictures import Shown, shown
from ulfine.evaluation.report import Study
from ulfine.files import write_csv, write_json
from ulfine.params.claims import Claims, Roles

METHODS = ("scratch", "lp", "lft", "fft", "ulfine")
OPTIONS = Claims(
    families={
        "plain": Roles(title="plain FixMatch", **{name: f"{name}_plain" for name in METHODS}),
        "adjusted": Roles(title="with logit adjustment", **{name: name for name in METHODS}),
    },
    level=0.95,
    margin=0.01,
    rising=0.005,
    draws=1000,
)
TASK = {"dataset": "d", "split": "s", "backbone": "b"}


def logits(rng: np.random.Generator, labels: np.ndarray, classes: int, accuracy: float) -> np.ndarray:
    """Return (N, K) logits; the label's is the largest in about that share of the rows."""
    found = rng.normal(size=(len(labels), classes)).astype(np.float32)
    right = rng.random(len(labels)) < accuracy
    found[np.arange(len(labels)), np.where(right, labels, (labels + 1) % classes)] += 9
    return found


def make_cell(
    folder: Path,
    method: str,
    seed: int,
    *,
    classes: int = 6,
    accuracy: float = 0.6,
    pictures: int = 20,
    diagnostics: bool = True,
    curve: list[float] | None = None,
    flops: int = 1000,
    known: bool = True,
) -> Loaded:
    """Write metrics, record and run of one cell under `folder`. known: whether the classes of the pool are known."""
    names = TASK | {"method": method, "seed": seed}
    rng = np.random.default_rng([seed, sum(map(ord, method))])
    labels = np.repeat(np.arange(classes), pictures)
    pool = rng.integers(0, classes, 50)
    own = [2 * (classes - k) for k in range(classes)]
    found = {
        f"{part}.linear": logits(rng, of, classes, accuracy)
        for part, of in (("test", labels), ("validation", labels), ("unlabeled", pool))
    }
    found = {name: value for name, value in found.items() if name != "unlabeled.linear"} | {
        "unlabeled.pseudo": found["unlabeled.linear"]
    }
    found |= {
        "test.labels": labels,
        "validation.labels": labels,
        "unlabeled.labels": pool if known else np.full(50, -1),
    }
    fused = method.startswith("ulfine")
    if fused:
        for part in ("test", "validation"):
            found[f"{part}.text"] = logits(rng, labels, classes, accuracy)
            found[f"{part}.fused"] = (found[f"{part}.text"] + found[f"{part}.linear"]) / 2
        found["test.initial"] = found["test.text"]
        for name in FUSED:
            found[f"unlabeled.{name}.label"] = rng.integers(0, classes, 50)
            found[f"unlabeled.{name}.confidence"] = rng.random(50).astype(np.float32)
    decides = "fused" if fused else "linear"
    summary = {
        "decides": {"test": decides, "pseudo_labels": decides},
        "threshold": 0.7,
        "trainable_params": 10,
        "params_digest": "0" * 64,
        "stand_in": False,
    }
    run, path = folder / "run" / method / str(seed), folder / f"results/cells/d/s/b/{method}/seed{seed}/metrics.json"
    run.mkdir(parents=True)
    path.parent.mkdir(parents=True)
    write_tensors(run / "logits.safetensors", found)
    write_json(run / "run.json", summary)
    values = metrics(found, summary, own) | {"stand_in": True}
    if curve is not None:
        values["validation_curve"] = [{"step": n + 1, "accuracy": value} for n, value in enumerate(curve)]
    write_json(path, values)
    record = {
        "seconds": 2.0,
        "images_seen": 100,
        "flops": flops,
        "energy_joules": None,
        "peak_memory_mb": 1.0,
        "device": "a machine",
        "git": {"commit": "c" * 40, "dirty": False},
        "parameters": {
            "train": {"steps": 2, "threshold": 0.7, "scale": 25, "center": True, "logit_adjustment": 1},
            f"methods.{method}": {
                "train": {"threshold": 0.9},
                "dlf": {"eta": 0.5, "align": "range", "use_in": ["test"]},
            },
        },
    }
    write_json(folder / f"{method}{seed}.json", record)
    if diagnostics:
        write_diagnostics(run, classes, fused=fused, seen=4 * known)
    return Loaded(names, path, folder / f"{method}{seed}.json", run)


def write_diagnostics(run: Path, classes: int, *, fused: bool, seen: int) -> None:
    """Write history.csv, pseudo_labels.csv and weights."""
    write_csv(
        run / "history.csv",
        [{"step": n, "loss": 1 / n, "confidence_right": 0.8, "confidence_wrong": 0.6} for n in (1, 2)],
    )
    rows = [
        {"step": n, "class": k, "seen": seen, "kept": 3, "right": 2, "wrong": 1} for n in (1, 2) for k in range(classes)
    ]
    write_csv(run / "pseudo_labels.csv", rows)
    if fused:
        rng = np.random.default_rng(0)
        rows = {name: rng.normal(size=(classes, 8)).astype(np.float32) for name in ("fitting.text", "text.weight")}
        write_tensors(run / "weights.safetensors", rows)


def sample(names: list[str]) -> list[tuple[str, list[Shown]]]:
    """Return pictures to show, from a split of two labeled pictures per class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2 * len(names), 8, 8, 3), np.uint8)
    labels = np.repeat(np.arange(len(names)), 2)
    store = Store({"train": images}, {"train": labels}, {"classes": names})
    counts = {"labeled": [2] * len(names), "unlabeled": None, "validation": [0] * len(names)}
    split = {
        "class_order": list(range(len(names))),
        "indices": {"labeled": list(range(len(labels)))},
        "counts": counts,
    }
    return [("d, s, seed 0", shown(store, split, 2))]


def study_of(runs: list[Loaded], classes: list[str], *, name: str = "try", sweep: list | None = None) -> Study:
    """Return a study of one task."""
    cells = [run.names | run.metrics for run in runs]
    table = runs_table(cells)
    catalogue = ["zero_shot", "lp", "lft", "fft", "ulfine", "scratch", *[run.method for run in runs]]
    return Study(
        name=name,
        tasks=[(TASK, runs)],
        tables={
            "runs": table,
            "summary": with_intervals(summary_table(table), cells, 1000),
            "cost": cost_table([cell | run.record for cell, run in zip(cells, runs, strict=True)], {}),
            "sweep": sweep_table(sweep or []),
        },
        claims=verdicts([(TASK, runs)], OPTIONS),
        families=OPTIONS.methods(),
        catalogue=list(dict.fromkeys(catalogue)),
        classes={"d": classes},
        samples=sample(classes),
        published=pd.DataFrame(columns=["method", "backbone", "dataset", "split", "value", "protocol", "source"]),
        citation={"title": "t", "authors": [{"name": "a"}]},
    )
