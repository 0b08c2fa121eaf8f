"""Zero-shot logits by the pipeline and by open_clip itself, for the same pictures and sentences."""

from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from tests.helpers.pictures import SIMPLE
from ulfine.data.features import Features
from ulfine.data.sentences import sentences
from ulfine.data.store import Store
from ulfine.methods.zero_shot import zero_shot_logits
from ulfine.models.backbone import load_image_tower, load_text_map, load_text_tower
from ulfine.models.extract import extract_images, extract_text
from ulfine.params.augmentation import Augmentation
from ulfine.params.backbone import Backbone

CLASSES = ["cat", "ankle boot", "thunderstorm", "tench"]
TEMPLATES = ["a photo of a {}.", "a drawing of the {}!"]


def pictures(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, side, side, 3), np.uint8)


def ours(folder: Path, spec: Backbone, images: np.ndarray) -> np.ndarray:
    store = Store({"train": images[:1], "test": images}, {}, {"classes": CLASSES})
    features = Features(folder.with_name(f"{folder.name}-features"))
    features.folder.mkdir()
    tower, augmentation = load_image_tower(folder, spec), Augmentation(**SIMPLE)
    pictures = dict.fromkeys(("plain", "weak", "strong"), np.arange(1))
    extract_images(
        features.folder, store, tower, augmentation, pictures, space="joint", seed=0, device=torch.device("cpu")
    )
    said = sentences(CLASSES, TEMPLATES, "source")
    extract_text(
        features.folder, *load_text_tower(folder), load_text_map(folder), dict(zip(CLASSES, said, strict=True)), said
    )
    return zero_shot_logits(features.view("test", "joint"), features.text("joint"))


@torch.inference_mode()
def open_clips(model: torch.nn.Module, tokenizer: open_clip.SimpleTokenizer, images: np.ndarray) -> np.ndarray:
    """In float64 once open_clip has its features and classifier, as 1e-5 is asked of logits near 100.

    Convolutions run in the tower's memory layout: another rounds otherwise, by 1e-5 in a logit, and each is 2e-5 away
    from the same model in float64.
    """
    preprocess = model.visual.preprocess_cfg | {"size": images.shape[1]}
    transform = image_transform_v2(PreprocessCfg(**preprocess), is_train=False)
    batch = torch.stack([transform(Image.fromarray(image)) for image in images])
    model, batch = (x.to(memory_format=torch.channels_last) for x in (model.eval(), batch))
    weights = open_clip.build_zero_shot_classifier(model, tokenizer, CLASSES, TEMPLATES).double()
    features = torch.nn.functional.normalize(model.encode_image(batch).double(), dim=-1)
    bias = 0 if model.logit_bias is None else model.logit_bias.double()
    return (model.logit_scale.double().exp() * features @ weights + bias).numpy()
