"""Models and weights that `backbones.<name>` may name, and errors before anything is downloaded."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import open_clip
import pytest
import torch
from huggingface_hub import HfApi, constants
from huggingface_hub._tree_cache import TreeCacheEntry, write_tree_cache
from open_clip.factory import _find_checkpoint_in_dir
from safetensors.torch import save_file

from tests.helpers.project import ROOT, TINY_CLIP
from ulfine.files import read_json, sha256
from ulfine.models import hub
from ulfine.models import pretrained as module
from ulfine.models.backbone import build, load_image_tower, load_text_tower, save
from ulfine.models.configuration import Interpolation
from ulfine.models.fetch import fetch
from ulfine.models.pretrained import find_pretrained, require_tag
from ulfine.models.weights import checkpoint_in, require_unchanged
from ulfine.params.backbone import Backbone

COMMIT = 40 * "a"
HALF = [0.5, 0.5, 0.5]
CONFIG = {"model_cfg": TINY_CLIP, "preprocess_cfg": {"mean": HALF, "interpolation": "bilinear"}}


def spec(model: str, pretrained: str | None = None, **more: str) -> Backbone:
    here = {"model": model, "pretrained": pretrained, "resolution": 32, "precision": "fp32", "feature_space": "pooled"}
    return Backbone(**here | more)


def refused(message: str, model: str, pretrained: str | None = None, **more: str) -> None:
    with pytest.raises(ValueError, match=message):
        fetch(spec(model, pretrained, **more))


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build(TINY_CLIP).state_dict()


def write_folder(folder: Path, config: dict = CONFIG) -> Path:
    folder.mkdir()
    save_file(weights(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Set an empty cache of huggingface_hub, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def write_cached(cache: Path, repository: str, files: dict[str, bytes], commit: str = COMMIT) -> None:
    """Write a cache as huggingface_hub does: blobs named by hash, links to them by commit, and the commit of main."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    for name in ("blobs", "refs", f"snapshots/{commit}"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "refs/main").write_text(commit)
    for name, content in files.items():
        blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        link = folder / "snapshots" / commit / name
        link.unlink(missing_ok=True)
        link.symlink_to(blob)


def test_every_tag_can_be_prepared_for():
    """The tower supports the preprocessing of every model that open_clip lists."""
    tags = [open_clip.get_pretrained_cfg(*pair) for pair in open_clip.list_pretrained()]
    assert len(tags) >= 196
    assert {tag["interpolation"] for tag in tags} <= set(get_args(Interpolation))
    assert all(len(tag["mean"]) == len(tag["std"]) == 3 and "mode" not in tag for tag in tags)


def test_a_tag_runs_with_the_activation_it_was_trained_with():
    """Each of the 28 pairs that open_clip 3.3 warns of is refused and a right one named, except the one without."""
    wrong = {}
    for model, tag in open_clip.list_pretrained():
        try:
            require_tag(model, tag)
        except ValueError as error:
            wrong[model, tag] = str(error).rsplit("use model: ", 1)[1]
    assert len(wrong) == 27 and ("roberta-ViT-B-32", "laion2b_s12b_b32k") not in wrong
    assert wrong["ViT-B-16", "openai"] == "ViT-B-16-quickgelu"
    assert wrong["ViT-H-14-worldwide", "metaclip2_worldwide"] == "ViT-H-14-worldwide-quickgelu"
    for (_, tag), right in wrong.items():
        require_tag(right, tag)
        assert open_clip.get_model_config(right)["quick_gelu"] == open_clip.get_pretrained_cfg(right, tag)["quick_gelu"]


def test_a_wrong_activation_without_a_right_model_is_refused_too(monkeypatch):
    monkeypatch.setattr(module, "BELIEVED", set())
    with pytest.raises(ValueError, match="with GELU, and this model runs QuickGELU; no model of open_clip has"):
        require_tag("roberta-ViT-B-32", "laion2b_s12b_b32k")


