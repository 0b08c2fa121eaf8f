"""`methods.<name>.rival`: another method's way with pseudo-labels and classifiers, on the same loop.

Each class holds the constants of one; its equations are in ulfine/methods/rivals/, docs/rivals.md says what was taken.
"""

from typing import Annotated, Literal

from pydantic import Field

from ulfine.params.base import Section

Decay = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class FlexMatch(Section):
    """A threshold for each class (Zhang et al., 2021)."""

    kind: Literal["flexmatch"] = Field(description="thresholds by how many pictures a class was learned from")


class FreeMatch(Section):
    """Thresholds that follow the confidence (Wang et al., 2023)."""

    kind: Literal["freematch"] = Field(description="thresholds by the mean confidence, and class by class")
    decay: Decay = Field(description="EMA decay of what thresholds follow, per step; 0.999 in its code")
    fairness: float = Field(ge=0, description="weight of its loss on mean predictions; 0.001 in its code")


class SoftMatch(Section):
    """A weight for each pseudo-label (Chen et al., 2023)."""

    kind: Literal["softmatch"] = Field(description="weights by a truncated Gaussian of the confidence")
    decay: Decay = Field(description="EMA decay of mean and variance of the confidence, and of predictions; 0.999")
    width: float = Field(gt=0, description="n: the standard deviation is divided by it; 2 in its code")


class DebiasPL(Section):
    """Pseudo-labels less the estimated prior (Wang et al., 2022)."""

    kind: Literal["debiaspl"] = Field(
        description="pseudo-labels from z - tau log P_u; the margin in the unlabeled loss is train.unlabeled_adjustment"
    )
    tau: float = Field(ge=0, description="weight of log P_u; 0.5 in its paper")


class SimPro(Section):
    """EM of the unlabeled prior (Du et al., 2024)."""

    kind: Literal["simpro"] = Field(
        description="pseudo-labels from z + tau log P_u; both losses adjusted by the prior of all that is learned from"
    )
    tau: float = Field(ge=0, description="weight of log P_u in pseudo-labels; 1 or 2 in its code")
    decay: Decay = Field(description="EMA decay of both priors, per step; 0.9 an epoch of 500 steps in its code")


class ACR(Section):
    """Two branches, and an adjustment that moves (Wei and Gan, 2023)."""

    kind: Literal["acr"] = Field(description="a standard and a balanced classifier; the balanced one decides")
    tau: float = Field(ge=0, description="of the balanced classifier's labeled loss and targets, and the most that the "
                       "standard one's targets are adjusted by; 2 in its code")  # fmt: skip
    decay: Decay = Field(description="EMA decay of the estimated prior; 0.9 in its code")
    begin: Share = Field(description="share of the steps after which the adjustment moves; 0.01 in its code")


class DASO(Section):
    """Pseudo-labels blended with those of class prototypes (Oh et al., 2022)."""

    kind: Literal["daso"] = Field(description="blends linear and similarity pseudo-labels, class by class")
    queue: int = Field(ge=1, description="labeled features of each class that its prototype is the mean of; 256")
    prototype_temperature: float = Field(gt=0, description="of similarities; 0.05 in its code")
    temperature: float = Field(gt=0, description="T of the blend, (share of a class)^(1/T); 1.5 or 0.3 in its paper")
    decay: Decay = Field(description="EMA decay of the shares; its code counts anew every 100 steps")
    alignment: float = Field(ge=0, description="weight of the semantic alignment loss; 1; without effect on cached "
                             "features")  # fmt: skip
    begin: Share = Field(description="share of the steps before it blends; 0.02 in its code")


class FineSSL(Section):
    """Balanced margins and an auxiliary classifier (Gan and Wei, 2024)."""

    kind: Literal["finessl"] = Field(description="margins by how much a class was learned from; a second classifier on "
                                     "detached features weighs pseudo-labels")  # fmt: skip
    margin: float = Field(ge=0, description="scale of the margins; 8 in its paper")
    smoothing: Share = Field(description="label smoothing of the second classifier's pseudo-labels; 0.5")


class CReST(Section):
    """Generations that adopt pseudo-labeled pictures, the rare classes first (Wei et al., 2021)."""

    kind: Literal["crest"] = Field(description="CReST+: alignment, and generations that begin anew with more labels")
    generations: int = Field(ge=2, description="equal parts of the steps; 6 of a whole training each in its code")
    alpha: float = Field(gt=0, description="exponent of the adopted share of a class; 1/3 in its paper")
    least_power: Share = Field(description="t_min, the power of the alignment in the last generation; 0.5")


class CLIPAdapter(Section):
    """A residual adapter on features, with the text as the classifier (Gao et al., 2024)."""

    kind: Literal["clip_adapter"] = Field(description="two layers on features, mixed in; the text classifies")
    ratio: Share = Field(description="share of the adapted feature; 0.2 in its code")
    reduction: int = Field(ge=1, description="width of the features over that of the layer in between; 4")


class TipAdapter(Section):
    """A cache of the labeled features beside the text (Zhang et al., 2022); nothing is trained."""

    kind: Literal["tip_adapter"] = Field(description="zero-shot plus similarities to labeled pictures, for tune: none")
    alpha: float = Field(ge=0, description="weight of the cache; 1 in its code")
    beta: float = Field(gt=0, description="sharpness of the similarities; 5.5 in its code")


class PriorCorrected(Section):
    """Zero-shot less what it predicts on average."""

    kind: Literal["prior_corrected"] = Field(
        description="zero-shot logits less tau log of the mean prediction on the unlabeled pictures, for tune: none"
    )
    tau: float = Field(ge=0, description="weight of the logarithm")


Trained = FlexMatch | FreeMatch | SoftMatch | DebiasPL | SimPro | ACR | DASO | FineSSL | CReST | CLIPAdapter
Rival = Annotated[Trained | TipAdapter | PriorCorrected, Field(discriminator="kind")]
TRAINING_FREE = (TipAdapter, PriorCorrected)
