"""Loads a tower and sets free what a method trains in it."""

import ulfine.models.lean  # noqa: F401 (before open_clip)

from pathlib import Path

from ulfine.models.adapters import insert_adapters
from ulfine.models.backbone import load_image_tower
from ulfine.models.tower import ImageTower
from ulfine.params.backbone import Backbone
from ulfine.params.method import Method
from ulfine.params.train import Train


def load_tuned(folder: Path, backbone: Backbone, method: Method, train: Train, classes: int) -> ImageTower:
    """The image tower of `folder`, unfrozen or with adapters, which torch's global generator fills. classes: K."""
    return tune(load_image_tower(folder, backbone), method, train, classes)


def tune(tower: ImageTower, method: Method, train: Train, classes: int) -> ImageTower:
    """The tower itself, with its weights unfrozen, with adapters inserted, or frozen as it is."""
    if train.checkpoint_blocks:
        tower.checkpoint_blocks()
    match method.tune:
        case "all":
            tower.unfreeze()
        case "adapters":
            insert_adapters(tower, method.adapter, classes)
    tower.settle()
    return tower