def test_the_wrong_activation_is_refused_before_any_download(monkeypatch):
    monkeypatch.setattr(hub, "file", None)
    refused(
        "'ViT-B-16': the weights of tag 'openai' were trained with QuickGELU.*use model: ViT-B-16-qu",
        "ViT-B-16",
        "openai",
    )
    model = "ViT-B-32-quickgelu"
    refused(f"'laion2b_s34b_b79k' of model {model}: use model: ViT-B-32, which has it", model, "laion2b_s34b_b79k")


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("ViT-B-16-quickgel", "openai", r"'ViT-B-16-quickgel' is not in .* \(near: ViT-B-16-quickgelu"),
        ("ViT-B-16-quickgelu", "opnai", r"'opnai' of model ViT-B-16-quickgelu: neither a file nor one of the tags"),
        ("ViT-B-16", "weights/none.pt", r"pretrained = 'weights/none\.pt': no such file"),
        ("none.json", "tiny.pt", r"model = 'none\.json': no such file"),
        ("local-dir:none", None, r"model = 'none/open_clip_config\.json': no such file"),
    ],
)
def test_what_does_not_exist_is_named(model, pretrained, message):
    refused(message, model, pretrained)


def test_a_folder_brings_its_configuration_and_its_weights(tmp_path):
    folder = write_folder(tmp_path / "theirs")
    towers = fetch(spec(f"local-dir:{folder}"))
    assert towers.checkpoints == {"open_clip_model.safetensors": sha256(folder / "open_clip_model.safetensors")}
    kept = tmp_path / "kept"
    kept.mkdir()
    save(kept, towers)
    meta = read_json(kept / "meta.json")
    assert (
        meta["origin"] == f"local-dir:{folder}"
        and meta["revision"] is None
        and meta["text"] == {}
        and meta["logit_bias"] is None
    )
    assert (meta["mean"], meta["interpolation"], meta["resolution"]) == (HALF, "bilinear", 32)
    assert meta["logit_scale"] == pytest.approx(1 / 0.07) and meta["sha256"] == sha256(
        kept / "open_clip_model.safetensors"
    )
    tower = load_image_tower(kept, spec("local-dir:x"))
    assert tower.mean.flatten().tolist() == HALF and tower.interpolation == "bilinear"
    again = fetch(spec(f"local-dir:{kept}"))  # what we keep is such a folder too
    assert all(torch.equal(again.model.state_dict()[name], tensor) for name, tensor in weights().items())


def vision(**changes) -> dict:
    return {"model_cfg": TINY_CLIP | {"vision_cfg": TINY_CLIP["vision_cfg"] | changes}}


def text(**changes) -> dict:
    return {"model_cfg": TINY_CLIP | {"text_cfg": TINY_CLIP["text_cfg"] | changes}}


