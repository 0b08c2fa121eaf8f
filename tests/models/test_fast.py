import copy
import math
import shutil

import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import nn

from ulfine.models.adapters import insert_adapters
from ulfine.models.fast import DepthwiseConv2d, QuickGELU, SelfAttention, fold_norms, fold_slopes, make_fast
from ulfine.models.tower import ImageTower
from ulfine.params.adapter import AdaptFormer, LoRA
from ulfine.params.backbone import Backbone
from ulfine.training.flops import done_and_counted


def with_gradient(function, x):
    x = x.clone().requires_grad_()
    y = function(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return y.detach(), x.grad


def test_quick_gelu_is_open_clips():
    x = torch.linspace(-8, 8, 1001)
    torch.testing.assert_close(with_gradient(QuickGELU(), x), with_gradient(open_clip.transformer.QuickGELU(), x))


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_torchs(masked):
    torch.manual_seed(0)
    slow = nn.MultiheadAttention(24, 3, batch_first=True)
    nn.init.normal_(slow.in_proj_bias)
    mask = torch.full((5, 5), -torch.inf).triu(1) if masked else None
    fast, x = SelfAttention(slow), torch.randn(2, 5, 24)
    found, expected = (
        with_gradient(lambda x, layer=layer: layer(x, x, x, attn_mask=mask, need_weights=False)[0], x)
        for layer in (fast, slow)
    )
    torch.testing.assert_close(found, expected)
    assert list(dict(fast.named_parameters())) == list(dict(slow.named_parameters()))
    with pytest.raises(ValueError, match="of one input with itself"):
        fast(x, x.clone(), x, attn_mask=None, need_weights=False)


def test_a_tower_of_open_clip_gets_the_fast_parts_under_the_same_names():
    torch.manual_seed(0)
    vision = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16}
    slow = open_clip.model._build_vision_tower(8, vision, quick_gelu=True).eval()
    fast = copy.deepcopy(slow)
    make_fast(fast)
    kinds = [type(module) for module in fast.modules()]
    assert kinds.count(SelfAttention) == kinds.count(QuickGELU) == kinds.count(ResidualAttentionBlock) == 2
    assert nn.MultiheadAttention not in kinds and open_clip.transformer.QuickGELU not in kinds
    assert list(fast.state_dict()) == list(slow.state_dict())
    images = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(fast(images), slow(images))


@pytest.mark.parametrize(("side", "kernel"), [(2, 5), (4, 5), (2, 3), (1, 7), (4, 3)])
def test_depthwise_convolutions_learn_as_torchs(side, kernel):
    torch.manual_seed(0)
    slow = nn.Conv2d(6, 6, kernel, padding=kernel // 2, groups=6).double()
    fast = copy.deepcopy(slow)
    fast.__class__ = DepthwiseConv2d
    x = torch.randn(3, 6, side, side + 0, dtype=torch.double)
    torch.testing.assert_close(with_gradient(fast, x), with_gradient(slow, x))
    for one, other in zip(fast.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    if side < kernel:
        by_taps = fast(x.requires_grad_()).grad_fn
        assert "Depthwise" in type(by_taps).__name__
        assert "Depthwise" not in type(fast.requires_grad_(False)(x).grad_fn).__name__


def test_the_gradient_of_a_depthwise_weight_by_hand():
    layer = DepthwiseConv2d(1, 1, 3, padding=1, groups=1, bias=False)
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], requires_grad=True)
    layer(x).backward(torch.tensor([[[[10.0, 20.0], [30.0, 40.0]]]]))
    # tap (0, 0) sees the input up and left of each output: 1 at the last one alone; tap (1, 1) sees each at its place
    expected = [[40 * 1, 30 * 1 + 40 * 2, 30 * 2], [20 * 1 + 40 * 3, 10 + 40 + 90 + 160, 10 * 2 + 30 * 4]]
    expected += [[20 * 3, 10 * 3 + 20 * 4, 10 * 4]]
    assert layer.weight.grad[0, 0].tolist() == expected


