"""2. Feature extraction of the `features` stage against the bare forward pass on tensors in memory."""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

import numpy as np
import torch

from benchmarks.cell import FirstCell
from benchmarks.measured import Found, quartiles, ratios, report
from ulfine.models.extract import BATCH

PICTURES, ROUNDS = 6 * BATCH, 7


def main() -> None:
    """Measure both, in turns."""
    first = FirstCell()
    tower = first.tower().to(first.device)
    store = first.inputs.store
    views = first.augmentation.views
    batch = torch.from_numpy(np.array(store.images["train"][:BATCH])).to(first.device)
    batches = PICTURES // BATCH * (2 + views.weak + views.strong)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(batches):
                tower.joint(tower.pooled(batch))

    found = ratios(bare, first.extraction(PICTURES), ROUNDS, first.device)
    note = f"{quartiles(found)}; batch {BATCH}, {batches * BATCH} views a round"
    report(Found(2, "share of its images/s", found[len(found) // 2], "", 0.9, "higher", note), device=first.device)


if __name__ == "__main__":
    main()