def prepare(given: object) -> dict:
    return {"model_cfg": TINY_CLIP, "preprocess_cfg": given}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([1], "not a configuration of open_clip"),
        ({"model_cfg": None}, "model_cfg = None: input should be a section"),
        ({"model_cfg": "embed_dim vision_cfg text_cfg"}, "model_cfg = 'embed_dim .*: input should be a section"),
        ({"model_cfg": {"embed_dim": 8}}, r"model_cfg\.vision_cfg: field required"),
        (TINY_CLIP | {"text_cfg": [1]}, "text_cfg: input should be a section"),
        (prepare([1]), "preprocess_cfg: input should be a section"),
        (prepare({"interpolation": "nearest"}), "interpolation = 'nearest': input should be 'bicubic' or 'bilinear'"),
        (prepare({"mode": "L"}), "mode = 'L': input should be 'RGB'"),
        (prepare({"mean": [0.5, 0.5]}), r"mean: has too few entries: 2 \(allowed: at least 3\)"),
        (prepare({"mean": 0.5}), "mean = 0.5: input should be a list"),
        (prepare({"mean": ["a", "b", "c"]}), r"mean\.0 = 'a': input should be a number"),
        (prepare({"std": [1]}), r"std: has too few entries: 1 \(allowed: at least 3\)"),
        (prepare({"std": [0.5, 0, 0.5]}), r"std\.1 = 0: input should be greater than 0"),
        (prepare({"std": [-1, -1, -1]}), r"std\.0 = -1: input should be greater than 0"),
        (vision(image_size=[32, 64]), r"image_size: \[32, 64\] is not a side in pixels"),
        (vision(image_size="32"), "image_size = '32': '32' is not a side in pixels"),
        (vision(timm_model_name="hf-hub:timm/vit"), r"timm_model_name = 'hf-hub:timm/vit': .* timm\.list_models\(\)"),
        (text(hf_model_name=5), "hf_model_name = 5: input should be text"),
        (text(hf_tokenizer_name=5), "hf_tokenizer_name = 5: input should be text"),
        (text(tokenizer_kwargs=["a"]), "tokenizer_kwargs: input should be a section"),
        (text(tokenizer_kwargs="a"), "tokenizer_kwargs = 'a': input should be a section"),
        (text(tokenizer_kwargs={"reduction_mask": "syntax"}), "asks for reduction_mask; it draws"),
        (text(tokenizer_kwargs={"bpe_path": "words"}), "asks for bpe_path; a vocabulary outside"),
        (text(tokenizer_kwargs={"trust_remote_code": True}), "asks for trust_remote_code; code of others is not run"),
        (text(output_tokens=True), r"text_cfg\.output_tokens: needs multimodal_cfg \(CoCa\)"),
    ],
)
def test_a_configuration_that_is_malformed_is_one_line_with_file_and_key(tmp_path, config, message):
    folder = write_folder(tmp_path / "theirs", config)
    refused(rf"^{folder}/open_clip_config\.json: (model_cfg.*|preprocess_cfg.*)?{message}.*$", f"local-dir:{folder}")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_cfg": TINY_CLIP | {"vision_cfg": {"depth": 3}}}, r"built: TypeError: .* argument 'depth'"),
        (text(tokenizer_kwargs={"clean": "x"}), "theirs: no tokenizer can be made: AssertionError"),
    ],
)
def test_a_configuration_that_cannot_be_honoured_is_refused(tmp_path, config, message):
    refused(message, f"local-dir:{write_folder(tmp_path / 'theirs', config)}")


@pytest.mark.parametrize("code", [{"AutoConfig": "code.C", "AutoModel": "code.M"}, {"AutoModel": "code.M"}])
def test_code_of_a_text_tower_is_not_run_nor_asked_about(tmp_path, monkeypatch, code):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run code of others"))
    folder = write_folder(tmp_path / "theirs", text(hf_model_name=".", hf_pooler_type="mean_pooler"))
    kind = "nobodys" if "AutoConfig" in code else "clap_text_model"
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "auto_map": code}))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    refused(rf"cannot be built: ValueError: .*{folder}", f"local-dir:{folder}")
    assert not (tmp_path / "ran").exists()


def test_code_of_a_tokenizer_is_not_run_nor_asked_about(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run code of others"))
    folder = write_folder(tmp_path / "theirs", text(hf_tokenizer_name="."))
    (folder / "vocab.txt").write_text("a")
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["code.T", null]}}')
    refused(rf"{folder}: no tokenizer can be made: ", f"local-dir:{folder}")


def test_a_folder_without_weights_is_refused(tmp_path):
    (write_folder(tmp_path / "theirs") / "open_clip_model.safetensors").unlink()
    refused("holds no checkpoint", f"local-dir:{tmp_path / 'theirs'}")


