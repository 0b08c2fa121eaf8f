"""Draw the labeled, unlabeled and validation pictures of one cell.

reads   artifacts/settings/{dataset}/{setting}.json, artifacts/data/{dataset}/
writes  artifacts/splits/{dataset}/{setting}/seed{seed}.json
"""

from ulfine.stage import stage

from ulfine.cell import cell
from ulfine.data.splits import manifest, naming, summary
from ulfine.data.store import open_store
from ulfine.files import write_json


@stage
def main(dataset: str, setting: str, seed: int) -> None:
    at = cell("split", dataset=dataset, setting=setting, seed=seed)
    store = open_store(at.data)
    with naming(store.classes, store.skipped):
        content = manifest(at.params.setting, store.labels["train"], len(store.classes), seed)
    write_json(at.split, content)
    print(f"split {dataset} {setting} {seed}: {summary(content, len(store.labels['train']))}")


if __name__ == "__main__":
    main()
