"""Checkpoints whose weights lie elsewhere, or under other names, than open_clip looks: why, and what to do.

Nothing is bent to fit: which of several weights somebody meant, they have to say.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor, nn

from ulfine.models.backbone import few
from ulfine.models.fits import Shapes

DEEP = 3  # keys above the weights that are looked through
TRANSFORMERS = ("vision_model.", "text_model.")
APPLE = "image_encoder.model."  # of Apple's MobileCLIP, which open_clip converts
Keys = tuple[str, ...]


def require_own_names(model: nn.Module, found: Shapes, path: Path) -> None:
    """Refuse a checkpoint of which open_clip would find no weight, or those of one tower alone.

    found: what open_clip would see in it.

    Raises:
        ValueError: it is; the message says where the weights are, or what their names begin with.
    """
    own, names = set(model.state_dict()), _names(found)
    if path.suffix == ".npz" or own <= names or any(name.startswith(APPLE) for name in names):
        return
    prefix = _prefix(found, own)
    wrappers = [] if own & names or prefix else _wrappers(path, own)
    if wrappers:
        raise ValueError(f"{path}: {_wrapped(wrappers)}")
    if not names:
        raise ValueError(f"{path}: no weights by name in it")
    if any(name.startswith(TRANSFORMERS) for name in names):
        raise ValueError(
            f"{path}: has the names of a CLIPModel of transformers ({few(found)}), not those of open_clip; use a tag, "
            "or an hf-hub: repository in open_clip's layout"
        )
    if prefix:
        number = sum(name.startswith(prefix) for name in found)
        raise ValueError(
            f"{path}: {number} of its {len(found)} names begin with {prefix!r}, which those of open_clip do not; save "
            f"its weights as .safetensors, each under name.partition({prefix!r})[2]"
        )
    for tower, begin in (("image", "visual."), ("text", "text.")):
        bare = {name.removeprefix(begin) for name in own if name.startswith(begin)}
        if all(name.startswith(begin) for name in names) or len(bare & found.keys()) > len(own & names):
            raise ValueError(
                f"{path}: holds the {tower} tower alone ({few(found)}); both are needed, with the names of open_clip "
                "(visual.…, text.…, logit_scale)"
            )


def _names(found: Iterable[str]) -> set[str]:
    """As open_clip takes them: OpenAI's naming of the text tower is one that it knows."""
    return set(convert_to_custom_text_state_dict(dict.fromkeys(found)))


def _prefix(found: Iterable[str], own: set[str]) -> str | None:
    """The prefix of the model's names, if there is one."""
    best, most = None, len(own & _names(found))
    tried = {name[: place + 1] for name in found for place, sign in enumerate(name) if sign == "."}
    for prefix in sorted(tried, key=len):
        inside = _names(name.removeprefix(prefix) for name in found if name.startswith(prefix))
        if len(own & inside) > most:
            best, most = prefix, len(own & inside)
    return best


def _wrappers(path: Path, own: set[str]) -> list[Keys]:
    """The keys under which weights by name lie: those of this model, else all."""
    if path.suffix in (".safetensors", ".npz"):
        return []
    held = _mappings(torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path)), ())
    named = {keys: [name for name in inside if isinstance(name, str)] for keys, inside in held}
    right = [keys for keys, names in named.items() if own & _names(names) or _prefix(names, own)]
    return right or [keys for keys, names in named.items() if names]


def _mappings(state: Any, keys: Keys) -> Iterator[tuple[Keys, Mapping]]:
    """Mappings inside of `state` that hold tensors, by the keys that lead to them."""
    if not isinstance(state, Mapping) or len(keys) > DEEP:
        return
    for key, inside in state.items():
        if isinstance(inside, Mapping):
            if any(isinstance(value, Tensor) for value in inside.values()):
                yield (*keys, str(key)), inside
            else:
                yield from _mappings(inside, (*keys, str(key)))


def _wrapped(wrappers: list[Keys]) -> str:
    first = "".join(f"[{key!r}]" for key in wrappers[0])
    return (
        f"its weights lie under {few([repr('/'.join(keys)) for keys in wrappers])}, where open_clip does not look; "
        f"save torch.load(FILE){first} as .safetensors and name that"
    )