@pytest.mark.parametrize(
    "names", [["b.bin", "a.pth"], ["b.pth", "z.safetensors"], ["a.safetensors", "pytorch_model.bin", "model.pth"]]
)
def test_a_folder_with_several_checkpoints_is_read_as_open_clip_reads_it(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    assert str(checkpoint_in(tmp_path)) == _find_checkpoint_in_dir(tmp_path)


def test_a_check_sees_a_checkpoint_that_changed_and_lets_pass_what_is_not_there(tmp_path):
    folder = write_folder(tmp_path / "theirs")
    found = sha256(folder / "open_clip_model.safetensors")
    require_unchanged(spec(f"local-dir:{folder}", sha256=found))
    require_unchanged(spec(f"local-dir:{tmp_path / 'none'}", sha256=found))
    require_unchanged(spec("ViT-B-32", "none.pt", sha256=found))
    for names in ([f"local-dir:{folder}"], ["ViT-B-32", str(folder / "open_clip_model.safetensors")]):
        with pytest.raises(ValueError, match=rf"open_clip_model\.safetensors: sha256 is {found}, params\.yaml .* 0000"):
            require_unchanged(spec(*names, sha256=64 * "0"))


def test_a_checkpoint_that_changed_is_refused(tmp_path):
    folder = write_folder(tmp_path / "theirs")
    found = sha256(folder / "open_clip_model.safetensors")
    fetch(spec(f"local-dir:{folder}", sha256=found))
    refused(f"sha256 is {found}, params.yaml expects 0000", f"local-dir:{folder}", sha256=64 * "0")


def test_a_checkpoint_of_a_known_model_is_prepared_as_its_tags_are(tmp_path):
    """Unlike open_clip, which would give SigLIP's weights CLIP's mean; the tags of ViT-L-14 differ in theirs."""
    (tmp_path / "w.pt").touch()
    found = {
        name: find_pretrained(spec(name, str(tmp_path / "w.pt"))).preprocess for name in ("ViT-L-14", "MobileCLIP-S1")
    }
    assert found["ViT-L-14"]["mean"] == open_clip.OPENAI_DATASET_MEAN and found["MobileCLIP-S1"]["mean"] == (0, 0, 0)
    assert found["MobileCLIP-S1"]["interpolation"] == "bilinear"


def test_a_repository_of_the_hub_is_read_from_its_cache(tmp_path, cache):
    folder = write_folder(tmp_path / "theirs")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_cached(cache, "org/tiny", files)
    towers = fetch(spec("hf-hub:org/tiny"))
    assert towers.revision == COMMIT and towers.model.visual.preprocess_cfg["mean"] == HALF
    assert fetch(spec(f"hf-hub:org/tiny@{COMMIT}")).checkpoints == towers.checkpoints
    refused(
        r"open_clip_config\.json of https://huggingface\.co/org/tiny: .*\.json --revision other`",
        "hf-hub:org/tiny@other",
    )


def test_a_repository_is_read_at_one_commit(tmp_path, cache, monkeypatch):
    """main moves on between the downloads of the configuration and the weights."""
    folder = write_folder(tmp_path / "theirs")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    config, checkpoint = sorted(files)
    write_cached(cache, "org/tiny", {config: files[config]})
    download, asked = hub.hf_hub_download, []

    def later(repository, name, revision, local_files_only):
        if not local_files_only:
            asked.append((name, revision))
            write_cached(cache, repository, {name: files[name]}, 40 * "b")
            write_cached(cache, repository, {name: files[name]}, revision or 40 * "b")
        return download(repository, name, revision=revision, local_files_only=True)

    monkeypatch.setattr(hub, "hf_hub_download", later)
    towers = fetch(spec("hf-hub:org/tiny"))
    assert asked == [(checkpoint, COMMIT)] and towers.revision == COMMIT


def write_listed(cache: Path, repository: str, names: list[str]) -> None:
    """The listing by which huggingface_hub knows that a snapshot is whole."""
    entry = {"size": 1, "blob_id": 40 * "a", "lfs_sha256": None, "lfs_size": None, "xet_hash": None}
    write_tree_cache(
        str(cache / f"models--{repository.replace('/', '--')}"), COMMIT, dict.fromkeys(names, TreeCacheEntry(**entry))
    )


def test_text_files_that_are_all_in_the_cache_are_not_asked_for(cache, monkeypatch):
    asked = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "repo_info", lambda *_, **__: asked.append(1) or (_ for _ in ()).throw(OSError("asked")))
    names = ["config.json", "tokenizer.json"]
    write_cached(cache, "org/text", {"config.json": b"{}"})
    with pytest.raises(ValueError, match="asked"):  # nothing tells whether there is more
        hub.text_files("org/text", None)
    write_listed(cache, "org/text", names)
    with pytest.raises(ValueError, match="asked"):  # tokenizer.json is missing
        hub.text_files("org/text", None)
    write_cached(cache, "org/text", {"tokenizer.json": b"{} "})
    assert hub.revision(hub.text_files("org/text", None)) == COMMIT and len(asked) == 2


