import json
from argparse import Namespace

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.helpers.project import TINY_CLIP, write_backbone
from ulfine.data.pictures import square
from ulfine.models.backbone import build, load_image_tower, load_text_map, load_text_tower, save
from ulfine.models.fetch import fetch
from ulfine.params.backbone import Backbone


def spec(**changes) -> Backbone:
    base = {"model": "tiny.json", "pretrained": "tiny.pt", "resolution": 32, "precision": "fp32"}
    return Backbone(**(base | {"feature_space": "pooled"} | changes))


def files(model, pretrained) -> Backbone:
    return spec(model=str(model), pretrained=str(pretrained))


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with tiny.json, tiny.pt, and the backbone made of them in saved/."""
    folder = tmp_path_factory.mktemp("backbone")
    write_backbone(folder)
    (folder / "saved").mkdir()
    save(folder / "saved", fetch(files(folder / "tiny.json", folder / "tiny.pt")))
    return folder


@pytest.fixture(scope="module")
def original(here):
    model = open_clip.CLIP(**TINY_CLIP)
    model.load_state_dict(torch.load(here / "tiny.pt", weights_only=True))
    return model.eval()


def pictures(side: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (3, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_image_features_are_open_clips(here, original):
    tower = load_image_tower(here / "saved", spec())
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    expected = original.encode_image((pictures().permute(0, 3, 1, 2) / 255 - mean) / std)
    torch.testing.assert_close(tower.joint(tower.pooled(pictures())), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_text_features_are_open_clips(here, original):
    clip, tokenizer = load_text_tower(here / "saved")
    tokens = tokenizer(["a photo of a cat", "a dog"])
    torch.testing.assert_close(clip.encode_text(tokens), original.encode_text(tokens))
    assert clip.logit_scale.item() == original.logit_scale.item()


def test_the_text_map_is_the_transpose_of_the_projection(here, original):
    assert torch.equal(load_text_map(here / "saved"), original.visual.proj.T)


def test_safetensors_are_as_good_as_pt(here, tmp_path):
    save_file(torch.load(here / "tiny.pt", weights_only=True), tmp_path / "tiny.safetensors")
    save(tmp_path, fetch(files(here / "tiny.json", tmp_path / "tiny.safetensors")))
    one, two = (load_file(folder / "open_clip_model.safetensors") for folder in (here / "saved", tmp_path))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_the_saved_folder_is_open_clips_own_local_dir(here, original):
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{here / 'saved'}")
    tokens = open_clip.get_tokenizer(f"local-dir:{here / 'saved'}")(["a cat"])
    with torch.inference_mode():
        torch.testing.assert_close(model.eval().encode_text(tokens), original.encode_text(tokens))


def test_position_embeddings_follow_the_resolution(here):
    tower = load_image_tower(here / "saved", spec(resolution=64))
    assert tower.visual.positional_embedding.shape == (65, 32)
    assert tower(pictures(16)).shape == (3, 32)


def test_bf16_is_close_to_fp32(here):
    with torch.inference_mode():
        one, two = (load_image_tower(here / "saved", spec(precision=p))(pictures()) for p in ("fp32", "bf16"))
    assert two.dtype == torch.float32
    assert 0 < (one - two).abs().max() < 0.1 * one.abs().max()


def test_the_joint_space_is_after_the_projection(here):
    assert load_image_tower(here / "saved", spec(feature_space="joint"))(pictures()).shape == (3, 16)


def wider(folder) -> str:
    config = json.loads(json.dumps(TINY_CLIP))
    config["vision_cfg"]["width"] = 48
    (folder / "wider.json").write_text(json.dumps(config))
    return str(folder / "wider.json")


def test_a_checkpoint_of_another_shape_is_refused_in_one_line(here, tmp_path):
    with pytest.raises(
        ValueError, match=r"tiny\.pt: does not fit model .*wider\.json: size mismatch for .*and \d+ more\)$"
    ):
        fetch(files(wider(tmp_path), here / "tiny.pt"))


LARGER = TINY_CLIP | {"vision_cfg": TINY_CLIP["vision_cfg"] | {"image_size": 64}}
LONGER = TINY_CLIP | {"text_cfg": TINY_CLIP["text_cfg"] | {"context_length": 24}}
SIGMOID = TINY_CLIP | {"init_logit_bias": -10.0}


@pytest.mark.parametrize(
    ("trained", "named", "message"),
    [
        (LARGER, TINY_CLIP, "has positions of a picture of 64 pixels, model {} of 32; .* with image_size: 64"),
        (LONGER, TINY_CLIP, "has positions of 24 tokens, model {} of 16; .* with context_length: 24"),
        (TINY_CLIP, SIGMOID, "has no logit_bias, which model {} has; name a configuration without init_logit_bias"),
    ],
)
@pytest.mark.parametrize("kind", ["clip", "separate", "wrapped", "legacy", "safetensors"])
def test_a_checkpoint_is_not_bent_to_fit(tmp_path, trained, named, message, kind):
    model = (build if kind == "separate" else lambda config: open_clip.CLIP(**config))(trained)
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    state = model.state_dict()
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "wrapped":
        torch.save({"epoch": 1, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind != "legacy")
    (tmp_path / "named.json").write_text(json.dumps(named))
    expected = message.format(tmp_path / "named.json")
    with pytest.raises(ValueError, match=rf"w\.\w+: {expected}$"):
        fetch(files(tmp_path / "named.json", path))
    (tmp_path / "trained.json").write_text(json.dumps(trained))
    found = fetch(files(tmp_path / "trained.json", path)).model
    assert torch.equal(found.visual.positional_embedding, model.visual.positional_embedding)


def test_the_bias_of_a_checkpoint_trained_with_a_sigmoid_is_kept(tmp_path):
    torch.save(build(SIGMOID).state_dict(), tmp_path / "w.pt")
    (tmp_path / "tiny.json").write_text(json.dumps(TINY_CLIP))
    save(tmp_path, fetch(files(tmp_path / "tiny.json", tmp_path / "w.pt")))
    assert load_text_tower(tmp_path)[0].logit_bias.item() == -10
    assert json.loads((tmp_path / "meta.json").read_text())["logit_bias"] == -10


def test_the_tag_of_the_paper_is_known():
    assert "openai" in open_clip.list_pretrained_tags_by_model("ViT-B-16-quickgelu")


def test_truncated_weights_are_named(here, tmp_path):
    save(tmp_path, fetch(files(here / "tiny.json", here / "tiny.pt")))
    weights = tmp_path / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"open_clip_model\.safetensors: truncated"):
        load_image_tower(tmp_path, spec())


@pytest.mark.parametrize("name", ["bad.pt", "bad.safetensors"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"<html>not found</html>", "truncated, or not a checkpoint"),
        (bytes(4096), "truncated, or not a checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(here, tmp_path, name, content, reason):
    bad = tmp_path / name
    bad.write_bytes(content)
    with pytest.raises(ValueError, match=rf"bad\.\w+: {reason}"):
        fetch(files(here / "tiny.json", bad))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda path: torch.save({"args": Namespace(lr=1)}, path),
            r"a pickle that would import argparse\.Namespace",
        ),
        (lambda path: torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(path), "a TorchScript archive"),
        (lambda path: path.with_suffix(".npz").write_text("<html>"), "truncated, or not a checkpoint"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_holds_more_than_weights_is_not_read(here, tmp_path, write, message):
    write(tmp_path / "more.pt")
    (path,) = tmp_path.iterdir()
    with pytest.raises(ValueError, match=rf"more\.\w+: {message}"):
        fetch(files(here / "tiny.json", path))


def test_what_training_left_beside_the_weights_does_no_harm(here, tmp_path):
    """open_clip's own training saves state_dict, optimizer and more, and `module.` before each name."""
    state = torch.load(here / "tiny.pt", weights_only=True)
    state = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": 1, "name": "mine", "state_dict": state}, tmp_path / "epoch_1.pt")
    found = fetch(files(here / "tiny.json", tmp_path / "epoch_1.pt")).model
    assert torch.equal(found.visual.proj, state["module.visual.proj"])


