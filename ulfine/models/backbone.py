"""Backbones: an open_clip model kept in a folder, and loaded from there with no network.

The folder has open_clip's `local-dir:` layout: open_clip_config.json, open_clip_model.safetensors and, where it is one
of Hugging Face, the tokenizer and the configuration of the text tower. Beside them text_map.safetensors (text into the
pooled image space) and meta.json.
"""

import re
from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import _build_vision_tower
from open_clip.tokenizer import HFTokenizer
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig

from ulfine.arrays import read_tensors
from ulfine.errors import out_of_memory
from ulfine.files import read_json, sha256, write_json
from ulfine.models.resolution import (
    native,
    require_allowed,
    require_features,
    require_runs,
    resize_positions,
    set_input_size,
)
from ulfine.models.tower import ImageTower
from ulfine.params.backbone import Backbone

CONFIG, WEIGHTS, TEXT_MAP, META = (
    "open_clip_config.json",
    "open_clip_model.safetensors",
    "text_map.safetensors",
    "meta.json",
)
FEW = 3  # names that a line lists
Tokenizer = Callable[..., Tensor]  # sentences to (N, context length); `context_length` asks for another


@dataclass(frozen=True)
class Towers:
    """An open_clip model with separate towers, what is needed to build it again, and where it is from."""

    model: open_clip.CustomTextCLIP | open_clip.CoCa
    config: dict[str, Any]
    tokenizer: Tokenizer
    text_map: (
        Tensor | None
    )  # (E, D) text of the joint space into the pooled image space; None without a linear projection
    origin: str  # as params.yaml names it
    checkpoints: dict[str, str]  # sha256 of the files that the weights came in, by name
    revision: str | None  # commit of the hub
    text: dict[str, str | None]  # commits of the repositories of the text tower


def build(config: dict[str, Any]) -> open_clip.CustomTextCLIP | open_clip.CoCa:
    """The model that a configuration describes, with random weights and separate towers.

    Raises:
        ValueError: its text tower is not one of transformers. Whatever a configuration is wrong in else: anything.
    """
    if config["text_cfg"].get("hf_model_name"):
        _require_native(config["text_cfg"]["hf_model_name"])
    kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP
    return kind(**{key: value for key, value in config.items() if key != "custom_text"}).eval()


def _require_native(folder: str) -> None:
    """Refuse a text tower that brings its own code: open_clip would let transformers ask whether to run it."""
    if type(AutoConfig.from_pretrained(folder, trust_remote_code=False)) not in MODEL_MAPPING:
        raise ValueError(f"{folder}: config.json: not a model of transformers; code of others is not run")


def tokenizer(text: dict[str, Any]) -> Tokenizer:
    """That of a text configuration, as open_clip chooses it."""
    options = {"context_length": text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH)}
    options |= text.get("tokenizer_kwargs") or {}
    if text.get("hf_tokenizer_name"):
        options |= {"tokenizer_mode": text.get("tokenizer_mode"), "trust_remote_code": False}
        return HFTokenizer(text["hf_tokenizer_name"], **options)
    return open_clip.SimpleTokenizer(**options)


def save(folder: Path, towers: Towers) -> None:
    """Fill `folder` from `towers`."""
    config = deepcopy(towers.config) | {"custom_text": True}
    vision, text = config["vision_cfg"], config["text_cfg"]
    if vision.get("timm_model_name"):
        vision["timm_model_pretrained"] = False
    if text.get("hf_model_name"):
        text |= {"hf_model_name": ".", "hf_model_pretrained": False}
        towers.model.text.config.save_pretrained(folder)
    if text.get("hf_tokenizer_name"):
        text["hf_tokenizer_name"] = "."
        towers.tokenizer.save_pretrained(str(folder))
    preprocess = dict(towers.model.visual.preprocess_cfg)
    write_json(folder / CONFIG, {"model_cfg": config, "preprocess_cfg": preprocess})
    save_file({name: tensor.contiguous() for name, tensor in towers.model.state_dict().items()}, folder / WEIGHTS)
    if towers.text_map is not None:
        save_file({"text_map": towers.text_map.contiguous()}, folder / TEXT_MAP)
    write_json(folder / META, _identity(towers, preprocess) | {"sha256": sha256(folder / WEIGHTS)})


