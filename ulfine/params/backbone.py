"""`backbones`: an open_clip model, its weights, and how it is run."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ulfine.params.base import Section

EMBEDDED = "lite0-minilm"  # what ulfine/models/embedded.py assembles
Model = Annotated[str, Field(min_length=1)]
Pretrained = Annotated[str, Field(min_length=1)]


class Backbone(Section):
    """One image tower with the text tower that it was aligned with."""

    model: Model = Field(description="open_clip's model name, or a .json file with an open_clip model configuration")
    pretrained: Pretrained = Field(
        description="open_clip's tag, a local .pt or .safetensors file, or `embedded` (model lite0-minilm alone)"
    )
    resolution: int = Field(ge=16, le=1024, description="side in pixels at which the tower sees a picture")
    precision: Literal["fp32", "bf16"] = Field(description="arithmetic of the tower; bf16 is autocast")
    feature_space: Literal["pooled", "joint"] = Field(
        description="pooled: before the tower's linear projection; joint: after it (towers without one need this)"
    )

    @model_validator(mode="after")
    def _embedded_is_one_model(self) -> "Backbone":
        if (self.pretrained == "embedded") != (self.model == EMBEDDED):
            raise ValueError(f"model = {self.model!r} with pretrained = {self.pretrained!r}: embedded is {EMBEDDED}")
        return self
