"""The card of an exported run: code that runs it, how good it is, how it was made."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ulfine.data.sentences import sentences
from ulfine.evaluation.tables import percent
from ulfine.files import read_json
from ulfine.models.backbone import META, WEIGHTS
from ulfine.runner.runs import Run

CARD, FACTS, CLASSIFIER, GRAPH = "README.md", "model.json", "classifier.safetensors", "model.onnx"
TUNED, NETWORK = "tuned.safetensors", "network.safetensors"
WHAT = {
    CARD: "this card",
    CLASSIFIER: "rows of the classifiers with their scale, and the mean that is subtracted from features",
    FACTS: "classes, and what the code above asks for",
    GRAPH: "pictures to the logits of each classifier",
    NETWORK: "the weights of the network, by the names of the code that trained it",
    TUNED: "what was trained in the image tower, by the names of the code that trained it: no architecture of "
    "open_clip has a place for it",
    WEIGHTS: "the image tower as it was tuned, and the text tower",
}
GROUPS = {"accuracy": "all", "acc_head": "head", "acc_medium": "medium", "acc_tail": "tail"}

TEXT = """\
---
library_name: {library}
pipeline_tag: image-classification
tags: [image-classification, long-tailed-recognition, semi-supervised-learning, ulfine]
license: other
license_name: see-the-end-of-this-card
---

# {title}

A classifier of {classes} classes: one run, with seed {seed}, of a reproduction of ULFine (arXiv 2505.05062). Method
`{method}`, trained with {labeled} labeled and {unlabeled} unlabeled pictures of `{dataset}`, split `{split}`.

## Use

{uses}

## Scores

Mean recall of the classes on the test pictures, percent; the classifier that decides is `{decides}`.

{scores}

## How it was made

{making}

## Classes

{counts}

## Files

{files}

## Licences

Pictures: {licence}. {origin}
"""
ORIGIN = "Weights began as those of {origin}, whose authors' terms hold for them."
UNSUPPORTED = """\
open_clip has no architecture for what was trained here, and no graph was exported (`ulfine export --onnx` adds one).
`ulfine predict` runs it, in a clone of the project that made it."""
BY_OPEN_CLIP = """\
With open_clip, in this folder:

```python
import json
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms import v2

{picture}model, preprocess = open_clip.create_model_from_pretrained("local-dir:.")
model.eval(){projection}
rows = load_file("classifier.safetensors")
mean, bias = rows.pop("mean"), rows.pop("bias")
with torch.inference_mode():
    features = F.normalize(model.encode_image(preprocess(picture).unsqueeze(0)) - mean, dim=-1)
logits = {{name: features @ weight.T + bias for name, weight in rows.items()}}
{fusion}print(facts["classes"][logits[facts["decides"]].argmax()])
```"""
BY_ONNX = """\
With ONNX Runtime, in this folder:

```python
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from torchvision.transforms import v2

{picture}session = onnxruntime.InferenceSession("model.onnx")
(logits,) = session.run([facts["decides"] + "_logits"], {{"pictures": np.asarray(picture)[None]}})
print(facts["classes"][logits.argmax()])
```"""
PICTURE = """\
facts = json.loads(Path("model.json").read_text())
side, picture = facts["side"], Image.open("PICTURE").convert("RGB")
picture = {square}  # as small as in training
"""
SQUARE = {
    "shortest": "v2.functional.center_crop(v2.functional.resize(picture, side), side)",
    "squash": "v2.functional.resize(picture, (side, side))",
}
PROJECTION = {
    "timm": "\nmodel.visual.head.proj = torch.nn.Identity()  # the classifiers stand before the projection",
    "open_clip": "\nmodel.visual.proj = None  # the classifiers stand before the projection",
    None: "",
}
FUSION = """\
text, linear, eta = logits["text"], logits["linear"], facts["fusion"]["eta"]
{aligned}logits["fused"] = eta * text + (1 - eta) * linear
"""
ALIGNED = {
    "range": """\
(low, high), (to_low, to_high) = (x.aminmax(dim=-1, keepdim=True) for x in (text, linear))
text = (text - low) / (high - low) * (to_high - to_low) + to_low
""",
    "std": "text = (text - text.mean()) / text.std(correction=0) * linear.std(correction=0) + linear.mean()\n",
    "none": "",
}


def card(run: Run, facts: dict[str, Any], files: Sequence[str]) -> str:
    """A model card, with the header that Hugging Face reads. files: the names of those in the folder."""
    names, split = run.at.names, read_json(run.at.split)
    return TEXT.format(
        library="open_clip" if WEIGHTS in files else "onnx" if GRAPH in files else "ulfine",
        title=" ".join(f"{key} {name}" if key == "seed" else str(name) for key, name in names.items()),
        classes=len(run.store.classes),
        labeled=sum(split["counts"]["labeled"]),
        unlabeled=len(split["indices"]["unlabeled"]),
        uses="\n\n".join(_uses(facts, files)) or UNSUPPORTED,
        decides=facts["decides"],
        scores=_scores(run),
        making=_table([("", ""), *_making(run)]),
        counts=_table([("class", "labeled", "sentences for the text tower"), *_classes(run, split)]),
        files=_table([("file", ""), *((f"`{name}`", WHAT.get(name, "of the text tower")) for name in (CARD, *files))]),
        licence=run.dataset.source.licence,
        origin=ORIGIN.format(origin=run.config.backbone.origin) if run.tower else "Weights began as random numbers.",
        **{key: names[key] for key in ("seed", "method", "dataset", "split")},
    )


def _uses(facts: dict[str, Any], files: Sequence[str]) -> Iterator[str]:
    """Code for each format."""
    picture = PICTURE.format(square=SQUARE[facts["resize"]])
    if WEIGHTS in files:
        fusion = facts["fusion"]
        yield BY_OPEN_CLIP.format(
            picture=picture,
            projection=PROJECTION[facts["projection"]],
            fusion=FUSION.format(aligned=ALIGNED[fusion["align"]]) if fusion else "",
        )
    if GRAPH in files:
        yield BY_ONNX.format(picture=picture)


def _scores(run: Run) -> str:
    if not run.at.metrics.exists():
        return "This run was not scored."
    found = read_json(run.at.metrics)
    return _table([tuple(GROUPS.values()), tuple(percent(found[key]) for key in GROUPS)])


def _making(run: Run) -> Iterator[tuple[str, str]]:
    record, config = run.record, run.config
    yield "parameters", f"`{record['params_digest'][:16]}` (digest)"
    if run.tower:
        yield "image tower", f"{config.backbone.origin}, at {config.backbone.resolution} pixels"
        yield "its weights", f"`{read_json(run.at.backbone / META)['sha256'][:16]}` (sha256, before training)"
    yield "tuned", config.method.tune + (f", {config.method.adapter.kind}" if config.method.adapter else "")
    if config.train:
        yield "steps", f"{config.train.steps} of {config.train.batch_size} labeled pictures"
        yield "test", "whole pictures" if config.train.test_crops == 1 else "the mean of five crops in the scores"
    yield "device", f"{record['device']}, {record['seconds']:.0f} s"
    yield "versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())


def _classes(run: Run, split: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    classes, dataset = run.store.classes, run.dataset
    said = sentences(classes, dataset.prompt, dataset.class_names) if run.tower else [[""]] * len(classes)
    for name, count, (first, *others) in zip(classes, split["counts"]["labeled"], said, strict=True):
        yield name, str(count), first + (f" (and {len(others)} more)" if others else "")


def _table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of Markdown, the first of them the head."""
    head, *others = ([each.replace("|", r"\|") for each in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *others))
