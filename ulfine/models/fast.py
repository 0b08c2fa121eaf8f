"""Parts of towers written again where torch's or open_clip's are slow: the same weights and the same arithmetic."""

import torch
import torch.nn.functional as F
from open_clip import modified_resnet
from open_clip import transformer as open_clip_transformer
from timm.layers import activations as timm_activations
from timm.layers import norm as timm_norms
from timm.models import _efficientnet_blocks, efficientnet, resnet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

SLOPE = 1.702  # of QuickGELU
LAYER_NORMS = (nn.LayerNorm, open_clip_transformer.LayerNorm, timm_norms.LayerNorm)
_THREE = tuple((f"conv{n}", f"bn{n}") for n in (1, 2, 3))
NORMS_BEHIND: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {  # convolutions that have a norm right behind them
    efficientnet.EfficientNet: (("conv_stem", "bn1"), ("conv_head", "bn2")),
    _efficientnet_blocks.ConvBnAct: (("conv", "bn1"),),
    _efficientnet_blocks.DepthwiseSeparableConv: (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    _efficientnet_blocks.InvertedResidual: (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    _efficientnet_blocks.EdgeResidual: (("conv_exp", "bn1"), ("conv_pwl", "bn2")),
    modified_resnet.ModifiedResNet: _THREE,
    modified_resnet.Bottleneck: _THREE,
    resnet.ResNet: _THREE[:1],
    resnet.BasicBlock: _THREE[:2],
    resnet.Bottleneck: _THREE,
}


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x) as one call of SiLU, which keeps its input alone for the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return F.silu(SLOPE * x).div_(SLOPE)


class LayerNorm(nn.LayerNorm):
    """Layer norm in the type of what comes in, where autocast would leave it for float32 and cast twice."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = (None if values is None else values.to(x.dtype) for values in (self.weight, self.bias))
            return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class SelfAttention(nn.Module):
    """torch's MultiheadAttention of one input with itself, batch first, on tokens as they lie in memory.

    torch's own puts the tokens first, so that the projections read and write a transposed view.

    Args:
        attention: whose weights it takes over, under their names.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.in_proj_weight, self.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias
        self.out_proj = attention.out_proj

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, *, attn_mask: Tensor | None, need_weights: bool
    ) -> tuple[Tensor]:
        """(B, N, C) to (B, N, C), in a tuple as torch's own, which open_clip's blocks call."""
        if need_weights or k is not q or v is not q:
            raise ValueError("attention of one input with itself alone")
        parts = F.linear(q, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        heads = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)  # (B, H, N, C / H)
        mixed = F.scaled_dot_product_attention(*heads, attn_mask=attn_mask)
        return (self.out_proj(mixed.transpose(1, 2).flatten(2)),)


def make_fast(tower: nn.Module) -> None:
    """Put these parts in the place of theirs, for the image tower; trained weights keep their names."""
    for module in list(tower.modules()):
        is_block = isinstance(module, open_clip_transformer.ResidualAttentionBlock)
        for name, child in module.named_children():
            if isinstance(child, open_clip_transformer.QuickGELU | timm_activations.QuickGELU):
                setattr(module, name, QuickGELU())
            elif is_block and name == "attn" and child.batch_first:
                setattr(module, name, SelfAttention(child))
            elif type(child) in LAYER_NORMS:
                child.__class__ = LayerNorm
            elif type(child) is nn.Conv2d and _is_depthwise(child):
                child.__class__ = DepthwiseConv2d


def _is_depthwise(layer: nn.Conv2d) -> bool:
    plain = layer.stride == layer.dilation == (1, 1) and isinstance(layer.padding, tuple)
    return plain and layer.padding_mode == "zeros" and 1 < layer.groups == layer.in_channels == layer.out_channels


def fold_norms(tower: nn.Module) -> None:
    """Fold each frozen batch norm into the frozen convolution before it.

    What a tower gives changes by rounding, so that features and the towers that they stand for must both do it, or
    neither.
    """
    for module in list(tower.modules()):
        for convolution, norm in NORMS_BEHIND.get(type(module), ()):
            before, behind = getattr(module, convolution, None), getattr(module, norm, None)
            if isinstance(before, nn.Conv2d) and isinstance(behind, nn.BatchNorm2d) and _frozen(before, behind):
                setattr(module, convolution, fuse_conv_bn_eval(before, behind).requires_grad_(False))
                setattr(module, norm, getattr(behind, "act", nn.Identity()))  # timm's norms bring their activation


