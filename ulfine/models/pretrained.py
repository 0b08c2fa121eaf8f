"""Where an open_clip model comes from: which configuration, pre-processing and checkpoint `backbones.<name>` means.

What is wrong with a name, a tag or an activation is said before anything is downloaded.
"""

import difflib
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip.constants import HF_CONFIG_NAME, HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.pretrained import _get_safe_alternatives
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from ulfine.files import located
from ulfine.models import hub
from ulfine.models.configuration import read_configuration
from ulfine.models.weights import checkpoint_in
from ulfine.params.backbone import ENDINGS, FOLDER, HUB, HUB_NAME, Backbone

QUICKGELU = "-quickgelu"
# Its tag says nothing, which reads as GELU, and it has no twin: the configuration is believed, as open_clip does.
BELIEVED = {("roberta-ViT-B-32", "laion2b_s12b_b32k")}


@dataclass(frozen=True)
class Pretrained:
    """All that a backbone is made from, on this machine.

    Names of Hugging Face in the configuration are folders here, and no tower has weights of its own.
    """

    config: dict[str, Any]  # open_clip's model_cfg
    preprocess: dict[str, Any]  # open_clip's preprocess_cfg
    checkpoint: Path
    text: dict[str, str | None]  # commit of each repository that the text tower has files of


def find_pretrained(spec: Backbone) -> Pretrained:
    """Find what `spec` names, and download what is not here.

    Raises:
        ValueError: there is no such model, tag or file, or its configuration is not one of open_clip.
    """
    if spec.model.startswith(HUB):
        return _from_hub(spec.model)
    if spec.model.startswith(FOLDER):
        return _from_folder(located(spec.model.removeprefix(FOLDER)))
    if spec.model.endswith(".json"):
        config, given = read_configuration(_existing("model", spec.model))
        return _complete(config, given, _existing("pretrained", spec.pretrained))
    return _built_in(spec)


def _built_in(spec: Backbone) -> Pretrained:
    model, pretrained = spec.model, spec.pretrained
    if model not in open_clip.list_models():
        near = difflib.get_close_matches(model, open_clip.list_models(), n=3)
        raise ValueError(f"model = {model!r} is not in open_clip.list_models() (near: {', '.join(near) or 'none'})")
    config = open_clip.get_model_config(model)
    if spec.checkpoint:
        return _complete(config, _shared_by_tags(model), _existing("pretrained", pretrained))
    require_tag(model, pretrained)
    tag = open_clip.get_pretrained_cfg(model, pretrained)
    repository, _, name = tag["hf_hub"].rpartition("/")
    name = name or HF_WEIGHTS_NAME
    return _complete(config, tag, hub.file(repository, [*_get_safe_alternatives(name), name], None))


def require_tag(model: str, tag: str) -> None:
    """Refuse a tag that a model lacks, or whose weights were trained with another activation; name the right model.

    open_clip warns of an activation, and runs the wrong one (mlfoundations/open_clip#771).
    """
    twin = f"{model.removesuffix(QUICKGELU)}{'' if model.endswith(QUICKGELU) else QUICKGELU}"
    offered = bool(open_clip.get_pretrained_cfg(twin, tag))
    if not open_clip.get_pretrained_cfg(model, tag):
        tags = open_clip.list_pretrained_tags_by_model(model)
        hint = f"use model: {twin}, which has it" if offered else f"neither a file nor one of the tags {tags}"
        if located(tag).exists() and not offered:
            hint = f"is no tag, and lies here without an ending that is read ({ENDINGS})"
        raise ValueError(f"pretrained = {tag!r} of model {model}: {hint}")
    trained = open_clip.get_pretrained_cfg(model, tag).get("quick_gelu", False)
    if trained == _quick_gelu(model) or (model, tag) in BELIEVED:
        return
    one, other = ("QuickGELU", "GELU") if trained else ("GELU", "QuickGELU")
    right = offered and _quick_gelu(twin) == trained
    advice = f"use model: {twin}" if right else "no model of open_clip has this tag with the right one"
    raise ValueError(
        f"model = {model!r}: the weights of tag {tag!r} were trained with {one}, and this model runs {other}; {advice}"
    )


def _quick_gelu(model: str) -> bool:
    return open_clip.get_model_config(model).get("quick_gelu", False)


def _shared_by_tags(model: str) -> dict[str, Any]:
    """Pre-processing of a checkpoint that does not tell its own: that of the model's tags, open_clip's if they differ.

    open_clip gives CLIP's mean and std to any file, also to weights of SigLIP.
    """
    tags = [open_clip.get_pretrained_cfg(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model)]
    return {
        key: tags[0][key]
        for key in ("mean", "std", "interpolation")
        if tags and all(tag[key] == tags[0][key] for tag in tags)
    }


def _from_hub(model: str) -> Pretrained:
    """All of one commit, also where the repository changes between two downloads, or the cache holds several."""
    repository, revision = HUB_NAME.fullmatch(model).group("repository", "revision")
    path = hub.file(repository, [HF_CONFIG_NAME], revision)
    commit = hub.revision(path)
    config, given = read_configuration(path)
    checkpoint = hub.file(repository, [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME], commit)
    return _complete(config, given, checkpoint, {repository: commit})


def _from_folder(folder: Path) -> Pretrained:
    config, given = read_configuration(_existing("model", str(folder / HF_CONFIG_NAME)))
    checkpoint = checkpoint_in(folder)
    text = config["text_cfg"]
    tower = text.get("hf_model_name")
    if tower and (folder / tower).is_dir():  # "." in what we keep ourselves
        text["hf_model_name"] = str(folder / tower)
    if text.get("hf_tokenizer_name"):
        text["hf_tokenizer_name"] = str(folder)  # whatever it says: open_clip's rule
    return _complete(config, given, checkpoint)


def _complete(
    config: dict[str, Any], given: dict[str, Any], checkpoint: Path, pinned: dict[str, str | None] | None = None
) -> Pretrained:
    """Add what the text tower needs; `pinned` are the commits of repositories that are known."""
    config = deepcopy(config)
    text, commits = config["text_cfg"], {}
    for key in ("hf_model_name", "hf_tokenizer_name"):
        name = text.get(key)
        if name and not Path(name).is_dir():
            folder = hub.text_files(name, commits.get(name) or (pinned or {}).get(name))
            text[key], commits[name] = str(folder), hub.revision(folder)
    if text.get("hf_model_name"):
        text["hf_model_pretrained"] = False
    if config["vision_cfg"].get("timm_model_name"):
        config["vision_cfg"]["timm_model_pretrained"] = False
    preprocess = merge_preprocess_dict(asdict(PreprocessCfg()), given)
    return Pretrained(config, preprocess, checkpoint, commits)


def _existing(key: str, name: str) -> Path:
    path = located(name)
    if path.is_dir():
        raise ValueError(
            f"{key} = {name!r}: is a folder; name the file in it, or a folder of open_clip: {FOLDER}{name}"
        )
    if path.parent.is_file():
        raise ValueError(f"{key} = {name!r}: {path.parent} is a file, not a folder")
    if not path.is_file():
        raise ValueError(f"{key} = {name!r}: no such file")
    return path
