"""Zero-shot logits are those of open_clip's own classifier."""

import json
import math
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg
from safetensors.torch import save_file

from tests.helpers.project import TINY_CLIP
from tests.helpers.zero_shot import open_clips, ours, pictures
from ulfine.models.backbone import build, save
from ulfine.models.fetch import fetch
from ulfine.params.backbone import Backbone

TINY_SIGLIP = {
    "embed_dim": 64,
    "custom_text": True,
    "init_logit_bias": -16.5,
    "vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none", "image_size": 160},
    "text_cfg": TINY_CLIP["text_cfg"]
    | {
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "tokenizer_kwargs": {"clean": "canonicalize"},  # without punctuation
    },
}
HALF = (0.5, 0.5, 0.5)
MODELS = {
    "vit": (TINY_CLIP | {"custom_text": True}, {}),
    "quickgelu": (TINY_CLIP | {"custom_text": True, "quick_gelu": True}, {}),
    "siglip": (TINY_SIGLIP, {"mean": HALF, "std": HALF}),
}


def write_open_clips_layout(folder: Path, config: dict, preprocess: dict) -> None:
    """Random weights with the scale of trained models, 100, which is larger than the initial one."""
    folder.mkdir()
    torch.manual_seed(0)
    model = build(deepcopy(config))
    model.logit_scale.data.fill_(math.log(100))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = asdict(PreprocessCfg()) | preprocess
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_open_clips_classifier(tmp_path, name):
    write_open_clips_layout(tmp_path / name, *MODELS[name])
    where = f"local-dir:{tmp_path / name}"
    model, tokenizer = open_clip.create_model(where), open_clip.get_tokenizer(where)
    side = model.visual.preprocess_cfg["size"][0]
    spec = Backbone(model=where, resolution=side, precision="fp32", feature_space="joint")
    kept = tmp_path / "kept"
    kept.mkdir()
    save(kept, fetch(spec))
    expected = open_clips(model, tokenizer, pictures(side))
    assert expected.std() > 1  # of 100 times a cosine, and so not the same for all
    np.testing.assert_allclose(ours(kept, spec, pictures(side)), expected, rtol=0, atol=1e-5)
