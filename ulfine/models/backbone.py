"""Backbones: an open_clip model, fetched once, kept in a folder, and loaded from there with no network.

The folder has open_clip's `local-dir:` layout: open_clip_config.json, open_clip_model.safetensors and, where the text
tower is a Hugging Face model, its configuration and tokenizer. Beside them lift.safetensors (text into the pooled image
space) and meta.json.
"""

import difflib
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # what torch raises for a file that it refuses; nothing is unpickled
from types import SimpleNamespace
from typing import Any

import open_clip
import torch
from open_clip.model import _build_vision_tower, resize_pos_embed
from open_clip.tokenizer import HFTokenizer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ulfine.arrays import read_tensors
from ulfine.files import read_json, sha256, write_json
from ulfine.models.tower import ImageTower, linear_projection
from ulfine.params.backbone import Backbone

CONFIG, WEIGHTS, LIFT, META = "open_clip_config.json", "open_clip_model.safetensors", "lift.safetensors", "meta.json"
CHECKPOINTS = (".pt", ".pth", ".bin", ".safetensors")


@dataclass(frozen=True)
class Towers:
    """An open_clip model with separate towers, and what is needed to build it again."""

    model: open_clip.CustomTextCLIP
    config: dict[str, Any]
    tokenizer: Callable[[list[str]], Tensor]
    lift: Tensor | None  # (E, D) text of the joint space into the pooled image space; None without a linear projection


def fetch(model: str, pretrained: str) -> Towers:
    """The model under open_clip's name, with weights by tag (downloaded) or from a checkpoint file.

    Raises:
        ValueError: no such model or tag, weights that do not fit, or weights trained with another activation.
        FileNotFoundError: there is no such checkpoint.
    """
    if model.endswith(".json"):
        if not Path(model).is_file():
            raise ValueError(f"model = {model!r}: no such file")
        open_clip.add_model_config(model)
        model = Path(model).stem
    if model not in open_clip.list_models():
        near = difflib.get_close_matches(model, open_clip.list_models(), n=3)
        raise ValueError(f"model = {model!r} is not in open_clip.list_models() (near: {', '.join(near) or 'none'})")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained not in tags and not Path(pretrained).is_file():
        reason = "no such file" if pretrained.endswith(CHECKPOINTS) else f"neither a file nor one of the tags {tags}"
        raise ValueError(f"pretrained = {pretrained!r} of model {model}: {reason}")
    with warnings.catch_warnings():
        # open_clip warns of it and runs the wrong activation (open_clip#771)
        warnings.filterwarnings("error", message="QuickGELU mismatch")
        try:
            clip = open_clip.create_model(model, pretrained, force_custom_text=True)
        except (UnpicklingError, SafetensorError, EOFError) as error:
            raise ValueError(f"{pretrained}: truncated, or not a checkpoint ({type(error).__name__})") from None
        except (RuntimeError, KeyError) as error:
            if "zip archive" in str(error) or "legacy .tar" in str(error):
                raise ValueError(f"{pretrained}: truncated, or not a checkpoint") from None
            if "Failed to download" in str(error):
                raise ValueError(
                    f"pretrained = {pretrained!r} of model {model} cannot be downloaded; without a network, place its "
                    "checkpoint here and name the file instead"
                ) from None
            raise ValueError(f"{pretrained}: does not fit model {model}: {_first_mismatch(error)}") from None
        except UserWarning as warning:
            raise ValueError(f"model = {model!r}: {warning} Use {model}-quickgelu.") from None
    projection = linear_projection(clip.visual)
    lift = projection.weight.detach() if projection is not None else None
    return Towers(clip.eval(), open_clip.get_model_config(model), open_clip.get_tokenizer(model), lift)


def save(folder: Path, towers: Towers, origin: str) -> None:
    """Fill `folder` from `towers`; `origin` says in meta.json where the weights came from."""
    config = deepcopy(towers.config) | {"custom_text": True}
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    if "hf_model_name" in config["text_cfg"]:
        config["text_cfg"] |= {"hf_model_name": ".", "hf_tokenizer_name": ".", "hf_model_pretrained": False}
        towers.model.text.config.save_pretrained(folder)
    if isinstance(towers.tokenizer, HFTokenizer):
        towers.tokenizer.save_pretrained(str(folder))
    write_json(folder / CONFIG, {"model_cfg": config, "preprocess_cfg": dict(towers.model.visual.preprocess_cfg)})
    state = {name: tensor.contiguous() for name, tensor in towers.model.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    if towers.lift is not None:
        save_file({"lift": towers.lift.contiguous()}, folder / LIFT)
    meta = {"open_clip": open_clip.__version__, "origin": origin, "sha256": sha256(folder / WEIGHTS)}
    write_json(folder / META, meta)


def load_image_tower(folder: Path, backbone: Backbone) -> ImageTower:
    """The image tower alone, at `backbone.resolution`; position embeddings are resized where it differs.

    Raises:
        ValueError: the weights are truncated or do not fit the configuration.
    """
    config = read_json(folder / CONFIG)
    model = config["model_cfg"]
    vision = model["vision_cfg"] | {"image_size": backbone.resolution}
    visual = _build_vision_tower(model["embed_dim"], vision, model.get("quick_gelu", False))
    weights = _tensors(folder / WEIGHTS, "visual.")
    resize_pos_embed(weights, SimpleNamespace(visual=visual))
    _load(visual, {name.removeprefix("visual."): tensor for name, tensor in weights.items()}, folder / WEIGHTS)
    if backbone.resolution != model["vision_cfg"]["image_size"] and hasattr(visual, "set_input_size"):
        visual.set_input_size(backbone.resolution)
    return ImageTower(visual, backbone, config["preprocess_cfg"])


def load_text_tower(folder: Path) -> tuple[nn.Module, Callable[[list[str]], Tensor]]:
    """An open_clip model whose `encode_text` works, and its tokenizer."""
    model = read_json(folder / CONFIG)["model_cfg"]
    if "hf_model_name" in model["text_cfg"]:
        model["text_cfg"]["hf_model_name"] = str(folder)
    kept = {key: value for key, value in model.items() if key != "custom_text"}
    clip = open_clip.CustomTextCLIP(**kept)
    _load(clip, _tensors(folder / WEIGHTS, ""), folder / WEIGHTS)
    return clip.eval(), open_clip.get_tokenizer(f"local-dir:{folder}")


def load_lift(folder: Path) -> Tensor | None:
    """(E, D) map of text into the pooled image space; None where the projection is not linear."""
    path = folder / LIFT
    return torch.from_numpy(read_tensors(path)["lift"]) if path.exists() else None


def _tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    except OSError:
        raise
    except Exception as error:  # safetensors raises its own type, which derives from Exception alone
        raise ValueError(f"{path}: truncated, or not a .safetensors file ({error}); delete it and run again") from None


def _load(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: does not fit its configuration: {_first_mismatch(error)}") from None


def _first_mismatch(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    details = lines[1:] or lines
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{details[0]}{more}"
