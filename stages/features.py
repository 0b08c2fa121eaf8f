"""Pass the pictures that a split uses through the frozen tower once per view, and every class name.

reads   artifacts/data/{dataset}/, its split, artifacts/backbones/{backbone}/
writes  artifacts/features/{dataset}/{split}/{backbone}/seed{seed}/
"""

from ulfine.runner.stage import stage

import ulfine.models.lean  # noqa: F401 (before open_clip)

from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

from ulfine.config.features import FeaturesConfig
from ulfine.data.features import META, pictures_of_views
from ulfine.data.sentences import sentences
from ulfine.data.store import open_store
from ulfine.files import new_folder, read_json, sha256, write_json
from ulfine.models.backbone import load_frozen_tower, load_text_map, load_text_tower
from ulfine.models.extract import extract_images, extract_text
from ulfine.models.tokens import cut_sentences
from ulfine.runner.cell import Cell
from ulfine.training.device import prepare


@stage
def main(config: FeaturesConfig, dataset: str, split: str, backbone: str, seed: int) -> None:
    at = Cell(dataset=dataset, split=split, backbone=backbone, seed=seed)
    device = prepare(config.runtime)
    store = open_store(at.data)
    said = sentences(store.classes, config.prompt, config.class_names)
    classes = dict(zip(store.classes, said, strict=True))
    imagenet = sentences(IMAGENET_CLASSNAMES, config.prompt, "source")
    clip, tokenizer = load_text_tower(at.backbone)
    cut = cut_sentences(tokenizer, classes)
    if cut:
        print(f"features {dataset} {split} {backbone} {seed}: {cut}", flush=True)
    with new_folder(at.features) as folder:
        # seconds, and may refuse
        extract_text(folder, clip.to(device), tokenizer, load_text_map(at.backbone), classes, imagenet)
        del clip  # its memory
        tower = load_frozen_tower(at.backbone, config.backbone).to(device)
        tower.require_resize(dataset, config.resize)
        extract_images(
            folder,
            store,
            tower,
            config.augmentation,
            pictures_of_views(read_json(at.split)["indices"]),
            space=config.backbone.feature_space,
            seed=seed,
            device=device,
        )
        write_json(folder / META, {"sha256": {path.name: sha256(path) for path in sorted(folder.iterdir())}})


if __name__ == "__main__":
    main()
