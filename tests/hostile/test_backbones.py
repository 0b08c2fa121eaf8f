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
from open_clip.model import convert_to_custom_text_state_dict
from safetensors.torch import save as tensors

from tests.helpers import project
from tests.helpers.project import TINY_CLIP
from ulfine.models.fetch import fetch
from ulfine.params.backbone import Backbone


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
    "pt, nothing": ("x.pt", lambda _: b"", "an empty file"),
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
    "pt, numbers": ("x.pt", lambda _: saved({"a": 1}), "no weights by name in it"),
    "pt, a weight missing": ("x.pt", lambda state: saved(without(state)), "does not fit model tiny.json: lacks vis"),
    "pt, a weight too many": (
        "x.pt",
        lambda state: saved(state | {"more": torch.ones(1)}),
        "does not fit model tiny.json: has too much: more",
    ),
    "pt, another shape": (
        "x.pt",
        lambda state: saved(state | {WEIGHT: torch.ones(9, 3, 8, 8)}),
        "does not fit model tiny.js",
    ),
    "safetensors, nothing": ("x.safetensors", lambda _: b"", "an empty file"),
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


def under(prefix: str) -> Callable[[dict], bytes]:
    return lambda state: saved({prefix + name: tensor for name, tensor in state.items()})


def tower(begin: str, shown: str) -> Callable[[dict], bytes]:
    """One tower alone, by open_clip's separate names, or by its own."""

    def content(state: dict) -> bytes:
        state = convert_to_custom_text_state_dict(state)
        return saved({shown + name.removeprefix(begin): state[name] for name in state if name.startswith(begin)})

    return content


def of_transformers(_: dict) -> bytes:
    names = ("text_model.embeddings.position_ids", "vision_model.pre_layrnorm.weight", "logit_scale", "text_projection")
    return saved(dict.fromkeys(names, torch.ones(1)))


OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
FOREIGN: dict[str, tuple[str, Callable[[dict], bytes], str]] = {
    "under model": (
        "x.pt",
        lambda state: saved({"epoch": 3, "model": state, "optimizer": OPTIMIZER}),
        "its weights lie under 'model', where open_clip does not look; save torch.load(FILE)['model'] as .safetensors",
    ),
    **{
        f"under {key}": ("x.bin", lambda state, key=key: saved({key: state}), f"its weights lie under '{key}', where")
        for key in ("model_state_dict", "module", "ema", "net", "params")
    },
    "under two": (
        "x.pth",
        lambda state: saved({"model": state, "ema": state}),
        "its weights lie under 'model', 'ema',",
    ),
    "under many": (
        "x.pt",
        lambda state: saved({f"m{number}": state for number in range(9)}),
        "its weights lie under 'm0', 'm1', 'm2' and 6 more, where open_clip does not look; save torch.load(FILE)['m0']",
    ),
    "under two keys": (
        "x.pt",
        lambda state: saved({"checkpoint": {"model": state, "step": 1}}),
        "its weights lie under 'checkpoint/model', where open_clip does not look; save torch.load(FILE)['checkpoint'][",
    ),
    "under state_dict and another": (
        "x.pt",
        lambda state: saved({"state_dict": {"model": state}}),
        "its weights lie under 'state_dict/model', where",
    ),
    "under model, with a prefix": (
        "x.pt",
        lambda state: saved(
            {"model": {f"module.{name}": tensor for name, tensor in state.items()}, "ema": {"a": torch.ones(1)}}
        ),
        "its weights lie under 'model', where open_clip does not look",
    ),
    "under model, of another network": (
        "x.pt",
        lambda _: saved({"model": torch.nn.Linear(2, 2).state_dict()}),
        "its weights lie under 'model', where",
    ),
    **{
        f"all with {prefix}": (
            "x.pt",
            under(prefix),
            f"50 of its 50 names begin with '{prefix}', which those of open_clip do not; save its weights as .saf",
        )
        for prefix in ("model.", "_orig_mod.", "clip.", "model.clip.", "base_model.model.", "_orig_mod.module.")
    },
    "with a prefix behind the one that open_clip takes off": (
        "x.pt",
        under("module.model."),
        "50 of its 50 names begin with 'model.', which those of open_clip do not; save its weights as .safetensors, "
        "each under name.partition('model.')[2]",
    ),
    "with a prefix under the wrapper that open_clip takes off": (
        "x.pt",
        lambda state: saved({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}, "epoch": 3}),
        "50 of its 50 names begin with 'model.', which",
    ),
    "most with a prefix": (
        "x.safetensors",
        lambda state: tensors(
            {f"clip.{name}": tensor for name, tensor in state.items()} | {"head.bias": torch.ones(2)}
        ),
        "50 of its 51 names begin with 'clip.', which",
    ),
    "the image tower": (
        "x.pt",
        tower("visual.", "visual."),
        "holds the image tower alone (visual.class_embedding, vis",
    ),
    "the image tower by its own names": (
        "x.pt",
        tower("visual.", ""),
        "holds the image tower alone (class_embedding, ",
    ),
    "the text tower": ("x.pt", tower("text.", "text."), "holds the text tower alone (text."),
    "the text tower by OpenAI's names": ("x.pt", tower("text.", ""), "holds the text tower alone ("),
    "of transformers": (
        "x.bin",
        of_transformers,
        "has the names of a CLIPModel of transformers (text_model.embeddings",
    ),
    "another network": (
        "x.pt",
        lambda _: saved({f"layer{number}.weight": torch.ones(1) for number in range(200)}),
        "does not fit model tiny.json: lacks ",
    ),
    "a pickle as safetensors": (
        "x.safetensors",
        saved,
        "a file of torch.save under the name of a .safetensors; rename",
    ),
    "an old pickle as safetensors": (
        "x.safetensors",
        lambda _: pickle.dumps({}),
        "a file of torch.save under the name of a .safetensors; rename it to .pt",
    ),
    "safetensors as pt": ("x.pt", tensors, "a .safetensors file under the name of a .pt; rename it to .safetensors"),
    "safetensors as bin": ("x.bin", tensors, "a .safetensors file under the name of a .bin; rename it to .safetensors"),
    "a pointer": (
        "x.pt",
        lambda _: b"version https://git-lfs.github.com/spec/v1\n",
        "a pointer of git-lfs, not the file",
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_weights_that_lie_elsewhere_are_refused_with_the_place_in_a_short_line(here, tiny, state, refused, case):
    name, content, reason = FOREIGN[case]
    (here / name).write_bytes(content(state))
    tiny(pretrained=name)
    line = refused("backbone", backbone="tiny")
    assert line.startswith(f"{name}: {reason}") and len(line) < 300


@pytest.mark.parametrize(
    "wrap", [lambda state: {"state_dict": state}, lambda state: {f"module.{k}": v for k, v in state.items()}]
)
def test_what_open_clip_unwraps_itself_is_read(here, tiny, state, wrap):
    torch.save(wrap(state), here / "tiny.pt")
    tiny()
    found = fetch(Backbone(**project.PARAMS["backbones"]["tiny"]))
    assert torch.equal(found.model.state_dict()[WEIGHT], state[WEIGHT])


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
    "a folder for a file": (
        {"pretrained": "pictures.pt"},
        "pretrained = 'pictures.pt': is a folder; name the file in it, or a folder",
    ),
    "no such configuration": ({"model": "huge.json"}, "model = 'huge.json': no such file"),
    "the wrong activation": (
        {"model": "ViT-B-16", "pretrained": "openai"},
        "model = 'ViT-B-16': the weights of tag 'openai' were trained with QuickGELU, and this model runs GELU; use mo",
    ),
    "not cached": (
        {"model": "ViT-B-16-quickgelu", "pretrained": "openai"},
        "open_clip_model.safetensors or open_clip_pyto",
    ),
    "a file without an ending": (
        {"model": "ViT-B-32", "pretrained": "pictures"},
        "pretrained = 'pictures' of model ViT-B-32: is no tag, and lies here without an ending that is read (",
    ),
    "a configuration that is a folder": (
        {"model": "local-dir:params.yaml", "pretrained": None},
        "model = 'params.yaml/o",
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
    stage, names = ("resolve", {}) if reason.startswith("params.yaml") else ("backbone", {"backbone": "tiny"})
    assert refused(stage, **names).startswith(reason)


def test_a_changed_checkpoint_is_noticed_by_the_check(tiny, refused):
    tiny(sha256="0" * 64)
    assert refused("resolve").startswith("tiny.pt: sha256 is ")
