"""`augmentations`: the weak and the strong view of a picture, by name."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ulfine.params.base import Name, Section


class Weak(Section):
    """Random crop out of a reflected border, random flip."""

    pad: float = Field(ge=0, le=0.5, description="border before the crop, as a share of the side")
    flip: bool = Field(description="mirror left and right with probability 1/2")


class Cutout(Section):
    """A grey square at a random place, clipped at the border."""

    size: float = Field(ge=0, description="its side; 0: none")
    unit: Literal["side", "pixels"] = Field(description="`size` is a share of the picture's side, or counts pixels")
    draw: Literal["fixed", "uniform"] = Field(description="every square has this size, or one drawn from 0 up to it")

    @model_validator(mode="after")
    def _fits(self) -> "Cutout":
        if self.unit == "side" and self.size > 1:
            raise ValueError(f"size = {self.size:g} with unit: side is larger than the picture (allowed: 0 to 1)")
        return self


Operations = Annotated[int, Field(ge=0, le=14, description="operations drawn per picture (RandAugment's n)")]
Square = Annotated[Cutout, Field(description="what is blanked after them")]


class Torchvision(Section):
    """RandAugment as torchvision has it: one strength for all, either sign, always applied."""

    kind: Literal["torchvision"] = Field(description="the rule by which operations and strengths are drawn")
    operations: Operations
    magnitude: int = Field(ge=0, le=30, description="strength of each, out of 30 (RandAugment's m)")
    cutout: Square


class RandAugmentMC(Section):
    """RandAugmentMC of ACR, FineSSL and LoFT: random strengths, factors below 1, each applied with probability 1/2."""

    kind: Literal["randaugment_mc"] = Field(description="the rule by which operations and strengths are drawn")
    operations: Operations
    magnitude: int = Field(
        ge=2, le=10, description="strengths are drawn from 1 to one below it, out of 10 (RandAugmentMC's m)"
    )
    cutout: Square


class TorchSSL(Section):
    """RandAugment as TorchSSL has it: strengths drawn evenly from a range, factors below 1, always applied."""

    kind: Literal["torchssl"] = Field(description="the rule by which operations and strengths are drawn")
    operations: Operations
    cutout: Square


Strong = Annotated[Torchvision | RandAugmentMC | TorchSSL, Field(discriminator="kind")]


class Views(Section):
    """Numbers of views of each picture that are cached as features, for trainings that do not change the tower."""

    weak: int = Field(ge=1, le=64, description="cached weak views of each training picture")
    strong: int = Field(ge=1, le=64, description="cached strong views of each training picture")


class Augmentation(Section):
    """Views for labeled pictures (weak) and for both sides of FixMatch (weak, strong)."""

    extends: Name | None = Field(default=None, description="the augmentation that it begins as, as for methods")
    at: Literal["stored", "network"] = Field(
        description="the size at which pictures are augmented: `resolution` of the data set (ACR, TorchSSL), or that "
        "of the tower or network, to which they are enlarged before (FineSSL, LoFT) instead of after"
    )
    weak: Weak = Field(description="the weak view")
    strong: Strong = Field(description="the strong view: RandAugment and cutout on top of the weak view")
    views: Views = Field(description="how many of each are cached")
