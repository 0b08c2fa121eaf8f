"""Floating-point operations of a training step: by torch's counter, or for heads on frozen features by formula.

The counter imports torch's compiler, two seconds of a linear probe that takes four.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ulfine.training.learner import Learner


class Operations(NamedTuple):
    """The operations of one step: steps differ in the strong views that pass alone."""

    of_step: int
    of_view: float = 0.0  # what each view that passes with a gradient adds

    def of(self, steps: int, views: int) -> int:
        """Those of a training. views: that passed with a gradient, over all steps."""
        return self.of_step * steps + round(self.of_view * views)


def done_and_counted(work: Callable[[], Any]) -> tuple[Any, int]:
    """What a piece of work gives, and the operations that it took, by torch's counter.

    One of its formulas is put right, and one of this package added.
    """
    from torch import ops
    from torch.utils.flop_counter import FlopCounterMode

    mapping = {ops.aten.convolution_backward: convolution_backward_flops}
    if hasattr(ops.ulfine, "depthwise_weight_gradient"):  # of towers
        mapping[ops.ulfine.depthwise_weight_gradient] = depthwise_weight_flops
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        result = work()
    return result, counter.get_total_flops()


def convolution_backward_flops(
    grad_out: list[int], x: list[int], weight: list[int], *arguments: object, **_: object
) -> int:
    """Each gradient of a convolution takes as many operations as its forward pass.

    torch 2.15 forgets the groups in the gradient of the weight: a depthwise layer of C channels counts C-fold, which
    made full fine-tuning of EfficientNet-Lite0 look an order of magnitude dearer than it is. The first three arguments
    are shapes; of the rest, in the order of aten.convolution_backward, `transposed` is the fifth, `output_mask` the
    eighth.
    """
    from torch.utils.flop_counter import conv_flop_count

    transposed, output_mask = arguments[4], arguments[7]
    return conv_flop_count(x, weight, grad_out, transposed) * sum(output_mask[:2])


def depthwise_weight_flops(_: list[int], gradient: list[int], kernel: list[int], *__: object, **___: object) -> int:
    """As many as the forward pass: a multiplication and an addition for each output and position of the kernel."""
    return 2 * math.prod(gradient) * math.prod(kernel)


def head_flops(learner: "Learner", labeled: int, unlabeled: int) -> int:
    """The matrix products of a step of classifiers on frozen features, all heads together, as the counter has them.

    labeled, unlabeled: pictures in a batch.
    """
    *_, classes, width = learner.linear.weight.shape
    heads = learner.linear.weight.numel() // (classes * width)
    picture = 2 * heads * classes * width  # with the rows of one classifier, forward or for the gradient of the rows
    total = picture * (2 * labeled + 3 * unlabeled)  # weak views have no gradient
    total += 2 * heads * unlabeled * classes if unlabeled else 0  # mean prediction
    if learner.text is not None:
        total += picture * (labeled + unlabeled) + picture * labeled * learner.text.weight.requires_grad
    if learner.fitting is not None:
        total += 2 * classes * labeled * width  # class means, the same for all heads
    if "orthogonality" in learner.weights:
        total += 2 * heads * classes**2 * (2 * width + 3)  # of prototypes there and back, and of their lengths
    return total
