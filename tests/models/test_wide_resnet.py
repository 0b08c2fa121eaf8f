import pytest
import torch

from ulfine.models.wide_resnet import WideResNet, classifier
from ulfine.params.method import Scratch

MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.2, 0.2])


def network(depth: int = 10, width: int = 1, resolution: int = 16) -> WideResNet:
    torch.manual_seed(0)
    options = Scratch(depth=depth, width=width, resolution=resolution, norm_momentum=0.1)
    return WideResNet(options, MEAN, STD)


def test_wrn_28_2_has_the_weights_of_fixmatchs():
    model = network(28, 2, 32)
    count = sum(p.numel() for p in (*model.parameters(), *classifier(model.width, 10).parameters()))
    assert count == 1_467_610  # as TorchSSL and kekmodel/FixMatch-pytorch print it


def test_features_of_pictures_of_any_size():
    pictures = torch.randint(0, 256, (2, 28, 28, 3), dtype=torch.uint8)
    assert network()(pictures).shape == (2, 64)


def test_pictures_are_normalised_by_mean_and_deviation():
    model, seen = network(), []
    model.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    picture = (255 * (MEAN + 2 * STD)).round().to(torch.uint8).expand(1, 16, 16, 3).contiguous()
    model(picture)
    assert seen[0].flatten().tolist() == pytest.approx([2.0] * 768, abs=0.02)


def test_halving_the_resolution_twice():
    model, sides = network(16, 1, 32), []
    for block in model.blocks:
        block.register_forward_hook(lambda _, __, out: sides.append(tuple(out.shape[1:])))
    model(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert sides == [(16, 32, 32)] * 2 + [(32, 16, 16)] * 2 + [(64, 8, 8)] * 2


def test_batch_statistics_move_in_training_alone():
    model = network()
    pictures = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    before = model.norm.running_mean.clone()
    model.eval()(pictures)
    assert torch.equal(model.norm.running_mean, before)
    model.train()(pictures)
    assert not torch.equal(model.norm.running_mean, before)
