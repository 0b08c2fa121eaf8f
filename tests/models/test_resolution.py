"""Resolutions that a tower allows, and its positions there, on timm's small but real test models."""

import json

import pytest
import torch

from tests.helpers.project import TINY_CLIP
from ulfine.models.backbone import build, load_image_tower, require_usable, save
from ulfine.models.fetch import fetch
from ulfine.models.resolution import require_runs, resize_positions
from ulfine.params.backbone import Backbone

TIMM = {"timm_pool": "avg", "timm_proj": "linear"}
VISION = {
    "vit": TINY_CLIP["vision_cfg"],
    "resnet": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 4, "image_size": 64},
    "timm_vit": TIMM | {"timm_model_name": "test_vit", "image_size": 160},
    "relpos": TIMM | {"timm_model_name": "test_vit_relpos", "image_size": 160, "timm_pool": ""},
    "convnext": TIMM | {"timm_model_name": "test_convnext", "image_size": 160, "timm_pool": ""},
    "mixer": TIMM | {"timm_model_name": "mixer_s32_224", "image_size": 224, "timm_pool": ""},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return saved towers with random weights, each made on request."""
    made = {}

    def of(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            write_kept(folder, TINY_CLIP | {"vision_cfg": VISION[name]})
            made[name] = folder
        return made[name]

    return of


def spec(resolution, **changes) -> Backbone:
    base = {"model": "a.json", "pretrained": "a.pt", "precision": "fp32", "feature_space": "joint"}
    return Backbone(resolution=resolution, **base | changes)


@pytest.mark.parametrize(
    ("name", "resolution"),
    [
        ("vit", 64),
        ("resnet", 96),
        ("timm_vit", 96),
        ("timm_vit", 224),
        ("relpos", 96),
        ("convnext", 100),
        ("mixer", 224),
    ],
)
def test_a_tower_runs_at_another_resolution(kept, name, resolution):
    tower = load_image_tower(kept(name), spec(resolution))
    require_runs(tower, 16)
    images = torch.randint(0, 256, (2, 20, 20, 3), dtype=torch.uint8)
    assert tower(images).shape == (2, 16) and tower(images).isfinite().all()


@pytest.mark.parametrize(
    ("name", "resolution", "message"),
    [
        ("vit", 100, r"resolution = 100: this tower allows its own 32 and multiples of 8 \(96, 104, …\)"),
        ("resnet", 16, r"resolution = 16: this tower allows its own 64 and multiples of 32 \(32, 64, …\)"),
        ("resnet", 80, r"resolution = 80: this tower allows its own 64 and multiples of 32 \(64, 96, …\)"),
        ("timm_vit", 100, r"resolution = 100: this tower allows its own 160 and multiples of 16 \(96, 112, …\)"),
        ("mixer", 256, r"resolution = 256: this tower cannot change it \(allowed: 224\)"),
    ],
)
def test_what_a_tower_cannot_take_is_refused_with_what_it_can(kept, name, resolution, message):
    with pytest.raises(ValueError, match=message):
        load_image_tower(kept(name), spec(resolution))


def test_a_picture_too_small_to_run_on_is_refused(kept, monkeypatch):
    tower = load_image_tower(kept("convnext"), spec(16))
    monkeypatch.setattr(tower.visual, "forward", lambda x: torch.nn.functional.conv2d(x, torch.zeros(1, 3, 32, 32)))
    with pytest.raises(ValueError, match=r"resolution = 16: this tower cannot take it \(.*Kernel size"):
        require_runs(tower, 16)


def write_kept(folder, config):
    torch.manual_seed(0)
    torch.save(build(config).state_dict(), folder / "weights.pt")
    (folder / "model.json").write_text(json.dumps(config))
    side = config["vision_cfg"]["image_size"]
    found = spec(side, model=str(folder / "model.json"), pretrained=str(folder / "weights.pt"))
    save(folder, fetch(found))
    return found


@pytest.mark.parametrize("pool", ["abs_attn", "rot_attn"])
def test_pooled_features_of_a_tower_whose_head_holds_the_pool_are_vectors(tmp_path, pool):
    vision = {"timm_model_name": "resnet10t", "timm_pool": pool, "timm_proj": "", "image_size": 176}
    found = write_kept(tmp_path, TINY_CLIP | {"vision_cfg": vision})
    require_usable(tmp_path, found)
    images = torch.zeros(2, 176, 176, 3, dtype=torch.uint8)
    tower = load_image_tower(tmp_path, found)
    assert tower.pooled(images).shape == (2, 16) and torch.equal(tower.joint(tower.pooled(images)), tower(images))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 100}, r"the text tower cannot take a sentence \(IndexError"),
        ({"proj_type": "none", "width": 24}, r"a sentence has features of shape \(1, 24\), expected \(1, 16\)"),
    ],
)
def test_a_text_tower_that_cannot_embed_a_sentence_is_refused(tmp_path, changes, message):
    found = write_kept(tmp_path, TINY_CLIP | {"text_cfg": TINY_CLIP["text_cfg"] | changes})
    with pytest.raises(ValueError, match=message):
        require_usable(tmp_path, found)


def test_an_image_tower_of_another_width_than_the_text_is_refused(tmp_path):
    vision = {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "none", "image_size": 160}
    found = write_kept(tmp_path, TINY_CLIP | {"vision_cfg": vision})
    with pytest.raises(ValueError, match=r"a blank picture has features of shape \(1, \d+\), expected \(1, 16\)"):
        require_usable(tmp_path, found)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_positions_of_a_flat_field_stay_flat(name):
    """Interpolation of a constant is that constant at any grid, and the position of the pooled token is not touched."""
    visual = build(TINY_CLIP | {"vision_cfg": VISION[name] | {"image_size": 96}}).visual
    key, old, new = {
        "vit": ("visual.positional_embedding", 4, 12),
        "resnet": ("visual.attnpool.positional_embedding", 2, 3),
    }[name]
    weights = {key: torch.full((1 + old * old, 32), 3.0)}
    weights[key][0] = 7
    resize_positions(weights, visual, 96)
    assert weights[key].shape == (1 + new * new, 32)
    assert (weights[key][0] == 7).all()
    torch.testing.assert_close(weights[key][1:], torch.full((new * new, 32), 3.0))
