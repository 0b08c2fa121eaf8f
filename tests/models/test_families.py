"""A model of each family of open_clip, of true size with random weights, through the folder that we keep.

Left out for memory and time: the larger models of each family (L, H, g, bigG, e; EVA02-E; convnext_xxlarge; mt5-xl,
xlm-roberta-large, nllb-clip-large), whose code is that of the smaller ones.
"""

import gc
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import M2M100Config, MT5Config, PreTrainedTokenizerFast, RobertaConfig, XLMRobertaConfig

from ulfine.models import hub
from ulfine.models.backbone import load_image_tower, load_text_map, load_text_tower, save
from ulfine.models.fetch import fetch
from ulfine.params.backbone import Backbone

SENTENCES = ["a photo of a cat", "A photo of an ankle boot."]
BASE = {"max_position_embeddings": 514, "type_vocab_size": 1}
TEXT = {  # those of the hub, in their true size
    "roberta-base": RobertaConfig(vocab_size=50265, **BASE),
    "xlm-roberta-base": XLMRobertaConfig(vocab_size=250002, **BASE),
    "google/mt5-base": MT5Config(vocab_size=250112, d_model=768, d_ff=2048, num_layers=12, num_heads=12, d_kv=64),
    "facebook/nllb-200-distilled-600M": M2M100Config(vocab_size=256206),
}
POOLED = (
    "ViT-B-32",
    "ViT-B-32-quickgelu",
    "coca_ViT-B-32",
    "coca_roberta-ViT-B-32",
    "ViT-L-14-CLIPA",
    "roberta-ViT-B-32",
    "xlm-roberta-base-ViT-B-32",
    "mt5-base-ViT-B-32",
    "nllb-clip-base",
    "convnext_base",
    "swin_base_patch4_window7_224",
    "vit_relpos_medium_patch16_cls_224",
    "vit_medium_patch16_gap_256",
    "ViTamin-S",
)
JOINT = (
    "RN50",
    "convnext_large_d",
    "EVA02-B-16",
    "MobileCLIP-S1",
    "MobileCLIP-B",
    "MobileCLIP2-S0",
    "PE-Core-S-16-384",
    "ViT-B-16-SigLIP",
    "ViT-B-16-SigLIP2",
    "nllb-clip-base-siglip",
)


def write_text_files(folder: Path, name: str) -> Path:
    """Write a small tokenizer and the configuration of a text tower, as the hub has them."""
    special = ["<s>", "<pad>", "</s>", "<unk>"] if TEXT.get(name) and TEXT[name].pad_token_id else ["<pad>", "</s>"]
    words = [*special, "<unk>"] if "<unk>" not in special else special
    words = [*words, *sorted({word for sentence in SENTENCES for word in sentence.rstrip(".").split()})]
    vocabulary = {word: number for number, word in enumerate(words)}
    rule = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106
    rule.pre_tokenizer = pre_tokenizers.Whitespace()
    rule.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])])
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>", "sep_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=rule, **names).save_pretrained(folder)
    if name in TEXT:
        TEXT[name].save_pretrained(folder)
    return folder


@pytest.fixture
def hub_folders(tmp_path, monkeypatch):
    """Serve the files of the hub, by repository, from local folders."""

    def text_files(repository, revision):
        assert revision is None
        folder = tmp_path / repository.replace("/", "--")
        return folder if folder.exists() else write_text_files(folder, repository)

    monkeypatch.setattr(hub, "text_files", text_files)
    return text_files


@pytest.fixture
def reference(hub_folders, monkeypatch):
    """open_clip's own model and tokenizer, made by open_clip; only where the hub's files are is changed."""

    def of(name: str, **vision) -> tuple[torch.nn.Module, Callable]:
        config = open_clip.get_model_config(name)
        config["vision_cfg"] |= vision
        for key in ("hf_model_name", "hf_tokenizer_name"):
            if key in config["text_cfg"]:
                config["text_cfg"][key] = str(hub_folders(config["text_cfg"][key], None))
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "reference", config)
        model = open_clip.create_model("reference", pretrained_hf=False).eval()
        reads = open_clip.get_tokenizer("reference")
        monkeypatch.delitem(open_clip.factory._MODEL_CONFIGS, "reference")
        return model, reads

    return of


def pictures(side: int) -> torch.Tensor:
    return torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.isfinite().all() and expected.std() > 0
    scale = expected.abs().max().item()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*POOLED, *JOINT])
@torch.inference_mode()
def test_features_are_open_clips_through_the_folder_that_is_kept(tmp_path, reference, name):
    torch.manual_seed(0)
    model, reads = reference(name)
    weights = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), weights)
    space = "pooled" if name in POOLED else "joint"
    spec = Backbone(model=name, pretrained=str(weights), resolution=224, precision="fp32", feature_space=space)
    kept = tmp_path / "kept"
    kept.mkdir()
    save(kept, fetch(spec))

    side = open_clip.get_model_config(name)["vision_cfg"]["image_size"]
    tower = load_image_tower(kept, spec.model_copy(update={"resolution": side}))
    pooled, prepared = tower.pooled(pictures(side)), tower.prepare(pictures(side))
    expected = model.encode_image(prepared)
    if isinstance(model, open_clip.CoCa):  # it normalises unless told not to
        expected = model.encode_image(prepared, normalize=False)
    close(tower.joint(pooled), expected)
    width = open_clip.get_model_config(name)["embed_dim"]
    assert tower.joint(pooled).shape == (2, width)
    text_map = load_text_map(kept)
    assert (text_map is None) == (space == "joint") and (text_map is None or text_map.shape == (width, pooled.shape[1]))

    clip, tokenizer = load_text_tower(kept)
    tokens = tokenizer(SENTENCES)
    assert torch.equal(tokens, reads(SENTENCES)) and tokens[0].tolist() != tokens[1].tolist()
    text = clip.encode_text(tokens, normalize=True)
    assert text.shape == (2, width)
    close(text, model.encode_text(tokens, normalize=True))
    assert clip.logit_scale == model.logit_scale and clip.logit_bias == model.logit_bias
    del model, clip, tower
    gc.collect()

    other = load_image_tower(kept, spec.model_copy(update={"resolution": 160 if "14" not in name else 168}))
    side = other.backbone.resolution
    if name != "RN50":  # whose positions open_clip does not interpolate
        resized = reference(name, image_size=side)[0]
        open_clip.load_checkpoint(resized, str(weights))
        if "timm_model_name" in open_clip.get_model_config(name)["vision_cfg"]:
            resized.visual.set_input_size(side)
        resized = resized.visual(other.prepare(pictures(side)))
        close(other.joint(other.pooled(pictures(side))), resized[0] if isinstance(resized, tuple) else resized)
