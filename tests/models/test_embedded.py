"""The embedded backbone: real weights from their packages."""

import numpy as np
import pytest
import torch

from tests.helpers.project import ROOT
from tests.helpers.zero_shot import open_clips, ours, pictures
from ulfine.models.backbone import load_image_tower, load_text_map, load_text_tower, save
from ulfine.models.embedded import CONTEXT, assemble, ridge
from ulfine.models.tokens import cut_sentences, require_other_tokens, without_padding
from ulfine.params.backbone import Backbone

SPEC = Backbone(model="lite0-minilm", pretrained="embedded", resolution=64, precision="fp32", feature_space="pooled")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lite0")
    towers = assemble()
    save(folder, towers)
    return folder, towers


def test_ridge_is_the_solution_of_its_normal_equations():
    torch.manual_seed(0)
    inputs, outputs = torch.randn(20, 5, dtype=torch.float64), torch.randn(20, 3, dtype=torch.float64)
    strength = inputs.square().sum(1).mean()
    expected = torch.linalg.solve(inputs.T @ inputs + strength * torch.eye(5), inputs.T @ outputs)
    torch.testing.assert_close(ridge(inputs, outputs), expected)


@torch.inference_mode()
def test_the_saved_towers_give_the_same_features(made):
    folder, towers = made
    tower = load_image_tower(folder, SPEC)
    images = torch.randint(0, 256, (2, 28, 28, 3), dtype=torch.uint8)
    pooled = tower.pooled(images)
    assert pooled.shape == (2, 1280)
    torch.testing.assert_close(tower.joint(pooled), towers.model.encode_image(tower.prepare(images)))
    clip, tokenizer = load_text_tower(folder)
    names = ["a photo of a cat", "a photo of an ankle boot"]
    assert torch.equal(clip.encode_text(tokenizer(names)), towers.model.encode_text(towers.tokenizer(names)))
    assert load_text_map(folder).shape == (384, 1280)


def test_zero_shot_logits_are_those_of_open_clips_classifier(made):
    folder, towers = made
    expected = open_clips(towers.model, towers.tokenizer, pictures(64))
    np.testing.assert_allclose(ours(folder, SPEC, pictures(64)), expected, rtol=0, atol=1e-5)


def test_text_is_that_of_minilm(made):
    """Cosines of all-MiniLM-L6-v2: near for like meanings, far for others."""
    _, towers = made
    with torch.inference_mode():
        words = ["a dog", "a puppy", "a thunderstorm"]
        vectors = towers.model.encode_text(towers.tokenizer(words), normalize=True)
    cosine = vectors @ vectors.T
    assert cosine[0, 1] > 0.5 > cosine[0, 2]


@torch.inference_mode()
def test_its_text_tower_needs_no_padding(made):
    clip, tokenizer = load_text_tower(made[0])
    tokens = tokenizer(["a cat", "a photo of an ankle boot"])
    short = without_padding(clip, tokens)
    assert short.shape == (2, 8) and tokens.shape == (2, 32)
    torch.testing.assert_close(clip.encode_text(short), clip.encode_text(tokens), rtol=0, atol=1e-6)


def test_its_text_tower_reads_no_accent_and_says_what_it_cuts(made):
    """MiniLM's tokenizer drops accents, and replaces everything unknown by the same token."""
    tokenizer = load_text_tower(made[0])[1]
    require_other_tokens(tokenizer, {name: [f"a photo of a {name}"] for name in ("cat", "cats", "cat's")})
    for one, other in (("caf\u00e9", "cafe"), ("\U00013080", "\U00013081")):
        with pytest.raises(ValueError, match=f"cannot tell the classes '{one}' and '{other}' apart"):
            require_other_tokens(tokenizer, {one: [one], other: [other]})
    room = CONTEXT - 2  # for the tokens at both ends
    assert cut_sentences(tokenizer, {"cat": ["cat " * room]}) is None
    said = cut_sentences(tokenizer, {"dog": ["dog"], "cat": ["cat " * (room + 1)]})
    assert said == "1 sentence is cut at the text tower's 32 tokens, the first one of class 'cat'"


def test_the_saved_folder_names_no_place_on_this_machine(made):
    folder, _ = made
    for path in folder.iterdir():
        if path.suffix == ".json":
            text = path.read_text()
            assert str(ROOT) not in text and "site-packages" not in text and str(folder) not in text


def test_features_of_real_pictures_tell_classes_apart(made):
    """Nearest class mean from 20 pictures a class, on Fashion-MNIST: far above the 10 % of chance."""
    folder, _ = made
    tower = load_image_tower(folder, SPEC)
    with np.load(ROOT / "assets/fashion-mnist-mini.npz") as archive:
        images, labels = archive["train_images"], archive["train_labels"]
    chosen = np.concatenate([np.flatnonzero(labels == k)[:30] for k in range(10)])
    with torch.inference_mode():
        features = tower(torch.from_numpy(images[chosen][..., None].repeat(3, axis=-1))).reshape(10, 30, -1)
    means = torch.nn.functional.normalize(features[:, :20].mean(1), dim=-1)
    right = (features[:, 20:] @ means.T).argmax(-1) == torch.arange(10)[:, None]
    assert right.float().mean() > 0.4