def test_a_small_file_is_proved_by_gits_hash(cache):
    write_cached(cache, "org/text", {"config.json": b"hello\n"})
    folder = hub.text_files("org/text", None)
    (folder / "config.json").unlink()
    blob = cache / "models--org--text/blobs/ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    blob.write_bytes(b"hello\n")
    (folder / "config.json").symlink_to(blob)
    assert hub.text_files("org/text", None) == folder
    blob.write_bytes(b"hallo\n")
    with pytest.raises(ValueError, match=rf"{blob}: its git's hash is [0-9a-f]+, not its name: a damaged download"):
        hub.text_files("org/text", None)


def test_the_commit_of_a_text_towers_files_is_recorded(tmp_path, cache):
    (tmp_path / "w.pt").touch()
    write_cached(cache, "timm/ViT-B-16-SigLIP", {"config.json": b"{}"})
    assert find_pretrained(spec("ViT-B-16-SigLIP", str(tmp_path / "w.pt"))).text == {"timm/ViT-B-16-SigLIP": COMMIT}


def test_a_damaged_download_is_refused(tmp_path, cache):
    folder = write_folder(tmp_path / "theirs")
    write_cached(cache, "org/tiny", {path.name: path.read_bytes() for path in folder.iterdir()})
    (blob,) = [path for path in cache.glob("*/blobs/*") if path.stat().st_size > 10_000]
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    refused(rf"{blob}: its sha256 is .* a damaged download; delete it and run again", "hf-hub:org/tiny")


def test_without_a_network_the_message_says_what_is_missing_and_what_to_do(cache):
    advice = (
        rf"not in the cache {cache} \(HF_HUB_CACHE, or hub/ in HF_HOME\), and HF_HUB_OFFLINE is set; run `hf download "
        rf"timm/vit_base_patch16_clip_224\.openai open_clip_model\.safetensors` where there is a network and copy the "
        r"cache here, or place the files and name them"
    )
    refused(advice, "ViT-B-16-quickgelu", "openai")


def test_a_text_tower_of_the_hub_is_asked_for_in_the_same_words(tmp_path, cache):
    (tmp_path / "w.pt").touch()
    advice = r"configuration and tokenizer of https://huggingface\.co/roberta-base: not in .*; run `hf download"
    refused(rf'{advice} roberta-base --include "\*\.json"', "roberta-ViT-B-32", str(tmp_path / "w.pt"))
    refused("timm/ViT-B-16-SigLIP: not in the cache", "ViT-B-16-SigLIP", str(tmp_path / "w.pt"))
    write_cached(cache, "roberta-base", {"config.json": b'{"model_type": "roberta", "num_hidden_layers": 1}'})
    refused(
        r"no tokenizer in it \(allowed: tokenizer\.json, vocab\.\*, \*\.model\)",
        "roberta-ViT-B-32",
        str(tmp_path / "w.pt"),
    )


OFFLINE = """
import socket, sys
from pathlib import Path

def connect(*_):
    raise AssertionError("asked for the network")

socket.socket.connect = socket.getaddrinfo = connect
from ulfine.models.backbone import load_image_tower, load_text_tower
from ulfine.params.backbone import Backbone
folder = Path(sys.argv[1])
shape = {"resolution": 64, "precision": "fp32", "feature_space": "pooled"}
load_image_tower(folder, Backbone(model="x", pretrained="y", **shape))
clip, tokenizer = load_text_tower(folder)
print(tuple(clip.encode_text(tokenizer(["a cat"])).shape))
"""


@pytest.mark.slow
@pytest.mark.parametrize("offline", [{"HF_HUB_OFFLINE": "1"}, {}])
def test_what_is_kept_needs_no_network_and_no_cache(tmp_path, offline):
    from ulfine.models import embedded

    kept = tmp_path / "kept"
    kept.mkdir()
    save(kept, embedded.assemble())
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "empty")} | offline
    command = [sys.executable, "-c", OFFLINE, str(kept)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "(1, 384)"
    assert not list((tmp_path / "empty").rglob("*.json"))


def test_loading_is_the_same_for_tokens_as_when_fetched(tmp_path):
    towers = fetch(spec(f"local-dir:{write_folder(tmp_path / 'theirs')}"))
    kept = tmp_path / "kept"
    kept.mkdir()
    save(kept, towers)
    _, tokenizer = load_text_tower(kept)
    assert torch.equal(tokenizer(["a cat"]), towers.tokenizer(["a cat"])) and tokenizer(["a"]).shape == (1, 16)