def test_operations_of_a_depthwise_gradient_are_counted():
    fast = DepthwiseConv2d(6, 6, 5, padding=2, groups=6, bias=False)
    x = torch.randn(2, 6, 4, 4, requires_grad=True)
    _, found = done_and_counted(lambda: fast(x).sum().backward())
    assert found == 3 * 2 * math.prod(x.shape) * 25


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnetv2_b0", "resnet18", "resnet50"])
def test_norms_fold_into_the_convolutions_before_them(name):
    torch.manual_seed(0)
    slow = timm.create_model(name, num_classes=0).eval().requires_grad_(False)
    for module in slow.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                values.uniform_(0.5, 1.5)
            for values in (module.bias, module.running_mean):
                values.normal_(std=0.1)
    fast, images = copy.deepcopy(slow), torch.randn(2, 3, 64, 64)
    fold_norms(fast)
    left = sum(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    assert left == {"resnet18": 3, "resnet50": 4}.get(name, 0)  # of shortcuts that change the shape
    found, expected = fast(images), slow(images)
    assert F.cosine_similarity(found, expected).min() > 1 - 1e-6
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_norms_that_learn_or_belong_to_what_learns_stay():
    tower = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval().requires_grad_(False)
    tower.bn1.weight.requires_grad_(True)
    tower.conv_head.weight.requires_grad_(True)
    fold_norms(tower)
    assert {name for name, module in tower.named_modules() if isinstance(module, nn.BatchNorm2d)} == {"bn1", "bn2"}


def adapted(precision: str, adapter) -> ImageTower:
    torch.manual_seed(0)
    vision = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 3, "head_width": 16}
    visual = open_clip.model._build_vision_tower(8, vision, quick_gelu=True)
    spec = Backbone(
        model="ViT-B-16-quickgelu", pretrained="openai", resolution=32, precision=precision, feature_space="pooled"
    )
    half = [0.5] * 3
    tower = ImageTower(visual, spec, {"mean": half, "std": half, "interpolation": "bicubic", "resize_mode": "shortest"})
    insert_adapters(tower, adapter, classes=10)
    with torch.no_grad():
        for name, weight in tower.named_parameters():
            if name.endswith("up.weight") or name.endswith(".up"):
                weight.normal_(std=0.1)
    tower.settle()
    return tower


def test_the_slope_of_quick_gelu_folds_into_frozen_layers_alone():
    torch.manual_seed(0)
    vision = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 3, "head_width": 16}
    slow = open_clip.model._build_vision_tower(8, vision, quick_gelu=True).eval().requires_grad_(False)
    fast = copy.deepcopy(slow)
    make_fast(fast)
    fast.transformer.resblocks[1].mlp.c_proj.bias.requires_grad_(True)
    fold_slopes(fast)
    kinds = [type(block.mlp.gelu) for block in fast.transformer.resblocks]
    assert kinds == [nn.SiLU, QuickGELU, nn.SiLU]
    images = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(fast(images), slow(images))


@pytest.mark.parametrize("adapter", [AdaptFormer(kind="adaptformer", width=4), LoRA(kind="lora", rank=2)])
def test_bf16_stays_bf16_from_block_to_block_and_near_fp32(adapter):
    images, found = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8), {}
    for precision in ("fp32", "bf16"):
        tower, types = adapted(precision, adapter), set()
        for block in tower.visual.transformer.resblocks:
            block.register_forward_hook(lambda _, __, out, types=types: types.add(out.dtype))
        features = tower(images)
        assert features.dtype == torch.float32
        assert types == {torch.bfloat16 if precision == "bf16" else torch.float32}
        (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
        free = [weight for weight in tower.parameters() if weight.requires_grad]
        assert all(weight.dtype == weight.grad.dtype == torch.float32 for weight in free)
        found[precision] = features.detach(), torch.cat([weight.grad.flatten() for weight in free])
    features, gradients = zip(found["fp32"], found["bf16"], strict=True)
    assert F.cosine_similarity(*features).min() > 0.9995
    assert F.cosine_similarity(*gradients, dim=0) > 0.998
    frozen = [weight for name, weight in tower.visual.named_parameters() if name.endswith("c_fc.weight")]
    assert frozen and all(weight.dtype == torch.bfloat16 for weight in frozen)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++")
@pytest.mark.parametrize("kind", ["fp32", "bf16", "depthwise"])
def test_compiled_towers_learn_as_plain_ones(kind):
    if kind == "depthwise":
        plain = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 5, padding=2, groups=6))
        make_fast(plain)
        assert isinstance(plain[1], DepthwiseConv2d)
        images = torch.randn(2, 3, 4, 4)
    else:
        plain = adapted(kind, AdaptFormer(kind="adaptformer", width=4))
        images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    compiled = copy.deepcopy(plain)
    compiled.compile()
    found = []
    for tower in (plain, compiled):
        features = tower(images).flatten(1)
        (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
        gradients = [weight.grad.flatten() for weight in tower.parameters() if weight.requires_grad]
        found.append([features.detach().flatten(), torch.cat(gradients)])
    for one, other in zip(*found, strict=True):
        assert F.cosine_similarity(one, other, dim=0) > (0.998 if kind == "bf16" else 1 - 1e-5)
