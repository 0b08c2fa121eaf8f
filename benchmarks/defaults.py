"""The experiments behind the defaults: validation accuracy under one change at a time; the test set is not used.

    python benchmarks/defaults.py lr tower_lr fixmatch paf dlf averages projection frozen losses --seeds 100 101 102

Needs the artifacts of `dvc repro` (pictures, backbone, features) for the first data set, split and backbone of the
grid. Draws its own splits, from seeds that no study uses. Appends a row per run to benchmarks/defaults.csv, skips runs
that are there already, and prints means over the seeds.
"""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

import argparse
import csv
import json
from pathlib import Path

import pandas as pd
from torch import nn

from ulfine.data.features import Features
from ulfine.data.splits import draw_split
from ulfine.data.store import open_store
from ulfine.evaluation.cell import metrics
from ulfine.files import digest
from ulfine.params.base import read_yaml
from ulfine.params.root import Params, params_of
from ulfine.runner.cell import Cell
from ulfine.runner.code import code_hashes
from ulfine.runner.jobs import CODE, PARAMS
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.device import prepare
from ulfine.training.encoder import load_encoder
from ulfine.training.inputs import Inputs
from ulfine.training.run import train
from ulfine.training.start import start_from_text

# sweep -> (method, key, values); the method as in params.yaml runs as well
SWEEPS = {
    "lr": [
        ("lp", "train.lr", [0.003, 0.01, 0.03, 0.1, 0.3]),
        ("lft", "train.lr", [0.003, 0.01, 0.03, 0.1, 0.3]),
    ],
    "tower_lr": [("fft", "tower_lr", [0.0005, 0.001, 0.002, 0.005])],
    "fixmatch": [
        ("lft", "train.threshold", [0.5, 0.95]),
        ("lft", "train.scale", [14.3, 50]),
        ("lft", "train.logit_adjustment", [0]),
        ("lft", "adapter.width", [16]),
    ],
    "center": [(method, "train.center", [False, "labeled", 0.99]) for method in ("lp", "lft", "fft")],
    "paf": [
        ("ulfine", "paf.mu", [0, 0.03, 0.3, 1]),
        ("ulfine", "paf.update_every", [1]),
        ("ulfine", "paf.anchor", ["running", "initial"]),
        ("ulfine", "paf.prototypes", ["learnable", "buffer"]),
        ("ulfine", "paf.orthogonality", [0, 1, 10]),
        ("ulfine", "train.center", [False]),
    ],
    "dlf": [
        ("ulfine", "dlf.eta", [0, 0.3, 0.7, 1]),
        ("ulfine", "dlf.align", ["range", "std", "none"]),
        ("ulfine", "dlf.use_in", [["pseudo_labels"], ["test"]]),
    ],
    "averages": [
        ("ulfine_frozen", "paf.visual_decay", [0, 0.99]),
        ("ulfine_frozen", "train.prior_decay", [0.9]),
    ],
    "projection": [("ulfine_frozen_projection", "paf.orthogonality", [0.1, 1])],
    "frozen": [
        (method, key, values)
        for method in ("lp", "ulfine_frozen")
        for key, values in (("train.threshold", [0.8, 0.95]), ("train.lr", [0.003, 0.03, 0.1]))
    ],
    "losses": [
        ("lp", "train.pseudo_labels", ["soft"]),
        ("lp", "train.unlabeled_adjustment", [1]),
        ("lp", "train.classifier_init", ["means", "random"]),
        ("lp", "train.losses", [{"labeled": 1}, {"labeled": 1, "unlabeled": 1, "soft_rest": 1}]),
        ("lp_plain", "train.pseudo_label_adjustment", [1]),
        ("lp_plain", "train.distribution_alignment", [0, 0.5, 1]),
    ],
}
SHOWN = ["accuracy", "acc_head", "acc_medium", "acc_tail", "pl_accuracy", "pl_coverage"]


def main() -> None:
    """Run the sweeps named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", choices=SWEEPS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    arguments = parser.parse_args()
    table = Path(__file__).with_suffix(".csv")
    base = read_yaml(PARAMS)
    for sweep in arguments.sweeps:
        for method, key, values in SWEEPS[sweep]:
            for value in [None, *values]:
                for seed in arguments.seeds:
                    changed = base if value is None else with_value(base, method, key, value)
                    run_once(table, changed, method, "" if value is None else f"{key}={json.dumps(value)}", seed)
    print(summary(pd.read_csv(table).fillna({"change": ""})).to_string(index=False))


def with_value(base: dict, method: str, key: str, value: object) -> dict:
    """Copy the parameters and change one key of one method."""
    changed = json.loads(json.dumps(base))
    section = changed["methods"][method]
    *parents, last = key.split(".")
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    return changed


def run_once(table: Path, values: dict, method: str, change: str, seed: int) -> None:
    """Train once and append the validation scores, unless a run with these very parameters is in the table."""
    params = params_of(values, "")
    dataset, split, backbone = params.grid.dataset[0], params.grid.split[0], params.grid.backbone[0]
    options = params.training(dataset, method)
    key = parameters_key(params, method, options.model_dump(), (dataset, split, backbone))
    done = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=["parameters", "seed", "method"])
    if ((done["parameters"] == key) & (done["seed"] == seed) & (done["method"] == method)).any():
        return
    at = Cell(dataset=dataset, split=split, backbone=backbone)
    store = open_store(at.data)
    split = draw_split(params.datasets[dataset].splits[split], store.labels["train"], len(store.classes), seed)
    device = prepare(params.runtime)
    checkpoint = Checkpoint(Path("artifacts/checkpoints") / f"defaults-{method}-{key}-{seed}.pt", device)
    tower, chosen = params.backbones[backbone], params.methods[method]
    inputs = Inputs(store, Features(at.features), tower.feature_space, split)

    def encoder() -> nn.Module:
        return load_encoder(at.backbone, tower, chosen, options, len(inputs.counts))

    result = train(
        inputs,
        start=lambda: start_from_text(inputs, options, encoder),
        method=params.methods[method],
        options=options,
        augmentation=params.augmentation(dataset),
        seed=seed,
        device=device,
        checkpoint=checkpoint,
    )
    found = metrics(result.logits, result.summary, split["counts"]["labeled"])
    scores = found["validation"] | {name: found[name] for name in SHOWN if name.startswith("pl_")}
    row = {"dataset": dataset, "method": method, "change": change, "parameters": key, "seed": seed}
    row |= {name: None if scores[name] is None else round(scores[name], 4) for name in SHOWN}
    new = not table.exists()
    with table.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
    checkpoint.remove()


def parameters_key(params: Params, method: str, options: dict, names: tuple[str, str, str]) -> str:
    """Digest everything that a run depends on but its seed; setting a value to what it is already changes nothing."""
    dataset, _, backbone = names
    sections = (params.methods[method], params.datasets[dataset], params.backbones[backbone])
    sections += (params.augmentation(dataset), params.runtime)
    values = [section.model_dump(exclude={"train"}) for section in sections]
    return digest([values, options, names, code_hashes()[CODE / "train.json"]])[:12]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds, in percent, with the standard deviation of the accuracy."""
    grouped = rows.groupby(["dataset", "method", "change", "parameters"], sort=False)
    table = (100 * grouped[SHOWN].mean()).round(1)
    table.insert(1, "sd", (100 * grouped["accuracy"].std()).round(1))
    table.insert(0, "n", grouped.size())
    return table.reset_index().drop(columns="parameters")


if __name__ == "__main__":
    main()
