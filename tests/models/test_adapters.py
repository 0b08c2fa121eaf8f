import copy
import json
import math

import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from torch import nn

from tests.helpers.project import PARAMS
from ulfine.models.adapters import Adapted, Bottleneck, automatic_tokens, automatic_width, insert_adapters
from ulfine.models.classifiers import CosineClassifier
from ulfine.models.prompts import Prompted
from ulfine.models.tower import ImageTower
from ulfine.params.adapter import Adapter
from ulfine.params.backbone import Backbone
from ulfine.params.method import Method
from ulfine.params.runtime import Runtime
from ulfine.params.train import Train
from ulfine.training.device import prepare
from ulfine.training.learner import Learner
from ulfine.training.start import Start

VIT_B16 = {"image_size": 224, "layers": 12, "width": 768, "patch_size": 16}
SMALL = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
KINDS = {
    "adaptformer": {"width": 4},
    "sequential": {"width": 4},
    "lora": {"rank": 2},
    "vpt": {"depth": "deep", "tokens": 3},
    "bias": {},
    "norm": {},
}
UNCHANGED = [kind for kind in KINDS if kind != "vpt"]


def options(kind: str, **changes) -> Adapter:
    return TypeAdapter(Adapter).validate_python({"kind": kind} | (KINDS[kind] | changes))


def build(**vision) -> nn.Module:
    """open_clip's image tower with random weights, frozen."""
    torch.manual_seed(0)
    return open_clip.model._build_vision_tower(16, vision).eval().requires_grad_(False)


def vit(**changes) -> nn.Module:
    return build(**SMALL | changes)


def timm_tower(name: str, **changes) -> nn.Module:
    """A timm tower with random weights, in which no scale is close to 0 and batch statistics are not trivial."""
    torch.manual_seed(0)
    tower = timm.create_model(name, num_classes=0, **changes).train()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        tower(torch.randn(4, 3, 64, 64))
    return tower.eval().requires_grad_(False)


