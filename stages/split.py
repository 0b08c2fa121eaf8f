"""Draw the labeled, unlabeled and validation pictures of one cell.

reads   artifacts/data/{dataset}/
writes  artifacts/splits/{dataset}/{split}/seed{seed}.json
"""

from ulfine.runner.stage import stage

from ulfine.config.split import SplitConfig
from ulfine.data.splits import draw_split, naming_classes, summary
from ulfine.data.store import open_store
from ulfine.files import write_json
from ulfine.runner.cell import Cell


@stage
def main(config: SplitConfig, dataset: str, split: str, seed: int) -> None:
    at = Cell(dataset=dataset, split=split, seed=seed)
    store = open_store(at.data)
    with naming_classes(store.classes, store.skipped):
        content = draw_split(config.split, store.labels["train"], len(store.classes), seed)
    write_json(at.split, content)
    print(f"split {dataset} {split} {seed}: {summary(content, len(store.labels['train']))}")


if __name__ == "__main__":
    main()
