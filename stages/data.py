"""Turn a source of pictures into an array store.

reads   the source: an archive, a folder, or a download
writes  artifacts/data/{dataset}/
"""

from ulfine.runner.stage import stage

from ulfine.config.data import DataConfig
from ulfine.data.sources import load
from ulfine.data.store import PARTS, largest, write_store
from ulfine.files import new_folder
from ulfine.runner.cell import Cell


@stage
def main(config: DataConfig, dataset: str) -> None:
    at = Cell(dataset=dataset)
    source, resolution = config.source, config.resolution
    with new_folder(at.data) as folder:
        meta = write_store(folder, load(source, resolution), resolution, source.licence)
    train, test = (sum(meta["counts"][part]) for part in PARTS)
    pictures = f"{train:,} training, {test:,} test, {meta['unlabeled']:,} unlabeled pictures"
    print(f"data {dataset}: {len(meta['classes'])} classes; {pictures}")
    broken = largest(meta.get("skipped_by_class", {}))
    counts = {
        f"that cannot be read ({broken})": len(meta["skipped"]),
        "links": meta["links"],
        "other files": meta["others"],
    }
    left_out = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    if left_out:
        print(f"data {dataset}: left out {left_out} ({at.data}/meta.json)")


if __name__ == "__main__":
    main()