def _identity(towers: Towers, preprocess: dict[str, Any]) -> dict[str, Any]:
    """The identity of a backbone: its origin, and how it sees pictures and scales logits."""
    bias = towers.model.logit_bias
    return {
        "checkpoints": towers.checkpoints,
        "logit_bias": None if bias is None else bias.item(),
        "logit_scale": towers.model.logit_scale.exp().item(),
        "open_clip": open_clip.__version__,
        "origin": towers.origin,
        "resolution": native(towers.model.visual),
        "revision": towers.revision,
        "text": towers.text,
    } | {key: preprocess[key] for key in ("mean", "std", "interpolation")}


def load_image_tower(folder: Path, backbone: Backbone) -> ImageTower:
    """The image tower up to where classifiers work.

    Raises:
        ValueError: as `load_visual` says, or the tower has no such feature space.
    """
    return ImageTower(load_visual(folder, backbone.resolution), backbone, read_json(folder / CONFIG)["preprocess_cfg"])


def load_frozen_tower(folder: Path, backbone: Backbone) -> ImageTower:
    """The image tower for features: nobody will tune it."""
    tower = load_image_tower(folder, backbone)
    tower.settle()
    return tower


def load_visual(folder: Path, resolution: int) -> nn.Module:
    """open_clip's image tower alone, at `resolution`; position embeddings are resized where it differs.

    Raises:
        ValueError: the tower cannot run at this resolution; the weights are truncated or do not fit the configuration.
    """
    config = read_json(folder / CONFIG)
    model = config["model_cfg"]
    vision = model["vision_cfg"] | {"image_size": resolution}  # timm's towers are built at their own
    visual = _build_vision_tower(model["embed_dim"], vision, model.get("quick_gelu", False))
    require_allowed(visual, config["preprocess_cfg"]["size"], resolution)
    weights = _tensors(folder / WEIGHTS, "visual.")
    resize_positions(weights, visual, resolution)
    _load(visual, {name.removeprefix("visual."): tensor for name, tensor in weights.items()}, folder / WEIGHTS)
    set_input_size(visual, resolution)
    return visual


def load_text_tower(folder: Path) -> tuple[nn.Module, Tokenizer]:
    """An open_clip model whose `encode_text` works, and its tokenizer."""
    model = read_json(folder / CONFIG)["model_cfg"]
    text = model["text_cfg"]
    text |= {name: str(folder) for name in ("hf_model_name", "hf_tokenizer_name") if text.get(name)}
    clip = build(model)
    _load(clip, _tensors(folder / WEIGHTS, ""), folder / WEIGHTS)
    return clip, tokenizer(text)


@torch.inference_mode()
def require_usable(folder: Path, backbone: Backbone) -> None:
    """Embed a blank picture and a sentence, so that no later stage finds out that it cannot.

    Raises:
        ValueError: a tower cannot run, or does not give finite features of the joint space.
    """
    width = read_json(folder / CONFIG)["model_cfg"]["embed_dim"]
    require_runs(load_image_tower(folder, backbone), width)
    clip, tokenize = load_text_tower(folder)
    try:
        text = clip.encode_text(tokenize(["a photo of a cat"]), normalize=True)
    except Exception as error:  # open_clip and transformers raise anything for a text tower that is configured wrong
        if out_of_memory(error):
            raise
        message = " ".join(str(error).split())
        raise ValueError(f"the text tower cannot take a sentence ({type(error).__name__}: {message})") from None
    require_features("a sentence", text, width)


def load_text_map(folder: Path) -> Tensor | None:
    """(E, D) map of text into the pooled image space; None where the projection is not linear."""
    path = folder / TEXT_MAP
    return torch.from_numpy(read_tensors(path)["text_map"]) if path.exists() else None


def mismatch(error: Exception) -> str:
    """Torch's complaint about weights that do not fit, with a few of their names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = []
    for begin, what in (("Missing key", "lacks"), ("Unexpected key", "has too much:")):
        found = [name for line in lines if line.startswith(begin) for name in re.findall(r'"([^"]+)"', line)]
        said += [f"{what} {few(found)}"] if found else []
        lines = [line for line in lines if not line.startswith(begin)]
    details = lines[1:] or ([] if said else lines or [type(error).__name__])
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return "; ".join([*said, *(f"{line}{more}" for line in details[:1])])


def few(names: Collection[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return f"{', '.join(islice(names, FEW))}{more}"


def _tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    except OSError:
        raise
    except Exception as error:  # safetensors raises its own type, which derives from Exception alone
        if out_of_memory(error):
            raise
        raise ValueError(f"{path}: truncated, or not a .safetensors file ({error}); delete it and run again") from None


def _load(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: does not fit its configuration: {mismatch(error)}") from None
