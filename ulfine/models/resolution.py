"""At which resolutions a tower runs, and its position embeddings at another than its own."""

from types import SimpleNamespace

import torch
from open_clip.model import resize_pos_embed
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.layers import HybridEmbed, PatchEmbed
from torch import Tensor, nn

from ulfine.errors import out_of_memory
from ulfine.models.tower import ImageTower

RESNET_STRIDE = 32  # of open_clip's ModifiedResNet, whose attention pool has a position for each cell


def native(visual: nn.Module) -> int:
    """The side in pixels that a tower was built for; timm's own where open_clip's configuration says another."""
    patches = getattr(getattr(visual, "trunk", None), "patch_embed", None)
    size = getattr(patches, "img_size", None) or visual.image_size
    return size if isinstance(size, int) else size[0]


def require_allowed(visual: nn.Module, own: int, wanted: int) -> None:
    """Refuse a resolution that the tower cannot change to, or at which its patches would leave a margin unseen.

    own: its native resolution, always allowed.
    """
    if wanted == own:
        return
    if isinstance(visual, TimmModel) and _is_fixed(visual.trunk):
        raise ValueError(f"resolution = {wanted}: this tower cannot change it (allowed: {own})")
    step = _step(visual)
    if wanted % step:
        nearest = ", ".join(str(step * (max(1, wanted // step) + more)) for more in (0, 1))
        raise ValueError(
            f"resolution = {wanted}: this tower allows its own {own} and multiples of {step} ({nearest}, …)"
        )


def resize_positions(weights: dict[str, Tensor], visual: nn.Module, resolution: int) -> None:
    """Interpolate the positions of open_clip's own towers in `weights`, in place, as open_clip does for its ViT.

    A tower of timm has its weights loaded as they are, and then `set_input_size`, if it has positions.
    """
    name, grid = "visual.positional_embedding", getattr(visual, "grid_size", None)
    if isinstance(visual, ModifiedResNet):
        name, grid = "visual.attnpool.positional_embedding", resolution // RESNET_STRIDE
    if name in weights:
        state = {"visual.positional_embedding": weights[name]}
        resize_pos_embed(state, SimpleNamespace(visual=SimpleNamespace(grid_size=grid)))
        weights[name] = state["visual.positional_embedding"]


def set_input_size(visual: nn.Module, resolution: int) -> None:
    """Tell a tower of timm, its weights loaded, at which resolution it runs."""
    if isinstance(visual, TimmModel) and native(visual) != resolution:
        visual.set_input_size(resolution)


@torch.inference_mode()
def require_runs(tower: ImageTower, width: int) -> None:
    """Pass a blank picture through; what `require_allowed` cannot foresee (a picture too small to pool) shows here.

    width: that of the joint space.
    """
    side = tower.backbone.resolution
    try:
        features = tower.joint(tower.pooled(torch.zeros(1, side, side, 3, dtype=torch.uint8)))
    except (RuntimeError, AssertionError, ValueError) as error:
        if out_of_memory(error):
            raise
        raise ValueError(f"resolution = {side}: this tower cannot take it ({' '.join(str(error).split())})") from None
    require_features("a blank picture", features, width)


def require_features(what: str, features: object, width: int) -> None:
    """Refuse what is not (1, width) finite numbers; `what` they are of."""
    if not isinstance(features, Tensor) or features.shape != (1, width):
        shape = tuple(getattr(features, "shape", ())) or type(features).__name__
        raise ValueError(f"{what} has features of shape {shape}, expected (1, {width}), as embed_dim says")
    if not features.isfinite().all():
        raise ValueError(f"{what} has features that are not finite; its weights, or its precision, are to blame")


def _is_fixed(trunk: nn.Module) -> bool:
    return trunk.default_cfg.get("fixed_input_size", False) and not hasattr(trunk, "set_input_size")


def _step(visual: nn.Module) -> int:
    """Side of a patch in pixels; 1 for convolutional towers, which take any."""
    if isinstance(visual, VisionTransformer):
        return visual.patch_size[0]
    if isinstance(visual, ModifiedResNet):
        return RESNET_STRIDE
    patches = getattr(visual.trunk, "patch_embed", None)
    return patches.feat_ratio() if isinstance(patches, PatchEmbed | HybridEmbed) else 1
