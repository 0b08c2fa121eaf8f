"""`train`: what the trained methods share. A data set or a method overrides any of it under its own `train`."""

from copy import copy
from typing import Any, Literal

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from ulfine.params.base import Section


class Train(Section):
    """One training run."""

    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(ge=1, description="labeled pictures a step")
    unlabeled_ratio: int = Field(ge=1, description="unlabeled pictures a step, as a multiple of batch_size")
    optimizer: Literal["sgd", "adamw"] = Field(description="torch's SGD (Nesterov off) or AdamW")
    lr: float = Field(gt=0, description="learning rate of classifiers and adapters")
    momentum: float = Field(ge=0, lt=1, description="momentum of SGD, beta_1 of AdamW")
    weight_decay: float = Field(ge=0, description="weight decay of everything that is trained")
    schedule: Literal["cosine", "constant"] = Field(description="learning rate over the steps; cosine ends at 0")
    scale: float = Field(gt=0, description="scale s of the cosine classifiers; it sets what a threshold means")
    center: bool = Field(description="subtract the mean feature of images and of text before normalising")
    logit_adjustment: float = Field(ge=0, description="tau in the labeled loss CE(z + tau log prior, y); 0 is plain CE")
    threshold: float = Field(ge=0, le=1, description="confidence from which a pseudo-label is used")
    unlabeled_weight: float = Field(ge=0, description="weight of the loss on unlabeled pictures")
    log_every: int = Field(ge=1, description="steps between two rows of history.csv")


def _optional(field: FieldInfo) -> tuple[object, FieldInfo]:
    twin = copy(field)
    twin.default = None
    return field.annotation | None, twin


def merged(train: dict[str, Any], *overrides: Section | None) -> dict[str, Any]:
    """`train` with what each of `overrides` sets; the last one wins."""
    for section in overrides:
        train = train | (section.model_dump(exclude_unset=True) if section else {})
    return train


TrainOverrides = create_model(
    "TrainOverrides",
    __base__=Section,
    __doc__="Any part of `train`.",
    **{name: _optional(field) for name, field in Train.model_fields.items()},
)
