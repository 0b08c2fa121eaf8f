"""5. 64 heads on frozen features as one batched training: its time against one head, its logits against single runs."""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.cell import FirstCell
from benchmarks.measured import Found, quartiles, ratios, report
from ulfine.params.sweep import applied
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.run import views_for
from ulfine.training.sweep import Trial, heads, train_once

ROUNDS, STEPS = 5, 50
VALUES = {
    "lp": {"train.lr": 8, "train.threshold": 8},
    "ulfine_frozen": {"paf.mu": 4, "dlf.eta": 4, "train.lr": 4},
}


def trials(first: FirstCell, method: str) -> list[Trial]:
    """64 of them."""
    train = first.params.training(first.names["dataset"], method).model_copy(update={"steps": STEPS})
    chosen = first.params.methods[method].model_copy(update={"train": None})
    spans = {"train.lr": (0.003, 0.03), "train.threshold": (0.5, 0.95), "paf.mu": (0.0, 1.0), "dlf.eta": (0.0, 1.0)}
    grids = [[(key, float(x)) for x in np.linspace(*spans[key], number)] for key, number in VALUES[method].items()]
    return [applied(dict(values), chosen, train) for values in product(*grids)]


def main() -> None:
    """Measure LP and ULFine."""
    first = FirstCell()
    with TemporaryDirectory() as folder:

        def logits(of: list[Trial]) -> dict[str, np.ndarray]:
            checkpoint = Checkpoint(Path(folder) / "x.pt", first.device)
            learner = heads(first.inputs, of, 0, first.device)
            views = views_for(first.inputs, learner, first.augmentation, first.device)
            return train_once(learner, views, first.inputs, 0, checkpoint)

        for method in VALUES:
            many = trials(first, method)
            found = ratios(lambda many=many: logits(many), lambda many=many: logits(many[:1]), ROUNDS, first.device)
            together = logits(many)
            apart = max(
                float(np.abs(together[name][number] - alone[0]).max())
                for number in range(0, len(many), 9)
                for name, alone in logits([many[number]]).items()
            )
            batch = first.params.train.batch_size
            note = f"{quartiles(found)}; batch {batch} + 2x{batch}, {STEPS} steps"
            report(
                Found(5, f"times the time, {method}", found[len(found) // 2], "x", 4, "lower", note),
                Found(5, f"largest difference of logits, {method}", apart, "", 1e-5, "lower", "8 of 64 alone"),
                device=first.device,
            )


if __name__ == "__main__":
    main()
