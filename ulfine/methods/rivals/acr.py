"""ACR (Wei and Gan, CVPR 2023, arXiv 2302.05670; Gank0078/ACR, train.py): two branches, an adjustment that moves.

The standard classifier learns from labels as they are, and from softmax(z - tau_1 log pi). The balanced one, on the
same features, learns with z_b + tau log pi, and from softmax(z - tau log pi) where that or its own prediction is
confident. tau_1 = tau e^c / (e^c + e^u + e^r), with the symmetric KL divergences of the estimated prior of the
unlabeled pictures from the labeled prior (c), from the uniform one (u) and from the reversed one (r).
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.methods.fixmatch import PseudoLabels, adjusted, pseudo_labels
from ulfine.methods.heads import between
from ulfine.methods.losses import Step, logit_adjusted
from ulfine.methods.prior import divergences, exchanged
from ulfine.methods.rivals.base import Beginning, Rival, Weak
from ulfine.params.rival import ACR as Options  # noqa: N811


class ACR(Rival):
    """The balanced branch, and the estimated prior."""

    decides = "balanced"
    needs_all = True
    costs_as_fixmatch = False

    def __init__(self, options: Options, beginning: Beginning) -> None:
        super().__init__(beginning)
        self.options, self.begin = options, round(options.begin * beginning.train.steps)
        self.balanced = deepcopy(beginning.linear)
        self.register_buffer("log_prior", beginning.log_prior, persistent=False)
        prior = beginning.log_prior.exp()
        anchors = torch.stack([prior, torch.full_like(prior, 1 / len(prior)), exchanged(prior)])
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("share", torch.full(beginning.shape, 1 / beginning.shape[-1]))
        self.register_buffer("tau", torch.full(beginning.heads, float(options.tau)))
        self.of_balanced: PseudoLabels | None = None  # of the batch at work
        self.counted: Tensor | None = None

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Those of the balanced classifier."""
        return {"balanced": self.balanced(features)}

    def targets(self, weak: Weak) -> PseudoLabels:
        """Those of the standard classifier; those of the balanced one are kept for its loss."""
        threshold = self.train_options.threshold
        plain, own = pseudo_labels(weak.raw, threshold), pseudo_labels(self.balanced(weak.features), threshold)
        fixed = pseudo_labels(adjusted(weak.raw, self.log_prior, self.options.tau), threshold)
        moving = pseudo_labels(self.final(weak), threshold)
        self.of_balanced = fixed.keeping(fixed.kept | own.kept)
        members = (own.kept & weak.own).to(weak.raw.dtype)
        self.counted = (members.unsqueeze(-2) @ F.one_hot(own.labels, weak.raw.shape[-1]).to(members.dtype)).squeeze(-2)
        return moving.keeping(moving.kept | plain.kept)

    def final(self, weak: Weak) -> Tensor:
        """Of the standard classifier, by the adjustment of now."""
        return weak.raw - self.tau[..., None, None] * self.log_prior

    def estimate(self) -> Tensor:
        """By the balanced classifier."""
        return self.share

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Both losses of the balanced classifier."""
        labeled = logit_adjusted(self.balanced(step.of_labeled), step.labels, self.log_prior, self.options.tau)
        strong = logit_adjusted(self.balanced(step.of_strong), self.of_balanced.labels, self.log_prior, 0)
        return {"balanced": labeled.mean(-1), "balanced_unlabeled": (strong * self.of_balanced.weights).mean(-1)}

    def adapt(self, number: int, step: Step) -> None:  # noqa: ARG002
        """Move the estimate, where the balanced classifier was confident, and the adjustment."""
        total = self.counted.sum(-1, keepdim=True)
        moved = between(self.counted / total.clamp_min(1), self.share, self.options.decay, 1)
        if number >= self.begin:
            self.share = torch.where(total > 0, moved, self.share)
            self.tau = self.options.tau * divergences(self.share, self.anchors).softmax(-1)[..., 0]
