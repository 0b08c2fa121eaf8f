"""Turn a source of pictures into an array store.

reads   the source: an archive, a folder, or a download
writes  artifacts/data/{dataset}/
"""

from ulfine.stage import stage

from ulfine.cell import cell
from ulfine.data.sources import load
from ulfine.data.store import PARTS, few, write_store
from ulfine.files import new_folder


@stage
def main(dataset: str) -> None:
    at = cell("data", dataset=dataset)
    source, resolution = at.params.source, at.params.resolution
    with new_folder(at.data) as folder:
        meta = write_store(folder, load(source, resolution), resolution, source.licence)
    train, test = (sum(meta["counts"][part]) for part in PARTS)
    pictures = f"{train:,} training, {test:,} test, {meta['unlabeled']:,} unlabeled pictures"
    print(f"data {dataset}: {len(meta['classes'])} classes; {pictures}")
    broken = few(meta.get("skipped_by_class", {}))
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
