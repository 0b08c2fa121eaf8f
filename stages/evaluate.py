"""Score one run.

reads   artifacts/runs/{dataset}/{split}/{backbone}/{method}/seed{seed}/, its split, and what the training noted
writes  results/cells/{dataset}/{split}/{backbone}/{method}/seed{seed}/metrics.json, and record.json beside it: what
        the training took; git carries both, so that tables need nothing else
"""

from ulfine.runner.stage import stage

import json
from typing import Any

from ulfine.arrays import read_tensors
from ulfine.evaluation.cell import UNKNOWN_COST, metrics, validation_curve
from ulfine.files import folder_sha256, new_file, read_csv, read_json, write_json
from ulfine.git import git
from ulfine.runner.cell import Cell


@stage
def main(dataset: str, split: str, backbone: str, method: str, seed: int) -> None:
    at = Cell(dataset=dataset, split=split, backbone=backbone, method=method, seed=seed)
    logits, summary = read_tensors(at.run / "logits.safetensors"), read_json(at.run / "run.json")
    labeled = read_json(at.split)["counts"]["labeled"]
    found = metrics(logits, summary, labeled)
    if (at.run / "validation.csv").exists():
        found["validation_curve"] = validation_curve(read_csv(at.run / "validation.csv"), labeled)
    with new_file(at.metrics) as scores, new_file(at.record) as record:  # both or none
        write_json(scores, found)
        write_json(record, record_of(at))


def record_of(at: Cell) -> dict[str, Any]:
    """The cost of the training of these very bytes: as committed, else as noted here, else unknown.

    So the seconds of a training that gave the same result again leave the committed ones as they are.
    """
    run = folder_sha256(at.run)
    noted = at.noted(run)
    for text in (git("show", f"HEAD:./{at.record}"), noted.read_text(encoding="utf-8") if noted.exists() else None):
        if text and (found := json.loads(text)).get("run") == run:
            return found
    return UNKNOWN_COST | {"cell": at.names, "run": run}


if __name__ == "__main__":
    main()
