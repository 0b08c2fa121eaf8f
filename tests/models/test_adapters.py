import copy

import open_clip
import pytest
import timm
import torch
from torch import nn

from ulfine.models.adapters import Bottleneck, automatic_width, insert_adapters
from ulfine.params.runtime import Runtime
from ulfine.training.device import prepare

VIT_B16 = {"image_size": 224, "layers": 12, "width": 768, "patch_size": 16}


def vit(**changes) -> nn.Module:
    """open_clip's image tower with random weights."""
    config = VIT_B16 | {"image_size": 32} | changes
    return open_clip.model._build_vision_tower(16, config).eval().requires_grad_(False)


def lite0() -> nn.Module:
    """EfficientNet-Lite0 with random weights, whose batch statistics are not trivial."""
    torch.manual_seed(0)
    tower = timm.create_model("tf_efficientnet_lite0", num_classes=0).train()
    with torch.no_grad():
        tower(torch.randn(8, 3, 32, 32))
    return tower.eval().requires_grad_(False)


def trained(adapters: list) -> int:
    return sum(parameter.numel() for adapter in adapters for parameter in adapter.parameters())


@pytest.mark.parametrize(("classes", "count"), [(10, 46_104), (100, 101_436), (1000, 617_868)])
def test_adapters_of_vit_b16_count_as_lifts_do(classes, count):
    tower = vit()
    adapters = insert_adapters(tower, "auto", classes)
    assert trained(adapters) == count
    assert sum(p.numel() for p in tower.parameters() if p.requires_grad) == count


def test_vit_b16_here_is_that_of_clip():
    config = open_clip.get_model_config("ViT-B-16-quickgelu")["vision_cfg"]
    assert {key: config[key] for key in VIT_B16} == VIT_B16


@pytest.mark.parametrize(
    ("classes", "blocks", "width"), [(10, 12, 1), (100, 12, 4), (127, 12, 4), (1000, 12, 32), (10, 9, 1)]
)
def test_the_automatic_width_is_lifts_rule(classes, blocks, width):
    assert automatic_width(classes, blocks) == width


TOWERS = {
    "open_clip transformer": lambda: vit(width=64, head_width=16, layers=3),
    "open_clip transformer with layer scale": lambda: vit(width=64, head_width=16, layers=3, ls_init_value=0.1),
    "timm transformer": lambda: (
        timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0).eval().requires_grad_(False)
    ),
    "convolutional": lite0,
}


@pytest.mark.parametrize("build", TOWERS.values(), ids=TOWERS.keys())
def test_the_tower_starts_as_it_was_bit_for_bit_and_then_learns(build):
    prepare(Runtime(device="cpu", num_threads=1))
    frozen = build()
    adapted = copy.deepcopy(frozen)
    adapters = insert_adapters(adapted, 4, classes=10)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(adapted(images), frozen(images))

    adapted(images).square().sum().backward()
    gradients = {name for name, parameter in adapted.named_parameters() if parameter.grad is not None}
    assert gradients and all(".adapter." in name for name in gradients)
    with torch.no_grad():
        for adapter in adapters:
            adapter.up.weight.add_(0.1 * torch.randn_like(adapter.up.weight))
    assert not torch.allclose(adapted(images), frozen(images))


def test_every_residual_block_of_lite0_has_an_adapter_of_its_width():
    adapters = insert_adapters(lite0(), "auto", classes=10)
    assert [adapter.norm.normalized_shape[0] for adapter in adapters] == [24, 40, 80, 80, 112, 112, 192, 192, 192]
    assert all(adapter.channels_first for adapter in adapters)


def test_an_adapter_on_maps_is_a_pair_of_1x1_convolutions():
    adapter = Bottleneck(6, 3, channels_first=True)
    nn.init.normal_(adapter.up.weight)
    x = torch.randn(2, 6, 5, 5)
    normed = nn.functional.layer_norm(x.permute(0, 2, 3, 1), [6], adapter.norm.weight, adapter.norm.bias).permute(
        0, 3, 1, 2
    )
    down = nn.functional.conv2d(normed, adapter.down.weight[:, :, None, None], adapter.down.bias).relu()
    expected = nn.functional.conv2d(down, adapter.up.weight[:, :, None, None], adapter.up.bias) * adapter.scale
    torch.testing.assert_close(adapter(x), expected)


def test_an_adapter_sees_the_residual_after_attention():
    tower = vit(width=64, head_width=16, layers=1)
    (adapter,) = insert_adapters(tower, 4, classes=10)
    block, seen = tower.transformer.resblocks[0], []
    adapter.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    tokens = torch.randn(2, 5, 64)
    block(tokens)
    torch.testing.assert_close(seen[0], tokens + block.attention(block.ln_1(tokens)))


def test_a_tower_without_such_blocks_is_refused():
    with pytest.raises(ValueError, match="neither transformer blocks nor residual blocks"):
        insert_adapters(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), "auto", 10)
