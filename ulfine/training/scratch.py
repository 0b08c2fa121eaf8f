"""The start of a learner without a tower."""

import numpy as np
import torch
from torch import Tensor

from ulfine.data.store import Store
from ulfine.models.wide_resnet import WideResNet, classifier
from ulfine.params.method import Scratch
from ulfine.training.inputs import Inputs
from ulfine.training.start import Start

CHUNK = 1000  # pictures


def start_from_scratch(inputs: Inputs, network: Scratch) -> Start:
    """A Wide ResNet with new weights from torch's global generator."""
    encoder = WideResNet(network, *channel_statistics(inputs.store, inputs.pictures))
    return Start(encoder, classifier(encoder.width, len(inputs.counts)), None, inputs.log_prior())


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
