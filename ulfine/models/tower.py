"""An image tower up to the space in which classifiers work."""

from collections.abc import Iterator

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from ulfine.models.blocks import distances
from ulfine.models.fast import fold_norms, fold_slopes, keep_in_bf16, make_fast
from ulfine.models.resize import resized, resized_bytes
from ulfine.params.backbone import Backbone


class ImageTower(nn.Module):
    """Pictures to features, deterministic: dropout is off and batch statistics stay frozen, in training too.

    Its weights are frozen until somebody tunes them. That is more than thrift: torch multiplies by a matrix that needs
    no gradient along another path, with other last bits; so frozen features and a tower with fresh adapters agree.

    Args:
        visual: open_clip's image tower; taken apart into what comes before and after its projection.
        backbone: resolution, precision and feature space.
        preprocess: open_clip's preprocess_cfg: mean, std, interpolation and resize_mode.
    """

    def __init__(self, visual: nn.Module, backbone: Backbone, preprocess: dict) -> None:
        super().__init__()
        self.projection = _detach_projection(visual)
        make_fast(visual)
        if backbone.feature_space == "pooled" and not isinstance(self.projection, nn.Linear):
            raise ValueError("feature_space = 'pooled': this tower has no linear projection; use feature_space: joint")
        self.visual = visual
        self.backbone = backbone
        self.interpolation, self.resize = preprocess["interpolation"], preprocess["resize_mode"]
        self.register_buffer("mean", torch.tensor(preprocess["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess["std"]).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "ImageTower":  # noqa: ARG002
        """Stay in evaluation mode: step 0 then equals the frozen tower."""
        return super().train(False)

    def unfreeze(self) -> None:
        """Free all that `forward` uses; the projection is part of it in the joint space alone."""
        self.visual.requires_grad_(True)
        self.projection.requires_grad_(self.backbone.feature_space == "joint")

    def settle(self) -> None:
        """Make what is frozen now faster, as nobody will tune it: norms and slopes fold, weights keep the precision."""
        fold_norms(self.visual)
        fold_slopes(self.visual)
        if self.backbone.precision == "bf16":
            keep_in_bf16(self.visual)

    def checkpoint_blocks(self) -> None:
        """Keep the inputs of the blocks alone for the backward pass, and compute the rest again.

        Raises:
            ValueError: open_clip or timm cannot do so for this architecture.
        """
        owner = getattr(self.visual, "trunk", self.visual)  # of timm, whose wrapper would only warn
        try:
            if isinstance(owner, ModifiedResNet):  # whose method does nothing
                raise AttributeError
            owner.set_grad_checkpointing()
        except (AttributeError, AssertionError, NotImplementedError):
            raise ValueError("train.checkpoint_blocks = true: not for this tower (allowed: false)") from None

    def prepare(self, images: Tensor) -> Tensor:
        """(B, side, side, 3) uint8 to normalised (B, 3, resolution, resolution) float32."""
        x = resized(images, self.backbone.resolution, self.interpolation)
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def distances(self) -> Iterator[tuple[nn.Parameter, int]]:
        """Each parameter, and its distance from the end in blocks."""
        return distances(self)

    def require_resize(self, dataset: str, resize: str | None) -> None:
        """Refuse pictures that were made square another way than the model's own: cropped and squashed ones differ.

        resize: of picture files; None for pictures that were square.

        Raises:
            ValueError: it is not the model's.
        """
        if resize not in (None, self.resize):
            raise ValueError(
                f"datasets.{dataset}.source.resize = {resize!r}: this tower takes pictures by {self.resize} "
                f"(allowed: {self.resize})"
            )

    def enlarge(self, images: Tensor) -> Tensor:
        """(B, side, side, 3) uint8 to the same of the side that the tower takes."""
        return resized_bytes(images, self.backbone.resolution, self.interpolation)

    def pooled(self, images: Tensor) -> Tensor:
        """(B, side, side, 3) uint8 to (B, D) features before the projection."""
        x = self.prepare(images)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.backbone.precision == "bf16"):
            return self.visual(x).float()

    def joint(self, pooled: Tensor) -> Tensor:
        """(B, D) pooled features to (B, E) features in the space shared with text."""
        return self.projection(pooled)

    def forward(self, images: Tensor) -> Tensor:
        """(B, side, side, 3) uint8 to features in `feature_space`."""
        pooled = self.pooled(images)
        return pooled if self.backbone.feature_space == "pooled" else self.joint(pooled)


def linear_projection(visual: nn.Module) -> nn.Linear | None:
    """The tower's last layer where it is one matrix without a bias, with weight (E, D); else None."""
    if isinstance(visual, VisionTransformer) and visual.proj is not None:
        width, embedding = visual.proj.shape
        projection = nn.Linear(width, embedding, bias=False)
        projection.weight = nn.Parameter(visual.proj.detach().T.contiguous())
        return projection
    if isinstance(visual, TimmModel):
        layer = getattr(visual.head, "proj", None)
        return layer if isinstance(layer, nn.Linear) and layer.bias is None else None
    return None


def _detach_projection(visual: nn.Module) -> nn.Module:
    """Take a linear map into the joint space off a tower; a head of another kind stays on, as it may hold the pool.

    CoCa's tower gives up its tokens too, which only captions need.
    """
    projection = linear_projection(visual)
    if isinstance(visual, VisionTransformer):
        visual.proj = None
        visual.output_tokens = False
    elif projection is not None:
        visual.head.proj = nn.Identity()
    return projection if projection is not None else nn.Identity()
