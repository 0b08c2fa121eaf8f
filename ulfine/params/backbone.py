"""`backbones`: an open_clip model, its weights, and how it is run."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ulfine.params.base import Section, Sha256

EMBEDDED = "lite0-minilm"  # what ulfine/models/embedded.py assembles
HUB, FOLDER = "hf-hub:", "local-dir:"  # open_clip's own prefixes
CHECKPOINTS = (".safetensors", ".pt", ".pth", ".bin", ".npz")
ENDINGS = ", ".join(CHECKPOINTS)
PATH = re.compile(r"~.*|.*[/\\].*|.*\.\w+")  # what no tag of open_clip is like
HUB_NAME = re.compile(r"hf-hub:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
Model = Annotated[str, Field(min_length=1)]
Pretrained = Annotated[str, Field(min_length=1)]


class Backbone(Section):
    """One image tower with the text tower that it was aligned with; paths are relative to the repository."""

    model: Model = Field(
        description="open_clip's model name, a .json file with an open_clip configuration, `hf-hub:ORG/NAME` (or "
        "`hf-hub:ORG/NAME@REVISION`), or `local-dir:FOLDER` in open_clip's layout"
    )
    pretrained: Pretrained | None = Field(
        default=None,
        description=f"open_clip's tag, a local checkpoint ({ENDINGS}), or `embedded` (model {EMBEDDED} "
        "alone); hf-hub: and local-dir: bring their weights and have none",
    )
    sha256: Sha256 | None = Field(
        default=None, description="hash of a local checkpoint, so that a change of its content is noticed"
    )
    resolution: int = Field(ge=16, le=1024, description="side in pixels at which the tower sees a picture")
    precision: Literal["fp32", "bf16"] = Field(
        description="arithmetic of the tower; bf16 is autocast, with frozen weights kept in bf16"
    )
    feature_space: Literal["pooled", "joint"] = Field(
        description="pooled: before the tower's linear projection; joint: after it (towers without one need this)"
    )

    @property
    def brings_weights(self) -> bool:
        """The model is a repository or a folder that holds its weights."""
        return self.model.startswith((HUB, FOLDER))

    @property
    def checkpoint(self) -> bool:
        """`pretrained` is a file, not a tag."""
        return self.pretrained is not None and self.pretrained.endswith(CHECKPOINTS)

    @property
    def local(self) -> bool:
        """The weights are a file of this machine that somebody placed there."""
        return self.checkpoint or self.model.startswith(FOLDER)

    @property
    def origin(self) -> str:
        """The origin of the weights, on one line."""
        return self.model if self.pretrained is None else f"{self.model}/{self.pretrained}"

    @model_validator(mode="after")
    def _weights_are_named_once(self) -> "Backbone":
        given = f"pretrained = {self.pretrained!r}"
        if (self.pretrained == "embedded") != (self.model == EMBEDDED):
            raise ValueError(f"model = {self.model!r} with {given}: embedded is {EMBEDDED}")
        if self.brings_weights and self.pretrained is not None:
            raise ValueError(f"{given}: {self.model} brings its weights; leave the key out")
        if not self.brings_weights and self.pretrained is None:
            raise ValueError(f"model = {self.model!r} needs the key pretrained: a tag or a file ({ENDINGS})")
        if self.pretrained is not None and not self.checkpoint and PATH.fullmatch(self.pretrained):
            raise ValueError(
                f"{given}: a checkpoint is read by its ending (allowed: {ENDINGS}); save its state_dict as .safetensors"
            )
        if self.model.endswith(".json") and not self.checkpoint:
            raise ValueError(f"{given}: {self.model} has no tags (allowed: a file, {ENDINGS})")
        if self.sha256 and not self.local:
            raise ValueError("sha256 is that of a local checkpoint; a tag and the hub have hashes of their own")
        return self

    @model_validator(mode="after")
    def _the_model_is_well_named(self) -> "Backbone":
        if self.model.startswith(HUB) and not HUB_NAME.fullmatch(self.model):
            raise ValueError(f"model = {self.model!r}: write {HUB}ORG/NAME or {HUB}ORG/NAME@REVISION")
        if self.model == FOLDER:
            raise ValueError(f"model = {self.model!r}: write {FOLDER}FOLDER")
        return self
