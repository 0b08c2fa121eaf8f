"""Whether a checkpoint fits a model without being bent.

open_clip.load_checkpoint interpolates positions, of the picture and of the text, and invents a logit_bias of 0: right
for weights that are to be trained further, and other results than those of the model that was trained.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from zipfile import is_zipfile

import open_clip
import torch
from open_clip.transformer import VisionTransformer
from safetensors import safe_open
from torch import Tensor, nn

from ulfine.models.resolution import native

Shapes = dict[str, tuple[int, ...]]
IMAGE, TEXT, BIAS = "visual.positional_embedding", "text.positional_embedding", "logit_bias"


def shapes(path: Path) -> Shapes:
    """The shape of each tensor in a checkpoint, by open_clip's name of it; empty where it holds no tensors by name.

    Raises:
        Exception: what torch or safetensors raise for a file that is no checkpoint.
    """
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    elif path.suffix == ".npz":  # of big_vision, which open_clip does not bend
        found = {}
    else:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
        state = state.get("state_dict", state) if isinstance(state, Mapping) else {}
        found = {str(name): tuple(tensor.shape) for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if next(iter(found), "").startswith("module"):  # of training on several devices
        found = {name.removeprefix("module."): shape for name, shape in found.items()}
    if "positional_embedding" in found:  # OpenAI's naming of the text tower
        found[TEXT] = found["positional_embedding"]
    return found


def require_fits(model: open_clip.CustomTextCLIP, found: Shapes, path: Path, name: str) -> None:
    """Refuse what open_clip would bend to fit; what does not fit in another way, it refuses itself.

    Raises:
        ValueError: one line with the file, what it has, what the model `name` has, and what to do.
    """
    side = _side(model.visual, found)
    if side is not None:
        raise ValueError(
            f"{path}: has positions of a picture of {side} pixels, model {name} of {native(model.visual)}; name a "
            f"configuration (.json) with image_size: {side}"
        )
    positions = getattr(model.text, "positional_embedding", None)
    if positions is not None and TEXT in found and _differ(found[TEXT], positions):
        own = model.text.context_length
        length = found[TEXT][0] - len(positions) + own
        raise ValueError(
            f"{path}: has positions of {length} tokens, model {name} of {own}; name a configuration (.json) with "
            f"context_length: {length}"
        )
    if model.logit_bias is not None and found and BIAS not in found:
        raise ValueError(f"{path}: has no {BIAS}, which model {name} has; name a configuration without init_logit_bias")


def _side(visual: nn.Module, found: Shapes) -> int | None:
    """Side in pixels of the pictures that a checkpoint of the same patches has positions for, where it is another."""
    if isinstance(visual, VisionTransformer):
        same = found.get("visual.conv1.weight") == tuple(visual.conv1.weight.shape)
        if same and IMAGE in found and _differ(found[IMAGE], visual.positional_embedding):
            return math.isqrt(found[IMAGE][0] - 1) * visual.patch_size[0]
    return None


def _differ(shape: tuple[int, ...], positions: Tensor) -> bool:
    """Resize in length; another width is another model, which open_clip refuses."""
    return len(shape) == 2 and shape[0] != len(positions) and shape[1] == positions.shape[1]
