"""FlexMatch (Zhang et al., NeurIPS 2021, arXiv 2110.08263; TorchSSL, models/flexmatch): a threshold for each class.

sigma_k counts the pictures whose last confident pseudo-label is k; beta_k = sigma_k / max(max sigma, pictures without
one); the threshold of class k is tau beta_k / (2 - beta_k). (Equations 5, 6, 11 and 12.)
"""

import torch
from torch import Tensor

from ulfine.methods.fixmatch import PseudoLabels, pseudo_labels
from ulfine.methods.heads import over
from ulfine.methods.rivals.base import Beginning, Rival, Weak
from ulfine.params.rival import FlexMatch as Options


class LastLabels(Rival):
    """Remembers the last confident pseudo-label of each unlabeled picture; -1 before the first."""

    def __init__(self, beginning: Beginning) -> None:
        super().__init__(beginning)
        self.classes = len(beginning.log_prior)
        self.register_buffer("last", torch.full((*beginning.heads, beginning.pool), -1))

    def remember(self, found: PseudoLabels, pictures: Tensor) -> None:
        """Take in a batch. found: `kept` where confident."""
        self.last[..., pictures] = torch.where(found.kept, found.labels, self.last[..., pictures])

    def counts(self) -> tuple[Tensor, Tensor]:
        """(..., K) pictures by their last label, and (..., 1) those without one."""
        labels, bins = self.last.view(-1, self.last.shape[-1]) + 1, self.classes + 1
        first = bins * torch.arange(len(labels), device=labels.device).unsqueeze(1)  # bin of each head
        counted = labels.new_zeros(len(labels) * bins)  # on a GPU, sums are deterministic along a single axis alone
        counted.scatter_add_(0, (labels + first).flatten(), torch.ones_like(labels).flatten())
        counted = counted.view(*self.last.shape[:-1], bins).float()
        return counted[..., 1:], counted[..., :1]


class FlexMatch(LastLabels):
    """Curriculum pseudo-labeling, with the warm-up of its code."""

    def __init__(self, options: Options, beginning: Beginning) -> None:  # noqa: ARG002
        super().__init__(beginning)

    def learned(self) -> Tensor:
        """(..., K) beta."""
        counts, without = self.counts()
        return counts / torch.maximum(counts.amax(-1, keepdim=True), without)

    def targets(self, weak: Weak) -> PseudoLabels:
        """Kept from tau beta / (2 - beta) of the class predicted; counted from tau."""
        threshold = self.train_options.threshold
        found, learned = pseudo_labels(weak.logits, threshold), self.learned()
        bar = over(threshold, 1) * (learned / (2 - learned)).gather(-1, found.labels)
        self.remember(found, weak.pictures)
        return found.keeping(found.confidence >= bar)