def fold_slopes(tower: nn.Module) -> None:
    """Give the slope of QuickGELU to the frozen linear layers around it, which leaves SiLU alone in between."""
    for module in tower.modules():
        names = [name for name, _ in module.named_children()]
        if names != ["c_fc", "gelu", "c_proj"] or not isinstance(module.gelu, QuickGELU):
            continue
        before, behind = module.c_fc, module.c_proj
        if _frozen(module):
            for weight in before.parameters():
                weight.data = weight.data * SLOPE
            behind.weight.data = behind.weight.data / SLOPE
            module.gelu = nn.SiLU()


def keep_in_bf16(tower: nn.Module) -> None:
    """Keep frozen weights of linear layers and convolutions as autocast would cast them at every step."""
    for module in tower.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | SelfAttention) and not is_parametrized(module):
            for weight in module.parameters(recurse=False):
                if not weight.requires_grad:
                    weight.data = weight.data.bfloat16()


def _frozen(*modules: nn.Module) -> bool:
    return not any(module.training or weight.requires_grad for module in modules for weight in module.parameters())


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution of stride 1 whose weight learns faster on small maps on the CPU.

    On a map that is smaller than the kernel, a multiplication and a sum for each position of the kernel give the
    gradient of the weight up to ten times as fast as oneDNN.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H', W')."""
        small = max(x.shape[-2:]) < min(self.kernel_size)
        if small and x.device.type == "cpu" and self.weight.requires_grad:
            return _Depthwise.apply(x, self.weight, self.bias, self.padding)
        return super().forward(x)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:  # noqa: ANN001
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return F.conv2d(x, weight, bias, padding=padding, groups=len(weight))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN001
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, _ = ctx.needs_input_grad
        return (
            nn.grad.conv2d_input(x.shape, weight, gradient, padding=ctx.padding, groups=len(weight)) if of_x else None,
            depthwise_weight_gradient(x, gradient, list(weight.shape[2:]), list(ctx.padding)) if of_weight else None,
            gradient.sum((0, 2, 3)) if of_bias else None,
            None,
        )


@torch.library.custom_op("ulfine::depthwise_weight_gradient", mutates_args=())
def depthwise_weight_gradient(x: Tensor, gradient: Tensor, kernel: list[int], padding: list[int]) -> Tensor:
    """(C, 1, *kernel), the gradient of the weight of a depthwise convolution of stride 1.

    An operator of its own, so that its operations are counted (ulfine/training/flops.py).

    x: (B, C, H, W) that went in. gradient: (B, C, H', W') of what came out.
    """
    x, gradient = (maps.permute(0, 2, 3, 1) for maps in (x, gradient))  # as they lie in memory
    taps = gradient.new_zeros(*kernel, gradient.shape[-1])
    spans = [
        [_overlap(place - pad, before, behind) for place in range(size)]
        for size, pad, before, behind in zip(kernel, padding, x.shape[1:], gradient.shape[1:], strict=False)
    ]
    for i, (rows, below) in enumerate(spans[0]):
        for j, (columns, right) in enumerate(spans[1]):
            torch.sum(x[:, rows, columns] * gradient[:, below, right], (0, 1, 2), out=taps[i, j])
    return taps.permute(2, 0, 1).unsqueeze(1).contiguous()


@depthwise_weight_gradient.register_fake
def _(x: Tensor, _: Tensor, kernel: list[int], __: list[int]) -> Tensor:
    """The shape alone, for torch.compile."""
    return x.new_empty(x.shape[1], 1, *kernel)


def _overlap(shift: int, before: int, behind: int) -> tuple[slice, slice]:
    """The inputs, of `before`, that outputs, of `behind`, see at a distance of `shift`; and those outputs."""
    first, last = max(0, -shift), max(0, -shift, min(behind, before - shift))
    return slice(first + shift, last + shift), slice(first, last)
