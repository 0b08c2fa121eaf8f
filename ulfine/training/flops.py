"""Floating-point operations of a training step, by torch's counter with one formula put right."""

from torch import ops
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count


def flop_counter() -> FlopCounterMode:
    """A context that counts forward and backward passes; `get_total_flops()` reads it."""
    return FlopCounterMode(display=False, custom_mapping={ops.aten.convolution_backward: convolution_backward_flops})


def convolution_backward_flops(
    grad_out: list[int], x: list[int], weight: list[int], *arguments: object, **_: object
) -> int:
    """Each gradient of a convolution takes as many operations as its forward pass.

    torch 2.15 forgets the groups in the gradient of the weight: a depthwise layer of C channels counts C-fold, which
    made full fine-tuning of EfficientNet-Lite0 look an order of magnitude dearer than it is. The first three arguments
    are shapes; of the rest, in the order of aten.convolution_backward, `transposed` is the fifth, `output_mask` the
    eighth.
    """
    transposed, output_mask = arguments[4], arguments[7]
    return conv_flop_count(x, weight, grad_out, transposed) * sum(output_mask[:2])
