"""What a learner is put together from: the encoder that a way of tuning asks for, classifiers, prior."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ulfine.data.store import Store
from ulfine.methods.fixmatch import log_prior
from ulfine.models.classifiers import CosineClassifier, UnitFeatures
from ulfine.params.method import Method
from ulfine.params.train import Train
from ulfine.training.inputs import Inputs
from ulfine.training.learner import Start

if TYPE_CHECKING:
    from ulfine.models.tower import ImageTower

CHUNK = 1000  # pictures


def starting_point(inputs: Inputs, method: Method, train: Train, load_tower: Callable[[], "ImageTower"]) -> Start:
    """Encoder, linear classifier, text prototypes and prior of a run. `load_tower` is called only by who needs it.

    New weights come from torch's global generator.
    """
    prior = log_prior(torch.tensor(inputs.counts, dtype=torch.float32))
    if method.tune == "scratch":
        from ulfine.models.wide_resnet import WideResNet, classifier

        encoder = WideResNet(method.scratch, *channel_statistics(inputs.store, inputs.pictures))
        return Start(encoder, classifier(encoder.width, len(inputs.counts)), None, prior)
    image_mean, text = centred(inputs, center=train.center)
    encoder = UnitFeatures(tuned(method, train, load_tower, len(inputs.counts)), image_mean)
    return Start(encoder, linear_classifier(inputs, train, text, image_mean), text, prior)


def tuned(method: Method, train: Train, load_tower: Callable[[], "ImageTower"], classes: int) -> nn.Module:
    """The tower with what is tuned set free; nothing at all where features are cached."""
    if method.tune == "head":
        return nn.Identity()
    tower = load_tower()
    if train.checkpoint_blocks:
        tower.checkpoint_blocks()
    if method.tune == "all":
        tower.unfreeze()
    else:
        from ulfine.models.adapters import insert_adapters

        insert_adapters(tower, method.adapter, classes)
    return tower


def centred(inputs: Inputs, *, center: bool) -> tuple[Tensor, Tensor]:
    """(D,) mean feature of the split's pictures by the frozen tower, and (K, D) unit text prototypes less their mean.

    Without `center` the means are zero.
    """
    text = inputs.features.text(inputs.space)
    plain = inputs.features.view("plain", inputs.space)[inputs.pictures]
    mean = torch.from_numpy(plain.mean(0, dtype=np.float64).astype(np.float32))
    prototypes = torch.from_numpy(text.prototypes) - torch.from_numpy(text.mean) * center
    return mean * center, F.normalize(prototypes, dim=-1)


def linear_classifier(inputs: Inputs, train: Train, text: Tensor, image_mean: Tensor) -> CosineClassifier:
    """The linear classifier on unit features, started as `classifier_init` says (the options of LIFT, and random)."""
    match train.classifier_init:
        case "text":
            rows = text
        case "means":
            labeled = inputs.indices["labeled"]
            plain = torch.from_numpy(inputs.features.view("plain", inputs.space)[labeled])
            unit = F.normalize(plain - image_mean, dim=-1)
            members = F.one_hot(torch.from_numpy(inputs.store.labels["train"][labeled]), len(text)).to(unit.dtype)
            rows = F.normalize(members.T @ unit, dim=-1)
        case "random":
            rows = F.normalize(torch.randn_like(text), dim=-1)
    return CosineClassifier(rows, train.scale)


def channel_statistics(store: Store, pictures: np.ndarray) -> tuple[Tensor, Tensor]:
    """(3,) mean and standard deviation of the training pictures' channels, in [0, 1]; exact, by counting each byte.

    The deviation of a channel that is the same everywhere is given as 1, since pictures are divided by it.
    """
    counts = np.zeros((3, 256))
    for start in range(0, len(pictures), CHUNK):
        pixels = store.images["train"][pictures[start : start + CHUNK]].reshape(-1, 3)
        counts += [np.bincount(channel, minlength=256) for channel in pixels.T]
    values = np.arange(256) / 255
    shares = counts / counts.sum(1, keepdims=True)
    mean = shares @ values
    variance = shares @ values**2 - mean**2
    variance[(counts > 0).sum(1) == 1] = 1
    deviation = np.sqrt(variance)
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(deviation, dtype=torch.float32)
