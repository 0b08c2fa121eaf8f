"""Damaged, hostile and foreign checkpoints and configurations: the backbone stage names each, and keeps nothing."""

import copy
import io
import json
import os
import pickle
import struct
from collections.abc import Callable

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save as tensors

from tests import project
from tests.project import TINY_CLIP


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return open_clip.CLIP(**TINY_CLIP).state_dict()


@pytest.fixture
def tiny(here, state, monkeypatch) -> Callable[..., None]:
    """tiny.json, tiny.pt, and a backbone of params.yaml that names them, or other things."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (here / "tiny.json").write_text(json.dumps(TINY_CLIP))
    torch.save(state, here / "tiny.pt")

    def use(**changes) -> None:
        params = copy.deepcopy(project.PARAMS)
        params["backbones"]["tiny"] |= changes
        params["backbones"]["tiny"] = {key: value for key, value in params["backbones"]["tiny"].items() if value}
        project.write_params(here, params)

    return use


class Command:
    def __reduce__(self):
        return os.system, ("touch hit",)


def saved(values: object) -> bytes:
    file = io.BytesIO()
    torch.save(values, file)
    return file.getvalue()


def script() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()


def header(text: str, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text.encode()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


TORN = "truncated, or not a checkpoint"
WEIGHT = "visual.conv1.weight"
ONE = '{"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%s]}}'
FILES: dict[str, tuple[str, Callable[[dict], bytes], str]] = {
    "pt, nothing": ("x.pt", lambda _: b"", TORN),
    "pt, a page": ("x.pt", lambda _: b"<html>404</html>", TORN),
    "pt, zeros": ("x.pt", lambda _: bytes(4096), TORN),
    "pt, cut": ("x.pt", lambda state: saved(state)[:-500], TORN),
    "pt, cut in half": ("x.pt", lambda state: saved(state)[:60_000], TORN),
    "pt, a command": (
        "x.pt",
        lambda state: saved(state | {"more": Command()}),
        "a pickle that would import posix.system",
    ),
    "pt, a command alone": ("x.pt", lambda _: saved(Command()), "a pickle that would import posix.system"),
    "pth, a plain pickle": ("x.pth", lambda _: pickle.dumps(Command()), TORN),
    "bin, a whole model": (
        "x.bin",
        lambda _: saved(torch.nn.Linear(2, 2)),
        "a pickle that would import torch.nn.modules",
    ),
    "pt, TorchScript": ("x.pt", lambda _: script(), "a TorchScript archive, which holds code"),
    "pt, a list": ("x.pt", lambda _: saved([1, 2]), "no weights by name in it"),
    "pt, nothing in it": ("x.pt", lambda _: saved({}), "no weights by name in it"),
    "pt, numbers": ("x.pt", lambda _: saved({"a": 1}), "does not fit model tiny.json: Missing key"),
    "pt, a weight missing": ("x.pt", lambda state: saved(without(state)), "does not fit model tiny.json: Missing key"),
    "pt, a weight too many": (
        "x.pt",
        lambda state: saved(state | {"more": torch.ones(1)}),
        "does not fit model tiny.json: Un",
    ),
    "pt, another shape": (
        "x.pt",
        lambda state: saved(state | {WEIGHT: torch.ones(9, 3, 8, 8)}),
        "does not fit model tiny.js",
    ),
    "safetensors, nothing": ("x.safetensors", lambda _: b"", TORN),
    "safetensors, a page": ("x.safetensors", lambda _: b"<html>404</html>", TORN),
    "safetensors, cut": ("x.safetensors", lambda state: tensors(state)[:-100], TORN),
    "safetensors, a header beyond its end": ("x.safetensors", lambda _: header("{}", 2**60), TORN),
    "safetensors, a header that is no JSON": ("x.safetensors", lambda _: header("{no}"), TORN),
    "safetensors, bytes beyond its end": ("x.safetensors", lambda _: header(ONE % (WEIGHT, "F32", 9, "0,36")), TORN),
    "safetensors, a type that is none": (
        "x.safetensors",
        lambda _: header(ONE % (WEIGHT, "F31", 1, "0,4")) + bytes(4),
        TORN,
    ),
    "safetensors, nothing in it": ("x.safetensors", lambda _: header("{}"), "no weights by name in it"),
    "npz, objects": ("x.npz", lambda _: npz(a=np.array([None], object)), "no weights by name in it, or not in the for"),
    "npz, a picture": ("x.npz", lambda _: b"\x89PNG\r\n", TORN),
}


def without(state: dict) -> dict:
    return {name: tensor for name, tensor in state.items() if name != WEIGHT}


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_checkpoint_of_the_model_is_refused(here, tiny, state, refused, case):
    name, content, reason = FILES[case]
    (here / name).write_bytes(content(state))
    tiny(pretrained=name)
    assert refused("backbone", backbone="tiny").startswith(f"{name}: {reason}")


VISION, TEXT = TINY_CLIP["vision_cfg"], TINY_CLIP["text_cfg"]
CONFIGS = {
    "nothing": ("", "tiny.json: not valid JSON"),
    "a page": ("<html>", "tiny.json: not valid JSON"),
    "a list": ("[]", "tiny.json: not a configuration of open_clip (open_clip_config.json: a mapping with embed"),
    "no text": (json.dumps({"embed_dim": 16, "vision_cfg": VISION}), "tiny.json: text_cfg: field required"),
    "a key of its own": (json.dumps(TINY_CLIP | {"size": "large"}), "model = 'tiny.json': cannot be built: TypeError:"),
    "a tower that is a word": (json.dumps(TINY_CLIP | {"vision_cfg": "ViT"}), "tiny.json: vision_cfg = 'ViT': input s"),
    "layers in words": (json.dumps(TINY_CLIP | {"vision_cfg": VISION | {"layers": "many"}}), "model = 'tiny.json': ca"),
    "patches of nothing": (json.dumps(TINY_CLIP | {"vision_cfg": VISION | {"patch_size": 0}}), "model = 'tiny.json': "),
    "a width of nothing": (json.dumps(TINY_CLIP | {"vision_cfg": VISION | {"width": 0}}), "model = 'tiny.json': canno"),
    "heads that do not divide": (json.dumps(TINY_CLIP | {"text_cfg": TEXT | {"heads": 3}}), "model = 'tiny.json': can"),
    "a model of timm that is none": (json.dumps(TINY_CLIP | {"vision_cfg": {"timm_model_name": "vit_huge_cat"}}), "mo"),
    "code of others": (
        json.dumps(TINY_CLIP | {"text_cfg": TEXT | {"tokenizer_kwargs": {"trust_remote_code": True}}}),
        "tiny.json: text_cfg.tokenizer_kwargs: asks for trust_remote_code; code of others is not run",
    ),
    "a text tower of the hub": (
        json.dumps(TINY_CLIP | {"text_cfg": {"hf_model_name": "no/such-model", "hf_tokenizer_name": "no/such-model"}}),
        "configuration and tokenizer of https://huggingface.co/no/such-model: not in the cache",
    ),
}


@pytest.mark.usefixtures("tiny")
def test_weights_that_are_not_finite_are_refused(here, state, refused):
    torch.save(state | {WEIGHT: torch.full_like(state[WEIGHT], np.nan)}, here / "tiny.pt")
    reason = "backbones.tiny: a blank picture has features that are not finite"
    assert refused("backbone", backbone="tiny").startswith(reason)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("case", CONFIGS)
def test_a_wrong_configuration_is_refused(here, tiny, refused, case):
    content, reason = CONFIGS[case]
    (here / "tiny.json").write_text(content)
    tiny()
    assert refused("backbone", backbone="tiny").startswith(reason)


NAMES = {
    "no such model": (
        {"model": "ViT-B-17", "pretrained": "openai"},
        "model = 'ViT-B-17' is not in open_clip.list_models()",
    ),
    "no such tag": (
        {"model": "ViT-B-16", "pretrained": "opnai"},
        "pretrained = 'opnai' of model ViT-B-16: neither a file",
    ),
    "no such file": ({"pretrained": "y.pt"}, "pretrained = 'y.pt': no such file"),
    "a folder for a file": ({"pretrained": "pictures.pt"}, "pretrained = 'pictures.pt': no such file"),
    "no such configuration": ({"model": "huge.json"}, "model = 'huge.json': no such file"),
    "the wrong activation": (
        {"model": "ViT-B-16", "pretrained": "openai"},
        "model = 'ViT-B-16': the weights of tag 'openai' were trained with QuickGELU, and this model runs GELU; use mo",
    ),
    "not cached": (
        {"model": "ViT-B-16-quickgelu", "pretrained": "openai"},
        "open_clip_model.safetensors or open_clip_pyto",
    ),
    "a hash that differs": ({"sha256": "0" * 64}, "tiny.pt: sha256 is "),
    "a repository that is none": (
        {"model": "hf-hub:cat", "pretrained": None},
        "params.yaml: backbones.tiny: model = 'hf-hub",
    ),
    "a folder that is none": (
        {"model": "local-dir:cat", "pretrained": None},
        "model = 'cat/open_clip_config.json': no such",
    ),
    "weights named twice": (
        {"model": "local-dir:cat"},
        "params.yaml: backbones.tiny: pretrained = 'tiny.pt': local-dir:cat",
    ),
    "no weights named": (
        {"pretrained": None},
        "params.yaml: backbones.tiny: model = 'tiny.json' needs the key pretrained",
    ),
    "a resolution between patches": (
        {"resolution": 33},
        "backbones.tiny: resolution = 33: this tower allows its own 32 and",
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_backbone_that_is_not_there_or_does_not_fit_is_refused(here, tiny, refused, case):
    changes, reason = NAMES[case]
    (here / "pictures.pt").mkdir()
    tiny(**changes)
    assert refused("backbone", backbone="tiny").startswith(reason)


def test_a_changed_checkpoint_is_noticed_by_the_check(tiny, refused):
    tiny(sha256="0" * 64)
    assert refused("check").startswith("tiny.pt: sha256 is ")
