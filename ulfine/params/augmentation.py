"""`augmentation`: the weak and the strong view of a picture."""

from pydantic import Field

from ulfine.params.base import Section


class Weak(Section):
    """Random crop out of a reflected border, random flip."""

    pad: float = Field(ge=0, le=0.5, description="border before the crop, as a share of the side")
    flip: bool = Field(description="mirror left and right with probability 1/2")


class Strong(Section):
    """RandAugment and cutout on top of the weak view."""

    operations: int = Field(ge=0, le=14, description="operations drawn per picture (RandAugment's n)")
    magnitude: int = Field(ge=0, le=30, description="strength of each, out of 30 (RandAugment's m)")
    cutout: float = Field(ge=0, le=1, description="side of the square that is blanked, as a share of the picture's")


class Views(Section):
    """Numbers of views of each picture that are cached as features, for trainings that do not change the tower."""

    weak: int = Field(ge=1, le=64, description="cached weak views of each training picture")
    strong: int = Field(ge=1, le=64, description="cached strong views of each training picture")


class Augmentation(Section):
    """Views for labeled pictures (weak) and for both sides of FixMatch (weak, strong)."""

    weak: Weak = Field(description="the weak view")
    strong: Strong = Field(description="the strong view")
    views: Views = Field(description="how many of each are cached")
