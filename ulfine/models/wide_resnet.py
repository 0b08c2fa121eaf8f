"""The network of training from scratch: Wide ResNet (Zagoruyko and Komodakis, 2016) as FixMatch runs it.

Neither torchvision nor timm has it for small pictures. Leaky ReLU of slope 0.1, and a first block whose shortcut starts
after the activation, are those of FixMatch's own code; ports to torch (kekmodel, ACR) differ in the blocks that widen.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ulfine.models.resize import resized, resized_bytes
from ulfine.params.method import Scratch

SLOPE = 0.1
INTERPOLATION = "bicubic"


class Block(nn.Module):
    """Two 3x3 convolutions, each after normalisation and activation, beside a shortcut.

    Args:
        inputs, outputs: channels.
        stride: of the first convolution.
        momentum: of the batch statistics.
        first: the shortcut starts after the first activation.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, momentum: float, first: bool) -> None:
        super().__init__()
        self.first = first
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels, momentum=momentum) for channels in (inputs, outputs))
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs, H / stride, W / stride)."""
        active = _activation(self.norm1(x))
        out = self.conv2(_activation(self.norm2(self.conv1(active))))
        straight = active if self.first else x
        return out + (straight if self.shortcut is None else self.shortcut(straight))


class WideResNet(nn.Module):
    """Pictures to (B, 64 width) features.

    Args:
        options: depth, width, resolution, momentum of the batch statistics.
        mean, std: (3,) of the training pictures, in [0, 1].
    """

    def __init__(self, options: Scratch, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.resolution, self.width = options.resolution, 64 * options.width
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        blocks, channels = [], 16
        for widened, stride in ((16, 1), (32, 2), (64, 2)):
            for number in range((options.depth - 4) // 6):
                outputs = widened * options.width
                blocks.append(
                    Block(channels, outputs, stride if number == 0 else 1, options.norm_momentum, first=not blocks)
                )
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels, momentum=options.norm_momentum)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="leaky_relu", a=SLOPE)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """(B, side, side, 3) uint8 to (B, 64 width) features."""
        x = resized(images, self.resolution, INTERPOLATION)
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return _activation(self.norm(self.blocks(self.stem(x)))).mean((2, 3))

    def enlarge(self, images: Tensor) -> Tensor:
        """(B, side, side, 3) uint8 to the same of the side that the network takes."""
        return resized_bytes(images, self.resolution, INTERPOLATION)


def classifier(features: int, classes: int) -> nn.Linear:
    """The last layer, with Xavier weights and a bias of zero."""
    layer = nn.Linear(features, classes)
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _activation(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)
