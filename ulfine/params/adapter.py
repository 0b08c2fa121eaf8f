"""`methods.<name>.adapter`: what lightweight fine-tuning (LFT) trains in a frozen tower."""

from typing import Annotated, Literal

from pydantic import Field

from ulfine.params.base import Section

Size = Annotated[int, Field(ge=1)] | Literal["auto"]


class AdaptFormer(Section):
    """A bottleneck parallel to the MLP of every block (Chen et al., 2022)."""

    kind: Literal["adaptformer"] = Field(description="a bottleneck beside the MLP of every block, or residual block")
    width: Size = Field(description="bottleneck width; auto is LIFT's rule 2^max(0, floor(log2(classes / (2 blocks))))")


class Sequential(Section):
    """A bottleneck after the MLP of every block (Houlsby et al., 2019, as LIFT places it)."""

    kind: Literal["sequential"] = Field(description="a bottleneck after the MLP of every block, or residual block")
    width: Size = Field(description="bottleneck width; auto as for adaptformer")


class LoRA(Section):
    """Low-rank updates of the query and value projections (Hu et al., 2022)."""

    kind: Literal["lora"] = Field(description="low-rank updates of the q and v projections of every block's attention")
    rank: Size = Field(description="rank r of an update, which is scaled by 1/r; auto as the width of adaptformer")


class VPT(Section):
    """Visual prompt tuning (Jia et al., 2022)."""

    kind: Literal["vpt"] = Field(description="learned tokens after the class token of a plain transformer")
    depth: Literal["shallow", "deep"] = Field(description="before the first block alone, or new ones before each block")
    tokens: Size = Field(
        description="tokens at a block; auto is LIFT+'s rule 2^max(0, floor(log2(classes / blocks that get tokens)))"
    )


class Bias(Section):
    """BitFit (Ben Zaken et al., 2022)."""

    kind: Literal["bias"] = Field(description="every bias of the blocks, those of their normalisation layers included")


class Norm(Section):
    """The affine part of normalisation."""

    kind: Literal["norm"] = Field(description="weight and bias of the blocks' normalisation layers; statistics stay")


Adapter = Annotated[AdaptFormer | Sequential | LoRA | VPT | Bias | Norm, Field(discriminator="kind")]
