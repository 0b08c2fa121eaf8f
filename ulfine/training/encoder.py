"""The encoder that a method with a backbone starts from."""

from pathlib import Path

from torch import nn

from ulfine.params.backbone import Backbone
from ulfine.params.method import Method
from ulfine.params.train import Train


def load_encoder(folder: Path, backbone: Backbone, method: Method, train: Train, classes: int) -> nn.Module:
    """What a method turns views into features by: nothing for cached features, else the tower of `folder`, tuned.

    Linear probing does without the tower, and without the seconds that open_clip takes to import.
    """
    if method.cached:
        return nn.Identity()
    from ulfine.training.towers import load_tuned

    return load_tuned(folder, backbone, method, train, classes)
