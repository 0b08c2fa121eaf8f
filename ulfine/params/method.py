"""`methods`: which weights are trained, and the parts of ULFine that take part."""

from typing import Literal

from pydantic import Field, model_validator

from ulfine.params.adapter import Adapter
from ulfine.params.base import Name, Section
from ulfine.params.rival import TRAINING_FREE, CLIPAdapter, Rival
from ulfine.params.train import Train, TrainOverrides


class Scratch(Section):
    """A Wide ResNet with random weights, instead of a tower."""

    depth: int = Field(ge=10, description="layers, 6n + 4; 28 in FixMatch")
    width: int = Field(ge=1, description="channels as a multiple of 16, 32 and 64; 2 in FixMatch")
    resolution: int = Field(ge=8, le=1024, description="side in pixels at which it sees a picture; 32 in FixMatch")
    norm_momentum: float = Field(
        gt=0,
        le=1,
        description="weight of a batch in the running statistics; 0.001 in FixMatch, too slow for short runs",
    )

    @model_validator(mode="after")
    def _has_whole_blocks(self) -> "Scratch":
        if (self.depth - 4) % 6:
            raise ValueError(f"depth = {self.depth}: a Wide ResNet has 6n + 4 layers (10, 16, 22, 28, ...)")
        return self


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
    orthogonality: float = Field(
        ge=0, description="weight of the loss, size of the gradient step, or share of the projection; 0 is none"
    )
    orthogonality_by: Literal["loss", "projection"] = Field(
        description="loss: a term of the loss (learnable) or a gradient step after each update (buffer); projection: "
        "after each update, part of the way to the nearest orthonormal prototypes"
    )

    @model_validator(mode="after")
    def _projects_at_most_all_the_way(self) -> "Paf":
        if self.orthogonality_by == "projection" and self.orthogonality > 1:
            raise ValueError(f"orthogonality = {self.orthogonality:g}: a projection goes at most the whole way, 1")
        return self


class Dlf(Section):
    """Dual logit fusion: text logits, aligned, and linear logits are averaged."""

    eta: float = Field(ge=0, le=1, description="weight of the text logits")
    align: Literal["range", "std", "none"] = Field(
        description="text logits get the linear ones' extremes, or mean and deviation, sample by sample; or stay"
    )
    use_in: list[Literal["pseudo_labels", "test"]] = Field(min_length=1, description="where fused logits decide")


ALLOWED_BY = {  # the ways of tuning that a key goes with, where it need not be there
    "paf": ("head", "adapters", "all"),
    "dlf": ("head", "adapters", "all"),
    "train": ("head", "adapters", "all", "scratch"),
    "views": ("head",),
    "layer_decay": ("all",),
}


class Method(Section):
    """One way of tuning."""

    extends: Name | None = Field(
        default=None,
        description="the method that it begins as; what else stands here is laid over that: mappings merge, lists and "
        "numbers replace, null deletes a key, and an adapter of another kind replaces the whole adapter",
    )
    tune: Literal["none", "head", "adapters", "all", "scratch"] = Field(
        description="none: zero-shot; head: linear probing; adapters: lightweight; all: full fine-tuning; scratch: no "
        "tower at all, for `grid.baseline`"
    )
    adapter: Adapter | None = Field(default=None, description="with tune: adapters")
    views: Literal["fresh"] | None = Field(
        default=None,
        description="with tune: head: features of views that are drawn anew each step, through the frozen tower "
        "(absent: of the cached views)",
    )
    tower_lr: float | None = Field(default=None, gt=0, description="learning rate of the tower, with tune: all")
    layer_decay: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="with tune: all: the rate of a block is that of the next one times this; what comes after the last "
        "block has `tower_lr` (BEiT, USB; absent: the same rate for all)",
    )
    scratch: Scratch | None = Field(default=None, description="with tune: scratch")
    paf: Paf | None = Field(default=None, description="absent: prototypes stay the text's")
    dlf: Dlf | None = Field(default=None, description="absent: the linear classifier alone decides")
    rival: Rival | None = Field(default=None, description="another method's pseudo-labels and classifiers (absent: "
                                "FixMatch's); with tune: none, tip_adapter and prior_corrected")  # fmt: skip
    train: TrainOverrides | None = Field(default=None, description="what differs from `train`")

    @model_validator(mode="after")
    def _belongs_together(self) -> "Method":
        for key, needed_by in (("adapter", "adapters"), ("tower_lr", "all"), ("scratch", "scratch")):
            if (getattr(self, key) is not None) != (self.tune == needed_by):
                verb = "needs" if self.tune == needed_by else "does not allow"
                raise ValueError(f"tune: {self.tune} {verb} the key {key}")
        for key, allowed_by in ALLOWED_BY.items():
            if self.tune not in allowed_by and getattr(self, key) is not None:
                raise ValueError(f"tune: {self.tune} does not allow the key {key}")
        if self.rival is not None and isinstance(self.rival, TRAINING_FREE) != (self.tune == "none"):
            raise ValueError(f"tune: {self.tune} does not allow rival.kind = {self.rival.kind!r}")
        if isinstance(self.rival, CLIPAdapter) and (self.tune == "scratch" or self.dlf):
            raise ValueError("rival.kind = 'clip_adapter' needs text and decides alone (allowed: a tower, no dlf)")
        if self.paf and not self.dlf:
            raise ValueError("paf needs dlf: without fusion nothing reads the prototypes")
        return self

    @property
    def cached(self) -> bool:
        """Whether it trains on cached features."""
        return self.tune == "head" and self.views is None

    def require_fits(self, train: Train) -> None:
        """Check the options that depend on what is tuned.

        Raises:
            ValueError: five crops or crops of a picture where there are features alone, PAF without unlabeled pictures,
                a batch in parts, or blocks that run twice, where batch statistics are learned.
        """
        if self.cached and train.test_crops != 1:
            raise ValueError(
                f"test_crops = {train.test_crops}: tune: head sees cached features of whole pictures (allowed: 1)"
            )
        if self.cached and train.labeled_view not in ("weak", "plain"):
            raise ValueError(
                f"labeled_view = {train.labeled_view!r}: tune: head sees cached views (allowed: weak, plain)"
            )
        if self.tune == "scratch" and train.classifier_init != "random":
            raise ValueError(
                f"classifier_init = {train.classifier_init!r}: tune: scratch knows no text (allowed: random)"
            )
        if self.tune == "scratch" and (train.accumulate > 1 or train.checkpoint_blocks):
            key = "accumulate" if train.accumulate > 1 else "checkpoint_blocks"
            allowed = "1" if train.accumulate > 1 else "false"
            raise ValueError(
                f"{key}: tune: scratch learns batch statistics, from all views at once (allowed: {allowed})"
            )
        if self.rival is not None and train.accumulate > 1:
            raise ValueError(f"accumulate = {train.accumulate}: a rival sees a batch as a whole (allowed: 1)")
        if self.rival is not None and not isinstance(self.rival, CLIPAdapter) and not train.unlabeled_ratio:
            raise ValueError(f"unlabeled_ratio = 0: {self.rival.kind} goes by predictions on unlabeled pictures")
        if self.paf and not train.unlabeled_ratio:
            raise ValueError("unlabeled_ratio = 0: paf goes by the predictions on unlabeled pictures")
