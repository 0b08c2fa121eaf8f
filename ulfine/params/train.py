"""`train`: what the trained methods share. A data set or a method overrides any of it under its own `train`."""

from copy import copy
from typing import Annotated, Literal

from pydantic import Field, create_model, model_validator
from pydantic.fields import FieldInfo

from ulfine.params.base import Section

# The functions of ulfine/methods/losses.py that a training may be made of.
Loss = Literal["labeled", "unlabeled", "soft_rest", "entropy"]
Tracker = Literal["none", "tensorboard", "mlflow", "dvclive"]
LABELED_ONLY: frozenset[Loss] = frozenset({"labeled"})  # what needs no unlabeled picture


class Train(Section):
    """One training run."""

    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(ge=1, description="labeled pictures a step")
    unlabeled_ratio: int = Field(
        ge=0, description="unlabeled pictures a step, as a multiple of batch_size; 0 trains on labeled pictures alone"
    )
    labeled_view: Literal["weak", "plain", "resized_crop", "minimalist"] = Field(
        description="labeled pictures augmented weakly, not at all, by random crops of 8 to 100 % and a flip (LIFT, "
        "LoFT; torchvision's RandomResizedCrop), or by LIFT+'s square crops whose least area grows from 0.08 to 1 over "
        "the training"
    )
    optimizer: Literal["sgd", "adamw"] = Field(description="torch's SGD or AdamW")
    lr: float = Field(gt=0, description="learning rate of all that is trained, but for `tower_lr`")
    momentum: float = Field(ge=0, lt=1, description="momentum of SGD, beta_1 of AdamW")
    nesterov: bool = Field(description="Nesterov momentum, with sgd")
    weight_decay: float = Field(ge=0, description="weight decay of what is trained")
    decay_vectors: bool = Field(
        description="weight decay acts on biases and norms too (LIFT), or on matrices alone (ACR)"
    )
    schedule: Literal["cosine", "cosine_7_16", "constant"] = Field(
        description="learning rate over the steps: half a cosine to 0, FixMatch's cos(7 pi t / 16), or none"
    )
    warmup: float = Field(
        ge=0, lt=1, description="share of the steps over which the rate first rises evenly to its peak; 0: none"
    )
    ema_decay: float = Field(
        ge=0, lt=1, description="the weights that predict are an EMA of the trained ones (FixMatch); 0: the last ones"
    )
    scale: float = Field(
        gt=0,
        description="scale s of the cosine classifiers; it sets what a threshold means (from scratch there are none)",
    )
    center: bool | Literal["labeled"] | Annotated[float, Field(ge=0, lt=1)] = Field(
        description="subtract a mean feature of images, and that of text, before normalising (not from scratch): true: "
        "the frozen tower's, of labeled and unlabeled pictures; labeled: of the labeled ones alone; a number: a moving "
        "mean of what each step passes, an EMA of this decay that starts at the former; false: none"
    )
    classifier_init: Literal["text", "means", "random"] = Field(
        description="rows of the linear classifier start from text, class means of the labeled features, or at random"
    )
    logit_adjustment: float = Field(ge=0, description="tau in the labeled loss CE(z + tau log prior, y); 0 is plain CE")
    threshold: float = Field(
        ge=0, le=1, description="confidence from which a pseudo-label is used, and is scored as kept"
    )
    pseudo_labels: Literal["hard", "soft"] = Field(
        description="targets of the unlabeled loss: the class predicted, or the whole prediction"
    )
    pseudo_label_adjustment: float = Field(
        ge=0,
        description="tau in softmax(z - tau log prior), the prediction that makes pseudo-labels, by the labeled prior "
        "(ACR); 0 is none",
    )
    adjust_twice: bool = Field(
        description="allow pseudo_label_adjustment on a classifier whose labeled loss was adjusted already"
    )
    unlabeled_adjustment: float = Field(
        ge=0, description="tau in the unlabeled loss CE(z + tau log prior, pseudo-label); 0 is plain CE"
    )
    unlabeled_prior: Literal["labeled", "estimated"] = Field(
        description="prior of unlabeled_adjustment: that of the labeled pictures, or P_u, the EMA of the predictions"
    )
    prior_decay: float = Field(ge=0, lt=1, description="EMA decay of the mean prediction on unlabeled pictures, P_u")
    distribution_alignment: Annotated[float, Field(ge=0, le=1)] | Literal["none"] = Field(
        description="scale predictions by labeled prior^t / P_u before they make pseudo-labels: t = 1 (ReMixMatch), "
        "0 (towards uniform) or between (CReST+); none: leave them"
    )
    losses: dict[Loss, Annotated[float, Field(ge=0)]] = Field(
        min_length=1, description="weight of each loss of ulfine/methods/losses.py; PAF adds those of its prototypes"
    )
    test_crops: Literal[1, 5] = Field(
        description="test and validation from the whole picture, or the mean logits of five crops (LIFT's test-time "
        "ensembling)"
    )
    accumulate: int = Field(
        ge=1,
        description="parts of a batch that pass through a tower one after another, for small GPUs; the result "
        "differs by rounding alone (not from scratch, whose batch statistics are those of all views at once)",
    )
    checkpoint_blocks: bool = Field(
        description="keep the input of each block of a tower alone, and compute the rest again in the backward pass: "
        "less memory, more time, the same result (not from scratch)"
    )
    compile: bool = Field(
        description="compile the tower with torch.compile, after the first step; needs a C++ compiler on the CPU"
    )
    log_every: int = Field(ge=1, description="steps between two rows of history.csv")
    validate_every: int = Field(
        ge=0, description="steps between two entries of validation.csv; 0, or nothing held out: none"
    )
    validate_pictures: int = Field(
        ge=0, description="validation pictures of each class that an entry is made from; 0: all that there are"
    )
    tracker: Tracker = Field(
        description="who gets the rows of history.csv while a training runs: nobody; TensorBoard, MLflow or DVCLive, "
        "whose package you install"
    )

    @property
    def center_decay(self) -> float | None:
        """EMA decay of the mean where it moves; None where it stays, or there is none."""
        return None if isinstance(self.center, bool | str) else self.center

    @model_validator(mode="after")
    def _belongs_together(self) -> "Train":
        if "labeled" not in self.losses:
            raise ValueError(f"losses = {{{', '.join(self.losses)}}} lacks labeled, which every training has")
        waiting = sorted(set(self.losses) - LABELED_ONLY)
        if waiting and not self.unlabeled_ratio:
            raise ValueError(
                f"losses.{waiting[0]} needs unlabeled pictures: unlabeled_ratio = 0 allows losses: {{labeled: 1}}"
            )
        if self.distribution_alignment != "none" and not self.unlabeled_ratio:
            raise ValueError("distribution_alignment goes by predictions on unlabeled pictures; unlabeled_ratio = 0")
        if self.pseudo_label_adjustment and self.logit_adjustment and not self.adjust_twice:
            raise ValueError(
                f"pseudo_label_adjustment = {self.pseudo_label_adjustment:g} with logit_adjustment = "
                f"{self.logit_adjustment:g} corrects for the prior twice (allowed: either one 0, or adjust_twice: true)"
            )
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate = {self.accumulate} does not divide batch_size = {self.batch_size}")
        if self.accumulate > 1 and self.center_decay is not None:
            raise ValueError(
                f"center = {self.center_decay:g}: a moving mean needs the whole batch at once (accumulate: 1)"
            )
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise ValueError("nesterov: true needs optimizer: sgd and momentum > 0")
        return self


def _optional(field: FieldInfo) -> tuple[object, FieldInfo]:
    twin = copy(field)
    twin.default = None
    return field.annotation | None, twin


Weights = dict[Loss, Annotated[float, Field(ge=0)] | None]
TrainOverrides = create_model(
    "TrainOverrides",
    __base__=Section,
    __doc__="Any part of `train`; null deletes a loss.",
    **{name: _optional(field) for name, field in Train.model_fields.items()}
    | {"losses": (Weights | None, Field(default=None, description=Train.model_fields["losses"].description))},
)
