"""An open_clip model with its weights, made from what `ulfine/models/pretrained.py` finds."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError  # what torch raises for a file that it refuses; nothing is unpickled
from typing import Any
from zipfile import BadZipFile

import open_clip
import torch
from open_clip.model import set_model_preprocess_cfg
from safetensors import SafetensorError
from torch import nn

from ulfine.errors import machine_failed, out_of_memory
from ulfine.files import proved
from ulfine.models import hub
from ulfine.models.backbone import Tokenizer, Towers, build, mismatch, tokenizer
from ulfine.models.fits import BIAS, require_fits, shapes
from ulfine.models.foreign import require_own_names
from ulfine.models.pretrained import find_pretrained
from ulfine.models.resolution import native
from ulfine.models.tower import linear_projection
from ulfine.params.backbone import Backbone

POINTER = b"version https://"
PICKLES = (b"PK\x03\x04", b"\x80")  # zip archives, and files of torch before 1.6
# without one of these, transformers makes a tokenizer that knows no word
VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model")


def fetch(spec: Backbone) -> Towers:
    """The model that `spec` names, with its weights: downloaded, or of this machine.

    Raises:
        ValueError: it does not exist, cannot be had, was changed, or its weights do not fit; nothing is unpickled.
    """
    found = find_pretrained(spec)
    digest = proved(found.checkpoint, spec.sha256)
    config = found.config
    reads = _tokenizer(config["text_cfg"], spec.model)
    with _naming_weights(found.checkpoint, spec.model):
        held = shapes(found.checkpoint) if spec.local else {}  # releases of open_clip itself need its conversions
    if BIAS in held and config.get("init_logit_bias") is None:
        config = config | {"init_logit_bias": 0.0}  # trained with SigLIP's loss; a model's name does not tell
    model = _built(config, spec.model)
    if spec.local:
        require_own_names(model, held, found.checkpoint)
        require_fits(model, held, found.checkpoint, spec.model)
    with _naming_weights(found.checkpoint, spec.model):
        open_clip.load_checkpoint(model, str(found.checkpoint), strict=True, weights_only=True)
    set_model_preprocess_cfg(model, found.preprocess | {"size": native(model.visual)})
    projection = linear_projection(model.visual)
    return Towers(
        model,
        config,
        reads,
        text_map=projection.weight.detach() if projection is not None else None,
        origin=spec.origin,
        checkpoints={found.checkpoint.name: digest},
        revision=hub.revision(found.checkpoint),
        text=found.text,
    )


def _built(config: dict[str, Any], name: str) -> nn.Module:
    try:
        return build(config)
    except Exception as error:  # open_clip, timm and transformers raise anything for a configuration that is wrong
        if out_of_memory(error):
            raise
        raise ValueError(f"model = {name!r}: cannot be built: {_one_line(error)}") from None


def _tokenizer(text: dict[str, Any], name: str) -> Tokenizer:
    where = text.get("hf_tokenizer_name")
    if where and not any(path for pattern in VOCABULARIES for path in Path(where).glob(pattern)):
        raise ValueError(f"{where}: no tokenizer in it (allowed: {', '.join(VOCABULARIES)}); {hub.AGAIN}")
    try:
        return tokenizer(text)
    except Exception as error:  # as above, of transformers alone
        if out_of_memory(error):
            raise
        raise ValueError(f"{where or name}: no tokenizer can be made: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def _naming_weights(path: Path, name: str) -> Iterator[None]:
    """Turn any error of reading a checkpoint into one line that names it."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's, of a TorchScript archive: the error says it too
            yield
    except Exception as error:  # of a file that is anything but a checkpoint of this model
        if machine_failed(error):
            raise
        reason = _unreadable(path, error)
        raise ValueError(f"{path}: {reason or f'does not fit model {name}: {mismatch(error)}'}") from None


def _unreadable(path: Path, error: Exception) -> str | None:
    """The reason why a file is no checkpoint that may be read; None where it is one."""
    advice = "save its state_dict as .safetensors, or use a tag"
    if other := _other_kind(path):
        return other
    if "TorchScript archive" in str(error):
        return f"a TorchScript archive, which holds code; {advice}"
    if isinstance(error, UnpicklingError) and (names := _foreign(path)):
        return f"a pickle that would import {', '.join(names[:3])}; {advice}"
    damaged = isinstance(error, UnpicklingError | SafetensorError | EOFError | BadZipFile | OSError)
    if damaged or any(words in str(error) for words in ("zip archive", "legacy .tar", "allow_pickle")):
        return "truncated, or not a checkpoint"
    if isinstance(error, StopIteration | AttributeError):  # open_clip looks at the first name in a dictionary
        return "no weights by name in it, or not in the format of this model"
    return None


def _other_kind(path: Path) -> str | None:
    """The kind of a file whose name does not tell it, by its first bytes."""
    with path.open("rb") as file:
        begin = file.read(16)
    tensors = path.suffix == ".safetensors"
    if not begin:
        return "an empty file"
    if begin.startswith(POINTER):
        return "a pointer of git-lfs, not the file itself; run git lfs pull"
    if tensors and begin.startswith(PICKLES):
        return "a file of torch.save under the name of a .safetensors; rename it to .pt"
    if not tensors and begin[8:9] == b"{" and int.from_bytes(begin[:8], "little") < path.stat().st_size:
        return f"a .safetensors file under the name of a {path.suffix}; rename it to .safetensors"
    return None


def _foreign(path: Path) -> list[str]:
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # it is no pickle at all
        return []