@pytest.mark.parametrize("space", ["pooled", "joint"])
def test_every_weight_that_full_fine_tuning_frees_gets_a_gradient(here, space):
    tower = load_image_tower(here / "saved", spec(feature_space=space))
    assert not [name for name, weight in tower.named_parameters() if weight.requires_grad]
    tower.unfreeze()
    tower(pictures()).square().sum().backward()
    freed = {name for name, weight in tower.named_parameters() if weight.requires_grad}
    assert freed == {name for name, weight in tower.named_parameters() if weight.grad is not None}
    assert ("projection.weight" in freed) == (space == "joint") and "visual.conv1.weight" in freed


def test_a_tower_without_a_linear_projection_needs_the_joint_space(tmp_path):
    config = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 4, "image_size": 32}
    (tmp_path / "resnet.json").write_text(json.dumps(TINY_CLIP | {"vision_cfg": config}))
    model = open_clip.CLIP(**(TINY_CLIP | {"vision_cfg": config}))
    torch.save(model.state_dict(), tmp_path / "resnet.pt")
    towers = fetch(files(tmp_path / "resnet.json", tmp_path / "resnet.pt"))
    save(tmp_path, towers)
    assert load_text_map(tmp_path) is None
    with pytest.raises(
        ValueError, match=r"feature_space = 'pooled': this tower has no linear projection; use feature_space: joint"
    ):
        load_image_tower(tmp_path, spec())
    assert load_image_tower(tmp_path, spec(feature_space="joint"))(pictures()).shape == (3, 16)


@pytest.mark.parametrize(("resize", "largest"), [("squash", 0), ("shortest", 0.02)])
@pytest.mark.parametrize("size", [(50, 20), (32, 32), (23, 61)])
def test_pictures_are_stored_as_the_model_takes_them(resize, largest, size):
    """Of a squashed picture every byte; of a cropped one all but what resizing before cropping mixes in."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    options = PreprocessCfg(size=32, mode="RGB", mean=(0, 0, 0), std=(1, 1, 1), resize_mode=resize)
    expected = image_transform_v2(options, is_train=False)(picture).permute(1, 2, 0).numpy()
    assert np.abs(square(picture, 32, resize) / np.float32(255) - expected).mean() <= largest