def image_tower(visual: nn.Module, size: int = 32) -> ImageTower:
    backbone = Backbone(model="m", pretrained="p", resolution=size, precision="fp32", feature_space="joint")
    return ImageTower(
        visual, backbone, {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    )


def free(tower: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in tower.named_parameters() if parameter.requires_grad}


def count(tower: nn.Module) -> int:
    return sum(parameter.numel() for parameter in free(tower).values())


def adapted_ones(tower: nn.Module) -> list[Adapted]:
    return [module for module in tower.modules() if isinstance(module, Adapted)]


# 12 blocks of width 768; the first column for K = 10, the second for K = 100
COUNTS = {
    "adaptformer": (options("adaptformer", width="auto"), 46_104, 101_436),
    "sequential": (options("sequential", width="auto"), 46_104 - 12, 101_436 - 12),  # no scale
    "lora": (options("lora", rank="auto"), 12 * 2 * (768 + 768), 12 * 2 * 4 * (768 + 768)),
    "vpt deep": (options("vpt", tokens="auto"), 12 * 768, 12 * 8 * 768),
    "vpt deep, 50 tokens": (options("vpt", tokens=50), 460_800, 460_800),
    "vpt shallow": (options("vpt", depth="shallow", tokens="auto"), 8 * 768, 64 * 768),
    "bias": (options("bias"), 12 * 11 * 768, 12 * 11 * 768),  # norms 2, q k v 3, out 1, MLP 4 + 1
    "norm": (options("norm"), 12 * 4 * 768, 12 * 4 * 768),
}


@pytest.mark.parametrize("column", [1, 2])
@pytest.mark.parametrize("name", COUNTS)
def test_trained_weights_of_vit_b16_are_as_many_as_counted_by_hand(name, column):
    with torch.device("meta"):
        tower = build(**VIT_B16)
        insert_adapters(tower, COUNTS[name][0], classes=(10, 100)[column - 1])
    assert count(tower) == COUNTS[name][column]


def test_vit_b16_here_is_that_of_clip():
    config = open_clip.get_model_config("ViT-B-16-quickgelu")["vision_cfg"]
    assert {key: config[key] for key in VIT_B16} == VIT_B16


@pytest.mark.parametrize(
    ("classes", "blocks", "width", "tokens"),
    [(10, 12, 1, 1), (100, 12, 4, 8), (127, 12, 4, 8), (1000, 12, 32, 64), (10, 9, 1, 1), (10, 1, 4, 8)],
)
def test_automatic_sizes_are_those_of_lift(classes, blocks, width, tokens):
    assert automatic_width(classes, blocks) == width
    assert automatic_tokens(classes, blocks) == tokens


EVA = {"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 2}
TOWERS = {
    "open_clip": vit,
    "open_clip, layer scale": lambda: vit(ls_init_value=0.1),
    "open_clip, own attention": lambda: vit(block_type="custom", qk_norm=True),
    "CoCa": lambda: vit(attentional_pool=True, attn_pooler_heads=2, output_tokens=False),
    "ModifiedResNet": lambda: build(image_size=64, layers=[2, 1, 1, 1], width=8, head_width=8),
    "timm ViT": lambda: timm_tower("vit_tiny_patch16_224", img_size=64, depth=2, embed_dim=32, num_heads=2),
    "SigLIP": lambda: timm_tower("vit_base_patch16_siglip_224", img_size=64, depth=2, embed_dim=32, num_heads=2),
    "relative positions": lambda: timm_tower(
        "vit_relpos_medium_patch16_cls_224", img_size=64, depth=2, embed_dim=32, num_heads=2
    ),
    "EVA": lambda: timm_tower("eva02_base_patch16_clip_224", **EVA | {"img_size": 64}),
    "EVA, norm last": lambda: timm_tower("eva02_enormous_patch14_clip_224", **EVA | {"img_size": 64, "patch_size": 16}),
    "Perception Encoder": lambda: timm_tower(
        "vit_pe_core_tiny_patch16_384", **EVA | {"img_size": 64, "init_values": 0.1}
    ),
    "Swin": lambda: timm_tower(
        "swin_tiny_patch4_window7_224", img_size=64, window_size=2, embed_dim=16, depths=(2, 1), num_heads=(1, 2)
    ),
    "SwinV2": lambda: timm_tower(
        "swinv2_tiny_window8_256", img_size=64, window_size=2, embed_dim=16, depths=(2, 1), num_heads=(1, 2)
    ),
    "FastViT": lambda: timm_tower("fastvit_mci0", layers=(1, 1, 1, 2), embed_dims=(16, 16, 32, 32)),
    "ViTamin": lambda: timm_tower("vitamin_small_224", img_size=64, depth=1),
    "ConvNeXt": lambda: timm_tower("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), ls_init_value=0.1),
    "ResNet": lambda: timm_tower("resnet10t", layers=(2, 1, 1, 1), channels=(8, 8, 16, 16)),
    "RegNet": lambda: timm_tower("regnetx_002"),
    "EfficientNet": lambda: timm_tower("tf_efficientnet_lite0"),
}
PLAIN = {"open_clip", "open_clip, layer scale", "open_clip, own attention", "CoCa"}
PLAIN |= {"timm ViT", "SigLIP", "EVA", "EVA, norm last", "Perception Encoder", "ViTamin"}
CONVOLUTIONAL = {"ModifiedResNet", "ConvNeXt", "ResNet", "RegNet", "EfficientNet"}


def applies(kind: str, tower: str) -> bool:
    return (kind != "vpt" or tower in PLAIN) and (kind != "lora" or tower not in CONVOLUTIONAL)


@pytest.fixture(scope="module")
def towers():
    prepare(Runtime(device="cpu", num_threads=1))
    return {name: make() for name, make in TOWERS.items()}


def images(tower: str) -> torch.Tensor:
    side = 32 if tower in ("open_clip", "open_clip, layer scale", "open_clip, own attention", "CoCa") else 64
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def backward(tower: nn.Module, views: torch.Tensor) -> tuple[int, dict[str, torch.Tensor]]:
    """Return the numbers kept for the backward pass, other than weights, and the gradients."""
    kept, weights = {}, {x.data_ptr() for x in tower.parameters()}

    def pack(x: torch.Tensor) -> torch.Tensor:
        if x.data_ptr() not in weights:
            kept[x.data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = tower(views)
    out.square().sum().backward()
    return sum(kept.values()), {name: x.grad for name, x in free(tower).items()}


@pytest.mark.parametrize("name", ["open_clip", "CoCa", "timm ViT", "EVA", "Swin", "ConvNeXt", "EfficientNet"])
def test_blocks_that_run_twice_keep_less_and_give_the_same_gradients(towers, name):
    found = []
    for twice in (False, True):
        tower = image_tower(copy.deepcopy(towers[name]))
        if twice:
            tower.checkpoint_blocks()
        torch.manual_seed(0)
        insert_adapters(tower, options("adaptformer"), 10)
        with torch.no_grad():
            for parameter in free(tower).values():
                parameter.add_(0.1)
        found.append(backward(tower.visual, images(name)))
    (whole, expected), (less, gradients) = found
    assert less < 0.9 * whole
    for key, gradient in expected.items():
        torch.testing.assert_close(gradients[key], gradient, rtol=1e-4, atol=1e-6)


def test_a_tower_whose_blocks_cannot_run_twice_is_refused(towers):
    with pytest.raises(ValueError, match=r"checkpoint_blocks = true: not for this tower \(allowed: false\)"):
        image_tower(copy.deepcopy(towers["ModifiedResNet"])).checkpoint_blocks()


def test_nothing_is_kept_before_the_first_adapter(towers):
    tower = image_tower(copy.deepcopy(towers["open_clip"]))
    insert_adapters(tower, options("adaptformer"), 10)
    needs = {}
    blocks = tower.visual.transformer.resblocks
    for place, block in enumerate(blocks):
        block.register_forward_pre_hook(lambda _, inputs, at=place: needs.update({at: inputs[0].requires_grad}))
        block.attn.register_forward_hook(
            lambda _, __, out, at=place: needs.update({f"{at}.attn": out[0].requires_grad})
        )
    tower.visual(images("open_clip"))
    assert needs == {0: False, "0.attn": False, 1: True, "1.attn": True}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TOWERS)
def test_a_tower_starts_as_it_was_and_every_freed_weight_learns(towers, name, kind):
    frozen = towers[name]
    adapted = copy.deepcopy(frozen)
    if not applies(kind, name):
        with pytest.raises(
            ValueError, match=f"^adapter.kind = '{kind}': this tower has no .*allowed here: adaptformer"
        ):
            insert_adapters(adapted, options(kind), classes=10)
        assert not free(adapted) and len(list(adapted.modules())) == len(list(frozen.modules()))
        return
    insert_adapters(adapted, options(kind), classes=10)
    x = images(name)
    with torch.no_grad():
        before, start = frozen(x), adapted(x)
    assert torch.equal(start, before) == (kind != "vpt")

    free_ones = free(adapted)
    optimizer = torch.optim.SGD(free_ones.values(), lr=0.1)
    features = adapted(x)
    (features * torch.randn_like(features)).sum().backward()  # their length may be constant
    assert free_ones and all(parameter.grad is not None for parameter in free_ones.values())
    assert any(parameter.grad.any() for parameter in free_ones.values())
    assert all(parameter.grad is None for n, parameter in adapted.named_parameters() if n not in free_ones)
    optimizer.step()
    with torch.no_grad():
        assert not torch.equal(adapted(x), start)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_trained_is_all_that_is_kept_and_brings_a_run_back(kind):
    def learner() -> Learner:
        encoder = image_tower(vit())
        torch.manual_seed(3)
        insert_adapters(encoder, options(kind), classes=4)
        text = torch.eye(4, 16)
        start = Start(encoder, CosineClassifier(text, 25), text, torch.zeros(4))
        return Learner(start, Method(**PARAMS["methods"]["lft"]), Train(**PARAMS["train"]))

    pictures = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    one, other = learner(), learner()
    assert all(torch.equal(x, other.trained()[name]) for name, x in one.trained().items())  # the same draws
    optimizer = torch.optim.SGD(one.parameter_groups(), momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(one.logits(one.encoder(pictures))["linear"], torch.arange(4)).backward()
        optimizer.step()
    kept = one.trained()
    weights = sum(x.numel() for name, x in kept.items() if name != "prior.mean")
    assert weights == one.trainable() == count(one.encoder) + 4 * 16
    assert not torch.equal(one.encoder(pictures), other.encoder(pictures))
    assert not other.load_state_dict(kept, strict=False).unexpected_keys
    assert torch.equal(one.encoder(pictures), other.encoder(pictures))


def test_batch_statistics_stay_as_they_were():
    encoder = image_tower(timm_tower("tf_efficientnet_lite0"))
    insert_adapters(encoder, options("norm"), classes=10)
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder.train()(torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)).sum().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in encoder.named_buffers())


def test_every_residual_block_of_lite0_has_an_adapter_of_its_width():
    tower = timm_tower("tf_efficientnet_lite0")
    insert_adapters(tower, options("adaptformer", width="auto"), classes=10)
    widths = [module.adapter.norm.normalized_shape[0] for module in adapted_ones(tower)]
    assert widths == [24, 40, 80, 80, 112, 112, 192, 192, 192]
    assert all(module.adapter.channels_first for module in adapted_ones(tower))


def test_an_adapter_on_maps_is_a_pair_of_1x1_convolutions():
    adapter = Bottleneck(6, 3, channels_first=True, scaled=False)
    nn.init.normal_(adapter.up.weight)
    x = torch.randn(2, 6, 5, 5)
    normed = F.layer_norm(x.permute(0, 2, 3, 1), [6], adapter.norm.weight, adapter.norm.bias).permute(0, 3, 1, 2)
    down = F.conv2d(normed, adapter.down.weight[:, :, None, None], adapter.down.bias).relu()
    expected = F.conv2d(down, adapter.up.weight[:, :, None, None], adapter.up.bias)
    torch.testing.assert_close(adapter(x), expected)


@pytest.mark.parametrize("kind", ["adaptformer", "sequential"])
def test_bottlenecks_stand_where_lift_puts_them(kind):
    """x + mlp + adapter(x), or x + mlp + adapter(mlp), for the residual x after attention."""
    frozen = vit(layers=1)
    tower = copy.deepcopy(frozen)
    insert_adapters(tower, options(kind), classes=10)
    (adapted,) = adapted_ones(tower)
    nn.init.normal_(adapted.adapter.up.weight)
    block, tokens = frozen.transformer.resblocks[0], torch.randn(2, 5, 32)
    x = tokens + block.attention(block.ln_1(tokens))
    mlp = block.mlp(block.ln_2(x))
    expected = x + mlp + adapted.adapter(x if kind == "adaptformer" else mlp)
    torch.testing.assert_close(tower.transformer.resblocks[0](tokens), expected)
    assert isinstance(adapted.adapter.scale, nn.Parameter) == (kind == "adaptformer")


def test_lora_changes_q_and_v_by_a_scaled_product_and_leaves_k():
    frozen = vit(layers=1)
    tower = copy.deepcopy(frozen)
    insert_adapters(tower, options("lora", rank=2), classes=10)
    attention = tower.transformer.resblocks[0].attn
    update = attention.parametrizations.in_proj_weight[0]
    assert update.q.down.abs().max() <= 1 / math.sqrt(2) and not torch.equal(update.q.down, update.v.down)
    nn.init.normal_(update.q.up)
    nn.init.normal_(update.v.up)
    q, k, v = (attention.in_proj_weight - frozen.transformer.resblocks[0].attn.in_proj_weight).chunk(3)
    torch.testing.assert_close(q, update.q.up @ update.q.down / 2)
    torch.testing.assert_close(v, update.v.up @ update.v.down / 2)
    assert not k.any()


def seen_by_blocks(tower: nn.Module) -> list[torch.Tensor]:
    """Return the tokens that each block of a transformer gets."""
    seen = []
    for block in (module for module in tower.modules() if hasattr(module, "ln_1")):
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    tower(torch.randn(2, 3, 32, 32))
    return seen


@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_prompts_follow_the_class_token_and_leave_before_the_pooling(depth):
    tower = vit(layers=3)
    insert_adapters(tower, options("vpt", depth=depth, tokens=5), classes=10)
    prompts = [module.prompts for module in tower.modules() if isinstance(module, Prompted)]
    pooled = []
    tower.ln_post.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    seen = seen_by_blocks(tower)
    assert [x.shape for x in seen] == [(2, 1 + 5 + 4, 32)] * 3 and pooled[0].shape == (2, 1 + 4, 32)
    given = [
        torch.equal(x[:, 1:6], prompts[i].expand(2, -1, -1)) for i, x in enumerate(seen) if depth == "deep" or not i
    ]
    assert all(given) and len(given) == (3 if depth == "deep" else 1)
    assert count(tower) == len(given) * 5 * 32
    assert prompts[0].abs().max() <= math.sqrt(6 / (3 * 16 * 16 + 32))


@pytest.mark.parametrize(
    ("tower", "kind", "message"),
    [
        ("EfficientNet", "lora", "'lora': this tower has no attention with q, k and v in its blocks (allowed here: "),
        ("Swin", "vpt", "'vpt': this tower has no plain sequence of tokens without relative positions (allowed here: "),
    ],
)
def test_what_does_not_apply_is_refused_in_one_line(towers, tower, kind, message):
    with pytest.raises(ValueError) as caught:
        insert_adapters(towers[tower], options(kind), 10)
    allowed = ", ".join(other for other in KINDS if applies(other, tower))
    assert str(caught.value) == f"adapter.kind = {message}{allowed})"


def test_a_tower_without_known_blocks_is_refused():
    with pytest.raises(ValueError, match=r"has no transformer blocks or residual blocks .*\(allowed here: none\)"):
        insert_adapters(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), options("adaptformer"), 10)


@pytest.mark.slow
def test_every_tower_of_open_clip_takes_or_refuses_each_kind():
    """Uses the meta device: no weights, no arithmetic."""
    hierarchies = ("convnext", "fastvit", "swin")
    for name, vision in distinct_vision_configs().items():
        architecture = vision.get("timm_model_name", name)
        with torch.device("meta"):
            tower = build(**vision)
        refused = set()
        for kind in KINDS:
            adapted = copy.deepcopy(tower)
            try:
                with torch.device("meta"):
                    insert_adapters(adapted, options(kind), classes=100)
            except ValueError:
                refused.add(kind)
            assert (count(adapted) > 0) == (kind not in refused), (name, kind)
        no_tokens = architecture.startswith((*hierarchies, "RN", "vit_relpos"))
        no_attention = architecture.startswith(("convnext", "RN"))
        assert refused == {kind for kind, absent in (("vpt", no_tokens), ("lora", no_attention)) if absent}, name


def distinct_vision_configs() -> dict[str, dict]:
    """One model's name for each image tower that open_clip knows, and its configuration."""
    found = {}
    for name in open_clip.list_models():
        vision = dict(open_clip.get_model_config(name)["vision_cfg"])
        if "timm_model_name" in vision:
            vision["timm_model_pretrained"] = False
        found.setdefault(json.dumps(vision, sort_keys=True), (name, vision))
    return dict(found.values())
