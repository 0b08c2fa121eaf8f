"""A run as a folder that others load without this project, as far as the way of tuning allows.

Always README.md (a card) and model.json. Where the towers keep their architecture, open_clip's `local-dir:` layout;
where they do not, what was trained, by this project's names: tuned.safetensors, or from scratch network.safetensors.
With a tower also classifier.safetensors, and if asked for model.onnx: pictures to logits, however the run was tuned.
"""

import ulfine.models.lean  # noqa: F401 (before open_clip)

import shutil
from contextlib import chdir
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ulfine.data.features import Features
from ulfine.files import new_folder, read_json, write_json, write_text
from ulfine.models.backbone import CONFIG, META, TEXT_MAP, WEIGHTS, load_frozen_tower, load_visual
from ulfine.models.classifiers import UnitFeatures
from ulfine.models.tower import ImageTower
from ulfine.models.wide_resnet import INTERPOLATION
from ulfine.params.backbone import Backbone
from ulfine.runner.card import CARD, CLASSIFIER, FACTS, GRAPH, NETWORK, TUNED, card
from ulfine.runner.graph import Graph, Logits, write_graph
from ulfine.runner.runs import Run, find_run, load_learner

IN_PLACE = ("lora", "bias", "norm")  # kinds of adapters that change weights which a tower has anyway
TOLERANCE = 1e-3  # of unit features, between open_clip's tower and ours, which rounds otherwise


def export(run: Path, folder: Path, onnx: bool) -> None:
    """Write a run to a folder that is not there yet.

    Raises:
        ValueError: the folder is there, or ONNX's exporter is not; or as `find_run` says.
    """
    if folder.exists():
        raise ValueError(f"{folder}: is there already (allowed: a folder that is not)")
    if onnx and find_spec("onnxscript") is None:
        raise ValueError("--onnx: needs a package that is not here: pip install onnxscript")
    found = find_run(run)
    if found.config.method.rival is not None:
        raise ValueError(f"{run}: runs of rivals are not exported (rival.kind = {found.config.method.rival.kind!r})")
    encoder, logits = _predictor(found)
    facts = _facts(found, encoder)
    with new_folder(folder) as part:
        _write_weights(part, found, encoder)
        if found.tower:
            save_file(_rows(encoder, logits), part / CLASSIFIER)
        write_json(part / FACTS, facts)
        if onnx:
            write_graph(part / GRAPH, Graph(encoder, logits, facts["side"], *_enlarging(encoder)))
        files = sorted(path.name for path in part.iterdir())
        write_text(part / CARD, card(found, facts, files))


def _predictor(run: Run) -> tuple[nn.Module, Logits]:
    """What makes features of pictures, and logits of features, in float32 on the CPU."""
    device = run.prepare("cpu")
    if run.config.train is None:
        text = Features(run.at.features).text("joint")
        tower = load_frozen_tower(run.at.backbone, _in_fp32(run.config.backbone, feature_space="joint"))
        rows = text.logit_scale * F.normalize(torch.from_numpy(text.prototypes), dim=-1)
        return UnitFeatures(tower, torch.zeros(rows.shape[1])), lambda z: {"text": z @ rows.T + text.logit_bias}
    if run.tower:
        run = replace(run, config=run.config.model_copy(update={"backbone": _in_fp32(run.config.backbone)}))
    learner = load_learner(run, device).eval()
    return learner.encoder, learner.all_logits


def _in_fp32(backbone: Backbone, **update: str) -> Backbone:
    return backbone.model_copy(update={"precision": "fp32"} | update)


def _enlarging(encoder: nn.Module) -> tuple[int, str]:
    """The side of pictures that an encoder makes of others, and by which interpolation."""
    if isinstance(encoder, UnitFeatures):
        return encoder.encoder.backbone.resolution, encoder.encoder.interpolation
    return encoder.resolution, INTERPOLATION


@torch.inference_mode()
def _rows(encoder: UnitFeatures, logits: Logits) -> dict[str, Tensor]:
    """(K, D) rows of each classifier with its scale, (D,) `mean` and () `bias`: logits are linear in unit features."""
    width = len(encoder.mean)
    of_axes, of_nothing = logits(torch.eye(width)), logits(torch.zeros(1, width))
    rows = {name: (of_axes[name] - of_nothing[name]).T.contiguous() for name in of_axes if name != "fused"}
    return rows | {"mean": encoder.mean.clone(), "bias": next(iter(of_nothing.values()))[0, 0].clone()}


