"""Score one run.

reads   artifacts/runs/{dataset}/{setting}/{backbone}/{method}/seed{seed}/, its split
writes  results/cells/{dataset}/{setting}/{backbone}/{method}/seed{seed}/metrics.json
"""

from ulfine.stage import stage

from ulfine.arrays import read_tensors
from ulfine.cell import cell
from ulfine.evaluation.cell import metrics, validation_curve
from ulfine.files import read_csv, read_json, write_json


@stage
def main(dataset: str, setting: str, backbone: str, method: str, seed: int) -> None:
    at = cell("evaluate", dataset=dataset, setting=setting, backbone=backbone, method=method, seed=seed)
    logits, summary = read_tensors(at.run / "logits.safetensors"), read_json(at.run / "run.json")
    labeled = read_json(at.split)["counts"]["labeled"]
    found = metrics(logits, summary, labeled)
    if (at.run / "validation.csv").exists():
        found["validation_curve"] = validation_curve(read_csv(at.run / "validation.csv"), labeled)
    write_json(at.metrics, found)


if __name__ == "__main__":
    main()
