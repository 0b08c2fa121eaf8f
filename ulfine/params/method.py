"""`methods`: which weights are trained, and the parts of ULFine that take part."""

from typing import Literal

from pydantic import Field, model_validator

from ulfine.params.adapter import Adapter
from ulfine.params.base import Section
from ulfine.params.train import TrainOverrides


class Paf(Section):
    """Prototype adaptive fitting: text prototypes move towards visual ones, class by class."""

    prototypes: Literal["learnable", "buffer"] = Field(
        description="learnable: trained by a labeled loss of their own as well; buffer: moved by PAF alone"
    )
    mu: float = Field(ge=0, le=1, description="step of the class that is predicted most often")
    update_every: int = Field(ge=1, description="training steps between two updates")
    anchor: Literal["initial", "running"] = Field(
        description="what is mixed with the visual prototype: the frozen text prototype or the current one"
    )
    visual_decay: float = Field(ge=0, lt=1, description="EMA decay of the visual prototypes, per labeled batch")
    prior_decay: float = Field(ge=0, lt=1, description="EMA decay of the mean prediction on unlabeled pictures")
    orthogonality: float = Field(ge=0, description="weight (learnable) or step size (buffer) of the orthogonality term")


class Dlf(Section):
    """Dual logit fusion: text logits, aligned, and linear logits are averaged."""

    eta: float = Field(ge=0, le=1, description="weight of the text logits")
    align: Literal["range", "std", "none"] = Field(description="how text logits are brought to the scale of the linear")
    use_in: list[Literal["pseudo_labels", "test"]] = Field(min_length=1, description="where fused logits decide")


class Method(Section):
    """One way of tuning."""

    tune: Literal["none", "head", "adapters", "all"] = Field(
        description="none: zero-shot; head: linear probing; adapters: lightweight; all: full fine-tuning"
    )
    adapter: Adapter | None = Field(default=None, description="with tune: adapters")
    tower_lr: float | None = Field(default=None, gt=0, description="learning rate of the tower, with tune: all")
    paf: Paf | None = Field(default=None, description="absent: prototypes stay the text's")
    dlf: Dlf | None = Field(default=None, description="absent: the linear classifier alone decides")
    train: TrainOverrides | None = Field(default=None, description="what differs from `train`")

    @model_validator(mode="after")
    def _belongs_together(self) -> "Method":
        for key, needed_by in (("adapter", "adapters"), ("tower_lr", "all")):
            if (getattr(self, key) is not None) != (self.tune == needed_by):
                verb = "needs" if self.tune == needed_by else "does not allow"
                raise ValueError(f"tune: {self.tune} {verb} the key {key}")
        for key in ("paf", "dlf", "train"):
            if self.tune == "none" and getattr(self, key) is not None:
                raise ValueError(f"tune: none does not allow the key {key}")
        if self.paf and not self.dlf:
            raise ValueError("paf needs dlf: without fusion nothing reads the prototypes")
        return self