def _facts(run: Run, encoder: nn.Module) -> dict[str, Any]:
    """What whoever loads the folder has to know."""
    dlf = run.config.method.dlf
    return {
        "classes": run.store.classes,
        "decides": run.decides,
        "fusion": dlf and {"align": dlf.align, "eta": dlf.eta},
        "projection": _projection(encoder) if run.tower else None,
        "resize": run.resize,
        "side": run.store.meta["resolution"],
    }


def _projection(encoder: UnitFeatures) -> str | None:
    """Whose projection is to be taken off, where the classifiers stand before it."""
    if encoder.encoder.backbone.feature_space == "joint":
        return None
    return "timm" if isinstance(encoder.encoder.visual, TimmModel) else "open_clip"


def _write_weights(part: Path, run: Run, encoder: nn.Module) -> None:
    """Write the towers for open_clip, where they fit it; else what was trained."""
    if not run.tower:
        save_file(run.weights(), part / NETWORK)
        return
    tower, state = encoder.encoder, load_file(run.at.backbone / WEIGHTS)
    visual = load_visual(run.at.backbone, tower.backbone.resolution)
    own = {f"visual.{name}": weight for name, weight in visual.state_dict().items()}
    if _keeps_architecture(run) and _fits_open_clip(visual, own, state):
        _write_towers(part, run, state | own | _changed(tower))
        _require_same(part, run, tower)
    else:
        save_file({name: weight for name, weight in run.weights().items() if name.startswith("encoder.")}, part / TUNED)


def _keeps_architecture(run: Run) -> bool:
    method = run.config.method
    return method.tune != "adapters" or method.adapter.kind in IN_PLACE


def _fits_open_clip(visual: nn.Module, own: dict[str, Tensor], native: dict[str, Tensor]) -> bool:
    """Whether open_clip can build the tower at this resolution: a tower of timm, at its native one alone."""
    same = all(weight.shape == native[name].shape for name, weight in own.items())
    return same or not isinstance(visual, TimmModel)


def _changed(tower: ImageTower) -> dict[str, Tensor]:
    """The weights of a tower that training changed, by open_clip's names; low-rank updates are merged."""
    found = {
        name: weight.detach()
        for name, weight in tower.named_parameters()
        if weight.requires_grad and ".parametrizations." not in name
    }
    for name, module in tower.named_modules():
        for key in module.parametrizations if is_parametrized(module) else ():
            found[f"{name}.{key}"] = getattr(module, key).detach()
    projection = found.pop("projection.weight", None)
    if projection is not None and isinstance(tower.visual, VisionTransformer):
        found["visual.proj"] = projection.T
    elif projection is not None:
        found["visual.head.proj.weight"] = projection
    return found


def _write_towers(part: Path, run: Run, state: dict[str, Tensor]) -> None:
    """Fill the folder in open_clip's layout; what comes with the text tower is copied."""
    for path in run.at.backbone.iterdir():
        if path.name not in (CONFIG, META, TEXT_MAP, WEIGHTS):
            shutil.copy(path, part)
    config, resolution = read_json(run.at.backbone / CONFIG), run.config.backbone.resolution
    config["model_cfg"]["vision_cfg"]["image_size"] = resolution
    config["preprocess_cfg"]["size"] = resolution
    write_json(part / CONFIG, config)
    save_file({name: weight.contiguous() for name, weight in state.items()}, part / WEIGHTS)


@torch.inference_mode()
def _require_same(part: Path, run: Run, tower: ImageTower) -> None:
    """Load the folder as others will, and compare features of noise."""
    with chdir(part):  # a text tower of transformers is named relative to it
        model = open_clip.create_model("local-dir:.").eval()
    side = run.config.backbone.resolution
    noise = torch.randint(256, (2, side, side, 3), generator=torch.Generator().manual_seed(0)).byte()
    theirs, ours = model.encode_image(tower.prepare(noise)), tower.joint(tower.pooled(noise))
    apart = (F.normalize(theirs) - F.normalize(ours)).abs().max().item()
    if not apart < TOLERANCE:
        raise ValueError(f"{run.at.run}: features of open_clip's tower differ by {apart:.2g} from those of the run")
